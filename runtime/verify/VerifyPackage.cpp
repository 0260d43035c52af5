//===- VerifyPackage.cpp - see Verify.h: a package folder on a device --------===//

#include "runtime/package/Package.h"
#include "runtime/verify/Verify.h"

namespace attncc::verify {

Result<VerifyReport> runVerify(const std::string &folder, const std::string &device,
                               const VerifyOptions &options) {
  // The first package says what there is to verify; every host thread has one of its own, whose
  // simulator then keeps to that thread.
  ExecutorOptions executorOptions;
  executorOptions.target = options.target;
  executorOptions.hopper = options.hopper;
  executorOptions.record = options.record;
  Result<std::unique_ptr<PackageExecutor>> first =
      PackageExecutor::open(device, folder, executorOptions);
  if (!first)
    return first.error();
  const package::Package &package = (*first)->package();
  std::string target;
  for (const package::LayerClass &layerClass : package.manifest().layerClasses)
    target = package.kernelsOf(layerClass).target;
  Result<std::vector<ClassShape>> shapes = classShapes(package.manifest(), target);
  if (!shapes)
    return shapes.error();
  VerifyOptions running = options;
  if (!options.record.empty()) {
    running.jobs = 1;
    running.properties = false; // they repeat launches
  }
  Result<VerifyReport> report =
      runVerify(*shapes, running, [&]() -> Result<std::unique_ptr<Executor>> {
        Result<std::unique_ptr<PackageExecutor>> executor = (*first)->another();
        if (!executor)
          return executor.error();
        return std::unique_ptr<Executor>(std::move(*executor));
      });
  if (report) {
    report->device = device;
    report->target = target;
    report->packageId = package.id();
  }
  return report;
}

} // namespace attncc::verify
