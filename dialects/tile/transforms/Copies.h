//===- Copies.h - Copies of keys and values, made again -----------------------===//
//
// Internal: what the passes that move copies share, Prefetch.cpp and AssignRoles.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/tile/Tile.h"

#include "mlir/IR/Builders.h"

namespace attncc::tile {

/// `copy` is a CopyKeysOp or a CopyValuesOp, here and below.
mlir::TypedValue<attn::PagedKvType> cacheOf(mlir::Operation *copy);

/// The block-table entries that the copy needs for tile `index` of the range, and those behind
/// them: 32, a lane for each.
mlir::Value createPageNumbers(mlir::OpBuilder &builder, mlir::Location loc, mlir::Operation *copy,
                              mlir::Value range, mlir::Value index);

/// The operands in which a copy differs from the one that it is made from.
struct CopyOperands {
  mlir::Value tile, pages, pageIndex, slot;
  mlir::Value when; ///< null: always
  mlir::Value item; ///< null: the same
};
void createCopyLike(mlir::OpBuilder &builder, mlir::Operation *copy, const CopyOperands &operands);

} // namespace attncc::tile
