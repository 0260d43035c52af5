//===- FuseAttention.cpp - --attn-fuse-attention --------------------------===//
//
// Every attn.weighted_sum is the end of a chain; the pass walks it up to the keys'
// read and replaces it by one op:
//
//   %k, %v = attn.read_kv %kv
//   %s = attn.scores %q, %k scale 0.125
//   %c = attn.softcap %s cap 50.0          →   %o, %lse = attn.attention %q, %kv
//   %m = attn.mask %c, <causal>                    scores(<scale = 0.125, softcap = 50.0>)
//   %p, %lse = attn.softmax %m                     mask(<causal>)
//   %o = attn.weighted_sum %p, %v
//
// From below: softmax, then masks (their conjunction) and at most one bias in any
// order, which commute because -inf + x = -inf, then at most one softcap, then the
// scores. Every value in between has one use, and nothing writes the cache between
// its read and the fused op. Keys and values that are plain tensors become an
// attn.dense_kv. A chain that breaks off gets a remark at the op in the way.
// Attention that is written in linalg is brought to this chain first (LinalgChain.cpp).
// Tests: test/dialects/attn/fuse-attention.mlir, fuse-attention-near-misses.mlir.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/Attn.h"
#include "dialects/attn/Passes.h"
#include "dialects/attn/transforms/LinalgChain.h"
#include "dialects/attn/transforms/LinalgScores.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Dominance.h"

namespace attncc::attn {
#define GEN_PASS_DEF_FUSEATTENTIONPASS
#include "dialects/attn/Passes.h.inc"
} // namespace attncc::attn

using namespace mlir;
using namespace attncc;
using namespace attncc::attn;

namespace {

/// One chain, read from its end to its beginning.
class Chain {
public:
  Chain(WeightedSumOp end, DominanceInfo &dominance) : end(end), dominance(dominance) {}

  /// Walks the chain; on failure a remark names the op in the way.
  LogicalResult match();
  void fuse();

private:
  LogicalResult inTheWay(Operation *op, const Twine &why) { return notFused(op, why); }
  LogicalResult inTheWay(Value value, const Twine &why) {
    return inTheWay(value.getDefiningOp() ? value.getDefiningOp() : end.getOperation(), why);
  }
  LogicalResult single(Value value);
  LogicalResult matchScoreOps();
  LogicalResult matchKv();
  LogicalResult placeFusedOp();

  WeightedSumOp end;
  DominanceInfo &dominance;
  SmallVector<Operation *> ops; // from the end upwards, all to be erased
  SoftmaxOp softmax;
  ScoresOp scores;
  SoftcapOp softcap;
  BiasOp bias;
  Mask mask;
  ReadKvOp read; // null: dense tensors
  Operation *place = nullptr;
};

} // namespace

LogicalResult Chain::single(Value value) {
  if (value.hasOneUse())
    return success();
  for (Operation *user : value.getUsers())
    if (!llvm::is_contained(ops, user) && user != end)
      return inTheWay(user, "this is a second use of a value inside the chain");
  return inTheWay(value, "its result is used more than once");
}

LogicalResult Chain::matchScoreOps() {
  for (Value value = softmax.getScores();;) {
    Operation *op = value.getDefiningOp();
    if (!op)
      return inTheWay(softmax, "its scores are a block argument, not the result of 'attn.scores'");
    if (failed(single(value)))
      return failure();
    ops.push_back(op);
    if (auto found = dyn_cast<ScoresOp>(op)) {
      scores = found;
      return success();
    }
    if (auto found = dyn_cast<SoftcapOp>(op)) {
      if (softcap)
        return inTheWay(op, "there are two softcaps");
      softcap = found;
      value = found.getScores();
      continue;
    }
    if (!isa<MaskOp, BiasOp>(op))
      return inTheWay(op,
                      "'" + op->getName().getStringRef() + "' stands between softmax and scores");
    if (softcap)
      return inTheWay(op, "a softcap behind mask or bias acts on more than the scores");
    if (auto found = dyn_cast<BiasOp>(op)) {
      if (bias)
        return inTheWay(op, "there are two biases");
      bias = found;
      value = found.getScores();
      continue;
    }
    auto found = cast<MaskOp>(op);
    std::optional<Mask> joined = conjunction(mask, found.getMask().getValue());
    if (!joined)
      return inTheWay(op, "no single mask says both masks");
    mask = *joined;
    value = found.getScores();
  }
}

