//===- TensorCopyPatterns.cpp - boxes of pages by tensor maps ----------------===//
//
// A tile of keys or values comes in boxes of tokens that lie in one page each. Its
// tensor map has rank 5 (PTX ISA 9.7.9.27; docs/package.md, "tensor_maps"):
//
//   dimension   panel columns | token of the page | panel | kv head | page
//   box         all           | box               | all   | 1       | 1
//
// so that a box arrives as tile::sharedSwizzled lays it out. The lane that holds the
// page number of a box (tile.page_numbers) copies it, and announces its bytes to the
// slot's mbarrier; no lane asks another one for anything. Boxes past the last key
// are announced without bytes. Page -1, an entry outside of the pool, is out of the
// map's bounds: the copy fills NaN, so that the products make the rows NaN.
//
// zero_rows is taken in the last tile of a sequence only.
//
// Test: test/compiler/conversion/TileToNVVM/tensor-copies.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include <numeric>

namespace attncc::lowering {
namespace {

using tile::Coordinate;
using tile::Dimension;
using tile::Layout;

constexpr int64_t elementBytes = 2; // of cached keys and values

/// copy_keys and copy_values with a box.
template <class Op, bool isKeys> struct BoxPattern : TilePattern<Op> {
  using TilePattern<Op>::TilePattern;
  using Adaptor = typename TilePattern<Op>::Adaptor;

  mlir::LogicalResult matchAndRewrite(Op op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    const KernelContext &kernel = this->kernel;
    if (!op.getBox()) // LoadPatterns.cpp
      return mlir::failure();
    auto acquire = op.getSlot().template getDefiningOp<tile::AcquireOp>();
    if (!acquire || !op.getPages())
      return op.emitOpError() << "expected a slot made by tile.acquire, and page numbers: run "
                                 "--tile-prefetch first";
    if (!kernel.tensorCopies() || *op.getBox() != uint64_t(kernel.schedule.box))
      return op.emitOpError() << "has a box of " << *op.getBox() << ", the schedule copies "
                              << attn::stringifyEnum(kernel.schedule.copy) << " with box "
                              << kernel.schedule.box;
    auto ring = llvm::cast<tile::RingType>(acquire.getRing().getType());
    mlir::FailureOr<tile::RingStorage> storage = storageOf(op, ring);
    if (mlir::failed(storage))
      return mlir::failure();

    KernelBuilder b(rewriter, op.getLoc());
    tile::TileType type = ring.getTiles()[op.getIndex()];
    int64_t keys = type.getRows(), box = *op.getBox();
    int64_t pageSize = llvm::cast<attn::PagedKvType>(op.getCache().getType()).getPageSize();
    int64_t group = std::gcd(pageSize, keys), groups = keys / group;
    Item item = Item::unpack(adaptor.getItem());
    TensorMapArgument maps = TensorMapArgument::unpack(adaptor.getCache());
    Landing slot = Landing::unpack(adaptor.getSlot());
    Value page = adaptor.getPages().front(), place = adaptor.getPageIndex().front();

    // Lane n holds the page of the n-th group, counted over tiles.
    Value lane = b.lane();
    Value mine = b.compare(Compare::eq, b.divUnsigned(lane, groups), place);
    if (op.getWhen())
      mine = b.bitAnd(mine, adaptor.getWhen().front());
    b.ifThen(mine, [&] {
      Value ofTile = b.remUnsigned(lane, groups);
      Value firstKey = b.add(b.mul(adaptor.getTile().front(), keys), b.mul(ofTile, group));
      Value token = b.remUnsigned(firstKey, pageSize);
      int64_t bytes = box * type.getColumns() * elementBytes;
      Value target = b.offset(slot.memory, storage->tileOffsets[op.getIndex()]);
      target = b.offset(target, b.mul(ofTile, group / box * bytes));
      Value policy = kernel.schedule.cache == attn::Cache::EvictFirst ? b.evictFirst() : Value();
      for (int64_t n = 0; n < group / box; ++n) {
        auto copy = [&] {
          Value zero = b.i32(0);
          b.copyBox(b.offset(target, n * bytes), isKeys ? maps.keys : maps.values,
                    {zero, b.add(token, n * box), zero, item.kvHead, page}, slot.barrier, policy);
        };
        if (box == keys) { // its first key is one of the item's
          b.arriveExpecting(slot.barrier, b.i32(bytes));
          copy();
          continue;
        }
        Value exists = b.compare(Compare::slt, b.add(firstKey, n * box), item.keyEnd);
        b.arriveExpecting(slot.barrier, b.select(exists, b.i32(bytes), b.i32(0)));
        b.ifThen(exists, copy);
      }
    });
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct ZeroRowsPattern : TilePattern<tile::ZeroRowsOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::ZeroRowsOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    tile::TileType type = op.getValue().getType();
    mlir::FailureOr<Layout> layout = layoutOf(op, type);
    if (mlir::failed(layout))
      return mlir::failure();
    int64_t keys = type.getRows();
    Layout who = tile::copyRows(keys, type.getColumns(), elementBytes);
    std::vector<Coordinate> constants;
    for (int64_t reg = 0; reg < who.registersPerThread(); reg += 16 / elementBytes)
      constants.push_back(who.registerPart(reg));
    std::optional<tile::SharedAccess> access =
        tile::planSharedAccess(*layout, elementBytes, who.laneBasis(), constants);
    if (!access)
      return op.emitOpError() << "no 16-byte rows in the layout of " << type;

    KernelBuilder b(rewriter, op.getLoc());
    Item item = Item::unpack(adaptor.getItem());
    Value memory = adaptor.getValue().front();
    Value left = b.sub(item.keyEnd, b.mul(adaptor.getTile().front(), keys));
    b.ifThen(b.compare(Compare::slt, left, keys), [&] {
      Value lane = b.lane();
      Value leftOfLane = b.sub(left, applyBasis(b, lane, who.laneBasis(), Dimension::Row));
      Value place = b.offset(memory, applyBasis(b, lane, access->basis));
      Values zeros(4, b.i32(0));
      for (size_t i = 0; i < constants.size(); ++i)
        b.ifThen(b.compare(Compare::sle, leftOfLane, constants[i].row), [&] {
          const tile::SharedAccess::Access &a = access->accesses[i];
          b.storeVector(zeros, b.offset(b.flipAddress(place, a.flip), a.immediate));
        });
      b.fenceTensorCopies();
      b.warpBarrier();
    });
    rewriter.replaceOp(op, memory);
    return mlir::success();
  }
};

} // namespace

void populateTensorCopyPatterns(mlir::RewritePatternSet &patterns,
                                const mlir::TypeConverter &converter, KernelContext &kernel) {
  patterns.add<BoxPattern<tile::CopyKeysOp, true>, BoxPattern<tile::CopyValuesOp, false>,
               ZeroRowsPattern>(converter, patterns.getContext(), kernel);
}

} // namespace attncc::lowering
