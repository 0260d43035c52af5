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
  for (uint32_t i = 0; i < warps.size(); ++i)
    warps[i].start(*this, i, threads);

  size_t unfinished = warps.size();
  while (unfinished > 0) {
    bool progress = false;
    for (Warp &warp : warps) {
      if (warp.finished() || !warp.runnable())
        continue;
      progress = true;
      warp.run(quantum);
      if (warp.finished()) {
        --unfinished;
        warpFinished();
      }
    }
    if (!progress)
      deadlock();
  }
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
  for (auto [number, op] : barrier.waiting) {
    Warp &warp = warps[number];
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
  for (uint32_t id = 0; id < barriers.size(); ++id)
    if (barriers[id].expected && completes(barriers[id]))
      complete(id);
}

void Block::deadlock() const {
  std::string message = "no warp can continue";
  const Warp *first = nullptr;
  uint32_t position = 0;
  for (uint32_t id = 0; id < barriers.size(); ++id)
    for (auto [number, op] : barriers[id].waiting) {
      const auto &text = kernel.text[op->position];
      message += "; warp " + std::to_string(number) + " waits at line " +
                 std::to_string(text.line) + " (" + text.text + ") for barrier " +
                 std::to_string(id) + ": " + std::to_string(barriers[id].arrived) + " of " +
                 std::to_string(barriers[id].expected) + " threads arrived";
      if (!first) {
        first = &warps[number];
        position = op->position;
      }
    }
  for (const Warp &warp : warps)
    if (warp.finished())
      message += "; warp " + std::to_string(warp.index) + " has exited";
  throw Stop{(first ? *first : warps[0]).finding(Finding::Kind::Deadlock, position, message)};
}

} // namespace attncc::simulator
