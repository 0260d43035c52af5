//===- HuggingFaceTest.cpp - config.json files and what they mean ----------===//
//
// The eleven models' numbers are those of test/models/INDEX.md. The others are
// short configs, each of which shows one default or one spelling.
//
//===----------------------------------------------------------------------===//
#include "compiler/spec/ModelSpec.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace attncc;
using namespace attncc::spec;

namespace {

ModelSpec readModel(const std::string &name, const SpecOptions &options = {}) {
  auto spec = readModelSpec(ATTNCC_SOURCE_DIR "/test/models/" + name, options);
  EXPECT_TRUE(spec) << (spec ? "" : spec.error().diagnostic.text());
  return spec ? *spec : ModelSpec();
}

ModelSpec parse(const std::string &text, const SpecOptions &options = {}) {
  auto spec = parseModelSpec(text, "config.json", options);
  EXPECT_TRUE(spec) << (spec ? "" : spec.error().diagnostic.text());
  return spec ? *spec : ModelSpec();
}

/// The columns of INDEX.md.
void expectNumbers(const ModelSpec &spec, int64_t headDim, int64_t queryHeads, int64_t kvHeads,
                   int64_t layers, int64_t vocabulary) {
  EXPECT_EQ(spec.numLayers, layers);
  EXPECT_EQ(spec.vocabulary, vocabulary);
  int64_t listed = 0;
  for (const LayerClass &layerClass : spec.classes) {
    EXPECT_EQ(layerClass.headDim, headDim);
    EXPECT_EQ(layerClass.queryHeads, queryHeads);
    EXPECT_EQ(layerClass.kvHeads, kvHeads);
    EXPECT_EQ(layerClass.group(), queryHeads / kvHeads);
    listed += int64_t(layerClass.layers.size());
  }
  EXPECT_EQ(listed, layers);
}

std::vector<int64_t> every(int64_t first, int64_t last, int64_t step) {
  std::vector<int64_t> layers;
  for (int64_t layer = first; layer <= last; layer += step)
    layers.push_back(layer);
  return layers;
}

} // namespace

TEST(TestModels, Gpt2) {
  ModelSpec spec = readModel("gpt2.json");
  expectNumbers(spec, 64, 12, 12, 12, 50257);
  ASSERT_EQ(spec.classes.size(), 1u);
  EXPECT_TRUE(spec.learnedPositions);
  EXPECT_FALSE(spec.classes[0].rope);
  EXPECT_EQ(spec.classes[0].biases, (Biases{true, true, true, true}));
  EXPECT_EQ(spec.classes[0].scale, 0.125);
  EXPECT_EQ(spec.maxPosition, 1024);
  EXPECT_EQ(spec.hiddenSize, 768);
  EXPECT_EQ(spec.dtype, DType::F16);
}

TEST(TestModels, Smollm2) {
  ModelSpec spec = readModel("smollm2-135m.json");
  expectNumbers(spec, 64, 9, 3, 30, 49152);
  ASSERT_EQ(spec.classes.size(), 1u);
  EXPECT_EQ(spec.classes[0].rope->theta, 100000.0);
  EXPECT_EQ(spec.classes[0].rope->kind, RopeKind::Plain);
  EXPECT_EQ(spec.classes[0].rope->pairing, Pairing::Half);
  EXPECT_EQ(spec.classes[0].biases, Biases());
  EXPECT_EQ(spec.dtype, DType::BF16);
  EXPECT_TRUE(spec.notes.empty());
}

TEST(TestModels, Llama31) {
  ModelSpec spec = readModel("llama-3.1-8b.json");
  expectNumbers(spec, 128, 32, 8, 32, 128256);
  ASSERT_EQ(spec.classes.size(), 1u);
  const Rope &rope = *spec.classes[0].rope;
  EXPECT_EQ(rope.kind, RopeKind::Llama3);
  EXPECT_EQ(rope.theta, 500000.0);
  EXPECT_EQ(rope.factor, 8.0);
  EXPECT_EQ(rope.originalPositions, 8192);
  EXPECT_EQ(rope.dim, 128);
  EXPECT_EQ(spec.classes[0].name, "full");
}

