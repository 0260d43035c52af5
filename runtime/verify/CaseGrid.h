//===- CaseGrid.h - the cases that a package is verified with --------------===//
//
// Internal. A case is a small description from which its data follow (CaseData.h):
// role, lengths, memory form and a seed. The grid of a layer class begins with the
// edges, each in a case of its own: kv_length 0 and 1, lengths around tile, page,
// unit and split borders, more queries than keys, padding sequences, a batch of 64;
// then come random cases until the wanted number is reached. Memory forms (NHD and
// HND, K and V interleaved, padded pages, packed qkv, dense and CSR tables, ranks
// with fewer heads …) are dealt over all of them. Most cases are short, since a
// simulator runs them; a few span many splits, one the most there are. A case can be written as
// JSON and read back, so that a failure is a file. Test: test/verify/CaseGridTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/JsonTree.h"
#include "runtime/support/Result.h"
#include "runtime/support/SplitRule.h"
#include "runtime/verify/Numbers.h"
#include "runtime/verify/Oracle.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::package {
struct Manifest;
}

namespace attncc::verify {

/// What verify must know of a layer class, in its own terms.
struct ClassShape {
  std::string name, cacheGroup;
  int64_t layer = 0, numLayers = 1; // the class's first layer among those of its cache group
  NumberType type = NumberType::BF16;
  int64_t queryHeads = 1, kvHeads = 1, keyDim = 16, valueDim = 16, pageSize = 16;
  int64_t maxDraft = 8, maxPosition = 0; // most query tokens of decode; most tokens of a sequence
  double scale = 1;
  bool causal = true;
  std::optional<Rope> rope;
  std::optional<double> normEpsilon;
  SplitRule splits;
  // The decode kernels in the order in which the planner looks for one that serves a bound of query
  // lengths; the query rows of one block decide how often K and V must be read.
  struct DecodeVariant {
    int64_t leastQueryLength = 0, mostQueryLength = 0, rows = 1;
  };
  std::vector<DecodeVariant> decodeVariants;
  // Which append kernels there are, and whether there is one that merges states.
  bool fusedAppend = true, plainAppend = true, mergesStates = true;
  int64_t prefillRows = 0; // query rows of a block of prefill; 0: longer queries have no kernel
  // Formulas of the least traffic.
  std::string decodeTraffic, prefillTraffic, appendTraffic, mergeStatesTraffic;

  int64_t group() const { return queryHeads / kvHeads; }
  /// A launch may ask for the class's prologue: the kernel without serves a class that has none.
  bool takesFused() const { return fusedAppend || (plainAppend && !rope && !normEpsilon); }
};

/// All classes of a package, with the kernels of one target.
Result<std::vector<ClassShape>> classShapes(const package::Manifest &manifest,
                                            std::string_view target);

enum class Role {
  Append,
  Decode,      // every sequence has one split: the decode kernel writes the output
  Merge,       // some sequence has more: decode writes partial results, merge the output
  MergeStates, // results that the caller has, joined; of sequences only the query tokens count
  Prefill, // some sequence has more query tokens than decode takes; decode and merge do the others
};
constexpr Role kRoles[] = {Role::Append, Role::Decode, Role::Merge, Role::MergeStates,
                           Role::Prefill};
std::string_view name(Role role);

struct SequenceShape {
  int64_t queryLength = 1, kvLength = 1;
  bool operator==(const SequenceShape &) const = default;
};

struct VerifyCase {
  std::string id; // "full/decode/17"
  std::string layerClass;
  Role role = Role::Decode;
  uint64_t seed = 0;
  int64_t kvHeads = 1; // of this rank
  std::vector<SequenceShape> sequences;
  // How K and V lie in memory.
  bool headsFirst = false;  // HND: tokens of a head side by side
  bool interleaved = false; // one allocation, V of a page behind its K
  int64_t pagePadding = 0;  // elements at the end of each page
  int64_t firstPage = 0;    // smaller page numbers are not used and have no memory behind them
  bool poisoned = true;     // unused tails and free pages are NaN, else zero
  bool sparseTable = false; // CSR instead of a dense table
  // How queries, keys, values and outputs lie in memory.
  bool packed = false;     // query, key and value are views of one [tokens, heads, dim]
  bool inPlace = false;    // append: query_out is query; merge_states: the result is the first part
  bool logSumExp = true;   // not append: lse is asked for
  bool slots = false;      // append: slot_mapping is given, with some -1
  bool positions = false;  // append: positions are given, unrelated to the lengths
  bool prologue = true;    // append: the class's, else none
  bool queries = true;     // append without prologue: query and query_out are given
  int64_t cosSinBytes = 0; // append: of an element of the table of angles; 0: they are computed
  int64_t parts = 1;       // merge_states
  bool lseIsLog2 = false;  // merge_states: the parts' log-sum-exps are in base 2
  bool throughput = false; // prefill: the plan's policy, else invariant
  // The host's bounds are the largest lengths plus these.
  int64_t extraQueryBound = 0, extraKvBound = 0;
  double queryFactor = 1; // decode: queries times this, to sharpen or flatten the softmax

  int64_t numTokens() const;
  int64_t maxQueryLength() const;
  int64_t maxKvLength() const;
  bool operator==(const VerifyCase &) const = default;
};

/// `count` cases of one class (at least the edges), the same for the same seed.
std::vector<VerifyCase> makeGrid(const ClassShape &shape, uint64_t seed, int64_t count);

/// Fixed cases in the form that the traffic figures are stated for: decode of one sequence of
/// 4,096 tokens (or of maxPosition) with all heads, dense pages and no lse, prefill of as many with
/// one kv head, and append of 64 tokens.
VerifyCase decodeTrafficCase(const ClassShape &shape);
VerifyCase prefillTrafficCase(const ClassShape &shape);
VerifyCase appendTrafficCase(const ClassShape &shape);

/// The bytes that a case cannot avoid to move, by the package's own formula: each input and output
/// once, K and V once for each block of query rows that sees them. 0 if the package states no
/// formula.
Result<int64_t> compulsoryBytes(const VerifyCase &verifyCase, const ClassShape &shape);

/// {"schema": "attncc.verify-case/1", …}, the whole case.
json::Tree toJson(const VerifyCase &verifyCase);
/// Reads what toJson wrote. Errors are located in `file`.
Result<VerifyCase> parseCase(std::string_view text, const std::string &file);
/// The error that the case does not suit the class (heads, lengths), if so.
Result<void> checkCase(const VerifyCase &verifyCase, const ClassShape &shape);

} // namespace attncc::verify
