// RUN: attncc-opt %s --tile-interpret --split-input-file --verify-diagnostics

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

// A slot is filled again before it was released.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  %s = tile.acquire %r[%p] : !ring
  tile.commit %r[%p] : !ring
  %p1 = tile.advance %r[%p] : !ring
  // expected-error@+1 {{overwrites slot 0 of a ring of 1, which has not been released}}
  %s1 = tile.acquire %r[%p1] : !ring
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  // expected-error@+1 {{waits for slot 0 of a ring, which has not been committed}}
  %k = tile.wait %r[%p] : !ring
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  // expected-error@+1 {{commits slot 0 of a ring, which has not been acquired}}
  tile.commit %r[%p] : !ring
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  %s = tile.acquire %r[%p] : !ring
  tile.commit %r[%p] : !ring
  // expected-error@+1 {{releases slot 0 of a ring, which has not been waited for}}
  tile.release %r[%p] : !ring
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

// A tile is read after its slot was released.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  %s = tile.acquire %r[%p] : !ring
  tile.commit %r[%p] : !ring
  %k = tile.wait %r[%p] : !ring
  tile.release %r[%p] : !ring
  // expected-error@+1 {{reads slot 0 of a ring after its release}}
  %m = tile.move %k : !tile.tile<16x8xbf16, shared> -> !tile.tile<16x8xbf16>
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

// A result goes through a slot after its release.
tile.kernel @f(%query: tensor<?x?x8xbf16>, %batch: !tile.batch, %out: tensor<?x?x8xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 2, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 2>)
  scf.if %valid {
    %r = tile.ring : !ring
    %p = tile.position
    %s = tile.acquire %r[%p] : !ring
    tile.copy_rows query %query[%item] into %s : tensor<?x?x8xbf16>
    tile.commit %r[%p] : !ring
    %q = tile.wait %r[%p] : !ring
    %x = tile.zero : !tile.tile<16x8xf32>
    %lse = tile.zero : !tile.tile<16x1xf32>
    tile.release %r[%p] : !ring
    // expected-error@+1 {{reads slot 0 of a ring after its release}}
    tile.store_attention %x, %lse, %out, %lse_out[%item] through %q
        : !tile.tile<16x8xf32>, !tile.tile<16x1xf32>, tensor<?x?x8xbf16> through !tile.tile<16x8xbf16, shared>
  }
  tile.return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

// A station passes over a slot.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  %p1 = tile.advance %r[%p] : !ring
  // expected-error@+1 {{takes slot 1 of a ring, its next is 0}}
  %s = tile.acquire %r[%p1] : !ring
  tile.return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

// Fewer slots were committed behind this one than the wait lets be in flight.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  %s = tile.acquire %r[%p] : !ring
  tile.commit %r[%p] : !ring
  // expected-error@+1 {{lets 1 later slots be in flight, but only 0 have been committed}}
  %k = tile.wait %r[%p] {ahead = 1 : i64} : !ring
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 4, kv_heads = 2, key = 8 x bf16, value = 8 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

// A copy comes after its slot's commit.
tile.kernel @f(%kv: !kv, %batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %r = tile.ring : !ring
    %p = tile.position
    %s = tile.acquire %r[%p] : !ring
    tile.commit %r[%p] : !ring
    // expected-error@+1 {{fills slot 0 of a ring after its commit}}
    tile.copy_keys %kv[%item, %c0] into %s : !kv
  }
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 4, kv_heads = 2, key = 8 x bf16, value = 8 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

// The page numbers of one tile are used for another.
tile.kernel @f(%kv: !kv, %batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %t = tile.key_tile %range[%c0]
    %pages = tile.page_numbers %kv, %range[%c0] : !kv -> !tile.tile<1x32xi32>
    %r = tile.ring : !ring
    %p = tile.position
    %s = tile.acquire %r[%p] : !ring
    // expected-error@+1 {{for key 0, the block table has}}
    tile.copy_keys %kv[%item, %t] pages %pages[%c1] into %s : !kv, !tile.tile<1x32xi32>
  }
  tile.return
}

