//===- OracleTest.cpp - the oracle against hand-computed cases and laws ------===//

#include "runtime/verify/Oracle.h"
#include "runtime/verify/Plain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace attncc::verify {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Heads of two elements, so that sums can be done by hand.
AttentionProblem tiny(int64_t queryLength, int64_t kvLength, std::vector<float> query,
                      std::vector<float> key, std::vector<float> value) {
  AttentionProblem problem{1, 1, 2, 2, 1.0, {}};
  problem.sequences.push_back(
      {queryLength, kvLength, std::move(query), std::move(key), std::move(value)});
  return problem;
}

AttentionProblem random(uint64_t seed, int64_t queryHeads, int64_t kvHeads,
                        std::vector<std::pair<int64_t, int64_t>> lengths) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<float> normal;
  auto values = [&](int64_t count) {
    std::vector<float> result(count);
    for (float &value : result)
      value = normal(engine);
    return result;
  };
  AttentionProblem problem{queryHeads, kvHeads, 16, 16, 0.25, {}};
  for (auto [queryLength, kvLength] : lengths)
    problem.sequences.push_back({queryLength, kvLength, values(queryLength * queryHeads * 16),
                                 values(kvLength * kvHeads * 16), values(kvLength * kvHeads * 16)});
  return problem;
}

// Scores 0 and ln 3: weights 1/4 and 3/4, denominator 1 + 3.
TEST(AttentionOracle, weighsValuesByTheSoftmaxOfTheScores) {
  float ln3 = std::log(3.0f);
  AttentionProblem problem = tiny(1, 2, {1, 0}, {0, 5, ln3, 7}, {4, 8, 8, 0});
  AttentionResult<double> result = evaluateOracle(problem);
  EXPECT_NEAR(result.output[0], 4 * 0.25 + 8 * 0.75, 1e-6);
  EXPECT_NEAR(result.output[1], 8 * 0.25, 1e-6);
  EXPECT_NEAR(result.lse[0], std::log(4.0), 1e-6);
}

TEST(AttentionOracle, appliesTheScale) {
  AttentionProblem problem = tiny(1, 2, {1, 0}, {0, 0, 2, 0}, {1, 0, 0, 1});
  problem.scale = 0.5;
  AttentionResult<double> result = evaluateOracle(problem);
  double e = std::exp(1.0);
  EXPECT_NEAR(result.output[0], 1 / (1 + e), 1e-12);
  EXPECT_NEAR(result.lse[0], std::log(1 + e), 1e-12);
}

// Two queries at the end of three tokens: the first is at position 1, the second at 2.
TEST(AttentionOracle, alignsTheCausalMaskBottomRight) {
  AttentionProblem problem = tiny(2, 3, {0, 0, 0, 0}, {1, 1, 1, 1, 1, 1}, {6, 0, 0, 6, 12, 12});
  AttentionResult<double> result = evaluateOracle(problem);
  EXPECT_DOUBLE_EQ(result.output[0], 3);
  EXPECT_DOUBLE_EQ(result.output[1], 3);
  EXPECT_DOUBLE_EQ(result.output[2], 6);
  EXPECT_DOUBLE_EQ(result.output[3], 6);
  EXPECT_DOUBLE_EQ(result.lse[0], std::log(2.0));
  EXPECT_DOUBLE_EQ(result.lse[1], std::log(3.0));
}

// Three queries, one key: positions -2, -1 and 0.
TEST(AttentionOracle, givesZeroAndMinusInfinityToRowsThatSeeNoKey) {
  AttentionProblem problem = tiny(3, 1, {9, 9, 9, 9, 9, 9}, {1, 1}, {5, 7});
  AttentionResult<double> result = evaluateOracle(problem);
  for (int i : {0, 1, 2, 3})
    EXPECT_EQ(result.output[i], 0);
  EXPECT_EQ(result.lse[0], -kInfinity);
  EXPECT_EQ(result.lse[1], -kInfinity);
  EXPECT_EQ(result.output[4], 5);
  EXPECT_EQ(result.output[5], 7);
  EXPECT_EQ(result.lse[2], 18);
}

TEST(AttentionOracle, givesZeroWhereThereIsNoKeyAtAll) {
  AttentionResult<double> result = evaluateOracle(tiny(1, 0, {1, 2}, {}, {}));
  EXPECT_EQ(result.output, (std::vector<double>{0, 0}));
  EXPECT_EQ(result.lse[0], -kInfinity);
}

