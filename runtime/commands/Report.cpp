// What all verbs print in the same way: diagnostics, the JSON frame, exit codes.
#include "runtime/commands/Commands.h"

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <unistd.h>

using namespace attncc;
using json::Tree;

int attncc::exitCodeOf(Status status) {
  switch (status) {
  case Status::Ok:
    return kOk;
  case Status::InvalidArgument:
  case Status::InvalidPackage:
  case Status::LimitExceeded:
    return kBadInput;
  case Status::Unsupported:
    return kUnsupported;
  case Status::DeviceError:
  case Status::Exhausted:
  case Status::OutOfMemory:
  case Status::Capturing:
    return kDevice;
  case Status::Internal:
    return kInternal;
  }
  return kInternal;
}

static Tree toTree(const Diagnostic &diagnostic) {
  static const char *const names[] = {"error", "warning", "note", "unsupported"};
  Tree tree = Tree::object();
  tree["severity"] = names[static_cast<int>(diagnostic.severity)];
  tree["code"] = diagnostic.code;
  tree["message"] = diagnostic.message;
  tree["file"] = diagnostic.where.file;
  tree["line"] = diagnostic.where.line;
  tree["column"] = diagnostic.where.column;
  tree["pointer"] = diagnostic.where.pointer;
  tree["notes"] = Tree::array();
  for (const Diagnostic &note : diagnostic.notes)
    tree["notes"].push(toTree(note));
  return tree;
}

bool Report::colored(int descriptor) const {
  if (color != "auto")
    return color == "always";
  const char *noColor = std::getenv("NO_COLOR"), *terminal = std::getenv("TERM");
  return isatty(descriptor) && !(noColor && *noColor) &&
         !(terminal && std::string_view(terminal) == "dumb");
}

/// The severities of a diagnostic's lines in colour: the first that a line has.
static std::string inColor(const std::string &text) {
  static constexpr std::pair<std::string_view, std::string_view> colors[] = {
      {"unsupported: ", "\033[1;31m"},
      {"error: ", "\033[1;31m"},
      {"warning: ", "\033[1;35m"},
      {"note: ", "\033[1;36m"}};
  std::string result;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1, first = end;
    std::string_view word, code;
    for (auto [severity, color] : colors)
      if (size_t at = text.find(severity, begin); at < first)
        first = at, word = severity, code = color;
    result.append(text, begin, first - begin);
    if (!word.empty())
      result.append(code).append(word.substr(0, word.size() - 1)).append("\033[0m ");
    begin = first + word.size();
    result.append(text, begin, end - begin);
    begin = end;
  }
  return result;
}

void Report::add(const Diagnostic &diagnostic) {
  bool isError = diagnostic.severity == Diagnostic::Severity::Error ||
                 diagnostic.severity == Diagnostic::Severity::Unsupported;
  if (json)
    diagnostics.push_back(diagnostic);
  else if (isError || !quiet)
    std::cerr << (colored(STDERR_FILENO) ? inColor(diagnostic.text()) : diagnostic.text()) << "\n";
}

void Report::warn(std::string message, std::string subject, std::string code) {
  Diagnostic warning;
  warning.severity = Diagnostic::Severity::Warning;
  warning.code = std::move(code);
  warning.message = std::move(message);
  warning.where.file = std::move(subject);
  add(warning);
}

int Report::fail(const Error &error) {
  add(error.diagnostic);
  return finish(exitCodeOf(error.status));
}

int Report::add(Error error, const std::string &device) {
  if (error.diagnostic.where.file.empty()) {
    error.diagnostic.where.file = device;
    if (std::string_view(error.diagnostic.message).starts_with(device + ": "))
      error.diagnostic.message.erase(0, device.size() + 2);
  }
  add(error.diagnostic);
  return exitCodeOf(error.status);
}

int Report::finish(int code, Tree body) {
  if (json) {
    body["schema"] = "attncc." + verb + "/1";
    body["ok"] = code == kOk;
    body["diagnostics"] = Tree::array();
    for (const Diagnostic &diagnostic : diagnostics)
      body["diagnostics"].push(toTree(diagnostic));
    std::cout << body.text() << "\n";
  }
  return code;
}

Result<std::string> attncc::readFile(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (stream.fail() || !stream.is_open()) {
    Error error = makeError(Status::InvalidArgument, "cannot be read");
    error.diagnostic.where.file = path;
    return error;
  }
  return text;
}

void attncc::addReportOptions(CLI::App &app, Report &report) {
  app.add_flag("--json", report.json, "Print one JSON object instead of text");
  app.add_flag("--quiet", report.quiet, "Print errors only beside the result");
  app.add_option("--color", report.color, "Colour in messages: auto is on a terminal")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
}
