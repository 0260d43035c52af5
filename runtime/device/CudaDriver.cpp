#include "runtime/device/CudaDriver.h"

#include <algorithm>
#include <dlfcn.h>

using namespace attncc;
using namespace attncc::device;

static Result<CudaDriver> openDriver() {
  // The library stays open until the process ends: its threads and handlers outlive any owner here.
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = dlerror();
    return makeError(Status::Unsupported,
                     "there is no CUDA driver: " + std::string(reason ? reason : "libcuda.so.1") +
                         "; \"sim\" runs packages without a GPU");
  }
  CudaDriver driver;
  const char *missing = nullptr;
#define ATTNCC_LOOK_UP(name, symbol, params)                                                       \
  driver.name = reinterpret_cast<int(*) params>(dlsym(library, symbol));
#define ATTNCC_LOOK_UP_NEEDED(name, symbol, params)                                                \
  ATTNCC_LOOK_UP(name, symbol, params)                                                             \
  if (!driver.name && !missing)                                                                    \
    missing = symbol;
  ATTNCC_CUDA_FUNCTIONS(ATTNCC_LOOK_UP_NEEDED)
  ATTNCC_CUDA_OPTIONAL_FUNCTIONS(ATTNCC_LOOK_UP)
#undef ATTNCC_LOOK_UP_NEEDED
#undef ATTNCC_LOOK_UP
  if (missing)
    return makeError(Status::Unsupported,
                     "the CUDA driver has no " + std::string(missing) +
                         ": attncc needs a driver of CUDA 11.4 (470) or later");
  if (int status = driver.init(0); status != kCudaSuccess)
    return makeError(Status::Unsupported,
                     "the CUDA driver does not start: cuInit gives " + driver.text(status));
  if (int status = driver.driverGetVersion(&driver.version); status != kCudaSuccess)
    return makeError(Status::DeviceError, "cuDriverGetVersion gives " + driver.text(status));
  return driver;
}

const Result<CudaDriver> &CudaDriver::get() {
  static const Result<CudaDriver> driver = openDriver();
  return driver;
}

std::string CudaDriver::text(int status) const {
  const char *name = nullptr, *description = nullptr;
  std::string text = getErrorName(status, &name) == kCudaSuccess && name ? name : "CUresult";
  text += " (" + std::to_string(status) + ")";
  if (getErrorString(status, &description) == kCudaSuccess && description)
    text += std::string(": ") + description;
  return text;
}

int CudaDriver::ptxVersion() const {
  struct Release {
    int cuda, ptx;
  };
  static constexpr Release kReleases[] = {
      {11000, 70}, {11010, 71}, {11020, 72}, {11030, 73}, {11040, 74}, {11050, 75}, {11060, 76},
      {11070, 77}, {11080, 78}, {12000, 80}, {12010, 81}, {12020, 82}, {12030, 83}, {12040, 84},
      {12050, 85}, {12070, 86}, {12080, 87}, {12090, 88}, {13000, 90}};
  int ptx = 0;
  for (const Release &release : kReleases)
    if (version >= release.cuda)
      ptx = release.ptx;
  return ptx;
}
