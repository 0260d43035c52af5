// 1,000,000 random calls of the page pool against a model, with RapidCheck: 1,000 pools of
// different sizes, 1,000 calls each, every rule of docs/runtime.md, "Page pool", checked after each
// call.
//
// The model knows nothing of reference counts, free lists or queues. It has each sequence's tokens,
// the pages that the pool gave it, the published keys with the time at which they lost their last
// user, and a memory, whose slots hold the hash of the token there and of all before it. An extend
// copies and writes in that memory as append would; whatever is free is overwritten at once. So a
// page that is handed out too early, shared wrongly or matched under a wrong key shows as a wrong
// hash. A second pool gets the calls that succeeded, and only them: it must give the same page
// numbers.
//
// RapidCheck prints the seed and, where a rule is broken, the shortest list of calls that it finds.
// RC_PARAMS="seed=1" sets another seed (RC_PARAMS="seed=1 max_success=10" fewer pools).
#include "runtime/pool/PagePool.h"

#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <set>

using namespace attncc;
using namespace attncc::pool;

namespace {

constexpr size_t kPools = 1000, kCallsAPool = 1000, kMaxSequences = 12;

enum class Kind : uint8_t { Add, Remove, Extend, Fork, Truncate, Publish, Match, Read };
constexpr std::array<const char *, 8> kNames = {"add",      "remove",  "extend", "fork",
                                                "truncate", "publish", "match",  "read"};

/// One call; what its numbers mean depends on the state at that time, so that any part of a list of
/// calls is a list of calls.
struct Call {
  Kind kind = Kind::Add;
  uint8_t which = 0;   // of the live sequences; beyond kKnown: an id that is not live
  uint8_t amount = 0;  // of tokens or keys
  uint8_t variant = 0; // the rest: token values, wrong arguments
  static constexpr uint8_t kKnown = 245;
};
std::ostream &operator<<(std::ostream &out, const Call &call) {
  return out << "\n  " << kNames[static_cast<size_t>(call.kind)] << " which " << int(call.which)
             << " amount " << int(call.amount) << " variant " << int(call.variant);
}

struct Trial {
  int64_t pages = 1, pageSize = 1;
  uint32_t groups = 1;
  std::vector<Call> calls;
};
std::ostream &operator<<(std::ostream &out, const Trial &trial) {
  out << trial.pages << " pages of " << trial.pageSize << " tokens, " << trial.groups
      << " groups, calls:";
  for (const Call &call : trial.calls)
    out << call;
  return out;
}

rc::Gen<Trial> trials() {
  return [](const rc::Random &seed, int) {
    rc::Random random(seed);
    Trial trial;
    uint64_t shape = random.next();
    trial.groups = shape % 8 < 5 ? 1 : shape % 8 < 7 ? 2 : 3;
    trial.pageSize = 1 + (shape >> 8) % 5;
    trial.pages = 1 + (shape >> 16) % 32;
    constexpr Kind kinds[] = {Kind::Add,     Kind::Remove,   Kind::Remove,  Kind::Extend,
                              Kind::Extend,  Kind::Extend,   Kind::Extend,  Kind::Extend,
                              Kind::Fork,    Kind::Truncate, Kind::Publish, Kind::Publish,
                              Kind::Publish, Kind::Match,    Kind::Match,   Kind::Read};
    for (size_t i = 0; i < kCallsAPool; ++i) {
      uint64_t bits = random.next();
      trial.calls.push_back(
          {kinds[bits % 16], uint8_t(bits >> 8), uint8_t(bits >> 16), uint8_t(bits >> 24)});
    }
    return rc::shrinkable::shrinkRecur(std::move(trial), [](const Trial &from) {
      return rc::seq::map(rc::shrink::removeChunks(from.calls), [from](std::vector<Call> &&calls) {
        Trial to = from;
        to.calls = std::move(calls);
        return to;
      });
    });
  };
}

void require(bool holds, const char *rule) {
  if (!holds)
    RC_FAIL(rule);
}

/// What happened, so that no kind of event is missing by accident.
std::map<std::string, int64_t> events;

class Model {
public:
  explicit Model(const Trial &trial)
      : pages(trial.pages), pageSize(trial.pageSize), groups(trial.groups),
        memory(static_cast<size_t>(pages * pageSize), kPoison) {
    pool = std::move(*PagePool::create(pages, pageSize, groups));
    twin = std::move(*PagePool::create(pages, pageSize, groups));
  }

