// RUN: attncc-opt %s --tile-assign-roles --split-input-file | FileCheck %s

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!tile = !tile.tile<16x64xbf16, shared, #kv>
!rows = !tile.ring<1 x (!tile), shared_by = unit>
!keys = !tile.ring<2 x (!tile), shared_by = units>
!values = !tile.ring<3 x (!tile), shared_by = units>

// Rings come first, for all roles.
// CHECK-LABEL: tile.kernel @separate(
// CHECK-SAME: %[[QUERY:[^:]+]]: tensor<?x?x64xbf16>, %[[KV:[^:]+]]: !attn.paged_kv<{{[^>]+}}>, %[[BATCH:[^:]+]]: !tile.batch
// CHECK-NEXT: %[[ROWS:.+]] = tile.ring : <1 x
// CHECK-NEXT: %[[KEYS:.+]] = tile.ring : <2 x
// CHECK-NEXT: %[[VALUES:.+]] = tile.ring : <3 x
// The first role only draws the items.
// CHECK-NEXT: tile.roles load {
// CHECK-NEXT: tile.work_loop(%{{.+}}, %{{.+}}) in %[[BATCH]] items(<prefill, group = 4>) {
// CHECK-NEXT: }
// CHECK-NEXT: }, {
// One for each ring of keys or values walks the tiles of the same range of the same items. It reads a tile's page
// numbers together, while the tile before is copied.
// CHECK-NEXT: tile.work_loop(%[[ITEM:.+]], %[[UNIT:.+]]) in %[[BATCH]] items(<prefill, group = 4>) {
// CHECK-NEXT: %[[RANGE:.+]] = tile.key_range %[[ITEM]], %[[UNIT]] mask(<causal>) {keys = 16 : i64}
// CHECK-NEXT: %[[N:.+]] = tile.range_count %[[RANGE]]
// CHECK: %[[PAGES0:.+]] = tile.page_numbers %[[KV]], %[[RANGE]][%c0{{.*}}]
// CHECK: %[[P0:.+]] = tile.position
// CHECK: scf.for %[[J:[^ ]+]] = %c0{{[^ ]*}} to %[[N]] step %c1{{[^ ]*}} iter_args(%[[PAGES:.+]] = %[[PAGES0]], %[[P:.+]] = %[[P0]])
// CHECK: %[[T:.+]] = tile.key_tile %[[RANGE]][%[[J]]]
// CHECK: %[[J1:.+]] = arith.addi %[[J]], %c1
// CHECK: %[[PAGES1:.+]] = tile.page_numbers %[[KV]], %[[RANGE]][%[[J1]]]
// CHECK: %[[SLOT:.+]] = tile.acquire %[[KEYS]][%[[P]]]
// CHECK: tile.copy_keys %[[KV]][%[[ITEM]], %[[T]]] pages %[[PAGES]][%c0{{.*}}] into %[[SLOT]] {box = 16 : i64}
// CHECK-NEXT: tile.commit %[[KEYS]][%[[P]]]
// CHECK-NEXT: %[[P1:.+]] = tile.advance %[[KEYS]][%[[P]]]
// CHECK-NEXT: scf.yield %[[PAGES1]], %[[P1]]
// CHECK-NOT: tile.acquire
// CHECK: }, {
// CHECK-NEXT: tile.work_loop(%[[ITEM:.+]], %[[UNIT:.+]]) in %[[BATCH]] items(<prefill, group = 4>) {
// CHECK-NEXT: tile.key_range %[[ITEM]], %[[UNIT]] mask(<causal>) {keys = 16 : i64}
// CHECK: %[[SLOT:.+]] = tile.acquire %[[VALUES]][
// CHECK: tile.copy_values %[[KV]][%[[ITEM]], %{{.+}}] pages %{{.+}}[%c0{{.*}}] into %[[SLOT]] {box = 16 : i64, zeroed}
// CHECK-NEXT: tile.commit %[[VALUES]][
// CHECK-NOT: tile.acquire
// The units' work loses its copies of keys and values, and keeps those of the query.
// CHECK: } compute {
// CHECK-NEXT: tile.work_loop(%[[MINE:.+]], %{{.+}}) in %[[BATCH]] items(<prefill, group = 4>) {
// CHECK: tile.acquire %[[ROWS]]
// CHECK-NEXT: tile.copy_rows query %[[QUERY]][%[[MINE]]] into
// CHECK-NEXT: tile.commit %[[ROWS]]
// CHECK: scf.for
// CHECK-NEXT: tile.key_tile
// CHECK-NEXT: tile.wait %[[KEYS]]
// CHECK-NEXT: tile.matmul
// CHECK-NEXT: tile.release %[[KEYS]]
// CHECK-NEXT: tile.advance %[[KEYS]]
// CHECK-NEXT: tile.wait %[[VALUES]]
// CHECK-NEXT: tile.matmul
// CHECK-NEXT: tile.release %[[VALUES]]
// CHECK-NEXT: tile.advance %[[VALUES]]
// CHECK-NOT: tile.acquire
// CHECK: tile.return
tile.kernel @separate(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 3],
                                          roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %rows = tile.ring : !rows
    %p = tile.position
    %slot = tile.acquire %rows[%p] : !rows
    tile.copy_rows query %query[%item] into %slot : tensor<?x?x64xbf16>
    tile.commit %rows[%p] : !rows
    %q = tile.wait %rows[%p] : !rows
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %keys = tile.ring : !keys
    %values = tile.ring : !values
    %pk0 = tile.position
    %pv0 = tile.position
    %w = tile.zero : !tile.tile<16x16xbf16>
    %o0 = tile.zero : !tile.tile<16x64xf32>
    %o:3 = scf.for %j = %c0 to %n step %c1 iter_args(%oi = %o0, %pk = %pk0, %pv = %pv0) 
        -> (!tile.tile<16x64xf32>, !tile.position, !tile.position) {
      %t = tile.key_tile %range[%j]
      %sk = tile.acquire %keys[%pk] : !keys
      tile.copy_keys %kv[%item, %t] into %sk {box = 16 : i64} : !kv
      tile.commit %keys[%pk] : !keys
      %k = tile.wait %keys[%pk] : !keys
      %s = tile.matmul %q, %k {transpose_b} : (!tile, !tile) -> !tile.tile<16x16xf32>
      tile.release %keys[%pk] : !keys
      %pk1 = tile.advance %keys[%pk] : !keys
      %sv = tile.acquire %values[%pv] : !values
      tile.copy_values %kv[%item, %t] into %sv {box = 16 : i64, zeroed} : !kv
      tile.commit %values[%pv] : !values
      %v = tile.wait %values[%pv] : !values
      %oj = tile.matmul %w, %v, %oi : (!tile.tile<16x16xbf16>, !tile, !tile.tile<16x64xf32>) -> !tile.tile<16x64xf32>
      tile.release %values[%pv] : !values
      %pv1 = tile.advance %values[%pv] : !values
      scf.yield %oj, %pk1, %pv1 : !tile.tile<16x64xf32>, !tile.position, !tile.position
    }
    tile.release %rows[%p] : !rows
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!tile = !tile.tile<16x64xbf16, shared, #kv>
!ring = !tile.ring<2 x (!tile, !tile), shared_by = units>

