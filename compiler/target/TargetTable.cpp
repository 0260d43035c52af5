//===- TargetTable.cpp - what each GPU target can do -----------------------===//
//
// One row per target, in the order of their rank. See TargetTable.h.
//
//===----------------------------------------------------------------------===//
#include "compiler/target/TargetTable.h"

#include <algorithm>

namespace attncc {

bool TargetInfo::hasProduct(MatrixProduct::Kind kind) const {
  return std::any_of(products.begin(), products.end(),
                     [&](const MatrixProduct &product) { return product.kind == kind; });
}

const std::vector<TargetInfo> &allTargets() {
  static const std::vector<TargetInfo> targets = {
      {.name = "sm_80",
       .computeCapability = 80,
       .rank = 160,
       .exactCapability = false,
       // movmatrix is PTX 7.8; drivers since 520 (CUDA 11.8) load it.
       .ptxVersion = 78,
       .features = "+ptx78",
       // 99 KiB is what 8.6 and 8.9 offer, which run this target too; 8.0 has 163 KiB.
       .maxSharedPerBlock = 99 * 1024,
       .maxSharedOptIn = 163 * 1024,
       .registersPerThread = 255,
       .registersPerSm = 65536,
       .warpSize = 32,
       .maxThreadsPerBlock = 1024,
       .maxNamedBarriers = 16,
       .bytesPerLaneCopy = 16,
       .tensorCopies = false,
       .asynchronousProducts = false,
       .dependentLaunch = false,
       .products = {{MatrixProduct::Kind::Mma, 16, 8, 16, 1}}},
      {.name = "sm_90a",
       .computeCapability = 90,
       .rank = 181,
       .exactCapability = true,
       // wgmma and setmaxnreg are PTX 8.0; drivers since 525 (CUDA 12.0) load it.
       .ptxVersion = 80,
       .features = "+ptx80",
       .maxSharedPerBlock = 227 * 1024,
       .maxSharedOptIn = 227 * 1024,
       .registersPerThread = 255,
       .registersPerSm = 65536,
       .warpSize = 32,
       .maxThreadsPerBlock = 1024,
       .maxNamedBarriers = 16,
       .bytesPerLaneCopy = 16,
       .tensorCopies = true,
       .asynchronousProducts = true,
       .dependentLaunch = true,
       .products = {{MatrixProduct::Kind::Mma, 16, 8, 16, 1},
                    {MatrixProduct::Kind::Wgmma, 64, 256, 16, 4}}},
  };
  return targets;
}

const TargetInfo *findTarget(std::string_view name) {
  for (const TargetInfo &target : allTargets())
    if (target.name == name)
      return &target;
  return nullptr;
}

} // namespace attncc
