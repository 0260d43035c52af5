//===- TileAttrs.td - attributes of the tile dialect -------------*- tablegen -*-===//
//
// Layouts, work items, and the small enumerations that ops carry.
//
// Tests: test/dialects/tile/attributes.mlir, test/dialects/tile/attributes-errors.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TILE_ATTRS_TD
#define ATTNCC_TILE_ATTRS_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

class Tile_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::attncc::tile";
  let genSpecializedAttr = 0;
}

def Tile_Memory : Tile_Enum<"Memory", "where a tile lives", [
  I32EnumAttrCase<"Registers", 0, "registers">,
  I32EnumAttrCase<"Shared", 1, "shared">
]>;

def Tile_RingScope : Tile_Enum<"RingScope", "who shares a ring", [
  I32EnumAttrCase<"Unit", 0, "unit">,
  I32EnumAttrCase<"Units", 1, "units">,
  I32EnumAttrCase<"Roles", 2, "roles">
]>;

def Tile_RowKind : Tile_Enum<"RowKind", "which rows of an item a tensor holds", [
  I32EnumAttrCase<"Query", 0, "query">,
  I32EnumAttrCase<"Key", 1, "key">,
  I32EnumAttrCase<"Value", 2, "value">
]> {
  let genSpecializedAttr = 1;
}

def Tile_ItemKind : Tile_Enum<"ItemKind", "what one work item is", [
  I32EnumAttrCase<"Decode", 0, "decode">,
  I32EnumAttrCase<"Merge", 1, "merge">,
  I32EnumAttrCase<"Append", 2, "append">,
  I32EnumAttrCase<"MergeStates", 3, "merge_states">,
  I32EnumAttrCase<"Prefill", 4, "prefill">
]>;

class Tile_Attr<string name, string attrMnemonic> : AttrDef<Tile_Dialect, name> {
  let mnemonic = attrMnemonic;
}

def Tile_ItemsAttr : Tile_Attr<"Items", "items"> {
  let summary = "how a batch is divided into work items";
  let description = [{
    `group` is the number of query heads that share one key-value head.

    * `decode`: one item is (sequence, kv head, chunk of rows, splits of the keys). Row r of chunk c
      with `rows` rows is R = c·rows + r: token R / group of the sequence's queries, head
      kv_head·group + R mod group. Rows whose token is not less than the number of queries are
      padding. The split length is the schedule's step function of the sequence's own length.
    * `prefill`: a block's item is (sequence, kv head, chunk of rows), each unit's a part of it: unit
      u of U has the rows (c·U + u)·rows … of the sequence, numbered as for decode, and all of its
      keys. A chunk has a row; a unit of it may have none. `tile.draw_item` may divide a sequence's
      tiles of rows among chunks otherwise.
    * `merge`: one item per (sequence, query token, query head), one for each unit.
    * `append`: one item per (sequence, kv head, query token); its query rows are the group's heads.
    * `merge_states`: one item per (token, query head) of the states, one for each unit; `group` is 1.

    Example: `#tile.items<decode, group = 4>`
  }];
  let parameters = (ins EnumParameter<Tile_ItemKind>:$kind, "int64_t":$group);
  let assemblyFormat = "`<` $kind `,` `group` `=` $group `>`";
  let genVerifyDecl = 1;
}

def Tile_LayoutAttr : Tile_Attr<"Layout", "layout"> {
  let summary = "which register, lane and warp, or which offset, holds an element of a tile";
  let description = [{
    Maps hardware indices to tile coordinates: (register, lane, warp) or (offset) → (row, column).
    The *atom* covers a power-of-two patch and is linear over F2: bit b of an index contributes the
    b-th vector of that index's list, and the vectors are added with xor. *Repeats* lay copies of
    the atom along a dimension, any number of times; the innermost (fastest) repeat of a counter
    comes first, and the copies are counted by the register or offset index above the atom's bits,
    or by the warp index. A zero vector means that the bit moves nothing: the element is replicated.
    `partial` says that the replicas are addends, not copies.

    (C1) Either `offset` is given, or any of `register`, `lane` and `warp`, never both.
    (C2) Vectors are not negative; repeat counts are at least 1.
    (C3) Repeats are counted by an index that the layout has: `offset` exactly for offset layouts.
    (C4) The atom maps its indices onto a whole patch of 2^a rows and 2^b columns: the vectors that
         are not zero are linearly independent and span it.

    Example, the result of mma.m16n8k16 with swapped operands for a tile of 8 rows and 16 columns:
    `#tile.layout<register = [[1, 0], [0, 8]], lane = [[2, 0], [4, 0], [0, 1], [0, 2], [0, 4]]>`

    The pure value class is dialects/tile/layout/Layout.h.
  }];
  let parameters = (ins
    ArrayRefParameter<"Coordinate">:$registers,
    ArrayRefParameter<"Coordinate">:$lanes,
    ArrayRefParameter<"Coordinate">:$warps,
    ArrayRefParameter<"Coordinate">:$offsets,
    ArrayRefParameter<"Repeat">:$repeats,
    "bool":$partial);
  let builders = [AttrBuilder<(ins "const Layout &":$layout)>];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    Layout toLayout() const;
  }];
}

// Attributes and types of the attn dialect, by their C++ classes: including attn's tablegen files
// here would generate its enumerations twice.
class Tile_AttnAttr<string cppClass, string summary>
    : Attr<CPred<"::llvm::isa<::attncc::attn::" # cppClass # ">($_self)">, summary> {
  let storageType = "::attncc::attn::" # cppClass;
  let returnType = storageType;
  let convertFromStorage = "$_self";
}
def Tile_ScheduleAttr : Tile_AttnAttr<"ScheduleAttr", "#attn.schedule">;
def Tile_PhaseAttr : Tile_AttnAttr<"PhaseAttr", "#attn.phase">;
def Tile_MaskAttr : Tile_AttnAttr<"MaskAttr", "#attn.mask">;
def Tile_RopeAttr : Tile_AttnAttr<"RopeAttr", "#attn.rope">;

#endif // ATTNCC_TILE_ATTRS_TD
