//===- VerifyTest.cpp - verify accepts what is right and finds what is wrong ---===//
//
// The kernels are played by HostExecutor. Every seeded mistake must be found by the
// grid or by a property; the report must say so in both of its forms.
//
//===----------------------------------------------------------------------===//

#include "runtime/verify/Verify.h"
#include "runtime/support/Json.h"
#include "test/verify/HostExecutor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace attncc::verify {

namespace {

Result<VerifyReport> verify(const ClassShape &shape, Mistake mistake, VerifyOptions options = {}) {
  return runVerify({shape}, options, [=]() -> Result<std::unique_ptr<Executor>> {
    return std::unique_ptr<Executor>(std::make_unique<HostExecutor>(mistake));
  });
}

TEST(Verify, acceptsARightExecutorInBothTypes) {
  for (NumberType type : {NumberType::BF16, NumberType::F16}) {
    Result<VerifyReport> report = verify(makeShape(type), Mistake::None);
    ASSERT_TRUE(report) << report.error().diagnostic.message;
    EXPECT_TRUE(report->passed()) << report->text();
    EXPECT_EQ(report->cases.size(), 300u);
    EXPECT_EQ(int64_t(report->properties.size()),
              std::count_if(allProperties().begin(), allProperties().end(),
                            // A class without a prefill kernel has nothing to hold there.
                            [](const Property &p) { return p.role != Role::Prefill; }));
    EXPECT_FALSE(report->stopped);
    std::vector<RoleSummary> roles = report->roles();
    ASSERT_EQ(roles.size(), std::size(kRoles) - 1);
    for (const RoleSummary &role : roles) {
      EXPECT_EQ(role.passed, role.cases);
      EXPECT_GT(role.medianRatio, 0.3) << name(role.role);
      EXPECT_LE(role.largestRatio, 2) << name(role.role);
      EXPECT_EQ(role.findings, 0);
    }
    EXPECT_EQ(roles[1].traffic, 1);
  }
}

class SeededMistakes : public testing::TestWithParam<Mistake> {};

TEST_P(SeededMistakes, areFound) {
  VerifyOptions options;
  options.cases = 200;
  Result<VerifyReport> report = verify(makeShape(NumberType::BF16), GetParam(), options);
  ASSERT_TRUE(report) << report.error().diagnostic.message;
  EXPECT_FALSE(report->passed()) << report->text();
}

INSTANTIATE_TEST_SUITE_P(
    All, SeededMistakes,
    testing::Values(Mistake::LengthOffByOne, Mistake::ForgetsLastKey, Mistake::NoCausalMask,
                    Mistake::WrongPage, Mistake::SwappedKvHeads, Mistake::MissingScale,
                    Mistake::IgnoresTable, Mistake::StridesOfTheOtherOrder,
                    Mistake::EqualMergeWeights, Mistake::LogSumExpInBaseTwo, Mistake::EmptyRowIsNaN,
                    Mistake::WritesBehindTheRows, Mistake::TouchesThePool, Mistake::IgnoresSlots,
                    Mistake::IgnoresPositions, Mistake::SkipsNorm, Mistake::InterleavedRope,
                    Mistake::RotatesTwice, Mistake::IgnoresAngles, Mistake::NoPositionCheck,
                    Mistake::ReadsEmptyParts, Mistake::OffByTwoPercent, Mistake::DependsOnTheBatch,
                    Mistake::DependsOnTheRun, Mistake::TruncatesAddresses, Mistake::NoPageCheck,
                    Mistake::NoLengthCheck, Mistake::LeaksNaN, Mistake::MovesTooMuch,
                    Mistake::BankConflicts, Mistake::Finding, Mistake::AttendsBeforeItAppends,
                    Mistake::GraphDiffers));

// What only a property can see is seen by that property.
TEST(Verify, propertiesNameWhatTheyFind) {
  auto failed = [](Mistake mistake) {
    VerifyOptions options;
    options.cases = 1;
    Result<VerifyReport> report = verify(makeShape(NumberType::BF16), mistake, options);
    std::string names;
    for (const PropertyResult &property : report->properties)
      if (!property.passed)
        names += property.name + ": " + property.detail + "\n";
    return names;
  };
  EXPECT_NE(failed(Mistake::DependsOnTheBatch).find("alone, padded and in a batch of 64"),
            std::string::npos);
  EXPECT_NE(failed(Mistake::DependsOnTheRun).find("same bits in 100 runs"), std::string::npos);
  EXPECT_NE(failed(Mistake::AttendsBeforeItAppends).find("back to back give other bits"),
            std::string::npos);
  EXPECT_NE(failed(Mistake::GraphDiffers).find("a captured graph gives other bits"),
            std::string::npos);
  EXPECT_NE(failed(Mistake::TruncatesAddresses).find("pool beyond 2^31"), std::string::npos);
  EXPECT_NE(failed(Mistake::NoPageCheck).find("page number out of range"), std::string::npos);
  EXPECT_NE(failed(Mistake::NoLengthCheck).find("length beyond its bound"), std::string::npos);
  EXPECT_NE(failed(Mistake::NoPositionCheck).find("position outside of the table"),
            std::string::npos);
  EXPECT_NE(failed(Mistake::LeaksNaN).find("NaN stays in its sequence"), std::string::npos);
  EXPECT_NE(failed(Mistake::MovesTooMuch).find("3.000x"), std::string::npos)
      << failed(Mistake::MovesTooMuch);
  EXPECT_NE(failed(Mistake::BankConflicts).find("1 bank conflicts, expected 0"), std::string::npos);
  EXPECT_EQ(failed(Mistake::None), "");
}

// With little context, everything but K and V weighs too much for a limit.
TEST(Verify, limitsTrafficOfLongContextsOnly) {
  VerifyOptions options;
  options.cases = 1;
  ClassShape shape = makeShape(NumberType::BF16);
  EXPECT_FALSE(verify(shape, Mistake::MovesTooMuch, options)->passed());
  shape.maxPosition = 1000;
  EXPECT_TRUE(verify(shape, Mistake::MovesTooMuch, options)->passed());
  shape.maxPosition = 1024;
  options.trafficLimit = 3.5;
  EXPECT_TRUE(verify(shape, Mistake::MovesTooMuch, options)->passed());
}

TEST(Verify, doesNotDependOnTheNumberOfThreads) {
  VerifyOptions one, three;
  one.cases = three.cases = 60;
  one.jobs = 1;
  three.jobs = 3;
  ClassShape shape = makeShape(NumberType::F16);
  EXPECT_EQ(verify(shape, Mistake::None, one)->json().text(),
            verify(shape, Mistake::None, three)->json().text());
}

TEST(Verify, reproducesAFailedCaseFromItsReport) {
  VerifyOptions options;
  options.properties = false;
  options.role = Role::Merge;
  ClassShape shape = makeShape(NumberType::BF16);
  Result<VerifyReport> report = verify(shape, Mistake::EqualMergeWeights, options);
  ASSERT_TRUE(report);
  auto failed = std::find_if(report->cases.begin(), report->cases.end(),
                             [](const CaseResult &c) { return !c.passed; });
  ASSERT_NE(failed, report->cases.end());
  for (const CaseResult &result : report->cases)
    EXPECT_EQ(result.verifyCase.role, Role::Merge);

  Result<VerifyCase> repro = parseCase(toJson(failed->verifyCase).text(), "case.json");
  ASSERT_TRUE(repro);
  options.only = *repro;
  Result<VerifyReport> again = verify(shape, Mistake::EqualMergeWeights, options);
  ASSERT_TRUE(again);
  ASSERT_EQ(again->cases.size(), 1u);
  EXPECT_FALSE(again->passed());
  EXPECT_EQ(again->cases[0].failure, failed->failure);
  EXPECT_TRUE(verify(shape, Mistake::None, options)->passed());
}

TEST(Verify, stopsAtTheFirstFailureWhenAsked) {
  VerifyOptions options;
  options.failFast = true;
  options.jobs = 1;
  Result<VerifyReport> report = verify(makeShape(NumberType::BF16), Mistake::MissingScale, options);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->stopped);
  EXPECT_FALSE(report->passed());
  EXPECT_NE(report->text().find("stopped at the first failure"), std::string::npos);
}

