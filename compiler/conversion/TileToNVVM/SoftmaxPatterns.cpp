//===- SoftmaxPatterns.cpp - masks and the online softmax ------------------===//
//
// Online softmax (Milakov and Gimelshein 2018) in base 2: with c = scale·log2 e,
// m' = max(m, c·max s), p = exp2(c·s - m'), one fma and one exp2 for a score. The
// maximum starts at -1e30, so that rows, units and splits without keys need no
// case; max ignores NaN, exp2 does not.
//
// Row sums stay addends of the lanes until the units merge: then each unit leaves
// maximum, sum and value of its rows in shared memory (layout: Storage.h), and
// every thread reads its share of all units, in the order of the units. In slots
// of rings there is room for 8 rows at a time.
//
// Test: test/compiler/conversion/TileToNVVM/softmax.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include "dialects/tile/layout/Storage.h"

#include <map>

namespace attncc::lowering {
namespace {

using tile::Dimension;
using tile::Layout;

/// The sum of a row of which this lane holds `addend`: partial sums are addends over the lanes
/// that the layout replicates.
Value wholeSum(KernelBuilder &b, const Layout &layout, Value addend) {
  for (int64_t mask = 1; mask < 32 && layout.isPartial(); mask *= 2)
    if (layout.replicatedLanes() & mask)
      addend = b.fadd(addend, b.shuffleXor(addend, mask));
  return addend;
}

struct MaskPattern : TilePattern<tile::MaskOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::MaskOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto type = llvm::cast<tile::TileType>(op.getScores().getType());
    mlir::FailureOr<Layout> layout = layoutOf(op, type);
    if (mlir::failed(layout))
      return mlir::failure();
    bool causal = op.getMask().getValue().causal; // tile.key_range has refused all other terms
    KernelBuilder b(rewriter, op.getLoc());
    if (kernel.persists())
      b.rereadThread();
    Item item = Item::unpack(adaptor.getItem());
    ThreadCoordinates thread(b, *layout, kernel.warps());
    // Keys of this thread that come before `end(row)` are kept; the rest of the column is a
    // constant.
    Value first = b.add(b.mul(adaptor.getTile().front(), type.getColumns()), thread.columnOfThread);
    std::map<int64_t, Value> endOfRow;
    Values result;
    for (auto [reg, score] : llvm::enumerate(adaptor.getScores())) {
      tile::Coordinate constant = layout->registerPart(reg);
      Value &left = endOfRow[constant.row];
      if (!left) {
        Value end = item.keyEnd;
        if (causal) {
          Value row = b.add(item.rowBegin, thread.row(reg));
          Value position =
              b.add(b.sub(item.kvLength, item.queryLength), b.divUnsigned(row, kernel.group));
          end = b.minSigned(end, b.add(position, 1));
        }
        left = b.sub(end, first);
      }
      Value kept = b.compare(Compare::sgt, left, constant.column);
      result.push_back(b.select(kept, score, b.minusInfinity()));
    }
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{result});
    return mlir::success();
  }
};

struct SoftmaxInitPattern : TilePattern<tile::SoftmaxInitOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::SoftmaxInitOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    if (mlir::failed(layoutOf(op, op.getMaximum().getType())) ||
        mlir::failed(layoutOf(op, op.getSum().getType())))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    auto fill = [&](Type type, Value value) {
      return Values(registerValues(llvm::cast<tile::TileType>(type)), value);
    };
    rewriter.replaceOpWithMultiple(
        op, llvm::SmallVector<Values>{fill(op.getMaximum().getType(), b.f32(-1e30)),
                                      fill(op.getSum().getType(), b.f32(0))});
    return mlir::success();
  }
};

