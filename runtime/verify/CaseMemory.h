//===- CaseMemory.h - a case's memory, where a device can reach it ----------===//
//
// Internal. Cases live in host memory (CaseData.h). For the simulator that is where they stay:
// their ranges are registered, and every access is checked against them. A device with memory of
// its own gets a copy: all ranges in one allocation of bytes 0xff (NaN in every type), each between
// guards of kGuardBytes and at an address that is a multiple of 16 and of nothing larger, unless
// the range asks for more. After the run everything is copied back; a guard or a read-only range
// that changed is what a bounds check would have found, as far as writes go.
//
// A range may begin with bytes that have no content (the pages before a pool's first used one).
// Beyond kFarBytes of them the range has an allocation of its own, zero where it has no content.
// Test: test/verify/CaseMemoryTest.cpp
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"

#include <vector>

namespace attncc::verify {

class CaseMemory {
public:
  static constexpr size_t kGuardBytes = 16 << 10;
  static constexpr size_t kFarBytes = 4 << 20;

  struct Range {
    const char *label = "";
    std::byte *begin = nullptr; ///< in host memory
    size_t bytes = 0;
    size_t unbacked = 0; ///< at the beginning, without content
    bool writable = false;
    bool lasting = false;  ///< left as it is by refresh
    size_t alignment = 16; ///< a power of two, at most 256
  };

  virtual ~CaseMemory() = default;

  /// Takes the place of what was put before.
  virtual Result<void> put(std::vector<Range> ranges) = 0;
  /// The content of the ranges anew, at the addresses that they have; not on the host.
  virtual Result<void> refresh() = 0;
  /// What a device takes for this host address inside a range; null for null.
  virtual void *at(const void *host) const = 0;
  template <class T> T *at(T *host) const {
    return static_cast<T *>(at(static_cast<const void *>(host)));
  }
  /// Waits, and copies the writable ranges back. One line for each write where no kernel may write.
  virtual Result<std::vector<std::string>> take() = 0;

  /// In host memory, for a simulator.
  static std::unique_ptr<CaseMemory> onHost(device::Device &device);
  /// In the device's memory, in the order of the stream.
  static std::unique_ptr<CaseMemory> onDevice(device::Device &device, device::Stream stream);
};

} // namespace attncc::verify
