// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --cse --split-input-file | FileCheck %s

// A block that stays, whose first loading role draws. The launch says how many sequences there are, behind the batch.
// CHECK-LABEL: llvm.func @grouped(
// CHECK-SAME: i64, %[[HEADS:[^ ]+]]: i32, %{{[^ ]+}}: i32, %[[MOST:[^ ]+]]: i32, %{{[^ ]+}}: i32, %[[MANY:[^ ]+]]: i32, %{{[^ ]+}}: !llvm.ptr<1>
// CHECK: nvvm.setmaxregister decrease
// CHECK: scf.while (%[[FIRST:[^ ]+]] = %c0_i32)
// Places are chunks of 4 · 16 rows, as many as of the longest sequence, of each pair of a sequence and a kv head.
// CHECK: %[[ROWS:.+]] = arith.shli %[[MOST]], %c2_i32
// CHECK: %[[UP:.+]] = arith.addi %[[ROWS]], %c63_i32
// CHECK: %[[CHUNKS:.+]] = arith.shrui %[[UP]], %c6_i32
// CHECK: %[[PAIRS:.+]] = arith.muli %[[MANY]], %[[HEADS]]
// CHECK: %[[PLACES:.+]] = arith.muli %[[PAIRS]], %[[CHUNKS]]
// CHECK: scf.while (%[[CURSOR:[^ ]+]] = %[[FIRST]])
// CHECK: %[[NEXT:.+]] = arith.addi %[[CURSOR]], %c1_i32
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
// CHECK: %[[EXISTS:.+]] = arith.cmpi ult, %[[PLACE]], %[[PLACES]]
// CHECK: %[[NEXT_ROUND:.+]] = arith.muli %[[NEXT]], %[[BLOCKS]]
// CHECK: %[[MORE:.+]] = arith.cmpi ult, %[[NEXT_ROUND]], %[[PLACES]]
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
// CHECK: %[[SAFE:.+]] = arith.select %[[EXISTS]], %[[PAIR]], %c0_i32
// CHECK: %[[SEQUENCE:.+]] = arith.divui %[[SAFE]], %[[HEADS]]
// CHECK: %[[OTHER_HEADS:.+]] = arith.muli %[[SEQUENCE]], %[[HEADS]]
// CHECK: %[[KV_HEAD:.+]] = arith.subi %[[SAFE]], %[[OTHER_HEADS]]
// An item is one of this kernel's sequences, those of more than 8 query tokens, and has rows.
// CHECK: %[[HAS_ROWS:.+]] = arith.andi %[[EXISTS]], %{{.+}} : i1
// CHECK: %[[LONG:.+]] = arith.cmpi sgt, %{{.+}}, %c8_i32
// CHECK: llvm.atomicrmw _or
// CHECK: %[[VALID:.+]] = arith.andi %[[HAS_ROWS]], %[[LONG]]
// Until a place has an item, or the round of the next one begins behind the last place.
// CHECK: %[[NONE:.+]] = arith.cmpi eq, %[[VALID]], %false
// CHECK: %[[GOES_ON:.+]] = arith.andi %[[MORE]], %[[NONE]]
// CHECK: scf.condition(%[[GOES_ON]]) %[[NEXT]], %[[SEQUENCE]], %[[KV_HEAD]], {{.*}}, %[[VALID]], %[[NEXT]]
tile.kernel @grouped(%batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<unit = 4, units = 1, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16, roles = specialised,
                                          registers = [40, 40, 232], work = static, head_group = 8>,
                phase = #attn.phase<prefill, max_query = 8>} {
  %c0 = arith.constant 0 : index
  tile.roles load {
    scf.while (%cursor = %c0) : (index) -> index {
      %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(<prefill, group = 4>)
      scf.condition(%valid) %next : index
    } do {
    ^bb0(%next: index):
      scf.yield %next : index
    }
  } compute {
  }
  tile.return
}

// -----

