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
