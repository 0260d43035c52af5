//===- PlainTest.cpp - the same-precision evaluation against the oracle ------===//

#include "runtime/verify/Plain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace attncc::verify {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class Plain : public testing::TestWithParam<NumberType> {
protected:
  std::vector<float> values(int64_t count) {
    std::vector<float> result(count);
    for (float &value : result)
      value = roundTo(GetParam(), normal(engine));
    return result;
  }
  std::mt19937_64 engine{17};
  std::normal_distribution<float> normal;
};

// A probability is off by half an ulp of 1 at most, so an output is off by half an ulp of its
// own and a little more than half an ulp of the largest value.
TEST_P(Plain, attentionIsWithinTheTypesPrecision) {
  AttentionProblem problem{4, 2, 32, 32, 1 / std::sqrt(32.0), {}};
  for (auto [queryLength, kvLength] :
       {std::pair<int64_t, int64_t>{1, 300}, {8, 77}, {5, 2}, {1, 0}})
    problem.sequences.push_back({queryLength, kvLength, values(queryLength * 4 * 32),
                                 values(kvLength * 2 * 32), values(kvLength * 2 * 32)});
  AttentionResult<double> oracle = evaluateOracle(problem);
  AttentionResult<float> plain = evaluatePlain(problem, GetParam());
  ASSERT_EQ(plain.output.size(), oracle.output.size());
  ASSERT_EQ(plain.lse.size(), oracle.lse.size());
  double largest = 0, error = 0;
  for (size_t i = 0; i < oracle.output.size(); ++i) {
    EXPECT_EQ(plain.output[i], roundTo(GetParam(), plain.output[i]));
    largest = std::max(largest, std::fabs(oracle.output[i]));
    error = std::max(error, std::fabs(plain.output[i] - oracle.output[i]));
  }
  EXPECT_LE(error, 1.5 * ulp(GetParam(), largest));
  EXPECT_GT(error, 0);
  for (size_t i = 0; i < oracle.lse.size(); ++i)
    if (std::isfinite(oracle.lse[i]))
      EXPECT_NEAR(plain.lse[i], oracle.lse[i], 0x1p-20 * std::fmax(1, oracle.lse[i]));
    else
      EXPECT_EQ(double(plain.lse[i]), oracle.lse[i]);
}

// Scores 0 and -ln 3: weights 1 and 1/3, whose rounding shows in the output and not in lse.
TEST_P(Plain, roundsProbabilitiesAndNotTheirSum) {
  float score = roundTo(GetParam(), std::log(3.0f));
  AttentionProblem problem{1, 1, 1, 1, 1.0, {}};
  problem.sequences.push_back({1, 2, {1}, {0, -score}, {0, 1}});
  float weight = std::exp(-score), rounded = roundTo(GetParam(), weight);
  ASSERT_NE(weight, rounded);
  AttentionResult<float> plain = evaluatePlain(problem, GetParam());
  EXPECT_EQ(plain.output[0], roundTo(GetParam(), rounded / (1 + weight)));
  EXPECT_EQ(plain.lse[0], std::log(1 + weight));
}

TEST_P(Plain, mergeAgreesWithTheOracleAndSkipsEmptyParts) {
  MergeProblem problem{3, 5, 8, values(3 * 5 * 8), values(3 * 5)};
  problem.lse[2] = -HUGE_VALF;
  for (int d = 0; d < 8; ++d)
    problem.output[2 * 8 + d] = kNaN;
  AttentionResult<double> oracle = evaluateOracle(problem);
  AttentionResult<float> plain = evaluatePlain(problem, GetParam());
  for (size_t i = 0; i < oracle.output.size(); ++i)
    EXPECT_NEAR(plain.output[i], oracle.output[i], 0.51 * ulp(GetParam(), oracle.output[i]));
  for (size_t i = 0; i < oracle.lse.size(); ++i)
    EXPECT_NEAR(plain.lse[i], oracle.lse[i], 1e-6);
}

// At position p the f32 angle is off by up to half an ulp of p, and the result by as much.
TEST_P(Plain, appendErrsByItsAngle) {
  for (RopePairing pairing : {RopePairing::Half, RopePairing::Interleaved})
    for (int64_t position : {int64_t(0), int64_t(1), int64_t(4095), int64_t(131071)}) {
      AppendProblem problem;
      problem.queryHeads = 3;
      problem.keyDim = 32;
      problem.position = {position};
      problem.query = values(3 * 32);
      problem.key = values(32);
      problem.normEpsilon = 1e-6;
      problem.queryWeight = values(32);
      problem.keyWeight = values(32);
      problem.rope = Rope{pairing, {}, 1.2};
      for (int i = 0; i < 8; ++i)
        problem.rope->inverseFrequencies.push_back(std::pow(10000.0f, -float(i) / 8));
      AppendResult<double> oracle = evaluateOracle(problem);
      AppendResult<float> plain = evaluatePlain(problem, GetParam());
      ASSERT_EQ(plain.query.size(), oracle.query.size());
      ASSERT_EQ(plain.key.size(), oracle.key.size());
      double angle = double(position) * 0x1p-23;
      for (size_t i = 0; i < oracle.query.size(); ++i)
        EXPECT_NEAR(plain.query[i], oracle.query[i],
                    0.51 * ulp(GetParam(), oracle.query[i]) + 8 * angle + 1e-5);
      for (size_t i = 0; i < oracle.key.size(); ++i)
        EXPECT_NEAR(plain.key[i], oracle.key[i],
                    0.51 * ulp(GetParam(), oracle.key[i]) + 8 * angle + 1e-5);
    }
}

INSTANTIATE_TEST_SUITE_P(Types, Plain, testing::Values(NumberType::BF16, NumberType::F16),
                         [](const auto &info) { return std::string(name(info.param)); });

} // namespace
} // namespace attncc::verify
