// RUN: attncc-opt %s --attn-split-kv --attn-schedule --convert-attn-to-tile --split-input-file | FileCheck %s

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Decode: all heads of a group and all query tokens in the rows of one tile, a loop over the unit's key tiles, then
// the units together. An item may take several splits: behind the last tile of one the units meet and begin anew, its
// result joins a span of four, and a whole span the others. The merge kernel knows the group and the split rule.
// CHECK-LABEL: tile.kernel @decode(
// CHECK-SAME:    %[[QUERY:.*]]: tensor<?x?x64xbf16>, %[[KV:.*]]: !attn.paged_kv<{{.*}}>, %[[BATCH:.*]]: !tile.batch,
// CHECK-SAME:    %[[OUT:.*]]: tensor<?x?x64xbf16>, %[[LSE:.*]]: tensor<?x?xf32>, %[[WORKSPACE:.*]]: !tile.workspace, %[[SCALE:.*]]: f32)
// CHECK:         tile.work_loop(%[[ITEM:.*]], %[[UNIT:.*]]) in %[[BATCH]] items(<decode, group = 4>) {
// CHECK:           %[[Q:.*]] = tile.load_rows query %[[QUERY]][%[[ITEM]]] : {{.*}} -> <8x64xbf16>
// CHECK:           %[[RANGE:.*]] = tile.key_range %[[ITEM]], %[[UNIT]] mask(<causal>) {keys = 16 : i64}
// CHECK:           %[[COUNT:.*]] = tile.range_count %[[RANGE]]
// CHECK:           %[[M0:.*]], %[[L0:.*]] = tile.softmax_init
// CHECK-DAG:       %[[SPLITS:.*]] = tile.item_splits %[[ITEM]]
// CHECK-DAG:       %[[TILES:.*]] = tile.split_tiles %[[ITEM]] {keys = 16 : i64}
// CHECK:           %[[STATE:.*]]:10 = scf.for %[[J:.*]] = %{{.*}} to %[[COUNT]] step %{{.*}} iter_args(%[[M:[^ ]*]] = %[[M0]], %[[L:[^ ]*]] = %[[L0]], %[[O:[^ ]*]] = %{{[^ ,]*}}, %[[MS:[^ ]*]] = %{{[^ ,]*}}, %[[LS:[^ ]*]] = %{{[^ ,]*}}, %[[OS:[^ ]*]] = %{{[^ ,]*}}, %[[MA:[^ ]*]] = %{{[^ ,]*}}, %[[LA:[^ ]*]] = %{{[^ ,]*}}, %[[OA:[^ ]*]] = %{{[^ ,]*}}, %[[SPLIT:[^ ]*]] = %{{[^ ,]*}})
// CHECK:             %[[T:.*]] = tile.key_tile %[[RANGE]][%[[J]]]
// CHECK:             %[[K:.*]] = tile.load_keys %[[KV]][%[[ITEM]], %[[T]]]
// CHECK:             %[[S:.*]] = tile.matmul %[[Q]], %[[K]] {transpose_b}
// CHECK:             %[[MASKED:.*]] = tile.mask %[[S]][%[[ITEM]], %[[T]]] mask(<causal>)
// CHECK:             %[[P:.*]], %[[M1:.*]], %[[L1:.*]], %[[F:.*]] = tile.softmax_step %[[MASKED]], %[[M]], %[[L]] scale %[[SCALE]]
// CHECK:             %[[PB:.*]] = tile.convert %[[P]] : <8x16xf32> -> <8x16xbf16>
// CHECK:             %[[O1:.*]] = tile.rescale %[[O]], %[[F]]
// CHECK:             %[[V:.*]] = tile.load_values %[[KV]][%[[ITEM]], %[[T]]]
// CHECK:             %[[O2:.*]] = tile.matmul %[[PB]], %[[V]], %[[O1]]
// CHECK:             %[[NEXT:.*]] = arith.addi %[[SPLIT]], %{{.*}}
// CHECK:             %[[BOUND:.*]] = arith.muli %[[NEXT]], %[[TILES]]
// CHECK:             arith.cmpi eq, %{{.*}}, %[[BOUND]]
// CHECK:             arith.cmpi ult, %[[NEXT]], %[[SPLITS]]
// CHECK:             scf.if
// CHECK:               %[[MU:.*]], %[[LU:.*]], %[[OU:.*]] = tile.merge_units %[[M1]], %[[L1]], %[[O2]]
// CHECK:               %[[R:.*]], %[[E:.*]] = tile.normalize %[[OU]], %[[MU]], %[[LU]] {log2}
// CHECK:               %[[MS1:.*]], %[[LS1:.*]], %[[OS1:.*]] = tile.add_split %[[R]], %[[E]] to %[[MS]], %[[LS]], %[[OS]]
// CHECK:               tile.softmax_init
// CHECK:               scf.if
// CHECK:                 %[[RS:.*]], %[[ES:.*]] = tile.normalize %[[OS1]], %[[MS1]], %[[LS1]] {log2}
// CHECK:                 %[[FIRST:.*]] = arith.subi %[[NEXT]], %{{.*}}
// CHECK:                 tile.store_partial %[[RS]], %[[ES]], %[[WORKSPACE]][%[[ITEM]], %[[FIRST]]]
// CHECK:                 tile.softmax_init
// CHECK:                 tile.add_split %[[RS]], %[[ES]] to %[[MA]], %[[LA]], %[[OA]]
// CHECK:               } else {
// CHECK:                 scf.yield %[[MS1]], %[[LS1]], %[[OS1]], %[[MA]], %[[LA]], %[[OA]]
// CHECK:             } else {
// CHECK:               scf.yield %[[M1]], %[[L1]], %[[O2]], %[[MS]], %[[LS]], %[[OS]], %[[MA]], %[[LA]], %[[OA]], %[[SPLIT]]
// CHECK:           %[[MU:.*]], %[[LU:.*]], %[[OU:.*]] = tile.merge_units %[[STATE]]#0, %[[STATE]]#1, %[[STATE]]#2
// CHECK:           %[[R:.*]], %[[E:.*]] = tile.normalize %[[OU]], %[[MU]], %[[LU]] {log2}
// CHECK:           %[[MS:.*]], %[[LS:.*]], %[[OS:.*]] = tile.add_split %[[R]], %[[E]] to %[[STATE]]#3, %[[STATE]]#4, %[[STATE]]#5
// CHECK:           %[[RS:.*]], %[[ES:.*]] = tile.normalize %[[OS]], %[[MS]], %[[LS]] {log2}
// CHECK:           %[[FIRST:.*]] = arith.andi %[[STATE]]#9, %{{.*}}
// CHECK:           tile.store_partial %[[RS]], %[[ES]], %[[WORKSPACE]][%[[ITEM]], %[[FIRST]]]
// CHECK:           %[[MA:.*]], %[[LA:.*]], %[[OA:.*]] = tile.add_split %[[RS]], %[[ES]] to %[[STATE]]#6, %[[STATE]]#7, %[[STATE]]#8
// CHECK:           %[[R:.*]], %[[RLSE:.*]] = tile.normalize %[[OA]], %[[MA]], %[[LA]] :
// CHECK:           tile.store_attention %[[R]], %[[RLSE]], %[[OUT]], %[[LSE]][%[[ITEM]]]
// CHECK-LABEL: tile.kernel @decode_merge(
// CHECK-SAME:    %[[WORKSPACE:.*]]: !tile.workspace, %[[BATCH:.*]]: !tile.batch, %[[OUT:.*]]: tensor<?x?x64xbf16>, %[[LSE:.*]]: tensor<?x?xf32>)
// CHECK-SAME:    steps = {{\[\[}}2048, 128], {{.*}} merge = item
// CHECK:         tile.work_loop(%[[ITEM:.*]], %{{.*}}) in %[[BATCH]] items(<merge, group = 4>) {
// CHECK:           %[[R:.*]], %[[L:.*]] = tile.merge_splits %[[WORKSPACE]][%[[ITEM]]]
// CHECK:           tile.store_merged %[[R]], %[[L]], %[[OUT]], %[[LSE]][%[[ITEM]]]
func.func @decode(%q: tensor<?x32x64xbf16>, %kv: !kv) -> tensor<?x32x64xbf16>
    attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>)
      : tensor<?x32x64xbf16>, !kv -> tensor<?x32x64xbf16>, tensor<?x32xf32>
  return %o : tensor<?x32x64xbf16>
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// With eight query tokens an item's rows leave registers for the sum of one span.
// CHECK-LABEL: tile.kernel @decode_of_eight(
// CHECK:           %[[STATE:.*]]:7 = scf.for
// CHECK:             %[[MS:.*]], %[[LS:.*]], %[[OS:.*]] = tile.add_split
// CHECK:             tile.store_partial
// CHECK-NOT:         tile.add_split
// CHECK:           tile.merge_units %[[STATE]]#0, %[[STATE]]#1, %[[STATE]]#2
// CHECK:           tile.add_split %{{.*}}, %{{.*}} to %[[STATE]]#3, %[[STATE]]#4, %[[STATE]]#5
// CHECK:           tile.store_partial
// CHECK:           tile.store_attention
func.func @decode_of_eight(%q: tensor<?x32x64xbf16>, %kv: !kv) -> tensor<?x32x64xbf16>
    attributes {attn.phase = #attn.phase<decode, max_query = 8>} {
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<causal>)
      : tensor<?x32x64xbf16>, !kv -> tensor<?x32x64xbf16>, tensor<?x32xf32>
  return %o : tensor<?x32x64xbf16>
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = 256 x bf16, value = 256 x bf16, order = NHD>

