#include "runtime/device/RecordingDevice.h"

#include "runtime/support/JsonTree.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <vector>

using namespace attncc;
using namespace attncc::device;
using json::Tree;
namespace fs = std::filesystem;

namespace {

struct RecordedKernel final : Kernel {
  std::unique_ptr<Kernel> inner;
  std::string ptx, entry;
  uint32_t shared = 0;
  std::vector<uint32_t> paramOffsets;
};

/// The memory of one or more of a launch's buffers.
struct Region {
  std::string name;
  uint64_t begin = 0, end = 0;
  bool writable = false;
};

/// Buffers that overlap, or that share a beginning, become one region.
std::vector<Region> regionsOf(std::span<const Buffer> buffers) {
  std::vector<Region> sorted;
  for (const Buffer &buffer : buffers)
    if (buffer.begin && buffer.bytes) {
      uint64_t begin = reinterpret_cast<uint64_t>(buffer.begin);
      sorted.push_back({buffer.name, begin, begin + buffer.bytes, buffer.writable});
    }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Region &a, const Region &b) { return a.begin < b.begin; });
  std::vector<Region> regions;
  for (Region &region : sorted) {
    if (!regions.empty() && region.begin < regions.back().end) {
      regions.back().end = std::max(regions.back().end, region.end);
      regions.back().writable |= region.writable;
    } else {
      regions.push_back(std::move(region));
    }
  }
  return regions;
}

std::string hexOf(std::span<const std::byte> bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (std::byte byte : bytes) {
    text += digits[std::to_integer<int>(byte) >> 4];
    text += digits[std::to_integer<int>(byte) & 15];
  }
  return text;
}

using KnownMaps = std::vector<std::pair<TensorMap, TensorMapDescription>>;

/// What the map was encoded from, in the numbers of cuTensorMapEncodeTiled.
Tree treeOf(const TensorMapDescription &description) {
  auto first = [&](const auto &array, size_t count) {
    return Tree(std::vector<int64_t>(array.begin(), array.begin() + count));
  };
  Tree tree = Tree::object();
  tree["dtype"] = description.element == TensorMapDescription::Element::F16 ? "f16" : "bf16";
  tree["dims"] = first(description.dims, description.rank);
  tree["strides"] = first(description.strides, description.rank - 1);
  tree["box"] = first(description.box, description.rank);
  tree["swizzle"] = description.swizzle;
  tree["l2_promotion"] = description.l2Promotion;
  tree["fill"] = description.fillNaN ? "nan" : "zero";
  return tree;
}

/// One parameter for each offset, padding included. Tensor maps are those that were encoded, what
/// begins with an address in a region is a pointer, all else is literal.
Tree paramsOf(std::span<const std::byte> params, const std::vector<uint32_t> &offsets,
              const std::vector<Region> &regions, const KnownMaps &maps) {
  Tree list = Tree::array();
  for (size_t i = 0; i < offsets.size(); ++i) {
    const size_t at = offsets[i],
                 length = (i + 1 < offsets.size() ? offsets[i + 1] : params.size()) - at;
    uint64_t word = 0;
    std::memcpy(&word, params.data() + at, std::min<size_t>(8, length));
    auto map = std::find_if(maps.begin(), maps.end(), [&](const auto &known) {
      const auto &bytes = known.first.bytes;
      return length >= bytes.size() && std::equal(bytes.begin(), bytes.end(), params.begin() + at);
    });
    Tree param = Tree::object();
    if (map != maps.end()) {
      word = reinterpret_cast<uint64_t>(map->second.begin);
      param["tensor_map"] = treeOf(map->second);
    }
    auto owner = std::find_if(regions.begin(), regions.end(), [&](const Region &region) {
      return length >= 8 && region.begin <= word && word < region.end;
    });
    if (owner != regions.end()) {
      param["buffer"] = owner->name;
      param["offset"] = static_cast<int64_t>(word - owner->begin);
    } else {
      param["bytes"] = hexOf(params.subspan(at, length));
    }
    list.push(std::move(param));
  }
  return list;
}

