//===- Properties.cpp - see Properties.h -----------------------------------===//

#include "runtime/verify/Properties.h"

#include "runtime/verify/Random.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace attncc::verify {

namespace {
// Shorter contexts have no limit of traffic: what is not K and V then counts for too much.
constexpr int64_t kLeastContext = 1024;
constexpr int kRepetitions = 100;
// Of causal prefill: what its tiles of keys reach beyond the last key that is seen. Each warp reads
// the block table for itself, which is noticed where pages are smaller than kLeastPage.
constexpr double kPrefillTraffic = 1.05;
constexpr int64_t kLeastPage = 4;

/// What a run left behind, bit for bit.
struct Outcome {
  std::vector<float> output, lse; // output: exact images of 16-bit values
  uint32_t errors = 0;
};

bool sameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size_bytes()));
}

/// One property being checked; failure texts are collected, the first one counts.
class Check {
public:
  Check(const ClassShape &shape, Executor &executor) : shape(shape), executor(executor) {}

  /// Runs a case after `change` has been made to its data. Empty on failure.
  std::optional<Outcome> run(const VerifyCase &c, const AttentionProblem *values = nullptr,
                             void (*change)(CaseData &) = nullptr, bool errorsExpected = false) {
    Result<std::unique_ptr<CaseData>> data = CaseData::make(shape, c, values);
    if (!data) {
      fail(data.error().diagnostic.message);
      return {};
    }
    if (change)
      change(**data);
    Result<Execution> execution = executor.run(shape, c, **data);
    if (!execution) {
      fail(execution.error().diagnostic.message);
      return {};
    }
    if (!execution->findings.empty())
      fail(execution->findings.front());
    if (std::string trespass = (*data)->findTrespass(); !trespass.empty())
      fail(trespass);
    if (!errorsExpected && execution->errors)
      fail("the error word is " + std::to_string(execution->errors) + ", expected 0");
    Outcome outcome;
    outcome.output = (*data)->readOutput();
    if ((*data)->lse.data)
      outcome.lse = (*data)->readLogSumExp();
    outcome.errors = execution->errors;
    return outcome;
  }

  void fail(const std::string &text) {
    if (failure.empty())
      failure = text;
  }
  void expectSame(const std::optional<Outcome> &a, const std::optional<Outcome> &b,
                  const std::string &what) {
    if (a && b && !(sameBits(a->output, b->output) && sameBits(a->lse, b->lse)))
      fail(what);
  }
  /// Whether a run of one sequence left what `batch` has of that sequence from `token` on.
  void expectRowsOf(const Outcome &batch, size_t token, size_t tokens,
                    const std::optional<Outcome> &one, const std::string &what) {
    const size_t row = size_t(shape.group() * shape.valueDim), lseRow = size_t(shape.group());
    if (one &&
        !(sameBits(one->output, std::span(batch.output).subspan(token * row, tokens * row)) &&
          sameBits(one->lse, std::span(batch.lse).subspan(token * lseRow, tokens * lseRow))))
      fail(what);
  }
  PropertyResult result(std::string detail = {}) const {
    PropertyResult result;
    result.layerClass = shape.name;
    result.passed = failure.empty();
    result.detail = failure.empty() ? detail : failure;
    return result;
  }

  int64_t limit(int64_t length) const { return std::min(length, shape.maxPosition); }
  VerifyCase makeCase(std::vector<SequenceShape> sequences, Role role = Role::Decode) const {
    VerifyCase c;
    c.id = shape.name + "/property";
    c.layerClass = shape.name;
    c.role = role;
    c.seed = 11;
    c.prologue = shape.takesFused();
    c.sequences = std::move(sequences);
    for (SequenceShape &sequence : c.sequences) {
      if (role != Role::Prefill)
        sequence.queryLength = std::min(sequence.queryLength, shape.maxDraft);
      sequence.kvLength = limit(sequence.kvLength);
      if (role == Role::Decode && shape.splits.numSplits(sequence.kvLength) > 1)
        c.role = Role::Merge;
    }
    return c;
  }

  const ClassShape &shape;
  Executor &executor;
  std::string failure;
};

