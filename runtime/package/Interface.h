//===- Interface.h - the parameter list of a kernel --------------------------===//
//
// Internal. An interface names the parameters of a kernel in order, its grid and its rules for
// workspace and traffic. The versioned ones (standardInterface) never change: the compiler writes
// them with standardInterface, the loader refuses a manifest whose list differs, and
// runtime/plan/Parameters.h lays the same parameters out as a struct. Test:
// test/runtime/package/FormulaTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/package/Formula.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::package {

/// A tensor map is 128 opaque bytes by value (KernelEntry::tensorMaps).
enum class ParamType { Ptr, I64, I32, F32, TensorMap };
const char *paramTypeName(ParamType type);
inline int64_t paramBytes(ParamType type) {
  return type == ParamType::TensorMap                       ? 128
         : type == ParamType::Ptr || type == ParamType::I64 ? 8
                                                            : 4;
}
inline int64_t paramAlignment(ParamType type) {
  return type == ParamType::TensorMap ? 64 : paramBytes(type);
}

struct Param {
  std::string name;
  ParamType type = ParamType::Ptr;
  std::string access; ///< of a ptr: "r", "w" or "rw"
  std::string of;     ///< of a ptr: element type, e.g. "i32"; empty for the class's own type
  int64_t align = 0;  ///< of a ptr: bytes; 0 = the element's own
  bool nullable = false;
  std::string note;
  bool operator==(const Param &) const = default;
};

struct Interface {
  std::vector<Param> params;
  std::array<std::string, 3> grid; ///< formulas
  std::string followedBy;          ///< interface that completes this one's result, or empty
  std::string workspaceBytes, trafficBytes; ///< formulas; empty: none
  bool operator==(const Interface &) const = default;

  /// Byte offset of each parameter at natural alignment, and the size of all of them.
  std::vector<int64_t> offsets() const;
  int64_t paramsBytes() const;
};

/// The most attention states that one launch of merge_states/1 joins.
constexpr int64_t kMaxStates = 16;

/// "append/1", "decode/1", "decode.tma/1", "prefill/1", "prefill.tma/1", "merge/1" or
/// "merge_states/1"; null for another name.
const Interface *standardInterface(std::string_view name);

} // namespace attncc::package
