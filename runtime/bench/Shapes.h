//===- Shapes.h - the shapes that bench times --------------------------------===//
//
// Internal. A shape is a decode step: so many sequences, their lengths (all equal, or uniform
// between two numbers) and query tokens of each. They come from lists on the command line, from a
// table, or are the default ones. A table is CSV with a header, columns in any order:
//
//   batch,context,query_length,kv_heads
//   64,4096,1,
//   64,128..8192,1,
//
// batch and context must be there, the others may be left out or empty. Lines that are empty or
// begin with # are skipped. Errors read
//
//   table.csv:3:4: error: context is "4k", must be a number of tokens or LOW..HIGH [bench-shapes]
//
// Test: test/bench/ShapesTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::bench {

/// Lengths of sequences, both ends included.
struct LengthRange {
  int64_t least = 0, most = 0;
  bool operator==(const LengthRange &) const = default;
};

struct Shape {
  int64_t batch = 1;
  LengthRange context;     ///< kv_length: counts the query tokens
  int64_t queryLength = 1; ///< of every sequence
  int64_t kvHeads = 0;     ///< of this tensor-parallel rank; 0: the package's

  /// "64 x 4096", "64 x 128-8192", "32 x 4096, 4 queries, 2 kv heads".
  std::string text() const;
  /// One length for each sequence; the same for the same seed.
  std::vector<int64_t> lengths(uint64_t seed) const;
  bool operator==(const Shape &) const = default;
};

/// "4096" or "128..8192".
Result<LengthRange> parseLengths(std::string_view text);

/// A table; `file` is the name that errors show.
Result<std::vector<Shape>> parseShapes(std::string_view text, const std::string &file);

/// Every combination, the last list fastest. InvalidArgument where sequences would be shorter than
/// their queries.
Result<std::vector<Shape>> productOf(const std::vector<int64_t> &batches,
                                     const std::vector<LengthRange> &contexts,
                                     const std::vector<int64_t> &queryLengths,
                                     const std::vector<int64_t> &kvHeads);

/// From one short sequence to as much as a large GPU holds.
std::vector<Shape> defaultShapes();

/// Bounds of every number, as CUDA's grids and 32-bit lengths have them.
constexpr int64_t kMostSequences = 65535, kMostContext = INT32_MAX;

} // namespace attncc::bench
