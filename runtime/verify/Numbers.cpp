//===- Numbers.cpp - see Numbers.h -----------------------------------------===//

#include "runtime/verify/Numbers.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace attncc::verify {

namespace {
struct Format {
  int fractionBits;
  int exponentBits;
  int bias() const { return (1 << (exponentBits - 1)) - 1; }
};

Format format(NumberType type) { return type == NumberType::BF16 ? Format{7, 8} : Format{10, 5}; }
} // namespace

std::string_view name(NumberType type) { return type == NumberType::BF16 ? "bf16" : "f16"; }

float toFloat(NumberType type, uint16_t bits) {
  if (type == NumberType::BF16)
    return std::bit_cast<float>(uint32_t(bits) << 16);
  uint32_t sign = uint32_t(bits & 0x8000) << 16;
  uint32_t exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent == 31)
    return std::bit_cast<float>(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) {
    float magnitude = float(fraction) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t fromFloat(NumberType type, float value) {
  Format f = format(type);
  uint32_t bits = std::bit_cast<uint32_t>(value);
  uint16_t sign = uint16_t(bits >> 16 & 0x8000);
  uint32_t magnitude = bits & 0x7fffffff;
  uint16_t infinity = uint16_t(((1 << f.exponentBits) - 1) << f.fractionBits);
  if (magnitude > 0x7f800000)
    return kPoison;
  if (magnitude == 0x7f800000)
    return sign | infinity;
  // The float is significand * 2^(exponent - 23 - 127); a target unit in the last place is
  // 2^(targetExponent - fractionBits - bias). Both exponents start at 1 for subnormals.
  int exponent = std::max<int>(int(magnitude >> 23), 1);
  uint64_t significand = (magnitude & 0x7fffff) | (magnitude >> 23 ? 0x800000u : 0u);
  int targetExponent = std::max(exponent - 127 + f.bias(), 1);
  int shift = (targetExponent - f.fractionBits - f.bias()) - (exponent - 23 - 127);
  if (shift > 40)
    return sign; // less than a quarter of the smallest subnormal
  uint64_t rounded = significand >> shift;
  uint64_t rest = significand & ((uint64_t(1) << shift) - 1), half = uint64_t(1) << (shift - 1);
  if (rest > half || (rest == half && (rounded & 1)))
    ++rounded;
  // `rounded` carries its leading bit where the number is normal, and a carry out of the
  // fraction moves into the exponent by itself.
  uint64_t result = (uint64_t(targetExponent - 1) << f.fractionBits) + rounded;
  return sign | uint16_t(std::min<uint64_t>(result, infinity));
}

float roundTo(NumberType type, float value) { return toFloat(type, fromFloat(type, value)); }

double ulp(NumberType type, double magnitude) {
  Format f = format(type);
  magnitude = std::fabs(magnitude);
  int exponent = magnitude > 0 ? std::ilogb(magnitude) : 1 - f.bias();
  return std::ldexp(1.0, std::max(exponent, 1 - f.bias()) - f.fractionBits);
}

} // namespace attncc::verify
