//===- HeapCounts.h - what a program asks of the heap, and its locks ---------===//
//
// Defined in a test's own program, malloc, free and pthread_mutex_lock take the place of the C
// library's for the program and for every library that it loads.
//
//===----------------------------------------------------------------------===//
#pragma once

namespace attncc::test {

struct HeapCounts {
  long allocations = 0; ///< so far
  long live = 0;        ///< not yet freed
  long locks = 0;       ///< mutexes locked so far
};
HeapCounts heapCounts();

} // namespace attncc::test
