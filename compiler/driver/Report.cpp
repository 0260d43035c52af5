// What all verbs print in the same way: diagnostics, the JSON frame, exit codes.
#include "compiler/driver/Commands.h"

#include <CLI/CLI.hpp>

#include <fstream>
#include <iostream>
#include <iterator>

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

void Report::add(const Diagnostic &diagnostic) {
  bool isError = diagnostic.severity == Diagnostic::Severity::Error ||
                 diagnostic.severity == Diagnostic::Severity::Unsupported;
  if (json)
    diagnostics.push_back(diagnostic);
  else if (isError || !quiet)
    std::cerr << diagnostic.text() << "\n";
}

int Report::fail(const Error &error) {
  add(error.diagnostic);
  return finish(exitCodeOf(error.status));
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
}
