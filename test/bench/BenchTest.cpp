// The whole of bench on the simulator, with a stopwatch of the test's. The sample package's decode
// copies V of a sequence's last token: right for one token, wrong for more.
#include "runtime/bench/Bench.h"
#include "runtime/support/Sha256.h"
#include "test/bench/SimulatedMachine.h"
#include "test/runtime/SamplePackage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace attncc;
using namespace attncc::bench;
using testing::HasSubstr;

namespace {
class BenchTest : public testing::Test {
protected:
  void SetUp() override {
    test::writePackage(test::samplePackage(), folder.path);
    options.readBytes = 1 << 16;
    options.run.samples = 5;
  }
  std::shared_ptr<const package::Package> package() {
    Result<std::shared_ptr<const package::Package>> opened =
        package::Package::open(simulated.machine.device, folder.path);
    EXPECT_TRUE(opened) << opened.error().diagnostic.text();
    return *opened;
  }
  /// The package with this piece of its decode replaced.
  void changeDecode(const std::string &from, const std::string &to) {
    test::Sample sample = test::samplePackage();
    std::string &text = sample.files["sm_80/decode.ptx"];
    text.replace(text.find(from), from.size(), to);
    for (package::KernelEntry &kernel : sample.manifest.kernels)
      if (kernel.role == "decode") {
        kernel.bytes = int64_t(text.size());
        kernel.sha256 = sha256Hex(text);
      }
    test::writePackage(sample, folder.path);
  }
  BenchReport run() {
    Result<BenchReport> report = benchPackage("sim", simulated.machine, package(), options);
    EXPECT_TRUE(report) << report.error().diagnostic.text();
    return report ? *report : BenchReport();
  }

  test::TemporaryFolder folder;
  test::SimulatedMachine simulated;
  BenchOptions options;
};

/// The simulator with as much memory as the test says.
class SmallDevice final : public device::Device {
public:
  explicit SmallDevice(std::shared_ptr<device::Device> inner) : inner(std::move(inner)) {}
  size_t largest = SIZE_MAX; ///< allocation

  const device::DeviceInfo &info() const override { return inner->info(); }
  Result<void *> allocate(size_t bytes, std::string_view label) override {
    if (bytes > largest)
      return makeError(Status::OutOfMemory, "cannot allocate " + std::to_string(bytes) + " bytes");
    return inner->allocate(bytes, label);
  }
  Result<void> registerMemory(void *memory, size_t bytes, std::string_view label) override {
    return inner->registerMemory(memory, bytes, label);
  }
  Result<void> free(void *memory) override { return inner->free(memory); }
  Result<void> copy(void *to, const void *from, size_t bytes, device::Stream stream) override {
    return inner->copy(to, from, bytes, stream);
  }
  Result<void> clear(void *memory, size_t bytes, device::Stream stream) override {
    return inner->clear(memory, bytes, stream);
  }
  Result<void> synchronize(device::Stream stream) override { return inner->synchronize(stream); }
  Result<std::unique_ptr<device::Kernel>> loadKernel(const device::KernelSource &source) override {
    return inner->loadKernel(source);
  }
  Result<void> launch(const device::Kernel &kernel, const device::LaunchShape &shape,
                      std::span<const std::byte> params, std::span<const device::Buffer> buffers,
                      device::Stream stream) override {
    return inner->launch(kernel, shape, params, buffers, stream);
  }

private:
  std::shared_ptr<device::Device> inner;
};
} // namespace

