#include "runtime/plan/KvCache.h"

using namespace attncc;
using namespace attncc::plan;
using package::CacheGroup;
using package::PageElement;

static Error invalid(std::string message) {
  return makeError(Status::InvalidArgument, std::move(message));
}

Result<const CacheGroup *> plan::findGroup(const package::Package &package, const char *name) {
  const std::vector<CacheGroup> &groups = package.manifest().cacheGroups;
  std::string known;
  for (const CacheGroup &group : groups) {
    if (name ? group.name == name : groups.size() == 1)
      return &group;
    known += (known.empty() ? "" : ", ") + group.name;
  }
  return invalid(name ? "group is \"" + std::string(name).substr(0, 60) + "\", must be one of " +
                            known
                      : "group is null, must be one of " + known);
}

Result<int64_t> plan::rankKvHeads(const CacheGroup &group, uint32_t kvHeads) {
  if (kvHeads > group.kvHeads)
    return invalid("kv_heads is " + std::to_string(kvHeads) + ": must be at most the " +
                   std::to_string(group.kvHeads) + " of group " + group.name);
  return kvHeads == 0 ? group.kvHeads : kvHeads;
}

namespace {

/// One side (K or V) of one layer, for checks and copies.
struct Side {
  char name;
  const PageElement &element;
  void *base;
  int64_t pageStride, tokenStride, headStride;
};

std::array<Side, 2> sidesOf(const CacheGroup &group, const attncc_kv_layer &layer) {
  return {
      Side{'k', group.k, layer.k, layer.k_page_stride, layer.k_token_stride, layer.k_head_stride},
      Side{'v', group.v, layer.v, layer.v_page_stride, layer.v_token_stride, layer.v_head_stride}};
}

/// Bytes from the base to the end of the last row; false on overflow.
bool spanBytes(const Side &side, int64_t pages, int64_t tokens, int64_t heads, int64_t &bytes) {
  int64_t elements = side.element.dim, part = 0;
  for (auto [count, stride] :
       {std::pair(pages, side.pageStride), std::pair(tokens, side.tokenStride),
        std::pair(heads, side.headStride)})
    if (__builtin_mul_overflow(count - 1, stride, &part) ||
        __builtin_add_overflow(elements, part, &elements))
      return false;
  return !__builtin_mul_overflow(elements, package::dtypeBytes(side.element.dtype), &bytes);
}

Result<void> checkSide(const CacheGroup &group, int64_t heads, const attncc_kv_layer &layer,
                       const Side &side, const std::string &prefix) {
  const std::string name = prefix + "." + side.name;
  const int64_t unit = package::dtypeBytes(side.element.dtype);
  if (!side.base)
    return invalid(name + " is null");
  if (auto address = reinterpret_cast<uint64_t>(side.base); address % group.alignment != 0)
    return invalid(name + " is at address " + std::to_string(address) + ": must be a multiple of " +
                   std::to_string(group.alignment) + " bytes");
  // A stride over a single page, token or head moves nothing and may be anything.
  struct Stride {
    const char *name;
    int64_t value, count;
  };
  for (const Stride &stride : {Stride{"_page_stride", side.pageStride, layer.num_pages},
                               Stride{"_token_stride", side.tokenStride, group.pageSize},
                               Stride{"_head_stride", side.headStride, heads}}) {
    int64_t bytes = 0;
    std::string strideName = name + stride.name;
    if (__builtin_mul_overflow(stride.value, unit, &bytes))
      return invalid(strideName + " is " + std::to_string(stride.value) +
                     " elements: leaves 64 bits in bytes");
    if (bytes % group.alignment != 0)
      return invalid(strideName + " is " + std::to_string(stride.value) + " elements (" +
                     std::to_string(bytes) + " bytes): must be a multiple of " +
                     std::to_string(group.alignment) + " bytes");
    if (stride.count > 1 && stride.value < side.element.dim)
      return invalid(strideName + " is " + std::to_string(stride.value) +
                     " elements: must be at least the row's " + std::to_string(side.element.dim));
  }
  int64_t bytes = 0, end = 0;
  if (!spanBytes(side, layer.num_pages, group.pageSize, heads, bytes) ||
      __builtin_add_overflow(static_cast<int64_t>(reinterpret_cast<uint64_t>(side.base)), bytes,
                             &end))
    return invalid(name + " with " + std::to_string(layer.num_pages) + " pages of stride " +
                   std::to_string(side.pageStride) + " elements leaves the address space");
  return {};
}

} // namespace

