//===- Conversions.cpp - cvt ----------------------------------------------===//
//
// PTX ISA §9.7.9.21. Integers saturate only with .sat; float to integer rounds as told,
// saturates always and turns NaN into 0. With two sources the first goes to the upper
// half. Registers may be wider than the types (Widths.h).
// Pinned by test/simulator/ScalarTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"
#include "runtime/simulator/Numbers.h"
#include "runtime/simulator/Widths.h"

#include <utility>

namespace attncc::simulator {

namespace {

/// Codes of a type, as the register holds them, and their values.
struct F16 : Half {
  using Code = uint16_t;
};
struct BF16 : Bfloat {
  using Code = uint16_t;
};
struct F32 {
  using Code = uint32_t;
  static float decode(uint32_t code) { return std::bit_cast<float>(code); }
};
struct F64 {
  using Code = uint64_t;
  static double decode(uint64_t code) { return std::bit_cast<double>(code); }
};

template <class D, auto Function, class S>
void convertLanes(Warp &warp, const Op &op, uint32_t mask) {
  alignas(64) S in[32];
  alignas(64) D out[32];
  readLanes<S>(warp, op.slot[1], op.width[1], in);
  for (int lane = 0; lane < 32; ++lane)
    out[lane] = Function(in[lane]);
  writeLanes<D>(warp, op.slot[0], op.width[0], out, mask);
}

template <class F> struct ConvertSignature;
template <class D, class S> struct ConvertSignature<D (*)(S)> {
  template <auto Function> static constexpr Handler handler = &convertLanes<D, Function, S>;
};

/// Registers at least as wide as the code types.
template <auto Function> void convert(Decoder &d) { // D Function(S)
  d.expectOperands(2);
  d.op().run = ConvertSignature<decltype(Function)>::template handler<Function>;
}

template <class To, class From> To wrap(From x) { return static_cast<To>(x); }
template <class To, class From> To clampInteger(From x) {
  using Limits = std::numeric_limits<To>;
  if (std::cmp_less(x, Limits::min()))
    return Limits::min();
  if (std::cmp_greater(x, Limits::max()))
    return Limits::max();
  return static_cast<To>(x);
}

enum class Step { Nearest, Zero, Down, Up };
double toInteger(double x, Step step) {
  switch (step) {
  case Step::Nearest:
    return std::nearbyint(x);
  case Step::Zero:
    return std::trunc(x);
  case Step::Down:
    return std::floor(x);
  case Step::Up:
    return std::ceil(x);
  }
  return x;
}

template <class To, class From, Step S, bool Ftz> To floatToInteger(typename From::Code code) {
  double x = From::decode(code);
  if (Ftz)
    x = flush(static_cast<float>(x));
  if (x != x)
    return sizeof(To) == 8 && std::is_same_v<From, F64> ? To(uint64_t(1) << 63) : To(0);
  x = toInteger(x, S);
  // The limits of 64-bit types are not doubles: compare with the power of two above them.
  constexpr double above = 2.0 * (double(std::numeric_limits<To>::max() / 2 + 1));
  if (x >= above)
    return std::numeric_limits<To>::max();
  if (x < double(std::numeric_limits<To>::min()))
    return std::numeric_limits<To>::min();
  return static_cast<To>(x);
}

template <class To, class From> typename To::Code integerToFloat(From x) {
  if constexpr (std::is_same_v<To, F32>)
    return std::bit_cast<uint32_t>(static_cast<float>(x));
  else if constexpr (std::is_same_v<To, F64>)
    return std::bit_cast<uint64_t>(static_cast<double>(x));
  else
    // To odd where 64-bit integers do not fit a double, so that one rounding remains.
    return To::encode(addToOdd(double(int64_t(x >> 16 >> 16)) * 0x1p32, double(uint32_t(x))));
}

template <class From> void decodeFromInteger(Decoder &d, Type to) {
  bool sat = d.has("sat");
  switch (to) {
#define ATTNCC_TO(type, cpp)                                                                       \
  case Type::type:                                                                                 \
    return sat ? convert<&clampInteger<cpp, From>>(d) : convert<&wrap<cpp, From>>(d);
    ATTNCC_TO(U8, uint8_t)
    ATTNCC_TO(S8, int8_t)
    ATTNCC_TO(U16, uint16_t)
    ATTNCC_TO(S16, int16_t)
    ATTNCC_TO(U32, uint32_t)
    ATTNCC_TO(S32, int32_t)
    ATTNCC_TO(U64, uint64_t)
    ATTNCC_TO(S64, int64_t)
#undef ATTNCC_TO
  default:
    break;
  }
  d.require("rn");
  if (sat)
    d.unknown();
  switch (to) {
  case Type::F32:
    return convert<&integerToFloat<F32, From>>(d);
  case Type::F64:
    return convert<&integerToFloat<F64, From>>(d);
  case Type::F16:
    return convert<&integerToFloat<F16, From>>(d);
  case Type::BF16:
    return convert<&integerToFloat<BF16, From>>(d);
  default:
    d.unknown();
  }
}

template <class To, class From> void decodeToInteger(Decoder &d, Step step, bool ftz) {
  if (ftz && !std::is_same_v<From, F32>)
    d.unknown();
  constexpr bool canFlush = std::is_same_v<From, F32>;
  switch (step) {
#define ATTNCC_STEP(name)                                                                          \
  case Step::name:                                                                                 \
    return ftz ? convert<&floatToInteger<To, From, Step::name, canFlush>>(d)                       \
               : convert<&floatToInteger<To, From, Step::name, false>>(d);
    ATTNCC_STEP(Nearest)
    ATTNCC_STEP(Zero)
    ATTNCC_STEP(Down)
    ATTNCC_STEP(Up)
#undef ATTNCC_STEP
  }
}

template <class From> void decodeToInteger(Decoder &d, Type to) {
  int step = d.oneOf({"rni", "rzi", "rmi", "rpi"});
  if (step < 0)
    d.unknown();
  bool ftz = d.has("ftz");
  d.has("sat"); // float to integer saturates with and without it
  switch (to) {
#define ATTNCC_TO(type, cpp)                                                                       \
  case Type::type:                                                                                 \
    return decodeToInteger<cpp, From>(d, static_cast<Step>(step), ftz);
    ATTNCC_TO(U8, uint8_t)
    ATTNCC_TO(S8, int8_t)
    ATTNCC_TO(U16, uint16_t)
    ATTNCC_TO(S16, int16_t)
    ATTNCC_TO(U32, uint32_t)
    ATTNCC_TO(S32, int32_t)
    ATTNCC_TO(U64, uint64_t)
    ATTNCC_TO(S64, int64_t)
#undef ATTNCC_TO
  default:
    d.unknown();
  }
}

//===----------------------------------------------------------------------===//
// Float to float
//===----------------------------------------------------------------------===//

template <class From> uint32_t widen(typename From::Code code) {
  return std::bit_cast<uint32_t>(canonical(static_cast<float>(From::decode(code))));
}
uint64_t widenToDouble(uint32_t code) {
  return std::bit_cast<uint64_t>(canonical(double(F32::decode(code))));
}
uint64_t widenFlushed(uint32_t code) {
  return std::bit_cast<uint64_t>(canonical(double(flush(F32::decode(code)))));
}
template <bool Ftz> uint32_t narrow(uint64_t code) {
  return std::bit_cast<uint32_t>(canonical(maybeFlush<Ftz>(static_cast<float>(F64::decode(code)))));
}
template <class F> uint16_t narrowDouble(uint64_t code) { return F::encode(F64::decode(code)); }
template <class F> uint64_t widenHalf(uint16_t code) {
  return std::bit_cast<uint64_t>(canonical(double(F::decode(code))));
}
uint16_t toHalf(uint32_t code) { return floatToHalf(F32::decode(code)); }
uint16_t toHalfZero(uint32_t code) { return floatToHalfZero(F32::decode(code)); }
uint16_t toBfloat(uint32_t code) { return floatToBfloat(F32::decode(code)); }
uint16_t toBfloatZero(uint32_t code) { return floatToBfloatZero(F32::decode(code)); }

/// Negative values and -0 to +0, NaN canonical.
uint16_t relu(uint16_t code, uint16_t infinity) {
  if ((code & 0x7fff) > infinity)
    return canonicalNan16;
  return code & 0x8000 ? 0 : code;
}
uint16_t finite(uint16_t code, uint16_t infinity) {
  return (code & 0x7fff) == infinity ? code - 1 : code;
}
template <auto Function, uint16_t Infinity, bool Relu, bool Finite>
uint16_t narrowForm(uint32_t code) {
  uint16_t result = Function(code);
  if (Finite)
    result = finite(result, Infinity);
  return Relu ? relu(result, Infinity) : result;
}

template <bool Ftz, bool Sat> uint32_t sameFloat(uint32_t code) {
  float x = maybeFlush<Ftz>(F32::decode(code));
  if (Sat)
    x = x > 0 ? (x < 1 ? x : 1) : 0;
  return std::bit_cast<uint32_t>(canonical(x));
}
template <Step S, bool Ftz> uint32_t integralFloat(uint32_t code) {
  float x = maybeFlush<Ftz>(F32::decode(code));
  return std::bit_cast<uint32_t>(canonical(static_cast<float>(toInteger(x, S))));
}
template <Step S> uint64_t integralDouble(uint64_t code) {
  return std::bit_cast<uint64_t>(canonical(toInteger(F64::decode(code), S)));
}
template <class F, Step S> uint16_t integralHalf(uint16_t code) {
  return F::encode(toInteger(F::decode(code), S));
}

uint32_t toTf32(uint32_t code) {
  if ((code & 0x7f800000) == 0x7f800000)
    return code & ~uint32_t(0x1fff);          // infinity, or a NaN cut short
  return (code + 0x1000) & ~uint32_t(0x1fff); // nearest, ties away
}

template <auto Narrow> void narrowPair(Warp &warp, const Op &op, uint32_t mask) {
  const uint32_t *high = warp.values<uint32_t>(op.slot[1]);
  const uint32_t *low = warp.values<uint32_t>(op.slot[2]);
  alignas(64) uint32_t out[32];
  for (int lane = 0; lane < 32; ++lane)
    out[lane] = uint32_t(Narrow(high[lane])) << 16 | Narrow(low[lane]);
  keepActive(warp.values<uint32_t>(op.slot[0]), out, mask);
}

template <auto Function, uint16_t Infinity, bool Relu, bool Finite>
void decodeNarrow(Decoder &d, bool pair) {
  constexpr auto form = &narrowForm<Function, Infinity, Relu, Finite>;
  if (!pair)
    return convert<form>(d);
  d.expectOperands(3);
  d.op().run = &narrowPair<form>;
  d.op().slot[0] = d.destination(d.operand(0), 4);
  d.op().slot[1] = d.source(d.operand(1), 4, true);
  d.op().slot[2] = d.source(d.operand(2), 4, true);
}

template <auto Nearest, auto Zero, uint16_t Infinity> void decodeNarrow(Decoder &d, bool pair) {
  int rounding = d.oneOf({"rn", "rz"});
  if (rounding < 0)
    d.unknown();
  bool reluForm = d.has("relu"), finiteForm = d.has("satfinite");
  if (rounding == 0) {
    if (reluForm)
      return finiteForm ? decodeNarrow<Nearest, Infinity, true, true>(d, pair)
                        : decodeNarrow<Nearest, Infinity, true, false>(d, pair);
    return finiteForm ? decodeNarrow<Nearest, Infinity, false, true>(d, pair)
                      : decodeNarrow<Nearest, Infinity, false, false>(d, pair);
  }
  if (reluForm)
    return finiteForm ? decodeNarrow<Zero, Infinity, true, true>(d, pair)
                      : decodeNarrow<Zero, Infinity, true, false>(d, pair);
  return finiteForm ? decodeNarrow<Zero, Infinity, false, true>(d, pair)
                    : decodeNarrow<Zero, Infinity, false, false>(d, pair);
}

template <Step S> void decodeIntegral(Decoder &d, Type type) {
  switch (type) {
  case Type::F32:
    return d.has("ftz") ? convert<&integralFloat<S, true>>(d)
                        : convert<&integralFloat<S, false>>(d);
  case Type::F64:
    return convert<&integralDouble<S>>(d);
  case Type::F16:
    return convert<&integralHalf<Half, S>>(d);
  case Type::BF16:
    return convert<&integralHalf<Bfloat, S>>(d);
  default:
    d.unknown();
  }
}

void decodeSame(Decoder &d, Type type) {
  switch (d.oneOf({"rni", "rzi", "rmi", "rpi"})) {
  case 0:
    return decodeIntegral<Step::Nearest>(d, type);
  case 1:
    return decodeIntegral<Step::Zero>(d, type);
  case 2:
    return decodeIntegral<Step::Down>(d, type);
  case 3:
    return decodeIntegral<Step::Up>(d, type);
  }
  if (type != Type::F32)
    d.unknown();
  bool ftz = d.has("ftz"), sat = d.has("sat");
  if (ftz)
    return sat ? convert<&sameFloat<true, true>>(d) : convert<&sameFloat<true, false>>(d);
  return sat ? convert<&sameFloat<false, true>>(d) : convert<&sameFloat<false, false>>(d);
}

void decodeFloatToFloat(Decoder &d, Type to, Type from) {
  if (to == from)
    return decodeSame(d, to);
  if (from == Type::F32) {
    switch (to) {
    case Type::F64:
      return d.has("ftz") ? convert<&widenFlushed>(d) : convert<&widenToDouble>(d);
    case Type::F16:
    case Type::F16x2:
      return decodeNarrow<&toHalf, &toHalfZero, 0x7c00>(d, to == Type::F16x2);
    case Type::BF16:
    case Type::BF16x2:
      return decodeNarrow<&toBfloat, &toBfloatZero, 0x7f80>(d, to == Type::BF16x2);
    default:
      d.unknown();
    }
  }
  if (from == Type::F64 && (to == Type::F16 || to == Type::BF16)) {
    d.require("rn");
    return to == Type::F16 ? convert<&narrowDouble<Half>>(d) : convert<&narrowDouble<Bfloat>>(d);
  }
  if (to == Type::F64 && from == Type::F16)
    return convert<&widenHalf<Half>>(d);
  if (to == Type::F64 && from == Type::BF16)
    return convert<&widenHalf<Bfloat>>(d);
  if (to == Type::F32) {
    switch (from) {
    case Type::F64:
      d.require("rn");
      return d.has("ftz") ? convert<&narrow<true>>(d) : convert<&narrow<false>>(d);
    case Type::F16:
      d.has("ftz"); // every f16 is a normal f32
      return convert<&widen<F16>>(d);
    case Type::BF16:
      return convert<&widen<BF16>>(d);
    default:
      d.unknown();
    }
  }
  d.unknown();
}

bool isFloat(Type type) {
  return type == Type::F16 || type == Type::F16x2 || type == Type::BF16 || type == Type::BF16x2 ||
         type == Type::F32 || type == Type::F64;
}

/// A source or destination that may be wider than its type.
void decodeOperands(Decoder &d, Type to, Type from) {
  unsigned toBytes = bytesOf(to), fromBytes = bytesOf(from);
  const syntax::Operand &destination = d.operand(0), &source = d.operand(1);
  unsigned toWidth = d.registerBytes(destination);
  unsigned fromWidth = source.kind == syntax::Operand::Kind::Register ? d.registerBytes(source)
                                                                      : std::max(2u, fromBytes);
  if (toWidth < std::max(2u, toBytes) || toWidth > 8)
    d.fail("destination has " + std::to_string(8 * toWidth) + " bits, expected at least " +
           std::to_string(8 * toBytes));
  if (fromWidth < fromBytes || fromWidth > 8 || fromWidth == 0)
    d.fail("source has " + std::to_string(8 * fromWidth) + " bits, expected at least " +
           std::to_string(8 * fromBytes));
  d.op().slot[0] = d.destination(destination, toWidth);
  d.op().slot[1] = d.source(source, fromWidth, isFloat(from));
  d.op().width[0] = static_cast<uint8_t>(toWidth);
  d.op().width[1] = static_cast<uint8_t>(fromWidth);
}

void decodeCvt(Decoder &d) {
  Type to = d.type(), from = d.type();
  if (to == Type::F16x2 || to == Type::BF16x2)
    return decodeFloatToFloat(d, to, from);
  d.expectOperands(2);
  decodeOperands(d, to, from);
  if (to == Type::TF32) {
    d.require("rna");
    if (from != Type::F32)
      d.unknown();
    return convert<&toTf32>(d);
  }
  if (isFloat(from) && isFloat(to))
    return decodeFloatToFloat(d, to, from);
  switch (from) {
  case Type::F32:
    return decodeToInteger<F32>(d, to);
  case Type::F64:
    return decodeToInteger<F64>(d, to);
  case Type::F16:
    return decodeToInteger<F16>(d, to);
  case Type::BF16:
    return decodeToInteger<BF16>(d, to);
  case Type::U8:
    return decodeFromInteger<uint8_t>(d, to);
  case Type::S8:
    return decodeFromInteger<int8_t>(d, to);
  case Type::U16:
    return decodeFromInteger<uint16_t>(d, to);
  case Type::S16:
    return decodeFromInteger<int16_t>(d, to);
  case Type::U32:
    return decodeFromInteger<uint32_t>(d, to);
  case Type::S32:
    return decodeFromInteger<int32_t>(d, to);
  case Type::U64:
    return decodeFromInteger<uint64_t>(d, to);
  case Type::S64:
    return decodeFromInteger<int64_t>(d, to);
  default:
    d.unknown();
  }
}

} // namespace

void addConversions(DecodeTable &table) { table["cvt"] = &decodeCvt; }

} // namespace attncc::simulator
