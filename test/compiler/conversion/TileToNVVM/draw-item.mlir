// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --cse --split-input-file | FileCheck %s

// A block that stays. The launch says how many sequences there are, behind the batch; what follows from it is computed anew
// by every draw, so that it takes no registers between two of them.
// CHECK-LABEL: llvm.func @grouped(
// CHECK-SAME: i64, %[[KV_HEADS:[^ ]+]]: i32, %{{[^ ]+}}: i32, %[[MOST_QUERIES:[^ ]+]]: i32, %{{[^ ]+}}: i32, %[[SEQUENCES:[^ ]+]]: i32, %{{[^ ]+}}: !llvm.ptr<1>
// CHECK: scf.while (%[[CURSOR:[^ ]+]] = %c0_i32)
// CHECK-DAG: %[[MOST:.+]] = llvm.inline_asm has_side_effects {{.*}}"mov.b32 $0, $1;", "=r,r" %[[MOST_QUERIES]]
// CHECK-DAG: %[[HEADS:.+]] = llvm.inline_asm has_side_effects {{.*}}"mov.b32 $0, $1;", "=r,r" %[[KV_HEADS]]
// CHECK-DAG: %[[MANY:.+]] = llvm.inline_asm has_side_effects {{.*}}"mov.b32 $0, $1;", "=r,r" %[[SEQUENCES]]
// Places are chunks of 4 · 16 rows, as many as of the longest sequence, of each pair of a sequence and a kv head.
// CHECK: %[[ROWS:.+]] = arith.shli %[[MOST]], %c2_i32
// CHECK: %[[UP:.+]] = arith.addi %[[ROWS]], %c63_i32
// CHECK: %[[CHUNKS:.+]] = arith.shrui %[[UP]], %c6_i32
// CHECK: %[[PAIRS:.+]] = arith.muli %[[MANY]], %[[HEADS]]
// CHECK: %[[PLACES:.+]] = arith.muli %[[PAIRS]], %[[CHUNKS]]
// CHECK: %[[BLOCKS:.+]] = nvvm.read.ptx.sreg.nctaid.x
// CHECK: %[[BLOCK:.+]] = nvvm.read.ptx.sreg.ctaid.x
// Forth in the even rounds, back in the odd ones.
// CHECK: %[[ODD:.+]] = arith.andi %[[CURSOR]], %c1_i32
// CHECK: %[[FORTH:.+]] = arith.cmpi eq, %[[ODD]], %c0_i32
// CHECK-DAG: %[[LAST:.+]] = arith.addi %[[BLOCKS]], %c-1_i32
// CHECK-DAG: %[[BACK:.+]] = arith.subi %[[LAST]], %[[BLOCK]]
// CHECK-DAG: %[[IN_ROUND:.+]] = arith.select %[[FORTH]], %[[BLOCK]], %[[BACK]]
// CHECK-DAG: %[[ROUND:.+]] = arith.muli %[[CURSOR]], %[[BLOCKS]]
// CHECK: %[[PLACE:.+]] = arith.addi %[[ROUND]], %[[IN_ROUND]]
// All chunks of 8 pairs, or of what is left of them at the end, the pair fastest.
// CHECK: %[[OF_GROUP:.+]] = arith.muli %[[CHUNKS]], %c8_i32
// CHECK: %[[GROUP:.+]] = arith.divui %[[PLACE]], %[[OF_GROUP]]
// CHECK: %[[FIRST_PAIR:.+]] = arith.muli %[[GROUP]], %c8_i32
// CHECK: %[[FIRST_PLACE:.+]] = arith.muli %[[GROUP]], %[[OF_GROUP]]
// CHECK: %[[REST:.+]] = arith.subi %[[PLACE]], %[[FIRST_PLACE]]
// CHECK: %[[PAIRS_LEFT:.+]] = arith.subi %[[PAIRS]], %[[FIRST_PAIR]]
// CHECK: %[[FEW:.+]] = arith.minsi %[[PAIRS_LEFT]], %c8_i32
// CHECK: %[[SIZE:.+]] = arith.maxsi %[[FEW]], %c1_i32
// CHECK: %[[CHUNK:.+]] = arith.divui %[[REST]], %[[SIZE]]
// CHECK: %[[SKIPPED:.+]] = arith.muli %[[CHUNK]], %[[SIZE]]
// CHECK: %[[PAIR_OF_GROUP:.+]] = arith.subi %[[REST]], %[[SKIPPED]]
// CHECK: %[[PAIR:.+]] = arith.addi %[[FIRST_PAIR]], %[[PAIR_OF_GROUP]]
// A place behind the last one reads no sequence that is not there.
// CHECK: %[[EXISTS:.+]] = arith.cmpi ult, %[[PLACE]], %[[PLACES]]
// CHECK: %[[SAFE:.+]] = arith.select %[[EXISTS]], %[[PAIR]], %c0_i32
// CHECK: %[[SEQUENCE:.+]] = arith.divui %[[SAFE]], %[[HEADS]]
// CHECK: %[[OTHER_HEADS:.+]] = arith.muli %[[SEQUENCE]], %[[HEADS]]
// CHECK: %[[KV_HEAD:.+]] = arith.subi %[[SAFE]], %[[OTHER_HEADS]]
// An item is one of this kernel's sequences, those of more than 8 query tokens, and has rows.
// CHECK: %[[HAS_ROWS:.+]] = arith.andi %[[EXISTS]], %{{.+}} : i1
// CHECK: %[[LONG:.+]] = arith.cmpi sgt, %{{.+}}, %c8_i32
// CHECK: llvm.atomicrmw _or
// CHECK-DAG: %[[VALID:.+]] = arith.andi %[[HAS_ROWS]], %[[LONG]]
// CHECK-DAG: %[[NEXT:.+]] = arith.addi %[[CURSOR]], %c1_i32
// Until a place has an item, or the round of the next one begins behind the last place.
// CHECK: %[[DRAWN:.+]]:20 = scf.while (%[[C:[^ ]+]] = %[[NEXT]], %{{[^ ]+}} = %[[SEQUENCE]], %{{[^ ]+}} = %[[KV_HEAD]], {{.*}}%[[FOUND:[^ ]+]] = %[[VALID]])
// CHECK: %[[ROUND:.+]] = arith.muli %[[C]], %[[BLOCKS]]
// CHECK: %[[BEGINS:.+]] = arith.cmpi ult, %[[ROUND]], %[[PLACES]]
// CHECK: %[[NONE:.+]] = arith.cmpi eq, %[[FOUND]], %false
// CHECK: %[[GOES_ON:.+]] = arith.andi %[[BEGINS]], %[[NONE]]
// CHECK: scf.condition(%[[GOES_ON]])
// CHECK: scf.condition(%[[DRAWN]]#19) %[[DRAWN]]#0 : i32
tile.kernel @grouped(%batch: !tile.batch, %out: tensor<?x?x16xf32>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 4, rows = 16, divide = rows, orientation = direct, work = static, head_group = 8>,
                phase = #attn.phase<prefill, max_query = 8>} {
  %c0 = arith.constant 0 : index
  scf.while (%cursor = %c0) : (index) -> index {
    %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(<prefill, group = 4>)
    scf.condition(%valid) %next : index
  } do {
  ^bb0(%next: index):
    scf.yield %next : index
  }
  tile.return
}

