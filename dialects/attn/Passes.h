//===- Passes.h - passes of the attn dialect ------------------------------===//
//
// Internal. Declarations and registration of the passes in Passes.td.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "mlir/Pass/Pass.h"
#include <cstdint>
#include <memory>
#include <string>

namespace attncc::attn {

#define GEN_PASS_DECL
#include "dialects/attn/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "dialects/attn/Passes.h.inc"

} // namespace attncc::attn
