// The value side of Manifest.h: derived numbers, look-ups and the writer.
#include "runtime/package/Manifest.h"
#include "runtime/support/JsonTree.h"

#include <algorithm>

using namespace attncc;
using namespace attncc::package;
using json::Tree;

const char *package::dtypeName(DType type) {
  static const char *const names[] = {"f16", "bf16", "f32"};
  return names[static_cast<int>(type)];
}

const char *package::prologueName(Prologue prologue) {
  return prologue == Prologue::Fused ? "fused" : "none";
}

const char *package::addsSplitsName(AddsSplits adds) {
  static const char *const names[] = {"none", "span", "all"};
  return names[static_cast<int>(adds)];
}

std::optional<DType> package::parseDType(std::string_view name) {
  for (DType type : {DType::F16, DType::BF16, DType::F32})
    if (name == dtypeName(type))
      return type;
  return std::nullopt;
}

std::vector<int64_t> package::layersOf(const std::vector<LayerRange> &ranges) {
  std::vector<int64_t> layers;
  for (const LayerRange &range : ranges)
    for (int64_t layer = range.first; layer <= range.last; ++layer)
      layers.push_back(layer);
  std::sort(layers.begin(), layers.end());
  return layers;
}

std::vector<LayerRange> package::rangesOf(const std::vector<int64_t> &layers) {
  std::vector<LayerRange> ranges;
  for (int64_t layer : layers) {
    if (!ranges.empty() && ranges.back().last + 1 == layer)
      ranges.back().last = layer;
    else
      ranges.push_back({layer, layer});
  }
  return ranges;
}

int64_t CacheGroup::numLayers() const {
  int64_t count = 0;
  for (const LayerRange &range : layers)
    count += range.last - range.first + 1;
  return count;
}

int64_t CacheGroup::pageBytesPerLayer() const {
  return pageSize * kvHeads * (k.dim * dtypeBytes(k.dtype) + v.dim * dtypeBytes(v.dtype));
}

int64_t CacheGroup::tokenBytesAllLayers() const {
  return pageBytesPerLayer() / pageSize * numLayers();
}

const CacheGroup *Manifest::findGroup(std::string_view name) const {
  for (const CacheGroup &group : cacheGroups)
    if (group.name == name)
      return &group;
  return nullptr;
}

const LayerClass *Manifest::findClass(std::string_view name) const {
  for (const LayerClass &layerClass : layerClasses)
    if (layerClass.name == name)
      return &layerClass;
  return nullptr;
}