/// The case with NaN wherever nothing may be read, and without it.
void expectUnread(Check &check, VerifyCase c) {
  std::optional<Outcome> poisoned = check.run(c);
  c.poisoned = false;
  check.expectSame(poisoned, check.run(c), "NaN in unused memory changes the result");
}

PropertyResult checkUnusedMemory(const ClassShape &shape, Executor &executor, double) {
  Check check(shape, executor);
  for (bool headsFirst : {false, true})
    for (const std::vector<SequenceShape> &sequences :
         {std::vector<SequenceShape>{{1, 1}, {4, 23}, {8, 5}, {1, 70}, {1, 0}},
          std::vector<SequenceShape>{{2, 299}}}) {
      VerifyCase c = check.makeCase(sequences);
      c.headsFirst = headsFirst;
      expectUnread(check, c);
    }
  return check.result();
}

PropertyResult checkBatchInvariance(const ClassShape &shape, Executor &executor, double) {
  Check check(shape, executor);
  Random random(64);
  std::vector<SequenceShape> sequences;
  for (int i = 0; i < 64; ++i)
    sequences.push_back({random.integer(1, 2), random.integer(1, 24)});
  sequences[5] = {1, 0};
  sequences[17] = {8, 61};
  sequences[40] = {3, 530}; // several splits
  sequences[63] = {1, 300}; // alone it may take another variant, that of one query token
  VerifyCase batch = check.makeCase(std::move(sequences));
  Result<std::unique_ptr<CaseData>> data = CaseData::make(shape, batch);
  std::optional<Outcome> together = check.run(batch);
  if (!data || !together)
    return check.result();
  size_t token = 0;
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const size_t length = size_t(batch.sequences[s].queryLength);
    if (s == 0 || s == 5 || s == 17 || s == 40 || s == 63) {
      AttentionProblem values = (*data)->attention;
      values.sequences = {values.sequences[s]};
      VerifyCase alone = check.makeCase({batch.sequences[s]});
      alone.seed = 12; // other pages
      auto expectItsBits = [&](const std::optional<Outcome> &one, const char *how) {
        check.expectRowsOf(*together, token, length, one,
                           "sequence " + std::to_string(s) + " of length " +
                               std::to_string(batch.sequences[s].kvLength) + " has other bits " +
                               how + " than in a batch of 64");
      };
      expectItsBits(check.run(alone, &values), "alone");
      // Sequences of no tokens behind it, and bounds that are not its own: what a captured graph
      // sees that is larger than its batch.
      VerifyCase padded = check.makeCase({batch.sequences[s], {0, 0}, {0, 0}});
      padded.seed = 13;
      padded.extraQueryBound = shape.maxDraft - int64_t(length);
      padded.extraKvBound = std::min<int64_t>(5000, shape.maxPosition - padded.maxKvLength());
      padded.role = alone.role;
      values.sequences.resize(3);
      expectItsBits(check.run(padded, &values), "padded");
    }
    token += length;
  }
  return check.result();
}

PropertyResult checkRepeatability(const ClassShape &shape, Executor &executor, double) {
  Check check(shape, executor);
  for (Role role : {Role::Decode, Role::Append}) {
    VerifyCase c = check.makeCase({{1, 400}, {5, 33}, {8, 8}}, role);
    std::optional<Outcome> first = check.run(c);
    for (int i = 1; i < kRepetitions && check.failure.empty(); ++i)
      check.expectSame(first, check.run(c), "two runs of one case differ");
  }
  return check.result();
}