struct SoftmaxStepPattern : TilePattern<tile::SoftmaxStepOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::SoftmaxStepOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> scores = layoutOf(op, op.getScores().getType());
    mlir::FailureOr<Layout> maximum = layoutOf(op, op.getMaximum().getType());
    mlir::FailureOr<Layout> sum = layoutOf(op, op.getSum().getType());
    if (mlir::failed(scores) || mlir::failed(maximum) || mlir::failed(sum))
      return mlir::failure();
    std::optional<tile::ReductionPlan> plan = tile::planReduction(*scores, Dimension::Column);
    std::optional<Layout> reduced = scores->reduced(Dimension::Column);
    if (!plan || !plan->warpMasks.empty() || *reduced != *maximum || !sum->isPartial() ||
        sum->registersPerThread() != reduced->registersPerThread())
      return op.emitOpError() << "expected the row statistics of " << op.getScores().getType()
                              << ", the sum partial";
    KernelBuilder b(rewriter, op.getLoc());
    int64_t rows = reduced->registersPerThread();
    Value scale = adaptor.getScale().front();

    std::vector<Values> ofRow(rows);
    for (auto [reg, score] : llvm::enumerate(adaptor.getScores()))
      ofRow[plan->target[reg]].push_back(score);
    Values newMaximum, negative, factor, newSum;
    for (int64_t row = 0; row < rows; ++row) {
      Value m = inChains(ofRow[row], [&](Value x, Value y) { return b.fmax(x, y); });
      for (int64_t mask : plan->laneMasks)
        m = b.fmax(m, b.shuffleXor(m, mask));
      Value old = adaptor.getMaximum()[row];
      m = b.fmax(old, b.fmul(m, scale));
      if (op.getLazy())
        m = b.select(b.isGreater(b.fsub(m, old), b.f32(*op.getLazy())), m, old);
      newMaximum.push_back(m);
      negative.push_back(b.fneg(m));
      factor.push_back(b.exp2(b.fadd(old, negative[row])));
      newSum.push_back(b.fmul(adaptor.getSum()[row], factor[row]));
    }
    Values probabilities;
    for (Values &row : ofRow)
      row.clear();
    for (auto [reg, score] : llvm::enumerate(adaptor.getScores())) {
      int64_t row = plan->target[reg];
      probabilities.push_back(b.exp2(b.fma(score, scale, negative[row])));
      ofRow[row].push_back(probabilities.back());
    }
    for (int64_t row = 0; row < rows; ++row) {
      ofRow[row].insert(ofRow[row].begin(), newSum[row]);
      newSum[row] = inChains(ofRow[row], [&](Value x, Value y) { return b.fadd(x, y); });
    }
    rewriter.replaceOpWithMultiple(
        op, llvm::SmallVector<Values>{probabilities, newMaximum, newSum, factor});
    return mlir::success();
  }

private:
  Value inChains(ValueRange values, llvm::function_ref<Value(Value, Value)> join) const;
};

/// Of a warpgroup's product in four chains that do not wait for each other; else one after the
/// other, which takes fewer registers.
Value SoftmaxStepPattern::inChains(ValueRange values,
                                   llvm::function_ref<Value(Value, Value)> join) const {
  size_t chains = kernel.isWgmma() && values.size() >= 8 ? 4 : 1;
  Values parts(values.take_front(chains));
  for (auto [i, v] : llvm::enumerate(values.drop_front(chains)))
    parts[i % chains] = join(parts[i % chains], v);
  for (; chains > 1; chains /= 2) // neighbours, until one is left
    for (size_t i = 0; i < chains / 2; ++i)
      parts[i] = join(parts[2 * i], parts[2 * i + 1]);
  return parts[0];
}

/// Where the units of a block leave rows for each other.
struct MeetingPlace {
  Value first, own; // of the block's first unit, of this one
  int64_t unitBytes = 0;
  tile::MergeScratch scratch; // what each has there
  int64_t rows = 0;           // for so many rows
};

struct MergeUnitsPattern : TilePattern<tile::MergeUnitsOp> {
  using TilePattern::TilePattern;

  /// Rows that meet in a slot at a time.
  static constexpr int64_t rowsInSlot = 8;