// -----

#tile = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #tile>), shared_by = units>

// Without groups all pairs are one. The loading role draws what the units draw: its rows are the block's, and it leaves
// it to them to report a fault.
// CHECK-LABEL: llvm.func @roles(
// CHECK: nvvm.setmaxregister increase
// CHECK: %[[CHUNKS:.+]] = arith.shrui %{{.+}}, %c7_i32
// CHECK: %[[PAIRS:.+]] = arith.muli
// CHECK: arith.muli %[[PAIRS]], %[[CHUNKS]]
// CHECK: %[[CHUNK:.+]] = arith.divui %[[PLACE:.+]], %[[PAIRS]]
// CHECK: %[[FIRST:.+]] = arith.muli %[[CHUNK]], %[[PAIRS]]
// CHECK: arith.subi %[[PLACE]], %[[FIRST]]
// The unit's rows: 64 for each before it in the chunk of 128.
// CHECK: %[[OF_UNIT:.+]] = arith.shli %[[UNIT:.+]], %c6_i32
// CHECK: %[[OF_CHUNK:.+]] = arith.shli %{{.+}}, %c7_i32
// CHECK: arith.addi %[[OF_CHUNK]], %[[OF_UNIT]]
// CHECK: llvm.atomicrmw _or
// CHECK: nvvm.setmaxregister decrease
// CHECK: arith.divui %[[PLACE:.+]], %{{.+}}
// CHECK: %[[OF_CHUNK:.+]] = arith.shli %{{.+}}, %c7_i32
// CHECK-NOT: llvm.atomicrmw
// CHECK: llvm.return
tile.kernel @roles(%batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16, roles = specialised,
                                          registers = [40, 40, 232], work = static>, phase = #attn.phase<prefill, max_query = 8>} {
  %c0 = arith.constant 0 : index
  %ring = tile.ring {offset = 0 : i32, barriers = 4096 : i32} : !ring
  tile.roles load {
    %p = tile.position
    scf.while (%cursor = %c0) : (index) -> index {
      %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(<prefill, group = 4>)
      scf.condition(%valid) %next : index
    } do {
    ^bb0(%next: index):
      %slot = tile.acquire %ring[%p] : !ring
      tile.commit %ring[%p] : !ring
      scf.yield %next : index
    }
  } compute {
    scf.while (%cursor = %c0) : (index) -> index {
      %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(<prefill, group = 4>)
      scf.condition(%valid) %next : index
    } do {
    ^bb0(%next: index):
      scf.yield %next : index
    }
  }
  tile.return
}

