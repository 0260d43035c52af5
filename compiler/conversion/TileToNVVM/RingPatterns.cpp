//===- RingPatterns.cpp - rings of copies -----------------------------------===//
//
// First a ring whose readers are the units that fill it (dialects/tile, "Ring rules").
// Gathered copies are cp.async (PTX ISA 9.7.9.25.3), tensor copies announce their
// bytes to the slot's mbarrier themselves (TensorCopyPatterns.cpp, 9.7.13.15):
//
//             gather                                 tensor
//   acquire   nothing: the release of the slot       the same
//             stands before it in the program
//   commit    cp.async.commit_group, also for an     nothing
//             empty group
//   wait      cp.async.wait_group ahead, then the    every lane waits for the phase
//             unit's barrier: the wait makes a       of the slot's mbarrier
//             thread's own copies visible to itself
//             only
//   release   the unit's barrier: every lane has     the same
//             finished reading
//
// A ring that the units of a block share is filled by all of them, with gathered
// copies: its wait has the block's barrier, which is also what lets the slot
// before be filled again, so that its release is nothing. With one slot that would
// come too late, and acquire has a barrier of its own.
//
// A ring that a loading role fills for others has two mbarriers a slot for that, and
// with tensor copies a third for zeros (TensorCopyPatterns.cpp). Acquire waits until
// the slot is empty, wait until it is full; release is an arrival of one thread of the
// unit, or of the warp that loads, at the first of them. All of the unit's warps must
// have passed their wait by then: they have where they awaited a product, took a turn
// or met for another slot behind it, else they meet. The lane that has written an item
// hands it over by an arrival at its commit.
//
// Rings of units lie one behind the other, and so do their mbarriers. A position
// is a stage, and for mbarriers the parity of the phase that its copies complete.
//
// Test: test/compiler/conversion/TileToNVVM/rings.mlir, tensor-copies.mlir, roles.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

namespace attncc::lowering {
namespace {

bool isShared(tile::RingType ring) { return ring.getSharedBy() != tile::RingScope::Unit; }
/// Filled by one lane's stores, not by copies.
bool isOfItems(tile::RingType ring) { return ring.getSharedBy() == tile::RingScope::Roles; }

/// Who fills a ring that units share: all of them by gathering, or a loading role.
mlir::LogicalResult checkSupported(tile::RingOp op, const KernelContext &kernel) {
  bool ofRole = isShared(op.getType()) && op.getBarriers();
  bool ofUnits = isShared(op.getType()) && !op.getBarriers();
  if (ofRole == (isShared(op.getType()) && kernel.schedule.specialised()) &&
      !(ofUnits && kernel.schedule.unit != 1))
    return mlir::success();
  return op.emitOpError() << "expected a ring that a role fills, or one that one-warp units "
                             "gather, got "
                          << op.getType() << " of units of " << kernel.schedule.unit
                          << ", roles = " << attn::stringifyRoles(kernel.schedule.roles);
}

mlir::Block *entryBlock(mlir::Operation *op) {
  mlir::Region *region = op->getParentRegion();
  while (!llvm::isa<mlir::FunctionOpInterface>(region->getParentOp()))
    region = region->getParentRegion();
  return &region->front();
}

struct RingPattern : TilePattern<tile::RingOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::RingOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    tile::RingType type = op.getType();
    if (!op.getOffset())
      return op.emitOpError() << "expected an offset: run --tile-pack-shared-memory first";
    mlir::FailureOr<tile::RingStorage> storage = storageOf(op, type);
    if (mlir::failed(checkSupported(op, kernel)) || mlir::failed(storage))
      return mlir::failure();
    if (kernel.ownUnit)
      rewriter.setInsertionPointAfterValue(kernel.ownUnit);
    else if (kernel.tensorCopies()) // mbarriers are made before the wait for the launch in front
      rewriter.setInsertionPointToStart(entryBlock(op));
    KernelBuilder b(rewriter, op.getLoc());
    Value base = b.sharedMemory(*op.getOffset());
    if (!isShared(type))
      base = b.offset(base, b.mul(kernel.unit(b), type.getDepth() * storage->slotBytes));
    if (!kernel.tensorCopies()) {
      rewriter.replaceOp(op, base);
      return mlir::success();
    }
    Value barriers = op.getBarriers() ? makeBarriers(b, op) : base;
    rewriter.replaceOpWithMultiple(op,
                                   llvm::SmallVector<Values>{Landing{{}, base, barriers}.pack()});
    return mlir::success();
  }

private:
  /// Initialises the ring's mbarriers; the first of them.
  Value makeBarriers(KernelBuilder &b, tile::RingOp op) const {
    tile::RingType type = op.getType();
    int64_t depth = type.getDepth();
    Value barriers = b.sharedMemory(*op.getBarriers());
    if (isShared(type)) { // the roles meet before they use it
      b.ifThen(b.compare(Compare::eq, b.thread(), 0), [&] {
        b.initBarriers(barriers, depth, /*arrivals=*/1);
        int64_t readers = kernel.units();
        if (isOfItems(type)) // but for the role that fills it
          readers += kernel.loadRoles - 1;
        b.initBarriers(b.offset(barriers, 8 * depth), depth, readers);
        if (!isOfItems(type))
          b.initBarriers(b.offset(barriers, 16 * depth), depth, 1);
      });
      return barriers;
    }
    // Each box of a slot is announced by the lane that copies it.
    int64_t boxes = 0;
    for (tile::TileType tile : type.getTiles())
      boxes += tile.getRows() / kernel.schedule.box;
    barriers = b.offset(barriers, b.mul(kernel.unit(b), 8 * depth));
    b.ifThen(b.compare(Compare::eq, b.lane(), 0), [&] { b.initBarriers(barriers, depth, boxes); });
    b.warpBarrier();
    return barriers;
  }
};

