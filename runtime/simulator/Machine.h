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
// Warps of a block run in turn, each until it must wait. All waiting is a deadlock.
//
// Pinned by test/simulator/ControlTest.cpp and BarrierTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/AsyncCopies.h"
#include "runtime/simulator/Meter.h"
#include "runtime/simulator/Program.h"

#include <new>

namespace attncc::simulator {

class Block;

/// Thrown by handlers: the launch stops with this finding.
struct Stop {
  Finding finding;
};

struct Split {
  enum class State : uint8_t { Ready, WaitsForLanes, WaitsAtBarrier };
  uint32_t position = 0, mask = 0;
  State state = State::Ready;
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
  uint32_t live = 0;   ///< lanes that exist and have not exited
  uint32_t carry = 0;  ///< the carry flag of each lane
  int cachedRange = 0; ///< of the last global access
  uint32_t independent = 0; ///< lanes that may still run beside the launch in front
  AsyncCopies copies;

  /// Lanes that may still meet at a barrier release: called by the block.
  void release();
  std::vector<Split> splits;

private:
  bool pick(size_t &chosen);
  void execute(size_t chosen);
  bool gather(const Op &op, Split &split, uint32_t active);
  [[noreturn]] void stuck() const;

  uint64_t budget = 0;
  uint64_t sinceRotation = 0;
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
};

/// Executes one block at a time; its storage is reused.
class Block {
public:
  Block(LaunchState &state, Meter &meter);

  /// Throws Stop.
  void run(Dim3 index);

  void arrive(Warp &warp, const Op &op, uint32_t mask);

  LaunchState &state;
  Meter &meter;
  const Kernel &kernel;
  Dim3 index;
  std::vector<std::byte> shared; ///< shared address sharedBase is shared[0]
  uint64_t executed = 0;         ///< warp instructions of this block

private:
  friend class Warp;
  bool completes(const Barrier &barrier) const;
  void complete(uint32_t id);
  void warpFinished();
  [[noreturn]] void deadlock() const;

  std::vector<Warp> warps;
  struct Release {
    void operator()(std::byte *bytes) const { ::operator delete[](bytes, std::align_val_t(64)); }
  };
  std::unique_ptr<std::byte[], Release> storage; ///< register files and local memory
  std::array<Barrier, 16> barriers;
};

Dim3 threadOf(const Dim3 &block, uint32_t linear);

} // namespace attncc::simulator
