//===- RunCase.h - one case, run and judged --------------------------------===//
//
// Internal. Makes a case's data, lets an executor compute it, and compares every
// output tensor with the oracle:
//
//   append   "query": the rotated queries, "key": the K rows in the pages; V rows must
//            be the input's bits, and nothing else in the pool may change
//   decode   "output", "lse"
//   merge    the same, and "merged": the merge kernel alone, i.e. the final output
//            against the oracle's merge of the partial results that decode left
//   merge_states   "output", "lse"
//
// Test: test/verify/VerifyTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/Acceptance.h"
#include "runtime/verify/Agreement.h"
#include "runtime/verify/Executor.h"

namespace attncc::verify {

struct TensorResult {
  std::string tensor;
  Measure measure;
};

struct CaseResult {
  VerifyCase verifyCase;
  std::string target; // of the kernels
  bool passed = false;
  double ratio = 0; // the largest of the tensors'; at most 2 in a case that passed
  std::vector<TensorResult> tensors;
  std::vector<std::string> findings;      // of the simulator, and writes where nobody may write
  std::string failure;                    // why it did not pass: one line
  int64_t bytesMoved = 0, compulsory = 0; // 0: not known
  uint64_t bankConflicts = 0;
  std::optional<Agreement> agreement; // with another device

  double traffic() const { return compulsory ? double(bytesMoved) / double(compulsory) : 0; }
};

/// Errors are failures of the case as well: a case always has a result.
/// `other`, if given, runs it as well, and what it leaves is compared.
CaseResult runCase(const ClassShape &shape, const VerifyCase &verifyCase, Executor &executor,
                   Executor *other = nullptr);

/// Judges what `data` holds after `execution`.
CaseResult judgeCase(const ClassShape &shape, const VerifyCase &verifyCase, const CaseData &data,
                     const Execution &execution);

} // namespace attncc::verify
