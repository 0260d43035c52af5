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

} // namespace attncc::tile