TEST(Verify, runsAsManyCasesAsAskedAndReportsProgress) {
  VerifyOptions options;
  options.cases = 7;
  options.properties = false;
  int64_t calls = 0, total = 0;
  options.progress = [&](int64_t done, int64_t of) {
    EXPECT_EQ(done, ++calls);
    total = of;
  };
  EXPECT_EQ(verify(makeShape(NumberType::BF16), Mistake::None, options)->cases.size(), 7u);
  EXPECT_EQ(calls, 7);
  EXPECT_EQ(total, 7);
}

TEST(Verify, refusesAnUnknownClassAndACaseThatDoesNotFit) {
  VerifyOptions options;
  options.layerClass = "sliding";
  Result<VerifyReport> report = verify(makeShape(NumberType::BF16), Mistake::None, options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().diagnostic.message, "no layer class is called \"sliding\", known: full");
  VerifyOptions foreign;
  foreign.only = VerifyCase{};
  foreign.only->layerClass = "full";
  foreign.only->sequences = {{1, 1}};
  foreign.only->kvHeads = 5;
  EXPECT_FALSE(verify(makeShape(NumberType::BF16), Mistake::None, foreign));
}

TEST(Verify, passesOnWhatKeepsAnExecutorFromOpening) {
  Result<VerifyReport> report =
      runVerify({makeShape(NumberType::BF16)}, {}, []() -> Result<std::unique_ptr<Executor>> {
        return makeError(Status::DeviceError, "no such device");
      });
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().status, Status::DeviceError);
}

