//===- AttnToTile.cpp - one attn function becomes one tile kernel -----------===//
//
// attn is per sequence; here the batch appears. Each function with a phase becomes a kernel whose
// body is a loop over work items, written for one unit:
//
//   decode   %o = attn.attention %q, %kv …       the online softmax over the key tiles that the
//                                                unit visits, the merge of the units, the store
//   prefill  the same                            without that merge: units have rows of their own
//   merge    %o, %lse = attn.merge %parts        one row: the sum over its splits in index order
//   append   attn.rms_norm, attn.rope,           the item's query rows and its key and value row,
//            attn.append_kv, return              op by op; queries that are returned as they came
//                                                are copied where the launch gives them
//   merge_states  attn.merge_states              one row: the sum over the caller's parts
//
//   func.func @decode(%q: tensor<?x32x64xbf16>, %kv: !kv) -> !attn.partials<heads = 32, dim = 64>
//       attributes {attn.phase = #attn.phase<decode, max_query = 8>} {
//     %p = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) split(<…>) schedule(<…>) …
//     return %p }
// becomes
//   tile.kernel @decode(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch,
//       %output: tensor<?x?x64xbf16>, %lse: tensor<?x?xf32>, %workspace: !tile.workspace, %scale:
//       f32) {
//     tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
//       %q = tile.load_rows query %query[%item]
//       %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16}
//       scf.for … { load_keys, matmul, mask, softmax_step, convert, rescale, load_values, matmul }
//       merge_units, normalize, store_partial, add_split, normalize, store_attention } }
//
// With `merge = item` an item takes several splits, and adds four to a span, spans to its result;
// with `merge = span` it has no result of several spans. Behind a split's last tile, but for that
// of the item's last split, the loop has
//
//   scf.if (behind the last tile of split %s) {
//     merge_units, normalize, add_split to the span
//     scf.if (%s ends the span) { normalize, store_partial, add_split to the result;
//       the span begins anew }
//     the softmax and the accumulator begin anew }
//
// The arguments flatten to the launch interfaces append/1, decode/1, prefill/1, merge/1 and
// merge_states/1 (docs/package.md); the score scale is an argument, so it does not appear in the
// program. The algorithm is that of FlashAttention-2 and Flash-Decoding (Dao 2023). Test:
// test/compiler/conversion/attn-to-tile.mlir, attn-to-tile-errors.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/AttnToTile.h"

#include "dialects/attn/Attn.h"
#include "dialects/tile/Tile.h"
#include "runtime/support/SplitRule.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/Pass.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace attncc {
namespace {

using attn::Role;
using tile::TileType;

RankedTensorType tokensHeadsDim(Type element, int64_t dim) {
  return RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic, dim}, element);
}
RankedTensorType tokensHeads(MLIRContext *context) {
  return RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic},
                               Float32Type::get(context));
}
RankedTensorType perToken(MLIRContext *context) {
  return RankedTensorType::get({ShapedType::kDynamic}, IntegerType::get(context, 64));
}

/// A kernel under construction: its arguments by declaration order, and the body of its work loop.
class Kernel {
public:
  Kernel(func::FuncOp function, attn::ScheduleAttr schedule, attn::PhaseAttr phase)
      : function(function), schedule(schedule), phase(phase), builder(function) {}

  /// Declares the next argument; `get` gives its value once the body is open.
  size_t argument(Type type) {
    types.push_back(type);
    return types.size() - 1;
  }

  /// Creates the kernel and its work loop; `builder` then stands in the loop's body.
  void open(size_t source, tile::ItemKind kind, int64_t group) {
    Location loc = function.getLoc();
    op = tile::KernelOp::create(builder, loc, function.getName(),
                                builder.getFunctionType(types, {}), schedule, phase);
    Block *entry = &op.getBody().front();
    builder.setInsertionPointToStart(entry);
    auto loop = tile::WorkLoopOp::create(builder, loc, entry->getArgument(source),
                                         tile::ItemsAttr::get(builder.getContext(), kind, group));
    tile::ReturnOp::create(builder, loc);
    item = loop.getItem();
    unit = loop.getUnit();
    builder.setInsertionPoint(loop.getBody().front().getTerminator());
  }
  Value get(size_t argument) { return op.getBody().front().getArgument(argument); }

