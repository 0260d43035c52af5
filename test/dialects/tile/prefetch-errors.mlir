// RUN: attncc-opt %s --tile-prefetch --split-input-file --verify-diagnostics

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// The loop must visit the whole range.
tile.kernel @whole(%kv: !kv, %batch: !tile.batch, %out: tensor<?x?x16xf32>)
    attributes {schedule = #attn.schedule<stages = 2>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %q = tile.zero : !tile.tile<8x64xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    // expected-error @below {{expected a loop over all tiles of the range, from 0 in steps of 1}}
    scf.for %j = %c1 to %n step %c1 iter_args(%p = %p0) -> (!tile.position) {
      %t = tile.key_tile %range[%j]
      %slot = tile.acquire %ring[%p] : !ring
      tile.copy_keys %kv[%item, %t] into %slot : !kv
      tile.commit %ring[%p] : !ring
      %k = tile.wait %ring[%p] : !ring
      %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x16xf32>
      tile.store_rows query %s, %out[%item] : !tile.tile<8x16xf32>, tensor<?x?x16xf32>
      tile.release %ring[%p] : !ring
      %next = tile.advance %ring[%p] : !ring
      scf.yield %next : !tile.position
    }
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// The tile must follow from the loop's index, or a later one could not be copied.
tile.kernel @index(%kv: !kv, %batch: !tile.batch, %out: tensor<?x?x16xf32>)
    attributes {schedule = #attn.schedule<stages = 2>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %q = tile.zero : !tile.tile<8x64xbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    scf.for %j = %c0 to %n step %c1 iter_args(%p = %p0) -> (!tile.position) {
      %t = tile.key_tile %range[%c1]
      // expected-error @below {{expected copies of the tile that the loop's index selects}}
      %slot = tile.acquire %ring[%p] : !ring
      tile.copy_keys %kv[%item, %t] into %slot : !kv
      tile.commit %ring[%p] : !ring
      %k = tile.wait %ring[%p] : !ring
      %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16, shared, #kv>) -> !tile.tile<8x16xf32>
      tile.store_rows query %s, %out[%item] : !tile.tile<8x16xf32>, tensor<?x?x16xf32>
      tile.release %ring[%p] : !ring
      %next = tile.advance %ring[%p] : !ring
      scf.yield %next : !tile.position
    }
  }
  tile.return
}
