//===- CaseGrid.cpp - see CaseGrid.h ---------------------------------------===//

#include "runtime/verify/CaseGrid.h"

#include "runtime/verify/Random.h"

#include <algorithm>
#include <set>

namespace attncc::verify {

namespace {
// Tiles of keys, and of the units that divide them, that kernels are likely to have. Borders are
// tried around all of them; a kernel with other tiles merely has less special lengths here.
constexpr int64_t kKeyTile = 16;
constexpr int64_t kUnits = 4;
// The longest context that a simulator reads in about a second.
constexpr int64_t kLongestContext = 131072;
// Key tiles times kv heads that one random case may cost.
constexpr int64_t kDecodeWork = 100, kMergeWork = 160;
// Pairs of a query row and a key that one random case of prefill may cost.
constexpr int64_t kPrefillWork = 60000;

int64_t tiles(int64_t kvLength) { return 1 + kvLength / kKeyTile; }

/// Lengths around the multiples that matter, at most `most`, ascending.
std::vector<int64_t> borderLengths(const ClassShape &shape, int64_t most) {
  std::set<int64_t> lengths{0, 1, 2};
  auto around = [&](int64_t length) { lengths.insert({length - 1, length, length + 1}); };
  for (int64_t multiple : {1, 2, 3}) {
    around(multiple * kKeyTile);
    around(multiple * shape.pageSize);
  }
  around(kKeyTile * kUnits);
  for (const SplitStep &step : shape.splits.steps) {
    for (int64_t multiple : {1, 2, 3})
      around(multiple * step.splitLength);
    around(step.maxLength);
  }
  std::vector<int64_t> result;
  for (int64_t length : lengths)
    if (length >= 0 && length <= std::min(most, shape.maxPosition))
      result.push_back(length);
  return result;
}

class GridBuilder {
public:
  GridBuilder(const ClassShape &shape, uint64_t seed) : shape(shape), random(seed) {
    for (int64_t heads : {int64_t(1), int64_t(2), shape.kvHeads})
      if (shape.kvHeads % heads == 0 && (ranks.empty() || ranks.back() != heads))
        ranks.push_back(heads);
    for (int64_t length : borderLengths(shape, shape.maxPosition)) {
      if (shape.splits.numSplits(length) == 1)
        unsplit.push_back(length);
      else if (length <= 1100)
        split.push_back(length);
      else if (length <= 4200)
        longSplit.push_back(length);
      else if (length <= 8200)
        longest = length;
    }
  }

