//===- Overlap.cpp - One tile's values meet the next tile's scores ------------===//
//
// The loop over the tiles is rotated by one half. With front(j) = wait for keys, scores, mask,
// softmax, and back(j) = wait for values, product with them:
//
//   scf.for %j = 0 to %n                 front(0) → p, m, l
//       iter_args(m, l, o) {        →    scf.for %j = 1 to max(%n, 1) iter_args(m, l, o, p) {
//     front(j) → p, m, l, c                scores of front(j)
//     o = rescale o, c                     back(j − 1): o = matmul p, v, o
//     back(j): o = matmul p, v, o          rest of front(j) → p', m, l, c
//   }                                      o = rescale o, c
//                                        }
//                                        back(last)
//
// so that what uses the one product stands behind the start of the other. Nothing but the order
// changes: the accumulator is rescaled behind tile j − 1 instead of in front of tile j.
//
// With `skip_tiles` a unit leaves out the first tiles of the range that none of its rows sees: with
// s of them, it waits for their keys and releases them, begins with front(s), does the same with
// their values, and goes on from s + 1. It may not fall behind with the values by more than their
// ring has slots, so that is the most that it skips.
//
// Where roles load, so that units meet in mbarriers and turns alone, a unit that has no rows of the
// item passes the tiles behind front(0) with a loop of its own that waits for both rings and
// releases them.
//
// A range without tiles gets one: no key of tile 0 is seen then, so its probabilities are zeros.
//
// Test: test/dialects/tile/overlap.mlir, overlap-skipping.mlir, overlap-errors.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"

namespace attncc::tile {
#define GEN_PASS_DEF_OVERLAPPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
namespace {

/// The body of the loop, in two halves.
struct Halves {
  MatmulOp scores;
  WaitOp keys, wait; // for the keys, for the values
  MatmulOp product;
  SmallVector<Operation *> ends; // release and advance of the values' ring
  RescaleOp rescale;
  SmallVector<Operation *> front; // all but the above
};

FailureOr<Halves> halvesOf(scf::ForOp loop) {
  Halves halves;
  for (auto matmul : loop.getBody()->getOps<MatmulOp>())
    (matmul.getAccumulator() ? halves.product : halves.scores) = matmul;
  if (!halves.scores || !halves.product)
    return loop.emitError() << "expected a product of scores and one of values";
  halves.wait = halves.product.getRhs().getDefiningOp<WaitOp>();
  halves.keys = halves.scores.getRhs().getDefiningOp<WaitOp>();
  halves.rescale = halves.product.getAccumulator().getDefiningOp<RescaleOp>();
  if (!halves.keys || !halves.wait || halves.keys.getRing() == halves.wait.getRing() ||
      !halves.rescale)
    return halves.product.emitError()
           << "expected keys and values from a ring each, and a rescaled sum";
  for (Operation &op : loop.getBody()->without_terminator()) {
    bool isEnd = isa<ReleaseOp, AdvanceOp>(op) && op.getOperand(0) == halves.wait.getRing();
    if (isEnd)
      halves.ends.push_back(&op);
    else if (&op != halves.wait && &op != halves.product && &op != halves.rescale)
      halves.front.push_back(&op);
  }
  return halves;
}

class Rotation {
public:
  Rotation(scf::ForOp loop, Halves halves)
      : loop(loop), halves(halves), schedule(kernelOf(loop).getSchedule().getValue()),
        builder(loop) {}

  void run() {
    Location loc = loop.getLoc();
    Value zero = loop.getLowerBound(), begin = zero;
    Value one = arith::ConstantIndexOp::create(builder, loc, 1), second = one;
    Value last = arith::MaxUIOp::create(builder, loc, loop.getUpperBound(), one);
    if (schedule.skipTiles) {
      begin = RangeSkippedOp::create(builder, loc, builder.getIndexType(), range(),
                                     schedule.stages.value);
      second = arith::AddIOp::create(builder, loc, begin, one);
    }

    // The first front.
    IRMapping first;
    first.map(loop.getInductionVar(), begin);
    first.map(loop.getRegionIterArgs(), loop.getInitArgs());
    if (schedule.skipTiles)
      skip(first, halves.keys, begin);
    for (Operation *op : halves.front)
      builder.clone(*op, first);
    if (schedule.skipTiles)
      skip(first, halves.wait, begin);

    SmallVector<Value> inits;
    for (auto [yielded, init, argument] :
         llvm::zip(loop.getYieldedValues(), loop.getInitArgs(), loop.getRegionIterArgs()))
      inits.push_back(isOfFront(yielded) ? first.lookupOrDefault(yielded)
                                         : first.lookupOrDefault(argument));
    inits.push_back(first.lookup(halves.product.getLhs()));
    if (schedule.specialised() && schedule.units > 1)
      second = passIdle(inits, second);
    auto rotated = scf::ForOp::create(builder, loc, second, last, loop.getStep(), inits);
    rotateBody(rotated);

    // The last back.
    builder.setInsertionPointAfter(rotated);
    IRMapping final;
    final.map(loop.getRegionIterArgs(), rotated.getResults().drop_back());
    Value sum = emitBack(final, rotated.getResults().back(), rotated.getResult(accumulatorIndex()));
    for (auto [i, result] : llvm::enumerate(loop.getResults())) {
      Value yielded = loop.getYieldedValues()[i];
      bool isEnd = llvm::is_contained(halves.ends, yielded.getDefiningOp());
      result.replaceAllUsesWith(i == accumulatorIndex() ? sum
                                : isEnd                 ? final.lookup(yielded)
                                                        : rotated.getResult(i));
    }
    loop.erase();
  }

private:
  scf::ForOp loop;
  Halves halves;
  const attn::Schedule &schedule;
  OpBuilder builder;