// Also the keys before the first query, of which there are fewer than queries.
TEST(AttentionOracle, bidirectionalQueriesSeeEveryKey) {
  AttentionProblem problem{1, 1, 1, 1, 1.0, {}};
  problem.causal = false;
  problem.sequences.push_back({3, 2, {0, 0, 0}, {1, 2}, {4, 6}});
  AttentionResult<double> result = evaluateOracle(problem);
  AttentionResult<float> plain = evaluatePlain(problem, NumberType::BF16);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_DOUBLE_EQ(result.output[i], 5);
    EXPECT_DOUBLE_EQ(result.lse[i], std::log(2.0));
    EXPECT_EQ(plain.output[i], 5);
  }
}

TEST(AttentionOracle, readsKvHeadOfTheGroup) {
  AttentionProblem problem{4, 2, 1, 1, 1.0, {}};
  problem.sequences.push_back({1, 1, {1, 2, 3, 4}, {10, 20}, {5, 6}});
  AttentionResult<double> result = evaluateOracle(problem);
  EXPECT_EQ(result.output, (std::vector<double>{5, 5, 6, 6}));
  EXPECT_EQ(result.lse, (std::vector<double>{10, 20, 60, 80}));
}

TEST(AttentionOracle, survivesScoresThatOverflowAnExponential) {
  AttentionProblem problem = tiny(1, 2, {1000, 0}, {1000, 0, 999, 0}, {1, 2, 3, 4});
  AttentionResult<double> result = evaluateOracle(problem);
  EXPECT_EQ(result.output[0], 1);
  EXPECT_EQ(result.lse[0], 1e6);
}

TEST(AttentionOracle, maskedKeysDoNotReachTheResultEvenAsNaN) {
  AttentionProblem problem = random(1, 2, 1, {{2, 5}});
  AttentionResult<double> clean = evaluateOracle(problem);
  for (int d = 0; d < 16; ++d)
    problem.sequences[0].key[4 * 16 + d] = problem.sequences[0].value[4 * 16 + d] = kNaN;
  AttentionResult<double> result = evaluateOracle(problem);
  for (int i = 0; i < 2 * 16; ++i)
    EXPECT_EQ(result.output[i], clean.output[i]); // token 0 does not see key 4
  for (int i = 2 * 16; i < 4 * 16; ++i)
    EXPECT_TRUE(std::isnan(result.output[i]));
}

TEST(AttentionOracle, aSequenceDoesNotDependOnItsBatch) {
  AttentionProblem batch = random(2, 4, 2, {{3, 9}, {1, 0}, {2, 40}, {8, 5}});
  for (float &value : batch.sequences[2].value)
    value = kNaN;
  AttentionResult<double> together = evaluateOracle(batch);
  int64_t token = 0;
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    AttentionProblem alone = batch;
    alone.sequences = {batch.sequences[s]};
    AttentionResult<double> result = evaluateOracle(alone);
    if (s != 2)
      for (size_t i = 0; i < result.output.size(); ++i)
        EXPECT_EQ(result.output[i], together.output[token * 4 * 16 + i]);
    token += batch.sequences[s].queryLength;
  }
  EXPECT_EQ(token, batch.numTokens());
}

// The order of keys does not matter to a query that sees them all.
TEST(AttentionOracle, isSymmetricInTheKeys) {
  AttentionProblem problem = random(3, 1, 1, {{1, 50}});
  AttentionResult<double> forward = evaluateOracle(problem);
  SequenceInputs &sequence = problem.sequences[0];
  for (int64_t j = 0; j < 25; ++j)
    for (int64_t d = 0; d < 16; ++d) {
      std::swap(sequence.key[j * 16 + d], sequence.key[(49 - j) * 16 + d]);
      std::swap(sequence.value[j * 16 + d], sequence.value[(49 - j) * 16 + d]);
    }
  AttentionResult<double> backward = evaluateOracle(problem);
  for (int d = 0; d < 16; ++d)
    EXPECT_NEAR(forward.output[d], backward.output[d], 1e-13);
  EXPECT_NEAR(forward.lse[0], backward.lse[0], 1e-13);
}

