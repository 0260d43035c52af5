//===- TensorMap.h - tensor maps of the simulated device ------------------===//
//
// Internal to the runtime. A GPU's 128-byte tensor map is opaque; the simulated device has an
// encoding of its own. encodeTensorMap takes what cuTensorMapEncodeTiled takes, in its order
// and with its numbers, and refuses what it refuses (CUDA Driver API, "Tensor Map Object
// Management"). A kernel gets the bytes as a parameter or finds them in global memory.
//
// Pinned by test/simulator/TensorMapTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace attncc::simulator {

/// CUtensorMapDataType.
enum class TensorType : uint8_t {
  U8,
  U16,
  U32,
  S32,
  U64,
  S64,
  F16,
  F32,
  F64,
  BF16,
  F32Flushed,
  TF32,
  TF32Flushed,
};
/// CUtensorMapInterleave.
enum class TensorInterleave : uint8_t { None, Bytes16, Bytes32 };
/// CUtensorMapSwizzle: the width of the rows whose 16-byte chunks are permuted.
enum class TensorSwizzle : uint8_t { None, Bytes32, Bytes64, Bytes128 };
/// CUtensorMapL2promotion.
enum class TensorPromotion : uint8_t { None, Bytes64, Bytes128, Bytes256 };
/// CUtensorMapFloatOOBfill.
enum class TensorFill : uint8_t { Zero, NaN };

unsigned bytesOf(TensorType type);

inline constexpr size_t tensorMapBytes = 128;
using TensorMapBytes = std::span<std::byte, tensorMapBytes>;

/// Dimensions run from the innermost, whose elements are adjacent, to the outermost.
struct TensorMap {
  TensorType type = TensorType::BF16;
  uint8_t rank = 0;
  TensorSwizzle swizzle = TensorSwizzle::None;
  TensorPromotion promotion = TensorPromotion::None;
  TensorFill fill = TensorFill::Zero;
  uint64_t address = 0;
  std::array<uint64_t, 5> dimensions{};
  std::array<uint64_t, 5> strides{}; ///< bytes; [0] is the size of an element
  std::array<uint32_t, 5> box{};
  std::array<uint32_t, 5> elementStrides{};

  /// Elements that a box moves along one dimension.
  uint32_t moved(unsigned dimension) const {
    return dimension == 0
               ? box[0]
               : (box[dimension] + elementStrides[dimension] - 1) / elementStrides[dimension];
  }
  uint64_t boxBytes() const;
};

/// Bits of an address that the swizzle xors into its 16-byte chunk: mask of (address >> 7).
inline uint32_t swizzleMask(TensorSwizzle swizzle) {
  switch (swizzle) {
  case TensorSwizzle::None:
    return 0;
  case TensorSwizzle::Bytes32:
    return 1;
  case TensorSwizzle::Bytes64:
    return 3;
  case TensorSwizzle::Bytes128:
    return 7;
  }
  return 0;
}
inline uint32_t swizzled(uint32_t address, uint32_t mask) {
  return address ^ ((address >> 7 & mask) << 4);
}

/// `globalStrides` has rank - 1 entries, in bytes: of dimension 1 and up. The address may lie in
/// any memory: a launch checks what it touches.
Result<void> encodeTensorMap(TensorMapBytes map, TensorType type, uint32_t rank,
                             const void *globalAddress, const uint64_t *globalDim,
                             const uint64_t *globalStrides, const uint32_t *boxDim,
                             const uint32_t *elementStrides, TensorInterleave interleave,
                             TensorSwizzle swizzle, TensorPromotion promotion, TensorFill fill);

/// Error if the bytes are no map that encodeTensorMap wrote.
Result<TensorMap> decodeTensorMap(std::span<const std::byte, tensorMapBytes> map);

} // namespace attncc::simulator
