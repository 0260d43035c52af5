//===- VerifyPackage.cpp - see Verify.h: a package folder on a device --------===//

#include "runtime/package/Package.h"
#include "runtime/verify/Verify.h"

#include <algorithm>

namespace attncc::verify {

namespace {
std::vector<std::string> targetsOf(const package::Manifest &manifest) {
  std::vector<std::string> targets;
  for (const package::KernelEntry &kernel : manifest.kernels)
    if (std::find(targets.begin(), targets.end(), kernel.target) == targets.end())
      targets.push_back(kernel.target);
  return targets;
}

/// Whether a simulator's tensor cores are Hopper's: those of the GPU that its name says, or that
/// the kernels need.
bool isHopper(const std::string &device, const std::string &target) {
  return (device == "sim" ? "sim:" + target : device).starts_with("sim:sm_9");
}

/// The target that an executor took for all classes.
std::string targetOf(const PackageExecutor &executor) {
  const package::Package &package = executor.package();
  std::string target;
  for (const package::LayerClass &layerClass : package.manifest().layerClasses)
    target = package.kernelsOf(layerClass).target;
  return target;
}

Result<std::unique_ptr<Executor>> anotherOf(const PackageExecutor &executor) {
  Result<std::unique_ptr<PackageExecutor>> another = executor.another();
  if (!another)
    return another.error();
  return std::unique_ptr<Executor>(std::move(*another));
}

/// One target; empty: the device's best.
Result<VerifyReport> runTarget(const std::string &folder, const std::string &device,
                               const std::string &target, const VerifyOptions &options) {
  // The first package says what there is to verify; every host thread has a simulator of its own,
  // or shares the GPU's package.
  ExecutorOptions executorOptions;
  executorOptions.target = target;
  executorOptions.hopper = options.hopper.value_or(isHopper(device, target));
  executorOptions.record = options.record;
  Result<std::unique_ptr<PackageExecutor>> first =
      PackageExecutor::open(device, folder, executorOptions);
  if (!first)
    return first.error();
  const package::Package &package = (*first)->package();
  const std::string taken = targetOf(**first);
  Result<std::vector<ClassShape>> shapes = classShapes(package.manifest(), taken);
  if (!shapes)
    return shapes.error();

  VerifyOptions running = options;
  if (!options.record.empty()) {
    running.jobs = 1;
    running.properties = false; // they repeat launches
  }
  OpenExecutor open = [&] { return anotherOf(**first); }, openOther;
  Result<std::unique_ptr<PackageExecutor>> other = std::unique_ptr<PackageExecutor>();
  if (!options.against.empty()) {
    ExecutorOptions otherOptions;
    otherOptions.target = taken;
    // A GPU is compared with tensor cores like its own.
    device::Device &own = package.device();
    const bool hopper = own.asSimulator() ? isHopper(options.against, taken)
                                          : own.info().computeCapability / 10 == 9;
    otherOptions.hopper = options.againstHopper.value_or(options.hopper.value_or(hopper));
    other = PackageExecutor::open(options.against, folder, otherOptions);
    if (!other)
      return other.error();
    openOther = [&] { return anotherOf(**other); };
  }
  Result<VerifyReport> report = runVerify(*shapes, running, open, openOther);
  if (!report)
    return report;
  report->device = device;
  report->against = options.against;
  report->packageId = package.id();
  report->targets = {{taken, ""}};
  for (CaseResult &result : report->cases)
    result.target = taken;
  for (PropertyResult &result : report->properties)
    result.target = taken;
  return report;
}
} // namespace

Result<VerifyReport> runVerify(const std::string &folder, const std::string &device,
                               const VerifyOptions &options) {
  if (device != "sim" || !options.target.empty())
    return runTarget(folder, device, options.target, options);
  Result<package::Folder> content = package::openFolder(folder);
  if (!content)
    return content.error();
  std::optional<VerifyReport> all;
  std::optional<Error> refused;
  std::vector<VerifyReport::Target> targets;
  for (const std::string &target : targetsOf(content->manifest)) {
    Result<VerifyReport> one = runTarget(folder, device, target, options);
    if (!one && one.error().status != Status::Unsupported)
      return one;
    targets.push_back({target, one ? "" : one.error().diagnostic.message});
    if (!one) {
      refused = one.error();
      continue;
    }
    if (!all) {
      all = std::move(*one);
    } else {
      std::move(one->cases.begin(), one->cases.end(), std::back_inserter(all->cases));
      std::move(one->properties.begin(), one->properties.end(),
                std::back_inserter(all->properties));
      all->stopped |= one->stopped;
    }
    if (options.failFast && !all->passed())
      break;
  }
  if (!all)
    return refused ? *refused : makeError(Status::InvalidPackage, "the package has no kernels");
  all->targets = std::move(targets);
  return std::move(*all);
}

} // namespace attncc::verify
