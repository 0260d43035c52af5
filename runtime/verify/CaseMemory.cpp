//===- CaseMemory.cpp - see CaseMemory.h -----------------------------------===//

#include "runtime/verify/CaseMemory.h"

#include <algorithm>
#include <cstring>

namespace attncc::verify {

namespace {
constexpr std::byte kGuard{0xff};

size_t roundUp(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

class HostMemory final : public CaseMemory {
public:
  explicit HostMemory(device::Device &device) : device(device) {}
  ~HostMemory() override { release(); }

  Result<void> put(std::vector<Range> ranges) override {
    release();
    for (const Range &range : ranges) {
      if (Result<void> added = device.registerMemory(range.begin, range.bytes, range.label); !added)
        return added.error();
      registered.push_back(range.begin);
    }
    return {};
  }
  Result<void> refresh() override {
    return makeError(Status::Internal, "a case in host memory cannot be refreshed");
  }
  void *at(const void *host) const override { return const_cast<void *>(host); }
  Result<std::vector<std::string>> take() override { return std::vector<std::string>(); }

private:
  void release() {
    for (void *memory : registered)
      (void)device.free(memory);
    registered.clear();
  }

  device::Device &device;
  std::vector<void *> registered;
};

/// Ranges side by side in an image of device memory.
struct Image {
  std::byte *memory = nullptr; ///< on the device
  size_t capacity = 0;
  size_t skipped = 0;            ///< bytes of `memory` in front of the image
  std::vector<std::byte> before; ///< the image as it was put, with its guards

  struct Place {
    CaseMemory::Range range;
    size_t offset = 0; ///< in the image, of the first byte with content
  };
  std::vector<Place> places;
};

class DeviceMemory final : public CaseMemory {
public:
  DeviceMemory(device::Device &device, device::Stream stream) : device(device), stream(stream) {}
  ~DeviceMemory() override {
    releaseFar();
    if (near.memory)
      (void)device.free(near.memory);
  }

  Result<void> put(std::vector<Range> ranges) override {
    releaseFar();
    near.places.clear();
    size_t end = kGuardBytes;
    for (Range &range : ranges) {
      if (range.unbacked > kFarBytes) {
        if (Result<void> placed = placeFar(range); !placed)
          return placed.error();
        continue;
      }
      range.unbacked = 0;
      // Addresses are multiples of the alignment and of nothing larger.
      size_t offset = roundUp(end, 2 * range.alignment) + range.alignment;
      end = offset + range.bytes + kGuardBytes;
      near.places.push_back({range, offset});
    }
    if (near.capacity < end) {
      if (near.memory)
        if (Result<void> freed = device.free(near.memory); !freed)
          return freed.error();
      near.memory = nullptr;
      near.capacity = 0;
      Result<void *> memory = device.allocate(end + end / 2, "cases");
      if (!memory)
        return memory.error();
      near.memory = static_cast<std::byte *>(*memory);
      near.capacity = end + end / 2;
    }
    near.before.assign(end, kGuard);
    return fillAll(/*lasting=*/true);
  }

  Result<void> refresh() override { return fillAll(/*lasting=*/false); }

  void *at(const void *host) const override {
    const auto *address = static_cast<const std::byte *>(host);
    auto find = [&](const Image &image) -> void * {
      for (const Image::Place &place : image.places)
        if (address >= place.range.begin && address < place.range.begin + place.range.bytes)
          return image.memory + image.skipped + place.offset - place.range.unbacked +
                 (address - place.range.begin);
      return nullptr;
    };
    void *found = find(near);
    for (size_t i = 0; !found && i < far.size(); ++i)
      found = find(far[i]);
    return found;
  }

  Result<std::vector<std::string>> take() override {
    std::vector<std::string> trespasses;
    if (Result<void> read = readBack(near, trespasses); !read)
      return read.error();
    for (Image &image : far)
      if (Result<void> read = readBack(image, trespasses); !read)
        return read.error();
    return trespasses;
  }

private:
  /// guard | content | guard, the first guard at the end of what has no content.
  Result<void> placeFar(const Range &range) {
    Image image;
    image.skipped = roundUp(range.unbacked, 256) - kGuardBytes;
    image.places.push_back({range, kGuardBytes + range.alignment});
    image.before.assign(
        kGuardBytes + range.alignment + (range.bytes - range.unbacked) + kGuardBytes, kGuard);
    Result<void *> memory =
        device.allocate(image.skipped + image.before.size(), std::string("cases: ") + range.label);
    if (!memory)
      return memory.error();
    image.memory = static_cast<std::byte *>(*memory);
    image.capacity = image.skipped + image.before.size();
    far.push_back(std::move(image));
    // A simulator's allocation is new, and zero without being touched.
    if (device.asSimulator())
      return {};
    return device.clear(*memory, far.back().skipped, stream);
  }

  void releaseFar() {
    for (Image &image : far)
      (void)device.free(image.memory);
    far.clear();
  }

  Result<void> fillAll(bool lasting) {
    if (Result<void> filled = fill(near, lasting); !filled)
      return filled;
    for (Image &image : far)
      if (Result<void> filled = fill(image, lasting); !filled)
        return filled;
    return {};
  }

  Result<void> fill(Image &image, bool lasting) {
    auto copy = [&](size_t begin, size_t end) {
      return device.copy(image.memory + image.skipped + begin, image.before.data() + begin,
                         end - begin, stream);
    };
    size_t begin = 0;
    for (const Image::Place &place : image.places) {
      const size_t bytes = place.range.bytes - place.range.unbacked;
      if (!place.range.lasting || lasting) {
        std::memcpy(image.before.data() + place.offset, place.range.begin + place.range.unbacked,
                    bytes);
        continue;
      }
      if (Result<void> copied = copy(begin, place.offset); !copied)
        return copied;
      begin = place.offset + bytes;
    }
    return copy(begin, image.before.size());
  }

  Result<void> readBack(Image &image, std::vector<std::string> &trespasses) {
    after.resize(image.before.size());
    if (Result<void> copied =
            device.copy(after.data(), image.memory + image.skipped, after.size(), stream);
        !copied)
      return copied;
    if (Result<void> done = device.synchronize(stream); !done)
      return done;
    /// Where [begin, end) of the image differs from what was put: the first byte, or `end`.
    auto firstChange = [&](size_t begin, size_t end) {
      if (!std::memcmp(after.data() + begin, image.before.data() + begin, end - begin))
        return end;
      return size_t(
          std::mismatch(after.begin() + begin, after.begin() + end, image.before.begin() + begin)
              .first -
          after.begin());
    };
    size_t begin = 0;
    for (const Image::Place &place : image.places) {
      const size_t bytes = place.range.bytes - place.range.unbacked, end = place.offset + bytes;
      if (size_t change = firstChange(begin, place.offset); change != place.offset)
        trespasses.push_back(std::string(place.range.label) + ": the byte " +
                             std::to_string(place.offset - change) + " in front of it was written");
      if (size_t change = firstChange(place.offset, end); place.range.writable)
        std::memcpy(place.range.begin + place.range.unbacked, after.data() + place.offset, bytes);
      else if (change != end)
        trespasses.push_back(std::string(place.range.label) + ": byte " +
                             std::to_string(change - place.offset + place.range.unbacked) +
                             " was written, but may only be read");
      const size_t guard = std::min(end + kGuardBytes, after.size());
      if (size_t change = firstChange(end, guard); change != guard)
        trespasses.push_back(std::string(place.range.label) + ": the byte " +
                             std::to_string(change - end + 1) + " behind its end was written");
      begin = guard;
    }
    return {};
  }

  device::Device &device;
  device::Stream stream;
  Image near;
  std::vector<Image> far;
  std::vector<std::byte> after;
};
} // namespace

std::unique_ptr<CaseMemory> CaseMemory::onHost(device::Device &device) {
  return std::make_unique<HostMemory>(device);
}
std::unique_ptr<CaseMemory> CaseMemory::onDevice(device::Device &device, device::Stream stream) {
  return std::make_unique<DeviceMemory>(device, stream);
}

} // namespace attncc::verify
