// Writes the sample package into the folder argv[1], for the program of docs/runtime.md.
#include "test/runtime/SamplePackage.h"

int main(int argc, char **argv) {
  if (argc != 2)
    return 2;
  attncc::test::writePackage(attncc::test::samplePackage(), argv[1]);
  return 0;
}