  mlir::LogicalResult matchAndRewrite(tile::MergeUnitsOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    Layouts layouts;
    if (mlir::failed(setLayouts(op, layouts)))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    b.rereadThread();
    MeetingPlace place;
    if (mlir::failed(op.getRing() ? placeInSlot(b, op, adaptor, layouts, place)
                                  : placeInScratch(b, op, place)))
      return mlir::failure();

    const int64_t rows = layouts.statistics.registersPerThread();
    Values maximum(rows), sum(rows), value(layouts.merged.registersPerThread());
    for (int64_t row = 0; row < op.getValue().getType().getRows(); row += place.rows) {
      // Which of this thread's registers have rows of the group.
      llvm::SmallVector<int64_t> statistics, values;
      for (int64_t reg = 0; reg < rows; ++reg)
        if (layouts.statistics.registerPart(reg).row / place.rows == row / place.rows)
          statistics.push_back(reg);
      for (size_t reg = 0; reg < value.size(); ++reg)
        if (layouts.merged.registerPart(reg).row / place.rows == row / place.rows)
          values.push_back(reg);
      auto meet = [&] {
        leave(b, layouts, adaptor, place, row);
        b.blockBarrier();
        Values all = collect(b, layouts, place, row, statistics, values);
        if (op.getRing()) { // the slot is filled again
          if (kernel.tensorCopies())
            b.fenceAsyncProxy();
          b.blockBarrier();
        }
        return all;
      };
      Values all;
      if (op.getRing() && row > 0) {
        Item item = Item::unpack(adaptor.getItem());
        Value exists = b.compare(Compare::sgt, b.sub(item.rowEnd, item.rowBegin), row);
        llvm::SmallVector<Type> types(2 * statistics.size() + values.size(), b.f32Type());
        all = b.ifElse(exists, types, meet, [&] {
          Values none(statistics.size(), b.f32(-1e30));
          none.append(statistics.size() + values.size(), b.f32(0));
          return none;
        });
      } else {
        all = meet();
      }
      for (auto [i, reg] : llvm::enumerate(statistics)) {
        maximum[reg] = all[i];
        sum[reg] = all[statistics.size() + i];
      }
      for (auto [i, reg] : llvm::enumerate(values))
        value[reg] = all[2 * statistics.size() + i];
    }
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{maximum, sum, value});
    return mlir::success();
  }

