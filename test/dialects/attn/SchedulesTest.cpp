//===- SchedulesTest.cpp - the cost model against the limits --------------===//
//
// For every head dim, group and number of query tokens the choice is legal, its
// chunks are equal and no smaller number of chunks would fit.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/Schedules.h"

#include "gtest/gtest.h"

using namespace attncc;
using namespace attncc::attn;

namespace {

const TargetInfo &sm80() { return *findTarget("sm_80"); }
const TargetInfo &sm90a() { return *findTarget("sm_90a"); }

TEST(Schedules, EveryDecodeShapeGetsALegalSchedule) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t group : {1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 32, 64})
      for (int64_t maxQuery = 1; maxQuery <= 8; ++maxQuery) {
        KernelShape shape{dim, dim, group, maxQuery, 16, 2};
        SCOPED_TRACE(testing::Message()
                     << "dim " << dim << " group " << group << " tokens " << maxQuery);
        Schedule schedule = decodeSchedule(shape, defaultSplitRule(131072, dim), sm80());
        Result<void> legal = checkSchedule(schedule, shape, sm80());
        ASSERT_TRUE(legal) << legal.error().diagnostic.message;
        int64_t all = group * maxQuery, chunks = (all + schedule.rows - 1) / schedule.rows;
        EXPECT_EQ(schedule.rows % 8, 0);
        EXPECT_LE(schedule.rows, 32);
        // Padding is less than one group of 8 rows a chunk.
        EXPECT_LT(chunks * schedule.rows - all, 8 * chunks);
        // One chunk fewer would need rows that do not fit.
        if (chunks > 1) {
          Schedule wider = schedule;
          wider.rows = (((all + chunks - 2) / (chunks - 1)) + 7) / 8 * 8;
          EXPECT_TRUE(wider.rows > 32 || registerEstimate(wider, shape) > 255);
        }
      }
}

// Boxes of 8 tokens or more that divide the page copy by tensor maps, all else gathers. The order
// of sums is that of gathered copies: rows, units and keys of the tile are the same.
TEST(Schedules, TensorCopiesWherePagesAllow) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t page : {1, 2, 4, 8, 12, 16, 24, 40, 64, 256}) {
      KernelShape shape{dim, dim, 4, 1, page, 2};
      SCOPED_TRACE(testing::Message() << "dim " << dim << " page size " << page);
      SplitRule split = defaultSplitRule(131072, dim);
      Schedule schedule = decodeSchedule(shape, split, sm90a());
      Result<void> legal = checkSchedule(schedule, shape, sm90a());
      ASSERT_TRUE(legal) << legal.error().diagnostic.message;
      Schedule gathered = decodeSchedule({dim, dim, 4, 1, 1, 2}, split, sm90a());
      EXPECT_EQ(gathered.copy, Copy::Gather);
      EXPECT_EQ(std::tuple(schedule.rows, schedule.units, schedule.keys),
                std::tuple(gathered.rows, gathered.units, gathered.keys));
      if (page % 8 != 0) {
        EXPECT_EQ(schedule.copy, Copy::Gather);
        continue;
      }
      EXPECT_EQ(schedule.copy, Copy::Tensor);
      EXPECT_EQ(schedule.box, page % 16 == 0 ? 16 : 8);
      EXPECT_EQ(schedule.cache, Cache::EvictFirst);
      EXPECT_EQ(schedule.blocksPerSm, 2);
      // As deep as two blocks allow, up to 6.
      Schedule deeper = schedule;
      deeper.stages.value = ++deeper.stages.key;
      EXPECT_TRUE(schedule.stages.key == 6 || !checkSchedule(deeper, shape, sm90a()) ||
                  2 * (sharedBytes(deeper, shape) + kSharedReserve) > sm90a().maxSharedPerBlock);
    }
}

