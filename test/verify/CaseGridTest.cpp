//===- CaseGridTest.cpp - every edge occurs, and a case survives its file ----===//

#include "runtime/verify/CaseGrid.h"
#include "runtime/verify/Random.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

namespace attncc::verify {

void PrintTo(const ClassShape &shape, std::ostream *out) { *out << shape.name; }

namespace {

ClassShape llama() {
  ClassShape shape;
  shape.name = "full";
  shape.cacheGroup = "kv0";
  shape.queryHeads = 32;
  shape.kvHeads = 8;
  shape.keyDim = shape.valueDim = 64;
  shape.pageSize = 16;
  shape.maxPosition = 131072;
  shape.splits = {{{2048, 256}, {8192, 1024}, {131072, 2048}}};
  shape.prefillRows = 128;
  return shape;
}

/// Classes that differ in what the grid looks at.
std::vector<ClassShape> shapes() {
  std::vector<ClassShape> result{llama()};
  ClassShape odd = llama();
  odd.name = "odd"; // as SmolLM2 with pages of one token
  odd.queryHeads = 9;
  odd.kvHeads = 3;
  odd.pageSize = 1;
  odd.maxPosition = 8192;
  result.push_back(odd);
  ClassShape small = llama();
  small.name = "small";
  small.queryHeads = small.kvHeads = 12;
  small.pageSize = 256;
  small.maxPosition = 1024;
  small.maxDraft = 1;
  result.push_back(small);
  return result;
}

class CaseGrid : public testing::TestWithParam<ClassShape> {
protected:
  bool some(const std::function<bool(const VerifyCase &)> &holds) const {
    return std::any_of(grid.begin(), grid.end(), holds);
  }
  bool someSequence(Role role, const std::function<bool(const SequenceShape &)> &holds) const {
    return some([&](const VerifyCase &c) {
      return (c.role == role || role == Role::Decode) && c.role != Role::MergeStates &&
             c.role != Role::Append == (role != Role::Append) &&
             std::any_of(c.sequences.begin(), c.sequences.end(), holds);
    });
  }
  ClassShape shape = GetParam();
  std::vector<VerifyCase> grid = makeGrid(shape, 1, 300);
};

TEST_P(CaseGrid, hasTheNumberOfCasesAndAllSuitTheClass) {
  EXPECT_EQ(grid.size(), 300u);
  std::set<std::string> ids;
  std::set<uint64_t> seeds;
  for (const VerifyCase &c : grid) {
    Result<void> suits = checkCase(c, shape);
    EXPECT_TRUE(suits) << suits.error().diagnostic.message;
    EXPECT_TRUE(ids.insert(c.id).second) << c.id;
    EXPECT_TRUE(seeds.insert(c.seed).second) << c.id;
  }
}

TEST_P(CaseGrid, isTheSameForTheSameSeedAndAnotherForAnother) {
  EXPECT_EQ(makeGrid(shape, 1, 300), grid);
  EXPECT_NE(makeGrid(shape, 2, 300), grid);
}

TEST_P(CaseGrid, keepsAllEdgesWhenFewerCasesAreAsked) {
  std::vector<VerifyCase> edges = makeGrid(shape, 1, 1);
  EXPECT_GT(edges.size(), 30u);
  EXPECT_LT(edges.size(), 150u);
}

TEST_P(CaseGrid, rolesFollowFromTheLengths) {
  for (const VerifyCase &c : grid) {
    if (c.role == Role::Append || c.role == Role::MergeStates)
      continue;
    bool split = false;
    for (const SequenceShape &sequence : c.sequences)
      split |= shape.splits.numSplits(sequence.kvLength) > 1;
    if (c.role == Role::Prefill)
      EXPECT_GT(c.maxQueryLength(), shape.maxDraft) << c.id;
    else
      EXPECT_EQ(split, c.role == Role::Merge) << c.id;
  }
  for (Role role : kRoles)
    EXPECT_GE(std::count_if(grid.begin(), grid.end(),
                            [&](const VerifyCase &c) { return c.role == role; }),
              role == Role::Merge || role == Role::MergeStates ? 20 : 60)
        << name(role);
}

TEST_P(CaseGrid, hasEveryEdgeOfPrefill) {
  const int64_t most = shape.maxDraft;
  auto some = [&](const std::function<bool(const SequenceShape &)> &holds) {
    return this->some([&](const VerifyCase &c) {
      return c.role == Role::Prefill && std::any_of(c.sequences.begin(), c.sequences.end(), holds);
    });
  };
  EXPECT_TRUE(some([&](const auto &s) { return s.queryLength == most + 1; }));
  EXPECT_TRUE(some([&](const auto &s) { return s.queryLength > most && s.kvLength == 0; }));
  EXPECT_TRUE(some([&](const auto &s) { return s.queryLength > most && s.kvLength == 1; }));
  EXPECT_TRUE(some([&](const auto &s) { return s.queryLength > s.kvLength + 10; }));
  EXPECT_TRUE(
      some([&](const auto &s) { return s.queryLength > most && s.queryLength < s.kvLength; }));
  EXPECT_TRUE(
      some([&](const auto &s) { return s.queryLength * shape.group() > shape.prefillRows; }));
  for (bool throughput : {false, true})
    for (bool headsFirst : {false, true})
      EXPECT_TRUE(this->some([&](const VerifyCase &c) {
        return c.role == Role::Prefill && c.throughput == throughput && c.headsFirst == headsFirst;
      }));
  EXPECT_FALSE(
      this->some([](const VerifyCase &c) { return c.role != Role::Prefill && c.throughput; }));
  // Beside sequences of decode, of merge, and of no tokens.
  EXPECT_TRUE(some([&](const auto &s) { return s.queryLength == most && s.kvLength > 0; }));
  EXPECT_TRUE(some(
      [&](const auto &s) { return s.queryLength == 1 && shape.splits.numSplits(s.kvLength) > 1; }));
  EXPECT_TRUE(some([&](const auto &s) { return s.queryLength == 0; }));
}

TEST_P(CaseGrid, noPrefillKernelNoPrefillCase) {
  ClassShape without = shape;
  without.prefillRows = 0;
  for (const VerifyCase &c : makeGrid(without, 1, 300))
    EXPECT_NE(c.role, Role::Prefill) << c.id;
  VerifyCase c = prefillTrafficCase(shape);
  ASSERT_TRUE(checkCase(c, shape));
  EXPECT_EQ(checkCase(c, without).error().diagnostic.message,
            "case " + c.id + ": class " + shape.name + " has no prefill kernel");
}

TEST_P(CaseGrid, hasEveryLengthEdge) {
  std::vector<int64_t> lengths{
      0,   1,   15,  16,  17,  63, 64, 65, shape.pageSize - 1, shape.pageSize, shape.pageSize + 1,
      255, 256, 257, 511, 512, 513};
  for (int64_t length : lengths)
    EXPECT_TRUE(someSequence(Role::Decode, [&](const SequenceShape &s) {
      return s.kvLength == length;
    })) << length;
  for (int64_t length : {int64_t(1), shape.pageSize, shape.pageSize + 1, shape.maxPosition})
    EXPECT_TRUE(someSequence(Role::Append, [&](const SequenceShape &s) {
      return s.kvLength == length && s.queryLength > 0;
    })) << length;
  // Borders of the rule's steps, where the class reaches them.
  for (int64_t length :
       {int64_t(2047), int64_t(2048), int64_t(2049), int64_t(4097), shape.maxPosition})
    if (length <= shape.maxPosition)
      EXPECT_TRUE(someSequence(Role::Merge, [&](const SequenceShape &s) {
        return s.kvLength == length;
      })) << length;
}

TEST_P(CaseGrid, hasEveryQueryEdge) {
  for (Role role : {Role::Append, Role::Decode})
    for (int64_t length = 0; length <= shape.maxDraft; ++length)
      EXPECT_TRUE(
          someSequence(role, [&](const SequenceShape &s) { return s.queryLength == length; }))
          << name(role) << length;
  EXPECT_TRUE(someSequence(
      Role::Decode, [](const SequenceShape &s) { return s.kvLength == 0 && s.queryLength > 0; }));
  if (shape.maxDraft > 1) {
    EXPECT_TRUE(someSequence(Role::Decode, [](const SequenceShape &s) {
      return s.kvLength > 0 && s.queryLength > s.kvLength;
    }));
    EXPECT_TRUE(someSequence(
        Role::Merge, [](const SequenceShape &s) { return s.kvLength > 256 && s.queryLength > 1; }));
  }
}

TEST_P(CaseGrid, hasEveryMemoryFormInEveryRole) {
  for (Role role : {Role::Append, Role::Decode, Role::Merge}) {
    auto has = [&](const char *what, const std::function<bool(const VerifyCase &)> &holds) {
      EXPECT_TRUE(some([&](const VerifyCase &c) { return c.role == role && holds(c); }))
          << name(role) << ": " << what;
    };
    for (bool wanted : {false, true}) {
      has("order", [&](const VerifyCase &c) { return c.headsFirst == wanted && c.kvHeads > 1; });
      has("interleaved", [&](const VerifyCase &c) { return c.interleaved == wanted; });
      has("padded pages", [&](const VerifyCase &c) { return (c.pagePadding > 0) == wanted; });
      has("CSR",
          [&](const VerifyCase &c) { return c.sparseTable == wanted && c.sequences.size() > 1; });
      has("packed", [&](const VerifyCase &c) { return c.packed == wanted; });
      has("poisoned", [&](const VerifyCase &c) { return c.poisoned == wanted; });
      has("first page", [&](const VerifyCase &c) { return (c.firstPage > 0) == wanted; });
      has("fewer heads",
          [&](const VerifyCase &c) { return (c.kvHeads < shape.kvHeads) == wanted; });
      has("larger kv bound", [&](const VerifyCase &c) { return (c.extraKvBound > 0) == wanted; });
      if (shape.maxDraft > 1)
        has("larger query bound",
            [&](const VerifyCase &c) { return (c.extraQueryBound > 0) == wanted; });
      if (role == Role::Append) {
        has("slots", [&](const VerifyCase &c) { return c.slots == wanted; });
        has("positions", [&](const VerifyCase &c) { return c.positions == wanted; });
        has("in place", [&](const VerifyCase &c) { return c.inPlace == wanted; });
      } else {
        has("lse", [&](const VerifyCase &c) { return c.logSumExp == wanted; });
        has("query factor", [&](const VerifyCase &c) { return (c.queryFactor != 1) == wanted; });
      }
    }
    has("a batch", [&](const VerifyCase &c) {
      return c.sequences.size() >= (role == Role::Merge ? 16u : 64u);
    });
  }
}

TEST_P(CaseGrid, appendsInEveryWay) {
  ClassShape rotated = shape;
  rotated.rope = Rope{RopePairing::Half, {1, 0.5f}, 1};
  auto count = [&](const ClassShape &of, const std::function<bool(const VerifyCase &)> &holds) {
    std::vector<VerifyCase> cases = makeGrid(of, 1, 300);
    return std::count_if(cases.begin(), cases.end(),
                         [&](const VerifyCase &c) { return c.role == Role::Append && holds(c); });
  };
  for (bool inPlace : {false, true}) {
    EXPECT_GE(count(rotated, [&](auto &c) { return c.prologue && c.inPlace == inPlace; }), 10);
    EXPECT_GE(
        count(rotated, [&](auto &c) { return !c.prologue && c.queries && c.inPlace == inPlace; }),
        2);
  }
  EXPECT_GE(count(rotated, [](auto &c) { return !c.queries; }), 5);
  for (int64_t bytes : {2, 4})
    for (bool positions : {false, true})
      EXPECT_GE(count(rotated,
                      [&](auto &c) { return c.cosSinBytes == bytes && c.positions == positions; }),
                1)
          << bytes;
  // Nothing is asked of a class or a package that lacks it.
  EXPECT_EQ(count(shape, [](auto &c) { return c.cosSinBytes != 0; }), 0);
  rotated.plainAppend = false;
  EXPECT_EQ(count(rotated, [](auto &c) { return !c.prologue; }), 0);
  rotated.plainAppend = true, rotated.fusedAppend = false;
  EXPECT_EQ(count(rotated, [](auto &c) { return c.prologue; }), 0);
}

TEST_P(CaseGrid, mergesStatesInEveryWay) {
  auto has = [&](const char *what, const std::function<bool(const VerifyCase &)> &holds) {
    EXPECT_TRUE(some([&](const VerifyCase &c) { return c.role == Role::MergeStates && holds(c); }))
        << what;
  };
  for (int64_t parts : {1, 2, 3, 4, 7, 8, 15, 16})
    has("parts", [&](const VerifyCase &c) { return c.parts == parts; });
  for (bool wanted : {false, true}) {
    has("order", [&](const VerifyCase &c) { return c.headsFirst == wanted; });
    has("packed", [&](const VerifyCase &c) { return c.packed == wanted && c.parts > 1; });
    has("in place", [&](const VerifyCase &c) { return c.inPlace == wanted && c.parts > 1; });
    has("lse", [&](const VerifyCase &c) { return c.logSumExp == wanted; });
    has("base 2", [&](const VerifyCase &c) { return c.lseIsLog2 == wanted; });
  }
  ClassShape without = shape;
  without.mergesStates = false;
  for (const VerifyCase &c : makeGrid(without, 1, 300))
    EXPECT_NE(c.role, Role::MergeStates);
}

TEST_P(CaseGrid, isMostlyShort) {
  int64_t tiles = 0, longer = 0;
  for (const VerifyCase &c : grid) {
    int64_t work = 0;
    for (const SequenceShape &sequence : c.sequences)
      if (c.role != Role::Append && c.role != Role::MergeStates && sequence.queryLength)
        work += (sequence.kvLength + 15) / 16 * c.kvHeads;
    tiles += work;
    longer += work > 700;
  }
  EXPECT_LT(tiles, 30000);
  EXPECT_LE(longer, 1);
}

TEST_P(CaseGrid, casesSurviveTheirFile) {
  for (const VerifyCase &c : grid) {
    Result<VerifyCase> back = parseCase(toJson(c).text(), "case.json");
    ASSERT_TRUE(back) << back.error().diagnostic.text();
    EXPECT_EQ(*back, c);
  }
}

INSTANTIATE_TEST_SUITE_P(Classes, CaseGrid, testing::ValuesIn(shapes()),
                         [](const auto &info) { return info.param.name; });

TEST(CaseFile, refusesWhatIsNotACase) {
  json::Tree good = toJson(makeGrid(llama(), 1, 1)[0]);
  auto message = [](const std::string &text) {
    Result<VerifyCase> result = parseCase(text, "case.json");
    return result ? std::string("accepted") : result.error().diagnostic.text();
  };
  auto with = [&](const char *key, json::Tree value) {
    json::Tree tree = good;
    tree[key] = std::move(value);
    return message(tree.text());
  };
  EXPECT_EQ(message(good.text()), "accepted");
  EXPECT_NE(with("pages", 1).find("unknown key \"pages\""), std::string::npos) << with("pages", 1);
  EXPECT_NE(
      with("role", "encode").find("must be one of append, decode, merge, merge_states, prefill"),
      std::string::npos);
  EXPECT_NE(with("schema", "attncc.verify-case/9").find("must be \"attncc.verify-case/1\""),
            std::string::npos);
  EXPECT_NE(with("kv_heads", -1).find("kv_heads"), std::string::npos);
  EXPECT_NE(with("poisoned", 1).find("poisoned"), std::string::npos);
  EXPECT_NE(with("sequences", std::vector<int64_t>{1, 2}).find("[query_length, kv_length]"),
            std::string::npos);
  EXPECT_NE(message("[]"), "accepted");
  EXPECT_NE(message("{}"), "accepted");
  EXPECT_NE(message("{"), "accepted");
}

TEST(CaseFile, refusesACaseOfAnotherClass) {
  VerifyCase c = makeGrid(llama(), 1, 1)[0];
  auto refused = [&](const std::function<void(VerifyCase &)> &spoil) {
    VerifyCase spoilt = c;
    spoil(spoilt);
    return !checkCase(spoilt, llama());
  };
  EXPECT_FALSE(refused([](VerifyCase &) {}));
  EXPECT_TRUE(refused([](VerifyCase &c) { c.kvHeads = 9; }));
  EXPECT_TRUE(refused([](VerifyCase &c) { c.kvHeads = 0; }));
  EXPECT_TRUE(refused([](VerifyCase &c) { c.sequences.clear(); }));
  EXPECT_TRUE(refused([](VerifyCase &c) { c.sequences[0].queryLength = 9; }));
  EXPECT_TRUE(refused([](VerifyCase &c) { c.sequences[0].queryLength = 0; }));
  EXPECT_TRUE(refused([](VerifyCase &c) { c.extraKvBound = 131072; }));
  EXPECT_TRUE(refused([](VerifyCase &c) { c.pagePadding = 3; }));
}

TEST(CaseFile, refusesAnAppendThatThePackageLacks) {
  ClassShape shape = llama();
  shape.rope = Rope{RopePairing::Half, {1, 0.5f}, 1};
  VerifyCase c;
  c.id = "x";
  c.role = Role::Append;
  c.sequences = {{1, 1}};
  auto message = [&] {
    Result<void> suits = checkCase(c, shape);
    return suits ? std::string() : suits.error().diagnostic.message;
  };
  EXPECT_EQ(message(), "");
  c.cosSinBytes = 3;
  EXPECT_EQ(message(), "case x: cos_sin_bytes is 3, must be 0, 2 or 4");
  c.cosSinBytes = 2;
  c.prologue = false;
  EXPECT_EQ(message(), "case x: cos_sin_bytes is 2, must be 0 where nothing is rotated");
  c.cosSinBytes = 0;
  c.queries = false;
  EXPECT_EQ(message(), "");
  c.prologue = true;
  EXPECT_EQ(message(), "case x: queries is 0, must be 1 where there is a prologue");
  shape.fusedAppend = false;
  EXPECT_EQ(message(), "case x: class full has no append kernel with its prologue");
  c.role = Role::MergeStates;
  c.parts = 17;
  EXPECT_EQ(message(), "case x: parts is 17, must be 1 to 16");
  shape.mergesStates = false;
  EXPECT_EQ(message(), "case x: class full has no merge_states kernel");
}

TEST(TrafficCases, areOfOneLongSequenceAndAsManyBytesAsFourThousandTokensOfAllHeads) {
  VerifyCase decode = decodeTrafficCase(llama());
  EXPECT_EQ(decode.sequences, (std::vector<SequenceShape>{{1, 16384}}));
  EXPECT_EQ(decode.kvHeads, 2);
  EXPECT_EQ(decode.role, Role::Merge);
  EXPECT_TRUE(checkCase(decode, llama()));
  EXPECT_TRUE(checkCase(appendTrafficCase(llama()), llama()));
}

TEST(RandomNumbers, haveMeanZeroAndVarianceOne) {
  Random random(3);
  double sum = 0, squares = 0;
  const int count = 100000;
  for (int i = 0; i < count; ++i) {
    double x = random.normal();
    sum += x;
    squares += x * x;
    EXPECT_LT(std::abs(x), 3.47);
  }
  EXPECT_NEAR(sum / count, 0, 0.02);
  EXPECT_NEAR(squares / count, 1, 0.02);
}

// The first numbers of SplitMix64 for seed 1234567, as its authors' reference code prints them.
TEST(RandomNumbers, areSplitMix64) {
  Random random(1234567);
  EXPECT_EQ(random.next(), 6457827717110365317u);
  EXPECT_EQ(random.next(), 3203168211198807973u);
}

} // namespace
} // namespace attncc::verify
