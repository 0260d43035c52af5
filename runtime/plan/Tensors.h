//===- Tensors.h - checks of a caller's tensors ------------------------------===//
//
// Internal. What the host can check of an attncc_tensor before a launch: type, rank, shape, strides
// and the 16-byte alignment that vector loads need. Messages name the argument and both values.
// Test: test/runtime/plan/PlanTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/include/attncc/attncc.h"
#include "runtime/package/Manifest.h"
#include "runtime/plan/Parameters.h"

namespace attncc::plan {

/// [tokens or more, heads, dim] of `type`, rows and heads 16-byte aligned.
Result<TensorParam> checkTensor(const char *name, const attncc_tensor &tensor, package::DType type,
                                int64_t tokens, int64_t heads, int64_t dim);
/// [tokens or more, heads] f32, or data NULL, which gives a null TensorParam.
Result<TensorParam> checkLse(const char *name, const attncc_tensor &tensor, int64_t tokens,
                             int64_t heads);

/// The bytes that `tokens` x `heads` rows of `rowBytes` span from the tensor's data.
device::Buffer bufferOf(const char *name, const TensorParam &tensor, int64_t tokens, int64_t heads,
                        int64_t rowBytes, int64_t elementBytes, bool writable);

} // namespace attncc::plan
