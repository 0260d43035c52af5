// The attention side of a small server: continuous batching over a page pool that is too small for
// all requests at once. Prompts are computed in chunks and share pages with earlier ones (match,
// publish); a request may ask for two answers (fork, copy on write); each decode step carries draft
// tokens, of which the rejected ones are dropped (truncate); where pages run out, the youngest
// request waits (remove).
//
//   attncc docs/examples/minimal.model.json -o out      then      server out [DEVICE]
//
// The rest of a model is replaced by hashes: embed() stands for embedding and projections, sample()
// for the language model's head. Requests of equal prompts must get equal answers.
#include <attncc/attncc.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>

using namespace attncc::runtime;

namespace {

// docs/examples/minimal.model.json, with attncc's default page size.
constexpr uint32_t kLayers = 12;
constexpr int64_t kQueryHeads = 16, kKvHeads = 4, kDim = 64, kPageSize = 16;
// What this server is built for.
constexpr uint32_t kBatch = 4, kChunk = 8, kMaxKv = 128, kTableWidth = kMaxKv / kPageSize;
constexpr int64_t kPages = 14;
constexpr size_t kAnswer = 12, kDrafts = 2;

using Tokens = std::vector<int32_t>;

struct Request {
  std::string name;
  Tokens tokens;     // prompt, then answer
  size_t prompt = 0; // tokens of the prompt
  bool twoAnswers = false;
  size_t computed = 0; // tokens whose keys and values lie in pages
  attncc_sequence sequence = 0;
};

template <class T> T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>)
    return *std::move(result);
}

uint64_t mix(uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return bits ^ (bits >> 31);
}
float toFloat(uint16_t bf16) { return std::bit_cast<float>(uint32_t(bf16) << 16); }

/// Element `index` of a token's query, key or value (`kind`) in a layer: bf16 of a magnitude up
/// to 1.
uint16_t embed(int32_t token, uint32_t layer, uint64_t kind, int64_t index) {
  uint64_t bits = mix(mix(uint64_t(token) << 32 | layer << 2 | kind) + uint64_t(index));
  return static_cast<uint16_t>((bits & 0x807f) | (122 + (bits >> 16) % 5) << 7);
}
int32_t sample(const uint16_t *output) {
  int32_t best = 0;
  float highest = -INFINITY;
  for (int32_t word = 0; word < 100; ++word) {
    float score = 0;
    for (int64_t i = 0; i < kQueryHeads * kDim; ++i)
      score += toFloat(output[i]) * ((mix(uint64_t(word) << 32 | uint64_t(i)) & 1) ? 1.0f : -1.0f);
    if (!std::isfinite(score)) {
      std::fprintf(stderr, "an output is not finite\n");
      std::exit(1);
    }
    if (score > highest)
      highest = score, best = word;
  }
  return best;
}

/// A draft: what followed the last time.
int32_t guess(const Tokens &tokens, int32_t last) {
  for (size_t i = tokens.size() - 1; i > 0; --i)
    if (tokens[i - 1] == last)
      return tokens[i];
  return 0;
}

/// One key for each full page: a hash of all tokens up to its end.
std::vector<PageKey> keysOf(const Tokens &tokens, size_t end) {
  std::vector<PageKey> keys;
  PageKey key = {1, 2};
  for (size_t i = 0; i < end; ++i) {
    key = {mix(key.lo ^ uint64_t(tokens[i])), mix(key.hi + uint64_t(tokens[i]))};
    if ((i + 1) % kPageSize == 0)
      keys.push_back(key);
  }
  return keys;
}

class Server {
public:
  Server(Device &device, Package &package) : device(device) {
    std::vector<KvLayer> layers(kLayers);
    void *memory = must(device.allocate(must(package.pool_bytes("kv0", kPages))));
    must(package.pool_layout("kv0", kPages, memory, layers));
    kv = must(package.bind("kv0", layers));
    pool = must(package.pool("kv0", kPages));
    plan = must(package.plan("kv0", {.max_sequences = kBatch,
                                     .max_tokens = kBatch * kChunk,
                                     .max_query_length = kChunk,
                                     .max_kv_length = kMaxKv}));
    Workspace size = plan.workspace();
    must(plan.set_workspace(must(device.allocate(size.bytes)), size.bytes));
    auto rows = [&](int64_t heads) {
      return must(device.allocate(kBatch * kChunk * heads * kDim * 2));
    };
    query = rows(kQueryHeads), key = rows(kKvHeads), value = rows(kKvHeads),
    output = rows(kQueryHeads);
    tables =
        static_cast<int32_t *>(must(device.allocate((2 * kBatch + 1 + kBatch * kTableWidth) * 4)));
  }

