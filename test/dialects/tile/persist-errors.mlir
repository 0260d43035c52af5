// RUN: attncc-opt %s --tile-persist --verify-diagnostics

tile.kernel @drawn(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<work = atomic>, phase = #attn.phase<merge>} {
  // expected-error @below {{work = atomic is not supported, expected grid}}
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
  }
  tile.return
}
