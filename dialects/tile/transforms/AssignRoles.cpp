//===- AssignRoles.cpp - Copies go to a role of their own ---------------------===//
//
//   tile.work_loop(%item, %unit) {       tile.roles load {
//     scf.for %j … {                       tile.work_loop(%item, %unit) {}
//       acquire, copy, commit            }, {
//       wait; use; release         →       tile.work_loop(%item, %unit) {
//     }                                      scf.for %j … { page_numbers, acquire, copy, commit } }
//     store                              }, { … } compute {
//   }                                      tile.work_loop(%item, %unit) {
//                                            scf.for %j … { wait; use; release }
//                                            store } }
//
// The first loading role only draws the items, for all of them (Persist.cpp). Keys and values have
// a role each: so neither waits for a slot of the other. It walks the same tiles of the same items
// (with overlap = tiles or items also the one of a range that has none, see Overlap.cpp); how far
// it runs ahead is what the rings have room for. A tile's block-table entries are read by one load
// of the warp, a lane for each, one tile before they are used. Rings move in front of the roles: an
// item takes the slots where the one before it left off.
//
// Test: test/dialects/tile/assign-roles.mlir, assign-roles-errors.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"
#include "dialects/tile/transforms/Copies.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"

namespace attncc::tile {
#define GEN_PASS_DEF_ASSIGNROLESPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
namespace {

/// A ring of keys or values and what fills it.
struct Filling {
  AcquireOp acquire;
  SmallVector<Operation *> copies;
  CommitOp commit;
};

/// The rings that copies of keys and values in the loop fill, in program order.
SmallVector<Filling> fillingsOf(scf::ForOp loop) {
  SmallVector<Filling> fillings;
  for (auto acquire : loop.getBody()->getOps<AcquireOp>()) {
    Filling filling{acquire, {}, {}};
    for (Operation &op : *loop.getBody()) {
      if (isa<CopyKeysOp, CopyValuesOp>(op) &&
          llvm::is_contained(op.getOperands(), acquire.getSlot()))
        filling.copies.push_back(&op);
      if (auto commit = dyn_cast<CommitOp>(op); commit && commit.getRing() == acquire.getRing())
        filling.commit = commit;
    }
    fillings.push_back(filling);
  }
  return fillings;
}

/// The loop over the tiles of the item's range, once more, with nothing but its copies.
void buildLoads(OpBuilder &builder, scf::ForOp loop, KeyRangeOp range, Filling filling, Value item,
                Value unit, bool atLeastOne) {
  Location loc = loop.getLoc();
  auto constant = [&](OpBuilder &b, int64_t value) {
    return arith::ConstantIndexOp::create(b, loc, value);
  };
  Value tiles = KeyRangeOp::create(builder, loc, range.getType(), item, unit, range.getMask(),
                                   range.getKeys());
  Value count = RangeCountOp::create(builder, loc, builder.getIndexType(), tiles);
  if (atLeastOne)
    count = arith::MaxUIOp::create(builder, loc, count, constant(builder, 1));
  auto pagesOf = [&](OpBuilder &b, Value j) {
    return createPageNumbers(b, loc, filling.copies.front(), tiles, j);
  };
  SmallVector<Value> inits = {pagesOf(builder, constant(builder, 0)),
                              PositionOp::create(builder, loc)};
  scf::ForOp::create(
      builder, loc, constant(builder, 0), count, constant(builder, 1), inits,
      [&](OpBuilder &b, Location loc, Value j, ValueRange carried) {
        Value tile = KeyTileOp::create(b, loc, b.getIndexType(), tiles, j);
        Value following = arith::AddIOp::create(b, loc, j, constant(b, 1));
        Value nextPages = pagesOf(b, following);
        Value pages = carried[0], position = carried[1], ring = filling.acquire.getRing();
        Value slot = AcquireOp::create(b, loc, ring, position);
        for (Operation *copy : filling.copies)
          createCopyLike(b, copy,
                         {.tile = tile,
                          .pages = pages,
                          .pageIndex = constant(b, 0),
                          .slot = slot,
                          .when = {},
                          .item = item});
        CommitOp::create(b, loc, ring, position);
        scf::YieldOp::create(
            b, loc, ValueRange{nextPages, AdvanceOp::create(b, loc, ring, position).getNext()});
      });
}

LogicalResult assignRoles(WorkLoopOp work) {
  SmallVector<scf::ForOp> loops(work.getBody().front().getOps<scf::ForOp>());
  if (loops.size() != 1)
    return work.emitError() << "specialised roles need one loop over the keys, found "
                            << loops.size();
  scf::ForOp loop = loops.front();
  SmallVector<Filling> fillings = fillingsOf(loop);
  auto count = loop.getUpperBound().getDefiningOp<RangeCountOp>();
  auto range = count ? count.getRange().getDefiningOp<KeyRangeOp>() : KeyRangeOp();
  if (fillings.empty() || !range)
    return loop.emitError() << "specialised roles need a loop over a range, with copies into rings";
  for (Filling &filling : fillings)
    if (filling.copies.empty() || !filling.commit)
      return filling.acquire.emitError() << "expected copies of keys or values, and a commit";

  OpBuilder builder(work);
  Location loc = work.getLoc();
  for (auto ring : llvm::make_early_inc_range(work.getBody().front().getOps<RingOp>()))
    ring->moveBefore(work);
  auto roles = RolesOp::create(builder, loc, static_cast<unsigned>(1 + fillings.size()));
  bool atLeastOne = kernelOf(work).getSchedule().getOverlap() != attn::Overlap::None;
  auto createLoop = [&](Region &region) {
    builder.createBlock(&region);
    auto loads = WorkLoopOp::create(builder, loc, work.getSource(), work.getItems());
    builder.setInsertionPointToStart(&loads.getBody().front());
    return loads;
  };
  createLoop(roles.getLoads().front()); // which draws, and does nothing else
  for (auto [region, filling] : llvm::zip(roles.getLoads().drop_front(), fillings)) {
    WorkLoopOp loads = createLoop(region);
    buildLoads(builder, loop, range, filling, loads.getItem(), loads.getUnit(), atLeastOne);
  }
  builder.createBlock(&roles.getCompute());
  work->moveBefore(&roles.getCompute().front(), roles.getCompute().front().end());
  for (Filling &filling : fillings) {
    for (Operation *copy : filling.copies)
      copy->erase();
    filling.commit.erase();
    filling.acquire.erase();
  }
  return success();
}

struct AssignRoles : public impl::AssignRolesPassBase<AssignRoles> {
  void runOnOperation() override {
    if (!getOperation().getSchedule().getValue().specialised())
      return;
    SmallVector<WorkLoopOp> loops;
    getOperation().walk([&](WorkLoopOp loop) { loops.push_back(loop); });
    for (WorkLoopOp loop : loops)
      if (failed(assignRoles(loop)))
        return signalPassFailure();
  }
};

} // namespace
} // namespace attncc::tile
