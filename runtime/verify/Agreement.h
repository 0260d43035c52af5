//===- Agreement.h - one case on two devices --------------------------------===//
//
// Internal. The same case, run by the same kernel on a GPU and on the simulator, or on two
// simulators, should leave the same bits. What is exact by its nature must: rows that see no key,
// pages that append copies, error words, and everything that nobody writes. Where approximate
// instructions and orders of summation inside the tensor core enter (attention, rotated rows), an
// element may differ, by at most 2 ulp of its row's largest value; log-sum-exps by at most
// 2^-20 max(1, |lse|). At least 99% of a role's elements must be equal.
// Test: test/verify/AgreementTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/Executor.h"

namespace attncc::verify {

constexpr double kLeastEqualShare = 0.99;
constexpr double kMostUlp = 2;

struct Agreement {
  /// An element that differs by more than it may.
  struct Exception {
    std::string tensor;                      // "output", "lse", "query", "key", "error word"
    int64_t element = 0;                     // of the tensor's rows, one after another
    double value = 0, expected = 0, ulp = 0; // ulp: of the row's largest value; 0: must be equal
    std::string text() const;
  };
  static constexpr size_t kListed = 8; // exceptions of a case

  int64_t elements = 0, equal = 0;
  double furthestUlp = 0;            // of elements of the output type
  int64_t outside = 0;               // how many exceptions there are
  std::vector<Exception> exceptions; // the first of each case
  std::string failure;               // why the other device has no result; empty: it has one

  void add(const Agreement &other);
  /// Enough elements are equal, and none is an exception.
  bool holds() const {
    return failure.empty() && outside == 0 && double(equal) >= kLeastEqualShare * double(elements);
  }
};

/// What two runs of a case left; `other` is the reference in messages.
Agreement compareRuns(const ClassShape &shape, const VerifyCase &verifyCase, const CaseData &data,
                      const Execution &execution, const CaseData &other,
                      const Execution &otherExecution);

/// Runs the case with `other` and compares.
Agreement compareWith(const ClassShape &shape, const VerifyCase &verifyCase, const CaseData &data,
                      const Execution &execution, Executor &other);

} // namespace attncc::verify
