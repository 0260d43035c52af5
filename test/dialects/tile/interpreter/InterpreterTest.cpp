//===- InterpreterTest.cpp - the interpreter against plain loops --------------===//
//
// Decode with several splits, units and chunks of rows, then merge; append with
// norm and rotation; and that the harness sees a program that computes something
// else.
//
//===----------------------------------------------------------------------===//

#include "PlainAttention.h"
#include "Programs.h"
#include "dialects/tile/interpreter/Harness.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Transforms/Passes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

using namespace mlir;

namespace attncc::tile::interpreter {
namespace {

struct InterpreterTest : public testing::Test {
  InterpreterTest() {
    context.loadDialect<attn::AttnDialect, TileDialect, arith::ArithDialect, scf::SCFDialect>();
  }
  KernelOp parse(const std::string &text, const char *name) {
    module = parseSourceString<ModuleOp>(text, &context);
    if (!module)
      return {};
    return module->lookupSymbol<KernelOp>(name);
  }
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

void checkDecode(KernelOp decode, KernelOp merge, const DecodeShape &shape, uint64_t seed,
                 const Shapes &shapes) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::vector<Argument> arguments = makeArguments(decode, seed, shapes);
  ASSERT_TRUE(succeeded(interpret(decode, arguments)));
  ASSERT_TRUE(
      succeeded(interpret(merge, {arguments[5], arguments[2], arguments[3], arguments[4]})));
  checkAttention(arguments, shape.group, shape.mask == "causal");
}

// One split, several splits by override, several by the schedule's rule; chunks of rows; one unit.
TEST_F(InterpreterTest, DecodeAndMerge) {
  for (const DecodeShape &shape :
       {DecodeShape{}, DecodeShape{.group = 3, .rows = 16, .units = 1, .pageSize = 16},
        DecodeShape{.group = 5, .units = 4, .keys = 32, .pageSize = 7, .mask = "none"},
        DecodeShape{.split = "#attn.split<length = 64>"}}) {
    KernelOp decode = parse(decodeProgram(shape), "decode");
    ASSERT_TRUE(decode);
    KernelOp merge = module->lookupSymbol<KernelOp>("merge");
    for (int64_t splitTokens : {0, 64, 100}) {
      Shapes shapes;
      shapes.splitTokens = splitTokens;
      checkDecode(decode, merge, shape, 1, shapes);
      shapes.sequences = {{3, 200}, {0, 7}, {1, 0}, {2, 65}, {3, 1}, {1, 64}};
      shapes.kvHeads = 3;
      checkDecode(decode, merge, shape, 2, shapes);
    }
  }
}

// Items that take one split, a span of four, or all of a sequence.
TEST_F(InterpreterTest, DecodeOfSeveralSplits) {
  for (const char *merge : {"span", "item"}) {
    DecodeShape shape{.split = "#attn.split<steps = [[256, 32], [4096, 64]]>", .merge = merge};
    KernelOp decode = parse(decodeProgram(shape), "decode");
    ASSERT_TRUE(decode);
    KernelOp mergeKernel = module->lookupSymbol<KernelOp>("merge");
    for (int64_t splitTokens : {0, -1, -2, -5}) {
      if (merge == std::string("span") && splitTokens == -1)
        continue; // may take all
      SCOPED_TRACE(testing::Message() << merge << " " << splitTokens);
      Shapes shapes;
      shapes.splitTokens = splitTokens;
      shapes.sequences = {{3, 200}, {0, 7}, {1, 0}, {2, 129}, {3, 1}, {1, 300}, {3, 800}};
      checkDecode(decode, mergeKernel, shape, 3, shapes);
    }
  }
}

// Rotation and norm by plain loops; the row goes where the block table or the given slot says.
TEST_F(InterpreterTest, Append) {
  const double frequencies[3] = {1.0, 0.25, 0.0625};
  for (bool half : {true, false})
    for (auto [given, tabled] :
         {std::pair(false, false), {false, true}, {true, false}, {true, true}}) {
      KernelOp kernel = parse(appendProgram(half ? "half" : "interleaved"), "append");
      ASSERT_TRUE(kernel);
      Shapes shapes;
      shapes.positions = shapes.slots = given;
      shapes.cosSin = tabled;
      shapes.sequences = {{3, 9}, {1, 1}, {0, 4}, {5, 5}};
      std::vector<Argument> arguments = makeArguments(kernel, 3, shapes);
      PagedCache before = *get<PagedCache>(arguments, 4);
      ASSERT_TRUE(succeeded(interpret(kernel, arguments)));
      auto query = get<Tensor>(arguments, 0), key = get<Tensor>(arguments, 1),
           value = get<Tensor>(arguments, 2), out = get<Tensor>(arguments, 3),
           weight = get<Tensor>(arguments, 8);
      auto cache = get<PagedCache>(arguments, 4);
      auto batch = get<Batch>(arguments, 5);
      auto slots = get<PerToken>(arguments, 6), positions = get<PerToken>(arguments, 7);
      auto table = get<CosSin>(arguments, 9);
      EXPECT_EQ(slots != nullptr, given);
      EXPECT_EQ(table != nullptr, tabled);

      auto rotate = [&](std::vector<double> row, int64_t position) {
        std::vector<double> turned = row;
        for (int d = 0; d < 3; ++d) {
          int x = half ? d : 2 * d, y = half ? d + 3 : 2 * d + 1;
          double c = 1.5 * std::cos(position * frequencies[d]);
          double s = 1.5 * std::sin(position * frequencies[d]);
          if (table) {
            c = table->values[position * 6 + d];
            s = table->values[position * 6 + 3 + d];
          }
          turned[x] = row[x] * c - row[y] * s;
          turned[y] = row[x] * s + row[y] * c;
        }
        return turned;
      };
      for (int64_t s = 0; s < batch->sequences(); ++s)
        for (int64_t i = 0; i < batch->queryLength(s); ++i) {
          int64_t token = batch->queryStart[s] + i;
          int64_t index = batch->kvLength[s] - batch->queryLength(s) + i;
          int64_t position = given ? positions->values[token] : index;
          for (int64_t h = 0; h < 8; ++h) {
            std::vector<double> row(query->row(token, h), query->row(token, h) + 8);
            double squares = 0;
            for (double x : row)
              squares += x * x;
            for (int c = 0; c < 8; ++c)
              row[c] *= weight->values[c] / std::sqrt(squares / 8 + 1e-3);
            row = rotate(row, position);
            for (int c = 0; c < 8; ++c)
              ASSERT_NEAR(out->row(token, h)[c], row[c], 1e-12);
          }
          int64_t slot =
              given ? slots->values[token] : batch->blockTable[s][index / 4] * 4 + index % 4;
          for (int64_t h = 0; slot >= 0 && h < 2; ++h) {
            std::vector<double> row(key->row(token, h), key->row(token, h) + 8);
            row = rotate(row, position);
            for (int c = 0; c < 8; ++c) {
              ASSERT_NEAR(cache->key(slot / 4, slot % 4, h)[c], row[c], 1e-12);
              ASSERT_EQ(cache->value(slot / 4, slot % 4, h)[c], value->row(token, h)[c]);
              before.key(slot / 4, slot % 4, h)[c] = cache->key(slot / 4, slot % 4, h)[c];
            }
          }
        }
      // Nothing else was written.
      for (size_t n = 0; n < before.keys.size(); ++n)
        ASSERT_EQ(std::isnan(before.keys[n]), std::isnan(cache->keys[n])) << n;
    }
}

// A weighted mean of the parts that have keys, which are in base 2; the last row has none.
TEST_F(InterpreterTest, MergeStates) {
  KernelOp kernel = parse(mergeStatesProgram(), "merge_states");
  ASSERT_TRUE(kernel);
  std::vector<Argument> arguments = makeArguments(kernel, 5, {});
  ASSERT_TRUE(succeeded(interpret(kernel, arguments)));
  auto states = get<States>(arguments, 0);
  auto out = get<Tensor>(arguments, 1), lse = get<Tensor>(arguments, 2);
  const int64_t tokens = out->tokens, heads = out->heads;
  for (int64_t token = 0; token < tokens; ++token)
    for (int64_t head = 0; head < heads; ++head) {
      double total = 0;
      std::vector<double> row(8, 0);
      for (size_t part = 0; part < states->outputs.size(); ++part) {
        double weight = std::exp2(*states->lses[part].row(token, head));
        total += weight;
        for (int c = 0; weight > 0 && c < 8; ++c)
          row[c] += weight * states->outputs[part].row(token, head)[c];
      }
      if (token + 1 == tokens && head + 1 == heads)
        ASSERT_EQ(total, 0);
      for (int c = 0; c < 8; ++c)
        ASSERT_NEAR(out->row(token, head)[c], total > 0 ? row[c] / total : 0, 1e-9);
      if (total > 0)
        ASSERT_NEAR(*lse->row(token, head), std::log(total), 1e-9);
      else
        ASSERT_EQ(*lse->row(token, head), -std::numeric_limits<double>::infinity());
    }
}

// With rounding on, results are representable and within half an ulp of a bf16 and the error that
// rounding P makes; without, they are not rounded.
TEST_F(InterpreterTest, RoundsWhereTheProgramDoes) {
  KernelOp decode = parse(decodeProgram({}), "decode");
  Options rounding;
  rounding.round = true;
  auto exact = interpretKernel(decode, 5), rounded = interpretKernel(decode, 5, {}, rounding);
  ASSERT_TRUE(succeeded(exact) && succeeded(rounded));
  EXPECT_NE(compareOutputs(*exact, *rounded), "");
  EXPECT_EQ(compareOutputs(*exact, *rounded, 0.03), "");
  FloatType bf16 = BFloat16Type::get(&context);
  for (double value : rounded->front().values)
    ASSERT_EQ(value, roundTo(bf16, value));
  EXPECT_EQ(roundTo(bf16, 1.00390625), 1.0);      // a tie goes to the even neighbour
  EXPECT_EQ(roundTo(bf16, 1.01171875), 1.015625); // upwards too
  EXPECT_EQ(roundTo(Float16Type::get(&context), 1e6), INFINITY);
}

// The same seed gives the same inputs, another seed others.
TEST_F(InterpreterTest, SeedDecidesInputs) {
  KernelOp decode = parse(decodeProgram({}), "decode");
  auto first = interpretKernel(decode, 7), again = interpretKernel(decode, 7),
       other = interpretKernel(decode, 8);
  EXPECT_EQ(compareOutputs(*first, *again, 0), "");
  EXPECT_NE(compareOutputs(*first, *other), "");
}

// A pass that changes nothing passes; what a broken pass could do does not.
TEST_F(InterpreterTest, HarnessSeesDifferences) {
  registerCanonicalizerPass();
  registerCSEPass();
  registerRemoveDeadValuesPass();
  std::string text = decodeProgram({});
  EXPECT_EQ(pipelineKeepsResults(context, text, "builtin.module(canonicalize,cse)"), "");
  EXPECT_EQ(pipelineKeepsResults(context, text, "builtin.module(remove-dead-values)"), "");
  EXPECT_EQ(pipelineKeepsResults(context, appendProgram("half"), "builtin.module(cse)"), "");
  EXPECT_THAT(pipelineKeepsResults(context, text, "builtin.module(no-such-pass)"),
              testing::HasSubstr("pipeline does not parse"));
  EXPECT_THAT(pipelineKeepsResults(context, "tile.kernel", "builtin.module(cse)"),
              testing::HasSubstr("does not parse"));
  Options layouts;
  layouts.requireLayouts = true;
  EXPECT_THAT(pipelineKeepsResults(context, text, "builtin.module(cse)", 1, {}, layouts),
              testing::HasSubstr("has a result without a layout"));

  auto changed = [&](std::string from, std::string to) {
    std::string other = text;
    size_t at = other.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    other.replace(at, from.size(), to);
    auto before = interpretKernel(parse(text, "decode"), 1);
    KernelOp kernel = parse(other, "decode");
    EXPECT_TRUE(kernel) << other;
    auto after = interpretKernel(kernel, 1);
    return compareOutputs(*before, *after);
  };
  EXPECT_NE(changed("%s1 = tile.mask %s0[%item, %t] mask(#attn.mask<causal>)",
                    "%s1 = tile.mask %s0[%item, %t] mask(#attn.mask<none>)"),
            "");
  EXPECT_NE(changed("tile.normalize %ou, %mu, %lu", "tile.normalize %o, %m, %l"), "");
  EXPECT_NE(changed("tile.add_split %r0, %e0 to %mb", "tile.add_split %r0, %m to %mb"), "");
  EXPECT_NE(changed("tile.matmul %pb, %v, %or", "tile.matmul %pb, %v, %oi"), "");
  EXPECT_NE(changed("tile.key_tile %range[%j]", "tile.key_tile %range[%c0]"), "");
}

// The loop over keys as a scf.while, in which units end at different trips.
TEST_F(InterpreterTest, While) {
  std::string loop = decodeProgram({});
  std::string types = "!m, !m, !o";
  auto replace = [](std::string text, const std::string &from, const std::string &to) {
    size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  std::string text = replace(
      loop,
      "%m, %l, %o = scf.for %j = %c0 to %n step %c1 iter_args(%mi = %m0, %li = %l0, %oi = %o0)\n"
      "        -> (" +
          types + ") {",
      "%m, %l, %o, %e = scf.while (%mw = %m0, %lw = %l0, %ow = %o0, %jw = %c0) : (" + types +
          ", index) -> (" + types +
          ", index) {\n"
          "%more = arith.cmpi ult, %jw, %n : index\n"
          "scf.condition(%more) %mw, %lw, %ow, %jw : " +
          types +
          ", index\n"
          "} do {\n"
          "^bb0(%mi: !tile.tile<8x1xf32>, %li: !tile.tile<8x1xf32>, %oi: !tile.tile<8x16xf32>, "
          "%j: index):\n"
          "%next = arith.addi %j, %c1 : index");
  text = replace(text, "scf.yield %mj, %lj, %oj : " + types,
                 "scf.yield %mj, %lj, %oj, %next : " + types + ", index");
  auto expected = interpretKernel(parse(loop, "decode"), 1);
  KernelOp kernel = parse(text, "decode");
  ASSERT_TRUE(kernel) << text;
  auto actual = interpretKernel(kernel, 1);
  ASSERT_TRUE(succeeded(expected) && succeeded(actual));
  EXPECT_EQ(compareOutputs(*expected, *actual, 0), "");
}

// What a kernel may not touch is an error that says where.
TEST_F(InterpreterTest, RefusesBadMemory) {
  std::string error;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    error = diagnostic.str();
    return success();
  });
  Shapes shapes;
  shapes.sequences = {{1, 200}};
  shapes.splitTokens = 64;
  KernelOp decode = parse(decodeProgram({}), "decode");
  KernelOp merge = module->lookupSymbol<KernelOp>("merge");

