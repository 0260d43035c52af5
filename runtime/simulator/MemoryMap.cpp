//===- MemoryMap.cpp - the memory a launch may touch ----------------------===//
//
// Ranges sorted by address; look-up is a binary search. See Simulator.h.
// Pinned by test/simulator/MemoryTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Simulator.h"

#include <algorithm>

namespace attncc::simulator {

namespace {

uint64_t addressOf(const void *pointer) { return reinterpret_cast<uint64_t>(pointer); }

/// First range that begins after `address`.
auto after(const std::vector<MemoryMap::Range> &ranges, uint64_t address) {
  return std::upper_bound(
      ranges.begin(), ranges.end(), address,
      [](uint64_t at, const MemoryMap::Range &range) { return at < range.begin; });
}

} // namespace

Result<void> MemoryMap::add(const void *pointer, uint64_t bytes, std::string label, bool writable) {
  uint64_t begin = addressOf(pointer);
  if (bytes == 0 || begin == 0 || begin + bytes < begin)
    return makeError(Status::InvalidArgument, "range '" + label + "' of " + std::to_string(bytes) +
                                                  " bytes is empty or null");
  auto next = after(sorted, begin);
  if (next != sorted.end() && next->begin < begin + bytes)
    return makeError(Status::InvalidArgument,
                     "range '" + label + "' overlaps '" + next->label + "'");
  if (next != sorted.begin() && std::prev(next)->end > begin)
    return makeError(Status::InvalidArgument,
                     "range '" + label + "' overlaps '" + std::prev(next)->label + "'");
  sorted.insert(next, {begin, begin + bytes, std::move(label), writable});
  return {};
}

bool MemoryMap::remove(const void *pointer) {
  int index = find(addressOf(pointer));
  if (index < 0 || sorted[index].begin != addressOf(pointer))
    return false;
  sorted.erase(sorted.begin() + index);
  return true;
}

bool MemoryMap::relabel(const void *pointer, std::string label) {
  int index = find(addressOf(pointer));
  if (index < 0)
    return false;
  sorted[index].label = std::move(label);
  return true;
}

int MemoryMap::find(uint64_t address) const {
  auto next = after(sorted, address);
  if (next == sorted.begin() || std::prev(next)->end <= address)
    return -1;
  return static_cast<int>(std::prev(next) - sorted.begin());
}

int MemoryMap::nearest(uint64_t address) const {
  if (sorted.empty())
    return -1;
  auto next = after(sorted, address);
  if (next == sorted.begin())
    return 0;
  auto previous = std::prev(next);
  if (address < previous->end || next == sorted.end() ||
      address - (previous->end - 1) <= next->begin - address)
    return static_cast<int>(previous - sorted.begin());
  return static_cast<int>(next - sorted.begin());
}

} // namespace attncc::simulator
