//===- HostExecutor.cpp - see HostExecutor.h --------------------------------===//

#include "test/verify/HostExecutor.h"

#include "runtime/verify/Plain.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attncc::verify {

namespace {
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<float> readRow(NumberType type, const uint16_t *row, int64_t dim) {
  std::vector<float> values;
  for (int64_t d = 0; d < dim; ++d)
    values.push_back(toFloat(type, row[d]));
  return values;
}

void add(std::vector<float> &to, const std::vector<float> &values) {
  to.insert(to.end(), values.begin(), values.end());
}
} // namespace

ClassShape makeShape(NumberType type) {
  ClassShape shape;
  shape.name = "full";
  shape.cacheGroup = "kv0";
  shape.type = type;
  shape.queryHeads = 8;
  shape.kvHeads = 4;
  shape.keyDim = shape.valueDim = 16;
  shape.pageSize = 8;
  shape.maxPosition = 12000;
  shape.scale = 0.25;
  shape.rope = Rope{};
  for (int i = 0; i < 6; ++i) // 12 of 16 elements turn
    shape.rope->inverseFrequencies.push_back(std::pow(10000.0f, -float(i) / 6));
  shape.normEpsilon = 1e-6;
  shape.splits = {{{2048, 256}, {8192, 1024}, {131072, 2048}}};
  shape.decodeVariants = {{1, 1, 8}, {2, 8, 16}};
  shape.decodeTraffic = "total_chunk_kv*kv_heads*(k_dim*k_bytes+v_dim*v_bytes)+num_tokens*"
                        "query_heads*(k_dim+v_dim)*q_bytes";
  shape.appendTraffic = "num_tokens*(2*query_heads*k_dim+2*kv_heads*(k_dim+v_dim))*q_bytes";
  return shape;
}

Result<Execution> HostExecutor::run(const ClassShape &shape, const VerifyCase &c, CaseData &data) {
  Execution execution;
  ++runs;
  execution.metered = true;
  Result<int64_t> compulsory = compulsoryBytes(c, shape);
  if (!compulsory)
    return compulsory.error();
  execution.bytesMoved = uint64_t(*compulsory) * (mistake == Mistake::MovesTooMuch ? 3 : 1);
  execution.bankConflicts = mistake == Mistake::BankConflicts;
  if (mistake == Mistake::Finding)
    execution.findings.push_back("kernel: line 12: out of bounds");
  if (c.role == Role::Append)
    append(shape, c, data, execution);
  else if (c.role == Role::MergeStates)
    mergeStates(shape, c, data);
  else
    attend(shape, c, data, execution);
  return execution;
}

Result<Execution> HostExecutor::runStep(const ClassShape &shape, Step &step, StepForm form) {
  if (mistake == Mistake::AttendsBeforeItAppends)
    return run(shape, step.attendCase, *step.attend);
  Result<Execution> execution = Executor::runStep(shape, step, form);
  if (mistake == Mistake::GraphDiffers && form == StepForm::Graph)
    *step.attend->output.row(0, 0) ^= 1;
  return execution;
}

uint16_t *HostExecutor::locate(const PageImage &image, int64_t page, int64_t token, int64_t head,
                               int64_t pageElements) const {
  int64_t tokenStride = image.tokenStride, headStride = image.headStride;
  if (mistake == Mistake::StridesOfTheOtherOrder)
    std::swap(tokenStride, headStride);
  // The wrong order, too, stays within the page.
  int64_t inPage = (token * tokenStride + head * headStride) % pageElements;
  int64_t offset = page * image.pageStride + inPage;
  if (mistake == Mistake::TruncatesAddresses)
    offset &= 0x7fffffff;
  return image.data + offset;
}

int64_t HostExecutor::pageOf(const ClassShape &shape, const CaseData &data, int64_t sequence,
                             int64_t token) const {
  int64_t first = data.pageIndptr && mistake != Mistake::IgnoresTable
                      ? data.pageIndptr[sequence]
                      : sequence * data.blockTableStride;
  int64_t entry = token / shape.pageSize;
  if (mistake == Mistake::WrongPage && entry == 1)
    entry = 0;
  return data.blockTable[first + entry];
}

