// RUN: attncc-opt %s | attncc-opt | FileCheck %s
// RUN: attncc-opt %s --mlir-print-op-generic | attncc-opt | FileCheck %s

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// The decode kernel in values: one unit's tiles, one loop over keys.
// CHECK-LABEL: tile.kernel @decode(
// CHECK-SAME: %[[QUERY:.+]]: tensor<?x?x64xbf16>, %[[KV:[^:]+]]: !attn.paged_kv
// CHECK-SAME: %[[BATCH:[^:]+]]: !tile.batch, %[[OUT:[^:]+]]: tensor<?x?x64xbf16>
// CHECK-SAME: %[[LSE:[^:]+]]: tensor<?x?xf32>, %[[WORKSPACE:[^:]+]]: !tile.workspace, %[[SCALE:[^:]+]]: f32
// CHECK-SAME: phase = #attn.phase<decode, max_query = 8>
// CHECK-SAME: schedule = #attn.schedule<
tile.kernel @decode(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch,
                    %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>,
                    %workspace: !tile.workspace, %scale: f32)
    attributes {schedule = #attn.schedule<units = 4, rows = 8, keys = 16>, phase = #attn.phase<decode, max_query = 8>} {
  // CHECK: tile.work_loop(%[[ITEM:.+]], %[[UNIT:.+]]) in %[[BATCH]] items(<decode, group = 4>) {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // CHECK: %[[Q:.+]] = tile.load_rows query %[[QUERY]][%[[ITEM]]] : tensor<?x?x64xbf16> -> <8x64xbf16>
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<8x64xbf16>
    // CHECK: %[[RANGE:.+]] = tile.key_range %[[ITEM]], %[[UNIT]] mask(<causal>) {keys = 16 : i64}
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    // CHECK: %[[N:.+]] = tile.range_count %[[RANGE]]
    %n = tile.range_count %range
    // CHECK: tile.softmax_init : <8x1xf32>, <8x1xf32>
    %m0, %l0 = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
    // CHECK: tile.zero : <8x64xf32>
    %o0 = tile.zero : !tile.tile<8x64xf32>
    // CHECK: %[[LOOP:.+]]:3 = scf.for
    %m, %l, %o = scf.for %j = %c0 to %n step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %o0)
        -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>) {
      // CHECK: %[[T:.+]] = tile.key_tile %[[RANGE]][%{{.+}}]
      %t = tile.key_tile %range[%j]
      // CHECK: %[[K:.+]] = tile.load_keys %[[KV]][%[[ITEM]], %[[T]]] : <{{.+}}> -> <16x64xbf16>
      %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
      // CHECK: %[[S:.+]] = tile.matmul %[[Q]], %[[K]] {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16>) -> !tile.tile<8x16xf32>
      %s0 = tile.matmul %q, %k {transpose_b}
          : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16>) -> !tile.tile<8x16xf32>
      // CHECK: %[[S1:.+]] = tile.mask %[[S]][%[[ITEM]], %[[T]]] mask(<causal>) : <8x16xf32>
      %s1 = tile.mask %s0[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
      // CHECK: %[[P:.+]], %{{.+}}, %{{.+}}, %[[F:.+]] = tile.softmax_step %[[S1]], %{{.+}}, %{{.+}} scale %[[SCALE]] : <8x16xf32>, <8x1xf32>, <8x1xf32>
      %p, %mj, %lj, %f = tile.softmax_step %s1, %mi, %li scale %scale
          : !tile.tile<8x16xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
      // CHECK: %[[V:.+]] = tile.load_values %[[KV]][%[[ITEM]], %[[T]]] : <{{.+}}> -> <16x64xbf16>
      %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
      // CHECK: %[[PB:.+]] = tile.convert %[[P]] : <8x16xf32> -> <8x16xbf16>
      %pb = tile.convert %p : !tile.tile<8x16xf32> -> !tile.tile<8x16xbf16>
      // CHECK: %[[OR:.+]] = tile.rescale %{{.+}}, %[[F]] : <8x64xf32>, <8x1xf32>
      %or = tile.rescale %oi, %f : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>
      // CHECK: tile.matmul %[[PB]], %[[V]], %[[OR]] : (!tile.tile<8x16xbf16>, !tile.tile<16x64xbf16>, !tile.tile<8x64xf32>) -> !tile.tile<8x64xf32>
      %oj = tile.matmul %pb, %v, %or
          : (!tile.tile<8x16xbf16>, !tile.tile<16x64xbf16>, !tile.tile<8x64xf32>) -> !tile.tile<8x64xf32>
      scf.yield %mj, %lj, %oj : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>
    }
    // CHECK: tile.merge_units %[[LOOP]]#0, %[[LOOP]]#1, %[[LOOP]]#2
    %mm, %lm, %om = tile.merge_units %m, %l, %o
        : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
        -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
    // CHECK: %[[R:.+]], %[[L:.+]] = tile.normalize
    %r, %lse = tile.normalize %om, %mm, %lm
        : (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>)
        -> (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>)
    // CHECK: tile.store_attention %[[R]], %[[L]], %[[OUT]], %[[LSE]][%[[ITEM]]] : <8x64xf32>, <8x1xf32>, tensor<?x?x64xbf16>
    tile.store_attention %r, %lse, %out, %lse_out[%item]
        : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16>
  }
  // CHECK: tile.return
  tile.return
}

