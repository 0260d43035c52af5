//===- Programs.h - tile programs for the interpreter's tests -----------------===//
//
// The kernels of a decode, merge and append as they come from
// --convert-attn-to-tile, for a few shapes.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "test/dialects/tile/SplitForms.h"

#include <string>
#include <utility>
#include <vector>

namespace attncc::tile::interpreter {

/// Replaces every `$name` of a text.
inline std::string fill(std::string text,
                        const std::vector<std::pair<std::string, std::string>> &values) {
  for (const auto &[name, value] : values)
    for (size_t at; (at = text.find(name)) != std::string::npos;)
      text.replace(at, name.size(), value);
  return text;
}

struct DecodeShape {
  int dim = 16, group = 4, rows = 8, units = 2, keys = 16, pageSize = 4, maxQuery = 3;
  std::string mask = "causal", split = "none", merge = "kernel";
};

inline std::string decodeProgram(const DecodeShape &shape) {
  auto n = [](int value) { return std::to_string(value); };
  SplitForm splits = splitForm(shape.merge, shape.keys);
  return fill(R"(
!kv = !attn.paged_kv<page_size = $page, kv_heads = 2, key = $dim x bf16, value = $dim x bf16, order = NHD>
!m = !tile.tile<$rowsx1xf32>
!o = !tile.tile<$rowsx$dimxf32>
tile.kernel @decode(%query: tensor<?x?x$dimxbf16>, %kv: !kv, %batch: !tile.batch, %out: tensor<?x?x$dimxbf16>,
                    %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace, %scale: f32)
    attributes {schedule = #attn.schedule<units = $units, rows = $rows, keys = $keys, split = $split, merge = $merge>,
                phase = #attn.phase<decode, max_query = $most>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  tile.work_loop(%item, %unit) in %batch items(<decode, group = $group>) {
    %q = tile.load_rows query %query[%item] : tensor<?x?x$dimxbf16> -> !tile.tile<$rowsx$dimxbf16>
    %range = tile.key_range %item, %unit mask(#attn.mask<$mask>) {keys = $keys}
    %n = tile.range_count %range
    %m0, %l0 = tile.softmax_init : !tile.tile<$rowsx1xf32>, !tile.tile<$rowsx1xf32>
    %o0 = tile.zero : !tile.tile<$rowsx$dimxf32>
    $before
    %m, %l, %o$results = scf.for %j = %c0 to %n step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %o0$carried)
        -> (!m, !m, !o$types) {
      %t = tile.key_tile %range[%j]
      %k = tile.load_keys %kv[%item, %t] : !kv -> !tile.tile<$keysx$dimxbf16>
      %s0 = tile.matmul %q, %k {transpose_b}
          : (!tile.tile<$rowsx$dimxbf16>, !tile.tile<$keysx$dimxbf16>) -> !tile.tile<$rowsx$keysxf32>
      %s1 = tile.mask %s0[%item, %t] mask(#attn.mask<$mask>) : !tile.tile<$rowsx$keysxf32>
      %p, %mj, %lj, %f = tile.softmax_step %s1, %mi, %li scale %scale
          : !tile.tile<$rowsx$keysxf32>, !tile.tile<$rowsx1xf32>, !tile.tile<$rowsx1xf32>
      %v = tile.load_values %kv[%item, %t] : !kv -> !tile.tile<$keysx$dimxbf16>
      %pb = tile.convert %p : !tile.tile<$rowsx$keysxf32> -> !tile.tile<$rowsx$keysxbf16>
      %or = tile.rescale %oi, %f : !tile.tile<$rowsx$dimxf32>, !tile.tile<$rowsx1xf32>
      %oj = tile.matmul %pb, %v, %or
          : (!tile.tile<$rowsx$keysxbf16>, !tile.tile<$keysx$dimxbf16>, !tile.tile<$rowsx$dimxf32>) -> !tile.tile<$rowsx$dimxf32>
      $end
      scf.yield $yielded
    }
    $after
    tile.store_attention %r, %lse, %out, %lse_out[%item]
        : !tile.tile<$rowsx$dimxf32>, !tile.tile<$rowsx1xf32>, tensor<?x?x$dimxbf16>
  }
  tile.return
}
tile.kernel @merge(%workspace: !tile.workspace, %batch: !tile.batch, %out: tensor<?x?x$dimxbf16>,
                   %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 2, split = $split, merge = $merges>, phase = #attn.phase<merge>} {
  tile.work_loop(%item, %unit) in %batch items(<merge, group = $group>) {
    %r, %lse = tile.merge_splits %workspace[%item] : !tile.tile<1x$dimxf32>, !tile.tile<1x1xf32>
    tile.store_merged %r, %lse, %out, %lse_out[%item]
        : !tile.tile<1x$dimxf32>, !tile.tile<1x1xf32>, tensor<?x?x$dimxbf16>
  }
  tile.return
}
)",
              {{"$page", n(shape.pageSize)},
               {"$dim", n(shape.dim)},
               {"$units", n(shape.units)},
               {"$rows", n(shape.rows)},
               {"$keys", n(shape.keys)},
               {"$split", shape.split},
               {"$merges", shape.merge == "kernel" ? "kernel" : "item"},
               {"$merge", shape.merge},
               {"$before", splits.before},
               {"$results", splits.results},
               {"$carried", splits.carried},
               {"$types", splits.types},
               {"$end", splits.end},
               {"$yielded", splits.yielded},
               {"$after", splits.after},
               {"$most", n(shape.maxQuery)},
               {"$group", n(shape.group)},
               {"$mask", shape.mask}});
}

