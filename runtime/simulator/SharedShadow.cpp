//===- SharedShadow.cpp ---------------------------------------------------===//
//
// See SharedShadow.h. Pinned by test/simulator/SharedShadowTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/SharedShadow.h"

#include "runtime/simulator/Lanes.h"

namespace attncc::simulator {

namespace {

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string opAt(const Warp &warp, uint32_t positionAndOne) {
  const syntax::Instruction &text = warp.block->kernel.text[positionAndOne - 1];
  return std::string(text.opcode == "wgmma" ? "the product" : "the copy") + " of line " +
         std::to_string(text.line);
}

std::string toString(const Dim3 &dim) {
  return "(" + std::to_string(dim.x) + "," + std::to_string(dim.y) + "," + std::to_string(dim.z) +
         ")";
}

} // namespace

void SharedShadow::start(uint32_t sharedEnd, uint32_t threads) {
  clock = 0;
  granules.assign(threads ? sharedEnd / 16 + 1 : 0, {});
  fenced.assign(threads, 0);
  known.assign((threads + 31) / 32, {});
}

void SharedShadow::generic(Warp &warp, const Op &op, uint32_t mask, const uint64_t *address,
                           uint32_t bytes, bool write) {
  ++clock;
  forEachLane(mask, [&](int lane) {
    for (uint64_t at = address[lane]; at < address[lane] + bytes; at = (at | 15) + 1) {
      Granule &granule = granules[at >> 4];
      if (granule.writing)
        warp.fail(Finding::Kind::Hazard, op, lane,
                  std::string(write ? "write" : "read") + " of shared address " + hex(at) +
                      ", which " + opAt(warp, granule.writing) +
                      " is still writing; wait for its mbarrier first",
                  at);
      if (granule.mbarriers && warp.block->mbarriers.covers(uint32_t(at), bytes))
        warp.fail(Finding::Kind::Hazard, op, lane,
                  std::string(write ? "write" : "read") + " of shared address " + hex(at) +
                      ", which is a valid mbarrier",
                  at);
      if (!write)
        continue;
      if (granule.readers)
        warp.fail(Finding::Kind::Hazard, op, lane,
                  "write of shared address " + hex(at) + ", which " + opAt(warp, granule.reading) +
                      " may still read; wait for it first",
                  at);
      granule.time = clock;
      granule.moment = warp.block->races.now(warp).time;
      granule.writer = static_cast<uint16_t>(warp.index * 32 + uint32_t(lane));
    }
    if (op.access.ordered)
      return;
    Races &races = warp.block->races;
    const uint32_t at = static_cast<uint32_t>(address[lane]);
    if (write)
      return races.write(warp, op, lane, at, bytes);
    races.checkRead(warp, op, lane, at, bytes);
    races.recordRead(races.now(warp), at, bytes);
  });
}

void SharedShadow::fence(Warp &warp, uint32_t mask) {
  if (!active())
    return;
  ++clock;
  known[warp.index] = warp.block->races.clockOf(warp.index);
  forEachLane(mask, [&](int lane) { fenced[warp.index * 32 + uint32_t(lane)] = clock; });
}

void SharedShadow::setMbarrier(uint32_t address, bool valid) {
  Granule &granule = granules[address >> 4];
  unsigned half = address >> 3 & 1;
  granule.mbarriers =
      static_cast<uint16_t>((granule.mbarriers & ~(1u << half)) | (unsigned(valid) << half));
}

void SharedShadow::checkAsync(Warp &warp, const Op &op, int lane, uint32_t address,
                              const Granule &granule, const char *verb) {
  if (granule.writing)
    warp.fail(Finding::Kind::Hazard, op, lane,
              std::string("asynchronous ") + verb + " of shared address " + hex(address) +
                  ", which " + opAt(warp, granule.writing) +
                  " is still writing; wait for its mbarrier first",
              address);
  if (granule.mbarriers)
    warp.fail(Finding::Kind::Hazard, op, lane,
              std::string("asynchronous ") + verb + " of shared address " + hex(address) +
                  ", where a valid mbarrier is",
              address);
  uint32_t issuer = warp.index * 32 + uint32_t(lane);
  const bool byIssuer =
      fenced[issuer] >= granule.time && granule.moment <= known[warp.index].at[granule.writer / 32];
  if (granule.time && fenced[granule.writer] < granule.time && !byIssuer)
    warp.fail(Finding::Kind::Hazard, op, lane,
              std::string("asynchronous ") + verb + " of shared address " + hex(address) +
                  ", which thread " +
                  toString(threadOf(warp.block->state.launch->block, granule.writer)) +
                  " has written without a fence.proxy.async since",
              address);
}

void SharedShadow::beginRead(Warp &warp, const Op &op, int lane, uint32_t address) {
  Granule &granule = granules[address >> 4];
  checkAsync(warp, op, lane, address, granule, "read");
  warp.block->races.checkRead(warp, op, lane, address, 16, true);
  ++granule.readers;
  granule.reading = op.position + 1;
}

void SharedShadow::endRead(Races &races, const Races::Moment &moment, uint32_t address) {
  --granules[address >> 4].readers;
  races.recordRead(moment, address, 16);
}

void SharedShadow::beginWrite(Warp &warp, const Op &op, int lane, uint32_t address) {
  Granule &granule = granules[address >> 4];
  checkAsync(warp, op, lane, address, granule, "write");
  if (granule.readers)
    warp.fail(Finding::Kind::Hazard, op, lane,
              "asynchronous write of shared address " + hex(address) + ", which " +
                  opAt(warp, granule.reading) + " may still read; wait for it first",
              address);
  warp.block->races.write(warp, op, lane, address, 16, true);
  granule.writing = op.position + 1;
}

void SharedShadow::endWrite(uint32_t address) {
  Granule &granule = granules[address >> 4];
  granule.writing = 0;
  granule.time = 0;
}

} // namespace attncc::simulator
