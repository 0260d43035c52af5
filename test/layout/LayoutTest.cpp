//===- LayoutTest.cpp - Layouts against brute force ---------------------------===//
//
// Every layout the kernels use covers its tile once; its inverse is its inverse; fragments are the
// formulas of the PTX ISA and swizzles the formulas of the tensor copies, written out by hand.
//===----------------------------------------------------------------------===//
#include "dialects/tile/layout/Layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace attncc::tile {

// So that a failing comparison shows the layout's text.
void PrintTo(const Layout &l, std::ostream *os) { *os << l.str(); }
void PrintTo(const Coordinate &c, std::ostream *os) {
  *os << "(" << c.row << "," << c.column << ")";
}

namespace {

using Row = Coordinate;

/// Every element has the same number of holders, 2^(replicated bits), and holderOf is one of
/// them, the one whose replicated bits are zero.
void expectCoversOnce(const Layout &l) {
  ASSERT_EQ(l.defect(), std::nullopt) << l.str();
  std::map<std::pair<int64_t, int64_t>, int64_t> holders;
  for (int64_t w = 0; w < l.warps(); ++w)
    for (int64_t t = 0; t < l.lanes(); ++t)
      for (int64_t r = 0; r < l.registersPerThread(); ++r) {
        Coordinate c = l.at(r, t, w);
        ++holders[{c.row, c.column}];
        Holder home = l.holderOf(c);
        EXPECT_EQ(l.at(home), c);
        EXPECT_EQ(home.reg, r);
        EXPECT_EQ(home.lane, t & ~l.replicatedLanes());
        EXPECT_EQ(home.warp, w & ~l.replicatedWarps());
      }
  ASSERT_EQ(static_cast<int64_t>(holders.size()), l.rows() * l.columns()) << l.str();
  int64_t copies = holders.begin()->second;
  for (auto &[c, n] : holders) {
    EXPECT_TRUE(c.first < l.rows() && c.second < l.columns());
    EXPECT_EQ(n, copies);
  }
  EXPECT_EQ(l.isBijection(), copies == 1);
}

void expectOffsetsAreInverse(const Layout &l) {
  ASSERT_EQ(l.defect(), std::nullopt) << l.str();
  ASSERT_EQ(l.offsets(), l.rows() * l.columns());
  std::vector<bool> seen(static_cast<size_t>(l.offsets()));
  for (int64_t r = 0; r < l.rows(); ++r)
    for (int64_t c = 0; c < l.columns(); ++c) {
      int64_t o = l.offsetOf({r, c});
      ASSERT_TRUE(o >= 0 && o < l.offsets());
      EXPECT_FALSE(seen[static_cast<size_t>(o)]);
      seen[static_cast<size_t>(o)] = true;
      EXPECT_EQ(l.atOffset(o), (Coordinate{r, c}));
    }
}

const Layout wgmmaResult =
    Layout::registers({{0, 1}, {8, 0}}, {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}},
                      {{16, 0}, {32, 0}}, {{Dimension::Column, 10, HardwareIndex::Register}});
const Layout wgmmaOperand =
    Layout::registers({{0, 1}, {8, 0}, {0, 8}}, {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}},
                      {{16, 0}, {32, 0}}, {{Dimension::Column, 5, HardwareIndex::Register}});

TEST(Layout, FragmentsOfMma) {
  // PTX ISA: C v -> (g + 8 (v >> 1), 2c + (v & 1)); A v -> (g + 8 ((v >> 1) & 1),
  // 2c + (v & 1) + 8 (v >> 2)); B v -> k = 2c + (v & 1) + 8 (v >> 1), n = g.
  Layout a = mmaAOperand(16, 16), b = mmaBOperand(8, 16), c = mmaAccumulator(16, 8);
  for (int64_t l = 0; l < 32; ++l) {
    int64_t g = l >> 2, q = l & 3;
    for (int64_t v = 0; v < 4; ++v) {
      EXPECT_EQ(c.at(v, l), (Row{g + 8 * (v >> 1), 2 * q + (v & 1)}));
      EXPECT_EQ(b.at(v, l), (Row{g, 2 * q + (v & 1) + 8 * (v >> 1)}));
    }
    for (int64_t v = 0; v < 8; ++v)
      EXPECT_EQ(a.at(v, l), (Row{g + 8 * ((v >> 1) & 1), 2 * q + (v & 1) + 8 * (v >> 2)}));
  }
  for (const Layout &l : {mmaAOperand(64, 96), mmaBOperand(24, 80), mmaAccumulator(32, 24),
                          mmaAccumulator(240, 16, false), wgmmaResult, wgmmaOperand}) {
    expectCoversOnce(l);
    EXPECT_TRUE(l.isSeparable());
  }
}

