//===- RolesTest.cpp - Roles that copy, products in flight ------------------===//
//
// Prefill by units of a warpgroup on the interpreter: the same results before and behind every pass
// of its form, and what the interpreter says of programs in which a pass has forgotten something.
//===----------------------------------------------------------------------===//
#include "test/dialects/tile/transforms/KeepResults.h"
#include "test/dialects/tile/transforms/Programs.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

#include <gmock/gmock.h>

#include <random>
#include <tuple>

using testing::HasSubstr;

namespace attncc::tile {
namespace {

using RolesKeepResults = KeepResults;

// What the sm_90a form is made of, one pass longer at a time.
const std::string assign = "tile-assign-layouts", pipeline = assign + ",tile-pipeline",
                  roles = pipeline + ",tile-assign-roles",
                  overlap = roles + ",tile-prefetch,tile-overlap", stay = overlap + ",tile-persist",
                  edges = stay + ",tile-peel-masks", issue = edges + ",tile-issue-matmuls",
                  whole = issue + ",canonicalize,cse,tile-pack-shared-memory{limit=1048576}";

const DecodeShape warpgroups{.keyDim = 32,
                             .valueDim = 16,
                             .rows = 64,
                             .keys = 32,
                             .units = 2,
                             .stagesText = "[2, 2]",
                             .box = 16};

/// A sequence without keys, one without queries, one token, lengths that no tile or page divides,
/// and more queries than keys by less and by more than a block has rows.
interpreter::Shapes ragged() {
  interpreter::Shapes shapes;
  shapes.sequences = {{9, 0},  {0, 5},    {1, 1},   {70, 3},  {33, 65},
                      {1, 97}, {150, 17}, {64, 64}, {11, 131}};
  return shapes;
}

// With overlap the loading roles fill a slot for a range without tiles, which the units read when
// --tile-overlap has run.
TEST_F(RolesKeepResults, AfterEachPass) {
  for (const char *form : {"none", "tiles", "items"})
    for (const std::string &passes : {assign, pipeline, roles, overlap, stay, edges, issue, whole})
      if (passes != roles || std::string(form) == "none")
        EXPECT_EQ(keeps(rolesProgram(warpgroups, {.overlap = form}), passes, ragged()), "")
            << "overlap " << form << " " << passes;
}

// One key-value head has as many rows as a block, fewer, more; a token's heads are in two units.
TEST_F(RolesKeepResults, OfEveryGroupAndMask) {
  DecodeShape shape = warpgroups;
  shape.maxQuery = 0;
  for (int64_t group : {1, 3, 4})
    for (const char *mask : {"causal", "none"})
      for (const char *form : {"tiles", "items"}) {
        shape.group = group;
        EXPECT_EQ(keeps(rolesProgram(shape, {.overlap = form, .mask = mask}), whole, ragged()), "")
            << "group " << group << " " << mask << " overlap " << form;
      }
}

// How often units start products, when they rescale and which items they get changes nothing.
TEST_F(RolesKeepResults, OfEveryForm) {
  for (const char *form : {"none", "tiles", "items"}) {
    for (bool pingPong : {false, true})
      for (bool lazy : {false, true})
        for (int64_t queryStages : {1, 2})
          EXPECT_EQ(keeps(rolesProgram(warpgroups, {.overlap = form,
                                                    .order = "natural",
                                                    .pingPong = pingPong,
                                                    .lazy = lazy,
                                                    .queryStages = queryStages}),
                          whole, ragged()),
                    "")
              << "overlap " << form << " ping-pong " << pingPong << " lazy " << lazy
              << " query stages " << queryStages;
    if (std::string(form) != "items")
      EXPECT_EQ(keeps(rolesProgram(warpgroups, {.overlap = form, .work = "grid"}), whole), "")
          << form;
  }
}

// A unit that sees less than the others leaves out the rest, whether it takes turns or not, and one
// without rows all but the first tile: blocks have more rows than most sequences have.
TEST_F(RolesKeepResults, OfUnitsThatSkip) {
  DecodeShape shape = warpgroups;
  shape.maxQuery = 0;
  for (const char *stages : {"[1, 1]", "[2, 3]"})
    for (int64_t group : {1, 3})
      for (const char *form : {"tiles", "items"})
        for (bool pingPong : {false, true}) {
          shape.group = group;
          shape.stagesText = stages;
          EXPECT_EQ(
              keeps(rolesProgram(shape, {.overlap = form, .pingPong = pingPong, .skip = true}),
                    whole, ragged()),
              "")
              << "stages " << stages << " group " << group << " overlap " << form << " ping-pong "
              << pingPong;
        }
}

// A result that goes through the slot of its query's rows: nothing reads these any more, and the
// next item's are in another slot.
TEST_F(RolesKeepResults, ThroughTheQuerysSlot) {
  DecodeShape shape = warpgroups;
  shape.valueDim = shape.keyDim;
  for (const char *form : {"none", "tiles", "items"}) {
    RolesForm staged{.overlap = form, .queryStages = 2, .staged = true};
    for (const std::string &passes : {assign, pipeline, roles, overlap, stay, edges, issue, whole})
      if (passes != roles || std::string(form) == "none")
        EXPECT_EQ(keeps(rolesProgram(shape, staged), passes, ragged()), "")
            << "overlap " << form << " " << passes;
    DecodeShape other = shape;
    other.maxQuery = 0;
    staged.queryStages = 3;
    for (int64_t group : {1, 3}) {
      other.group = group;
      EXPECT_EQ(keeps(rolesProgram(other, staged), whole, ragged()), "")
          << "overlap " << form << " group " << group;
    }
  }
}

// Rings of one slot and of several, pages of one box and of more, tiles that no power of two
// divides.
TEST_F(RolesKeepResults, OfEveryRing) {
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
      EXPECT_EQ(keeps(rolesProgram(shape, {.overlap = form}), whole, ragged()), "")
          << "stages " << stages << " page size " << page << " keys " << keys << " overlap "
          << form;
    }
}

// One block gets all items; some blocks get more than others; most get none.
TEST_F(RolesKeepResults, OfEveryGrid) {
  for (int64_t blocks : {1, 2, 5, 100})
    for (const char *form : {"none", "tiles", "items"}) {
      interpreter::Options options;
      options.blocks = blocks;
      EXPECT_EQ(keeps(rolesProgram(warpgroups, {.overlap = form}), whole, ragged(), options), "")
          << blocks << " blocks, overlap " << form;
    }
}

// A random corner of the space of shapes.
TEST_F(RolesKeepResults, OfRandomShapes) {
  unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  auto between = [&](int64_t low, int64_t high) {
    return low + int64_t(random() % (high - low + 1));
  };
  for (int trial = 0; trial < 8; ++trial) {
    int64_t box = 8 * between(1, 2);
    DecodeShape shape{.keyDim = 16 * between(1, 4),
                      .valueDim = 16 * between(1, 4),
                      .group = between(1, 9),
                      .rows = 64,
                      .pageSize = box * between(1, 5),
                      .keys = 16 * between(1, 5),
                      .units = between(2, 3),
                      .stagesText = "[" + std::to_string(between(1, 3)) + ", " +
                                    std::to_string(between(1, 3)) + "]",
                      .box = box};
    RolesForm form{.overlap = random() % 2 ? "tiles" : "items",
                   .pingPong = random() % 2 == 0,
                   .queryStages = between(1, 2),
                   .skip = random() % 2 == 0};
    if (form.queryStages > 1 && random() % 2) {
      form.staged = true;
      shape.valueDim = shape.keyDim;
    }
    interpreter::Options options;
    options.blocks = between(1, 6);
    interpreter::Shapes shapes;
    for (int64_t sequences = between(1, 6); sequences > 0; --sequences)
      shapes.sequences.push_back({between(0, 120), between(0, 200)});
    std::string text = rolesProgram(shape, form);
    EXPECT_EQ(interpreter::pipelineKeepsResults(context, text,
                                                "builtin.module(tile.kernel(" + whole + "))",
                                                random(), shapes, options),
              "")
        << options.blocks << " blocks " << text;
  }
}

class RolesDefects : public KeepResults {
protected:
  /// What the interpreter says when the program has been changed before it is cleaned up.
  std::string found(const RolesForm &form, llvm::function_ref<void(KernelOp)> change) {
    DecodeShape shape = warpgroups;
    if (form.staged)
      shape.valueDim = shape.keyDim;
    std::string errors;
    mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error)
        errors += diagnostic.str();
      return mlir::success();
    });
    auto module = mlir::parseSourceString<mlir::ModuleOp>(rolesProgram(shape, form), &context);
    KernelOp kernel = *module->getOps<KernelOp>().begin();
    auto expected = interpreter::interpretKernel(kernel, 1, ragged());
    mlir::PassManager manager(&context);
    if (failed(mlir::parsePassPipeline("tile.kernel(" + issue + ")", manager)) ||
        failed(manager.run(*module)))
      return "the passes fail: " + errors;
    change(kernel);
    auto actual = interpreter::interpretKernel(kernel, 1, ragged());
    return failed(actual) ? errors : interpreter::compareOutputs(*expected, *actual);
  }

  template <class Op> static llvm::SmallVector<Op> all(KernelOp kernel) {
    llvm::SmallVector<Op> ops;
    kernel.walk([&](Op op) { ops.push_back(op); });
    return ops;
  }
  template <class Op> static void eraseAll(KernelOp kernel) {
    for (Op op : all<Op>(kernel))
      op.erase();
  }
};

