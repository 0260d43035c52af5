// See ReadBandwidth.h.
#include "runtime/bench/ReadBandwidth.h"

#include "runtime/bench/Statistics.h"

#include <algorithm>

namespace attncc::bench {

namespace {
constexpr const char *kEntry = "attncc_read";
constexpr int kWarmUps = 3;
// Chance that one of 2^26 threads finds it in random numbers: 2%, and one store does no harm.
constexpr uint32_t kKey = 0x9e3779b9;

struct Params {
  const void *data;
  uint32_t *found;
  uint32_t key;
};
constexpr size_t kParamsBytes = 20; // without the padding at the end
} // namespace

std::string ReadKernel::text() {
  std::string text = R"(.version 7.4
.target sm_80
.address_size 64

.visible .entry )" + std::string(kEntry) +
                     R"((
	.param .b64 data,
	.param .b64 found,
	.param .b32 key
)
{
	.reg .pred %p<2>;
	.reg .b32 %r<48>;
	.reg .b64 %d<8>;
	ld.param.b64 %d0, [data];
	ld.param.b64 %d1, [found];
	ld.param.b32 %r0, [key];
	mov.u32 %r1, %ctaid.x;
	mov.u32 %r2, %tid.x;
	mul.wide.u32 %d2, %r1, )" +
                     std::to_string(kTileBytes) + R"(;
	mul.wide.u32 %d3, %r2, 16;
	add.s64 %d4, %d0, %d2;
	add.s64 %d5, %d4, %d3;
)";
  const int first = 8;
  auto word = [&](int64_t i) { return "%r" + std::to_string(first + i); };
  for (int64_t load = 0; load < kLoads; ++load) {
    const int64_t at = 4 * load;
    text += "\tld.global.nc.L1::no_allocate.v4.b32 {" + word(at) + ", " + word(at + 1) + ", " +
            word(at + 2) + ", " + word(at + 3) + "}, [%d5+" + std::to_string(load * kThreads * 16) +
            "];\n";
  }
  text += "\tmov.b32 %r3, 0;\n";
  for (int64_t i = 0; i < 4 * kLoads; ++i)
    text += "\txor.b32 %r3, %r3, " + word(i) + ";\n";
  return text + R"(	setp.ne.u32 %p0, %r3, %r0;
	@%p0 bra DONE;
	st.global.b32 [%d1], %r3;
DONE:
	ret;
}
)";
}

Result<ReadKernel> ReadKernel::load(device::Device &device) {
  const std::string ptx = text();
  device::KernelSource source;
  source.ptx = ptx;
  source.entry = kEntry;
  source.file = "read.ptx";
  Result<std::unique_ptr<device::Kernel>> loaded = device.loadKernel(source);
  if (!loaded)
    return loaded.error();
  ReadKernel result;
  result.kernel = std::move(*loaded);
  return result;
}

Result<void> ReadKernel::launch(device::Device &device, const void *data, int64_t bytes,
                                uint32_t *found, uint32_t key, device::Stream stream) const {
  const Params params = {data, found, key};
  device::LaunchShape shape;
  shape.grid = {static_cast<uint32_t>(bytes / kTileBytes), 1, 1};
  shape.block = {static_cast<uint32_t>(kThreads), 1, 1};
  const device::Buffer buffers[] = {{"data", data, static_cast<uint64_t>(bytes), false},
                                    {"found", found, sizeof *found, true}};
  return device.launch(*kernel, shape, std::as_bytes(std::span(&params, 1)).first(kParamsBytes),
                       buffers, stream);
}

Result<ReadBandwidth> measureRead(const Machine &machine, const void *data, int64_t bytes,
                                  int64_t samples) {
  Result<ReadKernel> kernel = ReadKernel::load(*machine.device);
  if (!kernel)
    return kernel.error();
  Result<Memory> found = Memory::allocate(machine.device, 256, "found");
  if (!found)
    return found.error();
  ReadBandwidth result;
  result.bytes = bytes / ReadKernel::kTileBytes * ReadKernel::kTileBytes;
  result.samples = samples;
  Result<std::unique_ptr<Recording>> recording =
      machine.stopwatch->record([&](device::Stream stream) {
        return kernel->launch(*machine.device, data, result.bytes, found->as<uint32_t>(), kKey,
                              stream);
      });
  if (!recording)
    return recording.error();
  std::vector<double> rates;
  for (int64_t i = -kWarmUps; i < samples; ++i) {
    Result<double> microseconds = (*recording)->run();
    if (!microseconds)
      return microseconds.error();
    if (i >= 0)
      rates.push_back(double(result.bytes) / *microseconds / 1e3);
  }
  result.best = *std::max_element(rates.begin(), rates.end());
  result.median = median(rates);
  return result;
}

} // namespace attncc::bench