  TileType tileType(int64_t rows, int64_t columns, Type element) {
    return TileType::get(builder.getContext(), rows, columns, element);
  }
  TileType f32(int64_t rows, int64_t columns) {
    return tileType(rows, columns, builder.getF32Type());
  }

  func::FuncOp function;
  attn::ScheduleAttr schedule;
  attn::PhaseAttr phase;
  OpBuilder builder;
  Value item, unit;

private:
  tile::KernelOp op;
  SmallVector<Type> types;
};

/// The one op of type OpTy in the function, next to nothing but func.return and what it ends in.
template <class OpTy> FailureOr<OpTy> onlyOp(func::FuncOp function) {
  OpTy found;
  for (Operation &op : function.getBody().front().without_terminator()) {
    auto match = dyn_cast<OpTy>(op);
    if (!match || found)
      return op.emitError() << "expected one '" << OpTy::getOperationName()
                            << "' in a function of this phase, found '" << op.getName()
                            << "'; run --attn-fuse-attention first";
    found = match;
  }
  if (!found)
    return function.emitError() << "expected one '" << OpTy::getOperationName() << "', found none";
  return found;
}

/// Maximum, sum and value of an online softmax, or of the splits that have been added up.
using State = SmallVector<Value>;

/// Before the first key.
State startState(OpBuilder &b, Location loc, Type statistics, Type value) {
  auto init = tile::SoftmaxInitOp::create(b, loc, statistics, statistics);
  return {init.getMaximum(), init.getSum(), tile::ZeroOp::create(b, loc, value)};
}

/// A softmax's rows and their log-sum-exps.
tile::NormalizeOp normalize(OpBuilder &b, Location loc, ValueRange state, bool log2) {
  return tile::NormalizeOp::create(b, loc, state[2].getType(), state[0].getType(), state[2],
                                   state[0], state[1], log2);
}

/// The state with the rows of `normal` added, whose log-sum-exps are in units of log2.
State add(OpBuilder &b, Location loc, ValueRange state, tile::NormalizeOp normal) {
  return State(tile::AddSplitOp::create(b, loc, normal.getResult(), normal.getLse(), state[0],
                                        state[1], state[2])
                   .getResults());
}

/// Of units that have seen all keys of a split.
tile::NormalizeOp splitOf(OpBuilder &b, Location loc, ValueRange units) {
  auto merged = tile::MergeUnitsOp::create(b, loc, units[0], units[1], units[2]);
  return normalize(b, loc, merged.getResults(), /*log2=*/true);
}

/// A decode item's splits: how many it takes, the tiles of each unit in a whole one, and where
/// partials go.
struct ItemSplits {
  Value count, tiles, workspace;
};

/// Of an item that does not take all of its sequence: what it has of the splits from `first` on.
void storePartial(Kernel &kernel, OpBuilder &b, Location loc, tile::NormalizeOp rows,
                  Value workspace, Value first) {
  tile::StorePartialOp::create(b, loc, rows.getResult(), rows.getLse(), workspace, kernel.item,
                               first);
}

