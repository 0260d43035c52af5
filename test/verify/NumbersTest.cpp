//===- NumbersTest.cpp - bf16 and f16, exhaustively -------------------------===//

#include "runtime/verify/Numbers.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace attncc::verify {
namespace {

class Numbers : public testing::TestWithParam<NumberType> {
protected:
  int fractionBits() const { return GetParam() == NumberType::BF16 ? 7 : 10; }
  int exponentBits() const { return GetParam() == NumberType::BF16 ? 8 : 5; }
  uint16_t infinity() const { return uint16_t(((1 << exponentBits()) - 1) << fractionBits()); }
  /// The value of a pattern, from the definition of the format.
  double valueOf(uint16_t bits) const {
    int fraction = bits & ((1 << fractionBits()) - 1);
    int exponent = (bits & 0x7fff) >> fractionBits();
    int bias = (1 << (exponentBits() - 1)) - 1;
    double magnitude =
        exponent ? std::ldexp(1.0 + std::ldexp(fraction, -fractionBits()), exponent - bias)
                 : std::ldexp(fraction, 1 - bias - fractionBits());
    return bits & 0x8000 ? -magnitude : magnitude;
  }
};

TEST_P(Numbers, everyPatternHasItsValueAndComesBack) {
  for (int pattern = 0; pattern < 65536; ++pattern) {
    uint16_t bits = uint16_t(pattern);
    float value = toFloat(GetParam(), bits);
    if ((bits & 0x7fff) > infinity()) {
      EXPECT_TRUE(std::isnan(value)) << pattern;
      EXPECT_EQ(fromFloat(GetParam(), value), kPoison);
      continue;
    }
    if ((bits & 0x7fff) == infinity())
      EXPECT_TRUE(std::isinf(value)) << pattern;
    else
      EXPECT_EQ(double(value), valueOf(bits)) << pattern;
    EXPECT_EQ(std::signbit(value), bool(bits & 0x8000)) << pattern;
    EXPECT_EQ(fromFloat(GetParam(), value), bits) << pattern;
  }
}

// Between two neighbours a and b: just below the middle gives a, just above b, and the middle
// itself the one whose last bit is zero.
TEST_P(Numbers, roundsToNearestAndTiesToEven) {
  for (int pattern = 0; pattern + 1 < infinity(); ++pattern) {
    float a = toFloat(GetParam(), uint16_t(pattern)),
          b = toFloat(GetParam(), uint16_t(pattern + 1));
    float middle = float((double(a) + double(b)) / 2);
    ASSERT_EQ(double(middle), (double(a) + double(b)) / 2);
    for (int sign : {0, 0x8000}) {
      float s = sign ? -1.0f : 1.0f;
      EXPECT_EQ(fromFloat(GetParam(), s * std::nextafter(middle, a)), pattern | sign);
      EXPECT_EQ(fromFloat(GetParam(), s * std::nextafter(middle, b)), (pattern + 1) | sign);
      EXPECT_EQ(fromFloat(GetParam(), s * middle), (pattern + (pattern & 1)) | sign);
    }
  }
}

TEST_P(Numbers, overflowsToInfinityAtHalfAnUlpBeyondTheLargest) {
  float largest = toFloat(GetParam(), infinity() - 1);
  double border = double(largest) + ulp(GetParam(), largest) / 2;
  EXPECT_EQ(fromFloat(GetParam(), std::nextafter(float(border), 0.0f)), infinity() - 1);
  EXPECT_EQ(fromFloat(GetParam(), float(border)), infinity());
  EXPECT_EQ(fromFloat(GetParam(), std::numeric_limits<float>::max()), infinity());
  EXPECT_EQ(fromFloat(GetParam(), -std::numeric_limits<float>::max()), infinity() | 0x8000);
}

TEST_P(Numbers, keepsTheSignOfWhatVanishes) {
  float least = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(fromFloat(GetParam(), least), 0);
  EXPECT_EQ(fromFloat(GetParam(), -least), 0x8000);
  EXPECT_EQ(fromFloat(GetParam(), -0.0f), 0x8000);
}

TEST_P(Numbers, poisonIsNotANumber) { EXPECT_TRUE(std::isnan(toFloat(GetParam(), kPoison))); }

TEST_P(Numbers, ulpIsTheDistanceOfNeighbours) {
  for (int pattern = 0; pattern + 1 < infinity(); ++pattern) {
    double a = toFloat(GetParam(), uint16_t(pattern));
    double b = toFloat(GetParam(), uint16_t(pattern + 1));
    EXPECT_EQ(ulp(GetParam(), a), b - a) << pattern;
    EXPECT_EQ(ulp(GetParam(), -(a + b) / 2), b - a) << pattern;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Numbers, testing::Values(NumberType::BF16, NumberType::F16),
                         [](const auto &info) { return std::string(name(info.param)); });

} // namespace
} // namespace attncc::verify
