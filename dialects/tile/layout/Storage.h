//===- Storage.h - How shared memory is divided ------------------------------===//
//
// The byte layouts that `--tile-pack-shared-memory` reserves and the conversion addresses: slots of
// rings, and the scratch in which units that divide the keys meet. Written once, so that the two
// cannot disagree. Test: test/layout/StorageTest.cpp.
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_DIALECTS_TILE_LAYOUT_STORAGE_H
#define ATTNCC_DIALECTS_TILE_LAYOUT_STORAGE_H

#include "dialects/tile/layout/Layout.h"

namespace attncc::tile {

/// A region of shared memory begins at a multiple of this: eight rows of 128 bytes, the largest
/// swizzle atom.
constexpr int64_t sharedAlignment = 1024;

/// One tile of a slot.
struct StoredTile {
  Layout layout;
  int64_t elementBytes;
};

/// A ring is depth slots of `slotBytes`, one ring behind the other when each unit has its own. A
/// tile begins at a multiple of its swizzle atom.
struct RingStorage {
  std::vector<int64_t> tileOffsets;
  int64_t slotBytes = 0;
};
RingStorage ringStorage(const std::vector<StoredTile> &tiles);

/// Where the units of a block leave maximum, sum and value of `rows` x `columns` f32 for each
/// other: unit u's element (r, c) lies at u·unitBytes + r·pitchBytes + 4c, its maximum and sum of
/// row r (two f32) at u·unitBytes + statisticsOffset + 8r. The pitch has four floats more than a
/// row: the swapped accumulator's store (lane: row 2c, column g) then meets every bank once for any
/// multiple of 16 columns, and so do float4 reads along rows.
struct MergeScratch {
  int64_t pitchBytes = 0, statisticsOffset = 0, unitBytes = 0;
};
MergeScratch mergeScratch(int64_t rows, int64_t columns);

} // namespace attncc::tile

#endif // ATTNCC_DIALECTS_TILE_LAYOUT_STORAGE_H
