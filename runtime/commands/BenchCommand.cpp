// attncc bench: how fast a package's decode is on a GPU, beside the read bandwidth of that GPU;
// exit 5 when a result is wrong.
#include "runtime/bench/Bench.h"
#include "runtime/commands/Commands.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <unistd.h>

using namespace attncc;

namespace {
struct BenchCommand {
  Report report{"bench"};
  std::string folder, device = "cuda:0", target, table, policy = "invariant",
                      pageOrder = "permuted";
  std::vector<int64_t> batches, queryLengths, kvHeads;
  std::vector<std::string> contexts, graphs = {"exact"};
  bool readOnly = false;
  bench::BenchOptions options;

  /// The shapes that the command line asks for.
  Result<std::vector<bench::Shape>> shapes() const {
    if (!table.empty()) {
      Result<std::string> text = readFile(table);
      if (!text)
        return text.error();
      return bench::parseShapes(*text, table);
    }
    if (batches.empty() && contexts.empty() && queryLengths.empty() && kvHeads.empty())
      return bench::defaultShapes();
    std::vector<bench::LengthRange> ranges;
    for (const std::string &context : contexts) {
      Result<bench::LengthRange> range = bench::parseLengths(context);
      if (!range)
        return range.error();
      ranges.push_back(*range);
    }
    auto orDefault = [](auto list, auto value) {
      if (list.empty())
        list.push_back(value);
      return list;
    };
    return bench::productOf(orDefault(batches, int64_t(64)),
                            orDefault(ranges, bench::LengthRange{4096, 4096}),
                            orDefault(queryLengths, int64_t(1)), orDefault(kvHeads, int64_t(0)));
  }

  int run() {
    auto asked = [&](const char *graph) {
      return std::find(graphs.begin(), graphs.end(), graph) != graphs.end();
    };
    options.exact = asked("exact");
    options.bound = asked("bound");
    options.run.policy = policy == "throughput" ? ATTNCC_THROUGHPUT : ATTNCC_INVARIANT;
    options.run.permuted = pageOrder == "permuted";
    Result<std::vector<bench::Shape>> steps = shapes();
    if (!steps)
      return report.fail(steps.error());
    options.shapes = std::move(*steps);
    Result<bench::Machine> machine = bench::openMachine(device);
    if (!machine)
      return report.fail(machine.error(), device);

    const bool shown = !report.json && !report.quiet && isatty(STDERR_FILENO);
    if (shown)
      options.progress = [](int64_t done, int64_t total) {
        std::fprintf(stderr, "\r%lld/%lld", static_cast<long long>(done),
                     static_cast<long long>(total));
      };
    Result<bench::BenchReport> timed = measure(*machine);
    if (shown)
      std::fprintf(stderr, "\r%*s\r", 24, "");
    if (!timed)
      return report.fail(timed.error(), device);
    const int code = timed->passed() ? kOk : kFailed;
    if (!report.json)
      std::cout << timed->text();
    return report.finish(code, timed->json());
  }

private:
  Result<bench::BenchReport> measure(const bench::Machine &machine) const {
    if (readOnly)
      return bench::benchRead(device, machine, options);
    package::LoadOptions load;
    load.target = target;
    Result<std::shared_ptr<const package::Package>> opened =
        package::Package::open(machine.device, folder, load);
    if (!opened)
      return opened.error();
    return bench::benchPackage(device, machine, *opened, options);
  }
};

const CLI::Validator kContext(
    [](std::string &text) {
      Result<bench::LengthRange> range = bench::parseLengths(text);
      return range ? std::string() : range.error().diagnostic.message;
    },
    "TOKENS or LOW..HIGH");
} // namespace

Verb attncc::addBench(CLI::App &app) {
  auto command = std::make_shared<BenchCommand>();
  bench::BenchOptions &options = command->options;
  CLI::Option *folder = app.add_option("package", command->folder, "Folder of the package");
  app.add_flag("--read", command->readOnly, "Only the read bandwidth; needs no package")
      ->excludes(folder);
  app.add_option("--device", command->device, "GPU to run it on: cuda:N")->capture_default_str();
  app.add_option("--target", command->target, "This target's kernels; default: the device's best");
  app.add_option("--class", options.layerClass, "Only this layer class");
  CLI::Option *table = app.add_option(
      "--shapes", command->table, "A table of shapes, CSV: batch,context,query_length,kv_heads");
  const CLI::Range number(int64_t(1), bench::kMostSequences);
  app.add_option("--batch", command->batches, "Sequences; as all of these, a list: 1,8,64")
      ->delimiter(',')
      ->check(number)
      ->excludes(table);
  app.add_option("--context", command->contexts, "Tokens of each; LOW..HIGH: uniform between them")
      ->delimiter(',')
      ->check(kContext)
      ->excludes(table);
  app.add_option("--query-length", command->queryLengths, "Query tokens of each")
      ->delimiter(',')
      ->check(number)
      ->excludes(table);
  app.add_option("--kv-heads", command->kvHeads, "kv heads of this tensor-parallel rank")
      ->delimiter(',')
      ->check(number)
      ->excludes(table);
  app.add_option("--graph", command->graphs,
                 "Graphs captured at the shape (exact), at --bound, or both: exact,bound")
      ->delimiter(',')
      ->check(CLI::IsMember({"exact", "bound"}))
      ->capture_default_str();
  app.add_option("--bound", options.boundTokens,
                 "Tokens of a sequence that graphs at a bound allow")
      ->check(CLI::Range(int64_t(1), bench::kMostContext))
      ->capture_default_str();
  app.add_option("--policy", command->policy, "Policy of the plan")
      ->check(CLI::IsMember({"invariant", "throughput"}))
      ->capture_default_str();
  app.add_option("--page-order", command->pageOrder,
                 "Where a sequence's pages lie: anywhere, or one after another")
      ->check(CLI::IsMember({"permuted", "ascending"}))
      ->capture_default_str();
  app.add_flag("--host", options.host, "Time the calls on the host as well, outside of graphs");
  app.add_option("--repeat", options.run.samples, "Samples of each row")
      ->check(CLI::Range(int64_t(3), int64_t(10000)))
      ->capture_default_str();
  app.add_option("--seed", options.run.seed, "Seed of page order, lengths and values")
      ->capture_default_str();
  addReportOptions(app, command->report);
  BenchCommand *const own = command.get();
  app.callback([own] {
    if (own->folder.empty() && !own->readOnly)
      throw CLI::RequiredError("package (or --read)");
  });
  return [command] { return command->run(); };
}