// What ptxas compiles without spills: 32 rows up to head_dim 112, 24 at 160, 16 at 256. 32 rows of
// 8 tokens and 4 heads are two chunks of 16 beyond that.
TEST(Schedules, RowsFollowTheRegisters) {
  auto rows = [](int64_t dim) {
    return decodeSchedule({dim, dim, 4, 8, 16, 2}, defaultSplitRule(2048, dim), sm80()).rows;
  };
  EXPECT_EQ(rows(64), 32);
  EXPECT_EQ(rows(112), 32);
  EXPECT_EQ(rows(128), 16);
  EXPECT_EQ(decodeSchedule({160, 160, 3, 8, 16, 2}, defaultSplitRule(2048, 160), sm80()).rows, 24);
  EXPECT_EQ(rows(256), 16);
}

// An item takes all splits where the sum of its spans has room, too: for one query token always.
TEST(Schedules, ItemsAddSplitsWhereRegistersAllow) {
  auto merge = [](int64_t dim, int64_t group, int64_t maxQuery) {
    return decodeSchedule({dim, dim, group, maxQuery, 16, 2}, defaultSplitRule(2048, dim), sm90a())
        .merge;
  };
  EXPECT_EQ(merge(128, 4, 1), MergeForm::Item);
  EXPECT_EQ(merge(128, 4, 8), MergeForm::Item);
  EXPECT_EQ(merge(64, 4, 1), MergeForm::Item);
  EXPECT_EQ(merge(64, 4, 8), MergeForm::Span);
  EXPECT_EQ(merge(256, 4, 1), MergeForm::Kernel);
  EXPECT_EQ(merge(80, 4, 1), MergeForm::Kernel);
  // A rule whose splits are no multiples of the keys of all units.
  EXPECT_EQ(decodeSchedule({64, 64, 4, 1, 16, 2}, SplitRule{{{2048, 96}}}, sm90a()).merge,
            MergeForm::Kernel);
  EXPECT_EQ(mergeSchedule(defaultSplitRule(2048, 64), MergeForm::Span, sm90a()).merge,
            MergeForm::Item);
}

// The estimate by hand: head_dim 128, 32 rows, 16 keys: S 16, P 8, O 128, Q 64, statistics 16,
// and 32.
TEST(Schedules, RegisterEstimateByHand) {
  Schedule schedule;
  schedule.rows = 32;
  EXPECT_EQ(registerEstimate(schedule, {128, 128, 4, 8, 16, 2}), 16 + 8 + 128 + 64 + 16 + 32);
  schedule.merge = MergeForm::Span; // a sum of 32 values, its statistics, and 32
  EXPECT_EQ(registerEstimate(schedule, {128, 128, 4, 8, 16, 2}), 264 + 32 + 16 + 32);
  schedule.merge = MergeForm::Item;
  EXPECT_EQ(registerEstimate(schedule, {128, 128, 4, 8, 16, 2}), 264 + 2 * (32 + 16) + 32);
}

// Direct products, head_dim 128, 32 rows, 32 keys: S 32, P 16, O 128, statistics 8, and 56.
TEST(Schedules, RegisterEstimateOfDirectProductsByHand) {
  Schedule schedule;
  schedule.orientation = Orientation::Direct;
  schedule.rows = schedule.keys = 32;
  EXPECT_EQ(registerEstimate(schedule, {128, 128, 4, 8, 16, 2}), 32 + 16 + 128 + 8 + 56);
}

TEST(Schedules, SharedBytesByHand) {
  Schedule schedule; // 4 units, 3 stages, 16 keys
  EXPECT_EQ(sharedBytes(schedule, {128, 64, 1, 1, 16, 2}), 4 * 3 * 16 * (128 + 64) * 2);
  schedule.copy = Copy::Tensor; // and an mbarrier a slot
  EXPECT_EQ(sharedBytes(schedule, {128, 64, 1, 1, 16, 2}), 4 * 3 * (16 * (128 + 64) * 2 + 8));
  schedule.copy = Copy::Gather;
  schedule.divide = Divide::Rows;
  EXPECT_EQ(sharedBytes(schedule, {128, 64, 1, 1, 16, 2}), 3 * 16 * (128 + 64) * 2);
  schedule.orientation = Orientation::Direct; // 8 query rows of a unit in shared memory
  EXPECT_EQ(sharedBytes(schedule, {128, 64, 1, 1, 16, 2}),
            3 * 16 * (128 + 64) * 2 + 4 * 8 * 128 * 2);
}

