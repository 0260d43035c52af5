//===- Persist.cpp - What draws the items ------------------------------------===//
//
// work = grid, before and after:
//
//   tile.work_loop(%item, %unit) in %batch items(…) { body }
//
//   %item, %unit, %valid = tile.grid_item %batch items(…)
//   scf.if %valid { body }
//
// work = static, atomic: as many blocks as the GPU runs at once, each of which stays for many
// items. The first loading role draws them for all roles, which receive them in a ring:
//
//   scf.while (%cursor = 0, %i, %p = tile.position) {
//     %slot = tile.acquire %items[%i]
//     %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(…)
//     tile.put_item %item, %valid into %slot
//     tile.commit %items[%i]
//     scf.condition(%valid) %item, %unit, %next, %i, %p
//   } do (%item, %unit, %next, %i, %p) { body that ends at %q; yield %next, advance %i, %q }
//
// and in the others
//
//   scf.while (%i, %p = tile.position) {
//     %record = tile.wait %items[%i]
//     %item, %unit, %valid = tile.take_item %record items(…)
//     tile.release %items[%i]
//     scf.condition(%valid) %item, %unit, %i, %p
//   } do (%item, %unit, %i, %p) { body that ends at %q; yield advance %i, %q }
//
// No item is drawn before it has a slot, slots are few, and an item's is released late: what a
// block has drawn no other block can take when the items run out.
//
// Rings go on where the item before left off, so their positions are carried. An item that is none
// ends each role.
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

bool releasesLate(RingOp items) {
  const attn::Schedule &schedule = kernelOf(items).getSchedule().getValue();
  return schedule.overlap == attn::Overlap::Items && schedule.stages.query > 1;
}

TakeItemOp takeItem(OpBuilder &builder, WorkLoopOp loop, RingOp items, Value at) {
  auto record = WaitOp::create(builder, loop.getLoc(), items, at);
  return TakeItemOp::create(builder, loop.getLoc(), record.getTiles().front(), loop.getItemsAttr());
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

/// The ring in which items are handed on.
RingOp createItemRing(RolesOp roles, const attn::Schedule &schedule) {
  OpBuilder builder(roles);
  MLIRContext *context = roles.getContext();
  Layout::Basis words;
  for (int64_t word = 1; word < itemRecordWords; word *= 2)
    words.push_back({0, word});
  auto record = TileType::get(context, 1, itemRecordWords, builder.getI32Type(), Memory::Shared,
                              LayoutAttr::get(context, Layout::shared(words)));
  return RingOp::create(builder, roles.getLoc(),
                        RingType::get(context, schedule.itemSlots(), {record}, RingScope::Roles),
                        /*offset=*/IntegerAttr(), /*barriers=*/IntegerAttr());
}

/// The position of the first item, of a role that loads.
Value firstItem(OpBuilder &builder, RingOp items, bool draws) {
  Location loc = items.getLoc();
  Value at = PositionOp::create(builder, loc);
  if (!releasesLate(items))
    return at;
  if (draws) {
    AcquireOp::create(builder, loc, items, at);
    CommitOp::create(builder, loc, items, at);
  } else {
    WaitOp::create(builder, loc, items, at);
    ReleaseOp::create(builder, loc, items, at);
  }
  return AdvanceOp::create(builder, loc, items, at);
}

/// The loop of a role over the items of a block that stays, of the role that draws them or of
/// another one.
void stay(WorkLoopOp loop, RingOp items, bool draws) {
  Location loc = loop.getLoc();
  Block &body = loop.getBody().front();
  OpBuilder builder(loop);
  SmallVector<PositionOp> starts(body.getOps<PositionOp>());
  SmallVector<Value> inits;
  if (draws)
    inits.push_back(arith::ConstantIndexOp::create(builder, loc, 0));
  const size_t itemAt = inits.size(); // the position in the ring of items, behind a cursor
  inits.push_back(firstItem(builder, items, draws));
  SmallVector<Value> ends;
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
  auto whileOp = scf::WhileOp::create(
      builder, loc, types, inits,
      [&](OpBuilder &b, Location loc, ValueRange state) {
        SmallVector<Value> passed;
        Value valid, at = state[itemAt];
        if (draws) {
          Value slot = AcquireOp::create(b, loc, items, at);
          auto draw =
              DrawItemOp::create(b, loc, loop.getSource(), state.front(), loop.getItemsAttr());
          PutItemOp::create(b, loc, draw.getItem(), draw.getValid(), slot);
          CommitOp::create(b, loc, items, at);
          valid = draw.getValid();
          passed = {draw.getItem(), draw.getUnit(), draw.getNext()};
        } else {
          TakeItemOp take = takeItem(b, loop, items, at);
          ReleaseOp::create(b, loc, items, at);
          valid = take.getValid();
          passed = {take.getItem(), take.getUnit()};
        }
        llvm::append_range(passed, state.drop_front(itemAt));
        scf::ConditionOp::create(b, loc, valid, passed);
      },
      [&](OpBuilder &b, Location loc, ValueRange state) {
        ValueRange rest = state.drop_front(2);
        SmallVector<Value> yielded(rest.take_front(itemAt));
        yielded.push_back(AdvanceOp::create(b, loc, items, rest[itemAt]));
        llvm::append_range(yielded, ends);
        scf::YieldOp::create(b, loc, yielded);
      });
  Block &after = whileOp.getAfter().front();
  loop.getItem().replaceAllUsesWith(after.getArgument(0));
  loop.getUnit().replaceAllUsesWith(after.getArgument(1));
  body.getTerminator()->erase();
  // In front of the yield and of the advance that it takes.
  after.getOperations().splice(after.begin(), body.getOperations());
  for (auto [i, start] : llvm::enumerate(starts))
    start.getPosition().replaceUsesWithIf(
        after.getArgument(static_cast<unsigned>(3 + itemAt + i)),
        [&](OpOperand &use) { return use.getOwner() != whileOp; });
  loop.erase();
}

struct Persist : public impl::PersistPassBase<Persist> {
  void runOnOperation() override {
    const attn::Schedule &schedule = getOperation().getSchedule().getValue();
    SmallVector<WorkLoopOp> loops;
    getOperation().walk([&](WorkLoopOp loop) { loops.push_back(loop); });
    RingOp items;
    for (WorkLoopOp loop : loops)
      if (failed(expand(loop, schedule, items)))
        return signalPassFailure();
  }

  LogicalResult expand(WorkLoopOp loop, const attn::Schedule &schedule, RingOp &items) {
    auto roles = dyn_cast<RolesOp>(loop->getParentOp());
    bool overlaps = schedule.overlap == attn::Overlap::Items;
    if (schedule.work == attn::Work::Grid) {
      if (overlaps)
        return loop.emitError() << "overlap = items needs blocks that stay for many, got work = "
                                   "grid";
      expandOnGrid(loop);
      return success();
    }
    if (!roles)
      return loop.emitError() << "work = " << attn::stringifyEnum(schedule.work)
                              << " needs roles, of which the first draws the items";
    if (!items)
      items = createItemRing(roles, schedule);
    if (overlaps && loop->getParentRegion() == &roles.getCompute())
      return overlapItems(loop, items);
    stay(loop, items, /*draws=*/loop->getParentRegion() == &roles.getLoads().front());
    return success();
  }
};

} // namespace
} // namespace attncc::tile
