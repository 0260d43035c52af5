// RUN: attncc-opt %s --tile-assign-layouts --split-input-file | FileCheck %s

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Swapped: the query is the B operand, scores are a transposed accumulator, keys lie in panels of
// 128 bytes; P needs a move between the two products; statistics follow the scores.
// CHECK-DAG: #[[$Q:.+]] = #tile.layout<register = {{\[\[}}0,1],[0,8]], lane = {{\[\[}}0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [column 4 register]>
// CHECK-DAG: #[[$S:.+]] = #tile.layout<register = {{\[\[}}1,0],[0,8]], lane = {{\[\[}}2,0],[4,0],[0,1],[0,2],[0,4]]>
// CHECK-DAG: #[[$P:.+]] = #tile.layout<register = {{\[\[}}0,1],[0,8]], lane = {{\[\[}}0,2],[0,4],[1,0],[2,0],[4,0]]>
// CHECK-DAG: #[[$O:.+]] = #tile.layout<register = {{\[\[}}1,0],[0,8]], lane = {{\[\[}}2,0],[4,0],[0,1],[0,2],[0,4]], repeat = [column 4 register]>
// CHECK-DAG: #[[$M:.+]] = #tile.layout<register = {{\[\[}}1,0]], lane = {{\[\[}}2,0],[4,0],[0,0],[0,0],[0,0]]>
// CHECK-DAG: #[[$L:.+]] = #tile.layout<register = {{\[\[}}1,0]], lane = {{\[\[}}2,0],[4,0],[0,0],[0,0],[0,0]], partial>
// CHECK-DAG: #[[$KV:.+]] = #tile.layout<offset = {{\[\[}}0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
// CHECK-DAG: #[[$X:.+]] = #tile.layout<register = {{\[\[}}0,1],[0,2]], lane = {{\[\[}}0,4],[0,8],[0,16],[0,32],[1,0]], warp = {{\[\[}}2,0],[4,0]]>
// CHECK-DAG: #[[$XM:.+]] = #tile.layout<lane = {{\[\[}}0,0],[0,0],[0,0],[0,0],[1,0]], warp = {{\[\[}}2,0],[4,0]]>
// CHECK-LABEL: tile.kernel @decode
tile.kernel @decode(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch,
                    %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>,
                    %workspace: !tile.workspace, %scale: f32)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // CHECK: tile.load_rows query {{.*}} -> <8x64xbf16, registers, #[[$Q]]>
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<8x64xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    // CHECK: tile.softmax_init : <8x1xf32, registers, #[[$M]]>, <8x1xf32, registers, #[[$L]]>
    %m0, %l0 = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
    // CHECK: tile.zero : <8x64xf32, registers, #[[$O]]>
    %o0 = tile.zero : !tile.tile<8x64xf32>
    // CHECK: -> (!tile.tile<8x1xf32, registers, #[[$M]]>, !tile.tile<8x1xf32, registers, #[[$L]]>, !tile.tile<8x64xf32, registers, #[[$O]]>)
    %m, %l, %o = scf.for %j = %c0 to %n step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %o0)
        -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>) {
      %t = tile.key_tile %range[%j]
      // CHECK: tile.load_keys {{.*}} -> <16x64xbf16, shared, #[[$KV]]>
      %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
      // CHECK: tile.matmul {{.*}} -> !tile.tile<8x16xf32, registers, #[[$S]]>
      %s = tile.matmul %q, %k {transpose_b}
          : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16>) -> !tile.tile<8x16xf32>
      %p, %mj, %lj, %f = tile.softmax_step %s, %mi, %li scale %scale
          : !tile.tile<8x16xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
      // CHECK: tile.load_values {{.*}} -> <16x64xbf16, shared, #[[$KV]]>
      %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
      // CHECK: %[[PC:.+]] = tile.convert {{.*}} -> <8x16xbf16, registers, #[[$S]]>
      %pb = tile.convert %p : !tile.tile<8x16xf32> -> !tile.tile<8x16xbf16>
      // CHECK: tile.rescale {{.*}} : <8x64xf32, registers, #[[$O]]>, <8x1xf32, registers, #[[$M]]>
      %or = tile.rescale %oi, %f : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>
      // CHECK: %[[PB:.+]] = tile.move %[[PC]] : <8x16xbf16, registers, #[[$S]]> -> <8x16xbf16, registers, #[[$P]]>
      // CHECK: tile.matmul %[[PB]], {{.*}} -> !tile.tile<8x64xf32, registers, #[[$O]]>
      %oj = tile.matmul %pb, %v, %or
          : (!tile.tile<8x16xbf16>, !tile.tile<16x64xbf16>, !tile.tile<8x64xf32>) -> !tile.tile<8x64xf32>
      scf.yield %mj, %lj, %oj : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>
    }
    // The merged rows are spread over the block: float4 per lane along columns.
    // CHECK: tile.merge_units {{.*}} -> (<8x1xf32, registers, #[[$XM]]>, <8x1xf32, registers, #[[$XM]]>, <8x64xf32, registers, #[[$X]]>)
    %mm, %lm, %om = tile.merge_units %m, %l, %o
        : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
        -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
    // CHECK: tile.normalize {{.*}} -> (!tile.tile<8x64xf32, registers, #[[$X]]>, !tile.tile<8x1xf32, registers, #[[$XM]]>)
    %r, %lse = tile.normalize %om, %mm, %lm
        : (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>)
        -> (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>)
    tile.store_attention %r, %lse, %out, %lse_out[%item]
        : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16>
  }
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 8, kv_heads = 8, key = 128 x bf16, value = 80 x bf16, order = NHD>

