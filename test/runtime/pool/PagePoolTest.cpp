// The page pool: each behaviour by name. test/runtime/pool/ModelTest.cpp has the rules that hold
// after any sequence of calls.
#include "runtime/pool/PagePool.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>

using namespace attncc;
using namespace attncc::pool;

namespace {

std::unique_ptr<PagePool> makePool(int64_t pages, int64_t pageSize = 4, uint32_t groups = 1) {
  return std::move(*PagePool::create(pages, pageSize, groups));
}

std::vector<int32_t> pagesOf(const PagePool &pool, SequenceId id, uint32_t group = 0) {
  std::vector<int32_t> pages(64);
  std::vector<int32_t> indptr(2);
  Result<int64_t> count = pool.pageList(group, std::span(&id, 1), pages, indptr);
  EXPECT_TRUE(count);
  pages.resize(static_cast<size_t>(*count));
  return pages;
}

Extension extend(PagePool &pool, SequenceId id, int64_t tokens,
                 std::vector<PageCopy> *copies = nullptr) {
  std::vector<PageCopy> room(8);
  Result<Extension> extension = pool.extend(id, tokens, room);
  EXPECT_TRUE(extension) << extension.error().diagnostic.text();
  room.resize(extension->numCopies);
  if (copies)
    *copies = room;
  return *extension;
}

template <class T> std::string messageOf(const Result<T> &result) {
  return result ? "" : result.error().diagnostic.message;
}

TEST(PagePool, CreateChecksItsNumbers) {
  EXPECT_EQ(messageOf(PagePool::create(0, 4)), "num_pages is 0, must be from 1 to 2147483647");
  EXPECT_FALSE(PagePool::create(int64_t(1) << 31, 4));
  EXPECT_FALSE(PagePool::create(4, 0));
}

TEST(PagePool, PagesStartAtZeroAndGrowWithTheLength) {
  auto pool = makePool(8);
  SequenceId a = pool->add();
  EXPECT_EQ(extend(*pool, a, 4).numCopies, 0u);
  EXPECT_EQ(pagesOf(*pool, a), (std::vector<int32_t>{0}));
  extend(*pool, a, 1);
  EXPECT_EQ(pagesOf(*pool, a), (std::vector<int32_t>{0, 1}));
  extend(*pool, a, 3);
  EXPECT_EQ(pagesOf(*pool, a), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(*pool->length(a), 8);
  EXPECT_EQ(pool->stats(), (PoolStats{8, 6, 2, 0, 0, 1}));
}

TEST(PagePool, TheSameCallsGiveTheSamePages) {
  std::vector<int32_t> tables[2];
  for (std::vector<int32_t> &table : tables) {
    auto pool = makePool(16);
    SequenceId a = pool->add(), b = pool->add();
    extend(*pool, a, 9);
    extend(*pool, b, 9);
    ASSERT_TRUE(pool->remove(a));
    extend(*pool, b, 20);
    table = pagesOf(*pool, b);
  }
  EXPECT_EQ(tables[0], tables[1]);
}

TEST(PagePool, IdsAreNeverReused) {
  auto pool = makePool(4);
  std::set<SequenceId> seen = {0};
  for (int i = 0; i < 100; ++i) {
    SequenceId id = pool->add();
    EXPECT_TRUE(seen.insert(id).second);
    Result<SequenceId> child = pool->fork(id, 0);
    EXPECT_TRUE(seen.insert(*child).second);
    ASSERT_TRUE(pool->remove(id));
    ASSERT_TRUE(pool->remove(*child));
  }
}

TEST(PagePool, RemovedSequencesAreUnknown) {
  auto pool = makePool(4);
  SequenceId a = pool->add();
  ASSERT_TRUE(pool->remove(a));
  Result<void> again = pool->remove(a);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().status, Status::InvalidArgument);
  EXPECT_EQ(again.error().diagnostic.message, "sequence 1 is not in the pool");
  EXPECT_FALSE(pool->extend(a, 1, {}));
  EXPECT_FALSE(pool->fork(a, 0));
  EXPECT_FALSE(pool->truncate(a, 0));
  EXPECT_FALSE(pool->length(a));
}

TEST(PagePool, ExhaustionIsAResultAndChangesNothing) {
  auto pool = makePool(4);
  SequenceId a = pool->add(), b = pool->add();
  extend(*pool, a, 10);
  PoolStats before = pool->stats();
  Extension extension = extend(*pool, b, 9);
  EXPECT_TRUE(extension.exhausted());
  EXPECT_EQ(extension.missingPages, 2);
  EXPECT_EQ(pool->stats(), before);
  EXPECT_EQ(*pool->length(b), 0);
  EXPECT_FALSE(extend(*pool, b, 4).exhausted());
  // Far beyond any pool: still counted, still nothing changed.
  EXPECT_EQ(extend(*pool, b, int64_t(1) << 40).missingPages, int64_t(1) << 38);
  EXPECT_EQ(messageOf(pool->extend(b, INT64_MAX, {})),
            "tokens is 9223372036854775807, must be from 0 to 9223372036854775799");
  EXPECT_EQ(messageOf(pool->extend(b, -1, {})),
            "tokens is -1, must be from 0 to 9223372036854775799");
}

TEST(PagePool, ForkSharesAndExtendCopiesThePartlyFilledPage) {
  auto pool = makePool(8);
  SequenceId a = pool->add();
  extend(*pool, a, 6);
  SequenceId b = *pool->fork(a, 6);
  EXPECT_EQ(pagesOf(*pool, b), pagesOf(*pool, a));
  EXPECT_EQ(pool->stats(), (PoolStats{8, 6, 2, 0, 2, 2}));
  std::vector<PageCopy> copies;
  extend(*pool, b, 1, &copies);
  EXPECT_EQ(copies, (std::vector<PageCopy>{{1, 2}}));
  EXPECT_EQ(pagesOf(*pool, a), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(pagesOf(*pool, b), (std::vector<int32_t>{0, 2}));
  // The first one's page is its own again: no copy.
  extend(*pool, a, 1, &copies);
  EXPECT_TRUE(copies.empty());
}

TEST(PagePool, ForkOfAShorterPrefixMakesTheParentsPageShared) {
  auto pool = makePool(8);
  SequenceId a = pool->add();
  extend(*pool, a, 8);
  SequenceId b = *pool->fork(a, 5);
  std::vector<PageCopy> copies;
  extend(*pool, a, 1, &copies); // begins a page of its own
  EXPECT_TRUE(copies.empty());
  extend(*pool, b, 1, &copies); // would write into the parent's page 1
  EXPECT_EQ(copies.size(), 1u);
  EXPECT_EQ(messageOf(pool->fork(a, 10)),
            "prefix_tokens is 10, must be from 0 to the sequence's length 9");
}

TEST(PagePool, CopyOnWriteCountsItsPageWhenThePoolIsNearlyFull) {
  auto pool = makePool(2);
  SequenceId a = pool->add();
  extend(*pool, a, 6);
  SequenceId b = *pool->fork(a, 6);
  Extension extension = extend(*pool, b, 1);
  EXPECT_EQ(extension.missingPages, 1);
  EXPECT_EQ(pagesOf(*pool, b), pagesOf(*pool, a));
  ASSERT_TRUE(pool->remove(a));
  EXPECT_FALSE(extend(*pool, b, 1).exhausted());
}

TEST(PagePool, ExtendWithoutRoomForTheCopyChangesNothing) {
  auto pool = makePool(8);
  SequenceId a = pool->add();
  extend(*pool, a, 6);
  SequenceId b = *pool->fork(a, 6);
  EXPECT_EQ(messageOf(pool->extend(b, 1, {})), "copies has room for 0, must have room for 1");
  EXPECT_EQ(*pool->length(b), 6);
  EXPECT_EQ(pool->stats().free, 6);
}

TEST(PagePool, TruncateGivesPagesBackAndKeepsThePartlyFilledOne) {
  auto pool = makePool(8);
  SequenceId a = pool->add();
  extend(*pool, a, 13);
  ASSERT_TRUE(pool->truncate(a, 5));
  EXPECT_EQ(pagesOf(*pool, a), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(pool->stats().free, 6);
  ASSERT_TRUE(pool->truncate(a, 0));
  EXPECT_EQ(pool->stats().free, 8);
  EXPECT_EQ(messageOf(pool->truncate(a, 1)),
            "tokens is 1, must be from 0 to the sequence's length 0");
}

TEST(PagePool, BlockTablesAndSlots) {
  auto pool = makePool(8);
  SequenceId a = pool->add(), b = pool->add(), empty = pool->add();
  extend(*pool, a, 4);
  extend(*pool, b, 6);
  extend(*pool, a, 4);
  SequenceId ids[] = {a, b, empty};
  std::vector<int32_t> rows(9, -7);
  ASSERT_TRUE(pool->blockTable(0, ids, rows.data(), 3));
  EXPECT_EQ(rows, (std::vector<int32_t>{0, 3, 0, 1, 2, 0, 0, 0, 0}));
  Result<void> narrow = pool->blockTable(0, ids, rows.data(), 1);
  EXPECT_EQ(messageOf(narrow), "stride is 1, but sequence 1 has 2 pages");
  EXPECT_EQ(messageOf(pool->blockTable(1, ids, rows.data(), 3)), "group is 1, the pool has 1");

  std::vector<int32_t> pages(4), indptr(4, -7);
  EXPECT_EQ(*pool->pageList(0, ids, pages, indptr), 4);
  EXPECT_EQ(pages, (std::vector<int32_t>{0, 3, 1, 2}));
  EXPECT_EQ(indptr, (std::vector<int32_t>{0, 2, 4, 4}));
  std::vector<int32_t> few(3, -7), untouched(4, -7);
  EXPECT_EQ(*pool->pageList(0, ids, few, untouched), 4);
  EXPECT_EQ(few, std::vector<int32_t>(3, -7));

  std::vector<int64_t> slots(3);
  ASSERT_TRUE(pool->slots(0, b, 3, slots));
  EXPECT_EQ(slots, (std::vector<int64_t>{1 * 4 + 3, 2 * 4, 2 * 4 + 1}));
  EXPECT_FALSE(pool->slots(0, b, 4, slots));
  EXPECT_FALSE(pool->slots(0, b, -1, slots));
}

TEST(PagePool, SlotsBeyond32Bits) {
  auto pool = std::move(*PagePool::create(70000, 65536));
  SequenceId a = pool->add();
  extend(*pool, a, int64_t(66000) * 65536);
  std::vector<int64_t> slot(1);
  ASSERT_TRUE(pool->slots(0, a, int64_t(66000) * 65536 - 1, slot));
  EXPECT_EQ(slot[0], int64_t(66000) * 65536 - 1);
}

TEST(PagePool, GroupsDrawFromOneSetOfPages) {
  auto pool = makePool(6, 4, 2);
  SequenceId a = pool->add();
  extend(*pool, a, 6);
  EXPECT_EQ(pagesOf(*pool, a, 0), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(pagesOf(*pool, a, 1), (std::vector<int32_t>{2, 3}));
  SequenceId b = *pool->fork(a, 5);
  std::vector<PageCopy> copies;
  extend(*pool, b, 1, &copies);
  EXPECT_EQ(copies, (std::vector<PageCopy>{{1, 4}, {3, 5}}));
  EXPECT_EQ(extend(*pool, b, 4).missingPages, 2);
}

/// Keys {0, first}, {0, first + 1}, …: hashes are the caller's affair.
std::vector<PageKey> keysFrom(uint64_t first, size_t count) {
  std::vector<PageKey> keys(count);
  for (size_t i = 0; i < count; ++i)
    keys[i] = {first + i, 0};
  return keys;
}

TEST(PrefixReuse, MatchGivesTheLongestPublishedPrefix) {
  auto pool = makePool(8);
  SequenceId a = pool->add();
  extend(*pool, a, 11);
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 2)));
  SequenceId b = *pool->match(keysFrom(1, 5));
  EXPECT_EQ(*pool->length(b), 8);
  EXPECT_EQ(pagesOf(*pool, b), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(pool->stats(), (PoolStats{8, 5, 3, 0, 2, 2}));
  EXPECT_EQ(pagesOf(*pool, *pool->match(keysFrom(1, 1))), (std::vector<int32_t>{0}));
}

TEST(PrefixReuse, AMatchOfNothingIsAnEmptySequence) {
  auto pool = makePool(4);
  SequenceId a = pool->add();
  extend(*pool, a, 8);
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 2)));
  for (const std::vector<PageKey> &keys : {keysFrom(2, 0), keysFrom(5, 2)})
    EXPECT_EQ(*pool->length(*pool->match(keys)), 0);
  // Both halves of a key count.
  EXPECT_EQ(*pool->length(*pool->match(std::vector<PageKey>{{1, 1}})), 0);
}

