//===- Passes.td - passes of the tile dialect --------------------*- tablegen -*-===//
#ifndef ATTNCC_TILE_PASSES_TD
#define ATTNCC_TILE_PASSES_TD

include "mlir/Pass/PassBase.td"

#endif // ATTNCC_TILE_PASSES_TD
