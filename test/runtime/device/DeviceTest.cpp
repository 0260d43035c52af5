// What every device must do (one suite: on the simulator, and on a GPU where there is one), and
// what the simulator's adapter adds: launches confined to the buffers of their parameters, named in
// what is found.
#include "runtime/device/SimulatorDevice.h"
#include "runtime/simulator/TensorMap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

using namespace attncc;
using namespace attncc::device;

namespace {

/// out[i] = in[i + shift] for the 32 lanes of one block.
const char *const kShift = R"(.version 7.8
.target sm_80
.address_size 64

.visible .entry shift(
	.param .b64 in,
	.param .b64 out,
	.param .b32 offset
)
{
	.reg .b32 %r<4>;
	.reg .b64 %d<8>;
	ld.param.b64 %d0, [in];
	ld.param.b64 %d1, [out];
	ld.param.b32 %r0, [offset];
	mov.u32 %r1, %tid.x;
	mul.wide.s32 %d2, %r1, 4;
	add.s64 %d3, %d1, %d2;
	add.s32 %r2, %r1, %r0;
	mul.wide.s32 %d4, %r2, 4;
	add.s64 %d5, %d0, %d4;
	ld.global.b32 %r3, [%d5];
	st.global.b32 [%d3], %r3;
	ret;
}
)";

struct ShiftParams {
  const void *in;
  void *out;
  int32_t offset;
};
std::span<const std::byte> bytesOf(const ShiftParams &params) {
  return std::as_bytes(std::span(&params, 1)).first(20);
}

class DeviceSuite : public testing::TestWithParam<const char *> {
protected:
  void SetUp() override {
    Result<std::shared_ptr<Device>> opened = Device::open(GetParam());
    if (!opened && opened.error().status == Status::Unsupported &&
        std::string_view(GetParam()).starts_with("cuda"))
      GTEST_SKIP() << opened.error().diagnostic.text();
    ASSERT_TRUE(opened) << opened.error().diagnostic.text();
    device = *opened;
  }
  template <class T> T *allocate(size_t count) {
    Result<void *> memory = device->allocate(count * sizeof(T), "test");
    EXPECT_TRUE(memory);
    return static_cast<T *>(*memory);
  }
  std::unique_ptr<Kernel> shift() {
    Result<std::unique_ptr<Kernel>> kernel = device->loadKernel({kShift, "shift", "shift.ptx", 0});
    EXPECT_TRUE(kernel) << kernel.error().diagnostic.text();
    return std::move(*kernel);
  }
  const LaunchShape oneWarp = {{1, 1, 1}, {32, 1, 1}};
  std::shared_ptr<Device> device;
};

TEST_P(DeviceSuite, AllocationsAreAlignedAndNaN) {
  for (size_t count : {1, 100, 70000}) {
    uint32_t *memory = allocate<uint32_t>(count);
    EXPECT_EQ(reinterpret_cast<uint64_t>(memory) % 256, 0u);
    uint32_t last = 0;
    ASSERT_TRUE(device->copy(&last, memory + count - 1, 4, nullptr));
    EXPECT_EQ(last, 0xffffffffu);
    EXPECT_TRUE(device->free(memory));
  }
  EXPECT_FALSE(device->allocate(0, "none"));
  Result<void *> tooMuch = device->allocate(SIZE_MAX / 2, "all");
  ASSERT_FALSE(tooMuch);
  EXPECT_EQ(tooMuch.error().status, Status::OutOfMemory);
  EXPECT_TRUE(device->free(nullptr));
}

TEST_P(DeviceSuite, CopiesClearsAndLaunchesInOrder) {
  int32_t *in = allocate<int32_t>(64), *out = allocate<int32_t>(32);
  std::vector<int32_t> host(64);
  for (int32_t i = 0; i < 64; ++i)
    host[static_cast<size_t>(i)] = 100 + i;
  ASSERT_TRUE(device->copy(in, host.data(), 256, nullptr));
  ASSERT_TRUE(device->clear(in, 4, nullptr));
  auto kernel = shift();
  const Buffer buffers[] = {{"in", in, 256, false}, {"out", out, 128, true}};
  for (int32_t offset : {0, 32}) {
    ShiftParams params = {in, out, offset};
    Result<void> launched = device->launch(*kernel, oneWarp, bytesOf(params), buffers, nullptr);
    ASSERT_TRUE(launched) << launched.error().diagnostic.text();
    std::vector<int32_t> result(32);
    ASSERT_TRUE(device->copy(result.data(), out, 128, nullptr));
    ASSERT_TRUE(device->synchronize(nullptr));
    EXPECT_EQ(result[0], offset == 0 ? 0 : 132);
    EXPECT_EQ(result[31], 131 + offset);
  }
}

