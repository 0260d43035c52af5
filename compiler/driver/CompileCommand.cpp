// attncc FILE -o FOLDER: every class that is compiled becomes kernels of one package; a table of
// them ends the run. --cubin assembles them too; --emit prints a stage instead.
#include "compiler/driver/Commands.h"
#include "compiler/driver/Pipeline.h"
#include "compiler/driver/SpecOptions.h"
#include "compiler/spec/Check.h"
#include "compiler/target/Ptxas.h"
#include "runtime/support/Table.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

using namespace attncc;
using json::Tree;

namespace {

/// The query tokens of a sequence that a kernel takes: "1", "2-8", "any".
std::string queries(const CompiledKernel &kernel) {
  auto [least, most] = kernel.queryTokens;
  if (most == 0)
    return "any";
  if (most == INT32_MAX)
    return std::to_string(least) + "+";
  return least == most ? std::to_string(most) : std::to_string(least) + "-" + std::to_string(most);
}

struct CompileCommand {
  Report report{"compile"};
  SpecArguments arguments;
  PipelineOptions options;
  std::string output, emit, order = "NHD";
  std::vector<std::string> prologues = {"fused", "none"};
  bool allowPartial = false, cubin = false;

  int run();

private:
  int emitStage(const spec::ModelSpec &spec);
  Result<void> assemble(std::vector<CompiledKernel> &kernels, const Ptxas &ptxas);
  /// The first refusal of any target, else that the class is compiled.
  spec::Verdict verdictOf(const spec::ModelSpec &spec, const spec::LayerClass &layerClass) const {
    spec::Verdict verdict;
    for (const std::string &target : options.package.targets)
      if (verdict.compiled())
        verdict = spec::checkLayerClass(spec, layerClass, target);
    return verdict;
  }
  void printKernels(const spec::ModelSpec &spec, const std::vector<CompiledKernel> &kernels) const;
  int64_t bytesPerToken(const spec::ModelSpec &spec, const CompiledKernel &kernel) const;
  const spec::LayerClass &classOf(const spec::ModelSpec &spec, const CompiledKernel &kernel) const {
    return *std::find_if(spec.classes.begin(), spec.classes.end(),
                         [&](const spec::LayerClass &c) { return c.name == kernel.layerClass; });
  }
};

/// What one layer reads for each token of context: K and V once for every chunk of query rows. Only
/// decode reads the context.
int64_t CompileCommand::bytesPerToken(const spec::ModelSpec &spec,
                                      const CompiledKernel &kernel) const {
  if (kernel.role != "decode")
    return 0;
  const spec::LayerClass &layerClass = classOf(spec, kernel);
  int64_t chunks = (layerClass.group() * kernel.queryTokens.most + kernel.rows - 1) / kernel.rows;
  return chunks * layerClass.kvHeads * (layerClass.headDim + layerClass.valueDim) * 2;
}

void CompileCommand::printKernels(const spec::ModelSpec &spec,
                                  const std::vector<CompiledKernel> &kernels) const {
  std::vector<std::vector<std::string>> rows = {{"kernel", "role", "queries", "layers", "target",
                                                 "schedule", "shared",
                                                 "bytes per token of context"}};
  if (cubin)
    rows[0].push_back("registers");
  for (const CompiledKernel &kernel : kernels) {
    int64_t bytes = bytesPerToken(spec, kernel);
    rows.push_back({kernel.entry, kernel.role, queries(kernel),
                    spec::layerRangeText(classOf(spec, kernel).layers), kernel.target,
                    kernel.summary, std::to_string((kernel.shared + 1023) / 1024) + " KB",
                    grouped(bytes)});
    if (kernel.assembled)
      rows.back().push_back(std::to_string(kernel.assembled->registers));
  }
  std::cout << tableText(rows);
}

int CompileCommand::emitStage(const spec::ModelSpec &spec) {
  static const std::map<std::string, Stage> stages = {{"import", Stage::Import},
                                                      {"attn", Stage::Attn},
                                                      {"tile", Stage::Tile},
                                                      {"llvm", Stage::Nvvm},
                                                      {"ptx", Stage::Ptx}};
  Compiler compiler;
  for (const spec::LayerClass &layerClass : spec.classes) {
    if (!verdictOf(spec, layerClass).compiled())
      continue;
    Result<std::string> text = compiler.emit(spec, layerClass, options, stages.at(emit));
    if (!text)
      return report.fail(text.error());
    std::cout << *text;
  }
  return kOk;
}

/// Adds the cubins, and tells what ptxas says against a kernel.
Result<void> CompileCommand::assemble(std::vector<CompiledKernel> &kernels, const Ptxas &ptxas) {
  if (Result<void> done = assembleKernels(kernels, ptxas); !done)
    return done;
  for (const CompiledKernel &kernel : kernels)
    for (const std::string &warning : kernel.assembled->warnings)
      report.warn("kernel " + kernel.entry + ": " + warning, kernelFile(kernel, ".ptx"), "ptxas");
  return {};
}

int CompileCommand::run() {
  if (arguments.file.empty() || output.empty() == emit.empty()) {
    std::cerr
        << "attncc: a spec and either -o FOLDER or --emit=STAGE are needed; run attncc --help\n";
    return kUsage;
  }
  options.package.targets = arguments.uniqueTargets();
  options.package.order = order == "NHD" ? package::KvOrder::NHD : package::KvOrder::HND;
  options.package.prologues.clear();
  for (package::Prologue prologue : {package::Prologue::Fused, package::Prologue::None})
    if (std::find(prologues.begin(), prologues.end(), package::prologueName(prologue)) !=
        prologues.end())
      options.package.prologues.push_back(prologue);
  Result<spec::ModelSpec> spec = arguments.read();
  if (!spec)
    return report.fail(spec.error());
  for (const Diagnostic &note : spec->notes)
    report.add(note);

  std::vector<package::RefusedLayers> refused;
  std::vector<const spec::LayerClass *> compiled;
  for (const spec::LayerClass &layerClass : spec->classes) {
    spec::Verdict verdict = verdictOf(*spec, layerClass);
    if (verdict.compiled())
      compiled.push_back(&layerClass);
    else
      refused.push_back({package::rangesOf(layerClass.layers), verdict.reason()});
  }
  if (!refused.empty() && (!allowPartial || compiled.empty())) {
    for (const std::string &target : options.package.targets)
      for (const Diagnostic &diagnostic : spec::unsupportedDiagnostics(*spec, target))
        report.add(diagnostic);
    return report.finish(kUnsupported);
  }
  if (!emit.empty())
    return emitStage(*spec);

  std::optional<Ptxas> ptxas;
  if (cubin) {
    Result<Ptxas> found = Ptxas::find();
    if (!found)
      return report.fail(found.error());
    ptxas = *found;
  }
  Compiler compiler;
  std::vector<CompiledKernel> kernels;
  for (const spec::LayerClass *layerClass : compiled) {
    Result<std::vector<CompiledKernel>> some = compiler.compile(*spec, *layerClass, options);
    if (!some)
      return report.fail(some.error());
    std::move(some->begin(), some->end(), std::back_inserter(kernels));
  }
  if (ptxas)
    if (Result<void> done = assemble(kernels, *ptxas); !done)
      return report.fail(done.error());
  Result<std::string> source = readFile(arguments.file);
  if (!source)
    return report.fail(source.error());
  PackageFiles package = buildPackage(*spec, *source, options.package, kernels, refused);
  if (Result<void> written = writePackage(package, output); !written)
    return report.fail(written.error());

  if (!report.json)
    printKernels(*spec, kernels);
  Tree body = Tree::object();
  body["package_id"] = package.id;
  body["kernels"] = Tree::array();
  for (const CompiledKernel &kernel : kernels) {
    Tree row = Tree::object();
    row["entry"] = kernel.entry;
    row["role"] = kernel.role;
    if (kernel.prologue)
      row["prologue"] = package::prologueName(*kernel.prologue);
    row["layers"] = classOf(*spec, kernel).layers;
    row["target"] = kernel.target;
    row["schedule"] = kernel.schedule;
    row["shared"] = kernel.shared;
    row["bytes_per_token"] = bytesPerToken(*spec, kernel);
    if (kernel.assembled)
      row["registers"] = kernel.assembled->registers;
    body["kernels"].push(std::move(row));
  }
  return report.finish(kOk, std::move(body));
}

} // namespace

