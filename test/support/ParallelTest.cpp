// Tasks on several threads: each is run once, and the error is that of the first in order.
#include "runtime/support/Parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace attncc;

namespace {

TEST(Parallel, EveryTaskIsRunOnce) {
  for (unsigned threads : {0u, 1u, 3u, 200u}) {
    std::vector<std::atomic<int>> runs(100);
    EXPECT_TRUE(inParallel(runs.size(), threads, [&](size_t i) -> Result<void> {
      ++runs[i];
      return {};
    }));
    for (const std::atomic<int> &count : runs)
      EXPECT_EQ(count, 1) << threads;
  }
  EXPECT_TRUE(inParallel(
      0, 4, [](size_t) -> Result<void> { return makeError(Status::Internal, "called"); }));
}

TEST(Parallel, TheFirstErrorInOrderIsTheResult) {
  // Task 2 fails long after task 3 has.
  std::atomic<bool> laterFailed = false;
  Result<void> done = inParallel(8, 4, [&](size_t i) -> Result<void> {
    if (i == 2)
      while (!laterFailed)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (i == 3)
      laterFailed = true;
    return i < 2 ? Result<void>() : makeError(Status::Exhausted, "task " + std::to_string(i));
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().status, Status::Exhausted);
  EXPECT_EQ(done.error().diagnostic.message, "task 2");
}

TEST(Parallel, NothingIsBegunAfterAnError) {
  int runs = 0;
  EXPECT_FALSE(inParallel(8, 1, [&](size_t i) -> Result<void> {
    ++runs;
    return i < 2 ? Result<void>() : makeError(Status::Exhausted, "full");
  }));
  EXPECT_EQ(runs, 3);
}

TEST(Parallel, AnExceptionIsInternal) {
  Result<void> done = inParallel(4, 2, [](size_t i) -> Result<void> {
    if (i == 1)
      throw std::runtime_error("thrown");
    return {};
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().status, Status::Internal);
  EXPECT_EQ(done.error().diagnostic.message, "thrown");
}

} // namespace
