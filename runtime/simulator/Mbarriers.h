//===- Mbarriers.h - barriers in shared memory that count -----------------===//
//
// Internal to the simulator. PTX ISA §9.7.13.15. The eight bytes of an mbarrier are opaque:
// its state lives here, by address, and the bytes belong to nobody else while it is valid.
//
//   arrive      pending -= count
//   expect_tx   transactions += bytes, complete_tx (asynchronous copies): -= bytes
//   pending and transactions both zero: the phase ends, pending starts again
//
// A wait for a phase that has not ended suspends the lanes; the block wakes them when any
// phase ends. Asynchronous copies land when somebody waits for their mbarrier: as late as
// the ISA allows, but never later than anybody needs them.
//
// Pinned by test/simulator/MbarrierTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Races.h"

#include <unordered_map>

namespace attncc::simulator {

class Mbarriers {
public:
  static constexpr int64_t mostCount = (1 << 20) - 1;

  struct State {
    uint32_t expected = 0, pending = 0;
    int64_t transactions = 0;
    uint64_t phase = 0; ///< that is under way; earlier ones have ended
    unsigned line = 0;  ///< of its init
    Clock arrived;      ///< of all arrivals and copies so far
    Clock past;         ///< the same when the last phase ended
    /// Whether the phase with this parity has ended: the current one or the one before it.
    bool ended(uint32_t parity) const { return (phase & 1) != (parity & 1); }
  };

  void clear() { states.clear(); }
  /// Null where no mbarrier is valid.
  State *find(uint32_t address) {
    auto found = states.find(address);
    return found == states.end() ? nullptr : &found->second;
  }
  /// True if any of the bytes belongs to a valid mbarrier.
  bool covers(uint32_t address, uint32_t bytes) const;
  void init(uint32_t address, uint32_t count, unsigned line) {
    states[address] = {count, count, 0, 0, line, {}, {}};
  }
  void invalidate(uint32_t address) { states.erase(address); }

  // Throw Stop for counts out of range. True if the phase ended.
  bool arrive(Warp &warp, const Op &op, int lane, uint32_t address, uint32_t count);
  bool expect(Warp &warp, const Op &op, int lane, uint32_t address, int64_t bytes);

  /// "mbarrier 0x440 (phase 3, 1 of 2 arrivals pending, 4096 bytes pending)"
  std::string describe(uint32_t address);

private:
  std::unordered_map<uint32_t, State> states;
};

} // namespace attncc::simulator