/// Runs the step in two forms (`none`: append and attention as two cases) and compares all bits
/// that it wrote.
PropertyResult checkStep(const ClassShape &shape, Executor &executor,
                         std::optional<StepForm> expected, StepForm form, const char *failure) {
  Check check(shape, executor);
  for (bool headsFirst : {false, true}) {
    VerifyCase c = check.makeCase({{1, 40}, {8, 8}, {0, 0}, {1, 1}, {3, 600}, {2, 17}});
    c.headsFirst = c.packed = headsFirst;
    c.extraKvBound = std::min<int64_t>(4000, shape.maxPosition - c.maxKvLength());
    auto run = [&](std::optional<StepForm> how) -> std::optional<std::vector<uint16_t>> {
      Result<Step> step = Step::make(shape, c);
      if (!step) {
        check.fail(step.error().diagnostic.message);
        return {};
      }
      Result<Execution> execution = how ? executor.runStep(shape, *step, *how)
                                        : executor.Executor::runStep(shape, *step, form);
      if (!execution) {
        check.fail(execution.error().diagnostic.message);
        return {};
      }
      if (!execution->findings.empty())
        check.fail(execution->findings.front());
      if (execution->errors)
        check.fail("the error word is " + std::to_string(execution->errors) + ", expected 0");
      return step->writtenBits(shape);
    };
    std::optional<std::vector<uint16_t>> wanted = run(expected), actual = run(form);
    if (wanted && actual && *wanted != *actual)
      check.fail(failure);
  }
  return check.result();
}

PropertyResult checkBackToBack(const ClassShape &shape, Executor &executor, double) {
  return checkStep(shape, executor, {}, StepForm::Together,
                   "append, attention and merge back to back give other bits than one by one");
}
PropertyResult checkGraph(const ClassShape &shape, Executor &executor, double) {
  return checkStep(shape, executor, StepForm::Together, StepForm::Graph,
                   "a captured graph gives other bits than its launches one by one");
}

PropertyResult checkIsolation(const ClassShape &shape, Executor &executor, double) {
  Check check(shape, executor);
  VerifyCase c = check.makeCase({{1, 30}, {2, 40}, {1, 290}});
  Result<std::unique_ptr<CaseData>> data = CaseData::make(shape, c);
  std::optional<Outcome> clean = check.run(c);
  if (!data || !clean)
    return check.result();
  AttentionProblem values = (*data)->attention;
  for (auto *tensor : {&values.sequences[1].key, &values.sequences[1].value})
    std::fill(tensor->begin(), tensor->end(), std::nanf(""));
  std::optional<Outcome> spoilt = check.run(c, &values);
  if (!spoilt)
    return check.result();
  const size_t row = size_t(shape.group() * shape.valueDim),
               queries = size_t(c.sequences[1].queryLength);
  std::span<const float> before(clean->output), after(spoilt->output);
  if (!sameBits(before.first(row), after.first(row)) ||
      !sameBits(before.subspan((1 + queries) * row), after.subspan((1 + queries) * row)))
    check.fail("NaN in one sequence's K and V changes another sequence's result");
  return check.result();
}

PropertyResult checkFarPages(const ClassShape &shape, Executor &executor, double) {
  Check check(shape, executor);
  const int64_t pageElements = shape.pageSize * shape.keyDim;
  const int64_t farPage = (int64_t(1) << 31) / pageElements + 3;
  if (farPage > INT32_MAX - 1000)
    return check.result("a page number cannot reach 2^31 elements");
  for (Role role : {Role::Decode, Role::Append}) {
    VerifyCase c = check.makeCase({{1, 50}, {2, 280}}, role);
    std::optional<Outcome> nearby = check.run(c);
    c.firstPage = farPage;
    check.expectSame(nearby, check.run(c), "a pool beyond 2^31 elements is addressed wrongly");
  }
  return check.result();
}

/// Attention of three sequences in which the middle one is broken by `change`.
PropertyResult checkBroken(const ClassShape &shape, Executor &executor, const SequenceShape &broken,
                           void (*change)(CaseData &), uint32_t error, Role role = Role::Decode) {
  Check check(shape, executor);
  VerifyCase c = check.makeCase({{2, 30}, broken, {role == Role::Prefill ? 30 : 1, 41}}, role);
  std::optional<Outcome> clean = check.run(c), outcome = check.run(c, nullptr, change, true);
  if (!clean || !outcome)
    return check.result();
  if (!(outcome->errors & error))
    check.fail("the error word is " + std::to_string(outcome->errors) + ", expected " +
               std::to_string(error));
  const size_t row = size_t(shape.group() * shape.valueDim);
  const size_t begin = size_t(c.sequences[0].queryLength) * row;
  const size_t end = begin + size_t(c.sequences[1].queryLength) * row;
  for (size_t i = 0; i < outcome->output.size(); ++i) {
    if (i >= begin && i < end) {
      if (!std::isnan(outcome->output[i]))
        check.fail("element " + std::to_string(i - begin) + " of the broken sequence is not NaN");
    } else if (std::memcmp(&outcome->output[i], &clean->output[i], sizeof(float))) {
      check.fail("another sequence's result changed");
    }
  }
  return check.result();
}