/// Behind tile `index` of each unit: if it was the last one of a split and the item has more, adds
/// the split to its span, and a whole span to those before. `loop` is what the loop carries: the
/// units' state, the span's, unless there is only one that of all spans, the split's number.
SmallVector<Value> endOfSplit(Kernel &kernel, OpBuilder &b, Location loc, Value index,
                              ValueRange loop, ItemSplits splits) {
  auto number = [&](int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); };
  auto equal = [&](Value left, Value right) {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, left, right);
  };
  Value split = loop.back(), one = number(1), ofSpan = number(kSplitsOfSpan);
  Value next = arith::AddIOp::create(b, loc, split, one);
  Value isLast = equal(arith::AddIOp::create(b, loc, index, one),
                       arith::MulIOp::create(b, loc, next, splits.tiles));
  Value hasMore = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, next, splits.count);
  Value endsSpan = equal(arith::AndIOp::create(b, loc, next, number(kSplitsOfSpan - 1)), number(0));
  Type statistics = loop[0].getType(), value = loop[2].getType();
  ValueRange all = loop.drop_front(6).drop_back();
  // States before the first key are made where they are yielded: values from outside would be
  // selected in every iteration.
  auto branch = scf::IfOp::create(
      b, loc, arith::AndIOp::create(b, loc, isLast, hasMore),
      [&](OpBuilder &then, Location) {
        State span = add(then, loc, loop.slice(3, 3), splitOf(then, loc, loop.take_front(3)));
        SmallVector<Value> results = startState(then, loc, statistics, value);
        auto spans = scf::IfOp::create(
            then, loc, endsSpan,
            [&](OpBuilder &whole, Location) {
              tile::NormalizeOp rows = normalize(whole, loc, span, /*log2=*/true);
              Value first = arith::SubIOp::create(whole, loc, next, ofSpan);
              storePartial(kernel, whole, loc, rows, splits.workspace, first);
              SmallVector<Value> results = startState(whole, loc, statistics, value);
              if (!all.empty())
                results.append(add(whole, loc, all, rows));
              scf::YieldOp::create(whole, loc, results);
            },
            [&](OpBuilder &partial, Location) {
              SmallVector<Value> results(span);
              llvm::append_range(results, all);
              scf::YieldOp::create(partial, loc, results);
            });
        llvm::append_range(results, spans.getResults());
        results.push_back(next);
        scf::YieldOp::create(then, loc, results);
      },
      [&](OpBuilder &otherwise, Location) { scf::YieldOp::create(otherwise, loc, loop); });
  return SmallVector<Value>(branch.getResults());
}

