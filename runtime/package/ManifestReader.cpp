// The reading side of Manifest.h. One function for each struct; the first error is kept and every
// later read returns a default, so the functions read like the format. References between the
// parts (class to group, kernel to interface …) are checked at the end of each part's list, located
// at the name that refers.
#include "runtime/package/Manifest.h"
#include "runtime/package/TargetName.h"
#include "runtime/support/Json.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <set>

using namespace attncc;
using namespace attncc::package;
using json::Value;

namespace {

// Caps of single numbers: far above every model and device, and low enough that products of a few
// of them stay inside 64 bits.
constexpr int64_t kMaxLayers = 65536;
constexpr int64_t kMaxHeads = 65536;
constexpr int64_t kMaxDim = 4096;
constexpr int64_t kMaxPageSize = 65536;
constexpr int64_t kMaxPosition = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxShared = 1 << 20;
constexpr int64_t kMaxRegisters = 255; // of a thread, on every GPU so far

bool isIdentifier(std::string_view text) {
  if (text.empty() || text.size() > 128 || (text[0] >= '0' && text[0] <= '9'))
    return false;
  for (char c : text)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
      return false;
  return true;
}

/// ([a-z0-9_]+/)?[A-Za-z0-9_.]+, and not "." or ".." in the last part.
bool isPackagePath(std::string_view path) {
  size_t slash = path.find('/');
  std::string_view folder = slash == path.npos ? std::string_view() : path.substr(0, slash);
  std::string_view file = slash == path.npos ? path : path.substr(slash + 1);
  if (slash != path.npos && folder.empty())
    return false;
  for (char c : folder)
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
      return false;
  for (char c : file)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
          c == '.'))
      return false;
  return !file.empty() && file.find_first_not_of('.') != file.npos && path.size() <= 255;
}

class Reader {
public:
  Result<Manifest> read(const Value &root);

private:
  // First error wins.
  void fail(const Value &at, std::string code, std::string message,
            Status status = Status::InvalidPackage) {
    fail(at.error(std::move(code), std::move(message)), status);
  }
  void fail(Error error, Status status = Status::InvalidPackage) {
    if (failure)
      return;
    failure = std::move(error);
    failure->status = status;
  }
  template <class T> T take(Result<T> result, T otherwise = T()) {
    if (result)
      return *result;
    fail(result.error());
    return otherwise;
  }

