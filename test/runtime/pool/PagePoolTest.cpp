// The page pool: each behaviour by name, and 20,000 random operations against a naive model, with
// every rule of docs/runtime.md, "Page pool", checked after each.
#include "runtime/pool/PagePool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>

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

/// The rules, in the plainest form: tables as lists, pages counted by walking them.
struct Model {
  struct Sequence {
    int64_t length = 0;
    std::vector<std::vector<int32_t>> tables;
  };
  int64_t pages, pageSize;
  uint32_t groups;
  std::map<SequenceId, Sequence> sequences;
  std::set<SequenceId> everUsed;

  int64_t pagesFor(int64_t tokens) const { return (tokens + pageSize - 1) / pageSize; }
  std::map<int32_t, int> references() const {
    std::map<int32_t, int> count;
    for (const auto &[id, sequence] : sequences)
      for (const auto &table : sequence.tables)
        for (int32_t page : table)
          ++count[page];
    return count;
  }
};

class PoolAgainstModel : public testing::TestWithParam<std::tuple<int, int, int>> {};

/// Checks every rule, and takes the pool's own page numbers over into the model.
void checkRules(const PagePool &pool, Model &model) {
  std::map<int32_t, int> before = model.references();
  for (auto &[id, sequence] : model.sequences) {
    ASSERT_EQ(*pool.length(id), sequence.length);
    for (uint32_t group = 0; group < model.groups; ++group) {
      std::vector<int32_t> table(static_cast<size_t>(model.pages)), indptr(2);
      Result<int64_t> count = pool.pageList(group, std::span(&id, 1), table, indptr);
      ASSERT_TRUE(count);
      ASSERT_EQ(*count, model.pagesFor(sequence.length));
      table.resize(static_cast<size_t>(*count));
      ASSERT_EQ(table, sequence.tables[group]);
      std::set<int32_t> distinct(table.begin(), table.end());
      ASSERT_EQ(distinct.size(), table.size());
      for (int32_t page : table)
        ASSERT_TRUE(page >= 0 && page < model.pages);
    }
  }
  PoolStats stats = pool.stats();
  ASSERT_EQ(stats.total, model.pages);
  ASSERT_EQ(stats.free + stats.used + stats.cached, stats.total);
  ASSERT_EQ(stats.used, static_cast<int64_t>(before.size()));
  ASSERT_EQ(stats.shared, std::count_if(before.begin(), before.end(),
                                        [](const auto &page) { return page.second > 1; }));
  ASSERT_EQ(stats.sequences, static_cast<int64_t>(model.sequences.size()));
}

