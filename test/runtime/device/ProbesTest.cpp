// The instructions that move and round what attention computes give the same bits on a GPU and on
// the simulator: ldmatrix, movmatrix, mma and cvt, on random inputs. Skipped where there is no GPU.
#include "runtime/device/SimulatorDevice.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

using namespace attncc;
using namespace attncc::device;

namespace {

constexpr size_t kWordsIn = 2048 / 4 + 32 * 4, kWordsOfLane = 24;

/// One warp. `in`: 2 KiB that become shared memory, then four floats a lane.
const char *const kProbe = R"(.version 7.8
.target sm_80
.address_size 64

.visible .entry probe(
	.param .b64 in,
	.param .b64 out
)
{
	.reg .b16 %h<4>;
	.reg .b32 %r<48>;
	.reg .f32 %f<16>;
	.reg .b64 %d<8>;
	.shared .align 128 .b8 tile[2048];
	ld.param.b64 %d0, [in];
	ld.param.b64 %d1, [out];
	mov.u32 %r0, %tid.x;
	mov.b32 %r1, tile;
	shl.b32 %r2, %r0, 6;
	add.s32 %r3, %r1, %r2;
	mul.wide.u32 %d2, %r0, 64;
	add.s64 %d3, %d0, %d2;
	ld.global.v4.b32 {%r4, %r5, %r6, %r7}, [%d3];
	st.shared.v4.b32 [%r3], {%r4, %r5, %r6, %r7};
	ld.global.v4.b32 {%r4, %r5, %r6, %r7}, [%d3+16];
	st.shared.v4.b32 [%r3+16], {%r4, %r5, %r6, %r7};
	ld.global.v4.b32 {%r4, %r5, %r6, %r7}, [%d3+32];
	st.shared.v4.b32 [%r3+32], {%r4, %r5, %r6, %r7};
	ld.global.v4.b32 {%r4, %r5, %r6, %r7}, [%d3+48];
	st.shared.v4.b32 [%r3+48], {%r4, %r5, %r6, %r7};
	bar.sync 0;
	mul.wide.u32 %d4, %r0, 16;
	add.s64 %d5, %d0, %d4;
	ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%d5+2048];

	mad.lo.s32 %r8, %r0, 48, %r1;
	ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%r8];
	ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r14, %r15, %r16, %r17}, [%r8];
	movmatrix.sync.aligned.m8n8.trans.b16 %r18, %r10;
	mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f4, %f5, %f6, %f7}, {%r10, %r11, %r12, %r13}, {%r14, %r15}, {%f0, %f1, %f2, %f3};
	mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f8, %f9, %f10, %f11}, {%r14, %r15, %r16, %r17}, {%r12, %r13}, {%f3, %f2, %f1, %f0};
	cvt.rn.bf16x2.f32 %r19, %f0, %f1;
	cvt.rn.f16x2.f32 %r20, %f2, %f3;
	cvt.rn.f16.f32 %h0, %f1;
	cvt.f32.f16 %f12, %h0;
	cvt.rzi.s32.f32 %r21, %f2;
	cvt.rn.f32.s32 %f13, %r10;
	cvt.rni.s32.f32 %r22, %f3;

	mul.wide.u32 %d6, %r0, 96;
	add.s64 %d7, %d1, %d6;
	st.global.v4.b32 [%d7], {%r10, %r11, %r12, %r13};
	st.global.v4.b32 [%d7+16], {%r14, %r15, %r16, %r17};
	st.global.v4.f32 [%d7+32], {%f4, %f5, %f6, %f7};
	st.global.v4.f32 [%d7+48], {%f8, %f9, %f10, %f11};
	st.global.v4.b32 [%d7+64], {%r18, %r19, %r20, %r21};
	st.global.v2.f32 [%d7+80], {%f12, %f13};
	st.global.v2.b32 [%d7+88], {%r22, %r0};
	ret;
}
)";

