//===- MalformedTest.cpp - bad specs give one located line each ------------===//
#include "compiler/spec/ModelSpec.h"

#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <sstream>

using namespace attncc;
using namespace attncc::spec;

namespace {

struct Malformed {
  const char *text;
  const char *expected; // the diagnostic's whole text
};

// A model.json with one class, whose members follow; and one whose rope's members follow.
#define OWN(members)                                                                               \
  "{\"schema\": \"attncc.model/1\", \"layers\": 2, \"max_position\": 64,\n\"layer_classes\": [{"   \
  "\"query_heads\": 8, \"head_dim\": 64" members "}]}"
#define ROPE(members) "{\"model_type\": \"llama\",\n\"rope_scaling\": {" members "}}"

const Malformed kMalformed[] = {
    // Not JSON, or not an object.
    {"",
     "m.json:1:1: error: not valid JSON: unexpected end of input; expected '[', '{', or a literal "
     "[json-syntax]"},
    {"{\"model_type\": \"llama\"", "m.json:1:23: error: not valid JSON: unexpected end of input; "
                                   "expected '}' [json-syntax]"},
    {"{\"model_type\": \"llama\",\n}",
     "m.json:2:1: error: not valid JSON: unexpected '}'; expected string literal [json-syntax]"},
    {"{\"model_type\": \"lla\xffma\"}",
     "m.json:1:20: error: not valid JSON: invalid string: ill-formed "
     "UTF-8 byte [json-syntax]"},
    {"{\"model_type\": \"llama\", \"rope_theta\": NaN}",
     "m.json:1:39: error: not valid JSON: NaN and Infinity are not JSON numbers [json-syntax]"},
    {"[1, 2]", "m.json:1:1: error: the document is an array of 2, must be an object [json-type]"},
    {"{}",
     "m.json:1:1: error: neither \"model_type\" (a Hugging Face config.json) nor \"schema\" (a "
     "model.json) is here [spec-form]\nnote: docs/spec.md describes both forms"},
    {"{\"model_type\": \"llama\",\n \"model_type\": \"gpt2\"}",
     "m.json:2:2: error: duplicate key \"model_type\" [json-duplicate]\n"
     "m.json:1:2: note: the first one is here"},
    // config.json: types and ranges.
    {"{\"model_type\": 7}", "m.json:1:16: error: model_type is 7, must be a string [json-type]"},
    {"{\"model_type\": null}",
     "m.json:1:16: error: model_type is null, must be a string [json-type]"},
    {"{\"model_type\": \"llama\", \"num_hidden_layers\": \"32\"}",
     "m.json:1:46: error: num_hidden_layers is \"32\", must be an integer [json-type]"},
    {"{\"model_type\": \"llama\", \"num_hidden_layers\": 2.5}",
     "m.json:1:46: error: num_hidden_layers is 2.5, must be an integer [json-type]"},
    {"{\"model_type\": \"llama\", \"num_hidden_layers\": -1}",
     "m.json:1:46: error: num_hidden_layers is -1, must be from 1 to 4096 [json-range]"},
    {"{\"model_type\": \"llama\", \"hidden_size\": 99999999999999999999999}",
     "m.json:1:40: error: hidden_size is 1e+23, must be from 1 to 4294967296 [json-range]"},
    {"{\"model_type\": \"llama\", \"max_position_embeddings\": 0}",
     "m.json:1:52: error: max_position_embeddings is 0, must be from 1 to 1073741824 [json-range]"},
    {"{\"model_type\": \"llama\", \"attention_bias\": 1}",
     "m.json:1:43: error: attention_bias is 1, must be true or false [json-type]"},
    {"{\"model_type\": \"llama\", \"torch_dtype\": {\"a\": 1}}",
     "m.json:1:40: error: torch_dtype is an object, must be a string [json-type]"},
    {"{\"model_type\": \"gemma2\", \"attn_logit_softcapping\": -50.0}",
     "m.json:1:52: error: attn_logit_softcapping is -50.0, must be more than 0 and at most 1e+30 "
     "[json-range]"},
    {"{\"model_type\": \"mistral\", \"sliding_window\": 0}",
     "m.json:1:45: error: sliding_window is 0, must be from 1 to 9223372036854775807 [json-range]"},
    // config.json: values that do not fit each other.
    {"{\"model_type\": \"llama\",\n\"num_attention_heads\": 32,\n\"num_key_value_heads\": 6}",
     "m.json:3:24: error: num_key_value_heads is 6, but num_attention_heads is 32: query heads "
     "must be "
     "a multiple of kv heads [spec-heads]\n"
     "m.json:2:24: note: num_attention_heads is here (/num_attention_heads)"},
    {"{\"model_type\": \"llama\", \"hidden_size\": 4096,\n\"num_attention_heads\": 33}",
     "m.json:2:24: error: hidden size 4096 is no multiple of 33 query heads, and no head_dim is "
     "given "
     "[spec-heads]"},
    {"{\"model_type\": \"llama\", \"head_dim\": 33}",
     "m.json:1:37: error: rope turns 33 of 33 dims: must be an even number [spec-rope]"},
    {"{\"model_type\": \"gpt_oss\", \"num_hidden_layers\": 2,\n\"layer_types\": "
     "[\"full_attention\"]}",
     "m.json:2:16: error: layer_types has 1 entries, but there are 2 layers [spec-layers]"},
    {"{\"model_type\": \"gpt_oss\", \"num_hidden_layers\": 1, \"layer_types\": "
     "[\"linear_attention\"]}",
     "m.json:1:67: error: layer_types[0] is \"linear_attention\", must be \"full_attention\" or "
     "\"sliding_attention\" [spec-layers]"},
    {"{\"model_type\": \"smollm3\", \"num_hidden_layers\": 2, \"no_rope_layers\": [1, 2]}",
     "m.json:1:73: error: no_rope_layers[1] is 2, must be from 0 to 1 [json-range]"},
    // config.json: rope.
    {ROPE("\"type\": \"mrope\""), "m.json:2:26: error: unknown rope type \"mrope\" [spec-rope]\n"
                                  "note: known: default, linear, dynamic, llama3, yarn, longrope"},
    {ROPE("\"type\": \"linear\""),
     "m.json:2:17: error: rope_scaling has no key \"factor\" [json-missing]"},
    {ROPE("\"type\": \"linear\", \"factor\": 0"),
     "m.json:2:46: error: factor is 0, must be more than 0 and at most 1e+30 [json-range]"},
    {ROPE("\"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4"),
     "m.json:2:17: error: llama3's high frequency factor is 4, must be more than the low one, 4 "
     "[spec-rope]"},
    {ROPE("\"type\": \"longrope\", \"short_factor\": [1.0], \"long_factor\": [1.0]"),
     "m.json:2:17: error: short_factor has 1 values, must have 64: one for each pair of 128 "
     "rotated "
     "dims [spec-rope]"},
    {"{\"model_type\": \"llama\",\n\"rope_scaling\": \"linear\"}",
     "m.json:2:17: error: rope_scaling is \"linear\", must be an object [json-type]"},
    {"{\"model_type\": \"llama\", \"rope_theta\": 1}",
     "m.json:1:39: error: rope_theta is 1, must be more than 1 and at most 1e+30 [json-range]"},
    // model.json.
    {"{\"schema\": \"attncc.model/2\", \"layers\": 1, \"max_position\": 1, \"layer_classes\": []}",
     "m.json:1:12: error: schema is \"attncc.model/2\", must be \"attncc.model/1\" [spec-schema]"},
    {"{\"schema\": \"attncc.model/1\", \"max_position\": 64, \"layer_classes\": []}",
     "m.json:1:1: error: the document has no key \"layers\" [json-missing]"},
    {"{\"schema\": \"attncc.model/1\", \"layers\": 1, \"max_position\": 64, \"layer_classes\": []}",
     "m.json:1:80: error: layer 0 is in no class [spec-layers]"},
    {OWN(", \"head_dims\": 3"), "m.json:2:54: error: unknown key \"head_dims\" [spec-key]\n"
                                "note: known here: biases, head_dim, kv_heads, latent, layers, "
                                "mask, name, qk_norm, query_heads, "
                                "rope, scale, sinks, softcap, value_dim"},
    {OWN(", \"kv_heads\": 3"),
     "m.json:2:66: error: kv_heads is 3, but query_heads is 8: query heads must be a multiple of "
     "kv "
     "heads [spec-heads]\n"
     "m.json:2:35: note: query_heads is here (/layer_classes/0/query_heads)"},
    {OWN(", \"layers\": [[1, 2]]"),
     "m.json:2:69: error: layers[0][1] is 2, must be from 1 to 1 [json-range]"},
    {OWN(", \"layers\": [[0, 1], [1, 1]]"),
     "m.json:2:73: error: layer 1 is listed twice [spec-layers]\n"
     "m.json:2:65: note: layers[0] is here (/layer_classes/0/layers/0)"},
    {OWN(", \"layers\": [0]"), "m.json:2:65: error: layers[0] is 0, must be [first, last] or "
                               "[first, last, step] [spec-layers]"},
    {OWN(", \"mask\": {\"window\": 0}"),
     "m.json:2:73: error: window is 0, must be from 1 to 9223372036854775807 [json-range]"},
    {OWN(", \"name\": \"Full\""),
     "m.json:2:62: error: name is \"Full\", must be at most 40 of a-z, 0-9 "
     "and _, a letter first [spec-name]"},
    {OWN(", \"rope\": {\"dim\": 66}"),
     "m.json:2:70: error: rope turns 66 dims: must be even and at most 64 [spec-rope]"},
    {OWN(", \"rope\": {\"pairing\": \"third\"}"),
     "m.json:2:74: error: pairing is \"third\", must be \"half\" or \"interleaved\" [spec-rope]"},
    {OWN(", \"biases\": [\"q\"]"),
     "m.json:2:65: error: biases[0] is \"q\", must be \"query\", \"key\", "
     "\"value\" or \"output\" [spec-biases]"},
    {OWN(", \"latent\": {\"kv_rank\": 512, \"rope_dim\": 64}"),
     "m.json:2:64: error: rope_dim is 64, must be less than head_dim 64 [spec-latent]"},
};

} // namespace

