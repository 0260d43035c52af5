//===- Step.h - append and attention over one pool --------------------------===//
//
// Internal. What an engine runs for each layer of a decode step: append writes the new
// tokens' keys and values behind those that the pages have, and rotates the queries;
// attention then reads all of them. Made of two cases: `append` brings queries, keys and
// values, `attend` the pool, tables and outputs. The rows that append is to write are NaN
// before, so that attention which does not wait for them is found.
// Test: test/verify/VerifyTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/CaseData.h"

namespace attncc::verify {

struct Step {
  VerifyCase attendCase, appendCase;
  std::unique_ptr<CaseData> attend, append;

  /// `attendCase` with queries no longer than their sequences; its own queries are not used.
  static Result<Step> make(const ClassShape &shape, const VerifyCase &attendCase);

  /// Puts the rows where the kernels' append would: from the pages and the output of `append`,
  /// after it ran, into the pages and the queries of `attend`.
  void carryOver(const ClassShape &shape);

  /// All that the step wrote, bit for bit: rotated queries, keys and values of the new tokens,
  /// outputs, log-sum-exps.
  std::vector<uint16_t> writtenBits(const ClassShape &shape) const;

private:
  /// Calls visit(sequence, token, token of the batch) for each token that append writes.
  template <class Visit> void forEachNewToken(Visit visit) const;
};

} // namespace attncc::verify