// A prefill result that leaves by way of the slot that its rows came through.
// CHECK-LABEL: tile.kernel @staged(
// CHECK-SAME: %[[OUT:[^:]+]]: tensor<?x?x64xbf16>, %[[LSE:[^:]+]]: tensor<?x?xf32>, %[[WORKSPACE:[^:]+]]: !tile.workspace
tile.kernel @staged(%out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, orientation = direct, rows = 16>, phase = #attn.phase<prefill>} {
  // CHECK: %[[ITEM:.+]], %{{.+}}, %{{.+}} = tile.grid_item
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %ring = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
  %at = tile.position
  // CHECK: %[[Q:.+]] = tile.wait
  %q = tile.wait %ring[%at] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
  // CHECK: %[[R:.+]] = tile.zero : <16x64xf32>
  %r = tile.zero : !tile.tile<16x64xf32>
  // CHECK: %[[L:.+]] = tile.zero : <16x1xf32>
  %lse = tile.zero : !tile.tile<16x1xf32>
  // CHECK: tile.store_attention %[[R]], %[[L]], %[[OUT]], %[[LSE]][%[[ITEM]]] through %[[Q]] : <16x64xf32>, <16x1xf32>, tensor<?x?x64xbf16> through !tile.tile<16x64xbf16, shared>
  tile.store_attention %r, %lse, %out, %lse_out[%item] through %q
      : !tile.tile<16x64xf32>, !tile.tile<16x1xf32>, tensor<?x?x64xbf16> through !tile.tile<16x64xbf16, shared>
  tile.return
}

// An item of several splits: units meet in a slot of their rings, a split's result joins the others, what is not all of
// a sequence goes to the workspace.
// CHECK-LABEL: tile.kernel @splits(
// CHECK-SAME: %[[WORKSPACE:[^:]+]]: !tile.workspace
tile.kernel @splits(%workspace: !tile.workspace, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<split = #attn.split<length = 128>, merge = item>, phase = #attn.phase<decode, max_query = 1>} {
  // CHECK: %[[ITEM:.+]], %{{.+}}, %{{.+}} = tile.grid_item
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  // CHECK: tile.item_splits %[[ITEM]]
  %count = tile.item_splits %item
  // CHECK: tile.split_tiles %[[ITEM]] {keys = 16 : i64}
  %tiles = tile.split_tiles %item {keys = 16}
  // CHECK: %[[RING:.+]] = tile.ring
  %ring = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
  // CHECK: %[[AT:.+]] = tile.position
  %at = tile.position
  %m, %l = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
  %o = tile.zero : !tile.tile<8x64xf32>
  // CHECK: tile.merge_units %{{.+}}, %{{.+}}, %{{.+}} in %[[RING]][%[[AT]]] of %[[ITEM]] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit> : (<8x1xf32>, <8x1xf32>, <8x64xf32>) -> (<8x1xf32>, <8x1xf32>, <8x64xf32>)
  %mm, %lm, %om = tile.merge_units %m, %l, %o in %ring[%at] of %item : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
      : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>) -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
  // CHECK: %[[R:.+]], %[[E:.+]] = tile.normalize %{{.+}} {log2} :
  %r, %e = tile.normalize %om, %mm, %lm {log2}
      : (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>) -> (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>)
  // CHECK: tile.add_split %[[R]], %[[E]] to %{{.+}}, %{{.+}}, %{{.+}} : <8x64xf32>, <8x1xf32>
  %ms, %ls, %os = tile.add_split %r, %e to %m, %l, %o : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>
  // CHECK: tile.store_partial %[[R]], %[[E]], %[[WORKSPACE]][%[[ITEM]], %{{.+}}] : <8x64xf32>, <8x1xf32>
  tile.store_partial %r, %e, %workspace[%item, %count] : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>
  tile.return
}