TEST_F(RolesDefects, None) {
  for (const char *form : {"none", "tiles", "items"})
    EXPECT_EQ(found({.overlap = form}, [](KernelOp) {}), "");
}

TEST_F(RolesDefects, ReleaseBeforeAwait) {
  for (const char *form : {"none", "tiles", "items"})
    EXPECT_THAT(found({.overlap = form},
                      [](KernelOp kernel) {
                        for (ReleaseOp release : all<ReleaseOp>(kernel))
                          if (auto await = llvm::dyn_cast_or_null<AwaitOp>(release->getPrevNode()))
                            release->moveBefore(await);
                      }),
                HasSubstr("releases slot 0 of a ring, which a product in flight reads"))
        << form;
}

TEST_F(RolesDefects, ReleaseBeforeUse) {
  for (const char *form : {"none", "tiles", "items"})
    EXPECT_THAT(found({.overlap = form},
                      [](KernelOp kernel) {
                        for (ReleaseOp release : all<ReleaseOp>(kernel))
                          for (WaitOp wait : release->getBlock()->getOps<WaitOp>())
                            if (wait.getPosition() == release.getPosition())
                              release->moveAfter(wait);
                      }),
                testing::ContainsRegex("reads slot [01] of a ring after its release"))
        << form;
}

/// A kernel whose results go through the query's slot, of which it has two.
RolesForm stagedForm(const char *overlap) {
  return {.overlap = overlap, .queryStages = 2, .staged = true};
}

