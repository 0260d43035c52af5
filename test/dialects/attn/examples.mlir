// RUN: attncc-opt %s | attncc-opt | FileCheck %s
// RUN: %python %S/../examples-in-docs.py %s %source/dialects/attn/AttnOps.td
// The examples of dialects/attn/AttnOps.td, word for word, survive printing and parsing.

// CHECK-LABEL: @before_the_cache
func.func @before_the_cache(%x: tensor<?x8x128xbf16>, %w: tensor<128xbf16>) -> tensor<?x8x128xf32> {
  // CHECK: attn.rms_norm %{{.*}}, %{{.*}} epsilon {{.*}} : tensor<?x8x128xbf16>, tensor<128xbf16> -> tensor<?x8x128xf32>
  %y = attn.rms_norm %x, %w epsilon 1.0e-06 : tensor<?x8x128xbf16>, tensor<128xbf16> -> tensor<?x8x128xf32>
  return %y : tensor<?x8x128xf32>
}

// CHECK-LABEL: @rotate
func.func @rotate(%x: tensor<?x8x4xf32>, %kv: !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>) -> tensor<?x8x4xbf16> {
  // CHECK: attn.rope %{{.*}}, %{{.*}}, <pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>
  %y = attn.rope %x, %kv, <pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>
      : tensor<?x8x4xf32>, !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD> -> tensor<?x8x4xbf16>
  return %y : tensor<?x8x4xbf16>
}

// With a table of angles that the caller may leave null.
// CHECK-LABEL: @rotate_by_table
func.func @rotate_by_table(%x: tensor<?x8x4xf32>, %kv: !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>,
                           %table: !attn.cos_sin<dim = 4, type = bf16>) -> tensor<?x8x4xbf16> {
  // CHECK: attn.rope %{{.*}}, %{{.*}} cos_sin %{{.*}} : !attn.cos_sin<dim = 4, type = bf16>, <pairing = half
  %y = attn.rope %x, %kv cos_sin %table : !attn.cos_sin<dim = 4, type = bf16>, <pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>
      : tensor<?x8x4xf32>, !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD> -> tensor<?x8x4xbf16>
  return %y : tensor<?x8x4xbf16>
}

// With positions and slots that the caller may leave null.
// CHECK-LABEL: @rotate_and_append_at
func.func @rotate_and_append_at(%x: tensor<?x8x4xf32>, %v: tensor<?x8x4xbf16>, %kv: !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>,
                                %positions: tensor<?xi64>, %slots: tensor<?xi64>) {
  // CHECK: attn.rope %{{.*}}, %{{.*}} positions %{{.*}}, <pairing = half
  %k = attn.rope %x, %kv positions %positions, <pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>
      : tensor<?x8x4xf32>, !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>, tensor<?xi64> -> tensor<?x8x4xbf16>
  // CHECK: attn.append_kv %{{.*}}, %{{.*}}, %{{.*}} slots %{{.*}} :
  attn.append_kv %k, %v, %kv slots %slots : tensor<?x8x4xbf16>, tensor<?x8x4xbf16>,
      !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD> : tensor<?xi64>
  return
}

// CHECK-LABEL: @append
func.func @append(%k: tensor<?x8x4xbf16>, %v: tensor<?x8x4xbf16>, %kv: !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>) {
  // CHECK: attn.append_kv %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x8x4xbf16>, tensor<?x8x4xbf16>, !attn.paged_kv
  attn.append_kv %k, %v, %kv : tensor<?x8x4xbf16>, tensor<?x8x4xbf16>,
      !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>
  return
}

// Values that are a part of the keys are not given.
// CHECK-LABEL: @append_latent
func.func @append_latent(%k: tensor<?x1x576xbf16>, %kv: !attn.paged_kv<page_size = 64, kv_heads = 1, key = 576 x bf16, value = key[0:512]>) {
  // CHECK: attn.append_kv %{{.*}}, %{{.*}} : tensor<?x1x576xbf16>, !attn.paged_kv
  attn.append_kv %k, %kv : tensor<?x1x576xbf16>, !attn.paged_kv<page_size = 64, kv_heads = 1, key = 576 x bf16, value = key[0:512]>
  return
}

// CHECK-LABEL: @dense
func.func @dense(%k: tensor<?x8x128xbf16>, %v: tensor<?x8x128xbf16>) -> !attn.contiguous_kv<kv_heads = 8, key = 128 x bf16, value = 128 x bf16> {
  // CHECK: attn.dense_kv %{{.*}}, %{{.*}} : tensor<?x8x128xbf16>, tensor<?x8x128xbf16> -> !attn.contiguous_kv<
  %kv = attn.dense_kv %k, %v : tensor<?x8x128xbf16>, tensor<?x8x128xbf16> -> !attn.contiguous_kv<kv_heads = 8, key = 128 x bf16, value = 128 x bf16>
  return %kv : !attn.contiguous_kv<kv_heads = 8, key = 128 x bf16, value = 128 x bf16>
}

