#include "test/runtime/cuda/FakeCuda.h"

#include "runtime/device/CudaDriver.h"
#include "runtime/simulator/Simulator.h"
#include "runtime/simulator/TensorMap.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

using namespace attncc;
using namespace attncc::device;

namespace {

constexpr int kInvalidContext = 201;                            // CUDA_ERROR_INVALID_CONTEXT
constexpr int kUnsupportedInCapture = 900, kNotCapturing = 903; // CUDA_ERROR_STREAM_CAPTURE_…

/// Of one function of the driver.
struct Counter {
  const char *name;
  std::atomic<long> calls = 0;
  std::atomic<long> failing = 0; // the call that fails, 0: none
  std::atomic<int> status = 0;

  /// Counts this call; what it must give instead of doing anything, or 0.
  int enter() {
    long number = ++calls;
    return number == failing.load(std::memory_order_relaxed) ? status.load() : kCudaSuccess;
  }
};

#define ATTNCC_INDEX(name, symbol, params) k_##name,
enum Function { ATTNCC_CUDA_FUNCTIONS(ATTNCC_INDEX) ATTNCC_CUDA_OPTIONAL_FUNCTIONS(ATTNCC_INDEX) };
#undef ATTNCC_INDEX
#define ATTNCC_COUNTER(name, symbol, params) {symbol},
Counter counters[] = {ATTNCC_CUDA_FUNCTIONS(ATTNCC_COUNTER)
                          ATTNCC_CUDA_OPTIONAL_FUNCTIONS(ATTNCC_COUNTER)};
#undef ATTNCC_COUNTER

std::atomic<bool> idle = false;
std::atomic<long> live = 0;
thread_local int contexts = 0; // pushed by this thread

std::mutex lock; // of what follows
simulator::MemoryMap memoryMap;
std::map<CUdeviceptr, std::unique_ptr<std::byte[]>> allocations;

using Work = std::function<int()>;

} // namespace

// The driver's opaque types.
namespace attncc::device {
struct CUctx_st {};
struct CUfunc_st {
  std::shared_ptr<const simulator::Module> module;
  simulator::EntryInfo info;
};
struct CUmod_st {
  std::shared_ptr<const simulator::Module> module;
  std::vector<std::unique_ptr<CUfunc_st>> functions;
};
struct CUgraph_st {
  std::vector<Work> nodes;
};
struct CUgraphExec_st {
  std::vector<Work> nodes;
};
struct CUstream_st {
  std::unique_ptr<CUgraph_st> capture;
};
struct CUevent_st {};
} // namespace attncc::device

namespace {
CUctx_st primary;

/// Now, or when the graph that is being captured is launched.
int enqueue(CUstream stream, Work work) {
  if (!stream || !stream->capture)
    return work();
  stream->capture->nodes.push_back(std::move(work));
  return kCudaSuccess;
}

int runKernel(CUfunction function, simulator::Launch launch,
              const std::vector<std::byte> &parameters) {
  simulator::MemoryMap map;
  {
    std::lock_guard guard(lock);
    map = memoryMap;
  }
  launch.parameters = parameters;
  simulator::Options options;
  options.tensorCore = simulator::TensorCore::Sm90;
  options.meter = false;
  options.threads = 1;
  Result<simulator::Report> report =
      simulator::run(*function->module, function->info.name, launch, map, options);
  if (!report)
    return kCudaInvalidValue;
  if (report->findings.empty())
    return kCudaSuccess;
  std::fprintf(stderr, "libcuda.so.1 of the tests: %s\n", report->findings.front().text().c_str());
  return kCudaIllegalAddress;
}

int launchKernel(CUfunction function, const unsigned *grid, const unsigned *block,
                 unsigned sharedBytes, CUstream stream, void **params, void **extra) {
  if (idle.load(std::memory_order_relaxed))
    return kCudaSuccess;
  std::vector<std::byte> parameters(function->info.parameterBytes);
  const void *buffer = nullptr;
  size_t size = 0;
  for (; extra && *extra != kCudaLaunchParamEnd; extra += 2)
    if (extra[0] == kCudaLaunchParamBuffer)
      buffer = extra[1];
    else
      size = *static_cast<const size_t *>(extra[1]);
  if (buffer && size != parameters.size())
    return kCudaInvalidValue;
  if (buffer)
    std::memcpy(parameters.data(), buffer, size);
  if (params)
    for (const simulator::EntryInfo::Parameter &parameter : function->info.parameters)
      std::memcpy(parameters.data() + parameter.offset, *params++, parameter.bytes);
  simulator::Launch launch;
  launch.grid = {grid[0], grid[1], grid[2]};
  launch.block = {block[0], block[1], block[2]};
  launch.dynamicShared = sharedBytes;
  return enqueue(stream, [function, launch, parameters = std::move(parameters)] {
    return runKernel(function, launch, parameters);
  });
}

} // namespace