const LayerClass *Manifest::classOfLayer(int64_t layer) const {
  for (const LayerClass &layerClass : layerClasses)
    for (const LayerRange &range : layerClass.layers)
      if (range.first <= layer && layer <= range.last)
        return &layerClass;
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Writer
//===----------------------------------------------------------------------===//

static Tree toTree(const std::vector<LayerRange> &ranges) {
  Tree tree = Tree::array();
  for (const LayerRange &range : ranges)
    tree.push(Tree(Tree::Array{range.first, range.last}));
  return tree;
}

static Tree toTree(const PageElement &element) {
  Tree tree;
  tree["dtype"] = dtypeName(element.dtype);
  tree["dim"] = element.dim;
  return tree;
}

static Tree toTree(const CacheGroup &group) {
  Tree tree;
  tree["name"] = group.name;
  tree["layers"] = toTree(group.layers);
  tree["page_size"] = group.pageSize;
  tree["kv_heads"] = group.kvHeads;
  tree["k"] = toTree(group.k);
  tree["v"] = toTree(group.v);
  tree["order"] = group.order == KvOrder::NHD ? "NHD" : "HND";
  tree["alignment"] = group.alignment;
  tree["page_bytes_per_layer"] = group.pageBytesPerLayer();
  tree["token_bytes_all_layers"] = group.tokenBytesAllLayers();
  return tree;
}

static Tree toTree(const Rope &rope) {
  Tree tree;
  for (const auto &[name, value] : rope.parameters)
    tree[name] = value;
  tree["pairing"] = rope.pairing == Rope::Pairing::Half ? "half" : "interleaved";
  tree["dim"] = rope.dim;
  tree["kind"] = rope.kind;
  tree["theta"] = rope.theta;
  tree["inverse_frequencies"] = Tree(rope.inverseFrequencies);
  tree["attention_factor"] = rope.attentionFactor;
  return tree;
}

static Tree toTree(const LayerClass &layerClass) {
  Tree tree;
  tree["name"] = layerClass.name;
  tree["layers"] = toTree(layerClass.layers);
  tree["cache_group"] = layerClass.cacheGroup;
  tree["query_heads"] = layerClass.queryHeads;
  tree["group"] = layerClass.group;
  tree["head_dim"] = layerClass.headDim;
  tree["dtype"] = dtypeName(layerClass.dtype);
  tree["scale"] = layerClass.scale;
  tree["mask"] = layerClass.mask;
  tree["prologue"]["rope"] = layerClass.rope ? toTree(*layerClass.rope) : Tree();
  tree["prologue"]["qk_norm"] = Tree();
  if (layerClass.qkNorm)
    tree["prologue"]["qk_norm"]["epsilon"] = layerClass.qkNorm->epsilon;
  tree["numerics"] = Tree::object();
  for (const auto &[name, value] : layerClass.numerics)
    tree["numerics"][name] = value;
  tree["max_query_tokens_decode"] = layerClass.maxQueryTokensDecode;
  tree["max_position"] = layerClass.maxPosition;
  return tree;
}

static Tree toTree(const NamedSplitRule &named) {
  Tree tree;
  tree["steps"] = Tree::array();
  for (const SplitStep &step : named.rule.steps)
    tree["steps"].push(Tree(Tree::Array{step.maxLength, step.splitLength}));
  if (!named.note.empty())
    tree["note"] = named.note;
  return tree;
}

static Tree toTree(const Param &param) {
  Tree tree;
  tree["name"] = param.name;
  tree["type"] = paramTypeName(param.type);
  if (!param.access.empty())
    tree["access"] = param.access;
  if (!param.of.empty())
    tree["of"] = param.of;
  if (param.align)
    tree["align"] = param.align;
  if (param.nullable)
    tree["nullable"] = true;
  if (!param.note.empty())
    tree["note"] = param.note;
  return tree;
}

static Tree toTree(const Interface &interface) {
  Tree tree;
  tree["params"] = Tree::array();
  for (const Param &param : interface.params)
    tree["params"].push(toTree(param));
  tree["grid"] = Tree(Tree::Array(interface.grid.begin(), interface.grid.end()));
  if (!interface.followedBy.empty())
    tree["followed_by"] = interface.followedBy;
  if (!interface.workspaceBytes.empty())
    tree["workspace_bytes"] = interface.workspaceBytes;
  if (!interface.trafficBytes.empty())
    tree["traffic_bytes"] = interface.trafficBytes;
  return tree;
}

static Tree toTree(const TensorMapRule &rule) {
  Tree tree;
  tree["dtype"] = dtypeName(rule.dtype);
  tree["dims"] = Tree(rule.dims);
  tree["strides"] = Tree(rule.strides);
  tree["box"] = Tree(rule.box);
  tree["swizzle"] = rule.swizzle;
  tree["l2_promotion"] = rule.l2Promotion;
  tree["fill"] = rule.fill == TensorMapRule::Fill::NaN ? "nan" : "zero";
  return tree;
}

static Tree toTree(const Cubin &cubin) {
  Tree tree;
  tree["file"] = cubin.file;
  tree["bytes"] = cubin.bytes;
  tree["sha256"] = cubin.sha256;
  tree["arch"] = cubin.arch;
  tree["registers"] = cubin.registers;
  tree["ptxas"] = cubin.ptxas;
  return tree;
}

static Tree toTree(const KernelEntry &kernel) {
  Tree tree;
  tree["entry"] = kernel.entry;
  tree["role"] = kernel.role;
  tree["class"] = kernel.layerClass;
  tree["target"] = kernel.target;
  tree["ptx"] = kernel.ptx;
  tree["file"] = kernel.file;
  tree["bytes"] = kernel.bytes;
  tree["sha256"] = kernel.sha256;
  tree["interface"] = kernel.interface;
  if (kernel.prologue)
    tree["prologue"] = prologueName(*kernel.prologue);
  tree["block"] = Tree(Tree::Array(kernel.block.begin(), kernel.block.end()));
  tree["shared"] = kernel.shared;
  if (!kernel.splitRule.empty())
    tree["split_rule"] = kernel.splitRule;
  if (!kernel.orderClass.empty())
    tree["order_class"] = kernel.orderClass;
  tree["load_class"] = Tree::object();
  for (const auto &[name, interval] : kernel.loadClass)
    tree["load_class"][name] = Tree(Tree::Array{interval.least, interval.most});
  if (kernel.rows)
    tree["rows"] = kernel.rows;
  if (kernel.addsSplits != AddsSplits::None)
    tree["adds_splits"] = addsSplitsName(kernel.addsSplits);
  if (kernel.dependentLaunch)
    tree["dependent_launch"] = true;
  for (const auto &[param, rule] : kernel.tensorMaps)
    tree["tensor_maps"][param] = toTree(rule);
  if (!kernel.schedule.empty())
    tree["schedule"] = kernel.schedule;
  if (kernel.cubin)
    tree["cubin"] = toTree(*kernel.cubin);
  return tree;
}

std::string package::toJson(const Manifest &manifest) {
  Tree tree;
  tree["schema"] =
      "attncc.package/" + std::to_string(kSchemaMajor) + "." + std::to_string(manifest.schemaMinor);
  tree["requires"] = Tree(manifest.features);
  tree["compiler"]["version"] = manifest.compiler.version;
  tree["compiler"]["llvm"] = manifest.compiler.llvm;
  tree["compiler"]["schedule_space"] = manifest.compiler.scheduleSpace;
  tree["spec"]["file"] = manifest.spec.file;
  tree["spec"]["bytes"] = manifest.spec.bytes;
  tree["spec"]["sha256"] = manifest.spec.sha256;
  tree["spec"]["source_name"] = manifest.spec.sourceName;
  tree["spec"]["source_sha256"] = manifest.spec.sourceSha256;
  tree["cache_groups"] = Tree::array();
  for (const CacheGroup &group : manifest.cacheGroups)
    tree["cache_groups"].push(toTree(group));
  tree["layer_classes"] = Tree::array();
  for (const LayerClass &layerClass : manifest.layerClasses)
    tree["layer_classes"].push(toTree(layerClass));
  tree["split_rules"] = Tree::object();
  for (const auto &[name, rule] : manifest.splitRules)
    tree["split_rules"][name] = toTree(rule);
  tree["interfaces"] = Tree::object();
  for (const auto &[name, interface] : manifest.interfaces)
    tree["interfaces"][name] = toTree(interface);
  tree["kernels"] = Tree::array();
  for (const KernelEntry &kernel : manifest.kernels)
    tree["kernels"].push(toTree(kernel));
  tree["refused"] = Tree::array();
  for (const RefusedLayers &refused : manifest.refused) {
    Tree entry;
    entry["layers"] = toTree(refused.layers);
    entry["reason"] = refused.reason;
    tree["refused"].push(entry);
  }
  return tree.text() + "\n";
}
