// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --verify-diagnostics --split-input-file

#tile = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #tile>), shared_by = units>

// Where there are roles, units fill no ring together.
tile.kernel @not_filled(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, roles = specialised, registers = [40, 40, 232]>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  // expected-error @below {{expected a ring that a role fills, or one that one-warp units gather, got '!tile.ring<2 x (!tile.tile<16x64xbf16, shared, #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>>), shared_by = units>' of units of 4, roles = specialised}}
  // expected-error @below {{failed to legalize}}
  %ring = tile.ring {offset = 0 : i32} : !ring
  tile.return
}

// -----

#tile = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #tile>), shared_by = units>

// The units of a block together have only gathered copies.
tile.kernel @no_role(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 2, rows = 16, divide = rows, orientation = direct, copy = tensor, box = 16>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  // expected-error @below {{expected a ring that a role fills, or one that one-warp units gather, got '!tile.ring<2 x (!tile.tile<16x64xbf16, shared, #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>>), shared_by = units>' of units of 1, roles = one}}
  // expected-error @below {{failed to legalize}}
  %ring = tile.ring {offset = 0 : i32, barriers = 4096 : i32} : !ring
  tile.return
}

// -----

#tile = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #tile>), shared_by = units>

// Units of a warpgroup do not gather together.
tile.kernel @warpgroups(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  // expected-error @below {{expected a ring that a role fills, or one that one-warp units gather, got '!tile.ring<2 x (!tile.tile<16x64xbf16, shared, #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>>), shared_by = units>' of units of 4, roles = one}}
  // expected-error @below {{failed to legalize}}
  %ring = tile.ring {offset = 0 : i32} : !ring
  tile.return
}

// -----

#tile = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!ring = !tile.ring<2 x (!tile.tile<16x64xbf16, shared, #tile>), shared_by = units>

// Each unit has rows of its own.
tile.kernel @shared_rows(%batch: !tile.batch, %query: tensor<?x?x64xbf16>)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16, roles = specialised, registers = [40, 40, 232]>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %ring = tile.ring {offset = 0 : i32, barriers = 4096 : i32} : !ring
  %p = tile.position
  %slot = tile.acquire %ring[%p] : !ring
  // expected-error @below {{expected a ring of the unit, got '!tile.ring<2 x (}}
  // expected-error @below {{failed to legalize}}
  tile.copy_rows query %query[%item] into %slot : tensor<?x?x64xbf16>
  tile.return
}

// -----

#a = #tile.layout<register = [[0,1],[8,0],[0,8]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]]>
#b = #tile.layout<register = [[0,1],[0,8],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]]>
#s = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [column 2 register]>

// A warp awaits its products by itself.
tile.kernel @one_warp(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %a = tile.zero : !tile.tile<16x16xbf16, registers, #a>
  %b = tile.zero : !tile.tile<16x16xbf16, registers, #b>
  // expected-error @below {{expected the operands of a warpgroup's product, got '!tile.tile<16x16xbf16, registers, }}
  // expected-error @below {{failed to legalize}}
  %s = tile.matmul_issue %a, %b {transpose_b} : (!tile.tile<16x16xbf16, registers, #a>, !tile.tile<16x16xbf16, registers, #b>) -> !tile.pending<!tile.tile<16x16xf32, registers, #s>>
  tile.return
}

// -----

#p = #tile.layout<register = [[0,1],[8,0],[0,8]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 2 register]>
#v = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 4 offset]>
#o = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [row 4 register, column 8 register]>
!ring = !tile.ring<2 x (!tile.tile<32x64xbf16, shared, #v>), shared_by = units>

// The sums are where the instruction leaves them, 16 rows in each warp.
tile.kernel @result(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16, keys = 32, roles = specialised, registers = [40, 40, 232]>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %ring = tile.ring {offset = 0 : i32, barriers = 8192 : i32} : !ring
  %at = tile.position
  %v = tile.wait %ring[%at] : !ring
  %p = tile.zero : !tile.tile<64x32xbf16, registers, #p>
  // expected-error @below {{expected the operands of a warpgroup's product, got '!tile.tile<64x32xbf16, registers, }}
  // expected-error @below {{failed to legalize}}
  %o = tile.matmul_issue %p, %v : (!tile.tile<64x32xbf16, registers, #p>, !tile.tile<32x64xbf16, shared, #v>) -> !tile.pending<!tile.tile<64x64xf32, registers, #o>>
  tile.return
}

// -----

// Items are drawn by a role, for all.
tile.kernel @no_roles(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4, rows = 16, divide = rows, orientation = direct, work = static>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  // expected-error @below {{expected a role that draws the items for all others}}
  // expected-error @below {{failed to legalize}}
  %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 4>)
  tile.return
}

// -----

// All blocks count in one place.
tile.kernel @no_workspace(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor, box = 16, roles = specialised, registers = [40, 40, 232], work = atomic>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  tile.roles load {
    // expected-error @below {{work = atomic counts in the workspace, which the kernel has not}}
    // expected-error @below {{failed to legalize}}
    %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 4>)
  } compute {
  }
  tile.return
}
