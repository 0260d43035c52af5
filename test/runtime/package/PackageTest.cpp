// Packages on disk and the choice of target: what is read, what is refused and with which words.
#include "runtime/package/Package.h"
#include "runtime/support/Sha256.h"
#include "test/runtime/FakeDevice.h"
#include "test/runtime/SamplePackage.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <sys/stat.h>

using namespace attncc;
using namespace attncc::package;
using namespace attncc::test;

namespace {

/// Opens the folder and gives the whole text of the error, with the folder's path as "out".
std::string errorOf(const std::string &folder, Status expected = Status::InvalidPackage) {
  Result<Folder> opened = openFolder(folder);
  EXPECT_FALSE(opened);
  if (opened)
    return "";
  EXPECT_EQ(opened.error().status, expected);
  std::string text = opened.error().diagnostic.text();
  for (size_t at; (at = text.find(folder)) != std::string::npos;)
    text.replace(at, folder.size(), "out");
  return text;
}

class PackageFolder : public testing::Test {
protected:
  void SetUp() override { writePackage(sample, folder.path); }
  std::string at(const std::string &file) const { return folder.path + "/" + file; }
  Sample sample = samplePackage();
  TemporaryFolder folder;
};

TEST_F(PackageFolder, IsReadAndVerified) {
  Result<Folder> opened = openFolder(folder.path + "/");
  ASSERT_TRUE(opened) << opened.error().diagnostic.text();
  EXPECT_EQ(opened->manifest, sample.manifest);
  EXPECT_EQ(opened->files, sample.files);
  EXPECT_EQ(opened->id, sha256Hex(toJson(sample.manifest)));
  EXPECT_TRUE(openFolder(folder.path, opened->id));
}

TEST_F(PackageFolder, UnlistedFilesAreNotOpened) {
  ASSERT_EQ(mkfifo(at("sm_80/pipe.ptx").c_str(), 0600), 0);
  writeFile(at("notes.txt"), "anything");
  EXPECT_TRUE(openFolder(folder.path));
}

TEST_F(PackageFolder, AnotherIdThanExpected) {
  Result<Folder> opened = openFolder(folder.path, std::string(64, '0'));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().diagnostic.message, "the package's id is " +
                                                   sha256Hex(toJson(sample.manifest)) +
                                                   ", expected " + std::string(64, '0'));
}

TEST_F(PackageFolder, ChangedFile) {
  std::string text = sample.files["sm_80/decode.ptx"];
  const std::string before = sha256Hex(text);
  text[text.size() / 2] ^= 1;
  writeFile(at("sm_80/decode.ptx"), text);
  EXPECT_EQ(
      errorOf(folder.path),
      "out/sm_80/decode.ptx: error: sha-256 is " + sha256Hex(text).substr(0, 8) +
          "…, manifest.json says " + before.substr(0, 8) +
          "…: the file changed after it was compiled; run attncc again, or copy the whole folder "
          "again [package-hash]");
}

TEST_F(PackageFolder, ShorterFile) {
  writeFile(at("spec.json"), "{}");
  EXPECT_EQ(
      errorOf(folder.path),
      "out/spec.json: error: has 2 bytes, manifest.json says 3: the file changed after it was "
      "compiled; run attncc again, or copy the whole folder again [package-size]");
}

TEST_F(PackageFolder, MissingFiles) {
  std::filesystem::remove(at("sm_80/merge.ptx"));
  EXPECT_EQ(errorOf(folder.path),
            "out/sm_80/merge.ptx: error: cannot be read: No such file or directory [package-file]");
  std::filesystem::remove_all(at("sm_80"));
  EXPECT_EQ(
      errorOf(folder.path),
      "out/sm_80/append.ptx: error: cannot be read: No such file or directory [package-file]");
  std::filesystem::remove(at("manifest.json"));
  EXPECT_EQ(errorOf(folder.path),
            "out/manifest.json: error: cannot be read: No such file or directory [package-file]");
  std::filesystem::remove_all(folder.path);
  EXPECT_EQ(errorOf(folder.path),
            "out: error: cannot be opened as a folder: No such file or directory [package-file]");
}

TEST_F(PackageFolder, NotAFolder) {
  std::string file = at("spec.json");
  Result<Folder> opened = openFolder(file);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().diagnostic.text(),
            file + ": error: cannot be opened as a folder: Not a directory [package-file]");
}

