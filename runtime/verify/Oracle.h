//===- Oracle.h - attention by definition, in fp64 -------------------------===//
//
// Internal. What attention, the merge of partial attention results and append mean,
// as plain loops in fp64 over values that are already rounded to the input type. It
// knows nothing of pages, tiles or splits and shares no code with the compiler: it
// is written from docs/architecture.md, "What attention means here". A kernel and
// the evaluation of Plain.h are both measured against it. Test:
// test/verify/OracleTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace attncc::verify {

/// One sequence of a batch. All arrays are dense and row-major.
struct SequenceInputs {
  int64_t queryLength = 0;
  int64_t kvLength = 0;     // counts the query tokens, which are the last of them
  std::vector<float> query; // [queryLength][queryHeads][keyDim], after norm and RoPE
  std::vector<float> key;   // [kvLength][kvHeads][keyDim], after norm and RoPE
  std::vector<float> value; // [kvLength][kvHeads][valueDim]
};

/// Query head h reads kv head h / (queryHeads / kvHeads).
struct AttentionProblem {
  int64_t queryHeads = 1, kvHeads = 1, keyDim = 16, valueDim = 16;
  double scale = 1;
  std::vector<SequenceInputs> sequences;
  bool causal = true; // aligned bottom-right; else every query sees every key

  int64_t numTokens() const;
};

/// Query tokens of all sequences, in order.
template <class Real> struct AttentionResult {
  std::vector<Real> output; // [tokens][queryHeads][valueDim]
  std::vector<Real> lse;    // [tokens][queryHeads], natural logarithm
};

/// Rows that see no key give output 0 and lse -inf.
AttentionResult<double> evaluateOracle(const AttentionProblem &problem);

/// Attention results of the same rows over disjoint sets of keys. Part p of a row is
/// output[p][row][dim] with lse[p][row]; a part without keys has an infinite lse and is not read.
struct MergeProblem {
  int64_t parts = 1, rows = 1, dim = 16;
  std::vector<float> output; // [parts][rows][dim]
  std::vector<float> lse;    // [parts][rows]
  bool lseIsLog2 = false;    // else natural

  double naturalLse(int64_t part, int64_t row) const;
  /// How many parts of a row have keys.
  int64_t partsWithKeys(int64_t row) const;
};

/// The result over the union of the keys, [rows][dim] and [rows].
AttentionResult<double> evaluateOracle(const MergeProblem &problem);

enum class RopePairing {
  Half,        // element i turns with element i + dim/2
  Interleaved, // element 2i turns with element 2i + 1
};

/// Pair i turns by position * inverseFrequencies[i]; the pairs are the first
/// 2 * inverseFrequencies.size() elements of a head, the others stay.
struct Rope {
  RopePairing pairing = RopePairing::Half;
  std::vector<float> inverseFrequencies;
  double attentionFactor = 1; // multiplies sine and cosine
};

/// What happens to a query or key head vector before it is used: RMS norm over the head
/// with a weight per element, then RoPE. Either may be absent.
struct AppendProblem {
  int64_t queryHeads = 1, kvHeads = 1, keyDim = 16;
  std::optional<double> normEpsilon;
  std::vector<float> queryWeight, keyWeight; // [keyDim] if normEpsilon
  std::optional<Rope> rope;
  // Cosines, then sines, of each pair, in place of the rotation's own angles and factor; or empty.
  std::vector<float> cosSin;     // [tokens][2 * pairs]
  std::vector<int64_t> position; // [tokens]
  std::vector<float> query;      // [tokens][queryHeads][keyDim]
  std::vector<float> key;        // [tokens][kvHeads][keyDim]
};

template <class Real> struct AppendResult {
  std::vector<Real> query, key; // as in AppendProblem
};

AppendResult<double> evaluateOracle(const AppendProblem &problem);

} // namespace attncc::verify
