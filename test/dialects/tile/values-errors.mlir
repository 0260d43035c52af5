// RUN: attncc-opt %s --split-input-file --verify-diagnostics

// @matmul_c1
func.func @f(%a: !tile.tile<8x64xbf16>, %b: !tile.tile<16x32xbf16>) {
  // expected-error@+1 {{contracts 64 columns of the left operand with 32 columns of the right}}
  %s = tile.matmul %a, %b {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x32xbf16>) -> !tile.tile<8x16xf32>
  return
}

// -----

// @matmul_c1: without transpose_b rows are contracted
func.func @f(%a: !tile.tile<8x16xbf16>, %b: !tile.tile<64x16xbf16>) {
  // expected-error@+1 {{contracts 16 columns of the left operand with 64 rows of the right}}
  %s = tile.matmul %a, %b : (!tile.tile<8x16xbf16>, !tile.tile<64x16xbf16>) -> !tile.tile<8x64xf32>
  return
}

// -----

// @matmul_c1
func.func @f(%a: !tile.tile<8x64xbf16>, %b: !tile.tile<16x64xbf16>) {
  // expected-error@+1 {{result must be 8x16, got 16x8}}
  %s = tile.matmul %a, %b {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16>) -> !tile.tile<16x8xf32>
  return
}

// -----

// @matmul_c2
func.func @f(%a: !tile.tile<8x64xbf16>, %b: !tile.tile<16x64xf16>) {
  // expected-error@+1 {{right operand must be of 'bf16', got 'f16'}}
  %s = tile.matmul %a, %b {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xf16>) -> !tile.tile<8x16xf32>
  return
}

// -----

// @matmul_c3
func.func @f(%a: !tile.tile<8x64xbf16>, %b: !tile.tile<16x64xbf16>) {
  // expected-error@+1 {{result must be in registers, got '!tile.tile<8x16xf32, shared>'}}
  %s = tile.matmul %a, %b {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16>) -> !tile.tile<8x16xf32, shared>
  return
}

// -----

// @matmul_c3
func.func @f(%a: !tile.tile<8x64xbf16>, %b: !tile.tile<16x64xbf16>, %c: !tile.tile<8x8xf32>) {
  // expected-error@+1 {{accumulator must have the result's type '!tile.tile<8x16xf32>', got '!tile.tile<8x8xf32>'}}
  %s = tile.matmul %a, %b, %c {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16>, !tile.tile<8x8xf32>) -> !tile.tile<8x16xf32>
  return
}

// -----

// @mask_c1
func.func @f(%s: !tile.tile<8x16xbf16>, %item: !tile.item, %t: index) {
  // expected-error@+1 {{scores must be of 'f32', got 'bf16'}}
  %m = tile.mask %s[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xbf16>
  return
}

// -----

// @mask_c2
func.func @f(%s: !tile.tile<8x16xf32>, %item: !tile.item, %j: index) {
  %range = tile.key_range %item, %j mask(#attn.mask<causal>) {keys = 32 : i64}
  %t = tile.key_tile %range[%j]
  // expected-error@+1 {{columns must be the range's 32 keys, got 16}}
  %m = tile.mask %s[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
  return
}

// -----

// @softmax_init_c1
func.func @f() {
  // expected-error@+1 {{sum must be 8x1, got 16x1}}
  %m, %l = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<16x1xf32>
  return
}

// -----

// @softmax_step_c1
func.func @f(%s: !tile.tile<8x16xf32>, %m: !tile.tile<4x1xf32>, %c: f32) {
  // expected-error@+1 {{maximum must be 8x1, got 4x1}}
  %p, %m1, %l1, %f = tile.softmax_step %s, %m, %m scale %c : !tile.tile<8x16xf32>, !tile.tile<4x1xf32>, !tile.tile<4x1xf32>
  return
}

// -----

// @rescale_c1
func.func @f(%o: !tile.tile<8x64xf32>, %f: !tile.tile<8x64xf32>) {
  // expected-error@+1 {{factor must be 8x1, got 8x64}}
  %r = tile.rescale %o, %f : !tile.tile<8x64xf32>, !tile.tile<8x64xf32>
  return
}

// -----

// @convert_c1
func.func @f(%p: !tile.tile<8x16xf32>) {
  // expected-error@+1 {{result must be 8x16, got 16x8}}
  %r = tile.convert %p : !tile.tile<8x16xf32> -> !tile.tile<16x8xbf16>
  return
}

// -----

// @convert_c2
func.func @f(%p: !tile.tile<8x16xf32>) {
  // expected-error@+1 {{result must be of a float type, got 'i32'}}
  %r = tile.convert %p : !tile.tile<8x16xf32> -> !tile.tile<8x16xi32>
  return
}

// -----

// @convert_c3
func.func @f(%p: !tile.tile<8x16xf32, shared>) {
  // expected-error@+1 {{value must be in registers, got '!tile.tile<8x16xf32, shared>'}}
  %r = tile.convert %p : !tile.tile<8x16xf32, shared> -> !tile.tile<8x16xbf16>
  return
}

// -----

// @move_c1
func.func @f(%p: !tile.tile<8x16xf32>) {
  // expected-error@+1 {{result must be of 'f32', got 'bf16'}}
  %r = tile.move %p : !tile.tile<8x16xf32> -> !tile.tile<8x16xbf16>
  return
}

// -----

// @merge_units_c1
func.func @f(%m: !tile.tile<8x1xf32>, %o: !tile.tile<4x64xf32>) {
  // expected-error@+1 {{maximum must be 4x1, got 8x1}}
  %a, %b, %c = tile.merge_units %m, %m, %o : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<4x64xf32>) -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<4x64xf32>)
  return
}

// -----

// @merge_units_c2
func.func @f(%m: !tile.tile<8x1xf32>, %o: !tile.tile<8x64xf32>) {
  // expected-error@+1 {{new value must be 8x64, got 8x32}}
  %a, %b, %c = tile.merge_units %m, %m, %o : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>) -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x32xf32>)
  return
}

