// Reused pages change no bit: a server-like run through the C interface with a small pool, whose
// pages are handed out again and again, against runs of one sequence in fresh memory.
//   attncc-page-reuse-test PACKAGE [DEVICE]        a package whose page size is 4, whose heads are
//   8 of 2, of 64 bf16
//
// 120 steps of add, match, fork, truncate, remove, publish and a batch of up to three sequences.
// All KV memory is NaN at the start; a page is filled with NaN as soon as nothing holds it and once
// more when the pool hands it out. Every output row is kept with its sequence's tokens, and
// recomputed alone, in memory of its own that was all zeros, on ascending pages. The bits must be
// equal. Ends with exit code 77 where the device does not exist.
#include <attncc/attncc.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <set>

using namespace attncc::runtime;

namespace {

constexpr int64_t kQueryHeads = 8, kKvHeads = 2, kDim = 64, kPageSize = 4;
constexpr uint32_t kLayers = 2, kBatch = 3, kMaxQuery = 8, kMaxKv = 64,
                   kStride = kMaxKv / kPageSize;
constexpr int64_t kSmallPool = 24;
constexpr uint16_t kNaN = 0x7fc0;

template <class T> T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>)
    return *std::move(result);
}
void require(bool holds, const char *what) {
  if (!holds) {
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
  }
}

/// The tokens of a sequence; what append is given follows from a token and its position alone.
using Tokens = std::vector<uint32_t>;

uint64_t mix(uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return bits ^ (bits >> 31);
}
/// A bf16 number with a magnitude from 2^-6 to 1.
uint16_t element(uint32_t token, int64_t position, uint64_t kind, int64_t index) {
  uint64_t bits = mix(mix(token * 1000003u + uint64_t(position)) + kind * 65536 + uint64_t(index));
  return static_cast<uint16_t>((bits & 0x807f) | (121 + (bits >> 16) % 6) << 7);
}
std::vector<PageKey> keysOf(const Tokens &tokens) {
  std::vector<PageKey> keys;
  uint64_t lo = 1, hi = 2;
  for (size_t i = 0; i < tokens.size(); ++i) {
    lo = mix(lo ^ tokens[i]);
    hi = mix(hi + tokens[i]);
    if ((i + 1) % kPageSize == 0)
      keys.push_back({lo, hi});
  }
  return keys;
}

/// One entry of a batch: the last `count` tokens are appended and attended to.
struct Item {
  Tokens tokens;
  int64_t count;
  std::vector<int32_t> pages;
};

/// Memory, cache and plan for one set of pages.
class Engine {
public:
  Engine(Device &device, Package &package, int64_t pages, uint16_t fill)
      : device(device), layers(kLayers) {
    size_t bytes = must(package.pool_bytes("kv0", pages));
    memory = must(device.allocate(bytes));
    std::vector<uint16_t> start(bytes / 2, fill);
    must(device.copy(memory, start.data(), bytes));
    must(package.pool_layout("kv0", pages, memory, layers));
    kv = must(package.bind("kv0", layers));
    plan = must(package.plan("kv0", {.max_sequences = kBatch,
                                     .max_tokens = kBatch * kMaxQuery,
                                     .max_query_length = kMaxQuery,
                                     .max_kv_length = kMaxKv}));
    Workspace size = plan.workspace();
    workspace = must(device.allocate(size.bytes));
    must(plan.set_workspace(workspace, size.bytes));
    query = must(device.allocate(rowBytes(kQueryHeads)));
    key = must(device.allocate(rowBytes(kKvHeads)));
    value = must(device.allocate(rowBytes(kKvHeads)));
    output = must(device.allocate(rowBytes(kQueryHeads)));
    tables = static_cast<int32_t *>(must(device.allocate((2 * kBatch + 1 + kBatch * kStride) * 4)));
  }
  ~Engine() {
    for (void *held : {memory, workspace, query, key, value, output, static_cast<void *>(tables)})
      must(device.free(held));
  }

