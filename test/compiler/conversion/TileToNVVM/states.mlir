// RUN: attncc-opt %s --convert-tile-to-nvvm --cse | FileCheck %s

#row = #tile.layout<register = [[0,1]], lane = [[0,2],[0,4],[0,8],[0,16],[0,32]]>
#one = #tile.layout<lane = [[0,0],[0,0],[0,0],[0,0],[0,0]]>
!states = !attn.states<parts = 2, heads = 8, dim = 64, type = bf16>

// Counts, the scale of the log-sum-exps, then pointer and strides of each part's output and log-sum-exps.
// CHECK-LABEL: llvm.func @merge_states(
// CHECK-SAME: %[[TOKENS:[^:]+]]: i32, %[[HEADS:[^:]+]]: i32, %[[PARTS:[^:]+]]: i32, %[[SCALE:[^:]+]]: f32,
// CHECK-SAME: %[[ROWS0:[^:]+]]: !llvm.ptr<1>, %{{[^:]+}}: i64, %{{[^:]+}}: i64, %[[LSE0:[^:]+]]: !llvm.ptr<1>, %{{[^:]+}}: i64, %{{[^:]+}}: i64,
// CHECK-SAME: %[[ROWS1:[^:]+]]: !llvm.ptr<1>, %{{[^:]+}}: i64, %{{[^:]+}}: i64, %[[LSE1:[^:]+]]: !llvm.ptr<1>,
tile.kernel @merge_states(%states: !states, %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<merge_states>} {
  // The unit's row is one token and head.
  // CHECK: %[[TOKEN:.+]] = arith.divui %{{.+}}, %[[HEADS]]
  // CHECK: arith.cmpi slt, %[[TOKEN]], %[[TOKENS]]
  %item, %unit, %valid = tile.grid_item %states : !states items(<merge_states, group = 1>)
  scf.if %valid {
    // A part that is not there is as one without keys; +inf is as -inf.
    // CHECK: arith.cmpi sgt, %[[PARTS]], %c0_i32
    // CHECK: llvm.getelementptr %[[LSE0]]
    // CHECK: arith.cmpi sgt, %[[PARTS]], %c1_i32
    // CHECK: llvm.getelementptr %[[LSE1]]
    // CHECK: arith.cmpf oeq
    // CHECK: arith.select
    // The row of a part without keys is not read: its words are zeros.
    // CHECK: %[[LOADED:.+]] = scf.if %{{.+}} -> (i32) {
    // CHECK-NEXT: scf.yield
    // CHECK-NEXT: } else {
    // CHECK: llvm.getelementptr %[[ROWS0]]
    // CHECK: llvm.load %{{.+}} {alignment = 4 : i64} : !llvm.ptr<1> -> i32
    // CHECK: llvm.getelementptr %[[ROWS1]]
    // CHECK: llvm.intr.fma(%{{.+}}, %[[SCALE]], %{{.+}})
    // No lane writes before all have read.
    // CHECK: nvvm.bar.warp.sync
    // CHECK: llvm.store
    %r, %l = tile.merge_states %states[%item] : !states -> !tile.tile<1x64xf32, registers, #row>, !tile.tile<1x1xf32, registers, #one>
    tile.store_merged %r, %l, %out, %lse_out[%item]
        : !tile.tile<1x64xf32, registers, #row>, !tile.tile<1x1xf32, registers, #one>, tensor<?x?x64xbf16>
  }
  tile.return
}
