// Prefill as bench times it, on the simulator with a stopwatch of the test's.
#include "runtime/bench/Bench.h"
#include "test/bench/SimulatedMachine.h"
#include "test/runtime/SamplePackage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace attncc;
using namespace attncc::bench;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {
class PrefillTest : public testing::Test {
protected:
  PrefillTest() {
    test::addPrefill(sample);
    options.readBytes = 1 << 16;
    options.run.samples = 5;
  }
  /// With this piece of prefill replaced.
  void changePrefill(const std::string &from, const std::string &to) {
    std::string &text = sample.files["sm_80/prefill.ptx"];
    text.replace(text.find(from), from.size(), to);
    test::refreshHashes(sample);
  }
  BenchReport run() {
    test::writePackage(sample, folder.path);
    Result<std::shared_ptr<const package::Package>> opened =
        package::Package::open(simulated.machine.device, folder.path);
    EXPECT_TRUE(opened) << opened.error().diagnostic.text();
    Result<BenchReport> report = benchPackage("sim", simulated.machine, *opened, options);
    EXPECT_TRUE(report) << report.error().diagnostic.text();
    return report ? *report : BenchReport();
  }

  test::TemporaryFolder folder;
  test::Sample sample = test::samplePackage();
  test::SimulatedMachine simulated;
  BenchOptions options;
};

// 20 query tokens of 4 heads of 16 bf16, 2,560 bytes, and 6 pages of 512 bytes: 3 sets are four
// times the 4,096 bytes of L2.
TEST_F(PrefillTest, IsTimedInTwoStates) {
  options.shapes = {{2, {}, 10}};
  test::ScriptedStopwatch &stopwatch = *simulated.stopwatch;
  // The read kernel's 8 runs; one turn over the sets; three turns, of which 4 make a burst and 67
  // heat.
  stopwatch.times.assign(8, 0.5);
  stopwatch.times.push_back(600);
  stopwatch.times.push_back(1800);
  for (double time : {180, 90, 90, 90, 270, 90, 90, 45})
    stopwatch.times.push_back(time);
  stopwatch.times.insert(stopwatch.times.end(), 67, 9999);
  stopwatch.times.push_back(360);
  stopwatch.times.push_back(180);
  BenchReport report = run();
  ASSERT_EQ(report.rows.size(), 1u);
  const BenchRow &row = report.rows.front();
  EXPECT_EQ(row.skipped + row.failure, "");
  EXPECT_EQ(row.kernel, "sample_prefill");
  EXPECT_EQ(row.maxKvLength, 10);
  EXPECT_GT(row.errorRatio, 0);
  EXPECT_EQ(row.layers, 3);
  EXPECT_TRUE(row.cold);
  // Two products of 16 elements for each head and pair: 2 x (1 + 2 + ... + 10) pairs.
  EXPECT_DOUBLE_EQ(row.flops, 4 * 16 * 4 * 110);
  // Each burst after a rest, and as many bursts as make 5 samples.
  EXPECT_THAT(stopwatch.rests, ElementsAre(120e3, 120e3));
  EXPECT_THAT(stopwatch.inRow, ElementsAre(4, 4, 67 + 67));
  EXPECT_EQ(row.burst.samples, 8);
  EXPECT_EQ(row.burst.attends, 9);
  EXPECT_DOUBLE_EQ(row.burst.median, 10);
  EXPECT_EQ(row.timing.samples, 67);
  EXPECT_DOUBLE_EQ(row.timing.median, 20);
  EXPECT_DOUBLE_EQ(row.teraflopsPerSecond(row.timing), 28160 / 20.0 / 1e6);
}

TEST_F(PrefillTest, ManySamplesAreTakenAfterShortHeat) {
  options.shapes = {{1, {}, 9}};
  options.run.samples = 7;
  options.run.restMicroseconds = 3;
  options.run.burstMicroseconds = options.run.heatMicroseconds = 1;
  BenchReport report = run();
  EXPECT_EQ(report.rows.front().timing.samples, 7);
  EXPECT_EQ(simulated.stopwatch->rests.size(), 7u);
  EXPECT_THAT(simulated.stopwatch->rests, Each(3));
}

// Chunks over what is cached, ragged, on a rank with one of the heads, at the shape and at a bound.
TEST_F(PrefillTest, ShapesAreCheckedAtEveryLength) {
  options.shapes = {{1, 30, 12}, {3, {}, {9, 21}}, {2, {24, 40}, {9, 20}}, {2, 12, 12, 1}};
  options.bound = true;
  options.boundTokens = 64;
  BenchReport report = run();
  ASSERT_EQ(report.rows.size(), 8u);
  for (const BenchRow &row : report.rows)
    EXPECT_TRUE(row.timed() && row.errorRatio > 0) << report.text();
  // 12 query tokens see 19 to 30 keys.
  EXPECT_DOUBLE_EQ(report.rows[0].flops, 4 * 16 * 4 * (12 * (19 + 30) / 2));
  EXPECT_EQ(report.rows[1].maxKvLength, 64);
  EXPECT_THAT(report.text(), HasSubstr("prefill 1 x 12 of 30"));
}

TEST_F(PrefillTest, BidirectionalRowsSeeEveryKey) {
  sample.manifest.layerClasses[0].mask = "none";
  changePrefill("add.s32 %r16, %r16, %r13;", "sub.s32 %r16, %r7, 1;");
  options.shapes = {{2, 15, 10}};
  BenchReport report = run();
  EXPECT_TRUE(report.rows.front().timed()) << report.text();
  EXPECT_DOUBLE_EQ(report.rows.front().flops, 4 * 16 * 4 * (2 * 10 * 15));
}

TEST_F(PrefillTest, AWrongMaskIsNotTimed) {
  // One key too many, of a page that is there anyway.
  changePrefill("add.s32 %r16, %r16, %r13;", "add.s32 %r16, %r16, %r13;\n\tadd.s32 %r16, %r16, 1;");
  options.shapes = {{2, {}, 10}};
  BenchReport report = run();
  EXPECT_THAT(report.rows.front().failure, HasSubstr("the oracle says"));
  EXPECT_FALSE(report.passed());
  EXPECT_TRUE(simulated.stopwatch->rests.empty());
}

TEST_F(PrefillTest, RowsThatNobodyWritesAreSeen) {
  changePrefill("st.global.b16 [%d9+30], %h0;", "");
  options.shapes = {{2, {}, 10}};
  EXPECT_EQ(run().rows.front().failure, "output of token 0, head 0 is not a finite number");
}

TEST_F(PrefillTest, APackageMayHaveNone) {
  sample = test::samplePackage();
  options.shapes = {{1, {}, 9}};
  EXPECT_EQ(run().rows.front().skipped, "the package has no prefill kernel");
}

TEST_F(PrefillTest, StepsThatAreTooLargeAreSkipped) {
  options.shapes = {{1, {}, 70000}, {65535, {}, 65535}};
  BenchReport report = run();
  EXPECT_EQ(report.rows[0].skipped, "max_query_length is 70000: must be from 1 to 65535");
  EXPECT_EQ(report.rows[1].skipped, "it has 4294836225 query tokens, a step has up to 2147483647");
}

TEST_F(PrefillTest, HostTimesAreOfDecode) {
  options.host = true;
  options.shapes = {{1, {}, 9}, {3, 1}};
  BenchReport report = run();
  ASSERT_EQ(report.hosts.size(), 1u) << report.text();
  EXPECT_EQ(report.hosts.front().shape, (Shape{3, 1}));
}
} // namespace
