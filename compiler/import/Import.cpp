//===- Import.cpp - a layer class as attn IR ------------------------------===//
#include "compiler/import/Import.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Verifier.h"

using namespace mlir;
using namespace attncc;

namespace {

class Importer {
public:
  Importer(MLIRContext &context, const spec::ModelSpec &spec, const spec::LayerClass &layerClass,
           const ImportOptions &options);
  OwningOpRef<ModuleOp> run();

private:
  void buildAppend();
  void buildDecode();
  Value normAndRotate(Value rows, Value weight, Value cache, Value positions);

  /// Opens @name; `arguments` are read by position in the body.
  func::FuncOp open(StringRef name, attn::PhaseAttr phase, ArrayRef<Type> arguments,
                    ArrayRef<StringRef> names);
  /// Ends the open function with a return.
  void close(func::FuncOp function, ValueRange results);

  RankedTensorType rowsOf(int64_t heads, int64_t dim, Type type) {
    return RankedTensorType::get({ShapedType::kDynamic, heads, dim}, type);
  }

  const spec::ModelSpec &spec;
  const spec::LayerClass &layer;
  const ImportOptions &options;
  OpBuilder builder;
  mlir::Location loc;
  Type element;
  attn::PagedKvType cacheType;
  OwningOpRef<ModuleOp> module;
};

Type typeOf(spec::DType type, Builder &builder) {
  switch (type) {
  case spec::DType::F16:
    return builder.getF16Type();
  case spec::DType::BF16:
    return builder.getBF16Type();
  case spec::DType::F32:
    return builder.getF32Type();
  }
  llvm_unreachable("all types are listed");
}

attn::RopeScaling scalingOf(spec::RopeKind kind) {
  switch (kind) {
  case spec::RopeKind::Plain:
    return attn::RopeScaling::None;
  case spec::RopeKind::Linear:
    return attn::RopeScaling::Linear;
  case spec::RopeKind::Dynamic:
    return attn::RopeScaling::Dynamic;
  case spec::RopeKind::Llama3:
    return attn::RopeScaling::Llama3;
  case spec::RopeKind::Yarn:
    return attn::RopeScaling::Yarn;
  case spec::RopeKind::Longrope:
    return attn::RopeScaling::Longrope;
  }
  llvm_unreachable("all kinds are listed");
}

attn::Rope ropeOf(const spec::Rope &rope) {
  attn::Rope value;
  value.pairing =
      rope.pairing == spec::Pairing::Half ? attn::Pairing::Half : attn::Pairing::Interleaved;
  value.dim = rope.dim;
  value.theta = rope.theta;
  value.scaling = scalingOf(rope.kind);
  value.attentionFactor = rope.attentionFactor;
  value.inverseFrequencies = rope.inverseFrequencies;
  return value;
}

Importer::Importer(MLIRContext &context, const spec::ModelSpec &spec,
                   const spec::LayerClass &layerClass, const ImportOptions &options)
    : spec(spec), layer(layerClass), options(options), builder(&context),
      loc(NameLoc::get(builder.getStringAttr(spec.sourceName + ", layers " +
                                             spec::layerRangeText(layerClass.layers)))),
      element(typeOf(spec.dtype, builder)) {}

func::FuncOp Importer::open(StringRef name, attn::PhaseAttr phase, ArrayRef<Type> arguments,
                            ArrayRef<StringRef> names) {
  builder.setInsertionPointToEnd(module->getBody());
  auto function = func::FuncOp::create(builder, loc, name, builder.getFunctionType(arguments, {}));
  function->setAttr(attn::kPhaseAttrName, phase);
  Block *body = function.addEntryBlock();
  for (auto [argument, argumentName] : llvm::zip_equal(body->getArguments(), names))
    argument.setLoc(NameLoc::get(builder.getStringAttr(argumentName), loc));
  builder.setInsertionPointToStart(body);
  return function;
}

void Importer::close(func::FuncOp function, ValueRange results) {
  func::ReturnOp::create(builder, loc, results);
  function.setType(builder.getFunctionType(function.getArgumentTypes(), results.getTypes()));
}

/// f32 between norm and rotation; rounded to the cache's type once, behind the last of them.
Value Importer::normAndRotate(Value rows, Value weight, Value cache, Value positions) {
  auto type = cast<RankedTensorType>(rows.getType());
  if (layer.qkNorm) {
    RankedTensorType result = layer.rope ? type.clone(builder.getF32Type()) : type;
    rows = attn::RmsNormOp::create(builder, loc, result, rows, weight,
                                   builder.getF64FloatAttr(layer.qkNorm->epsilon));
  }
  if (layer.rope)
    rows = attn::RopeOp::create(builder, loc, type, rows, cache, positions,
                                attn::RopeAttr::get(builder.getContext(), ropeOf(*layer.rope)));
  return rows;
}

void Importer::buildAppend() {
  Type perToken = RankedTensorType::get({ShapedType::kDynamic}, builder.getI64Type());
  SmallVector<Type> types = {rowsOf(layer.queryHeads, layer.headDim, element),
                             rowsOf(layer.kvHeads, layer.headDim, element),
                             rowsOf(layer.kvHeads, layer.valueDim, element),
                             cacheType,
                             perToken,
                             perToken};
  SmallVector<StringRef> names = {"query", "key", "value", "cache", "slots", "positions"};
  if (layer.qkNorm) {
    types.append(2, RankedTensorType::get({layer.headDim}, element));
    names.append({"query_norm", "key_norm"});
  }
  auto phase = attn::PhaseAttr::get(builder.getContext(), attn::Role::Append, 0);
  func::FuncOp function = open("append", phase, types, names);
  auto argument = [&](unsigned i) { return function.getArgument(i); };
  Value cache = argument(3), positions = argument(5);
  Value query = normAndRotate(argument(0), layer.qkNorm ? argument(6) : Value(), cache, positions);
  Value key = normAndRotate(argument(1), layer.qkNorm ? argument(7) : Value(), cache, positions);
  attn::AppendKvOp::create(builder, loc, key, argument(2), cache, argument(4));
  close(function, query);
}

void Importer::buildDecode() {
  SmallVector<Type> types = {rowsOf(layer.queryHeads, layer.headDim, element), cacheType};
  SmallVector<StringRef> names = {"query", "cache"};
  if (layer.sinks) {
    types.push_back(RankedTensorType::get({layer.queryHeads}, builder.getF32Type()));
    names.push_back("sinks");
  }
  auto phase = attn::PhaseAttr::get(builder.getContext(), attn::Role::Decode, options.maxQuery);
  func::FuncOp function = open("decode", phase, types, names);
  Value query = function.getArgument(0);
  auto read = attn::ReadKvOp::create(builder, loc, rowsOf(layer.kvHeads, layer.headDim, element),
                                     rowsOf(layer.kvHeads, layer.valueDim, element),
                                     function.getArgument(1));
  auto scoresType = RankedTensorType::get(
      {layer.queryHeads, ShapedType::kDynamic, ShapedType::kDynamic}, builder.getF32Type());
  Value scores = attn::ScoresOp::create(builder, loc, scoresType, query, read.getKey(),
                                        builder.getF64FloatAttr(layer.scale));
  if (layer.softcap)
    scores = attn::SoftcapOp::create(builder, loc, scoresType, scores,
                                     builder.getF64FloatAttr(*layer.softcap));
  attn::Mask mask;
  mask.causal = layer.causal;
  if (layer.windowEffective)
    mask.window = layer.window;
  if (!mask.isNone())
    scores = attn::MaskOp::create(builder, loc, scoresType, scores,
                                  attn::MaskAttr::get(builder.getContext(), mask));
  auto softmax = attn::SoftmaxOp::create(
      builder, loc, scoresType,
      RankedTensorType::get({ShapedType::kDynamic, layer.queryHeads}, builder.getF32Type()), scores,
      layer.sinks ? Value(function.getArgument(2)) : Value());
  Value output =
      attn::WeightedSumOp::create(builder, loc, rowsOf(layer.queryHeads, layer.valueDim, element),
                                  softmax.getProbabilities(), read.getValue());
  close(function, {output, softmax.getLogSumExp()});
}

OwningOpRef<ModuleOp> Importer::run() {
  if (layer.mla) {
    emitError(loc) << "latent attention has no attn form yet";
    return nullptr;
  }
  if (layer.qkNorm && layer.qkNorm->onePlusWeight) {
    emitError(loc) << "a norm that multiplies by 1 + weight has no attn form yet";
    return nullptr;
  }
  auto emitAtLayer = [&] { return emitError(loc); };
  cacheType = attn::PagedKvType::getChecked(emitAtLayer, builder.getContext(), options.pageSize,
                                            layer.kvHeads, layer.headDim, element, layer.valueDim,
                                            element, options.order);
  if (!cacheType)
    return nullptr;
  module = ModuleOp::create(loc);
  buildAppend();
  buildDecode();
  if (failed(verify(*module)))
    return nullptr;
  return std::move(module);
}

} // namespace

OwningOpRef<ModuleOp> attncc::importLayerClass(MLIRContext &context, const spec::ModelSpec &spec,
                                               const spec::LayerClass &layerClass,
                                               const ImportOptions &options) {
  return Importer(context, spec, layerClass, options).run();
}
