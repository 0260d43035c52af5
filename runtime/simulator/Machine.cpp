//===- Machine.cpp - warps: splits, guards, waiting for lanes -------------===//
//
// See Machine.h for the algorithm. PTX ISA §3.1 (SIMT), §9.7.13 (collectives).
// Pinned by test/simulator/ControlTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Machine.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace attncc::simulator {

namespace {

/// Steps of a warp with several runnable splits after which another one has its turn.
constexpr uint64_t rotationSteps = 4096;

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

} // namespace

Dim3 threadOf(const Dim3 &block, uint32_t linear) {
  return {linear % block.x, linear / block.x % block.y, linear / block.x / block.y};
}

void Warp::start(Block &owner, uint32_t number, uint32_t threads) {
  block = &owner;
  index = number;
  uint32_t lanes = std::min<uint32_t>(32, threads - number * 32);
  live = lanes == 32 ? ~uint32_t(0) : (uint32_t(1) << lanes) - 1;
  carry = 0;
  independent = owner.kernel.waitsForGrid ? ~uint32_t(0) : 0;
  cachedRange = 0;
  sinceRotation = 0;
  registersHeld = owner.kernel.launchRegisters;
  clusterArrivals = 0;
  arrivedAtCluster = false;
  polled = nullptr;
  copies.clear();
  splits.assign(1, Split{0, live, Split::State::Ready});

  const Kernel &kernel = owner.kernel;
  const Launch &launch = *owner.state.launch;
  std::memcpy(registers, kernel.registerImage.data(), kernel.registerImage.size());
  std::memset(local, pendingByte, size_t(kernel.localBytes) * 32);
  for (auto [slot, special] : kernel.specials)
    for (uint32_t lane = 0; lane < 32; ++lane) {
      Dim3 thread = threadOf(launch.block, number * 32 + lane);
      uint32_t bit = uint32_t(1) << lane;
      uint32_t value = 0;
      switch (special) {
      case Special::TidX:
        value = thread.x;
        break;
      case Special::TidY:
        value = thread.y;
        break;
      case Special::TidZ:
        value = thread.z;
        break;
      case Special::NtidX:
        value = launch.block.x;
        break;
      case Special::NtidY:
        value = launch.block.y;
        break;
      case Special::NtidZ:
        value = launch.block.z;
        break;
      case Special::CtaidX:
        value = owner.index.x;
        break;
      case Special::CtaidY:
        value = owner.index.y;
        break;
      case Special::CtaidZ:
        value = owner.index.z;
        break;
      case Special::NctaidX:
        value = launch.grid.x;
        break;
      case Special::NctaidY:
        value = launch.grid.y;
        break;
      case Special::NctaidZ:
        value = launch.grid.z;
        break;
      case Special::LaneId:
        value = lane;
        break;
      case Special::WarpId:
        value = number;
        break;
      case Special::NWarpId:
        value = (threads + 31) / 32;
        break;
      case Special::LaneMaskEq:
        value = bit;
        break;
      case Special::LaneMaskLt:
        value = bit - 1;
        break;
      case Special::LaneMaskLe:
        value = bit | (bit - 1);
        break;
      case Special::LaneMaskGt:
        value = ~(bit | (bit - 1));
        break;
      case Special::LaneMaskGe:
        value = ~(bit - 1);
        break;
      case Special::DynamicShared:
        value = launch.dynamicShared;
        break;
      case Special::TotalShared:
        value = kernel.info.staticShared + launch.dynamicShared;
        break;
      case Special::SmId:
        value = 0;
        break;
      case Special::NSmId:
        value = 1;
        break;
      case Special::GridId:
      case Special::Zero:
        value = 0;
        break;
      case Special::One:
        value = 1;
        break;
      }
      values<uint32_t>(slot)[lane] = value;
    }
}

bool Warp::runnable() const {
  return std::any_of(splits.begin(), splits.end(),
                     [](const Split &split) { return split.state == Split::State::Ready; });
}

void Warp::run(uint64_t quantum) {
  budget = quantum;
  yielded = false;
  while (live && budget > 0 && !yielded) {
    size_t chosen;
    if (!pick(chosen))
      break;
    execute(chosen);
  }
  if (!live || runnable())
    return;
  // Lanes that wait for lanes which wait for an event are in order.
  bool waiting = false, forEvent = false;
  for (const Split &split : splits) {
    waiting |= split.state == Split::State::WaitsForLanes;
    forEvent |= split.state == Split::State::WaitsForEvent;
  }
  if (waiting && !forEvent)
    stuck();
}

