// The page pool of the C interface.
#include "runtime/abi/Abi.h"

using namespace attncc;
using namespace attncc::abi;
using package::CacheGroup;

attncc_status attncc_pool_layout(const attncc_package *package, const char *group,
                                 int64_t num_pages, void *base, attncc_kv_layer *layers,
                                 size_t *bytes) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"package", package}}); !given)
      return given.error();
    if (Result<void> given = notNull({{"bytes", bytes}}); !given)
      return given.error();
    Result<const CacheGroup *> found = plan::findGroup(*package->package, group);
    if (!found)
      return found.error();
    uint32_t ofRank = 0;
    if (layers) {
      Result<attncc_kv_layer> first = readStruct("layers[0]", layers);
      if (!first)
        return first.error();
      ofRank = first->kv_heads;
    } else if (base) {
      return invalid("layers is null, but base is given");
    }
    Result<int64_t> heads = plan::rankKvHeads(**found, ofRank);
    if (!heads)
      return heads.error();
    Result<plan::PoolLayout> layout = plan::layoutPool(**found, *heads, num_pages, base);
    if (!layout)
      return layout.error();
    for (size_t i = 0; i < layout->layers.size(); ++i) {
      attncc_kv_layer *layer = elementAt(layers, i);
      if (layer->size != layers->size)
        return invalid("layers[" + std::to_string(i) + "].size is " + std::to_string(layer->size) +
                       ": must be that of layers[0], " + std::to_string(layers->size));
      writeStruct(layer, layout->layers[i]);
    }
    *bytes = static_cast<size_t>(layout->bytes);
    return {};
  });
}

/// All groups of a package share a pool if a page is the same bytes in each.
static Result<void> checkSharing(const std::vector<CacheGroup> &groups) {
  const CacheGroup &first = groups.front();
  for (const CacheGroup &group : groups)
    if (group.pageSize != first.pageSize || group.numLayers() != first.numLayers() ||
        group.pageBytesPerLayer() != first.pageBytesPerLayer())
      return invalid(
          "group is null, but a page of " + group.name + " is " + std::to_string(group.pageSize) +
          " tokens and " + std::to_string(group.numLayers()) + " x " +
          std::to_string(group.pageBytesPerLayer()) + " bytes, one of " + first.name + " " +
          std::to_string(first.pageSize) + " tokens and " + std::to_string(first.numLayers()) +
          " x " + std::to_string(first.pageBytesPerLayer()) + ": name one group for each pool");
  return {};
}

attncc_status attncc_pool_create(const attncc_package *package, const char *group,
                                 int64_t num_pages, attncc_pool **pool) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}}); !given)
      return given.error();
    *pool = nullptr;
    if (Result<void> given = notNull({{"package", package}}); !given)
      return given.error();
    const std::vector<CacheGroup> &groups = package->package->manifest().cacheGroups;
    const CacheGroup *first = &groups.front();
    uint32_t numGroups = 1;
    if (group) {
      Result<const CacheGroup *> found = plan::findGroup(*package->package, group);
      if (!found)
        return found.error();
      first = *found;
    } else {
      if (Result<void> sharing = checkSharing(groups); !sharing)
        return sharing.error();
      numGroups = static_cast<uint32_t>(groups.size());
    }
    Result<std::unique_ptr<pool::PagePool>> made =
        pool::PagePool::create(num_pages, first->pageSize, numGroups);
    if (!made)
      return made.error();
    *pool = new attncc_pool{std::move(*made)};
    return {};
  });
}

attncc_status attncc_pool_add(attncc_pool *pool, attncc_sequence *sequence) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}, {"sequence", sequence}}); !given)
      return given.error();
    *sequence = pool->pool->add();
    return {};
  });
}

attncc_status attncc_pool_remove(attncc_pool *pool, attncc_sequence sequence) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}}); !given)
      return given.error();
    return pool->pool->remove(sequence);
  });
}

attncc_status attncc_pool_extend(attncc_pool *pool, attncc_sequence sequence, int64_t tokens,
                                 attncc_page_copy *copies, uint32_t *num_copies,
                                 int64_t *missing_pages) {
  bool exhausted = false;
  attncc_status status = call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}, {"num_copies", num_copies}}); !given)
      return given.error();
    if (*num_copies > 0)
      if (Result<void> given = notNull({{"copies", copies}}); !given)
        return given.error();
    Result<pool::Extension> extended = pool->pool->extend(
        sequence, tokens, {reinterpret_cast<pool::PageCopy *>(copies), *num_copies});
    if (!extended)
      return extended.error();
    exhausted = extended->exhausted();
    *num_copies = extended->numCopies;
    if (missing_pages)
      *missing_pages = extended->missingPages;
    return {};
  });
  return status == ATTNCC_OK && exhausted ? attncc_status(ATTNCC_EXHAUSTED) : status;
}