TEST(PrefixReuse, OnlyFullPagesHaveKeys) {
  auto pool = makePool(4);
  SequenceId a = pool->add();
  extend(*pool, a, 7);
  EXPECT_EQ(messageOf(pool->publish(a, keysFrom(1, 2))),
            "n is 2, must be at most the sequence's 1 full pages");
  EXPECT_EQ(*pool->length(*pool->match(keysFrom(1, 1))), 0);
  EXPECT_EQ(messageOf(pool->publish(99, {})), "sequence 99 is not in the pool");
}

TEST(PrefixReuse, PagesWithoutUsersAreCachedAndComeBack) {
  auto pool = makePool(4);
  SequenceId a = pool->add();
  extend(*pool, a, 10);
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 2)));
  ASSERT_TRUE(pool->remove(a));
  EXPECT_EQ(pool->stats(), (PoolStats{4, 2, 0, 2, 0, 0}));
  SequenceId b = *pool->match(keysFrom(1, 2));
  EXPECT_EQ(pagesOf(*pool, b), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(pool->stats(), (PoolStats{4, 2, 2, 0, 0, 1}));
}

TEST(PrefixReuse, EvictsWhatLostItsLastUserFirstAndAPrefixFromItsEnd) {
  auto pool = makePool(4);
  SequenceId a = pool->add(), b = pool->add(), c = pool->add();
  extend(*pool, a, 8);
  extend(*pool, b, 8);
  ASSERT_TRUE(pool->publish(a, keysFrom(10, 2)));
  ASSERT_TRUE(pool->publish(b, keysFrom(20, 2)));
  ASSERT_TRUE(pool->remove(b));
  ASSERT_TRUE(pool->remove(a));
  // b's prefix is used again, and thereby becomes the youngest.
  ASSERT_TRUE(pool->remove(*pool->match(keysFrom(20, 2))));
  extend(*pool, c, 4);
  EXPECT_EQ(pagesOf(*pool, c), (std::vector<int32_t>{1}));
  EXPECT_EQ(*pool->length(*pool->match(keysFrom(10, 2))), 4);
  EXPECT_EQ(*pool->length(*pool->match(keysFrom(20, 2))), 8);
}

