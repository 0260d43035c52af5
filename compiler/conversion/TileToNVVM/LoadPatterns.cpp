//===- LoadPatterns.cpp - rows, weights and pages come in ------------------===//
//
// Rows are read as vectors of 16 bytes. Those of a shared tile are copied as key
// tiles are, by the unit that reads them, into the group of the first slot that is
// committed behind them. A product's B operand (mma.m16n8k16)
// needs two elements per word, so lane (g, c) of it would ask for 4 bytes of
// each 16-byte chunk and for half of every sector; instead lane (g, c) reads
// the chunks 4b + c of row g whole, and the four lanes of a row exchange words
// by a 4 x 4 transpose of two butterfly steps.
//
// Copies of key and value tiles are cp.async of 16 bytes a lane; the page of a
// row comes from the lane that holds its block-table entry, addresses are 64
// bits wide, rows past the item's keys are zero-filled (source size 0).
// A ring that the units of a block share is filled by all of them, each row by one
// warp.
//
// A block-table entry outside of the pool sets the error word and becomes -1; a
// lane that meets -1 fills its part of the tile with NaN, so that the products
// make the rows NaN and nothing outside of the pool is read.
//
// Test: test/compiler/conversion/TileToNVVM/loads.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include <numeric>

namespace attncc::lowering {
namespace {

using tile::Coordinate;
using tile::Dimension;
using tile::Layout;

constexpr int64_t elementBytes = 2; // of cached keys and values, queries and weights

struct LoadRowsPattern : TilePattern<tile::LoadRowsOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::LoadRowsOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto type = llvm::cast<tile::TileType>(op.getResult().getType());
    mlir::FailureOr<Layout> layout = layoutOf(op, type);
    if (mlir::failed(layout))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    Item item = Item::unpack(adaptor.getItem());
    TensorArgument tensor = TensorArgument::unpack(adaptor.getSource());
    if (type.isShared())
      return loadShared(op, b, *layout, item, tensor, rewriter);
    Values words(registerValues(type));
    bool fragment = isFragment(*layout);
    int64_t run = columnRun(*layout, 16 / elementBytes);
    if (!fragment && run < 2)
      return op.emitOpError() << "expected neighbouring columns in the registers of " << type;

    ThreadCoordinates thread(b, *layout, kernel.warps());
    for (auto &[rowConstant, registers] : registersByRow(*layout)) {
      Value row = b.add(thread.rowOfThread, op.getFirstRow() + rowConstant);
      RowPlace place = placeOfRow(b, kernel, item, op.getKind(), row);
      Value valid = place.exists;
      if (op.getOptional())
        valid = b.bitAnd(valid, b.isGiven(tensor.pointer));
      Value pointer = b.offset(tensor.pointer, b.mul(place.element(b, tensor), elementBytes));
      if (fragment)
        loadFragmentRow(b, *layout, rowConstant, type.getColumns(), pointer, valid, words);
      else
        loadVectorRow(b, thread, registers, run, pointer, valid, words);
    }
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{words});
    return mlir::success();
  }

