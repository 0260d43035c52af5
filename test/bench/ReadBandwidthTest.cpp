#include "runtime/bench/ReadBandwidth.h"
#include "test/bench/SimulatedMachine.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace attncc;
using namespace attncc::bench;

/// Whether the kernel meets `word` at one place of memory that is zero elsewhere.
class ReadKernelTest : public testing::Test {
protected:
  static constexpr int64_t kTiles = 3, kWords = kTiles * ReadKernel::kTileBytes / 4;
  static constexpr uint32_t kWord = 0x12345678;

  void SetUp() override {
    Result<ReadKernel> loaded = ReadKernel::load(*machine.device);
    ASSERT_TRUE(loaded) << loaded.error().diagnostic.text();
    kernel = std::move(*loaded);
    data = static_cast<uint32_t *>(*machine.device->allocate(kWords * 4, "data"));
    found = static_cast<uint32_t *>(*machine.device->allocate(4, "found"));
    std::fill_n(data, kWords, 0);
  }
  uint32_t foundWith(uint32_t key) {
    *found = 0;
    Result<void> launched = kernel.launch(*machine.device, data, kWords * 4, found, key, nullptr);
    EXPECT_TRUE(launched) << launched.error().diagnostic.text();
    return *found;
  }

  test::SimulatedMachine simulated;
  Machine &machine = simulated.machine;
  ReadKernel kernel;
  uint32_t *data = nullptr, *found = nullptr;
};

TEST_F(ReadKernelTest, ReadsEveryWord) {
  // Every word of one thread, and then one word of every load over all tiles.
  for (int64_t load = 0; load < kTiles * ReadKernel::kLoads; ++load)
    for (int64_t word = 0; word < 4; ++word) {
      const int64_t thread = (37 * load + 5 * word) % ReadKernel::kThreads;
      uint32_t &at = data[(load * ReadKernel::kThreads + thread) * 4 + word];
      at = kWord;
      EXPECT_EQ(foundWith(kWord), kWord) << "load " << load << ", word " << word;
      at = 0;
    }
}

TEST_F(ReadKernelTest, WritesNothingWithoutTheKey) {
  data[0] = kWord;
  EXPECT_EQ(foundWith(kWord + 1), 0u);
}

TEST(ReadBandwidth, IsTheBestOfItsSamples) {
  test::SimulatedMachine simulated;
  const int64_t bytes = 2 * ReadKernel::kTileBytes;
  void *data = *simulated.machine.device->allocate(bytes + 100, "data");
  simulated.stopwatch->times = {1, 1, 1, 0.04, 0.02, 0.05}; // three to warm up
  Result<ReadBandwidth> read = measureRead(simulated.machine, data, bytes + 100, 3);
  ASSERT_TRUE(read) << read.error().diagnostic.text();
  EXPECT_EQ(read->bytes, bytes); // whole tiles
  EXPECT_EQ(read->samples, 3);
  EXPECT_DOUBLE_EQ(read->best, double(bytes) / 0.02 / 1e3);
  EXPECT_DOUBLE_EQ(read->median, double(bytes) / 0.04 / 1e3);
  EXPECT_EQ(simulated.stopwatch->runs, 6);
}
