//===- LinalgChain.cpp - attention in linalg becomes the attn chain --------===//
//
// Two products with a softmax between them, found from the second one upwards. The
// roles of their dims follow from the indexing maps alone:
//
//   scores[leading…, row, key]    the last dim is the keys', the one before the rows'
//   leading, in queries and keys  a kv head; of two, the first one is a sequence
//   leading, in queries only      a query head of the group
//   reduced                       the feature
//
// so K and V may be transposed, MQA has no kv head dim, and GQA is either five
// dims or K and V that are repeated by broadcast and collapse. Every operand is
// brought to [row, head, feature] and the attn ops are written; more than one
// sequence becomes an scf.forall over them.
//
//   %s = linalg (Q, K)                            %s = attn.scores %q, %k scale f
//   %x = linalg.generic: select(…, f·s, -inf) →   %m = attn.mask %s, <causal>
//   %p = linalg.softmax %x                        %p, %lse = attn.softmax %m
//   %o = linalg (P, V)                            %o = attn.weighted_sum %p, %v
//
// Tests: test/dialects/attn/fuse-linalg.mlir, fuse-linalg-near-misses.mlir.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/transforms/LinalgChain.h"
#include "dialects/attn/transforms/LinalgScores.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace attncc;
using namespace attncc::attn;
using linalg::LinalgOp;

namespace {

enum class DimRole { Sequence, KvHead, Group, Row, Key, Feature };

/// A tensor and what each of its dims is.
struct Operand {
  Value tensor;
  SmallVector<DimRole> roles;

  RankedTensorType type() const { return cast<RankedTensorType>(tensor.getType()); }
  bool has(DimRole role) const { return llvm::is_contained(roles, role); }
  /// 1 where the role has no dim.
  int64_t extent(DimRole role) const {
    const auto *found = llvm::find(roles, role);
    return found == roles.end() ? 1 : type().getDimSize(found - roles.begin());
  }
};

class LinalgChain {
public:
  explicit LinalgChain(LinalgOp end) : end(end) {}

  /// `end` is a product of probabilities; whether it is an attention's. A remark says why not.
  LogicalResult match();
  void rewrite();

private:
  LogicalResult matchFirstProduct();
  LogicalResult matchSecondProduct();
  void undoRepetition();
  LogicalResult checkExtents();
  Value createChain(OpBuilder &builder, Operand query, Operand key, Operand value);
  Value createBias(OpBuilder &builder);
  Value createSequences(OpBuilder &builder);

  LinalgOp end;
  unsigned probabilitiesIndex = 0;
  LinalgScores scores;
  SmallVector<DimRole> scoreRoles;
  Operand query, key, value;
  SmallVector<DimRole> resultRoles;
};

} // namespace

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// A sum of products of two inputs from zero, widened at most.
static bool isProduct(LinalgOp op) {
  if (!op.hasPureTensorSemantics() || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 ||
      !linalg::isaContractionOpInterface(op) || op.getNumReductionLoops() != 1)
    return false;
  bool plain = llvm::all_of(op.getBlock()->without_terminator(), [](Operation &inner) {
    return isa<arith::MulFOp, arith::AddFOp, arith::ExtFOp>(inner);
  });
  Value init = op.getDpsInits()[0];
  if (auto fill = init.getDefiningOp<linalg::FillOp>())
    init = fill.getInputs()[0];
  return plain && (matchPattern(init, m_PosZeroFloat()) || matchPattern(init, m_AnyZeroFloat()));
}

static SmallVector<unsigned> loopsOf(LinalgOp op, OpOperand *operand) {
  SmallVector<unsigned> loops;
  for (AffineExpr result : op.getMatchingIndexingMap(operand).getResults())
    loops.push_back(cast<AffineDimExpr>(result).getPosition());
  return loops;
}

