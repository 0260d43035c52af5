// RUN: attncc-opt %s --canonicalize --cse | FileCheck %s

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared>), shared_by = unit>

// A move or a conversion to the same type is nothing.
// CHECK-LABEL: func.func @same_type
// CHECK-NEXT: return %arg0
func.func @same_type(%a: !tile.tile<8x16xf32>) -> !tile.tile<8x16xf32> {
  %b = tile.move %a : !tile.tile<8x16xf32> -> !tile.tile<8x16xf32>
  %c = tile.convert %b : !tile.tile<8x16xf32> -> !tile.tile<8x16xf32>
  return %c : !tile.tile<8x16xf32>
}

// Functions of equal operands are one; loads between which nothing is written, too.
// CHECK-LABEL: func.func @equal
// CHECK-COUNT-1: tile.load_keys
// CHECK-NOT: tile.load_keys
// CHECK-COUNT-1: tile.zero
// CHECK-NOT: tile.zero
// CHECK: return
func.func @equal(%kv: !kv, %item: !tile.item, %t: index)
    -> (!tile.tile<16x64xbf16>, !tile.tile<16x64xbf16>, !tile.tile<8x64xf32>, !tile.tile<8x64xf32>) {
  %a = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
  %b = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
  %c = tile.zero : !tile.tile<8x64xf32>
  %d = tile.zero : !tile.tile<8x64xf32>
  return %a, %b, %c, %d : !tile.tile<16x64xbf16>, !tile.tile<16x64xbf16>, !tile.tile<8x64xf32>, !tile.tile<8x64xf32>
}

// A store between two loads keeps both.
// CHECK-LABEL: func.func @stored_between
// CHECK: tile.load_keys
// CHECK: tile.store_kv
// CHECK: tile.load_keys
func.func @stored_between(%kv: !kv, %item: !tile.item, %t: index, %k: !tile.tile<1x64xf32>)
    -> (!tile.tile<16x64xbf16>, !tile.tile<16x64xbf16>) {
  %a = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
  tile.store_kv %k, %k, %kv[%item] : !tile.tile<1x64xf32>, !tile.tile<1x64xf32>, !kv
  %b = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
  return %a, %b : !tile.tile<16x64xbf16>, !tile.tile<16x64xbf16>
}

// Two rings stay two, and their stations stay where they are, results used or not.
// CHECK-LABEL: func.func @rings
// CHECK: %[[A:.+]] = tile.ring
// CHECK-NEXT: %[[B:.+]] = tile.ring
// CHECK-NEXT: %[[P:.+]] = tile.position
// CHECK-NEXT: tile.acquire %[[A]][%[[P]]]
// CHECK-NEXT: tile.commit %[[A]][%[[P]]]
// CHECK-NEXT: tile.acquire %[[B]][%[[P]]]
// CHECK-NEXT: tile.commit %[[B]][%[[P]]]
// CHECK-NEXT: tile.wait %[[A]][%[[P]]]
// CHECK-NEXT: tile.wait %[[B]][%[[P]]]
// CHECK-NEXT: tile.release %[[A]][%[[P]]]
// CHECK-NEXT: tile.release %[[B]][%[[P]]]
// CHECK-NEXT: return
func.func @rings() {
  %a = tile.ring : !ring
  %b = tile.ring : !ring
  %p = tile.position
  %q = tile.position
  %sa = tile.acquire %a[%p] : !ring
  tile.commit %a[%p] : !ring
  %sb = tile.acquire %b[%q] : !ring
  tile.commit %b[%q] : !ring
  %ta = tile.wait %a[%p] : !ring
  %tb = tile.wait %b[%q] : !ring
  tile.release %a[%p] : !ring
  tile.release %b[%q] : !ring
  return
}

// What nobody uses goes.
// CHECK-LABEL: func.func @unused
// CHECK-NEXT: return
func.func @unused(%kv: !kv, %item: !tile.item, %t: index) {
  %r = tile.ring : !ring
  %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<16x64xbf16>
  %range = tile.key_range %item, %t mask(#attn.mask<causal>) {keys = 16 : i64}
  return
}

// A work loop with effects stays, one without goes; values from outside may enter it.
// CHECK-LABEL: tile.kernel @loops
// CHECK-COUNT-1: tile.work_loop
// CHECK-NOT: tile.work_loop
// CHECK: tile.return
tile.kernel @loops(%workspace: !tile.workspace, %batch: !tile.batch, %out: tensor<?x?x64xbf16>, %l: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<merge>} {
  %row = tile.zero : !tile.tile<1x64xf32>
  %lse = tile.zero : !tile.tile<1x1xf32>
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
    tile.store_merged %row, %lse, %out, %l[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>, tensor<?x?x64xbf16>
  }
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
    %r, %e = tile.merge_splits %workspace[%item] : !tile.tile<1x64xf32>, !tile.tile<1x1xf32>
  }
  tile.return
}
