//===- Commands.h - what all commands have in common, and their verbs --------===//
//
// Internal. Two programs are made of verbs: attncc, which has all of them, and attncc-rt, which has
// those that need no compiler and so no LLVM. A verb adds its options to a command line and returns
// the exit code: 0 ok, 1 bad input, 2 usage, 3 unsupported, 4 device, 5 ran but failed, 70
// internal. Tables go to standard output, all else to standard error; with --json one object goes
// to standard output, also on failure.
// Tests: test/commands, test/driver
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/JsonTree.h"
#include "runtime/support/Result.h"

#include <functional>
#include <memory>
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
  std::string color = "auto"; ///< or "always" or "never"

  void add(const Diagnostic &diagnostic);
  /// `subject`: the file or device that the message is about.
  void warn(std::string message, std::string subject, std::string code = {});
  /// Adds an error of a device, which is named in front of the message, "cuda:0: error: …", unless
  /// the message is about a file. Gives the exit code of its status.
  int add(Error error, const std::string &device);
  /// Reports the error and ends: the exit code of its status.
  int fail(const Error &error);
  int fail(const Error &error, const std::string &device) { return finish(add(error, device)); }
  /// With --json prints {"schema", "ok", "diagnostics", …members of `body`}. Returns `code`.
  int finish(int code, json::Tree body = json::Tree::object());

  /// Whether what goes to this descriptor is coloured. With "auto": on a terminal, unless NO_COLOR
  /// is set (no-color.org).
  bool colored(int descriptor) const;

private:
  std::string verb;
  std::vector<Diagnostic> diagnostics;
};

/// A verb: its command-line options are bound to it, and it runs after the parse.
using Verb = std::function<int()>;

// The verbs of both programs.
Verb addVerify(CLI::App &app);  ///< verify FOLDER
Verb addInspect(CLI::App &app); ///< inspect FOLDER
Verb addBench(CLI::App &app);   ///< bench FOLDER, bench --read
Verb addWarm(CLI::App &app);    ///< warm FOLDER
Verb addDoctor(CLI::App &app);  ///< doctor

/// A program: its verbs, its --version (which each verb has as well), and its run.
class CommandLine {
public:
  CommandLine(const std::string &program, const std::string &description,
              const std::string &version);
  ~CommandLine();

  /// The options of the program itself.
  CLI::App &app() { return *top; }
  void add(const std::string &verb, const std::string &description, Verb (*addTo)(CLI::App &));
  /// All that need no compiler.
  void addRuntimeVerbs();
  /// Parses and runs; without a verb runs `otherwise`, and where that is empty a verb is required.
  /// The exit code.
  int run(int argc, char **argv, const Verb &otherwise = {});

private:
  struct Entry {
    CLI::App *app;
    Verb run;
  };
  std::string version;
  std::unique_ptr<CLI::App> top;
  std::vector<Entry> verbs;
};

/// The version of attncc, of the package schema and of the C ABI; `extra` stands in front of these.
std::string versionText(const std::string &program, const std::string &extra = {});

/// The whole file, or an error that names it.
Result<std::string> readFile(const std::string &path);

/// Options that every verb has.
void addReportOptions(CLI::App &app, Report &report);

} // namespace attncc
