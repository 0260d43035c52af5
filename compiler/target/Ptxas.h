//===- Ptxas.h - the assembler of an installed CUDA Toolkit ------------------===//
//
// Internal. ptxas makes machine code (a cubin) of a kernel's PTX, and says what it needs:
// registers, spilled bytes, and what it had to do against the kernel's intent. It is a program of
// its own, found when it is asked for; nothing else needs it. Tests:
// test/compiler/target/ptxas-test.cpp, test/driver/cubin.py
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace attncc {

/// Machine code of one kernel.
struct AssembledKernel {
  std::string cubin;     ///< an ELF file
  std::string ptxas;     ///< the assembler's version
  int64_t registers = 0; ///< of a thread
  /// What costs speed: "spills 8 bytes to memory and loads 16 back, at 255 registers", and advice
  /// that ptxas gives. Empty in all good kernels.
  std::vector<std::string> warnings;
};

/// What `ptxas -v` prints of one kernel that it has assembled.
struct PtxasReport {
  int64_t registers = 0, stackBytes = 0, spillStoreBytes = 0, spillLoadBytes = 0;
  std::vector<std::string> advice; ///< warnings, and losses of performance that it tells as "info"
};
/// InvalidArgument where the text says nothing of registers.
Result<PtxasReport> parsePtxasReport(std::string_view text);

/// Paths at which a ptxas may be, best first: $ATTNCC_PTXAS alone where it is set, else the folders
/// of $PATH, $CUDA_HOME/bin, $CUDA_PATH/bin and /usr/local/cuda/bin.
std::vector<std::string> ptxasPlaces();

class Ptxas {
public:
  /// The first of the places that is a program. InvalidArgument, with a way out, where none is.
  static Result<Ptxas> find(const std::vector<std::string> &places = ptxasPlaces());

  const std::string &path() const { return program; }
  const std::string &version() const { return versionText; } ///< "13.0.88"

  /// Assembles the text of kernel `entry` for `arch` with -O3, in at most `limit`. `file` names it
  /// in errors, which have the line of the PTX. Thread-safe.
  Result<AssembledKernel> assemble(const std::string &ptx, const std::string &arch,
                                   const std::string &entry, const std::string &file,
                                   std::chrono::milliseconds limit = std::chrono::minutes(5)) const;

private:
  Ptxas(std::string program, std::string version)
      : program(std::move(program)), versionText(std::move(version)) {}
  std::string program, versionText;
};

} // namespace attncc
