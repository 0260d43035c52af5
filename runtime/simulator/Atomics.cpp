//===- Atomics.cpp - atom, red --------------------------------------------===//
//
// PTX ISA §9.7.13.5, §9.7.13.6. Lanes act one after another, in ascending order; blocks on
// other host threads see host atomics. add.f32 on global memory flushes subnormals.
// Pinned by test/simulator/MemoryTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Addressing.h"
#include "runtime/simulator/Decoder.h"
#include "runtime/simulator/Numbers.h"

#include <atomic>

namespace attncc::simulator {

namespace {

enum class Act { Add, Exchange, Compare, Min, Max, And, Or, Xor, Increment, Decrement };

template <class T, Act A> T apply(T old, T b, T c) {
  switch (A) {
  case Act::Add:
    return T(std::make_unsigned_t<T>(old) + std::make_unsigned_t<T>(b));
  case Act::Exchange:
    return b;
  case Act::Compare:
    return old == b ? c : old;
  case Act::Min:
    return std::min(old, b);
  case Act::Max:
    return std::max(old, b);
  case Act::And:
    return old & b;
  case Act::Or:
    return old | b;
  case Act::Xor:
    return old ^ b;
  case Act::Increment:
    return old >= b ? 0 : old + 1;
  case Act::Decrement:
    return old == 0 || old > b ? b : old - 1;
  }
  return old;
}
template <bool Ftz> uint32_t addFloat(uint32_t old, uint32_t b, uint32_t) {
  float x = maybeFlush<Ftz>(std::bit_cast<float>(old)),
        y = maybeFlush<Ftz>(std::bit_cast<float>(b));
  return std::bit_cast<uint32_t>(canonical(maybeFlush<Ftz>(x + y)));
}
uint64_t addDouble(uint64_t old, uint64_t b, uint64_t) {
  return std::bit_cast<uint64_t>(canonical(std::bit_cast<double>(old) + std::bit_cast<double>(b)));
}
template <class F> uint32_t addPair(uint32_t old, uint32_t b, uint32_t) {
  auto half = [&](int shift) {
    return uint32_t(F::encode(
               addToOdd(F::decode(uint16_t(old >> shift)), F::decode(uint16_t(b >> shift)))))
           << shift;
  };
  return half(0) | half(16);
}

// Slots: 0 destination, 1 b, 2 c.
template <class T, auto Function> void atomic(Warp &warp, const Op &op, uint32_t mask) {
  HostLanes host;
  resolve(warp, op, mask, Mode::Atomic, host);
  T *d = warp.values<T>(op.slot[0]);
  const T *b = warp.values<T>(op.slot[1]), *c = warp.values<T>(op.slot[2]);
  forEachLane(mask, [&](int lane) {
    std::atomic_ref<T> cell(*reinterpret_cast<T *>(host.pointer[lane]));
    T old = cell.load();
    T operand = b[lane], other = c[lane];
    while (!cell.compare_exchange_weak(old, Function(old, operand, other)))
      ;
    d[lane] = old;
  });
}

template <class T> Handler integerHandler(int act) {
  switch (static_cast<Act>(act)) {
  case Act::Add:
    return &atomic<T, &apply<T, Act::Add>>;
  case Act::Exchange:
    return &atomic<T, &apply<T, Act::Exchange>>;
  case Act::Compare:
    return &atomic<T, &apply<T, Act::Compare>>;
  case Act::Min:
    return &atomic<T, &apply<T, Act::Min>>;
  case Act::Max:
    return &atomic<T, &apply<T, Act::Max>>;
  case Act::And:
    return &atomic<T, &apply<T, Act::And>>;
  case Act::Or:
    return &atomic<T, &apply<T, Act::Or>>;
  case Act::Xor:
    return &atomic<T, &apply<T, Act::Xor>>;
  case Act::Increment:
    return &atomic<T, &apply<T, Act::Increment>>;
  case Act::Decrement:
    return &atomic<T, &apply<T, Act::Decrement>>;
  }
  return nullptr;
}

void decodeAtomic(Decoder &d, bool returns) {
  d.oneOf({"relaxed", "acquire", "release", "acq_rel"});
  d.oneOf({"cta", "cluster", "gpu", "sys"});
  Space space = d.space();
  if (space == Space::Const || space == Space::Param || space == Space::Local)
    d.unknown();
  int act = d.oneOf({"add", "exch", "cas", "min", "max", "and", "or", "xor", "inc", "dec"});
  if (act < 0)
    d.unknown();
  bool noftz = d.has("noftz");
  Type type = d.type();
  unsigned bytes = bytesOf(type);
  bool compares = static_cast<Act>(act) == Act::Compare;
  size_t first = returns ? 1 : 0;
  d.expectOperands(first + 2 + compares);
  d.address(d.operand(first), space, bytes, 1);
  d.op().access.ordered = true;
  d.op().slot[0] = returns ? d.destination(d.operand(0), bytes) : d.scratch();
  bool floating = type == Type::F32 || type == Type::F64;
  d.op().slot[1] = d.source(d.operand(first + 1), bytes, floating);
  d.op().slot[2] = compares ? d.source(d.operand(first + 2), bytes, floating) : d.scratch();

  if (type == Type::F32 || type == Type::F64 || type == Type::F16x2 || type == Type::BF16x2) {
    bool packed = type == Type::F16x2 || type == Type::BF16x2;
    if (static_cast<Act>(act) != Act::Add || packed != noftz)
      d.unknown();
    if (type == Type::F32)
      d.op().run = space == Space::Shared ? &atomic<uint32_t, &addFloat<false>>
                                          : &atomic<uint32_t, &addFloat<true>>;
    else if (type == Type::F64)
      d.op().run = &atomic<uint64_t, &addDouble>;
    else
      d.op().run = type == Type::F16x2 ? &atomic<uint32_t, &addPair<Half>>
                                       : &atomic<uint32_t, &addPair<Bfloat>>;
    return;
  }
  if (noftz || !isInteger(type))
    d.unknown();
  switch (type) {
  case Type::U32:
  case Type::B32:
    d.op().run = integerHandler<uint32_t>(act);
    return;
  case Type::S32:
    d.op().run = integerHandler<int32_t>(act);
    return;
  case Type::U64:
  case Type::B64:
    d.op().run = integerHandler<uint64_t>(act);
    return;
  case Type::S64:
    d.op().run = integerHandler<int64_t>(act);
    return;
  default:
    d.unknown();
  }
}

void decodeAtom(Decoder &d) { decodeAtomic(d, true); }
void decodeRed(Decoder &d) { decodeAtomic(d, false); }

} // namespace

void addAtomics(DecodeTable &table) {
  table["atom"] = &decodeAtom;
  table["red"] = &decodeRed;
}

} // namespace attncc::simulator