#words = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16]]>
!items = !tile.ring<4 x (!tile.tile<1x32xi32, shared, #words>), shared_by = roles>
!sum = !tile.tile<64x16xf32, registers, #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 2 register]>>

// Places that the blocks count together; without groups all pairs are one. The item goes to the other roles in a ring, each
// slot of which the two units and the other warp that loads release.
// CHECK-LABEL: llvm.func @counted(
// CHECK-DAG: nvvm.mbarrier.init %{{.+}}, %c1_i32
// CHECK-DAG: nvvm.mbarrier.init %{{.+}}, %c3_i32
// All threads of a unit read the record. Their rows begin where the block's do, and 64 for each unit before theirs.
// CHECK: nvvm.setmaxregister increase
// CHECK-COUNT-5: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xi32>
// CHECK: %[[OF_UNIT:.+]] = arith.shli %{{.+}}, %c6_i32
// CHECK: arith.addi %{{.+}}, %[[OF_UNIT]]
// CHECK: scf.if
// CHECK: llvm.store %{{.+}} : vector<2xf32>, !llvm.ptr<1>
// CHECK: nvvm.setmaxregister decrease
// The block's number first; then the counter, which the last count of the launch sets back.
// CHECK: %[[PAIRS:.+]] = arith.muli %{{.+}}, %{{.+}} : i32
// CHECK: %[[PLACES:.+]] = arith.muli %[[PAIRS]], %{{.+}} : i32
// CHECK: scf.while (%[[CURSOR:[^ ]+]] =
// CHECK: %[[IS_FIRST:.+]] = arith.cmpi eq, %[[CURSOR]], %c0_i32
// CHECK: %[[PLACE:.+]] = scf.if %[[IS_FIRST]] -> (i32) {
// CHECK: %[[BLOCK:.+]] = nvvm.read.ptx.sreg.ctaid.x
// CHECK: scf.yield %[[BLOCK]]
// CHECK: } else {
// CHECK: %[[LANE0:.+]] = arith.cmpi eq, %{{.+}}, %c0_i32
// CHECK: %[[COUNT:.+]] = scf.if %[[LANE0]]
// CHECK-DAG: %[[COUNTER:.+]] = llvm.getelementptr %{{.+}}[128]
// CHECK-DAG: %[[LAST:.+]] = arith.addi %[[PLACES]], %c-1_i32
// CHECK: llvm.atomicrmw uinc_wrap %[[COUNTER]], %[[LAST]] syncscope("device") monotonic
// CHECK: %[[OF_ALL:.+]] = nvvm.shfl.sync idx %{{.+}}, %[[COUNT]], %c0_i32
// CHECK: arith.addi %{{.+}}, %[[OF_ALL]]
// CHECK: %[[EXISTS:.+]] = arith.cmpi ult, %[[PLACE]], %[[PLACES]]
// CHECK: arith.divui %[[PLACE]], %[[PAIRS]]
// CHECK: %[[NONE:.+]] = arith.cmpi eq, %{{.+}}, %false
// CHECK: %[[GOES_ON:.+]] = arith.andi %[[EXISTS]], %[[NONE]]
// CHECK: scf.condition(%[[GOES_ON]])
// One lane writes the record, and arrives.
// CHECK: %[[LANE0:.+]] = arith.cmpi eq, %{{.+}}, %c0_i32
// CHECK: scf.if %[[LANE0]] {
// CHECK-COUNT-5: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
// CHECK: mbarrier.arrive
tile.kernel @counted(%workspace: !tile.workspace, %batch: !tile.batch, %out: tensor<?x?x16xf32>)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16, roles = specialised,
                                          registers = [40, 40, 232], work = atomic>, phase = #attn.phase<prefill, max_query = 8>} {
  %c0 = arith.constant 0 : index
  %items = tile.ring {offset = 0 : i32, barriers = 1024 : i32} : !items
  tile.roles load {
    %p = tile.position
    %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 4>)
    %slot = tile.acquire %items[%p] : !items
    tile.put_item %item, %valid into %slot
    tile.commit %items[%p] : !items
  }, {
    %p = tile.position
    %record = tile.wait %items[%p] : !items
    tile.release %items[%p] : !items
  } compute {
    %p = tile.position
    %record = tile.wait %items[%p] : !items
    %item, %unit, %valid = tile.take_item %record items(<prefill, group = 4>) : !tile.tile<1x32xi32, shared, #words>
    %z = tile.zero : !sum
    tile.store_rows query %z, %out[%item] : !sum, tensor<?x?x16xf32>
    tile.release %items[%p] : !items
  }
  tile.return
}

