//===- RingPatterns.cpp - rings of gathered copies, one role ---------------===//
//
// A ring whose copies are cp.async and whose reader is the unit that fills it
// (dialects/tile, "Ring rules"; PTX ISA 9.7.9.25.3):
//
//   acquire   nothing: the release of the slot stands before it in the program
//   commit    cp.async.commit_group, also for an empty group
//   wait      cp.async.wait_group ahead, then the unit's barrier: the wait makes
//             a thread's own copies visible to itself only
//   release   the unit's barrier: every lane has finished reading
//
// Rings of units lie one behind the other; positions are stages.
//
// Test: test/compiler/conversion/TileToNVVM/rings.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include "dialects/tile/layout/Storage.h"

namespace attncc::lowering {
namespace {

mlir::FailureOr<tile::RingStorage> storageOf(mlir::Operation *op, tile::RingType ring) {
  std::vector<tile::StoredTile> tiles;
  for (tile::TileType type : ring.getTiles()) {
    mlir::FailureOr<tile::Layout> layout = layoutOf(op, type);
    if (mlir::failed(layout))
      return mlir::failure();
    tiles.push_back({*layout, type.getElementType().getIntOrFloatBitWidth() / 8});
  }
  return tile::ringStorage(tiles);
}

mlir::LogicalResult checkSupported(mlir::Operation *op, tile::RingType ring,
                                   const KernelContext &kernel) {
  if (ring.getSharedBy() == tile::RingScope::Unit && kernel.schedule.unit == 1)
    return mlir::success();
  return op->emitOpError() << "expected a ring of one-warp units, shared_by = unit, got " << ring;
}

struct RingPattern : TilePattern<tile::RingOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::RingOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    tile::RingType type = op.getType();
    if (!op.getOffset())
      return op.emitOpError() << "expected an offset: run --tile-pack-shared-memory first";
    mlir::FailureOr<tile::RingStorage> storage = storageOf(op, type);
    if (mlir::failed(checkSupported(op, type, kernel)) || mlir::failed(storage))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    Value base = b.sharedMemory(*op.getOffset());
    Value unit = b.warp(kernel.units());
    rewriter.replaceOp(op, b.offset(base, b.mul(unit, type.getDepth() * storage->slotBytes)));
    return mlir::success();
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
    Value next = b.add(adaptor.getPosition().front(), 1);
    rewriter.replaceOp(op, b.select(b.compare(Compare::eq, next, depth), b.i32(0), next));
    return mlir::success();
  }
};

/// Address of the slot at a position.
mlir::FailureOr<Value> slotAddress(KernelBuilder &b, mlir::Operation *op, tile::RingType ring,
                                   Value base, Value position,
                                   tile::RingStorage *storage = nullptr) {
  mlir::FailureOr<tile::RingStorage> found = storageOf(op, ring);
  if (mlir::failed(found))
    return mlir::failure();
  if (storage)
    *storage = *found;
  return b.offset(base, b.mul(position, found->slotBytes));
}

struct AcquirePattern : TilePattern<tile::AcquireOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::AcquireOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    mlir::FailureOr<Value> address =
        slotAddress(b, op, llvm::cast<tile::RingType>(op.getRing().getType()),
                    adaptor.getRing().front(), adaptor.getPosition().front());
    if (mlir::failed(address))
      return mlir::failure();
    rewriter.replaceOp(op, *address);
    return mlir::success();
  }
};

struct CommitPattern : TilePattern<tile::CommitOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::CommitOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder(rewriter, op.getLoc()).commitCopies();
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
        slotAddress(b, op, llvm::cast<tile::RingType>(op.getRing().getType()),
                    adaptor.getRing().front(), adaptor.getPosition().front(), &storage);
    if (mlir::failed(slot))
      return mlir::failure();
    b.waitForCopies(op.getAhead());
    b.warpBarrier();
    Values tiles;
    for (int64_t offset : storage.tileOffsets)
      tiles.push_back(b.offset(*slot, offset));
    rewriter.replaceOp(op, tiles);
    return mlir::success();
  }
};

struct ReleasePattern : TilePattern<tile::ReleaseOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::ReleaseOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder(rewriter, op.getLoc()).warpBarrier();
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
