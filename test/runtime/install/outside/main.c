/* Opens the simulator, moves memory through it, and reads the text of an error. */
#include <attncc/attncc.h>
#include <stdio.h>
#include <string.h>

static int check(attncc_status status) {
  if (status != ATTNCC_OK)
    fprintf(stderr, "%s\n", attncc_message());
  return status == ATTNCC_OK;
}

int main(void) {
  attncc_device *device = NULL;
  attncc_package *package = NULL;
  void *memory = NULL;
  char host[4] = {0};
  if (attncc_version() >> 16 != ATTNCC_VERSION_MAJOR || !check(attncc_device_open("sim", &device)) ||
      !check(attncc_device_allocate(device, 4, &memory)) ||
      !check(attncc_copy(device, memory, "abc", 4, NULL)) ||
      !check(attncc_copy(device, host, memory, 4, NULL)))
    return 1;
  if (strcmp(host, "abc") != 0)
    return 2;
  if (attncc_package_open(device, "/no/such/package", NULL, &package) != ATTNCC_INVALID_PACKAGE ||
      package != NULL || strstr(attncc_message(), "/no/such/package: error: ") != attncc_message())
    return 3;
  attncc_device_release(device);
  puts("c: ok");
  return 0;
}
