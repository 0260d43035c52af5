//===- Import.h - a layer class as attn IR --------------------------------===//
//
// Internal. Writes what the layers of a class compute, one function for each
// kernel role, unfused and readable (dialects/attn/AttnOps.td):
//
//   @append   (query, key, value, cache, slots, positions, cos_sin[, query_norm, key_norm])
//             norm and rotation of queries and keys, then the write into the
//             cache; returns the rotated query
//   @append_without_prologue   (query, key, value, cache, slots)
//             the write alone, of what the caller has normed and rotated
//   @decode   (query, cache[, sinks]) → (output, log_sum_exp)
//             read_kv, scores, softcap, mask, softmax, weighted_sum
//   @merge_states   (states) → (output, log_sum_exp)
//             results over disjoint sets of keys, joined
//
// Everything that the spec says is written down, also what no kernel can do yet:
// the passes refuse it. Test: test/compiler/import/ImportTest.cpp
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/spec/ModelSpec.h"
#include "dialects/attn/Attn.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace attncc {

struct ImportOptions {
  int64_t pageSize = 16;
  attn::PageOrder order = attn::PageOrder::NHD;
  int64_t maxQuery = 8; // most query tokens of one sequence in a decode call
  // Which append functions a class with a prologue gets; one without has the second alone.
  bool fusedPrologue = true, noPrologue = true;
};

/// A module with the functions of `layerClass`. Needs the attn and func dialects loaded. A class
/// that attn cannot say yet (latent attention, norms that multiply by 1 + weight) gives null and a
/// diagnostic.
mlir::OwningOpRef<mlir::ModuleOp> importLayerClass(mlir::MLIRContext &context,
                                                   const spec::ModelSpec &spec,
                                                   const spec::LayerClass &layerClass,
                                                   const ImportOptions &options);

} // namespace attncc
