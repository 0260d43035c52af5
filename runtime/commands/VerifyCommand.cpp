// attncc verify: every role of a package on a device against the oracle; exit 5 when a case fails.
#include "runtime/commands/Commands.h"
#include "runtime/verify/Verify.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <iostream>
#include <memory>
#include <unistd.h>

using namespace attncc;

namespace {
struct VerifyCommand {
  Report report{"verify"};
  std::string folder, device = "sim", role, repro, hardware, againstHardware;
  verify::VerifyOptions options;

  int run() {
    for (verify::Role known : verify::kRoles)
      if (role == verify::name(known))
        options.role = known;
    if (!hardware.empty())
      options.hopper = hardware == "sm_90";
    if (!againstHardware.empty())
      options.againstHopper = againstHardware == "sm_90";
    if (!repro.empty()) {
      Result<std::string> text = readFile(repro);
      if (!text)
        return report.fail(text.error());
      Result<verify::VerifyCase> only = verify::parseCase(*text, repro);
      if (!only)
        return report.fail(only.error());
      options.only = *only;
    }
    bool shown = !report.json && !report.quiet && isatty(STDERR_FILENO);
    if (shown)
      options.progress = [](int64_t done, int64_t total) {
        std::fprintf(stderr, "\r%lld/%lld", static_cast<long long>(done),
                     static_cast<long long>(total));
      };
    Result<verify::VerifyReport> verified = verify::runVerify(folder, device, options);
    if (shown)
      std::fprintf(stderr, "\r%*s\r", 24, "");
    if (!verified)
      return report.fail(verified.error(), device);
    std::cout << (report.json ? verified->json().text() + "\n" : verified->text());
    return verified->passed() ? kOk : kFailed;
  }
};
} // namespace

Verb attncc::addVerify(CLI::App &app) {
  auto command = std::make_shared<VerifyCommand>();
  verify::VerifyOptions &options = command->options;
  app.add_option("package", command->folder, "Folder of the package")->required();
  app.add_option("--device", command->device, "Device to run it on: cuda:N, sim, sim:TARGET")
      ->capture_default_str();
  app.add_option("--target", options.target,
                 "Only this target's kernels; default: all on sim, else the device's best");
  app.add_option("--against", options.against, "Another device; results are compared bit by bit");
  app.add_option("--cases", options.cases, "Cases per layer class")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Seed of the cases")->capture_default_str();
  app.add_option("--role", command->role, "Only this role")
      ->check(CLI::IsMember({"append", "decode", "merge", "merge_states", "prefill"}));
  app.add_option("--class", options.layerClass, "Only this layer class");
  app.add_option("--repro", command->repro,
                 "Only the case in this file: the \"repro\" of a failed case in --json");
  app.add_option("--sim-hardware", command->hardware,
                 "Whose tensor core arithmetic the simulator follows; default: the target's")
      ->check(CLI::IsMember({"sm_80", "sm_90"}));
  app.add_option("--against-hardware", command->againstHardware,
                 "The same of the simulator in --against")
      ->check(CLI::IsMember({"sm_80", "sm_90"}));
  app.add_option("--record", options.record,
                 "Folder that keeps every launch for tools/replay-launches");
  app.add_flag("--fail-fast", options.failFast, "Stop at the first failure");
  app.add_option("--jobs", options.jobs, "Host threads; 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  addReportOptions(app, command->report);
  return [command] { return command->run(); };
}