// CHECK-LABEL: @read
func.func @read(%kv: !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>) -> (tensor<?x8x4xbf16>, tensor<?x8x4xbf16>) {
  // CHECK: attn.read_kv %{{.*}} : !attn.paged_kv<{{.*}}> -> tensor<?x8x4xbf16>, tensor<?x8x4xbf16>
  %k, %v = attn.read_kv %kv : !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>
      -> tensor<?x8x4xbf16>, tensor<?x8x4xbf16>
  return %k, %v : tensor<?x8x4xbf16>, tensor<?x8x4xbf16>
}

// CHECK-LABEL: @scores
func.func @scores(%q: tensor<?x32x128xbf16>, %k: tensor<?x8x128xbf16>) -> tensor<32x?x?xf32> {
  // CHECK: attn.scores %{{.*}}, %{{.*}} scale {{.*}} : tensor<?x32x128xbf16>, tensor<?x8x128xbf16> -> tensor<32x?x?xf32>
  %s = attn.scores %q, %k scale 0.0883883 : tensor<?x32x128xbf16>, tensor<?x8x128xbf16> -> tensor<32x?x?xf32>
  return %s : tensor<32x?x?xf32>
}

// CHECK-LABEL: @softcap
func.func @softcap(%s: tensor<32x?x?xf32>) -> tensor<32x?x?xf32> {
  // CHECK: attn.softcap %{{.*}} cap 5.000000e+01 : tensor<32x?x?xf32>
  %t = attn.softcap %s cap 50.0 : tensor<32x?x?xf32>
  return %t : tensor<32x?x?xf32>
}

// CHECK-LABEL: @biases
func.func @biases(%s: tensor<32x?x?xf32>, %slopes: tensor<32xf32>, %table: tensor<1x?x?xf32>) -> tensor<32x?x?xf32> {
  // CHECK: attn.bias %{{.*}} alibi %{{.*}} : tensor<32x?x?xf32>, tensor<32xf32>
  %t = attn.bias %s alibi %slopes : tensor<32x?x?xf32>, tensor<32xf32>
  // CHECK: attn.bias %{{.*}} given %{{.*}} : tensor<32x?x?xf32>, tensor<1x?x?xf32>
  %u = attn.bias %t given %table : tensor<32x?x?xf32>, tensor<1x?x?xf32>
  return %u : tensor<32x?x?xf32>
}

// CHECK-LABEL: @mask
func.func @mask(%s: tensor<32x?x?xf32>) -> tensor<32x?x?xf32> {
  // CHECK: attn.mask %{{.*}}, <causal, window = 4096> : tensor<32x?x?xf32>
  %t = attn.mask %s, <causal, window = 4096> : tensor<32x?x?xf32>
  return %t : tensor<32x?x?xf32>
}

// CHECK-LABEL: @softmax
func.func @softmax(%s: tensor<32x?x?xf32>, %sinks: tensor<32xf32>) -> (tensor<32x?x?xf32>, tensor<?x32xf32>) {
  // CHECK: attn.softmax %{{.*}} : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %p, %lse = attn.softmax %s : tensor<32x?x?xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  // CHECK: attn.softmax %{{.*}} sinks %{{.*}} : tensor<32x?x?xf32>, tensor<32xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  %p1, %lse1 = attn.softmax %p sinks %sinks : tensor<32x?x?xf32>, tensor<32xf32> -> tensor<32x?x?xf32>, tensor<?x32xf32>
  return %p1, %lse1 : tensor<32x?x?xf32>, tensor<?x32xf32>
}

// CHECK-LABEL: @weighted_sum
func.func @weighted_sum(%p: tensor<32x?x?xf32>, %v: tensor<?x8x128xbf16>) -> tensor<?x32x128xbf16> {
  // CHECK: attn.weighted_sum %{{.*}}, %{{.*}} : tensor<32x?x?xf32>, tensor<?x8x128xbf16> -> tensor<?x32x128xbf16>
  %o = attn.weighted_sum %p, %v : tensor<32x?x?xf32>, tensor<?x8x128xbf16> -> tensor<?x32x128xbf16>
  return %o : tensor<?x32x128xbf16>
}

