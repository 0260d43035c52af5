//===- TensorCore.cpp -----------------------------------------------------===//
//
// See TensorCore.h. Two evaluations of the truncating model:
//
// - fast: eight columns at a time in f32 and 32-bit integers. A product of two 16-bit codes
//   is exact in f32 while E is between -90 and 120; scaled by 2^(F-E) it is below 2^27, and
//   a conversion to an integer truncates it. The integers are added exactly.
// - any: one result with 64-bit integers, for exponents outside that window and for
//   infinities and NaN.
//
// Pinned by test/simulator/TensorCoreTest.cpp and GoldenTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/TensorCore.h"

#include "runtime/simulator/Numbers.h"

#include <algorithm>
#include <cstring>

namespace attncc::simulator {

namespace {

constexpr int zeroExponent = -512; // below every other, so that the term does not count
constexpr int leastExponent = -133;
constexpr int columns = 8;
constexpr int leastFast = -90, greatestFast = 120;

struct Format {
  int exponentBits, fractionBits;
  int bias() const { return (1 << (exponentBits - 1)) - 1; }
};
Format formatOf(MatrixType type) { return type == MatrixType::F16 ? Format{5, 10} : Format{8, 7}; }

float decode(uint16_t code, MatrixType type) {
  return type == MatrixType::F16 ? halfToFloat(code) : bfloatToFloat(code);
}

/// Exponent of the leading bit, the format's least for subnormals, or that of zero.
int exponentOf(uint16_t code, Format format) {
  if ((code & 0x7fff) == 0)
    return zeroExponent;
  int field = (code & 0x7fff) >> format.fractionBits;
  return std::max(field, 1) - format.bias();
}
int exponentOf(float x) {
  int field = static_cast<int>(std::bit_cast<uint32_t>(x) >> 23 & 0xff);
  return std::max(field, 1) - 127;
}

/// Towards zero, to 24 bits; overflow keeps the sign.
float truncateToFloat(double x) {
  if (std::abs(x) >= 0x1p128)
    return std::copysign(std::numeric_limits<float>::infinity(), static_cast<float>(x));
  float nearest = static_cast<float>(x);
  if (std::abs(double(nearest)) > std::abs(x))
    nearest = std::bit_cast<float>(std::bit_cast<uint32_t>(nearest) - 1);
  return nearest;
}

/// One result of one chunk, for all exponents and values.
float chunkOfAny(const float *a, const int *aExponent, const float *b, const int *bExponent,
                 unsigned count, float c, int fraction) {
  double special = c;
  bool finite = std::isfinite(c);
  int largest = c == 0 ? leastExponent : std::max(leastExponent, exponentOf(c));
  for (unsigned i = 0; i < count; ++i) {
    double p = double(a[i]) * double(b[i]);
    special += p;
    finite &= std::isfinite(p);
    largest = std::max(largest, aExponent[i] + bExponent[i]);
  }
  if (!finite) {
    // Infinities and NaN as exact arithmetic has them; finite sums cannot overflow a double.
    return canonical(static_cast<float>(special));
  }
  auto cut = [&](double x) {
    return static_cast<int64_t>(std::ldexp(x, fraction - largest)); // towards zero
  };
  int64_t sum = cut(c);
  for (unsigned i = 0; i < count; ++i)
    sum += cut(double(a[i]) * double(b[i]));
  // The sum has at most 33 bits, so the double is exact unless it is a subnormal f32's tail.
  float result = truncateToFloat(std::ldexp(static_cast<double>(sum), largest - fraction));
  return result == 0 ? 0 : result; // never -0
}

/// Eight columns of the right operand.
struct RightOperand {
  alignas(64) float value[16][columns];
  alignas(64) int exponent[16][columns];
  bool finite;
};

/// Exponent bits of infinities and NaN.
uint16_t specialBits(Format format) {
  return static_cast<uint16_t>(((1 << format.exponentBits) - 1) << format.fractionBits);
}

void decodeRight(const uint16_t (*b)[columns], unsigned k, MatrixType type, RightOperand &out) {
  const Format format = formatOf(type);
  const uint16_t special = specialBits(format);
  bool finite = true;
  for (unsigned i = 0; i < k; ++i)
    for (unsigned column = 0; column < columns; ++column) {
      uint16_t code = b[i][column];
      out.value[i][column] = decode(code, type);
      out.exponent[i][column] = exponentOf(code, format);
      finite &= (code & special) != special;
    }
  out.finite = finite;
}

// Eight columns. GCC and Clang lower these to whatever vectors the target has.
typedef float Floats __attribute__((vector_size(32)));
typedef int Ints __attribute__((vector_size(32)));
typedef double Doubles __attribute__((vector_size(64)));
typedef int64_t Longs __attribute__((vector_size(64)));

template <class V, class T> void load(V &to, const T *from) { std::memcpy(&to, from, sizeof to); }

inline bool any(const Ints &mask) {
  int bits = 0;
  for (int n = 0; n < columns; ++n)
    bits |= mask[n];
  return bits != 0;
}

/// One chunk of one row; `accumulator` is both addend and result. Returns false, leaving it
/// alone, if some column is outside the fast window.
template <int Count, int Fraction>
inline bool chunkOfRow(const float *a, const int *aExponent, const float (*b)[columns],
                       const int (*bExponent)[columns], float *accumulator) {
  Ints addendBits;
  load(addendBits, accumulator);
  Ints field = (addendBits >> 23) & 0xff;
  Ints largest = (field > 1 ? field : field - field + 1) - 127;
  for (int i = 0; i < Count; ++i) {
    Ints exponent;
    load(exponent, bExponent[i]);
    exponent += aExponent[i];
    largest = exponent > largest ? exponent : largest;
  }
  Ints low = largest<leastFast, high = largest> greatestFast;
  if (any(low | high)) {
    // Below the window all is well if every term is zero: a row or column of padding.
    Ints terms = addendBits & 0x7fffffff;
    for (int i = 0; i < Count; ++i) {
      Ints bits;
      load(bits, b[i]);
      terms |= a[i] != 0 ? bits & 0x7fffffff : bits - bits;
    }
    if (any(high | (low & (terms != 0))))
      return false;
    largest = low ? largest - largest + leastFast : largest;
  }
  const Ints scaleBits = (Fraction + 127 - largest) << 23;
  Floats scale, addend;
  load(scale, &scaleBits);
  load(addend, accumulator);
  // Sixteen terms below 2^27 may pass 2^31: two sums of eight, joined in double.
  Ints sums[2] = {__builtin_convertvector(addend * scale, Ints), Ints{}};
  for (int i = 0; i < Count; ++i) {
    Floats column;
    load(column, b[i]);
    sums[i / 8] += __builtin_convertvector((column * a[i]) * scale, Ints);
  }
  Doubles sum = __builtin_convertvector(sums[0], Doubles);
  if (Count > 8)
    sum += __builtin_convertvector(sums[1], Doubles);
  Longs bits;
  load(bits, &sum);
  bits &= ~((int64_t(1) << 29) - 1);
  Longs unscaleBits = (__builtin_convertvector(largest, Longs) + (1023 - Fraction)) << 52;
  Doubles cut, unscale;
  load(cut, &bits);
  load(unscale, &unscaleBits);
  Floats result = __builtin_convertvector(cut * unscale, Floats);
  std::memcpy(accumulator, &result, sizeof result);
  return true;
}

template <int Chunk, int Fraction>
void multiplyTruncating(const LeftOperand &a, const uint16_t (*codes)[columns],
                        float (*d)[columns]) {
  RightOperand b;
  decodeRight(codes, a.k, a.type, b);
  for (unsigned row = 0; row < a.rows; ++row) {
    float *accumulator = d[row];
    for (unsigned from = 0; from < a.k; from += Chunk) {
      const float *value = a.value[row] + from;
      const int *exponent = a.exponent[row] + from;
      // An addend that is not finite has the greatest exponent, outside the fast window.
      bool done = false;
      if (a.finite && b.finite) {
        if (Chunk == 16 && a.k == 16)
          done = chunkOfRow<16, Fraction>(value, exponent, b.value, b.exponent, accumulator);
        else
          done = chunkOfRow<8, Fraction>(value, exponent, b.value + from, b.exponent + from,
                                         accumulator);
      }
      if (done)
        continue;
      unsigned count = std::min<unsigned>(Chunk, a.k - from);
      for (unsigned n = 0; n < columns; ++n) {
        float column[16];
        int columnExponent[16];
        for (unsigned i = 0; i < count; ++i) {
          column[i] = b.value[from + i][n];
          columnExponent[i] = b.exponent[from + i][n];
        }
        accumulator[n] =
            chunkOfAny(value, exponent, column, columnExponent, count, accumulator[n], Fraction);
      }
    }
  }
}

void multiplyHere(const LeftOperand &a, const uint16_t (*b)[columns], float (*d)[columns],
                  TensorCore arithmetic) {
  if (arithmetic == TensorCore::Sm80)
    multiplyTruncating<8, 24>(a, b, d);
  else
    multiplyTruncating<16, 25>(a, b, d);
}

#if defined(__x86_64__)
/// The same code for processors whose vectors hold eight columns.
__attribute__((target("avx2"), flatten)) void multiplyWide(const LeftOperand &a,
                                                           const uint16_t (*b)[columns],
                                                           float (*d)[columns],
                                                           TensorCore arithmetic) {
  multiplyHere(a, b, d, arithmetic);
}
const bool hasWide = __builtin_cpu_supports("avx2");
#else
void multiplyWide(const LeftOperand &, const uint16_t (*)[columns], float (*)[columns],
                  TensorCore) {}
const bool hasWide = false;
#endif

} // namespace

void decode(const uint16_t (*a)[16], unsigned rows, unsigned k, MatrixType type, LeftOperand &out) {
  const Format format = formatOf(type);
  const uint16_t special = specialBits(format);
  out.type = type;
  out.rows = rows;
  out.k = k;
  bool finite = true;
  for (unsigned row = 0; row < rows; ++row)
    for (unsigned i = 0; i < k; ++i) {
      uint16_t code = a[row][i];
      out.value[row][i] = decode(code, type);
      out.exponent[row][i] = exponentOf(code, format);
      finite &= (code & special) != special;
    }
  out.finite = finite;
}

void multiply(const LeftOperand &a, const uint16_t (*b)[columns], float (*d)[columns],
              TensorCore arithmetic) {
  switch (arithmetic) {
  case TensorCore::Sm80:
  case TensorCore::Sm90:
    return (hasWide ? multiplyWide : multiplyHere)(a, b, d, arithmetic);
  case TensorCore::Exact:
    for (unsigned row = 0; row < a.rows; ++row)
      for (unsigned n = 0; n < columns; ++n) {
        double sum = d[row][n];
        for (unsigned i = 0; i < a.k; ++i)
          sum += double(a.value[row][i]) * double(decode(b[i][n], a.type));
        d[row][n] = canonical(static_cast<float>(sum));
      }
    return;
  case TensorCore::IeeeSequential:
    for (unsigned row = 0; row < a.rows; ++row)
      for (unsigned n = 0; n < columns; ++n) {
        float sum = d[row][n];
        for (unsigned i = 0; i < a.k; ++i)
          sum = canonical(fusedMultiplyAdd(a.value[row][i], decode(b[i][n], a.type), sum));
        d[row][n] = sum;
      }
    return;
  }
}

void multiply(MatrixProduct &product, unsigned k, MatrixType type, TensorCore arithmetic) {
  LeftOperand a;
  decode(product.a, 16, k, type, a);
  std::memcpy(product.d, product.c, sizeof product.d);
  multiply(a, product.b, product.d, arithmetic);
}

} // namespace attncc::simulator
