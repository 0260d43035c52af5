//===- Machine.cpp - control flow and values of an interpreted kernel ---------===//
//
// A block's units run in lockstep: an op is executed for each active unit in
// turn, a loop goes on while any unit has trips left, and the branches of an if
// are run by the units that take them. So ops in which all units take part see
// every unit's operands, and a program in which they do not is refused. In roles
// each unit runs by itself (Roles.cpp).
//
// Test: test/dialects/tile/interpreter/InterpreterTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Machine.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;

namespace attncc::tile::interpreter {

double roundTo(FloatType type, double value) {
  llvm::APFloat number(value);
  bool inexact;
  number.convert(type.getFloatSemantics(), llvm::APFloat::rmNearestTiesToEven, &inexact);
  return number.convertToDouble();
}

LogicalResult interpret(KernelOp kernel, ArrayRef<Argument> arguments, const Options &options) {
  return Machine(kernel, arguments, options).run();
}

Machine::Machine(KernelOp kernel, ArrayRef<Argument> arguments, const Options &options)
    : kernel(kernel), decodes(kernel.getPhase().getMaxQuery()), schedule(kernel.getSchedule()),
      arguments(arguments), options(options), units(schedule.getUnits()),
      all((Units(1) << units) - 1) {}

double Machine::rounded(Type type, double value) const {
  auto element = llvm::dyn_cast<FloatType>(type);
  return options.round && element ? roundTo(element, value) : value;
}

Cell &Machine::cell(Value value, int64_t unit) {
  std::vector<Cell> &all = cells[value];
  if (all.empty())
    all.resize(units);
  return all[unit];
}

void Machine::assign(ValueRange to, ValueRange from, Units active) {
  for (int64_t unit = 0; unit < units; ++unit) {
    if (!(active >> unit & 1))
      continue;
    std::vector<Cell> read; // all of them before any is written: a swap is legal
    for (Value value : from)
      read.push_back(cell(value, unit));
    for (auto [value, source] : llvm::zip_equal(to, read))
      set(value, unit, source);
  }
}

FailureOr<std::shared_ptr<const TileData>> Machine::tile(Operation *user, Value value,
                                                         int64_t unit) {
  Cell &held = cell(value, unit);
  if (auto *slotTile = std::get_if<SlotTile>(&held)) {
    if (slotTile->ring->reader(user, unit).released > slotTile->position)
      return user->emitOpError() << "reads slot " << slotTile->position
                                 << " of a ring after its release";
    return slotTile->tile;
  }
  auto read = std::get<std::shared_ptr<const TileData>>(held);
  for (const auto &product : flights[unit].products)
    if (product->accumulator == read) {
      InFlightDiagnostic error = user->emitOpError()
                                 << "reads the accumulator of a product in flight";
      error.attachNote(product->issue->getLoc()) << "the product starts here";
      return error;
    }
  return read;
}

//===----------------------------------------------------------------------===//
// The grid
//===----------------------------------------------------------------------===//

/// Every tile has a layout.
static LogicalResult checkLayouts(KernelOp kernel) {
  WalkResult result = kernel.walk([](Operation *op) {
    for (Type type : op->getResultTypes())
      if (auto tile = llvm::dyn_cast<TileType>(type); tile && !tile.getLayout()) {
        op->emitOpError() << "has a result without a layout: " << tile;
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult Machine::run() {
  if (units > 64)
    return kernel.emitOpError() << "has " << units << " units, the interpreter takes 64";
  if (arguments.size() != kernel.getNumArguments())
    return kernel.emitOpError() << "has " << kernel.getNumArguments() << " arguments, got "
                                << arguments.size();
  if (options.requireLayouts && failed(checkLayouts(kernel)))
    return failure();

  kernel.walk([&](Operation *op) {
    auto setGrid = [&](Value source, ItemsAttr items) {
      int64_t number = llvm::cast<BlockArgument>(source).getArgNumber();
      grid = gridOf(items, *batchOf(arguments[number]));
    };
    if (auto loop = llvm::dyn_cast<WorkLoopOp>(op))
      setGrid(loop.getSource(), loop.getItems());
    else if (auto item = llvm::dyn_cast<GridItemOp>(op))
      setGrid(item.getSource(), item.getItems());
    else if (llvm::isa<DrawItemOp>(op))
      grid.size = {options.blocks, 1, 1};
  });

  for (block[2] = 0; block[2] < grid.size[2]; ++block[2])
    for (block[1] = 0; block[1] < grid.size[1]; ++block[1])
      for (block[0] = 0; block[0] < grid.size[0]; ++block[0]) {
        cells.clear();
        rings.clear();
        flights.assign(units, {});
        for (auto [argument, given] : llvm::zip_equal(kernel.getArguments(), arguments))
          for (int64_t unit = 0; unit < units; ++unit) {
            if (const double *number = std::get_if<double>(&given))
              set(argument, unit, Cell(*number));
            else
              set(argument, unit, Cell(&given));
          }
        if (failed(runBlock(kernel.getBody().front(), all)) || failed(checkNoneInFlight()))
          return failure();
      }
  return success();
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

LogicalResult Machine::runBlock(Block &block, Units active) {
  for (Operation &op : block.without_terminator())
    if (failed(runOp(&op, active)))
      return failure();
  return success();
}

LogicalResult Machine::runOp(Operation *op, Units active) {
  if (!active)
    return success();
  if (auto loop = llvm::dyn_cast<WorkLoopOp>(op))
    return runWorkLoop(loop, active);
  if (llvm::isa<scf::ForOp>(op))
    return runFor(op, active);
  if (llvm::isa<scf::IfOp>(op))
    return runIf(op, active);
  if (llvm::isa<scf::WhileOp>(op))
    return runWhile(op, active);
  if (auto merge = llvm::dyn_cast<MergeUnitsOp>(op))
    return runMergeUnits(merge, active);
  if (auto ring = llvm::dyn_cast<RingOp>(op))
    return runRing(ring, active);
  if (auto roles = llvm::dyn_cast<RolesOp>(op))
    return runRoles(roles, active);
  // What the units of a block do once for all of them, unless they are on their own.
  if (!processes && !op->getOperands().empty())
    if (auto type = llvm::dyn_cast<RingType>(op->getOperand(0).getType());
        type && type.getSharedBy() != RingScope::Unit)
      return runShared(op, active);
  return forEach(active, [&](int64_t unit) { return runUnit(op, unit); });
}

LogicalResult Machine::runWorkLoop(WorkLoopOp op, Units active) {
  Units received = 0;
  for (int64_t unit = 0; unit < units; ++unit)
    if (active >> unit & 1)
      if (auto item = itemOf(op.getItems(),
                             batchOf(*std::get<const Argument *>(cell(op.getSource(), unit))),
                             block, unit)) {
        received |= Units(1) << unit;
        set(op.getItem(), unit, Cell(item));
        set(op.getUnit(), unit, Cell(unit));
      }
  return received ? runBlock(op.getBody().front(), received) : success();
}

LogicalResult Machine::runFor(Operation *op, Units active) {
  auto loop = llvm::cast<scf::ForOp>(op);
  assign(loop.getRegionIterArgs(), loop.getInitArgs(), active);
  std::vector<int64_t> next(units, 0);
  (void)forEach(active, [&](int64_t unit) {
    next[unit] = integer(loop.getLowerBound(), unit);
    return success();
  });
  while (true) {
    Units running = 0;
    for (int64_t unit = 0; unit < units; ++unit)
      if ((active >> unit & 1) && next[unit] < integer(loop.getUpperBound(), unit)) {
        running |= Units(1) << unit;
        set(loop.getInductionVar(), unit, Cell(next[unit]));
        int64_t step = integer(loop.getStep(), unit);
        if (step < 1)
          return op->emitOpError() << "steps by " << step;
        next[unit] += step;
      }
    if (!running)
      break;
    if (failed(runBlock(*loop.getBody(), running)))
      return failure();
    assign(loop.getRegionIterArgs(), loop.getBody()->getTerminator()->getOperands(), running);
  }
  assign(loop.getResults(), loop.getRegionIterArgs(), active);
  return success();
}

LogicalResult Machine::runIf(Operation *op, Units active) {
  auto branch = llvm::cast<scf::IfOp>(op);
  Units taken = 0;
  for (int64_t unit = 0; unit < units; ++unit)
    if ((active >> unit & 1) && integer(branch.getCondition(), unit))
      taken |= Units(1) << unit;
  for (auto [region, running] : {std::pair(&branch.getThenRegion(), taken),
                                 std::pair(&branch.getElseRegion(), active & ~taken)}) {
    if (region->empty() || !running)
      continue;
    if (failed(runBlock(region->front(), running)))
      return failure();
    assign(branch.getResults(), region->front().getTerminator()->getOperands(), running);
  }
  return success();
}

LogicalResult Machine::runWhile(Operation *op, Units active) {
  auto loop = llvm::cast<scf::WhileOp>(op);
  assign(loop.getBeforeArguments(), loop.getInits(), active);
  for (int64_t trips = 0; active; ++trips) {
    if (trips > 1000000)
      return op->emitOpError() << "does not end";
    if (failed(runBlock(*loop.getBeforeBody(), active)))
      return failure();
    scf::ConditionOp condition = loop.getConditionOp();
    Units running = 0;
    for (int64_t unit = 0; unit < units; ++unit)
      if ((active >> unit & 1) && integer(condition.getCondition(), unit))
        running |= Units(1) << unit;
    assign(loop.getResults(), condition.getArgs(), active & ~running);
    assign(loop.getAfterArguments(), condition.getArgs(), running);
    active = running;
    if (!active)
      break;
    if (failed(runBlock(*loop.getAfterBody(), active)))
      return failure();
    assign(loop.getBeforeArguments(), loop.getAfterBody()->getTerminator()->getOperands(), active);
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Ops of the whole block
//===----------------------------------------------------------------------===//

LogicalResult Machine::runMergeUnits(MergeUnitsOp op, Units active) {
  if (active != all)
    return op.emitOpError() << "is not reached by every unit: " << llvm::popcount(active) << " of "
                            << units;
  if (op.getScratch())
    for (const std::weak_ptr<Ring> &weak : rings)
      if (std::shared_ptr<Ring> ring = weak.lock())
        for (int64_t p = ring->released(); p < ring->committed; ++p)
          if (ring->slots[p].copied)
            return op.emitOpError()
                   << "may reuse slot " << p << " of a ring, which has not been released";
  std::vector<SoftmaxState> states;
  LogicalResult read = forEach(active, [&](int64_t unit) -> LogicalResult {
    auto maximum = tile(op, op.getMaximum(), unit), sum = tile(op, op.getSum(), unit),
         value = tile(op, op.getValue(), unit);
    if (failed(maximum) || failed(sum) || failed(value))
      return failure();
    states.push_back({**maximum, **sum, **value});
    return success();
  });
  if (failed(read))
    return failure();
  if (op.getRing() && failed(forEach(active, [&](int64_t unit) { return meetInSlot(op, unit); })))
    return failure();
  SoftmaxState merged = mergeUnits(states);
  return forEach(active, [&](int64_t unit) {
    set(op.getNewMaximum(), unit, merged.maximum);
    set(op.getNewSum(), unit, merged.sum);
    set(op.getNewValue(), unit, merged.value);
    return success();
  });
}

/// What the slot held is lost.
LogicalResult Machine::meetInSlot(MergeUnitsOp op, int64_t unit) {
  Ring &met = ring(op.getRing(), unit);
  int64_t position = integer(op.getPosition(), unit);
  Ring::Reader &reader = met.reader(op, unit);
  if (position < reader.released || position >= reader.waited)
    return op.emitOpError() << "meets in slot " << position
                            << " of a ring, which the unit does not hold";
  if (position != integer(op.getPosition(), 0))
    return op.emitOpError() << "meets in slot " << position << ", unit 0 in slot "
                            << integer(op.getPosition(), 0);
  if (failed(checkNotRead(op, "writes", met, position, unit)))
    return failure();
  for (std::shared_ptr<TileData> &tile : met.slots[position].tiles)
    std::fill(tile->values.begin(), tile->values.end(), std::numeric_limits<double>::quiet_NaN());
  return success();
}

LogicalResult Machine::runRing(RingOp op, Units active) {
  RingType type = op.getRing().getType();
  bool ofBlock = type.getSharedBy() != RingScope::Unit;
  int64_t readers = 1;
  for (auto roles : kernel.getBody().front().getOps<RolesOp>()) {
    if (ofBlock)
      readers = units;
    if (type.getSharedBy() == RingScope::Roles)
      readers += static_cast<int64_t>(roles.getLoads().size()) - 1;
  }
  std::shared_ptr<Ring> shared;
  return forEach(active, [&](int64_t unit) {
    if (!shared || !ofBlock) {
      shared = std::make_shared<Ring>();
      shared->type = type;
      shared->value = op.getRing();
      shared->readers.resize(readers);
      rings.push_back(shared);
    }
    set(op.getRing(), unit, Cell(shared));
    return success();
  });
}

LogicalResult Machine::runShared(Operation *op, Units active) {
  if (active != all)
    return op->emitOpError() << "of a ring that units share is not reached by every unit: "
                             << llvm::popcount(active) << " of " << units;
  if (failed(runUnit(op, 0)))
    return failure();
  for (Value result : op->getResults())
    for (int64_t unit = 1; unit < units; ++unit)
      set(result, unit, cell(result, 0));
  return success();
}

//===----------------------------------------------------------------------===//
// Ops of one unit
//===----------------------------------------------------------------------===//

static FailureOr<int64_t> evaluate(Operation *op, ArrayRef<int64_t> x) {
  auto compare = [&](arith::CmpIPredicate predicate) -> int64_t {
    auto a = static_cast<uint64_t>(x[0]), b = static_cast<uint64_t>(x[1]);
    switch (predicate) {
    case arith::CmpIPredicate::eq:
      return x[0] == x[1];
    case arith::CmpIPredicate::ne:
      return x[0] != x[1];
    case arith::CmpIPredicate::slt:
      return x[0] < x[1];
    case arith::CmpIPredicate::sle:
      return x[0] <= x[1];
    case arith::CmpIPredicate::sgt:
      return x[0] > x[1];
    case arith::CmpIPredicate::sge:
      return x[0] >= x[1];
    case arith::CmpIPredicate::ult:
      return a < b;
    case arith::CmpIPredicate::ule:
      return a <= b;
    case arith::CmpIPredicate::ugt:
      return a > b;
    case arith::CmpIPredicate::uge:
      return a >= b;
    }
    return 0;
  };
  bool divides = llvm::isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp,
                           arith::CeilDivSIOp, arith::FloorDivSIOp>(op);
  if (divides && x[1] == 0)
    return op->emitOpError() << "divides " << x[0] << " by 0";
  return llvm::TypeSwitch<Operation *, FailureOr<int64_t>>(op)
      .Case([&](arith::AddIOp) { return x[0] + x[1]; })
      .Case([&](arith::SubIOp) { return x[0] - x[1]; })
      .Case([&](arith::MulIOp) { return x[0] * x[1]; })
      .Case<arith::DivSIOp, arith::DivUIOp>([&](auto) { return x[0] / x[1]; })
      .Case<arith::RemSIOp, arith::RemUIOp>([&](auto) { return x[0] % x[1]; })
      .Case([&](arith::CeilDivSIOp) { return llvm::divideCeilSigned(x[0], x[1]); })
      .Case([&](arith::FloorDivSIOp) { return llvm::divideFloorSigned(x[0], x[1]); })
      .Case<arith::MinSIOp, arith::MinUIOp>([&](auto) { return std::min(x[0], x[1]); })
      .Case<arith::MaxSIOp, arith::MaxUIOp>([&](auto) { return std::max(x[0], x[1]); })
      .Case([&](arith::AndIOp) { return x[0] & x[1]; })
      .Case([&](arith::OrIOp) { return x[0] | x[1]; })
      .Case([&](arith::XOrIOp) { return x[0] ^ x[1]; })
      .Case([&](arith::ShLIOp) { return x[0] << x[1]; })
      .Case<arith::ShRSIOp, arith::ShRUIOp>([&](auto) { return x[0] >> x[1]; })
      .Case<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtSIOp, arith::ExtUIOp>(
          [&](auto) { return x[0]; })
      .Case([&](arith::CmpIOp cmp) { return compare(cmp.getPredicate()); })
      .Default([&](Operation *) -> FailureOr<int64_t> {
        return op->emitOpError() << "is not known to the interpreter";
      });
}

LogicalResult Machine::runScalar(Operation *op, int64_t unit) {
  if (auto constant = llvm::dyn_cast<arith::ConstantOp>(op)) {
    if (auto number = llvm::dyn_cast<FloatAttr>(constant.getValue()))
      set(constant, unit, Cell(number.getValueAsDouble()));
    else if (auto integer = llvm::dyn_cast<IntegerAttr>(constant.getValue()))
      set(constant, unit,
          Cell(integer.getType().isInteger(1) ? int64_t(integer.getValue().getBoolValue())
                                              : integer.getValue().getSExtValue()));
    else
      return op->emitOpError() << "is not known to the interpreter";
    return success();
  }
  if (auto select = llvm::dyn_cast<arith::SelectOp>(op)) {
    bool first = integer(select.getCondition(), unit);
    set(select.getResult(), unit,
        cell(first ? select.getTrueValue() : select.getFalseValue(), unit));
    return success();
  }
  SmallVector<int64_t> operands;
  for (Value operand : op->getOperands()) {
    if (!operand.getType().isIntOrIndex())
      return op->emitOpError() << "is not known to the interpreter";
    operands.push_back(integer(operand, unit));
  }
  FailureOr<int64_t> result = evaluate(op, operands);
  if (failed(result))
    return failure();
  set(op->getResult(0), unit, Cell(*result));
  return success();
}

LogicalResult Machine::runUnit(Operation *op, int64_t unit) {
  // Tiles that arithmetic reads, checked against released slots.
  SmallVector<std::shared_ptr<const TileData>> tiles;
  for (Value operand : op->getOperands())
    if (llvm::isa<TileType>(operand.getType())) {
      auto data = tile(op, operand, unit);
      if (failed(data))
        return failure();
      tiles.push_back(*data);
    } else if (llvm::isa<ItemType>(operand.getType()) && !llvm::isa<PutItemOp>(op) &&
               !std::get<std::shared_ptr<const Item>>(cell(operand, unit))) {
      return op->emitOpError() << "takes an item that is not valid";
    }

  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](GridItemOp grid) {
        auto item =
            itemOf(grid.getItems(),
                   batchOf(*std::get<const Argument *>(cell(grid.getSource(), unit))), block, unit);
        set(grid.getItem(), unit, Cell(item));
        set(grid.getUnit(), unit, Cell(unit));
        set(grid.getValid(), unit, Cell(int64_t(item != nullptr)));
        return success();
      })
      .Case([&](DrawItemOp draw) {
        drawItem(draw, unit);
        return success();
      })
      .Case([&](PutItemOp put) {
        putItem(put, unit);
        return success();
      })
      .Case([&](TakeItemOp take) { return takeItem(take, unit); })
      .Case([&](KeyRangeOp key) {
        auto item = std::get<std::shared_ptr<const Item>>(cell(key.getItem(), unit));
        set(key, unit, Cell(rangeOf(key, item, integer(key.getUnit(), unit))));
        return success();
      })
      .Case([&](ItemSplitsOp splits) {
        set(splits, unit, Cell(item(splits.getItem(), unit).splits));
        return success();
      })
      .Case([&](SplitTilesOp tiles) -> LogicalResult {
        const Item &of = item(tiles.getItem(), unit);
        int64_t length = splitLength(schedule, *of.batch, of.kvLength()),
                together = static_cast<int64_t>(tiles.getKeys()) * units;
        if (schedule.getDivide() != attn::Divide::Keys || length % together != 0)
          return tiles.emitOpError() << "divides a split of " << length << " keys by " << together;
        set(tiles, unit, Cell(length / together));
        return success();
      })
      .Case([&](RangeCountOp count) {
        set(count, unit, Cell(range(count.getRange(), unit).count));
        return success();
      })
      .Case([&](RangeSkippedOp skipped) {
        int64_t most = skipped.getLimit();
        set(skipped, unit, Cell(std::min(range(skipped.getRange(), unit).skipped, most)));
        return success();
      })
      .Case([&](RangeIdleOp idle) {
        set(idle, unit, Cell(range(idle.getRange(), unit).idle));
        return success();
      })
      .Case([&](RangeEdgesOp edges) {
        set(edges, unit, Cell(range(edges.getRange(), unit).edges));
        return success();
      })
      .Case([&](KeyTileOp key) {
        const Range &visited = range(key.getRange(), unit);
        set(key, unit, Cell(visited.first + integer(key.getIndex(), unit) * visited.stride));
        return success();
      })
      .Case([&](ZeroOp zero) {
        TileType type = zero.getType();
        set(zero, unit, TileData(type.getRows(), type.getColumns()));
        return success();
      })
      .Case([&](MatmulOp product) {
        set(product, unit,
            matmul(*tiles[0], *tiles[1], tiles.size() > 2 ? tiles[2].get() : nullptr,
                   product.getTransposeB()));
        return success();
      })
      .Case([&](MatmulIssueOp op) { return issue(op, unit); })
      .Case([&](AwaitOp op) { return await(op, unit); })
      .Case([&](TakeTurnOp op) { return takeTurn(op, unit); })
      .Case([&](PassTurnOp op) { return passTurn(op, unit); })
      .Case([&](MaskOp mask) {
        TileData scores = *tiles[0];
        const Item &masked = item(mask.getItem(), unit);
        for (int64_t r = 0; r < scores.rows; ++r) {
          // A row that the item does not have sees the item's keys.
          auto row = masked.row(RowKind::Query, r);
          attn::KeyInterval seen{0, masked.kvLength()};
          if (row)
            seen = attn::visibleKeys(mask.getMask().getValue(), {}, masked.indexOf(row->first),
                                     masked.kvLength());
          for (int64_t c = 0; c < scores.columns; ++c) {
            int64_t key = integer(mask.getTile(), unit) * scores.columns + c;
            if (!seen.contains(key) || !masked.keys.contains(key))
              scores.at(r, c) = -std::numeric_limits<double>::infinity();
          }
        }
        set(mask, unit, std::move(scores));
        return success();
      })
      .Case([&](SoftmaxInitOp init) {
        int64_t rows = init.getMaximum().getType().getRows();
        set(init.getMaximum(), unit, TileData(rows, 1, -1e30));
        set(init.getSum(), unit, TileData(rows, 1));
        return success();
      })
      .Case([&](SoftmaxStepOp step) {
        SoftmaxStep result = softmaxStep(*tiles[0], *tiles[1], *tiles[2],
                                         real(step.getScale(), unit), step.getLazy().value_or(0));
        set(step.getProbabilities(), unit, std::move(result.probabilities));
        set(step.getNewMaximum(), unit, std::move(result.maximum));
        set(step.getNewSum(), unit, std::move(result.sum));
        set(step.getFactor(), unit, std::move(result.factor));
        return success();
      })
      .Case([&](RescaleOp scale) {
        set(scale, unit, rescale(*tiles[0], *tiles[1]));
        return success();
      })
      .Case([&](ConvertOp convert) {
        TileData result = *tiles[0];
        for (double &value : result.values)
          value = rounded(convert.getType().getElementType(), value);
        set(convert, unit, std::move(result));
        return success();
      })
      .Case([&](MoveOp move) {
        set(move, unit, *tiles[0]);
        return success();
      })
      .Case([&](NormalizeOp norm) {
        Normalized result = normalize({*tiles[1], *tiles[2], *tiles[0]}, norm.getLog2());
        set(norm.getResult(), unit, std::move(result.value));
        set(norm.getLse(), unit, std::move(result.lse));
        return success();
      })
      .Case([&](AddSplitOp add) {
        SoftmaxState sum = addSplit({*tiles[2], *tiles[3], *tiles[4]}, {*tiles[0], *tiles[1]});
        set(add.getNewMaximum(), unit, std::move(sum.maximum));
        set(add.getNewSum(), unit, std::move(sum.sum));
        set(add.getNewTotal(), unit, std::move(sum.value));
        return success();
      })
      .Case([&](RmsNormOp norm) {
        set(norm, unit, rmsNorm(*tiles[0], *tiles[1], norm.getEpsilon().convertToDouble()));
        return success();
      })
      .Case([&](RopeOp rope) -> LogicalResult {
        const Item &rotated = item(rope.getItem(), unit);
        int64_t position = rotated.indexOf(rotated.token);
        if (rope.getPositions())
          if (auto given = argument<PerToken>(rope.getPositions(), unit))
            position = given->values[rotated.batch->queryStart[rotated.sequence] + rotated.token];
        const attn::Rope &rotation = rope.getRope().getValue();
        std::shared_ptr<CosSin> table;
        if (rope.getCosSin())
          table = argument<CosSin>(rope.getCosSin(), unit);
        if (table && (position < 0 || position >= table->positions))
          return rope.emitOpError()
                 << "meets position " << position << " of a table of " << table->positions;
        set(rope, unit,
            rotate(*tiles[0], rotation,
                   table ? tableTurns(*table, position)
                         : computedTurns(rotation, static_cast<double>(position))));
        return success();
      })
      .Case([&](PositionOp position) {
        set(position, unit, Cell(int64_t(0)));
        return success();
      })
      .Case([&](AdvanceOp advance) {
        set(advance, unit, Cell(integer(advance.getPosition(), unit) + 1));
        return success();
      })
      .Case([&](LoadRowsOp load) { return loadRows(load, unit); })
      .Case([&](LoadVectorOp load) { return loadVector(load, unit); })
      .Case([&](StoreRowsOp store) { return storeRows(store, unit); })
      .Case([&](StoreKvOp store) { return storeKv(store, unit); })
      .Case([&](PageNumbersOp pages) { return pageNumbers(pages, unit); })
      .Case<LoadKeysOp, LoadValuesOp>([&](auto load) -> LogicalResult {
        constexpr bool keys = std::is_same_v<decltype(load), LoadKeysOp>;
        auto loaded = loadCache(load, *argument<PagedCache>(load.getCache(), unit),
                                item(load.getItem(), unit), integer(load.getTile(), unit),
                                load.getType(), keys, nullptr, 0);
        if (failed(loaded))
          return failure();
        set(load, unit, std::move(**loaded));
        return success();
      })
      .Case([&](StorePartialOp store) { return storePartial(store, unit); })
      .Case([&](StoreAttentionOp store) { return storeAttention(store, unit); })
      .Case([&](MergeSplitsOp merge) { return mergeSplits(merge, unit); })
      .Case([&](MergeStatesOp merge) { return mergeStates(merge, unit); })
      .Case([&](StoreMergedOp store) { return storeMerged(store, unit); })
      .Case([&](AcquireOp op) { return acquire(op, unit); })
      .Case([&](CommitOp op) { return commit(op, unit); })
      .Case([&](WaitOp op) { return wait(op, unit); })
      .Case([&](ReleaseOp op) { return release(op, unit); })
      .Case([&](ZeroRowsOp op) { return zeroRows(op, unit); })
      .Case([&](CopyRowsOp op) { return copyRows(op, unit); })
      .Case<CopyKeysOp, CopyValuesOp>([&](auto op) {
        constexpr bool keys = std::is_same_v<decltype(op), CopyKeysOp>;
        bool undefined = op.getBox() && !op.getZeroed();
        return copy(op, op.getCache(), op.getItem(), op.getTile(), op.getPages(), op.getPageIndex(),
                    op.getSlot(), op.getWhen(), op.getIndex(),
                    undefined ? std::numeric_limits<double>::quiet_NaN() : 0, keys, unit);
      })
      .Default([&](Operation *) { return runScalar(op, unit); });
}

} // namespace attncc::tile::interpreter
