//===- Harness.cpp - kernels on seeded inputs, before and after a pass --------===//
//
// Test: test/dialects/tile/interpreter/InterpreterTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Harness.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

using namespace mlir;

namespace attncc::tile::interpreter {
namespace {

constexpr double kUnset = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kPositions = 1000;

/// What the ops of a kernel say about its arguments.
struct Uses {
  ItemsAttr items;
  int64_t rank3Columns = 0;           // of the merged or stored result
  llvm::DenseSet<Value> outputs;      // written tensors
  llvm::DenseSet<Value> queryTensors; // of query heads; others have kv heads
  llvm::DenseSet<Value> slots;
  llvm::DenseSet<Value> optional;

  explicit Uses(KernelOp kernel) {
    kernel.walk([&](Operation *op) {
      llvm::TypeSwitch<Operation *>(op)
          .Case<WorkLoopOp, GridItemOp, DrawItemOp>([&](auto source) { items = source.getItems(); })
          .Case([&](LoadRowsOp load) {
            if (load.getKind() == RowKind::Query)
              queryTensors.insert(load.getSource());
            if (load.getOptional())
              optional.insert(load.getSource());
          })
          .Case([&](CopyRowsOp copy) {
            if (copy.getKind() == RowKind::Query)
              queryTensors.insert(copy.getSource());
          })
          .Case([&](StoreRowsOp store) {
            outputs.insert(store.getTarget());
            if (store.getOptional())
              optional.insert(store.getTarget());
            if (store.getKind() == RowKind::Query)
              queryTensors.insert(store.getTarget());
          })
          .Case<StoreAttentionOp, StoreMergedOp>([&](auto store) {
            for (Value tensor : {Value(store.getOutput()), Value(store.getLogSumExp())}) {
              outputs.insert(tensor);
              queryTensors.insert(tensor);
            }
            rank3Columns = store.getValue().getType().getColumns();
          })
          .Case([&](StoreKvOp store) {
            if (store.getSlots())
              slots.insert(store.getSlots());
          });
    });
  }
  int64_t group() const { return items ? items.getGroup() : 1; }
};

/// Sequences that meet the edges of a kernel's tiles and splits.
std::vector<Sequence> defaultSequences(KernelOp kernel) {
  attn::PhaseAttr phase = kernel.getPhase();
  attn::ScheduleAttr schedule = kernel.getSchedule();
  int64_t most = phase.getRole() == attn::Role::Decode ? phase.getMaxQuery() : 8;
  int64_t keys = schedule.getKeys();
  if (phase.getRole() == attn::Role::Prefill) {
    int64_t rows = schedule.getUnits() * schedule.getRows();
    return {{1, 0},
            {0, 5},
            {1, 1},
            {1, keys + 1},
            {rows + 1, 3},
            {rows / 2 + 1, rows / 2 + 1},
            {rows, 4 * keys},
            {2 * rows + 5, 2 * rows + 5},
            {11, 3 * keys - 1},
            {phase.getMaxQuery(), 20}};
  }
  std::vector<Sequence> sequences = {{1, 0},
                                     {0, 5},
                                     {1, 1},
                                     {1, keys},
                                     {1, keys + 1},
                                     {most, 3},
                                     {most, 3 * keys - 1},
                                     {(most + 1) / 2, 2 * keys * schedule.getUnits() + 5}};
  if (phase.getRole() == attn::Role::Append) // every token of an append has a place
    for (Sequence &sequence : sequences)
      sequence.kvLength = std::max(sequence.kvLength, sequence.queryLength);
  else if (schedule.getSplit()) {
    int64_t length = schedule.getSplit().toRule().splitLength(1);
    int64_t longer = schedule.getSplit().toRule().steps.front().maxLength;
    for (int64_t kvLength : {length + 1, 2 * length + keys / 2})
      if (kvLength <= std::min<int64_t>(longer, 4096))
        sequences.push_back({most, kvLength});
  }
  return sequences;
}

class Builder {
public:
  Builder(KernelOp kernel, uint64_t seed, const Shapes &shapes)
      : kernel(kernel), shapes(shapes), uses(kernel), random(seed) {
    batch = std::make_shared<Batch>();
    batch->kvHeads = shapes.kvHeads;
    batch->splitTokens = shapes.splitTokens;
    for (const Sequence &sequence :
         shapes.sequences.empty() ? defaultSequences(kernel) : shapes.sequences) {
      batch->queryStart.push_back(batch->queryStart.back() + sequence.queryLength);
      batch->kvLength.push_back(sequence.kvLength);
    }
    tokens = batch->queryStart.back();
  }

