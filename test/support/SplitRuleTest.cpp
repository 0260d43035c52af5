//===- SplitRuleTest.cpp - items of splits -----------------------------------===//

#include "runtime/support/SplitRule.h"

#include "gtest/gtest.h"

namespace attncc {
namespace {

const SplitRule kRule{{{2048, 128}, {4096, 256}, {8192, 512}, {131072, 2048}}};

TEST(SplitRule, ItemsTakeOneSplitSpansOrAll) {
  EXPECT_EQ(splitsTaken(kRule, 4096, 1), 16); // all
  EXPECT_EQ(splitsTaken(kRule, 4096, 4), 4);  // 4 spans rather than 16 splits
  EXPECT_EQ(splitsTaken(kRule, 2048, 8), 1);  // 16 splits are as near as 4 spans
  EXPECT_EQ(splitsTaken(kRule, 4096, 16), 1);
  EXPECT_EQ(splitsTaken(kRule, 8192, 1), 4);    // too long for one item
  EXPECT_EQ(splitsTaken(kRule, 131072, 1), 16); // 64 splits: 16 spans, 4 items at most
  EXPECT_EQ(splitsTaken(kRule, 4096, 0), 1);    // nothing asked for
  EXPECT_EQ(splitsTaken(kRule, 0, 1), 1);
}

TEST(SplitRule, MaxItemsBoundsEveryLength) {
  for (int64_t items : {1, 2, 3, 4, 5, 8, 16, 100})
    for (int64_t bound : {1, 130, 1000, 2048, 3000, 4096, 9000, 40000}) {
      int64_t most = 1;
      for (int64_t length = 0; length <= bound; ++length) {
        int64_t taken = splitsTaken(kRule, length, items);
        most = std::max(most, (kRule.numSplits(length) + taken - 1) / taken);
      }
      EXPECT_EQ(maxItems(kRule, bound, items), most) << items << " " << bound;
    }
}

} // namespace
} // namespace attncc
