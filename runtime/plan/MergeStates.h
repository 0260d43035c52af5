//===- MergeStates.h - attention states of the caller, joined ---------------===//
//
// Internal. attncc_merge: results of the same queries over disjoint sets of keys become the result
// over all of them, by the merge_states kernel of the layer class that has the output's type and
// head dim. Needs no plan: the number of heads is the tensors' own. Allocates nothing unless it
// fails.
// Tests: test/runtime/plan/MergeStatesTest.cpp; test/runtime/abi/AbiTest.cpp on the simulator.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/include/attncc/attncc.h"
#include "runtime/package/Package.h"

namespace attncc::plan {

/// One of `lses` for each of `outputs`, 1 to kMaxStates of them; the query of `args` is not used.
Result<void> mergeStates(const package::Package &package, std::span<const attncc_tensor> outputs,
                         std::span<const attncc_tensor> lses, bool lseIsLog2,
                         const attncc_attend_args &args, device::Stream stream);

} // namespace attncc::plan
