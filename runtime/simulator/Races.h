//===- Races.h - is what one warp did before what another does ------------===//
//
// Internal to the simulator. Vector clocks (Lamport 1978; FastTrack, Flanagan & Freund 2009) of the
// agents that reach shared memory: warps, and the products of each warpgroup. A clock says up to
// which time of each agent everything has happened before. What joins clocks:
//
//   bar.*, barrier.cluster   of the ones that arrive into those that wait
//   mbarrier                 of arrivals and of copies that land, by way of the phase's end
//   wgmma.wait_group         of the four warps when they issued, and of the products themselves
//   atomics, and accesses with an order (relaxed, acquire, release): all of a block
//
// For each word the last write and each agent's last read are known. A read that the last write is
// not before, and a write that any of them is not before, is a race. Lanes of one warp are in order
// with each other. Bulk copies count as their warp: what is under way is the business of
// SharedShadow.h. Accesses of less than a word leave no read behind.
//
// Pinned by test/simulator/RacesTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace attncc::simulator {

class Warp;
struct Op;

struct Clock {
  std::array<uint32_t, 40> at{}; ///< by agent: 32 warps at most, and their warpgroups

  void join(const Clock &other) {
    for (size_t i = 0; i < at.size(); ++i)
      at[i] = std::max(at[i], other.at[i]);
  }
};

class Races {
public:
  /// Something that an agent does.
  struct Moment {
    uint32_t agent = 0, time = 0;
  };

  /// For a new block; 0 warps: nothing is kept.
  void start(uint32_t sharedEnd, uint32_t warps);
  bool active() const { return !clocks.empty(); }

  /// What the warp has done so far is before those that acquire `to` later.
  void release(const Warp &warp, Clock &to);
  void acquire(const Warp &warp, const Clock &from);
  /// An atomic, or an access with an order.
  void synchronise(const Warp &warp, bool reads, bool writes);
  const Clock &clockOf(uint32_t warp) const { return clocks[warp]; }

  Moment now(const Warp &warp) const;
  /// A product that begins: acquiring `clock` is to know of it.
  Moment product(uint32_t warpgroup, Clock &clock);

  // Throw Stop for a race.
  void checkRead(Warp &warp, const Op &op, int lane, uint32_t address, uint32_t bytes,
                 bool asynchronous = false);
  void write(Warp &warp, const Op &op, int lane, uint32_t address, uint32_t bytes,
             bool asynchronous = false);
  void recordRead(const Moment &moment, uint32_t address, uint32_t bytes);

private:
  struct Write {
    uint32_t time = 0, position = 0;
    uint8_t warp = 0;
    uint8_t bytes = 0; ///< of the word, one bit for each
  };
  /// Calls f(index of the word, mask of its bytes).
  template <class F> static void forEachWord(uint32_t address, uint32_t bytes, F f) {
    for (uint32_t at = address, end = address + bytes; at < end; at = (at | 3) + 1) {
      const uint32_t first = at & 3, last = std::min(4u, end - (at & ~3u));
      f(at >> 2, static_cast<uint8_t>((1u << last) - (1u << first)));
    }
  }
  [[noreturn]] void race(Warp &warp, const Op &op, int lane, uint32_t word, bool write,
                         bool asynchronous, const std::string &other) const;
  [[noreturn]] void afterWrite(Warp &warp, const Op &op, int lane, uint32_t word, bool write,
                               bool asynchronous) const;
  [[noreturn]] void afterRead(Warp &warp, const Op &op, int lane, uint32_t word,
                              bool asynchronous) const;
  /// True if the write is not before what an agent with this clock does to bytes of the word.
  static bool isAfter(const Clock &own, const Write &last, uint8_t mask) {
    return last.bytes & mask && last.time > own.at[last.warp];
  }

  uint32_t warps = 0, agents = 0;
  uint32_t time = 0; ///< grows through all blocks, so that what earlier ones left is long past
  std::vector<Clock> clocks;   ///< of the warps
  Clock ordered;               ///< of accesses with an order
  std::vector<Write> writes;   ///< by word
  std::vector<uint32_t> reads; ///< by word and agent: time
};

} // namespace attncc::simulator
