//===- HostExecutor.h - a stand-in for kernels, right or wrong --------------===//
//
// Computes a case on the host from its memory alone, as a kernel would: it walks block
// tables, follows strides, splits, merges and checks bounds. A Mistake makes it wrong
// in one way, so that tests can see whether verify notices.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/Executor.h"

namespace attncc::verify {

enum class Mistake {
  None,
  LengthOffByOne, // reads one key beyond the end
  ForgetsLastKey,
  NoCausalMask, // among the query tokens
  WrongPage,    // the second page is taken from its neighbour in the table
  SwappedKvHeads,
  MissingScale,
  IgnoresTable, // reads CSR tables as dense ones
  StridesOfTheOtherOrder,
  EqualMergeWeights, // splits count alike
  LogSumExpInBaseTwo,
  EmptyRowIsNaN,
  WritesBehindTheRows, // rows that belong to no sequence
  TouchesThePool,      // append writes a free slot
  IgnoresSlots,        // append derives its slots although they are given
  IgnoresPositions,
  SkipsNorm,
  InterleavedRope,
  RotatesTwice,    // what the caller has rotated
  IgnoresAngles,   // the table's
  NoPositionCheck, // against the table
  ReadsEmptyParts, // of states
  OffByTwoPercent,
  DependsOnTheBatch, // in the last bit only
  DependsOnTheRun,
  TruncatesAddresses, // offsets in 31 bits
  NoPageCheck,
  NoLengthCheck,
  LeaksNaN, // a NaN anywhere spoils the whole batch
  MovesTooMuch,
  BankConflicts,
  Finding,
  AttendsBeforeItAppends, // in a step
  GraphDiffers,           // from the launches that it was captured from
};

/// A class that has everything: QK norm, RoPE of a part, several splits and variants.
ClassShape makeShape(NumberType type);

class HostExecutor final : public Executor {
public:
  explicit HostExecutor(Mistake mistake = Mistake::None) : mistake(mistake) {}
  Result<Execution> run(const ClassShape &shape, const VerifyCase &verifyCase,
                        CaseData &data) override;
  Result<Execution> runStep(const ClassShape &shape, Step &step, StepForm form) override;
  bool hasGraphs() const override { return true; }

private:
  void attend(const ClassShape &shape, const VerifyCase &verifyCase, CaseData &data,
              Execution &execution);
  void append(const ClassShape &shape, const VerifyCase &verifyCase, CaseData &data,
              Execution &execution);
  void mergeStates(const ClassShape &shape, const VerifyCase &verifyCase, CaseData &data);
  std::vector<float> anglesOf(const ClassShape &shape, const CaseData &data, int64_t position,
                              Execution &execution) const;
  uint16_t *locate(const PageImage &image, int64_t page, int64_t token, int64_t head,
                   int64_t pageElements) const;
  /// The page that holds token `token` of a sequence.
  int64_t pageOf(const ClassShape &shape, const CaseData &data, int64_t sequence,
                 int64_t token) const;

  Mistake mistake;
  int64_t runs = 0;
};

} // namespace attncc::verify
