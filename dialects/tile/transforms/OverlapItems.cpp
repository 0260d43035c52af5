//===- OverlapItems.cpp - One item's last product meets the next one's first --===//
//
// overlap = items, of the role that computes: the last product of an item meets the first scores of
// the next. With A = wait for the query's rows, first scores, softmax; L = the loop over the keys;
// B = the last tile's product; E = normalize, store:
//
//   take the first item
//   scf.if it is valid {
//     start the copy of its rows;  A → p, m, l
//     scf.while (%valid = true, %i, positions, %before, p, m, l) {
//       condition(%valid)
//     } do {
//       take item %i again, and the next one: start the copy of its rows
//       L; release the rows           (behind E, if that goes through their slot)
//       release the slot %before
//       take the next item again      (with query_stages = 1 its rows are copied here)
//       scf.if it is valid { scores of A beside B, rest of A → p', m', l' } else { B }
//       take item %i again;  E
//     }
//     release the last item
//   }
//   release the slot that has no item
//
// What is drawn into the slot %before is needed one item later, and is not drawn before L, so that
// other blocks may have it meanwhile. With query_stages = 1 an item is needed at the end of the one
// before it: each is released behind its own E.
//
// Items are not kept in registers: the loop has none to spare.
//
// Test: test/dialects/tile/persist-items.mlir, persist-errors.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/transforms/Persist.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace attncc::tile {

namespace {

/// The body of the computing role's work loop in parts; see the top of the file.
class ItemOverlap {
public:
  ItemOverlap(WorkLoopOp loop, RingOp items)
      : loop(loop), items(items), body(loop.getBody().front()), builder(loop), loc(loop.getLoc()) {}

  LogicalResult run() {
    if (failed(divide()))
      return failure();
    Value before, itemAt = PositionOp::create(builder, loc);
    if (releasesLate(items)) {
      before = itemAt;
      WaitOp::create(builder, loc, items, before);
      itemAt = AdvanceOp::create(builder, loc, items, before);
    }
    TakeItemOp take = takeItem(builder, loop, items, itemAt);
    SmallVector<Value> starts;
    for (PositionOp start : positions)
      starts.push_back(builder.clone(*start)->getResult(0));
    // One branch around all of it: positions that meet again behind a branch would be taken for
    // different in the lanes of a warp.
    auto any =
        scf::IfOp::create(builder, loc, itemAt.getType(), take.getValid(), /*withElse=*/true);
    {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(any.thenBlock());
      scf::YieldOp::create(builder, loc, emitItems(take, before, itemAt, starts));
      builder.setInsertionPointToStart(any.elseBlock());
      if (before)
        ReleaseOp::create(builder, loc, items, before);
      scf::YieldOp::create(builder, loc, itemAt);
    }
    ReleaseOp::create(builder, loc, items, any.getResult(0));
    loop.erase();
    return success();
  }

private:
  WorkLoopOp loop;
  RingOp items;
  Block &body;
  OpBuilder builder;
  Location loc;
  SmallVector<PositionOp> positions;
  SmallVector<Value> ends; // of each position
  /// Ops of the parts, in order; all of them know the arithmetic, which is cheap.
  SmallVector<Operation *> arithmetic, rowCopies, rowReleases, firstScores, restOfFirst, skipped,
      last, epilogue;
  WaitOp rows;       // for the query
  bool rowsServeEnd; // E writes into their slot
  scf::ForOp keys;
  SmallVector<Value> state;   // of A, used in L or behind it
  SmallVector<Value> results; // of B, used behind it

