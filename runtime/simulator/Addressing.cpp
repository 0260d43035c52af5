//===- Addressing.cpp -----------------------------------------------------===//
//
// See Addressing.h. Pinned by test/simulator/MemoryTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Addressing.h"

#include <algorithm>

namespace attncc::simulator {

namespace {

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string plural(uint64_t count, const char *noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

void checkAlignment(Warp &warp, const Op &op, int lane, uint64_t address, uint32_t bytes,
                    const char *space) {
  if (address & (bytes - 1))
    warp.fail(Finding::Kind::Misaligned, op, lane,
              std::string(space) + " address " + hex(address) + " is not a multiple of " +
                  std::to_string(bytes),
              address);
}

const char *verb(Mode mode) {
  return mode == Mode::Read ? "read" : mode == Mode::Write ? "write" : "atomic";
}

[[noreturn]] void outOfBounds(Warp &warp, const Op &op, int lane, uint64_t address, uint32_t bytes,
                              Mode mode) {
  const std::vector<MemoryMap::Range> &ranges = warp.block->state.ranges;
  std::string message =
      std::string(verb(mode)) + " of " + plural(bytes, "byte") + " at " + hex(address);
  std::string label;
  const MemoryMap::Range *nearest = nullptr;
  uint64_t distance = ~uint64_t(0);
  for (const MemoryMap::Range &range : ranges) {
    uint64_t far = address < range.begin ? range.begin - address
                   : address < range.end ? 0
                                         : address - range.end + 1;
    if (far < distance) {
      distance = far;
      nearest = &range;
    }
  }
  if (!nearest) {
    message += ", no memory is registered";
  } else {
    label = nearest->label;
    uint64_t size = nearest->end - nearest->begin;
    if (address < nearest->begin)
      message += ", " + plural(nearest->begin - address, "byte") + " before";
    else if (address >= nearest->end)
      message += ", " + plural(address - nearest->end, "byte") + " past the end of";
    else
      message += ", across the end of";
    message += " '" + label + "' of " + plural(size, "byte");
  }
  warp.fail(Finding::Kind::OutOfBounds, op, lane, message, address, label);
}

[[noreturn]] void tooEarly(Warp &warp, const Op &op, int lane, uint64_t address, Mode mode) {
  std::string label;
  for (const MemoryMap::Range &range : warp.block->state.ranges)
    if (address >= range.begin && address < range.end)
      label = range.label;
  warp.fail(Finding::Kind::Dependency, op, lane,
            std::string(verb(mode)) + " of '" + label +
                "' before griddepcontrol.wait: the launch in front may still write it",
            address, label);
}

[[noreturn]] void outsideShared(Warp &warp, const Op &op, int lane, uint64_t at, uint32_t bytes) {
  warp.fail(Finding::Kind::OutOfBounds, op, lane,
            "shared address " + hex(at) + " with " + plural(bytes, "byte") +
                " is outside the block's " + plural(warp.block->shared.size(), "byte") + " at " +
                hex(sharedBase),
            at);
}

void resolveLocal(Warp &warp, const Op &op, uint32_t mask, const uint64_t *address, uint32_t bytes,
                  HostLanes &host) {
  uint32_t size = warp.block->kernel.localBytes;
  forEachLane(mask, [&](int lane) {
    uint64_t at = address[lane];
    checkAlignment(warp, op, lane, at, bytes, "local");
    if (at < localBase || at - localBase + bytes > size)
      warp.fail(Finding::Kind::OutOfBounds, op, lane,
                "local address " + hex(at) + " with " + plural(bytes, "byte") +
                    " is outside the thread's " + plural(size, "byte"),
                at);
    host.pointer[lane] = warp.local + size_t(lane) * size + (at - localBase);
  });
  warp.block->meter.localBytes += uint64_t(bytes) * std::popcount(mask);
}

void resolveParam(Warp &warp, const Op &op, uint32_t mask, const uint64_t *address, uint32_t bytes,
                  Mode mode, HostLanes &host) {
  auto parameters = warp.block->state.launch->parameters;
  forEachLane(mask, [&](int lane) {
    uint64_t at = address[lane];
    if (mode != Mode::Read)
      warp.fail(Finding::Kind::ReadOnly, op, lane, "kernel parameters are read only", at);
    checkAlignment(warp, op, lane, at, bytes, "parameter");
    if (at + bytes > parameters.size())
      warp.fail(Finding::Kind::OutOfBounds, op, lane,
                "parameter address " + hex(at) + " with " + plural(bytes, "byte") +
                    " is outside the " + plural(parameters.size(), "parameter byte"),
                at);
    host.pointer[lane] = const_cast<std::byte *>(parameters.data() + at);
  });
}

} // namespace

void formAddresses(Warp &warp, const Access &access, uint32_t mask, uint64_t *address) {
  uint64_t offset = static_cast<uint64_t>(access.offset);
  if (!access.hasRegister) {
    std::fill_n(address, 32, offset);
  } else if (access.wideRegister) {
    const uint64_t *base = warp.values<uint64_t>(access.address);
    for (int lane = 0; lane < 32; ++lane)
      address[lane] = base[lane] + offset;
  } else {
    const uint32_t *base = warp.values<uint32_t>(access.address);
    for (int lane = 0; lane < 32; ++lane)
      address[lane] = uint32_t(base[lane] + uint32_t(offset));
  }
}

void resolveShared(Warp &warp, const Op &op, uint32_t mask, const uint64_t *address, uint32_t bytes,
                   Mode mode, HostLanes &host) {
  std::vector<std::byte> &shared = warp.block->shared;
  forEachLane(mask, [&](int lane) {
    uint64_t at = address[lane];
    checkAlignment(warp, op, lane, at, bytes, "shared");
    if (at < sharedBase || at - sharedBase + bytes > shared.size())
      outsideShared(warp, op, lane, at, bytes);
    host.pointer[lane] = shared.data() + (at - sharedBase);
  });
  if (warp.block->shadow.active())
    warp.block->shadow.generic(warp, op, mask, address, bytes, mode != Mode::Read);
}

void sharedAddresses(Warp &warp, const Op &op, const Access &access, uint32_t mask, uint32_t bytes,
                     uint32_t *address, uint32_t align) {
  uint64_t wide[32];
  formAddresses(warp, access, mask, wide);
  const size_t size = warp.block->shared.size();
  forEachLane(mask, [&](int lane) {
    uint64_t at = wide[lane];
    if (access.space == Space::Generic) {
      if (at - sharedWindow >= windowBytes)
        warp.fail(Finding::Kind::OutOfBounds, op, lane,
                  "generic address " + hex(at) + " is not in shared memory", at);
      at -= sharedWindow;
    }
    checkAlignment(warp, op, lane, at, align ? align : bytes, "shared");
    if (at < sharedBase || at - sharedBase + bytes > size)
      outsideShared(warp, op, lane, at, bytes);
    address[lane] = static_cast<uint32_t>(at);
  });
}

void resolveGlobal(Warp &warp, const Op &op, uint32_t mask, const uint64_t *address, uint32_t bytes,
                   uint32_t usedFrom, uint32_t usedBytes, Mode mode, HostLanes &host) {
  LaunchState &state = warp.block->state;
  const std::vector<MemoryMap::Range> &ranges = state.ranges;
  const bool metered = state.options->meter;
  if (uint32_t early = mask & warp.independent; early && op.access.space != Space::Const)
    tooEarly(warp, op, std::countr_zero(early), address[std::countr_zero(early)], mode);
  for (uint32_t rest = mask; rest;) {
    int first = std::countr_zero(rest);
    uint64_t at = address[first] + usedFrom;
    size_t number = static_cast<size_t>(warp.cachedRange);
    if (number >= ranges.size() || at < ranges[number].begin || at >= ranges[number].end) {
      auto next = std::upper_bound(
          ranges.begin(), ranges.end(), at,
          [](uint64_t value, const MemoryMap::Range &range) { return value < range.begin; });
      if (next == ranges.begin() || at >= std::prev(next)->end) {
        checkAlignment(warp, op, first, address[first], bytes, "global");
        outOfBounds(warp, op, first, at, usedBytes, mode);
      }
      number = static_cast<size_t>(std::prev(next) - ranges.begin());
      warp.cachedRange = static_cast<int>(number);
    }
    const MemoryMap::Range &range = ranges[number];
    uint32_t same = 0;
    forEachLane(rest, [&](int lane) {
      uint64_t from = address[lane] + usedFrom;
      if (from < range.begin || from >= range.end)
        return;
      checkAlignment(warp, op, lane, address[lane], bytes, "global");
      if (range.end - from < usedBytes)
        outOfBounds(warp, op, lane, from, usedBytes, mode);
      if (mode != Mode::Read && !range.writable)
        warp.fail(Finding::Kind::ReadOnly, op, lane,
                  std::string(verb(mode)) + " to the read-only buffer '" + range.label + "'", from,
                  range.label);
      host.pointer[lane] = reinterpret_cast<std::byte *>(address[lane]);
      same |= uint32_t(1) << lane;
    });
    if (metered) {
      if (mode != Mode::Write)
        warp.block->meter.global(number, false, address, same, bytes, *state.uniqueRead[number]);
      if (mode != Mode::Read)
        warp.block->meter.global(number, true, address, same, bytes, *state.uniqueWritten[number]);
    }
    rest &= ~same;
  }
}

void resolveBulk(Warp &warp, const Op &op, int lane, const std::vector<GlobalPiece> &pieces,
                 Mode mode) {
  LaunchState &state = warp.block->state;
  const std::vector<MemoryMap::Range> &ranges = state.ranges;
  const bool write = mode != Mode::Read;
  std::vector<size_t> seen; // ranges with a request
  uint64_t lastSector = 0;
  for (const GlobalPiece &piece : pieces) {
    if (warp.independent >> lane & 1)
      tooEarly(warp, op, lane, piece.address, mode);
    for (uint64_t at = piece.address, end = piece.address + piece.bytes; at < end;) {
      auto next = std::upper_bound(
          ranges.begin(), ranges.end(), at,
          [](uint64_t value, const MemoryMap::Range &range) { return value < range.begin; });
      if (next == ranges.begin() || at >= std::prev(next)->end)
        outOfBounds(warp, op, lane, at, static_cast<uint32_t>(end - at), mode);
      const MemoryMap::Range &range = *std::prev(next);
      if (write && !range.writable)
        warp.fail(Finding::Kind::ReadOnly, op, lane,
                  std::string(verb(mode)) + " to the read-only buffer '" + range.label + "'", at,
                  range.label);
      const uint64_t here = std::min(end, range.end) - at;
      const size_t number = static_cast<size_t>(&range - ranges.data());
      if (state.options->meter) {
        bool first = std::find(seen.begin(), seen.end(), number) == seen.end();
        if (first)
          seen.push_back(number);
        warp.block->meter.bulk(number, write, at, here, first, lastSector,
                               write ? *state.uniqueWritten[number] : *state.uniqueRead[number]);
      }
      at += here;
    }
  }
}

void resolve(Warp &warp, const Op &op, uint32_t mask, Mode mode, HostLanes &host) {
  if (mode != Mode::Read)
    ++warp.block->events;
  const Access &access = op.access;
  if (access.ordered)
    warp.block->races.synchronise(warp, mode != Mode::Write, mode != Mode::Read);
  const uint32_t bytes = access.total();
  uint64_t address[32];
  formAddresses(warp, access, mask, address);

  uint32_t usedFrom = 0, usedBytes = bytes;
  if (bytes < 64) {
    uint64_t used = access.usedBytes & ((uint64_t(1) << bytes) - 1);
    if (used && access.usedBytes != ~uint64_t(0)) {
      usedFrom = std::countr_zero(used);
      usedBytes = 64 - std::countl_zero(used) - usedFrom;
    }
  }

  auto shared = [&](uint32_t lanes) {
    resolveShared(warp, op, lanes, address, bytes, mode, host);
    if (!warp.block->state.options->meter)
      return;
    uint32_t offset[32];
    for (int lane = 0; lane < 32; ++lane)
      offset[lane] = static_cast<uint32_t>(address[lane]);
    if (mode == Mode::Atomic)
      warp.block->meter.sharedAtomic(op.position, offset, lanes);
    else
      warp.block->meter.shared(op.position, offset, lanes, bytes);
  };

  const uint64_t constants = warp.block->state.module->constantBase;
  switch (access.space) {
  case Space::Const:
    for (uint64_t &at : address)
      at += constants;
    [[fallthrough]];
  case Space::Global:
    return resolveGlobal(warp, op, mask, address, bytes, usedFrom, usedBytes, mode, host);
  case Space::Shared:
    return shared(mask);
  case Space::Local:
    return resolveLocal(warp, op, mask, address, bytes, host);
  case Space::Param:
    return resolveParam(warp, op, mask, address, bytes, mode, host);
  case Space::Generic:
    break;
  }
  uint32_t inShared = 0, inLocal = 0, inParam = 0, inConst = 0;
  forEachLane(mask, [&](int lane) {
    auto move = [&](uint64_t window, uint32_t &lanes) {
      if (address[lane] - window >= windowBytes)
        return false;
      address[lane] -= window;
      lanes |= uint32_t(1) << lane;
      return true;
    };
    if (move(constantWindow, inConst))
      address[lane] += constants;
    else
      move(sharedWindow, inShared) || move(localWindow, inLocal) || move(paramWindow, inParam);
  });
  if (inShared)
    shared(inShared);
  if (inLocal)
    resolveLocal(warp, op, inLocal, address, bytes, host);
  if (inParam)
    resolveParam(warp, op, inParam, address, bytes, mode, host);
  if (uint32_t rest = mask & ~(inShared | inLocal | inParam))
    resolveGlobal(warp, op, rest, address, bytes, usedFrom, usedBytes, mode, host);
}

} // namespace attncc::simulator
