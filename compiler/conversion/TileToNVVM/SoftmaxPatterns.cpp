//===- SoftmaxPatterns.cpp - masks and the online softmax ------------------===//
//
// Online softmax (Milakov and Gimelshein 2018) in base 2: with c = scale·log2 e,
// m' = max(m, c·max s), p = exp2(c·s - m'), one fma and one exp2 for a score. The
// maximum starts at -1e30, so that rows, units and splits without keys need no
// case; max ignores NaN, exp2 does not.
//
// Row sums stay addends of the lanes until the units merge: then each unit leaves
// maximum, sum and value of its rows in shared memory (layout: Storage.h), and
// every thread reads its share of all units, in the order of the units.
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

struct MergeUnitsPattern : TilePattern<tile::MergeUnitsOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::MergeUnitsOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto type = llvm::cast<tile::TileType>(op.getValue().getType());
    mlir::FailureOr<Layout> value = layoutOf(op, type);
    mlir::FailureOr<Layout> sum = layoutOf(op, op.getSum().getType());
    mlir::FailureOr<Layout> maximum = layoutOf(op, op.getMaximum().getType());
    mlir::FailureOr<Layout> merged = layoutOf(op, op.getNewValue().getType());
    mlir::FailureOr<Layout> statistics = layoutOf(op, op.getNewSum().getType());
    if (mlir::failed(value) || mlir::failed(sum) || mlir::failed(maximum) || mlir::failed(merged) ||
        mlir::failed(statistics))
      return mlir::failure();
    if (!op.getScratch())
      return op.emitOpError() << "expected a scratch offset: run --tile-pack-shared-memory first";
    auto rowOf = matchRegisters(*merged, *statistics, /*keepRow=*/true, /*keepColumn=*/false);
    if (!rowOf || op.getNewMaximum().getType() != op.getNewSum().getType() ||
        maximum->registersPerThread() != sum->registersPerThread())
      return op.emitOpError() << "expected each thread to hold the statistics of its rows";

    KernelBuilder b(rewriter, op.getLoc());
    b.rereadThread();
    tile::MergeScratch scratch = tile::mergeScratch(type.getRows(), type.getColumns());
    Value base = b.sharedMemory(*op.getScratch());
    b.blockBarrier(); // all units have left their rings, which the scratch overlays

    Value own = b.offset(base, b.mul(b.warp(kernel.units()), scratch.unitBytes));
    storeOwn(b, *value, *maximum, adaptor, scratch, own, *sum);
    b.blockBarrier();

    // Statistics of this thread's rows, of all units.
    ThreadCoordinates place(b, *merged, kernel.warps());
    int64_t rows = statistics->registersPerThread();
    ThreadCoordinates rowPlace(b, *statistics, kernel.warps());
    Values newMaximum(rows), newSum(rows);
    std::vector<Values> weights(rows);
    for (int64_t row = 0; row < rows; ++row) {
      Value address = b.offset(base, b.mul(rowPlace.row(row), 8));
      std::vector<Values> units;
      for (int64_t unit = 0; unit < kernel.units(); ++unit) {
        units.push_back(
            b.loadVector(b.offset(address, unit * scratch.unitBytes + scratch.statisticsOffset),
                         b.f32Type(), 2));
        newMaximum[row] = unit ? b.fmax(newMaximum[row], units.back()[0]) : units.back()[0];
      }
      for (const Values &unit : units) {
        Value weight = b.exp2(b.fsub(unit[0], newMaximum[row]));
        weights[row].push_back(weight);
        newSum[row] = newSum[row] ? b.fma(weight, unit[1], newSum[row]) : b.fmul(weight, unit[1]);
      }
    }
    Values result(merged->registersPerThread());
    int64_t run = columnRun(*merged, 4);
    for (int64_t reg = 0; reg < merged->registersPerThread(); reg += run) {
      Value address = b.offset(
          base, b.add(b.mul(place.row(reg), scratch.pitchBytes), b.mul(place.column(reg), 4)));
      for (int64_t unit = 0; unit < kernel.units(); ++unit) {
        Values part = b.loadVector(b.offset(address, unit * scratch.unitBytes), b.f32Type(), run);
        for (int64_t i = 0; i < run; ++i) {
          Value &total = result[reg + i];
          Value weight = weights[(*rowOf)[reg + i]][unit];
          total = total ? b.fma(weight, part[i], total) : b.fmul(weight, part[i]);
        }
      }
    }
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{newMaximum, newSum, result});
    return mlir::success();
  }

private:
  void storeOwn(KernelBuilder &b, const Layout &value, const Layout &maximum, Adaptor &adaptor,
                const tile::MergeScratch &scratch, Value own, const Layout &sum) const {
    ThreadCoordinates place(b, value, kernel.warps());
    Value address = b.offset(
        own, b.add(b.mul(place.rowOfThread, scratch.pitchBytes), b.mul(place.columnOfThread, 4)));
    for (auto [reg, v] : llvm::enumerate(adaptor.getValue())) {
      tile::Coordinate constant = value.registerPart(reg);
      b.storeVector(v, b.offset(address, constant.row * scratch.pitchBytes + constant.column * 4));
    }
    // Sums are addends over the lanes that the layout replicates.
    Values sums(adaptor.getSum());
    if (sum.isPartial())
      for (Value &s : sums)
        for (int64_t mask = 1; mask < 32; mask *= 2)
          if (sum.replicatedLanes() & mask)
            s = b.fadd(s, b.shuffleXor(s, mask));
    ThreadCoordinates rowPlace(b, maximum, kernel.warps());
    Value first = isFirstCopy(b, maximum, kernel.warps());
    auto storeStatistics = [&] {
      Value rows = b.offset(own, b.add(b.mul(rowPlace.rowOfThread, 8), scratch.statisticsOffset));
      for (auto [reg, m] : llvm::enumerate(adaptor.getMaximum()))
        b.storeVector({m, sums[reg]}, b.offset(rows, maximum.registerPart(reg).row * 8));
    };
    if (first)
      b.ifThen(first, storeStatistics);
    else
      storeStatistics();
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
    Values sums(adaptor.getSum());
    if (sum->isPartial())
      for (Value &s : sums)
        for (int64_t mask = 1; mask < 32; mask *= 2)
          if (sum->replicatedLanes() & mask)
            s = b.fadd(s, b.shuffleXor(s, mask));
    Values inverse, lse, result;
    for (auto [row, l] : llvm::enumerate(sums)) {
      // Of NaN neither comparison holds: it passes on.
      inverse.push_back(b.select(b.isZero(l), b.f32(0), b.reciprocal(l)));
      constexpr double ln2 = 0.69314718055994530942;
      lse.push_back(b.fmul(b.fadd(adaptor.getMaximum()[row], b.log2(l)), b.f32(ln2)));
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