TEST(TestModels, Llama32) {
  ModelSpec spec = readModel("llama-3.2-1b.json");
  expectNumbers(spec, 64, 32, 8, 16, 128256);
  ASSERT_EQ(spec.classes.size(), 1u);
  EXPECT_EQ(spec.classes[0].rope->factor, 32.0);
  EXPECT_EQ(spec.classes[0].scale, 0.125);
  EXPECT_EQ(spec.maxPosition, 131072);
  EXPECT_EQ(spec.sourceName, "llama-3.2-1b.json");
  EXPECT_EQ(spec.modelType, "llama");
}

TEST(TestModels, Mistral) {
  ModelSpec spec = readModel("mistral-7b-v0.1.json");
  expectNumbers(spec, 128, 32, 8, 32, 32000);
  ASSERT_EQ(spec.classes.size(), 1u);
  EXPECT_EQ(spec.classes[0].window, 4096);
  EXPECT_TRUE(spec.classes[0].windowEffective);
  EXPECT_EQ(spec.classes[0].name, "sliding");
}

TEST(TestModels, Qwen25) {
  ModelSpec spec = readModel("qwen2.5-0.5b.json");
  expectNumbers(spec, 64, 14, 2, 24, 151936);
  ASSERT_EQ(spec.classes.size(), 1u);
  EXPECT_EQ(spec.classes[0].biases, (Biases{true, true, true, false}));
  EXPECT_FALSE(spec.classes[0].windowEffective);
  EXPECT_FALSE(spec.classes[0].window);
  EXPECT_FALSE(spec.classes[0].qkNorm);
}

TEST(TestModels, Qwen3) {
  ModelSpec spec = readModel("qwen3-8b.json");
  expectNumbers(spec, 128, 32, 8, 36, 151936);
  ASSERT_EQ(spec.classes.size(), 1u);
  EXPECT_EQ(spec.classes[0].qkNorm, (QkNorm{1e-6, false}));
  EXPECT_EQ(spec.classes[0].biases, Biases());
  EXPECT_EQ(spec.classes[0].rope->theta, 1000000.0);
}

TEST(TestModels, Gemma2) {
  ModelSpec spec = readModel("gemma-2-9b.json");
  expectNumbers(spec, 256, 16, 8, 42, 256000);
  ASSERT_EQ(spec.classes.size(), 2u);
  EXPECT_EQ(spec.classes[0].layers, every(0, 40, 2));
  EXPECT_EQ(spec.classes[0].window, 4096);
  EXPECT_EQ(spec.classes[1].layers, every(1, 41, 2));
  EXPECT_FALSE(spec.classes[1].window);
  for (const LayerClass &layerClass : spec.classes) {
    EXPECT_EQ(layerClass.softcap, 50.0);
    EXPECT_EQ(layerClass.scale, 1.0 / 16);
    EXPECT_FALSE(layerClass.qkNorm);
  }
  EXPECT_EQ(&spec.classOf(7), &spec.classes[1]);
  // float32 in the file: bf16 and a note.
  EXPECT_EQ(spec.dtype, DType::BF16);
  ASSERT_EQ(spec.notes.size(), 1u);
  EXPECT_EQ(spec.notes[0].where.line, 29);
  EXPECT_EQ(spec.notes[0].where.pointer, "/torch_dtype");
}

TEST(TestModels, Phi3) {
  ModelSpec spec = readModel("phi-3-mini.json");
  expectNumbers(spec, 96, 32, 32, 32, 32064);
  ASSERT_EQ(spec.classes.size(), 1u);
  EXPECT_EQ(spec.classes[0].window, 262144);
  EXPECT_FALSE(spec.classes[0].windowEffective);
  EXPECT_EQ(spec.classes[0].name, "full");
  const Rope &rope = *spec.classes[0].rope;
  EXPECT_EQ(rope.kind, RopeKind::Longrope);
  EXPECT_EQ(rope.longFactor.size(), 48u);
  EXPECT_EQ(rope.shortFactor.size(), 48u);
  EXPECT_EQ(rope.originalPositions, 4096);
  EXPECT_EQ(rope.factor, 32.0);
}

