// RUN: attncc-opt %s --tile-overlap --split-input-file --verify-diagnostics

// Two products overlap.
tile.kernel @scores_only(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<overlap = tiles, divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %q = tile.zero : !tile.tile<16x64xbf16>
  %w = tile.zero : !tile.tile<16x16xbf16>
  %c = tile.zero : !tile.tile<16x1xf32>
  %p = tile.position
  %keys = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %values = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %o0 = tile.zero : !tile.tile<16x64xf32>
  // expected-error @below {{expected a product of scores and one of values}}
  scf.for %j = %c0 to %c9 step %c1 {
    %k = tile.wait %keys[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16>, !tile.tile<16x64xbf16, shared>) -> !tile.tile<16x16xf32>
  }
  tile.return
}

// -----

// Keys and values in one slot are waited for together.
tile.kernel @joint(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<overlap = tiles, divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %q = tile.zero : !tile.tile<16x64xbf16>
  %w = tile.zero : !tile.tile<16x16xbf16>
  %c = tile.zero : !tile.tile<16x1xf32>
  %p = tile.position
  %ring = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>, !tile.tile<16x64xbf16, shared>), shared_by = units>
  %o0 = tile.zero : !tile.tile<16x64xf32>
  %o = scf.for %j = %c0 to %c9 step %c1 iter_args(%oi = %o0) -> (!tile.tile<16x64xf32>) {
    %k, %v = tile.wait %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>, !tile.tile<16x64xbf16, shared>), shared_by = units>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16>, !tile.tile<16x64xbf16, shared>) -> !tile.tile<16x16xf32>
    %or = tile.rescale %oi, %c : !tile.tile<16x64xf32>, !tile.tile<16x1xf32>
    // expected-error @below {{expected keys and values from a ring each, and a rescaled sum}}
    %oj = tile.matmul %w, %v, %or : (!tile.tile<16x16xbf16>, !tile.tile<16x64xbf16, shared>, !tile.tile<16x64xf32>) -> !tile.tile<16x64xf32>
    scf.yield %oj : !tile.tile<16x64xf32>
  }
  tile.return
}

// -----

