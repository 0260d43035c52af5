// Every allocation of every call of the page pool fails once: the call throws std::bad_alloc, which
// the C interface turns into OUT_OF_MEMORY, and has changed nothing. A second pool that got the
// successful calls alone must give the same ids and pages from there on.
#include "runtime/pool/PagePool.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <new>

/// Allocations of this thread until one fails; below 0: none does.
static thread_local int64_t untilFailure = -1;

void *operator new(size_t bytes) {
  if (untilFailure >= 0 && untilFailure-- == 0)
    throw std::bad_alloc();
  if (void *memory = std::malloc(bytes ? bytes : 1))
    return memory;
  throw std::bad_alloc();
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, size_t) noexcept { std::free(memory); }

using namespace attncc;
using namespace attncc::pool;

namespace {

constexpr int64_t kPages = 40;

/// Counts, and each sequence's length and pages.
std::vector<int64_t> stateOf(const PagePool &pool) {
  PoolStats stats = pool.stats();
  std::vector<int64_t> state = {stats.free, stats.used, stats.cached, stats.shared,
                                stats.sequences};
  for (SequenceId id = 0; id < 20; ++id)
    for (uint32_t group = 0; group < pool.numGroups(); ++group) {
      std::vector<int32_t> pages(kPages), indptr(2);
      Result<int64_t> count = pool.pageList(group, std::span(&id, 1), pages, indptr);
      state.push_back(count ? *pool.length(id) : -1);
      state.insert(state.end(), pages.begin(), pages.begin() + (count ? *count : 0));
    }
  return state;
}

TEST(PoolOutOfMemory, ACallThatFailsChangesNothing) {
  std::unique_ptr<PagePool> pool = std::move(*PagePool::create(kPages, 4, 2));
  std::unique_ptr<PagePool> twin = std::move(*PagePool::create(kPages, 4, 2));
  const std::vector<PageKey> keys = {{1, 2}, {3, 4}, {5, 6}};
  std::vector<PageCopy> copies(2);
  using Call = std::function<bool(PagePool &)>;
  auto extend = [&](SequenceId id, int64_t tokens) {
    return Call([&copies, id, tokens](PagePool &pool) {
      Result<Extension> extension = pool.extend(id, tokens, copies);
      return extension && !extension->exhausted();
    });
  };
  const std::vector<Call> calls = {
      [](PagePool &pool) { return pool.add() == 1; },
      extend(1, 14),
      [&](PagePool &pool) { return bool(pool.publish(1, keys)); },
      [](PagePool &pool) { return *pool.fork(1, 10) == 2; },
      extend(2, 9), // copies the partly used page of both groups
      [](PagePool &pool) { return bool(pool.remove(1)); },
      [&](PagePool &pool) { return *pool.match(keys) == 3; },
      [](PagePool &pool) { return bool(pool.truncate(3, 0)); },
      extend(2, 50), // evicts
      [](PagePool &pool) { return bool(pool.remove(2)); },
      extend(3, 60),
  };
  int64_t failures = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::vector<int64_t> before = stateOf(*pool);
    for (int64_t failing = 0;; ++failing) {
      ASSERT_LT(failing, 100);
      untilFailure = failing;
      try {
        const bool done = calls[i](*pool);
        untilFailure = -1;
        ASSERT_TRUE(done) << "call " << i;
        break;
      } catch (const std::bad_alloc &) {
        untilFailure = -1;
        ++failures;
        ASSERT_EQ(stateOf(*pool), before) << "call " << i << ", allocation " << failing;
      }
    }
    ASSERT_TRUE(calls[i](*twin));
    ASSERT_EQ(stateOf(*pool), stateOf(*twin)) << "call " << i;
  }
  EXPECT_GT(failures, 20);
}

} // namespace
