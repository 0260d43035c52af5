// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --cse --split-input-file | FileCheck %s

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
#lanes = #tile.layout<lane = [[0,1],[0,2],[0,4],[0,8],[0,16]]>
!kv = !attn.paged_kv<page_size = 64, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>
!kvtile = !tile.tile<16x64xbf16, shared, #kv>
!ring = !tile.ring<3 x (!kvtile, !kvtile), shared_by = unit>

// The cache is two tensor maps by value.
// CHECK-LABEL: llvm.func @copies(
// CHECK-SAME: %[[KEYS:[^ ]+]]: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}, %[[VALUES:[^ ]+]]: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant},
// Behind the slots of all units each unit has three mbarriers; one lane makes them, for one box of keys and one of values,
// before the kernel waits for the launch in front of it.
// CHECK: %[[PLACE:.+]] = llvm.getelementptr %{{.+}}[49152]
// CHECK: %[[OWN:.+]] = arith.muli %{{.+}}, %c24_i32
// CHECK: %[[BARRIERS:.+]] = llvm.getelementptr %[[PLACE]][%[[OWN]]]
// CHECK: %[[FIRST:.+]] = arith.cmpi eq, %[[LANE:.+]], %c0_i32
// CHECK: scf.if %[[FIRST]]
// CHECK: %[[BOXES:.+]] = arith.constant 2 : i32
// CHECK-NEXT: nvvm.mbarrier.init %[[BARRIERS]], %[[BOXES]]
// CHECK-COUNT-2: nvvm.mbarrier.init %{{.+}}, %[[BOXES]]
// CHECK: nvvm.fence.mbarrier.init
// CHECK: nvvm.bar.warp.sync
// CHECK: nvvm.griddepcontrol{{ +}}wait
tile.kernel @copies(%kv: !kv, %batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 4, copy = tensor, box = 16, cache = evict_first, dependent_launch = wait_first>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  %pages = tile.page_numbers %kv, %range[%c0] : !kv -> !tile.tile<1x32xi32, registers, #lanes>
  %ring = tile.ring {offset = 0 : i32, barriers = 49152 : i32} : !ring
  %p0 = tile.position
  // A position is its stage, with the parity of its phase in the bits above it.
  // CHECK: scf.for {{.*}} iter_args(%[[POSITION:.+]] = %c0_i32) -> (i32)
  %p = scf.for %i = %c0 to %c9 step %c1 iter_args(%pi = %p0) -> (!tile.position) {
    // CHECK: %[[STAGE:.+]] = arith.andi %[[POSITION]], %c65535_i32
    // CHECK: %[[AT:.+]] = arith.shli %[[STAGE]], %c3_i32
    // CHECK: %[[BARRIER:.+]] = llvm.getelementptr %[[BARRIERS]][%[[AT]]]
    %slot = tile.acquire %ring[%pi] : !ring
    // The lane that holds the page number announces 16 x 64 x 2 bytes and copies them, from the tile's place in its page of 64.
    // CHECK: %[[MINE:.+]] = arith.cmpi eq, %[[LANE]], %[[I:.+]] : i32
    // CHECK: %[[COPIES:.+]] = arith.andi %[[MINE]], %{{.+}} : i1
    // CHECK: scf.if %[[COPIES]] {
    // CHECK: %[[KEY:.+]] = arith.shli %[[I]], %c4_i32
    // CHECK: llvm.inline_asm has_side_effects {{.*}}"mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "r,r,~{memory}" %[[BARRIER]], %c2048_i32
    // CHECK: %[[POLICY:.+]] = llvm.inline_asm {{.*}}"createpolicy.fractional.L2::evict_first.b64 $0, 1.0;", "=l"
    // CHECK: %[[TOKEN:.+]] = arith.andi %[[KEY]], %c63_i32
    // CHECK: %[[TARGET:.+]] = llvm.addrspacecast %{{.+}} : !llvm.ptr<3> to !llvm.ptr<7>
    // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %[[TARGET]], %[[KEYS]], %[[BARRIER]], box[%c0_i32, %[[TOKEN]], %c0_i32, %{{.+}}, %{{.+}}] l2_cache_hint = %[[POLICY]] : !llvm.ptr<7>, !llvm.ptr
    tile.copy_keys %kv[%item, %i] pages %pages[%i] into %slot when %valid {box = 16 : i64} : !kv, !tile.tile<1x32xi32, registers, #lanes>
    // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.+}}, %[[VALUES]], %[[BARRIER]],
    tile.copy_values %kv[%item, %i] pages %pages[%i] into %slot when %valid {box = 16 : i64, index = 1 : i64} : !kv, !tile.tile<1x32xi32, registers, #lanes>
    // The mbarrier counts what lands: no groups.
    // CHECK-NOT: nvvm.cp.async.commit.group
    tile.commit %ring[%pi] : !ring
    // CHECK: %[[PARITY:.+]] = arith.shrui %[[POSITION]], %c16_i32
    // CHECK: llvm.inline_asm has_side_effects {{.*}}mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[BARRIER]], %[[PARITY]]
    %k, %v = tile.wait %ring[%pi] {ahead = 2 : i64} : !ring
    // In a tile with rows past the end, these become zero, before later copies and before the other lanes read.
    // CHECK: %[[END:.+]] = arith.cmpi slt, %{{.+}}, %c16_i32
    // CHECK: scf.if %[[END]] {
    // CHECK-COUNT-4: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    // CHECK-NOT: llvm.store
    // CHECK: nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    // CHECK: nvvm.bar.warp.sync
    // CHECK: }
    %z = tile.zero_rows %v[%item, %i] : !kvtile
    // CHECK: nvvm.bar.warp.sync
    tile.release %ring[%pi] : !ring
    // Behind the last of 3 stages the first one comes again, with the other parity.
    // CHECK: %[[NEXT:.+]] = arith.addi %[[POSITION]], %c1_i32
    // CHECK: %[[NEXT_STAGE:.+]] = arith.andi %[[NEXT]], %c65535_i32
    // CHECK: %[[WRAPS:.+]] = arith.cmpi eq, %[[NEXT_STAGE]], %c3_i32
    // CHECK: %[[AROUND:.+]] = arith.xori %[[NEXT]], %c65539_i32
    // CHECK: arith.select %[[WRAPS]], %[[AROUND]], %[[NEXT]]
    %p1 = tile.advance %ring[%pi] : !ring
    scf.yield %p1 : !tile.position
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
#lanes = #tile.layout<lane = [[0,1],[0,2],[0,4],[0,8],[0,16]]>
!kv = !attn.paged_kv<page_size = 8, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<1 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// Pages of 8 tokens: a tile is two boxes of two lanes. The second may lie past the end; it is announced without bytes.
// CHECK-LABEL: llvm.func @halves(
// CHECK: %[[FIRST:.+]] = arith.cmpi eq, %[[LANE:.+]], %c0_i32
// CHECK: %[[BOXES:.+]] = arith.constant 2 : i32
// CHECK: nvvm.mbarrier.init %{{.+}}, %[[BOXES]]
// CHECK: %[[TILE:.+]] = arith.shrui %[[LANE]], %c1_i32
// CHECK: %[[HALF:.+]] = arith.andi %[[LANE]], %c1_i32
// CHECK: %[[MINE:.+]] = arith.cmpi eq, %[[TILE]], %c0_i32
// CHECK: scf.if %[[MINE]]
// CHECK: %[[PLACE:.+]] = arith.shli %[[HALF]], %c10_i32
// CHECK: llvm.getelementptr %{{.+}}[%[[PLACE]]]
// CHECK: %[[EXISTS:.+]] = arith.cmpi slt
// CHECK: %[[BYTES:.+]] = arith.select %[[EXISTS]], %c1024_i32, %c0_i32
// CHECK: llvm.inline_asm {{.*}}mbarrier.arrive.expect_tx{{.*}} %[[BYTES]]
// CHECK: scf.if %[[EXISTS]] {
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// CHECK-NOT: l2_cache_hint
// CHECK-NOT: nvvm.cp.async.bulk.tensor
// CHECK: llvm.return
tile.kernel @halves(%kv: !kv, %batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 4, copy = tensor, box = 8>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  %pages = tile.page_numbers %kv, %range[%c0] : !kv -> !tile.tile<1x32xi32, registers, #lanes>
  %ring = tile.ring {offset = 0 : i32, barriers = 8192 : i32} : !ring
  %p = tile.position
  %slot = tile.acquire %ring[%p] : !ring
  tile.copy_keys %kv[%item, %c0] pages %pages[%c0] into %slot {box = 8 : i64} : !kv, !tile.tile<1x32xi32, registers, #lanes>
  tile.return
}