  void run(const Call &call) {
    Kind kind = call.kind;
    const bool adds = kind == Kind::Add || kind == Kind::Fork || kind == Kind::Match;
    if (adds && sequences.size() >= kMaxSequences)
      kind = Kind::Remove;
    SequenceId id = choose(call);
    switch (kind) {
    case Kind::Add: {
      SequenceId added = pool->add();
      require(twin->add() == added, "the same calls give the same ids");
      insert(added, {});
      break;
    }
    case Kind::Remove:
      remove(id);
      break;
    case Kind::Extend:
      extend(id, call);
      break;
    case Kind::Fork:
      fork(id, call);
      break;
    case Kind::Truncate:
      truncate(id, call);
      break;
    case Kind::Publish:
      publish(id, call);
      break;
    case Kind::Match:
      match(id, call);
      break;
    case Kind::Read:
      read(id, call);
      break;
    }
    check();
  }

private:
  static constexpr uint64_t kPoison = 0x7ff8dead7ff8dead;

  struct Sequence {
    std::vector<uint64_t> tokens;             // the hash of each token and of all before it
    std::vector<std::vector<int32_t>> tables; // by group
  };
  struct Published {
    std::vector<int32_t> pages;    // by group
    std::vector<uint64_t> content; // of one page
    uint64_t unusedSince = 0;      // 0: in use
  };

  static uint64_t mix(uint64_t before, uint64_t token) {
    uint64_t bits = (before ^ (token + 0x9e3779b97f4a7c15)) * 0xbf58476d1ce4e5b9;
    return (bits ^ (bits >> 29)) * 0x94d049bb133111eb;
  }
  int64_t pagesFor(int64_t tokens) const { return (tokens + pageSize - 1) / pageSize; }
  static int64_t lengthOf(const Sequence &sequence) {
    return static_cast<int64_t>(sequence.tokens.size());
  }
  uint64_t &slot(int32_t page, int64_t offset) {
    return memory[static_cast<size_t>(page * pageSize + offset)];
  }
  /// The keys of the sequence's full pages.
  std::vector<PageKey> keysOf(const Sequence &sequence) const {
    std::vector<PageKey> keys;
    for (int64_t end = pageSize; end <= lengthOf(sequence); end += pageSize) {
      uint64_t hash = sequence.tokens[static_cast<size_t>(end - 1)];
      keys.push_back({hash, hash >> 60}); // mostly different in both halves
    }
    return keys;
  }
  static std::pair<uint64_t, uint64_t> pair(const PageKey &key) { return {key.lo, key.hi}; }

  std::map<int32_t, int> references() const {
    std::map<int32_t, int> count;
    for (const auto &[id, sequence] : sequences)
      for (const auto &table : sequence.tables)
        for (int32_t page : table)
          ++count[page];
    return count;
  }
  int64_t cached() const {
    return groups * std::count_if(published.begin(), published.end(),
                                  [](const auto &entry) { return entry.second.unusedSince != 0; });
  }
  const Published *publishedAt(int32_t page) const {
    for (const auto &[key, entry] : published)
      if (std::count(entry.pages.begin(), entry.pages.end(), page))
        return &entry;
    return nullptr;
  }

  SequenceId choose(const Call &call) const {
    if (call.which >= Call::kKnown || sequences.empty())
      return call.variant % 2 ? nextId + call.amount : call.amount % (nextId + 1);
    auto chosen = sequences.begin();
    std::advance(chosen, call.which % sequences.size());
    return chosen->first;
  }
  void insert(SequenceId id, Sequence sequence) {
    require(id >= nextId, "ids are never reused");
    nextId = id + 1;
    sequence.tables.resize(groups);
    sequences.emplace(id, std::move(sequence));
  }
  /// A call on a sequence that does not exist must fail.
  template <class T> bool refused(SequenceId id, const Result<T> &result) {
    if (sequences.contains(id))
      return false;
    require(!result && result.error().status == Status::InvalidArgument,
            "a sequence that is not in the pool is INVALID_ARGUMENT");
    ++events[id < nextId && id ? "removed id" : "unknown id"];
    return true;
  }
  template <class T> void requireInvalid(const Result<T> &result, const char *what) {
    require(!result && result.error().status == Status::InvalidArgument, what);
    ++events[what];
  }

