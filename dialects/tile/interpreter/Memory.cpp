//===- Memory.cpp - loads, stores and copies of an interpreted kernel ---------===//
//
// Rows of ragged tensors, pages through the block table, partial results. What a
// kernel may not touch is an error: rows and pages that do not exist, a partial
// that nobody wrote, a page number that is not the block table's. Test:
// test/dialects/tile/interpreter/InterpreterTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Machine.h"

#include <cmath>
#include <numeric>

using namespace mlir;

namespace attncc::tile::interpreter {

/// A row of a tensor, or an error.
static FailureOr<double *> rowOf(Operation *op, Tensor &tensor, const Item &item, int64_t token,
                                 int64_t head) {
  int64_t global = item.batch->queryStart[item.sequence] + token;
  if (!tensor.holds(global, head))
    return op->emitOpError() << "touches token " << global << ", head " << head
                             << " of a tensor of " << tensor.tokens << " tokens and "
                             << tensor.heads << " heads";
  return tensor.row(global, head);
}

FailureOr<std::shared_ptr<TileData>> Machine::rowsOf(Operation *op, Tensor *tensor,
                                                     const Item &item, RowKind kind,
                                                     int64_t firstRow, TileType type) {
  auto tile = std::make_shared<TileData>(type.getRows(), type.getColumns());
  for (int64_t r = 0; r < tile->rows; ++r)
    if (auto row = item.row(kind, firstRow + r); row && tensor) {
      FailureOr<double *> values = rowOf(op, *tensor, item, row->first, row->second);
      if (failed(values))
        return failure();
      std::copy_n(*values, tile->columns, &tile->at(r, 0));
    }
  return tile;
}

LogicalResult Machine::loadRows(LoadRowsOp op, int64_t unit) {
  auto tensor = argument<Tensor>(op.getSource(), unit);
  if (!tensor && !op.getOptional())
    return op.emitOpError() << "reads a tensor that was not given";
  auto rows = rowsOf(op, tensor.get(), item(op.getItem(), unit), op.getKind(), op.getFirstRow(),
                     op.getType());
  if (failed(rows))
    return failure();
  set(op, unit, Cell(std::shared_ptr<const TileData>(*rows)));
  return success();
}

LogicalResult Machine::copyRows(CopyRowsOp op, int64_t unit) {
  auto tensor = argument<Tensor>(op.getSource(), unit);
  if (!tensor)
    return op.emitOpError() << "reads a tensor that was not given";
  const SlotReference &slot = std::get<SlotReference>(cell(op.getSlot(), unit));
  auto rows = rowsOf(op, tensor.get(), item(op.getItem(), unit), op.getKind(), 0,
                     slot.ring->type.getTiles().front());
  return failed(rows) ? failure() : fill(op, slot, 0, *rows);
}

LogicalResult Machine::loadVector(LoadVectorOp op, int64_t unit) {
  TileType type = op.getType();
  TileData tile(type.getRows(), type.getColumns());
  tile.values = argument<Tensor>(op.getSource(), unit)->values;
  set(op, unit, std::move(tile));
  return success();
}

LogicalResult Machine::storeRows(StoreRowsOp op, int64_t unit) {
  auto tensor = argument<Tensor>(op.getTarget(), unit);
  const Item &to = item(op.getItem(), unit);
  if (!tensor)
    return op.getOptional()
               ? success()
               : LogicalResult(op.emitOpError() << "writes a tensor that was not given");
  const TileData &tile = **this->tile(op, op.getValue(), unit);
  for (int64_t r = 0; r < tile.rows; ++r)
    if (auto row = to.row(op.getKind(), op.getFirstRow() + r)) {
      FailureOr<double *> values = rowOf(op, *tensor, to, row->first, row->second);
      if (failed(values))
        return failure();
      for (int64_t c = 0; c < tile.columns; ++c)
        (*values)[c] = rounded(op.getTarget().getType().getElementType(), tile.at(r, c));
    }
  return success();
}

//===----------------------------------------------------------------------===//
// Pages
//===----------------------------------------------------------------------===//

FailureOr<int64_t> Machine::pageOf(Operation *op, const Item &item, int64_t key,
                                   const PagedCache &cache) const {
  const std::vector<int64_t> &table = item.batch->blockTable[item.sequence];
  int64_t entry = key / cache.pageSize;
  if (entry >= static_cast<int64_t>(table.size()))
    return op->emitOpError() << "reads entry " << entry << " of a block table of " << table.size();
  if (table[entry] < 0 || table[entry] >= cache.pages)
    return op->emitOpError() << "meets page " << table[entry] << " of a cache of " << cache.pages;
  return table[entry];
}

LogicalResult Machine::storeKv(StoreKvOp op, int64_t unit) {
  auto cache = argument<PagedCache>(op.getCache(), unit);
  const Item &to = item(op.getItem(), unit);
  int64_t index = to.indexOf(to.token), page = 0, offset = 0;
  std::shared_ptr<PerToken> slots;
  if (op.getSlots())
    slots = argument<PerToken>(op.getSlots(), unit);
  if (slots) {
    int64_t slot = slots->values[to.batch->queryStart[to.sequence] + to.token];
    if (slot == -1)
      return success();
    page = slot / cache->pageSize;
    offset = slot % cache->pageSize;
    if (slot < 0 || page >= cache->pages)
      return op.emitOpError() << "meets slot " << slot << " of a cache of "
                              << cache->pages * cache->pageSize;
  } else {
    if (index < 0)
      return op.emitOpError() << "writes token " << index << " of a sequence";
    FailureOr<int64_t> found = pageOf(op, to, index, *cache);
    if (failed(found))
      return failure();
    page = *found;
    offset = index % cache->pageSize;
  }
  attn::PagedKvType type = op.getCache().getType();
  const TileData &key = **tile(op, op.getKey(), unit), &value = **tile(op, op.getValue(), unit);
  for (int64_t c = 0; c < key.columns; ++c)
    cache->key(page, offset, to.kvHead)[c] = rounded(type.getKeyType(), key.at(0, c));
  for (int64_t c = 0; c < value.columns; ++c)
    cache->value(page, offset, to.kvHead)[c] = rounded(type.getValueType(), value.at(0, c));
  return success();
}

/// Stands for the 0 that is the entry of a tile past its range's end: a page of anyone's.
static constexpr double kPageOfAnyone = -1;

LogicalResult Machine::pageNumbers(PageNumbersOp op, int64_t unit) {
  auto cache = argument<PagedCache>(op.getCache(), unit);
  const Range &visited = range(op.getRange(), unit);
  int64_t tokens = std::gcd(cache->pageSize, visited.keys), groups = visited.keys / tokens;
  if (groups > 32)
    return op.emitOpError() << "serves tiles of at most 32 groups, got " << groups;
  TileData tile(1, 32);
  for (int64_t n = 0; n < 32 / groups * groups; ++n) {
    int64_t place = integer(op.getIndex(), unit) + n / groups;
    int64_t key = (visited.first + place * visited.stride) * visited.keys + n % groups * tokens;
    if (place >= visited.count)
      tile.at(0, n) = kPageOfAnyone;
    if (place >= visited.count || key >= visited.item->keys.end)
      continue;
    FailureOr<int64_t> page = pageOf(op, *visited.item, key, *cache);
    if (failed(page))
      return failure();
    tile.at(0, n) = static_cast<double>(*page);
  }
  set(op, unit, std::move(tile));
  return success();
}

FailureOr<std::shared_ptr<TileData>>
Machine::loadCache(Operation *op, PagedCache &cache, const Item &item, int64_t tile, TileType type,
                   bool keys, const TileData *pages, int64_t pageIndex, double pastEnd) {
  auto result = std::make_shared<TileData>(type.getRows(), type.getColumns(), pastEnd);
  int64_t tokens = std::gcd(cache.pageSize, result->rows), groups = result->rows / tokens;
  for (int64_t r = 0; r < result->rows; ++r) {
    int64_t key = tile * result->rows + r;
    if (!item.keys.contains(key))
      continue;
    FailureOr<int64_t> page = pageOf(op, item, key, cache);
    if (failed(page))
      return failure();
    if (pages) {
      int64_t entry = pageIndex * groups + r / tokens;
      if (pageIndex < 0 || entry >= 32)
        return op->emitOpError() << "reads entry " << entry << " of 32 page numbers";
      if (pages->at(0, entry) == kPageOfAnyone) {
        std::fill_n(&result->at(r, 0), result->columns, std::numeric_limits<double>::quiet_NaN());
        continue;
      }
      if (pages->at(0, entry) != static_cast<double>(*page))
        return op->emitOpError() << "takes page " << pages->at(0, entry) << " for key " << key
                                 << ", the block table has " << *page;
    }
    double *values = keys ? cache.key(*page, key % cache.pageSize, item.kvHead)
                          : cache.value(*page, key % cache.pageSize, item.kvHead);
    std::copy_n(values, result->columns, &result->at(r, 0));
  }
  return result;
}

LogicalResult Machine::copy(Operation *op, Value cache, Value item, Value tile, Value pages,
                            Value pageIndex, Value slot, Value when, int64_t index, double pastEnd,
                            bool keys, int64_t unit) {
  SlotReference target = std::get<SlotReference>(cell(slot, unit));
  if (when && !integer(when, unit))
    return success();
  std::shared_ptr<const TileData> entries;
  if (pages)
    entries = *this->tile(op, pages, unit);
  auto loaded = loadCache(op, *argument<PagedCache>(cache, unit), this->item(item, unit),
                          integer(tile, unit), target.ring->type.getTiles()[index], keys,
                          entries.get(), pages ? integer(pageIndex, unit) : 0, pastEnd);
  return failed(loaded) ? failure() : fill(op, target, index, *loaded);
}

LogicalResult Machine::fill(Operation *op, const SlotReference &slot, int64_t index,
                            std::shared_ptr<TileData> tile) {
  if (slot.ring->committed > slot.position)
    return op->emitOpError() << "fills slot " << slot.position << " of a ring after its commit";
  Ring::Slot &filled = slot.ring->slots[slot.position];
  filled.tiles[index] = std::move(tile);
  filled.copied = true;
  return success();
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

LogicalResult Machine::writeRow(Operation *op, Tensor &output, Tensor *lseOutput, const Item &item,
                                int64_t token, int64_t head, ArrayRef<double> values, double lse,
                                int64_t unit) {
  FailureOr<double *> row = rowOf(op, output, item, token, head);
  if (failed(row))
    return failure();
  if (!written.insert({unit, item.batch->queryStart[item.sequence] + token, head}).second)
    return op->emitOpError() << "writes token " << token << ", head " << head << " of sequence "
                             << item.sequence << " again";
  std::copy(values.begin(), values.end(), *row);
  if (!lseOutput)
    return success();
  FailureOr<double *> lseRow = rowOf(op, *lseOutput, item, token, head);
  if (failed(lseRow))
    return failure();
  **lseRow = lse;
  return success();
}

LogicalResult Machine::storeAttention(StoreAttentionOp op, int64_t unit) {
  const Item &from = item(op.getItem(), unit);
  const TileData &value = **tile(op, op.getValue(), unit), &lse = **tile(op, op.getLse(), unit);
  Type element = op.getOutput().getType().getElementType();
  for (int64_t r = 0; from.single && r < value.rows; ++r) {
    auto row = from.row(RowKind::Query, r);
    if (!row)
      continue;
    ArrayRef<double> values(&value.values[r * value.columns], value.columns);
    SmallVector<double> roundedRow;
    for (double x : values)
      roundedRow.push_back(rounded(element, x));
    if (failed(writeRow(op, *argument<Tensor>(op.getOutput(), unit),
                        argument<Tensor>(op.getLogSumExp(), unit).get(), from, row->first,
                        row->second, roundedRow, lse.at(r, 0), unit)))
      return failure();
  }
  if (op.getThrough()) { // what was there is lost
    auto *slot = std::get_if<SlotTile>(&cell(op.getThrough(), unit));
    if (!slot)
      return op.emitOpError() << "goes through a tile that is no slot's";
    if (failed(checkNotRead(op, "writes", *slot->ring, slot->position, unit)))
      return failure();
    std::vector<double> &lost = slot->ring->slots[slot->position].tiles.front()->values;
    std::fill(lost.begin(), lost.end(), std::numeric_limits<double>::quiet_NaN());
  }
  return success();
}

LogicalResult Machine::storePartial(StorePartialOp op, int64_t unit) {
  const Item &from = item(op.getItem(), unit);
  auto value = tile(op, op.getValue(), unit), lse = tile(op, op.getLse(), unit);
  if (failed(value) || failed(lse))
    return failure();
  int64_t split = integer(op.getSplit(), unit);
  if (split < 0 || split >= from.splits)
    return op.emitOpError() << "is of split " << split << " of an item that takes " << from.splits;
  auto workspace = argument<Workspace>(op.getWorkspace(), unit);
  for (int64_t r = 0; !from.single && r < (*value)->rows; ++r)
    if (auto row = from.row(RowKind::Query, r)) {
      ArrayRef<double> values(&(*value)->values[r * (*value)->columns], (*value)->columns);
      workspace->partials[{from.sequence, from.split + split, row->first, row->second}] = {
          values.vec(), (*lse)->at(r, 0) * std::log(2.0)};
    }
  return success();
}

/// A row's part of a sum over disjoint sets of keys.
namespace {
struct Part {
  ArrayRef<double> row;
  double lse = 0;
};
} // namespace

/// The weighted sum of parts with some keys, in order; without any it is 0 and −inf.
static std::pair<TileData, TileData> weightedSum(ArrayRef<Part> parts, int64_t columns) {
  TileData value(1, columns), lse(1, 1, -std::numeric_limits<double>::infinity());
  double highest = lse.at(0, 0), total = 0;
  for (const Part &part : parts)
    highest = std::max(highest, part.lse);
  if (std::isinf(highest))
    return {value, lse};
  for (const Part &part : parts) {
    double weight = std::exp(part.lse - highest);
    total += weight;
    for (int64_t c = 0; c < columns; ++c)
      value.at(0, c) += weight * part.row[c];
  }
  for (double &x : value.values)
    x /= total;
  lse.at(0, 0) = highest + std::log(total);
  return {value, lse};
}

LogicalResult Machine::mergeSplits(MergeSplitsOp op, int64_t unit) {
  const Item &row = item(op.getItem(), unit);
  int64_t columns = op.getResult().getType().getColumns();
  std::vector<Part> parts;
  if (!row.single) {
    auto workspace = argument<Workspace>(op.getWorkspace(), unit);
    int64_t step =
        std::min(kSplitsOfSpan, splitsOfItem(schedule, *row.batch, row.kvLength())); // of a partial
    for (int64_t split = 0; split < row.splits; split += step) {
      auto found = workspace->partials.find({row.sequence, split, row.token, row.head});
      if (found == workspace->partials.end())
        return op.emitOpError() << "reads a partial that was not written: sequence " << row.sequence
                                << ", split " << split << ", token " << row.token << ", head "
                                << row.head;
      if (static_cast<int64_t>(found->second.row.size()) != columns)
        return op.emitOpError() << "reads " << columns << " columns of a partial of "
                                << found->second.row.size();
      parts.push_back({found->second.row, found->second.lse});
    }
  }
  auto [value, lse] = weightedSum(parts, columns);
  set(op.getResult(), unit, std::move(value));
  set(op.getLse(), unit, std::move(lse));
  return success();
}

LogicalResult Machine::mergeStates(MergeStatesOp op, int64_t unit) {
  const Item &row = item(op.getItem(), unit);
  auto states = argument<States>(op.getStates(), unit);
  int64_t columns = op.getResult().getType().getColumns();
  std::vector<Part> parts;
  for (auto [output, lse] : llvm::zip_equal(states->outputs, states->lses)) {
    FailureOr<double *> values = rowOf(op, output, row, row.token, row.head);
    FailureOr<double *> own = rowOf(op, lse, row, row.token, row.head);
    if (failed(values) || failed(own))
      return failure();
    if (!std::isinf(**own))
      parts.push_back({ArrayRef<double>(*values, columns), **own * states->lseScale});
  }
  auto [value, lse] = weightedSum(parts, columns);
  set(op.getResult(), unit, std::move(value));
  set(op.getLse(), unit, std::move(lse));
  return success();
}

LogicalResult Machine::storeMerged(StoreMergedOp op, int64_t unit) {
  const Item &row = item(op.getItem(), unit);
  if (row.kind == ItemKind::Merge && row.single)
    return success();
  SmallVector<double> values;
  for (double x : (*tile(op, op.getValue(), unit))->values)
    values.push_back(rounded(op.getOutput().getType().getElementType(), x));
  return writeRow(op, *argument<Tensor>(op.getOutput(), unit),
                  argument<Tensor>(op.getLogSumExp(), unit).get(), row, row.token, row.head, values,
                  (*tile(op, op.getLse(), unit))->at(0, 0), unit);
}

} // namespace attncc::tile::interpreter
