// RUN: attncc-opt %s --tile-assign-layouts --split-input-file | FileCheck %s

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
#rope = #attn.rope<pairing = half, dim = 16, theta = 10000.0, inverse_frequencies = [1.0, 0.5, 0.25, 0.125, 0.1, 0.05, 0.02, 0.01]>

// Far from any product rows are vectors over lanes; a rotation of the first 16 columns keeps column
// j and j + 8 in one lane, so two lanes share a row. The weight is replicated over the rows.
// CHECK-DAG: #[[$Q:.+]] = #tile.layout<register = {{\[\[}}0,1],[0,2]], lane = {{\[\[}}0,4],[1,0],[2,0],[0,0],[0,0]], repeat = [column 8 register]>
// CHECK-DAG: #[[$W:.+]] = #tile.layout<register = {{\[\[}}0,1],[0,2]], lane = {{\[\[}}0,4],[0,0],[0,0],[0,0],[0,0]], repeat = [column 8 register]>
// CHECK-DAG: #[[$V:.+]] = #tile.layout<register = {{\[\[}}0,1],[0,2],[0,4]], lane = {{\[\[}}0,8],[0,16],[0,32],[0,0],[0,0]]>
// CHECK-LABEL: tile.kernel @append
tile.kernel @append(%query: tensor<?x?x64xbf16>, %key: tensor<?x?x64xbf16>, %value: tensor<?x?x64xbf16>,
                    %query_out: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch,
                    %weight: tensor<64xbf16>)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  tile.work_loop(%item, %unit) in %batch items(<append, group = 4>) {
    // CHECK: tile.load_rows query {{.*}} -> <4x64xbf16, registers, #[[$Q]]>
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<4x64xbf16>
    // CHECK: tile.load_rows key {{.*}} -> <1x64xbf16, registers, #[[$W]]>
    %k = tile.load_rows key %key[%item] : tensor<?x?x64xbf16> -> !tile.tile<1x64xbf16>
    // CHECK: tile.load_rows value {{.*}} -> <1x64xbf16, registers, #[[$V]]>
    %v = tile.load_rows value %value[%item] : tensor<?x?x64xbf16> -> !tile.tile<1x64xbf16>
    // CHECK: tile.load_vector {{.*}} -> <1x64xbf16, registers, #[[$W]]>
    %w = tile.load_vector %weight : tensor<64xbf16> -> !tile.tile<1x64xbf16>
    %qn = tile.rms_norm %q weight %w {epsilon = 1.0e-5 : f64} : !tile.tile<4x64xbf16>, !tile.tile<1x64xbf16> -> !tile.tile<4x64xf32>
    %qr = tile.rope %qn[%item] rope(#rope) : !tile.tile<4x64xf32> -> !tile.tile<4x64xf32>
    %kr = tile.rope %k[%item] rope(#rope) : !tile.tile<1x64xbf16> -> !tile.tile<1x64xf32>
    // CHECK-NOT: tile.move
    tile.store_rows query %qr, %query_out[%item] : !tile.tile<4x64xf32>, tensor<?x?x64xbf16>
    tile.store_kv %kr, %v, %kv[%item] : !tile.tile<1x64xf32>, !tile.tile<1x64xbf16>, !kv
  }
  tile.return
}

// -----

// One unit, one row: float4 per lane; 64 columns use half of the lanes.
// CHECK-DAG: #[[$R:.+]] = #tile.layout<register = {{\[\[}}0,1],[0,2]], lane = {{\[\[}}0,4],[0,8],[0,16],[0,32],[0,0]]>
// CHECK-DAG: #[[$E:.+]] = #tile.layout<lane = {{\[\[}}0,0],[0,0],[0,0],[0,0],[0,0]]>
// CHECK-LABEL: tile.kernel @merge
tile.kernel @merge(%workspace: !tile.workspace, %batch: !tile.batch, %out: tensor<?x?x64xbf16>,
                   %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<merge>} {
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
    // CHECK: tile.merge_splits {{.*}} : <1x64xf32, registers, #[[$R]]>, <1x1xf32, registers, #[[$E]]>
    %r, %lse = tile.merge_splits %workspace[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
    tile.store_merged %r, %lse, %out, %lse_out[%item]
        : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>, tensor<?x?x64xbf16>
  }
  tile.return
}

// -----

// Direct operands: the query is a shared tile, the result is the accumulator as the instruction leaves it, and P becomes the A
// operand of the second product by renaming registers.
// CHECK-DAG: #[[$A:.+]] = #tile.layout<register = {{\[\[}}0,1],[8,0],[0,8]], lane = {{\[\[}}0,2],[0,4],[1,0],[2,0],[4,0]]>
// CHECK-DAG: #[[$S:.+]] = #tile.layout<register = {{\[\[}}0,1],[8,0]], lane = {{\[\[}}0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [column 2 register]>
// CHECK-LABEL: tile.kernel @direct
!kv16 = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 16 x bf16, value = 16 x bf16, order = NHD>
tile.kernel @direct(%query: tensor<?x?x16xbf16>, %kv: !kv16, %batch: !tile.batch, %t: f32)
    attributes {schedule = #attn.schedule<units = 1, rows = 16, orientation = direct>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    // CHECK: tile.load_rows query {{.*}} -> <16x16xbf16, shared, #{{.+}}>
    %q = tile.load_rows query %query[%item] : tensor<?x?x16xbf16> -> !tile.tile<16x16xbf16>
    %k = tile.load_keys %kv[%item, %c0] : !kv16 -> !tile.tile<16x16xbf16>
    // CHECK: tile.matmul {{.*}} -> !tile.tile<16x16xf32, registers, #[[$S]]>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x16xbf16>, !tile.tile<16x16xbf16>) -> !tile.tile<16x16xf32>
    %p = tile.convert %s : !tile.tile<16x16xf32> -> !tile.tile<16x16xbf16>
    // CHECK: tile.move {{.*}} : <16x16xbf16, registers, #[[$S]]> -> <16x16xbf16, registers, #[[$A]]>
    %v = tile.load_values %kv[%item, %c0] : !kv16 -> !tile.tile<16x16xbf16>
    %o = tile.matmul %p, %v : (!tile.tile<16x16xbf16>, !tile.tile<16x16xbf16>) -> !tile.tile<16x16xf32>
    tile.store_rows query %o, %query[%item] : !tile.tile<16x16xf32>, tensor<?x?x16xbf16>
  }
  tile.return
}

