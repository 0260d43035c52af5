//===- ProgramPatterns.cpp - work items and key ranges ---------------------===//
//
// grid_item: the block's place in the grid is its item (launch interface of the
// kernels: docs/architecture.md).
//
//   decode  x = kv_head · chunks + chunk, y = sequence, z = item of the sequence's splits: blocks
//           that a short sequence does not need are the last
//   prefill x = chunk · kv_heads + kv_head, z = sequence; longest_first counts the
//           chunks from the sequence's last one, whose rows see the most keys
//   prefill where blocks stay for many items: places, dealt forth and back or counted, of
//           (group of pairs, chunk, pair of sequence and kv head)
//   merge   x · units + unit = row (token · query_heads + head), z = sequence
//   append  x = kv_head, y = token, z = sequence
//   merge_states  x · units + unit = row (token · heads + head)
//
// The split length is the schedule's step function of the sequence's own length:
// a chain of selects. With `merge = span` or `item` a negative number of split_tokens
// says about how many items a sequence should have, from which follows whether one
// takes a split, spans or all (splitsTaken in SplitRule.h); else they replace the
// split length, rounded up to whole granules, so that no tile of keys belongs to
// two splits.
//
// A batch may mix sequences of decode and of prefill: those of up to the phase's
// max_query tokens are decode's. Each kernel leaves the other's alone; where no
// sequence of a launch may have more, decode answers for all.
//
// A sequence whose lengths pass the launch's bounds sets the error word; its item
// has no keys, and stores make its rows NaN.
//
// Test: test/compiler/conversion/TileToNVVM/program.mlir, draw-item.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include "runtime/support/SplitRule.h"

