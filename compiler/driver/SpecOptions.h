//===- SpecOptions.h - the arguments that name and read a spec --------------===//
//
// Internal. Shared by the verbs that take a model.json or config.json.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/spec/ModelSpec.h"
#include "compiler/target/TargetTable.h"

#include <CLI/CLI.hpp>

#include <string>

namespace attncc {

struct SpecArguments {
  std::string file, target = "sm_80", dtype;
  int64_t maxPosition = 0;

  void addTo(CLI::App &app, bool required) {
    CLI::Option *option = app.add_option("spec", file, "model.json or Hugging Face config.json");
    if (required)
      option->required();
    std::vector<std::string> targets;
    for (const TargetInfo &info : allTargets())
      targets.emplace_back(info.name);
    app.add_option("--target", target, "GPU target")
        ->check(CLI::IsMember(targets))
        ->capture_default_str();
    app.add_option("--dtype", dtype,
                   "Type of queries, keys, values and outputs instead of the file's")
        ->check(CLI::IsMember({"f16", "bf16", "fp16", "float16", "bfloat16"}));
    app.add_option("--max-position", maxPosition,
                   "Longest sequence to provide for, instead of the file's")
        ->check(CLI::Range(int64_t(1), int64_t(1) << 30));
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
