// Prints the canonical spec of the file that is named; used by schema-test.py.
#include "compiler/spec/ModelSpec.h"

#include <cstdio>

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fputs("usage: write-canonical-spec FILE\n", stderr);
    return 2;
  }
  auto spec = attncc::spec::readModelSpec(argv[1]);
  if (!spec) {
    std::fprintf(stderr, "%s\n", spec.error().diagnostic.text().c_str());
    return 1;
  }
  std::fputs(attncc::spec::canonicalSpecText(*spec).c_str(), stdout);
  return 0;
}
