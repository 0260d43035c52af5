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

// expected-error @below {{layouts of product = mma in a unit of 4 warps are not known, expected 1}}
tile.kernel @unit(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, rows = 64, orientation = direct>, phase = #attn.phase<decode, max_query = 1>} {
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// A warpgroup's product has 64 rows, 16 for each warp.
tile.kernel @warpgroup_rows(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, rows = 64, divide = rows, product = wgmma, orientation = direct>, phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<128x64xbf16>
    %k = tile.load_keys %kv[%item, %c0] : !kv -> !tile.tile<16x64xbf16>
    // expected-error @below {{a product of 128x16x64 is not one of a warpgroup: 64 rows, at most 256 columns in eights, depth in sixteens}}
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<128x64xbf16>, !tile.tile<16x64xbf16>) -> !tile.tile<128x16xf32>
  }
  tile.return
}

// -----

!kv = !attn.paged_kv<page_size = 24, kv_heads = 8, key = 64 x bf16, value = 128 x bf16, order = NHD>

// Values of two panels in boxes of 24 tokens: the keys 16 to 31 lie in two boxes, at no one stride.
tile.kernel @strides(%query: tensor<?x?x64xbf16>, %kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<unit = 4, rows = 64, keys = 48, divide = rows, product = wgmma, orientation = direct, copy = tensor, box = 24>,
                phase = #attn.phase<prefill>} {
  tile.work_loop(%item, %unit) in %batch items(<prefill, group = 4>) {
    %c0 = arith.constant 0 : index
    %q = tile.load_rows query %query[%item] : tensor<?x?x64xbf16> -> !tile.tile<64x64xbf16>
    %k = tile.load_keys %kv[%item, %c0] : !kv -> !tile.tile<48x64xbf16>
    %v = tile.load_values %kv[%item, %c0] : !kv -> !tile.tile<48x128xbf16>
    %s = tile.matmul %q, %k {transpose_b} : (!tile.tile<64x64xbf16>, !tile.tile<48x64xbf16>) -> !tile.tile<64x48xf32>
    %sb = tile.convert %s : !tile.tile<64x48xf32> -> !tile.tile<64x48xbf16>
    // expected-error @below {{no matrix descriptor says how a shared tile with layout <offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 3 offset, column 2 offset, row 2 offset]> lies}}
    %o = tile.matmul %sb, %v : (!tile.tile<64x48xbf16>, !tile.tile<48x128xbf16>) -> !tile.tile<64x128xf32>
  }
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
