//===- AttnOps.td - operations of the attn dialect -----------*- tablegen -*-===//
//
// Ops on the tensors of one sequence. Dynamic and static extents of one name
// agree when either is dynamic. Verifiers are in AttnOps.cpp and carry the
// labels (C1)…; test/dialects/attn/<op>.mlir and <op>-errors.mlir repeat them.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_ATTN_OPS_TD
#define ATTNCC_ATTN_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"

class Attn_Op<string mnemonic, list<Trait> traits = []> : Op<Attn_Dialect, mnemonic, traits> {
  let hasVerifier = 1;
}

def Attn_Element : AnyTypeOf<[F16, BF16, F32], "f16, bf16 or f32">;
def Attn_Rows : RankedTensorOf<[F16, BF16, F32], [HasAnyRankOfPred<[3]>], "[rows, heads, dim] tensor of f16, bf16 or f32">;
def Attn_ScoresTensor : RankedTensorOf<[F32], [HasAnyRankOfPred<[3]>], "[heads, rows, keys] tensor of f32">;
def Attn_StatisticsTensor : RankedTensorOf<[F32], [HasAnyRankOfPred<[2]>], "2-d tensor of f32">;
def Attn_Weights : RankedTensorOf<[F16, BF16, F32], [HasAnyRankOfPred<[1]>], "[dim] tensor of f16, bf16 or f32">;
def Attn_PerHead : RankedTensorOf<[F32], [HasAnyRankOfPred<[1]>], "[heads] tensor of f32">;
def Attn_Index : RankedTensorOf<[I64], [HasAnyRankOfPred<[1]>], "[rows] tensor of i64">;
def Attn_Kv : AnyTypeOf<[Attn_PagedKvType, Attn_ContiguousKvType], "paged or contiguous KV">;

//===----------------------------------------------------------------------===//
// Before the cache
//===----------------------------------------------------------------------===//

def Attn_RmsNormOp : Attn_Op<"rms_norm", [Pure]> {
  let summary = "root-mean-square normalisation of every head";
  let description = [{
    y[i,h,d] = weight[d] * x[i,h,d] / sqrt(mean_d x[i,h,d]^2 + epsilon), computed in f32 and rounded
    once to the result's type.

    (C1) input and result have one shape. (C2) `weight` has the head's dims. (C3) `epsilon` is positive
    and finite.

    Example:
    ```mlir
    %y = attn.rms_norm %x, %w epsilon 1.0e-06 : tensor<?x8x128xbf16>, tensor<128xbf16> -> tensor<?x8x128xf32>
    ```

    Consumed by `--convert-attn-to-tile`.
  }];
  let arguments = (ins Attn_Rows:$input, Attn_Weights:$weight, F64Attr:$epsilon);
  let results = (outs Attn_Rows:$result);
  let assemblyFormat = [{
    $input `,` $weight `epsilon` $epsilon attr-dict `:` type($input) `,` type($weight) `->` type($result)
  }];
}

def Attn_RopeOp : Attn_Op<"rope", [Pure, AttrSizedOperandSegments]> {
  let summary = "rotary position embedding of every head";
  let description = [{
    Row i is turned as `#attn.rope` says at position len(kv) - rows + i, or at positions[i] where
    `positions` is given and its caller passes a non-null array. The new tokens count in len(kv). Where
    `cos_sin` is given and its caller passes a table, cosine and sine are the table's row at that position
    instead, and the attention factor is the table's. Computed in f32 and rounded once to the result's type.

    (C1) input and result have one shape. (C2) the rotated dims are at most the head's. (C3) there is one
    position per row. (C4) the table has the rotated dims.

    Example:
    ```mlir
    %y = attn.rope %x, %kv, <pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>
        : tensor<?x8x4xf32>, !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD> -> tensor<?x8x4xbf16>
    ```

    Consumed by `--convert-attn-to-tile`.
  }];
  let arguments = (ins Attn_Rows:$input, Attn_PagedKvType:$kv, Optional<Attn_Index>:$positions,
    Optional<Attn_CosSinType>:$cos_sin, Attn_RopeAttr:$rope);
  let results = (outs Attn_Rows:$result);
  let assemblyFormat = [{
    $input `,` $kv (`positions` $positions^)? (`cos_sin` $cos_sin^ `:` qualified(type($cos_sin)))? `,` $rope attr-dict `:` type($input) `,` qualified(type($kv))
    (`,` type($positions)^)? `->` type($result)
  }];
}

