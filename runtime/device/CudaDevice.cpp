#include "runtime/device/CudaDevice.h"

#include <array>
#include <bit>
#include <fstream>

using namespace attncc;
using namespace attncc::device;

namespace attncc::device {

class CudaKernel final : public Kernel {
public:
  CudaKernel(std::shared_ptr<const CudaDevice> device, CUmodule module)
      : device(std::move(device)), module(module) {}
  ~CudaKernel() override;

  std::shared_ptr<const CudaDevice> device;
  CUmodule module;
  CUfunction function = nullptr;
  const std::string *name = nullptr;
  uint32_t shared = 0;
  bool dependentLaunch = false;
  std::vector<uint32_t> paramOffsets;
};

/// Pops what it pushed: the caller's context is current again afterwards.
class CudaDevice::Current {
public:
  explicit Current(const CudaDevice &device)
      : device(device), status(device.driver.pushContext(device.context)) {}
  ~Current() {
    CUcontext popped = nullptr;
    if (status == kCudaSuccess)
      device.driver.popContext(&popped);
  }
  Current(const Current &) = delete;
  Current &operator=(const Current &) = delete;

  const CudaDevice &device;
  const int status;
};

} // namespace attncc::device

static CUdeviceptr addressOf(const void *pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }
static CUstream streamOf(Stream stream) { return static_cast<CUstream>(stream); }

template <class Call> Result<void> CudaDevice::inContext(const char *function, Call &&call) const {
  Current current(*this);
  if (current.status != kCudaSuccess)
    return failure("cuCtxPushCurrent", current.status);
  return check(function, call());
}

template <class Call> Result<void> CudaDevice::giveBack(const char *function, Call &&call) const {
  Current current(*this);
  const int status = call();
  if (current.status != kCudaSuccess)
    return failure("cuCtxPushCurrent", current.status);
  return check(function, status);
}

Error CudaDevice::failure(const char *function, int status) const {
  std::string message = std::string(function) + " gives " + driver.text(status);
  const std::string *last = lastLaunch.load(std::memory_order_relaxed);
  const bool sticky = status >= kCudaIllegalAddress && status <= kCudaLaunchFailed;
  if (sticky && last)
    message += "; the last launch here was " + *last;
  Status code = Status::DeviceError;
  if (status == kCudaOutOfMemory)
    code = Status::OutOfMemory;
  else if (status >= kCudaFirstCaptureError && status <= kCudaLastCaptureError)
    code = Status::Capturing;
  return makeError(code, std::move(message));
}

Result<void> CudaDevice::check(const char *function, int status) const {
  if (status == kCudaSuccess)
    return {};
  return failure(function, status);
}

//===----------------------------------------------------------------------===//
// The device
//===----------------------------------------------------------------------===//

Result<std::shared_ptr<CudaDevice>> CudaDevice::open(int ordinal) {
  const Result<CudaDriver> &driver = CudaDriver::get();
  if (!driver)
    return driver.error();
  int count = 0;
  if (int status = driver->deviceGetCount(&count); status != kCudaSuccess)
    return makeError(Status::DeviceError, "cuDeviceGetCount gives " + driver->text(status));
  if (ordinal < 0 || ordinal >= count)
    return makeError(Status::Unsupported, count == 0
                                              ? std::string("the CUDA driver sees no GPU")
                                              : "there is no GPU " + std::to_string(ordinal) +
                                                    ": the CUDA driver sees " +
                                                    std::to_string(count) + ", counted from 0");
  std::shared_ptr<CudaDevice> device(new CudaDevice(*driver, ordinal));
  if (Result<void> prepared = device->prepare(); !prepared)
    return prepared.error();
  return device;
}

/// "580.159.04", or the newest CUDA where the kernel module does not say.
static std::string driverName(int cudaVersion) {
  std::ifstream file("/sys/module/nvidia/version");
  std::string version;
  if (std::getline(file, version) && !version.empty())
    return version;
  return "of CUDA " + std::to_string(cudaVersion / 1000) + "." +
         std::to_string(cudaVersion % 1000 / 10);
}

