//===- TileValueOps.td - arithmetic on tiles ---------------------*- tablegen -*-===//
//
// Products, masks, the online softmax, and what append does to a row. All are
// functions of their operands.
//
// Tests: test/dialects/tile/program.mlir, test/dialects/tile/values-errors.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TILE_VALUE_OPS_TD
#define ATTNCC_TILE_VALUE_OPS_TD

include "dialects/tile/TileOps.td"

def Tile_ProductResource : Resource<"::attncc::tile::ProductResource">;

def Tile_ZeroOp : Tile_Op<"zero", [Pure]> {
  let summary = "a tile of zeros";
  let description = [{Example: `%o = tile.zero : !tile.tile<8x64xf32>`}];
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}

def Tile_MatmulOp : Tile_Op<"matmul", [Pure]> {
  let summary = "a matrix product, accumulated in f32";
  let description = [{
    result = lhs · rhs (+ accumulator), or lhs · rhsᵀ with `transpose_b`.

    (C1) lhs is M × K, rhs K × N (N × K with `transpose_b`), result and accumulator M × N.
    (C2) lhs and rhs have one element type. (C3) Result and accumulator are f32, in registers and of
    one type.

    Example:
    ```mlir
    %s = tile.matmul %q, %k {transpose_b}
        : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16>) -> !tile.tile<8x16xf32>
    ```

    Layouts of both operands must run through the contraction index in the same order, whatever it
    is: `--tile-assign-layouts` sees to it and the conversion checks it.
  }];
  let arguments = (ins Tile_Tile:$lhs, Tile_Tile:$rhs, Optional<Tile_Tile>:$accumulator,
                       UnitAttr:$transpose_b);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs (`,` $accumulator^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Tile_MatmulIssueOp : Tile_Op<"matmul_issue", [
    MemoryEffects<[MemRead<Tile_ProductResource>, MemWrite<Tile_ProductResource>]>]> {
  let summary = "starts a matrix product";
  let description = [{
    As `tile.matmul`, but the result is there only after `tile.await`. Until then the operands stay
    as they are: a slot that one of them lies in is not released, and the accumulator has no other
    use.

    (C1), (C2), (C3) As `tile.matmul`, of the pending tile.

    Example:
    ```mlir
    %p = tile.matmul_issue %q, %k {transpose_b}
        : (!tile.tile<64x128xbf16>, !tile.tile<80x128xbf16>) -> !tile.pending<!tile.tile<64x80xf32>>
    ```
  }];
  let arguments = (ins Tile_Tile:$lhs, Tile_Tile:$rhs, Optional<Tile_Tile>:$accumulator,
                       UnitAttr:$transpose_b);
  let results = (outs Tile_Pending:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs (`,` $accumulator^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Tile_AwaitOp : Tile_Op<"await", [
    MemoryEffects<[MemRead<Tile_ProductResource>, MemWrite<Tile_ProductResource>]>]> {
  let summary = "waits for a product in flight";
  let description = [{
    `ahead` products that were started after it may still be in flight. `values` pass through: what
    is computed of the results comes after the product, so that it cannot overwrite the operands of
    the product while these are still read.

    (C1) The first result is the product's tile, the others have the types of `values`. (C2) `ahead`
    is not negative.

    Example: `%s = tile.await %p {ahead = 1} : (!tile.pending<…>) -> !tile.tile<64x80xf32>`
  }];
  let arguments = (ins Tile_Pending:$pending, Variadic<Tile_Tile>:$values,
                       DefaultValuedAttr<I64Attr, "0">:$ahead);
  let results = (outs Tile_Tile:$tile, Variadic<Tile_Tile>:$passed);
  let assemblyFormat = [{
    $pending (`with` $values^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

class Tile_TurnOp<string opMnemonic, string what> : Tile_Op<opMnemonic, [
    MemoryEffects<[MemRead<Tile_ProductResource>, MemWrite<Tile_ProductResource>]>]> {
  let summary = what;
  let assemblyFormat = "attr-dict";
}

def Tile_TakeTurnOp : Tile_TurnOp<"take_turn", "waits until it is the unit's turn to start products"> {
  let description = [{
    Units take turns in the order of their numbers, unit 0 first: while one starts its products the
    others have time for the softmax. Every unit takes the same number of turns.

    Example: `tile.take_turn`
  }];
}
def Tile_PassTurnOp : Tile_TurnOp<"pass_turn", "hands the turn to the next unit"> {
  let description = [{Example: `tile.pass_turn`}];
}

def Tile_MaskOp : Tile_Op<"mask", [Pure, AllTypesMatch<["scores", "result"]>]> {
  let summary = "−inf where a row of the item may not see a key of the tile";
  let description = [{
    Column c is key tile·columns + c. With p = kv_length − q_length + token(row) the entry stays if
    the mask keeps (p, key) and the key lies in the item's key interval; else it becomes −inf.

    (C1) The scores are f32 in registers. (C2) Their columns are the keys of the range that the tile
    number comes from.

    Example: `%s1 = tile.mask %s[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>`
  }];
  let arguments = (ins Tile_Tile:$scores, Tile_Item:$item, Index:$tile, Tile_MaskAttr:$mask);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = [{
    $scores `[` $item `,` $tile `]` `mask` `(` $mask `)` attr-dict `:` type($scores)
  }];
  let hasVerifier = 1;
}

def Tile_SoftmaxInitOp : Tile_Op<"softmax_init", [Pure]> {
  let summary = "the online softmax before the first key: maximum −1e30, sum 0";
  let description = [{
    A finite start means that rows, splits and units which see no key need no case: exp2(−inf +
    1e30) is 0.

    (C1) Both are f32 with one column and the same number of rows.

    Example: `%m, %l = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>`
  }];
  let results = (outs Tile_Tile:$maximum, Tile_Tile:$sum);
  let assemblyFormat = "attr-dict `:` type($maximum) `,` type($sum)";
  let hasVerifier = 1;
}

def Tile_SoftmaxStepOp : Tile_Op<"softmax_step", [
    Pure, AllTypesMatch<["scores", "probabilities"]>,
    AllTypesMatch<["maximum", "new_maximum", "factor"]>, AllTypesMatch<["sum", "new_sum"]>]> {
  let summary = "one step of the online softmax";
  let description = [{
    With scores s (R × C), running maximum m (R × 1, in units of log2) and running sum l, and
    c = scale · log2 e given as a value:

        m' = max(m, c·max_j s_j)    p = exp2(c·s − m')    f = exp2(m − m')    l' = l·f + Σ_j p_j

    Results are p, m', l', f; p is f32 and is rounded by `tile.convert` before the product. With
    `lazy` the maximum stays as it is, m' = m and f = 1, unless the new one exceeds it by more than
    that: p is then at most 2^lazy, and the result is as exact.

    (C1) Scores are f32, R × C; maximum and sum f32, R × 1, in registers.

    Example:
    ```mlir
    %p, %m1, %l1, %f = tile.softmax_step %s, %m, %l scale %c
        : !tile.tile<8x16xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
    ```
  }];
  let arguments = (ins Tile_Tile:$scores, Tile_Tile:$maximum, Tile_Tile:$sum, F32:$scale,
                       OptionalAttr<I64Attr>:$lazy);
  let results = (outs Tile_Tile:$probabilities, Tile_Tile:$new_maximum, Tile_Tile:$new_sum,
                      Tile_Tile:$factor);
  let assemblyFormat = [{
    $scores `,` $maximum `,` $sum `scale` $scale attr-dict
    `:` type($scores) `,` type($maximum) `,` type($sum)
  }];
  let hasVerifier = 1;
}

def Tile_RescaleOp : Tile_Op<"rescale", [Pure, AllTypesMatch<["value", "result"]>]> {
  let summary = "rows times a factor each";
  let description = [{
    `voted`: the factors are 1 more often than not, and then nothing is multiplied.

    (C1) Value f32, R × C; factor f32, R × 1.

    Example: `%o1 = tile.rescale %o, %f : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>`
  }];
  let arguments = (ins Tile_Tile:$value, Tile_Tile:$factor, UnitAttr:$voted);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$value `,` $factor attr-dict `:` type($value) `,` type($factor)";
  let hasVerifier = 1;
}

def Tile_ConvertOp : Tile_Op<"convert", [Pure]> {
  let summary = "another element type, round to nearest even";
  let description = [{
    (C1) Shapes are equal. (C2) Both element types are floats. (C3) Both are in registers.

    Example: `%pb = tile.convert %p : !tile.tile<8x16xf32> -> !tile.tile<8x16xbf16>`
  }];
  let arguments = (ins Tile_Tile:$value);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Tile_MoveOp : Tile_Op<"move", [Pure]> {
  let summary = "the same values in another layout or memory";
  let description = [{
    `scratch` is the shared-memory offset that `--tile-pack-shared-memory` gives a move which
    crosses warps.

    (C1) Shape and element type are equal.

    Example:
    ```mlir
    %b = tile.move %a
        : !tile.tile<8x16xbf16, registers, #l> -> !tile.tile<8x16xbf16, registers, #l1>
    ```
  }];
  let arguments = (ins Tile_Tile:$value, OptionalAttr<I32Attr>:$scratch);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Tile_MergeUnitsOp : Tile_Op<"merge_units", [Pure, AttrSizedOperandSegments]> {
  let summary = "combines the units that divided the keys, in unit order";
  let description = [{
    With m_u, l_u, o_u of unit u and m = max_u m_u, w_u = exp2(m_u − m):
    l = Σ_u w_u·l_u and o = Σ_u w_u·o_u, added in unit order. All units of the block take part and
    all know the result. They meet in shared memory: at the offset `scratch`, set by
    `--tile-pack-shared-memory`, or, in a loop over tiles, each in the slot of its own ring that it
    has done with, all at the same position. There they exchange only rows that the item has; others
    come as of no keys.

    (C1) Maximum and sum are f32, R × 1, value f32, R × C. (C2) Results have the operands' shapes
    and element types; layouts may differ. (C3) `ring`, `position` and `item` are given together; the
    ring is the unit's own and its slots hold 8 rows of four floats more than C each, and two for each
    row. (C4) No `scratch` beside a ring.

    Example:
    ```mlir
    %m1, %l1, %o1 = tile.merge_units %m, %l, %o
        : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
        -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
    %m1, %l1, %o1 = tile.merge_units %m, %l, %o in %ring[%p] of %item : !tile.ring<…>
        : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
        -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
    ```
  }];
  let arguments = (ins Tile_Tile:$maximum, Tile_Tile:$sum, Tile_Tile:$value,
                       Optional<Tile_Ring>:$ring, Optional<Tile_Position>:$position,
                       Optional<Tile_Item>:$item, OptionalAttr<I32Attr>:$scratch);
  let results = (outs Tile_Tile:$new_maximum, Tile_Tile:$new_sum, Tile_Tile:$new_value);
  let builders = [
    OpBuilder<(ins "mlir::Value":$maximum, "mlir::Value":$sum, "mlir::Value":$value)>
  ];
  let assemblyFormat = [{
    $maximum `,` $sum `,` $value (`in` $ring^ `[` $position `]` `of` $item `:` type($ring))? attr-dict
    `:` `(` type($maximum) `,` type($sum) `,` type($value) `)`
    `->` `(` type($new_maximum) `,` type($new_sum) `,` type($new_value) `)`
  }];
  let hasVerifier = 1;
}

def Tile_AddSplitOp : Tile_Op<"add_split", [
    Pure, AllTypesMatch<["value", "total", "new_total"]>,
    AllTypesMatch<["lse", "maximum", "sum", "new_maximum", "new_sum"]>]> {
  let summary = "adds normalized rows over other keys";
  let description = [{
    With rows r, their log-sum-exps e in units of log2, and maximum m, sum l and total o so far (from
    `tile.softmax_init` and `tile.zero` on):

        m' = max(m, e)   f = exp2(m − m')   w = exp2(e − m')   l' = l·f + w   o' = o·f + w·r

    in which o·f is rounded, and w·r added to it without. The first rows are not changed: l' = 1,
    o' = r.

    (C1) `value` is f32, R × C, `lse` f32, R × 1.

    Example:
    ```mlir
    %m1, %l1, %o1 = tile.add_split %r, %e to %m, %l, %o : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>
    ```
  }];
  let arguments = (ins Tile_Tile:$value, Tile_Tile:$lse, Tile_Tile:$maximum, Tile_Tile:$sum,
                       Tile_Tile:$total);
  let results = (outs Tile_Tile:$new_maximum, Tile_Tile:$new_sum, Tile_Tile:$new_total);
  let assemblyFormat = [{
    $value `,` $lse `to` $maximum `,` $sum `,` $total attr-dict `:` type($value) `,` type($lse)
  }];
  let hasVerifier = 1;
}

def Tile_NormalizeOp : Tile_Op<"normalize", [Pure]> {
  let summary = "the result of the online softmax and its log-sum-exp";
  let description = [{
    result = value / sum and lse = ln 2·maximum + ln sum (natural logarithm), after the final sum
    over replicas where the sum's layout is `partial`. With `log2` the log-sum-exp is in units of log2:
    maximum + log2 sum. A row with sum 0 gives 0 and −inf.

    (C1) Value f32, R × C; maximum and sum f32, R × 1. (C2) `result` has the value's shape, `lse` is
    R × 1, both f32.

    Example:
    ```mlir
    %r, %lse = tile.normalize %o, %m, %l
        : (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>)
        -> (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>)
    ```
  }];
  let arguments = (ins Tile_Tile:$value, Tile_Tile:$maximum, Tile_Tile:$sum, UnitAttr:$log2);
  let results = (outs Tile_Tile:$result, Tile_Tile:$lse);
  let assemblyFormat = [{
    $value `,` $maximum `,` $sum attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Tile_RmsNormOp : Tile_Op<"rms_norm", [Pure]> {
  let summary = "root-mean-square norm of each row, then weights";
  let description = [{
    y_rj = x_rj · w_j / √(Σ_j x_rj² / C + epsilon), in f32.

    (C1) Input R × C of a float type, weight 1 × C, result R × C of f32.
    (C2) `epsilon` is not negative.

    Example:
    ```mlir
    %y = tile.rms_norm %x weight %w {epsilon = 1.0e-6 : f64}
        : !tile.tile<8x64xbf16>, !tile.tile<1x64xbf16> -> !tile.tile<8x64xf32>
    ```
  }];
  let arguments = (ins Tile_Tile:$input, Tile_Tile:$weight, F64Attr:$epsilon);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = [{
    $input `weight` $weight attr-dict `:` type($input) `,` type($weight) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_RopeOp : Tile_Op<"rope", [MemoryEffects<[MemRead]>, AttrSizedOperandSegments]> {
  let summary = "rotates each row by its token's position";
  let description = [{
    Pair i of the first `dim` columns is turned by the angle position · inverse_frequencies[i] and
    multiplied by the attention factor: (x, y) → (x·cos − y·sin, x·sin + y·cos)·factor. `half` pairs
    column i with i + dim/2, `interleaved` 2i with 2i + 1. Columns from `dim` on stay. The position
    is kv_length − q_length + token, or `positions[token]` where that pointer is given. Where the
    launch gives the table `cos_sin`, its row at the position has cosines and sines, the factor in
    them; a position outside of it is an error of the launch, and what is turned becomes NaN.

    (C1) Input of a float type, result f32 of the same shape. (C2) The rotation's `dim` is at most
    the number of columns, and the table's. (C3) The item is an append item.

    Example:
    ```mlir
    %y = tile.rope %x[%item] rope(#attn.rope<…>) position %positions
        : !tile.tile<8x64xf32> -> !tile.tile<8x64xf32>
    ```
  }];
  let arguments = (ins Tile_Tile:$input, Tile_Item:$item, Tile_RopeAttr:$rope,
                       Optional<Tile_PerToken>:$positions, Optional<Tile_CosSin>:$cos_sin);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = [{
    $input `[` $item `]` `rope` `(` $rope `)` (`position` $positions^)?
    (`cos_sin` $cos_sin^ `:` type($cos_sin))? attr-dict
    `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif // ATTNCC_TILE_VALUE_OPS_TD