namespace attncc::lowering {
namespace {

/// Split lengths of an override are multiples of this; keys per tile divide it.
constexpr int64_t splitGranule = 64;
/// Bits of the error word.
constexpr int64_t errorLength = 1;

SplitRule ruleOf(const KernelContext &kernel) {
  return kernel.schedule.split.value_or(SplitRule{{{1, INT32_MAX / 2}}});
}

/// `override` is null where an item takes several splits: those have the rule's length.
Value splitLength(KernelBuilder &b, const SplitRule &rule, Value kvLength, Value override) {
  Value length = b.i32(rule.steps.back().splitLength);
  for (size_t i = rule.steps.size() - 1; i-- > 0;)
    length = b.select(b.compare(Compare::sle, kvLength, rule.steps[i].maxLength),
                      b.i32(rule.steps[i].splitLength), length);
  if (!override)
    return length;
  Value rounded = b.bitAnd(b.add(override, splitGranule - 1), -splitGranule);
  return b.select(b.compare(Compare::eq, override, 0), length, rounded);
}

/// The most splits of any length up to maxLength: SplitRule::maxSplits.
Value maximumSplits(KernelBuilder &b, const SplitRule &rule, Value maxLength, Value override) {
  auto count = [&](Value length) {
    Value splits = b.ceilDiv(length, splitLength(b, rule, length, override));
    return b.maxSigned(splits, b.i32(1));
  };
  Value most = count(maxLength);
  for (size_t i = 0; i + 1 < rule.steps.size(); ++i) {
    Value step = b.i32(rule.steps[i].maxLength);
    most = b.select(b.compare(Compare::slt, step, maxLength), b.maxSigned(most, count(step)), most);
  }
  return most;
}

} // namespace

Value launchedQueries(KernelBuilder &b, const KernelContext &kernel, const Item &item) {
  bool limited = kernel.itemKind != tile::ItemKind::Prefill && kernel.maxQuery != 0;
  return limited ? b.minSigned(item.maxQueryLength, b.i32(kernel.maxQuery)) : item.maxQueryLength;
}

Value chunksOf(KernelBuilder &b, const KernelContext &kernel, Value queries) {
  return b.ceilDiv(b.mul(queries, kernel.group), kernel.blockRows());
}

Value rangeTile(KernelBuilder &b, const KernelContext &kernel, const Range &range, Value index) {
  int64_t step = kernel.rangeStep();
  Value steps = b.mul(index, std::abs(step));
  return step < 0 ? b.sub(range.first, steps) : b.add(range.first, steps);
}

/// The unit's rows of the chunk that stands at place `chunk` in the sequence's order.
static void placeChunk(KernelBuilder &b, const KernelContext &kernel, Item &item, Value chunk,
                       Value unit) {
  if (kernel.schedule.order == attn::Order::LongestFirst) {
    Value last = b.sub(chunksOf(b, kernel, item.queryLength), b.i32(1));
    // A faulty sequence may have more chunks than the launch: they are written from the first on.
    chunk = b.select(item.faulty, chunk, b.sub(last, chunk));
  }
  item.rowBegin = b.add(b.mul(chunk, kernel.blockRows()), b.mul(unit, kernel.schedule.rows));
}

void placeItem(KernelBuilder &b, const KernelContext &kernel, Item &item, Value unit) {
  Value x = b.blockIndex(0);
  if (kernel.itemKind == tile::ItemKind::Prefill) {
    Value chunk = b.divUnsigned(x, item.kvHeads);
    item.kvHead = b.sub(x, b.mul(chunk, item.kvHeads));
    placeChunk(b, kernel, item, chunk, unit);
    item.split = b.i32(0);
    item.sequence = b.blockIndex(2);
    return;
  }
  Value chunks = chunksOf(b, kernel, launchedQueries(b, kernel, item));
  item.kvHead = b.divUnsigned(x, chunks);
  Value chunk = b.sub(x, b.mul(item.kvHead, chunks));
  item.rowBegin = b.mul(chunk, kernel.schedule.rows);
  item.sequence = b.blockIndex(1);
  item.split = b.blockIndex(2);
}

namespace {

/// The sequence is this kernel's: i1, or null where all of them are.
Value answersFor(KernelBuilder &b, const KernelContext &kernel, const Item &item,
                 const BatchArgument &batch) {
  if (kernel.itemKind == tile::ItemKind::Prefill)
    return b.compare(Compare::sgt, item.queryLength, kernel.maxQuery);
  if (kernel.maxQuery == 0)
    return {};
  return b.bitOr(b.compare(Compare::sle, item.queryLength, kernel.maxQuery),
                 b.compare(Compare::sle, batch.maxQueryLength, kernel.maxQuery));
}

/// First block-table entry of the sequence: a row of the table, or a part of a list (CSR).
Value tableOf(KernelBuilder &b, const BatchArgument &batch, Value sequence) {
  Value wide = b.zeroExtend(sequence);
  Value entry = b.ifElse(
      b.isNull(batch.pageIndptr), {b.i64Type()},
      [&]() -> Values { return {b.mul(wide, batch.blockTableStride)}; },
      [&]() -> Values {
        return {b.signExtend(b.load(b.offset(batch.pageIndptr, b.mul(wide, 4)), b.i32Type(), 4))};
      })[0];
  return b.offset(batch.blockTable, b.mul(entry, 4));
}

/// By the thread that is number 0 of those that know it.
void reportFault(KernelBuilder &b, const KernelContext &kernel, Value faulty, Value thread) {
  if (!kernel.workspace)
    return;
  Value first = b.compare(Compare::eq, thread, 0);
  b.ifThen(b.bitAnd(faulty, first), [&] { b.atomicOr(kernel.workspace, b.i32(errorLength)); });
}

/// What an item knows of its sequence and of the launch. It has no keys and one split.
Item itemOfSequence(KernelBuilder &b, const BatchArgument &batch, Value sequence) {
  Item item;
  item.sequence = sequence;
  Value sequenceBytes = b.mul(b.zeroExtend(sequence), 4);
  auto loadWord = [&](Value pointer, int64_t word) {
    return b.load(b.offset(b.offset(pointer, sequenceBytes), 4 * word), b.i32Type(), 4);
  };
  item.queryBegin = loadWord(batch.queryStart, 0);
  item.queryLength = b.sub(loadWord(batch.queryStart, 1), item.queryBegin);
  item.kvLength = loadWord(batch.kvLength, 0);
  item.kvHeads = batch.kvHeads;
  item.maxQueryLength = batch.maxQueryLength;
  item.numPages = batch.numPages;
  item.table = tableOf(b, batch, sequence);
  item.faulty = b.bitOr(b.compare(Compare::ugt, item.kvLength, batch.maxKvLength),
                        b.compare(Compare::ugt, item.queryLength, batch.maxQueryLength));
  item.keyBegin = item.keyEnd = item.split = b.i32(0);
  item.maxSplits = item.splits = b.i32(1);
  item.single = b.i1(true);
  return item;
}

/// The keys of a prefill item whose rows are known; whether the block has a row.
Value completePrefill(KernelBuilder &b, const KernelContext &kernel, Item &item, Value unit) {
  item.keyEnd = b.select(item.faulty, b.i32(0), item.kvLength);
  // The block's first row; of other units there may be none.
  Value first = b.sub(item.rowBegin, b.mul(unit, kernel.schedule.rows));
  return b.bitAnd(b.compare(Compare::sge, first, 0), b.compare(Compare::slt, first, item.rowEnd));
}

struct GridItemPattern : TilePattern<tile::GridItemOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::GridItemOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    Value unit = kernel.ofLoadRole.contains(op) ? b.i32(0) : kernel.unit(b);
    auto [item, valid] = kernel.itemKind == tile::ItemKind::MergeStates
                             ? rowOfStates(b, StatesArgument::unpack(adaptor.getSource()), unit)
                             : itemOfBatch(b, BatchArgument::unpack(adaptor.getSource()), unit);
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{item.pack(), {unit}, {valid}});
    return mlir::success();
  }

