//===- StorePatterns.cpp - results leave -----------------------------------===//
//
// Rows go out in vectors of up to 16 bytes, rounded once to the tensor's type, from the registers
// or by way of a shared tile. The workspace holds, behind the head of 256 bytes and the counters,
//
//   f32 [sequences][max splits][max query length][query heads][dim]   partial rows
//   f32 [sequences][max splits][max query length][query heads]        their log-sum-exps in log2
//
// merge_splits adds a row's partials with the instructions of add_split and
// normalize. The loads of up to 16 are under way together, and the maxima in front
// of each are known before the rows are.
//
// Test: test/compiler/conversion/TileToNVVM/stores.mlir, staged-stores.mlir,
// staged-stores-errors.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include "runtime/support/SplitRule.h"

namespace attncc::lowering {
namespace {

using tile::Layout;

int64_t bytesOf(Type element) { return element.getIntOrFloatBitWidth() / 8; }

/// The tile's values with another element type.
Values convertTo(KernelBuilder &b, Type from, Type to, ValueRange values) {
  return from == to ? Values(values) : fromF32(b, to, toF32(b, from, values));
}

/// A fragment of 16-bit elements: lane (g, c) holds word c of each 16 bytes of row g. The four
/// lanes of a row exchange words and store 16 bytes each, so that no sector is written in parts.
void storeFragmentRow(KernelBuilder &b, llvm::ArrayRef<int64_t> registers, ValueRange words,
                      Value exists, Value row) {
  int64_t chunks = registers.size() / 2; // of 16 bytes in a row, one word of each in a lane
  Value chunkOfLane = b.bitAnd(b.lane(), 3);
  Value start = b.offset(row, b.zeroExtend(b.mul(chunkOfLane, 16)));
  for (int64_t chunk = 0; chunk < chunks; chunk += 4) {
    int64_t count = std::min<int64_t>(4, chunks - chunk);
    Values mine;
    for (int64_t i = 0; i < 4; ++i) // what a shorter row lacks is not stored
      mine.push_back(words[registers[2 * (chunk + std::min(i, count - 1))] / 2]);
    transposeQuad(b, mine);
    Value stores = exists;
    if (count < 4)
      stores = b.bitAnd(stores, b.compare(Compare::ult, chunkOfLane, count));
    b.ifThen(stores, [&] { b.storeVector(mine, b.offset(start, chunk * 16)); });
  }
}

/// Stores the registers of one row; `row` points at its first element.
void storeRow(KernelBuilder &b, ThreadCoordinates &thread, const Layout &layout,
              llvm::ArrayRef<int64_t> registers, Type element, ValueRange values, Value row) {
  int64_t size = bytesOf(element);
  int64_t run = columnRun(layout, 16 / size);
  for (size_t r = 0; r < registers.size(); r += run) {
    int64_t first = registers[r] * size / 4;
    b.storeVector(values.slice(first, run * size / 4), thread.inRow(row, registers[r], size));
  }
}

mlir::LogicalResult checkRun(mlir::Operation *op, const Layout &layout, Type element) {
  if (columnRun(layout, 8) * bytesOf(element) >= 4)
    return mlir::success();
  return op->emitOpError()
         << "expected neighbouring columns in the registers of a row to be stored";
}

/// Runs `store` in the threads that hold the first copy of the layout's elements.
void inFirstCopy(KernelBuilder &b, const Layout &layout, int64_t warps,
                 llvm::function_ref<void()> store) {
  if (Value first = isFirstCopy(b, layout, warps))
    b.ifThen(first, store);
  else
    store();
}

/// The places of one item's rows in the workspace.
struct PartialResults {
  Value rows, lse; // pointers to the first element of all
  Value first;     // i64: index of row 0 (token 0, head 0) of the item's sequence and split
  Value heads;     // i32
  Value perSplit;  // i64: rows of one split
  int64_t dim;

