// warm: loads what a GPU would load of a package, so that the driver's cache holds what it had to
// compile for the next process; for images, and for the start of a node.
#include "runtime/commands/Commands.h"
#include "runtime/commands/Environment.h"
#include "runtime/package/Package.h"
#include "runtime/support/Table.h"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>

using namespace attncc;
using json::Tree;

namespace {
struct WarmCommand {
  Report report{"warm"};
  std::string folder, device = "cuda:0";
  package::LoadOptions options;

  int run() {
    Result<std::shared_ptr<device::Device>> found = device::Device::open(device);
    if (!found)
      return report.fail(found.error(), device);
    if (!(*found)->asCuda())
      return report.fail(notAGpu(), device);
    const auto begin = std::chrono::steady_clock::now();
    Result<std::shared_ptr<const package::Package>> package =
        package::Package::open(*found, folder, options);
    if (!package)
      return report.fail(package.error(), device);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return tell(**package, seconds);
  }

private:
  static Error notAGpu() {
    Error error = makeError(Status::Unsupported, "a simulator compiles nothing");
    error.diagnostic.notes.push_back(makeNote("--device=cuda:0 is the first GPU"));
    return error;
  }

  int tell(const package::Package &package, double seconds) {
    const size_t kernels = package.kernels().size(), cubins = package.numCubins(),
                 compiled = kernels - cubins;
    const device::DeviceInfo &info = package.device().info();
    const JitCache cache = jitCache();
    if (std::string refused = package.refusedCubins(); !refused.empty())
      report.warn(refused, device);
    if (compiled > 0 && !cache.keeps)
      report.warn("the driver keeps nothing of what it compiled, its cache is " + cache.text,
                  device);
    if (!report.json) {
      char time[32];
      std::snprintf(time, sizeof time, "%.2f", seconds);
      std::cout << tableText({{"package", package.id()},
                              {"target", package.targets().text(info)},
                              {"loaded", std::to_string(kernels) + " kernels in " + time +
                                             " s: " + std::to_string(cubins) + " from cubins, " +
                                             std::to_string(compiled) +
                                             " from PTX, compiled or found in the driver's cache"},
                              {"cache", cache.text}});
    }
    Tree body = Tree::object();
    body["package_id"] = package.id();
    body["device"] = info.description;
    body["kernels"] = kernels;
    body["from_cubin"] = cubins;
    body["from_ptx"] = compiled;
    body["seconds"] = seconds;
    body["jit_cache"] = cache.text;
    return report.finish(kOk, std::move(body));
  }
};
} // namespace

Verb attncc::addWarm(CLI::App &app) {
  auto command = std::make_shared<WarmCommand>();
  app.add_option("package", command->folder, "Folder of the package")->required();
  app.add_option("--device", command->device, "GPU to load it on: cuda:N")->capture_default_str();
  app.add_option("--target", command->options.target,
                 "This target's kernels; default: the device's best");
  app.add_option("--jobs", command->options.threads, "Host threads; 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  addReportOptions(app, command->report);
  return [command] { return command->run(); };
}