private:
  struct Layouts {
    Layout value, maximum, sum;             // of a unit
    Layout merged, statistics;              // of the block
    llvm::SmallVector<int64_t> statisticOf; // of a register of `merged`
  };

  static mlir::LogicalResult setLayouts(tile::MergeUnitsOp op, Layouts &layouts) {
    for (auto [of, layout] :
         {std::pair(op.getValue(), &layouts.value), std::pair(op.getMaximum(), &layouts.maximum),
          std::pair(op.getSum(), &layouts.sum), std::pair(op.getNewValue(), &layouts.merged),
          std::pair(op.getNewSum(), &layouts.statistics)}) {
      mlir::FailureOr<Layout> found = layoutOf(op, of.getType());
      if (mlir::failed(found))
        return mlir::failure();
      *layout = *found;
    }
    auto rowOf =
        matchRegisters(layouts.merged, layouts.statistics, /*keepRow=*/true, /*keepColumn=*/false);
    if (!rowOf || op.getNewMaximum().getType() != op.getNewSum().getType() ||
        layouts.maximum.registersPerThread() != layouts.sum.registersPerThread())
      return op.emitOpError() << "expected each thread to hold the statistics of its rows";
    layouts.statisticOf = *rowOf;
    return mlir::success();
  }

  mlir::LogicalResult placeInScratch(KernelBuilder &b, tile::MergeUnitsOp op,
                                     MeetingPlace &place) const {
    if (!op.getScratch())
      return op.emitOpError() << "expected a scratch offset: run --tile-pack-shared-memory first";
    tile::TileType type = op.getValue().getType();
    place.rows = type.getRows();
    place.scratch = tile::mergeScratch(place.rows, type.getColumns());
    place.unitBytes = place.scratch.unitBytes;
    place.first = b.sharedMemory(*op.getScratch());
    b.blockBarrier(); // all units have left their rings, which the scratch overlays
    place.own = b.offset(place.first, b.mul(b.warp(kernel.units()), place.unitBytes));
    return mlir::success();
  }

  mlir::LogicalResult placeInSlot(KernelBuilder &b, tile::MergeUnitsOp op, Adaptor &adaptor,
                                  const Layouts &layouts, MeetingPlace &place) const {
    place.rows = rowsInSlot;
    place.scratch = tile::mergeScratch(rowsInSlot, op.getValue().getType().getColumns());
    tile::RingType ring = op.getRing().getType();
    tile::RingStorage storage;
    mlir::FailureOr<Value> slot =
        slotAddress(b, kernel, op, ring, adaptor.getRing(), adaptor.getPosition(), &storage);
    if (mlir::failed(slot))
      return mlir::failure();
    if (storage.slotBytes < place.scratch.unitBytes)
      return op.emitOpError() << "needs " << place.scratch.unitBytes
                              << " bytes of a slot, which has " << storage.slotBytes;
    for (const Layout *layout : {&layouts.value, &layouts.maximum, &layouts.merged})
      if (!keepsGroups(*layout))
        return op.emitOpError() << "expected each register's row in one group of " << rowsInSlot
                                << " in all threads";
    place.unitBytes = ring.getDepth() * storage.slotBytes; // units' rings lie one behind the other
    place.own = *slot;
    place.first =
        b.offset(place.own, b.sub(b.i32(0), b.mul(b.warp(kernel.units()), place.unitBytes)));
    kernel.unitBarrier(b); // all lanes have read what the slot held
    return mlir::success();
  }

  /// A register's row is in the same group in every thread.
  static bool keepsGroups(const Layout &layout) {
    int64_t ofThread = 0;
    for (const Layout::Basis *basis : {&layout.laneBasis(), &layout.warpBasis()})
      for (const tile::Coordinate &step : *basis)
        ofThread += step.row;
    for (int64_t reg = 0; reg < layout.registersPerThread(); ++reg)
      if (layout.registerPart(reg).row % rowsInSlot + ofThread >= rowsInSlot)
        return false;
    return true;
  }

  /// Stores this unit's rows of the group that begins at `row`.
  void leave(KernelBuilder &b, const Layouts &layouts, Adaptor &adaptor, const MeetingPlace &at,
             int64_t row) const {
    auto isInGroup = [&](int64_t other) { return other / at.rows == row / at.rows; };
    ThreadCoordinates place(b, layouts.value, kernel.warps());
    Value address = b.offset(at.own, b.add(b.mul(place.rowOfThread, at.scratch.pitchBytes),
                                           b.mul(place.columnOfThread, 4)));
    for (auto [reg, v] : llvm::enumerate(adaptor.getValue())) {
      tile::Coordinate constant = layouts.value.registerPart(reg);
      if (isInGroup(constant.row))
        b.storeVector(v, b.offset(address, (constant.row - row) * at.scratch.pitchBytes +
                                               constant.column * 4));
    }
    ThreadCoordinates rowPlace(b, layouts.maximum, kernel.warps());
    Value rows =
        b.offset(at.own, b.add(b.mul(rowPlace.rowOfThread, 8), at.scratch.statisticsOffset));
    std::map<int64_t, Values> statistics; // by row
    for (auto [reg, m] : llvm::enumerate(adaptor.getMaximum()))
      if (int64_t constant = layouts.maximum.registerPart(reg).row; isInGroup(constant))
        statistics[constant - row] = {m, wholeSum(b, layouts.sum, adaptor.getSum()[reg])};
    auto store = [&] {
      for (auto &[constant, values] : statistics)
        b.storeVector(values, b.offset(rows, constant * 8));
    };
    if (Value first = isFirstCopy(b, layouts.maximum, kernel.warps()))
      b.ifThen(first, store);
    else
      store();
  }

  /// What all units left of this thread's rows: maxima and sums of `statistics`, then `values`.
  Values collect(KernelBuilder &b, const Layouts &layouts, const MeetingPlace &at, int64_t row,
                 llvm::ArrayRef<int64_t> statistics, llvm::ArrayRef<int64_t> values) const {
    ThreadCoordinates place(b, layouts.merged, kernel.warps());
    ThreadCoordinates rowPlace(b, layouts.statistics, kernel.warps());
    Values maximum, sum, value;
    std::map<int64_t, Values> weights; // of the units, by register of the statistics
    for (int64_t reg : statistics) {
      Value address = b.offset(at.first, b.mul(b.sub(rowPlace.row(reg), b.i32(row)), 8));
      std::vector<Values> units;
      for (int64_t unit = 0; unit < kernel.units(); ++unit) {
        units.push_back(b.loadVector(
            b.offset(address, unit * at.unitBytes + at.scratch.statisticsOffset), b.f32Type(), 2));
        maximum.push_back(unit ? b.fmax(maximum.pop_back_val(), units.back()[0]) : units.back()[0]);
      }
      Value total;
      for (const Values &unit : units) {
        Value weight = b.exp2(b.fsub(unit[0], maximum.back()));
        weights[reg].push_back(weight);
        total = total ? b.fma(weight, unit[1], total) : b.fmul(weight, unit[1]);
      }
      sum.push_back(total);
    }
    const int64_t run = columnRun(layouts.merged, 4);
    for (size_t i = 0; i < values.size(); i += run) {
      const int64_t reg = values[i];
      Value address =
          b.offset(at.first, b.add(b.mul(b.sub(place.row(reg), b.i32(row)), at.scratch.pitchBytes),
                                   b.mul(place.column(reg), 4)));
      Values totals(run);
      for (int64_t unit = 0; unit < kernel.units(); ++unit) {
        Values part = b.loadVector(b.offset(address, unit * at.unitBytes), b.f32Type(), run);
        for (int64_t k = 0; k < run; ++k) {
          Value weight = weights[layouts.statisticOf[reg + k]][unit];
          totals[k] = totals[k] ? b.fma(weight, part[k], totals[k]) : b.fmul(weight, part[k]);
        }
      }
      value.append(totals);
    }
    Values all(maximum);
    all.append(sum);
    all.append(value);
    return all;
  }
};

