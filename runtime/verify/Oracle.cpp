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
        for (int64_t j = 0; j < sequence.kvLength && (!problem.causal || j <= position); ++j) {
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

double MergeProblem::naturalLse(int64_t part, int64_t row) const {
  return double(lse[size_t(part * rows + row)]) * (lseIsLog2 ? std::log(2.0) : 1);
}

int64_t MergeProblem::partsWithKeys(int64_t row) const {
  int64_t count = 0;
  for (int64_t part = 0; part < parts; ++part)
    count += !std::isinf(naturalLse(part, row));
  return count;
}

AttentionResult<double> evaluateOracle(const MergeProblem &problem) {
  AttentionResult<double> result;
  for (int64_t row = 0; row < problem.rows; ++row) {
    double maximum = kMinusInfinity;
    for (int64_t p = 0; p < problem.parts; ++p)
      if (!std::isinf(problem.naturalLse(p, row)))
        maximum = std::fmax(maximum, problem.naturalLse(p, row));
    std::vector<double> sum(problem.dim, 0.0);
    double denominator = 0;
    for (int64_t p = 0; p < problem.parts; ++p) {
      double lse = problem.naturalLse(p, row);
      if (std::isinf(lse))
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
/// Norm and RoPE of one head vector of a token.
std::vector<double> transformHead(const AppendProblem &problem, const float *input,
                                  const std::vector<float> &weight, size_t token) {
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
    double angle = double(problem.position[token]) * double(rope.inverseFrequencies[i]);
    double cosine = std::cos(angle) * rope.attentionFactor;
    double sine = std::sin(angle) * rope.attentionFactor;
    if (!problem.cosSin.empty()) {
      cosine = problem.cosSin[token * 2 * size_t(pairs) + size_t(i)];
      sine = problem.cosSin[token * 2 * size_t(pairs) + size_t(pairs + i)];
    }
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
                         problem.queryWeight, token))
        result.query.push_back(x);
    for (int64_t h = 0; h < problem.kvHeads; ++h)
      for (double x :
           transformHead(problem, &problem.key[(token * problem.kvHeads + h) * problem.keyDim],
                         problem.keyWeight, token))
        result.key.push_back(x);
  }
  return result;
}

} // namespace attncc::verify