/// Decode and prefill.
LogicalResult convertAttention(func::FuncOp function, attn::PhaseAttr phase) {
  FailureOr<attn::AttentionOp> found = onlyOp<attn::AttentionOp>(function);
  if (failed(found))
    return failure();
  attn::AttentionOp attention = *found;
  auto kv = dyn_cast<attn::PagedKvType>(attention.getKv().getType());
  auto query = cast<RankedTensorType>(attention.getQuery().getType());
  attn::ScheduleAttr schedule = attention.getScheduleAttr();
  if (!kv)
    return attention.emitError("dense keys and values are not compiled yet");
  if (kv.getValueBegin())
    return attention.emitError("values that are a part of the keys are not compiled yet");
  if (kv.getKeyType() != query.getElementType() || kv.getValueType() != kv.getKeyType())
    return attention.emitError() << "a cache of " << kv.getKeyType() << " and " << kv.getValueType()
                                 << " for queries of " << query.getElementType()
                                 << " is not compiled yet";
  if (!schedule)
    return attention.emitError("no schedule: run --attn-schedule first");
  bool isDecode = phase.getRole() == Role::Decode;
  if (schedule.getDivide() != (isDecode ? attn::Divide::Keys : attn::Divide::Rows))
    return attention.emitError() << "a " << attn::stringifyEnum(phase.getRole())
                                 << " schedule divides the " << (isDecode ? "keys" : "rows")
                                 << " among its units, got "
                                 << attn::stringifyEnum(schedule.getDivide());
  if (attention.getScores().getValue().softcap)
    return attention.emitError("a logit softcap is not compiled yet");
  if (attention.getBias())
    return attention.emitError("a bias of the scores is not compiled yet");
  if (attention.getSinks())
    return attention.emitError("attention sinks are not compiled yet");
  attn::Mask mask = attention.getMask().getValue();
  attn::Mask causal;
  causal.causal = true;
  if (!mask.isNone() && !(mask == causal))
    return attention.emitError() << "the mask " << attention.getMask()
                                 << " is not compiled yet, only none and causal";

  if (schedule.getMerge() != attn::MergeForm::Kernel && phase.getMaxQuery() > schedule.getKeys())
    // The mask may take whole tiles from a split in front of the last one.
    return attention.emitError() << "merge = " << attn::stringifyEnum(schedule.getMerge())
                                 << " takes at most as many query tokens as a tile has keys, got "
                                 << phase.getMaxQuery() << " and " << schedule.getKeys();

  int64_t group = query.getDimSize(1) / attention.getKvShape().kvHeads;
  int64_t rows = schedule.getRows(), keys = schedule.getKeys();
  int64_t keyDim = kv.getKeyDim(), valueDim = kv.getValueDim();
  Type type = kv.getKeyType();

  Kernel kernel(function, schedule, phase);
  MLIRContext *context = function.getContext();
  size_t queryArg = kernel.argument(tokensHeadsDim(type, keyDim));
  size_t kvArg = kernel.argument(kv);
  size_t batchArg = kernel.argument(tile::BatchType::get(context));
  size_t outputArg = kernel.argument(tokensHeadsDim(type, valueDim));
  size_t lseArg = kernel.argument(tokensHeads(context));
  size_t workspaceArg = kernel.argument(tile::WorkspaceType::get(context));
  size_t scaleArg = kernel.argument(Float32Type::get(context));
  kernel.open(batchArg, isDecode ? tile::ItemKind::Decode : tile::ItemKind::Prefill, group);
  OpBuilder &b = kernel.builder;
  Location loc = attention.getLoc();

  // A maximum that is off by less than 2^8 is as good: probabilities stay small numbers.
  IntegerAttr lazy;
  if (schedule.getRescale() == attn::Rescale::Lazy)
    lazy = b.getI64IntegerAttr(8);
  TileType statistics = kernel.f32(rows, 1), scores = kernel.f32(rows, keys);
  TileType sum = kernel.f32(rows, valueDim);
  Value q = tile::LoadRowsOp::create(b, loc, kernel.tileType(rows, keyDim, type),
                                     tile::RowKind::Query, kernel.get(queryArg), kernel.item,
                                     /*first_row=*/0, /*optional=*/false, /*offset=*/IntegerAttr());
  Value range = tile::KeyRangeOp::create(b, loc, tile::RangeType::get(context), kernel.item,
                                         kernel.unit, attention.getMask(), keys);
  Value count = tile::RangeCountOp::create(b, loc, b.getIndexType(), range);
  Value c0 = arith::ConstantIndexOp::create(b, loc, 0),
        c1 = arith::ConstantIndexOp::create(b, loc, 1);
  // What the loop carries: the units' state and, where an item takes several splits, those of the
  // span and of all spans before, and the number of the present split.
  const bool manySplits = schedule.getMerge() != attn::MergeForm::Kernel,
             manySpans = schedule.getMerge() == attn::MergeForm::Item;
  ItemSplits splits;
  SmallVector<Value> carried = startState(b, loc, statistics, sum);
  if (manySplits) {
    splits.count = tile::ItemSplitsOp::create(b, loc, b.getIndexType(), kernel.item);
    splits.tiles = tile::SplitTilesOp::create(b, loc, b.getIndexType(), kernel.item, keys);
    splits.workspace = kernel.get(workspaceArg);
    for (int i = 0; i < (manySpans ? 2 : 1); ++i)
      carried.append(startState(b, loc, statistics, sum));
    carried.push_back(c0);
  }
  auto loop = scf::ForOp::create(
      b, loc, c0, count, c1, carried, [&](OpBuilder &b, Location loc, Value j, ValueRange state) {
        Value t = tile::KeyTileOp::create(b, loc, b.getIndexType(), range, j);
        Value k = tile::LoadKeysOp::create(b, loc, kernel.tileType(keys, keyDim, type),
                                           kernel.get(kvArg), kernel.item, t);
        Value s = tile::MatmulOp::create(b, loc, scores, q, k, Value(), /*transpose_b=*/true);
        s = tile::MaskOp::create(b, loc, scores, s, kernel.item, t, attention.getMask());
        auto step = tile::SoftmaxStepOp::create(b, loc, scores, statistics, statistics, statistics,
                                                s, state[0], state[1], kernel.get(scaleArg), lazy);
        Value p = tile::ConvertOp::create(b, loc, kernel.tileType(rows, keys, type),
                                          step.getProbabilities());
        Value o = tile::RescaleOp::create(b, loc, sum, state[2], step.getFactor(),
                                          /*voted=*/static_cast<bool>(lazy));
        Value v = tile::LoadValuesOp::create(b, loc, kernel.tileType(keys, valueDim, type),
                                             kernel.get(kvArg), kernel.item, t);
        o = tile::MatmulOp::create(b, loc, sum, p, v, o, /*transpose_b=*/false);
        SmallVector<Value> next{step.getNewMaximum(), step.getNewSum(), o};
        if (manySplits) {
          llvm::append_range(next, state.drop_front(3));
          next = endOfSplit(kernel, b, loc, j, next, splits);
        }
        scf::YieldOp::create(b, loc, next);
      });
  State last(loop.getResults().take_front(3));
  if (isDecode) {
    tile::NormalizeOp own = splitOf(b, loc, last);
    Value first = c0;
    if (manySplits) {
      State span = add(b, loc, loop.getResults().slice(3, 3), own);
      own = normalize(b, loc, span, /*log2=*/true);
      first = arith::AndIOp::create(b, loc, loop.getResults().back(),
                                    arith::ConstantIndexOp::create(b, loc, -kSplitsOfSpan));
    }
    State before =
        manySpans ? State(loop.getResults().slice(6, 3)) : startState(b, loc, statistics, sum);
    storePartial(kernel, b, loc, own, kernel.get(workspaceArg), first);
    last = add(b, loc, before, own);
  }
  tile::NormalizeOp normal = normalize(b, loc, last, /*log2=*/false);
  tile::StoreAttentionOp::create(b, loc, normal.getResult(), normal.getLse(), kernel.get(outputArg),
                                 kernel.get(lseArg), kernel.item, /*through=*/Value());
  return success();
}

