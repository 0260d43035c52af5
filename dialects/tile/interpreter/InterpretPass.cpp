//===- InterpretPass.cpp - --tile-interpret -----------------------------------===//
//
// Runs every tile.kernel of a module on seeded inputs and prints, for each
// argument that it writes, how many values there are and of what kind, the sum of
// the finite ones, and the first. Two programs that print the same compute the
// same, as far as a sum tells. Test: test/dialects/tile/interpret.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Harness.h"
#include "mlir/Pass/Pass.h"
#include "llvm/Support/Format.h"

#include <cmath>

using namespace mlir;

namespace attncc::tile::interpreter {
namespace {

struct InterpretPass : public PassWrapper<InterpretPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(InterpretPass)

  InterpretPass() = default;
  InterpretPass(const InterpretPass &other) : PassWrapper(other) {}

  StringRef getArgument() const final { return "tile-interpret"; }
  StringRef getDescription() const final {
    return "run tile kernels on seeded inputs in double precision and print their results";
  }

  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<KernelOp>()) {
      Shapes shapes;
      shapes.kvHeads = kvHeads;
      shapes.splitTokens = splitTokens;
      shapes.positions = positions;
      shapes.slots = slots;
      Options options;
      options.round = round;
      options.requireLayouts = requireLayouts;
      options.blocks = blocks;
      auto outputs = interpretKernel(kernel, seed, shapes, options);
      if (failed(outputs))
        return signalPassFailure();
      for (const Output &output : *outputs)
        print(kernel.getSymName(), output);
    }
  }

  static void print(StringRef kernel, const Output &output) {
    int64_t unset = 0, infinite = 0;
    double sum = 0;
    for (double value : output.values) {
      if (std::isnan(value))
        ++unset;
      else if (std::isinf(value))
        ++infinite;
      else
        sum += value;
    }
    llvm::outs() << "@" << kernel << " argument " << output.argument << ": " << output.values.size()
                 << " values, " << unset << " NaN, " << infinite << " infinite, sum "
                 << llvm::format("%.9g", sum) << ", first";
    for (double value : llvm::ArrayRef(output.values).take_front(4))
      llvm::outs() << " " << llvm::format("%.9g", value);
    llvm::outs() << "\n";
  }

  Option<uint64_t> seed{*this, "seed", llvm::cl::desc("seed of the inputs"), llvm::cl::init(1)};
  Option<int64_t> kvHeads{*this, "kv-heads", llvm::cl::desc("kv heads"), llvm::cl::init(2)};
  Option<int64_t> splitTokens{*this, "split-tokens", llvm::cl::init(0),
                              llvm::cl::desc("split length; 0 takes the schedule's rule")};
  Option<bool> positions{*this, "positions", llvm::cl::desc("give positions"),
                         llvm::cl::init(false)};
  Option<bool> slots{*this, "slots", llvm::cl::desc("give slots of the cache"),
                     llvm::cl::init(false)};
  Option<bool> round{*this, "round", llvm::cl::desc("round to element types"),
                     llvm::cl::init(false)};
  Option<bool> requireLayouts{*this, "require-layouts", llvm::cl::init(false),
                              llvm::cl::desc("refuse tiles without a layout")};
  Option<int64_t> blocks{*this, "blocks", llvm::cl::init(Options().blocks),
                         llvm::cl::desc("blocks of a kernel that stay for many items")};
};

} // namespace

void registerInterpretPass() { PassRegistration<InterpretPass>(); }

} // namespace attncc::tile::interpreter
