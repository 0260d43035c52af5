//===- PrefillTest.cpp - blocks that stay for many items ----------------------===//
//
// Drawn items, products in flight and the lazy softmax against plain loops.
//
//===----------------------------------------------------------------------===//

#include "PlainAttention.h"
#include "Programs.h"
#include "dialects/tile/interpreter/Arithmetic.h"
#include "dialects/tile/interpreter/Harness.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Parser/Parser.h"

#include <gmock/gmock.h>

using namespace mlir;

namespace attncc::tile::interpreter {
namespace {

struct PrefillTest : public testing::Test {
  PrefillTest() {
    context.loadDialect<attn::AttnDialect, TileDialect, arith::ArithDialect, scf::SCFDialect>();
  }
  KernelOp parse(const std::string &text) {
    module = parseSourceString<ModuleOp>(text, &context);
    return module ? module->lookupSymbol<KernelOp>("prefill") : KernelOp();
  }
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

Shapes ragged() {
  Shapes shapes;
  shapes.kvHeads = 2;
  shapes.sequences = {{1, 0}, {0, 5}, {1, 1}, {50, 3}, {17, 33}, {1, 70}, {40, 40}};
  return shapes;
}

// Each row is written, and once: by one block that gets all items, by blocks that get as many or
// not, by some of many.
TEST_F(PrefillTest, BlocksOfAnyNumberDrawEachItemOnce) {
  for (int64_t blocks : {1, 2, 3, 7, 1000})
    for (const DrawnShape &shape :
         {DrawnShape{}, DrawnShape{.group = 3, .units = 3, .mask = "none"},
          DrawnShape{.group = 1, .units = 1, .pageSize = 24}}) {
      SCOPED_TRACE(std::to_string(blocks) + " blocks, group " + std::to_string(shape.group));
      KernelOp kernel = parse(drawnProgram(shape));
      ASSERT_TRUE(kernel);
      std::vector<Argument> arguments = makeArguments(kernel, blocks, ragged());
      Options options;
      options.blocks = blocks;
      ASSERT_TRUE(succeeded(interpret(kernel, arguments, options)));
      checkAttention(arguments, shape.group, shape.mask == "causal");
    }
}

// A block that draws an item again writes its rows again.
TEST_F(PrefillTest, AnItemDrawnTwiceIsAnError) {
  std::string error, text = drawnProgram({}), yield = "scf.yield %next : index";
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    error = diagnostic.str();
    return success();
  });
  text.replace(text.find(yield), yield.size(), "scf.yield %c0 : index");
  KernelOp kernel = parse(text);
  ASSERT_TRUE(kernel);
  EXPECT_TRUE(failed(interpret(kernel, makeArguments(kernel, 1, ragged()))));
  EXPECT_THAT(error, testing::HasSubstr("writes token 0, head 0 of sequence 0 again"));
}

// The maximum moves where a row exceeds it by more than `lazy`, and nowhere else.
TEST(SoftmaxStep, Lazy) {
  TileData scores(3, 2), maximum(3, 1, 1), sum(3, 1, 2);
  scores.values = {1, 9, 1, 9.5, -INFINITY, -INFINITY};
  SoftmaxStep step = softmaxStep(scores, maximum, sum, 1, 8);
  EXPECT_EQ(step.maximum.values, (std::vector<double>{1, 9.5, 1}));
  EXPECT_EQ(step.factor.values, (std::vector<double>{1, std::exp2(-8.5), 1}));
  EXPECT_EQ(step.probabilities.values, (std::vector<double>{1, 256, std::exp2(-8.5), 1, 0, 0}));
  EXPECT_EQ(step.sum.values, (std::vector<double>{2 + 257, 3 * std::exp2(-8.5) + 1, 2}));
}

} // namespace
} // namespace attncc::tile::interpreter
