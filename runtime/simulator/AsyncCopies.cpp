//===- AsyncCopies.cpp ----------------------------------------------------===//
//
// See AsyncCopies.h. Pinned by test/simulator/AsyncCopyTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/AsyncCopies.h"

#include "runtime/simulator/Lanes.h"

namespace attncc::simulator {

void AsyncCopies::clear() {
  copies.clear();
  first = 0;
  issued = 0;
  closed.fill(0);
}

void AsyncCopies::issue(const Copy &copy) {
  forEachLane(copy.mask,
              [&](int lane) { std::memset(copy.destination[lane], pendingByte, copy.bytes); });
  ++issued;
  // Lanes whose open groups differ in number wait apart, so they are kept apart.
  for (uint32_t rest = copy.mask; rest;) {
    uint32_t group = closed[std::countr_zero(rest)], same = 0;
    forEachLane(rest, [&](int lane) { same |= uint32_t(closed[lane] == group) << lane; });
    copies.push_back(copy);
    copies.back().mask = same;
    copies.back().group = group;
    copies.back().serial = issued;
    rest &= ~same;
  }
}

void AsyncCopies::commit(uint32_t mask) {
  forEachLane(mask, [&](int lane) { ++closed[lane]; });
}

void AsyncCopies::wait(Warp &warp, uint32_t mask, uint32_t pending) {
  for (size_t i = first; i < copies.size(); ++i) {
    uint32_t ready = 0;
    forEachLane(copies[i].mask & mask, [&](int lane) {
      ready |= uint32_t(uint64_t(copies[i].group) + pending < closed[lane]) << lane;
    });
    complete(warp, copies[i], ready);
  }
  forget();
}

void AsyncCopies::waitFor(Warp &warp, uint32_t mask, uint64_t serial) {
  for (size_t i = first; i < copies.size() && copies[i].serial <= serial; ++i)
    complete(warp, copies[i], copies[i].mask & mask);
  forget();
}

void AsyncCopies::complete(Warp &warp, Copy &copy, uint32_t lanes) {
  if (Block &block = *warp.block; block.shadow.active()) {
    uint64_t address[32];
    forEachLane(lanes, [&](int lane) {
      address[lane] = sharedBase + uint64_t(copy.destination[lane] - block.shared.data());
    });
    block.shadow.generic(warp, *copy.op, lanes, address, copy.bytes, true);
  }
  forEachLane(lanes, [&](int lane) {
    uint32_t bytes = copy.sourceBytes[lane];
    if (bytes) // else there may be no source
      std::memcpy(copy.destination[lane], copy.source[lane], bytes);
    std::memset(copy.destination[lane] + bytes, 0, copy.bytes - bytes);
  });
  copy.mask &= ~lanes;
}

void AsyncCopies::forget() {
  while (first < copies.size() && copies[first].mask == 0)
    ++first;
  if (first == copies.size()) {
    copies.clear();
    first = 0;
  } else if (first >= 256) {
    copies.erase(copies.begin(), copies.begin() + first);
    first = 0;
  }
}

} // namespace attncc::simulator