struct DrawnShape {
  int group = 4, units = 2, pageSize = 4;
  std::string mask = "causal", lazy = "8";
};

/// Prefill by blocks that stay for many items; products are started and awaited, the scores' in one
/// of two branches.
inline std::string drawnProgram(const DrawnShape &shape) {
  return fill(R"(
!kv = !attn.paged_kv<page_size = $page, kv_heads = 2, key = 16 x bf16, value = 8 x bf16, order = NHD>
!q = !tile.tile<16x16xbf16>
!k = !tile.tile<16x16xbf16>
!v = !tile.tile<16x8xbf16>
!s = !tile.tile<16x16xf32>
!o = !tile.tile<16x8xf32>
!m = !tile.tile<16x1xf32>
tile.kernel @prefill(%query: tensor<?x?x16xbf16>, %kv: !kv, %batch: !tile.batch, %out: tensor<?x?x8xbf16>,
                     %lse_out: tensor<?x?xf32>, %workspace: !tile.workspace, %scale: f32)
    attributes {schedule = #attn.schedule<units = $units, rows = 16, divide = rows, orientation = direct>,
                phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %end:3 = scf.while (%cursor = %c0) : (index) -> (!tile.item, index, index) {
    %item, %unit, %valid, %next = tile.draw_item %batch[%cursor] items(<prefill, group = $group>)
    scf.condition(%valid) %item, %unit, %next : !tile.item, index, index
  } do {
  ^bb0(%item: !tile.item, %unit: index, %next: index):
    %first = arith.cmpi eq, %unit, %c0 : index
    %q = tile.load_rows query %query[%item] : tensor<?x?x16xbf16> -> !q
    %range = tile.key_range %item, %unit mask(#attn.mask<$mask>) {keys = 16}
    %n = tile.range_count %range
    %m0, %l0 = tile.softmax_init : !m, !m
    %o0 = tile.zero : !o
    %m, %l, %o = scf.for %j = %c0 to %n step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %o0) -> (!m, !m, !o) {
      %t = tile.key_tile %range[%j]
      %k = tile.load_keys %kv[%item, %t] : !kv -> !k
      %v = tile.load_values %kv[%item, %t] : !kv -> !v
      %ps = scf.if %first -> (!tile.pending<!s>) {
        %p0 = tile.matmul_issue %q, %k {transpose_b} : (!q, !k) -> !tile.pending<!s>
        scf.yield %p0 : !tile.pending<!s>
      } else {
        %p1 = tile.matmul_issue %q, %k {transpose_b} : (!q, !k) -> !tile.pending<!s>
        scf.yield %p1 : !tile.pending<!s>
      }
      %s = tile.await %ps : (!tile.pending<!s>) -> !s
      %sm = tile.mask %s[%item, %t] mask(#attn.mask<$mask>) : !s
      %p, %mj, %lj, %f = tile.softmax_step %sm, %mi, %li scale %scale {lazy = $lazy : i64} : !s, !m, !m
      %pb = tile.convert %p : !s -> !k
      %or = tile.rescale %oi, %f {voted} : !o, !m
      %po = tile.matmul_issue %pb, %v, %or : (!k, !v, !o) -> !tile.pending<!o>
      %oj, %mk = tile.await %po with %mj : (!tile.pending<!o>, !m) -> (!o, !m)
      scf.yield %mk, %lj, %oj : !m, !m, !o
    }
    %r, %lse = tile.normalize %o, %m, %l : (!o, !m, !m) -> (!o, !m)
    tile.store_attention %r, %lse, %out, %lse_out[%item] : !o, !m, tensor<?x?x8xbf16>
    scf.yield %next : index
  }
  tile.return
}
)",
              {{"$page", std::to_string(shape.pageSize)},
               {"$units", std::to_string(shape.units)},
               {"$group", std::to_string(shape.group)},
               {"$mask", shape.mask},
               {"$lazy", shape.lazy}});
}

