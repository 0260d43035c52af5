//===- TileTypes.td - types of the tile dialect ------------------*- tablegen -*-===//
//
// Tiles, rings and their slots, work items and key ranges, and the two kernel
// arguments that are not tensors.
//
// Tests: test/dialects/tile/attributes.mlir, test/dialects/tile/types-errors.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TILE_TYPES_TD
#define ATTNCC_TILE_TYPES_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/CommonTypeConstraints.td"

class Tile_Type<string name, string typeMnemonic> : TypeDef<Tile_Dialect, name> {
  let mnemonic = typeMnemonic;
}

def Tile_TileType : Tile_Type<"Tile", "tile"> {
  let summary = "a two-dimensional tile: a value of static shape";
  let description = [{
    Row statistics are tiles of one column. A register tile is spread over the threads of one unit,
    a shared tile lies in the block's shared memory; the layout says where. It is absent until
    `--tile-assign-layouts`.

    (C1) Rows and columns are at least 1; the element type is an integer or a float.
    (C2) A shared tile's layout is an `offset` layout and holds every element exactly once.
    (C3) A register tile's layout has `register`, `lane` or `warp` vectors and holds every element
         at least once; elements are replicated exactly over the bits that move nothing.

    Example: `!tile.tile<8x128xbf16>`, `!tile.tile<16x64xbf16, shared, #layout>`
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$columns, "::mlir::Type":$elementType,
                        "Memory":$memory, "LayoutAttr":$layout);
  let builders = [
    TypeBuilder<(ins "int64_t":$rows, "int64_t":$columns, "::mlir::Type":$elementType,
                     CArg<"Memory", "Memory::Registers">:$memory,
                     CArg<"LayoutAttr", "{}">:$layout)>
  ];
  let skipDefaultBuilders = 1;
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// {rows, columns}.
    std::array<int64_t, 2> getShape() const { return {getRows(), getColumns()}; }
    int64_t getNumElements() const { return getRows() * getColumns(); }
    bool isShared() const { return getMemory() == Memory::Shared; }
    /// The same tile in another layout, memory, element type or shape. A null layout removes it.
    TileType cloneWith(LayoutAttr layout) const;
    TileType cloneWith(Memory memory, LayoutAttr layout) const;
    TileType cloneWith(::mlir::Type elementType) const;
  }];
}

def Tile_RingType : Tile_Type<"Ring", "ring"> {
  let summary = "a bounded FIFO of shared-memory slots";
  let description = [{
    Each slot holds one or more tiles. `shared_by = unit`: every unit has a ring of its own;
    `shared_by = units`: the block has one, and each unit releases every slot once; `shared_by =
    roles`: so does each loading warp but the one that fills it.

    (C1) At least one slot and one tile. (C2) The tiles are in shared memory.

    Example: `!tile.ring<3 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>`
  }];
  let parameters = (ins "int64_t":$depth, ArrayRefParameter<"TileType">:$tiles,
                        "RingScope":$sharedBy);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Tile_PendingType : Tile_Type<"Pending", "pending"> {
  let summary = "the result of a product in flight; `tile.await` gives the tile";
  let description = [{Example: `!tile.pending<!tile.tile<64x80xf32>>`}];
  let parameters = (ins "TileType":$tile);
  let assemblyFormat = "`<` $tile `>`";
}

def Tile_SlotType : Tile_Type<"Slot", "slot"> {
  let summary = "a slot of a ring that has been acquired and is being filled";
}

def Tile_PositionType : Tile_Type<"Position", "position"> {
  let summary = "the n-th slot of a ring, n counted from 0 and carried through loops";
}

def Tile_ItemType : Tile_Type<"Item", "item"> {
  let summary = "one work item of a block: see #tile.items";
}

def Tile_RangeType : Tile_Type<"Range", "range"> {
  let summary = "the key tiles that one unit visits for one item, in order";
}

def Tile_BatchType : Tile_Type<"Batch", "batch"> {
  let summary = "kernel argument: the ragged batch";
  let description = [{
    Query starts and KV lengths of the sequences, their block tables, and the bounds of this
    launch: number of pages, kv heads, longest sequence, most queries, split length override.

    A length or a page number beyond its bound is an error of the launch: nothing is written where it
    points, that sequence's output rows become NaN and the workspace's error word says so. The
    interpreter refuses such batches.
  }];
}

def Tile_WorkspaceType : Tile_Type<"Workspace", "workspace"> {
  let summary = "kernel argument: error word, counters, partial outputs and their log-sum-exps";
}

// Constraints that print a type in full, and types that need not be printed.
class Tile_Is<string cppClass, string summary>
    : Type<CPred<"::llvm::isa<" # cppClass # ">($_self)">, summary, cppClass>;
class Tile_Only<string cppClass, string summary>
    : Tile_Is<cppClass, summary>, BuildableType<"$_builder.getType<" # cppClass # ">()">;

def Tile_Tile : Tile_Is<"::attncc::tile::TileType", "tile">;
def Tile_Ring : Tile_Is<"::attncc::tile::RingType", "ring">;
def Tile_Pending : Tile_Is<"::attncc::tile::PendingType", "pending product">;
def Tile_Slot : Tile_Only<"::attncc::tile::SlotType", "slot">;
def Tile_Position : Tile_Only<"::attncc::tile::PositionType", "ring position">;
def Tile_Item : Tile_Only<"::attncc::tile::ItemType", "work item">;
def Tile_Range : Tile_Only<"::attncc::tile::RangeType", "key range">;
def Tile_Batch : Tile_Only<"::attncc::tile::BatchType", "batch">;
def Tile_Workspace : Tile_Only<"::attncc::tile::WorkspaceType", "workspace">;
def Tile_PagedKv : Tile_Is<"::attncc::attn::PagedKvType", "!attn.paged_kv">;
def Tile_CosSin : Tile_Is<"::attncc::attn::CosSinType", "!attn.cos_sin">;
def Tile_States : Tile_Is<"::attncc::attn::StatesType", "!attn.states">;
/// What a grid's items are drawn from.
def Tile_Source : AnyTypeOf<[Tile_Batch, Tile_States], "batch or !attn.states">;
def Tile_Tensor : Tile_Is<"::mlir::RankedTensorType", "ranked tensor">;

/// [tokens, heads] f32: log-sum-exps.
def Tile_LogSumExp : Type<
    CPred<"$_self == ::mlir::RankedTensorType::get({::mlir::ShapedType::kDynamic, "
          "::mlir::ShapedType::kDynamic}, ::mlir::Float32Type::get($_self.getContext()))">,
    "tensor<?x?xf32>", "::mlir::RankedTensorType">,
  BuildableType<"::mlir::RankedTensorType::get({::mlir::ShapedType::kDynamic, "
                "::mlir::ShapedType::kDynamic}, $_builder.getF32Type())">;
/// One i64 for each query token: positions, slots of the cache.
def Tile_PerToken : Type<
    CPred<"$_self == ::mlir::RankedTensorType::get({::mlir::ShapedType::kDynamic}, "
          "::mlir::IntegerType::get($_self.getContext(), 64))">,
    "tensor<?xi64>", "::mlir::RankedTensorType">,
  BuildableType<"::mlir::RankedTensorType::get({::mlir::ShapedType::kDynamic}, "
                "$_builder.getI64Type())">;

#endif // ATTNCC_TILE_TYPES_TD