// Equal weights in f32 lse: the mean of the parts; lse grows by ln 2.
TEST(MergeOracle, weighsPartsByTheirDenominators) {
  MergeProblem problem{2, 1, 2, {2, 4, 6, 8}, {3, 3}};
  AttentionResult<double> result = evaluateOracle(problem);
  EXPECT_EQ(result.output, (std::vector<double>{4, 6}));
  EXPECT_DOUBLE_EQ(result.lse[0], 3 + std::log(2.0));
}

TEST(MergeOracle, doesNotReadPartsWithoutKeys) {
  MergeProblem problem{3,
                       2,
                       1,
                       {kNaN, 1, 5, kNaN, kNaN, kNaN},
                       {-HUGE_VALF, 2, 7, -HUGE_VALF, -HUGE_VALF, -HUGE_VALF}};
  AttentionResult<double> result = evaluateOracle(problem);
  EXPECT_EQ(result.output, (std::vector<double>{5, 1}));
  EXPECT_EQ(result.lse, (std::vector<double>{7, 2}));
}

TEST(MergeOracle, givesZeroWhereAllPartsAreEmpty) {
  MergeProblem problem{2, 1, 1, {kNaN, kNaN}, {-HUGE_VALF, -HUGE_VALF}};
  AttentionResult<double> result = evaluateOracle(problem);
  EXPECT_EQ(result.output[0], 0);
  EXPECT_EQ(result.lse[0], -kInfinity);
}

// Log-sum-exps of 1 and 3 in base 2 stand for weights of 2 and 8.
TEST(MergeOracle, takesLogSumExpsInBaseTwo) {
  MergeProblem problem{2, 1, 1, {5, 10}, {1, 3}, /*lseIsLog2=*/true};
  AttentionResult<double> result = evaluateOracle(problem);
  EXPECT_NEAR(result.output[0], 9, 1e-14);
  EXPECT_NEAR(result.lse[0], std::log(10.0), 1e-14);
}

TEST(MergeOracle, takesPlusInfinityForAnEmptyPart) {
  MergeProblem problem{2, 1, 1, {kNaN, 3}, {HUGE_VALF, -2}};
  AttentionResult<double> result = evaluateOracle(problem);
  EXPECT_EQ(result.output[0], 3);
  EXPECT_EQ(result.lse[0], -2);
  EXPECT_EQ(problem.partsWithKeys(0), 1);
}

// The merge of attention over two halves of the keys is attention over all of them.
TEST(MergeOracle, mergesHalvesIntoTheWhole) {
  AttentionProblem whole = random(4, 3, 1, {{1, 30}});
  MergeProblem merge{2, 3, 16, {}, {}};
  for (auto [begin, end] : {std::pair<int64_t, int64_t>{0, 11}, {11, 30}}) {
    AttentionProblem half = whole;
    SequenceInputs &sequence = half.sequences[0];
    sequence.kvLength = end - begin;
    sequence.key = {sequence.key.begin() + begin * 16, sequence.key.begin() + end * 16};
    sequence.value = {sequence.value.begin() + begin * 16, sequence.value.begin() + end * 16};
    AttentionResult<double> result = evaluateOracle(half);
    merge.output.insert(merge.output.end(), result.output.begin(), result.output.end());
    merge.lse.insert(merge.lse.end(), result.lse.begin(), result.lse.end());
  }
  AttentionResult<double> expected = evaluateOracle(whole), merged = evaluateOracle(merge);
  for (size_t i = 0; i < expected.output.size(); ++i)
    EXPECT_NEAR(merged.output[i], expected.output[i], 1e-6); // the parts were rounded to f32
  for (size_t i = 0; i < expected.lse.size(); ++i)
    EXPECT_NEAR(merged.lse[i], expected.lse[i], 1e-6);
}

AppendProblem oneHead(std::vector<float> query, int64_t position, std::optional<Rope> rope) {
  AppendProblem problem;
  problem.keyDim = int64_t(query.size());
  problem.key.assign(query.size(), 0.0f);
  problem.query = std::move(query);
  problem.position = {position};
  problem.rope = std::move(rope);
  return problem;
}

