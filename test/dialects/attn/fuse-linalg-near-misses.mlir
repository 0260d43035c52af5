// RUN: attncc-opt %s --attn-fuse-attention --verify-diagnostics --split-input-file
// Attention in linalg that nearly matches: a remark at the op in the way, and the chain stays.

// The softmax runs over the rows.
func.func @wrong_dimension(%q: tensor<?x64xf32>, %k: tensor<?x64xf32>, %v: tensor<?x64xf32>, %s0: tensor<?x?xf32>, %o0: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %zero = arith.constant 0.0 : f32
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %s = linalg.matmul indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>]
      ins(%q, %k : tensor<?x64xf32>, tensor<?x64xf32>) outs(%si : tensor<?x?xf32>) -> tensor<?x?xf32>
  // expected-remark @+1 {{attention is not fused: the softmax runs over dimension 0, the keys are 1}}
  %p = linalg.softmax dimension(0) ins(%s : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<?x?xf32>, tensor<?x64xf32>) outs(%oi : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %o : tensor<?x64xf32>
}

// -----
// Not a product: the scores are given.
func.func @given_scores(%s: tensor<?x?xf32>, %v: tensor<?x64xf32>, %s0: tensor<?x?xf32>, %o0: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %zero = arith.constant 0.0 : f32
  // expected-remark @+1 {{attention is not fused: the scores do not come from a product of queries and keys}}
  %p = linalg.softmax dimension(1) ins(%s : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<?x?xf32>, tensor<?x64xf32>) outs(%oi : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %o : tensor<?x64xf32>
}

// -----
// An op that is neither scale, softcap, bias nor mask.
#id = affine_map<(i, j) -> (i, j)>
func.func @foreign_op(%q: tensor<?x64xf32>, %k: tensor<?x64xf32>, %v: tensor<?x64xf32>, %s0: tensor<?x?xf32>, %o0: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %zero = arith.constant 0.0 : f32
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %s = linalg.matmul indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>]
      ins(%q, %k : tensor<?x64xf32>, tensor<?x64xf32>) outs(%si : tensor<?x?xf32>) -> tensor<?x?xf32>
  %t = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%s : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) {
    ^bb0(%x: f32, %out: f32):
      // expected-remark @+1 {{attention is not fused: 'math.sin' is neither scale, softcap, bias nor mask}}
      %y = math.sin %x : f32
      linalg.yield %y : f32
  } -> tensor<?x?xf32>
  %p = linalg.softmax dimension(1) ins(%t : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<?x?xf32>, tensor<?x64xf32>) outs(%oi : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %o : tensor<?x64xf32>
}

// -----
// Aligned at the top left: j <= i is not j <= keys - rows + i when the lengths differ.
#id = affine_map<(i, j) -> (i, j)>
func.func @top_left(%q: tensor<4x64xf32>, %k: tensor<12x64xf32>, %v: tensor<12x64xf32>, %s0: tensor<4x12xf32>, %o0: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %zero = arith.constant 0.0 : f32
  %minf = arith.constant 0xFF800000 : f32
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<4x12xf32>) -> tensor<4x12xf32>
  %s = linalg.matmul indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>]
      ins(%q, %k : tensor<4x64xf32>, tensor<12x64xf32>) outs(%si : tensor<4x12xf32>) -> tensor<4x12xf32>
  %t = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%s : tensor<4x12xf32>) outs(%s0 : tensor<4x12xf32>) {
    ^bb0(%x: f32, %out: f32):
      %i = linalg.index 0 : index
      %j = linalg.index 1 : index
      // expected-remark @+1 {{attention is not fused: it excludes the row's own position}}
      %c = arith.cmpi sle, %j, %i : index
      %y = arith.select %c, %x, %minf : f32
      linalg.yield %y : f32
  } -> tensor<4x12xf32>
  %p = linalg.softmax dimension(1) ins(%t : tensor<4x12xf32>) outs(%s0 : tensor<4x12xf32>) -> tensor<4x12xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<4x64xf32>) -> tensor<4x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<4x12xf32>, tensor<12x64xf32>) outs(%oi : tensor<4x64xf32>) -> tensor<4x64xf32>
  return %o : tensor<4x64xf32>
}

// -----
// With lengths that are not known, j <= i says nothing of the row's position.
#id = affine_map<(i, j) -> (i, j)>
func.func @unknown_position(%q: tensor<?x64xf32>, %k: tensor<?x64xf32>, %v: tensor<?x64xf32>, %s0: tensor<?x?xf32>, %o0: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %zero = arith.constant 0.0 : f32
  %minf = arith.constant 0xFF800000 : f32
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %s = linalg.matmul indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>]
      ins(%q, %k : tensor<?x64xf32>, tensor<?x64xf32>) outs(%si : tensor<?x?xf32>) -> tensor<?x?xf32>
  %t = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%s : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) {
    ^bb0(%x: f32, %out: f32):
      %i = linalg.index 0 : index
      %j = linalg.index 1 : index
      // expected-remark @+1 {{attention is not fused: it does not compare the key with the row's position keys - rows + i}}
      %c = arith.cmpi sle, %j, %i : index
      %y = arith.select %c, %x, %minf : f32
      linalg.yield %y : f32
  } -> tensor<?x?xf32>
  %p = linalg.softmax dimension(1) ins(%t : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<?x?xf32>, tensor<?x64xf32>) outs(%oi : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %o : tensor<?x64xf32>
}