  /// From tile `begin` to tile `end` waits for slots of the rings and releases them unread; the
  /// positions behind them.
  ValueRange drain(ArrayRef<Value> rings, ValueRange positions, Value begin, Value end) {
    return scf::ForOp::create(builder, loop.getLoc(), begin, end, loop.getStep(), positions,
                              [&](OpBuilder &b, Location loc, Value, ValueRange carried) {
                                for (auto [ring, position] : llvm::zip(rings, carried))
                                  WaitOp::create(b, loc, ring, position);
                                SmallVector<Value> next;
                                for (auto [ring, position] : llvm::zip(rings, carried)) {
                                  ReleaseOp::create(b, loc, ring, position);
                                  next.push_back(AdvanceOp::create(b, loc, ring, position));
                                }
                                scf::YieldOp::create(b, loc, next);
                              })
        .getResults();
  }

  /// Leaves out the first `count` slots of a ring; `map` then has its position behind them.
  void skip(IRMapping &map, WaitOp wait, Value count) {
    Value position = wait.getPosition();
    map.map(position, drain(wait.getRing(), map.lookup(position), loop.getLowerBound(), count)[0]);
  }

  /// Passes what a unit without rows does not read; `inits` then have the positions behind it. The
  /// tile to go on from.
  Value passIdle(MutableArrayRef<Value> inits, Value from) {
    Location loc = loop.getLoc();
    Value idle = RangeIdleOp::create(builder, loc, builder.getIndexType(), range());
    Value end = arith::MaxUIOp::create(builder, loc, idle, from);
    Value &keys = inits[indexOf(halves.keys.getPosition())],
          &values = inits[indexOf(halves.wait.getPosition())];
    ValueRange behind =
        drain({halves.keys.getRing(), halves.wait.getRing()}, {keys, values}, from, end);
    keys = behind[0];
    values = behind[1];
    return end;
  }

  /// Whose tiles the loop visits.
  Value range() const {
    auto tile = llvm::find_if(halves.front, [](Operation *op) { return isa<KeyTileOp>(op); });
    return cast<KeyTileOp>(*tile).getRange();
  }
  /// Which of the values that the loop carries this is.
  static size_t indexOf(Value carried) { return cast<BlockArgument>(carried).getArgNumber() - 1; }
  bool isOfFront(Value yielded) const {
    return llvm::is_contained(halves.front, yielded.getDefiningOp());
  }
  size_t accumulatorIndex() { return indexOf(halves.rescale.getValue()); }

  /// Wait, product and the ring's ends; the sum.
  Value emitBack(IRMapping &map, Value probabilities, Value accumulator) {
    builder.clone(*halves.wait, map);
    map.map(halves.product.getLhs(), probabilities);
    map.map(halves.product.getAccumulator(), accumulator);
    Value sum = builder.clone(*halves.product, map)->getResult(0);
    for (Operation *end : halves.ends)
      builder.clone(*end, map);
    return sum;
  }

  void rotateBody(scf::ForOp rotated) {
    IRMapping front, back;
    front.map(loop.getInductionVar(), rotated.getInductionVar());
    front.map(loop.getRegionIterArgs(), rotated.getRegionIterArgs().drop_back());
    back.map(loop.getRegionIterArgs(), rotated.getRegionIterArgs().drop_back());
    builder.setInsertionPointToStart(rotated.getBody());
    Value sum;
    for (Operation *op : halves.front) {
      builder.clone(*op, front);
      if (op == halves.scores)
        sum = emitBack(back, rotated.getRegionIterArgs().back(),
                       rotated.getRegionIterArg(accumulatorIndex()));
    }
    front.map(halves.rescale.getValue(), sum);
    Value rescaled = builder.clone(*halves.rescale, front)->getResult(0);
    SmallVector<Value> yielded;
    for (auto [i, value] : llvm::enumerate(loop.getYieldedValues())) {
      if (i == accumulatorIndex())
        yielded.push_back(rescaled);
      else
        yielded.push_back(isOfFront(value) ? front.lookup(value) : back.lookupOrDefault(value));
    }
    yielded.push_back(front.lookup(halves.product.getLhs()));
    scf::YieldOp::create(builder, loop.getLoc(), yielded);
  }
};

LogicalResult overlap(scf::ForOp loop) {
  if (loop.getBody()->getOps<MatmulOp>().empty())
    return success();
  FailureOr<Halves> halves = halvesOf(loop);
  if (failed(halves))
    return failure();
  auto isCarried = [&](Value value) { return llvm::is_contained(loop.getRegionIterArgs(), value); };
  if (!isConstantIntValue(loop.getLowerBound(), 0) || !isCarried(halves->rescale.getValue()) ||
      !isCarried(halves->keys.getPosition()) || !isCarried(halves->wait.getPosition()))
    return loop.emitError()
           << "expected a loop from tile 0 that carries the sum and the positions of both rings";
  if (llvm::none_of(halves->front, [](Operation *op) { return isa<KeyTileOp>(op); }))
    return loop.emitError() << "expected a loop over the tiles of a range";
  Rotation(loop, *halves).run();
  return success();
}

struct Overlap : public impl::OverlapPassBase<Overlap> {
  void runOnOperation() override {
    if (getOperation().getSchedule().getOverlap() == attn::Overlap::None)
      return;
    SmallVector<scf::ForOp> loops;
    getOperation().walk([&](scf::ForOp loop) { loops.push_back(loop); });
    for (scf::ForOp loop : loops)
      if (failed(overlap(loop)))
        return signalPassFailure();
  }
};

} // namespace
} // namespace attncc::tile
