// RUN: attncc-opt %s --tile-peel-masks --split-input-file | FileCheck %s

// The leading tiles that every row sees whole get a loop of their own, whose state the second takes on.
// CHECK-LABEL: tile.kernel @prefill
// CHECK: %[[RANGE:.+]] = tile.key_range
// CHECK: %[[N:.+]] = tile.range_count %[[RANGE]]
// CHECK: %[[PLAIN:.+]] = tile.range_edges %[[RANGE]]
// CHECK: %[[FIRST:.+]] = scf.for %{{.+}} = %c0 to %[[PLAIN]] step %c1 iter_args(%{{.+}} = %[[ZERO:.+]])
// CHECK-NOT: tile.mask
// CHECK: scf.for %[[J:.+]] = %[[PLAIN]] to %[[N]] step %c1 iter_args(%{{.+}} = %[[FIRST]])
// CHECK-NEXT: %[[T:.+]] = tile.key_tile %[[RANGE]][%[[J]]]
// CHECK: tile.mask %{{.+}}[%{{.+}}, %[[T]]]
tile.kernel @prefill(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  %n = tile.range_count %range
  %zero = tile.zero : !tile.tile<8x16xf32>
  %s = scf.for %j = %c0 to %n step %c1 iter_args(%a = %zero) -> (!tile.tile<8x16xf32>) {
    %t = tile.key_tile %range[%j]
    %m = tile.mask %a[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
    scf.yield %m : !tile.tile<8x16xf32>
  }
  tile.return
}

// -----

// Units that divide the keys see few tiles each: one loop.
// CHECK-LABEL: tile.kernel @decode
// CHECK-NOT: tile.range_edges
// CHECK: scf.for
// CHECK: tile.mask
// CHECK-NOT: scf.for
tile.kernel @decode(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  %n = tile.range_count %range
  %zero = tile.zero : !tile.tile<8x16xf32>
  %s = scf.for %j = %c0 to %n step %c1 iter_args(%a = %zero) -> (!tile.tile<8x16xf32>) {
    %t = tile.key_tile %range[%j]
    %m = tile.mask %a[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
    scf.yield %m : !tile.tile<8x16xf32>
  }
  tile.return
}
