// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --cse | FileCheck %s

#q = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 8 offset]>
#o = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 8 register]>
#m = #tile.layout<register = [[8,0]], lane = [[0,0],[0,0],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]]>
!q = !tile.tile<64x64xbf16, shared, #q>
!o = !tile.tile<64x64xf32, registers, #o>
!m = !tile.tile<64x1xf32, registers, #m>
!rows = !tile.ring<2 x (!q), shared_by = unit>

// Each unit has a slot of 64 rows of 128 bytes for its result: of the two of a unit, here the first.
// CHECK-LABEL: llvm.func @staged(
// CHECK-SAME: %{{.+}}: i32, %[[OUT:[^:]+]]: !llvm.ptr<1>, %[[TOKEN:[^:]+]]: i64, %[[HEAD:[^:]+]]: i64, %[[LSE:[^:]+]]: !llvm.ptr<1>,
// CHECK: %[[UNIT:.+]] = nvvm.shfl.sync{{ +}}idx
// CHECK: %[[SLOTS_BEFORE:.+]] = arith.shli %[[UNIT]], %c14_i32
// CHECK: %[[RING:.+]] = llvm.getelementptr %{{.+}}[%[[SLOTS_BEFORE]]]
// CHECK: %[[SLOT:.+]] = llvm.getelementptr %[[RING]][%c0_i32]
// CHECK: %[[OWN:.+]] = arith.addi %[[UNIT]], %c1_i32
// CHECK-NEXT: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 128;", "r,~{memory}" %[[OWN]]
// A faulty item's rows are NaN, and may be more than a slot's: they leave from registers, in a loop, and nobody meets.
// CHECK: arith.constant 0x7FFFFFFF : f32
// CHECK: scf.for
// CHECK-NOT: {{bar.sync|ptr<3>}}
// CHECK: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<1>
// CHECK-NOT: {{bar.sync|ptr<3>}}
// CHECK: } else {
// Other items: the unit meets before it writes, for all of its warps may have read the rows that lie there.
// CHECK-NEXT: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 128;", "r,~{memory}" %[[OWN]]
// CHECK-NEXT: %[[PAIR:.+]] = llvm.call_intrinsic "llvm.nvvm.ff2bf16x2.rn"
// CHECK-NEXT: %[[W0:.+]] = llvm.bitcast %[[PAIR]]
// CHECK-NEXT: %[[PAIR:.+]] = llvm.call_intrinsic "llvm.nvvm.ff2bf16x2.rn"
// CHECK-NEXT: %[[W1:.+]] = llvm.bitcast %[[PAIR]]
// CHECK-NEXT: %[[PAIR:.+]] = llvm.call_intrinsic "llvm.nvvm.ff2bf16x2.rn"
// CHECK-NEXT: %[[W2:.+]] = llvm.bitcast %[[PAIR]]
// CHECK-NEXT: %[[PAIR:.+]] = llvm.call_intrinsic "llvm.nvvm.ff2bf16x2.rn"
// CHECK-NEXT: %[[W3:.+]] = llvm.bitcast %[[PAIR]]
// CHECK-COUNT-12: ff2bf16x2
// CHECK-NOT: ff2bf16x2
// Threads of the unit: lanes 8 j to 8 j + 7 point at the rows of matrix j, 128 bytes each and with the swizzle's 16. The second
// matrix is 8 rows on, the third 16 bytes, and each warp has 16 rows of 128 bytes.
// CHECK: %[[THREAD:.+]] = arith.andi %[[BLOCK_THREAD:.+]], %c127_i32
// CHECK-NEXT: %[[ROW_BIT:.+]] = arith.andi %[[THREAD]], %c1_i32
// CHECK: %[[ROW1:.+]] = arith.muli %[[ROW_BIT]], %c144_i32
// CHECK: %[[ROW2:.+]] = arith.muli %{{.+}}, %c288_i32
// CHECK: %[[ROW3:.+]] = arith.xori %[[ROW1]], %[[ROW2]]
// CHECK: %[[ROW4:.+]] = arith.muli %{{.+}}, %c576_i32
// CHECK: %[[ROW7:.+]] = arith.xori %[[ROW3]], %[[ROW4]]
// CHECK: %[[SHIFTED:.+]] = arith.shrui %[[THREAD]], %c3_i32
// CHECK: %[[BIT3:.+]] = arith.andi %[[SHIFTED]], %c1_i32
// CHECK: %[[ROW8:.+]] = arith.shli %[[BIT3]], %c10_i32
// CHECK: %[[ROWS:.+]] = arith.xori %[[ROW7]], %[[ROW8]]
// CHECK: %[[SHIFTED:.+]] = arith.shrui %[[THREAD]], %c4_i32
// CHECK: %[[BIT4:.+]] = arith.andi %[[SHIFTED]], %c1_i32
// CHECK: %[[COLUMNS:.+]] = arith.shli %[[BIT4]], %c4_i32
// CHECK: %[[IN_WARP:.+]] = arith.xori %[[ROWS]], %[[COLUMNS]]
// CHECK: %[[SHIFTED:.+]] = arith.shrui %[[THREAD]], %c5_i32
// CHECK: %[[WARP:.+]] = arith.andi %[[SHIFTED]], %c3_i32
// CHECK: %[[WARPS_BEFORE:.+]] = arith.shli %[[WARP]], %c11_i32
// CHECK: %[[IN_SLOT:.+]] = arith.xori %[[IN_WARP]], %[[WARPS_BEFORE]]
// CHECK: %[[AT:.+]] = llvm.getelementptr %[[SLOT]][%[[IN_SLOT]]]
// A word of each of the four matrices, then those of the next 16 columns, 32 bytes on as the swizzle has them.
// CHECK: nvvm.stmatrix %[[AT]], %[[W0]], %[[W1]], %[[W2]], %[[W3]] {{{.*}}<b16>, layout = #nvvm.mma_layout<row>, {{.*}}<m = 8, n = 8>}
// CHECK: %[[NUMBER:.+]] = llvm.ptrtoint %[[AT]] : !llvm.ptr<3> to i32
// CHECK: %[[FLIPPED:.+]] = arith.xori %[[NUMBER]], %c32_i32
// CHECK: %[[AT:.+]] = llvm.inttoptr %[[FLIPPED]]
// CHECK: nvvm.stmatrix %[[AT]],
// CHECK: arith.xori %[[NUMBER]], %c64_i32
// CHECK: nvvm.stmatrix
// CHECK: arith.xori %[[NUMBER]], %c96_i32
// CHECK: nvvm.stmatrix
// CHECK-NOT: {{stmatrix|llvm.load}}
// All 64 rows are there behind a second meeting. 8 threads read a row's 16 bytes each; 16 rows are 2048 bytes.
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 128;", "r,~{memory}" %[[OWN]]
// CHECK-NEXT: %[[OF_ROW:.+]] = arith.andi %[[THREAD]], %c7_i32
// CHECK-NEXT: arith.shli %[[OF_ROW]], %c4_i32
// CHECK: %[[AT:.+]] = llvm.getelementptr %[[SLOT]][%{{.+}}]
// CHECK-NEXT: %[[CHUNK0:.+]] = llvm.load %[[AT]] {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xi32>
// CHECK-NEXT: %[[FIRST:.+]] = llvm.extractelement %[[CHUNK0]][%c0_i32
// CHECK: %[[AT1:.+]] = llvm.getelementptr %[[AT]][2048]
// CHECK-NEXT: %[[CHUNK1:.+]] = llvm.load %[[AT1]] {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xi32>
// CHECK-NEXT: %[[SECOND:.+]] = llvm.extractelement %[[CHUNK1]][%c0_i32
// CHECK: llvm.getelementptr %[[AT]][4096]
// CHECK-NEXT: llvm.load {{.*}} : !llvm.ptr<3> -> vector<4xi32>
// CHECK: llvm.getelementptr %[[AT]][6144]
// CHECK-NEXT: llvm.load {{.*}} : !llvm.ptr<3> -> vector<4xi32>
// CHECK-NOT: {{ptr<3>|bar.sync}}
// They go to the same columns of the row in the output, if the item has it. 16 rows on are 4 tokens on.
// CHECK: %[[COLUMN:.+]] = llvm.getelementptr %[[OUT]][%{{.+}}]
// CHECK: %[[ROW:.+]] = arith.addi %{{.+}}, %[[ROW_OF_THREAD:.+]] : i32
// CHECK-NEXT: %[[EXISTS:.+]] = arith.cmpi slt, %[[ROW]], %[[END:.+]] : i32
// CHECK: %[[TO:.+]] = llvm.getelementptr %[[COLUMN]][%{{.+}}]
// CHECK-NEXT: scf.if %[[EXISTS]] {
// CHECK: llvm.insertelement %[[FIRST]], %{{.+}}[%c0_i32
// CHECK: llvm.store %{{.+}}, %[[TO]] {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<1>
// CHECK-NEXT: }
// CHECK: %[[TOKENS:.+]] = arith.shli %[[TOKEN]], %c3_i64
// CHECK: %[[IN_UNIT:.+]] = arith.addi %[[ROW_OF_THREAD]], %c16_i32
// CHECK-NEXT: %[[ROW:.+]] = arith.addi %{{.+}}, %[[IN_UNIT]]
// CHECK-NEXT: %[[EXISTS:.+]] = arith.cmpi slt, %[[ROW]], %[[END]]
// CHECK-NEXT: %[[NEXT:.+]] = llvm.getelementptr %[[TO]][%[[TOKENS]]]
// CHECK-NEXT: scf.if %[[EXISTS]] {
// CHECK: llvm.insertelement %[[SECOND]], %{{.+}}[%c0_i32
// CHECK: llvm.store %{{.+}}, %[[NEXT]] {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<1>
// CHECK-NEXT: }
// CHECK-COUNT-2: llvm.store {{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<1>
// CHECK-NOT: {{bar.sync|vector<4xi32>}}
// The log-sum-exps leave from registers. The slot is given back when all have read it.
// CHECK: llvm.ptrtoint %[[LSE]] : !llvm.ptr<1> to i64
// CHECK-COUNT-2: llvm.store %{{.+}}, %{{.+}} {alignment = 4 : i64} : f32, !llvm.ptr<1>
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 128;", "r,~{memory}" %[[OWN]]
// CHECK-NEXT: } else {
tile.kernel @staged(%batch: !tile.batch, %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, keys = 32, orientation = direct, product = wgmma, copy = tensor,
                                          box = 16, stages = [2, 3], query_stages = 2, roles = specialised, registers = [40, 24, 232], output = staged>,
                phase = #attn.phase<prefill>} {
  %rows = tile.ring {offset = 0 : i32} : !rows
  tile.roles load {
  } compute {
    %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
    %at = tile.position
    %q = tile.wait %rows[%at] : !rows
    %r = tile.zero : !o
    %lse = tile.zero : !m
    tile.store_attention %r, %lse, %out, %lse_out[%item] through %q : !o, !m, tensor<?x?x64xbf16> through !q
    tile.release %rows[%at] : !rows
  }
  tile.return
}
