//===- AcceptanceTest.cpp - the rule passes what rounds and catches what is wrong ===//
//
// The seeded mistakes are made on the plain evaluation of a batch, which then plays
// the kernel: each must be refused, the unspoilt evaluation accepted.
//
//===----------------------------------------------------------------------===//

#include "runtime/verify/Acceptance.h"
#include "runtime/verify/Plain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace attncc::verify {
namespace {

constexpr NumberType kType = NumberType::BF16;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(Acceptance, allowsTwiceThePlainErrorAndOneUlp) {
  std::vector<double> oracle{1.5, -3.0}; // ulp at 3: 2^-6
  std::vector<float> plain{1.5, -3.0 + 0x1p-8};
  double bound = 2 * 0x1p-8 + 0x1p-6;
  Measure at = measureTensor(kType, std::vector<float>{float(1.5 + bound), -3}, oracle, plain);
  EXPECT_TRUE(at.accepted) << at.reason;
  EXPECT_EQ(at.kernelError, bound);
  EXPECT_EQ(at.plainError, 0x1p-8);
  EXPECT_EQ(at.unit, 0x1p-6);
  EXPECT_EQ(at.ratio, bound / (0x1p-8 + 0x1p-7));
  Measure past =
      measureTensor(kType, std::vector<float>{float(1.5 + bound + 0x1p-20), -3}, oracle, plain);
  EXPECT_FALSE(past.accepted);
  EXPECT_EQ(past.worst, 0);
  EXPECT_NE(past.reason.find("element 0"), std::string::npos) << past.reason;
}

TEST(Acceptance, measuresLogSumExpsInTheirOwnUnit) {
  std::vector<double> oracle{8.0, 0.25};
  std::vector<float> plain{8.0, 0.25};
  EXPECT_TRUE(measureLogSumExp(std::vector<float>{8 + 0x1p-17f, 0.25}, oracle, plain).accepted);
  EXPECT_FALSE(measureLogSumExp(std::vector<float>{8 + 0x1.2p-17f, 0.25}, oracle, plain).accepted);
  std::vector<double> small{0.25};
  std::vector<float> smallPlain{0.25};
  EXPECT_TRUE(measureLogSumExp(std::vector<float>{0.25 + 0x1p-20f}, small, smallPlain).accepted);
  EXPECT_FALSE(measureLogSumExp(std::vector<float>{0.25 + 0x1p-19f}, small, smallPlain).accepted);
}

TEST(Acceptance, refusesNaNWhereTheOracleIsFinite) {
  Measure result = measureTensor(kType, std::vector<float>{kNaN, 1}, std::vector<double>{1, 1},
                                 std::vector<float>{1, 1});
  EXPECT_FALSE(result.accepted);
  EXPECT_TRUE(std::isinf(result.ratio));
}

TEST(Acceptance, wantsInfinitiesAndDemandedValuesExactly) {
  std::vector<double> oracle{-HUGE_VAL, 0};
  std::vector<float> plain{-HUGE_VALF, 0};
  std::vector<Demand> demand{Demand::Close, Demand::Exact};
  EXPECT_TRUE(measureLogSumExp(plain, oracle, plain, demand).accepted);
  EXPECT_FALSE(measureLogSumExp(std::vector<float>{-1e30f, 0}, oracle, plain, demand).accepted);
  EXPECT_FALSE(
      measureLogSumExp(std::vector<float>{-HUGE_VALF, 1e-30f}, oracle, plain, demand).accepted);
  EXPECT_TRUE(measureLogSumExp(std::vector<float>{-HUGE_VALF, 1e-30f}, oracle, plain).accepted);
  EXPECT_FALSE(measureLogSumExp(std::vector<float>{kNaN, 0}, oracle, plain, demand).accepted);
}

TEST(Acceptance, ignoresWhatItIsTold) {
  std::vector<Demand> demand{Demand::Ignore, Demand::Close};
  Measure result = measureTensor(kType, std::vector<float>{kNaN, 1}, std::vector<double>{7, 1},
                                 std::vector<float>{kNaN, 1}, demand);
  EXPECT_TRUE(result.accepted);
  EXPECT_EQ(result.unit, ulp(kType, 1)); // the ignored 7 does not widen it
}

/// A kernel that evaluates a spoilt problem must be refused against the true one.
class SeededMistake : public testing::Test {
protected:
  std::vector<float> values(int64_t count) {
    std::vector<float> result(count);
    for (float &value : result)
      value = roundTo(kType, normal(engine));
    return result;
  }
  AttentionProblem makeProblem(int64_t queryLength, int64_t kvLength) {
    AttentionProblem problem{8, 2, 64, 64, 0.125, {}};
    problem.sequences.push_back({queryLength, kvLength, values(queryLength * 8 * 64),
                                 values(kvLength * 2 * 64), values(kvLength * 2 * 64)});
    return problem;
  }
  static bool accepts(const AttentionProblem &problem, const AttentionProblem &spoilt) {
    AttentionResult<double> oracle = evaluateOracle(problem);
    AttentionResult<float> plain = evaluatePlain(problem, kType);
    AttentionResult<float> kernel = evaluatePlain(spoilt, kType);
    return measureTensor(kType, kernel.output, oracle.output, plain.output).accepted;
  }
  std::mt19937_64 engine{5};
  std::normal_distribution<float> normal;
};

TEST_F(SeededMistake, noneIsAccepted) {
  AttentionProblem problem = makeProblem(3, 300);
  EXPECT_TRUE(accepts(problem, problem));
}

// One token at the end is left out, or one beyond the end taken in.
TEST_F(SeededMistake, lengthOffByOne) {
  for (int64_t length : {2, 17, 64, 255}) {
    AttentionProblem problem = makeProblem(1, length), spoilt = problem;
    SequenceInputs &sequence = spoilt.sequences[0];
    sequence.kvLength -= 1;
    EXPECT_FALSE(accepts(problem, spoilt)) << length;
    sequence.kvLength += 2;
    for (std::vector<float> *tensor : {&sequence.key, &sequence.value})
      for (float value : values(2 * 64))
        tensor->push_back(value);
    EXPECT_FALSE(accepts(problem, spoilt)) << length;
  }
}

// Draft tokens that see their successors.
TEST_F(SeededMistake, maskIsMissing) {
  AttentionProblem problem = makeProblem(4, 100), spoilt = problem;
  spoilt.sequences.clear();
  const SequenceInputs &sequence = problem.sequences[0];
  for (int64_t i = 0; i < 4; ++i) {
    SequenceInputs row = sequence;
    row.queryLength = 1;
    row.query = {sequence.query.begin() + i * 512, sequence.query.begin() + (i + 1) * 512};
    spoilt.sequences.push_back(row);
  }
  EXPECT_FALSE(accepts(problem, spoilt));
}

TEST_F(SeededMistake, scaleIsMissingOrInTheWrongBase) {
  AttentionProblem problem = makeProblem(1, 50), spoilt = problem;
  spoilt.scale = 1;
  EXPECT_FALSE(accepts(problem, spoilt));
  spoilt.scale = problem.scale * std::log2(std::exp(1.0));
  EXPECT_FALSE(accepts(problem, spoilt));
}

TEST_F(SeededMistake, aPageIsTakenTwice) {
  for (int64_t length : {40, 250}) {
    AttentionProblem problem = makeProblem(1, length), spoilt = problem;
    SequenceInputs &sequence = spoilt.sequences[0];
    std::copy_n(sequence.key.begin(), 16 * 128, sequence.key.begin() + 16 * 128);
    std::copy_n(sequence.value.begin(), 16 * 128, sequence.value.begin() + 16 * 128);
    EXPECT_FALSE(accepts(problem, spoilt)) << length;
  }
}

TEST_F(SeededMistake, kvHeadsAreSwapped) {
  AttentionProblem problem = makeProblem(1, 200), spoilt = problem;
  SequenceInputs &sequence = spoilt.sequences[0];
  for (std::vector<float> *tensor : {&sequence.key, &sequence.value})
    for (int64_t j = 0; j < 200; ++j)
      std::swap_ranges(tensor->begin() + j * 128, tensor->begin() + j * 128 + 64,
                       tensor->begin() + j * 128 + 64);
  EXPECT_FALSE(accepts(problem, spoilt));
}

TEST_F(SeededMistake, queryHeadsAreInterleavedInsteadOfGrouped) {
  AttentionProblem problem = makeProblem(1, 100), spoilt = problem;
  for (int64_t h = 0; h < 8; ++h)
    std::copy_n(problem.sequences[0].query.begin() + (h % 2 * 4 + h / 2) * 64, 64,
                spoilt.sequences[0].query.begin() + h * 64);
  EXPECT_FALSE(accepts(problem, spoilt));
}

// A partial result that is merged with the wrong weight: 9 keys' output stands for 200.
TEST_F(SeededMistake, splitsAreMergedWithEqualWeights) {
  AttentionProblem problem = makeProblem(1, 209);
  AttentionResult<double> oracle = evaluateOracle(problem);
  AttentionResult<float> plain = evaluatePlain(problem, kType);
  std::vector<float> kernel(oracle.output.size());
  for (auto [begin, end] : {std::pair<int64_t, int64_t>{0, 200}, {200, 209}}) {
    AttentionProblem part = problem;
    SequenceInputs &sequence = part.sequences[0];
    sequence.kvLength = end - begin;
    sequence.key = {sequence.key.begin() + begin * 128, sequence.key.begin() + end * 128};
    sequence.value = {sequence.value.begin() + begin * 128, sequence.value.begin() + end * 128};
    AttentionResult<double> result = evaluateOracle(part);
    for (size_t i = 0; i < kernel.size(); ++i)
      kernel[i] += float(result.output[i] / 2);
  }
  EXPECT_FALSE(measureTensor(kType, kernel, oracle.output, plain.output).accepted);
}

// RoPE with the other pairing, one position off, or without norm.
TEST_F(SeededMistake, appendIsRefused) {
  AppendProblem problem;
  problem.queryHeads = 4;
  problem.keyDim = 64;
  problem.position = {5, 100, 100000}; // the slowest pairs show only far out
  problem.query = values(3 * 4 * 64);
  problem.key = values(3 * 64);
  problem.normEpsilon = 1e-6;
  problem.queryWeight = values(64);
  problem.keyWeight = values(64);
  problem.rope = Rope{};
  for (int i = 0; i < 32; ++i)
    problem.rope->inverseFrequencies.push_back(std::pow(500000.0f, -float(i) / 32));
  AppendResult<double> oracle = evaluateOracle(problem);
  AppendResult<float> plain = evaluatePlain(problem, kType);
  auto accepted = [&](const std::function<void(AppendProblem &)> &spoil) {
    AppendProblem spoilt = problem;
    spoil(spoilt);
    AppendResult<float> kernel = evaluatePlain(spoilt, kType);
    return measureTensor(kType, kernel.query, oracle.query, plain.query).accepted;
  };
  EXPECT_TRUE(accepted([](AppendProblem &) {}));
  EXPECT_FALSE(accepted([](AppendProblem &p) { p.rope->pairing = RopePairing::Interleaved; }));
  EXPECT_FALSE(accepted([](AppendProblem &p) { p.position[1] += 1; }));
  EXPECT_FALSE(accepted([](AppendProblem &p) { p.normEpsilon.reset(); }));
  EXPECT_FALSE(accepted([](AppendProblem &p) { p.rope->attentionFactor = 1.05; }));
  EXPECT_FALSE(accepted([](AppendProblem &p) { p.rope->inverseFrequencies[31] *= 1.5f; }));
}

} // namespace
} // namespace attncc::verify
