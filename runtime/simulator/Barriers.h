//===- Barriers.h - operands of a barrier op ------------------------------===//
//
// Internal to the simulator: what Control.cpp decodes and Block.cpp executes.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>

namespace attncc::simulator {

namespace BarrierSlots {
enum : unsigned { id, count, destination, source };
}
namespace BarrierFlags {
enum : uint8_t { counted = 1, waits = 2, reduces = 4, negated = 8 };
}
enum class BarrierReduction : uint64_t { Population, And, Or };

} // namespace attncc::simulator
