// RUN: attncc-opt %s --tile-persist --split-input-file --verify-diagnostics

tile.kernel @drawn(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<work = atomic>, phase = #attn.phase<merge>} {
  // expected-error @below {{work = atomic is not supported, expected grid or static}}
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
  }
  tile.return
}

// -----

// Splits of a sequence are not dealt out: they all have a block.
tile.kernel @splits(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<work = static>, phase = #attn.phase<decode, max_query = 1>} {
  // expected-error @below {{draws items of prefill, got decode}}
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
  }
  tile.return
}
