//===- TileMemoryOps.cpp - loads and stores -----------------------------------===//
//
// Constraints of the ops by which values enter and leave a tile program. Tests:
// test/dialects/tile/program.mlir, test/dialects/tile/memory-errors.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/Verify.h"

#include <numeric>

using namespace mlir;

namespace attncc::tile {

/// A tensor [tokens, heads, dim], and a tile of `dim` columns.
static LogicalResult verifyRows(Operation *op, TileType tile, RankedTensorType tensor) {
  if (tensor.getRank() != 3)
    return op->emitOpError() << "tensor must have rank 3, got " << tensor.getRank();
  return verifyShape(op, "tile", tile, tile.getRows(), tensor.getDimSize(2));
}

/// Queries may begin at any row of the item; a key or value is its row 0.
static LogicalResult verifyFirstRow(Operation *op, RowKind kind, int64_t firstRow) {
  if (firstRow < 0 || (kind != RowKind::Query && firstRow != 0))
    return op->emitOpError() << "first_row must be "
                             << (kind == RowKind::Query ? "0 or more" : "0 but for queries")
                             << ", got " << firstRow;
  return success();
}

LogicalResult LoadRowsOp::verify() {
  TileType tile = getResult().getType();
  RankedTensorType tensor = getSource().getType();
  if (failed(verifyRows(*this, tile, tensor)) ||                             // (C1)
      failed(verifyElement(*this, "tile", tile, tensor.getElementType())) || // (C2)
      failed(verifyFirstRow(*this, getKind(), getFirstRow())) ||             // (C3), (C4)
      failed(verifyOffset(*this, getOffset())))                              // (C5)
    return failure();
  if (getKind() != RowKind::Query)
    return verifyShape(*this, "tile", tile, 1, tensor.getDimSize(2)); // (C3)
  return success();
}

LogicalResult LoadVectorOp::verify() {
  TileType tile = getResult().getType();
  RankedTensorType tensor = getSource().getType();
  if (tensor.getRank() != 1 || tensor.isDynamicDim(0))
    return emitOpError() << "tensor must have rank 1 and a static length, got " << tensor;
  if (failed(verifyShape(*this, "tile", tile, 1, tensor.getDimSize(0)))) // (C1)
    return failure();
  return verifyElement(*this, "tile", tile, tensor.getElementType()); // (C2)
}

static LogicalResult verifyPages(Operation *op, TileType pages) {
  if (failed(verifyShape(op, "page numbers", pages, 1, 32)))
    return failure();
  return verifyElement(op, "page numbers", pages, IntegerType::get(op->getContext(), 32));
}

LogicalResult PageNumbersOp::verify() {
  if (failed(verifyPages(*this, getResult().getType()))) // (C1)
    return failure();
  auto range = getRange().getDefiningOp<KeyRangeOp>();
  if (!range)
    return success();
  int64_t keys = range.getKeys(),
          groups = keys / std::gcd(keys, getCache().getType().getPageSize());
  if (groups > 32) // (C2)
    return emitOpError() << "a tile has at most 32 groups of tokens in one page, got " << groups;
  return success();
}

LogicalResult LoadKeysOp::verify() {
  TileType tile = getResult().getType();
  attn::PagedKvType cache = getCache().getType();
  if (failed(verifyShape(*this, "tile", tile, tile.getRows(), cache.getKeyDim())) ||
      failed(verifyElement(*this, "tile", tile, cache.getKeyType()))) // (C1)
    return failure();
  return verifyKeys(*this, "rows", tile.getRows(), getTile()); // (C2)
}

LogicalResult LoadValuesOp::verify() {
  TileType tile = getResult().getType();
  attn::PagedKvType cache = getCache().getType();
  if (failed(verifyShape(*this, "tile", tile, tile.getRows(), cache.getValueDim())) ||
      failed(verifyElement(*this, "tile", tile, cache.getValueType()))) // (C1)
    return failure();
  return verifyKeys(*this, "rows", tile.getRows(), getTile()); // (C2)
}

LogicalResult StoreRowsOp::verify() {
  TileType tile = getValue().getType();
  RankedTensorType tensor = getTarget().getType();
  if (failed(verifyRows(*this, tile, tensor)) || failed(verifyFloat(*this, "tile", tile)))
    return failure();                                          // (C1)
  if (failed(verifyFirstRow(*this, getKind(), getFirstRow()))) // (C2), (C3)
    return failure();
  if (getKind() != RowKind::Query)
    return verifyShape(*this, "tile", tile, 1, tensor.getDimSize(2)); // (C2)
  return success();
}

LogicalResult StoreKvOp::verify() {
  attn::PagedKvType cache = getCache().getType();
  if (failed(verifyShape(*this, "key", getKey().getType(), 1, cache.getKeyDim())) ||
      failed(verifyFloat(*this, "key", getKey().getType())) ||
      failed(verifyShape(*this, "value", getValue().getType(), 1, cache.getValueDim())))
    return failure(); // (C1)
  if (failed(verifyFloat(*this, "value", getValue().getType())))
    return failure();
  return verifyItem(*this, getItem(), {ItemKind::Append}); // (C2)
}

/// An f32 result of `rows` rows that fits the output tensor, and its log-sum-exps.
static LogicalResult verifyOutput(Operation *op, TileType value, TileType lse,
                                  RankedTensorType output, int64_t rows) {
  if (output.getRank() != 3)
    return op->emitOpError() << "output must have rank 3, got " << output.getRank();
  if (failed(verifyF32(op, "value", value, rows, output.getDimSize(2))))
    return failure();
  return verifyF32(op, "lse", lse, rows, 1);
}

LogicalResult StoreAttentionOp::verify() {
  TileType value = getValue().getType();
  if (failed(verifyOutput(*this, value, getLse().getType(), getOutput().getType(),
                          value.getRows()))) // (C1), (C2)
    return failure();
  if (!getThrough())
    return verifyItem(*this, getItem(), {ItemKind::Decode, ItemKind::Prefill}); // (C3)
  TileType through = getThrough().getType();
  if (!through.isShared() || through.getRows() != value.getRows() || // (C4)
      through.getColumns() != value.getColumns() ||
      through.getElementType() != getOutput().getType().getElementType())
    return emitOpError() << "expected a shared tile of " << value.getRows() << " x "
                         << value.getColumns() << " x " << getOutput().getType().getElementType()
                         << " for a result to go through, got " << through;
  return verifyItem(*this, getItem(), {ItemKind::Prefill}); // (C3)
}

LogicalResult StorePartialOp::verify() {
  TileType value = getValue().getType();
  if (failed(verifyF32(*this, "value", value, value.getRows(), value.getColumns())) ||
      failed(verifyF32(*this, "lse", getLse().getType(), value.getRows(), 1))) // (C1)
    return failure();
  return verifyItem(*this, getItem(), ItemKind::Decode); // (C2)
}

LogicalResult MergeSplitsOp::verify() {
  TileType result = getResult().getType();
  if (failed(verifyF32(*this, "result", result, 1, result.getColumns())) ||
      failed(verifyF32(*this, "lse", getLse().getType(), 1, 1))) // (C1), (C2)
    return failure();
  return verifyItem(*this, getItem(), {ItemKind::Merge}); // (C3)
}

LogicalResult MergeStatesOp::verify() {
  if (failed(verifyF32(*this, "result", getResult().getType(), 1,
                       getStates().getType().getDim())) ||       // (C1)
      failed(verifyF32(*this, "lse", getLse().getType(), 1, 1))) // (C2)
    return failure();
  return verifyItem(*this, getItem(), ItemKind::MergeStates); // (C3)
}

LogicalResult StoreMergedOp::verify() {
  if (failed(
          verifyOutput(*this, getValue().getType(), getLse().getType(), getOutput().getType(), 1)))
    return failure();                                                            // (C1), (C2)
  return verifyItem(*this, getItem(), {ItemKind::Merge, ItemKind::MergeStates}); // (C3)
}

} // namespace attncc::tile
