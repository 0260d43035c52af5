//===- TensorCopyPatterns.cpp - boxes of pages by tensor maps ----------------===//
//
// A tile of keys or values comes in boxes of tokens that lie in one page each. Its
// tensor map has rank 5 (PTX ISA 9.7.9.27; docs/package.md, "tensor_maps"):
//
//   dimension   panel columns | token of the page | panel | kv head | page
//   box         all           | box               | all   | 1       | 1
//
// so that a box arrives as tile::sharedSwizzled lays it out; of keys for products of a
// warpgroup, whose panels hold all rows of the tile, a box has one panel. A role that does
// nothing else copies by one lane. The lane that holds the
// page number of a box (tile.page_numbers) copies it, and announces its bytes to the
// slot's mbarrier; no lane asks another one for anything. Boxes past the last key
// are announced without bytes. Page -1, an entry outside of the pool, is out of the
// map's bounds: the copy fills NaN, so that the products make the rows NaN.
//
// zero_rows is taken in the last tile of a sequence only.
//
// Test: test/compiler/conversion/TileToNVVM/tensor-copies.mlir, roles.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include "dialects/attn/Schedules.h"

#include <numeric>

namespace attncc::lowering {
namespace {

using tile::Coordinate;
using tile::Dimension;
using tile::Layout;

constexpr int64_t elementBytes = 2; // of cached keys and values

/// Zeros in the rows from `left` on, by the threads of the plan: `row` is the thread's first one
/// and `number` its number among them.
void zeroRows(KernelBuilder &b, const CopyPlan &plan, Value tile, Value left, Value row,
              Value number) {
  Value leftOfThread = b.sub(left, row);
  Value place = b.offset(tile, applyBasis(b, number, plan.access->basis));
  Values zeros(4, b.i32(0));
  for (size_t i = 0; i < plan.constants.size(); ++i)
    b.ifThen(b.compare(Compare::sle, leftOfThread, plan.constants[i].row), [&] {
      const tile::SharedAccess::Access &a = plan.access->accesses[i];
      b.storeVector(zeros, b.at(place, a));
    });
  b.fenceAsyncProxy();
}

/// The boxes of one tile, copied by a warp.
struct TileCopy {
  KernelBuilder &b;
  const KernelContext &kernel;
  tile::TileType type;
  int64_t pageSize, panels; // boxes side by side in a row
  Value map, target, barrier;
  Item item;
  Value tileNumber, pages, pageIndex, when; // `when` may be null

  int64_t keys() const { return type.getRows(); }
  int64_t box() const { return kernel.schedule.box; }
  int64_t group() const { return std::gcd(pageSize, keys()); }
  int64_t boxBytes() const { return box() * type.getColumns() * elementBytes; }

  /// Each lane copies the boxes of the page whose number it has, and announces their bytes.
  void emitByLanes() {
    int64_t groups = keys() / group();
    // Lane n holds the page of the n-th group, counted over tiles.
    Value lane = b.lane();
    Value mine = b.compare(Compare::eq, b.divUnsigned(lane, groups), pageIndex);
    if (when)
      mine = b.bitAnd(mine, when);
    b.ifThen(mine, [&] {
      Value ofTile = b.remUnsigned(lane, groups);
      Value firstKey = b.add(b.mul(tileNumber, keys()), b.mul(ofTile, group()));
      Value place = b.offset(target, b.mul(ofTile, group() / box() * (boxBytes() / panels)));
      for (int64_t n = 0; n < group() / box(); ++n) {
        Value key = b.add(firstKey, n * box());
        if (box() == keys()) { // its first key is one of the item's
          b.arriveExpecting(barrier, b.i32(boxBytes()));
          copyBox(place, n, key, pages);
          continue;
        }
        Value exists = b.compare(Compare::slt, key, item.keyEnd);
        b.arriveExpecting(barrier, b.select(exists, b.i32(boxBytes()), b.i32(0)));
        b.ifThen(exists, [&] { copyBox(place, n, key, pages); });
      }
    });
  }

  /// One lane copies all, with the addresses in uniform registers.
  void emitByLeader() {
    Value left = keysLeft();
    Values pageOf = pagesOfGroups();
    b.ifThen(b.electLane(), [&] {
      b.arriveExpecting(barrier, bytesOf(left));
      copyBoxes(left, pageOf);
    });
    b.warpBarrier();
  }

