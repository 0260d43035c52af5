// RUN: attncc-opt %s | attncc-opt | FileCheck %s
// RUN: %python %S/../examples-in-docs.py %s %source/dialects/attn/AttnAttrs.td
// Every attribute survives printing and parsing, numbers to the last bit. Schedules: schedule-attribute.mlir.

// The documented examples.
// CHECK-LABEL: @examples
// CHECK-SAME: schedule = #attn.schedule<unit = 1, units = 2, rows = 16, {{.*}}stages = 2,
func.func private @examples() attributes {
  mask = #attn.mask<causal, window = 4096>,
  rope = #attn.rope<pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>,
  schedule = #attn.schedule<units = 2, rows = 16, stages = 2>}

// CHECK-LABEL: @masks
// CHECK-SAME: all = #attn.mask<causal, window = 4096, chunk = 8192, prefix, documents, tree>
// CHECK-SAME: none = #attn.mask<none>
// CHECK-SAME: right = #attn.mask<window = 3, right_window = 0>
func.func private @masks() attributes {
  all = #attn.mask<tree, documents, prefix, chunk = 8192, window = 4096, causal>,
  none = #attn.mask<none>,
  right = #attn.mask<window = 3, right_window = 0>}

// CHECK-LABEL: @scores
// CHECK-SAME: capped = #attn.scores<scale = 0.0883, softcap = 50.0>
// CHECK-SAME: one = #attn.scores<scale = 1.0>
// CHECK-SAME: small = #attn.scores<scale = 1.0e-300>
// CHECK-SAME: third = #attn.scores<scale = 0.3333333333333333>
func.func private @scores() attributes {
  capped = #attn.scores<scale = 0.0883, softcap = 50.0>, one = #attn.scores<>,
  small = #attn.scores<scale = 1.0e-300>, third = #attn.scores<scale = 0.33333333333333331>}

// The frequencies are f32: 0.1 is the nearest one, and prints as such.
// CHECK-LABEL: @ropes
// CHECK-SAME: interleaved = #attn.rope<pairing = interleaved, dim = 4, theta = 500000.0, scaling = yarn, attention_factor = 1.25, inverse_frequencies = [1.0, 0.1]>
// CHECK-SAME: plain = #attn.rope<pairing = half, dim = 2, theta = 10000.0, inverse_frequencies = [1.1754944e-38]>
func.func private @ropes() attributes {
  interleaved = #attn.rope<pairing = interleaved, dim = 4, theta = 500000.0, scaling = yarn, attention_factor = 1.25, inverse_frequencies = [1.0, 0.1000000001]>,
  plain = #attn.rope<dim = 2, inverse_frequencies = [1.17549435e-38]>}

// CHECK-LABEL: @splits
// CHECK-SAME: constant = #attn.split<length = 2048>
// CHECK-SAME: steps = #attn.split<steps = {{\[\[}}2048, 256], [8192, 1024], [131072, 2048]]>
func.func private @splits() attributes {
  constant = #attn.split<length = 2048>, steps = #attn.split<steps = [[2048, 256], [8192, 1024], [131072, 2048]]>}

// CHECK-LABEL: @phases
// CHECK-SAME: append = #attn.phase<append>
// CHECK-SAME: decode = #attn.phase<decode, max_query = 8>
// CHECK-SAME: merge = #attn.phase<merge>
// CHECK-SAME: prefill = #attn.phase<prefill, max_query = 8>
func.func private @phases() attributes {
  append = #attn.phase<append>, decode = #attn.phase<decode, max_query = 8>, merge = #attn.phase<merge>, prefill = #attn.phase<prefill, max_query = 8>}