// -----

// Only one unit comes to where all must.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 2>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %m, %l = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
    %o = tile.zero : !tile.tile<8x64xf32>
    %first = arith.cmpi eq, %unit, %c0 : index
    scf.if %first {
      // expected-error@+1 {{is not reached by every unit: 1 of 2}}
      %m1, %l1, %o1 = tile.merge_units %m, %l, %o
          : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>) -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
    }
  }
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 4, kv_heads = 2, key = 8 x bf16, value = 8 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x8xbf16, shared>), shared_by = unit>

// A copy may still be landing where the units exchange their results.
tile.kernel @f(%kv: !kv, %batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %m, %l = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
    %o = tile.zero : !tile.tile<8x64xf32>
    %r = tile.ring : !ring
    %p = tile.position
    %s = tile.acquire %r[%p] : !ring
    tile.copy_keys %kv[%item, %c0] into %s : !kv
    tile.commit %r[%p] : !ring
    // expected-error@+1 {{may reuse slot 0 of a ring, which has not been released}}
    %m1, %l1, %o1 = tile.merge_units %m, %l, %o {scratch = 0 : i32}
        : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>) -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
  }
  tile.return
}

// -----

// The interpreter knows what tile programs are made of, and says what else it meets.
tile.kernel @f(%a: f32, %batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  // expected-error@+1 {{is not known to the interpreter}}
  %b = arith.addf %a, %a : f32
  tile.return
}

// -----

// A tile that lies in no slot has nothing that a result may take the place of.
tile.kernel @f(%query: tensor<?x?x8xbf16>, %batch: !tile.batch, %out: tensor<?x?x8xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 1, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %q = tile.load_rows query %query[%item] : tensor<?x?x8xbf16> -> !tile.tile<16x8xbf16, shared>
    %x = tile.zero : !tile.tile<16x8xf32>
    %lse = tile.zero : !tile.tile<16x1xf32>
    // expected-error@+1 {{goes through a tile that is no slot's}}
    tile.store_attention %x, %lse, %out, %lse_out[%item] through %q
        : !tile.tile<16x8xf32>, !tile.tile<16x1xf32>, tensor<?x?x8xbf16> through !tile.tile<16x8xbf16, shared>
  }
  tile.return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x16xbf16, shared>), shared_by = unit>

// A product in flight reads the rows whose place the result would take.
tile.kernel @f(%query: tensor<?x?x16xbf16>, %batch: !tile.batch, %out: tensor<?x?x16xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 1, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %rows = tile.ring : !ring
    %at = tile.position
    %slot = tile.acquire %rows[%at] : !ring
    tile.copy_rows query %query[%item] into %slot : tensor<?x?x16xbf16>
    tile.commit %rows[%at] : !ring
    %q = tile.wait %rows[%at] : !ring
    %x = tile.zero : !tile.tile<16x16xf32>
    %lse = tile.zero : !tile.tile<16x1xf32>
    // expected-note@+1 {{the product starts here}}
    %p = tile.matmul_issue %q, %q {transpose_b} : (!tile.tile<16x16xbf16, shared>, !tile.tile<16x16xbf16, shared>) -> !tile.pending<!tile.tile<16x16xf32>>
    // expected-error@+1 {{writes slot 0 of a ring, which a product in flight reads}}
    tile.store_attention %x, %lse, %out, %lse_out[%item] through %q
        : !tile.tile<16x16xf32>, !tile.tile<16x1xf32>, tensor<?x?x16xbf16> through !tile.tile<16x16xbf16, shared>
    %s = tile.await %p : (!tile.pending<!tile.tile<16x16xf32>>) -> !tile.tile<16x16xf32>
    tile.release %rows[%at] : !ring
  }
  tile.return
}