  /// Drops the pages past `tokens`, the last one first.
  void shorten(Sequence &sequence, int64_t tokens) {
    std::vector<std::vector<int32_t>> before = sequence.tables;
    sequence.tokens.resize(static_cast<size_t>(tokens));
    for (auto &table : sequence.tables)
      table.resize(static_cast<size_t>(pagesFor(tokens)));
    markUnused(before[0], pagesFor(tokens));
  }
  void markUnused(const std::vector<int32_t> &table, int64_t from) {
    std::map<int32_t, int> now = references();
    for (int64_t i = static_cast<int64_t>(table.size()); i-- > from;)
      for (auto &[key, entry] : published)
        if (entry.pages[0] == table[static_cast<size_t>(i)] && !now.contains(entry.pages[0]))
          entry.unusedSince = ++clock;
  }

  void remove(SequenceId id) {
    Result<void> removed = pool->remove(id);
    if (refused(id, removed))
      return;
    require(static_cast<bool>(removed) && twin->remove(id), "a live sequence can be removed");
    std::vector<int32_t> table = sequences.at(id).tables[0];
    sequences.erase(id);
    markUnused(table, 0);
    requireInvalid(pool->remove(id), "double remove");
  }

  void truncate(SequenceId id, const Call &call) {
    const bool known = sequences.contains(id);
    const int64_t length = known ? lengthOf(sequences.at(id)) : 0;
    const int64_t tokens = call.variant < 16 ? -1 : call.amount % (length + 2);
    Result<void> truncated = pool->truncate(id, tokens);
    if (refused(id, truncated))
      return;
    if (tokens < 0 || tokens > length)
      return requireInvalid(truncated, "truncate outside the sequence");
    require(static_cast<bool>(truncated) && twin->truncate(id, tokens), "truncate inside");
    shorten(sequences.at(id), tokens);
  }

  void fork(SequenceId id, const Call &call) {
    const bool known = sequences.contains(id);
    const int64_t length = known ? lengthOf(sequences.at(id)) : 0;
    const int64_t prefix = call.variant < 16 ? -1 : call.amount % (length + 2);
    Result<SequenceId> forked = pool->fork(id, prefix);
    if (refused(id, forked))
      return;
    if (prefix < 0 || prefix > length)
      return requireInvalid(forked, "fork outside the sequence");
    require(static_cast<bool>(forked) && *twin->fork(id, prefix) == *forked, "fork inside");
    Sequence child = sequences.at(id);
    child.tokens.resize(static_cast<size_t>(prefix));
    for (auto &table : child.tables)
      table.resize(static_cast<size_t>(pagesFor(prefix)));
    insert(*forked, std::move(child));
    ++events["fork"];
  }

