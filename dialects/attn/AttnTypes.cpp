//===- AttnTypes.cpp - text and verification of attn's types --------------===//
//
// Tests: test/dialects/attn/types.mlir and types-errors.mlir, whose labels
// (C1)… are those of AttnTypes.td.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/AttrText.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace attncc;
using namespace attncc::attn;

/// `128 x bf16`
static ParseResult parseDimAndType(AsmParser &parser, int64_t &dim, Type &type) {
  return failure(parser.parseInteger(dim) || parser.parseKeyword("x") || parser.parseType(type));
}

static LogicalResult verifyPositive(function_ref<InFlightDiagnostic()> emitError,
                                    ArrayRef<std::pair<const char *, int64_t>> counts) {
  for (auto [name, count] : counts)
    if (count < 1)
      return emitError() << name << " must be at least 1, got " << count;
  return success();
}

//===----------------------------------------------------------------------===//
// !attn.paged_kv
//===----------------------------------------------------------------------===//

Type PagedKvType::parse(AsmParser &parser) {
  SMLoc location = parser.getCurrentLocation();
  int64_t pageSize = 0, kvHeads = 0, keyDim = 0, valueDim = 0, scaleGroup = 0, residualTokens = 0;
  Type keyType, valueType, residualType;
  std::optional<int64_t> valueBegin;
  PageOrder order = PageOrder::NHD;
  KvScales scales = KvScales::None;

  // `value = 128 x bf16` or `value = key[0:512]`
  auto parseValue = [&]() -> ParseResult {
    if (parser.parseEqual())
      return failure();
    if (failed(parser.parseOptionalKeyword("key")))
      return parseDimAndType(parser, valueDim, valueType);
    int64_t end = 0;
    if (parser.parseLSquare() || parser.parseInteger(valueBegin.emplace()) || parser.parseColon() ||
        parser.parseInteger(end) || parser.parseRSquare())
      return failure();
    valueDim = end - *valueBegin;
    return success();
  };
  // `scales = per_head` or `scales = per_channel<group = 32>`
  auto parseScales = [&]() -> ParseResult {
    if (parseEnum(parser, scales))
      return failure();
    if (failed(parser.parseOptionalLess()))
      return success();
    return failure(parser.parseKeyword("group") || parseInteger(parser, scaleGroup) ||
                   parser.parseGreater());
  };
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "page_size")
      return parseInteger(parser, pageSize);
    if (name == "kv_heads")
      return parseInteger(parser, kvHeads);
    if (name == "key")
      return failure(parser.parseEqual() || parseDimAndType(parser, keyDim, keyType));
    if (name == "value")
      return parseValue();
    if (name == "order")
      return parseEnum(parser, order);
    if (name == "scales")
      return parseScales();
    if (name == "residual")
      return failure(parser.parseEqual() || parseDimAndType(parser, residualTokens, residualType));
    return unknownField(parser, name, "page_size, kv_heads, key, value, order, scales, residual");
  };
  if (parseFields(parser, parseField))
    return {};
  if (!keyType || (!valueType && !valueBegin)) {
    parser.emitError(location) << "a KV type needs key and value";
    return {};
  }
  if (valueBegin)
    valueType = keyType;
  return parser.getChecked<PagedKvType>(location, parser.getContext(), pageSize, kvHeads, keyDim,
                                        keyType, valueDim, valueType, order, valueBegin, scales,
                                        scaleGroup, residualTokens, residualType);
}

void PagedKvType::print(AsmPrinter &printer) const {
  printer << "<page_size = " << getPageSize() << ", kv_heads = " << getKvHeads()
          << ", key = " << getKeyDim() << " x " << getKeyType() << ", value = ";
  if (getValueBegin())
    printer << "key[" << *getValueBegin() << ":" << *getValueBegin() + getValueDim() << "]";
  else
    printer << getValueDim() << " x " << getValueType();
  printer << ", order = " << stringifyEnum(getOrder());
  if (getScales() != KvScales::None)
    printer << ", scales = " << stringifyEnum(getScales());
  if (getScaleGroup())
    printer << "<group = " << getScaleGroup() << ">";
  if (getResidualType())
    printer << ", residual = " << getResidualTokens() << " x " << getResidualType();
  printer << ">";
}

static bool isHalf(Type type) { return isa<Float16Type, BFloat16Type>(type); }

