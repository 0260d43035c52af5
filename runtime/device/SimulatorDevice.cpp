#include "runtime/device/SimulatorDevice.h"

#include "runtime/simulator/TensorMap.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <sys/mman.h>

using namespace attncc;
using namespace attncc::device;

namespace {

class SimulatorKernel final : public Kernel {
public:
  SimulatorKernel(std::shared_ptr<const SimulatorDevice> device,
                  std::shared_ptr<const simulator::Module> module, std::string entry,
                  uint32_t shared)
      : device(std::move(device)), module(std::move(module)), entry(std::move(entry)),
        shared(shared) {}

  std::shared_ptr<const SimulatorDevice> device;
  std::shared_ptr<const simulator::Module> module;
  std::string entry;
  uint32_t shared;
};

uint64_t addressOf(const void *pointer) { return reinterpret_cast<uint64_t>(pointer); }

/// Address space reserved behind every allocation, so that no two ranges touch.
constexpr size_t kGuardBytes = 1 << 16;

} // namespace

namespace {
/// What the simulator executes, best rank first.
struct SimulatedTarget {
  std::string_view name;
  int computeCapability, ptxVersion;
  int multiprocessors; // of an H100, of an A100
};
constexpr SimulatedTarget kTargets[] = {{"sm_90a", 90, 80, 132}, {"sm_80", 80, 80, 108}};
} // namespace

Result<std::shared_ptr<SimulatorDevice>> SimulatorDevice::open(std::string_view target,
                                                               const simulator::Options &options) {
  const SimulatedTarget *simulated =
      std::find_if(std::begin(kTargets), std::end(kTargets), [&](const SimulatedTarget &one) {
        return target.empty() || one.name == target;
      });
  if (simulated == std::end(kTargets))
    return makeError(Status::Unsupported,
                     "sim:" + std::string(target.substr(0, 60)) +
                         ": the simulator executes kernels of sm_80 and sm_90a only");
  std::shared_ptr<SimulatorDevice> device(new SimulatorDevice(options));
  device->deviceInfo.name = target.empty() ? "sim" : "sim:" + std::string(target);
  device->deviceInfo.description =
      target.empty() ? "simulator" : "simulator (" + std::string(target) + ")";
  device->deviceInfo.computeCapability = simulated->computeCapability;
  device->deviceInfo.ptxVersion = simulated->ptxVersion;
  device->deviceInfo.maxShared = options.maxDynamicShared;
  device->deviceInfo.multiprocessors = simulated->multiprocessors;
  return device;
}

SimulatorDevice::~SimulatorDevice() {
  for (const auto &[begin, bytes] : mappings)
    munmap(const_cast<void *>(begin), bytes);
}

Result<void *> SimulatorDevice::allocate(size_t bytes, std::string_view label) {
  if (bytes == 0)
    return makeError(Status::InvalidArgument, "bytes is 0, must be at least 1");
  size_t mapped = 0;
  if (__builtin_add_overflow(bytes, kGuardBytes, &mapped))
    return makeError(Status::OutOfMemory, "cannot allocate " + std::to_string(bytes) + " bytes");
  void *begin = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED)
    return makeError(Status::OutOfMemory, "cannot allocate " + std::to_string(bytes) + " bytes");
  if (bytes <= kFilledBytes)
    std::memset(begin, 0xff, bytes);
  std::lock_guard guard(lock);
  if (Result<void> added = memory.add(begin, bytes, std::string(label)); !added) {
    munmap(begin, mapped);
    return added.error();
  }
  mappings[begin] = mapped;
  return begin;
}

Result<void> SimulatorDevice::registerMemory(void *begin, size_t bytes, std::string_view label) {
  if (!begin || bytes == 0)
    return makeError(Status::InvalidArgument, "memory must not be null and bytes at least 1");
  std::lock_guard guard(lock);
  return memory.add(begin, bytes, std::string(label));
}

Result<void> SimulatorDevice::free(void *begin) {
  if (!begin)
    return {};
  std::lock_guard guard(lock);
  if (!memory.remove(begin))
    return makeError(Status::InvalidArgument,
                     "memory is not the beginning of an allocation or registration of this device");
  if (auto mapping = mappings.find(begin); mapping != mappings.end()) {
    munmap(begin, mapping->second);
    mappings.erase(mapping);
  }
  return {};
}

/// Whether the range lies in one registered range; the caller holds the lock.
static bool isInside(const simulator::MemoryMap &memory, const void *begin, size_t bytes) {
  int index = memory.find(addressOf(begin));
  return index >= 0 && bytes <= memory.ranges()[index].end - addressOf(begin);
}

Result<void> SimulatorDevice::copy(void *to, const void *from, size_t bytes, Stream) {
  if (bytes == 0)
    return {};
  if (!to || !from)
    return makeError(Status::InvalidArgument, "to and from must not be null");
  {
    std::lock_guard guard(lock);
    if (!isInside(memory, to, bytes) && !isInside(memory, from, bytes))
      return makeError(Status::InvalidArgument,
                       "neither to nor from has " + std::to_string(bytes) +
                           " bytes inside memory that was allocated or registered");
  }
  std::memmove(to, from, bytes);
  return {};
}

