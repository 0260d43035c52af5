// RUN: attncc-opt %s --attn-split-kv --verify-diagnostics --split-input-file

// expected-error @+1 {{a decode function has no 'attn.attention'; run --attn-fuse-attention first}}
func.func @empty() attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
func.func @two(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x32xbf16> attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  %o, %lse = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x8x64xbf16>, !kv -> tensor<?x8x32xbf16>, tensor<?x8xf32>
  // expected-error @+1 {{a decode function has one 'attn.attention', this is the second}}
  %o1, %lse1 = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x8x64xbf16>, !kv -> tensor<?x8x32xbf16>, tensor<?x8xf32>
  return %o1 : tensor<?x8x32xbf16>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
func.func @uses_the_result(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8xf32> attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  %o, %lse = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x8x64xbf16>, !kv -> tensor<?x8x32xbf16>, tensor<?x8xf32>
  // expected-error @+1 {{a decode function that is split returns the results of its 'attn.attention' and nothing else}}
  return %lse : tensor<?x8xf32>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
func.func @dynamic_heads(%q: tensor<?x?x64xbf16>, %kv: !kv) -> tensor<?x?x32xbf16> attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  // expected-error @+1 {{splitting needs a static number of query heads}}
  %o, %lse = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x?x64xbf16>, !kv -> tensor<?x?x32xbf16>, tensor<?x?xf32>
  return %o : tensor<?x?x32xbf16>
}
