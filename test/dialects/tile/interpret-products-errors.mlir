// RUN: attncc-opt %s --tile-interpret --split-input-file --verify-diagnostics

!a = !tile.tile<16x16xbf16>
!s = !tile.tile<16x16xf32>
!b = !tile.tile<16x16xbf16, shared>
!ring = !tile.ring<1 x (!b), shared_by = unit>

// A slot is released while a product may still read it.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  %slot = tile.acquire %r[%p] : !ring
  tile.commit %r[%p] : !ring
  %b = tile.wait %r[%p] : !ring
  %a = tile.zero : !a
  // expected-note@+1 {{the product starts here}}
  %s = tile.matmul_issue %a, %b : (!a, !b) -> !tile.pending<!s>
  // expected-error@+1 {{releases slot 0 of a ring, which a product in flight reads}}
  tile.release %r[%p] : !ring
  %c = tile.await %s : (!tile.pending<!s>) -> !s
  tile.return
}

// -----

!a = !tile.tile<16x16xbf16>
!s = !tile.tile<16x16xf32>

// What a product adds to is not there until it ends.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<merge>} {
  %a = tile.zero : !a
  %o = tile.zero : !s
  // expected-note@+1 {{the product starts here}}
  %s = tile.matmul_issue %a, %a, %o : (!a, !a, !s) -> !tile.pending<!s>
  // expected-error@+1 {{reads the accumulator of a product in flight}}
  %b = tile.convert %o : !s -> !a
  %c = tile.await %s : (!tile.pending<!s>) -> !s
  tile.return
}

// -----

!a = !tile.tile<16x16xbf16>
!s = !tile.tile<16x16xf32>

// The product that is awaited is the last one: none may be in flight behind it.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<merge>} {
  %a = tile.zero : !a
  %s = tile.matmul_issue %a, %a : (!a, !a) -> !tile.pending<!s>
  %s1 = tile.matmul_issue %a, %a : (!a, !a) -> !tile.pending<!s>
  %c = tile.await %s {ahead = 1 : i64} : (!tile.pending<!s>) -> !s
  // expected-error@+1 {{lets 1 later products be in flight, but only 0 have been started}}
  %c1 = tile.await %s1 {ahead = 1 : i64} : (!tile.pending<!s>) -> !s
  tile.return
}

// -----

!a = !tile.tile<16x16xbf16>
!s = !tile.tile<16x16xf32>

tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<merge>} {
  %a = tile.zero : !a
  %s = tile.matmul_issue %a, %a : (!a, !a) -> !tile.pending<!s>
  %c = tile.await %s : (!tile.pending<!s>) -> !s
  // expected-error@+1 {{awaits a product that has been awaited before}}
  %c1 = tile.await %s : (!tile.pending<!s>) -> !s
  tile.return
}

// -----

!a = !tile.tile<16x16xbf16>
!s = !tile.tile<16x16xf32>

tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<merge>} {
  %a = tile.zero : !a
  // expected-error@+1 {{starts a product that is not awaited}}
  %s = tile.matmul_issue %a, %a : (!a, !a) -> !tile.pending<!s>
  tile.return
}
