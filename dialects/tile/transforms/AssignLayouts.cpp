//===- AssignLayouts.cpp - The products fix the layouts ----------------------===//
//
// Before and after, a swapped product and the step from scores to the second product:
//
//   %s = tile.matmul %q, %k {transpose_b} : (tile<8x64>, tile<16x64>) -> tile<8x16xf32>
//   …
//   %c = tile.convert %p : tile<8x16xf32> -> tile<8x16xbf16>
//   %o1 = tile.matmul %c, %v, %o
//
//   %s = tile.matmul %q, %k {transpose_b}
//       : (tile<8x64, #b>, tile<16x64, shared, #kv>) -> tile<8x16xf32, #s>
//   …
//   %c = tile.convert %p : tile<8x16xf32, #s> -> tile<8x16xbf16, #s>
//   %d = tile.move %c : tile<8x16xbf16, #s> -> tile<8x16xbf16, #b>
//   %o1 = tile.matmul %d, %v, %o
//
// In three steps: (1) anchors, which know their layout (products, loads of keys and values, merged
// results, page numbers); (2) ties between values that share a layout, or of which one is the row
// statistics of the other, are followed in both directions until nothing changes; row loads take
// what their user needs, or rows as vectors where no product is near, and the rows of a direct
// product are a shared tile, for which registers would not suffice; (3) types are set, and where
// a user needs another layout than the value has, a move is inserted.
//
// A direct product's scores are, register by register, the left operand of the next product: the
// move between them is a renaming.
//
// Swapped operands follow "mma.sync m16n8k16" of the PTX ISA; see mmaProduct in layout/Layout.h.
// With `product = wgmma` shared operands are read by matrix descriptors, which need one stride for
// all keys of a tile: keys come in boxes of one panel then, values in boxes of whole rows.
// Test: test/dialects/tile/assign-layouts.mlir, assign-layouts-errors.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"

#include <functional>

namespace attncc::tile {
#define GEN_PASS_DEF_ASSIGNLAYOUTSPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
namespace {

int64_t elementBytes(TileType type) { return type.getElementType().getIntOrFloatBitWidth() / 8; }

/// The sum of the softmax stays one addend per lane until the end.
Layout statisticsOf(const Layout &layout, bool addends) {
  Layout statistics = rowStatistics(layout);
  bool replicated = statistics.replicatedLanes() || statistics.replicatedWarps();
  return addends && replicated ? rowStatistics(layout, true) : statistics;
}

class Assignment {
public:
  explicit Assignment(KernelOp kernel) : kernel(kernel), schedule(kernel.getSchedule()) {}

  LogicalResult run() {
    if (failed(checkSchedule()))
      return failure();
    WalkResult anchors = kernel.walk([&](Operation *op) {
      return failed(anchor(op)) ? WalkResult::interrupt() : WalkResult::advance();
    });
    if (anchors.wasInterrupted())
      return failure();
    followTies();
    kernel.walk([&](LoadRowsOp load) {
      chooseForRows(load);
      followTies();
    });
    if (failed(setTypes()))
      return failure();
    SmallVector<Operation *> ops;
    kernel.walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops)
      if (failed(meetNeeds(op)))
        return failure();
    return success();
  }

private:
  KernelOp kernel;
  attn::ScheduleAttr schedule;
  DenseMap<Value, LayoutAttr> layouts;
  bool changed = false;

  bool isWgmma() const { return schedule.getProduct() == attn::Product::Wgmma; }
  LayoutAttr attr(const Layout &layout) { return LayoutAttr::get(kernel.getContext(), layout); }
  static TileType tileOf(Value v) { return llvm::dyn_cast<TileType>(v.getType()); }
  LayoutAttr known(Value v) const { return layouts.lookup(v); }

  void set(Value v, LayoutAttr layout) {
    if (tileOf(v) && layouts.try_emplace(v, layout).second)
      changed = true;
  }