TEST(Layout, WgmmaResultOf64x80) {
  EXPECT_EQ(wgmmaResult.rows(), 64);
  EXPECT_EQ(wgmmaResult.columns(), 80);
  EXPECT_EQ(wgmmaResult.registersPerThread(), 40);
  EXPECT_EQ(wgmmaResult.warps(), 4);
  // PTX ISA, wgmma D: row 16 warp + g + 8 ((v >> 1) & 1), column 8 (v >> 2) + 2c + (v & 1).
  for (int64_t w = 0; w < 4; ++w)
    for (int64_t l = 0; l < 32; ++l)
      for (int64_t v = 0; v < 40; ++v)
        EXPECT_EQ(wgmmaResult.at(v, l, w), (Row{16 * w + (l >> 2) + 8 * ((v >> 1) & 1),
                                                8 * (v >> 2) + 2 * (l & 3) + (v & 1)}));
}

TEST(Layout, SwappedScoresAreTheTransposedAccumulator) {
  Layout s = mmaAccumulator(16, 8).transposed();
  EXPECT_EQ(s.str(), "register = [[1,0],[0,8]], lane = [[2,0],[4,0],[0,1],[0,2],[0,4]]");
  Layout wide = mmaAccumulator(32, 24).transposed();
  EXPECT_EQ(wide.str(), "register = [[1,0],[0,8]], lane = [[2,0],[4,0],[0,1],[0,2],[0,4]], "
                        "repeat = [column 2 register, row 3 register]");
  expectCoversOnce(wide);
  EXPECT_EQ(wide.transposed(), mmaAccumulator(32, 24));
}

TEST(Layout, RowStatisticsAreReplicatedOverTheKeyLanes) {
  Layout m = rowStatistics(mmaAccumulator(32, 24).transposed(), true);
  EXPECT_EQ(m.str(), "register = [[1,0]], lane = [[2,0],[4,0],[0,0],[0,0],[0,0]], "
                     "repeat = [row 3 register], partial");
  EXPECT_EQ(m.replicatedLanes(), 28);
  EXPECT_EQ(m.columns(), 1);
  expectCoversOnce(m);
  // Over warps: a repeat along the reduced dimension becomes replicated warp bits, if it can.
  Layout warps = Layout::registers({}, {{1, 0}}, {}, {{Dimension::Column, 4, HardwareIndex::Warp}});
  EXPECT_EQ(warps.reduced(Dimension::Column)->replicatedWarps(), 3);
  Layout three = Layout::registers({}, {{1, 0}}, {}, {{Dimension::Column, 3, HardwareIndex::Warp}});
  EXPECT_EQ(three.reduced(Dimension::Column), std::nullopt);
  EXPECT_EQ(three.reduced(Dimension::Row)->warps(), 3);
}

TEST(Layout, SharedTileOf80x128Is128ByteSwizzledPanels) {
  Layout l = sharedSwizzled(80, 128, 2);
  EXPECT_EQ(l.str(), "offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], "
                     "repeat = [row 10 offset, column 2 offset]");
  for (int64_t r = 0; r < 80; ++r)
    for (int64_t c = 0; c < 128; ++c)
      EXPECT_EQ(l.byteOffsetOf({r, c}, 2),
                (c / 64) * 80 * 128 + r * 128 + (((c % 64 / 8) ^ (r & 7)) << 4) + c % 8 * 2);
}

