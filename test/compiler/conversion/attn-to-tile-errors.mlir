// RUN: attncc-opt %s --convert-attn-to-tile --verify-diagnostics --split-input-file

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// The schedule decides the tile's shape, so it comes first.
func.func @unscheduled(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x64xbf16>
    attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  // expected-error @below {{no schedule: run --attn-schedule first}}
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>)
      : tensor<?x8x64xbf16>, !kv -> tensor<?x8x64xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x64xbf16>
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// A softcap is refused, never dropped.
func.func @softcap(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x64xbf16>
    attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  // expected-error @below {{a logit softcap is not compiled yet}}
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125, softcap = 50.0>) mask(<causal>) schedule(<>)
      : tensor<?x8x64xbf16>, !kv -> tensor<?x8x64xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x64xbf16>
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// So is a window.
func.func @window(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x64xbf16>
    attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  // expected-error @below {{the mask #attn.mask<causal, window = 128> is not compiled yet, only none and causal}}
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal, window = 128>) schedule(<>)
      : tensor<?x8x64xbf16>, !kv -> tensor<?x8x64xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x64xbf16>
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// And sinks.
func.func @sinks(%q: tensor<?x8x64xbf16>, %kv: !kv, %s: tensor<8xf32>) -> tensor<?x8x64xbf16>
    attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  // expected-error @below {{attention sinks are not compiled yet}}
  %o, %lse = attn.attention %q, %kv sinks %s : tensor<8xf32> scores(<scale = 0.125>) mask(<causal>) schedule(<>)
      : tensor<?x8x64xbf16>, !kv -> tensor<?x8x64xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x64xbf16>
}

// -----

// An unfused chain names the op at which it stops.
func.func @unfused(%s: tensor<8x?x?xf32>, %v: tensor<?x8x64xbf16>) -> tensor<?x8x64xbf16>
    attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  // expected-error @below {{expected one 'attn.attention' in a function of this phase, found 'attn.mask'; run --attn-fuse-attention first}}
  %t = attn.mask %s, <causal> : tensor<8x?x?xf32>
  %p, %lse = attn.softmax %t : tensor<8x?x?xf32> -> tensor<8x?x?xf32>, tensor<?x8xf32>
  %o = attn.weighted_sum %p, %v : tensor<8x?x?xf32>, tensor<?x8x64xbf16> -> tensor<?x8x64xbf16>
  return %o : tensor<?x8x64xbf16>
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Units divide what their phase divides.
func.func @prefill(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x64xbf16>
    attributes {attn.phase = #attn.phase<prefill, max_query = 8>} {
  // expected-error @below {{a prefill schedule divides the rows among its units, got keys}}
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) schedule(<>)
      : tensor<?x8x64xbf16>, !kv -> tensor<?x8x64xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x64xbf16>
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// What the mask hides from a query token may be more than a tile of keys.
func.func @decode(%q: tensor<?x8x64xbf16>, %kv: !kv) -> !attn.partials<heads = 8, group = 1, dim = 64>
    attributes {attn.phase = #attn.phase<decode, max_query = 17>} {
  // expected-error @below {{merge = item takes at most as many query tokens as a tile has keys, got 17 and 16}}
  %p = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) split(<length = 128>) schedule(<split = #attn.split<length = 128>, merge = item>)
      : tensor<?x8x64xbf16>, !kv -> !attn.partials<heads = 8, group = 1, dim = 64>
  return %p : !attn.partials<heads = 8, group = 1, dim = 64>
}
