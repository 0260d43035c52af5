// The assembler behind attncc --cubin, with scripts in place of ptxas: where one is looked for, how
// it is called, what its words become, and that it cannot hold the compiler up.
// test/driver/cubin.py has the real one.
#include "compiler/target/ChildProcess.h"
#include "compiler/target/Ptxas.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace attncc;
namespace fs = std::filesystem;
using std::chrono::seconds;

namespace {

class PtxasTest : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "attncc-test-XXXXXX").string();
    folder = mkdtemp(pattern.data());
    fs::create_directory(folder / "scratch");
    setenv("TMPDIR", (folder / "scratch").c_str(), 1);
  }
  void TearDown() override {
    EXPECT_TRUE(fs::is_empty(folder / "scratch"));
    unsetenv("TMPDIR");
    fs::remove_all(folder);
  }

  /// A program that does `body` after it has answered --version. It is called with
  /// -arch=ARCH -O3 -v SOURCE -o RESULT.
  std::string script(const std::string &body, const std::string &name = "ptxas") {
    const fs::path path = folder / name;
    std::ofstream(path) << "#!/bin/sh\n"
                        << "if [ \"$1\" = --version ]; then\n"
                        << "  echo 'Cuda compilation tools, release 13.0, V13.0.88'; exit\nfi\n"
                        << body << "\n";
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }
  Result<AssembledKernel> assemble(const std::string &body, seconds limit = seconds(60)) {
    Result<Ptxas> ptxas = Ptxas::find({script(body)});
    EXPECT_TRUE(ptxas) << ptxas.error().diagnostic.text();
    return ptxas->assemble("the ptx\n", "sm_90a", "a_kernel", "sm_90a/a_kernel.ptx", limit);
  }
  std::string errorOf(const std::string &body, seconds limit = seconds(60)) {
    Result<AssembledKernel> assembled = assemble(body, limit);
    if (assembled)
      return "(no error)";
    EXPECT_EQ(assembled.error().status, Status::InvalidArgument);
    std::string text = assembled.error().diagnostic.text();
    if (size_t at = text.find(folder.string()); at != text.npos)
      text.replace(at, folder.string().size(), "FOLDER");
    return text;
  }
  fs::path folder;
};

const std::string kWriteCubin = "printf '\\177ELF of %s' \"$*\" > $6; cat $4 >> $6\n";
const std::string kUsed = "echo 'ptxas info    : Used 76 registers, used 1 barriers' >&2\n";

TEST_F(PtxasTest, AKernelIsAssembled) {
  Result<AssembledKernel> assembled = assemble(kWriteCubin + kUsed);
  ASSERT_TRUE(assembled) << assembled.error().diagnostic.text();
  EXPECT_TRUE(assembled->cubin.starts_with("\177ELF of -arch=sm_90a -O3 -v ")) << assembled->cubin;
  EXPECT_TRUE(assembled->cubin.ends_with(".cubinthe ptx\n")) << assembled->cubin;
  EXPECT_EQ(assembled->registers, 76);
  EXPECT_EQ(assembled->ptxas, "13.0.88");
  EXPECT_TRUE(assembled->warnings.empty());
}

TEST_F(PtxasTest, WhatCostsSpeedIsAWarning) {
  Result<AssembledKernel> spilled = assemble(kWriteCubin + kUsed + R"(cat <<'END'
    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas warning : Value of threads per SM is out of range. .minnctapersm will be ignored
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to non wgmma instructions
END)");
  ASSERT_TRUE(spilled);
  EXPECT_EQ(spilled->warnings,
            (std::vector<std::string>{
                "Value of threads per SM is out of range. .minnctapersm will be ignored",
                "(C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized "
                "due to non wgmma instructions",
                "spills 12 bytes to memory and loads 20 back, at 76 registers"}));
  Result<AssembledKernel> stacked =
      assemble(kWriteCubin + kUsed +
               "echo '    64 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads'");
  ASSERT_TRUE(stacked);
  EXPECT_EQ(stacked->warnings, (std::vector<std::string>{"keeps 64 bytes of a thread in memory"}));
}

TEST_F(PtxasTest, TheFirstMistakeIsTheErrorWithItsLine) {
  EXPECT_EQ(
      errorOf(R"(
echo "ptxas info    : 0 bytes gmem"
echo "ptxas $4, line 401; error   : Unknown modifier '.bogus'"
echo "ptxas $4, line 402; error   : Another"
echo "ptxas fatal   : Ptx assembly aborted due to errors"
exit 255)"),
      "sm_90a/a_kernel.ptx:401:1: error: kernel a_kernel does not assemble for sm_90a: Unknown "
      "modifier '.bogus' [ptxas]\n"
      "note: --emit=ptx prints the kernel; without --cubin packages hold PTX alone, which "
      "the driver compiles");
  EXPECT_NE(errorOf("echo \"ptxas fatal   : Value 'sm_90a' is not defined for option 'gpu-name'\"; "
                    "exit 1")
                .find("sm_90a/a_kernel.ptx: error: kernel a_kernel does not assemble for sm_90a: "
                      "Value 'sm_90a' is not defined for option 'gpu-name' [ptxas]\n"),
            std::string::npos);
  EXPECT_NE(errorOf("exit 3").find("for sm_90a: exit code 3 [ptxas]"), std::string::npos);
  EXPECT_NE(errorOf("kill -SEGV $$").find("for sm_90a: exit code 139 [ptxas]"), std::string::npos);
}

