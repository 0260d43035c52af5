// RUN: attncc-opt %s --tile-issue-matmuls --split-input-file | FileCheck %s

!tile = !tile.tile<64x64xbf16, shared>
!keys = !tile.ring<2 x (!tile), shared_by = units>
!values = !tile.ring<2 x (!tile), shared_by = units>
!s = !tile.tile<64x64xf32>
!p = !tile.tile<64x64xbf16>
!m = !tile.tile<64x1xf32>

// Two products of a tile that overlap: both start in the unit's turn, and slots are kept until what reads them is done.
// CHECK-LABEL: tile.kernel @overlapped
// CHECK: %[[K:.+]] = tile.wait %[[KEYS:.+]][
// CHECK-NEXT: tile.take_turn
// CHECK-NEXT: %[[PS:.+]] = tile.matmul_issue %{{.+}}, %[[K]] {transpose_b} : (!tile.tile<64x64xbf16, shared>, !tile.tile<64x64xbf16, shared>) -> !tile.pending<<64x64xf32>>
// CHECK-NEXT: %[[V:.+]] = tile.wait %[[VALUES:.+]][
// CHECK-NEXT: %[[PO:.+]] = tile.matmul_issue %{{.+}}, %[[V]], %{{.+}} : (!tile.tile<64x64xbf16>, !tile.tile<64x64xbf16, shared>, !tile.tile<64x64xf32>) -> !tile.pending<<64x64xf32>>
// CHECK-NEXT: tile.pass_turn
// The scores are there while the other product still runs.
// CHECK-NEXT: %[[S:.+]] = tile.await %[[PS]] {ahead = 1 : i64} : (!tile.pending<<64x64xf32>>) -> !tile.tile<64x64xf32>
// CHECK-NEXT: tile.release %[[KEYS]][
// CHECK-NEXT: %[[F:.+]], %{{.+}}, %{{.+}}, %[[C:.+]] = tile.softmax_step %[[S]]
// The next product's operand passes through the await of this one, which reads the registers that it may be given.
// CHECK-NEXT: %[[ON:.+]], %[[G:.+]] = tile.await %[[PO]] with %[[F]] : (!tile.pending<<64x64xf32>>, !tile.tile<64x64xf32>) -> (!tile.tile<64x64xf32>, !tile.tile<64x64xf32>)
// CHECK-NEXT: tile.release %[[VALUES]][
// CHECK-NEXT: %[[P:.+]] = tile.convert %[[G]]
// CHECK-NEXT: %[[OR:.+]] = tile.rescale %[[ON]], %[[C]]
// CHECK-NEXT: scf.yield %[[OR]], %[[P]]
tile.kernel @overlapped(%query: tensor<?x?x64xbf16>, %batch: !tile.batch, %scale: f32)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, keys = 64, orientation = direct, product = wgmma, stages = [2, 2],
                                          ping_pong = true>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile
  %keys = tile.ring : !keys
  %values = tile.ring : !values
  %at = tile.position
  %m, %l = tile.softmax_init : !m, !m
  %o0 = tile.zero : !s
  %p0 = tile.zero : !p
  scf.for %j = %c0 to %c9 step %c1 iter_args(%oi = %o0, %pi = %p0) -> (!s, !p) {
    %k = tile.wait %keys[%at] : !keys
    %s = tile.matmul %q, %k {transpose_b} : (!tile, !tile) -> !s
    tile.release %keys[%at] : !keys
    %v = tile.wait %values[%at] : !values
    %o = tile.matmul %pi, %v, %oi : (!p, !tile, !s) -> !s
    tile.release %values[%at] : !values
    %f, %mj, %lj, %c = tile.softmax_step %s, %m, %l scale %scale : !s, !m, !m
    %p = tile.convert %f : !s -> !p
    %or = tile.rescale %o, %c : !s, !m
    scf.yield %or, %p : !s, !p
  }
  tile.return
}

// -----

!tile = !tile.tile<64x64xbf16, shared>
!ring = !tile.ring<2 x (!tile), shared_by = units>
!s = !tile.tile<64x64xf32>

