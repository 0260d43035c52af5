// RUN: attncc-opt %s --split-input-file --verify-diagnostics

!kv = !attn.paged_kv<page_size = 3, kv_heads = 8, key = 64 x bf16, value = 32 x bf16, order = NHD>

// @load_rows_c1
func.func @f(%a: tensor<4x?xbf16>, %item: !tile.item) {
  // expected-error@+1 {{tensor must have rank 3, got 2}}
  %q = tile.load_rows query %a[%item] : tensor<4x?xbf16> -> !tile.tile<8x64xbf16>
  return
}

// -----

// @load_rows_c1
func.func @f(%a: tensor<?x?x64xbf16>, %item: !tile.item) {
  // expected-error@+1 {{tile must be 8x64, got 8x32}}
  %q = tile.load_rows query %a[%item] : tensor<?x?x64xbf16> -> !tile.tile<8x32xbf16>
  return
}

// -----

// @load_rows_c2
func.func @f(%a: tensor<?x?x64xbf16>, %item: !tile.item) {
  // expected-error@+1 {{tile must be of 'bf16', got 'f32'}}
  %q = tile.load_rows query %a[%item] : tensor<?x?x64xbf16> -> !tile.tile<8x64xf32>
  return
}

// -----

// @load_rows_c3
func.func @f(%a: tensor<?x?x64xbf16>, %item: !tile.item) {
  // expected-error@+1 {{tile must be 1x64, got 2x64}}
  %k = tile.load_rows key %a[%item] : tensor<?x?x64xbf16> -> !tile.tile<2x64xbf16>
  return
}

// -----

// @load_rows_c4
func.func @f(%a: tensor<?x?x64xbf16>, %item: !tile.item) {
  // expected-error@+1 {{first_row must be 0 or more, got -1}}
  %q = tile.load_rows query %a[%item] {first_row = -1 : i64} : tensor<?x?x64xbf16> -> !tile.tile<2x64xbf16>
  return
}

// -----

// @load_vector_c1
func.func @f(%a: tensor<?xbf16>) {
  // expected-error@+1 {{tensor must have rank 1 and a static length, got 'tensor<?xbf16>'}}
  %w = tile.load_vector %a : tensor<?xbf16> -> !tile.tile<1x64xbf16>
  return
}

// -----

// @load_vector_c1
func.func @f(%a: tensor<64xbf16>) {
  // expected-error@+1 {{tile must be 1x64, got 1x32}}
  %w = tile.load_vector %a : tensor<64xbf16> -> !tile.tile<1x32xbf16>
  return
}

// -----

// @load_vector_c2
func.func @f(%a: tensor<64xbf16>) {
  // expected-error@+1 {{tile must be of 'bf16', got 'f16'}}
  %w = tile.load_vector %a : tensor<64xbf16> -> !tile.tile<1x64xf16>
  return
}

// -----

!kv = !attn.paged_kv<page_size = 3, kv_heads = 8, key = 64 x bf16, value = 32 x bf16, order = NHD>

// @page_numbers_c1
func.func @f(%kv: !kv, %range: !tile.range, %j: index) {
  // expected-error@+1 {{page numbers must be 1x32, got 1x16}}
  %p = tile.page_numbers %kv, %range[%j] : !kv -> !tile.tile<1x16xi32>
  return
}

// -----

!kv = !attn.paged_kv<page_size = 3, kv_heads = 8, key = 64 x bf16, value = 32 x bf16, order = NHD>