// What ptxas compiles without spills: 32 rows up to head_dim 128, with fewer keys from 96 on.
TEST(Schedules, PrefillRowsAndKeysFollowTheRegisters) {
  auto tile = [](int64_t dim, int64_t pageSize = 16) {
    Schedule schedule = prefillSchedule({dim, dim, 4, 8, pageSize, 2}, sm80());
    return std::pair(schedule.rows, schedule.keys);
  };
  EXPECT_EQ(tile(64), std::pair(int64_t(32), int64_t(64)));
  EXPECT_EQ(tile(80), std::pair(int64_t(32), int64_t(64)));
  EXPECT_EQ(tile(96), std::pair(int64_t(32), int64_t(32)));
  EXPECT_EQ(tile(128), std::pair(int64_t(32), int64_t(32)));
  EXPECT_EQ(tile(144), std::pair(int64_t(16), int64_t(64)));
  EXPECT_EQ(tile(256), std::pair(int64_t(16), int64_t(32)));
  EXPECT_EQ(tile(64, /*pageSize=*/1), std::pair(int64_t(32), int64_t(32))); // 32 page numbers
}

// Every head_dim gets a legal schedule within the shared memory of any device since sm_80, for
// every page size: a tile has at most 32 page numbers.
TEST(Schedules, PrefillOfEveryShapeIsLegal) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t page : {1, 2, 3, 16, 17, 24, 64, 100, 256}) {
      KernelShape shape{dim, dim, 4, 8, page, 2};
      Schedule schedule = prefillSchedule(shape, sm80());
      Result<void> legal = checkSchedule(schedule, shape, sm80());
      EXPECT_TRUE(legal) << dim << " " << page << ": " << legal.error().diagnostic.message;
      EXPECT_LE(sharedBytes(schedule, shape), 99 * 1024);
      EXPECT_EQ(schedule.divide, Divide::Rows);
      EXPECT_EQ(schedule.order, Order::LongestFirst);
    }
}

// At most 64 splits for any length that the rule provides for, and every split is whole tiles.
TEST(Schedules, DefaultSplitRuleBoundsTheSplits) {
  for (int64_t longest : {1024, 131072, 131073, 163840, 1000000, 10000000})
    for (int64_t dim : {64, 256}) {
      SplitRule rule = defaultSplitRule(longest, dim);
      EXPECT_LE(rule.maxSplits(longest), 64) << longest;
      for (const SplitStep &step : rule.steps)
        EXPECT_EQ(step.splitLength % (addsSplits(dim) ? 128 : 256), 0);
    }
}

TEST(Schedules, RefusalsNameTheLimitAndBothNumbers) {
  KernelShape shape{128, 128, 4, 8, 16, 2};
  auto message = [&](Schedule schedule) {
    Result<void> legal = checkSchedule(schedule, shape, sm80());
    return legal ? std::string("legal") : legal.error().diagnostic.message;
  };
  Schedule schedule;
  EXPECT_EQ(message(schedule), "legal");
  schedule.blocksPerSm = 8;
  EXPECT_EQ(message(schedule),
            "register estimate 90 exceeds the registers per thread of sm_80, 64");
  schedule.blocksPerSm = 2;
  EXPECT_EQ(message(schedule),
            "bytes of all blocks' rings and queries 196608 exceeds the shared memory "
            "of a multiprocessor of sm_80, 166912");
  schedule.blocksPerSm = 1;
  schedule.keys = 64;
  schedule.stages.key = schedule.stages.value = 1;
  shape.pageSize = 1;
  EXPECT_EQ(message(schedule), "a tile of 64 keys has 64 page numbers, at most 32 are supported");
  schedule.product = Product::Wgmma;
  EXPECT_EQ(message(schedule), "product = wgmma needs that instruction, which sm_80 has not");
}

