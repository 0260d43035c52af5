// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --cse --split-input-file | FileCheck %s

#tile = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 4 offset]>
#q = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 8 offset]>
#s = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 4 register]>
#lanes = #tile.layout<lane = [[0,1],[0,2],[0,4],[0,8],[0,16]]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>
!q = !tile.tile<64x64xbf16, shared, #q>
!tile = !tile.tile<32x64xbf16, shared, #tile>
!s = !tile.tile<64x32xf32, registers, #s>
!pages = !tile.tile<1x32xi32, registers, #lanes>
!rows = !tile.ring<1 x (!q), shared_by = unit>
!keys = !tile.ring<2 x (!tile), shared_by = units>
!values = !tile.ring<3 x (!tile), shared_by = units>

// Two units of 128 threads and a warpgroup that loads.
// CHECK-LABEL: llvm.func @roles(
// CHECK-SAME: nvvm.reqntid = array<i32: 384, 1, 1>
// Units are warpgroups: the number of a thread's unit is computed once and read from one lane, so that whatever is counted
// by it is the same in a warp.
// CHECK: %[[THREAD:.+]] = nvvm.read.ptx.sreg.tid.x
// CHECK: %[[WARP:.+]] = arith.shrui %[[THREAD]], %c5_i32
// CHECK: %[[WARPGROUP:.+]] = arith.shrui %[[WARP]], %c2_i32
// CHECK: %[[UNIT:.+]] = nvvm.shfl.sync{{ +}}idx %c-1_i32, %[[WARPGROUP]], %c0_i32, %c31_i32
// One thread makes the barriers of the ring of values: 3 that say when a slot is full, for the one announcement of all of
// its bytes; 3 that say when it is empty, for 2 units; 3 that say when a tile has landed of which rows become zero. Then
// those of the keys.
// CHECK: %[[VALUES:.+]] = llvm.getelementptr %{{.+}}[57392]
// CHECK: %[[FIRST:.+]] = arith.cmpi eq, %[[THREAD]], %c0_i32
// CHECK: scf.if %[[FIRST]] {
// CHECK: %[[ONE:.+]] = arith.constant 1 : i32
// CHECK: nvvm.mbarrier.init %[[VALUES]], %[[ONE]]
// CHECK-COUNT-2: nvvm.mbarrier.init %{{.+}}, %[[ONE]]
// CHECK: %[[EMPTY:.+]] = llvm.getelementptr %[[VALUES]][24]
// CHECK: nvvm.mbarrier.init %[[EMPTY]], %c2_i32
// CHECK-COUNT-2: nvvm.mbarrier.init %{{.+}}, %c2_i32
// CHECK: %[[LANDED:.+]] = llvm.getelementptr %[[VALUES]][48]
// CHECK: nvvm.mbarrier.init %[[LANDED]], %[[ONE]]
// CHECK-COUNT-2: nvvm.mbarrier.init %{{.+}}, %[[ONE]]
// CHECK: nvvm.fence.mbarrier.init
// CHECK: %[[KEYS:.+]] = llvm.getelementptr %{{.+}}[57344]
// CHECK: scf.if %[[FIRST]] {
// CHECK-COUNT-6: nvvm.mbarrier.init
// CHECK-NOT: nvvm.mbarrier.init
// The roles part when all threads know the barriers.
// CHECK: nvvm.barrier
// CHECK: %[[COMPUTES:.+]] = arith.cmpi ult, %[[THREAD]], %c256_i32
// CHECK: scf.if %[[COMPUTES]] {
// CHECK: nvvm.setmaxregister increase 232
// The last unit hands the first turn to unit 0: named barriers 0 is the block's, 1 and 2 the units', 3 and 4 those of turns.
// CHECK: %[[LAST:.+]] = arith.cmpi eq, %[[UNIT]], %c1_i32
// CHECK: scf.if %[[LAST]] {
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.arrive $0, 256;", "r,~{memory}" %c3_i32
// A unit's own ring of rows: the wait hands what its threads have copied to the products' proxy, then they meet.
// Of a group of 4 rows 16 apart are 4 tokens apart: the pointer moves by their stride.
// CHECK: nvvm.cp.async.shared.global %{{.+}}, %[[POINTER:[0-9]+]], 16
// CHECK: %[[TOKENS:.+]] = arith.shli %{{.+}}, %c3_i64
// CHECK: %[[SECOND:.+]] = llvm.getelementptr %[[POINTER]][%[[TOKENS]]]
// CHECK: nvvm.cp.async.shared.global %{{.+}}, %[[SECOND]], 16
// CHECK-COUNT-2: nvvm.cp.async.shared.global
// CHECK-NOT: nvvm.cp.async.shared.global
// CHECK: nvvm.cp.async.commit.group
// CHECK-NEXT: nvvm.cp.async.wait.group 0
// CHECK-NEXT: nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
// CHECK: %[[OWN:.+]] = arith.addi %[[UNIT]], %c1_i32
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 128;", "r,~{memory}" %[[OWN]]
// A ring that the role fills: the wait is for its barrier alone.
// CHECK: %[[FULL:.+]] = llvm.getelementptr %[[KEYS]][%{{.+}}]
// CHECK: mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[FULL]],
// CHECK-NOT: bar.sync $0, 128
// A unit waits at the barrier of its turn, where the one before it arrives.
// CHECK: %[[TURN:.+]] = arith.addi %[[UNIT]], %c3_i32
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 256;", "r,~{memory}" %[[TURN]]
// CHECK-COUNT-4: wgmma.mma_async
// CHECK: %[[ENDS:.+]] = arith.cmpi eq, %[[OWN]], %c2_i32
// CHECK: %[[NEXT:.+]] = arith.select %[[ENDS]], %c0_i32, %[[OWN]]
// CHECK: %[[TURN_OF_NEXT:.+]] = arith.addi %[[NEXT]], %c3_i32
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.arrive $0, 256;", "r,~{memory}" %[[TURN_OF_NEXT]]
// CHECK: wgmma.wait_group.sync.aligned 0
// Behind the await of a product that has read the slot all of the unit's warps have waited for it: one thread arrives.
// CHECK-NOT: bar.sync
// CHECK: %[[THREAD_OF_UNIT:.+]] = arith.andi %[[THREAD]], %c127_i32
// CHECK: %[[LEADER:.+]] = arith.cmpi eq, %[[THREAD_OF_UNIT]], %c0_i32
// CHECK: %[[KEYS_EMPTY:.+]] = llvm.getelementptr %[[FULL]][16]
// CHECK: %[[ARRIVES:.+]] = arith.extui %[[LEADER]] : i1 to i32
// CHECK: @arrives mbarrier.arrive.shared::cta.b64 _, [$0];{{.*}} %[[KEYS_EMPTY]], %[[ARRIVES]]
// A slot that no product was awaited of: the unit's threads meet first, or one of them would wait for the next filling.
// CHECK: %[[VALUES_FULL:.+]] = llvm.getelementptr %[[VALUES]][%{{.+}}]
// CHECK: mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[VALUES_FULL]],
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 128;", "r,~{memory}" %[[OWN]]
// CHECK: %[[VALUES_EMPTY:.+]] = llvm.getelementptr %[[VALUES_FULL]][24]
// CHECK: @arrives mbarrier.arrive.shared::cta.b64 _, [$0];{{.*}} %[[VALUES_EMPTY]], %[[ARRIVES]]
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 128;", "r,~{memory}" %[[OWN]]
// The loading warpgroup gives registers away; each of its warps loads for a ring.
// CHECK: } else {
// CHECK-NEXT: nvvm.setmaxregister decrease 40
// CHECK: %[[BEHIND:.+]] = arith.subi %[[THREAD]], %{{.+}}
// CHECK: %[[LOADER:.+]] = arith.shrui %[[BEHIND]], %c5_i32
// CHECK: %[[LOADS_KEYS:.+]] = arith.cmpi eq, %[[LOADER]], %c0_i32
// CHECK: scf.if %[[LOADS_KEYS]] {
// The first time around every slot is empty: the parity that is waited for is the other one.
// CHECK: scf.for {{.+}} iter_args(%[[POSITION:[^ ]+]] = %c0_i32)
// The lanes of a tile's two pages read their numbers.
// CHECK: arith.cmpi ult, %{{.+}}, %c2_i32
// CHECK-DAG: %[[PARITY:.+]] = arith.shrui %[[POSITION]], %c16_i32
// CHECK-DAG: %[[OTHER:.+]] = arith.xori %[[PARITY]], %c1_i32
// CHECK-DAG: %[[FULL:.+]] = llvm.getelementptr %[[KEYS]][%{{.+}}]
// CHECK-DAG: %[[EMPTY:.+]] = llvm.getelementptr %[[FULL]][16]
// CHECK: mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[EMPTY]], %[[OTHER]]
// One lane announces the bytes of the boxes that have keys, 16 x 64 x 2 each, and copies them; their pages come from the
// lanes that have read them.
// CHECK: %[[LEFT:.+]] = arith.subi
// CHECK-COUNT-2: nvvm.shfl.sync{{ +}}idx
// CHECK: %[[LEADS:.+]] = nvvm.elect.sync -> i1
// CHECK: scf.if %[[LEADS]] {
// CHECK: %[[BYTES:.+]] = arith.shli %{{.+}}, %c11_i32
// CHECK: mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;{{.*}} %[[FULL]], %[[BYTES]]
// CHECK: %[[WHOLE:.+]] = arith.cmpi sge, %[[LEFT]], %c32_i32
// CHECK: scf.if %[[WHOLE]] {
// CHECK-COUNT-2: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.+}}, %{{.+}}, %[[FULL]], box[
// CHECK-NOT: nvvm.cp.async.bulk.tensor
// CHECK: } else {
// CHECK: arith.cmpi sgt, %[[LEFT]], %c0_i32
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// CHECK: arith.cmpi sgt, %[[LEFT]], %c16_i32
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// CHECK: nvvm.bar.warp.sync
// CHECK: %[[LOADS_VALUES:.+]] = arith.cmpi eq, %[[LOADER]], %c1_i32
// CHECK: scf.if %[[LOADS_VALUES]] {
// CHECK: %[[FULL:.+]] = llvm.getelementptr %[[VALUES]][%{{.+}}]
// CHECK: %[[EMPTY:.+]] = llvm.getelementptr %[[FULL]][24]
// CHECK: mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[EMPTY]],
// CHECK: %[[LANDED:.+]] = llvm.getelementptr %[[FULL]][48]
// A tile with 32 keys goes to the units when its boxes have landed.
// CHECK: %[[LEFT:.+]] = arith.subi
// CHECK: %[[WHOLE:.+]] = arith.cmpi sge, %[[LEFT]], %c32_i32
// CHECK: scf.if %[[WHOLE]] {
// CHECK: mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;{{.*}} %[[FULL]],
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.+}}, %{{.+}}, %[[FULL]], box[
// Of another one the role awaits the boxes that have keys, then the rows past the last key become zero, and only then it
// hands the slot over.
// CHECK: nvvm.elect.sync
// CHECK: %[[STATE:.+]] = llvm.inline_asm {{.*}}"mbarrier.arrive.expect_tx.shared::cta.b64 $0, [$1], $2;", "=l,r,r,~{memory}" %[[LANDED]]
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.+}}, %{{.+}}, %[[LANDED]], box[
// CHECK: mbarrier.try_wait.shared::cta.b64 landed, [$0], $1;{{.*}}"r,l,~{memory}" %[[LANDED]], %[[STATE]]
// CHECK: nvvm.bar.warp.sync
// CHECK-COUNT-8: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
// CHECK: nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
// CHECK: nvvm.bar.warp.sync
// CHECK: nvvm.elect.sync
// CHECK: "mbarrier.arrive.shared::cta.b64 _, [$0];", "r,~{memory}" %[[FULL]]
tile.kernel @roles(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch, %out: tensor<?x?x32xf32>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, keys = 32, orientation = direct, product = wgmma, copy = tensor, box = 16,
                                          stages = [2, 3], roles = specialised, registers = [40, 24, 232], ping_pong = true>, phase = #attn.phase<prefill>} {
  %rows = tile.ring {offset = 0 : i32} : !rows
  %keys = tile.ring {offset = 16384 : i32, barriers = 57344 : i32} : !keys
  %values = tile.ring {offset = 24576 : i32, barriers = 57392 : i32} : !values
  tile.roles load {
    %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 32 : i64}
    %n = tile.range_count %range
    %p0 = tile.position
    %p = scf.for %j = %c0 to %n step %c1 iter_args(%pi = %p0) -> (!tile.position) {
      %pages = tile.page_numbers %kv, %range[%j] : !kv -> !pages
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %keys[%pi] : !keys
      tile.copy_keys %kv[%item, %t] pages %pages[%c0] into %slot {box = 16 : i64} : !kv, !pages
      tile.commit %keys[%pi] : !keys
      %p1 = tile.advance %keys[%pi] : !keys
      scf.yield %p1 : !tile.position
    }
  }, {
    %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 32 : i64}
    %n = tile.range_count %range
    %p0 = tile.position
    %p = scf.for %j = %c0 to %n step %c1 iter_args(%pi = %p0) -> (!tile.position) {
      %pages = tile.page_numbers %kv, %range[%j] : !kv -> !pages
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %values[%pi] : !values
      tile.copy_values %kv[%item, %t] pages %pages[%c0] into %slot {box = 16 : i64, zeroed} : !kv, !pages
      tile.commit %values[%pi] : !values
      %p1 = tile.advance %values[%pi] : !values
      scf.yield %p1 : !tile.position
    }
  } compute {
    %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
    %at = tile.position
    %slot = tile.acquire %rows[%at] : !rows
    tile.copy_rows query %query[%item] into %slot : tensor<?x?x64xbf16>
    tile.commit %rows[%at] : !rows
    %q = tile.wait %rows[%at] : !rows
    %k = tile.wait %keys[%at] : !keys
    tile.take_turn
    %ps = tile.matmul_issue %q, %k {transpose_b} : (!q, !tile) -> !tile.pending<!s>
    tile.pass_turn
    %s = tile.await %ps : (!tile.pending<!s>) -> !s
    tile.release %keys[%at] : !keys
    %v = tile.wait %values[%at] : !values
    tile.release %values[%at] : !values
    tile.release %rows[%at] : !rows
    tile.store_rows query %s, %out[%item] : !s, tensor<?x?x32xf32>
  }
  tile.return
}
