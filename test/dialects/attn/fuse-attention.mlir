// RUN: attncc-opt %s --attn-fuse-attention --split-input-file | FileCheck %s

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// The plain chain; the read goes with it.
// CHECK-LABEL: @causal
// CHECK-SAME: (%[[Q:.*]]: tensor<?x32x64xbf16>, %[[KV:.*]]: !attn.paged_kv
// CHECK-NEXT: %[[O:.*]], %[[LSE:.*]] = attn.attention %[[Q]], %[[KV]] scores(<scale = 0.125>) mask(<causal>) : tensor<?x32x64xbf16>, !attn.paged_kv<{{.*}}> -> tensor<?x32x64xbf16>, tensor<?x32xf32>
// CHECK-NEXT: return %[[O]], %[[LSE]]
func.func @causal(%q: tensor<?x32x64xbf16>, %kv: !kv) -> (tensor<?x32x64xbf16>, tensor<?x32xf32>) {
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  %t = attn.mask %s, <causal> : tensor<32x?x?xf32>
  %p, %lse = attn.softmax %t : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o, %lse : tensor<?x32x64xbf16>, tensor<?x32xf32>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Nothing but scores: no mask.
// CHECK-LABEL: @bidirectional
// CHECK: attn.attention %{{.*}} scores(<scale = 0.125>) mask(<none>)
// CHECK-NOT: attn.softmax
func.func @bidirectional(%q: tensor<?x32x64xbf16>, %kv: !kv) -> tensor<?x32x64xbf16> {
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Softcap, bias behind a mask, a second mask, sinks: one op says it all, masks joined.
// CHECK-LABEL: @everything
// CHECK-SAME: %[[SLOPES:[a-z0-9]+]]: tensor<32xf32>, %[[SINKS:[a-z0-9]+]]: tensor<32xf32>
// CHECK-NEXT: attn.attention %{{.*}} bias {{ *}}alibi %[[SLOPES]] : tensor<32xf32> sinks %[[SINKS]] : tensor<32xf32> scores(<scale = 0.125, softcap = 50.0>) mask(<causal, window = 4096>)
// CHECK-NEXT: return
func.func @everything(%q: tensor<?x32x64xbf16>, %kv: !kv, %slopes: tensor<32xf32>, %sinks: tensor<32xf32>) -> tensor<?x32x64xbf16> {
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  %s0 = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  %s1 = attn.softcap %s0 cap 50.0 : tensor<32x?x?xf32>
  %s2 = attn.mask %s1, <causal> : tensor<32x?x?xf32>
  %s3 = attn.bias %s2 alibi %slopes : tensor<32x?x?xf32>, tensor<32xf32>
  %s4 = attn.mask %s3, <window = 4096> : tensor<32x?x?xf32>
  %p, %lse = attn.softmax %s4 sinks %sinks : tensor<32x?x?xf32>, tensor<32xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}

// -----

// Plain tensors become a dense KV value.
// CHECK-LABEL: @dense
// CHECK-SAME: (%[[Q:.*]]: tensor<?x32x64xbf16>, %[[K:.*]]: tensor<?x8x64xbf16>, %[[V:.*]]: tensor<?x8x32xbf16>)
// CHECK: %[[KV:.*]] = attn.dense_kv %[[K]], %[[V]] : {{.*}} -> !attn.contiguous_kv<kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// CHECK: attn.attention %[[Q]], %[[KV]]
func.func @dense(%q: tensor<?x32x64xbf16>, %k: tensor<?x8x64xbf16>, %v: tensor<?x8x32xbf16>) -> tensor<?x32x32xbf16> {
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x32xbf16> -> tensor<?x32x32xbf16>
  return %o : tensor<?x32x32xbf16>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Two chains over one read: both fuse, and the read goes with the second.
// CHECK-LABEL: @two_chains
// CHECK-NOT: attn.read_kv
// CHECK-COUNT-2: attn.attention
// CHECK-NOT: attn.read_kv
func.func @two_chains(%q: tensor<?x32x64xbf16>, %r: tensor<?x8x64xbf16>, %kv: !kv) -> (tensor<?x32x64xbf16>, tensor<?x8x64xbf16>) {
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  %s1 = attn.scores %r, %k scale 0.125 : tensor<?x8x64xbf16>, tensor<?x8x64xbf16> -> tensor<8x?x?xf32>
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %p1, %lse1 = attn.softmax %s1 : tensor<8x?x?xf32> -> tensor<8x?x?xf32>, tensor<?x8xf32>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  %o1 = attn.weighted_sum %p1, %v : tensor<8x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x8x64xbf16>
  return %o, %o1 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// A write behind the read and before the softmax may change what is read later: not fused. Behind the
// softmax it does no harm, since the fused op stands where the softmax stood.
// CHECK-LABEL: @write_after
// CHECK: attn.attention
// CHECK-NEXT: attn.append_kv
func.func @write_after(%q: tensor<?x32x64xbf16>, %new: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x32x64xbf16> {
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  attn.append_kv %new, %new, %kv : tensor<?x8x64xbf16>, tensor<?x8x64xbf16>, !kv
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x64xbf16>
  return %o : tensor<?x32x64xbf16>
}
