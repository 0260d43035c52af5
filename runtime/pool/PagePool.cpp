#include "runtime/pool/PagePool.h"

#include <algorithm>
#include <string>

using namespace attncc;
using namespace attncc::pool;

static Error invalid(std::string message) {
  return makeError(Status::InvalidArgument, std::move(message));
}

Result<std::unique_ptr<PagePool>> PagePool::create(int64_t numPages, int64_t pageSize,
                                                   uint32_t numGroups) {
  if (numPages < 1 || numPages > kMaxPages)
    return invalid("num_pages is " + std::to_string(numPages) + ", must be from 1 to " +
                   std::to_string(kMaxPages));
  if (pageSize < 1 || numGroups < 1)
    return invalid("page_size is " + std::to_string(pageSize) + " and groups are " +
                   std::to_string(numGroups) + ", must be at least 1");
  return std::unique_ptr<PagePool>(new PagePool(numPages, pageSize, numGroups));
}

PagePool::PagePool(int64_t numPages, int64_t pageSize, uint32_t numGroups)
    : tokensPerPage(pageSize), groups(numGroups), references(numPages, 0), freePages(numPages) {
  for (int64_t page = 0; page < numPages; ++page)
    freePages[numPages - 1 - page] = static_cast<int32_t>(page);
}

int32_t PagePool::takePage() {
  int32_t page = freePages.back();
  freePages.pop_back();
  references[page] = 1;
  return page;
}

void PagePool::release(int32_t page) {
  int32_t left = --references[page];
  if (left == 1)
    --sharedPages;
  if (left == 0)
    freePages.push_back(page);
}

Result<PagePool::Sequence *> PagePool::find(SequenceId id) {
  auto found = sequences.find(id);
  if (found == sequences.end())
    return invalid("sequence " + std::to_string(id) + " is not in the pool");
  return &found->second;
}

Result<const PagePool::Sequence *> PagePool::find(SequenceId id) const {
  Result<Sequence *> found = const_cast<PagePool *>(this)->find(id);
  if (!found)
    return found.error();
  return static_cast<const Sequence *>(*found);
}

Result<const std::vector<int32_t> *> PagePool::table(uint32_t group, SequenceId id) const {
  if (group >= groups)
    return invalid("group is " + std::to_string(group) + ", the pool has " +
                   std::to_string(groups));
  Result<const Sequence *> sequence = find(id);
  if (!sequence)
    return sequence.error();
  return &(*sequence)->tables[group];
}

SequenceId PagePool::add() {
  std::lock_guard guard(lock);
  SequenceId id = nextId++;
  sequences[id].tables.resize(groups);
  return id;
}

Result<void> PagePool::remove(SequenceId id) {
  std::lock_guard guard(lock);
  Result<Sequence *> sequence = find(id);
  if (!sequence)
    return sequence.error();
  for (const std::vector<int32_t> &pages : (*sequence)->tables)
    for (auto page = pages.rbegin(); page != pages.rend(); ++page)
      release(*page);
  sequences.erase(id);
  return {};
}

Result<Extension> PagePool::extend(SequenceId id, int64_t tokens, std::span<PageCopy> copies) {
  std::lock_guard guard(lock);
  Result<Sequence *> found = find(id);
  if (!found)
    return found.error();
  Sequence &sequence = **found;
  if (tokens < 0 || tokens > INT64_MAX - tokensPerPage - sequence.length)
    return invalid("tokens is " + std::to_string(tokens) + ", must be from 0 to " +
                   std::to_string(INT64_MAX - tokensPerPage - sequence.length));
  if (tokens == 0)
    return Extension{};

  // Pages to add to each table, and shared pages that the first new token would write.
  int64_t held = pagesFor(sequence.length);
  int64_t added = pagesFor(sequence.length + tokens) - held;
  bool intoLast = sequence.length % tokensPerPage != 0;
  uint32_t numCopies = 0;
  if (intoLast)
    for (const std::vector<int32_t> &pages : sequence.tables)
      numCopies += references[pages.back()] > 1;

  int64_t available = static_cast<int64_t>(freePages.size());
  // added * groups + numCopies - available, where the product may leave 64 bits.
  int64_t needed = 0;
  if (__builtin_mul_overflow(added, static_cast<int64_t>(groups), &needed) ||
      __builtin_add_overflow(needed, static_cast<int64_t>(numCopies), &needed))
    needed = INT64_MAX;
  if (needed > available)
    return Extension{needed - available, 0};
  if (numCopies > copies.size())
    return invalid("copies has room for " + std::to_string(copies.size()) +
                   ", must have room for " + std::to_string(numCopies));

  // All memory is reserved before anything changes; release() never grows freePages.
  for (std::vector<int32_t> &pages : sequence.tables)
    if (size_t size = pages.size() + static_cast<size_t>(added); size > pages.capacity())
      pages.reserve(std::max(size, 2 * pages.capacity()));
  Extension extension{0, numCopies};
  size_t next = 0;
  for (std::vector<int32_t> &pages : sequence.tables) {
    if (intoLast && references[pages.back()] > 1) {
      int32_t source = pages.back();
      pages.back() = takePage();
      release(source);
      copies[next++] = {source, pages.back()};
    }
    for (int64_t i = 0; i < added; ++i)
      pages.push_back(takePage());
  }
  sequence.length += tokens;
  return extension;
}

