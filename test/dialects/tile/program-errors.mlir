// RUN: attncc-opt %s --split-input-file --verify-diagnostics

// @kernel_c1
// expected-error@+1 {{has no results, got 1}}
tile.kernel @f() -> f32 attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  tile.return
}

// -----

// @kernel_c2
// expected-error@+1 {{argument 1 cannot be a launch parameter: 'i32'}}
tile.kernel @f(%a: f32, %b: i32) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  tile.return
}

// -----

// @kernel_c3
// expected-error@+1 {{argument 0 cannot be a launch parameter: 'tensor<?x?x?xbf16>'}}
tile.kernel @f(%a: tensor<?x?x?xbf16>) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  tile.return
}

// -----

// @kernel_c4
// expected-error@+1 {{takes at most one batch or states and one workspace, got 2 and 0}}
tile.kernel @f(%a: !tile.batch, %b: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  tile.return
}

// -----

// expected-error@+1 {{requires attribute 'phase'}}
tile.kernel @f() attributes {schedule = #attn.schedule<>} {
  tile.return
}

// -----

// @work_loop_c1
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  // expected-error@+1 {{body must take an item and an index}}
  "tile.work_loop"(%batch) <{items = #tile.items<merge, group = 4>}> ({
  ^bb0(%item: !tile.item):
    tile.yield
  }) : (!tile.batch) -> ()
  tile.return
}

// -----

// @work_loop_c2: a batch that is not the kernel's
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %other = builtin.unrealized_conversion_cast %batch : !tile.batch to !tile.batch
  // expected-error@+1 {{must take the kernel's batch argument}}
  tile.work_loop(%item, %unit) in %other items(<merge, group = 4>) {
  }
  tile.return
}

// -----

// @work_loop_c3
tile.kernel @f(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows>, phase = #attn.phase<decode, max_query = 1>} {
  // expected-error@+1 {{decode items need a schedule with divide = keys}}
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
  }
  tile.return
}

// -----

// @work_loop_c3
tile.kernel @f(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<prefill>} {
  // expected-error@+1 {{prefill items need a schedule with divide = rows}}
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
  }
  tile.return
}

// -----

// @grid_item_c1
func.func @f(%batch: !tile.batch) {
  // expected-error@+1 {{must be inside a tile.kernel}}
  %item, %unit, %valid = tile.grid_item %batch items(<merge, group = 4>)
  return
}

// -----

// @key_range_c1
func.func @f(%item: !tile.item, %unit: index) {
  // expected-error@+1 {{keys must be a positive multiple of 16, got 24}}
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 24 : i64}
  return
}

// -----

func.func @f() {
  // expected-error@+1 {{expects parent op 'tile.kernel'}}
  tile.return
}

// -----

!states = !attn.states<parts = 16, heads = 8, dim = 64, type = bf16>

// @kernel_c4: items are drawn from one of the two
// expected-error@+1 {{takes at most one batch or states and one workspace, got 2 and 0}}
tile.kernel @f(%a: !tile.batch, %b: !states) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge_states>} {
  tile.return
}

// -----

!states = !attn.states<parts = 16, heads = 8, dim = 64, type = bf16>

// @work_loop_c2: the kind of the items
tile.kernel @f(%states: !states) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge_states>} {
  // expected-error@+1 {{draws items of merge from '!attn.states<parts = 16, heads = 8, dim = 64, type = bf16>'}}
  tile.work_loop(%item, %unit) in %states : !states items(<merge, group = 4>) {
  }
  tile.return
}

// -----

// @grid_item_c1
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge_states>} {
  // expected-error@+1 {{draws items of merge_states from '!tile.batch'}}
  %item, %unit, %valid = tile.grid_item %batch items(<merge_states, group = 1>)
  tile.return
}

// -----

!states = !attn.states<parts = 16, heads = 8, dim = 64, type = bf16>

// @work_loop_c2: states that are not the kernel's
tile.kernel @f(%states: !states) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge_states>} {
  %other = builtin.unrealized_conversion_cast %states : !states to !states
  // expected-error@+1 {{must take the kernel's states argument}}
  tile.work_loop(%item, %unit) in %other : !states items(<merge_states, group = 1>) {
  }
  tile.return
}

// -----

// @draw_item_c1
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %other = builtin.unrealized_conversion_cast %batch : !tile.batch to !tile.batch
  // expected-error@+1 {{must take the kernel's batch argument}}
  %item, %unit, %valid, %next = tile.draw_item %other[%c0] items(<prefill, group = 4>)
  tile.return
}

// -----

// @put_item_c1
!ring = !tile.ring<2 x (!tile.tile<1x16xi32, shared>), shared_by = roles>
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %r = tile.ring : !ring
  %p = tile.position
  %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 4>)
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{slot's tile must be 1x32, got 1x16}}
  tile.put_item %item, %valid into %slot
  tile.return
}

// -----

// @put_item_c1
!ring = !tile.ring<2 x (!tile.tile<1x32xi32, shared>, !tile.tile<1x32xi32, shared>), shared_by = roles>
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %r = tile.ring : !ring
  %p = tile.position
  %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 4>)
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{needs a slot of one tile, got 2 tiles}}
  tile.put_item %item, %valid into %slot
  tile.return
}

// -----

// @take_item_c1
func.func @f(%record: !tile.tile<1x32xi32>) {
  // expected-error@+1 {{record must be in shared memory, got '!tile.tile<1x32xi32}}
  %item, %unit, %valid = tile.take_item %record items(<prefill, group = 4>) : !tile.tile<1x32xi32>
  return
}

// -----

// @take_item_c1
func.func @f(%record: !tile.tile<1x32xf32, shared>) {
  // expected-error@+1 {{record must be of 'i32', got 'f32'}}
  %item, %unit, %valid = tile.take_item %record items(<prefill, group = 4>) : !tile.tile<1x32xf32, shared>
  return
}

// -----

// @item_splits_c1
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<append>} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  // expected-error@+1 {{needs items of decode, got append}}
  %n = tile.item_splits %item
  tile.return
}

// -----

// @split_tiles_c1
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  // expected-error@+1 {{keys must be a positive multiple of 16, got 24}}
  %n = tile.split_tiles %item {keys = 24}
  tile.return
}

// -----

// @split_tiles_c2
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<append>} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  // expected-error@+1 {{needs items of decode, got append}}
  %n = tile.split_tiles %item {keys = 16}
  tile.return
}

// -----

// @range_skipped_c1
func.func @f(%item: !tile.item, %unit: index) {
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  // expected-error@+1 {{limit must be positive, got 0}}
  %n = tile.range_skipped %range {limit = 0 : i64}
  return
}

// -----

// @roles_c1: a warpgroup has four warps
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<divide = rows>, phase = #attn.phase<prefill>} {
  // expected-error@+1 {{has 1 to 4 load regions, got 5}}
  tile.roles load {
  }, {
  }, {
  }, {
  }, {
  } compute {
  }
  tile.return
}

// -----

// @draw_item_c2
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %c0 = arith.constant 0 : index
  // expected-error@+1 {{draws items of prefill, got merge}}
  %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<merge, group = 4>)
  tile.return
}

// -----

func.func @f() {
  // expected-error@+1 {{expects parent op 'tile.kernel'}}
  tile.roles load {
  } compute {
  }
  return
}