  void extend(SequenceId id, const Call &call) {
    const int64_t tokens = call.variant < 8 ? -1 : call.amount % (2 * pageSize + 2);
    const std::map<int32_t, int> before = references();
    int64_t added = 0, copied = 0;
    if (sequences.contains(id) && tokens > 0) {
      const Sequence &sequence = sequences.at(id);
      const int64_t length = lengthOf(sequence);
      added = (pagesFor(length + tokens) - pagesFor(length)) * groups;
      if (length % pageSize)
        for (const auto &table : sequence.tables)
          copied += before.at(table.back()) > 1 || publishedAt(table.back());
    }
    const bool noRoom = copied > 0 && call.variant % 8 == 1;
    std::vector<PageCopy> copies(noRoom ? copied - 1 : groups), twins(groups);
    Result<Extension> extension = pool->extend(id, tokens, copies);
    if (refused(id, extension))
      return;
    if (tokens < 0)
      return requireInvalid(extension, "extend by less than nothing");
    const int64_t free = pages - static_cast<int64_t>(before.size()) - cached();
    const int64_t needed = added + copied, missing = needed - free - cached();
    if (missing > 0) {
      require(extension && extension->missingPages == missing, "the number of missing pages");
      ++events["exhausted"];
      return;
    }
    if (noRoom)
      return requireInvalid(extension, "no room for the copies");
    require(extension && !extension->exhausted(), "extend takes free and cached pages");
    require(extension->numCopies == copied, "the number of copies");
    Result<Extension> other = twin->extend(id, tokens, twins);
    require(other && !other->exhausted(), "a failed call changes nothing: extend succeeds");
    require(std::equal(copies.begin(), copies.begin() + copied, twins.begin()),
            "a failed call changes nothing: the same copies");

    for (int64_t evicted = 0; free + evicted < needed; evicted += groups)
      evictOldest();
    Sequence &sequence = sequences.at(id);
    std::vector<std::vector<int32_t>> tables = tablesOf(*pool, id);
    size_t copy = 0;
    for (uint32_t group = 0; group < groups; ++group) {
      const std::vector<int32_t> &was = sequence.tables[group], &now = tables[group];
      for (size_t i = 0; i < now.size(); ++i) {
        if (i < was.size() && now[i] == was[i])
          continue;
        require(!before.contains(now[i]) && !publishedAt(now[i]), "new pages were free or evicted");
        if (i >= was.size())
          continue;
        require(i + 1 == was.size() && copied > 0, "only the last page is replaced");
        require(copies[copy++] == PageCopy{was[i], now[i]}, "a copy goes from the old page to it");
      }
    }
    require(static_cast<int64_t>(copy) == copied, "every replaced page is copied");
    const std::vector<int32_t> was = sequence.tables[0];
    sequence.tables = std::move(tables);
    if (copied) {
      markUnused(was, static_cast<int64_t>(was.size()) - 1);
      events["copy"] += copied;
    }

    // What attncc_copy_pages and append would write.
    for (int64_t i = 0; i < copied; ++i)
      for (int64_t offset = 0; offset < pageSize; ++offset)
        slot(copies[i].target, offset) = slot(copies[i].source, offset);
    const std::map<int32_t, int> now = references();
    for (int64_t i = 0; i < tokens; ++i) {
      const int64_t position = lengthOf(sequence);
      sequence.tokens.push_back(mix(position ? sequence.tokens.back() : 0, call.variant >> 7));
      for (const auto &table : sequence.tables) {
        int32_t page = table[static_cast<size_t>(position / pageSize)];
        require(now.at(page) == 1, "a page with more than one reference is never written");
        require(!publishedAt(page), "a published page is never written");
        slot(page, position % pageSize) = sequence.tokens.back();
      }
    }
    ++events["extend"];
  }

  void evictOldest() {
    auto oldest = published.end();
    for (auto entry = published.begin(); entry != published.end(); ++entry)
      if (entry->second.unusedSince &&
          (oldest == published.end() || entry->second.unusedSince < oldest->second.unusedSince))
        oldest = entry;
    require(oldest != published.end(), "there is a page to evict");
    published.erase(oldest);
    ++events["evict"];
  }

  void publish(SequenceId id, const Call &call) {
    std::vector<PageKey> keys;
    const bool known = sequences.contains(id);
    if (known)
      keys = keysOf(sequences.at(id));
    const size_t full = keys.size();
    keys.resize(call.amount % (full + 1));
    const bool tooMany = known && call.variant < 8;
    if (tooMany)
      keys.resize(full + 1, PageKey{1, 1});
    // A key that is not this page's: an error where the page has one, else it is simply its name.
    // Its hash belongs to no sequence, so nothing else matches it.
    size_t wrong = keys.size();
    if (!tooMany && !keys.empty() && call.variant % 16 == 3) {
      wrong = call.which % keys.size();
      keys[wrong] = {uint64_t(call.variant), 99};
    }
    if (!tooMany && keys.size() > 1 && call.variant % 16 == 4)
      keys.back() = keys.front();

    Result<void> done = pool->publish(id, keys);
    if (refused(id, done))
      return;
    if (tooMany)
      return requireInvalid(done, "more keys than full pages");
    const Sequence &sequence = sequences.at(id);
    std::map<std::pair<uint64_t, uint64_t>, Published> after = published;
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto hasKey = std::find_if(published.begin(), published.end(), [&](const auto &entry) {
        return entry.second.pages[0] == sequence.tables[0][i];
      });
      if (hasKey != published.end()) {
        if (hasKey->first != pair(keys[i]))
          return requireInvalid(done, "another key for a published page");
        continue;
      }
      Published entry;
      for (const auto &table : sequence.tables)
        entry.pages.push_back(table[i]);
      auto first = sequence.tokens.begin() + static_cast<int64_t>(i) * pageSize;
      entry.content.assign(first, first + pageSize);
      ++events[after.emplace(pair(keys[i]), std::move(entry)).second ? "published"
                                                                     : "published before"];
    }
    require(static_cast<bool>(done) && twin->publish(id, keys), "publish");
    published = std::move(after);
  }