Result<SequenceId> PagePool::fork(SequenceId id, int64_t prefixTokens) {
  std::lock_guard guard(lock);
  Result<Sequence *> parent = find(id);
  if (!parent)
    return parent.error();
  if (prefixTokens < 0 || prefixTokens > (*parent)->length)
    return invalid("prefix_tokens is " + std::to_string(prefixTokens) +
                   ", must be from 0 to the sequence's length " +
                   std::to_string((*parent)->length));
  Sequence child;
  child.length = prefixTokens;
  for (const std::vector<int32_t> &pages : (*parent)->tables) {
    child.tables.emplace_back(pages.begin(), pages.begin() + pagesFor(prefixTokens));
    for (int32_t page : child.tables.back())
      sharedPages += ++references[page] == 2;
  }
  SequenceId childId = nextId++;
  sequences.emplace(childId, std::move(child));
  return childId;
}

Result<void> PagePool::truncate(SequenceId id, int64_t tokens) {
  std::lock_guard guard(lock);
  Result<Sequence *> sequence = find(id);
  if (!sequence)
    return sequence.error();
  if (tokens < 0 || tokens > (*sequence)->length)
    return invalid("tokens is " + std::to_string(tokens) +
                   ", must be from 0 to the sequence's length " +
                   std::to_string((*sequence)->length));
  size_t kept = static_cast<size_t>(pagesFor(tokens));
  for (std::vector<int32_t> &pages : (*sequence)->tables)
    for (; pages.size() > kept; pages.pop_back())
      release(pages.back());
  (*sequence)->length = tokens;
  return {};
}

Result<void> PagePool::blockTable(uint32_t group, std::span<const SequenceId> ids, int32_t *rows,
                                  int64_t stride) const {
  std::lock_guard guard(lock);
  for (SequenceId id : ids) {
    Result<const std::vector<int32_t> *> pages = table(group, id);
    if (!pages)
      return pages.error();
    if (static_cast<int64_t>((*pages)->size()) > stride)
      return invalid("stride is " + std::to_string(stride) + ", but sequence " +
                     std::to_string(id) + " has " + std::to_string((*pages)->size()) + " pages");
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::vector<int32_t> &pages = **table(group, ids[i]);
    int32_t *row = rows + static_cast<int64_t>(i) * stride;
    std::fill(std::copy(pages.begin(), pages.end(), row), row + stride, 0);
  }
  return {};
}

Result<int64_t> PagePool::pageList(uint32_t group, std::span<const SequenceId> ids,
                                   std::span<int32_t> pages, std::span<int32_t> indptr) const {
  std::lock_guard guard(lock);
  int64_t total = 0;
  for (SequenceId id : ids) {
    Result<const std::vector<int32_t> *> one = table(group, id);
    if (!one)
      return one.error();
    total += static_cast<int64_t>((*one)->size());
  }
  if (total > INT32_MAX)
    return invalid("the sequences have " + std::to_string(total) +
                   " pages together, at most 2147483647 fit a page list");
  if (total > static_cast<int64_t>(pages.size()))
    return total;
  size_t at = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::vector<int32_t> &one = **table(group, ids[i]);
    indptr[i] = static_cast<int32_t>(at);
    std::copy(one.begin(), one.end(), pages.begin() + at);
    at += one.size();
  }
  indptr[ids.size()] = static_cast<int32_t>(at);
  return total;
}

Result<void> PagePool::slots(uint32_t group, SequenceId id, int64_t first,
                             std::span<int64_t> slots) const {
  std::lock_guard guard(lock);
  Result<const std::vector<int32_t> *> pages = table(group, id);
  if (!pages)
    return pages.error();
  int64_t length = (*find(id))->length, n = static_cast<int64_t>(slots.size());
  if (first < 0 || first > length || n > length - first)
    return invalid("tokens " + std::to_string(first) + " to " + std::to_string(first) + " + " +
                   std::to_string(n) + " are not inside the sequence's " + std::to_string(length));
  for (int64_t i = 0; i < n; ++i) {
    int64_t token = first + i;
    slots[i] = (**pages)[token / tokensPerPage] * tokensPerPage + token % tokensPerPage;
  }
  return {};
}

Result<int64_t> PagePool::length(SequenceId id) const {
  std::lock_guard guard(lock);
  Result<const Sequence *> sequence = find(id);
  if (!sequence)
    return sequence.error();
  return (*sequence)->length;
}

PoolStats PagePool::stats() const {
  std::lock_guard guard(lock);
  PoolStats stats;
  stats.total = static_cast<int64_t>(references.size());
  stats.free = static_cast<int64_t>(freePages.size());
  stats.used = stats.total - stats.free;
  stats.shared = sharedPages;
  stats.sequences = static_cast<int64_t>(sequences.size());
  return stats;
}