private:
  /// Into the unit's tile; see tile.load_rows for when they have landed.
  mlir::LogicalResult loadShared(tile::LoadRowsOp op, KernelBuilder &b, const Layout &shared,
                                 const Item &item, const TensorArgument &tensor,
                                 mlir::ConversionPatternRewriter &rewriter) const {
    tile::TileType type = op.getResult().getType();
    if (!op.getOffset())
      return op.emitOpError() << "expected an offset: run --tile-pack-shared-memory first";
    CopyPlan plan(type, shared, kernel.schedule.unit);
    if (!plan.access)
      return op.emitOpError() << "no 16-byte rows in the layout of " << type;
    int64_t bytes = tile::ringStorage({{shared, elementBytes}}).slotBytes;
    Value tile = b.offset(b.sharedMemory(*op.getOffset()), b.mul(kernel.unit(b), bytes));
    copyRows(b, kernel, plan, tile, item, op.getKind(), op.getFirstRow(), tensor);
    rewriter.replaceOp(op, tile);
    return mlir::success();
  }

  static void loadVectorRow(KernelBuilder &b, ThreadCoordinates &thread,
                            llvm::ArrayRef<int64_t> registers, int64_t run, Value pointer,
                            Value valid, Values &words) {
    int64_t perVector = run * elementBytes / 4;
    llvm::SmallVector<Type> types(registers.size() / 2, b.i32Type());
    Values loaded = b.ifElse(
        valid, types,
        [&] {
          Values row;
          for (size_t r = 0; r < registers.size(); r += run) {
            Value source = thread.inRow(pointer, registers[r], elementBytes);
            row.append(b.loadVector(source, b.i32Type(), perVector));
          }
          return row;
        },
        [&] { return Values(types.size(), b.i32(0)); });
    for (size_t w = 0; w < loaded.size(); ++w)
      words[registers[2 * w] / 2] = loaded[w];
  }

  /// Rows rowConstant … rowConstant + 7 of a B operand; `pointer` is the row of lanes 4g … 4g + 3.
  static void loadFragmentRow(KernelBuilder &b, const Layout &layout, int64_t rowConstant,
                              int64_t columns, Value pointer, Value valid, Values &words) {
    int64_t chunks = columns / 8, blocks = (chunks + 3) / 4;
    Value lane = b.lane();
    Value chunkOfLane = b.bitAnd(lane, 3);
    Value start = b.offset(pointer, b.zeroExtend(b.mul(chunkOfLane, 16)));
    llvm::SmallVector<Type> types(4, b.i32Type());
    auto zeros = [&] { return Values(4, b.i32(0)); };
    for (int64_t block = 0; block < blocks; ++block) {
      Value asks = valid;
      if (chunks - 4 * block < 4)
        asks = b.bitAnd(valid, b.compare(Compare::ult, chunkOfLane, chunks - 4 * block));
      Values mine = b.ifElse(
          asks, types, [&] { return b.loadVector(b.offset(start, block * 64), b.i32Type(), 4); },
          zeros);
      transposeQuad(b, mine);
      for (int64_t chunk = 4 * block; chunk < std::min(chunks, 4 * block + 4); ++chunk)
        words[layout.holderOf({rowConstant, 8 * chunk}).reg / 2] = mine[chunk % 4];
    }
  }
};

struct CopyRowsPattern : TilePattern<tile::CopyRowsOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::CopyRowsOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto acquire = op.getSlot().getDefiningOp<tile::AcquireOp>();
    if (!acquire)
      return op.emitOpError() << "expected a slot made by tile.acquire";
    auto ring = llvm::cast<tile::RingType>(acquire.getRing().getType());
    tile::TileType type = ring.getTiles().front();
    mlir::FailureOr<Layout> layout = layoutOf(op, type);
    if (mlir::failed(layout))
      return mlir::failure();
    if (ring.getSharedBy() != tile::RingScope::Unit)
      return op.emitOpError() << "expected a ring of the unit, got " << ring;
    CopyPlan plan(type, *layout, kernel.schedule.unit);
    if (!plan.access)
      return op.emitOpError() << "no 16-byte rows in the layout of " << type;
    KernelBuilder b(rewriter, op.getLoc());
    b.rereadThread();
    copyRows(b, kernel, plan, adaptor.getSlot().front(), Item::unpack(adaptor.getItem()),
             op.getKind(), /*firstRow=*/0, TensorArgument::unpack(adaptor.getSource()));
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct LoadVectorPattern : TilePattern<tile::LoadVectorOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::LoadVectorOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto type = llvm::cast<tile::TileType>(op.getResult().getType());
    mlir::FailureOr<Layout> layout = layoutOf(op, type);
    if (mlir::failed(layout))
      return mlir::failure();
    int64_t run = columnRun(*layout, 16 / elementBytes);
    if (run < 2)
      return op.emitOpError() << "expected neighbouring columns in the registers of " << type;
    KernelBuilder b(rewriter, op.getLoc());
    ThreadCoordinates thread(b, *layout, kernel.warps());
    Values words;
    for (int64_t reg = 0; reg < layout->registersPerThread(); reg += run) {
      Value source = thread.inRow(adaptor.getSource().front(), reg, elementBytes);
      words.append(b.loadVector(source, b.i32Type(), run * elementBytes / 4));
    }
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{words});
    return mlir::success();
  }
};

