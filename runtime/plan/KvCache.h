//===- KvCache.h - a caller's paged KV memory, checked and bound ------------===//
//
// Internal. Checks what the host can check of a cache: bases and strides are multiples of 16 bytes,
// no stride is shorter than a row, and no address leaves 63 bits. Neither the order of tokens and
// heads nor what K and V share is prescribed: strides decide. Tensor maps of the package's kernels
// are encoded here, once for each layer, so that a launch only copies them. Test:
// test/runtime/plan/PlanTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/include/attncc/attncc.h"
#include "runtime/package/Package.h"
#include "runtime/pool/PagePool.h"

#include <span>
#include <vector>

namespace attncc::plan {

class KvCache {
public:
  /// `layers`: one for each layer of the group, ascending.
  static Result<std::shared_ptr<const KvCache>>
  bind(std::shared_ptr<const package::Package> package, std::string_view group,
       std::span<const attncc_kv_layer> layers);

  const package::Package &package() const { return *owner; }
  const package::CacheGroup &group() const { return *cacheGroup; }
  const attncc_kv_layer &layer(uint32_t index) const { return layers[index]; }
  uint32_t numLayers() const { return static_cast<uint32_t>(layers.size()); }

  /// Heads of this rank.
  int64_t kvHeads() const { return heads; }
  /// Bytes from the base that all pages of a layer span.
  int64_t keyBytes(uint32_t layer) const;
  int64_t valueBytes(uint32_t layer) const;

  /// What a kernel that reads pages by tensor maps takes for one layer.
  struct TensorMaps {
    const package::LoadedKernel *kernel = nullptr;
    device::TensorMap k, v;
  };
  /// Null for a kernel that takes none.
  const TensorMaps *tensorMaps(uint32_t layer, const package::LoadedKernel &kernel) const;

  /// Copies whole pages in all layers, in order of the pairs.
  Result<void> copyPages(std::span<const pool::PageCopy> copies, device::Stream stream) const;

private:
  KvCache() = default;
  std::shared_ptr<const package::Package> owner;
  const package::CacheGroup *cacheGroup = nullptr;
  int64_t heads = 0;
  std::vector<attncc_kv_layer> layers;
  std::vector<std::vector<TensorMaps>> maps; // by layer

  Result<void> encodeTensorMaps();
};

/// Heads of a tensor-parallel rank: 0 means all of the group's.
Result<int64_t> rankKvHeads(const package::CacheGroup &group, uint32_t kvHeads);

/// The group called `name`; null names the only one. InvalidArgument lists the known names.
Result<const package::CacheGroup *> findGroup(const package::Package &package, const char *name);

/// One allocation that holds all layers of a group: layer after layer, page after page, a page's K
/// before its V. Pages of groups with equal page bytes and equally many layers are the same bytes,
/// so that such groups may share one allocation and one pool.
struct PoolLayout {
  int64_t bytes = 0;
  std::vector<attncc_kv_layer> layers; ///< empty where base is null
};
Result<PoolLayout> layoutPool(const package::CacheGroup &group, int64_t kvHeads, int64_t numPages,
                              void *base);

} // namespace attncc::plan