// Nor for any at head_dim 256: an item takes one split.
// CHECK-LABEL: tile.kernel @decode_of_one_split(
// CHECK-NOT:       tile.item_splits
// CHECK:           %[[STATE:.*]]:3 = scf.for
// CHECK-NOT:         tile.merge_units
// CHECK:           tile.merge_units %[[STATE]]#0, %[[STATE]]#1, %[[STATE]]#2
// CHECK:           %[[R:.*]], %[[E:.*]] = tile.normalize {{.*}} {log2}
// CHECK:           tile.store_partial %[[R]], %[[E]],
// CHECK:           tile.add_split %[[R]], %[[E]] to
// CHECK:           tile.store_attention
func.func @decode_of_one_split(%q: tensor<?x8x256xbf16>, %kv: !kv) -> tensor<?x8x256xbf16>
    attributes {attn.phase = #attn.phase<decode, max_query = 1>} {
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.0625>) mask(<causal>)
      : tensor<?x8x256xbf16>, !kv -> tensor<?x8x256xbf16>, tensor<?x8xf32>
  return %o : tensor<?x8x256xbf16>
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = 64 x f16, value = 64 x f16, order = NHD>

// Append: the group's query rows (7, in a tile of 8) and one row of keys and of values, op by op. Norm weights of
// queries and keys have their own arguments.
// CHECK-LABEL: tile.kernel @append(
// CHECK-SAME:    %[[QUERY:[^:]*]]: tensor<?x?x64xf16>, %[[KEY:[^:]*]]: tensor<?x?x64xf16>, %[[VALUE:[^:]*]]: tensor<?x?x64xf16>, %[[OUT:[^:]*]]: tensor<?x?x64xf16>,
// CHECK-SAME:    %[[KV:[^:]*]]: !attn.paged_kv<{{[^>]*}}>, %{{[^:]*}}: !tile.batch, %{{[^:]*}}: tensor<?xi64>, %[[POSITIONS:[^:]*]]: tensor<?xi64>,
// CHECK-SAME:    %[[TABLE:[^:]*]]: !attn.cos_sin<dim = 4, type = f16>,
// CHECK-SAME:    %[[QW:[^:]*]]: tensor<64xf16>, %[[KW:[^:]*]]: tensor<64xf16>, %{{[^:]*}}: !tile.workspace)
// CHECK:         tile.work_loop(%[[ITEM:.*]], %{{.*}}) in %{{.*}} items(<append, group = 7>) {
// CHECK-DAG:       %[[Q:.*]] = tile.load_rows query %[[QUERY]][%[[ITEM]]] : {{.*}} -> <8x64xf16>
// CHECK-DAG:       %[[K:.*]] = tile.load_rows key %[[KEY]][%[[ITEM]]] : {{.*}} -> <1x64xf16>
// CHECK-DAG:       %[[V:.*]] = tile.load_rows value %[[VALUE]][%[[ITEM]]] : {{.*}} -> <1x64xf16>
// CHECK-DAG:       %[[QWT:.*]] = tile.load_vector %[[QW]]
// CHECK-DAG:       %[[KWT:.*]] = tile.load_vector %[[KW]]
// CHECK-DAG:       %[[QN:.*]] = tile.rms_norm %[[Q]] weight %[[QWT]]
// CHECK-DAG:       %[[QR:.*]] = tile.rope %[[QN]][%[[ITEM]]] rope({{.*}}) position %[[POSITIONS]] cos_sin %[[TABLE]]
// CHECK-DAG:       %[[KN:.*]] = tile.rms_norm %[[K]] weight %[[KWT]]
// CHECK-DAG:       %[[KR:.*]] = tile.rope %[[KN]][%[[ITEM]]] rope({{.*}}) position %[[POSITIONS]] cos_sin %[[TABLE]]
// CHECK-DAG:       tile.store_kv %[[KR]], %[[V]], %[[KV]][%[[ITEM]]]
// CHECK-DAG:       tile.store_rows query %[[QR]], %[[OUT]][%[[ITEM]]]
func.func @append(%q: tensor<?x14x64xf16>, %k: tensor<?x2x64xf16>, %v: tensor<?x2x64xf16>, %kv: !kv, %positions: tensor<?xi64>,
                  %table: !attn.cos_sin<dim = 4, type = f16>, %qw: tensor<64xf16>, %kw: tensor<64xf16>) -> tensor<?x14x64xf16>
    attributes {attn.phase = #attn.phase<append>} {
  %qn = attn.rms_norm %q, %qw epsilon 1.0e-06 : tensor<?x14x64xf16>, tensor<64xf16> -> tensor<?x14x64xf32>
  %qr = attn.rope %qn, %kv positions %positions cos_sin %table : !attn.cos_sin<dim = 4, type = f16>, <pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>
      : tensor<?x14x64xf32>, !kv, tensor<?xi64> -> tensor<?x14x64xf16>
  %kn = attn.rms_norm %k, %kw epsilon 1.0e-06 : tensor<?x2x64xf16>, tensor<64xf16> -> tensor<?x2x64xf32>
  %kr = attn.rope %kn, %kv positions %positions cos_sin %table : !attn.cos_sin<dim = 4, type = f16>, <pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>
      : tensor<?x2x64xf32>, !kv, tensor<?xi64> -> tensor<?x2x64xf16>
  attn.append_kv %kr, %v, %kv : tensor<?x2x64xf16>, tensor<?x2x64xf16>, !kv
  return %qr : tensor<?x14x64xf16>
}

