//===- Machine.h - the state of an interpreted block --------------------------===//
//
// Internal to the interpreter. A cell is one unit's value of one SSA value; the
// machine holds the cells of every unit of a block and executes ops for the
// units that are active.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/attn/Mask.h"
#include "dialects/tile/interpreter/Arithmetic.h"
#include "dialects/tile/interpreter/Interpreter.h"
#include "llvm/ADT/DenseMap.h"

#include <deque>
#include <optional>

namespace attncc::tile::interpreter {

/// One work item: what `#tile.items` says that it stands for.
struct Item {
  ItemKind kind = ItemKind::Decode;
  std::shared_ptr<Batch> batch;
  int64_t sequence = 0, kvHead = 0, group = 1;
  int64_t firstRow = 0; // decode: c·rows; prefill: the unit's first row
  int64_t token = 0;    // append, merge, merge_states: of the sequence's queries
  int64_t head = 0;     // merge, merge_states
  int64_t split = 0, splits = 1;
  attn::KeyInterval keys; // decode, prefill

  int64_t queryLength() const { return batch->queryLength(sequence); }
  int64_t kvLength() const { return batch->kvLength[sequence]; }
  int64_t queryHeads() const { return batch->kvHeads * group; }
  /// A token's index in the sequence, which is its position unless one is given.
  int64_t indexOf(int64_t ofToken) const { return kvLength() - queryLength() + ofToken; }
  /// (token of the sequence's queries, head) of a row of a tile, where the item has that row.
  std::optional<std::pair<int64_t, int64_t>> row(RowKind kind, int64_t row) const;
};

struct Range {
  std::shared_ptr<const Item> item;
  int64_t first = 0, stride = 1, count = 0, keys = 0;
  int64_t edges = 0; // tiles at the beginning that need a mask
};

/// One unit's ring, or the block's.
struct Ring {
  struct Slot {
    std::vector<std::shared_ptr<TileData>> tiles;
    bool copied = false;
  };
  RingType type;
  int64_t acquired = 0, committed = 0, waited = 0, released = 0;
  std::deque<Slot> slots; // by position, from 0
};

/// A tile in a slot: readable until the slot is released.
struct SlotTile {
  std::shared_ptr<const TileData> tile;
  std::shared_ptr<const Ring> ring;
  int64_t position = 0;
};

struct SlotReference {
  std::shared_ptr<Ring> ring;
  int64_t position = 0;
};

/// Integers, index values and ring positions are int64_t.
using Cell = std::variant<std::monostate, int64_t, double, std::shared_ptr<const TileData>,
                          SlotTile, std::shared_ptr<const Item>, std::shared_ptr<const Range>,
                          std::shared_ptr<Ring>, SlotReference, const Argument *>;

class Machine {
public:
  Machine(KernelOp kernel, llvm::ArrayRef<Argument> arguments, const Options &options);
  mlir::LogicalResult run();

private:
  /// One bit for each unit.
  using Units = uint64_t;

  // The grid and its items (Items.cpp).
  struct Grid {
    std::array<int64_t, 3> size = {1, 1, 1};
  };
  /// The batch, or that of states.
  static std::shared_ptr<Batch> batchOf(const Argument &source);
  /// Query rows of a block whose units divide the rows.
  int64_t blockRows() const { return units * schedule.getRows(); }
  Grid gridOf(ItemsAttr items, const Batch &batch) const;
  std::shared_ptr<const Item> itemOf(ItemsAttr items, const std::shared_ptr<Batch> &batch,
                                     int64_t unit) const;
  std::shared_ptr<const Range> rangeOf(KeyRangeOp op, std::shared_ptr<const Item> item,
                                       int64_t unit) const;

  // Control flow and integers (Machine.cpp).
  mlir::LogicalResult runBlock(mlir::Block &block, Units active);
  mlir::LogicalResult runOp(mlir::Operation *op, Units active);
  mlir::LogicalResult runWorkLoop(WorkLoopOp op, Units active);
  mlir::LogicalResult runFor(mlir::Operation *op, Units active);
  mlir::LogicalResult runIf(mlir::Operation *op, Units active);
  mlir::LogicalResult runWhile(mlir::Operation *op, Units active);
  mlir::LogicalResult runScalar(mlir::Operation *op, int64_t unit);
  mlir::LogicalResult runMergeUnits(MergeUnitsOp op, Units active);
  mlir::LogicalResult runRing(RingOp op, Units active);
  mlir::LogicalResult runShared(mlir::Operation *op, Units active);
  /// One unit's part of a tile op.
  mlir::LogicalResult runUnit(mlir::Operation *op, int64_t unit);

