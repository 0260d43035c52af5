//===- Persist.h - Blocks that stay for many items ---------------------------===//
//
// Internal to --tile-persist: what Persist.cpp and OverlapItems.cpp share.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/tile/Tile.h"

#include "mlir/IR/Builders.h"

namespace attncc::tile {

/// Where the body of a work loop leaves the ring that it meets at `start`: it advances, or a loop
/// does.
mlir::Value positionBehind(mlir::OpBuilder &builder, PositionOp start);

/// Expands the work loop of the role that computes for `overlap = items`.
mlir::LogicalResult overlapItems(WorkLoopOp loop);

} // namespace attncc::tile
