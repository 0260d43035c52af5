// RUN: attncc-opt %s --convert-tile-to-nvvm --cse | FileCheck %s

!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Arguments become launch parameters in order: tensor, cache, batch, nullable log-sum-exps, workspace, scale.
// CHECK-LABEL: gpu.module @decode
// CHECK: llvm.mlir.global external @attncc_shared_memory() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
// CHECK: llvm.func @decode(
// CHECK-SAME: %{{[^:]+}}: !llvm.ptr<1>, %{{[^:]+}}: i64, %{{[^:]+}}: i64, %{{[^:]+}}: !llvm.ptr<1>, %{{[^:]+}}: i64, %{{[^:]+}}: i64, %{{[^:]+}}: i64, %{{[^:]+}}: !llvm.ptr<1>, %{{[^:]+}}: i64, %{{[^:]+}}: i64, %{{[^:]+}}: i64,
// CHECK-SAME: %{{[^:]+}}: !llvm.ptr<1>, %{{[^:]+}}: !llvm.ptr<1>, %{{[^:]+}}: !llvm.ptr<1>, %{{[^:]+}}: i64, %{{[^:]+}}: !llvm.ptr<1>, %{{[^:]+}}: i64, %{{[^:]+}}: i32,
// CHECK-SAME: %[[MAX_KV:[^:]+]]: i32, %[[MAX_QUERY:[^:]+]]: i32, %[[SPLIT:[^:]+]]: i32, %[[WORKSPACE:[^:]+]]: !llvm.ptr<1>, %{{[^:]+}}: f32)
// CHECK-SAME: attributes {nvvm.kernel, nvvm.minctasm = 1 : i32, nvvm.reqntid = array<i32: 128, 1, 1>}
// The sequence is the block's y; its lengths are checked against the launch's bounds.
// CHECK: nvvm.read.ptx.sreg.ctaid.y
// CHECK-DAG: arith.cmpi ugt, %[[LENGTH:.+]], %[[MAX_KV]] : i32
// CHECK-DAG: arith.cmpi ugt, %{{.+}}, %[[MAX_QUERY]] : i32
// CHECK: %[[FAULTY:.+]] = arith.ori {{.+}} : i1
// The split length is a step function of the sequence's own length.
// CHECK: %[[SHORT:.+]] = arith.cmpi sle, %[[LENGTH]], %c2048_i32
// CHECK: %[[RULE:.+]] = arith.select %[[SHORT]], %c256_i32, %c1024_i32
// CHECK: %[[NONE:.+]] = arith.cmpi eq, %[[SPLIT]], %c0_i32
// CHECK: arith.select %[[NONE]], %[[RULE]], %{{.+}}
// A fault of a sequence that is not prefill's is reported by one thread.
// CHECK: %[[OWN:.+]] = arith.andi %[[FAULTY]], %{{.+}} : i1
// CHECK: %[[REPORTS:.+]] = arith.andi %[[OWN]], %{{.+}} : i1
// CHECK-NEXT: scf.if %[[REPORTS]]
// CHECK-NEXT: llvm.atomicrmw _or %[[WORKSPACE]], %c1_i32 syncscope("device") monotonic
tile.kernel @decode(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch, %workspace: !tile.workspace, %scale: f32)
    attributes {schedule = #attn.schedule<units = 4, rows = 8, split = #attn.split<steps = [[2048, 256], [8192, 1024]]>>,
                phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  scf.if %valid {
    // Units take every fourth tile: unit, unit + 4, … of the item's keys.
    // CHECK: scf.if
    // CHECK: %[[PADDED:.+]] = arith.addi %{{.+}}, %c15_i32
    // CHECK: %[[TILES:.+]] = arith.shrui %[[PADDED]], %c4_i32
    // CHECK: %[[REST:.+]] = arith.subi %[[TILES]], %[[UNIT:.+]] : i32
    // CHECK: %[[ROUNDED:.+]] = arith.addi %[[REST]], %c3_i32
    // CHECK: %[[COUNT:.+]] = arith.shrui %[[ROUNDED]], %c2_i32
    // CHECK: %[[FEW:.+]] = arith.cmpi slt, %[[TILES]], %[[UNIT]]
    // CHECK: arith.select %[[FEW]], %c0_i32, %[[COUNT]]
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %t = tile.key_tile %range[%n]
    %pages = tile.page_numbers %kv, %range[%t] : !kv -> !tile.tile<1x32xi32, registers, #tile.layout<lane = [[0,1],[0,2],[0,4],[0,8],[0,16]]>>
  }
  tile.return
}

// An append item is a token of a sequence.
// CHECK-LABEL: gpu.module @append
// CHECK: llvm.func @append
// CHECK-SAME: nvvm.reqntid = array<i32: 32, 1, 1>
// CHECK: %[[TOKEN:.+]] = nvvm.read.ptx.sreg.ctaid.y
// CHECK: arith.cmpi slt, %[[TOKEN]]
// CHECK: llvm.return
tile.kernel @append(%batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  tile.return
}

!s = !tile.tile<16x16xf32, registers, #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [column 2 register]>>

