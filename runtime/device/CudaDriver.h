//===- CudaDriver.h - the CUDA driver, opened at run time -------------------===//
//
// Internal. The functions of libcuda.so.1 that the runtime calls, as the CUDA Driver API Reference
// declares them, without its headers: nothing of CUDA is needed to build, and no driver to start.
// Test: test/runtime/cuda/CudaTest.cpp, with a driver of its own (test/runtime/cuda/FakeCuda.cpp).
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <cstddef>
#include <cstdint>

namespace attncc::device {

/// CUresult. Those that the runtime tells apart; all have a name and a text in the driver.
enum CudaStatus : int {
  kCudaSuccess = 0,
  kCudaInvalidValue = 1,
  kCudaOutOfMemory = 2,
  kCudaInvalidImage = 200,
  kCudaNoBinaryForGpu = 209,
  kCudaInvalidPtx = 218,
  kCudaUnsupportedPtxVersion = 222,
  kCudaInvalidSource = 300,
  kCudaNotFound = 500,
  kCudaIllegalAddress = 700,
  kCudaLaunchFailed = 719,
  kCudaFirstCaptureError = 900, ///< cudaErrorStreamCaptureUnsupported
  kCudaLastCaptureError = 908,  ///< CUDA_ERROR_CAPTURED_EVENT and those between
};

using CUcontext = struct CUctx_st *;
using CUmodule = struct CUmod_st *;
using CUfunction = struct CUfunc_st *;
using CUstream = struct CUstream_st *;
using CUevent = struct CUevent_st *;
using CUgraph = struct CUgraph_st *;
using CUgraphExec = struct CUgraphExec_st *;
using CUdeviceptr = unsigned long long; ///< CUdeviceptr

/// CUlaunchAttribute: an id, four bytes of padding and a value of 64 bytes.
struct CudaLaunchAttribute {
  int id = 0;
  int padding = 0;
  int value[16] = {};
};
constexpr int kCudaProgrammaticStreamSerialization = 6;

/// CUlaunchConfig.
struct CudaLaunchConfig {
  unsigned grid[3], block[3], sharedBytes;
  CUstream stream;
  CudaLaunchAttribute *attributes;
  unsigned numAttributes;
};

/// Entries of `extra`: the parameters as one buffer.
inline void *const kCudaLaunchParamEnd = nullptr;
inline void *const kCudaLaunchParamBuffer = reinterpret_cast<void *>(1);
inline void *const kCudaLaunchParamBufferSize = reinterpret_cast<void *>(2);

// CUdevice_attribute, CUfunction_attribute, CUpointer_attribute, CUjit_option.
constexpr int kCudaMultiprocessors = 16, kCudaL2Bytes = 38, kCudaCapabilityMajor = 75,
              kCudaCapabilityMinor = 76, kCudaMaxSharedOptin = 97;
constexpr int kCudaMaxDynamicShared = 8;
constexpr int kCudaPointerMemoryType = 2;
constexpr int kCudaMemoryTypeDevice = 2; ///< CU_MEMORYTYPE_DEVICE
constexpr int kCudaJitErrorLog = 5, kCudaJitErrorLogBytes = 6;
constexpr int kCudaTensorMapF16 = 6, kCudaTensorMapBF16 = 9; // CUtensorMapDataType

// name in this struct, symbol in the library, parameters
#define ATTNCC_CUDA_FUNCTIONS(F)                                                                   \
  F(init, "cuInit", (unsigned flags))                                                              \
  F(driverGetVersion, "cuDriverGetVersion", (int *version))                                        \
  F(getErrorName, "cuGetErrorName", (int status, const char **name))                               \
  F(getErrorString, "cuGetErrorString", (int status, const char **text))                           \
  F(deviceGetCount, "cuDeviceGetCount", (int *count))                                              \
  F(deviceGet, "cuDeviceGet", (int *device, int ordinal))                                          \
  F(deviceGetName, "cuDeviceGetName", (char *name, int bytes, int device))                         \
  F(deviceGetAttribute, "cuDeviceGetAttribute", (int *value, int attribute, int device))           \
  F(primaryRetain, "cuDevicePrimaryCtxRetain", (CUcontext * context, int device))                  \
  F(primaryRelease, "cuDevicePrimaryCtxRelease_v2", (int device))                                  \
  F(pushContext, "cuCtxPushCurrent_v2", (CUcontext context))                                       \
  F(popContext, "cuCtxPopCurrent_v2", (CUcontext * context))                                       \
  F(moduleLoad, "cuModuleLoadDataEx",                                                              \
    (CUmodule * module, const void *image, unsigned numOptions, int *options, void **values))      \
  F(moduleUnload, "cuModuleUnload", (CUmodule module))                                             \
  F(moduleGetFunction, "cuModuleGetFunction",                                                      \
    (CUfunction * function, CUmodule module, const char *name))                                    \
  F(functionSetAttribute, "cuFuncSetAttribute", (CUfunction function, int attribute, int value))   \
  F(memoryAllocate, "cuMemAlloc_v2", (CUdeviceptr * memory, size_t bytes))                         \
  F(memoryFree, "cuMemFree_v2", (CUdeviceptr memory))                                              \
  F(memorySet, "cuMemsetD8Async",                                                                  \
    (CUdeviceptr memory, unsigned char value, size_t bytes, CUstream stream))                      \
  F(memoryCopy, "cuMemcpyAsync",                                                                   \
    (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))                             \
  F(pointerGetAttributes, "cuPointerGetAttributes",                                                \
    (unsigned numAttributes, int *attributes, void **values, CUdeviceptr memory))                  \
  F(launchKernel, "cuLaunchKernel",                                                                \
    (CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,         \
     unsigned blockY, unsigned blockZ, unsigned sharedBytes, CUstream stream, void **params,       \
     void **extra))                                                                                \
  F(streamCreate, "cuStreamCreate", (CUstream * stream, unsigned flags))                           \
  F(streamDestroy, "cuStreamDestroy_v2", (CUstream stream))                                        \
  F(streamSynchronize, "cuStreamSynchronize", (CUstream stream))                                   \
  F(streamIsCapturing, "cuStreamIsCapturing", (CUstream stream, int *status))                      \
  F(streamBeginCapture, "cuStreamBeginCapture_v2", (CUstream stream, int mode))                    \
  F(streamEndCapture, "cuStreamEndCapture", (CUstream stream, CUgraph * graph))                    \
  F(graphInstantiate, "cuGraphInstantiateWithFlags",                                               \
    (CUgraphExec * executable, CUgraph graph, unsigned long long flags))                           \
  F(graphLaunch, "cuGraphLaunch", (CUgraphExec executable, CUstream stream))                       \
  F(graphDestroy, "cuGraphDestroy", (CUgraph graph))                                               \
  F(graphExecDestroy, "cuGraphExecDestroy", (CUgraphExec executable))                              \
  F(eventCreate, "cuEventCreate", (CUevent * event, unsigned flags))                               \
  F(eventDestroy, "cuEventDestroy_v2", (CUevent event))                                            \
  F(eventRecord, "cuEventRecord", (CUevent event, CUstream stream))                                \
  F(eventSynchronize, "cuEventSynchronize", (CUevent event))                                       \
  F(eventElapsed, "cuEventElapsedTime", (float *milliseconds, CUevent begin, CUevent end))

/// Functions that only newer drivers have; null where they are missing.
#define ATTNCC_CUDA_OPTIONAL_FUNCTIONS(F)                                                          \
  F(launchKernelEx, "cuLaunchKernelEx",                                                            \
    (const CudaLaunchConfig *config, CUfunction function, void **params, void **extra))            \
  F(functionLoad, "cuFuncLoad", (CUfunction function))                                             \
  F(tensorMapEncodeTiled, "cuTensorMapEncodeTiled",                                                \
    (void *map, int type, unsigned rank, void *begin, const uint64_t *dims,                        \
     const uint64_t *strides, const uint32_t *box, const uint32_t *elementStrides, int interleave, \
     int swizzle, int promotion, int fill))

/// The driver of this process, initialised. Thread-safe, as the driver is.
struct CudaDriver {
#define ATTNCC_DECLARE(name, symbol, params) int(*name) params = nullptr;
  ATTNCC_CUDA_FUNCTIONS(ATTNCC_DECLARE)
  ATTNCC_CUDA_OPTIONAL_FUNCTIONS(ATTNCC_DECLARE)
#undef ATTNCC_DECLARE
  int version = 0; ///< newest CUDA that it serves: 1000 * major + 10 * minor

  /// Opens and initialises the driver at the first call; afterwards the same result. Unsupported,
  /// with the reason, where there is none.
  static const Result<CudaDriver> &get();

  /// "CUDA_ERROR_INVALID_VALUE (1): invalid argument".
  std::string text(int status) const;
  /// Newest PTX that it compiles, 10 * major + minor (PTX ISA, "Release History").
  int ptxVersion() const;
};

} // namespace attncc::device