// -----

// Items that are not kept in registers. Each warp has two records of 24 words, of the even and of the odd turns: its first
// lane writes the words of the item, whether it is one, and the next cursor.
// CHECK-LABEL: llvm.func @records(
// CHECK: %[[DRAWN:.+]]:20 = scf.while
// CHECK-DAG: %[[RECORDS:.+]] = llvm.getelementptr %{{.+}}[4096]
// CHECK-DAG: %[[OF_WARP:.+]] = arith.muli %[[WARP:.+]], %c192_i32
// CHECK: %[[MINE:.+]] = llvm.getelementptr %[[RECORDS]][%[[OF_WARP]]]
// CHECK: %[[ODD:.+]] = arith.andi %[[TURN:.+]], %c1_i32
// CHECK: %[[OF_TURN:.+]] = arith.muli %[[ODD]], %c96_i32
// CHECK: %[[RECORD:.+]] = llvm.getelementptr %[[MINE]][%[[OF_TURN]]]
// CHECK: %[[LANE0:.+]] = arith.cmpi eq, %{{.+}}, %c0_i32
// CHECK: scf.if %[[LANE0]] {
// CHECK: llvm.store %{{.+}}, %[[RECORD]] {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
// CHECK-COUNT-5: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
// CHECK-NOT: llvm.store
// CHECK: nvvm.bar.warp.sync
// All lanes read what they need of it, in place of drawing again.
// CHECK-COUNT-6: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xi32>
// CHECK-NOT: scf.while
// CHECK: scf.if
// CHECK: llvm.store %{{.+}} : vector<2xf32>, !llvm.ptr<1>
tile.kernel @records(%batch: !tile.batch, %out: tensor<?x?x16xf32>)
    attributes {schedule = #attn.schedule<units = 4, rows = 16, divide = rows, orientation = direct, work = static>, phase = #attn.phase<prefill, max_query = 8>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %turns = scf.for %j = %c0 to %c9 step %c1 iter_args(%turn = %c0) -> (index) {
    %drawn, %unit, %valid, %next = tile.draw_item %batch[%c0] turn %turn items(<prefill, group = 4>) {record = 4096 : i32}
    %item, %same, %still, %then = tile.item_again %batch[%turn] items(<prefill, group = 4>) {record = 4096 : i32}
    %z = tile.zero : !tile.tile<16x16xf32, registers, #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [column 2 register]>>
    tile.store_rows query %z, %out[%item] : !tile.tile<16x16xf32, registers, #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [column 2 register]>>, tensor<?x?x16xf32>
    %turn1 = arith.addi %turn, %c1 : index
    scf.yield %turn1 : index
  }
  tile.return
}