TEST(Malformed, EachGivesItsLine) {
  EXPECT_GE(std::size(kMalformed), 20u);
  for (const Malformed &malformed : kMalformed) {
    SCOPED_TRACE(malformed.text);
    auto spec = parseModelSpec(malformed.text, "m.json");
    ASSERT_FALSE(spec);
    EXPECT_EQ(spec.error().status, Status::InvalidArgument);
    EXPECT_EQ(spec.error().diagnostic.text(), malformed.expected);
  }
}

TEST(Malformed, AnUnknownModelTypeListsTheKnownOnes) {
  auto spec = parseModelSpec("{\n  \"model_type\": \"falcon_mamba\"\n}", "falcon.json");
  ASSERT_FALSE(spec);
  EXPECT_EQ(
      spec.error().diagnostic.text(),
      "falcon.json:2:17: error: unknown model_type \"falcon_mamba\" [spec-model-type]\n"
      "note: known: deepseek_v3, gemma, gemma2, gemma3_text, glm, glm4, gpt2, gpt_oss, granite, "
      "llama, mistral, mixtral, phi3, qwen2, qwen3, qwen3_moe, smollm3, starcoder2; or write the "
      "layers as model.json (docs/spec.md)");
  EXPECT_EQ(spec.error().diagnostic.where.pointer, "/model_type");
  EXPECT_FALSE(parseModelSpec(R"({"model_type": "x", "text_config": 3})", "m"));
  EXPECT_FALSE(parseModelSpec(R"({"model_type": "x", "text_config": {"model_type": "y"}})", "m"));
}

