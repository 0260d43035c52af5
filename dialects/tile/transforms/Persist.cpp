//===- Persist.cpp - What draws the items ------------------------------------===//
//
// work = grid, before and after:
//
//   tile.work_loop(%item, %unit) in %batch items(…) { body }
//
//   %item, %unit, %valid = tile.grid_item %batch items(…)
//   scf.if %valid { body }
//
// Test: test/dialects/tile/persist.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"

namespace attncc::tile {
#define GEN_PASS_DEF_PERSISTPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
namespace {

LogicalResult expandOnGrid(WorkLoopOp loop) {
  attn::Work work = kernelOf(loop).getSchedule().getWork();
  if (work != attn::Work::Grid)
    return loop.emitError() << "work = " << attn::stringifyWork(work)
                            << " is not supported, expected grid";
  OpBuilder builder(loop);
  auto draw = GridItemOp::create(builder, loop.getLoc(), loop.getSource(), loop.getItemsAttr());
  auto valid = scf::IfOp::create(builder, loop.getLoc(), draw.getValid(), /*withElse=*/false);
  loop.getItem().replaceAllUsesWith(draw.getItem());
  loop.getUnit().replaceAllUsesWith(draw.getUnit());
  Block &body = loop.getBody().front();
  body.getTerminator()->erase();
  valid.thenBlock()->getOperations().splice(valid.thenYield()->getIterator(), body.getOperations());
  loop.erase();
  return success();
}

struct Persist : public impl::PersistPassBase<Persist> {
  void runOnOperation() override {
    SmallVector<WorkLoopOp> loops;
    getOperation().walk([&](WorkLoopOp loop) { loops.push_back(loop); });
    for (WorkLoopOp loop : loops)
      if (failed(expandOnGrid(loop)))
        return signalPassFailure();
  }
};

} // namespace
} // namespace attncc::tile
