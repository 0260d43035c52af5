//===- KeepResultsTest.cpp - Same result before and after ----------------------===//
//
// Every tile pass, on the interpreter: what a kernel computes in double precision from seeded
// ragged inputs is the same before the passes, after each prefix of the pipeline, and after the
// whole. Rings are checked on the way: a slot that is overwritten before its release, read after it
// or never committed is an error of the interpreter.
//===----------------------------------------------------------------------===//
#include "test/dialects/tile/transforms/KeepResults.h"
#include "test/dialects/tile/transforms/Programs.h"

#include <numeric>
#include <random>

namespace attncc::tile {
namespace {

// Edge tiles are peeled between persist and canonicalize.
const std::string assign = "tile-assign-layouts", pipeline = assign + ",tile-pipeline",
                  prefetch = pipeline + ",tile-prefetch", persist = prefetch + ",tile-persist",
                  peel = persist + ",tile-peel-masks",
                  whole = peel + ",canonicalize,cse,tile-pack-shared-memory{limit=1048576}";

// One shape, the pipeline one pass longer at a time.
TEST_F(KeepResults, DecodeAfterEachPass) {
  for (const std::string &passes : {assign, pipeline, prefetch, persist, whole})
    EXPECT_EQ(keeps(decodeProgram({}), passes), "") << passes;
}

TEST_F(KeepResults, DecodeOfEveryHeadDim) {
  for (int64_t dim : {16, 48, 80, 96, 128, 256})
    EXPECT_EQ(keeps(decodeProgram({.keyDim = dim, .valueDim = dim}), whole), "") << "dim " << dim;
  EXPECT_EQ(keeps(decodeProgram({.keyDim = 96, .valueDim = 64, .type = "f16"}), whole), "");
}

// Groups that are no power of two, more rows than one token has heads, chunks of rows.
TEST_F(KeepResults, DecodeOfEveryGroup) {
  for (int64_t group : {1, 3, 5, 8, 16})
    for (int64_t rows : {8, 16, 32})
      EXPECT_EQ(
          keeps(decodeProgram({.keyDim = 16, .valueDim = 16, .group = group, .rows = rows}), whole),
          "")
          << "group " << group << " rows " << rows;
}

// Pages smaller than a tile, of odd sizes and larger: 2 to 32 tiles share one load of page numbers.
TEST_F(KeepResults, DecodeOfEveryPageSize) {
  for (int64_t page : {1, 2, 3, 8, 16, 24, 48, 64, 256})
    for (int64_t keys : {16, 32, 48})
      if (keys / std::gcd(page, keys) <= 32)
        EXPECT_EQ(
            keeps(decodeProgram({.keyDim = 16, .valueDim = 16, .pageSize = page, .keys = keys}),
                  whole),
            "")
            << "page size " << page << " keys " << keys;
}

// A range of 63 tiles, so that 32 page numbers are used up in the middle of the loop.
TEST_F(KeepResults, DecodeOfLongRanges) {
  interpreter::Shapes shapes;
  shapes.sequences = {{1, 1001}, {3, 530}, {1, 512}, {2, 513}};
  for (int64_t page : {8, 16, 64})
    EXPECT_EQ(keeps(decodeProgram({.keyDim = 16, .valueDim = 16, .pageSize = page, .units = 1}),
                    whole, shapes),
              "")
        << "page size " << page;
}

TEST_F(KeepResults, DecodeOfEveryRing) {
  for (int64_t units : {1, 2, 8})
    for (int64_t stages : {1, 2, 5})
      EXPECT_EQ(
          keeps(
              decodeProgram(
                  {.keyDim = 16, .valueDim = 16, .pageSize = 2, .units = units, .stages = stages}),
              whole),
          "")
          << "units " << units << " stages " << stages;
  EXPECT_EQ(keeps(decodeProgram({.keyDim = 16, .valueDim = 16, .stagesText = "[2, 4]"}), whole),
            "");
}

// Tensor copies leave rows past the end undefined: the interpreter makes them NaN.
TEST_F(KeepResults, DecodeInBoxes) {
  for (auto [page, box] : {std::pair(8, 8), std::pair(16, 8), std::pair(16, 16), std::pair(24, 8),
                           std::pair(64, 16), std::pair(256, 16)})
    for (const std::string &passes : {assign, pipeline, prefetch, whole})
      EXPECT_EQ(keeps(decodeProgram({.keyDim = 16, .valueDim = 48, .pageSize = page, .box = box}),
                      passes),
                "")
          << "page size " << page << " box " << box << " " << passes;
  for (const char *stages : {"1", "[2, 4]"})
    EXPECT_EQ(keeps(decodeProgram({.keyDim = 16, .valueDim = 16, .stagesText = stages, .box = 16}),
                    whole),
              "")
        << stages;
}

TEST_F(KeepResults, DecodeInSplits) {
  DecodeShape shape{.keyDim = 32,
                    .valueDim = 32,
                    .split = ", split = #attn.split<steps = [[64, 16], [4096, 32]]>"};
  for (const std::string &passes : {prefetch, whole})
    EXPECT_EQ(keeps(decodeProgram(shape), passes), "") << passes;
}

// Items that take several splits: units meet in the slots of rings, which are filled ahead.
TEST_F(KeepResults, DecodeOfSeveralSplits) {
  interpreter::Shapes shapes;
  shapes.sequences = {{1, 1}, {3, 64}, {1, 65}, {8, 200}, {2, 256}, {1, 700}, {8, 1000}, {0, 70}};
  for (const char *merge : {"span", "item"})
    for (int64_t box : {0, 16})
      for (int64_t splitTokens : {0, -1, -2, -5}) {
        if (merge == std::string("span") && splitTokens == -1)
          continue; // may take all
        shapes.splitTokens = splitTokens;
        DecodeShape shape{.keyDim = 32,
                          .valueDim = 32,
                          .split = ", split = #attn.split<steps = [[512, 64], [4096, 128]]>",
                          .merge = merge,
                          .box = box};
        for (const std::string &passes : {assign, pipeline, prefetch, whole})
          EXPECT_EQ(keeps(decodeProgram(shape), passes, shapes), "")
              << merge << " " << box << " " << splitTokens << " " << passes;
      }
}

// A random corner of the space of shapes.
TEST_F(KeepResults, DecodeOfRandomShapes) {
  unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  auto between = [&](int64_t low, int64_t high) {
    return low + int64_t(random() % (high - low + 1));
  };
  for (int trial = 0; trial < 8; ++trial) {
    DecodeShape shape{.keyDim = 16 * between(1, 6),
                      .valueDim = 16 * between(1, 6),
                      .group = between(1, 9),
                      .rows = 8 * between(1, 4),
                      .pageSize = between(1, 70),
                      .keys = 16 * between(1, 2),
                      .units = int64_t(1) << between(0, 3),
                      .stages = between(1, 4)};
    EXPECT_EQ(interpreter::pipelineKeepsResults(context, decodeProgram(shape),
                                                "builtin.module(tile.kernel(" + whole + "))",
                                                random()),
              "")
        << decodeProgram(shape);
  }
}

TEST_F(KeepResults, PrefillAfterEachPass) {
  for (const std::string &passes : {assign, pipeline, prefetch, persist, peel, whole})
    EXPECT_EQ(keeps(prefillProgram({.rows = 16, .keys = 32, .stages = 2}), passes), "") << passes;
}

TEST_F(KeepResults, PrefillOfEveryHeadDim) {
  for (int64_t dim : {16, 48, 80, 128, 256})
    EXPECT_EQ(
        keeps(prefillProgram({.keyDim = dim, .valueDim = dim, .rows = 16, .stages = 2}), whole), "")
        << "dim " << dim;
}

TEST_F(KeepResults, PrefillOfEveryGroupAndMask) {
  for (int64_t group : {1, 3, 8})
    for (const char *order : {"natural", "longest_first"})
      for (const char *mask : {"causal", "none"})
        EXPECT_EQ(keeps(prefillProgram({.keyDim = 16,
                                        .valueDim = 16,
                                        .group = group,
                                        .rows = 32,
                                        .units = 2,
                                        .stages = 2},
                                       order, mask),
                        whole),
                  "")
            << "group " << group << " " << order << " " << mask;
}

// Rings of the block: one slot, several, one ring each; pages smaller and larger than a tile.
TEST_F(KeepResults, PrefillOfEveryRing) {
  for (const char *stages : {"1", "3", "[2, 2]", "[3, 2]"})
    for (int64_t page : {1, 24, 64})
      EXPECT_EQ(keeps(prefillProgram({.keyDim = 16,
                                      .valueDim = 16,
                                      .rows = 16,
                                      .pageSize = page,
                                      .keys = 32,
                                      .stagesText = stages}),
                      whole),
                "")
          << "stages " << stages << " page size " << page;
}

TEST_F(KeepResults, Append) {
  for (AppendShape shape :
       {AppendShape{}, AppendShape{.dim = 80, .group = 3, .rotary = 32, .norm = false},
        AppendShape{.dim = 96, .group = 7, .rotary = 96, .pageSize = 5},
        AppendShape{.dim = 128, .group = 1, .rotary = 64, .interleaved = true},
        AppendShape{.dim = 256, .group = 16, .rotary = 256}})
    for (const std::string &passes : {assign, whole})
      for (bool table : {false, true}) {
        interpreter::Shapes shapes;
        shapes.cosSin = table;
        EXPECT_EQ(keeps(appendProgram(shape), passes, shapes), "") << appendProgram(shape);
      }
}

// With the queries and without.
TEST_F(KeepResults, AppendWithoutPrologue) {
  for (bool given : {false, true}) {
    interpreter::Shapes shapes;
    shapes.optional = given;
    for (int64_t dim : {64, 80, 256})
      EXPECT_EQ(keeps(copyProgram(dim, 3), whole, shapes), "") << dim;
  }
}

TEST_F(KeepResults, Merge) {
  for (int64_t dim : {16, 64, 80, 128, 256})
    for (int64_t units : {1, 4})
      for (const std::string &passes : {assign, whole})
        EXPECT_EQ(keeps(mergeProgram(dim, units), passes), "") << dim << " " << units;
}

TEST_F(KeepResults, MergeStates) {
  for (int64_t dim : {16, 64, 80, 128, 256})
    for (int64_t units : {1, 4})
      for (const std::string &passes : {assign, whole})
        EXPECT_EQ(keeps(mergeStatesProgram(dim, units), passes), "") << dim << " " << units;
}

} // namespace
} // namespace attncc::tile
