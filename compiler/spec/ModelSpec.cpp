//===- ModelSpec.cpp - from a file to layer classes ------------------------===//
// See ModelSpec.h. The two file forms are read in HuggingFace.cpp and ModelJson.cpp.
#include "compiler/spec/ModelSpec.h"

#include "compiler/spec/Families.h"
#include "compiler/spec/Readers.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

using namespace attncc;
using namespace attncc::spec;

const char *spec::dtypeName(DType type) {
  return type == DType::F16 ? "f16" : type == DType::BF16 ? "bf16" : "f32";
}

std::optional<DType> spec::parseDType(std::string_view name) {
  if (name.starts_with("torch."))
    name.remove_prefix(6);
  if (name == "f16" || name == "fp16" || name == "float16" || name == "half")
    return DType::F16;
  if (name == "bf16" || name == "bfloat16")
    return DType::BF16;
  if (name == "f32" || name == "fp32" || name == "float32" || name == "float")
    return DType::F32;
  return std::nullopt;
}

bool LayerClass::computesTheSameAs(const LayerClass &other) const {
  // A window that never bites does not keep two layers apart.
  auto seen = [](const LayerClass &c) { return c.windowEffective ? c.window : std::nullopt; };
  return queryHeads == other.queryHeads && kvHeads == other.kvHeads && headDim == other.headDim &&
         valueDim == other.valueDim && scale == other.scale && causal == other.causal &&
         seen(*this) == seen(other) && softcap == other.softcap && sinks == other.sinks &&
         qkNorm == other.qkNorm && mla == other.mla && rope == other.rope && biases == other.biases;
}

const LayerClass &ModelSpec::classOf(int64_t layer) const {
  for (const LayerClass &candidate : classes)
    if (std::binary_search(candidate.layers.begin(), candidate.layers.end(), layer))
      return candidate;
  return classes.front();
}

std::vector<LayerClass> spec::groupLayers(std::vector<LayerClass> layers) {
  std::vector<LayerClass> classes;
  for (LayerClass &layer : layers) {
    auto same = std::find_if(classes.begin(), classes.end(),
                             [&](const LayerClass &c) { return c.computesTheSameAs(layer); });
    if (same == classes.end()) {
      classes.push_back(std::move(layer));
      continue;
    }
    same->layers.insert(same->layers.end(), layer.layers.begin(), layer.layers.end());
    if (same->name.empty())
      same->name = std::move(layer.name);
  }
  for (LayerClass &made : classes)
    std::sort(made.layers.begin(), made.layers.end());
  std::sort(classes.begin(), classes.end(), [](const LayerClass &a, const LayerClass &b) {
    return a.layers.front() < b.layers.front();
  });

  std::set<std::string> taken;
  for (const LayerClass &named : classes)
    taken.insert(named.name);
  std::map<std::string, int> number; // of the last class with this base
  for (LayerClass &nameless : classes) {
    if (!nameless.name.empty())
      continue;
    std::string base = nameless.mla ? "latent" : nameless.windowEffective ? "sliding" : "full";
    std::string name;
    do {
      int next = ++number[base];
      name = next == 1 ? base : base + "_" + std::to_string(next);
    } while (!taken.insert(name).second);
    nameless.name = std::move(name);
  }
  return classes;
}

void spec::finishRope(Rope &rope, bool attentionFactorGiven, int64_t maxPosition,
                      const json::Value &at, Failure &failure) {
  auto fail = [&](const std::string &message) { failure.add(at.error("spec-rope", message)); };
  auto number = [](double value) { return shortNumber(value); };
  if (failure)
    return;
  if (rope.kind == RopeKind::Llama3 && rope.highFrequencyFactor <= rope.lowFrequencyFactor)
    return fail("llama3's high frequency factor is " + number(rope.highFrequencyFactor) +
                ", must be more than the low one, " + number(rope.lowFrequencyFactor));
  if (rope.kind == RopeKind::Yarn && rope.betaFast < rope.betaSlow)
    return fail("beta_fast is " + number(rope.betaFast) + ", must be at least beta_slow, " +
                number(rope.betaSlow));
  if (rope.kind == RopeKind::Longrope) {
    for (auto [name, factors] :
         {std::pair("short_factor", &rope.shortFactor), std::pair("long_factor", &rope.longFactor)})
      if (int64_t(factors->size()) != rope.dim / 2)
        return fail(std::string(name) + " has " + std::to_string(factors->size()) +
                    " values, must have " + std::to_string(rope.dim / 2) +
                    ": one for each pair of " + std::to_string(rope.dim) + " rotated dims");
  }
  if (!attentionFactorGiven)
    rope.attentionFactor = defaultAttentionFactor(rope);
  rope.inverseFrequencies = inverseFrequencies(rope, maxPosition);
  bool finite = std::isfinite(static_cast<float>(rope.attentionFactor));
  for (float frequency : rope.inverseFrequencies)
    finite &= std::isfinite(frequency);
  if (!finite)
    fail("these parameters give frequencies that are not finite");
}