  PartialResults(KernelBuilder &b, const KernelContext &kernel, const Item &item, Value workspace,
                 int64_t dim)
      : dim(dim) {
    heads = b.mul(item.kvHeads, kernel.group);
    perSplit = b.mul(b.zeroExtend(launchedQueries(b, kernel, item)), b.zeroExtend(heads));
    Value splits = b.zeroExtend(item.maxSplits);
    Value index = b.add(b.mul(b.zeroExtend(item.sequence), splits), b.zeroExtend(item.split));
    first = b.mul(index, perSplit);
    const bool isDecode = kernel.itemKind == tile::ItemKind::Decode;
    Value sequences = b.zeroExtend(b.gridSize(isDecode ? 1 : 2));
    Value counters = b.mul(b.mul(sequences, b.zeroExtend(item.kvHeads)), 4);
    counters = b.bitAnd(b.add(counters, 255), ~int64_t(255));
    rows = b.offset(b.offset(workspace, 256), counters);
    Value all = b.mul(b.mul(sequences, splits), perSplit);
    lse = b.offset(rows, b.mul(all, dim * 4));
  }
  Value index(KernelBuilder &b, const RowPlace &place) const {
    return b.add(first, b.zeroExtend(b.add(b.mul(place.token, heads), place.head)));
  }
  Value rowAt(KernelBuilder &b, Value index) const { return b.offset(rows, b.mul(index, dim * 4)); }
  Value lseAt(KernelBuilder &b, Value index) const { return b.offset(lse, b.mul(index, 4)); }
};

/// How rows of the log-sum-exp `lse`, in units of log2, join a sum (tile.add_split).
struct Joining {
  Value maximum;        // m'
  Value factor, weight; // f, w

  Joining(KernelBuilder &b, Value before, Value lse) {
    maximum = b.fmax(before, lse);
    factor = b.exp2(b.fsub(before, maximum));
    weight = b.exp2(b.fsub(lse, maximum));
  }
  Value sum(KernelBuilder &b, Value before) const { return b.fma(before, factor, weight); }
  Value value(KernelBuilder &b, Value before, Value row) const {
    return b.fma(weight, row, b.fmul(before, factor));
  }
};

/// The sum of one row's splits: maximum, sum, then the row's values in this thread.
struct RowSum {
  Values state;

  static RowSum none(KernelBuilder &b, int64_t registers) {
    RowSum sum{{b.f32(-1e30), b.f32(0)}};
    sum.state.append(registers, b.f32(0));
    return sum;
  }
  /// A row with its log-sum-exp, in units of log2, in front.
  void add(KernelBuilder &b, ValueRange row) {
    Joining joining(b, state[0], row[0]);
    state[0] = joining.maximum;
    state[1] = joining.sum(b, state[1]);
    for (size_t i = 2; i < state.size(); ++i)
      state[i] = joining.value(b, state[i], row[i - 1]);
  }
  Values normalized(KernelBuilder &b, bool log2) const {
    Value inverse = inverseOfSum(b, state[1]);
    Values row{logSumExp(b, state[0], state[1], log2)};
    for (Value v : ValueRange(state).drop_front(2))
      row.push_back(b.fmul(v, inverse));
    return row;
  }
};

/// How a result goes through a shared tile: in by stmatrix, out by rows.
struct Staging {
  tile::LdmatrixPlan matrices;
  CopyPlan rows;

  /// Nothing if the result's registers are not the matrices' in order.
  static std::optional<Staging> of(const KernelContext &kernel, const Layout &result,
                                   tile::TileType type) {
    const Layout shared = type.getLayout().toLayout();
    auto product = tile::wgmmaProduct(type.getRows(), 8, type.getColumns());
    if (!product || bytesOf(type.getElementType()) != 2 ||
        result.registersPerThread() != product->lhs.registersPerThread() ||
        result.laneBasis() != product->lhs.laneBasis() ||
        result.warpBasis() != product->lhs.warpBasis())
      return std::nullopt;
    for (int64_t reg = 0; reg < result.registersPerThread(); ++reg)
      if (result.registerPart(reg) != product->lhs.registerPart(reg))
        return std::nullopt;
    std::optional<tile::LdmatrixPlan> matrices = tile::planLdmatrix(shared, product->lhs);
    CopyPlan rows(type, shared, kernel.schedule.unit);
    if (!matrices || matrices->matrices != 4 || matrices->transposed || !rows.access)
      return std::nullopt;
    return Staging{*matrices, rows};
  }
};

/// Writes the existing rows of a tile to `tensor`, and their log-sum-exps where `lse` is not null.
struct RowWriter {
  KernelBuilder &b;
  const KernelContext &kernel;

