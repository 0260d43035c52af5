//===- TargetName.h - what the names of GPU targets say ----------------------===//
//
// Internal. sm_NN names compute capability N.N; sm_NNa has instructions of that one capability.
// Code of a plain target can be assembled for every later capability, code of an a-target for
// itself alone (PTX ISA, ".target"). Names here have one of the two forms.
// Test: test/runtime/package/PackageTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <charconv>
#include <string_view>

namespace attncc::package {

/// NN: 10 * major + minor.
inline int capabilityOf(std::string_view target) {
  int number = 0;
  std::from_chars(target.data() + 3, target.data() + target.size(), number);
  return number;
}

inline bool isExact(std::string_view target) { return target.back() == 'a'; }

/// Whether PTX of `target` can be assembled for `arch`.
inline bool assembles(std::string_view target, std::string_view arch) {
  return target == arch || (!isExact(target) && capabilityOf(arch) >= capabilityOf(target));
}

} // namespace attncc::package