Verb attncc::addCompile(CLI::App &app) {
  auto command = std::make_shared<CompileCommand>();
  command->arguments.addTo(app, /*required=*/false);
  PackageOptions &package = command->options.package;
  app.add_option("-o,--output", command->output,
                 "Folder of the package; one that exists is replaced if it is a package");
  app.add_option("--page-size", package.pageSize, "Tokens of a page")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--kv-order", command->order,
                 "Order inside a page that kernels are laid out for; strides decide at run time")
      ->check(CLI::IsMember({"NHD", "HND"}))
      ->capture_default_str();
  app.add_option("--max-draft", package.maxQueryTokens,
                 "Most query tokens of a sequence in one decode step")
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  app.add_option(
         "--prologue", command->prologues,
         "Append kernels of layers with QK norm or RoPE: one that applies them (fused), one "
         "for callers that have (none)")
      ->check(CLI::IsMember({"fused", "none"}))
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--schedule", command->options.schedule,
                 "Schedule of decode as #attn.schedule text, instead of the cost model's");
  app.add_flag("--allow-partial", command->allowPartial,
               "Leave refused layers out and list them in the manifest");
  CLI::Option *emit =
      app.add_option("--emit", command->emit, "Print a stage instead of writing a package")
          ->check(CLI::IsMember({"import", "attn", "tile", "llvm", "ptx"}));
  app.add_flag("--cubin", command->cubin, "Assemble the kernels too, with ptxas of a CUDA Toolkit")
      ->excludes(emit);
  addReportOptions(app, command->report);
  return [command] { return command->run(); };
}
