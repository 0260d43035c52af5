//===- Passes.h - passes of the tile dialect --------------------------------===//
//
// Internal. Each pass is one file of dialects/tile/transforms, named as the pass
// is; dialects/tile/Passes.td describes them.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "mlir/Pass/Pass.h"

namespace attncc::tile {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "dialects/tile/Passes.h.inc"

} // namespace attncc::tile
