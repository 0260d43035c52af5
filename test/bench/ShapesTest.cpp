#include "runtime/bench/Shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

using namespace attncc;
using namespace attncc::bench;
using testing::ElementsAre;
using verify::SequenceShape;

TEST(Shapes, TableHasColumnsInAnyOrder) {
  Result<std::vector<Shape>> shapes = parseShapes("# what a server sees\n"
                                                  "context, batch,kv_heads\r\n"
                                                  "\n"
                                                  "4096,64,\n"
                                                  "  # ragged\n"
                                                  "128..8192, 8 ,2",
                                                  "t.csv");
  ASSERT_TRUE(shapes) << shapes.error().diagnostic.text();
  EXPECT_THAT(*shapes, ElementsAre(Shape{64, {4096, 4096}, 1, 0}, Shape{8, {128, 8192}, 1, 2}));
}

TEST(Shapes, QueryLengthIsAColumn) {
  Result<std::vector<Shape>> shapes =
      parseShapes("batch,context,query_length\n32,4096,4\n32,4096,\n", "t.csv");
  ASSERT_TRUE(shapes) << shapes.error().diagnostic.text();
  EXPECT_THAT(*shapes, ElementsAre(Shape{32, {4096, 4096}, 4, 0}, Shape{32, {4096, 4096}, 1, 0}));
}

// Of prefill, whose query tokens are all that there is where the context is empty.
TEST(Shapes, LongQueriesArePrefill) {
  Result<std::vector<Shape>> shapes = parseShapes(
      "batch,context,query_length\n16,,1024\n1,32768,2048\n8,4096..8192,9..100\n", "t.csv");
  ASSERT_TRUE(shapes) << shapes.error().diagnostic.text();
  EXPECT_THAT(*shapes, ElementsAre(Shape{16, {}, 1024}, Shape{1, 32768, 2048},
                                   Shape{8, {4096, 8192}, {9, 100}}));
  for (const Shape &shape : *shapes)
    EXPECT_EQ(shape.role(), Role::Prefill);
  EXPECT_EQ((Shape{1, 16, 8}.role()), Role::Decode);
}

TEST(Shapes, BadTablesAreLocated) {
  struct Bad {
    const char *text, *message;
  };
  for (const Bad &bad : {
           Bad{"", "t.csv:1:1: error: has no header: the first line names the columns, e.g. "
                   "batch,context [bench-shapes]"},
           Bad{"batch,context\n# none\n",
               "t.csv:2:1: error: has no shapes below its header [bench-shapes]"},
           Bad{"batch, tokens\n1,2",
               "t.csv:1:8: error: column \"tokens\" is unknown: must be batch, context, "
               "query_length or kv_heads [bench-shapes]"},
           Bad{"batch,batch\n1,2",
               "t.csv:1:7: error: column \"batch\" is there twice [bench-shapes]"},
           Bad{"batch\n1", "t.csv:1:1: error: there is no column \"context\" [bench-shapes]"},
           Bad{"batch,context\n1,2\n3\n",
               "t.csv:3:1: error: has 1 values, the header has 2 [bench-shapes]"},
           Bad{"batch,context\n0,16",
               "t.csv:2:1: error: batch is \"0\", must be a number from 1 to 65535 [bench-shapes]"},
           Bad{"batch,context\n,16",
               "t.csv:2:1: error: batch is \"\", must be a number from 1 to 65535 [bench-shapes]"},
           Bad{"batch,context\n64, 4k",
               "t.csv:2:5: error: context is \"4k\", must be a number of tokens or LOW..HIGH "
               "[bench-shapes]"},
           Bad{"batch,context\n1,9..8",
               "t.csv:2:3: error: context is \"9..8\", LOW must not be above HIGH [bench-shapes]"},
           Bad{"batch,context,query_length\n1,3..8,4",
               "t.csv:2:1: error: context is 3, must be at least query_length 4, whose tokens it "
               "counts [bench-shapes]"},
           Bad{"batch,context,query_length\n1,,8",
               "t.csv:2:1: error: query_length 8 has no context, which only more than 8 query "
               "tokens may leave out [bench-shapes]"},
           Bad{"batch,context,query_length\n1,64,x",
               "t.csv:2:6: error: query_length is \"x\", must be a number of tokens or LOW..HIGH "
               "[bench-shapes]"},
           Bad{"batch,context,query_length\n1,64,8..9",
               "t.csv:2:1: error: query_length is 8..9, must be up to 8, decode, or above it, "
               "prefill, at both ends [bench-shapes]"},
       }) {
    Result<std::vector<Shape>> shapes = parseShapes(bad.text, "t.csv");
    ASSERT_FALSE(shapes) << bad.text;
    EXPECT_EQ(shapes.error().diagnostic.text(), bad.message);
  }
  std::string many = "batch,context\n";
  for (int i = 0; i < 4097; ++i)
    many += "1,16\n";
  EXPECT_EQ(parseShapes(many, "t.csv").error().diagnostic.text(),
            "t.csv:4098:1: error: there are more than 4096 shapes [bench-shapes]");
}

