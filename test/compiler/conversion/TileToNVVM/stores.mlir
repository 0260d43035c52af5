// RUN: attncc-opt %s --convert-tile-to-nvvm --cse | FileCheck %s

#x = #tile.layout<register = [[0,1],[0,2]], lane = [[0,4],[0,8],[0,16],[0,32],[1,0]], warp = [[2,0],[4,0]]>
#xm = #tile.layout<lane = [[0,0],[0,0],[0,0],[0,0],[1,0]], warp = [[2,0],[4,0]]>
#row = #tile.layout<register = [[0,1],[0,2]], lane = [[0,4],[0,8],[0,16],[0,32],[0,0]]>
#one = #tile.layout<lane = [[0,0],[0,0],[0,0],[0,0],[0,0]]>

// CHECK-LABEL: llvm.func @attention
tile.kernel @attention(%out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>, %batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 4, split = #attn.split<steps = [[2048, 256]]>>,
                phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %r = tile.zero : !tile.tile<8x64xf32, registers, #x>
  %lse = tile.zero : !tile.tile<8x1xf32, registers, #xm>
  // One split: a faulty sequence is NaN, and all of its rows are covered by the loop.
  // CHECK: arith.constant 0x7FFFFFFF : f32
  // CHECK: scf.for
  // CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 8 : i64} : vector<2xi32>, !llvm.ptr<1>
  // CHECK: } else {
  // Others' rows are rounded and written.
  // CHECK-NOT: scf.for
  // CHECK: scf.if
  // CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 8 : i64} : vector<2xi32>, !llvm.ptr<1>
  // A null pointer asks for no log-sum-exps; the first of 16 lanes that hold one writes it, if the row exists.
  // CHECK: llvm.ptrtoint %{{.+}} : !llvm.ptr<1> to i64
  // CHECK-COUNT-3: scf.if
  // CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 4 : i64} : f32, !llvm.ptr<1>
  // CHECK: } else {
  // Several: f32 rows and their log-sum-exps go to the workspace.
  // CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<1>
  // CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 4 : i64} : f32, !llvm.ptr<1>
  // CHECK: llvm.return
  tile.store_attention %r, %lse, %out, %lse_out, %workspace[%item]
      : !tile.tile<8x64xf32, registers, #x>, !tile.tile<8x1xf32, registers, #xm>, tensor<?x?x64xbf16>
  tile.return
}

// The loads of 16 splits are under way together, then they are added in order.
// CHECK-LABEL: llvm.func @merge
// CHECK: scf.for %{{.+}} = %c0_i32 to %[[SPLITS:.+]] step %c16_i32
// CHECK-COUNT-16: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
// CHECK-NOT: llvm.load
// CHECK: llvm.intr.fma
// CHECK: scf.yield
// CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 8 : i64} : vector<2xi32>, !llvm.ptr<1>
tile.kernel @merge(%workspace: !tile.workspace, %batch: !tile.batch, %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 4, split = #attn.split<steps = [[2048, 256]]>>, phase = #attn.phase<merge>} {
  %item, %unit, %valid = tile.grid_item %batch items(<merge, group = 4>)
  scf.if %valid {
    %r, %lse = tile.merge_splits %workspace[%item] : !tile.tile<1x64xf32, registers, #row>, !tile.tile<1x1xf32, registers, #one>
    tile.store_merged %r, %lse, %out, %lse_out[%item]
        : !tile.tile<1x64xf32, registers, #row>, !tile.tile<1x1xf32, registers, #one>, tensor<?x?x64xbf16>
  }
  tile.return
}