// Boxes of 8 tokens lie one behind the other, each in panels: of 128 bytes for keys, of 32 for values.
// CHECK-DAG: #[[$K:.+]] = #tile.layout<offset = {{\[\[}}0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [column 2 offset, row 2 offset]>
// CHECK-DAG: #[[$V:.+]] = #tile.layout<offset = {{\[\[}}0,1],[0,2],[0,4],[0,8],[1,0],[2,0],[4,8]], repeat = [column 5 offset, row 2 offset]>
// CHECK-LABEL: tile.kernel @boxes
tile.kernel @boxes(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<copy = tensor, box = 8>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %t = arith.constant 0 : index
    // CHECK: tile.load_keys {{.*}} -> <16x128xbf16, shared, #[[$K]]>
    %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x128xbf16>
    // CHECK: tile.load_values {{.*}} -> <16x80xbf16, shared, #[[$V]]>
    %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x80xbf16>
  }
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 128 x bf16, value = 128 x bf16, order = NHD>

// A warpgroup's products. Query, keys and values are read from shared memory: the keys' panels hold all of a tile's rows,
// whatever the box, values lie box by box. A warp has 16 of the 64 rows, and probabilities stay in their registers.
// CHECK-DAG: #[[$Q:.+]] = #tile.layout<offset = {{\[\[}}0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 8 offset, column 2 offset]>
// CHECK-DAG: #[[$K:.+]] = #tile.layout<offset = {{\[\[}}0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 6 offset, column 2 offset]>
// CHECK-DAG: #[[$V:.+]] = #tile.layout<offset = {{\[\[}}0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset, column 2 offset, row 3 offset]>
// CHECK-DAG: #[[$S:.+]] = #tile.layout<register = {{\[\[}}0,1],[8,0]], lane = {{\[\[}}0,2],[0,4],[1,0],[2,0],[4,0]], warp = {{\[\[}}16,0],[32,0]], repeat = [column 6 register]>
// CHECK-DAG: #[[$P:.+]] = #tile.layout<register = {{\[\[}}0,1],[8,0],[0,8]], lane = {{\[\[}}0,2],[0,4],[1,0],[2,0],[4,0]], warp = {{\[\[}}16,0],[32,0]], repeat = [column 3 register]>
// CHECK-DAG: #[[$O:.+]] = #tile.layout<register = {{\[\[}}0,1],[8,0]], lane = {{\[\[}}0,2],[0,4],[1,0],[2,0],[4,0]], warp = {{\[\[}}16,0],[32,0]], repeat = [column 16 register]>
// CHECK-DAG: #[[$M:.+]] = #tile.layout<register = {{\[\[}}8,0]], lane = {{\[\[}}0,0],[0,0],[1,0],[2,0],[4,0]], warp = {{\[\[}}16,0],[32,0]]>
// CHECK-LABEL: tile.kernel @warpgroup
tile.kernel @warpgroup(%query: tensor<?x?x128xbf16>, %kv: !kv, %batch: !tile.batch, %out: tensor<?x?x128xbf16>, %scale: f32)
    attributes {schedule = #attn.schedule<unit = 4, units = 3, rows = 64, keys = 48, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16>,
                phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %t = arith.constant 0 : index
    // CHECK: tile.load_rows query {{.*}} -> <64x128xbf16, shared, #[[$Q]]>
    %q = tile.load_rows query %query[%item] : tensor<?x?x128xbf16> -> !tile.tile<64x128xbf16>
    %m, %l = tile.softmax_init : !tile.tile<64x1xf32>, !tile.tile<64x1xf32>
    // CHECK: tile.load_keys {{.*}} -> <48x128xbf16, shared, #[[$K]]>
    %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<48x128xbf16>
    // CHECK: tile.matmul {{.*}} -> !tile.tile<64x48xf32, registers, #[[$S]]>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<64x128xbf16>, !tile.tile<48x128xbf16>) -> !tile.tile<64x48xf32>
    // CHECK: tile.softmax_step {{.*}} : <64x48xf32, registers, #[[$S]]>, <64x1xf32, registers, #[[$M]]>
    %f, %m1, %l1, %c = tile.softmax_step %s, %m, %l scale %scale : !tile.tile<64x48xf32>, !tile.tile<64x1xf32>, !tile.tile<64x1xf32>
    %p = tile.convert %f : !tile.tile<64x48xf32> -> !tile.tile<64x48xbf16>
    // CHECK: tile.load_values {{.*}} -> <48x128xbf16, shared, #[[$V]]>
    %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<48x128xbf16>
    // CHECK: %[[MOVED:.+]] = tile.move {{.*}} : <64x48xbf16, registers, #[[$S]]> -> <64x48xbf16, registers, #[[$P]]>
    // CHECK: tile.matmul %[[MOVED]], %{{.+}} -> !tile.tile<64x128xf32, registers, #[[$O]]>
    %o = tile.matmul %p, %v : (!tile.tile<64x48xbf16>, !tile.tile<48x128xbf16>) -> !tile.tile<64x128xf32>
    tile.store_rows query %o, %out[%item] : !tile.tile<64x128xf32>, tensor<?x?x128xbf16>
  }
  tile.return
}