/// Merges splits that meet and chooses one to run.
bool Warp::pick(size_t &chosen) {
  for (size_t a = 0; a < splits.size(); ++a)
    for (size_t b = a + 1; b < splits.size();) {
      if (splits[a].position == splits[b].position &&
          splits[a].state != Split::State::WaitsAtBarrier &&
          splits[b].state != Split::State::WaitsAtBarrier) {
        splits[a].mask |= splits[b].mask;
        splits[a].state = Split::State::Ready;
        splits[a].timedOut &= splits[b].timedOut;
        splits.erase(splits.begin() + b);
      } else {
        ++b;
      }
    }
  bool any = false;
  bool last = sinceRotation > rotationSteps;
  for (size_t i = 0; i < splits.size(); ++i) {
    if (splits[i].state != Split::State::Ready)
      continue;
    if (!any || (last ? splits[i].position > splits[chosen].position
                      : splits[i].position < splits[chosen].position))
      chosen = i;
    any = true;
  }
  if (last)
    sinceRotation = 0;
  return any;
}

/// True if `op` may execute now. Otherwise the split waits for other lanes.
bool Warp::gather(const Op &op, Split &split, uint32_t active) {
  if (op.flow != Flow::Collective) {
    if (split.mask != live) {
      split.state = Split::State::WaitsForLanes;
      return false;
    }
    if (active != split.mask)
      fail(Finding::Kind::Divergence, op, std::countr_zero(split.mask & ~active),
           "the guard of an aligned instruction holds for lanes " + hex(active) + " of " +
               hex(split.mask));
    if (op.flow == Flow::Aligned && live != ~uint32_t(0))
      fail(Finding::Kind::Divergence, op, std::countr_zero(~live),
           "needs 32 live lanes, has " + hex(live));
    return true;
  }
  const uint32_t *members = values<uint32_t>(op.slot[13]);
  uint32_t needed = 0;
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    int lane = std::countr_zero(rest);
    if (!(members[lane] >> lane & 1))
      fail(Finding::Kind::Operand, op, lane,
           "member mask " + hex(members[lane]) + " does not name lane " + std::to_string(lane));
    needed |= members[lane];
  }
  needed &= live;
  if ((needed & ~active) == 0)
    return true;
  split.state = Split::State::WaitsForLanes;
  if (active != split.mask) {
    splits.push_back({split.position + 1, split.mask & ~active, Split::State::Ready});
    split.mask = active;
  }
  return false;
}