LogicalResult convertMerge(func::FuncOp function, attn::PhaseAttr phase) {
  FailureOr<attn::MergeOp> found = onlyOp<attn::MergeOp>(function);
  if (failed(found))
    return failure();
  attn::MergeOp merge = *found;
  auto output = dyn_cast<RankedTensorType>(merge.getOutput().getType());
  if (merge.getPartials().size() != 1 || !output)
    return merge.emitError("a tree of merges is not compiled yet");
  auto schedule = function->getAttrOfType<attn::ScheduleAttr>(attn::kScheduleAttrName);
  if (!schedule)
    return function.emitError("no schedule: run --attn-schedule first");

  auto partials = cast<attn::PartialsType>(merge.getPartials().front().getType());
  int64_t dim = partials.getDim();
  Kernel kernel(function, schedule, phase);
  MLIRContext *context = function.getContext();
  size_t workspaceArg = kernel.argument(tile::WorkspaceType::get(context));
  size_t batchArg = kernel.argument(tile::BatchType::get(context));
  size_t outputArg = kernel.argument(tokensHeadsDim(output.getElementType(), dim));
  size_t lseArg = kernel.argument(tokensHeads(context));
  kernel.open(batchArg, tile::ItemKind::Merge, partials.getGroup());
  OpBuilder &b = kernel.builder;
  Location loc = merge.getLoc();
  auto row = tile::MergeSplitsOp::create(b, loc, kernel.f32(1, dim), kernel.f32(1, 1),
                                         kernel.get(workspaceArg), kernel.item);
  tile::StoreMergedOp::create(b, loc, row.getResult(), row.getLse(), kernel.get(outputArg),
                              kernel.get(lseArg), kernel.item);
  return success();
}

