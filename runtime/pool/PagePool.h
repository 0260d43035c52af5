//===- PagePool.h - which sequence owns which pages -------------------------===//
//
// Internal. Bookkeeping on the host for paged KV memory: a page number is one slot of pageSize
// tokens in every layer of a cache group, and a sequence has one table of page numbers per group.
// Groups draw from one set of pages. The pool touches no KV memory. docs/runtime.md, "Page pool",
// has the rules that hold after every operation:
//
//   free + used + cached = total; a page's reference count is the number of its occurrences in the
//   tables of live sequences; a sequence of n tokens has ceil(n / pageSize) distinct pages in each
//   table; a page that is shared or published is never written: extending into one replaces it by
//   a private copy; a failed call changes nothing; ids are never reused; the same calls give the
//   same page numbers (the page freed last is handed out first, at the start page 0).
//
// Prefix reuse: publish gives a full page of a sequence, in every group, a key. A published page
// that loses its last user is cached instead of free. Cached pages stand in a queue in the order in
// which they lost their last user; extend takes free pages first, then from the queue's front. A
// sequence gives its pages back last page first, so a prefix is evicted from its end. match takes
// pages out of the queue. The pool does not know which key follows which: a page behind an evicted
// one stays cached until its own turn, and is found again once the missing key is published anew.
//
// Every function takes the pool's lock. Exhaustion is a value of Extension, not an Error. Anything
// that may fail to allocate comes before the first change.
// Test: test/runtime/pool.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

namespace attncc::pool {

using SequenceId = uint64_t;

/// The content of page `source` must be copied to page `target` before `target` is written.
struct PageCopy {
  int32_t source, target;
  bool operator==(const PageCopy &) const = default;
};

/// The caller's name of a full page's content and of all that precedes it: a chained hash.
struct PageKey {
  uint64_t lo, hi;
  bool operator==(const PageKey &) const = default;
};

struct PoolStats {
  int64_t total = 0, free = 0, used = 0;
  int64_t cached = 0; ///< published pages that no live sequence holds
  int64_t shared = 0; ///< used pages with more than one reference
  int64_t sequences = 0;
  bool operator==(const PoolStats &) const = default;
};

/// Outcome of extend: room was made, or `missingPages` pages are missing and nothing has changed.
struct Extension {
  int64_t missingPages = 0;
  uint32_t numCopies = 0;
  bool exhausted() const { return missingPages > 0; }
};

class PagePool {
public:
  static constexpr int64_t kMaxPages = INT32_MAX;

  /// numPages 1 to kMaxPages, pageSize and numGroups at least 1.
  static Result<std::unique_ptr<PagePool>> create(int64_t numPages, int64_t pageSize,
                                                  uint32_t numGroups = 1);

  SequenceId add();
  Result<void> remove(SequenceId id);
  /// Makes room for `tokens` more. `copies` needs room for one pair a group.
  Result<Extension> extend(SequenceId id, int64_t tokens, std::span<PageCopy> copies);
  Result<SequenceId> fork(SequenceId id, int64_t prefixTokens);
  Result<void> truncate(SequenceId id, int64_t tokens);
  /// Names the first keys.size() pages, which must be full. A key that is published already stays
  /// with its page. A page that has another key is an error.
  Result<void> publish(SequenceId id, std::span<const PageKey> keys);
  /// A new sequence of the pages published under the first keys, up to the first key that is not
  /// published or stands twice; empty if that is keys[0].
  Result<SequenceId> match(std::span<const PageKey> keys);

  /// Row i of `rows` (at rows + i * stride) becomes the pages of sequence i, then zeros.
  Result<void> blockTable(uint32_t group, std::span<const SequenceId> ids, int32_t *rows,
                          int64_t stride) const;
  /// The pages of all sequences one after another; `indptr` has ids.size() + 1 elements. Returns
  /// the number of pages; where that is more than pages.size(), nothing is written.
  Result<int64_t> pageList(uint32_t group, std::span<const SequenceId> ids,
                           std::span<int32_t> pages, std::span<int32_t> indptr) const;
  /// Slots (page * pageSize + offset) of tokens first, first + 1, …
  Result<void> slots(uint32_t group, SequenceId id, int64_t first, std::span<int64_t> slots) const;
  Result<int64_t> length(SequenceId id) const;
  PoolStats stats() const;

  int64_t pageSize() const { return tokensPerPage; }
  uint32_t numGroups() const { return groups; }

private:
  struct Sequence {
    int64_t length = 0;
    std::vector<std::vector<int32_t>> tables; // one for each group
  };
  /// A published page of every group.
  struct Published {
    PageKey key = {};
    std::vector<int32_t> pages;                   // by group
    uint32_t pagesInUse = 0;                      // after each call all of them, or none
    uint64_t matchedIn = 0;                       // number of the last match that took it
    Published *older = nullptr, *newer = nullptr; // neighbours in the queue
  };
  struct HashKey {
    size_t operator()(const PageKey &key) const noexcept;
  };

  PagePool(int64_t numPages, int64_t pageSize, uint32_t numGroups);
  int64_t pagesFor(int64_t tokens) const { return (tokens + tokensPerPage - 1) / tokensPerPage; }
  Result<Sequence *> find(SequenceId id);
  Result<const Sequence *> find(SequenceId id) const;
  Result<const std::vector<int32_t> *> table(uint32_t group, SequenceId id) const;
  int64_t numFree() const { return static_cast<int64_t>(freePages.size()); }
  bool mayWrite(int32_t page) const { return references[page] == 1 && !published[page]; }
  SequenceId insert(Sequence sequence);
  int32_t takePage();
  void acquire(int32_t page);
  void release(int32_t page);
  void enqueue(Published &entry);
  void dequeue(Published &entry);
  void evictOldest();

  const int64_t tokensPerPage;
  const uint32_t groups;
  mutable std::mutex lock;
  std::vector<int32_t> references;    // by page
  std::vector<Published *> published; // by page; null: has no key
  std::vector<int32_t> freePages;     // the last is handed out next
  int64_t sharedPages = 0, cachedPages = 0;
  SequenceId nextId = 1;
  uint64_t numMatches = 0;
  Published *oldest = nullptr, *newest = nullptr; // ends of the queue
  std::unordered_map<PageKey, Published, HashKey> byKey;
  std::unordered_map<SequenceId, Sequence> sequences;
};

} // namespace attncc::pool
