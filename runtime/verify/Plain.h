//===- Plain.h - attention in the kernels' precision, without tricks --------===//
//
// Internal. The yardstick for a kernel's error (docs/architecture.md, "What
// attention means here" and "Correct"): f32 scores, maximum, exp and sums in key order;
// exp(s - m) rounded to the input type before the second product; divided in f32;
// output rounded once. Merge: f32 weights and sums in part order, rounded once.
// Append: f32 norm, angle = position * inverse frequency as an f32 product, sine
// and cosine in f32, rounded once. All functions return f32 values that the output
// type represents exactly; lse is f32. Test: test/verify/PlainTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/Numbers.h"
#include "runtime/verify/Oracle.h"

namespace attncc::verify {

AttentionResult<float> evaluatePlain(const AttentionProblem &problem, NumberType type);
AttentionResult<float> evaluatePlain(const MergeProblem &problem, NumberType type);
AppendResult<float> evaluatePlain(const AppendProblem &problem, NumberType type);

} // namespace attncc::verify
