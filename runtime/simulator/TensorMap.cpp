//===- TensorMap.cpp ------------------------------------------------------===//
//
// See TensorMap.h. Pinned by test/simulator/TensorMapTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/TensorMap.h"

#include <cstring>

namespace attncc::simulator {

namespace {

constexpr uint64_t magic = 0x3170616d6e747461; // "attnmap1"

struct Encoded {
  uint64_t mark = magic;
  uint64_t address = 0;
  uint64_t strides[4] = {};      ///< of dimension 1 and up
  uint32_t largestIndex[5] = {}; ///< dimension - 1
  uint16_t box[5] = {};
  uint8_t elementStrides[5] = {};
  uint8_t type = 0, rank = 0, swizzle = 0, promotion = 0, fill = 0;
  uint64_t check = 0; ///< of the bytes before it
};
static_assert(sizeof(Encoded) <= tensorMapBytes);

uint64_t checksum(const Encoded &encoded) {
  uint64_t hash = 0xcbf29ce484222325; // FNV-1a
  const auto *bytes = reinterpret_cast<const unsigned char *>(&encoded);
  for (size_t i = 0; i < offsetof(Encoded, check); ++i)
    hash = (hash ^ bytes[i]) * 0x100000001b3;
  return hash;
}

constexpr unsigned typeBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};

Error bad(std::string message) { return makeError(Status::InvalidArgument, std::move(message)); }

std::string at(const char *what, uint32_t index) {
  return std::string(what) + "[" + std::to_string(index) + "]";
}

} // namespace

unsigned bytesOf(TensorType type) { return typeBytes[static_cast<size_t>(type)]; }

uint64_t TensorMap::boxBytes() const {
  uint64_t result = bytesOf(type);
  for (unsigned i = 0; i < rank; ++i)
    result *= moved(i);
  return result;
}

Result<void> encodeTensorMap(TensorMapBytes map, TensorType type, uint32_t rank,
                             const void *globalAddress, const uint64_t *globalDim,
                             const uint64_t *globalStrides, const uint32_t *boxDim,
                             const uint32_t *elementStrides, TensorInterleave interleave,
                             TensorSwizzle swizzle, TensorPromotion promotion, TensorFill fill) {
  if (static_cast<size_t>(type) >= std::size(typeBytes))
    return makeError(Status::Unsupported, "tensor map: data type " +
                                              std::to_string(static_cast<unsigned>(type)) +
                                              ", the simulator has 0 to 12");
  if (interleave != TensorInterleave::None)
    return makeError(Status::Unsupported, "tensor map: the simulator has no interleaved layouts");
  if (swizzle > TensorSwizzle::Bytes128)
    return makeError(Status::Unsupported, "tensor map: swizzle " +
                                              std::to_string(static_cast<unsigned>(swizzle)) +
                                              ", the simulator has 0 to 3");
  if (promotion > TensorPromotion::Bytes256 || fill > TensorFill::NaN)
    return bad("tensor map: L2 promotion or fill is not a value of its type");
  if (rank < 1 || rank > 5)
    return bad("tensor map: rank is " + std::to_string(rank) + ", expected 1 to 5");
  const unsigned bytes = bytesOf(type);
  const bool floating = type == TensorType::F16 || type == TensorType::BF16 ||
                        (type >= TensorType::F32 && type != TensorType::BF16);
  if (fill == TensorFill::NaN && !floating)
    return bad("tensor map: a fill with NaN needs a floating-point type");
  Encoded encoded;
  encoded.address = reinterpret_cast<uint64_t>(globalAddress);
  if (encoded.address == 0 || encoded.address % 16)
    return bad("tensor map: the address must be a multiple of 16 and not null");
  for (uint32_t i = 0; i < rank; ++i) {
    if (globalDim[i] < 1 || globalDim[i] > uint64_t(1) << 32)
      return bad("tensor map: " + at("dimension", i) + " is " + std::to_string(globalDim[i]) +
                 ", expected 1 to 2^32");
    if (boxDim[i] < 1 || boxDim[i] > 256)
      return bad("tensor map: " + at("box", i) + " is " + std::to_string(boxDim[i]) +
                 ", expected 1 to 256");
    if (elementStrides[i] < 1 || elementStrides[i] > 8)
      return bad("tensor map: " + at("element stride", i) + " is " +
                 std::to_string(elementStrides[i]) + ", expected 1 to 8");
    encoded.largestIndex[i] = static_cast<uint32_t>(globalDim[i] - 1);
    encoded.box[i] = static_cast<uint16_t>(boxDim[i]);
    encoded.elementStrides[i] = static_cast<uint8_t>(elementStrides[i]);
  }
  for (uint32_t i = 1; i < rank; ++i) {
    uint64_t stride = globalStrides[i - 1];
    if (stride % 16 || stride >= uint64_t(1) << 40)
      return bad("tensor map: " + at("stride", i - 1) + " is " + std::to_string(stride) +
                 ", expected a multiple of 16 below 2^40");
    encoded.strides[i - 1] = stride;
  }
  const uint32_t inner = boxDim[0] * bytes;
  if (inner % 16)
    return bad("tensor map: the innermost box has " + std::to_string(inner) +
               " bytes, expected a multiple of 16");
  const uint32_t span = swizzle == TensorSwizzle::None ? 0 : 16u << static_cast<unsigned>(swizzle);
  if (span && inner > span)
    return bad("tensor map: the innermost box has " + std::to_string(inner) +
               " bytes, the swizzle allows " + std::to_string(span));
  encoded.type = static_cast<uint8_t>(type);
  encoded.rank = static_cast<uint8_t>(rank);
  encoded.swizzle = static_cast<uint8_t>(swizzle);
  encoded.promotion = static_cast<uint8_t>(promotion);
  encoded.fill = static_cast<uint8_t>(fill);
  encoded.check = checksum(encoded);
  std::memset(map.data(), 0, map.size());
  std::memcpy(map.data(), &encoded, sizeof encoded);
  return {};
}

Result<TensorMap> decodeTensorMap(std::span<const std::byte, tensorMapBytes> map) {
  Encoded encoded;
  std::memcpy(&encoded, map.data(), sizeof encoded);
  if (encoded.mark != magic)
    return bad("the 128 bytes are not a tensor map of the simulated device");
  if (encoded.check != checksum(encoded))
    return bad("the tensor map has been changed since it was encoded");
  TensorMap result;
  result.type = static_cast<TensorType>(encoded.type);
  result.rank = encoded.rank;
  result.swizzle = static_cast<TensorSwizzle>(encoded.swizzle);
  result.promotion = static_cast<TensorPromotion>(encoded.promotion);
  result.fill = static_cast<TensorFill>(encoded.fill);
  result.address = encoded.address;
  for (unsigned i = 0; i < result.rank; ++i) {
    result.dimensions[i] = uint64_t(encoded.largestIndex[i]) + 1;
    result.strides[i] = i == 0 ? bytesOf(result.type) : encoded.strides[i - 1];
    result.box[i] = encoded.box[i];
    result.elementStrides[i] = encoded.elementStrides[i];
  }
  return result;
}

} // namespace attncc::simulator
