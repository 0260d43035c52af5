//===- MaskTest.cpp - mask bounds against brute force ---------------------===//
//
// Every combination of terms, every number of queries and keys up to 24, every
// tile of up to 8 keys, every block of rows: what visibleKeys says is compared
// with the terms' definitions key by key, and what visitedTiles says with what
// that leaves of each tile.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/Mask.h"

#include "gtest/gtest.h"
#include <vector>

using namespace attncc::attn;

namespace {

/// The definition, term by term (AttnAttrs.td).
bool keeps(const Mask &mask, int64_t prefixLength, const std::vector<int> &document, int64_t p,
           int64_t j) {
  bool kept = true;
  if (mask.causal)
    kept &= j <= p || (mask.prefix && j < prefixLength);
  if (mask.window)
    kept &= j > p - *mask.window;
  if (mask.rightWindow)
    kept &= j <= p + *mask.rightWindow;
  if (mask.chunk)
    kept &= j / *mask.chunk == p / *mask.chunk;
  if (mask.documents)
    kept &= document[j] == document[p];
  return kept;
}

std::vector<Mask> allMasks() {
  std::vector<Mask> masks;
  const std::optional<int64_t> windows[] = {std::nullopt, 1, 5}, rights[] = {std::nullopt, 0, 3},
                               chunks[] = {std::nullopt, 1, 6};
  for (bool causal : {false, true})
    for (auto window : windows)
      for (auto right : rights)
        for (auto chunk : chunks)
          for (bool prefix : {false, true})
            for (bool documents : {false, true})
              for (bool tree : {false, true}) {
                if ((prefix && !causal) || (causal && right))
                  continue;
                masks.push_back({causal, window, right, chunk, prefix, documents, tree});
              }
  return masks;
}

struct Sequence {
  int64_t length;
  std::vector<int> document;
  std::vector<int64_t> begin, end;

