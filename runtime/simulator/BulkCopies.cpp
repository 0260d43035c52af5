//===- BulkCopies.cpp -----------------------------------------------------===//
//
// See BulkCopies.h. Pinned by test/simulator/BulkCopyTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/BulkCopies.h"

#include "runtime/simulator/Lanes.h"
#include "runtime/simulator/TensorMap.h"

namespace attncc::simulator {

namespace {

/// Calls f(physical shared address, offset in the row) for each 16-byte chunk.
template <class F>
void forEachChunk(const BulkCopies::Copy &copy, const BulkCopies::Row &row, F f) {
  for (uint32_t offset = 0; offset < row.bytes; offset += 16)
    f(swizzled(row.shared + offset, copy.swizzle), offset);
}

} // namespace

void BulkCopies::start(uint32_t threads) {
  loads.clear();
  stores.clear();
  closed.assign(threads, 0);
}

void BulkCopies::load(Block &block, Warp &warp, Copy copy) {
  for (const Row &row : copy.rows)
    forEachChunk(copy, row, [&](uint32_t at, uint32_t) {
      block.shadow.beginWrite(warp, *copy.op, copy.lane, at);
      std::memset(&block.shared[at - sharedBase], pendingByte, 16);
    });
  block.races.release(warp, copy.clock);
  loads.push_back(std::move(copy));
}

void BulkCopies::store(Block &block, Warp &warp, Copy copy) {
  for (const Row &row : copy.rows)
    forEachChunk(copy, row, [&](uint32_t at, uint32_t) {
      block.shadow.beginRead(warp, *copy.op, copy.lane, at);
    });
  copy.group = closed[copy.warp * 32 + uint32_t(copy.lane)];
  stores.push_back(std::move(copy));
}

bool BulkCopies::land(Block &block, uint32_t mbarrier) {
  bool ended = false;
  size_t kept = 0;
  for (size_t i = 0; i < loads.size(); ++i) {
    if (loads[i].mbarrier != mbarrier) {
      if (kept != i)
        loads[kept] = std::move(loads[i]);
      ++kept;
      continue;
    }
    Copy copy = std::move(loads[i]);
    Warp &warp = block.warp(copy.warp);
    Mbarriers::State *state = block.mbarriers.find(mbarrier);
    if (state)
      state->arrived.join(copy.clock);
    if (state && state->phase != copy.phase)
      warp.fail(Finding::Kind::Barrier, *copy.op, copy.lane,
                "the copy's " + std::to_string(copy.bytes) + " bytes arrive after phase " +
                    std::to_string(copy.phase) + " of its mbarrier has ended: now it is " +
                    block.mbarriers.describe(mbarrier) + "; expect_tx has announced too few",
                mbarrier);
    for (const Row &row : copy.rows)
      forEachChunk(copy, row, [&](uint32_t at, uint32_t offset) {
        std::byte *to = &block.shared[at - sharedBase];
        if (row.from <= offset && offset + 16 <= row.to) {
          std::memcpy(to, reinterpret_cast<const std::byte *>(row.global + offset), 16);
        } else {
          std::memcpy(to, &copy.fill, 8);
          std::memcpy(to + 8, &copy.fill, 8);
          uint32_t first = std::max(row.from, offset), last = std::min(row.to, offset + 16);
          if (first < last)
            std::memcpy(to + (first - offset),
                        reinterpret_cast<const std::byte *>(row.global + first), last - first);
        }
        block.shadow.endWrite(at);
      });
    ended |= block.mbarriers.expect(warp, *copy.op, copy.lane, mbarrier, -int64_t(copy.bytes));
  }
  loads.resize(kept);
  return ended;
}

void BulkCopies::commit(Warp &warp, uint32_t mask) {
  forEachLane(mask, [&](int lane) { ++closed[warp.index * 32 + uint32_t(lane)]; });
}

void BulkCopies::readSource(Block &block, Copy &copy) {
  copy.read = true;
  const Races::Moment moment = block.races.now(block.warp(copy.warp));
  for (const Row &row : copy.rows)
    forEachChunk(copy, row, [&](uint32_t at, uint32_t) {
      const std::byte *from = &block.shared[at - sharedBase];
      copy.payload.insert(copy.payload.end(), from, from + 16);
      block.shadow.endRead(block.races, moment, at);
    });
}

void BulkCopies::write(Copy &copy) {
  const std::byte *from = copy.payload.data();
  for (const Row &row : copy.rows) {
    if (row.from < row.to)
      std::memcpy(reinterpret_cast<std::byte *>(row.global + row.from), from + row.from,
                  row.to - row.from);
    from += row.bytes;
  }
}

void BulkCopies::wait(Block &block, Warp &warp, uint32_t mask, uint32_t pending, bool readOnly) {
  size_t kept = 0;
  for (size_t i = 0; i < stores.size(); ++i) {
    Copy &copy = stores[i];
    bool done = false;
    if (copy.warp == warp.index && mask >> copy.lane & 1 &&
        uint64_t(copy.group) + pending < closed[warp.index * 32 + uint32_t(copy.lane)]) {
      if (!copy.read)
        readSource(block, copy);
      if (!readOnly)
        write(copy);
      done = !readOnly;
    }
    if (done)
      continue;
    if (kept != i)
      stores[kept] = std::move(copy);
    ++kept;
  }
  stores.resize(kept);
  ++block.events;
}

void BulkCopies::finish(Block &block) {
  if (!loads.empty()) {
    const Copy &copy = loads.front();
    block.warp(copy.warp).fail(Finding::Kind::Hazard, *copy.op, copy.lane,
                               "the block ends while the copy still writes its shared memory; wait "
                               "for " +
                                   block.mbarriers.describe(copy.mbarrier) + " first");
  }
  for (Copy &copy : stores) {
    if (!copy.read)
      block.warp(copy.warp).fail(Finding::Kind::Hazard, *copy.op, copy.lane,
                                 "the block ends while the copy still reads its shared memory; "
                                 "cp.async.bulk.wait_group.read comes first");
    write(copy);
  }
  stores.clear();
}

} // namespace attncc::simulator