LogicalResult convertMergeStates(func::FuncOp function, attn::PhaseAttr phase) {
  FailureOr<attn::MergeStatesOp> found = onlyOp<attn::MergeStatesOp>(function);
  if (failed(found))
    return failure();
  attn::MergeStatesOp merge = *found;
  auto schedule = function->getAttrOfType<attn::ScheduleAttr>(attn::kScheduleAttrName);
  if (!schedule)
    return function.emitError("no schedule: run --attn-schedule first");

  attn::StatesType states = merge.getStates().getType();
  Kernel kernel(function, schedule, phase);
  size_t statesArg = kernel.argument(states);
  size_t outputArg = kernel.argument(tokensHeadsDim(states.getType(), states.getDim()));
  size_t lseArg = kernel.argument(tokensHeads(function.getContext()));
  kernel.open(statesArg, tile::ItemKind::MergeStates, /*group=*/1);
  OpBuilder &b = kernel.builder;
  Location loc = merge.getLoc();
  auto row = tile::MergeStatesOp::create(b, loc, kernel.f32(1, states.getDim()), kernel.f32(1, 1),
                                         kernel.get(statesArg), kernel.item);
  tile::StoreMergedOp::create(b, loc, row.getResult(), row.getLse(), kernel.get(outputArg),
                              kernel.get(lseArg), kernel.item);
  return success();
}

/// The rows of one append item, value by value along the function.
class AppendConverter {
public:
  AppendConverter(func::FuncOp function, attn::PhaseAttr phase, attn::ScheduleAttr schedule)
      : function(function), kernel(function, schedule, phase) {}

  LogicalResult convert();

private:
  LogicalResult findOps();
  LogicalResult convertOp(Operation &op);
  Value weight(Value vector);
  int64_t rotaryDim(int64_t dim);

  func::FuncOp function;
  Kernel kernel;
  attn::AppendKvOp append;
  Value queryIn, queryOut;
  IRMapping tiles;
  DenseMap<Value, size_t> arguments; // of the function → argument of the kernel
};

/// The value that a chain of norms and rotations starts from.
Value chainStart(Value value) {
  while (Operation *op = value.getDefiningOp())
    value = op->getOperand(0);
  return value;
}

LogicalResult AppendConverter::findOps() {
  auto terminator = cast<func::ReturnOp>(function.getBody().front().getTerminator());
  if (terminator.getNumOperands() != 1)
    return terminator.emitError("an append function returns the query and nothing else");
  for (Operation &op : function.getBody().front().without_terminator()) {
    if (auto found = dyn_cast<attn::AppendKvOp>(op)) {
      if (append)
        return op.emitError("expected one 'attn.append_kv'");
      append = found;
    } else if (!isa<attn::RmsNormOp, attn::RopeOp>(op)) {
      return op.emitError() << "'" << op.getName() << "' is not compiled in an append function";
    }
  }
  if (!append)
    return function.emitError("expected one 'attn.append_kv', found none");
  if (!append.getValue())
    return append.emitError("values that are a part of the keys are not compiled yet");
  queryOut = terminator.getOperand(0);
  queryIn = chainStart(queryOut);
  return success();
}

Value AppendConverter::weight(Value vector) {
  if (Value known = tiles.lookupOrNull(vector))
    return known;
  auto type = cast<RankedTensorType>(vector.getType());
  OpBuilder::InsertionGuard guard(kernel.builder);
  Value tile =
      tile::LoadVectorOp::create(kernel.builder, vector.getLoc(),
                                 kernel.tileType(1, type.getDimSize(0), type.getElementType()),
                                 kernel.get(arguments.lookup(vector)));
  tiles.map(vector, tile);
  return tile;
}

/// Dims of the rotation, or those of the head where there is none.
int64_t AppendConverter::rotaryDim(int64_t dim) {
  auto ropes = function.getOps<attn::RopeOp>();
  return ropes.empty() ? dim : (*ropes.begin()).getRope().getDim();
}