Result<void> CudaDevice::prepare() {
  if (int status = driver.deviceGet(&handle, ordinal); status != kCudaSuccess)
    return failure("cuDeviceGet", status);
  char name[128] = "";
  if (int status = driver.deviceGetName(name, sizeof name - 1, handle); status != kCudaSuccess)
    return failure("cuDeviceGetName", status);
  int major = 0, minor = 0, shared = 0, l2 = 0;
  for (auto [attribute, value] :
       {std::pair(kCudaCapabilityMajor, &major), std::pair(kCudaCapabilityMinor, &minor),
        std::pair(kCudaMaxSharedOptin, &shared), std::pair(kCudaL2Bytes, &l2),
        std::pair(kCudaMultiprocessors, &deviceInfo.multiprocessors)})
    if (int status = driver.deviceGetAttribute(value, attribute, handle); status != kCudaSuccess)
      return failure("cuDeviceGetAttribute", status);
  bytesOfL2 = l2;
  deviceInfo.name = "cuda:" + std::to_string(ordinal);
  deviceInfo.description = std::string(name) + " (sm_" + std::to_string(10 * major + minor) +
                           ", driver " + driverName(driver.version) + ")";
  deviceInfo.computeCapability = 10 * major + minor;
  deviceInfo.ptxVersion = driver.ptxVersion();
  deviceInfo.maxShared = shared;
  deviceInfo.loadsCubins = true;
  return check("cuDevicePrimaryCtxRetain", driver.primaryRetain(&context, handle));
}

