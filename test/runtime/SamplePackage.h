//===- SamplePackage.h - a small package for tests ---------------------------===//
//
// Two layers of one class: 4 query heads on 2 kv heads, head_dim 16, bf16, pages of 4 tokens, no
// prologue, splits of 8 tokens up to 32 and of 16 beyond. Its kernels are written by hand in PTX
// and do the least that shows what they were launched with:
//
//   append  copies query to query_out, if given, and key and value into their slots
//   decode  output = V of the sequence's last token, lse = kv_length; the rows of one block each
//   merge   lse = - (number of splits) for sequences with more than one split
//   merge_states  output = the first part's, lse = number of parts · lse_scale
//
// Both of the first two check lengths and page numbers as real kernels must, with the error word.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/package/Manifest.h"

#include <map>
#include <string>

namespace attncc::test {

constexpr int64_t kHeadDim = 16, kGroup = 2, kKvHeads = 2, kQueryHeads = 4, kPageSize = 4,
                  kRows = 8, kPrefillRows = 16;
constexpr int64_t kLayers = 2;

/// Manifest and file contents by path, without manifest.json.
struct Sample {
  package::Manifest manifest;
  std::map<std::string, std::string> files;
};
Sample samplePackage();
/// Adds a prefill kernel that computes attention as it is defined, with all of decode's checks; it
/// writes no lse. The sample's decode and merge leave its sequences alone.
void addPrefill(Sample &sample);
/// Lists the files as they are now.
void refreshHashes(Sample &sample);
/// Makes all kernels ones of `target` with cubins for `arch`, as the CUDA driver of the tests takes
/// them: the magic of ELF files, the arch in a line, and the PTX.
void addCubins(Sample &sample, const std::string &target, const std::string &arch);
/// Gives decode and prefill the interfaces decode.tma/1 and prefill.tma/1, with the tensor maps
/// that they take. Their PTX stays: for devices that run none.
void useTensorMaps(package::Manifest &manifest);

/// A new folder that is removed at the end of the scope.
class TemporaryFolder {
public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder &) = delete;
  std::string path;
};

/// Writes the files and manifest.json; `manifestText` replaces the manifest's own text if not
/// empty.
void writePackage(const Sample &sample, const std::string &folder,
                  const std::string &manifestText = {});
void writeFile(const std::string &path, const std::string &content);

} // namespace attncc::test
