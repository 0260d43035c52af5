// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --verify-diagnostics --split-input-file

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
#lanes = #tile.layout<lane = [[0,1],[0,2],[0,4],[0,8],[0,16]]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

tile.kernel @no_barriers(%kv: !kv, %batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 4, copy = tensor, box = 16>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  %pages = tile.page_numbers %kv, %range[%c0] : !kv -> !tile.tile<1x32xi32, registers, #lanes>
  %ring = tile.ring {offset = 0 : i32} : !ring
  %p = tile.position
  %slot = tile.acquire %ring[%p] : !ring
  // expected-error @below {{expected a ring with a place of its mbarriers: run --tile-pack-shared-memory first}}
  // expected-error @below {{failed to legalize}}
  tile.copy_keys %kv[%item, %c0] pages %pages[%c0] into %slot {box = 16 : i64} : !kv, !tile.tile<1x32xi32, registers, #lanes>
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// Lanes hold the page numbers of their boxes.
tile.kernel @no_pages(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, copy = tensor, box = 16>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %ring = tile.ring {offset = 0 : i32, barriers = 16384 : i32} : !ring
  %p = tile.position
  %slot = tile.acquire %ring[%p] : !ring
  // expected-error @below {{expected a slot made by tile.acquire, and page numbers: run --tile-prefetch first}}
  // expected-error @below {{failed to legalize}}
  tile.copy_keys %kv[%item, %c0] into %slot {box = 16 : i64} : !kv
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
#lanes = #tile.layout<lane = [[0,1],[0,2],[0,4],[0,8],[0,16]]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// Launch parameters follow the schedule.
tile.kernel @other_copies(%kv: !kv, %batch: !tile.batch, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %c0 = arith.constant 0 : index
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  %pages = tile.page_numbers %kv, %range[%c0] : !kv -> !tile.tile<1x32xi32, registers, #lanes>
  %ring = tile.ring {offset = 0 : i32} : !ring
  %p = tile.position
  %slot = tile.acquire %ring[%p] : !ring
  // expected-error @below {{has a box of 16, the schedule copies gather with box 0}}
  // expected-error @below {{failed to legalize}}
  tile.copy_keys %kv[%item, %c0] pages %pages[%c0] into %slot {box = 16 : i64} : !kv, !tile.tile<1x32xi32, registers, #lanes>
  tile.return
}
