// Attention states of the caller without a device: which kernel serves them, what it is given, and
// every check with its exact text.
#include "runtime/plan/MergeStates.h"
#include "runtime/plan/Parameters.h"
#include "test/runtime/FakeDevice.h"
#include "test/runtime/plan/Tensors.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace attncc;
using namespace attncc::plan;
using namespace attncc::test;

namespace {

struct MergeStates : testing::Test {
  void SetUp() override { reopen(); }
  void reopen() {
    writePackage(sample, folder.path);
    device = std::make_shared<FakeDevice>();
    package = *package::Package::open(device, folder.path);
    args.output = tensorAt(0x4000, 5, kQueryHeads);
    args.lse = lseAt(0x5000, 5, kQueryHeads);
    outputs = {tensorAt(0x6000, 5, kQueryHeads), tensorAt(0x7000, 5, kQueryHeads)};
    lses = {lseAt(0x8000, 5, kQueryHeads), lseAt(0x9000, 5, kQueryHeads)};
  }
  Result<void> merge(bool lseIsLog2 = false) {
    return mergeStates(*package, outputs, lses, lseIsLog2, args, at<void>(7));
  }
  MergeStatesParams params() const {
    MergeStatesParams result;
    EXPECT_EQ(device->launches.back().params.size(), sizeof result);
    std::memcpy(static_cast<void *>(&result), device->launches.back().params.data(), sizeof result);
    return result;
  }