  void match(SequenceId id, const Call &call) {
    // The keys of a live sequence, of one that was removed, or of nothing; some with a key twice.
    std::vector<PageKey> keys;
    if (auto found = sequences.find(id); found != sequences.end() && call.variant % 2)
      keys = keysOf(found->second);
    else
      for (int64_t i = 0, n = call.amount % 8; i < n; ++i) {
        Sequence same; // of one token value throughout, as many of the live ones are
        for (int64_t token = 0; token < (i + 1) * pageSize; ++token)
          same.tokens.push_back(mix(token ? same.tokens.back() : 0, call.variant >> 7));
        keys.push_back(keysOf(same).back());
      }
    if (call.variant % 16 == 5)
      keys.push_back({12345, 99});
    if (!keys.empty() && call.variant % 16 == 6)
      keys.insert(keys.begin() + call.amount % keys.size(), keys.front());

    Result<SequenceId> matched = pool->match(keys);
    require(matched && *twin->match(keys) == *matched, "match always gives a sequence");
    Sequence sequence;
    sequence.tables.resize(groups);
    std::set<std::pair<uint64_t, uint64_t>> met;
    for (const PageKey &key : keys) {
      auto found = published.find(pair(key));
      if (found == published.end() || !met.insert(pair(key)).second)
        break;
      events["revived"] += std::exchange(found->second.unusedSince, 0) != 0;
      sequence.tokens.insert(sequence.tokens.end(), found->second.content.begin(),
                             found->second.content.end());
      for (uint32_t group = 0; group < groups; ++group)
        sequence.tables[group].push_back(found->second.pages[group]);
    }
    ++events[sequence.tokens.empty() ? "match of nothing" : "match"];
    insert(*matched, std::move(sequence));
  }

  /// Tables, lists and slots of one sequence, and their wrong arguments.
  void read(SequenceId id, const Call &call) {
    const uint32_t group = call.amount % (groups + 1);
    std::vector<int32_t> row(static_cast<size_t>(pages) + 1, -7);
    Result<void> filled = pool->blockTable(group, std::span(&id, 1), row.data(), pages);
    if (group == groups)
      return requireInvalid(filled, "group out of range");
    if (refused(id, filled))
      return;
    const Sequence &sequence = sequences.at(id);
    std::vector<int32_t> expected = sequence.tables[group];
    if (!expected.empty())
      requireInvalid(pool->blockTable(group, std::span(&id, 1), row.data(),
                                      static_cast<int64_t>(expected.size()) - 1),
                     "stride less than the pages");
    expected.resize(static_cast<size_t>(pages), 0);
    expected.push_back(-7);
    require(filled && row == expected, "a row is the table, then zeros");

    const int64_t length = lengthOf(sequence), first = call.variant % (length + 1);
    std::vector<int64_t> slots(static_cast<size_t>(length - first));
    require(static_cast<bool>(pool->slots(group, id, first, slots)), "slots inside the sequence");
    for (size_t i = 0; i < slots.size(); ++i)
      require(memory[static_cast<size_t>(slots[i])] ==
                  sequence.tokens[i + static_cast<size_t>(first)],
              "a slot is where the token lies");
    slots.push_back(0);
    requireInvalid(pool->slots(group, id, first, slots), "slots past the sequence");
  }

  std::vector<std::vector<int32_t>> tablesOf(const PagePool &from, SequenceId id) const {
    std::vector<std::vector<int32_t>> tables(groups, std::vector<int32_t>(pages));
    for (uint32_t group = 0; group < groups; ++group) {
      std::array<int32_t, 2> indptr;
      Result<int64_t> count = from.pageList(group, std::span(&id, 1), tables[group], indptr);
      require(count && *count <= pages, "a table has at most all pages");
      tables[group].resize(static_cast<size_t>(*count));
    }
    return tables;
  }