// -----

// Three units, of which a chunk of all would leave 64 rows to the last one: the first chunks have two units' rows. As many as
// fill the blocks' last round are one more.
// CHECK-LABEL: llvm.func @shared(
// CHECK-SAME: i64, %[[HEADS:[^ ]+]]: i32, %{{[^ ]+}}: i32, %[[MOST:[^ ]+]]: i32, %{{[^ ]+}}: i32, %[[MANY:[^ ]+]]: i32, %{{[^ ]+}}: !llvm.ptr<1>
// CHECK: nvvm.setmaxregister decrease
// CHECK: %[[PAIRS:.+]] = arith.muli %[[MANY]], %[[HEADS]]
// CHECK: %[[ITEMS:.+]] = arith.muli %[[PAIRS]], %{{.+}}
// CHECK: %[[BLOCKS:.+]] = nvvm.read.ptx.sreg.nctaid.x
// CHECK: %[[ROUNDS:.+]] = arith.divui %{{.+}}, %[[BLOCKS]]
// CHECK: %[[ALL:.+]] = arith.muli %[[ROUNDS]], %[[BLOCKS]]
// CHECK: %[[LEFT:.+]] = arith.subi %[[ALL]], %[[ITEMS]]
// CHECK: %[[FILLED:.+]] = arith.select %{{.+}}, %[[LEFT]], %c0_i32
// CHECK: %[[EXTRA:.+]] = arith.divui %[[FILLED]], %[[PAIRS]]
// CHECK-DAG: %[[FEWEST:.+]] = arith.divui %{{.+}}, %c3_i32
// CHECK-DAG: %[[MOST_CHUNKS:.+]] = arith.shrui %{{.+}}, %c1_i32
// CHECK-DAG: %[[MORE:.+]] = arith.addi %[[FEWEST]], %[[EXTRA]]
// CHECK: %[[FEW:.+]] = arith.minsi %[[MOST_CHUNKS]], %[[MORE]]
// CHECK: %[[CHUNKS:.+]] = arith.maxsi %[[FEWEST]], %[[FEW]]
// CHECK: %[[PLACES:.+]] = arith.muli %[[PAIRS]], %[[CHUNKS]]
// A sequence's chunk begins three tiles of rows behind the one before it, less one for each shorter one.
// CHECK: %[[OF_SEQUENCE:.+]] = arith.maxsi %{{.+}}, %{{.+}}
// CHECK: %[[TILES:.+]] = arith.muli %[[OF_SEQUENCE]], %c3_i32
// CHECK: %[[SHORTER:.+]] = arith.subi %[[TILES]], %{{.+}}
// CHECK: %[[LESS:.+]] = arith.minsi %[[CHUNK:.+]], %[[SHORTER]]
// CHECK: %[[THREES:.+]] = arith.muli %[[CHUNK]], %c3_i32
// CHECK: %[[TILE:.+]] = arith.subi %[[THREES]], %[[LESS]]
// CHECK: arith.shli %[[TILE]], %c6_i32
tile.kernel @shared(%batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<unit = 4, units = 3, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16, roles = specialised,
                                          registers = [32, 32, 160], work = static>,
                phase = #attn.phase<prefill, max_query = 8>} {
  %c0 = arith.constant 0 : index
  tile.roles load {
    scf.while (%cursor = %c0) : (index) -> index {
      %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(<prefill, group = 4>)
      scf.condition(%valid) %next : index
    } do {
    ^bb0(%next: index):
      scf.yield %next : index
    }
  } compute {
  }
  tile.return
}