  Sample sample = samplePackage();
  TemporaryFolder folder;
  std::shared_ptr<FakeDevice> device;
  std::shared_ptr<const package::Package> package;
  attncc_attend_args args = {};
  std::vector<attncc_tensor> outputs, lses;
};

TEST_F(MergeStates, IsLaunchedWithTheTensors) {
  outputs[1].stride[0] = 96; // heads with a gap behind each token's
  ASSERT_TRUE(merge());
  ASSERT_EQ(device->launches.size(), 1u);
  const FakeDevice::Launch &launch = device->launches[0];
  EXPECT_EQ(launch.entry, "sample_merge_states");
  EXPECT_EQ(launch.stream, at<void>(7));
  EXPECT_EQ(launch.shape.grid, (std::array<uint32_t, 3>{5 * kQueryHeads, 1, 1}));
  MergeStatesParams given = params();
  EXPECT_EQ(given.numTokens, 5);
  EXPECT_EQ(given.queryHeads, kQueryHeads);
  EXPECT_EQ(given.numParts, 2);
  EXPECT_EQ(given.lseScale, 1.0f);
  EXPECT_EQ(given.part[1].output.data, at<void>(0x7000));
  EXPECT_EQ(given.part[1].output.tokenStride, 96);
  EXPECT_EQ(given.part[1].lse.data, at<void>(0x9000));
  EXPECT_EQ(given.part[2].output.data, nullptr);
  EXPECT_EQ(given.output.data, at<void>(0x4000));
  EXPECT_EQ(given.lse.headStride, 1);
  EXPECT_TRUE(launch.buffer("output")->writable);
  EXPECT_FALSE(launch.buffer("part0_output")->writable);
  EXPECT_EQ(launch.buffer("part1_output")->bytes, (4 * 96 + 3 * 16 + 16) * 2u);
  EXPECT_EQ(launch.buffer("part1_lse")->bytes, 5 * 4 * 4u);
}

TEST_F(MergeStates, BaseTwoBecomesNatural) {
  ASSERT_TRUE(merge(/*lseIsLog2=*/true));
  EXPECT_FLOAT_EQ(params().lseScale, std::log(2.0f));
}

TEST_F(MergeStates, TheLogSumExpNeedNotBeAskedFor) {
  args.lse = {};
  ASSERT_TRUE(merge());
  EXPECT_EQ(params().lse.data, nullptr);
}

TEST_F(MergeStates, AnyNumberOfHeads) {
  args.output = tensorAt(0x4000, 5, 3);
  args.lse = lseAt(0x5000, 5, 3);
  outputs = {tensorAt(0x6000, 7, 3)}; // more tokens than are merged
  lses = {lseAt(0x8000, 5, 3)};
  ASSERT_TRUE(merge());
  EXPECT_EQ(device->launches[0].shape.grid[0], 15u);
}

TEST_F(MergeStates, NoTokensLaunchNothing) {
  args.output.shape[0] = 0;
  ASSERT_TRUE(merge());
  EXPECT_TRUE(device->launches.empty());
}

TEST_F(MergeStates, SixteenPartsAtMost) {
  outputs.assign(16, outputs[0]);
  lses.assign(16, lses[0]);
  ASSERT_TRUE(merge());
  EXPECT_EQ(params().part[15].lse.data, at<void>(0x8000));
  outputs.push_back(outputs[0]);
  lses.push_back(lses[0]);
  EXPECT_EQ(messageOf(merge()), "parts is 17: must be from 1 to 16");
  outputs.clear();
  lses.clear();
  EXPECT_EQ(messageOf(merge()), "parts is 0: must be from 1 to 16");
}

TEST_F(MergeStates, TypeAndHeadDimChooseTheClass) {
  args.output.code = 2;
  Result<void> merged = merge();
  EXPECT_EQ(messageOf(merged),
            "output is f16 of head dim 16: this package has no merge_states kernel for it");
  EXPECT_EQ(merged.error().status, Status::Unsupported);
  args.output = tensorAt(0x4000, 5, kQueryHeads, 32);
  EXPECT_EQ(messageOf(merge()),
            "output is bf16 of head dim 32: this package has no merge_states kernel for it");
}

TEST_F(MergeStates, APackageMayLackTheKernel) {
  sample.manifest.kernels.pop_back();
  reopen();
  EXPECT_EQ(messageOf(merge()),
            "output is bf16 of head dim 16: this package has no merge_states kernel for it");
}

TEST_F(MergeStates, TensorsHaveExactMessages) {
  struct Case {
    void (*change)(MergeStates &);
    const char *message;
  };
  const Case cases[] = {
      {[](MergeStates &m) { m.args.output.data = nullptr; }, "output.data is null"},
      {[](MergeStates &m) { m.args.output.rank = 2; }, "output.rank is 2: must be 3"},
      {[](MergeStates &m) { m.args.output.shape[0] = -1; },
       "output.shape[0] is -1: must be at least 0"},
      {[](MergeStates &m) { m.args.output.shape[1] = 0; },
       "output.shape[1] is 0: must be at least 1"},
      {[](MergeStates &m) { m.args.lse.shape[0] = 4; },
       "lse.shape[0] is 4: must be at least the output's 5"},
      {[](MergeStates &m) { m.args.output.shape[0] = int64_t(1) << 30; },
       "output has 1073741824 tokens of 4 heads: must have at most 2147483615 rows"},
      {[](MergeStates &m) { m.outputs[1].data = nullptr; }, "outputs[1].data is null"},
      {[](MergeStates &m) { m.outputs[1].code = 2; }, "outputs[1] is f16: must be bf16"},
      {[](MergeStates &m) { m.outputs[0].shape[0] = 4; },
       "outputs[0].shape[0] is 4: must be at least the output's 5"},
      {[](MergeStates &m) { m.outputs[0].shape[1] = 2; },
       "outputs[0].shape[1] is 2: must be the 4 heads of the output"},
      {[](MergeStates &m) { m.outputs[0].stride[1] = 20; },
       "outputs[0].stride[1] is 20 elements (40 bytes): must be a multiple of 16 bytes"},
      {[](MergeStates &m) { m.lses[1].data = nullptr; }, "lses[1].data is null"},
      {[](MergeStates &m) { m.lses[0] = m.outputs[0]; }, "lses[0] is bf16: must be f32"},
  };
  for (const Case &c : cases) {
    reopen();
    c.change(*this);
    EXPECT_EQ(messageOf(merge()), c.message);
    EXPECT_TRUE(device->launches.empty());
  }
}

} // namespace
