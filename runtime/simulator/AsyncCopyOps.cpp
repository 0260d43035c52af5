//===- AsyncCopyOps.cpp - cp.async ----------------------------------------===//
//
// PTX ISA §9.7.9.25.2 (non-bulk copies). `cp.async.{ca,cg}.shared.global [d], [s], n{, m}`
// copies m bytes and fills n - m with zeros; m = 0 does not touch the source. A predicate
// in m's place means, when true, that the source is ignored. See AsyncCopies.h.
// Pinned by test/simulator/AsyncCopyTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Addressing.h"
#include "runtime/simulator/Decoder.h"

namespace attncc::simulator {

namespace {

// Slots: 0 source address, 1 source size or predicate. op.access is the destination,
// op.immediate the source's offset.
namespace CopyFlags {
enum : uint8_t { sized = 1, ignorable = 2, negated = 4 };
}

void copyAsync(Warp &warp, const Op &op, uint32_t mask) {
  const uint32_t bytes = op.access.bytes;
  AsyncCopies::Copy copy;
  copy.op = &op;
  copy.mask = mask;
  copy.bytes = bytes;
  copy.sourceBytes.fill(static_cast<uint8_t>(bytes));
  if (op.flags & CopyFlags::sized) {
    const uint32_t *size = warp.values<uint32_t>(op.slot[1]);
    forEachLane(mask, [&](int lane) {
      if (size[lane] > bytes)
        warp.fail(Finding::Kind::Operand, op, lane,
                  "source size is " + std::to_string(size[lane]) + ", expected at most " +
                      std::to_string(bytes));
      copy.sourceBytes[lane] = static_cast<uint8_t>(size[lane]);
    });
  } else if (op.flags & CopyFlags::ignorable) {
    uint32_t ignored = warp.predicate(op.slot[1]) ^ (op.flags & CopyFlags::negated ? allLanes : 0);
    forEachLane(mask & ignored, [&](int lane) { copy.sourceBytes[lane] = 0; });
  }

  HostLanes destination, source;
  resolve(warp, op, mask, Mode::Write, destination);
  const uint64_t *base = warp.values<uint64_t>(op.slot[0]);
  uint64_t address[32];
  for (int lane = 0; lane < 32; ++lane)
    address[lane] = base[lane] + op.immediate;
  // Lanes that read as much as one another are one request; nearly always all of them.
  uint32_t full = 0, part = 0;
  forEachLane(mask, [&](int lane) {
    full |= uint32_t(copy.sourceBytes[lane] == bytes) << lane;
    part |= uint32_t(copy.sourceBytes[lane] != 0 && copy.sourceBytes[lane] != bytes) << lane;
    if (copy.sourceBytes[lane] == 0)
      source.pointer[lane] = nullptr;
  });
  if (full)
    resolveGlobal(warp, op, full, address, bytes, 0, bytes, Mode::Read, source);
  forEachLane(part, [&](int lane) {
    // The address must be aligned to the whole size though less is read.
    resolveGlobal(warp, op, uint32_t(1) << lane, address, bytes, 0, copy.sourceBytes[lane],
                  Mode::Read, source);
  });
  forEachLane(mask, [&](int lane) {
    copy.destination[lane] = destination.pointer[lane];
    copy.source[lane] = source.pointer[lane];
  });
  ++warp.block->meter.asyncCopies;
  warp.copies.issue(copy);
}

void commitGroup(Warp &warp, const Op &, uint32_t mask) { warp.copies.commit(mask); }
void waitGroup(Warp &warp, const Op &op, uint32_t mask) {
  warp.copies.wait(warp, mask, static_cast<uint32_t>(op.immediate));
}
void waitAll(Warp &warp, const Op &, uint32_t mask) {
  warp.copies.commit(mask);
  warp.copies.wait(warp, mask, 0);
}

/// PTX ISA §9.7.13.15.15: an arrival when all copies of the thread so far have landed. Without
/// .noinc it is pending from here on, beside the arrivals that init has counted.
void arriveAfterCopies(Warp &warp, const Op &op, uint32_t mask) {
  uint32_t address[32];
  sharedAddresses(warp, op, op.access, mask, 8, address);
  forEachLane(mask, [&](int lane) {
    Mbarriers::State *state = warp.block->mbarriers.find(address[lane]);
    if (!state)
      warp.fail(Finding::Kind::Barrier, op, lane, "no mbarrier is initialised there",
                address[lane]);
    if (!op.immediate)
      ++state->pending;
    warp.block->arriveAfterCopies(warp, op, lane, address[lane]);
  });
}

void decodeArrive(Decoder &d) {
  d.require("arrive");
  d.op().immediate = d.has("noinc");
  Space space = d.space();
  if ((space != Space::Shared && space != Space::Generic) || d.type() != Type::B64)
    d.unknown();
  d.expectOperands(1);
  d.address(d.operand(0), space, 8, 1);
  d.op().run = &arriveAfterCopies;
}

void decodeCpAsync(Decoder &d) {
  if (d.instruction().opcode != "cp" || !d.has("async"))
    d.unknown();
  if (d.has("bulk"))
    return decodeBulkCopy(d);
  if (d.has("mbarrier"))
    return decodeArrive(d);
  if (d.has("commit_group")) {
    d.expectOperands(0);
    d.op().run = &commitGroup;
    return;
  }
  if (d.has("wait_group")) {
    d.expectOperands(1);
    d.op().immediate = d.integer(d.operand(0));
    d.op().run = &waitGroup;
    return;
  }
  if (d.has("wait_all")) {
    d.expectOperands(0);
    d.op().run = &waitAll;
    return;
  }
  int cache = d.oneOf({"ca", "cg"});
  if (cache < 0 || d.oneOf({"shared", "shared::cta"}) < 0 || !d.has("global"))
    d.unknown();
  d.oneOf({"L2::64B", "L2::128B", "L2::256B"});
  const bool policy = d.has("L2::cache_hint");
  d.expectOperands(3 + policy, 4 + policy);
  if (policy)
    d.source(d.operand(d.operands() - 1), 8);
  uint64_t bytes = d.integer(d.operand(2));
  if (!(bytes == 16 || (cache == 0 && (bytes == 4 || bytes == 8))))
    d.fail("a copy of " + std::to_string(bytes) + " bytes is not allowed here");
  // The source first: address() leaves its result in op().access, which ends as the
  // destination.
  d.address(d.operand(1), Space::Global, unsigned(bytes), 1);
  if (!d.op().access.hasRegister || !d.op().access.wideRegister)
    d.fail("the source address needs a 64-bit register");
  d.op().slot[0] = d.op().access.address;
  d.op().immediate = static_cast<uint64_t>(d.op().access.offset);
  d.op().access = {};
  d.address(d.operand(0), Space::Shared, unsigned(bytes), 1);
  if (d.operands() == 4 + size_t(policy)) {
    const syntax::Operand &size = d.operand(3);
    bool predicate = size.kind == syntax::Operand::Kind::Register && d.registerBytes(size) == 0;
    if (predicate) {
      bool negated;
      d.op().slot[1] = d.sourcePredicate(size, negated);
      d.op().flags = CopyFlags::ignorable | (negated ? CopyFlags::negated : 0);
    } else {
      d.op().slot[1] = d.source(size, 4);
      d.op().flags = CopyFlags::sized;
    }
  }
  d.op().run = &copyAsync;
}

} // namespace

void addAsyncCopies(DecodeTable &table) { table["cp"] = &decodeCpAsync; }

} // namespace attncc::simulator
