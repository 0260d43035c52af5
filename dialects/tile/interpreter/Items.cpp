//===- Items.cpp - the grid, its work items and key ranges --------------------===//
//
// Which item a block and a unit receive, and which key tiles they visit, from
// the description of #tile.items and tile.key_range. Test:
// test/dialects/tile/interpreter/InterpreterTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Machine.h"
#include "runtime/support/SplitRule.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace attncc::tile::interpreter {

int64_t splitLength(attn::ScheduleAttr schedule, const Batch &batch, int64_t kvLength) {
  if (batch.splitTokens > 0 && schedule.getMerge() == attn::MergeForm::Kernel)
    return llvm::alignTo(batch.splitTokens, 64);
  if (attn::SplitAttr split = schedule.getSplit())
    return split.toRule().splitLength(kvLength);
  return std::max<int64_t>(kvLength, 1);
}

int64_t numSplits(attn::ScheduleAttr schedule, const Batch &batch, int64_t kvLength) {
  return std::max<int64_t>(1, llvm::divideCeil(kvLength, splitLength(schedule, batch, kvLength)));
}

int64_t splitsOfItem(attn::ScheduleAttr schedule, const Batch &batch, int64_t kvLength) {
  if (schedule.getMerge() == attn::MergeForm::Kernel)
    return 1;
  return splitsTaken(schedule.getSplit().toRule(), kvLength, -batch.splitTokens);
}

/// Items of one chunk of rows.
static int64_t numItems(attn::ScheduleAttr schedule, const Batch &batch, int64_t kvLength) {
  return llvm::divideCeil(numSplits(schedule, batch, kvLength),
                          splitsOfItem(schedule, batch, kvLength));
}

std::optional<std::pair<int64_t, int64_t>> Item::row(RowKind rowKind, int64_t row) const {
  switch (kind) {
  case ItemKind::Decode:
  case ItemKind::Prefill: {
    int64_t number = firstRow + row;
    if (number / group >= queryLength())
      return std::nullopt;
    return std::make_pair(number / group, kvHead * group + number % group);
  }
  case ItemKind::Append:
    if (rowKind != RowKind::Query)
      return row == 0 ? std::optional(std::make_pair(token, kvHead)) : std::nullopt;
    return row < group ? std::optional(std::make_pair(token, kvHead * group + row)) : std::nullopt;
  case ItemKind::Merge:
  case ItemKind::MergeStates:
    return row == 0 ? std::optional(std::make_pair(token, head)) : std::nullopt;
  }
  return std::nullopt;
}

std::shared_ptr<Batch> Machine::batchOf(const Argument &source) {
  if (auto *states = std::get_if<std::shared_ptr<States>>(&source))
    return (*states)->batch;
  return std::get<std::shared_ptr<Batch>>(source);
}

Machine::Grid Machine::gridOf(ItemsAttr items, const Batch &batch) const {
  int64_t mostQueries = 0, mostItems = 1;
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    mostQueries = std::max(mostQueries, batch.queryLength(s));
    mostItems = std::max(mostItems, numItems(schedule, batch, batch.kvLength[s]));
  }
  if (items.getKind() == ItemKind::Decode)
    mostQueries = std::min(mostQueries, decodes);
  int64_t rows = items.getGroup() * mostQueries;
  switch (items.getKind()) {
  case ItemKind::Decode:
    return {{batch.kvHeads * static_cast<int64_t>(llvm::divideCeil(rows, schedule.getRows())),
             batch.sequences(), mostItems}};
  case ItemKind::Prefill:
    return {{batch.kvHeads * static_cast<int64_t>(llvm::divideCeil(rows, blockRows())), 1,
             batch.sequences()}};
  case ItemKind::Append:
    return {{batch.kvHeads, mostQueries, batch.sequences()}};
  case ItemKind::Merge:
  case ItemKind::MergeStates:
    return {{static_cast<int64_t>(llvm::divideCeil(batch.kvHeads * rows, units)), 1,
             batch.sequences()}};
  }
  return {};
}

std::shared_ptr<const Item> Machine::itemOf(ItemsAttr items, const std::shared_ptr<Batch> &batch,
                                            const Place &place, int64_t unit) const {
  auto item = std::make_shared<Item>();
  item->kind = items.getKind();
  item->batch = batch;
  item->group = items.getGroup();
  item->sequence = place[items.getKind() == ItemKind::Decode ? 1 : 2];
  int64_t splits = numSplits(schedule, *batch, item->kvLength()),
          together = splitsOfItem(schedule, *batch, item->kvLength());
  item->splits = splits;
  item->single = splits <= together;
  // A batch may have sequences of decode and of prefill: each takes its own.
  bool isDecode = item->queryLength() <= decodes;
  switch (items.getKind()) {
  case ItemKind::Decode: {
    int64_t chunks = gridOf(items, *batch).size[0] / batch->kvHeads;
    item->kvHead = place[0] / chunks;
    item->firstRow = place[0] % chunks * schedule.getRows();
    item->split = place[2] * together;
    item->splits = std::min(together, splits - item->split);
    int64_t length = splitLength(schedule, *batch, item->kvLength());
    item->keys.begin = item->split * length;
    item->keys.end = std::min(item->keys.begin + item->splits * length, item->kvLength());
    bool valid = isDecode && item->splits > 0 && item->row(RowKind::Query, 0);
    return valid ? item : nullptr;
  }
  case ItemKind::Prefill: {
    item->kvHead = place[0] % batch->kvHeads;
    int64_t chunks = llvm::divideCeil(item->queryLength() * item->group, blockRows());
    int64_t chunk = place[0] / batch->kvHeads;
    if (schedule.getOrder() == attn::Order::LongestFirst) // the last rows see the most keys
      chunk = chunks - 1 - chunk;
    item->firstRow = chunk * blockRows() + unit * schedule.getRows();
    item->keys = {0, item->kvLength()};
    item->splits = 1;
    item->single = true;
    return !isDecode && 0 <= chunk && chunk < chunks ? item : nullptr;
  }
  case ItemKind::Append:
    item->kvHead = place[0];
    item->token = place[1];
    break;
  case ItemKind::Merge:
  case ItemKind::MergeStates: {
    int64_t number = place[0] * units + unit;
    item->token = number / item->queryHeads();
    item->head = number % item->queryHeads();
    break;
  }
  }
  return item->token < item->queryLength() ? item : nullptr;
}

