// RUN: attncc-opt %s --attn-fuse-attention --verify-diagnostics --split-input-file
// Chains that nearly match: a remark at the op in the way, and the chain stays.

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16>
func.func @second_use(%q: tensor<?x32x64xbf16>, %kv: !kv) -> (tensor<?x32x64xbf16>, tensor<32x?x?xf32>) {
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  // expected-remark @+1 {{attention is not fused: this is a second use of a value inside the chain}}
  return %o, %p : tensor<?x32x64xbf16>, tensor<32x?x?xf32>
}

// -----
func.func @no_softmax(%p: tensor<32x?x?xf32>, %v: tensor<?x8x64xbf16>) -> tensor<?x32x64xbf16> {
  // expected-remark @+1 {{attention is not fused: the probabilities are not the result of 'attn.softmax'}}
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
func.func @no_scores(%s: tensor<32x?x?xf32>, %v: tensor<?x8x64xbf16>) -> tensor<?x32x64xbf16> {
  // expected-remark @+1 {{attention is not fused: its scores are a block argument, not the result of 'attn.scores'}}
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
func.func @foreign_op(%q: tensor<?x32x64xbf16>, %k: tensor<?x8x64xbf16>, %v: tensor<?x8x64xbf16>) -> tensor<?x32x64xbf16> {
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  // expected-remark @+1 {{attention is not fused: 'math.sin' stands between softmax and scores}}
  %t = math.sin %s : tensor<32x?x?xf32>
  %p, %lse = attn.softmax %t : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
func.func @softcap_of_mask(%q: tensor<?x32x64xbf16>, %k: tensor<?x8x64xbf16>, %v: tensor<?x8x64xbf16>) -> tensor<?x32x64xbf16> {
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  // expected-remark @+1 {{attention is not fused: a softcap behind mask or bias acts on more than the scores}}
  %m = attn.mask %s, <causal> : tensor<32x?x?xf32>
  %t = attn.softcap %m cap 50.0 : tensor<32x?x?xf32>
  %p, %lse = attn.softmax %t : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
func.func @two_softcaps(%q: tensor<?x32x64xbf16>, %k: tensor<?x8x64xbf16>, %v: tensor<?x8x64xbf16>) -> tensor<?x32x64xbf16> {
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  // expected-remark @+1 {{attention is not fused: there are two softcaps}}
  %t = attn.softcap %s cap 30.0 : tensor<32x?x?xf32>
  %u = attn.softcap %t cap 50.0 : tensor<32x?x?xf32>
  %p, %lse = attn.softmax %u : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
func.func @two_biases(%q: tensor<?x32x64xbf16>, %k: tensor<?x8x64xbf16>, %v: tensor<?x8x64xbf16>, %b: tensor<32xf32>) -> tensor<?x32x64xbf16> {
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  // expected-remark @+1 {{attention is not fused: there are two biases}}
  %t = attn.bias %s alibi %b : tensor<32x?x?xf32>, tensor<32xf32>
  %u = attn.bias %t alibi %b : tensor<32x?x?xf32>, tensor<32xf32>
  %p, %lse = attn.softmax %u : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
func.func @two_chunks(%q: tensor<?x32x64xbf16>, %k: tensor<?x8x64xbf16>, %v: tensor<?x8x64xbf16>) -> tensor<?x32x64xbf16> {
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  // expected-remark @+1 {{attention is not fused: no single mask says both masks}}
  %t = attn.mask %s, <chunk = 64> : tensor<32x?x?xf32>
  %u = attn.mask %t, <chunk = 48> : tensor<32x?x?xf32>
  %p, %lse = attn.softmax %u : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16>
func.func @two_caches(%q: tensor<?x32x64xbf16>, %kv: !kv, %other: !kv) -> tensor<?x32x64xbf16> {
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  // expected-remark @+1 {{attention is not fused: keys and values are not of one cache}}
  %k1, %v1 = attn.read_kv %other : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v1 : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16>
func.func @exchanged(%q: tensor<?x32x64xbf16>, %kv: !kv) -> tensor<?x32x64xbf16> {
  // expected-remark @+1 {{attention is not fused: keys and values are exchanged}}
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  %s = attn.scores %q, %v scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %k : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16>
func.func @write_between(%q: tensor<?x32x64xbf16>, %new: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x32x64xbf16> {
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  // expected-remark @+1 {{attention is not fused: it may write the cache between its read and the softmax}}
  attn.append_kv %new, %new, %kv : tensor<?x8x64xbf16>, tensor<?x8x64xbf16>, !kv
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
func.func @dynamic_heads(%q: tensor<?x?x64xbf16>, %k: tensor<?x?x64xbf16>, %v: tensor<?x?x64xbf16>) -> tensor<?x?x64xbf16> {
  %s = attn.scores %q, %k scale 0.125 : tensor<?x?x64xbf16>, tensor<?x?x64xbf16> -> tensor<?x?x?xf32>
  %p, %lse = attn.softmax %s : tensor<?x?x?xf32> -> tensor<?x?x?xf32>, tensor<?x?xf32>
  // expected-remark @+1 {{attention is not fused: keys and values need static heads and dims}}
  %o = attn.weighted_sum %p, %v : tensor<?x?x?xf32>, tensor<?x?x64xbf16> -> tensor<?x?x64xbf16>
  return %o : tensor<?x?x64xbf16>
}
