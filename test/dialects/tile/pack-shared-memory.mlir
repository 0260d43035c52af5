// RUN: attncc-opt %s --tile-pack-shared-memory --split-input-file | FileCheck %s

#words = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16]]>
#wide = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
#narrow = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[1,0],[2,0],[4,8]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #wide>, !tile.tile<16x64xbf16, shared, #wide>), shared_by = unit>
!narrow = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #wide>, !tile.tile<16x16xbf16, shared, #narrow>), shared_by = units>

// The units' rings take 4 x 3 x 4096 bytes; the scratch of the merge lies over them, as they are dead.
// CHECK-LABEL: tile.kernel @reuse
// CHECK-SAME: shared_memory = 49152 : i32
tile.kernel @reuse(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  // CHECK: tile.ring {offset = 0 : i32}
  %ring = tile.ring : !ring
  %p = tile.position
  %m, %l = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
  %o = tile.zero : !tile.tile<8x64xf32>
  %slot = tile.acquire %ring[%p] : !ring
  tile.commit %ring[%p] : !ring
  %k, %v = tile.wait %ring[%p] : !ring
  tile.release %ring[%p] : !ring
  // CHECK: tile.merge_units {{.*}} {scratch = 0 : i32}
  %mm, %lm, %om = tile.merge_units %m, %l, %o
      : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
      -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
  tile.return
}

// A ring that is used again behind the merge, or around it in a loop, must not be overwritten. The
// scratch is 4 x (8 rows of 68 floats and 2) = 8960 bytes, 9216 in whole atoms.
// CHECK-LABEL: tile.kernel @alive
// CHECK-SAME: shared_memory = 58368 : i32
tile.kernel @alive(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // CHECK: tile.ring {offset = 0 : i32}
  %ring = tile.ring : !ring
  %p = tile.position
  %m, %l = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
  %o = tile.zero : !tile.tile<8x64xf32>
  scf.for %i = %c0 to %c1 step %c1 {
    %slot = tile.acquire %ring[%p] : !ring
    tile.commit %ring[%p] : !ring
    %k, %v = tile.wait %ring[%p] : !ring
    tile.release %ring[%p] : !ring
    // CHECK: tile.merge_units {{.*}} {scratch = 49152 : i32}
    %mm, %lm, %om = tile.merge_units %m, %l, %o
        : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
        -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
  }
  tile.return
}

// A shared ring counts once; a slot of 2048 + 512 bytes is rounded up to whole swizzle atoms of 1024.
// CHECK-LABEL: tile.kernel @shared
// CHECK-SAME: shared_memory = 6144 : i32
tile.kernel @shared(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, divide = rows>, phase = #attn.phase<prefill>} {
  %ring = tile.ring : !narrow
  %p = tile.position
  %slot = tile.acquire %ring[%p] : !narrow
  tile.commit %ring[%p] : !narrow
  tile.return
}

// Query rows in shared memory, 2048 bytes for each of 4 units, live until their last use: beside a ring that is used in
// the same loop.
// CHECK-LABEL: tile.kernel @rows
// CHECK-SAME: shared_memory = 14336 : i32
// CHECK: tile.load_rows query %{{.+}} {offset = 0 : i32}
// CHECK: tile.ring {offset = 8192 : i32}
#rows = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
tile.kernel @rows(%query: tensor<?x?x64xbf16>, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, divide = rows>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<16x64xbf16, shared, #rows>
  %ring = tile.ring : !narrow
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  scf.for %j = %c0 to %c9 step %c1 {
    %p = tile.position
    %k, %v = tile.wait %ring[%p] : !narrow
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16, shared, #rows>, !tile.tile<16x64xbf16, shared, #wide>) -> !tile.tile<16x16xf32>
    tile.release %ring[%p] : !narrow
  }
  tile.return
}

// Behind rings and scratch stand 4 x 3 mbarriers of the ring that boxes fill. Two blocks are asked for, and nothing is to be added: on a multiprocessor of
// 167936 bytes a third does not fit.
// CHECK-LABEL: tile.kernel @barriers
// CHECK-SAME: shared_memory = 58464 : i32
tile.kernel @barriers(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, copy = tensor, box = 16, blocks_per_sm = 2>, phase = #attn.phase<decode, max_query = 1>} {
  // CHECK: tile.ring {barriers = 58368 : i32, offset = 0 : i32}
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %ring = tile.ring : !ring
  %p = tile.position
  %m, %l = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
  %o = tile.zero : !tile.tile<8x64xf32>
  scf.for %i = %c0 to %c1 step %c1 {
    %slot = tile.acquire %ring[%p] : !ring
    tile.copy_keys %kv[%item, %i] into %slot {box = 16 : i64} : !kv
    tile.commit %ring[%p] : !ring
    // CHECK: tile.merge_units {{.*}} {scratch = 49152 : i32}
    %mm, %lm, %om = tile.merge_units %m, %l, %o
        : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
        -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
  }
  tile.return
}

