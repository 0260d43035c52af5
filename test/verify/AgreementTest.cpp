//===- AgreementTest.cpp - one case on two devices --------------------------===//
//
// Both devices are played by HostExecutor, one of them with a mistake.
//
//===----------------------------------------------------------------------===//

#include "test/verify/HostExecutor.h"

#include "runtime/verify/Verify.h"

#include <gtest/gtest.h>

namespace attncc::verify {
namespace {

Result<VerifyReport> compare(Mistake mistake, int64_t cases = 60, bool properties = false) {
  VerifyOptions options;
  options.cases = cases;
  options.properties = properties;
  auto open = [](Mistake of) {
    return [=]() -> Result<std::unique_ptr<Executor>> {
      return std::unique_ptr<Executor>(std::make_unique<HostExecutor>(of));
    };
  };
  Result<VerifyReport> report =
      runVerify({makeShape(NumberType::BF16)}, options, open(Mistake::None), open(mistake));
  if (report) {
    report->device = "cuda:0";
    report->against = "sim";
  }
  return report;
}

Agreement agreementOf(const VerifyReport &report, Role role) {
  for (const RoleSummary &summary : report.roles())
    if (summary.role == role && summary.agreement)
      return *summary.agreement;
  ADD_FAILURE() << "nothing was compared";
  return {};
}

TEST(Agreement, equalDevicesAgree) {
  Result<VerifyReport> report = compare(Mistake::None);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->passed()) << report->text();
  for (Role role : kRoles) {
    if (role == Role::Prefill) // a class without such a kernel
      continue;
    Agreement agreement = agreementOf(*report, role);
    EXPECT_GT(agreement.elements, 1000);
    EXPECT_EQ(agreement.equal, agreement.elements);
    EXPECT_EQ(agreement.furthestUlp, 0);
  }
  EXPECT_NE(report->text().find("cuda:0 against sim"), std::string::npos) << report->text();
}

// The last bit of some elements: counted, and within the bounds.
TEST(Agreement, aBitMayDiffer) {
  Result<VerifyReport> report = compare(Mistake::DependsOnTheBatch, 200);
  ASSERT_TRUE(report);
  Agreement agreement = agreementOf(*report, Role::Decode);
  EXPECT_LT(agreement.equal, agreement.elements);
  EXPECT_GT(agreement.furthestUlp, 0);
  EXPECT_LE(agreement.furthestUlp, 1);
  EXPECT_EQ(agreement.outside, 0);
}

// Two per cent of a bf16 value are more than 2 ulp of it.
TEST(Agreement, moreThanTwoUlpAreExceptions) {
  Result<VerifyReport> report = compare(Mistake::OffByTwoPercent);
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->passed());
  Agreement agreement = agreementOf(*report, Role::Decode);
  EXPECT_GT(agreement.outside, 0);
  ASSERT_FALSE(agreement.exceptions.empty());
  EXPECT_EQ(agreement.exceptions.front().tensor, "output");
  EXPECT_GT(agreement.exceptions.front().ulp, 2);
  EXPECT_NE(report->text().find("ulp of its row's largest"), std::string::npos) << report->text();
}

TEST(Agreement, emptyRowsAreExact) {
  Result<VerifyReport> report = compare(Mistake::EmptyRowIsNaN);
  ASSERT_TRUE(report);
  Agreement agreement = agreementOf(*report, Role::Decode);
  EXPECT_GT(agreement.outside, 0);
  ASSERT_FALSE(agreement.exceptions.empty());
  EXPECT_EQ(agreement.exceptions.front().ulp, 0);
}

TEST(Agreement, logSumExpsAreCompared) {
  Result<VerifyReport> report = compare(Mistake::LogSumExpInBaseTwo);
  ASSERT_TRUE(report);
  Agreement agreement = agreementOf(*report, Role::Decode);
  ASSERT_FALSE(agreement.exceptions.empty());
  EXPECT_EQ(agreement.exceptions.front().tensor, "lse");
}

