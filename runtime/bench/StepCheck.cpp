// StepRun's comparison of sampled rows with the oracle. See StepRun.h.
#include "runtime/bench/StepRun.h"

#include "runtime/verify/Oracle.h"
#include "runtime/verify/Plain.h"
#include "runtime/verify/Random.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace attncc::bench {

namespace {
constexpr int64_t kSamples = 3; // (sequence, kv head, layer) that the oracle computes

/// Of decode all, of prefill the first, one in between, the last.
std::vector<int64_t> sampledQueries(int64_t queryLength, verify::Random &random) {
  if (roleOf(queryLength) == Role::Prefill)
    return {0, random.integer(1, queryLength - 2), queryLength - 1};
  std::vector<int64_t> all(static_cast<size_t>(queryLength));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

verify::Measure wrong(std::string reason) {
  verify::Measure measure;
  measure.accepted = false;
  measure.reason = std::move(reason);
  return measure;
}
} // namespace

/// `queryTokens` count from the sequence's first.
StepRun::Sample StepRun::sampleOf(int64_t sequence, int64_t kvHead, int64_t layer,
                                  const std::vector<int64_t> &queryTokens) const {
  const attncc_kv_layer &memory = layerMemory[size_t(layer)];
  verify::AttentionProblem problem;
  problem.queryHeads = shape.group();
  problem.kvHeads = 1;
  problem.keyDim = shape.keyDim;
  problem.valueDim = shape.valueDim;
  problem.scale = shape.scale;
  verify::SequenceInputs &inputs = problem.sequences.emplace_back();
  auto take = [&](std::vector<float> &to, const NoisePool &from, const void *base, int64_t offset,
                  int64_t count) {
    const uint16_t *first = static_cast<const uint16_t *>(base) + offset;
    for (int64_t e = 0; e < count; ++e)
      to.push_back(verify::toFloat(shape.type, from.bitsAt(first + e)));
  };
  for (int64_t token = 0; token < sequences[size_t(sequence)].kvLength; ++token) {
    const int64_t page = pages[size_t(sequence)][size_t(token / group.pageSize)];
    const int64_t inPage = token % group.pageSize;
    take(inputs.key, pool, memory.k,
         page * memory.k_page_stride + inPage * memory.k_token_stride +
             kvHead * memory.k_head_stride,
         shape.keyDim);
    take(inputs.value, pool, memory.v,
         page * memory.v_page_stride + inPage * memory.v_token_stride +
             kvHead * memory.v_head_stride,
         shape.valueDim);
  }
  Sample sample;
  sample.kvHead = kvHead;
  sample.layer = layer;
  // One query token at a time, as the last of what it sees.
  inputs.queryLength = 1;
  for (int64_t i : queryTokens) {
    const int64_t token = starts[size_t(sequence)] + i;
    sample.tokens.push_back(token);
    inputs.kvLength = visibleKeys(sequences[size_t(sequence)], i);
    inputs.query.clear();
    take(inputs.query, queries, queryOf(layer), firstRow(token, kvHead) * shape.keyDim,
         shape.group() * shape.keyDim);
    const std::vector<double> oracle = evaluateOracle(problem).output;
    const std::vector<float> plain = evaluatePlain(problem, shape.type).output;
    sample.oracle.insert(sample.oracle.end(), oracle.begin(), oracle.end());
    sample.plain.insert(sample.plain.end(), plain.begin(), plain.end());
  }
  return sample;
}

/// The longest sequence and others, in layers over all of the memory.
void StepRun::prepareSamples() {
  verify::Random random(options.seed + 2);
  for (int64_t i = 0; i < kSamples; ++i) {
    int64_t sequence = 0;
    if (i > 0)
      sequence = random.integer(0, step.batch - 1);
    else
      while (sequences[size_t(sequence)].kvLength < longestKv)
        ++sequence;
    const int64_t layer = (numLayers - 1) * (kSamples - 1 - i) / (kSamples - 1);
    const int64_t kvHead = random.integer(0, kvHeads - 1);
    samples.push_back(sampleOf(sequence, kvHead, layer,
                               sampledQueries(sequences[size_t(sequence)].queryLength, random)));
  }
}

/// The outputs of one attend. Error bits are a LimitExceeded.
Result<std::vector<uint16_t>> StepRun::outputsOf(int64_t layer) {
  std::vector<uint16_t> left(output.bytes() / 2, verify::kPoison);
  device::Device &device = *machine.device;
  const device::Stream stream = machine.stream();
  Result<void> state = device.copy(output.as<void>(), left.data(), output.bytes(), stream);
  if (state)
    state = attend(layer, stream);
  if (state)
    state = stepPlan->check(stream);
  if (state)
    state = device.copy(left.data(), output.as<void>(), output.bytes(), stream);
  if (!state)
    return state.error();
  return left;
}

Result<verify::Measure> StepRun::check() {
  if (samples.empty())
    prepareSamples();
  std::vector<float> kernel, plain;
  std::vector<double> oracle;
  for (const Sample &sample : samples) {
    Result<std::vector<uint16_t>> left = outputsOf(sample.layer);
    if (!left && left.error().status == Status::LimitExceeded)
      return wrong(left.error().diagnostic.message);
    if (!left)
      return left.error();
    const int64_t rowElements = queryHeads * shape.valueDim;
    for (size_t e = 0; e < left->size(); ++e)
      if (!std::isfinite(verify::toFloat(shape.type, (*left)[e])))
        return wrong("output of token " + std::to_string(int64_t(e) / rowElements) + ", head " +
                     std::to_string(int64_t(e) % rowElements / shape.valueDim) +
                     " is not a finite number");
    for (int64_t token : sample.tokens) {
      const int64_t first = firstRow(token, sample.kvHead) * shape.valueDim;
      for (int64_t e = 0; e < shape.group() * shape.valueDim; ++e)
        kernel.push_back(verify::toFloat(shape.type, (*left)[size_t(first + e)]));
    }
    oracle.insert(oracle.end(), sample.oracle.begin(), sample.oracle.end());
    plain.insert(plain.end(), sample.plain.begin(), sample.plain.end());
  }
  return verify::measureTensor(shape.type, kernel, oracle, plain);
}

} // namespace attncc::bench
