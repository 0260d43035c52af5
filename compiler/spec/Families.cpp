//===- Families.cpp - what a Hugging Face model_type implies ---------------===//
// See Families.h. Columns left out have the defaults that stand there.
#include "compiler/spec/Families.h"

using namespace attncc;
using namespace attncc::spec;

// clang-format off: one row, one paragraph
static constexpr Family kFamilies[] = {
    // Latent attention with yarn; rope_interleave decides the pairing (HuggingFace.cpp).
    {.modelType = "deepseek_v3", .vocabulary = 129280, .hiddenSize = 7168, .layers = 61,
     .queryHeads = 128, .kvHeads = 0, .headDim = 192, .maxPosition = 4096, .epsilon = 1e-6,
     .biases = BiasRule::AttentionBias, .interleaved = true},
    {.modelType = "gemma", .vocabulary = 256000, .hiddenSize = 3072, .layers = 28,
     .queryHeads = 16, .kvHeads = 16, .headDim = 256, .maxPosition = 8192, .epsilon = 1e-6,
     .biases = BiasRule::AttentionBias},
    {.modelType = "gemma2", .vocabulary = 256000, .hiddenSize = 2304, .layers = 26,
     .queryHeads = 8, .kvHeads = 4, .headDim = 256, .maxPosition = 8192, .epsilon = 1e-6,
     .window = WindowRule::EvenLayers, .defaultWindow = 4096, .layerTypes = true,
     .biases = BiasRule::AttentionBias, .defaultSoftcap = 50.0, .softcap = true,
     .queryPreAttnScalar = 256.0},
    // The sliding layers have a rope of their own, theta rope_local_base_freq.
    {.modelType = "gemma3_text", .vocabulary = 262208, .hiddenSize = 2304, .layers = 26,
     .queryHeads = 8, .kvHeads = 4, .headDim = 256, .maxPosition = 131072, .epsilon = 1e-6,
     .theta = 1e6, .window = WindowRule::Pattern, .defaultWindow = 4096, .layerTypes = true,
     .biases = BiasRule::AttentionBias, .qkNorm = QkNormRule::OnePlusWeight, .softcap = true,
     .queryPreAttnScalar = 256.0},
    {.modelType = "glm", .vocabulary = 151552, .hiddenSize = 4096, .layers = 40,
     .queryHeads = 32, .kvHeads = 2, .headDim = 128, .maxPosition = 131072,
     .epsilon = 1.5625e-7, .biases = BiasRule::AttentionBiasQkv, .defaultBias = true,
     .interleaved = true, .rotaryPart = 0.5},
    {.modelType = "glm4", .vocabulary = 151552, .hiddenSize = 4096, .layers = 40,
     .queryHeads = 32, .kvHeads = 2, .headDim = 128, .maxPosition = 131072,
     .epsilon = 1.5625e-7, .biases = BiasRule::AttentionBiasQkv, .defaultBias = true,
     .interleaved = true, .rotaryPart = 0.5},
    // Learned positions, no rope; scale_attn_* may change the scale (HuggingFace.cpp).
    {.modelType = "gpt2", .vocabulary = 50257, .hiddenSize = 768, .layers = 12,
     .queryHeads = 12, .kvHeads = 0, .headDim = 0, .maxPosition = 1024, .epsilon = 1e-5,
     .biases = BiasRule::All},
    {.modelType = "gpt_oss", .vocabulary = 201088, .hiddenSize = 2880, .layers = 36,
     .queryHeads = 64, .kvHeads = 8, .headDim = 64, .maxPosition = 131072, .epsilon = 1e-5,
     .theta = 150000.0, .window = WindowRule::EvenLayers, .defaultWindow = 128,
     .layerTypes = true, .biases = BiasRule::AttentionBias, .defaultBias = true, .sinks = true},
    // The scale is attention_multiplier (HuggingFace.cpp).
    {.modelType = "granite", .vocabulary = 32000, .hiddenSize = 4096, .layers = 32,
     .queryHeads = 32, .kvHeads = 0, .headDim = 0, .maxPosition = 2048, .epsilon = 1e-6,
     .biases = BiasRule::AttentionBias},
    {.modelType = "llama", .vocabulary = 32000, .hiddenSize = 4096, .layers = 32,
     .queryHeads = 32, .kvHeads = 0, .headDim = 0, .maxPosition = 2048, .epsilon = 1e-6,
     .biases = BiasRule::AttentionBias},
    {.modelType = "mistral", .vocabulary = 32000, .hiddenSize = 4096, .layers = 32,
     .queryHeads = 32, .kvHeads = 8, .headDim = 0, .maxPosition = 131072, .epsilon = 1e-6,
     .window = WindowRule::AllLayers, .defaultWindow = 4096},
    {.modelType = "mixtral", .vocabulary = 32000, .hiddenSize = 4096, .layers = 32,
     .queryHeads = 32, .kvHeads = 8, .headDim = 0, .maxPosition = 131072, .epsilon = 1e-5,
     .theta = 1e6, .window = WindowRule::AllLayers},
    // longrope is spelt "su" or "yarn" in older files (HuggingFace.cpp).
    {.modelType = "phi3", .vocabulary = 32064, .hiddenSize = 3072, .layers = 32,
     .queryHeads = 32, .kvHeads = 0, .headDim = 0, .maxPosition = 4096, .epsilon = 1e-5,
     .window = WindowRule::AllLayers},
    {.modelType = "qwen2", .vocabulary = 151936, .hiddenSize = 4096, .layers = 32,
     .queryHeads = 32, .kvHeads = 0, .headDim = 0, .maxPosition = 32768, .epsilon = 1e-6,
     .window = WindowRule::Gated, .defaultWindow = 4096, .layerTypes = true,
     .biases = BiasRule::Qkv},
    {.modelType = "qwen3", .vocabulary = 151936, .hiddenSize = 4096, .layers = 32,
     .queryHeads = 32, .kvHeads = 0, .headDim = 128, .maxPosition = 32768, .epsilon = 1e-6,
     .window = WindowRule::Gated, .defaultWindow = 4096, .layerTypes = true,
     .biases = BiasRule::AttentionBias, .qkNorm = QkNormRule::Weight},
    {.modelType = "qwen3_moe", .vocabulary = 151936, .hiddenSize = 2048, .layers = 24,
     .queryHeads = 32, .kvHeads = 4, .headDim = 0, .maxPosition = 32768, .epsilon = 1e-6,
     .window = WindowRule::GatedAllLayers, .defaultWindow = 4096,
     .biases = BiasRule::AttentionBias, .qkNorm = QkNormRule::Weight},
    {.modelType = "smollm3", .vocabulary = 128256, .hiddenSize = 2048, .layers = 36,
     .queryHeads = 16, .kvHeads = 4, .headDim = 0, .maxPosition = 32768, .epsilon = 1e-6,
     .theta = 2e6, .window = WindowRule::GatedNoRope, .layerTypes = true,
     .biases = BiasRule::AttentionBias},
    {.modelType = "starcoder2", .vocabulary = 49152, .hiddenSize = 3072, .layers = 30,
     .queryHeads = 24, .kvHeads = 2, .headDim = 0, .maxPosition = 4096, .epsilon = 1e-5,
     .window = WindowRule::AllLayers, .biases = BiasRule::UseBias, .defaultBias = true},
};
// clang-format on

const Family *spec::findFamily(std::string_view modelType) {
  for (const Family &family : kFamilies)
    if (family.modelType == modelType)
      return &family;
  return nullptr;
}

std::span<const Family> spec::allFamilies() { return kFamilies; }