static bool isQuantised(Type type) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(type) || type.isInteger(8) || type.isInteger(4);
}

LogicalResult PagedKvType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t pageSize,
                                  int64_t kvHeads, int64_t keyDim, Type keyType, int64_t valueDim,
                                  Type valueType, PageOrder order,
                                  std::optional<int64_t> valueBegin, KvScales scales,
                                  int64_t scaleGroup, int64_t residualTokens, Type residualType) {
  if (pageSize < 1 || pageSize > 256) // (C1)
    return emitError() << "page_size must be 1 to 256, got " << pageSize;
  if (failed(verifyPositive(emitError, {{"kv_heads", kvHeads}, // (C1)
                                        {"key dim", keyDim},
                                        {"value dim", valueDim}})))
    return failure();
  for (auto [name, type] : {std::pair("key", keyType), std::pair("value", valueType)}) { // (C2)
    if (!isHalf(type) && !isQuantised(type))
      return emitError() << name << " elements must be f16, bf16, f8E4M3FN, f8E5M2, i8 or i4, got "
                         << type;
  }
  bool quantised = isQuantised(keyType) || isQuantised(valueType);
  if (quantised && scales == KvScales::None) // (C2)
    return emitError() << "a cache of " << (isQuantised(keyType) ? keyType : valueType)
                       << " needs scales";
  if (!quantised && scales != KvScales::None) // (C2)
    return emitError() << "a cache of " << keyType << " has no scales, got "
                       << stringifyEnum(scales);
  if (residualType && (!quantised || residualTokens < 1 || !isHalf(residualType))) // (C2)
    return emitError() << "a residual holds at least one token of f16 or bf16 beside a quantised "
                          "cache, got "
                       << residualTokens << " x " << residualType << " beside " << keyType;
  if (valueBegin && (*valueBegin < 0 || *valueBegin + valueDim > keyDim || // (C3)
                     valueType != keyType))
    return emitError() << "value key[" << *valueBegin << ":" << *valueBegin + valueDim
                       << "] is not a part of a key of " << keyDim << " dims";
  if (scales == KvScales::PerChannel ? scaleGroup < 1 || keyDim % scaleGroup != 0 // (C4)
                                     : scaleGroup != 0)
    return emitError() << "scales " << stringifyEnum(scales) << " of " << keyDim
                       << " dims do not take a group of " << scaleGroup;
  return success();
}

//===----------------------------------------------------------------------===//
// !attn.contiguous_kv
//===----------------------------------------------------------------------===//

Type ContiguousKvType::parse(AsmParser &parser) {
  SMLoc location = parser.getCurrentLocation();
  int64_t kvHeads = 0, keyDim = 0, valueDim = 0;
  Type keyType, valueType;
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "kv_heads")
      return parseInteger(parser, kvHeads);
    if (name == "key")
      return failure(parser.parseEqual() || parseDimAndType(parser, keyDim, keyType));
    if (name == "value")
      return failure(parser.parseEqual() || parseDimAndType(parser, valueDim, valueType));
    return unknownField(parser, name, "kv_heads, key, value");
  };
  if (parseFields(parser, parseField))
    return {};
  if (!keyType || !valueType) {
    parser.emitError(location) << "a KV type needs key and value";
    return {};
  }
  return parser.getChecked<ContiguousKvType>(location, parser.getContext(), kvHeads, keyDim,
                                             keyType, valueDim, valueType);
}

void ContiguousKvType::print(AsmPrinter &printer) const {
  printer << "<kv_heads = " << getKvHeads() << ", key = " << getKeyDim() << " x " << getKeyType()
          << ", value = " << getValueDim() << " x " << getValueType() << ">";
}

LogicalResult ContiguousKvType::verify(function_ref<InFlightDiagnostic()> emitError,
                                       int64_t kvHeads, int64_t keyDim, Type keyType,
                                       int64_t valueDim, Type valueType) {
  if (failed(verifyPositive(emitError, {{"kv_heads", kvHeads}, // (C1)
                                        {"key dim", keyDim},
                                        {"value dim", valueDim}})))
    return failure();
  for (auto [name, type] : {std::pair("key", keyType), std::pair("value", valueType)})
    if (!isHalf(type) && !type.isF32()) // (C2)
      return emitError() << name << " elements must be f16, bf16 or f32, got " << type;
  return success();
}

//===----------------------------------------------------------------------===//
// !attn.partials
//===----------------------------------------------------------------------===//