TEST(TestModels, DeepseekV3) {
  ModelSpec spec = readModel("deepseek-v3.json");
  expectNumbers(spec, 192, 128, 128, 61, 129280);
  ASSERT_EQ(spec.classes.size(), 1u);
  const LayerClass &latent = spec.classes[0];
  EXPECT_EQ(latent.valueDim, 128);
  EXPECT_EQ(latent.name, "latent");
  ASSERT_TRUE(latent.mla);
  EXPECT_EQ(*latent.mla, (Mla{1536, 512, 128, 64}));
  EXPECT_EQ(latent.mla->cacheDim(), 576);
  EXPECT_EQ(latent.rope->kind, RopeKind::Yarn);
  EXPECT_EQ(latent.rope->dim, 64);
  EXPECT_EQ(latent.rope->pairing, Pairing::Interleaved);
  ASSERT_EQ(spec.notes.size(), 1u);
  EXPECT_EQ(spec.notes[0].code, "spec-auto-map");
}

TEST(TestModels, GptOss) {
  ModelSpec spec = readModel("gpt-oss-20b.json");
  expectNumbers(spec, 64, 64, 8, 24, 201088);
  ASSERT_EQ(spec.classes.size(), 2u);
  EXPECT_EQ(spec.classes[0].layers, every(0, 22, 2));
  EXPECT_EQ(spec.classes[0].window, 128);
  EXPECT_EQ(spec.classes[1].layers, every(1, 23, 2));
  for (const LayerClass &layerClass : spec.classes) {
    EXPECT_TRUE(layerClass.sinks);
    EXPECT_EQ(layerClass.biases, (Biases{true, true, true, true}));
    EXPECT_EQ(layerClass.rope->kind, RopeKind::Yarn);
    EXPECT_FALSE(layerClass.rope->truncate);
  }
}

TEST(HuggingFace, TheMaximumPositionDecidesWhetherAWindowBites) {
  SpecOptions options;
  options.maxPosition = 4096;
  ModelSpec spec = readModel("mistral-7b-v0.1.json", options);
  EXPECT_FALSE(spec.classes[0].windowEffective);
  EXPECT_EQ(spec.classes[0].name, "full");
  EXPECT_EQ(spec.maxPosition, 4096);
  EXPECT_EQ(spec.fileMaxPosition, 32768);
  options.maxPosition = 4097;
  EXPECT_TRUE(readModel("mistral-7b-v0.1.json", options).classes[0].windowEffective);
  // Where no window bites, gemma's two kinds of layers are one class.
  options.maxPosition = 2048;
  EXPECT_EQ(readModel("gemma-2-9b.json", options).classes.size(), 1u);
}

TEST(HuggingFace, TheTypeIsTheOptionsElseTheFilesElseBf16) {
  SpecOptions half;
  half.dtype = DType::F16;
  EXPECT_EQ(readModel("gemma-2-9b.json", half).dtype, DType::F16);
  EXPECT_TRUE(readModel("gemma-2-9b.json", half).notes.empty());
  EXPECT_EQ(parse(R"({"model_type": "llama", "dtype": "float16"})").dtype, DType::F16);
  EXPECT_EQ(parse(R"({"model_type": "llama", "torch_dtype": "float16"})").dtype, DType::F16);
  EXPECT_EQ(
      parse(R"({"model_type": "llama", "dtype": "bfloat16", "torch_dtype": "float16"})").dtype,
      DType::BF16);
  ModelSpec silent = parse(R"({"model_type": "llama", "torch_dtype": null})");
  EXPECT_EQ(silent.dtype, DType::BF16);
  ASSERT_EQ(silent.notes.size(), 1u);
  EXPECT_EQ(silent.notes[0].text(),
            "config.json: note: no dtype is given: kernels are compiled for "
            "bf16; --dtype=f16 chooses otherwise [spec-dtype]");
}