struct PageNumbersPattern : TilePattern<tile::PageNumbersOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::PageNumbersOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto rangeOp = op.getRange().getDefiningOp<tile::KeyRangeOp>();
    if (!rangeOp)
      return op.emitOpError() << "expected a range made by tile.key_range";
    int64_t keys = rangeOp.getKeys();
    int64_t pageSize = llvm::cast<attn::PagedKvType>(op.getCache().getType()).getPageSize();
    int64_t tokens = std::gcd(pageSize, keys), groups = keys / tokens;

    KernelBuilder b(rewriter, op.getLoc());
    Value index = adaptor.getIndex().front();
    if (kernel.schedule.specialised()) { // a loading role has few registers: see key_tile
      b.rereadThread();
      index = b.opaque(index);
    }
    Range range = Range::unpack(adaptor.getRange());
    Value lane = b.lane(), group = lane, mine = b.i1(true);
    if (kernel.schedule.specialised()) { // copies take the first tile's entries only
      mine = b.compare(Compare::ult, lane, groups);
    } else {
      index = b.add(index, b.divUnsigned(lane, groups));
      group = b.remUnsigned(lane, groups);
    }
    Value tile = rangeTile(b, kernel, range, index);
    Value key = b.add(b.mul(tile, keys), b.mul(group, tokens));
    // A range without tiles is given its first one where tiles overlap.
    Value count = range.count;
    if (kernel.schedule.overlap != attn::Overlap::None)
      count = b.maxSigned(count, b.i32(1));
    Value valid =
        b.bitAnd(b.compare(Compare::slt, index, count), b.compare(Compare::slt, key, range.keyEnd));
    valid = b.bitAnd(valid, mine);
    rewriter.replaceOp(op,
                       tableEntry(b, kernel, {range.table, range.numPages, pageSize}, key, valid));
    return mlir::success();
  }
};