// -----
// A mask tensor is no comparison of positions.
#id = affine_map<(i, j) -> (i, j)>
func.func @mask_tensor(%q: tensor<?x64xf32>, %k: tensor<?x64xf32>, %v: tensor<?x64xf32>, %m: tensor<?x?xi1>, %s0: tensor<?x?xf32>, %o0: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %zero = arith.constant 0.0 : f32
  %minf = arith.constant 0xFF800000 : f32
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  // expected-remark @+1 {{attention is not fused: the mask is no comparison of positions}}
  %s = linalg.matmul indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>]
      ins(%q, %k : tensor<?x64xf32>, tensor<?x64xf32>) outs(%si : tensor<?x?xf32>) -> tensor<?x?xf32>
  %t = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%s, %m : tensor<?x?xf32>, tensor<?x?xi1>) outs(%s0 : tensor<?x?xf32>) {
    ^bb0(%x: f32, %c: i1, %out: f32):
      %y = arith.select %c, %x, %minf : f32
      linalg.yield %y : f32
  } -> tensor<?x?xf32>
  %p = linalg.softmax dimension(1) ins(%t : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<?x?xf32>, tensor<?x64xf32>) outs(%oi : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %o : tensor<?x64xf32>
}

// -----
// Zero instead of -inf excludes nothing.
#id = affine_map<(i, j) -> (i, j)>
func.func @selects_zero(%q: tensor<4x64xf32>, %k: tensor<4x64xf32>, %v: tensor<4x64xf32>, %s0: tensor<4x4xf32>, %o0: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %zero = arith.constant 0.0 : f32
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<4x4xf32>) -> tensor<4x4xf32>
  %s = linalg.matmul indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>]
      ins(%q, %k : tensor<4x64xf32>, tensor<4x64xf32>) outs(%si : tensor<4x4xf32>) -> tensor<4x4xf32>
  %t = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%s : tensor<4x4xf32>) outs(%s0 : tensor<4x4xf32>) {
    ^bb0(%x: f32, %out: f32):
      %i = linalg.index 0 : index
      %j = linalg.index 1 : index
      %c = arith.cmpi sle, %j, %i : index
      // expected-remark @+1 {{attention is not fused: it selects something else than -inf}}
      %y = arith.select %c, %x, %zero : f32
      linalg.yield %y : f32
  } -> tensor<4x4xf32>
  %p = linalg.softmax dimension(1) ins(%t : tensor<4x4xf32>) outs(%s0 : tensor<4x4xf32>) -> tensor<4x4xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<4x64xf32>) -> tensor<4x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x64xf32>) outs(%oi : tensor<4x64xf32>) -> tensor<4x64xf32>
  return %o : tensor<4x64xf32>
}

// -----
// The first product adds to something.
func.func @accumulates(%q: tensor<?x64xf32>, %k: tensor<?x64xf32>, %v: tensor<?x64xf32>, %s0: tensor<?x?xf32>, %o0: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %zero = arith.constant 0.0 : f32
  // expected-remark @+1 {{attention is not fused: it is no product of queries and keys that starts from zero}}
  %s = linalg.matmul indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>]
      ins(%q, %k : tensor<?x64xf32>, tensor<?x64xf32>) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %p = linalg.softmax dimension(1) ins(%s : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<?x?xf32>, tensor<?x64xf32>) outs(%oi : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %o : tensor<?x64xf32>
}

// -----
// Somebody else wants the probabilities.
func.func @second_use(%q: tensor<?x64xf32>, %k: tensor<?x64xf32>, %v: tensor<?x64xf32>, %s0: tensor<?x?xf32>, %o0: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x?xf32>) {
  %zero = arith.constant 0.0 : f32
  %si = linalg.fill ins(%zero : f32) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %s = linalg.matmul indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>]
      ins(%q, %k : tensor<?x64xf32>, tensor<?x64xf32>) outs(%si : tensor<?x?xf32>) -> tensor<?x?xf32>
  // expected-remark @+1 {{attention is not fused: its result is used more than once}}
  %p = linalg.softmax dimension(1) ins(%s : tensor<?x?xf32>) outs(%s0 : tensor<?x?xf32>) -> tensor<?x?xf32>
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  %o = linalg.matmul ins(%p, %v : tensor<?x?xf32>, tensor<?x64xf32>) outs(%oi : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %o, %p : tensor<?x64xf32>, tensor<?x?xf32>
}

// -----
// A product that has nothing to do with attention is not worth a word.
func.func @matmul(%a: tensor<?x64xf32>, %b: tensor<64x64xf32>, %o0: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %zero = arith.constant 0.0 : f32
  %oi = linalg.fill ins(%zero : f32) outs(%o0 : tensor<?x64xf32>) -> tensor<?x64xf32>
  %o = linalg.matmul ins(%a, %b : tensor<?x64xf32>, tensor<64x64xf32>) outs(%oi : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %o : tensor<?x64xf32>
}
