//===- KeepResultsTest.cpp - Same result before and after ----------------------===//
//
// Every tile pass, on the interpreter: what a kernel computes in double precision from seeded
// ragged inputs is the same before the passes, after each prefix of the pipeline, and after the
// whole. Rings are checked on the way: a slot that is overwritten before its release, read after it
// or never committed is an error of the interpreter.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/interpreter/Harness.h"
#include "test/dialects/tile/transforms/Programs.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Transforms/Passes.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace attncc::tile {
namespace {

using interpreter::pipelineKeepsResults;

class KeepResults : public testing::Test {
protected:
  static void SetUpTestSuite() {
    registerTilePasses();
    mlir::registerCanonicalizerPass();
    mlir::registerCSEPass();
  }

  void SetUp() override {
    mlir::DialectRegistry registry;
    registry
        .insert<attn::AttnDialect, TileDialect, mlir::arith::ArithDialect, mlir::scf::SCFDialect>();
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }

  std::string keeps(const std::string &text, const std::string &passes,
                    const interpreter::Shapes &shapes = {}) {
    return pipelineKeepsResults(context, text, "builtin.module(tile.kernel(" + passes + "))", 1,
                                shapes);
  }

  mlir::MLIRContext context;
};

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
    EXPECT_EQ(pipelineKeepsResults(
                  context,
                  decodeProgram({.keyDim = 16, .valueDim = 16, .pageSize = page, .units = 1}),
                  "builtin.module(tile.kernel(" + whole + "))", 1, shapes),
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
    EXPECT_EQ(pipelineKeepsResults(context, decodeProgram(shape),
                                   "builtin.module(tile.kernel(" + whole + "))", random()),
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

// What the sm_90a form is made of, one pass longer at a time.
const std::string roles = pipeline + ",tile-assign-roles",
                  overlap = roles + ",tile-prefetch,tile-overlap",
                  stay = overlap + ",tile-persist", edges = stay + ",tile-peel-masks",
                  issue = edges + ",tile-issue-matmuls",
                  wholeOfRoles = issue + ",canonicalize,cse,tile-pack-shared-memory{limit=1048576}";

const DecodeShape warpgroups{.keyDim = 64,
                             .valueDim = 64,
                             .rows = 64,
                             .keys = 32,
                             .units = 2,
                             .stagesText = "[2, 2]",
                             .box = 16};

// With overlap the loading role fills a slot for a range without tiles, which the units read when
// --tile-overlap has run.
TEST_F(KeepResults, RolesAfterEachPass) {
  for (const char *form : {"none", "tiles", "items"})
    for (const std::string &passes :
         {assign, pipeline, roles, overlap, stay, edges, issue, wholeOfRoles})
      if (passes != roles || std::string(form) == "none")
        EXPECT_EQ(keeps(rolesProgram(warpgroups, {.overlap = form}), passes), "")
            << "overlap " << form << " " << passes;
}

/// A sequence without keys, one without queries, one token, lengths that no tile or page divides, and
/// more queries than keys by less and by more than a block has rows.
interpreter::Shapes ragged() {
  interpreter::Shapes shapes;
  shapes.sequences = {{9, 0}, {0, 5}, {1, 1}, {70, 3}, {33, 65}, {1, 97}, {150, 17}, {64, 64}, {11, 131}};
  return shapes;
}

// One key-value head has as many rows as a block, fewer, more; a token's heads are in two units.
TEST_F(KeepResults, RolesOfEveryGroupAndMask) {
  DecodeShape shape = warpgroups;
  shape.maxQuery = 0;
  for (int64_t group : {1, 3, 4})
    for (const char *mask : {"causal", "none"})
      for (const char *form : {"tiles", "items"}) {
        shape.group = group;
        EXPECT_EQ(keeps(rolesProgram(shape, {.overlap = form, .mask = mask}), wholeOfRoles, ragged()),
                  "")
            << "group " << group << " " << mask << " overlap " << form;
      }
}

// How often units start products, when they rescale and which items they get changes nothing.
TEST_F(KeepResults, RolesOfEveryForm) {
  for (const char *form : {"none", "tiles", "items"}) {
    for (bool pingPong : {false, true})
      for (bool lazy : {false, true})
        for (int64_t queryStages : {1, 2})
          EXPECT_EQ(keeps(rolesProgram(warpgroups, {.overlap = form,
                                                    .order = "natural",
                                                    .pingPong = pingPong,
                                                    .lazy = lazy,
                                                    .queryStages = queryStages}),
                          wholeOfRoles, ragged()),
                    "")
              << "overlap " << form << " ping-pong " << pingPong << " lazy " << lazy
              << " query stages " << queryStages;
    if (std::string(form) != "items")
      EXPECT_EQ(keeps(rolesProgram(warpgroups, {.overlap = form, .work = "grid"}), wholeOfRoles), "")
          << form;
  }
}

// Rings of one slot and of several, pages of one box and of more, tiles that no power of two divides.
TEST_F(KeepResults, RolesOfEveryRing) {
  for (auto [stages, page, box, keys] :
       {std::tuple("[1, 1]", 16, 16, 32), std::tuple("[1, 3]", 8, 8, 16),
        std::tuple("[3, 1]", 64, 16, 80), std::tuple("[3, 3]", 24, 8, 48)})
    for (const char *form : {"tiles", "items"}) {
      DecodeShape shape{.keyDim = 128,
                        .valueDim = 64,
                        .group = 2,
                        .rows = 64,
                        .pageSize = page,
                        .keys = keys,
                        .units = 3,
                        .stagesText = stages,
                        .box = box};
      EXPECT_EQ(keeps(rolesProgram(shape, {.overlap = form}), wholeOfRoles, ragged()), "")
          << "stages " << stages << " page size " << page << " keys " << keys << " overlap " << form;
    }
}

// One block gets all items; some blocks get more than others; most get none.
TEST_F(KeepResults, RolesOfEveryGrid) {
  for (int64_t blocks : {1, 2, 5, 100})
    for (const char *form : {"none", "tiles", "items"}) {
      interpreter::Options options;
      options.blocks = blocks;
      EXPECT_EQ(pipelineKeepsResults(context, rolesProgram(warpgroups, {.overlap = form}),
                                     "builtin.module(tile.kernel(" + wholeOfRoles + "))", 1, ragged(),
                                     options),
                "")
          << blocks << " blocks, overlap " << form;
    }
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