CudaDevice::~CudaDevice() {
  if (context)
    driver.primaryRelease(handle);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Result<void *> CudaDevice::allocate(size_t bytes, std::string_view) {
  if (bytes == 0)
    return makeError(Status::InvalidArgument, "bytes is 0, must be at least 1");
  CUdeviceptr memory = 0;
  Result<void> allocated =
      inContext("cuMemAlloc", [&] { return driver.memoryAllocate(&memory, bytes); });
  if (!allocated) {
    Error error = allocated.error();
    if (error.status == Status::OutOfMemory)
      error.diagnostic.message = "cannot allocate " + std::to_string(bytes) + " bytes";
    return error;
  }
  // A stream of its own kind may use the memory next, so the fill is waited for.
  Result<void> filled =
      inContext("cuMemsetD8Async", [&] { return driver.memorySet(memory, 0xff, bytes, nullptr); });
  if (filled)
    filled = synchronize(nullptr);
  if (!filled) {
    (void)free(reinterpret_cast<void *>(memory));
    return filled.error();
  }
  return reinterpret_cast<void *>(memory);
}

Result<void> CudaDevice::registerMemory(void *memory, size_t bytes, std::string_view) {
  if (!memory || bytes == 0)
    return makeError(Status::InvalidArgument, "memory must not be null and bytes at least 1");
  return {};
}

Result<void> CudaDevice::free(void *memory) {
  if (!memory)
    return {};
  return giveBack("cuMemFree", [&] { return driver.memoryFree(addressOf(memory)); });
}

Result<bool> CudaDevice::isOnDevice(const void *memory) const {
  // Of memory that the driver has never seen the type stays 0, and the call succeeds.
  unsigned type = 0;
  int attribute = kCudaPointerMemoryType;
  void *value = &type;
  if (int status = driver.pointerGetAttributes(1, &attribute, &value, addressOf(memory));
      status != kCudaSuccess)
    return failure("cuPointerGetAttributes", status);
  return type == kCudaMemoryTypeDevice;
}

Result<void> CudaDevice::notCapturing(const char *what, Stream stream) const {
  int capturing = 0;
  if (Result<void> asked =
          inContext("cuStreamIsCapturing",
                    [&] { return driver.streamIsCapturing(streamOf(stream), &capturing); });
      !asked)
    return asked;
  if (capturing)
    return makeError(Status::Capturing,
                     std::string("the stream is being captured: ") + what + " waits for it");
  return {};
}

Result<void> CudaDevice::copy(void *to, const void *from, size_t bytes, Stream stream) {
  if (bytes == 0)
    return {};
  if (!to || !from)
    return makeError(Status::InvalidArgument, "to and from must not be null");
  Result<bool> toDevice = false, fromDevice = false;
  {
    Current current(*this);
    if (current.status != kCudaSuccess)
      return failure("cuCtxPushCurrent", current.status);
    toDevice = isOnDevice(to);
    fromDevice = isOnDevice(from);
  }
  if (!toDevice || !fromDevice)
    return (!toDevice ? toDevice : fromDevice).error();
  const bool waits = !*toDevice || !*fromDevice;
  if (waits)
    if (Result<void> legal = notCapturing("a copy of host memory", stream); !legal)
      return legal;
  Result<void> copied = inContext("cuMemcpyAsync", [&] {
    return driver.memoryCopy(addressOf(to), addressOf(from), bytes, streamOf(stream));
  });
  return copied && waits ? synchronize(stream) : copied;
}

Result<void> CudaDevice::clear(void *memory, size_t bytes, Stream stream) {
  if (bytes == 0)
    return {};
  return inContext("cuMemsetD8Async",
                   [&] { return driver.memorySet(addressOf(memory), 0, bytes, streamOf(stream)); });
}

Result<void> CudaDevice::synchronize(Stream stream) {
  if (Result<void> legal = notCapturing("this call", stream); !legal)
    return legal;
  return inContext("cuStreamSynchronize",
                   [&] { return driver.streamSynchronize(streamOf(stream)); });
}

Result<TensorMap> CudaDevice::encodeTensorMap(const TensorMapDescription &description) {
  if (!driver.tensorMapEncodeTiled)
    return makeError(Status::Unsupported,
                     "the CUDA driver has no cuTensorMapEncodeTiled: tensor maps need a driver of "
                     "CUDA 12.0 (525) or later");
  const int type = description.element == TensorMapDescription::Element::F16 ? kCudaTensorMapF16
                                                                             : kCudaTensorMapBF16;
  const uint32_t everyElement[5] = {1, 1, 1, 1, 1};
  // The enumerations count powers of two, from 32 and from 64 bytes.
  const int swizzle = static_cast<int>(std::bit_width(description.swizzle / 32)),
            promotion = static_cast<int>(std::bit_width(description.l2Promotion / 64));
  alignas(kTensorMapAlignment) TensorMap map;
  if (Result<void> encoded = inContext("cuTensorMapEncodeTiled",
                                       [&] {
                                         return driver.tensorMapEncodeTiled(
                                             map.bytes.data(), type, description.rank,
                                             const_cast<void *>(description.begin),
                                             description.dims.data(), description.strides.data(),
                                             description.box.data(), everyElement, /*interleave=*/0,
                                             swizzle, promotion, description.fillNaN);
                                       });
      !encoded)
    return encoded.error();
  return map;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

CudaKernel::~CudaKernel() {
  (void)device->giveBack("cuModuleUnload", [&] { return device->driver.moduleUnload(module); });
}

/// Whether the driver says with `status` that an image is not for this GPU, or not for this driver.
static bool isRefusal(int status) {
  return status == kCudaInvalidImage || status == kCudaNoBinaryForGpu ||
         status == kCudaUnsupportedPtxVersion || status == kCudaInvalidSource;
}

Result<std::unique_ptr<Kernel>> CudaDevice::loadKernel(const KernelSource &source) {
  if (source.paramOffsets.size() > kMostParams)
    return makeError(Status::Unsupported,
                     source.entry + " has " + std::to_string(source.paramOffsets.size()) +
                         " parameters: at most " + std::to_string(kMostParams) + " can be passed");
  // PTX is zero-terminated, as the driver wants text.
  const bool assembled = !source.cubin.empty();
  const std::string image(assembled ? source.cubin : source.ptx);
  std::array<char, 4096> log = {};
  int options[] = {kCudaJitErrorLog, kCudaJitErrorLogBytes};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size() - 1)};
  auto inFile = [&](Error error) {
    error.diagnostic.where.file = source.file;
    return error;
  };

  CUmodule module = nullptr;
  int status = kCudaSuccess;
  Result<void> loaded = inContext("cuModuleLoadDataEx", [&] {
    return status = driver.moduleLoad(&module, image.c_str(), 2, options, values);
  });
  if (!loaded) {
    Error error = loaded.error();
    if (assembled && isRefusal(status)) {
      error.status = Status::Unsupported;
      error.diagnostic.code = kCubinRefused;
    } else if (status == kCudaInvalidPtx || status == kCudaUnsupportedPtxVersion) {
      error.status = Status::InvalidPackage;
    }
    std::string reason(log.data());
    while (!reason.empty() && (reason.back() == '\n' || reason.back() == ' '))
      reason.pop_back();
    for (size_t end = 0; (end = reason.find('\n')) != reason.npos;)
      reason.replace(end, 1, "; ");
    if (!reason.empty())
      error.diagnostic.message += ": " + reason;
    return inFile(std::move(error));
  }

  auto kernel = std::make_unique<CudaKernel>(shared_from_this(), module);
  kernel->shared = source.shared;
  kernel->dependentLaunch = source.dependentLaunch;
  kernel->paramOffsets = source.paramOffsets;
  {
    std::lock_guard guard(namesLock);
    kernel->name = &*names.insert(source.entry).first;
  }
  Result<void> found = inContext("cuModuleGetFunction", [&] {
    return status = driver.moduleGetFunction(&kernel->function, module, source.entry.c_str());
  });
  if (!found && status == kCudaNotFound)
    return inFile(makeError(Status::InvalidPackage, "has no entry " + source.entry));
  if (found && source.shared > 0)
    found = inContext("cuFuncSetAttribute", [&] {
      return driver.functionSetAttribute(kernel->function, kCudaMaxDynamicShared,
                                         static_cast<int>(source.shared));
    });
  // Drivers that load lazily would do so at the first launch, which may be in a capture.
  if (found && driver.functionLoad)
    found = inContext("cuFuncLoad", [&] { return driver.functionLoad(kernel->function); });
  if (!found)
    return inFile(found.error());
  return std::unique_ptr<Kernel>(std::move(kernel));
}

