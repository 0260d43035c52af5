#include "compiler/target/Ptxas.h"
#include "compiler/target/ChildProcess.h"

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <unistd.h>

namespace fs = std::filesystem;
using namespace attncc;

namespace {

Error assemblerError(std::string message) {
  Error error = makeError(Status::InvalidArgument, std::move(message));
  error.diagnostic.code = "ptxas";
  return error;
}

/// The number behind the first `before` in the text, or -1.
int64_t numberAfter(std::string_view text, std::string_view before) {
  size_t at = text.find(before);
  if (at == text.npos)
    return -1;
  at += before.size();
  int64_t number = -1;
  std::from_chars(text.data() + at, text.data() + text.size(), number);
  return number;
}

/// The number in front of `unit` in the line, or -1.
int64_t numberBefore(std::string_view line, std::string_view unit) {
  size_t end = line.find(unit), begin = end;
  if (end == line.npos)
    return -1;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9')
    --begin;
  int64_t number = -1;
  std::from_chars(line.data() + begin, line.data() + end, number);
  return number;
}

/// What stands behind "warning :", "error   :" or the like in a line of ptxas; empty if nothing
/// does.
std::string_view messageOf(std::string_view line, std::string_view severity) {
  size_t at = line.find(severity);
  if (!line.starts_with("ptxas") || at == line.npos)
    return {};
  at = line.find_first_not_of(' ', at + severity.size());
  if (at == line.npos || line[at] != ':')
    return {};
  at = line.find_first_not_of(' ', at + 1);
  return at == line.npos ? std::string_view() : line.substr(at);
}

std::vector<std::string_view> linesOf(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

/// A folder of its own, which is removed at the end of the scope.
struct ScratchFolder {
  ScratchFolder() {
    std::error_code code;
    fs::path parent = fs::temp_directory_path(code);
    std::string pattern = ((code ? fs::path("/tmp") : parent) / "attncc-XXXXXX").string();
    if (mkdtemp(pattern.data()))
      path = pattern;
  }
  ~ScratchFolder() {
    std::error_code code;
    if (!path.empty())
      fs::remove_all(path, code);
  }
  ScratchFolder(const ScratchFolder &) = delete;
  fs::path path; ///< empty where none could be made
};

/// The error for a run that did not succeed: the first mistake that ptxas names, and its line.
Error failureOf(const ChildResult &done, const std::string &arch, const std::string &entry,
                const std::string &file) {
  std::string reason;
  int line = 0;
  for (std::string_view text : linesOf(done.output)) {
    std::string_view message = messageOf(text, "error");
    if (message.empty())
      message = messageOf(text, "fatal");
    if (message.empty())
      continue;
    reason = message;
    line = static_cast<int>(std::max<int64_t>(0, numberAfter(text, ", line ")));
    break;
  }
  if (reason.empty())
    reason = "exit code " + std::to_string(done.exitCode);
  Error error =
      assemblerError("kernel " + entry + " does not assemble for " + arch + ": " + reason);
  error.diagnostic.where.file = file;
  error.diagnostic.where.line = line;
  error.diagnostic.where.column = line ? 1 : 0; // ptxas names none
  error.diagnostic.notes.push_back(
      makeNote("--emit=ptx prints the kernel; without --cubin packages hold PTX alone, which the "
               "driver compiles"));
  return error;
}

} // namespace

Result<PtxasReport> attncc::parsePtxasReport(std::string_view text) {
  PtxasReport report;
  for (std::string_view line : linesOf(text)) {
    // One kernel may call functions, whose lines stand beside its own.
    if (int64_t stack = numberBefore(line, " bytes stack frame"); stack > 0)
      report.stackBytes += stack;
    if (int64_t stores = numberBefore(line, " bytes spill stores"); stores > 0)
      report.spillStoreBytes += stores;
    if (int64_t loads = numberBefore(line, " bytes spill loads"); loads > 0)
      report.spillLoadBytes += loads;
    if (int64_t registers = numberAfter(line, ": Used "); registers > 0)
      report.registers = std::max(report.registers, registers);
    std::string_view advice = messageOf(line, "warning");
    if (std::string_view info = messageOf(line, "info");
        advice.empty() && (info.find("Potential Performance Loss") != info.npos ||
                           info.find("serialized") != info.npos))
      advice = info;
    if (!advice.empty())
      report.advice.emplace_back(advice);
  }
  if (!report.registers)
    return assemblerError("ptxas -v says nothing of registers");
  return report;
}

std::vector<std::string> attncc::ptxasPlaces() {
  auto variable = [](const char *name) {
    const char *value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (std::string own = variable("ATTNCC_PTXAS"); !own.empty())
    return {own};
  std::vector<std::string> places;
  const std::string path = variable("PATH");
  for (size_t begin = 0; begin < path.size();) {
    size_t end = std::min(path.find(':', begin), path.size());
    if (end > begin)
      places.push_back(path.substr(begin, end - begin) + "/ptxas");
    begin = end + 1;
  }
  for (const char *toolkit : {"CUDA_HOME", "CUDA_PATH"})
    if (std::string folder = variable(toolkit); !folder.empty())
      places.push_back(folder + "/bin/ptxas");
  places.push_back("/usr/local/cuda/bin/ptxas");
  return places;
}

Result<Ptxas> Ptxas::find(const std::vector<std::string> &places) {
  std::string program;
  std::error_code code;
  for (const std::string &place : places)
    if (program.empty() && fs::is_regular_file(place, code) && access(place.c_str(), X_OK) == 0)
      program = place;
  if (program.empty()) {
    Error error = assemblerError(
        places.size() == 1
            ? "there is no ptxas at " + places[0]
            : "there is no ptxas: it is neither in PATH nor in the bin folder of CUDA_HOME, of "
              "CUDA_PATH or of /usr/local/cuda");
    error.diagnostic.notes.push_back(
        makeNote("ptxas comes with the CUDA Toolkit, ATTNCC_PTXAS may name one; without --cubin "
                 "packages hold PTX alone, which the driver compiles"));
    return error;
  }
  Result<ChildResult> asked = runChild({program, "--version"}, std::chrono::seconds(30));
  if (!asked)
    return assemblerError(asked.error().diagnostic.message);
  // "Cuda compilation tools, release 13.0, V13.0.88"
  const std::string &text = asked->output;
  size_t begin = text.find(", V");
  begin = begin == text.npos ? text.size() : begin + 3;
  const std::string version =
      text.substr(begin, text.find_first_not_of("0123456789.", begin) - begin);
  if (asked->exitCode != 0 || version.empty())
    return assemblerError(program + " --version does not name a version of ptxas");
  return Ptxas(program, version);
}

Result<AssembledKernel> Ptxas::assemble(const std::string &ptx, const std::string &arch,
                                        const std::string &entry, const std::string &file,
                                        std::chrono::milliseconds limit) const {
  ScratchFolder folder;
  const std::string source = folder.path / "kernel.ptx", result = folder.path / "kernel.cubin";
  if (std::ofstream stream(source, std::ios::binary);
      folder.path.empty() || !(stream << ptx) || !stream.flush())
    return assemblerError("no file can be written to the folder of temporary files (TMPDIR)");
  Result<ChildResult> done =
      runChild({program, "-arch=" + arch, "-O3", "-v", source, "-o", result}, limit);
  if (!done) {
    Error error =
        assemblerError("kernel " + entry + " is not assembled: " + done.error().diagnostic.message);
    error.diagnostic.where.file = file;
    return error;
  }
  if (done->exitCode != 0)
    return failureOf(*done, arch, entry, file);
  std::ifstream stream(result, std::ios::binary);
  AssembledKernel assembled;
  assembled.cubin.assign(std::istreambuf_iterator<char>(stream), {});
  Result<PtxasReport> report = parsePtxasReport(done->output);
  if (!report || !assembled.cubin.starts_with("\177ELF")) {
    Error error = assemblerError(
        "kernel " + entry + " is not assembled: " +
        (report ? program + " has written no ELF file" : report.error().diagnostic.message));
    error.diagnostic.where.file = file;
    return error;
  }
  assembled.ptxas = versionText;
  assembled.registers = report->registers;
  assembled.warnings = report->advice;
  if (report->spillStoreBytes || report->spillLoadBytes)
    assembled.warnings.push_back("spills " + std::to_string(report->spillStoreBytes) +
                                 " bytes to memory and loads " +
                                 std::to_string(report->spillLoadBytes) + " back, at " +
                                 std::to_string(report->registers) + " registers");
  else if (report->stackBytes)
    assembled.warnings.push_back("keeps " + std::to_string(report->stackBytes) +
                                 " bytes of a thread in memory");
  return assembled;
}
