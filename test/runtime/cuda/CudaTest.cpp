// The CUDA device behind the C interface, on a driver of the tests: what is asked of the driver in
// a step, captured graphs, and every call of the driver failing in every way.
#include "test/runtime/SamplePackage.h"
#include "test/runtime/StepOnDevice.h"
#include "test/runtime/cuda/FakeCuda.h"
#include "test/runtime/cuda/HeapCounts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

using namespace attncc::test;
namespace {

class Cuda : public testing::Test {
protected:
  void SetUp() override {
    fake_cuda_reset();
    writePackage(samplePackage(), folder.path);
  }
  void TearDown() override { EXPECT_EQ(fake_cuda_live(), 0); }

  TemporaryFolder folder;
};

TEST_F(Cuda, AStepGivesWhatTheSimulatorGives) {
  StepOnDevice onGpu("cuda:0", folder.path), onSimulator("sim", folder.path);
  ASSERT_EQ(onGpu.run(), "");
  ASSERT_EQ(onSimulator.run(), "");
  EXPECT_EQ(onGpu.output(), onSimulator.output());
  EXPECT_EQ(onGpu.output()[0], onGpu.expectedFirstOutput());
}

TEST_F(Cuda, AStepCallsTheDriverForLaunchesAlone) {
  StepOnDevice step("cuda:0", folder.path);
  ASSERT_EQ(step.run(), "");
  for (int i = 0; i < 3; ++i) {
    fake_cuda_reset();
    fake_cuda_idle();
    HeapCounts before = heapCounts();
    ASSERT_EQ(step.update(), "");
    EXPECT_EQ(fake_cuda_calls(nullptr), 0);
    ASSERT_EQ(step.launch(0), "");
    EXPECT_EQ(heapCounts().allocations, before.allocations);
    EXPECT_EQ(heapCounts().locks, before.locks);
    // Append, decode, merge and merge_states: the context is pushed and popped around each.
    EXPECT_EQ(fake_cuda_calls("cuLaunchKernel"), 4);
    EXPECT_EQ(fake_cuda_calls("cuCtxPushCurrent_v2"), 4);
    EXPECT_EQ(fake_cuda_calls("cuCtxPopCurrent_v2"), 4);
    EXPECT_EQ(fake_cuda_calls(nullptr), 12);
  }
}

TEST_F(Cuda, KernelsThatWaitAreLaunchedDependently) {
  Sample sample = samplePackage();
  for (attncc::package::KernelEntry &kernel : sample.manifest.kernels)
    kernel.dependentLaunch = kernel.role == "merge";
  writePackage(sample, folder.path);
  StepOnDevice step("cuda:0", folder.path);
  ASSERT_EQ(step.run(), "");
  EXPECT_EQ(fake_cuda_calls("cuLaunchKernel"), 3);
  EXPECT_EQ(fake_cuda_calls("cuLaunchKernelEx"), 1);
}

TEST_F(Cuda, CallsThatWaitAreRefusedInACapture) {
  StepOnDevice step("cuda:0", folder.path);
  ASSERT_EQ(step.run(), "");
  step.beginCapture();
  EXPECT_EQ(step.update(), "");
  EXPECT_EQ(step.launch(0), "");
  rt::Result<void> checked = step.plan.check(step.stream);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().status, ATTNCC_CAPTURING);
  EXPECT_STREQ(attncc_message(), "attncc_plan_check: the stream is being captured: a copy of host "
                                 "memory waits for it");
  std::byte host[16];
  rt::Result<void> copied = step.device.copy(host, step.outputMemory(), sizeof host, step.stream);
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().status, ATTNCC_CAPTURING);
  // Between two places on the device nothing waits.
  EXPECT_TRUE(step.device.copy(step.outputMemory(), step.outputMemory(), 0, step.stream));
  step.endCaptureAndLaunch();
  EXPECT_EQ(step.output()[0], step.expectedFirstOutput());
}

TEST_F(Cuda, AFaultNamesTheLastLaunch) {
  StepOnDevice step("cuda:0", folder.path);
  ASSERT_EQ(step.run(), "");
  fake_cuda_fail("cuStreamSynchronize", 1, 700);
  rt::Result<void> checked = step.plan.check(step.stream);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().status, ATTNCC_DEVICE_ERROR);
  EXPECT_EQ(
      checked.error().message,
      "attncc_plan_check: cuStreamSynchronize gives CUDA_ERROR_OF_A_TEST (700): as asked for; "
      "the last launch here was sample_merge_states");
}