Result<void> CudaDevice::launch(const Kernel &kernel, const LaunchShape &shape,
                                std::span<const std::byte> params, std::span<const Buffer>,
                                Stream stream) {
  const auto &own = static_cast<const CudaKernel &>(kernel);
  auto *bytes = const_cast<std::byte *>(params.data());
  size_t numBytes = params.size();
  void *pointers[kMostParams];
  void *buffer[] = {kCudaLaunchParamBuffer, bytes, kCudaLaunchParamBufferSize, &numBytes,
                    kCudaLaunchParamEnd};
  const bool oneByOne = !own.paramOffsets.empty();
  for (size_t i = 0; i < own.paramOffsets.size(); ++i)
    pointers[i] = bytes + own.paramOffsets[i];
  void **given = oneByOne ? pointers : nullptr, **extra = oneByOne ? nullptr : buffer;
  lastLaunch.store(own.name, std::memory_order_relaxed);
  const auto &[gridX, gridY, gridZ] = shape.grid;
  const auto &[blockX, blockY, blockZ] = shape.block;
  if (own.dependentLaunch && driver.launchKernelEx) {
    // The kernel waits by itself for the launches in front of it.
    CudaLaunchAttribute attribute;
    attribute.id = kCudaProgrammaticStreamSerialization;
    attribute.value[0] = 1;
    const CudaLaunchConfig config = {{gridX, gridY, gridZ},
                                     {blockX, blockY, blockZ},
                                     own.shared,
                                     streamOf(stream),
                                     &attribute,
                                     1};
    return inContext("cuLaunchKernelEx",
                     [&] { return driver.launchKernelEx(&config, own.function, given, extra); });
  }
  return inContext("cuLaunchKernel", [&] {
    return driver.launchKernel(own.function, gridX, gridY, gridZ, blockX, blockY, blockZ,
                               own.shared, streamOf(stream), given, extra);
  });
}