  LogicalResult checkSchedule() {
    int64_t unit = isWgmma() ? 4 : 1;
    if (schedule.getUnit() != unit)
      return kernel.emitError() << "layouts of product = "
                                << attn::stringifyProduct(schedule.getProduct()) << " in a unit of "
                                << schedule.getUnit() << " warps are not known, expected " << unit;
    if (schedule.getDivide() == attn::Divide::Keys &&
        schedule.getUnits() & (schedule.getUnits() - 1))
      return kernel.emitError() << "units must be a power of two to share the merged rows, got "
                                << schedule.getUnits();
    return success();
  }

  /// Layouts of the product's result and of its operands in registers.
  FailureOr<ProductLayouts> product(MatmulOp op) {
    TileType lhs = op.getLhs().getType(), result = op.getResult().getType();
    if (isWgmma()) {
      if (auto layouts = wgmmaProduct(result.getRows(), result.getColumns(), lhs.getColumns()))
        return ProductLayouts{layouts->lhs, {}, layouts->result};
      return op.emitError() << "a product of " << result.getRows() << "x" << result.getColumns()
                            << "x" << lhs.getColumns()
                            << " is not one of a warpgroup: 64 rows, at most 256 columns in eights,"
                               " depth in sixteens";
    }
    bool swapped = schedule.getOrientation() == attn::Orientation::Swapped;
    auto layouts = mmaProduct(swapped, result.getRows(), result.getColumns(), lhs.getColumns(),
                              op.getTransposeB());
    if (layouts)
      return *layouts;
    return op.emitError() << "a product of " << result.getRows() << "x" << result.getColumns()
                          << "x" << lhs.getColumns() << " is not made of "
                          << (swapped ? "8x16x16" : "16x16x16")
                          << " fragments (rows, columns, depth)";
  }

  LogicalResult sharedTile(Operation *op, Value v) {
    TileType type = tileOf(v);
    if (type.getRows() % 8 || type.getColumns() * elementBytes(type) % 32)
      return op->emitError()
             << "a shared tile needs a multiple of 8 rows of a multiple of 32 bytes, got "
             << type.getRows() << " rows of " << type.getColumns() * elementBytes(type);
    bool whole = schedule.getCopy() != attn::Copy::Tensor || (isWgmma() && isa<LoadKeysOp>(op));
    int64_t box = whole ? type.getRows() : schedule.getBox();
    set(v, attr(sharedSwizzled(type.getRows(), type.getColumns(), elementBytes(type), box)));
    return success();
  }

  /// Ops that know the layout of a result by themselves.
  LogicalResult anchor(Operation *op) {
    if (auto matmul = dyn_cast<MatmulOp>(op)) {
      FailureOr<ProductLayouts> layouts = product(matmul);
      if (failed(layouts))
        return failure();
      set(matmul.getResult(), attr(layouts->result));
    } else if (isa<LoadKeysOp, LoadValuesOp>(op)) {
      return sharedTile(op, op->getResult(0));
    } else if (auto merge = dyn_cast<MergeUnitsOp>(op)) {
      TileType type = merge.getNewValue().getType();
      set(merge.getNewValue(),
          attr(blockDistributed(type.getRows(), type.getColumns(), schedule.getUnits())));
      followStatistics(merge.getNewValue(), merge.getNewMaximum());
      followStatistics(merge.getNewValue(), merge.getNewSum());
    } else if (isa<MergeSplitsOp, MergeStatesOp>(op)) {
      Value row = op->getResult(0);
      set(row, attr(blockDistributed(1, tileOf(row).getColumns(), 1)));
      followStatistics(row, op->getResult(1));
    } else if (auto pages = dyn_cast<PageNumbersOp>(op)) {
      set(pages.getResult(), attr(rowVectors(1, pages.getResult().getType().getColumns(), 1)));
    }
    return success();
  }

  void tie(Value a, Value b) {
    if (LayoutAttr l = known(a))
      set(b, l);
    else if (LayoutAttr l = known(b))
      set(a, l);
  }

