//===- AttnOps.cpp - verifiers and folds of attn's ops --------------------===//
//
// The labels (C1)… are those of AttnOps.td and of test/dialects/attn/
// *-errors.mlir. Extents of one name agree when they are equal or one of them is
// dynamic.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/AttrText.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;
using namespace attncc;
using namespace attncc::attn;

static bool agree(int64_t a, int64_t b) {
  return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b);
}

static std::string extent(int64_t value) {
  return ShapedType::isDynamic(value) ? "?" : std::to_string(value);
}

static RankedTensorType tensorOf(Value value) { return cast<RankedTensorType>(value.getType()); }
static int64_t dimOf(Value value, unsigned i) { return tensorOf(value).getDimSize(i); }

/// Fails with both values unless the extents agree.
static LogicalResult expectEqual(Operation *op, const Twine &what, int64_t actual,
                                 const Twine &expectedWhat, int64_t expected) {
  if (agree(actual, expected))
    return success();
  return op->emitOpError() << what << " " << extent(actual) << " must equal " << expectedWhat << " "
                           << extent(expected);
}

static LogicalResult expectSameShape(Operation *op, Value input, Value result) {
  for (auto [i, a, b] : llvm::enumerate(tensorOf(input).getShape(), tensorOf(result).getShape()))
    if (!agree(a, b))
      return op->emitOpError() << "result extent " << i << " is " << extent(b)
                               << ", the input's is " << extent(a);
  return success();
}

static LogicalResult expectPositive(Operation *op, StringRef name, const APFloat &value) {
  if (value.isFinite() && !value.isNegative() && !value.isZero())
    return success();
  return op->emitOpError() << name << " must be positive and finite, got "
                           << decimal(value.convertToDouble());
}

/// The query heads must be a multiple of the kv heads.
static LogicalResult expectGroups(Operation *op, int64_t heads, int64_t kvHeads) {
  if (ShapedType::isDynamic(heads) || ShapedType::isDynamic(kvHeads) || heads % kvHeads == 0)
    return success();
  return op->emitOpError() << "query heads " << heads << " must be a multiple of the kv heads "
                           << kvHeads;
}

//===----------------------------------------------------------------------===//
// Before the cache
//===----------------------------------------------------------------------===//

LogicalResult RmsNormOp::verify() {
  if (failed(expectSameShape(*this, getInput(), getResult())) ||                         // (C1)
      failed(expectEqual(*this, "weight dims", dimOf(getWeight(), 0), "the head's dims", // (C2)
                         dimOf(getInput(), 2))))
    return failure();
  return expectPositive(*this, "epsilon", getEpsilon()); // (C3)
}

LogicalResult RopeOp::verify() {
  if (failed(expectSameShape(*this, getInput(), getResult()))) // (C1)
    return failure();
  int64_t dims = dimOf(getInput(), 2);
  if (!ShapedType::isDynamic(dims) && getRope().getDim() > dims) // (C2)
    return emitOpError() << "rotates " << getRope().getDim() << " dims of a head of " << dims;
  if (getPositions() && // (C3)
      failed(expectEqual(*this, "number of positions", dimOf(getPositions(), 0),
                         "the number of rows", dimOf(getInput(), 0))))
    return failure();
  if (getCosSin()) // (C4)
    return expectEqual(*this, "dim of the table", getCosSin().getType().getDim(),
                       "the rotated dims", getRope().getDim());
  return success();
}

LogicalResult AppendKvOp::verify() {
  PagedKvType type = getKv().getType();
  bool valueInKey = type.getValueBegin().has_value();
  if (valueInKey == static_cast<bool>(getValue())) // (C3)
    return emitOpError() << (valueInKey ? "the values are a part of the keys, but a value is given"
                                        : "the value is missing");
  struct Part {
    const char *name;
    Value tensor;
    int64_t dim;
    Type element;
  };
  SmallVector<Part> parts = {{"key", getKey(), type.getKeyDim(), type.getKeyType()}};
  if (getValue())
    parts.push_back({"value", getValue(), type.getValueDim(), type.getValueType()});
  for (const Part &part : parts) {
    if (failed(expectEqual(*this, Twine(part.name) + " heads", dimOf(part.tensor, 1),
                           "the cache's heads", // (C1)
                           type.getKvHeads())) ||
        failed(expectEqual(*this, Twine(part.name) + " dims", dimOf(part.tensor, 2),
                           "the cache's dims", part.dim)) ||
        failed(expectEqual(*this, Twine(part.name) + " rows", dimOf(part.tensor, 0), "key rows",
                           dimOf(getKey(), 0))))
      return failure();
    Type element = tensorOf(part.tensor).getElementType();
    if (type.getScales() == KvScales::None && element != part.element) // (C2)
      return emitOpError() << part.name << " elements are " << element << ", the cache holds "
                           << part.element;
  }
  if (getSlots()) // (C4)
    return expectEqual(*this, "number of slots", dimOf(getSlots(), 0), "the number of rows",
                       dimOf(getKey(), 0));
  return success();
}

