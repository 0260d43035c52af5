//===- LayoutPlansTest.cpp - What lowerings ask, against simulated warps ------===//
//
// Each plan is executed on a model of a warp: registers per lane, movmatrix and ldmatrix as the
// PTX ISA words them, shared memory as an array; the addresses are also compared with those of the
// hand-written decode kernel.
//===----------------------------------------------------------------------===//
#include "dialects/tile/layout/Layout.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>

namespace attncc::tile {
namespace {

/// registers[lane][register] of a tile whose element (r, c) is 1000 r + c.
using Warp = std::vector<std::vector<int64_t>>;
int64_t element(const Coordinate &c) { return 1000 * c.row + c.column; }

Warp fill(const Layout &l, int64_t warp = 0) {
  Warp w(32);
  for (int64_t t = 0; t < 32; ++t)
    for (int64_t r = 0; r < l.registersPerThread(); ++r)
      w[t].push_back(element(l.at(r, t, warp)));
  return w;
}

/// movmatrix.trans of one word: the matrix's row i, columns 2j, 2j + 1 are the word of lane 4i + j.
void movmatrix(const Warp &in, int64_t word, Warp &out, int64_t outWord) {
  for (int64_t l = 0; l < 32; ++l)
    for (int64_t e = 0; e < 2; ++e) {
      int64_t row = 2 * (l & 3) + e, column = l >> 2; // of the input matrix
      out[l][2 * outWord + e] = in[4 * row + column / 2][2 * word + column % 2];
    }
}

TEST(LayoutPlans, ScoresToOperandIsMovmatrix) {
  for (int64_t keys : {16, 32, 80})
    for (int64_t rows : {8, 16, 32}) {
      Layout from = mmaAccumulator(keys, rows).transposed(), to = mmaBOperand(rows, keys);
      auto plan = planConversion(from, to, 2);
      ASSERT_TRUE(plan);
      ASSERT_EQ(plan->kind, ConversionPlan::Kind::Movmatrix);
      Warp in = fill(from), out = fill(to);
      Warp got(32, std::vector<int64_t>(out[0].size(), -1));
      for (size_t w = 0; w < plan->source.size(); ++w)
        movmatrix(in, plan->source[w], got, static_cast<int64_t>(w));
      EXPECT_EQ(got, out);
    }
}

TEST(LayoutPlans, WgmmaResultToOperandIsRename) {
  Layout from = mmaAccumulator(16, 80), to = mmaAOperand(16, 80);
  for (bool warps : {false, true}) {
    if (warps) {
      from = Layout::registers(from.registerBasis(), from.laneBasis(), {{16, 0}, {32, 0}},
                               from.repeats());
      to = Layout::registers(to.registerBasis(), to.laneBasis(), {{16, 0}, {32, 0}}, to.repeats());
    }
    auto plan = planConversion(from, to, 2);
    ASSERT_TRUE(plan);
    ASSERT_EQ(plan->kind, ConversionPlan::Kind::Rename);
    for (int64_t w = 0; w < from.warps(); ++w) {
      Warp in = fill(from, w), out = fill(to, w);
      for (size_t r = 0; r < plan->source.size(); ++r)
        for (int l = 0; l < 32; ++l)
          EXPECT_EQ(in[l][plan->source[r]], out[l][r]);
    }
  }
}

TEST(LayoutPlans, OtherLanesAreShufflesAndOtherWarpsMemory) {
  Layout from = copyRows(16, 64, 2), to = mmaAOperand(16, 64);
  auto plan = planConversion(from, to, 2);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->kind, ConversionPlan::Kind::Shuffle);
  Warp in = fill(from), out = fill(to);
  for (size_t r = 0; r < plan->from.size(); ++r)
    for (int l = 0; l < 32; ++l)
      EXPECT_EQ(in[plan->from[r][l].lane][plan->from[r][l].reg], out[l][r]);
  EXPECT_EQ(planConversion(blockDistributed(8, 128, 4), blockDistributed(8, 128, 1), 4)->kind,
            ConversionPlan::Kind::Memory);
  // A value that every warp holds needs no memory to be spread over warps.
  Layout everywhere = Layout::registers({{1, 0}, {2, 0}}, {{0, 1}}, {{0, 0}});
  Layout spread = Layout::registers({{1, 0}}, {{0, 1}}, {{2, 0}});
  EXPECT_EQ(planConversion(spread, everywhere, 4)->kind, ConversionPlan::Kind::Memory);
  // In f32 the swapped scores are not a movmatrix.
  EXPECT_EQ(planConversion(mmaAccumulator(16, 8).transposed(), mmaBOperand(8, 16), 4)->kind,
            ConversionPlan::Kind::Shuffle);
  EXPECT_FALSE(planConversion(mmaAOperand(16, 16), mmaAOperand(16, 32), 2));
}

TEST(LayoutPlans, ReductionOfSwappedScores) {
  Layout s = mmaAccumulator(32, 16).transposed();
  auto plan = planReduction(s, Dimension::Column);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->laneMasks, (std::vector<int64_t>{4, 8, 16}));
  EXPECT_TRUE(plan->warpMasks.empty());
  // Sum over columns on the model; then every lane holds the sums of its statistics layout.
  Layout m = rowStatistics(s);
  Warp sums(32, std::vector<int64_t>(static_cast<size_t>(m.registersPerThread())));
  for (int64_t l = 0; l < 32; ++l)
    for (size_t r = 0; r < plan->target.size(); ++r)
      sums[l][plan->target[r]] += s.at(static_cast<int64_t>(r), l).column;
  for (int64_t mask : plan->laneMasks) {
    Warp other = sums;
    for (int64_t l = 0; l < 32; ++l)
      for (size_t k = 0; k < sums[l].size(); ++k)
        sums[l][k] += other[l ^ mask][k];
  }
  for (int64_t l = 0; l < 32; ++l)
    for (int64_t k : sums[l])
      EXPECT_EQ(k, 32 * 31 / 2);
  EXPECT_EQ(planReduction(mmaAccumulator(16, 80), Dimension::Column)->laneMasks,
            (std::vector<int64_t>{1, 2}));
}