void usePageBeyond(CaseData &data) {
  data.blockTable[data.blockTableStride + 1] = int32_t(data.numPages);
}
void useNegativePage(CaseData &data) { data.blockTable[data.blockTableStride + 1] = -1; }
void lowerBound(CaseData &data) { data.maxKvLength = 60; }
void lowerQueryBound(CaseData &data) { data.maxQueryLength = 30; }

PropertyResult checkBadPage(const ClassShape &shape, Executor &executor, double) {
  for (int64_t length : {shape.pageSize * 2 + 3, std::max<int64_t>(300, shape.pageSize * 2 + 3)})
    for (auto change : {usePageBeyond, useNegativePage})
      if (length <= shape.maxPosition) {
        PropertyResult result = checkBroken(shape, executor, {1, length}, change, 2);
        if (!result.passed)
          return result;
      }
  Check check(shape, executor);
  VerifyCase c = check.makeCase({{1, 3}, {1, shape.pageSize + 1}}, Role::Append);
  for (auto change : {usePageBeyond, useNegativePage}) {
    // The row that was to be written stays as it was, and everything else, too.
    Result<std::unique_ptr<CaseData>> data = CaseData::make(shape, c);
    if (!data)
      return check.result(data.error().diagnostic.message);
    std::vector<float> before = (*data)->readKeys();
    change(**data);
    Result<Execution> execution = executor.run(shape, c, **data);
    if (!execution) {
      check.fail(execution.error().diagnostic.message);
      continue;
    }
    const size_t row = size_t(shape.keyDim);
    std::vector<float> after = (*data)->readKeys();
    if (!sameBits(std::span(before).subspan(row), std::span(after).subspan(row)))
      check.fail("append wrote a row whose page is out of range");
    if (!(execution->errors & 2))
      check.fail("append: the error word is " + std::to_string(execution->errors) + ", expected 2");
    for (const std::string &finding : execution->findings)
      check.fail(finding);
  }
  return check.result();
}

PropertyResult checkBadLength(const ClassShape &shape, Executor &executor, double) {
  // The second length passes the first multiple of every likely split length.
  for (int64_t length : {int64_t(61), int64_t(300)})
    if (PropertyResult result = checkBroken(shape, executor, {1, length}, lowerBound, 1);
        !result.passed)
      return result;
  return Check(shape, executor).result();
}

/// Append of two sequences of one token; the table ends before the second one's position.
PropertyResult checkBadPosition(const ClassShape &shape, Executor &executor, double) {
  Check check(shape, executor);
  if (!shape.rope || !shape.takesFused())
    return check.result("nothing is rotated");
  VerifyCase c = check.makeCase({{1, 3}, {1, 50}}, Role::Append);
  for (int64_t bytes : {2, 4}) {
    c.cosSinBytes = bytes;
    std::optional<Outcome> clean = check.run(c);
    std::optional<Outcome> outcome = check.run(
        c, nullptr, [](CaseData &data) { data.cosSinPositions = 10; }, true);
    if (!clean || !outcome)
      continue;
    if (!(outcome->errors & 4))
      check.fail("the error word is " + std::to_string(outcome->errors) + ", expected 4");
    const size_t head = size_t(shape.keyDim), row = size_t(shape.group()) * head;
    if (!sameBits(std::span(clean->output).first(row), std::span(outcome->output).first(row)))
      check.fail("another sequence's query changed");
    const size_t rotated = 2 * shape.rope->inverseFrequencies.size();
    for (size_t i = row; i < outcome->output.size(); ++i)
      if (i % head < rotated && !std::isnan(outcome->output[i]))
        check.fail("element " + std::to_string(i % head) + " of the query is not NaN");
  }
  return check.result();
}

