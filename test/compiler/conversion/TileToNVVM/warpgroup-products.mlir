// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --cse --split-input-file | FileCheck %s

#q = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 8 offset]>
#k = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
#v = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[1,0],[2,8],[4,16]], repeat = [row 2 offset]>
#s = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 2 register]>
#p = #tile.layout<register = [[0,1],[8,0],[0,8]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]]>
#o = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 4 register]>
!q = !tile.tile<64x64xbf16, shared, #q>
!k = !tile.tile<16x64xbf16, shared, #k>
!v = !tile.tile<16x32xbf16, shared, #v>
!s = !tile.tile<64x16xf32, registers, #s>
!p = !tile.tile<64x16xbf16, registers, #p>
!o = !tile.tile<64x32xf32, registers, #o>
!rows = !tile.ring<1 x (!q), shared_by = unit>
!keys = !tile.ring<2 x (!k), shared_by = units>
!values = !tile.ring<2 x (!v), shared_by = units>

// CHECK-LABEL: llvm.func @products
tile.kernel @products(%batch: !tile.batch, %out: tensor<?x?x32xf32>)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16, stages = [2, 2],
                                          roles = specialised, registers = [40, 40, 232]>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %rows = tile.ring {offset = 0 : i32} : !rows
  %keys = tile.ring {offset = 16384 : i32, barriers = 24576 : i32} : !keys
  %values = tile.ring {offset = 20480 : i32, barriers = 24624 : i32} : !values
  %at = tile.position
  %q = tile.wait %rows[%at] : !rows
  %k = tile.wait %keys[%at] : !keys
  %v = tile.wait %values[%at] : !values
  %p = tile.zero : !p
  %o0 = tile.zero : !o
  // S = Q·Kᵀ: registers are in order before the product reads and writes them. The descriptor of the keys: their address in
  // units of 16 bytes, 1024 bytes from 8 rows to the next, the swizzle of 128 bytes; each 16 of the 64 dims are 32 bytes on.
  // CHECK: nvvm.wgmma.fence.aligned
  // CHECK: %[[KEYS:.+]] = llvm.ptrtoint %{{.+}} : !llvm.ptr<3> to i32
  // CHECK: %[[IN_SHARED:.+]] = arith.andi %[[KEYS]], %c262143_i32
  // CHECK: arith.shrui %[[IN_SHARED]], %c4_i32
  // CHECK: %[[STEP0:.+]] = arith.ori %{{.+}}, %c4611686293305294848_i64 : i64
  // CHECK: arith.addi %{{.+}}, %c2_i32
  // CHECK: %[[STEP1:.+]] = arith.ori %{{.+}}, %c4611686293305294848_i64 : i64
  // CHECK: arith.addi %{{.+}}, %c4_i32
  // CHECK: arith.addi %{{.+}}, %c6_i32
  // Both operands are read from shared memory as they lie; the first instruction only writes the sums, 16 columns of 64
  // rows, the others add to them.
  // CHECK: llvm.inline_asm has_side_effects {{.*}}"wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, $8, $9, 0, 1, 1, 0, 0;", "=f,=f,=f,=f,=f,=f,=f,=f,l,l" %{{.+}}, %[[STEP0]] : (i64, i64)
  // CHECK: llvm.inline_asm has_side_effects {{.*}}"wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, $16, $17, 1, 1, 1, 0, 0;", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,l,l" %{{.+}}, %[[STEP1]] : (f32, f32, f32, f32, f32, f32, f32, f32, i64, i64)
  // CHECK-COUNT-2: m64n16k16
  // CHECK-NOT: mma_async
  // CHECK: nvvm.wgmma.commit.group.sync.aligned
  %ps = tile.matmul_issue %q, %k {transpose_b} : (!q, !k) -> !tile.pending<!s>
  // O += P·V: P comes from registers, V is read transposed, with the swizzle of its rows' 64 bytes and 512 bytes from 8 keys
  // to the next.
  // CHECK: nvvm.wgmma.fence.aligned
  // CHECK: %[[VALUES:.+]] = arith.ori %{{.+}}, %c-9223371899415822336_i64 : i64
  // CHECK: wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15}, {$32, $33, $34, $35}, $36, 1, 1, 1, 1;", {{.*}}15,r,r,r,r,l" {{.*}} %[[VALUES]] :
  // CHECK-NOT: mma_async
  // CHECK: nvvm.wgmma.commit.group.sync.aligned
  %po = tile.matmul_issue %p, %v, %o0 : (!p, !v, !o) -> !tile.pending<!o>
  // One product may still run: its registers are none of those that pass.
  // CHECK: %[[DONE:.+]] = llvm.inline_asm has_side_effects {{.*}}"wgmma.wait_group.sync.aligned 1;", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7" %
  // CHECK: %[[SCORE:.+]] = llvm.extractvalue %[[DONE]][0]
  %s = tile.await %ps {ahead = 1 : i64} : (!tile.pending<!s>) -> !s
  // The scores pass with the 16 sums.
  // CHECK: %[[BOTH:.+]] = llvm.inline_asm has_side_effects {{.*}}"wgmma.wait_group.sync.aligned 0;", {{.*}},23" %{{.+}}, %[[SCORE]], {{.+}} : (f32,
  // CHECK: llvm.extractvalue %[[BOTH]][15]
  %o, %sp = tile.await %po with %s : (!tile.pending<!o>, !s) -> (!o, !s)
  tile.store_rows query %o, %out[%item] : !o, tensor<?x?x32xf32>
  tile.return
}

