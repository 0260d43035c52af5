//===- Mbarriers.cpp - mbarrier.*, cp.async.mbarrier.arrive ---------------===//
//
// See Mbarriers.h. Forms of PTX ISA §9.7.13.15. A state (the result of arrive) is the number
// of the phase that it belongs to. Order and scope are accepted: the machine is sequentially
// consistent. A cluster has one block, so no mbarrier is remote.
// Pinned by test/simulator/MbarrierTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Mbarriers.h"

#include "runtime/simulator/Addressing.h"
#include "runtime/simulator/Decoder.h"

namespace attncc::simulator {

namespace {

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%x", value);
  return text;
}

} // namespace

bool Mbarriers::covers(uint32_t address, uint32_t bytes) const {
  if (states.empty())
    return false;
  for (uint32_t at = address & ~7u; at < address + bytes; at += 8)
    if (states.contains(at))
      return true;
  return false;
}

std::string Mbarriers::describe(uint32_t address) {
  std::string result = "mbarrier " + hex(address);
  State *state = find(address);
  if (!state)
    return result + " (not initialised)";
  return result + " (phase " + std::to_string(state->phase) + ", " +
         std::to_string(state->pending) + " of " + std::to_string(state->expected) +
         " arrivals pending, " + std::to_string(state->transactions) + " bytes pending)";
}

namespace {

Mbarriers::State &valid(Warp &warp, const Op &op, int lane, uint32_t address) {
  Mbarriers::State *state = warp.block->mbarriers.find(address);
  if (!state)
    warp.fail(Finding::Kind::Barrier, op, lane,
              "no mbarrier is initialised at shared address " + hex(address), address);
  warp.block->races.checkRead(warp, op, lane, address, 8);
  return *state;
}

bool endPhase(Mbarriers::State &state) {
  if (state.pending != 0 || state.transactions != 0)
    return false;
  ++state.phase;
  state.pending = state.expected;
  state.past = state.arrived;
  return true;
}

} // namespace

bool Mbarriers::arrive(Warp &warp, const Op &op, int lane, uint32_t address, uint32_t count) {
  State &state = valid(warp, op, lane, address);
  if (count == 0 || count > state.pending)
    warp.fail(Finding::Kind::Barrier, op, lane,
              std::to_string(count) + " arrivals at " + describe(address) +
                  ", allowed are 1 to the pending ones",
              address);
  warp.block->races.release(warp, state.arrived);
  state.pending -= count;
  ++warp.block->events;
  return endPhase(state);
}

bool Mbarriers::expect(Warp &warp, const Op &op, int lane, uint32_t address, int64_t bytes) {
  State &state = valid(warp, op, lane, address);
  state.transactions += bytes;
  if (state.transactions > mostCount || state.transactions < -mostCount)
    warp.fail(Finding::Kind::Barrier, op, lane,
              "the bytes pending at " + describe(address) + " exceed " + std::to_string(mostCount),
              address);
  ++warp.block->events;
  return endPhase(state);
}

