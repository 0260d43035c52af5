//===- TensorMapTest.cpp - encoding of tensor maps ------------------------===//
//
// Tests runtime/simulator/TensorMap.cpp: every field survives, and what cuTensorMapEncodeTiled
// refuses is refused.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/TensorMap.h"

#include <gtest/gtest.h>

namespace attncc::simulator::test {
namespace {

struct Arguments {
  TensorType type = TensorType::BF16;
  uint32_t rank = 3;
  uintptr_t address = 0x1000;
  uint64_t dimensions[5] = {128, 77, 8, 2, 3}, strides[4] = {256, 20480, 1 << 20, 1 << 22};
  uint32_t box[5] = {64, 32, 1, 1, 1}, elementStrides[5] = {1, 1, 1, 1, 1};
  TensorInterleave interleave = TensorInterleave::None;
  TensorSwizzle swizzle = TensorSwizzle::Bytes128;
  TensorPromotion promotion = TensorPromotion::Bytes128;
  TensorFill fill = TensorFill::Zero;
  std::array<std::byte, 128> bytes{};

  Result<void> encode() {
    return encodeTensorMap(bytes, type, rank, reinterpret_cast<const void *>(address), dimensions,
                           strides, box, elementStrides, interleave, swizzle, promotion, fill);
  }
  std::string error() {
    Result<void> result = encode();
    return result ? "none" : result.error().diagnostic.message;
  }
};

TEST(TensorMap, KeepsEveryField) {
  Arguments arguments;
  arguments.type = TensorType::F16;
  arguments.rank = 5;
  arguments.dimensions[4] = uint64_t(1) << 32;
  arguments.strides[3] = (uint64_t(1) << 40) - 16;
  arguments.elementStrides[1] = 3;
  arguments.box[4] = 256;
  arguments.fill = TensorFill::NaN;
  ASSERT_TRUE(bool(arguments.encode()));
  Result<TensorMap> map = decodeTensorMap(arguments.bytes);
  ASSERT_TRUE(bool(map));
  EXPECT_EQ(map->type, TensorType::F16);
  EXPECT_EQ(map->rank, 5);
  EXPECT_EQ(map->swizzle, TensorSwizzle::Bytes128);
  EXPECT_EQ(map->promotion, TensorPromotion::Bytes128);
  EXPECT_EQ(map->fill, TensorFill::NaN);
  EXPECT_EQ(map->address, 0x1000u);
  EXPECT_EQ(map->dimensions, (std::array<uint64_t, 5>{128, 77, 8, 2, uint64_t(1) << 32}));
  EXPECT_EQ(map->strides,
            (std::array<uint64_t, 5>{2, 256, 20480, 1 << 20, (uint64_t(1) << 40) - 16}));
  EXPECT_EQ(map->box, (std::array<uint32_t, 5>{64, 32, 1, 1, 256}));
  EXPECT_EQ(map->moved(1), 11u);
  EXPECT_EQ(map->boxBytes(), 64u * 2 * 11 * 256);
}

TEST(TensorMap, ChangedBytesAreNoMap) {
  Arguments arguments;
  ASSERT_TRUE(bool(arguments.encode()));
  for (size_t i = 8; i < 90; i += 9) {
    auto copy = arguments.bytes;
    copy[i] ^= std::byte(4);
    Result<TensorMap> map = decodeTensorMap(copy);
    ASSERT_FALSE(bool(map)) << i;
    EXPECT_EQ(map.error().diagnostic.message,
              "the tensor map has been changed since it was encoded");
  }
  arguments.bytes[0] = std::byte(0);
  EXPECT_EQ(decodeTensorMap(arguments.bytes).error().diagnostic.message,
            "the 128 bytes are not a tensor map of the simulated device");
}

TEST(TensorMap, Refuses) {
  auto error = [](auto change) {
    Arguments arguments;
    change(arguments);
    return arguments.error();
  };
  EXPECT_EQ(error([](Arguments &a) { a.address = 8; }),
            "tensor map: the address must be a multiple of 16 and not null");
  EXPECT_EQ(error([](Arguments &a) { a.rank = 6; }), "tensor map: rank is 6, expected 1 to 5");
  EXPECT_EQ(error([](Arguments &a) { a.dimensions[1] = 0; }),
            "tensor map: dimension[1] is 0, expected 1 to 2^32");
  EXPECT_EQ(error([](Arguments &a) { a.strides[1] = 24; }),
            "tensor map: stride[1] is 24, expected a multiple of 16 below 2^40");
  EXPECT_EQ(error([](Arguments &a) { a.box[1] = 257; }),
            "tensor map: box[1] is 257, expected 1 to 256");
  EXPECT_EQ(error([](Arguments &a) { a.elementStrides[1] = 9; }),
            "tensor map: element stride[1] is 9, expected 1 to 8");
  EXPECT_EQ(error([](Arguments &a) { a.box[0] = 60; }),
            "tensor map: the innermost box has 120 bytes, expected a multiple of 16");
  EXPECT_EQ(error([](Arguments &a) { a.swizzle = TensorSwizzle::Bytes64; }),
            "tensor map: the innermost box has 128 bytes, the swizzle allows 64");
  EXPECT_EQ(error([](Arguments &a) {
              a.type = TensorType::U16;
              a.fill = TensorFill::NaN;
            }),
            "tensor map: a fill with NaN needs a floating-point type");
  EXPECT_EQ(error([](Arguments &a) { a.interleave = TensorInterleave::Bytes32; }),
            "tensor map: the simulator has no interleaved layouts");
}

} // namespace
} // namespace attncc::simulator::test
