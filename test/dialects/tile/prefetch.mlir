// RUN: attncc-opt %s --tile-prefetch --canonicalize --cse --split-input-file | FileCheck %s

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// The unit's own ring of 2 slots, pages of 16: two copies before the loop, then each follows the
// release of its slot; one page_numbers serves 32 tiles, the next is loaded when they are used up.
// CHECK-LABEL: tile.kernel @own
// CHECK-DAG: %[[RANGE:.+]] = tile.key_range
// CHECK: %[[N:.+]] = tile.range_count %[[RANGE]]
// CHECK: %[[RING:.+]] = tile.ring
// CHECK: %[[P0:.+]] = tile.position
// CHECK: %[[W:.+]] = tile.page_numbers %{{.+}}, %[[RANGE]][%c0{{.*}}]
// CHECK: %[[IN0:.+]] = arith.cmpi ugt, %[[N]], %c0
// CHECK: %[[T0:.+]] = tile.key_tile %[[RANGE]][%c0
// CHECK: %[[S0:.+]] = tile.acquire %[[RING]][%[[P0]]]
// CHECK: tile.copy_keys %{{.+}}[%{{.+}}, %[[T0]]] pages %[[W]][%c0{{.*}}] into %[[S0]] when %[[IN0]]
// CHECK: tile.commit %[[RING]][%[[P0]]]
// CHECK: %[[P1:.+]] = tile.advance %[[RING]][%[[P0]]]
// CHECK: tile.copy_keys %{{.+}} pages %[[W]][%c1{{.*}}] into
// CHECK: tile.commit %[[RING]][%[[P1]]]
// CHECK: %[[P2:.+]] = tile.advance %[[RING]][%[[P1]]]
// CHECK-NOT: tile.page_numbers
// CHECK: scf.for %[[J:.+]] = %c0 to %[[N]] step %c1 iter_args(%[[PR:.+]] = %[[P0]], %[[PW:.+]] = %[[P2]], %[[WJ:.+]] = %[[W]], %[[I:.+]] = %c2) ->
// CHECK-NEXT: %{{.+}} = tile.wait %[[RING]][%[[PR]]] {ahead = 1 : i64}
// CHECK-NEXT: tile.matmul
// CHECK-NEXT: tile.store_rows
// CHECK-NEXT: tile.release %[[RING]][%[[PR]]]
// CHECK-NEXT: %[[JA:.+]] = arith.addi %[[J]], %c2
// CHECK-NEXT: %[[IN:.+]] = arith.cmpi ult, %[[JA]], %[[N]]
// CHECK-NEXT: %[[T:.+]] = tile.key_tile %[[RANGE]][%[[JA]]]
// CHECK-NEXT: %[[SLOT:.+]] = tile.acquire %[[RING]][%[[PW]]]
// CHECK-NEXT: tile.copy_keys %{{.+}}[%{{.+}}, %[[T]]] pages %[[WJ]][%[[I]]] into %[[SLOT]] when %[[IN]]
// CHECK-NEXT: tile.commit %[[RING]][%[[PW]]]
// CHECK-DAG: %[[PW1:.+]] = tile.advance %[[RING]][%[[PW]]]
// CHECK-DAG: %[[PR1:.+]] = tile.advance %[[RING]][%[[PR]]]
// CHECK-DAG: %[[JN:.+]] = arith.addi %[[J]], %c3
// CHECK-DAG: %[[I1:.+]] = arith.addi %[[I]], %c1
// CHECK-DAG: %[[END:.+]] = arith.cmpi eq, %[[I1]], %c32
// CHECK-DAG: %[[I2:.+]] = arith.select %[[END]], %c0, %[[I1]]
// CHECK: %[[W1:.+]] = scf.if %[[END]]
// CHECK-NEXT: tile.page_numbers %{{.+}}, %[[RANGE]][%[[JN]]]
// CHECK: scf.yield %[[WJ]]
// CHECK: scf.yield %[[PR1]], %[[PW1]], %[[W1]], %[[I2]]
tile.kernel @own(%kv: !kv, %batch: !tile.batch, %out: tensor<?x?x16xf32>)
    attributes {schedule = #attn.schedule<stages = 2>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %q = tile.zero : !tile.tile<8x64xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    scf.for %j = %c0 to %n step %c1 iter_args(%p = %p0) -> (!tile.position) {
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %ring[%p] : !ring
      tile.copy_keys %kv[%item, %t] into %slot : !kv
      tile.commit %ring[%p] : !ring
      %k = tile.wait %ring[%p] : !ring
      %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x16xf32>
      tile.store_rows query %s, %out[%item] : !tile.tile<8x16xf32>, tensor<?x?x16xf32>
      tile.release %ring[%p] : !ring
      %next = tile.advance %ring[%p] : !ring
      scf.yield %next : !tile.position
    }
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 1, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = units>

