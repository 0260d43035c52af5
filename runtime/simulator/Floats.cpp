//===- Floats.cpp - f32 and f64 arithmetic --------------------------------===//
//
// PTX ISA §9.7.3. The approximations (ex2, lg2, rcp, rsqrt, tanh) are modelled as correctly
// rounded results, computed in double; ptxas folds constants the same way, an H200 is within 2 ulp
// (tanh: 2^-11). sin and cos reduce the angle as the hardware does.
// add and mul without .rn are not contracted.
// Pinned by test/simulator/ScalarTest.cpp and GoldenTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"
#include "runtime/simulator/Numbers.h"

namespace attncc::simulator {

namespace {

enum class Rounding { Nearest, Zero, Down, Up };

/// Rounds a value that was rounded to odd, or is exact, to f32.
template <Rounding R> float roundToFloat(double x) {
  float nearest = static_cast<float>(x);
  if constexpr (R == Rounding::Nearest)
    return nearest;
  const float infinity = std::numeric_limits<float>::infinity();
  if (x != x || std::abs(x) > std::numeric_limits<double>::max())
    return nearest;
  if (R == Rounding::Zero && std::abs(double(nearest)) > std::abs(x))
    return std::nextafter(nearest, 0.0f);
  if (R == Rounding::Down && double(nearest) > x)
    return std::nextafter(nearest, -infinity);
  if (R == Rounding::Up && double(nearest) < x)
    return std::nextafter(nearest, infinity);
  return nearest;
}

template <bool Sat> float maybeSaturate(float x) {
  if constexpr (Sat)
    return x > 0 ? (x < 1 ? x : 1) : 0; // NaN gives 0
  return x;
}

/// What every f32 result passes through.
template <bool Ftz, bool Sat> float finish(float x) {
  return maybeSaturate<Sat>(canonical(maybeFlush<Ftz>(x)));
}

template <Rounding R, bool Ftz, bool Sat> struct Arithmetic {
  static float add(float a, float b) {
    a = maybeFlush<Ftz>(a), b = maybeFlush<Ftz>(b);
    if constexpr (R == Rounding::Nearest)
      return finish<Ftz, Sat>(a + b);
    return finish<Ftz, Sat>(roundToFloat<R>(addToOdd(a, b)));
  }
  static float subtract(float a, float b) {
    a = maybeFlush<Ftz>(a), b = maybeFlush<Ftz>(b);
    if constexpr (R == Rounding::Nearest)
      return finish<Ftz, Sat>(a - b);
    return finish<Ftz, Sat>(roundToFloat<R>(addToOdd(a, -double(b))));
  }
  static float multiply(float a, float b) {
    a = maybeFlush<Ftz>(a), b = maybeFlush<Ftz>(b);
    if constexpr (R == Rounding::Nearest)
      return finish<Ftz, Sat>(a * b);
    return finish<Ftz, Sat>(roundToFloat<R>(double(a) * double(b)));
  }
  static float fused(float a, float b, float c) {
    a = maybeFlush<Ftz>(a), b = maybeFlush<Ftz>(b), c = maybeFlush<Ftz>(c);
    if constexpr (R == Rounding::Nearest)
      return finish<Ftz, Sat>(fusedMultiplyAdd(a, b, c));
    return finish<Ftz, Sat>(roundToFloat<R>(addToOdd(double(a) * double(b), c)));
  }
};

double add64(double a, double b) { return canonical(a + b); }
double subtract64(double a, double b) { return canonical(a - b); }
double multiply64(double a, double b) { return canonical(a * b); }
double divide64(double a, double b) { return canonical(a / b); }
double fused64(double a, double b, double c) { return canonical(std::fma(a, b, c)); }
double root64(double a) { return canonical(std::sqrt(a)); }
double reciprocal64(double a) { return canonical(1 / a); }
double negate64(double a) { return -a; }
double absolute64(double a) { return std::abs(a); }
double smaller64(double a, double b) { return smaller(a, b); }
double larger64(double a, double b) { return larger(a, b); }

template <bool Ftz> float divide(float a, float b) {
  return finish<Ftz, false>(maybeFlush<Ftz>(a) / maybeFlush<Ftz>(b));
}
template <bool Ftz> float divideApproximate(float a, float b) {
  a = maybeFlush<Ftz>(a), b = maybeFlush<Ftz>(b);
  if (std::abs(b) > 0x1p126f && std::abs(b) <= std::numeric_limits<float>::max())
    b = std::copysign(std::numeric_limits<float>::infinity(), b);
  return finish<Ftz, false>(a / b);
}
template <bool Ftz> float reciprocal(float a) {
  return finish<Ftz, false>(1.0f / maybeFlush<Ftz>(a));
}
template <bool Ftz> float root(float a) {
  return finish<Ftz, false>(std::sqrt(maybeFlush<Ftz>(a)));
}
template <bool Ftz> float reciprocalRoot(float a) {
  return finish<Ftz, false>(float(1 / std::sqrt(double(maybeFlush<Ftz>(a)))));
}
template <bool Ftz> float powerOfTwo(float a) {
  return finish<Ftz, false>(float(std::exp2(double(maybeFlush<Ftz>(a)))));
}
template <bool Ftz> float logarithm(float a) {
  return finish<Ftz, false>(float(std::log2(double(maybeFlush<Ftz>(a)))));
}
/// The hardware first turns the angle into revolutions, in f32 towards zero; that is where
/// large angles lose their meaning. Within 3.4e-7 of an H200 for every angle.
double reducedAngle(float a) {
  float revolutions = roundToFloat<Rounding::Zero>(double(a) * double(0.15915494f));
  return 6.283185307179586 * (revolutions - std::floor(double(revolutions)));
}
template <bool Ftz> float sine(float a) {
  return finish<Ftz, false>(float(std::sin(reducedAngle(maybeFlush<Ftz>(a)))));
}
template <bool Ftz> float cosine(float a) {
  return finish<Ftz, false>(float(std::cos(reducedAngle(maybeFlush<Ftz>(a)))));
}
float hyperbolicTangent(float a) { return canonical(float(std::tanh(double(a)))); }

template <bool Ftz> float negate(float a) { return canonical(-maybeFlush<Ftz>(a)); }
template <bool Ftz> float absolute(float a) { return canonical(std::abs(maybeFlush<Ftz>(a))); }
template <bool Ftz, bool Nan> float minimum(float a, float b) {
  if (Nan && (a != a || b != b))
    return canonical(std::numeric_limits<float>::quiet_NaN());
  return smaller(maybeFlush<Ftz>(a), maybeFlush<Ftz>(b));
}
template <bool Ftz, bool Nan> float maximum(float a, float b) {
  if (Nan && (a != a || b != b))
    return canonical(std::numeric_limits<float>::quiet_NaN());
  return larger(maybeFlush<Ftz>(a), maybeFlush<Ftz>(b));
}
template <class T> T copySign(T a, T b) { return std::copysign(b, a); }

/// Of add, sub, mul and fma: the modifiers, then the instance they choose.
struct Form {
  Rounding rounding;
  bool ftz, sat;
};

Form decodeForm(Decoder &d) {
  static const Rounding roundings[] = {Rounding::Nearest, Rounding::Zero, Rounding::Down,
                                       Rounding::Up};
  int rounding = d.oneOf({"rn", "rz", "rm", "rp"});
  bool ftz = d.has("ftz");
  return {rounding < 0 ? Rounding::Nearest : roundings[rounding], ftz, d.has("sat")};
}

template <Rounding R, bool Ftz, bool Sat> void decodeArithmetic(Decoder &d) {
  using A = Arithmetic<R, Ftz, Sat>;
  const std::string &opcode = d.instruction().opcode;
  if (opcode == "add")
    return d.elementwise<&A::add>();
  if (opcode == "sub")
    return d.elementwise<&A::subtract>();
  if (opcode == "mul")
    return d.elementwise<&A::multiply>();
  return d.elementwise<&A::fused>();
}

template <Rounding R> void decodeArithmetic(Decoder &d, Form form) {
  if (form.ftz)
    return form.sat ? decodeArithmetic<R, true, true>(d) : decodeArithmetic<R, true, false>(d);
  return form.sat ? decodeArithmetic<R, false, true>(d) : decodeArithmetic<R, false, false>(d);
}

void decodeArithmetic(Decoder &d) {
  Form form = decodeForm(d);
  switch (form.rounding) {
  case Rounding::Nearest:
    return decodeArithmetic<Rounding::Nearest>(d, form);
  case Rounding::Zero:
    return decodeArithmetic<Rounding::Zero>(d, form);
  case Rounding::Down:
    return decodeArithmetic<Rounding::Down>(d, form);
  case Rounding::Up:
    return decodeArithmetic<Rounding::Up>(d, form);
  }
}

template <auto Plain, auto Ftz> void chooseFtz(Decoder &d) {
  return d.has("ftz") ? d.elementwise<Ftz>() : d.elementwise<Plain>();
}

void decodeDouble(Decoder &d) {
  const std::string &opcode = d.instruction().opcode;
  d.has("rn");
  if (opcode == "add")
    return d.elementwise<&add64>();
  if (opcode == "sub")
    return d.elementwise<&subtract64>();
  if (opcode == "mul")
    return d.elementwise<&multiply64>();
  if (opcode == "fma" || opcode == "mad")
    return d.elementwise<&fused64>();
  if (opcode == "div")
    return d.elementwise<&divide64>();
  if (opcode == "neg")
    return d.elementwise<&negate64>();
  if (opcode == "abs")
    return d.elementwise<&absolute64>();
  if (opcode == "min")
    return d.elementwise<&smaller64>();
  if (opcode == "max")
    return d.elementwise<&larger64>();
  d.unknown();
}

void decodeFma(Decoder &d) {
  Type type = d.type();
  if (type == Type::F32 || type == Type::F64)
    return decodeFloat(d, type);
  decodeHalf(d, type);
}

/// One source, f32: approximation or correctly rounded, which are the same here.
template <auto Plain, auto Ftz, auto Double> void decodeFunction(Decoder &d) {
  if (d.oneOf({"approx", "rn"}) < 0)
    d.unknown();
  Type type = d.type();
  if (type == Type::F64)
    return d.elementwise<Double>();
  if (type != Type::F32)
    d.unknown();
  chooseFtz<Plain, Ftz>(d);
}

void decodeRcp(Decoder &d) {
  decodeFunction<&reciprocal<false>, &reciprocal<true>, &reciprocal64>(d);
}
void decodeSqrt(Decoder &d) { decodeFunction<&root<false>, &root<true>, &root64>(d); }

template <auto Plain, auto Ftz> void decodeApproximation(Decoder &d) {
  d.require("approx");
  Type type = d.type();
  if (type != Type::F32)
    return decodeHalf(d, type);
  chooseFtz<Plain, Ftz>(d);
}
void decodeRsqrt(Decoder &d) {
  decodeApproximation<&reciprocalRoot<false>, &reciprocalRoot<true>>(d);
}
void decodeEx2(Decoder &d) { decodeApproximation<&powerOfTwo<false>, &powerOfTwo<true>>(d); }
void decodeLg2(Decoder &d) { decodeApproximation<&logarithm<false>, &logarithm<true>>(d); }
void decodeSin(Decoder &d) { decodeApproximation<&sine<false>, &sine<true>>(d); }
void decodeCos(Decoder &d) { decodeApproximation<&cosine<false>, &cosine<true>>(d); }

void decodeTanh(Decoder &d) {
  d.require("approx");
  Type type = d.type();
  if (type != Type::F32)
    return decodeHalf(d, type);
  d.elementwise<&hyperbolicTangent>();
}

void decodeCopysign(Decoder &d) {
  switch (d.type()) {
  case Type::F32:
    return d.elementwise<&copySign<float>>();
  case Type::F64:
    return d.elementwise<&copySign<double>>();
  default:
    d.unknown();
  }
}

template <class T> bool testProperty(T x, uint32_t property) {
  switch (property) {
  case 0:
    return std::isfinite(x);
  case 1:
    return std::isinf(x);
  case 2:
    return !std::isnan(x);
  case 3:
    return std::isnan(x);
  case 4:
    return std::isnormal(x);
  default:
    return std::fpclassify(x) == FP_SUBNORMAL;
  }
}

template <class T> void testLanes(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t bits = compareLanes<&testProperty<T>>(warp, op, 1);
  uint32_t &to = warp.predicate(op.slot[0]);
  to = (to & ~mask) | (bits & mask);
}

void decodeTestp(Decoder &d) {
  int property = d.oneOf({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  Type type = d.type();
  if (property < 0 || (type != Type::F32 && type != Type::F64))
    d.unknown();
  d.expectOperands(2);
  d.op().slot[0] = d.destinationPredicate(d.operand(0));
  d.op().slot[1] = d.source(d.operand(1), bytesOf(type), true);
  d.op().slot[2] = d.constant(uint32_t(property), 4);
  d.op().run = type == Type::F32 ? &testLanes<float> : &testLanes<double>;
}

} // namespace

void decodeFloat(Decoder &d, Type type) {
  if (type == Type::F64)
    return decodeDouble(d);
  const std::string &opcode = d.instruction().opcode;
  if (opcode == "add" || opcode == "sub" || opcode == "mul" || opcode == "fma")
    return decodeArithmetic(d);
  if (opcode == "neg")
    return chooseFtz<&negate<false>, &negate<true>>(d);
  if (opcode == "abs")
    return chooseFtz<&absolute<false>, &absolute<true>>(d);
  if (opcode == "min" || opcode == "max") {
    bool least = opcode == "min";
    if (d.has("NaN"))
      return least ? chooseFtz<&minimum<false, true>, &minimum<true, true>>(d)
                   : chooseFtz<&maximum<false, true>, &maximum<true, true>>(d);
    return least ? chooseFtz<&minimum<false, false>, &minimum<true, false>>(d)
                 : chooseFtz<&maximum<false, false>, &maximum<true, false>>(d);
  }
  if (opcode == "div") {
    switch (d.oneOf({"rn", "full", "approx"})) {
    case 0:
    case 1:
      return chooseFtz<&divide<false>, &divide<true>>(d);
    case 2:
      return chooseFtz<&divideApproximate<false>, &divideApproximate<true>>(d);
    }
  }
  d.unknown();
}

void addFloats(DecodeTable &table) {
  table["fma"] = &decodeFma;
  table["rcp"] = &decodeRcp;
  table["sqrt"] = &decodeSqrt;
  table["rsqrt"] = &decodeRsqrt;
  table["ex2"] = &decodeEx2;
  table["lg2"] = &decodeLg2;
  table["sin"] = &decodeSin;
  table["cos"] = &decodeCos;
  table["tanh"] = &decodeTanh;
  table["copysign"] = &decodeCopysign;
  table["testp"] = &decodeTestp;
}

} // namespace attncc::simulator