static SmallVector<DimRole> rolesOf(ArrayRef<unsigned> loops, ArrayRef<DimRole> loopRoles) {
  return llvm::map_to_vector(loops, [&](unsigned loop) { return loopRoles[loop]; });
}

LogicalResult LinalgChain::matchFirstProduct() {
  LinalgOp product = scores.product;
  if (!isProduct(product))
    return notFused(product, "it is no product of queries and keys that starts from zero");
  for (Operation *user : product->getUsers())
    if (!isa<LinalgOp, linalg::SoftmaxOp, tensor::DimOp>(user))
      return notFused(user, "this is a second use of a value inside the chain");
  SmallVector<unsigned> out = loopsOf(product, product.getDpsInitOperand(0));
  SmallVector<unsigned> inputs[2] = {loopsOf(product, product.getDpsInputOperand(0)),
                                     loopsOf(product, product.getDpsInputOperand(1))};
  if (out.size() < 2)
    return notFused(product, "its result has no rows and keys");
  unsigned keyLoop = out.back(), rowLoop = out[out.size() - 2];
  unsigned keyInput = llvm::is_contained(inputs[1], keyLoop) ? 1 : 0;
  const SmallVector<unsigned> &queryLoops = inputs[1 - keyInput], &keyLoops = inputs[keyInput];
  if (llvm::is_contained(queryLoops, keyLoop) || llvm::is_contained(keyLoops, rowLoop) ||
      !llvm::is_contained(queryLoops, rowLoop))
    return notFused(
        product,
        "the last two dims of its result are not the rows of one input and those of the other");

  SmallVector<DimRole> loopRoles(product.getNumLoops(), DimRole::Feature);
  loopRoles[rowLoop] = DimRole::Row;
  loopRoles[keyLoop] = DimRole::Key;
  unsigned shared = 0, group = 0;
  for (unsigned loop : ArrayRef(out).drop_back(2)) {
    if (!llvm::is_contained(queryLoops, loop) || (group && llvm::is_contained(keyLoops, loop)))
      return notFused(product,
                      "its leading dims are not sequence, kv head and query head in this order");
    bool isShared = llvm::is_contained(keyLoops, loop);
    loopRoles[loop] = isShared ? DimRole::KvHead : DimRole::Group;
    (isShared ? shared : group) += 1;
  }
  if (shared > 2 || group > 1)
    return notFused(product,
                    "it has " + Twine(shared) + " dims in common and " + Twine(group) +
                        " of the queries alone; known are sequence and kv head, and query head");
  if (shared == 2)
    loopRoles[out[0]] = DimRole::Sequence;
  scoreRoles = rolesOf(out, loopRoles);
  query = {product.getDpsInputs()[1 - keyInput], rolesOf(queryLoops, loopRoles)};
  key = {product.getDpsInputs()[keyInput], rolesOf(keyLoops, loopRoles)};
  return success();
}

LogicalResult LinalgChain::matchSecondProduct() {
  SmallVector<unsigned> probabilities = loopsOf(end, end.getDpsInputOperand(probabilitiesIndex));
  SmallVector<unsigned> values = loopsOf(end, end.getDpsInputOperand(1 - probabilitiesIndex));
  SmallVector<unsigned> out = loopsOf(end, end.getDpsInitOperand(0));
  for (Operation *user : end.getDpsInputs()[probabilitiesIndex].getUsers())
    if (user != end)
      return notFused(user, "this is a second use of a value inside the chain");
  if (probabilities.size() != scoreRoles.size())
    return notFused(end, "its probabilities have another rank than the scores");
  SmallVector<DimRole> loopRoles(end.getNumLoops(), DimRole::Feature);
  for (auto [loop, role] : llvm::zip_equal(probabilities, scoreRoles))
    loopRoles[loop] = role;
  value = {end.getDpsInputs()[1 - probabilitiesIndex], rolesOf(values, loopRoles)};
  resultRoles = rolesOf(out, loopRoles);
  auto sorted = [](SmallVector<DimRole> roles) {
    llvm::sort(roles);
    return roles;
  };
  if (sorted(value.roles) != sorted(key.roles))
    return notFused(end, "its values have not the dims of the keys");
  if (llvm::is_contained(resultRoles, DimRole::Key) || sorted(resultRoles) != sorted(query.roles))
    return notFused(end, "it does not sum over the keys");
  return success();
}

