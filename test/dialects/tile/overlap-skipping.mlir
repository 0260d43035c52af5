// RUN: attncc-opt %s --tile-overlap | FileCheck %s

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!tile = !tile.tile<16x64xbf16, shared, #kv>
!keys = !tile.ring<2 x (!tile), shared_by = units>
!values = !tile.ring<3 x (!tile), shared_by = units>
!s = !tile.tile<16x16xf32>
!p = !tile.tile<16x16xbf16>
!o = !tile.tile<16x64xf32>
!m = !tile.tile<16x1xf32>

// skip_tiles: a unit waits for the keys of the first tiles that none of its rows sees and gives them back, as often as the
// ring of values is deep, begins with the next tile, and does the same with their values. The turns that it takes for them
// come with the products': --tile-issue-matmuls.
// CHECK-LABEL: tile.kernel @skipping
// CHECK: %[[KEYS:.+]] = tile.ring : <2 x
// CHECK: %[[VALUES:.+]] = tile.ring : <3 x
// CHECK: %[[PK0:.+]] = tile.position
// CHECK: %[[PV0:.+]] = tile.position
// CHECK: %[[C1:.+]] = arith.constant 1 : index
// CHECK: %[[LAST:.+]] = arith.maxui %{{.+}}, %[[C1]]
// CHECK: %[[SKIPPED:.+]] = tile.range_skipped %[[RANGE:.+]] {limit = 3 : i64}
// CHECK: %[[SECOND:.+]] = arith.addi %[[SKIPPED]], %[[C1]]
// CHECK: %[[PK:.+]] = scf.for %{{.+}} to %[[SKIPPED]] step %{{.+}} iter_args(%[[P:.+]] = %[[PK0]])
// CHECK-NEXT: tile.wait %[[KEYS]][%[[P]]]
// CHECK-NEXT: tile.release %[[KEYS]][%[[P]]]
// CHECK-NEXT: tile.advance %[[KEYS]][%[[P]]]
// CHECK: %[[T:.+]] = tile.key_tile %[[RANGE]][%[[SKIPPED]]]
// CHECK: tile.wait %[[KEYS]][%[[PK]]]
// CHECK: tile.mask %{{.+}}[%{{.+}}, %[[T]]]
// CHECK: %[[PK1:.+]] = tile.advance %[[KEYS]][%[[PK]]]
// CHECK: %[[PV:.+]] = scf.for %{{.+}} to %[[SKIPPED]] step %{{.+}} iter_args(%[[P:.+]] = %[[PV0]])
// CHECK-NEXT: tile.wait %[[VALUES]][%[[P]]]
// CHECK-NEXT: tile.release %[[VALUES]][%[[P]]]
// CHECK-NEXT: tile.advance %[[VALUES]][%[[P]]]
// A unit without rows passes the rest from the tile on with which the others' loop begins.
// CHECK: %[[IDLE:.+]] = tile.range_idle %[[RANGE]]
// CHECK: %[[FROM:.+]] = arith.maxui %[[IDLE]], %[[SECOND]]
// CHECK: %[[PASSED:.+]]:2 = scf.for %{{.+}} = %[[SECOND]] to %[[FROM]] step %{{.+}} iter_args(%{{.+}} = %[[PK1]], %{{.+}} = %[[PV]])
// CHECK: scf.for %{{.+}} = %[[FROM]] to %[[LAST]] step %{{.+}} iter_args({{.+}} = %[[PASSED]]#0, %{{.+}} = %[[PASSED]]#1, %{{.+}} = %{{.+}})
tile.kernel @skipping(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch, %scale: f32)
    attributes {schedule = #attn.schedule<units = 2, divide = rows, orientation = direct, rows = 16, copy = tensor, box = 16, stages = [2, 3],
                                          roles = specialised, registers = [32, 32, 160], overlap = tiles, skip_tiles = true>, phase = #attn.phase<prefill>} {
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