// 3 sequences of one token, 2 kv heads, 4 heads of 16 bf16: 384 bytes of K and V, 768 of queries
// and outputs. Ten times 4,096 bytes of L2 take 36 layers.
TEST_F(BenchTest, WhatIsRightIsTimed) {
  options.shapes = {{3, {1, 1}}};
  // The read kernel's 8 runs; one turn over the layers; 20 to warm up; the samples.
  simulated.stopwatch->times.assign(8, 0.5);
  simulated.stopwatch->times.push_back(400);
  simulated.stopwatch->times.insert(simulated.stopwatch->times.end(), 20, 9999);
  for (double time : {1.0, 3.0, 2.0, 9.0, 1.5})
    simulated.stopwatch->times.push_back(144 * time);
  BenchReport report = run();
  ASSERT_EQ(report.rows.size(), 1u);
  const BenchRow &row = report.rows.front();
  EXPECT_EQ(row.skipped + row.failure, "");
  EXPECT_TRUE(report.passed());
  EXPECT_EQ(row.bytes, 384 + 768);
  EXPECT_EQ(row.layers, 36);
  EXPECT_TRUE(row.cold);
  EXPECT_EQ(row.kernel, "sample_decode");
  EXPECT_EQ(row.maxKvLength, 1);
  EXPECT_EQ(row.timing.attends, 144); // four turns: 1,500 us
  EXPECT_EQ(row.timing.samples, 5);
  EXPECT_DOUBLE_EQ(row.timing.median, 2);
  EXPECT_DOUBLE_EQ(row.timing.deviation, 1);
  EXPECT_DOUBLE_EQ(row.gigabytesPerSecond(), 1152 / 2.0 / 1e3);
  EXPECT_DOUBLE_EQ(report.read.best, 65536 / 0.5 / 1e3);
}

TEST_F(BenchTest, BothFormsOfGraphsStandSideBySide) {
  options.shapes = {{2, {1, 1}}};
  options.bound = true;
  options.boundTokens = 40; // 3 splits of 16 tokens, so that merge follows
  BenchReport report = run();
  ASSERT_EQ(report.rows.size(), 2u);
  EXPECT_FALSE(report.rows[0].atBound);
  EXPECT_EQ(report.rows[0].maxKvLength, 1);
  EXPECT_TRUE(report.rows[1].atBound);
  EXPECT_EQ(report.rows[1].maxKvLength, 40);
  EXPECT_TRUE(report.rows[0].timed() && report.rows[1].timed()) << report.text();
}

TEST_F(BenchTest, LargeShapesNeedFewLayers) {
  options.shapes = {{300, {1, 1}}}; // 115,200 bytes, 28 times the L2
  BenchReport report = run();
  EXPECT_EQ(report.rows.front().layers, 1);
  EXPECT_TRUE(report.rows.front().cold);
}

TEST_F(BenchTest, WrongResultsAreNotTimed) {
  options.shapes = {{2, {8, 8}}};
  BenchReport report = run();
  ASSERT_EQ(report.rows.size(), 1u);
  EXPECT_THAT(report.rows.front().failure, HasSubstr("the oracle says"));
  EXPECT_FALSE(report.rows.front().timed());
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(report.rows.front().timing.samples, 0);
  EXPECT_THAT(report.text(), HasSubstr("decode 2 x 8  graph exact  wrong    element "));
}

TEST_F(BenchTest, TheErrorWordIsSeen) {
  changeDecode("setp.gt.s32 %p1, %r7, %max_kv_length;", "setp.ge.s32 %p1, %r7, 0;");
  options.shapes = {{2, {1, 1}}};
  EXPECT_THAT(run().rows.front().failure, HasSubstr("bound"));
}

TEST_F(BenchTest, RowsThatNobodyWritesAreSeen) {
  changeDecode("st.global.b16 [%d9], %h0;", "");
  options.shapes = {{2, {1, 1}}};
  EXPECT_EQ(run().rows.front().failure, "output of token 0, head 0 is not a finite number");
}

