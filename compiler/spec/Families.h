//===- Families.h - what a Hugging Face model_type implies -----------------===//
//
// Internal to compiler/spec. A config.json leaves out what its configuration class
// has as a default, and much of what attention computes stands in no key at all
// but in the modeling code: biases, QK norms, sinks, which layers slide. One row
// for each model_type, taken from transformers' configuration_*.py and
// modeling_*.py (4.57 and 5). Test: test/spec/HuggingFaceTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace attncc::spec {

/// Which layers have the sliding window. Where a family has `layer_types`, that key decides.
enum class WindowRule {
  None,
  AllLayers,      // wherever sliding_window is not null
  Gated,          // if use_sliding_window: layers from max_window_layers on
  GatedAllLayers, // if use_sliding_window: every layer
  GatedNoRope,    // if use_sliding_window: layers without rope
  EvenLayers,     // layers 0, 2, 4…
  Pattern,        // all but every sliding_window_pattern-th
};

/// Which projections have biases.
enum class BiasRule {
  None,
  All,              // query, key, value and output
  Qkv,              // query, key and value
  AttentionBias,    // all four if attention_bias
  AttentionBiasQkv, // query, key and value if attention_bias
  UseBias,          // all four if use_bias
};

enum class QkNormRule { None, Weight, OnePlusWeight };

struct Family {
  std::string_view modelType;
  // Defaults of the configuration class.
  int64_t vocabulary, hiddenSize, layers, queryHeads;
  int64_t kvHeads; // 0: as many as query heads
  int64_t headDim; // 0: hidden size / query heads
  int64_t maxPosition;
  double epsilon; // of the RMS norms
  double theta = 10000.0;
  // What the modeling code does.
  WindowRule window = WindowRule::None;
  int64_t defaultWindow = 0; // 0: none
  bool layerTypes = false;   // layer_types, if given, says which layers slide
  BiasRule biases = BiasRule::None;
  bool defaultBias = false; // of attention_bias or use_bias
  QkNormRule qkNorm = QkNormRule::None;
  bool interleaved = false;        // rope turns neighbouring dims
  double rotaryPart = 1.0;         // default of partial_rotary_factor
  double defaultSoftcap = 0.0;     // default of attn_logit_softcapping, 0: none
  bool softcap = false;            // the family has attn_logit_softcapping
  double queryPreAttnScalar = 0.0; // scale is its power -1/2; 0: head_dim's
  bool sinks = false;
};

/// The row of a model_type, or nullptr.
const Family *findFamily(std::string_view modelType);

/// All rows, sorted by model_type.
std::span<const Family> allFamilies();

} // namespace attncc::spec
