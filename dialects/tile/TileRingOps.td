//===- TileRingOps.td - rings and asynchronous copies ------------*- tablegen -*-===//
//
// Overlap: a ring is a bounded FIFO of shared-memory slots. Its first station
// acquires a slot, starts copies into it and commits; its last waits until they
// have landed, reads, and releases. Made by --tile-pipeline and --tile-prefetch.
//
// Tests: test/dialects/tile/rings.mlir, test/dialects/tile/rings-errors.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TILE_RING_OPS_TD
#define ATTNCC_TILE_RING_OPS_TD

include "dialects/tile/TileOps.td"

def Tile_RingResource : Resource<"::attncc::tile::RingResource">;

def Tile_RingOp : Tile_Op<"ring"> {
  let summary = "a ring of shared-memory slots";
  let description = [{
    `offset` is the ring's place in the block's shared memory, in bytes, and `barriers`, of a ring
    that tensor copies or a role fill, the place of its mbarriers: one a slot that says when it is
    full and, where a role fills the ring, behind these one a slot that says when it is empty and,
    with tensor copies, one that says when a tile of which rows become zero has landed. Set by
    `--tile-pack-shared-memory`.

    (C1) `offset` is a multiple of 128 and not negative. (C2) `barriers` is a multiple of 8 and not
    negative.

    Example: `%r = tile.ring : !tile.ring<3 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>`
  }];
  let arguments = (ins OptionalAttr<I32Attr>:$offset, OptionalAttr<I32Attr>:$barriers);
  let results = (outs Res<Tile_Ring, "", [MemAlloc<Tile_RingResource>]>:$ring);
  let assemblyFormat = "attr-dict `:` type($ring)";
  let hasVerifier = 1;
}

def Tile_PositionOp : Tile_Op<"position", [Pure]> {
  let summary = "the first position of a ring";
  let description = [{Example: `%p = tile.position`}];
  let results = (outs Tile_Position:$position);
  let assemblyFormat = "attr-dict";
}

def Tile_AdvanceOp : Tile_Op<"advance", [Pure]> {
  let summary = "the next position";
  let description = [{
    The ring is named because its depth says where the slots begin anew.

    Example: `%p1 = tile.advance %r[%p] : !tile.ring<…>`
  }];
  let arguments = (ins Tile_Ring:$ring, Tile_Position:$position);
  let results = (outs Tile_Position:$next);
  let assemblyFormat = "$ring `[` $position `]` attr-dict `:` type($ring)";
}

class Tile_StationOp<string opMnemonic, list<Trait> traits = []>
    : Tile_Op<opMnemonic, !listconcat(traits, [MemoryEffects<[
        MemRead<Tile_RingResource>, MemWrite<Tile_RingResource>]>])> {
  let arguments = (ins Tile_Ring:$ring, Tile_Position:$position);
  let assemblyFormat = "$ring `[` $position `]` attr-dict `:` type($ring)";
}

def Tile_AcquireOp : Tile_StationOp<"acquire"> {
  let summary = "waits until a slot is free, and takes it to be filled";
  let description = [{
    Slot n of a ring of depth d is free once position n − d has been released.

    Example: `%slot = tile.acquire %r[%p] : !tile.ring<…>`
  }];
  let results = (outs Tile_Slot:$slot);
}

def Tile_CommitOp : Tile_StationOp<"commit"> {
  let summary = "hands a slot over once its copies have landed";
  let description = [{
    Every acquired slot is committed, also one into which nothing was copied.

    Example: `tile.commit %r[%p] : !tile.ring<…>`
  }];
}

def Tile_WaitOp : Tile_StationOp<"wait", [DeclareOpInterfaceMethods<InferTypeOpInterface>]> {
  let summary = "waits until a slot's copies have landed, and gives its tiles";
  let description = [{
    The tiles may be read until the slot is released. `ahead` is the number of slots of the ring that
    have been committed after this one whatever the path that led here, and need not have landed.
    Until its release a slot may be waited for again: it has landed then, whatever `ahead` is.

    (C1) One result for each of the ring's tiles, of its type. (C2) `ahead` is not negative and less
    than the ring's depth.

    Example: `%k, %v = tile.wait %r[%p] {ahead = 2 : i64} : !tile.ring<…>`
  }];
  let arguments = (ins Tile_Ring:$ring, Tile_Position:$position,
                       DefaultValuedAttr<I64Attr, "0">:$ahead);
  let results = (outs Variadic<Tile_Tile>:$tiles);
  let hasVerifier = 1;
}

def Tile_ReleaseOp : Tile_StationOp<"release"> {
  let summary = "frees a slot: nothing reads it any more";
  let description = [{
    Each reading unit releases each slot once.

    Example: `tile.release %r[%p] : !tile.ring<…>`
  }];
}

class Tile_CopyOp<string opMnemonic, string what> : Tile_Op<opMnemonic, [
    AttrSizedOperandSegments,
    MemoryEffects<[MemRead, MemWrite<Tile_RingResource>]>]> {
  let summary = "starts an asynchronous copy of one tile of the item's " # what # " into a slot";
  let arguments = (ins Tile_PagedKv:$cache, Tile_Item:$item, Index:$tile,
                       Optional<Tile_Tile>:$pages, Optional<Index>:$page_index, Tile_Slot:$slot,
                       Optional<I1>:$when, DefaultValuedAttr<I64Attr, "0">:$index,
                       OptionalAttr<I64Attr>:$box, UnitAttr:$zeroed);
  let assemblyFormat = [{
    $cache `[` $item `,` $tile `]` (`pages` $pages^ `[` $page_index `]`)? `into` $slot
    (`when` $when^)? attr-dict `:` type($cache) (`,` type($pages)^)?
  }];
  let hasVerifier = 1;
}

