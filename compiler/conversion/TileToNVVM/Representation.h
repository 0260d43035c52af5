//===- Representation.h - what a tile value is in a thread -----------------===//
//
// Internal to TileToNVVM. The 1:N type conversion and the structures that the
// patterns see instead of the flat list of values:
//
//   index                       i32
//   register tile of f32, i32   one value for each register of the layout
//   register tile of 16 bits    one i32 for each two registers (2w in the lower half of word w)
//   shared tile, ring, slot     a pointer to shared memory
//   product in flight           as its tile, of which nothing may be read
//   position                    i32, the stage of its ring
//   where tensor copies fill rings:
//     ring, slot                and a pointer to the first or to its own mbarrier
//     position                  with the parity of the phase that completes its slot above it
//     cache                     a pointer to a tensor map of keys and one of values
//   item, range                 the fields of Item and Range
//   tensors, cache, batch       the launch parameters of their group
//
// Test: test/compiler/conversion/TileToNVVM
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/conversion/TileToNVVM/KernelBuilder.h"
#include "compiler/target/TargetTable.h"
#include "dialects/tile/Tile.h"
#include "dialects/tile/layout/Storage.h"

#include "mlir/Transforms/DialectConversion.h"

#include <map>

namespace attncc::lowering {

/// What holds for the whole kernel that is being converted.
struct KernelContext {
  const TargetInfo &target;
  const attn::Schedule &schedule;
  tile::ItemKind itemKind;
  int64_t group; // query heads of one kv head
  /// Sequences with more query tokens are prefill's, all others decode's and merge's; 0: no limit.
  int64_t maxQuery;
  /// The number of the thread's unit where units are warpgroups, read from one lane: the assembler
  /// sees that it is the same in a warp, and with it whatever is counted by it.
  Value ownUnit = {};
  /// The converted workspace argument; the error word is its first word.
  Value workspace = {};
  /// Rotations whose inverse frequencies are in the module already.
  llvm::SmallVector<mlir::Attribute> rotations = {};

  bool causal = false; // a row sees fewer keys than those behind it
  /// Ops of the loading role, whose warp is none of the units'.
  llvm::DenseSet<mlir::Operation *> ofLoadRole = {};
  int64_t loadRoles = 0; // warps that load
  /// Releases in front of which all warps of the unit have passed their wait for the slot: between
  /// the two they have awaited a product that was started there, taken a turn, or met for another
  /// slot.
  llvm::DenseSet<mlir::Operation *> hasMet = {};