def Attn_AppendKvOp : Attn_Op<"append_kv", [MemoryEffects<[MemWrite]>, AttrSizedOperandSegments]> {
  let summary = "quantises new keys and values and writes them into the cache";
  let description = [{
    Row i becomes token len(kv) - rows + i of the sequence; where `slots` is given and its caller passes a
    non-null array, it goes to slot slots[i] = page * page_size + offset instead, and -1 writes nothing. The
    only op that writes. `value` is absent when the values are a part of the keys.

    (C1) keys and values have the type's heads and dims, and one number of rows. (C2) unless the cache is quantised,
    their element type is the cache's. (C3) `value` is absent exactly when the type's values are a
    part of its keys. (C4) there is one slot per row.

    Example:
    ```mlir
    attn.append_kv %k, %v, %kv : tensor<?x8x4xbf16>, tensor<?x8x4xbf16>,
        !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>
    ```

    Consumed by `--convert-attn-to-tile`.
  }];
  let arguments = (ins Attn_Rows:$key, Optional<Attn_Rows>:$value, Attn_PagedKvType:$kv, Optional<Attn_Index>:$slots);
  let assemblyFormat = [{
    custom<AppendOperands>($key, $value, $kv) (`slots` $slots^)? attr-dict `:`
    custom<AppendTypes>(type($key), type($value), type($kv)) (`:` type($slots)^)?
  }];
}

def Attn_DenseKvOp : Attn_Op<"dense_kv", [Pure]> {
  let summary = "dense keys and values as a KV value";
  let description = [{
    (C1) keys and values have one number of rows and of heads, and those heads, dims and element types are the
    result's.

    Example:
    ```mlir
    %kv = attn.dense_kv %k, %v : tensor<?x8x128xbf16>, tensor<?x8x128xbf16> -> !attn.contiguous_kv<kv_heads = 8, key = 128 x bf16, value = 128 x bf16>
    ```

    Made by `--attn-fuse-attention` from linalg.
  }];
  let arguments = (ins Attn_Rows:$key, Attn_Rows:$value);
  let results = (outs Attn_ContiguousKvType:$kv);
  let assemblyFormat = [{
    $key `,` $value attr-dict `:` type($key) `,` type($value) `->` qualified(type($kv))
  }];
}

//===----------------------------------------------------------------------===//
// The unfused chain
//===----------------------------------------------------------------------===//

def Attn_ReadKvOp : Attn_Op<"read_kv", [MemoryEffects<[MemRead]>]> {
  let summary = "the sequence's keys and values as dense tensors";
  let description = [{
    `key[j,h,d]` and `value[j,h,d]` of the sequence's tokens in order, dequantised. Unfused form only:
    it is never materialised.

    (C1) heads and dims of the results are the type's. (C2) keys and values have one number of rows.

    Example:
    ```mlir
    %k, %v = attn.read_kv %kv : !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>
        -> tensor<?x8x4xbf16>, tensor<?x8x4xbf16>
    ```

    Consumed by `--attn-fuse-attention`; a read of a `dense_kv` folds to its operands.
  }];
  let arguments = (ins Attn_Kv:$kv);
  let results = (outs Attn_Rows:$key, Attn_Rows:$value);
  let assemblyFormat = "$kv attr-dict `:` qualified(type($kv)) `->` type($key) `,` type($value)";
  let hasFolder = 1;
}

def Attn_ScoresOp : Attn_Op<"scores", [Pure]> {
  let summary = "scaled products of queries and keys";
  let description = [{
    s[h,i,j] = scale * sum_d query[i,h,d] * key[j,h/group,d] in f32, group = query heads / kv heads.

    (C1) queries and keys have one dim and element type. (C2) the query heads are a multiple of the kv
    heads. (C3) the result is [query heads, rows, keys]. (C4) `scale` is positive and finite.

    Example:
    ```mlir
    %s = attn.scores %q, %k scale 0.0883883 : tensor<?x32x128xbf16>, tensor<?x8x128xbf16> -> tensor<32x?x?xf32>
    ```

    Consumed by `--attn-fuse-attention`.
  }];
  let arguments = (ins Attn_Rows:$query, Attn_Rows:$key, F64Attr:$scale);
  let results = (outs Attn_ScoresTensor:$result);
  let assemblyFormat = "$query `,` $key `scale` $scale attr-dict `:` type($query) `,` type($key) `->` type($result)";
}

def Attn_SoftcapOp : Attn_Op<"softcap", [Pure, SameOperandsAndResultType]> {
  let summary = "soft bound of the scores";
  let description = [{
    t = cap * tanh(s / cap); it stands before bias and mask.

    (C1) `cap` is positive and finite.

    Example:
    ```mlir
    %t = attn.softcap %s cap 50.0 : tensor<32x?x?xf32>
    ```

    Consumed by `--attn-fuse-attention`.
  }];
  let arguments = (ins Attn_ScoresTensor:$scores, F64Attr:$cap);
  let results = (outs Attn_ScoresTensor:$result);
  let assemblyFormat = "$scores `cap` $cap attr-dict `:` type($scores)";
}

