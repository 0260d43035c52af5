#include "runtime/package/Interface.h"

using namespace attncc;
using namespace attncc::package;

const char *package::paramTypeName(ParamType type) {
  static const char *const names[] = {"ptr", "i64", "i32", "f32", "tensor_map"};
  return names[static_cast<int>(type)];
}

std::vector<int64_t> Interface::offsets() const {
  std::vector<int64_t> result;
  int64_t end = 0;
  for (const Param &param : params) {
    int64_t alignment = paramAlignment(param.type);
    end = (end + alignment - 1) / alignment * alignment;
    result.push_back(end);
    end += paramBytes(param.type);
  }
  return result;
}

int64_t Interface::paramsBytes() const {
  return params.empty() ? 0 : offsets().back() + paramBytes(params.back().type);
}

namespace {

/// Appends parameters in the groups in which the kernels take them.
struct Builder {
  Interface interface;

  Builder &pointer(std::string name, std::string access, std::string of, int64_t align = 0,
                   bool nullable = false) {
    interface.params.push_back(
        {std::move(name), ParamType::Ptr, std::move(access), std::move(of), align, nullable, ""});
    return *this;
  }
  Builder &number(std::string name, ParamType type, std::string note = "") {
    interface.params.push_back({std::move(name), type, "", "", 0, false, std::move(note)});
    return *this;
  }
  /// [tokens, heads, dim] of the class's type.
  Builder &tensor(const std::string &name, std::string access, bool nullable = false) {
    return pointer(name, std::move(access), "", 16, nullable)
        .number(name + "_token_stride", ParamType::I64)
        .number(name + "_head_stride", ParamType::I64);
  }
  /// [tokens, heads] f32.
  Builder &lse(const std::string &name, std::string access, bool nullable) {
    return pointer(name, std::move(access), "f32", 0, nullable)
        .number(name + "_token_stride", ParamType::I64)
        .number(name + "_head_stride", ParamType::I64);
  }
  Builder &kv(const std::string &access) {
    for (const char *name : {"k", "v"})
      pointer(name, access, "", 16)
          .number(std::string(name) + "_page_stride", ParamType::I64)
          .number(std::string(name) + "_token_stride", ParamType::I64)
          .number(std::string(name) + "_head_stride", ParamType::I64);
    return *this;
  }
  /// `sequences`: how many there are is no dimension of the grid.
  Builder &batch(bool sequences = false) {
    pointer("query_start", "r", "i32")
        .pointer("kv_length", "r", "i32")
        .pointer("block_table", "r", "i32")
        .number("block_table_stride", ParamType::I64)
        .pointer("page_indptr", "r", "i32", 0, true)
        .number("num_pages", ParamType::I64)
        .number("kv_heads", ParamType::I32)
        .number("max_kv_length", ParamType::I32)
        .number("max_query_length", ParamType::I32)
        .number("split_tokens", ParamType::I32, "0: the rule of the kernel; see adds_splits");
    return sequences ? number("num_sequences", ParamType::I32) : *this;
  }
  Builder &workspace(std::string access) {
    return pointer("workspace", std::move(access), "", 256);
  }
};

Interface makeAppend() {
  Builder b;
  b.tensor("query", "r", true)
      .tensor("key", "r")
      .tensor("value", "r")
      .tensor("query_out", "w", true);
  b.kv("w").batch();
  b.pointer("slot_mapping", "r", "i64", 0, true).pointer("position", "r", "i64", 0, true);
  b.pointer("cos_sin", "r", "", 0, true).number("cos_sin_stride", ParamType::I64);
  b.number("cos_sin_positions", ParamType::I32, "rows of the table");
  b.number("cos_sin_bytes", ParamType::I32, "of an element: 2, the class's type, or 4, f32");
  b.pointer("q_norm", "r", "", 0, true).pointer("k_norm", "r", "", 0, true).workspace("rw");
  b.interface.grid = {"kv_heads", "max_query_length", "num_sequences"};
  b.interface.workspaceBytes = "256";
  b.interface.trafficBytes = "num_tokens*(2*query_heads*k_dim+kv_heads*(k_dim+v_dim))*q_bytes"
                             "+num_tokens*kv_heads*(k_dim*k_bytes+v_dim*v_bytes)";
  return b.interface;
}

/// The parameters of decode and prefill. `tensorMaps`: pages come by tensor maps, not by base and
/// strides; `persistent`: blocks stay for many items.
Builder attentionParams(bool tensorMaps, bool persistent = false) {
  Builder b;
  b.tensor("query", "r");
  if (tensorMaps)
    b.number("k", ParamType::TensorMap).number("v", ParamType::TensorMap);
  else
    b.kv("r");
  b.batch(persistent).tensor("output", "w").lse("lse", "w", true).workspace("rw");
  b.number("scale_log2", ParamType::F32, "scale * log2(e)");
  return b;
}

Interface makeDecode(bool tensorMaps) {
  Builder b = attentionParams(tensorMaps);
  b.interface.grid = {"kv_heads*ceil_div(group*max_query_length, rows)", "num_sequences",
                      "max_splits(max_kv_length)"};
  b.interface.followedBy = "merge/1";
  b.interface.workspaceBytes =
      "256+256*ceil_div(4*max_sequences*kv_heads,256)"
      "+max_sequences*max_splits(max_kv_length)*max_query_length*query_heads*(v_dim+1)*4";
  b.interface.trafficBytes = "total_chunk_kv*kv_heads*(k_dim*k_bytes+v_dim*v_bytes)"
                             "+num_tokens*query_heads*(k_dim+v_dim)*q_bytes";
  return b.interface;
}

/// As decode, without splits: of the workspace only the error word. By tensor maps as many blocks
/// as run at once.
Interface makePrefill(bool tensorMaps) {
  Interface interface = attentionParams(tensorMaps, /*persistent=*/tensorMaps).interface;
  const std::string blocks = "kv_heads*ceil_div(group*max_query_length, rows)";
  if (tensorMaps)
    interface.grid = {"min(multiprocessors, " + blocks + "*num_sequences)", "1", "1"};
  else
    interface.grid = {blocks, "1", "num_sequences"};
  interface.workspaceBytes = "256";
  interface.trafficBytes = "total_visible_kv*kv_heads*(k_dim*k_bytes+v_dim*v_bytes)"
                           "+num_tokens*query_heads*(k_dim+v_dim)*q_bytes";
  return interface;
}

Interface makeMerge() {
  Builder b;
  b.workspace("rw").batch().tensor("output", "w").lse("lse", "w", true);
  b.interface.grid = {"ceil_div(kv_heads*group*max_query_length, units)", "1", "num_sequences"};
  return b.interface;
}

Interface makeMergeStates() {
  Builder b;
  b.number("num_tokens", ParamType::I32).number("query_heads", ParamType::I32);
  b.number("num_parts", ParamType::I32, "the others' pointers are not used");
  b.number("lse_scale", ParamType::F32, "of the parts: 1 where natural, ln(2) where base 2");
  for (int64_t part = 0; part < kMaxStates; ++part) {
    const std::string name = "part" + std::to_string(part);
    b.tensor(name + "_output", "r", true).lse(name + "_lse", "r", true);
  }
  b.tensor("output", "w").lse("lse", "w", true);
  b.interface.grid = {"ceil_div(num_tokens*query_heads, units)", "1", "1"};
  b.interface.trafficBytes = "(num_parts+1)*num_tokens*query_heads*(v_dim*q_bytes+4)";
  return b.interface;
}

} // namespace

const Interface *package::standardInterface(std::string_view name) {
  static const Interface append = makeAppend(), decode = makeDecode(/*tensorMaps=*/false),
                         decodeTma = makeDecode(/*tensorMaps=*/true),
                         prefill = makePrefill(/*tensorMaps=*/false),
                         prefillTma = makePrefill(/*tensorMaps=*/true), merge = makeMerge(),
                         mergeStates = makeMergeStates();
  for (auto [known, interface] :
       {std::pair("append/1", &append), std::pair("decode/1", &decode),
        std::pair("decode.tma/1", &decodeTma), std::pair("prefill/1", &prefill),
        std::pair("prefill.tma/1", &prefillTma), std::pair("merge/1", &merge),
        std::pair("merge_states/1", &mergeStates)})
    if (name == known)
      return interface;
  return nullptr;
}
