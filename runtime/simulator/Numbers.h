//===- Numbers.h - formats and exact arithmetic ---------------------------===//
//
// Internal to the simulator. PTX ISA §5.2 and §9.7.3-9.7.5: NaN results are canonical
// (0x7fffffff, 0x7fff), .ftz turns subnormal inputs and results into zeros of their sign.
// Nothing here depends on the host's rounding mode or flush mode.
//
// Pinned by test/simulator/ScalarTest.cpp (all 65536 codes of both 16-bit formats).
//
//===----------------------------------------------------------------------===//
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace attncc::simulator {

inline constexpr uint32_t canonicalNan = 0x7fffffff;
inline constexpr uint16_t canonicalNan16 = 0x7fff;

inline float canonical(float x) { return x != x ? std::bit_cast<float>(canonicalNan) : x; }
inline double canonical(double x) {
  return x != x ? std::bit_cast<double>(uint64_t(0x7fffffffffffffff)) : x;
}

/// Subnormals to zero, sign kept.
inline float flush(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits & 0x7f800000) ? bits : bits & 0x80000000);
}
template <bool Ftz> inline float maybeFlush(float x) {
  if constexpr (Ftz)
    return flush(x);
  return x;
}

/// product + addend, rounded to odd: a later rounding to a format with at most 51
/// significant bits is then correct (Boldo and Melquiond, 2008).
inline double addToOdd(double a, double b) {
  double sum = a + b;
  double bb = sum - a;
  double error = (a - (sum - bb)) + (b - bb);
  uint64_t bits = std::bit_cast<uint64_t>(sum);
  bool inexact =
      error != 0 && (bits & 1) == 0 && std::abs(sum) <= std::numeric_limits<double>::max();
  // Towards the error: one step in magnitude.
  bool away = (error > 0) == (sum > 0);
  bits += inexact ? (away ? 1 : ~uint64_t(0)) : 0;
  return std::bit_cast<double>(bits);
}

/// a * b + c with one rounding. The product of two floats is exact in double.
inline float fusedMultiplyAdd(float a, float b, float c) {
#ifdef __FMA__
  return __builtin_fmaf(a, b, c);
#else
  return static_cast<float>(addToOdd(double(a) * double(b), double(c)));
#endif
}

/// Rounds to nearest even into a binary format of `ExponentBits` and `FractionBits`.
template <int ExponentBits, int FractionBits> inline uint16_t roundTo16(double x) {
  constexpr int bias = (1 << (ExponentBits - 1)) - 1;
  constexpr int minimum = 1 - bias;
  constexpr uint16_t infinity = ((1 << ExponentBits) - 1) << FractionBits;
  if (x != x)
    return canonicalNan16;
  uint64_t bits = std::bit_cast<uint64_t>(x);
  uint16_t sign = static_cast<uint16_t>(bits >> 63 << 15);
  int exponent = static_cast<int>(bits >> 52 & 0x7ff) - 1023;
  if (exponent == 1024 || exponent > bias)
    return sign | infinity;
  if (exponent < minimum - FractionBits - 1)
    return sign;
  uint64_t significand = (bits & ((uint64_t(1) << 52) - 1)) | uint64_t(1) << 52;
  int quantum = (exponent < minimum ? minimum : exponent) - FractionBits;
  int shift = 52 - (exponent - quantum); // bits below the quantum: 1 to 53
  uint64_t kept = shift > 52 ? 0 : significand >> shift;
  uint64_t rest = significand & ((uint64_t(1) << shift) - 1);
  uint64_t half = uint64_t(1) << (shift - 1);
  kept += rest > half || (rest == half && (kept & 1));
  uint32_t base = exponent < minimum ? 0 : uint32_t(exponent - minimum) << FractionBits;
  uint32_t code = base + static_cast<uint32_t>(kept);
  return sign | static_cast<uint16_t>(code >= infinity ? infinity : code);
}

inline uint16_t roundToHalf(double x) { return roundTo16<5, 10>(x); }
inline uint16_t roundToBfloat(double x) { return roundTo16<8, 7>(x); }

inline float halfToFloat(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16, rest = h & 0x7fff;
  if (rest >= 0x7c00)
    return std::bit_cast<float>(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  // 2^112 rescales the exponent and makes subnormals normal; both are exact.
  float magnitude = std::bit_cast<float>(rest << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}
inline float bfloatToFloat(uint16_t b) { return std::bit_cast<float>(uint32_t(b) << 16); }

inline uint16_t floatToHalf(float x) { return roundToHalf(x); }
inline uint16_t floatToBfloat(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return static_cast<uint16_t>(x != x ? canonicalNan16 : rounded);
}
/// Towards zero.
inline uint16_t floatToBfloatZero(float x) {
  return static_cast<uint16_t>(x != x ? canonicalNan16 : std::bit_cast<uint32_t>(x) >> 16);
}
inline uint16_t floatToHalfZero(float x) {
  if (x != x)
    return canonicalNan16;
  uint16_t nearest = floatToHalf(x);
  float back = halfToFloat(nearest);
  if (std::abs(back) > std::abs(x))
    --nearest; // one code towards zero; infinity becomes the largest finite value
  if ((nearest & 0x7fff) == 0x7c00 && std::abs(x) <= std::numeric_limits<float>::max())
    --nearest;
  return nearest;
}

/// The two 16-bit formats of the arithmetic and matrix instructions.
struct Half {
  static float decode(uint16_t code) { return halfToFloat(code); }
  static uint16_t encode(double x) { return roundToHalf(x); }
  static uint16_t encode(float x) { return floatToHalf(x); }
};
struct Bfloat {
  static float decode(uint16_t code) { return bfloatToFloat(code); }
  static uint16_t encode(double x) { return roundToBfloat(x); }
  static uint16_t encode(float x) { return floatToBfloat(x); }
};

/// minimum and maximum of IEEE 754-2019 minimumNumber: NaN loses, -0 < +0.
template <class T> inline T smaller(T a, T b) {
  if (a != a)
    return canonical(b);
  if (b != b)
    return a;
  if (a == b)
    return std::signbit(a) ? a : b;
  return a < b ? a : b;
}
template <class T> inline T larger(T a, T b) {
  if (a != a)
    return canonical(b);
  if (b != b)
    return a;
  if (a == b)
    return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

} // namespace attncc::simulator