private:
  /// One row of one sequence of all tokens, with each head a group of its own. It has no keys.
  std::pair<Item, Value> rowOfStates(KernelBuilder &b, StatesArgument states, Value unit) const {
    Value row = b.add(b.mul(b.blockIndex(0), kernel.units()), unit);
    Item item;
    item.rowBegin = b.divUnsigned(row, states.heads);
    item.rowEnd = b.add(item.rowBegin, 1);
    item.kvHead = b.sub(row, b.mul(item.rowBegin, states.heads));
    item.kvHeads = states.heads;
    item.queryLength = item.maxQueryLength = states.tokens;
    item.sequence = item.queryBegin = item.kvLength = item.keyBegin = item.keyEnd = item.split =
        b.i32(0);
    item.splits = item.maxSplits = b.i32(1);
    item.single = b.i1(true);
    item.faulty = b.i1(false);
    item.table = states.outputs.front().pointer; // of no pages
    item.numPages = b.i64(0);
    return {item, b.compare(Compare::slt, item.rowBegin, states.tokens)};
  }

  /// The item, and whether it is one; reports lengths beyond their bound.
  std::pair<Item, Value> itemOfBatch(KernelBuilder &b, BatchArgument batch, Value unit) const {
    int64_t group = kernel.group;
    const bool isDecode = kernel.itemKind == tile::ItemKind::Decode;
    Item item = itemOfSequence(b, batch, b.blockIndex(isDecode ? 1 : 2));
    if (kernel.itemKind == tile::ItemKind::Append) // every token of an append is among the keys
      item.faulty = b.bitOr(item.faulty, b.compare(Compare::slt, item.kvLength, item.queryLength));
    Value valid, answers = answersFor(b, kernel, item, batch);

    struct Cut {
      Value length;             // of a split
      Value perItem, ofPartial; // splits of an item that does not take all, and of its partials
      Value tokens;             // of an item
    };
    auto setSplits = [&]() -> Cut {
      const SplitRule rule = ruleOf(kernel);
      const bool many = kernel.schedule.merge != attn::MergeForm::Kernel;
      Value override = many ? Value() : batch.splitTokens;
      Cut cut{splitLength(b, rule, item.kvLength, override), b.i32(1), b.i32(1), {}};
      cut.tokens = cut.length;
      if (many) {
        Value items = b.sub(b.i32(0), batch.splitTokens), twice = b.mul(items, 2);
        Value splits = b.ceilDiv(item.kvLength, cut.length);
        Value takesSpans =
            b.bitAnd(b.compare(Compare::sgt, items, 0), b.compare(Compare::sgt, splits, twice));
        Value spans =
            b.ceilDiv(b.ceilDiv(splits, kSplitsOfSpan), b.maxSigned(twice, b.i32(mostItems(1))));
        Value takesAll = b.bitAnd(b.compare(Compare::eq, items, 1),
                                  b.compare(Compare::sle, item.kvLength, kLongestItem));
        cut.ofPartial = b.select(takesSpans, b.i32(kSplitsOfSpan), cut.ofPartial);
        cut.perItem = b.select(takesSpans, b.mul(spans, kSplitsOfSpan), cut.perItem);
        cut.tokens = b.mul(cut.perItem, cut.length);
        cut.tokens = b.select(takesAll, b.maxSigned(cut.tokens, item.kvLength), cut.tokens);
      }
      item.maxSplits = maximumSplits(b, rule, batch.maxKvLength, override);
      item.single = b.bitOr(item.faulty, b.compare(Compare::sle, item.kvLength, cut.tokens));
      return cut;
    };

    switch (kernel.itemKind) {
    case tile::ItemKind::Decode: {
      placeItem(b, kernel, item, unit);
      item.rowEnd = b.mul(item.queryLength, group);
      const Cut cut = setSplits();
      item.keyBegin = b.mul(item.split, cut.tokens);
      item.split = b.mul(item.split, cut.perItem);
      // The first split of an empty sequence is an item: its rows are written too.
      Value keys = b.select(item.faulty, b.i32(0), item.kvLength);
      item.keyEnd = b.minSigned(b.add(item.keyBegin, cut.tokens), keys);
      item.splits = b.maxSigned(b.ceilDiv(b.sub(item.keyEnd, item.keyBegin), cut.length), b.i32(1));
      valid = b.bitOr(b.compare(Compare::ult, item.keyBegin, keys),
                      b.compare(Compare::eq, item.split, 0));
      valid = b.bitAnd(valid, b.compare(Compare::slt, item.rowBegin, item.rowEnd));
      break;
    }
    case tile::ItemKind::Prefill: {
      placeItem(b, kernel, item, unit);
      item.rowEnd = b.mul(item.queryLength, group);
      valid = completePrefill(b, kernel, item, unit);
      break;
    }
    case tile::ItemKind::Merge: {
      Value heads = b.mul(batch.kvHeads, group);
      Value row = b.add(b.mul(b.blockIndex(0), kernel.units()), unit);
      Value token = b.divUnsigned(row, heads);
      Value head = b.sub(row, b.mul(token, heads));
      item.kvHead = b.divUnsigned(head, group);
      item.rowBegin = b.add(b.mul(token, group), b.sub(head, b.mul(item.kvHead, group)));
      item.rowEnd = b.add(item.rowBegin, 1);
      const Cut cut = setSplits();
      item.splits = b.ceilDiv(item.kvLength, cut.length);
      item.split = cut.ofPartial;
      item.keyEnd = item.kvLength;
      valid = b.bitAnd(b.compare(Compare::slt, token, item.queryLength),
                       b.compare(Compare::eq, item.single, b.i1(false)));
      break;
    }
    case tile::ItemKind::Append: {
      item.kvHead = b.blockIndex(0);
      Value token = b.blockIndex(1);
      item.rowBegin = b.mul(token, group);
      item.rowEnd = b.add(item.rowBegin, group);
      valid = b.bitAnd(b.compare(Compare::slt, token, item.queryLength),
                       b.compare(Compare::eq, item.faulty, b.i1(false)));
      break;
    }
    case tile::ItemKind::MergeStates:
      llvm_unreachable("items of states are not of a batch");
    }
    if (answers)
      valid = b.bitAnd(valid, answers);
    reportFault(b, kernel, answers ? b.bitAnd(item.faulty, answers) : item.faulty, b.thread());
    return {item, valid};
  }
};

