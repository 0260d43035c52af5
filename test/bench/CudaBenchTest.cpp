// bench on the CUDA device, with the driver of the tests: a GPU whose kernels run on the simulator
// and whose events are always a millisecond apart.
#include "runtime/bench/Bench.h"
#include "test/runtime/SamplePackage.h"
#include "test/runtime/cuda/FakeCuda.h"

#include <gtest/gtest.h>

#include <chrono>

using namespace attncc;
using namespace attncc::bench;

namespace {
class CudaBench : public testing::Test {
protected:
  void SetUp() override {
    fake_cuda_reset();
    options.readBytes = 1 << 18;
    options.run.samples = 3;
    options.run.restMicroseconds = 0;
    options.run.burstMicroseconds = options.run.heatMicroseconds = 2000;
    options.shapes = {{2, {1, 1}}};
    test::addPrefill(sample);
  }
  void TearDown() override { EXPECT_EQ(fake_cuda_live(), 0); }

  Result<BenchReport> run() {
    Result<Machine> machine = openMachine("cuda:0");
    if (!machine)
      return machine.error();
    machine->l2Bytes = 1; // one layer: the simulator is slow
    test::TemporaryFolder folder;
    test::writePackage(sample, folder.path);
    Result<std::shared_ptr<const package::Package>> package =
        package::Package::open(machine->device, folder.path);
    if (!package)
      return package.error();
    return benchPackage("cuda:0", *machine, *package, options);
  }

  test::Sample sample = test::samplePackage();
  BenchOptions options;
};

TEST_F(CudaBench, ARecordingIsTimedBehindItself) {
  Result<Machine> machine = openMachine("cuda:0");
  ASSERT_TRUE(machine) << machine.error().diagnostic.text();
  EXPECT_EQ(machine->l2Bytes, 1 << 20);
  Result<Memory> memory = Memory::allocate(machine->device, 256, "memory");
  ASSERT_TRUE(memory);
  int64_t works = 0;
  Result<std::unique_ptr<Recording>> recording =
      machine->stopwatch->record([&](device::Stream stream) {
        ++works;
        return machine->device->clear(memory->as<void>(), 16, stream);
      });
  ASSERT_TRUE(recording) << recording.error().diagnostic.text();
  fake_cuda_reset();
  Result<double> microseconds = (*recording)->run();
  ASSERT_TRUE(microseconds);
  EXPECT_DOUBLE_EQ(*microseconds, 1000);
  EXPECT_EQ(works, 1);
  EXPECT_EQ(fake_cuda_calls("cuGraphLaunch"), 2);
  EXPECT_EQ(fake_cuda_calls("cuEventRecord"), 2);
}

TEST_F(CudaBench, RunsInARowAreTimedEach) {
  Result<Machine> machine = openMachine("cuda:0");
  ASSERT_TRUE(machine) << machine.error().diagnostic.text();
  Result<Memory> memory = Memory::allocate(machine->device, 256, "memory");
  ASSERT_TRUE(memory);
  Result<std::unique_ptr<Recording>> recording =
      machine->stopwatch->record([&](device::Stream stream) {
        return machine->device->clear(memory->as<void>(), 16, stream);
      });
  ASSERT_TRUE(recording) << recording.error().diagnostic.text();
  for (int64_t count : {5, 3}) {
    fake_cuda_reset();
    Result<std::vector<double>> times = (*recording)->runs(count);
    ASSERT_TRUE(times) << times.error().diagnostic.text();
    EXPECT_EQ(*times, std::vector<double>(size_t(count), 1000));
    EXPECT_EQ(fake_cuda_calls("cuGraphLaunch"), count);
    EXPECT_EQ(fake_cuda_calls("cuEventRecord"), count + 1);
    EXPECT_EQ(fake_cuda_calls("cuEventSynchronize"), 1);
  }
}

TEST_F(CudaBench, ARestTakesItsTime) {
  Result<Machine> machine = openMachine("cuda:0");
  ASSERT_TRUE(machine) << machine.error().diagnostic.text();
  const auto begin = std::chrono::steady_clock::now();
  machine->stopwatch->rest(2000);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(2));
}

