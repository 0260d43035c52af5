//===- Machine.h - a device that tells time ----------------------------------===//
//
// Internal. What bench asks of a device beside memory and launches: to record work once and to say
// how long a replay of it takes. On a GPU a recording is a CUDA graph. A replay is timed behind
// another one, so that the GPU is busy while the host submits it and only its own time lies between
// the two events.
// Tests: test/bench/CudaBenchTest.cpp; test/bench/BenchTest.cpp, with a stopwatch of its own.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"

#include <functional>
#include <vector>

namespace attncc::bench {

class Recording {
public:
  virtual ~Recording() = default;
  /// Runs the work, and again; microseconds that the second run took on the device.
  virtual Result<double> run() = 0;
  /// Runs the work `count` times in a row; microseconds of each run.
  virtual Result<std::vector<double>> runs(int64_t count) = 0;
};

class Stopwatch {
public:
  using Work = std::function<Result<void>(device::Stream)>;
  virtual ~Stopwatch() = default;
  /// The stream for all of bench's copies and launches.
  virtual device::Stream stream() const = 0;
  /// Calls `work` once; it may launch and nothing else.
  virtual Result<std::unique_ptr<Recording>> record(const Work &work) = 0;
  /// Waits, while the device has nothing to do.
  virtual void rest(double microseconds) = 0;
};

struct Machine {
  std::shared_ptr<device::Device> device;
  std::shared_ptr<Stopwatch> stopwatch;
  int64_t l2Bytes = 0;

  device::Stream stream() const { return stopwatch->stream(); }
};

/// Unsupported for a simulator, which does not tell time.
Result<Machine> openMachine(const std::string &deviceName);

/// Device memory that is freed at the end of its life.
class Memory {
public:
  Memory() = default;
  static Result<Memory> allocate(std::shared_ptr<device::Device> device, size_t bytes,
                                 const char *label);
  Memory(Memory &&other) noexcept { *this = std::move(other); }
  Memory &operator=(Memory &&other) noexcept;
  ~Memory();

  template <class T> T *as() const { return static_cast<T *>(begin); }
  size_t bytes() const { return size; }

private:
  std::shared_ptr<device::Device> device;
  void *begin = nullptr;
  size_t size = 0;
};

} // namespace attncc::bench