/// Words of a field in an item's record. What is counted in 64 bits is the pool's pages, of which
/// 32 bits can name so many.
int64_t wordsOf(Field field) { return field == Field::Pointer ? 2 : 1; }

/// Writes the fields of an item into its record in order, then whether it is one.
void putItem(KernelBuilder &b, Value record, ValueRange item, Value valid) {
  Values words;
  for (auto [field, value] : llvm::zip(Item::fields(), item)) {
    if (field == Field::Word) {
      words.push_back(value);
    } else if (field == Field::Bit) {
      words.push_back(b.select(value, b.i32(1), b.i32(0)));
    } else if (field == Field::Long) {
      words.push_back(b.truncate(b.minSigned(value, b.i64(UINT32_MAX))));
    } else {
      Value wide = b.toInteger(value);
      words.append({b.truncate(wide), b.truncate(b.shiftRight(wide, 32))});
    }
  }
  words.push_back(b.select(valid, b.i32(1), b.i32(0)));
  assert(words.size() <= tile::itemRecordWords && "a slot has room for an item");
  words.resize(llvm::alignTo(words.size(), 4), b.i32(0));
  b.ifThen(b.compare(Compare::eq, b.lane(), 0), [&] {
    for (size_t first = 0; first < words.size(); first += 4)
      b.storeVector(ValueRange(words).slice(first, 4), b.offset(record, 4 * first));
  });
}