void HostExecutor::attend(const ClassShape &shape, const VerifyCase &c, CaseData &data,
                          Execution &execution) {
  const int64_t heads = data.query.heads, group = shape.group(), kvHeads = c.kvHeads;
  Partials partials;
  partials.splits = shape.splits.maxSplits(data.maxKvLength);
  partials.maxQueryLength = data.maxQueryLength;
  partials.queryHeads = heads;
  partials.dim = shape.valueDim;
  partials.splitsOfPartial.assign(c.sequences.size(), 1);
  const int64_t partialRows =
      int64_t(c.sequences.size()) * partials.splits * partials.maxQueryLength * heads;
  partials.output.assign(size_t(partialRows * partials.dim), kNaN);
  partials.lse.assign(size_t(partialRows), kNaN);

  bool sawNaN = false;
  for (int64_t s = 0; s < int64_t(c.sequences.size()); ++s) {
    const int64_t begin = data.queryStart[s], queryLength = data.queryStart[s + 1] - begin;
    int64_t length = data.kvLength[s];
    bool broken = false;
    if (length > data.maxKvLength && mistake != Mistake::NoLengthCheck) {
      execution.errors |= 1;
      broken = true;
    }
    SequenceInputs inputs{queryLength, length, {}, {}, {}};
    for (int64_t j = 0; j < length && !broken; ++j) {
      int64_t page = pageOf(shape, data, s, j);
      if (page < 0 || page >= data.numPages) {
        if (mistake != Mistake::NoPageCheck) {
          execution.errors |= 2;
          broken = true;
          break;
        }
        page = data.numPages - 1;
      }
      for (int64_t h = 0; h < kvHeads; ++h) {
        int64_t from = mistake == Mistake::SwappedKvHeads ? kvHeads - 1 - h : h;
        int64_t offset = j % shape.pageSize;
        if (mistake == Mistake::LengthOffByOne && j + 1 == length)
          offset = (offset + 1) % shape.pageSize;
        add(inputs.key,
            readRow(shape.type,
                    locate(data.k, page, offset, from, shape.pageSize * kvHeads * shape.keyDim),
                    shape.keyDim));
        add(inputs.value,
            readRow(shape.type,
                    locate(data.v, page, offset, from, shape.pageSize * kvHeads * shape.valueDim),
                    shape.valueDim));
      }
    }
    for (float value : inputs.value)
      sawNaN |= std::isnan(value);

    for (int64_t i = 0; i < queryLength; ++i)
      for (int64_t h = 0; h < heads; ++h) {
        int64_t visible = std::clamp<int64_t>(length - queryLength + i + 1, 0, length);
        if (mistake == Mistake::NoCausalMask)
          visible = length;
        if (mistake == Mistake::ForgetsLastKey)
          visible = std::max<int64_t>(visible - 1, 0);
        std::vector<float> row(size_t(shape.valueDim), broken ? kNaN : 0.0f);
        float lse = broken ? kNaN : -std::numeric_limits<float>::infinity();
        if (visible == 0 && mistake == Mistake::EmptyRowIsNaN)
          std::fill(row.begin(), row.end(), kNaN);
        if (!broken && visible > 0) {
          // One query row and its keys, split by split.
          MergeProblem merge{shape.splits.numSplits(length), 1, shape.valueDim, {}, {}};
          const int64_t split = shape.splits.splitLength(length);
          AttentionResult<float> direct;
          for (int64_t part = 0; part < merge.parts; ++part) {
            int64_t first = std::min(visible, part * split),
                    last = std::min(visible, first + split);
            AttentionProblem problem{1, 1, shape.keyDim, shape.valueDim, shape.scale, {}};
            if (mistake == Mistake::MissingScale)
              problem.scale = 1;
            SequenceInputs &only = problem.sequences.emplace_back();
            only.queryLength = 1;
            only.kvLength = last - first;
            only.query = readRow(shape.type, data.query.row(begin + i, h), shape.keyDim);
            for (int64_t j = first; j < last; ++j) {
              const float *key = &inputs.key[size_t((j * kvHeads + h / group) * shape.keyDim)];
              const float *value =
                  &inputs.value[size_t((j * kvHeads + h / group) * shape.valueDim)];
              only.key.insert(only.key.end(), key, key + shape.keyDim);
              only.value.insert(only.value.end(), value, value + shape.valueDim);
            }
            AttentionResult<double> exact = evaluateOracle(problem);
            merge.output.insert(merge.output.end(), exact.output.begin(), exact.output.end());
            merge.lse.push_back(
                mistake == Mistake::EqualMergeWeights && first < last ? 1.0f : float(exact.lse[0]));
            int64_t place =
                ((s * partials.splits + part) * partials.maxQueryLength + i) * heads + h;
            if (part < partials.splits && i < partials.maxQueryLength) {
              partials.lse[size_t(place)] = float(exact.lse[0]);
              std::copy(exact.output.begin(), exact.output.end(),
                        partials.output.begin() + place * partials.dim);
            }
            if (merge.parts == 1)
              direct = evaluatePlain(problem, shape.type);
          }
          AttentionResult<float> result =
              merge.parts == 1 ? direct : evaluatePlain(merge, shape.type);
          row = result.output;
          lse = result.lse[0];
          if (mistake == Mistake::OffByTwoPercent)
            for (float &value : row)
              value = roundTo(shape.type, float(value * 1.02));
        } else if (!broken) {
          for (int64_t part = 0; part < std::min(shape.splits.numSplits(length), partials.splits);
               ++part) {
            int64_t place =
                ((s * partials.splits + part) * partials.maxQueryLength + i) * heads + h;
            partials.lse[size_t(place)] = lse;
          }
        }
        if (mistake == Mistake::LogSumExpInBaseTwo)
          lse *= 1.4426950408889634f;
        if (mistake == Mistake::LeaksNaN && sawNaN)
          std::fill(row.begin(), row.end(), kNaN);
        uint16_t *out = data.output.row(begin + i, h);
        for (int64_t d = 0; d < shape.valueDim; ++d)
          out[d] = fromFloat(shape.type, row[size_t(d)]);
        bool flip = (mistake == Mistake::DependsOnTheBatch && c.sequences.size() > 8) ||
                    (mistake == Mistake::DependsOnTheRun && runs % 2);
        if (flip && visible > 1)
          out[0] ^= 1;
        if (data.lse.data)
          *data.lse.at(begin + i, h) = lse;
      }
  }
  if (mistake == Mistake::WritesBehindTheRows && data.numTokens > c.numTokens())
    *data.output.row(c.numTokens(), 0) = 0;
  if (c.role == Role::Merge)
    execution.partials = std::move(partials);
}

