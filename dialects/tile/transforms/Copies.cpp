// See Copies.h.
#include "dialects/tile/transforms/Copies.h"

using namespace mlir;

namespace attncc::tile {

TypedValue<attn::PagedKvType> cacheOf(Operation *copy) {
  if (auto keys = dyn_cast<CopyKeysOp>(copy))
    return keys.getCache();
  return cast<CopyValuesOp>(copy).getCache();
}

Value createPageNumbers(OpBuilder &builder, Location loc, Operation *copy, Value range,
                        Value index) {
  auto type = TileType::get(builder.getContext(), 1, 32, builder.getI32Type(), Memory::Registers,
                            LayoutAttr::get(builder.getContext(), rowVectors(1, 32, 1)));
  return PageNumbersOp::create(builder, loc, type, cacheOf(copy), range, index);
}

void createCopyLike(OpBuilder &builder, Operation *copy, const CopyOperands &operands) {
  auto create = [&]<typename Copy>(Copy old) {
    Value item = operands.item ? operands.item : Value(old.getItem());
    Copy::create(builder, old.getLoc(), old.getCache(), item, operands.tile, operands.pages,
                 operands.pageIndex, operands.slot, operands.when, old.getIndexAttr(),
                 old.getBoxAttr(), old.getZeroedAttr());
  };
  if (auto keys = dyn_cast<CopyKeysOp>(copy))
    create(keys);
  else
    create(cast<CopyValuesOp>(copy));
}

} // namespace attncc::tile
