//===- Check.cpp - which layer classes are compiled, and why not -----------===//
// See Check.h. Test: test/spec/CheckTest.cpp.
#include "compiler/spec/Check.h"
#include "compiler/spec/Fields.h"

#include <algorithm>

using namespace attncc;
using namespace attncc::spec;

namespace {

// mma.sync m16n8k16 contracts 16 dims at a time; beyond 256 one row of the accumulator no longer
// fits a thread's registers.
constexpr int64_t kDimStep = 16;
constexpr int64_t kMaxHeadDim = 256;

/// The place that the reader noted, or the feature's usual key and no location.
Place placeOf(const LayerClass &layerClass, Feature feature, const char *usualKey) {
  auto found = layerClass.places.find(feature);
  return found != layerClass.places.end() ? found->second : Place{usualKey, {}};
}

} // namespace

Verdict spec::checkLayerClass(const ModelSpec &spec, const LayerClass &layerClass,
                              std::string_view target) {
  Verdict verdict;
  auto refuse = [&](Feature feature, const char *usualKey, const std::string &value,
                    const std::string &reason) {
    Place place = placeOf(layerClass, feature, usualKey);
    std::string subject = value.empty() ? place.key : place.key + " " + value;
    verdict.refusals.push_back({feature, subject, reason, place.where});
  };
  if (layerClass.mla)
    refuse(Feature::Mla, "kv_lora_rank", std::to_string(layerClass.mla->kvLoraRank),
           "multi-head latent attention is not compiled yet");
  if (layerClass.softcap)
    refuse(Feature::Softcap, "softcap", shortNumber(*layerClass.softcap),
           "logit softcap is not compiled yet");
  if (layerClass.sinks)
    refuse(Feature::Sinks, "an attention sink per head", "",
           "attention sinks are not compiled yet");
  if (layerClass.windowEffective)
    refuse(Feature::Window, "sliding_window", std::to_string(*layerClass.window),
           "sliding window is not compiled yet");
  if (layerClass.qkNorm && layerClass.qkNorm->onePlusWeight)
    refuse(Feature::QkNorm, "qk norm by 1 + weight", "",
           "qk norm by 1 + weight is not compiled yet");
  if (layerClass.mla) // its dims and rope are those of a kernel of its own
    return verdict;
  auto dimRefused = [](int64_t dim) { return dim % kDimStep != 0 || dim > kMaxHeadDim; };
  if (dimRefused(layerClass.headDim))
    refuse(Feature::HeadDim, "head_dim", std::to_string(layerClass.headDim),
           "head_dim " + std::to_string(layerClass.headDim) + " is not a multiple of 16 up to 256");
  if (layerClass.valueDim != layerClass.headDim)
    refuse(Feature::ValueDim, "value_dim", std::to_string(layerClass.valueDim),
           "values of another width than keys are not compiled yet");
  if (layerClass.rope && layerClass.rope->dim % kDimStep != 0)
    refuse(Feature::Rope, "rope", "over " + std::to_string(layerClass.rope->dim) + " dims",
           "rope over " + std::to_string(layerClass.rope->dim) +
               " dims: only multiples of 16 are compiled");
  if (layerClass.rope && layerClass.rope->kind == RopeKind::Dynamic &&
      spec.maxPosition > layerClass.rope->originalPositions)
    refuse(Feature::Rope, "rope", "of dynamic frequencies",
           "dynamic rope beyond " + std::to_string(layerClass.rope->originalPositions) +
               " positions is not compiled yet");
  return verdict;
}

CheckRow spec::checkRow(const LayerClass &layerClass, std::string_view target,
                        const Verdict &verdict) {
  return {"layers " + layerRangeText(layerClass.layers), featureText(layerClass),
          std::string(target), verdict.compiled() ? "compiled" : "refused: " + verdict.reason()};
}

std::string spec::checkTableText(const std::vector<CheckRow> &rows) {
  size_t width[3] = {};
  for (const CheckRow &row : rows) {
    width[0] = std::max(width[0], row.layers.size());
    width[1] = std::max(width[1], row.features.size());
    width[2] = std::max(width[2], row.target.size());
  }
  std::string text;
  auto cell = [&](const std::string &content, size_t wide) {
    text += content + std::string(wide - content.size() + 2, ' ');
  };
  for (const CheckRow &row : rows) {
    cell(row.layers, width[0]);
    cell(row.features, width[1]);
    cell(row.target, width[2]);
    text += row.verdict + "\n";
  }
  return text;
}

std::vector<Diagnostic> spec::unsupportedDiagnostics(const ModelSpec &spec,
                                                     std::string_view target) {
  struct Group {
    Refusal refusal;
    std::vector<int64_t> layers;
  };
  std::vector<Group> groups;
  for (const LayerClass &layerClass : spec.classes) {
    Verdict verdict = checkLayerClass(spec, layerClass, target);
    if (verdict.compiled())
      continue;
    const Refusal &first = verdict.refusals.front();
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const Group &g) { return g.refusal.subject == first.subject; });
    if (group == groups.end())
      group = groups.insert(groups.end(), {first, {}});
    group->layers.insert(group->layers.end(), layerClass.layers.begin(), layerClass.layers.end());
  }
  std::vector<Diagnostic> diagnostics;
  for (Group &group : groups) {
    std::sort(group.layers.begin(), group.layers.end());
    Diagnostic diagnostic;
    diagnostic.severity = Diagnostic::Severity::Unsupported;
    diagnostic.message = "layers " + layerRangeText(group.layers) + ": " + group.refusal.subject +
                         " is not compiled for " + std::string(target);
    diagnostic.where.file = spec.file;
    diagnostic.where.pointer = group.refusal.where.pointer;
    diagnostics.push_back(std::move(diagnostic));
  }
  if (!diagnostics.empty())
    diagnostics.back().notes.push_back(
        makeNote("--allow-partial leaves these layers out and lists them under \"refused\""));
  return diagnostics;
}
