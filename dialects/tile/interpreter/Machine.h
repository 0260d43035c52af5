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
#include "dialects/tile/interpreter/Processes.h"
#include "llvm/ADT/DenseMap.h"

#include <deque>
#include <optional>
#include <set>

namespace attncc::tile::interpreter {

/// One work item: what `#tile.items` says that it stands for.
struct Item {
  ItemKind kind = ItemKind::Decode;
  std::shared_ptr<Batch> batch;
  int64_t sequence = 0, kvHead = 0, group = 1;
  int64_t firstRow = 0;          // decode: c·rows; prefill: the unit's first row
  int64_t token = 0;             // append, merge, merge_states: of the sequence's queries
  int64_t head = 0;              // merge, merge_states
  int64_t split = 0, splits = 1; // the first of those that it takes; a merge takes all
  bool single = true;            // its sequence has no other item
  attn::KeyInterval keys;        // decode, prefill

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
  int64_t edges = 0;   // tiles at the beginning that need a mask
  int64_t skipped = 0; // tiles at the beginning that the unit's rows do not see
  int64_t idle = 0;    // all of a unit that has no rows, else none
};

/// One unit's ring, or the block's.
struct Ring {
  struct Slot {
    std::vector<std::shared_ptr<TileData>> tiles;
    bool copied = false;
    std::shared_ptr<const Item> item; // of tile.put_item, null for one that is not valid
  };
  /// Each of those that wait for a slot and release it.
  struct Reader {
    int64_t waited = 0, released = 0;
  };
  RingType type;
  mlir::Value value;
  int64_t acquired = 0, committed = 0;
  /// The unit's, or the block's; where roles fill it each unit's, then with shared_by = roles each
  /// loading role's but the first.
  std::vector<Reader> readers;
  std::deque<Slot> slots; // by position, from 0

  /// That of an op that the unit executes.
  Reader &reader(mlir::Operation *op, int64_t unit);
  /// The first reader that has released least.
  int64_t slowest() const;
  /// " by unit 1" of the slowest; nothing if there is one reader only.
  std::string bySlowest() const;
  int64_t released() const { return readers[slowest()].released; }
  /// As the program's text names it.
  std::string name() const;
};

/// A tile in a slot: readable until the slot is released.
struct SlotTile {
  std::shared_ptr<const TileData> tile;
  std::shared_ptr<Ring> ring;
  int64_t position = 0;
};

struct SlotReference {
  std::shared_ptr<Ring> ring;
  int64_t position = 0;
};

/// A product that has been started.
struct Product {
  mlir::Operation *issue;
  int64_t number = 0;               // of the unit's, from 0
  std::vector<SlotReference> slots; // that its operands lie in
  std::shared_ptr<const TileData> accumulator;
  TileData result;
};

/// Integers, index values and ring positions are int64_t.
using Cell =
    std::variant<std::monostate, int64_t, double, std::shared_ptr<const TileData>, SlotTile,
                 std::shared_ptr<const Item>, std::shared_ptr<const Range>, std::shared_ptr<Ring>,
                 SlotReference, std::shared_ptr<const Product>, const Argument *>;

class Machine {
public:
  Machine(KernelOp kernel, llvm::ArrayRef<Argument> arguments, const Options &options);
  mlir::LogicalResult run();

private:
  /// One bit for each unit.
  using Units = uint64_t;

  // The grid and its items (Items.cpp).
  using Place = std::array<int64_t, 3>;
  struct Grid {
    Place size = {1, 1, 1};
  };
  /// The batch, or that of states.
  static std::shared_ptr<Batch> batchOf(const Argument &source);
  /// Query rows of a block whose units divide the rows.
  int64_t blockRows() const { return units * schedule.getRows(); }
  Grid gridOf(ItemsAttr items, const Batch &batch) const;
  std::shared_ptr<const Item> itemOf(ItemsAttr items, const std::shared_ptr<Batch> &batch,
                                     const Place &place, int64_t unit) const;
  void drawItem(DrawItemOp op, int64_t unit);
  void putItem(PutItemOp op, int64_t unit);
  mlir::LogicalResult takeItem(TakeItemOp op, int64_t unit);
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
  mlir::LogicalResult meetInSlot(MergeUnitsOp op, int64_t unit);
  mlir::LogicalResult runRing(RingOp op, Units active);
  mlir::LogicalResult runShared(mlir::Operation *op, Units active);
  /// One unit's part of a tile op.
  mlir::LogicalResult runUnit(mlir::Operation *op, int64_t unit);

