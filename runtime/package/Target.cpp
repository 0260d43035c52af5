#include "runtime/package/Target.h"
#include "runtime/package/TargetName.h"

#include <algorithm>
#include <charconv>
#include <set>

using namespace attncc;
using namespace attncc::package;

static int leadingNumber(std::string_view text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

static int rankOf(std::string_view target) { return 2 * capabilityOf(target) + isExact(target); }

/// "7.8" → 78.
static int ptxNumber(std::string_view version) {
  return 10 * leadingNumber(version) + leadingNumber(version.substr(version.find('.') + 1));
}

bool package::isLaunchable(const KernelEntry &kernel) {
  return (kernel.role == "append" || kernel.role == "decode" || kernel.role == "prefill" ||
          kernel.role == "merge" || kernel.role == "merge_states") &&
         (kernel.interface == kernel.role + "/1" ||
          ((kernel.role == "decode" || kernel.role == "prefill") &&
           kernel.interface == kernel.role + ".tma/1"));
}

std::string package::obstacle(const KernelEntry &kernel, const device::DeviceInfo &device) {
  int capability = capabilityOf(kernel.target);
  std::string needs;
  if (isExact(kernel.target) ? device.computeCapability != capability
                             : device.computeCapability < capability)
    needs = "sm_" + std::to_string(capability) + (isExact(kernel.target) ? "" : " or newer");
  if (device.ptxVersion < ptxNumber(kernel.ptx))
    needs += (needs.empty() ? "" : ", ") + ("PTX " + kernel.ptx);
  if (kernel.shared > device.maxShared)
    needs += (needs.empty() ? "" : ", ") + std::to_string(kernel.shared) +
             " bytes of shared memory a block (the device has " + std::to_string(device.maxShared) +
             ")";
  return needs.empty() ? needs : "needs " + needs;
}

std::string package::cubinObstacle(const KernelEntry &kernel, const device::DeviceInfo &device) {
  if (!kernel.cubin)
    return "no cubin";
  if (!device.loadsCubins)
    return "the device takes PTX alone";
  const int capability = capabilityOf(kernel.cubin->arch), own = device.computeCapability;
  const bool fits = isExact(kernel.cubin->arch)
                        ? own == capability
                        : own / 10 == capability / 10 && own % 10 >= capability % 10;
  return fits ? "" : "the cubin is for " + kernel.cubin->arch;
}

/// Why the target cannot serve the class; empty if it can.
static std::string classObstacle(const Manifest &manifest, const std::string &layerClass,
                                 const std::string &target, const device::DeviceInfo &device) {
  std::set<std::string> served;
  std::string reason;
  for (const KernelEntry &kernel : manifest.kernels) {
    if (kernel.layerClass != layerClass || kernel.target != target || !isLaunchable(kernel))
      continue;
    if (std::string why = obstacle(kernel, device); why.empty())
      served.insert(kernel.role);
    else if (reason.empty())
      reason = why;
  }
  for (const char *role : {"append", "decode", "merge"})
    if (!served.contains(role))
      return reason.empty() ? "has no " + std::string(role) + " kernel for class " + layerClass
                            : reason;
  return {};
}

std::string TargetChoice::text(const device::DeviceInfo &device) const {
  std::string line;
  std::set<std::string> said;
  for (const TargetVerdict &verdict : verdicts) {
    bool selected =
        chosen.contains(verdict.layerClass) && chosen.at(verdict.layerClass) == verdict.target;
    std::string part =
        verdict.target + " " + (selected ? "selected for " + device.description : verdict.reason);
    if (said.insert(part).second)
      line += (line.empty() ? "" : "; ") + part;
  }
  return line;
}

Result<TargetChoice> package::chooseTargets(const Manifest &manifest,
                                            const device::DeviceInfo &device,
                                            std::string_view forced) {
  std::vector<std::string> targets;
  for (const KernelEntry &kernel : manifest.kernels)
    if (std::find(targets.begin(), targets.end(), kernel.target) == targets.end())
      targets.push_back(kernel.target);
  std::stable_sort(targets.begin(), targets.end(), [](const std::string &a, const std::string &b) {
    return rankOf(a) > rankOf(b);
  });

  TargetChoice choice;
  for (const LayerClass &layerClass : manifest.layerClasses)
    for (const std::string &target : targets) {
      TargetVerdict verdict{layerClass.name, target, false, ""};
      if (!forced.empty() && target != forced)
        verdict.reason = "is not the target asked for, " + std::string(forced);
      else
        verdict.reason = classObstacle(manifest, layerClass.name, target, device);
      verdict.usable = verdict.reason.empty();
      if (verdict.usable && !choice.chosen.emplace(layerClass.name, target).second)
        verdict.reason = "passed, lower rank";
      choice.verdicts.push_back(std::move(verdict));
    }
  for (const LayerClass &layerClass : manifest.layerClasses) {
    if (choice.chosen.contains(layerClass.name))
      continue;
    std::string reasons;
    for (const TargetVerdict &verdict : choice.verdicts)
      if (verdict.layerClass == layerClass.name)
        reasons += (reasons.empty() ? "" : "; ") + verdict.target + " " + verdict.reason;
    Error error = makeError(Status::Unsupported,
                            "no kernel of this package runs on " + device.description + ": " +
                                (reasons.empty() ? "it has no kernels" : reasons));
    error.diagnostic.where.file = device.name;
    return error;
  }
  return choice;
}