attncc_status attncc_pool_fork(attncc_pool *pool, attncc_sequence sequence, int64_t prefix_tokens,
                               attncc_sequence *child) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}, {"child", child}}); !given)
      return given.error();
    Result<pool::SequenceId> forked = pool->pool->fork(sequence, prefix_tokens);
    if (!forked)
      return forked.error();
    *child = *forked;
    return {};
  });
}

attncc_status attncc_pool_truncate(attncc_pool *pool, attncc_sequence sequence, int64_t tokens) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}}); !given)
      return given.error();
    return pool->pool->truncate(sequence, tokens);
  });
}

// The keys are handed on as they are.
static_assert(sizeof(attncc_page_key) == sizeof(pool::PageKey) &&
              offsetof(attncc_page_key, hi) == offsetof(pool::PageKey, hi));
static std::span<const pool::PageKey> keySpan(const attncc_page_key *keys, uint32_t n) {
  return {reinterpret_cast<const pool::PageKey *>(keys), n};
}

attncc_status attncc_pool_publish(attncc_pool *pool, attncc_sequence sequence,
                                  const attncc_page_key *keys, uint32_t n) {
  return call(__func__, [&]() -> Result<void> {
    const void *list = n ? static_cast<const void *>(keys) : pool;
    if (Result<void> given = notNull({{"pool", pool}, {"keys", list}}); !given)
      return given.error();
    return pool->pool->publish(sequence, keySpan(keys, n));
  });
}

attncc_status attncc_pool_match(attncc_pool *pool, const attncc_page_key *keys, uint32_t n,
                                attncc_sequence *sequence) {
  return call(__func__, [&]() -> Result<void> {
    const void *list = n ? static_cast<const void *>(keys) : pool;
    if (Result<void> given = notNull({{"pool", pool}, {"sequence", sequence}, {"keys", list}});
        !given)
      return given.error();
    Result<pool::SequenceId> matched = pool->pool->match(keySpan(keys, n));
    if (!matched)
      return matched.error();
    *sequence = *matched;
    return {};
  });
}

attncc_status attncc_pool_block_table(const attncc_pool *pool, uint32_t group,
                                      const attncc_sequence *sequences, uint32_t n, int32_t *rows,
                                      int64_t stride) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}}); !given)
      return given.error();
    if (n == 0)
      return {};
    if (Result<void> given = notNull({{"sequences", sequences}, {"rows", rows}}); !given)
      return given.error();
    return pool->pool->blockTable(group, {sequences, n}, rows, stride);
  });
}

attncc_status attncc_pool_page_list(const attncc_pool *pool, uint32_t group,
                                    const attncc_sequence *sequences, uint32_t n, int32_t *pages,
                                    int64_t *num_pages, int32_t *page_indptr) {
  return call(__func__, [&]() -> Result<void> {
    const void *list = n ? static_cast<const void *>(sequences) : pool;
    if (Result<void> given = notNull({{"pool", pool},
                                      {"num_pages", num_pages},
                                      {"page_indptr", page_indptr},
                                      {"sequences", list}});
        !given)
      return given.error();
    if (*num_pages < 0 || (*num_pages > 0 && !pages))
      return invalid("num_pages is " + std::to_string(*num_pages) +
                     (pages ? ": must not be negative" : ", but pages is null"));
    Result<int64_t> count =
        pool->pool->pageList(group, {sequences, n}, {pages, static_cast<size_t>(*num_pages)},
                             {page_indptr, n + size_t(1)});
    if (!count)
      return count.error();
    int64_t room = std::exchange(*num_pages, *count);
    if (*count > room)
      return invalid("num_pages is " + std::to_string(room) + ": must be at least " +
                     std::to_string(*count));
    return {};
  });
}

attncc_status attncc_pool_slots(const attncc_pool *pool, uint32_t group, attncc_sequence sequence,
                                int64_t first, int64_t n, int64_t *slots) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}}); !given)
      return given.error();
    if (n < 0 || (n > 0 && !slots))
      return invalid("n is " + std::to_string(n) +
                     (n < 0 ? ": must not be negative" : ", but slots is null"));
    return pool->pool->slots(group, sequence, first, {slots, static_cast<size_t>(n)});
  });
}

attncc_status attncc_pool_length(const attncc_pool *pool, attncc_sequence sequence,
                                 int64_t *tokens) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}, {"tokens", tokens}}); !given)
      return given.error();
    Result<int64_t> length = pool->pool->length(sequence);
    if (!length)
      return length.error();
    *tokens = *length;
    return {};
  });
}

attncc_status attncc_pool_get_stats(const attncc_pool *pool, attncc_pool_stats *stats) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"pool", pool}}); !given)
      return given.error();
    if (Result<attncc_pool_stats> read = readStruct("stats", stats); !read)
      return read.error();
    pool::PoolStats now = pool->pool->stats();
    writeStruct(stats, attncc_pool_stats{0, now.total, now.free, now.used, now.cached, now.shared,
                                         now.sequences});
    return {};
  });
}

void attncc_pool_release(attncc_pool *pool) { delete pool; }