Result<void> SimulatorDevice::clear(void *begin, size_t bytes, Stream) {
  {
    std::lock_guard guard(lock);
    if (!isInside(memory, begin, bytes))
      return makeError(Status::InvalidArgument,
                       "memory has not " + std::to_string(bytes) +
                           " bytes inside what was allocated or registered");
  }
  std::memset(begin, 0, bytes);
  return {};
}

Result<TensorMap> SimulatorDevice::encodeTensorMap(const TensorMapDescription &description) {
  // The enumerations count powers of two, from 32 and from 64 bytes.
  auto swizzle = static_cast<simulator::TensorSwizzle>(std::bit_width(description.swizzle / 32));
  auto promotion =
      static_cast<simulator::TensorPromotion>(std::bit_width(description.l2Promotion / 64));
  const uint32_t everyElement[5] = {1, 1, 1, 1, 1};
  TensorMap map;
  Result<void> encoded = simulator::encodeTensorMap(
      map.bytes,
      description.element == TensorMapDescription::Element::F16 ? simulator::TensorType::F16
                                                                : simulator::TensorType::BF16,
      description.rank, description.begin, description.dims.data(), description.strides.data(),
      description.box.data(), everyElement, simulator::TensorInterleave::None, swizzle, promotion,
      description.fillNaN ? simulator::TensorFill::NaN : simulator::TensorFill::Zero);
  if (!encoded)
    return encoded.error();
  return map;
}

Result<std::unique_ptr<Kernel>> SimulatorDevice::loadKernel(const KernelSource &source) {
  Result<std::shared_ptr<const simulator::Module>> module =
      simulator::parseModule(source.ptx, source.file);
  if (!module)
    return module.error();
  std::vector<simulator::EntryInfo> entries = simulator::entries(**module);
  if (std::none_of(entries.begin(), entries.end(),
                   [&](const simulator::EntryInfo &info) { return info.name == source.entry; })) {
    Error error = makeError(Status::InvalidPackage, "has no entry " + source.entry);
    error.diagnostic.where.file = source.file;
    return error;
  }
  return std::unique_ptr<Kernel>(std::make_unique<SimulatorKernel>(
      shared_from_this(), std::move(*module), source.entry, source.shared));
}

/// Cuts the address space at the ends of all buffers and names each piece by the buffers over it.
simulator::MemoryMap SimulatorDevice::mapFor(std::span<const Buffer> buffers) const {
  std::vector<uint64_t> cuts;
  for (const Buffer &buffer : buffers) {
    cuts.push_back(addressOf(buffer.begin));
    cuts.push_back(addressOf(buffer.begin) + buffer.bytes);
  }
  for (const simulator::MemoryMap::Range &range : memory.ranges()) {
    cuts.push_back(range.begin);
    cuts.push_back(range.end);
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());

  struct Piece {
    uint64_t begin, end;
    std::string label;
    bool writable;
  };
  std::vector<Piece> pieces;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    if (memory.find(cuts[i]) < 0)
      continue;
    Piece piece{cuts[i], cuts[i + 1], "", false};
    for (const Buffer &buffer : buffers) {
      uint64_t begin = addressOf(buffer.begin);
      if (piece.begin < begin || piece.begin >= begin + buffer.bytes)
        continue;
      piece.label += (piece.label.empty() ? "" : "+") + std::string(buffer.name);
      piece.writable |= buffer.writable;
    }
    if (piece.label.empty())
      continue;
    if (!pieces.empty() && pieces.back().end == piece.begin && pieces.back().label == piece.label)
      pieces.back().end = piece.end;
    else
      pieces.push_back(std::move(piece));
  }
  simulator::MemoryMap map;
  for (const Piece &piece : pieces) {
    // Pieces do not overlap and are not empty, so this cannot fail.
    Result<void> added = map.add(reinterpret_cast<const void *>(piece.begin),
                                 piece.end - piece.begin, piece.label, piece.writable);
    (void)added;
  }
  return map;
}

Result<void> SimulatorDevice::launch(const Kernel &kernel, const LaunchShape &shape,
                                     std::span<const std::byte> params,
                                     std::span<const Buffer> buffers, Stream) {
  const auto &own = static_cast<const SimulatorKernel &>(kernel);
  simulator::MemoryMap map;
  simulator::Options launchOptions;
  {
    std::lock_guard guard(lock);
    map = buffers.empty() ? memory : mapFor(buffers);
    launchOptions = options;
  }
  simulator::Launch launch;
  launch.grid = {shape.grid[0], shape.grid[1], shape.grid[2]};
  launch.block = {shape.block[0], shape.block[1], shape.block[2]};
  launch.dynamicShared = own.shared;
  launch.parameters = params;
  Result<simulator::Report> report =
      simulator::run(*own.module, own.entry, launch, map, launchOptions);
  if (!report)
    return report.error();
  Result<void> outcome;
  if (!report->findings.empty())
    outcome = makeError(Status::DeviceError, report->findings.front().text());
  std::lock_guard guard(lock);
  if (recording)
    reports.push_back({own.entry, shape, std::move(*report)});
  return outcome;
}

void SimulatorDevice::setOptions(const simulator::Options &newOptions) {
  std::lock_guard guard(lock);
  options = newOptions;
}

void SimulatorDevice::setRecording(bool on) {
  std::lock_guard guard(lock);
  recording = on;
  if (!on)
    reports.clear();
}

std::vector<LaunchReport> SimulatorDevice::takeReports() {
  std::lock_guard guard(lock);
  return std::exchange(reports, {});
}
