//===- PeelMasks.cpp - Only edge tiles are masked -----------------------------===//
//
// Where units divide the rows, the loop over the tiles of a range is cut behind the leading tiles
// that every row of the block sees whole:
//
//   scf.for %j = 0 to %n iter_args(…)     →   %plain = tile.range_plain %range
//   { … tile.mask … }                         %a = scf.for %j = 0 to %plain iter_args(…) { … }
//                                             %b = scf.for %j = %plain to %n iter_args(%a) { …
//                                             tile.mask … }
//
// Both loops are met by all units with the same bounds, so that barriers of shared rings stay
// uniform. Units that divide the keys see few tiles each and keep one loop.
//
// Test: test/dialects/tile/peel-masks.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Builders.h"

namespace attncc::tile {
#define GEN_PASS_DEF_PEELMASKSPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
namespace {

/// The range all of whose tiles the loop visits in order, masking them; null if it is no such loop.
Value maskedRange(scf::ForOp loop) {
  auto count = loop.getUpperBound().getDefiningOp<RangeCountOp>();
  auto masks = loop.getBody()->getOps<MaskOp>();
  if (!count || masks.empty() || !isConstantIntValue(loop.getLowerBound(), 0) ||
      !isConstantIntValue(loop.getStep(), 1))
    return {};
  for (MaskOp mask : masks) {
    auto tile = mask.getTile().getDefiningOp<KeyTileOp>();
    if (!tile || tile.getRange() != count.getRange() || tile.getIndex() != loop.getInductionVar())
      return {};
  }
  return count.getRange();
}

void peel(scf::ForOp loop, Value range) {
  OpBuilder builder(loop);
  Value plain = RangePlainOp::create(builder, loop.getLoc(), builder.getIndexType(), range);
  auto first = cast<scf::ForOp>(builder.clone(*loop));
  first.setUpperBound(plain);
  loop.setLowerBound(plain);
  loop.getInitArgsMutable().assign(first.getResults());
  for (MaskOp mask : llvm::make_early_inc_range(first.getBody()->getOps<MaskOp>())) {
    mask.getResult().replaceAllUsesWith(mask.getScores());
    mask.erase();
  }
}

struct PeelMasks : public impl::PeelMasksPassBase<PeelMasks> {
  void runOnOperation() override {
    if (getOperation().getSchedule().getDivide() != attn::Divide::Rows)
      return;
    SmallVector<scf::ForOp> loops;
    getOperation().walk([&](scf::ForOp loop) { loops.push_back(loop); });
    for (scf::ForOp loop : loops)
      if (Value range = maskedRange(loop))
        peel(loop, range);
  }
};

} // namespace
} // namespace attncc::tile
