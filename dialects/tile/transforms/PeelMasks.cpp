//===- PeelMasks.cpp - Only edge tiles are masked -----------------------------===//
//
// Where units divide the rows, the loop over the tiles of a range is cut in front of the tiles that
// every row of the unit sees whole (of the block, where units copy tiles together):
//
//   scf.for %j = %b to %n iter_args(…)    →   %e = max(%b, tile.range_edges %range)
//   { … tile.mask … }                         %a = scf.for %j = %b to %e iter_args(…) { … tile.mask
//   … }
//                                             %c = scf.for %j = %e to %n iter_args(%a) { … }
//
// Units that copy tiles together meet both loops with the same bounds, so that barriers of shared
// rings stay uniform; where roles load, units meet in mbarriers and turns alone, which count tiles
// and not loops. Units that divide the keys see few tiles each and keep one loop.
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

/// The range whose tiles the loop visits in order, masking them; null if it is no such loop.
Value maskedRange(scf::ForOp loop) {
  auto masks = loop.getBody()->getOps<MaskOp>();
  if (masks.empty() || !isConstantIntValue(loop.getStep(), 1))
    return {};
  Value range;
  for (MaskOp mask : masks) {
    auto tile = mask.getTile().getDefiningOp<KeyTileOp>();
    if (!tile || (range && tile.getRange() != range) || tile.getIndex() != loop.getInductionVar())
      return {};
    range = tile.getRange();
  }
  return loop.isDefinedOutsideOfLoop(range) ? range : Value();
}

void peel(scf::ForOp loop, Value range) {
  OpBuilder builder(loop);
  Location loc = loop.getLoc();
  Value edges = RangeEdgesOp::create(builder, loc, builder.getIndexType(), range);
  if (!isConstantIntValue(loop.getLowerBound(), 0))
    edges = arith::MaxUIOp::create(builder, loc, edges, loop.getLowerBound());
  auto first = cast<scf::ForOp>(builder.clone(*loop));
  first.setUpperBound(edges);
  loop.setLowerBound(edges);
  loop.getInitArgsMutable().assign(first.getResults());
  for (MaskOp mask : llvm::make_early_inc_range(loop.getBody()->getOps<MaskOp>())) {
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