std::vector<uint32_t> run(Device &device, const Kernel &kernel, const std::vector<uint32_t> &in) {
  std::vector<uint32_t> result(32 * kWordsOfLane);
  void *from = *device.allocate(in.size() * 4, "in"),
       *to = *device.allocate(result.size() * 4, "out");
  const void *params[] = {from, to};
  EXPECT_TRUE(device.copy(from, in.data(), in.size() * 4, nullptr));
  Result<void> launched =
      device.launch(kernel, {{1, 1, 1}, {32, 1, 1}}, std::as_bytes(std::span(params)), {}, nullptr);
  EXPECT_TRUE(launched) << launched.error().diagnostic.text();
  EXPECT_TRUE(device.copy(result.data(), to, result.size() * 4, nullptr));
  EXPECT_TRUE(device.free(from));
  EXPECT_TRUE(device.free(to));
  return result;
}

/// Normal numbers of 16 bits in the tile. Floats of all sizes, with infinities and NaN among them.
std::vector<uint32_t> inputs(unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<uint32_t> words(kWordsIn);
  auto bitsOf = [](float value) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, 4);
    return bits;
  };
  for (size_t i = 0; i < 2048 / 4; ++i)
    words[i] = bitsOf(normal(random)) >> 16 | (bitsOf(normal(random)) & 0xffff0000);
  for (size_t i = 2048 / 4; i < kWordsIn; ++i)
    words[i] = seed % 2 ? bitsOf(normal(random)) : static_cast<uint32_t>(random());
  return words;
}

std::unique_ptr<Kernel> load(Device &device) {
  KernelSource source = {kProbe, "probe", "probe.ptx"};
  Result<std::unique_ptr<Kernel>> kernel = device.loadKernel(source);
  EXPECT_TRUE(kernel) << kernel.error().diagnostic.text();
  return std::move(*kernel);
}

TEST(Probes, AGpuGivesTheBitsOfTheSimulator) {
  Result<std::shared_ptr<Device>> gpu = Device::open("cuda:0");
  if (!gpu)
    GTEST_SKIP() << gpu.error().diagnostic.text();
  std::shared_ptr<SimulatorDevice> simulator = *SimulatorDevice::open("");
  simulator::Options options;
  options.tensorCore = (*gpu)->info().computeCapability >= 90 ? simulator::TensorCore::Sm90
                                                              : simulator::TensorCore::Sm80;
  simulator->setOptions(options);
  std::unique_ptr<Kernel> here = load(**gpu), there = load(*simulator);
  for (unsigned seed = 0; seed < 200; ++seed) {
    const std::vector<uint32_t> in = inputs(seed);
    const std::vector<uint32_t> got = run(**gpu, *here, in), wanted = run(*simulator, *there, in);
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_EQ(got[i], wanted[i])
          << "seed " << seed << ", lane " << i / kWordsOfLane << ", word " << i % kWordsOfLane;
  }
}

// What the simulator's probe says of plain cases, so that two equal mistakes are none.
TEST(Probes, TheProbeMovesWhatItSays) {
  std::shared_ptr<SimulatorDevice> simulator = *SimulatorDevice::open("");
  const std::vector<uint32_t> in = inputs(1);
  const std::vector<uint32_t> out = run(*simulator, *load(*simulator), in);
  const auto *tile = reinterpret_cast<const uint16_t *>(in.data());
  for (size_t lane = 0; lane < 32; ++lane) {
    // Matrix 0, row lane / 4, columns 2 (lane % 4) and the next; transposed, the row is the column.
    const size_t row = lane / 4, column = 2 * (lane % 4);
    EXPECT_EQ(out[lane * kWordsOfLane] & 0xffff, tile[row * 24 + column]);
    EXPECT_EQ(out[lane * kWordsOfLane + 4] & 0xffff, tile[column * 24 + row]);
    EXPECT_EQ(out[lane * kWordsOfLane + 16], out[lane * kWordsOfLane + 4]);
    EXPECT_EQ(out[lane * kWordsOfLane + 23], lane);
  }
}

} // namespace