def Tile_CopyKeysOp : Tile_CopyOp<"copy_keys", "keys"> {
  let description = [{
    Fills tile `index` of the slot with what `tile.load_keys` would give for the same item and tile.
    `pages` are entries made by `tile.page_numbers` for the same range and `page_index` is the
    tile's place among the tiles that they serve, from 0: with g = gcd(page_size, keys), groups
    page_index·keys / g … are this tile's. Without `pages` the block table is read. Where `when` is
    false nothing is copied: the slot is only counted.

    With `box` it is a tensor copy of boxes of that many tokens, each inside of one page. Rows past
    the item's last key are then undefined: whatever the page or the slot holds; with `zeroed` they
    are zero.

    (C1) `pages` is 1 × 32 of i32. (C2) `index` is a tile of the slot. It has the cache's key
    dimension and type, and the range's keys as rows. (C3) `box` is a multiple of 8 and divides the
    page size and the slot's rows.

    Example:
    ```mlir
    tile.copy_keys %kv[%item, %t] pages %pages[%i] into %slot when %in_range {index = 0 : i64}
        : !kv, !tile.tile<1x32xi32>
    ```
  }];
}

def Tile_CopyValuesOp : Tile_CopyOp<"copy_values", "values"> {
  let description = [{
    As `tile.copy_keys`, for values.

    (C1) `pages` is 1 × 32 of i32. (C2) As `tile.copy_keys`, with the cache's value
    dimension and type. (C3) As `tile.copy_keys`.

    Example: `tile.copy_values %kv[%item, %t] into %slot {index = 1 : i64} : !kv`
  }];
}

def Tile_CopyRowsOp : Tile_Op<"copy_rows", [MemoryEffects<[MemRead, MemWrite<Tile_RingResource>]>]> {
  let summary = "starts an asynchronous copy of the item's rows of a ragged tensor into a slot";
  let description = [{
    Fills the one tile of the slot with what `tile.load_rows` would give for the same item.

    (C1) The slot holds one tile, of the tensor's inner dimension and type.

    Example: `tile.copy_rows query %query[%item] into %slot : tensor<?x?x128xbf16>`
  }];
  let arguments = (ins Tile_RowKind:$kind, Tile_Tensor:$source, Tile_Item:$item, Tile_Slot:$slot);
  let assemblyFormat = [{
    $kind $source `[` $item `]` `into` $slot attr-dict `:` type($source)
  }];
  let hasVerifier = 1;
}

def Tile_PutItemOp : Tile_Op<"put_item", [MemoryEffects<[MemWrite<Tile_RingResource>]>]> {
  let summary = "writes an item, and whether it is one, into a slot";
  let description = [{
    For `tile.take_item` of other roles.

    (C1) The slot holds one tile, of 1 × 32 i32.

    Example: `tile.put_item %item, %valid into %slot`
  }];
  let arguments = (ins Tile_Item:$item, I1:$valid, Tile_Slot:$slot);
  let assemblyFormat = "$item `,` $valid `into` $slot attr-dict";
  let hasVerifier = 1;
}

def Tile_TakeItemOp : Tile_Op<"take_item", [MemoryEffects<[MemRead<Tile_RingResource>]>]> {
  let summary = "an item that another role has drawn";
  let description = [{
    What `tile.put_item` wrote into the slot that the tile lies in: the item with the unit's own rows,
    the unit's number (0 in a role that loads), and whether it is an item.

    (C1) The tile is of 1 × 32 i32 in shared memory.

    Example:
    ```mlir
    %record = tile.wait %items[%p] : !items
    %item, %unit, %valid = tile.take_item %record items(<prefill, group = 4>) : !record
    ```
  }];
  let arguments = (ins Tile_Tile:$record, Tile_ItemsAttr:$items);
  let results = (outs Tile_Item:$item, Index:$unit, I1:$valid);
  let assemblyFormat = "$record `items` `(` $items `)` attr-dict `:` type($record)";
  let hasVerifier = 1;
}

def Tile_ZeroRowsOp : Tile_Op<"zero_rows", [
    AllTypesMatch<["value", "result"]>,
    MemoryEffects<[MemRead<Tile_RingResource>, MemWrite<Tile_RingResource>]>]> {
  let summary = "a tile of a slot, with zeros in the rows past the item's last key";
  let description = [{
    Row r of tile number t is key t·rows + r. What `tile.load_values` promises and a tensor copy does
    not: a probability of 0 times an undefined value may be NaN. Scores need no such op, the mask
    replaces them.

    (C1) The tile is in shared memory. (C2) Its rows are the keys of the range that the tile number
    comes from.

    Example: `%v1 = tile.zero_rows %v[%item, %t] : !tile.tile<16x64xbf16, shared>`

    Inserted by `--tile-pipeline`, behind the wait for the copy.
  }];
  let arguments = (ins Tile_Tile:$value, Tile_Item:$item, Index:$tile);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$value `[` $item `,` $tile `]` attr-dict `:` type($value)";
  let hasVerifier = 1;
}

#endif // ATTNCC_TILE_RING_OPS_TD
