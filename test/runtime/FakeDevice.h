//===- FakeDevice.h - a device that only remembers what it was asked ---------===//
//
// For tests of packages and plans: kernels are accepted unread, launches are kept with their
// parameters and buffers, memory is the host's. Its info may be set to any GPU's.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace attncc::test {

class FakeDevice final : public device::Device {
public:
  struct FakeKernel final : device::Kernel {
    std::string entry;
    uint32_t shared = 0;
  };
  struct Launch {
    std::string entry;
    device::LaunchShape shape;
    std::vector<std::byte> params;
    std::vector<device::Buffer> buffers;
    device::Stream stream;

    const device::Buffer *buffer(std::string_view name) const {
      for (const device::Buffer &one : buffers)
        if (one.name == name)
          return &one;
      return nullptr;
    }
  };

  device::DeviceInfo deviceInfo = {"fake:0", "Fake GPU (sm_80)", 80, 78, 163 * 1024, 16};
  std::vector<Launch> launches;
  std::vector<device::TensorMapDescription> maps; ///< encoded; a map's first word is its place here
  bool remember = true;                           ///< keep launches
  int64_t numLaunches = 0;
  std::vector<std::string> loaded, cubins; ///< entries, and those of them that came from cubins
  std::string refused;                     ///< entry whose cubin is refused

  const device::DeviceInfo &info() const override { return deviceInfo; }
  Result<void *> allocate(size_t bytes, std::string_view) override {
    return std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  }
  Result<void> registerMemory(void *, size_t, std::string_view) override { return {}; }
  Result<void> free(void *memory) override {
    std::free(memory);
    return {};
  }
  Result<void> copy(void *to, const void *from, size_t bytes, device::Stream) override {
    std::memmove(to, from, bytes);
    return {};
  }
  Result<void> clear(void *memory, size_t bytes, device::Stream) override {
    std::memset(memory, 0, bytes);
    return {};
  }
  Result<void> synchronize(device::Stream) override { return {}; }
  Result<device::TensorMap>
  encodeTensorMap(const device::TensorMapDescription &description) override {
    device::TensorMap map;
    size_t number = maps.size();
    std::memcpy(map.bytes.data(), &number, sizeof number);
    maps.push_back(description);
    return map;
  }
  Result<std::unique_ptr<device::Kernel>> loadKernel(const device::KernelSource &source) override {
    if (!source.cubin.empty() && source.entry == refused) {
      Error error = makeError(Status::Unsupported, "not on this one");
      error.diagnostic.code = device::kCubinRefused;
      return error;
    }
    auto kernel = std::make_unique<FakeKernel>();
    kernel->entry = source.entry;
    kernel->shared = source.shared;
    loaded.push_back(source.entry);
    if (!source.cubin.empty())
      cubins.push_back(source.entry);
    return std::unique_ptr<device::Kernel>(std::move(kernel));
  }
  Result<void> launch(const device::Kernel &kernel, const device::LaunchShape &shape,
                      std::span<const std::byte> params, std::span<const device::Buffer> buffers,
                      device::Stream stream) override {
    ++numLaunches;
    if (remember)
      launches.push_back({static_cast<const FakeKernel &>(kernel).entry,
                          shape,
                          {params.begin(), params.end()},
                          {buffers.begin(), buffers.end()},
                          stream});
    return {};
  }
};

} // namespace attncc::test
