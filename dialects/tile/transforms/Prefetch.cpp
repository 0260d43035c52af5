//===- Prefetch.cpp - The computing warps run ahead with their own copies -----===//
//
// For a ring of depth d in the form that Pipeline.cpp makes; the ring is the unit's own, so the
// distance is d:
//
//   scf.for %j = 0 to %n {            copy(0) … copy(d−1)
//     acquire, copy(j), commit        scf.for %j = 0 to %n {
//     wait; use; release         →      wait {ahead = d − 1}; use; release
//   }                                   acquire, copy(j + d), commit
//                                     }
//
// where copy(i) happens `when i < %n` but is always committed, so that counting commits says which
// copies have landed. In a ring shared by the units of a block the slot of tile j may only be
// filled again when all units have released it, and the next wait is what they meet at; the
// distance is then d − 1 and the copy stands behind the wait:
//
//   scf.for %j { wait {ahead = d − 2}; acquire, copy(j + d − 1), commit; use; release }
//
// Block-table entries: one `tile.page_numbers` holds 32 entries, which serve w = ⌊32 g / keys⌋
// tiles (g = gcd(page_size, keys)). The loop carries the entries of the tile it will copy next and
// that tile's place among the w. When they are used up, the next 32 are loaded at the end of the
// iteration, so the latency of the load is behind the next iteration's products; the place is
// counted, never divided.
//
// After the loop nothing is in flight: of the d copies beyond the last tile none happens.
//
// Follows the decode kernels' one-role form: "cp.async" groups of the PTX ISA.
// Test: test/dialects/tile/prefetch.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"
#include "dialects/tile/transforms/Copies.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/PatternMatch.h"

#include <numeric>

namespace attncc::tile {
#define GEN_PASS_DEF_PREFETCHPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
namespace {

/// One ring's station ops in a loop, and what it copies.
struct RingLoop {
  AcquireOp acquire;
  SmallVector<Operation *> copies;
  CommitOp commit;
  WaitOp wait;
  ReleaseOp release;
  KeyTileOp tile;
  int64_t distance; // tiles that the copies run ahead
  int64_t window;   // tiles that one page_numbers serves

  RingType ringType() { return acquire.getRing().getType(); }
};

/// The ring's ops, if the loop has the form that Pipeline.cpp makes.
FailureOr<RingLoop> match(scf::ForOp loop, AcquireOp acquire) {
  RingLoop ring{acquire, {}, {}, {}, {}, {}, 0, 0};
  for (Operation *user : acquire.getRing().getUsers()) {
    if (user->getBlock() != loop.getBody())
      continue;
    if (auto commit = dyn_cast<CommitOp>(user))
      ring.commit = commit;
    else if (auto wait = dyn_cast<WaitOp>(user))
      ring.wait = wait;
    else if (auto release = dyn_cast<ReleaseOp>(user))
      ring.release = release;
  }
  if (!ring.commit || !ring.wait || !ring.release ||
      ring.wait.getPosition() != acquire.getPosition())
    return acquire.emitError()
           << "expected acquire, commit, wait and release of one slot in the loop";
  Value tile;
  for (Operation &op : *loop.getBody()) {
    if (!isa<CopyKeysOp, CopyValuesOp>(op) ||
        !llvm::is_contained(op.getOperands(), acquire.getSlot()))
      continue;
    Value copied =
        isa<CopyKeysOp>(op) ? cast<CopyKeysOp>(op).getTile() : cast<CopyValuesOp>(op).getTile();
    if (tile && tile != copied)
      return op.emitError() << "copies into one slot must be of one tile";
    tile = copied;
    ring.copies.push_back(&op);
  }
  ring.tile = tile ? tile.getDefiningOp<KeyTileOp>() : KeyTileOp();
  if (!ring.tile || ring.tile.getIndex() != loop.getInductionVar() ||
      !loop.isDefinedOutsideOfLoop(ring.tile.getRange()))
    return acquire.emitError() << "expected copies of the tile that the loop's index selects";
  auto count = loop.getUpperBound().getDefiningOp<RangeCountOp>();
  if (!isConstantIntValue(loop.getLowerBound(), 0) || !isConstantIntValue(loop.getStep(), 1) ||
      !count || count.getRange() != ring.tile.getRange())
    return loop.emitError() << "expected a loop over all tiles of the range, from 0 in steps of 1";
  RingType type = ring.ringType();
  bool shared = type.getSharedBy() == RingScope::Units;
  ring.distance = type.getDepth() - (shared ? 1 : 0);
  int64_t keys = type.getTiles().front().getRows();
  int64_t group = std::gcd<int64_t>(cacheOf(ring.copies.front()).getType().getPageSize(), keys);
  ring.window = 32 * group / keys;
  if (ring.window == 0)
    return acquire.emitError() << "a tile of " << keys << " keys has " << keys / group
                               << " page numbers, at most 32 are supported";
  return ring;
}

/// Emits what surrounds a copy; the same before the loop and inside it.
class Copier {
public:
  Copier(const RingLoop &ring, Value count) : ring(ring), count(count) {}

  Value constant(OpBuilder &builder, int64_t value) const {
    return arith::ConstantIndexOp::create(builder, count.getLoc(), value);
  }

  Value pagesFrom(OpBuilder &builder, Value index) const {
    RingLoop r = ring;
    return createPageNumbers(builder, r.acquire.getLoc(), r.copies.front(), r.tile.getRange(),
                             index);
  }