// The kernel that joins the splits of a row.
// CHECK-LABEL: tile.kernel @merge(
tile.kernel @merge(%workspace: !tile.workspace, %batch: !tile.batch, %out: tensor<?x?x64xbf16>,
                   %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<merge>} {
  // CHECK: tile.work_loop(%[[ITEM:.+]], %{{.+}}) in %{{.+}} items(<merge, group = 4>)
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
    // CHECK: tile.merge_splits %{{.+}}[%[[ITEM]]] : <1x64xf32>, <1x1xf32>
    %r, %lse = tile.merge_splits %workspace[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
    // CHECK: tile.store_merged %{{.+}}, %{{.+}}, %{{.+}}, %{{.+}}[%[[ITEM]]] : <1x64xf32>, <1x1xf32>, tensor<?x?x64xbf16>
    tile.store_merged %r, %lse, %out, %lse_out[%item]
        : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>, tensor<?x?x64xbf16>
  }
  tile.return
}

// Append: norm, rotation, and a row into the cache.
// CHECK-LABEL: tile.kernel @append(
tile.kernel @append(%query: tensor<?x?x64xbf16>, %key: tensor<?x?x64xbf16>, %value: tensor<?x?x64xbf16>,
                    %query_out: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch,
                    %slots: tensor<?xi64>, %positions: tensor<?xi64>, %weight: tensor<64xbf16>)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  tile.work_loop(%item, %unit) in %batch items(<append, group = 4>) {
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<4x64xbf16>
    // CHECK: tile.load_rows key
    %k = tile.load_rows key %key[%item] : tensor<?x?x64xbf16> -> !tile.tile<1x64xbf16>
    // CHECK: tile.load_rows value
    %v = tile.load_rows value %value[%item] : tensor<?x?x64xbf16> -> !tile.tile<1x64xbf16>
    // CHECK: %[[W:.+]] = tile.load_vector %{{.+}} : tensor<64xbf16> -> <1x64xbf16>
    %w = tile.load_vector %weight : tensor<64xbf16> -> !tile.tile<1x64xbf16>
    // CHECK: %[[QN:.+]] = tile.rms_norm %{{.+}} weight %[[W]] {epsilon = {{.+}} : f64} : <4x64xbf16>, <1x64xbf16> -> <4x64xf32>
    %qn = tile.rms_norm %q weight %w {epsilon = 1.0e-5 : f64} : !tile.tile<4x64xbf16>, !tile.tile<1x64xbf16> -> !tile.tile<4x64xf32>
    // CHECK: tile.rope %[[QN]][%{{.+}}] rope(<{{.+}}>) position %{{.+}} : <4x64xf32> -> <4x64xf32>
    %qr = tile.rope %qn[%item] rope(#attn.rope<pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>) position %positions
        : !tile.tile<4x64xf32> -> !tile.tile<4x64xf32>
    // CHECK: tile.rope %{{.+}}[%{{.+}}] rope(<{{.+}}>) : <1x64xbf16> -> <1x64xf32>
    %kr = tile.rope %k[%item] rope(#attn.rope<pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>)
        : !tile.tile<1x64xbf16> -> !tile.tile<1x64xf32>
    // CHECK: tile.store_rows query %{{.+}}, %{{.+}}[%{{.+}}] : <4x64xf32>, tensor<?x?x64xbf16>
    tile.store_rows query %qr, %query_out[%item] : !tile.tile<4x64xf32>, tensor<?x?x64xbf16>
    // CHECK: tile.store_kv %{{.+}}, %{{.+}}, %{{.+}}[%{{.+}}] slots %{{.+}} : <1x64xf32>, <1x64xbf16>, <page_size
    tile.store_kv %kr, %v, %kv[%item] slots %slots : !tile.tile<1x64xf32>, !tile.tile<1x64xbf16>, !kv
    // CHECK: tile.store_kv %{{.+}}, %{{.+}}, %{{[^ ]+}} : <1x64xf32>
    tile.store_kv %kr, %v, %kv[%item] : !tile.tile<1x64xf32>, !tile.tile<1x64xbf16>, !kv
  }
  tile.return
}

// Angles from the caller's table; queries that need not be given.
// CHECK-LABEL: tile.kernel @append_of_an_engine(
tile.kernel @append_of_an_engine(%query: tensor<?x?x64xbf16>, %query_out: tensor<?x?x64xbf16>, %batch: !tile.batch,
                                 %table: !attn.cos_sin<dim = 4, type = bf16>)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  tile.work_loop(%item, %unit) in %batch items(<append, group = 4>) {
    // CHECK: tile.load_rows query %{{.+}}[%{{.+}}] {optional} : tensor<?x?x64xbf16> -> <4x64xbf16>
    %q = tile.load_rows query %query[%item] {optional} : tensor<?x?x64xbf16> -> !tile.tile<4x64xbf16>
    // CHECK: tile.rope %{{.+}}[%{{.+}}] rope(<{{.+}}>) cos_sin %{{.+}} : !attn.cos_sin<dim = 4, type = bf16> : <4x64xbf16> -> <4x64xf32>
    %qr = tile.rope %q[%item] rope(#attn.rope<pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>)
        cos_sin %table : !attn.cos_sin<dim = 4, type = bf16> : !tile.tile<4x64xbf16> -> !tile.tile<4x64xf32>
    // CHECK: tile.store_rows query %{{.+}}, %{{.+}}[%{{.+}}] {optional} : <4x64xf32>, tensor<?x?x64xbf16>
    tile.store_rows query %qr, %query_out[%item] {optional} : !tile.tile<4x64xf32>, tensor<?x?x64xbf16>
  }
  tile.return
}

// Items of the caller's states: rows, without a batch.
// CHECK-LABEL: tile.kernel @merge_states(
tile.kernel @merge_states(%states: !attn.states<parts = 16, heads = 8, dim = 64, type = bf16>, %out: tensor<?x?x64xbf16>, %lse: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<merge_states>} {
  // CHECK: tile.work_loop(%[[ITEM:.+]], %{{.+}}) in %[[STATES:.+]] : !attn.states<parts = 16, heads = 8, dim = 64, type = bf16> items(<merge_states, group = 1>) {
  tile.work_loop(%item, %unit) in %states : !attn.states<parts = 16, heads = 8, dim = 64, type = bf16> items(<merge_states, group = 1>) {
    // CHECK: tile.merge_states %[[STATES]][%[[ITEM]]] : <parts = 16, heads = 8, dim = 64, type = bf16> -> <1x64xf32>, <1x1xf32>
    %r, %l = tile.merge_states %states[%item] : !attn.states<parts = 16, heads = 8, dim = 64, type = bf16> -> !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
    tile.store_merged %r, %l, %out, %lse[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>, tensor<?x?x64xbf16>
  }
  tile.return
}

// What --tile-persist makes of a work loop.
// CHECK-LABEL: tile.kernel @persisted(
tile.kernel @persisted(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>, shared_memory = 1024 : i32} {
  // CHECK: %[[ITEM:.+]], %[[UNIT:.+]], %[[VALID:.+]] = tile.grid_item %{{.+}} items(<merge, group = 4>)
  %item, %unit, %valid = tile.grid_item %batch items(<merge, group = 4>)
  scf.if %valid {
    // CHECK: tile.key_range %[[ITEM]], %[[UNIT]]
    %range = tile.key_range %item, %unit mask(#attn.mask<none>) {keys = 16 : i64}
  }
  tile.return
}

// What --tile-persist makes of one whose blocks stay, and what --tile-peel-masks and --tile-overlap ask of a range.
// CHECK-LABEL: tile.kernel @drawn(
tile.kernel @drawn(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, work = static>, phase = #attn.phase<prefill>} {
  %cursor = arith.constant 0 : index
  // CHECK: %[[ITEM:.+]], %[[UNIT:.+]], %[[VALID:.+]], %[[NEXT:.+]] = tile.draw_item %{{.+}}[%{{.+}}] items(<prefill, group = 4>)
  %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(<prefill, group = 4>)
  // CHECK: %[[RANGE:.+]] = tile.key_range %[[ITEM]], %[[UNIT]]
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  // CHECK: tile.range_edges %[[RANGE]]
  %edges = tile.range_edges %range
  // CHECK: tile.range_skipped %[[RANGE]] {limit = 3 : i64}
  %skipped = tile.range_skipped %range {limit = 3 : i64}
  // CHECK: tile.range_idle %[[RANGE]]
  %idle = tile.range_idle %range
  tile.return
}

// Products in flight, in the units' turns; a maximum that stays while scores exceed it by little, and a sum that is
// rescaled where a factor is not 1.
// CHECK-LABEL: func.func @in_flight(
// CHECK-SAME: %[[Q:[^:]+]]: !tile.tile<64x64xbf16>, %[[K:[^:]+]]: !tile.tile<32x64xbf16>, %[[M:[^:]+]]: !tile.tile<64x1xf32>, %[[SUM:[^:]+]]: !tile.tile<64x64xf32>, %[[SCALE:[^:]+]]: f32
func.func @in_flight(%q: !tile.tile<64x64xbf16>, %k: !tile.tile<32x64xbf16>, %m: !tile.tile<64x1xf32>, %sum: !tile.tile<64x64xf32>, %scale: f32) {
  // CHECK-NEXT: tile.take_turn
  tile.take_turn
  // CHECK-NEXT: %[[PS:.+]] = tile.matmul_issue %[[Q]], %[[K]] {transpose_b} : (!tile.tile<64x64xbf16>, !tile.tile<32x64xbf16>) -> !tile.pending<<64x32xf32>>
  %ps = tile.matmul_issue %q, %k {transpose_b} : (!tile.tile<64x64xbf16>, !tile.tile<32x64xbf16>) -> !tile.pending<!tile.tile<64x32xf32>>
  // CHECK-NEXT: %[[PO:.+]] = tile.matmul_issue %[[Q]], %[[Q]], %[[SUM]] : (!tile.tile<64x64xbf16>, !tile.tile<64x64xbf16>, !tile.tile<64x64xf32>) -> !tile.pending<<64x64xf32>>
  %po = tile.matmul_issue %q, %q, %sum : (!tile.tile<64x64xbf16>, !tile.tile<64x64xbf16>, !tile.tile<64x64xf32>) -> !tile.pending<!tile.tile<64x64xf32>>
  // CHECK-NEXT: tile.pass_turn
  tile.pass_turn
  // CHECK-NEXT: %[[S:.+]] = tile.await %[[PS]] {ahead = 1 : i64} : (!tile.pending<<64x32xf32>>) -> !tile.tile<64x32xf32>
  %s = tile.await %ps {ahead = 1 : i64} : (!tile.pending<!tile.tile<64x32xf32>>) -> !tile.tile<64x32xf32>
  // CHECK-NEXT: %[[P:.+]], %{{.+}}, %{{.+}}, %[[F:.+]] = tile.softmax_step %[[S]], %[[M]], %[[M]] scale %[[SCALE]] {lazy = 8 : i64} : <64x32xf32>, <64x1xf32>, <64x1xf32>
  %p, %m1, %l1, %f = tile.softmax_step %s, %m, %m scale %scale {lazy = 8 : i64} : !tile.tile<64x32xf32>, !tile.tile<64x1xf32>, !tile.tile<64x1xf32>
  // CHECK-NEXT: %[[O:.+]], %{{.+}} = tile.await %[[PO]] with %[[P]] : (!tile.pending<<64x64xf32>>, !tile.tile<64x32xf32>) -> (!tile.tile<64x64xf32>, !tile.tile<64x32xf32>)
  %o, %passed = tile.await %po with %p : (!tile.pending<!tile.tile<64x64xf32>>, !tile.tile<64x32xf32>) -> (!tile.tile<64x64xf32>, !tile.tile<64x32xf32>)
  // CHECK-NEXT: tile.rescale %[[O]], %[[F]] {voted} : <64x64xf32>, <64x1xf32>
  %or = tile.rescale %o, %f {voted} : !tile.tile<64x64xf32>, !tile.tile<64x1xf32>
  return
}