  // Roles and turns (Roles.cpp).
  mlir::LogicalResult runRoles(RolesOp op, Units active);
  mlir::LogicalResult checkRolesEnd(RolesOp op);
  mlir::LogicalResult takeTurn(TakeTurnOp op, int64_t unit);
  mlir::LogicalResult passTurn(PassTurnOp op, int64_t unit);

  // Products in flight (Products.cpp).
  mlir::LogicalResult issue(MatmulIssueOp op, int64_t unit);
  mlir::LogicalResult await(AwaitOp op, int64_t unit);
  mlir::LogicalResult checkNoneInFlight();
  /// An error where a product in flight reads the slot that the op releases or writes.
  mlir::LogicalResult checkNotRead(mlir::Operation *op, llvm::StringRef does, const Ring &ring,
                                   int64_t position, int64_t unit);

  // Memory (Memory.cpp).
  mlir::FailureOr<std::shared_ptr<TileData>> rowsOf(mlir::Operation *op, Tensor *tensor,
                                                    const Item &item, RowKind kind,
                                                    int64_t firstRow, TileType type);
  mlir::LogicalResult loadRows(LoadRowsOp op, int64_t unit);
  mlir::LogicalResult copyRows(CopyRowsOp op, int64_t unit);
  mlir::LogicalResult loadVector(LoadVectorOp op, int64_t unit);
  mlir::LogicalResult storeRows(StoreRowsOp op, int64_t unit);
  mlir::LogicalResult storeKv(StoreKvOp op, int64_t unit);
  mlir::LogicalResult pageNumbers(PageNumbersOp op, int64_t unit);
  mlir::FailureOr<std::shared_ptr<TileData>>
  loadCache(mlir::Operation *op, PagedCache &cache, const Item &item, int64_t tile, TileType type,
            bool keys, const TileData *pages, int64_t pageIndex, double pastEnd = 0);
  /// Writes a result's row and its log-sum-exp, unless that pointer is null; a unit does so once.
  mlir::LogicalResult writeRow(mlir::Operation *op, Tensor &output, Tensor *lseOutput,
                               const Item &item, int64_t token, int64_t head,
                               llvm::ArrayRef<double> values, double lse, int64_t unit);
  mlir::LogicalResult storePartial(StorePartialOp op, int64_t unit);
  mlir::LogicalResult storeAttention(StoreAttentionOp op, int64_t unit);
  mlir::LogicalResult mergeSplits(MergeSplitsOp op, int64_t unit);
  mlir::LogicalResult mergeStates(MergeStatesOp op, int64_t unit);
  mlir::LogicalResult storeMerged(StoreMergedOp op, int64_t unit);
  mlir::LogicalResult copy(mlir::Operation *op, mlir::Value cache, mlir::Value item,
                           mlir::Value tile, mlir::Value pages, mlir::Value pageIndex,
                           mlir::Value slot, mlir::Value when, int64_t index, double pastEnd,
                           bool keys, int64_t unit);
  mlir::LogicalResult fill(mlir::Operation *op, const SlotReference &slot, int64_t index,
                           std::shared_ptr<TileData> tile);
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
  /// The tile of an operand; an error where its slot has been released, or where a product in
  /// flight accumulates into it.
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
  Grid grid;
  std::set<std::array<int64_t, 3>> written; // rows of the result: unit, token, head

  // A block's.
  Place block = {0, 0, 0};
  llvm::DenseMap<mlir::Value, std::vector<Cell>> cells;
  std::vector<std::weak_ptr<Ring>> rings;
  struct Flight {
    int64_t started = 0;
    std::vector<std::shared_ptr<const Product>> products; // by number
  };
  std::vector<Flight> flights;    // of each unit
  Processes *processes = nullptr; // in roles
  int64_t turn = 0;               // the unit whose turn it is to start products
  bool turnTaken = false;
};

} // namespace attncc::tile::interpreter
