// attncc check: one row per layer class, exit 3 when any is refused.
#include "compiler/driver/Commands.h"
#include "compiler/driver/SpecOptions.h"
#include "compiler/spec/Check.h"

#include <CLI/CLI.hpp>

#include <iostream>
#include <memory>

using namespace attncc;
using json::Tree;

namespace {
struct CheckCommand {
  Report report{"check"};
  SpecArguments arguments;

  int run() {
    Result<spec::ModelSpec> spec = arguments.read();
    if (!spec)
      return report.fail(spec.error());
    for (const Diagnostic &note : spec->notes)
      report.add(note);
    std::vector<spec::CheckRow> rows;
    Tree classes = Tree::array();
    bool refused = false;
    for (const spec::LayerClass &layerClass : spec->classes) {
      for (const std::string &target : arguments.uniqueTargets()) {
        spec::Verdict verdict = spec::checkLayerClass(*spec, layerClass, target);
        refused |= !verdict.compiled();
        rows.push_back(spec::checkRow(layerClass, target, verdict));
        Tree row = Tree::object();
        row["layers"] = layerClass.layers;
        row["target"] = target;
        row["features"] = rows.back().features;
        row["verdict"] = verdict.compiled() ? "compiled" : "refused";
        row["reason"] = verdict.reason();
        classes.push(std::move(row));
      }
    }
    if (!report.json)
      std::cout << spec::checkTableText(rows);
    Tree body = Tree::object();
    body["classes"] = std::move(classes);
    return report.finish(refused ? kUnsupported : kOk, std::move(body));
  }
};
} // namespace

Verb attncc::addCheck(CLI::App &app) {
  auto command = std::make_shared<CheckCommand>();
  command->arguments.addTo(app, /*required=*/true);
  addReportOptions(app, command->report);
  return [command] { return command->run(); };
}
