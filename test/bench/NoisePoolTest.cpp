#include "runtime/bench/NoisePool.h"
#include "test/bench/SimulatedMachine.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace attncc;
using namespace attncc::bench;
using verify::NumberType;

// Device memory of the simulator is the host's, so the test reads it as it is.
TEST(NoisePool, KnowsTheNumberAtEveryAddress) {
  test::SimulatedMachine simulated;
  NoisePool pool(simulated.machine, 1, "numbers");
  const size_t elements = 3 * NoisePool::kBlockElements + 12345;
  Result<std::byte *> memory = pool.reserve(elements * 2, NumberType::BF16);
  ASSERT_TRUE(memory) << memory.error().diagnostic.text();
  const auto *numbers = reinterpret_cast<const uint16_t *>(*memory);
  double sum = 0, squares = 0;
  for (size_t i = 0; i < elements; ++i) {
    ASSERT_EQ(numbers[i], pool.bitsAt(numbers + i)) << i;
    const double value = verify::toFloat(NumberType::BF16, numbers[i]);
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / double(elements), 0, 0.01);
  EXPECT_NEAR(squares / double(elements), 1, 0.01);
}

TEST(NoisePool, GrowsAndChangesItsType) {
  test::SimulatedMachine simulated;
  NoisePool pool(simulated.machine, 7, "numbers");
  ASSERT_TRUE(pool.reserve(1000, NumberType::BF16));
  EXPECT_EQ(pool.bytes(), 1000u);
  Result<std::byte *> memory = pool.reserve(5000, NumberType::F16);
  ASSERT_TRUE(memory);
  const auto *numbers = reinterpret_cast<const uint16_t *>(*memory);
  for (size_t i = 0; i < 2500; ++i) {
    EXPECT_EQ(numbers[i], pool.bitsAt(numbers + i));
    EXPECT_LT(std::fabs(verify::toFloat(NumberType::F16, numbers[i])), 3.5f);
  }
  // What is large enough and of the same type stays.
  Result<std::byte *> same = pool.reserve(2000, NumberType::F16);
  ASSERT_TRUE(same);
  EXPECT_EQ(*same, *memory);
  EXPECT_EQ(pool.bytes(), 5000u);
}
