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
// overlap = items, of the role that computes: the last product of an item meets the first scores of
// the next. With A = query rows, first scores, softmax; L = the loop over the keys; B = the last
// tile's product; E = normalize, store:
//
//   A of the first item → p, m, l
//   scf.while (%turn, %valid, p, m, l, positions) {
//     condition(%valid)
//   } do {
//     the item again;  draw the next one: start the copy of its rows
//     L; release the rows
//     the next item again       (with query_stages = 1 it is drawn and copied here)
//     scf.if it is valid { scores of A beside B, rest of A → p', m', l' } else { B }
//     the item again;  E
//   }
//
// Items are not kept in registers (tile.item_again): the loop has none to spare.
//
// Test: test/dialects/tile/persist.mlir, persist-items.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"

namespace attncc::tile {
#define GEN_PASS_DEF_PERSISTPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
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

/// Where the body leaves a ring that it meets at `position`: it advances, or a loop does.
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

/// The body of the computing role's work loop in parts; see the top of the file.
class ItemOverlap {
public:
  explicit ItemOverlap(WorkLoopOp loop)
      : loop(loop), body(loop.getBody().front()), builder(loop), loc(loop.getLoc()) {}

  LogicalResult run() {
    if (failed(divide()))
      return failure();
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    Drawn draw = drawAt(zero, zero);
    SmallVector<Value> starts;
    for (PositionOp start : positions)
      starts.push_back(builder.clone(*start)->getResult(0));
    // The first item, if there is one.
    auto first = scf::IfOp::create(builder, loc, stateTypes(), draw.valid, /*withElse=*/true);
    {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(first.thenBlock());
      IRMapping map = mapping(draw, starts);
      emit(rowCopies, map);
      emit(firstScores, map);
      emit(restOfFirst, map);
      scf::YieldOp::create(builder, loc, stateIn(map));
      builder.setInsertionPointToStart(first.elseBlock());
      scf::YieldOp::create(builder, loc, emptyState(starts));
    }
    SmallVector<Value> inits = {zero, draw.valid};
    llvm::append_range(inits, starts);
    llvm::append_range(inits, first.getResults());
    SmallVector<Type> types;
    for (Value init : inits)
      types.push_back(init.getType());
    auto items = scf::WhileOp::create(
        builder, loc, types, inits,
        [&](OpBuilder &b, Location loc, ValueRange state) {
          scf::ConditionOp::create(b, loc, state[1], state);
        },
        [&](OpBuilder &b, Location, ValueRange state) {
          builder.setInsertionPoint(b.getInsertionBlock(), b.getInsertionPoint());
          emitItem(state);
        });
    (void)items;
    loop.erase();
    return success();
  }

private:
  WorkLoopOp loop;
  Block &body;
  OpBuilder builder;
  Location loc;
  SmallVector<PositionOp> positions;
  SmallVector<Value> ends; // of each position
  /// Ops of the parts, in order; all of them know the arithmetic, which is cheap.
  SmallVector<Operation *> arithmetic, rowCopies, rowReleases, firstScores, restOfFirst, skipped,
      last, epilogue;
  WaitOp rows; // for the query
  scf::ForOp keys;
  SmallVector<Value> state;   // of A, used in L or behind it
  SmallVector<Value> results; // of B, used behind it

  static bool isArithmetic(Operation *op) {
    return isa<KeyRangeOp, RangeCountOp, RangeSkippedOp, KeyTileOp, SoftmaxInitOp, ZeroOp>(op) ||
           isa<arith::ArithDialect>(op->getDialect());
  }

