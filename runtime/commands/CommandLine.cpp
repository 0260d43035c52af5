// The program around the verbs: see Commands.h.
#include "runtime/commands/Commands.h"

#include "attncc/attncc.h"
#include "runtime/package/Manifest.h"

#include <CLI/CLI.hpp>

#include <iostream>

using namespace attncc;

CommandLine::CommandLine(const std::string &program, const std::string &description,
                         const std::string &version)
    : version(version), top(std::make_unique<CLI::App>(description, program)) {
  top->set_version_flag("--version", version);
  top->require_subcommand(0, 1);
  top->get_formatter()->column_width(34);
}

CommandLine::~CommandLine() = default;

void CommandLine::add(const std::string &verb, const std::string &description,
                      Verb (*addTo)(CLI::App &)) {
  CLI::App *app = top->add_subcommand(verb, description);
  verbs.push_back({app, addTo(*app)});
  app->set_version_flag("--version", version);
}

void CommandLine::addRuntimeVerbs() {
  add("inspect", "Show what a package holds, and what a device would load of it", addInspect);
  add("verify", "Run a package on a device against the fp64 oracle", addVerify);
  add("bench", "Time a package's attention on a GPU, beside the GPU's read bandwidth", addBench);
  add("warm", "Have a GPU's driver compile a package now, for the next process", addWarm);
  add("doctor", "Show GPUs, driver and settings, for a bug report", addDoctor);
}

int CommandLine::run(int argc, char **argv, const Verb &otherwise) {
  if (!otherwise)
    top->require_subcommand(1);
  try {
    top->parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return top->exit(error) == 0 ? kOk : kUsage;
  }
  const std::string name = top->get_name();
  try {
    const Verb *verb = &otherwise;
    for (const Entry &entry : verbs)
      if (entry.app->parsed())
        verb = &entry.run;
    int code = (*verb)();
    if (std::cout.flush())
      return code;
    std::cerr << name << ": error: standard output cannot be written\n";
    return code == kOk ? kBadInput : code;
  } catch (const std::exception &error) {
    std::cerr << name << ": internal error: " << error.what() << "\n";
    return kInternal;
  }
}

std::string attncc::versionText(const std::string &program, const std::string &extra) {
  return program + " " ATTNCC_VERSION " (" + extra + (extra.empty() ? "" : ", ") +
         "package schema attncc.package/" + std::to_string(package::kSchemaMajor) + "." +
         std::to_string(package::kSchemaMinor) + ", C ABI " + std::to_string(ATTNCC_VERSION_MAJOR) +
         "." + std::to_string(ATTNCC_VERSION_MINOR) + ")";
}
