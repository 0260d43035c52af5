// runtime/support/Table.h
#include "runtime/support/Table.h"

#include <gtest/gtest.h>

using namespace attncc;

TEST(Table, GroupsThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-100), "-100");
  EXPECT_EQ(grouped(-1000), "-1,000");
}

TEST(Table, AlignsColumnsAndLeavesNoSpaceAtTheEnd) {
  EXPECT_EQ(tableText({{"a", "bb", "c"}, {"aaa", "b"}}), "a    bb  c\naaa  b\n");
}

// "±" has two bytes and takes one column.
TEST(Table, CountsCharacters) {
  EXPECT_EQ(tableText({{"±1", "x"}, {"12", "x"}}), "±1  x\n12  x\n");
}