  /// Which part each op belongs to.
  LogicalResult divide() {
    Value rowRing;
    for (Operation &op : body.without_terminator()) {
      if (auto position = dyn_cast<PositionOp>(op)) {
        positions.push_back(position);
      } else if (auto found = dyn_cast<scf::ForOp>(op);
                 found && found.getBody()->getOps<MatmulOp>().empty()) {
        // Slots of keys that are skipped stand before the scores, those of values behind.
        bool ofKeys = firstScores.empty() || !isa<MatmulOp>(firstScores.back());
        (ofKeys ? firstScores : skipped).push_back(found);
      } else if (found) {
        if (keys)
          return op.emitError() << "overlap = items needs one loop over the keys";
        keys = found;
      } else if (isArithmetic(&op)) {
        arithmetic.push_back(&op);
      } else if (!keys) {
        bool behindScores = !firstScores.empty() && isa<MatmulOp>(firstScores.back());
        if (auto acquire = dyn_cast<AcquireOp>(op))
          rowRing = acquire.getRing();
        if (auto wait = dyn_cast<WaitOp>(op); wait && wait.getRing() == rowRing)
          rows = wait;
        (isa<AcquireOp, CopyRowsOp, CommitOp>(op) ? rowCopies
         : behindScores                           ? restOfFirst
                                                  : firstScores)
            .push_back(&op);
      } else {
        bool ofRows = isa<ReleaseOp>(op) && op.getOperand(0) == rowRing;
        (ofRows ? rowReleases : epilogue).push_back(&op);
      }
    }
    if (!keys || firstScores.empty() || !isa<MatmulOp>(firstScores.back()) || !rows ||
        rowReleases.empty())
      return loop.emitError() << "overlap = items needs the form that --tile-overlap makes, with "
                                 "the query's rows in a ring";
    // B: up to the product, and what ends the ring that it reads.
    auto product = llvm::find_if(epilogue, [](Operation *op) { return isa<MatmulOp>(op); });
    if (product == epilogue.end())
      return loop.emitError() << "overlap = items needs a product behind the loop";
    auto wait = cast<MatmulOp>(*product).getRhs().getDefiningOp<WaitOp>();
    SmallVector<Operation *> rest;
    for (Operation *op : epilogue)
      (op == wait || op == *product ||
               (isa<ReleaseOp, AdvanceOp>(op) && wait && op->getOperand(0) == wait.getRing())
           ? last
           : rest)
          .push_back(op);
    epilogue = rest;
    OpBuilder atEnd(body.getTerminator());
    for (PositionOp position : positions)
      ends.push_back(positionBehind(atEnd, position));

    auto usedIn = [&](Value value, ArrayRef<Operation *> part) {
      return llvm::any_of(value.getUsers(), [&](Operation *user) {
        return llvm::is_contained(part, body.findAncestorOpInBlock(*user));
      });
    };
    for (ArrayRef<Operation *> part : {ArrayRef(firstScores), ArrayRef(restOfFirst)})
      for (Operation *op : part)
        for (Value value : op->getResults())
          if (op != rows && (usedIn(value, {keys}) || usedIn(value, skipped) ||
                             usedIn(value, last) || usedIn(value, epilogue)))
            state.push_back(value);
    for (Operation *op : last)
      for (Value value : op->getResults())
        if (usedIn(value, epilogue) || llvm::is_contained(ends, value))
          results.push_back(value);
    return success();
  }

  SmallVector<Type> stateTypes() {
    SmallVector<Type> types;
    for (Value value : state)
      types.push_back(value.getType());
    return types;
  }
  SmallVector<Value> stateIn(const IRMapping &map) {
    SmallVector<Value> values;
    for (Value value : state)
      values.push_back(map.lookup(value));
    return values;
  }
  /// The same without an item: nothing of it is read. `at` are positions of the rings.
  SmallVector<Value> emptyState(ValueRange at) {
    SmallVector<Value> values;
    for (Value value : state)
      values.push_back(isa<PositionType>(value.getType())
                           ? at.front()
                           : ZeroOp::create(builder, loc, cast<TileType>(value.getType())));
    return values;
  }
  IRMapping mappingOfPositions(ValueRange at) {
    IRMapping map;
    for (auto [position, value] : llvm::zip(positions, at))
      map.map(position.getPosition(), value);
    return map;
  }

  /// An item and what comes with it.
  struct Drawn {
    Value item, unit, valid, next;
  };
  Drawn drawAt(Value cursor, Value turn) {
    auto op = DrawItemOp::create(builder, loc, loop.getSource(), cursor, turn, loop.getItemsAttr(),
                                 /*record=*/IntegerAttr());
    return {op.getItem(), op.getUnit(), op.getValid(), op.getNext()};
  }
  Drawn again(Value turn) {
    auto op = ItemAgainOp::create(builder, loc, loop.getSource(), turn, loop.getItemsAttr(),
                                  /*record=*/IntegerAttr());
    return {op.getItem(), op.getUnit(), op.getValid(), op.getNext()};
  }
  /// Of the body's item, unit and positions, with the arithmetic on them.
  IRMapping mapping(const Drawn &draw, ValueRange at) {
    IRMapping map = mappingOfPositions(at);
    map.map(loop.getItem(), draw.item);
    map.map(loop.getUnit(), draw.unit);
    emit(arithmetic, map);
    return map;
  }
  void emit(ArrayRef<Operation *> part, IRMapping &map) {
    for (Operation *op : part)
      builder.clone(*op, map);
  }

