//===- Main.cpp - the command attncc-rt -------------------------------------===//
//
// The verbs that need no compiler, in a program without LLVM that is small enough to be carried to
// the machine with the GPU; attncc has the same verbs.
//
//   attncc-rt inspect FOLDER    what a package holds, and what a device would load
//   attncc-rt verify FOLDER     run a package against the oracle
//   attncc-rt bench FOLDER      time its decode on a GPU
//   attncc-rt doctor            GPUs, driver and settings
//
// Tests: test/commands
//
//===----------------------------------------------------------------------===//
#include "runtime/commands/Commands.h"

using namespace attncc;

int main(int argc, char **argv) {
  CommandLine commands("attncc-rt", "Run, check and measure packages of attention kernels.",
                       versionText("attncc-rt"));
  commands.addRuntimeVerbs();
  return commands.run(argc, argv);
}
