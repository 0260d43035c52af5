//===- Step.cpp - see Step.h; and a step made of two runs --------------------===//

#include "runtime/verify/Step.h"

#include "runtime/verify/Executor.h"

#include <algorithm>
#include <cstring>

namespace attncc::verify {

template <class Visit> void Step::forEachNewToken(Visit visit) const {
  int64_t number = 0;
  for (size_t s = 0; s < attendCase.sequences.size(); ++s)
    for (int64_t i = 0; i < attendCase.sequences[s].queryLength; ++i)
      visit(int64_t(s), attendCase.sequences[s].kvLength - attendCase.sequences[s].queryLength + i,
            number++);
}

Result<Step> Step::make(const ClassShape &shape, const VerifyCase &attendCase) {
  Step step;
  step.attendCase = step.appendCase = attendCase;
  step.appendCase.role = Role::Append;
  step.appendCase.seed = attendCase.seed + 1;
  step.appendCase.prologue = shape.takesFused();
  step.appendCase.inPlace = step.appendCase.slots = step.appendCase.positions = false;
  Result<std::unique_ptr<CaseData>> attend = CaseData::make(shape, step.attendCase);
  if (!attend)
    return attend.error();
  Result<std::unique_ptr<CaseData>> append = CaseData::make(shape, step.appendCase);
  if (!append)
    return append.error();
  step.attend = std::move(*attend);
  step.append = std::move(*append);
  step.forEachNewToken([&](int64_t sequence, int64_t token, int64_t number) {
    const int64_t slot = step.attend->slotOf(sequence, token);
    for (int64_t head = 0; head < attendCase.kvHeads; ++head) {
      std::fill_n(step.attend->k.row(slot / shape.pageSize, slot % shape.pageSize, head),
                  shape.keyDim, uint16_t(0xffff));
      std::fill_n(step.attend->v.row(slot / shape.pageSize, slot % shape.pageSize, head),
                  shape.valueDim, uint16_t(0xffff));
    }
    for (int64_t head = 0; head < step.attend->query.heads; ++head)
      std::fill_n(step.attend->query.row(number, head), shape.keyDim, uint16_t(0xffff));
  });
  return step;
}

void Step::carryOver(const ClassShape &shape) {
  forEachNewToken([&](int64_t sequence, int64_t token, int64_t number) {
    const int64_t from = append->slotOf(sequence, token), to = attend->slotOf(sequence, token);
    for (int64_t head = 0; head < attendCase.kvHeads; ++head) {
      std::copy_n(append->k.row(from / shape.pageSize, from % shape.pageSize, head), shape.keyDim,
                  attend->k.row(to / shape.pageSize, to % shape.pageSize, head));
      std::copy_n(append->v.row(from / shape.pageSize, from % shape.pageSize, head), shape.valueDim,
                  attend->v.row(to / shape.pageSize, to % shape.pageSize, head));
    }
    for (int64_t head = 0; head < attend->query.heads; ++head)
      std::copy_n(append->output.row(number, head), shape.keyDim, attend->query.row(number, head));
  });
}

std::vector<uint16_t> Step::writtenBits(const ClassShape &shape) const {
  std::vector<uint16_t> bits;
  auto add = [&](const uint16_t *row, int64_t count) { bits.insert(bits.end(), row, row + count); };
  forEachNewToken([&](int64_t sequence, int64_t token, int64_t number) {
    const int64_t slot = attend->slotOf(sequence, token);
    for (int64_t head = 0; head < attendCase.kvHeads; ++head) {
      add(attend->k.row(slot / shape.pageSize, slot % shape.pageSize, head), shape.keyDim);
      add(attend->v.row(slot / shape.pageSize, slot % shape.pageSize, head), shape.valueDim);
    }
    for (int64_t head = 0; head < attend->query.heads; ++head) {
      add(attend->query.row(number, head), shape.keyDim);
      add(attend->output.row(number, head), shape.valueDim);
    }
  });
  if (attend->lse.data)
    for (float value : attend->readLogSumExp()) {
      uint16_t halves[2];
      std::memcpy(halves, &value, sizeof halves);
      add(halves, 2);
    }
  return bits;
}

Result<Execution> Executor::runStep(const ClassShape &shape, Step &step, StepForm) {
  Result<Execution> appended = run(shape, step.appendCase, *step.append);
  if (!appended)
    return appended;
  step.carryOver(shape);
  Result<Execution> attended = run(shape, step.attendCase, *step.attend);
  if (!attended)
    return attended;
  attended->findings.insert(attended->findings.begin(), appended->findings.begin(),
                            appended->findings.end());
  attended->errors |= appended->errors;
  return attended;
}

} // namespace attncc::verify
