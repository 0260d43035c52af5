//===- ImportTest.cpp - real configs as attn IR ---------------------------===//
//
// Every class of every config in test/models that attn can say imports to a module that
// verifies, and fuses to one attn.attention with the class's numbers.
//
//===----------------------------------------------------------------------===//
#include "compiler/import/Import.h"
#include "dialects/attn/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace attncc;

namespace {

spec::ModelSpec model(const std::string &name) {
  Result<spec::ModelSpec> spec =
      spec::readModelSpec(ATTNCC_SOURCE_DIR "/test/models/" + name + ".json");
  if (!spec) {
    ADD_FAILURE() << spec.error().diagnostic.text();
    return {};
  }
  return *spec;
}

struct Import : testing::Test {
  Import() { context.loadDialect<attn::AttnDialect, func::FuncDialect>(); }

  func::FuncOp function(ModuleOp module, StringRef name) {
    return module.lookupSymbol<func::FuncOp>(name);
  }
  attn::AttentionOp fused(ModuleOp module, StringRef name = "decode") {
    PassManager passes(&context);
    passes.addPass(attn::createFuseAttentionPass());
    if (failed(passes.run(module)))
      return {};
    auto found = function(module, name).getOps<attn::AttentionOp>();
    return found.empty() ? attn::AttentionOp() : *found.begin();
  }
  MLIRContext context;
};

// The eight dense configs, and those with windows, softcaps and sinks, say what their classes say.
TEST_F(Import, EveryConfigFusesToItsNumbers) {
  for (const char *name :
       {"gemma-2-9b", "gpt-oss-20b", "gpt2", "llama-3.1-8b", "llama-3.2-1b", "mistral-7b-v0.1",
        "phi-3-mini", "qwen2.5-0.5b", "qwen3-8b", "smollm2-135m"}) {
    SCOPED_TRACE(name);
    spec::ModelSpec spec = model(name);
    ASSERT_FALSE(spec.classes.empty());
    for (const spec::LayerClass &layer : spec.classes) {
      OwningOpRef<ModuleOp> module = importLayerClass(context, spec, layer, {});
      ASSERT_TRUE(module);
      attn::AttentionOp attention = fused(*module);
      ASSERT_TRUE(attention);
      EXPECT_EQ(attention.getScores().getScale(), layer.scale);
      EXPECT_EQ(attention.getScores().getSoftcap(), layer.softcap);
      EXPECT_EQ(attention.getMask().getValue().causal, layer.causal);
      EXPECT_EQ(attention.getMask().getValue().window,
                layer.windowEffective ? layer.window : std::nullopt);
      EXPECT_EQ(static_cast<bool>(attention.getSinks()), layer.sinks);
      EXPECT_EQ(attention.getKvShape().kvHeads, layer.kvHeads);
      EXPECT_EQ(attention.getKvShape().keyDim, layer.headDim);
      EXPECT_EQ(attention.getKvShape().valueDim, layer.valueDim);
    }
  }
}

// Prefill is the attention of decode, for the sequences that decode leaves.
TEST_F(Import, PrefillIsTheSameAttention) {
  spec::ModelSpec spec = model("llama-3.2-1b");
  ASSERT_FALSE(spec.classes.empty());
  OwningOpRef<ModuleOp> module = importLayerClass(context, spec, spec.classes[0], {});
  ASSERT_TRUE(module);
  attn::AttentionOp decode = fused(*module), prefill = fused(*module, "prefill");
  ASSERT_TRUE(decode && prefill);
  EXPECT_EQ(prefill.getScoresAttr(), decode.getScoresAttr());
  EXPECT_EQ(prefill.getMask(), decode.getMask());
  auto phase = [&](StringRef name) {
    return function(*module, name)->getAttrOfType<attn::PhaseAttr>(attn::kPhaseAttrName);
  };
  EXPECT_EQ(phase("prefill").getRole(), attn::Role::Prefill);
  EXPECT_EQ(phase("prefill").getMaxQuery(), phase("decode").getMaxQuery());
}

// Norms and rotations of queries and keys; the rotation carries the spec's final frequencies.
TEST_F(Import, AppendNormsAndRotates) {
  for (auto [name, norms, rotations] :
       {std::tuple("qwen3-8b", 2, 2), std::tuple("llama-3.2-1b", 0, 2)}) {
    SCOPED_TRACE(name);
    spec::ModelSpec spec = model(name);
    ASSERT_FALSE(spec.classes.empty());
    const spec::LayerClass &layer = spec.classes.front();
    OwningOpRef<ModuleOp> module = importLayerClass(context, spec, layer, {});
    ASSERT_TRUE(module);
    func::FuncOp append = function(*module, "append");
    EXPECT_EQ(llvm::range_size(append.getOps<attn::RmsNormOp>()), norms);
    EXPECT_EQ(llvm::range_size(append.getOps<attn::RopeOp>()), rotations);
    EXPECT_EQ(llvm::range_size(append.getOps<attn::AppendKvOp>()), 1);
    EXPECT_EQ(append.getNumArguments(), norms ? 9u : 7u);
    for (attn::RopeOp rope : append.getOps<attn::RopeOp>()) {
      EXPECT_THAT(rope.getRope().getInverseFrequencies(),
                  testing::ElementsAreArray(layer.rope->inverseFrequencies));
      EXPECT_EQ(rope.getRope().getAttentionFactor(), layer.rope->attentionFactor);
      EXPECT_EQ(rope.getCosSin(), append.getArgument(6));
    }
  }
}

// A class with a prologue gets the append functions that are asked for; one without has one.
TEST_F(Import, AppendWithAndWithoutPrologue) {
  auto appends = [&](const char *name, bool fused, bool none) {
    spec::ModelSpec spec = model(name);
    ImportOptions options;
    options.fusedPrologue = fused;
    options.noPrologue = none;
    OwningOpRef<ModuleOp> module = importLayerClass(context, spec, spec.classes.front(), options);
    std::vector<std::string> names;
    for (func::FuncOp function : module->getOps<func::FuncOp>())
      if (!function.getOps<attn::AppendKvOp>().empty())
        names.push_back(function.getName().str());
    return names;
  };
  using testing::ElementsAre;
  EXPECT_THAT(appends("llama-3.2-1b", true, true),
              ElementsAre("append", "append_without_prologue"));
  EXPECT_THAT(appends("llama-3.2-1b", true, false), ElementsAre("append"));
  EXPECT_THAT(appends("llama-3.2-1b", false, true), ElementsAre("append_without_prologue"));
  EXPECT_THAT(appends("gpt2", true, true), ElementsAre("append_without_prologue"));
  EXPECT_THAT(appends("gpt2", true, false), ElementsAre("append_without_prologue"));
}

TEST_F(Import, StatesAreMergedInTheClassesType) {
  spec::ModelSpec spec = model("qwen3-8b");
  OwningOpRef<ModuleOp> module = importLayerClass(context, spec, spec.classes.front(), {});
  ASSERT_TRUE(module);
  auto merges = function(*module, "merge_states").getOps<attn::MergeStatesOp>();
  ASSERT_EQ(llvm::range_size(merges), 1);
  attn::StatesType states = (*merges.begin()).getStates().getType();
  EXPECT_EQ(states.getParts(), 16);
  EXPECT_EQ(states.getDim(), spec.classes.front().valueDim);
  EXPECT_TRUE(states.getType().isBF16());
}

TEST_F(Import, OptionsAreTheCacheAndThePhase) {
  spec::ModelSpec spec = model("llama-3.2-1b");
  ASSERT_FALSE(spec.classes.empty());
  ImportOptions options{.pageSize = 64, .order = attn::PageOrder::HND, .maxQuery = 4};
  OwningOpRef<ModuleOp> module = importLayerClass(context, spec, spec.classes.front(), options);
  ASSERT_TRUE(module);
  func::FuncOp decode = function(*module, "decode");
  auto cache = cast<attn::PagedKvType>(decode.getArgument(1).getType());
  EXPECT_EQ(cache.getPageSize(), 64);
  EXPECT_EQ(cache.getOrder(), attn::PageOrder::HND);
  EXPECT_EQ(decode->getAttrOfType<attn::PhaseAttr>(attn::kPhaseAttrName).getMaxQuery(), 4);
}

// What attn cannot say, and a page that no type has, are diagnostics, not crashes.
TEST_F(Import, RefusesWhatItCannotSay) {
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
    message = diagnostic.str();
    return success();
  });
  spec::ModelSpec latent = model("deepseek-v3");
  ASSERT_FALSE(latent.classes.empty());
  EXPECT_FALSE(importLayerClass(context, latent, latent.classes.front(), {}));
  EXPECT_EQ(message, "latent attention has no attn form yet");
  spec::ModelSpec dense = model("llama-3.2-1b");
  EXPECT_FALSE(importLayerClass(context, dense, dense.classes.front(), {.pageSize = 257}));
  EXPECT_EQ(message, "page_size must be 1 to 256, got 257");
  dense.classes.front().qkNorm = spec::QkNorm{1e-6, true};
  EXPECT_FALSE(importLayerClass(context, dense, dense.classes.front(), {}));
  EXPECT_EQ(message, "a norm that multiplies by 1 + weight has no attn form yet");
}

} // namespace
