//===- Schedule.cpp - --attn-schedule -------------------------------------===//
//
// Gives every attn.attention its complete schedule, and every append, merge and
// merge_states function one as its attribute: the cost model's (Schedules.h) or, for attention,
// the one that is given. Either is refused where it breaks a limit of the target.
//
//   attn.attention %q, %kv … split(<…>)   →   … split(<…>) schedule(<unit = 1, units = 4, …>)
//
// Tests: test/dialects/attn/schedule.mlir, schedule-errors.mlir.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/Attn.h"
#include "dialects/attn/Passes.h"
#include "dialects/attn/Schedules.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace attncc::attn {
#define GEN_PASS_DEF_SCHEDULEPASS
#include "dialects/attn/Passes.h.inc"
} // namespace attncc::attn

using namespace mlir;
using namespace attncc;
using namespace attncc::attn;

static KernelShape kernelShape(AttentionOp attention, PhaseAttr phase) {
  KvShape kv = attention.getKvShape();
  KernelShape shape;
  shape.keyDim = kv.keyDim;
  shape.valueDim = kv.valueDim;
  shape.group = cast<RankedTensorType>(attention.getQuery().getType()).getDimSize(1) / kv.kvHeads;
  shape.maxQuery = phase.getMaxQuery();
  shape.causal = attention.getMask().getValue().causal;
  if (auto paged = dyn_cast<PagedKvType>(attention.getKv().getType())) {
    shape.pageSize = paged.getPageSize();
    shape.elementBytes = llvm::divideCeil(paged.getKeyType().getIntOrFloatBitWidth(), 8);
  }
  return shape;
}

/// Refuses what the passes behind this one cannot build of a schedule that the target allows for.
static LogicalResult checkBuilt(AttentionOp attention, const attn::Schedule &s, bool isDecode) {
  auto refuse = [&] { return attention.emitError(); };
  if (s.dependentLaunch == DependentLaunch::WaitLate)
    return refuse() << "dependent_launch = wait_late is not supported";
  int64_t unit = s.product == Product::Wgmma ? 4 : 1;
  if (s.unit != unit)
    return refuse() << "product = " << stringifyEnum(s.product) << " needs unit = " << unit
                    << ", got " << s.unit;
  if (s.output == Output::Staged &&
      (!s.specialised() || attention.getQuery().getType() != attention.getOutput().getType()))
    return refuse() << "output = staged needs specialised roles, and an output of the query's "
                       "type, got roles = "
                    << stringifyEnum(s.roles) << ", " << attention.getQuery().getType() << " and "
                    << attention.getOutput().getType();
  if (isDecode) {
    if (s.product != Product::Mma || s.specialised() || s.overlap != Overlap::None ||
        s.work != Work::Grid)
      return refuse()
             << "divide = keys needs product = mma, roles = one, overlap = none and work = "
                "grid, got "
             << stringifyEnum(s.product) << ", " << stringifyEnum(s.roles) << ", "
             << stringifyEnum(s.overlap) << " and " << stringifyEnum(s.work);
    return success();
  }
  if (s.orientation != Orientation::Direct)
    return refuse() << "divide = rows needs orientation = direct, got "
                    << stringifyEnum(s.orientation);
  // The loading role's copies are tensor copies, and the launch of these is one of blocks that
  // stay.
  if (s.specialised() != (s.product == Product::Wgmma) ||
      s.specialised() != (s.copy == Copy::Tensor) || s.specialised() != (s.work != Work::Grid))
    return refuse() << "divide = rows has product = wgmma, copy = tensor and work = static or "
                       "atomic with specialised roles and only then, got "
                    << stringifyEnum(s.product) << ", " << stringifyEnum(s.copy) << ", "
                    << stringifyEnum(s.work) << " and roles = " << stringifyEnum(s.roles);
  if (s.specialised() && s.stages.joint)
    return refuse() << "specialised roles need a ring of keys and one of values, got one of both: "
                       "write stages = ["
                    << s.stages.key << ", " << s.stages.value << "]";
  if (!s.specialised() && s.overlap != Overlap::None)
    return refuse() << "overlap = " << stringifyEnum(s.overlap) << " needs specialised roles";
  if (s.skipTiles && s.overlap == Overlap::None)
    return refuse() << "skip_tiles needs tiles or items that overlap, got overlap = none";
  return success();
}

namespace {
struct SchedulePass : attn::impl::SchedulePassBase<SchedulePass> {
  using SchedulePassBase::SchedulePassBase;

