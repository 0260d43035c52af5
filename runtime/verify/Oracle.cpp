//===- Oracle.cpp - see Oracle.h -------------------------------------------===//

#include "runtime/verify/Oracle.h"

#include <cmath>
#include <limits>

namespace attncc::verify {

namespace {
constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
}

int64_t AttentionProblem::numTokens() const {
  int64_t tokens = 0;
  for (const SequenceInputs &sequence : sequences)
    tokens += sequence.queryLength;
  return tokens;
}

AttentionResult<double> evaluateOracle(const AttentionProblem &problem) {
  const int64_t heads = problem.queryHeads, group = heads / problem.kvHeads;
  const int64_t keyDim = problem.keyDim, valueDim = problem.valueDim;
  AttentionResult<double> result;
  for (const SequenceInputs &sequence : problem.sequences)
    for (int64_t i = 0; i < sequence.queryLength; ++i)
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t position = sequence.kvLength - sequence.queryLength + i;
        const float *q = &sequence.query[(i * heads + h) * keyDim];
        std::vector<double> scores;
        double maximum = kMinusInfinity;
        for (int64_t j = 0; j < sequence.kvLength && j <= position; ++j) {
          const float *k = &sequence.key[(j * problem.kvHeads + h / group) * keyDim];
          double product = 0;
          for (int64_t d = 0; d < keyDim; ++d)
            product += double(q[d]) * double(k[d]);
          scores.push_back(problem.scale * product);
          maximum = std::fmax(maximum, scores.back());
        }
        std::vector<double> sum(valueDim, 0.0);
        double denominator = 0;
        for (size_t j = 0; j < scores.size(); ++j) {
          const float *v = &sequence.value[(j * problem.kvHeads + h / group) * valueDim];
          double weight = std::exp(scores[j] - maximum);
          denominator += weight;
          for (int64_t d = 0; d < valueDim; ++d)
            sum[d] += weight * double(v[d]);
        }
        for (int64_t d = 0; d < valueDim; ++d)
          result.output.push_back(scores.empty() ? 0.0 : sum[d] / denominator);
        result.lse.push_back(scores.empty() ? kMinusInfinity : maximum + std::log(denominator));
      }
  return result;
}

AttentionResult<double> evaluateOracle(const MergeProblem &problem) {
  AttentionResult<double> result;
  for (int64_t row = 0; row < problem.rows; ++row) {
    double maximum = kMinusInfinity;
    for (int64_t p = 0; p < problem.parts; ++p)
      maximum = std::fmax(maximum, double(problem.lse[p * problem.rows + row]));
    std::vector<double> sum(problem.dim, 0.0);
    double denominator = 0;
    for (int64_t p = 0; p < problem.parts; ++p) {
      double lse = problem.lse[p * problem.rows + row];
      if (lse == kMinusInfinity)
        continue;
      double weight = std::exp(lse - maximum);
      denominator += weight;
      for (int64_t d = 0; d < problem.dim; ++d)
        sum[d] += weight * double(problem.output[(p * problem.rows + row) * problem.dim + d]);
    }
    for (int64_t d = 0; d < problem.dim; ++d)
      result.output.push_back(denominator == 0 ? 0.0 : sum[d] / denominator);
    result.lse.push_back(denominator == 0 ? kMinusInfinity : maximum + std::log(denominator));
  }
  return result;
}

namespace {
/// Norm and RoPE of one head vector.
std::vector<double> transformHead(const AppendProblem &problem, const float *input,
                                  const std::vector<float> &weight, int64_t position) {
  const int64_t dim = problem.keyDim;
  std::vector<double> x(input, input + dim);
  if (problem.normEpsilon) {
    double squares = 0;
    for (int64_t d = 0; d < dim; ++d)
      squares += x[d] * x[d];
    double inverse = 1 / std::sqrt(squares / double(dim) + *problem.normEpsilon);
    for (int64_t d = 0; d < dim; ++d)
      x[d] = x[d] * inverse * double(weight[d]);
  }
  if (!problem.rope)
    return x;
  const Rope &rope = *problem.rope;
  const int64_t pairs = int64_t(rope.inverseFrequencies.size());
  for (int64_t i = 0; i < pairs; ++i) {
    // A position below 2^28 times a 24-bit significand is exact in fp64.
    double angle = double(position) * double(rope.inverseFrequencies[i]);
    double cosine = std::cos(angle) * rope.attentionFactor;
    double sine = std::sin(angle) * rope.attentionFactor;
    int64_t first = rope.pairing == RopePairing::Half ? i : 2 * i;
    int64_t second = rope.pairing == RopePairing::Half ? i + pairs : 2 * i + 1;
    double a = x[first], b = x[second];
    x[first] = a * cosine - b * sine;
    x[second] = b * cosine + a * sine;
  }
  return x;
}
} // namespace

AppendResult<double> evaluateOracle(const AppendProblem &problem) {
  AppendResult<double> result;
  for (size_t token = 0; token < problem.position.size(); ++token) {
    for (int64_t h = 0; h < problem.queryHeads; ++h)
      for (double x :
           transformHead(problem, &problem.query[(token * problem.queryHeads + h) * problem.keyDim],
                         problem.queryWeight, problem.position[token]))
        result.query.push_back(x);
    for (int64_t h = 0; h < problem.kvHeads; ++h)
      for (double x :
           transformHead(problem, &problem.key[(token * problem.kvHeads + h) * problem.keyDim],
                         problem.keyWeight, problem.position[token]))
        result.key.push_back(x);
  }
  return result;
}

} // namespace attncc::verify