  void values(const Item &item, tile::RowKind kind, const Layout &layout, Type from,
              ValueRange tile, const TensorArgument &tensor, Type to) {
    Values converted = convertTo(b, from, to, tile);
    ThreadCoordinates thread(b, layout, kernel.warps());
    inFirstCopy(b, layout, kernel.warps(), [&] {
      RowPointers rows(b, kernel, item, kind, thread.rowOfThread, tensor, bytesOf(to));
      for (auto &[constant, registers] : registersByRow(layout)) {
        RowPointers::Row row = rows.at(constant);
        if (isFragment(layout) && bytesOf(to) == 2)
          storeFragmentRow(b, registers, converted, row.exists, row.pointer);
        else
          b.ifThen(row.exists,
                   [&] { storeRow(b, thread, layout, registers, to, converted, row.pointer); });
      }
    });
  }

  /// As `values`, by way of a shared tile that the unit has to itself: whole rows leave from there.
  void staged(const Item &item, const Staging &staging, Type from, ValueRange tile, Value shared,
              const TensorArgument &tensor, Type to) {
    kernel.unitBarrier(b); // all warps have left what the tile held
    Values words = convertTo(b, from, to, tile);
    Value thread = kernel.threadOfUnit(b);
    const tile::SharedAccess &matrices = staging.matrices.addresses;
    Value address = b.offset(shared, applyBasis(b, thread, matrices.basis));
    for (auto [i, access] : llvm::enumerate(matrices.accesses))
      b.storeMatrices(b.at(address, access), ValueRange(words).slice(4 * i, 4));
    kernel.unitBarrier(b);
    const CopyPlan &plan = staging.rows;
    address = b.offset(shared, applyBasis(b, thread, plan.access->basis));
    std::vector<Values> chunks; // of 16 bytes
    for (const tile::SharedAccess::Access &access : plan.access->accesses)
      chunks.push_back(b.loadVector(b.at(address, access), b.i32Type(), 4));
    ThreadCoordinates place(b, plan.who, kernel.warps());
    TensorArgument columns = tensor; // from the thread's own on
    columns.pointer =
        b.offset(tensor.pointer, b.zeroExtend(b.mul(place.columnOfThread, bytesOf(to))));
    RowPointers rows(b, kernel, item, tile::RowKind::Query, place.rowOfThread, columns,
                     bytesOf(to));
    for (auto [constant, chunk] : llvm::zip(plan.constants, chunks)) {
      RowPointers::Row row = rows.at(constant.row);
      b.ifThen(row.exists, [&, constant = constant, &chunk = chunk] {
        b.storeVector(chunk, b.offset(row.pointer, constant.column * bytesOf(to)));
      });
    }
  }

  void logSumExps(const Item &item, const Layout &layout, ValueRange lse,
                  const TensorArgument &tensor) {
    b.ifThen(b.isGiven(tensor.pointer), [&] {
      ThreadCoordinates thread(b, layout, kernel.warps());
      inFirstCopy(b, layout, kernel.warps(), [&] {
        RowPointers rows(b, kernel, item, tile::RowKind::Query, thread.rowOfThread, tensor, 4);
        for (auto [reg, value] : llvm::enumerate(lse)) {
          RowPointers::Row row = rows.at(layout.registerPart(reg).row);
          b.ifThen(row.exists, [&, value = value] { b.storeVector(value, row.pointer); });
        }
      });
    });
  }