TEST_F(Cuda, PtxThatDoesNotCompileIsAnErrorOfThePackage) {
  Sample sample = samplePackage();
  for (attncc::package::KernelEntry &kernel : sample.manifest.kernels)
    if (kernel.role == "decode")
      sample.files[kernel.file] = "not ptx";
  refreshHashes(sample);
  writePackage(sample, folder.path);
  rt::Result<rt::Device> device = rt::Device::open("cuda:0");
  ASSERT_TRUE(device);
  rt::Result<rt::Package> package = rt::Package::open(*device, folder.path.c_str());
  ASSERT_FALSE(package);
  EXPECT_EQ(package.error().status, ATTNCC_INVALID_PACKAGE);
  EXPECT_NE(package.error().message.find("sm_80/decode.ptx: error: cuModuleLoadDataEx gives "),
            std::string::npos)
      << package.error().message;
}

/// The log of opening the folder's package; empty where that fails.
std::vector<std::string> openedLog(const char *folder, uint32_t forbidJit = 0) {
  static std::vector<std::string> lines;
  lines.clear();
  rt::Device device = *rt::Device::open("cuda:0");
  attncc_set_logger([](void *, int, const char *line) { lines.push_back(line); }, nullptr, 0);
  (void)rt::Package::open(device, folder, {.forbid_jit = forbidJit});
  attncc_set_logger(nullptr, nullptr, 0);
  return lines;
}

TEST_F(Cuda, CubinsAreLoadedAndTheirPtxIsNot) {
  Sample sample = samplePackage();
  addCubins(sample, "sm_90a", "sm_90a");
  for (const attncc::package::KernelEntry &kernel : sample.manifest.kernels)
    sample.files[kernel.file] = "not ptx";
  refreshHashes(sample);
  writePackage(sample, folder.path);
  StepOnDevice step("cuda:0", folder.path);
  ASSERT_EQ(step.run(), "");
  EXPECT_EQ(step.output()[0], step.expectedFirstOutput());
  std::vector<std::string> log = openedLog(folder.path.c_str(), /*forbidJit=*/1);
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("; 4 kernels loaded, 4 from cubins"), std::string::npos) << log[0];
}

TEST_F(Cuda, ACubinForAnotherArchitectureIsNotTried) {
  Sample sample = samplePackage();
  addCubins(sample, "sm_80", "sm_80");
  writePackage(sample, folder.path);
  std::vector<std::string> log = openedLog(folder.path.c_str());
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("; 4 kernels loaded, 0 from cubins"), std::string::npos) << log[0];
  EXPECT_EQ(fake_cuda_calls("cuModuleLoadDataEx"), 4);
  fake_cuda_reset();
  EXPECT_TRUE(openedLog(folder.path.c_str(), /*forbidJit=*/1).empty());
  EXPECT_NE(std::string(attncc_message()).find("): the cubin is for sm_80\nnote: "),
            std::string::npos)
      << attncc_message();
  EXPECT_EQ(fake_cuda_calls("cuModuleLoadDataEx"), 0);
}

TEST_F(Cuda, ACubinThatTheDriverRefusesIsReplacedByItsPtx) {
  Sample sample = samplePackage();
  addCubins(sample, "sm_90a", "sm_90a");
  // Of another architecture than the manifest says, and of none.
  std::string &decode = sample.files["sm_80/decode.cubin"];
  decode.replace(decode.find("sm_90a"), 6, "sm_80");
  sample.files["sm_80/merge.cubin"] = "\177ELF";
  refreshHashes(sample);
  writePackage(sample, folder.path);
  StepOnDevice step("cuda:0", folder.path);
  ASSERT_EQ(step.run(), "");
  EXPECT_EQ(step.output()[0], step.expectedFirstOutput());
  std::vector<std::string> log = openedLog(folder.path.c_str());
  ASSERT_EQ(log.size(), 2u);
  EXPECT_NE(log[0].find("; 4 kernels loaded, 2 from cubins"), std::string::npos) << log[0];
  EXPECT_EQ(log[1], folder.path + ": 2 of 4 kernels were compiled from PTX although they have a "
                                  "cubin; sample_decode: the cubin was refused: cuModuleLoadDataEx "
                                  "gives CUDA_ERROR_OF_A_TEST (209): as asked for");
  EXPECT_TRUE(openedLog(folder.path.c_str(), /*forbidJit=*/1).empty());
  EXPECT_NE(std::string(attncc_message()).find("forbid_jit is set, and kernel sample_decode "),
            std::string::npos)
      << attncc_message();
  // What has nothing to do with the cubin is not hidden.
  rt::Device device = *rt::Device::open("cuda:0");
  fake_cuda_fail("cuModuleLoadDataEx", 1, 2);
  rt::Result<rt::Package> package =
      rt::Package::open(device, folder.path.c_str(), {.jit_threads = 1});
  ASSERT_FALSE(package);
  EXPECT_EQ(package.error().status, ATTNCC_OUT_OF_MEMORY);
}

TEST_F(Cuda, DevicesThatAreNotThereAreUnsupported) {
  rt::Result<rt::Device> second = rt::Device::open("cuda:1");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().status, ATTNCC_UNSUPPORTED);
  EXPECT_EQ(second.error().message,
            "attncc_device_open: there is no GPU 1: the CUDA driver sees 1, "
            "counted from 0");
}