  void poison(int32_t page) {
    std::vector<uint16_t> nan(kPageSize * kKvHeads * kDim, kNaN);
    for (const KvLayer &layer : layers)
      for (auto [base, stride] :
           {std::pair{layer.k, layer.k_page_stride}, {layer.v, layer.v_page_stride}})
        must(
            device.copy(static_cast<uint16_t *>(base) + page * stride, nan.data(), nan.size() * 2));
  }
  void copyPages(std::span<const PageCopy> copies) { must(kv.copyPages(copies)); }

  /// The output rows of all layers, item after item, layer after layer within an item.
  std::vector<std::vector<uint16_t>> step(const std::vector<Item> &items) {
    const uint32_t sequences = static_cast<uint32_t>(items.size());
    std::vector<int32_t> numbers(sequences + 1 + sequences + sequences * kStride, 0x7fffffff);
    int32_t *start = numbers.data(), *length = start + sequences + 1, *table = length + sequences;
    int32_t tokens = 0;
    for (uint32_t i = 0; i < sequences; ++i) {
      start[i] = tokens;
      length[i] = static_cast<int32_t>(items[i].tokens.size());
      std::copy(items[i].pages.begin(), items[i].pages.end(), table + i * kStride);
      tokens += static_cast<int32_t>(items[i].count);
    }
    start[sequences] = tokens;
    must(device.copy(tables, numbers.data(), numbers.size() * 4));
    must(plan.update({.num_sequences = sequences,
                      .num_tokens = static_cast<uint32_t>(tokens),
                      .max_query_length = kMaxQuery,
                      .max_kv_length = kMaxKv,
                      .query_start = tables,
                      .kv_length = tables + sequences + 1,
                      .block_table = tables + 2 * sequences + 1,
                      .block_table_stride = kStride}));
    std::vector<std::vector<uint16_t>> results(sequences);
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      write(query, items, layer * 4, kQueryHeads);
      write(key, items, layer * 4 + 1, kKvHeads);
      write(value, items, layer * 4 + 2, kKvHeads);
      auto rows = [&](void *data, int64_t heads) {
        return tensor(data, kBFloat16, {tokens, heads, kDim});
      };
      must(plan.append(kv, layer,
                       {.query = rows(query, kQueryHeads),
                        .key = rows(key, kKvHeads),
                        .value = rows(value, kKvHeads),
                        .query_out = rows(query, kQueryHeads)}));
      must(plan.attend(kv, layer,
                       {.query = rows(query, kQueryHeads), .output = rows(output, kQueryHeads)}));
      must(plan.check());
      std::vector<uint16_t> all(static_cast<size_t>(tokens * kQueryHeads * kDim));
      must(device.copy(all.data(), output, all.size() * 2));
      for (uint32_t i = 0; i < sequences; ++i)
        results[i].insert(results[i].end(), all.begin() + start[i] * kQueryHeads * kDim,
                          all.begin() + start[i + 1] * kQueryHeads * kDim);
    }
    return results;
  }

private:
  static constexpr size_t rowBytes(int64_t heads) {
    return static_cast<size_t>(kBatch * kMaxQuery * heads * kDim * 2);
  }
  void write(void *to, const std::vector<Item> &items, uint64_t kind, int64_t heads) {
    std::vector<uint16_t> rows;
    for (const Item &item : items)
      for (size_t i = item.tokens.size() - static_cast<size_t>(item.count); i < item.tokens.size();
           ++i)
        for (int64_t index = 0; index < heads * kDim; ++index)
          rows.push_back(element(item.tokens[i], static_cast<int64_t>(i), kind, index));
    must(device.copy(to, rows.data(), rows.size() * 2));
  }

  Device &device;
  std::vector<KvLayer> layers;
  Kv kv;
  Plan plan;
  void *memory, *workspace, *query, *key, *value, *output;
  int32_t *tables;
};

/// The server: live sequences on a small pool, and what the caller of a pool knows of its pages.
class Server {
public:
  Server(Device &device, Package &package)
      : engine(device, package, kSmallPool, kNaN), pool(must(package.pool("kv0", kSmallPool))) {}

  struct Row {
    Tokens tokens;
    int64_t count;
    std::vector<uint16_t> bits;
  };
  std::vector<Row> rows;
  int64_t matchedTokens = 0, copies = 0, handedOut = 0, exhausted = 0;