Tree tripleOf(const std::array<uint32_t, 3> &triple) {
  return Tree(std::vector<uint32_t>(triple.begin(), triple.end()));
}

Result<void> write(const fs::path &path, const void *bytes, size_t size) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(static_cast<const char *>(bytes), static_cast<std::streamsize>(size));
  stream.close();
  if (!stream)
    return makeError(Status::InvalidArgument, "cannot write " + path.string());
  return {};
}

} // namespace

Result<TensorMap> RecordingDevice::encodeTensorMap(const TensorMapDescription &description) {
  Result<TensorMap> map = inner->encodeTensorMap(description);
  if (map) {
    std::lock_guard guard(lock);
    maps.push_back({*map, description});
  }
  return map;
}

Result<std::unique_ptr<Kernel>> RecordingDevice::loadKernel(const KernelSource &source) {
  Result<std::unique_ptr<Kernel>> loaded = inner->loadKernel(source);
  if (!loaded)
    return loaded.error();
  auto kernel = std::make_unique<RecordedKernel>();
  kernel->inner = std::move(*loaded);
  kernel->ptx = source.ptx;
  kernel->entry = source.entry;
  kernel->shared = source.shared;
  kernel->paramOffsets = source.paramOffsets;
  return std::unique_ptr<Kernel>(std::move(kernel));
}

Result<void> RecordingDevice::launch(const Kernel &kernel, const LaunchShape &shape,
                                     std::span<const std::byte> params,
                                     std::span<const Buffer> buffers, Stream stream) {
  const auto &recorded = static_cast<const RecordedKernel &>(kernel);
  std::vector<Region> regions = regionsOf(buffers);
  uint64_t bytes = 0;
  for (const Region &region : regions)
    bytes += region.end - region.begin;
  if (regions.empty() || bytes > kLargestRecord)
    return inner->launch(*recorded.inner, shape, params, buffers, stream);

  std::string number = std::to_string(launches++);
  fs::path place = folder / (std::string(4 - std::min<size_t>(4, number.size()), '0') + number +
                             "-" + recorded.entry);
  std::error_code code;
  fs::create_directories(place, code);
  std::vector<char> probe;
  for (const Region &region : regions) {
    probe.resize(region.end - region.begin);
    if (!inner->copy(probe.data(), reinterpret_cast<const void *>(region.begin), probe.size(),
                     stream)) {
      fs::remove_all(place, code);
      return inner->launch(*recorded.inner, shape, params, buffers, stream);
    }
  }
  auto keep = [&](const Region &region, const char *suffix) {
    std::vector<char> content(region.end - region.begin);
    if (Result<void> copied = inner->copy(
            content.data(), reinterpret_cast<const void *>(region.begin), content.size(), stream);
        !copied)
      return copied;
    return write(place / (region.name + suffix), content.data(), content.size());
  };
  Tree launch = Tree::object();
  launch["entry"] = recorded.entry;
  launch["grid"] = tripleOf(shape.grid);
  launch["block"] = tripleOf(shape.block);
  launch["shared"] = recorded.shared;
  {
    std::lock_guard guard(lock);
    launch["params"] = paramsOf(params, recorded.paramOffsets, regions, maps);
  }
  launch["buffers"] = Tree::array();
  for (const Region &region : regions) {
    Tree buffer = Tree::object();
    buffer["name"] = region.name;
    buffer["bytes"] = static_cast<int64_t>(region.end - region.begin);
    buffer["writable"] = region.writable;
    launch["buffers"].push(std::move(buffer));
    if (Result<void> kept = keep(region, ".before"); !kept)
      return kept;
  }
  std::string text = launch.text();
  if (Result<void> kept = write(place / "launch.json", text.data(), text.size()); !kept)
    return kept;
  if (Result<void> kept = write(place / "kernel.ptx", recorded.ptx.data(), recorded.ptx.size());
      !kept)
    return kept;
  if (Result<void> launched = inner->launch(*recorded.inner, shape, params, buffers, stream);
      !launched)
    return launched;
  for (const Region &region : regions)
    if (region.writable)
      if (Result<void> kept = keep(region, ".after"); !kept)
        return kept;
  return {};
}
