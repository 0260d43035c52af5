// RUN: attncc-opt %s --attn-split-kv | FileCheck %s
// RUN: attncc-opt %s --attn-split-kv=max-position=1000000 | FileCheck %s --check-prefix=LONG
// RUN: attncc-opt %s --attn-split-kv="split=#attn.split<length=512>" | FileCheck %s --check-prefix=GIVEN

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 32 x bf16, order = NHD>

// The default rule; a step more where the model's longest sequence goes beyond it, of at most 64 splits.
// CHECK-LABEL: func.func @decode(
// CHECK-SAME: %[[Q:.*]]: tensor<?x32x64xbf16>, %[[KV:.*]]: !attn.paged_kv<{{.*}}>) -> !attn.partials<heads = 32, group = 4, dim = 32> attributes {attn.phase = #attn.phase<decode, max_query = 4>}
// CHECK-NEXT: %[[P:.*]] = attn.attention %[[Q]], %[[KV]] scores(<scale = 0.125>) mask(<causal>) split(<steps = {{\[\[}}2048, 256], [8192, 1024], [131072, 2048]]>)
// CHECK-NEXT: return %[[P]]
// CHECK-LABEL: func.func @decode_merge(
// CHECK-SAME: %[[P:.*]]: !attn.partials<heads = 32, group = 4, dim = 32>) -> (tensor<?x32x32xbf16>, tensor<?x32xf32>) attributes {attn.phase = #attn.phase<merge, max_query = 4>}
// CHECK-NEXT: %[[O:.*]], %[[L:.*]] = attn.merge %[[P]] split(<steps = {{\[\[}}2048, 256], [8192, 1024], [131072, 2048]]>)
// CHECK-NEXT: return %[[O]], %[[L]]

// LONG: split(<steps = {{\[\[}}2048, 256], [8192, 1024], [131072, 2048], [1000000, 15872]]>)
// GIVEN: attn.attention {{.*}} split(<length = 512>)
// GIVEN: attn.merge {{.*}} split(<length = 512>)
func.func @decode(%q: tensor<?x32x64xbf16>, %kv: !kv) -> (tensor<?x32x32xbf16>, tensor<?x32xf32>) attributes {attn.phase = #attn.phase<decode, max_query = 4>} {
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) : tensor<?x32x64xbf16>, !kv -> tensor<?x32x32xbf16>, tensor<?x32xf32>
  return %o, %lse : tensor<?x32x32xbf16>, tensor<?x32xf32>
}

// The log-sum-exp may stay behind: the merge yields it all the same.
// CHECK-LABEL: func.func @output_only(
// CHECK-SAME: -> !attn.partials<heads = 8, group = 1, dim = 32>
// CHECK-LABEL: func.func @output_only_merge(
func.func @output_only(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x32xbf16> attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) : tensor<?x8x64xbf16>, !kv -> tensor<?x8x32xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x32xbf16>
}

// Other phases are left alone, and so is a decode that is split.
// CHECK-LABEL: func.func @prefill(
// CHECK: attn.attention
// CHECK-NOT: split
// CHECK: return
func.func @prefill(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x32xbf16> attributes {attn.phase = #attn.phase<prefill>} {
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) : tensor<?x8x64xbf16>, !kv -> tensor<?x8x32xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x32xbf16>
}

// CHECK-LABEL: func.func @split_already(
// CHECK: split(<length = 64>)
// CHECK-NOT: @split_already_merge
func.func @split_already(%q: tensor<?x8x64xbf16>, %kv: !kv) -> !attn.partials<heads = 8, group = 1, dim = 32> attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  %p = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) split(<length = 64>) : tensor<?x8x64xbf16>, !kv -> !attn.partials<heads = 8, group = 1, dim = 32>
  return %p : !attn.partials<heads = 8, group = 1, dim = 32>
}
