//===- Arithmetic.cpp - tile arithmetic in double precision -------------------===//
//
// Plain loops. Test: test/dialects/tile/interpreter/InterpreterTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Arithmetic.h"

#include <cmath>
#include <limits>

namespace attncc::tile::interpreter {

TileData matmul(const TileData &lhs, const TileData &rhs, const TileData *accumulator,
                bool transposeB) {
  int64_t columns = transposeB ? rhs.rows : rhs.columns;
  TileData result(lhs.rows, columns);
  for (int64_t i = 0; i < lhs.rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      double sum = accumulator ? accumulator->at(i, j) : 0;
      for (int64_t k = 0; k < lhs.columns; ++k)
        sum += lhs.at(i, k) * (transposeB ? rhs.at(j, k) : rhs.at(k, j));
      result.at(i, j) = sum;
    }
  return result;
}

SoftmaxStep softmaxStep(const TileData &scores, const TileData &maximum, const TileData &sum,
                        double scale, double lazy) {
  TileData row(scores.rows, 1);
  SoftmaxStep step{scores, row, row, row};
  for (int64_t i = 0; i < scores.rows; ++i) {
    double highest = maximum.at(i, 0);
    for (int64_t j = 0; j < scores.columns; ++j)
      highest = std::max(highest, scale * scores.at(i, j));
    if (highest <= maximum.at(i, 0) + lazy)
      highest = maximum.at(i, 0);
    double factor = std::exp2(maximum.at(i, 0) - highest), total = sum.at(i, 0) * factor;
    for (int64_t j = 0; j < scores.columns; ++j)
      total += step.probabilities.at(i, j) = std::exp2(scale * scores.at(i, j) - highest);
    step.maximum.at(i, 0) = highest;
    step.sum.at(i, 0) = total;
    step.factor.at(i, 0) = factor;
  }
  return step;
}

TileData rescale(const TileData &value, const TileData &factor) {
  TileData result = value;
  for (int64_t i = 0; i < value.rows; ++i)
    for (int64_t j = 0; j < value.columns; ++j)
      result.at(i, j) *= factor.at(i, 0);
  return result;
}

SoftmaxState mergeUnits(llvm::ArrayRef<SoftmaxState> units) {
  const SoftmaxState &first = units.front();
  SoftmaxState merged{first.maximum, TileData(first.sum.rows, 1),
                      TileData(first.value.rows, first.value.columns)};
  for (int64_t i = 0; i < first.value.rows; ++i) {
    for (const SoftmaxState &unit : units)
      merged.maximum.at(i, 0) = std::max(merged.maximum.at(i, 0), unit.maximum.at(i, 0));
    for (const SoftmaxState &unit : units) {
      double weight = std::exp2(unit.maximum.at(i, 0) - merged.maximum.at(i, 0));
      merged.sum.at(i, 0) += weight * unit.sum.at(i, 0);
      for (int64_t j = 0; j < first.value.columns; ++j)
        merged.value.at(i, j) += weight * unit.value.at(i, j);
    }
  }
  return merged;
}

Normalized normalize(const SoftmaxState &state, bool log2) {
  Normalized result{state.value, TileData(state.value.rows, 1)};
  for (int64_t i = 0; i < state.value.rows; ++i) {
    double sum = state.sum.at(i, 0);
    for (int64_t j = 0; j < state.value.columns; ++j)
      result.value.at(i, j) = sum == 0 ? 0 : state.value.at(i, j) / sum;
    result.lse.at(i, 0) =
        sum == 0 ? -std::numeric_limits<double>::infinity()
                 : (state.maximum.at(i, 0) + std::log2(sum)) * (log2 ? 1 : std::log(2.0));
  }
  return result;
}

SoftmaxState addSplit(SoftmaxState state, const Normalized &rows) {
  for (int64_t i = 0; i < state.value.rows; ++i) {
    double lse = rows.lse.at(i, 0), maximum = std::max(state.maximum.at(i, 0), lse),
           factor = std::exp2(state.maximum.at(i, 0) - maximum), weight = std::exp2(lse - maximum);
    state.maximum.at(i, 0) = maximum;
    state.sum.at(i, 0) = state.sum.at(i, 0) * factor + weight;
    for (int64_t j = 0; j < state.value.columns; ++j)
      state.value.at(i, j) = state.value.at(i, j) * factor + weight * rows.value.at(i, j);
  }
  return state;
}

TileData rmsNorm(const TileData &input, const TileData &weight, double epsilon) {
  TileData result = input;
  for (int64_t i = 0; i < input.rows; ++i) {
    double squares = 0;
    for (int64_t j = 0; j < input.columns; ++j)
      squares += input.at(i, j) * input.at(i, j);
    double scale = 1 / std::sqrt(squares / static_cast<double>(input.columns) + epsilon);
    for (int64_t j = 0; j < input.columns; ++j)
      result.at(i, j) *= scale * weight.at(0, j);
  }
  return result;
}

Turns computedTurns(const attn::Rope &rope, double position) {
  Turns turns;
  for (float frequency : rope.inverseFrequencies) {
    double angle = position * static_cast<double>(frequency);
    turns.emplace_back(std::cos(angle) * rope.attentionFactor,
                       std::sin(angle) * rope.attentionFactor);
  }
  return turns;
}

Turns tableTurns(const CosSin &table, int64_t position) {
  Turns turns;
  const double *row = &table.values[position * table.dim];
  for (int64_t d = 0; d < table.dim / 2; ++d)
    turns.emplace_back(row[d], row[table.dim / 2 + d]);
  return turns;
}

TileData rotate(const TileData &input, const attn::Rope &rope, const Turns &turns) {
  TileData result = input;
  int64_t pairs = rope.dim / 2;
  for (int64_t d = 0; d < pairs; ++d) {
    auto [cosine, sine] = turns[d];
    bool half = rope.pairing == attn::Pairing::Half;
    int64_t first = half ? d : 2 * d, second = half ? d + pairs : 2 * d + 1;
    for (int64_t i = 0; i < input.rows; ++i) {
      double x = input.at(i, first), y = input.at(i, second);
      result.at(i, first) = x * cosine - y * sine;
      result.at(i, second) = x * sine + y * cosine;
    }
  }
  return result;
}

} // namespace attncc::tile::interpreter
