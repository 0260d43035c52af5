// RUN: attncc-opt %s --convert-tile-to-nvvm=target=sm_90a --verify-diagnostics --split-input-file

#o = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], repeat = [row 4 register, column 8 register]>
#m = #tile.layout<register = [[8,0]], lane = [[0,0],[0,0],[1,0],[2,0],[4,0]], repeat = [row 4 register]>
#q = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 8 offset]>
!rows = !tile.ring<2 x (!tile.tile<64x64xbf16, shared, #q>), shared_by = unit>
!o = !tile.tile<64x64xf32, registers, #o>
!m = !tile.tile<64x1xf32, registers, #m>

// All 64 rows in each warp: the matrices of a warp's registers are other rows than a warpgroup's.
tile.kernel @one_warp(%batch: !tile.batch, %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor,
                                          box = 16, stages = [2, 2], query_stages = 2, roles = specialised, registers = [40, 40, 232], output = staged>,
                phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %rows = tile.ring {offset = 0 : i32} : !rows
  %at = tile.position
  %q = tile.wait %rows[%at] : !rows
  %r = tile.zero : !o
  %lse = tile.zero : !m
  // expected-error-re @below {{expected a warpgroup's result to go through a tile of 16 bits, got '!tile.tile<64x64xf32, {{.*}}' through '!tile.tile<64x64xbf16, shared, }}
  // expected-error @below {{failed to legalize}}
  tile.store_attention %r, %lse, %out, %lse_out[%item] through %q : !o, !m, tensor<?x?x64xbf16> through !tile.tile<64x64xbf16, shared, #q>
  tile.return
}

// -----

#o = #tile.layout<register = [[0,1],[8,0]], lane = [[0,2],[0,4],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]], repeat = [column 8 register]>
#m = #tile.layout<register = [[8,0]], lane = [[0,0],[0,0],[1,0],[2,0],[4,0]], warp = [[16,0],[32,0]]>
#q = #tile.layout<offset = [[1,0],[2,0],[4,0],[8,0],[16,0],[32,0],[0,1],[0,2],[0,4]], repeat = [column 8 offset]>
!rows = !tile.ring<2 x (!tile.tile<64x64xbf16, shared, #q>), shared_by = unit>
!o = !tile.tile<64x64xf32, registers, #o>
!m = !tile.tile<64x1xf32, registers, #m>

// Where columns lie at neighbouring addresses a row of 8 x 8 elements has no 16 bytes.
tile.kernel @columns(%batch: !tile.batch, %out: tensor<?x?x64xbf16>, %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace)
    attributes {schedule = #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, orientation = direct, product = wgmma, copy = tensor,
                                          box = 16, stages = [2, 2], query_stages = 2, roles = specialised, registers = [40, 40, 232], output = staged>,
                phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  %rows = tile.ring {offset = 0 : i32} : !rows
  %at = tile.position
  %q = tile.wait %rows[%at] : !rows
  %r = tile.zero : !o
  %lse = tile.zero : !m
  // expected-error-re @below {{expected a warpgroup's result to go through a tile of 16 bits, got '!tile.tile<64x64xf32, {{.*}}' through '!tile.tile<64x64xbf16, shared, }}
  // expected-error @below {{failed to legalize}}
  tile.store_attention %r, %lse, %out, %lse_out[%item] through %q : !o, !m, tensor<?x?x64xbf16> through !tile.tile<64x64xbf16, shared, #q>
  tile.return
}