Result<std::shared_ptr<const KvCache>>
KvCache::bind(std::shared_ptr<const package::Package> package, std::string_view group,
              std::span<const attncc_kv_layer> layers) {
  Result<const CacheGroup *> found = findGroup(*package, std::string(group).c_str());
  if (!found)
    return found.error();
  if (static_cast<int64_t>(layers.size()) != (*found)->numLayers())
    return invalid("num_layers is " + std::to_string(layers.size()) + ": must be the " +
                   std::to_string((*found)->numLayers()) + " of group " + (*found)->name);
  Result<int64_t> heads = rankKvHeads(**found, layers[0].kv_heads);
  if (!heads)
    return heads.error();
  for (size_t i = 0; i < layers.size(); ++i) {
    const attncc_kv_layer &layer = layers[i];
    std::string prefix = "layers[" + std::to_string(i) + "]";
    if (layer.kv_heads != layers[0].kv_heads)
      return invalid(prefix + ".kv_heads is " + std::to_string(layer.kv_heads) +
                     ": must be that of layers[0], " + std::to_string(layers[0].kv_heads));
    if (layer.k_scale || layer.v_scale)
      return makeError(Status::Unsupported, prefix + (layer.k_scale ? ".k_scale" : ".v_scale") +
                                                " is given: scaled caches are not supported");
    if (layer.num_pages < 1 || layer.num_pages > pool::PagePool::kMaxPages)
      return invalid(prefix + ".num_pages is " + std::to_string(layer.num_pages) +
                     ": must be from 1 to " + std::to_string(pool::PagePool::kMaxPages));
    for (const Side &side : sidesOf(**found, layer))
      if (Result<void> checked = checkSide(**found, *heads, layer, side, prefix); !checked)
        return checked.error();
  }
  std::shared_ptr<KvCache> cache(new KvCache());
  cache->owner = std::move(package);
  cache->cacheGroup = *found;
  cache->heads = *heads;
  cache->layers.assign(layers.begin(), layers.end());
  if (Result<void> encoded = cache->encodeTensorMaps(); !encoded)
    return encoded.error();
  return std::shared_ptr<const KvCache>(std::move(cache));
}

/// The strides of one side; over a single page, token or head, the row's.
static std::array<int64_t, 3> stridesThatMove(const Side &side, int64_t pages, int64_t tokens,
                                              int64_t heads) {
  const int64_t row = side.element.dim;
  return {pages > 1 ? side.pageStride : row, tokens > 1 ? side.tokenStride : row,
          heads > 1 ? side.headStride : row};
}

static Result<device::TensorMap> encode(device::Device &device, const package::LoadedTensorMap &map,
                                        const package::NameValues &names, const void *base,
                                        const std::string &prefix) {
  using Fill = package::TensorMapRule::Fill;
  const package::TensorMapRule &rule = *map.rule;
  device::TensorMapDescription description;
  description.element = rule.dtype == package::DType::F16
                            ? device::TensorMapDescription::Element::F16
                            : device::TensorMapDescription::Element::BF16;
  description.begin = base;
  description.rank = static_cast<uint32_t>(map.dims.size());
  for (size_t i = 0; i < map.dims.size(); ++i) {
    Result<int64_t> dim = map.dims[i].evaluate(names, nullptr);
    if (!dim)
      return dim.error();
    description.dims[i] = static_cast<uint64_t>(*dim);
    description.box[i] = static_cast<uint32_t>(rule.box[i]);
  }
  for (size_t i = 0; i < map.strides.size(); ++i) {
    Result<int64_t> stride = map.strides[i].evaluate(names, nullptr);
    if (!stride)
      return stride.error();
    description.strides[i] = static_cast<uint64_t>(*stride * package::dtypeBytes(rule.dtype));
    if (description.strides[i] >= device::kTensorStrideLimit)
      return makeError(Status::Unsupported,
                       prefix + "." + map.strides[i].text() + " is " + std::to_string(*stride) +
                           " elements (" + std::to_string(description.strides[i]) +
                           " bytes): must be below " + std::to_string(device::kTensorStrideLimit) +
                           " bytes for a kernel that reads pages by tensor maps");
  }
  description.swizzle = static_cast<uint32_t>(rule.swizzle);
  description.l2Promotion = static_cast<uint32_t>(rule.l2Promotion);
  description.fillNaN = rule.fill == Fill::NaN;
  return device.encodeTensorMap(description);
}