Value fieldOf(KernelBuilder &b, Field field, ValueRange words) {
  if (field == Field::Word)
    return words[0];
  if (field == Field::Bit)
    return b.compare(Compare::ne, words[0], 0);
  if (field == Field::Long)
    return b.zeroExtend(words[0]);
  return b.toPointer(b.bitOr(b.zeroExtend(words[0]), b.shiftLeft(b.zeroExtend(words[1]), 32)));
}

/// The item of a record, and whether it is one.
std::pair<Item, Value> takenItem(KernelBuilder &b, Value record) {
  int64_t count = 1;
  for (Field field : Item::fields())
    count += wordsOf(field);
  Values words;
  for (int64_t first = 0; first < count; first += 4)
    words.append(b.loadVector(b.offset(record, 4 * first), b.i32Type(), 4));
  ValueRange rest = words;
  Values item;
  for (Field field : Item::fields()) {
    item.push_back(fieldOf(b, field, rest.take_front(wordsOf(field))));
    rest = rest.drop_front(wordsOf(field));
  }
  return {Item::unpack(item), fieldOf(b, Field::Bit, rest.take_front())};
}

/// Places are (group of pairs, chunk, pair) with the pair of sequence and kv head fastest: a
/// group's keys and values stay in the L2 cache while all of its chunks are drawn, the longest
/// first.
struct DrawItemPattern : TilePattern<tile::DrawItemOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::DrawItemOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    if (!kernel.ofLoadRole.contains(op))
      return op.emitOpError() << "expected a role that draws the items for all others";
    if (isAtomic() && !kernel.workspace)
      return op.emitOpError() << "work = atomic counts in the workspace, which the kernel has not";
    KernelBuilder b(rewriter, op.getLoc());
    Value unit = b.i32(0);
    PersistentBatch source = PersistentBatch::unpack(adaptor.getSource());
    BatchArgument &batch = source.batch;
    Value extra, chunks = chunksOf(b, kernel, batch.maxQueryLength);
    Value pairs = b.mul(source.sequences, batch.kvHeads);
    if (sharesRows()) {
      extra = extraChunks(b, batch.maxQueryLength, pairs);
      chunks = chunksOfTiles(b, tilesOf(b, batch.maxQueryLength), extra);
    }
    Value places = b.mul(pairs, chunks);

    // The item, whether it is one, and the next cursor.
    llvm::SmallVector<Type> types;
    if (mlir::failed(typeConverter->convertType(op.getItem().getType(), types)))
      return mlir::failure();
    types.append({b.i1Type(), b.i32Type()});
    Values drawn = b.repeatWhile(
        adaptor.getCursor().front(), types, [&](Value cursor) -> KernelBuilder::Round {
          Value next = b.add(cursor, 1);
          Value place = isAtomic() ? countedPlace(b, cursor, places) : dealtPlace(b, cursor);
          Value exists = b.compare(Compare::ult, place, places);
          Value more =
              isAtomic() ? exists : b.compare(Compare::ult, b.mul(next, b.gridSize(0)), places);
          auto [chunk, pair] = chunkAndPair(b, place, chunks, pairs);
          pair = b.select(exists, pair, b.i32(0));
          Value sequence = b.divUnsigned(pair, batch.kvHeads);
          Item item = itemOfSequence(b, batch, sequence);
          item.kvHead = b.sub(pair, b.mul(sequence, batch.kvHeads));
          item.rowEnd = b.mul(item.queryLength, kernel.group);
          if (sharesRows()) {
            // Else the record's form of it is kept through the loop: where tiles have many boxes
            // the warps that load have no register for it.
            if (kernel.schedule.box < 32)
              item.numPages = b.opaque(item.numPages);
            shareRows(b, item, chunk, extra);
          } else {
            placeChunk(b, kernel, item, chunk, unit);
          }
          Value valid = b.bitAnd(exists, completePrefill(b, kernel, item, unit));
          Value answers = answersFor(b, kernel, item, batch);
          reportFault(b, kernel, b.bitAnd(item.faulty, b.bitAnd(answers, exists)), b.lane());
          valid = b.bitAnd(valid, answers);
          Values results = item.pack();
          results.append({valid, next});
          // Places without an item are few: most often the first one has it.
          return {b.bitAnd(more, b.compare(Compare::eq, valid, b.i1(false))), next, results};
        });
    rewriter.replaceOpWithMultiple(op,
                                   llvm::SmallVector<Values>{Values(ValueRange(drawn).drop_back(2)),
                                                             {unit},
                                                             {drawn[drawn.size() - 2]},
                                                             {drawn.back()}});
    return mlir::success();
  }

