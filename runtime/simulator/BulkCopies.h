//===- BulkCopies.h - cp.async.bulk of a block ----------------------------===//
//
// Internal to the simulator. PTX ISA §9.7.9.25.4 and §9.7.9.27 (tensor copies). A copy is a
// list of rows, contiguous on both sides before the swizzle, which permutes the 16-byte
// chunks by bits of the absolute shared address.
//
//   load   into shared memory; counts bytes on an mbarrier. It lands when somebody waits for
//          that mbarrier; until then its destination is NaN and may not be touched.
//   store  out of shared memory; belongs to a group of its thread. wait_group.read reads the
//          source, wait_group also writes the destination: a group that nobody waits for is
//          written when the block ends, if its source has been read by then.
//
// Pinned by test/simulator/BulkCopyTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Program.h"
#include "runtime/simulator/Races.h"

namespace attncc::simulator {

class Block;

class BulkCopies {
public:
  struct Row {
    uint32_t shared = 0, bytes = 0;
    uint32_t from = 0, to = 0; ///< bytes of it that are inside the tensor
    uint64_t global = 0;       ///< address of byte 0
  };
  struct Copy {
    const Op *op = nullptr;
    uint32_t warp = 0;
    int lane = 0;
    uint32_t swizzle = 0; ///< mask
    std::vector<Row> rows;
    uint64_t fill = 0; ///< pattern of bytes outside the tensor, repeated
    uint64_t bytes = 0;
    // Loads:
    uint32_t mbarrier = 0;
    uint64_t phase = 0;
    Clock clock; ///< of the warp when it issued
    // Stores:
    uint32_t group = 0;
    bool read = false;
    std::vector<std::byte> payload;
  };

  void start(uint32_t threads);
  void load(Block &block, Warp &warp, Copy copy);
  void store(Block &block, Warp &warp, Copy copy);
  /// Completes the loads that the mbarrier counts; true if its phase ended.
  bool land(Block &block, uint32_t mbarrier);
  void commit(Warp &warp, uint32_t mask);
  /// Leaves at most `pending` groups of each lane.
  void wait(Block &block, Warp &warp, uint32_t mask, uint32_t pending, bool readOnly);
  /// The block ends: copies that nobody has waited for are findings.
  void finish(Block &block);

private:
  void readSource(Block &block, Copy &copy);
  void write(Copy &copy);

  std::vector<Copy> loads, stores;
  std::vector<uint32_t> closed; ///< groups of each thread
};

} // namespace attncc::simulator
