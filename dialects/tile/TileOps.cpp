//===- TileOps.cpp - programs, work items and key ranges ----------------------===//
//
// Syntax and constraints of the ops that frame a tile program. Tests:
// test/dialects/tile/program.mlir, test/dialects/tile/program-errors.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/Tile.h"
#include "dialects/tile/Verify.h"
#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/FunctionImplementation.h"

using namespace mlir;

namespace attncc::tile {

/// A batch without its type; states with theirs.
static ParseResult parseSource(OpAsmParser &parser, OpAsmParser::UnresolvedOperand &source,
                               Type &type) {
  type = parser.getBuilder().getType<BatchType>();
  if (parser.parseOperand(source))
    return failure();
  return succeeded(parser.parseOptionalColon()) ? parser.parseType(type) : success();
}

static void printSource(OpAsmPrinter &printer, Operation *, Value source, Type type) {
  printer << source;
  if (!llvm::isa<BatchType>(type))
    printer << " : " << type;
}

} // namespace attncc::tile

#define GET_OP_CLASSES
#include "dialects/tile/TileOps.cpp.inc"

namespace attncc::tile {

void TileDialect::registerOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/tile/TileOps.cpp.inc"
      >();
}

KernelOp kernelOf(Operation *op) {
  if (auto kernel = llvm::dyn_cast<KernelOp>(op))
    return kernel;
  return op->getParentOfType<KernelOp>();
}

//===----------------------------------------------------------------------===//
// tile.kernel
//===----------------------------------------------------------------------===//

void KernelOp::build(OpBuilder &builder, OperationState &state, StringRef name, FunctionType type,
                     attn::ScheduleAttr schedule, attn::PhaseAttr phase) {
  buildWithEntryBlock(builder, state, name, type,
                      {builder.getNamedAttr(getScheduleAttrName(state.name), schedule),
                       builder.getNamedAttr(getPhaseAttrName(state.name), phase)},
                      type.getInputs());
}

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &result) {
  auto buildType = [](Builder &builder, ArrayRef<Type> arguments, ArrayRef<Type> results,
                      function_interface_impl::VariadicFlag,
                      std::string &) { return builder.getFunctionType(arguments, results); };
  return function_interface_impl::parseFunctionOp(
      parser, result, /*allowVariadic=*/false, getFunctionTypeAttrName(result.name), buildType,
      getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name));
}

void KernelOp::print(OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(printer, *this, /*isVariadic=*/false,
                                           getFunctionTypeAttrName(), getArgAttrsAttrName(),
                                           getResAttrsAttrName());
}

Value KernelOp::getSource() {
  for (BlockArgument argument : getArguments())
    if (llvm::isa<BatchType, attn::StatesType>(argument.getType()))
      return argument;
  return {};
}

static bool isKernelArgument(Type type) {
  if (llvm::isa<BatchType, WorkspaceType, attn::PagedKvType, attn::CosSinType, attn::StatesType>(
          type) ||
      type.isF32())
    return true;
  auto tensor = llvm::dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return false;
  Type element = tensor.getElementType();
  switch (tensor.getRank()) {
  case 1: // weights, or one value per token
    return element.isInteger(64) ? tensor.isDynamicDim(0)
                                 : element.isFloat() && !tensor.isDynamicDim(0);
  case 2: // log-sum-exps
    return element.isF32() && tensor.isDynamicDim(0) && tensor.isDynamicDim(1);
  case 3: // (C3)
    return element.isFloat() && tensor.isDynamicDim(0) && tensor.isDynamicDim(1) &&
           !tensor.isDynamicDim(2);
  default:
    return false;
  }
}

LogicalResult KernelOp::verify() {
  if (!getFunctionType().getResults().empty()) // (C1)
    return emitOpError() << "has no results, got " << getFunctionType().getNumResults();
  int64_t sources = 0, workspaces = 0;
  for (auto [number, type] : llvm::enumerate(getFunctionType().getInputs())) {
    if (!isKernelArgument(type)) // (C2), (C3)
      return emitOpError() << "argument " << number << " cannot be a launch parameter: " << type;
    sources += llvm::isa<BatchType, attn::StatesType>(type);
    workspaces += llvm::isa<WorkspaceType>(type);
  }
  if (sources > 1 || workspaces > 1) // (C4)
    return emitOpError() << "takes at most one batch or states and one workspace, got " << sources
                         << " and " << workspaces;
  return success();
}

//===----------------------------------------------------------------------===//
// tile.work_loop, tile.grid_item
//===----------------------------------------------------------------------===//

void WorkLoopOp::build(OpBuilder &builder, OperationState &state, Value source, ItemsAttr items) {
  state.addOperands(source);
  state.getOrAddProperties<Properties>().items = items;
  OpBuilder::InsertionGuard guard(builder);
  Region *region = state.addRegion();
  builder.createBlock(region, {}, {builder.getType<ItemType>(), builder.getIndexType()},
                      {state.location, state.location});
  ensureTerminator(*region, builder, state.location);
}