/// K and V that repeat each kv head for its group, by a broadcast whose dims are collapsed, are
/// replaced by what is repeated.
static bool undoRepetitionOf(Operand &operand) {
  auto collapse = operand.tensor.getDefiningOp<tensor::CollapseShapeOp>();
  const auto *head = llvm::find(operand.roles, DimRole::KvHead);
  if (!collapse || head == operand.roles.end())
    return false;
  unsigned position = head - operand.roles.begin();
  for (auto [i, indices] : llvm::enumerate(collapse.getReassociationIndices()))
    if (indices.size() != (i == position ? 2u : 1u))
      return false;
  // The repeated dim is the inner one: head h of the collapsed dim is kv head h / group.
  Value repeated = collapse.getSrc();
  auto generic = repeated.getDefiningOp<LinalgOp>();
  if (!generic || generic.getNumDpsInputs() != 1 ||
      generic.getNumParallelLoops() != generic.getNumLoops())
    return false;
  auto yielded = dyn_cast<BlockArgument>(generic.getBlock()->getTerminator()->getOperand(0));
  AffineMap in = generic.getMatchingIndexingMap(generic.getDpsInputOperand(0));
  AffineMap out = generic.getMatchingIndexingMap(generic.getDpsInitOperand(0));
  if (!yielded || yielded.getArgNumber() != 0 || !out.isIdentity() ||
      in != out.dropResult(position + 1))
    return false;
  operand.tensor = generic.getDpsInputs()[0];
  return true;
}

void LinalgChain::undoRepetition() {
  Operand plainKey = key, plainValue = value;
  if (query.has(DimRole::Group) || !undoRepetitionOf(plainKey) || !undoRepetitionOf(plainValue) ||
      plainKey.extent(DimRole::KvHead) != plainValue.extent(DimRole::KvHead))
    return; // as many heads as they show
  key = plainKey;
  value = plainValue;
}

LogicalResult LinalgChain::checkExtents() {
  for (const Operand *operand : {&query, &key, &value})
    for (DimRole role : {DimRole::KvHead, DimRole::Group, DimRole::Feature})
      if (ShapedType::isDynamic(operand->extent(role)))
        return notFused(end, "heads and dims must be static");
  Type element = query.type().getElementType();
  if (!isa<Float16Type, BFloat16Type, Float32Type>(element))
    return notFused(scores.product, "its elements are not f16, bf16 or f32");
  if (key.type().getElementType() != element)
    return notFused(scores.product, "queries and keys differ in type");
  if (cast<RankedTensorType>(scores.product->getResult(0).getType()).getElementType() !=
      Float32Type::get(end->getContext()))
    return notFused(scores.product, "its sums are not f32");
  auto probabilities = cast<RankedTensorType>(end.getDpsInputs()[probabilitiesIndex].getType());
  if (probabilities.getElementType() != value.type().getElementType())
    return notFused(end, "the probabilities are not rounded to the values' type");
  if (scores.bias && scoreRoles.size() != 3)
    return notFused(end, "a bias is known for scores of one sequence with one dim of heads");
  if (scores.bias && !cast<RankedTensorType>(scores.bias.getType()).getElementType().isF32())
    return notFused(end, "the bias is not f32");
  if (scores.scores.scale <= 0 || scores.scores.softcap.value_or(1) <= 0)
    return notFused(scores.product, "scale and softcap must be positive");
  return success();
}