  std::vector<Argument> arguments = makeArguments(decode, 1, shapes);
  EXPECT_TRUE(failed(interpret(merge, {arguments[5], arguments[2], arguments[3], arguments[4]})));
  EXPECT_THAT(error,
              testing::HasSubstr("reads a partial that was not written: sequence 0, split 0"));

  auto batch = get<Batch>(arguments, 2);
  int64_t page = std::exchange(batch->blockTable[0][3], 1000);
  EXPECT_TRUE(failed(interpret(decode, arguments)));
  EXPECT_THAT(error, testing::HasSubstr("meets page 1000 of a cache of 51"));
  batch->blockTable[0][3] = page;
  batch->blockTable[0].resize(3);
  EXPECT_TRUE(failed(interpret(decode, arguments)));
  EXPECT_THAT(error, testing::HasSubstr("reads entry 3 of a block table of 3"));

  arguments = makeArguments(decode, 1, shapes);
  *get<Tensor>(arguments, 0) = Tensor(1, 7, 16);
  EXPECT_TRUE(failed(interpret(decode, arguments)));
  EXPECT_THAT(error,
              testing::HasSubstr("touches token 0, head 7 of a tensor of 1 tokens and 7 heads"));
  arguments.pop_back();
  EXPECT_TRUE(failed(interpret(decode, arguments)));
  EXPECT_THAT(error, testing::HasSubstr("has 7 arguments, got 6"));
}

// A value that may differ by rounding is compared relatively, special values exactly.
TEST(CompareOutputs, SpecialValues) {
  std::vector<Output> a = {{0, {1.0, NAN, -INFINITY}}}, b = a;
  EXPECT_EQ(compareOutputs(a, b), "");
  b[0].values[0] += 1e-12;
  EXPECT_EQ(compareOutputs(a, b), "");
  b[0].values[0] += 1e-3;
  EXPECT_EQ(compareOutputs(a, b), "argument 0, value 0: expected 1.000000e+00, got 1.001000e+00");
  b = a;
  b[0].values[2] = INFINITY;
  EXPECT_NE(compareOutputs(a, b), "");
  b = a;
  b[0].values[1] = 0;
  EXPECT_NE(compareOutputs(a, b), "");
}

} // namespace
} // namespace attncc::tile::interpreter