TEST(HuggingFace, ClassDefaultsFillInWhatTheFileLeavesOut) {
  ModelSpec llama = parse(R"({"model_type": "llama"})");
  expectNumbers(llama, 128, 32, 32, 32, 32000);
  EXPECT_EQ(llama.maxPosition, 2048);
  EXPECT_EQ(llama.classes[0].rope->theta, 10000.0);
  EXPECT_EQ(parse(R"({"model_type": "mistral"})").classes[0].window, 4096);
  EXPECT_FALSE(parse(R"({"model_type": "mistral", "sliding_window": null})").classes[0].window);
  EXPECT_EQ(parse(R"({"model_type": "mixtral"})").classes[0].rope->theta, 1e6);
  ModelSpec oss = parse(R"({"model_type": "gpt_oss"})");
  EXPECT_EQ(oss.classes[1].rope->kind, RopeKind::Yarn);
  EXPECT_EQ(oss.classes[1].rope->factor, 32.0);
  EXPECT_NEAR(oss.classes[1].rope->attentionFactor, 1.3465735902799727, 1e-15);
  EXPECT_EQ(oss.classes[0].layers, every(0, 34, 2));
  ModelSpec gemma = parse(R"({"model_type": "gemma2", "attn_logit_softcapping": null})");
  EXPECT_FALSE(gemma.classes[0].softcap);
  EXPECT_EQ(parse(R"({"model_type": "gemma2"})").classes[0].softcap, 50.0);
  ModelSpec granite = parse(R"({"model_type": "granite", "attention_multiplier": 0.0078125})");
  EXPECT_EQ(granite.classes[0].scale, 0.0078125);
}

TEST(HuggingFace, FormsOfTransformers4And5MeanTheSame) {
  ModelSpec four =
      parse(R"({"model_type": "llama", "rope_theta": 500000.0, "torch_dtype": "bfloat16",
    "max_position_embeddings": 131072, "rope_scaling": {"type": "llama3", "factor": 8.0,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}})");
  ModelSpec five = parse(R"({"model_type": "llama", "dtype": "bfloat16",
    "max_position_embeddings": 131072, "rope_parameters": {"rope_type": "llama3", "factor": 8.0,
    "rope_theta": 500000.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192}})");
  EXPECT_EQ(canonicalSpecText(four), canonicalSpecText(five));
  EXPECT_EQ(four.classes[0].rope, five.classes[0].rope);
}

TEST(HuggingFace, RopeParametersMayDifferByLayerType) {
  const char *five =
      R"({"model_type": "gemma3_text", "num_hidden_layers": 12, "sliding_window": 512,
    "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}})";
  const char *four =
      R"({"model_type": "gemma3_text", "num_hidden_layers": 12, "sliding_window": 512,
    "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
    "rope_scaling": {"rope_type": "linear", "factor": 8.0}})";
  for (const char *text : {five, four}) {
    ModelSpec spec = parse(text);
    ASSERT_EQ(spec.classes.size(), 2u);
    EXPECT_EQ(spec.classes[0].name, "sliding");
    EXPECT_EQ(spec.classes[0].rope->kind, RopeKind::Plain);
    EXPECT_EQ(spec.classes[0].rope->theta, 10000.0);
    EXPECT_EQ(spec.classes[1].layers, (std::vector<int64_t>{5, 11}));
    EXPECT_EQ(spec.classes[1].rope->kind, RopeKind::Linear);
    EXPECT_EQ(spec.classes[1].rope->theta, 1e6);
    EXPECT_TRUE(spec.classes[0].qkNorm->onePlusWeight);
  }
  // null: layers of this type have no rope.
  ModelSpec none = parse(R"({"model_type": "qwen3", "num_hidden_layers": 2,
    "layer_types": ["full_attention", "full_attention"],
    "rope_parameters": {"full_attention": null, "sliding_attention": {"rope_theta": 1e4}}})");
  EXPECT_FALSE(none.classes[0].rope);
}

