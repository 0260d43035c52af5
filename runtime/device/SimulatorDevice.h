//===- SimulatorDevice.h - the PTX simulator as a device --------------------===//
//
// Internal. Device pointers are host pointers. A launch may touch exactly the buffers that its
// parameters name, cut to registered and allocated memory; where buffers of several parameters
// overlap (K and V interleaved in one page, query written in place) the bytes that they share carry
// the joined name, "k+v". Launches run at once, so streams and synchronize have nothing to do.
// A finding of the simulator is an error of the launch, and is in the report as well.
// Test: test/runtime/device.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/simulator/Simulator.h"

#include <map>
#include <mutex>
#include <vector>

namespace attncc::device {

/// What one launch did.
struct LaunchReport {
  std::string entry;
  LaunchShape shape;
  simulator::Report report;
};

class SimulatorDevice final : public Device, public std::enable_shared_from_this<SimulatorDevice> {
public:
  /// Larger allocations are sparse and start as zero.
  static constexpr size_t kFilledBytes = 64 << 20;

  /// `target` is "sm_80" or "sm_90a": the GPU runs that target's kernels at best. Empty: all that
  /// the simulator executes.
  static Result<std::shared_ptr<SimulatorDevice>> open(std::string_view target,
                                                       const simulator::Options &options = {});
  ~SimulatorDevice() override;

  const DeviceInfo &info() const override { return deviceInfo; }
  Result<void *> allocate(size_t bytes, std::string_view label) override;
  Result<void> registerMemory(void *memory, size_t bytes, std::string_view label) override;
  Result<void> free(void *memory) override;
  Result<void> copy(void *to, const void *from, size_t bytes, Stream stream) override;
  Result<void> clear(void *memory, size_t bytes, Stream stream) override;
  Result<void> synchronize(Stream stream) override { return {}; }
  Result<TensorMap> encodeTensorMap(const TensorMapDescription &description) override;
  Result<std::unique_ptr<Kernel>> loadKernel(const KernelSource &source) override;
  Result<void> launch(const Kernel &kernel, const LaunchShape &shape,
                      std::span<const std::byte> params, std::span<const Buffer> buffers,
                      Stream stream) override;
  SimulatorDevice *asSimulator() override { return this; }

  /// Options of the launches that follow.
  void setOptions(const simulator::Options &options);
  /// While recording is on (it is off at the start), each launch's report is kept for takeReports.
  void setRecording(bool on);
  std::vector<LaunchReport> takeReports();

private:
  explicit SimulatorDevice(const simulator::Options &options) : options(options) {}
  simulator::MemoryMap mapFor(std::span<const Buffer> buffers) const;

  DeviceInfo deviceInfo;
  mutable std::mutex lock;
  simulator::Options options;
  simulator::MemoryMap memory;
  std::map<const void *, size_t> mappings; // bytes mapped for each allocation
  bool recording = false;
  std::vector<LaunchReport> reports;
};

} // namespace attncc::device