  std::deque<Request> waiting;
  std::vector<Request> finished;
  int64_t reused = 0, copied = 0, accepted = 0, rejected = 0, postponed = 0, steps = 0;

  void run() {
    while (!waiting.empty() || !live.empty()) {
      admit();
      step();
      ++steps;
    }
  }

private:
  struct Entry {
    Request *request;
    Tokens tokens; // what this step computes: a chunk of the prompt, or the last token and drafts
  };

  void admit() {
    while (live.size() < kBatch && !waiting.empty()) {
      Request request = std::move(waiting.front());
      waiting.pop_front();
      // All but the last token may come from pages that are there already.
      request.sequence = must(pool.match(keysOf(request.tokens, request.tokens.size() - 1)));
      request.computed = static_cast<size_t>(must(pool.length(request.sequence)));
      reused += static_cast<int64_t>(request.computed);
      live.push_back(std::move(request));
    }
  }

  /// Room for the step's tokens of every request; where there is none, the last one goes back to
  /// wait.
  std::vector<Entry> makeRoom() {
    std::vector<Entry> entries;
    for (size_t i = 0; i < live.size(); ++i) {
      Request &request = live[i];
      Tokens tokens(request.tokens.begin() + static_cast<std::ptrdiff_t>(request.computed),
                    request.tokens.end());
      if (tokens.size() == 1) {
        tokens.resize(1 + kDrafts);
        for (size_t draft = 1; draft <= kDrafts; ++draft)
          tokens[draft] = guess(request.tokens, tokens[draft - 1]);
      }
      tokens.resize(std::min<size_t>(tokens.size(), kChunk));
      PageCopy copies[1];
      Extension extension =
          must(pool.extend(request.sequence, static_cast<int64_t>(tokens.size()), copies));
      if (extension.exhausted()) {
        if (i + 1 == live.size() && i == 0) {
          std::fprintf(stderr, "%s alone needs %lld pages more than there are\n",
                       request.name.c_str(), static_cast<long long>(extension.missing_pages));
          std::exit(1);
        }
        must(pool.remove(live.back().sequence));
        waiting.push_front(std::move(live.back()));
        live.pop_back();
        ++postponed;
        --i; // again, with what the other one had
        continue;
      }
      must(kv.copyPages({copies, extension.num_copies}));
      copied += extension.num_copies;
      entries.push_back({nullptr, std::move(tokens)});
    }
    for (size_t i = 0; i < entries.size(); ++i)
      entries[i].request = &live[i];
    return entries;
  }

