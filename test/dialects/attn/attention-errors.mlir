// RUN: attncc-opt %s --verify-diagnostics --split-input-file
// Labels as in dialects/attn/AttnOps.td: attention, merge.

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C1)
func.func @c1(%q: tensor<?x32x32xbf16>, %kv: !kv) {
  // expected-error @+1 {{query dims 32 must equal key dims 64}}
  %o, %l = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x32x32xbf16>, !kv -> tensor<?x32x32xbf16>, tensor<?x32xf32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C1)
func.func @c1(%q: tensor<?x32x64xf16>, %kv: !kv) {
  // expected-error @+1 {{query elements are 'f16', key elements 'bf16'}}
  %o, %l = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x32x64xf16>, !kv -> tensor<?x32x32xf16>, tensor<?x32xf32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C2)
func.func @c2(%q: tensor<?x12x64xbf16>, %kv: !kv) {
  // expected-error @+1 {{query heads 12 must be a multiple of the kv heads 8}}
  %o, %l = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x12x64xbf16>, !kv -> tensor<?x12x32xbf16>, tensor<?x12xf32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C3)
func.func @c3(%q: tensor<?x32x64xbf16>, %kv: !kv) {
  // expected-error @+1 {{output dims 64 must equal value dims 32}}
  %o, %l = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x32x64xbf16>, !kv -> tensor<?x32x64xbf16>, tensor<?x32xf32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C3)
func.func @c3(%q: tensor<?x32x64xbf16>, %kv: !kv) {
  // expected-error @+1 {{must yield a log-sum-exp beside its output}}
  %o = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x32x64xbf16>, !kv -> tensor<?x32x32xbf16>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C3)
func.func @c3(%q: tensor<?x32x64xbf16>, %kv: !kv) {
  // expected-error @+1 {{must yield a tensor without split, got '!attn.partials<heads = 32, group = 4, dim = 32>'}}
  %o = attn.attention %q, %kv scores(<>) mask(<causal>) : tensor<?x32x64xbf16>, !kv -> !attn.partials<heads = 32, group = 4, dim = 32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C4)
func.func @c4(%q: tensor<?x32x64xbf16>, %kv: !kv) {
  // expected-error @+1 {{with split must yield partials, got 'tensor<?x32x32xbf16>'}}
  %o = attn.attention %q, %kv scores(<>) mask(<causal>) split(<length = 64>) : tensor<?x32x64xbf16>, !kv -> tensor<?x32x32xbf16>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C4)
func.func @c4(%q: tensor<?x32x64xbf16>, %kv: !kv) {
  // expected-error @+1 {{with split has its log-sum-exp in the partials}}
  %o, %l = attn.attention %q, %kv scores(<>) mask(<causal>) split(<length = 64>) : tensor<?x32x64xbf16>, !kv -> !attn.partials<heads = 32, group = 4, dim = 32>, tensor<?x32xf32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C4)
func.func @c4(%q: tensor<?x32x64xbf16>, %kv: !kv) {
  // expected-error @+1 {{partial group 8 must equal query heads per kv head 4}}
  %o = attn.attention %q, %kv scores(<>) mask(<causal>) split(<length = 64>) : tensor<?x32x64xbf16>, !kv -> !attn.partials<heads = 32, group = 8, dim = 32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C5)
func.func @c5(%q: tensor<?x32x64xbf16>, %kv: !kv, %x: tensor<8xf32>) {
  // expected-error @+1 {{number of sinks 8 must equal query heads 32}}
  %o, %l = attn.attention %q, %kv sinks %x : tensor<8xf32> scores(<>) mask(<causal>) : tensor<?x32x64xbf16>, !kv -> tensor<?x32x32xbf16>, tensor<?x32xf32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C5)
func.func @c5(%q: tensor<?x32x64xbf16>, %kv: !kv, %x: tensor<8xf32>) {
  // expected-error @+1 {{number of slopes 8 must equal query heads 32}}
  %o, %l = attn.attention %q, %kv bias alibi %x : tensor<8xf32> scores(<>) mask(<causal>) : tensor<?x32x64xbf16>, !kv -> tensor<?x32x32xbf16>, tensor<?x32xf32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// attention (C6)
func.func @c6(%q: tensor<?x32x64xbf16>, %kv: !kv) {
  // expected-error @+1 {{schedule has split none, the op #attn.split<length = 64>}}
  %o = attn.attention %q, %kv scores(<>) mask(<causal>) split(<length = 64>) schedule(<>) : tensor<?x32x64xbf16>, !kv -> !attn.partials<heads = 32, group = 4, dim = 32>
  return
}

// -----
// merge (C1)
func.func @c1(%a: !attn.partials<heads = 32, group = 4, dim = 32>, %b: !attn.partials<heads = 16, group = 4, dim = 32>) {
  // expected-error @+1 {{joins '!attn.partials<heads = 32, group = 4, dim = 32>' and '!attn.partials<heads = 16, group = 4, dim = 32>'}}
  %o, %l = attn.merge %a, %b : !attn.partials<heads = 32, group = 4, dim = 32>, !attn.partials<heads = 16, group = 4, dim = 32> -> tensor<?x32x32xbf16>, tensor<?x32xf32>
  return
}

// -----
// merge (C2)
func.func @c2(%a: !attn.partials<heads = 32, group = 4, dim = 32>) {
  // expected-error @+1 {{output dims 64 must equal value dims 32}}
  %o, %l = attn.merge %a : !attn.partials<heads = 32, group = 4, dim = 32> -> tensor<?x32x64xbf16>, tensor<?x32xf32>
  return
}

// -----
// merge (C2)
func.func @c2(%a: !attn.partials<heads = 32, group = 4, dim = 32>) {
  // expected-error @+1 {{joins '!attn.partials<heads = 32, group = 4, dim = 32>' to '!attn.partials<heads = 32, group = 4, dim = 64>'}}
  %o = attn.merge %a : !attn.partials<heads = 32, group = 4, dim = 32> -> !attn.partials<heads = 32, group = 4, dim = 64>
  return
}

// -----
// merge (C2)
func.func @c2(%a: !attn.partials<heads = 32, group = 4, dim = 32>) {
  // expected-error @+1 {{to partials has its log-sum-exp in them}}
  %o, %l = attn.merge %a : !attn.partials<heads = 32, group = 4, dim = 32> -> !attn.partials<heads = 32, group = 4, dim = 32>, tensor<?x32xf32>
  return
}

// -----
!states = !attn.states<parts = 16, heads = 32, dim = 128, type = bf16>
// merge_states (C1)
func.func @c1(%states: !states) {
  // expected-error @+1 {{output dims 64 must equal value dims 128}}
  %o, %lse = attn.merge_states %states : !states -> tensor<?x32x64xbf16>, tensor<?x32xf32>
  return
}

// -----
!states = !attn.states<parts = 16, heads = 32, dim = 128, type = bf16>
// merge_states (C1)
func.func @c1(%states: !states) {
  // expected-error @+1 {{output elements are 'f16', the states' are 'bf16'}}
  %o, %lse = attn.merge_states %states : !states -> tensor<?x32x128xf16>, tensor<?x32xf32>
  return
}
