//===- SharedShadow.h - who may touch shared memory now -------------------===//
//
// Internal to the simulator. Asynchronous copies and wgmma reach shared memory through the
// async proxy (PTX ISA §8.6); ld, st, ldmatrix, cp.async… through the generic one. For each
// 16 bytes, the unit in which the async proxy works, the shadow knows:
//
//   writing    the asynchronous copy under way that writes them: nobody else may touch them
//   readers    asynchronous operations under way that read them: nobody may write them
//   written    when and by which thread the generic proxy wrote them last: an asynchronous
//              operation may follow only if that thread has executed fence.proxy.async since, or
//              the one that issues it has, behind a barrier with the write
//   mbarrier   bytes of a valid mbarrier: no other instruction may touch them
//
// Kept only for kernels that use mbarriers, asynchronous bulk copies or wgmma. Whether a
// barrier stands between two warps is the business of Races.h, which hears of each access here.
//
// Pinned by test/simulator/SharedShadowTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Races.h"

namespace attncc::simulator {

class SharedShadow {
public:
  /// For a new block; 0 threads: nothing is kept.
  void start(uint32_t sharedEnd, uint32_t threads);
  bool active() const { return !granules.empty(); }

  // Each throws Stop for an access that must not happen.

  /// ld, st… of the lanes of `mask`.
  void generic(Warp &warp, const Op &op, uint32_t mask, const uint64_t *address, uint32_t bytes,
               bool write);
  /// fence.proxy.async.
  void fence(Warp &warp, uint32_t mask);
  void setMbarrier(uint32_t address, bool valid);

  /// 16 bytes, by an asynchronous operation that `lane` issues.
  void beginRead(Warp &warp, const Op &op, int lane, uint32_t address);
  void endRead(Races &races, const Races::Moment &moment, uint32_t address);
  void beginWrite(Warp &warp, const Op &op, int lane, uint32_t address);
  void endWrite(uint32_t address);

private:
  struct Granule {
    uint32_t time = 0;          ///< of the last generic write, 0: none that matters
    uint32_t moment = 0;        ///< the same on the clock of the writer's warp
    uint16_t writer : 12 = 0;   ///< thread of it
    uint16_t mbarriers : 2 = 0; ///< one bit for each half
    uint16_t readers = 0;
    uint32_t writing = 0; ///< position of the op + 1
    uint32_t reading = 0; ///< the same of the last reader
  };
  void checkAsync(Warp &warp, const Op &op, int lane, uint32_t address, const Granule &granule,
                  const char *verb);

  std::vector<Granule> granules; ///< by address / 16
  std::vector<uint32_t> fenced;  ///< by thread: time of the last fence.proxy.async
  std::vector<Clock> known;      ///< by warp: what was before its last one
  uint32_t clock = 0;
};

} // namespace attncc::simulator
