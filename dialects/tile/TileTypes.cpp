//===- TileTypes.cpp - types of the tile dialect ----------------------------===//
//
// Parsing, printing and checking of tiles and rings. Tests:
// test/dialects/tile/attributes.mlir, test/dialects/tile/types-errors.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/Tile.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

#define GET_TYPEDEF_CLASSES
#include "dialects/tile/TileTypes.cpp.inc"

namespace attncc::tile {

void TileDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/tile/TileTypes.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// !tile.tile
//===----------------------------------------------------------------------===//

TileType TileType::get(MLIRContext *context, int64_t rows, int64_t columns, Type elementType,
                       Memory memory, LayoutAttr layout) {
  return Base::get(context, rows, columns, elementType, memory, layout);
}

TileType TileType::getChecked(function_ref<InFlightDiagnostic()> emitError, MLIRContext *context,
                              int64_t rows, int64_t columns, Type elementType, Memory memory,
                              LayoutAttr layout) {
  return Base::getChecked(emitError, context, rows, columns, elementType, memory, layout);
}

TileType TileType::cloneWith(LayoutAttr layout) const {
  return get(getContext(), getRows(), getColumns(), getElementType(), getMemory(), layout);
}

TileType TileType::cloneWith(Memory memory, LayoutAttr layout) const {
  return get(getContext(), getRows(), getColumns(), getElementType(), memory, layout);
}

TileType TileType::cloneWith(Type elementType) const {
  return get(getContext(), getRows(), getColumns(), elementType, getMemory(), getLayout());
}

LogicalResult TileType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t rows,
                               int64_t columns, Type elementType, Memory memory,
                               LayoutAttr layout) {
  if (rows < 1 || columns < 1) // (C1)
    return emitError() << "a tile has at least one row and one column, got " << rows << "x"
                       << columns;
  if (!elementType.isIntOrFloat())
    return emitError() << "tile elements must be integers or floats, got " << elementType;
  if (!layout)
    return success();
  Layout value = layout.toLayout();
  if (value.isShared() != (memory == Memory::Shared)) // (C2), (C3)
    return emitError() << (memory == Memory::Shared
                               ? "a shared tile needs a layout of offsets"
                               : "a register tile needs a layout of registers, lanes and warps");
  if (std::optional<std::string> defect = value.defectFor(rows, columns))
    return emitError() << *defect;
  return success();
}

Type TileType::parse(AsmParser &parser) {
  SmallVector<int64_t, 2> shape;
  Type elementType;
  Memory memory = Memory::Registers;
  LayoutAttr layout;
  llvm::SMLoc location = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseDimensionList(shape, /*allowDynamic=*/false) ||
      parser.parseType(elementType))
    return {};
  if (shape.size() != 2) {
    parser.emitError(location) << "a tile has 2 dimensions, got " << shape.size();
    return {};
  }
  if (succeeded(parser.parseOptionalComma())) {
    FailureOr<Memory> parsed = FieldParser<Memory>::parse(parser);
    if (failed(parsed))
      return {};
    memory = *parsed;
    if (succeeded(parser.parseOptionalComma()) && parser.parseCustomAttributeWithFallback(layout))
      return {};
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<TileType>(location, parser.getContext(), shape[0], shape[1], elementType,
                                     memory, layout);
}

void TileType::print(AsmPrinter &printer) const {
  printer << "<" << getRows() << "x" << getColumns() << "x" << getElementType();
  if (getMemory() != Memory::Registers || getLayout())
    printer << ", " << stringifyMemory(getMemory());
  if (getLayout()) {
    printer << ", ";
    printer.printAttribute(getLayout());
  }
  printer << ">";
}

//===----------------------------------------------------------------------===//
// !tile.ring
//===----------------------------------------------------------------------===//

LogicalResult RingType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t depth,
                               ArrayRef<TileType> tiles, RingScope) {
  if (depth < 1) // (C1)
    return emitError() << "a ring has at least one slot, got " << depth;
  if (tiles.empty())
    return emitError() << "a ring's slot holds at least one tile";
  for (TileType tile : tiles)
    if (!tile.isShared()) // (C2)
      return emitError() << "a ring holds tiles in shared memory, got " << tile;
  return success();
}

Type RingType::parse(AsmParser &parser) {
  int64_t depth = 0;
  SmallVector<TileType> tiles;
  llvm::SMLoc location = parser.getCurrentLocation();
  auto parseTile = [&]() -> ParseResult { return parser.parseType(tiles.emplace_back()); };
  if (parser.parseLess() || parser.parseInteger(depth) || parser.parseKeyword("x") ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Paren, parseTile) ||
      parser.parseComma() || parser.parseKeyword("shared_by") || parser.parseEqual())
    return {};
  FailureOr<RingScope> sharedBy = FieldParser<RingScope>::parse(parser);
  if (failed(sharedBy) || parser.parseGreater())
    return {};
  return parser.getChecked<RingType>(location, parser.getContext(), depth, tiles, *sharedBy);
}

void RingType::print(AsmPrinter &printer) const {
  printer << "<" << getDepth() << " x (";
  llvm::interleaveComma(getTiles(), printer, [&](TileType tile) { printer.printType(tile); });
  printer << "), shared_by = " << stringifyRingScope(getSharedBy()) << ">";
}

} // namespace attncc::tile