/// The table's row, or NaN and a bit of the error word.
std::vector<float> HostExecutor::anglesOf(const ClassShape &shape, const CaseData &data,
                                          int64_t position, Execution &execution) const {
  const int64_t dim = 2 * int64_t(shape.rope->inverseFrequencies.size());
  if (position < 0 || position >= data.cosSinPositions) {
    if (mistake == Mistake::NoPositionCheck)
      return std::vector<float>(size_t(dim), 0.0f);
    execution.errors |= 4;
    return std::vector<float>(size_t(dim), kNaN);
  }
  std::vector<float> row;
  for (int64_t i = 0; i < dim; ++i) {
    const int64_t element = position * data.cosSinStride + i;
    row.push_back(data.cosSinBytes == 4
                      ? static_cast<const float *>(data.cosSin)[element]
                      : toFloat(shape.type, static_cast<const uint16_t *>(data.cosSin)[element]));
  }
  return row;
}

void HostExecutor::mergeStates(const ClassShape &shape, const VerifyCase &c, CaseData &data) {
  const int64_t heads = data.output.heads, dim = data.output.dim;
  MergeProblem problem{int64_t(data.states.size()), 1, dim, {}, {}, c.lseIsLog2};
  if (mistake == Mistake::LogSumExpInBaseTwo)
    problem.lseIsLog2 = !problem.lseIsLog2;
  for (int64_t token = 0; token < data.numTokens; ++token)
    for (int64_t head = 0; head < heads; ++head) {
      problem.output.clear();
      problem.lse.clear();
      for (const StateImage &state : data.states) {
        float lse = *state.lse.at(token, head);
        std::vector<float> row = readRow(shape.type, state.output.row(token, head), dim);
        if (std::isinf(lse) && mistake == Mistake::ReadsEmptyParts)
          lse = 0;
        problem.lse.push_back(lse);
        add(problem.output, row);
      }
      AttentionResult<float> result = evaluatePlain(problem, shape.type);
      if (mistake == Mistake::EmptyRowIsNaN && problem.partsWithKeys(0) == 0)
        result.lse[0] = kNaN;
      for (int64_t d = 0; d < dim; ++d)
        data.output.row(token, head)[d] = fromFloat(shape.type, result.output[size_t(d)]);
      if (data.lse.data)
        *data.lse.at(token, head) = result.lse[0];
    }
}