LogicalResult LinalgChain::match() {
  probabilitiesIndex = LinalgScores::endsInSoftmax(end.getDpsInputs()[0]) ? 0 : 1;
  if (failed(scores.read(end.getDpsInputs()[probabilitiesIndex])) || failed(matchFirstProduct()) ||
      failed(matchSecondProduct()))
    return failure();
  undoRepetition();
  return checkExtents();
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

static Value transpose(OpBuilder &builder, mlir::Location loc, Value tensor,
                       ArrayRef<int64_t> permutation) {
  if (llvm::equal(permutation, llvm::seq<int64_t>(permutation.size())))
    return tensor;
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, tensor);
  SmallVector<OpFoldResult> permuted =
      llvm::map_to_vector(permutation, [&](int64_t i) { return sizes[i]; });
  Value init = tensor::EmptyOp::create(builder, loc, permuted,
                                       cast<RankedTensorType>(tensor.getType()).getElementType());
  return linalg::TransposeOp::create(builder, loc, tensor, init, permutation)->getResult(0);
}

/// [row or key, heads, feature]; kv head and query head of the group are one dim, which may have to
/// be made.
static Value toRows(OpBuilder &builder, mlir::Location loc, const Operand &operand) {
  SmallVector<int64_t> permutation;
  SmallVector<ReassociationIndices> heads = {{0}, {}, {}};
  for (DimRole role :
       {DimRole::Row, DimRole::Key, DimRole::KvHead, DimRole::Group, DimRole::Feature})
    for (auto [i, own] : llvm::enumerate(operand.roles))
      if (own == role) {
        if (role == DimRole::KvHead || role == DimRole::Group)
          heads[1].push_back(permutation.size());
        permutation.push_back(i);
      }
  Value rows = transpose(builder, loc, operand.tensor, permutation);
  auto type = cast<RankedTensorType>(rows.getType());
  if (heads[1].size() == 2) {
    heads[2] = {3};
    return tensor::CollapseShapeOp::create(builder, loc, rows, heads);
  }
  if (heads[1].size() == 1)
    return rows;
  auto expanded =
      RankedTensorType::get({type.getDimSize(0), 1, type.getDimSize(1)}, type.getElementType());
  return tensor::ExpandShapeOp::create(builder, loc, expanded, rows,
                                       ArrayRef<ReassociationIndices>{{0, 1}, {2}});
}

/// The reverse for the result: [row, heads, dim] to dims in the order of `roles`.
static Value fromRows(OpBuilder &builder, mlir::Location loc, Value rows, ArrayRef<DimRole> roles,
                      int64_t kvHeads) {
  bool hasKvHead = llvm::is_contained(roles, DimRole::KvHead),
       hasGroup = llvm::is_contained(roles, DimRole::Group);
  auto type = cast<RankedTensorType>(rows.getType());
  SmallVector<DimRole> order = {DimRole::Row};
  if (hasKvHead && hasGroup) {
    auto expanded = RankedTensorType::get(
        {type.getDimSize(0), kvHeads, type.getDimSize(1) / kvHeads, type.getDimSize(2)},
        type.getElementType());
    rows = tensor::ExpandShapeOp::create(builder, loc, expanded, rows,
                                         ArrayRef<ReassociationIndices>{{0}, {1, 2}, {3}});
  } else if (!hasKvHead && !hasGroup) {
    rows = tensor::CollapseShapeOp::create(builder, loc, rows,
                                           ArrayRef<ReassociationIndices>{{0, 1}, {2}});
  }
  if (hasKvHead)
    order.push_back(DimRole::KvHead);
  if (hasGroup)
    order.push_back(DimRole::Group);
  order.push_back(DimRole::Feature);
  SmallVector<int64_t> permutation = llvm::map_to_vector(
      roles, [&](DimRole role) { return int64_t(llvm::find(order, role) - order.begin()); });
  return transpose(builder, loc, rows, permutation);
}