// CHECK-LABEL: @attention
func.func @attention(%q: tensor<?x32x4xbf16>, %kv: !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>) -> (tensor<?x32x4xbf16>, tensor<?x32xf32>) {
  // CHECK: attn.attention %{{.*}}, %{{.*}} scores(<scale = 0.0883883>) mask(<causal>) : tensor<?x32x4xbf16>, !attn.paged_kv<{{.*}}> -> tensor<?x32x4xbf16>, tensor<?x32xf32>
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.0883883>) mask(<causal>)
      : tensor<?x32x4xbf16>, !attn.paged_kv<page_size = 16, kv_heads = 8, key = 4 x bf16, value = 4 x bf16, order = NHD>
      -> tensor<?x32x4xbf16>, tensor<?x32xf32>
  return %o, %lse : tensor<?x32x4xbf16>, tensor<?x32xf32>
}

// With every clause.
// CHECK-LABEL: @attention_with_all
func.func @attention_with_all(%q: tensor<?x32x4xbf16>, %kv: !attn.contiguous_kv<kv_heads = 8, key = 4 x bf16, value = 8 x bf16>, %slopes: tensor<32xf32>, %sinks: tensor<32xf32>)
    -> !attn.partials<heads = 32, group = 4, dim = 8> {
  // CHECK: attn.attention %{{.*}}, %{{.*}} bias {{ *}}alibi %{{.*}} : tensor<32xf32> sinks %{{.*}} : tensor<32xf32> scores(<scale = 0.5, softcap = 50.0>) mask(<none>) split(<length = 2048>) schedule(<unit = 1, {{.*}}split = #attn.split<length = 2048>, {{.*}}>)
  // CHECK-SAME: : tensor<?x32x4xbf16>, !attn.contiguous_kv<{{.*}}> -> !attn.partials<heads = 32, group = 4, dim = 8>
  %parts = attn.attention %q, %kv bias alibi %slopes : tensor<32xf32> sinks %sinks : tensor<32xf32> scores(<scale = 0.5, softcap = 50.0>) mask(<none>) split(<length = 2048>)
      schedule(<split = #attn.split<length = 2048>>)
      : tensor<?x32x4xbf16>, !attn.contiguous_kv<kv_heads = 8, key = 4 x bf16, value = 8 x bf16> -> !attn.partials<heads = 32, group = 4, dim = 8>
  return %parts : !attn.partials<heads = 32, group = 4, dim = 8>
}

// CHECK-LABEL: @merge
func.func @merge(%parts: !attn.partials<heads = 32, group = 4, dim = 128>) -> (tensor<?x32x128xbf16>, tensor<?x32xf32>) {
  // CHECK: attn.merge %{{.*}} : !attn.partials<heads = 32, group = 4, dim = 128> -> tensor<?x32x128xbf16>, tensor<?x32xf32>
  %o, %lse = attn.merge %parts : !attn.partials<heads = 32, group = 4, dim = 128> -> tensor<?x32x128xbf16>, tensor<?x32xf32>
  return %o, %lse : tensor<?x32x128xbf16>, tensor<?x32xf32>
}

// A tree of merges.
// CHECK-LABEL: @merge_tree
func.func @merge_tree(%a: !attn.partials<heads = 32, group = 4, dim = 128>, %b: !attn.partials<heads = 32, group = 4, dim = 128>) -> (tensor<?x32x128xf16>, tensor<?x32xf32>) {
  // CHECK: attn.merge %{{.*}}, %{{.*}} : !attn.partials<{{.*}}>, !attn.partials<{{.*}}> -> !attn.partials<heads = 32, group = 4, dim = 128>
  %ab = attn.merge %a, %b : !attn.partials<heads = 32, group = 4, dim = 128>, !attn.partials<heads = 32, group = 4, dim = 128> -> !attn.partials<heads = 32, group = 4, dim = 128>
  // CHECK: attn.merge %{{.*}} split(<length = 64>) :
  %o, %lse = attn.merge %ab split(<length = 64>) : !attn.partials<heads = 32, group = 4, dim = 128> -> tensor<?x32x128xf16>, tensor<?x32xf32>
  return %o, %lse : tensor<?x32x128xf16>, tensor<?x32xf32>
}

// CHECK-LABEL: @merge_states
func.func @merge_states(%states: !attn.states<parts = 16, heads = 32, dim = 128, type = bf16>) -> (tensor<?x32x128xbf16>, tensor<?x32xf32>) {
  // CHECK: attn.merge_states %{{.*}} : !attn.states<parts = 16, heads = 32, dim = 128, type = bf16> -> tensor<?x32x128xbf16>, tensor<?x32xf32>
  %o, %lse = attn.merge_states %states : !attn.states<parts = 16, heads = 32, dim = 128, type = bf16>
      -> tensor<?x32x128xbf16>, tensor<?x32xf32>
  return %o, %lse : tensor<?x32x128xbf16>, tensor<?x32xf32>
}
