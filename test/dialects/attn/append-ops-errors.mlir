// RUN: attncc-opt %s --verify-diagnostics --split-input-file
// Labels as in dialects/attn/AttnOps.td: rms_norm, rope, append_kv, dense_kv.

// rms_norm (C1)
func.func @c1(%x: tensor<?x8x64xbf16>, %w: tensor<64xbf16>) {
  // expected-error @+1 {{result extent 1 is 4, the input's is 8}}
  %y = attn.rms_norm %x, %w epsilon 1.0e-6 : tensor<?x8x64xbf16>, tensor<64xbf16> -> tensor<?x4x64xf32>
  return
}

// -----
// rms_norm (C2)
func.func @c2(%x: tensor<?x8x64xbf16>, %w: tensor<32xbf16>) {
  // expected-error @+1 {{weight dims 32 must equal the head's dims 64}}
  %y = attn.rms_norm %x, %w epsilon 1.0e-6 : tensor<?x8x64xbf16>, tensor<32xbf16> -> tensor<?x8x64xf32>
  return
}

// -----
// rms_norm (C3)
func.func @c3(%x: tensor<?x8x64xbf16>, %w: tensor<64xbf16>) {
  // expected-error @+1 {{epsilon must be positive and finite, got -1.0}}
  %y = attn.rms_norm %x, %w epsilon -1.0 : tensor<?x8x64xbf16>, tensor<64xbf16> -> tensor<?x8x64xf32>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// rope (C1)
func.func @c1(%x: tensor<?x8x4xf32>, %kv: !kv) {
  // expected-error @+1 {{result extent 2 is 8, the input's is 4}}
  %y = attn.rope %x, %kv, <dim = 2, inverse_frequencies = [1.0]> : tensor<?x8x4xf32>, !kv -> tensor<?x8x8xbf16>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// rope (C2)
func.func @c2(%x: tensor<?x8x4xf32>, %kv: !kv) {
  // expected-error @+1 {{rotates 6 dims of a head of 4}}
  %y = attn.rope %x, %kv, <dim = 6, inverse_frequencies = [1.0, 1.0, 1.0]> : tensor<?x8x4xf32>, !kv -> tensor<?x8x4xbf16>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// rope (C3)
func.func @c3(%x: tensor<3x8x4xf32>, %kv: !kv, %positions: tensor<4xi64>) {
  // expected-error @+1 {{number of positions 4 must equal the number of rows 3}}
  %y = attn.rope %x, %kv positions %positions, <dim = 2, inverse_frequencies = [1.0]> : tensor<3x8x4xf32>, !kv, tensor<4xi64> -> tensor<3x8x4xbf16>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// append_kv (C1)
func.func @c1(%k: tensor<?x4x4xbf16>, %v: tensor<?x8x4xbf16>, %kv: !kv) {
  // expected-error @+1 {{key heads 4 must equal the cache's heads 8}}
  attn.append_kv %k, %v, %kv : tensor<?x4x4xbf16>, tensor<?x8x4xbf16>, !kv
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// append_kv (C1)
func.func @c1(%k: tensor<?x8x4xbf16>, %v: tensor<?x8x8xbf16>, %kv: !kv) {
  // expected-error @+1 {{value dims 8 must equal the cache's dims 4}}
  attn.append_kv %k, %v, %kv : tensor<?x8x4xbf16>, tensor<?x8x8xbf16>, !kv
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// append_kv (C1)
func.func @c1(%k: tensor<2x8x4xbf16>, %v: tensor<3x8x4xbf16>, %kv: !kv) {
  // expected-error @+1 {{value rows 3 must equal key rows 2}}
  attn.append_kv %k, %v, %kv : tensor<2x8x4xbf16>, tensor<3x8x4xbf16>, !kv
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// append_kv (C2)
func.func @c2(%k: tensor<?x8x4xf16>, %v: tensor<?x8x4xbf16>, %kv: !kv) {
  // expected-error @+1 {{key elements are 'f16', the cache holds 'bf16'}}
  attn.append_kv %k, %v, %kv : tensor<?x8x4xf16>, tensor<?x8x4xbf16>, !kv
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// append_kv (C3)
func.func @c3(%k: tensor<?x8x4xbf16>, %kv: !kv) {
  // expected-error @+1 {{the value is missing}}
  attn.append_kv %k, %kv : tensor<?x8x4xbf16>, !kv
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = key[0:2]>
// append_kv (C3)
func.func @c3(%k: tensor<?x8x4xbf16>, %v: tensor<?x8x2xbf16>, %kv: !kv) {
  // expected-error @+1 {{the values are a part of the keys, but a value is given}}
  attn.append_kv %k, %v, %kv : tensor<?x8x4xbf16>, tensor<?x8x2xbf16>, !kv
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// append_kv (C4)
func.func @c4(%k: tensor<2x8x4xbf16>, %v: tensor<2x8x4xbf16>, %kv: !kv, %slots: tensor<3xi64>) {
  // expected-error @+1 {{number of slots 3 must equal the number of rows 2}}
  attn.append_kv %k, %v, %kv slots %slots : tensor<2x8x4xbf16>, tensor<2x8x4xbf16>, !kv : tensor<3xi64>
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
func.func @syntax(%k: tensor<2x8x4xbf16>, %kv: !kv) {
  // expected-error @+1 {{expected key, value and cache, or key and cache, got 1 operands}}
  attn.append_kv %kv : !kv
  return
}

// -----
!dense = !attn.contiguous_kv<kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// dense_kv (C1)
func.func @c1(%k: tensor<2x8x4xbf16>, %v: tensor<3x8x4xbf16>) {
  // expected-error @+1 {{value rows 3 must equal key rows 2}}
  %kv = attn.dense_kv %k, %v : tensor<2x8x4xbf16>, tensor<3x8x4xbf16> -> !dense
  return
}

// -----
!dense = !attn.contiguous_kv<kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// dense_kv (C1)
func.func @c1(%k: tensor<?x8x4xbf16>, %v: tensor<?x4x4xbf16>) {
  // expected-error @+1 {{value heads 4 must equal the result's heads 8}}
  %kv = attn.dense_kv %k, %v : tensor<?x8x4xbf16>, tensor<?x4x4xbf16> -> !dense
  return
}

// -----
!dense = !attn.contiguous_kv<kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// dense_kv (C1)
func.func @c1(%k: tensor<?x8x4xf32>, %v: tensor<?x8x4xbf16>) {
  // expected-error @+1 {{key elements are 'f32', the result's are 'bf16'}}
  %kv = attn.dense_kv %k, %v : tensor<?x8x4xf32>, tensor<?x8x4xbf16> -> !dense
  return
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16>
// rope (C4)
func.func @c4(%x: tensor<2x8x4xf32>, %kv: !kv, %table: !attn.cos_sin<dim = 2, type = bf16>) {
  // expected-error @+1 {{dim of the table 2 must equal the rotated dims 4}}
  %y = attn.rope %x, %kv cos_sin %table : !attn.cos_sin<dim = 2, type = bf16>,
      <pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]> : tensor<2x8x4xf32>, !kv -> tensor<2x8x4xbf16>
  return
}
