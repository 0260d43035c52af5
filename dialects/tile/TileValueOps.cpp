//===- TileValueOps.cpp - arithmetic on tiles ---------------------------------===//
//
// Constraints and folds of the ops that compute with tiles. Tests:
// test/dialects/tile/program.mlir, test/dialects/tile/values-errors.mlir,
// test/dialects/tile/canonicalize.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/Verify.h"

using namespace mlir;

namespace attncc::tile {

/// A product with the result `result`, now or once it is awaited.
template <class Op> static LogicalResult verifyProduct(Op op, TileType result) {
  TileType lhs = op.getLhs().getType(), rhs = op.getRhs().getType();
  int64_t depth = op.getTransposeB() ? rhs.getColumns() : rhs.getRows();
  int64_t columns = op.getTransposeB() ? rhs.getRows() : rhs.getColumns();
  if (lhs.getColumns() != depth) // (C1)
    return op.emitOpError() << "contracts " << lhs.getColumns()
                            << " columns of the left operand with " << depth
                            << (op.getTransposeB() ? " columns" : " rows") << " of the right";
  if (failed(verifyF32(op, "result", result, lhs.getRows(), columns)) || // (C1), (C3)
      failed(verifyFloat(op, "left operand", lhs)) ||
      failed(verifyElement(op, "right operand", rhs, lhs.getElementType()))) // (C2)
    return failure();
  if (op.getAccumulator() && op.getAccumulator().getType() != result) // (C3)
    return op.emitOpError() << "accumulator must have the result's type " << result << ", got "
                            << op.getAccumulator().getType();
  return success();
}

LogicalResult MatmulOp::verify() { return verifyProduct(*this, getResult().getType()); }

LogicalResult MatmulIssueOp::verify() {
  return verifyProduct(*this, getResult().getType().getTile());
}

LogicalResult MaskOp::verify() {
  TileType scores = getScores().getType();
  if (failed(verifyF32(*this, "scores", scores, scores.getRows(), scores.getColumns()))) // (C1)
    return failure();
  return verifyKeys(*this, "columns", scores.getColumns(), getTile()); // (C2)
}

LogicalResult SoftmaxInitOp::verify() {
  TileType maximum = getMaximum().getType();
  if (failed(verifyF32(*this, "maximum", maximum, maximum.getRows(), 1)))
    return failure();
  return verifyF32(*this, "sum", getSum().getType(), maximum.getRows(), 1); // (C1)
}

LogicalResult SoftmaxStepOp::verify() {
  TileType scores = getScores().getType();
  int64_t rows = scores.getRows();
  if (failed(verifyF32(*this, "scores", scores, rows, scores.getColumns())) ||
      failed(verifyF32(*this, "maximum", getMaximum().getType(), rows, 1)))
    return failure();
  return verifyF32(*this, "sum", getSum().getType(), rows, 1); // (C1)
}

LogicalResult RescaleOp::verify() {
  TileType value = getValue().getType();
  if (failed(verifyF32(*this, "value", value, value.getRows(), value.getColumns())))
    return failure();
  return verifyF32(*this, "factor", getFactor().getType(), value.getRows(), 1); // (C1)
}

LogicalResult ConvertOp::verify() {
  TileType from = getValue().getType(), to = getResult().getType();
  if (failed(verifyShape(*this, "result", to, from.getRows(), from.getColumns())) || // (C1)
      failed(verifyFloat(*this, "value", from)) || failed(verifyFloat(*this, "result", to)) ||
      failed(verifyRegisters(*this, "value", from))) // (C2), (C3)
    return failure();
  return verifyRegisters(*this, "result", to);
}

OpFoldResult ConvertOp::fold(FoldAdaptor) {
  return getValue().getType() == getResult().getType() ? OpFoldResult(getValue()) : OpFoldResult();
}

LogicalResult MoveOp::verify() {
  TileType from = getValue().getType(), to = getResult().getType();
  if (failed(verifyShape(*this, "result", to, from.getRows(), from.getColumns())))
    return failure();
  return verifyElement(*this, "result", to, from.getElementType()); // (C1)
}

OpFoldResult MoveOp::fold(FoldAdaptor) {
  return getValue().getType() == getResult().getType() ? OpFoldResult(getValue()) : OpFoldResult();
}

LogicalResult MergeUnitsOp::verify() {
  TileType value = getValue().getType();
  int64_t rows = value.getRows(), columns = value.getColumns();
  if (failed(verifyF32(*this, "maximum", getMaximum().getType(), rows, 1)) ||
      failed(verifyF32(*this, "sum", getSum().getType(), rows, 1)) ||
      failed(verifyF32(*this, "value", value, rows, columns)) || // (C1)
      failed(verifyF32(*this, "new maximum", getNewMaximum().getType(), rows, 1)) ||
      failed(verifyF32(*this, "new sum", getNewSum().getType(), rows, 1)))
    return failure();
  if (failed(verifyF32(*this, "new value", getNewValue().getType(), rows, columns))) // (C2)
    return failure();
  if (!getRing() && !getPosition() && !getItem())
    return success();
  if (!getRing() || !getPosition() || !getItem() ||
      getRing().getType().getSharedBy() != RingScope::Unit) // (C3)
    return emitOpError() << "meets in a ring of the unit's own, at a position, for an item";
  if (getScratch()) // (C4)
    return emitOpError() << "has a scratch beside a ring";
  return success();
}

void MergeUnitsOp::build(OpBuilder &builder, OperationState &state, Value maximum, Value sum,
                         Value value) {
  build(builder, state, {maximum.getType(), sum.getType(), value.getType()}, maximum, sum, value,
        /*ring=*/Value(), /*position=*/Value(), /*item=*/Value(), /*scratch=*/IntegerAttr());
}

LogicalResult AddSplitOp::verify() {
  TileType value = getValue().getType();
  if (failed(verifyF32(*this, "value", value, value.getRows(), value.getColumns())))
    return failure();
  return verifyF32(*this, "lse", getLse().getType(), value.getRows(), 1); // (C1)
}

LogicalResult NormalizeOp::verify() {
  TileType value = getValue().getType();
  int64_t rows = value.getRows(), columns = value.getColumns();
  if (failed(verifyF32(*this, "value", value, rows, columns)) ||
      failed(verifyF32(*this, "maximum", getMaximum().getType(), rows, 1)) ||
      failed(verifyF32(*this, "sum", getSum().getType(), rows, 1)) || // (C1)
      failed(verifyF32(*this, "result", getResult().getType(), rows, columns)))
    return failure();
  return verifyF32(*this, "lse", getLse().getType(), rows, 1); // (C2)
}

LogicalResult RmsNormOp::verify() {
  TileType input = getInput().getType(), weight = getWeight().getType();
  if (failed(verifyFloat(*this, "input", input)) || failed(verifyFloat(*this, "weight", weight)) ||
      failed(verifyShape(*this, "weight", weight, 1, input.getColumns())) ||
      failed(verifyF32(*this, "result", getResult().getType(), input.getRows(),
                       input.getColumns()))) // (C1)
    return failure();
  if (getEpsilon().convertToDouble() < 0) // (C2)
    return emitOpError() << "epsilon must not be negative, got " << getEpsilon().convertToDouble();
  return success();
}

LogicalResult RopeOp::verify() {
  TileType input = getInput().getType();
  if (failed(verifyFloat(*this, "input", input)) ||
      failed(verifyF32(*this, "result", getResult().getType(), input.getRows(),
                       input.getColumns()))) // (C1)
    return failure();
  if (getRope().getDim() > input.getColumns()) // (C2)
    return emitOpError() << "rotates " << getRope().getDim() << " of " << input.getColumns()
                         << " columns";
  if (getCosSin() && getCosSin().getType().getDim() != getRope().getDim()) // (C2)
    return emitOpError() << "rotates " << getRope().getDim() << " columns by a table of "
                         << getCosSin().getType().getDim();
  return verifyItem(*this, getItem(), ItemKind::Append); // (C3)
}

LogicalResult AwaitOp::verify() {
  if (getTile().getType() != getPending().getType().getTile() ||
      getPassed().getTypes() != getValues().getTypes()) // (C1)
    return emitOpError() << "results must be the product's tile and the passed values";
  if (static_cast<int64_t>(getAhead()) < 0) // (C2)
    return emitOpError() << "ahead must not be negative, got " << static_cast<int64_t>(getAhead());
  return success();
}

} // namespace attncc::tile
