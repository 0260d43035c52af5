// RUN: attncc-opt %s --tile-interpret=split-tokens=64 -o /dev/null | FileCheck %s
// RUN: attncc-opt %s --tile-interpret=split-tokens=64 -o /dev/null > %t.before
// RUN: attncc-opt %s --canonicalize --cse --tile-interpret=split-tokens=64 -o /dev/null > %t.after
// RUN: diff %t.before %t.after
// RUN: attncc-opt %s --tile-interpret="split-tokens=64 seed=2" -o /dev/null > %t.other
// RUN: not diff %t.before %t.other

!kv = !attn.paged_kv<page_size = 4, kv_heads = 2, key = 8 x bf16, value = 8 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>
!rows = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

// A kernel writes keys into the cache: every slot has one writer, others stay unset.
// CHECK: @append argument 2: 4864 values, 4096 NaN, 0 infinite, sum {{[-.0-9]+}}, first
tile.kernel @append(%key: tensor<?x?x8xbf16>, %value: tensor<?x?x8xbf16>, %kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  tile.work_loop(%item, %unit) in %batch items(<append, group = 2>) {
    %k = tile.load_rows key %key[%item] : tensor<?x?x8xbf16> -> !tile.tile<1x8xbf16>
    %v = tile.load_rows value %value[%item] : tensor<?x?x8xbf16> -> !tile.tile<1x8xbf16>
    tile.store_kv %k, %v, %kv[%item] : !tile.tile<1x8xbf16>, !tile.tile<1x8xbf16>, !kv
  }
  tile.return
}

// Rows through a ring: each unit counts its tiles; the merge of the units sees all of them.
// CHECK: @counted argument 3: 224 values, 32 NaN
// CHECK-NEXT: @counted argument 4:
// CHECK-NEXT: @counted argument 5:
tile.kernel @counted(%query: tensor<?x?x8xbf16>, %kv: !kv, %batch: !tile.batch, %out: tensor<?x?x8xbf16>,
                     %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace, %scale: f32)
    attributes {schedule = #attn.schedule<units = 2>, phase = #attn.phase<decode, max_query = 1>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 2>)
  scf.if %valid {
    %q = tile.load_rows query %query[%item] : tensor<?x?x8xbf16> -> !tile.tile<8x8xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %m0, %l0 = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
    %o0 = tile.zero : !tile.tile<8x8xf32>
    %r = tile.ring : !ring
    %p0 = tile.position
    %m, %l, %o, %p = scf.for %j = %c0 to %n step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %o0, %pi = %p0)
        -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x8xf32>, !tile.position) {
      %t = tile.key_tile %range[%j]
      %pages = tile.page_numbers %kv, %range[%j] : !kv -> !tile.tile<1x32xi32>
      %slot = tile.acquire %r[%pi] : !ring
      tile.copy_keys %kv[%item, %t] pages %pages[%c0] into %slot : !kv, !tile.tile<1x32xi32>
      tile.commit %r[%pi] : !ring
      %k = tile.wait %r[%pi] : !ring
      %s0 = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x8xbf16>, !tile.tile<16x8xbf16, shared>) -> !tile.tile<8x16xf32>
      tile.release %r[%pi] : !ring
      %s1 = tile.mask %s0[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
      %e, %mj, %lj, %f = tile.softmax_step %s1, %mi, %li scale %scale : !tile.tile<8x16xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
      %or = tile.rescale %oi, %f : !tile.tile<8x8xf32>, !tile.tile<8x1xf32>
      %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x8xbf16>
      %eb = tile.convert %e : !tile.tile<8x16xf32> -> !tile.tile<8x16xbf16>
      %oj = tile.matmul %eb, %v, %or : (!tile.tile<8x16xbf16>, !tile.tile<16x8xbf16>, !tile.tile<8x8xf32>) -> !tile.tile<8x8xf32>
      %pj = tile.advance %r[%pi] : !ring
      scf.yield %mj, %lj, %oj, %pj : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x8xf32>, !tile.position
    }
    %mm, %lm, %om = tile.merge_units %m, %l, %o {scratch = 0 : i32}
        : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x8xf32>) -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x8xf32>)
    %x, %lse = tile.normalize %om, %mm, %lm
        : (!tile.tile<8x8xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>) -> (!tile.tile<8x8xf32>, !tile.tile<8x1xf32>)
    tile.store_attention %x, %lse, %out, %lse_out[%item] : !tile.tile<8x8xf32>, !tile.tile<8x1xf32>, tensor<?x?x8xbf16>
  }
  tile.return
}

// A result that goes through the slot of the query's rows takes their place: what is read there behind the store is not a number.
// CHECK: @lost argument 2: 5280 values, 0 NaN, 0 infinite, sum 0,
// CHECK: @lost argument 5: 5280 values, 5280 NaN, 0 infinite, sum 0,
tile.kernel @lost(%query: tensor<?x?x8xbf16>, %batch: !tile.batch, %out: tensor<?x?x8xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace,
                  %left: tensor<?x?x8xbf16>)
    attributes {schedule = #attn.schedule<units = 2, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 2>)
  scf.if %valid {
    %rows = tile.ring : !rows
    %at = tile.position
    %slot = tile.acquire %rows[%at] : !rows
    tile.copy_rows query %query[%item] into %slot : tensor<?x?x8xbf16>
    tile.commit %rows[%at] : !rows
    %q = tile.wait %rows[%at] : !rows
    %x = tile.zero : !tile.tile<16x8xf32>
    %lse = tile.zero : !tile.tile<16x1xf32>
    tile.store_attention %x, %lse, %out, %lse_out[%item] through %q
        : !tile.tile<16x8xf32>, !tile.tile<16x1xf32>, tensor<?x?x8xbf16> through !tile.tile<16x8xbf16, shared>
    %r = tile.move %q : !tile.tile<16x8xbf16, shared> -> !tile.tile<16x8xbf16>
    tile.store_rows query %r, %left[%item] : !tile.tile<16x8xbf16>, tensor<?x?x8xbf16>
    tile.release %rows[%at] : !rows
  }
  tile.return
}