LogicalResult AppendConverter::convertOp(Operation &op) {
  OpBuilder &b = kernel.builder;
  if (auto norm = dyn_cast<attn::RmsNormOp>(op)) {
    Value input = tiles.lookup(norm.getInput());
    auto type = cast<TileType>(input.getType());
    tiles.map(norm.getResult(),
              tile::RmsNormOp::create(b, op.getLoc(), kernel.f32(type.getRows(), type.getColumns()),
                                      input, weight(norm.getWeight()), norm.getEpsilonAttr())
                  .getResult());
    return success();
  }
  if (auto rope = dyn_cast<attn::RopeOp>(op)) {
    Value input = tiles.lookup(rope.getInput());
    auto type = cast<TileType>(input.getType());
    auto given = [&](Value argument) {
      return argument ? kernel.get(arguments.lookup(argument)) : Value();
    };
    tiles.map(rope.getResult(),
              tile::RopeOp::create(b, op.getLoc(), kernel.f32(type.getRows(), type.getColumns()),
                                   input, kernel.item, rope.getRope(), given(rope.getPositions()),
                                   given(rope.getCosSin()))
                  .getResult());
    return success();
  }
  Value slots = append.getSlots() ? kernel.get(arguments.lookup(append.getSlots())) : Value();
  tile::StoreKvOp::create(b, op.getLoc(), tiles.lookup(append.getKey()),
                          tiles.lookup(append.getValue()),
                          kernel.get(arguments.lookup(append.getKv())), kernel.item, slots);
  return success();
}

LogicalResult AppendConverter::convert() {
  if (failed(findOps()))
    return failure();
  auto kv = cast<attn::PagedKvType>(append.getKv().getType());
  Value keyIn = chainStart(append.getKey()), valueIn = chainStart(append.getValue());
  auto query = cast<RankedTensorType>(queryIn.getType());
  Type type = query.getElementType();
  int64_t group = query.getDimSize(1) / kv.getKvHeads();
  int64_t dim = query.getDimSize(2);
  // The query heads of a group in tiles of at most 64 elements for each lane of a warp.
  int64_t rows =
      std::min<int64_t>(llvm::PowerOf2Ceil(group), llvm::bit_floor<uint64_t>(2048 / dim));
  MLIRContext *context = function.getContext();

  // append/1: query, key, value, query_out, cache, batch, slots, positions, table, norm weights,
  // workspace. What a prologue needs has a place in the interface whether there is one or not.
  arguments[queryIn] = kernel.argument(tokensHeadsDim(type, dim));
  arguments[keyIn] = kernel.argument(tokensHeadsDim(type, kv.getKeyDim()));
  arguments[valueIn] = kernel.argument(tokensHeadsDim(type, kv.getValueDim()));
  size_t outArg = kernel.argument(tokensHeadsDim(type, dim));
  arguments[append.getKv()] = kernel.argument(kv);
  size_t batchArg = kernel.argument(tile::BatchType::get(context));
  size_t slotsArg = kernel.argument(perToken(context));
  size_t positionsArg = kernel.argument(perToken(context));
  size_t cosSinArg = kernel.argument(attn::CosSinType::get(context, rotaryDim(dim), type));
  size_t weightArgs[2];
  for (size_t &argument : weightArgs)
    argument = kernel.argument(RankedTensorType::get({dim}, type));
  kernel.argument(tile::WorkspaceType::get(context));
  if (append.getSlots())
    arguments[append.getSlots()] = slotsArg;
  auto named = [&](Value start) { return start == queryIn ? weightArgs[0] : weightArgs[1]; };
  for (Operation &op : function.getBody().front().without_terminator()) {
    if (auto norm = dyn_cast<attn::RmsNormOp>(op))
      arguments[norm.getWeight()] = named(chainStart(norm.getInput()));
    if (auto rope = dyn_cast<attn::RopeOp>(op)) {
      if (rope.getPositions())
        arguments[rope.getPositions()] = positionsArg;
      if (rope.getCosSin())
        arguments[rope.getCosSin()] = cosSinArg;
    }
  }
  kernel.open(batchArg, tile::ItemKind::Append, group);

  OpBuilder &b = kernel.builder;
  Location loc = append.getLoc();
  auto load = [&](Value from, tile::RowKind kind, int64_t rows, int64_t columns, int64_t first,
                  bool optional = false) {
    tiles.map(from, tile::LoadRowsOp::create(b, loc, kernel.tileType(rows, columns, type), kind,
                                             kernel.get(arguments.lookup(from)), kernel.item, first,
                                             optional, /*offset=*/IntegerAttr())
                        .getResult());
  };
  load(keyIn, tile::RowKind::Key, 1, kv.getKeyDim(), 0);
  load(valueIn, tile::RowKind::Value, 1, kv.getValueDim(), 0);
  SmallVector<Operation *> ofQuery, ofCache;
  for (Operation &op : function.getBody().front().without_terminator())
    (&op != append && chainStart(op.getResult(0)) == queryIn ? ofQuery : ofCache).push_back(&op);
  // Nothing is done to the queries: a launch need not give them.
  const bool copies = queryOut == queryIn;
  for (int64_t first = 0; first < group; first += rows) {
    load(queryIn, tile::RowKind::Query, rows, dim, first, copies);
    for (Operation *op : ofQuery)
      if (failed(convertOp(*op)))
        return failure();
    tile::StoreRowsOp::create(b, loc, tile::RowKind::Query, tiles.lookup(queryOut),
                              kernel.get(outArg), kernel.item, first, copies);
  }
  for (Operation *op : ofCache)
    if (failed(convertOp(*op)))
      return failure();
  return success();
}

