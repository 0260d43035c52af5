// RUN: attncc-opt %s --convert-tile-to-nvvm --cse | FileCheck %s

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!ring = !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #kv>, !tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// Three slots of 4,096 bytes for each unit, one unit's ring behind the other's.
// CHECK-LABEL: llvm.func @rings
// CHECK: %[[MEMORY:.+]] = llvm.mlir.addressof @attncc_shared_memory
// CHECK: %[[RINGS:.+]] = llvm.getelementptr %[[MEMORY]][2048]
// CHECK: %[[UNIT:.+]] = arith.shrui %{{.+}}, %c5_i32
// CHECK: %[[OWN:.+]] = arith.muli %[[UNIT]], %c12288_i32
// CHECK: %[[RING:.+]] = llvm.getelementptr %[[RINGS]][%[[OWN]]]
tile.kernel @rings(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>, shared_memory = 51200 : i32} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %ring = tile.ring {offset = 2048 : i32} : !ring
  %p0 = tile.position
  // A position is its stage, and index becomes i32.
  // CHECK: scf.for {{.*}} iter_args(%[[STAGE:.+]] = %c0_i32) -> (i32) : i32
  %p = scf.for %i = %c0 to %c9 step %c1 iter_args(%pi = %p0) -> (!tile.position) {
    // An acquired slot is free already: nothing but a commit.
    // CHECK: nvvm.cp.async.commit.group
    %slot = tile.acquire %ring[%pi] : !ring
    tile.commit %ring[%pi] : !ring
    // A thread's copies have landed; after the barrier the other lanes' too.
    // CHECK: nvvm.cp.async.wait.group 2
    // CHECK: nvvm.bar.warp.sync %c-1_i32
    %k, %v = tile.wait %ring[%pi] {ahead = 2 : i64} : !ring
    // Every lane has read.
    // CHECK: nvvm.bar.warp.sync %c-1_i32
    tile.release %ring[%pi] : !ring
    // CHECK: %[[NEXT:.+]] = arith.addi %[[STAGE]], %c1_i32
    // CHECK: %[[WRAPS:.+]] = arith.cmpi eq, %[[NEXT]], %c3_i32
    // CHECK: %[[NEW:.+]] = arith.select %[[WRAPS]], %c0_i32, %[[NEXT]]
    // CHECK: scf.yield %[[NEW]]
    %p1 = tile.advance %ring[%pi] : !ring
    scf.yield %p1 : !tile.position
  }
  tile.return
}

#kv64 = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 8 offset]>
!shared = !tile.ring<2 x (!tile.tile<64x64xbf16, shared, #kv64>), shared_by = units>
!single = !tile.ring<1 x (!tile.tile<64x64xbf16, shared, #kv64>), shared_by = units>

// A ring of the block: its wait has the block's barrier and its release nothing. One slot can only be filled again
// behind a barrier of its own.
// CHECK-LABEL: llvm.func @shared_rings
// CHECK: llvm.getelementptr %{{.+}}[2048]
// CHECK: nvvm.cp.async.commit.group
// CHECK-NEXT: nvvm.cp.async.wait.group 1
// CHECK-NEXT: nvvm.barrier
// CHECK-NOT: nvvm.bar.warp.sync
// CHECK: nvvm.barrier
// CHECK: nvvm.cp.async.commit.group
// CHECK: nvvm.cp.async.wait.group 0
// CHECK: nvvm.barrier
// CHECK-NOT: nvvm.bar.warp.sync
// CHECK: llvm.return
tile.kernel @shared_rings(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, divide = rows>, phase = #attn.phase<prefill>, shared_memory = 51200 : i32} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 1>)
  %ring = tile.ring {offset = 2048 : i32} : !shared
  %p = tile.position
  %slot = tile.acquire %ring[%p] : !shared
  tile.commit %ring[%p] : !shared
  %k = tile.wait %ring[%p] {ahead = 1 : i64} : !shared
  tile.release %ring[%p] : !shared
  %one = tile.ring {offset = 32768 : i32} : !single
  %slot1 = tile.acquire %one[%p] : !single
  tile.commit %one[%p] : !single
  %k1 = tile.wait %one[%p] : !single
  tile.release %one[%p] : !single
  tile.return
}
