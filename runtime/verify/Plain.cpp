//===- Plain.cpp - see Plain.h ---------------------------------------------===//

#include "runtime/verify/Plain.h"

#include <cmath>
#include <limits>

namespace attncc::verify {

namespace {
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
}

AttentionResult<float> evaluatePlain(const AttentionProblem &problem, NumberType type) {
  const int64_t heads = problem.queryHeads, group = heads / problem.kvHeads;
  const int64_t keyDim = problem.keyDim, valueDim = problem.valueDim;
  const float scale = float(problem.scale);
  AttentionResult<float> result;
  std::vector<float> scores, sum;
  for (const SequenceInputs &sequence : problem.sequences)
    for (int64_t i = 0; i < sequence.queryLength; ++i)
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t visible =
            problem.causal ? sequence.kvLength - sequence.queryLength + i + 1 : sequence.kvLength;
        const float *q = &sequence.query[(i * heads + h) * keyDim];
        scores.clear();
        float maximum = kMinusInfinity;
        for (int64_t j = 0; j < visible; ++j) {
          const float *k = &sequence.key[(j * problem.kvHeads + h / group) * keyDim];
          float product = 0;
          for (int64_t d = 0; d < keyDim; ++d)
            product += q[d] * k[d];
          scores.push_back(scale * product);
          maximum = std::fmax(maximum, scores.back());
        }
        sum.assign(valueDim, 0.0f);
        float denominator = 0;
        for (size_t j = 0; j < scores.size(); ++j) {
          const float *v = &sequence.value[(j * problem.kvHeads + h / group) * valueDim];
          float weight = std::exp(scores[j] - maximum);
          denominator += weight;
          float rounded = roundTo(type, weight);
          for (int64_t d = 0; d < valueDim; ++d)
            sum[d] += rounded * v[d];
        }
        for (int64_t d = 0; d < valueDim; ++d)
          result.output.push_back(scores.empty() ? 0.0f : roundTo(type, sum[d] / denominator));
        result.lse.push_back(scores.empty() ? kMinusInfinity : maximum + std::log(denominator));
      }
  return result;
}

AttentionResult<float> evaluatePlain(const MergeProblem &problem, NumberType type) {
  AttentionResult<float> result;
  for (int64_t row = 0; row < problem.rows; ++row) {
    float maximum = kMinusInfinity;
    for (int64_t p = 0; p < problem.parts; ++p)
      if (float lse = float(problem.naturalLse(p, row)); !std::isinf(lse))
        maximum = std::fmax(maximum, lse);
    std::vector<float> sum(problem.dim, 0.0f);
    float denominator = 0;
    for (int64_t p = 0; p < problem.parts; ++p) {
      float lse = float(problem.naturalLse(p, row));
      if (std::isinf(lse))
        continue;
      float weight = std::exp(lse - maximum);
      denominator += weight;
      for (int64_t d = 0; d < problem.dim; ++d)
        sum[d] += weight * problem.output[(p * problem.rows + row) * problem.dim + d];
    }
    for (int64_t d = 0; d < problem.dim; ++d)
      result.output.push_back(denominator == 0 ? 0.0f : roundTo(type, sum[d] / denominator));
    result.lse.push_back(denominator == 0 ? kMinusInfinity : maximum + std::log(denominator));
  }
  return result;
}

namespace {
void transformHead(const AppendProblem &problem, NumberType type, const float *input,
                   const std::vector<float> &weight, size_t token, std::vector<float> &result) {
  const int64_t dim = problem.keyDim;
  std::vector<float> x(input, input + dim);
  if (problem.normEpsilon) {
    float squares = 0;
    for (int64_t d = 0; d < dim; ++d)
      squares += x[d] * x[d];
    float inverse = 1 / std::sqrt(squares / float(dim) + float(*problem.normEpsilon));
    for (int64_t d = 0; d < dim; ++d)
      x[d] = x[d] * inverse * weight[d];
  }
  if (problem.rope) {
    const Rope &rope = *problem.rope;
    const int64_t pairs = int64_t(rope.inverseFrequencies.size());
    for (int64_t i = 0; i < pairs; ++i) {
      float angle = float(problem.position[token]) * rope.inverseFrequencies[i];
      float cosine = std::cos(angle) * float(rope.attentionFactor);
      float sine = std::sin(angle) * float(rope.attentionFactor);
      if (!problem.cosSin.empty()) {
        cosine = problem.cosSin[token * 2 * size_t(pairs) + size_t(i)];
        sine = problem.cosSin[token * 2 * size_t(pairs) + size_t(pairs + i)];
      }
      int64_t first = rope.pairing == RopePairing::Half ? i : 2 * i;
      int64_t second = rope.pairing == RopePairing::Half ? i + pairs : 2 * i + 1;
      float a = x[first], b = x[second];
      x[first] = a * cosine - b * sine;
      x[second] = b * cosine + a * sine;
    }
  }
  for (float value : x)
    result.push_back(roundTo(type, value));
}
} // namespace

AppendResult<float> evaluatePlain(const AppendProblem &problem, NumberType type) {
  AppendResult<float> result;
  for (size_t token = 0; token < problem.position.size(); ++token) {
    for (int64_t h = 0; h < problem.queryHeads; ++h)
      transformHead(problem, type,
                    &problem.query[(token * problem.queryHeads + h) * problem.keyDim],
                    problem.queryWeight, token, result.query);
    for (int64_t h = 0; h < problem.kvHeads; ++h)
      transformHead(problem, type, &problem.key[(token * problem.kvHeads + h) * problem.keyDim],
                    problem.keyWeight, token, result.key);
  }
  return result;
}

} // namespace attncc::verify