#define ENTER(name)                                                                                \
  if (int status = counters[k_##name].enter(); status != kCudaSuccess)                             \
    return status;
// Streams and graphs know their context; what an engine does with its own is not looked at.
#define ENTER_CURRENT(name)                                                                        \
  ENTER(name)                                                                                      \
  if (contexts == 0)                                                                               \
    return kInvalidContext;

extern "C" {

void fake_cuda_reset(void) {
  for (Counter &counter : counters)
    counter.calls = counter.failing = 0;
  idle = false;
}
void fake_cuda_fail(const char *function, long nth, int status) {
  for (Counter &counter : counters)
    if (!std::strcmp(counter.name, function)) {
      counter.status = status;
      counter.failing = counter.calls + nth;
    }
}
void fake_cuda_idle(void) { idle = true; }
long fake_cuda_calls(const char *function) {
  long calls = 0;
  for (const Counter &counter : counters)
    if (!function || !std::strcmp(counter.name, function))
      calls += counter.calls;
  return calls;
}
long fake_cuda_live(void) { return live; }

int cuInit(unsigned) {
  ENTER(init)
  return kCudaSuccess;
}
int cuDriverGetVersion(int *version) {
  ENTER(driverGetVersion)
  *version = 13000;
  return kCudaSuccess;
}
int cuGetErrorName(int, const char **name) {
  ENTER(getErrorName)
  *name = "CUDA_ERROR_OF_A_TEST";
  return kCudaSuccess;
}
int cuGetErrorString(int, const char **text) {
  ENTER(getErrorString)
  *text = "as asked for";
  return kCudaSuccess;
}
int cuDeviceGetCount(int *count) {
  ENTER(deviceGetCount)
  *count = 1;
  return kCudaSuccess;
}
int cuDeviceGet(int *device, int) {
  ENTER(deviceGet)
  *device = 0;
  return kCudaSuccess;
}
int cuDeviceGetName(char *name, int bytes, int) {
  ENTER(deviceGetName)
  std::strncpy(name, "Fake GPU", static_cast<size_t>(bytes));
  return kCudaSuccess;
}
int cuDeviceGetAttribute(int *value, int attribute, int) {
  ENTER(deviceGetAttribute)
  *value = attribute == kCudaCapabilityMajor   ? 9
           : attribute == kCudaMaxSharedOptin  ? 227 << 10
           : attribute == kCudaMultiprocessors ? 4
           : attribute == kCudaL2Bytes         ? 1 << 20
                                               : 0;
  return kCudaSuccess;
}

int cuDevicePrimaryCtxRetain(CUcontext *context, int) {
  ENTER(primaryRetain)
  ++live;
  *context = &primary;
  return kCudaSuccess;
}
// What gives something back does so even when it fails, as a context that is gone takes all with
// it.
int cuDevicePrimaryCtxRelease_v2(int) {
  --live;
  ENTER(primaryRelease)
  return kCudaSuccess;
}
int cuCtxPushCurrent_v2(CUcontext) {
  ENTER(pushContext)
  ++live;
  ++contexts;
  return kCudaSuccess;
}
int cuCtxPopCurrent_v2(CUcontext *context) {
  --live;
  --contexts;
  *context = &primary;
  ENTER(popContext)
  return kCudaSuccess;
}

int cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned numOptions, int *options,
                       void **values) {
  ENTER_CURRENT(moduleLoad)
  std::string_view text = static_cast<const char *>(image);
  constexpr std::string_view kElf = "\177ELF";
  if (text.starts_with(kElf)) {
    const size_t end = text.find('\n');
    if (end == text.npos || !text.substr(kElf.size()).starts_with("sm_"))
      return kCudaInvalidImage;
    const std::string_view arch = text.substr(kElf.size(), end - kElf.size());
    if (arch != "sm_90" && arch != "sm_90a")
      return kCudaNoBinaryForGpu;
    text.remove_prefix(end + 1);
  }
  Result<std::shared_ptr<const simulator::Module>> parsed = simulator::parseModule(text, "ptx");
  if (!parsed) {
    size_t room = 0;
    for (unsigned i = 0; i < numOptions; ++i)
      if (options[i] == kCudaJitErrorLogBytes)
        room = reinterpret_cast<size_t>(values[i]);
    for (unsigned i = 0; i < numOptions; ++i)
      if (options[i] == kCudaJitErrorLog)
        std::strncpy(static_cast<char *>(values[i]), parsed.error().diagnostic.text().c_str(),
                     room);
    return kCudaInvalidPtx;
  }
  ++live;
  *module = new CUmod_st{*parsed, {}};
  return kCudaSuccess;
}
int cuModuleUnload(CUmodule module) {
  --live;
  delete module;
  ENTER(moduleUnload)
  return kCudaSuccess;
}
int cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  ENTER_CURRENT(moduleGetFunction)
  for (const simulator::EntryInfo &entry : simulator::entries(*module->module))
    if (entry.name == name) {
      module->functions.push_back(std::unique_ptr<CUfunc_st>(new CUfunc_st{module->module, entry}));
      *function = module->functions.back().get();
      return kCudaSuccess;
    }
  return kCudaNotFound;
}
int cuFuncSetAttribute(CUfunction, int, int) {
  ENTER_CURRENT(functionSetAttribute)
  return kCudaSuccess;
}
int cuFuncLoad(CUfunction) {
  ENTER_CURRENT(functionLoad)
  return kCudaSuccess;
}

int cuMemAlloc_v2(CUdeviceptr *memory, size_t bytes) {
  ENTER_CURRENT(memoryAllocate)
  constexpr size_t kAlignment = 512, kMost = size_t(4) << 30;
  if (bytes > kMost)
    return kCudaOutOfMemory;
  std::unique_ptr<std::byte[]> owned(new std::byte[bytes + 2 * kAlignment]);
  CUdeviceptr begin =
      (reinterpret_cast<CUdeviceptr>(owned.get()) + kAlignment) / kAlignment * kAlignment;
  std::lock_guard guard(lock);
  if (!memoryMap.add(reinterpret_cast<void *>(begin), bytes, "memory"))
    return kCudaInvalidValue;
  allocations[begin] = std::move(owned);
  ++live;
  *memory = begin;
  return kCudaSuccess;
}
int cuMemFree_v2(CUdeviceptr memory) {
  {
    std::lock_guard guard(lock);
    if (!allocations.erase(memory))
      return kCudaInvalidValue;
    memoryMap.remove(reinterpret_cast<void *>(memory));
    --live;
  }
  ENTER(memoryFree)
  return kCudaSuccess;
}
int cuMemsetD8Async(CUdeviceptr memory, unsigned char value, size_t bytes, CUstream stream) {
  ENTER_CURRENT(memorySet)
  return enqueue(stream, [=] {
    std::memset(reinterpret_cast<void *>(memory), value, bytes);
    return kCudaSuccess;
  });
}
int cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER_CURRENT(memoryCopy)
  return enqueue(stream, [=] {
    std::memmove(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes);
    return kCudaSuccess;
  });
}
int cuPointerGetAttributes(unsigned, int *, void **values, CUdeviceptr memory) {
  ENTER_CURRENT(pointerGetAttributes)
  std::lock_guard guard(lock);
  *static_cast<unsigned *>(values[0]) = memoryMap.find(memory) < 0 ? 0 : kCudaMemoryTypeDevice;
  return kCudaSuccess;
}

