//===- ChildProcess.h - running another program ------------------------------===//
//
// Internal. Runs a program by its path with a list of arguments, without a shell and with nothing
// to read, and collects what it prints. Thread-safe.
// Test: test/compiler/target/ptxas-test.cpp
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <chrono>
#include <string>
#include <vector>

namespace attncc {

struct ChildResult {
  int exitCode = 0;   ///< 128 and the signal's number where a signal ended it, as shells say it
  std::string output; ///< both streams in their order; at most the first MiB
};

/// `command[0]` is the program's path. InvalidArgument where it cannot be started, or did not end
/// within `limit`: it is killed then.
Result<ChildResult> runChild(const std::vector<std::string> &command,
                             std::chrono::milliseconds limit);

} // namespace attncc