// @page_numbers_c2
func.func @f(%kv: !kv, %item: !tile.item, %j: index) {
  %range = tile.key_range %item, %j mask(#attn.mask<causal>) {keys = 64 : i64}
  // expected-error@+1 {{a tile has at most 32 groups of tokens in one page, got 64}}
  %p = tile.page_numbers %kv, %range[%j] : !kv -> !tile.tile<1x32xi32>
  return
}

// -----

!kv = !attn.paged_kv<page_size = 3, kv_heads = 8, key = 64 x bf16, value = 32 x bf16, order = NHD>

// @load_keys_c1
func.func @f(%kv: !kv, %item: !tile.item, %t: index) {
  // expected-error@+1 {{tile must be 16x64, got 16x32}}
  %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x32xbf16>
  return
}

// -----

!kv = !attn.paged_kv<page_size = 3, kv_heads = 8, key = 64 x bf16, value = 32 x bf16, order = NHD>

// @load_keys_c2
func.func @f(%kv: !kv, %item: !tile.item, %j: index) {
  %range = tile.key_range %item, %j mask(#attn.mask<causal>) {keys = 32 : i64}
  %t = tile.key_tile %range[%j]
  // expected-error@+1 {{rows must be the range's 32 keys, got 16}}
  %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
  return
}

// -----

!kv = !attn.paged_kv<page_size = 3, kv_heads = 8, key = 64 x bf16, value = 32 x bf16, order = NHD>

// @load_values_c1: a value is not a key
func.func @f(%kv: !kv, %item: !tile.item, %t: index) {
  // expected-error@+1 {{tile must be 16x32, got 16x64}}
  %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
  return
}

// -----

!kv = !attn.paged_kv<page_size = 3, kv_heads = 8, key = 64 x bf16, value = 32 x bf16, order = NHD>

// @load_values_c1
func.func @f(%kv: !kv, %item: !tile.item, %t: index) {
  // expected-error@+1 {{tile must be of 'bf16', got 'f16'}}
  %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<16x32xf16>
  return
}

// -----

// @store_rows_c1
func.func @f(%a: !tile.tile<8x32xf32>, %t: tensor<?x?x64xbf16>, %item: !tile.item) {
  // expected-error@+1 {{tile must be 8x64, got 8x32}}
  tile.store_rows query %a, %t[%item] : !tile.tile<8x32xf32>, tensor<?x?x64xbf16>
  return
}

// -----

// @store_rows_c2
func.func @f(%a: !tile.tile<8x64xf32>, %t: tensor<?x?x64xbf16>, %item: !tile.item) {
  // expected-error@+1 {{tile must be 1x64, got 8x64}}
  tile.store_rows value %a, %t[%item] : !tile.tile<8x64xf32>, tensor<?x?x64xbf16>
  return
}

// -----

// @store_rows_c3
func.func @f(%a: !tile.tile<1x64xf32>, %t: tensor<?x?x64xbf16>, %item: !tile.item) {
  // expected-error@+1 {{first_row must be 0 but for queries, got 8}}
  tile.store_rows key %a, %t[%item] {first_row = 8 : i64} : !tile.tile<1x64xf32>, tensor<?x?x64xbf16>
  return
}

// -----

!kv = !attn.paged_kv<page_size = 3, kv_heads = 8, key = 64 x bf16, value = 32 x bf16, order = NHD>

// @store_kv_c1
func.func @f(%k: !tile.tile<1x64xf32>, %kv: !kv, %item: !tile.item) {
  // expected-error@+1 {{value must be 1x32, got 1x64}}
  tile.store_kv %k, %k, %kv[%item] : !tile.tile<1x64xf32>, !tile.tile<1x64xf32>, !kv
  return
}

// -----

!kv = !attn.paged_kv<page_size = 3, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// @store_kv_c2
tile.kernel @f(%kv: !kv, %batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
    %k = tile.zero : !tile.tile<1x64xf32>
    // expected-error@+1 {{needs items of append, got merge}}
    tile.store_kv %k, %k, %kv[%item] : !tile.tile<1x64xf32>, !tile.tile<1x64xf32>, !kv
  }
  tile.return
}

// -----

// @load_rows_c5
func.func @f(%q: tensor<?x?x64xbf16>, %item: !tile.item) {
  // expected-error@+1 {{offset must be a multiple of 128, got 64}}
  %r = tile.load_rows query %q[%item] {offset = 64 : i32} : tensor<?x?x64xbf16> -> !tile.tile<8x64xbf16>
  return
}

// -----

// @store_attention_c1
func.func @f(%r: !tile.tile<8x64xbf16>, %lse: !tile.tile<8x1xf32>, %out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>,
             %w: !tile.workspace, %item: !tile.item) {
  // expected-error@+1 {{value must be of 'f32', got 'bf16'}}
  tile.store_attention %r, %lse, %out, %l[%item] : !tile.tile<8x64xbf16>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16>
  return
}

// -----

// @store_attention_c2
func.func @f(%r: !tile.tile<8x64xf32>, %lse: !tile.tile<4x1xf32>, %out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>,
             %w: !tile.workspace, %item: !tile.item) {
  // expected-error@+1 {{lse must be 8x1, got 4x1}}
  tile.store_attention %r, %lse, %out, %l[%item] : !tile.tile<8x64xf32>, !tile.tile<4x1xf32>, tensor<?x?x64xbf16>
  return
}

// -----

// @store_attention_c3
tile.kernel @f(%out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>, %w: !tile.workspace, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<append>} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  %r = tile.zero : !tile.tile<8x64xf32>
  %lse = tile.zero : !tile.tile<8x1xf32>
  // expected-error@+1 {{needs items of decode or prefill, got append}}
  tile.store_attention %r, %lse, %out, %l[%item] : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16>
  tile.return
}