// What shares a slot is copied into it together. With overlap = tiles the units visit a tile also where the range has
// none (--tile-overlap), so that it is loaded too.
// CHECK-LABEL: tile.kernel @joint
// CHECK: tile.roles load {
// CHECK: %[[N:.+]] = tile.range_count
// CHECK: %[[C1:.+]] = arith.constant 1 : index
// CHECK: %[[END:.+]] = arith.maxui %[[N]], %[[C1]]
// CHECK: scf.for %{{.+}} to %[[END]] step
// CHECK: %[[SLOT:.+]] = tile.acquire
// CHECK: tile.copy_keys {{.+}} into %[[SLOT]] {box = 16 : i64}
// CHECK: tile.copy_values {{.+}} into %[[SLOT]] {box = 16 : i64, index = 1 : i64, zeroed}
// CHECK-NEXT: tile.commit
// CHECK: } compute {
tile.kernel @joint(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = 2,
                                          roles = specialised, registers = [32, 32, 160], overlap = tiles>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %w = tile.zero : !tile.tile<16x16xbf16>
    %o0 = tile.zero : !tile.tile<16x64xf32>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    %o:2 = scf.for %j = %c0 to %n step %c1 iter_args(%oi = %o0, %p = %p0) -> (!tile.tile<16x64xf32>, !tile.position) {
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %ring[%p] : !ring
      tile.copy_keys %kv[%item, %t] into %slot {box = 16 : i64} : !kv
      tile.copy_values %kv[%item, %t] into %slot {box = 16 : i64, index = 1 : i64, zeroed} : !kv
      tile.commit %ring[%p] : !ring
      %k, %v = tile.wait %ring[%p] : !ring
      %oj = tile.matmul %w, %v, %oi : (!tile.tile<16x16xbf16>, !tile, !tile.tile<16x64xf32>) -> !tile.tile<16x64xf32>
      tile.release %ring[%p] : !ring
      %p1 = tile.advance %ring[%p] : !ring
      scf.yield %oj, %p1 : !tile.tile<16x64xf32>, !tile.position
    }
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!tile = !tile.tile<16x64xbf16, shared, #kv>
!ring = !tile.ring<2 x (!tile, !tile), shared_by = units>

// roles = one: the units copy by themselves.
// CHECK-LABEL: tile.kernel @one
// CHECK-NOT: tile.roles
tile.kernel @one(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = 2>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %w = tile.zero : !tile.tile<16x16xbf16>
    %o0 = tile.zero : !tile.tile<16x64xf32>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    %o:2 = scf.for %j = %c0 to %n step %c1 iter_args(%oi = %o0, %p = %p0) -> (!tile.tile<16x64xf32>, !tile.position) {
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %ring[%p] : !ring
      tile.copy_keys %kv[%item, %t] into %slot {box = 16 : i64} : !kv
      tile.copy_values %kv[%item, %t] into %slot {box = 16 : i64, index = 1 : i64, zeroed} : !kv
      tile.commit %ring[%p] : !ring
      %k, %v = tile.wait %ring[%p] : !ring
      %oj = tile.matmul %w, %v, %oi : (!tile.tile<16x16xbf16>, !tile, !tile.tile<16x64xf32>) -> !tile.tile<16x64xf32>
      tile.release %ring[%p] : !ring
      %p1 = tile.advance %ring[%p] : !ring
      scf.yield %oj, %p1 : !tile.tile<16x64xf32>, !tile.position
    }
  }
  tile.return
}