void HostExecutor::append(const ClassShape &shape, const VerifyCase &c, CaseData &data,
                          Execution &execution) {
  for (int64_t s = 0; s < int64_t(c.sequences.size()); ++s)
    for (int64_t token = data.queryStart[s]; token < data.queryStart[s + 1]; ++token) {
      int64_t place = data.kvLength[s] - data.queryStart[s + 1] + token;
      AppendProblem problem;
      problem.queryHeads = data.query.heads;
      problem.kvHeads = c.kvHeads;
      problem.keyDim = shape.keyDim;
      if (data.prologue || mistake == Mistake::RotatesTwice)
        problem.rope = shape.rope;
      if (data.prologue && mistake != Mistake::SkipsNorm)
        problem.normEpsilon = shape.normEpsilon;
      if (mistake == Mistake::InterleavedRope && problem.rope)
        problem.rope->pairing = RopePairing::Interleaved;
      if (problem.normEpsilon) {
        problem.queryWeight = readRow(shape.type, data.queryWeight, shape.keyDim);
        problem.keyWeight = readRow(shape.type, data.keyWeight, shape.keyDim);
      }
      problem.position = {
          data.positions && mistake != Mistake::IgnoresPositions ? data.positions[token] : place};
      if (data.cosSin && mistake != Mistake::IgnoresAngles)
        problem.cosSin = anglesOf(shape, data, problem.position[0], execution);
      for (int64_t h = 0; h < data.query.heads; ++h)
        add(problem.query, readRow(shape.type, data.query.row(token, h), shape.keyDim));
      for (int64_t h = 0; h < c.kvHeads; ++h)
        add(problem.key, readRow(shape.type, data.key.row(token, h), shape.keyDim));
      AppendResult<float> result = evaluatePlain(problem, shape.type);
      for (int64_t h = 0; h < data.query.heads; ++h)
        for (int64_t d = 0; d < shape.keyDim; ++d)
          data.output.row(token, h)[d] =
              fromFloat(shape.type, result.query[size_t(h * shape.keyDim + d)]);

      int64_t slot = pageOf(shape, data, s, place) * shape.pageSize + place % shape.pageSize;
      if (data.slots && mistake != Mistake::IgnoresSlots)
        slot = data.slots[token];
      int64_t page = slot / shape.pageSize;
      if (slot < 0 && data.slots)
        continue;
      if (slot < 0 || page >= data.numPages) {
        if (mistake != Mistake::NoPageCheck) {
          execution.errors |= 2;
          continue;
        }
        page = data.numPages - 1;
      }
      for (int64_t h = 0; h < c.kvHeads; ++h) {
        uint16_t *key = locate(data.k, page, slot % shape.pageSize, h,
                               shape.pageSize * c.kvHeads * shape.keyDim);
        uint16_t *value = locate(data.v, page, slot % shape.pageSize, h,
                                 shape.pageSize * c.kvHeads * shape.valueDim);
        for (int64_t d = 0; d < shape.keyDim; ++d)
          key[d] = fromFloat(shape.type, result.key[size_t(h * shape.keyDim + d)]);
        std::copy_n(data.value.row(token, h), shape.valueDim, value);
      }
    }
  if (mistake == Mistake::TouchesThePool)
    *data.k.row(data.numPages - 1, shape.pageSize - 1, c.kvHeads - 1) ^= 1;
}

} // namespace attncc::verify
