//===- Parallel.h - independent tasks on several threads ---------------------===//
//
// Internal. Test: test/support/ParallelTest.cpp
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <cstddef>
#include <functional>

namespace attncc {

/// Calls `task` with every number below `count`, on at most `threads` threads, this one among them
/// (0: as many as there are cores). The result is the first error in the order of the numbers,
/// whatever the order in time; after an error no later task is begun. An exception is Internal.
Result<void> inParallel(size_t count, unsigned threads,
                        const std::function<Result<void>(size_t)> &task);

} // namespace attncc