TEST_F(Cuda, MemoryBeyondTheDeviceIsOutOfMemory) {
  rt::Device device = *rt::Device::open("cuda:0");
  rt::Result<void *> memory = device.allocate(size_t(1) << 50);
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().status, ATTNCC_OUT_OF_MEMORY);
}

//===----------------------------------------------------------------------===//
// Each call x each error code
//===----------------------------------------------------------------------===//

// Those of the functions in use (CUDA Driver API Reference, "CUresult"), and one that is unknown.
const int kErrors[] = {1,   2,   3,   4,   100, 101, 200, 201, 209,  218, 222,
                       300, 400, 500, 600, 700, 701, 702, 710, 715,  716, 719,
                       800, 802, 803, 900, 901, 906, 908, 999, 12345};

struct Called {
  const char *function;
  long calls;
};

/// All functions of a program from the opening of the device to its end, in an idle driver.
class CudaFaults : public Cuda {
protected:
  void SetUp() override {
    Cuda::SetUp();
    Sample sample = samplePackage();
    sample.manifest.kernels[1].shared = 1024;
    addCubins(sample, "sm_90a", "sm_90a");
    sample.manifest.kernels[2].cubin.reset();
    writePackage(sample, folder.path);
  }
  std::string program() {
    StepOnDevice step("cuda:0", folder.path, /*jitThreads=*/1);
    std::string failure = step.run();
    if (failure.empty())
      failure = step.captureAndLaunch();
    if (failure.empty())
      failure = step.copyPages();
    return failure;
  }
};

TEST_F(CudaFaults, EveryCallInEveryWay) {
  fake_cuda_idle();
  ASSERT_EQ(program(), "");
  std::vector<Called> functions;
  for (const char *name : {"cuDeviceGetCount",
                           "cuDeviceGet",
                           "cuDeviceGetName",
                           "cuDeviceGetAttribute",
                           "cuDevicePrimaryCtxRetain",
                           "cuDevicePrimaryCtxRelease_v2",
                           "cuCtxPushCurrent_v2",
                           "cuCtxPopCurrent_v2",
                           "cuModuleLoadDataEx",
                           "cuModuleUnload",
                           "cuModuleGetFunction",
                           "cuFuncSetAttribute",
                           "cuFuncLoad",
                           "cuMemAlloc_v2",
                           "cuMemFree_v2",
                           "cuMemsetD8Async",
                           "cuMemcpyAsync",
                           "cuPointerGetAttributes",
                           "cuLaunchKernel",
                           "cuStreamSynchronize",
                           "cuStreamIsCapturing"})
    functions.push_back({name, fake_cuda_calls(name)});
  // A thread keeps the message of its last failing call.
  fake_cuda_fail("cuDeviceGetCount", 1, 999);
  ASSERT_NE(program(), "");
  int64_t runs = 0, refused = 0;
  for (const Called &called : functions) {
    ASSERT_GT(called.calls, 0) << called.function;
    // What only gives back cannot fail a program; a pop cannot either, its call has done its work.
    const std::string name = called.function;
    const bool tolerated = name == "cuDevicePrimaryCtxRelease_v2" || name == "cuCtxPopCurrent_v2" ||
                           name == "cuModuleUnload";
    for (int error : kErrors)
      for (long nth = 1; nth <= called.calls; ++nth) {
        fake_cuda_reset();
        fake_cuda_idle();
        fake_cuda_fail(called.function, nth, error);
        HeapCounts before = heapCounts();
        {
          std::string failure = program();
          refused += !failure.empty();
          if (tolerated)
            EXPECT_EQ(failure, "") << called.function << " " << nth << " " << error;
        }
        EXPECT_EQ(heapCounts().live, before.live) << called.function << " " << nth << " " << error;
        EXPECT_EQ(fake_cuda_live(), 0) << called.function << " " << nth << " " << error;
        if (HasFailure())
          return;
        ++runs;
      }
  }
  RecordProperty("runs", std::to_string(runs));
  EXPECT_GT(refused, runs / 2);
}

/// A process of its own: the driver is opened once.
void expectOpenFails(const char *function, int error, const char *message) {
  EXPECT_EXIT(
      {
        fake_cuda_reset();
        fake_cuda_fail(function, 1, error);
        rt::Result<rt::Device> device = rt::Device::open("cuda:0");
        std::string got = device ? "opened" : device.error().message;
        if (got != message)
          std::fprintf(stderr, "%s\n", got.c_str());
        std::exit(got == message ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(CudaDeathTest, ADriverThatDoesNotStart) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  expectOpenFails("cuInit", 100,
                  "attncc_device_open: the CUDA driver does not start: cuInit gives "
                  "CUDA_ERROR_OF_A_TEST (100): as asked for");
  expectOpenFails("cuDriverGetVersion", 1,
                  "attncc_device_open: cuDriverGetVersion gives CUDA_ERROR_OF_A_TEST (1): as asked "
                  "for");
}

} // namespace