TEST(Schedules, RefusalsOfTensorCopies) {
  auto message = [&](int64_t pageSize, const TargetInfo &target) {
    Schedule schedule;
    schedule.copy = Copy::Tensor;
    schedule.box = 16;
    Result<void> legal = checkSchedule(schedule, {128, 128, 4, 8, pageSize, 2}, target);
    return legal ? std::string("legal") : legal.error().diagnostic.message;
  };
  EXPECT_EQ(message(32, sm90a()), "legal");
  EXPECT_EQ(message(32, sm80()), "copy = tensor needs copies by a tensor map, which sm_80 has not");
  EXPECT_EQ(message(24, sm90a()), "box 16 does not divide the page size 24");
}

/// A schedule by products of warpgroups, with every number given.
Schedule warpgroups() {
  Schedule schedule;
  schedule.unit = 4;
  schedule.units = 3;
  schedule.rows = 64;
  schedule.keys = 80;
  schedule.divide = Divide::Rows;
  schedule.orientation = Orientation::Direct;
  schedule.product = Product::Wgmma;
  schedule.copy = Copy::Tensor;
  schedule.box = 16;
  schedule.roles = Roles::Specialised;
  schedule.registers = {32, 32, 160};
  schedule.overlap = Overlap::Tiles;
  schedule.pingPong = true;
  schedule.work = Work::Static;
  schedule.stages = {3, 3, /*joint=*/false, /*query=*/1};
  return schedule;
}

// A thread of a warpgroup has half a row of each of its products: S 40, P 20, O 64, and 32.
TEST(Schedules, RegisterEstimateOfWarpgroupsByHand) {
  EXPECT_EQ(registerEstimate(warpgroups(), {128, 128, 4, 8, 16, 2}), 40 + 20 + 64 + 32);
}

// Rings that a role fills have three mbarriers a slot, keys and values one ring each; the query has
// its rows in each slot of each unit, and items that are read again 192 bytes a computing warp.
TEST(Schedules, SharedBytesOfWarpgroupsByHand) {
  Schedule schedule = warpgroups();
  EXPECT_EQ(schedule.threads(), 3 * 128 + 128);
  // Items have a ring of one slot more than the rows.
  const int64_t tiles = 3 * 80 * (128 + 64) * 2, barriers = (3 + 3) * 3 * 8, items = 1024;
  EXPECT_EQ(sharedBytes(schedule, {128, 64, 4, 8, 16, 2}),
            tiles + barriers + items + 2 * 2 * 8 + 3 * 64 * 128 * 2);
  schedule.stages.query = 2;
  EXPECT_EQ(sharedBytes(schedule, {128, 64, 4, 8, 16, 2}),
            tiles + barriers + items + 3 * 2 * 8 + 2 * 3 * 64 * 128 * 2);
}

