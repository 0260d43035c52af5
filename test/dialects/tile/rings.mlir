// RUN: attncc-opt %s | attncc-opt | FileCheck %s
// RUN: attncc-opt %s --mlir-print-op-generic | attncc-opt | FileCheck %s

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>, !tile.tile<16x64xbf16, shared>), shared_by = unit>

// One slot's way from station to station.
// CHECK-LABEL: tile.kernel @ring
// CHECK-SAME: %[[KV:.+]]: !attn.paged_kv<{{.+}}>, %{{.+}}: !tile.batch
tile.kernel @ring(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  // CHECK: tile.work_loop(%[[ITEM:.+]], %[[UNIT:.+]]) in
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %true = arith.constant true
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    // CHECK: %[[T:.+]] = tile.key_tile
    %t = tile.key_tile %range[%c0]
    // CHECK: %[[R:.+]] = tile.ring {offset = 1024 : i32} : <2 x (!tile.tile<16x64xbf16, shared>, !tile.tile<16x64xbf16, shared>), shared_by = unit>
    %r = tile.ring {offset = 1024 : i32} : !ring
    // CHECK: %[[P:.+]] = tile.position
    %p = tile.position
    // CHECK: %[[PAGES:.+]] = tile.page_numbers %[[KV]], %{{.+}}[%[[C:.+]]] : <{{.+}}> -> <1x32xi32>
    %pages = tile.page_numbers %kv, %range[%c0] : !kv -> !tile.tile<1x32xi32>
    // CHECK: %[[SLOT:.+]] = tile.acquire %[[R]][%[[P]]] : <2 x
    %slot = tile.acquire %r[%p] : !ring
    // CHECK: tile.copy_keys %[[KV]][%[[ITEM]], %[[T]]] pages %[[PAGES]][%[[C]]] into %[[SLOT]] when %{{.+}} : <{{.+}}>, !tile.tile<1x32xi32>
    tile.copy_keys %kv[%item, %t] pages %pages[%c0] into %slot when %true : !kv, !tile.tile<1x32xi32>
    // CHECK: tile.copy_values %[[KV]][%[[ITEM]], %[[T]]] into %[[SLOT]] {index = 1 : i64} : <{{.+}}>
    tile.copy_values %kv[%item, %t] into %slot {index = 1 : i64} : !kv
    // CHECK: tile.commit %[[R]][%[[P]]] : <2 x
    tile.commit %r[%p] : !ring
    // CHECK: %[[TILES:.+]]:2 = tile.wait %[[R]][%[[P]]] : <2 x
    %k, %v = tile.wait %r[%p] : !ring
    // CHECK: tile.release %[[R]][%[[P]]] : <2 x
    tile.release %r[%p] : !ring
    // CHECK: %[[P1:.+]] = tile.advance %[[R]][%[[P]]] : <2 x
    %p1 = tile.advance %r[%p] : !ring
    %slot1 = tile.acquire %r[%p1] : !ring
    tile.commit %r[%p1] : !ring
    %p2 = tile.advance %r[%p1] : !ring
    %slot2 = tile.acquire %r[%p2] : !ring
    tile.commit %r[%p2] : !ring
    // CHECK: tile.wait %[[R]][%[[P1]]] {ahead = 1 : i64} : <2 x
    %k1, %v1 = tile.wait %r[%p1] {ahead = 1 : i64} : !ring
  }
  tile.return
}