/// copy_keys and copy_values.
template <class Op, bool isKeys> struct CopyPattern : TilePattern<Op> {
  using TilePattern<Op>::TilePattern;
  using Adaptor = typename TilePattern<Op>::Adaptor;

  mlir::LogicalResult matchAndRewrite(Op op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    const KernelContext &kernel = this->kernel;
    if (op.getBox()) // TensorCopyPatterns.cpp
      return mlir::failure();
    auto acquire = op.getSlot().template getDefiningOp<tile::AcquireOp>();
    if (!acquire)
      return op.emitOpError() << "expected a slot made by tile.acquire";
    auto ring = llvm::cast<tile::RingType>(acquire.getRing().getType());
    std::vector<tile::StoredTile> stored;
    for (tile::TileType type : ring.getTiles()) {
      mlir::FailureOr<Layout> layout = layoutOf(op, type);
      if (mlir::failed(layout))
        return mlir::failure();
      stored.push_back({*layout, elementBytes});
    }
    tile::TileType type = ring.getTiles()[op.getIndex()];
    int64_t keys = type.getRows();
    int64_t pageSize = llvm::cast<attn::PagedKvType>(op.getCache().getType()).getPageSize();

    bool together = ring.getSharedBy() == tile::RingScope::Units;
    CopyPlan plan(type, stored[op.getIndex()].layout, together ? kernel.units() : 1);
    if (!plan.access)
      return op.emitOpError() << "no 16-byte rows in the layout of " << type;

    KernelBuilder b(rewriter, op.getLoc());
    Copy copy{b,
              kernel,
              Item::unpack(adaptor.getItem()),
              isKeys ? CacheArgument::keys(adaptor.getCache())
                     : CacheArgument::values(adaptor.getCache()),
              adaptor.getTile().front(),
              keys,
              pageSize,
              plan.who,
              plan.constants,
              *plan.access,
              adaptor.getSlot().front(),
              tile::ringStorage(stored).tileOffsets[op.getIndex()],
              op.getPages() ? adaptor.getPages().front() : Value(),
              op.getPageIndex() ? adaptor.getPageIndex().front() : Value()};
    Value when = op.getWhen() ? adaptor.getWhen().front() : Value();
    // A tile may have too few rows for all warps.
    if (Value first = isFirstCopy(b, plan.who, kernel.warps()))
      when = when ? b.bitAnd(when, first) : first;
    if (when)
      b.ifThen(when, [&] { copy.emit(); });
    else
      copy.emit();
    rewriter.eraseOp(op);
    return mlir::success();
  }

private:
  struct Copy {
    KernelBuilder &b;
    const KernelContext &kernel;
    Item item;
    CacheArgument cache;
    Value tileNumber;
    int64_t keys, pageSize;
    const Layout &who;
    const std::vector<Coordinate> &constants;
    const tile::SharedAccess &access;
    Value shared;
    int64_t offset;         // of the tile in `shared`; swizzles do not reach its bits
    Value pages, pageIndex; // null: the block table is read

    void emit() {
      Value lane = b.lane(), thread = lane;
      Value rowOfLane = applyBasis(b, lane, who.laneBasis(), Dimension::Row);
      Value columnOfLane = applyBasis(b, lane, who.laneBasis(), Dimension::Column);
      Value rowOfWarp = b.i32(0);
      if (who.warps() > 1) {
        thread = b.thread();
        rowOfWarp = applyBasis(b, b.warp(kernel.units()), who.warpBasis(), Dimension::Row);
      }
      Value rowOfThread = b.add(rowOfLane, rowOfWarp);
      int64_t laneRows = 1;
      for (const Coordinate &vector : who.laneBasis())
        laneRows += vector.row;
      Value firstKey = b.mul(tileNumber, keys);
      Value tokenBytes = b.mul(cache.tokenStride, elementBytes);
      Value head = b.mul(b.zeroExtend(item.kvHead), cache.headStride);
      // What the lane adds to every address stays in one pointer.
      Value ofLane = b.mul(b.add(head, b.zeroExtend(columnOfLane)), elementBytes);

      // Rows in one group of g tokens lie in one page, one behind the other.
      int64_t g = std::gcd(pageSize, keys), groups = keys / g;
      bool uniform = g % laneRows == 0; // an instruction's rows belong to one group
      if (uniform)
        ofLane = b.add(
            ofLane, b.mul(b.zeroExtend(b.add(rowOfLane, b.remUnsigned(rowOfWarp, g))), tokenBytes));
      Value start = b.offset(cache.pointer, ofLane);
      Value left = b.sub(b.sub(item.keyEnd, firstKey), rowOfThread);
      Value slot = b.offset(shared, applyBasis(b, thread, access.basis));

      // One page after the other, so that the addresses of one are alive at a time.
      for (size_t begin = 0, end; begin < constants.size(); begin = end) {
        auto pageIndexOf = [&](size_t i) {
          return uniform ? constants[i].row / g : constants[i].row;
        };
        for (end = begin + 1; end < constants.size() && pageIndexOf(end) == pageIndexOf(begin);)
          ++end;
        int64_t row = uniform ? pageIndexOf(begin) * g : constants[begin].row;
        Value group = uniform ? b.add(b.divUnsigned(rowOfWarp, g), row / g)
                              : b.divUnsigned(b.add(rowOfThread, row), g);
        Value groupKey = b.add(firstKey, b.mul(group, g));
        Value page = pageOf(group, groupKey, groups);
        // Row of the page: the group's first one, and the lane's row inside of the group, which
        // `start` has where the group is the same in all lanes.
        Value rowInPage = b.remUnsigned(groupKey, pageSize);
        if (!uniform)
          rowInPage = b.add(rowInPage, b.remUnsigned(b.add(rowOfThread, row), g));
        b.ifElse(
            b.compare(Compare::slt, page, 0), {},
            [&]() -> Values {
              Values words(4, b.notANumberWord());
              for (size_t i = begin; i < end; ++i)
                b.storeVector(words, target(slot, i));
              return {};
            },
            [&]() -> Values {
              // In elements, and bytes at the end: the strides then stay launch parameters, which
              // take no registers.
              Value element = b.add(b.mul(b.zeroExtend(page), cache.pageStride),
                                    b.mul(b.zeroExtend(rowInPage), cache.tokenStride));
              Value source = b.offset(start, b.mul(element, elementBytes));
              for (size_t i = begin; i < end; ++i) {
                // Steps of a fixed number of rows: one stride is kept, not one product for each
                // row.
                if (constants[i].row > row)
                  source = b.offset(source, b.mul(tokenBytes, constants[i].row - row));
                row = constants[i].row;
                Value size = b.select(b.compare(Compare::sgt, left, row), b.i32(16), b.i32(0));
                b.copyAsync(target(slot, i), b.offset(source, constants[i].column * elementBytes),
                            size);
              }
              return {};
            });
      }
    }

    /// Page of the `group`-th group of the tile, whose first token is `groupKey`.
    Value pageOf(Value group, Value groupKey, int64_t groups) {
      if (pages)
        return b.shuffleIndex(pages, b.add(b.mul(pageIndex, groups), group));
      return tableEntry(b, kernel, {item.table, item.numPages, pageSize}, groupKey,
                        b.compare(Compare::slt, groupKey, item.keyEnd));
    }

    Value target(Value slot, size_t i) {
      const tile::SharedAccess::Access &a = access.accesses[i];
      // The offset comes last: keys and values in one slot then share the flipped addresses.
      return b.offset(b.flipAddress(slot, a.flip), offset + a.immediate);
    }
  };
};

} // namespace

