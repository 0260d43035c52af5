//===- Acceptance.h - when a kernel's result is correct --------------------===//
//
// Internal. docs/architecture.md, "Correct": per case and output
// tensor, E(x) = max |x - oracle|. A tensor of the output type is correct when
// E(kernel) <= 2 E(plain) + 1 ulp at max |oracle|, a tensor of log-sum-exps when
// E(kernel) <= 2 E(plain) + 2^-20 max(1, |lse|); infinities and rows that see no
// key must be met exactly. The maxima run over the whole tensor of the case, so
// that a row whose output happens to be tiny is not asked for more than the type
// gives the tensor's other rows; cases of a single sequence keep the rule sharp.
// Test: test/verify/AcceptanceTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/Numbers.h"

#include <span>
#include <string>

namespace attncc::verify {

/// How one output tensor of one case compares.
struct Measure {
  double kernelError = 0; // E(kernel); infinite if an exact value was missed
  double plainError = 0;  // E(plain)
  double unit = 0;        // 1 ulp of the type at max |oracle|, or 2^-20 max(1, |lse|)
  double ratio = 0;       // E(kernel) / (E(plain) + unit / 2)
  int64_t worst = -1;     // index of the element with the largest error, -1 if all are exact
  bool accepted = true;
  std::string reason; // why not: element, value, oracle and bound
};

/// Which elements are held to what.
enum class Demand : uint8_t {
  Close,  // the error bound; an infinite or zero-row oracle value exactly
  Exact,  // the oracle's value exactly
  Ignore, // nothing
};

/// Compares a tensor of `type`. `demand` is empty (all Close) or has an entry per element.
Measure measureTensor(NumberType type, std::span<const float> kernel,
                      std::span<const double> oracle, std::span<const float> plain,
                      std::span<const Demand> demand = {});

/// Compares log-sum-exps.
Measure measureLogSumExp(std::span<const float> kernel, std::span<const double> oracle,
                         std::span<const float> plain, std::span<const Demand> demand = {});

} // namespace attncc::verify
