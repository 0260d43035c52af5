//===- Meter.cpp ----------------------------------------------------------===//
//
// See Meter.h. Pinned by test/simulator/MeterTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Meter.h"

#include "runtime/simulator/Lanes.h"

#include <cstdlib>

namespace attncc::simulator {

//===----------------------------------------------------------------------===//
// UniqueBytes
//===----------------------------------------------------------------------===//

UniqueBytes::UniqueBytes(uint64_t begin, uint64_t end)
    : firstSector(begin >> 5),
      chunks(((end - 1) >> 5) / sectorsPerChunk - (begin >> 5) / sectorsPerChunk + 1) {
  firstSector -= firstSector % sectorsPerChunk;
  table = static_cast<std::atomic<Word *> *>(std::calloc(chunks, sizeof(*table)));
}

UniqueBytes::~UniqueBytes() {
  for (Word *chunk : touched)
    delete[] chunk;
  std::free(table);
}

void UniqueBytes::mark(uint64_t sector, uint32_t bytes) {
  uint64_t offset = sector - firstSector;
  std::atomic<Word *> &entry = table[offset / sectorsPerChunk];
  Word *chunk = entry.load(std::memory_order_acquire);
  if (!chunk) {
    Word *fresh = new Word[sectorsPerChunk]();
    if (entry.compare_exchange_strong(chunk, fresh, std::memory_order_acq_rel)) {
      chunk = fresh;
      std::lock_guard guard(lock);
      touched.push_back(fresh);
    } else {
      delete[] fresh;
    }
  }
  Word &word = chunk[offset % sectorsPerChunk];
  if (bytes & ~word.load(std::memory_order_relaxed))
    word.fetch_or(bytes, std::memory_order_relaxed);
}

uint64_t UniqueBytes::sectors() const {
  uint64_t count = 0;
  for (const Word *chunk : touched)
    for (unsigned k = 0; k < sectorsPerChunk; ++k)
      count += chunk[k].load(std::memory_order_relaxed) != 0;
  return count;
}

uint64_t UniqueBytes::bytes() const {
  uint64_t count = 0;
  for (const Word *chunk : touched)
    for (unsigned k = 0; k < sectorsPerChunk; ++k)
      count += std::popcount(chunk[k].load(std::memory_order_relaxed));
  return count;
}

//===----------------------------------------------------------------------===//
// Meter
//===----------------------------------------------------------------------===//

Meter::Meter(size_t instructions, size_t ranges)
    : executions(instructions), sharedTraffic(instructions), traffic(ranges) {}

void Meter::global(size_t range, bool write, const uint64_t *address, uint32_t mask, uint32_t bytes,
                   UniqueBytes &unique) {
  Traffic &figures = traffic[range][write];
  ++figures.requests;
  figures.bytes += uint64_t(bytes) * std::popcount(mask);

  // Distinct sectors with the bytes touched in each. Lanes mostly come in ascending order.
  struct {
    uint64_t sector;
    uint32_t bytes;
  } touched[64];
  unsigned count = 0, last = 0;
  uint64_t largest = 0;
  forEachLane(mask, [&](int lane) {
    uint64_t at = address[lane];
    for (uint32_t left = bytes; left > 0;) {
      uint64_t sector = at >> 5;
      uint32_t offset = at & 31, here = std::min(left, 32 - offset);
      uint32_t bits = static_cast<uint32_t>(((uint64_t(1) << here) - 1) << offset);
      if (count == 0 || touched[last].sector != sector) {
        unsigned found = count;
        if (count > 0 && sector <= largest)
          for (found = 0; found < count && touched[found].sector != sector; ++found)
            ;
        if (found == count)
          touched[count++] = {sector, 0};
        largest = std::max(largest, sector);
        last = found;
      }
      touched[last].bytes |= bits;
      at += here;
      left -= here;
    }
  });
  figures.sectors += count;
  for (unsigned i = 0; i < count; ++i)
    unique.mark(touched[i].sector, touched[i].bytes);
}

void Meter::bulk(size_t range, bool write, uint64_t address, uint64_t bytes, bool firstOfRange,
                 uint64_t &lastSector, UniqueBytes &unique) {
  Traffic &figures = traffic[range][write];
  figures.requests += firstOfRange;
  figures.bytes += bytes;
  for (uint64_t left = bytes; left > 0;) {
    uint64_t sector = address >> 5, offset = address & 31, here = std::min(left, 32 - offset);
    unique.mark(sector, static_cast<uint32_t>(((uint64_t(1) << here) - 1) << offset));
    figures.sectors += firstOfRange || sector != lastSector;
    firstOfRange = false;
    lastSector = sector;
    address += here;
    left -= here;
  }
}

namespace {

/// Distinct words per bank of one phase.
struct Phase {
  uint32_t words[32][32];
  uint8_t count[32] = {};
  unsigned distinct = 0, fullest = 0;