  std::vector<VerifyCase> build(int64_t count) {
    appendEdges();
    decodeEdges();
    mergeEdges();
    if (shape.mergesStates)
      mergeStatesEdges();
    if (shape.prefillRows)
      prefillEdges();
    // Of what is left, a third is append and a third prefill, where there is one. Of the rest two
    // thirds are decode, the others merge or, as often, join states.
    for (int64_t i = 0; int64_t(cases.size()) < count; ++i) {
      if (i % 3 == 0)
        randomAppend();
      else if (shape.prefillRows && i % 3 == 1)
        randomPrefill();
      else if (i % 18 == 17 && shape.mergesStates)
        randomMergeStates();
      else if (i % 9 < 6 || split.empty())
        randomDecode();
      else
        randomMerge();
    }
    return std::move(cases);
  }

private:
  /// A case with its memory forms; `sequences` decide between decode and merge.
  VerifyCase &add(Role role, std::vector<SequenceShape> sequences, int64_t kvHeads) {
    VerifyCase c;
    if (role != Role::Prefill)
      for (SequenceShape &sequence : sequences)
        sequence.queryLength = std::min(sequence.queryLength, shape.maxDraft);
    if (std::all_of(sequences.begin(), sequences.end(),
                    [](const SequenceShape &sequence) { return sequence.queryLength == 0; })) {
      sequences.front().queryLength = 1; // a batch has a token
      if (role == Role::Append)
        sequences.front().kvLength = std::max<int64_t>(sequences.front().kvLength, 1);
    }
    if (role == Role::Decode || role == Role::Merge) {
      role = Role::Decode;
      for (const SequenceShape &sequence : sequences)
        if (shape.splits.numSplits(sequence.kvLength) > 1)
          role = Role::Merge;
    }
    int64_t number = numbers[size_t(role)]++;
    c.id = shape.name + "/" + std::string(name(role)) + "/" + std::to_string(number);
    c.layerClass = shape.name;
    c.role = role;
    c.seed = random.next() >> 1;
    c.kvHeads = kvHeads;
    c.sequences = std::move(sequences);
    c.headsFirst = number % 2;
    c.interleaved = number / 2 % 2;
    c.pagePadding = number / 4 % 2 ? 8 * random.integer(1, 20) : 0;
    c.sparseTable = number % 3 == 1;
    c.packed = number % 5 < 2;
    c.poisoned = number % 8 != 7;
    c.firstPage = random.chance(4) ? random.integer(1, 1000) : 0;
    if (random.chance(3))
      c.extraKvBound = std::min(random.integer(1, 600), shape.maxPosition - c.maxKvLength());
    const int64_t longest = role == Role::Prefill ? c.maxQueryLength() + 200 : shape.maxDraft;
    if (random.chance(3) && c.maxQueryLength() < longest)
      c.extraQueryBound = random.integer(1, longest - c.maxQueryLength());
    if (role == Role::Append) {
      c.inPlace = number % 2;
      c.slots = number % 3 == 2;
      c.positions = number % 4 == 3;
      c.prologue = shape.takesFused() && !(shape.plainAppend && number % 5 == 2);
      c.queries = c.prologue || number / 5 % 3 != 1;
      if (c.prologue && shape.rope)
        c.cosSinBytes = number % 7 == 1 ? 2 : number % 7 == 4 ? 4 : 0;
    } else {
      c.logSumExp = number % 4 != 2;
      c.throughput = role == Role::Prefill && number % 7 % 2 == 1;
      c.queryFactor = number % 6 == 4 ? 8 : number % 6 == 5 ? 0.125 : 1;
    }
    cases.push_back(std::move(c));
    return cases.back();
  }

  /// As many states of some tokens. Pages and lengths play no part.
  void addStates(int64_t tokens, int64_t parts, int64_t kvHeads) {
    VerifyCase c;
    const int64_t number = numbers[size_t(Role::MergeStates)]++;
    c.role = Role::MergeStates;
    c.id = shape.name + "/" + std::string(name(c.role)) + "/" + std::to_string(number);
    c.layerClass = shape.name;
    c.seed = random.next() >> 1;
    c.kvHeads = kvHeads;
    c.sequences = {{tokens, tokens}};
    c.parts = parts;
    c.headsFirst = number % 2;
    c.packed = number % 5 < 2;
    c.inPlace = number % 3 == 2;
    c.logSumExp = number % 4 != 2;
    c.lseIsLog2 = number / 2 % 2;
    cases.push_back(std::move(c));
  }

  int64_t smallRank() {
    return ranks[size_t(random.integer(0, std::min<int64_t>(1, int64_t(ranks.size()) - 1)))];
  }
  int64_t draft() { return random.chance(2) ? 1 : random.integer(1, shape.maxDraft); }

  void appendEdges() {
    const int64_t far = shape.maxPosition, most = shape.maxDraft;
    add(Role::Append, {{1, 1}}, 1);
    add(Role::Append, {{1, far}}, shape.kvHeads);
    add(Role::Append, {{most, most}}, ranks.back());
    add(Role::Append, {{most, far}, {1, 1}, {0, 0}, {2, shape.pageSize + 1}}, smallRank());
    std::vector<SequenceShape> batch;
    for (int64_t i = 0; i < 64; ++i)
      batch.push_back({1, random.integer(1, std::min<int64_t>(far, 5000))});
    add(Role::Append, batch, 1);
    for (int64_t length : borderLengths(shape, 3 * shape.pageSize + 1))
      if (length >= 1 && length % shape.pageSize <= 1)
        add(Role::Append, {{std::min(length, most), length}}, smallRank());
  }

