//===- TileMemoryOps.td - loads and stores -----------------------*- tablegen -*-===//
//
// Everything by which values enter and leave a tile program: rows of ragged
// tensors, paged keys and values, partial results in the workspace.
//
// Tests: test/dialects/tile/program.mlir, test/dialects/tile/memory-errors.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TILE_MEMORY_OPS_TD
#define ATTNCC_TILE_MEMORY_OPS_TD

include "dialects/tile/TileOps.td"

def Tile_LoadRowsOp : Tile_Op<"load_rows", [MemoryEffects<[MemRead]>]> {
  let summary = "the item's rows of a ragged tensor [tokens, heads, dim]";
  let description = [{
    `query`, decode or prefill item: row r is the item's row r (see `#tile.items`). `query`, append item: row r
    is query head kv_head·group + r of the item's token. `key`, `value`: one row, the kv head's row
    of the item's token. Rows that the item does not have are zero. The tile begins with the item's
    row `first_row`. `optional`: the tensor's pointer may be null, and then every row is zero.

    (C1) The tensor has rank 3 and the tile its inner dimension as columns.
    (C2) Tile and tensor have one element type. (C3) `key` and `value` give one row, row 0.
    (C4) `first_row` is not negative. (C5) `offset` is a multiple of 128 and not negative; it is the
    place of the first unit's tile in the block's shared memory, where the tile is shared, and is set
    by `--tile-pack-shared-memory`. The unit alone reads it.

    Example:
    ```mlir
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<8x64xbf16>
    ```
  }];
  let arguments = (ins Tile_RowKind:$kind, Tile_Tensor:$source, Tile_Item:$item,
                       DefaultValuedAttr<I64Attr, "0">:$first_row, UnitAttr:$optional,
                       OptionalAttr<I32Attr>:$offset);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = [{
    $kind $source `[` $item `]` attr-dict `:` type($source) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_LoadVectorOp : Tile_Op<"load_vector", [MemoryEffects<[MemRead]>]> {
  let summary = "a vector of weights";
  let description = [{
    (C1) The tensor has rank 1 and a static length; the tile has one row of that length.
    (C2) Tile and tensor have one element type.

    Example: `%w = tile.load_vector %weight : tensor<64xbf16> -> !tile.tile<1x64xbf16>`
  }];
  let arguments = (ins Tile_Tensor:$source);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$source attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_PageNumbersOp : Tile_Op<"page_numbers", [MemoryEffects<[MemRead]>]> {
  let summary = "block-table entries of the next tiles of a range, 32 at a time";
  let description = [{
    With g = gcd(page_size, keys), a tile is keys / g groups of g tokens that lie in one page each.
    Entry n is the block-table entry of the n-th group, counted from the range's tile `index` in the
    order in which the range visits its tiles; so one op serves 32·g / keys tiles. Entries of groups
    past the item's last key, and of tiles past the range's end, are 0.

    (C1) The result is 1 × 32 of i32. (C2) A tile has at most 32 groups. Checked where the range is
    made by `tile.key_range`.

    Example: `%pages = tile.page_numbers %kv, %range[%j] : !kv -> !tile.tile<1x32xi32>`
  }];
  let arguments = (ins Tile_PagedKv:$cache, Tile_Range:$range, Index:$index);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = [{
    $cache `,` $range `[` $index `]` attr-dict `:` type($cache) `->` type($result)
  }];
  let hasVerifier = 1;
}

class Tile_LoadCacheOp<string opMnemonic, string what>
    : Tile_Op<opMnemonic, [MemoryEffects<[MemRead]>]> {
  let arguments = (ins Tile_PagedKv:$cache, Tile_Item:$item, Index:$tile);
  let results = (outs Tile_Tile:$result);
  let summary = "one tile of the item's " # what # ", through the block table";
  let assemblyFormat = [{
    $cache `[` $item `,` $tile `]` attr-dict `:` type($cache) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_LoadKeysOp : Tile_LoadCacheOp<"load_keys", "keys"> {
  let description = [{
    Row r is key tile·rows + r of the sequence, at slot (table[key / page_size], key mod page_size)
    of the cache. Rows outside the item's key interval are zero.

    (C1) The tile has the cache's key dimension and key type. (C2) Its rows are the keys of the
    range that the tile number comes from.

    Example: `%k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>`

    Consumed by `--tile-pipeline`, which makes it a copy into a ring.
  }];
}

def Tile_LoadValuesOp : Tile_LoadCacheOp<"load_values", "values"> {
  let description = [{
    As `tile.load_keys`, for values.

    (C1) The tile has the cache's value dimension and value type. (C2) As `tile.load_keys`.

    Example: `%v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>`
  }];
}

def Tile_StoreRowsOp : Tile_Op<"store_rows", [MemoryEffects<[MemWrite]>]> {
  let summary = "writes an item's rows to a ragged tensor [tokens, heads, dim]";
  let description = [{
    The inverse of `tile.load_rows`; the tile is rounded once to the tensor's element type. Rows
    that the item does not have are not written. `optional`: the tensor's pointer may be null, and
    then nothing is.

    (C1) The tensor has rank 3 and the tile its inner dimension as columns.
    (C2) `key` and `value` take one row, row 0. (C3) `first_row` is not negative.

    Example: `tile.store_rows query %y, %out[%item] : !tile.tile<8x64xf32>, tensor<?x?x64xbf16>`
  }];
  let arguments = (ins Tile_RowKind:$kind, Tile_Tile:$value, Tile_Tensor:$target,
                       Tile_Item:$item, DefaultValuedAttr<I64Attr, "0">:$first_row,
                       UnitAttr:$optional);
  let assemblyFormat = [{
    $kind $value `,` $target `[` $item `]` attr-dict `:` type($value) `,` type($target)
  }];
  let hasVerifier = 1;
}

def Tile_StoreKvOp : Tile_Op<"store_kv", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "writes the item's key and value row to the cache";
  let description = [{
    The token's slot is page·page_size + offset from the block table at the token's own index in the
    sequence, or `slots[token]` where that pointer is given; slot −1 writes nothing. Keys and values
    are rounded once to the cache's types.

    (C1) One row each, of the cache's key and value dimension and of float types. (C2) The item is
    an append item.

    Example:
    ```mlir
    tile.store_kv %k, %v, %kv[%item] slots %slots
        : !tile.tile<1x64xf32>, !tile.tile<1x64xbf16>, !kv
    ```
  }];
  let arguments = (ins Tile_Tile:$key, Tile_Tile:$value, Tile_PagedKv:$cache, Tile_Item:$item,
                       Optional<Tile_PerToken>:$slots);
  let assemblyFormat = [{
    $key `,` $value `,` $cache `[` $item `]` (`slots` $slots^)? attr-dict
    `:` type($key) `,` type($value) `,` type($cache)
  }];
  let hasVerifier = 1;
}

def Tile_StoreAttentionOp : Tile_Op<"store_attention", [MemoryEffects<[MemWrite]>]> {
  let summary = "writes an item's attention, if the item has all of it";
  let description = [{
    A prefill item, or one that takes all splits of its sequence, writes rows to `output` (rounded once
    to its element type) and their log-sum-exps to `log_sum_exp`, unless that pointer is null. Of any
    other item `tile.store_partial` has written what there is. Padding rows are not written. `through` is a tile of the unit's own slot that nothing reads any more: the result takes its
    place, so that whole rows leave from there.

    (C1) `value` is f32, its columns the output's inner dimension. (C2) `lse` is f32 with one column
    and the rows of `value`. (C3) The item is a decode or a prefill item, with `through` a prefill item.
    (C4) `through` is a shared tile of the output's element type, as large as `value`.

    Example:
    ```mlir
    tile.store_attention %r, %lse, %out, %lse_out[%item]
        : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16>
    tile.store_attention %r, %lse, %out, %lse_out[%item] through %q
        : !tile.tile<64x64xf32>, !tile.tile<64x1xf32>, tensor<?x?x64xbf16>
          through !tile.tile<64x64xbf16, shared>
    ```
  }];
  let arguments = (ins Tile_Tile:$value, Tile_Tile:$lse, Tile_Tensor:$output,
                       Tile_LogSumExp:$log_sum_exp, Tile_Item:$item, Optional<Tile_Tile>:$through);
  let assemblyFormat = [{
    $value `,` $lse `,` $output `,` $log_sum_exp `[` $item `]` (`through` $through^)?
    attr-dict `:` type($value) `,` type($lse) `,` type($output) (`through` type($through)^)?
  }];
  let hasVerifier = 1;
}

def Tile_StorePartialOp : Tile_Op<"store_partial", [MemoryEffects<[MemWrite]>]> {
  let summary = "writes what an item has of a sequence that has other items, too";
  let description = [{
    Rows in f32 and their log-sum-exps in units of log2 of the item's splits from number `split` on,
    counted from 0, to that split's place in the workspace, without padding rows: of a span, or of an
    item's only split. An item that takes all splits writes nothing.

    (C1) `value` is f32, R × C, `lse` f32, R × 1. (C2) The item is a decode item.

    Example:
    ```mlir
    tile.store_partial %r, %lse, %workspace[%item, %s] : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>
    ```
  }];
  let arguments = (ins Tile_Tile:$value, Tile_Tile:$lse, Tile_Workspace:$workspace, Tile_Item:$item,
                       Index:$split);
  let assemblyFormat = [{
    $value `,` $lse `,` $workspace `[` $item `,` $split `]` attr-dict `:` type($value) `,` type($lse)
  }];
  let hasVerifier = 1;
}

def Tile_MergeSplitsOp : Tile_Op<"merge_splits", [MemoryEffects<[MemRead]>]> {
  let summary = "the sum of one row's splits, in index order";
  let description = [{
    Adds the partial rows in the workspace as decode's items add splits, so that it does not matter
    which of them did: with `tile.add_split`, four splits to a span, then the normalized spans; a
    partial of an item that took spans is one. Then value = o / l and lse = ln 2·(m + log2 l). If all
    splits are empty the value is 0 and lse −inf. A sequence whose splits one item takes has no merge
    item.

    (C1) One row of f32. (C2) `lse` is 1 × 1 of f32. (C3) The item is a merge item.

    Example:
    ```mlir
    %r, %lse = tile.merge_splits %workspace[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
    ```
  }];
  let arguments = (ins Tile_Workspace:$workspace, Tile_Item:$item);
  let results = (outs Tile_Tile:$result, Tile_Tile:$lse);
  let assemblyFormat = [{
    $workspace `[` $item `]` attr-dict `:` type($result) `,` type($lse)
  }];
  let hasVerifier = 1;
}

def Tile_MergeStatesOp : Tile_Op<"merge_states", [MemoryEffects<[MemRead]>]> {
  let summary = "the weighted sum of one row's states, in index order";
  let description = [{
    As `tile.merge_splits`, over the parts that the launch gives: rows r_i of the states' type and f32
    log-sum-exps e_i, in base e or 2. A part whose log-sum-exp is infinite is empty: it has weight 0
    and its row is not read. `lse` is natural. Every lane has read its row's parts before any goes on,
    so that the result may replace one of them.

    (C1) One row of f32 with the states' dim as columns. (C2) `lse` is 1 × 1 of f32. (C3) The item is
    a merge_states item.

    Example:
    ```mlir
    %r, %lse = tile.merge_states %states[%item]
        : !attn.states<…> -> !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
    ```
  }];
  let arguments = (ins Tile_States:$states, Tile_Item:$item);
  let results = (outs Tile_Tile:$result, Tile_Tile:$lse);
  let assemblyFormat = [{
    $states `[` $item `]` attr-dict `:` type($states) `->` type($result) `,` type($lse)
  }];
  let hasVerifier = 1;
}

def Tile_StoreMergedOp : Tile_Op<"store_merged", [MemoryEffects<[MemWrite]>]> {
  let summary = "writes a merged row; of splits, if its sequence has more than one";
  let description = [{
    (C1) `value` is one row of f32, its columns the output's inner dimension. (C2) `lse` is 1 × 1 of
    f32. (C3) The item is a merge or a merge_states item.

    Example: see `tile.kernel`.
  }];
  let arguments = (ins Tile_Tile:$value, Tile_Tile:$lse, Tile_Tensor:$output,
                       Tile_LogSumExp:$log_sum_exp, Tile_Item:$item);
  let assemblyFormat = [{
    $value `,` $lse `,` $output `,` $log_sum_exp `[` $item `]` attr-dict
    `:` type($value) `,` type($lse) `,` type($output)
  }];
  let hasVerifier = 1;
}

#endif // ATTNCC_TILE_MEMORY_OPS_TD