  void partials(const Item &item, const Layout &layout, ValueRange tile, const Layout &lseLayout,
                ValueRange lse, Value workspace, int64_t dim) {
    PartialResults results(b, kernel, item, workspace, dim);
    ThreadCoordinates thread(b, layout, kernel.warps());
    inFirstCopy(b, layout, kernel.warps(), [&] {
      for (auto &[constant, registers] : registersByRow(layout)) {
        RowPlace place =
            placeOfRow(b, kernel, item, tile::RowKind::Query, b.add(thread.rowOfThread, constant));
        b.ifThen(place.exists, [&] {
          storeRow(b, thread, layout, registers, b.f32Type(), tile,
                   results.rowAt(b, results.index(b, place)));
        });
      }
    });
    ThreadCoordinates lseThread(b, lseLayout, kernel.warps());
    inFirstCopy(b, lseLayout, kernel.warps(), [&] {
      for (auto [reg, value] : llvm::enumerate(lse)) {
        RowPlace place = placeOfRow(b, kernel, item, tile::RowKind::Query, lseThread.row(reg));
        b.ifThen(place.exists,
                 [&] { b.storeVector(value, results.lseAt(b, results.index(b, place))); });
      }
    });
  }
};

Type elementOf(Value value) {
  return llvm::cast<mlir::ShapedType>(value.getType()).getElementType();
}
tile::TileType tileOf(Value value) { return llvm::cast<tile::TileType>(value.getType()); }

struct StoreRowsPattern : TilePattern<tile::StoreRowsOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::StoreRowsOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> layout = layoutOf(op, op.getValue().getType());
    Type to = elementOf(op.getTarget());
    if (mlir::failed(layout) || mlir::failed(checkRun(op, *layout, to)))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    Item item = Item::unpack(adaptor.getItem());
    item.rowBegin = b.add(item.rowBegin, op.getFirstRow());
    TensorArgument target = TensorArgument::unpack(adaptor.getTarget());
    auto write = [&] {
      RowWriter{b, kernel}.values(item, op.getKind(), *layout,
                                  tileOf(op.getValue()).getElementType(), adaptor.getValue(),
                                  target, to);
    };
    if (op.getOptional())
      b.ifThen(b.isGiven(target.pointer), write);
    else
      write();
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct StoreKvPattern : TilePattern<tile::StoreKvOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::StoreKvOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto cacheType = llvm::cast<attn::PagedKvType>(op.getCache().getType());
    mlir::FailureOr<Layout> keyLayout = layoutOf(op, op.getKey().getType());
    mlir::FailureOr<Layout> valueLayout = layoutOf(op, op.getValue().getType());
    if (mlir::failed(keyLayout) || mlir::failed(valueLayout) ||
        mlir::failed(checkRun(op, *keyLayout, cacheType.getKeyType())) ||
        mlir::failed(checkRun(op, *valueLayout, cacheType.getValueType())))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    Item item = Item::unpack(adaptor.getItem());
    int64_t pageSize = cacheType.getPageSize();
    Value token = b.divUnsigned(item.rowBegin, kernel.group);
    Value index = b.add(b.sub(item.kvLength, item.queryLength), token);