TEST_F(PtxasTest, SuccessWithoutAResultIsAnError) {
  EXPECT_EQ(errorOf(kUsed), "sm_90a/a_kernel.ptx: error: kernel a_kernel is not assembled: "
                            "FOLDER/ptxas has written no ELF file [ptxas]");
  EXPECT_EQ(errorOf(kWriteCubin), "sm_90a/a_kernel.ptx: error: kernel a_kernel is not assembled: "
                                  "ptxas -v says nothing of registers [ptxas]");
}

TEST_F(PtxasTest, TimeIsBounded) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string late = "sm_90a/a_kernel.ptx: error: kernel a_kernel is not assembled: "
                           "FOLDER/ptxas did not end within 1 s [ptxas]";
  EXPECT_EQ(errorOf("exec sleep 100", seconds(1)), late);
  // One that has closed its output.
  EXPECT_EQ(errorOf("exec sleep 100 > /dev/null 2>&1", seconds(1)), late);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(50));
}

TEST_F(PtxasTest, OutputIsBoundedAndThereIsNoInput) {
  Result<ChildResult> great =
      runChild({script("yes | head -c 3000000; cat; exit 7"), "x"}, seconds(60));
  ASSERT_TRUE(great) << great.error().diagnostic.text();
  EXPECT_EQ(great->output.size(), size_t(1) << 20);
  EXPECT_EQ(great->exitCode, 7);
  Result<ChildResult> missing = runChild({folder / "none"}, seconds(60));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().diagnostic.message,
            (folder / "none").string() + " cannot be started: No such file or directory");
}

TEST_F(PtxasTest, TheFirstPlaceThatIsAProgramIsTaken) {
  const std::string program = script("");
  std::ofstream(folder / "text") << "not a program";
  fs::create_directory(folder / "folder");
  Result<Ptxas> found =
      Ptxas::find({folder / "none", folder / "text", folder / "folder", program, "/bin/true"});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path(), program);
  Result<Ptxas> none = Ptxas::find({folder / "none", folder / "text"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().status, Status::InvalidArgument);
  EXPECT_EQ(none.error().diagnostic.text(),
            "error: there is no ptxas: it is neither in PATH nor in the bin folder of CUDA_HOME, "
            "of CUDA_PATH or of /usr/local/cuda [ptxas]\n"
            "note: ptxas comes with the CUDA Toolkit, ATTNCC_PTXAS may name one; without --cubin "
            "packages hold PTX alone, which the driver compiles");
  Result<Ptxas> other = Ptxas::find({"/bin/true"});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().diagnostic.text(),
            "error: /bin/true --version does not name a version of ptxas [ptxas]");
}

TEST(PtxasPlaces, FollowTheEnvironment) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/a:/b/c", 1);
  setenv("CUDA_HOME", "/home/cuda", 1);
  setenv("CUDA_PATH", "/opt/cuda", 1);
  const char *own = std::getenv("ATTNCC_PTXAS");
  const std::string before = own ? own : "";
  unsetenv("ATTNCC_PTXAS");
  EXPECT_EQ(ptxasPlaces(),
            (std::vector<std::string>{"/a/ptxas", "/b/c/ptxas", "/home/cuda/bin/ptxas",
                                      "/opt/cuda/bin/ptxas", "/usr/local/cuda/bin/ptxas"}));
  setenv("ATTNCC_PTXAS", "/x/ptxas", 1);
  EXPECT_EQ(ptxasPlaces(), std::vector<std::string>{"/x/ptxas"});
  before.empty() ? unsetenv("ATTNCC_PTXAS") : setenv("ATTNCC_PTXAS", before.c_str(), 1);
  unsetenv("CUDA_HOME");
  unsetenv("CUDA_PATH");
  setenv("PATH", path.c_str(), 1);
}

TEST(PtxasReport, IsReadAsPtxasWritesIt) {
  Result<PtxasReport> report = parsePtxasReport(R"(ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'attncc_decode' for 'sm_90a'
ptxas info    : Function properties for attncc_decode
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 192 registers, used 1 barriers
ptxas info    : Compile time = 174.391 ms
)");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->registers, 192);
  EXPECT_EQ(report->stackBytes + report->spillStoreBytes + report->spillLoadBytes, 0);
  EXPECT_TRUE(report->advice.empty());
  // As older ones do.
  EXPECT_EQ(parsePtxasReport("ptxas info    : Used 40 registers, 564 bytes cmem[0]")->registers,
            40);
  EXPECT_FALSE(parsePtxasReport(""));
  EXPECT_FALSE(parsePtxasReport("ptxas info    : Used registers"));
}

} // namespace
