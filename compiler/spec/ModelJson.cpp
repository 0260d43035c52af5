//===- ModelJson.cpp - reading and writing attncc's own model.json ---------===//
//
// docs/spec.md describes the form, docs/model.schema.json checks it. The reader
// refuses unknown keys; the writer names every key, so that reading what it wrote
// gives an equal spec. Tests: test/spec/ModelJsonTest.cpp, test/spec/schema-test.py.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/Readers.h"
#include "runtime/support/JsonTree.h"

#include <algorithm>
#include <cmath>

using namespace attncc;
using namespace attncc::spec;

namespace {

constexpr std::string_view kSchema = "attncc.model/1";

/// Values by which frequencies depend on the length of the context.
bool dependsOnPositions(RopeKind kind) {
  return kind == RopeKind::Dynamic || kind == RopeKind::Longrope;
}

class Reader {
public:
  Reader(const json::Value &root, const SpecOptions &options)
      : root(root), options(options), top(root, failure) {}
  Result<Reading> read();

private:
  void checkSchema();
  LayerClass readClass(const json::Value &value);
  std::vector<int64_t> readLayers(Fields &fields);
  void readMask(LayerClass &made, Fields &fields);
  void readBiases(LayerClass &made, Fields &fields);
  Rope readRope(const json::Value &value, int64_t rotatable);