    // page and place in it as i64; a slot of -1 is not written.
    auto fromTable = [&]() -> Values {
      Value page = tableEntry(b, kernel, {item.table, item.numPages, pageSize}, index, b.i1(true));
      return {b.signExtend(page), b.zeroExtend(b.remUnsigned(index, pageSize))};
    };
    auto fromSlots = [&]() -> Values {
      Value pointer = adaptor.getSlots().front();
      Value bytes = b.mul(b.zeroExtend(b.add(item.queryBegin, token)), 8);
      Value slot = b.load(b.offset(pointer, bytes), b.i64Type(), 8);
      Value skipped = b.compare(Compare::slt, slot, 0);
      Value page = b.divUnsigned(slot, pageSize);
      Value bad = b.compare(Compare::uge, page, item.numPages);
      reportBadPage(b, kernel, b.bitAnd(bad, b.compare(Compare::sge, slot, 0)));
      page = b.select(b.bitOr(skipped, bad), b.i64(-1), page);
      return {page, b.remUnsigned(slot, pageSize)};
    };
    Values place = op.getSlots() ? b.ifElse(b.isNull(adaptor.getSlots().front()),
                                            {b.i64Type(), b.i64Type()}, fromTable, fromSlots)
                                 : fromTable();
    b.ifThen(b.compare(Compare::sge, place[0], 0), [&] {
      storeHalf(b, item, place, *keyLayout, tileOf(op.getKey()).getElementType(),
                cacheType.getKeyType(), adaptor.getKey(), CacheArgument::keys(adaptor.getCache()));
      storeHalf(b, item, place, *valueLayout, tileOf(op.getValue()).getElementType(),
                cacheType.getValueType(), adaptor.getValue(),
                CacheArgument::values(adaptor.getCache()));
    });
    rewriter.eraseOp(op);
    return mlir::success();
  }

private:
  void storeHalf(KernelBuilder &b, const Item &item, ValueRange place, const Layout &layout,
                 Type from, Type to, ValueRange tile, const CacheArgument &cache) const {
    Values converted = convertTo(b, from, to, tile);
    Value element = b.add(b.mul(place[0], cache.pageStride), b.mul(place[1], cache.tokenStride));
    element = b.add(element, b.mul(b.zeroExtend(item.kvHead), cache.headStride));
    Value row = b.offset(cache.pointer, b.mul(element, bytesOf(to)));
    ThreadCoordinates thread(b, layout, kernel.warps());
    llvm::SmallVector<int64_t> registers = registersByRow(layout).begin()->second;
    inFirstCopy(b, layout, kernel.warps(),
                [&] { storeRow(b, thread, layout, registers, to, converted, row); });
  }
};