/// Keys and values are those of one read, or tensors of static heads and dims.
LogicalResult Chain::matchKv() {
  Value key = scores.getKey(), value = end.getValue();
  auto keyRead = key.getDefiningOp<ReadKvOp>(), valueRead = value.getDefiningOp<ReadKvOp>();
  if (keyRead || valueRead) {
    if (!keyRead || !valueRead || keyRead.getKv() != valueRead.getKv())
      return inTheWay(value, "keys and values are not of one cache");
    if (key != keyRead.getKey() || value != valueRead.getValue())
      return inTheWay(key, "keys and values are exchanged");
    // Two reads with no write between them are the same.
    read = keyRead->getBlock() == valueRead->getBlock() && keyRead->isBeforeInBlock(valueRead)
               ? keyRead
               : valueRead;
    return success();
  }
  for (Value tensor : {key, value}) {
    auto type = cast<RankedTensorType>(tensor.getType());
    if (type.isDynamicDim(1) || type.isDynamicDim(2))
      return inTheWay(tensor, "keys and values need static heads and dims");
  }
  return success();
}

/// Where all operands are known and no use of a result stands before: at the softmax, else at the
/// end. No op in between may write the cache that was read.
LogicalResult Chain::placeFusedOp() {
  place = dominance.properlyDominates(end.getValue(), softmax) ? softmax.getOperation()
                                                               : end.getOperation();
  if (place == end)
    for (Operation *user : softmax.getLogSumExp().getUsers())
      if (!dominance.properlyDominates(end.getOperation(), user))
        return inTheWay(user, "it uses the log-sum-exp before the values are known");
  if (!read)
    return success();
  if (read->getBlock() != place->getBlock())
    return inTheWay(read, "the cache is read in another block");
  for (Operation *op = read->getNextNode(); op != place; op = op->getNextNode()) {
    bool onlyReads = isMemoryEffectFree(op) || isa<ReadKvOp, AttentionOp>(op);
    if (!onlyReads)
      return inTheWay(op, "it may write the cache between its read and the softmax");
  }
  return success();
}

LogicalResult Chain::match() {
  ops.push_back(end);
  softmax = end.getProbabilities().getDefiningOp<SoftmaxOp>();
  if (!softmax)
    return inTheWay(end.getProbabilities(),
                    "the probabilities are not the result of 'attn.softmax'");
  if (failed(single(end.getProbabilities())))
    return failure();
  ops.push_back(softmax);
  if (failed(matchScoreOps()) || failed(matchKv()))
    return failure();
  return placeFusedOp();
}

void Chain::fuse() {
  OpBuilder builder(place);
  Location loc = end.getLoc();
  MLIRContext *context = builder.getContext();
  Value kv = read ? read.getKv() : Value();
  if (!kv) {
    auto key = cast<RankedTensorType>(scores.getKey().getType());
    auto value = cast<RankedTensorType>(end.getValue().getType());
    kv = DenseKvOp::create(builder, loc,
                           ContiguousKvType::get(context, key.getDimSize(1), key.getDimSize(2),
                                                 key.getElementType(), value.getDimSize(2),
                                                 value.getElementType()),
                           scores.getKey(), end.getValue());
  }
  Scores form{scores.getScale().convertToDouble(), std::nullopt};
  if (softcap)
    form.softcap = softcap.getCap().convertToDouble();
  auto fused = AttentionOp::create(
      builder, loc, end.getType(), softmax.getLogSumExp().getType(), scores.getQuery(), kv,
      bias ? bias.getBias() : Value(), softmax.getSinks(), ScoresAttr::get(context, form),
      MaskAttr::get(context, mask), bias ? bias.getKindAttr() : BiasKindAttr(), SplitAttr(),
      ScheduleAttr());
  end.getResult().replaceAllUsesWith(fused.getOutput());
  softmax.getLogSumExp().replaceAllUsesWith(fused.getLogSumExp());
  Operation *valueRead = end.getValue().getDefiningOp<ReadKvOp>();
  Operation *keyRead = scores.getKey().getDefiningOp<ReadKvOp>();
  for (Operation *op : ops)
    op->erase();
  for (Operation *op : {valueRead, keyRead == valueRead ? nullptr : keyRead})
    if (op && op->use_empty())
      op->erase();
}

namespace {
struct FuseAttentionPass : attn::impl::FuseAttentionPassBase<FuseAttentionPass> {
  void runOnOperation() override {
    raiseLinalgChains(getOperation());
    SmallVector<WeightedSumOp> ends;
    getOperation().walk([&](WeightedSumOp end) { ends.push_back(end); });
    auto &dominance = getAnalysis<DominanceInfo>();
    for (WeightedSumOp end : ends) {
      Chain chain(end, dominance);
      if (succeeded(chain.match()))
        chain.fuse();
    }
  }
};
} // namespace