ParseResult WorkLoopOp::parse(OpAsmParser &parser, OperationState &result) {
  Builder &builder = parser.getBuilder();
  OpAsmParser::Argument item, unit;
  OpAsmParser::UnresolvedOperand source;
  Type sourceType;
  ItemsAttr items;
  Region *body = result.addRegion();
  if (parser.parseLParen() || parser.parseArgument(item) || parser.parseComma() ||
      parser.parseArgument(unit) || parser.parseRParen() || parser.parseKeyword("in") ||
      parseSource(parser, source, sourceType) ||
      parser.resolveOperand(source, sourceType, result.operands) || parser.parseKeyword("items") ||
      parser.parseLParen() ||
      parser.parseCustomAttributeWithFallback(items, Type(), "items", result.attributes) ||
      parser.parseRParen() || parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  item.type = builder.getType<ItemType>();
  unit.type = builder.getIndexType();
  if (parser.parseRegion(*body, {item, unit}))
    return failure();
  ensureTerminator(*body, builder, result.location);
  return success();
}

void WorkLoopOp::print(OpAsmPrinter &printer) {
  printer << "(" << getItem() << ", " << getUnit() << ") in ";
  printSource(printer, *this, getSource(), getSource().getType());
  printer << " items(";
  printer.printStrippedAttrOrType(getItems());
  printer << ")";
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(), {"items"});
  printer << " ";
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false, /*printBlockTerminators=*/false);
}

void WorkLoopOp::getSuccessorRegions(RegionBranchPoint, SmallVectorImpl<RegionSuccessor> &regions) {
  // Any number of items, from the parent as from the body's end.
  regions.push_back(RegionSuccessor(&getBody()));
  regions.push_back(RegionSuccessor(getOperation(), getOperation()->getResults()));
}

static LogicalResult verifyItems(Operation *op, Value source, ItemsAttr items) {
  KernelOp kernel = kernelOf(op);
  if (!kernel)
    return op->emitOpError() << "must be inside a tile.kernel";
  bool ofStates = llvm::isa<attn::StatesType>(source.getType());
  if (source != kernel.getSource())
    return op->emitOpError() << "must take the kernel's " << (ofStates ? "states" : "batch")
                             << " argument";
  if (ofStates != (items.getKind() == ItemKind::MergeStates))
    return op->emitOpError() << "draws items of " << stringifyItemKind(items.getKind()) << " from "
                             << source.getType();
  if (items.getKind() == ItemKind::Decode && kernel.getSchedule().getDivide() != attn::Divide::Keys)
    return op->emitOpError() << "decode items need a schedule with divide = keys";
  if (items.getKind() == ItemKind::Prefill &&
      kernel.getSchedule().getDivide() != attn::Divide::Rows)
    return op->emitOpError() << "prefill items need a schedule with divide = rows";
  return success();
}

LogicalResult WorkLoopOp::verify() {
  Block *body = &getBody().front();
  if (body->getNumArguments() != 2 || !llvm::isa<ItemType>(body->getArgument(0).getType()) ||
      !body->getArgument(1).getType().isIndex()) // (C1)
    return emitOpError() << "body must take an item and an index";
  return verifyItems(*this, getSource(), getItems()); // (C2), (C3)
}

LogicalResult GridItemOp::verify() { return verifyItems(*this, getSource(), getItems()); }

LogicalResult DrawItemOp::verify() {
  if (getItems().getKind() != ItemKind::Prefill) // (C2)
    return emitOpError() << "draws items of prefill, got "
                         << stringifyItemKind(getItems().getKind());
  return verifyItems(*this, getSource(), getItems()); // (C1)
}

LogicalResult RolesOp::verify() {
  if (getLoads().empty() || getLoads().size() > 4) // (C1)
    return emitOpError() << "has 1 to 4 load regions, got " << getLoads().size();
  return success();
}

LogicalResult RangeSkippedOp::verify() {
  if (static_cast<int64_t>(getLimit()) < 1) // (C1)
    return emitOpError() << "limit must be positive, got " << static_cast<int64_t>(getLimit());
  return success();
}

LogicalResult ItemSplitsOp::verify() {
  return verifyItem(*this, getItem(), ItemKind::Decode); // (C1)
}

LogicalResult SplitTilesOp::verify() {
  if (failed(verifyTileKeys(*this, getKeys()))) // (C1)
    return failure();
  return verifyItem(*this, getItem(), ItemKind::Decode); // (C2)
}

LogicalResult KeyRangeOp::verify() {
  return verifyTileKeys(*this, getKeys()); // (C1)
}

} // namespace attncc::tile