/// Which block has which place, and which rows share a chunk, does not show in the results: places
/// are dealt forth and back, chunks are those of a grid.
void Machine::drawItem(DrawItemOp op, int64_t unit) {
  auto batch = batchOf(*std::get<const Argument *>(cell(op.getSource(), unit)));
  Place size = gridOf(op.getItems(), *batch).size; // of a grid with a block for each place
  int64_t places = size[0] * size[1] * size[2], blocks = grid.size[0];
  int64_t cursor = integer(op.getCursor(), unit);
  std::shared_ptr<const Item> item;
  for (; !item && cursor * blocks < places; ++cursor) {
    int64_t place = cursor * blocks + (cursor % 2 == 0 ? block[0] : blocks - 1 - block[0]);
    if (place < places)
      item = itemOf(op.getItems(), batch,
                    {place % size[0], place / size[0] % size[1], place / size[0] / size[1]}, unit);
  }
  set(op.getItem(), unit, Cell(item));
  set(op.getUnit(), unit, Cell(unit));
  set(op.getValid(), unit, Cell(int64_t(item != nullptr)));
  set(op.getNext(), unit, Cell(cursor));
}

void Machine::putItem(PutItemOp op, int64_t unit) {
  const SlotReference &slot = std::get<SlotReference>(cell(op.getSlot(), unit));
  if (integer(op.getValid(), unit))
    slot.ring->slots[slot.position].item =
        std::get<std::shared_ptr<const Item>>(cell(op.getItem(), unit));
}

LogicalResult Machine::takeItem(TakeItemOp op, int64_t unit) {
  const auto *record = std::get_if<SlotTile>(&cell(op.getRecord(), unit));
  if (!record)
    return op.emitOpError() << "takes an item from a tile that is not a slot's";
  std::shared_ptr<Item> own;
  if (auto put = record->ring->slots[record->position].item) {
    own = std::make_shared<Item>(*put);
    own->firstRow += unit * schedule.getRows();
  }
  set(op.getItem(), unit, Cell(std::shared_ptr<const Item>(own)));
  set(op.getUnit(), unit, Cell(unit));
  set(op.getValid(), unit, Cell(int64_t(own != nullptr)));
  return success();
}

std::shared_ptr<const Range> Machine::rangeOf(KeyRangeOp op, std::shared_ptr<const Item> item,
                                              int64_t unit) const {
  // The tiles of `rows` rows from `first` on, of which the first exists.
  auto visitedBy = [&](int64_t first, int64_t rows) {
    int64_t last = first;
    while (last + 1 < first + rows && item->row(RowKind::Query, last + 1))
      ++last;
    return attn::visitedTiles(op.getMask().getValue(), {},
                              item->indexOf(item->row(RowKind::Query, first)->first),
                              item->indexOf(item->row(RowKind::Query, last)->first),
                              item->queryLength(), item->kvLength(), op.getKeys(), item->keys);
  };
  auto range = std::make_shared<Range>();
  range->keys = op.getKeys();
  if (schedule.getDivide() == attn::Divide::Rows) {
    // Units that divide the rows visit what any of them may see.
    attn::TileRange tiles = visitedBy(-unit * schedule.getRows(), blockRows());
    bool hasRows = item->row(RowKind::Query, 0).has_value();
    attn::TileRange own = hasRows ? visitedBy(0, schedule.getRows()) : tiles;
    range->first = std::max<int64_t>(0, tiles.end - 1);
    range->stride = -1;
    range->count = std::max<int64_t>(0, tiles.end - tiles.begin);
    // Units that copy tiles together go through each loop together.
    const attn::TileRange &plain = schedule.getValue().specialised() ? own : tiles;
    range->edges = plain.plainBegin == tiles.begin ? tiles.end - plain.plainEnd : range->count;
    range->skipped =
        std::clamp<int64_t>(tiles.end - own.end, 0, std::max<int64_t>(range->count - 1, 0));
    range->idle = hasRows ? 0 : range->count;
  } else {
    attn::TileRange tiles = visitedBy(0, schedule.getRows());
    range->first = tiles.begin + unit;
    range->stride = units;
    range->count = std::max<int64_t>(0, llvm::divideCeilSigned(tiles.end - range->first, units));
    range->edges = range->count;
  }
  range->item = std::move(item);
  return range;
}

} // namespace attncc::tile::interpreter