// Query heads of a large group come in tiles of at most 64 elements for each lane: here 8 rows of 256. Nothing is done to
// them, so they are optional.
// CHECK-LABEL: tile.kernel @append_in_tiles(
// CHECK:           tile.load_rows query %{{.*}} {optional} : {{.*}} -> <8x256xbf16>
// CHECK-NEXT:      tile.store_rows query
// CHECK-SAME:        {optional} : <8x256xbf16>
// CHECK-NEXT:      tile.load_rows query %{{.*}} {first_row = 8 : i64, optional} : {{.*}} -> <8x256xbf16>
// CHECK-NEXT:      tile.store_rows query %{{.*}} {first_row = 8 : i64, optional}
// CHECK-NEXT:      tile.store_kv
func.func @append_in_tiles(%q: tensor<?x12x256xbf16>, %k: tensor<?x1x256xbf16>, %v: tensor<?x1x256xbf16>,
    %kv: !attn.paged_kv<page_size = 16, kv_heads = 1, key = 256 x bf16, value = 256 x bf16, order = NHD>) -> tensor<?x12x256xbf16>
    attributes {attn.phase = #attn.phase<append>} {
  attn.append_kv %k, %v, %kv : tensor<?x1x256xbf16>, tensor<?x1x256xbf16>,
      !attn.paged_kv<page_size = 16, kv_heads = 1, key = 256 x bf16, value = 256 x bf16, order = NHD>
  return %q : tensor<?x12x256xbf16>
}