/// ldmatrix as the PTX ISA words it, on a shared tile that holds element(r, c).
void expectLdmatrixFills(const Layout &shared, const Layout &fragment, bool transposed) {
  auto plan = planLdmatrix(shared, fragment);
  ASSERT_TRUE(plan) << shared.str() << " -> " << fragment.str();
  EXPECT_EQ(plan->transposed, transposed);
  Warp expected = fill(fragment);
  Warp got(32, std::vector<int64_t>(expected[0].size(), -1));
  for (size_t i = 0; i < plan->addresses.accesses.size(); ++i)
    for (int64_t j = 0; j < plan->matrices; ++j) {
      std::array<std::array<int64_t, 8>, 8> matrix;
      for (int64_t row = 0; row < 8; ++row) {
        int64_t address = plan->addresses.offset(i, 8 * j + row);
        ASSERT_EQ(address % 16, 0);
        for (int64_t k = 0; k < 8; ++k)
          matrix[row][k] = element(shared.atOffset(address / 2 + k));
      }
      for (int64_t l = 0; l < 32; ++l)
        for (int64_t e = 0; e < 2; ++e) {
          int64_t g = l >> 2, c = 2 * (l & 3) + e;
          got[l][2 * (i * plan->matrices + j) + e] = transposed ? matrix[c][g] : matrix[g][c];
        }
    }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(bankConflicts(plan->addresses, 16), 0);
}

TEST(LayoutPlans, LdmatrixOfKeysAndValuesAtEveryHeadDim) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t keys : {16, 32, 80}) {
      Layout shared = sharedSwizzled(keys, dim, 2);
      expectLdmatrixFills(shared, mmaAOperand(keys, dim), false);
      expectLdmatrixFills(shared, mmaAOperand(dim, keys).transposed(), true);
      expectLdmatrixFills(shared, mmaBOperand(keys, dim), false);
      expectLdmatrixFills(shared, mmaBOperandPair(keys, dim), false);
      expectLdmatrixFills(shared, mmaBOperandPair(dim, keys).transposed(), true);
    }
}

