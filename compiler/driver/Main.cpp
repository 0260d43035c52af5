//===- Main.cpp - the command attncc ----------------------------------------===//
//
//   attncc FILE -o FOLDER    compile a spec to a kernel package
//   attncc check FILE        what is compiled of it, and why not the rest
//   attncc VERB …            the verbs of attncc-rt (runtime/commands/Main.cpp)
//
//===----------------------------------------------------------------------===//
#include "compiler/driver/Commands.h"

using namespace attncc;

int main(int argc, char **argv) {
  CommandLine commands("attncc", "Compile a transformer's attention to GPU kernels.",
                       versionText("attncc", "LLVM " ATTNCC_LLVM_VERSION));
  Verb compile = addCompile(commands.app());
  commands.add("check", "Say for every layer whether it is compiled, and why not", addCheck);
  commands.addRuntimeVerbs();
  return commands.run(argc, argv, compile);
}
