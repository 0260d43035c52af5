//===- HuggingFace.cpp - reading config.json -------------------------------===//
//
// A config.json of transformers 4 (rope_theta and rope_scaling at the top level,
// torch_dtype) or 5 (rope_parameters, one object or one for each layer type; dtype).
// The row of the model_type in Families.cpp gives the defaults and what stands in no
// key; what is special to one family is in a function of its own below. auto_map
// would name code to run: it is noted and not followed.
// Sources: transformers 4.57 and 5, configuration_*.py, modeling_*.py,
// modeling_rope_utils.py. Test: test/spec/HuggingFaceTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/Families.h"
#include "compiler/spec/Readers.h"

#include <cmath>

using namespace attncc;
using namespace attncc::spec;

namespace {

Error unknownModelType(const json::Value &value) {
  Error error = value.error("spec-model-type", "unknown model_type " + value.shown());
  std::string known;
  for (const std::string &name : knownModelTypes())
    known += (known.empty() ? "" : ", ") + name;
  error.diagnostic.notes.push_back(
      makeNote("known: " + known + "; or write the layers as model.json (docs/spec.md)"));
  return error;
}

class Reader {
public:
  Reader(const json::Value &object, const Family &family, const SpecOptions &options)
      : config(object, failure), family(family), options(options) {}

  Result<ModelSpec> read();

private:
  void readSizes();
  void readHeads();
  void readFeatures();
  void readLatent();
  void readGpt2Scale(std::vector<LayerClass> &layers);
  /// Which layers have a sliding window, and which have no rope.
  std::vector<bool> slidingLayers(const std::vector<bool> &withRope);
  std::vector<bool> ropeLayers();
  bool readLayerTypes(std::vector<bool> &sliding);
  std::optional<Rope> readRope(bool sliding);
  void readRopeParameters(Rope &rope, Fields &parameters);