  std::vector<Argument> build() {
    std::vector<Argument> arguments;
    for (BlockArgument argument : kernel.getArguments())
      arguments.push_back(make(argument));
    return arguments;
  }

private:
  double normal(Type element) {
    // Box and Muller, with the open interval (0, 1): the same on every library.
    auto uniform = [&] { return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53; };
    double value = std::sqrt(-2 * std::log(uniform())) * std::cos(2 * M_PI * uniform());
    auto type = llvm::dyn_cast<FloatType>(element);
    return type ? roundTo(type, value) : value;
  }

  Argument make(BlockArgument argument) {
    Type type = argument.getType();
    if (llvm::isa<BatchType>(type))
      return batch;
    if (llvm::isa<WorkspaceType>(type))
      return makeWorkspace();
    if (auto cache = llvm::dyn_cast<attn::PagedKvType>(type))
      return makeCache(cache);
    if (auto table = llvm::dyn_cast<attn::CosSinType>(type))
      return makeCosSin(table);
    if (auto states = llvm::dyn_cast<attn::StatesType>(type))
      return makeStates(states);
    auto tensor = llvm::dyn_cast<RankedTensorType>(type);
    if (!tensor) // the scale: 1/√dim · log2 e
      return 1.4426950408889634 / std::sqrt(static_cast<double>(headDim()));
    if (tensor.getElementType().isInteger(64))
      return makePerToken(argument);
    return makeTensor(argument, tensor);
  }

  int64_t headDim() {
    for (Type type : kernel.getArgumentTypes())
      if (auto cache = llvm::dyn_cast<attn::PagedKvType>(type))
        return cache.getKeyDim();
    return 64;
  }

  std::shared_ptr<Tensor> makeTensor(Value argument, RankedTensorType type) {
    bool ragged = type.getRank() > 1;
    if (type.getRank() == 2 ? !shapes.lse : !shapes.optional && uses.optional.contains(argument))
      return nullptr;
    int64_t heads =
        !ragged ? 1 : shapes.kvHeads * (uses.queryTensors.contains(argument) ? uses.group() : 1);
    auto tensor = std::make_shared<Tensor>(
        ragged ? tokens : 1, heads, type.getRank() == 2 ? 1 : type.getShape().back(), kUnset);
    if (!uses.outputs.contains(argument))
      for (double &value : tensor->values)
        value = normal(type.getElementType());
    return tensor;
  }

  /// Pages in random order; slots of no token hold NaN, unused table entries no page.
  std::shared_ptr<PagedCache> makeCache(attn::PagedKvType type) {
    int64_t pages = 1; // one that no sequence has
    for (int64_t length : batch->kvLength)
      pages += llvm::divideCeil(length, type.getPageSize());
    std::vector<int64_t> order(pages);
    std::iota(order.begin(), order.end(), 0);
    for (int64_t i = pages - 1; i > 0; --i)
      std::swap(order[i], order[random() % (i + 1)]);
    auto cache = std::make_shared<PagedCache>(pages, type.getPageSize(), shapes.kvHeads,
                                              type.getKeyDim(), type.getValueDim(), kUnset);
    bool filled = kernel.getPhase().getRole() != attn::Role::Append;
    batch->blockTable.clear();
    for (int64_t s = 0, next = 0; s < batch->sequences(); ++s) {
      std::vector<int64_t> table;
      for (int64_t token = 0; token < batch->kvLength[s]; ++token) {
        if (token % type.getPageSize() == 0)
          table.push_back(order[next++]);
        for (int64_t head = 0; filled && head < shapes.kvHeads; ++head) {
          for (int64_t c = 0; c < type.getKeyDim(); ++c)
            cache->key(table.back(), token % type.getPageSize(), head)[c] =
                normal(type.getKeyType());
          for (int64_t c = 0; c < type.getValueDim(); ++c)
            cache->value(table.back(), token % type.getPageSize(), head)[c] =
                normal(type.getValueType());
        }
      }
      table.insert(table.end(), {-7, pages + 1000});
      batch->blockTable.push_back(table);
    }
    return cache;
  }