  /// As emitByLeader, where rows of the tile may lie past the last key: they become zero before the
  /// slot is handed over. `landed` is an mbarrier of one arrival that says when the boxes are
  /// there.
  void emitZeroed(Value landed, const CopyPlan &plan) {
    Value left = keysLeft();
    b.ifElse(
        b.compare(Compare::sge, left, keys()), {},
        [&]() -> Values {
          emitByLeader();
          return {};
        },
        [&]() -> Values {
          Values pageOf = pagesOfGroups();
          Value handedOver = barrier;
          barrier = landed;
          b.ifThen(b.electLane(), [&] {
            Value state = b.arriveExpectingState(landed, bytesOf(left));
            copyBoxes(left, pageOf);
            b.waitForBarrier(landed, state);
          });
          b.warpBarrier();
          Value row = applyBasis(b, b.lane(), plan.who.laneBasis(), Dimension::Row);
          zeroRows(b, plan, target, left, row, b.lane());
          b.warpBarrier();
          b.ifThen(b.electLane(), [&] { b.arrive(handedOver); });
          return {};
        });
  }

private:
  /// Keys of the item from the tile's first one on; may be negative.
  Value keysLeft() { return b.sub(item.keyEnd, b.mul(tileNumber, keys())); }
  /// Bytes of the boxes that have a key.
  Value bytesOf(Value left) {
    Value some = b.minSigned(b.maxSigned(left, b.i32(0)), b.i32(keys()));
    return b.mul(b.ceilDiv(some, box()), boxBytes());
  }
  Values pagesOfGroups() {
    Values result;
    for (int64_t n = 0; n < keys() / group(); ++n)
      result.push_back(b.shuffleIndex(pages, b.i32(n)));
    return result;
  }
  void copyBoxes(Value left, ValueRange pageOf) {
    Value firstKey = b.mul(tileNumber, keys());
    auto copyAll = [&](bool whole) {
      // The boxes' places follow from one address in each branch: kept they would be many.
      Value place = b.opaque(target);
      for (int64_t n = 0; n < keys() / box(); ++n) {
        Value page = pageOf[n * box() / group()];
        auto copy = [&] { copyBox(place, n, b.add(firstKey, n * box()), page); };
        whole ? copy() : b.ifThen(b.compare(Compare::sgt, left, n * box()), copy);
      }
    };
    b.ifElse(
        b.compare(Compare::sge, left, keys()), {},
        [&]() -> Values {
          copyAll(true);
          return {};
        },
        [&]() -> Values {
          copyAll(false);
          return {};
        });
  }
  /// Box `n` behind `place`, whose first key is `key`.
  void copyBox(Value place, int64_t n, Value key, Value page) {
    int64_t ofPanel = boxBytes() / panels, nextPanel = ofPanel * (keys() / box());
    Value policy = kernel.schedule.cache == attn::Cache::EvictFirst ? b.evictFirst() : Value();
    Value token = b.remUnsigned(key, pageSize);
    for (int64_t panel = 0; panel < panels; ++panel)
      b.copyBox(b.offset(place, n * ofPanel + panel * nextPanel), map,
                {b.i32(0), token, b.i32(panel), item.kvHead, page}, barrier, policy);
  }
};

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
    if (!hasBarriers(acquire.getRing()))
      return op.emitOpError() << "expected a ring with a place of its mbarriers: run "
                                 "--tile-pack-shared-memory first";
    auto ring = llvm::cast<tile::RingType>(acquire.getRing().getType());
    mlir::FailureOr<tile::RingStorage> storage = storageOf(op, ring);
    if (mlir::failed(storage))
      return mlir::failure();

    KernelBuilder b(rewriter, op.getLoc());
    if (kernel.schedule.specialised()) // a loading role has few registers to keep things in
      b.rereadThread();
    tile::TileType type = ring.getTiles()[op.getIndex()];
    const Layout layout = type.getLayout().toLayout();
    const bool byPanel = isKeys && attn::keysByPanel(kernel.schedule);
    TensorMapArgument maps = TensorMapArgument::unpack(adaptor.getCache());
    Landing slot = Landing::unpack(adaptor.getSlot());
    TileCopy copy{b,
                  kernel,
                  type,
                  llvm::cast<attn::PagedKvType>(op.getCache().getType()).getPageSize(),
                  byPanel ? type.getColumns() / layout.atomExtent(Dimension::Column) : 1,
                  isKeys ? maps.keys : maps.values,
                  b.offset(slot.memory, storage->tileOffsets[op.getIndex()]),
                  slot.barrier,
                  Item::unpack(adaptor.getItem()),
                  adaptor.getTile().front(),
                  adaptor.getPages().front(),
                  adaptor.getPageIndex().front(),
                  op.getWhen() ? adaptor.getWhen().front() : Value()};
    if (!kernel.schedule.specialised()) {
      copy.emitByLanes();
    } else if (!op.getZeroed()) {
      copy.emitByLeader();
    } else {
      CopyPlan plan(type, layout, /*warps=*/1);
      if (!plan.access)
        return op.emitOpError() << "no 16-byte rows in the layout of " << type;
      copy.emitZeroed(b.offset(slot.barrier, 16 * ring.getDepth()), plan);
    }
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
    CopyPlan plan(type, *layout, /*warps=*/1);
    if (!plan.access)
      return op.emitOpError() << "no 16-byte rows in the layout of " << type;

    KernelBuilder b(rewriter, op.getLoc());
    Item item = Item::unpack(adaptor.getItem());
    Value memory = adaptor.getValue().front();
    Value left = b.sub(item.keyEnd, b.mul(adaptor.getTile().front(), keys));
    b.ifThen(b.compare(Compare::slt, left, keys), [&] {
      Value row = applyBasis(b, b.lane(), plan.who.laneBasis(), Dimension::Row);
      zeroRows(b, plan, memory, left, row, b.lane());
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
