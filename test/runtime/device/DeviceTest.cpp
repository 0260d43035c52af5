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

/// out = the box of 4 rows of 32 elements at row 2 of the map, as it lies in shared memory.
const char *const kBox = R"(.version 8.0
.target sm_90a
.address_size 64

.visible .entry box(
	.param .align 64 .b8 map[128],
	.param .b64 out
)
{
	.reg .pred %p<3>;
	.reg .b32 %r<8>;
	.reg .b64 %d<8>;
	.shared .align 1024 .b8 tile[256];
	.shared .align 8 .b64 full;
	mov.b64 %d0, map;
	cvta.param.u64 %d1, %d0;
	ld.param.b64 %d2, [out];
	mov.u32 %r0, %tid.x;
	mov.b32 %r1, tile;
	mov.b32 %r2, full;
	setp.ne.u32 %p0, %r0, 0;
	@%p0 bra WAIT;
	mbarrier.init.shared.b64 [%r2], 1;
	fence.mbarrier_init.release.cluster;
	mbarrier.arrive.expect_tx.shared.b64 %d3, [%r2], 256;
	mov.b32 %r3, 0;
	mov.b32 %r4, 2;
	cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], [%d1, {%r3, %r4}], [%r2];
WAIT:
	bar.sync 0;
AGAIN:
	mbarrier.try_wait.parity.shared.b64 %p1, [%r2], 0;
	@!%p1 bra AGAIN;
	shl.b32 %r5, %r0, 3;
	add.s32 %r6, %r1, %r5;
	ld.shared.b64 %d4, [%r6];
	mul.wide.u32 %d5, %r0, 8;
	add.s64 %d6, %d2, %d5;
	st.global.b64 [%d6], %d4;
	ret;
}
)";

struct BoxParams {
  alignas(kTensorMapAlignment) TensorMap map;
  void *out;
};

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

TEST_P(DeviceSuite, TensorMapsAreRead) {
  if (device->info().computeCapability != 90)
    GTEST_SKIP() << "sm_90 has tensor maps";
  constexpr size_t kRows = 5, kColumns = 32; // a row of the box past the end
  std::vector<uint16_t> host(kRows * kColumns), result(4 * kColumns);
  for (size_t i = 0; i < host.size(); ++i)
    host[i] = static_cast<uint16_t>(i);
  auto *in = allocate<uint16_t>(host.size()), *out = allocate<uint16_t>(result.size());
  ASSERT_TRUE(device->copy(in, host.data(), host.size() * 2, nullptr));
  TensorMapDescription description;
  description.element = TensorMapDescription::Element::F16;
  description.begin = in;
  description.rank = 2;
  description.dims = {kColumns, kRows};
  description.strides = {kColumns * 2};
  description.box = {kColumns, 4};
  description.swizzle = 64;
  description.l2Promotion = 128;
  description.fillNaN = true;
  Result<TensorMap> map = device->encodeTensorMap(description);
  ASSERT_TRUE(map) << map.error().diagnostic.text();
  KernelSource source = {kBox, "box", "box.ptx"};
  source.paramOffsets = {offsetof(BoxParams, map), offsetof(BoxParams, out)};
  Result<std::unique_ptr<Kernel>> kernel = device->loadKernel(source);
  ASSERT_TRUE(kernel) << kernel.error().diagnostic.text();
  BoxParams params = {*map, out};
  Result<void> launched = device->launch(
      **kernel, oneWarp, std::as_bytes(std::span(&params, 1)).first(136), {}, nullptr);
  ASSERT_TRUE(launched) << launched.error().diagnostic.text();
  ASSERT_TRUE(device->copy(result.data(), out, result.size() * 2, nullptr));
  for (size_t row = 0; row < 4; ++row)
    for (size_t column = 0; column < kColumns; ++column) {
      // 64-byte swizzle: bits 7 and 8 of the byte's place change bits 4 and 5.
      const size_t place = (row * kColumns + column) * 2, swizzled = place ^ (place >> 7 & 3) << 4;
      if (row + 2 < kRows)
        EXPECT_EQ(result[swizzled / 2], host[(row + 2) * kColumns + column]);
      else
        EXPECT_EQ(result[swizzled / 2] & 0x7c00, 0x7c00) << "a NaN";
    }
  description.strides[0] = 8;
  EXPECT_FALSE(device->encodeTensorMap(description));
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
