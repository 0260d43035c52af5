// inspect: what a package holds, verified against its hashes, and what of it a device would load.
// On a GPU the chosen kernels are loaded, their PTX compiled where no cubin fits.
#include "runtime/commands/Commands.h"
#include "runtime/package/Package.h"
#include "runtime/support/Table.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>

using namespace attncc;
using json::Tree;
using package::KernelEntry;
using package::LayerRange;
using package::Manifest;

namespace {

std::string layersText(const std::vector<LayerRange> &ranges) {
  std::string text;
  for (const LayerRange &range : ranges) {
    text += (text.empty() ? "" : ",") + std::to_string(range.first);
    if (range.last != range.first)
      text += "-" + std::to_string(range.last);
  }
  return text;
}

Tree layersTree(const std::vector<LayerRange> &ranges) {
  Tree tree = Tree::array();
  for (const LayerRange &range : ranges)
    tree.push(Tree(std::vector<int64_t>{range.first, range.last}));
  return tree;
}

/// The value of `name = …` in a schedule's text, the first of several.
std::string scheduled(const std::string &schedule, const std::string &name) {
  for (const char *before : {"<", ", "}) {
    const std::string key = before + name + " = ";
    if (size_t at = schedule.find(key); at != schedule.npos) {
      size_t begin = schedule.find_first_not_of('[', at + key.size());
      return schedule.substr(begin, schedule.find_first_of(",>", begin) - begin);
    }
  }
  return "?";
}

/// As attncc shows it when it compiles.
std::string scheduleText(const KernelEntry &kernel) {
  if (kernel.schedule.empty())
    return "-";
  const int64_t loading = scheduled(kernel.schedule, "roles") == "specialised" ? 4 : 0;
  std::string warps = std::to_string(kernel.block[0] / 32 - loading) + " w";
  if (kernel.role != "decode" && kernel.role != "prefill")
    return warps;
  std::string box = scheduled(kernel.schedule, "box");
  return std::to_string(kernel.rows) + " rows, " + scheduled(kernel.schedule, "keys") + " x " +
         scheduled(kernel.schedule, "stages") + " stages, " + warps +
         (box == "0" || box == "?" ? "" : ", boxes of " + box);
}

/// The launches that a kernel serves: "max_query_length 2-8", "prologue none", or "any".
std::string loadText(const KernelEntry &kernel) {
  std::string text;
  if (kernel.prologue)
    text = std::string("prologue ") + package::prologueName(*kernel.prologue);
  for (const auto &[name, interval] : kernel.loadClass)
    text += (text.empty() ? "" : ", ") + name + " " + std::to_string(interval.least) +
            (interval.least == interval.most ? ""
             : interval.most == INT32_MAX    ? "+"
                                             : "-" + std::to_string(interval.most));
  return text.empty() ? "any" : text;
}

/// "sm_90a, 76 registers".
std::string cubinText(const KernelEntry &kernel) {
  return kernel.cubin
             ? kernel.cubin->arch + ", " + std::to_string(kernel.cubin->registers) + " registers"
             : "-";
}

/// What was loaded of a kernel, null where nothing was: "cubin", or the PTX and why.
std::string loadedText(const package::LoadedKernel *kernel) {
  return !kernel ? "-" : kernel->whyPtx.empty() ? "cubin" : "PTX: " + kernel->whyPtx;
}

struct InspectCommand {
  Report report{"inspect"};
  std::string folder, device, target;

  int run() {
    Result<package::Folder> opened = package::openFolder(folder);
    if (!opened)
      return report.fail(opened.error());
    content = &*opened;
    if (device.empty())
      return finish(kOk);
    Result<std::shared_ptr<device::Device>> found = device::Device::open(device);
    if (!found)
      return report.fail(found.error(), device);
    // Verified again and loaded as a program would.
    package::LoadOptions options;
    options.target = target;
    options.expectedId = opened->id;
    Result<std::shared_ptr<const package::Package>> package =
        package::Package::open(*found, folder, options);
    if (!package)
      return finish(report.add(package.error(), device));
    loaded = *package;
    if (std::string refused = loaded->refusedCubins(); !refused.empty())
      report.warn(refused, device);
    return finish(kOk);
  }

private:
  int finish(int code) {
    if (!report.json)
      std::cout << text();
    return report.finish(code, report.json ? tree() : Tree::object());
  }

  const Manifest &manifest() const { return content->manifest; }

  const package::LoadedKernel *find(const KernelEntry &entry) const {
    if (loaded)
      for (const auto &kernel : loaded->kernels())
        if (kernel->entry->entry == entry.entry)
          return kernel.get();
    return nullptr;
  }