TEST_F(PackageFolder, CubinsAreVerifiedToo) {
  addCubins(sample, "sm_80", "sm_80");
  writePackage(sample, folder.path);
  Result<Folder> opened = openFolder(folder.path);
  ASSERT_TRUE(opened) << opened.error().diagnostic.text();
  EXPECT_EQ(opened->files, sample.files);
  writeFile(at("sm_80/merge.cubin"), "\177ELF");
  EXPECT_EQ(errorOf(folder.path).substr(0, 52),
            "out/sm_80/merge.cubin: error: has 4 bytes, manifest.");
  std::filesystem::remove(at("sm_80/merge.cubin"));
  EXPECT_EQ(
      errorOf(folder.path),
      "out/sm_80/merge.cubin: error: cannot be read: No such file or directory [package-file]");
}

TEST_F(PackageFolder, LinkedFile) {
  std::filesystem::rename(at("sm_80/append.ptx"), at("sm_80/real.ptx"));
  std::filesystem::create_symlink("real.ptx", at("sm_80/append.ptx"));
  EXPECT_EQ(errorOf(folder.path),
            "out/sm_80/append.ptx: error: cannot be read: it is a link [package-file]");
}

TEST_F(PackageFolder, LinkedSubfolder) {
  std::filesystem::rename(at("sm_80"), at("real"));
  std::filesystem::create_symlink("real", at("sm_80"));
  // The kernel gives a link in place of a folder as "not a directory".
  EXPECT_EQ(errorOf(folder.path),
            "out/sm_80/append.ptx: error: cannot be read: Not a directory [package-file]");
}

TEST_F(PackageFolder, PipeInPlaceOfAFile) {
  std::filesystem::remove(at("sm_80/append.ptx"));
  ASSERT_EQ(mkfifo(at("sm_80/append.ptx").c_str(), 0600), 0);
  EXPECT_EQ(errorOf(folder.path),
            "out/sm_80/append.ptx: error: cannot be read: it is not a regular file [package-file]");
}

TEST_F(PackageFolder, ManifestAboveTheCap) {
  std::filesystem::resize_file(at("manifest.json"), kMaxManifestBytes + 1);
  EXPECT_EQ(errorOf(folder.path),
            "out/manifest.json: error: has 16777217 bytes, at most 16777216 are "
            "read [package-file]");
}

TEST_F(PackageFolder, NestedDeeperThanTheCap) {
  std::string deep(100, '[');
  writePackage(sample, folder.path, deep);
  EXPECT_NE(errorOf(folder.path).find("out/manifest.json:1:"), std::string::npos);
}

//===----------------------------------------------------------------------===//
// Targets
//===----------------------------------------------------------------------===//

device::DeviceInfo gpu(int capability, int ptx, int64_t shared = 99 * 1024) {
  return {"cuda:0", "Some GPU (sm_" + std::to_string(capability) + ")", capability, ptx, shared};
}

/// The sample with every kernel for sm_80, sm_86 and sm_90a.
Manifest threeTargets() {
  Manifest manifest = samplePackage().manifest;
  std::vector<KernelEntry> kernels;
  for (const char *target : {"sm_80", "sm_90a", "sm_86"})
    for (KernelEntry kernel : manifest.kernels) {
      kernel.target = target;
      kernel.entry += std::string("_") + target;
      if (kernel.target == "sm_90a")
        kernel.ptx = "8.0";
      kernels.push_back(kernel);
    }
  manifest.kernels = kernels;
  return manifest;
}

std::string chosen(const device::DeviceInfo &device, std::string_view forced = {}) {
  Result<TargetChoice> choice = chooseTargets(threeTargets(), device, forced);
  return choice ? choice->chosen.at("full") : choice.error().diagnostic.text();
}

TEST(Target, TheBestRankThatPassesWins) {
  EXPECT_EQ(chosen(gpu(90, 83)), "sm_90a");
  EXPECT_EQ(chosen(gpu(89, 83)), "sm_86");
  EXPECT_EQ(chosen(gpu(80, 83)), "sm_80");
  // The a-target is for that one capability only.
  EXPECT_EQ(chosen(gpu(100, 88)), "sm_86");
  EXPECT_EQ(chosen(gpu(120, 88)), "sm_86");
  // A driver that is too old for the best one.
  EXPECT_EQ(chosen(gpu(90, 78)), "sm_86");
  EXPECT_EQ(chosen(gpu(90, 83), "sm_80"), "sm_80");
}