LogicalResult DenseKvOp::verify() {
  ContiguousKvType type = getKv().getType();
  if (failed(expectEqual(*this, "value rows", dimOf(getValue(), 0), "key rows", // (C1)
                         dimOf(getKey(), 0))))
    return failure();
  for (auto [name, tensor, dim, element] :
       {std::tuple("key", getKey(), type.getKeyDim(), type.getKeyType()),
        std::tuple("value", getValue(), type.getValueDim(), type.getValueType())}) {
    if (failed(expectEqual(*this, Twine(name) + " heads", dimOf(tensor, 1), "the result's heads",
                           type.getKvHeads())) ||
        failed(
            expectEqual(*this, Twine(name) + " dims", dimOf(tensor, 2), "the result's dims", dim)))
      return failure();
    if (tensorOf(tensor).getElementType() != element)
      return emitOpError() << name << " elements are " << tensorOf(tensor).getElementType()
                           << ", the result's are " << element;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// The unfused chain
//===----------------------------------------------------------------------===//

LogicalResult ReadKvOp::verify() {
  KvShape shape = kvShape(getKv().getType());
  for (auto [name, tensor, dim] :
       {std::tuple("key", getKey(), shape.keyDim), std::tuple("value", getValue(), shape.valueDim)})
    if (failed(expectEqual(*this, Twine(name) + " heads", dimOf(tensor, 1),
                           "the cache's heads", // (C1)
                           shape.kvHeads)) ||
        failed(
            expectEqual(*this, Twine(name) + " dims", dimOf(tensor, 2), "the cache's dims", dim)))
      return failure();
  return expectEqual(*this, "value rows", dimOf(getValue(), 0), "key rows", // (C2)
                     dimOf(getKey(), 0));
}

LogicalResult ReadKvOp::fold(FoldAdaptor, SmallVectorImpl<OpFoldResult> &results) {
  auto dense = getKv().getDefiningOp<DenseKvOp>();
  if (!dense || dense.getKey().getType() != getKey().getType() ||
      dense.getValue().getType() != getValue().getType())
    return failure();
  results.assign({dense.getKey(), dense.getValue()});
  return success();
}

LogicalResult ScoresOp::verify() {
  if (failed(expectEqual(*this, "query dims", dimOf(getQuery(), 2), "key dims", // (C1)
                         dimOf(getKey(), 2))))
    return failure();
  Type queryElement = tensorOf(getQuery()).getElementType();
  Type keyElement = tensorOf(getKey()).getElementType();
  if (queryElement != keyElement) // (C1)
    return emitOpError() << "query elements are " << queryElement << ", key elements "
                         << keyElement;
  if (failed(expectGroups(*this, dimOf(getQuery(), 1), dimOf(getKey(), 1))) ||        // (C2)
      failed(expectEqual(*this, "result heads", dimOf(getResult(), 0), "query heads", // (C3)
                         dimOf(getQuery(), 1))) ||
      failed(expectEqual(*this, "result rows", dimOf(getResult(), 1), "query rows",
                         dimOf(getQuery(), 0))) ||
      failed(
          expectEqual(*this, "result keys", dimOf(getResult(), 2), "key rows", dimOf(getKey(), 0))))
    return failure();
  return expectPositive(*this, "scale", getScale()); // (C4)
}

LogicalResult SoftcapOp::verify() { return expectPositive(*this, "cap", getCap()); } // (C1)

LogicalResult BiasOp::verify() {
  RankedTensorType scores = tensorOf(getScores()), bias = tensorOf(getBias());
  if (getKind() == BiasKind::Alibi) { // (C1)
    if (bias.getRank() != 1)
      return emitOpError() << "an alibi bias has rank 1, got " << bias.getRank();
    if (failed(expectEqual(*this, "number of slopes", bias.getDimSize(0), "the number of heads",
                           scores.getDimSize(0))))
      return failure();
  } else {
    if (bias.getRank() != 3) // (C2)
      return emitOpError() << "a given bias has rank 3, got " << bias.getRank();
    for (auto [i, actual, expected] : llvm::enumerate(bias.getShape(), scores.getShape()))
      if (actual != 1 && !agree(actual, expected)) // (C2)
        return emitOpError() << "bias extent " << i << " is " << extent(actual)
                             << ", the scores' is " << extent(expected);
  }
  return success();
}

LogicalResult MaskOp::verify() {
  int64_t rows = dimOf(getScores(), 1), keys = dimOf(getScores(), 2);
  if (!ShapedType::isDynamic(rows) && !ShapedType::isDynamic(keys) && keys < rows) // (C1)
    return emitOpError() << "has " << keys << " keys for " << rows
                         << " rows, whose last position is that of the last key";
  return success();
}

OpFoldResult MaskOp::fold(FoldAdaptor) {
  if (getMask().getValue().isNone())
    return getScores();
  auto inner = getScores().getDefiningOp<MaskOp>();
  if (!inner || inner == *this)
    return {};
  std::optional<Mask> joined = conjunction(inner.getMask().getValue(), getMask().getValue());
  if (!joined)
    return {};
  setMaskAttr(MaskAttr::get(getContext(), *joined));
  getScoresMutable().assign(inner.getScores());
  return getResult();
}

LogicalResult SoftmaxOp::verify() {
  if (getProbabilities().getType() != getScores().getType()) // (C1)
    return emitOpError() << "probabilities are " << getProbabilities().getType()
                         << ", the scores are " << getScores().getType();
  if (failed(expectEqual(*this, "log-sum-exp heads", dimOf(getLogSumExp(), 1),
                         "the scores' heads", // (C2)
                         dimOf(getScores(), 0))) ||
      failed(expectEqual(*this, "log-sum-exp rows", dimOf(getLogSumExp(), 0), "the scores' rows",
                         dimOf(getScores(), 1))))
    return failure();
  if (getSinks()) // (C3)
    return expectEqual(*this, "number of sinks", dimOf(getSinks(), 0), "the number of heads",
                       dimOf(getScores(), 0));
  return success();
}

LogicalResult WeightedSumOp::verify() {
  if (failed(expectGroups(*this, dimOf(getProbabilities(), 0), dimOf(getValue(), 1))) || // (C1)
      failed(expectEqual(*this, "probability columns", dimOf(getProbabilities(), 2),
                         "value rows", // (C2)
                         dimOf(getValue(), 0))) ||
      failed(expectEqual(*this, "result rows", dimOf(getResult(), 0), "probability rows", // (C3)
                         dimOf(getProbabilities(), 1))) ||
      failed(expectEqual(*this, "result heads", dimOf(getResult(), 1), "probability heads",
                         dimOf(getProbabilities(), 0))))
    return failure();
  return expectEqual(*this, "result dims", dimOf(getResult(), 2), "value dims",
                     dimOf(getValue(), 2));
}

//===----------------------------------------------------------------------===//
// The fused form
//===----------------------------------------------------------------------===//

/// The output is [rows, heads, dim], the log-sum-exp [rows, heads].
static LogicalResult verifyOutput(Operation *op, Value output, Value logSumExp, int64_t rows,
                                  int64_t heads, int64_t dim) {
  if (!isa<RankedTensorType>(output.getType()))
    return op->emitOpError() << "must yield a tensor without split, got " << output.getType();
  if (!logSumExp)
    return op->emitOpError() << "must yield a log-sum-exp beside its output";
  if (failed(expectEqual(op, "output rows", dimOf(output, 0), "query rows", rows)) ||
      failed(expectEqual(op, "output heads", dimOf(output, 1), "query heads", heads)) ||
      failed(expectEqual(op, "output dims", dimOf(output, 2), "value dims", dim)) ||
      failed(expectEqual(op, "log-sum-exp rows", dimOf(logSumExp, 0), "output rows",
                         dimOf(output, 0))))
    return failure();
  return expectEqual(op, "log-sum-exp heads", dimOf(logSumExp, 1), "query heads", heads);
}

KvShape AttentionOp::getKvShape() { return kvShape(getKv().getType()); }

LogicalResult AttentionOp::verify() {
  KvShape kv = getKvShape();
  int64_t heads = dimOf(getQuery(), 1);
  if (failed(expectEqual(*this, "query dims", dimOf(getQuery(), 2), "key dims", kv.keyDim))) // (C1)
    return failure();
  Type element = tensorOf(getQuery()).getElementType();
  auto paged = dyn_cast<PagedKvType>(getKv().getType());
  Type keyType =
      paged ? paged.getKeyType() : cast<ContiguousKvType>(getKv().getType()).getKeyType();
  if ((!paged || paged.getScales() == KvScales::None) && element != keyType) // (C1)
    return emitOpError() << "query elements are " << element << ", key elements " << keyType;
  if (failed(expectGroups(*this, heads, kv.kvHeads))) // (C2)
    return failure();

  if (!getSplit()) { // (C3)
    if (failed(verifyOutput(*this, getOutput(), getLogSumExp(), dimOf(getQuery(), 0), heads,
                            kv.valueDim)))
      return failure();
  } else { // (C4)
    auto partials = dyn_cast<PartialsType>(getOutput().getType());
    if (!partials)
      return emitOpError() << "with split must yield partials, got " << getOutput().getType();
    if (getLogSumExp())
      return emitOpError() << "with split has its log-sum-exp in the partials";
    if (failed(expectEqual(*this, "partial heads", partials.getHeads(), "query heads", heads)) ||
        failed(expectEqual(*this, "partial group", partials.getGroup(), "query heads per kv head",
                           ShapedType::isDynamic(heads) ? heads : heads / kv.kvHeads)) ||
        failed(expectEqual(*this, "partial dims", partials.getDim(), "value dims", kv.valueDim)))
      return failure();
  }

  if (getSinks() && failed(expectEqual(*this, "number of sinks", dimOf(getSinks(), 0), // (C5)
                                       "query heads", heads)))
    return failure();
  if (getBiasKind().has_value() != static_cast<bool>(getBias())) // (C5)
    return emitOpError() << (getBias() ? "has a bias without its kind"
                                       : "has a bias kind without a bias");
  if (getBiasKind() == BiasKind::Alibi && // (C5)
      failed(expectEqual(*this, "number of slopes", dimOf(getBias(), 0), "query heads", heads)))
    return failure();
  if (getSchedule() && getSchedule()->getSplit() != getSplitAttr()) { // (C6)
    InFlightDiagnostic diagnostic = emitOpError() << "schedule has split ";
    auto print = [&](SplitAttr split) {
      if (split)
        diagnostic << split;
      else
        diagnostic << "none";
    };
    print(getSchedule()->getSplit());
    diagnostic << ", the op ";
    print(getSplitAttr());
    return diagnostic;
  }
  return success();
}

LogicalResult MergeOp::verify() {
  if (getPartials().empty())
    return emitOpError() << "needs at least one operand";
  auto type = cast<PartialsType>(getPartials().front().getType());
  for (Value partials : getPartials())
    if (partials.getType() != type) // (C1)
      return emitOpError() << "joins " << type << " and " << partials.getType();
  if (!isa<PartialsType>(getOutput().getType())) // (C2)
    return verifyOutput(*this, getOutput(), getLogSumExp(), ShapedType::kDynamic, type.getHeads(),
                        type.getDim());
  if (getOutput().getType() != type) // (C2)
    return emitOpError() << "joins " << type << " to " << getOutput().getType();
  if (getLogSumExp()) // (C2)
    return emitOpError() << "to partials has its log-sum-exp in them";
  return success();
}

LogicalResult MergeOp::fold(FoldAdaptor, SmallVectorImpl<OpFoldResult> &results) {
  if (getPartials().size() != 1 || !isa<PartialsType>(getOutput().getType()))
    return failure();
  results.push_back(getPartials().front());
  return success();
}

LogicalResult MergeStatesOp::verify() {
  StatesType type = getStates().getType();
  if (Type element = tensorOf(getOutput()).getElementType(); element != type.getType()) // (C1)
    return emitOpError() << "output elements are " << element << ", the states' are "
                         << type.getType();
  return verifyOutput(*this, getOutput(), getLogSumExp(), ShapedType::kDynamic, type.getHeads(),
                      type.getDim()); // (C1)
}

//===----------------------------------------------------------------------===//
// Text: key[, value], cache
//===----------------------------------------------------------------------===//

static ParseResult parseAppendOperands(OpAsmParser &parser, OpAsmParser::UnresolvedOperand &key,
                                       std::optional<OpAsmParser::UnresolvedOperand> &value,
                                       OpAsmParser::UnresolvedOperand &kv) {
  SMLoc location = parser.getCurrentLocation();
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  if (parser.parseOperandList(operands))
    return failure();
  if (operands.size() < 2 || operands.size() > 3)
    return parser.emitError(location) << "expected key, value and cache, or key and cache, got "
                                      << operands.size() << " operands";
  key = operands.front();
  if (operands.size() == 3)
    value = operands[1];
  kv = operands.back();
  return success();
}

static void printAppendOperands(OpAsmPrinter &printer, AppendKvOp, Value key, Value value,
                                Value kv) {
  printer << key << ", ";
  if (value)
    printer << value << ", ";
  printer << kv;
}

static ParseResult parseAppendTypes(OpAsmParser &parser, Type &key, Type &value, Type &kv) {
  SmallVector<Type> types;
  SMLoc location = parser.getCurrentLocation();
  if (parser.parseTypeList(types))
    return failure();
  if (types.size() < 2 || types.size() > 3)
    return parser.emitError(location)
           << "expected the types of key, value and cache, got " << types.size() << " types";
  key = types.front();
  if (types.size() == 3)
    value = types[1];
  kv = types.back();
  return success();
}

static void printAppendTypes(OpAsmPrinter &printer, AppendKvOp, Type key, Type value, Type kv) {
  printer << key << ", ";
  if (value)
    printer << value << ", ";
  printer << kv;
}

#define GET_OP_CLASSES
#include "dialects/attn/AttnOps.cpp.inc"