// -----

// @store_attention_c3_through: a decode result goes to the workspace, in f32.
tile.kernel @f(%out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>, %w: !tile.workspace, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %ring = tile.ring : !tile.ring<2 x (!tile.tile<8x64xbf16, shared>), shared_by = unit>
  %at = tile.position
  %q = tile.wait %ring[%at] : !tile.ring<2 x (!tile.tile<8x64xbf16, shared>), shared_by = unit>
  %r = tile.zero : !tile.tile<8x64xf32>
  %lse = tile.zero : !tile.tile<8x1xf32>
  // expected-error@+1 {{needs items of prefill, got decode}}
  tile.store_attention %r, %lse, %out, %l[%item] through %q
      : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16> through !tile.tile<8x64xbf16, shared>
  tile.return
}

// -----

// @store_attention_c4: a tile in registers.
func.func @f(%r: !tile.tile<8x64xf32>, %lse: !tile.tile<8x1xf32>, %out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>,
             %w: !tile.workspace, %item: !tile.item, %q: !tile.tile<8x64xbf16>) {
  // expected-error@+1 {{expected a shared tile of 8 x 64 x 'bf16' for a result to go through, got '!tile.tile<8x64xbf16>'}}
  tile.store_attention %r, %lse, %out, %l[%item] through %q
      : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16> through !tile.tile<8x64xbf16>
  return
}

// -----

// @store_attention_c4: other rows.
func.func @f(%r: !tile.tile<8x64xf32>, %lse: !tile.tile<8x1xf32>, %out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>,
             %w: !tile.workspace, %item: !tile.item, %q: !tile.tile<16x64xbf16, shared>) {
  // expected-error@+1 {{expected a shared tile of 8 x 64 x 'bf16' for a result to go through, got '!tile.tile<16x64xbf16, shared>'}}
  tile.store_attention %r, %lse, %out, %l[%item] through %q
      : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16> through !tile.tile<16x64xbf16, shared>
  return
}

// -----

// @store_attention_c4: other columns.
func.func @f(%r: !tile.tile<8x64xf32>, %lse: !tile.tile<8x1xf32>, %out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>,
             %w: !tile.workspace, %item: !tile.item, %q: !tile.tile<8x128xbf16, shared>) {
  // expected-error@+1 {{expected a shared tile of 8 x 64 x 'bf16' for a result to go through, got '!tile.tile<8x128xbf16, shared>'}}
  tile.store_attention %r, %lse, %out, %l[%item] through %q
      : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16> through !tile.tile<8x128xbf16, shared>
  return
}

// -----

// @store_attention_c4: the type of the result before it is rounded.
func.func @f(%r: !tile.tile<8x64xf32>, %lse: !tile.tile<8x1xf32>, %out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>,
             %w: !tile.workspace, %item: !tile.item, %q: !tile.tile<8x64xf32, shared>) {
  // expected-error@+1 {{expected a shared tile of 8 x 64 x 'bf16' for a result to go through, got '!tile.tile<8x64xf32, shared>'}}
  tile.store_attention %r, %lse, %out, %l[%item] through %q
      : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>, tensor<?x?x64xbf16> through !tile.tile<8x64xf32, shared>
  return
}

// -----

// @merge_splits_c1
func.func @f(%w: !tile.workspace, %item: !tile.item) {
  // expected-error@+1 {{result must be 1x64, got 2x64}}
  %r, %lse = tile.merge_splits %w[%item] : !tile.tile<2x64xf32>, !tile.tile<1x1xf32>
  return
}

// -----

