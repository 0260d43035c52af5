// RUN: attncc-opt %s --canonicalize | FileCheck %s

// A mask that keeps everything is nothing.
// CHECK-LABEL: @no_mask
// CHECK-SAME: (%[[S:.*]]: tensor<4x?x?xf32>)
// CHECK-NEXT: return %[[S]]
func.func @no_mask(%s: tensor<4x?x?xf32>) -> tensor<4x?x?xf32> {
  %t = attn.mask %s, <none> : tensor<4x?x?xf32>
  return %t : tensor<4x?x?xf32>
}

// Two masks are their conjunction: the narrower window.
// CHECK-LABEL: @two_masks
// CHECK-SAME: (%[[S:.*]]: tensor<4x?x?xf32>)
// CHECK-NEXT: %[[T:.*]] = attn.mask %[[S]], <causal, window = 16>
// CHECK-NEXT: return %[[T]]
func.func @two_masks(%s: tensor<4x?x?xf32>) -> tensor<4x?x?xf32> {
  %t = attn.mask %s, <causal, window = 64> : tensor<4x?x?xf32>
  %u = attn.mask %t, <window = 16, right_window = 8> : tensor<4x?x?xf32>
  return %u : tensor<4x?x?xf32>
}

// Two chunk lengths have no single mask.
// CHECK-LABEL: @two_chunks
// CHECK: attn.mask %{{.*}}, <chunk = 64>
// CHECK: attn.mask %{{.*}}, <chunk = 16>
func.func @two_chunks(%s: tensor<4x?x?xf32>) -> tensor<4x?x?xf32> {
  %t = attn.mask %s, <chunk = 64> : tensor<4x?x?xf32>
  %u = attn.mask %t, <chunk = 16> : tensor<4x?x?xf32>
  return %u : tensor<4x?x?xf32>
}

// Reading what was just made dense gives the tensors back, unless their types differ.
// CHECK-LABEL: @read_of_dense
// CHECK-SAME: (%[[K:.*]]: tensor<?x8x4xbf16>, %[[V:.*]]: tensor<?x8x4xbf16>)
// CHECK-NEXT: return %[[K]], %[[V]]
func.func @read_of_dense(%k: tensor<?x8x4xbf16>, %v: tensor<?x8x4xbf16>) -> (tensor<?x8x4xbf16>, tensor<?x8x4xbf16>) {
  %kv = attn.dense_kv %k, %v : tensor<?x8x4xbf16>, tensor<?x8x4xbf16> -> !attn.contiguous_kv<kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
  %k1, %v1 = attn.read_kv %kv : !attn.contiguous_kv<kv_heads = 8, key = 4 x bf16, value = 4 x bf16> -> tensor<?x8x4xbf16>, tensor<?x8x4xbf16>
  return %k1, %v1 : tensor<?x8x4xbf16>, tensor<?x8x4xbf16>
}

// CHECK-LABEL: @read_of_static
// CHECK: attn.read_kv
func.func @read_of_static(%k: tensor<9x8x4xbf16>, %v: tensor<9x8x4xbf16>) -> (tensor<?x8x4xbf16>, tensor<?x8x4xbf16>) {
  %kv = attn.dense_kv %k, %v : tensor<9x8x4xbf16>, tensor<9x8x4xbf16> -> !attn.contiguous_kv<kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
  %k1, %v1 = attn.read_kv %kv : !attn.contiguous_kv<kv_heads = 8, key = 4 x bf16, value = 4 x bf16> -> tensor<?x8x4xbf16>, tensor<?x8x4xbf16>
  return %k1, %v1 : tensor<?x8x4xbf16>, tensor<?x8x4xbf16>
}

// A merge of one operand to partials is that operand.
// CHECK-LABEL: @merge_of_one
// CHECK-SAME: (%[[P:.*]]: !attn.partials<heads = 4, group = 1, dim = 16>)
// CHECK-NEXT: return %[[P]]
func.func @merge_of_one(%p: !attn.partials<heads = 4, group = 1, dim = 16>) -> !attn.partials<heads = 4, group = 1, dim = 16> {
  %m = attn.merge %p : !attn.partials<heads = 4, group = 1, dim = 16> -> !attn.partials<heads = 4, group = 1, dim = 16>
  return %m : !attn.partials<heads = 4, group = 1, dim = 16>
}

// The write stays, though nothing uses it.
// CHECK-LABEL: @append_stays
// CHECK: attn.append_kv
func.func @append_stays(%k: tensor<?x8x4xbf16>, %kv: !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>) {
  attn.append_kv %k, %k, %kv : tensor<?x8x4xbf16>, tensor<?x8x4xbf16>, !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
  return
}