  void followStatistics(Value tile, Value statistics, bool addends = false) {
    if (LayoutAttr l = known(tile))
      set(statistics, attr(statisticsOf(l.toLayout(), addends)));
  }

  void followTies() {
    do {
      changed = false;
      kernel.walk([&](Operation *op) { follow(op); });
    } while (changed);
  }

  void follow(Operation *op) {
    if (auto mask = dyn_cast<MaskOp>(op)) {
      tie(mask.getScores(), mask.getResult());
    } else if (auto step = dyn_cast<SoftmaxStepOp>(op)) {
      tie(step.getScores(), step.getProbabilities());
      for (Value v : {step.getNewMaximum(), step.getMaximum(), step.getFactor()})
        followStatistics(step.getScores(), v);
      for (Value v : {step.getNewSum(), step.getSum()})
        followStatistics(step.getScores(), v, /*addends=*/true);
    } else if (auto rescale = dyn_cast<RescaleOp>(op)) {
      tie(rescale.getValue(), rescale.getResult());
      followStatistics(rescale.getResult(), rescale.getFactor());
    } else if (auto convert = dyn_cast<ConvertOp>(op)) {
      tie(convert.getValue(), convert.getResult());
    } else if (auto matmul = dyn_cast<MatmulOp>(op)) {
      if (Value accumulator = matmul.getAccumulator())
        tie(accumulator, matmul.getResult());
    } else if (auto merge = dyn_cast<MergeUnitsOp>(op)) {
      followStatistics(merge.getValue(), merge.getMaximum());
      followStatistics(merge.getValue(), merge.getSum(), /*addends=*/true);
    } else if (auto normalize = dyn_cast<NormalizeOp>(op)) {
      tie(normalize.getValue(), normalize.getResult());
      for (Value v : {normalize.getLse(), normalize.getMaximum(), normalize.getSum()})
        followStatistics(normalize.getResult(), v);
    } else if (auto add = dyn_cast<AddSplitOp>(op)) {
      tie(add.getTotal(), add.getNewTotal());
      tie(add.getValue(), add.getNewTotal());
      for (Value v :
           {add.getLse(), add.getMaximum(), add.getSum(), add.getNewMaximum(), add.getNewSum()})
        followStatistics(add.getNewTotal(), v);
    } else if (auto norm = dyn_cast<RmsNormOp>(op)) {
      tie(norm.getInput(), norm.getResult());
      if (LayoutAttr l = known(norm.getResult()))
        if (auto weight = l.toLayout().reduced(Dimension::Row))
          set(norm.getWeight(), attr(*weight));
    } else if (auto rope = dyn_cast<RopeOp>(op)) {
      tie(rope.getInput(), rope.getResult());
    } else if (auto loop = dyn_cast<scf::ForOp>(op)) {
      for (auto [init, arg, yielded, result] :
           llvm::zip(loop.getInitArgs(), loop.getRegionIterArgs(), loop.getYieldedValues(),
                     loop.getResults())) {
        tie(arg, yielded);
        tie(init, arg);
        tie(arg, result);
      }
    } else if (auto branch = dyn_cast<scf::IfOp>(op)) {
      for (Region *region : {&branch.getThenRegion(), &branch.getElseRegion()})
        if (!region->empty())
          for (auto [yielded, result] :
               llvm::zip(region->front().getTerminator()->getOperands(), branch.getResults()))
            tie(yielded, result);
    }
  }

  /// Rows of a tensor take the layout their first product needs. Far from any product (append) they
  /// are vectors over lanes, such that both columns of a rotation's pair are in one lane.
  void chooseForRows(LoadRowsOp load) {
    Value rows = load.getResult();
    if (known(rows))
      return;
    TileType type = tileOf(rows);
    for (OpOperand &use : rows.getUses())
      if (auto matmul = dyn_cast<MatmulOp>(use.getOwner()))
        if (FailureOr<ProductLayouts> layouts = product(matmul);
            succeeded(layouts) && use.getOperandNumber() == 0)
          return set(rows, schedule.getOrientation() == attn::Orientation::Direct
                               ? attr(sharedSwizzled(type.getRows(), type.getColumns(),
                                                     elementBytes(type)))
                               : attr(layouts->lhs));
    set(rows, attr(appendRows(type.getRows(), type.getColumns(), rotaryColumns(rows))));
  }