// The caller's states: a row of each for every token and head, whatever the batch.
// CHECK-LABEL: tile.kernel @merge_states(
// CHECK-SAME:    %[[STATES:[^:]*]]: !attn.states<{{[^>]*}}>, %[[OUT:[^:]*]]: tensor<?x?x64xbf16>, %[[LSE:[^:]*]]: tensor<?x?xf32>)
// CHECK:         tile.work_loop(%[[ITEM:.*]], %{{.*}}) in %[[STATES]] : !attn.states<{{.*}}> items(<merge_states, group = 1>) {
// CHECK-NEXT:      %[[R:.*]], %[[L:.*]] = tile.merge_states %[[STATES]][%[[ITEM]]] : {{.*}} -> <1x64xf32>, <1x1xf32>
// CHECK-NEXT:      tile.store_merged %[[R]], %[[L]], %[[OUT]], %[[LSE]][%[[ITEM]]]
func.func @merge_states(%states: !attn.states<parts = 16, heads = 8, dim = 64, type = bf16>) -> (tensor<?x8x64xbf16>, tensor<?x8xf32>)
    attributes {attn.phase = #attn.phase<merge_states>} {
  %o, %lse = attn.merge_states %states : !attn.states<parts = 16, heads = 8, dim = 64, type = bf16> -> tensor<?x8x64xbf16>, tensor<?x8xf32>
  return %o, %lse : tensor<?x8x64xbf16>, tensor<?x8xf32>
}