TEST_F(BenchTest, WhatCannotRunIsSkippedWithTheReason) {
  test::Sample sample = test::samplePackage();
  sample.manifest.layerClasses[0].maxQueryTokensDecode = 4;
  test::writePackage(sample, folder.path);
  options.shapes = {{1, {16, 16}, 5}, {1, {1, 1}, 1, 3}, {65535, {INT32_MAX, INT32_MAX}}};
  BenchReport report = run();
  ASSERT_EQ(report.rows.size(), 3u);
  EXPECT_EQ(report.rows[0].skipped, "decode takes up to 4 query tokens a sequence");
  EXPECT_EQ(report.rows[1].skipped, "the package has 2 kv heads");
  EXPECT_THAT(report.rows[2].skipped, HasSubstr("num_pages is "));
  EXPECT_TRUE(report.passed());
  options.shapes = {{1, {9, 9}}};
  options.exact = false;
  options.bound = true;
  options.boundTokens = 8;
  EXPECT_EQ(run().rows.front().skipped, "it has 9 tokens, the bound is 8");
}

TEST_F(BenchTest, MemoryThatIsShortGivesFewerLayersOrNone) {
  auto small = std::make_shared<SmallDevice>(simulated.machine.device);
  simulated.machine.device = small;
  options.shapes = {{3, {1, 1}}, {300, {1, 1}}};
  options.readBytes = 1 << 15;
  small->largest = 1 << 15; // 36 layers of 3 pages of 512 bytes take 55,296
  BenchReport report = run();
  EXPECT_EQ(report.rows[0].layers, 18);
  EXPECT_FALSE(report.rows[0].cold);
  EXPECT_TRUE(report.rows[0].timed());
  EXPECT_THAT(report.text(), HasSubstr(", L2 not cold"));
  EXPECT_EQ(report.rows[1].skipped, "cannot allocate 153600 bytes");
}

TEST_F(BenchTest, ReadsLessWhereMemoryIsShort) {
  auto small = std::make_shared<SmallDevice>(simulated.machine.device);
  simulated.machine.device = small;
  small->largest = 100 << 20;
  struct Idle final : Stopwatch {
    struct None final : Recording {
      Result<double> run() override { return 1; }
      Result<std::vector<double>> runs(int64_t count) override {
        return std::vector<double>(size_t(count), 1);
      }
    };
    device::Stream stream() const override { return nullptr; }
    Result<std::unique_ptr<Recording>> record(const Work &) override {
      return std::unique_ptr<Recording>(std::make_unique<None>());
    }
    void rest(double) override {}
  };
  simulated.machine.stopwatch = std::make_shared<Idle>();
  options.readBytes = 256 << 20;
  Result<BenchReport> report = benchRead("sim", simulated.machine, options);
  ASSERT_TRUE(report) << report.error().diagnostic.text();
  EXPECT_EQ(report->read.bytes, 64 << 20);
  small->largest = 10 << 20;
  EXPECT_EQ(benchRead("sim", simulated.machine, options).error().diagnostic.message,
            "cannot allocate 67108864 bytes");
}

TEST_F(BenchTest, HostTimesAreOfTheFirstShapeThatRan) {
  options.host = true;
  options.shapes = {{2, {8, 8}}, {3, {1, 1}}, {2, {1, 1}}};
  BenchReport report = run();
  ASSERT_EQ(report.hosts.size(), 1u);
  const BenchReport::Host &host = report.hosts.front();
  EXPECT_EQ(host.shape, (Shape{3, {1, 1}}));
  EXPECT_EQ(host.maxKvLength, 1);
  EXPECT_GT(host.times.append, 0);
  EXPECT_GT(host.times.attend, 0);
  EXPECT_GT(host.times.step, host.times.attend);
}

TEST_F(BenchTest, ClassesMustBeKnown) {
  options.layerClass = "sliding";
  Result<BenchReport> report = benchPackage("sim", simulated.machine, package(), options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().diagnostic.message,
            "there is no layer class \"sliding\", the package has full");
}

TEST(BenchMachine, SimulatorsDoNotTellTime) {
  Result<Machine> machine = openMachine("sim:sm_80");
  ASSERT_FALSE(machine);
  EXPECT_EQ(machine.error().status, Status::Unsupported);
  EXPECT_EQ(machine.error().diagnostic.text(),
            "error: a simulator does not tell time\n"
            "note: --device=cuda:0 is the first GPU; attncc verify runs a package on a simulator");
}
