// RUN: attncc-opt %s --verify-diagnostics --split-input-file
// Labels as in dialects/attn/AttnOps.td: the ops of the unfused chain.

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// read_kv (C1)
func.func @c1(%kv: !kv) {
  // expected-error @+1 {{value dims 64 must equal the cache's dims 32}}
  %k, %v = attn.read_kv %kv : !kv -> tensor<?x8x64xbf16>, tensor<?x8x64xbf16>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16>
// read_kv (C2)
func.func @c2(%kv: !kv) {
  // expected-error @+1 {{value rows 6 must equal key rows 5}}
  %k, %v = attn.read_kv %kv : !kv -> tensor<5x8x64xbf16>, tensor<6x8x32xbf16>
  return
}

// -----
// scores (C1)
func.func @c1(%q: tensor<?x32x64xbf16>, %k: tensor<?x8x128xbf16>) {
  // expected-error @+1 {{query dims 64 must equal key dims 128}}
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x128xbf16> -> tensor<32x?x?xf32>
  return
}

// -----
// scores (C1)
func.func @c1(%q: tensor<?x32x64xf16>, %k: tensor<?x8x64xbf16>) {
  // expected-error @+1 {{query elements are 'f16', key elements 'bf16'}}
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  return
}

// -----
// scores (C2)
func.func @c2(%q: tensor<?x30x64xbf16>, %k: tensor<?x8x64xbf16>) {
  // expected-error @+1 {{query heads 30 must be a multiple of the kv heads 8}}
  %s = attn.scores %q, %k scale 0.125 : tensor<?x30x64xbf16>, tensor<?x8x64xbf16> -> tensor<30x?x?xf32>
  return
}

// -----
// scores (C3)
func.func @c3(%q: tensor<?x32x64xbf16>, %k: tensor<?x8x64xbf16>) {
  // expected-error @+1 {{result heads 8 must equal query heads 32}}
  %s = attn.scores %q, %k scale 0.125 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<8x?x?xf32>
  return
}

// -----
// scores (C3)
func.func @c3(%q: tensor<4x32x64xbf16>, %k: tensor<9x8x64xbf16>) {
  // expected-error @+1 {{result keys 4 must equal key rows 9}}
  %s = attn.scores %q, %k scale 0.125 : tensor<4x32x64xbf16>, tensor<9x8x64xbf16> -> tensor<32x4x4xf32>
  return
}

// -----
// scores (C4)
func.func @c4(%q: tensor<?x32x64xbf16>, %k: tensor<?x8x64xbf16>) {
  // expected-error @+1 {{scale must be positive and finite, got 0.0}}
  %s = attn.scores %q, %k scale 0.0 : tensor<?x32x64xbf16>, tensor<?x8x64xbf16> -> tensor<32x?x?xf32>
  return
}

// -----
// softcap (C1)
func.func @c1(%s: tensor<32x?x?xf32>) {
  // expected-error @+1 {{cap must be positive and finite, got -50.0}}
  %t = attn.softcap %s cap -50.0 : tensor<32x?x?xf32>
  return
}

// -----
// bias (C1)
func.func @c1(%s: tensor<32x?x?xf32>, %b: tensor<32x1x1xf32>) {
  // expected-error @+1 {{an alibi bias has rank 1, got 3}}
  %t = attn.bias %s alibi %b : tensor<32x?x?xf32>, tensor<32x1x1xf32>
  return
}

// -----
// bias (C1)
func.func @c1(%s: tensor<32x?x?xf32>, %b: tensor<8xf32>) {
  // expected-error @+1 {{number of slopes 8 must equal the number of heads 32}}
  %t = attn.bias %s alibi %b : tensor<32x?x?xf32>, tensor<8xf32>
  return
}

// -----
// bias (C2)
func.func @c2(%s: tensor<32x?x?xf32>, %b: tensor<32xf32>) {
  // expected-error @+1 {{a given bias has rank 3, got 1}}
  %t = attn.bias %s given %b : tensor<32x?x?xf32>, tensor<32xf32>
  return
}

// -----
// bias (C2)
func.func @c2(%s: tensor<32x4x?xf32>, %b: tensor<1x5x?xf32>) {
  // expected-error @+1 {{bias extent 1 is 5, the scores' is 4}}
  %t = attn.bias %s given %b : tensor<32x4x?xf32>, tensor<1x5x?xf32>
  return
}

// -----
// mask (C1)
func.func @c1(%s: tensor<32x5x4xf32>) {
  // expected-error @+1 {{has 4 keys for 5 rows, whose last position is that of the last key}}
  %t = attn.mask %s, <causal> : tensor<32x5x4xf32>
  return
}

// -----
// softmax (C1)
func.func @c1(%s: tensor<32x?x?xf32>) {
  // expected-error @+1 {{probabilities are 'tensor<16x?x?xf32>', the scores are 'tensor<32x?x?xf32>'}}
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<16x?x?xf32>, tensor<?x32xf32>
  return
}

// -----
// softmax (C2)
func.func @c2(%s: tensor<32x?x?xf32>) {
  // expected-error @+1 {{log-sum-exp heads 16 must equal the scores' heads 32}}
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x16xf32>
  return
}

// -----
// softmax (C3)
func.func @c3(%s: tensor<32x?x?xf32>, %x: tensor<8xf32>) {
  // expected-error @+1 {{number of sinks 8 must equal the number of heads 32}}
  %p, %lse = attn.softmax %s sinks %x : tensor<32x?x?xf32>, tensor<8xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  return
}

// -----
// weighted_sum (C1)
func.func @c1(%p: tensor<30x?x?xf32>, %v: tensor<?x8x64xbf16>) {
  // expected-error @+1 {{query heads 30 must be a multiple of the kv heads 8}}
  %o = attn.weighted_sum %p, %v : tensor<30x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x30x64xbf16>
  return
}

// -----
// weighted_sum (C2)
func.func @c2(%p: tensor<32x?x7xf32>, %v: tensor<8x8x64xbf16>) {
  // expected-error @+1 {{probability columns 7 must equal value rows 8}}
  %o = attn.weighted_sum %p, %v : tensor<32x?x7xf32>, tensor<8x8x64xbf16> -> tensor<?x32x64xbf16>
  return
}

// -----
// weighted_sum (C3)
func.func @c3(%p: tensor<32x?x?xf32>, %v: tensor<?x8x64xbf16>) {
  // expected-error @+1 {{result dims 32 must equal value dims 64}}
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x32x32xbf16>
  return
}
