//===- Moves.cpp - mov, selp, cvta, isspacep ------------------------------===//
//
// PTX ISA §9.7.9.1-9.7.9.6, §9.7.9.18-9.7.9.20. Element 0 of a packed value is its low part.
// Pinned by test/simulator/ScalarTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"

namespace attncc::simulator {

namespace {

using Kind = syntax::Operand::Kind;

template <class T> T copy(T a) { return a; }

void movePredicate(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t value = warp.predicate(op.slot[1]) ^ (op.flags ? allLanes : 0);
  uint32_t &to = warp.predicate(op.slot[0]);
  to = (to & ~mask) | (value & mask);
}

/// Concatenates `count` parts of `Part` into one value.
template <class Whole, class Part> void pack(Warp &warp, const Op &op, uint32_t mask) {
  constexpr unsigned count = sizeof(Whole) / sizeof(Part);
  alignas(64) Whole values[32] = {};
  for (unsigned i = 0; i < count; ++i) {
    const Part *part = warp.values<Part>(op.slot[1 + i]);
    for (int lane = 0; lane < 32; ++lane)
      values[lane] |= Whole(part[lane]) << (i * 8 * sizeof(Part));
  }
  keepActive(warp.values<Whole>(op.slot[0]), values, mask);
}

template <class Whole, class Part> void unpack(Warp &warp, const Op &op, uint32_t mask) {
  constexpr unsigned count = sizeof(Whole) / sizeof(Part);
  alignas(64) Whole values[32];
  std::memcpy(values, warp.values<Whole>(op.slot[0]), sizeof values);
  for (unsigned i = 0; i < count; ++i) {
    alignas(64) Part parts[32];
    for (int lane = 0; lane < 32; ++lane)
      parts[lane] = static_cast<Part>(values[lane] >> (i * 8 * sizeof(Part)));
    keepActive(warp.values<Part>(op.slot[1 + i]), parts, mask);
  }
}

/// Both directions: a vector operand on one side, a whole on the other.
void packOrUnpack(Decoder &d, unsigned bytes) {
  bool packs = d.operand(1).kind == Kind::Vector;
  auto parts = d.elements(packs ? 1 : 0);
  unsigned count = static_cast<unsigned>(parts.size());
  if (count != 2 && count != 4)
    d.unknown();
  unsigned part = bytes / count;
  d.op().slot[0] = packs ? d.destination(d.operand(0), bytes) : d.source(d.operand(1), bytes);
  for (unsigned i = 0; i < count; ++i)
    d.op().slot[1 + i] = packs ? d.source(*parts[i], part) : d.destination(*parts[i], part);
  if (bytes == 4 && part == 2)
    d.op().run = packs ? &pack<uint32_t, uint16_t> : &unpack<uint32_t, uint16_t>;
  else if (bytes == 8 && part == 4)
    d.op().run = packs ? &pack<uint64_t, uint32_t> : &unpack<uint64_t, uint32_t>;
  else if (bytes == 8 && part == 2)
    d.op().run = packs ? &pack<uint64_t, uint16_t> : &unpack<uint64_t, uint16_t>;
  else
    d.unknown();
}

void readClock(Warp &warp, const Op &op, uint32_t mask) {
  uint64_t now = warp.block->executed;
  forEachLane(mask, [&](int lane) {
    if (op.flags == 8)
      warp.values<uint64_t>(op.slot[0])[lane] = now;
    else
      warp.values<uint32_t>(op.slot[0])[lane] = static_cast<uint32_t>(now);
  });
}

void decodeMov(Decoder &d) {
  Type type = d.type();
  d.expectOperands(2);
  if (type == Type::Pred) {
    bool negated;
    d.op().slot[0] = d.destinationPredicate(d.operand(0));
    d.op().slot[1] = d.sourcePredicate(d.operand(1), negated);
    d.op().flags = negated;
    d.op().run = &movePredicate;
    return;
  }
  unsigned bytes = bytesOf(type);
  if (d.operand(0).kind == Kind::Vector || d.operand(1).kind == Kind::Vector)
    return packOrUnpack(d, bytes);
  // Virtual time: warp instructions of the block up to its last wait.
  const std::string &name = d.operand(1).name;
  if (name == "%clock" || name == "%clock64" || name == "%globaltimer") {
    if (bytes != (name == "%clock" ? 4u : 8u))
      d.unknown();
    d.op().flags = static_cast<uint8_t>(bytes);
    d.op().slot[0] = d.destination(d.operand(0), bytes);
    d.op().run = &readClock;
    return;
  }
  if (bytes == 2)
    d.elementwise<&copy<uint16_t>>();
  else if (bytes == 4)
    d.elementwise<&copy<uint32_t>>();
  else if (bytes == 8 && type == Type::F64)
    d.elementwise<&copy<double>>();
  else if (bytes == 8)
    d.elementwise<&copy<uint64_t>>();
  else
    d.unknown();
}

template <class T> void select(Warp &warp, const Op &op, uint32_t mask) {
  const T *a = warp.values<T>(op.slot[1]), *b = warp.values<T>(op.slot[2]);
  uint32_t condition = warp.predicate(op.slot[3]) ^ (op.flags ? allLanes : 0);
  alignas(64) T values[32];
  for (int lane = 0; lane < 32; ++lane)
    values[lane] = condition >> lane & 1 ? a[lane] : b[lane];
  keepActive(warp.values<T>(op.slot[0]), values, mask);
}

void decodeSelp(Decoder &d) {
  Type type = d.type();
  unsigned bytes = bytesOf(type);
  d.expectOperands(4);
  bool negated;
  d.op().slot[0] = d.destination(d.operand(0), bytes);
  d.op().slot[1] = d.source(d.operand(1), bytes, type == Type::F64);
  d.op().slot[2] = d.source(d.operand(2), bytes, type == Type::F64);
  d.op().slot[3] = d.sourcePredicate(d.operand(3), negated);
  d.op().flags = negated;
  switch (bytes) {
  case 2:
    d.op().run = &select<uint16_t>;
    break;
  case 4:
    d.op().run = &select<uint32_t>;
    break;
  case 8:
    d.op().run = &select<uint64_t>;
    break;
  default:
    d.unknown();
  }
}

uint64_t windowOf(Space space) {
  switch (space) {
  case Space::Shared:
    return sharedWindow;
  case Space::Local:
    return localWindow;
  case Space::Param:
    return paramWindow;
  case Space::Const:
    return constantWindow;
  default:
    return 0;
  }
}

uint64_t addWindow(uint64_t a, uint64_t window) { return a + window; }

/// Null stays null in neither direction: the windows are plain offsets.
void decodeCvta(Decoder &d) {
  bool to = d.has("to");
  Space space = d.space();
  if (space == Space::Generic)
    d.unknown();
  if (bytesOf(d.type()) != 8)
    d.unknown();
  d.expectOperands(2);
  uint64_t window = windowOf(space);
  d.op().run = &Elementwise<&addWindow>::run;
  d.op().slot[0] = d.destination(d.operand(0), 8);
  d.op().slot[1] = d.source(d.operand(1), 8);
  d.op().slot[2] = d.constant(to ? 0 - window : window, 8);
}

void isSpace(Warp &warp, const Op &op, uint32_t mask) {
  const uint64_t *address = warp.values<uint64_t>(op.slot[1]);
  uint32_t bits = 0;
  for (int lane = 0; lane < 32; ++lane) {
    bool inWindow = false;
    for (uint64_t window : {sharedWindow, localWindow, paramWindow, constantWindow})
      inWindow |= address[lane] - window < windowBytes;
    bool result = op.immediate ? address[lane] - op.immediate < windowBytes : !inWindow;
    bits |= uint32_t(result) << lane;
  }
  uint32_t &to = warp.predicate(op.slot[0]);
  to = (to & ~mask) | (bits & mask);
}

void decodeIsspacep(Decoder &d) {
  Space space = d.space();
  if (space == Space::Generic)
    d.unknown();
  d.expectOperands(2);
  d.op().immediate = windowOf(space);
  d.op().slot[0] = d.destinationPredicate(d.operand(0));
  d.op().slot[1] = d.source(d.operand(1), 8);
  d.op().run = &isSpace;
}

/// An address in the cluster's shared memory: of this block, the only one.
template <class T> void mapToBlock(Warp &warp, const Op &op, uint32_t mask) {
  const uint32_t *rank = warp.values<uint32_t>(op.slot[2]);
  forEachLane(mask, [&](int lane) {
    if (rank[lane] != 0)
      warp.fail(Finding::Kind::Operand, op, lane,
                "block rank is " + std::to_string(rank[lane]) + ", the cluster has one block");
  });
  keepActive(warp.values<T>(op.slot[0]), warp.values<T>(op.slot[1]), mask);
}

void decodeMapa(Decoder &d) {
  d.needsHopper();
  d.has("shared::cluster"); // without: a generic address, which stays the same too
  unsigned bytes = bytesOf(d.type());
  if (bytes != 4 && bytes != 8)
    d.unknown();
  d.expectOperands(3);
  d.op().slot[0] = d.destination(d.operand(0), bytes);
  d.op().slot[1] = d.source(d.operand(1), bytes);
  d.op().slot[2] = d.source(d.operand(2), 4);
  d.op().run = bytes == 4 ? &mapToBlock<uint32_t> : &mapToBlock<uint64_t>;
}

} // namespace

void addMoves(DecodeTable &table) {
  table["mov"] = &decodeMov;
  table["selp"] = &decodeSelp;
  table["cvta"] = &decodeCvta;
  table["mapa"] = &decodeMapa;
  table["isspacep"] = &decodeIsspacep;
}

} // namespace attncc::simulator
