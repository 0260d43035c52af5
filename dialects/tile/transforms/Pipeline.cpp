//===- Pipeline.cpp - Loads of keys and values become rings -------------------===//
//
// overlap = none, joint ring, before and after:
//
//   scf.for %j = … {
//     %k = tile.load_keys %kv[%item, %t]
//     … %k …
//     %v = tile.load_values %kv[%item, %t]
//     … %v …
//   }
//
//   scf.for %j = … iter_args(%p = first tile.position) {
//     %slot = tile.acquire %ring[%p]
//     tile.copy_keys %kv[%item, %t] into %slot {index = 0}
//     tile.copy_values %kv[%item, %t] into %slot {index = 1}
//     tile.commit %ring[%p]
//     %k, %v = tile.wait %ring[%p]     before the first use
//     … %k … %v …
//     tile.release %ring[%p]           behind the last use
//     yield tile.advance %ring[%p]
//   }
//
// With `copy = tensor` the copies have the schedule's box, and `tile.zero_rows` follows the wait
// for values: a tensor copy leaves rows past the last key undefined. Where a role of its own
// copies, that role sees to these rows before it hands the slot over.
//
// Units that meet inside of the loop (`tile.merge_units`) do so in the slot that each has done
// with:
//
//   … %k … %v …
//   scf.if … { tile.merge_units … in %ring[%p] of %item }
//   tile.release %ring[%p]
//
// With `stages = [key, value]` keys and values have a ring each. Units that divide the keys have
// rings of their own; units that divide rows share them. Nothing overlaps yet: see Prefetch.cpp,
// Overlap.cpp.
//
// With specialised roles the units' rows of the query come through a ring as well, which each unit
// fills by itself: %q = tile.load_rows … → acquire, tile.copy_rows, commit, wait before the loop,
// release behind it; with `output = staged` behind the store, which goes through the slot.
// Test: test/dialects/tile/pipeline.mlir, pipeline-errors.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/PatternMatch.h"