TEST(PrefixReuse, FreePagesAreTakenBeforeCachedOnes) {
  auto pool = makePool(3);
  SequenceId a = pool->add(), b = pool->add();
  extend(*pool, a, 4);
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 1)));
  ASSERT_TRUE(pool->remove(a));
  extend(*pool, b, 8);
  EXPECT_EQ(pool->stats(), (PoolStats{3, 0, 2, 1, 0, 1}));
  EXPECT_FALSE(extend(*pool, b, 1).exhausted());
  EXPECT_EQ(pool->stats(), (PoolStats{3, 0, 3, 0, 0, 1}));
  EXPECT_EQ(extend(*pool, b, 4).missingPages, 1);
}

TEST(PrefixReuse, AnEvictionInTheMiddleHidesTheEndUntilItIsPublishedAnew) {
  auto pool = makePool(4);
  SequenceId a = pool->add();
  extend(*pool, a, 8);
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 2)));
  // c holds its own copy of page 0's content, unpublished, and publishes the third page.
  SequenceId c = pool->add();
  extend(*pool, c, 8);
  ASSERT_TRUE(pool->publish(c, std::vector<PageKey>{{1, 0}, {3, 0}}));
  EXPECT_EQ(pool->stats().free, 0);
  ASSERT_TRUE(pool->remove(a));
  ASSERT_TRUE(pool->truncate(c, 4)); // {3, 0} is cached, after a's pages
  SequenceId d = pool->add();
  extend(*pool, d, 8); // evicts {2, 0}, then {1, 0}
  EXPECT_EQ(*pool->length(*pool->match(std::vector<PageKey>{{1, 0}, {3, 0}})), 0);
  EXPECT_EQ(pool->stats().cached, 1);
  ASSERT_TRUE(pool->publish(c, keysFrom(1, 1)));
  EXPECT_EQ(*pool->length(*pool->match(std::vector<PageKey>{{1, 0}, {3, 0}})), 8);
}