struct PositionPattern : TilePattern<tile::PositionOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::PositionOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOp(op, KernelBuilder(rewriter, op.getLoc()).i32(0));
    return mlir::success();
  }
};

struct AdvancePattern : TilePattern<tile::AdvanceOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::AdvanceOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    int64_t depth = llvm::cast<tile::RingType>(op.getRing().getType()).getDepth();
    Value position = adaptor.getPosition().front(), next = b.add(position, 1);
    if (!kernel.tensorCopies()) {
      rewriter.replaceOp(op, b.select(b.compare(Compare::eq, next, depth), b.i32(0), next));
      return mlir::success();
    }
    // Around the ring the stage is 0 again and the parity the other one.
    Value wraps = b.compare(Compare::eq, Turn::stage(b, next), depth);
    Value around = b.bitXor(next, int64_t(1) << Turn::parityBit | depth);
    rewriter.replaceOp(op, b.select(wraps, around, next));
    return mlir::success();
  }
};

/// The mbarrier that says when the slot at a position is full.
Value slotBarrier(KernelBuilder &b, ValueRange ring, ValueRange position) {
  return b.offset(Landing::unpack(ring).barrier, b.mul(Turn::stage(b, position), 8));
}

/// That says when the slot is empty, of a ring that a role fills.
Value emptyBarrier(KernelBuilder &b, tile::RingType type, ValueRange ring, ValueRange position) {
  return b.offset(slotBarrier(b, ring, position), 8 * type.getDepth());
}

struct AcquirePattern : TilePattern<tile::AcquireOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::AcquireOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    auto ring = llvm::cast<tile::RingType>(op.getRing().getType());
    if (isShared(ring) && hasBarriers(op.getRing())) // the first time around it is empty
      b.waitForBarrier(emptyBarrier(b, ring, adaptor.getRing(), adaptor.getPosition()),
                       b.bitXor(Turn::parity(b, adaptor.getPosition()), 1));
    else if (isShared(ring) && ring.getDepth() == 1)
      b.blockBarrier();
    mlir::FailureOr<Value> address =
        slotAddress(b, kernel, op, ring, adaptor.getRing(), adaptor.getPosition());
    if (mlir::failed(address))
      return mlir::failure();
    Values slot = {*address};
    if (kernel.tensorCopies())
      slot.push_back(slotBarrier(b, adaptor.getRing(), adaptor.getPosition()));
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{slot});
    return mlir::success();
  }
};

struct CommitPattern : TilePattern<tile::CommitOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::CommitOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    if (!hasBarriers(op.getRing())) {
      b.commitCopies();
    } else if (isOfItems(llvm::cast<tile::RingType>(op.getRing().getType()))) {
      b.arriveIf(slotBarrier(b, adaptor.getRing(), adaptor.getPosition()),
                 b.compare(Compare::eq, b.lane(), 0));
    }
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct WaitPattern : TilePattern<tile::WaitOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::WaitOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    tile::RingStorage storage;
    mlir::FailureOr<Value> slot =
        slotAddress(b, kernel, op, llvm::cast<tile::RingType>(op.getRing().getType()),
                    adaptor.getRing(), adaptor.getPosition(), &storage);
    if (mlir::failed(slot))
      return mlir::failure();
    if (hasBarriers(op.getRing())) {
      b.waitForBarrier(slotBarrier(b, adaptor.getRing(), adaptor.getPosition()),
                       Turn::parity(b, adaptor.getPosition()));
    } else {
      b.waitForCopies(op.getAhead());
      if (kernel.isWgmma())
        b.fenceAsyncProxy();
      if (isShared(llvm::cast<tile::RingType>(op.getRing().getType())))
        b.blockBarrier();
      else
        kernel.unitBarrier(b);
    }
    Values tiles;
    for (int64_t offset : storage.tileOffsets)
      tiles.push_back(b.offset(*slot, offset));
    rewriter.replaceOp(op, tiles);
    return mlir::success();
  }
};

struct ReleasePattern : TilePattern<tile::ReleaseOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::ReleaseOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    auto ring = llvm::cast<tile::RingType>(op.getRing().getType());
    if (!isShared(ring)) {
      kernel.unitBarrier(b);
    } else if (hasBarriers(op.getRing())) {
      bool loads = kernel.ofLoadRole.contains(op);
      // A warp that has not passed its wait when the slot is filled again would wait for ever.
      if (loads)
        b.warpBarrier();
      else if (!kernel.hasMet.contains(op))
        kernel.unitBarrier(b);
      b.arriveIf(emptyBarrier(b, ring, adaptor.getRing(), adaptor.getPosition()),
                 b.compare(Compare::eq, loads ? b.lane() : kernel.threadOfUnit(b), 0));
    }
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

} // namespace

void populateRingPatterns(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter,
                          KernelContext &kernel) {
  patterns.add<RingPattern, PositionPattern, AdvancePattern, AcquirePattern, CommitPattern,
               WaitPattern, ReleasePattern>(converter, patterns.getContext(), kernel);
}

} // namespace attncc::lowering
