//===- Programs.cpp - tile kernels as conversions write them -------------------===//
#include "test/dialects/tile/transforms/Programs.h"

#include "test/dialects/tile/SplitForms.h"

#include <cmath>

namespace attncc::tile {
namespace {

std::string number(int64_t n) { return std::to_string(n); }

/// Replaces every `$NAME` of the template.
struct Template {
  std::string text;
  Template &put(const std::string &name, const std::string &value) {
    std::string key = "$" + name;
    for (size_t at; (at = text.find(key)) != std::string::npos;)
      text.replace(at, key.size(), value);
    return *this;
  }
  Template &put(const std::string &name, int64_t value) { return put(name, number(value)); }
};

} // namespace

namespace {
struct AttentionForm {
  std::string role, schedule, mask;
  bool lazy = false; ///< the maximum moves when it must
};

std::string attentionProgram(const DecodeShape &s, const AttentionForm &form) {
  Template t{R"(
!kv = !attn.paged_kv<page_size = $PAGE, kv_heads = 2, key = $DK x $TYPE, value = $DV x $TYPE, order = NHD>
!q = !tile.tile<$ROWSx$DKx$TYPE>
!k = !tile.tile<$KEYSx$DKx$TYPE>
!v = !tile.tile<$KEYSx$DVx$TYPE>
!s = !tile.tile<$ROWSx$KEYSxf32>
!p = !tile.tile<$ROWSx$KEYSx$TYPE>
!o = !tile.tile<$ROWSx$DVxf32>
!m = !tile.tile<$ROWSx1xf32>
tile.kernel @$ROLE(%query: tensor<?x?x$DKx$TYPE>, %kv: !kv, %batch: !tile.batch,
                    %out: tensor<?x?x$DVx$TYPE>, %lse_out: tensor<?x?xf32>,
                    %workspace: !tile.workspace, %scale: f32)
    attributes {schedule = #attn.schedule<units = $UNITS, rows = $ROWS, keys = $KEYS$FORM, stages = $STAGES$COPY$SPLIT>,
                phase = #attn.phase<$ROLE, max_query = $MOST>} {
  tile.work_loop(%item, %unit) in %batch items(<$ROLE, group = $GROUP>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %q = tile.load_rows query %query[%item] : tensor<?x?x$DKx$TYPE> -> !q
    %range = tile.key_range %item, %unit mask(#attn.mask<$MASK>) {keys = $KEYS : i64}
    %n = tile.range_count %range
    %m0, %l0 = tile.softmax_init : !m, !m
    %o0 = tile.zero : !o
$BEFORE    %m, %l, %o$RESULTS = scf.for %j = %c0 to %n step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %o0$CARRIED) -> (!m, !m, !o$TYPES) {
      %t = tile.key_tile %range[%j]
      %k = tile.load_keys %kv[%item, %t] : !kv -> !k
      %s0 = tile.matmul %q, %k {transpose_b} : (!q, !k) -> !s
      %s1 = tile.mask %s0[%item, %t] mask(#attn.mask<$MASK>) : !s
      %p, %mj, %lj, %f = tile.softmax_step %s1, %mi, %li scale %scale$LAZY : !s, !m, !m
      %pb = tile.convert %p : !s -> !p
      %or = tile.rescale %oi, %f$VOTED : !o, !m
      %v = tile.load_values %kv[%item, %t] : !kv -> !v
      %oj = tile.matmul %pb, %v, %or : (!p, !v, !o) -> !o
$END      scf.yield $YIELDED
    }
$AFTER    tile.store_attention %r, %lse, %out, %lse_out[%item] : !o, !m, tensor<?x?x$DVx$TYPE>
  }
  tile.return
}
)"};
  SplitForm splits;
  splits.yielded = "%mj, %lj, %oj : !m, !m, !o";
  splits.after = "%r, %lse = tile.normalize %o, %m, %l : (!o, !m, !m) -> (!o, !m)\n";
  if (form.role == "decode")
    splits = splitForm(s.merge, s.keys);
  t.put("BEFORE", splits.before).put("RESULTS", splits.results).put("CARRIED", splits.carried);
  t.put("TYPES", splits.types).put("END", splits.end).put("YIELDED", splits.yielded);
  t.put("AFTER", splits.after);
  t.put("LAZY", form.lazy ? " {lazy = 8 : i64}" : "").put("VOTED", form.lazy ? " {voted}" : "");
  t.put("COPY", s.box ? ", copy = tensor, box = " + number(s.box) : "");
  t.put("STAGES", s.stagesText.empty() ? number(s.stages) : s.stagesText);
  t.put("PAGE", s.pageSize).put("TYPE", s.type).put("DK", s.keyDim).put("DV", s.valueDim);
  t.put("ROWS", s.rows).put("KEYS", s.keys).put("UNITS", s.units).put("GROUP", s.group);
  t.put("MOST", s.maxQuery)
      .put("FORM", form.schedule)
      .put("MASK", form.mask)
      .put("ROLE", form.role);
  return t.put("SPLIT", s.split).text;
}
} // namespace

std::string decodeProgram(const DecodeShape &s) {
  return attentionProgram(s,
                          {"decode", s.merge == "kernel" ? "" : ", merge = " + s.merge, "causal"});
}

std::string prefillProgram(const DecodeShape &shape, const std::string &order,
                           const std::string &mask) {
  return attentionProgram(
      shape, {"prefill", ", divide = rows, orientation = direct, order = " + order, mask});
}

std::string rolesProgram(const DecodeShape &shape, const RolesForm &form) {
  std::string schedule = ", unit = 4, divide = rows, orientation = direct, product = wgmma, "
                         "roles = specialised, registers = [32, 32, 160], overlap = " +
                         form.overlap + ", ping_pong = " + (form.pingPong ? "true" : "false") +
                         ", rescale = " + (form.lazy ? "lazy" : "always") +
                         ", query_stages = " + number(form.queryStages) + ", work = " + form.work +
                         ", order = " + form.order + (form.staged ? ", output = staged" : "") +
                         (form.skip ? ", skip_tiles = true" : "");
  return attentionProgram(shape, {"prefill", schedule, form.mask, form.lazy});
}

std::string appendProgram(const AppendShape &s) {
  Template t{R"(
!kv = !attn.paged_kv<page_size = $PAGE, kv_heads = 2, key = $DIM x bf16, value = $DIM x bf16, order = NHD>
!q = !tile.tile<$GROUPx$DIMxbf16>
!k = !tile.tile<1x$DIMxbf16>
!qf = !tile.tile<$GROUPx$DIMxf32>
!kf = !tile.tile<1x$DIMxf32>
tile.kernel @append(%query: tensor<?x?x$DIMxbf16>, %key: tensor<?x?x$DIMxbf16>, %value: tensor<?x?x$DIMxbf16>,
                    %query_out: tensor<?x?x$DIMxbf16>, %kv: !kv, %batch: !tile.batch,
                    %slots: tensor<?xi64>, %positions: tensor<?xi64>, %q_norm: tensor<$DIMxbf16>,
                    %k_norm: tensor<$DIMxbf16>, %table: !attn.cos_sin<dim = $ROTARY, type = bf16>)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  tile.work_loop(%item, %unit) in %batch items(<append, group = $GROUP>) {
    %q = tile.load_rows query %query[%item] : tensor<?x?x$DIMxbf16> -> !q
    %k = tile.load_rows key %key[%item] : tensor<?x?x$DIMxbf16> -> !k
    %v = tile.load_rows value %value[%item] : tensor<?x?x$DIMxbf16> -> !k
$BODY    tile.store_rows query %qr, %query_out[%item] : !qf, tensor<?x?x$DIMxbf16>
    tile.store_kv %kr, %v, %kv[%item] slots %slots : !kf, !k, !kv
  }
  tile.return
}
)"};
  std::string rope =
      "rope(#attn.rope<pairing = " + std::string(s.interleaved ? "interleaved" : "half") +
      ", dim = " + number(s.rotary) + ", theta = 10000.0, inverse_frequencies = [";
  for (int64_t i = 0; i < s.rotary / 2; ++i)
    rope += (i ? ", " : "") + std::to_string(std::pow(10000.0, -2.0 * i / s.rotary));
  rope += "]>) position %positions cos_sin %table : !attn.cos_sin<dim = $ROTARY, type = bf16>";
  std::string body;
  if (s.norm)
    body = "    %wq = tile.load_vector %q_norm : tensor<$DIMxbf16> -> !k\n"
           "    %wk = tile.load_vector %k_norm : tensor<$DIMxbf16> -> !k\n"
           "    %qn = tile.rms_norm %q weight %wq {epsilon = 1.0e-5 : f64} : !q, !k -> !qf\n"
           "    %kn = tile.rms_norm %k weight %wk {epsilon = 1.0e-5 : f64} : !k, !k -> !kf\n";
  std::string q = s.norm ? "%qn" : "%q", k = s.norm ? "%kn" : "%k";
  std::string qType = s.norm ? "!qf" : "!q", kType = s.norm ? "!kf" : "!k";
  body += "    %qr = tile.rope " + q + "[%item] " + rope + " : " + qType + " -> !qf\n";
  body += "    %kr = tile.rope " + k + "[%item] " + rope + " : " + kType + " -> !kf\n";
  t.put("BODY", body).put("PAGE", s.pageSize).put("ROTARY", s.rotary);
  return t.put("DIM", s.dim).put("GROUP", s.group).text;
}

std::string copyProgram(int64_t dim, int64_t group) {
  Template t{R"(
!kv = !attn.paged_kv<page_size = 16, kv_heads = 2, key = $DIM x bf16, value = $DIM x bf16, order = NHD>
!q = !tile.tile<$GROUPx$DIMxbf16>
!k = !tile.tile<1x$DIMxbf16>
tile.kernel @append(%query: tensor<?x?x$DIMxbf16>, %key: tensor<?x?x$DIMxbf16>, %value: tensor<?x?x$DIMxbf16>,
                    %query_out: tensor<?x?x$DIMxbf16>, %kv: !kv, %batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<append>} {
  tile.work_loop(%item, %unit) in %batch items(<append, group = $GROUP>) {
    %q = tile.load_rows query %query[%item] {optional} : tensor<?x?x$DIMxbf16> -> !q
    %k = tile.load_rows key %key[%item] : tensor<?x?x$DIMxbf16> -> !k
    %v = tile.load_rows value %value[%item] : tensor<?x?x$DIMxbf16> -> !k
    tile.store_rows query %q, %query_out[%item] {optional} : !q, tensor<?x?x$DIMxbf16>
    tile.store_kv %k, %v, %kv[%item] : !k, !k, !kv
  }
  tile.return
}
)"};
  return t.put("DIM", dim).put("GROUP", group).text;
}

std::string mergeProgram(int64_t dim, int64_t units) {
  Template t{R"(
tile.kernel @merge(%workspace: !tile.workspace, %batch: !tile.batch, %out: tensor<?x?x$DIMxbf16>,
                   %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = $UNITS, split = #attn.split<steps = [[64, 16], [4096, 32]]>>,
                phase = #attn.phase<merge>} {
  tile.work_loop(%item, %unit) in %batch items(<merge, group = 4>) {
    %r, %lse = tile.merge_splits %workspace[%item] : !tile.tile<1x$DIMxf32>, !tile.tile<1x1xf32>
    tile.store_merged %r, %lse, %out, %lse_out[%item]
        : !tile.tile<1x$DIMxf32>, !tile.tile<1x1xf32>, tensor<?x?x$DIMxbf16>
  }
  tile.return
}
)"};
  return t.put("DIM", dim).put("UNITS", units).text;
}

std::string mergeStatesProgram(int64_t dim, int64_t units) {
  Template t{R"(
!states = !attn.states<parts = 16, heads = 8, dim = $DIM, type = bf16>
tile.kernel @merge_states(%states: !states, %out: tensor<?x?x$DIMxbf16>, %lse_out: tensor<?x?xf32>)
    attributes {schedule = #attn.schedule<units = $UNITS>, phase = #attn.phase<merge_states>} {
  tile.work_loop(%item, %unit) in %states : !states items(<merge_states, group = 1>) {
    %r, %lse = tile.merge_states %states[%item] : !states -> !tile.tile<1x$DIMxf32>, !tile.tile<1x1xf32>
    tile.store_merged %r, %lse, %out, %lse_out[%item]
        : !tile.tile<1x$DIMxf32>, !tile.tile<1x1xf32>, tensor<?x?x$DIMxbf16>
  }
  tile.return
}
)"};
  return t.put("DIM", dim).put("UNITS", units).text;
}

} // namespace attncc::tile
