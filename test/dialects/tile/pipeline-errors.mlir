// RUN: attncc-opt %s --tile-pipeline --split-input-file --verify-diagnostics

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// A copy goes to shared memory: layouts come first.
tile.kernel @registers(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  %a = tile.zero : !tile.tile<8x64xbf16>
  scf.for %j = %c0 to %c1 step %c1 {
    // expected-error @below {{a copy needs a shared tile with a layout, got '!tile.tile<16x64xbf16>'}}
    %k = tile.load_keys %kv[%item, %j] : !kv -> !tile.tile<16x64xbf16>
    %s = tile.matmul %a, %k {transpose_b} : (!tile.tile<8x64xbf16>, !tile.tile<16x64xbf16>) -> !tile.tile<8x16xf32>
  }
  tile.return
}

// -----

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Keys that nobody reads need no slot.
tile.kernel @unread(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %item, %unit, %valid = tile.grid_item %batch items(<decode, group = 4>)
  scf.for %j = %c0 to %c1 step %c1 {
    // expected-error @below {{the tiles of a slot are not used in the loop}}
    %k = tile.load_keys %kv[%item, %j] : !kv -> !tile.tile<16x64xbf16, shared, #kv>
  }
  tile.return
}

// -----

// The rows of the query go through a ring where roles are specialised: to shared memory as well.
tile.kernel @rows(%query: tensor<?x?x64xbf16>, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [40, 40, 232]>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  // expected-error @below {{a copy needs a shared tile with a layout, got '!tile.tile<16x64xbf16, shared>'}}
  %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<16x64xbf16, shared>
  tile.return
}

// -----

#rows = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>

// Rows that nobody reads need no slot.
tile.kernel @unread_rows(%query: tensor<?x?x64xbf16>, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<divide = rows, roles = specialised, registers = [40, 40, 232]>, phase = #attn.phase<prefill>} {
  %item, %unit, %valid = tile.grid_item %batch items(<prefill, group = 4>)
  // expected-error @below {{the tiles of a slot are not used}}
  %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<16x64xbf16, shared, #rows>
  tile.return
}