private:
  /// Of the workspace's head, cleared with it: how many places have been counted. The launch that
  /// counts them leaves 0.
  static constexpr int64_t counterOffset = 128;

  bool isAtomic() const { return kernel.schedule.work == attn::Work::Atomic; }

  /// Chunks share a sequence's rows evenly, in tiles of a unit each: the first chunks have one tile
  /// fewer than the block has units, instead of the last one alone what is left. Of two units one
  /// would be left over; and where the rows of all chunks end with a tile of keys, they stay there.
  bool sharesRows() const {
    const int64_t rows = kernel.blockRows(), tokens = rows / kernel.group;
    const int64_t keys = kernel.schedule.keys;
    const bool aligned =
        rows % kernel.group == 0 && (tokens % keys == 0 || keys % tokens == 0) && kernel.causal;
    return kernel.units() > 2 && !aligned;
  }
  Value tilesOf(KernelBuilder &b, Value queries) const {
    return b.ceilDiv(b.mul(queries, kernel.group), kernel.schedule.rows);
  }
  /// Of so many tiles, up to `extra` more than need be.
  Value chunksOfTiles(KernelBuilder &b, Value tiles, Value extra) const {
    Value fewest = b.ceilDiv(tiles, kernel.units()),
          most = b.divUnsigned(tiles, kernel.units() - 1);
    return b.maxSigned(fewest, b.minSigned(most, b.add(fewest, extra)));
  }
  /// Of each sequence: those that fill the last round of the blocks, if all are as long.
  Value extraChunks(KernelBuilder &b, Value queries, Value pairs) const {
    Value items = b.mul(pairs, chunksOf(b, kernel, queries)), blocks = b.gridSize(0);
    Value lastRound = b.sub(b.mul(b.ceilDiv(items, blocks), blocks), items);
    // Of few rounds the keys that more chunks read again would be many.
    lastRound = b.select(b.compare(Compare::sgt, items, b.mul(blocks, 2)), lastRound, b.i32(0));
    return b.divUnsigned(lastRound, pairs);
  }
  /// The rows of the chunk at place `chunk` in the sequence's order.
  void shareRows(KernelBuilder &b, Item &item, Value chunk, Value extra) const {
    Value tiles = tilesOf(b, item.queryLength), chunks = chunksOfTiles(b, tiles, extra);
    Value shorter = b.sub(b.mul(chunks, kernel.units()), tiles);
    auto begin = [&](Value c) {
      Value less = b.minSigned(c, shorter);
      return b.mul(b.sub(b.mul(c, kernel.units()), less), kernel.schedule.rows);
    };
    Value own = chunk;
    if (kernel.schedule.order == attn::Order::LongestFirst)
      own = b.sub(b.add(chunks, -1), chunk);
    // A faulty sequence may have more chunks than the launch: they are written from the first on.
    Value first = begin(own);
    item.rowBegin = b.select(item.faulty, b.mul(chunk, kernel.blockRows()), first);
    Value end = b.minSigned(begin(b.add(own, 1)), item.rowEnd);
    item.rowEnd = b.select(item.faulty, item.rowEnd, end);
  }

  static Value dealtPlace(KernelBuilder &b, Value cursor) {
    Value blocks = b.gridSize(0), block = b.blockIndex(0);
    Value forth = b.compare(Compare::eq, b.bitAnd(cursor, 1), 0);
    return b.add(b.mul(cursor, blocks), b.select(forth, block, b.sub(b.add(blocks, -1), block)));
  }

  /// The block's number, then what all blocks count together. Each of the blocks that have a place
  /// counts until there is none, so the launch counts as often as it has places.
  Value countedPlace(KernelBuilder &b, Value cursor, Value places) const {
    return b.ifElse(
        b.compare(Compare::eq, cursor, 0), {b.i32Type()},
        [&]() -> Values { return {b.blockIndex(0)}; },
        [&]() -> Values {
          Value counted = b.ifElse(
              b.compare(Compare::eq, b.lane(), 0), {b.i32Type()},
              [&]() -> Values {
                return {b.atomicIncrement(b.offset(kernel.workspace, counterOffset),
                                          b.add(places, -1))};
              },
              [&]() -> Values { return {b.i32(0)}; })[0];
          return {b.add(b.gridSize(0), b.shuffleIndex(counted, b.i32(0)))};
        })[0];
  }

  std::pair<Value, Value> chunkAndPair(KernelBuilder &b, Value place, Value chunks,
                                       Value pairs) const {
    if (kernel.schedule.headGroup == 0) {
      Value chunk = b.divUnsigned(place, pairs);
      return {chunk, b.sub(place, b.mul(chunk, pairs))};
    }
    Value most = b.i32(kernel.schedule.headGroup);
    Value perGroup = b.mul(most, chunks);
    Value group = b.divUnsigned(place, perGroup);
    Value first = b.mul(group, most), rest = b.sub(place, b.mul(group, perGroup));
    Value size = b.maxSigned(b.minSigned(most, b.sub(pairs, first)), b.i32(1));
    Value chunk = b.divUnsigned(rest, size);
    return {chunk, b.add(first, b.sub(rest, b.mul(chunk, size)))};
  }
};