PropertyResult checkPrefillUnusedMemory(const ClassShape &shape, Executor &executor, double) {
  Check check(shape, executor);
  for (bool headsFirst : {false, true}) {
    VerifyCase c = check.makeCase({{shape.maxDraft + 1, 23}, {1, 70}, {50, 80}, {40, 5}, {17, 17}},
                                  Role::Prefill);
    c.headsFirst = headsFirst;
    expectUnread(check, c);
  }
  return check.result();
}

/// Sequences of decode, merge and prefill in one batch: each has the bits that it has alone.
PropertyResult checkMixedBatch(const ClassShape &shape, Executor &executor, double) {
  Check check(shape, executor);
  VerifyCase batch = check.makeCase({{1, 40},
                                     {100, 130},
                                     {shape.maxDraft, 300},
                                     {0, 0},
                                     {shape.maxDraft + 1, 9},
                                     {3, 530},
                                     {33, 33}},
                                    Role::Prefill);
  Result<std::unique_ptr<CaseData>> data = CaseData::make(shape, batch);
  std::optional<Outcome> together = check.run(batch);
  if (!data || !together)
    return check.result();
  size_t token = 0;
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const auto [queryLength, kvLength] = batch.sequences[s];
    const size_t length = size_t(queryLength);
    if (length == 0)
      continue;
    AttentionProblem values = (*data)->attention;
    values.sequences = {values.sequences[s]};
    VerifyCase alone = check.makeCase({batch.sequences[s]},
                                      queryLength > shape.maxDraft ? Role::Prefill : Role::Decode);
    alone.seed = 12; // other pages
    check.expectRowsOf(*together, token, length, check.run(alone, &values),
                       "sequence " + std::to_string(s) + " of " + std::to_string(queryLength) +
                           " queries and length " + std::to_string(kvLength) +
                           " has other bits alone than in a mixed batch");
    token += length;
  }
  return check.result();
}

PropertyResult checkPrefillRepeatability(const ClassShape &shape, Executor &executor, double) {
  Check check(shape, executor);
  VerifyCase c = check.makeCase({{60, 90}, {1, 33}, {20, 20}}, Role::Prefill);
  std::optional<Outcome> first = check.run(c);
  for (int i = 1; i < kRepetitions / 10 && check.failure.empty(); ++i)
    check.expectSame(first, check.run(c), "two runs of one case differ");
  return check.result();
}

PropertyResult checkPrefillBadPage(const ClassShape &shape, Executor &executor, double) {
  // Every query sees the second page, which is the bad one.
  const int64_t queries = shape.maxDraft + 9, length = queries + 2 * shape.pageSize;
  for (auto change : {usePageBeyond, useNegativePage})
    if (length <= shape.maxPosition) {
      PropertyResult result =
          checkBroken(shape, executor, {queries, length}, change, 2, Role::Prefill);
      if (!result.passed)
        return result;
    }
  return Check(shape, executor).result();
}

PropertyResult checkPrefillBadLength(const ClassShape &shape, Executor &executor, double) {
  PropertyResult result =
      checkBroken(shape, executor, {shape.maxDraft + 9, 300}, lowerBound, 1, Role::Prefill);
  if (!result.passed)
    return result;
  return checkBroken(shape, executor, {200, 300}, lowerQueryBound, 1, Role::Prefill);
}

