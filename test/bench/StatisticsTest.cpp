#include "runtime/bench/Statistics.h"

#include <gtest/gtest.h>

using namespace attncc::bench;

TEST(Statistics, MedianIsTheMiddle) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({4, 1, 100, 2}), 3);
}

TEST(Statistics, SpreadIsTheMedianDistance) {
  EXPECT_EQ(medianDeviation({}), 0);
  EXPECT_EQ(medianDeviation({3, 3, 3}), 0);
  // Distances from 10: 1, 2, 0, 3, 990. One disturbed sample moves nothing.
  EXPECT_EQ(medianDeviation({9, 8, 10, 13, 1000}), 2);
}
