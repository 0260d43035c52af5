//===- Agreement.cpp - see Agreement.h -------------------------------------===//

#include "runtime/verify/Agreement.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace attncc::verify {

namespace {
bool sameBits(float a, float b) {
  return !std::memcmp(&a, &b, sizeof a) || (std::isnan(a) && std::isnan(b));
}

/// Compares rows of `dim` elements.
class Comparison {
public:
  Comparison(NumberType type, Agreement &result) : type(type), result(result) {}

  /// Rows for which isExact(row) holds must have equal bits.
  template <class IsExact>
  void rows(const char *tensor, int64_t dim, const std::vector<float> &values,
            const std::vector<float> &expected, IsExact isExact) {
    for (size_t begin = 0; begin < expected.size(); begin += size_t(dim)) {
      const size_t end = begin + size_t(dim);
      float largest = 0;
      for (size_t i = begin; i < end; ++i)
        if (std::isfinite(expected[i]))
          largest = std::max(largest, std::abs(expected[i]));
      const double unit = ulp(type, largest);
      for (size_t i = begin; i < end; ++i) {
        ++result.elements;
        if (sameBits(values[i], expected[i])) {
          ++result.equal;
          continue;
        }
        if (isExact(begin / size_t(dim)) || !std::isfinite(values[i] - expected[i])) {
          except({tensor, int64_t(i), values[i], expected[i], 0});
          continue;
        }
        const double distance = std::abs(double(values[i]) - double(expected[i])) / unit;
        result.furthestUlp = std::max(result.furthestUlp, distance);
        if (distance > kMostUlp)
          except({tensor, int64_t(i), values[i], expected[i], distance});
      }
    }
  }

  void logSumExps(const std::vector<float> &values, const std::vector<float> &expected) {
    for (size_t i = 0; i < expected.size(); ++i) {
      ++result.elements;
      result.equal += sameBits(values[i], expected[i]);
      const double bound = std::ldexp(std::max(1.0, std::abs(double(expected[i]))), -20);
      if (!sameBits(values[i], expected[i]) &&
          !(std::abs(double(values[i]) - double(expected[i])) <= bound))
        except({"lse", int64_t(i), values[i], expected[i], 0});
    }
  }

  void except(const Agreement::Exception &exception) {
    if (++result.outside <= int64_t(Agreement::kListed))
      result.exceptions.push_back(exception);
  }

private:
  NumberType type;
  Agreement &result;
};
} // namespace

std::string Agreement::Exception::text() const {
  char line[160];
  std::snprintf(line, sizeof line, "%s: element %lld is %.9g, the other device's is %.9g",
                tensor.c_str(), static_cast<long long>(element), value, expected);
  std::string text = line;
  if (ulp > 0) {
    std::snprintf(line, sizeof line, ", %.2f ulp of its row's largest", ulp);
    text += line;
  }
  return text;
}

void Agreement::add(const Agreement &other) {
  elements += other.elements;
  equal += other.equal;
  furthestUlp = std::max(furthestUlp, other.furthestUlp);
  outside += other.outside;
  exceptions.insert(exceptions.end(), other.exceptions.begin(), other.exceptions.end());
  if (failure.empty())
    failure = other.failure;
}

Agreement compareRuns(const ClassShape &shape, const VerifyCase &c, const CaseData &data,
                      const Execution &execution, const CaseData &other,
                      const Execution &otherExecution) {
  Agreement result;
  Comparison compare(shape.type, result);
  if (execution.errors != otherExecution.errors)
    compare.except({"error word", 0, double(execution.errors), double(otherExecution.errors), 0});
  if (c.role == Role::Append) {
    const bool copies = !c.prologue || (!shape.rope && !shape.normEpsilon);
    auto exact = [&](size_t) { return copies; };
    compare.rows("query", shape.keyDim, data.readOutput(), other.readOutput(), exact);
    compare.rows("key", shape.keyDim, data.readKeys(), other.readKeys(), exact);
    return result;
  }
  if (c.role == Role::MergeStates) { // a row of one part is that part's
    compare.rows("output", shape.valueDim, data.readOutput(), other.readOutput(),
                 [&](size_t row) { return data.merge.partsWithKeys(int64_t(row)) <= 1; });
    if (data.lse.data)
      compare.logSumExps(data.readLogSumExp(), other.readLogSumExp());
    return result;
  }
  // Which rows see a key: the tokens at or after the sequence's first.
  std::vector<bool> empty;
  for (auto [queryLength, kvLength] : c.sequences)
    for (int64_t i = 0; i < queryLength; ++i)
      empty.insert(empty.end(), size_t(data.output.heads),
                   shape.causal ? kvLength - queryLength + i < 0 : kvLength == 0);
  compare.rows("output", shape.valueDim, data.readOutput(), other.readOutput(),
               [&](size_t row) { return empty[row]; });
  if (data.lse.data)
    compare.logSumExps(data.readLogSumExp(), other.readLogSumExp());
  return result;
}

Agreement compareWith(const ClassShape &shape, const VerifyCase &c, const CaseData &data,
                      const Execution &execution, Executor &other) {
  Agreement result;
  Result<std::unique_ptr<CaseData>> again = CaseData::make(shape, c);
  if (!again) {
    result.failure = again.error().diagnostic.message;
    return result;
  }
  Result<Execution> run = other.run(shape, c, **again);
  if (!run)
    result.failure = run.error().diagnostic.message;
  else if (!run->findings.empty())
    result.failure = run->findings.front();
  else
    result = compareRuns(shape, c, data, execution, **again, *run);
  return result;
}

} // namespace attncc::verify