  /// acquire, copies of tile `index`, commit; returns the next position.
  Value copy(OpBuilder &builder, Value index, Value position, Value pages, Value place) const {
    RingLoop r = ring;
    Location loc = r.acquire.getLoc();
    Value inRange = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ult, index, count);
    Value tile = KeyTileOp::create(builder, loc, r.tile.getRange(), index);
    Value slot = AcquireOp::create(builder, loc, r.acquire.getRing(), position);
    for (Operation *copy : r.copies)
      createCopyLike(builder, copy,
                     {.tile = tile,
                      .pages = pages,
                      .pageIndex = place,
                      .slot = slot,
                      .when = inRange,
                      .item = {}});
    CommitOp::create(builder, loc, r.acquire.getRing(), position);
    return AdvanceOp::create(builder, loc, r.acquire.getRing(), position);
  }

private:
  const RingLoop &ring;
  Value count;
};

/// What the loop carries for its copies: the position to fill, the page numbers, and the place of
/// the tile to be copied among those they serve (absent if they serve one tile).
FailureOr<scf::ForOp> runAhead(scf::ForOp loop, RingLoop ring) {
  Location loc = ring.acquire.getLoc();
  IRRewriter rewriter(loop);
  Copier copier(ring, loop.getUpperBound());
  Value first = loop.getTiedLoopInit(llvm::cast<BlockArgument>(ring.acquire.getPosition()))->get();

  // Before the loop; the page numbers end as those of tile `distance`.
  Value position = first, pages;
  for (int64_t i = 0; i <= ring.distance; ++i) {
    Value index = copier.constant(rewriter, i);
    if (i % ring.window == 0)
      pages = copier.pagesFrom(rewriter, index);
    if (i < ring.distance)
      position =
          copier.copy(rewriter, index, position, pages, copier.constant(rewriter, i % ring.window));
  }
  SmallVector<Value> inits = {position, pages};
  if (ring.window > 1)
    inits.push_back(copier.constant(rewriter, ring.distance % ring.window));

  auto body = [&](OpBuilder &, Location, ArrayRef<BlockArgument> carried) {
    bool shared = ring.ringType().getSharedBy() == RingScope::Units;
    OpBuilder builder(shared ? ring.wait.getOperation() : ring.release.getOperation());
    builder.setInsertionPointAfter(shared ? ring.wait.getOperation() : ring.release.getOperation());
    Value zero = copier.constant(builder, 0);
    Value place = ring.window > 1 ? Value(carried[2]) : zero;
    Value index = arith::AddIOp::create(builder, loc, loop.getInductionVar(),
                                        copier.constant(builder, ring.distance));
    Value next = copier.copy(builder, index, carried[0], carried[1], place);

    builder.setInsertionPoint(loop.getBody()->getTerminator());
    Value nextIndex = arith::AddIOp::create(builder, loc, index, copier.constant(builder, 1));
    if (ring.window == 1)
      return SmallVector<Value>{next, copier.pagesFrom(builder, nextIndex)};
    Value counted = arith::AddIOp::create(builder, loc, place, copier.constant(builder, 1));
    Value usedUp = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, counted,
                                         copier.constant(builder, ring.window));
    Value nextPlace = arith::SelectOp::create(builder, loc, usedUp, zero, counted);
    auto reload = scf::IfOp::create(
        builder, loc, usedUp,
        [&](OpBuilder &b, Location l) {
          scf::YieldOp::create(b, l, copier.pagesFrom(b, nextIndex));
        },
        [&](OpBuilder &b, Location l) { scf::YieldOp::create(b, l, Value(carried[1])); });
    return SmallVector<Value>{next, reload.getResult(0), nextPlace};
  };
  auto replaced = loop.replaceWithAdditionalYields(rewriter, inits,
                                                   /*replaceInitOperandUsesInLoop=*/false, body);
  if (failed(replaced))
    return failure();
  ring.wait.setAhead(ring.distance - 1);
  ring.commit.erase();
  for (Operation *copy : ring.copies)
    copy->erase();
  ring.acquire.erase();
  if (ring.tile->use_empty())
    ring.tile.erase();
  return cast<scf::ForOp>(replaced->getOperation());
}

LogicalResult prefetch(scf::ForOp loop) {
  SmallVector<AcquireOp> acquires(loop.getBody()->getOps<AcquireOp>());
  for (AcquireOp acquire : acquires) {
    FailureOr<RingLoop> ring = match(loop, acquire);
    if (failed(ring))
      return failure();
    if (ring->distance == 0) // a single shared slot cannot run ahead
      continue;
    FailureOr<scf::ForOp> ahead = runAhead(loop, *ring);
    if (failed(ahead))
      return failure();
    loop = *ahead;
  }
  return success();
}

struct Prefetch : public impl::PrefetchPassBase<Prefetch> {
  void runOnOperation() override {
    if (getOperation().getSchedule().getValue().specialised()) // a role of its own runs ahead
      return;
    SmallVector<scf::ForOp> loops;
    getOperation().walk([&](scf::ForOp loop) { loops.push_back(loop); });
    for (scf::ForOp loop : loops)
      if (failed(prefetch(loop)))
        return signalPassFailure();
  }
};

} // namespace
} // namespace attncc::tile
