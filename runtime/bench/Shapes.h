//===- Shapes.h - the shapes that bench times --------------------------------===//
//
// Internal. A shape is a step: so many sequences, their lengths and the query tokens of each (all
// equal, or uniform between two numbers). Up to kMostDecodeQueries query tokens are decode, more
// are prefill. Shapes come from lists on the command line, from a table, or are the default ones. A
// table is CSV with a header, columns in any order:
//
//   batch,context,query_length,kv_heads
//   64,4096,1,
//   64,128..8192,1,
//   1,32768,2048,
//   16,,1024,
//
// batch and context must be there, the others may be left out or empty, and so may a context of
// prefill: nothing is cached then. Lines that are empty or begin with # are skipped. Errors read
//
//   table.csv:3:4: error: context is "4k", must be a number of tokens or LOW..HIGH [bench-shapes]
//
// Test: test/bench/ShapesTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/CaseGrid.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::bench {

/// What bench times: sequences of few query tokens, or of many.
enum class Role { Decode, Prefill };
std::string_view name(Role role);

/// Most query tokens of a sequence that is decode's.
constexpr int64_t kMostDecodeQueries = 8;
constexpr Role roleOf(int64_t queryLength) {
  return queryLength > kMostDecodeQueries ? Role::Prefill : Role::Decode;
}

/// Lengths of sequences, both ends included.
struct LengthRange {
  int64_t least = 0, most = 0;

  constexpr LengthRange() = default;
  constexpr LengthRange(int64_t length) : least(length), most(length) {}
  constexpr LengthRange(int64_t least, int64_t most) : least(least), most(most) {}
  /// "4096", and with "-" between them "128-8192".
  std::string text(const char *between) const;
  bool operator==(const LengthRange &) const = default;
};

struct Shape {
  int64_t batch = 1;
  LengthRange context;         ///< kv_length: counts the query tokens; 0: there are no others
  LengthRange queryLength = 1; ///< of every sequence
  int64_t kvHeads = 0;         ///< of this tensor-parallel rank; 0: the package's

  Role role() const { return roleOf(queryLength.most); }
  LengthRange kvLength() const { return context.most ? context : queryLength; }
  /// "64 x 4096", "64 x 128-8192", "32 x 4096, 4 queries, 2 kv heads"; of prefill the query tokens,
  /// and all of the sequence where some are cached: "16 x 1024", "1 x 2048 of 32768".
  std::string text() const;
  /// The lengths of each sequence; the same for the same seed.
  std::vector<verify::SequenceShape> sequences(uint64_t seed) const;
  bool operator==(const Shape &) const = default;
};

/// "4096" or "128..8192"; `name` is what errors call it.
Result<LengthRange> parseLengths(std::string_view name, std::string_view text);

/// A table; `file` is the name that errors show.
Result<std::vector<Shape>> parseShapes(std::string_view text, const std::string &file);

/// Every combination, the last list fastest. InvalidArgument where sequences would be shorter than
/// their queries.
Result<std::vector<Shape>> productOf(const std::vector<int64_t> &batches,
                                     const std::vector<LengthRange> &contexts,
                                     const std::vector<LengthRange> &queryLengths,
                                     const std::vector<int64_t> &kvHeads);

/// From one short sequence to as much as a large GPU holds.
std::vector<Shape> defaultShapes(Role role);

/// Bounds of every number, as CUDA's grids and 32-bit lengths have them.
constexpr int64_t kMostSequences = 65535, kMostContext = INT32_MAX;

} // namespace attncc::bench
