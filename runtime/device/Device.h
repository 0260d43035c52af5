//===- Device.h - where kernels run -----------------------------------------===//
//
// Internal. The few things the runtime asks of a device: memory, copies, kernels and launches in
// the order of a stream. CudaDevice.h implements it on a GPU, SimulatorDevice.h without one. A
// launch names what each pointer parameter covers (Buffer), so that a device which checks accesses
// can do so parameter by parameter and name the parameter in what it finds. Test:
// test/runtime/device/DeviceTest.cpp, one conformance suite for every device.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::device {

/// What the choice of a target needs to know, and what people are told.
struct DeviceInfo {
  std::string name;          ///< as it was opened, e.g. "sim"
  std::string description;   ///< e.g. "simulator (sm_80)"
  int computeCapability = 0; ///< 10 * major + minor
  int ptxVersion = 0;        ///< newest PTX that it compiles, 10 * major + minor
  int64_t maxShared = 0;     ///< dynamic shared memory of a block in bytes, opt-in
  int multiprocessors = 0;
  bool loadsCubins = false; ///< machine code of its own architecture, beside PTX
};

/// A kernel that is ready to be launched; made by and for one device, which it keeps alive.
class Kernel {
public:
  virtual ~Kernel() = default;
};

/// Code of the error of a device that cannot run a cubin it was given; the PTX may do.
inline constexpr const char *kCubinRefused = "cubin-refused";

struct KernelSource {
  std::string_view ptx;
  std::string entry;
  std::string file;    ///< names what is loaded in messages
  uint32_t shared = 0; ///< dynamic shared memory in bytes
  /// The kernel waits by itself for the launches in front of it, so it may start before they end.
  bool dependentLaunch = false;
  /// Of each parameter in the bytes that a launch is given; at most kMostParams. Without them the
  /// bytes are one block, which no kernel with tensor maps can be given: the driver's compiler
  /// aligns those to the place that it has for all parameters.
  std::vector<uint32_t> paramOffsets = {};
  /// The PTX assembled, to be loaded in its place; only for devices that load cubins.
  std::string_view cubin = {};
};
inline constexpr size_t kMostParams = 256;

/// [begin, begin + bytes) of device memory that a kernel may touch through parameter `name`.
struct Buffer {
  const char *name = "";
  const void *begin = nullptr;
  uint64_t bytes = 0;
  bool writable = false;
};

struct LaunchShape {
  std::array<uint32_t, 3> grid = {1, 1, 1}, block = {1, 1, 1};
};

/// What a tensor map says (CUDA Driver API, cuTensorMapEncodeTiled). Dimensions run from the
/// innermost, whose elements are adjacent, to the outermost.
struct TensorMapDescription {
  enum class Element { F16, BF16 };
  Element element = Element::BF16;
  const void *begin = nullptr;       ///< a multiple of 16
  uint32_t rank = 0;                 ///< 1 to 5
  std::array<uint64_t, 5> dims = {}; ///< elements
  /// Bytes, of dimensions 1 and up: multiples of 16 below kTensorStrideLimit.
  std::array<uint64_t, 4> strides = {};
  std::array<uint32_t, 5> box = {}; ///< elements, at most 256
  uint32_t swizzle = 0;             ///< bytes: 0, 32, 64 or 128
  uint32_t l2Promotion = 0;         ///< bytes: 0, 64, 128 or 256
  bool fillNaN = false;             ///< elements out of bounds are NaN, else 0
};
inline constexpr uint64_t kTensorStrideLimit = uint64_t(1) << 40;

/// An encoded tensor map, as a kernel takes it by value at a multiple of kTensorMapAlignment.
struct TensorMap {
  std::array<std::byte, 128> bytes = {};
};
inline constexpr size_t kTensorMapAlignment = 64;

using Stream = void *;

class SimulatorDevice;
class CudaDevice;

/// Thread-safe. Memory that allocate gave belongs to the device and goes with it.
class Device {
public:
  virtual ~Device() = default;

  /// "sim", "sim:sm_80", "sim:sm_90a" or "cuda:N". Unsupported if there is no such device, any
  /// other name is InvalidArgument.
  static Result<std::shared_ptr<Device>> open(std::string_view name);

  virtual const DeviceInfo &info() const = 0;

  /// At least 256-byte aligned. Its content is NaN in every float type (bytes 0xff); a simulator's
  /// is zero if it has more than SimulatorDevice::kFilledBytes.
  virtual Result<void *> allocate(size_t bytes, std::string_view label) = 0;
  /// Makes the caller's memory addressable. No effect on devices that need no such call.
  virtual Result<void> registerMemory(void *memory, size_t bytes, std::string_view label) = 0;
  /// Frees what allocate gave, or ends a registration.
  virtual Result<void> free(void *memory) = 0;
  /// Between host and device memory in any direction, in the stream's order; host memory may be
  /// reused on return.
  virtual Result<void> copy(void *to, const void *from, size_t bytes, Stream stream) = 0;
  virtual Result<void> clear(void *memory, size_t bytes, Stream stream) = 0;
  virtual Result<void> synchronize(Stream stream) = 0;

  /// The map in the device's own encoding. Host work only; Unsupported where there are no tensor
  /// maps.
  virtual Result<TensorMap> encodeTensorMap(const TensorMapDescription &description);

  virtual Result<std::unique_ptr<Kernel>> loadKernel(const KernelSource &source) = 0;
  /// `params` are the kernel's parameters at natural alignment. Without buffers the kernel may
  /// touch all memory of the device.
  virtual Result<void> launch(const Kernel &kernel, const LaunchShape &shape,
                              std::span<const std::byte> params, std::span<const Buffer> buffers,
                              Stream stream) = 0;

  /// This device as a simulator, with its meter and findings; null for others.
  virtual SimulatorDevice *asSimulator() { return nullptr; }
  /// This device as a GPU, with its streams, graphs and events; null for others.
  virtual CudaDevice *asCuda() { return nullptr; }
};

} // namespace attncc::device
