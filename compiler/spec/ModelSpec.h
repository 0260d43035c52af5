//===- ModelSpec.h - what attention layers a model has ---------------------===//
//
// Internal. A spec is attncc's own model.json (docs/spec.md) or a Hugging Face
// config.json in the forms of transformers 4 and 5. Either is read into a
// ModelSpec: equal layers share a LayerClass, every default of the model's family
// is filled in, and what the user may have to be told about keeps its place in
// the file. Nothing is executed or fetched: auto_map and the like are not
// followed. canonicalSpecText writes a ModelSpec as a model.json that names
// everything, sorted and byte for byte the same each time.
// Pure C++, no MLIR. Tests: test/spec.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/spec/Rope.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::spec {

/// Element types of queries, keys, values and outputs.
enum class DType { F16, BF16, F32 };
/// "f16", "bf16", "f32".
const char *dtypeName(DType type);
/// Also "fp16", "float16", "bfloat16", "float32" and the torch.* spellings.
std::optional<DType> parseDType(std::string_view name);

/// What a class has beside plain causal attention, in the order in which refusals name it.
enum class Feature { Mla, Softcap, Sinks, Window, QkNorm, Rope, HeadDim, ValueDim };

/// Where the file says it: the key as the file spells it, and the value's place.
struct Place {
  std::string key;
  Location where;
};

/// RMS norm over head_dim of each query and key head, before RoPE.
struct QkNorm {
  double epsilon = 1e-6;
  bool onePlusWeight = false; // the norm multiplies by 1 + weight (gemma) instead of by weight
  bool operator==(const QkNorm &) const = default;
};

/// Multi-head latent attention: K and V are projections of one cached row of kvLoraRank + ropeDim.
struct Mla {
  int64_t qLoraRank = 0; // 0: queries are projected directly
  int64_t kvLoraRank = 0;
  int64_t nopeDim = 0; // query and key dims without rotation; head_dim = nopeDim + ropeDim
  int64_t ropeDim = 0;
  int64_t cacheDim() const { return kvLoraRank + ropeDim; }
  bool operator==(const Mla &) const = default;
};

/// Projections that add a bias. Listed for the reader's sake: no kernel of ours sees them.
struct Biases {
  bool query = false, key = false, value = false, output = false;
  bool operator==(const Biases &) const = default;
};

/// Layers that compute the same, and so share kernels.
struct LayerClass {
  std::string name; // "full", "sliding", "latent"; a number follows where that is not unique
  std::vector<int64_t> layers; // ascending

  int64_t queryHeads = 0, kvHeads = 0;
  int64_t headDim = 0;  // of queries and keys
  int64_t valueDim = 0; // of values and outputs
  double scale = 0.0;   // of the scores
  bool causal = true;
  std::optional<int64_t> window; // keys that a query sees, its own included, as the file says
  bool windowEffective = false;  // false where `window` reaches max_position, or is absent
  std::optional<double> softcap; // cap·tanh(s / cap)
  bool sinks = false;            // one learned sink logit per query head
  std::optional<QkNorm> qkNorm;
  std::optional<Mla> mla;
  std::optional<Rope> rope; // absent: no rotation (learned positions, or none at all)
  Biases biases;

  std::map<Feature, Place> places;

  int64_t group() const { return queryHeads / kvHeads; } // query head h reads kv head h / group
  /// Equal but for name, layers and places.
  bool computesTheSameAs(const LayerClass &other) const;
};

struct ModelSpec {
  std::string file;       // as the user named it
  std::string sourceName; // its last part
  std::string modelType;  // Hugging Face's; "" for a model.json
  int64_t hiddenSize = 0, vocabulary = 0;
  int64_t numLayers = 0;
  int64_t maxPosition = 0;         // the override, else the file's
  int64_t fileMaxPosition = 0;     // max_position_embeddings
  bool learnedPositions = false;   // added to the embeddings before the first layer
  DType dtype = DType::BF16;       // the override, else the file's if 16 bits wide, else bf16
  std::string fileDtype;           // as the file spells it, "" where it says nothing
  std::vector<LayerClass> classes; // in the order of their first layers

  /// For the user, not errors: a type that was replaced, keys that are not followed.
  std::vector<Diagnostic> notes;

  const LayerClass &classOf(int64_t layer) const;
};

struct SpecOptions {
  std::optional<int64_t> maxPosition; // --max-position
  std::optional<DType> dtype;         // --dtype: F16 or BF16
};

/// Reads a model.json or config.json. `file` is the name that errors show.
Result<ModelSpec> parseModelSpec(std::string_view text, const std::string &file,
                                 const SpecOptions &options = {});
Result<ModelSpec> readModelSpec(const std::string &path, const SpecOptions &options = {});

/// spec.json of a package: a model.json with all defaults filled in, sorted keys, a final LF.
/// parseModelSpec reads it back to an equal spec.
std::string canonicalSpecText(const ModelSpec &spec);

/// "0-15", "0-40 even", "1-41 odd", "5-23 every 6", "0-3, 7": ascending layer numbers in short.
std::string layerRangeText(const std::vector<int64_t> &layers);

/// What sets the class apart, for tables: "window 4096, softcap 50"; "causal" where nothing does.
std::string featureText(const LayerClass &layerClass);

/// model_type values that have known defaults, sorted.
std::vector<std::string> knownModelTypes();

} // namespace attncc::spec
