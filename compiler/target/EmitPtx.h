//===- EmitPtx.h - a gpu.module becomes PTX text ---------------------------===//
//
// Internal. The last step of the compiler: LLVM's NVPTX back end, in process.
// Test: test/compiler/target/emit-ptx-test.cpp
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/target/TargetTable.h"
#include "runtime/support/Result.h"

#include <string>

namespace mlir {
class DialectRegistry;
class ModuleOp;
} // namespace mlir

namespace attncc {

/// Registers the dialects, conversion interfaces and translations that emitPtx needs, and no more:
/// what is registered is what a static binary must carry.
void registerPtxEmission(mlir::DialectRegistry &registry);

/// Lowers the one gpu.module of `module` (llvm.func with nvvm.kernel, bodies of arith, scf, cf,
/// math, llvm and nvvm ops) to PTX text for `target`. `module` is rewritten on the way. The same
/// module gives the same text. An invalid module is an error that carries MLIR's or LLVM's first
/// message.
Result<std::string> emitPtx(mlir::ModuleOp module, const TargetInfo &target);

} // namespace attncc
