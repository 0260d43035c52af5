//===- Environment.h - what verbs say of this machine's settings -------------===//
//
// Internal. Tests: test/commands/doctor.test, test/commands/warm.test
//
//===----------------------------------------------------------------------===//
#pragma once

#include <string>

namespace attncc {

/// The text with the home folder, which may say who somebody is, as "~".
std::string withoutHome(std::string text);

/// Where the CUDA driver keeps what it has compiled.
struct JitCache {
  std::string text;   ///< "~/.nv/ComputeCache, writable", or why there is none
  bool keeps = false; ///< whether the driver can keep anything
};
JitCache jitCache();

} // namespace attncc
