// RUN: attncc-opt %s --attn-fuse-attention --split-input-file | FileCheck %s

// One head, no head dim, named ops and linalg.softmax; the scale is a separate op.
#id = affine_map<(i, j) -> (i, j)>
// CHECK-LABEL: @one_head
// CHECK-SAME: (%[[Q:[a-z0-9]+]]: tensor<?x64xf32>, %[[K:[a-z0-9]+]]: tensor<?x64xf32>, %[[V:[a-z0-9]+]]: tensor<?x64xf32>
// CHECK-DAG: %[[Q3:.*]] = tensor.expand_shape %[[Q]] {{\[\[}}0, 1], [2]] {{.*}} into tensor<?x1x64xf32>
// CHECK-DAG: %[[K3:.*]] = tensor.expand_shape %[[K]]
// CHECK-DAG: %[[V3:.*]] = tensor.expand_shape %[[V]]
// CHECK: %[[KV:.*]] = attn.dense_kv %[[K3]], %[[V3]]
// CHECK: %[[O:.*]], %{{.*}} = attn.attention %[[Q3]], %[[KV]] scores(<scale = 0.125>) mask(<none>)
// CHECK: %[[R:.*]] = tensor.collapse_shape %[[O]] {{\[\[}}0, 1], [2]]
// CHECK: return %[[R]]
func.func @one_head(%q: tensor<?x64xf32>, %k: tensor<?x64xf32>, %v: tensor<?x64xf32>, %s0: tensor<?x?xf32>, %o0: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %zero = arith.constant 0.0 : f32
  %scale = arith.constant 0.125 : f32
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %s = linalg.matmul indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>]
      ins(%q, %k : tensor<?x64xf32>, tensor<?x64xf32>) outs(%si : tensor<?x?xf32>) -> tensor<?x?xf32>
  %t = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%s : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) {
    ^bb0(%x: f32, %out: f32):
      %y = arith.mulf %x, %scale : f32
      linalg.yield %y : f32
  } -> tensor<?x?xf32>
  %p = linalg.softmax dimension(1) ins(%t : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<?x?xf32>, tensor<?x64xf32>) outs(%oi : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %o : tensor<?x64xf32>
}

// -----

