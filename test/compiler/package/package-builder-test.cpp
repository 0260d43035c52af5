// Packages from kernels that the test makes up: what the manifest says of them, that it reads back,
// and how the files reach the disk.
#include "compiler/package/PackageBuilder.h"
#include "runtime/support/Sha256.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace attncc;
namespace fs = std::filesystem;

namespace {

const char *const kSpec = R"({
  "model_type": "llama", "hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2,
  "num_hidden_layers": 3, "max_position_embeddings": 4096, "vocab_size": 100, "rope_theta": 10000.0
})";

spec::ModelSpec modelSpec() {
  Result<spec::ModelSpec> spec = spec::parseModelSpec(kSpec, "tiny.json");
  EXPECT_TRUE(spec) << spec.error().diagnostic.text();
  return *spec;
}

CompiledKernel kernelOf(const spec::ModelSpec &spec, const PackageOptions &options,
                        const std::string &role) {
  CompiledKernel kernel;
  kernel.role = role;
  kernel.layerClass = spec.classes.front().name;
  kernel.target = "sm_80";
  kernel.schedule = "#attn.schedule<" + role + ">";
  if (role == "append")
    kernel.prologue = package::Prologue::Fused;
  kernel.entry = entryName(kernel, spec, spec.classes.front(), options);
  kernel.ptx = "// " + role + "\n";
  kernel.ptxVersion = "7.8";
  kernel.threads = 128;
  if (role != "append") {
    kernel.queryTokens = {1, 8};
    kernel.split.steps = {{2048, 256}, {4096, 512}};
  }
  if (role == "decode") {
    kernel.rows = 16;
    kernel.shared = 4096;
  }
  return kernel;
}

PackageFiles packageOf(const spec::ModelSpec &spec, const PackageOptions &options = {}) {
  return buildPackage(spec, kSpec, options,
                      {kernelOf(spec, options, "decode"), kernelOf(spec, options, "append"),
                       kernelOf(spec, options, "merge")},
                      {});
}

// The name says role, class, type, head size, group, page size and target.
TEST(PackageBuilder, EntryNamesExplainThemselves) {
  PackageOptions options;
  options.pageSize = 32;
  CompiledKernel kernel = kernelOf(modelSpec(), options, "decode");
  auto nameOf = [&](const std::string &target, const std::string &schedule) {
    kernel.target = target;
    kernel.schedule = schedule;
    return entryName(kernel, modelSpec(), modelSpec().classes.front(), options);
  };
  std::string name = nameOf("sm_80", "#attn.schedule<>");
  EXPECT_EQ(name.substr(0, name.size() - 4), "attncc_decode_full_bf16_d64_g2_p32_sm_80_");
  EXPECT_NE(name, nameOf("sm_80", "#attn.schedule<rows = 16>"));
  EXPECT_EQ(nameOf("sm_90a", "#attn.schedule<>").substr(0, name.size() - 3),
            "attncc_decode_full_bf16_d64_g2_p32_sm_90a_");
}

// The two append kernels of a class have names and files of their own.
TEST(PackageBuilder, AppendKernelsSayTheirPrologue) {
  spec::ModelSpec spec = modelSpec();
  CompiledKernel fused = kernelOf(spec, {}, "append"), plain = fused;
  plain.prologue = package::Prologue::None;
  plain.entry = entryName(plain, spec, spec.classes.front(), {});
  EXPECT_EQ(plain.entry.substr(0, plain.entry.size() - 4),
            "attncc_append_noprologue_full_bf16_d64_g2_p16_sm_80_");
  PackageFiles package =
      buildPackage(spec, kSpec, {},
                   {kernelOf(spec, {}, "decode"), fused, plain, kernelOf(spec, {}, "merge")}, {});
  const std::vector<package::KernelEntry> &kernels = package.manifest.kernels;
  EXPECT_EQ(kernels[0].prologue, std::nullopt);
  EXPECT_EQ(kernels[1].prologue, package::Prologue::Fused);
  EXPECT_EQ(kernels[2].prologue, package::Prologue::None);
  EXPECT_EQ(kernels[2].interface, "append/1");
  EXPECT_EQ(kernels[2].file.substr(0, 29), "sm_80/append_noprologue_full_");
  EXPECT_NE(kernels[1].file, kernels[2].file);
}

// The reader accepts what the builder writes and finds the same things in it.
TEST(PackageBuilder, ManifestReadsBack) {
  PackageFiles package = packageOf(modelSpec());
  Result<package::Manifest> manifest =
      package::parseManifest(package.files.at("manifest.json"), "manifest.json");
  ASSERT_TRUE(manifest) << manifest.error().diagnostic.text();
  EXPECT_EQ(*manifest, package.manifest);
  ASSERT_EQ(manifest->cacheGroups.size(), 1u);
  EXPECT_EQ(manifest->cacheGroups[0].layers, (std::vector<package::LayerRange>{{0, 2}}));
  EXPECT_EQ(manifest->cacheGroups[0].pageBytesPerLayer(), 16 * 2 * (64 + 64) * 2);
  ASSERT_EQ(manifest->layerClasses.size(), 1u);
  EXPECT_EQ(manifest->layerClasses[0].group, 2);
  ASSERT_TRUE(manifest->layerClasses[0].rope);
  EXPECT_EQ(manifest->layerClasses[0].rope->inverseFrequencies.size(), 32u);
  EXPECT_EQ(manifest->splitRules.size(), 1u); // decode and merge share it
  EXPECT_EQ(package.id, sha256Hex(package.files.at("manifest.json")));
}

