//===- NoisePool.h - memory full of normal numbers ----------------------------===//
//
// Internal. The pages and queries that bench reads, and what its read kernel reads: zeros would be
// kinder to memory, wires and power than real keys and values are. The host draws one block of
// numbers, of a prime number of rows, so that no page size divides it; the device repeats it. So
// the host knows the number at every address. Test: test/bench/NoisePoolTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/bench/Machine.h"
#include "runtime/verify/Numbers.h"

#include <cstdint>
#include <vector>

namespace attncc::bench {

class NoisePool {
public:
  static constexpr size_t kBlockElements = 8 * 1048573; ///< 16 MiB, all but 48 bytes

  /// `label` is what a device calls the memory.
  NoisePool(const Machine &machine, uint64_t seed, const char *label)
      : machine(machine), seed(seed), label(label) {}

  /// At least `bytes` of numbers of `type`. What was reserved before is void.
  Result<std::byte *> reserve(size_t bytes, verify::NumberType type);
  size_t bytes() const { return memory.bytes(); }
  /// The bits of the element at this device address.
  uint16_t bitsAt(const uint16_t *address) const {
    return block[size_t(address - memory.as<uint16_t>()) % kBlockElements];
  }

private:
  Result<void> fill(verify::NumberType type);

  const Machine &machine;
  uint64_t seed;
  const char *label;
  Memory memory;
  verify::NumberType filled = verify::NumberType::BF16;
  std::vector<uint16_t> block; // shorter in small memory; empty: memory is not filled
};

} // namespace attncc::bench
