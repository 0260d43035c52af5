//===- Addressing.h - from a memory operand to host memory ----------------===//
//
// Internal to the simulator. Every access of every lane passes here: the address is
// formed, generic addresses are sorted into their windows, alignment and bounds are
// checked, the meter is told, and host pointers come out. PTX ISA §5.1, §6.4.
//
// Pinned by test/simulator/MemoryTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Lanes.h"

namespace attncc::simulator {

enum class Mode : uint8_t { Read, Write, Atomic };

struct HostLanes {
  std::byte *pointer[32];
};

/// Resolves op.access for the lanes of `mask`; throws Stop.
void resolve(Warp &warp, const Op &op, uint32_t mask, Mode mode, HostLanes &host);

/// Address of each lane as the text forms it (register + offset), before any check.
void formAddresses(Warp &warp, const Access &access, uint32_t mask, uint64_t *address);

/// Bounds and alignment of shared memory: host pointers for `bytes` at each address.
void resolveShared(Warp &warp, const Op &op, uint32_t mask, const uint64_t *address, uint32_t bytes,
                   Mode mode, HostLanes &host);
/// Shared addresses of another operand than op.access, checked for bounds and alignment.
void sharedAddresses(Warp &warp, const Op &op, const Access &access, uint32_t mask, uint32_t bytes,
                     uint32_t *address, uint32_t align = 0);
/// The same for global memory, with `usedFrom` and `usedBytes` saying which part of the
/// `bytes` has to lie inside the range. Counts traffic.
void resolveGlobal(Warp &warp, const Op &op, uint32_t mask, const uint64_t *address, uint32_t bytes,
                   uint32_t usedFrom, uint32_t usedBytes, Mode mode, HostLanes &host);

/// Global memory that a bulk copy of one lane touches, in order.
struct GlobalPiece {
  uint64_t address, bytes;
};
/// Bounds and traffic of them. A piece may lie across ranges that touch.
void resolveBulk(Warp &warp, const Op &op, int lane, const std::vector<GlobalPiece> &pieces,
                 Mode mode);

} // namespace attncc::simulator
