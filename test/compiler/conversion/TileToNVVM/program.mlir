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
// The sequence is the block's z; its lengths are checked against the launch's bounds.
// CHECK: nvvm.read.ptx.sreg.ctaid.z
// CHECK-DAG: arith.cmpi ugt, %[[LENGTH:.+]], %[[MAX_KV]] : i32
// CHECK-DAG: arith.cmpi ugt, %{{.+}}, %[[MAX_QUERY]] : i32
// CHECK: %[[FAULTY:.+]] = arith.ori {{.+}} : i1
// The split length is a step function of the sequence's own length.
// CHECK: %[[SHORT:.+]] = arith.cmpi sle, %[[LENGTH]], %c2048_i32
// CHECK: %[[RULE:.+]] = arith.select %[[SHORT]], %c256_i32, %c1024_i32
// CHECK: %[[NONE:.+]] = arith.cmpi eq, %[[SPLIT]], %c0_i32
// CHECK: arith.select %[[NONE]], %[[RULE]], %{{.+}}
// A fault is reported by one thread.
// CHECK: %[[REPORTS:.+]] = arith.andi %[[FAULTY]], %{{.+}} : i1
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
