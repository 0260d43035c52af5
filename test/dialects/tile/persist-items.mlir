// RUN: attncc-opt %s --tile-overlap --tile-persist --canonicalize --cse --split-input-file | FileCheck %s

!rows = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
!keys = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
!values = !tile.ring<3 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
!tile = !tile.tile<16x64xbf16, shared>
!s = !tile.tile<16x16xf32>
!p = !tile.tile<16x16xbf16>
!o = !tile.tile<16x64xf32>
!m = !tile.tile<16x1xf32>

// overlap = items: the last product of an item stands beside the first scores of the next one.
// CHECK-LABEL: tile.kernel @items(
// CHECK: %[[TRUE:.+]] = arith.constant true
// CHECK: %[[ROWS:.+]] = tile.ring : <2 x {{.*}} shared_by = unit>
// CHECK: %[[KEYS:.+]] = tile.ring : <2 x {{.*}} shared_by = units>
// CHECK: %[[VALUES:.+]] = tile.ring : <3 x
// CHECK: %[[ITEMS:.+]] = tile.ring : <3 x {{.*}} shared_by = roles>
// CHECK: } compute {
// The slot in front of the first item has none; each is released behind the next one's keys. Where there is a first item:
// its rows and the scores of its first tile, behind which the loop over the items begins.
// CHECK: tile.wait %[[ITEMS]][%[[NONE:.+]]]
// CHECK: %[[I0:.+]] = tile.advance %[[ITEMS]][%[[NONE]]]
// CHECK: %[[RECORD:.+]] = tile.wait %[[ITEMS]][%[[I0]]]
// CHECK: %[[ITEM:.+]], %[[UNIT:.+]], %[[VALID:.+]] = tile.take_item %[[RECORD]] items(<prefill, group = 4>)
// CHECK: %[[END:.+]] = scf.if %[[VALID]] -> (!tile.position) {
// CHECK: tile.key_range %[[ITEM]], %[[UNIT]]
// CHECK: tile.copy_rows query %{{.+}}[%[[ITEM]]] into
// CHECK: tile.matmul %{{.+}} {transpose_b}
// CHECK: %[[F0:.+]], %[[M0:.+]], %[[L0:.+]], %{{.+}} = tile.softmax_step
// CHECK-NOT: tile.matmul
// CHECK: %[[P0:.+]] = tile.convert %[[F0]]
// CHECK: %[[PK0:.+]] = tile.advance %[[KEYS]][%{{.+}}]
// CHECK-NOT: tile.matmul
// CHECK: %[[ALL:.+]]:8 = scf.while (%[[GOES_ON:[^ ]+]] = %[[TRUE]], %{{[^ ]+}} = %[[I0]], {{.*}} = %[[NONE]], %{{[^ ]+}} = %[[M0]], %{{[^ ]+}} = %[[L0]], %{{[^ ]+}} = %[[P0]], %{{[^ ]+}} = %[[PK0]])
// CHECK: scf.condition(%[[GOES_ON]])
// CHECK: ^{{.+}}(%[[I:[^ ]+]]: !tile.position,
// Its loop over the keys, behind the one that a unit without rows goes through instead; then its rows are given back. The
// next item's rows are copied before.
// CHECK: %[[RECORD:.+]] = tile.wait %[[ITEMS]][%[[I]]]
// CHECK: %[[ITEM:.+]], %[[UNIT:.+]], %{{.+}} = tile.take_item %[[RECORD]]
// CHECK: %[[RANGE:.+]] = tile.key_range %[[ITEM]], %[[UNIT]]
// CHECK: %[[IDLE:.+]] = tile.range_idle %[[RANGE]]
// CHECK: %[[FROM:.+]] = arith.maxui %[[IDLE]], %{{.+}}
// CHECK: %[[FREE:.+]] = tile.advance %[[ROWS]][%[[AT:.+]]]
// CHECK: %[[NEXT_I:.+]] = tile.advance %[[ITEMS]][%[[I]]]
// CHECK: %[[RECORD:.+]] = tile.wait %[[ITEMS]][%[[NEXT_I]]]
// CHECK: %[[NEXT:.+]], %{{.+}}, %[[IS_NEXT:.+]] = tile.take_item %[[RECORD]]
// CHECK: scf.if %[[IS_NEXT]] {
// CHECK: %[[SLOT:.+]] = tile.acquire %[[ROWS]][%[[FREE]]]
// CHECK: tile.copy_rows query %{{.+}}[%[[NEXT]]] into %[[SLOT]]
// CHECK: tile.commit %[[ROWS]][%[[FREE]]]
// CHECK: %[[PASSED:.+]]:2 = scf.for %{{.+}} to %[[FROM]] step
// CHECK: %[[LOOP:.+]]:6 = scf.for %{{.+}} = %[[FROM]] to %{{.+}} iter_args({{.*}} = %[[PASSED]]#0, %{{[^ ]+}} = %[[PASSED]]#1, %{{[^ ]+}} = %{{[^ ]+}})
// CHECK: tile.release %[[ROWS]][%[[AT]]]
// CHECK-NEXT: tile.release %[[ITEMS]][%[[BEFORE:[^ ]+]]]
// Where there is a next item its first scores start, then the last tile's product; the softmax comes behind both.
// CHECK: %[[RECORD:.+]] = tile.wait %[[ITEMS]][%[[NEXT_I]]]
// CHECK: %[[NEXT:.+]], %[[ITS_UNIT:.+]], %[[IS_NEXT:.+]] = tile.take_item %[[RECORD]]
// CHECK: %[[BOTH:.+]]:6 = scf.if %[[IS_NEXT]]
// CHECK: tile.key_range %[[NEXT]], %[[ITS_UNIT]]
// CHECK: %[[Q:.+]] = tile.wait %[[ROWS]][%[[FREE]]]
// CHECK: %[[K:.+]] = tile.wait %[[KEYS]][%[[LOOP]]#3]
// CHECK-NEXT: %[[S:.+]] = tile.matmul %[[Q]], %[[K]] {transpose_b}
// CHECK-NEXT: %[[V:.+]] = tile.wait %[[VALUES]][%[[LOOP]]#4]
// CHECK-NEXT: %[[O:.+]] = tile.matmul %[[LOOP]]#5, %[[V]], %[[LOOP]]#2
// CHECK-NEXT: tile.release %[[VALUES]][%[[LOOP]]#4]
// CHECK: tile.release %[[KEYS]][%[[LOOP]]#3]
// CHECK: tile.mask %[[S]][%[[NEXT]],
// CHECK: tile.softmax_step
// CHECK: scf.yield {{.+}}, %[[O]], %{{.+}} :
// CHECK: } else {
// CHECK: %[[V:.+]] = tile.wait %[[VALUES]][%[[LOOP]]#4]
// CHECK-NEXT: %[[O:.+]] = tile.matmul %[[LOOP]]#5, %[[V]], %[[LOOP]]#2
// CHECK-NOT: tile.matmul
// CHECK: scf.yield {{.+}}, %[[O]], %{{.+}} :
// What the item leaves is stored behind all that.
// CHECK: %[[RECORD:.+]] = tile.wait %[[ITEMS]][%[[I]]]
// CHECK: %[[ITEM:.+]], %{{.+}}, %{{.+}} = tile.take_item %[[RECORD]]
// CHECK: %[[R:.+]], %{{.+}} = tile.normalize %[[BOTH]]#4, %[[LOOP]]#0, %[[LOOP]]#1
// CHECK: tile.store_rows query %[[R]], %{{.+}}[%[[ITEM]]]
// CHECK-NEXT: scf.yield %[[IS_NEXT]], %[[NEXT_I]], {{.*}}, %[[I]],
// The slot that has no item is the one behind the last, or the first.
// CHECK: tile.release %[[ITEMS]][%[[ALL]]#3]
// CHECK-NEXT: scf.yield %[[ALL]]#0 : !tile.position
// CHECK-NEXT: } else {
// CHECK-NEXT: tile.release %[[ITEMS]][%[[NONE]]]
// CHECK-NEXT: scf.yield %[[I0]] : !tile.position
// CHECK-NEXT: }
// CHECK-NEXT: tile.release %[[ITEMS]][%[[END]]]
tile.kernel @items(%query: tensor<?x?x64xbf16>, %batch: !tile.batch, %out: tensor<?x?x64xf32>, %scale: f32)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 3], query_stages = 2,
                                          roles = specialised, registers = [32, 32, 160], overlap = items, work = static>, phase = #attn.phase<prefill>} {
  %rows = tile.ring : !rows
  %keys = tile.ring : !keys
  %values = tile.ring : !values
  tile.roles load {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {}
  } compute {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %at = tile.position
      %slot = tile.acquire %rows[%at] : !rows
      tile.copy_rows query %query[%item] into %slot : tensor<?x?x64xbf16>
      tile.commit %rows[%at] : !rows
      %q = tile.wait %rows[%at] : !rows
      %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
      %n = tile.range_count %range
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
      tile.release %rows[%at] : !rows
      %r, %lse = tile.normalize %o, %m, %l : (!o, !m, !m) -> (!o, !m)
      tile.store_rows query %r, %out[%item] : !o, tensor<?x?x64xf32>
    }
  }
  tile.return
}

