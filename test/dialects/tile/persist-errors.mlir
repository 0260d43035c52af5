// RUN: attncc-opt %s --tile-persist --split-input-file --verify-diagnostics

// Without roles there is none that draws.
tile.kernel @drawn(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, work = atomic>, phase = #attn.phase<prefill>} {
  // expected-error @below {{work = atomic needs roles, of which the first draws the items}}
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
  }
  tile.return
}

// -----

// Splits of a sequence are not dealt out: they all have a block.
tile.kernel @splits(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<work = static>, phase = #attn.phase<decode, max_query = 1>} {
  tile.roles load {
    // expected-error @below {{draws items of prefill, got decode}}
    tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {}
  } compute {
    tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {}
  }
  tile.return
}

// -----

// Blocks that have one item have none to overlap with.
tile.kernel @grid(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [32, 32, 160], overlap = items>, phase = #attn.phase<prefill>} {
  %ring = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  // expected-error @below {{overlap = items needs blocks that stay for many, got work = grid}}
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %p = tile.position
    %k = tile.wait %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    tile.release %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  }
  tile.return
}

// -----

// Without the form that --tile-overlap makes there is no first tile to take out.
tile.kernel @form(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [32, 32, 160], overlap = items, work = static>, phase = #attn.phase<prefill>} {
  %ring = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  tile.roles load {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {}
  } compute {
    // expected-error @below {{overlap = items needs the form that --tile-overlap makes, with the query's rows in a ring}}
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
      %p = tile.position
      %k = tile.wait %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
      tile.release %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    }
  }
  tile.return
}

// -----

tile.kernel @two_loops(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [32, 32, 160], overlap = items, work = static>, phase = #attn.phase<prefill>} {
  %ring = tile.ring : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
  tile.roles load {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {}
  } compute {
    tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %p = tile.position
      %a = tile.zero : !tile.tile<16x16xbf16>
      scf.for %j = %c0 to %c1 step %c1 {
        %s = tile.matmul %a, %a : (!tile.tile<16x16xbf16>, !tile.tile<16x16xbf16>) -> !tile.tile<16x16xf32>
      }
      // expected-error @below {{overlap = items needs one loop over the keys}}
      scf.for %j = %c0 to %c1 step %c1 {
        %s = tile.matmul %a, %a : (!tile.tile<16x16xbf16>, !tile.tile<16x16xbf16>) -> !tile.tile<16x16xf32>
      }
      tile.release %ring[%p] : !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = units>
    }
  }
  tile.return
}
