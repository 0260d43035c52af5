//===- TileDialect.td - the tile dialect -------------------------*- tablegen -*-===//
//
// What one thread block does: tiles, page walks, asynchronous copies, matrix
// products, online-softmax steps. The root of the dialect's tablegen files:
// attributes, types, then ops by what they are for.
//
// Tests: test/dialects/tile/program.mlir, rings.mlir, attributes.mlir, *-errors.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TILE_DIALECT_TD
#define ATTNCC_TILE_DIALECT_TD

include "mlir/IR/OpBase.td"

def Tile_Dialect : Dialect {
  let name = "tile";
  let summary = "what one thread block (or one core) does of an attention kernel";
  let description = [{
    A tile is a value: a static two-dimensional shape, an element type, a memory (registers or
    shared) and, once `--tile-assign-layouts` has run, a layout. The loop over keys is an ordinary
    `scf.for`; masks, page walks and work items are ops that know lengths, not threads. A program is
    written for one *unit*, the threads that own a set of query rows; the units of a block divide
    either the keys or the query rows. Nothing here knows the target: thread counts and
    instructions follow from the schedule and the layouts when the program is converted.
  }];
  let cppNamespace = "::attncc::tile";
  let dependentDialects = ["::attncc::attn::AttnDialect"];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let extraClassDeclaration = [{
    void registerAttributes();
    void registerTypes();
    void registerOps();
  }];
}

include "dialects/tile/TileAttrs.td"
include "dialects/tile/TileTypes.td"
include "dialects/tile/TileOps.td"
include "dialects/tile/TileMemoryOps.td"
include "dialects/tile/TileValueOps.td"
include "dialects/tile/TileRingOps.td"

#endif // ATTNCC_TILE_DIALECT_TD