// A prefill item: x = chunk · kv_heads + kv_head, the chunks of 4 · 16 rows counted from the sequence's last one;
// sequences of up to 8 query tokens are decode's.
// CHECK-LABEL: gpu.module @prefill
// CHECK: llvm.func @prefill
// CHECK: %[[LONG:.+]] = arith.cmpi sgt, %[[QUERIES:.+]], %c8_i32
// CHECK: %[[X:.+]] = nvvm.read.ptx.sreg.ctaid.x
// CHECK: %[[CHUNK:.+]] = arith.divui %[[X]], %[[HEADS:.+]] : i32
// CHECK: arith.muli %[[CHUNK]], %[[HEADS]]
// CHECK: %[[LAST:.+]] = arith.subi %{{.+}}, %c1_i32
// CHECK: %[[REVERSED:.+]] = arith.subi %[[LAST]], %[[CHUNK]]
// CHECK: %[[PLACE:.+]] = arith.select %{{.+}}, %[[CHUNK]], %[[REVERSED]]
// CHECK: arith.shli %[[PLACE]], %c6_i32
// CHECK: %[[FIRST:.+]] = arith.subi
// CHECK: arith.cmpi slt, %[[FIRST]]
// CHECK: %[[VALID:.+]] = arith.andi %{{.+}}, %[[LONG]] : i1
// CHECK: scf.if %[[VALID]]
tile.kernel @prefill(%batch: !tile.batch, %out: tensor<?x?x16xf32>)
    attributes {schedule = #attn.schedule<units = 4, rows = 16, divide = rows, orientation = direct, order = longest_first>,
                phase = #attn.phase<prefill, max_query = 8>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  scf.if %valid {
    // The range is the block's: up to what its last row sees, without a mask up to what its first one does. Tiles of 16 keys
    // are counted from the last to the first; those that are not whole below the first row's end are the edges.
    // CHECK: %[[END:.+]] = arith.addi %[[FIRST]], %c64_i32
    // CHECK: %[[ROWS:.+]] = arith.minsi %[[END]]
    // CHECK: arith.addi %[[ROWS]], %c-1_i32
    // CHECK: %[[FIRST_TOKEN:.+]] = arith.shrui %[[FIRST]], %c2_i32
    // CHECK: %[[COUNT:.+]] = arith.shrui %{{.+}}, %c4_i32
    // CHECK: %[[LAST:.+]] = arith.addi %[[COUNT]], %c-1_i32
    // CHECK: %[[WHOLE:.+]] = arith.shrui %{{.+}}, %c4_i32
    // CHECK: %[[EDGES:.+]] = arith.subi %[[COUNT]], %[[WHOLE]]
    // CHECK: scf.for %[[J:.+]] = %[[EDGES]] to %[[COUNT]] step
    // CHECK: %[[TILE:.+]] = arith.subi %[[LAST]], %[[J]]
    // CHECK: arith.shli %[[TILE]], %c4_i32
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %edges = tile.range_edges %range
    %c1 = arith.constant 1 : index
    %a = tile.zero : !s
    %s = scf.for %j = %edges to %n step %c1 iter_args(%i = %a) -> (!s) {
      %t = tile.key_tile %range[%j]
      %m = tile.mask %i[%item, %t] mask(#attn.mask<causal>) : !s
      scf.yield %m : !s
    }
    tile.store_rows query %s, %out[%item] : !s, tensor<?x?x16xf32>
  }
  tile.return
}

// A negative number of split_tokens asks for items: of one an item takes all of a sequence of up to 4,096 tokens, of n spans
// of four splits where there are more than 2n splits, so many that there are no more items than 2n, or 4.
// CHECK-LABEL: gpu.module @splits
// CHECK: llvm.func @splits
// CHECK-SAME: %[[TOKENS:[^:]+]]: i32) attributes
// CHECK: %[[LENGTH:.+]] = arith.select %{{.+}}, %c256_i32, %c1024_i32
// CHECK-DAG: %[[ITEMS:.+]] = arith.subi %c0_i32, %[[TOKENS]]
// CHECK-DAG: %[[TWICE:.+]] = arith.shli %[[ITEMS]], %c1_i32
// CHECK: %[[SPLITS:.+]] = arith.divui %{{.+}}, %[[LENGTH]]
// CHECK: arith.cmpi sgt, %[[SPLITS]], %[[TWICE]]
// CHECK: %[[TAKES:.+]] = arith.andi
// CHECK: %[[MOST:.+]] = arith.maxsi %[[TWICE]], %c4_i32
// CHECK: %[[SPANS:.+]] = arith.divui %{{.+}}, %[[MOST]]
// CHECK: arith.cmpi sle, %[[KV:.+]], %c4096_i32
// CHECK: arith.cmpi eq, %[[ITEMS]], %c1_i32
// CHECK: %[[WHOLE:.+]] = arith.andi
// CHECK: %[[TOGETHER:.+]] = arith.shli %[[SPANS]], %c2_i32
// CHECK: %[[OF:.+]] = arith.select %[[TAKES]], %[[TOGETHER]], %c1_i32
// CHECK: %[[TOKENS_OF:.+]] = arith.muli %[[OF]], %[[LENGTH]]
// CHECK: %[[LONGER:.+]] = arith.maxsi %[[TOKENS_OF]], %[[KV]]
// CHECK: arith.select %[[WHOLE]], %[[LONGER]], %[[TOKENS_OF]]
// CHECK: llvm.return
tile.kernel @splits(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, rows = 8, split = #attn.split<steps = [[2048, 256], [8192, 1024]]>, merge = item>,
                phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %n = tile.item_splits %item
  %t = tile.split_tiles %item {keys = 16}
  tile.return
}
