// doctor: what a bug report needs to know of this machine. No GPU is an answer, not an error. Names
// of people and hosts are left out, and of the environment only what attncc and CUDA read is shown.
#include "runtime/commands/Commands.h"
#include "runtime/commands/Environment.h"
#include "runtime/device/Device.h"
#include "runtime/support/Table.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <gnu/libc-version.h>
#include <iostream>
#include <link.h>
#include <memory>
#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

using namespace attncc;
using json::Tree;

namespace {

constexpr int kMostDevices = 64;

/// What follows `key` on its line in a file of "key : value" lines; empty where there is none.
std::string valueIn(const char *path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (std::string_view(line).starts_with(key)) {
      size_t begin = line.find_first_not_of(" \t:=", key.size());
      return begin == line.npos ? std::string() : line.substr(begin);
    }
  return {};
}

std::string firstLine(const char *path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string unquoted(std::string text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  return text;
}

/// Memory in GiB with one decimal.
std::string gibibytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", bytes / (1 << 30));
  return text;
}

struct Fact {
  std::string name, value;
};

std::vector<Fact> systemFacts() {
  std::vector<Fact> facts;
  utsname name = {};
  if (uname(&name) == 0)
    facts.push_back(
        {"kernel", std::string(name.sysname) + " " + name.release + " " + name.machine});
  if (std::string os = unquoted(valueIn("/etc/os-release", "PRETTY_NAME=")); !os.empty())
    facts.push_back({"os", os});
  facts.push_back({"libc", std::string("glibc ") + gnu_get_libc_version()});
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  int cores = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 0;
  std::string cpu = valueIn("/proc/cpuinfo", "model name");
  facts.push_back(
      {"cpu", (cpu.empty() ? "" : cpu + ", ") + std::to_string(cores) + " cores for this process"});
  struct sysinfo memory = {};
  if (sysinfo(&memory) == 0)
    facts.push_back({"memory", gibibytes(double(memory.totalram) * memory.mem_unit)});
  return facts;
}

/// Variables that attncc, the CUDA driver or the loader read.
std::vector<Fact> environmentFacts() {
  std::vector<Fact> facts;
  for (char **entry = environ; *entry; ++entry) {
    std::string_view variable(*entry);
    const size_t end = variable.find('=');
    const std::string_view name = variable.substr(0, end);
    if (name.starts_with("ATTNCC_") || name.starts_with("CUDA_") || name == "LD_LIBRARY_PATH" ||
        name == "NVIDIA_VISIBLE_DEVICES" || name == "NVIDIA_DRIVER_CAPABILITIES")
      facts.push_back({std::string(name), withoutHome(std::string(variable.substr(end + 1)))});
  }
  std::sort(facts.begin(), facts.end(),
            [](const Fact &a, const Fact &b) { return a.name < b.name; });
  return facts;
}

/// Paths of this program and of the libraries that it has loaded.
std::vector<std::string> loadedLibraries() {
  std::vector<std::string> paths;
  char self[4096];
  if (ssize_t length = readlink("/proc/self/exe", self, sizeof self); length > 0)
    paths.emplace_back(self, size_t(length));
  dl_iterate_phdr(
      [](dl_phdr_info *info, size_t, void *user) {
        if (info->dlpi_name && std::strchr(info->dlpi_name, '/'))
          static_cast<std::vector<std::string> *>(user)->push_back(info->dlpi_name);
        return 0;
      },
      &paths);
  std::transform(paths.begin(), paths.end(), paths.begin(), withoutHome);
  return paths;
}

struct Gpu {
  std::string name;
  device::DeviceInfo info;
};

struct DoctorCommand {
  Report report{"doctor"};
  std::string version;

  int run() {
    std::vector<Gpu> gpus;
    std::string refusal;
    for (int i = 0; i < kMostDevices; ++i) {
      const std::string name = "cuda:" + std::to_string(i);
      Result<std::shared_ptr<device::Device>> opened = device::Device::open(name);
      if (!opened) {
        if (i == 0)
          refusal = opened.error().diagnostic.message;
        break;
      }
      gpus.push_back({name, (*opened)->info()});
    }
    // After the driver was tried, its libraries are loaded.
    const std::vector<Fact> system = systemFacts(), environment = environmentFacts();
    const std::vector<std::string> libraries = loadedLibraries();
    const std::string kernelDriver = firstLine("/sys/module/nvidia/version");

    if (report.json) {
      Tree body = Tree::object();
      body["version"] = version;
      body["system"] = treeOf(system);
      body["environment"] = treeOf(environment);
      body["libraries"] = libraries;
      body["kernel_driver"] = kernelDriver;
      body["jit_cache"] = jitCache().text;
      body["no_gpu"] = refusal;
      body["gpus"] = Tree::array();
      for (const Gpu &gpu : gpus) {
        Tree row = Tree::object();
        row["device"] = gpu.name;
        row["description"] = gpu.info.description;
        row["compute_capability"] = gpu.info.computeCapability;
        row["ptx_version"] = gpu.info.ptxVersion;
        row["max_shared"] = gpu.info.maxShared;
        body["gpus"].push(std::move(row));
      }
      return report.finish(kOk, std::move(body));
    }

    std::vector<std::vector<std::string>> rows = {{"attncc", version}};
    auto add = [&](const std::string &name, const std::string &value) {
      rows.push_back({name, value});
    };
    for (const Fact &fact : system)
      add(fact.name, fact.value);
    add("nvidia kernel driver", kernelDriver.empty() ? "not loaded" : kernelDriver);
    if (gpus.empty())
      add("gpu", "none: " + refusal);
    for (const Gpu &gpu : gpus)
      add(gpu.name, gpu.info.description + ", PTX up to " +
                        std::to_string(gpu.info.ptxVersion / 10) + "." +
                        std::to_string(gpu.info.ptxVersion % 10) + ", " +
                        grouped(gpu.info.maxShared) + " bytes of shared memory a block");
    add("jit cache", jitCache().text);
    for (const std::string &path : libraries)
      add("loaded", path);
    for (const Fact &fact : environment)
      add(fact.name, fact.value);
    if (environment.empty())
      add("environment", "no variable of attncc or CUDA is set");
    std::cout << tableText(rows);
    return report.finish(kOk);
  }

private:
  static Tree treeOf(const std::vector<Fact> &facts) {
    Tree tree = Tree::object();
    for (const Fact &fact : facts)
      tree[fact.name] = fact.value;
    return tree;
  }
};
} // namespace

Verb attncc::addDoctor(CLI::App &app) {
  auto command = std::make_shared<DoctorCommand>();
  command->version = versionText("attncc");
  addReportOptions(app, command->report);
  return [command] { return command->run(); };
}
