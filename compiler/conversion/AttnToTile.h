//===- AttnToTile.h - one attn function becomes one tile kernel -------------===//
//
// Internal. Test: test/compiler/conversion/attn-to-tile.mlir
//
//===----------------------------------------------------------------------===//
#pragma once

#include <memory>

namespace mlir {
class Pass;
} // namespace mlir

namespace attncc {

/// --convert-attn-to-tile: every func.func with a phase attribute (decode, merge, append) of the
/// module becomes a tile.kernel of its name. What the tile program cannot say yet is an error at
/// the op that asks for it.
std::unique_ptr<mlir::Pass> createConvertAttnToTilePass();

/// Makes it known to attncc-opt.
void registerConvertAttnToTilePass();

} // namespace attncc