Result<void> KvCache::encodeTensorMaps() {
  using package::Name;
  maps.resize(layers.size());
  std::vector<int64_t> numbers = package::layersOf(cacheGroup->layers);
  for (size_t i = 0; i < layers.size(); ++i) {
    const package::LayerClass *layerClass = owner->manifest().classOfLayer(numbers[i]);
    if (!layerClass)
      continue;
    const attncc_kv_layer &layer = layers[i];
    std::array<Side, 2> sides = sidesOf(*cacheGroup, layer);
    auto k = stridesThatMove(sides[0], layer.num_pages, cacheGroup->pageSize, heads);
    auto v = stridesThatMove(sides[1], layer.num_pages, cacheGroup->pageSize, heads);
    const package::ClassKernels &kernels = owner->kernelsOf(*layerClass);
    std::vector<const package::LoadedKernel *> readers = kernels.decode;
    readers.insert(readers.end(), kernels.prefill.begin(), kernels.prefill.end());
    for (const package::LoadedKernel *kernel : readers) {
      if (kernel->tensorMaps.empty())
        continue;
      package::NameValues names = kernel->constants;
      names[Name::KvHeads] = heads;
      names[Name::NumPages] = layer.num_pages;
      names[Name::KPageStride] = k[0];
      names[Name::KTokenStride] = k[1];
      names[Name::KHeadStride] = k[2];
      names[Name::VPageStride] = v[0];
      names[Name::VTokenStride] = v[1];
      names[Name::VHeadStride] = v[2];
      const std::string prefix = "layers[" + std::to_string(i) + "]";
      TensorMaps &both = maps[i].emplace_back();
      both.kernel = kernel;
      for (auto [param, base, map] :
           {std::tuple("k", layer.k, &both.k), std::tuple("v", layer.v, &both.v)}) {
        Result<device::TensorMap> encoded =
            encode(owner->device(), kernel->tensorMaps.at(param), names, base, prefix);
        if (!encoded)
          return encoded.error();
        *map = *encoded;
      }
    }
  }
  return {};
}

const KvCache::TensorMaps *KvCache::tensorMaps(uint32_t layer,
                                               const package::LoadedKernel &kernel) const {
  for (const TensorMaps &one : maps[layer])
    if (one.kernel == &kernel)
      return &one;
  return nullptr;
}

int64_t KvCache::keyBytes(uint32_t layer) const {
  int64_t bytes = 0; // bind has checked that it fits
  spanBytes(sidesOf(*cacheGroup, layers[layer])[0], layers[layer].num_pages, cacheGroup->pageSize,
            heads, bytes);
  return bytes;
}

int64_t KvCache::valueBytes(uint32_t layer) const {
  int64_t bytes = 0;
  spanBytes(sidesOf(*cacheGroup, layers[layer])[1], layers[layer].num_pages, cacheGroup->pageSize,
            heads, bytes);
  return bytes;
}

