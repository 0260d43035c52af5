//===- Widths.h - registers wider than the type ---------------------------===//
//
// Internal to the simulator. PTX ISA §9.4.1: cvt, ld and st take registers that are wider
// than their type. Sources give their low bits; results are zero-extended, or
// sign-extended for signed types, to the whole register.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Lanes.h"

namespace attncc::simulator {

template <class T, class Register> void narrowLanes(T *out, const Register *in) {
  for (int lane = 0; lane < 32; ++lane)
    out[lane] = static_cast<T>(in[lane]);
}

/// The low bits of a register of `width` bytes as integers T.
template <class T> void readLanes(Warp &warp, uint32_t slot, unsigned width, T *out) {
  if (width == sizeof(T))
    std::memcpy(out, warp.values<T>(slot), 32 * sizeof(T));
  else if (width == 2)
    narrowLanes(out, warp.values<uint16_t>(slot));
  else if (width == 4)
    narrowLanes(out, warp.values<uint32_t>(slot));
  else
    narrowLanes(out, warp.values<uint64_t>(slot));
}

template <class Register, class T>
void extendLanes(Warp &warp, uint32_t slot, const T *in, uint32_t mask) {
  alignas(64) Register wide[32];
  using Extended = std::conditional_t<std::is_signed_v<T>, std::make_signed_t<Register>, Register>;
  for (int lane = 0; lane < 32; ++lane)
    wide[lane] = static_cast<Register>(static_cast<Extended>(in[lane]));
  keepActive(warp.values<Register>(slot), wide, mask);
}

/// Writes integers T to a register of `width` bytes, extended as T's sign says.
template <class T>
void writeLanes(Warp &warp, uint32_t slot, unsigned width, const T *in, uint32_t mask) {
  if (width == sizeof(T))
    keepActive(warp.values<T>(slot), in, mask);
  else if (width == 2)
    extendLanes<uint16_t>(warp, slot, in, mask);
  else if (width == 4)
    extendLanes<uint32_t>(warp, slot, in, mask);
  else
    extendLanes<uint64_t>(warp, slot, in, mask);
}

} // namespace attncc::simulator
