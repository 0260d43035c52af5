//===- PackSharedMemory.cpp - Live ranges become offsets ----------------------===//
//
//   %r = tile.ring : …              →    %r = tile.ring {offset = 0 : i32} : …
//   tile.merge_units %m, %l, %o     →    tile.merge_units %m, %l, %o {scratch = 0 : i32}
//
// and the kernel gets `shared_memory`. A ring lives from the first to the last op on it, a loop
// around such an op counting as a whole; the shared tile of a load_rows from its op to its last
// use; scratch lives while its op runs. What is live at the same time must not overlap; the largest
// is placed first, at the lowest place that fits. So the scratch of merge_units lies over the rings
// that are dead by then.
//
// Behind it stand the mbarriers of rings that tensor copies or a role fill: nothing else may ever
// lie over a live mbarrier. Last comes padding, where `blocks_per_sm` asks for it, until a
// multiprocessor has no room for one block more: a launch that follows another one is placed
// unevenly where there is.
//
// Sizes come from layout/Storage.h. Test: test/dialects/tile/pack-shared-memory.mlir,
// pack-shared-memory-errors.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"
#include "dialects/tile/layout/Storage.h"

#include "mlir/IR/Builders.h"

namespace attncc::tile {
#define GEN_PASS_DEF_PACKSHAREDMEMORYPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
namespace {

/// Places of ops in the kernel's text: an op spans the ops in its regions.
class Numbering {
public:
  explicit Numbering(Operation *root) { number(root); }
  int64_t begin(Operation *op) const { return spans.lookup(op).first; }
  int64_t end(Operation *op) const { return spans.lookup(op).second; }

private:
  DenseMap<Operation *, std::pair<int64_t, int64_t>> spans;
  int64_t next = 0;

  void number(Operation *op) {
    int64_t begin = next++;
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (Operation &inner : block)
          number(&inner);
    spans[op] = {begin, next++};
  }
};

/// Bytes of a multiprocessor's shared memory that each block takes beside its own (CUDA C++
/// Programming Guide, "Compute Capability 8.x" and later).
constexpr int64_t reservedPerBlock = 1024;

struct Allocation {
  Operation *op;
  int64_t bytes;
  int64_t begin, end; // live range, inclusive
  int64_t offset = 0;

