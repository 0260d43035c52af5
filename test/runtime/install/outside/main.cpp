// The same in C++: results, moves and errors.
#include <attncc/attncc.hpp>
#include <cstdio>

using namespace attncc::runtime;

int main() {
  Result<Device> opened = Device::open("sim");
  if (!opened) {
    std::fprintf(stderr, "%s\n", opened.error().message.c_str());
    return 1;
  }
  Device device = *std::move(opened);
  void *memory = *device.allocate(16);
  int value = 42, back = 0;
  if (!device.copy(memory, &value, sizeof value) || !device.copy(&back, memory, sizeof back) || back != 42)
    return 2;
  Result<Package> package = Package::open(device, "/no/such/package");
  if (package || package.error().status != ATTNCC_INVALID_PACKAGE)
    return 3;
  Result<Device> cuda = Device::open("cuda:0");
  if (cuda || cuda.error().status != ATTNCC_UNSUPPORTED)
    return 4;
  std::puts("c++: ok");
  return 0;
}
