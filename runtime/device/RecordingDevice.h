//===- RecordingDevice.h - keeps launches so that they can be repeated -------===//
//
// Internal. A device in front of another one. Each launch leaves a folder
// <n>-<entry> that holds all another machine needs to repeat it and compare:
//
//   kernel.ptx, launch.json      entry, grid, block, shared memory, parameters
//   <buffer>.before, .after      content of each buffer; .after of writable ones
//
// A parameter is {"bytes": "hex"}, {"buffer": name, "offset": n} or {"tensor_map": what was
// encoded, "buffer", "offset"}, since each device encodes tensor maps in its own way. Buffers that
// share memory are one buffer. tools/replay-launches reads it.
// Test: test/runtime/device/RecordingDeviceTest.cpp
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"

#include <atomic>
#include <filesystem>
#include <mutex>
#include <vector>

namespace attncc::device {

/// Forwards everything to `inner`. Launches whose buffers exceed kLargestRecord bytes, or whose
/// bounds reach past their memory (the page list of a CSR table is known by an upper bound only),
/// are not kept.
class RecordingDevice final : public Device {
public:
  static constexpr uint64_t kLargestRecord = 64 << 20;

  RecordingDevice(std::shared_ptr<Device> inner, std::filesystem::path folder)
      : inner(std::move(inner)), folder(std::move(folder)) {}

  const DeviceInfo &info() const override { return inner->info(); }
  Result<void *> allocate(size_t bytes, std::string_view label) override {
    return inner->allocate(bytes, label);
  }
  Result<void> registerMemory(void *memory, size_t bytes, std::string_view label) override {
    return inner->registerMemory(memory, bytes, label);
  }
  Result<void> free(void *memory) override { return inner->free(memory); }
  Result<void> copy(void *to, const void *from, size_t bytes, Stream stream) override {
    return inner->copy(to, from, bytes, stream);
  }
  Result<void> clear(void *memory, size_t bytes, Stream stream) override {
    return inner->clear(memory, bytes, stream);
  }
  Result<void> synchronize(Stream stream) override { return inner->synchronize(stream); }
  Result<TensorMap> encodeTensorMap(const TensorMapDescription &description) override;
  Result<std::unique_ptr<Kernel>> loadKernel(const KernelSource &source) override;
  Result<void> launch(const Kernel &kernel, const LaunchShape &shape,
                      std::span<const std::byte> params, std::span<const Buffer> buffers,
                      Stream stream) override;
  SimulatorDevice *asSimulator() override { return inner->asSimulator(); }
  CudaDevice *asCuda() override { return inner->asCuda(); }

private:
  std::shared_ptr<Device> inner;
  std::filesystem::path folder;
  std::atomic<int> launches = 0;
  std::mutex lock;
  std::vector<std::pair<TensorMap, TensorMapDescription>> maps; // all that were encoded
};

} // namespace attncc::device
