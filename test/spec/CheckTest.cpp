//===- CheckTest.cpp - what is compiled, what is refused, and in which words ===//
#include "compiler/spec/Check.h"

#include <gtest/gtest.h>

using namespace attncc;
using namespace attncc::spec;

namespace {

ModelSpec readModel(const std::string &name) {
  auto spec = readModelSpec(ATTNCC_SOURCE_DIR "/test/models/" + name);
  EXPECT_TRUE(spec) << (spec ? "" : spec.error().diagnostic.text());
  return spec ? *spec : ModelSpec();
}

std::string table(const ModelSpec &spec) {
  std::vector<CheckRow> rows;
  for (const LayerClass &layerClass : spec.classes)
    rows.push_back(checkRow(layerClass, "sm_80", checkLayerClass(spec, layerClass, "sm_80")));
  return checkTableText(rows);
}

/// A class that is compiled, to be changed in one respect.
LayerClass plainClass() {
  LayerClass plain;
  plain.name = "full";
  plain.layers = {0};
  plain.queryHeads = 8;
  plain.kvHeads = 2;
  plain.headDim = plain.valueDim = 128;
  plain.scale = 1;
  Rope rope;
  rope.dim = 128;
  plain.rope = rope;
  return plain;
}

std::string reasonFor(const LayerClass &layerClass) {
  ModelSpec spec;
  spec.maxPosition = 8192;
  return checkLayerClass(spec, layerClass, "sm_80").reason();
}

} // namespace

// The eight dense configs among the eleven compile, but for windows that bite.
TEST(Check, TestModels) {
  EXPECT_EQ(table(readModel("gpt2.json")),
            "layers 0-11  no rope, biases q k v o  sm_80  compiled\n");
  EXPECT_EQ(table(readModel("smollm2-135m.json")), "layers 0-29  causal  sm_80  compiled\n");
  EXPECT_EQ(table(readModel("llama-3.1-8b.json")), "layers 0-31  rope llama3  sm_80  compiled\n");
  EXPECT_EQ(table(readModel("llama-3.2-1b.json")), "layers 0-15  rope llama3  sm_80  compiled\n");
  EXPECT_EQ(table(readModel("qwen2.5-0.5b.json")), "layers 0-23  biases q k v  sm_80  compiled\n");
  EXPECT_EQ(table(readModel("qwen3-8b.json")), "layers 0-35  qk norm  sm_80  compiled\n");
  EXPECT_EQ(table(readModel("phi-3-mini.json")), "layers 0-31  rope longrope  sm_80  compiled\n");
  EXPECT_EQ(table(readModel("mistral-7b-v0.1.json")),
            "layers 0-31  window 4096  sm_80  refused: sliding window is not compiled yet\n");
  EXPECT_EQ(table(readModel("gemma-2-9b.json")), "layers 0-40 even  window 4096, softcap 50  sm_80 "
                                                 " refused: logit softcap is not compiled yet\n"
                                                 "layers 1-41 odd   softcap 50               sm_80 "
                                                 " refused: logit softcap is not compiled yet\n");
  EXPECT_EQ(
      table(readModel("deepseek-v3.json")),
      "layers 0-60  latent 512 + 64, rope yarn  sm_80  refused: multi-head latent attention is "
      "not compiled yet\n");
  EXPECT_EQ(
      table(readModel("gpt-oss-20b.json")),
      "layers 0-22 even  window 128, sinks, rope yarn, biases q k v o  sm_80  refused: attention "
      "sinks are not compiled yet\n"
      "layers 1-23 odd   sinks, rope yarn, biases q k v o              sm_80  refused: attention "
      "sinks are not compiled yet\n");
}

TEST(Check, UnsupportedLayersAreNamedByTheFilesOwnWords) {
  auto text = [](const std::string &name) {
    std::string lines;
    for (const Diagnostic &diagnostic : unsupportedDiagnostics(readModel(name), "sm_80"))
      lines += diagnostic.text().substr(diagnostic.where.file.size()) + "\n";
    return lines;
  };
  const std::string note =
      "note: --allow-partial leaves these layers out and lists them under \"refused\"\n";
  EXPECT_EQ(text("gemma-2-9b.json"),
            ": unsupported: layers 0-41: attn_logit_softcapping 50 is not compiled for sm_80\n" +
                note);
  EXPECT_EQ(text("mistral-7b-v0.1.json"),
            ": unsupported: layers 0-31: sliding_window 4096 is not compiled for sm_80\n" + note);
  EXPECT_EQ(text("deepseek-v3.json"),
            ": unsupported: layers 0-60: kv_lora_rank 512 is not compiled for sm_80\n" + note);
  EXPECT_EQ(
      text("gpt-oss-20b.json"),
      ": unsupported: layers 0-23: an attention sink per head (model_type gpt_oss) is not compiled "
      "for sm_80\n" +
          note);
  EXPECT_EQ(text("llama-3.2-1b.json"), "");
}