TEST_P(DeviceSuite, BadKernelsAreErrors) {
  EXPECT_FALSE(device->loadKernel({"not ptx", "shift", "bad.ptx", 0}));
  EXPECT_FALSE(device->loadKernel({kShift, "other", "shift.ptx", 0}));
}

TEST_P(DeviceSuite, KernelsKeepTheirDevice) {
  auto kernel = shift();
  device.reset();
  kernel.reset();
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceSuite,
                         testing::Values("sim", "sim:sm_80", "sim:sm_90a", "cuda:0"),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), ':', '_');
                           return name;
                         });

TEST(DeviceOpen, NamesHaveExactMessages) {
  auto message = [](const char *name, Status status) {
    Result<std::shared_ptr<Device>> opened = Device::open(name);
    EXPECT_FALSE(opened);
    EXPECT_EQ(opened.error().status, status);
    return opened.error().diagnostic.message;
  };
  EXPECT_EQ(message("sim:sm_100a", Status::Unsupported),
            "sim:sm_100a: the simulator executes kernels of sm_80 and sm_90a only");
  for (const char *name : {"gpu", "cuda", "cuda:", "cuda:-1", "cuda:0x", "cuda:99999999999"})
    EXPECT_EQ(message(name, Status::InvalidArgument),
              "device is \"" + std::string(name) +
                  "\", must be \"sim\", \"sim:sm_80\", \"sim:sm_90a\" or \"cuda:N\"");
}

class Simulator : public testing::Test {
protected:
  std::shared_ptr<SimulatorDevice> device = *SimulatorDevice::open("");
  std::unique_ptr<Kernel> kernel =
      std::move(*device->loadKernel({kShift, "shift", "shift.ptx", 0}));
  alignas(256) int32_t in[64] = {}, out[64] = {};

  Result<void> launch(int32_t offset, std::vector<Buffer> buffers) {
    ShiftParams params = {in, out, offset};
    return device->launch(*kernel, {{1, 1, 1}, {32, 1, 1}}, bytesOf(params), buffers, nullptr);
  }
  void registerBoth() {
    ASSERT_TRUE(device->registerMemory(in, sizeof in, "in memory"));
    ASSERT_TRUE(device->registerMemory(out, sizeof out, "out memory"));
  }
};

// What is described is what the simulator's copies read.
TEST_F(Simulator, TensorMapsSayWhatWasDescribed) {
  TensorMapDescription description;
  description.element = TensorMapDescription::Element::F16;
  description.begin = in;
  description.rank = 3;
  description.dims = {32, 5, 7};
  description.strides = {80, 4096};
  description.box = {32, 2, 1};
  for (auto [swizzle, promotion] : {std::pair(0, 0), std::pair(64, 64), std::pair(128, 256)}) {
    description.swizzle = swizzle;
    description.l2Promotion = promotion;
    description.fillNaN = swizzle == 64;
    Result<TensorMap> map = device->encodeTensorMap(description);
    ASSERT_TRUE(map) << map.error().diagnostic.text();
    Result<simulator::TensorMap> read = simulator::decodeTensorMap(map->bytes);
    ASSERT_TRUE(read) << read.error().diagnostic.text();
    EXPECT_EQ(read->type, simulator::TensorType::F16);
    EXPECT_EQ(read->rank, 3);
    EXPECT_EQ(read->address, reinterpret_cast<uint64_t>(in));
    EXPECT_EQ(read->dimensions, (std::array<uint64_t, 5>{32, 5, 7}));
    EXPECT_EQ(read->strides, (std::array<uint64_t, 5>{2, 80, 4096}));
    EXPECT_EQ(read->box, (std::array<uint32_t, 5>{32, 2, 1}));
    EXPECT_EQ(simulator::swizzleMask(read->swizzle), swizzle == 0 ? 0u : swizzle / 16 - 1u);
    EXPECT_EQ(read->promotion, promotion == 0    ? simulator::TensorPromotion::None
                               : promotion == 64 ? simulator::TensorPromotion::Bytes64
                                                 : simulator::TensorPromotion::Bytes256);
    EXPECT_EQ(read->fill == simulator::TensorFill::NaN, swizzle == 64);
  }
  description.strides[0] = 72;
  Result<TensorMap> bad = device->encodeTensorMap(description);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().diagnostic.message,
            "tensor map: stride[0] is 72, expected a multiple of 16 below 2^40");
}

