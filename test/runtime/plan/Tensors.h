//===- Tensors.h - tensors at addresses that are never read -----------------===//
//
// For tests of plans on a device that only remembers.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/include/attncc/attncc.h"
#include "runtime/support/Result.h"
#include "test/runtime/SamplePackage.h"

#include <string>

namespace attncc::test {

template <class T> std::string messageOf(const Result<T> &result) {
  return result ? "(no error)" : result.error().diagnostic.message;
}

/// An address that is never read.
template <class T> T *at(uint64_t address) { return reinterpret_cast<T *>(address); }

/// bf16, contiguous.
inline attncc_tensor tensorAt(uint64_t address, int64_t tokens, int64_t heads,
                              int64_t dim = kHeadDim) {
  attncc_tensor tensor = {};
  tensor.data = at<void>(address);
  tensor.rank = 3;
  tensor.shape[0] = tokens, tensor.shape[1] = heads, tensor.shape[2] = dim;
  tensor.stride[0] = heads * dim, tensor.stride[1] = dim, tensor.stride[2] = 1;
  tensor.code = 4, tensor.bits = 16, tensor.lanes = 1;
  return tensor;
}

/// f32, contiguous.
inline attncc_tensor lseAt(uint64_t address, int64_t tokens, int64_t heads) {
  attncc_tensor tensor = {};
  tensor.data = at<void>(address);
  tensor.rank = 2;
  tensor.shape[0] = tokens, tensor.shape[1] = heads;
  tensor.stride[0] = heads, tensor.stride[1] = 1;
  tensor.code = 2, tensor.bits = 32, tensor.lanes = 1;
  return tensor;
}

} // namespace attncc::test