Type PartialsType::parse(AsmParser &parser) {
  SMLoc location = parser.getCurrentLocation();
  int64_t heads = 0, group = 0, dim = 0;
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "heads")
      return parseInteger(parser, heads);
    if (name == "group")
      return parseInteger(parser, group);
    if (name == "dim")
      return parseInteger(parser, dim);
    return unknownField(parser, name, "heads, group, dim");
  };
  if (parseFields(parser, parseField))
    return {};
  return parser.getChecked<PartialsType>(location, parser.getContext(), heads, group, dim);
}

void PartialsType::print(AsmPrinter &printer) const {
  printer << "<heads = " << getHeads() << ", group = " << getGroup() << ", dim = " << getDim()
          << ">";
}

LogicalResult PartialsType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t heads,
                                   int64_t group, int64_t dim) {
  if (failed(verifyPositive(emitError, {{"heads", heads}, {"group", group}, {"dim", dim}}))) // (C1)
    return failure();
  if (heads % group != 0) // (C1)
    return emitError() << "heads " << heads << " must be a multiple of the group " << group;
  return success();
}

//===----------------------------------------------------------------------===//
// !attn.cos_sin
//===----------------------------------------------------------------------===//

static ParseResult parseHalfType(AsmParser &parser, Type &type) {
  return failure(parser.parseEqual() || parser.parseType(type));
}

static LogicalResult verifyHalf(function_ref<InFlightDiagnostic()> emitError, Type type) {
  if (!isHalf(type))
    return emitError() << "type must be f16 or bf16, got " << type;
  return success();
}

Type CosSinType::parse(AsmParser &parser) {
  SMLoc location = parser.getCurrentLocation();
  int64_t dim = 0;
  Type type;
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "dim")
      return parseInteger(parser, dim);
    if (name == "type")
      return parseHalfType(parser, type);
    return unknownField(parser, name, "dim, type");
  };
  if (parseFields(parser, parseField))
    return {};
  return parser.getChecked<CosSinType>(location, parser.getContext(), dim, type);
}

void CosSinType::print(AsmPrinter &printer) const {
  printer << "<dim = " << getDim() << ", type = " << getType() << ">";
}

LogicalResult CosSinType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t dim,
                                 Type type) {
  if (failed(verifyPositive(emitError, {{"dim", dim}}))) // (C1)
    return failure();
  if (dim % 2 != 0) // (C1)
    return emitError() << "dim must be even, got " << dim;
  return verifyHalf(emitError, type); // (C2)
}

//===----------------------------------------------------------------------===//
// !attn.states
//===----------------------------------------------------------------------===//

Type StatesType::parse(AsmParser &parser) {
  SMLoc location = parser.getCurrentLocation();
  int64_t parts = 0, heads = 0, dim = 0;
  Type type;
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "parts")
      return parseInteger(parser, parts);
    if (name == "heads")
      return parseInteger(parser, heads);
    if (name == "dim")
      return parseInteger(parser, dim);
    if (name == "type")
      return parseHalfType(parser, type);
    return unknownField(parser, name, "parts, heads, dim, type");
  };
  if (parseFields(parser, parseField))
    return {};
  return parser.getChecked<StatesType>(location, parser.getContext(), parts, heads, dim, type);
}

void StatesType::print(AsmPrinter &printer) const {
  printer << "<parts = " << getParts() << ", heads = " << getHeads() << ", dim = " << getDim()
          << ", type = " << getType() << ">";
}

LogicalResult StatesType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t parts,
                                 int64_t heads, int64_t dim, Type type) {
  if (failed(verifyPositive(emitError, {{"parts", parts}, {"heads", heads}, {"dim", dim}}))) // (C1)
    return failure();
  return verifyHalf(emitError, type); // (C2)
}

//===----------------------------------------------------------------------===//

KvShape attn::kvShape(Type kvType) {
  if (auto paged = dyn_cast<PagedKvType>(kvType))
    return {paged.getKvHeads(), paged.getKeyDim(), paged.getValueDim()};
  auto dense = cast<ContiguousKvType>(kvType);
  return {dense.getKvHeads(), dense.getKeyDim(), dense.getValueDim()};
}

#define GET_TYPEDEF_CLASSES
#include "dialects/attn/AttnTypes.cpp.inc"

void AttnDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/attn/AttnTypes.cpp.inc"
      >();
}