TEST_F(Simulator, MemoryMustBeRegistered) {
  EXPECT_FALSE(launch(0, {}));
  registerBoth();
  EXPECT_TRUE(launch(0, {}));
  EXPECT_FALSE(device->registerMemory(in + 1, 4, "again"));
  EXPECT_TRUE(device->free(in));
  Result<void> gone = launch(0, {});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().status, Status::DeviceError);
  EXPECT_FALSE(device->free(in));
}

TEST_F(Simulator, LaunchesAreConfinedToTheirBuffers) {
  registerBoth();
  // Inside registered memory, but past what the parameter covers.
  Result<void> launched = launch(1, {{"in", in, 128, false}, {"out", out, 128, true}});
  ASSERT_FALSE(launched);
  EXPECT_EQ(launched.error().status, Status::DeviceError);
  EXPECT_NE(launched.error().diagnostic.message.find("in"), std::string::npos);
  EXPECT_TRUE(launch(1, {{"in", in, 132, false}, {"out", out, 128, true}}));
  // A buffer that its parameter may only read.
  EXPECT_FALSE(launch(1, {{"in", in, 132, false}, {"out", out, 128, false}}));
}

TEST_F(Simulator, TrafficIsNamedByParameter) {
  registerBoth();
  device->setRecording(true);
  ASSERT_TRUE(
      launch(16, {{"k", in, 128, false}, {"v", in + 16, 128, false}, {"output", out, 128, true}}));
  std::vector<LaunchReport> reports = device->takeReports();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].entry, "shift");
  const simulator::Report &report = reports[0].report;
  // Lanes 0-15 read where both overlap, 16-31 in the second alone.
  ASSERT_NE(report.buffer("k+v"), nullptr);
  ASSERT_NE(report.buffer("v"), nullptr);
  ASSERT_NE(report.buffer("output"), nullptr);
  EXPECT_EQ(report.buffer("k+v")->read.bytes, 64u);
  EXPECT_EQ(report.buffer("v")->read.bytes, 64u);
  EXPECT_EQ(report.buffer("output")->write.bytes, 128u);
  EXPECT_TRUE(device->takeReports().empty());
}

TEST_F(Simulator, FindingsAreInTheReportToo) {
  registerBoth();
  device->setRecording(true);
  EXPECT_FALSE(launch(-8, {{"in", in, 256, false}, {"out", out, 128, true}}));
  std::vector<LaunchReport> reports = device->takeReports();
  ASSERT_EQ(reports.size(), 1u);
  ASSERT_FALSE(reports[0].report.findings.empty());
  EXPECT_EQ(reports[0].report.findings[0].kind, simulator::Finding::Kind::OutOfBounds);
}

TEST_F(Simulator, CopiesNeedDeviceMemoryOnOneSide) {
  int32_t host[4] = {};
  EXPECT_FALSE(device->copy(host, in, 16, nullptr));
  registerBoth();
  EXPECT_TRUE(device->copy(host, in, 16, nullptr));
  EXPECT_TRUE(device->copy(in + 60, host, 16, nullptr));
  EXPECT_FALSE(device->copy(in + 61, host, 16, nullptr));
  EXPECT_FALSE(device->clear(in + 61, 16, nullptr));
}

TEST_F(Simulator, AllocationsMayBeHugeAndSparse) {
  const size_t bytes = size_t(1) << 40;
  Result<void *> memory = device->allocate(bytes, "pool");
  ASSERT_TRUE(memory);
  static_cast<char *>(*memory)[bytes - 1] = 1;
  EXPECT_TRUE(device->free(*memory));
}

} // namespace