  bool meets(const Allocation &other) const { return begin <= other.end && other.begin <= end; }
};

int64_t roundUp(int64_t n) { return (n + sharedAlignment - 1) / sharedAlignment * sharedAlignment; }

int64_t bytesPerElement(TileType type) { return type.getElementType().getIntOrFloatBitWidth() / 8; }

FailureOr<int64_t> ringBytes(RingOp ring, int64_t units) {
  RingType type = ring.getRing().getType();
  std::vector<StoredTile> tiles;
  for (TileType tile : type.getTiles()) {
    if (!tile.getLayout())
      return ring.emitError() << "a ring needs tiles with a layout, got " << tile;
    tiles.push_back({tile.getLayout().toLayout(), bytesPerElement(tile)});
  }
  int64_t owners = type.getSharedBy() == RingScope::Unit ? units : 1;
  return ringStorage(tiles).slotBytes * type.getDepth() * owners;
}

/// Tensor copies fill the slot.
bool hasBoxes(AcquireOp acquire) {
  return llvm::any_of(acquire.getSlot().getUsers(), [](Operation *copy) {
    if (auto keys = dyn_cast<CopyKeysOp>(copy))
      return keys.getBox().has_value();
    auto values = dyn_cast<CopyValuesOp>(copy);
    return values && values.getBox();
  });
}

/// Mbarriers that a slot of the ring has: with tensor copies one that says when it is full, of each
/// unit's ring where each has its own; where a role fills the ring also one that says when it is
/// empty, and with tensor copies one for rows that become zero.
int64_t barriersOfSlot(RingOp ring, int64_t units) {
  bool boxes = false, role = false;
  for (Operation *user : ring.getRing().getUsers())
    if (auto acquire = dyn_cast<AcquireOp>(user)) {
      boxes |= hasBoxes(acquire);
      role |= acquire->getParentOfType<RolesOp>() != nullptr;
    }
  if (ring.getRing().getType().getSharedBy() == RingScope::Unit)
    return boxes ? units : 0;
  return role ? (boxes ? 3 : 2) : 0;
}

/// Bytes of a move through shared memory, 0 for one that needs none.
FailureOr<int64_t> moveBytes(MoveOp move, int64_t units) {
  TileType from = move.getValue().getType(), to = move.getResult().getType();
  if (!from.getLayout() || !to.getLayout())
    return move.emitError() << "a move needs layouts on both sides";
  auto plan =
      planConversion(from.getLayout().toLayout(), to.getLayout().toLayout(), bytesPerElement(from));
  if (!plan)
    return move.emitError() << "there is no move between these layouts";
  if (plan->kind != ConversionPlan::Kind::Memory)
    return int64_t(0);
  return from.getNumElements() * bytesPerElement(from) * units;
}

/// Bytes of the rows that the units load into shared memory, each unit its own; 0 for registers.
FailureOr<int64_t> rowBytes(LoadRowsOp load, int64_t units) {
  TileType type = load.getResult().getType();
  if (!type.isShared())
    return int64_t(0);
  if (!type.getLayout())
    return load.emitError() << "shared rows need a layout, got " << type;
  return ringStorage({{type.getLayout().toLayout(), bytesPerElement(type)}}).slotBytes * units;
}

/// The live range of a ring: its uses, each as the op of the ring's own block around it.
void setLiveRange(Allocation &allocation, RingOp ring, const Numbering &numbers) {
  allocation.begin = numbers.end(ring);
  allocation.end = numbers.end(ring);
  bool first = true;
  for (Operation *user : ring.getRing().getUsers()) {
    Operation *around = ring->getBlock()->findAncestorOpInBlock(*user);
    allocation.begin =
        first ? numbers.begin(around) : std::min(allocation.begin, numbers.begin(around));
    allocation.end = std::max(allocation.end, numbers.end(around));
    first = false;
  }
}

FailureOr<SmallVector<Allocation>> collect(KernelOp kernel) {
  Numbering numbers(kernel);
  int64_t units = kernel.getSchedule().getUnits();
  SmallVector<Allocation> allocations;
  WalkResult result = kernel.walk([&](Operation *op) {
    Allocation allocation{op, 0, numbers.begin(op), numbers.end(op)};
    FailureOr<int64_t> bytes = int64_t(0);
    if (auto ring = dyn_cast<RingOp>(op)) {
      bytes = ringBytes(ring, units);
      setLiveRange(allocation, ring, numbers);
    } else if (auto load = dyn_cast<LoadRowsOp>(op)) {
      bytes = rowBytes(load, units);
      for (Operation *user : load.getResult().getUsers())
        allocation.end =
            std::max(allocation.end, numbers.end(load->getBlock()->findAncestorOpInBlock(*user)));
    } else if (auto merge = dyn_cast<MergeUnitsOp>(op); merge && !merge.getRing()) {
      TileType value = merge.getValue().getType();
      bytes = units * mergeScratch(value.getRows(), value.getColumns()).unitBytes;
    } else if (auto move = dyn_cast<MoveOp>(op)) {
      bytes = moveBytes(move, units);
    }
    if (failed(bytes))
      return WalkResult::interrupt();
    allocation.bytes = roundUp(*bytes);
    if (allocation.bytes)
      allocations.push_back(allocation);
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  return allocations;
}

/// Largest first, each at the lowest offset free of what is live with it.
int64_t place(SmallVector<Allocation> &allocations) {
  llvm::stable_sort(allocations,
                    [](const Allocation &a, const Allocation &b) { return a.bytes > b.bytes; });
  int64_t total = 0;
  for (size_t i = 0; i < allocations.size(); ++i) {
    Allocation &a = allocations[i];
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t k = 0; k < i; ++k) {
        const Allocation &b = allocations[k];
        if (a.meets(b) && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes) {
          a.offset = b.offset + b.bytes;
          moved = true;
        }
      }
    }
    total = std::max(total, a.offset + a.bytes);
  }
  return total;
}

LogicalResult pack(KernelOp kernel, int64_t limit, int64_t multiprocessor) {
  FailureOr<SmallVector<Allocation>> allocations = collect(kernel);
  if (failed(allocations))
    return failure();
  int64_t bytes = place(*allocations);
  Builder builder(kernel.getContext());
  const attn::Schedule &schedule = kernel.getSchedule().getValue();
  kernel.walk([&](RingOp ring) {
    int64_t barriers = barriersOfSlot(ring, schedule.units);
    if (!barriers)
      return;
    ring.setBarriersAttr(builder.getI32IntegerAttr(static_cast<int32_t>(bytes)));
    bytes += 8 * barriers * ring.getRing().getType().getDepth();
  });
  if (schedule.blocksPerSm > 1) {
    int64_t tooMany = multiprocessor / (schedule.blocksPerSm + 1);
    bytes = std::max<int64_t>(bytes, llvm::alignTo(tooMany - reservedPerBlock + 1, 16));
  }
  if (bytes > limit)
    return kernel.emitError() << "needs " << bytes << " bytes of shared memory, a block may use "
                              << limit;
  for (const Allocation &a : *allocations) {
    IntegerAttr offset = builder.getI32IntegerAttr(static_cast<int32_t>(a.offset));
    if (auto ring = dyn_cast<RingOp>(a.op))
      ring.setOffsetAttr(offset);
    else if (auto load = dyn_cast<LoadRowsOp>(a.op))
      load.setOffsetAttr(offset);
    else if (auto merge = dyn_cast<MergeUnitsOp>(a.op))
      merge.setScratchAttr(offset);
    else
      cast<MoveOp>(a.op).setScratchAttr(offset);
  }
  kernel.setSharedMemoryAttr(builder.getI32IntegerAttr(static_cast<int32_t>(bytes)));
  return success();
}

struct PackSharedMemory : public impl::PackSharedMemoryPassBase<PackSharedMemory> {
  using PackSharedMemoryPassBase::PackSharedMemoryPassBase;
  void runOnOperation() override {
    if (failed(pack(getOperation(), limit, multiprocessor)))
      signalPassFailure();
  }
};

} // namespace
} // namespace attncc::tile