int cuTensorMapEncodeTiled(void *map, int type, unsigned rank, void *begin, const uint64_t *dims,
                           const uint64_t *strides, const uint32_t *box,
                           const uint32_t *elementStrides, int interleave, int swizzle,
                           int promotion, int fill) {
  ENTER_CURRENT(tensorMapEncodeTiled)
  std::span<std::byte, 128> bytes(static_cast<std::byte *>(map), 128);
  return simulator::encodeTensorMap(bytes, static_cast<simulator::TensorType>(type), rank, begin,
                                    dims, strides, box, elementStrides,
                                    static_cast<simulator::TensorInterleave>(interleave),
                                    static_cast<simulator::TensorSwizzle>(swizzle),
                                    static_cast<simulator::TensorPromotion>(promotion),
                                    static_cast<simulator::TensorFill>(fill))
             ? kCudaSuccess
             : kCudaInvalidValue;
}

int cuLaunchKernel(CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ,
                   unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes,
                   CUstream stream, void **params, void **extra) {
  ENTER_CURRENT(launchKernel)
  const unsigned grid[] = {gridX, gridY, gridZ}, block[] = {blockX, blockY, blockZ};
  return launchKernel(function, grid, block, sharedBytes, stream, params, extra);
}
int cuLaunchKernelEx(const CudaLaunchConfig *config, CUfunction function, void **params,
                     void **extra) {
  ENTER_CURRENT(launchKernelEx)
  return launchKernel(function, config->grid, config->block, config->sharedBytes, config->stream,
                      params, extra);
}

