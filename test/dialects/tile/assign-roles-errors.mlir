// RUN: attncc-opt %s --tile-assign-roles --split-input-file --verify-diagnostics

// Without keys there is nothing to load.
tile.kernel @no_loop(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  // expected-error @below {{specialised roles need one loop over the keys, found 0}}
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
  }
  tile.return
}

// -----

// Two loops would ask for two loading loops in the order of the units' waits.
tile.kernel @two_loops(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  // expected-error @below {{specialised roles need one loop over the keys, found 2}}
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    scf.for %j = %c0 to %c1 step %c1 {
    }
    scf.for %j = %c0 to %c1 step %c1 {
    }
  }
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>

// The loading role can only walk a range.
tile.kernel @no_range(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c9 = arith.constant 9 : index
    %ring = tile.ring : !ring
    %p0 = tile.position
    // expected-error @below {{specialised roles need a loop over a range, with copies into rings}}
    %p = scf.for %j = %c0 to %c9 step %c1 iter_args(%pi = %p0) -> (!tile.position) {
      %slot = tile.acquire %ring[%pi] : !ring
      tile.copy_keys %kv[%item, %j] into %slot : !kv
      tile.commit %ring[%pi] : !ring
      %p1 = tile.advance %ring[%pi] : !ring
      scf.yield %p1 : !tile.position
    }
  }
  tile.return
}

// -----

// A loop over a range that copies nothing.
tile.kernel @no_copies(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    // expected-error @below {{specialised roles need a loop over a range, with copies into rings}}
    scf.for %j = %c0 to %n step %c1 {
    }
  }
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>

// A slot that is not handed over.
tile.kernel @no_commit(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [32, 32, 160]>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
    %n = tile.range_count %range
    %ring = tile.ring : !ring
    %p0 = tile.position
    %p = scf.for %j = %c0 to %n step %c1 iter_args(%pi = %p0) -> (!tile.position) {
      %t = tile.key_tile %range[%j]
      // expected-error @below {{expected copies of keys or values, and a commit}}
      %slot = tile.acquire %ring[%pi] : !ring
      tile.copy_keys %kv[%item, %t] into %slot : !kv
      %p1 = tile.advance %ring[%pi] : !ring
      scf.yield %p1 : !tile.position
    }
  }
  tile.return
}