TEST(HuggingFace, WindowsFollowTheFamilysRule) {
  ModelSpec qwen =
      parse(R"({"model_type": "qwen2", "num_hidden_layers": 6, "use_sliding_window": true,
    "sliding_window": 1024, "max_window_layers": 4})");
  ASSERT_EQ(qwen.classes.size(), 2u);
  EXPECT_EQ(qwen.classes[1].layers, (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(qwen.classes[1].window, 1024);
  ModelSpec typed =
      parse(R"({"model_type": "qwen2", "num_hidden_layers": 3, "use_sliding_window": true,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"]})");
  EXPECT_EQ(typed.classes[0].layers, (std::vector<int64_t>{0}));
  EXPECT_EQ(typed.classes[0].window, 4096);
  // A layer may be called sliding without a window to slide.
  ModelSpec off = parse(R"({"model_type": "qwen2", "num_hidden_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"]})");
  EXPECT_EQ(off.classes.size(), 1u);
  EXPECT_FALSE(off.classes[0].windowEffective);
}

TEST(HuggingFace, SomeLayersHaveNoRope) {
  ModelSpec spec = parse(R"({"model_type": "smollm3", "num_hidden_layers": 8})");
  ASSERT_EQ(spec.classes.size(), 2u);
  EXPECT_EQ(spec.classes[1].layers, (std::vector<int64_t>{3, 7}));
  EXPECT_FALSE(spec.classes[1].rope);
  EXPECT_EQ(spec.classes[0].rope->theta, 2e6);
  EXPECT_EQ(spec.classes[1].name, "full_2");
  ModelSpec listed = parse(R"({"model_type": "smollm3", "num_hidden_layers": 2,
    "no_rope_layers": [0, 1, 1]})");
  EXPECT_EQ(listed.classes[0].layers, (std::vector<int64_t>{0}));
  EXPECT_FALSE(listed.classes[0].rope);
}

TEST(HuggingFace, PairingAndPartialRopeFollowTheFamily) {
  ModelSpec glm = parse(R"({"model_type": "glm4"})");
  EXPECT_EQ(glm.classes[0].rope->pairing, Pairing::Interleaved);
  EXPECT_EQ(glm.classes[0].rope->dim, 64);
  EXPECT_EQ(glm.classes[0].headDim, 128);
  EXPECT_EQ(glm.classes[0].biases, (Biases{true, true, true, false}));
  ModelSpec phi = parse(R"({"model_type": "phi3", "partial_rotary_factor": 0.75})");
  EXPECT_EQ(phi.classes[0].rope->dim, 72);
  ModelSpec su = parse(R"({"model_type": "phi3", "num_attention_heads": 1536,
    "hidden_size": 3072, "rope_scaling": {"type": "su", "short_factor": [1.0], "long_factor": [2.0]}})");
  EXPECT_EQ(su.classes[0].rope->kind, RopeKind::Longrope);
}

TEST(HuggingFace, Gpt2MayScaleByLayer) {
  ModelSpec spec =
      parse(R"({"model_type": "gpt2", "n_layer": 3, "scale_attn_by_inverse_layer_idx": true})");
  ASSERT_EQ(spec.classes.size(), 3u);
  EXPECT_EQ(spec.classes[2].scale, 0.125 / 3);
  EXPECT_EQ(parse(R"({"model_type": "gpt2", "scale_attn_weights": false})").classes[0].scale, 1.0);
}

TEST(HuggingFace, TheLanguageModelOfSeveralPartsIsRead) {
  ModelSpec spec = parse(R"({"model_type": "gemma3", "dtype": "float16", "vision_config": {},
    "text_config": {"model_type": "gemma3_text", "num_hidden_layers": 6}})");
  EXPECT_EQ(spec.modelType, "gemma3_text");
  EXPECT_EQ(spec.numLayers, 6);
  EXPECT_EQ(spec.dtype, DType::F16);
}