  int64_t units() const { return schedule.units; }
  /// Warps of all units.
  int64_t warps() const { return schedule.unit * schedule.units; }
  /// The blocks stay for many items.
  bool persists() const { return schedule.work != attn::Work::Grid; }
  /// The number of the thread's unit, and of the thread in it.
  Value unit(KernelBuilder &builder) const;
  Value threadOfUnit(KernelBuilder &builder) const;
  /// Named barriers: 0 is the block's, then the units', then those of their turns.
  int64_t firstTurn() const { return 1 + units(); }
  /// Waits for the threads of the unit.
  void unitBarrier(KernelBuilder &builder) const;
  bool tensorCopies() const { return schedule.copy == attn::Copy::Tensor; }
  int64_t threads() const { return schedule.threads(); }
  bool dividesRows() const { return schedule.divide == attn::Divide::Rows; }
  /// From one tile of a unit's range to the next.
  int64_t rangeStep() const { return dividesRows() ? -1 : units(); }
  bool isWgmma() const { return schedule.product == attn::Product::Wgmma; }
  /// Query rows of one block.
  int64_t blockRows() const { return dividesRows() ? units() * schedule.rows : schedule.rows; }
};

/// The type of a member of a structure of values.
enum class Field { Bit, Word, Long, Real, Pointer, Shared, TensorMap };

/// A structure of values and their flat form. `members` lists them once, each with its type.
template <class Derived> struct Packed {
  static Derived unpack(ValueRange values) {
    Derived result;
    auto members = result.members();
    assert(values.size() == members.size() && "a value of another type");
    for (auto [member, value] : llvm::zip(members, values))
      *member.first = value;
    return result;
  }
  Values pack() {
    Values values;
    for (auto &member : static_cast<Derived *>(this)->members())
      values.push_back(*member.first);
    return values;
  }
  static llvm::SmallVector<Field> fields() {
    llvm::SmallVector<Field> result;
    for (auto &member : Derived().members())
      result.push_back(member.second);
    return result;
  }

protected:
  using Members = llvm::SmallVector<std::pair<Value *, Field>>;
  static void list(Members &members, Field field, std::initializer_list<Value *> values) {
    for (Value *value : values)
      members.push_back({value, field});
  }
};

/// tensor<?x?xDxT> or tensor<?x?xf32>: strides in elements.
struct TensorArgument : Packed<TensorArgument> {
  Value pointer, tokenStride, headStride;
  Members members() {
    Members m;
    list(m, Field::Pointer, {&pointer});
    list(m, Field::Long, {&tokenStride, &headStride});
    return m;
  }
};

/// The keys or the values of a paged cache, which has both in this order: strides in elements.
struct CacheArgument : Packed<CacheArgument> {
  Value pointer, pageStride, tokenStride, headStride;
  Members members() {
    Members m;
    list(m, Field::Pointer, {&pointer});
    list(m, Field::Long, {&pageStride, &tokenStride, &headStride});
    return m;
  }
  static CacheArgument keys(ValueRange cache) { return unpack(cache.take_front(4)); }
  static CacheArgument values(ValueRange cache) { return unpack(cache.take_back(4)); }
};

/// A cache that tensor copies read.
struct TensorMapArgument : Packed<TensorMapArgument> {
  Value keys, values;
  Members members() {
    Members m;
    list(m, Field::TensorMap, {&keys, &values});
    return m;
  }
};

/// A table of `positions` rows; elements are f32 where `bytes` is 4, else the type's.
struct CosSinArgument : Packed<CosSinArgument> {
  Value pointer, stride, positions, bytes;
  Members members() {
    Members m;
    list(m, Field::Pointer, {&pointer});
    list(m, Field::Long, {&stride});
    list(m, Field::Word, {&positions, &bytes});
    return m;
  }
};

/// A ring or a slot that tensor copies fill.
struct Landing : Packed<Landing> {
  Value memory, barrier;
  Members members() {
    Members m;
    list(m, Field::Shared, {&memory, &barrier});
    return m;
  }
};

/// A position of such a ring in one word: the parity above the stage.
struct Turn {
  static constexpr int64_t parityBit = 16;
  static Value stage(KernelBuilder &builder, ValueRange position);
  static Value parity(KernelBuilder &builder, ValueRange position);
};

/// `parts` of the states' parts are there, each with an output and log-sum-exps, which `lseScale`
/// makes natural. How many parts the type allows is not known here: `unpack` takes it from the
/// number of values.
struct StatesArgument {
  Value tokens, heads, parts, lseScale;
  llvm::SmallVector<TensorArgument> outputs, lses;
  static StatesArgument unpack(ValueRange values);
  static llvm::SmallVector<Field> fields(int64_t parts);
};

struct BatchArgument : Packed<BatchArgument> {
  Value queryStart, kvLength, blockTable, blockTableStride, pageIndptr, numPages;
  Value kvHeads, maxKvLength, maxQueryLength, splitTokens;
  Members members() {
    Members m;
    list(m, Field::Pointer, {&queryStart, &kvLength, &blockTable});
    list(m, Field::Long, {&blockTableStride});
    list(m, Field::Pointer, {&pageIndptr});
    list(m, Field::Long, {&numPages});
    list(m, Field::Word, {&kvHeads, &maxKvLength, &maxQueryLength, &splitTokens});
    return m;
  }
};

/// The launch's sequences, which a batch has at its end where blocks stay for many items.
struct PersistentBatch {
  BatchArgument batch;
  Value sequences;
  static PersistentBatch unpack(ValueRange values) {
    return {BatchArgument::unpack(values.drop_back()), values.back()};
  }
};

/// A work item. Row R of the item's sequence is query token R / group, head
/// kvHead·group + R % group; an item owns rows rowBegin … rowEnd - 1. A merge item is one such row:
/// rowBegin and kvHead give its token and head; so is a merge_states item, of one sequence with a
/// group of 1.
struct Item : Packed<Item> {
  Value sequence, kvHead, rowBegin, rowEnd;
  Value split,
      splits; // the first one and how many it takes; of a merge those of a partial, and all
  Value queryBegin, queryLength, kvLength;
  Value keyBegin, keyEnd;
  Value kvHeads, maxQueryLength, maxSplits; // of the launch
  Value single;                             // its sequence has no other item
  Value faulty;                             // a length passed its bound
  Value table, numPages;                    // the sequence's block-table entries; pages of the pool
  Members members() {
    Members m;
    list(m, Field::Word,
         {&sequence, &kvHead, &rowBegin, &rowEnd, &split, &splits, &queryBegin, &queryLength,
          &kvLength, &keyBegin, &keyEnd, &kvHeads, &maxQueryLength, &maxSplits});
    list(m, Field::Bit, {&single, &faulty});
    list(m, Field::Pointer, {&table});
    list(m, Field::Long, {&numPages});
    return m;
  }
};

/// Sets what the place in the grid says of a decode or prefill item: kvHead, rowBegin, split,
/// sequence. `unit` is the number of the thread's unit.
void placeItem(KernelBuilder &builder, const KernelContext &kernel, Item &item, Value unit);
/// The most query tokens of a sequence for which the launch of this kernel has blocks and partials.
Value launchedQueries(KernelBuilder &builder, const KernelContext &kernel, const Item &item);
/// The chunks of rows, one a block, that so many query tokens of a kv head are.
Value chunksOf(KernelBuilder &builder, const KernelContext &kernel, Value queries);

/// Key tiles first, first + step, … (`count` of them, of which all but the first `edges` need no
/// mask, and the first `skipped` are not seen by the unit) of the item's keys below keyEnd; the
/// step is the kernel's. `idle` is the count for a unit that has no rows, else 0.
struct Range : Packed<Range> {
  Value first, count, edges, skipped, idle, keyEnd;
  Value table, numPages; // as in Item
  Members members() {
    Members m;
    list(m, Field::Word, {&first, &count, &edges, &skipped, &idle, &keyEnd});
    list(m, Field::Pointer, {&table});
    list(m, Field::Long, {&numPages});
    return m;
  }
};

/// The number, among the sequence's tiles, of the range's tile with this index.
Value rangeTile(KernelBuilder &builder, const KernelContext &kernel, const Range &range,
                Value index);

/// The conversion above.
class Representation : public mlir::TypeConverter {
public:
  Representation(mlir::MLIRContext *context, const KernelContext &kernel);
};

/// Number of values of a register tile.
int64_t registerValues(tile::TileType type);

/// The f32 value of each register of a tile of f32, bf16 or f16, and back (rounded to nearest
/// even).
Values toF32(KernelBuilder &builder, Type element, ValueRange values);
Values fromF32(KernelBuilder &builder, Type element, ValueRange values);

/// What a row's values are multiplied by when the online softmax ends with this sum.
Value inverseOfSum(KernelBuilder &builder, Value sum);
/// The row's log-sum-exp, in units of log2 or natural.
Value logSumExp(KernelBuilder &builder, Value maximum, Value sum, bool log2);

/// Base of all patterns: a builder at the op, and the kernel's facts.
template <class Op> class TilePattern : public mlir::OpConversionPattern<Op> {
public:
  using Adaptor = typename mlir::OpConversionPattern<Op>::OneToNOpAdaptor;
  TilePattern(const mlir::TypeConverter &converter, mlir::MLIRContext *context,
              KernelContext &kernel)
      : mlir::OpConversionPattern<Op>(converter, context), kernel(kernel) {}

protected:
  KernelContext &kernel;
};

/// row and column of register `reg` of this thread; the register's part is a constant. Of the
/// `warps` of the block's units the layout has all, or those of one unit.
struct ThreadCoordinates {
  ThreadCoordinates(KernelBuilder &builder, const tile::Layout &layout, int64_t warps);
  /// The thread's part plus the register's.
  Value row(int64_t reg);
  Value column(int64_t reg);
  /// The address of the register's column in a row of elements: the thread's part is added first,
  /// so that the register's becomes an immediate.
  Value inRow(Value row, int64_t reg, int64_t elementBytes);
  Value rowOfThread, columnOfThread;

private:
  KernelBuilder &builder;
  const tile::Layout &layout;
};

/// Σ over the set bits of `index` of the basis' component along `dimension` (bits are disjoint).
Value applyBasis(KernelBuilder &builder, Value index, const tile::Layout::Basis &basis,
                 tile::Dimension dimension);
/// The same for numbers, joined by xor.
Value applyBasis(KernelBuilder &builder, Value index, llvm::ArrayRef<int64_t> basis);

/// This thread holds the copy of its elements that stores them: all replicated bits are zero. Null
/// if every thread does.
Value isFirstCopy(KernelBuilder &builder, const tile::Layout &layout, int64_t warps);

/// The layout of a register tile; a diagnostic at `op` where there is none.
mlir::FailureOr<tile::Layout> layoutOf(mlir::Operation *op, Type type);

/// Which thread copies which 16 bytes of a shared tile of 16-bit elements, and to which offset.
struct CopyPlan {
  CopyPlan(tile::TileType type, const tile::Layout &shared, int64_t warps);

