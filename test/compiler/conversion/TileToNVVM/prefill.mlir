// RUN: attncc-opt %s --tile-assign-layouts --tile-pipeline --tile-prefetch --tile-persist --tile-peel-masks --canonicalize --cse --tile-pack-shared-memory --convert-tile-to-nvvm --cse | FileCheck %s

!kv = !attn.paged_kv<page_size = 64, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>
!q = !tile.tile<16x64xbf16>
!k = !tile.tile<32x64xbf16>
!s = !tile.tile<16x32xf32>
!p = !tile.tile<16x32xbf16>
!o = !tile.tile<16x64xf32>
!m = !tile.tile<16x1xf32>

// A unit copies its own 16 query rows, 4 chunks a lane; they are in the group of the first slot of the ring, whose 32
// rows of keys and of values are 2 chunks a lane of 4 warps each.
// CHECK-LABEL: llvm.func @prefill
// CHECK-COUNT-4: nvvm.cp.async.shared.global
// CHECK-NOT: nvvm.cp.async.shared.global
// CHECK: scf.if
// CHECK-COUNT-4: nvvm.cp.async.shared.global
// CHECK: nvvm.cp.async.commit.group
// The edge tiles: one barrier of the block for a tile, behind which the next one is copied.
// CHECK: scf.for
// CHECK: nvvm.cp.async.wait.group 0
// CHECK-NEXT: nvvm.barrier
// CHECK: nvvm.cp.async.commit.group
// S = Q·Kᵀ: the query is the A operand, one ldmatrix has two fragments of 8 keys.
// CHECK: nvvm.ldmatrix %{{.+}} {eltType = #nvvm.ld_st_matrix_elt_type<b16>, layout = #nvvm.mma_layout<row>, num = 4 : i32
// CHECK: nvvm.ldmatrix %{{.+}}#nvvm.mma_layout<row>, num = 4 : i32
// CHECK: nvvm.mma.sync
// CHECK-NEXT: llvm.extractvalue
// CHECK: nvvm.mma.sync
// CHECK: nvvm.ldmatrix %{{.+}}#nvvm.mma_layout<row>, num = 4 : i32
// A score is kept where its key comes before the end of its row; rows are reduced over the four lanes that have them.
// CHECK-COUNT-16: arith.select %{{.+}}, %{{.+}}, %cst{{.*}} : f32
// CHECK-COUNT-2: nvvm.shfl.sync{{ +}}bfly
// O += P·V: the words of P are those of S, V is read transposed.
// CHECK-NOT: movmatrix
// CHECK: llvm.call_intrinsic "llvm.nvvm.ff2bf16x2.rn"
// CHECK: nvvm.ldmatrix %{{.+}}#nvvm.mma_layout<col>, num = 4 : i32
// CHECK: nvvm.mma.sync
// In the tiles that every row sees whole no score is compared with a length.
// CHECK: scf.for
// CHECK: nvvm.barrier
// CHECK: nvvm.mma.sync
// CHECK-NOT: arith.select {{.*}} : f32
// CHECK: nvvm.shfl.sync{{ +}}bfly
// CHECK: nvvm.mma.sync
// The four lanes of a row exchange words, so that each stores 16 bytes.
// CHECK: llvm.call_intrinsic "llvm.nvvm.ff2bf16x2.rn"
// CHECK-COUNT-4: nvvm.shfl.sync{{ +}}bfly
// CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<1>
tile.kernel @prefill(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch, %out: tensor<?x?x64xbf16>,
                     %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace, %scale: f32)
    attributes {schedule = #attn.schedule<units = 4, rows = 16, keys = 32, divide = rows, orientation = direct, stages = 2>,
                phase = #attn.phase<prefill, max_query = 8>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !q
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 32 : i64}
    %n = tile.range_count %range
    %m0, %l0 = tile.softmax_init : !m, !m
    %o0 = tile.zero : !o
    %m, %l, %o = scf.for %j = %c0 to %n step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %o0) -> (!m, !m, !o) {
      %t = tile.key_tile %range[%j]
      %k = tile.load_keys %kv[%item, %t] : !kv -> !k
      %s0 = tile.matmul %q, %k {transpose_b} : (!q, !k) -> !s
      %s1 = tile.mask %s0[%item, %t] mask(#attn.mask<causal>) : !s
      %p, %mj, %lj, %f = tile.softmax_step %s1, %mi, %li scale %scale : !s, !m, !m
      %pb = tile.convert %p : !s -> !p
      %or = tile.rescale %oi, %f : !o, !m
      %v = tile.load_values %kv[%item, %t] : !kv -> !k
      %oj = tile.matmul %pb, %v, %or : (!p, !k, !o) -> !o
      scf.yield %mj, %lj, %oj : !m, !m, !o
    }
    %r, %lse = tile.normalize %o, %m, %l : (!o, !m, !m) -> (!o, !m)
    tile.store_attention %r, %lse, %out, %lse_out[%item] : !o, !m, tensor<?x?x64xbf16>
  }
  tile.return
}
