// RUN: attncc-opt %s --convert-tile-to-nvvm --cse | FileCheck %s

#s = #tile.layout<register = [[1,0],[0,8]], lane = [[2,0],[4,0],[0,1],[0,2],[0,4]]>
#m = #tile.layout<register = [[1,0]], lane = [[2,0],[4,0],[0,0],[0,0],[0,0]]>
#l = #tile.layout<register = [[1,0]], lane = [[2,0],[4,0],[0,0],[0,0],[0,0]], partial>
#o = #tile.layout<register = [[1,0],[0,8]], lane = [[2,0],[4,0],[0,1],[0,2],[0,4]]>
#x = #tile.layout<register = [[0,1],[0,2]], lane = [[0,4],[0,8],[1,0],[2,0],[4,0]], warp = [[0,0],[0,0]]>
#xm = #tile.layout<lane = [[0,0],[0,0],[1,0],[2,0],[4,0]], warp = [[0,0],[0,0]]>
!m = !tile.tile<8x1xf32, registers, #m>
!l = !tile.tile<8x1xf32, registers, #l>
!o = !tile.tile<8x16xf32, registers, #o>
!x = !tile.tile<8x16xf32, registers, #x>
!xm = !tile.tile<8x1xf32, registers, #xm>

// CHECK-LABEL: llvm.func @softmax
// CHECK-SAME: %[[SCALE:[^ ]+]]: f32) attributes
tile.kernel @softmax(%out: tensor<?x?x16xbf16>, %lse_out: tensor<?x?xf32>, %batch: !tile.batch, %workspace: !tile.workspace, %scale: f32)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>, shared_memory = 8192 : i32} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %s0 = tile.zero : !tile.tile<8x16xf32, registers, #s>
  %m0, %l0 = tile.softmax_init : !m, !l
  // A key is kept that comes before the item's end and not after the row's own position: one compare and one select a score.
  // CHECK-COUNT-4: arith.select %{{.+}}, %{{.+}}, %cst{{.*}} : f32
  %s = tile.mask %s0[%item, %c0] mask(#attn.mask<causal>) : !tile.tile<8x16xf32, registers, #s>
  // The maximum of a row is in the registers of one lane and in the lanes of bits 2 to 4. Two rows are in a thread, with
  // one factor each.
  // CHECK: arith.maxnumf
  // CHECK: nvvm.shfl.sync{{ +}}bfly {{.+}}, %c4_i32, %c31_i32 : f32
  // CHECK: nvvm.shfl.sync{{ +}}bfly {{.+}}, %c8_i32, %c31_i32 : f32
  // CHECK: nvvm.shfl.sync{{ +}}bfly {{.+}}, %c16_i32, %c31_i32 : f32
  // CHECK: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"
  // CHECK-COUNT-3: nvvm.shfl.sync{{ +}}bfly
  // CHECK: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"
  // Then one fma and one exp2 for each score; the sum stays per lane.
  // CHECK: %[[EXPONENT:.+]] = llvm.intr.fma(%{{.+}}, %[[SCALE]], %{{.+}}) : (f32, f32, f32) -> f32
  // CHECK: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"(%[[EXPONENT]])
  // CHECK-COUNT-3: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"
  // CHECK-NOT: nvvm.shfl
  %p, %m1, %l1, %f = tile.softmax_step %s, %m0, %l0 scale %scale : !tile.tile<8x16xf32, registers, #s>, !m, !l
  // Units meet: their rings are free, each stores, all read.
  // CHECK: nvvm.barrier
  // CHECK-COUNT-4: llvm.store %{{.+}}, %{{.+}} {alignment = 4 : i64} : f32, !llvm.ptr<3>
  // The addends of the sum, of two rows, over the lanes of bits 2 to 4; the first of the replicated lanes stores.
  // CHECK-COUNT-6: nvvm.shfl.sync{{ +}}bfly
  // CHECK: scf.if
  // CHECK-COUNT-2: llvm.store %{{.+}}, %{{.+}} {alignment = 8 : i64} : vector<2xf32>, !llvm.ptr<3>
  // CHECK: nvvm.barrier
  // CHECK-COUNT-4: llvm.load %{{.+}} {alignment = 8 : i64} : !llvm.ptr<3> -> vector<2xf32>
  // CHECK-COUNT-4: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xf32>
  // CHECK-NOT: llvm.load
  %mx, %lx, %ox = tile.merge_units %m1, %l1, %p {scratch = 0 : i32} : (!m, !l, !o) -> (!xm, !xm, !x)
  // A sum of 0 gives a row of zeros, and its logarithm -inf.
  // CHECK: %[[EMPTY:.+]] = arith.cmpf oeq, %[[SUM:.+]], %cst{{.*}} : f32
  // CHECK: arith.select %[[EMPTY]], %cst{{.*}}
  // CHECK: "lg2.approx.ftz.f32 $0, $1;", "=f,f" %[[SUM]]
  %r, %lse = tile.normalize %ox, %mx, %lx : (!x, !xm, !xm) -> (!x, !xm)
  tile.store_attention %r, %lse, %out, %lse_out[%item] : !x, !xm, tensor<?x?x16xbf16>
  tile.return
}

