//===- Control.cpp - branches, exits, barriers of a block -----------------===//
//
// PTX ISA §9.7.12, §9.7.13.1. A kernel's ret is an exit. bar.* is barrier.*.aligned.
// barrier.* without .aligned is held to the same: its warp has to arrive together.
// Pinned by test/simulator/ControlTest.cpp and BarrierTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Barriers.h"
#include "runtime/simulator/Decoder.h"

namespace attncc::simulator {

namespace {

void decodeBra(Decoder &d) {
  d.has("uni");
  d.expectOperands(1);
  if (d.operand(0).kind != syntax::Operand::Kind::Name)
    d.fail("expected a label");
  d.op().flow = Flow::Branch;
  d.op().target = d.branchTarget(d.operand(0).name);
}

void decodeBrx(Decoder &d) {
  d.require("idx");
  d.has("uni");
  d.expectOperands(2);
  if (d.operand(1).kind != syntax::Operand::Kind::Name)
    d.fail("expected branch targets");
  d.op().flow = Flow::IndexedBranch;
  d.op().slot[0] = d.source(d.operand(0), 4);
  d.branchTable(d.operand(1).name);
}

void decodeExit(Decoder &d) {
  d.has("uni");
  d.expectOperands(0);
  d.op().flow = Flow::Exit;
}

void trap(Warp &warp, const Op &op, uint32_t mask) {
  warp.fail(Finding::Kind::Trap, op, std::countr_zero(mask), "the kernel trapped");
}

void decodeTrap(Decoder &d) {
  d.expectOperands(0);
  d.op().run = &trap;
}

void nothing(Warp &, const Op &, uint32_t) {}

void sleep(Warp &warp, const Op &, uint32_t) { warp.yield(); }

void decodeNanosleep(Decoder &d) {
  if (d.type() != Type::U32)
    d.unknown();
  d.expectOperands(1);
  d.source(d.operand(0), 4);
  d.op().flow = Flow::Blocking;
  d.op().run = &sleep;
}

//===----------------------------------------------------------------------===//
// setmaxnreg, PTX ISA §9.7.19.5
//===----------------------------------------------------------------------===//

/// Registers move between the warps and the block's pool, which holds at first what the launch did
/// not hand out: nothing. The registers of PTX are virtual, so their number is only accounted.
void setRegisters(Warp &warp, const Op &op, uint32_t mask) {
  Block &block = *warp.block;
  const uint32_t wanted = static_cast<uint32_t>(op.immediate), held = warp.registersHeld;
  const bool increase = op.flags;
  if (increase ? wanted < held : wanted > held)
    warp.fail(Finding::Kind::Operand, op, std::countr_zero(mask),
              "warp " + std::to_string(warp.index) + " has " + std::to_string(held) +
                  " registers a thread, it cannot " + (increase ? "grow" : "shrink") + " to " +
                  std::to_string(wanted));
  if (increase) {
    uint64_t more = uint64_t(wanted - held) * 32;
    if (more > block.registerPool)
      return warp.suspend();
    block.registerPool -= more;
  } else {
    block.registerPool += uint64_t(held - wanted) * 32;
    block.wake();
  }
  warp.registersHeld = wanted;
  block.products.together(warp, op);
}

std::string waitingForRegisters(Warp &warp, const Op &op, uint32_t) {
  return std::to_string((op.immediate - warp.registersHeld) * 32) +
         " more registers: the block's pool has " + std::to_string(warp.block->registerPool) +
         ", each thread was launched with " + std::to_string(warp.block->kernel.launchRegisters);
}

void decodeSetmaxnreg(Decoder &d) {
  d.needsHopperOnly();
  int action = d.oneOf({"inc", "dec"});
  d.require("sync");
  d.require("aligned");
  if (action < 0 || d.type() != Type::U32)
    d.unknown();
  d.expectOperands(1);
  uint64_t count = d.integer(d.operand(0));
  if (count < 24 || count > 256 || count % 8)
    d.fail("register count is " + std::to_string(count) +
           ", expected a multiple of 8 from 24 to 256");
  if (d.launchRegisters() == 0)
    d.fail("needs the kernel's .reqntid, .maxntid or .maxnreg");
  d.op().immediate = count;
  d.op().flags = action == 0;
  d.op().flow = Flow::WarpBlocking;
  d.op().waiting = &waitingForRegisters;
  d.op().run = &setRegisters;
}

//===----------------------------------------------------------------------===//
// barrier.cluster of a cluster of one: a barrier of the block in two halves
//===----------------------------------------------------------------------===//

void arriveAtCluster(Warp &warp, const Op &op, uint32_t mask) {
  ClusterBarrier &barrier = warp.block->cluster;
  if (std::exchange(warp.arrivedAtCluster, true))
    warp.fail(Finding::Kind::Barrier, op, std::countr_zero(mask),
              "warp " + std::to_string(warp.index) +
                  " arrives twice at the cluster barrier without a wait");
  warp.block->races.release(warp, barrier.clock);
  ++barrier.arrived;
  warp.clusterArrivals = barrier.phase + 1;
  warp.block->completeCluster();
}

void waitForCluster(Warp &warp, const Op &op, uint32_t mask) {
  if (!warp.arrivedAtCluster)
    warp.fail(Finding::Kind::Barrier, op, std::countr_zero(mask),
              "warp " + std::to_string(warp.index) +
                  " waits at the cluster barrier before it arrives");
  if (warp.block->cluster.phase < warp.clusterArrivals)
    return warp.suspend();
  warp.block->races.acquire(warp, warp.block->cluster.clock);
  warp.arrivedAtCluster = false;
}

std::string waitingForCluster(Warp &warp, const Op &, uint32_t) {
  return "the cluster barrier: " + std::to_string(warp.block->cluster.arrived) + " warps arrived";
}

void decodeClusterBarrier(Decoder &d) {
  d.needsHopper();
  int half = d.oneOf({"arrive", "wait"});
  if (half < 0)
    d.unknown();
  d.oneOf({"release", "acquire", "relaxed"});
  d.has("aligned");
  d.expectOperands(0);
  d.op().flow = Flow::WarpBlocking;
  d.op().waiting = &waitingForCluster;
  d.op().run = half == 0 ? &arriveAtCluster : &waitForCluster;
}

/// PTX ISA §9.7.13.13. The launch in front is over at once, but a kernel that waits for it must not
/// touch global memory before: on a GPU it may run beside it.
void waitForGrid(Warp &warp, const Op &, uint32_t mask) { warp.independent &= ~mask; }

void decodeGridDependency(Decoder &d) {
  d.expectOperands(0);
  if (d.has("wait")) {
    d.waitsForGrid();
    d.op().run = &waitForGrid;
    return;
  }
  d.require("launch_dependents");
  d.op().run = &nothing;
}

void takeBarrierOperands(Decoder &d, size_t first, size_t end) {
  d.op().slot[BarrierSlots::id] = d.source(d.operand(first), 4);
  if (first + 1 < end) {
    d.op().flags |= BarrierFlags::counted;
    d.op().slot[BarrierSlots::count] = d.source(d.operand(first + 1), 4);
  }
}

void decodeReduction(Decoder &d) {
  int which = d.oneOf({"popc", "and", "or"});
  Type type = d.type();
  if (which < 0 || type != (which == 0 ? Type::U32 : Type::Pred))
    d.unknown();
  d.expectOperands(3, 4);
  bool negated;
  d.op().slot[BarrierSlots::destination] =
      which == 0 ? d.destination(d.operand(0), 4) : d.destinationPredicate(d.operand(0));
  size_t last = d.operands() - 1;
  d.op().slot[BarrierSlots::source] = d.sourcePredicate(d.operand(last), negated);
  d.op().flags =
      BarrierFlags::waits | BarrierFlags::reduces | (negated ? BarrierFlags::negated : 0);
  d.op().immediate = static_cast<uint64_t>(which);
  takeBarrierOperands(d, 1, last);
}

void decodeBar(Decoder &d) {
  if (d.has("warp"))
    return decodeWarpBarrier(d);
  if (d.has("cluster"))
    return decodeClusterBarrier(d);
  d.has("cta");
  d.has("aligned");
  d.op().flow = Flow::Barrier;
  if (d.has("red"))
    return decodeReduction(d);
  if (d.has("arrive")) {
    d.expectOperands(2);
    return takeBarrierOperands(d, 0, 2);
  }
  d.require("sync");
  d.expectOperands(1, 2);
  d.op().flags = BarrierFlags::waits;
  takeBarrierOperands(d, 0, d.operands());
}

} // namespace

void addControl(DecodeTable &table) {
  table["bra"] = &decodeBra;
  table["brx"] = &decodeBrx;
  table["ret"] = &decodeExit;
  table["exit"] = &decodeExit;
  table["trap"] = &decodeTrap;
  table["brkpt"] = &decodeTrap;
  table["nanosleep"] = &decodeNanosleep;
  table["griddepcontrol"] = &decodeGridDependency;
  table["setmaxnreg"] = &decodeSetmaxnreg;
  table["bar"] = &decodeBar;
  table["barrier"] = &decodeBar;
}

} // namespace attncc::simulator
