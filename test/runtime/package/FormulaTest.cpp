// Rules of grids, workspaces and traffic: values, floor and ceiling, every error, and parameters
// laid out as structs.
#include "runtime/package/Interface.h"
#include "runtime/plan/Parameters.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <sstream>

using namespace attncc;
using namespace attncc::package;

namespace {

const SplitRule kRule{{{2048, 256}, {8192, 1024}, {131072, 2048}}};

NameValues llama() {
  NameValues values;
  values[Name::KvHeads] = 8;
  values[Name::QueryHeads] = 32;
  values[Name::Group] = 4;
  values[Name::Rows] = 8;
  values[Name::Units] = 4;
  values[Name::VDim] = values[Name::KDim] = 64;
  values[Name::KBytes] = values[Name::VBytes] = values[Name::QBytes] = 2;
  values[Name::MaxSequences] = 64;
  values[Name::NumSequences] = 3;
  values[Name::MaxQueryLength] = 1;
  values[Name::MaxKvLength] = 4096;
  return values;
}

Result<int64_t> evaluate(std::string_view text, const NameValues &values = llama()) {
  Result<Formula> formula = Formula::parse(text);
  if (!formula)
    return formula.error();
  return formula->evaluate(values, &kRule);
}

int64_t value(std::string_view text) {
  Result<int64_t> result = evaluate(text);
  EXPECT_TRUE(result) << (result ? "" : result.error().diagnostic.text());
  return result ? *result : INT64_MIN;
}

std::string message(std::string_view text) {
  Result<int64_t> result = evaluate(text);
  EXPECT_FALSE(result) << text;
  return result ? "" : result.error().diagnostic.message;
}

TEST(Formula, PrecedenceAndAssociation) {
  EXPECT_EQ(value("2+3*4"), 14);
  EXPECT_EQ(value("(2+3)*4"), 20);
  EXPECT_EQ(value("20-3-4"), 13);
  EXPECT_EQ(value("100/7/2"), 7);
  EXPECT_EQ(value("  7 * ( 1 + 1 ) "), 14);
}

TEST(Formula, DivisionFloorsAndCeilDivCeils) {
  EXPECT_EQ(value("7/2"), 3);
  EXPECT_EQ(value("(0-7)/2"), -4);
  EXPECT_EQ(value("(0-7)/(0-2)"), 3);
  EXPECT_EQ(value("ceil_div(7,2)"), 4);
  EXPECT_EQ(value("ceil_div(8,2)"), 4);
  EXPECT_EQ(value("ceil_div(0-7,2)"), -3);
}

TEST(Formula, MinMaxAndMaxSplits) {
  EXPECT_EQ(value("min(3,max(1,2))"), 2);
  EXPECT_EQ(value("max_splits(0)"), 1);
  EXPECT_EQ(value("max_splits(1)"), 1);
  EXPECT_EQ(value("max_splits(2048)"), 8);
  // 2,049 tokens make 3 splits of 1,024, but 2,048 make 8 of 256: the bound must hold for both.
  EXPECT_EQ(value("max_splits(2049)"), 8);
  EXPECT_EQ(value("max_splits(131072)"), 64);
}

TEST(Formula, NamesHaveTheirValues) {
  EXPECT_EQ(value("kv_heads*ceil_div(group*max_query_length, rows)"), 8);
  for (size_t i = 0; i < kNumNames; ++i) {
    NameValues values;
    values[static_cast<Name>(i)] = 42 + static_cast<int64_t>(i);
    Result<int64_t> result = evaluate(nameText(static_cast<Name>(i)), values);
    ASSERT_TRUE(result);
    EXPECT_EQ(*result, 42 + static_cast<int64_t>(i));
  }
}

TEST(Formula, EveryNameIsDocumented) {
  std::ifstream file(ATTNCC_SOURCE_DIR "/docs/package.md");
  std::stringstream text;
  text << file.rdbuf();
  for (size_t i = 0; i < kNumNames; ++i) {
    std::string quoted = "`" + std::string(nameText(static_cast<Name>(i))) + "`";
    EXPECT_NE(text.str().find(quoted), std::string::npos) << quoted;
  }
}

TEST(Formula, WorkspaceOfTheDecodeInterface) {
  // 64 sequences x 8 splits of up to 4,096 tokens x 32 heads x (64 + 1) floats, and head and
  // counters.
  EXPECT_EQ(value(standardInterface("decode/1")->workspaceBytes),
            256 + 2048 + int64_t(64) * 8 * 32 * 65 * 4);
}

// Blocks that stay: one for each chunk of rows of a kv head and sequence, and no more than run at
// once.
TEST(Formula, GridOfPrefillByTensorMaps) {
  const Interface &prefill = *standardInterface("prefill.tma/1");
  NameValues values = llama();
  values[Name::Rows] = 192;
  values[Name::MaxQueryLength] = 100; // 400 rows: 3 chunks
  values[Name::Multiprocessors] = 132;
  EXPECT_EQ(*evaluate(prefill.grid[0], values), 8 * 3 * 3);
  values[Name::MaxQueryLength] = 1000; // 21 chunks
  EXPECT_EQ(*evaluate(prefill.grid[0], values), 132);
  EXPECT_EQ(*evaluate(prefill.grid[1], values), 1);
  EXPECT_EQ(*evaluate(prefill.grid[2], values), 1);
  EXPECT_EQ(*evaluate(prefill.workspaceBytes, values), 256);
}

TEST(Formula, OverflowIsAnError) {
  EXPECT_EQ(value("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(message("9223372036854775807+1"),
            "rule \"9223372036854775807+1\" leaves 64 bits at 9223372036854775807 and 1");
  EXPECT_NE(message("4611686018427387904*2").find("leaves 64 bits"), std::string::npos);
  EXPECT_NE(message("0-9223372036854775807-2").find("leaves 64 bits"), std::string::npos);
  EXPECT_NE(message("(0-9223372036854775807-1)/(0-1)").find("leaves 64 bits"), std::string::npos);
  EXPECT_NE(message("9223372036854775808").find("not an integer of 64 bits"), std::string::npos);
  EXPECT_NE(message("max_splits(2147483648)").find("from 0 to 2147483647"), std::string::npos);
}

TEST(Formula, DivisionByZeroAndUnknownValues) {
  EXPECT_EQ(message("7/(2-2)"), "rule \"7/(2-2)\" divides 7 by zero");
  EXPECT_EQ(message("ceil_div(7,0)"), "rule \"ceil_div(7,0)\" divides 7 by zero");
  EXPECT_EQ(message("total_kv*2"), "rule \"total_kv*2\" uses total_kv, which is not known here");
  Result<int64_t> noRule = Formula::parse("max_splits(1)")->evaluate(llama(), nullptr);
  ASSERT_FALSE(noRule);
  EXPECT_NE(noRule.error().diagnostic.message.find("no split rule"), std::string::npos);
}

TEST(Formula, SyntaxErrorsHaveAColumn) {
  struct Case {
    const char *text;
    int column;
    const char *message;
  };
  for (const Case &c :
       {Case{"", 1, "ends where a value is needed"}, Case{"1+", 3, "ends where a value is needed"},
        Case{"1 2", 3, "unexpected \"2\""}, Case{"heads*2", 1, "unknown name \"heads\""},
        Case{"2*pow(2,3)", 3, "unknown function \"pow\""}, Case{"min(1)", 6, "needs a \",\""},
        Case{"(1", 3, "needs a \")\""}, Case{"-1", 1, "unexpected \"-\""},
        Case{"1%2", 2, "unexpected \"%\""}, Case{"12ab", 1, "not an integer"},
        Case{"max_splits(1,2)", 13, "needs a \")\""}}) {
    Result<Formula> formula = Formula::parse(c.text);
    ASSERT_FALSE(formula) << c.text;
    EXPECT_EQ(formula.error().diagnostic.where.column, c.column) << c.text;
    EXPECT_NE(formula.error().diagnostic.message.find(c.message), std::string::npos)
        << formula.error().diagnostic.message;
  }
}

// The stack of the evaluator is fixed: the deepest rule that parses must evaluate, a deeper one
// must not parse, whatever is pending at each level.
TEST(Formula, DepthIsBounded) {
  for (const char *level : {"(", "1+2*(", "1+2*min(3,", "1+2*ceil_div(1+2*"}) {
    bool parsed = true;
    for (int depth = 0; parsed && depth < 64; ++depth) {
      std::string text;
      for (int i = 0; i < depth; ++i)
        text += level;
      // The last form leaves a product pending inside the call's first argument.
      std::string close = std::string(level).find("div") != std::string::npos ? ",1)" : ")";
      text += "1";
      for (int i = 0; i < depth; ++i)
        text += close;
      Result<Formula> formula = Formula::parse(text);
      parsed = static_cast<bool>(formula);
      if (parsed)
        EXPECT_GE(*formula->evaluate(llama(), nullptr), 1) << text;
      else
        EXPECT_GT(depth, 16) << text;
    }
    EXPECT_FALSE(parsed) << level;
  }
  EXPECT_FALSE(Formula::parse(std::string(5000, ' ') + "1"));
}

TEST(Interface, NaturalAlignment) {
  Interface interface;
  interface.params = {{"a", ParamType::I32}, {"b", ParamType::Ptr}, {"c", ParamType::F32},
                      {"d", ParamType::I32}, {"e", ParamType::I64}, {"f", ParamType::I32}};
  EXPECT_EQ(interface.offsets(), (std::vector<int64_t>{0, 8, 16, 20, 24, 32}));
  EXPECT_EQ(interface.paramsBytes(), 36);
  EXPECT_EQ(standardInterface("decode/2"), nullptr);
}

int64_t offsetOf(const char *interface, const char *name) {
  const Interface &known = *standardInterface(interface);
  std::vector<int64_t> offsets = known.offsets();
  for (size_t i = 0; i < offsets.size(); ++i)
    if (known.params[i].name == name)
      return offsets[i];
  return -1;
}

// The structs of runtime/plan/Parameters.h are the parameter lists of the interfaces.
TEST(Interface, StructsMatch) {
  using plan::AppendParams, plan::DecodeParams, plan::DecodeTensorParams, plan::MergeParams,
      plan::MergeStatesParams, plan::PrefillTensorParams;
  EXPECT_EQ(static_cast<int64_t>(plan::paramsBytes<AppendParams>()),
            standardInterface("append/1")->paramsBytes());
  EXPECT_EQ(static_cast<int64_t>(plan::paramsBytes<DecodeParams>()),
            standardInterface("decode/1")->paramsBytes());
  EXPECT_EQ(static_cast<int64_t>(plan::paramsBytes<DecodeTensorParams>()),
            standardInterface("decode.tma/1")->paramsBytes());
  EXPECT_EQ(static_cast<int64_t>(plan::paramsBytes<DecodeParams>()),
            standardInterface("prefill/1")->paramsBytes());
  EXPECT_EQ(static_cast<int64_t>(plan::paramsBytes<PrefillTensorParams>()),
            standardInterface("prefill.tma/1")->paramsBytes());
  EXPECT_EQ(static_cast<int64_t>(plan::paramsBytes<MergeParams>()),
            standardInterface("merge/1")->paramsBytes());
  EXPECT_EQ(static_cast<int64_t>(plan::paramsBytes<MergeStatesParams>()),
            standardInterface("merge_states/1")->paramsBytes());
#define EXPECT_OFFSET(interface, Struct, field, name)                                              \
  EXPECT_EQ(static_cast<int64_t>(offsetof(Struct, field)), offsetOf(interface, name)) << name
  EXPECT_OFFSET("append/1", AppendParams, query, "query");
  EXPECT_OFFSET("append/1", AppendParams, key.tokenStride, "key_token_stride");
  EXPECT_OFFSET("append/1", AppendParams, value.headStride, "value_head_stride");
  EXPECT_OFFSET("append/1", AppendParams, queryOut, "query_out");
  EXPECT_OFFSET("append/1", AppendParams, k.pageStride, "k_page_stride");
  EXPECT_OFFSET("append/1", AppendParams, v.headStride, "v_head_stride");
  EXPECT_OFFSET("append/1", AppendParams, batch.queryStart, "query_start");
  EXPECT_OFFSET("append/1", AppendParams, batch.splitTokens, "split_tokens");
  EXPECT_OFFSET("append/1", AppendParams, slotMapping, "slot_mapping");
  EXPECT_OFFSET("append/1", AppendParams, position, "position");
  EXPECT_OFFSET("append/1", AppendParams, cosSin.data, "cos_sin");
  EXPECT_OFFSET("append/1", AppendParams, cosSin.stride, "cos_sin_stride");
  EXPECT_OFFSET("append/1", AppendParams, cosSin.positions, "cos_sin_positions");
  EXPECT_OFFSET("append/1", AppendParams, cosSin.bytes, "cos_sin_bytes");
  EXPECT_OFFSET("append/1", AppendParams, qNorm, "q_norm");
  EXPECT_OFFSET("append/1", AppendParams, kNorm, "k_norm");
  EXPECT_OFFSET("append/1", AppendParams, workspace, "workspace");
  EXPECT_OFFSET("decode/1", DecodeParams, k, "k");
  EXPECT_OFFSET("decode/1", DecodeParams, v.tokenStride, "v_token_stride");
  EXPECT_OFFSET("decode/1", DecodeParams, batch.kvLength, "kv_length");
  EXPECT_OFFSET("decode/1", DecodeParams, batch.blockTable, "block_table");
  EXPECT_OFFSET("decode/1", DecodeParams, batch.blockTableStride, "block_table_stride");
  EXPECT_OFFSET("decode/1", DecodeParams, batch.pageIndptr, "page_indptr");
  EXPECT_OFFSET("decode/1", DecodeParams, batch.numPages, "num_pages");
  EXPECT_OFFSET("decode/1", DecodeParams, batch.kvHeads, "kv_heads");
  EXPECT_OFFSET("decode/1", DecodeParams, batch.maxKvLength, "max_kv_length");
  EXPECT_OFFSET("decode/1", DecodeParams, batch.maxQueryLength, "max_query_length");
  EXPECT_OFFSET("decode/1", DecodeParams, output, "output");
  EXPECT_OFFSET("decode/1", DecodeParams, lse.headStride, "lse_head_stride");
  EXPECT_OFFSET("decode/1", DecodeParams, workspace, "workspace");
  EXPECT_OFFSET("decode/1", DecodeParams, scaleLog2, "scale_log2");
  EXPECT_OFFSET("decode.tma/1", DecodeTensorParams, query.headStride, "query_head_stride");
  EXPECT_OFFSET("decode.tma/1", DecodeTensorParams, k, "k");
  EXPECT_OFFSET("decode.tma/1", DecodeTensorParams, v, "v");
  EXPECT_OFFSET("decode.tma/1", DecodeTensorParams, batch.queryStart, "query_start");
  EXPECT_OFFSET("decode.tma/1", DecodeTensorParams, output, "output");
  EXPECT_OFFSET("decode.tma/1", DecodeTensorParams, workspace, "workspace");
  EXPECT_OFFSET("decode.tma/1", DecodeTensorParams, scaleLog2, "scale_log2");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, query.headStride, "query_head_stride");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, k, "k");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, v, "v");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, batch.queryStart, "query_start");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, batch.splitTokens, "split_tokens");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, numSequences, "num_sequences");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, output, "output");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, lse, "lse");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, workspace, "workspace");
  EXPECT_OFFSET("prefill.tma/1", PrefillTensorParams, scaleLog2, "scale_log2");
  EXPECT_OFFSET("prefill/1", DecodeParams, v.headStride, "v_head_stride");
  EXPECT_OFFSET("prefill/1", DecodeParams, lse.tokenStride, "lse_token_stride");
  EXPECT_OFFSET("prefill/1", DecodeParams, scaleLog2, "scale_log2");
  EXPECT_OFFSET("merge/1", MergeParams, batch.queryStart, "query_start");
  EXPECT_OFFSET("merge/1", MergeParams, output.tokenStride, "output_token_stride");
  EXPECT_OFFSET("merge/1", MergeParams, lse, "lse");
  EXPECT_OFFSET("merge_states/1", MergeStatesParams, numParts, "num_parts");
  EXPECT_OFFSET("merge_states/1", MergeStatesParams, lseScale, "lse_scale");
  EXPECT_OFFSET("merge_states/1", MergeStatesParams, part[0].output, "part0_output");
  EXPECT_OFFSET("merge_states/1", MergeStatesParams, part[15].lse.headStride,
                "part15_lse_head_stride");
  EXPECT_OFFSET("merge_states/1", MergeStatesParams, output, "output");
  EXPECT_OFFSET("merge_states/1", MergeStatesParams, lse, "lse");
#undef EXPECT_OFFSET
}

} // namespace