#s8 = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [column 8 register]>
#m8 = #tile.layout<register = [[8,0]], lane = [[0,0],[0,0],[1,0],[2,0],[4,0]]>
#l8 = #tile.layout<register = [[8,0]], lane = [[0,0],[0,0],[1,0],[2,0],[4,0]], partial>
!s8 = !tile.tile<16x64xf32, registers, #s8>
!m8 = !tile.tile<16x1xf32, registers, #m8>
!l8 = !tile.tile<16x1xf32, registers, #l8>

// CHECK-LABEL: llvm.func @lazy
// CHECK-SAME: %[[SCALE:[^ ]+]]: f32) attributes
tile.kernel @lazy(%batch: !tile.batch, %out: tensor<?x?x64xf32>, %scale: f32)
    attributes {schedule = #attn.schedule<units = 4, rows = 16, divide = rows, orientation = direct, rescale = lazy>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %m0, %l0 = tile.softmax_init : !m8, !l8
  %s0 = tile.zero : !s8
  // CHECK: scf.for {{.+}} iter_args(%[[M0:[^ ]+]] = %{{[^ ]+}}, %[[M1:[^ ]+]] = %{{[^ ]+}},
  %m, %l, %o = scf.for %j = %c0 to %c9 step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %s0) -> (!m8, !l8, !s8) {
    // The maximum of 16 scores, one after the other; then the lanes of the row.
    // CHECK: %[[A:.+]] = arith.maxnumf %{{.+}}, %{{.+}} : f32
    // CHECK: arith.maxnumf %[[A]], %{{.+}}
    // CHECK-COUNT-13: arith.maxnumf
    // CHECK: nvvm.shfl.sync{{ +}}bfly {{.+}}, %c1_i32{{.*}}, %c31_i32{{.*}} : f32
    // CHECK: nvvm.shfl.sync{{ +}}bfly {{.+}}, %c2_i32{{.*}}, %c31_i32{{.*}} : f32
    // CHECK: %[[SEEN:.+]] = arith.maxnumf
    // It replaces the old one where it exceeds it by more than 8: else the factor is 1.
    // CHECK: %[[SCALED:.+]] = arith.mulf %[[SEEN]], %[[SCALE]]
    // CHECK: %[[NEW:.+]] = arith.maxnumf %[[M0]], %[[SCALED]]
    // CHECK-DAG: %[[RISE:.+]] = arith.subf %[[NEW]], %[[M0]]
    // CHECK-DAG: %[[EIGHT:.+]] = arith.constant 8.000000e+00 : f32
    // CHECK: %[[MUCH:.+]] = arith.cmpf ogt, %[[RISE]], %[[EIGHT]]
    // CHECK: %[[MAX:.+]] = arith.select %[[MUCH]], %[[NEW]], %[[M0]]
    // CHECK: %[[MINUS:.+]] = arith.negf %[[MAX]]
    // CHECK: %[[DROP:.+]] = arith.addf %[[M0]], %[[MINUS]]
    // CHECK: %[[F0:.+]] = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"(%[[DROP]])
    // CHECK: arith.select %{{.+}}, %{{.+}}, %[[M1]]
    // CHECK: %[[F1:.+]] = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"
    // CHECK: llvm.intr.fma(%{{.+}}, %[[SCALE]], %[[MINUS]])
    %p, %mj, %lj, %f = tile.softmax_step %oi, %mi, %li scale %scale {lazy = 8 : i64} : !s8, !m8, !l8
    // Where a lane of the warp has a factor that is not 1 all multiply, else none.
    // CHECK: %[[ONE:.+]] = arith.constant 1.000000e+00 : f32
    // CHECK: %[[N0:.+]] = arith.cmpf une, %[[F0]], %[[ONE]]
    // CHECK: %[[N1:.+]] = arith.cmpf une, %[[F1]], %[[ONE]]
    // CHECK: %[[ANY:.+]] = arith.ori %[[N0]], %[[N1]]
    // CHECK: %[[VOTE:.+]] = nvvm.vote.sync any %{{.+}}, %[[ANY]] -> i1
    // CHECK: scf.if %[[VOTE]] -> (f32,
    // CHECK-COUNT-32: arith.mulf
    // CHECK-NOT: arith.mulf
    // CHECK: } else {
    // CHECK-NEXT: scf.yield
    %or = tile.rescale %p, %f {voted} : !s8, !m8
    scf.yield %mj, %lj, %or : !m8, !l8, !s8
  }
  tile.store_rows query %o, %out[%item] : !s8, tensor<?x?x64xf32>
  tile.return
}

