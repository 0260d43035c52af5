// RUN: attncc-opt %s --tile-assign-layouts --split-input-file --verify-diagnostics

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Four rows are no fragment.
tile.kernel @rows(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<4x64xbf16>
    %k = tile.load_keys %kv[%item, %c0] : !kv -> !tile.tile<16x64xbf16>
    // expected-error @below {{a product of 4x16x64 is not made of 8x16x16 fragments (rows, columns, depth)}}
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<4x64xbf16>, !tile.tile<16x64xbf16>) -> !tile.tile<4x16xf32>
  }
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 4, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Swizzle atoms are eight rows.
tile.kernel @atoms(%kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<decode, max_query = 1>} {
  tile.work_loop(%item, %unit) in %batch items(<decode, group = 4>) {
    %c0 = arith.constant 0 : index
    // expected-error @below {{a shared tile needs a multiple of 8 rows of a multiple of 32 bytes, got 4 rows of 128}}
    %k = tile.load_keys %kv[%item, %c0] : !kv -> !tile.tile<4x64xbf16>
  }
  tile.return
}

// -----

// expected-error @below {{units must be a power of two to share the merged rows, got 3}}
tile.kernel @units(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 3>, phase = #attn.phase<decode, max_query = 1>} {
  tile.return
}

// -----

// expected-error @below {{layouts of product = wgmma are not known, expected mma}}
tile.kernel @product(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<product = wgmma, orientation = direct, unit = 4, rows = 64>, phase = #attn.phase<decode, max_query = 1>} {
  tile.return
}

// -----

// Nothing says where a tile without users or products is.
tile.kernel @lost(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<>, phase = #attn.phase<append>} {
  // expected-error @below {{no layout follows for a tile of type '!tile.tile<8x64xf32>'}}
  %z = tile.zero : !tile.tile<8x64xf32>
  tile.return
}
