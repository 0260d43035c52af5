//===- Attn.h - the attn dialect ------------------------------------------===//
//
// Internal. Everything the dialect defines: the dialect, its attributes, types
// and ops, described in AttnAttrs.td, AttnTypes.td and AttnOps.td.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/attn/Values.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/attn/AttnDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/attn/AttnAttrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/attn/AttnTypes.h.inc"

#define GET_OP_CLASSES
#include "dialects/attn/AttnOps.h.inc"

namespace attncc::attn {

/// Function attributes: a #attn.phase, and a #attn.schedule where no attn.attention carries it.
inline constexpr llvm::StringLiteral kPhaseAttrName = "attn.phase";
inline constexpr llvm::StringLiteral kScheduleAttrName = "attn.schedule";

/// Heads and dims of a paged or contiguous KV type.
KvShape kvShape(mlir::Type kvType);

} // namespace attncc::attn
