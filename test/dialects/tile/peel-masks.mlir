// RUN: attncc-opt %s --tile-peel-masks --split-input-file | FileCheck %s

// Tiles go from the mask's edge inward: the first loop masks those at the edge, the second takes on its state for those
// that every row sees whole.
// CHECK-LABEL: tile.kernel @prefill
// CHECK: %[[RANGE:.+]] = tile.key_range
// CHECK: %[[N:.+]] = tile.range_count %[[RANGE]]
// CHECK: %[[EDGES:.+]] = tile.range_edges %[[RANGE]]
// CHECK: %[[FIRST:.+]] = scf.for %[[J:.+]] = %c0 to %[[EDGES]] step %c1 iter_args(%{{.+}} = %[[ZERO:.+]])
// CHECK-NEXT: %[[T:.+]] = tile.key_tile %[[RANGE]][%[[J]]]
// CHECK-NEXT: tile.mask %{{.+}}[%{{.+}}, %[[T]]]
// CHECK: scf.for %{{.+}} = %[[EDGES]] to %[[N]] step %c1 iter_args(%[[STATE:.+]] = %[[FIRST]])
// CHECK-NOT: tile.mask
// CHECK: scf.yield %[[STATE]]
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

// -----

// A loop that --tile-overlap has made begins behind the first tile, and at the edges where a range has none.
// CHECK-LABEL: tile.kernel @rotated
// CHECK: %[[C1:.+]] = arith.constant 1 : index
// CHECK: %[[N:.+]] = tile.range_count %[[RANGE:.+]]
// CHECK: %[[EDGES:.+]] = tile.range_edges %[[RANGE]]
// CHECK: %[[END:.+]] = arith.maxui %[[EDGES]], %[[C1]]
// CHECK: scf.for %{{.+}} = %[[C1]] to %[[END]] step
// CHECK: tile.mask
// CHECK: scf.for %{{.+}} = %[[END]] to %[[N]] step
// CHECK-NOT: tile.mask
tile.kernel @rotated(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows>, phase = #attn.phase<prefill>} {
  %c1 = arith.constant 1 : index
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  %n = tile.range_count %range
  %zero = tile.zero : !tile.tile<8x16xf32>
  %s = scf.for %j = %c1 to %n step %c1 iter_args(%a = %zero) -> (!tile.tile<8x16xf32>) {
    %t = tile.key_tile %range[%j]
    %m = tile.mask %a[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
    scf.yield %m : !tile.tile<8x16xf32>
  }
  tile.return
}

// -----

// Tiles of which the loop's index does not say the place in the range, or those of another range, stay masked.
// CHECK-LABEL: tile.kernel @other_tiles
// CHECK-NOT: tile.range_edges
tile.kernel @other_tiles(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  %other = tile.key_range %item, %c0 mask(#attn.mask<causal>) {keys = 16 : i64}
  %n = tile.range_count %range
  %zero = tile.zero : !tile.tile<8x16xf32>
  %first = scf.for %j = %c0 to %n step %c1 iter_args(%a = %zero) -> (!tile.tile<8x16xf32>) {
    %t = tile.key_tile %range[%c1]
    %m = tile.mask %a[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
    scf.yield %m : !tile.tile<8x16xf32>
  }
  %second = scf.for %j = %c0 to %n step %c2 iter_args(%a = %first) -> (!tile.tile<8x16xf32>) {
    %t = tile.key_tile %range[%j]
    %m = tile.mask %a[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
    scf.yield %m : !tile.tile<8x16xf32>
  }
  %third = scf.for %j = %c0 to %n step %c1 iter_args(%a = %second) -> (!tile.tile<8x16xf32>) {
    %t = tile.key_tile %range[%j]
    %m = tile.mask %a[%item, %t] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
    %u = tile.key_tile %other[%j]
    %k = tile.mask %m[%item, %u] mask(#attn.mask<causal>) : !tile.tile<8x16xf32>
    scf.yield %k : !tile.tile<8x16xf32>
  }
  tile.return
}