namespace attncc::tile {
#define GEN_PASS_DEF_PIPELINEPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
namespace {

/// The loads that share a ring, in program order.
struct LoadGroup {
  int64_t depth;
  SmallVector<Operation *> loads;
};

SmallVector<LoadGroup> groupLoads(scf::ForOp loop, const attn::Stages &stages) {
  SmallVector<LoadGroup> groups;
  for (Operation &op : *loop.getBody()) {
    if (!isa<LoadKeysOp, LoadValuesOp>(op))
      continue;
    if (stages.joint && !groups.empty())
      groups.front().loads.push_back(&op);
    else
      groups.push_back({isa<LoadKeysOp>(op) ? stages.key : stages.value, {&op}});
  }
  return groups;
}

/// First and last op of the loop's body that uses a tile of the group.
std::pair<Operation *, Operation *> usesInBody(scf::ForOp loop, const LoadGroup &group) {
  Operation *first = nullptr, *last = nullptr;
  for (Operation *load : group.loads)
    for (Operation *user : load->getUsers()) {
      Operation *inBody = loop.getBody()->findAncestorOpInBlock(*user);
      if (!first || inBody->isBeforeInBlock(first))
        first = inBody;
      if (!last || last->isBeforeInBlock(inBody))
        last = inBody;
    }
  return {first, last};
}

/// How keys and values are copied.
struct CopyForm {
  IntegerAttr box;     // null for gathered copies
  bool zeroed = false; // the copies see to rows of values past the last key
};

void createCopy(OpBuilder &builder, Operation *load, Value slot, int64_t index, CopyForm form) {
  auto create = [&]<typename Load, typename Copy>(Load op, bool zeroed) {
    Copy::create(builder, op.getLoc(), op.getCache(), op.getItem(), op.getTile(), /*pages=*/Value(),
                 /*page_index=*/Value(), slot, /*when=*/Value(), builder.getI64IntegerAttr(index),
                 form.box, zeroed ? builder.getUnitAttr() : UnitAttr());
  };
  if (auto keys = dyn_cast<LoadKeysOp>(load))
    create.operator()<LoadKeysOp, CopyKeysOp>(keys, false);
  else
    create.operator()<LoadValuesOp, CopyValuesOp>(cast<LoadValuesOp>(load), form.zeroed);
}

Value itemOf(Operation *load) {
  auto keys = dyn_cast<LoadKeysOp>(load);
  return keys ? keys.getItem() : cast<LoadValuesOp>(load).getItem();
}

/// Units that meet in the loop do so in the slot at `position`; the last op of the loop's body in
/// which they do, or null.
Operation *meetInSlot(scf::ForOp loop, RingOp ring, Value position, Value item) {
  Operation *last = nullptr;
  loop.getBody()->walk([&](MergeUnitsOp merge) {
    merge.getRingMutable().assign(ring.getRing());
    merge.getPositionMutable().assign(position);
    merge.getItemMutable().assign(item);
    last = loop.getBody()->findAncestorOpInBlock(*merge);
  });
  return last;
}

FailureOr<scf::ForOp> makeRing(scf::ForOp loop, const LoadGroup &group, RingScope scope,
                               CopyForm form) {
  Operation *firstLoad = group.loads.front();
  DominanceInfo dominance;
  SmallVector<TileType> tiles;
  for (Operation *load : group.loads) {
    auto type = llvm::cast<TileType>(load->getResult(0).getType());
    if (!type.isShared() || !type.getLayout())
      return load->emitError() << "a copy needs a shared tile with a layout, got " << type;
    for (Value operand : load->getOperands())
      if (!dominance.properlyDominates(operand, firstLoad))
        return load->emitError() << "operand is not known at the first copy of its slot";
    tiles.push_back(type);
  }
  auto [first, last] = usesInBody(loop, group);
  if (!first)
    return firstLoad->emitError() << "the tiles of a slot are not used in the loop";
  if (last == loop.getBody()->getTerminator())
    return firstLoad->emitError() << "a tile of a slot leaves its iteration";

  Location loc = loop.getLoc();
  IRRewriter rewriter(loop);
  auto ring =
      RingOp::create(rewriter, loc, RingType::get(loop.getContext(), group.depth, tiles, scope),
                     /*offset=*/IntegerAttr(), /*barriers=*/IntegerAttr());
  Value start = PositionOp::create(rewriter, loc);
  auto rotated = loop.replaceWithAdditionalYields(
      rewriter, start, /*replaceInitOperandUsesInLoop=*/false,
      [&](OpBuilder &, Location, ArrayRef<BlockArgument> arguments) {
        Value position = arguments.front();
        OpBuilder builder(firstLoad);
        Value slot = AcquireOp::create(builder, loc, ring, position);
        for (auto [index, load] : llvm::enumerate(group.loads))
          createCopy(builder, load, slot, static_cast<int64_t>(index), form);
        CommitOp::create(builder, loc, ring, position);
        builder.setInsertionPoint(first);
        auto wait = WaitOp::create(builder, loc, ring, position);
        SmallVector<Value> landed(wait.getTiles());
        for (auto [load, tile] : llvm::zip(group.loads, landed))
          if (auto values = dyn_cast<LoadValuesOp>(load); values && form.box && !form.zeroed)
            tile = ZeroRowsOp::create(builder, load->getLoc(), tile, values.getItem(),
                                      values.getTile());
        Operation *end = meetInSlot(loop, ring, position, itemOf(firstLoad));
        if (!end || end->isBeforeInBlock(last))
          end = last;
        builder.setInsertionPointAfter(end);
        ReleaseOp::create(builder, loc, ring, position);
        Value next = AdvanceOp::create(builder, loc, ring, position);
        for (auto [load, tile] : llvm::zip(group.loads, landed)) {
          load->getResult(0).replaceAllUsesWith(tile);
          load->erase();
        }
        return SmallVector<Value>{next};
      });
  if (failed(rotated))
    return failure();
  return cast<scf::ForOp>(rotated->getOperation());
}

/// The query's rows through a ring of `depth` slots of the unit.
LogicalResult makeRowRing(LoadRowsOp load, int64_t depth) {
  TileType type = load.getResult().getType();
  if (!type.getLayout())
    return load.emitError() << "a copy needs a shared tile with a layout, got " << type;
  Block *block = load->getBlock();
  Operation *last = nullptr;
  for (Operation *user : load->getUsers()) {
    Operation *around = block->findAncestorOpInBlock(*user);
    if (!last || last->isBeforeInBlock(around))
      last = around;
  }
  if (!last)
    return load.emitError() << "the tiles of a slot are not used";
  OpBuilder builder(load);
  Location loc = load.getLoc();
  auto ring =
      RingOp::create(builder, loc, RingType::get(load.getContext(), depth, {type}, RingScope::Unit),
                     /*offset=*/IntegerAttr(), /*barriers=*/IntegerAttr());
  Value position = PositionOp::create(builder, loc);
  Value slot = AcquireOp::create(builder, loc, ring, position);
  CopyRowsOp::create(builder, loc, load.getKind(), load.getSource(), load.getItem(), slot);
  CommitOp::create(builder, loc, ring, position);
  auto wait = WaitOp::create(builder, loc, ring, position);
  builder.setInsertionPointAfter(last);
  ReleaseOp::create(builder, loc, ring, position);
  load.getResult().replaceAllUsesWith(wait.getTiles().front());
  load.erase();
  return success();
}

LogicalResult pipeline(scf::ForOp loop, attn::ScheduleAttr schedule) {
  SmallVector<LoadGroup> groups = groupLoads(loop, schedule.getStages());
  if (groups.empty())
    return success();
  CopyForm form;
  if (schedule.getCopy() == attn::Copy::Tensor)
    form.box = Builder(loop.getContext()).getI64IntegerAttr(schedule.getBox());
  form.zeroed = form.box && schedule.getValue().specialised();
  RingScope scope = schedule.getDivide() == attn::Divide::Keys ? RingScope::Unit : RingScope::Units;
  for (const LoadGroup &group : groups) {
    FailureOr<scf::ForOp> rotated = makeRing(loop, group, scope, form);
    if (failed(rotated))
      return failure();
    loop = *rotated;
  }
  return success();
}

struct Pipeline : public impl::PipelinePassBase<Pipeline> {
  void runOnOperation() override {
    const attn::Schedule &schedule = getOperation().getSchedule().getValue();
    SmallVector<scf::ForOp> loops;
    SmallVector<LoadRowsOp> rows;
    getOperation().walk([&](Operation *op) {
      if (auto loop = dyn_cast<scf::ForOp>(op))
        loops.push_back(loop);
      else if (auto load = dyn_cast<LoadRowsOp>(op);
               load && load.getResult().getType().isShared() && schedule.specialised())
        rows.push_back(load);
    });
    for (LoadRowsOp load : rows) {
      if (schedule.output == attn::Output::Staged && load.getKind() == RowKind::Query)
        for (auto store : load->getBlock()->getOps<StoreAttentionOp>())
          store.getThroughMutable().assign(load.getResult());
      if (failed(makeRowRing(load, schedule.stages.query)))
        return signalPassFailure();
    }
    for (scf::ForOp loop : loops)
      if (failed(pipeline(loop, getOperation().getSchedule())))
        return signalPassFailure();
  }
};

} // namespace
} // namespace attncc::tile