// -----

// @merge_units_c3: a ring that the units share
func.func @f(%m: !tile.tile<8x1xf32>, %o: !tile.tile<8x64xf32>, %item: !tile.item) {
  %r = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %p = tile.position
  // expected-error@+1 {{meets in a ring of the unit's own, at a position, for an item}}
  %a, %b, %c = tile.merge_units %m, %m, %o in %r[%p] of %item : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
      : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>) -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
  return
}

// -----

// @merge_units_c4
func.func @f(%m: !tile.tile<8x1xf32>, %o: !tile.tile<8x64xf32>, %item: !tile.item) {
  %r = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
  %p = tile.position
  // expected-error@+1 {{has a scratch beside a ring}}
  %a, %b, %c = tile.merge_units %m, %m, %o in %r[%p] of %item : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit> {scratch = 0 : i32}
      : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>) -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
  return
}

// -----

// @add_split_c1
func.func @f(%r: !tile.tile<8x64xf32>, %e: !tile.tile<4x1xf32>) {
  // expected-error@+1 {{lse must be 8x1, got 4x1}}
  %m, %l, %o = tile.add_split %r, %e to %e, %e, %r : !tile.tile<8x64xf32>, !tile.tile<4x1xf32>
  return
}

// -----

// @normalize_c1
func.func @f(%m: !tile.tile<8x2xf32>, %o: !tile.tile<8x64xf32>) {
  // expected-error@+1 {{maximum must be 8x1, got 8x2}}
  %r, %l = tile.normalize %o, %m, %m : (!tile.tile<8x64xf32>, !tile.tile<8x2xf32>, !tile.tile<8x2xf32>) -> (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>)
  return
}

// -----

// @normalize_c2
func.func @f(%m: !tile.tile<8x1xf32>, %o: !tile.tile<8x64xf32>) {
  // expected-error@+1 {{lse must be 8x1, got 1x8}}
  %r, %l = tile.normalize %o, %m, %m : (!tile.tile<8x64xf32>, !tile.tile<8x1xf32>, !tile.tile<8x1xf32>) -> (!tile.tile<8x64xf32>, !tile.tile<1x8xf32>)
  return
}

// -----

// @rms_norm_c1
func.func @f(%x: !tile.tile<8x64xbf16>, %w: !tile.tile<1x32xbf16>) {
  // expected-error@+1 {{weight must be 1x64, got 1x32}}
  %y = tile.rms_norm %x weight %w {epsilon = 1.0e-6 : f64} : !tile.tile<8x64xbf16>, !tile.tile<1x32xbf16> -> !tile.tile<8x64xf32>
  return
}

// -----

// @rms_norm_c2
func.func @f(%x: !tile.tile<8x64xbf16>, %w: !tile.tile<1x64xbf16>) {
  // expected-error@+1 {{epsilon must not be negative, got -1}}
  %y = tile.rms_norm %x weight %w {epsilon = -1.0 : f64} : !tile.tile<8x64xbf16>, !tile.tile<1x64xbf16> -> !tile.tile<8x64xf32>
  return
}

// -----