struct PutItemPattern : TilePattern<tile::PutItemOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::PutItemOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    putItem(b, adaptor.getSlot().front(), adaptor.getItem(), adaptor.getValid().front());
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct TakeItemPattern : TilePattern<tile::TakeItemOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::TakeItemOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    b.rereadThread();
    Value unit = kernel.ofLoadRole.contains(op) ? b.i32(0) : kernel.unit(b);
    auto [item, valid] = takenItem(b, adaptor.getRecord().front());
    item.rowBegin = b.add(item.rowBegin, b.mul(unit, kernel.schedule.rows));
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{item.pack(), {unit}, {valid}});
    return mlir::success();
  }
};

struct KeyRangePattern : TilePattern<tile::KeyRangeOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::KeyRangeOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    const attn::Mask &mask = op.getMask().getValue();
    attn::Mask causal;
    causal.causal = true;
    if (!mask.isNone() && !(mask == causal))
      return op.emitOpError() << "mask " << op.getMask()
                              << " is not lowered: expected none or causal";
    int64_t keys = op.getKeys();
    if (!kernel.dividesRows() && splitGranule % keys != 0)
      return op.emitOpError() << "keys per tile must divide " << splitGranule << ", got " << keys;

    KernelBuilder b(rewriter, op.getLoc());
    Item item = Item::unpack(adaptor.getItem());
    Value unit = adaptor.getUnit().front();
    // Units that divide the rows have one range, that of the block's rows.
    Value firstRow = kernel.dividesRows() ? b.sub(item.rowBegin, b.mul(unit, kernel.schedule.rows))
                                          : item.rowBegin;
    Value end = item.keyEnd, plainEnd = item.keyEnd, unitEnd = item.keyEnd;
    if (mask.causal) { // the last row sees the most, the first one the fewest
      Value lastRow = b.minSigned(b.add(firstRow, kernel.blockRows()), item.rowEnd);
      auto seenBy = [&](Value row) {
        Value token = b.divUnsigned(row, kernel.group);
        return b.add(b.add(b.sub(item.kvLength, item.queryLength), token), 1);
      };
      end = b.minSigned(end, seenBy(b.add(lastRow, -1)));
      if (kernel.dividesRows()) {
        // Units that copy tiles together go through each loop together.
        plainEnd =
            b.minSigned(plainEnd, seenBy(kernel.schedule.specialised() ? item.rowBegin : firstRow));
        unitEnd = b.minSigned(unitEnd, seenBy(b.add(item.rowBegin, kernel.schedule.rows - 1)));
      }
    }
    Range range;
    Value first = b.divUnsigned(item.keyBegin, keys);
    Value tiles = b.ceilDiv(b.maxSigned(b.sub(end, item.keyBegin), b.i32(0)), keys);
    if (kernel.dividesRows()) { // from the last tile to the first
      Value last = b.add(tiles, -1);
      if (kernel.schedule.overlap != attn::Overlap::None) // a range without tiles has tile 0
        last = b.maxSigned(last, b.i32(0));
      range.first = b.add(first, last);
      range.count = tiles;
      auto tilesTo = [&](Value key, bool whole) {
        Value seen = b.maxSigned(b.sub(key, item.keyBegin), b.i32(0));
        return whole ? b.divUnsigned(seen, keys) : b.ceilDiv(seen, keys);
      };
      range.edges = b.sub(tiles, tilesTo(plainEnd, /*whole=*/true));
      range.skipped = b.maxSigned(b.sub(tiles, tilesTo(unitEnd, /*whole=*/false)), b.i32(0));
      range.skipped = b.minSigned(range.skipped, b.maxSigned(b.add(tiles, -1), b.i32(0)));
      range.idle = b.select(b.compare(Compare::slt, item.rowBegin, item.rowEnd), b.i32(0), tiles);
    } else {
      int64_t step = kernel.rangeStep();
      range.first = step == 1 ? first : b.add(first, unit);
      range.count = step == 1 ? tiles : b.divUnsigned(b.add(b.sub(tiles, unit), step - 1), step);
      if (step > 1) // fewer tiles than units
        range.count = b.select(b.compare(Compare::slt, tiles, unit), b.i32(0), range.count);
      range.edges = range.count;
      range.skipped = range.idle = b.i32(0);
    }
    range.keyEnd = item.keyEnd;
    range.table = item.table;
    range.numPages = item.numPages;
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{range.pack()});
    return mlir::success();
  }
};

