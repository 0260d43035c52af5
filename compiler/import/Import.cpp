//===- Import.cpp - a layer class as attn IR ------------------------------===//
#include "compiler/import/Import.h"

#include "runtime/package/Interface.h"

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
  void buildAppendWithoutPrologue();
  /// Decode and prefill: the same attention.
  void buildAttention(attn::Role role);
  void buildMergeStates();
  Value normAndRotate(Value rows, Value weight, Value cache, Value positions, Value cosSin);

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
Value Importer::normAndRotate(Value rows, Value weight, Value cache, Value positions,
                              Value cosSin) {
  auto type = cast<RankedTensorType>(rows.getType());
  if (layer.qkNorm) {
    RankedTensorType result = layer.rope ? type.clone(builder.getF32Type()) : type;
    rows = attn::RmsNormOp::create(builder, loc, result, rows, weight,
                                   builder.getF64FloatAttr(layer.qkNorm->epsilon));
  }
  if (layer.rope)
    rows = attn::RopeOp::create(builder, loc, type, rows, cache, positions, cosSin,
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
  auto add = [&](StringRef name, Type type) {
    types.push_back(type);
    names.push_back(name);
    return static_cast<unsigned>(types.size() - 1);
  };
  unsigned cosSinNumber = 0, normNumber = 0;
  if (layer.rope)
    cosSinNumber =
        add("cos_sin", attn::CosSinType::get(builder.getContext(), layer.rope->dim, element));
  if (layer.qkNorm) {
    normNumber = add("query_norm", RankedTensorType::get({layer.headDim}, element));
    add("key_norm", types.back());
  }
  auto phase = attn::PhaseAttr::get(builder.getContext(), attn::Role::Append, 0);
  func::FuncOp function = open("append", phase, types, names);
  auto argument = [&](unsigned i) { return Value(function.getArgument(i)); };
  Value cache = argument(3), positions = argument(5);
  Value cosSin = layer.rope ? argument(cosSinNumber) : Value();
  auto transformed = [&](unsigned number) {
    Value weight = layer.qkNorm ? argument(normNumber + number) : Value();
    return normAndRotate(argument(number), weight, cache, positions, cosSin);
  };
  Value query = transformed(0), key = transformed(1);
  attn::AppendKvOp::create(builder, loc, key, argument(2), cache, argument(4));
  close(function, query);
}

void Importer::buildAppendWithoutPrologue() {
  auto phase = attn::PhaseAttr::get(builder.getContext(), attn::Role::Append, 0);
  func::FuncOp function =
      open("append_without_prologue", phase,
           {rowsOf(layer.queryHeads, layer.headDim, element),
            rowsOf(layer.kvHeads, layer.headDim, element),
            rowsOf(layer.kvHeads, layer.valueDim, element), cacheType,
            RankedTensorType::get({ShapedType::kDynamic}, builder.getI64Type())},
           {"query", "key", "value", "cache", "slots"});
  attn::AppendKvOp::create(builder, loc, function.getArgument(1), function.getArgument(2),
                           function.getArgument(3), function.getArgument(4));
  close(function, function.getArgument(0));
}

void Importer::buildMergeStates() {
  auto phase = attn::PhaseAttr::get(builder.getContext(), attn::Role::MergeStates, 0);
  auto states = attn::StatesType::get(builder.getContext(), package::kMaxStates, layer.queryHeads,
                                      layer.valueDim, element);
  func::FuncOp function = open("merge_states", phase, {states}, {"states"});
  auto merged = attn::MergeStatesOp::create(
      builder, loc, rowsOf(layer.queryHeads, layer.valueDim, element),
      RankedTensorType::get({ShapedType::kDynamic, layer.queryHeads}, builder.getF32Type()),
      function.getArgument(0));
  close(function, merged.getResults());
}

void Importer::buildAttention(attn::Role role) {
  SmallVector<Type> types = {rowsOf(layer.queryHeads, layer.headDim, element), cacheType};
  SmallVector<StringRef> names = {"query", "cache"};
  if (layer.sinks) {
    types.push_back(RankedTensorType::get({layer.queryHeads}, builder.getF32Type()));
    names.push_back("sinks");
  }
  auto phase = attn::PhaseAttr::get(builder.getContext(), role, options.maxQuery);
  func::FuncOp function = open(attn::stringifyEnum(role), phase, types, names);
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
  const bool hasPrologue = layer.rope || layer.qkNorm;
  if (hasPrologue && options.fusedPrologue)
    buildAppend();
  if (!hasPrologue || options.noPrologue)
    buildAppendWithoutPrologue();
  buildAttention(attn::Role::Decode);
  buildAttention(attn::Role::Prefill);
  buildMergeStates();
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
