//===- ClassShapeTest.cpp - what verify takes from a manifest ---------------===//

#include "runtime/package/Manifest.h"
#include "runtime/verify/CaseGrid.h"

#include <gtest/gtest.h>

namespace attncc::verify {
namespace {

package::Manifest makeManifest() {
  package::Manifest manifest;
  package::CacheGroup group;
  group.name = "kv0";
  group.layers = {{0, 3}};
  group.pageSize = 32;
  group.kvHeads = 2;
  group.k = group.v = {package::DType::F16, 80};
  manifest.cacheGroups = {group};
  package::LayerClass layers;
  layers.name = "normed";
  layers.layers = {{1, 1}, {3, 3}};
  layers.cacheGroup = "kv0";
  layers.queryHeads = 14;
  layers.group = 7;
  layers.headDim = 80;
  layers.dtype = package::DType::F16;
  layers.scale = 0.125;
  layers.maxPosition = 4096;
  layers.rope = package::Rope{};
  layers.rope->pairing = package::Rope::Pairing::Interleaved;
  layers.rope->inverseFrequencies = {1, 0.5f};
  layers.rope->attentionFactor = 1.25f;
  layers.qkNorm = package::QkNorm{1e-5};
  manifest.layerClasses = {layers};
  manifest.splitRules["s0"] = {{{{2048, 256}, {4096, 1024}}}, ""};
  for (const char *name : {"append/1", "decode/1", "merge/1", "merge_states/1", "prefill/1"})
    manifest.interfaces[name] = *package::standardInterface(name);
  auto kernel = [&](const char *role, const char *target, int64_t rows, package::Interval queries) {
    package::KernelEntry entry;
    entry.role = role;
    entry.target = target;
    if (entry.role == "append")
      entry.prologue = package::Prologue::Fused;
    entry.layerClass = "normed";
    entry.interface = std::string(role) + "/1";
    entry.rows = rows;
    if (rows) {
      entry.splitRule = "s0";
      entry.loadClass["max_query_length"] = queries;
    }
    manifest.kernels.push_back(entry);
  };
  kernel("append", "sm_80", 0, {});
  kernel("decode", "sm_80", 8, {1, 1});
  kernel("decode", "sm_80", 32, {2, 8});
  kernel("decode", "sm_90a", 64, {1, 8});
  kernel("merge", "sm_80", 0, {});
  kernel("merge_states", "sm_80", 0, {});
  kernel("prefill", "sm_80", 64, {9, INT32_MAX});
  return manifest;
}

TEST(ClassShapes, holdWhatCasesDependOn) {
  Result<std::vector<ClassShape>> shapes = classShapes(makeManifest(), "sm_80");
  ASSERT_TRUE(shapes) << shapes.error().diagnostic.message;
  ASSERT_EQ(shapes->size(), 1u);
  const ClassShape &shape = shapes->front();
  EXPECT_EQ(shape.name, "normed");
  EXPECT_EQ(shape.cacheGroup, "kv0");
  EXPECT_EQ(shape.layer, 1);
  EXPECT_EQ(shape.numLayers, 4);
  EXPECT_EQ(shape.type, NumberType::F16);
  EXPECT_EQ(shape.queryHeads, 14);
  EXPECT_EQ(shape.kvHeads, 2);
  EXPECT_EQ(shape.keyDim, 80);
  EXPECT_EQ(shape.pageSize, 32);
  EXPECT_EQ(shape.maxPosition, 4096);
  EXPECT_EQ(shape.scale, 0.125);
  ASSERT_TRUE(shape.rope && shape.normEpsilon);
  EXPECT_EQ(shape.rope->pairing, RopePairing::Interleaved);
  EXPECT_EQ(shape.rope->inverseFrequencies, (std::vector<float>{1, 0.5f}));
  EXPECT_EQ(shape.rope->attentionFactor, 1.25);
  EXPECT_EQ(*shape.normEpsilon, 1e-5);
  EXPECT_EQ(shape.splits.splitLength(2049), 1024);
  EXPECT_EQ(shape.decodeVariants.size(), 2u); // of sm_80 alone
  EXPECT_EQ(shape.prefillRows, 64);
  EXPECT_TRUE(shape.causal);
}

// What a target lacks is not asked of it.
TEST(ClassShapes, sayWhichAppendKernelsThereAre) {
  package::Manifest manifest = makeManifest();
  ClassShape shape = classShapes(manifest, "sm_80")->front();
  EXPECT_TRUE(shape.fusedAppend && shape.takesFused() && shape.mergesStates);
  EXPECT_FALSE(shape.plainAppend);
  manifest.kernels[0].prologue = package::Prologue::None;
  shape = classShapes(manifest, "sm_80")->front();
  EXPECT_TRUE(shape.plainAppend);
  EXPECT_FALSE(shape.fusedAppend || shape.takesFused());
  shape = classShapes(manifest, "sm_90a")->front();
  EXPECT_FALSE(shape.fusedAppend || shape.plainAppend || shape.mergesStates);
  // The kernel without prologue serves a class that has none.
  manifest.layerClasses[0].rope.reset();
  manifest.layerClasses[0].qkNorm.reset();
  EXPECT_TRUE(classShapes(manifest, "sm_80")->front().takesFused());
}

TEST(ClassShapes, wantADecodeKernelOfTheTarget) {
  Result<std::vector<ClassShape>> shapes = classShapes(makeManifest(), "sm_100a");
  ASSERT_FALSE(shapes);
  EXPECT_NE(shapes.error().diagnostic.message.find("no decode kernel"), std::string::npos);
}

// 7 query heads per kv head in blocks of 8 rows, or, when drafts are expected, of 32.
TEST(CompulsoryBytes, countKeysAndValuesOncePerBlockOfRows) {
  ClassShape shape = classShapes(makeManifest(), "sm_80")->front();
  VerifyCase c;
  c.kvHeads = 2;
  c.sequences = {{1, 100}, {1, 7}};
  const int64_t keysAndValues = 2 * (80 + 80) * 2, queryAndOutput = 14 * (80 + 80) * 2;
  EXPECT_EQ(*compulsoryBytes(c, shape), 107 * keysAndValues + 2 * queryAndOutput);
  c.sequences = {{1, 100}, {5, 7}, {0, 50}}; // 35 rows: two blocks; none for no query
  EXPECT_EQ(*compulsoryBytes(c, shape), (100 + 2 * 7) * keysAndValues + 6 * queryAndOutput);
  c.kvHeads = 1; // half the heads on each of two ranks
  EXPECT_EQ(*compulsoryBytes(c, shape), ((100 + 2 * 7) * keysAndValues + 6 * queryAndOutput) / 2);
  c.role = Role::Append;
  c.kvHeads = 2;
  EXPECT_EQ(*compulsoryBytes(c, shape), 6 * (2 * 14 + 2 * 2 * 2) * 80 * 2);
  c.role = Role::MergeStates; // each part and the result: rows and a log-sum-exp
  c.parts = 3;
  EXPECT_EQ(*compulsoryBytes(c, shape), 4 * 6 * 14 * (80 * 2 + 4));
  c.role = Role::Append;
  shape.appendTraffic.clear();
  EXPECT_EQ(*compulsoryBytes(c, shape), 0);
}

// 7 query heads per kv head in blocks of 64 rows, which see the keys up to their last token; beside
// them decode's sequence.
TEST(CompulsoryBytes, countWhatTheBlocksOfPrefillSee) {
  ClassShape shape = classShapes(makeManifest(), "sm_80")->front();
  VerifyCase c;
  c.role = Role::Prefill;
  c.kvHeads = 2;
  c.sequences = {{20, 50}, {1, 100}};
  const int64_t keysAndValues = 2 * (80 + 80) * 2, queryAndOutput = 14 * (80 + 80) * 2;
  EXPECT_EQ(*compulsoryBytes(c, shape), (40 + 49 + 50 + 100) * keysAndValues + 21 * queryAndOutput);
  shape.causal = false;
  EXPECT_EQ(*compulsoryBytes(c, shape), (3 * 50 + 100) * keysAndValues + 21 * queryAndOutput);
}

} // namespace
} // namespace attncc::verify
