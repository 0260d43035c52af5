//===- Commands.h - the verbs of attncc -------------------------------------===//
//
// Internal. Each verb adds itself to the command line and returns the exit code:
// 0 ok, 1 bad input, 2 usage, 3 unsupported, 4 device, 5 ran but failed, 70 internal.
// Tables go to standard output, all else to standard error; with --json one object
// goes to standard output, also on failure.
// Tests: test/driver
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/JsonTree.h"
#include "runtime/support/Result.h"

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
} // namespace CLI

namespace attncc {

/// Exit codes, in the order of their meaning.
enum ExitCode {
  kOk = 0,
  kBadInput = 1,
  kUsage = 2,
  kUnsupported = 3,
  kDevice = 4,
  kFailed = 5,
  kInternal = 70
};
int exitCodeOf(Status status);

/// How a verb reports: diagnostics at once as text, or collected into its one JSON object.
class Report {
public:
  Report(std::string verb) : verb(std::move(verb)) {}
  bool json = false, quiet = false;

  void add(const Diagnostic &diagnostic);
  /// Reports the error and gives the exit code of its status.
  int fail(const Error &error);
  /// With --json prints {"schema", "ok", "diagnostics", …members of `body`}. Returns `code`.
  int finish(int code, json::Tree body = json::Tree::object());

private:
  std::string verb;
  std::vector<Diagnostic> diagnostics;
};

/// A verb: its command-line options are bound to it, and it runs after the parse.
using Verb = std::function<int()>;

Verb addCompile(CLI::App &app); ///< attncc FILE -o FOLDER
Verb addCheck(CLI::App &app);   ///< attncc check FILE
Verb addVerify(CLI::App &app);  ///< attncc verify FOLDER

/// The whole file, or an error that names it.
Result<std::string> readFile(const std::string &path);

/// Options that every verb has.
void addReportOptions(CLI::App &app, Report &report);

} // namespace attncc