/// The rows of states of 8 dims.
inline std::string mergeStatesProgram() {
  return R"(
!states = !attn.states<parts = 4, heads = 2, dim = 8, type = bf16>
tile.kernel @merge_states(%states: !states, %out: tensor<?x?x8xbf16>, %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<merge_states>} {
  tile.work_loop(%item, %unit) in %states : !states items(<merge_states, group = 1>) {
    %r, %lse = tile.merge_states %states[%item] : !states -> !tile.tile<1x8xf32>, !tile.tile<1x1xf32>
    tile.store_merged %r, %lse, %out, %lse_out[%item]
        : !tile.tile<1x8xf32>, !tile.tile<1x1xf32>, tensor<?x?x8xbf16>
  }
  tile.return
}
)";
}

/// Norm and rotation of 4 query heads and one key head of 8 dims, 6 of which are rotated.
inline std::string appendProgram(const std::string &pairing) {
  return fill(R"(
!kv = !attn.paged_kv<page_size = 4, kv_heads = 2, key = 8 x bf16, value = 8 x bf16, order = NHD>
tile.kernel @append(%query: tensor<?x?x8xbf16>, %key: tensor<?x?x8xbf16>, %value: tensor<?x?x8xbf16>,
                    %query_out: tensor<?x?x8xbf16>, %kv: !kv, %batch: !tile.batch, %slots: tensor<?xi64>,
                    %positions: tensor<?xi64>, %weight: tensor<8xbf16>, %table: !attn.cos_sin<dim = 6, type = bf16>)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  tile.work_loop(%item, %unit) in %batch items(<append, group = 4>) {
    %q = tile.load_rows query %query[%item] : tensor<?x?x8xbf16> -> !tile.tile<8x8xbf16>
    %k = tile.load_rows key %key[%item] : tensor<?x?x8xbf16> -> !tile.tile<1x8xbf16>
    %v = tile.load_rows value %value[%item] : tensor<?x?x8xbf16> -> !tile.tile<1x8xbf16>
    %w = tile.load_vector %weight : tensor<8xbf16> -> !tile.tile<1x8xbf16>
    %qn = tile.rms_norm %q weight %w {epsilon = 1.0e-3 : f64} : !tile.tile<8x8xbf16>, !tile.tile<1x8xbf16> -> !tile.tile<8x8xf32>
    %qr = tile.rope %qn[%item] rope(#attn.rope<pairing = $pairing, dim = 6, attention_factor = 1.5, inverse_frequencies = [1.0, 0.25, 0.0625]>) position %positions
        cos_sin %table : !attn.cos_sin<dim = 6, type = bf16> : !tile.tile<8x8xf32> -> !tile.tile<8x8xf32>
    %kr = tile.rope %k[%item] rope(#attn.rope<pairing = $pairing, dim = 6, attention_factor = 1.5, inverse_frequencies = [1.0, 0.25, 0.0625]>) position %positions
        cos_sin %table : !attn.cos_sin<dim = 6, type = bf16> : !tile.tile<1x8xbf16> -> !tile.tile<1x8xf32>
    tile.store_rows query %qr, %query_out[%item] : !tile.tile<8x8xf32>, tensor<?x?x8xbf16>
    tile.store_kv %kr, %v, %kv[%item] slots %slots : !tile.tile<1x8xf32>, !tile.tile<1x8xbf16>, !kv
  }
  tile.return
}
)",
              {{"$pairing", pairing}});
}

} // namespace attncc::tile::interpreter