//===----------------------------------------------------------------------===//
// Streams, graphs, events
//===----------------------------------------------------------------------===//

constexpr unsigned kNonBlocking = 1;       // CU_STREAM_NON_BLOCKING
constexpr int kCaptureModeThreadLocal = 1; // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

Result<Stream> CudaDevice::openStream() {
  CUstream stream = nullptr;
  if (Result<void> created =
          inContext("cuStreamCreate", [&] { return driver.streamCreate(&stream, kNonBlocking); });
      !created)
    return created.error();
  return static_cast<Stream>(stream);
}

Result<void> CudaDevice::closeStream(Stream stream) {
  return giveBack("cuStreamDestroy", [&] { return driver.streamDestroy(streamOf(stream)); });
}

Result<std::unique_ptr<Graph>> CudaDevice::capture(Stream stream,
                                                   const std::function<Result<void>()> &body) {
  if (Result<void> begun = inContext(
          "cuStreamBeginCapture",
          [&] { return driver.streamBeginCapture(streamOf(stream), kCaptureModeThreadLocal); });
      !begun)
    return begun.error();
  Result<void> recorded = body();
  CUgraph graph = nullptr;
  Result<void> ended = inContext("cuStreamEndCapture",
                                 [&] { return driver.streamEndCapture(streamOf(stream), &graph); });
  if (recorded && !ended)
    recorded = ended;
  if (!recorded) {
    if (graph)
      (void)giveBack("cuGraphDestroy", [&] { return driver.graphDestroy(graph); });
    return recorded.error();
  }
  CUgraphExec executable = nullptr;
  Result<void> made = inContext("cuGraphInstantiateWithFlags",
                                [&] { return driver.graphInstantiate(&executable, graph, 0); });
  (void)giveBack("cuGraphDestroy", [&] { return driver.graphDestroy(graph); });
  if (!made)
    return made.error();
  return std::unique_ptr<Graph>(new Graph(shared_from_this(), executable));
}

Result<std::unique_ptr<Event>> CudaDevice::createEvent() {
  CUevent event = nullptr;
  if (Result<void> created =
          inContext("cuEventCreate", [&] { return driver.eventCreate(&event, 0); });
      !created)
    return created.error();
  return std::unique_ptr<Event>(new Event(shared_from_this(), event));
}

Graph::~Graph() {
  (void)device->giveBack("cuGraphExecDestroy",
                         [&] { return device->driver.graphExecDestroy(executable); });
}

Result<void> Graph::launch(Stream stream) const {
  return device->inContext(
      "cuGraphLaunch", [&] { return device->driver.graphLaunch(executable, streamOf(stream)); });
}

Event::~Event() {
  (void)device->giveBack("cuEventDestroy", [&] { return device->driver.eventDestroy(event); });
}

Result<void> Event::record(Stream stream) const {
  return device->inContext("cuEventRecord",
                           [&] { return device->driver.eventRecord(event, streamOf(stream)); });
}

Result<void> Event::wait() const {
  return device->inContext("cuEventSynchronize",
                           [&] { return device->driver.eventSynchronize(event); });
}

Result<double> Event::microsecondsSince(const Event &begin) const {
  float milliseconds = 0;
  if (Result<void> read = device->inContext(
          "cuEventElapsedTime",
          [&] { return device->driver.eventElapsed(&milliseconds, begin.event, event); });
      !read)
    return read.error();
  return 1000.0 * milliseconds;
}
