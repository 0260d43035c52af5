//===- TileAttrs.cpp - attributes of the tile dialect -----------------------===//
//
// Parsing, printing and checking of layouts, and their conversion to and from
// the pure value class. Tests: test/dialects/tile/attributes.mlir,
// test/dialects/tile/attributes-errors.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/Tile.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace attncc::tile {

llvm::hash_code hash_value(const Coordinate &coordinate) {
  return llvm::hash_combine(coordinate.row, coordinate.column);
}

llvm::hash_code hash_value(const Repeat &repeat) {
  return llvm::hash_combine(repeat.dimension, repeat.count, repeat.index);
}

} // namespace attncc::tile

#define GET_ATTRDEF_CLASSES
#include "dialects/tile/TileAttrs.cpp.inc"

namespace attncc::tile {

void TileDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/tile/TileAttrs.cpp.inc"
      >();
}

LogicalResult ItemsAttr::verify(function_ref<InFlightDiagnostic()> emitError, ItemKind kind,
                                int64_t group) {
  if (group < 1)
    return emitError() << "group must be at least 1, got " << group;
  if (kind == ItemKind::MergeStates && group != 1)
    return emitError() << "group of merge_states must be 1, got " << group;
  return success();
}

//===----------------------------------------------------------------------===//
// #tile.layout
//===----------------------------------------------------------------------===//

namespace {

Layout makeLayout(ArrayRef<Coordinate> registers, ArrayRef<Coordinate> lanes,
                  ArrayRef<Coordinate> warps, ArrayRef<Coordinate> offsets,
                  ArrayRef<Repeat> repeats, bool partial) {
  if (!offsets.empty())
    return Layout::shared(Layout::Basis(offsets), std::vector<Repeat>(repeats));
  return Layout::registers(Layout::Basis(registers), Layout::Basis(lanes), Layout::Basis(warps),
                           std::vector<Repeat>(repeats), partial);
}

/// `[[1,0],[0,8]]`.
ParseResult parseVectors(AsmParser &parser, SmallVectorImpl<Coordinate> &vectors) {
  return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() -> ParseResult {
    Coordinate vector;
    if (parser.parseLSquare() || parser.parseInteger(vector.row) || parser.parseComma() ||
        parser.parseInteger(vector.column) || parser.parseRSquare())
      return failure();
    vectors.push_back(vector);
    return success();
  });
}

/// `[row 10 offset, column 2 register]`.
ParseResult parseRepeats(AsmParser &parser, SmallVectorImpl<Repeat> &repeats) {
  return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() -> ParseResult {
    Repeat repeat;
    if (succeeded(parser.parseOptionalKeyword("column")))
      repeat.dimension = Dimension::Column;
    else if (parser.parseKeyword("row"))
      return failure();
    if (parser.parseInteger(repeat.count))
      return failure();
    if (succeeded(parser.parseOptionalKeyword("warp")))
      repeat.index = HardwareIndex::Warp;
    else if (succeeded(parser.parseOptionalKeyword("offset")))
      repeat.index = HardwareIndex::Offset;
    else if (parser.parseKeyword("register"))
      return failure();
    repeats.push_back(repeat);
    return success();
  });
}

} // namespace

LayoutAttr LayoutAttr::get(MLIRContext *context, const Layout &layout) {
  return get(context, layout.registerBasis(), layout.laneBasis(), layout.warpBasis(),
             layout.offsetBasis(), layout.repeats(), layout.isPartial());
}

Layout LayoutAttr::toLayout() const {
  return makeLayout(getRegisters(), getLanes(), getWarps(), getOffsets(), getRepeats(),
                    getPartial());
}

LogicalResult LayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 ArrayRef<Coordinate> registers, ArrayRef<Coordinate> lanes,
                                 ArrayRef<Coordinate> warps, ArrayRef<Coordinate> offsets,
                                 ArrayRef<Repeat> repeats, bool partial) {
  if (!offsets.empty() && (!registers.empty() || !lanes.empty() || !warps.empty()))
    return emitError() << "offset vectors exclude register, lane and warp vectors"; // (C1)
  if (!offsets.empty() && partial)
    return emitError() << "a layout of offsets cannot be partial";
  for (ArrayRef<Coordinate> vectors : {registers, lanes, warps, offsets})
    for (const Coordinate &vector : vectors)
      if (vector.row < 0 || vector.column < 0) // (C2)
        return emitError() << "layout vectors must not be negative, got [" << vector.row << ","
                           << vector.column << "]";
  Layout layout = makeLayout(registers, lanes, warps, offsets, repeats, partial);
  if (std::optional<std::string> defect = layout.defect()) // (C2) to (C4)
    return emitError() << *defect;
  return success();
}

Attribute LayoutAttr::parse(AsmParser &parser, Type) {
  SmallVector<Coordinate> registers, lanes, warps, offsets;
  SmallVector<Repeat> repeats;
  bool partial = false;
  llvm::SMLoc location = parser.getCurrentLocation();
  SmallVector<StringRef> seen;
  auto parseField = [&]() -> ParseResult {
    llvm::SMLoc fieldLocation = parser.getCurrentLocation();
    StringRef field;
    if (parser.parseKeyword(&field))
      return failure();
    if (llvm::is_contained(seen, field))
      return parser.emitError(fieldLocation) << "layout has two fields '" << field << "'";
    seen.push_back(field);
    if (field == "partial") {
      partial = true;
      return success();
    }
    if (parser.parseEqual())
      return failure();
    if (field == "repeat")
      return parseRepeats(parser, repeats);
    SmallVector<Coordinate> *vectors = llvm::StringSwitch<SmallVector<Coordinate> *>(field)
                                           .Case("register", &registers)
                                           .Case("lane", &lanes)
                                           .Case("warp", &warps)
                                           .Case("offset", &offsets)
                                           .Default(nullptr);
    if (!vectors)
      return parser.emitError(fieldLocation)
             << "expected register, lane, warp, offset, repeat or partial, got '" << field << "'";
    return parseVectors(parser, *vectors);
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::LessGreater, parseField))
    return {};
  return parser.getChecked<LayoutAttr>(location, parser.getContext(), registers, lanes, warps,
                                       offsets, repeats, partial);
}

void LayoutAttr::print(AsmPrinter &printer) const { printer << "<" << toLayout().str() << ">"; }

} // namespace attncc::tile