  LogicalResult scheduleAttention(AttentionOp attention, PhaseAttr phase, const TargetInfo &info,
                                  const std::optional<attn::Schedule> &given) {
    if (phase.getRole() != Role::Decode && phase.getRole() != Role::Prefill)
      return attention.emitError()
             << "the cost model knows no schedule for phase " << stringifyEnum(phase.getRole());
    if (cast<RankedTensorType>(attention.getQuery().getType()).isDynamicDim(1))
      return attention.emitError("a schedule needs a static number of query heads");
    bool isDecode = phase.getRole() == Role::Decode;
    if (isDecode && !attention.getSplit())
      return attention.emitError("decode has no split; run --attn-split-kv first");
    KernelShape shape = kernelShape(attention, phase);
    shape.queryTokens = queryTokens;
    std::optional<SplitRule> rule;
    if (isDecode)
      rule = attention.getSplitAttr().toRule();
    // A given schedule is for the phase whose units divide what it divides.
    Divide divide = isDecode ? Divide::Keys : Divide::Rows;
    attn::Schedule chosen = given && given->divide == divide ? *given
                            : isDecode                       ? decodeSchedule(shape, *rule, info)
                                                             : prefillSchedule(shape, info);
    // The split is the function's: a schedule that names another one contradicts the merge.
    if (chosen.split && chosen.split != rule) {
      auto other = SplitAttr::get(&getContext(), *chosen.split);
      if (!isDecode)
        return attention.emitError() << "prefill is not split, the schedule has " << other;
      return attention.emitError() << "the schedule's split " << other << " is not the function's "
                                   << attention.getSplitAttr();
    }
    chosen.split = rule;
    if (Result<void> legal = checkSchedule(chosen, shape, info); !legal)
      return attention.emitError() << legal.error().diagnostic.message;
    if (failed(checkBuilt(attention, chosen, isDecode)))
      return failure();
    auto attribute =
        ScheduleAttr::getChecked([&] { return attention.emitError(); }, &getContext(), chosen);
    if (!attribute)
      return failure();
    attention.setScheduleAttr(attribute);
    return success();
  }

  /// That of the decode function whose splits are merged, which stands in front; `kernel` if there
  /// is none.
  static MergeForm mergeFormOf(func::FuncOp merge) {
    auto *before = merge->getPrevNode();
    auto decode = dyn_cast_or_null<func::FuncOp>(before);
    if (!decode)
      return MergeForm::Kernel;
    for (AttentionOp attention : decode.getOps<AttentionOp>())
      if (ScheduleAttr schedule = attention.getScheduleAttr())
        return schedule.getMerge();
    return MergeForm::Kernel;
  }

  LogicalResult scheduleFunction(func::FuncOp function, const TargetInfo &info,
                                 const std::optional<attn::Schedule> &given) {
    auto phase = function->getAttrOfType<PhaseAttr>(kPhaseAttrName);
    if (!phase)
      return success();
    if (phase.getRole() == Role::Append) {
      function->setAttr(kScheduleAttrName, ScheduleAttr::get(&getContext(), appendSchedule(info)));
    } else if (phase.getRole() == Role::MergeStates) {
      function->setAttr(kScheduleAttrName,
                        ScheduleAttr::get(&getContext(), mergeStatesSchedule(info)));
    } else if (phase.getRole() == Role::Merge) {
      auto merges = function.getOps<MergeOp>();
      if (merges.empty() || !(*merges.begin()).getSplit())
        return function.emitError("a merge function has no 'attn.merge' with the split rule");
      function->setAttr(
          kScheduleAttrName,
          ScheduleAttr::get(&getContext(), mergeSchedule((*merges.begin()).getSplitAttr().toRule(),
                                                         mergeFormOf(function), info)));
    }
    WalkResult walk = function.walk([&](AttentionOp attention) {
      return WalkResult(scheduleAttention(attention, phase, info, given));
    });
    return failure(walk.wasInterrupted());
  }

  void runOnOperation() override {
    const TargetInfo *info = findTarget(target);
    if (!info) {
      std::string known;
      for (const TargetInfo &other : allTargets())
        known += (known.empty() ? "" : ", ") + std::string(other.name);
      getOperation().emitError() << "unknown target '" << target << "', known are: " << known;
      return signalPassFailure();
    }
    std::optional<attn::Schedule> given;
    if (!schedule.empty()) {
      Result<attn::Schedule> parsed = parseSchedule(getContext(), schedule);
      if (!parsed) {
        getOperation().emitError() << parsed.error().diagnostic.message;
        return signalPassFailure();
      }
      given = *parsed;
    }
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (failed(scheduleFunction(function, *info, given)))
        return signalPassFailure();
  }
};
} // namespace