Result<void> KvCache::copyPages(std::span<const pool::PageCopy> copies,
                                device::Stream stream) const {
  for (size_t i = 0; i < copies.size(); ++i)
    for (size_t l = 0; l < layers.size(); ++l)
      for (int32_t page : {copies[i].source, copies[i].target})
        if (page < 0 || page >= layers[l].num_pages)
          return invalid("copies[" + std::to_string(i) + "] names page " + std::to_string(page) +
                         ", layers[" + std::to_string(l) + "] has " +
                         std::to_string(layers[l].num_pages));
  device::Device &device = owner->device();
  for (const pool::PageCopy &copy : copies)
    for (const attncc_kv_layer &layer : layers)
      for (const Side &side : sidesOf(*cacheGroup, layer)) {
        const int64_t unit = package::dtypeBytes(side.element.dtype), row = side.element.dim * unit;
        auto at = [&](int32_t page, int64_t token, int64_t head) {
          return static_cast<char *>(side.base) +
                 (page * side.pageStride + token * side.tokenStride + head * side.headStride) *
                     unit;
        };
        // Rows that follow one another without a gap are one copy: NHD order, then HND.
        const int64_t tokens = cacheGroup->pageSize;
        bool headsJoin = side.headStride == side.element.dim;
        bool tokensJoin = side.tokenStride == side.element.dim;
        bool whole = (headsJoin && side.tokenStride == heads * side.element.dim) ||
                     (tokensJoin && side.headStride == tokens * side.element.dim);
        int64_t tokenStep = whole || (tokensJoin && !headsJoin) ? tokens : 1;
        int64_t headStep = whole || headsJoin ? heads : 1;
        for (int64_t token = 0; token < tokens; token += tokenStep)
          for (int64_t head = 0; head < heads; head += headStep)
            if (Result<void> done =
                    device.copy(at(copy.target, token, head), at(copy.source, token, head),
                                static_cast<size_t>(tokenStep * headStep * row), stream);
                !done)
              return done.error();
      }
  return {};
}

Result<PoolLayout> plan::layoutPool(const CacheGroup &group, int64_t kvHeads, int64_t numPages,
                                    void *base) {
  if (numPages < 1 || numPages > pool::PagePool::kMaxPages)
    return invalid("num_pages is " + std::to_string(numPages) + ": must be from 1 to " +
                   std::to_string(pool::PagePool::kMaxPages));
  PoolLayout layout;
  const int64_t keyBytes =
      group.pageSize * kvHeads * group.k.dim * package::dtypeBytes(group.k.dtype);
  const int64_t pageBytes =
      keyBytes + group.pageSize * kvHeads * group.v.dim * package::dtypeBytes(group.v.dtype);
  int64_t layerBytes = 0;
  if (__builtin_mul_overflow(pageBytes, numPages, &layerBytes) ||
      __builtin_mul_overflow(layerBytes, group.numLayers(), &layout.bytes))
    return invalid("num_pages is " + std::to_string(numPages) + ": " +
                   std::to_string(group.numLayers()) + " layers of " + std::to_string(pageBytes) +
                   " bytes a page leave 64 bits");
  if (!base)
    return layout;
  if (auto address = reinterpret_cast<uint64_t>(base); address % 256 != 0)
    return invalid("base is at address " + std::to_string(address) +
                   ": must be a multiple of 256 bytes");
  const bool nhd = group.order == package::KvOrder::NHD;
  for (int64_t l = 0; l < group.numLayers(); ++l) {
    attncc_kv_layer layer = {};
    layer.size = sizeof layer;
    layer.kv_heads = static_cast<uint32_t>(kvHeads);
    layer.num_pages = numPages;
    layer.k = static_cast<char *>(base) + l * layerBytes;
    layer.v = static_cast<char *>(layer.k) + keyBytes;
    layer.k_page_stride = pageBytes / package::dtypeBytes(group.k.dtype);
    layer.v_page_stride = pageBytes / package::dtypeBytes(group.v.dtype);
    layer.k_token_stride = nhd ? kvHeads * group.k.dim : group.k.dim;
    layer.v_token_stride = nhd ? kvHeads * group.v.dim : group.v.dim;
    layer.k_head_stride = nhd ? group.k.dim : group.pageSize * group.k.dim;
    layer.v_head_stride = nhd ? group.v.dim : group.pageSize * group.v.dim;
    layout.layers.push_back(layer);
  }
  return layout;
}
