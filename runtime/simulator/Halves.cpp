//===- Halves.cpp - f16 and bf16 arithmetic, one and two at a time --------===//
//
// PTX ISA §9.7.4. Each operation is exact in double, or rounded there to odd, and rounded
// once to the format. Subnormals are kept; ex2.approx.ftz.bf16 flushes them.
// Pinned by test/simulator/ScalarTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"
#include "runtime/simulator/Numbers.h"

namespace attncc::simulator {

namespace {

template <class F> struct Arithmetic {
  static double decode(uint16_t code) { return F::decode(code); }
  static uint16_t add(uint16_t a, uint16_t b) { return F::encode(addToOdd(decode(a), decode(b))); }
  static uint16_t subtract(uint16_t a, uint16_t b) {
    return F::encode(addToOdd(decode(a), -decode(b)));
  }
  static uint16_t multiply(uint16_t a, uint16_t b) { return F::encode(decode(a) * decode(b)); }
  static uint16_t fused(uint16_t a, uint16_t b, uint16_t c) {
    return F::encode(addToOdd(decode(a) * decode(b), decode(c)));
  }
  static uint16_t fusedRelu(uint16_t a, uint16_t b, uint16_t c) {
    uint16_t result = fused(a, b, c);
    return (result & 0x7fff) > infinity ? canonicalNan16 : result & 0x8000 ? 0 : result;
  }
  static uint16_t negate(uint16_t a) { return isNan(a) ? canonicalNan16 : a ^ 0x8000; }
  static uint16_t absolute(uint16_t a) { return isNan(a) ? canonicalNan16 : a & 0x7fff; }
  template <bool Nan> static uint16_t minimum(uint16_t a, uint16_t b) {
    if (Nan && (isNan(a) || isNan(b)))
      return canonicalNan16;
    return F::encode(smaller(decode(a), decode(b)));
  }
  template <bool Nan> static uint16_t maximum(uint16_t a, uint16_t b) {
    if (Nan && (isNan(a) || isNan(b)))
      return canonicalNan16;
    return F::encode(larger(decode(a), decode(b)));
  }
  static uint16_t powerOfTwo(uint16_t a) { return F::encode(std::exp2(decode(a))); }
  static uint16_t powerOfTwoFtz(uint16_t a) {
    auto flush16 = [](uint16_t x) -> uint16_t { return x & infinity ? x : x & 0x8000; };
    return flush16(powerOfTwo(flush16(a)));
  }
  static uint16_t hyperbolicTangent(uint16_t a) { return F::encode(std::tanh(decode(a))); }

private:
  static constexpr uint16_t infinity = std::is_same_v<F, Half> ? 0x7c00 : 0x7f80;
  static bool isNan(uint16_t code) { return (code & 0x7fff) > infinity; }
};

/// The same function on both halves of a register.
template <auto Function, class F> struct Both;
template <auto Function, class... S> struct Both<Function, uint16_t (*)(S...)> {
  template <class> using Word = uint32_t;
  static uint32_t run(Word<S>... words) {
    return uint32_t(Function(uint16_t(words)...)) | uint32_t(Function(uint16_t(words >> 16)...))
                                                        << 16;
  }
};

template <auto Function> void choose(Decoder &d, bool packed) {
  if (packed)
    return d.elementwise<&Both<Function, decltype(Function)>::run>();
  return d.elementwise<Function>();
}

template <class F> void decode(Decoder &d, bool packed) {
  using A = Arithmetic<F>;
  const std::string &opcode = d.instruction().opcode;
  if (opcode == "add" || opcode == "sub" || opcode == "mul" || opcode == "fma")
    d.has("rn");
  if (opcode == "add")
    return choose<&A::add>(d, packed);
  if (opcode == "sub")
    return choose<&A::subtract>(d, packed);
  if (opcode == "mul")
    return choose<&A::multiply>(d, packed);
  if (opcode == "fma")
    return d.has("relu") ? choose<&A::fusedRelu>(d, packed) : choose<&A::fused>(d, packed);
  if (opcode == "neg")
    return choose<&A::negate>(d, packed);
  if (opcode == "abs")
    return choose<&A::absolute>(d, packed);
  if (opcode == "min")
    return d.has("NaN") ? choose<&A::template minimum<true>>(d, packed)
                        : choose<&A::template minimum<false>>(d, packed);
  if (opcode == "max")
    return d.has("NaN") ? choose<&A::template maximum<true>>(d, packed)
                        : choose<&A::template maximum<false>>(d, packed);
  if (opcode == "ex2")
    return d.has("ftz") ? choose<&A::powerOfTwoFtz>(d, packed) : choose<&A::powerOfTwo>(d, packed);
  if (opcode == "tanh")
    return choose<&A::hyperbolicTangent>(d, packed);
  d.unknown();
}

} // namespace

void decodeHalf(Decoder &d, Type type) {
  switch (type) {
  case Type::F16:
    return decode<Half>(d, false);
  case Type::F16x2:
    return decode<Half>(d, true);
  case Type::BF16:
    return decode<Bfloat>(d, false);
  case Type::BF16x2:
    return decode<Bfloat>(d, true);
  default:
    d.unknown();
  }
}

} // namespace attncc::simulator
