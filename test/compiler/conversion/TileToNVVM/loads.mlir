// RUN: attncc-opt %s --convert-tile-to-nvvm --cse --split-input-file | FileCheck %s

#b = #tile.layout<register = [[0,1],[0,8]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [column 4 register]>
#rows = #tile.layout<register = [[0,1],[0,2],[0,4]], lane = [[0,8],[0,16],[0,32],[1,0],[2,0]]>

// The B operand of a product: each lane asks for whole 16-byte chunks of its row, and the four lanes of a row exchange words
// in two butterfly steps of two shuffles, once for each four chunks.
// CHECK-LABEL: llvm.func @rows
// CHECK: scf.if
// CHECK: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK-COUNT-2: nvvm.shfl.sync{{ +}}bfly %{{.+}}, %{{.+}}, %c1_i32, %c31_i32
// CHECK-COUNT-2: nvvm.shfl.sync{{ +}}bfly %{{.+}}, %{{.+}}, %c2_i32, %c31_i32
// CHECK: scf.if
// CHECK: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK-COUNT-4: nvvm.shfl.sync{{ +}}bfly
// Vectors of a row are loaded as they are.
// CHECK: scf.if
// CHECK: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK-NOT: nvvm.shfl
// CHECK: llvm.return
tile.kernel @rows(%query: tensor<?x?x64xbf16>, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<8x64xbf16, registers, #b>
  %r = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<4x64xbf16, registers, #rows>
  tile.store_rows query %r, %query[%item] : !tile.tile<4x64xbf16, registers, #rows>, tensor<?x?x64xbf16>
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
#lanes = #tile.layout<lane = [[0,1],[0,2],[0,4],[0,8],[0,16]]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #kv>, !tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// Lane n loads entry n; an entry outside of the pool sets bit 1 of the error word and becomes -1.
// CHECK-LABEL: llvm.func @copies
// CHECK-SAME: %[[WORKSPACE:[^ ]+]]: !llvm.ptr<1>) attributes
// CHECK: %[[ENTRY:.+]] = scf.if %[[EXISTS:.+]] -> (i32)
// CHECK: %[[WIDE:.+]] = arith.extui %[[ENTRY]] : i32 to i64
// CHECK: %[[OUTSIDE:.+]] = arith.cmpi uge, %[[WIDE]], %{{.+}} : i64
// CHECK: %[[BAD:.+]] = arith.andi %[[EXISTS]], %[[OUTSIDE]]
// CHECK: scf.if %[[BAD]]
// CHECK-NEXT: llvm.atomicrmw _or %[[WORKSPACE]], %c2_i32
// CHECK: %[[PAGES:.+]] = arith.select %[[BAD]], %c-1_i32, %[[ENTRY]]
tile.kernel @copies(%kv: !kv, %batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  %ring = tile.ring {offset = 0 : i32} : !ring
  %p = tile.position
  %pages = tile.page_numbers %kv, %range[%c0] : !kv -> !tile.tile<1x32xi32, registers, #lanes>
  %slot = tile.acquire %ring[%p] : !ring
  // A page of 16 tokens holds the tile: one page number for all lanes. 16 rows of 128 bytes are four copies of 16 bytes a
  // lane, rows past the item's keys are zero-filled. The page times its stride is a product of 64 bits.
  // CHECK: scf.if %{{.+}} {
  // CHECK: %[[PAGE:.+]] = nvvm.shfl.sync{{ +}}idx %{{.+}}, %[[PAGES]], %c0_i32
  // CHECK: %[[POISON:.+]] = arith.cmpi slt, %[[PAGE]], %c0_i32
  // CHECK: scf.if %[[POISON]] {
  // CHECK-COUNT-4: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
  // CHECK: } else {
  // CHECK: %[[WIDE_PAGE:.+]] = arith.extui %[[PAGE]] : i32 to i64
  // CHECK: arith.muli %[[WIDE_PAGE]], %{{.+}} : i64
  // CHECK: %[[SIZE:.+]] = arith.select %{{.+}}, %c16_i32, %c0_i32
  // CHECK: nvvm.cp.async.shared.global %{{.+}}, %{{.+}}, 16, cache = cg, %[[SIZE]]
  // CHECK-COUNT-3: nvvm.cp.async.shared.global
  // CHECK-NOT: nvvm.cp.async.shared.global
  // CHECK: llvm.return
  tile.copy_values %kv[%item, %c0] pages %pages[%c0] into %slot when %valid {index = 1 : i64} : !kv, !tile.tile<1x32xi32, registers, #lanes>
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 6, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<1 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// Pages of 6 tokens hold groups of gcd(6, 16) = 2 rows; an instruction's four rows lie in two groups, so each lane finds its own
// page, from the block table where no page numbers are given.
// CHECK-LABEL: llvm.func @odd_pages
// CHECK-NOT: nvvm.shfl
// CHECK-COUNT-4: nvvm.cp.async.shared.global
// CHECK-NOT: nvvm.cp.async.shared.global
// CHECK: llvm.return
tile.kernel @odd_pages(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %ring = tile.ring {offset = 0 : i32} : !ring
  %p = tile.position
  %slot = tile.acquire %ring[%p] : !ring
  tile.copy_keys %kv[%item, %c0] into %slot : !kv
  tile.return
}
