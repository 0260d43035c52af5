//===- Harness.h - kernels on seeded inputs, before and after a pass ----------===//
//
// Internal. Builds random ragged inputs from a kernel's own argument types, runs
// the kernel, and compares what two programs computed from the same inputs. In a
// gtest:
//
//   EXPECT_EQ(pipelineKeepsResults(context, text, "builtin.module(tile-pipeline)"), "");
//
// In a lit test, --tile-interpret prints the results (InterpretPass.cpp).
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/tile/interpreter/Interpreter.h"
#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace attncc::tile::interpreter {

struct Sequence {
  int64_t queryLength = 1, kvLength = 0;
};

/// What a kernel's types leave open.
struct Shapes {
  int64_t kvHeads = 2;
  /// Empty: the default, with an empty sequence, one without queries, one token, lengths around
  /// tile and page ends, more queries than keys, and several splits.
  std::vector<Sequence> sequences;
  int64_t splitTokens = 0;
  bool positions = false; // give `tensor<?xi64>` positions instead of null
  bool slots = false;     // give slots of the cache instead of null
  bool lse = true;        // give log-sum-exp tensors instead of null
  bool optional = true;   // give tensors that may be null
  bool cosSin = false;    // give a table of cosines and sines instead of null
};

/// What a kernel wrote through one of its arguments.
struct Output {
  int64_t argument = 0;
  std::vector<double> values;
};

/// Inputs of the kernel's types: values near N(0, 1) that their element types hold exactly, NaN in
/// unused slots of pages and in outputs, permuted pages, invalid numbers in unused table entries.
std::vector<Argument> makeArguments(KernelOp kernel, uint64_t seed, const Shapes &shapes = {});

/// Runs the kernel on `makeArguments`. Emits an error where it fails.
mlir::FailureOr<std::vector<Output>> interpretKernel(KernelOp kernel, uint64_t seed,
                                                     const Shapes &shapes = {},
                                                     const Options &options = {});

/// Empty if all values agree: NaN with NaN, infinities exactly, numbers within
/// relative · max(1, |expected|); else the first difference.
std::string compareOutputs(const std::vector<Output> &expected, const std::vector<Output> &actual,
                           double relative = 1e-9);

/// Parses the module, runs every kernel, then the pass pipeline, then every kernel again. Empty if
/// all kernels keep their results, else what differs or which step failed. The context needs the
/// module's dialects; passes of the pipeline must be registered.
std::string pipelineKeepsResults(mlir::MLIRContext &context, llvm::StringRef text,
                                 llvm::StringRef pipeline, uint64_t seed = 1,
                                 const Shapes &shapes = {}, const Options &options = {},
                                 double relative = 1e-9);

/// Registers --tile-interpret, which prints what every kernel of a module computes.
void registerInterpretPass();

} // namespace attncc::tile::interpreter