// -----

// So is a row of states, four 16-bit elements per lane.
// CHECK-DAG: #[[$R:.+]] = #tile.layout<register = {{\[\[}}0,1],[0,2]], lane = {{\[\[}}0,4],[0,8],[0,16],[0,32],[0,0]]>
// CHECK-DAG: #[[$E:.+]] = #tile.layout<lane = {{\[\[}}0,0],[0,0],[0,0],[0,0],[0,0]]>
// CHECK-LABEL: tile.kernel @merge_states
tile.kernel @merge_states(%states: !attn.states<parts = 2, heads = 8, dim = 64, type = bf16>, %out: tensor<?x?x64xbf16>, %lse: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<merge_states>} {
  tile.work_loop(%item, %unit) in %states : !attn.states<parts = 2, heads = 8, dim = 64, type = bf16> items(<merge_states, group = 1>) {
    // CHECK: tile.merge_states {{.*}} -> <1x64xf32, registers, #[[$R]]>, <1x1xf32, registers, #[[$E]]>
    %r, %l = tile.merge_states %states[%item]
        : !attn.states<parts = 2, heads = 8, dim = 64, type = bf16> -> !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
    tile.store_merged %r, %l, %out, %lse[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>, tensor<?x?x64xbf16>
  }
  tile.return
}