  std::shared_ptr<PerToken> makePerToken(Value argument) {
    bool slots = uses.slots.contains(argument);
    if (slots ? !shapes.slots : !shapes.positions)
      return nullptr;
    auto result = std::make_shared<PerToken>();
    // Each token has a slot of its own, every fifth none; positions are anything.
    for (int64_t token = 0; token < tokens; ++token)
      result->values.push_back(slots ? (token % 5 == 4 ? -1 : tokens - 1 - token)
                                     : static_cast<int64_t>(random() % kPositions));
    return result;
  }

  /// As many positions as makePerToken draws from; no two rows alike.
  std::shared_ptr<CosSin> makeCosSin(attn::CosSinType type) {
    if (!shapes.cosSin)
      return nullptr;
    auto table = std::make_shared<CosSin>();
    table->positions = kPositions;
    table->dim = type.getDim();
    for (int64_t i = 0; i < table->positions * table->dim; ++i)
      table->values.push_back(normal(type.getType()));
    return table;
  }

  /// Four parts in base 2, of which some rows are empty and hold NaN, the last row's all.
  std::shared_ptr<States> makeStates(attn::StatesType type) {
    auto states = std::make_shared<States>();
    states->batch = std::make_shared<Batch>();
    states->batch->kvHeads = shapes.kvHeads;
    states->batch->queryStart = {0, tokens};
    states->batch->kvLength = {tokens};
    states->lseScale = M_LN2;
    for (int64_t part = 0; part < 4; ++part) {
      Tensor output(tokens, shapes.kvHeads, type.getDim(), kUnset);
      Tensor lse(tokens, shapes.kvHeads, 1, -std::numeric_limits<double>::infinity());
      for (int64_t row = 0; row + 1 < tokens * shapes.kvHeads; ++row) {
        if (random() % 3 == 0)
          continue;
        lse.values[row] = normal(Float32Type::get(kernel.getContext()));
        for (int64_t c = 0; c < type.getDim(); ++c)
          output.values[row * type.getDim() + c] = normal(type.getType());
      }
      states->outputs.push_back(std::move(output));
      states->lses.push_back(std::move(lse));
    }
    return states;
  }

  /// Partials of every split, as a decode kernel would have left them, for kernels that merge.
  std::shared_ptr<Workspace> makeWorkspace() {
    auto workspace = std::make_shared<Workspace>();
    if (kernel.getPhase().getRole() != attn::Role::Merge)
      return workspace;
    Type f32 = Float32Type::get(kernel.getContext());
    for (int64_t s = 0; s < batch->sequences(); ++s) {
      int64_t splits = numSplits(kernel.getSchedule(), *batch, batch->kvLength[s]);
      for (int64_t split = 0; splits > 1 && split < splits; ++split)
        for (int64_t token = 0; token < batch->queryLength(s); ++token)
          for (int64_t head = 0; head < shapes.kvHeads * uses.group(); ++head) {
            Workspace::Partial partial;
            bool empty = random() % 7 == 0;
            for (int64_t c = 0; c < uses.rank3Columns; ++c)
              partial.row.push_back(empty ? 0 : normal(f32));
            partial.lse = empty ? -std::numeric_limits<double>::infinity() : normal(f32);
            workspace->partials[{s, split, token, head}] = partial;
          }
    }
    return workspace;
  }