TEST(Target, LosersHaveReasons) {
  Result<TargetChoice> choice = chooseTargets(threeTargets(), gpu(89, 83));
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->text(gpu(89, 83)), "sm_90a needs sm_90; sm_86 selected for Some GPU (sm_89); "
                                       "sm_80 passed, lower rank");
}

TEST(Target, NothingPasses) {
  EXPECT_EQ(chosen(gpu(75, 74)),
            "cuda:0: error: no kernel of this package runs on Some GPU (sm_75): "
            "sm_90a needs sm_90, PTX 8.0; sm_86 needs sm_86 or newer, PTX 7.8; "
            "sm_80 needs sm_80 or newer, PTX 7.8");
  EXPECT_EQ(chosen(gpu(80, 83), "sm_90a"),
            "cuda:0: error: no kernel of this package runs on Some GPU (sm_80): "
            "sm_90a needs sm_90; sm_86 is not the target asked for, sm_90a; "
            "sm_80 is not the target asked for, sm_90a");
}

TEST(Target, SharedMemoryOfEveryKernelMustFit) {
  Manifest manifest = threeTargets();
  for (KernelEntry &kernel : manifest.kernels)
    if (kernel.target == "sm_86" && kernel.role == "decode")
      kernel.shared = 150000;
  Result<TargetChoice> choice = chooseTargets(manifest, gpu(86, 83));
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->chosen.at("full"), "sm_80");
  EXPECT_EQ(choice->verdicts[1].reason,
            "needs 150000 bytes of shared memory a block (the device has 101376)");
}

TEST(Target, RolesNeverMixTargets) {
  Manifest manifest = threeTargets();
  std::erase_if(manifest.kernels, [](const KernelEntry &kernel) {
    return kernel.target == "sm_90a" && kernel.role == "merge";
  });
  Result<TargetChoice> choice = chooseTargets(manifest, gpu(90, 83));
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->chosen.at("full"), "sm_86");
  EXPECT_EQ(choice->verdicts[0].reason, "has no merge kernel for class full");
  // A kernel with an interface that this runtime does not know is as good as none.
  manifest = threeTargets();
  manifest.interfaces["decode_list/1"] = manifest.interfaces["decode/1"];
  for (KernelEntry &kernel : manifest.kernels)
    if (kernel.target == "sm_90a" && kernel.role == "decode")
      kernel.interface = "decode_list/1";
  choice = chooseTargets(manifest, gpu(90, 83));
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->verdicts[0].reason, "has no decode kernel for class full");
  // Pages by tensor maps are known.
  manifest = threeTargets();
  useTensorMaps(manifest);
  EXPECT_EQ(chooseTargets(manifest, gpu(90, 83))->chosen.at("full"), "sm_90a");
}

TEST_F(PackageFolder, OpenLoadsTheChosenTargetsKernels) {
  sample.manifest = threeTargets();
  writePackage(sample, folder.path);
  auto device = std::make_shared<FakeDevice>();
  device->deviceInfo = gpu(86, 83);
  Result<std::shared_ptr<const Package>> package = Package::open(device, folder.path);
  ASSERT_TRUE(package) << package.error().diagnostic.text();
  EXPECT_EQ(device->loaded,
            (std::vector<std::string>{"sample_append_sm_86", "sample_decode_sm_86",
                                      "sample_merge_sm_86", "sample_merge_states_sm_86"}));
  const ClassKernels &kernels = (*package)->kernelsOf((*package)->manifest().layerClasses[0]);
  EXPECT_EQ(kernels.target, "sm_86");
  EXPECT_TRUE(kernels.append.empty());
  ASSERT_EQ(kernels.appendWithoutPrologue.size(), 1u);
  ASSERT_EQ(kernels.mergeStates.size(), 1u);
  ASSERT_EQ(kernels.decode.size(), 1u);
  EXPECT_EQ(kernels.decode[0]->splitRule->splitLength(33), 16);
  EXPECT_TRUE(kernels.decode[0]->serves(1, 8, 100));
  EXPECT_FALSE(kernels.decode[0]->serves(1, 9, 100));
}

//===----------------------------------------------------------------------===//
// Cubins
//===----------------------------------------------------------------------===//

