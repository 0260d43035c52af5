//===- Persist.cpp - What draws the items ------------------------------------===//
//
// work = grid, before and after:
//
//   tile.work_loop(%item, %unit) in %batch items(…) { body }
//
//   %item, %unit, %valid = tile.grid_item %batch items(…)
//   scf.if %valid { body }
//
// work = static: as many blocks as the GPU runs at once, each of which stays for its share of the
// items. Rings go on where the item before left off, so their positions are carried:
//
//   scf.while (%cursor = 0, %p = tile.position) {
//     %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(…)
//     scf.condition(%valid) %item, %unit, %next, %p
//   } do (%item, %unit, %next, %p) { body that ends at %q; yield %next, %q }
//
// overlap = items, of the role that computes: OverlapItems.cpp.
//
// Test: test/dialects/tile/persist.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/transforms/Persist.h"
#include "dialects/tile/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"

namespace attncc::tile {
#define GEN_PASS_DEF_PERSISTPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {

Value positionBehind(OpBuilder &builder, PositionOp start) {
  Value ring, position = start;
  for (bool moved = true; moved;) {
    moved = false;
    for (OpOperand &use : position.getUses()) {
      if (auto advance = dyn_cast<AdvanceOp>(use.getOwner())) {
        position = advance.getNext();
        moved = true;
        break;
      }
      if (auto loop = dyn_cast<scf::ForOp>(use.getOwner())) {
        position = loop.getTiedLoopResult(&use);
        moved = true;
        break;
      }
      if (isa<WaitOp, AcquireOp>(use.getOwner()))
        ring = use.getOwner()->getOperand(0);
    }
  }
  if (position == start.getPosition())
    return AdvanceOp::create(builder, start.getLoc(), ring, position);
  return position;
}

namespace {

void expandOnGrid(WorkLoopOp loop) {
  OpBuilder builder(loop);
  auto draw = GridItemOp::create(builder, loop.getLoc(), loop.getSource(), loop.getItemsAttr());
  auto valid = scf::IfOp::create(builder, loop.getLoc(), draw.getValid(), /*withElse=*/false);
  loop.getItem().replaceAllUsesWith(draw.getItem());
  loop.getUnit().replaceAllUsesWith(draw.getUnit());
  Block &body = loop.getBody().front();
  body.getTerminator()->erase();
  valid.thenBlock()->getOperations().splice(valid.thenYield()->getIterator(), body.getOperations());
  loop.erase();
}

void stay(WorkLoopOp loop) {
  Location loc = loop.getLoc();
  Block &body = loop.getBody().front();
  OpBuilder builder(loop);
  SmallVector<PositionOp> starts(body.getOps<PositionOp>());
  SmallVector<Value> inits = {arith::ConstantIndexOp::create(builder, loc, 0)}, ends;
  for (PositionOp start : starts) {
    start->moveBefore(loop);
    inits.push_back(start);
    builder.setInsertionPoint(body.getTerminator());
    ends.push_back(positionBehind(builder, start));
  }
  builder.setInsertionPoint(loop);
  SmallVector<Type> carried;
  for (Value init : inits)
    carried.push_back(init.getType());
  SmallVector<Type> types = {loop.getItem().getType(), loop.getUnit().getType()};
  llvm::append_range(types, carried);
  auto items = scf::WhileOp::create(
      builder, loc, types, inits,
      [&](OpBuilder &b, Location loc, ValueRange state) {
        auto draw = DrawItemOp::create(b, loc, loop.getSource(), state.front(), /*turn=*/Value(),
                                       loop.getItemsAttr(), /*record=*/IntegerAttr());
        SmallVector<Value> passed = {draw.getItem(), draw.getUnit(), draw.getNext()};
        llvm::append_range(passed, state.drop_front());
        scf::ConditionOp::create(b, loc, draw.getValid(), passed);
      },
      [&](OpBuilder &b, Location loc, ValueRange state) {
        SmallVector<Value> yielded = {state[2]};
        llvm::append_range(yielded, ends);
        scf::YieldOp::create(b, loc, yielded);
      });
  Block &after = items.getAfter().front();
  loop.getItem().replaceAllUsesWith(after.getArgument(0));
  loop.getUnit().replaceAllUsesWith(after.getArgument(1));
  body.getTerminator()->erase();
  after.getOperations().splice(after.getTerminator()->getIterator(), body.getOperations());
  for (auto [i, start] : llvm::enumerate(starts))
    start.getPosition().replaceUsesWithIf(after.getArgument(3 + i),
                                          [&](OpOperand &use) { return use.getOwner() != items; });
  loop.erase();
}

struct Persist : public impl::PersistPassBase<Persist> {
  void runOnOperation() override {
    SmallVector<WorkLoopOp> loops;
    getOperation().walk([&](WorkLoopOp loop) { loops.push_back(loop); });
    for (WorkLoopOp loop : loops) {
      const attn::Schedule &schedule = getOperation().getSchedule().getValue();
      attn::Work work = schedule.work;
      if (work == attn::Work::Atomic) {
        loop.emitError() << "work = atomic is not supported, expected grid or static";
        return signalPassFailure();
      }
      bool overlaps = schedule.overlap == attn::Overlap::Items &&
                      !loop.getBody().front().getOps<ReleaseOp>().empty();
      if (work == attn::Work::Grid) {
        if (overlaps) {
          loop.emitError() << "overlap = items needs blocks that stay for many, got work = grid";
          return signalPassFailure();
        }
        expandOnGrid(loop);
      } else if (!overlaps) {
        stay(loop);
      } else if (failed(overlapItems(loop))) {
        return signalPassFailure();
      }
    }
  }
};

} // namespace
} // namespace attncc::tile
