// RUN: attncc-opt %s --tile-pipeline --split-input-file | FileCheck %s

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// One joint ring: both copies stand where the first load stood, the wait before the first use, the
// release behind the last.
// CHECK-LABEL: tile.kernel @joint
tile.kernel @joint(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<stages = 3>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %a = tile.zero : !tile.tile<8x64xbf16>
    %b = tile.zero : !tile.tile<8x16xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    // CHECK: %[[R:.+]] = tile.ring : <3 x (!tile.tile<16x64xbf16, shared, #[[KV:.+]]>, !tile.tile<16x64xbf16, shared, #[[KV]]>), shared_by = unit>
    // CHECK: %[[START:.+]] = tile.position
    // CHECK: scf.for %{{.+}} iter_args(%[[P:.+]] = %[[START]]) -> (!tile.position) {
    scf.for %j = %c0 to %n step %c1 {
      // CHECK-NEXT: %[[T:.+]] = tile.key_tile
      %t = tile.key_tile %range[%j]
      // CHECK-NEXT: %[[SLOT:.+]] = tile.acquire %[[R]][%[[P]]]
      // CHECK-NEXT: tile.copy_keys %{{.+}}[%{{.+}}, %[[T]]] into %[[SLOT]] : <
      // CHECK-NEXT: tile.copy_values %{{.+}}[%{{.+}}, %[[T]]] into %[[SLOT]] {index = 1 : i64}
      // CHECK-NEXT: tile.commit %[[R]][%[[P]]]
      %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16, shared, #kv>
      // CHECK-NEXT: %[[KV01:.+]]:2 = tile.wait %[[R]][%[[P]]]
      // CHECK-NEXT: tile.matmul %{{.+}}, %[[KV01]]#0
      %s = tile.matmul %a, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x16xf32>
      %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16, shared, #kv>
      // CHECK-NEXT: tile.matmul %{{.+}}, %[[KV01]]#1
      %o = tile.matmul %b, %v : (!tile.tile<8x16xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x64xf32>
      // CHECK-NEXT: tile.release %[[R]][%[[P]]]
      // CHECK-NEXT: %[[NEXT:.+]] = tile.advance %[[R]][%[[P]]]
      // CHECK-NEXT: scf.yield %[[NEXT]]
    }
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// A ring each, shared by units that divide rows.
// CHECK-LABEL: tile.kernel @separate
tile.kernel @separate(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, stages = [2, 3]>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  %a = tile.zero : !tile.tile<8x64xbf16>
  %b = tile.zero : !tile.tile<8x16xbf16>
  // CHECK: %[[RK:.+]] = tile.ring : <2 x (!tile.tile<16x64xbf16, shared, #{{.+}}>), shared_by = units>
  // CHECK: %[[RV:.+]] = tile.ring : <3 x (!tile.tile<16x64xbf16, shared, #{{.+}}>), shared_by = units>
  // CHECK: scf.for
  scf.for %j = %c0 to %c9 step %c1 {
    // CHECK: tile.copy_keys
    // CHECK: tile.wait %[[RK]]
    // CHECK: tile.matmul
    // CHECK: tile.release %[[RK]]
    %k = tile.load_keys %kv[%item, %j] : !kv -> !tile.tile<16x64xbf16, shared, #kv>
    %s = tile.matmul %a, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x16xf32>
    // CHECK: tile.copy_values {{[^{]*}} : <
    // CHECK: tile.wait %[[RV]]
    // CHECK: tile.matmul
    // CHECK: tile.release %[[RV]]
    %v = tile.load_values %kv[%item, %j] : !kv -> !tile.tile<16x64xbf16, shared, #kv>
    %o = tile.matmul %b, %v : (!tile.tile<8x16xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x64xf32>
    // CHECK: scf.yield %{{.+}}, %{{.+}} : !tile.position, !tile.position
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Tensor copies have the schedule's box. What they leave undefined is harmless in keys, in values it becomes zero.
// CHECK-LABEL: tile.kernel @boxes
tile.kernel @boxes(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<copy = tensor, box = 8>, phase = #attn.phase<decode, max_query = 1>} {
  // CHECK: tile.work_loop(%[[ITEM:.+]], %{{.+}}) in
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %a = tile.zero : !tile.tile<8x64xbf16>
    %b = tile.zero : !tile.tile<8x16xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    scf.for %j = %c0 to %n step %c1 {
      // CHECK: %[[T:.+]] = tile.key_tile
      %t = tile.key_tile %range[%j]
      // CHECK: tile.copy_keys {{.*}} {box = 8 : i64}
      // CHECK-NEXT: tile.copy_values {{.*}} {box = 8 : i64, index = 1 : i64}
      // CHECK: %[[KV01:.+]]:2 = tile.wait
      // CHECK-NEXT: %[[V:.+]] = tile.zero_rows %[[KV01]]#1[%[[ITEM]], %[[T]]]
      // CHECK-NEXT: tile.matmul %{{.+}}, %[[KV01]]#0
      %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16, shared, #kv>
      %s = tile.matmul %a, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x16xf32>
      // CHECK-NEXT: tile.matmul %{{.+}}, %[[V]]
      %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16, shared, #kv>
      %o = tile.matmul %b, %v : (!tile.tile<8x16xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x64xf32>
    }
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// With specialised roles the query's rows have a ring of each unit, which the unit fills before the loop and gives back
// behind its last use. Values past the last key become zero before their slot is handed over: the wait is followed by
// no tile.zero_rows.
// CHECK-LABEL: tile.kernel @roles(
// CHECK-SAME: %[[QUERY:[^:]+]]: tensor<?x?x64xbf16>
tile.kernel @roles(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch, %out: tensor<?x?x64xbf16>)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 2], query_stages = 2,
                                          roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  // CHECK: tile.work_loop(%[[ITEM:.+]], %{{.+}}) in
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %b = tile.zero : !tile.tile<16x16xbf16>
    // CHECK: %[[R:.+]] = tile.ring : <2 x (!tile.tile<16x64xbf16, shared, #{{.+}}>), shared_by = unit>
    // CHECK-NEXT: %[[P:.+]] = tile.position
    // CHECK-NEXT: %[[SLOT:.+]] = tile.acquire %[[R]][%[[P]]]
    // CHECK-NEXT: tile.copy_rows query %[[QUERY]][%[[ITEM]]] into %[[SLOT]] : tensor<?x?x64xbf16>
    // CHECK-NEXT: tile.commit %[[R]][%[[P]]]
    // CHECK-NEXT: %[[Q:.+]] = tile.wait %[[R]][%[[P]]]
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<16x64xbf16, shared, #kv>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    // CHECK: tile.ring : <2 x (!tile.tile<16x64xbf16, shared, #{{.+}}>), shared_by = units>
    // CHECK: tile.ring : <2 x (!tile.tile<16x64xbf16, shared, #{{.+}}>), shared_by = units>
    // CHECK: scf.for
    scf.for %j = %c0 to %n step %c1 {
      %t = tile.key_tile %range[%j]
      // CHECK: tile.copy_keys {{.*}} {box = 16 : i64}
      // CHECK: tile.matmul %[[Q]],
      %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16, shared, #kv>
      %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16, shared, #kv>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<16x16xf32>
      // CHECK: tile.copy_values {{.*}} {box = 16 : i64, zeroed}
      // CHECK: %[[V:.+]] = tile.wait
      // CHECK-NEXT: tile.matmul %{{.+}}, %[[V]]
      %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16, shared, #kv>
      %o = tile.matmul %b, %v : (!tile.tile<16x16xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<16x64xf32>
      // CHECK: scf.yield
    }
    // CHECK-NEXT: }
    // CHECK-NEXT: tile.release %[[R]][%[[P]]]
    // CHECK-NEXT: tile.zero : <16x64xf32>
    %z = tile.zero : !tile.tile<16x64xf32>
    tile.store_rows query %z, %out[%item] : !tile.tile<16x64xf32>, tensor<?x?x64xbf16>
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!q = !tile.tile<16x64xbf16, shared, #kv>
!s = !tile.tile<16x16xf32>
!o = !tile.tile<16x64xf32>
!m = !tile.tile<16x1xf32>

// output = staged: the result takes the place of the query's rows. The store goes through the tile that the unit has waited for,
// which makes it the last use: the slot is given back behind it and not behind the loop.
// CHECK-LABEL: tile.kernel @staged(
tile.kernel @staged(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch, %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>,
                    %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 2], query_stages = 2,
                                          roles = specialised, registers = [32, 32, 160], output = staged>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // CHECK: %[[R:.+]] = tile.ring : <2 x {{.+}}, shared_by = unit>
    // CHECK-NEXT: %[[P:.+]] = tile.position
    // CHECK: %[[Q:.+]] = tile.wait %[[R]][%[[P]]]
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !q
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    // CHECK: scf.for
    // CHECK: tile.matmul %[[Q]],
    // CHECK-NOT: tile.release %[[R]]
    scf.for %j = %c0 to %n step %c1 {
      %t = tile.key_tile %range[%j]
      %k = tile.load_keys %kv[%item, %t] : !kv -> !q
      %s = tile.matmul %q, %k {transpose_b} : (!q, !q) -> !s
    }
    // CHECK: %[[O:.+]] = tile.zero : <16x64xf32>
    // CHECK-NEXT: %[[LSE:.+]] = tile.zero : <16x1xf32>
    // CHECK-NEXT: tile.store_attention %[[O]], %[[LSE]], %{{.+}}, %{{.+}}[%{{.+}}] through %[[Q]] :
    // CHECK-NEXT: tile.release %[[R]][%[[P]]]
    %o = tile.zero : !o
    %lse = tile.zero : !m
    tile.store_attention %o, %lse, %out, %lse_out[%item] : !o, !m, tensor<?x?x64xbf16>
  }
  tile.return
}

// output = direct: the store has nothing to do with the slot, which is given back in front of it.
// CHECK-LABEL: tile.kernel @direct(
tile.kernel @direct(%query: tensor<?x?x64xbf16>, %batch: !tile.batch, %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 2], query_stages = 2,
                                          roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %k = tile.zero : !tile.tile<16x64xbf16>
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !q
    // CHECK: tile.matmul
    // CHECK-NEXT: tile.release
    %s = tile.matmul %q, %k {transpose_b} : (!q, !tile.tile<16x64xbf16>) -> !s
    %o = tile.zero : !o
    %lse = tile.zero : !m
    // CHECK: tile.store_attention
    // CHECK-NOT: through
    // CHECK: tile.return
    tile.store_attention %o, %lse, %out, %lse_out[%item] : !o, !m, tensor<?x?x64xbf16>
  }
  tile.return
}

// Units that meet in the loop do so in the slot that each has done with, which it gives back behind that.
// CHECK-LABEL: tile.kernel @splits(
tile.kernel @splits(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<split = #attn.split<length = 128>, merge = item>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %true = arith.constant true
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %o = tile.zero : !o
    %m = tile.zero : !m
    %q = tile.zero : !tile.tile<16x64xbf16>
    // CHECK: %[[R:.+]] = tile.ring
    // CHECK: scf.for {{.+}} iter_args(%[[P:.+]] = %{{.+}})
    scf.for %j = %c0 to %n step %c1 {
      %t = tile.key_tile %range[%j]
      %k = tile.load_keys %kv[%item, %t] : !kv -> !q
      // CHECK: tile.matmul
      // CHECK-NEXT: scf.if
      // CHECK-NEXT: tile.merge_units %{{.+}}, %{{.+}}, %{{.+}} in %[[R]][%[[P]]] of %{{.+}} :
      // CHECK-NEXT: }
      // CHECK-NEXT: tile.release %[[R]][%[[P]]]
      %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16>, !q) -> !s
      scf.if %true {
        %a, %b, %c = tile.merge_units %m, %m, %o : (!m, !m, !o) -> (!m, !m, !o)
      }
    }
  }
  tile.return
}
