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
  // CHECK: %[[UNIT:.+]] = nvvm.shfl.sync{{ +}}idx
  // CHECK: %[[MEMORY:.+]] = llvm.mlir.addressof @attncc_shared_memory
  // CHECK: %[[UNITS_BEFORE:.+]] = arith.shli %[[UNIT]], %c13_i32
  // S = Q·Kᵀ: registers are in order before the product reads and writes them. The descriptor of shared memory's begin: its
  // address in units of 16 bytes, 1024 bytes from 8 rows to the next, the swizzle of 128 bytes. What lies behind it is added
  // in these units: the ring of keys begins after 16384 bytes, each 16 of the 64 dims are 32 bytes on.
  // CHECK: nvvm.wgmma.fence.aligned
  // CHECK: %[[BEGIN:.+]] = llvm.ptrtoint %[[MEMORY]] : !llvm.ptr<3> to i32
  // CHECK: %[[IN_SHARED:.+]] = arith.andi %[[BEGIN]], %c262143_i32
  // CHECK: %[[IN_16_BYTES:.+]] = arith.shrui %[[IN_SHARED]], %c4_i32
  // CHECK: %[[ADDRESS:.+]] = arith.extui %[[IN_16_BYTES]] : i32 to i64
  // CHECK: %[[BASE:.+]] = arith.ori %[[ADDRESS]], %c4611686293305294848_i64 : i64
  // CHECK: %[[K0:.+]] = arith.addi %[[BASE]], %c1024_i64 : i64
  // CHECK: %[[K1:.+]] = arith.addi %[[K0]], %c2_i64 : i64
  // CHECK: arith.addi %[[K0]], %c4_i64 : i64
  // CHECK: arith.addi %[[K0]], %c6_i64 : i64
  // The query's rows are swizzled alike: the same descriptor, to which those of the units before are added, 8192 bytes each.
  // CHECK: %[[ROWS:.+]] = arith.shrui %[[UNITS_BEFORE]], %c4_i32
  // CHECK: %[[OWN_ROWS:.+]] = arith.extui %[[ROWS]] : i32 to i64
  // CHECK: %[[Q0:.+]] = arith.addi %[[BASE]], %[[OWN_ROWS]] : i64
  // CHECK: %[[Q1:.+]] = arith.addi %[[Q0]], %c2_i64 : i64
  // Both operands are read from shared memory as they lie; the first instruction only writes the sums, 16 columns of 64
  // rows, the others add to them.
  // CHECK: llvm.inline_asm has_side_effects {{.*}}"wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, $8, $9, 0, 1, 1, 0, 0;", "=f,=f,=f,=f,=f,=f,=f,=f,l,l" %[[Q0]], %[[K0]] : (i64, i64)
  // CHECK: llvm.inline_asm has_side_effects {{.*}}"wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, $16, $17, 1, 1, 1, 0, 0;", "=f,=f,=f,=f,=f,=f,=f,=f,0,1,2,3,4,5,6,7,l,l" %{{.+}}, %[[Q1]], %[[K1]] : (f32, f32, f32, f32, f32, f32, f32, f32, i64, i64)
  // CHECK-COUNT-2: m64n16k16
  // CHECK-NOT: mma_async
  // CHECK: nvvm.wgmma.commit.group.sync.aligned
  %ps = tile.matmul_issue %q, %k {transpose_b} : (!q, !k) -> !tile.pending<!s>
  // O += P·V: P comes from registers, V is read transposed, with the swizzle of its rows' 64 bytes and 512 bytes from 8 keys
  // to the next; their ring begins after 20480 bytes.
  // CHECK: nvvm.wgmma.fence.aligned
  // CHECK: %[[BASE_OF_VALUES:.+]] = arith.ori %[[ADDRESS]], %c-9223371899415822336_i64 : i64
  // CHECK: %[[VALUES:.+]] = arith.addi %[[BASE_OF_VALUES]], %c1280_i64 : i64
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
// the next, 2048 from 8 keys to the next; their ring begins after 8192 bytes, the second 16 keys are 4096 bytes on.
// CHECK-LABEL: llvm.func @panels
// CHECK: %[[BASE:.+]] = arith.ori %[[ADDRESS:.+]], %c-4611685949707911168_i64 : i64
// CHECK: %[[K0:.+]] = arith.addi %[[BASE]], %c256_i64 : i64
// CHECK: wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16 {{.*}}, %[[K0]] :
// CHECK: %[[BASE_OF_VALUES:.+]] = arith.ori %[[ADDRESS]], %c4611686568187396096_i64 : i64
// CHECK: %[[V0:.+]] = arith.addi %[[BASE_OF_VALUES]], %c512_i64 : i64
// CHECK: %[[V1:.+]] = arith.addi %[[V0]], %c256_i64 : i64
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

// -----

#q = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 8 offset, column 4 offset]>
#k = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset, column 4 offset]>
#s = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 2 register]>
!q = !tile.tile<64x256xbf16, shared, #q>
!k = !tile.tile<16x256xbf16, shared, #k>
!s = !tile.tile<64x16xf32, registers, #s>
!rows = !tile.ring<1 x (!q), shared_by = unit>
!keys = !tile.ring<2 x (!k), shared_by = units>

// 256 dims are 16 steps. Where there are more than 8 the back end does not see where the first one comes from, so that the
// others are computed from it at each product and not kept through a loop. 64 dims of 16 keys are 2048 bytes, of the
// unit's 64 rows 8192.
// CHECK-LABEL: llvm.func @many_steps
// CHECK: %[[K:.+]] = arith.addi %{{.+}}, %c2048_i64 : i64
// CHECK: %[[K0:.+]] = llvm.inline_asm has_side_effects {{.*}}"mov.b64 $0, $1;", "=l,l" %[[K]] : (i64) -> i64
// CHECK: arith.addi %[[K0]], %c2_i64 : i64
// CHECK: arith.addi %[[K0]], %c4_i64 : i64
// CHECK: arith.addi %[[K0]], %c6_i64 : i64
// CHECK: arith.addi %[[K0]], %c128_i64 : i64
// CHECK: %[[K15:.+]] = arith.addi %[[K0]], %c390_i64 : i64
// CHECK: %[[Q0:.+]] = llvm.inline_asm has_side_effects {{.*}}"mov.b64 $0, $1;", "=l,l" %{{.+}} : (i64) -> i64
// CHECK: %[[Q15:.+]] = arith.addi %[[Q0]], %c1542_i64 : i64
// CHECK: m64n16k16{{.*}} %[[Q0]], %[[K0]] :
// CHECK-COUNT-14: m64n16k16
// CHECK: m64n16k16{{.*}} %[[Q15]], %[[K15]] :
tile.kernel @many_steps(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor,
                                          box = 16, stages = [2, 2], roles = specialised, registers = [40, 40, 232]>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %rows = tile.ring {offset = 0 : i32} : !rows
  %keys = tile.ring {offset = 32768 : i32, barriers = 65536 : i32} : !keys
  %at = tile.position
  %q = tile.wait %rows[%at] : !rows
  %k = tile.wait %keys[%at] : !keys
  %ps = tile.matmul_issue %q, %k {transpose_b} : (!q, !k) -> !tile.pending<!s>
  tile.return
}
