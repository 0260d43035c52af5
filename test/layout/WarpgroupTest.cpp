//===- WarpgroupTest.cpp - Products of a warpgroup against the PTX ISA --------===//
//
// Registers against the formulas of "Register Fragments for wgmma.m64nNk16", and shared operands
// against those of "Shared Memory Matrix Layout", written out by hand: every element of every head
// dim, tile and box is where the instruction looks for it, or the tile is refused.
//===----------------------------------------------------------------------===//
#include "dialects/tile/layout/Layout.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace attncc::tile {
namespace {

constexpr int64_t elementBytes = 2;

TEST(Warpgroup, RegistersAreThoseOfTheFragments) {
  for (int64_t n = 8; n <= 256; n += 8)
    for (int64_t k : {16, 32, 80, 256}) {
      auto product = wgmmaProduct(64, n, k);
      ASSERT_TRUE(product) << n << " " << k;
      const Layout &d = product->result, &a = product->lhs;
      ASSERT_EQ(d.defectFor(64, n), std::nullopt);
      ASSERT_EQ(a.defectFor(64, k), std::nullopt);
      ASSERT_TRUE(d.isBijection() && a.isBijection());
      ASSERT_EQ(d.registersPerThread(), n / 2);
      ASSERT_EQ(a.registersPerThread(), k / 2);
      ASSERT_EQ(d.warps(), 4);
      ASSERT_EQ(a.warps(), 4);
      for (int64_t thread = 0; thread < 128; ++thread) {
        int64_t w = thread >> 5, g = (thread >> 2) & 7, c = thread & 3;
        for (int64_t v = 0; v < n / 2; ++v)
          ASSERT_EQ(d.at(v, thread & 31, w),
                    (Coordinate{16 * w + g + 8 * ((v >> 1) & 1), 8 * (v >> 2) + 2 * c + (v & 1)}));
        // Each 16 of the contraction are 8 registers.
        for (int64_t v = 0; v < k / 2; ++v)
          ASSERT_EQ(a.at(v, thread & 31, w),
                    (Coordinate{16 * w + g + 8 * ((v >> 1) & 1),
                                16 * (v >> 3) + 8 * ((v >> 2) & 1) + 2 * c + (v & 1)}));
      }
    }
}

// Scores are the next product's left operand register by register.
TEST(Warpgroup, ScoresBecomeTheOperandByRenaming) {
  for (int64_t keys : {16, 80, 128}) {
    auto plan = planConversion(wgmmaProduct(64, keys, 64)->result, wgmmaProduct(64, 64, keys)->lhs,
                               elementBytes);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->kind, ConversionPlan::Kind::Rename);
    for (size_t v = 0; v < plan->source.size(); ++v)
      EXPECT_EQ(plan->source[v], static_cast<int64_t>(v));
  }
}

TEST(Warpgroup, OtherShapesAreNoProducts) {
  EXPECT_FALSE(wgmmaProduct(32, 64, 16));
  EXPECT_FALSE(wgmmaProduct(128, 64, 16));
  EXPECT_FALSE(wgmmaProduct(64, 12, 16));
  EXPECT_FALSE(wgmmaProduct(64, 264, 16));
  EXPECT_FALSE(wgmmaProduct(64, 64, 24));
}

/// Where the instruction reads element (line, k) of step `step`, in bytes from the tile's begin;
/// lines are rows or columns, whichever are not contracted.
int64_t readAt(const WgmmaOperand &operand, int64_t step, int64_t line, int64_t k) {
  const int64_t width = operand.swizzleBytes;
  int64_t linear = operand.offsets[static_cast<size_t>(step)];
  if (operand.transposed) {
    int64_t panel = width / elementBytes;
    linear += line / panel * operand.leading + line % panel * elementBytes +
              k / 8 * operand.stride + k % 8 * width;
  } else {
    linear += line / 8 * operand.stride + line % 8 * width + k * elementBytes;
  }
  int64_t chunks = width == 128 ? 7 : width == 64 ? 3 : 1;
  return linear ^ (((linear >> 7) & chunks) << 4);
}