TEST_F(CudaBench, WorkThatFailsIsNotRecorded) {
  Result<Machine> machine = openMachine("cuda:0");
  ASSERT_TRUE(machine);
  Result<std::unique_ptr<Recording>> recording = machine->stopwatch->record(
      [](device::Stream) -> Result<void> { return makeError(Status::Unsupported, "not today"); });
  ASSERT_FALSE(recording);
  EXPECT_EQ(recording.error().diagnostic.message, "not today");
}

TEST_F(CudaBench, APackageIsTimed) {
  options.host = options.bound = true;
  options.boundTokens = 40;
  Result<BenchReport> report = run();
  ASSERT_TRUE(report) << report.error().diagnostic.text();
  EXPECT_EQ(report->read.bytes, 1 << 18);
  EXPECT_DOUBLE_EQ(report->read.best, (1 << 18) / 1000.0 / 1e3);
  ASSERT_EQ(report->rows.size(), 2u);
  for (const BenchRow &row : report->rows) {
    EXPECT_EQ(row.skipped + row.failure, "");
    EXPECT_EQ(row.timing.attends, 2); // 1,500 us at a millisecond each
    EXPECT_DOUBLE_EQ(row.timing.median, 500);
  }
  EXPECT_EQ(report->hosts.size(), 1u);
}

TEST_F(CudaBench, PrefillIsTimed) {
  options.shapes = {{2, 12, 10}};
  Result<BenchReport> report = run();
  ASSERT_TRUE(report) << report.error().diagnostic.text();
  const BenchRow &row = report->rows.front();
  EXPECT_EQ(row.skipped + row.failure, "");
  for (const Timing &timing : {row.burst, row.timing}) {
    EXPECT_EQ(timing.attends, 2);
    EXPECT_DOUBLE_EQ(timing.median, 500);
  }
  EXPECT_EQ(row.burst.samples, 4); // two bursts of 2 recordings
  EXPECT_EQ(row.timing.samples, 3);
}

TEST_F(CudaBench, LaunchesThatDoNothingAreWrong) {
  fake_cuda_idle();
  Result<BenchReport> report = run();
  ASSERT_TRUE(report) << report.error().diagnostic.text();
  EXPECT_EQ(report->rows.front().failure, "output of token 0, head 0 is not a finite number");
  EXPECT_FALSE(report->passed());
}

// Whichever call of the driver fails: a status, and nothing that is left over.
TEST_F(CudaBench, FailingCallsEndTheRun) {
  options.host = true;
  options.shapes.push_back({1, {}, 9});
  ASSERT_TRUE(run());
  for (const char *function : {"cuStreamCreate", "cuStreamBeginCapture_v2", "cuStreamEndCapture",
                               "cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuEventCreate",
                               "cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime",
                               "cuLaunchKernel", "cuMemcpyAsync", "cuStreamSynchronize"}) {
    fake_cuda_reset();
    ASSERT_TRUE(run());
    const long calls = fake_cuda_calls(function);
    ASSERT_GT(calls, 0) << function;
    for (long nth : {1L, (calls + 1) / 2, calls}) {
      fake_cuda_reset();
      fake_cuda_fail(function, nth, 719);
      Result<BenchReport> report = run();
      ASSERT_FALSE(report) << function << " " << nth;
      EXPECT_EQ(report.error().status, Status::DeviceError) << function << " " << nth;
      EXPECT_EQ(fake_cuda_live(), 0) << function << " " << nth;
    }
  }
}

// Memory that is short is no failure of the run where there was room for the read.
TEST_F(CudaBench, ShapesWithoutMemoryAreSkipped) {
  ASSERT_TRUE(run());
  const long calls = fake_cuda_calls("cuMemAlloc_v2");
  fake_cuda_reset();
  fake_cuda_fail("cuMemAlloc_v2", calls, 2);
  Result<BenchReport> report = run();
  ASSERT_TRUE(report) << report.error().diagnostic.text();
  EXPECT_EQ(report->rows.front().skipped.substr(0, 16), "cannot allocate ");
}
} // namespace