// @rope_c1
func.func @f(%x: !tile.tile<8x64xbf16>, %item: !tile.item) {
  // expected-error@+1 {{result must be of 'f32', got 'bf16'}}
  %y = tile.rope %x[%item] rope(#attn.rope<pairing = half, dim = 4, inverse_frequencies = [1.0, 0.5]>) : !tile.tile<8x64xbf16> -> !tile.tile<8x64xbf16>
  return
}

// -----

// @rope_c2
func.func @f(%x: !tile.tile<8x2xbf16>, %item: !tile.item) {
  // expected-error@+1 {{rotates 4 of 2 columns}}
  %y = tile.rope %x[%item] rope(#attn.rope<pairing = half, dim = 4, inverse_frequencies = [1.0, 0.5]>) : !tile.tile<8x2xbf16> -> !tile.tile<8x2xf32>
  return
}

// -----

// @rope_c2: the table
func.func @f(%x: !tile.tile<8x64xbf16>, %item: !tile.item, %table: !attn.cos_sin<dim = 8, type = bf16>) {
  // expected-error@+1 {{rotates 4 columns by a table of 8}}
  %y = tile.rope %x[%item] rope(#attn.rope<pairing = half, dim = 4, inverse_frequencies = [1.0, 0.5]>)
      cos_sin %table : !attn.cos_sin<dim = 8, type = bf16> : !tile.tile<8x64xbf16> -> !tile.tile<8x64xf32>
  return
}

// -----

// @rope_c3
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %x = tile.zero : !tile.tile<8x64xf32>
    // expected-error@+1 {{needs items of append, got decode}}
    %y = tile.rope %x[%item] rope(#attn.rope<pairing = half, dim = 4, inverse_frequencies = [1.0, 0.5]>) : !tile.tile<8x64xf32> -> !tile.tile<8x64xf32>
  }
  tile.return
}

// -----

// @await_c1
func.func @f(%p: !tile.pending<!tile.tile<64x16xf32>>) {
  // expected-error@+1 {{results must be the product's tile and the passed values}}
  %s = tile.await %p : (!tile.pending<!tile.tile<64x16xf32>>) -> !tile.tile<64x32xf32>
  return
}

// -----

// @await_c1: what passes keeps its type
func.func @f(%p: !tile.pending<!tile.tile<64x16xf32>>, %v: !tile.tile<64x16xf32>) {
  // expected-error@+1 {{results must be the product's tile and the passed values}}
  %s, %w = tile.await %p with %v : (!tile.pending<!tile.tile<64x16xf32>>, !tile.tile<64x16xf32>) -> (!tile.tile<64x16xf32>, !tile.tile<64x16xbf16>)
  return
}

// -----

// @await_c2
func.func @f(%p: !tile.pending<!tile.tile<64x16xf32>>) {
  // expected-error@+1 {{ahead must not be negative, got -1}}
  %s = tile.await %p {ahead = -1 : i64} : (!tile.pending<!tile.tile<64x16xf32>>) -> !tile.tile<64x16xf32>
  return
}

// -----

// @matmul_issue_c1
func.func @f(%a: !tile.tile<64x64xbf16>, %b: !tile.tile<16x32xbf16>) {
  // expected-error@+1 {{contracts 64 columns of the left operand with 32 columns of the right}}
  %s = tile.matmul_issue %a, %b {transpose_b} : (!tile.tile<64x64xbf16>, !tile.tile<16x32xbf16>) -> !tile.pending<!tile.tile<64x16xf32>>
  return
}

// -----

// @matmul_issue_c2
func.func @f(%a: !tile.tile<64x64xbf16>, %b: !tile.tile<16x64xf16>) {
  // expected-error@+1 {{right operand must be of 'bf16', got 'f16'}}
  %s = tile.matmul_issue %a, %b {transpose_b} : (!tile.tile<64x64xbf16>, !tile.tile<16x64xf16>) -> !tile.pending<!tile.tile<64x16xf32>>
  return
}

// -----

// @matmul_issue_c3
func.func @f(%a: !tile.tile<64x64xbf16>, %b: !tile.tile<16x64xbf16>, %c: !tile.tile<64x8xf32>) {
  // expected-error@+1 {{accumulator must have the result's type '!tile.tile<64x16xf32>', got '!tile.tile<64x8xf32>'}}
  %s = tile.matmul_issue %a, %b, %c {transpose_b} : (!tile.tile<64x64xbf16>, !tile.tile<16x64xbf16>, !tile.tile<64x8xf32>) -> !tile.pending<!tile.tile<64x16xf32>>
  return
}
