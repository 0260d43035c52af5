//===- Races.cpp ----------------------------------------------------------===//
//
// See Races.h. Pinned by test/simulator/RacesTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Lanes.h"

namespace attncc::simulator {

namespace {

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%x", value);
  return text;
}

} // namespace

void Races::start(uint32_t sharedEnd, uint32_t count) {
  clocks.assign(count, {});
  ordered = {};
  if (count == 0)
    return;
  const size_t words = sharedEnd / 4 + 1;
  // Times are compared, never subtracted; long before they could wrap all begins anew.
  if (count != warps || writes.size() != words || time > uint32_t(1) << 31) {
    warps = count;
    agents = count + (count + 3) / 4;
    time = 0;
    writes.assign(words, {});
    reads.assign(words * agents, 0);
  }
  for (Clock &clock : clocks)
    clock.at.fill(time);
  for (uint32_t i = 0; i < count; ++i)
    clocks[i].at[i] = ++time;
}

void Races::release(const Warp &warp, Clock &to) {
  if (!active())
    return;
  Clock &own = clocks[warp.index];
  to.join(own);
  own.at[warp.index] = ++time;
}

void Races::acquire(const Warp &warp, const Clock &from) {
  if (active())
    clocks[warp.index].join(from);
}

void Races::synchronise(const Warp &warp, bool reads, bool writes) {
  if (reads)
    acquire(warp, ordered);
  if (writes)
    release(warp, ordered);
}

Races::Moment Races::now(const Warp &warp) const {
  return active() ? Moment{warp.index, clocks[warp.index].at[warp.index]} : Moment{};
}

Races::Moment Races::product(uint32_t warpgroup, Clock &clock) {
  const uint32_t agent = warps + warpgroup;
  return {agent, clock.at[agent] = ++time};
}

void Races::race(Warp &warp, const Op &op, int lane, uint32_t word, bool write, bool asynchronous,
                 const std::string &other) const {
  warp.fail(Finding::Kind::Race, op, lane,
            std::string(asynchronous ? "asynchronous " : "") + (write ? "write" : "read") +
                " of shared address " + hex(word * 4) + ", which " + other +
                ", without a barrier between the two",
            word * 4);
}

void Races::afterWrite(Warp &warp, const Op &op, int lane, uint32_t word, bool write,
                       bool asynchronous) const {
  const Write &last = writes[word];
  race(warp, op, lane, word, write, asynchronous,
       "warp " + std::to_string(last.warp) + " has written at line " +
           std::to_string(warp.block->kernel.text[last.position].line));
}

void Races::checkRead(Warp &warp, const Op &op, int lane, uint32_t address, uint32_t bytes,
                      bool asynchronous) {
  if (!active())
    return;
  const Clock &own = clocks[warp.index];
  forEachWord(address, bytes, [&](uint32_t word, uint8_t mask) {
    if (isAfter(own, writes[word], mask))
      afterWrite(warp, op, lane, word, false, asynchronous);
  });
}

void Races::write(Warp &warp, const Op &op, int lane, uint32_t address, uint32_t bytes,
                  bool asynchronous) {
  if (!active())
    return;
  const Clock &own = clocks[warp.index];
  forEachWord(address, bytes, [&](uint32_t word, uint8_t mask) {
    if (isAfter(own, writes[word], mask))
      afterWrite(warp, op, lane, word, true, asynchronous);
    const uint32_t *read = &reads[size_t(word) * agents];
    bool late = false;
    for (uint32_t agent = 0; agent < agents; ++agent)
      late |= read[agent] > own.at[agent];
    if (late)
      afterRead(warp, op, lane, word, asynchronous);
    writes[word] = {own.at[warp.index], op.position, static_cast<uint8_t>(warp.index), mask};
  });
}

void Races::afterRead(Warp &warp, const Op &op, int lane, uint32_t word, bool asynchronous) const {
  const Clock &own = clocks[warp.index];
  uint32_t agent = 0;
  while (reads[size_t(word) * agents + agent] <= own.at[agent])
    ++agent;
  const uint32_t first = (agent - warps) * 4;
  race(warp, op, lane, word, true, asynchronous,
       agent < warps ? "warp " + std::to_string(agent) + " has read"
                     : "a product of warps " + std::to_string(first) + " to " +
                           std::to_string(first + 3) + " has read");
}

void Races::recordRead(const Moment &moment, uint32_t address, uint32_t bytes) {
  if (!active())
    return;
  forEachWord(address, bytes, [&](uint32_t word, uint8_t mask) {
    if (mask == 0xf)
      reads[size_t(word) * agents + moment.agent] = moment.time;
  });
}

} // namespace attncc::simulator