// -----

#q = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[1,0],[2,0],[4,8]], repeat = [row 8 offset]>
#k = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[1,0],[2,0],[4,8]], repeat = [row 2 offset]>
#v = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [column 2 offset, row 4 offset]>
#s = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 2 register]>
#p = #tile.layout<register = [[0,1],[8,0],[0,8]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 2 register]>
#o = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 16 register]>
!q = !tile.tile<64x16xf16, shared, #q>
!k = !tile.tile<16x16xf16, shared, #k>
!v = !tile.tile<32x128xf16, shared, #v>
!s = !tile.tile<64x16xf32, registers, #s>
!p = !tile.tile<64x32xf16, registers, #p>
!o = !tile.tile<64x128xf32, registers, #o>
!rows = !tile.ring<1 x (!q), shared_by = unit>
!keys = !tile.ring<2 x (!k), shared_by = units>
!values = !tile.ring<2 x (!v), shared_by = units>

// f16. A row of 32 bytes has the swizzle of 32 bytes. Values in two panels and boxes of 8 keys: 1024 bytes from a panel to
// the next, 2048 from 8 keys to the next; the second 16 keys are 4096 bytes on.
// CHECK-LABEL: llvm.func @panels
// CHECK: arith.ori %{{.+}}, %c-4611685949707911168_i64 : i64
// CHECK: wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16
// CHECK: arith.ori %{{.+}}, %c4194304_i32 : i32
// CHECK: %[[V0:.+]] = arith.ori %{{.+}}, %c4611686568183201792_i64 : i64
// CHECK: arith.addi %{{.+}}, %c256_i32
// CHECK: %[[V1:.+]] = arith.ori %{{.+}}, %c4611686568183201792_i64 : i64
// CHECK: wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {{.*}} %[[V0]] :
// CHECK: wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {{.*}} %[[V1]] :
tile.kernel @panels(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, keys = 16, orientation = direct, product = wgmma, copy = tensor, box = 8, stages = [2, 2],
                                          roles = specialised, registers = [40, 40, 232]>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %rows = tile.ring {offset = 0 : i32} : !rows
  %keys = tile.ring {offset = 4096 : i32, barriers = 32768 : i32} : !keys
  %values = tile.ring {offset = 8192 : i32, barriers = 32816 : i32} : !values
  %at = tile.position
  %q = tile.wait %rows[%at] : !rows
  %k = tile.wait %keys[%at] : !keys
  %v = tile.wait %values[%at] : !values
  %p = tile.zero : !p
  %ps = tile.matmul_issue %q, %k {transpose_b} : (!q, !k) -> !tile.pending<!s>
  %po = tile.matmul_issue %p, %v : (!p, !v) -> !tile.pending<!o>
  tile.return
}