/// --dtype, else the file's type if it has 16 bits, else bf16 and a note.
static void chooseType(ModelSpec &spec, const json::Value *given, const SpecOptions &options) {
  if (given)
    spec.fileDtype = given->string();
  std::optional<DType> fileType = parseDType(spec.fileDtype);
  if (options.dtype) {
    spec.dtype = *options.dtype;
    return;
  }
  if (fileType && *fileType != DType::F32) {
    spec.dtype = *fileType;
    return;
  }
  spec.dtype = DType::BF16;
  Diagnostic note = makeNote(
      (given ? given->name() + " is " + given->shown() : std::string("no dtype is given")) +
      ": kernels are compiled for bf16; --dtype=f16 chooses otherwise");
  note.code = "spec-dtype";
  note.where.file = spec.file;
  if (given)
    note.where = given->location();
  spec.notes.push_back(std::move(note));
}

static Result<ModelSpec> readDocument(const json::Document &document, const SpecOptions &options) {
  const json::Value &root = document.root();
  if (auto checked = root.requireKind(json::Kind::Object); !checked)
    return checked.error();
  bool own = root.find("schema") != nullptr;
  if (!own && !root.find("model_type")) {
    Error error = root.error("spec-form", "neither \"model_type\" (a Hugging Face config.json) nor "
                                          "\"schema\" (a model.json) is here");
    error.diagnostic.notes.push_back(makeNote("docs/spec.md describes both forms"));
    return error;
  }
  Result<Reading> reading = own ? readModelJson(root, options) : readHuggingFace(root, options);
  if (!reading)
    return reading.error();
  ModelSpec &spec = reading->spec;
  spec.file = document.file();
  spec.sourceName = spec.file.substr(spec.file.find_last_of('/') + 1);
  if (reading->dtype)
    if (auto checked = reading->dtype->requireKind(json::Kind::String); !checked)
      return checked.error();
  chooseType(spec, reading->dtype, options);
  return std::move(spec);
}

Result<ModelSpec> spec::parseModelSpec(std::string_view text, const std::string &file,
                                       const SpecOptions &options) {
  Result<json::Document> document = json::Document::parse(text, file);
  if (!document)
    return document.error();
  return readDocument(*document, options);
}

Result<ModelSpec> spec::readModelSpec(const std::string &path, const SpecOptions &options) {
  Result<json::Document> document = json::Document::read(path);
  if (!document)
    return document.error();
  return readDocument(*document, options);
}

std::string spec::layerRangeText(const std::vector<int64_t> &layers) {
  auto number = [](int64_t n) { return std::to_string(n); };
  if (layers.empty())
    return "none";
  if (layers.size() == 1)
    return number(layers[0]);
  int64_t step = layers[1] - layers[0];
  bool regular = true;
  for (size_t i = 2; i < layers.size(); ++i)
    regular &= layers[i] - layers[i - 1] == step;
  std::string ends = number(layers.front()) + "-" + number(layers.back());
  if (regular && step == 1)
    return ends;
  if (regular && step == 2 && layers.size() > 2)
    return ends + (layers[0] % 2 == 0 ? " even" : " odd");
  if (regular && layers.size() > 2)
    return ends + " every " + number(step);
  std::string text;
  for (size_t first = 0; first < layers.size();) {
    size_t last = first;
    while (last + 1 < layers.size() && layers[last + 1] == layers[last] + 1)
      ++last;
    text += (text.empty() ? "" : ", ") + number(layers[first]);
    if (last > first)
      text += "-" + number(layers[last]);
    first = last + 1;
  }
  return text;
}

std::string spec::featureText(const LayerClass &layerClass) {
  std::string text;
  auto add = [&](const std::string &feature) { text += (text.empty() ? "" : ", ") + feature; };
  if (layerClass.mla)
    add("latent " + std::to_string(layerClass.mla->kvLoraRank) + " + " +
        std::to_string(layerClass.mla->ropeDim));
  if (!layerClass.causal)
    add("not causal");
  if (layerClass.windowEffective)
    add("window " + std::to_string(*layerClass.window));
  if (layerClass.softcap)
    add("softcap " + shortNumber(*layerClass.softcap));
  if (layerClass.sinks)
    add("sinks");
  if (layerClass.qkNorm)
    add(layerClass.qkNorm->onePlusWeight ? "qk norm 1 + w" : "qk norm");
  if (!layerClass.rope)
    add("no rope");
  else if (layerClass.rope->kind != RopeKind::Plain)
    add(std::string("rope ") + ropeKindName(layerClass.rope->kind));
  std::string biased;
  for (auto [has, letter] :
       {std::pair(layerClass.biases.query, 'q'), std::pair(layerClass.biases.key, 'k'),
        std::pair(layerClass.biases.value, 'v'), std::pair(layerClass.biases.output, 'o')})
    if (has)
      biased += std::string(" ") + letter;
  if (!biased.empty())
    add("biases" + biased);
  return text.empty() ? "causal" : text;
}

std::vector<std::string> spec::knownModelTypes() {
  std::vector<std::string> names;
  for (const Family &family : allFamilies())
    names.emplace_back(family.modelType);
  return names;
}
