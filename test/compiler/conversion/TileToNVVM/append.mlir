// RUN: attncc-opt %s --convert-tile-to-nvvm --cse | FileCheck %s

#k = #tile.layout<register = [[0,1],[0,2],[0,4]], lane = [[0,0],[0,0],[0,0],[0,0],[0,0]], repeat = [column 2 register]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = 16 x bf16, value = 16 x bf16, order = NHD>
!k = !tile.tile<1x16xbf16, registers, #k>
!f = !tile.tile<1x16xf32, registers, #k>

// The inverse frequencies are constants of the module.
// CHECK-LABEL: gpu.module @append
// CHECK: llvm.mlir.global internal constant @inverse_frequencies_0(dense<[1.000000e+00, 1.000000e-01]> : tensor<2xf32>) {addr_space = 4 : i32, alignment = 16 : i64}
// CHECK-NOT: llvm.mlir.global
// CHECK: llvm.func @append
tile.kernel @append(%key: tensor<?x?x16xbf16>, %out: tensor<?x?x16xbf16>, %kv: !kv, %batch: !tile.batch, %slots: tensor<?xi64>,
                    %positions: tensor<?xi64>, %weight: tensor<16xbf16>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  %x = tile.load_rows key %key[%item] : tensor<?x?x16xbf16> -> !k
  %w = tile.load_vector %weight : tensor<16xbf16> -> !k
  // Squares are added in f32, and the root and the quotient are rounded to nearest.
  // CHECK: llvm.intr.sqrt(%{{.+}}) : (f32) -> f32
  // CHECK: arith.divf
  %n = tile.rms_norm %x weight %w {epsilon = 1.0e-6 : f64} : !k, !k -> !f
  // The position is given, or follows from the lengths.
  // CHECK: scf.if %{{.+}} -> (i64)
  // CHECK: %[[POSITION:.+]] = arith.sitofp %{{.+}} : i64 to f32
  // The angle in two f32, less whole turns by three fma.
  // CHECK: %[[HIGH:.+]] = arith.mulf %[[POSITION]], %[[FREQUENCY:[^ ]+]] : f32
  // CHECK: %[[MINUS:.+]] = arith.negf %[[HIGH]]
  // CHECK: llvm.intr.fma(%[[POSITION]], %[[FREQUENCY]], %[[MINUS]])
  // CHECK: %[[TURNS:.+]] = llvm.intr.rint
  // CHECK-COUNT-3: llvm.intr.fma(%[[TURNS]],
  // CHECK-DAG: llvm.intr.cos(%{{.+}}) {fastmathFlags = #llvm.fastmath<afn>}
  // CHECK-DAG: llvm.intr.sin(%{{.+}}) {fastmathFlags = #llvm.fastmath<afn>}
  %r = tile.rope %n[%item] rope(#attn.rope<pairing = half, dim = 4, theta = 100.0, inverse_frequencies = [1.0, 0.1]>) position %positions : !f -> !f
  // A rotation seen before keeps its constants.
  %q = tile.rope %x[%item] rope(#attn.rope<pairing = half, dim = 4, theta = 100.0, inverse_frequencies = [1.0, 0.1]>) position %positions : !k -> !f
  tile.store_rows key %q, %out[%item] : !f, tensor<?x?x16xbf16>
  // The slot is given, or the block table's; 16 bytes a store, K's and V's two chunks each, from the first of 32 copies.
  // CHECK: scf.if %{{.+}} -> (i64, i64)
  // CHECK: arith.cmpi sge, %{{.+}}, %c0_i64
  // CHECK: scf.if
  // CHECK-COUNT-4: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<1>
  // CHECK: llvm.return
  tile.store_kv %r, %x, %kv[%item] slots %slots : !f, !k, !kv
  tile.return
}

// Angles from a table, if it is given: a row at the position, in two widths; a position outside of it sets bit 2 of the error
// word and turns by NaN.
// CHECK-LABEL: llvm.func @append_by_table
// CHECK-SAME: %[[TABLE:[^:]+]]: !llvm.ptr<1>, %[[STRIDE:[^:]+]]: i64, %[[POSITIONS:[^:]+]]: i32, %[[BYTES:[^:]+]]: i32
// CHECK: %[[ADDRESS:.+]] = llvm.ptrtoint %[[TABLE]]
// CHECK: %[[ABSENT:.+]] = arith.cmpi eq, %[[ADDRESS]],
// CHECK: scf.if %[[ABSENT]] -> (f32, f32, f32, f32) {
// CHECK: llvm.mlir.addressof @inverse_frequencies_0
// CHECK: } else {
// CHECK: %[[ROWS:.+]] = arith.extui %[[POSITIONS]]
// CHECK: %[[INSIDE:.+]] = arith.cmpi ult, %{{.+}}, %[[ROWS]] : i64
// CHECK: scf.if %[[INSIDE]] -> (f32, f32, f32, f32) {
// CHECK: arith.cmpi eq, %[[BYTES]], %c4_i32
// CHECK-COUNT-4: llvm.load %{{.+}} {alignment = 4 : i64} : !llvm.ptr<1> -> f32
// CHECK: } else {
// CHECK-COUNT-4: llvm.load %{{.+}} {alignment = 2 : i64} : !llvm.ptr<1> -> i16
// CHECK: } else {
// CHECK: llvm.atomicrmw _or %{{.+}}, %c4_i32
tile.kernel @append_by_table(%table: !attn.cos_sin<dim = 4, type = bf16>, %key: tensor<?x?x16xbf16>, %out: tensor<?x?x16xbf16>, %batch: !tile.batch,
                             %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  %x = tile.load_rows key %key[%item] : tensor<?x?x16xbf16> -> !k
  %r = tile.rope %x[%item] rope(#attn.rope<pairing = half, dim = 4, theta = 100.0, inverse_frequencies = [1.0, 0.1]>)
      cos_sin %table : !attn.cos_sin<dim = 4, type = bf16> : !k -> !f
  tile.store_rows key %r, %out[%item] : !f, tensor<?x?x16xbf16>
  tile.return
}

// Rows that a launch need not give: nothing is read through a null pointer, and nothing written.
// CHECK-LABEL: llvm.func @copy
// CHECK-SAME: %[[FROM:[^:]+]]: !llvm.ptr<1>, %{{[^:]+}}: i64, %{{[^:]+}}: i64, %[[TO:[^:]+]]: !llvm.ptr<1>
// CHECK: %[[GIVEN:.+]] = llvm.ptrtoint %[[FROM]]
// CHECK: arith.cmpi ne, %[[GIVEN]],
// CHECK: scf.if
// CHECK: %[[WANTED:.+]] = llvm.ptrtoint %[[TO]]
// CHECK: %[[IS:.+]] = arith.cmpi ne, %[[WANTED]],
// CHECK: scf.if %[[IS]]
// CHECK: llvm.store
tile.kernel @copy(%from: tensor<?x?x16xbf16>, %to: tensor<?x?x16xbf16>, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 1>)
  %x = tile.load_rows query %from[%item] {optional} : tensor<?x?x16xbf16> -> !k
  tile.store_rows query %x, %to[%item] {optional} : !k, tensor<?x?x16xbf16>
  tile.return
}
