//===- SpecOptions.h - the arguments that name and read a spec --------------===//
//
// Internal. Shared by the verbs that take a model.json or config.json.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/spec/ModelSpec.h"
#include "compiler/target/TargetTable.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace attncc {

struct SpecArguments {
  std::string file, dtype;
  std::vector<std::string> targets = {"sm_80"};
  int64_t maxPosition = 0;

  void addTo(CLI::App &app, bool required) {
    CLI::Option *option = app.add_option("spec", file, "model.json or Hugging Face config.json");
    if (required)
      option->required();
    std::vector<std::string> known;
    for (const TargetInfo &info : allTargets())
      known.emplace_back(info.name);
    app.add_option("--target", targets, "GPU targets, separated by commas")
        ->check(CLI::IsMember(known))
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--dtype", dtype,
                   "Type of queries, keys, values and outputs instead of the file's")
        ->check(CLI::IsMember({"f16", "bf16", "fp16", "float16", "bfloat16"}));
    app.add_option("--max-position", maxPosition,
                   "Longest sequence to provide for, instead of the file's")
        ->check(CLI::Range(int64_t(1), int64_t(1) << 30));
  }

  /// Each target once, in the order given.
  std::vector<std::string> uniqueTargets() const {
    std::vector<std::string> unique;
    for (const std::string &target : targets)
      if (std::find(unique.begin(), unique.end(), target) == unique.end())
        unique.push_back(target);
    return unique;
  }

  Result<spec::ModelSpec> read() const {
    spec::SpecOptions options;
    if (maxPosition)
      options.maxPosition = maxPosition;
    if (!dtype.empty())
      options.dtype = spec::parseDType(dtype);
    return spec::readModelSpec(file, options);
  }
};

} // namespace attncc
