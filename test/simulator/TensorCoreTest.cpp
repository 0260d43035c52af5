//===- TensorCoreTest.cpp - numerics of mma -------------------------------===//
//
// Tests runtime/simulator/TensorCore.cpp. The truncating model is evaluated here a second time,
// with 128-bit integers and no floating-point arithmetic, and compared bit for bit.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/TensorCore.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

namespace attncc::simulator {
namespace {

__extension__ typedef __int128 Wide;

/// sign * significand * 2^(exponent - fractionBits), exponent as the model counts it.
struct Term {
  Wide significand;
  int exponent, fractionBits;
};

Term termOf(uint16_t code, MatrixType type) {
  int fractionBits = type == MatrixType::F16 ? 10 : 7;
  int bias = type == MatrixType::F16 ? 15 : 127;
  int field = (code & 0x7fff) >> fractionBits;
  Wide significand = code & ((1 << fractionBits) - 1);
  if (field)
    significand += 1 << fractionBits;
  int exponent = (field ? field : 1) - bias;
  return {code >> 15 ? -significand : significand, exponent, fractionBits};
}
Term termOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  int field = bits >> 23 & 0xff;
  Wide significand = (bits & 0x7fffff) + (field ? 0x800000 : 0);
  return {bits >> 31 ? -significand : significand, (field ? field : 1) - 127, 23};
}

/// Towards zero to a multiple of 2^(largest - fraction), as that multiple.
Wide cut(const Term &term, int largest, int fraction) {
  int shift = term.exponent - term.fractionBits - (largest - fraction);
  bool negative = term.significand < 0;
  Wide magnitude = negative ? -term.significand : term.significand;
  if (shift >= 0)
    magnitude <<= shift;
  else
    magnitude = shift < -100 ? 0 : magnitude >> -shift;
  return negative ? -magnitude : magnitude;
}

float chunk(const std::vector<Term> &terms, int fraction) {
  int largest = -133;
  for (const Term &term : terms)
    largest = std::max(largest, term.exponent);
  Wide sum = 0;
  for (const Term &term : terms)
    sum += cut(term, largest, fraction);
  bool negative = sum < 0;
  Wide magnitude = negative ? -sum : sum;
  int exponent = largest - fraction; // of the least bit
  while (magnitude >= (Wide(1) << 24)) {
    magnitude >>= 1;
    ++exponent;
  }
  while (exponent < -149) { // subnormal f32
    magnitude >>= 1;
    ++exponent;
  }
  float result = std::ldexp(float(uint32_t(magnitude)), exponent);
  return negative && result != 0 ? -result : result;
}

float model(const MatrixProduct &p, unsigned m, unsigned n, unsigned k, MatrixType type,
            unsigned chunkLength, int fraction) {
  float accumulator = p.c[m][n];
  for (unsigned from = 0; from < k; from += chunkLength) {
    std::vector<Term> terms;
    if (accumulator != 0)
      terms.push_back(termOf(accumulator));
    for (unsigned i = from; i < std::min(k, from + chunkLength); ++i) {
      Term a = termOf(p.a[m][i], type), b = termOf(p.b[i][n], type);
      if (a.significand != 0 && b.significand != 0)
        terms.push_back({a.significand * b.significand, a.exponent + b.exponent,
                         a.fractionBits + b.fractionBits});
    }
    accumulator = chunk(terms, fraction);
  }
  return accumulator;
}

uint16_t half(double x) { // exact powers of two times small integers
  if (x == 0)
    return 0;
  int exponent;
  double fraction = std::frexp(std::abs(x), &exponent);
  return uint16_t((x < 0) << 15 | (exponent + 14) << 10 | int(fraction * 2048 - 1024));
}

struct Row {
  std::vector<std::pair<double, double>> products;
  float c;
};
float evaluate(const Row &row, TensorCore arithmetic) {
  MatrixProduct p;
  std::memset(&p, 0, sizeof p);
  for (size_t i = 0; i < row.products.size(); ++i) {
    p.a[3][i] = half(row.products[i].first);
    p.b[i][5] = half(row.products[i].second);
  }
  p.c[3][5] = row.c;
  multiply(p, 16, MatrixType::F16, arithmetic);
  return p.d[3][5];
}

// Cases whose results differ between the parts, and from f32 arithmetic in order.
TEST(TensorCore, KnownVectors) {
  std::vector<std::pair<double, double>> late(9, {0.5, 0.5});
  late[8] = {4096, 4096};
  const struct {
    Row row;
    float sm80, sm90, sequential;
  } cases[] = {
      {{{{1, 1}, {1, 1}}, 0x1p24f}, 16777218, 16777218, 16777216},
      {{{{0.5, 1}, {0.5, 1}, {0.5, 1}, {0.5, 1}}, 0x1p24f}, 16777216, 16777218, 16777216},
      {{late, 0}, 16777218, 16777216, 16777218},
      {{{{2048, 2048}, {-2048, 2048}, {0.125, 1}}, 0}, 0, 0.125, 0.125},
      {{{{4096, 4096}, {-4096, 4096}, {0.25, 1}}, 0}, 0, 0, 0.25},
  };
  for (const auto &c : cases) {
    EXPECT_EQ(evaluate(c.row, TensorCore::Sm80), c.sm80);
    EXPECT_EQ(evaluate(c.row, TensorCore::Sm90), c.sm90);
    EXPECT_EQ(evaluate(c.row, TensorCore::IeeeSequential), c.sequential);
  }
}

/// Codes of random values: exponents from `low` to `high`, zeros and subnormals among them.
uint16_t randomCode(std::mt19937 &random, MatrixType type, int low, int high) {
  int fractionBits = type == MatrixType::F16 ? 10 : 7, bias = type == MatrixType::F16 ? 15 : 127;
  uint32_t sign = random() & 0x8000;
  switch (random() % 16) {
  case 0:
    return uint16_t(sign);
  case 1:
    return uint16_t(sign | (random() & ((1u << fractionBits) - 1)));
  default: {
    int field = low + int(random() % unsigned(high - low + 1)) + bias;
    field = std::max(0, std::min(field, 2 * bias));
    return uint16_t(sign | uint32_t(field) << fractionBits |
                    (random() & ((1u << fractionBits) - 1)));
  }
  }
}

// Random matrices of every range of exponents, both types, both lengths, both parts.
TEST(TensorCore, AgreesWithIntegerModel) {
  const unsigned seed = 23;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const struct {
    int low, high, addend;
  } ranges[] = {{-2, 2, 0},       {-12, 3, 0},   {-14, 15, 5},   {-126, -40, -90}, {-60, -50, -100},
                {-70, -40, -149}, {30, 58, 110}, {-126, 50, 20}, {0, 60, -20}};
  for (const auto &range : ranges)
    for (MatrixType type : {MatrixType::F16, MatrixType::BF16})
      for (int repeat = 0; repeat < 6; ++repeat) {
        MatrixProduct p;
        std::memset(&p, 0, sizeof p);
        unsigned k = repeat % 2 ? 8 : 16;
        for (auto &row : p.a)
          for (auto &code : row)
            code = randomCode(random, type, range.low, range.high);
        for (auto &row : p.b)
          for (auto &code : row)
            code = randomCode(random, type, range.low, range.high);
        for (auto &row : p.c)
          for (float &x : row)
            x = random() % 8 ? std::ldexp(float(int32_t(random())), range.addend - 31) : 0.0f;
        for (TensorCore part : {TensorCore::Sm80, TensorCore::Sm90}) {
          multiply(p, k, type, part);
          for (unsigned m = 0; m < 16; ++m)
            for (unsigned n = 0; n < 8; ++n) {
              float expected = model(p, m, n, k, type, part == TensorCore::Sm80 ? 8 : 16,
                                     part == TensorCore::Sm80 ? 24 : 25);
              uint32_t got, bits;
              std::memcpy(&got, &p.d[m][n], 4);
              std::memcpy(&bits, &expected, 4);
              ASSERT_EQ(got, bits) << expected << " and " << p.d[m][n] << " for exponents "
                                   << range.low << " to " << range.high;
            }
        }
      }
}

// The greatest finite bf16 products, all of one sign: sums of more than 31 bits.
TEST(TensorCore, LargestSums) {
  MatrixProduct p;
  for (auto &row : p.a)
    std::fill(std::begin(row), std::end(row), uint16_t(0x3fff));
  for (auto &row : p.b)
    std::fill(std::begin(row), std::end(row), uint16_t(0x3fff));
  for (auto &row : p.c)
    std::fill(std::begin(row), std::end(row), 0x1.fffffep0f);
  for (TensorCore part : {TensorCore::Sm80, TensorCore::Sm90}) {
    multiply(p, 16, MatrixType::BF16, part);
    EXPECT_EQ(p.d[9][2], model(p, 9, 2, 16, MatrixType::BF16, part == TensorCore::Sm80 ? 8 : 16,
                               part == TensorCore::Sm80 ? 24 : 25));
  }
}

// Infinities and NaN are those of exact arithmetic, and stay in their row or column.
TEST(TensorCore, Specials) {
  for (TensorCore part :
       {TensorCore::Sm80, TensorCore::Sm90, TensorCore::Exact, TensorCore::IeeeSequential}) {
    MatrixProduct p;
    std::memset(&p, 0, sizeof p);
    for (auto &row : p.a)
      std::fill(std::begin(row), std::end(row), uint16_t(0x3f80));
    for (auto &row : p.b)
      std::fill(std::begin(row), std::end(row), uint16_t(0x3f80));
    p.a[1][2] = 0x7f80;
    p.a[2][2] = 0x7fc0;
    p.a[3][2] = 0x7f80, p.a[3][12] = 0xff80;
    p.b[5][4] = 0;
    p.a[4][5] = 0xff80;
    p.c[6][1] = -INFINITY;
    multiply(p, 16, MatrixType::BF16, part);
    EXPECT_EQ(p.d[0][0], 16);
    EXPECT_EQ(p.d[1][3], INFINITY);
    uint32_t bits;
    for (auto [m, n] : {std::pair{2, 0}, {3, 7}, {4, 4}}) {
      std::memcpy(&bits, &p.d[m][n], 4);
      EXPECT_EQ(bits, 0x7fffffffu) << m << " " << n;
    }
    EXPECT_EQ(p.d[4][3], -INFINITY);
    EXPECT_EQ(p.d[6][1], -INFINITY);
    EXPECT_EQ(p.d[6][2], 16);
  }
}

// Small integers are exact in every arithmetic, so all agree.
TEST(TensorCore, IntegersAreExact) {
  const unsigned seed = 5;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  MatrixProduct p;
  for (auto &row : p.a)
    for (auto &code : row)
      code = half(int(random() % 129) - 64);
  for (auto &row : p.b)
    for (auto &code : row)
      code = half(int(random() % 129) - 64);
  for (auto &row : p.c)
    for (float &x : row)
      x = float(int(random() % 2001) - 1000);
  float expected[16][8];
  multiply(p, 16, MatrixType::F16, TensorCore::Exact);
  std::memcpy(expected, p.d, sizeof expected);
  for (TensorCore part : {TensorCore::Sm80, TensorCore::Sm90, TensorCore::IeeeSequential}) {
    multiply(p, 16, MatrixType::F16, part);
    EXPECT_EQ(std::memcmp(expected, p.d, sizeof expected), 0);
  }
}

} // namespace
} // namespace attncc::simulator
