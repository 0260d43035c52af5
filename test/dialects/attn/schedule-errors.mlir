// RUN: attncc-opt %s --attn-schedule=schedule="<rows=32,stages=2>" --verify-diagnostics --split-input-file
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule=target=sm_12 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="schedule=<copy=tensor,box=8>" 2>&1 | FileCheck %s --check-prefix=COPY
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="schedule=<units=40>" 2>&1 | FileCheck %s --check-prefix=THREADS
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="schedule=<stages=16>" 2>&1 | FileCheck %s --check-prefix=SHARED
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="schedule=rows" 2>&1 | FileCheck %s --check-prefix=SYNTAX
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="schedule=<rows=7>" 2>&1 | FileCheck %s --check-prefix=FIELD
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="schedule=#attn.mask<causal>" 2>&1 | FileCheck %s --check-prefix=OTHER
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="schedule=<split=#attn.split<length=64>>" 2>&1 | FileCheck %s --check-prefix=SPLIT
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="schedule=<divide=rows>" 2>&1 | FileCheck %s --check-prefix=ORIENTATION
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="schedule=<divide=rows,orientation=direct,rows=16,split=#attn.split<length=64>>" 2>&1 | FileCheck %s --check-prefix=PREFILL
// Every refusal names the limit and gives both numbers.

// TARGET: error: unknown target 'sm_12', known are: sm_80
// COPY: error: copy = tensor needs copies by a tensor map, which sm_80 has not
// THREADS: error: threads 1280 exceeds the block size of sm_80, 1024
// SHARED: error: bytes of rings and queries 262144 exceeds the shared memory of a block less 1024 of sm_80, 100352
// SYNTAX: error: 'rows' is no schedule: expected attribute value
// FIELD: error: '<rows=7>' is no schedule: swapped rows must be a multiple of 8 and at most 32, got 7
// OTHER: error: '#attn.mask<causal>' is no schedule: it is another attribute
// SPLIT: error: the schedule's split #attn.split<length = 64> is not the function's #attn.split<length = 2048>
// ORIENTATION: error: divide = rows needs orientation = direct, got swapped
// PREFILL: error: prefill is not split, the schedule has #attn.split<length = 64>

!kv = !attn.paged_kv<page_size = 16, kv_heads = 4, key = 256 x bf16, value = 256 x bf16>
func.func @registers(%q: tensor<?x8x256xbf16>, %kv: !kv) -> !attn.partials<heads = 8, group = 2, dim = 256> attributes {attn.phase = #attn.phase<decode, max_query = 8>} {
  // expected-error @+1 {{register estimate 456 exceeds the registers per thread of sm_80, 255}}
  %p = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) split(<length = 2048>) : tensor<?x8x256xbf16>, !kv -> !attn.partials<heads = 8, group = 2, dim = 256>
  return %p : !attn.partials<heads = 8, group = 2, dim = 256>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 4, key = 64 x bf16, value = 40 x bf16>
func.func @head_dim(%q: tensor<?x8x64xbf16>, %kv: !kv) -> !attn.partials<heads = 8, group = 2, dim = 40> attributes {attn.phase = #attn.phase<decode, max_query = 8>} {
  // expected-error @+1 {{head dims 64 and 40 must be multiples of the product's 16}}
  %p = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) split(<length = 2048>) : tensor<?x8x64xbf16>, !kv -> !attn.partials<heads = 8, group = 2, dim = 40>
  return %p : !attn.partials<heads = 8, group = 2, dim = 40>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 4, key = 64 x bf16, value = 64 x bf16>
func.func @not_split(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x64xbf16> attributes {attn.phase = #attn.phase<decode, max_query = 8>} {
  // expected-error @+1 {{decode has no split; run --attn-split-kv first}}
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) : tensor<?x8x64xbf16>, !kv -> tensor<?x8x64xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x64xbf16>
}

// -----
!kv = !attn.paged_kv<page_size = 16, kv_heads = 4, key = 64 x bf16, value = 64 x bf16>
func.func @append(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x64xbf16> attributes {attn.phase = #attn.phase<append>} {
  // expected-error @+1 {{the cost model knows no schedule for phase append}}
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) : tensor<?x8x64xbf16>, !kv -> tensor<?x8x64xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x64xbf16>
}

// -----
// expected-error @+1 {{a merge function has no 'attn.merge' with the split rule}}
func.func @merge(%p: !attn.partials<heads = 32, group = 4, dim = 64>) -> tensor<?x32x64xbf16> attributes {attn.phase = #attn.phase<merge>} {
  %o, %lse = attn.merge %p : !attn.partials<heads = 32, group = 4, dim = 64> -> tensor<?x32x64xbf16>, tensor<?x32xf32>
  return %o : tensor<?x32x64xbf16>
}
