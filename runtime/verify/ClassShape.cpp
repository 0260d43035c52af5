//===- ClassShape.cpp - a layer class as verify sees it ---------------------===//
//
// Takes from the manifest what the cases of a class depend on, and evaluates its
// formulas of the least traffic. Test: test/verify/ClassShapeTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "runtime/package/Manifest.h"
#include "runtime/verify/CaseGrid.h"

#include <algorithm>

namespace attncc::verify {

using package::Name;

Result<std::vector<ClassShape>> classShapes(const package::Manifest &manifest,
                                            std::string_view target) {
  std::vector<ClassShape> shapes;
  for (const package::LayerClass &layerClass : manifest.layerClasses) {
    const package::CacheGroup *group = manifest.findGroup(layerClass.cacheGroup);
    ClassShape shape;
    shape.name = layerClass.name;
    shape.cacheGroup = group->name;
    std::vector<int64_t> layers = package::layersOf(group->layers);
    shape.numLayers = int64_t(layers.size());
    shape.layer =
        std::find(layers.begin(), layers.end(), layerClass.layers.front().first) - layers.begin();
    if (layerClass.dtype == package::DType::F32)
      return makeError(Status::Unsupported, "layer class " + layerClass.name +
                                                " has type f32, verify knows bf16 and f16");
    shape.type = layerClass.dtype == package::DType::BF16 ? NumberType::BF16 : NumberType::F16;
    shape.queryHeads = layerClass.queryHeads;
    shape.kvHeads = layerClass.queryHeads / layerClass.group;
    shape.keyDim = group->k.dim;
    shape.valueDim = group->v.dim;
    shape.pageSize = group->pageSize;
    shape.maxDraft = layerClass.maxQueryTokensDecode;
    shape.maxPosition = layerClass.maxPosition;
    shape.scale = layerClass.scale;
    shape.causal = layerClass.mask == "causal";
    if (layerClass.rope)
      shape.rope =
          Rope{layerClass.rope->pairing == package::Rope::Pairing::Half ? RopePairing::Half
                                                                        : RopePairing::Interleaved,
               layerClass.rope->inverseFrequencies, layerClass.rope->attentionFactor};
    if (layerClass.qkNorm)
      shape.normEpsilon = layerClass.qkNorm->epsilon;
    shape.fusedAppend = shape.plainAppend = shape.mergesStates = false;
    for (const package::KernelEntry &kernel : manifest.kernels) {
      if (kernel.layerClass != layerClass.name || kernel.target != target)
        continue;
      const std::string &traffic = manifest.interfaces.at(kernel.interface).trafficBytes;
      if (kernel.role == "append") {
        shape.appendTraffic = traffic;
        (kernel.prologue == package::Prologue::Fused ? shape.fusedAppend : shape.plainAppend) =
            true;
      }
      if (kernel.role == "merge_states") {
        shape.mergeStatesTraffic = traffic;
        shape.mergesStates = true;
      }
      // Those behind the first are for narrower bounds, under another policy than most cases have.
      if (kernel.role == "prefill" && shape.prefillRows == 0) {
        shape.prefillTraffic = traffic;
        shape.prefillRows = kernel.rows;
      }
      if (kernel.role == "decode") {
        shape.decodeTraffic = traffic;
        shape.splits = manifest.splitRules.at(kernel.splitRule).rule;
        auto bounds = kernel.loadClass.find("max_query_length");
        if (bounds == kernel.loadClass.end())
          shape.decodeVariants.push_back({0, shape.maxDraft, kernel.rows});
        else
          shape.decodeVariants.push_back({bounds->second.least, bounds->second.most, kernel.rows});
      }
    }
    if (shape.splits.steps.empty())
      return makeError(Status::InvalidPackage, "layer class " + layerClass.name +
                                                   " has no decode kernel with a split rule for " +
                                                   std::string(target));
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

namespace {
/// The keys that the blocks of prefill see together, each block its own.
int64_t visibleKeys(const ClassShape &shape, int64_t queryLength, int64_t kvLength) {
  const int64_t rows = shape.group() * queryLength;
  int64_t keys = 0;
  for (int64_t begin = 0; begin < rows; begin += shape.prefillRows) {
    const int64_t lastToken = (std::min(begin + shape.prefillRows, rows) - 1) / shape.group();
    const int64_t seen = shape.causal ? kvLength - queryLength + lastToken + 1 : kvLength;
    keys += std::clamp<int64_t>(seen, 0, kvLength);
  }
  return keys;
}

Result<int64_t> evaluate(const std::string &text, const package::NameValues &values,
                         const ClassShape &shape) {
  if (text.empty())
    return int64_t(0);
  Result<package::Formula> formula = package::Formula::parse(text);
  if (!formula)
    return formula.error();
  return formula->evaluate(values, &shape.splits);
}
} // namespace

Result<int64_t> compulsoryBytes(const VerifyCase &verifyCase, const ClassShape &shape) {
  package::NameValues values;
  values[Name::Group] = shape.group();
  values[Name::KvHeads] = verifyCase.kvHeads;
  values[Name::QueryHeads] = verifyCase.kvHeads * shape.group();
  values[Name::KDim] = shape.keyDim;
  values[Name::VDim] = shape.valueDim;
  values[Name::KBytes] = values[Name::VBytes] = values[Name::QBytes] = 2;
  values[Name::PageSize] = shape.pageSize;
  values[Name::NumSequences] = int64_t(verifyCase.sequences.size());
  values[Name::MaxQueryLength] = verifyCase.maxQueryLength();
  values[Name::MaxKvLength] = verifyCase.maxKvLength();
  values[Name::NumParts] = verifyCase.parts;
  if (verifyCase.role == Role::Append || verifyCase.role == Role::MergeStates) {
    values[Name::NumTokens] = verifyCase.numTokens();
    return evaluate(verifyCase.role == Role::Append ? shape.appendTraffic
                                                    : shape.mergeStatesTraffic,
                    values, shape);
  }
  int64_t bound = verifyCase.maxQueryLength() + verifyCase.extraQueryBound;
  if (verifyCase.role == Role::Prefill)
    bound = std::min(bound, shape.maxDraft);
  int64_t total = 0, chunked = 0, rows = 1, decodeTokens = 0, visible = 0, prefillTokens = 0;
  for (const ClassShape::DecodeVariant &variant : shape.decodeVariants)
    if (variant.leastQueryLength <= bound && bound <= variant.mostQueryLength) {
      rows = std::max<int64_t>(variant.rows, 1);
      break;
    }
  for (auto [queryLength, kvLength] : verifyCase.sequences) {
    if (queryLength > shape.maxDraft) {
      visible += visibleKeys(shape, queryLength, kvLength);
      prefillTokens += queryLength;
      continue;
    }
    total += queryLength ? kvLength : 0;
    chunked += kvLength * ((shape.group() * queryLength + rows - 1) / rows);
    decodeTokens += queryLength;
  }
  values[Name::TotalKv] = total;
  values[Name::TotalChunkKv] = chunked;
  values[Name::TotalVisibleKv] = visible;
  values[Name::NumTokens] = decodeTokens;
  Result<int64_t> decode = evaluate(shape.decodeTraffic, values, shape);
  if (!decode || verifyCase.role != Role::Prefill)
    return decode;
  values[Name::NumTokens] = prefillTokens;
  Result<int64_t> prefill = evaluate(shape.prefillTraffic, values, shape);
  if (!prefill)
    return prefill;
  return *decode + *prefill;
}

} // namespace attncc::verify
