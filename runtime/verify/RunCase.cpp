//===- RunCase.cpp - see RunCase.h -----------------------------------------===//

#include "runtime/verify/RunCase.h"

#include "runtime/verify/Plain.h"

#include <algorithm>
#include <cmath>

namespace attncc::verify {

namespace {
/// Rows that see no key are demanded exactly.
std::vector<Demand> demandsOf(const std::vector<double> &lse, int64_t dim) {
  std::vector<Demand> demands;
  for (double value : lse)
    demands.insert(demands.end(), size_t(dim), std::isinf(value) ? Demand::Exact : Demand::Close);
  return demands;
}

void judgeAppend(const ClassShape &shape, const CaseData &data, CaseResult &result) {
  AppendResult<double> oracle = evaluateOracle(data.append);
  AppendResult<float> plain = evaluatePlain(data.append, shape.type);
  if (data.output.data)
    result.tensors.push_back(
        {"query", measureTensor(shape.type, data.readOutput(), oracle.query, plain.query)});
  // Keys of tokens that are to be written.
  const size_t row = size_t(data.append.kvHeads * data.append.keyDim);
  std::vector<double> oracleKeys;
  std::vector<float> plainKeys;
  for (size_t token = 0; token < data.append.position.size(); ++token) {
    if (data.targetOf(int64_t(token)) < 0)
      continue;
    oracleKeys.insert(oracleKeys.end(), oracle.key.begin() + token * row,
                      oracle.key.begin() + (token + 1) * row);
    plainKeys.insert(plainKeys.end(), plain.key.begin() + token * row,
                     plain.key.begin() + (token + 1) * row);
  }
  result.tensors.push_back(
      {"key", measureTensor(shape.type, data.readKeys(), oracleKeys, plainKeys)});
}

void judgeMerge(const ClassShape &shape, const VerifyCase &c, const Partials &partials,
                std::span<const float> output, CaseResult &result) {
  std::vector<float> kernel, plain;
  std::vector<double> oracle, lse;
  const int64_t heads = partials.queryHeads, dim = partials.dim;
  int64_t token = 0;
  for (size_t s = 0; s < c.sequences.size(); ++s) {
    auto [queryLength, kvLength] = c.sequences[s];
    const int64_t splits = shape.splits.numSplits(kvLength), together = partials.splitsOfPartial[s];
    MergeProblem problem{(splits + together - 1) / together, queryLength * heads, dim, {}, {}};
    if (problem.parts > 1) {
      for (int64_t split = 0; split < splits; split += together) {
        int64_t first = (int64_t(s) * partials.splits + split) * partials.maxQueryLength * heads;
        problem.output.insert(problem.output.end(), partials.output.begin() + first * dim,
                              partials.output.begin() + (first + problem.rows) * dim);
        problem.lse.insert(problem.lse.end(), partials.lse.begin() + first,
                           partials.lse.begin() + first + problem.rows);
      }
      AttentionResult<double> merged = evaluateOracle(problem);
      AttentionResult<float> mergedPlain = evaluatePlain(problem, shape.type);
      oracle.insert(oracle.end(), merged.output.begin(), merged.output.end());
      lse.insert(lse.end(), merged.lse.begin(), merged.lse.end());
      plain.insert(plain.end(), mergedPlain.output.begin(), mergedPlain.output.end());
      kernel.insert(kernel.end(), output.begin() + token * heads * dim,
                    output.begin() + (token + queryLength) * heads * dim);
    }
    token += queryLength;
  }
  result.tensors.push_back(
      {"merged", measureTensor(shape.type, kernel, oracle, plain, demandsOf(lse, dim))});
}

/// A row of one part is that part's, one of none is zero.
void judgeStates(const ClassShape &shape, const CaseData &data, CaseResult &result) {
  AttentionResult<double> oracle = evaluateOracle(data.merge);
  AttentionResult<float> plain = evaluatePlain(data.merge, shape.type);
  std::vector<Demand> demands;
  for (int64_t row = 0; row < data.merge.rows; ++row)
    demands.insert(demands.end(), size_t(data.merge.dim),
                   data.merge.partsWithKeys(row) <= 1 ? Demand::Exact : Demand::Close);
  result.tensors.push_back({"output", measureTensor(shape.type, data.readOutput(), oracle.output,
                                                    plain.output, demands)});
  if (data.lse.data)
    result.tensors.push_back(
        {"lse", measureLogSumExp(data.readLogSumExp(), oracle.lse, plain.lse)});
}

void judgeAttention(const ClassShape &shape, const VerifyCase &c, const CaseData &data,
                    const Execution &execution, CaseResult &result) {
  AttentionResult<double> oracle = evaluateOracle(data.attention);
  AttentionResult<float> plain = evaluatePlain(data.attention, shape.type);
  std::vector<float> output = data.readOutput();
  result.tensors.push_back({"output", measureTensor(shape.type, output, oracle.output, plain.output,
                                                    demandsOf(oracle.lse, shape.valueDim))});
  if (data.lse.data)
    result.tensors.push_back(
        {"lse", measureLogSumExp(data.readLogSumExp(), oracle.lse, plain.lse)});
  if (execution.partials)
    judgeMerge(shape, c, *execution.partials, output, result);
}
} // namespace

CaseResult judgeCase(const ClassShape &shape, const VerifyCase &c, const CaseData &data,
                     const Execution &execution) {
  CaseResult result;
  result.verifyCase = c;
  result.findings = execution.findings;
  result.bankConflicts = execution.bankConflicts;
  if (execution.metered) {
    Result<int64_t> compulsory = compulsoryBytes(c, shape);
    if (!compulsory) {
      result.failure = compulsory.error().diagnostic.message;
      return result;
    }
    result.bytesMoved = int64_t(execution.bytesMoved);
    result.compulsory = *compulsory;
  }
  if (std::string trespass = data.findTrespass(); !trespass.empty())
    result.findings.push_back(std::move(trespass));
  if (execution.findings.empty()) {
    if (c.role == Role::Append)
      judgeAppend(shape, data, result);
    else if (c.role == Role::MergeStates)
      judgeStates(shape, data, result);
    else
      judgeAttention(shape, c, data, execution, result);
  }
  for (const TensorResult &tensor : result.tensors) {
    result.ratio = std::max(result.ratio, tensor.measure.ratio);
    if (!tensor.measure.accepted && result.failure.empty())
      result.failure = tensor.tensor + ": " + tensor.measure.reason;
  }
  if (!result.findings.empty())
    result.failure = result.findings.front();
  else if (execution.errors && result.failure.empty())
    result.failure = "the error word is " + std::to_string(execution.errors) + ", expected 0";
  result.passed = result.failure.empty();
  return result;
}

CaseResult runCase(const ClassShape &shape, const VerifyCase &c, Executor &executor,
                   Executor *other) {
  CaseResult failed;
  failed.verifyCase = c;
  Result<std::unique_ptr<CaseData>> data = CaseData::make(shape, c);
  if (!data) {
    failed.failure = data.error().diagnostic.message;
    return failed;
  }
  Result<Execution> execution = executor.run(shape, c, **data);
  if (!execution) {
    failed.failure = execution.error().diagnostic.message;
    return failed;
  }
  CaseResult result = judgeCase(shape, c, **data, *execution);
  if (!other || !execution->findings.empty())
    return result;
  result.agreement = compareWith(shape, c, **data, *execution, *other);
  const Agreement &agreement = *result.agreement;
  if (result.passed && !agreement.failure.empty())
    result.failure = "on the other device: " + agreement.failure;
  else if (result.passed && agreement.outside)
    result.failure = agreement.exceptions.front().text();
  result.passed = result.failure.empty();
  return result;
}

} // namespace attncc::verify