  KernelOp kernel;
  const Shapes &shapes;
  Uses uses;
  std::mt19937_64 random;
  std::shared_ptr<Batch> batch;
  int64_t tokens = 0;
};

} // namespace

std::vector<Argument> makeArguments(KernelOp kernel, uint64_t seed, const Shapes &shapes) {
  return Builder(kernel, seed, shapes).build();
}

FailureOr<std::vector<Output>> interpretKernel(KernelOp kernel, uint64_t seed, const Shapes &shapes,
                                               const Options &options) {
  std::vector<Argument> arguments = makeArguments(kernel, seed, shapes);
  if (failed(interpret(kernel, arguments, options)))
    return failure();
  Uses uses(kernel);
  std::vector<Output> outputs;
  for (auto [number, argument] : llvm::enumerate(arguments)) {
    Output output{static_cast<int64_t>(number), {}};
    if (auto *tensor = std::get_if<std::shared_ptr<Tensor>>(&argument)) {
      if (!*tensor || !uses.outputs.contains(kernel.getArgument(number)))
        continue;
      output.values = (*tensor)->values;
    } else if (auto *cache = std::get_if<std::shared_ptr<PagedCache>>(&argument)) {
      if (kernel.getPhase().getRole() != attn::Role::Append)
        continue;
      output.values = (*cache)->keys;
      llvm::append_range(output.values, (*cache)->values);
    } else if (auto *workspace = std::get_if<std::shared_ptr<Workspace>>(&argument)) {
      for (const auto &[place, partial] : (*workspace)->partials) {
        llvm::append_range(output.values, partial.row);
        output.values.push_back(partial.lse);
      }
    } else {
      continue;
    }
    outputs.push_back(std::move(output));
  }
  return outputs;
}

std::string compareOutputs(const std::vector<Output> &expected, const std::vector<Output> &actual,
                           double relative) {
  std::string message;
  llvm::raw_string_ostream os(message);
  if (expected.size() != actual.size()) {
    os << "expected " << expected.size() << " outputs, got " << actual.size();
    return message;
  }
  for (auto [a, b] : llvm::zip_equal(expected, actual)) {
    if (a.argument != b.argument || a.values.size() != b.values.size()) {
      os << "argument " << a.argument << ": expected " << a.values.size()
         << " values, got argument " << b.argument << " with " << b.values.size();
      return message;
    }
    for (auto [number, x, y] : llvm::enumerate(a.values, b.values)) {
      bool same = std::isfinite(x) && std::isfinite(y)
                      ? std::abs(x - y) <= relative * std::max(1.0, std::abs(x))
                      : (x == y || (std::isnan(x) && std::isnan(y)));
      if (same)
        continue;
      os << "argument " << a.argument << ", value " << number << ": expected " << x << ", got "
         << y;
      return message;
    }
  }
  return message;
}

std::string pipelineKeepsResults(MLIRContext &context, StringRef text, StringRef pipeline,
                                 uint64_t seed, const Shapes &shapes, const Options &options,
                                 double relative) {
  std::string errors;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
      errors += diagnostic.str() + "\n";
    return success();
  });
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  if (!module)
    return "does not parse: " + errors;

  auto runAll = [&](const Options &with,
                    llvm::SmallVectorImpl<std::pair<std::string, std::vector<Output>>> &results) {
    for (auto kernel : module->getOps<KernelOp>()) {
      auto outputs = interpretKernel(kernel, seed, shapes, with);
      if (failed(outputs))
        return failure();
      results.emplace_back(kernel.getSymName().str(), std::move(*outputs));
    }
    return success();
  };
  llvm::SmallVector<std::pair<std::string, std::vector<Output>>> before, after;
  Options first = options;
  first.requireLayouts = false;
  if (failed(runAll(first, before)))
    return "fails before the pipeline: " + errors;
  if (before.empty())
    return "has no tile.kernel";

  PassManager manager(&context);
  std::string pipelineErrors;
  llvm::raw_string_ostream pipelineStream(pipelineErrors);
  FailureOr<OpPassManager> parsed = parsePassPipeline(pipeline, pipelineStream);
  if (failed(parsed))
    return "pipeline does not parse: " + pipelineErrors;
  static_cast<OpPassManager &>(manager) = std::move(*parsed);
  if (failed(manager.run(*module)))
    return "pipeline fails: " + errors;
  if (failed(runAll(options, after)))
    return "fails after the pipeline: " + errors;

  if (before.size() != after.size())
    return "has " + std::to_string(after.size()) + " kernels after the pipeline, had " +
           std::to_string(before.size());
  for (auto [a, b] : llvm::zip_equal(before, after)) {
    std::string difference = compareOutputs(a.second, b.second, relative);
    if (!difference.empty())
      return "@" + b.first + " (seed " + std::to_string(seed) + "): " + difference;
  }
  return "";
}

} // namespace attncc::tile::interpreter