  /// Columns that a rotation by half-split pairs turns, among everything computed row-wise from v.
  static int64_t rotaryColumns(Value v) {
    int64_t columns = 0;
    for (Operation *user : v.getUsers()) {
      if (auto rope = dyn_cast<RopeOp>(user); rope && rope.getInput() == v) {
        if (rope.getRope().getPairing() == attn::Pairing::Half)
          columns = std::max(columns, rope.getRope().getDim());
        columns = std::max(columns, rotaryColumns(rope.getResult()));
      } else if (auto norm = dyn_cast<RmsNormOp>(user); norm && norm.getInput() == v) {
        columns = std::max(columns, rotaryColumns(norm.getResult()));
      } else if (auto convert = dyn_cast<ConvertOp>(user)) {
        columns = std::max(columns, rotaryColumns(convert.getResult()));
      }
    }
    return columns;
  }

  LogicalResult setTypes() {
    LogicalResult status = success();
    auto setType = [&](Value v, Operation *op) {
      TileType type = tileOf(v);
      if (!type)
        return;
      LayoutAttr layout = known(v);
      if (!layout) {
        status = op->emitError() << "no layout follows for a tile of type " << type;
        return;
      }
      v.setType(type.cloneWith(layout.toLayout().isShared() ? Memory::Shared : Memory::Registers,
                               layout));
    };
    kernel.walk([&](Operation *op) {
      for (Value result : op->getResults())
        setType(result, op);
      for (Region &region : op->getRegions())
        for (Block &block : region)
          for (BlockArgument argument : block.getArguments())
            setType(argument, op);
    });
    return status;
  }

