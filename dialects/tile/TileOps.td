//===- TileOps.td - programs, work items and key ranges ----------*- tablegen -*-===//
//
// The frame of a tile program: the kernel, the loop over the items that a block
// receives, and the key tiles that an item's units visit.
//
// Tests: test/dialects/tile/program.mlir, test/dialects/tile/program-errors.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TILE_OPS_TD
#define ATTNCC_TILE_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Tile_Op<string opMnemonic, list<Trait> traits = []>
    : Op<Tile_Dialect, opMnemonic, traits>;

def Tile_KernelOp : Tile_Op<"kernel", [FunctionOpInterface, IsolatedFromAbove, Symbol,
                                       AutomaticAllocationScope]> {
  let summary = "one kernel: what one thread block does";
  let description = [{
    Arguments are flattened to launch parameters in order: a rank-3 tensor [tokens, heads, dim]
    gives pointer, token stride, head stride; a rank-2 f32 tensor [tokens, heads] the same, and its
    pointer may be null; a rank-1 tensor of static length one pointer; `tensor<?xi64>` one pointer
    that may be null; `!attn.paged_kv`, `!attn.cos_sin`, `!attn.states`, `!tile.batch` and
    `!tile.workspace` their groups; f32 itself. There is no grid and there are no threads: `schedule` says how many units of how many
    warps.

    (C1) No results. (C2) Arguments are of the types above. (C3) Rank-3 tensors have a static inner
    dimension. (C4) At most one batch or `!attn.states`, and one workspace.

    `shared_memory` is set by `--tile-pack-shared-memory`: bytes per block.

    Example:
    ```mlir
    tile.kernel @merge(%workspace: !tile.workspace, %batch: !tile.batch,
                       %out: tensor<?x?x64xbf16>, %lse: tensor<?x?xf32>)
        attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<merge>} {
      tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
        %r, %l = tile.merge_splits %workspace[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
        tile.store_merged %r, %l, %out, %lse[%item]
            : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>, tensor<?x?x64xbf16>
      }
      tile.return
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       Tile_ScheduleAttr:$schedule, Tile_PhaseAttr:$phase,
                       OptionalAttr<I32Attr>:$shared_memory,
                       OptionalAttr<DictArrayAttr>:$arg_attrs,
                       OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region AnyRegion:$body);
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::FunctionType":$type,
                                 "::attncc::attn::ScheduleAttr":$schedule,
                                 "::attncc::attn::PhaseAttr":$phase)>];
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    /// The argument that items are drawn from, of type !tile.batch or !attn.states, or null.
    ::mlir::Value getSource();
  }];
}

def Tile_ReturnOp : Tile_Op<"return", [Pure, Terminator, ReturnLike, HasParent<"KernelOp">]> {
  let summary = "the end of a kernel";
  let description = [{Example: see `tile.kernel`.}];
  let assemblyFormat = "attr-dict";
}

def Tile_WorkLoopOp : Tile_Op<"work_loop", [
    RecursiveMemoryEffects, SingleBlockImplicitTerminator<"YieldOp">,
    DeclareOpInterfaceMethods<RegionBranchOpInterface>]> {
  let summary = "the body is run for every work item that this block receives";
  let description = [{
    Every unit of the block runs the body for the same item; `unit` is its number, 0 to units − 1
    of the schedule. An item of kind `merge` or `merge_states` is a unit's own: unit u receives item
    x·units + u. Of a `prefill` item each unit has its own rows. Sequences with more query tokens than
    the phase's `max_query` are prefill's and all others decode's.
    Empty items (a chunk without rows, a split past the sequence's end) are not received.
    `--tile-persist` replaces the loop by what draws the items.

    (C1) The body takes an item and an index. (C2) The source is the kernel's argument: the states
    for items of kind `merge_states`, else the batch. (C3) `decode`: the schedule's units divide the
    keys; `prefill`: the rows.

    Example: see `tile.kernel`.
  }];
  let arguments = (ins Tile_Source:$source, Tile_ItemsAttr:$items);
  let regions = (region SizedRegion<1>:$body);
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::mlir::Value":$source, "ItemsAttr":$items)>];
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::BlockArgument getItem() { return getBody().getArgument(0); }
    ::mlir::BlockArgument getUnit() { return getBody().getArgument(1); }
  }];
}

def Tile_YieldOp : Tile_Op<"yield", [Pure, Terminator, ReturnLike, HasParent<"WorkLoopOp">]> {
  let summary = "the end of a work item";
  let description = [{Example: see `tile.kernel`; it is not printed.}];
  let assemblyFormat = "attr-dict";
}

def Tile_RolesOp : Tile_Op<"roles", [RecursiveMemoryEffects, NoTerminator, NoRegionArguments,
                                     SingleBlock, HasParent<"KernelOp">]> {
  let summary = "what warps of different roles do at the same time";
  let description = [{
    Each `load` region is run by one warp, which fills rings; `compute` is run by the units and reads
    them. All receive the same items, in one order: the first `load` region draws them for all, the
    others copy keys and values. They meet in rings only: what a region uses from outside are
    constants, arguments and rings, and a ring is filled by one `load` region or by its unit.

    (C1) There are 1 to 4 `load` regions.

    Example:
    ```mlir
    tile.roles load {
      tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {}
    }, {
      tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) { … tile.commit %k[%p] … }
    }, {
      tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) { … tile.commit %v[%p] … }
    } compute {
      tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) { … tile.wait %k[%p] … }
    }
    ```

    Made by `--tile-assign-roles`.
  }];
  let regions = (region SizedRegion<1>:$compute, VariadicRegion<SizedRegion<1>>:$loads);
  let assemblyFormat = "`load` $loads `compute` $compute attr-dict";
  let hasVerifier = 1;
}

def Tile_GridItemOp : Tile_Op<"grid_item", [MemoryEffects<[MemRead]>]> {
  let summary = "the item that the block's place in the grid selects";
  let description = [{
    `valid` is false where the item is empty: a chunk without rows, a split past the sequence's end,
    a unit past the last row of a merge. A launch of `--tile-persist` with `work = grid`.

    (C1) The source is the kernel's argument, as of `tile.work_loop`.

    Example:
    ```mlir
    %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
    scf.if %valid { … }
    ```
  }];
  let arguments = (ins Tile_Source:$source, Tile_ItemsAttr:$items);
  let results = (outs Tile_Item:$item, Index:$unit, I1:$valid);
  let assemblyFormat = [{
    custom<Source>($source, type($source)) `items` `(` $items `)` attr-dict
  }];
  let hasVerifier = 1;
}

def Tile_DrawItemOp : Tile_Op<"draw_item", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "the next item of a block that stays for many";
  let description = [{
    `cursor` counts the places that the block has had so far, from 0; `next` is the cursor for the
    draw behind this one. Places without an item are passed over. `valid` is false where none is
    left; a block draws until then. The schedule's `work` says how places are dealt. `static`: to the
    blocks of the grid forth and back, so that a block whose item was the longest of a round has the
    shortest of the next. `atomic`: a block's first place is its own number, the others are counted
    by all blocks together, in the workspace. The item is that of the block's first unit.

    Blocks of three units or more have evenly divided chunks, where these need not end with a tile of
    keys under a causal mask: the first chunks of a sequence have one unit's rows fewer, none a single
    one, and there are as many as fill the last round of blocks, if these have more than two. A
    row's result does not depend on its chunk.

    (C1) The source is the kernel's argument, as of `tile.work_loop`. (C2) Items of `prefill`.

    Example:
    ```mlir
    %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(<prefill, group = 4>)
    ```

    Of `--tile-persist`, in the role that draws for all.
  }];
  let arguments = (ins Tile_Source:$source, Index:$cursor, Tile_ItemsAttr:$items);
  let results = (outs Tile_Item:$item, Index:$unit, I1:$valid, Index:$next);
  let assemblyFormat = [{
    custom<Source>($source, type($source)) `[` $cursor `]` `items` `(` $items `)` attr-dict
  }];
  let hasVerifier = 1;
}

def Tile_KeyRangeOp : Tile_Op<"key_range", [Pure]> {
  let summary = "the key tiles that a unit visits for an item";
  let description = [{
    Tiles of `keys` keys, numbered from the sequence's first key. The range covers every tile of the
    item's key interval [begin, end) that any of the item's rows may see under `mask`.
    Units that divide the keys divide the tiles: with `first` the interval's first tile, unit u of U
    visits first + u, first + u + U, … Units that divide the rows all visit the tiles that any of
    them may see, from the last one, which the mask's edge crosses, to the first. A range may be
    empty.

    (C1) `keys` is a positive multiple of 16.

    Example: `%range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16}`

    Consumed by `--tile-peel-masks` and the conversion.
  }];
  let arguments = (ins Tile_Item:$item, Index:$unit, Tile_MaskAttr:$mask, I64Attr:$keys);
  let results = (outs Tile_Range:$range);
  let assemblyFormat = "$item `,` $unit `mask` `(` $mask `)` attr-dict";
  let hasVerifier = 1;
}

def Tile_ItemSplitsOp : Tile_Op<"item_splits", [Pure]> {
  let summary = "how many splits of its sequence an item takes";
  let description = [{
    Consecutive ones, at least one, of which all but the last are whole: one, spans of four, or all
    of the sequence. With the schedule's `merge = kernel` always one.

    (C1) The item is a decode item.

    Example: `%n = tile.item_splits %item`
  }];
  let arguments = (ins Tile_Item:$item);
  let results = (outs Index:$count);
  let assemblyFormat = "$item attr-dict";
  let hasVerifier = 1;
}

def Tile_SplitTilesOp : Tile_Op<"split_tiles", [Pure]> {
  let summary = "how many tiles each unit visits of a whole split";
  let description = [{
    Of `keys` keys, where the units divide the keys and the schedule's split lengths are multiples
    of the keys of all units.

    (C1) `keys` is a positive multiple of 16. (C2) The item is a decode item.

    Example: `%n = tile.split_tiles %item {keys = 16}`
  }];
  let arguments = (ins Tile_Item:$item, I64Attr:$keys);
  let results = (outs Index:$count);
  let assemblyFormat = "$item attr-dict";
  let hasVerifier = 1;
}

def Tile_RangeCountOp : Tile_Op<"range_count", [Pure]> {
  let summary = "how many tiles a range has";
  let description = [{Example: `%n = tile.range_count %range`}];
  let arguments = (ins Tile_Range:$range);
  let results = (outs Index:$count);
  let assemblyFormat = "$range attr-dict";
}

def Tile_RangeEdgesOp : Tile_Op<"range_edges", [Pure]> {
  let summary = "how many tiles at the beginning of a range need a mask";
  let description = [{
    Every row of the unit sees every key of the tiles behind these, and where units copy the tiles
    together, every row of the others. Where units divide the keys every tile is counted.

    Example: `%n = tile.range_edges %range`
  }];
  let arguments = (ins Tile_Range:$range);
  let results = (outs Index:$count);
  let assemblyFormat = "$range attr-dict";
}

def Tile_RangeSkippedOp : Tile_Op<"range_skipped", [Pure]> {
  let summary = "how many tiles at the beginning of a range none of the unit's rows sees";
  let description = [{
    Of those that units share: the others' rows see more. At most `limit`, and never all tiles of the
    range.

    (C1) `limit` is positive.

    Example: `%n = tile.range_skipped %range {limit = 3}`
  }];
  let arguments = (ins Tile_Range:$range, I64Attr:$limit);
  let results = (outs Index:$count);
  let assemblyFormat = "$range attr-dict";
  let hasVerifier = 1;
}

def Tile_RangeIdleOp : Tile_Op<"range_idle", [Pure]> {
  let summary = "how many tiles of a range a unit passes without a row of the item: all or none";
  let description = [{
    Of units that divide the rows, the last ones have none where the item's end before the block's.
    Units that divide the keys all have the item's rows.

    Example: `%n = tile.range_idle %range`
  }];
  let arguments = (ins Tile_Range:$range);
  let results = (outs Index:$count);
  let assemblyFormat = "$range attr-dict";
}

def Tile_KeyTileOp : Tile_Op<"key_tile", [Pure]> {
  let summary = "the number of the j-th tile of a range";
  let description = [{
    Tile t holds the keys t·keys … t·keys + keys − 1. Arithmetic only: an index past the range's end
    gives the number that a longer range would have there.

    Example: `%t = tile.key_tile %range[%j]`
  }];
  let arguments = (ins Tile_Range:$range, Index:$index);
  let results = (outs Index:$tile);
  let assemblyFormat = "$range `[` $index `]` attr-dict";
}

#endif // ATTNCC_TILE_OPS_TD
