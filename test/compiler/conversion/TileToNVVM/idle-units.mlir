// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --cse --split-input-file | FileCheck %s

#tile = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 4 offset]>
!tile = !tile.tile<32x64xbf16, shared, #tile>
!keys = !tile.ring<2 x (!tile), shared_by = units>
!values = !tile.ring<3 x (!tile), shared_by = units>

// A unit passes all tiles of an item of whose rows it has none, which is where its own begin behind the item's, else none.
// CHECK-LABEL: llvm.func @idle(
// CHECK: %[[UNIT:.+]] = nvvm.shfl.sync{{ +}}idx
// CHECK: %[[VALUES:.+]] = llvm.getelementptr %{{.+}}[57392]
// CHECK: %[[KEYS:.+]] = llvm.getelementptr %{{.+}}[57344]
// CHECK: %[[ROWS_BEFORE:.+]] = arith.shli %[[UNIT]], %c6_i32
// CHECK: %[[ROW:.+]] = arith.addi %{{.+}}, %[[ROWS_BEFORE]]
// CHECK: %[[END:.+]] = arith.shli %{{.+}}, %c2_i32
// CHECK: %[[PADDED:.+]] = arith.addi %{{.+}}, %c31_i32
// CHECK: %[[TILES:.+]] = arith.shrui %[[PADDED]], %c5_i32
// CHECK: %[[HAS_ROWS:.+]] = arith.cmpi slt, %[[ROW]], %[[END]]
// CHECK: %[[IDLE:.+]] = arith.select %[[HAS_ROWS]], %c0_i32, %[[TILES]]
// CHECK: scf.for %{{.+}} = %c0_i32 to %[[IDLE]] step
// Behind its waits for both slots the unit meets once, and one thread arrives for each.
// CHECK: %[[KEYS_FULL:.+]] = llvm.getelementptr %[[KEYS]][%{{.+}}]
// CHECK: mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[KEYS_FULL]],
// CHECK: %[[VALUES_FULL:.+]] = llvm.getelementptr %[[VALUES]][%{{.+}}]
// CHECK: mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[VALUES_FULL]],
// CHECK-NOT: mbarrier.arrive
// CHECK: %[[OWN:.+]] = arith.addi %[[UNIT]], %c1_i32
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 128;", "r,~{memory}" %[[OWN]]
// CHECK-NOT: bar.sync
// CHECK: %[[KEYS_EMPTY:.+]] = llvm.getelementptr %[[KEYS_FULL]][16]
// CHECK: %[[ARRIVES:.+]] = arith.extui %{{.+}} : i1 to i32
// CHECK: @arrives mbarrier.arrive.shared::cta.b64 _, [$0];{{.*}} %[[KEYS_EMPTY]], %[[ARRIVES]]
// CHECK-NOT: bar.sync
// CHECK: %[[VALUES_EMPTY:.+]] = llvm.getelementptr %[[VALUES_FULL]][24]
// CHECK: @arrives mbarrier.arrive.shared::cta.b64 _, [$0];{{.*}} %[[VALUES_EMPTY]], %[[ARRIVES]]
// CHECK-NOT: bar.sync
// CHECK: scf.yield
tile.kernel @idle(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, keys = 32, orientation = direct, product = wgmma, copy = tensor,
                                          box = 16, stages = [2, 3], roles = specialised, registers = [40, 24, 232]>, phase = #attn.phase<prefill>} {
  %keys = tile.ring {offset = 16384 : i32, barriers = 57344 : i32} : !keys
  %values = tile.ring {offset = 24576 : i32, barriers = 57392 : i32} : !values
  tile.roles load {
  } compute {
    %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 32 : i64}
    %idle = tile.range_idle %range
    %p0 = tile.position
    %pk, %pv = scf.for %j = %c0 to %idle step %c1 iter_args(%pki = %p0, %pvi = %p0) -> (!tile.position, !tile.position) {
      %k = tile.wait %keys[%pki] : !keys
      %v = tile.wait %values[%pvi] : !values
      tile.release %keys[%pki] : !keys
      %pk1 = tile.advance %keys[%pki] : !keys
      tile.release %values[%pvi] : !values
      %pv1 = tile.advance %values[%pvi] : !values
      scf.yield %pk1, %pv1 : !tile.position, !tile.position
    }
  }
  tile.return
}

// -----

#tile = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 4 offset]>
!tile = !tile.tile<32x64xbf16, shared, #tile>
!keys = !tile.ring<2 x (!tile), shared_by = units>
!values = !tile.ring<3 x (!tile), shared_by = units>