def Attn_BiasOp : Attn_Op<"bias", [Pure, AllTypesMatch<["scores", "result"]>]> {
  let summary = "adds a bias to the scores";
  let description = [{
    `alibi`: t[h,i,j] = s[h,i,j] + bias[h] * (j - p_i) with p_i = keys - rows + i. `given`:
    t[h,i,j] = s[h,i,j] + bias[h,i,j], where an extent 1 of the bias stands for every index.

    (C1) an `alibi` bias is [heads]. (C2) a `given` bias has the scores' extents or 1.

    Example:
    ```mlir
    %t = attn.bias %s alibi %slopes : tensor<32x?x?xf32>, tensor<32xf32>
    ```

    Consumed by `--attn-fuse-attention`.
  }];
  let arguments = (ins Attn_ScoresTensor:$scores, RankedTensorOf<[F32]>:$bias, Attn_BiasKindAttr:$kind);
  let results = (outs Attn_ScoresTensor:$result);
  let assemblyFormat = "$scores $kind $bias attr-dict `:` type($scores) `,` type($bias)";
}

def Attn_MaskOp : Attn_Op<"mask", [Pure, SameOperandsAndResultType]> {
  let summary = "excludes keys";
  let description = [{
    t[h,i,j] = s[h,i,j] where `#attn.mask` keeps key j for the row's position keys - rows + i, else -inf.

    (C1) the number of keys is not below the number of rows where both are static.

    Example:
    ```mlir
    %t = attn.mask %s, <causal, window = 4096> : tensor<32x?x?xf32>
    ```

    `none` folds away; a mask of a mask becomes one where their terms can be joined. Consumed by
    `--attn-fuse-attention`.
  }];
  let arguments = (ins Attn_ScoresTensor:$scores, Attn_MaskAttr:$mask);
  let results = (outs Attn_ScoresTensor:$result);
  let assemblyFormat = "$scores `,` $mask attr-dict `:` type($scores)";
  let hasFolder = 1;
}

def Attn_SoftmaxOp : Attn_Op<"softmax", [Pure]> {
  let summary = "rows of scores to probabilities and log-sum-exp";
  let description = [{
    With m = max_j s[h,i,j] and z = sum_j exp(s[h,i,j] - m) (+ exp(sinks[h] - m)):
    p[h,i,j] = exp(s[h,i,j] - m) / z in f32 and log_sum_exp[i,h] = m + ln z. A row whose scores are all -inf
    gives p = 0 and -inf (with a sink: p = 0 and the sink).

    (C1) scores and probabilities have one type. (C2) the log-sum-exp is [rows, heads], as outputs are. (C3) there is one sink
    per head.

    Example:
    ```mlir
    %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
    ```

    Consumed by `--attn-fuse-attention`.
  }];
  let arguments = (ins Attn_ScoresTensor:$scores, Optional<Attn_PerHead>:$sinks);
  let results = (outs Attn_ScoresTensor:$probabilities, Attn_StatisticsTensor:$log_sum_exp);
  let assemblyFormat = [{
    $scores (`sinks` $sinks^)? attr-dict `:` type($scores) (`,` type($sinks)^)? `->` type($probabilities) `,`
    type($log_sum_exp)
  }];
}

def Attn_WeightedSumOp : Attn_Op<"weighted_sum", [Pure]> {
  let summary = "values summed with the probabilities";
  let description = [{
    o[i,h,d] = sum_j p[h,i,j] * value[j,h/group,d]: p is rounded to the values' type first, sums are f32, the
    result is rounded once.

    (C1) the heads of p are a multiple of the values' heads. (C2) p has one column per value row. (C3) the result is
    [rows, heads of p, dim].

    Example:
    ```mlir
    %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x128xbf16> -> tensor<?x32x128xbf16>
    ```

    `--attn-fuse-attention` starts here.
  }];
  let arguments = (ins Attn_ScoresTensor:$probabilities, Attn_Rows:$value);
  let results = (outs Attn_Rows:$result);
  let assemblyFormat = "$probabilities `,` $value attr-dict `:` type($probabilities) `,` type($value) `->` type($result)";
}

//===----------------------------------------------------------------------===//
// The fused form
//===----------------------------------------------------------------------===//

