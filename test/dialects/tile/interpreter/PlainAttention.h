//===- PlainAttention.h - attention by plain loops ----------------------------===//
//
// What kernels of decode and prefill must compute, one row at a time.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/tile/interpreter/Values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace attncc::tile::interpreter {

template <class T> std::shared_ptr<T> get(const std::vector<Argument> &arguments, size_t number) {
  return std::get<std::shared_ptr<T>>(arguments[number]);
}

/// softmax(scale · q·k) v over the keys j ≤ p, and the log-sum-exp.
struct PlainRow {
  std::vector<double> value;
  double lse;
};
inline PlainRow plainAttention(const double *query, PagedCache &cache,
                               const std::vector<int64_t> &table, int64_t head, int64_t position,
                               int64_t kvLength, bool causal, double scale) {
  PlainRow row{std::vector<double>(cache.valueDim, 0), -INFINITY};
  double highest = -INFINITY, total = 0;
  for (int pass = 0; pass < 2; ++pass)
    for (int64_t j = 0; j < kvLength && (!causal || j <= position); ++j) {
      double score = 0;
      for (int64_t c = 0; c < cache.keyDim; ++c)
        score += query[c] * cache.key(table[j / cache.pageSize], j % cache.pageSize, head)[c];
      score *= scale;
      if (pass == 0) {
        highest = std::max(highest, score);
        continue;
      }
      total += std::exp(score - highest);
      for (int64_t c = 0; c < cache.valueDim; ++c)
        row.value[c] += std::exp(score - highest) *
                        cache.value(table[j / cache.pageSize], j % cache.pageSize, head)[c];
    }
  if (total > 0) {
    for (double &value : row.value)
      value /= total;
    row.lse = highest + std::log(total);
  }
  return row;
}

/// Every row of the result and its log-sum-exp. The arguments are, in order, query, cache, batch,
/// result, log-sum-exp, workspace, scale · log2 e.
inline void checkAttention(const std::vector<Argument> &arguments, int64_t group, bool causal) {
  auto query = get<Tensor>(arguments, 0), out = get<Tensor>(arguments, 3),
       lse = get<Tensor>(arguments, 4);
  auto cache = get<PagedCache>(arguments, 1);
  auto batch = get<Batch>(arguments, 2);
  double scale = std::get<double>(arguments[6]) / std::log2(std::exp(1.0));
  for (int64_t s = 0; s < batch->sequences(); ++s)
    for (int64_t i = 0; i < batch->queryLength(s); ++i)
      for (int64_t h = 0; h < query->heads; ++h) {
        int64_t token = batch->queryStart[s] + i;
        PlainRow row = plainAttention(query->row(token, h), *cache, batch->blockTable[s], h / group,
                                      batch->kvLength[s] - batch->queryLength(s) + i,
                                      batch->kvLength[s], causal, scale);
        SCOPED_TRACE("sequence " + std::to_string(s) + ", token " + std::to_string(i) + ", head " +
                     std::to_string(h));
        for (int64_t c = 0; c < cache->valueDim; ++c)
          ASSERT_NEAR(out->row(token, h)[c], row.value[c], 1e-9);
        if (std::isinf(row.lse))
          ASSERT_EQ(*lse->row(token, h), row.lse);
        else
          ASSERT_NEAR(*lse->row(token, h), row.lse, 1e-9);
      }
}

} // namespace attncc::tile::interpreter
