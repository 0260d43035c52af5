//===- attncc-opt.cpp - one pass at a time --------------------------------===//
//
// mlir-opt with attncc's dialects and passes, for lit tests. Links the shared
// libraries of MLIR, never the static archives of the attncc binary.
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/AttnToTile.h"
#include "compiler/conversion/TileToNVVM/TileToNVVM.h"
#include "dialects/attn/Attn.h"
#include "dialects/attn/Passes.h"
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"
#include "dialects/tile/interpreter/Harness.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::linalg::LinalgDialect,
                  mlir::math::MathDialect, mlir::scf::SCFDialect, mlir::tensor::TensorDialect>();
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();

  registry.insert<attncc::attn::AttnDialect>();
  attncc::attn::registerAttnPasses();
  registry.insert<attncc::tile::TileDialect>();
  attncc::tile::registerTilePasses();
  attncc::tile::interpreter::registerInterpretPass();
  attncc::registerConvertAttnToTilePass();
  attncc::registerConvertTileToNVVMPass();
  attncc::registerNVVMConversionDependencies(registry);

  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "attncc's passes, one at a time\n", registry));
}
