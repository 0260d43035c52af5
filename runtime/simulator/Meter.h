//===- Meter.h - traffic, wavefronts and conflicts ------------------------===//
//
// Internal to the simulator. Rules: global memory has 32-byte sectors, counted once per
// warp instruction; shared memory has 32 banks of 4 bytes and serves a warp instruction in
// phases of 128 bytes (32 lanes of up to 4 bytes, 16 of 8, 8 of 16; one 8x8 matrix of
// ldmatrix). A phase costs as many wavefronts as the fullest bank has distinct words.
//
// Pinned by test/simulator/MeterTest.cpp against a separate brute force.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Simulator.h"

#include <array>
#include <atomic>
#include <mutex>

namespace attncc::simulator {

/// Which bytes of a range were touched, for ranges of any size: memory is taken for the
/// touched parts only. Threads may mark at the same time.
class UniqueBytes {
public:
  UniqueBytes(uint64_t begin, uint64_t end);
  ~UniqueBytes();
  UniqueBytes(const UniqueBytes &) = delete;
  UniqueBytes &operator=(const UniqueBytes &) = delete;

  /// Marks bytes of the sector (address / 32): bit i is byte i.
  void mark(uint64_t sector, uint32_t bytes);
  uint64_t sectors() const;
  uint64_t bytes() const;

private:
  static constexpr unsigned sectorsPerChunk = 1024;
  using Word = std::atomic<uint32_t>;
  uint64_t firstSector, chunks;
  std::atomic<Word *> *table;  ///< calloc: untouched parts cost nothing
  std::vector<Word *> touched; ///< the chunks of the table that exist
  std::mutex lock;             ///< of `touched`
};

/// Counters of one host thread.
class Meter {
public:
  Meter(size_t instructions, size_t ranges);

  /// One warp instruction on one range.
  void global(size_t range, bool write, const uint64_t *address, uint32_t mask, uint32_t bytes,
              UniqueBytes &unique);
  /// A contiguous part of a bulk copy. `lastSector` is the one that the part before it ended in.
  void bulk(size_t range, bool write, uint64_t address, uint64_t bytes, bool firstOfRange,
            uint64_t &lastSector, UniqueBytes &unique);
  /// One warp instruction on shared memory; `bytes` per lane: 1, 2, 4, 8 or 16.
  void shared(uint32_t position, const uint32_t *address, uint32_t mask, uint32_t bytes);
  /// ldmatrix: `count` matrices of eight 16-byte rows, row r of matrix j at address[8j + r].
  void matrices(uint32_t position, const uint32_t *address, uint32_t count);
  /// Atomics: lanes on one address take turns.
  void sharedAtomic(uint32_t position, const uint32_t *address, uint32_t mask);

  void add(const Meter &other);

  std::vector<uint64_t> executions;            ///< per instruction
  std::vector<SharedTraffic> sharedTraffic;    ///< per instruction
  std::vector<std::array<Traffic, 2>> traffic; ///< per range: read, write
  uint64_t lanes = 0, localBytes = 0, barriers = 0, matrixProducts = 0, asyncCopies = 0,
           bulkCopies = 0;
};

/// Wavefronts and ideal of one warp instruction.
SharedTraffic wavefronts(const uint32_t *address, uint32_t mask, uint32_t bytes);

} // namespace attncc::simulator
