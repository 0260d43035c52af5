//===- LinalgScores.cpp - what linalg ops do to attention scores ----------===//
#include "dialects/attn/transforms/LinalgScores.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace attncc;
using namespace attncc::attn;
using linalg::LinalgOp;

LogicalResult attn::notFused(Operation *op, const Twine &why) {
  op->emitRemark() << "attention is not fused: " << why;
  return failure();
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

static bool isElementwise(LinalgOp op) {
  return op.hasPureTensorSemantics() && op.getNumDpsInits() == 1 &&
         op.getNumParallelLoops() == op.getNumLoops() &&
         op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity();
}

/// The element of `tensor` at the loop indices.
static Element elementOf(Value tensor) {
  auto rank = cast<RankedTensorType>(tensor.getType()).getRank();
  auto producer = tensor.getDefiningOp<LinalgOp>();
  if (!producer || !isElementwise(producer))
    return {tensor, nullptr, AffineMap::getMultiDimIdentityMap(rank, tensor.getContext())};
  return {producer.getBlock()->getTerminator()->getOperand(0), producer, {}};
}

/// Follows `element` out of the body where it is an argument of it.
static Element definition(Element element) {
  while (element.owner) {
    auto argument = dyn_cast<BlockArgument>(element.value);
    if (!argument || argument.getOwner() != element.owner.getBlock())
      return element;
    OpOperand &operand = element.owner->getOpOperand(argument.getArgNumber());
    AffineMap map = element.owner.getMatchingIndexingMap(&operand);
    if (!map.isIdentity())
      return {operand.get(), nullptr, map};
    element = elementOf(operand.get());
  }
  return element;
}

/// The op that computes the element in a body, or null for an element of a tensor.
static Operation *definingOp(const Element &element) {
  return element.owner ? element.value.getDefiningOp() : nullptr;
}

static Element operandOf(const Element &element, unsigned i) {
  return definition({definingOp(element)->getOperand(i), element.owner, {}});
}

/// A number that is one for all elements: a constant, a splat, a fill.
static std::optional<double> constantOf(const Element &element) {
  Value value = element.value;
  if (auto fill = value.getDefiningOp<linalg::FillOp>(); fill && !element.owner)
    value = fill.getInputs()[0];
  FloatAttr scalar;
  DenseFPElementsAttr dense;
  if (matchPattern(value, m_Constant(&scalar)))
    return scalar.getValueAsDouble();
  if (matchPattern(value, m_Constant(&dense)) && dense.isSplat())
    return dense.getSplatValue<APFloat>().convertToDouble();
  return std::nullopt;
}

static bool isMinusInfinity(const Element &element) {
  std::optional<double> constant = constantOf(element);
  return constant && std::isinf(*constant) && *constant < 0;
}

/// Whether the element is computed from a product's result.
static bool comesFromProduct(Element element) {
  element = definition(element);
  if (Operation *op = definingOp(element))
    return llvm::any_of(llvm::seq(0u, op->getNumOperands()),
                        [&](unsigned i) { return comesFromProduct(operandOf(element, i)); });
  auto producer = element.value.getDefiningOp<LinalgOp>();
  return producer && linalg::isaContractionOpInterface(producer);
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// The tensor that a reduction over the last dim by ReduceOp starts from, or null.
template <class... ReduceOps> static Value reducedByLast(const Element &element) {
  auto op = element.owner ? nullptr : element.value.getDefiningOp<LinalgOp>();
  if (!op || op.getNumDpsInputs() != 1 || op.getNumDpsInits() != 1 ||
      op.getNumReductionLoops() != 1)
    return {};
  AffineMap in = op.getMatchingIndexingMap(op.getDpsInputOperand(0));
  AffineMap out = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  unsigned last = op.getNumLoops() - 1;
  if (!in.isIdentity() || out != in.dropResult(last) || element.map != out)
    return {};
  Block *body = op.getBlock();
  Operation *combine = body->getTerminator()->getOperand(0).getDefiningOp();
  if (!isa_and_nonnull<ReduceOps...>(combine) ||
      !llvm::is_contained(combine->getOperands(), body->getArgument(0)) ||
      !llvm::is_contained(combine->getOperands(), body->getArgument(1)))
    return {};
  std::optional<double> init = constantOf({op.getDpsInits()[0], nullptr, {}});
  bool isSum = isa<arith::AddFOp>(combine);
  if (!init || (isSum ? *init != 0 : *init > std::numeric_limits<float>::lowest()))
    return {};
  return op.getDpsInputs()[0];
}

/// The tensor that `value`, an argument of the owner's body, is the element of.
static Value tensorBehind(Value value, LinalgOp owner) {
  auto argument = dyn_cast<BlockArgument>(value);
  if (!owner || !argument || argument.getOwner() != owner.getBlock())
    return {};
  OpOperand &operand = owner->getOpOperand(argument.getArgNumber());
  return owner.getMatchingIndexingMap(&operand).isIdentity() ? operand.get() : Value();
}

/// Behind roundings to the values' type.
static Element behindRounding(Value probabilities) {
  Element element = elementOf(probabilities);
  element = definition(element);
  while (isa_and_nonnull<arith::TruncFOp>(definingOp(element)))
    element = operandOf(element, 0);
  return element;
}

bool LinalgScores::endsInSoftmax(Value probabilities) {
  Element element = behindRounding(probabilities);
  if (!element.owner && element.value.getDefiningOp<linalg::SoftmaxOp>())
    return true;
  auto divide = dyn_cast_or_null<arith::DivFOp>(definingOp(element));
  return divide && isa_and_nonnull<math::ExpOp>(definingOp(operandOf(element, 0)));
}

/// exp(x - max_j x) / sum_j exp(x - max_j x): the tensor x.
FailureOr<Value> LinalgScores::readSoftmaxParts(Value probabilities) {
  Element quotient = behindRounding(probabilities);
  auto divide = cast<arith::DivFOp>(definingOp(quotient));
  Value exponentials = tensorBehind(divide.getLhs(), quotient.owner);
  Value summed = reducedByLast<arith::AddFOp>(operandOf(quotient, 1));
  if (!exponentials || summed != exponentials)
    return notFused(quotient.owner,
                    "the exponentials are not divided by their own sum over the keys");
  Element power = definition(elementOf(exponentials));
  Element difference = operandOf(power, 0);
  auto subtract = dyn_cast_or_null<arith::SubFOp>(definingOp(difference));
  if (!subtract)
    return notFused(power.owner, "the exponent is not scores minus their maximum");
  Value scores = tensorBehind(subtract.getLhs(), difference.owner);
  Value maximised = reducedByLast<arith::MaximumFOp, arith::MaxNumFOp>(operandOf(difference, 1));
  if (!scores || maximised != scores)
    return notFused(difference.owner,
                    "the exponent is not scores minus their own maximum over the keys");
  // x serves the maximum and the difference, its exponentials the sum and the quotient.
  for (Value twice : {scores, exponentials})
    if (!twice.hasNUses(2))
      return notFused(twice.getDefiningOp() ? twice.getDefiningOp() : quotient.owner.getOperation(),
                      "its result is used outside of the softmax");
  return scores;
}

FailureOr<Value> LinalgScores::readSoftmax(Value probabilities) {
  Element element = behindRounding(probabilities);
  auto softmax = element.owner ? nullptr : element.value.getDefiningOp<linalg::SoftmaxOp>();
  if (!softmax)
    return readSoftmaxParts(probabilities);
  int64_t last = cast<RankedTensorType>(element.value.getType()).getRank() - 1;
  if (static_cast<int64_t>(softmax.getDimension()) != last)
    return notFused(softmax, "the softmax runs over dimension " + Twine(softmax.getDimension()) +
                                 ", the keys are " + Twine(last));
  if (!element.value.hasOneUse())
    return notFused(softmax, "its result is used more than once");
  return softmax.getInput();
}

//===----------------------------------------------------------------------===//
// Scale, softcap, bias and mask
//===----------------------------------------------------------------------===//

/// f where the op is f·x or x / f; `operand` becomes the index of x.
static std::optional<double> factorOf(const Element &element, unsigned &operand) {
  Operation *op = definingOp(element);
  if (isa<arith::MulFOp>(op))
    for (unsigned i : {0u, 1u})
      if (std::optional<double> factor = constantOf(operandOf(element, i))) {
        operand = 1 - i;
        return factor;
      }
  if (isa<arith::DivFOp>(op))
    if (std::optional<double> divisor = constantOf(operandOf(element, 1))) {
      operand = 0;
      return 1.0 / *divisor;
    }
  return std::nullopt;
}

LogicalResult LinalgScores::readBias(Operation *add, const Element &element) {
  if (bias)
    return notFused(add, "there are two biases");
  if (element.owner || !element.map.isProjectedPermutation())
    return notFused(add, "the bias is no tensor that is indexed by heads, rows or keys");
  bias = element.value;
  biasMap = element.map;
  return success();
}

LogicalResult LinalgScores::readElement(Element element) {
  double factor = 1.0;
  bool scaled = false; // a scale has been seen: what follows is under it
  for (;;) {
    element = definition(element);
    Operation *op = definingOp(element);
    if (!op) {
      product = element.value.getDefiningOp<LinalgOp>();
      if (element.owner || !product || !linalg::isaContractionOpInterface(product))
        return notFused(element.value.getDefiningOp() ? element.value.getDefiningOp()
                                                      : *chain.front().user_begin(),
                        "the scores do not come from a product of queries and keys");
      scores.scale = scores.softcap ? factor * *scores.softcap : factor;
      return success();
    }
    if (auto select = dyn_cast<arith::SelectOp>(op)) {
      if (scaled || scores.softcap)
        return notFused(op, "a mask stands in front of the scale or the softcap");
      bool keptIsFirst = isMinusInfinity(operandOf(element, 2));
      if (!keptIsFirst && !isMinusInfinity(operandOf(element, 1)))
        return notFused(op, "it selects something else than -inf");
      conditions.push_back({operandOf(element, 0), !keptIsFirst});
      element = operandOf(element, keptIsFirst ? 1 : 2);
      continue;
    }
    if (isa<arith::AddFOp>(op)) {
      if (scaled || scores.softcap)
        return notFused(op, "a bias stands in front of the scale or the softcap");
      unsigned kept = comesFromProduct(operandOf(element, 0)) ? 0 : 1;
      if (failed(readBias(op, operandOf(element, 1 - kept))))
        return failure();
      element = operandOf(element, kept);
      continue;
    }
    unsigned operand = 0;
    std::optional<double> step =
        isa<arith::MulFOp, arith::DivFOp>(op) ? factorOf(element, operand) : std::nullopt;
    if (!step)
      return notFused(op, "'" + op->getName().getStringRef() +
                              "' is neither scale, softcap, bias nor mask");
    Element under = operandOf(element, operand);
    if (isa_and_nonnull<math::TanhOp>(definingOp(under))) {
      if (scaled || scores.softcap)
        return notFused(definingOp(under), "the softcap's result is scaled");
      scores.softcap = *step;
      element = operandOf(under, 0);
      continue;
    }
    factor *= *step;
    scaled = true;
    element = under;
  }
}

//===----------------------------------------------------------------------===//
// Comparisons of positions
//===----------------------------------------------------------------------===//

namespace {
/// row·i + key·j + rows·(number of rows) + keys·(number of keys) + constant
struct Linear {
  int64_t row = 0, key = 0, rows = 0, keys = 0, constant = 0;

  Linear plus(const Linear &other, int64_t times) const {
    return {row + times * other.row, key + times * other.key, rows + times * other.rows,
            keys + times * other.keys, constant + times * other.constant};
  }
};

/// Reads index arithmetic in a body whose loops are those of the scores.
class LinearReader {
public:
  LinearReader(LinalgOp owner, ArrayRef<Value> chain, LinalgOp product)
      : owner(owner), chain(chain), product(product) {}

  std::optional<Linear> read(Value value) {
    IntegerAttr constant;
    if (matchPattern(value, m_Constant(&constant)))
      return Linear{.constant = constant.getInt()};
    Operation *op = value.getDefiningOp();
    if (!op)
      return std::nullopt;
    if (auto index = dyn_cast<linalg::IndexOp>(op)) {
      int64_t fromEnd = owner.getNumLoops() - index.getDim();
      if (fromEnd > 2)
        return std::nullopt;
      return fromEnd == 1 ? Linear{.key = 1} : Linear{.row = 1};
    }
    if (auto dim = dyn_cast<tensor::DimOp>(op))
      return extent(dim);
    if (isa<arith::IndexCastOp, arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp>(op))
      return read(op->getOperand(0));
    if (isa<arith::AddIOp, arith::SubIOp>(op)) {
      std::optional<Linear> left = read(op->getOperand(0)), right = read(op->getOperand(1));
      if (left && right)
        return left->plus(*right, isa<arith::AddIOp>(op) ? 1 : -1);
    }
    return std::nullopt;
  }

private:
  /// The number of rows or keys as a dim of a tensor shaped as the scores, or of an operand of
  /// their product.
  std::optional<Linear> extent(tensor::DimOp dim) {
    std::optional<int64_t> position = dim.getConstantIndex();
    if (!position)
      return std::nullopt;
    unsigned loops = product.getMatchingIndexingMap(product.getDpsInitOperand(0)).getNumResults();
    auto ofScores = [&](unsigned loop) -> std::optional<Linear> {
      if (loop == loops - 1)
        return Linear{.keys = 1};
      if (loop == loops - 2)
        return Linear{.rows = 1};
      return std::nullopt;
    };
    if (llvm::is_contained(chain, dim.getSource()))
      return ofScores(*position);
    AffineMap result = product.getMatchingIndexingMap(product.getDpsInitOperand(0));
    for (OpOperand &operand : product->getOpOperands())
      if (operand.get() == dim.getSource()) {
        AffineExpr loop = product.getMatchingIndexingMap(&operand).getResult(*position);
        if (std::optional<unsigned> place = result.getResultPosition(loop))
          return ofScores(*place);
      }
    return std::nullopt;
  }

  LinalgOp owner;
  ArrayRef<Value> chain;
  LinalgOp product;
};
} // namespace

/// Keys up to (or from) p + bound are kept, p = keys - rows + i.
LogicalResult LinalgScores::addBound(Operation *compare, bool isUpper, int64_t bound) {
  Mask term;
  if (isUpper) {
    if (bound < 0)
      return notFused(compare, "it excludes the row's own position");
    if (bound == 0)
      term.causal = true;
    else
      term.rightWindow = bound;
  } else {
    if (bound > 0)
      return notFused(compare, "it excludes the row's own position");
    term.window = 1 - bound;
  }
  std::optional<Mask> joined = conjunction(mask, term);
  if (!joined)
    return notFused(compare, "no single mask says all comparisons");
  mask = *joined;
  return success();
}

LogicalResult LinalgScores::readComparison(Operation *op, LinalgOp owner, bool negated) {
  auto compare = cast<arith::CmpIOp>(op);
  LinearReader reader(owner, chain, product);
  std::optional<Linear> left = reader.read(compare.getLhs()), right = reader.read(compare.getRhs());
  if (!left || !right)
    return notFused(compare, "it compares something else than positions of rows and keys");
  Linear difference = left->plus(*right, -1);
  int64_t sign = difference.key;
  auto scoresType = cast<RankedTensorType>(product->getResult(0).getType());
  int64_t rows = scoresType.getDimSize(scoresType.getRank() - 2);
  int64_t keys = scoresType.getDimSize(scoresType.getRank() - 1);
  // The distance of the key from the row's position, j - p, taken out; extents that are known are
  // numbers.
  Linear distance{.row = -1, .key = 1, .rows = 1, .keys = -1};
  Linear rest = difference.plus(distance, -sign);
  if (!ShapedType::isDynamic(rows)) {
    rest.constant += rest.rows * rows;
    rest.rows = 0;
  }
  if (!ShapedType::isDynamic(keys)) {
    rest.constant += rest.keys * keys;
    rest.keys = 0;
  }
  if ((sign != 1 && sign != -1) || rest.row != 0 || rest.rows != 0 || rest.keys != 0)
    return notFused(compare, "it does not compare the key with the row's position keys - rows + i");

  // sign·(j - p) + constant  predicate  0
  arith::CmpIPredicate predicate = compare.getPredicate();
  if (negated)
    predicate = arith::invertPredicate(predicate);
  bool less = predicate == arith::CmpIPredicate::slt || predicate == arith::CmpIPredicate::sle;
  bool greater = predicate == arith::CmpIPredicate::sgt || predicate == arith::CmpIPredicate::sge;
  if (!less && !greater)
    return notFused(compare,
                    "its predicate " + arith::stringifyCmpIPredicate(predicate) + " is no bound");
  bool strict = predicate == arith::CmpIPredicate::slt || predicate == arith::CmpIPredicate::sgt;
  bool isUpper = less == (sign == 1);
  int64_t bound = -sign * rest.constant;
  return addBound(compare, isUpper, strict ? (isUpper ? bound - 1 : bound + 1) : bound);
}

LogicalResult LinalgScores::readCondition(const Condition &condition) {
  Element element = definition(condition.element);
  Operation *op = definingOp(element);
  if (op && (condition.negated ? isa<arith::OrIOp>(op) : isa<arith::AndIOp>(op))) {
    for (unsigned i : {0u, 1u})
      if (failed(readCondition({operandOf(element, i), condition.negated})))
        return failure();
    return success();
  }
  if (isa_and_nonnull<arith::CmpIOp>(op))
    return readComparison(op, element.owner, condition.negated);
  if (!op)
    op = element.value.getDefiningOp() ? element.value.getDefiningOp() : product.getOperation();
  return notFused(op, "the mask is no comparison of positions");
}

LogicalResult LinalgScores::read(Value probabilities) {
  FailureOr<Value> softmaxInput = readSoftmax(probabilities);
  if (failed(softmaxInput))
    return failure();
  // All tensors of the scores' shape on the way: their dims name the numbers of rows and keys.
  SmallVector<Value> work = {*softmaxInput};
  while (!work.empty()) {
    Value tensor = work.pop_back_val();
    chain.push_back(tensor);
    auto producer = tensor.getDefiningOp<LinalgOp>();
    if (producer && isElementwise(producer))
      for (OpOperand &operand : producer->getOpOperands())
        if (producer.getMatchingIndexingMap(&operand).isIdentity())
          work.push_back(operand.get());
  }
  if (failed(readElement(elementOf(*softmaxInput))))
    return failure();
  return success(llvm::all_of(
      conditions, [&](const Condition &condition) { return succeeded(readCondition(condition)); }));
}
