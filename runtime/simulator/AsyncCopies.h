//===- AsyncCopies.h - cp.async of one warp -------------------------------===//
//
// Internal to the simulator. PTX ISA §9.7.9.25 (non-bulk copies). Each thread has its own
// groups. A copy reads its source and writes its destination when its group is waited for,
// as late as the ISA allows; until then the destination holds NaN. The write counts there again
// for what comes after it: a fence or a barrier before the wait does not cover it. A missing wait,
// or a wait that leaves one group too many, therefore becomes a wrong number.
//
// Pinned by test/simulator/AsyncCopyTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace attncc::simulator {

class Warp;
struct Op;

class AsyncCopies {
public:
  void clear();

  /// One warp instruction; lanes of `mask` copy sourceBytes[lane] and zero-fill to `bytes`.
  struct Copy {
    const Op *op = nullptr;
    uint32_t mask = 0; ///< lanes that have not completed
    uint32_t group = 0;
    uint64_t serial = 0;
    uint32_t bytes = 0;
    std::array<std::byte *, 32> destination;
    std::array<const std::byte *, 32> source;
    std::array<uint8_t, 32> sourceBytes;
  };
  /// Adds a copy to the open group of each of its lanes.
  void issue(const Copy &copy);
  /// Closes the open group of each lane.
  void commit(uint32_t mask);
  /// Completes all but the `pending` newest closed groups of each lane.
  void wait(Warp &warp, uint32_t mask, uint32_t pending);
  /// Number of copies issued so far, and completing the ones of `mask` up to such a number.
  uint64_t issuedCopies() const { return issued; }
  void waitFor(Warp &warp, uint32_t mask, uint64_t serial);

private:
  std::vector<Copy> copies; ///< a ring would do; groups are few and short
  void complete(Warp &warp, Copy &copy, uint32_t lanes);
  void forget();
  uint64_t issued = 0;
  size_t first = 0;                  ///< copies before it have completed
  std::array<uint32_t, 32> closed{}; ///< number of closed groups per lane
};

} // namespace attncc::simulator
