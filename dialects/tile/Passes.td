//===- Passes.td - passes of the tile dialect --------------------*- tablegen -*-===//
//
// In the order in which a kernel meets them. Each is transforms/<Name>.cpp and
// test/dialects/tile/<flag without tile->.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TILE_PASSES_TD
#define ATTNCC_TILE_PASSES_TD

include "mlir/Pass/PassBase.td"

def AssignLayoutsPass : Pass<"tile-assign-layouts", "::attncc::tile::KernelOp"> {
  let summary = "the products fix the layouts, everything else follows";
  let description = [{
    Gives every tile a layout. The schedule's product and orientation fix results and operands of
    `tile.matmul`; keys and values go to shared memory in swizzled panels; element-wise ops, row
    statistics and loop-carried values follow; kernels without products (append, merge) get rows as
    vectors over lanes. Where a value has another layout than its user needs, a `tile.move` is
    inserted.
  }];
}

def PipelinePass : Pass<"tile-pipeline", "::attncc::tile::KernelOp"> {
  let summary = "loads of keys and values in a loop become copies into rings";
  let description = [{
    Each iteration acquires a slot, copies keys and values (in boxes, where the schedule says
    `copy = tensor`; rows of values past the end then become zero), commits, waits before the first
    use and releases after the last. One joint ring, or one each, as the schedule's `stages` say;
    with specialised roles also one of each unit for its rows of the query. Still in order: what
    overlaps is decided by `--tile-prefetch`, or by `--tile-assign-roles` and `--tile-overlap`.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect"];
}

def AssignRolesPass : Pass<"tile-assign-roles", "::attncc::tile::KernelOp"> {
  let summary = "copies of keys and values go to a role of their own";
  let description = [{
    `roles = specialised`: the work loop is taken four times: for a warp that draws the items, one for
    keys and one for values, which acquire slots, copy and commit, and for the units, which wait,
    compute and release. Rings move before all of them.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect"];
}

def OverlapPass : Pass<"tile-overlap", "::attncc::tile::KernelOp"> {
  let summary = "one tile's second product overlaps with the next tile's scores";
  let description = [{
    `overlap = tiles` or `items`: the loop over the keys is rotated. Scores and softmax of tile j stand beside the
    product of probabilities and values of tile j − 1; the first tile's scores come before the
    loop, the last tile's product behind it. An item without keys gets one tile that is masked.
    With specialised roles a unit without rows of the item passes all tiles but the first.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect"];
}

def IssueMatmulsPass : Pass<"tile-issue-matmuls", "::attncc::tile::KernelOp"> {
  let summary = "products become issue and await";
  let description = [{
    `product = wgmma`: a product is started where it stands and awaited at its first use. Slots are
    released behind the await of what reads them; what will be the next product's operand passes
    through the await of the one in flight. With `ping_pong` units take turns in starting products,
    also for a tile of keys that a unit only waits for and releases.
  }];
}

def PrefetchPass : Pass<"tile-prefetch", "::attncc::tile::KernelOp"> {
  let summary = "the warps that compute run ahead with their own copies";
  let description = [{
    The first `stages` copies move before the loop; in the loop the copy for tile j + stages follows
    the release of tile j's slot (in a ring shared by units: follows the wait for tile j, whose
    barrier says that all units have left the slot before). Block-table entries are loaded 32 at a
    time, one iteration before they are needed.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect"];
}

def PersistPass : Pass<"tile-persist", "::attncc::tile::KernelOp"> {
  let summary = "the work loop becomes what draws the items";
  let description = [{
    `work = grid`: the item of the block's place in the grid, and nothing if that is empty.
    `work = static` and `atomic`: a loop over the block's items, whose rings go on from item to item.
    The first loading role draws them and hands them to the others in a ring. With `overlap = items`
    the last product of one stands beside the first scores of the next.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect"];
}

def PeelMasksPass : Pass<"tile-peel-masks", "::attncc::tile::KernelOp"> {
  let summary = "only tiles at the edge of a mask are masked";
  let description = [{
    A loop over the tiles of a range that units share becomes two: the first over the tiles at the
    mask's edge, the second, without `tile.mask`, over those that every row sees whole. Comes behind
    the passes that move copies, which expect one loop.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect"];
}

def PackSharedMemoryPass : Pass<"tile-pack-shared-memory", "::attncc::tile::KernelOp"> {
  let summary = "live ranges of rings and scratch become offsets";
  let description = [{
    Places every ring, the shared tile of every `tile.load_rows`, and the scratch of
    `tile.merge_units` and of moves that cross warps, at multiples of 1024 bytes (the largest swizzle
    atom) such that what is live together does not overlap, and sets `shared_memory` on the kernel.
    More than `limit` bytes is an error. Rings that boxes fill get the place of their mbarriers, items
    that are read again that of their records; with `blocks_per_sm` above 1 the kernel is padded so
    that no more blocks fit on a multiprocessor.
  }];
  let options = [
    Option<"limit", "limit", "int64_t", "101376",
           "bytes of shared memory that a block may use (99 KiB runs on every GPU since sm_80)">,
    Option<"multiprocessor", "multiprocessor", "int64_t", "167936",
           "bytes of shared memory that the blocks of a multiprocessor share (164 KiB on sm_80)">
  ];
}

#endif // ATTNCC_TILE_PASSES_TD