struct StoreAttentionPattern : TilePattern<tile::StoreAttentionOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::StoreAttentionOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> layout = layoutOf(op, op.getValue().getType());
    mlir::FailureOr<Layout> lseLayout = layoutOf(op, op.getLse().getType());
    Type to = elementOf(op.getOutput());
    if (mlir::failed(layout) || mlir::failed(lseLayout) || mlir::failed(checkRun(op, *layout, to)))
      return mlir::failure();
    std::optional<Staging> staging;
    if (op.getThrough()) {
      if (mlir::failed(layoutOf(op, op.getThrough().getType())))
        return mlir::failure();
      staging = Staging::of(kernel, *layout, op.getThrough().getType());
      if (!staging)
        return op.emitOpError()
               << "expected a warpgroup's result to go through a tile of 16 bits, got "
               << op.getValue().getType() << " through " << op.getThrough().getType();
    }
    KernelBuilder b(rewriter, op.getLoc());
    b.rereadThread();
    if (!kernel.persists())
      b.rereadBlock();
    RowWriter writer{b, kernel};
    Item item = Item::unpack(adaptor.getItem());
    if (!kernel.persists()) // what the place in the grid says is not kept through the loop
      placeItem(b, kernel, item, kernel.unit(b));
    TensorArgument output = TensorArgument::unpack(adaptor.getOutput());
    auto storeLogSumExps = [&](const Item &turn, ValueRange lse) {
      writer.logSumExps(turn, *lseLayout, lse, TensorArgument::unpack(adaptor.getLogSumExp()));
    };
    auto store = [&](const Item &turn, ValueRange tile, ValueRange lse) {
      writer.values(turn, tile::RowKind::Query, *layout, b.f32Type(), tile, output, to);
      storeLogSumExps(turn, lse);
    };
    // A faulty sequence is NaN, and may have more rows than the launch has blocks for.
    auto poison = [&]() -> Values {
      Values tile(adaptor.getValue().size(), b.notANumber()),
          lse(adaptor.getLse().size(), b.notANumber());
      int64_t rows = kernel.blockRows();
      Value chunks = chunksOf(b, kernel, launchedQueries(b, kernel, item));
      Value step = b.maxSigned(b.mul(chunks, rows), b.i32(rows));
      b.loop(item.rowBegin, item.rowEnd, step, {}, [&](Value rowBegin, ValueRange) -> Values {
        Item turn = item;
        turn.rowBegin = rowBegin;
        store(turn, tile, lse);
        return {};
      });
      return {};
    };
    auto storeResult = [&] {
      b.ifElse(item.faulty, {}, poison, [&]() -> Values {
        if (staging) {
          writer.staged(item, *staging, b.f32Type(), adaptor.getValue(),
                        adaptor.getThrough().front(), output, to);
          storeLogSumExps(item, adaptor.getLse());
        } else {
          store(item, adaptor.getValue(), adaptor.getLse());
        }
        return {};
      });
    };
    if (kernel.itemKind == tile::ItemKind::Prefill)
      storeResult();
    else
      b.ifThen(item.single, storeResult);
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct AddSplitPattern : TilePattern<tile::AddSplitOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::AddSplitOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> layout = layoutOf(op, op.getValue().getType());
    mlir::FailureOr<Layout> rows = layoutOf(op, op.getLse().getType());
    if (mlir::failed(layout) || mlir::failed(rows))
      return mlir::failure();
    auto rowOf = matchRegisters(*layout, *rows, /*keepRow=*/true, /*keepColumn=*/false);
    if (!rowOf)
      return op.emitOpError() << "expected each thread to hold the statistics of its rows";
    KernelBuilder b(rewriter, op.getLoc());
    Values maximum, sum, total;
    std::vector<Joining> joinings;
    for (auto [row, lse] : llvm::enumerate(adaptor.getLse())) {
      joinings.emplace_back(b, adaptor.getMaximum()[row], lse);
      maximum.push_back(joinings.back().maximum);
      sum.push_back(joinings.back().sum(b, adaptor.getSum()[row]));
    }
    for (auto [reg, value] : llvm::enumerate(adaptor.getValue()))
      total.push_back(joinings[(*rowOf)[reg]].value(b, adaptor.getTotal()[reg], value));
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{maximum, sum, total});
    return mlir::success();
  }
};

