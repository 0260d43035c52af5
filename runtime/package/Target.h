//===- Target.h - which target's kernels a device runs ----------------------===//
//
// Internal. sm_NNa needs compute capability exactly N.N; a plain sm_NN needs N.N or more; both need
// a driver whose PTX is at least the kernel's, enough shared memory for a block, and interfaces
// that this runtime knows. A target serves a layer class if it has a usable append, decode and
// merge kernel for it; per class the best rank that does so wins, so roles never mix targets. Test:
// test/runtime/package/PackageTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/package/Manifest.h"

namespace attncc::package {

/// One target of the manifest and one layer class.
struct TargetVerdict {
  std::string layerClass, target;
  bool usable = false;
  std::string
      reason; ///< why it is not, e.g. "needs sm_80 or newer"; of a loser: "passed, lower rank"
};

struct TargetChoice {
  std::map<std::string, std::string> chosen; ///< target of each layer class
  std::vector<TargetVerdict> verdicts;       ///< every class and target, best rank first

  /// "sm_90a selected for …; sm_80 passed, lower rank", one line.
  std::string text(const device::DeviceInfo &device) const;
};

/// `forced` limits the choice to one target; empty: all. Unsupported, with every target's reason,
/// where a class has no usable target.
Result<TargetChoice> chooseTargets(const Manifest &manifest, const device::DeviceInfo &device,
                                   std::string_view forced = {});

/// Why the device cannot run the kernel, e.g. "needs sm_80 or newer"; empty if it can.
std::string obstacle(const KernelEntry &kernel, const device::DeviceInfo &device);

/// Why the device cannot load the kernel's cubin, e.g. "no cubin"; empty if it can. Machine code of
/// sm_NM runs on capabilities N.M to N.9, that of sm_NMa on N.M alone (CUDA C++ Programming Guide,
/// "Binary Compatibility").
std::string cubinObstacle(const KernelEntry &kernel, const device::DeviceInfo &device);

/// Whether this kernel's role can be launched through its interface by this runtime.
bool isLaunchable(const KernelEntry &kernel);

} // namespace attncc::package