// A ring of 3 slots that the units share: the distance is 2, and the copy stands behind the wait, at
// whose barrier all units have left the slot. Pages of one token: 32 numbers serve two tiles, so the
// numbers for tile 2 are loaded before the loop.
// CHECK-LABEL: tile.kernel @shared
// CHECK: %[[RANGE:.+]] = tile.key_range
// CHECK: %[[RING:.+]] = tile.ring
// CHECK: %[[W0:.+]] = tile.page_numbers %{{.+}}, %[[RANGE]][%c0
// CHECK: tile.copy_keys %{{.+}} pages %[[W0]][%c0
// CHECK: tile.copy_keys %{{.+}} pages %[[W0]][%c1
// CHECK-NOT: tile.copy_keys
// CHECK: %[[W2:.+]] = tile.page_numbers %{{.+}}, %[[RANGE]][%c2
// CHECK: scf.for {{.*}} iter_args(%[[PR:.+]] = %{{.+}}, %[[PW:.+]] = %{{.+}}, %[[W:.+]] = %[[W2]], %[[I:.+]] = %c0) ->
// CHECK-NEXT: tile.wait %[[RING]][%[[PR]]] {ahead = 1 : i64}
// CHECK: tile.acquire %[[RING]][%[[PW]]]
// CHECK: tile.copy_keys %{{.+}} pages %[[W]][%[[I]]]
// CHECK: tile.commit %[[RING]][%[[PW]]]
// CHECK: tile.matmul
// CHECK: tile.release %[[RING]][%[[PR]]]
// CHECK: arith.cmpi eq, %{{.+}}, %c2
tile.kernel @shared(%kv: !kv, %batch: !tile.batch, %out: tensor<?x?x16xf32>)
    attributes {schedule = #attn.schedule<stages = 3>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %q = tile.zero : !tile.tile<8x64xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    scf.for %j = %c0 to %n step %c1 iter_args(%p = %p0) -> (!tile.position) {
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %ring[%p] : !ring
      tile.copy_keys %kv[%item, %t] into %slot : !kv
      tile.commit %ring[%p] : !ring
      %k = tile.wait %ring[%p] : !ring
      %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x16xf32>
      tile.store_rows query %s, %out[%item] : !tile.tile<8x16xf32>, tensor<?x?x16xf32>
      tile.release %ring[%p] : !ring
      %next = tile.advance %ring[%p] : !ring
      scf.yield %next : !tile.position
    }
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<1 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = units>

// A single shared slot cannot run ahead: the loop stays.
// CHECK-LABEL: tile.kernel @single
// CHECK-NOT: tile.copy_keys
// CHECK: scf.for
// CHECK: tile.copy_keys
// CHECK: tile.wait %{{.+}}[%{{.+}}] :
tile.kernel @single(%kv: !kv, %batch: !tile.batch, %out: tensor<?x?x16xf32>)
    attributes {schedule = #attn.schedule<stages = 1>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %q = tile.zero : !tile.tile<8x64xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    scf.for %j = %c0 to %n step %c1 iter_args(%p = %p0) -> (!tile.position) {
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %ring[%p] : !ring
      tile.copy_keys %kv[%item, %t] into %slot : !kv
      tile.commit %ring[%p] : !ring
      %k = tile.wait %ring[%p] : !ring
      %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x16xf32>
      tile.store_rows query %s, %out[%item] : !tile.tile<8x16xf32>, tensor<?x?x16xf32>
      tile.release %ring[%p] : !ring
      %next = tile.advance %ring[%p] : !ring
      scf.yield %next : !tile.position
    }
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// Tensor copies stay tensor copies.
// CHECK-LABEL: tile.kernel @boxes
// CHECK-COUNT-3: tile.copy_values {{.*}} {box = 16 : i64}
// CHECK-NOT: tile.copy_values
tile.kernel @boxes(%kv: !kv, %batch: !tile.batch, %out: tensor<?x?x64xf32>)
    attributes {schedule = #attn.schedule<stages = 2, copy = tensor, box = 16>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %p16 = tile.zero : !tile.tile<8x16xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    scf.for %j = %c0 to %n step %c1 iter_args(%p = %p0) -> (!tile.position) {
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %ring[%p] : !ring
      tile.copy_values %kv[%item, %t] into %slot {box = 16 : i64} : !kv
      tile.commit %ring[%p] : !ring
      %v = tile.wait %ring[%p] : !ring
      %z = tile.zero_rows %v[%item, %t] : !tile.tile<16x64xbf16, shared, #kv>
      %o = tile.matmul %p16, %z : (!tile.tile<8x16xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x64xf32>
      tile.store_rows query %o, %out[%item] : !tile.tile<8x64xf32>, tensor<?x?x64xf32>
      tile.release %ring[%p] : !ring
      %p1 = tile.advance %ring[%p] : !ring
      scf.yield %p1 : !tile.position
    }
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// A loading role runs ahead by itself: copies stay where they are.
// CHECK-LABEL: tile.kernel @roles
// CHECK: tile.ring
// CHECK-NEXT: tile.position
// CHECK-NEXT: scf.for
// CHECK-NEXT: tile.key_tile
// CHECK-NEXT: tile.acquire
tile.kernel @roles(%kv: !kv, %batch: !tile.batch, %out: tensor<?x?x16xf32>)
    attributes {schedule = #attn.schedule<stages = 2, roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %q = tile.zero : !tile.tile<8x64xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    scf.for %j = %c0 to %n step %c1 iter_args(%p = %p0) -> (!tile.position) {
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %ring[%p] : !ring
      tile.copy_keys %kv[%item, %t] into %slot : !kv
      tile.commit %ring[%p] : !ring
      %k = tile.wait %ring[%p] : !ring
      %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x16xf32>
      tile.store_rows query %s, %out[%item] : !tile.tile<8x16xf32>, tensor<?x?x16xf32>
      tile.release %ring[%p] : !ring
      %next = tile.advance %ring[%p] : !ring
      scf.yield %next : !tile.position
    }
  }
  tile.return
}