// The model's choice is legal at every head dim and page size, and is the form of warpgroups where
// boxes of 8 tokens or more divide the page.
TEST(Schedules, PrefillByWarpgroupsWherePagesAllow) {
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t page : {1, 2, 4, 8, 12, 16, 24, 40, 48, 56, 64, 80, 104, 128, 256})
      for (bool causal : {false, true}) {
        KernelShape shape{dim, dim, 4, 8, page, 2, causal};
        SCOPED_TRACE(testing::Message() << "dim " << dim << " page size " << page);
        Schedule schedule = prefillSchedule(shape, sm90a());
        Result<void> legal = checkSchedule(schedule, shape, sm90a());
        ASSERT_TRUE(legal) << legal.error().diagnostic.message;
        EXPECT_EQ(schedule.divide, Divide::Rows);
        EXPECT_EQ(schedule.orientation, Orientation::Direct);
        if (page % 8 != 0) {
          EXPECT_EQ(schedule.product, Product::Mma);
          EXPECT_EQ(schedule.copy, Copy::Gather);
          continue;
        }
        EXPECT_EQ(schedule.product, Product::Wgmma);
        EXPECT_EQ(schedule.copy, Copy::Tensor);
        EXPECT_EQ(schedule.roles, Roles::Specialised);
        EXPECT_EQ(schedule.work, Work::Atomic);
        EXPECT_FALSE(schedule.stages.joint);
        EXPECT_TRUE(schedule.box == 8 || schedule.box % 16 == 0) << schedule.box;
        EXPECT_EQ(page % schedule.box, 0);
        EXPECT_EQ(schedule.keys % schedule.box, 0);
        // Keys come in boxes of one panel unless a box is a whole tile.
        EXPECT_EQ(keysByPanel(schedule), schedule.box != schedule.keys);
        // No chunk is dealt before all of a group's pairs are, where rows of one see more than
        // those of another.
        EXPECT_EQ(schedule.headGroup > 1, causal);
      }
}

// Keys and values of a group's pairs are 32 MiB at 4,096 tokens, unless a pair has few chunks.
TEST(Schedules, PairsOfPrefillByHand) {
  auto pairs = [](int64_t dim, int64_t group) {
    return prefillSchedule({dim, dim, group, 8, 16, 2, /*causal=*/true}, sm90a()).headGroup;
  };
  EXPECT_EQ(pairs(64, 4), 32);
  EXPECT_EQ(pairs(128, 4), 16);
  EXPECT_EQ(pairs(256, 4), 8);
  EXPECT_EQ(pairs(16, 4), 32); // 128 would fit
  EXPECT_EQ(pairs(256, 1), 32);
  EXPECT_EQ(
      prefillSchedule({64, 64, 1, 8, 16, 2, /*causal=*/true, kShortQueries}, sm90a()).headGroup,
      64); // at 2,048 tokens
}

// A unit leaves out what it does not see, without turns, but for narrow heads in groups.
TEST(Schedules, PrefillSkipsTilesWithoutTurns) {
  for (int64_t dim : {64, 128, 256})
    for (int64_t group : {1, 4})
      for (bool causal : {false, true}) {
        Schedule schedule = prefillSchedule({dim, dim, group, 8, 16, 2, causal}, sm90a());
        SCOPED_TRACE(testing::Message() << "dim " << dim << " group " << group);
        EXPECT_EQ(schedule.skipTiles, causal && (dim > 64 || group == 1));
        EXPECT_EQ(schedule.pingPong, !schedule.skipTiles);
      }
}

// Short queries: narrow heads get 4 units, and under a mask a kv head for each query head tiles of
// 128 keys. Without a mask narrow heads have tiles of 128 keys anyway, which is as good in groups.
TEST(Schedules, PrefillOfShortQueries) {
  auto schedule = [](int64_t dim, int64_t group, int64_t queryTokens, bool causal = true) {
    KernelShape shape{dim, dim, group, 8, 16, 2, causal, queryTokens};
    Schedule schedule = prefillSchedule(shape, sm90a());
    EXPECT_TRUE(checkSchedule(schedule, shape, sm90a()));
    return schedule;
  };
  auto form = [](const Schedule &s) {
    return std::tuple(s.units, s.keys, s.pingPong, s.skipTiles);
  };
  EXPECT_EQ(form(schedule(64, 4, kShortQueries)), std::tuple(4, 64, false, false));
  EXPECT_EQ(form(schedule(64, 1, kShortQueries)), std::tuple(4, 64, false, true));
  EXPECT_EQ(form(schedule(64, 1, kShortQueries, false)), std::tuple(4, 64, false, false));
  EXPECT_EQ(form(schedule(64, 4, kShortQueries, false)), std::tuple(3, 128, true, false));
  EXPECT_EQ(form(schedule(128, 1, kShortQueries)), std::tuple(2, 128, true, false));
  EXPECT_EQ(schedule(128, 1, kShortQueries, false), schedule(128, 1, 0, false));
  for (auto [dim, group] : {std::pair(128, 4), std::pair(256, 1), std::pair(256, 4)})
    EXPECT_EQ(schedule(dim, group, kShortQueries), schedule(dim, group, 0)) << dim;
  EXPECT_EQ(schedule(64, 4, kShortQueries + 1), schedule(64, 4, 0));
  for (int64_t dim = 16; dim <= 256; dim += 16)
    for (int64_t group : {1, 3, 4})
      schedule(dim, group, kShortQueries);
}

