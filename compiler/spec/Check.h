//===- Check.h - which layer classes are compiled, and why not -------------===//
//
// Internal. One decision, in one place: what the kernels of this version compute
// for a target. A feature that they lack is a refusal that names it; nothing is
// left out silently and no layer falls back to something similar.
// Compiled: causal and bidirectional attention with any ratio of query to kv heads, head_dim a
// multiple of 16 up to 256, QK norm, RoPE in every kind and pairing, none at all.
// Test: test/spec/CheckTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/spec/ModelSpec.h"

#include <string>
#include <string_view>
#include <vector>

namespace attncc::spec {

/// One reason why a class is not compiled.
struct Refusal {
  Feature feature;
  std::string subject; // as the file spells it: "attn_logit_softcapping 50"
  std::string reason;  // "logit softcap is not compiled yet"
  Location where;      // of the value; without a line where a default brought the feature in
};

/// Empty refusals: the class is compiled.
struct Verdict {
  std::vector<Refusal> refusals;
  bool compiled() const { return refusals.empty(); }
  /// The first refusal's reason, "" where compiled.
  std::string reason() const { return compiled() ? std::string() : refusals.front().reason; }
};

Verdict checkLayerClass(const ModelSpec &spec, const LayerClass &layerClass,
                        std::string_view target);

/// The row of `attncc check`: cells "layers 0-40 even", "window 4096, softcap 50", "sm_80",
/// "refused: logit softcap is not compiled yet" or "compiled".
struct CheckRow {
  std::string layers, features, target, verdict;
};
CheckRow checkRow(const LayerClass &layerClass, std::string_view target, const Verdict &verdict);

/// The rows as lines of text, columns aligned, two spaces between them, a LF after each.
std::string checkTableText(const std::vector<CheckRow> &rows);

/// What `attncc` says when classes are refused; empty when none is. One diagnostic for each first
/// refusal, with the layers of all classes that share it, the lowest layer's first:
///   gemma-2-9b.json: unsupported: layers 0-41: attn_logit_softcapping 50 is not compiled for sm_80
///   note: --allow-partial leaves these layers out and lists them under "refused"
std::vector<Diagnostic> unsupportedDiagnostics(const ModelSpec &spec, std::string_view target);

} // namespace attncc::spec
