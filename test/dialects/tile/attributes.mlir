// RUN: attncc-opt %s | attncc-opt | FileCheck %s

// Layouts are printed as aliases at the top.
// CHECK-DAG: #[[$S:.+]] = #tile.layout<register = {{\[\[}}1,0],[0,8]], lane = {{\[\[}}2,0],[4,0],[0,1],[0,2],[0,4]]>
// CHECK-DAG: #[[$KV:.+]] = #tile.layout<offset = {{\[\[}}0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 10 offset, column 2 offset]>
// CHECK-DAG: #[[$D:.+]] = #tile.layout<register = {{\[\[}}0,1],[8,0]], lane = {{\[\[}}0,2],[0,4],[1,0],[2,0],[4,0]], warp = {{\[\[}}16,0],[32,0]], repeat = [column 10 register]>
// CHECK-DAG: #[[$L:.+]] = #tile.layout<register = {{\[\[}}1,0]], lane = {{\[\[}}2,0],[4,0],[0,0],[0,0],[0,0]], partial>

// Four layouts: swapped mma result, swizzled shared rows, wgmma result, partial row sums.
// CHECK-LABEL: module @layouts
// CHECK-SAME: test.s = #[[$S]]
module @layouts attributes {test.s = #tile.layout<register = [[1,0],[0,8]], lane = [[2,0],[4,0],[0,1],[0,2],[0,4]]>} {
  // CHECK: !tile.tile<8x16xf32, registers, #[[$S]]>
  func.func private @swapped(!tile.tile<8x16xf32, registers, #tile.layout<register = [[1,0],[0,8]], lane = [[2,0],[4,0],[0,1],[0,2],[0,4]]>>)
  // CHECK: !tile.tile<80x128xbf16, shared, #[[$KV]]>
  func.func private @swizzled(!tile.tile<80x128xbf16, shared, #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 10 offset, column 2 offset]>>)
  // CHECK: !tile.tile<64x80xf32, registers, #[[$D]]>
  func.func private @wgmma(!tile.tile<64x80xf32, registers, #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 10 register]>>)
  // CHECK: !tile.tile<8x1xf32, registers, #[[$L]]>
  func.func private @partial(!tile.tile<8x1xf32, registers, #tile.layout<register = [[1,0]], lane = [[2,0],[4,0],[0,0],[0,0],[0,0]], partial>>)
  // A tile in registers need not say so; a ring says who shares it.
  // CHECK: !tile.tile<1x64xbf16>, !tile.tile<4x4xf32, shared>
  func.func private @plain(!tile.tile<1x64xbf16, registers>, !tile.tile<4x4xf32, shared>)
  // CHECK: !tile.ring<3 x (!tile.tile<16x64xbf16, shared>, !tile.tile<16x32xbf16, shared>), shared_by = unit>
  // CHECK-SAME: !tile.ring<1 x (!tile.tile<80x128xbf16, shared, #[[$KV]]>), shared_by = units>
  func.func private @rings(!tile.ring<3 x (!tile.tile<16x64xbf16, shared>, !tile.tile<16x32xbf16, shared>), shared_by = unit>,
                           !tile.ring<1 x (!tile.tile<80x128xbf16, shared, #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 10 offset, column 2 offset]>>), shared_by = units>)
  // CHECK: !tile.slot, !tile.position, !tile.item, !tile.range, !tile.batch, !tile.workspace
  func.func private @others(!tile.slot, !tile.position, !tile.item, !tile.range, !tile.batch, !tile.workspace)
  // CHECK: test.items = [#tile.items<decode, group = 4>, #tile.items<merge, group = 1>, #tile.items<append, group = 7>]
  func.func private @items() attributes {test.items = [#tile.items<decode, group = 4>, #tile.items<merge, group = 1>, #tile.items<append, group = 7>]}
}
