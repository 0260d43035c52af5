//===- Collectives.cpp - shfl, vote, match, redux, elect, bar.warp.sync ---===//
//
// PTX ISA §9.7.9.6, §9.7.13. The executor calls these when the lanes of the member mask
// are together; lanes with different masks form separate groups. A shuffle from a lane that
// does not take part gives an undefined value (poison).
// Pinned by test/simulator/CollectiveTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"

#include <algorithm>

namespace attncc::simulator {

namespace {

constexpr unsigned memberMask = 13; ///< the slot that Machine.cpp reads

void takeMembers(Decoder &d, size_t operand) {
  d.op().slot[memberMask] = d.source(d.operand(operand), 4);
  d.op().flow = Flow::Collective;
}

/// Calls f(lanes) for each group of active lanes that name the same members.
template <class F> void forEachGroup(Warp &warp, const Op &op, uint32_t mask, F f) {
  const uint32_t *members = warp.values<uint32_t>(op.slot[memberMask]);
  for (uint32_t rest = mask; rest;) {
    uint32_t named = members[std::countr_zero(rest)], group = 0;
    forEachLane(rest, [&](int lane) { group |= uint32_t(members[lane] == named) << lane; });
    f(group);
    rest &= ~group;
  }
}

void writePredicate(Warp &warp, uint32_t slot, uint32_t mask, uint32_t bits) {
  uint32_t &to = warp.predicate(slot);
  to = (to & ~mask) | (bits & mask);
}

//===----------------------------------------------------------------------===//
// shfl.sync
//===----------------------------------------------------------------------===//

enum class Shuffle { Up, Down, Butterfly, Index };

// Slots: 0 destination, 1 source, 2 b, 3 c, 4 predicate.
template <Shuffle S> void shuffle(Warp &warp, const Op &op, uint32_t mask) {
  const uint32_t *a = warp.values<uint32_t>(op.slot[1]);
  const uint32_t *b = warp.values<uint32_t>(op.slot[2]), *c = warp.values<uint32_t>(op.slot[3]);
  alignas(64) uint32_t values[32];
  uint32_t valid = 0;
  forEachLane(mask, [&](int lane) {
    int bval = b[lane] & 31, cval = c[lane] & 31, segment = c[lane] >> 8 & 31;
    int highest = (lane & segment) | (cval & ~segment);
    int lowest = lane & segment;
    int from = lane;
    bool in = false;
    switch (S) {
    case Shuffle::Up:
      from = lane - bval;
      in = from >= highest;
      break;
    case Shuffle::Down:
      from = lane + bval;
      in = from <= highest;
      break;
    case Shuffle::Butterfly:
      from = lane ^ bval;
      in = from <= highest;
      break;
    case Shuffle::Index:
      from = lowest | (bval & ~segment);
      in = from <= highest;
      break;
    }
    if (!in)
      from = lane;
    valid |= uint32_t(in) << lane;
    values[lane] = mask >> from & 1 ? a[from] : poison;
  });
  keepActive(warp.values<uint32_t>(op.slot[0]), values, mask);
  if (op.flags)
    writePredicate(warp, op.slot[4], mask, valid);
}

void decodeShfl(Decoder &d) {
  d.require("sync");
  int mode = d.oneOf({"up", "down", "bfly", "idx"});
  if (mode < 0 || d.type() != Type::B32)
    d.unknown();
  d.expectOperands(5);
  syntax::Operand to = d.operand(0);
  if (std::optional<syntax::Operand> predicate = Decoder::takeSecond(to)) {
    d.op().slot[4] = d.destinationPredicate(*predicate);
    d.op().flags = 1;
  }
  d.op().slot[0] = d.destination(to, 4);
  for (size_t i = 1; i < 4; ++i)
    d.op().slot[i] = d.source(d.operand(i), 4, i == 1);
  takeMembers(d, 4);
  static constexpr Handler handlers[] = {&shuffle<Shuffle::Up>, &shuffle<Shuffle::Down>,
                                         &shuffle<Shuffle::Butterfly>, &shuffle<Shuffle::Index>};
  d.op().run = handlers[mode];
}

//===----------------------------------------------------------------------===//
// vote, match, redux
//===----------------------------------------------------------------------===//

enum class Vote { Ballot, Any, All, Uniform };

template <Vote V> void vote(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t bits = warp.predicate(op.slot[1]) ^ (op.flags ? allLanes : 0);
  forEachGroup(warp, op, mask, [&](uint32_t group) {
    uint32_t true_ = bits & group;
    switch (V) {
    case Vote::Ballot:
      forEachLane(group, [&](int lane) { warp.values<uint32_t>(op.slot[0])[lane] = true_; });
      break;
    case Vote::Any:
      writePredicate(warp, op.slot[0], group, true_ ? allLanes : 0);
      break;
    case Vote::All:
      writePredicate(warp, op.slot[0], group, true_ == group ? allLanes : 0);
      break;
    case Vote::Uniform:
      writePredicate(warp, op.slot[0], group, true_ == group || !true_ ? allLanes : 0);
      break;
    }
  });
}

void decodeVote(Decoder &d) {
  d.require("sync");
  int mode = d.oneOf({"ballot", "any", "all", "uni"});
  Type type = d.type();
  if (mode < 0 || type != (mode == 0 ? Type::B32 : Type::Pred))
    d.unknown();
  d.expectOperands(3);
  bool negated;
  d.op().slot[0] =
      mode == 0 ? d.destination(d.operand(0), 4) : d.destinationPredicate(d.operand(0));
  d.op().slot[1] = d.sourcePredicate(d.operand(1), negated);
  d.op().flags = negated;
  takeMembers(d, 2);
  static constexpr Handler handlers[] = {&vote<Vote::Ballot>, &vote<Vote::Any>, &vote<Vote::All>,
                                         &vote<Vote::Uniform>};
  d.op().run = handlers[mode];
}

// Slots: 0 destination mask, 1 value, 2 predicate (all only).
template <class T, bool All> void match(Warp &warp, const Op &op, uint32_t mask) {
  alignas(64) T values[32];
  std::memcpy(values, warp.values<T>(op.slot[1]), sizeof values);
  uint32_t *to = warp.values<uint32_t>(op.slot[0]);
  forEachGroup(warp, op, mask, [&](uint32_t group) {
    uint32_t agreed = 0;
    forEachLane(group, [&](int lane) {
      uint32_t same = 0;
      forEachLane(group,
                  [&](int other) { same |= uint32_t(values[other] == values[lane]) << other; });
      if (All)
        same = same == group ? group : 0;
      agreed |= uint32_t(same != 0) << lane;
      to[lane] = same;
    });
    if (op.flags)
      writePredicate(warp, op.slot[2], group, agreed);
  });
}

void decodeMatch(Decoder &d) {
  int mode = d.oneOf({"any", "all"});
  d.require("sync");
  Type type = d.type();
  if (mode < 0 || (type != Type::B32 && type != Type::B64))
    d.unknown();
  d.expectOperands(3);
  syntax::Operand to = d.operand(0);
  if (mode == 1)
    if (std::optional<syntax::Operand> predicate = Decoder::takeSecond(to)) {
      d.op().slot[2] = d.destinationPredicate(*predicate);
      d.op().flags = 1;
    }
  d.op().slot[0] = d.destination(to, 4);
  d.op().slot[1] = d.source(d.operand(1), bytesOf(type));
  takeMembers(d, 2);
  if (type == Type::B32)
    d.op().run = mode == 0 ? &match<uint32_t, false> : &match<uint32_t, true>;
  else
    d.op().run = mode == 0 ? &match<uint64_t, false> : &match<uint64_t, true>;
}

template <class T> T sum(T a, T b) { return T(uint32_t(a) + uint32_t(b)); }
template <class T> T least(T a, T b) { return std::min(a, b); }
template <class T> T greatest(T a, T b) { return std::max(a, b); }
template <class T> T conjunction(T a, T b) { return a & b; }
template <class T> T disjunction(T a, T b) { return a | b; }
template <class T> T difference(T a, T b) { return a ^ b; }

template <class T, auto Function> void reduce(Warp &warp, const Op &op, uint32_t mask) {
  alignas(64) T values[32];
  std::memcpy(values, warp.values<T>(op.slot[1]), sizeof values);
  T *to = warp.values<T>(op.slot[0]);
  forEachGroup(warp, op, mask, [&](uint32_t group) {
    int first = std::countr_zero(group);
    T result = values[first];
    forEachLane(group & (group - 1), [&](int lane) { result = Function(result, values[lane]); });
    forEachLane(group, [&](int lane) { to[lane] = result; });
  });
}

void decodeRedux(Decoder &d) {
  d.require("sync");
  int which = d.oneOf({"add", "min", "max", "and", "or", "xor"});
  Type type = d.type();
  bool logic = which >= 3;
  if (which < 0 || (logic ? type != Type::B32 : type != Type::U32 && type != Type::S32))
    d.unknown();
  d.expectOperands(3);
  d.op().slot[0] = d.destination(d.operand(0), 4);
  d.op().slot[1] = d.source(d.operand(1), 4);
  takeMembers(d, 2);
  static constexpr Handler unsignedHandlers[] = {
      &reduce<uint32_t, &sum<uint32_t>>,         &reduce<uint32_t, &least<uint32_t>>,
      &reduce<uint32_t, &greatest<uint32_t>>,    &reduce<uint32_t, &conjunction<uint32_t>>,
      &reduce<uint32_t, &disjunction<uint32_t>>, &reduce<uint32_t, &difference<uint32_t>>};
  static constexpr Handler signedHandlers[] = {&reduce<int32_t, &sum<int32_t>>,
                                               &reduce<int32_t, &least<int32_t>>,
                                               &reduce<int32_t, &greatest<int32_t>>};
  d.op().run = type == Type::S32 ? signedHandlers[which] : unsignedHandlers[which];
}

/// The lowest lane of each group leads it.
void elect(Warp &warp, const Op &op, uint32_t mask) {
  forEachGroup(warp, op, mask, [&](uint32_t group) {
    uint32_t leader = static_cast<uint32_t>(std::countr_zero(group));
    forEachLane(group, [&](int lane) { warp.values<uint32_t>(op.slot[0])[lane] = leader; });
    writePredicate(warp, op.slot[1], group, uint32_t(1) << leader);
  });
}

void decodeElect(Decoder &d) {
  d.needsHopper();
  d.require("sync");
  d.expectOperands(2);
  syntax::Operand to = d.operand(0);
  std::optional<syntax::Operand> leads = Decoder::takeSecond(to);
  if (!leads)
    d.fail("expected a pair d|p");
  d.op().slot[0] = d.destination(to, 4);
  d.op().slot[1] = d.destinationPredicate(*leads);
  takeMembers(d, 1);
  d.op().run = &elect;
}

void nothing(Warp &, const Op &, uint32_t) {}

void activeMask(Warp &warp, const Op &op, uint32_t mask) {
  forEachLane(mask, [&](int lane) { warp.values<uint32_t>(op.slot[0])[lane] = mask; });
}

void decodeActivemask(Decoder &d) {
  if (d.type() != Type::B32)
    d.unknown();
  d.expectOperands(1);
  d.op().slot[0] = d.destination(d.operand(0), 4);
  d.op().run = &activeMask;
}

} // namespace

void decodeWarpBarrier(Decoder &d) {
  d.require("sync");
  d.expectOperands(1);
  takeMembers(d, 0);
  d.op().run = &nothing;
}

void addCollectives(DecodeTable &table) {
  table["shfl"] = &decodeShfl;
  table["vote"] = &decodeVote;
  table["match"] = &decodeMatch;
  table["redux"] = &decodeRedux;
  table["elect"] = &decodeElect;
  table["activemask"] = &decodeActivemask;
}

} // namespace attncc::simulator