TEST(Layout, SharedTilesOfEveryHeadDimSwizzleAsTheTensorCopiesDo) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t rows : {8, 16, 24, 32, 80}) {
      Layout l = sharedSwizzled(rows, dim, 2);
      expectOffsetsAreInverse(l);
      int64_t panel = panelBytes(dim, 2);
      EXPECT_EQ(dim * 2 % panel, 0);
      // Tensor-copy swizzle of width w: address bits [4, 4 + log2(w / 16)) ^= bits [7, …).
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < dim; ++c) {
          int64_t plain = (c * 2 / panel) * rows * panel + r * panel + c * 2 % panel;
          EXPECT_EQ(l.byteOffsetOf({r, c}, 2), plain ^ ((plain >> 7 & (panel / 16 - 1)) << 4));
        }
    }
  EXPECT_EQ(panelBytes(128, 2), 128);
  EXPECT_EQ(panelBytes(96, 2), 64);
  EXPECT_EQ(panelBytes(80, 2), 32);
  EXPECT_EQ(panelBytes(128, 1), 128);
}

// A box (panel, box rows, panels) of a tensor copy arrives with its innermost dimension first; the
// next box begins behind it.
TEST(Layout, SharedTilesInBoxesAreWhatTensorCopiesWrite) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (auto [rows, box] : {std::pair(16, 8), std::pair(48, 16), std::pair(64, 8)}) {
      Layout l = sharedSwizzled(rows, dim, 2, box);
      EXPECT_EQ(l.defectFor(rows, dim), std::nullopt);
      expectOffsetsAreInverse(l);
      int64_t panel = panelBytes(dim, 2);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < dim; ++c) {
          int64_t plain = r / box * box * dim * 2 + c * 2 / panel * box * panel + r % box * panel +
                          c * 2 % panel;
          ASSERT_EQ(l.byteOffsetOf({r, c}, 2), plain ^ ((plain >> 7 & (panel / 16 - 1)) << 4));
        }
    }
  EXPECT_EQ(sharedSwizzled(48, 96, 2, 48), sharedSwizzled(48, 96, 2));
}

TEST(Layout, RowVectorsCoverEveryShapeOfTheKernels) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t rows : {1, 3, 4, 8, 16, 24, 32}) {
      for (int64_t units : {1, 2, 4}) {
        Layout l = blockDistributed(rows, dim, units);
        expectCoversOnce(l);
        EXPECT_EQ(l.defectFor(rows, dim), std::nullopt);
        EXPECT_EQ(l.warps(), units);
        for (int64_t v = 0; v < (rows == 1 ? 2 : 4); ++v)
          EXPECT_EQ(l.registerPart(v), (Row{0, v}));
      }
      Layout copy = copyRows(rows, dim, 2);
      expectCoversOnce(copy);
      for (int64_t v = 0; v < 8; ++v)
        EXPECT_EQ(copy.registerPart(v), (Row{0, v}));
    }
  for (int64_t dim = 16; dim <= 256; dim += 16)
    EXPECT_LE(blockDistributed(1, dim, 1).registersPerThread(), 32) << dim;
  EXPECT_EQ(blockDistributed(8, 128, 4).str(),
            "register = [[0,1],[0,2]], lane = [[0,4],[0,8],[0,16],[0,32],[0,64]], "
            "warp = [[1,0],[2,0]], repeat = [row 2 register]");
  EXPECT_EQ(blockDistributed(1, 64, 1).replicatedLanes(), 16);
  EXPECT_EQ(blockDistributed(8, 80, 4).replicatedWarps(), 3);
  EXPECT_EQ(copyRows(16, 128, 2).str(),
            "register = [[0,1],[0,2],[0,4]], lane = [[0,8],[0,16],[0,32],[0,64],[1,0]], "
            "repeat = [row 8 register]");
}