void expectReadsEveryElement(const Layout &tile, Dimension contraction) {
  auto operand = planWgmmaOperand(tile, contraction);
  ASSERT_TRUE(operand);
  EXPECT_EQ(operand->transposed, contraction == Dimension::Row);
  for (int64_t field : {operand->leading, operand->stride}) {
    EXPECT_EQ(field % 16, 0);
    EXPECT_LT(field / 16, 1 << 14);
  }
  int64_t depth = tile.extent(contraction);
  int64_t lines = tile.rows() * tile.columns() / depth;
  ASSERT_EQ(static_cast<int64_t>(operand->offsets.size()), depth / 16);
  for (int64_t line = 0; line < lines; ++line)
    for (int64_t k = 0; k < depth; ++k) {
      Coordinate c = contraction == Dimension::Row ? Coordinate{k, line} : Coordinate{line, k};
      ASSERT_EQ(readAt(*operand, k / 16, line, k % 16), tile.byteOffsetOf(c, elementBytes))
          << "row " << c.row << " column " << c.column;
    }
}

TEST(Warpgroup, DescriptorsOfQueriesKeysAndValuesAtEveryHeadDim) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t keys = 16; keys <= 128; keys += 16)
      for (int64_t box = 8; box <= keys; box += 8) {
        if (keys % box != 0)
          continue;
        SCOPED_TRACE(testing::Message() << "dim " << dim << " keys " << keys << " box " << box);
        Layout tile = sharedSwizzled(keys, dim, elementBytes, box);
        bool onePanel = panelBytes(dim, elementBytes) == dim * elementBytes;
        // Boxes of several panels stand between the rows, at one stride only where each is 8 rows.
        bool oneStride = onePanel || box == keys || box == 8;
        if (oneStride)
          expectReadsEveryElement(tile, Dimension::Column);
        else
          EXPECT_FALSE(planWgmmaOperand(tile, Dimension::Column));
        // Only the 16 rows of one step must lie at one stride, in a box or in two of 8.
        if (oneStride || box % 16 == 0)
          expectReadsEveryElement(tile, Dimension::Row);
        else
          EXPECT_FALSE(planWgmmaOperand(tile, Dimension::Row));
        if (testing::Test::HasFailure())
          return;
      }
}

TEST(Warpgroup, DescriptorsByHand) {
  // 80 keys of head dim 128 in panels of whole tiles: 8 rows of 128 bytes, the second panel behind
  // 80 rows; each 16 dims are 32 bytes.
  auto keys = planWgmmaOperand(sharedSwizzled(80, 128, 2), Dimension::Column);
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->swizzleBytes, 128);
  EXPECT_EQ(keys->stride, 1024);
  EXPECT_EQ(keys->offsets, (std::vector<int64_t>{0, 32, 64, 96, 10240, 10272, 10304, 10336}));
  // As values in boxes of 16: a panel is 16 rows of 128 bytes, two of them a box, and each 16 keys.
  auto values = planWgmmaOperand(sharedSwizzled(80, 128, 2, 16), Dimension::Row);
  ASSERT_TRUE(values);
  EXPECT_EQ(values->leading, 2048);
  EXPECT_EQ(values->stride, 1024);
  EXPECT_EQ(values->offsets, (std::vector<int64_t>{0, 4096, 8192, 12288, 16384}));
}

TEST(Warpgroup, NoDescriptorForOtherTiles) {
  EXPECT_FALSE(planWgmmaOperand(mmaAOperand(16, 16), Dimension::Column));
  EXPECT_FALSE(planWgmmaOperand(sharedSwizzled(24, 64, 2), Dimension::Row)); // 16 and a half step
  // Rows without a swizzle.
  EXPECT_FALSE(planWgmmaOperand(
      Layout::shared(
          {{0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 16}, {0, 32}, {1, 0}, {2, 0}, {4, 0}, {8, 0}}),
      Dimension::Column));
}

} // namespace
} // namespace attncc::tile