/// [heads, rows, keys], with 1 for an index that the bias does not have.
Value LinalgChain::createBias(OpBuilder &builder) {
  mlir::Location loc = end.getLoc();
  auto type = cast<RankedTensorType>(scores.bias.getType());
  SmallVector<int64_t> shape(3, 1), permutation;
  SmallVector<unsigned> present;
  for (unsigned loop = 0; loop < 3; ++loop)
    for (auto [i, result] : llvm::enumerate(scores.biasMap.getResults()))
      if (cast<AffineDimExpr>(result).getPosition() == loop) {
        permutation.push_back(i);
        present.push_back(loop);
        shape[loop] = type.getDimSize(i);
      }
  Value bias = transpose(builder, loc, scores.bias, permutation);
  if (present.size() == 3)
    return bias;
  // Every dim of the bias takes the missing ones in front of it, the last one those behind it, too.
  SmallVector<ReassociationIndices> groups(present.size());
  unsigned group = 0;
  for (int64_t loop = 0; loop < 3; ++loop) {
    if (!groups.empty()) {
      if (group + 1 < groups.size() && loop > present[group])
        ++group;
      groups[group].push_back(loop);
    }
  }
  return tensor::ExpandShapeOp::create(
      builder, loc, RankedTensorType::get(shape, type.getElementType()), bias, groups);
}

//===----------------------------------------------------------------------===//
// Rewriting
//===----------------------------------------------------------------------===//

/// The unfused chain on one sequence; the result has the roles of the second product's, without the
/// sequence.
Value LinalgChain::createChain(OpBuilder &builder, Operand q, Operand k, Operand v) {
  mlir::Location loc = end.getLoc();
  MLIRContext *context = builder.getContext();
  Value rows = toRows(builder, loc, q), keys = toRows(builder, loc, k),
        values = toRows(builder, loc, v);
  auto rowsType = cast<RankedTensorType>(rows.getType()),
       keysType = cast<RankedTensorType>(keys.getType());
  auto valuesType = cast<RankedTensorType>(values.getType());
  int64_t heads = rowsType.getDimSize(1);
  auto scoresType = RankedTensorType::get({heads, rowsType.getDimSize(0), keysType.getDimSize(0)},
                                          builder.getF32Type());
  bool hasCap = scores.scores.softcap.has_value();
  Value s = ScoresOp::create(builder, loc, scoresType, rows, keys,
                             builder.getF64FloatAttr(scores.scores.scale));
  if (hasCap)
    s = SoftcapOp::create(builder, loc, scoresType, s,
                          builder.getF64FloatAttr(*scores.scores.softcap));
  if (scores.bias)
    s = BiasOp::create(builder, loc, scoresType, s, createBias(builder), BiasKind::Given);
  if (!scores.mask.isNone())
    s = MaskOp::create(builder, loc, scoresType, s, MaskAttr::get(context, scores.mask));
  auto statistics = RankedTensorType::get({rowsType.getDimSize(0), heads}, builder.getF32Type());
  auto softmax = SoftmaxOp::create(builder, loc, scoresType, statistics, s, Value());
  auto resultType =
      RankedTensorType::get({rowsType.getDimSize(0), heads, valuesType.getDimSize(2)},
                            cast<RankedTensorType>(end->getResult(0).getType()).getElementType());
  Value o = WeightedSumOp::create(builder, loc, resultType, softmax.getProbabilities(), values);
  SmallVector<DimRole> roles = resultRoles;
  llvm::erase(roles, DimRole::Sequence);
  return fromRows(builder, loc, o, roles, k.extent(DimRole::KvHead));
}

/// Offsets, sizes and strides of one sequence of a tensor with these roles.
static std::tuple<SmallVector<OpFoldResult>, SmallVector<OpFoldResult>, SmallVector<OpFoldResult>>
sliceOf(OpBuilder &builder, mlir::Location loc, Value tensor, ArrayRef<DimRole> roles,
        Value sequence) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, tensor);
  SmallVector<OpFoldResult> offsets(sizes.size(), builder.getIndexAttr(0)),
      strides(sizes.size(), builder.getIndexAttr(1));
  unsigned place = llvm::find(roles, DimRole::Sequence) - roles.begin();
  offsets[place] = sequence;
  sizes[place] = builder.getIndexAttr(1);
  return {offsets, sizes, strides};
}

