//===- Mask.cpp - bounds and tile ranges of masks -------------------------===//
#include "dialects/attn/Mask.h"

#include <algorithm>
#include <cassert>

using namespace attncc;
using namespace attncc::attn;

llvm::hash_code attn::hash_value(const Mask &mask) {
  return llvm::hash_combine(mask.causal, mask.window, mask.rightWindow, mask.chunk, mask.prefix,
                            mask.documents, mask.tree);
}

std::optional<Mask> attn::conjunction(const Mask &a, const Mask &b) {
  if (a.isNone() || b.isNone())
    return a.isNone() ? b : a;
  if ((a.prefix || b.prefix) && (a.rightWindow || b.rightWindow))
    return std::nullopt;
  if (a.chunk && b.chunk && *a.chunk != *b.chunk)
    return std::nullopt;
  auto tighter = [](std::optional<int64_t> x, std::optional<int64_t> y) {
    return x && y ? std::min(*x, *y) : x ? x : y;
  };
  Mask joined;
  joined.causal = a.causal || b.causal;
  joined.window = tighter(a.window, b.window);
  // causal is right_window = 0 and the tighter of the two
  joined.rightWindow = joined.causal ? std::nullopt : tighter(a.rightWindow, b.rightWindow);
  joined.chunk = a.chunk ? a.chunk : b.chunk;
  // plain causal is tighter than causal with a prefix
  joined.prefix = a.causal && b.causal ? a.prefix && b.prefix : a.prefix || b.prefix;
  joined.documents = a.documents || b.documents;
  joined.tree = a.tree || b.tree;
  return joined;
}

KeyInterval attn::visibleKeys(const Mask &mask, const MaskArguments &arguments, int64_t position,
                              int64_t kvLength) {
  KeyInterval keys{0, kvLength};
  auto from = [&](int64_t lower) { keys.begin = std::max(keys.begin, lower); };
  auto upTo = [&](int64_t upper) { keys.end = std::min(keys.end, upper + 1); };
  if (mask.causal)
    upTo(mask.prefix ? std::max(position, arguments.prefixLength - 1) : position);
  if (mask.window)
    from(position - *mask.window + 1);
  if (mask.rightWindow)
    upTo(position + *mask.rightWindow);
  if (mask.chunk) {
    int64_t first = position - position % *mask.chunk;
    from(first);
    upTo(first + *mask.chunk - 1);
  }
  if (mask.documents) {
    from(arguments.documentBegin[position]);
    upTo(arguments.documentEnd[position] - 1);
  }
  keys.end = std::max(keys.begin, keys.end);
  return keys;
}

TileRange attn::visitedTiles(const Mask &mask, const MaskArguments &arguments,
                             int64_t firstPosition, int64_t lastPosition, int64_t queryLength,
                             int64_t kvLength, int64_t keys, std::optional<KeyInterval> part) {
  assert(firstPosition <= lastPosition && keys > 0 && "rows and tiles are not empty");
  // Bounds never decrease: the first row has the least lower and upper bound, the last the
  // greatest.
  KeyInterval first = visibleKeys(mask, arguments, firstPosition, kvLength);
  KeyInterval last = visibleKeys(mask, arguments, lastPosition, kvLength);
  KeyInterval split = part.value_or(KeyInterval{0, kvLength});
  KeyInterval some{std::max(first.begin, split.begin), std::min(last.end, split.end)};
  KeyInterval all{std::max(last.begin, split.begin), std::min(first.end, split.end)};
  if (mask.tree)
    all.end = std::min(all.end, kvLength - queryLength);

  if (some.isEmpty())
    return {};
  TileRange range;
  range.begin = some.begin / keys;
  range.end = (some.end + keys - 1) / keys;
  range.plainBegin = range.plainEnd = range.begin;
  if (!all.isEmpty() && (all.begin + keys - 1) / keys < all.end / keys) {
    range.plainBegin = (all.begin + keys - 1) / keys;
    range.plainEnd = all.end / keys;
  }
  return range;
}