// Nothing rotates a class without RoPE and norm, so append copies, bit by bit.
TEST(Agreement, copiedPagesAreExact) {
  ClassShape shape = makeShape(NumberType::BF16);
  shape.rope.reset();
  shape.normEpsilon.reset();
  VerifyCase c;
  c.role = Role::Append;
  c.layerClass = "full";
  c.sequences = {{2, 9}};
  std::unique_ptr<CaseData> one = std::move(*CaseData::make(shape, c)),
                            two = std::move(*CaseData::make(shape, c));
  HostExecutor host;
  ASSERT_TRUE(host.run(shape, c, *one));
  ASSERT_TRUE(host.run(shape, c, *two));
  EXPECT_EQ(compareRuns(shape, c, *one, {}, *two, {}).outside, 0);
  const int64_t slot = two->targetOf(0);
  two->k.row(slot / shape.pageSize, slot % shape.pageSize, 0)[0] ^= 1;
  Agreement agreement = compareRuns(shape, c, *one, {}, *two, {});
  EXPECT_EQ(agreement.outside, 1);
  EXPECT_EQ(agreement.exceptions.front().tensor, "key");
}

// So it does without prologue, whatever the class.
TEST(Agreement, pagesWithoutPrologueAreExact) {
  ClassShape shape = makeShape(NumberType::BF16);
  VerifyCase c;
  c.role = Role::Append;
  c.layerClass = "full";
  c.sequences = {{2, 9}};
  for (bool prologue : {false, true}) {
    c.prologue = prologue;
    std::unique_ptr<CaseData> one = std::move(*CaseData::make(shape, c)),
                              two = std::move(*CaseData::make(shape, c));
    HostExecutor host;
    ASSERT_TRUE(host.run(shape, c, *one));
    ASSERT_TRUE(host.run(shape, c, *two));
    *two->output.row(0, 0) ^= 1;
    EXPECT_EQ(compareRuns(shape, c, *one, {}, *two, {}).outside, prologue ? 0 : 1);
  }
}

// A row of one state is that state's; of several, the last bit may differ.
TEST(Agreement, rowsOfOneStateAreExact) {
  ClassShape shape = makeShape(NumberType::BF16);
  VerifyCase c;
  c.role = Role::MergeStates;
  c.layerClass = "full";
  c.sequences = {{40, 40}};
  c.parts = 2;
  std::unique_ptr<CaseData> one = std::move(*CaseData::make(shape, c)),
                            two = std::move(*CaseData::make(shape, c));
  HostExecutor host;
  ASSERT_TRUE(host.run(shape, c, *one));
  ASSERT_TRUE(host.run(shape, c, *two));
  int64_t exact = 0;
  for (int64_t token = 0; token < 40; ++token)
    for (int64_t head = 0; head < two->output.heads; ++head) {
      exact += two->merge.partsWithKeys(token * two->output.heads + head) <= 1;
      two->output.row(token, head)[0] ^= 1;
    }
  EXPECT_GT(exact, 0);
  EXPECT_EQ(compareRuns(shape, c, *one, {}, *two, {}).outside, exact);
}

TEST(Agreement, errorWordsAreCompared) {
  Result<VerifyReport> report = compare(Mistake::NoPageCheck, 1, /*properties=*/true);
  ASSERT_TRUE(report);
  bool found = false;
  for (const PropertyResult &property : report->properties)
    found |= property.name == "same error words on both devices" && !property.passed &&
             property.detail.find("the error word is 2, on the other device 0") == 0;
  EXPECT_TRUE(found) << report->text();
}

TEST(Agreement, findingsOfTheOtherDeviceFailACase) {
  Result<VerifyReport> report = compare(Mistake::Finding, 1);
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->passed());
  EXPECT_NE(report->text().find("on the other device: kernel: line 12"), std::string::npos)
      << report->text();
}

// Single elements far off are exceptions; many that are a little off are too many.
TEST(Agreement, mostElementsMustBeEqual) {
  Agreement agreement;
  agreement.elements = 1000;
  agreement.equal = 990;
  EXPECT_TRUE(agreement.holds());
  agreement.equal = 989;
  EXPECT_FALSE(agreement.holds());
}

} // namespace
} // namespace attncc::verify
