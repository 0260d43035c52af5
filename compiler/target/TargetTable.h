//===- TargetTable.h - what each GPU target can do -------------------------===//
//
// Internal. Hardware is one table: no pass asks which chip it compiles for, it
// asks this table for a number or for a product's shape. Pure C++, without MLIR.
// Sources: CUDA C++ Programming Guide, "Compute Capabilities" (shared memory,
// registers, threads); PTX ISA 9.7.15 (matrix shapes), 9.7.9 (copies).
// Test: test/compiler/target/target-table-test.cpp
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace attncc {

/// A matrix product instruction: d[m, n] += a[m, k] · b[k, n], run by `warps` warps together.
struct MatrixProduct {
  enum class Kind { Mma, Wgmma };
  Kind kind;
  int m;
  int n; // for Wgmma the largest n, any multiple of 8 up to it exists
  int k;
  int warps;
  bool operator==(const MatrixProduct &) const = default;
};

struct TargetInfo {
  std::string_view name;     // in file names, manifests and on the command line: "sm_80"
  int computeCapability;     // 80: major * 10 + minor
  int rank;                  // of the targets that a device can run, the highest rank is taken:
                             // 2 · capability, 1 more for an exact one
  bool exactCapability;      // true for "a" targets: no other compute capability runs them
  int ptxVersion;            // 78: .version 7.8
  std::string_view features; // for LLVM's NVPTX back end
  int64_t maxSharedPerBlock; // bytes that a kernel may ask for and still run on every device of the
                             // target
  int64_t maxSharedOptIn;    // bytes on the named chip, with the opt-in attribute
  int registersPerThread;    // general registers that one thread can address
  int64_t registersPerSm;    // 32-bit registers of a multiprocessor
  int warpSize;
  int maxThreadsPerBlock;
  int maxNamedBarriers;
  int bytesPerLaneCopy;                // the widest copy or load of one lane
  bool tensorCopies;                   // copies of boxes by a tensor map
  bool asynchronousProducts;           // products are issued, then awaited
  bool dependentLaunch;                // programmatic dependent launch
  std::vector<MatrixProduct> products; // for 16-bit floats with f32 sums

  bool hasProduct(MatrixProduct::Kind kind) const;
  /// Bytes that the blocks of a multiprocessor share; each takes 1 KiB beside its own.
  int64_t sharedPerSm() const { return maxSharedOptIn + 1024; }
};

/// The target called `name`, or nullptr.
const TargetInfo *findTarget(std::string_view name);

/// All targets, the lowest rank first.
const std::vector<TargetInfo> &allTargets();

} // namespace attncc
