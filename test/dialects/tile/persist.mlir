// RUN: attncc-opt %s --tile-persist | FileCheck %s

// work = grid: the item of the block's place, and its body under the item's validity.
// CHECK-LABEL: tile.kernel @merge
// CHECK-NEXT: %[[ITEM:.+]], %{{.+}}, %[[VALID:.+]] = tile.grid_item %{{.+}} items(<merge, group = 4>)
// CHECK-NEXT: scf.if %[[VALID]] {
// CHECK-NEXT:   %[[R:.+]], %[[L:.+]] = tile.merge_splits %{{.+}}[%[[ITEM]]]
// CHECK-NEXT:   tile.store_merged %[[R]], %[[L]], %{{.+}}, %{{.+}}[%[[ITEM]]]
// CHECK-NEXT: }
// CHECK-NEXT: tile.return
tile.kernel @merge(%workspace: !tile.workspace, %batch: !tile.batch, %out: tensor<?x?x64xbf16>,
                   %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<merge>} {
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
    %r, %lse = tile.merge_splits %workspace[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
    tile.store_merged %r, %lse, %out, %lse_out[%item]
        : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>, tensor<?x?x64xbf16>
  }
  tile.return
}

// The items of states keep their source.
// CHECK-LABEL: tile.kernel @merge_states
// CHECK-NEXT: %[[ITEM:.+]], %{{.+}}, %[[VALID:.+]] = tile.grid_item %[[STATES:.+]] : !attn.states<{{.+}}> items(<merge_states, group = 1>)
// CHECK-NEXT: scf.if %[[VALID]] {
// CHECK-NEXT:   tile.merge_states %[[STATES]][%[[ITEM]]]
tile.kernel @merge_states(%states: !attn.states<parts = 2, heads = 8, dim = 64, type = bf16>)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<merge_states>} {
  tile.work_loop(%item, %unit) in %states : !attn.states<parts = 2, heads = 8, dim = 64, type = bf16> items(<merge_states, group = 1>) {
    %r, %lse = tile.merge_states %states[%item]
        : !attn.states<parts = 2, heads = 8, dim = 64, type = bf16> -> !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
  }
  tile.return
}

// work = static, atomic: the first loading role draws the items, and hands each to the others in a ring. All of them stay
// until there is none. Where the range's loop or an advance leaves a ring, the next item goes on; a position that the body
// does not move is moved by one slot.
// CHECK-LABEL: tile.kernel @roles
// CHECK: %[[RING:.+]] = tile.ring : <2 x
// CHECK: %[[ITEMS:.+]] = tile.ring : <2 x (!tile.tile<1x32xi32, shared, #{{.+}}>), shared_by = roles>
// CHECK: tile.roles load {
// CHECK: %[[START:.+]] = arith.constant 0 : index
// CHECK: %[[I0:.+]] = tile.position
// CHECK: scf.while (%[[CURSOR:[^ ]+]] = %[[START]], %[[I:[^ ]+]] = %[[I0]])
// Only when there is room for it: what a block has drawn no other one can take.
// CHECK: %[[SLOT:.+]] = tile.acquire %[[ITEMS]][%[[I]]]
// CHECK-NEXT: %[[ITEM:.+]], %[[UNIT:.+]], %[[VALID:.+]], %[[NEXT:.+]] = tile.draw_item %{{.+}}[%[[CURSOR]]] items(<prefill, group = 4>)
// CHECK: tile.put_item %[[ITEM]], %[[VALID]] into %[[SLOT]]
// CHECK: tile.commit %[[ITEMS]][%[[I]]]
// CHECK: scf.condition(%[[VALID]]) %[[ITEM]], %[[UNIT]], %[[NEXT]], %[[I]]
// CHECK: ^{{.+}}(%{{.+}}: !tile.item, %{{.+}}: index, %[[BEHIND:[^ ]+]]: index, %[[AT:[^ ]+]]: !tile.position):
// CHECK: %[[I1:.+]] = tile.advance %[[ITEMS]][%[[AT]]]
// CHECK: scf.yield %[[BEHIND]], %[[I1]]
// The others take what was drawn; their rings' positions stand behind that of the ring of items.
// CHECK: }, {
// CHECK: %[[I0:.+]] = tile.position
// CHECK: %[[P0:.+]] = tile.position
// CHECK: scf.while (%[[I:[^ ]+]] = %[[I0]], %[[P:[^ ]+]] = %[[P0]])
// CHECK: %[[RECORD:.+]] = tile.wait %[[ITEMS]][%[[I]]]
// CHECK: %[[ITEM:.+]], %[[UNIT:.+]], %[[VALID:.+]] = tile.take_item %[[RECORD]] items(<prefill, group = 4>)
// CHECK: tile.release %[[ITEMS]][%[[I]]]
// CHECK: scf.condition(%[[VALID]]) %[[ITEM]], %[[UNIT]], %[[I]], %[[P]]
// CHECK: ^{{.+}}(%{{.+}}: !tile.item, %{{.+}}: index, %[[AT:[^ ]+]]: !tile.position, %[[FROM:[^ ]+]]: !tile.position):
// CHECK: tile.acquire %[[RING]][%[[FROM]]]
// CHECK: %[[P1:.+]] = tile.advance %[[RING]][%[[FROM]]]
// CHECK: %[[I1:.+]] = tile.advance %[[ITEMS]][%[[AT]]]
// CHECK: scf.yield %[[I1]], %[[P1]]
// A position is followed through advances and loops.
// CHECK: } compute {
// CHECK: scf.while
// CHECK: tile.take_item
// CHECK: tile.release %[[ITEMS]]
// CHECK: ^{{.+}}(%[[MINE:[^ ]+]]: !tile.item, %[[MY:[^ ]+]]: index, %[[AT:[^ ]+]]: !tile.position, %[[ROWS_AT:[^ ]+]]: !tile.position, %[[FROM:[^ ]+]]: !tile.position):
// CHECK: tile.wait %[[ROWS:.+]][%[[ROWS_AT]]]
// CHECK: tile.key_range %[[MINE]], %[[MY]]
// CHECK: tile.advance %[[RING]][%[[FROM]]]
// CHECK: %[[MID:.+]] = scf.for
// CHECK: %[[END:.+]] = tile.advance %[[RING]][%[[MID]]]
// CHECK: %[[FREE:.+]] = tile.advance %[[ROWS]][%[[ROWS_AT]]]
// CHECK: %[[I1:.+]] = tile.advance %[[ITEMS]][%[[AT]]]
// CHECK: scf.yield %[[I1]], %[[FREE]], %[[END]]
tile.kernel @roles(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, divide = rows, work = atomic, roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  %rows = tile.ring : !tile.ring<1 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
  %ring = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  tile.roles load {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {}
  }, {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
      %p = tile.position
      %slot = tile.acquire %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
      tile.commit %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
      %p1 = tile.advance %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    }
  } compute {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %at = tile.position
      %q = tile.wait %rows[%at] : !tile.ring<1 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
      %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
      %p0 = tile.position
      %p1 = tile.advance %ring[%p0] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
      %p2 = scf.for %j = %c0 to %c1 step %c1 iter_args(%p = %p1) -> (!tile.position) {
        %k = tile.wait %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
        tile.release %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
        %next = tile.advance %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
        scf.yield %next : !tile.position
      }
      %p3 = tile.advance %ring[%p2] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
      tile.release %rows[%at] : !tile.ring<1 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
    }
  }
  tile.return
}