// The scores of a warpgroup's product are joined in four chains.
!w = !tile.tile<64x32xf32, registers, #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 4 register]>>
!mw = !tile.tile<64x1xf32, registers, #tile.layout<register = [[8,0]], lane = [[0,0],[0,0],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]]>>
!lw = !tile.tile<64x1xf32, registers, #tile.layout<register = [[8,0]], lane = [[0,0],[0,0],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], partial>>

// CHECK-LABEL: llvm.func @warpgroup
tile.kernel @warpgroup(%batch: !tile.batch, %out: tensor<?x?x32xf32>, %scale: f32)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %m0, %l0 = tile.softmax_init : !mw, !lw
  %s0 = tile.zero : !w
  // CHECK: scf.for
  %m, %l, %o = scf.for %j = %c0 to %c9 step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %s0) -> (!mw, !lw, !w) {
    // CHECK: %[[A:.+]] = arith.maxnumf
    // CHECK-NEXT: %[[B:.+]] = arith.maxnumf
    // CHECK-NEXT: %[[C:.+]] = arith.maxnumf
    // CHECK-NEXT: %[[D:.+]] = arith.maxnumf
    // CHECK-NEXT: %[[AB:.+]] = arith.maxnumf %[[A]], %[[B]]
    // CHECK-NEXT: %[[CD:.+]] = arith.maxnumf %[[C]], %[[D]]
    // CHECK-NEXT: arith.maxnumf %[[AB]], %[[CD]]
    %p, %mj, %lj, %f = tile.softmax_step %oi, %mi, %li scale %scale : !w, !mw, !lw
    scf.yield %mj, %lj, %p : !mw, !lw, !w
  }
  tile.store_rows query %o, %out[%item] : !w, tensor<?x?x32xf32>
  tile.return
}

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
#s2 = #tile.layout<register = [[1,0],[0,8]], lane = [[2,0],[4,0],[0,1],[0,2],[0,4]], repeat = [row 2 register]>
#m2 = #tile.layout<register = [[1,0]], lane = [[2,0],[4,0],[0,0],[0,0],[0,0]], repeat = [row 2 register]>
#x2 = #tile.layout<register = [[0,1],[0,2]], lane = [[0,4],[0,8],[1,0],[2,0],[4,0]], warp = [[0,0],[0,0]], repeat = [row 2 register]>
#xm2 = #tile.layout<lane = [[0,0],[0,0],[1,0],[2,0],[4,0]], warp = [[0,0],[0,0]], repeat = [row 2 register]>
!ring = !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #kv>, !tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>
!m2 = !tile.tile<16x1xf32, registers, #m2>
!o2 = !tile.tile<16x16xf32, registers, #s2>
!xm2 = !tile.tile<16x1xf32, registers, #xm2>
!x2 = !tile.tile<16x16xf32, registers, #x2>

// In slots units meet 8 rows at a time, and the others only where the item has them. Units' rings are 3 · 4096 bytes apart.
// CHECK-LABEL: llvm.func @meets_in_slots
tile.kernel @meets_in_slots(%out: tensor<?x?x16xbf16>, %lse_out: tensor<?x?xf32>, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, rows = 16>, phase = #attn.phase<decode, max_query = 4>, shared_memory = 49152 : i32} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %ring = tile.ring {offset = 0 : i32} : !ring
  %p = tile.position
  %m0, %l0 = tile.softmax_init : !m2, !m2
  %o0 = tile.zero : !o2
  // CHECK: %[[SLOT:.+]] = llvm.getelementptr
  // CHECK: arith.muli %{{.+}}, %c12288_i32
  // All lanes have read what the slot held.
  // CHECK: nvvm.bar.warp.sync
  // CHECK-COUNT-4: llvm.store %{{.+}}, %{{.+}} {alignment = 4 : i64} : f32, !llvm.ptr<3>
  // CHECK: nvvm.barrier
  // CHECK-COUNT-4: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xf32>
  // Nobody reads a slot that is filled again.
  // CHECK: nvvm.barrier
  // CHECK: %[[MORE:.+]] = arith.cmpi sgt, %{{.+}}, %c8_i32
  // CHECK: scf.if %[[MORE]]
  // CHECK-COUNT-4: llvm.store %{{.+}}, %{{.+}} {alignment = 4 : i64} : f32, !llvm.ptr<3>
  // CHECK: nvvm.barrier
  // CHECK: nvvm.barrier
  // CHECK: } else {
  %m, %l, %o = tile.merge_units %m0, %l0, %o0 in %ring[%p] of %item : !ring : (!m2, !m2, !o2) -> (!xm2, !xm2, !x2)
  %r, %lse = tile.normalize %o, %m, %l : (!x2, !xm2, !xm2) -> (!x2, !xm2)
  tile.store_attention %r, %lse, %out, %lse_out[%item] : !x2, !xm2, tensor<?x?x16xbf16>
  tile.return
}
