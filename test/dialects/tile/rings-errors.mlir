// RUN: attncc-opt %s --split-input-file --verify-diagnostics

// @ring_op_c1
func.func @f() {
  // expected-error@+1 {{offset must be a multiple of 128, got 64}}
  %r = tile.ring {offset = 64 : i32} : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
  return
}

// -----

// @ring_op_c1
func.func @f() {
  // expected-error@+1 {{offset must be a multiple of 128, got -128}}
  %r = tile.ring {offset = -128 : i32} : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
  return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// @wait_c1
func.func @f(%r: !ring, %p: !tile.position) {
  // expected-error@+1 {{results must be the ring's tiles}}
  %k = "tile.wait"(%r, %p) : (!ring, !tile.position) -> !tile.tile<8x64xbf16, shared>
  return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// @wait_c2
func.func @f(%r: !ring, %p: !tile.position) {
  // expected-error@+1 {{ahead must be 0 to 1, got 2}}
  %k = tile.wait %r[%p] {ahead = 2 : i64} : !ring
  return
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// @copy_c1
func.func @f(%kv: !kv, %item: !tile.item, %t: index, %pages: !tile.tile<1x16xi32>, %slot: !tile.slot) {
  // expected-error@+1 {{page numbers must be 1x32, got 1x16}}
  tile.copy_keys %kv[%item, %t] pages %pages[%t] into %slot : !kv, !tile.tile<1x16xi32>
  return
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// @copy_c2: the slot has one tile
func.func @f(%kv: !kv, %item: !tile.item, %t: index, %r: !ring, %p: !tile.position) {
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{fills tile 1 of a slot of 1}}
  tile.copy_values %kv[%item, %t] into %slot {index = 1 : i64} : !kv
  return
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 32 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// @copy_c2
func.func @f(%kv: !kv, %item: !tile.item, %t: index, %r: !ring, %p: !tile.position) {
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{slot's tile must be 16x32, got 16x64}}
  tile.copy_keys %kv[%item, %t] into %slot : !kv
  return
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// @copy_c2: the range's tiles have 32 keys
func.func @f(%kv: !kv, %item: !tile.item, %j: index, %r: !ring, %p: !tile.position) {
  %range = tile.key_range %item, %j mask(#attn.mask<causal>) {keys = 32 : i64}
  %t = tile.key_tile %range[%j]
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{slot's rows must be the range's 32 keys, got 16}}
  tile.copy_values %kv[%item, %t] into %slot : !kv
  return
}

// -----

// @ring_op_c2
func.func @f() {
  // expected-error@+1 {{barriers must be a multiple of 8, got 4}}
  %r = tile.ring {barriers = 4 : i32} : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>
  return
}

// -----

!kv = !attn.paged_kv<page_size = 24, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// @copy_c3: tokens 16 to 31 lie in two pages
func.func @f(%kv: !kv, %item: !tile.item, %t: index, %slot: !tile.slot) {
  // expected-error@+1 {{box must be a multiple of 8 that divides the page size 24, got 16}}
  tile.copy_keys %kv[%item, %t] into %slot {box = 16 : i64} : !kv
  return
}

// -----

!kv = !attn.paged_kv<page_size = 24, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// @copy_c3
func.func @f(%kv: !kv, %item: !tile.item, %t: index, %slot: !tile.slot) {
  // expected-error@+1 {{box must be a multiple of 8 that divides the page size 24, got 12}}
  tile.copy_values %kv[%item, %t] into %slot {box = 12 : i64} : !kv
  return
}

// -----

!kv = !attn.paged_kv<page_size = 64, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// @copy_c3
func.func @f(%kv: !kv, %item: !tile.item, %t: index, %r: !ring, %p: !tile.position) {
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{box must divide the 16 rows of the slot's tile, got 32}}
  tile.copy_keys %kv[%item, %t] into %slot {box = 32 : i64} : !kv
  return
}

// -----

// @zero_rows_c1
func.func @f(%v: !tile.tile<16x64xbf16>, %item: !tile.item, %t: index) {
  // expected-error@+1 {{needs a shared tile, got '!tile.tile<16x64xbf16>'}}
  %z = tile.zero_rows %v[%item, %t] : !tile.tile<16x64xbf16>
  return
}

// -----

// @zero_rows_c2: the range's tiles have 32 keys
func.func @f(%v: !tile.tile<16x64xbf16, shared>, %item: !tile.item, %j: index) {
  %range = tile.key_range %item, %j mask(#attn.mask<causal>) {keys = 32 : i64}
  %t = tile.key_tile %range[%j]
  // expected-error@+1 {{rows must be the range's 32 keys, got 16}}
  %z = tile.zero_rows %v[%item, %t] : !tile.tile<16x64xbf16, shared>
  return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>, !tile.tile<16x64xbf16, shared>), shared_by = unit>

// @copy_rows_c1: which of the slot's tiles
func.func @f(%query: tensor<?x?x64xbf16>, %item: !tile.item, %r: !ring, %p: !tile.position) {
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{needs a tensor of rank 3 and a slot of one tile, got 'tensor<?x?x64xbf16>' and 2 tiles}}
  tile.copy_rows query %query[%item] into %slot : tensor<?x?x64xbf16>
  return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// @copy_rows_c1: rows of heads
func.func @f(%query: tensor<?x64xbf16>, %item: !tile.item, %r: !ring, %p: !tile.position) {
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{needs a tensor of rank 3 and a slot of one tile, got 'tensor<?x64xbf16>' and 1 tiles}}
  tile.copy_rows query %query[%item] into %slot : tensor<?x64xbf16>
  return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// @copy_rows_c1
func.func @f(%query: tensor<?x?x128xbf16>, %item: !tile.item, %r: !ring, %p: !tile.position) {
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{slot's tile must be 16x128, got 16x64}}
  tile.copy_rows query %query[%item] into %slot : tensor<?x?x128xbf16>
  return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// @copy_rows_c1
func.func @f(%query: tensor<?x?x64xf16>, %item: !tile.item, %r: !ring, %p: !tile.position) {
  %slot = tile.acquire %r[%p] : !ring
  // expected-error@+1 {{slot's tile must be of 'f16', got 'bf16'}}
  tile.copy_rows query %query[%item] into %slot : tensor<?x?x64xf16>
  return
}