/// Ops whose result is a member of the range.
template <class Op, Value Range::*member> struct RangeMemberPattern : TilePattern<Op> {
  using TilePattern<Op>::TilePattern;
  mlir::LogicalResult matchAndRewrite(Op op, typename TilePattern<Op>::Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOp(op, Range::unpack(adaptor.getRange()).*member);
    return mlir::success();
  }
};
using RangeCountPattern = RangeMemberPattern<tile::RangeCountOp, &Range::count>;
using RangeIdlePattern = RangeMemberPattern<tile::RangeIdleOp, &Range::idle>;
using RangeEdgesPattern = RangeMemberPattern<tile::RangeEdgesOp, &Range::edges>;

struct RangeSkippedPattern : TilePattern<tile::RangeSkippedOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::RangeSkippedOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    Value skipped = Range::unpack(adaptor.getRange()).skipped;
    rewriter.replaceOp(op, b.minSigned(skipped, b.i32(op.getLimit())));
    return mlir::success();
  }
};

struct ItemSplitsPattern : TilePattern<tile::ItemSplitsOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::ItemSplitsOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOp(op, Item::unpack(adaptor.getItem()).splits);
    return mlir::success();
  }
};

struct SplitTilesPattern : TilePattern<tile::SplitTilesOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::SplitTilesOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    if (kernel.schedule.merge == attn::MergeForm::Kernel)
      return op.emitOpError() << "expected items that take several splits, got merge = kernel";
    KernelBuilder b(rewriter, op.getLoc());
    Value length =
        splitLength(b, ruleOf(kernel), Item::unpack(adaptor.getItem()).kvLength, Value());
    rewriter.replaceOp(op,
                       b.divUnsigned(length, static_cast<int64_t>(op.getKeys()) * kernel.units()));
    return mlir::success();
  }
};

struct KeyTilePattern : TilePattern<tile::KeyTileOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::KeyTileOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    Value index = adaptor.getIndex().front();
    if (kernel.ofLoadRole.contains(op)) // one counter in a register, not one for each use
      index = b.opaque(index);
    rewriter.replaceOp(op, rangeTile(b, kernel, Range::unpack(adaptor.getRange()), index));
    return mlir::success();
  }
};

} // namespace

void populateProgramPatterns(mlir::RewritePatternSet &patterns,
                             const mlir::TypeConverter &converter, KernelContext &kernel) {
  patterns.add<GridItemPattern, DrawItemPattern, PutItemPattern, TakeItemPattern, KeyRangePattern,
               RangeCountPattern, RangeEdgesPattern, RangeSkippedPattern, RangeIdlePattern,
               ItemSplitsPattern, SplitTilesPattern, KeyTilePattern>(converter,
                                                                     patterns.getContext(), kernel);
}

} // namespace attncc::lowering