// @merge_splits_c2
func.func @f(%w: !tile.workspace, %item: !tile.item) {
  // expected-error@+1 {{lse must be 1x1, got 1x2}}
  %r, %lse = tile.merge_splits %w[%item] : !tile.tile<1x64xf32>, !tile.tile<1x2xf32>
  return
}

// -----

// @merge_splits_c3
tile.kernel @f(%w: !tile.workspace, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<append>} {
  tile.work_loop(%item, %unit) in %batch items(<append, group = 4>) {
    // expected-error@+1 {{needs items of merge, got append}}
    %r, %lse = tile.merge_splits %w[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
  }
  tile.return
}

// -----

// @store_merged_c1
func.func @f(%r: !tile.tile<1x64xf32>, %lse: !tile.tile<1x1xf32>, %out: tensor<?x?x32xbf16>, %l: tensor<?x?xf32>, %item: !tile.item) {
  // expected-error@+1 {{value must be 1x32, got 1x64}}
  tile.store_merged %r, %lse, %out, %l[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>, tensor<?x?x32xbf16>
  return
}

// -----

!states = !attn.states<parts = 16, heads = 8, dim = 64, type = bf16>

// @merge_states_c1
func.func @f(%states: !states, %item: !tile.item) {
  // expected-error@+1 {{result must be 1x64, got 1x32}}
  %r, %lse = tile.merge_states %states[%item] : !states -> !tile.tile<1x32xf32>, !tile.tile<1x1xf32>
  return
}

// -----

!states = !attn.states<parts = 16, heads = 8, dim = 64, type = bf16>

// @merge_states_c2
func.func @f(%states: !states, %item: !tile.item) {
  // expected-error@+1 {{lse must be 1x1, got 1x2}}
  %r, %lse = tile.merge_states %states[%item] : !states -> !tile.tile<1x64xf32>, !tile.tile<1x2xf32>
  return
}

// -----

!states = !attn.states<parts = 16, heads = 8, dim = 64, type = bf16>

// @merge_states_c3
tile.kernel @f(%states: !states, %batch: !tile.workspace)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge_states>} {
  tile.work_loop(%item, %unit) in %states : !states items(<merge_states, group = 1>) {
    // expected-error@+1 {{needs items of merge, got merge_states}}
    %r, %lse = tile.merge_splits %batch[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
  }
  tile.return
}

// -----

!states = !attn.states<parts = 16, heads = 8, dim = 64, type = bf16>

// @merge_states_c3: states in a kernel of a batch
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
    %states = builtin.unrealized_conversion_cast %item : !tile.item to !states
    // expected-error@+1 {{needs items of merge_states, got merge}}
    %r, %lse = tile.merge_states %states[%item] : !states -> !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
  }
  tile.return
}

// -----

// @store_merged_c3
tile.kernel @f(%out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<append>} {
  %item, %unit, %valid = tile.grid_item %batch items(<append, group = 4>)
  %r = tile.zero : !tile.tile<1x64xf32>
  %lse = tile.zero : !tile.tile<1x1xf32>
  // expected-error@+1 {{needs items of merge or merge_states, got append}}
  tile.store_merged %r, %lse, %out, %l[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>, tensor<?x?x64xbf16>
  tile.return
}

// -----

// @store_partial_c1
tile.kernel @f(%batch: !tile.batch, %w: !tile.workspace) attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %r = tile.zero : !tile.tile<8x64xbf16>
  %e = tile.zero : !tile.tile<8x1xf32>
  // expected-error@+1 {{value must be of 'f32', got 'bf16'}}
  tile.store_partial %r, %e, %w[%item, %unit] : !tile.tile<8x64xbf16>, !tile.tile<8x1xf32>
  tile.return
}

// -----

// @store_partial_c2
tile.kernel @f(%batch: !tile.batch, %w: !tile.workspace) attributes {schedule = #attn.schedule<divide = rows, orientation = direct, rows = 16>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %r = tile.zero : !tile.tile<8x64xf32>
  %e = tile.zero : !tile.tile<8x1xf32>
  // expected-error@+1 {{needs items of decode, got prefill}}
  tile.store_partial %r, %e, %w[%item, %unit] : !tile.tile<8x64xf32>, !tile.tile<8x1xf32>
  tile.return
}
