// attncc bench: how fast a package's attention is on a GPU, beside the read bandwidth of that GPU;
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
  std::vector<int64_t> batches, kvHeads;
  std::vector<std::string> roles = {"decode"}, contexts, queryLengths, graphs = {"exact"};
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
    std::vector<bench::Shape> all;
    for (bench::Role role : {bench::Role::Decode, bench::Role::Prefill}) {
      if (!isAsked(roles, bench::name(role)))
        continue;
      Result<std::vector<bench::Shape>> some = shapesOf(role);
      if (!some)
        return some.error();
      all.insert(all.end(), some->begin(), some->end());
    }
    return all;
  }

  int run() {
    options.exact = isAsked(graphs, "exact");
    options.bound = isAsked(graphs, "bound");
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
  static bool isAsked(const std::vector<std::string> &among, std::string_view value) {
    return std::find(among.begin(), among.end(), value) != among.end();
  }

  static Result<std::vector<bench::LengthRange>> ranges(const char *name,
                                                        const std::vector<std::string> &texts) {
    std::vector<bench::LengthRange> all;
    for (const std::string &text : texts) {
      Result<bench::LengthRange> range = bench::parseLengths(name, text);
      if (!range)
        return range.error();
      all.push_back(*range);
    }
    return all;
  }

  /// Every combination of the lists, of which each query length has its own role.
  Result<std::vector<bench::Shape>> shapesOf(bench::Role role) const {
    if (batches.empty() && contexts.empty() && queryLengths.empty() && kvHeads.empty())
      return bench::defaultShapes(role);
    const bool decode = role == bench::Role::Decode;
    Result<std::vector<bench::LengthRange>> kvLengths = ranges("context", contexts),
                                            queries = ranges("query_length", queryLengths);
    if (!kvLengths || !queries)
      return (kvLengths ? queries : kvLengths).error();
    for (const bench::LengthRange &range : *queries)
      if (const std::string needed(bench::name(bench::roleOf(range.most))); !isAsked(roles, needed))
        return makeError(Status::InvalidArgument, "query_length " + range.text("..") + " is " +
                                                      needed + "'s, which --role=" + needed +
                                                      " asks for");
    if (queries->empty())
      queries->push_back(decode ? 1 : 4096);
    std::erase_if(*queries, [&](const bench::LengthRange &range) {
      return bench::roleOf(range.most) != role;
    });
    auto orDefault = [](auto list, auto value) {
      if (list.empty())
        list.push_back(value);
      return list;
    };
    return bench::productOf(orDefault(batches, int64_t(decode ? 64 : 4)),
                            orDefault(*kvLengths, bench::LengthRange(decode ? 4096 : 0)), *queries,
                            orDefault(kvHeads, int64_t(0)));
  }

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

CLI::Validator lengths(const char *name) {
  return CLI::Validator(
      [name](std::string &text) {
        Result<bench::LengthRange> range = bench::parseLengths(name, text);
        return range ? std::string() : range.error().diagnostic.message;
      },
      "TOKENS or LOW..HIGH");
}
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
  app.add_option("--role", command->roles,
                 "Shapes of decode, of prefill (more than 8 query tokens), or both: decode,prefill")
      ->delimiter(',')
      ->check(CLI::IsMember({"decode", "prefill"}))
      ->capture_default_str()
      ->excludes(table);
  app.add_option("--batch", command->batches, "Sequences; as all of these, a list: 1,8,64")
      ->delimiter(',')
      ->check(number)
      ->excludes(table);
  app.add_option("--context", command->contexts, "Tokens of each; LOW..HIGH: uniform between them")
      ->delimiter(',')
      ->check(lengths("context"))
      ->excludes(table);
  app.add_option("--query-length", command->queryLengths, "Query tokens of each; or LOW..HIGH")
      ->delimiter(',')
      ->check(lengths("query_length"))
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