def Attn_AttentionOp : Attn_Op<"attention", [MemoryEffects<[MemRead]>, AttrSizedOperandSegments]> {
  let summary = "everything from read_kv to weighted_sum";
  let description = [{
    scores, then softcap, then bias, then mask, then softmax (with sinks), then weighted_sum, with the
    precisions of those ops. Without `split` the results are the output [rows, heads, dim of V] and the
    log-sum-exp [rows, heads], natural, -inf for a row that sees no key, whose output is 0. With `split` the
    one result holds the partial results of every split.

    (C1) the query has the keys' dim and, unless the cache is quantised, their element type. (C2) the query heads are a multiple of
    the kv heads. (C3) without `split`: the output is [rows, query heads, value dim] and the log-sum-exp
    [rows, query heads]. (C4) with `split`: partials of the query heads, their group and the value dim, and no
    log-sum-exp. (C5) sinks are one per query head; `bias_kind` and `bias` come together; an `alibi` bias is
    one per query head. (C6) the schedule's split, if any, is `split`.

    Example:
    ```mlir
    %o, %lse = attn.attention %q, %kv scores(<scale = 0.0883883>) mask(<causal>)
        : tensor<?x32x4xbf16>, !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>
        -> tensor<?x32x4xbf16>, tensor<?x32xf32>
    ```

    Made by `--attn-fuse-attention`, consumed by `--convert-attn-to-tile`.
  }];
  let arguments = (ins Attn_Rows:$query, Attn_Kv:$kv, Optional<RankedTensorOf<[F32]>>:$bias, Optional<Attn_PerHead>:$sinks,
    Attn_ScoresAttr:$scores, Attn_MaskAttr:$mask, OptionalAttr<Attn_BiasKindAttr>:$bias_kind,
    OptionalAttr<Attn_SplitAttr>:$split, OptionalAttr<Attn_ScheduleAttr>:$schedule);
  let results = (outs AnyTypeOf<[Attn_Rows, Attn_PartialsType]>:$output, Optional<Attn_StatisticsTensor>:$log_sum_exp);
  let assemblyFormat = [{
    $query `,` $kv (`bias` $bias_kind^ $bias `:` type($bias))? (`sinks` $sinks^ `:` type($sinks))? `scores` `(` $scores `)` `mask` `(` $mask `)`
    (`split` `(` $split^ `)`)? (`schedule` `(` $schedule^ `)`)? attr-dict `:` type($query) `,` qualified(type($kv))
    `->` qualified(type($output)) (`,` type($log_sum_exp)^)?
  }];
  let extraClassDeclaration = [{
    /// Heads and dims of the KV type, paged or dense.
    ::attncc::attn::KvShape getKvShape();
  }];
}

def Attn_MergeOp : Attn_Op<"merge", [Pure]> {
  let summary = "joins the results of splits";
  let description = [{
    With lse = ln sum_s exp(lse_s): o = sum_s exp(lse_s - lse) * o_s over the splits of all operands in index
    order, first to last, in f32 and rounded once; an empty split has weight 0, and with no weight at all o = 0
    and lse = -inf. The result is the output and the log-sum-exp, or partials again: a tree of merges.

    `split` is the rule by which the partials were made: the merge learns the number of splits from it.

    (C1) all partials have one type. (C2) the output is [rows, heads, dim] and the log-sum-exp [rows, heads] of the
    partials; or the result is of the partials' type, without log-sum-exp.

    Example:
    ```mlir
    %o, %lse = attn.merge %parts : !attn.partials<heads = 32, group = 4, dim = 128> -> tensor<?x32x128xbf16>, tensor<?x32xf32>
    ```

    A merge of one operand to partials folds away. Made by `--attn-split-kv`, consumed by `--convert-attn-to-tile`.
  }];
  let arguments = (ins Variadic<Attn_PartialsType>:$partials, OptionalAttr<Attn_SplitAttr>:$split);
  let results = (outs AnyTypeOf<[Attn_Rows, Attn_PartialsType]>:$output, Optional<Attn_StatisticsTensor>:$log_sum_exp);
  let assemblyFormat = [{
    $partials (`split` `(` $split^ `)`)? attr-dict `:` qualified(type($partials)) `->` qualified(type($output)) (`,` type($log_sum_exp)^)?
  }];
  let hasFolder = 1;
}

def Attn_MergeStatesOp : Attn_Op<"merge_states", [Pure]> {
  let summary = "joins attention states that the caller gives";
  let description = [{
    As `attn.merge`, over the parts of `states` in index order: with lse = ln sum_s exp(lse_s),
    o = sum_s exp(lse_s - lse) * o_s in f32 and rounded once. The output of a part without keys is not read.
    With no keys at all o = 0 and lse = -inf.

    (C1) the output is [rows, heads, dim] of the states' type and the log-sum-exp [rows, heads].

    Example:
    ```mlir
    %o, %lse = attn.merge_states %states : !attn.states<parts = 16, heads = 32, dim = 128, type = bf16>
        -> tensor<?x32x128xbf16>, tensor<?x32xf32>
    ```

    Consumed by `--convert-attn-to-tile`.
  }];
  let arguments = (ins Attn_StatesType:$states);
  let results = (outs Attn_Rows:$output, Attn_StatisticsTensor:$log_sum_exp);
  let assemblyFormat = [{
    $states attr-dict `:` qualified(type($states)) `->` type($output) `,` type($log_sum_exp)
  }];
}

#endif // ATTNCC_ATTN_OPS_TD
