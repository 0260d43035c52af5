//===- Block.cpp - the warps of a block and their barriers ----------------===//
//
// Warps run in turn; a barrier (PTX ISA §9.7.13.1) opens with its first arrival and
// completes when the expected number of threads has arrived, counted in whole warps.
// Warps that have exited count as arrived where the whole block is expected.
// Pinned by test/simulator/BarrierTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Barriers.h"
#include "runtime/simulator/Lanes.h"

#include <algorithm>

namespace attncc::simulator {

namespace {

/// Instructions of one warp before another has its turn.
constexpr uint64_t quantum = 1 << 16;
/// Rounds in which every warp only asks for a phase that has not ended, and nothing changes.
constexpr uint64_t mostIdleRounds = 4096;

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

} // namespace

Block::Block(LaunchState &state, Meter &meter) : state(state), meter(meter), kernel(*state.kernel) {
  size_t count = (state.launch->block.count() + 31) / 32;
  size_t registers = (kernel.registerImage.size() + 63) / 64 * 64;
  size_t local = (size_t(kernel.localBytes) * 32 + 63) / 64 * 64;
  storage.reset(new (std::align_val_t(64)) std::byte[count * (registers + local)]);
  warps.resize(count);
  for (size_t i = 0; i < count; ++i) {
    warps[i].registers = storage.get() + i * (registers + local);
    warps[i].local = warps[i].registers + registers;
  }
  shared.resize(kernel.info.staticShared + state.launch->dynamicShared);
}

void Block::run(Dim3 where) {
  index = where;
  executed = 0;
  for (size_t i = 0; i + 4 <= shared.size(); i += 4)
    std::memcpy(&shared[i], &poison, 4);
  for (size_t i = shared.size() / 4 * 4; i < shared.size(); ++i)
    shared[i] = std::byte(0xff);
  barriers = {};
  uint32_t threads = static_cast<uint32_t>(state.launch->block.count());
  mbarriers.clear();
  lateArrivals.clear();
  bulk.start(kernel.usesAsyncProxy ? threads : 0);
  shadow.start(sharedBase + uint32_t(shared.size()), kernel.usesAsyncProxy ? threads : 0);
  products.start(kernel, uint32_t(warps.size()));
  races.start(sharedBase + uint32_t(shared.size()),
              kernel.usesAsyncProxy ? uint32_t(warps.size()) : 0);
  events = eventsAtExpiry = 0;
  registerPool = 0;
  cluster = {};
  for (uint32_t i = 0; i < warps.size(); ++i)
    warps[i].start(*this, i, threads);

  size_t unfinished = warps.size();
  uint64_t idleRounds = 0;
  while (unfinished > 0) {
    bool progress = false, polling = true;
    const uint64_t before = events;
    for (size_t turn = 0; turn < warps.size(); ++turn) {
      Warp &warp = warps[state.options->order == Order::Ascending ? turn : warps.size() - 1 - turn];
      if (warp.finished() || !warp.runnable())
        continue;
      progress = true;
      warp.run(quantum);
      polling &= warp.yielded;
      if (warp.finished()) {
        --unfinished;
        warpFinished();
      }
    }
    idleRounds = progress && polling && events == before ? idleRounds + 1 : 0;
    if (idleRounds > mostIdleRounds || (!progress && !expireWaits()))
      deadlock();
  }
  products.finish(*this);
  bulk.finish(*this);
}

void Block::arriveAfterCopies(Warp &warp, const Op &op, int lane, uint32_t mbarrier) {
  lateArrivals.push_back({mbarrier, warp.index, lane, &op, warp.copies.issuedCopies()});
  wake(); // somebody may wait already
}

void Block::land(uint32_t mbarrier) {
  bool ended = bulk.land(*this, mbarrier);
  for (size_t i = 0; i < lateArrivals.size();) {
    LateArrival arrival = lateArrivals[i];
    if (arrival.mbarrier != mbarrier) {
      ++i;
      continue;
    }
    lateArrivals.erase(lateArrivals.begin() + i);
    Warp &from = warps[arrival.warp];
    from.copies.waitFor(from, uint32_t(1) << arrival.lane, arrival.serial);
    ended |= mbarriers.arrive(from, *arrival.op, arrival.lane, mbarrier, 1);
  }
  if (ended)
    wake();
}

void Block::completeCluster() {
  ++events;
  uint32_t needed = 0;
  for (const Warp &warp : warps)
    needed += !warp.finished() || warp.clusterArrivals > cluster.phase;
  if (cluster.arrived == 0 || cluster.arrived < needed)
    return;
  ++cluster.phase;
  cluster.arrived = 0;
  wake();
}

void Block::wake() {
  ++events;
  for (Warp &warp : warps)
    for (Split &split : warp.splits)
      if (split.state == Split::State::WaitsForEvent)
        split.state = Split::State::Ready;
}

/// Nobody can go on: waits with a time limit reach it, unless that has changed nothing before.
bool Block::expireWaits() {
  if (events == eventsAtExpiry)
    return false;
  eventsAtExpiry = events;
  bool any = false;
  for (Warp &warp : warps)
    for (Split &split : warp.splits)
      if (split.state == Split::State::WaitsForEvent &&
          kernel.ops[split.position].flow == Flow::Blocking) {
        split.state = Split::State::Ready;
        split.timedOut = any = true;
      }
  return any;
}

bool Block::completes(const Barrier &barrier) const {
  uint32_t arrived = barrier.arrived;
  if (barrier.everyone)
    for (const Warp &warp : warps)
      if (warp.finished() &&
          std::find(barrier.warps.begin(), barrier.warps.end(), warp.index) == barrier.warps.end())
        arrived += 32;
  return arrived >= barrier.expected;
}

void Block::arrive(Warp &warp, const Op &op, uint32_t mask) {
  int lane = std::countr_zero(mask);
  auto uniform = [&](uint32_t slot, const char *what) {
    const uint32_t *values = warp.values<uint32_t>(slot);
    forEachLane(mask, [&](int other) {
      if (values[other] != values[lane])
        warp.fail(Finding::Kind::Barrier, op, other,
                  std::string(what) + " differs between lanes: " + std::to_string(values[lane]) +
                      " and " + std::to_string(values[other]));
    });
    return values[lane];
  };
  uint32_t id = uniform(op.slot[BarrierSlots::id], "barrier number");
  if (id >= barriers.size())
    warp.fail(Finding::Kind::Barrier, op, lane,
              "barrier number is " + std::to_string(id) + ", expected 0 to 15");
  bool everyone = !(op.flags & BarrierFlags::counted);
  uint32_t count = everyone ? uint32_t(warps.size()) * 32
                            : uniform(op.slot[BarrierSlots::count], "thread count");
  if (count == 0 || count % 32 != 0 || count > warps.size() * 32)
    warp.fail(Finding::Kind::Barrier, op, lane,
              "barrier " + std::to_string(id) + " expects " + std::to_string(count) +
                  " threads, allowed is a multiple of 32 up to " +
                  std::to_string(warps.size() * 32));

  Barrier &barrier = barriers[id];
  if (barrier.expected == 0) {
    barrier.expected = count;
    barrier.op = &op;
  } else if (barrier.expected != count) {
    warp.fail(Finding::Kind::Barrier, op, lane,
              "barrier " + std::to_string(id) + " expects " + std::to_string(count) +
                  " threads here and " + std::to_string(barrier.expected) + " at line " +
                  std::to_string(kernel.text[barrier.op->position].line));
  }
  barrier.everyone |= everyone;
  if (std::find(barrier.warps.begin(), barrier.warps.end(), warp.index) != barrier.warps.end())
    warp.fail(Finding::Kind::Barrier, op, lane,
              "warp " + std::to_string(warp.index) + " arrives twice at barrier " +
                  std::to_string(id));
  ++meter.barriers;
  ++events;
  races.release(warp, barrier.clock);
  barrier.arrived += 32;
  barrier.warps.push_back(warp.index);
  if (op.flags & BarrierFlags::reduces) {
    uint32_t bits = warp.predicate(op.slot[BarrierSlots::source]);
    if (op.flags & BarrierFlags::negated)
      bits = ~bits;
    barrier.population += std::popcount(bits & mask);
    barrier.contributors += std::popcount(mask);
  }
  if (op.flags & BarrierFlags::waits)
    barrier.waiting.push_back({warp.index, &op});
  else
    warp.release();
  if (completes(barrier))
    complete(id);
}

void Block::complete(uint32_t id) {
  Barrier barrier = std::exchange(barriers[id], {});
  if (barrier.everyone && races.active())
    for (const Warp &warp : warps)
      if (warp.finished())
        barrier.clock.join(races.clockOf(warp.index));
  for (auto [number, op] : barrier.waiting) {
    Warp &warp = warps[number];
    races.acquire(warp, barrier.clock);
    if (op->flags & BarrierFlags::reduces) {
      uint32_t slot = op->slot[BarrierSlots::destination];
      switch (static_cast<BarrierReduction>(op->immediate)) {
      case BarrierReduction::Population:
        std::fill_n(warp.values<uint32_t>(slot), 32, barrier.population);
        break;
      case BarrierReduction::And:
        warp.predicate(slot) = barrier.population == barrier.contributors ? allLanes : 0;
        break;
      case BarrierReduction::Or:
        warp.predicate(slot) = barrier.population > 0 ? allLanes : 0;
        break;
      }
    }
    warp.release();
  }
}

void Block::warpFinished() {
  completeCluster();
  for (uint32_t id = 0; id < barriers.size(); ++id)
    if (barriers[id].expected && completes(barriers[id]))
      complete(id);
}

void Block::deadlock() {
  std::string message = "no warp can continue";
  const Warp *first = nullptr;
  uint32_t position = 0;
  auto waits = [&](const Warp &warp, uint32_t mask, uint32_t at) {
    const auto &text = kernel.text[at];
    message += "; warp " + std::to_string(warp.index);
    if (mask != warp.live)
      message += " lanes " + hex(mask);
    message += " waits at line " + std::to_string(text.line) + " (" + text.text + ") for ";
    if (!first) {
      first = &warp;
      position = at;
    }
  };
  for (uint32_t id = 0; id < barriers.size(); ++id)
    for (auto [number, op] : barriers[id].waiting) {
      waits(warps[number], warps[number].live, op->position);
      message += "barrier " + std::to_string(id) + ": " + std::to_string(barriers[id].arrived) +
                 " of " + std::to_string(barriers[id].expected) + " threads arrived";
    }
  for (Warp &warp : warps)
    for (const Split &split : warp.splits) {
      const Op &op = kernel.ops[split.position];
      if (split.state == Split::State::WaitsForEvent) {
        waits(warp, split.mask, split.position);
        message += op.waiting(warp, op, split.mask);
      } else if (split.state == Split::State::WaitsForLanes) {
        waits(warp, split.mask, split.position);
        message += "the other lanes of its warp";
      } else if (split.state == Split::State::Ready && warp.polled) {
        waits(warp, split.mask, warp.polled->position);
        message += warp.polled->waiting(warp, *warp.polled, warp.polledMask);
      }
    }
  for (const Warp &warp : warps)
    if (warp.finished())
      message += "; warp " + std::to_string(warp.index) + " has exited";
  throw Stop{(first ? *first : warps[0]).finding(Finding::Kind::Deadlock, position, message)};
}

} // namespace attncc::simulator