// The rotation of half-split pairs needs column j and j + rotary / 2 of a row in one lane.
TEST(Layout, AppendKeepsRotationPairsInOneLane) {
  for (int64_t dim : {16, 48, 64, 80, 96, 128, 256})
    for (int64_t rotary = 0; rotary <= dim; rotary += dim < 128 ? 4 : 32)
      for (int64_t rows : {1, 4, 7}) {
        Layout l = appendRows(rows, dim, rotary);
        expectCoversOnce(l);
        EXPECT_EQ(l.defectFor(rows, dim), std::nullopt);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < rotary / 2; ++j)
            EXPECT_EQ(l.holderOf({r, j}).lane, l.holderOf({r, j + rotary / 2}).lane);
      }
  // Short vectors keep a lane's part of a row in registers.
  for (int64_t dim : {48, 64, 80, 96, 112, 128, 192, 256})
    EXPECT_LE(appendRows(1, dim, dim).registersPerThread(), 32) << dim;
  EXPECT_EQ(appendRows(1, 80, 80).registersPerThread(), 20);
  EXPECT_EQ(appendRows(1, 128, 128).registerBasis().size(), 3u);
  EXPECT_EQ(appendRows(4, 64, 64).str(),
            "register = [[0,1],[0,2],[0,4]], lane = [[0,8],[0,16],[1,0],[2,0],[0,0]], "
            "repeat = [column 2 register]");
}

TEST(Layout, DefectsNameTheConstraint) {
  using testing::HasSubstr;
  using testing::Optional;
  auto defect = [](const Layout &l) { return l.defect(); };
  EXPECT_THAT(defect(Layout::registers({{0, 1}, {0, 2}}, {{0, 3}})),
              Optional(HasSubstr("linearly dependent")));
  EXPECT_THAT(defect(Layout::registers({{0, 1}}, {{0, 4}})),
              Optional(HasSubstr("span 4 elements of a patch of 8")));
  EXPECT_THAT(defect(Layout::registers({{0, 0}}, {{0, 1}})), Optional(HasSubstr("zero register")));
  EXPECT_THAT(defect(Layout::shared({{0, 1}, {0, 0}})), Optional(HasSubstr("zero offset")));
  EXPECT_THAT(defect(Layout::shared({{0, 1}}, {{Dimension::Row, 2, HardwareIndex::Register}})),
              Optional(HasSubstr("repeat over register")));
  EXPECT_THAT(
      defect(Layout::registers({{0, 1}}, {}, {}, {{Dimension::Row, 0, HardwareIndex::Register}})),
      Optional(HasSubstr("repeat count 0")));
  EXPECT_THAT(defect(Layout::registers({{-1, 1}}, {})), Optional(HasSubstr("outside")));
  EXPECT_THAT(mmaAOperand(16, 32).defectFor(16, 48),
              Optional(HasSubstr("covers 16x32, the tile is 16x48")));
  EXPECT_EQ(mmaAOperand(16, 32).defectFor(16, 32), std::nullopt);
}

// Random well-formed layouts: a random invertible matrix over F2, random repeats.
TEST(Layout, RandomLayoutsInvert) {
  unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int trial = 0; trial < 200; ++trial) {
    int rowBits = random() % 4, columnBits = 1 + random() % 4, n = rowBits + columnBits;
    std::vector<uint32_t> rows;
    while (static_cast<int>(rows.size()) < n) {
      uint32_t v = 1 + random() % ((1u << n) - 1);
      bool inSpan = false;
      for (uint32_t m = 0; m < 1u << rows.size() && !inSpan; ++m) {
        uint32_t x = 0;
        for (size_t i = 0; i < rows.size(); ++i)
          x ^= m >> i & 1 ? rows[i] : 0;
        inSpan = x == v;
      }
      if (!inSpan)
        rows.push_back(v);
    }
    Layout::Basis bases[3];
    Layout::Basis all;
    for (uint32_t v : rows) {
      Coordinate c{v >> columnBits, v & ((1 << columnBits) - 1)};
      bases[random() % 3].push_back(c);
      all.push_back(c);
    }
    bases[1 + random() % 2].push_back({});
    std::vector<Repeat> repeats, offsetRepeats;
    for (int i = random() % 4; i > 0; --i) {
      Dimension d = random() % 2 ? Dimension::Row : Dimension::Column;
      int64_t count = 1 + random() % 3;
      repeats.push_back({d, count, random() % 3 ? HardwareIndex::Register : HardwareIndex::Warp});
      offsetRepeats.push_back({d, count, HardwareIndex::Offset});
    }
    expectCoversOnce(Layout::registers(bases[0], bases[1], bases[2], repeats));
    expectOffsetsAreInverse(Layout::shared(all, offsetRepeats));
    if (testing::Test::HasFailure())
      return;
  }
}

} // namespace
} // namespace attncc::tile
