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

/// The rows that a tensor must have, and whose they are.
struct Rows {
  int64_t tokens = 0, heads = 0;
  const char *tokensOf = "the batch's num_tokens", *headsOf = "heads of this layer";
};

/// "bf16", "f32" …
std::string typeText(const attncc_tensor &tensor);

/// [tokens or more, heads, dim] of `type`, rows and heads 16-byte aligned.
Result<TensorParam> checkTensor(const char *name, const attncc_tensor &tensor, package::DType type,
                                const Rows &rows, int64_t dim);
/// [tokens or more, heads] f32, or data NULL, which gives a null TensorParam.
Result<TensorParam> checkLse(const char *name, const attncc_tensor &tensor, const Rows &rows);
/// [positions, dim] of `type` or f32, elements aligned to their size.
Result<CosSinParam> checkCosSin(const char *name, const attncc_tensor &tensor, package::DType type,
                                int64_t dim);

/// The bytes that `tokens` x `heads` rows of `rowBytes` span from the tensor's data.
device::Buffer bufferOf(const char *name, const TensorParam &tensor, int64_t tokens, int64_t heads,
                        int64_t rowBytes, int64_t elementBytes, bool writable);

/// The bytes of a table's rows of `dim` elements; none if there is no table.
device::Buffer bufferOf(const char *name, const CosSinParam &table, int64_t dim);

} // namespace attncc::plan
