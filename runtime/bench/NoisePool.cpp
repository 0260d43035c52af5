// See NoisePool.h.
#include "runtime/bench/NoisePool.h"

#include "runtime/verify/Random.h"

#include <algorithm>

namespace attncc::bench {

Result<std::byte *> NoisePool::reserve(size_t bytes, verify::NumberType type) {
  if (memory.bytes() < bytes) {
    memory = Memory(); // before the next: they may not fit together
    block.clear();
    Result<Memory> allocated = Memory::allocate(machine.device, bytes, label);
    if (!allocated)
      return allocated.error();
    memory = std::move(*allocated);
  }
  if (block.empty() || filled != type)
    if (Result<void> done = fill(type); !done)
      return done.error();
  return memory.as<std::byte>();
}

Result<void> NoisePool::fill(verify::NumberType type) {
  const size_t bytes = memory.bytes();
  block.resize(std::min(kBlockElements, (bytes + 1) / 2));
  verify::Random random(seed);
  for (uint16_t &element : block)
    element = verify::fromFloat(type, random.normal());
  filled = type;
  size_t done = std::min(bytes, 2 * block.size());
  device::Device &device = *machine.device;
  Result<void> copied = device.copy(memory.as<void>(), block.data(), done, machine.stream());
  // Twice as much with each copy; what is repeated stays a multiple of the block.
  while (copied && done < bytes) {
    const size_t next = std::min(done, bytes - done);
    copied =
        device.copy(memory.as<std::byte>() + done, memory.as<std::byte>(), next, machine.stream());
    done += next;
  }
  if (!copied)
    block.clear();
  return copied;
}

} // namespace attncc::bench