  std::string text() const {
    const Manifest &m = manifest();
    std::vector<std::vector<std::string>> rows = {
        {"package", content->id},
        {"from",
         m.spec.sourceName + ", by attncc " + m.compiler.version + " with LLVM " + m.compiler.llvm},
        {"files", std::to_string(content->files.size()) + " and the manifest, sizes and SHA-256 " +
                      "as listed"}};
    for (const package::CacheGroup &group : m.cacheGroups)
      rows.push_back({"cache group", group.name + ": layers " + layersText(group.layers) + ", " +
                                         std::to_string(group.kvHeads) + " kv heads, pages of " +
                                         std::to_string(group.pageSize) + " tokens, " +
                                         grouped(group.tokenBytesAllLayers()) + " bytes a token"});
    for (const package::LayerClass &layerClass : m.layerClasses)
      rows.push_back({"class", layerClass.name + ": layers " + layersText(layerClass.layers) +
                                   ", " + std::to_string(layerClass.queryHeads) +
                                   " query heads of " + std::to_string(layerClass.headDim) + " " +
                                   package::dtypeName(layerClass.dtype) + ", " + layerClass.mask +
                                   ", " + grouped(layerClass.maxPosition) + " positions"});
    for (const package::RefusedLayers &refused : m.refused)
      rows.push_back({"refused", "layers " + layersText(refused.layers) + ": " + refused.reason});
    std::string text = tableText(rows);
    if (loaded) {
      text += "\n";
      rows.clear();
      for (const package::TargetVerdict &verdict : loaded->targets().verdicts)
        rows.push_back({verdict.target, verdict.layerClass, verdictText(verdict)});
      text += tableText(rows);
    }
    text += "\n";
    const bool hasCubins = std::any_of(m.kernels.begin(), m.kernels.end(),
                                       [](const KernelEntry &kernel) { return !!kernel.cubin; });
    rows = {{"kernel", "role", "class", "target", "for", "schedule", "shared"}};
    if (hasCubins)
      rows[0].push_back("cubin");
    if (loaded)
      rows[0].push_back("loaded");
    for (const KernelEntry &kernel : m.kernels) {
      rows.push_back({kernel.entry, kernel.role, kernel.layerClass, kernel.target, loadText(kernel),
                      scheduleText(kernel), std::to_string(kernel.shared / 1024) + " KB"});
      if (hasCubins)
        rows.back().push_back(cubinText(kernel));
      if (loaded)
        rows.back().push_back(loadedText(find(kernel)));
    }
    text += tableText(rows);
    if (loaded)
      text += std::to_string(m.kernels.size()) + " kernels, " +
              std::to_string(loaded->kernels().size()) + " loaded on " +
              loaded->device().info().description + ", " + std::to_string(loaded->numCubins()) +
              " from cubins\n";
    return text;
  }

  std::string verdictText(const package::TargetVerdict &verdict) const {
    return isSelected(verdict) ? "selected for " + loaded->device().info().description
                               : verdict.reason;
  }
  bool isSelected(const package::TargetVerdict &verdict) const {
    const auto &chosen = loaded->targets().chosen;
    auto found = chosen.find(verdict.layerClass);
    return found != chosen.end() && found->second == verdict.target;
  }

  Tree tree() const {
    const Manifest &m = manifest();
    Tree body = Tree::object();
    body["package_id"] = content->id;
    body["files"] = content->files.size();
    body["source"] = m.spec.sourceName;
    body["compiler"]["version"] = m.compiler.version;
    body["compiler"]["llvm"] = m.compiler.llvm;
    body["device"] = loaded ? Tree(loaded->device().info().description) : Tree();
    body["targets"] = Tree::array();
    if (loaded)
      for (const package::TargetVerdict &verdict : loaded->targets().verdicts) {
        Tree row = Tree::object();
        row["name"] = verdict.target;
        row["class"] = verdict.layerClass;
        row["usable"] = verdict.usable;
        row["selected"] = isSelected(verdict);
        row["reason"] = verdict.reason;
        body["targets"].push(std::move(row));
      }
    body["cache_groups"] = Tree::array();
    for (const package::CacheGroup &group : m.cacheGroups) {
      Tree row = Tree::object();
      row["name"] = group.name;
      row["layers"] = layersTree(group.layers);
      row["kv_heads"] = group.kvHeads;
      row["page_size"] = group.pageSize;
      row["page_bytes_per_layer"] = group.pageBytesPerLayer();
      row["token_bytes_all_layers"] = group.tokenBytesAllLayers();
      body["cache_groups"].push(std::move(row));
    }
    body["kernels"] = Tree::array();
    for (const KernelEntry &kernel : m.kernels) {
      Tree row = Tree::object();
      row["entry"] = kernel.entry;
      row["role"] = kernel.role;
      if (kernel.prologue)
        row["prologue"] = package::prologueName(*kernel.prologue);
      row["class"] = kernel.layerClass;
      row["target"] = kernel.target;
      row["interface"] = kernel.interface;
      row["shared"] = kernel.shared;
      row["schedule"] = kernel.schedule;
      const package::LoadedKernel *found = find(kernel);
      row["loaded"] = found != nullptr;
      row["from_cubin"] = found && found->whyPtx.empty();
      row["why_ptx"] = found ? found->whyPtx : "";
      row["cubin"] = Tree();
      if (kernel.cubin) {
        row["cubin"]["arch"] = kernel.cubin->arch;
        row["cubin"]["registers"] = kernel.cubin->registers;
        row["cubin"]["ptxas"] = kernel.cubin->ptxas;
      }
      row["load_class"] = Tree::object();
      for (const auto &[name, interval] : kernel.loadClass)
        row["load_class"][name] = Tree(std::vector<int64_t>{interval.least, interval.most});
      body["kernels"].push(std::move(row));
    }
    body["refused"] = Tree::array();
    for (const package::RefusedLayers &refused : m.refused) {
      Tree row = Tree::object();
      row["layers"] = layersTree(refused.layers);
      row["reason"] = refused.reason;
      body["refused"].push(std::move(row));
    }
    return body;
  }

  const package::Folder *content = nullptr;
  std::shared_ptr<const package::Package> loaded;
};
} // namespace

Verb attncc::addInspect(CLI::App &app) {
  auto command = std::make_shared<InspectCommand>();
  app.add_option("package", command->folder, "Folder of the package")->required();
  app.add_option("--device", command->device,
                 "Load it there as well, and say what was chosen: cuda:N, sim, sim:TARGET");
  app.add_option("--target", command->target, "Load only this target's kernels");
  addReportOptions(app, command->report);
  return [command] { return command->run(); };
}