  void decodeEdges() {
    const int64_t most = shape.maxDraft;
    add(Role::Decode, {{1, 0}}, 1);
    add(Role::Decode, {{1, 1}}, 1);
    add(Role::Decode, {{most, 0}, {most, 1}}, smallRank());
    add(Role::Decode, {{most, most / 2}}, 1); // rows that see no key
    add(Role::Decode, {{most, most}}, smallRank());
    add(Role::Decode, {{1, 9}, {0, 0}, {3, 40}, {0, 17}, {2, 1}, {1, 0}}, smallRank());
    add(Role::Decode, {{1, 20}, {1, 33}}, shape.kvHeads);
    for (bool ragged : {false, true}) {
      std::vector<SequenceShape> batch;
      for (int64_t i = 0; i < 64; ++i)
        batch.push_back({ragged ? random.integer(0, std::min<int64_t>(3, most)) : 1,
                         random.integer(0, ragged ? 40 : 20)});
      add(Role::Decode, batch, 1);
    }
    for (int64_t queryLength = 1; queryLength <= most; ++queryLength)
      add(Role::Decode, {{queryLength, random.integer(queryLength, 48)}}, smallRank());
    for (int64_t length : unsplit)
      add(Role::Decode, {{length % 2 ? 1 : draft(), length}}, 1);
  }

  void mergeEdges() {
    for (int64_t length : split)
      add(Role::Merge, {{length % 2 ? 1 : draft(), length}}, 1);
    for (int64_t length : longSplit)
      add(Role::Merge, {{1, length}}, 1);
    if (longest)
      add(Role::Merge, {{1, longest}}, 1);
    // The most splits there can be.
    if (shape.splits.numSplits(shape.maxPosition) > 1)
      add(Role::Merge, {{1, std::min(shape.maxPosition, kLongestContext)}}, 1);
    if (split.empty())
      return;
    // Sequences with one split and with several, in one batch.
    add(Role::Merge,
        {{1, 5}, {2, split.front()}, {1, 0}, {0, split.front()}, {1, split.front() + 70}},
        smallRank());
    add(Role::Merge, {{1, split.front()}}, shape.kvHeads);
    std::vector<SequenceShape> batch(16, {1, 3});
    batch[11] = {1, split.front() + 20};
    add(Role::Merge, batch, 1);
  }

  void mergeStatesEdges() {
    addStates(1, 1, 1);
    addStates(1, 2, 1);
    addStates(3, 1, shape.kvHeads);
    addStates(5, 2, shape.kvHeads);
    for (int64_t parts : {3, 4, 7, 8, 15, 16})
      addStates(4, parts, smallRank());
    addStates(65, 2, 1); // most rows are in blocks of their own
    addStates(33, 16, 1);
  }

  /// Queries of one token more than decode takes, of whole blocks of rows and around them; keys
  /// before the queries (a chunk over a prefix), fewer keys than queries, none; sequences of decode
  /// and merge in the same batch.
  void prefillEdges() {
    const int64_t least = shape.maxDraft + 1, far = shape.maxPosition;
    const int64_t tokens = std::max(least, (shape.prefillRows + shape.group() - 1) / shape.group());
    auto one = [&](int64_t queryLength, int64_t kvLength, int64_t kvHeads = 1) {
      add(Role::Prefill, {{queryLength, std::min(kvLength, far)}}, kvHeads);
    };
    one(least, 0);
    one(least, 1);
    one(least, least);
    one(least, least / 2);
    one(least, 300);
    one(least + 2, 2 * shape.pageSize + 1, shape.kvHeads);
    for (int64_t queryLength : {tokens - 1, tokens, tokens + 1, 2 * tokens + 3})
      one(std::max(queryLength, least), std::max(queryLength, least), smallRank());
    one(2 * tokens + 1, tokens);
    one(tokens, 3 * tokens + 70);
    for (int64_t length : borderLengths(shape, 200))
      if (length >= least)
        one(std::max(least, length / (1 + length % 3)), length);
    add(Role::Prefill,
        {{least, 30}, {0, 17}, {1, 1}, {shape.maxDraft, 40}, {0, 0}, {40, 90}, {20, 5}},
        smallRank());
    if (!split.empty())
      add(Role::Prefill,
          {{1, split.front()}, {tokens + 4, split.front() + 9}, {1, 3}, {least, least}}, 1);
  }