  void check() {
    std::vector<int32_t> count(static_cast<size_t>(pages), 0);
    for (const auto &[id, sequence] : sequences) {
      Result<int64_t> length = pool->length(id);
      require(length && *length == lengthOf(sequence), "the length");
      std::vector<std::vector<int32_t>> tables = tablesOf(*pool, id);
      require(tables == sequence.tables, "nobody else's calls change a table");
      require(tables == tablesOf(*twin, id), "the same calls give the same pages");
      for (const auto &table : tables) {
        require(static_cast<int64_t>(table.size()) == pagesFor(lengthOf(sequence)),
                "a sequence has ceil(length / page_size) pages");
        for (size_t i = 0; i < table.size(); ++i) {
          require(table[i] >= 0 && table[i] < pages, "page numbers are of the pool");
          require(std::find(table.begin(), table.begin() + i, table[i]) == table.begin() + i,
                  "a sequence's pages are distinct");
          ++count[static_cast<size_t>(table[i])];
        }
        for (int64_t i = 0; i < lengthOf(sequence); ++i)
          require(slot(table[static_cast<size_t>(i / pageSize)], i % pageSize) ==
                      sequence.tokens[static_cast<size_t>(i)],
                  "a sequence finds its tokens");
      }
    }
    std::vector<bool> kept(static_cast<size_t>(pages), false);
    int64_t cachedPages = 0;
    for (const auto &[key, entry] : published) {
      for (int32_t page : entry.pages) {
        kept[static_cast<size_t>(page)] = true;
        cachedPages += count[static_cast<size_t>(page)] == 0;
        require((count[static_cast<size_t>(page)] == 0) == (entry.unusedSince != 0),
                "the model knows what is unused");
        for (int64_t offset = 0; offset < pageSize; ++offset)
          require(slot(page, offset) == entry.content[static_cast<size_t>(offset)],
                  "a published page keeps its content");
      }
    }
    PoolStats expected;
    expected.total = pages;
    expected.cached = cachedPages;
    expected.sequences = static_cast<int64_t>(sequences.size());
    for (int32_t page = 0; page < pages; ++page) {
      const int32_t references = count[static_cast<size_t>(page)];
      expected.used += references > 0;
      expected.shared += references > 1;
      if (references == 0 && !kept[static_cast<size_t>(page)]) {
        ++expected.free;
        for (int64_t offset = 0; offset < pageSize; ++offset)
          slot(page, offset) = kPoison;
      }
    }
    require(pool->stats() == expected, "free + used + cached = total, each as counted by hand");
    require(twin->stats() == expected, "a failed call changes nothing: the same counts");
  }

  const int64_t pages, pageSize;
  const uint32_t groups;
  std::vector<uint64_t> memory; // by slot
  std::unique_ptr<PagePool> pool, twin;
  std::map<SequenceId, Sequence> sequences;
  std::map<std::pair<uint64_t, uint64_t>, Published> published;
  SequenceId nextId = 1;
  uint64_t clock = 0;
};

} // namespace

int main() {
  const std::string defaults =
      "seed=20261124 max_success=" + std::to_string(kPools) + " max_size=100";
  const char *given = std::getenv("RC_PARAMS");
  const std::string parameters = given ? defaults + " " + given : defaults;
  setenv("RC_PARAMS", parameters.c_str(), 1);
  std::printf("RC_PARAMS=\"%s\"\n", parameters.c_str());

  size_t calls = 0;
  const bool holds = rc::check("the pool follows its rules", [&] {
    const Trial trial = *trials();
    Model model(trial);
    for (const Call &call : trial.calls) {
      model.run(call);
      ++calls;
    }
  });
  std::printf("%zu calls", calls);
  for (const auto &[event, count] : events)
    std::printf(", %s %lld", event.c_str(), static_cast<long long>(count));
  std::printf("\n");
  if (!holds)
    return 1;
  if (!given && calls != kPools * kCallsAPool)
    return std::printf("expected %zu calls\n", kPools * kCallsAPool), 1;
  for (const char *event : {"copy",
                            "double remove",
                            "evict",
                            "exhausted",
                            "extend",
                            "extend by less than nothing",
                            "fork",
                            "fork outside the sequence",
                            "group out of range",
                            "match",
                            "match of nothing",
                            "more keys than full pages",
                            "no room for the copies",
                            "another key for a published page",
                            "published",
                            "published before",
                            "removed id",
                            "revived",
                            "slots past the sequence",
                            "stride less than the pages",
                            "truncate outside the sequence",
                            "unknown id"})
    if (!given && events[event] < 100)
      return std::printf("only %lld times: %s\n", static_cast<long long>(events[event]), event), 1;
  return 0;
}