  Failure failure;
  const json::Value &root;
  const SpecOptions &options;
  Fields top;
  ModelSpec spec;
  std::vector<const json::Value *> owner; // of each layer: the class that lists it
};

Result<Reading> Reader::read() {
  Reading reading;
  checkSchema();
  spec.modelType = top.string("model_type", "");
  spec.hiddenSize = top.integer("hidden_size", 0, 0, kMaxWidth);
  spec.vocabulary = top.integer("vocabulary", 0, 0, kMaxWidth);
  spec.learnedPositions = top.boolean("learned_positions", false);
  top.require("layers");
  spec.numLayers = top.integer("layers", 1, 1, kMaxLayers);
  top.require("max_position");
  spec.fileMaxPosition = top.integer("max_position", 1, 1, kMaxPositions);
  spec.maxPosition = options.maxPosition.value_or(spec.fileMaxPosition);
  if (spec.learnedPositions && spec.maxPosition > spec.fileMaxPosition)
    top.fail(root, "spec-positions",
             "a maximum position of " + std::to_string(spec.maxPosition) +
                 " is asked for, but positions are learned up to max_position " +
                 std::to_string(spec.fileMaxPosition));
  reading.dtype = top.find("dtype");
  if (reading.dtype && reading.dtype->isString() && !parseDType(reading.dtype->string()))
    top.fail(*reading.dtype, "spec-dtype",
             "dtype is " + reading.dtype->shown() + ", must be \"f16\", \"bf16\" or \"f32\"");
  const json::Value *classes = top.require("layer_classes");
  top.refuseOthers();
  if (failure)
    return *failure.error;
  if (auto checked = classes->requireKind(json::Kind::Array); !checked)
    return checked.error();

  owner.assign(static_cast<size_t>(spec.numLayers), nullptr);
  std::vector<LayerClass> made;
  for (size_t i = 0; i < classes->size() && !failure; ++i)
    made.push_back(readClass((*classes)[i]));
  for (size_t layer = 0; layer < owner.size() && !failure; ++layer)
    if (!owner[layer])
      top.fail(*classes, "spec-layers", "layer " + std::to_string(layer) + " is in no class");
  for (size_t i = 0; i < made.size() && !failure; ++i)
    for (size_t j = 0; j < i; ++j)
      if (!made[i].name.empty() && made[i].name == made[j].name)
        top.fail((*classes)[i], "spec-layers", "two classes are named \"" + made[i].name + "\"");
  if (failure)
    return *failure.error;
  spec.classes = groupLayers(std::move(made));
  reading.spec = std::move(spec);
  return reading;
}

void Reader::checkSchema() {
  const json::Value *value = top.require("schema");
  std::string schema = top.string("schema", "");
  if (failure || schema == kSchema || schema == std::string(kSchema) + ".0")
    return;
  top.fail(*value, "spec-schema",
           "schema is " + value->shown() + ", must be \"" + std::string(kSchema) + "\"");
}

LayerClass Reader::readClass(const json::Value &value) {
  LayerClass made;
  Fields fields(value, failure);
  if (failure)
    return made;
  made.name = fields.string("name", "");
  bool plain = made.name.empty() || (made.name[0] >= 'a' && made.name[0] <= 'z');
  for (char c : made.name)
    plain &= (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  if (!plain || made.name.size() > 40)
    fields.fail(*fields.find("name"), "spec-name",
                "name is " + fields.find("name")->shown() +
                    ", must be at most 40 of a-z, 0-9 and _, a letter first");
  made.layers = readLayers(fields);

  const json::Value *heads = fields.require("query_heads");
  made.queryHeads = fields.integer("query_heads", 1, 1, kMaxHeads);
  made.kvHeads = fields.integer("kv_heads", made.queryHeads, 1, kMaxHeads);
  if (!failure && made.queryHeads % made.kvHeads != 0) {
    Error error =
        fields.find("kv_heads")
            ->error("spec-heads", "kv_heads is " + std::to_string(made.kvHeads) +
                                      ", but query_heads is " + std::to_string(made.queryHeads) +
                                      ": query heads must be a multiple of kv heads");
    error.diagnostic.notes.push_back(heads->note());
    failure.add(std::move(error));
  }
  fields.require("head_dim");
  made.headDim = fields.integer("head_dim", 1, 1, kMaxDim);
  made.valueDim = fields.integer("value_dim", made.headDim, 1, kMaxDim);
  made.scale = fields.real("scale", 1.0 / std::sqrt(double(made.headDim)), 0.0, kMaxReal);
  readMask(made, fields);
  if (fields.find("softcap"))
    made.softcap = fields.real("softcap", 1.0, 0.0, kMaxReal);
  made.sinks = fields.boolean("sinks", false);
  readBiases(made, fields);
  if (const json::Value *norm = fields.find("qk_norm")) {
    Fields parameters(*norm, failure);
    made.qkNorm = QkNorm{parameters.real("epsilon", 1e-6, 0.0, 1.0),
                         parameters.boolean("one_plus_weight", false)};
    parameters.refuseOthers();
  }
  if (const json::Value *latent = fields.find("latent")) {
    Fields parameters(*latent, failure);
    Mla mla;
    mla.qLoraRank = parameters.integer("query_rank", 0, 0, kMaxWidth);
    parameters.require("kv_rank");
    mla.kvLoraRank = parameters.integer("kv_rank", 1, 1, kMaxDim);
    parameters.require("rope_dim");
    mla.ropeDim = parameters.integer("rope_dim", 2, 2, kMaxDim);
    mla.nopeDim = made.headDim - mla.ropeDim;
    parameters.refuseOthers();
    if (!failure && mla.nopeDim < 1)
      fields.fail(*latent, "spec-latent",
                  "rope_dim is " + std::to_string(mla.ropeDim) + ", must be less than head_dim " +
                      std::to_string(made.headDim));
    made.mla = mla;
  }
  if (const json::Value *rope = fields.find("rope"); rope && !failure)
    made.rope = readRope(*rope, made.mla ? made.mla->ropeDim : made.headDim);
  for (auto [feature, key] :
       {std::pair(Feature::Mla, "latent"), std::pair(Feature::Softcap, "softcap"),
        std::pair(Feature::Sinks, "sinks"), std::pair(Feature::QkNorm, "qk_norm"),
        std::pair(Feature::Rope, "rope"), std::pair(Feature::HeadDim, "head_dim"),
        std::pair(Feature::ValueDim, "value_dim")})
    if (const json::Value *at = fields.find(key))
      made.places[feature] = {key, at->location()};
  fields.refuseOthers();
  return made;
}

/// [[first, last], [first, last, step], …]; absent: all layers.
std::vector<int64_t> Reader::readLayers(Fields &fields) {
  std::vector<int64_t> layers;
  auto take = [&](int64_t layer, const json::Value &at) {
    const json::Value *&taken = owner[static_cast<size_t>(layer)];
    if (taken) {
      Error error = at.error("spec-layers", "layer " + std::to_string(layer) + " is listed twice");
      error.diagnostic.notes.push_back(taken->note());
      failure.add(std::move(error));
      return;
    }
    taken = &at;
    layers.push_back(layer);
  };
  const json::Value *ranges = fields.find("layers");
  if (!ranges) {
    for (int64_t layer = 0; layer < spec.numLayers && !failure; ++layer)
      take(layer, fields.value());
    return layers;
  }
  if (auto checked = ranges->requireKind(json::Kind::Array); !checked) {
    failure.add(checked.error());
    return layers;
  }
  if (ranges->size() == 0)
    fields.fail(*ranges, "spec-layers", "layers is empty");
  for (size_t i = 0; i < ranges->size() && !failure; ++i) {
    const json::Value &range = (*ranges)[i];
    if (!range.isArray() || range.size() < 2 || range.size() > 3) {
      fields.fail(range, "spec-layers",
                  range.name() + " is " + range.shown() +
                      ", must be [first, last] or [first, last, step]");
      break;
    }
    int64_t bounds[3] = {0, 0, 1};
    for (size_t j = 0; j < range.size(); ++j) {
      // last >= first, and a step of at least one
      int64_t least = j == 0 ? 0 : j == 1 ? bounds[0] : 1;
      Result<int64_t> bound = range[j].asInteger(least, spec.numLayers - (j == 2 ? 0 : 1));
      if (!bound) {
        failure.add(bound.error());
        return layers;
      }
      bounds[j] = *bound;
    }
    for (int64_t layer = bounds[0]; layer <= bounds[1] && !failure; layer += bounds[2])
      take(layer, range);
  }
  return layers;
}

void Reader::readMask(LayerClass &made, Fields &fields) {
  const json::Value *mask = fields.find("mask");
  if (!mask)
    return;
  Fields terms(*mask, failure);
  made.causal = terms.boolean("causal", true);
  if (const json::Value *window = terms.find("window")) {
    made.window = terms.integer("window", 1, 1, std::numeric_limits<int64_t>::max());
    made.windowEffective = *made.window < spec.maxPosition;
    made.places[Feature::Window] = {"window", window->location()};
  }
  terms.refuseOthers();
}

void Reader::readBiases(LayerClass &made, Fields &fields) {
  const json::Value *list = fields.find("biases");
  if (!list)
    return;
  if (auto checked = list->requireKind(json::Kind::Array); !checked) {
    failure.add(checked.error());
    return;
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const json::Value &entry = (*list)[i];
    std::string name = entry.isString() ? entry.string() : "";
    if (name == "query")
      made.biases.query = true;
    else if (name == "key")
      made.biases.key = true;
    else if (name == "value")
      made.biases.value = true;
    else if (name == "output")
      made.biases.output = true;
    else
      fields.fail(entry, "spec-biases",
                  entry.name() + " is " + entry.shown() +
                      ", must be \"query\", \"key\", \"value\" or \"output\"");
  }
}

Rope Reader::readRope(const json::Value &value, int64_t rotatable) {
  Rope rope;
  Fields fields(value, failure);
  std::string pairing = fields.string("pairing", "half");
  if (pairing == "interleaved")
    rope.pairing = Pairing::Interleaved;
  else if (pairing != "half")
    fields.fail(*fields.find("pairing"), "spec-rope",
                "pairing is " + fields.find("pairing")->shown() +
                    ", must be \"half\" or \"interleaved\"");
  rope.dim = fields.integer("dim", rotatable, 2, kMaxDim);
  if (!failure && (rope.dim % 2 != 0 || rope.dim > rotatable)) {
    const json::Value *dim = fields.find("dim");
    fields.fail(dim ? *dim : value, "spec-rope",
                "rope turns " + std::to_string(rope.dim) + " dims: must be even and at most " +
                    std::to_string(rotatable));
  }
  rope.theta = fields.real("theta", 10000.0, 1.0, kMaxReal);
  std::string kind = fields.string("kind", "default");
  std::optional<RopeKind> parsed = parseRopeKind(kind);
  if (!parsed)
    fields.fail(*fields.find("kind"), "spec-rope",
                "kind is " + fields.find("kind")->shown() +
                    ", must be default, linear, dynamic, llama3, yarn or longrope");
  rope.kind = parsed.value_or(RopeKind::Plain);
  if (rope.kind != RopeKind::Plain && rope.kind != RopeKind::Longrope)
    fields.require("factor");
  bool extends = rope.kind == RopeKind::Llama3 || rope.kind == RopeKind::Yarn ||
                 rope.kind == RopeKind::Longrope;
  if (extends)
    fields.require("original_positions");
  int64_t original = extends || rope.kind == RopeKind::Dynamic ? spec.fileMaxPosition : 0;
  rope.originalPositions = fields.integer("original_positions", original, 1, kMaxPositions);
  double stretch = rope.kind == RopeKind::Longrope && rope.originalPositions > 0
                       ? double(spec.fileMaxPosition) / double(rope.originalPositions)
                       : 1.0;
  rope.factor = fields.real("factor", stretch, 0.0, kMaxReal);
  rope.lowFrequencyFactor = fields.real("low_frequency_factor", 1.0, 0.0, kMaxReal);
  rope.highFrequencyFactor = fields.real("high_frequency_factor", 4.0, 0.0, kMaxReal);
  rope.betaFast = fields.real("beta_fast", 32.0, 0.0, kMaxReal);
  rope.betaSlow = fields.real("beta_slow", 1.0, 0.0, kMaxReal);
  rope.truncate = fields.boolean("truncate", true);
  rope.mscale = fields.real("mscale", 0.0, -1.0, kMaxReal);
  rope.mscaleAllDim = fields.real("mscale_all_dim", 0.0, -1.0, kMaxReal);
  rope.shortFactor = fields.reals("short_factor", 0.0, kMaxReal);
  rope.longFactor = fields.reals("long_factor", 0.0, kMaxReal);
  bool attentionFactorGiven = fields.find("attention_factor") != nullptr;
  rope.attentionFactor = fields.real("attention_factor", 1.0, 0.0, kMaxReal);
  const json::Value *given = fields.find("inverse_frequencies");
  std::vector<double> frequencies = fields.reals("inverse_frequencies", -1.0, kMaxReal);
  fields.refuseOthers();
  finishRope(rope, attentionFactorGiven, spec.maxPosition, value, failure);
  if (!given || failure)
    return rope;
  if (int64_t(frequencies.size()) != rope.dim / 2)
    fields.fail(*given, "spec-rope",
                "inverse_frequencies has " + std::to_string(frequencies.size()) +
                    " values, must have " + std::to_string(rope.dim / 2));
  // Given frequencies hold, unless they were made for another length of the context.
  if (dependsOnPositions(rope.kind) && spec.maxPosition != spec.fileMaxPosition)
    return rope;
  rope.inverseFrequencies.clear();
  for (double frequency : frequencies)
    rope.inverseFrequencies.push_back(static_cast<float>(frequency));
  return rope;
}

json::Tree ropeTree(const Rope &rope) {
  json::Tree tree;
  tree["pairing"] = pairingName(rope.pairing);
  tree["dim"] = rope.dim;
  tree["theta"] = rope.theta;
  tree["kind"] = ropeKindName(rope.kind);
  tree["attention_factor"] = rope.attentionFactor;
  tree["inverse_frequencies"] = rope.inverseFrequencies;
  if (rope.kind != RopeKind::Plain)
    tree["factor"] = rope.factor;
  if (rope.originalPositions > 0)
    tree["original_positions"] = rope.originalPositions;
  if (rope.kind == RopeKind::Llama3) {
    tree["low_frequency_factor"] = rope.lowFrequencyFactor;
    tree["high_frequency_factor"] = rope.highFrequencyFactor;
  }
  if (rope.kind == RopeKind::Yarn) {
    tree["beta_fast"] = rope.betaFast;
    tree["beta_slow"] = rope.betaSlow;
    tree["truncate"] = rope.truncate;
    tree["mscale"] = rope.mscale;
    tree["mscale_all_dim"] = rope.mscaleAllDim;
  }
  if (rope.kind == RopeKind::Longrope) {
    tree["short_factor"] = rope.shortFactor;
    tree["long_factor"] = rope.longFactor;
  }
  return tree;
}

/// Ascending layers as few ranges: [first, last], or [first, last, step] where they skip.
json::Tree layersTree(const std::vector<int64_t> &layers) {
  json::Tree ranges = json::Tree::array();
  for (size_t first = 0; first < layers.size();) {
    size_t last = first;
    int64_t step = first + 1 < layers.size() ? layers[first + 1] - layers[first] : 1;
    while (last + 1 < layers.size() && layers[last + 1] - layers[last] == step)
      ++last;
    if (step > 1 && last == first + 1) { // two layers are no progression
      last = first;
      step = 1;
    }
    json::Tree range = json::Tree::array();
    range.push(layers[first]);
    range.push(layers[last]);
    if (step > 1)
      range.push(step);
    ranges.push(std::move(range));
    first = last + 1;
  }
  return ranges;
}

json::Tree classTree(const LayerClass &layerClass) {
  json::Tree tree;
  tree["name"] = layerClass.name;
  tree["layers"] = layersTree(layerClass.layers);
  tree["query_heads"] = layerClass.queryHeads;
  tree["kv_heads"] = layerClass.kvHeads;
  tree["head_dim"] = layerClass.headDim;
  tree["value_dim"] = layerClass.valueDim;
  tree["scale"] = layerClass.scale;
  tree["mask"]["causal"] = layerClass.causal;
  tree["mask"]["window"] = layerClass.window ? json::Tree(*layerClass.window) : json::Tree();
  tree["softcap"] = layerClass.softcap ? json::Tree(*layerClass.softcap) : json::Tree();
  tree["sinks"] = layerClass.sinks;
  tree["qk_norm"] = json::Tree();
  if (layerClass.qkNorm) {
    tree["qk_norm"]["epsilon"] = layerClass.qkNorm->epsilon;
    tree["qk_norm"]["one_plus_weight"] = layerClass.qkNorm->onePlusWeight;
  }
  tree["latent"] = json::Tree();
  if (layerClass.mla) {
    tree["latent"]["query_rank"] = layerClass.mla->qLoraRank;
    tree["latent"]["kv_rank"] = layerClass.mla->kvLoraRank;
    tree["latent"]["rope_dim"] = layerClass.mla->ropeDim;
  }
  tree["rope"] = layerClass.rope ? ropeTree(*layerClass.rope) : json::Tree();
  json::Tree biases = json::Tree::array();
  for (auto [has, name] :
       {std::pair(layerClass.biases.query, "query"), std::pair(layerClass.biases.key, "key"),
        std::pair(layerClass.biases.value, "value"), std::pair(layerClass.biases.output, "output")})
    if (has)
      biases.push(name);
  tree["biases"] = std::move(biases);
  return tree;
}

} // namespace

Result<Reading> spec::readModelJson(const json::Value &root, const SpecOptions &options) {
  return Reader(root, options).read();
}

std::string spec::canonicalSpecText(const ModelSpec &spec) {
  json::Tree tree;
  tree["schema"] = std::string(kSchema);
  tree["model_type"] = spec.modelType;
  tree["hidden_size"] = spec.hiddenSize;
  tree["vocabulary"] = spec.vocabulary;
  tree["layers"] = spec.numLayers;
  tree["max_position"] = spec.maxPosition;
  tree["learned_positions"] = spec.learnedPositions;
  tree["dtype"] = dtypeName(spec.dtype);
  json::Tree classes = json::Tree::array();
  for (const LayerClass &layerClass : spec.classes)
    classes.push(classTree(layerClass));
  tree["layer_classes"] = std::move(classes);
  return tree.text() + "\n";
}