// A quarter turn per position: (a, b) becomes (-b, a).
TEST(AppendOracle, rotatesHalvesAgainstEachOther) {
  float quarter = float(std::acos(-1.0) / 2);
  AppendResult<double> result =
      evaluateOracle(oneHead({1, 2, 3, 4}, 1, Rope{RopePairing::Half, {quarter, 0}, 1}));
  EXPECT_NEAR(result.query[0], -3, 1e-6);
  EXPECT_NEAR(result.query[2], 1, 1e-6);
  EXPECT_EQ(result.query[1], 2);
  EXPECT_EQ(result.query[3], 4);
}

TEST(AppendOracle, rotatesInterleavedPairs) {
  float quarter = float(std::acos(-1.0) / 2);
  AppendResult<double> result =
      evaluateOracle(oneHead({1, 2, 3, 4}, 1, Rope{RopePairing::Interleaved, {quarter, 0}, 1}));
  EXPECT_NEAR(result.query[0], -2, 1e-6);
  EXPECT_NEAR(result.query[1], 1, 1e-6);
  EXPECT_EQ(result.query[2], 3);
  EXPECT_EQ(result.query[3], 4);
}

TEST(AppendOracle, leavesWhatLiesBehindTheRopeDimension) {
  AppendResult<double> result =
      evaluateOracle(oneHead({1, 2, 3, 4, 5, 6}, 1, Rope{RopePairing::Half, {1}, 2}));
  EXPECT_NEAR(result.query[0], 2 * (std::cos(1.0) - 2 * std::sin(1.0)), 1e-12);
  EXPECT_NEAR(result.query[1], 2 * (2 * std::cos(1.0) + std::sin(1.0)), 1e-12);
  for (int d = 2; d < 6; ++d)
    EXPECT_EQ(result.query[d], d + 1);
}

// 100003 * 0.1f is 10000.300149 in fp64; as an f32 product it would be 10000.3007812.
TEST(AppendOracle, takesTheAngleExactly) {
  AppendResult<double> result =
      evaluateOracle(oneHead({1, 0}, 100003, Rope{RopePairing::Half, {0.1f}, 1}));
  double angle = 100003.0 * double(0.1f);
  EXPECT_DOUBLE_EQ(result.query[0], std::cos(angle));
  EXPECT_GT(std::fabs(result.query[0] - std::cos(double(100003.0f * 0.1f))), 1e-4);
}

TEST(AppendOracle, normalisesBeforeItRotates) {
  AppendProblem problem = oneHead({3, 4}, 1, Rope{RopePairing::Half, {1}, 1});
  problem.normEpsilon = 0.5;
  problem.queryWeight = {2, 1};
  problem.keyWeight = {1, 1};
  AppendResult<double> result = evaluateOracle(problem);
  double inverse = 1 / std::sqrt(12.5 + 0.5), a = 6 * inverse, b = 4 * inverse;
  EXPECT_NEAR(result.query[0], a * std::cos(1.0) - b * std::sin(1.0), 1e-12);
  EXPECT_NEAR(result.query[1], b * std::cos(1.0) + a * std::sin(1.0), 1e-12);
}

// Cosines, then sines; the rotation's own angles and its factor play no part.
TEST(AppendOracle, takesAnglesFromATable) {
  AppendProblem problem = oneHead({1, 2, 3, 4}, 5, Rope{RopePairing::Half, {1, 1}, 7});
  problem.cosSin = {0.5f, 0, 2, 1};
  AppendResult<double> result = evaluateOracle(problem);
  EXPECT_EQ(result.query, (std::vector<double>{0.5 * 1 - 2 * 3, -4, 0.5 * 3 + 2 * 1, 2}));
}

TEST(AppendOracle, keepsNormsUnderRotationAndUsesEachTokensPosition) {
  AppendProblem problem;
  problem.queryHeads = 2;
  problem.keyDim = 4;
  problem.rope = Rope{RopePairing::Interleaved, {1.0f, 0.01f}, 1};
  problem.position = {0, 77};
  problem.query = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};
  problem.key = {1, 0, 0, 0, 1, 0, 0, 0};
  AppendResult<double> result = evaluateOracle(problem);
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(result.query[i], problem.query[i]); // position 0 does not turn
  double squares = 0;
  for (int i = 8; i < 12; ++i)
    squares += result.query[i] * result.query[i];
  EXPECT_NEAR(squares, 30, 1e-12);
  EXPECT_NEAR(result.key[4], std::cos(77.0), 1e-12);
  EXPECT_NEAR(result.key[5], std::sin(77.0), 1e-12);
}

} // namespace
} // namespace attncc::verify
