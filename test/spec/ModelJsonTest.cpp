//===- ModelJsonTest.cpp - attncc's own form, read and written -------------===//
#include "compiler/spec/ModelSpec.h"

#include <filesystem>
#include <gtest/gtest.h>

using namespace attncc;
using namespace attncc::spec;

namespace {

ModelSpec parse(const std::string &text, const SpecOptions &options = {}) {
  auto spec = parseModelSpec(text, "model.json", options);
  EXPECT_TRUE(spec) << (spec ? "" : spec.error().diagnostic.text());
  return spec ? *spec : ModelSpec();
}

std::vector<std::string> filesIn(const std::string &folder) {
  std::vector<std::string> paths;
  for (const auto &entry : std::filesystem::directory_iterator(ATTNCC_SOURCE_DIR "/" + folder))
    if (entry.path().extension() == ".json")
      paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

} // namespace

TEST(ModelJson, DefaultsOfAClass) {
  ModelSpec spec = parse(R"({"schema": "attncc.model/1", "layers": 4, "max_position": 2048,
    "layer_classes": [{"query_heads": 8, "head_dim": 64}]})");
  ASSERT_EQ(spec.classes.size(), 1u);
  const LayerClass &made = spec.classes[0];
  EXPECT_EQ(made.layers, (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(made.kvHeads, 8);
  EXPECT_EQ(made.valueDim, 64);
  EXPECT_EQ(made.scale, 0.125);
  EXPECT_TRUE(made.causal);
  EXPECT_FALSE(made.window);
  EXPECT_FALSE(made.rope);
  EXPECT_EQ(made.name, "full");
  EXPECT_EQ(spec.dtype, DType::BF16);
}

TEST(ModelJson, RangesMayHaveSteps) {
  ModelSpec spec =
      parse(R"({"schema": "attncc.model/1", "layers": 8, "max_position": 2048, "dtype": "f16",
    "layer_classes": [
      {"name": "local", "layers": [[0, 6, 2]], "query_heads": 8, "head_dim": 64, "mask": {"window": 256}},
      {"layers": [[1, 3, 2], [5, 5], [7, 7]], "query_heads": 8, "head_dim": 64, "rope": {}}]})");
  ASSERT_EQ(spec.classes.size(), 2u);
  EXPECT_EQ(spec.classes[0].layers, (std::vector<int64_t>{0, 2, 4, 6}));
  EXPECT_EQ(spec.classes[0].name, "local");
  EXPECT_TRUE(spec.classes[0].windowEffective);
  EXPECT_EQ(spec.classes[1].layers, (std::vector<int64_t>{1, 3, 5, 7}));
  EXPECT_EQ(spec.classes[1].rope->dim, 64);
  EXPECT_EQ(spec.classes[1].rope->inverseFrequencies.size(), 32u);
  EXPECT_EQ(spec.dtype, DType::F16);
  EXPECT_TRUE(spec.notes.empty());
}

TEST(ModelJson, EqualClassesAreMerged) {
  ModelSpec spec =
      parse(R"({"schema": "attncc.model/1", "layers": 2, "max_position": 64, "layer_classes": [
      {"layers": [[1, 1]], "query_heads": 8, "head_dim": 64, "mask": {"window": 64}},
      {"layers": [[0, 0]], "query_heads": 8, "head_dim": 64, "name": "all"}]})");
  ASSERT_EQ(spec.classes.size(), 1u);
  EXPECT_EQ(spec.classes[0].layers, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(spec.classes[0].name, "all");
}

TEST(ModelJson, GivenFrequenciesAreTaken) {
  ModelSpec spec =
      parse(R"({"schema": "attncc.model/1", "layers": 1, "max_position": 64, "layer_classes": [
      {"query_heads": 1, "head_dim": 16, "rope": {"dim": 4, "inverse_frequencies": [0.5, 0.0]}}]})");
  EXPECT_EQ(spec.classes[0].rope->inverseFrequencies, (std::vector<float>{0.5f, 0.0f}));
}

// The canonical text names everything, is the same each time, and reads back to the same spec.
TEST(ModelJson, CanonicalTextReadsBackToTheSameSpec) {
  std::vector<std::string> paths = filesIn("test/models");
  EXPECT_EQ(paths.size(), 11u);
  for (const std::string &example : filesIn("docs/examples"))
    if (example.ends_with(".model.json"))
      paths.push_back(example);
  EXPECT_GE(paths.size(), 14u);
  for (const std::string &path : paths) {
    SCOPED_TRACE(path);
    auto spec = readModelSpec(path);
    ASSERT_TRUE(spec) << spec.error().diagnostic.text();
    std::string text = canonicalSpecText(*spec);
    EXPECT_EQ(text, canonicalSpecText(*readModelSpec(path)));
    EXPECT_EQ(text.back(), '\n');
    auto again = parseModelSpec(text, "spec.json");
    ASSERT_TRUE(again) << again.error().diagnostic.text();
    EXPECT_EQ(canonicalSpecText(*again), text);
    EXPECT_TRUE(again->notes.empty());
    ASSERT_EQ(again->classes.size(), spec->classes.size());
    for (size_t i = 0; i < spec->classes.size(); ++i) {
      EXPECT_TRUE(again->classes[i].computesTheSameAs(spec->classes[i]));
      EXPECT_EQ(again->classes[i].layers, spec->classes[i].layers);
      EXPECT_EQ(again->classes[i].name, spec->classes[i].name);
    }
  }
}

TEST(ModelJson, AnOverriddenMaximumPositionIsWhatTheCanonicalTextSays) {
  SpecOptions options;
  options.maxPosition = 4096;
  auto spec = readModelSpec(ATTNCC_SOURCE_DIR "/test/models/phi-3-mini.json", options);
  ASSERT_TRUE(spec);
  ModelSpec again = parse(canonicalSpecText(*spec));
  EXPECT_EQ(again.maxPosition, 4096);
  EXPECT_EQ(again.classes[0].rope, spec->classes[0].rope);
  // Asked for more, the long set is taken again.
  options.maxPosition = 8192;
  ModelSpec longer = parse(canonicalSpecText(*spec), options);
  auto direct = readModelSpec(ATTNCC_SOURCE_DIR "/test/models/phi-3-mini.json", options);
  EXPECT_EQ(longer.classes[0].rope->inverseFrequencies,
            direct->classes[0].rope->inverseFrequencies);
}