  // Memory (Memory.cpp).
  mlir::LogicalResult loadRows(LoadRowsOp op, int64_t unit);
  mlir::LogicalResult loadVector(LoadVectorOp op, int64_t unit);
  mlir::LogicalResult storeRows(StoreRowsOp op, int64_t unit);
  mlir::LogicalResult storeKv(StoreKvOp op, int64_t unit);
  mlir::LogicalResult pageNumbers(PageNumbersOp op, int64_t unit);
  mlir::FailureOr<std::shared_ptr<TileData>>
  loadCache(mlir::Operation *op, PagedCache &cache, const Item &item, int64_t tile, TileType type,
            bool keys, const TileData *pages, int64_t pageIndex, double pastEnd = 0);
  mlir::LogicalResult storeAttention(StoreAttentionOp op, int64_t unit);
  mlir::LogicalResult mergeSplits(MergeSplitsOp op, int64_t unit);
  mlir::LogicalResult mergeStates(MergeStatesOp op, int64_t unit);
  mlir::LogicalResult storeMerged(StoreMergedOp op, int64_t unit);
  mlir::LogicalResult copy(mlir::Operation *op, mlir::Value cache, mlir::Value item,
                           mlir::Value tile, mlir::Value pages, mlir::Value pageIndex,
                           mlir::Value slot, mlir::Value when, int64_t index, bool inBoxes,
                           bool keys, int64_t unit);
  mlir::FailureOr<int64_t> pageOf(mlir::Operation *op, const Item &item, int64_t key,
                                  const PagedCache &cache) const;

  // Rings (Rings.cpp).
  mlir::LogicalResult acquire(AcquireOp op, int64_t unit);
  mlir::LogicalResult commit(CommitOp op, int64_t unit);
  mlir::LogicalResult wait(WaitOp op, int64_t unit);
  mlir::LogicalResult release(ReleaseOp op, int64_t unit);
  mlir::LogicalResult zeroRows(ZeroRowsOp op, int64_t unit);

  // Cells.
  Cell &cell(mlir::Value value, int64_t unit);
  int64_t integer(mlir::Value value, int64_t unit) { return std::get<int64_t>(cell(value, unit)); }
  double real(mlir::Value value, int64_t unit) { return std::get<double>(cell(value, unit)); }
  const Item &item(mlir::Value value, int64_t unit) {
    return *std::get<std::shared_ptr<const Item>>(cell(value, unit));
  }
  const Range &range(mlir::Value value, int64_t unit) {
    return *std::get<std::shared_ptr<const Range>>(cell(value, unit));
  }
  Ring &ring(mlir::Value value, int64_t unit) {
    return *std::get<std::shared_ptr<Ring>>(cell(value, unit));
  }
  template <class T> std::shared_ptr<T> argument(mlir::Value value, int64_t unit) {
    return std::get<std::shared_ptr<T>>(*std::get<const Argument *>(cell(value, unit)));
  }
  void set(mlir::Value value, int64_t unit, Cell cell) {
    this->cell(value, unit) = std::move(cell);
  }
  void set(mlir::Value value, int64_t unit, TileData tile) {
    set(value, unit,
        Cell(std::shared_ptr<const TileData>(std::make_shared<TileData>(std::move(tile)))));
  }
  /// The tile of an operand; an error where its slot has been released.
  mlir::FailureOr<std::shared_ptr<const TileData>> tile(mlir::Operation *user, mlir::Value value,
                                                        int64_t unit);
  void assign(mlir::ValueRange to, mlir::ValueRange from, Units active);
  template <class Function> mlir::LogicalResult forEach(Units active, Function function) {
    for (int64_t unit = 0; unit < units; ++unit)
      if ((active >> unit & 1) && mlir::failed(function(unit)))
        return mlir::failure();
    return mlir::success();
  }
  double rounded(mlir::Type type, double value) const;

  KernelOp kernel;
  int64_t decodes; // sequences of up to so many query tokens are decode's
  attn::ScheduleAttr schedule;
  llvm::ArrayRef<Argument> arguments;
  Options options;
  int64_t units;
  Units all;
  std::array<int64_t, 3> block = {0, 0, 0};
  llvm::DenseMap<mlir::Value, std::vector<Cell>> cells;
  std::vector<std::weak_ptr<Ring>> rings;
};

} // namespace attncc::tile::interpreter
