// RUN: attncc-opt %s --convert-tile-to-nvvm --verify-diagnostics --split-input-file

// Without an item there is no place in the grid.
// expected-error @below {{expected a tile.grid_item: run --tile-persist first}}
tile.kernel @no_item(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  tile.return
}

// -----

// expected-error @below {{needs 101377 bytes of shared memory, the target has 101376}}
tile.kernel @too_much_shared_memory(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>, shared_memory = 101377 : i32} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  tile.return
}

// -----

// expected-error @below {{has 1056 threads, the target runs at most 1024}}
tile.kernel @too_many_threads(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 33>, phase = #attn.phase<append>} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  tile.return
}

// -----

// expected-error @below {{expected a schedule of units of one warp, or of one warpgroup with product = wgmma, and no late wait for the launch before, got #attn.schedule<}}
tile.kernel @late_wait(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<dependent_launch = wait_late>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  tile.return
}

// -----

// expected-error @below {{has tensor copies, the target sm_80 has none}}
tile.kernel @tensor_copies(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<copy = tensor, box = 16>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  tile.return
}

// -----

tile.kernel @window(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  // expected-error @below {{is not lowered: expected none or causal}}
  // expected-error @below {{failed to legalize}}
  %range = tile.key_range %item, %unit mask(#attn.mask<causal, window = 64>) {keys = 16 : i64}
  tile.return
}

// -----

// Tiles of 48 keys would belong to two splits where the launch overrides the split length.
tile.kernel @keys(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, keys = 48>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  // expected-error @below {{keys per tile must divide 64, got 48}}
  // expected-error @below {{failed to legalize}}
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 48 : i64}
  tile.return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>>), shared_by = unit>
tile.kernel @ring_without_place(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  // expected-error @below {{expected an offset: run --tile-pack-shared-memory first}}
  // expected-error @below {{failed to legalize}}
  %ring = tile.ring : !ring
  tile.return
}

// -----

// A value without a layout has no registers.
tile.kernel @no_layout(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  // expected-error @below {{expected a layout in '!tile.tile<8x64xf32>'}}
  // expected-error @below {{failed to legalize}}
  %o = tile.zero : !tile.tile<8x64xf32>
  tile.return
}

// -----

// A move that neither renames registers nor transposes 8 x 8 matrices.
tile.kernel @move(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %a = tile.zero : !tile.tile<1x32xf32, registers, #tile.layout<lane = [[0,1],[0,2],[0,4],[0,8],[0,16]]>>
  // expected-error @below {{is not lowered: expected a renaming or a transpose of 8 x 8 matrices}}
  // expected-error @below {{failed to legalize}}
  %b = tile.move %a : !tile.tile<1x32xf32, registers, #tile.layout<lane = [[0,1],[0,2],[0,4],[0,8],[0,16]]>>
      -> !tile.tile<1x32xf32, registers, #tile.layout<lane = [[0,16],[0,2],[0,4],[0,8],[0,1]]>>
  tile.return
}

// -----

tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  // expected-error @below {{expected items that take several splits, got merge = kernel}}
  // expected-error @below {{failed to legalize}}
  %t = tile.split_tiles %item {keys = 16}
  tile.return
}