PropertyResult checkTraffic(const ClassShape &shape, Executor &executor, const VerifyCase &c,
                            double limit) {
  Check check(shape, executor);
  CaseResult run = runCase(shape, c, executor);
  if (!run.passed)
    check.fail(run.failure);
  if (run.compulsory == 0)
    return check.result("not metered");
  char text[160];
  std::snprintf(text, sizeof text, "%.3fx (%lld of %lld bytes), %llu bank conflicts", run.traffic(),
                static_cast<long long>(run.bytesMoved), static_cast<long long>(run.compulsory),
                static_cast<unsigned long long>(run.bankConflicts));
  if (run.traffic() > limit) {
    char more[64];
    std::snprintf(more, sizeof more, ", expected at most %.3fx", limit);
    check.fail(std::string(text) + more);
  }
  if (run.bankConflicts)
    check.fail(std::string(text) + ", expected 0");
  PropertyResult result = check.result(text);
  result.traffic = run.traffic();
  return result;
}
PropertyResult checkDecodeTraffic(const ClassShape &shape, Executor &executor, double limit) {
  VerifyCase c = decodeTrafficCase(shape);
  bool isLong = c.maxKvLength() >= kLeastContext;
  return checkTraffic(shape, executor, c, isLong ? limit : HUGE_VAL);
}
PropertyResult checkPrefillTraffic(const ClassShape &shape, Executor &executor, double limit) {
  VerifyCase c = prefillTrafficCase(shape);
  if (c.maxKvLength() < kLeastContext)
    limit = HUGE_VAL;
  else if (shape.pageSize >= kLeastPage)
    limit = kPrefillTraffic;
  return checkTraffic(shape, executor, c, limit);
}
/// Append's few rows are no matter of bandwidth: its figure is shown and has no limit.
PropertyResult checkAppendTraffic(const ClassShape &shape, Executor &executor, double) {
  return checkTraffic(shape, executor, appendTrafficCase(shape), HUGE_VAL);
}
} // namespace

PropertyResult checkSameErrors(const ClassShape &shape, Executor &executor, Executor &other) {
  Check check(shape, executor), reference(shape, other);
  for (int64_t length : {shape.pageSize * 2 + 3, int64_t(300)})
    for (auto change : {usePageBeyond, useNegativePage, lowerBound}) {
      if (length <= shape.pageSize || length <= 60)
        continue;
      VerifyCase c = check.makeCase({{2, 30}, {1, length}, {1, 41}});
      std::optional<Outcome> here = check.run(c, nullptr, change, true);
      std::optional<Outcome> there = reference.run(c, nullptr, change, true);
      if (!here || !there)
        continue;
      if (here->errors != there->errors)
        check.fail("the error word is " + std::to_string(here->errors) + ", on the other device " +
                   std::to_string(there->errors));
      for (size_t i = 0; i < here->output.size(); ++i)
        if (std::isnan(here->output[i]) != std::isnan(there->output[i]))
          check.fail("element " + std::to_string(i) + " is NaN on one device only");
    }
  if (!reference.failure.empty())
    check.fail("on the other device: " + reference.failure);
  PropertyResult result = check.result();
  result.name = "same error words on both devices";
  result.role = Role::Decode;
  return result;
}

const std::vector<Property> &allProperties() {
  static const std::vector<Property> properties{
      {"decode traffic", Role::Decode, checkDecodeTraffic},
      {"append traffic", Role::Append, checkAppendTraffic},
      {"NaN in unused memory changes no bit", Role::Decode, checkUnusedMemory},
      {"same bits alone, padded and in a batch of 64", Role::Decode, checkBatchInvariance},
      {"same bits in 100 runs", Role::Decode, checkRepeatability},
      {"append, attention and merge back to back", Role::Decode, checkBackToBack},
      {"same bits in a captured graph", Role::Decode, checkGraph, &Executor::hasGraphs},
      {"NaN stays in its sequence", Role::Decode, checkIsolation},
      {"pool beyond 2^31 elements", Role::Decode, checkFarPages},
      {"page number out of range", Role::Decode, checkBadPage},
      {"length beyond its bound", Role::Decode, checkBadLength},
      {"position outside of the table", Role::Append, checkBadPosition},
      {"prefill traffic", Role::Prefill, checkPrefillTraffic},
      {"prefill: NaN in unused memory changes no bit", Role::Prefill, checkPrefillUnusedMemory},
      {"prefill: same bits alone and beside decode", Role::Prefill, checkMixedBatch},
      {"prefill: same bits in 10 runs", Role::Prefill, checkPrefillRepeatability},
      {"prefill: page number out of range", Role::Prefill, checkPrefillBadPage},
      {"prefill: length beyond its bound", Role::Prefill, checkPrefillBadLength},
  };
  return properties;
}

} // namespace attncc::verify
