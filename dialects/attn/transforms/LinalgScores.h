//===- LinalgScores.h - what linalg ops do to attention scores ------------===//
//
// Internal to --attn-fuse-attention. Between the two products of attention,
// linalg holds only element-wise ops and a softmax, in any split over ops. This
// reader follows one element s[.., i, j] from the probabilities up to the first
// product, through the bodies of the ops, and so sees one expression:
//
//   probabilities   linalg.softmax, or exp(x - max_j x) / sum_j exp(x - max_j x)
//   mask            select(c, x, -inf), c from comparisons of linear forms of i and j
//   bias            x + b[h, i, j], indices may be missing
//   softcap         cap·tanh(f·x)
//   scale           f·x, x / f
//
// Tests: test/dialects/attn/fuse-linalg.mlir, fuse-linalg-near-misses.mlir.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/attn/Attn.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace attncc::attn {

/// A remark on the op that keeps a chain from being fused. Always fails.
llvm::LogicalResult notFused(mlir::Operation *op, const llvm::Twine &why);

/// One element of a tensor: the scalar that computes it in the body of `owner`, at the loop indices
/// of the chain; or, without owner, an element of the tensor `value` itself at `map` of these
/// indices.
struct Element {
  mlir::Value value;
  mlir::linalg::LinalgOp owner;
  mlir::AffineMap map;
};

class LinalgScores {
public:
  /// Follows `probabilities` (the operand of the second product) up to the first product. Emits a
  /// remark where it breaks off.
  llvm::LogicalResult read(mlir::Value probabilities);

  /// Whether a value looks like the end of a softmax: only then is a break worth a remark.
  static bool endsInSoftmax(mlir::Value probabilities);

  /// The first product, whose result all these ops act on.
  mlir::linalg::LinalgOp product;
  /// Scale and softcap; the mask, for positions keys - rows + i.
  Scores scores;
  Mask mask;
  /// The bias tensor and where the scores' dims are in it, or null.
  mlir::Value bias;
  mlir::AffineMap biasMap;

private:
  struct Condition {
    Element element;
    bool negated;
  };

  llvm::FailureOr<mlir::Value> readSoftmax(mlir::Value probabilities);
  llvm::FailureOr<mlir::Value> readSoftmaxParts(mlir::Value probabilities);
  llvm::LogicalResult readElement(Element element);
  llvm::LogicalResult readCondition(const Condition &condition);
  llvm::LogicalResult readComparison(mlir::Operation *compare, mlir::linalg::LinalgOp owner,
                                     bool negated);
  llvm::LogicalResult addBound(mlir::Operation *compare, bool isUpper, int64_t bound);
  llvm::LogicalResult readBias(mlir::Operation *add, const Element &element);

  llvm::SmallVector<Condition> conditions;
  llvm::SmallVector<mlir::Value> chain; // tensors shaped as the scores
};

} // namespace attncc::attn