CopyPlan::CopyPlan(tile::TileType type, const Layout &shared, int64_t warps)
    : who(tile::copyRows(type.getRows(), type.getColumns(), elementBytes, warps)) {
  for (int64_t reg = 0; reg < who.registersPerThread(); reg += 16 / elementBytes)
    constants.push_back(who.registerPart(reg));
  Layout::Basis threads = who.laneBasis();
  threads.insert(threads.end(), who.warpBasis().begin(), who.warpBasis().end());
  access = tile::planSharedAccess(shared, elementBytes, threads, constants);
}

void copyRows(KernelBuilder &b, const KernelContext &kernel, const CopyPlan &plan, Value tile,
              const Item &item, tile::RowKind kind, int64_t firstRow,
              const TensorArgument &tensor) {
  Value thread = plan.who.warps() == 1 ? b.lane() : kernel.threadOfUnit(b);
  ThreadCoordinates place(b, plan.who, kernel.warps());
  Value target = b.offset(tile, applyBasis(b, thread, plan.access->basis));
  TensorArgument columns = tensor; // from the thread's own on
  columns.pointer =
      b.offset(tensor.pointer, b.zeroExtend(b.mul(place.columnOfThread, elementBytes)));
  RowPointers rows(b, kernel, item, kind, b.add(place.rowOfThread, firstRow), columns,
                   elementBytes);
  for (auto [constant, access] : llvm::zip(plan.constants, plan.access->accesses)) {
    RowPointers::Row row = rows.at(constant.row);
    // Of a row that does not exist nothing is read.
    b.copyAsync(b.at(target, access), b.offset(row.pointer, constant.column * elementBytes),
                b.select(row.exists, b.i32(16), b.i32(0)));
  }
}

void populateLoadPatterns(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter,
                          KernelContext &kernel) {
  patterns.add<LoadRowsPattern, CopyRowsPattern, LoadVectorPattern, PageNumbersPattern,
               CopyPattern<tile::CopyKeysOp, true>, CopyPattern<tile::CopyValuesOp, false>>(
      converter, patterns.getContext(), kernel);
}

} // namespace attncc::lowering