TEST(Report, hasALineForEachRoleAndEachFailure) {
  VerifyReport report;
  report.device = "sim";
  report.targets = {{"sm_80", ""}};
  CaseResult good;
  good.target = "sm_80";
  good.verifyCase.id = "full/decode/0";
  good.passed = true;
  good.ratio = 0.98;
  CaseResult bad = good;
  bad.verifyCase.id = "full/decode/1";
  bad.passed = false;
  bad.ratio = HUGE_VAL;
  bad.failure = "output: element 3 is nan";
  bad.findings = {"x"};
  report.cases = {good, good, bad};
  report.properties = {{"decode traffic", "full", "sm_80", Role::Decode, true, "1.004x", 1.004}};
  EXPECT_EQ(report.text(),
            "decode  sm_80  sim  2/3 within 2x  error ratio p50 0.98 max inf  traffic 1.004x  "
            "findings 1\n"
            "ok      full: decode traffic: 1.004x\n"
            "FAILED  full/decode/1: output: element 3 is nan\n");
  EXPECT_FALSE(report.passed());
}

TEST(Report, isOneJsonObjectWithReprosOfWhatFailed) {
  VerifyOptions options;
  options.cases = 20;
  Result<VerifyReport> report =
      verify(makeShape(NumberType::BF16), Mistake::EmptyRowIsNaN, options);
  ASSERT_TRUE(report);
  Result<json::Document> document = json::Document::parse(report->json().text(), "report.json");
  ASSERT_TRUE(document) << document.error().diagnostic.text();
  const json::Value &root = document->root();
  EXPECT_EQ(root.find("schema")->string(), "attncc.verify/1");
  EXPECT_EQ(root.find("ok")->boolean(), false);
  EXPECT_EQ(root.find("cases")->size(), report->cases.size());
  size_t failed = 0;
  for (size_t i = 0; i < root.find("cases")->size(); ++i) {
    const json::Value &entry = (*root.find("cases"))[i];
    EXPECT_EQ(entry.find("id")->string(), report->cases[i].verifyCase.id);
    ASSERT_TRUE(entry.find("ratio") && entry.find("traffic") && entry.find("findings"));
    EXPECT_EQ(entry.find("repro") != nullptr, !report->cases[i].passed);
    failed += !report->cases[i].passed;
  }
  EXPECT_GT(failed, 0u);
  EXPECT_GE(root.find("diagnostics")->size(), failed);
}

} // namespace
} // namespace attncc::verify
