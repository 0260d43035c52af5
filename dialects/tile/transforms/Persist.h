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

/// Waits for the item at a position of the ring of items, and takes it.
TakeItemOp takeItem(mlir::OpBuilder &builder, WorkLoopOp loop, RingOp items, mlir::Value at);

/// An item's slot is released behind the loop over the keys of the next item, and not at its own
/// end. So that the first item has such a slot before it, all roles pass an empty one at the begin.
bool releasesLate(RingOp items);

/// Expands the work loop of the role that computes for `overlap = items`.
mlir::LogicalResult overlapItems(WorkLoopOp loop, RingOp items);

} // namespace attncc::tile