TEST_F(RolesDefects, NoneOfStaged) {
  for (const char *form : {"none", "tiles", "items"})
    EXPECT_EQ(found(stagedForm(form),
                    [](KernelOp kernel) {
                      for (StoreAttentionOp store : all<StoreAttentionOp>(kernel))
                        EXPECT_TRUE(store.getThrough()); // or the next test shows nothing
                    }),
              "");
}

// The slot is given back when the result has left it.
TEST_F(RolesDefects, ReleaseBeforeStore) {
  for (const char *form : {"none", "tiles", "items"})
    EXPECT_THAT(found(stagedForm(form),
                      [](KernelOp kernel) {
                        for (StoreAttentionOp store : all<StoreAttentionOp>(kernel))
                          store->getNextNode()->moveBefore(store);
                      }),
                HasSubstr("reads slot 0 of a ring after its release"))
        << form;
}

TEST_F(RolesDefects, NoRelease) {
  for (const char *form : {"none", "tiles", "items"})
    EXPECT_THAT(found({.overlap = form}, eraseAll<ReleaseOp>),
                testing::ContainsRegex("ends in a deadlock: load 0 waits for a free slot of ring "
                                       "%.*: slot 0 has not been released by unit 0"))
        << form;
}

TEST_F(RolesDefects, NoCommit) {
  for (const char *form : {"none", "tiles", "items"})
    EXPECT_THAT(found({.overlap = form}, eraseAll<CommitOp>),
                testing::ContainsRegex("ends in a deadlock: .*unit 1 waits for slot 0 of ring "
                                       "%.*, which has not been committed"))
        << form;
}

TEST_F(RolesDefects, TurnIsNotPassed) {
  EXPECT_THAT(found({}, eraseAll<PassTurnOp>), HasSubstr("takes the turn that unit 0 has"));
}

TEST_F(RolesDefects, AwaitOfTooFew) {
  for (const char *form : {"tiles", "items"})
    EXPECT_THAT(found({.overlap = form},
                      [](KernelOp kernel) {
                        for (AwaitOp await : all<AwaitOp>(kernel))
                          await.setAhead(await.getAhead() + 1);
                      }),
                HasSubstr("lets 1 later products be in flight, but only 0 have been started"))
        << form;
}

// Probabilities of 0 times what lies behind the last key.
TEST_F(RolesDefects, ValuesPastTheEnd) {
  EXPECT_THAT(found({},
                    [](KernelOp kernel) {
                      for (CopyValuesOp copy : all<CopyValuesOp>(kernel))
                        copy.setZeroed(false);
                    }),
              HasSubstr("got nan"));
}

} // namespace
} // namespace attncc::tile
