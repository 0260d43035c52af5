// RUN: attncc-opt %s | attncc-opt | FileCheck %s
// RUN: %python %S/../examples-in-docs.py %s %source/dialects/attn/AttnTypes.td
// Every form of the KV types and the partials survives printing and parsing.

// CHECK-LABEL: @paged
// CHECK-SAME: !attn.paged_kv<page_size = 16, kv_heads = 8, key = 128 x bf16, value = 128 x bf16, order = NHD>
func.func private @paged(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 128 x bf16, value = 128 x bf16, order = NHD>)

// Fields in any order; NHD is the default.
// CHECK-LABEL: @any_order
// CHECK-SAME: !attn.paged_kv<page_size = 1, kv_heads = 2, key = 64 x f16, value = 80 x f16, order = NHD>
func.func private @any_order(!attn.paged_kv<value = 80 x f16, key = 64 x f16, kv_heads = 2, page_size = 1>)

// CHECK-LABEL: @head_major
// CHECK-SAME: !attn.paged_kv<page_size = 256, kv_heads = 1, key = 64 x f16, value = 64 x f16, order = HND>
func.func private @head_major(!attn.paged_kv<page_size = 256, kv_heads = 1, key = 64 x f16, value = 64 x f16, order = HND>)

// CHECK-LABEL: @latent
// CHECK-SAME: value = key[0:512], order = NHD>
func.func private @latent(!attn.paged_kv<page_size = 64, kv_heads = 1, key = 576 x bf16, value = key[0:512], order = NHD>)

// CHECK-LABEL: @quantised
// CHECK-SAME: key = 128 x f8E4M3FN, value = 128 x i8, order = NHD, scales = per_token_head, residual = 128 x bf16>
func.func private @quantised(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 128 x f8E4M3FN, value = 128 x i8, order = NHD, scales = per_token_head, residual = 128 x bf16>)

// CHECK-LABEL: @per_channel
// CHECK-SAME: key = 128 x i4, value = 128 x i4, order = NHD, scales = per_channel<group = 32>>
func.func private @per_channel(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 128 x i4, value = 128 x i4, scales = per_channel<group = 32>>)

// CHECK-LABEL: @contiguous
// CHECK-SAME: !attn.contiguous_kv<kv_heads = 8, key = 128 x bf16, value = 128 x bf16>
func.func private @contiguous(!attn.contiguous_kv<kv_heads = 8, key = 128 x bf16, value = 128 x bf16>)

// CHECK-LABEL: @partials
// CHECK-SAME: !attn.partials<heads = 32, group = 4, dim = 128>
func.func private @partials(!attn.partials<heads = 32, group = 4, dim = 128>)

// CHECK-LABEL: @cos_sin
// CHECK-SAME: !attn.cos_sin<dim = 64, type = bf16>
func.func private @cos_sin(!attn.cos_sin<dim = 64, type = bf16>)

// CHECK-LABEL: @states
// CHECK-SAME: !attn.states<parts = 16, heads = 32, dim = 128, type = bf16>
func.func private @states(!attn.states<parts = 16, heads = 32, dim = 128, type = bf16>)
