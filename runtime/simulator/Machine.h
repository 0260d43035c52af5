//===- Machine.h - warps and blocks that execute --------------------------===//
//
// Internal to the simulator.
//
// A warp is a small set of splits: groups of lanes with a common position. One step picks
// the runnable split with the smallest position and executes it until it meets another
// split (they merge), branches apart or must wait. With blocks laid out in text order this
// reconverges at or near the post-dominator without an analysis of the control flow. A
// split that waits for lanes of its warp (PTX ISA: .sync, .aligned) lets the others run.
// After many steps the order rotates, since one lane may spin on another.
//
// Warps of a block run in turn, each until it must wait. Lanes that wait for an event of the
// block (an mbarrier's phase, registers, a warpgroup's products) are suspended and try again
// when one has happened. When nobody can go on, waits that have a time limit reach it, once;
// if that changes nothing either, all waiting is a deadlock.
//
// Pinned by test/simulator/ControlTest.cpp, BarrierTest.cpp and MbarrierTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/AsyncCopies.h"
#include "runtime/simulator/BulkCopies.h"
#include "runtime/simulator/Mbarriers.h"
#include "runtime/simulator/Meter.h"
#include "runtime/simulator/Products.h"
#include "runtime/simulator/Program.h"
#include "runtime/simulator/SharedShadow.h"

#include <new>

namespace attncc::simulator {

class Block;

/// Thrown by handlers: the launch stops with this finding.
struct Stop {
  Finding finding;
};

struct Split {
  enum class State : uint8_t { Ready, WaitsForLanes, WaitsAtBarrier, WaitsForEvent };
  uint32_t position = 0, mask = 0;
  State state = State::Ready;
  bool timedOut = false; ///< a wait with a time limit that is over
};

class Warp {
public:
  /// Prepares the warp for a new block.
  void start(Block &block, uint32_t index, uint32_t threads);

  /// Executes until nothing can, or `quantum` instructions.
  void run(uint64_t quantum);
  bool finished() const { return live == 0; }
  bool runnable() const;

  //===--- for handlers ---------------------------------------------------===//

  /// The lanes of this Blocking op cannot go on: they execute it again after Block::wake.
  void suspend() { suspended = true; }
  /// Another warp has its turn after this op.
  void yield() { yielded = true; }

  template <class T> T *values(uint32_t slot) { return reinterpret_cast<T *>(registers + slot); }
  uint32_t &predicate(uint32_t slot) { return *reinterpret_cast<uint32_t *>(registers + slot); }

  [[noreturn]] void fail(Finding::Kind kind, const Op &op, int lane, std::string message,
                         uint64_t address = 0, std::string buffer = {}) const;
  /// A finding without a thread.
  Finding finding(Finding::Kind kind, uint32_t position, std::string message) const;

  Block *block = nullptr;
  std::byte *registers = nullptr;
  std::byte *local = nullptr; ///< localBytes for each lane
  uint32_t index = 0;
  uint32_t live = 0;             ///< lanes that exist and have not exited
  uint32_t carry = 0;            ///< the carry flag of each lane
  int cachedRange = 0;           ///< of the last global access
  uint32_t independent = 0;      ///< lanes that may still run beside the launch in front
  uint32_t registersHeld = 0;    ///< of each thread, for setmaxnreg
  bool timedOut = false;         ///< the wait that executes now has reached its time limit
  uint64_t clusterArrivals = 0;  ///< phase of the cluster barrier that the last arrival ends
  bool arrivedAtCluster = false; ///< and has not waited since
  const Op *polled = nullptr;    ///< the last test_wait that failed
  uint32_t polledMask = 0;
  AsyncCopies copies;

  /// Lanes that may still meet at a barrier release: called by the block.
  void release();
  std::vector<Split> splits;

private:
  bool pick(size_t &chosen);
  void execute(size_t chosen);
  bool gather(const Op &op, Split &split, uint32_t active);
  [[noreturn]] void stuck() const;

  friend class Block;
  uint64_t budget = 0;
  uint64_t sinceRotation = 0;
  bool suspended = false, yielded = false;
};

/// What all blocks of a launch share.
struct LaunchState {
  const Module *module = nullptr;
  const Kernel *kernel = nullptr;
  const Launch *launch = nullptr;
  const Options *options = nullptr;
  std::vector<MemoryMap::Range> ranges; ///< the caller's and the module's, sorted
  std::vector<std::unique_ptr<UniqueBytes>> uniqueRead, uniqueWritten; ///< per range
};

struct Barrier {
  uint32_t expected = 0;       ///< threads; 0: no generation is open
  bool everyone = false;       ///< no count was written: the threads of the block
  uint32_t arrived = 0;        ///< threads
  std::vector<uint32_t> warps; ///< that arrived
  struct Waiter {
    uint32_t warp;
    const Op *op;
  };
  std::vector<Waiter> waiting;
  const Op *op = nullptr;    ///< of the first arrival
  uint32_t population = 0;   ///< bar.red: true predicates so far
  uint32_t contributors = 0; ///< bar.red: threads so far
  Clock clock;               ///< of those that arrived
};

struct ClusterBarrier {
  uint64_t phase = 0;
  uint32_t arrived = 0; ///< warps
  Clock clock;          ///< of all arrivals
};

/// Executes one block at a time; its storage is reused.
class Block {
public:
  Block(LaunchState &state, Meter &meter);

  /// Throws Stop.
  void run(Dim3 index);
  Warp &warp(uint32_t number) { return warps[number]; }

  void arrive(Warp &warp, const Op &op, uint32_t mask);
  /// Completes the asynchronous copies that the mbarrier at this shared address counts.
  void land(uint32_t mbarrier);
  /// cp.async.mbarrier.arrive: arrivals that follow the warp's copies so far.
  void arriveAfterCopies(Warp &warp, const Op &op, int lane, uint32_t mbarrier);
  /// Something has happened that suspended lanes may wait for.
  void wake();

  LaunchState &state;
  Meter &meter;
  const Kernel &kernel;
  Dim3 index;
  std::vector<std::byte> shared; ///< shared address sharedBase is shared[0]
  uint64_t executed = 0;         ///< warp instructions of this block
  uint64_t events = 0; ///< changes that another warp can see; without any, waiting is a deadlock
  Mbarriers mbarriers;
  BulkCopies bulk;
  Products products;
  SharedShadow shadow;
  Races races;
  ClusterBarrier cluster;
  void completeCluster();
  uint64_t registerPool = 0; ///< registers that setmaxnreg.dec gave back

private:
  friend class Warp;
  bool completes(const Barrier &barrier) const;
  void complete(uint32_t id);
  void warpFinished();
  bool expireWaits();
  [[noreturn]] void deadlock();

  std::vector<Warp> warps;
  struct Release {
    void operator()(std::byte *bytes) const { ::operator delete[](bytes, std::align_val_t(64)); }
  };
  std::unique_ptr<std::byte[], Release> storage; ///< register files and local memory
  std::array<Barrier, 16> barriers;
  struct LateArrival {
    uint32_t mbarrier, warp;
    int lane;
    const Op *op;
    uint64_t serial; ///< of the warp's last copy
  };
  std::vector<LateArrival> lateArrivals;
  uint64_t eventsAtExpiry = 0;
};

Dim3 threadOf(const Dim3 &block, uint32_t linear);

} // namespace attncc::simulator