// The rescaling is what moves behind the product.
tile.kernel @not_rescaled(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<overlap = tiles, divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %q = tile.zero : !tile.tile<16x64xbf16>
  %w = tile.zero : !tile.tile<16x16xbf16>
  %c = tile.zero : !tile.tile<16x1xf32>
  %p = tile.position
  %keys = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %values = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %o0 = tile.zero : !tile.tile<16x64xf32>
  %o = scf.for %j = %c0 to %c9 step %c1 iter_args(%oi = %o0) -> (!tile.tile<16x64xf32>) {
    %k = tile.wait %keys[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16>, !tile.tile<16x64xbf16, shared>) -> !tile.tile<16x16xf32>
    %v = tile.wait %values[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    // expected-error @below {{expected keys and values from a ring each, and a rescaled sum}}
    %oj = tile.matmul %w, %v, %oi : (!tile.tile<16x16xbf16>, !tile.tile<16x64xbf16, shared>, !tile.tile<16x64xf32>) -> !tile.tile<16x64xf32>
    scf.yield %oj : !tile.tile<16x64xf32>
  }
  tile.return
}

// -----

// The first tile is taken out of the loop.
tile.kernel @second_tile(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<overlap = tiles, divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %q = tile.zero : !tile.tile<16x64xbf16>
  %w = tile.zero : !tile.tile<16x16xbf16>
  %c = tile.zero : !tile.tile<16x1xf32>
  %p = tile.position
  %keys = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %values = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %o0 = tile.zero : !tile.tile<16x64xf32>
  // expected-error @below {{expected a loop from tile 0 that carries the sum}}
  %o = scf.for %j = %c1 to %c9 step %c1 iter_args(%oi = %o0) -> (!tile.tile<16x64xf32>) {
    %k = tile.wait %keys[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16>, !tile.tile<16x64xbf16, shared>) -> !tile.tile<16x16xf32>
    %or = tile.rescale %oi, %c : !tile.tile<16x64xf32>, !tile.tile<16x1xf32>
    %v = tile.wait %values[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %oj = tile.matmul %w, %v, %or : (!tile.tile<16x16xbf16>, !tile.tile<16x64xbf16, shared>, !tile.tile<16x64xf32>) -> !tile.tile<16x64xf32>
    scf.yield %oj : !tile.tile<16x64xf32>
  }
  tile.return
}

// -----

// A sum that begins anew in each tile.
tile.kernel @sum(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<overlap = tiles, divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %q = tile.zero : !tile.tile<16x64xbf16>
  %w = tile.zero : !tile.tile<16x16xbf16>
  %c = tile.zero : !tile.tile<16x1xf32>
  %p = tile.position
  %keys = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %values = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %o0 = tile.zero : !tile.tile<16x64xf32>
  // expected-error @below {{expected a loop from tile 0 that carries the sum}}
  %o = scf.for %j = %c0 to %c9 step %c1 iter_args(%oi = %o0) -> (!tile.tile<16x64xf32>) {
    %k = tile.wait %keys[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16>, !tile.tile<16x64xbf16, shared>) -> !tile.tile<16x16xf32>
    %or = tile.rescale %o0, %c : !tile.tile<16x64xf32>, !tile.tile<16x1xf32>
    %v = tile.wait %values[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %oj = tile.matmul %w, %v, %or : (!tile.tile<16x16xbf16>, !tile.tile<16x64xbf16, shared>, !tile.tile<16x64xf32>) -> !tile.tile<16x64xf32>
    scf.yield %oj : !tile.tile<16x64xf32>
  }
  tile.return
}

// -----

// A position that every tile waits at.
tile.kernel @position(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<overlap = tiles, divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %q = tile.zero : !tile.tile<16x64xbf16>
  %w = tile.zero : !tile.tile<16x16xbf16>
  %c = tile.zero : !tile.tile<16x1xf32>
  %p = tile.position
  %keys = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %values = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %o0 = tile.zero : !tile.tile<16x64xf32>
  // expected-error @below {{expected a loop from tile 0 that carries the sum and the positions of both rings}}
  %o, %pn = scf.for %j = %c0 to %c9 step %c1 iter_args(%oi = %o0, %pi = %p) -> (!tile.tile<16x64xf32>, !tile.position) {
    %k = tile.wait %keys[%pi] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16>, !tile.tile<16x64xbf16, shared>) -> !tile.tile<16x16xf32>
    %or = tile.rescale %oi, %c : !tile.tile<16x64xf32>, !tile.tile<16x1xf32>
    %v = tile.wait %values[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %oj = tile.matmul %w, %v, %or : (!tile.tile<16x16xbf16>, !tile.tile<16x64xbf16, shared>, !tile.tile<16x64xf32>) -> !tile.tile<16x64xf32>
    %pj = tile.advance %keys[%pi] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    scf.yield %oj, %pj : !tile.tile<16x64xf32>, !tile.position
  }
  tile.return
}

// -----

// Tiles that are of no range.
tile.kernel @no_range(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<overlap = tiles, divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %q = tile.zero : !tile.tile<16x64xbf16>
  %w = tile.zero : !tile.tile<16x16xbf16>
  %c = tile.zero : !tile.tile<16x1xf32>
  %p = tile.position
  %keys = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %values = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  %o0 = tile.zero : !tile.tile<16x64xf32>
  // expected-error @below {{expected a loop over the tiles of a range}}
  %o, %pn = scf.for %j = %c0 to %c9 step %c1 iter_args(%oi = %o0, %pi = %p) -> (!tile.tile<16x64xf32>, !tile.position) {
    %k = tile.wait %keys[%pi] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<16x64xbf16>, !tile.tile<16x64xbf16, shared>) -> !tile.tile<16x16xf32>
    %or = tile.rescale %oi, %c : !tile.tile<16x64xf32>, !tile.tile<16x1xf32>
    %v = tile.wait %values[%pi] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    %oj = tile.matmul %w, %v, %or : (!tile.tile<16x16xbf16>, !tile.tile<16x64xbf16, shared>, !tile.tile<16x64xf32>) -> !tile.tile<16x64xf32>
    %pj = tile.advance %keys[%pi] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    scf.yield %oj, %pj : !tile.tile<16x64xf32>, !tile.position
  }
  tile.return
}
