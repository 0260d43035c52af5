//===- Memory.cpp - ld, st, fences, prefetch ------------------------------===//
//
// PTX ISA §9.7.9.8-9.7.9.15, §9.7.13.4. The simulator's memory is sequentially consistent,
// so scopes are checked for spelling only, and orders matter to races alone; cache hints have no
// effect.
// Pinned by test/simulator/MemoryTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Addressing.h"
#include "runtime/simulator/Decoder.h"
#include "runtime/simulator/Widths.h"

namespace attncc::simulator {

namespace {

template <class T> void loadElements(Warp &warp, const Op &op, uint32_t mask) {
  HostLanes host;
  resolve(warp, op, mask, Mode::Read, host);
  // Everything is read before anything is written: a destination may be the address.
  alignas(64) T values[8][32];
  const unsigned count = op.access.count;
  forEachLane(mask, [&](int lane) {
    const std::byte *from = host.pointer[lane];
    for (unsigned i = 0; i < count; ++i)
      std::memcpy(&values[i][lane], from + i * sizeof(T), sizeof(T));
  });
  for (unsigned i = 0; i < count; ++i)
    writeLanes<T>(warp, op.slot[i], op.width[i], values[i], mask);
}

/// A load of which only some bytes are used: the others are undefined, and may lie outside.
template <class T> void loadUsed(Warp &warp, const Op &op, uint32_t mask) {
  HostLanes host;
  resolve(warp, op, mask, Mode::Read, host);
  alignas(64) T values[8][32];
  const unsigned count = op.access.count;
  forEachLane(mask, [&](int lane) {
    for (unsigned i = 0; i < count; ++i) {
      std::byte bytes[sizeof(T)];
      for (unsigned k = 0; k < sizeof(T); ++k) {
        unsigned at = i * sizeof(T) + k;
        bytes[k] = op.access.usedBytes >> at & 1 ? host.pointer[lane][at]
                                                 : std::byte(poison >> (8 * (at & 3)));
      }
      std::memcpy(&values[i][lane], bytes, sizeof(T));
    }
  });
  for (unsigned i = 0; i < count; ++i)
    writeLanes<T>(warp, op.slot[i], op.width[i], values[i], mask);
}

template <class T> void storeElements(Warp &warp, const Op &op, uint32_t mask) {
  HostLanes host;
  resolve(warp, op, mask, Mode::Write, host);
  alignas(64) T values[8][32];
  const unsigned count = op.access.count;
  for (unsigned i = 0; i < count; ++i)
    readLanes<T>(warp, op.slot[i], op.width[i], values[i]);
  forEachLane(mask, [&](int lane) {
    std::byte *to = host.pointer[lane];
    for (unsigned i = 0; i < count; ++i)
      std::memcpy(to + i * sizeof(T), &values[i][lane], sizeof(T));
  });
}

/// .weak, .volatile, .relaxed.scope, .acquire.scope, .release.scope; false for the first two, which
/// order nothing.
bool takeOrder(Decoder &d) {
  const int order = d.oneOf({"weak", "volatile", "relaxed", "acquire", "release", "mmio"});
  switch (order) {
  case 2:
  case 3:
  case 4:
  case 5:
    if (d.oneOf({"cta", "cluster", "gpu", "sys"}) < 0)
      d.fail("expected a scope");
  }
  return order > 1;
}

/// True if a cache policy follows as the last operand.
bool takeCacheHints(Decoder &d) {
  d.oneOf({"ca", "cg", "cs", "lu", "cv", "wb", "wt"});
  d.oneOf({"L1::no_allocate", "L1::evict_normal", "L1::evict_unchanged", "L1::evict_first",
           "L1::evict_last"});
  d.oneOf({"L2::64B", "L2::128B", "L2::256B"});
  return d.has("L2::cache_hint");
}

/// Policies speed things up and change nothing.
void takePolicy(Decoder &d, bool given) {
  d.expectOperands(given ? 3 : 2);
  if (given)
    d.source(d.operand(2), 8);
}

unsigned takeVector(Decoder &d) {
  switch (d.oneOf({"v2", "v4", "v8"})) {
  case 0:
    return 2;
  case 1:
    return 4;
  case 2:
    return 8;
  default:
    return 1;
  }
}

/// Element registers, which may be wider than the type.
void takeElements(Decoder &d, size_t index, unsigned count, unsigned bytes, bool load,
                  bool floating) {
  auto elements = d.elements(index);
  if (elements.size() != count)
    d.fail("expected " + std::to_string(count) + " elements, found " +
           std::to_string(elements.size()));
  for (unsigned i = 0; i < count; ++i) {
    const syntax::Operand &element = *elements[i];
    unsigned width = d.registerBytes(element);
    if (element.kind == syntax::Operand::Kind::Register) {
      if (width < bytes || width > 8)
        d.fail("register has " + std::to_string(8 * width) + " bits, expected at least " +
               std::to_string(8 * bytes));
    } else {
      width = std::max(bytes, 2u);
    }
    d.op().slot[i] = load ? d.destination(element, width) : d.source(element, width, floating);
    d.op().width[i] = static_cast<uint8_t>(width);
  }
}

void checkTotal(Decoder &d, unsigned bytes, unsigned count) {
  if (bytes == 0 || bytes * count > 32)
    d.unknown();
}

void decodeLd(Decoder &d) {
  const bool ordered = takeOrder(d);
  Space space = d.space();
  d.has("nc");
  bool policy = takeCacheHints(d);
  unsigned count = takeVector(d);
  Type type = d.type();
  unsigned bytes = bytesOf(type);
  checkTotal(d, bytes, count);
  takePolicy(d, policy);
  d.address(d.operand(1), space, bytes, count);
  d.op().access.ordered = ordered;
  takeElements(d, 0, count, bytes, true, false);
  bool partly = d.op().access.usedBytes != ~uint64_t(0);
  switch (bytes) {
  case 1:
    d.op().run = partly           ? &loadUsed<uint8_t>
                 : isSigned(type) ? &loadElements<int8_t>
                                  : &loadElements<uint8_t>;
    return;
  case 2:
    d.op().run = partly           ? &loadUsed<uint16_t>
                 : isSigned(type) ? &loadElements<int16_t>
                                  : &loadElements<uint16_t>;
    return;
  case 4:
    d.op().run = partly           ? &loadUsed<uint32_t>
                 : isSigned(type) ? &loadElements<int32_t>
                                  : &loadElements<uint32_t>;
    return;
  default:
    d.op().run = partly ? &loadUsed<uint64_t> : &loadElements<uint64_t>;
  }
}

void decodeSt(Decoder &d) {
  const bool ordered = takeOrder(d);
  Space space = d.space();
  if (space == Space::Const || space == Space::Param)
    d.unknown();
  bool policy = takeCacheHints(d);
  unsigned count = takeVector(d);
  Type type = d.type();
  unsigned bytes = bytesOf(type);
  checkTotal(d, bytes, count);
  takePolicy(d, policy);
  d.address(d.operand(0), space, bytes, count);
  d.op().access.ordered = ordered;
  takeElements(d, 1, count, bytes, false, type == Type::F32 || type == Type::F64);
  switch (bytes) {
  case 1:
    d.op().run = &storeElements<uint8_t>;
    return;
  case 2:
    d.op().run = &storeElements<uint16_t>;
    return;
  case 4:
    d.op().run = &storeElements<uint32_t>;
    return;
  default:
    d.op().run = &storeElements<uint64_t>;
  }
}

void nothing(Warp &, const Op &, uint32_t) {}

void decodeMembar(Decoder &d) {
  if (d.oneOf({"cta", "gl", "sys"}) < 0)
    d.unknown();
  d.expectOperands(0);
  d.op().run = &nothing;
}

void proxyFence(Warp &warp, const Op &, uint32_t mask) { warp.block->shadow.fence(warp, mask); }

void decodeFence(Decoder &d) {
  if (d.has("mbarrier_init")) {
    d.needsHopper();
    d.require("release");
    d.require("cluster");
    d.expectOperands(0);
    d.op().run = &nothing;
    return;
  }
  if (d.has("proxy")) {
    d.needsHopper();
    if (d.has("tensormap::generic")) {
      // Maps are changed by the host only.
      if (d.oneOf({"acquire", "release"}) < 0 || d.oneOf({"cta", "cluster", "gpu", "sys"}) < 0)
        d.unknown();
      d.expectOperands(0, 2);
    } else {
      d.require("async");
      // Global memory is not followed.
      bool shared = d.oneOf({"global", "shared::cta", "shared::cluster"}) != 0;
      d.expectOperands(0);
      d.op().run = shared ? &proxyFence : &nothing;
      return;
    }
    d.op().run = &nothing;
    return;
  }
  d.oneOf({"sc", "acq_rel", "acquire", "release"});
  if (d.oneOf({"cta", "cluster", "gpu", "sys"}) < 0)
    d.unknown();
  d.expectOperands(0);
  d.op().run = &nothing;
}

/// A hint: the address may be anything.
void decodePrefetch(Decoder &d) {
  Space space = d.space();
  if (d.has("tensormap")) {
    d.needsHopper();
    if (space != Space::Param && space != Space::Const && space != Space::Generic)
      d.unknown();
    d.expectOperands(1);
    d.address(d.operand(0), space, 1, 1);
    d.op().run = &nothing;
    return;
  }
  if ((space != Space::Global && space != Space::Generic) || d.oneOf({"L1", "L2"}) < 0)
    d.unknown();
  d.expectOperands(1);
  d.address(d.operand(0), space, 1, 1);
  d.op().run = &nothing;
}

/// createpolicy.fractional: a value that only cache hints read.
void createPolicy(Warp &warp, const Op &op, uint32_t mask) {
  forEachLane(mask, [&](int lane) { warp.values<uint64_t>(op.slot[0])[lane] = 0; });
}

void decodeCreatepolicy(Decoder &d) {
  d.require("fractional");
  if (d.oneOf({"L2::evict_first", "L2::evict_last", "L2::evict_normal", "L2::evict_unchanged"}) < 0)
    d.unknown();
  d.oneOf({"L2::evict_first", "L2::evict_unchanged"});
  if (d.type() != Type::B64)
    d.unknown();
  d.expectOperands(1, 2);
  d.op().slot[0] = d.destination(d.operand(0), 8);
  if (d.operands() == 2)
    d.source(d.operand(1), 4, true);
  d.op().run = &createPolicy;
}

} // namespace

void addMemory(DecodeTable &table) {
  table["ld"] = &decodeLd;
  table["st"] = &decodeSt;
  table["membar"] = &decodeMembar;
  table["fence"] = &decodeFence;
  table["prefetch"] = &decodePrefetch;
  table["createpolicy"] = &decodeCreatepolicy;
}

} // namespace attncc::simulator