// A unit takes a turn for every tile of keys, also where no product reads them: in front of what gives the first slot back.
// Values alone are nothing that units take turns for.
// CHECK-LABEL: tile.kernel @unread
// CHECK: %[[KEYS:.+]] = tile.ring
// CHECK-NEXT: %[[VALUES:.+]] = tile.ring
// CHECK: scf.for {{.+}} iter_args(%[[PK:.+]] = %{{.+}})
// CHECK-NEXT: tile.wait %[[KEYS]][%[[PK]]]
// CHECK-NEXT: tile.take_turn
// CHECK-NEXT: tile.pass_turn
// CHECK-NEXT: tile.release %[[KEYS]][%[[PK]]]
// CHECK-NEXT: tile.advance %[[KEYS]][%[[PK]]]
// CHECK-NEXT: scf.yield
// CHECK: tile.take_turn
// CHECK-NEXT: tile.matmul_issue
// CHECK-NEXT: tile.pass_turn
// CHECK: scf.for {{.+}} iter_args(%[[PV:.+]] = %{{.+}})
// CHECK-NEXT: tile.wait %[[VALUES]][%[[PV]]]
// CHECK-NEXT: tile.release %[[VALUES]][%[[PV]]]
// CHECK-NEXT: tile.advance %[[VALUES]][%[[PV]]]
// CHECK-NEXT: scf.yield
// CHECK: scf.for {{.+}} iter_args(%[[PK:.+]] = %{{.+}}, %[[PV:.+]] = %{{.+}})
// CHECK-NEXT: tile.wait %[[KEYS]][%[[PK]]]
// CHECK-NEXT: tile.wait %[[VALUES]][%[[PV]]]
// CHECK-NEXT: tile.take_turn
// CHECK-NEXT: tile.pass_turn
// CHECK-NEXT: tile.release %[[KEYS]][%[[PK]]]
// CHECK-NEXT: tile.advance %[[KEYS]][%[[PK]]]
// CHECK-NEXT: tile.release %[[VALUES]][%[[PV]]]
// CHECK-NEXT: tile.advance %[[VALUES]][%[[PV]]]
// CHECK-NEXT: scf.yield
tile.kernel @unread(%query: tensor<?x?x64xbf16>, %batch: !tile.batch, %out: tensor<?x?x64xbf16>)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, keys = 64, orientation = direct, product = wgmma, stages = 2,
                                          ping_pong = true>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile
  %keys = tile.ring : !ring
  %values = tile.ring : !ring
  %p0 = tile.position
  %pk1 = scf.for %j = %c0 to %c9 step %c1 iter_args(%pk = %p0) -> (!tile.position) {
    %k = tile.wait %keys[%pk] : !ring
    tile.release %keys[%pk] : !ring
    %next = tile.advance %keys[%pk] : !ring
    scf.yield %next : !tile.position
  }
  %k1 = tile.wait %keys[%pk1] : !ring
  %s = tile.matmul %q, %k1 {transpose_b} : (!tile, !tile) -> !s
  tile.release %keys[%pk1] : !ring
  %pk2 = tile.advance %keys[%pk1] : !ring
  tile.store_rows query %s, %out[%item] : !s, tensor<?x?x64xbf16>
  %pv1 = scf.for %j = %c0 to %c9 step %c1 iter_args(%pv = %p0) -> (!tile.position) {
    %v = tile.wait %values[%pv] : !ring
    tile.release %values[%pv] : !ring
    %next = tile.advance %values[%pv] : !ring
    scf.yield %next : !tile.position
  }
  %pk3, %pv2 = scf.for %j = %c0 to %c9 step %c1 iter_args(%pk = %pk2, %pv = %pv1) -> (!tile.position, !tile.position) {
    %k = tile.wait %keys[%pk] : !ring
    %v = tile.wait %values[%pv] : !ring
    tile.release %keys[%pk] : !ring
    %next_k = tile.advance %keys[%pk] : !ring
    tile.release %values[%pv] : !ring
    %next_v = tile.advance %values[%pv] : !ring
    scf.yield %next_k, %next_v : !tile.position, !tile.position
  }
  tile.return
}

// Without turns, a product that nothing overlaps with is awaited in front of its use; where that is in a region, in front
// of the region. The slot that it does not read is released where it was, and one of keys that no product reads too.
// CHECK-LABEL: tile.kernel @alone
// CHECK: %[[K:.+]] = tile.wait %[[RING:.+]][%[[AT:.+]]]
// CHECK-NEXT: tile.wait %[[OTHER:.+]][%[[AT]]]
// CHECK-NEXT: %[[PS:.+]] = tile.matmul_issue %{{.+}}, %[[K]] {transpose_b}
// CHECK-NEXT: tile.release %[[OTHER]][%[[AT]]]
// CHECK-NEXT: %[[S:.+]] = tile.await %[[PS]] : (!tile.pending
// CHECK-NEXT: tile.release %[[RING]][%[[AT]]]
// CHECK-NEXT: scf.if
// CHECK-NEXT: tile.store_rows query %[[S]]
// CHECK-NOT: {{take|pass}}_turn
// CHECK: tile.wait %[[RING]][%[[AT]]]
// CHECK-NEXT: tile.release %[[RING]][%[[AT]]]
tile.kernel @alone(%query: tensor<?x?x64xbf16>, %batch: !tile.batch, %out: tensor<?x?x64xbf16>)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, keys = 64, orientation = direct, product = wgmma, stages = 2>,
                phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile
  %ring = tile.ring : !ring
  %other = tile.ring : !ring
  %at = tile.position
  %k = tile.wait %ring[%at] : !ring
  %v = tile.wait %other[%at] : !ring
  %s = tile.matmul %q, %k {transpose_b} : (!tile, !tile) -> !s
  tile.release %ring[%at] : !ring
  tile.release %other[%at] : !ring
  scf.if %valid {
    tile.store_rows query %s, %out[%item] : !s, tensor<?x?x64xbf16>
    %unread = tile.wait %ring[%at] : !ring
    tile.release %ring[%at] : !ring
  }
  tile.return
}

// -----

!tile = !tile.tile<16x64xbf16, shared>
!ring = !tile.ring<2 x (!tile), shared_by = unit>

// product = mma: the instruction gives its result when it is done.
// CHECK-LABEL: tile.kernel @mma
// CHECK: tile.matmul %
// CHECK-NOT: tile.await
tile.kernel @mma(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<stages = 2>, phase = #attn.phase<decode, max_query = 1>} {
  %ring = tile.ring : !ring
  %at = tile.position
  %q = tile.zero : !tile.tile<8x64xbf16>
  %k = tile.wait %ring[%at] : !ring
  %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile) -> !tile.tile<8x16xf32>
  tile.release %ring[%at] : !ring
  tile.return
}
