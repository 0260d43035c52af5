//===- CaseStates.cpp - attention states as a case's data -------------------===//
//
// Parts of a merge_states case: rows in a random number of them are empty, all of a row's in
// some rows. An empty row has an infinite log-sum-exp and NaN in its output. Test:
// test/verify/VerifyTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "runtime/verify/CaseData.h"
#include "runtime/verify/Random.h"

#include <limits>

namespace attncc::verify {

void CaseData::makeStates(Random &random) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  merge.parts = verifyCase.parts;
  merge.rows = numTokens * queryHeads;
  merge.dim = shape.valueDim;
  merge.lseIsLog2 = verifyCase.lseIsLog2;
  // Some rows have none; keys of the other parts weigh about the same, or one outweighs the rest.
  std::vector<bool> none;
  for (int64_t row = 0; row < merge.rows; ++row)
    none.push_back(random.chance(8));
  const float spread = random.chance(3) ? 60 : 2;
  for (int64_t part = 0; part < merge.parts; ++part)
    for (int64_t row = 0; row < merge.rows; ++row) {
      const bool empty = none[size_t(row)] || random.chance(4);
      merge.lse.push_back(!empty             ? spread * float(random.normal())
                          : random.chance(4) ? infinity
                                             : -infinity);
      for (int64_t d = 0; d < merge.dim; ++d)
        merge.output.push_back(empty ? std::numeric_limits<float>::quiet_NaN()
                                     : roundTo(shape.type, float(random.normal())));
    }
}

Result<void> CaseData::placeStates() {
  const int64_t heads = queryHeads;
  for (int64_t part = 0; part < merge.parts; ++part) {
    StateImage &state = states.emplace_back();
    const bool gap = verifyCase.packed && part % 2; // strides differ from part to part
    if (Result<void> placed = placeTensor(state.output, "part", heads, merge.dim, gap); !placed)
      return placed;
    if (Result<void> placed = placeLse(state.lse, "part lse", gap); !placed)
      return placed;
    for (int64_t row = 0; row < merge.rows; ++row) {
      const int64_t token = row / heads, head = row % heads, index = part * merge.rows + row;
      *state.lse.at(token, head) = merge.lse[size_t(index)];
      for (int64_t d = 0; d < merge.dim; ++d) {
        const float value = merge.output[size_t(index * merge.dim + d)];
        state.output.row(token, head)[d] =
            value == value ? fromFloat(shape.type, value) : uint16_t(0xffff);
      }
    }
  }
  if (verifyCase.inPlace) {
    output = states.front().output;
    if (verifyCase.logSumExp)
      lse = states.front().lse;
  } else {
    if (Result<void> placed = placeTensor(output, "output", heads, merge.dim, verifyCase.packed);
        !placed)
      return placed;
    if (verifyCase.logSumExp)
      if (Result<void> placed = placeLse(lse, "lse", verifyCase.packed); !placed)
        return placed;
  }
  rememberOutput();
  return {};
}

} // namespace attncc::verify
