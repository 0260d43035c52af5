//===- Main.cpp - the command attncc ----------------------------------------===//
//
//   attncc FILE -o FOLDER    compile a spec to a kernel package
//   attncc check FILE        what is compiled of it, and why not the rest
//   attncc verify FOLDER     run a package against the oracle
//
//===----------------------------------------------------------------------===//
#include "compiler/driver/Commands.h"

#include <CLI/CLI.hpp>

#include <iostream>

using namespace attncc;

int main(int argc, char **argv) {
  CLI::App app{"Compile a transformer's attention to GPU kernels.", "attncc"};
  app.set_version_flag("--version",
                       "attncc " ATTNCC_VERSION " (LLVM " ATTNCC_LLVM_VERSION
                       ", package schema attncc.package/1.0, C ABI " ATTNCC_ABI_VERSION ")");
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(34);
  Verb compile = addCompile(app);
  CLI::App *check =
      app.add_subcommand("check", "Say for every layer whether it is compiled, and why not");
  Verb runCheck = addCheck(*check);
  CLI::App *verify =
      app.add_subcommand("verify", "Run a package on a device against the fp64 oracle");
  Verb runVerify = addVerify(*verify);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  try {
    int code = check->parsed() ? runCheck() : verify->parsed() ? runVerify() : compile();
    if (std::cout.flush())
      return code;
    std::cerr << "attncc: error: standard output cannot be written\n";
    return code == kOk ? kBadInput : code;
  } catch (const std::exception &error) {
    std::cerr << "attncc: internal error: " << error.what() << "\n";
    return kInternal;
  }
}
