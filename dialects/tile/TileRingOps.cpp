//===- TileRingOps.cpp - rings and asynchronous copies ------------------------===//
//
// Constraints of rings and of the copies into their slots. Tests:
// test/dialects/tile/rings.mlir, test/dialects/tile/rings-errors.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/Verify.h"

using namespace mlir;

namespace attncc::tile {

LogicalResult RingOp::verify() {
  if (std::optional<uint32_t> barriers = getBarriers())
    if (static_cast<int32_t>(*barriers) < 0 || *barriers % 8 != 0) // (C2)
      return emitOpError() << "barriers must be a multiple of 8, got "
                           << static_cast<int32_t>(*barriers);
  return verifyOffset(*this, getOffset()); // (C1)
}

LogicalResult WaitOp::inferReturnTypes(MLIRContext *, std::optional<mlir::Location>,
                                       ValueRange operands, DictionaryAttr, OpaqueProperties,
                                       RegionRange, SmallVectorImpl<Type> &results) {
  auto ring = llvm::dyn_cast<RingType>(operands.front().getType());
  if (!ring)
    return failure();
  llvm::append_range(results, ring.getTiles());
  return success();
}

LogicalResult WaitOp::verify() {
  if (!llvm::equal(getResultTypes(), getRing().getType().getTiles())) // (C1)
    return emitOpError() << "results must be the ring's tiles";
  int64_t depth = getRing().getType().getDepth(), ahead = getAhead();
  if (ahead < 0 || ahead >= depth) // (C2)
    return emitOpError() << "ahead must be 0 to " << depth - 1 << ", got " << ahead;
  return success();
}

/// The tile of the slot that a copy fills, where the slot's acquire can be seen.
static LogicalResult verifyCopy(Operation *op, Value pages, Value slot, int64_t index,
                                int64_t columns, Type element, Value tileNumber,
                                std::optional<int64_t> box, int64_t pageSize) {
  if (pages) { // (C1)
    auto type = llvm::cast<TileType>(pages.getType());
    if (failed(verifyShape(op, "page numbers", type, 1, 32)) ||
        failed(verifyElement(op, "page numbers", type, IntegerType::get(op->getContext(), 32))))
      return failure();
  }
  if (box && (*box < 1 || *box % 8 != 0 || pageSize % *box != 0)) // (C3)
    return op->emitOpError() << "box must be a multiple of 8 that divides the page size "
                             << pageSize << ", got " << *box;
  auto acquire = slot.getDefiningOp<AcquireOp>();
  if (!acquire)
    return success();
  ArrayRef<TileType> tiles = acquire.getRing().getType().getTiles();
  if (index < 0 || index >= static_cast<int64_t>(tiles.size()))
    return op->emitOpError() << "fills tile " << index << " of a slot of " << tiles.size();
  TileType tile = tiles[index]; // (C2)
  if (failed(verifyShape(op, "slot's tile", tile, tile.getRows(), columns)))
    return failure();
  if (failed(verifyElement(op, "slot's tile", tile, element)))
    return failure();
  if (box && tile.getRows() % *box != 0) // (C3)
    return op->emitOpError() << "box must divide the " << tile.getRows()
                             << " rows of the slot's tile, got " << *box;
  return verifyKeys(op, "slot's rows", tile.getRows(), tileNumber);
}

LogicalResult CopyKeysOp::verify() {
  attn::PagedKvType cache = getCache().getType();
  return verifyCopy(*this, getPages(), getSlot(), getIndex(), cache.getKeyDim(), cache.getKeyType(),
                    getTile(), getBox(), cache.getPageSize());
}

LogicalResult CopyValuesOp::verify() {
  attn::PagedKvType cache = getCache().getType();
  return verifyCopy(*this, getPages(), getSlot(), getIndex(), cache.getValueDim(),
                    cache.getValueType(), getTile(), getBox(), cache.getPageSize());
}

LogicalResult CopyRowsOp::verify() {
  auto acquire = getSlot().getDefiningOp<AcquireOp>();
  if (!acquire)
    return success();
  ArrayRef<TileType> tiles = acquire.getRing().getType().getTiles();
  auto source = llvm::cast<RankedTensorType>(getSource().getType());
  if (tiles.size() != 1 || source.getRank() != 3) // (C1)
    return emitOpError() << "needs a tensor of rank 3 and a slot of one tile, got " << source
                         << " and " << tiles.size() << " tiles";
  if (failed(verifyShape(*this, "slot's tile", tiles[0], tiles[0].getRows(), source.getDimSize(2))))
    return failure();
  return verifyElement(*this, "slot's tile", tiles[0], source.getElementType());
}

/// One word of each lane of a warp.
static LogicalResult verifyRecord(Operation *op, const char *what, TileType tile) {
  if (!tile.isShared())
    return op->emitOpError() << what << " must be in shared memory, got " << tile;
  if (failed(verifyShape(op, what, tile, 1, itemRecordWords)))
    return failure();
  return verifyElement(op, what, tile, IntegerType::get(op->getContext(), 32));
}

LogicalResult PutItemOp::verify() {
  auto acquire = getSlot().getDefiningOp<AcquireOp>();
  if (!acquire)
    return success();
  ArrayRef<TileType> tiles = acquire.getRing().getType().getTiles();
  if (tiles.size() != 1) // (C1)
    return emitOpError() << "needs a slot of one tile, got " << tiles.size() << " tiles";
  return verifyRecord(*this, "slot's tile", tiles[0]);
}

LogicalResult TakeItemOp::verify() {
  return verifyRecord(*this, "record", getRecord().getType()); // (C1)
}

LogicalResult ZeroRowsOp::verify() {
  TileType tile = getValue().getType();
  if (!tile.isShared()) // (C1)
    return emitOpError() << "needs a shared tile, got " << tile;
  return verifyKeys(*this, "rows", tile.getRows(), getTile()); // (C2)
}

} // namespace attncc::tile
