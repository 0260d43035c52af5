// Manifests: the writer and the reader are inverse, unknown keys are ignored, and each malformed
// manifest gives one located error.
#include "test/runtime/SamplePackage.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace attncc;
using namespace attncc::package;
using namespace attncc::test;

namespace {

/// A manifest that uses every field.
Manifest fullManifest() {
  Manifest manifest = samplePackage().manifest;
  LayerClass &layerClass = manifest.layerClasses[0];
  layerClass.layers = {{0, 0}};
  layerClass.rope = Rope{
      Rope::Pairing::Interleaved,    8,    "llama3", 500000.0, {{"factor", 32.0}, {"low", 1.0}},
      {1.0f, 0.1f, 1.0f / 3, 1e-7f}, 1.25f};
  layerClass.qkNorm = QkNorm{1e-6};
  LayerClass other = layerClass;
  other.name = "other";
  other.layers = {{1, 1}};
  other.rope.reset();
  other.qkNorm.reset();
  manifest.layerClasses.push_back(other);
  manifest.cacheGroups[0].order = KvOrder::HND;
  manifest.refused = {{{{2, 3}, {5, 5}}, "logit softcap is not compiled yet"}};
  manifest.kernels[1].loadClass["num_sequences"] = {0, 64};
  manifest.interfaces["decode_list/1"] = {
      {{"query", ParamType::Ptr, "r", "", 16, false, "why"}}, {"1", "2", "3"}, "", "", ""};
  useTensorMaps(manifest);
  manifest.kernels[1].cubin =
      Cubin{"sm_80/decode.cubin", 5, manifest.spec.sha256, "sm_86", 200, "13.0.88"};
  return manifest;
}

TEST(Manifest, RoundTrip) {
  for (const Manifest &manifest : {samplePackage().manifest, fullManifest()}) {
    std::string text = toJson(manifest);
    Result<Manifest> read = parseManifest(text, "manifest.json");
    ASSERT_TRUE(read) << read.error().diagnostic.text();
    EXPECT_EQ(*read, manifest);
    EXPECT_EQ(toJson(*read), text);
    EXPECT_EQ(text.find('\r'), std::string::npos);
    EXPECT_EQ(text.back(), '\n');
  }
}

TEST(Manifest, DerivedNumbers) {
  CacheGroup group = samplePackage().manifest.cacheGroups[0];
  EXPECT_EQ(group.pageBytesPerLayer(), 4 * 2 * 2 * 16 * 2);
  EXPECT_EQ(group.tokenBytesAllLayers(), 2 * 2 * 2 * 16 * 2);
  EXPECT_EQ(layersOf({{0, 2}, {5, 5}}), (std::vector<int64_t>{0, 1, 2, 5}));
  EXPECT_EQ(rangesOf({0, 1, 2, 5}), (std::vector<LayerRange>{{0, 2}, {5, 5}}));
  Manifest full = fullManifest();
  EXPECT_EQ(full.classOfLayer(1)->name, "other");
  EXPECT_EQ(full.classOfLayer(2), nullptr);
}

/// The text with its first `from` replaced by `to`.
std::string replaced(std::string text, const std::string &from, const std::string &to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(Manifest, UnknownKeysAndNewerMinorsAreRead) {
  Manifest manifest = samplePackage().manifest;
  std::string text = replaced(toJson(manifest), "attncc.package/1.0", "attncc.package/1.7");
  text = replaced(text, "\"page_size\": 4", "\"page_size\": 4, \"new_key\": {\"a\": [1, null]}");
  text = replaced(text, "\"access\": \"r\"", "\"access\": \"r\", \"cache\": \"evict_first\"");
  Result<Manifest> read = parseManifest(text, "manifest.json");
  ASSERT_TRUE(read) << read.error().diagnostic.text();
  manifest.schemaMinor = 7;
  EXPECT_EQ(*read, manifest);
}

TEST(Manifest, NewerMajorsAndRequiredWordsAreUnsupported) {
  std::string text = toJson(samplePackage().manifest);
  Result<Manifest> major =
      parseManifest(replaced(text, "attncc.package/1.0", "attncc.package/2.0"), "m.json");
  ASSERT_FALSE(major);
  EXPECT_EQ(major.error().status, Status::Unsupported);
  EXPECT_EQ(major.error().diagnostic.message, "schema major is 2, this runtime reads 1");
  Result<Manifest> word = parseManifest(
      replaced(text, "\"requires\": []", "\"requires\": [\"tensor_map\", \"fp8\"]"), "m.json");
  ASSERT_FALSE(word);
  EXPECT_EQ(word.error().status, Status::Unsupported);
  EXPECT_EQ(word.error().diagnostic.message,
            "this package requires \"fp8\", which this runtime does not know; it knows "
            "\"tensor_map\"");
  EXPECT_GT(word.error().diagnostic.where.line, 1);
}

struct Malformed {
  const char *name;
  const char *from, *to; ///< in the sample's text
  const char *at;        ///< the error's place: where this stands in the changed text
  const char *message;   ///< part of the message
};

const Malformed kMalformed[] = {
    {"NotJson", "\"compiler\": {", "\"compiler\": [", nullptr, "not valid JSON"},
    {"DuplicateKey", "\"page_size\": 4", "\"page_size\": 4, \"page_size\": 8", "\"page_size\": 8",
     "duplicate key \"page_size\""},
    {"IntegerOutOfRange", "\"page_size\": 4", "\"page_size\": 9223372036854775808",
     "9223372036854775808", "page_size is"},
    {"NegativeInteger", "\"bytes\": 3", "\"bytes\": -3", "-3", "bytes is -3, must be from 1"},
    {"WrongType", "\"page_size\": 4", "\"page_size\": \"4\"", "\"4\"", "page_size is \"4\""},
    {"FractionForInteger", "\"page_size\": 4", "\"page_size\": 4.5", "4.5", "page_size is 4.5"},
    {"MissingKey", "\"page_size\": 4", "\"page_sizes\": 4", nullptr, "no key \"page_size\""},
    {"Schema", "attncc.package/1.0", "attncc.package/one", "\"attncc.package/one\"",
     "schema is \"attncc.package/one\""},
    {"PathOfParent", "\"file\": \"sm_80/append.ptx\"", "\"file\": \"../append.ptx\"",
     "\"../append.ptx\"", "must be a file of the package"},
    {"PathOfParentAlone", "\"file\": \"sm_80/append.ptx\"", "\"file\": \"sm_80/..\"",
     "\"sm_80/..\"", "must be a file of the package"},
    {"PathAbsolute", "\"file\": \"sm_80/append.ptx\"", "\"file\": \"/etc/passwd\"",
     "\"/etc/passwd\"", "must be a file of the package"},
    {"PathDeep", "\"file\": \"sm_80/append.ptx\"", "\"file\": \"sm_80/x/y.ptx\"",
     "\"sm_80/x/y.ptx\"", "must be a file of the package"},
    {"PathWithNul", "\"file\": \"sm_80/append.ptx\"", "\"file\": \"sm_80/a\\u0000.ptx\"",
     "\"sm_80/a\\u0000.ptx\"", "must be a file of the package"},
    {"Digest", "\"source_sha256\": \"", "\"source_sha256\": \"X", "\"X",
     "64 lower-case hex digits"},
    {"LayersBackwards", "\"layers\": [\n        [0, 1]", "\"layers\": [\n        [1, 0]", "[1, 0]",
     "must be [first, last]"},
    {"LayersOverlap", "[0, 1]", "[0, 1], [1, 1]", "[1, 1]", "ascending order from 2"},
    {"PageBytes", "\"page_bytes_per_layer\": 512", "\"page_bytes_per_layer\": 511", "511",
     "page_bytes_per_layer is 511, must be 512"},
    {"Group", "\"group\": 2", "\"group\": 3", nullptr,
     "query_heads is 4, must be group 3 x kv_heads 2"},
    {"ClassOfUnknownGroup", "\"cache_group\": \"kv0\"", "\"cache_group\": \"kv1\"", "\"kv1\"",
     "which cache_groups does not hold"},
    {"KernelOfUnknownClass", "\"class\": \"full\"", "\"class\": \"windowed\"", "\"windowed\"",
     "which layer_classes does not hold"},
    {"KernelOfUnknownInterface", "\"interface\": \"append/1\"", "\"interface\": \"append/9\"",
     "\"append/9\"", "which interfaces does not hold"},
    {"KernelOfUnknownRule", "\"split_rule\": \"s0\"", "\"split_rule\": \"s9\"", "\"s9\"",
     "which split_rules does not hold"},
    {"KernelTwice", "\"entry\": \"sample_decode\"", "\"entry\": \"sample_append\"", nullptr,
     "kernel \"sample_append\" is given twice"},
    {"Target", "\"target\": \"sm_80\"", "\"target\": \"gfx942\"", "\"gfx942\"",
     "must be sm_NN or sm_NNa"},
    {"Ptx", "\"ptx\": \"7.8\"", "\"ptx\": \"7\"", "\"7\"", "must be a version like 7.8"},
    {"Block", "\"block\": [32, 1, 1]", "\"block\": [33, 1, 1]", "[33, 1, 1]",
     "must be a multiple of 32 up to 1024"},
    {"BlockTooLarge", "\"block\": [32, 1, 1]", "\"block\": [1024, 2, 1]", "[1024, 2, 1]",
     "block has 2048 threads"},
    {"LoadClass", "\"max_query_length\": [1, 8]", "\"max_query_length\": [8, 1]", nullptr,
     "must be from 8"},
    {"LoadClassName", "\"max_query_length\": [1, 8]", "\"kv_heads\": [1, 8]", "[1, 8]",
     "load_class has \"kv_heads\""},
    {"SplitLengthZero", "[32, 8]", "[32, 0]", "0]", "must be from 1"},
    {"SplitStepsDescend", "[32, 8]", "[8192, 8]", "4096, 16", "must be from 8193"},
    {"RuleSyntax", "\"workspace_bytes\": \"256+", "\"workspace_bytes\": \"256+*",
     "*256*ceil_div(4*max_sequences", "unexpected \"*\""},
    {"RuleName", "\"traffic_bytes\": \"num_tokens", "\"traffic_bytes\": \"num_token", "num_token*",
     "unknown name \"num_token\""},
    {"ParameterOrder", "\"name\": \"k_page_stride\"", "\"name\": \"k_head_stride\"", nullptr,
     "parameter 13 of append/1 is \"k_head_stride\" (i64), must be \"k_page_stride\" (i64)"},
    {"ParameterType", "\"type\": \"i64\"", "\"type\": \"i16\"", "\"i16\"",
     "must be one of ptr, i64, i32, f32"},
    {"GridRule", "\"grid\": [\"kv_heads\"", "\"grid\": [\"2*kv_heads\"", "\"2*kv_heads\"",
     "grid[0] of append/1"},
    {"PrologueOfNoKind", "\"prologue\": \"none\"", "\"prologue\": \"both\"", "\"both\"",
     "must be one of fused, none"},
    {"PrologueMissing", "\"prologue\": \"none\"", "\"prologue_\": \"none\"", nullptr,
     "no key \"prologue\""},
    {"AddsSplitsOfNoKind", "\"rows\": 8", "\"rows\": 8, \"adds_splits\": \"some\"", "\"some\"",
     "must be one of span, all"},
    {"RowsMissing", "\"rows\": 8", "\"rows_\": 8", nullptr, "a decode kernel needs rows"},
    {"NoClasses", "\"schema\"", "\"schema_\"", nullptr, "no key \"schema\""},
};

class MalformedManifest : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedManifest, IsOneLocatedError) {
  const Malformed &c = GetParam();
  std::string text = replaced(toJson(samplePackage().manifest), c.from, c.to);
  Result<Manifest> read = parseManifest(text, "out/manifest.json");
  ASSERT_FALSE(read);
  const Diagnostic &diagnostic = read.error().diagnostic;
  EXPECT_EQ(read.error().status, Status::InvalidPackage);
  EXPECT_EQ(diagnostic.where.file, "out/manifest.json");
  EXPECT_GT(diagnostic.where.line, 0);
  EXPECT_FALSE(diagnostic.code.empty());
  EXPECT_NE(diagnostic.message.find(c.message), std::string::npos) << diagnostic.text();
  EXPECT_EQ(diagnostic.message.find('\n'), std::string::npos) << diagnostic.text();
  if (c.at) {
    size_t at = text.find(c.at);
    ASSERT_NE(at, std::string::npos);
    size_t lineBegin = text.rfind('\n', at) + 1;
    EXPECT_EQ(diagnostic.where.line, 1 + std::count(text.begin(), text.begin() + at, '\n'))
        << diagnostic.text();
    EXPECT_EQ(diagnostic.where.column, static_cast<int>(at - lineBegin) + 1) << diagnostic.text();
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, MalformedManifest, testing::ValuesIn(kMalformed),
                         [](const auto &info) { return info.param.name; });

TEST(Manifest, LayersOfAClassAreOfItsGroupAndOfNoOtherClass) {
  Manifest manifest = fullManifest();
  manifest.layerClasses[1].layers = {{1, 2}};
  Result<Manifest> outside = parseManifest(toJson(manifest), "m.json");
  ASSERT_FALSE(outside);
  EXPECT_EQ(outside.error().diagnostic.message, "layer 2 is not one of cache group \"kv0\"");
  manifest.layerClasses[1].layers = {{0, 1}};
  Result<Manifest> read = parseManifest(toJson(manifest), "m.json");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().diagnostic.message, "layer 0 is in class \"full\" already");
}

TEST(Manifest, TensorMapsAreThoseOfTheInterface) {
  auto messageOf = [](auto change) {
    Manifest manifest = fullManifest();
    change(manifest.kernels[1]);
    Result<Manifest> read = parseManifest(toJson(manifest), "m.json");
    return read ? std::string("(no error)") : read.error().diagnostic.message;
  };
  EXPECT_EQ(messageOf([](KernelEntry &kernel) { kernel.tensorMaps.erase("v"); }),
            "tensor_maps has no \"v\", which decode.tma/1 takes");
  EXPECT_EQ(messageOf([](KernelEntry &kernel) { kernel.interface = "decode/1"; }),
            "tensor_maps has \"k\", which is no tensor_map of decode/1");
  EXPECT_EQ(messageOf([](KernelEntry &kernel) { kernel.tensorMaps["k"].strides.pop_back(); }),
            "a tensor map has 5 dims, 3 strides and a box of 5, must have 1 to 5 dims, one stride "
            "fewer and a box of as many");
  EXPECT_EQ(messageOf([](KernelEntry &kernel) { kernel.tensorMaps["k"].swizzle = 16; }),
            "swizzle is 16, must be one of 0, 32, 64, 128");
  EXPECT_EQ(messageOf([](KernelEntry &kernel) { kernel.tensorMaps["v"].l2Promotion = 32; }),
            "l2_promotion is 32, must be one of 0, 64, 128, 256");
  EXPECT_EQ(messageOf([](KernelEntry &kernel) { kernel.tensorMaps["v"].box[1] = 257; }),
            "box[1] is 257, must be from 1 to 256");
  EXPECT_EQ(messageOf([](KernelEntry &kernel) { kernel.tensorMaps["v"].dims[1] = "pages"; }),
            "rule \"pages\" uses the unknown name \"pages\"");
}

TEST(Manifest, CubinsAreOfTheirKernel) {
  auto messageOf = [](auto change) {
    Manifest manifest = fullManifest();
    change(*manifest.kernels[1].cubin);
    Result<Manifest> read = parseManifest(toJson(manifest), "m.json");
    if (read)
      return std::string("(no error)");
    EXPECT_EQ(read.error().status, Status::InvalidPackage);
    EXPECT_EQ(read.error().diagnostic.where.pointer.substr(0, 16), "/kernels/1/cubin");
    return read.error().diagnostic.message;
  };
  EXPECT_EQ(messageOf([](Cubin &cubin) { cubin.arch = "sm_90a"; }), "(no error)");
  EXPECT_EQ(messageOf([](Cubin &cubin) { cubin.arch = "sm_75"; }),
            "arch is \"sm_75\", for which code of sm_80 cannot be assembled");
  EXPECT_EQ(messageOf([](Cubin &cubin) { cubin.arch = "ampere"; }),
            "arch is \"ampere\", must be sm_NN or sm_NNa");
  EXPECT_EQ(messageOf([](Cubin &cubin) { cubin.file = "../decode.cubin"; }),
            "file is \"../decode.cubin\", must be a file of the package: "
            "([a-z0-9_]+/)?[A-Za-z0-9_.]+");
  EXPECT_EQ(messageOf([](Cubin &cubin) { cubin.bytes = 0; }),
            "bytes is 0, must be from 1 to 67108864");
  EXPECT_EQ(messageOf([](Cubin &cubin) { cubin.sha256 = "abc"; }),
            "sha256 is \"abc\", must be 64 lower-case hex digits");
  EXPECT_EQ(messageOf([](Cubin &cubin) { cubin.registers = 256; }),
            "registers is 256, must be from 1 to 255");
  EXPECT_EQ(messageOf([](Cubin &cubin) { cubin.ptxas.clear(); }),
            "ptxas is empty, must be a version like 13.0.88");
}

TEST(Manifest, CubinsOfExactTargetsAreForThemAlone) {
  Manifest manifest = fullManifest();
  manifest.kernels[1].target = "sm_90a";
  manifest.kernels[1].cubin->arch = "sm_100a";
  Result<Manifest> read = parseManifest(toJson(manifest), "m.json");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().diagnostic.message,
            "arch is \"sm_100a\", for which code of sm_90a cannot be assembled");
}