  const Value *member(const Value &object, const char *key) {
    if (failure)
      return nullptr;
    return take(object.require(key));
  }
  std::string string(const Value &object, const char *key) {
    const Value *value = member(object, key);
    return value ? take(value->asString()) : std::string();
  }
  std::string optionalString(const Value &object, const char *key) {
    return object.find(key) ? string(object, key) : std::string();
  }
  int64_t integer(const Value &object, const char *key, int64_t least, int64_t most) {
    const Value *value = member(object, key);
    return value ? take(value->asInteger(least, most), least) : least;
  }
  int64_t optionalInteger(const Value &object, const char *key, int64_t least, int64_t most,
                          int64_t otherwise) {
    return object.find(key) ? integer(object, key, least, most) : otherwise;
  }
  double real(const Value &object, const char *key) {
    const Value *value = member(object, key);
    return value ? take(value->asReal()) : 0;
  }
  /// The elements of array `key`; none after an error.
  std::vector<const Value *> elements(const Value &object, const char *key) {
    const Value *value = member(object, key);
    return value ? elements(*value) : std::vector<const Value *>();
  }
  std::vector<const Value *> elements(const Value &array) {
    std::vector<const Value *> result;
    if (Result<void> isArray = array.requireKind(json::Kind::Array); !isArray) {
      fail(isArray.error());
      return result;
    }
    for (size_t i = 0; i < array.size(); ++i)
      result.push_back(&array[i]);
    return result;
  }
  std::span<const json::Member> members(const Value &object, const char *key) {
    const Value *value = member(object, key);
    if (!value)
      return {};
    if (Result<void> isObject = value->requireKind(json::Kind::Object); !isObject) {
      fail(isObject.error());
      return {};
    }
    return value->members();
  }
  std::string identifier(const Value &object, const char *key) {
    std::string text = string(object, key);
    if (!failure && !isIdentifier(text))
      fail(*object.find(key), "package-name",
           std::string(key) + " is " + json::inQuotes(text) +
               ", must be letters, digits and _ and not begin with a digit");
    return text;
  }
  /// sm_NN or sm_NNa.
  std::string gpuTarget(const Value &object, const char *key) {
    std::string text = string(object, key);
    std::string_view number = text;
    bool isTarget = number.starts_with("sm_") && number.size() >= 5 && number.size() <= 7;
    if (isTarget) {
      number.remove_prefix(3);
      if (number.back() == 'a')
        number.remove_suffix(1);
      isTarget = number.size() >= 2 && number.find_first_not_of("0123456789") == number.npos;
    }
    if (!failure && !isTarget)
      fail(*object.find(key), "package-target",
           std::string(key) + " is " + json::inQuotes(text) + ", must be sm_NN or sm_NNa");
    return text;
  }
  std::string digest(const Value &object, const char *key) {
    std::string text = string(object, key);
    if (!failure && (text.size() != 64 || text.find_first_not_of("0123456789abcdef") != text.npos))
      fail(*object.find(key), "package-hash",
           std::string(key) + " is " + json::inQuotes(text) + ", must be 64 lower-case hex digits");
    return text;
  }
  std::string path(const Value &object, const char *key) {
    std::string text = string(object, key);
    if (!failure && !isPackagePath(text))
      fail(*object.find(key), "package-path",
           std::string(key) + " is " + json::inQuotes(text) +
               ", must be a file of the package: ([a-z0-9_]+/)?[A-Za-z0-9_.]+");
    return text;
  }
  template <class T>
  T choice(const Value &object, const char *key,
           std::initializer_list<std::pair<const char *, T>> of) {
    std::string text = string(object, key), known;
    for (const auto &[name, value] : of) {
      if (text == name)
        return value;
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    if (!failure)
      fail(*object.find(key), "package-value",
           std::string(key) + " is " + json::inQuotes(text) + ", must be one of " + known);
    return of.begin()->second;
  }
  DType dtype(const Value &object, const char *key) {
    return choice<DType>(object, key, {{"f16", DType::F16}, {"bf16", DType::BF16}});
  }
  int64_t number(const Value &object, const char *key, std::initializer_list<int64_t> of) {
    int64_t found = integer(object, key, 0, INT32_MAX);
    std::string known;
    for (int64_t one : of) {
      if (found == one)
        return found;
      known += (known.empty() ? "" : ", ") + std::to_string(one);
    }
    if (!failure)
      fail(*object.find(key), "package-value",
           std::string(key) + " is " + std::to_string(found) + ", must be one of " + known);
    return found;
  }
  std::vector<LayerRange> layers(const Value &object);
  std::string formula(const Value &value);

  void schema(const Value &root);
  CacheGroup cacheGroup(const Value &value);
  Rope rope(const Value &value);
  LayerClass layerClass(const Value &value);
  NamedSplitRule splitRule(const Value &value);
  Param param(const Value &value);
  Interface interface(const std::string &name, const Value &value);
  void checkStandard(const std::string &name, const Interface &found, const Value &value);
  TensorMapRule tensorMap(const Value &value);
  void checkTensorMaps(const KernelEntry &kernel, const Value &value);
  Cubin cubin(const Value &value, const std::string &target);
  KernelEntry kernel(const Value &value);

  Manifest manifest;
  std::optional<Error> failure;
};

std::vector<LayerRange> Reader::layers(const Value &object) {
  std::vector<LayerRange> ranges;
  for (const Value *element : elements(object, "layers")) {
    std::vector<const Value *> ends = elements(*element);
    if (failure)
      break;
    if (ends.size() != 2) {
      fail(*element, "package-layers",
           element->name() + " has " + std::to_string(ends.size()) +
               " values, must be [first, last]");
      break;
    }
    LayerRange range{take(ends[0]->asInteger(0, kMaxLayers)),
                     take(ends[1]->asInteger(0, kMaxLayers))};
    int64_t least = ranges.empty() ? 0 : ranges.back().last + 1;
    if (!failure && (range.first > range.last || range.first < least))
      fail(*element, "package-layers",
           element->name() + " is " + element->shown() +
               ", must be [first, last] in ascending order from " + std::to_string(least));
    ranges.push_back(range);
  }
  if (!failure && ranges.empty())
    fail(*object.find("layers"), "package-layers", "layers is empty, must name a layer");
  return ranges;
}

std::string Reader::formula(const Value &value) {
  std::string text = take(value.asString());
  if (failure)
    return text;
  if (Result<Formula> parsed = Formula::parse(text); !parsed) {
    Error error = parsed.error();
    Location where = value.location();
    where.column += error.diagnostic.where.column; // inside the quotes
    error.diagnostic.where = where;
    fail(error);
  }
  return text;
}

void Reader::schema(const Value &root) {
  std::string text = string(root, "schema");
  if (failure)
    return;
  const Value &at = *root.find("schema");
  constexpr std::string_view prefix = "attncc.package/";
  int64_t major = -1, minor = -1;
  if (text.starts_with(prefix)) {
    const char *begin = text.data() + prefix.size(), *end = text.data() + text.size();
    auto first = std::from_chars(begin, end, major);
    if (first.ec == std::errc() && first.ptr != end && *first.ptr == '.') {
      auto second = std::from_chars(first.ptr + 1, end, minor);
      if (second.ec != std::errc() || second.ptr != end)
        minor = -1;
    }
  }
  if (major < 0 || minor < 0)
    return fail(at, "package-schema",
                "schema is " + json::inQuotes(text) + ", must be \"attncc.package/1.0\" or newer");
  if (major != kSchemaMajor)
    return fail(at, "package-schema",
                "schema major is " + std::to_string(major) + ", this runtime reads " +
                    std::to_string(kSchemaMajor),
                Status::Unsupported);
  manifest.schemaMinor = minor;
  for (const Value *word : elements(root, "requires")) {
    std::string feature = take(word->asString());
    if (failure)
      return;
    if (feature != kTensorMapFeature)
      return fail(*word, "package-requires",
                  "this package requires " + json::inQuotes(feature) +
                      ", which this runtime does not know; it knows " +
                      json::inQuotes(kTensorMapFeature),
                  Status::Unsupported);
    manifest.features.push_back(std::move(feature));
  }
}

CacheGroup Reader::cacheGroup(const Value &value) {
  CacheGroup group;
  group.name = identifier(value, "name");
  group.layers = layers(value);
  group.pageSize = integer(value, "page_size", 1, kMaxPageSize);
  group.kvHeads = integer(value, "kv_heads", 1, kMaxHeads);
  for (auto [key, element] : {std::pair("k", &group.k), std::pair("v", &group.v)})
    if (const Value *side = member(value, key)) {
      element->dtype = dtype(*side, "dtype");
      element->dim = integer(*side, "dim", 1, kMaxDim);
    }
  group.order = choice<KvOrder>(value, "order", {{"NHD", KvOrder::NHD}, {"HND", KvOrder::HND}});
  group.alignment = integer(value, "alignment", 16, 4096);
  int64_t pageBytes = integer(value, "page_bytes_per_layer", 1, INT64_MAX);
  int64_t tokenBytes = integer(value, "token_bytes_all_layers", 1, INT64_MAX);
  if (failure)
    return group;
  if (pageBytes != group.pageBytesPerLayer())
    fail(*value.find("page_bytes_per_layer"), "package-bytes",
         "page_bytes_per_layer is " + std::to_string(pageBytes) + ", must be " +
             std::to_string(group.pageBytesPerLayer()));
  if (tokenBytes != group.tokenBytesAllLayers())
    fail(*value.find("token_bytes_all_layers"), "package-bytes",
         "token_bytes_all_layers is " + std::to_string(tokenBytes) + ", must be " +
             std::to_string(group.tokenBytesAllLayers()));
  return group;
}

Rope Reader::rope(const Value &value) {
  Rope rope;
  rope.pairing = choice<Rope::Pairing>(
      value, "pairing",
      {{"half", Rope::Pairing::Half}, {"interleaved", Rope::Pairing::Interleaved}});
  rope.dim = integer(value, "dim", 2, kMaxDim);
  rope.kind = string(value, "kind");
  rope.theta = real(value, "theta");
  for (const Value *frequency : elements(value, "inverse_frequencies")) {
    double number = take(frequency->asReal());
    if (!failure && !std::isfinite(static_cast<float>(number)))
      fail(*frequency, "package-rope",
           frequency->name() + " is " + frequency->shown() + ", must be finite in f32");
    rope.inverseFrequencies.push_back(static_cast<float>(number));
  }
  rope.attentionFactor = static_cast<float>(real(value, "attention_factor"));
  if (failure)
    return rope;
  if (rope.dim % 2 != 0)
    fail(*value.find("dim"), "package-rope",
         "dim is " + std::to_string(rope.dim) + ", must be even");
  if (static_cast<int64_t>(rope.inverseFrequencies.size()) != rope.dim / 2)
    fail(*value.find("inverse_frequencies"), "package-rope",
         "inverse_frequencies has " + std::to_string(rope.inverseFrequencies.size()) +
             " values, must have dim/2 = " + std::to_string(rope.dim / 2));
  static const std::set<std::string, std::less<>> own = {
      "pairing", "dim", "kind", "theta", "inverse_frequencies", "attention_factor"};
  for (const json::Member &other : value.members())
    if (!own.contains(other.key) && other.value->isNumber())
      rope.parameters[other.key] = other.value->real();
  return rope;
}

LayerClass Reader::layerClass(const Value &value) {
  LayerClass result;
  result.name = identifier(value, "name");
  result.layers = layers(value);
  result.cacheGroup = identifier(value, "cache_group");
  result.queryHeads = integer(value, "query_heads", 1, kMaxHeads);
  result.group = integer(value, "group", 1, kMaxHeads);
  result.headDim = integer(value, "head_dim", 1, kMaxDim);
  result.dtype = dtype(value, "dtype");
  result.scale = real(value, "scale");
  result.mask = string(value, "mask");
  result.maxQueryTokensDecode = integer(value, "max_query_tokens_decode", 1, 1024);
  result.maxPosition = integer(value, "max_position", 1, kMaxPosition);
  for (const json::Member &number : members(value, "numerics"))
    result.numerics[number.key] = take(number.value->asString());
  if (const Value *prologue = member(value, "prologue")) {
    const Value *ropeValue = member(*prologue, "rope");
    const Value *normValue = member(*prologue, "qk_norm");
    if (ropeValue && !ropeValue->isNull())
      result.rope = rope(*ropeValue);
    if (normValue && !normValue->isNull())
      result.qkNorm = QkNorm{real(*normValue, "epsilon")};
  }
  if (failure)
    return result;
  const CacheGroup *group = manifest.findGroup(result.cacheGroup);
  if (!group) {
    fail(*value.find("cache_group"), "package-reference",
         "cache_group is " + json::inQuotes(result.cacheGroup) +
             ", which cache_groups does not hold");
    return result;
  }
  if (result.queryHeads != result.group * group->kvHeads)
    fail(*value.find("query_heads"), "package-heads",
         "query_heads is " + std::to_string(result.queryHeads) + ", must be group " +
             std::to_string(result.group) + " x kv_heads " + std::to_string(group->kvHeads));
  if (result.headDim != group->k.dim)
    fail(*value.find("head_dim"), "package-heads",
         "head_dim is " + std::to_string(result.headDim) + ", must be the cache group's k dim " +
             std::to_string(group->k.dim));
  if (result.rope && result.rope->dim > result.headDim)
    fail(*value.find("head_dim"), "package-rope",
         "head_dim is " + std::to_string(result.headDim) + ", must be at least the rope's dim " +
             std::to_string(result.rope->dim));
  std::vector<int64_t> groupLayers = layersOf(group->layers);
  std::set<int64_t> ofGroup(groupLayers.begin(), groupLayers.end());
  for (int64_t layer : layersOf(result.layers)) {
    if (!ofGroup.contains(layer))
      return fail(*value.find("layers"), "package-layers",
                  "layer " + std::to_string(layer) + " is not one of cache group " +
                      json::inQuotes(group->name)),
             result;
    if (const LayerClass *other = manifest.classOfLayer(layer))
      return fail(*value.find("layers"), "package-layers",
                  "layer " + std::to_string(layer) + " is in class " + json::inQuotes(other->name) +
                      " already"),
             result;
  }
  return result;
}

NamedSplitRule Reader::splitRule(const Value &value) {
  NamedSplitRule named;
  named.note = optionalString(value, "note");
  for (const Value *element : elements(value, "steps")) {
    std::vector<const Value *> pair = elements(*element);
    if (failure)
      break;
    int64_t least = named.rule.steps.empty() ? 1 : named.rule.steps.back().maxLength + 1;
    if (pair.size() != 2) {
      fail(*element, "package-split",
           element->name() + " has " + std::to_string(pair.size()) +
               " values, must be [kv_length up to, tokens a split]");
      break;
    }
    named.rule.steps.push_back({take(pair[0]->asInteger(least, kMaxPosition), least),
                                take(pair[1]->asInteger(1, kMaxPosition), int64_t(1))});
  }
  if (!failure && named.rule.steps.empty())
    fail(*value.find("steps"), "package-split", "steps is empty, must have a step");
  return named;
}

Param Reader::param(const Value &value) {
  Param result;
  result.name = identifier(value, "name");
  result.type = choice<ParamType>(value, "type",
                                  {{"ptr", ParamType::Ptr},
                                   {"i64", ParamType::I64},
                                   {"i32", ParamType::I32},
                                   {"f32", ParamType::F32},
                                   {"tensor_map", ParamType::TensorMap}});
  result.access = optionalString(value, "access");
  result.of = optionalString(value, "of");
  result.align = optionalInteger(value, "align", 1, 4096, 0);
  result.note = optionalString(value, "note");
  if (const Value *nullable = value.find("nullable"))
    result.nullable = take(nullable->asBoolean());
  return result;
}

Interface Reader::interface(const std::string &name, const Value &value) {
  Interface result;
  for (const Value *element : elements(value, "params"))
    if (!failure)
      result.params.push_back(param(*element));
  std::vector<const Value *> grid = elements(value, "grid");
  if (!failure && grid.size() != 3)
    fail(*value.find("grid"), "package-rule",
         "grid has " + std::to_string(grid.size()) + " values, must have 3");
  for (size_t i = 0; !failure && i < 3; ++i)
    result.grid[i] = formula(*grid[i]);
  result.followedBy = optionalString(value, "followed_by");
  for (auto [key, text] : {std::pair("workspace_bytes", &result.workspaceBytes),
                           std::pair("traffic_bytes", &result.trafficBytes)})
    if (const Value *rule = value.find(key); rule && !failure)
      *text = formula(*rule);
  if (!failure)
    checkStandard(name, result, value);
  return result;
}

/// The parameter order and the grid rule of a versioned interface never change.
void Reader::checkStandard(const std::string &name, const Interface &found, const Value &value) {
  const Interface *standard = standardInterface(name);
  if (!standard)
    return;
  const Value &params = *value.find("params");
  auto text = [](const Param &param) {
    return json::inQuotes(param.name) + " (" + paramTypeName(param.type) + ")";
  };
  for (size_t i = 0; i < std::min(found.params.size(), standard->params.size()); ++i)
    if (found.params[i].name != standard->params[i].name ||
        found.params[i].type != standard->params[i].type)
      return fail(params[i], "package-interface",
                  "parameter " + std::to_string(i) + " of " + name + " is " +
                      text(found.params[i]) + ", must be " + text(standard->params[i]));
  if (found.params.size() != standard->params.size())
    return fail(params, "package-interface",
                name + " has " + std::to_string(found.params.size()) + " parameters, must have " +
                    std::to_string(standard->params.size()));
  for (size_t i = 0; i < 3; ++i)
    if (found.grid[i] != standard->grid[i])
      return fail((*value.find("grid"))[i], "package-interface",
                  "grid[" + std::to_string(i) + "] of " + name + " is " +
                      json::inQuotes(found.grid[i]) + ", must be " +
                      json::inQuotes(standard->grid[i]));
}

TensorMapRule Reader::tensorMap(const Value &value) {
  TensorMapRule result;
  result.dtype = dtype(value, "dtype");
  for (const Value *rule : elements(value, "dims"))
    result.dims.push_back(formula(*rule));
  for (const Value *rule : elements(value, "strides"))
    result.strides.push_back(formula(*rule));
  for (const Value *count : elements(value, "box"))
    result.box.push_back(take(count->asInteger(1, 256), int64_t(1)));
  result.swizzle = number(value, "swizzle", {0, 32, 64, 128});
  result.l2Promotion = number(value, "l2_promotion", {0, 64, 128, 256});
  result.fill = choice<TensorMapRule::Fill>(
      value, "fill", {{"zero", TensorMapRule::Fill::Zero}, {"nan", TensorMapRule::Fill::NaN}});
  size_t rank = result.dims.size();
  if (!failure &&
      (rank < 1 || rank > 5 || result.strides.size() != rank - 1 || result.box.size() != rank))
    fail(value, "package-tensor-map",
         "a tensor map has " + std::to_string(rank) + " dims, " +
             std::to_string(result.strides.size()) + " strides and a box of " +
             std::to_string(result.box.size()) +
             ", must have 1 to 5 dims, one stride fewer and a box of as many");
  return result;
}

/// Each tensor map of the interface has its rule, and no other parameter has one.
void Reader::checkTensorMaps(const KernelEntry &kernel, const Value &value) {
  std::set<std::string> missing;
  for (const Param &param : manifest.interfaces.at(kernel.interface).params)
    if (param.type == ParamType::TensorMap)
      missing.insert(param.name);
  for (const auto &[param, rule] : kernel.tensorMaps)
    if (!missing.erase(param))
      return fail(*value.find("tensor_maps"), "package-tensor-map",
                  "tensor_maps has " + json::inQuotes(param) + ", which is no tensor_map of " +
                      kernel.interface);
  if (!missing.empty())
    fail(value, "package-tensor-map",
         "tensor_maps has no " + json::inQuotes(*missing.begin()) + ", which " + kernel.interface +
             " takes");
}

Cubin Reader::cubin(const Value &value, const std::string &target) {
  Cubin result;
  result.file = path(value, "file");
  result.bytes = integer(value, "bytes", 1, kMaxFileBytes);
  result.sha256 = digest(value, "sha256");
  result.arch = gpuTarget(value, "arch");
  result.registers = integer(value, "registers", 1, kMaxRegisters);
  result.ptxas = string(value, "ptxas");
  if (!failure && !assembles(target, result.arch))
    fail(*value.find("arch"), "package-target",
         "arch is " + json::inQuotes(result.arch) + ", for which code of " + target +
             " cannot be assembled");
  if (!failure && result.ptxas.empty())
    fail(*value.find("ptxas"), "package-value", "ptxas is empty, must be a version like 13.0.88");
  return result;
}

KernelEntry Reader::kernel(const Value &value) {
  KernelEntry result;
  result.entry = identifier(value, "entry");
  result.role = identifier(value, "role");
  result.layerClass = identifier(value, "class");
  result.target = gpuTarget(value, "target");
  result.ptx = string(value, "ptx");
  result.file = path(value, "file");
  result.bytes = integer(value, "bytes", 1, kMaxFileBytes);
  result.sha256 = digest(value, "sha256");
  result.interface = string(value, "interface");
  std::vector<const Value *> block = elements(value, "block");
  if (!failure && block.size() != 3)
    fail(*value.find("block"), "package-block",
         "block has " + std::to_string(block.size()) + " values, must have 3");
  for (size_t i = 0; !failure && i < 3; ++i)
    result.block[i] = take(block[i]->asInteger(1, 1024));
  result.shared = integer(value, "shared", 0, kMaxShared);
  if (!failure && result.role == "append")
    result.prologue =
        choice<Prologue>(value, "prologue", {{"fused", Prologue::Fused}, {"none", Prologue::None}});
  result.splitRule = optionalString(value, "split_rule");
  result.orderClass = optionalString(value, "order_class");
  result.rows = optionalInteger(value, "rows", 1, 65536, 0);
  if (value.find("adds_splits") && !failure)
    result.addsSplits = choice<AddsSplits>(value, "adds_splits",
                                           {{"span", AddsSplits::Span}, {"all", AddsSplits::All}});
  if (const Value *dependent = value.find("dependent_launch"); dependent && !failure)
    result.dependentLaunch = take(dependent->asBoolean());
  if (value.find("tensor_maps"))
    for (const json::Member &map : members(value, "tensor_maps"))
      if (!failure)
        result.tensorMaps[map.key] = tensorMap(*map.value);
  result.schedule = optionalString(value, "schedule");
  if (const Value *assembled = value.find("cubin"); assembled && !failure)
    result.cubin = cubin(*assembled, result.target);
  for (const json::Member &bound : members(value, "load_class")) {
    std::vector<const Value *> ends = elements(*bound.value);
    if (failure)
      return result;
    if (bound.key != "num_sequences" && bound.key != "max_query_length" &&
        bound.key != "max_kv_length")
      return fail(*bound.value, "package-load-class",
                  "load_class has " + json::inQuotes(bound.key) +
                      ", must be num_sequences, max_query_length or max_kv_length"),
             result;
    if (ends.size() != 2)
      return fail(*bound.value, "package-load-class",
                  bound.key + " has " + std::to_string(ends.size()) +
                      " values, must be [least, most]"),
             result;
    int64_t least = take(ends[0]->asInteger(0, kMaxPosition));
    result.loadClass[bound.key] = {least, take(ends[1]->asInteger(least, kMaxPosition))};
  }
  if (failure)
    return result;
  if (size_t dot = result.ptx.find('.');
      dot == 0 || dot == result.ptx.npos || dot + 1 == result.ptx.size() || result.ptx.size() > 5 ||
      result.ptx.find_first_not_of("0123456789.") != result.ptx.npos ||
      result.ptx.find('.', dot + 1) != result.ptx.npos)
    fail(*value.find("ptx"), "package-target",
         "ptx is " + json::inQuotes(result.ptx) + ", must be a version like 7.8");
  if (int64_t threads = result.block[0] * result.block[1] * result.block[2];
      threads > 1024 || threads % 32 != 0)
    fail(*value.find("block"), "package-block",
         "block has " + std::to_string(threads) + " threads, must be a multiple of 32 up to 1024");
  auto known = [&](const char *key, const std::string &name, const char *list, bool found) {
    if (!found)
      fail(*value.find(key), "package-reference",
           std::string(key) + " is " + json::inQuotes(name) + ", which " + list + " does not hold");
  };
  known("class", result.layerClass, "layer_classes", manifest.findClass(result.layerClass));
  known("interface", result.interface, "interfaces",
        manifest.interfaces.contains(result.interface));
  if (!failure)
    checkTensorMaps(result, value);
  if ((result.role == "decode" || result.role == "prefill") && result.rows == 0)
    fail(value, "package-value",
         "a " + result.role + " kernel needs rows, the query rows of a block");
  if ((result.role == "decode" || result.role == "merge") && result.splitRule.empty())
    fail(value, "package-value", "a " + result.role + " kernel needs a split_rule");
  if (!result.splitRule.empty())
    known("split_rule", result.splitRule, "split_rules",
          manifest.splitRules.contains(result.splitRule));
  return result;
}

Result<Manifest> Reader::read(const Value &root) {
  schema(root);
  if (const Value *compiler = member(root, "compiler")) {
    manifest.compiler.version = string(*compiler, "version");
    manifest.compiler.llvm = string(*compiler, "llvm");
    manifest.compiler.scheduleSpace = integer(*compiler, "schedule_space", 1, INT32_MAX);
  }
  if (const Value *spec = member(root, "spec")) {
    manifest.spec.file = path(*spec, "file");
    manifest.spec.bytes = integer(*spec, "bytes", 1, kMaxFileBytes);
    manifest.spec.sha256 = digest(*spec, "sha256");
    manifest.spec.sourceName = string(*spec, "source_name");
    manifest.spec.sourceSha256 = digest(*spec, "source_sha256");
  }
  std::set<int64_t> layersOfGroups;
  for (const Value *value : elements(root, "cache_groups")) {
    CacheGroup group = cacheGroup(*value);
    if (failure)
      return *failure;
    if (manifest.findGroup(group.name))
      fail(*value->find("name"), "package-duplicate",
           "cache group " + json::inQuotes(group.name) + " is given twice");
    for (int64_t layer : layersOf(group.layers))
      if (!layersOfGroups.insert(layer).second)
        fail(*value->find("layers"), "package-layers",
             "layer " + std::to_string(layer) + " is in two cache groups");
    manifest.cacheGroups.push_back(std::move(group));
  }
  for (const Value *value : elements(root, "layer_classes")) {
    LayerClass result = layerClass(*value);
    if (failure)
      return *failure;
    if (manifest.findClass(result.name))
      fail(*value->find("name"), "package-duplicate",
           "layer class " + json::inQuotes(result.name) + " is given twice");
    manifest.layerClasses.push_back(std::move(result));
  }
  for (const json::Member &rule : members(root, "split_rules"))
    if (!failure)
      manifest.splitRules[rule.key] = splitRule(*rule.value);
  for (const json::Member &entry : members(root, "interfaces"))
    if (!failure)
      manifest.interfaces[entry.key] = interface(entry.key, *entry.value);
  std::set<std::string> entries;
  int64_t files = 2; // manifest.json and the spec
  for (const Value *value : elements(root, "kernels")) {
    KernelEntry result = kernel(*value);
    if (failure)
      return *failure;
    if (!entries.insert(result.entry).second)
      fail(*value->find("entry"), "package-duplicate",
           "kernel " + json::inQuotes(result.entry) + " is given twice");
    files += result.cubin ? 2 : 1;
    manifest.kernels.push_back(std::move(result));
    if (files > kMaxFiles)
      fail(*value, "package-files",
           "the package has more than " + std::to_string(kMaxFiles) + " files");
  }
  for (const Value *value : elements(root, "refused")) {
    if (failure)
      break;
    RefusedLayers refused;
    refused.layers = layers(*value);
    refused.reason = string(*value, "reason");
    manifest.refused.push_back(std::move(refused));
  }
  if (!failure && manifest.layerClasses.empty())
    fail(*root.find("layer_classes"), "package-layers",
         "layer_classes is empty, must hold a class");
  if (failure)
    return *failure;
  return std::move(manifest);
}

} // namespace

Result<Manifest> package::parseManifest(std::string_view text, std::string_view file) {
  json::ReadOptions options;
  options.maxBytes = kMaxManifestBytes;
  options.maxDepth = kMaxJsonDepth;
  options.status = Status::InvalidPackage;
  Result<json::Document> document = json::Document::parse(text, std::string(file), options);
  if (!document)
    return document.error();
  return Reader().read(document->root());
}