TEST(LayoutPlans, LdmatrixOfBoxesAtEveryHeadDim) {
  for (int64_t dim = 16; dim <= 256; dim += 16) {
    Layout shared = sharedSwizzled(16, dim, 2, 8);
    expectLdmatrixFills(shared, mmaAOperand(16, dim), false);
    expectLdmatrixFills(shared, mmaAOperand(dim, 16).transposed(), true);
  }
}

// A warpgroup's left operand, which is how its result leaves by stmatrix: lane l of warp w points
// at row l % 8 of matrix l / 8, and matrices stand below each other before they stand side by side.
TEST(LayoutPlans, MatricesOfAWarpgroupAtEveryHeadDim) {
  for (int64_t dim = 16; dim <= 256; dim += 16) {
    SCOPED_TRACE(dim);
    Layout shared = sharedSwizzled(64, dim, 2);
    auto product = wgmmaProduct(64, 8, dim);
    ASSERT_TRUE(product);
    auto plan = planLdmatrix(shared, product->lhs);
    ASSERT_TRUE(plan);
    EXPECT_FALSE(plan->transposed);
    ASSERT_EQ(plan->matrices, 4);
    ASSERT_EQ(plan->addresses.basis.size(), 7u); // of 128 threads
    ASSERT_EQ(static_cast<int64_t>(plan->addresses.accesses.size()), dim / 16);
    for (int64_t thread = 0; thread < 128; ++thread)
      for (int64_t i = 0; i < dim / 16; ++i) {
        int64_t matrix = (thread & 31) >> 3;
        Coordinate start{16 * (thread >> 5) + 8 * (matrix & 1) + (thread & 7),
                         16 * i + 8 * (matrix >> 1)};
        ASSERT_EQ(plan->addresses.offset(i, thread), shared.byteOffsetOf(start, 2))
            << "thread " << thread << " instruction " << i;
        // It is the row whose first pair lane 4 (l % 8) of the warp holds in the matrix's word.
        ASSERT_EQ(product->lhs.at(8 * i + 2 * matrix, 4 * (thread & 7), thread >> 5), start);
      }
    EXPECT_EQ(bankConflicts(plan->addresses, 16), 0);
  }
}

// The hand-written decode kernel, K: lane l points at token l & 15, 16-byte chunk l >> 4;
// V: token (l & 7) + 8 (l >> 4), chunk (l >> 3) & 1; panels of 64 columns, chunk ^= token & 7.
TEST(LayoutPlans, AddressesOfTheHandWrittenKernel) {
  for (int64_t dim : {64, 128}) {
    Layout shared = sharedSwizzled(16, dim, 2);
    auto k = planLdmatrix(shared, mmaAOperand(16, dim));
    auto v = planLdmatrix(shared, mmaAOperand(dim, 16).transposed());
    ASSERT_TRUE(k && v);
    ASSERT_EQ(static_cast<int64_t>(k->addresses.accesses.size()), dim / 16);
    ASSERT_EQ(static_cast<int64_t>(v->addresses.accesses.size()), dim / 16);
    for (int64_t i = 0; i < dim / 16; ++i)
      for (int64_t l = 0; l < 32; ++l) {
        int64_t token = l & 15, chunk = (l >> 4) + 2 * (i & 3);
        EXPECT_EQ(k->addresses.offset(i, l),
                  (i >> 2) * 16 * 128 + token * 128 + ((chunk ^ (token & 7)) << 4));
        token = (l & 7) + 8 * (l >> 4), chunk = ((l >> 3) & 1) + 2 * (i & 3);
        EXPECT_EQ(v->addresses.offset(i, l),
                  (i >> 2) * 16 * 128 + token * 128 + ((chunk ^ (token & 7)) << 4));
      }
    // One lane offset per 32-byte step of a panel, the rest immediates.
    std::vector<int64_t> flips;
    for (auto &a : k->addresses.accesses)
      if (std::find(flips.begin(), flips.end(), a.flip) == flips.end())
        flips.push_back(a.flip);
    EXPECT_EQ(flips.size(), 4u);
  }
}

