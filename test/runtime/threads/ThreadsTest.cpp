// The thread rules of attncc.h: device and package from any thread, a bound cache from any thread,
// a plan for each thread, a pool behind its lock, messages of one's own. Run as it is and under
// ThreadSanitizer (sanitized.cmake), on the simulator and on the CUDA driver of the tests.
#include "test/runtime/StepOnDevice.h"
#include "test/runtime/cuda/FakeCuda.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <functional>
#include <random>
#include <thread>

using namespace attncc::test;

namespace {

constexpr int kThreads = 6;

void inThreads(const std::function<void(int)> &body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back(body, i);
  for (std::thread &thread : threads)
    thread.join();
}

class Threads : public testing::TestWithParam<const char *> {
protected:
  void SetUp() override {
    fake_cuda_reset();
    writePackage(samplePackage(), folder.path);
  }
  TemporaryFolder folder;
};

TEST_P(Threads, OpenOnePackageAtOnce) {
  rt::Device device = *rt::Device::open(GetParam());
  std::atomic<int> lines = 0;
  attncc_set_logger([](void *user, int, const char *) { ++*static_cast<std::atomic<int> *>(user); },
                    &lines, 0);
  inThreads([&](int) {
    rt::Result<rt::Package> package =
        rt::Package::open(device, folder.path.c_str(), {.jit_threads = 3});
    ASSERT_TRUE(package) << package.error().message;
    EXPECT_NE(std::string(package->manifest()).find("attncc.package"), std::string::npos);
  });
  attncc_set_logger(nullptr, nullptr, 0);
  EXPECT_EQ(lines, kThreads);
}

TEST_P(Threads, ShareACacheWithAPlanEach) {
  static_assert(kThreads * StepOnDevice::kPagesOfStep <= LoadedSample::kPages);
  auto shared = std::make_shared<LoadedSample>(GetParam(), folder.path, 0);
  std::vector<uint16_t> expected;
  {
    StepOnDevice alone(shared, 0);
    ASSERT_EQ(alone.run(), "");
    expected = alone.output();
  }
  inThreads([&](int i) {
    StepOnDevice own(shared, i);
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(own.run(), "");
      ASSERT_EQ(own.output(), expected);
    }
  });
}

TEST_P(Threads, HaveMessagesOfTheirOwn) {
  std::barrier together(kThreads);
  inThreads([&](int i) {
    const std::string name = "no-device-" + std::to_string(i);
    attncc_device *device = nullptr;
    for (int round = 0; round < 20; ++round) {
      EXPECT_EQ(attncc_device_open(name.c_str(), &device), ATTNCC_INVALID_ARGUMENT);
      together.arrive_and_wait();
      EXPECT_NE(std::string(attncc_message()).find(name), std::string::npos) << attncc_message();
      together.arrive_and_wait();
    }
  });
}

TEST_P(Threads, ShareAPool) {
  constexpr int64_t kPages = 24;
  rt::Device device = *rt::Device::open(GetParam());
  rt::Package package = *rt::Package::open(device, folder.path.c_str());
  rt::Pool pool = *package.pool("kv0", kPages);
  inThreads([&](int i) {
    std::mt19937 random(static_cast<unsigned>(i));
    for (int round = 0; round < 300; ++round) {
      attncc_sequence sequence = *pool.add();
      rt::PageCopy copies[1];
      rt::Extension room = *pool.extend(sequence, 1 + random() % 30, copies);
      if (!room.exhausted()) {
        const rt::PageKey key = {random() % 40, static_cast<uint64_t>(i)};
        if (*pool.length(sequence) >= kPageSize)
          ASSERT_TRUE(pool.publish(sequence, {&key, 1}));
        attncc_sequence child = *pool.fork(sequence, *pool.length(sequence) / 2);
        ASSERT_TRUE(pool.truncate(sequence, *pool.length(sequence) / 2));
        attncc_sequence matched = *pool.match({&key, 1});
        attncc_pool_stats stats = pool.stats();
        EXPECT_EQ(stats.free + stats.used + stats.cached, kPages);
        ASSERT_TRUE(pool.remove(child));
        ASSERT_TRUE(pool.remove(matched));
      }
      ASSERT_TRUE(pool.remove(sequence));
    }
  });
  attncc_pool_stats stats = pool.stats();
  EXPECT_EQ(stats.used, 0);
  EXPECT_EQ(stats.sequences, 0);
  EXPECT_EQ(stats.free + stats.cached, kPages);
}

INSTANTIATE_TEST_SUITE_P(Devices, Threads, testing::Values("sim", "cuda:0"), [](const auto &info) {
  return std::string(info.param).substr(0, std::string(info.param).find(':'));
});

} // namespace
