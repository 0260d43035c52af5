//===- Mask.h - masks as pairs of monotone bounds -------------------------===//
//
// Internal. A mask is a conjunction of terms; each term keeps, for a query at
// absolute position p, the keys lower(p) <= j <= upper(p), and neither bound
// ever decreases with p. So a conjunction is again such a pair (the maximum of
// the lowers, the minimum of the uppers), and which key tiles a block of rows
// visits, and which of them need a mask at all, follows from its first and last
// row. `tree` is the one term that is a bit test beside its bounds.
//
//   term            lower(p)        upper(p)
//   causal          0               p
//   window = w      p - w + 1       -
//   right_window=r  -               p + r
//   chunk = c       p - p mod c     p - p mod c + c - 1
//   prefix          -               causal's becomes max(p, prefix_length - 1)
//   documents       document_begin[p]   document_end[p] - 1
//   tree            -               - (last q_len keys: bit (i, j))
//
// Pure C++; test/dialects/attn/MaskTest.cpp compares it with brute force over
// every combination of terms.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/Hashing.h"
#include <cstdint>
#include <optional>

namespace attncc::attn {

/// The terms of a mask. Lengths that belong to a sequence (prefix, documents, the
/// tree's bits) are not part of it: see MaskArguments.
struct Mask {
  bool causal = false;
  std::optional<int64_t> window;      // keys kept at and to the left of p, >= 1
  std::optional<int64_t> rightWindow; // keys kept to the right of p, >= 0
  std::optional<int64_t> chunk;       // >= 1
  bool prefix = false;
  bool documents = false;
  bool tree = false;

  bool operator==(const Mask &) const = default;
  bool isNone() const { return *this == Mask(); }
};
llvm::hash_code hash_value(const Mask &mask);

/// The mask that keeps what both keep, or nullopt where the terms of one mask cannot say it.
std::optional<Mask> conjunction(const Mask &a, const Mask &b);

/// One sequence's data for the terms that need it.
struct MaskArguments {
  int64_t prefixLength = 0;
  llvm::ArrayRef<int64_t> documentBegin; // per position, non-decreasing
  llvm::ArrayRef<int64_t> documentEnd;   // per position, non-decreasing, exclusive
};

/// Keys begin <= j < end; empty when end <= begin.
struct KeyInterval {
  int64_t begin = 0;
  int64_t end = 0;
  bool isEmpty() const { return end <= begin; }
  bool contains(int64_t key) const { return begin <= key && key < end; }
  bool operator==(const KeyInterval &) const = default;
};

/// The keys of [0, kvLength) within the bounds of all terms for a query at `position`.
/// A tree keeps a subset of them.
KeyInterval visibleKeys(const Mask &mask, const MaskArguments &arguments, int64_t position,
                        int64_t kvLength);

/// Tiles begin..end-1 (tile t holds the keys [t*keys, (t+1)*keys)) that some row of a block can see;
/// of these, [plainBegin, plainEnd) are seen whole by every row: they need no mask.
/// The tiles before plainBegin are the leading edge, those from plainEnd on the trailing one;
/// with no plain tile plainBegin = plainEnd = begin.
struct TileRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t plainBegin = 0;
  int64_t plainEnd = 0;
  bool operator==(const TileRange &) const = default;
};

/// The range for queries at positions firstPosition..lastPosition of one sequence, with key tiles of
/// `keys` keys, restricted to the keys of `part` (a split; the whole sequence by default).
/// With a tree, tiles that reach into the last `queryLength` keys are never plain.
TileRange visitedTiles(const Mask &mask, const MaskArguments &arguments, int64_t firstPosition,
                       int64_t lastPosition, int64_t queryLength, int64_t kvLength, int64_t keys,
                       std::optional<KeyInterval> part = std::nullopt);

} // namespace attncc::attn