TEST_P(PoolAgainstModel, HoldsEveryRule) {
  auto [pages, pageSize, groups] = GetParam();
  const char *fromOutside = std::getenv("ATTNCC_TEST_SEED");
  const uint64_t seed = fromOutside ? std::strtoull(fromOutside, nullptr, 10) : 20261124;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };

  auto pool = makePool(pages, pageSize, static_cast<uint32_t>(groups));
  auto twin =
      makePool(pages, pageSize, static_cast<uint32_t>(groups)); // the same calls, the same pages
  Model model{pages, pageSize, static_cast<uint32_t>(groups), {}, {}};
  int extended = 0, exhausted = 0, copied = 0;

  for (int step = 0; step < 5000; ++step) {
    SequenceId id = 0;
    if (!model.sequences.empty() && below(20) != 0) {
      auto chosen = model.sequences.begin();
      std::advance(chosen, below(static_cast<int64_t>(model.sequences.size())));
      id = chosen->first;
    } else {
      id = static_cast<SequenceId>(below(50)); // mostly unknown
    }
    const bool known = model.sequences.contains(id);
    Model::Sequence *sequence = known ? &model.sequences[id] : nullptr;
    std::map<int32_t, int> references = model.references();
    const int64_t free = pages - static_cast<int64_t>(references.size());

    switch (below(10)) {
    case 0: {
      SequenceId added = pool->add();
      ASSERT_EQ(twin->add(), added);
      ASSERT_TRUE(model.everUsed.insert(added).second);
      model.sequences[added].tables.resize(static_cast<size_t>(groups));
      break;
    }
    case 1: {
      Result<void> removed = pool->remove(id);
      (void)twin->remove(id);
      ASSERT_EQ(static_cast<bool>(removed), known);
      model.sequences.erase(id);
      break;
    }
    case 2: {
      int64_t tokens = below(3 * pageSize + 2) - 1;
      Result<void> truncated = pool->truncate(id, tokens);
      (void)twin->truncate(id, tokens);
      ASSERT_EQ(static_cast<bool>(truncated), known && tokens >= 0 && tokens <= sequence->length);
      if (truncated) {
        sequence->length = tokens;
        for (auto &table : sequence->tables)
          table.resize(static_cast<size_t>(model.pagesFor(tokens)));
      }
      break;
    }
    case 3: {
      int64_t prefix = known && below(8) ? below(sequence->length + 1) : below(100);
      Result<SequenceId> forked = pool->fork(id, prefix);
      Result<SequenceId> other = twin->fork(id, prefix);
      ASSERT_EQ(static_cast<bool>(forked), known && prefix <= sequence->length);
      if (forked) {
        ASSERT_EQ(*other, *forked);
        ASSERT_TRUE(model.everUsed.insert(*forked).second);
        Model::Sequence child = *sequence;
        child.length = prefix;
        for (auto &table : child.tables)
          table.resize(static_cast<size_t>(model.pagesFor(prefix)));
        model.sequences[*forked] = child;
      }
      break;
    }
    default: {
      int64_t tokens = below(2 * pageSize + 2) - 1;
      std::vector<PageCopy> copies(static_cast<size_t>(groups)), twins(copies);
      Result<Extension> extension = pool->extend(id, tokens, copies);
      (void)twin->extend(id, tokens, twins);
      ASSERT_EQ(static_cast<bool>(extension), known && tokens >= 0);
      if (!extension)
        break;
      int64_t added = model.pagesFor(sequence->length + tokens) - model.pagesFor(sequence->length);
      int64_t shared = 0;
      if (tokens > 0 && sequence->length % pageSize != 0)
        for (auto &table : sequence->tables)
          shared += references[table.back()] > 1;
      int64_t needed = added * groups + shared;
      ASSERT_EQ(extension->missingPages, needed > free ? needed - free : 0);
      if (extension->exhausted()) {
        ++exhausted;
        break;
      }
      ++extended;
      copied += extension->numCopies;
      ASSERT_EQ(extension->numCopies, shared);
      // The pages that the new tokens write to must have been free or only this sequence's.
      int64_t firstWritten = sequence->length / pageSize;
      size_t copy = 0;
      for (uint32_t group = 0; group < static_cast<uint32_t>(groups); ++group) {
        auto &table = sequence->tables[group];
        std::vector<int32_t> now(static_cast<size_t>(pages)), indptr(2);
        Result<int64_t> count = pool->pageList(group, std::span(&id, 1), now, indptr);
        now.resize(static_cast<size_t>(*count));
        ASSERT_EQ(*count, model.pagesFor(sequence->length + tokens));
        for (size_t i = 0; i < table.size(); ++i) {
          if (now[i] == table[i])
            continue;
          ASSERT_LT(copy, extension->numCopies);
          ASSERT_EQ(copies[copy].source, table[i]);
          ASSERT_EQ(copies[copy].target, now[i]);
          ASSERT_EQ(i, table.size() - 1);
          ++copy;
        }
        if (tokens > 0)
          for (size_t i = static_cast<size_t>(firstWritten); i < now.size(); ++i) {
            bool own = i < table.size() && now[i] == table[i];
            ASSERT_EQ(references[now[i]], own ? 1 : 0) << "page " << now[i] << " is written";
          }
        table = now;
      }
      ASSERT_EQ(copy, extension->numCopies);
      sequence->length += tokens;
    }
    }
    checkRules(*pool, model);
    checkRules(*twin, model);
    if (HasFatalFailure())
      FAIL() << "at step " << step;
  }
  EXPECT_GT(extended, 200);
  EXPECT_GT(exhausted, 20);
  if (pageSize > 1) // else no page is ever partly filled
    EXPECT_GT(copied, 5);
}

INSTANTIATE_TEST_SUITE_P(Sizes, PoolAgainstModel,
                         testing::Values(std::tuple(40, 4, 1), std::tuple(17, 1, 1),
                                         std::tuple(60, 16, 2), std::tuple(50, 5, 1)));

} // namespace