  void run(std::mt19937 &random) {
    for (int step = 0; step < 120; ++step) {
      auto below = [&](size_t n) { return random() % n; };
      if (live.size() < 2 || (live.size() < 6 && below(3) == 0))
        start(prompts[below(2)], below(14));
      if (below(4) == 0)
        fork(pick(below(live.size())), random);
      if (below(4) == 0)
        shorten(pick(below(live.size())), below(6));
      if (below(2) == 0) {
        attncc_sequence id = pick(below(live.size()));
        std::vector<PageKey> keys = keysOf(live[id]);
        must(pool.publish(id, keys));
        std::vector<int32_t> pages = pagesOf(id);
        named.insert(pages.begin(), pages.begin() + static_cast<int64_t>(keys.size()));
      }
      batch(random);
      if (below(3) == 0 && live.size() > 1)
        remove(pick(below(live.size())));
    }
  }

private:
  attncc_sequence pick(size_t n) {
    auto chosen = live.begin();
    std::advance(chosen, n);
    return chosen->first;
  }
  std::vector<int32_t> pagesOf(attncc_sequence id) {
    std::vector<int32_t> pages(kSmallPool), indptr(2);
    pages.resize(static_cast<size_t>(must(pool.page_list({&id, 1}, pages, indptr))));
    return pages;
  }
  /// Fills with NaN what no live sequence holds and no key may bring back.
  void poisonFreed(const std::vector<int32_t> &pages) {
    std::set<int32_t> held;
    for (const auto &[id, tokens] : live)
      for (int32_t page : pagesOf(id))
        held.insert(page);
    for (int32_t page : pages)
      if (!held.contains(page) && !named.contains(page))
        engine.poison(page);
  }

  /// A prompt's first tokens, of which some may lie in published pages.
  void start(const Tokens &prompt, size_t length) {
    Tokens wanted(prompt.begin(), prompt.begin() + static_cast<int64_t>(length));
    attncc_sequence id = must(pool.match(keysOf(wanted)));
    wanted.resize(static_cast<size_t>(must(pool.length(id))));
    matchedTokens += static_cast<int64_t>(wanted.size());
    live[id] = wanted;
  }
  void fork(attncc_sequence id, std::mt19937 &random) {
    Tokens tokens = live[id];
    tokens.resize(random() % (tokens.size() + 1));
    live[must(pool.fork(id, static_cast<int64_t>(tokens.size())))] = tokens;
  }
  void shorten(attncc_sequence id, size_t by) {
    std::vector<int32_t> before = pagesOf(id);
    live[id].resize(live[id].size() - std::min(by, live[id].size()));
    must(pool.truncate(id, static_cast<int64_t>(live[id].size())));
    poisonFreed(before);
  }
  void remove(attncc_sequence id) {
    std::vector<int32_t> before = pagesOf(id);
    must(pool.remove(id));
    live.erase(id);
    poisonFreed(before);
  }

  void batch(std::mt19937 &random) {
    std::set<attncc_sequence> chosen;
    while (chosen.size() < std::min<size_t>(kBatch, live.size()))
      chosen.insert(pick(random() % live.size()));
    std::vector<Item> items;
    std::vector<PageCopy> toCopy;
    std::vector<attncc_sequence> order(chosen.begin(), chosen.end());
    std::shuffle(order.begin(), order.end(), random);
    for (attncc_sequence id : order) {
      const Tokens &tokens = live[id];
      size_t count = 1 + random() % kMaxQuery;
      if (tokens.size() + count > kMaxKv) {
        remove(id);
        continue;
      }
      PageCopy copy[1];
      std::vector<int32_t> before = pagesOf(id);
      Extension extension = must(pool.extend(id, static_cast<int64_t>(count), copy));
      if (extension.exhausted()) {
        ++exhausted;
        if (live.size() > 1)
          remove(id);
        continue;
      }
      Item item{tokens, static_cast<int64_t>(count), pagesOf(id)};
      for (size_t i = 0; i < item.pages.size(); ++i)
        if (i >= before.size() || item.pages[i] != before[i]) {
          named.erase(item.pages[i]);
          engine.poison(item.pages[i]);
          ++handedOut;
        }
      // The source may be handed to the next sequence, and filled: copied at once.
      engine.copyPages({copy, extension.num_copies});
      copies += extension.num_copies;
      for (size_t i = 0; i < count; ++i) // along one of the prompts, or away from both
        item.tokens.push_back(random() % 8 ? prompts[id % 2][item.tokens.size()] : random() % 100);
      live[id] = item.tokens;
      items.push_back(std::move(item));
    }
    if (items.empty())
      return;
    std::vector<std::vector<uint16_t>> outputs = engine.step(items);
    for (size_t i = 0; i < items.size(); ++i)
      rows.push_back({items[i].tokens, items[i].count, std::move(outputs[i])});
  }