  /// Documents of 1, 2, 3, … tokens.
  explicit Sequence(int64_t length) : length(length) {
    for (int64_t first = 0, size = 1; first < length; first += size, ++size)
      for (int64_t i = first; i < std::min(length, first + size); ++i) {
        document.push_back(static_cast<int>(size));
        begin.push_back(first);
        end.push_back(std::min(length, first + size));
      }
  }
  MaskArguments arguments(int64_t prefixLength) const { return {prefixLength, begin, end}; }
};

// visibleKeys is exactly what the terms keep, and neither bound decreases with the position.
TEST(Mask, BoundsAreTheDefinition) {
  for (const Mask &mask : allMasks())
    for (int64_t kv = 1; kv <= 24; ++kv) {
      Sequence sequence(kv);
      for (int64_t prefixLength : {int64_t(0), kv / 2, kv}) {
        KeyInterval before{0, 0};
        for (int64_t p = 0; p < kv; ++p) {
          KeyInterval keys = visibleKeys(mask, sequence.arguments(prefixLength), p, kv);
          for (int64_t j = 0; j < kv; ++j)
            ASSERT_EQ(keys.contains(j), keeps(mask, prefixLength, sequence.document, p, j))
                << "kv " << kv << " prefix " << prefixLength << " p " << p << " j " << j;
          ASSERT_GE(keys.begin, before.begin);
          ASSERT_GE(keys.end, before.end);
          before = keys;
        }
      }
    }
}

/// Compares one range with what every row sees of every tile.
void checkRange(const Mask &mask, const Sequence &sequence, int64_t prefixLength, int64_t first,
                int64_t last, int64_t q, int64_t keys, KeyInterval part) {
  MaskArguments arguments = sequence.arguments(prefixLength);
  TileRange range = visitedTiles(mask, arguments, first, last, q, sequence.length, keys, part);
  ASSERT_LE(range.begin, range.plainBegin);
  ASSERT_LE(range.plainBegin, range.plainEnd);
  ASSERT_LE(range.plainEnd, range.end);
  for (int64_t t = 0; t * keys < sequence.length; ++t) {
    bool visited = range.begin <= t && t < range.end;
    bool plain = range.plainBegin <= t && t < range.plainEnd;
    bool some = false, all = (t + 1) * keys <= part.end && t * keys >= part.begin;
    for (int64_t j = t * keys; j < (t + 1) * keys; ++j)
      for (int64_t p = first; p <= last; ++p) {
        bool kept = j < sequence.length && part.contains(j) &&
                    keeps(mask, prefixLength, sequence.document, p, j);
        some |= kept;
        // A tree's bits may clear any of the last q keys.
        all &= kept && !(mask.tree && j >= sequence.length - q);
      }
    if (some)
      ASSERT_TRUE(visited) << "tile " << t << " rows " << first << ".." << last << " keys " << keys;
    if (plain)
      ASSERT_TRUE(all) << "tile " << t << " rows " << first << ".." << last << " keys " << keys;
    // What every row sees whole is not masked without need.
    if (all)
      ASSERT_TRUE(plain) << "tile " << t << " rows " << first << ".." << last << " keys " << keys;
  }
}

TEST(Mask, TilesCoverWhatIsVisibleAndPlainOnesAreSeenWhole) {
  for (const Mask &mask : allMasks())
    for (int64_t kv = 1; kv <= 24; ++kv) {
      Sequence sequence(kv);
      for (int64_t q = 1; q <= kv; ++q)
        for (int64_t keys = 1; keys <= 8; ++keys)
          for (int64_t rows : {int64_t(1), int64_t(4), q})
            for (int64_t row = 0; row < q; row += rows) {
              int64_t first = kv - q + row, last = std::min(kv - q + row + rows, kv) - 1;
              checkRange(mask, sequence, kv / 2, first, last, q, keys, {0, kv});
              if (HasFatalFailure())
                return;
            }
    }
}

// A split restricts the range to its own tiles; the splits' tiles together are the whole range.
TEST(Mask, SplitsPartitionTheRange) {
  Sequence sequence(24);
  for (const Mask &mask : allMasks())
    for (int64_t keys : {1, 3, 8})
      for (int64_t q : {1, 5, 24})
        for (int64_t begin = 0; begin < 24; begin += 2 * keys) {
          KeyInterval part{begin, std::min<int64_t>(24, begin + 2 * keys)};
          checkRange(mask, sequence, 12, 24 - q, 23, q, keys, part);
          if (HasFatalFailure())
            return;
          TileRange range =
              visitedTiles(mask, sequence.arguments(12), 24 - q, 23, q, 24, keys, part);
          EXPECT_TRUE(range == TileRange{} ||
                      (range.begin * keys >= part.begin && (range.end - 1) * keys < part.end));
        }
}

// A conjunction, where there is one, keeps exactly what both masks keep; only a prefix beside
// another bound to the right, or two chunk lengths, have none.
TEST(Mask, ConjunctionKeepsWhatBothKeep) {
  Sequence sequence(24);
  std::vector<Mask> masks = allMasks();
  for (const Mask &a : masks)
    for (const Mask &b : masks) {
      std::optional<Mask> joined = conjunction(a, b);
      if (!joined) {
        EXPECT_TRUE(a.prefix || b.prefix || (a.chunk && b.chunk));
        continue;
      }
      EXPECT_EQ(joined->tree, a.tree || b.tree);
      for (int64_t p = 0; p < 24; ++p)
        for (int64_t j = 0; j < 24; ++j)
          ASSERT_EQ(keeps(*joined, 12, sequence.document, p, j),
                    keeps(a, 12, sequence.document, p, j) && keeps(b, 12, sequence.document, p, j));
    }
}

TEST(Mask, CausalWindowOfOneRow) {
  Mask mask{.causal = true, .window = 4};
  EXPECT_EQ(visibleKeys(mask, {}, 10, 16), (KeyInterval{7, 11}));
  EXPECT_EQ(visibleKeys(mask, {}, 1, 16), (KeyInterval{0, 2}));
  EXPECT_EQ(visitedTiles(mask, {}, 8, 11, 4, 12, 4), (TileRange{1, 3, 1, 1}));
}

TEST(Mask, NothingVisibleVisitsNothing) {
  Mask mask{.causal = true, .window = 2};
  EXPECT_EQ(visitedTiles(mask, {}, 9, 9, 1, 10, 4, KeyInterval{0, 4}), TileRange{});
  EXPECT_EQ(visitedTiles(Mask{}, {}, 0, 0, 1, 0, 4), TileRange{});
}

} // namespace