// Rings that a role fills: full, empty and landed mbarriers, 3 x 2 of keys, then 3 x 3 of values. The query's rows, a
// ring of each of 2 units, are gathered and have none.
// CHECK-LABEL: tile.kernel @roles
// CHECK-SAME: shared_memory = 14456 : i32
tile.kernel @roles(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 2, rows = 16, divide = rows, orientation = direct, copy = tensor, box = 16, stages = [2, 3],
                                          roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  // CHECK: tile.ring {offset = 6144 : i32} : <1 x
  // CHECK: tile.ring {barriers = 14336 : i32, offset = 10240 : i32} : <2 x
  // CHECK: tile.ring {barriers = 14384 : i32, offset = 0 : i32} : <3 x
  %rows = tile.ring : !tile.ring<1 x (!tile.tile<16x64xbf16, shared, #wide>), shared_by = unit>
  %keys = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #wide>), shared_by = units>
  %values = tile.ring : !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #wide>), shared_by = units>
  tile.roles load {
    %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
    %c0 = arith.constant 0 : index
    %p = tile.position
    %k = tile.acquire %keys[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #wide>), shared_by = units>
    tile.copy_keys %kv[%item, %c0] into %k {box = 16 : i64} : !kv
    %v = tile.acquire %values[%p] : !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #wide>), shared_by = units>
    tile.copy_values %kv[%item, %c0] into %v {box = 16 : i64, zeroed} : !kv
  } compute {
    %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
    %p = tile.position
    %q = tile.acquire %rows[%p] : !tile.ring<1 x (!tile.tile<16x64xbf16, shared, #wide>), shared_by = unit>
    tile.copy_rows query %query[%item] into %q : tensor<?x?x64xbf16>
  }
  tile.return
}

// A ring that a role fills has mbarriers without tensor copies too: a full and an empty one a slot.
// CHECK-LABEL: tile.kernel @items
// CHECK-SAME: shared_memory = 7304 : i32
tile.kernel @items(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16, stages = [1, 1],
                                          roles = specialised, registers = [40, 40, 232], work = atomic>, phase = #attn.phase<prefill>} {
  // CHECK: tile.ring {barriers = 7168 : i32, offset = 0 : i32} : <3 x
  %keys = tile.ring : !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #wide>), shared_by = units>
  // CHECK: tile.ring {barriers = 7240 : i32, offset = 6144 : i32} : <4 x
  %items = tile.ring : !tile.ring<4 x (!tile.tile<1x32xi32, shared, #words>), shared_by = roles>
  tile.roles load {
    %c0 = arith.constant 0 : index
    %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 4>)
    %p = tile.position
    %slot = tile.acquire %items[%p] : !tile.ring<4 x (!tile.tile<1x32xi32, shared, #words>), shared_by = roles>
    tile.put_item %item, %valid into %slot
  }, {
    %c0 = arith.constant 0 : index
    %p = tile.position
    %record = tile.wait %items[%p] : !tile.ring<4 x (!tile.tile<1x32xi32, shared, #words>), shared_by = roles>
    %item, %unit, %valid = tile.take_item %record items(<prefill, group = 4>) : !tile.tile<1x32xi32, shared, #words>
    %k = tile.acquire %keys[%p] : !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #wide>), shared_by = units>
    tile.copy_keys %kv[%item, %c0] into %k {box = 16 : i64} : !kv
  } compute {
  }
  tile.return
}

// Three blocks are asked for: a fourth does not fit once a block takes more than a quarter of 167936 bytes, of which 1024 are
// the hardware's, in multiples of 16.
// CHECK-LABEL: tile.kernel @padded
// CHECK-SAME: shared_memory = 40976 : i32
tile.kernel @padded(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<blocks_per_sm = 3>, phase = #attn.phase<merge>} {
  tile.return
}

// Nothing shared.
// CHECK-LABEL: tile.kernel @none
// CHECK-SAME: shared_memory = 0 : i32
tile.kernel @none(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  tile.return
}