TEST(Check, RefusalsAreLocated) {
  ModelSpec spec = readModel("gemma-2-9b.json");
  Verdict verdict = checkLayerClass(spec, spec.classes[0], "sm_80");
  ASSERT_EQ(verdict.refusals.size(), 2u);
  EXPECT_EQ(verdict.refusals[0].where.pointer, "/attn_logit_softcapping");
  EXPECT_EQ(verdict.refusals[0].where.line, 7);
  EXPECT_EQ(verdict.refusals[1].subject, "sliding_window 4096");
}

TEST(Check, HeadDimsAreMultiplesOfSixteenUpTo256) {
  for (int64_t dim = 1; dim <= 300; ++dim) {
    LayerClass changed = plainClass();
    changed.rope.reset();
    changed.headDim = changed.valueDim = dim;
    bool compiled = dim % 16 == 0 && dim <= 256;
    EXPECT_EQ(reasonFor(changed),
              compiled ? ""
                       : "head_dim " + std::to_string(dim) + " is not a multiple of 16 up to 256");
  }
}

TEST(Check, EachFeatureIsRefusedByName) {
  EXPECT_EQ(reasonFor(plainClass()), "");
  auto changed = [](auto change) {
    LayerClass made = plainClass();
    change(made);
    return reasonFor(made);
  };
  EXPECT_EQ(changed([](LayerClass &c) { c.causal = false; }), "");
  EXPECT_EQ(changed([](LayerClass &c) { c.valueDim = 64; }),
            "values of another width than keys are not compiled yet");
  EXPECT_EQ(changed([](LayerClass &c) { c.rope->dim = 72; }),
            "rope over 72 dims: only multiples of 16 are compiled");
  EXPECT_EQ(changed([](LayerClass &c) {
              c.qkNorm = QkNorm{1e-6, true};
            }),
            "qk norm by 1 + weight is not compiled yet");
  EXPECT_EQ(changed([](LayerClass &c) {
              c.rope->kind = RopeKind::Dynamic;
              c.rope->originalPositions = 8191;
            }),
            "dynamic rope beyond 8191 positions is not compiled yet");
  // What the kernels do compute.
  EXPECT_EQ(changed([](LayerClass &c) { c.qkNorm = QkNorm{}; }), "");
  EXPECT_EQ(changed([](LayerClass &c) { c.rope.reset(); }), "");
  EXPECT_EQ(changed([](LayerClass &c) { c.rope->pairing = Pairing::Interleaved; }), "");
  EXPECT_EQ(changed([](LayerClass &c) { c.kvHeads = 1; }), "");
  EXPECT_EQ(changed([](LayerClass &c) { c.window = 8192; }), "");
  EXPECT_EQ(changed([](LayerClass &c) { c.biases = {true, true, true, true}; }), "");
  for (RopeKind kind : {RopeKind::Linear, RopeKind::Llama3, RopeKind::Yarn, RopeKind::Longrope})
    EXPECT_EQ(changed([&](LayerClass &c) { c.rope->kind = kind; }), "");
}

TEST(Check, GroupsOfDifferentRefusalsAreReportedApart) {
  ModelSpec spec;
  spec.file = "m.json";
  spec.maxPosition = 8192;
  LayerClass capped = plainClass(), odd = plainClass();
  capped.softcap = 30.0;
  capped.layers = {1, 3};
  odd.headDim = odd.valueDim = 100;
  odd.rope.reset();
  odd.layers = {0, 2};
  spec.classes = {odd, capped};
  std::vector<Diagnostic> diagnostics = unsupportedDiagnostics(spec, "sm_90a");
  ASSERT_EQ(diagnostics.size(), 2u);
  EXPECT_EQ(diagnostics[0].text(),
            "m.json: unsupported: layers 0, 2: head_dim 100 is not compiled for sm_90a");
  EXPECT_EQ(diagnostics[1].message, "layers 1, 3: softcap 30 is not compiled for sm_90a");
  EXPECT_EQ(diagnostics[1].notes.size(), 1u);
}

TEST(Check, LayerRanges) {
  EXPECT_EQ(layerRangeText({}), "none");
  EXPECT_EQ(layerRangeText({7}), "7");
  EXPECT_EQ(layerRangeText({0, 1}), "0-1");
  EXPECT_EQ(layerRangeText({0, 1, 2, 3}), "0-3");
  EXPECT_EQ(layerRangeText({0, 2}), "0, 2");
  EXPECT_EQ(layerRangeText({0, 2, 4}), "0-4 even");
  EXPECT_EQ(layerRangeText({1, 3, 5}), "1-5 odd");
  EXPECT_EQ(layerRangeText({5, 11, 17}), "5-17 every 6");
  EXPECT_EQ(layerRangeText({0, 1, 2, 5, 7, 8}), "0-2, 5, 7-8");
}
