//===- Values.h - what a tile program reads and writes ----------------------===//
//
// Internal. The launch arguments of an interpreted kernel as plain arrays of
// doubles, one struct for each group of parameters.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <variant>
#include <vector>

namespace attncc::tile::interpreter {

/// [tokens, heads, dim]; log-sum-exps have dim 1, weights one token and one head.
struct Tensor {
  int64_t tokens = 0, heads = 0, dim = 0;
  std::vector<double> values;

  Tensor(int64_t tokens, int64_t heads, int64_t dim, double fill = 0)
      : tokens(tokens), heads(heads), dim(dim), values(tokens * heads * dim, fill) {}
  bool holds(int64_t token, int64_t head) const {
    return token >= 0 && token < tokens && head >= 0 && head < heads;
  }
  double *row(int64_t token, int64_t head) { return &values[(token * heads + head) * dim]; }
};

/// Pages of keys and values: [page][token][head][dim] each.
struct PagedCache {
  int64_t pages = 0, pageSize = 0, kvHeads = 0, keyDim = 0, valueDim = 0;
  std::vector<double> keys, values;

  PagedCache(int64_t pages, int64_t pageSize, int64_t kvHeads, int64_t keyDim, int64_t valueDim,
             double fill = 0)
      : pages(pages), pageSize(pageSize), kvHeads(kvHeads), keyDim(keyDim), valueDim(valueDim),
        keys(pages * pageSize * kvHeads * keyDim, fill),
        values(pages * pageSize * kvHeads * valueDim, fill) {}
  double *key(int64_t page, int64_t token, int64_t head) {
    return &keys[((page * pageSize + token) * kvHeads + head) * keyDim];
  }
  double *value(int64_t page, int64_t token, int64_t head) {
    return &values[((page * pageSize + token) * kvHeads + head) * valueDim];
  }
};

/// A ragged batch: sequence s has the queries queryStart[s] … queryStart[s + 1] − 1.
struct Batch {
  std::vector<int64_t> queryStart = {0};
  std::vector<int64_t> kvLength;
  std::vector<std::vector<int64_t>> blockTable;
  int64_t kvHeads = 1;
  int64_t splitTokens = 0; // 0: the schedule's rule

  int64_t sequences() const { return static_cast<int64_t>(kvLength.size()); }
  int64_t queryLength(int64_t s) const { return queryStart[s + 1] - queryStart[s]; }
};

/// A table of cosines and sines: [position][dim], the first half of a row cosines.
struct CosSin {
  int64_t positions = 0, dim = 0;
  std::vector<double> values;
};

/// Attention states of the rows [token][head], part by part; what there is to merge is all tokens
/// of the one sequence of `batch`, whose kv heads are the query heads.
struct States {
  std::vector<Tensor> outputs, lses;
  double lseScale = 1; // what makes a log-sum-exp natural
  std::shared_ptr<Batch> batch;
};

/// Partial results, by (sequence, split, token of the sequence, query head).
struct Workspace {
  struct Partial {
    std::vector<double> row;
    double lse = 0;
  };
  std::map<std::array<int64_t, 4>, Partial> partials;
};

/// One i64 for each token of the batch.
struct PerToken {
  std::vector<int64_t> values;
};

/// One launch argument. A null pointer is the null that the parameter may be. Kernels that run one
/// after the other share what they point to.
using Argument =
    std::variant<std::shared_ptr<Tensor>, std::shared_ptr<PagedCache>, std::shared_ptr<Batch>,
                 std::shared_ptr<Workspace>, std::shared_ptr<PerToken>, std::shared_ptr<CosSin>,
                 std::shared_ptr<States>, double>;

} // namespace attncc::tile::interpreter