  /// One item, whose first tile's scores are done.
  void emitItem(ValueRange carried) {
    Value turn = carried[0];
    Value nextTurn =
        arith::AddIOp::create(builder, loc, turn, arith::ConstantIndexOp::create(builder, loc, 1));
    ValueRange at = carried.slice(2, positions.size()),
               known = carried.drop_front(2 + positions.size());
    Drawn draw = again(turn);
    IRMapping map = mapping(draw, at);
    for (auto [value, now] : llvm::zip(state, known))
      map.map(value, now);
    SmallVector<Value> nextAt;
    for (PositionOp position : positions)
      nextAt.push_back(isOfRows(position) ? advanced(position, map) : Value());
    bool ahead = rows.getRing().getType().getDepth() > 1;
    if (ahead) {
      Drawn next = drawAt(draw.next, nextTurn);
      auto valid = scf::IfOp::create(builder, loc, next.valid, /*withElse=*/false);
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPoint(valid.thenYield());
      IRMapping ofNext = mappingOfPositions(positionsFor(nextAt, at));
      ofNext.map(loop.getItem(), next.item);
      emit(rowCopies, ofNext);
    }
    // The rows are there, whatever of the next item's is not.
    auto there = cast<WaitOp>(builder.clone(*rows, map));
    if (ahead)
      there.setAhead(1);
    emit(skipped, map);
    builder.clone(*keys, map);
    emit(rowReleases, map);
    for (auto [value, end] : llvm::zip(nextAt, ends))
      if (!value && map.contains(end))
        value = map.lookup(end);

    Drawn next = ahead ? again(nextTurn) : drawAt(draw.next, nextTurn);
    SmallVector<Type> types = stateTypes();
    for (Value value : results)
      types.push_back(value.getType());
    auto both = scf::IfOp::create(builder, loc, types, next.valid, /*withElse=*/true);
    {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(both.thenBlock());
      // Keys' slots begin where the loop has left them; values' are not A's.
      IRMapping ofNext = mapping(next, positionsFor(nextAt, at));
      IRMapping ofLast = map;
      if (!ahead)
        emit(rowCopies, ofNext);
      emit(firstScores, ofNext);
      emit(last, ofLast);
      emit(restOfFirst, ofNext);
      yield(stateIn(ofNext), ofLast);
      builder.setInsertionPointToStart(both.elseBlock());
      IRMapping alone = map;
      emit(last, alone);
      yield(emptyState(positionsFor(nextAt, at)), alone);
    }
    for (auto [value, result] : llvm::zip(results, both.getResults().take_back(results.size())))
      map.map(value, result);
    for (auto [value, end] : llvm::zip(nextAt, ends))
      if (!value)
        value = map.lookup(end);

    Drawn done = again(turn);
    map.map(loop.getItem(), done.item);
    map.map(loop.getUnit(), done.unit);
    emit(epilogue, map);
    SmallVector<Value> yielded = {nextTurn, next.valid};
    llvm::append_range(yielded, nextAt);
    llvm::append_range(yielded, both.getResults().take_front(state.size()));
    scf::YieldOp::create(builder, loc, yielded);
  }

  void yield(SmallVector<Value> values, const IRMapping &ofLast) {
    for (Value value : results)
      values.push_back(ofLast.lookup(value));
    scf::YieldOp::create(builder, loc, values);
  }

  /// The position of the ring of the query's rows.
  bool isOfRows(PositionOp position) {
    return llvm::any_of(position.getPosition().getUsers(),
                        [&](Operation *user) { return llvm::is_contained(rowCopies, user); });
  }
  /// Where the next item's rows go.
  Value advanced(PositionOp position, const IRMapping &map) {
    Value ring;
    for (Operation *user : position.getPosition().getUsers())
      if (isa<AcquireOp>(user))
        ring = user->getOperand(0);
    return AdvanceOp::create(builder, loc, ring, map.lookup(position.getPosition()));
  }
  /// Those that are known, else the present ones, which A does not use.
  static SmallVector<Value> positionsFor(ArrayRef<Value> next, ValueRange at) {
    SmallVector<Value> values;
    for (auto [value, now] : llvm::zip(next, at))
      values.push_back(value ? value : now);
    return values;
  }
};

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
      } else if (failed(ItemOverlap(loop).run())) {
        return signalPassFailure();
      }
    }
  }
};

} // namespace
} // namespace attncc::tile