TEST(PrefixReuse, AKeyStaysWithItsFirstPage) {
  auto pool = makePool(4);
  SequenceId a = pool->add(), b = pool->add();
  extend(*pool, a, 4);
  extend(*pool, b, 4);
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 1)));
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 1)));
  ASSERT_TRUE(pool->publish(b, keysFrom(1, 1)));
  ASSERT_TRUE(pool->remove(b));
  EXPECT_EQ(pool->stats(), (PoolStats{4, 3, 1, 0, 0, 1})); // b's page was its own
  EXPECT_EQ(pagesOf(*pool, *pool->match(keysFrom(1, 1))), pagesOf(*pool, a));
}

TEST(PrefixReuse, APageHasOneKey) {
  auto pool = makePool(4);
  SequenceId a = pool->add();
  extend(*pool, a, 12);
  ASSERT_TRUE(pool->publish(a, std::vector<PageKey>{{1, 0}, {2, 15}}));
  EXPECT_EQ(messageOf(pool->publish(a, std::vector<PageKey>{{1, 0}, {7, 16}, {8, 0}})),
            "keys[1] is 0000000000000010:0000000000000007, but this page is published as "
            "000000000000000f:0000000000000002");
  // Neither of the keys around the wrong one was published.
  EXPECT_EQ(*pool->length(*pool->match(keysFrom(8, 1))), 0);
}

