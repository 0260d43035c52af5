//===- Numbers.h - 16-bit floating point on the host ----------------------===//
//
// Internal. bf16 (8 exponent, 7 fraction bits) and IEEE f16 (5, 10) as bit
// patterns, with exact conversion to float and round-to-nearest-even conversion
// back, subnormals and overflow to infinity included. The conversions use integer
// arithmetic on the float's bits, so they do not depend on the host's rounding
// mode. Test: test/verify/NumbersTest.cpp (all 65,536 patterns, and every border
// between neighbours).
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <string_view>

namespace attncc::verify {

enum class NumberType { BF16, F16 };

/// "bf16" or "f16", as a manifest writes them.
std::string_view name(NumberType type);

/// The value of a bit pattern; exact.
float toFloat(NumberType type, uint16_t bits);

/// The nearest value, ties to even; overflow gives infinity, any NaN the pattern 0x7fff.
uint16_t fromFloat(NumberType type, float value);

/// fromFloat and back: the value rounded to the type.
float roundTo(NumberType type, float value);

/// The distance between the two neighbours in the type that enclose `magnitude` (which is
/// taken without its sign; below the smallest normal number: the subnormals' distance).
double ulp(NumberType type, double magnitude);

/// A NaN of both types.
inline constexpr uint16_t kPoison = 0x7fff;

} // namespace attncc::verify
