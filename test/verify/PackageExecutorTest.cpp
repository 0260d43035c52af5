//===- PackageExecutorTest.cpp - verify on the simulator, end to end ---------===//
//
// The package is the runtime tests' sample: its append is right (nothing is rotated,
// everything is copied), its decode and merge compute something else. So append must
// pass with all of its properties, and the others must be refused.
//
//===----------------------------------------------------------------------===//

#include "runtime/package/Package.h"
#include "runtime/support/Sha256.h"
#include "runtime/verify/Verify.h"
#include "test/runtime/SamplePackage.h"

#include <gtest/gtest.h>

namespace attncc::verify {
namespace {

class OnTheSimulator : public testing::Test {
protected:
  Result<VerifyReport> verify(Role role) {
    test::writePackage(sample, folder.path);
    VerifyOptions options;
    options.role = role;
    options.cases = 60;
    return runVerify(folder.path, "sim", options);
  }
  /// Replaces a piece of a kernel's text.
  void patch(const std::string &role, const std::string &from, const std::string &to) {
    for (package::KernelEntry &kernel : sample.manifest.kernels) {
      if (kernel.role != role)
        continue;
      std::string &text = sample.files.at(kernel.file);
      size_t place = text.find(from);
      ASSERT_NE(place, std::string::npos) << from;
      text.replace(place, from.size(), to);
      kernel.bytes = int64_t(text.size());
      kernel.sha256 = sha256Hex(text);
    }
  }
  test::Sample sample = test::samplePackage();
  test::TemporaryFolder folder;
};

TEST_F(OnTheSimulator, appendOfTheSampleIsRight) {
  Result<VerifyReport> report = verify(Role::Append);
  ASSERT_TRUE(report) << report.error().diagnostic.text();
  EXPECT_TRUE(report->passed()) << report->text();
  EXPECT_EQ(report->device, "sim");
  ASSERT_EQ(report->targets.size(), 1u);
  EXPECT_EQ(report->targets[0].name, "sm_80");
  EXPECT_EQ(report->packageId.size(), 64u);
  EXPECT_GE(report->cases.size(), 10u);
  for (const CaseResult &result : report->cases) {
    EXPECT_EQ(result.ratio, 0) << result.verifyCase.id; // a copy has no error
    EXPECT_GT(result.traffic(), 0) << result.verifyCase.id;
  }
}

TEST_F(OnTheSimulator, decodeOfTheSampleIsNot) {
  Result<VerifyReport> report = verify(Role::Decode);
  ASSERT_TRUE(report) << report.error().diagnostic.text();
  EXPECT_FALSE(report->passed());
  // It returns V of the last token, which is right where there is only one.
  for (const CaseResult &result : report->cases)
    if (result.verifyCase.sequences == std::vector<SequenceShape>{{1, 1}} &&
        !result.verifyCase.logSumExp)
      EXPECT_TRUE(result.passed) << result.failure;
}

// Every store goes 4 GiB beyond its row: the simulator's finding is the case's failure.
TEST_F(OnTheSimulator, findingsOfTheSimulatorFailACase) {
  patch("append", "st.global.b16 [%d7], %h0;", "st.global.b16 [%d7+2147483632], %h0;");
  Result<VerifyReport> report = verify(Role::Append);
  ASSERT_TRUE(report) << report.error().diagnostic.text();
  EXPECT_FALSE(report->passed());
  ASSERT_FALSE(report->cases.front().findings.empty());
  EXPECT_NE(report->cases.front().failure.find("out of bounds"), std::string::npos)
      << report->cases.front().failure;
}

// In memory of the device's own, as on a GPU: the same cases, all bounds as they were.
TEST_F(OnTheSimulator, casesCanBeCopiedToTheDevice) {
  test::writePackage(sample, folder.path);
  ExecutorOptions executorOptions;
  executorOptions.ownMemory = true;
  Result<std::unique_ptr<PackageExecutor>> first =
      PackageExecutor::open("sim", folder.path, executorOptions);
  ASSERT_TRUE(first);
  Result<std::vector<ClassShape>> shapes = classShapes((*first)->package().manifest(), "sm_80");
  ASSERT_TRUE(shapes);
  VerifyOptions options;
  options.role = Role::Append;
  options.cases = 60;
  Result<VerifyReport> report =
      runVerify(*shapes, options, [&]() -> Result<std::unique_ptr<Executor>> {
        return std::unique_ptr<Executor>(std::move(*(*first)->another()));
      });
  ASSERT_TRUE(report) << report.error().diagnostic.text();
  EXPECT_TRUE(report->passed()) << report->text();
}

TEST_F(OnTheSimulator, whatCannotBeOpenedIsAnError) {
  test::writePackage(sample, folder.path);
  EXPECT_EQ(runVerify(folder.path + "/nothing", "sim").error().status, Status::InvalidPackage);
  EXPECT_FALSE(runVerify(folder.path, "tpu:0"));
  VerifyOptions options;
  options.target = "sm_999";
  EXPECT_FALSE(runVerify(folder.path, "sim", options));
}

} // namespace
} // namespace attncc::verify
