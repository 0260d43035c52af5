//===- SplitRule.h - how long sequences are cut for split-KV ---------------===//
//
// Internal. The split length is a step function of the sequence's own length,
// so a sequence's result never depends on what it is batched with
// (docs/architecture.md, "Same tokens, same bits"). The compiler evaluates the
// same steps in the kernels; the planner sizes grids and workspaces with them.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace attncc {

/// Where items add splits they take one, spans of so many, or all of a sequence; sums are formed in
/// spans whatever they take.
constexpr int64_t kSplitsOfSpan = 4;
/// The longest sequence that one item takes of which there may be more.
constexpr int64_t kLongestItem = 4096;
/// The most items of a sequence where about so many are asked for.
inline int64_t mostItems(int64_t items) { return std::max<int64_t>(4, 2 * items); }

/// Sequences of up to `maxLength` tokens are cut into splits of `splitLength`.
struct SplitStep {
  int64_t maxLength;
  int64_t splitLength;
  bool operator==(const SplitStep &) const = default;
};

/// Steps in increasing order of maxLength. Lengths beyond the last step take its split length.
struct SplitRule {
  std::vector<SplitStep> steps;

  int64_t splitLength(int64_t kvLength) const {
    for (const SplitStep &step : steps)
      if (kvLength <= step.maxLength)
        return step.splitLength;
    return steps.back().splitLength;
  }
  /// Number of splits of a sequence of kvLength tokens; 1 for an empty one, whose row is written
  /// too.
  int64_t numSplits(int64_t kvLength) const {
    int64_t length = splitLength(kvLength);
    return kvLength <= 0 ? 1 : (kvLength + length - 1) / length;
  }
  /// The most splits that the rule gives any length up to kvLength.
  int64_t maxSplits(int64_t kvLength) const {
    int64_t most = numSplits(kvLength);
    for (const SplitStep &step : steps)
      if (step.maxLength < kvLength)
        most = std::max(most, numSplits(step.maxLength));
    return most;
  }
  bool operator==(const SplitRule &) const = default;
};

/// How many splits an item takes of a sequence, if it has as many, in a launch that would have
/// about `items` items of each sequence; 0: one split each. It takes spans where one split would be
/// more than twice as many items, which is farther off.
inline int64_t splitsTaken(const SplitRule &rule, int64_t kvLength, int64_t items) {
  const int64_t splits = rule.numSplits(kvLength);
  if (items == 1 && kvLength <= kLongestItem)
    return splits;
  if (items < 1 || splits <= 2 * items)
    return 1;
  const int64_t spans = (splits + kSplitsOfSpan - 1) / kSplitsOfSpan, most = mostItems(items);
  return kSplitsOfSpan * ((spans + most - 1) / most);
}

/// The most items of any length up to kvLength in such a launch.
inline int64_t maxItems(const SplitRule &rule, int64_t kvLength, int64_t items) {
  auto count = [&](int64_t length) {
    int64_t taken = splitsTaken(rule, length, items);
    return (rule.numSplits(length) + taken - 1) / taken;
  };
  // In each step the longest, and the longest whose items take one split, or one span.
  int64_t most = count(kvLength);
  for (const SplitStep &step : rule.steps)
    for (int64_t length : {step.maxLength, 2 * items * step.splitLength,
                           mostItems(items) * kSplitsOfSpan * step.splitLength})
      if (0 < length && length < kvLength)
        most = std::max(most, count(length));
  return most;
}

} // namespace attncc
