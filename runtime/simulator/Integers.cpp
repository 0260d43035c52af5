//===- Integers.cpp - integer arithmetic, logic and shifts ----------------===//
//
// PTX ISA §9.7.1, §9.7.2, §9.7.8. Division by zero is unspecified there; here quotient
// and remainder are all ones, as on an H200.
// Pinned by test/simulator/ScalarTest.cpp and GoldenTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"

#include <functional>
#include <limits>

namespace attncc::simulator {

namespace {

template <class T> using Unsigned = std::make_unsigned_t<T>;
template <class T> struct DoubleWidth;
template <> struct DoubleWidth<uint16_t> { using type = uint32_t; };
template <> struct DoubleWidth<int16_t> { using type = int32_t; };
template <> struct DoubleWidth<uint32_t> { using type = uint64_t; };
template <> struct DoubleWidth<int32_t> { using type = int64_t; };
__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 Uint128;
template <> struct DoubleWidth<uint64_t> { using type = Uint128; };
template <> struct DoubleWidth<int64_t> { using type = Int128; };
template <class T> using Wide = typename DoubleWidth<T>::type;

template <class T> T add(T a, T b) { return T(Unsigned<T>(a) + Unsigned<T>(b)); }
template <class T> T subtract(T a, T b) { return T(Unsigned<T>(a) - Unsigned<T>(b)); }
int32_t saturate(int64_t x) {
  return int32_t(std::min<int64_t>(std::max<int64_t>(x, std::numeric_limits<int32_t>::min()),
                                   std::numeric_limits<int32_t>::max()));
}
int32_t addSaturating(int32_t a, int32_t b) { return saturate(int64_t(a) + b); }
int32_t subtractSaturating(int32_t a, int32_t b) { return saturate(int64_t(a) - b); }
template <class T> T multiplyLow(T a, T b) { return T(uint64_t(a) * uint64_t(b)); }
template <class T> T multiplyHigh(T a, T b) {
  return T((Wide<T>(a) * Wide<T>(b)) >> (8 * sizeof(T)));
}
template <class T> Wide<T> multiplyWide(T a, T b) { return Wide<T>(a) * Wide<T>(b); }
template <class T> T multiplyAddLow(T a, T b, T c) { return add(multiplyLow(a, b), c); }
template <class T> T multiplyAddHigh(T a, T b, T c) { return add(multiplyHigh(a, b), c); }
template <class T> Wide<T> multiplyAddWide(T a, T b, Wide<T> c) {
  return add<Wide<T>>(multiplyWide(a, b), c);
}
template <class T> T divide(T a, T b) {
  if (b == 0)
    return T(~T(0));
  if (std::is_signed_v<T> && b == T(-1))
    return T(0 - Unsigned<T>(a));
  return T(a / b);
}
template <class T> T remainder(T a, T b) {
  if (b == 0)
    return T(~T(0));
  if (std::is_signed_v<T> && b == T(-1))
    return 0;
  return T(a % b);
}
template <class T> T minimum(T a, T b) { return a < b ? a : b; }
template <class T> T maximum(T a, T b) { return a > b ? a : b; }
int32_t minimumRelu(int32_t a, int32_t b) { return maximum(minimum(a, b), 0); }
int32_t maximumRelu(int32_t a, int32_t b) { return maximum(maximum(a, b), 0); }
template <class T> T negate(T a) { return T(0 - Unsigned<T>(a)); }
template <class T> T absolute(T a) { return a < 0 ? negate(a) : a; }
template <class T> T bitAnd(T a, T b) { return a & b; }
template <class T> T bitOr(T a, T b) { return a | b; }
template <class T> T bitXor(T a, T b) { return a ^ b; }
template <class T> T bitNot(T a) { return T(~a); }
template <class T> T logicalNot(T a) { return a == 0; }
template <class T> T shiftLeft(T a, uint32_t b) { return b < 8 * sizeof(T) ? T(a << b) : T(0); }
template <class T> T shiftRight(T a, uint32_t b) {
  if (b < 8 * sizeof(T))
    return T(a >> b);
  return a < 0 ? T(-1) : T(0);
}
uint32_t funnelLeftWrap(uint32_t a, uint32_t b, uint32_t c) {
  return uint32_t(((uint64_t(b) << 32 | a) << (c & 31)) >> 32);
}
uint32_t funnelRightWrap(uint32_t a, uint32_t b, uint32_t c) {
  return uint32_t((uint64_t(b) << 32 | a) >> (c & 31));
}
uint32_t funnelLeftClamp(uint32_t a, uint32_t b, uint32_t c) {
  return c >= 32 ? a : funnelLeftWrap(a, b, c);
}
uint32_t funnelRightClamp(uint32_t a, uint32_t b, uint32_t c) {
  return c >= 32 ? b : funnelRightWrap(a, b, c);
}
template <class T> uint32_t population(T a) { return std::popcount(a); }
template <class T> uint32_t leadingZeros(T a) { return std::countl_zero(a); }
template <class T> T reverseBits(T a) {
  T result = 0;
  for (unsigned i = 0; i < 8 * sizeof(T); ++i)
    result |= (a >> i & 1) << (8 * sizeof(T) - 1 - i);
  return result;
}
template <class T> T extractField(T a, uint32_t b, uint32_t c) {
  unsigned bits = 8 * sizeof(T), position = b & 0xff, length = c & 0xff;
  if (length == 0)
    return 0;
  unsigned top = std::min(position + length - 1, bits - 1);
  Unsigned<T> sign =
      std::is_signed_v<T> && (Unsigned<T>(a) >> top & 1) ? Unsigned<T>(~Unsigned<T>(0)) : 0;
  Unsigned<T> value = position < bits ? Unsigned<T>(a) >> position : 0;
  unsigned available = position < bits ? bits - position : 0;
  unsigned kept = std::min(length, available);
  Unsigned<T> mask = kept >= bits ? Unsigned<T>(~Unsigned<T>(0)) : (Unsigned<T>(1) << kept) - 1;
  return T((value & mask) | (sign & ~mask));
}
template <class T> T insertField(T a, T b, uint32_t c, uint32_t d) {
  unsigned bits = 8 * sizeof(T), position = c & 0xff, length = d & 0xff;
  if (length == 0 || position >= bits)
    return b;
  T mask = length >= bits ? T(~T(0)) : (T(1) << length) - 1;
  mask <<= position;
  return (b & ~mask) | ((a << position) & mask);
}
template <class T> uint32_t topBit(T a) {
  Unsigned<T> value = a < 0 ? Unsigned<T>(~a) : Unsigned<T>(a);
  return value == 0 ? ~uint32_t(0) : 8 * sizeof(T) - 1 - std::countl_zero(value);
}
template <class T> uint32_t topBitShift(T a) {
  uint32_t index = topBit(a);
  return index == ~uint32_t(0) ? index : 8 * sizeof(T) - 1 - index;
}
uint32_t permuteBytes(uint32_t a, uint32_t b, uint32_t selector) {
  uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    unsigned nibble = selector >> (4 * i) & 0xf;
    uint32_t byte = bytes >> (8 * (nibble & 7)) & 0xff;
    if (nibble & 8)
      byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}
uint32_t logic3(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
  uint32_t result = 0;
  for (unsigned i = 0; i < 8; ++i)
    if (table >> i & 1)
      result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  return result;
}
template <class T> T absoluteDifference(T a, T b, T c) {
  return add(c, a > b ? subtract(a, b) : subtract(b, a));
}
/// Sum of four products of bytes.
template <class A, class B> uint32_t dot4(uint32_t a, uint32_t b, uint32_t c) {
  for (unsigned i = 0; i < 4; ++i)
    c += uint32_t(int32_t(A(a >> (8 * i))) * int32_t(B(b >> (8 * i))));
  return c;
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

/// Instantiates a function template for the integer types that follow.
#define ATTNCC_FOR_SIGNED_TYPE(decoder, type, function)                                            \
  switch (type) {                                                                                  \
  case Type::U16:                                                                                  \
  case Type::B16:                                                                                  \
    return (decoder).elementwise<&function<uint16_t>>();                                           \
  case Type::S16:                                                                                  \
    return (decoder).elementwise<&function<int16_t>>();                                            \
  case Type::U32:                                                                                  \
  case Type::B32:                                                                                  \
    return (decoder).elementwise<&function<uint32_t>>();                                           \
  case Type::S32:                                                                                  \
    return (decoder).elementwise<&function<int32_t>>();                                            \
  case Type::U64:                                                                                  \
  case Type::B64:                                                                                  \
    return (decoder).elementwise<&function<uint64_t>>();                                           \
  case Type::S64:                                                                                  \
    return (decoder).elementwise<&function<int64_t>>();                                            \
  default:                                                                                         \
    (decoder).unknown();                                                                           \
  }

/// True after handing a floating type to its family.
bool handOver(Decoder &d, Type type) {
  if (type == Type::F32 || type == Type::F64)
    return decodeFloat(d, type), true;
  if (type == Type::F16 || type == Type::F16x2 || type == Type::BF16 || type == Type::BF16x2)
    return decodeHalf(d, type), true;
  return false;
}

// The carry flag is one bit per lane.
template <class T, bool Subtract, bool Set, bool Use>
void carryChain(Warp &warp, const Op &op, uint32_t mask) {
  const T *a = warp.values<T>(op.slot[1]), *b = warp.values<T>(op.slot[2]);
  T *d = warp.values<T>(op.slot[0]);
  forEachLane(mask, [&](int lane) {
    // A difference keeps the borrow: the inverse of the carry of a + ~b + 1.
    unsigned carry = Use ? (warp.carry >> lane & 1) ^ Subtract : Subtract;
    Wide<T> sum = Wide<T>(a[lane]) + (Subtract ? T(~b[lane]) : b[lane]) + carry;
    if (Set)
      warp.carry = (warp.carry & ~(1u << lane)) | (uint32_t(sum >> (8 * sizeof(T)) & 1) ^ Subtract)
                                                      << lane;
    d[lane] = T(sum);
  });
}

template <class T, bool High, bool Set, bool Use>
void carryMultiply(Warp &warp, const Op &op, uint32_t mask) {
  const T *a = warp.values<T>(op.slot[1]), *b = warp.values<T>(op.slot[2]),
          *c = warp.values<T>(op.slot[3]);
  T *d = warp.values<T>(op.slot[0]);
  forEachLane(mask, [&](int lane) {
    T product = High ? multiplyHigh(a[lane], b[lane]) : multiplyLow(a[lane], b[lane]);
    Wide<T> sum = Wide<T>(product) + c[lane] + (Use ? warp.carry >> lane & 1 : 0);
    if (Set)
      warp.carry = (warp.carry & ~(1u << lane)) | uint32_t(sum >> (8 * sizeof(T)) & 1) << lane;
    d[lane] = T(sum);
  });
}

template <class T> void decodeCarry(Decoder &d, bool subtracts, bool sets, bool uses) {
  d.expectOperands(3);
  d.op().slot[0] = d.destination(d.operand(0), sizeof(T));
  d.op().slot[1] = d.source(d.operand(1), sizeof(T));
  d.op().slot[2] = d.source(d.operand(2), sizeof(T));
  static constexpr Handler handlers[] = {
      nullptr,
      &carryChain<T, false, true, false>,
      &carryChain<T, false, false, true>,
      &carryChain<T, false, true, true>,
      nullptr,
      &carryChain<T, true, true, false>,
      &carryChain<T, true, false, true>,
      &carryChain<T, true, true, true>,
  };
  d.op().run = handlers[4 * subtracts + 2 * uses + sets];
}

void decodeCarryForm(Decoder &d, bool subtracts, bool sets, bool uses) {
  Type type = d.type();
  if (bytesOf(type) == 4 && isInteger(type))
    return decodeCarry<uint32_t>(d, subtracts, sets, uses);
  if (bytesOf(type) == 8 && isInteger(type))
    return decodeCarry<uint64_t>(d, subtracts, sets, uses);
  d.unknown();
}

void decodeAdd(Decoder &d) {
  if (d.has("cc"))
    return decodeCarryForm(d, false, true, false);
  Type type = d.type();
  if (handOver(d, type))
    return;
  if (d.has("sat")) {
    if (type != Type::S32)
      d.unknown();
    return d.elementwise<&addSaturating>();
  }
  ATTNCC_FOR_SIGNED_TYPE(d, type, add)
}

void decodeSub(Decoder &d) {
  if (d.has("cc"))
    return decodeCarryForm(d, true, true, false);
  Type type = d.type();
  if (handOver(d, type))
    return;
  if (d.has("sat")) {
    if (type != Type::S32)
      d.unknown();
    return d.elementwise<&subtractSaturating>();
  }
  ATTNCC_FOR_SIGNED_TYPE(d, type, subtract)
}

void decodeAddc(Decoder &d) { decodeCarryForm(d, false, d.has("cc"), true); }
void decodeSubc(Decoder &d) { decodeCarryForm(d, true, d.has("cc"), true); }

void decodeMul(Decoder &d) {
  int part = d.oneOf({"lo", "hi", "wide"});
  Type type = d.type();
  if (part < 0 && handOver(d, type))
    return;
  switch (part) {
  case 0:
    ATTNCC_FOR_SIGNED_TYPE(d, type, multiplyLow)
  case 1:
    ATTNCC_FOR_SIGNED_TYPE(d, type, multiplyHigh)
  case 2:
    switch (type) {
    case Type::U16:
      return d.elementwise<&multiplyWide<uint16_t>>();
    case Type::S16:
      return d.elementwise<&multiplyWide<int16_t>>();
    case Type::U32:
      return d.elementwise<&multiplyWide<uint32_t>>();
    case Type::S32:
      return d.elementwise<&multiplyWide<int32_t>>();
    default:
      d.unknown();
    }
  default:
    d.unknown();
  }
}

void decodeMadCarry(Decoder &d, bool high, bool sets, bool uses) {
  Type type = d.type();
  d.expectOperands(4);
  unsigned bytes = bytesOf(type);
  d.op().slot[0] = d.destination(d.operand(0), bytes);
  for (size_t i = 1; i < 4; ++i)
    d.op().slot[i] = d.source(d.operand(i), bytes);
  static constexpr Handler handlers32[] = {nullptr,
                                           &carryMultiply<uint32_t, false, true, false>,
                                           &carryMultiply<uint32_t, false, false, true>,
                                           &carryMultiply<uint32_t, false, true, true>,
                                           nullptr,
                                           &carryMultiply<uint32_t, true, true, false>,
                                           &carryMultiply<uint32_t, true, false, true>,
                                           &carryMultiply<uint32_t, true, true, true>};
  if (type != Type::U32 && type != Type::B32 && !(type == Type::S32 && !high))
    d.unknown();
  d.op().run = handlers32[4 * high + 2 * uses + sets];
}

void decodeMad(Decoder &d) {
  int part = d.oneOf({"lo", "hi", "wide"});
  if (part < 0)
    d.unknown();
  if (d.has("cc")) {
    if (part == 2)
      d.unknown();
    return decodeMadCarry(d, part == 1, true, false);
  }
  Type type = d.type();
  switch (part) {
  case 0:
    ATTNCC_FOR_SIGNED_TYPE(d, type, multiplyAddLow)
  case 1:
    ATTNCC_FOR_SIGNED_TYPE(d, type, multiplyAddHigh)
  default:
    switch (type) {
    case Type::U16:
      return d.elementwise<&multiplyAddWide<uint16_t>>();
    case Type::S16:
      return d.elementwise<&multiplyAddWide<int16_t>>();
    case Type::U32:
      return d.elementwise<&multiplyAddWide<uint32_t>>();
    case Type::S32:
      return d.elementwise<&multiplyAddWide<int32_t>>();
    default:
      d.unknown();
    }
  }
}

void decodeMadc(Decoder &d) {
  int part = d.oneOf({"lo", "hi"});
  if (part < 0)
    d.unknown();
  decodeMadCarry(d, part == 1, d.has("cc"), true);
}

void decodeDiv(Decoder &d) {
  Type type = d.type();
  if (handOver(d, type))
    return;
  ATTNCC_FOR_SIGNED_TYPE(d, type, divide)
}
void decodeRem(Decoder &d) {
  Type type = d.type();
  ATTNCC_FOR_SIGNED_TYPE(d, type, remainder)
}
void decodeMin(Decoder &d) {
  Type type = d.type();
  if (handOver(d, type))
    return;
  if (type == Type::S32 && d.has("relu"))
    return d.elementwise<&minimumRelu>();
  ATTNCC_FOR_SIGNED_TYPE(d, type, minimum)
}
void decodeMax(Decoder &d) {
  Type type = d.type();
  if (handOver(d, type))
    return;
  if (type == Type::S32 && d.has("relu"))
    return d.elementwise<&maximumRelu>();
  ATTNCC_FOR_SIGNED_TYPE(d, type, maximum)
}

void decodeNeg(Decoder &d) {
  Type type = d.type();
  if (handOver(d, type))
    return;
  switch (type) {
  case Type::S16:
    return d.elementwise<&negate<int16_t>>();
  case Type::S32:
    return d.elementwise<&negate<int32_t>>();
  case Type::S64:
    return d.elementwise<&negate<int64_t>>();
  default:
    d.unknown();
  }
}

void decodeAbs(Decoder &d) {
  Type type = d.type();
  if (handOver(d, type))
    return;
  switch (type) {
  case Type::S16:
    return d.elementwise<&absolute<int16_t>>();
  case Type::S32:
    return d.elementwise<&absolute<int32_t>>();
  case Type::S64:
    return d.elementwise<&absolute<int64_t>>();
  default:
    d.unknown();
  }
}

template <auto F16, auto F32, auto F64> void decodeBits(Decoder &d) {
  switch (d.type()) {
  case Type::B16:
    return d.elementwise<F16>();
  case Type::B32:
    return d.elementwise<F32>();
  case Type::B64:
    return d.elementwise<F64>();
  default:
    d.unknown();
  }
}

/// Logic on predicates: and, or, xor, not.
template <class F> void predicateLogic(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t a = warp.predicate(op.slot[1]) ^ (op.flags & 1 ? allLanes : 0);
  uint32_t b = warp.predicate(op.slot[2]) ^ (op.flags & 2 ? allLanes : 0);
  uint32_t &to = warp.predicate(op.slot[0]);
  to = (to & ~mask) | (F()(a, b) & mask);
}

struct NotFirst {
  uint32_t operator()(uint32_t a, uint32_t) const { return ~a; }
};

template <class F> bool decodePredicateLogic(Decoder &d, unsigned sources) {
  if (!d.has("pred"))
    return false;
  d.expectOperands(1 + sources);
  bool first = false, second = false;
  d.op().slot[0] = d.destinationPredicate(d.operand(0));
  d.op().slot[1] = d.sourcePredicate(d.operand(1), first);
  d.op().slot[2] = d.sourcePredicate(d.operand(sources), second);
  d.op().flags = static_cast<uint8_t>(first | second << 1);
  d.op().run = &predicateLogic<F>;
  return true;
}

void decodeAnd(Decoder &d) {
  if (!decodePredicateLogic<std::bit_and<uint32_t>>(d, 2))
    decodeBits<&bitAnd<uint16_t>, &bitAnd<uint32_t>, &bitAnd<uint64_t>>(d);
}
void decodeOr(Decoder &d) {
  if (!decodePredicateLogic<std::bit_or<uint32_t>>(d, 2))
    decodeBits<&bitOr<uint16_t>, &bitOr<uint32_t>, &bitOr<uint64_t>>(d);
}
void decodeXor(Decoder &d) {
  if (!decodePredicateLogic<std::bit_xor<uint32_t>>(d, 2))
    decodeBits<&bitXor<uint16_t>, &bitXor<uint32_t>, &bitXor<uint64_t>>(d);
}
void decodeNot(Decoder &d) {
  if (!decodePredicateLogic<NotFirst>(d, 1))
    decodeBits<&bitNot<uint16_t>, &bitNot<uint32_t>, &bitNot<uint64_t>>(d);
}
void decodeCnot(Decoder &d) {
  decodeBits<&logicalNot<uint16_t>, &logicalNot<uint32_t>, &logicalNot<uint64_t>>(d);
}
void decodeShl(Decoder &d) {
  decodeBits<&shiftLeft<uint16_t>, &shiftLeft<uint32_t>, &shiftLeft<uint64_t>>(d);
}
void decodeShr(Decoder &d) {
  Type type = d.type();
  ATTNCC_FOR_SIGNED_TYPE(d, type, shiftRight)
}

void decodeShf(Decoder &d) {
  int direction = d.oneOf({"l", "r"}), mode = d.oneOf({"wrap", "clamp"});
  if (d.type() != Type::B32 || direction < 0 || mode < 0)
    d.unknown();
  if (direction == 0)
    return mode == 0 ? d.elementwise<&funnelLeftWrap>() : d.elementwise<&funnelLeftClamp>();
  return mode == 0 ? d.elementwise<&funnelRightWrap>() : d.elementwise<&funnelRightClamp>();
}

template <auto F32, auto F64> void decode32or64(Decoder &d) {
  switch (d.type()) {
  case Type::B32:
    return d.elementwise<F32>();
  case Type::B64:
    return d.elementwise<F64>();
  default:
    d.unknown();
  }
}
void decodePopc(Decoder &d) { decode32or64<&population<uint32_t>, &population<uint64_t>>(d); }
void decodeClz(Decoder &d) { decode32or64<&leadingZeros<uint32_t>, &leadingZeros<uint64_t>>(d); }
void decodeBrev(Decoder &d) { decode32or64<&reverseBits<uint32_t>, &reverseBits<uint64_t>>(d); }
void decodeBfi(Decoder &d) { decode32or64<&insertField<uint32_t>, &insertField<uint64_t>>(d); }

void decodeBfe(Decoder &d) {
  switch (d.type()) {
  case Type::U32:
    return d.elementwise<&extractField<uint32_t>>();
  case Type::S32:
    return d.elementwise<&extractField<int32_t>>();
  case Type::U64:
    return d.elementwise<&extractField<uint64_t>>();
  case Type::S64:
    return d.elementwise<&extractField<int64_t>>();
  default:
    d.unknown();
  }
}

void decodeBfind(Decoder &d) {
  bool shift = d.has("shiftamt");
  switch (d.type()) {
  case Type::U32:
    return shift ? d.elementwise<&topBitShift<uint32_t>>() : d.elementwise<&topBit<uint32_t>>();
  case Type::S32:
    return shift ? d.elementwise<&topBitShift<int32_t>>() : d.elementwise<&topBit<int32_t>>();
  case Type::U64:
    return shift ? d.elementwise<&topBitShift<uint64_t>>() : d.elementwise<&topBit<uint64_t>>();
  case Type::S64:
    return shift ? d.elementwise<&topBitShift<int64_t>>() : d.elementwise<&topBit<int64_t>>();
  default:
    d.unknown();
  }
}

void decodePrmt(Decoder &d) {
  if (d.type() != Type::B32)
    d.unknown();
  d.elementwise<&permuteBytes>();
}

void decodeLop3(Decoder &d) {
  if (d.type() != Type::B32)
    d.unknown();
  d.elementwise<&logic3>();
}

void decodeSad(Decoder &d) {
  Type type = d.type();
  ATTNCC_FOR_SIGNED_TYPE(d, type, absoluteDifference)
}

void decodeDp4a(Decoder &d) {
  Type a = d.type(), b = d.type();
  if (a == Type::U32 && b == Type::U32)
    return d.elementwise<&dot4<uint8_t, uint8_t>>();
  if (a == Type::U32 && b == Type::S32)
    return d.elementwise<&dot4<uint8_t, int8_t>>();
  if (a == Type::S32 && b == Type::U32)
    return d.elementwise<&dot4<int8_t, uint8_t>>();
  if (a == Type::S32 && b == Type::S32)
    return d.elementwise<&dot4<int8_t, int8_t>>();
  d.unknown();
}

#undef ATTNCC_FOR_SIGNED_TYPE

} // namespace

void addIntegers(DecodeTable &table) {
  table["add"] = &decodeAdd;
  table["sub"] = &decodeSub;
  table["addc"] = &decodeAddc;
  table["subc"] = &decodeSubc;
  table["mul"] = &decodeMul;
  table["mad"] = &decodeMad;
  table["madc"] = &decodeMadc;
  table["div"] = &decodeDiv;
  table["rem"] = &decodeRem;
  table["min"] = &decodeMin;
  table["max"] = &decodeMax;
  table["neg"] = &decodeNeg;
  table["abs"] = &decodeAbs;
  table["and"] = &decodeAnd;
  table["or"] = &decodeOr;
  table["xor"] = &decodeXor;
  table["not"] = &decodeNot;
  table["cnot"] = &decodeCnot;
  table["shl"] = &decodeShl;
  table["shr"] = &decodeShr;
  table["shf"] = &decodeShf;
  table["popc"] = &decodePopc;
  table["clz"] = &decodeClz;
  table["brev"] = &decodeBrev;
  table["bfe"] = &decodeBfe;
  table["bfi"] = &decodeBfi;
  table["bfind"] = &decodeBfind;
  table["prmt"] = &decodePrmt;
  table["lop3"] = &decodeLop3;
  table["sad"] = &decodeSad;
  table["dp4a"] = &decodeDp4a;
}

} // namespace attncc::simulator