// Tensor copies: a box, mbarriers, and zeros for what the copy leaves undefined.
// CHECK-LABEL: tile.kernel @boxes
tile.kernel @boxes(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<copy = tensor, box = 8>, phase = #attn.phase<decode, max_query = 1>} {
  // CHECK: tile.work_loop(%[[ITEM:.+]], %{{.+}}) in
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %t = arith.constant 0 : index
    // CHECK: tile.ring {barriers = 8192 : i32, offset = 0 : i32}
    %r = tile.ring {barriers = 8192 : i32, offset = 0 : i32} : !ring
    %p = tile.position
    %slot = tile.acquire %r[%p] : !ring
    // CHECK: tile.copy_keys {{.*}} {box = 8 : i64}
    tile.copy_keys %kv[%item, %t] into %slot {box = 8 : i64} : !kv
    // CHECK: tile.copy_values {{.*}} {box = 8 : i64, index = 1 : i64}
    tile.copy_values %kv[%item, %t] into %slot {box = 8 : i64, index = 1 : i64} : !kv
    tile.commit %r[%p] : !ring
    // CHECK: %[[TILES:.+]]:2 = tile.wait
    %k, %v = tile.wait %r[%p] : !ring
    // CHECK: tile.zero_rows %[[TILES]]#1[%[[ITEM]], %{{.+}}] : <16x64xbf16, shared>
    %z = tile.zero_rows %v[%item, %t] : !tile.tile<16x64xbf16, shared>
  }
  tile.return
}

// What a role fills: zeros where the keys end; and the query's rows, which a unit copies by itself.
// CHECK-LABEL: tile.kernel @roles(
// CHECK-SAME: %[[QUERY:[^:]+]]: tensor<?x?x64xbf16>
tile.kernel @roles(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 2],
                                          roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  // CHECK: %[[VALUES:.+]] = tile.ring : <2 x
  %values = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  // CHECK: %[[ROWS:.+]] = tile.ring : <1 x
  %rows = tile.ring : !tile.ring<1 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
  // CHECK: tile.roles load {
  tile.roles load {
    // CHECK-NEXT: tile.work_loop(%[[ITEM:.+]], %{{.+}}) in
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
      %t = arith.constant 0 : index
      %p = tile.position
      // CHECK: %[[SLOT:.+]] = tile.acquire %[[VALUES]]
      %slot = tile.acquire %values[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
      // CHECK: tile.copy_values %{{.+}}[%[[ITEM]], %{{.+}}] into %[[SLOT]] {box = 16 : i64, zeroed}
      tile.copy_values %kv[%item, %t] into %slot {box = 16 : i64, zeroed} : !kv
    }
  // CHECK: }, {
  }, {
  // CHECK: } compute {
  } compute {
    // CHECK-NEXT: tile.work_loop(%[[ITEM:.+]], %{{.+}}) in
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
      %p = tile.position
      // CHECK: %[[SLOT:.+]] = tile.acquire %[[ROWS]]
      %slot = tile.acquire %rows[%p] : !tile.ring<1 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
      // CHECK: tile.copy_rows query %[[QUERY]][%[[ITEM]]] into %[[SLOT]] : tensor<?x?x64xbf16>
      tile.copy_rows query %query[%item] into %slot : tensor<?x?x64xbf16>
    }
  }
  tile.return
}

// An item on its way from the role that draws to another one.
!items = !tile.ring<4 x (!tile.tile<1x32xi32, shared>), shared_by = roles>
// CHECK-LABEL: tile.kernel @items
tile.kernel @items(%batch: !tile.batch) attributes {schedule = #attn.schedule<divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  // CHECK: %[[R:.+]] = tile.ring : <4 x (!tile.tile<1x32xi32, shared>), shared_by = roles>
  %r = tile.ring : !items
  %p = tile.position
  tile.roles load {
    // CHECK: %[[ITEM:.+]], %{{.+}}, %[[VALID:.+]], %{{.+}} = tile.draw_item
    %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 4>)
    // CHECK: %[[SLOT:.+]] = tile.acquire %[[R]]
    %slot = tile.acquire %r[%p] : !items
    // CHECK: tile.put_item %[[ITEM]], %[[VALID]] into %[[SLOT]]
    tile.put_item %item, %valid into %slot
    tile.commit %r[%p] : !items
  } compute {
    // CHECK: %[[RECORD:.+]] = tile.wait %[[R]]
    %record = tile.wait %r[%p] : !items
    // CHECK: tile.take_item %[[RECORD]] items(<prefill, group = 4>) : <1x32xi32, shared>
    %item, %unit, %valid = tile.take_item %record items(<prefill, group = 4>) : !tile.tile<1x32xi32, shared>
    tile.release %r[%p] : !items
  }
  tile.return
}