  /// Inserts moves before `op` for operands whose layout is not what the op needs.
  LogicalResult meetNeeds(Operation *op) {
    LogicalResult status = success();
    auto need = [&](OpOperand &use, LayoutAttr layout) {
      if (layout && known(use.get()) != layout && failed(move(use, layout)))
        status = failure();
    };
    auto needStatistics = [&](OpOperand &use, Value tile, bool addends = false) {
      Layout layout = known(tile).toLayout();
      // A sum may come as addends or as copies.
      if (addends && known(use.get()).toLayout() == rowStatistics(layout, true))
        return;
      need(use, attr(rowStatistics(layout)));
    };
    if (auto mask = dyn_cast<MaskOp>(op)) {
      need(mask.getScoresMutable(), known(mask.getResult()));
    } else if (auto step = dyn_cast<SoftmaxStepOp>(op)) {
      need(step.getScoresMutable(), known(step.getProbabilities()));
      need(step.getMaximumMutable(), known(step.getNewMaximum()));
      need(step.getSumMutable(), known(step.getNewSum()));
    } else if (auto rescale = dyn_cast<RescaleOp>(op)) {
      need(rescale.getValueMutable(), known(rescale.getResult()));
      needStatistics(rescale.getFactorMutable(), rescale.getResult());
    } else if (auto convert = dyn_cast<ConvertOp>(op)) {
      need(convert.getValueMutable(), known(convert.getResult()));
    } else if (auto matmul = dyn_cast<MatmulOp>(op)) {
      FailureOr<ProductLayouts> layouts = product(matmul);
      if (failed(layouts))
        return failure();
      if (matmul.getAccumulator())
        need(matmul.getAccumulatorMutable()[0], known(matmul.getResult()));
      bool isTransposed = matmul.getTransposeB();
      if (failed(needOperand(matmul.getLhsMutable(), layouts->lhs, Dimension::Column)) ||
          failed(needOperand(matmul.getRhsMutable(), layouts->rhs,
                             isTransposed ? Dimension::Column : Dimension::Row)))
        return failure();
    } else if (auto merge = dyn_cast<MergeUnitsOp>(op)) {
      needStatistics(merge.getMaximumMutable(), merge.getValue());
      needStatistics(merge.getSumMutable(), merge.getValue(), /*addends=*/true);
    } else if (auto normalize = dyn_cast<NormalizeOp>(op)) {
      need(normalize.getValueMutable(), known(normalize.getResult()));
      needStatistics(normalize.getMaximumMutable(), normalize.getResult());
      needStatistics(normalize.getSumMutable(), normalize.getResult(), /*addends=*/true);
    } else if (auto add = dyn_cast<AddSplitOp>(op)) {
      need(add.getValueMutable(), known(add.getNewTotal()));
      need(add.getTotalMutable(), known(add.getNewTotal()));
      for (OpOperand *use : {&add.getLseMutable(), &add.getMaximumMutable(), &add.getSumMutable()})
        need(*use, known(add.getNewMaximum()));
    } else if (auto norm = dyn_cast<RmsNormOp>(op)) {
      need(norm.getInputMutable(), known(norm.getResult()));
      if (auto weight = known(norm.getResult()).toLayout().reduced(Dimension::Row))
        need(norm.getWeightMutable(), attr(*weight));
    } else if (auto rope = dyn_cast<RopeOp>(op)) {
      need(rope.getInputMutable(), known(rope.getResult()));
    } else if (auto loop = dyn_cast<scf::ForOp>(op)) {
      for (auto [init, arg] : llvm::zip(loop.getInitArgsMutable(), loop.getRegionIterArgs()))
        need(init, known(arg));
      for (auto [yielded, arg] :
           llvm::zip(loop.getBody()->getTerminator()->getOpOperands(), loop.getRegionIterArgs()))
        need(yielded, known(arg));
    } else if (auto yield = dyn_cast<scf::YieldOp>(op)) {
      if (auto branch = dyn_cast<scf::IfOp>(yield->getParentOp()))
        for (auto [yielded, result] : llvm::zip(yield->getOpOperands(), branch.getResults()))
          need(yielded, known(result));
    }
    return status;
  }

  /// An operand of a product: the fragment in registers, or a shared tile that the instruction or
  /// ldmatrix can read as that fragment.
  LogicalResult needOperand(OpOperand &use, const Layout &fragment, Dimension contraction) {
    Layout layout = known(use.get()).toLayout();
    if (!layout.isShared())
      return layout == fragment ? success() : move(use, attr(fragment));
    if (isWgmma()) {
      if (planWgmmaOperand(layout, contraction))
        return success();
      return use.getOwner()->emitError() << "no matrix descriptor says how a shared tile with "
                                            "layout <"
                                         << layout.str() << "> lies";
    }
    if (planLdmatrix(layout, fragment))
      return success();
    return use.getOwner()->emitError()
           << "ldmatrix cannot read a shared tile with layout <" << layout.str()
           << "> as the operand <" << fragment.str() << ">";
  }

  LogicalResult move(OpOperand &use, LayoutAttr layout) {
    TileType type = tileOf(use.get());
    if (!planConversion(known(use.get()).toLayout(), layout.toLayout(), elementBytes(type)))
      return use.getOwner()->emitError()
             << "operand " << use.getOperandNumber() << " has layout <"
             << known(use.get()).toLayout().str() << "> and needs <" << layout.toLayout().str()
             << ">, between which there is no move";
    OpBuilder builder(use.getOwner());
    Value moved = MoveOp::create(builder, use.getOwner()->getLoc(),
                                 type.cloneWith(Memory::Registers, layout), use.get(),
                                 /*scratch=*/IntegerAttr());
    layouts[moved] = layout;
    use.set(moved);
    return success();
  }
};

struct AssignLayouts : public impl::AssignLayoutsPassBase<AssignLayouts> {
  void runOnOperation() override {
    if (failed(Assignment(getOperation()).run()))
      signalPassFailure();
  }
};

} // namespace
} // namespace attncc::tile
