// RUN: attncc-opt %s --attn-schedule | FileCheck %s
// RUN: attncc-opt %s --attn-schedule=target=sm_90a | FileCheck %s --check-prefix=HOPPER
// RUN: attncc-opt %s --attn-schedule="target=sm_90a query-tokens=2048" | FileCheck %s --check-prefix=SHORT
// RUN: attncc-opt %s --attn-schedule="schedule=<units=2,rows=8,stages=2>" | FileCheck %s --check-prefix=GIVEN
// RUN: attncc-opt %s --attn-schedule="schedule=<units=8,rows=16,keys=32,divide=rows,orientation=direct,stages=2>" | FileCheck %s --check-prefix=ROWS

!kv64 = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>
!kv256 = !attn.paged_kv<page_size = 16, kv_heads = 4, key = 256 x bf16, value = 256 x bf16, order = NHD>

// 4 heads of a group fit 8 rows; the schedule takes the op's split.
// CHECK-LABEL: @one_token
// CHECK: attn.attention {{.*}} schedule(<unit = 1, units = 4, rows = 8, {{.*}} keys = 16, {{.*}} stages = 3, {{.*}} split = #attn.split<length = 2048>, merge = item,
// Tensor copies where the target has them: a box is a page's part of a tile, and small heads have more stages.
// HOPPER-LABEL: @one_token
// HOPPER: schedule(<unit = 1, units = 4, rows = 8, {{.*}} keys = 16, {{.*}} copy = tensor, box = 16, cache = evict_first, stages = 6, {{.*}} dependent_launch = wait_first, blocks_per_sm = 2>
// GIVEN-LABEL: @one_token
// GIVEN: schedule(<unit = 1, units = 2, rows = 8, {{.*}} stages = 2, {{.*}} split = #attn.split<length = 2048>
func.func @one_token(%q: tensor<?x32x64xbf16>, %kv: !kv64) -> !attn.partials<heads = 32, group = 4, dim = 64> attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  %p = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) split(<length = 2048>) : tensor<?x32x64xbf16>, !kv64 -> !attn.partials<heads = 32, group = 4, dim = 64>
  return %p : !attn.partials<heads = 32, group = 4, dim = 64>
}

// 4 heads times 8 tokens fill 32 rows.
// CHECK-LABEL: @eight_tokens
// CHECK: rows = 32, {{.*}} merge = span,
func.func @eight_tokens(%q: tensor<?x32x64xbf16>, %kv: !kv64) -> !attn.partials<heads = 32, group = 4, dim = 64> attributes {attn.phase = #attn.phase<decode, max_query = 8>} {
  %p = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) split(<length = 2048>) : tensor<?x32x64xbf16>, !kv64 -> !attn.partials<heads = 32, group = 4, dim = 64>
  return %p : !attn.partials<heads = 32, group = 4, dim = 64>
}

// At head_dim 256 registers allow 16 rows and shared memory two units: 2 heads times 8 tokens are one chunk.
// CHECK-LABEL: @wide_heads
// CHECK: units = 2, rows = 16,
// CHECK-SAME: stages = 3, {{.*}} merge = kernel,
func.func @wide_heads(%q: tensor<?x8x256xbf16>, %kv: !kv256) -> !attn.partials<heads = 8, group = 2, dim = 256> attributes {attn.phase = #attn.phase<decode, max_query = 8>} {
  %p = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) split(<length = 2048>) : tensor<?x8x256xbf16>, !kv256 -> !attn.partials<heads = 8, group = 2, dim = 256>
  return %p : !attn.partials<heads = 8, group = 2, dim = 256>
}

// Prefill: units share the keys, the rows are on the instruction's side of 16.
// CHECK-LABEL: @prefill
// CHECK: schedule(<unit = 1, units = 4, rows = 32, divide = rows, keys = 64, orientation = direct, {{.*}} stages = 2, {{.*}} order = longest_first, {{.*}} split = none,
// Where the target has products of warpgroups and tensor copies, a role loads and blocks stay for many items.
// HOPPER-LABEL: @prefill
// HOPPER: schedule(<unit = 4, {{.*}} rows = 64, divide = rows, {{.*}} orientation = direct, product = wgmma, copy = tensor, box = 16, {{.*}} roles = specialised, {{.*}} work = atomic,
// Short queries have other tiles.
// SHORT-LABEL: @prefill
// SHORT: schedule(<unit = 4, units = 4, rows = 64, divide = rows, keys = 64,
// GIVEN-LABEL: @prefill
// A schedule that divides the keys is decode's.
// GIVEN: rows = 32, divide = rows,
// ROWS-LABEL: @one_token
// ROWS: rows = 8, divide = keys,
// ROWS-LABEL: @prefill
// ROWS: schedule(<unit = 1, units = 8, rows = 16, divide = rows, keys = 32, orientation = direct,
func.func @prefill(%q: tensor<?x32x64xbf16>, %kv: !kv64) -> (tensor<?x32x64xbf16>, tensor<?x32xf32>) attributes {attn.phase = #attn.phase<prefill, max_query = 8>} {
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) : tensor<?x32x64xbf16>, !kv64 -> tensor<?x32x64xbf16>, tensor<?x32xf32>
  return %o, %lse : tensor<?x32x64xbf16>, tensor<?x32xf32>
}

// append runs one warp a token and kv head.
// CHECK-LABEL: @append
// CHECK-SAME: attn.schedule = #attn.schedule<unit = 1, units = 1,
func.func @append(%k: tensor<?x8x64xbf16>, %kv: !kv64) attributes {attn.phase = #attn.phase<append>} {
  attn.append_kv %k, %k, %kv : tensor<?x8x64xbf16>, tensor<?x8x64xbf16>, !kv64
  return
}

// The merge has the rule by which the partials were made.
// CHECK-LABEL: @merge
// CHECK-SAME: attn.schedule = #attn.schedule<unit = 1, units = 4, {{.*}} split = #attn.split<length = 2048>
func.func @merge(%p: !attn.partials<heads = 32, group = 4, dim = 64>) -> tensor<?x32x64xbf16> attributes {attn.phase = #attn.phase<merge>} {
  %o, %lse = attn.merge %p split(<length = 2048>) : !attn.partials<heads = 32, group = 4, dim = 64> -> tensor<?x32x64xbf16>, tensor<?x32xf32>
  return %o : tensor<?x32x64xbf16>
}

// No phase, no kernel.
// CHECK-LABEL: @helper
// CHECK-NOT: schedule
func.func @helper(%q: tensor<?x32x64xbf16>) -> tensor<?x32x64xbf16> {
  return %q : tensor<?x32x64xbf16>
}