int cuStreamCreate(CUstream *stream, unsigned) {
  ENTER(streamCreate)
  ++live;
  *stream = new CUstream_st;
  return kCudaSuccess;
}
int cuStreamDestroy_v2(CUstream stream) {
  --live;
  delete stream;
  ENTER(streamDestroy)
  return kCudaSuccess;
}
int cuStreamSynchronize(CUstream stream) {
  ENTER(streamSynchronize)
  return stream && stream->capture ? kUnsupportedInCapture : kCudaSuccess;
}
int cuStreamIsCapturing(CUstream stream, int *status) {
  ENTER(streamIsCapturing)
  *status = stream && stream->capture ? 1 : 0;
  return kCudaSuccess;
}
int cuStreamBeginCapture_v2(CUstream stream, int) {
  ENTER(streamBeginCapture)
  if (!stream || stream->capture)
    return kUnsupportedInCapture;
  stream->capture = std::make_unique<CUgraph_st>();
  ++live;
  return kCudaSuccess;
}
int cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  if (!stream->capture)
    return kNotCapturing;
  std::unique_ptr<CUgraph_st> captured = std::move(stream->capture);
  if (int status = counters[k_streamEndCapture].enter(); status != kCudaSuccess) {
    --live;
    return status;
  }
  *graph = captured.release();
  return kCudaSuccess;
}
int cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long) {
  ENTER(graphInstantiate)
  ++live;
  *executable = new CUgraphExec_st{graph->nodes};
  return kCudaSuccess;
}
int cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  ENTER(graphLaunch)
  for (const Work &node : executable->nodes)
    if (int status = enqueue(stream, node); status != kCudaSuccess)
      return status;
  return kCudaSuccess;
}
int cuGraphDestroy(CUgraph graph) {
  --live;
  delete graph;
  ENTER(graphDestroy)
  return kCudaSuccess;
}
int cuGraphExecDestroy(CUgraphExec executable) {
  --live;
  delete executable;
  ENTER(graphExecDestroy)
  return kCudaSuccess;
}

int cuEventCreate(CUevent *event, unsigned) {
  ENTER_CURRENT(eventCreate)
  ++live;
  *event = new CUevent_st;
  return kCudaSuccess;
}
int cuEventDestroy_v2(CUevent event) {
  --live;
  delete event;
  ENTER(eventDestroy)
  return kCudaSuccess;
}
int cuEventRecord(CUevent, CUstream) {
  ENTER_CURRENT(eventRecord)
  return kCudaSuccess;
}
int cuEventSynchronize(CUevent) {
  ENTER(eventSynchronize)
  return kCudaSuccess;
}
int cuEventElapsedTime(float *milliseconds, CUevent, CUevent) {
  ENTER(eventElapsed)
  *milliseconds = 1;
  return kCudaSuccess;
}

} // extern "C"