struct StorePartialPattern : TilePattern<tile::StorePartialOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::StorePartialOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> layout = layoutOf(op, op.getValue().getType());
    mlir::FailureOr<Layout> lseLayout = layoutOf(op, op.getLse().getType());
    if (mlir::failed(layout) || mlir::failed(lseLayout))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    b.rereadThread();
    b.rereadBlock();
    Item item = Item::unpack(adaptor.getItem());
    Value split = b.add(item.split, adaptor.getSplit().front());
    placeItem(b, kernel, item, kernel.unit(b)); // not kept through the loop
    item.split = split;
    b.ifThen(b.compare(Compare::eq, item.single, b.i1(false)), [&] {
      RowWriter{b, kernel}.partials(item, *layout, adaptor.getValue(), *lseLayout, adaptor.getLse(),
                                    adaptor.getWorkspace().front(),
                                    tileOf(op.getValue()).getColumns());
    });
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct MergeSplitsPattern : TilePattern<tile::MergeSplitsOp> {
  using TilePattern::TilePattern;

  /// Partials whose loads are under way together: 16, fewer where a lane has many columns, whole
  /// spans.
  static int64_t partialsTogether(int64_t registers) {
    return llvm::alignTo(std::clamp<int64_t>(maxLoads / registers, 1, 16), kSplitsOfSpan);
  }
  static constexpr int64_t maxLoads = 96; // of f32, beside the sums and the addresses

  mlir::LogicalResult matchAndRewrite(tile::MergeSplitsOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto type = llvm::cast<tile::TileType>(op.getResult().getType());
    mlir::FailureOr<Layout> layout = layoutOf(op, type);
    if (mlir::failed(layout) || mlir::failed(layoutOf(op, op.getLse().getType())))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    Item item = Item::unpack(adaptor.getItem());
    Value ofPartial = item.split; // splits: one or a span
    item.split = b.i32(0);
    PartialResults results(b, kernel, item, adaptor.getWorkspace().front(), type.getColumns());
    ThreadCoordinates thread(b, *layout, kernel.warps());
    RowPlace place = placeOfRow(b, kernel, item, tile::RowKind::Query, b.i32(0));
    Value firstIndex = results.index(b, place);
    const int64_t registers = layout->registersPerThread(), run = columnRun(*layout, 4);
    const int64_t together = partialsTogether(registers);
    llvm::SmallVector<Type> types(1 + registers, b.f32Type());
    auto load = [&](Value split) {
      return b.ifElse(
          b.compare(Compare::slt, split, item.splits), types,
          [&] {
            Value index = b.add(firstIndex, b.mul(b.zeroExtend(split), results.perSplit));
            Values row{b.load(results.lseAt(b, index), b.f32Type(), 4)};
            Value pointer = results.rowAt(b, index);
            for (int64_t reg = 0; reg < registers; reg += run)
              row.append(b.loadVector(thread.inRow(pointer, reg, 4), b.f32Type(), run));
            return row;
          },
          [&] {
            Values row{b.minusInfinity()};
            row.append(registers, b.f32(0));
            return row;
          });
    };
    llvm::SmallVector<Type> sumTypes(2 + registers, b.f32Type());
    RowSum all{b.loop(b.i32(0), item.splits, b.mul(ofPartial, b.i32(together)),
                      RowSum::none(b, registers).state,
                      [&](Value begin, ValueRange carried) -> Values {
                        std::vector<Values> rows;
                        for (int64_t i = 0; i < together; ++i)
                          rows.push_back(load(b.add(begin, b.mul(ofPartial, b.i32(i)))));
                        return b.ifElse(
                            b.compare(Compare::eq, ofPartial, 1), sumTypes,
                            [&] {
                              RowSum sum{Values(carried)};
                              for (int64_t first = 0; first < together; first += kSplitsOfSpan) {
                                RowSum span = RowSum::none(b, registers);
                                for (int64_t i = 0; i < kSplitsOfSpan; ++i)
                                  span.add(b, rows[first + i]);
                                sum.add(b, span.normalized(b, /*log2=*/true));
                              }
                              return sum.state;
                            },
                            [&] {
                              RowSum sum{Values(carried)};
                              for (const Values &row : rows)
                                sum.add(b, row);
                              return sum.state;
                            });
                      })};
    Values row = all.normalized(b, /*log2=*/false);
    rewriter.replaceOpWithMultiple(
        op, llvm::SmallVector<Values>{Values(ValueRange(row).drop_front()), {row[0]}});
    return mlir::success();
  }
};

struct StoreMergedPattern : TilePattern<tile::StoreMergedOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::StoreMergedOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> layout = layoutOf(op, op.getValue().getType());
    mlir::FailureOr<Layout> lseLayout = layoutOf(op, op.getLse().getType());
    Type to = elementOf(op.getOutput());
    if (mlir::failed(layout) || mlir::failed(lseLayout) || mlir::failed(checkRun(op, *layout, to)))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    RowWriter writer{b, kernel};
    Item item = Item::unpack(adaptor.getItem());
    writer.values(item, tile::RowKind::Query, *layout, b.f32Type(), adaptor.getValue(),
                  TensorArgument::unpack(adaptor.getOutput()), to);
    writer.logSumExps(item, *lseLayout, adaptor.getLse(),
                      TensorArgument::unpack(adaptor.getLogSumExp()));
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

} // namespace

void populateStorePatterns(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter,
                           KernelContext &kernel) {
  patterns.add<StoreRowsPattern, StoreKvPattern, StoreAttentionPattern, AddSplitPattern,
               StorePartialPattern, MergeSplitsPattern, StoreMergedPattern>(
      converter, patterns.getContext(), kernel);
}

} // namespace attncc::lowering