void Warp::execute(size_t chosen) {
  Split split = splits[chosen];
  uint32_t limit = ~uint32_t(0);
  for (const Split &other : splits)
    if (other.position > split.position && other.state != Split::State::WaitsAtBarrier)
      limit = std::min(limit, other.position);
  const bool alone = splits.size() == 1;
  const Op *ops = block->kernel.ops.data();
  uint64_t *executions = block->meter.executions.data();
  const uint64_t before = budget;
  uint64_t lanes = 0;

  bool more = true;
  while (more && budget > 0 && split.position < limit) {
    const Op &op = ops[split.position];
    uint32_t active = split.mask;
    if (op.guarded) {
      uint32_t guard = predicate(op.guard);
      active &= op.guardNegated ? ~guard : guard;
    }
    if (op.flow != Flow::Next) {
      if (op.flow == Flow::Collective || op.flow == Flow::Aligned || op.flow == Flow::Barrier ||
          op.flow == Flow::WarpBlocking) {
        if (active && !gather(op, split, active))
          break; // counted when it executes
      }
    }
    if (op.productUses && active)
      block->products.use(*this, op);
    --budget;
    ++executions[split.position];
    lanes += std::popcount(active);
    switch (op.flow) {
    case Flow::Next:
    case Flow::Collective:
    case Flow::Aligned:
      if (active)
        op.run(*this, op, active);
      ++split.position;
      break;
    case Flow::Branch:
      if (active == 0) {
        ++split.position;
      } else if (active == split.mask) {
        more = alone || op.target > split.position;
        split.position = op.target;
      } else {
        splits.push_back({op.target, active, Split::State::Ready});
        split.mask &= ~active;
        ++split.position;
        more = false;
      }
      break;
    case Flow::IndexedBranch: {
      const std::vector<uint32_t> &table = block->kernel.branchTables[op.target];
      const uint32_t *index = values<uint32_t>(op.slot[0]);
      uint32_t staying = split.mask & ~active;
      for (uint32_t rest = active; rest;) {
        int lane = std::countr_zero(rest);
        if (index[lane] >= table.size())
          fail(Finding::Kind::Operand, op, lane,
               "branch index " + std::to_string(index[lane]) + " of " +
                   std::to_string(table.size()) + " targets");
        uint32_t same = 0;
        for (uint32_t other = rest; other; other &= other - 1)
          if (index[std::countr_zero(other)] == index[lane])
            same |= other & (0 - other);
        splits.push_back({table[index[lane]], same, Split::State::Ready});
        rest &= ~same;
      }
      split.mask = staying;
      ++split.position;
      more = false;
      break;
    }
    case Flow::Exit:
      live &= ~active;
      split.mask &= ~active;
      ++split.position;
      more = false;
      for (Split &other : splits) // the lanes that a waiting split still needs may be fewer now
        if (other.state == Split::State::WaitsForLanes)
          other.state = Split::State::Ready;
      break;
    case Flow::Blocking:
    case Flow::WarpBlocking:
      if (active) {
        suspended = false;
        timedOut = split.timedOut;
        op.run(*this, op, active);
        if (suspended) { // counted when it succeeds
          ++budget;
          --executions[split.position];
          lanes -= std::popcount(active);
          if (active != split.mask) {
            splits.push_back({split.position + 1, split.mask & ~active, Split::State::Ready});
            split.mask = active;
          }
          split.state = Split::State::WaitsForEvent;
          more = false;
          break;
        }
        more = !yielded;
      }
      split.timedOut = false;
      ++split.position;
      break;
    case Flow::Barrier:
      ++split.position;
      if (active) {
        // The block may release this warp at once, so its splits must be up to date.
        split.state = Split::State::WaitsAtBarrier;
        splits[chosen] = split;
        block->arrive(*this, op, active);
        split = splits[chosen];
        more = split.state == Split::State::Ready;
      }
      break;
    }
  }
  splits[chosen] = split;
  if (split.mask == 0)
    splits.erase(splits.begin() + chosen);
  sinceRotation = alone ? 0 : sinceRotation + (before - budget) + 1;
  block->executed += before - budget;
  block->meter.lanes += lanes;
  if (block->executed > block->state.options->maxInstructionsPerBlock)
    throw Stop{finding(Finding::Kind::DidNotFinish,
                       std::min(split.position, uint32_t(block->kernel.ops.size() - 1)),
                       "did not finish within " +
                           std::to_string(block->state.options->maxInstructionsPerBlock) +
                           " warp instructions of a block")};
}

void Warp::release() {
  for (Split &split : splits)
    if (split.state == Split::State::WaitsAtBarrier)
      split.state = Split::State::Ready;
}

Finding Warp::finding(Finding::Kind kind, uint32_t position, std::string message) const {
  const Kernel &kernel = block->kernel;
  Finding result;
  result.kind = kind;
  result.message = std::move(message);
  result.kernel = kernel.info.name;
  result.block = block->index;
  result.thread = threadOf(block->state.launch->block, index * 32);
  if (position < kernel.text.size()) {
    result.instruction = kernel.text[position].text;
    result.line = kernel.text[position].line;
    result.source = kernel.text[position].source;
  }
  return result;
}

void Warp::fail(Finding::Kind kind, const Op &op, int lane, std::string message, uint64_t address,
                std::string buffer) const {
  Finding result = finding(kind, op.position, std::move(message));
  result.thread = threadOf(block->state.launch->block, index * 32 + uint32_t(lane));
  result.address = address;
  result.buffer = std::move(buffer);
  throw Stop{std::move(result)};
}

void Warp::stuck() const {
  std::string message = "the lanes of warp " + std::to_string(index) + " wait at different places";
  uint32_t position = ~uint32_t(0);
  for (const Split &split : splits) {
    if (split.state == Split::State::WaitsForLanes)
      position = std::min(position, split.position);
    const auto &text = block->kernel.text;
    message += "; lanes " + hex(split.mask) + " at ";
    message += split.position < text.size() ? "line " + std::to_string(text[split.position].line) +
                                                  ": " + text[split.position].text
                                            : std::string("the end");
  }
  throw Stop{finding(Finding::Kind::Divergence, position, message)};
}

} // namespace attncc::simulator
