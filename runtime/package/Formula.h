//===- Formula.h - the arithmetic of grids, workspaces and traffic ----------===//
//
// Internal. A rule of the manifest, e.g. "kv_heads*ceil_div(group*max_query_length, rows)", read
// once into postfix form and evaluated without allocation:
//
//   expression = term { ('+' | '-') term }        term = factor { ('*' | '/') factor }
//   factor = integer | name | function '(' expression { ',' expression } ')' | '(' expression ')'
//
// with the functions min, max, ceil_div (two arguments) and max_splits (one: the most splits that
// the kernel's split rule gives any length up to it). '/' floors. Integers are signed 64-bit and
// every overflow and division by zero is an error.
// Test: test/runtime/package/FormulaTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"
#include "runtime/support/SplitRule.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::package {

/// Every name that a rule may use; docs/package.md says what each stands for.
enum class Name : uint8_t {
  // of the kernel, its class and its cache group
  Rows,
  Units,
  Group,
  QueryHeads,
  KvHeads,
  KDim,
  VDim,
  KBytes,
  VBytes,
  QBytes,
  PageSize,
  // of a plan and of a launch
  MaxSequences,
  NumSequences,
  NumTokens,
  NumPages,
  MaxQueryLength,
  MaxKvLength,
  NumParts,
  Multiprocessors,
  // of one layer of a bound cache, in elements
  KPageStride,
  KTokenStride,
  KHeadStride,
  VPageStride,
  VTokenStride,
  VHeadStride,
  // of the device's data, known to tests and tools only
  TotalKv,
  TotalChunkKv,
  TotalVisibleKv,
};
constexpr size_t kNumNames = static_cast<size_t>(Name::TotalVisibleKv) + 1;
const char *nameText(Name name);

/// Values by name; what a launch does not know is `kUnknown`, and a rule that uses it is an error.
struct NameValues {
  static constexpr int64_t kUnknown = INT64_MIN;
  std::array<int64_t, kNumNames> values;
  NameValues() { values.fill(kUnknown); }
  int64_t &operator[](Name name) { return values[static_cast<size_t>(name)]; }
  int64_t operator[](Name name) const { return values[static_cast<size_t>(name)]; }
};

class Formula {
public:
  /// An error has the column of the offending character as its location, and no file.
  static Result<Formula> parse(std::string_view text);

  /// `rule` may be null if the formula does not use max_splits.
  Result<int64_t> evaluate(const NameValues &values, const SplitRule *rule) const;

  bool usesSplitRule() const;
  const std::string &text() const { return source; }
  bool operator==(const Formula &other) const { return source == other.source; }

private:
  enum class Op : uint8_t {
    Integer,
    Variable,
    Add,
    Subtract,
    Multiply,
    Divide,
    Min,
    Max,
    CeilDiv,
    MaxSplits
  };
  struct Step {
    Op op;
    int64_t value; // the integer, or the Name
  };
  friend class FormulaParser;
  std::vector<Step> steps;
  std::string source;
};

} // namespace attncc::package