  tile::Layout who;
  std::vector<tile::Coordinate> constants; // of the thread's copies
  std::optional<tile::SharedAccess> access;
};
/// Copies the item's rows of `tensor` from row `firstRow` on into a shared tile; of `warps`, each
/// its part.
void copyRows(KernelBuilder &builder, const KernelContext &kernel, const CopyPlan &plan, Value tile,
              const Item &item, tile::RowKind kind, int64_t firstRow, const TensorArgument &tensor);

/// Tensor copies fill the ring, whose mbarriers have a place.
bool hasBarriers(Value ring);
/// How the slots of a ring are divided.
mlir::FailureOr<tile::RingStorage> storageOf(mlir::Operation *op, tile::RingType ring);
/// Address of the slot at a position of a ring of this type; both as converted.
mlir::FailureOr<Value> slotAddress(KernelBuilder &builder, const KernelContext &kernel,
                                   mlir::Operation *op, tile::RingType type, ValueRange ring,
                                   ValueRange position, tile::RingStorage *storage = nullptr);
/// Lane (g, c) = (lane / 4, lane mod 4) holds word c of each 16 bytes of row g, as in the fragments
/// of mma.m16n8k16 but for a swapped accumulator, and of each warp's rows of a wgmma.
bool isFragment(const tile::Layout &layout);
/// Word w of lane c of each four lanes becomes word c of lane w.
void transposeQuad(KernelBuilder &builder, Values &words);

/// How many neighbouring columns, a power of two of at most `limit`, consecutive registers hold.
int64_t columnRun(const tile::Layout &layout, int64_t limit);

/// For each register of `of`, the register of `in` that holds the coordinate with its row (if
/// `keepRow`, else row 0) and column (likewise) in every thread; nothing if other threads hold it.
std::optional<llvm::SmallVector<int64_t>>
matchRegisters(const tile::Layout &of, const tile::Layout &in, bool keepRow, bool keepColumn);

/// Registers by the row of their constant part, ascending.
std::map<int64_t, llvm::SmallVector<int64_t>> registersByRow(const tile::Layout &layout);

/// Where a row of an item stands in the ragged tensors.
struct RowPlace {
  Value exists;       // i1: not padding
  Value token;        // i32, inside of the sequence's queries
  Value head;         // i32, of the query or of the cache
  Value tokenOfBatch; // i32
  /// Offset in elements, i64.
  Value element(KernelBuilder &builder, const TensorArgument &tensor) const;
};
RowPlace placeOfRow(KernelBuilder &builder, const KernelContext &kernel, const Item &item,
                    tile::RowKind kind, Value row);

/// Where rows of a tensor are that lie at constant distances from one of them: whole tokens on, the
/// pointer moves by their stride.
class RowPointers {
public:
  RowPointers(KernelBuilder &builder, const KernelContext &kernel, const Item &item,
              tile::RowKind kind, Value row, const TensorArgument &tensor, int64_t elementBytes);
  struct Row {
    Value exists;  // i1: not padding
    Value pointer; // to its first element; of padding to anywhere
  };
  /// `distance` rows behind `row`.
  Row at(int64_t distance);

private:
  KernelBuilder &builder;
  const KernelContext &kernel;
  Item item;
  tile::RowKind kind;
  Value row;
  TensorArgument tensor;
  int64_t elementBytes;
  std::map<int64_t, Row> known; // by distance
};

/// The block-table entry of the sequence's token `key` where `valid`, else 0. An entry that is not
/// a page of the pool sets the error word and becomes -1.
struct BlockTable {
  Value entries, numPages;
  int64_t pageSize;
};
Value tableEntry(KernelBuilder &builder, const KernelContext &kernel, const BlockTable &table,
                 Value key, Value valid);
/// Sets the error word's page bit where `bad`.
void reportBadPage(KernelBuilder &builder, const KernelContext &kernel, Value bad);

// The patterns, by file.
void populateProgramPatterns(mlir::RewritePatternSet &, const mlir::TypeConverter &,
                             KernelContext &);
void populateRingPatterns(mlir::RewritePatternSet &, const mlir::TypeConverter &, KernelContext &);
void populateTensorCopyPatterns(mlir::RewritePatternSet &, const mlir::TypeConverter &,
                                KernelContext &);
void populateLoadPatterns(mlir::RewritePatternSet &, const mlir::TypeConverter &, KernelContext &);
void populateProductPatterns(mlir::RewritePatternSet &, const mlir::TypeConverter &,
                             KernelContext &);
void populateSoftmaxPatterns(mlir::RewritePatternSet &, const mlir::TypeConverter &,
                             KernelContext &);
void populateStorePatterns(mlir::RewritePatternSet &, const mlir::TypeConverter &, KernelContext &);
void populateStatePatterns(mlir::RewritePatternSet &, const mlir::TypeConverter &, KernelContext &);
void populateAppendPatterns(mlir::RewritePatternSet &, const mlir::TypeConverter &,
                            KernelContext &);

} // namespace attncc::lowering