TEST(PrefixReuse, EqualKeysInOneCallCountOnce) {
  auto pool = makePool(4);
  SequenceId a = pool->add();
  extend(*pool, a, 8);
  std::vector<PageKey> twice = {{1, 0}, {1, 0}};
  ASSERT_TRUE(pool->publish(a, twice));
  EXPECT_EQ(pagesOf(*pool, *pool->match(twice)), (std::vector<int32_t>{0}));
}

TEST(PrefixReuse, APublishedPageIsNeverWritten) {
  auto pool = makePool(4);
  SequenceId a = pool->add();
  extend(*pool, a, 8);
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 2)));
  ASSERT_TRUE(pool->truncate(a, 6)); // into the published page, whose only user is a
  std::vector<PageCopy> copies;
  extend(*pool, a, 1, &copies);
  EXPECT_EQ(copies, (std::vector<PageCopy>{{1, 2}}));
  EXPECT_EQ(pool->stats(), (PoolStats{4, 1, 2, 1, 0, 1}));
  EXPECT_EQ(pagesOf(*pool, *pool->match(keysFrom(1, 2))), (std::vector<int32_t>{0, 1}));
}

TEST(PrefixReuse, TheSourceOfACopyIsNotEvictedForIt) {
  auto pool = makePool(2);
  SequenceId a = pool->add();
  extend(*pool, a, 8);
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 2)));
  ASSERT_TRUE(pool->truncate(a, 6));
  EXPECT_EQ(extend(*pool, a, 1).missingPages, 1);
  ASSERT_TRUE(pool->truncate(a, 4)); // the page is cached now, and may be taken
  EXPECT_FALSE(extend(*pool, a, 1).exhausted());
}

TEST(PrefixReuse, AKeyNamesAPageOfEveryGroup) {
  auto pool = makePool(7, 4, 2);
  SequenceId a = pool->add();
  extend(*pool, a, 8); // group 0: pages 0 and 1, group 1: 2 and 3
  ASSERT_TRUE(pool->publish(a, keysFrom(1, 2)));
  ASSERT_TRUE(pool->remove(a));
  EXPECT_EQ(pool->stats(), (PoolStats{7, 3, 0, 4, 0, 0}));
  SequenceId b = *pool->match(keysFrom(1, 1));
  EXPECT_EQ(pagesOf(*pool, b, 0), (std::vector<int32_t>{0}));
  EXPECT_EQ(pagesOf(*pool, b, 1), (std::vector<int32_t>{2}));
  // Four pages: three are free, the second key's two are evicted together.
  EXPECT_FALSE(extend(*pool, b, 8).exhausted());
  EXPECT_EQ(pool->stats(), (PoolStats{7, 1, 6, 0, 0, 1}));
  EXPECT_EQ(extend(*pool, b, 4).missingPages, 1);
}

TEST(PagePool, ThreadsShareAPool) {
  constexpr int64_t kPages = 20; // for two or three sequences and prefixes: evictions, exhaustion
  auto pool = makePool(kPages);
  auto work = [&](uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int round = 0; round < 2000; ++round) {
      std::vector<PageKey> keys = keysFrom(10 * (random() % 3), 5);
      SequenceId id = *pool->match(keys);
      const int64_t matched = *pool->length(id);
      std::vector<PageCopy> copies(1);
      if (!pool->extend(id, 20 - matched + 3, copies)->exhausted()) {
        std::vector<int32_t> pages = pagesOf(*pool, id);
        EXPECT_EQ(std::set<int32_t>(pages.begin(), pages.end()).size(), 6u);
        EXPECT_TRUE(pool->publish(id, keys));
        SequenceId child = *pool->fork(id, 22);
        EXPECT_EQ(pagesOf(*pool, child), pages); // nobody else's calls move them
        EXPECT_TRUE(pool->remove(child));
        EXPECT_TRUE(pool->truncate(id, 9));
      }
      PoolStats stats = pool->stats();
      EXPECT_EQ(stats.free + stats.used + stats.cached, kPages);
      EXPECT_TRUE(pool->remove(id));
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 4; ++seed)
    threads.emplace_back(work, seed);
  for (std::thread &thread : threads)
    thread.join();
  PoolStats stats = pool->stats();
  EXPECT_EQ(stats.used, 0);
  EXPECT_EQ(stats.sequences, 0);
  EXPECT_EQ(stats.free + stats.cached, kPages);
}

} // namespace