struct NormalizePattern : TilePattern<tile::NormalizeOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::NormalizeOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> value = layoutOf(op, op.getValue().getType());
    mlir::FailureOr<Layout> sum = layoutOf(op, op.getSum().getType());
    if (mlir::failed(value) || mlir::failed(sum))
      return mlir::failure();
    auto rowOf = matchRegisters(*value, *sum, /*keepRow=*/true, /*keepColumn=*/false);
    if (!rowOf || op.getValue().getType() != op.getResult().getType() ||
        op.getLse().getType() != op.getMaximum().getType())
      return op.emitOpError() << "expected each thread to hold the statistics of its rows";
    KernelBuilder b(rewriter, op.getLoc());
    Values sums, inverse, lse, result;
    for (Value addend : adaptor.getSum())
      sums.push_back(wholeSum(b, *sum, addend));
    for (auto [row, l] : llvm::enumerate(sums)) {
      inverse.push_back(inverseOfSum(b, l));
      lse.push_back(logSumExp(b, adaptor.getMaximum()[row], l, op.getLog2()));
    }
    for (auto [reg, v] : llvm::enumerate(adaptor.getValue()))
      result.push_back(b.fmul(v, inverse[(*rowOf)[reg]]));
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{result, lse});
    return mlir::success();
  }
};

} // namespace

void populateSoftmaxPatterns(mlir::RewritePatternSet &patterns,
                             const mlir::TypeConverter &converter, KernelContext &kernel) {
  patterns.add<MaskPattern, SoftmaxInitPattern, SoftmaxStepPattern, MergeUnitsPattern,
               NormalizePattern>(converter, patterns.getContext(), kernel);
}

} // namespace attncc::lowering