// -----

!rows = !tile.ring<1 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
!keys = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
!values = !tile.ring<3 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
!tile = !tile.tile<16x64xbf16, shared>
!s = !tile.tile<16x16xf32>
!p = !tile.tile<16x16xbf16>
!o = !tile.tile<16x64xf32>
!m = !tile.tile<16x1xf32>

// With one slot of rows the next item's are copied when this one's have been given back, and an item's slot is released at
// its end.
// CHECK-LABEL: tile.kernel @one_slot(
// CHECK: %[[ROWS:.+]] = tile.ring : <1 x
// CHECK: } compute {
// CHECK: scf.while
// CHECK: do {
// CHECK-NOT: tile.copy_rows
// CHECK: tile.release %[[ROWS]]
// CHECK: %[[NEXT:.+]], %{{.+}}, %[[IS_NEXT:.+]] = tile.take_item
// CHECK: scf.if %[[IS_NEXT]]
// CHECK: tile.copy_rows query %{{.+}}[%[[NEXT]]] into
// CHECK: tile.store_rows
// CHECK-NEXT: tile.release
// CHECK-NEXT: scf.yield
tile.kernel @one_slot(%query: tensor<?x?x64xbf16>, %batch: !tile.batch, %out: tensor<?x?x64xf32>, %scale: f32)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 3], query_stages = 1,
                                          roles = specialised, registers = [32, 32, 160], overlap = items, work = static>, phase = #attn.phase<prefill>} {
  %rows = tile.ring : !rows
  %keys = tile.ring : !keys
  %values = tile.ring : !values
  tile.roles load {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {}
  } compute {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %at = tile.position
      %slot = tile.acquire %rows[%at] : !rows
      tile.copy_rows query %query[%item] into %slot : tensor<?x?x64xbf16>
      tile.commit %rows[%at] : !rows
      %q = tile.wait %rows[%at] : !rows
      %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
      %n = tile.range_count %range
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
      tile.release %rows[%at] : !rows
      %r, %lse = tile.normalize %o, %m, %l : (!o, !m, !m) -> (!o, !m)
      tile.store_rows query %r, %out[%item] : !o, tensor<?x?x64xf32>
    }
  }
  tile.return
}

