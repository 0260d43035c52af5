//===- PagePool.h - which sequence owns which pages -------------------------===//
//
// Internal. Bookkeeping on the host for paged KV memory: a page number is one slot of pageSize
// tokens in every layer of a cache group, and a sequence has one table of page numbers per group.
// Groups draw from one set of pages. The pool touches no KV memory; docs/runtime.md, "Page pool",
// has the rules that hold after every operation:
//
//   free + used + cached = total; a page's reference count is the number of its occurrences in the
//   tables of live sequences; a sequence of n tokens has ceil(n / pageSize) distinct pages in each
//   table; a page with more than one reference is never written: extending into one replaces it by
//   a private copy; a failed call changes nothing; ids are never reused; the same calls give the
//   same page numbers (the page freed last is handed out first, at the start page 0).
//
// Every function takes the pool's lock. Exhaustion is a value of Extension, not an Error.
// Test: test/runtime/pool/PagePoolTest.cpp.
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

struct PoolStats {
  int64_t total = 0, free = 0, used = 0;
  int64_t cached = 0; ///< pages kept for reuse that no live sequence holds
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

  PagePool(int64_t numPages, int64_t pageSize, uint32_t numGroups);
  int64_t pagesFor(int64_t tokens) const { return (tokens + tokensPerPage - 1) / tokensPerPage; }
  Result<Sequence *> find(SequenceId id);
  Result<const Sequence *> find(SequenceId id) const;
  Result<const std::vector<int32_t> *> table(uint32_t group, SequenceId id) const;
  int32_t takePage();
  void release(int32_t page);

  const int64_t tokensPerPage;
  const uint32_t groups;
  mutable std::mutex lock;
  std::vector<int32_t> references; // by page
  std::vector<int32_t> freePages;  // the last is handed out next
  int64_t sharedPages = 0;
  SequenceId nextId = 1;
  std::unordered_map<SequenceId, Sequence> sequences;
};

} // namespace attncc::pool
