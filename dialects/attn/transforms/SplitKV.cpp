//===- SplitKV.cpp - --attn-split-kv --------------------------------------===//
//
// The one place where split-KV is introduced. A decode function yields the results
// of the splits, and a function of phase merge joins them:
//
//   func @decode(%q, %kv) -> (output, lse)       func @decode(%q, %kv) -> !attn.partials {
//       {attn.phase = <decode>} {                  %p = attn.attention %q, %kv … split(<…>)
//     %o, %l = attn.attention %q, %kv …     →      return %p }
//     return %o, %l }                            func @decode_merge(%p) -> (output, lse)
//                                                    {attn.phase = <merge>} {
//                                                  %o, %l = attn.merge %p split(<…>)
//                                                  return %o, %l }
//
// The algorithm is Flash-Decoding's (Dao et al. 2023); the split length depends on
// the sequence alone. Tests: test/dialects/attn/split-kv.mlir, split-kv-errors.mlir.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/Attn.h"
#include "dialects/attn/Passes.h"
#include "dialects/attn/Schedules.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace attncc::attn {
#define GEN_PASS_DEF_SPLITKVPASS
#include "dialects/attn/Passes.h.inc"
} // namespace attncc::attn

using namespace mlir;
using namespace attncc;
using namespace attncc::attn;

/// The one attention of a decode function, whose results are what the function returns.
static FailureOr<AttentionOp> returnedAttention(func::FuncOp function) {
  auto attentions = function.getOps<AttentionOp>();
  if (attentions.empty())
    return function.emitError("a decode function has no 'attn.attention'; run "
                              "--attn-fuse-attention first");
  AttentionOp attention = *attentions.begin();
  if (std::next(attentions.begin()) != attentions.end())
    return (*std::next(attentions.begin()))
        .emitError("a decode function has one 'attn.attention', this is the second");
  auto terminator = cast<func::ReturnOp>(function.getBody().back().getTerminator());
  auto results = attention.getResults();
  bool returnsThem = llvm::equal(terminator.getOperands(), results) ||
                     llvm::equal(terminator.getOperands(), results.take_front());
  bool usedElsewhere =
      llvm::any_of(attention->getUsers(), [&](Operation *user) { return user != terminator; });
  if (!returnsThem || usedElsewhere)
    return terminator.emitError("a decode function that is split returns the results of its "
                                "'attn.attention' and nothing else");
  return attention;
}

/// The merge function behind `function`.
static void createMerge(func::FuncOp function, AttentionOp attention, PartialsType partials,
                        SplitAttr split) {
  auto phase = function->getAttrOfType<PhaseAttr>(kPhaseAttrName);
  OpBuilder builder(function);
  builder.setInsertionPointAfter(function);
  mlir::Location loc = attention.getLoc();
  auto output = cast<RankedTensorType>(attention.getOutput().getType());
  Type logSumExp = attention.getLogSumExp().getType();
  auto merge = func::FuncOp::create(builder, loc, (function.getName() + "_merge").str(),
                                    builder.getFunctionType(partials, {output, logSumExp}));
  merge->setAttr(kPhaseAttrName,
                 PhaseAttr::get(builder.getContext(), Role::Merge, phase.getMaxQuery()));
  Block *body = merge.addEntryBlock();
  builder.setInsertionPointToStart(body);
  auto joined = MergeOp::create(builder, loc, output, logSumExp, body->getArgument(0), split);
  func::ReturnOp::create(builder, loc, joined.getResults());
}

/// `rule` is null for the default.
static LogicalResult split(func::FuncOp function, SplitAttr rule, int64_t maxPosition) {
  FailureOr<AttentionOp> found = returnedAttention(function);
  if (failed(found))
    return failure();
  AttentionOp attention = *found;
  if (attention.getSplit())
    return success();
  auto query = cast<RankedTensorType>(attention.getQuery().getType());
  KvShape kv = attention.getKvShape();
  if (query.isDynamicDim(1))
    return attention.emitError("splitting needs a static number of query heads");
  if (!rule)
    rule = SplitAttr::get(function.getContext(), defaultSplitRule(maxPosition, kv.valueDim));
  auto partials = PartialsType::get(function.getContext(), query.getDimSize(1),
                                    query.getDimSize(1) / kv.kvHeads, kv.valueDim);

  createMerge(function, attention, partials, rule);
  OpBuilder builder(attention);
  auto parts = AttentionOp::create(builder, attention.getLoc(), partials, /*log_sum_exp=*/Type(),
                                   attention.getQuery(), attention.getKv(), attention.getBias(),
                                   attention.getSinks(), attention.getScoresAttr(),
                                   attention.getMaskAttr(), attention.getBiasKindAttr(), rule,
                                   /*schedule=*/ScheduleAttr());
  auto terminator = cast<func::ReturnOp>(function.getBody().back().getTerminator());
  terminator.getOperandsMutable().assign(parts.getOutput());
  attention.erase();
  function.setType(builder.getFunctionType(function.getArgumentTypes(), partials));
  return success();
}

namespace {
struct SplitKvPass : attn::impl::SplitKvPassBase<SplitKvPass> {
  using SplitKvPassBase::SplitKvPassBase;

  void runOnOperation() override {
    SplitAttr rule; // null: the default of each function's head dim
    if (!split.empty()) {
      rule = dyn_cast_or_null<SplitAttr>(parseAttribute(split, &getContext()));
      if (!rule) {
        getOperation().emitError() << "option split is not an #attn.split: " << split;
        return signalPassFailure();
      }
    }
    for (auto function : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>())) {
      auto phase = function->getAttrOfType<PhaseAttr>(kPhaseAttrName);
      if (phase && phase.getRole() == Role::Decode && failed(::split(function, rule, maxPosition)))
        return signalPassFailure();
    }
  }
};
} // namespace
