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

} // namespace attncc
