//===- Launch.h - one kernel launch by its interface ------------------------===//
//
// Internal. The grid of a loaded kernel from its formulas, and the launch. Nothing is allocated
// unless it fails.
// Test: test/runtime/plan/PlanTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/package/Package.h"

namespace attncc::plan {

// CUDA's limits of a grid.
constexpr int64_t kMaxGridX = INT32_MAX, kMaxGridYZ = 65535;

/// `values` are the names that the kernel's rules use, `rule` what cuts sequences into splits, null
/// where nothing does. A grid without blocks launches nothing.
Result<void> launch(const package::Package &package, const package::LoadedKernel &kernel,
                    const package::NameValues &values, const SplitRule *rule,
                    std::span<const std::byte> params, std::span<const device::Buffer> buffers,
                    device::Stream stream);

} // namespace attncc::plan