TEST(LayoutPlans, CopiesWriteWithoutBankConflicts) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t box : {8, 16}) {
      Layout shared = sharedSwizzled(16, dim, 2, box), copy = copyRows(16, dim, 2);
      std::vector<Coordinate> constants;
      for (int64_t r = 0; r < copy.registersPerThread(); r += 8)
        constants.push_back(copy.registerPart(r));
      auto plan = planSharedAccess(shared, 2, copy.laneBasis(), constants);
      ASSERT_TRUE(plan) << dim;
      for (size_t i = 0; i < constants.size(); ++i)
        for (int64_t l = 0; l < 32; ++l)
          EXPECT_EQ(plan->offset(i, l),
                    shared.byteOffsetOf(copy.at(static_cast<int64_t>(i) * 8, l), 2));
      EXPECT_EQ(bankConflicts(*plan, 16), 0) << dim;
    }
}

// Whole rows of a warpgroup's tile, which its 128 threads copy in and store from.
TEST(LayoutPlans, RowsOfAWarpgroupWithoutBankConflicts) {
  for (int64_t dim = 16; dim <= 256; dim += 16) {
    SCOPED_TRACE(dim);
    Layout shared = sharedSwizzled(64, dim, 2), copy = copyRows(64, dim, 2, 4);
    std::vector<Coordinate> constants;
    for (int64_t r = 0; r < copy.registersPerThread(); r += 8)
      constants.push_back(copy.registerPart(r));
    Layout::Basis threads = copy.laneBasis();
    threads.insert(threads.end(), copy.warpBasis().begin(), copy.warpBasis().end());
    ASSERT_EQ(threads.size(), 7u);
    auto plan = planSharedAccess(shared, 2, threads, constants);
    ASSERT_TRUE(plan);
    for (size_t i = 0; i < constants.size(); ++i)
      for (int64_t thread = 0; thread < 128; ++thread)
        ASSERT_EQ(
            plan->offset(i, thread),
            shared.byteOffsetOf(copy.at(static_cast<int64_t>(i) * 8, thread & 31, thread >> 5), 2));
    EXPECT_EQ(bankConflicts(*plan, 16), 0);
  }
}

TEST(LayoutPlans, BankConflictsOfKnownPatterns) {
  auto stride = [](int64_t bytes, int64_t width) {
    std::vector<int64_t> offsets;
    for (int64_t l = 0; l < 32; ++l)
      offsets.push_back(l * bytes);
    return bankConflicts(offsets, width);
  };
  EXPECT_EQ(stride(4, 4), 0);
  EXPECT_EQ(stride(0, 4), 0);        // broadcast
  EXPECT_EQ(stride(8, 4), 1);        // two-way
  EXPECT_EQ(stride(128, 4), 31);     // all lanes in one bank
  EXPECT_EQ(stride(128, 16), 4 * 7); // ldmatrix from an unswizzled tile of 128-byte rows
  EXPECT_EQ(stride(16, 16), 0);
  EXPECT_EQ(stride(8, 8), 0);
}

TEST(LayoutPlans, RefusesWhatLdmatrixCannotDo) {
  // Another order of the contraction index inside the fragment, and a tile without 16-byte rows.
  Layout shuffled =
      Layout::registers({{0, 1}, {8, 0}, {0, 8}}, {{0, 4}, {0, 2}, {1, 0}, {2, 0}, {4, 0}});
  EXPECT_FALSE(planLdmatrix(sharedSwizzled(16, 16, 2), shuffled));
  Layout columns = Layout::shared({{1, 0}, {2, 0}, {4, 0}, {8, 0}, {0, 1}, {0, 2}, {0, 4}, {0, 8}});
  EXPECT_FALSE(planLdmatrix(columns, mmaAOperand(16, 16)));
  EXPECT_FALSE(planLdmatrix(sharedSwizzled(16, 32, 2), mmaAOperand(16, 16)));
  // Two matrices an instruction: 16 lanes of each warp have no address, the others' are no bits of
  // a thread's number. One warp's 16 rows have them.
  EXPECT_FALSE(planLdmatrix(sharedSwizzled(64, 32, 2), wgmmaProduct(64, 32, 16)->result));
  EXPECT_TRUE(planLdmatrix(sharedSwizzled(16, 32, 2), mmaAccumulator(16, 32)));
}

} // namespace
} // namespace attncc::tile
