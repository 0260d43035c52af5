//===- CudaDevice.h - a GPU through the CUDA driver -------------------------===//
//
// Internal. Works in the device's primary context, which PyTorch and the CUDA runtime use too:
// their streams and memory may be handed in as they are. Every call pushes that context and pops
// it.
//
//   allocate      cuMemAlloc, filled with bytes 0xff
//   copy          returns once host memory may be reused; between two places on the device it is
//                 only put on the stream
//   loadKernel    the driver loads the cubin; without one it compiles the PTX, and keeps the result
//                 in its own cache
//   launch        one driver call between the push and the pop: no allocation, no lock, no wait
//
// While a stream is captured, launch, clear and copies on the device become nodes of the graph;
// what would wait is Capturing. After a fault on the GPU no call of the process succeeds: the error
// names the kernel that was launched last.
//
// Beside the interface: streams, captured graphs and events, for verify and bench.
// Tests: test/runtime/device/DeviceTest.cpp on a GPU; test/runtime/cuda/CudaTest.cpp on a driver
// that fails at will.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/CudaDriver.h"
#include "runtime/device/Device.h"

#include <atomic>
#include <functional>
#include <mutex>
#include <set>

namespace attncc::device {

/// What a capture recorded, ready to be launched. Keeps its device alive.
class Graph {
public:
  ~Graph();
  /// Once, on any stream.
  Result<void> launch(Stream stream) const;

private:
  friend class CudaDevice;
  Graph(std::shared_ptr<const CudaDevice> device, CUgraphExec executable)
      : device(std::move(device)), executable(executable) {}
  std::shared_ptr<const CudaDevice> device;
  CUgraphExec executable;
};

/// A moment in a stream. Keeps its device alive.
class Event {
public:
  ~Event();
  Result<void> record(Stream stream) const;
  /// Waits until the stream has passed the recorded moment.
  Result<void> wait() const;
  /// Microseconds from `begin` to this event; both have passed.
  Result<double> microsecondsSince(const Event &begin) const;

private:
  friend class CudaDevice;
  Event(std::shared_ptr<const CudaDevice> device, CUevent event)
      : device(std::move(device)), event(event) {}
  std::shared_ptr<const CudaDevice> device;
  CUevent event;
};

class CudaDevice final : public Device, public std::enable_shared_from_this<CudaDevice> {
public:
  /// `ordinal` counts the devices that CUDA_VISIBLE_DEVICES leaves.
  static Result<std::shared_ptr<CudaDevice>> open(int ordinal);
  ~CudaDevice() override;

  const DeviceInfo &info() const override { return deviceInfo; }
  Result<void *> allocate(size_t bytes, std::string_view label) override;
  Result<void> registerMemory(void *memory, size_t bytes, std::string_view label) override;
  Result<void> free(void *memory) override;
  Result<void> copy(void *to, const void *from, size_t bytes, Stream stream) override;
  Result<void> clear(void *memory, size_t bytes, Stream stream) override;
  Result<void> synchronize(Stream stream) override;
  Result<TensorMap> encodeTensorMap(const TensorMapDescription &description) override;
  Result<std::unique_ptr<Kernel>> loadKernel(const KernelSource &source) override;
  Result<void> launch(const Kernel &kernel, const LaunchShape &shape,
                      std::span<const std::byte> params, std::span<const Buffer> buffers,
                      Stream stream) override;
  CudaDevice *asCuda() override { return this; }

  int64_t l2Bytes() const { return bytesOfL2; }

  /// A stream that does not wait for the legacy default stream; destroyed by closeStream.
  Result<Stream> openStream();
  Result<void> closeStream(Stream stream);
  /// What `body` puts on the stream, of this thread. Its error ends the capture and is the result.
  Result<std::unique_ptr<Graph>> capture(Stream stream, const std::function<Result<void>()> &body);
  Result<std::unique_ptr<Event>> createEvent();

private:
  friend class CudaKernel;
  friend class Graph;
  friend class Event;
  class Current; // the context, pushed for as long as it lives

  CudaDevice(const CudaDriver &driver, int ordinal) : driver(driver), ordinal(ordinal) {}
  Result<void> prepare();
  /// An error for a driver call that did not succeed.
  Error failure(const char *function, int status) const;
  Result<void> check(const char *function, int status) const;
  /// Runs `call` in the context; its result is a CUresult of `function`.
  template <class Call> Result<void> inContext(const char *function, Call &&call) const;
  /// The same for what gives something back: that is tried even without the context.
  template <class Call> Result<void> giveBack(const char *function, Call &&call) const;
  Result<bool> isOnDevice(const void *memory) const;
  Result<void> notCapturing(const char *what, Stream stream) const;

  const CudaDriver &driver;
  const int ordinal;
  int handle = 0; // CUdevice
  CUcontext context = nullptr;
  DeviceInfo deviceInfo;
  int64_t bytesOfL2 = 0;
  std::mutex namesLock;
  std::set<std::string> names;                                   // of the kernels loaded so far
  mutable std::atomic<const std::string *> lastLaunch = nullptr; // one of names
};

} // namespace attncc::device