  void step() {
    std::vector<Entry> entries = makeRoom();
    const size_t n = entries.size();
    std::vector<int32_t> numbers(2 * n + 1 + n * kTableWidth);
    int32_t *start = numbers.data(), *length = start + n + 1, *table = length + n;
    std::vector<attncc_sequence> sequences;
    for (size_t i = 0; i < n; ++i) {
      sequences.push_back(entries[i].request->sequence);
      start[i + 1] = start[i] + static_cast<int32_t>(entries[i].tokens.size());
      length[i] = static_cast<int32_t>(must(pool.length(sequences[i])));
    }
    must(pool.block_table(sequences, table, kTableWidth));
    must(device.copy(tables, numbers.data(), numbers.size() * 4));
    const auto tokens = static_cast<uint32_t>(start[n]);
    must(plan.update({.num_sequences = static_cast<uint32_t>(n),
                      .num_tokens = tokens,
                      .max_query_length = kChunk,
                      .max_kv_length = kMaxKv,
                      .query_start = tables,
                      .kv_length = tables + n + 1,
                      .block_table = tables + 2 * n + 1,
                      .block_table_stride = kTableWidth}));
    auto rows = [&](void *data, int64_t heads) {
      return tensor(data, kBFloat16, {tokens, heads, kDim});
    };
    attncc_tensor q = rows(query, kQueryHeads);
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      project(entries, layer);
      must(plan.append(kv, layer,
                       {.query = q,
                        .key = rows(key, kKvHeads),
                        .value = rows(value, kKvHeads),
                        .query_out = q}));
      must(plan.attend(kv, layer, {.query = q, .output = rows(output, kQueryHeads)}));
    }
    must(plan.check());
    std::vector<uint16_t> outputs(tokens * kQueryHeads * kDim);
    must(device.copy(outputs.data(), output, outputs.size() * 2));
    for (size_t i = 0; i < n; ++i)
      accept(entries[i], &outputs[static_cast<size_t>(start[i]) * kQueryHeads * kDim]);
    finish();
  }

  void project(const std::vector<Entry> &entries, uint32_t layer) {
    for (auto [to, kind, heads] :
         {std::tuple{query, 0, kQueryHeads}, {key, 1, kKvHeads}, {value, 2, kKvHeads}}) {
      std::vector<uint16_t> elements;
      for (const Entry &entry : entries)
        for (int32_t token : entry.tokens)
          for (int64_t i = 0; i < heads * kDim; ++i)
            elements.push_back(embed(token, layer, static_cast<uint64_t>(kind), i));
      must(device.copy(to, elements.data(), elements.size() * 2));
    }
  }

  /// Takes the answer's next tokens: as many drafts as were guessed rightly, and one more.
  void accept(Entry &entry, const uint16_t *outputs) {
    Request &request = *entry.request;
    size_t known = std::min(request.tokens.size() - request.computed, entry.tokens.size());
    request.computed += known;
    if (request.computed < request.tokens.size())
      return; // more of the prompt is to come
    for (size_t row = known - 1;; ++row) {
      request.tokens.push_back(sample(outputs + row * kQueryHeads * kDim));
      if (row + 1 == entry.tokens.size() || entry.tokens[row + 1] != request.tokens.back())
        break;
      ++accepted;
      ++request.computed; // the draft was right: its key and value stand already
    }
    rejected += must(pool.length(request.sequence)) - static_cast<int64_t>(request.computed);
    must(pool.truncate(request.sequence, static_cast<int64_t>(request.computed)));
    must(pool.publish(request.sequence, keysOf(request.tokens, request.computed)));
  }

  void finish() {
    for (size_t i = 0; i < live.size();) {
      Request &request = live[i];
      if (request.twoAnswers && request.tokens.size() > request.prompt && live.size() < kBatch) {
        Request second = request;
        request.twoAnswers = second.twoAnswers = false;
        second.name += ", second";
        second.tokens.back() = (second.tokens.back() + 1) % 100; // as if sampled differently
        second.sequence = must(pool.fork(request.sequence, static_cast<int64_t>(request.computed)));
        live.push_back(std::move(second));
      } else if (request.tokens.size() >= request.prompt + kAnswer) {
        request.tokens.resize(request.prompt + kAnswer);
        must(pool.remove(request.sequence));
        finished.push_back(std::move(request));
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
  }

  Device &device;
  Kv kv;
  Pool pool;
  Plan plan;
  void *query, *key, *value, *output; // this step's rows
  int32_t *tables;                    // query_start, kv_length, block_table
  std::vector<Request> live;
};

} // namespace

int main(int argc, char **argv) {
  Result<Device> opened = Device::open(argc > 2 ? argv[2] : "sim");
  if (!opened && opened.error().status == ATTNCC_UNSUPPORTED)
    return std::fprintf(stderr, "%s\n", opened.error().message.c_str()), 77; // no such device here
  Device device = must(std::move(opened));
  Package package = must(Package::open(device, argc > 1 ? argv[1] : "out"));
  Server server(device, package);
  // A long beginning that all prompts share, then a question; some questions come twice.
  for (int32_t i = 0; i < 8; ++i) {
    Request request;
    for (int32_t word = 0; word < 35; ++word)
      request.tokens.push_back(static_cast<int32_t>(mix(uint64_t(word)) % 100));
    for (int32_t word = 0; word < 6; ++word)
      request.tokens.push_back(static_cast<int32_t>(mix(uint64_t(1000 + i % 5 * 10 + word)) % 100));
    request.prompt = request.tokens.size();
    request.twoAnswers = i == 1;
    request.name = "question " + std::to_string(i % 5) + (i < 5 ? "" : ", again");
    server.waiting.push_back(std::move(request));
  }
  server.run();
  for (const Request &request : server.finished) {
    std::printf("%-20s", request.name.c_str());
    for (size_t i = request.prompt; i < request.tokens.size(); ++i)
      std::printf(" %2d", request.tokens[i]);
    std::printf("\n");
  }
  std::printf("%lld steps; %lld tokens found in pages, %lld pages copied; drafts: %lld accepted, "
              "%lld rejected; "
              "%lld times postponed\n",
              static_cast<long long>(server.steps), static_cast<long long>(server.reused),
              static_cast<long long>(server.copied), static_cast<long long>(server.accepted),
              static_cast<long long>(server.rejected), static_cast<long long>(server.postponed));
  for (const Request &one : server.finished)
    for (const Request &other : server.finished)
      if (other.name == one.name + ", again" && other.tokens != one.tokens) {
        std::fprintf(stderr, "%s was answered in two ways\n", one.name.c_str());
        return 1;
      }
  return 0;
}
