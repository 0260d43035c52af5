//===- Tile.h - the tile dialect ------------------------------------------===//
//
// Internal. Everything the dialect defines: the dialect, its attributes, types
// and ops, described in TileAttrs.td, TileTypes.td and Tile*Ops.td.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/attn/Attn.h"
#include "dialects/tile/layout/Layout.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <array>

namespace attncc::tile {

// Hashes of the layout's parts, by which MLIR uniques the attribute.
llvm::hash_code hash_value(const Coordinate &coordinate);
llvm::hash_code hash_value(const Repeat &repeat);

/// The slots of all rings.
struct RingResource : public mlir::SideEffects::Resource::Base<RingResource> {
  llvm::StringRef getName() final { return "tile.ring"; }
};

/// Products in flight, and the order in which units start them.
struct ProductResource : public mlir::SideEffects::Resource::Base<ProductResource> {
  llvm::StringRef getName() final { return "tile.product"; }
};

} // namespace attncc::tile

#include "dialects/tile/TileDialect.h.inc"
#include "dialects/tile/TileEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/tile/TileAttrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/tile/TileTypes.h.inc"

#define GET_OP_CLASSES
#include "dialects/tile/TileOps.h.inc"

namespace attncc::tile {

/// Words of a slot that holds an item for other roles (tile.put_item).
constexpr int64_t itemRecordWords = 32;

/// The kernel around an op, or null.
KernelOp kernelOf(mlir::Operation *op);

} // namespace attncc::tile
