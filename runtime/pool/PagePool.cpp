#include "runtime/pool/PagePool.h"

#include <algorithm>
#include <cstdio>
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
    : tokensPerPage(pageSize), groups(numGroups), references(numPages, 0),
      published(numPages, nullptr), freePages(numPages) {
  for (int64_t page = 0; page < numPages; ++page)
    freePages[numPages - 1 - page] = static_cast<int32_t>(page);
}

// The finalizer of SplitMix64 over both halves: keys may be small or regular numbers.
size_t PagePool::HashKey::operator()(const PageKey &key) const noexcept {
  uint64_t bits = key.lo + 0x9e3779b97f4a7c15 * (key.hi + 1);
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return bits ^ (bits >> 31);
}

void PagePool::enqueue(Published &entry) {
  entry.older = newest;
  entry.newer = nullptr;
  (newest ? newest->newer : oldest) = &entry;
  newest = &entry;
  cachedPages += groups;
}

void PagePool::dequeue(Published &entry) {
  (entry.older ? entry.older->newer : oldest) = entry.newer;
  (entry.newer ? entry.newer->older : newest) = entry.older;
  cachedPages -= groups;
}

void PagePool::evictOldest() {
  Published &entry = *oldest;
  dequeue(entry);
  for (auto page = entry.pages.rbegin(); page != entry.pages.rend(); ++page) {
    published[*page] = nullptr;
    freePages.push_back(*page);
  }
  byKey.erase(PageKey(entry.key));
}

int32_t PagePool::takePage() {
  if (freePages.empty())
    evictOldest();
  int32_t page = freePages.back();
  freePages.pop_back();
  references[page] = 1;
  return page;
}

/// One more table holds `page`, which is in use or cached.
void PagePool::acquire(int32_t page) {
  int32_t now = ++references[page];
  if (now == 2)
    ++sharedPages;
  if (now > 1)
    return;
  Published &entry = *published[page];
  if (entry.pagesInUse++ == 0)
    dequeue(entry);
}

void PagePool::release(int32_t page) {
  int32_t left = --references[page];
  if (left == 1)
    --sharedPages;
  if (left > 0)
    return;
  if (Published *entry = published[page]) {
    if (--entry->pagesInUse == 0)
      enqueue(*entry);
  } else {
    freePages.push_back(page);
  }
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
  Sequence sequence;
  sequence.tables.resize(groups);
  sequences.emplace(nextId, std::move(sequence));
  return nextId++;
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

  // Pages to add to each table, and pages of others that the first new token would write.
  int64_t held = pagesFor(sequence.length);
  int64_t added = pagesFor(sequence.length + tokens) - held;
  bool intoLast = sequence.length % tokensPerPage != 0;
  uint32_t numCopies = 0;
  if (intoLast)
    for (const std::vector<int32_t> &pages : sequence.tables)
      numCopies += !mayWrite(pages.back());

  // The source of a copy never counts as available, even if this sequence is its only user: it is
  // read after this call.
  int64_t available = numFree() + cachedPages;
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
    if (intoLast && !mayWrite(pages.back())) {
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
  for (const std::vector<int32_t> &pages : (*parent)->tables)
    child.tables.emplace_back(pages.begin(), pages.begin() + pagesFor(prefixTokens));
  return insert(std::move(child));
}

/// A new sequence, whose pages are in use or cached.
SequenceId PagePool::insert(Sequence sequence) {
  const Sequence &added = sequences.emplace(nextId, std::move(sequence)).first->second;
  for (const std::vector<int32_t> &pages : added.tables)
    for (int32_t page : pages)
      acquire(page);
  return nextId++;
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

static std::string text(const PageKey &key) {
  char digits[40];
  std::snprintf(digits, sizeof digits, "%016llx:%016llx", static_cast<unsigned long long>(key.hi),
                static_cast<unsigned long long>(key.lo));
  return digits;
}

Result<void> PagePool::publish(SequenceId id, std::span<const PageKey> keys) {
  std::lock_guard guard(lock);
  Result<Sequence *> found = find(id);
  if (!found)
    return found.error();
  const Sequence &sequence = **found;
  if (static_cast<int64_t>(keys.size()) > sequence.length / tokensPerPage)
    return invalid("n is " + std::to_string(keys.size()) + ", must be at most the sequence's " +
                   std::to_string(sequence.length / tokensPerPage) + " full pages");

  std::unordered_map<PageKey, Published, HashKey> added;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (const Published *entry = published[sequence.tables[0][i]]) {
      if (entry->key != keys[i])
        return invalid("keys[" + std::to_string(i) + "] is " + text(keys[i]) +
                       ", but this page is published as " + text(entry->key));
      continue;
    }
    if (byKey.contains(keys[i]))
      continue;
    auto [entry, isNew] = added.try_emplace(keys[i]);
    if (!isNew)
      continue;
    entry->second.key = keys[i];
    entry->second.pagesInUse = groups;
    for (const std::vector<int32_t> &pages : sequence.tables)
      entry->second.pages.push_back(pages[i]);
  }
  byKey.reserve(byKey.size() + added.size());
  for (auto &[key, entry] : added)
    for (int32_t page : entry.pages)
      published[page] = &entry;
  byKey.merge(added); // moves the nodes: the addresses stay
  return {};
}

Result<SequenceId> PagePool::match(std::span<const PageKey> keys) {
  std::lock_guard guard(lock);
  ++numMatches;
  Sequence sequence;
  sequence.tables.resize(groups);
  for (const PageKey &key : keys) {
    auto found = byKey.find(key);
    if (found == byKey.end() || found->second.matchedIn == numMatches)
      break;
    found->second.matchedIn = numMatches;
    for (uint32_t group = 0; group < groups; ++group)
      sequence.tables[group].push_back(found->second.pages[group]);
    sequence.length += tokensPerPage;
  }
  return insert(std::move(sequence));
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
  stats.free = numFree();
  stats.cached = cachedPages;
  stats.used = stats.total - stats.free - stats.cached;
  stats.shared = sharedPages;
  stats.sequences = static_cast<int64_t>(sequences.size());
  return stats;
}
