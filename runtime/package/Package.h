//===- Package.h - a kernel package, verified and loaded --------------------===//
//
// Internal. openFolder reads manifest.json and every file that it lists, and nothing else: no path
// leaves the folder, no link is followed, and size and SHA-256 must be the listed ones.
// Package::open then chooses targets and loads every kernel that the choice may use, on several
// threads: its cubin if that fits the device, else its PTX. Immutable afterwards. Test:
// test/runtime/package/PackageTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/package/Manifest.h"
#include "runtime/package/Target.h"

namespace attncc::package {

/// The content of a package folder.
struct Folder {
  std::string path;
  std::string id; ///< SHA-256 of manifest.json
  std::string manifestText;
  Manifest manifest;
  std::map<std::string, std::string> files; ///< content by the manifest's paths
};

/// `expectedId` is compared with the package's id unless empty.
Result<Folder> openFolder(const std::string &path, std::string_view expectedId = {});

/// A rule for a tensor map, ready to be evaluated.
struct LoadedTensorMap {
  const TensorMapRule *rule = nullptr;
  std::vector<Formula> dims, strides;
};

/// A kernel of the manifest on a device, with its rules ready to be evaluated.
struct LoadedKernel {
  const KernelEntry *entry = nullptr;
  const LayerClass *layerClass = nullptr;
  const CacheGroup *group = nullptr;
  const SplitRule *splitRule = nullptr; ///< null where the kernel names none
  std::unique_ptr<device::Kernel> kernel;
  std::string whyPtx; ///< why its PTX was loaded, e.g. "no cubin"; empty: its cubin was
  std::array<Formula, 3> grid;
  std::optional<Formula> workspaceBytes, trafficBytes;
  std::map<std::string, LoadedTensorMap> tensorMaps; ///< by parameter
  /// What the manifest says of the names that rules use; those of a launch are unknown, and
  /// KvHeads and QueryHeads are the whole model's.
  NameValues constants;

  /// The load class, with everything where it names no interval.
  Interval numSequences{0, INT64_MAX}, maxQueryLength{0, INT64_MAX}, maxKvLength{0, INT64_MAX};

  /// Whether the host-known bounds lie in the kernel's load class.
  bool serves(int64_t sequences, int64_t queryLength, int64_t kvLength) const {
    return numSequences.holds(sequences) && maxQueryLength.holds(queryLength) &&
           maxKvLength.holds(kvLength);
  }
};

/// The kernels of one layer class, by role, in the manifest's order.
struct ClassKernels {
  std::string target;
  std::vector<const LoadedKernel *> append, appendWithoutPrologue, decode, prefill, merge,
      mergeStates;
};

struct LoadOptions {
  std::string target;     ///< empty: the best that the device runs
  std::string expectedId; ///< empty: any
  unsigned threads = 0;   ///< that load kernels; 0: as many as there are cores
  bool forbidJit = false; ///< load cubins alone: Unsupported where a kernel has none that fits
};

class Package {
public:
  static Result<std::shared_ptr<const Package>> open(std::shared_ptr<device::Device> device,
                                                     const std::string &folder,
                                                     const LoadOptions &options = {});

  const Manifest &manifest() const { return content.manifest; }
  const std::string &manifestText() const { return content.manifestText; }
  const std::string &id() const { return content.id; }
  const std::string &path() const { return content.path; }
  const TargetChoice &targets() const { return choice; }
  /// The kernels of a class of this package.
  const ClassKernels &kernelsOf(const LayerClass &layerClass) const {
    return classes.at(layerClass.name);
  }
  const std::vector<std::unique_ptr<LoadedKernel>> &kernels() const { return loaded; }
  size_t numCubins() const; ///< kernels that were loaded from cubins
  /// One line about cubins that should fit and that the device refused; empty if there are none.
  std::string refusedCubins() const;
  device::Device &device() const { return *owner; }
  const std::shared_ptr<device::Device> &sharedDevice() const { return owner; }

private:
  Package(std::shared_ptr<device::Device> device, Folder folder)
      : owner(std::move(device)), content(std::move(folder)) {}
  std::unique_ptr<LoadedKernel> prepare(const KernelEntry &entry) const;
  Result<void> load(LoadedKernel &kernel, bool forbidJit) const;
  Error jitForbidden(const KernelEntry &entry, const std::string &why) const;

  std::shared_ptr<device::Device> owner;
  Folder content;
  TargetChoice choice;
  std::vector<std::unique_ptr<LoadedKernel>> loaded;
  std::map<std::string, ClassKernels> classes;
};

} // namespace attncc::package