// Heads first, bf16 with f32 sums, softcap and causal window in one op, the softmax in parts, probabilities
// rounded. GQA: five dims. Sizes are static: the position of row i is i + (12 - 4).
#qk_q = affine_map<(h, g, i, j, d) -> (h, g, i, d)>
#qk_k = affine_map<(h, g, i, j, d) -> (h, j, d)>
#qk_s = affine_map<(h, g, i, j, d) -> (h, g, i, j)>
#pv_p = affine_map<(h, g, i, d, j) -> (h, g, i, j)>
#pv_v = affine_map<(h, g, i, d, j) -> (h, j, d)>
#pv_o = affine_map<(h, g, i, d, j) -> (h, g, i, d)>
#full = affine_map<(h, g, i, j) -> (h, g, i, j)>
#row = affine_map<(h, g, i, j) -> (h, g, i)>
// CHECK-LABEL: @grouped
// CHECK-SAME: (%[[Q:[a-z0-9]+]]: tensor<2x4x4x64xbf16>, %[[K:[a-z0-9]+]]: tensor<2x12x64xbf16>, %[[V:[a-z0-9]+]]: tensor<2x12x32xbf16>)
// CHECK: %[[QT:.*]] = linalg.transpose ins(%[[Q]] : {{.*}} permutation = [2, 0, 1, 3]
// CHECK: %[[Q3:.*]] = tensor.collapse_shape %[[QT]] {{\[\[}}0], [1, 2], [3]] : tensor<4x2x4x64xbf16> into tensor<4x8x64xbf16>
// CHECK: %[[K3:.*]] = linalg.transpose ins(%[[K]] : {{.*}} permutation = [1, 0, 2]
// CHECK: %[[V3:.*]] = linalg.transpose ins(%[[V]] : {{.*}} permutation = [1, 0, 2]
// CHECK: %[[KV:.*]] = attn.dense_kv %[[K3]], %[[V3]] : {{.*}} -> !attn.contiguous_kv<kv_heads = 2, key = 64 x bf16, value = 32 x bf16>
// CHECK: %[[O:.*]], %{{.*}} = attn.attention %[[Q3]], %[[KV]] scores(<scale = 0.125, softcap = 64.0>) mask(<causal, window = 3>) : {{.*}} -> tensor<4x8x32xf32>, tensor<4x8xf32>
// CHECK: %[[OE:.*]] = tensor.expand_shape %[[O]] {{\[\[}}0], [1, 2], [3]]
// CHECK: linalg.transpose ins(%[[OE]] : {{.*}} permutation = [1, 2, 0, 3]
// CHECK-NOT: math.tanh
func.func @grouped(%q: tensor<2x4x4x64xbf16>, %k: tensor<2x12x64xbf16>, %v: tensor<2x12x32xbf16>) -> tensor<2x4x4x32xf32> {
  %zero = arith.constant 0.0 : f32
  %minf = arith.constant 0xFF800000 : f32
  %cap = arith.constant 64.0 : f32
  %per_cap = arith.constant 0.001953125 : f32
  %e = tensor.empty() : tensor<2x4x4x12xf32>
  %si = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4x4x12xf32>) -> tensor<2x4x4x12xf32>
  %s = linalg.generic {indexing_maps = [#qk_q, #qk_k, #qk_s], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<2x4x4x64xbf16>, tensor<2x12x64xbf16>) outs(%si : tensor<2x4x4x12xf32>) {
    ^bb0(%a: bf16, %b: bf16, %c: f32):
      %a32 = arith.extf %a : bf16 to f32
      %b32 = arith.extf %b : bf16 to f32
      %ab = arith.mulf %a32, %b32 : f32
      %sum = arith.addf %c, %ab : f32
      linalg.yield %sum : f32
  } -> tensor<2x4x4x12xf32>
  %m = linalg.generic {indexing_maps = [#full, #full], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%s : tensor<2x4x4x12xf32>) outs(%e : tensor<2x4x4x12xf32>) {
    ^bb0(%x: f32, %out: f32):
      %i = linalg.index 2 : index
      %j = linalg.index 3 : index
      %shift = arith.constant 8 : index
      %w = arith.constant 3 : index
      %position = arith.addi %i, %shift : index
      %y = arith.mulf %x, %per_cap : f32
      %z = math.tanh %y : f32
      %capped = arith.mulf %z, %cap : f32
      %first = arith.subi %position, %w : index
      %inside = arith.cmpi sgt, %j, %first : index
      %future = arith.cmpi sgt, %j, %position : index
      %windowed = arith.select %inside, %capped, %minf : f32
      %masked = arith.select %future, %minf, %windowed : f32
      linalg.yield %masked : f32
  } -> tensor<2x4x4x12xf32>
  %r = tensor.empty() : tensor<2x4x4xf32>
  %mi = linalg.fill ins(%minf : f32) outs(%r : tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %max = linalg.generic {indexing_maps = [#full, #row], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%m : tensor<2x4x4x12xf32>) outs(%mi : tensor<2x4x4xf32>) {
    ^bb0(%x: f32, %acc: f32):
      %y = arith.maximumf %acc, %x : f32
      linalg.yield %y : f32
  } -> tensor<2x4x4xf32>
  %exp = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%m, %max : tensor<2x4x4x12xf32>, tensor<2x4x4xf32>) outs(%e : tensor<2x4x4x12xf32>) {
    ^bb0(%x: f32, %y: f32, %out: f32):
      %d = arith.subf %x, %y : f32
      %z = math.exp %d : f32
      linalg.yield %z : f32
  } -> tensor<2x4x4x12xf32>
  %zi = linalg.fill ins(%zero : f32) outs(%r : tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %sum = linalg.reduce ins(%exp : tensor<2x4x4x12xf32>) outs(%zi : tensor<2x4x4xf32>) dimensions = [3]
    (%x: f32, %acc: f32) {
      %y = arith.addf %x, %acc : f32
      linalg.yield %y : f32
    }
  %pe = tensor.empty() : tensor<2x4x4x12xbf16>
  %p = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%exp, %sum : tensor<2x4x4x12xf32>, tensor<2x4x4xf32>) outs(%pe : tensor<2x4x4x12xbf16>) {
    ^bb0(%x: f32, %y: f32, %out: bf16):
      %z = arith.divf %x, %y : f32
      %rounded = arith.truncf %z : f32 to bf16
      linalg.yield %rounded : bf16
  } -> tensor<2x4x4x12xbf16>
  %oe = tensor.empty() : tensor<2x4x4x32xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%oe : tensor<2x4x4x32xf32>) -> tensor<2x4x4x32xf32>
  %o = linalg.generic {indexing_maps = [#pv_p, #pv_v, #pv_o], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%p, %v : tensor<2x4x4x12xbf16>, tensor<2x12x32xbf16>) outs(%oi : tensor<2x4x4x32xf32>) {
    ^bb0(%a: bf16, %b: bf16, %c: f32):
      %a32 = arith.extf %a : bf16 to f32
      %b32 = arith.extf %b : bf16 to f32
      %ab = arith.mulf %a32, %b32 : f32
      %acc = arith.addf %c, %ab : f32
      linalg.yield %acc : f32
  } -> tensor<2x4x4x32xf32>
  return %o : tensor<2x4x4x32xf32>
}

// -----

// Repeated K and V become a group: the broadcast and the collapse go. A bias by heads and keys; dynamic
// lengths: the position of a row is i + keys - rows.
#full = affine_map<(h, i, j) -> (h, i, j)>
// CHECK-LABEL: @repeated
// CHECK-SAME: %[[K:[a-z0-9]+]]: tensor<2x?x64xf32>, %[[V:[a-z0-9]+]]: tensor<2x?x64xf32>, %[[B:[a-z0-9]+]]: tensor<8x?xf32>
// CHECK-NOT: linalg.broadcast
// CHECK: linalg.transpose ins(%[[K]] :
// CHECK: linalg.transpose ins(%[[V]] :
// CHECK: %[[B3:.*]] = tensor.expand_shape %[[B]] {{\[\[}}0], [1, 2]] {{.*}} into tensor<8x1x?xf32>
// CHECK: attn.attention {{.*}} bias {{ *}}given %[[B3]] : tensor<8x1x?xf32> scores(<scale = 1.0>) mask(<causal>) : tensor<?x8x64xf32>, !attn.contiguous_kv<kv_heads = 2,
func.func @repeated(%q: tensor<8x?x64xf32>, %k: tensor<2x?x64xf32>, %v: tensor<2x?x64xf32>, %b: tensor<8x?xf32>,
                    %r0: tensor<2x4x?x64xf32>, %s0: tensor<8x?x?xf32>, %o0: tensor<8x?x64xf32>) -> tensor<8x?x64xf32> {
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %minf = arith.constant 0xFF800000 : f32
  %kb = linalg.broadcast ins(%k : tensor<2x?x64xf32>) outs(%r0 : tensor<2x4x?x64xf32>) dimensions = [1]
  %vb = linalg.broadcast ins(%v : tensor<2x?x64xf32>) outs(%r0 : tensor<2x4x?x64xf32>) dimensions = [1]
  %k8 = tensor.collapse_shape %kb [[0, 1], [2], [3]] : tensor<2x4x?x64xf32> into tensor<8x?x64xf32>
  %v8 = tensor.collapse_shape %vb [[0, 1], [2], [3]] : tensor<2x4x?x64xf32> into tensor<8x?x64xf32>
  %rows = tensor.dim %q, %c1 : tensor<8x?x64xf32>
  %keys = tensor.dim %k8, %c1 : tensor<8x?x64xf32>
  %before = arith.subi %keys, %rows : index
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<8x?x?xf32>) -> tensor<8x?x?xf32>
  %s = linalg.batch_matmul indexing_maps = [affine_map<(h, i, j, d) -> (h, i, d)>, affine_map<(h, i, j, d) -> (h, j, d)>, affine_map<(h, i, j, d) -> (h, i, j)>]
      ins(%q, %k8 : tensor<8x?x64xf32>, tensor<8x?x64xf32>) outs(%si : tensor<8x?x?xf32>) -> tensor<8x?x?xf32>
  %t = linalg.generic {indexing_maps = [#full, affine_map<(h, i, j) -> (h, j)>, #full], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%s, %b : tensor<8x?x?xf32>, tensor<8x?xf32>) outs(%s0 : tensor<8x?x?xf32>) {
    ^bb0(%x: f32, %bias: f32, %out: f32):
      %i = linalg.index 1 : index
      %j = linalg.index 2 : index
      %position = arith.addi %before, %i : index
      %past = arith.cmpi sle, %j, %position : index
      %y = arith.addf %x, %bias : f32
      %z = arith.select %past, %y, %minf : f32
      linalg.yield %z : f32
  } -> tensor<8x?x?xf32>
  %p = linalg.softmax dimension(2) ins(%t : tensor<8x?x?xf32>) outs(%s0 : tensor<8x?x?xf32>) -> tensor<8x?x?xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<8x?x64xf32>) -> tensor<8x?x64xf32>
  %o = linalg.batch_matmul ins(%p, %v8 : tensor<8x?x?xf32>, tensor<8x?x64xf32>) outs(%oi : tensor<8x?x64xf32>) -> tensor<8x?x64xf32>
  return %o : tensor<8x?x64xf32>
}

// -----

// Sequences and heads: a loop over the sequences.
#qk_q = affine_map<(b, h, i, j, d) -> (b, h, i, d)>
#qk_k = affine_map<(b, h, i, j, d) -> (b, h, j, d)>
#qk_s = affine_map<(b, h, i, j, d) -> (b, h, i, j)>
#pv_p = affine_map<(b, h, i, d, j) -> (b, h, i, j)>
#pv_v = affine_map<(b, h, i, d, j) -> (b, h, j, d)>
#pv_o = affine_map<(b, h, i, d, j) -> (b, h, i, d)>
// CHECK-LABEL: @sequences
// CHECK-SAME: (%[[Q:[a-z0-9]+]]: tensor<?x8x4x64xf16>
// CHECK: scf.forall (%[[N:.*]]) in (%{{.*}}) shared_outs(%[[OUT:.*]] = %{{.*}}) -> (tensor<?x8x4x64xf32>)
// CHECK: tensor.extract_slice %[[Q]][%[[N]], 0, 0, 0] [1, 8, 4, 64] [1, 1, 1, 1] : tensor<?x8x4x64xf16> to tensor<8x4x64xf16>
// CHECK: attn.attention {{.*}} scores(<scale = 1.0>) mask(<none>) : tensor<4x8x64xf16>, !attn.contiguous_kv<kv_heads = 8, key = 64 x f16, value = 64 x f16> -> tensor<4x8x64xf32>
// CHECK: tensor.parallel_insert_slice %{{.*}} into %[[OUT]][%[[N]], 0, 0, 0] [1, 8, 4, 64] [1, 1, 1, 1] : tensor<8x4x64xf32> into tensor<?x8x4x64xf32>
func.func @sequences(%q: tensor<?x8x4x64xf16>, %k: tensor<?x8x12x64xf16>, %v: tensor<?x8x12x64xf16>, %s0: tensor<?x8x4x12xf32>, %p0: tensor<?x8x4x12xf16>, %o0: tensor<?x8x4x64xf32>) -> tensor<?x8x4x64xf32> {
  %zero = arith.constant 0.0 : f32
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<?x8x4x12xf32>) -> tensor<?x8x4x12xf32>
  %s = linalg.generic {indexing_maps = [#qk_q, #qk_k, #qk_s], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<?x8x4x64xf16>, tensor<?x8x12x64xf16>) outs(%si : tensor<?x8x4x12xf32>) {
    ^bb0(%a: f16, %b: f16, %c: f32):
      %a32 = arith.extf %a : f16 to f32
      %b32 = arith.extf %b : f16 to f32
      %ab = arith.mulf %a32, %b32 : f32
      %sum = arith.addf %c, %ab : f32
      linalg.yield %sum : f32
  } -> tensor<?x8x4x12xf32>
  %p = linalg.softmax dimension(3) ins(%s : tensor<?x8x4x12xf32>) outs(%s0 : tensor<?x8x4x12xf32>) -> tensor<?x8x4x12xf32>
  %rounded = linalg.generic {indexing_maps = [affine_map<(b, h, i, j) -> (b, h, i, j)>, affine_map<(b, h, i, j) -> (b, h, i, j)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%p : tensor<?x8x4x12xf32>) outs(%p0 : tensor<?x8x4x12xf16>) {
    ^bb0(%x: f32, %out: f16):
      %y = arith.truncf %x : f32 to f16
      linalg.yield %y : f16
  } -> tensor<?x8x4x12xf16>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x8x4x64xf32>) -> tensor<?x8x4x64xf32>
  %o = linalg.generic {indexing_maps = [#pv_p, #pv_v, #pv_o], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
      ins(%rounded, %v : tensor<?x8x4x12xf16>, tensor<?x8x12x64xf16>) outs(%oi : tensor<?x8x4x64xf32>) {
    ^bb0(%a: f16, %b: f16, %c: f32):
      %a32 = arith.extf %a : f16 to f32
      %b32 = arith.extf %b : f16 to f32
      %ab = arith.mulf %a32, %b32 : f32
      %sum = arith.addf %c, %ab : f32
      linalg.yield %sum : f32
  } -> tensor<?x8x4x64xf32>
  return %o : tensor<?x8x4x64xf32>
}
