#include "runtime/device/CudaDevice.h"
#include "runtime/device/SimulatorDevice.h"

#include <charconv>

using namespace attncc;
using namespace attncc::device;

template <class T>
static Result<std::shared_ptr<Device>> asDevice(Result<std::shared_ptr<T>> opened) {
  if (!opened)
    return opened.error();
  return std::shared_ptr<Device>(*std::move(opened));
}

Result<TensorMap> Device::encodeTensorMap(const TensorMapDescription &) {
  return makeError(Status::Unsupported, info().name + " has no tensor maps");
}

Result<std::shared_ptr<Device>> Device::open(std::string_view name) {
  if (name == "sim")
    return asDevice(SimulatorDevice::open(""));
  if (name.starts_with("sim:"))
    return asDevice(SimulatorDevice::open(name.substr(4)));
  if (name.starts_with("cuda:")) {
    int ordinal = 0;
    auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), ordinal);
    if (error == std::errc() && end == name.data() + name.size() && ordinal >= 0)
      return asDevice(CudaDevice::open(ordinal));
  }
  return makeError(Status::InvalidArgument,
                   "device is \"" + std::string(name.substr(0, 60)) +
                       "\", must be \"sim\", \"sim:sm_80\", \"sim:sm_90a\" or \"cuda:N\"");
}
