//===- ReadBandwidth.h - how fast this GPU reads its memory -------------------===//
//
// Internal. The yardstick of decode, which reads keys and values once and writes next to nothing. A
// kernel of 256 threads reads one tile of 32 KiB a block, eight loads of 16 bytes under way in
// each thread; no other form of loads, tiles or grids was faster. Each thread folds what it read
// into one word and stores it where it equals a key that the launch gives, so no load can be left
// out and next to nothing is written.
// Test: test/bench/ReadBandwidthTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/bench/Machine.h"

#include <cstdint>
#include <string>

namespace attncc::bench {

class ReadKernel {
public:
  static constexpr int64_t kThreads = 256, kLoads = 8, kTileBytes = kThreads * kLoads * 16;

  static Result<ReadKernel> load(device::Device &device);
  /// `bytes` is a multiple of kTileBytes. A thread whose words, all xored, are `key` stores it at
  /// `found`.
  Result<void> launch(device::Device &device, const void *data, int64_t bytes, uint32_t *found,
                      uint32_t key, device::Stream stream) const;
  static std::string text();

private:
  std::unique_ptr<device::Kernel> kernel;
};

struct ReadBandwidth {
  int64_t bytes = 0, samples = 0;
  double best = 0, median = 0; ///< GB/s: 10^9 bytes a second
};

/// Reads all of [data, data + bytes) in each sample.
Result<ReadBandwidth> measureRead(const Machine &machine, const void *data, int64_t bytes,
                                  int64_t samples);

} // namespace attncc::bench
