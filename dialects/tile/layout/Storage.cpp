//===- Storage.cpp - How shared memory is divided ----------------------------===//
//
// See Storage.h. Test: test/layout/StorageTest.cpp.
//===----------------------------------------------------------------------===//
#include "dialects/tile/layout/Storage.h"

#include <algorithm>

namespace attncc::tile {

static int64_t roundUp(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

RingStorage ringStorage(const std::vector<StoredTile> &tiles) {
  RingStorage storage;
  int64_t widest = 16;
  for (const StoredTile &tile : tiles) {
    int64_t atom = (int64_t(1) << tile.layout.offsetBasis().size()) * tile.elementBytes;
    widest = std::max(widest, atom);
    storage.slotBytes = roundUp(storage.slotBytes, atom);
    storage.tileOffsets.push_back(storage.slotBytes);
    storage.slotBytes += tile.layout.offsets() * tile.elementBytes;
  }
  storage.slotBytes = roundUp(storage.slotBytes, widest);
  return storage;
}

MergeScratch mergeScratch(int64_t rows, int64_t columns) {
  MergeScratch scratch;
  scratch.pitchBytes = (columns + 4) * 4;
  scratch.statisticsOffset = rows * scratch.pitchBytes;
  scratch.unitBytes = roundUp(scratch.statisticsOffset + rows * 8, 16);
  return scratch;
}

} // namespace attncc::tile