  /// Sequences with border and other lengths up to `most`, up to an amount of work.
  std::vector<SequenceShape> randomBatch(const std::vector<int64_t> &borders, int64_t work,
                                         int64_t kvHeads) {
    static const std::vector<int64_t> counts{1, 1, 1, 2, 2, 3, 5, 8, 16};
    int64_t count = random.choice(counts), cost = 0;
    bool drafts = random.chance(2);
    std::vector<SequenceShape> sequences;
    while (int64_t(sequences.size()) < count) {
      int64_t length = random.chance(2) ? random.choice(borders) : random.integer(0, 64);
      length = std::min(length, shape.maxPosition);
      if (!sequences.empty() && cost + tiles(length) * kvHeads > work)
        break;
      cost += tiles(length) * kvHeads;
      sequences.push_back(
          {drafts ? random.integer(random.chance(5) ? 0 : 1, shape.maxDraft) : 1, length});
    }
    return sequences;
  }

  void randomAppend() {
    int64_t kvHeads = random.chance(4) ? shape.kvHeads : smallRank();
    std::vector<SequenceShape> sequences;
    for (int64_t i = 0, count = random.integer(1, 6); i < count; ++i) {
      int64_t queryLength = random.integer(random.chance(5) ? 0 : 1, shape.maxDraft);
      int64_t most =
          random.chance(2) ? shape.maxPosition : std::min<int64_t>(shape.maxPosition, 100);
      sequences.push_back({queryLength, random.integer(queryLength, std::max(queryLength, most))});
    }
    add(Role::Append, std::move(sequences), kvHeads);
  }

  void randomDecode() {
    int64_t kvHeads = random.chance(8) ? shape.kvHeads : smallRank();
    add(Role::Decode, randomBatch(unsplit, kDecodeWork, kvHeads), kvHeads);
  }

  void randomMerge() {
    int64_t kvHeads = random.chance(3) ? smallRank() : 1;
    std::vector<SequenceShape> sequences = randomBatch(unsplit, kMergeWork / 4, kvHeads);
    SequenceShape longer{draft(), random.chance(2) ? random.choice(split)
                                                   : random.integer(split.front(), split.back())};
    // Between the borders of a step function a length can have one split again.
    if (shape.splits.numSplits(longer.kvLength) == 1)
      longer.kvLength = split.front();
    sequences.insert(sequences.begin() + random.integer(0, int64_t(sequences.size())), longer);
    add(Role::Merge, std::move(sequences), kvHeads);
  }

  void randomMergeStates() {
    addStates(random.integer(1, 12), random.integer(1, random.chance(3) ? 16 : 4), smallRank());
  }