LogicalResult convertAppend(func::FuncOp function, attn::PhaseAttr phase) {
  auto schedule = function->getAttrOfType<attn::ScheduleAttr>(attn::kScheduleAttrName);
  if (!schedule)
    return function.emitError("no schedule: run --attn-schedule first");
  return AppendConverter(function, phase, schedule).convert();
}

struct ConvertAttnToTilePass : PassWrapper<ConvertAttnToTilePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertAttnToTilePass)

  StringRef getArgument() const override { return "convert-attn-to-tile"; }
  StringRef getDescription() const override {
    return "makes one tile kernel of every attn function that has a phase";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<tile::TileDialect, arith::ArithDialect, scf::SCFDialect>();
  }

  void runOnOperation() override {
    SmallVector<func::FuncOp> functions;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function->hasAttr(attn::kPhaseAttrName))
        functions.push_back(function);
    for (func::FuncOp function : functions) {
      auto phase = function->getAttrOfType<attn::PhaseAttr>(attn::kPhaseAttrName);
      if (!phase) {
        function.emitError() << "'" << attn::kPhaseAttrName << "' is not an #attn.phase";
        return signalPassFailure();
      }
      if (!function.getBody().hasOneBlock()) {
        function.emitError("expected a body of one block");
        return signalPassFailure();
      }
      if (failed(convert(function, phase)))
        return signalPassFailure();
      function.erase();
    }
  }

private:
  static LogicalResult convert(func::FuncOp function, attn::PhaseAttr phase) {
    switch (phase.getRole()) {
    case Role::Decode:
    case Role::Prefill:
      return convertAttention(function, phase);
    case Role::Merge:
      return convertMerge(function, phase);
    case Role::Append:
      return convertAppend(function, phase);
    case Role::MergeStates:
      return convertMergeStates(function, phase);
    }
    llvm_unreachable("an unknown role");
  }
};

} // namespace

std::unique_ptr<Pass> createConvertAttnToTilePass() {
  return std::make_unique<ConvertAttnToTilePass>();
}

void registerConvertAttnToTilePass() { PassRegistration<ConvertAttnToTilePass>(); }

} // namespace attncc
