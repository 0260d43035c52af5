//===- Comparisons.cpp - setp, set, slct ----------------------------------===//
//
// PTX ISA §9.7.5, §9.7.6. Ordered comparisons of floats are false with a NaN, the forms
// that end in u are true; num and nan ask for NaN themselves.
// Pinned by test/simulator/ScalarTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"
#include "runtime/simulator/Numbers.h"

namespace attncc::simulator {

namespace {

enum class Compare { Eq, Ne, Lt, Le, Gt, Ge, Equ, Neu, Ltu, Leu, Gtu, Geu, Num, Nan };

template <class T, Compare C> bool compare(T a, T b) {
  bool unordered = a != a || b != b;
  switch (C) {
  case Compare::Eq:
    return a == b;
  case Compare::Ne:
    return a != b && !unordered;
  case Compare::Lt:
    return a < b;
  case Compare::Le:
    return a <= b;
  case Compare::Gt:
    return a > b;
  case Compare::Ge:
    return a >= b;
  case Compare::Equ:
    return a == b || unordered;
  case Compare::Neu:
    return a != b || unordered;
  case Compare::Ltu:
    return a < b || unordered;
  case Compare::Leu:
    return a <= b || unordered;
  case Compare::Gtu:
    return a > b || unordered;
  case Compare::Geu:
    return a >= b || unordered;
  case Compare::Num:
    return !unordered;
  case Compare::Nan:
    return unordered;
  }
  return false;
}

template <Compare C> bool compareFlushed(float a, float b) {
  return compare<float, C>(flush(a), flush(b));
}
template <Compare C> bool compareHalf(uint16_t a, uint16_t b) {
  return compare<float, C>(halfToFloat(a), halfToFloat(b));
}
template <Compare C> bool compareBfloat(uint16_t a, uint16_t b) {
  return compare<float, C>(bfloatToFloat(a), bfloatToFloat(b));
}

// Slots: 0 and 1 destinations, 2 and 3 compared, 4 predicate to combine with.
namespace CompareFlags {
enum : uint8_t { conjunction = 1, disjunction = 2, exclusive = 3, combines = 3, negated = 4 };
}

uint32_t combine(Warp &warp, const Op &op, uint32_t bits) {
  if (!(op.flags & CompareFlags::combines))
    return bits;
  uint32_t other = warp.predicate(op.slot[4]) ^ (op.flags & CompareFlags::negated ? allLanes : 0);
  switch (op.flags & CompareFlags::combines) {
  case CompareFlags::conjunction:
    return bits & other;
  case CompareFlags::disjunction:
    return bits | other;
  default:
    return bits ^ other;
  }
}

template <auto Function> void setPredicates(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t bits = compareLanes<Function>(warp, op, 2);
  uint32_t first = combine(warp, op, bits), second = combine(warp, op, ~bits);
  uint32_t &p = warp.predicate(op.slot[0]);
  p = (p & ~mask) | (first & mask);
  if (op.immediate) { // p|q
    uint32_t &q = warp.predicate(op.slot[1]);
    q = (q & ~mask) | (second & mask);
  }
}

/// set: all ones or 1.0f into a register.
template <auto Function> void setRegister(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t bits = combine(warp, op, compareLanes<Function>(warp, op, 2));
  uint32_t *to = warp.values<uint32_t>(op.slot[0]);
  forEachLane(mask, [&](int lane) {
    to[lane] = bits >> lane & 1 ? static_cast<uint32_t>(op.immediate) : 0;
  });
}

struct Handlers {
  Handler predicates, registers;
};
template <auto Function>
constexpr Handlers handlersOf = {&setPredicates<Function>, &setRegister<Function>};

template <class T> Handlers integerHandlers(int which) {
  static constexpr Handlers handlers[] = {
      handlersOf<&compare<T, Compare::Eq>>, handlersOf<&compare<T, Compare::Ne>>,
      handlersOf<&compare<T, Compare::Lt>>, handlersOf<&compare<T, Compare::Le>>,
      handlersOf<&compare<T, Compare::Gt>>, handlersOf<&compare<T, Compare::Ge>>};
  return handlers[which];
}

/// A class template whose `of<C>` is the comparison for C.
template <class T> struct Plain {
  template <Compare C> static constexpr Handlers of = handlersOf<&compare<T, C>>;
};
struct Flushed {
  template <Compare C> static constexpr Handlers of = handlersOf<&compareFlushed<C>>;
};
struct HalfForm {
  template <Compare C> static constexpr Handlers of = handlersOf<&compareHalf<C>>;
};
struct BfloatForm {
  template <Compare C> static constexpr Handlers of = handlersOf<&compareBfloat<C>>;
};

template <class Form> Handlers floatHandlers(int which) {
  static constexpr Handlers handlers[] = {
      Form::template of<Compare::Eq>,  Form::template of<Compare::Ne>,
      Form::template of<Compare::Lt>,  Form::template of<Compare::Le>,
      Form::template of<Compare::Gt>,  Form::template of<Compare::Ge>,
      Form::template of<Compare::Equ>, Form::template of<Compare::Neu>,
      Form::template of<Compare::Ltu>, Form::template of<Compare::Leu>,
      Form::template of<Compare::Gtu>, Form::template of<Compare::Geu>,
      Form::template of<Compare::Num>, Form::template of<Compare::Nan>};
  return handlers[which];
}

Handlers decodeComparison(Decoder &d, Type type) {
  int which = d.oneOf({"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu",
                       "num", "nan", "lo", "ls", "hi", "hs"});
  if (which < 0)
    d.unknown();
  switch (type) {
  case Type::F32:
    return d.has("ftz") && which < 14 ? floatHandlers<Flushed>(which)
           : which < 14               ? floatHandlers<Plain<float>>(which)
                                      : (d.unknown(), Handlers{});
  case Type::F64:
    if (which < 14)
      return floatHandlers<Plain<double>>(which);
    d.unknown();
  case Type::F16:
    if (which < 14)
      return floatHandlers<HalfForm>(which);
    d.unknown();
  case Type::BF16:
    if (which < 14)
      return floatHandlers<BfloatForm>(which);
    d.unknown();
  default:
    break;
  }
  if (which >= 6 && which < 14)
    d.unknown();
  bool unsignedForm = which >= 14;
  if (unsignedForm)
    which = which - 14 + 2;
  if (!isInteger(type) || (isSigned(type) && unsignedForm))
    d.unknown();
  switch (type) {
  case Type::U16:
  case Type::B16:
    return integerHandlers<uint16_t>(which);
  case Type::S16:
    return integerHandlers<int16_t>(which);
  case Type::U32:
  case Type::B32:
    return integerHandlers<uint32_t>(which);
  case Type::S32:
    return integerHandlers<int32_t>(which);
  case Type::U64:
  case Type::B64:
    return integerHandlers<uint64_t>(which);
  case Type::S64:
    return integerHandlers<int64_t>(which);
  default:
    d.unknown();
  }
}

void decodeSources(Decoder &d, Type type) {
  int combines = d.oneOf({"and", "or", "xor"});
  d.expectOperands(combines < 0 ? 3 : 4);
  unsigned bytes = bytesOf(type);
  bool floating = type == Type::F32 || type == Type::F64;
  d.op().slot[2] = d.source(d.operand(1), bytes, floating);
  d.op().slot[3] = d.source(d.operand(2), bytes, floating);
  if (combines >= 0) {
    bool negated;
    d.op().slot[4] = d.sourcePredicate(d.operand(3), negated);
    d.op().flags = static_cast<uint8_t>((combines + 1) | (negated ? CompareFlags::negated : 0));
  }
}

void decodeSetp(Decoder &d) {
  Type type = d.type();
  decodeSources(d, type);
  d.op().run = decodeComparison(d, type).predicates;
  syntax::Operand first = d.operand(0);
  if (std::optional<syntax::Operand> second = Decoder::takeSecond(first)) {
    d.op().slot[1] = d.destinationPredicate(*second);
    d.op().immediate = 1;
  }
  d.op().slot[0] = d.destinationPredicate(first);
}

void decodeSet(Decoder &d) {
  Type to = d.type(), type = d.type();
  decodeSources(d, type);
  if (bytesOf(to) != 4)
    d.unknown();
  d.op().immediate = to == Type::F32 ? std::bit_cast<uint32_t>(1.0f) : ~uint32_t(0);
  d.op().run = decodeComparison(d, type).registers;
  d.op().slot[0] = d.destination(d.operand(0), 4);
}

template <class T, class C> T selectBySign(T a, T b, C c) { return c >= 0 ? a : b; }
template <class T> T selectBySignFlushed(T a, T b, float c) { return flush(c) >= 0 ? a : b; }

void decodeSlct(Decoder &d) {
  Type type = d.type(), condition = d.type();
  unsigned bytes = bytesOf(type);
  if (condition == Type::S32 && bytes == 4)
    return d.elementwise<&selectBySign<uint32_t, int32_t>>();
  if (condition == Type::S32 && bytes == 8)
    return d.elementwise<&selectBySign<uint64_t, int32_t>>();
  if (condition == Type::F32 && bytes == 4)
    return d.has("ftz") ? d.elementwise<&selectBySignFlushed<uint32_t>>()
                        : d.elementwise<&selectBySign<uint32_t, float>>();
  d.unknown();
}

} // namespace

void addComparisons(DecodeTable &table) {
  table["setp"] = &decodeSetp;
  table["set"] = &decodeSet;
  table["slct"] = &decodeSlct;
}

} // namespace attncc::simulator
