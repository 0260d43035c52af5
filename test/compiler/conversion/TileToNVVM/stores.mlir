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
  // CHECK-NOT: llvm.store
  // CHECK: llvm.return
  tile.store_attention %r, %lse, %out, %lse_out[%item]
      : !tile.tile<8x64xf32, registers, #x>, !tile.tile<8x1xf32, registers, #xm>, tensor<?x?x64xbf16>
  tile.return
}

// Of an item that does not take all splits: f32 rows and their log-sum-exps go to the workspace.
// CHECK-LABEL: llvm.func @partial
// CHECK: scf.if
// CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr<1>
// CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 4 : i64} : f32, !llvm.ptr<1>
tile.kernel @partial(%batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 4, split = #attn.split<steps = [[2048, 256]]>, merge = item>,
                phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %r = tile.zero : !tile.tile<8x64xf32, registers, #x>
  %lse = tile.zero : !tile.tile<8x1xf32, registers, #xm>
  tile.store_partial %r, %lse, %workspace[%item, %unit] : !tile.tile<8x64xf32, registers, #x>, !tile.tile<8x1xf32, registers, #xm>
  tile.return
}

// The sum of splits: the product with the factor is rounded, that with the weight is not.
// CHECK-LABEL: llvm.func @sum
// CHECK: %[[MAX:.+]] = arith.maxnumf %[[M:.+]], %[[E:.+]] : f32
// CHECK: %[[OLD:.+]] = arith.subf %[[M]], %[[MAX]]
// CHECK: %[[F:.+]] = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"(%[[OLD]])
// CHECK: %[[NEW:.+]] = arith.subf %[[E]], %[[MAX]]
// CHECK: %[[W:.+]] = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"(%[[NEW]])
// CHECK: llvm.intr.fma(%{{.+}}, %[[F]], %[[W]])
// CHECK: %[[SCALED:.+]] = arith.mulf %[[O:.+]], %[[F]]
// CHECK: llvm.intr.fma(%[[W]], %{{.+}}, %[[SCALED]])
tile.kernel @sum(%out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %r = tile.zero : !tile.tile<8x64xf32, registers, #x>
  %m, %e = tile.softmax_init : !tile.tile<8x1xf32, registers, #xm>, !tile.tile<8x1xf32, registers, #xm>
  %o = tile.zero : !tile.tile<8x64xf32, registers, #x>
  %m1, %l1, %o1 = tile.add_split %r, %e to %m, %e, %o : !tile.tile<8x64xf32, registers, #x>, !tile.tile<8x1xf32, registers, #xm>
  tile.store_attention %o1, %l1, %out, %lse_out[%item]
      : !tile.tile<8x64xf32, registers, #x>, !tile.tile<8x1xf32, registers, #xm>, tensor<?x?x64xbf16>
  tile.return
}

// The loads of 16 partials are under way together; splits are added in spans of 4, partials of whole spans one by one.
// CHECK-LABEL: llvm.func @merge
// CHECK: %[[OF:.+]] = arith.select %{{.+}}, %c4_i32, %c1_i32
// CHECK: %[[STEP:.+]] = arith.muli %[[OF]], %c16_i32
// CHECK: scf.for %{{.+}} = %c0_i32 to %[[SPLITS:.+]] step %[[STEP]]
// CHECK-COUNT-16: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
// CHECK-NOT: llvm.load
// CHECK: arith.cmpi eq, %[[OF]], %c1_i32
// CHECK: scf.if
// CHECK-COUNT-4: rcp.approx
// CHECK: } else {
// CHECK-NOT: rcp.approx
// CHECK: llvm.intr.fma
// CHECK: scf.yield
// CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 8 : i64} : vector<2xi32>, !llvm.ptr<1>
tile.kernel @merge(%workspace: !tile.workspace, %batch: !tile.batch, %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 4, split = #attn.split<steps = [[2048, 256]]>, merge = item>, phase = #attn.phase<merge>} {
  %item, %unit, %valid = tile.grid_item %batch items(<merge, group = 4>)
  scf.if %valid {
    %r, %lse = tile.merge_splits %workspace[%item] : !tile.tile<1x64xf32, registers, #row>, !tile.tile<1x1xf32, registers, #one>
    tile.store_merged %r, %lse, %out, %lse_out[%item]
        : !tile.tile<1x64xf32, registers, #row>, !tile.tile<1x1xf32, registers, #one>, tensor<?x?x64xbf16>
  }
  tile.return
}