namespace {

// Slots: 0 state, 1 count or bytes; waits: 0 predicate, 1 state or parity.
namespace Flags {
enum : uint8_t { expects = 1, drops = 2, incomplete = 4, parity = 8, blocks = 16, counted = 32 };
}

void addressesOf(Warp &warp, const Op &op, uint32_t mask, uint32_t *address) {
  sharedAddresses(warp, op, op.access, mask, 8, address);
}

void initialise(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t address[32];
  addressesOf(warp, op, mask, address);
  const uint32_t *count = warp.values<uint32_t>(op.slot[1]);
  Block &block = *warp.block;
  forEachLane(mask, [&](int lane) {
    if (Mbarriers::State *state = block.mbarriers.find(address[lane]))
      warp.fail(Finding::Kind::Barrier, op, lane,
                block.mbarriers.describe(address[lane]) + " is in use since line " +
                    std::to_string(state->line) + "; mbarrier.inval ends that",
                address[lane]);
    if (count[lane] == 0 || count[lane] > Mbarriers::mostCount)
      warp.fail(Finding::Kind::Operand, op, lane,
                "arrival count is " + std::to_string(count[lane]) + ", expected 1 to " +
                    std::to_string(Mbarriers::mostCount));
    block.mbarriers.init(address[lane], count[lane], block.kernel.text[op.position].line);
    block.shadow.setMbarrier(address[lane], true);
    block.races.write(warp, op, lane, address[lane], 8);
  });
  ++block.events;
}

void invalidate(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t address[32];
  addressesOf(warp, op, mask, address);
  forEachLane(mask, [&](int lane) {
    valid(warp, op, lane, address[lane]);
    warp.block->mbarriers.invalidate(address[lane]);
    warp.block->shadow.setMbarrier(address[lane], false);
  });
  ++warp.block->events;
}

void arrive(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t address[32];
  addressesOf(warp, op, mask, address);
  Block &block = *warp.block;
  const uint32_t *operand = warp.values<uint32_t>(op.slot[1]);
  uint64_t *to = op.slot[0] ? warp.values<uint64_t>(op.slot[0]) : nullptr;
  bool ended = false;
  forEachLane(mask, [&](int lane) {
    Mbarriers::State &state = valid(warp, op, lane, address[lane]);
    uint32_t count = op.flags & Flags::counted ? operand[lane] : 1;
    if (to)
      to[lane] = state.phase;
    if (op.flags & Flags::expects)
      ended |= block.mbarriers.expect(warp, op, lane, address[lane], operand[lane]);
    if (op.flags & Flags::drops) {
      if (count >= state.expected)
        warp.fail(Finding::Kind::Barrier, op, lane,
                  "arrive_drop takes " + std::to_string(count) + " of the " +
                      std::to_string(state.expected) + " arrivals of a phase; at least 1 must stay",
                  address[lane]);
      state.expected -= count;
    }
    bool last = block.mbarriers.arrive(warp, op, lane, address[lane], count);
    if (last && op.flags & Flags::incomplete)
      warp.fail(Finding::Kind::Barrier, op, lane,
                "arrive.noComplete completes the phase of mbarrier " + hex(address[lane]),
                address[lane]);
    ended |= last;
  });
  if (ended)
    block.wake();
}

/// expect_tx, and complete_tx with the sign of its immediate.
void transact(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t address[32];
  addressesOf(warp, op, mask, address);
  const uint32_t *bytes = warp.values<uint32_t>(op.slot[1]);
  bool ended = false;
  forEachLane(mask, [&](int lane) {
    ended |= warp.block->mbarriers.expect(warp, op, lane, address[lane],
                                          op.immediate ? -int64_t(bytes[lane]) : bytes[lane]);
  });
  if (ended)
    warp.block->wake();
}

void wait(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t address[32];
  addressesOf(warp, op, mask, address);
  Block &block = *warp.block;
  uint32_t done = 0;
  uint32_t last = 0;
  Mbarriers::State *state = nullptr;
  auto ended = [&](int lane) {
    if (op.flags & Flags::parity)
      return state->ended(warp.values<uint32_t>(op.slot[1])[lane]);
    uint64_t phase = warp.values<uint64_t>(op.slot[1])[lane];
    if (phase != state->phase && phase + 1 != state->phase)
      warp.fail(Finding::Kind::Operand, op, lane,
                "the state is of phase " + std::to_string(phase) +
                    ", allowed are the current one and the one before it of " +
                    block.mbarriers.describe(last),
                last);
    return phase < state->phase;
  };
  bool landed = false, acquired = false; // of this mbarrier
  forEachLane(mask, [&](int lane) {
    if (!state || address[lane] != last) {
      last = address[lane];
      state = &valid(warp, op, lane, last);
      landed = acquired = false;
    }
    if (!ended(lane)) {
      if (std::exchange(landed, true))
        return;
      block.land(last);
      state = block.mbarriers.find(last);
      if (!ended(lane))
        return;
    }
    if (!std::exchange(acquired, true))
      block.races.acquire(warp, state->past);
    done |= uint32_t(1) << lane;
  });
  if (!done) {
    if (op.flags & Flags::blocks && !warp.timedOut)
      return warp.suspend();
    warp.polled = &op;
    warp.polledMask = mask;
    warp.yield();
  } else {
    warp.polled = nullptr;
  }
  uint32_t &to = warp.predicate(op.slot[0]);
  to = (to & ~mask) | (done & mask);
}

std::string waiting(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t address[32];
  addressesOf(warp, op, mask, address);
  int lane = std::countr_zero(mask);
  std::string what = op.flags & Flags::parity
                         ? "parity " + std::to_string(warp.values<uint32_t>(op.slot[1])[lane] & 1)
                         : "phase " + std::to_string(warp.values<uint64_t>(op.slot[1])[lane]);
  return what + " of " + warp.block->mbarriers.describe(address[lane]);
}

void takeOrder(Decoder &d) {
  d.oneOf({"release", "acquire", "relaxed"});
  d.oneOf({"cta", "cluster"});
}

/// The space and the b64 that all forms end with.
Space takeSpace(Decoder &d) {
  Space space = d.space();
  if ((space != Space::Shared && space != Space::Generic) || d.type() != Type::B64)
    d.unknown();
  return space;
}

void decodeArrive(Decoder &d, bool drops) {
  d.op().flags = drops ? Flags::drops : 0;
  bool expects = d.has("expect_tx");
  bool incomplete = d.has("noComplete");
  takeOrder(d);
  Space space = takeSpace(d);
  if (expects)
    d.needsHopper();
  d.expectOperands(expects || incomplete ? 3 : 2, 3);
  d.op().slot[0] = d.destination(d.operand(0), 8);
  d.address(d.operand(1), space, 8, 1);
  if (d.operands() == 3) {
    d.op().slot[1] = d.source(d.operand(2), 4);
    d.op().flags |= expects ? Flags::expects : Flags::counted;
  }
  d.op().flags |= incomplete ? Flags::incomplete : 0;
  if (d.operands() == 3 && !expects && !incomplete)
    d.needsHopper(); // sm_80 takes a count with .noComplete only
  d.op().run = &arrive;
}

void decodeWait(Decoder &d, bool blocks) {
  bool parity = d.has("parity");
  takeOrder(d);
  Space space = takeSpace(d);
  if (blocks)
    d.needsHopper();
  d.expectOperands(3, blocks ? 4 : 3);
  d.op().slot[0] = d.destinationPredicate(d.operand(0));
  d.address(d.operand(1), space, 8, 1);
  d.op().slot[1] = d.source(d.operand(2), parity ? 4 : 8);
  if (d.operands() == 4)
    d.source(d.operand(3), 4); // the time limit, which is reached when nothing else happens
  d.op().flags = (parity ? Flags::parity : 0) | (blocks ? Flags::blocks : 0);
  d.op().flow = Flow::Blocking;
  d.op().waiting = &waiting;
  d.op().run = &wait;
}

void decodeMbarrier(Decoder &d) {
  d.usesAsyncProxy();
  switch (d.oneOf({"init", "inval", "arrive", "arrive_drop", "test_wait", "try_wait", "expect_tx",
                   "complete_tx"})) {
  case 0: {
    Space space = takeSpace(d);
    d.expectOperands(2);
    d.address(d.operand(0), space, 8, 1);
    d.op().slot[1] = d.source(d.operand(1), 4);
    d.op().run = &initialise;
    return;
  }
  case 1: {
    Space space = takeSpace(d);
    d.expectOperands(1);
    d.address(d.operand(0), space, 8, 1);
    d.op().run = &invalidate;
    return;
  }
  case 2:
    return decodeArrive(d, false);
  case 3:
    return decodeArrive(d, true);
  case 4:
    return decodeWait(d, false);
  case 5:
    return decodeWait(d, true);
  case 6:
    // arrive.expect_tx says "arrive" first and has been taken above.
    break;
  case 7:
    d.op().immediate = 1;
    break;
  default:
    d.unknown();
  }
  d.needsHopper();
  takeOrder(d);
  Space space = takeSpace(d);
  d.expectOperands(2);
  d.address(d.operand(0), space, 8, 1);
  d.op().slot[1] = d.source(d.operand(1), 4);
  d.op().run = &transact;
}

} // namespace

void addMbarriers(DecodeTable &table) { table["mbarrier"] = &decodeMbarrier; }

} // namespace attncc::simulator