// -----

!kv = !attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = NHD>

// Prefill is the same program for units that divide the rows: they have nothing to merge. Bidirectional attention has a
// mask without terms, which keeps the keys of the sequence.
// CHECK-LABEL: tile.kernel @prefill(
// CHECK-SAME:    %[[QUERY:.*]]: tensor<?x?x64xbf16>, %[[KV:.*]]: !attn.paged_kv<{{.*}}>, %[[BATCH:.*]]: !tile.batch,
// CHECK-SAME:    %[[OUT:.*]]: tensor<?x?x64xbf16>, %[[LSE:.*]]: tensor<?x?xf32>, %[[WORKSPACE:.*]]: !tile.workspace, %[[SCALE:.*]]: f32)
// CHECK-SAME:    phase = #attn.phase<prefill, max_query = 8>
// CHECK:         tile.work_loop(%[[ITEM:.*]], %[[UNIT:.*]]) in %[[BATCH]] items(<prefill, group = 4>) {
// CHECK:           tile.load_rows query %[[QUERY]][%[[ITEM]]] : {{.*}} -> <32x64xbf16>
// CHECK:           tile.key_range %[[ITEM]], %[[UNIT]] mask(<none>) {keys = 64 : i64}
// CHECK:           %[[STATE:.*]]:3 = scf.for
// CHECK:             tile.mask %{{.*}}[%[[ITEM]], %{{.*}}] mask(<none>)
// CHECK-NOT:     tile.merge_units
// CHECK:           %[[R:.*]], %[[RLSE:.*]] = tile.normalize %[[STATE]]#2, %[[STATE]]#0, %[[STATE]]#1
// CHECK:           tile.store_attention %[[R]], %[[RLSE]], %[[OUT]], %[[LSE]][%[[ITEM]]]
func.func @prefill(%q: tensor<?x32x64xbf16>, %kv: !kv) -> (tensor<?x32x64xbf16>, tensor<?x32xf32>)
    attributes {attn.phase = #attn.phase<prefill, max_query = 8>} {
  %o, %lse = attn.attention %q, %kv scores(<scale = 0.125>) mask(<none>)
      : tensor<?x32x64xbf16>, !kv -> tensor<?x32x64xbf16>, tensor<?x32xf32>
  return %o, %lse : tensor<?x32x64xbf16>, tensor<?x32xf32>
}
