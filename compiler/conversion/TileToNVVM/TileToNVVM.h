//===- TileToNVVM.h - the conversion of tile kernels to GPU functions ------===//
//
// Internal. See TileToNVVM.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/target/TargetTable.h"

#include <memory>

namespace mlir {
class DialectRegistry;
class Pass;
} // namespace mlir

namespace attncc {

/// Each `tile.kernel` of the module becomes a gpu.module of the same name with one
/// llvm.func (nvvm.kernel). A kernel that the target cannot run is an error.
std::unique_ptr<mlir::Pass> createConvertTileToNVVMPass(const TargetInfo &target);

/// --convert-tile-to-nvvm[=target=sm_80]
void registerConvertTileToNVVMPass();

/// The dialects that the conversion produces.
void registerNVVMConversionDependencies(mlir::DialectRegistry &registry);

} // namespace attncc