TEST(Malformed, LearnedPositionsCannotBeExceeded) {
  SpecOptions options;
  options.maxPosition = 2048;
  auto spec =
      parseModelSpec("{\"model_type\": \"gpt2\",\n\"n_positions\": 1024}", "m.json", options);
  ASSERT_FALSE(spec);
  EXPECT_EQ(
      spec.error().diagnostic.text(),
      "m.json:2:16: error: a maximum position of 2048 is asked for, but positions are learned up "
      "to n_positions 1024 [spec-positions]");
}

// Random edits of real configs: a spec or one located line, never a crash, and never a class that
// a kernel could not be asked about.
TEST(Malformed, MutatedConfigsNeverCrash) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string words[] = {"null", "-1",  "0",   "1e400", "true", "\"x\"",    "[]",
                               "{}",   "1e9", "0.5", "[[1]]", "7",    "\"yarn\"", "4294967297"};
  for (const char *name : {"llama-3.2-1b", "gemma-2-9b", "deepseek-v3", "phi-3-mini", "gpt-oss-20b",
                           "gpt2", "qwen2.5-0.5b"}) {
    std::ifstream file(std::string(ATTNCC_SOURCE_DIR "/test/models/") + name + ".json");
    std::stringstream content;
    content << file.rdbuf();
    const std::string good = content.str();
    ASSERT_FALSE(good.empty());
    for (int round = 0; round < 300; ++round) {
      std::string text = good;
      if (random() % 4 == 0) {
        text.erase(random() % text.size(), 1 + random() % 8);
      } else {
        // Replace the value behind a random colon.
        size_t colon = text.find(": ", random() % text.size());
        if (colon == std::string::npos)
          continue;
        size_t end = text.find_first_of(",\n", colon);
        text.replace(colon + 2, end - colon - 2, words[random() % std::size(words)]);
      }
      auto spec = parseModelSpec(text, "m.json");
      if (!spec) {
        const Diagnostic &diagnostic = spec.error().diagnostic;
        ASSERT_GE(diagnostic.where.line, 1) << diagnostic.text() << "\n" << text;
        ASSERT_EQ(diagnostic.message.find('\n'), std::string::npos) << text;
        continue;
      }
      for (const LayerClass &layerClass : spec->classes) {
        ASSERT_GE(layerClass.group(), 1);
        ASSERT_GT(layerClass.scale, 0.0) << text;
        if (layerClass.rope) {
          ASSERT_EQ(int64_t(layerClass.rope->inverseFrequencies.size()), layerClass.rope->dim / 2);
        }
      }
      auto again = parseModelSpec(canonicalSpecText(*spec), "spec.json");
      ASSERT_TRUE(again) << again.error().diagnostic.text() << "\n" << text;
    }
  }
}
