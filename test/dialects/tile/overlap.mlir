// RUN: attncc-opt %s --tile-overlap --split-input-file | FileCheck %s

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!tile = !tile.tile<16x64xbf16, shared, #kv>
!keys = !tile.ring<2 x (!tile), shared_by = units>
!values = !tile.ring<3 x (!tile), shared_by = units>
!s = !tile.tile<16x16xf32>
!p = !tile.tile<16x16xbf16>
!o = !tile.tile<16x64xf32>
!m = !tile.tile<16x1xf32>

// CHECK-LABEL: tile.kernel @tiles
// CHECK: %[[N:.+]] = tile.range_count %[[RANGE:.+]]
// CHECK: %[[KEYS:.+]] = tile.ring : <2 x
// CHECK: %[[VALUES:.+]] = tile.ring : <3 x
// CHECK: %[[PK0:.+]] = tile.position
// CHECK: %[[PV0:.+]] = tile.position
// CHECK: %[[M0:.+]], %[[L0:.+]] = tile.softmax_init
// CHECK: %[[O0:.+]] = tile.zero
// A range without tiles gets one, of which the mask leaves nothing.
// CHECK: %[[C1:.+]] = arith.constant 1 : index
// CHECK: %[[LAST:.+]] = arith.maxui %[[N]], %[[C1]]
// The scores of the first tile.
// CHECK: %[[T0:.+]] = tile.key_tile %[[RANGE]][%c0{{.*}}]
// CHECK: %[[K0:.+]] = tile.wait %[[KEYS]][%[[PK0]]]
// CHECK: %[[S0:.+]] = tile.matmul %{{.+}}, %[[K0]] {transpose_b}
// CHECK: tile.release %[[KEYS]][%[[PK0]]]
// CHECK: tile.mask %[[S0]][%{{.+}}, %[[T0]]]
// CHECK: %[[F0:.+]], %[[M1:.+]], %[[L1:.+]], %{{.+}} = tile.softmax_step
// CHECK: %[[P0:.+]] = tile.convert %[[F0]]
// CHECK: %[[PK1:.+]] = tile.advance %[[KEYS]][%[[PK0]]]
// A unit without rows of the item reads none of the other tiles: it waits for the keys of each and the values of the one in
// front, gives both slots back, and leaves nothing to the loop over the tiles. A unit with rows leaves all to that.
// CHECK-NEXT: %[[IDLE:.+]] = tile.range_idle %[[RANGE]]
// CHECK-NEXT: %[[FROM:.+]] = arith.maxui %[[IDLE]], %[[C1]]
// CHECK-NEXT: %[[PASSED:.+]]:2 = scf.for %{{.+}} = %[[C1]] to %[[FROM]] step %{{.+}} iter_args(%[[PK:.+]] = %[[PK1]], %[[PV:.+]] = %[[PV0]])
// CHECK-NEXT: tile.wait %[[KEYS]][%[[PK]]]
// CHECK-NEXT: tile.wait %[[VALUES]][%[[PV]]]
// CHECK-NEXT: tile.release %[[KEYS]][%[[PK]]]
// CHECK-NEXT: %[[PKJ:.+]] = tile.advance %[[KEYS]][%[[PK]]]
// CHECK-NEXT: tile.release %[[VALUES]][%[[PV]]]
// CHECK-NEXT: %[[PVJ:.+]] = tile.advance %[[VALUES]][%[[PV]]]
// CHECK-NEXT: scf.yield %[[PKJ]], %[[PVJ]]
// CHECK-NEXT: }
// CHECK-NEXT: %[[R:.+]]:6 = scf.for %[[J:.+]] = %[[FROM]] to %[[LAST]] step %{{.+}} iter_args(%[[M:.+]] = %[[M1]], %[[L:.+]] = %[[L1]], %[[O:.+]] = %[[O0]], %[[PK:.+]] = %[[PASSED]]#0, %[[PV:.+]] = %[[PASSED]]#1, %[[P:.+]] = %[[P0]])
// The next tile's scores start, then this tile's probabilities meet its values; the softmax comes behind both.
// CHECK-NEXT: %[[T:.+]] = tile.key_tile %[[RANGE]][%[[J]]]
// CHECK-NEXT: %[[K:.+]] = tile.wait %[[KEYS]][%[[PK]]]
// CHECK-NEXT: %[[S:.+]] = tile.matmul %{{.+}}, %[[K]] {transpose_b}
// CHECK-NEXT: %[[V:.+]] = tile.wait %[[VALUES]][%[[PV]]]
// CHECK-NEXT: %[[OJ:.+]] = tile.matmul %[[P]], %[[V]], %[[O]]
// CHECK-NEXT: tile.release %[[VALUES]][%[[PV]]]
// CHECK-NEXT: %[[PVJ:.+]] = tile.advance %[[VALUES]][%[[PV]]]
// CHECK-NEXT: tile.release %[[KEYS]][%[[PK]]]
// CHECK-NEXT: %[[SM:.+]] = tile.mask %[[S]][%{{.+}}, %[[T]]]
// CHECK-NEXT: %[[F:.+]], %[[MJ:.+]], %[[LJ:.+]], %[[C:.+]] = tile.softmax_step %[[SM]], %[[M]], %[[L]]
// CHECK-NEXT: %[[PJ:.+]] = tile.convert %[[F]]
// CHECK-NEXT: %[[PKJ:.+]] = tile.advance %[[KEYS]][%[[PK]]]
// The sum is rescaled to the new maximum when it has this tile's products.
// CHECK-NEXT: %[[OC:.+]] = tile.rescale %[[OJ]], %[[C]]
// CHECK-NEXT: scf.yield %[[MJ]], %[[LJ]], %[[OC]], %[[PKJ]], %[[PVJ]], %[[PJ]]
// The values of the last tile.
// CHECK: %[[VN:.+]] = tile.wait %[[VALUES]][%[[R]]#4]
// CHECK-NEXT: %[[ON:.+]] = tile.matmul %[[R]]#5, %[[VN]], %[[R]]#2
// CHECK-NEXT: tile.release %[[VALUES]][%[[R]]#4]
// CHECK-NEXT: %[[PVN:.+]] = tile.advance %[[VALUES]][%[[R]]#4]
// CHECK-NEXT: tile.normalize %[[ON]], %[[R]]#0, %[[R]]#1
// What stands behind the loop sees the positions behind the last tile.
// CHECK: tile.wait %[[VALUES]][%[[PVN]]]
// CHECK: tile.wait %[[KEYS]][%[[R]]#3]
tile.kernel @tiles(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch, %scale: f32)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 3],
                                          roles = specialised, registers = [32, 32, 160], overlap = tiles>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %keys = tile.ring : !keys
    %values = tile.ring : !values
    %pk0 = tile.position
    %pv0 = tile.position
    %m0, %l0 = tile.softmax_init : !m, !m
    %o0 = tile.zero : !o
    %m, %l, %o, %pkn, %pvn = scf.for %j = %c0 to %n step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %o0, %pk = %pk0, %pv = %pv0)
        -> (!m, !m, !o, !tile.position, !tile.position) {
      %t = tile.key_tile %range[%j]
      %k = tile.wait %keys[%pk] : !keys
      %s = tile.matmul %q, %k {transpose_b} : (!tile, !tile) -> !s
      tile.release %keys[%pk] : !keys
      %sm = tile.mask %s[%item, %t] mask(#attn.mask<causal>) : !s
      %f, %mj, %lj, %c = tile.softmax_step %sm, %mi, %li scale %scale : !s, !m, !m
      %p = tile.convert %f : !s -> !p
      %or = tile.rescale %oi, %c : !o, !m
      %v = tile.wait %values[%pv] : !values
      %oj = tile.matmul %p, %v, %or : (!p, !tile, !o) -> !o
      tile.release %values[%pv] : !values
      %pk1 = tile.advance %keys[%pk] : !keys
      %pv1 = tile.advance %values[%pv] : !values
      scf.yield %mj, %lj, %oj, %pk1, %pv1 : !m, !m, !o, !tile.position, !tile.position
    }
    %r, %lse = tile.normalize %o, %m, %l : (!o, !m, !m) -> (!o, !m)
    %vn = tile.wait %values[%pvn] : !values
    %kn = tile.wait %keys[%pkn] : !keys
  }
  tile.return
}

