//===- BulkCopyOps.cpp - cp.async.bulk, plain and of tensors --------------===//
//
// PTX ISA §9.7.9.25.4 and §9.7.9.27. Each active lane issues a copy of its own. For a tensor copy
// in tile mode, with coordinates c, box B and element strides e, the box's element b is
//
//   tensor     g[i] = c[i] + b[i] e[i]     (e[0] counts as 1)
//   shared     (…(b[n-1] B[n-2] + b[n-2]) … B[0] + b[0]) elements behind the destination
//
// Elements outside the tensor are filled on the way in and dropped on the way out; the mbarrier
// counts the whole box. See BulkCopies.h. Pinned by test/simulator/BulkCopyTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Addressing.h"
#include "runtime/simulator/Decoder.h"
#include "runtime/simulator/TensorMap.h"

#include <algorithm>

namespace attncc::simulator {

namespace {

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

TensorMap mapAt(Warp &warp, const Op &op, int lane, uint64_t address) {
  if (address % 64)
    warp.fail(Finding::Kind::Misaligned, op, lane,
              "tensor map address " + hex(address) + " is not a multiple of 64", address);
  const std::byte *bytes = nullptr;
  auto parameters = warp.block->state.launch->parameters;
  if (uint64_t offset = address - paramWindow; offset < windowBytes) {
    if (offset + tensorMapBytes <= parameters.size())
      bytes = parameters.data() + offset;
  } else {
    for (const MemoryMap::Range &range : warp.block->state.ranges)
      if (address >= range.begin && address + tensorMapBytes <= range.end)
        bytes = reinterpret_cast<const std::byte *>(address);
  }
  if (!bytes)
    warp.fail(Finding::Kind::OutOfBounds, op, lane,
              "tensor map address " + hex(address) +
                  " is neither in the kernel's parameters nor in a buffer",
              address);
  Result<TensorMap> map =
      decodeTensorMap(std::span<const std::byte, tensorMapBytes>(bytes, tensorMapBytes));
  if (!map)
    warp.fail(Finding::Kind::Operand, op, lane, map.error().diagnostic.message, address);
  return *map;
}

/// The rows of a box and the pieces of global memory under them.
void layOut(const TensorMap &map, const int32_t *coordinate, uint32_t shared,
            BulkCopies::Copy &copy, std::vector<GlobalPiece> &pieces) {
  const uint64_t element = bytesOf(map.type);
  const uint32_t bytes = static_cast<uint32_t>(map.box[0] * element);
  const int64_t inner = int64_t(map.dimensions[0]);
  const int64_t first = std::clamp<int64_t>(-int64_t(coordinate[0]), 0, map.box[0]);
  const int64_t last = std::clamp<int64_t>(inner - coordinate[0], first, map.box[0]);
  std::array<uint32_t, 5> at{};
  while (true) {
    BulkCopies::Row row{shared, bytes, 0, 0, 0};
    bool inside = first < last;
    uint64_t address = map.address + uint64_t(int64_t(coordinate[0]) * int64_t(element));
    for (unsigned i = 1; i < map.rank; ++i) {
      int64_t index = int64_t(coordinate[i]) + int64_t(at[i]) * map.elementStrides[i];
      inside &= index >= 0 && uint64_t(index) < map.dimensions[i];
      address += uint64_t(index) * map.strides[i];
    }
    row.global = address;
    if (inside) {
      row.from = static_cast<uint32_t>(first * int64_t(element));
      row.to = static_cast<uint32_t>(last * int64_t(element));
      pieces.push_back({address + row.from, row.to - row.from});
    }
    copy.rows.push_back(row);
    shared += bytes;
    unsigned i = 1;
    while (i < map.rank && ++at[i] == map.moved(i))
      at[i++] = 0;
    if (i >= map.rank)
      return;
  }
}

uint64_t fillPattern(const TensorMap &map) {
  if (map.fill == TensorFill::Zero)
    return 0;
  switch (map.type) {
  case TensorType::F16:
  case TensorType::BF16:
    return 0x7fff7fff7fff7fff;
  case TensorType::F64:
    return 0x7fffffffffffffff;
  default:
    return 0x7fffffff7fffffff;
  }
}

void copyBulk(Warp &warp, const Op &op, uint32_t mask) {
  Block &block = *warp.block;
  const BulkForm &form = block.kernel.bulkForms[op.immediate];
  uint64_t global[32];
  formAddresses(warp, form.global, mask, global);
  std::vector<GlobalPiece> pieces;
  forEachLane(mask, [&](int lane) {
    const uint32_t one = uint32_t(1) << lane;
    BulkCopies::Copy copy;
    copy.op = &op;
    copy.warp = warp.index;
    copy.lane = lane;
    pieces.clear();
    uint32_t shared[32];
    if (form.tensor) {
      TensorMap map = mapAt(warp, op, lane, global[lane]);
      if (map.rank != form.dimensions)
        warp.fail(Finding::Kind::Operand, op, lane,
                  "the tensor map has " + std::to_string(map.rank) +
                      " dimensions, the instruction " + std::to_string(form.dimensions));
      if (form.prefetch)
        return;
      copy.bytes = map.boxBytes();
      copy.swizzle = swizzleMask(map.swizzle);
      copy.fill = fillPattern(map);
      sharedAddresses(warp, op, form.shared, one, static_cast<uint32_t>(copy.bytes), shared, 128);
      int32_t coordinates[5] = {};
      for (unsigned i = 0; i < form.dimensions; ++i)
        coordinates[i] = warp.values<int32_t>(form.coordinates[i])[lane];
      layOut(map, coordinates, shared[lane], copy, pieces);
    } else {
      uint32_t bytes = warp.values<uint32_t>(form.bytes)[lane];
      if (bytes % 16 || bytes == 0)
        warp.fail(Finding::Kind::Operand, op, lane,
                  "the size is " + std::to_string(bytes) + ", expected a multiple of 16");
      if (global[lane] % 16)
        warp.fail(Finding::Kind::Misaligned, op, lane,
                  "global address " + hex(global[lane]) + " is not a multiple of 16", global[lane]);
      copy.bytes = bytes;
      if (form.prefetch)
        return;
      sharedAddresses(warp, op, form.shared, one, bytes, shared, 16);
      copy.rows.push_back({shared[lane], bytes, 0, bytes, global[lane]});
      pieces.push_back({global[lane], bytes});
    }
    resolveBulk(warp, op, lane, pieces, form.load ? Mode::Read : Mode::Write);
    ++block.meter.bulkCopies;
    if (!form.load)
      return block.bulk.store(block, warp, std::move(copy));
    uint32_t mbarrier[32];
    sharedAddresses(warp, op, form.mbarrier, one, 8, mbarrier);
    copy.mbarrier = mbarrier[lane];
    const Mbarriers::State *state = block.mbarriers.find(copy.mbarrier);
    if (!state)
      warp.fail(Finding::Kind::Barrier, op, lane,
                "no mbarrier is initialised at shared address " + hex(copy.mbarrier),
                copy.mbarrier);
    copy.phase = state->phase;
    block.bulk.load(block, warp, std::move(copy));
  });
  block.wake(); // somebody may wait for it already
}

void commitGroup(Warp &warp, const Op &, uint32_t mask) { warp.block->bulk.commit(warp, mask); }

void waitGroup(Warp &warp, const Op &op, uint32_t mask) {
  warp.block->bulk.wait(*warp.block, warp, mask, static_cast<uint32_t>(op.immediate), op.flags);
}

/// A memory operand that is not the op's own.
Access takeAccess(Decoder &d, syntax::Operand operand, Space space) {
  if (operand.kind == syntax::Operand::Kind::Address)
    operand.elements.resize(1);
  d.op().access = {};
  d.address(operand, space, 16, 1);
  return std::exchange(d.op().access, {});
}

void takeCoordinates(Decoder &d, const syntax::Operand &map, BulkForm &form) {
  if (map.kind != syntax::Operand::Kind::Address || map.elements.size() != 2)
    d.fail("expected [map, {coordinates}]");
  const syntax::Operand &list = map.elements[1];
  if (list.kind != syntax::Operand::Kind::Vector || list.elements.size() != form.dimensions)
    d.fail("expected " + std::to_string(form.dimensions) + " coordinates");
  for (unsigned i = 0; i < form.dimensions; ++i)
    form.coordinates[i] = d.source(list.elements[i], 4);
}

} // namespace

void decodeBulkCopy(Decoder &d) {
  d.needsHopper();
  if (d.has("commit_group")) {
    d.expectOperands(0);
    d.op().run = &commitGroup;
    d.usesAsyncProxy();
    return;
  }
  if (d.has("wait_group")) {
    d.op().flags = d.has("read");
    d.expectOperands(1);
    d.op().immediate = d.integer(d.operand(0));
    d.op().run = &waitGroup;
    d.usesAsyncProxy();
    return;
  }
  BulkForm form;
  form.prefetch = d.has("prefetch");
  form.tensor = d.has("tensor");
  if (form.tensor) {
    form.dimensions = static_cast<uint8_t>(d.oneOf({"1d", "2d", "3d", "4d", "5d"}) + 1);
    if (form.dimensions == 0)
      d.unknown();
    d.has("tile");
  }
  const bool hint = d.has("L2::cache_hint");
  size_t next = 0;
  auto takeGlobal = [&](size_t index) {
    if (form.tensor)
      takeCoordinates(d, d.operand(index), form);
    form.global = takeAccess(d, d.operand(index), form.tensor ? Space::Generic : Space::Global);
  };
  auto takeShared = [&](size_t index) {
    form.shared = takeAccess(d, d.operand(index), Space::Shared);
  };
  d.require("global");
  if (form.prefetch) {
    d.require("L2");
    takeGlobal(0);
    next = 1;
    if (!form.tensor)
      form.bytes = d.source(d.operand(next++), 4);
  } else if (d.has("bulk_group")) {
    d.require("shared::cta");
    takeGlobal(0);
    takeShared(1);
    next = 2;
    if (!form.tensor)
      form.bytes = d.source(d.operand(next++), 4);
  } else {
    d.require("mbarrier::complete_tx::bytes");
    if (d.oneOf({"shared::cluster", "shared::cta"}) < 0)
      d.unknown();
    form.load = true;
    takeShared(0);
    takeGlobal(1);
    next = 2;
    if (!form.tensor)
      form.bytes = d.source(d.operand(next++), 4);
    form.mbarrier = takeAccess(d, d.operand(next++), Space::Shared);
  }
  if (hint)
    d.source(d.operand(next++), 8);
  d.expectOperands(next);
  d.op().immediate = d.addBulkForm(form);
  d.op().run = &copyBulk;
}

} // namespace attncc::simulator