// Dense keys have no pages, and other targets no such products.
TEST(Schedules, PrefillByWarpgroupsNeedsPagesAndTheTarget) {
  EXPECT_EQ(prefillSchedule({128, 128, 4, 8, 16, 2}, sm80()).product, Product::Mma);
  EXPECT_EQ(prefillSchedule({128, 128, 4, 8, 0, 2}, sm90a()).product, Product::Mma);
}

TEST(Schedules, RefusalsOfRoles) {
  KernelShape shape{128, 128, 4, 8, 16, 2};
  auto message = [&](const Schedule &schedule) {
    Result<void> legal = checkSchedule(schedule, shape, sm90a());
    return legal ? std::string("legal") : legal.error().diagnostic.message;
  };
  Schedule schedule = warpgroups();
  EXPECT_EQ(message(schedule), "legal");
  // 512 threads get 128 registers each, of which the loading warpgroup gives 96 away.
  schedule.registers = {40, 24, 160};
  EXPECT_EQ(message(schedule),
            "registers of all roles 66560 exceeds what a block gets at launch of "
            "sm_90a, 65536");
  schedule.registers = {24, 40, 160}; // that of the two which is more
  EXPECT_EQ(message(schedule),
            "registers of all roles 66560 exceeds what a block gets at launch of "
            "sm_90a, 65536");
  for (int64_t registers : {16, 28, 248}) {
    schedule.registers = {registers, 24, 24};
    EXPECT_EQ(message(schedule),
              "registers of a role must be a multiple of 8 from 24 to 240, got " +
                  std::to_string(registers));
  }
  schedule.registers = {32, 32, 152};
  EXPECT_EQ(message(schedule), "register estimate 156 exceeds the compute role's registers in the "
                               "schedule of sm_90a, 152");
  Result<void> lacking = checkSchedule(warpgroups(), shape, sm80());
  ASSERT_FALSE(lacking);
  EXPECT_EQ(lacking.error().diagnostic.message,
            "product = wgmma needs that instruction, which sm_80 has not");
}

// Values are read at one stride through the 16 keys of a step: in one box, or in two of 8.
TEST(Schedules, RefusalsOfBoxesForWarpgroups) {
  auto message = [&](int64_t keys, int64_t box) {
    Schedule schedule = warpgroups();
    schedule.keys = keys;
    schedule.box = box;
    Result<void> legal = checkSchedule(schedule, {64, 64, 4, 8, 2 * box, 2}, sm90a());
    return legal ? std::string("legal") : legal.error().diagnostic.message;
  };
  EXPECT_EQ(message(80, 8), "legal");
  EXPECT_EQ(message(80, 16), "legal");
  EXPECT_EQ(message(80, 80), "legal");
  EXPECT_EQ(message(80, 40), "box 40 of product = wgmma must be 8 or a multiple of 16");
  EXPECT_EQ(message(48, 24), "box 24 of product = wgmma must be 8 or a multiple of 16");
}

} // namespace
