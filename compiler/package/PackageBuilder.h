//===- PackageBuilder.h - compiled kernels become a kernel package ----------===//
//
// Internal. Puts kernels and what the spec says about their layers into the
// files of a package (docs/package.md): manifest.json, spec.json and one PTX file
// per kernel, with its cubin beside it if it was assembled. No time, host or path enters: the same
// input gives the same bytes.
// Tests: test/compiler/package/package-builder-test.cpp, test/driver/compile.test.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/spec/ModelSpec.h"
#include "compiler/target/Ptxas.h"
#include "runtime/package/Manifest.h"
#include "runtime/support/Result.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace attncc {

/// What the command line decides about a package.
struct PackageOptions {
  std::vector<std::string> targets = {"sm_80"};
  int64_t pageSize = 16;
  package::KvOrder order = package::KvOrder::NHD;
  int64_t maxQueryTokens = 8; ///< query tokens of one sequence that decode takes
  /// Which append kernels a class with a prologue gets.
  std::vector<package::Prologue> prologues = {package::Prologue::Fused, package::Prologue::None};
  bool compiles(package::Prologue prologue) const {
    return std::find(prologues.begin(), prologues.end(), prologue) != prologues.end();
  }
};

/// One kernel as the compiler hands it over.
struct CompiledKernel {
  std::string role;                          ///< as in the manifest, e.g. "decode"
  std::optional<package::Prologue> prologue; ///< of append
  std::string layerClass;                    ///< name of the spec's class
  std::string target;                        ///< of the target table
  std::string entry;                         ///< entryName
  std::string ptx;
  std::string ptxVersion;        ///< "7.8"
  std::string schedule;          ///< text of #attn.schedule
  std::string summary;           ///< the schedule in short, for tables: "16 x 3 stages, 4 w"
  package::Interval queryTokens; ///< of one sequence, the bounds that a kernel serves; none: all
  int64_t order = 0;   ///< of summation: a role's kernels with one number give the same bits
  int64_t threads = 0; ///< of a block
  int64_t rows = 0;    ///< query rows of a block of decode or prefill, else 0
  int64_t shared = 0;  ///< dynamic shared memory in bytes
  package::AddsSplits addsSplits = package::AddsSplits::None; ///< of decode and its merge
  bool dependentLaunch = false; ///< may begin before the launch in front of it has ended
  SplitRule split;              ///< no steps where the role knows no splits
  /// By parameter; empty where pages are read by base and strides.
  std::map<std::string, package::TensorMapRule> tensorMaps;
  std::optional<AssembledKernel> assembled;
};

/// A package before it is written: file texts by their path in the folder.
struct PackageFiles {
  package::Manifest manifest;
  std::map<std::string, std::string> files; ///< with manifest.json
  std::string id;                           ///< SHA-256 of manifest.json
};

/// attncc_<role>_<class>_<type>_d<dim>_g<group>_p<page>_<target>_<4 digits of a hash>: what a
/// profiler's row explains; the role of an append kernel without prologue is append_noprologue
/// here. The hash is over the canonical spec, the schedule's text and the role.
std::string entryName(const CompiledKernel &kernel, const spec::ModelSpec &spec,
                      const spec::LayerClass &layerClass, const PackageOptions &options);

/// <target>/<role>_<class>_<hash> and the suffix: a kernel's file in the package.
std::string kernelFile(const CompiledKernel &kernel, const std::string &suffix);

/// `sourceText` is the file that was read; `refused` are the layers left out.
PackageFiles buildPackage(const spec::ModelSpec &spec, const std::string &sourceText,
                          const PackageOptions &options, const std::vector<CompiledKernel> &kernels,
                          const std::vector<package::RefusedLayers> &refused);

/// Writes the files to `folder` by way of a new folder beside it that takes its place in one
/// rename. A folder that exists is replaced only if it is empty or a package.
Result<void> writePackage(const PackageFiles &package, const std::string &folder);

} // namespace attncc