// -----

!rows = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
!keys = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
!values = !tile.ring<3 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
!tile = !tile.tile<16x64xbf16, shared>
!s = !tile.tile<16x16xf32>
!p = !tile.tile<16x16xbf16>
!o = !tile.tile<16x64xf32>
!m = !tile.tile<16x1xf32>

// overlap = items: a result that leaves through the slot of the rows needs it to the end of its item: the rows are given back
// behind the store, in front of the item, and not behind the loop over the keys.
// CHECK-LABEL: tile.kernel @staged(
// CHECK: %[[ROWS:.+]] = tile.ring : <2 x {{.*}} shared_by = unit>
// CHECK: %[[ITEMS:.+]] = tile.ring : {{.*}} shared_by = roles>
// CHECK: } compute {
// CHECK: scf.while
// CHECK: ^{{.+}}(%[[I:[^ ]+]]: !tile.position, %[[AT:[^ ]+]]: !tile.position,
// CHECK: %[[FREE:.+]] = tile.advance %[[ROWS]][%[[AT]]]
// CHECK: %[[Q:.+]] = tile.wait %[[ROWS]][%[[AT]]] {ahead = 1 : i64}
// CHECK: scf.for
// CHECK-NOT: tile.release %[[ROWS]]
// CHECK: %[[BOTH:.+]]:6 = scf.if
// CHECK-NOT: tile.release %[[ROWS]]
// CHECK: %[[RECORD:.+]] = tile.wait %[[ITEMS]][%[[I]]]
// CHECK: %[[ITEM:.+]], %{{.+}}, %{{.+}} = tile.take_item %[[RECORD]]
// CHECK: %[[R:.+]], %[[LSE:.+]] = tile.normalize %[[BOTH]]#4,
// CHECK: tile.store_attention %[[R]], %[[LSE]], %{{.+}}, %{{.+}}[%[[ITEM]]] through %[[Q]] :
// CHECK-NEXT: tile.release %[[ROWS]][%[[AT]]]
// CHECK-NEXT: scf.yield %{{.+}}, %{{.+}}, %[[FREE]],
// CHECK-NOT: tile.release %[[ROWS]]
tile.kernel @staged(%query: tensor<?x?x64xbf16>, %batch: !tile.batch, %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace,
                    %scale: f32)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 3], query_stages = 2,
                                          roles = specialised, registers = [32, 32, 160], overlap = items, work = static, output = staged>,
                phase = #attn.phase<prefill>} {
  %rows = tile.ring : !rows
  %keys = tile.ring : !keys
  %values = tile.ring : !values
  tile.roles load {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {}
  } compute {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %at = tile.position
      %slot = tile.acquire %rows[%at] : !rows
      tile.copy_rows query %query[%item] into %slot : tensor<?x?x64xbf16>
      tile.commit %rows[%at] : !rows
      %q = tile.wait %rows[%at] : !rows
      %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
      %n = tile.range_count %range
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
      tile.store_attention %r, %lse, %out, %lse_out[%item] through %q : !o, !m, tensor<?x?x64xbf16> through !tile
      tile.release %rows[%at] : !rows
    }
  }
  tile.return
}