// Kernels that take tensor maps have an interface of their own, and a reader must know what a
// tensor map is.
TEST(PackageBuilder, TensorMapsAreRequired) {
  CompiledKernel decode = kernelOf(modelSpec(), {}, "decode");
  package::TensorMapRule rule;
  rule.dims = {"64", "page_size", "k_dim/64", "kv_heads", "num_pages"};
  rule.strides = {"k_token_stride", "64", "k_head_stride", "k_page_stride"};
  rule.box = {64, 16, 1, 1, 1};
  decode.tensorMaps = {{"k", rule}, {"v", rule}};
  PackageFiles package = buildPackage(modelSpec(), kSpec, {}, {decode}, {});
  Result<package::Manifest> manifest =
      package::parseManifest(package.files.at("manifest.json"), "manifest.json");
  ASSERT_TRUE(manifest) << manifest.error().diagnostic.text();
  EXPECT_EQ(manifest->features, std::vector<std::string>{"tensor_map"});
  EXPECT_EQ(manifest->kernels[0].interface, "decode.tma/1");
  EXPECT_EQ(manifest->kernels[0].tensorMaps, decode.tensorMaps);
  EXPECT_TRUE(packageOf(modelSpec()).manifest.features.empty());
}

// Every file that a kernel names is there, with its size and hash.
TEST(PackageBuilder, FilesHaveTheirHashes) {
  PackageFiles package = packageOf(modelSpec());
  EXPECT_EQ(package.files.size(), 2 + package.manifest.kernels.size());
  for (const package::KernelEntry &kernel : package.manifest.kernels) {
    ASSERT_TRUE(package.files.count(kernel.file)) << kernel.file;
    EXPECT_EQ(kernel.sha256, sha256Hex(package.files.at(kernel.file)));
    EXPECT_EQ(kernel.bytes, static_cast<int64_t>(package.files.at(kernel.file).size()));
  }
  EXPECT_EQ(package.manifest.spec.sha256, sha256Hex(package.files.at("spec.json")));
}

TEST(PackageBuilder, CubinsStandBesideTheirPtx) {
  spec::ModelSpec spec = modelSpec();
  CompiledKernel decode = kernelOf(spec, {}, "decode");
  decode.assembled = AssembledKernel{std::string("\177ELF\0", 5), "13.0.88", 96, {}};
  PackageFiles package = buildPackage(
      spec, kSpec, {}, {decode, kernelOf(spec, {}, "append"), kernelOf(spec, {}, "merge")}, {});
  const package::KernelEntry &entry = package.manifest.kernels[0];
  ASSERT_TRUE(entry.cubin);
  EXPECT_EQ(entry.cubin->file, entry.file.substr(0, entry.file.size() - 4) + ".cubin");
  EXPECT_EQ(package.files.at(entry.cubin->file), decode.assembled->cubin);
  EXPECT_EQ(entry.cubin->bytes, 5);
  EXPECT_EQ(entry.cubin->sha256, sha256Hex(decode.assembled->cubin));
  EXPECT_EQ(entry.cubin->arch, "sm_80");
  EXPECT_EQ(entry.cubin->registers, 96);
  EXPECT_EQ(entry.cubin->ptxas, "13.0.88");
  EXPECT_FALSE(package.manifest.kernels[1].cubin);
  Result<package::Manifest> read =
      package::parseManifest(package.files.at("manifest.json"), "manifest.json");
  ASSERT_TRUE(read) << read.error().diagnostic.text();
  EXPECT_EQ(*read, package.manifest);
}

TEST(PackageBuilder, SameInputSameBytes) {
  EXPECT_EQ(packageOf(modelSpec()).files, packageOf(modelSpec()).files);
}

class PackageFolder : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "attncc-package-XXXXXX").string();
    ASSERT_TRUE(mkdtemp(pattern.data()));
    folder = pattern;
  }
  void TearDown() override { fs::remove_all(folder); }
  static std::string contentOf(const fs::path &path) {
    std::ifstream stream(path);
    std::stringstream text;
    text << stream.rdbuf();
    return text.str();
  }
  fs::path folder;
};

// A package takes the place of a package, and nothing is left beside it.
TEST_F(PackageFolder, ReplacesAPackage) {
  PackageOptions options;
  ASSERT_TRUE(writePackage(packageOf(modelSpec(), options), folder / "out"));
  options.pageSize = 64;
  PackageFiles second = packageOf(modelSpec(), options);
  ASSERT_TRUE(writePackage(second, (folder / "out/").string()));
  for (const auto &[name, text] : second.files)
    EXPECT_EQ(contentOf(folder / "out" / name), text) << name;
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "out/sm_80"), {}), 3);
}

// A folder with anything else in it stays as it is.
TEST_F(PackageFolder, KeepsForeignFolders) {
  std::ofstream(folder / "thesis.txt") << "the only copy";
  Result<void> written = writePackage(packageOf(modelSpec()), folder.string());
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().status, Status::InvalidArgument);
  EXPECT_NE(written.error().diagnostic.message.find("is neither empty nor a kernel package"),
            std::string::npos);
  EXPECT_EQ(contentOf(folder / "thesis.txt"), "the only copy");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);
}

TEST_F(PackageFolder, TakesAnEmptyFolder) {
  fs::create_directory(folder / "out");
  EXPECT_TRUE(writePackage(packageOf(modelSpec()), folder / "out"));
  EXPECT_TRUE(fs::exists(folder / "out/manifest.json"));
}

} // namespace
