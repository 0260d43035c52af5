//===- Rings.cpp - rings of an interpreted kernel -----------------------------===//
//
// A ring is four counters: slots acquired, committed, waited for and released,
// each in order, the last two of each reader. With one role nobody else can make a
// waiting op go on, so an op that would wait is an error. In roles it waits. Tests:
// test/dialects/tile/interpret-errors.mlir, interpret-roles-errors.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Machine.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>

using namespace mlir;

namespace attncc::tile::interpreter {

int64_t Ring::slowest() const {
  auto released = [](const Reader &reader) { return reader.released; };
  return std::ranges::min_element(readers, {}, released) - readers.begin();
}

Ring::Reader &Ring::reader(Operation *op, int64_t unit) {
  if (readers.size() == 1)
    return readers.front();
  // Loading roles, which run as unit 0, come behind the units; the first one fills such a ring.
  auto roles = op->getParentOfType<RolesOp>();
  if (roles && type.getSharedBy() == RingScope::Roles)
    for (auto [number, load] : llvm::enumerate(roles.getLoads()))
      if (number > 0 && load.isAncestor(op->getParentRegion()))
        return readers[kernelOf(op).getSchedule().getUnits() + number - 1];
  return readers[unit];
}

std::string Ring::bySlowest() const {
  if (readers.size() == 1)
    return "";
  auto units = static_cast<int64_t>(kernelOf(value.getDefiningOp()).getSchedule().getUnits());
  int64_t reader = slowest();
  return reader < units ? " by unit " + std::to_string(reader)
                        : " by load " + std::to_string(1 + reader - units);
}

std::string Ring::name() const {
  std::string name;
  llvm::raw_string_ostream stream(name);
  value.printAsOperand(stream, OpPrintingFlags());
  return name;
}

/// A station takes its slots in order.
static LogicalResult inOrder(Operation *op, int64_t position, int64_t next) {
  if (position == next)
    return success();
  return op->emitOpError() << "takes slot " << position << " of a ring, its next is " << next;
}

LogicalResult Machine::acquire(AcquireOp op, int64_t unit) {
  Ring &taken = ring(op.getRing(), unit);
  int64_t position = integer(op.getPosition(), unit), depth = taken.type.getDepth();
  if (failed(inOrder(op, position, taken.acquired)))
    return failure();
  auto isFree = [&taken, position, depth] { return position - depth < taken.released(); };
  if (!processes && !isFree())
    return op.emitOpError() << "overwrites slot " << position - depth << " of a ring of " << depth
                            << ", which has not been released";
  auto text = [&taken, position, depth] {
    return llvm::formatv("a free slot of ring {0}: slot {1} has not been released{2}", taken.name(),
                         position - depth, taken.bySlowest())
        .str();
  };
  if (processes && failed(processes->wait({op, isFree, text})))
    return failure();
  ++taken.acquired;
  Ring::Slot &slot = taken.slots.emplace_back();
  for (TileType type : taken.type.getTiles()) // what nothing is copied into stays undefined
    slot.tiles.push_back(std::make_shared<TileData>(type.getRows(), type.getColumns(),
                                                    std::numeric_limits<double>::quiet_NaN()));
  set(op, unit,
      Cell(SlotReference{std::get<std::shared_ptr<Ring>>(cell(op.getRing(), unit)), position}));
  return success();
}

LogicalResult Machine::commit(CommitOp op, int64_t unit) {
  Ring &filled = ring(op.getRing(), unit);
  int64_t position = integer(op.getPosition(), unit);
  if (failed(inOrder(op, position, filled.committed)))
    return failure();
  if (position >= filled.acquired)
    return op.emitOpError() << "commits slot " << position
                            << " of a ring, which has not been acquired";
  ++filled.committed;
  return success();
}

LogicalResult Machine::wait(WaitOp op, int64_t unit) {
  auto read = std::get<std::shared_ptr<Ring>>(cell(op.getRing(), unit));
  int64_t position = integer(op.getPosition(), unit), ahead = op.getAhead();
  Ring::Reader &reader = read->reader(op, unit);
  if (position < reader.released)
    return op.emitOpError() << "waits for slot " << position << " of a ring after its release";
  if (position > reader.waited)
    return inOrder(op, position, reader.waited);
  auto isFull = [&read, position] { return position < read->committed; };
  if (!processes && !isFull())
    return op.emitOpError() << "waits for slot " << position
                            << " of a ring, which has not been committed";
  auto text = [&read, position] {
    return llvm::formatv("slot {0} of ring {1}, which has not been committed", position,
                         read->name())
        .str();
  };
  if (processes && failed(processes->wait({op, isFull, text})))
    return failure();
  bool again = position < reader.waited;
  if (!again && read->committed - position - 1 < ahead)
    return op.emitOpError() << "lets " << ahead << " later slots be in flight, but only "
                            << read->committed - position - 1 << " have been committed";
  reader.waited = std::max(reader.waited, position + 1);
  for (auto [result, tile] : llvm::zip_equal(op.getTiles(), read->slots[position].tiles))
    set(result, unit, Cell(SlotTile{tile, read, position}));
  return success();
}

LogicalResult Machine::release(ReleaseOp op, int64_t unit) {
  Ring &freed = ring(op.getRing(), unit);
  int64_t position = integer(op.getPosition(), unit);
  Ring::Reader &reader = freed.reader(op, unit);
  if (failed(inOrder(op, position, reader.released)))
    return failure();
  if (position >= reader.waited)
    return op.emitOpError() << "releases slot " << position
                            << " of a ring, which has not been waited for";
  if (failed(checkNotRead(op, "releases", freed, position, unit)))
    return failure();
  ++reader.released;
  return success();
}

LogicalResult Machine::zeroRows(ZeroRowsOp op, int64_t unit) {
  auto held = tile(op, op.getValue(), unit);
  if (failed(held))
    return failure();
  auto zeroed = std::make_shared<TileData>(**held);
  int64_t firstKey = integer(op.getTile(), unit) * zeroed->rows;
  for (int64_t r = 0; r < zeroed->rows; ++r)
    if (firstKey + r >= item(op.getItem(), unit).keys.end)
      std::fill_n(&zeroed->at(r, 0), zeroed->columns, 0.0);
  // The result lives as long as the slot, if the tile is a slot's.
  Cell result = cell(op.getValue(), unit);
  if (auto *slot = std::get_if<SlotTile>(&result))
    slot->tile = std::move(zeroed);
  else
    result = std::shared_ptr<const TileData>(std::move(zeroed));
  set(op, unit, std::move(result));
  return success();
}

} // namespace attncc::tile::interpreter
