//===- KeepResults.h - Passes on the interpreter -------------------------------===//
//
// Internal to the tests of the passes: a kernel's results before and after them.
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TEST_DIALECTS_TILE_TRANSFORMS_KEEPRESULTS_H
#define ATTNCC_TEST_DIALECTS_TILE_TRANSFORMS_KEEPRESULTS_H

#include "dialects/tile/Passes.h"
#include "dialects/tile/interpreter/Harness.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Transforms/Passes.h"

#include <gtest/gtest.h>

namespace attncc::tile {

class KeepResults : public testing::Test {
protected:
  static void SetUpTestSuite() {
    registerTilePasses();
    mlir::registerCanonicalizerPass();
    mlir::registerCSEPass();
  }

  void SetUp() override {
    mlir::DialectRegistry registry;
    registry
        .insert<attn::AttnDialect, TileDialect, mlir::arith::ArithDialect, mlir::scf::SCFDialect>();
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }

  /// Empty, or what is not as before the passes.
  std::string keeps(const std::string &text, const std::string &passes,
                    const interpreter::Shapes &shapes = {},
                    const interpreter::Options &options = {}) {
    return interpreter::pipelineKeepsResults(
        context, text, "builtin.module(tile.kernel(" + passes + "))", 1, shapes, options);
  }

  mlir::MLIRContext context;
};

} // namespace attncc::tile

#endif // ATTNCC_TEST_DIALECTS_TILE_TRANSFORMS_KEEPRESULTS_H
