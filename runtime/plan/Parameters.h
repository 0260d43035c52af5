//===- Parameters.h - kernel parameters as structs --------------------------===//
//
// Internal. The parameter lists of append/1, decode/1, decode.tma/1, prefill/1 (as decode/1),
// prefill.tma/1, merge/1 and merge_states/1 (runtime/package/Interface.h) laid out by the C++
// compiler at the same natural alignment, so that a launch fills in a struct and passes its bytes.
// Strides are in elements. Pinned to Interface by test/runtime/package/FormulaTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/package/Interface.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace attncc::plan {

/// [tokens, heads, dim] or, for lse, [tokens, heads].
struct TensorParam {
  void *data = nullptr;
  int64_t tokenStride = 0, headStride = 0;
  bool operator==(const TensorParam &) const = default;
};

struct PagesParam {
  void *data = nullptr;
  int64_t pageStride = 0, tokenStride = 0, headStride = 0;
};

struct BatchParam {
  const int32_t *queryStart = nullptr, *kvLength = nullptr, *blockTable = nullptr;
  int64_t blockTableStride = 0;
  const int32_t *pageIndptr = nullptr;
  int64_t numPages = 0;
  int32_t kvHeads = 0, maxKvLength = 0, maxQueryLength = 0, splitTokens = 0;
};

struct CosSinParam {
  const void *data = nullptr;
  int64_t stride = 0;
  int32_t positions = 0, bytes = 0; ///< rows; of an element
};

struct AppendParams {
  TensorParam query, key, value, queryOut;
  PagesParam k, v;
  BatchParam batch;
  const int64_t *slotMapping = nullptr, *position = nullptr;
  CosSinParam cosSin;
  const void *qNorm = nullptr, *kNorm = nullptr;
  void *workspace = nullptr;
};

struct DecodeParams {
  TensorParam query;
  PagesParam k, v;
  BatchParam batch;
  TensorParam output, lse;
  void *workspace = nullptr;
  float scaleLog2 = 0;

  /// The struct ends with padding that the kernel's list does not have.
  static constexpr size_t kBytes =
      4 + 8 + 3 * sizeof(TensorParam) + 2 * sizeof(PagesParam) + sizeof(BatchParam);
};

/// decode.tma/1: pages by tensor maps.
struct DecodeTensorParams {
  TensorParam query;
  alignas(device::kTensorMapAlignment) device::TensorMap k;
  alignas(device::kTensorMapAlignment) device::TensorMap v;
  BatchParam batch;
  TensorParam output, lse;
  void *workspace = nullptr;
  float scaleLog2 = 0;

  static constexpr size_t kBytes =
      4 + 8 + 64 + 2 * sizeof(TensorParam) + 2 * sizeof(device::TensorMap) + sizeof(BatchParam);
};
static_assert(sizeof(TensorParam) <= 64, "the query's padding");

/// prefill.tma/1: also how many sequences there are.
struct PrefillTensorParams {
  TensorParam query;
  alignas(device::kTensorMapAlignment) device::TensorMap k;
  alignas(device::kTensorMapAlignment) device::TensorMap v;
  BatchParam batch;
  int32_t numSequences = 0;
  TensorParam output, lse;
  void *workspace = nullptr;
  float scaleLog2 = 0;

  static constexpr size_t kBytes = DecodeTensorParams::kBytes + 8;
};

struct MergeParams {
  void *workspace = nullptr;
  BatchParam batch;
  TensorParam output, lse;
};

struct MergeStatesParams {
  int32_t numTokens = 0, queryHeads = 0, numParts = 0;
  float lseScale = 0;
  struct Part {
    TensorParam output, lse;
  } part[package::kMaxStates];
  TensorParam output, lse;
};

template <class Params> constexpr size_t paramsBytes() {
  if constexpr (requires { Params::kBytes; })
    return Params::kBytes;
  else
    return sizeof(Params);
}
template <class Params> std::span<const std::byte> paramsOf(const Params &params) {
  return std::as_bytes(std::span(&params, 1)).first(paramsBytes<Params>());
}

} // namespace attncc::plan
