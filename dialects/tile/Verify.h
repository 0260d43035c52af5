//===- Verify.h - checks that several tile ops share ---------------*- C++ -*-===//
//
// Internal to dialects/tile. Each check emits an error on the op that names the
// operand, the expected and the actual value.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/tile/Tile.h"

namespace attncc::tile {

inline mlir::LogicalResult verifyShape(mlir::Operation *op, llvm::StringRef what, TileType tile,
                                       int64_t rows, int64_t columns) {
  if (tile.getRows() == rows && tile.getColumns() == columns)
    return mlir::success();
  return op->emitOpError() << what << " must be " << rows << "x" << columns << ", got "
                           << tile.getRows() << "x" << tile.getColumns();
}

inline mlir::LogicalResult verifyElement(mlir::Operation *op, llvm::StringRef what, TileType tile,
                                         mlir::Type element) {
  if (tile.getElementType() == element)
    return mlir::success();
  return op->emitOpError() << what << " must be of " << element << ", got "
                           << tile.getElementType();
}

inline mlir::LogicalResult verifyFloat(mlir::Operation *op, llvm::StringRef what, TileType tile) {
  if (llvm::isa<mlir::FloatType>(tile.getElementType()))
    return mlir::success();
  return op->emitOpError() << what << " must be of a float type, got " << tile.getElementType();
}

inline mlir::LogicalResult verifyRegisters(mlir::Operation *op, llvm::StringRef what,
                                           TileType tile) {
  if (!tile.isShared())
    return mlir::success();
  return op->emitOpError() << what << " must be in registers, got " << tile;
}

/// Of the given shape, f32, in registers.
inline mlir::LogicalResult verifyF32(mlir::Operation *op, llvm::StringRef what, TileType tile,
                                     int64_t rows, int64_t columns) {
  mlir::Type f32 = mlir::Float32Type::get(op->getContext());
  return mlir::success(mlir::succeeded(verifyShape(op, what, tile, rows, columns)) &&
                       mlir::succeeded(verifyElement(op, what, tile, f32)) &&
                       mlir::succeeded(verifyRegisters(op, what, tile)));
}

/// Keys per tile of the range that a tile number comes from, where that can be seen.
inline std::optional<int64_t> keysOf(mlir::Value tileNumber) {
  auto keyTile = tileNumber.getDefiningOp<KeyTileOp>();
  auto range = keyTile ? keyTile.getRange().getDefiningOp<KeyRangeOp>() : KeyRangeOp();
  return range ? std::optional<int64_t>(range.getKeys()) : std::nullopt;
}

/// The keys of a range's tiles.
inline mlir::LogicalResult verifyTileKeys(mlir::Operation *op, int64_t keys) {
  if (keys >= 16 && keys % 16 == 0)
    return mlir::success();
  return op->emitOpError() << "keys must be a positive multiple of 16, got " << keys;
}

inline mlir::LogicalResult verifyKeys(mlir::Operation *op, llvm::StringRef what, int64_t size,
                                      mlir::Value tileNumber) {
  std::optional<int64_t> keys = keysOf(tileNumber);
  if (!keys || *keys == size)
    return mlir::success();
  return op->emitOpError() << what << " must be the range's " << *keys << " keys, got " << size;
}

/// The item is of one of these kinds, where it can be seen.
inline mlir::LogicalResult verifyItem(mlir::Operation *op, mlir::Value item,
                                      llvm::ArrayRef<ItemKind> expected) {
  ItemsAttr items;
  if (auto grid = item.getDefiningOp<GridItemOp>())
    items = grid.getItems();
  else if (auto draw = item.getDefiningOp<DrawItemOp>())
    items = draw.getItems();
  else if (auto take = item.getDefiningOp<TakeItemOp>())
    items = take.getItems();
  else if (auto argument = llvm::dyn_cast<mlir::BlockArgument>(item))
    if (auto loop = llvm::dyn_cast<WorkLoopOp>(argument.getOwner()->getParentOp()))
      items = loop.getItems();
  if (!items || llvm::is_contained(expected, items.getKind()))
    return mlir::success();
  auto error = op->emitOpError() << "needs items of ";
  llvm::interleave(
      expected, [&](ItemKind kind) { error << stringifyItemKind(kind); }, [&] { error << " or "; });
  return error << ", got " << stringifyItemKind(items.getKind());
}

/// A place in shared memory, where there is one.
inline mlir::LogicalResult verifyOffset(mlir::Operation *op, std::optional<uint32_t> given) {
  auto offset = static_cast<int32_t>(given.value_or(0));
  if (offset >= 0 && offset % 128 == 0)
    return mlir::success();
  return op->emitOpError() << "offset must be a multiple of 128, got " << offset;
}

} // namespace attncc::tile
