//===- Arithmetic.h - tile arithmetic in double precision ---------------------===//
//
// Internal. The values of tiles and the ops that are functions of them, written
// as plain loops from the ops' own descriptions.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/attn/Values.h"
#include "dialects/tile/interpreter/Values.h"
#include "llvm/ADT/ArrayRef.h"

#include <vector>

namespace attncc::tile::interpreter {

struct TileData {
  int64_t rows = 0, columns = 0;
  std::vector<double> values;

  TileData(int64_t rows, int64_t columns, double fill = 0)
      : rows(rows), columns(columns), values(rows * columns, fill) {}
  double &at(int64_t row, int64_t column) { return values[row * columns + column]; }
  double at(int64_t row, int64_t column) const { return values[row * columns + column]; }
};

/// lhs·rhs or lhs·rhsᵀ, plus the accumulator unless it is null.
TileData matmul(const TileData &lhs, const TileData &rhs, const TileData *accumulator,
                bool transposeB);

struct SoftmaxStep {
  TileData probabilities, maximum, sum, factor;
};
/// The maximum of a row stays as it is unless the new one exceeds it by more than `lazy`.
SoftmaxStep softmaxStep(const TileData &scores, const TileData &maximum, const TileData &sum,
                        double scale, double lazy);

TileData rescale(const TileData &value, const TileData &factor);

/// The online softmax of one unit, or of several merged.
struct SoftmaxState {
  TileData maximum, sum, value;
};
SoftmaxState mergeUnits(llvm::ArrayRef<SoftmaxState> units);

struct Normalized {
  TileData value, lse;
};
/// Log-sum-exps are natural, or with `log2` in units of log2.
Normalized normalize(const SoftmaxState &state, bool log2);
/// The state with normalized rows over other keys added to it, their log-sum-exps in units of log2.
SoftmaxState addSplit(SoftmaxState state, const Normalized &rows);

TileData rmsNorm(const TileData &input, const TileData &weight, double epsilon);

/// Cosine and sine of each pair's angle, every factor applied.
using Turns = std::vector<std::pair<double, double>>;
Turns computedTurns(const attn::Rope &rope, double position);
Turns tableTurns(const CosSin &table, int64_t position);
TileData rotate(const TileData &input, const attn::Rope &rope, const Turns &turns);

} // namespace attncc::tile::interpreter