TEST(Manifest, FilesAreCounted) {
  Manifest manifest = samplePackage().manifest;
  const KernelEntry append = manifest.kernels[0];
  manifest.kernels.clear();
  auto grow = [&](int64_t kernels, bool assembled) {
    for (int64_t i = 0; i < kernels; ++i) {
      manifest.kernels.push_back(append);
      manifest.kernels.back().entry += std::to_string(manifest.kernels.size());
      if (assembled)
        manifest.kernels.back().cubin = Cubin{"a.cubin", 1, append.sha256, "sm_80", 8, "13.0.88"};
    }
    return static_cast<bool>(parseManifest(toJson(manifest), "m.json"));
  };
  // manifest.json, the spec, and one or two of each kernel.
  EXPECT_TRUE(grow(2046, true));
  EXPECT_TRUE(grow(2, false));
  EXPECT_FALSE(grow(1, false));
}

TEST(Manifest, RopeMustFit) {
  Manifest manifest = fullManifest();
  manifest.layerClasses[0].rope->inverseFrequencies.pop_back();
  Result<Manifest> read = parseManifest(toJson(manifest), "m.json");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().diagnostic.message,
            "inverse_frequencies has 3 values, must have dim/2 = 4");
  manifest = fullManifest();
  manifest.layerClasses[0].rope->dim = 32;
  manifest.layerClasses[0].rope->inverseFrequencies.resize(16);
  read = parseManifest(toJson(manifest), "m.json");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().diagnostic.message, "head_dim is 16, must be at least the rope's dim 32");
}

// Truncations and single changed bytes never crash, and never give another error than a located
// one.
TEST(Manifest, DamagedTextIsAnErrorOrAManifest) {
  const std::string text = toJson(fullManifest());
  for (size_t length = 0; length + 2 < text.size(); length += 7) {
    Result<Manifest> read = parseManifest(text.substr(0, length), "m.json");
    ASSERT_FALSE(read) << length;
    EXPECT_EQ(read.error().status, Status::InvalidPackage);
    EXPECT_GT(read.error().diagnostic.where.line, 0) << read.error().diagnostic.text();
  }
  uint64_t state = 1;
  for (int i = 0; i < 2000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::string changed = text;
    changed[(state >> 33) % text.size()] = static_cast<char>(state >> 25);
    Result<Manifest> read = parseManifest(changed, "m.json");
    if (!read)
      EXPECT_GT(read.error().diagnostic.where.line, 0) << read.error().diagnostic.text();
  }
}

} // namespace