static Operand sequenceOf(OpBuilder &builder, mlir::Location loc, const Operand &operand,
                          Value sequence) {
  auto [offsets, sizes, strides] = sliceOf(builder, loc, operand.tensor, operand.roles, sequence);
  unsigned place = llvm::find(operand.roles, DimRole::Sequence) - operand.roles.begin();
  SmallVector<int64_t> shape(operand.type().getShape());
  shape.erase(shape.begin() + place);
  Operand slice;
  slice.tensor = tensor::ExtractSliceOp::create(
      builder, loc, RankedTensorType::get(shape, operand.type().getElementType()), operand.tensor,
      offsets, sizes, strides);
  slice.roles = operand.roles;
  slice.roles.erase(slice.roles.begin() + place);
  return slice;
}

Value LinalgChain::createSequences(OpBuilder &builder) {
  mlir::Location loc = end.getLoc();
  unsigned place = llvm::find(query.roles, DimRole::Sequence) - query.roles.begin();
  OpFoldResult count = tensor::getMixedSize(builder, loc, query.tensor, place);
  Value init = tensor::EmptyOp::create(
      builder, loc, tensor::getMixedSizes(builder, loc, end.getDpsInits()[0]),
      cast<RankedTensorType>(end->getResult(0).getType()).getElementType());
  auto loop = scf::ForallOp::create(
      builder, loc, ArrayRef<OpFoldResult>{count}, ValueRange{init}, std::nullopt,
      [&](OpBuilder &inner, mlir::Location loc, ValueRange arguments) {
        Value sequence = arguments[0];
        Value result = createChain(inner, sequenceOf(inner, loc, query, sequence),
                                   sequenceOf(inner, loc, key, sequence),
                                   sequenceOf(inner, loc, value, sequence));
        auto [offsets, sizes, strides] = sliceOf(inner, loc, arguments[1], resultRoles, sequence);
        auto parallel = scf::InParallelOp::create(inner, loc);
        inner.setInsertionPointToStart(parallel.getBody());
        tensor::ParallelInsertSliceOp::create(inner, loc, result, arguments[1], offsets, sizes,
                                              strides);
      });
  return loop.getResult(0);
}

/// Erases `op` and everything above it that nothing uses any more.
static void eraseUnused(Operation *op) {
  if (!op || !op->use_empty() || !isMemoryEffectFree(op))
    return;
  SmallVector<Value> operands(op->getOperands());
  op->walk(
      [&](Operation *inner) { operands.append(inner->operand_begin(), inner->operand_end()); });
  llvm::SmallSetVector<Operation *, 4> producers;
  for (Value operand : operands)
    if (Operation *producer = operand.getDefiningOp(); producer && !op->isAncestor(producer))
      producers.insert(producer);
  op->erase();
  for (Operation *producer : producers)
    eraseUnused(producer);
}

void LinalgChain::rewrite() {
  OpBuilder builder(end);
  Value result = query.has(DimRole::Sequence) ? createSequences(builder)
                                              : createChain(builder, query, key, value);
  end->getResult(0).replaceAllUsesWith(result);
  eraseUnused(end);
}

void attn::raiseLinalgChains(Operation *root) {
  // No chain erases the end of another one: its result is an operand, which the new ops use.
  SmallVector<LinalgOp> ends;
  root->walk([&](LinalgOp op) {
    if (isProduct(op) && llvm::any_of(op.getDpsInputs(), LinalgScores::endsInSoftmax))
      ends.push_back(op);
  });
  for (LinalgOp end : ends) {
    LinalgChain chain(end);
    if (succeeded(chain.match()))
      chain.rewrite();
  }
}