  void touch(uint32_t word) {
    unsigned bank = word & 31;
    for (unsigned i = 0; i < count[bank]; ++i)
      if (words[bank][i] == word)
        return;
    words[bank][count[bank]++] = word;
    fullest = std::max<unsigned>(fullest, count[bank]);
    ++distinct;
  }
  void close(SharedTraffic &figures) const {
    figures.wavefronts += fullest;
    figures.ideal += (distinct + 31) / 32;
  }
};

} // namespace

SharedTraffic wavefronts(const uint32_t *address, uint32_t mask, uint32_t bytes) {
  SharedTraffic figures;
  figures.accesses = 1;
  unsigned phases = bytes <= 4 ? 1 : bytes / 4;
  unsigned lanesEach = 32 / phases;
  for (unsigned i = 0; i < phases; ++i) {
    uint32_t lanes = phases == 1 ? allLanes : ((uint32_t(1) << lanesEach) - 1) << (i * lanesEach);
    lanes &= mask;
    if (!lanes)
      continue;
    Phase phase;
    forEachLane(lanes, [&](int lane) {
      for (uint32_t word = address[lane] >> 2; word <= (address[lane] + bytes - 1) >> 2; ++word)
        phase.touch(word);
    });
    phase.close(figures);
  }
  return figures;
}

namespace {

void accumulate(SharedTraffic &to, const SharedTraffic &from) {
  to.accesses += from.accesses;
  to.wavefronts += from.wavefronts;
  to.ideal += from.ideal;
}

} // namespace

void Meter::shared(uint32_t position, const uint32_t *address, uint32_t mask, uint32_t bytes) {
  accumulate(sharedTraffic[position], wavefronts(address, mask, bytes));
}

void Meter::matrices(uint32_t position, const uint32_t *address, uint32_t count) {
  SharedTraffic figures;
  figures.accesses = 1;
  for (uint32_t matrix = 0; matrix < count; ++matrix) {
    Phase phase;
    for (uint32_t row = 0; row < 8; ++row)
      for (uint32_t word = 0; word < 4; ++word)
        phase.touch((address[8 * matrix + row] >> 2) + word);
    phase.close(figures);
  }
  accumulate(sharedTraffic[position], figures);
}

void Meter::sharedAtomic(uint32_t position, const uint32_t *address, uint32_t mask) {
  SharedTraffic figures = wavefronts(address, mask, 4);
  uint32_t most = 1;
  forEachLane(mask, [&](int lane) {
    uint32_t same = 0;
    forEachLane(mask, [&](int other) { same += address[other] == address[lane]; });
    most = std::max(most, same);
  });
  figures.wavefronts *= most;
  accumulate(sharedTraffic[position], figures);
}

void Meter::add(const Meter &other) {
  for (size_t i = 0; i < executions.size(); ++i) {
    executions[i] += other.executions[i];
    accumulate(sharedTraffic[i], other.sharedTraffic[i]);
  }
  for (size_t i = 0; i < traffic.size(); ++i)
    for (size_t k = 0; k < 2; ++k) {
      traffic[i][k].requests += other.traffic[i][k].requests;
      traffic[i][k].bytes += other.traffic[i][k].bytes;
      traffic[i][k].sectors += other.traffic[i][k].sectors;
    }
  lanes += other.lanes;
  localBytes += other.localBytes;
  barriers += other.barriers;
  matrixProducts += other.matrixProducts;
  asyncCopies += other.asyncCopies;
  bulkCopies += other.bulkCopies;
}

} // namespace attncc::simulator