  void randomPrefill() {
    int64_t kvHeads = random.chance(6) ? smallRank() : 1, work = 0;
    const int64_t most = std::min<int64_t>(shape.maxPosition, 330);
    std::vector<SequenceShape> sequences;
    for (int64_t i = 0, count = random.integer(1, 4); i < count; ++i) {
      SequenceShape next{random.integer(shape.maxDraft + 1, 150), random.integer(0, most)};
      if (random.chance(4)) // of decode, or padding
        next.queryLength = random.integer(0, shape.maxDraft);
      else if (random.chance(2)) // a prompt from its first token on
        next.kvLength = std::min(next.queryLength, most);
      int64_t pairs = next.queryLength * shape.group() * kvHeads * (next.kvLength + 16);
      if (!sequences.empty() && work + pairs > kPrefillWork)
        break;
      work += pairs;
      sequences.push_back(next);
    }
    if (std::all_of(sequences.begin(), sequences.end(), [&](const SequenceShape &sequence) {
          return sequence.queryLength <= shape.maxDraft;
        }))
      sequences.back().queryLength = shape.maxDraft + 1;
    add(Role::Prefill, std::move(sequences), kvHeads);
  }

  const ClassShape &shape;
  Random random;
  std::vector<int64_t> ranks;                     // kv heads: 1, 2, all
  std::vector<int64_t> unsplit, split, longSplit; // border lengths by cost
  int64_t longest = 0;
  int64_t numbers[std::size(kRoles)] = {};
  std::vector<VerifyCase> cases;
};
} // namespace

std::string_view name(Role role) {
  static constexpr std::string_view names[] = {"append", "decode", "merge", "merge_states",
                                               "prefill"};
  return names[size_t(role)];
}

int64_t VerifyCase::numTokens() const {
  int64_t tokens = 0;
  for (const SequenceShape &sequence : sequences)
    tokens += sequence.queryLength;
  return tokens;
}
int64_t VerifyCase::maxQueryLength() const {
  int64_t most = 1;
  for (const SequenceShape &sequence : sequences)
    most = std::max(most, sequence.queryLength);
  return most;
}
int64_t VerifyCase::maxKvLength() const {
  int64_t most = 1;
  for (const SequenceShape &sequence : sequences)
    most = std::max(most, sequence.kvLength);
  return most;
}

std::vector<VerifyCase> makeGrid(const ClassShape &shape, uint64_t seed, int64_t count) {
  return GridBuilder(shape, seed).build(count);
}

VerifyCase decodeTrafficCase(const ClassShape &shape) {
  VerifyCase c;
  c.id = shape.name + "/traffic/decode";
  c.layerClass = shape.name;
  c.seed = 1;
  // One long sequence on few heads, not a short one on many: a plan cuts either until the GPU is
  // full, and what splits cost is to be seen beside as many keys as they have then.
  const int64_t length = std::min<int64_t>(16384, shape.maxPosition);
  c.kvHeads = std::max<int64_t>(1, shape.kvHeads * std::min<int64_t>(4096, length) / length);
  c.sequences = {{1, length}};
  c.logSumExp = false;
  c.role = shape.splits.numSplits(c.maxKvLength()) > 1 ? Role::Merge : Role::Decode;
  return c;
}

VerifyCase prefillTrafficCase(const ClassShape &shape) {
  VerifyCase c = decodeTrafficCase(shape);
  c.id = shape.name + "/traffic/prefill";
  c.role = Role::Prefill;
  c.kvHeads = 1;
  // Half the length, a quarter of the products, where a row of keys meets many numbers.
  const int64_t most = shape.group() * shape.valueDim <= 512 ? 4096 : 2048;
  const int64_t length = std::min(most, shape.maxPosition);
  c.sequences = {{std::max(length, shape.maxDraft + 1), length}};
  return c;
}

VerifyCase appendTrafficCase(const ClassShape &shape) {
  VerifyCase c;
  c.id = shape.name + "/traffic/append";
  c.layerClass = shape.name;
  c.role = Role::Append;
  c.seed = 1;
  c.kvHeads = shape.kvHeads;
  c.prologue = shape.takesFused();
  const int64_t tokens = std::min<int64_t>(shape.maxDraft, shape.maxPosition);
  for (int64_t i = 0; i < 8; ++i)
    c.sequences.push_back(
        {tokens, tokens + std::min<int64_t>(i * 100, shape.maxPosition - tokens)});
  return c;
}

} // namespace attncc::verify