// -----

!q = !tile.tile<16x64xbf16>
!tile = !tile.tile<16x64xbf16, shared>
!ring = !tile.ring<2 x (!tile), shared_by = units>
!s = !tile.tile<16x16xf32>
!p = !tile.tile<16x16xbf16>
!o = !tile.tile<16x64xf32>
!m = !tile.tile<16x1xf32>

// A block's only unit has rows of every item: no loop but the one over the tiles.
// CHECK-LABEL: tile.kernel @one_unit
// CHECK: %[[N:.+]] = tile.range_count
// CHECK: %[[C1:.+]] = arith.constant 1 : index
// CHECK: %[[LAST:.+]] = arith.maxui %[[N]], %[[C1]]
// CHECK-NOT: {{tile.range_idle|scf.for}}
// CHECK: scf.for %{{.+}} = %[[C1]] to %[[LAST]] step
// CHECK-NOT: scf.for
// CHECK: tile.return
tile.kernel @one_unit(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 1, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = 2,
                                          roles = specialised, registers = [32, 32, 160], overlap = tiles>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %range = tile.key_range %item, %unit mask(#attn.mask<none>) {keys = 16 : i64}
  %n = tile.range_count %range
  %q = tile.zero : !q
  %c = tile.zero : !m
  %o0 = tile.zero : !o
  %keys = tile.ring : !ring
  %values = tile.ring : !ring
  %p0 = tile.position
  %o, %pkn, %pvn = scf.for %j = %c0 to %n step %c1 iter_args(%oi = %o0, %pk = %p0, %pv = %p0) -> (!o, !tile.position, !tile.position) {
    %t = tile.key_tile %range[%j]
    %k = tile.wait %keys[%pk] : !ring
    %s = tile.matmul %q, %k {transpose_b} : (!q, !tile) -> !s
    tile.release %keys[%pk] : !ring
    %p = tile.convert %s : !s -> !p
    %or = tile.rescale %oi, %c : !o, !m
    %v = tile.wait %values[%pv] : !ring
    %oj = tile.matmul %p, %v, %or : (!p, !tile, !o) -> !o
    tile.release %values[%pv] : !ring
    %pk1 = tile.advance %keys[%pk] : !ring
    %pv1 = tile.advance %values[%pv] : !ring
    scf.yield %oj, %pk1, %pv1 : !o, !tile.position, !tile.position
  }
  tile.return
}

// Units that copy tiles together go through each loop together, with or without rows.
// CHECK-LABEL: tile.kernel @one_role
// CHECK: %[[N:.+]] = tile.range_count
// CHECK: %[[C1:.+]] = arith.constant 1 : index
// CHECK: %[[LAST:.+]] = arith.maxui %[[N]], %[[C1]]
// CHECK-NOT: {{tile.range_idle|scf.for}}
// CHECK: scf.for %{{.+}} = %[[C1]] to %[[LAST]] step
// CHECK-NOT: scf.for
// CHECK: tile.return
tile.kernel @one_role(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, stages = 2, overlap = tiles>,
                phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %range = tile.key_range %item, %unit mask(#attn.mask<none>) {keys = 16 : i64}
  %n = tile.range_count %range
  %q = tile.zero : !q
  %c = tile.zero : !m
  %o0 = tile.zero : !o
  %keys = tile.ring : !ring
  %values = tile.ring : !ring
  %p0 = tile.position
  %o, %pkn, %pvn = scf.for %j = %c0 to %n step %c1 iter_args(%oi = %o0, %pk = %p0, %pv = %p0) -> (!o, !tile.position, !tile.position) {
    %t = tile.key_tile %range[%j]
    %k = tile.wait %keys[%pk] : !ring
    %s = tile.matmul %q, %k {transpose_b} : (!q, !tile) -> !s
    tile.release %keys[%pk] : !ring
    %p = tile.convert %s : !s -> !p
    %or = tile.rescale %oi, %c : !o, !m
    %v = tile.wait %values[%pv] : !ring
    %oj = tile.matmul %p, %v, %or : (!p, !tile, !o) -> !o
    tile.release %values[%pv] : !ring
    %pk1 = tile.advance %keys[%pk] : !ring
    %pv1 = tile.advance %values[%pv] : !ring
    scf.yield %oj, %pk1, %pv1 : !o, !tile.position, !tile.position
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!tile = !tile.tile<16x64xbf16, shared, #kv>
!ring = !tile.ring<2 x (!tile), shared_by = unit>

// overlap = none: what stands in the loop stays there, and a loop without products does in any case.
// CHECK-LABEL: tile.kernel @none
// CHECK: %[[C0:.+]] = arith.constant 0 : index
// CHECK: scf.for %{{.+}} = %[[C0]] to
// CHECK-NEXT: tile.wait
// CHECK-NEXT: tile.matmul
tile.kernel @none(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<stages = 2>, phase = #attn.phase<decode, max_query = 1>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %ring = tile.ring : !ring
  %p = tile.position
  %q = tile.zero : !tile.tile<8x64xbf16>
  scf.for %j = %c0 to %c1 step %c1 {
    %k = tile.wait %ring[%p] : !ring
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile) -> !tile.tile<8x16xf32>
  }
  tile.return
}

// CHECK-LABEL: tile.kernel @no_products
// CHECK: %[[C0:.+]] = arith.constant 0 : index
// CHECK: scf.for %{{.+}} = %[[C0]] to
// CHECK-NEXT: tile.acquire
// CHECK-NEXT: tile.commit
// CHECK-NEXT: }
tile.kernel @no_products(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<stages = 2, overlap = tiles>, phase = #attn.phase<decode, max_query = 1>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %ring = tile.ring : !ring
  %p = tile.position
  scf.for %j = %c0 to %c1 step %c1 {
    %slot = tile.acquire %ring[%p] : !ring
    tile.commit %ring[%p] : !ring
  }
  tile.return
}