TEST(Shapes, ListsGiveEveryCombination) {
  Result<std::vector<Shape>> shapes = productOf({1, 8}, {{16, 16}, {1, 99}}, {1}, {0});
  ASSERT_TRUE(shapes);
  EXPECT_THAT(*shapes, ElementsAre(Shape{1, {16, 16}}, Shape{1, {1, 99}}, Shape{8, {16, 16}},
                                   Shape{8, {1, 99}}));
  EXPECT_EQ(productOf({1}, {{2, 2}}, {1, 4}, {0}).error().diagnostic.message,
            "context is 2, must be at least query_length 4, whose tokens it counts");
}

TEST(Shapes, LengthsFollowTheSeed) {
  const Shape ragged = {64, {128, 8192}, {10, 100}};
  const std::vector<SequenceShape> sequences = ragged.sequences(1);
  ASSERT_EQ(sequences.size(), 64u);
  EXPECT_EQ(sequences, ragged.sequences(1));
  EXPECT_NE(sequences, ragged.sequences(2));
  std::set<int64_t> contexts, queries;
  for (auto [queryLength, kvLength] : sequences) {
    contexts.insert(kvLength);
    queries.insert(queryLength);
  }
  EXPECT_GE(*contexts.begin(), 128);
  EXPECT_LE(*contexts.rbegin(), 8192);
  EXPECT_GT(contexts.size(), 50u);
  EXPECT_GE(*queries.begin(), 10);
  EXPECT_LE(*queries.rbegin(), 100);
  EXPECT_GT(queries.size(), 20u);
  EXPECT_THAT((Shape{2, 7}.sequences(1)), ElementsAre(SequenceShape{1, 7}, SequenceShape{1, 7}));
  for (auto [queryLength, kvLength] : (Shape{9, {}, {10, 100}}.sequences(1)))
    EXPECT_EQ(queryLength, kvLength);
}

TEST(Shapes, DefaultsAreOfTheirRole) {
  for (Role role : {Role::Decode, Role::Prefill}) {
    EXPECT_FALSE(defaultShapes(role).empty());
    for (const Shape &shape : defaultShapes(role))
      EXPECT_EQ(shape.role(), role) << shape.text();
  }
}

TEST(Shapes, AreShownInWords) {
  EXPECT_EQ((Shape{64, {4096, 4096}}.text()), "64 x 4096");
  EXPECT_EQ((Shape{64, {128, 8192}}.text()), "64 x 128-8192");
  EXPECT_EQ((Shape{32, {4096, 4096}, 4, 2}.text()), "32 x 4096, 4 queries, 2 kv heads");
  EXPECT_EQ((Shape{1, {5, 5}, 1, 1}.text()), "1 x 5, 1 kv head");
  EXPECT_EQ((Shape{32, 64, {1, 4}}.text()), "32 x 64, 1-4 queries");
  EXPECT_EQ((Shape{16, {}, 1024}.text()), "16 x 1024");
  EXPECT_EQ((Shape{16, 1024, 1024, 2}.text()), "16 x 1024, 2 kv heads");
  EXPECT_EQ((Shape{1, 32768, 2048}.text()), "1 x 2048 of 32768");
  EXPECT_EQ((Shape{8, {4096, 8192}, {9, 2048}}.text()), "8 x 9-2048 of 4096-8192");
}
