//===- Representation.cpp - what a tile value is in a thread ---------------===//
//
// See Representation.h.
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include <bit>
#include <numbers>

namespace attncc::lowering {

using tile::Coordinate;
using tile::Dimension;
using tile::Layout;
using Types = llvm::SmallVectorImpl<Type>;

namespace {
bool isHalf(Type element) { return element.isBF16() || element.isF16(); }
} // namespace

mlir::FailureOr<tile::RingStorage> storageOf(mlir::Operation *op, tile::RingType ring) {
  std::vector<tile::StoredTile> tiles;
  for (tile::TileType type : ring.getTiles()) {
    mlir::FailureOr<Layout> layout = layoutOf(op, type);
    if (mlir::failed(layout))
      return mlir::failure();
    tiles.push_back({*layout, type.getElementType().getIntOrFloatBitWidth() / 8});
  }
  return tile::ringStorage(tiles);
}

mlir::FailureOr<Value> slotAddress(KernelBuilder &b, const KernelContext &kernel,
                                   mlir::Operation *op, tile::RingType type, ValueRange ring,
                                   ValueRange position, tile::RingStorage *storage) {
  mlir::FailureOr<tile::RingStorage> found = storageOf(op, type);
  if (mlir::failed(found))
    return mlir::failure();
  if (storage)
    *storage = *found;
  Value stage = kernel.tensorCopies() ? Turn::stage(b, position) : position.front();
  return b.offset(ring.front(), b.mul(stage, found->slotBytes));
}

StatesArgument StatesArgument::unpack(ValueRange values) {
  StatesArgument states;
  states.tokens = values[0];
  states.heads = values[1];
  states.parts = values[2];
  states.lseScale = values[3];
  for (ValueRange rest = values.drop_front(4); !rest.empty(); rest = rest.drop_front(6)) {
    states.outputs.push_back(TensorArgument::unpack(rest.take_front(3)));
    states.lses.push_back(TensorArgument::unpack(rest.slice(3, 3)));
  }
  return states;
}

llvm::SmallVector<Field> StatesArgument::fields(int64_t parts) {
  llvm::SmallVector<Field> result = {Field::Word, Field::Word, Field::Word, Field::Real};
  for (int64_t tensor = 0; tensor < 2 * parts; ++tensor)
    llvm::append_range(result, TensorArgument::fields());
  return result;
}

int64_t registerValues(tile::TileType type) {
  int64_t registers = type.getLayout().toLayout().registersPerThread();
  return isHalf(type.getElementType()) ? (registers + 1) / 2 : registers;
}

Value inverseOfSum(KernelBuilder &b, Value sum) {
  // Of NaN neither comparison holds: it passes on.
  return b.select(b.isZero(sum), b.f32(0), b.reciprocal(sum));
}
Value logSumExp(KernelBuilder &b, Value maximum, Value sum, bool log2) {
  Value lse = b.fadd(maximum, b.log2(sum));
  return log2 ? lse : b.fmul(lse, b.f32(std::numbers::ln2));
}

Value KernelContext::unit(KernelBuilder &b) const {
  if (ownUnit)
    return ownUnit;
  Value warp = b.warp(warps());
  return schedule.unit == 1 ? warp : b.divUnsigned(warp, schedule.unit);
}
Value KernelContext::threadOfUnit(KernelBuilder &b) const {
  return units() == 1 ? b.thread() : b.bitAnd(b.thread(), 32 * schedule.unit - 1);
}
void KernelContext::unitBarrier(KernelBuilder &b) const {
  if (schedule.unit == 1)
    b.warpBarrier();
  else // barrier 0 is the block's
    b.namedBarrier(b.add(unit(b), 1), 32 * schedule.unit);
}

Value Turn::stage(KernelBuilder &b, ValueRange position) {
  return b.bitAnd(position.front(), (int64_t(1) << parityBit) - 1);
}
Value Turn::parity(KernelBuilder &b, ValueRange position) {
  return b.shiftRight(position.front(), parityBit);
}

Representation::Representation(mlir::MLIRContext *context, const KernelContext &kernel) {
  const bool tensorCopies = kernel.tensorCopies(), persists = kernel.persists();
  mlir::OpBuilder opBuilder(context);
  KernelBuilder types(opBuilder, mlir::UnknownLoc::get(context));
  Type i1 = types.i1Type(), i32 = types.i32Type(), i64 = types.i64Type();
  Type f32 = types.f32Type();
  Type global = types.pointerType(AddressSpace::Global);
  Type shared = types.pointerType(AddressSpace::Shared);
  Type generic = types.pointerType(AddressSpace::Generic);
  auto append = [=](Types &flat,
                    llvm::ArrayRef<Field> fields) -> std::optional<mlir::LogicalResult> {
    const Type typeOf[] = {i1, i32, i64, f32, global, shared, generic}; // in Field's order
    for (Field field : fields)
      flat.push_back(typeOf[static_cast<int>(field)]);
    return mlir::success();
  };

  addConversion([](Type type) { return type; });
  addConversion([=](mlir::IndexType) { return i32; });
  addConversion([=](mlir::RankedTensorType type, Types &flat) {
    return append(flat, type.getRank() > 1 ? TensorArgument::fields()
                                           : llvm::SmallVector<Field>{Field::Pointer});
  });
  addConversion([=](attn::PagedKvType, Types &flat) {
    if (tensorCopies)
      return append(flat, TensorMapArgument::fields());
    append(flat, CacheArgument::fields());
    return append(flat, CacheArgument::fields());
  });
  addConversion(
      [=](attn::CosSinType, Types &flat) { return append(flat, CosSinArgument::fields()); });
  addConversion([=](attn::StatesType type, Types &flat) {
    return append(flat, StatesArgument::fields(type.getParts()));
  });
  addConversion([=](tile::BatchType, Types &flat) {
    llvm::SmallVector<Field> fields = BatchArgument::fields();
    if (persists)
      fields.push_back(Field::Word);
    return append(flat, fields);
  });
  addConversion([=](tile::ItemType, Types &flat) { return append(flat, Item::fields()); });
  addConversion([=](tile::RangeType, Types &flat) { return append(flat, Range::fields()); });
  addConversion([=](tile::WorkspaceType) { return global; });
  if (tensorCopies) {
    addConversion([=](tile::RingType, Types &flat) { return append(flat, Landing::fields()); });
    addConversion([=](tile::SlotType, Types &flat) { return append(flat, Landing::fields()); });
  } else {
    addConversion([=](tile::RingType) { return shared; });
    addConversion([=](tile::SlotType) { return shared; });
  }
  addConversion([=](tile::PositionType) { return i32; });
  addConversion([this](tile::PendingType type, Types &flat) -> std::optional<mlir::LogicalResult> {
    return convertType(type.getTile(), flat);
  });
  addConversion([=](tile::TileType type, Types &flat) -> std::optional<mlir::LogicalResult> {
    if (type.isShared()) {
      flat.push_back(shared);
      return mlir::success();
    }
    Type element = type.getElementType();
    if (!type.getLayout() || !(element.isF32() || element.isInteger(32) || isHalf(element)))
      return mlir::failure();
    flat.append(registerValues(type), element.isF32() ? element : i32);
    return mlir::success();
  });
}

Values toF32(KernelBuilder &builder, Type element, ValueRange values) {
  if (!isHalf(element))
    return Values(values);
  Values result;
  for (Value word : values) {
    std::array<Value, 2> pair = builder.unpack(word, element);
    result.append({pair[0], pair[1]});
  }
  return result;
}

Values fromF32(KernelBuilder &builder, Type element, ValueRange values) {
  if (!isHalf(element))
    return Values(values);
  Values result;
  for (size_t r = 0; r < values.size(); r += 2)
    result.push_back(
        builder.pack(values[r], r + 1 < values.size() ? values[r + 1] : builder.f32(0), element));
  return result;
}

//===----------------------------------------------------------------------===//
// Coordinates
//===----------------------------------------------------------------------===//

// Runs of bits that move on by one bit each become one mask and one shift.
Value applyBasis(KernelBuilder &builder, Value index, const Layout::Basis &basis,
                 Dimension dimension) {
  Value sum;
  for (size_t bit = 0; bit < basis.size();) {
    int64_t vector = basis[bit][dimension];
    if (vector == 0) {
      ++bit;
      continue;
    }
    size_t end = bit + 1;
    while (end < basis.size() && basis[end][dimension] == vector << (end - bit))
      ++end;
    Value part = builder.shiftRight(index, bit);
    part = builder.bitAnd(part, (int64_t(1) << (end - bit)) - 1);
    part = builder.mul(part, vector);
    sum = sum ? builder.add(sum, part) : part;
    bit = end;
  }
  return sum ? sum : builder.i32(0);
}

Value applyBasis(KernelBuilder &builder, Value index, llvm::ArrayRef<int64_t> basis) {
  Value sum;
  for (size_t bit = 0; bit < basis.size();) {
    if (basis[bit] == 0) {
      ++bit;
      continue;
    }
    // A single shift serves neighbouring bits whose offsets are one bit each, one doubling the
    // other.
    size_t end = bit + 1;
    while (end < basis.size() && std::has_single_bit(static_cast<uint64_t>(basis[bit])) &&
           basis[end] == basis[bit] << (end - bit))
      ++end;
    Value part = builder.bitAnd(builder.shiftRight(index, bit), (int64_t(1) << (end - bit)) - 1);
    part = builder.mul(part, basis[bit]);
    sum = sum ? builder.bitXor(sum, part) : part;
    bit = end;
  }
  return sum ? sum : builder.i32(0);
}

namespace {
/// Of the `warps` of the block's units: all, or those of the thread's unit.
Value warpIn(KernelBuilder &b, const Layout &layout, int64_t warps) {
  Value warp = b.warp(warps);
  return layout.warps() < warps ? b.bitAnd(warp, layout.warps() - 1) : warp;
}
} // namespace

ThreadCoordinates::ThreadCoordinates(KernelBuilder &builder, const Layout &layout, int64_t warps)
    : builder(builder), layout(layout) {
  Value lane = builder.lane();
  rowOfThread = applyBasis(builder, lane, layout.laneBasis(), Dimension::Row);
  columnOfThread = applyBasis(builder, lane, layout.laneBasis(), Dimension::Column);
  if (layout.warps() == 1)
    return;
  // Repeats over warps count above the atom's warp bits; each warp bit's vector comes from `at`.
  Layout::Basis basis;
  for (int64_t warp = 1; warp < layout.warps(); warp *= 2)
    basis.push_back(layout.warpPart(warp));
  Value warp = warpIn(builder, layout, warps);
  rowOfThread = builder.add(rowOfThread, applyBasis(builder, warp, basis, Dimension::Row));
  columnOfThread = builder.add(columnOfThread, applyBasis(builder, warp, basis, Dimension::Column));
}

Value ThreadCoordinates::row(int64_t reg) {
  return builder.add(rowOfThread, layout.registerPart(reg).row);
}
Value ThreadCoordinates::column(int64_t reg) {
  return builder.add(columnOfThread, layout.registerPart(reg).column);
}

Value ThreadCoordinates::inRow(Value row, int64_t reg, int64_t elementBytes) {
  Value ofThread =
      builder.offset(row, builder.zeroExtend(builder.mul(columnOfThread, elementBytes)));
  return builder.offset(ofThread, layout.registerPart(reg).column * elementBytes);
}

Value isFirstCopy(KernelBuilder &builder, const Layout &layout, int64_t warps) {
  Value first;
  auto require = [&](Value index, int64_t mask) {
    if (mask == 0)
      return;
    Value zero = builder.compare(Compare::eq, builder.bitAnd(index, mask), 0);
    first = first ? builder.bitAnd(first, zero) : zero;
  };
  require(builder.lane(), layout.replicatedLanes());
  if (layout.replicatedWarps())
    require(warpIn(builder, layout, warps), layout.replicatedWarps());
  return first;
}

bool hasBarriers(Value ring) {
  auto op = ring.getDefiningOp<tile::RingOp>();
  return op && op.getBarriers();
}

mlir::FailureOr<Layout> layoutOf(mlir::Operation *op, Type type) {
  auto tileType = llvm::cast<tile::TileType>(type);
  if (!tileType.getLayout())
    return op->emitOpError() << "expected a layout in " << type;
  return tileType.getLayout().toLayout();
}

bool isFragment(const Layout &layout) {
  return layout.registerBasis().size() >= 1 && layout.registerBasis()[0] == Coordinate{0, 1} &&
         layout.laneBasis() == tile::mmaBOperand(8, 16).laneBasis();
}

void transposeQuad(KernelBuilder &b, Values &words) {
  Value lane = b.lane();
  for (int64_t step : {1, 2}) {
    Value upper = b.compare(Compare::ne, b.bitAnd(lane, step), 0);
    for (int64_t low = 0; low < 4; ++low) {
      if (low & step)
        continue;
      Value &first = words[low], &second = words[low | step];
      Value received = b.shuffleXor(b.select(upper, first, second), step);
      first = b.select(upper, received, first);
      second = b.select(upper, second, received);
    }
  }
}

int64_t columnRun(const Layout &layout, int64_t limit) {
  int64_t run = 1;
  const Layout::Basis &basis = layout.registerBasis();
  for (size_t bit = 0; bit < basis.size() && run < limit; ++bit, run *= 2)
    if (basis[bit] != Coordinate{0, run})
      break;
  return run;
}

std::optional<llvm::SmallVector<int64_t>> matchRegisters(const Layout &of, const Layout &in,
                                                         bool keepRow, bool keepColumn) {
  llvm::SmallVector<int64_t> result;
  for (int64_t reg = 0; reg < of.registersPerThread(); ++reg) {
    auto wanted = [&](int64_t lane, int64_t warp) {
      Coordinate c = of.at(reg, lane, warp);
      return Coordinate{keepRow ? c.row : 0, keepColumn ? c.column : 0};
    };
    int64_t found = in.holderOf(wanted(0, 0)).reg;
    for (int64_t warp = 0; warp < of.warps(); ++warp)
      for (int64_t lane = 0; lane < of.lanes(); ++lane)
        if (in.at(found, lane, in.warps() == 1 ? 0 : warp) != wanted(lane, warp))
          return std::nullopt;
    result.push_back(found);
  }
  return result;
}

std::map<int64_t, llvm::SmallVector<int64_t>> registersByRow(const Layout &layout) {
  std::map<int64_t, llvm::SmallVector<int64_t>> rows;
  for (int64_t reg = 0; reg < layout.registersPerThread(); ++reg)
    rows[layout.registerPart(reg).row].push_back(reg);
  return rows;
}

//===----------------------------------------------------------------------===//
// Rows and pages
//===----------------------------------------------------------------------===//

RowPlace placeOfRow(KernelBuilder &b, const KernelContext &kernel, const Item &item,
                    tile::RowKind kind, Value row) {
  RowPlace place;
  if (kind == tile::RowKind::Query) {
    Value wanted = b.add(item.rowBegin, row);
    place.exists = b.compare(Compare::slt, wanted, item.rowEnd);
    place.token = b.divUnsigned(wanted, kernel.group);
    place.head =
        b.add(b.mul(item.kvHead, kernel.group), b.sub(wanted, b.mul(place.token, kernel.group)));
  } else {
    place.exists = b.compare(Compare::eq, row, 0);
    place.token = b.divUnsigned(item.rowBegin, kernel.group);
    place.head = item.kvHead;
  }
  place.tokenOfBatch = b.add(item.queryBegin, place.token);
  return place;
}

Value RowPlace::element(KernelBuilder &b, const TensorArgument &tensor) const {
  return b.add(b.mul(b.zeroExtend(tokenOfBatch), tensor.tokenStride),
               b.mul(b.zeroExtend(head), tensor.headStride));
}

RowPointers::RowPointers(KernelBuilder &builder, const KernelContext &kernel, const Item &item,
                         tile::RowKind kind, Value row, const TensorArgument &tensor,
                         int64_t elementBytes)
    : builder(builder), kernel(kernel), item(item), kind(kind), row(row), tensor(tensor),
      elementBytes(elementBytes) {}

RowPointers::Row RowPointers::at(int64_t distance) {
  if (auto found = known.find(distance); found != known.end())
    return found->second;
  KernelBuilder &b = builder;
  auto wholeTokensBefore = [&](const auto &other) {
    return kind == tile::RowKind::Query && other.first < distance &&
           (distance - other.first) % kernel.group == 0;
  };
  Row placed;
  auto nearest = std::find_if(known.rbegin(), known.rend(), wholeTokensBefore);
  if (nearest != known.rend()) {
    auto [from, there] = *nearest;
    Value bytes = b.mul(tensor.tokenStride, (distance - from) / kernel.group * elementBytes);
    Value wanted = b.add(item.rowBegin, b.add(row, distance));
    placed = {b.compare(Compare::slt, wanted, item.rowEnd), b.offset(there.pointer, bytes)};
  } else {
    RowPlace alone = placeOfRow(b, kernel, item, kind, b.add(row, distance));
    placed = {alone.exists,
              b.offset(tensor.pointer, b.mul(alone.element(b, tensor), elementBytes))};
  }
  known.insert({distance, placed});
  return placed;
}

void reportBadPage(KernelBuilder &b, const KernelContext &kernel, Value bad) {
  constexpr int64_t errorPage = 2; // bit 1 of the error word
  if (kernel.workspace)
    b.ifThen(bad, [&] { b.atomicOr(kernel.workspace, b.i32(errorPage)); });
}

Value tableEntry(KernelBuilder &b, const KernelContext &kernel, const BlockTable &table, Value key,
                 Value valid) {
  Value entry = b.ifElse(
      valid, {b.i32Type()},
      [&]() -> Values {
        Value bytes = b.mul(b.zeroExtend(b.divUnsigned(key, table.pageSize)), 4);
        return {b.load(b.offset(table.entries, bytes), b.i32Type(), 4)};
      },
      [&]() -> Values { return {b.i32(0)}; })[0];
  Value bad = b.bitAnd(valid, b.compare(Compare::uge, b.zeroExtend(entry), table.numPages));
  reportBadPage(b, kernel, bad);
  return b.select(bad, b.i32(-1), entry);
}

} // namespace attncc::lowering