// A unit that has waited for its turn has met there. A turn between the wait for the one slot and that for the other says
// nothing of the second wait.
// CHECK-LABEL: llvm.func @turns(
// CHECK: %[[UNIT:.+]] = nvvm.shfl.sync{{ +}}idx
// CHECK: %[[VALUES:.+]] = llvm.getelementptr %{{.+}}[57392]
// CHECK: %[[KEYS:.+]] = llvm.getelementptr %{{.+}}[57344]
// CHECK: scf.for
// CHECK: %[[KEYS_FULL:.+]] = llvm.getelementptr %[[KEYS]][%{{.+}}]
// CHECK: mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[KEYS_FULL]],
// CHECK: %[[VALUES_FULL:.+]] = llvm.getelementptr %[[VALUES]][%{{.+}}]
// CHECK: mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[VALUES_FULL]],
// CHECK: %[[TURN:.+]] = arith.addi %[[UNIT]], %c3_i32
// CHECK: llvm.inline_asm has_side_effects {{.*}}"bar.sync $0, 256;", "r,~{memory}" %[[TURN]]
// CHECK: "bar.arrive $0, 256;"
// CHECK-NOT: bar.sync
// CHECK: %[[KEYS_EMPTY:.+]] = llvm.getelementptr %[[KEYS_FULL]][16]
// CHECK: @arrives mbarrier.arrive.shared::cta.b64 _, [$0];{{.*}} %[[KEYS_EMPTY]], %[[ARRIVES:.+]] :
// CHECK-NOT: bar.sync
// CHECK: %[[VALUES_EMPTY:.+]] = llvm.getelementptr %[[VALUES_FULL]][24]
// CHECK: @arrives mbarrier.arrive.shared::cta.b64 _, [$0];{{.*}} %[[VALUES_EMPTY]], %[[ARRIVES]]
// CHECK-NOT: bar.sync
// CHECK: scf.yield
// CHECK: scf.for
// CHECK: mbarrier.try_wait.parity.shared::cta.b64
// CHECK: "bar.sync $0, 256;"
// CHECK: "bar.arrive $0, 256;"
// CHECK: %[[VALUES_FULL:.+]] = llvm.getelementptr %[[VALUES]][%{{.+}}]
// CHECK: mbarrier.try_wait.parity.shared::cta.b64 {{.*}} %[[VALUES_FULL]],
// CHECK-NOT: mbarrier.arrive
// CHECK: "bar.sync $0, 128;"
// CHECK: %[[VALUES_EMPTY:.+]] = llvm.getelementptr %[[VALUES_FULL]][24]
// CHECK: @arrives mbarrier.arrive.shared::cta.b64 _, [$0];{{.*}} %[[VALUES_EMPTY]],
// CHECK-NOT: bar.sync
// CHECK: @arrives mbarrier.arrive.shared::cta.b64
// CHECK-NOT: bar.sync
// CHECK: scf.yield
tile.kernel @turns(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, keys = 32, orientation = direct, product = wgmma, copy = tensor,
                                          box = 16, stages = [2, 3], roles = specialised, registers = [40, 24, 232], ping_pong = true>, phase = #attn.phase<prefill>} {
  %keys = tile.ring {offset = 16384 : i32, barriers = 57344 : i32} : !keys
  %values = tile.ring {offset = 24576 : i32, barriers = 57392 : i32} : !values
  tile.roles load {
  } compute {
    %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c9 = arith.constant 9 : index
    %p0 = tile.position
    %pk, %pv = scf.for %j = %c0 to %c9 step %c1 iter_args(%pki = %p0, %pvi = %p0) -> (!tile.position, !tile.position) {
      %k = tile.wait %keys[%pki] : !keys
      %v = tile.wait %values[%pvi] : !values
      tile.take_turn
      tile.pass_turn
      tile.release %keys[%pki] : !keys
      %pk1 = tile.advance %keys[%pki] : !keys
      tile.release %values[%pvi] : !values
      %pv1 = tile.advance %values[%pvi] : !values
      scf.yield %pk1, %pv1 : !tile.position, !tile.position
    }
    %pkn, %pvn = scf.for %j = %c0 to %c9 step %c1 iter_args(%pki = %pk, %pvi = %pv) -> (!tile.position, !tile.position) {
      %k = tile.wait %keys[%pki] : !keys
      tile.take_turn
      tile.pass_turn
      %v = tile.wait %values[%pvi] : !values
      tile.release %values[%pvi] : !values
      tile.release %keys[%pki] : !keys
      %pk1 = tile.advance %keys[%pki] : !keys
      %pv1 = tile.advance %values[%pvi] : !values
      scf.yield %pk1, %pv1 : !tile.position, !tile.position
    }
  }
  tile.return
}
