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
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<unit=4,units=2,rows=64,keys=64,divide=rows,orientation=direct,product=wgmma,copy=tensor,box=16,roles=specialised,registers=[40,40,232],work=static,stages=2>" 2>&1 | FileCheck %s --check-prefix=JOINT
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<unit=4,units=2,rows=64,keys=64,divide=rows,orientation=direct,product=wgmma,copy=tensor,box=16,roles=specialised,registers=[40,40,232],stages=[2,2]>" 2>&1 | FileCheck %s --check-prefix=GRID
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<rows=16,divide=rows,orientation=direct,work=static>" 2>&1 | FileCheck %s --check-prefix=STATIC
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<rows=16,divide=rows,orientation=direct,stages=[2,2],overlap=tiles>" 2>&1 | FileCheck %s --check-prefix=OVERLAP
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<unit=4,units=2,rows=64,keys=64,divide=rows,orientation=direct>" 2>&1 | FileCheck %s --check-prefix=UNIT
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<overlap=tiles>" 2>&1 | FileCheck %s --check-prefix=DECODE
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<work=atomic>" 2>&1 | FileCheck %s --check-prefix=ATOMIC
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<dependent_launch=wait_late>" 2>&1 | FileCheck %s --check-prefix=LATE
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<copy=tensor,box=16,output=staged,query_stages=2>" 2>&1 | FileCheck %s --check-prefix=STAGED
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<units=4,rows=16,divide=rows,orientation=direct,copy=tensor,box=16,output=staged,query_stages=2>" 2>&1 | FileCheck %s --check-prefix=STAGED
// RUN: not attncc-opt %s --split-input-file --attn-schedule="target=sm_90a schedule=<unit=4,units=2,rows=64,keys=64,divide=rows,orientation=direct,product=wgmma,copy=tensor,box=16,roles=specialised,registers=[40,40,232],work=static,stages=[2,2],output=staged,query_stages=2>" 2>&1 | FileCheck %s --check-prefix=NARROW
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<unit=4,units=2,rows=64,keys=64,divide=rows,orientation=direct,product=wgmma,copy=tensor,box=16,roles=specialised,registers=[40,40,232],work=static,stages=[2,2],skip_tiles=true>" 2>&1 | FileCheck %s --check-prefix=SKIP
// RUN: not attncc-opt %S/schedule.mlir --attn-schedule="target=sm_90a schedule=<unit=4,units=2,rows=64,keys=64,divide=rows,orientation=direct,product=wgmma,copy=tensor,box=64,roles=specialised,registers=[40,40,232],work=static,stages=[2,2]>" 2>&1 | FileCheck %s --check-prefix=BOX
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
// JOINT: error: specialised roles need a ring of keys and one of values, got one of both: write stages = [2, 2]
// GRID: error: divide = rows has product = wgmma, copy = tensor and work = static or atomic with specialised roles and only then, got wgmma, tensor, grid and roles = specialised
// STATIC: error: divide = rows has product = wgmma, copy = tensor and work = static or atomic with specialised roles and only then, got mma, gather, static and roles = one
// OVERLAP: error: overlap = tiles needs specialised roles
// UNIT: error: product = mma needs unit = 1, got 4
// DECODE: error: divide = keys needs product = mma, roles = one, overlap = none and work = grid, got mma, one, tiles and grid
// ATOMIC: error: divide = keys needs product = mma, roles = one, overlap = none and work = grid, got mma, one, none and atomic
// LATE: error: dependent_launch = wait_late is not supported
// Decode has no role that loads, nor has prefill by single warps; values narrower than the keys leave a result that the query's slot does not fit.
// STAGED: error: output = staged needs specialised roles, and an output of the query's type, got roles = one,
// NARROW: error: output = staged needs specialised roles, and an output of the query's type, got roles = specialised, 'tensor<{{.+}}64xbf16>' and 'tensor<{{.+}}48xbf16>'
// SKIP: error: skip_tiles needs tiles or items that overlap, got overlap = none
// BOX: error: box 64 does not divide the page size 16

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

// -----
// The schedules of the first run are decode's; prefill of these dims is legal unless its result is to go through the query's slot.
!kv = !attn.paged_kv<page_size = 16, kv_heads = 4, key = 64 x bf16, value = 48 x bf16>
func.func @narrow_values(%q: tensor<?x8x64xbf16>, %kv: !kv) -> tensor<?x8x48xbf16> attributes {attn.phase = #attn.phase<prefill, max_query = 8>} {
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>) : tensor<?x8x64xbf16>, !kv -> tensor<?x8x48xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x48xbf16>
}