  Failure failure;
  Fields config;
  const Family &family;
  const SpecOptions &options;
  ModelSpec spec;
  LayerClass common; // what all layers share
};

Result<ModelSpec> Reader::read() {
  spec.modelType = family.modelType;
  readSizes();
  readHeads();
  if (family.modelType == "deepseek_v3")
    readLatent();
  readFeatures();
  if (failure)
    return *failure.error;

  std::vector<bool> withRope = ropeLayers();
  std::vector<bool> sliding = slidingLayers(withRope);
  std::optional<Rope> ropes[2]; // of full and of sliding layers
  for (bool kind : {false, true})
    if (!spec.learnedPositions)
      ropes[kind] = readRope(kind);
  if (failure)
    return *failure.error;

  std::vector<LayerClass> layers;
  for (int64_t layer = 0; layer < spec.numLayers; ++layer) {
    auto index = static_cast<size_t>(layer);
    LayerClass made = common;
    made.layers = {layer};
    if (!sliding[index]) {
      made.window.reset();
      made.places.erase(Feature::Window);
    }
    made.windowEffective = made.window && *made.window < spec.maxPosition;
    if (withRope[index])
      made.rope = ropes[sliding[index]];
    layers.push_back(std::move(made));
  }
  if (family.modelType == "gpt2")
    readGpt2Scale(layers);
  if (failure)
    return *failure.error;
  spec.classes = groupLayers(std::move(layers));
  if (const json::Value *map = config.find("auto_map")) {
    Diagnostic note = makeNote("auto_map is not followed: the layers are those of model_type \"" +
                               spec.modelType + "\"");
    note.code = "spec-auto-map";
    note.where = map->location();
    spec.notes.push_back(std::move(note));
  }
  return std::move(spec);
}

void Reader::readSizes() {
  bool gpt2 = family.modelType == "gpt2";
  const char *positions = gpt2 ? "n_positions" : "max_position_embeddings";
  spec.learnedPositions = gpt2;
  spec.hiddenSize =
      config.integer(gpt2 ? "n_embd" : "hidden_size", family.hiddenSize, 1, kMaxWidth);
  spec.numLayers =
      config.integer(gpt2 ? "n_layer" : "num_hidden_layers", family.layers, 1, kMaxLayers);
  spec.vocabulary = config.integer("vocab_size", family.vocabulary, 1, kMaxWidth);
  spec.fileMaxPosition = config.integer(positions, family.maxPosition, 1, kMaxPositions);
  spec.maxPosition = options.maxPosition.value_or(spec.fileMaxPosition);
  if (spec.learnedPositions && spec.maxPosition > spec.fileMaxPosition) {
    const json::Value *value = config.find(positions);
    config.fail(value ? *value : config.value(), "spec-positions",
                "a maximum position of " + std::to_string(spec.maxPosition) +
                    " is asked for, but positions are learned up to " + positions + " " +
                    std::to_string(spec.fileMaxPosition));
  }
}

void Reader::readHeads() {
  const char *headsKey = family.modelType == "gpt2" ? "n_head" : "num_attention_heads";
  common.queryHeads = config.integer(headsKey, family.queryHeads, 1, kMaxHeads);
  common.kvHeads =
      config.integer("num_key_value_heads",
                     family.kvHeads == 0 ? common.queryHeads : family.kvHeads, 1, kMaxHeads);
  if (failure)
    return;
  const json::Value *heads = config.find(headsKey);
  const json::Value *kvHeads = config.find("num_key_value_heads");
  if (common.queryHeads % common.kvHeads != 0) {
    const json::Value &at = kvHeads ? *kvHeads : heads ? *heads : config.value();
    Error error = at.error("spec-heads", "num_key_value_heads is " +
                                             std::to_string(common.kvHeads) + ", but " + headsKey +
                                             " is " + std::to_string(common.queryHeads) +
                                             ": query heads must be a multiple of kv heads");
    if (heads)
      error.diagnostic.notes.push_back(heads->note());
    failure.add(std::move(error));
    return;
  }
  const json::Value *dim = config.find("head_dim");
  if (!dim && family.headDim == 0 && spec.hiddenSize % common.queryHeads != 0) {
    Error error =
        (heads ? *heads : config.value())
            .error("spec-heads", "hidden size " + std::to_string(spec.hiddenSize) +
                                     " is no multiple of " + std::to_string(common.queryHeads) +
                                     " query heads, and no head_dim is given");
    failure.add(std::move(error));
    return;
  }
  int64_t derived = family.headDim ? family.headDim : spec.hiddenSize / common.queryHeads;
  common.headDim = config.integer("head_dim", std::max<int64_t>(derived, 1), 1, kMaxDim);
  common.valueDim = common.headDim;
  common.scale = 1.0 / std::sqrt(double(common.headDim));
  common.places[Feature::HeadDim] = {"head_dim", (dim     ? *dim
                                                  : heads ? *heads
                                                          : config.value())
                                                     .location()};
}

/// Multi-head latent attention: head_dim means nothing here, and every query head has a key of its
/// own.
void Reader::readLatent() {
  Mla mla;
  mla.qLoraRank =
      config.integer("q_lora_rank", config.value().find("q_lora_rank") ? 0 : 1536, 0, kMaxWidth);
  mla.kvLoraRank = config.integer("kv_lora_rank", 512, 1, kMaxDim);
  mla.nopeDim = config.integer("qk_nope_head_dim", 128, 1, kMaxDim);
  mla.ropeDim = config.integer("qk_rope_head_dim", 64, 2, kMaxDim);
  common.headDim = mla.nopeDim + mla.ropeDim;
  common.valueDim = config.integer("v_head_dim", 128, 1, kMaxDim);
  common.scale = 1.0 / std::sqrt(double(common.headDim));
  common.mla = mla;
  const json::Value *rank = config.find("kv_lora_rank");
  common.places[Feature::Mla] = {"kv_lora_rank",
                                 (rank ? *rank : *config.value().find("model_type")).location()};
}

void Reader::readFeatures() {
  auto place = [&](Feature feature, const char *key) {
    const json::Value *value = config.find(key);
    Location where = value ? value->location() : Location{};
    common.places[feature] = {key, where};
  };
  auto familyPlace = [&](Feature feature, const std::string &what) {
    const json::Value *type = config.find("model_type");
    common.places[feature] = {what + " (model_type " + std::string(family.modelType) + ")",
                              type ? type->location() : Location{}};
  };
  if (family.softcap) {
    bool off =
        config.value().find("attn_logit_softcapping") && !config.find("attn_logit_softcapping");
    double cap =
        config.real("attn_logit_softcapping", off ? 0.0 : family.defaultSoftcap, 0.0, kMaxReal);
    if (cap > 0.0) {
      common.softcap = cap;
      place(Feature::Softcap, "attn_logit_softcapping");
    }
  }
  if (family.queryPreAttnScalar > 0.0)
    common.scale = 1.0 / std::sqrt(config.real("query_pre_attn_scalar", family.queryPreAttnScalar,
                                               0.0, kMaxReal));
  if (family.modelType == "granite")
    common.scale = config.real("attention_multiplier", 1.0, 0.0, kMaxReal);
  if (family.sinks) {
    common.sinks = true;
    familyPlace(Feature::Sinks, "an attention sink per head");
  }
  if (family.qkNorm != QkNormRule::None) {
    common.qkNorm = QkNorm{config.real("rms_norm_eps", family.epsilon, 0.0, 1.0),
                           family.qkNorm == QkNormRule::OnePlusWeight};
    familyPlace(Feature::QkNorm, "qk norm by 1 + weight");
  }
  if (family.modelType.starts_with("gemma") && config.boolean("use_bidirectional_attention", false))
    common.causal = false;
  bool biased = false;
  if (family.biases == BiasRule::AttentionBias || family.biases == BiasRule::AttentionBiasQkv)
    biased = config.boolean("attention_bias", family.defaultBias);
  else if (family.biases == BiasRule::UseBias)
    biased = config.boolean("use_bias", family.defaultBias);
  else
    biased = family.biases != BiasRule::None;
  bool output = family.biases != BiasRule::Qkv && family.biases != BiasRule::AttentionBiasQkv;
  common.biases = {biased, biased, biased, biased && output};
  if (family.modelType == "deepseek_v3") // only the low-rank and output projections have them
    common.biases.value = false;
}

std::vector<bool> Reader::ropeLayers() {
  std::vector<bool> with(static_cast<size_t>(spec.numLayers), !spec.learnedPositions);
  if (family.modelType != "smollm3")
    return with;
  const json::Value *given = config.find("no_rope_layers"); // 1: the layer has rope
  if (!given) {
    int64_t interval = config.integer("no_rope_layer_interval", 4, 1, kMaxLayers);
    for (int64_t layer = 0; layer < spec.numLayers; ++layer)
      with[static_cast<size_t>(layer)] = (layer + 1) % interval != 0;
    return with;
  }
  if (auto checked = given->requireKind(json::Kind::Array); !checked) {
    failure.add(checked.error());
    return with;
  }
  if (int64_t(given->size()) < spec.numLayers) {
    config.fail(*given, "spec-layers",
                "no_rope_layers has " + std::to_string(given->size()) + " entries, but there are " +
                    std::to_string(spec.numLayers) + " layers");
    return with;
  }
  for (size_t layer = 0; layer < with.size(); ++layer) {
    Result<int64_t> flag = (*given)[layer].asInteger(0, 1);
    if (!flag) {
      failure.add(flag.error());
      return with;
    }
    with[layer] = *flag == 1;
  }
  return with;
}

/// True if the file has layer_types (and the family heeds it).
bool Reader::readLayerTypes(std::vector<bool> &sliding) {
  const json::Value *types = family.layerTypes ? config.find("layer_types") : nullptr;
  if (!types)
    return false;
  if (auto checked = types->requireKind(json::Kind::Array); !checked) {
    failure.add(checked.error());
    return true;
  }
  if (int64_t(types->size()) != spec.numLayers) {
    config.fail(*types, "spec-layers",
                "layer_types has " + std::to_string(types->size()) + " entries, but there are " +
                    std::to_string(spec.numLayers) + " layers");
    return true;
  }
  for (size_t layer = 0; layer < sliding.size(); ++layer) {
    const json::Value &type = (*types)[layer];
    bool slides = type.isString() && type.string() == "sliding_attention";
    if (!slides && !(type.isString() && type.string() == "full_attention")) {
      config.fail(type, "spec-layers",
                  type.name() + " is " + type.shown() +
                      ", must be \"full_attention\" or \"sliding_attention\"");
      return true;
    }
    sliding[layer] = slides;
  }
  return true;
}

std::vector<bool> Reader::slidingLayers(const std::vector<bool> &withRope) {
  std::vector<bool> sliding(static_cast<size_t>(spec.numLayers), false);
  bool gated = family.window == WindowRule::Gated || family.window == WindowRule::GatedAllLayers ||
               family.window == WindowRule::GatedNoRope;
  bool on =
      family.window != WindowRule::None && (!gated || config.boolean("use_sliding_window", false));
  bool null = config.value().find("sliding_window") && !config.find("sliding_window");
  int64_t fallback = null || !on ? 0 : family.defaultWindow;
  int64_t window =
      on ? config.integer("sliding_window", fallback, 1, std::numeric_limits<int64_t>::max()) : 0;
  bool typed = readLayerTypes(sliding);
  if (failure || (window == 0 && !typed))
    return sliding;
  if (window > 0) {
    if (!common.causal)
      window = window / 2 + 1; // transformers' window of attention to both sides
    common.window = window;
    const json::Value *value = config.find("sliding_window");
    common.places[Feature::Window] = {"sliding_window", value ? value->location() : Location{}};
  }
  if (typed)
    return sliding;
  int64_t first =
      family.window == WindowRule::Gated
          ? config.integer("max_window_layers", 28, 0, std::numeric_limits<int64_t>::max())
          : 0;
  int64_t pattern = family.window == WindowRule::Pattern
                        ? config.integer("sliding_window_pattern", 6, 1, kMaxLayers)
                        : 1;
  for (int64_t layer = 0; layer < spec.numLayers; ++layer) {
    auto index = static_cast<size_t>(layer);
    switch (family.window) {
    case WindowRule::None:
      break;
    case WindowRule::AllLayers:
    case WindowRule::GatedAllLayers:
      sliding[index] = true;
      break;
    case WindowRule::Gated:
      sliding[index] = layer >= first;
      break;
    case WindowRule::GatedNoRope:
      sliding[index] = !withRope[index];
      break;
    case WindowRule::EvenLayers:
      sliding[index] = layer % 2 == 0;
      break;
    case WindowRule::Pattern:
      sliding[index] = (layer + 1) % pattern != 0;
      break;
    }
  }
  return sliding;
}

/// scale_attn_weights and scale_attn_by_inverse_layer_idx.
void Reader::readGpt2Scale(std::vector<LayerClass> &layers) {
  if (!config.boolean("scale_attn_weights", true))
    for (LayerClass &layer : layers)
      layer.scale = 1.0;
  if (config.boolean("scale_attn_by_inverse_layer_idx", false))
    for (LayerClass &layer : layers)
      layer.scale /= double(layer.layers.front() + 1);
}

std::optional<Rope> Reader::readRope(bool sliding) {
  const json::Value *given = config.find("rope_parameters");
  if (!given)
    given = config.find("rope_scaling");
  if (given && !given->isObject()) {
    failure.add(given->requireKind(json::Kind::Object).error());
    return std::nullopt;
  }
  bool gemma3 = family.modelType == "gemma3_text";
  const char *type = sliding ? "sliding_attention" : "full_attention";
  bool nested = given && (given->find("full_attention") || given->find("sliding_attention"));
  if (nested) {
    const json::Value *own = given->find(type);
    if (own && own->isNull())
      return std::nullopt; // layers of this type have no rope
    given = own;
  } else if (gemma3 && sliding) {
    given = nullptr; // rope_scaling of the 4 form is for the full layers
  }

  static const json::Document nothing = std::move(*json::Document::parse("{}", ""));
  Fields parameters(given ? *given : nothing.root(), failure);
  Rope rope;
  rope.pairing = family.interleaved ? Pairing::Interleaved : Pairing::Half;
  if (common.mla)
    rope.pairing = config.boolean("rope_interleave", true) ? Pairing::Interleaved : Pairing::Half;
  double theta = gemma3 && sliding ? config.real("rope_local_base_freq", 1e4, 1.0, kMaxReal)
                                   : config.real("rope_theta", family.theta, 1.0, kMaxReal);
  rope.theta = parameters.real("rope_theta", theta, 1.0, kMaxReal);

  double part =
      parameters.real("partial_rotary_factor",
                      config.real("partial_rotary_factor", family.rotaryPart, 0.0, 1.0), 0.0, 1.0);
  rope.dim = common.mla ? common.mla->ropeDim : int64_t(double(common.headDim) * part);
  if (rope.dim < 2 || rope.dim % 2 != 0) {
    failure.add(makeError(Status::InvalidArgument, "rope turns " + std::to_string(rope.dim) +
                                                       " of " + std::to_string(common.headDim) +
                                                       " dims: must be an even number"));
    failure.error->diagnostic.code = "spec-rope";
    failure.error->diagnostic.where = common.places[Feature::HeadDim].where;
    return std::nullopt;
  }
  const json::Value *at = given ? given : &config.value();
  common.places[Feature::Rope] = {"rope", at->location()};
  readRopeParameters(rope, parameters);
  bool attentionFactorGiven = parameters.find("attention_factor") != nullptr;
  if (attentionFactorGiven)
    rope.attentionFactor = parameters.real("attention_factor", 1.0, 0.0, kMaxReal);
  finishRope(rope, attentionFactorGiven, spec.maxPosition, *at, failure);
  if (common.mla && rope.kind == RopeKind::Yarn && !sliding && rope.mscaleAllDim != 0.0) {
    double mscale = yarnMscale(rope.factor, rope.mscaleAllDim);
    common.scale = mscale * mscale / std::sqrt(double(common.headDim));
  }
  return rope;
}

void Reader::readRopeParameters(Rope &rope, Fields &parameters) {
  bool gptOss = family.modelType == "gpt_oss";
  const json::Value *kind = parameters.find("rope_type");
  if (!kind)
    kind = parameters.find("type");
  if (kind) {
    if (auto checked = kind->requireKind(json::Kind::String); !checked) {
      failure.add(checked.error());
      return;
    }
    std::string name = kind->string();
    if (family.modelType == "phi3" && (name == "su" || name == "yarn"))
      name = "longrope";
    std::optional<RopeKind> parsed = parseRopeKind(name);
    if (!parsed) {
      Error error = kind->error("spec-rope", "unknown rope type " + kind->shown());
      error.diagnostic.notes.push_back(
          makeNote("known: default, linear, dynamic, llama3, yarn, longrope"));
      failure.add(std::move(error));
      return;
    }
    rope.kind = *parsed;
  } else if (gptOss && parameters.value().size() == 0) {
    // The class's own default where the file says nothing.
    rope.kind = RopeKind::Yarn;
    rope.factor = 32.0;
    rope.truncate = false;
    rope.originalPositions = 4096;
    return;
  }

  switch (rope.kind) {
  case RopeKind::Plain:
    return;
  case RopeKind::Dynamic:
    rope.originalPositions = spec.fileMaxPosition;
    [[fallthrough]];
  case RopeKind::Linear:
    parameters.require("factor");
    rope.factor = parameters.real("factor", 1.0, 0.0, kMaxReal);
    return;
  default:
    break;
  }
  int64_t original = parameters.integer("original_max_position_embeddings", spec.fileMaxPosition, 1,
                                        kMaxPositions);
  if (family.modelType == "phi3" && !parameters.find("original_max_position_embeddings"))
    original = 4096;
  rope.originalPositions =
      config.integer("original_max_position_embeddings", original, 1, kMaxPositions);
  if (rope.kind == RopeKind::Longrope) {
    parameters.require("short_factor");
    parameters.require("long_factor");
    rope.shortFactor = parameters.reals("short_factor", 0.0, kMaxReal);
    rope.longFactor = parameters.reals("long_factor", 0.0, kMaxReal);
    rope.factor = parameters.real(
        "factor", double(spec.fileMaxPosition) / double(rope.originalPositions), 0.0, kMaxReal);
    return;
  }
  parameters.require("factor");
  rope.factor = parameters.real("factor", 1.0, 0.0, kMaxReal);
  if (rope.kind == RopeKind::Llama3) {
    parameters.require("low_freq_factor");
    parameters.require("high_freq_factor");
    rope.lowFrequencyFactor = parameters.real("low_freq_factor", 1.0, 0.0, kMaxReal);
    rope.highFrequencyFactor = parameters.real("high_freq_factor", 4.0, 0.0, kMaxReal);
    return;
  }
  rope.betaFast = parameters.real("beta_fast", 32.0, 0.0, kMaxReal);
  rope.betaSlow = parameters.real("beta_slow", 1.0, 0.0, kMaxReal);
  rope.mscale = parameters.real("mscale", 0.0, -1.0, kMaxReal);
  rope.mscaleAllDim = parameters.real("mscale_all_dim", 0.0, -1.0, kMaxReal);
  rope.truncate = parameters.boolean("truncate", true);
}

} // namespace

Result<Reading> spec::readHuggingFace(const json::Value &root, const SpecOptions &options) {
  Result<std::string> type = (*root.require("model_type"))->asString();
  if (!type)
    return type.error();
  const json::Value *config = &root;
  const Family *family = findFamily(*type);
  if (!family) {
    // A model of several parts keeps its language model in text_config.
    const json::Value *text = root.find("text_config");
    const json::Value *textType = text ? text->find("model_type") : nullptr;
    if (textType && textType->isString())
      family = findFamily(textType->string());
    if (!family)
      return unknownModelType(*root.find("model_type"));
    config = text;
  }
  Result<ModelSpec> spec = Reader(*config, *family, options).read();
  if (!spec)
    return spec.error();
  Reading reading{std::move(*spec), nullptr};
  for (const json::Value *object : {config, &root})
    for (const char *key : {"dtype", "torch_dtype"})
      if (const json::Value *value = object->find(key); value && !value->isNull() && !reading.dtype)
        reading.dtype = value;
  return reading;
}
