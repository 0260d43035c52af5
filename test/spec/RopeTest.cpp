//===- RopeTest.cpp - inverse frequencies against independent values -------===//
//
// The expected numbers were computed apart from this code, in double, from the
// formulas of transformers' modeling_rope_utils for the parameters of the models
// in test/models; at the ends, inside and on both sides of each ramp.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/ModelSpec.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace attncc;
using namespace attncc::spec;

namespace {

using Expected = std::vector<std::pair<size_t, double>>;

ModelSpec readModel(const std::string &name, const SpecOptions &options = {}) {
  auto spec = readModelSpec(ATTNCC_SOURCE_DIR "/test/models/" + name, options);
  EXPECT_TRUE(spec) << (spec ? "" : spec.error().diagnostic.text());
  return spec ? *spec : ModelSpec();
}

void expectFrequencies(const std::vector<float> &actual, size_t size, const Expected &expected) {
  ASSERT_EQ(actual.size(), size);
  for (auto [index, value] : expected)
    EXPECT_NEAR(actual[index], value, 1.2e-7 * value) << "pair " << index;
}

void expectFrequencies(const std::string &model, size_t size, const Expected &expected,
                       const SpecOptions &options = {}) {
  SCOPED_TRACE(model);
  for (const LayerClass &layerClass : readModel(model, options).classes) {
    ASSERT_TRUE(layerClass.rope);
    expectFrequencies(layerClass.rope->inverseFrequencies, size, expected);
  }
}

} // namespace

TEST(Rope, DefaultKind) {
  expectFrequencies("smollm2-135m.json", 32, {{0, 1.0}, {1, 0.697830585}, {31, 1.43301257e-05}});
}

TEST(Rope, LinearKindDividesByTheFactor) {
  Rope rope;
  rope.dim = 128;
  rope.kind = RopeKind::Linear;
  rope.factor = 4.0;
  expectFrequencies(inverseFrequencies(rope, 4096), 64,
                    {{0, 0.25}, {1, 0.216491081}, {63, 2.88695496e-05}});
}

TEST(Rope, DynamicKindIsTheDefaultUpToItsOriginalLength) {
  Rope rope;
  rope.dim = 64;
  rope.kind = RopeKind::Dynamic;
  rope.factor = 2.0;
  rope.originalPositions = 4096;
  Rope plain;
  plain.dim = 64;
  EXPECT_EQ(inverseFrequencies(rope, 4096), inverseFrequencies(plain, 4096));
  expectFrequencies(inverseFrequencies(rope, 8192), 32,
                    {{0, 1.0}, {1, 0.723784022}, {31, 4.44507144e-05}});
}

TEST(Rope, Llama3KeepsShortWavesAndDividesLongOnes) {
  expectFrequencies("llama-3.2-1b.json", 32,
                    {{0, 1.0},
                     {1, 0.663601238},
                     {12, 0.00729266474},
                     {15, 0.00129054793},
                     {16, 0.000429556797},
                     {17, 9.7082878e-05},
                     {18, 1.94616382e-05},
                     {19, 1.29147672e-05},
                     {31, 9.41830673e-08}});
  expectFrequencies("llama-3.1-8b.json", 64,
                    {{0, 1.0},
                     {1, 0.814617234},
                     {28, 0.00321144599},
                     {29, 0.00216657076},
                     {30, 0.00137189357},
                     {33, 0.00031269375},
                     {36, 7.78465527e-05},
                     {38, 5.16590687e-05},
                     {63, 3.06892599e-07}});
}

TEST(Rope, YarnRampsWithAndWithoutRounding) {
  // truncate is false in this file, so the ramp's ends are no whole pairs.
  expectFrequencies("gpt-oss-20b.json", 32,
                    {{0, 1.0},
                     {5, 0.155322989},
                     {8, 0.0508132748},
                     {9, 0.0317056962},
                     {12, 0.00679495949},
                     {15, 0.0010526021},
                     {17, 0.000129318701},
                     {18, 3.83088124e-05},
                     {31, 3.02351143e-07}});
  expectFrequencies("deepseek-v3.json", 32,
                    {{0, 1.0},
                     {9, 0.0749894209},
                     {10, 0.0562341325},
                     {11, 0.0390069266},
                     {16, 0.0055},
                     {22, 0.000177827941},
                     {23, 3.33380358e-05},
                     {24, 2.5e-05},
                     {31, 3.33380358e-06}});
}

TEST(Rope, YarnAttentionFactors) {
  EXPECT_NEAR(readModel("gpt-oss-20b.json").classes[0].rope->attentionFactor, 1.3465735902799727,
              1e-15);
  // mscale and mscale_all_dim are equal: their quotient is 1, and the scale of the scores has both.
  ModelSpec deepseek = readModel("deepseek-v3.json");
  EXPECT_EQ(deepseek.classes[0].rope->attentionFactor, 1.0);
  EXPECT_NEAR(deepseek.classes[0].scale, 0.1352337788608801, 1e-15);
}

TEST(Rope, LongropeTakesTheLongSetBeyondTheOriginalLength) {
  const Expected longSet = {
      {0, 0.934579393}, {1, 0.736968019}, {20, 0.000558143724}, {47, 1.8707962e-06}};
  const Expected shortSet = {
      {0, 0.909090909}, {1, 0.750367441}, {20, 0.0107721735}, {47, 3.97222183e-05}};
  expectFrequencies("phi-3-mini.json", 48, longSet);
  SpecOptions options;
  options.maxPosition = 4097;
  expectFrequencies("phi-3-mini.json", 48, longSet, options);
  options.maxPosition = 4096;
  expectFrequencies("phi-3-mini.json", 48, shortSet, options);
  // The factor belongs to the model: how it was extended, not how far it is used.
  EXPECT_NEAR(readModel("phi-3-mini.json", options).classes[0].rope->attentionFactor,
              1.1902380714238083, 1e-15);
}

TEST(Rope, NamesAreReadBack) {
  for (RopeKind kind : {RopeKind::Plain, RopeKind::Linear, RopeKind::Dynamic, RopeKind::Llama3,
                        RopeKind::Yarn, RopeKind::Longrope})
    EXPECT_EQ(parseRopeKind(ropeKindName(kind)), kind);
  EXPECT_EQ(parseRopeKind("mrope"), std::nullopt);
}