  static bool isArithmetic(Operation *op) {
    return isa<KeyRangeOp, RangeCountOp, RangeSkippedOp, RangeIdleOp, KeyTileOp, SoftmaxInitOp,
               ZeroOp>(op) ||
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
    rowsServeEnd = usedIn(rows.getTiles().front(), epilogue);
    if (rowsServeEnd && rows.getRing().getType().getDepth() == 1)
      return loop.emitError() << "overlap = items with a result that goes through the rows' slot "
                                 "needs two slots of rows";
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

  /// Of the body's item, unit and positions, with the arithmetic on them.
  IRMapping mapping(TakeItemOp take, ValueRange at) {
    IRMapping map = mappingOfPositions(at);
    map.map(loop.getItem(), take.getItem());
    map.map(loop.getUnit(), take.getUnit());
    emit(arithmetic, map);
    return map;
  }
  void emit(ArrayRef<Operation *> part, IRMapping &map) {
    for (Operation *op : part)
      builder.clone(*op, map);
  }

  /// The first item and all behind it; the position of the slot that has none. `before` is that of
  /// the slot in front of the first item, if slots are released late.
  Value emitItems(TakeItemOp first, Value before, Value itemAt, ValueRange starts) {
    IRMapping map = mapping(first, starts);
    emit(rowCopies, map);
    emit(firstScores, map);
    emit(restOfFirst, map);
    SmallVector<Value> inits = {arith::ConstantIntOp::create(builder, loc, 1, 1), itemAt};
    llvm::append_range(inits, starts);
    if (before)
      inits.push_back(before);
    llvm::append_range(inits, stateIn(map));
    SmallVector<Type> types;
    for (Value init : inits)
      types.push_back(init.getType());
    auto whileOp = scf::WhileOp::create(
        builder, loc, types, inits,
        [&](OpBuilder &b, Location loc, ValueRange state) {
          scf::ConditionOp::create(b, loc, state[0], state);
        },
        [&](OpBuilder &b, Location, ValueRange state) {
          builder.setInsertionPoint(b.getInsertionBlock(), b.getInsertionPoint());
          emitItem(state);
        });
    builder.setInsertionPointAfter(whileOp);
    if (before)
      ReleaseOp::create(builder, loc, items, whileOp.getResult(2 + starts.size()));
    return whileOp.getResult(1);
  }

  /// One item, whose first tile's scores are done.
  void emitItem(ValueRange carried) {
    Value itemAt = carried[1];
    ValueRange at = carried.slice(2, positions.size()), known = carried.take_back(state.size());
    Value before = releasesLate(items) ? carried[2 + positions.size()] : Value();
    IRMapping map = mapping(takeItem(builder, loop, items, itemAt), at);
    for (auto [value, now] : llvm::zip(state, known))
      map.map(value, now);
    SmallVector<Value> nextAt;
    for (auto [position, now] : llvm::zip(positions, at))
      nextAt.push_back(isOfRows(position) ? AdvanceOp::create(builder, loc, rows.getRing(), now)
                                          : Value());
    Value nextItemAt = AdvanceOp::create(builder, loc, items, itemAt);
    bool ahead = rows.getRing().getType().getDepth() > 1;
    if (ahead) {
      TakeItemOp next = takeItem(builder, loop, items, nextItemAt);
      auto valid = scf::IfOp::create(builder, loc, next.getValid(), /*withElse=*/false);
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPoint(valid.thenYield());
      IRMapping ofNext = mappingOfPositions(positionsFor(nextAt, at));
      ofNext.map(loop.getItem(), next.getItem());
      emit(rowCopies, ofNext);
    }
    // The rows are there, whatever of the next item's is not.
    auto there = cast<WaitOp>(builder.clone(*rows, map));
    if (ahead)
      there.setAhead(1);
    emit(skipped, map);
    builder.clone(*keys, map);
    if (!rowsServeEnd)
      emit(rowReleases, map);
    if (before)
      ReleaseOp::create(builder, loc, items, before);
    for (auto [value, end] : llvm::zip(nextAt, ends))
      if (!value && map.contains(end))
        value = map.lookup(end);

    TakeItemOp next = takeItem(builder, loop, items, nextItemAt);
    SmallVector<Type> types = stateTypes();
    for (Value value : results)
      types.push_back(value.getType());
    auto both = scf::IfOp::create(builder, loc, types, next.getValid(), /*withElse=*/true);
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

    TakeItemOp done = takeItem(builder, loop, items, itemAt);
    map.map(loop.getItem(), done.getItem());
    map.map(loop.getUnit(), done.getUnit());
    emit(epilogue, map);
    if (rowsServeEnd)
      emit(rowReleases, map);
    if (!before)
      ReleaseOp::create(builder, loc, items, itemAt);
    SmallVector<Value> yielded = {next.getValid(), nextItemAt};
    llvm::append_range(yielded, nextAt);
    if (before)
      yielded.push_back(itemAt);
    llvm::append_range(yielded, both.getResults().take_front(state.size()));
    scf::YieldOp::create(builder, loc, yielded);
  }

  void yield(SmallVector<Value> values, const IRMapping &ofLast) {
    for (Value value : results)
      values.push_back(ofLast.lookup(value));
    scf::YieldOp::create(builder, loc, values);
  }

  /// The position of the ring of the query's rows.
  bool isOfRows(PositionOp position) { return rows.getPosition() == position.getPosition(); }
  /// Those that are known, else the present ones, which A does not use.
  static SmallVector<Value> positionsFor(ArrayRef<Value> next, ValueRange at) {
    SmallVector<Value> values;
    for (auto [value, now] : llvm::zip(next, at))
      values.push_back(value ? value : now);
    return values;
  }
};

} // namespace

LogicalResult overlapItems(WorkLoopOp loop, RingOp items) { return ItemOverlap(loop, items).run(); }

} // namespace attncc::tile