TEST(Cubins, FitTheCapabilitiesThatTheyWereAssembledFor) {
  KernelEntry kernel;
  device::DeviceInfo device = gpu(86, 83);
  device.loadsCubins = true;
  auto why = [&](const char *arch, int capability) {
    kernel.cubin.emplace().arch = arch;
    device.computeCapability = capability;
    return cubinObstacle(kernel, device);
  };
  EXPECT_EQ(cubinObstacle(kernel, device), "no cubin");
  // Of one major number, the device's minor at least its own.
  EXPECT_EQ(why("sm_80", 80), "");
  EXPECT_EQ(why("sm_80", 86), "");
  EXPECT_EQ(why("sm_86", 89), "");
  EXPECT_EQ(why("sm_86", 80), "the cubin is for sm_86");
  EXPECT_EQ(why("sm_80", 90), "the cubin is for sm_80");
  EXPECT_EQ(why("sm_100", 103), "");
  EXPECT_EQ(why("sm_100", 120), "the cubin is for sm_100");
  // Exactly.
  EXPECT_EQ(why("sm_90a", 90), "");
  EXPECT_EQ(why("sm_100a", 103), "the cubin is for sm_100a");
  device.loadsCubins = false;
  EXPECT_EQ(why("sm_90a", 90), "the device takes PTX alone");
}

class CubinPackage : public PackageFolder {
protected:
  void SetUp() override {
    addCubins(sample, "sm_90a", "sm_90a");
    sample.manifest.kernels[2].cubin.reset(); // of merge
    std::erase_if(sample.files, [](const auto &file) { return file.first == "sm_80/merge.cubin"; });
    PackageFolder::SetUp();
    device->deviceInfo = gpu(90, 83);
    device->deviceInfo.loadsCubins = true;
  }
  Result<std::shared_ptr<const Package>> open(bool forbidJit = false) {
    LoadOptions options;
    options.threads = 1;
    options.forbidJit = forbidJit;
    return Package::open(device, folder.path, options);
  }
  std::shared_ptr<FakeDevice> device = std::make_shared<FakeDevice>();
};

TEST_F(CubinPackage, CubinsAreLoadedBeforePtx) {
  Result<std::shared_ptr<const Package>> package = open();
  ASSERT_TRUE(package) << package.error().diagnostic.text();
  EXPECT_EQ(device->cubins,
            (std::vector<std::string>{"sample_append", "sample_decode", "sample_merge_states"}));
  EXPECT_EQ(device->loaded.size(), 4u);
  EXPECT_EQ((*package)->numCubins(), 3u);
  EXPECT_EQ((*package)->kernels()[2]->whyPtx, "no cubin");
  EXPECT_EQ((*package)->refusedCubins(), "");
}

TEST_F(CubinPackage, ARefusedCubinIsReplacedByItsPtx) {
  device->refused = "sample_decode";
  Result<std::shared_ptr<const Package>> package = open();
  ASSERT_TRUE(package) << package.error().diagnostic.text();
  EXPECT_EQ((*package)->numCubins(), 2u);
  EXPECT_EQ((*package)->kernels()[1]->whyPtx, "the cubin was refused: not on this one");
  EXPECT_EQ((*package)->refusedCubins(),
            "1 of 4 kernels were compiled from PTX although they have a cubin; sample_decode: the "
            "cubin was refused: not on this one");
}

TEST_F(CubinPackage, ForbidJitNamesAKernelThatWouldBeCompiled) {
  Result<std::shared_ptr<const Package>> package = open(/*forbidJit=*/true);
  ASSERT_FALSE(package);
  EXPECT_EQ(package.error().status, Status::Unsupported);
  EXPECT_EQ(package.error().diagnostic.text(),
            "cuda:0: error: forbid_jit is set, and kernel sample_merge would have to be compiled "
            "for Some GPU (sm_90): no cubin\n"
            "note: attncc … --cubin assembles kernels for a package's targets; without forbid_jit "
            "the driver compiles the PTX");
  EXPECT_EQ(device->loaded, device->cubins);
  // A cubin that is refused is none.
  addCubins(sample, "sm_90a", "sm_90a");
  writePackage(sample, folder.path);
  device->refused = "sample_merge";
  package = open(/*forbidJit=*/true);
  ASSERT_FALSE(package);
  EXPECT_NE(package.error().diagnostic.message.find(
                "Some GPU (sm_90): the cubin was refused: not on this one"),
            std::string::npos)
      << package.error().diagnostic.message;
  device->refused.clear();
  EXPECT_TRUE(open(/*forbidJit=*/true));
  device->deviceInfo.loadsCubins = false;
  package = open(/*forbidJit=*/true);
  ASSERT_FALSE(package);
  EXPECT_NE(package.error().diagnostic.message.find("the device takes PTX alone"),
            std::string::npos);
}

} // namespace
