// RUN: attncc-opt %s --convert-tile-to-nvvm --cse | FileCheck %s

#b32 = #tile.layout<register = [[0,1],[0,8]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [column 2 register]>
#b16 = #tile.layout<register = [[0,1],[0,8]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]]>
#s = #tile.layout<register = [[1,0],[0,8]], lane = [[2,0],[4,0],[0,1],[0,2],[0,4]]>
#o = #tile.layout<register = [[1,0],[0,8]], lane = [[2,0],[4,0],[0,1],[0,2],[0,4]], repeat = [column 2 register]>
#m = #tile.layout<register = [[1,0]], lane = [[2,0],[4,0],[0,0],[0,0],[0,0]]>
#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[1,0],[2,8],[4,16]], repeat = [row 2 offset]>
!ring = !tile.ring<1 x (!tile.tile<16x32xf16, shared, #kv>, !tile.tile<16x32xf16, shared, #kv>), shared_by = unit>

// CHECK-LABEL: llvm.func @products
tile.kernel @products(%query: tensor<?x?x32xf16>, %out: tensor<?x?x32xf16>, %batch: !tile.batch, %scale: f32)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %q = tile.load_rows query %query[%item] : tensor<?x?x32xf16> -> !tile.tile<8x32xf16, registers, #b32>
  %ring = tile.ring {offset = 0 : i32} : !ring
  %p0 = tile.position
  %k, %v = tile.wait %ring[%p0] : !ring
  // Sᵀ = K·Qᵀ: 16 keys and 32 dims are two instructions; K is the A operand as it lies.
  // CHECK: nvvm.bar.warp.sync
  // CHECK: nvvm.ldmatrix %[[FIRST:.+]] {eltType = #nvvm.ld_st_matrix_elt_type<b16>, layout = #nvvm.mma_layout<row>, num = 4 : i32
  // CHECK: nvvm.mma.sync {{.*}}k = 16{{.*}} : (vector<2xf16>, vector<2xf16>, f32)
  // The second 32 bytes of the rows: one bit of the address is inverted.
  // CHECK: %[[ADDRESS:.+]] = llvm.ptrtoint %[[FIRST]] : !llvm.ptr<3> to i32
  // CHECK: arith.xori %[[ADDRESS]], %c32_i32
  // CHECK: nvvm.ldmatrix {{.*}}#nvvm.mma_layout<row>
  // CHECK: nvvm.mma.sync
  %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x32xf16, registers, #b32>, !tile.tile<16x32xf16, shared, #kv>) -> !tile.tile<8x16xf32, registers, #s>
  // CHECK-COUNT-2: llvm.call_intrinsic "llvm.nvvm.ff2f16x2.rn"
  %pc = tile.convert %s : !tile.tile<8x16xf32, registers, #s> -> !tile.tile<8x16xf16, registers, #s>
  // CHECK-COUNT-2: movmatrix.sync.aligned.m8n8.trans.b16 $0, $1;", "=r,r"
  %p = tile.move %pc : !tile.tile<8x16xf16, registers, #s> -> !tile.tile<8x16xf16, registers, #b16>
  %m, %l = tile.softmax_init : !tile.tile<8x1xf32, registers, #m>, !tile.tile<8x1xf32, registers, #m>
  // O = P·V, Oᵀ = Vᵀ·Pᵀ: V is the A operand transposed.
  // CHECK: nvvm.ldmatrix {{.*}}#nvvm.mma_layout<col>
  // CHECK: nvvm.mma.sync
  // CHECK: nvvm.ldmatrix {{.*}}#nvvm.mma_layout<col>
  // CHECK: nvvm.mma.sync
  %o0 = tile.matmul %p, %v : (!tile.tile<8x16xf16, registers, #b16>, !tile.tile<16x32xf16, shared, #kv>) -> !tile.tile<8x32xf32, registers, #o>
  // The factors of a thread's rows are in the same thread: no shuffle.
  // CHECK-NOT: nvvm.shfl
  // CHECK: %[[SCALED:.+]] = arith.mulf
  // CHECK-COUNT-7: arith.mulf
  %or = tile.rescale %o0, %m : !tile.tile<8x32xf32, registers, #o>, !tile.tile<8x1xf32, registers, #m>
  // An accumulator goes in.
  // CHECK: nvvm.mma.sync {{.*}}C[%[[SCALED]],
  // CHECK: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // CHECK: llvm.return
  %o = tile.matmul %p, %v, %or : (!tile.tile<8x16xf16, registers, #b16>, !tile.tile<16x32xf16, shared, #kv>, !tile.tile<8x32xf32, registers, #o>) -> !tile.tile<8x32xf32, registers, #o>
  tile.return
}
