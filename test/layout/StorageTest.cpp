//===- StorageTest.cpp - Slots and scratch without overlap or conflict --------===//
#include "dialects/tile/layout/Storage.h"

#include <gtest/gtest.h>

namespace attncc::tile {
namespace {

TEST(Storage, SlotsKeepEveryTileAtItsSwizzleAtom) {
  // 128-byte panels beside 32-byte panels: the second slot must not shift the first tile's atoms.
  std::vector<StoredTile> tiles = {{sharedSwizzled(16, 64, 2), 2}, {sharedSwizzled(16, 16, 2), 2}};
  RingStorage s = ringStorage(tiles);
  EXPECT_EQ(s.tileOffsets, (std::vector<int64_t>{0, 2048}));
  EXPECT_EQ(s.slotBytes, 3072);
  EXPECT_EQ(ringStorage({tiles[1], tiles[0]}).tileOffsets, (std::vector<int64_t>{0, 1024}));
  RingStorage equal = ringStorage({tiles[0], tiles[0]});
  EXPECT_EQ(equal.slotBytes, 4096);
}

TEST(Storage, ScratchOfTheMergeMeetsNoBankTwice) {
  for (int64_t columns = 16; columns <= 256; columns += 16)
    for (int64_t rows : {8, 16, 32}) {
      MergeScratch s = mergeScratch(rows, columns);
      EXPECT_GE(s.statisticsOffset, (rows - 1) * s.pitchBytes + 4 * columns);
      EXPECT_GE(s.unitBytes, s.statisticsOffset + 8 * rows);
      Layout o = mmaAccumulator(columns, rows).transposed();
      for (int64_t r = 0; r < o.registersPerThread(); ++r) {
        std::vector<int64_t> offsets;
        for (int64_t l = 0; l < 32; ++l) {
          Coordinate c = o.at(r, l);
          offsets.push_back(c.row * s.pitchBytes + 4 * c.column);
        }
        EXPECT_EQ(bankConflicts(offsets, 4), 0);
      }
      Layout x = blockDistributed(rows, columns, 4);
      for (int64_t r = 0; r < x.registersPerThread(); r += 4) {
        std::vector<int64_t> offsets;
        for (int64_t l = 0; l < 32; ++l) {
          Coordinate c = x.at(r, l);
          offsets.push_back(c.row * s.pitchBytes + 4 * c.column);
        }
        EXPECT_EQ(bankConflicts(offsets, 16), 0) << rows << "x" << columns;
      }
    }
}

} // namespace
} // namespace attncc::tile
