//===- PackageBuilder.cpp - compiled kernels become a kernel package --------===//
//
// Layers whose pages look alike form a cache group, so that one block table serves
// them all. Kernels of one target and class share interfaces and split rules by
// name. Hashes come last: of every file in the manifest, then of the manifest.
//
//===----------------------------------------------------------------------===//
#include "compiler/package/PackageBuilder.h"

#include "runtime/support/Sha256.h"

#include <algorithm>
#include <tuple>

namespace attncc {
namespace {

constexpr char kCompilerVersion[] = ATTNCC_VERSION;
constexpr char kLlvmVersion[] = ATTNCC_LLVM_VERSION;

package::DType dtypeOf(spec::DType type) {
  switch (type) {
  case spec::DType::F16:
    return package::DType::F16;
  case spec::DType::BF16:
    return package::DType::BF16;
  case spec::DType::F32:
    return package::DType::F32;
  }
  return package::DType::BF16;
}

package::Rope ropeOf(const spec::Rope &rope) {
  package::Rope result;
  result.pairing = rope.pairing == spec::Pairing::Half ? package::Rope::Pairing::Half
                                                       : package::Rope::Pairing::Interleaved;
  result.dim = rope.dim;
  result.kind = spec::ropeKindName(rope.kind);
  result.theta = rope.theta;
  result.inverseFrequencies = rope.inverseFrequencies;
  result.attentionFactor = static_cast<float>(rope.attentionFactor);
  auto &parameters = result.parameters;
  switch (rope.kind) {
  case spec::RopeKind::Plain:
    break;
  case spec::RopeKind::Linear:
  case spec::RopeKind::Dynamic:
    parameters["factor"] = rope.factor;
    break;
  case spec::RopeKind::Llama3:
    parameters["low"] = rope.lowFrequencyFactor;
    parameters["high"] = rope.highFrequencyFactor;
    [[fallthrough]];
  case spec::RopeKind::Longrope:
    parameters["factor"] = rope.factor;
    parameters["original_positions"] = static_cast<double>(rope.originalPositions);
    break;
  case spec::RopeKind::Yarn:
    parameters["factor"] = rope.factor;
    parameters["original_positions"] = static_cast<double>(rope.originalPositions);
    parameters["beta_fast"] = rope.betaFast;
    parameters["beta_slow"] = rope.betaSlow;
    parameters["truncate"] = rope.truncate ? 1.0 : 0.0;
    break;
  }
  return result;
}

package::LayerClass classOf(const spec::ModelSpec &spec, const spec::LayerClass &from,
                            const PackageOptions &options, std::string cacheGroup) {
  package::LayerClass result;
  result.name = from.name;
  result.layers = package::rangesOf(from.layers);
  result.cacheGroup = std::move(cacheGroup);
  result.queryHeads = from.queryHeads;
  result.group = from.group();
  result.headDim = from.headDim;
  result.dtype = dtypeOf(spec.dtype);
  result.scale = from.scale;
  result.mask = from.causal ? "causal" : "none";
  if (from.rope)
    result.rope = ropeOf(*from.rope);
  if (from.qkNorm)
    result.qkNorm = package::QkNorm{from.qkNorm->epsilon};
  result.numerics = {{"accumulate", "f32"},
                     {"probabilities", spec::dtypeName(spec.dtype)},
                     {"exp", "ex2.approx.f32"},
                     {"lse", "natural"}};
  result.maxQueryTokensDecode = options.maxQueryTokens;
  result.maxPosition = spec.maxPosition;
  return result;
}

std::string splitNote(const SplitRule &rule) {
  return "kv_length up to -> tokens a split; at most " +
         std::to_string(rule.maxSplits(rule.steps.back().maxLength)) + " splits";
}

std::string interfaceOf(const CompiledKernel &kernel) {
  return kernel.role + (kernel.tensorMaps.empty() ? "/1" : ".tma/1");
}

/// The role, as names of kernels and files say it.
std::string shownRole(const CompiledKernel &kernel) {
  return kernel.role + (kernel.prologue == package::Prologue::None ? "_noprologue" : "");
}

} // namespace

std::string entryName(const CompiledKernel &kernel, const spec::ModelSpec &spec,
                      const spec::LayerClass &layerClass, const PackageOptions &options) {
  const std::string role = shownRole(kernel);
  std::string hash = sha256Hex(spec::canonicalSpecText(spec) + kernel.schedule + role).substr(0, 4);
  return "attncc_" + role + "_" + layerClass.name + "_" + spec::dtypeName(spec.dtype) + "_d" +
         std::to_string(layerClass.headDim) + "_g" + std::to_string(layerClass.group()) + "_p" +
         std::to_string(options.pageSize) + "_" + kernel.target + "_" + hash;
}

std::string kernelFile(const CompiledKernel &kernel, const std::string &suffix) {
  return kernel.target + "/" + shownRole(kernel) + "_" + kernel.layerClass + "_" +
         kernel.entry.substr(kernel.entry.size() - 4) + suffix;
}

PackageFiles buildPackage(const spec::ModelSpec &spec, const std::string &sourceText,
                          const PackageOptions &options, const std::vector<CompiledKernel> &kernels,
                          const std::vector<package::RefusedLayers> &refused) {
  PackageFiles result;
  package::Manifest &manifest = result.manifest;
  manifest.compiler = {kCompilerVersion, kLlvmVersion, 1};
  std::string specText = spec::canonicalSpecText(spec);
  manifest.spec.file = "spec.json";
  manifest.spec.sha256 = sha256Hex(specText);
  manifest.spec.bytes = static_cast<int64_t>(specText.size());
  manifest.spec.sourceName = spec.sourceName;
  manifest.spec.sourceSha256 = sha256Hex(sourceText);
  manifest.refused = refused;
  result.files["spec.json"] = std::move(specText);

  auto isCompiled = [&](const spec::LayerClass &layerClass) {
    return std::any_of(kernels.begin(), kernels.end(), [&](const CompiledKernel &kernel) {
      return kernel.layerClass == layerClass.name;
    });
  };
  using PageShape = std::tuple<int64_t, int64_t, int64_t>; // kv heads, dims of K and V
  std::map<PageShape, std::string> groups;
  std::map<std::string, std::vector<int64_t>> groupLayers;
  for (const spec::LayerClass &layerClass : spec.classes) {
    if (!isCompiled(layerClass))
      continue;
    PageShape shape{layerClass.kvHeads, layerClass.headDim, layerClass.valueDim};
    auto [found, isNew] = groups.try_emplace(shape, "kv" + std::to_string(groups.size()));
    if (isNew) {
      package::CacheGroup group;
      group.name = found->second;
      group.pageSize = options.pageSize;
      group.kvHeads = layerClass.kvHeads;
      group.k = {dtypeOf(spec.dtype), layerClass.headDim};
      group.v = {dtypeOf(spec.dtype), layerClass.valueDim};
      group.order = options.order;
      manifest.cacheGroups.push_back(std::move(group));
    }
    std::vector<int64_t> &layers = groupLayers[found->second];
    layers.insert(layers.end(), layerClass.layers.begin(), layerClass.layers.end());
    manifest.layerClasses.push_back(classOf(spec, layerClass, options, found->second));
  }
  for (package::CacheGroup &group : manifest.cacheGroups) {
    std::vector<int64_t> &layers = groupLayers[group.name];
    std::sort(layers.begin(), layers.end());
    group.layers = package::rangesOf(layers);
  }

  std::vector<SplitRule> rules;
  for (const CompiledKernel &kernel : kernels) {
    package::KernelEntry entry;
    entry.entry = kernel.entry;
    entry.role = kernel.role;
    entry.layerClass = kernel.layerClass;
    entry.target = kernel.target;
    entry.ptx = kernel.ptxVersion;
    entry.file = kernelFile(kernel, ".ptx");
    entry.bytes = static_cast<int64_t>(kernel.ptx.size());
    entry.sha256 = sha256Hex(kernel.ptx);
    entry.interface = interfaceOf(kernel);
    entry.prologue = kernel.prologue;
    manifest.interfaces[entry.interface] = *package::standardInterface(entry.interface);
    entry.block = {kernel.threads, 1, 1};
    entry.shared = kernel.shared;
    if (!kernel.split.steps.empty()) {
      auto known = std::find(rules.begin(), rules.end(), kernel.split);
      entry.splitRule = "s" + std::to_string(known - rules.begin());
      if (known == rules.end()) {
        rules.push_back(kernel.split);
        manifest.splitRules[entry.splitRule] = {kernel.split, splitNote(kernel.split)};
      }
    }
    auto target = std::find(options.targets.begin(), options.targets.end(), kernel.target);
    entry.orderClass = "o" + std::to_string(target - options.targets.begin() + 1);
    if (kernel.order != 0)
      entry.orderClass += "." + std::to_string(kernel.order);
    entry.addsSplits = kernel.addsSplits;
    entry.dependentLaunch = kernel.dependentLaunch;
    entry.tensorMaps = kernel.tensorMaps;
    if (!kernel.tensorMaps.empty())
      manifest.features = {std::string(package::kTensorMapFeature)};
    if (kernel.queryTokens.most > 0)
      entry.loadClass["max_query_length"] = kernel.queryTokens;
    entry.rows = kernel.rows;
    entry.schedule = kernel.schedule;
    result.files[entry.file] = kernel.ptx;
    if (const std::optional<AssembledKernel> &assembled = kernel.assembled) {
      package::Cubin &cubin = entry.cubin.emplace();
      cubin.file = kernelFile(kernel, ".cubin");
      cubin.bytes = static_cast<int64_t>(assembled->cubin.size());
      cubin.sha256 = sha256Hex(assembled->cubin);
      cubin.arch = kernel.target;
      cubin.registers = assembled->registers;
      cubin.ptxas = assembled->ptxas;
      result.files[cubin.file] = assembled->cubin;
    }
    manifest.kernels.push_back(std::move(entry));
  }
  std::string text = package::toJson(manifest);
  result.id = sha256Hex(text);
  result.files["manifest.json"] = std::move(text);
  return result;
}

} // namespace attncc