  static std::vector<Tokens> makePrompts() {
    std::vector<Tokens> made(2);
    for (uint32_t p = 0; p < 2; ++p)
      for (uint32_t i = 0; i < kMaxKv; ++i)
        made[p].push_back(static_cast<uint32_t>(mix(p * 1000 + i) % 50000));
    return made;
  }

  Engine engine;
  Pool pool;
  const std::vector<Tokens> prompts = makePrompts();
  std::map<attncc_sequence, Tokens> live;
  std::set<int32_t> named; // pages that may still be published
};

/// The last rows of a sequence, in memory that only it has ever used.
std::vector<uint16_t> alone(Device &device, Package &package, const Server::Row &row) {
  Engine engine(device, package, kStride, 0);
  Item item;
  for (int32_t page = 0; page < int32_t(kStride); ++page)
    item.pages.push_back(page);
  const size_t before = row.tokens.size() - static_cast<size_t>(row.count);
  while (item.tokens.size() < before) {
    size_t at = item.tokens.size(), count = std::min<size_t>(kMaxQuery, before - at);
    item.count = static_cast<int64_t>(count);
    item.tokens.assign(row.tokens.begin(), row.tokens.begin() + static_cast<int64_t>(at + count));
    (void)engine.step({item});
  }
  item.tokens = row.tokens;
  item.count = row.count;
  return engine.step({item})[0];
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2)
    return std::fprintf(stderr, "usage: %s PACKAGE [DEVICE]\n", argv[0]), 2;
  Result<Device> opened = Device::open(argc > 2 ? argv[2] : "sim");
  if (!opened && opened.error().status == ATTNCC_UNSUPPORTED)
    return std::fprintf(stderr, "%s\n", opened.error().message.c_str()), 77;
  Device device = must(std::move(opened));
  Package package = must(Package::open(device, argv[1]));
  Server server(device, package);
  std::mt19937 random(20261124);
  server.run(random);
  size_t numbers = 0;
  for (size_t i = 0; i < server.rows.size(); ++i) {
    const Server::Row &row = server.rows[i];
    std::vector<uint16_t> expected = alone(device, package, row);
    for (size_t j = 0; j < expected.size(); ++j, ++numbers) {
      require((row.bits[j] & 0x7fff) <= 0x7f80, "an output is NaN");
      if (row.bits[j] != expected[j]) {
        std::fprintf(
            stderr, "row set %zu (%zu tokens, the last %lld), element %zu: 0x%04x, alone 0x%04x\n",
            i, row.tokens.size(), static_cast<long long>(row.count), j, row.bits[j], expected[j]);
        return 1;
      }
    }
  }
  std::printf(
      "%zu batch entries, %zu numbers, equal bits; %lld pages handed out of %lld, %lld copied, "
      "%lld tokens matched, exhausted %lld times\n",
      server.rows.size(), numbers, static_cast<long long>(server.handedOut),
      static_cast<long long>(kSmallPool), static_cast<long long>(server.copies),
      static_cast<long long>(server.matchedTokens), static_cast<long long>(server.exhausted));
  require(server.handedOut > 5 * kSmallPool && server.copies > 10 && server.matchedTokens > 40 &&
              server.exhausted > 5,
          "too little was reused for this test to mean anything");
}
