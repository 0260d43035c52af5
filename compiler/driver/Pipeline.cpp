//===- Pipeline.cpp - the compiler's stages, in order -----------------------===//
#include "compiler/driver/Pipeline.h"

#include "compiler/conversion/AttnToTile.h"
#include "compiler/conversion/TileToNVVM/TileToNVVM.h"
#include "compiler/import/Import.h"
#include "compiler/target/EmitPtx.h"
#include "dialects/attn/Attn.h"
#include "dialects/attn/Passes.h"
#include "dialects/attn/Schedules.h"
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"
#include "dialects/tile/layout/Layout.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace attncc {
namespace {

//===----------------------------------------------------------------------===//
// The stages
//===----------------------------------------------------------------------===//

/// `queryTokens`: the most of a prefill sequence, 0: any number.
void addAttnPasses(OpPassManager &passes, const spec::ModelSpec &spec,
                   const PipelineOptions &options, const TargetInfo &target, int64_t queryTokens) {
  passes.addPass(attn::createFuseAttentionPass());
  attn::SplitKvPassOptions split;
  split.maxPosition = spec.maxPosition;
  passes.addPass(attn::createSplitKvPass(split));
  attn::SchedulePassOptions schedule;
  schedule.target = std::string(target.name);
  schedule.schedule = options.schedule;
  schedule.queryTokens = queryTokens;
  passes.addPass(attn::createSchedulePass(schedule));
}

/// From the kernel of values to the one whose every overlap and offset is decided.
void addTilePasses(OpPassManager &passes, const TargetInfo &target) {
  OpPassManager &kernel = passes.nest<tile::KernelOp>();
  kernel.addPass(tile::createAssignLayoutsPass());
  kernel.addPass(tile::createPipelinePass());
  kernel.addPass(tile::createAssignRolesPass());
  kernel.addPass(tile::createPrefetchPass());
  kernel.addPass(tile::createOverlapPass());
  kernel.addPass(tile::createPersistPass());
  kernel.addPass(tile::createPeelMasksPass());
  kernel.addPass(tile::createIssueMatmulsPass());
  kernel.addPass(createCanonicalizerPass());
  kernel.addPass(createCSEPass());
  tile::PackSharedMemoryPassOptions pack;
  pack.limit = target.maxSharedPerBlock;
  pack.multiprocessor = target.sharedPerSm();
  kernel.addPass(tile::createPackSharedMemoryPass(pack));
}

std::string textOf(Operation *op) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  op->print(stream);
  return text + "\n";
}

std::string textOf(Attribute attribute) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  attribute.print(stream);
  return text;
}

/// "8 rows, 16 x 3 stages, 4 w": query rows of a block, keys of a tile, tiles in flight, warps of a
/// block.
std::string summaryOf(const attn::Schedule &schedule, attn::Role role) {
  std::string warps = std::to_string(schedule.unit * schedule.units) + " w";
  if (role != attn::Role::Decode && role != attn::Role::Prefill)
    return warps;
  std::string copies =
      schedule.copy == attn::Copy::Tensor ? ", boxes of " + std::to_string(schedule.box) : "";
  int64_t rows = role == attn::Role::Prefill ? schedule.units * schedule.rows : schedule.rows;
  return std::to_string(rows) + " rows, " + std::to_string(schedule.keys) + " x " +
         std::to_string(schedule.stages.key) + " stages, " + warps + copies;
}

/// The rule for the tensor map of one side ("k" or "v") of a paged cache: what the conversion's
/// boxes and tile::sharedSwizzled take for granted.
package::TensorMapRule tensorMapRule(const std::string &side, int64_t dim, mlir::Type element,
                                     int64_t box, bool byPanel) {
  int64_t panelBytes = tile::panelBytes(dim, 2), panel = panelBytes / 2;
  package::TensorMapRule rule;
  rule.dtype = element.isF16() ? package::DType::F16 : package::DType::BF16;
  rule.dims = {std::to_string(panel), "page_size", side + "_dim/" + std::to_string(panel),
               "kv_heads", "num_pages"};
  rule.strides = {side + "_token_stride", std::to_string(panel), side + "_head_stride",
                  side + "_page_stride"};
  rule.box = {panel, box, byPanel ? 1 : dim / panel, 1, 1};
  rule.swizzle = panelBytes;
  // Measured on an H200: 256 bytes cost 4 % of the bandwidth, 64 and none are as good.
  rule.l2Promotion = 128;
  rule.fill = package::TensorMapRule::Fill::NaN; // page -1
  return rule;
}

/// Whether an append kernel norms or rotates.
package::Prologue prologueOf(tile::KernelOp kernel) {
  WalkResult walk = kernel.walk([](Operation *op) {
    return isa<tile::RmsNormOp, tile::RopeOp>(op) ? WalkResult::interrupt() : WalkResult::advance();
  });
  return walk.wasInterrupted() ? package::Prologue::Fused : package::Prologue::None;
}

/// Runs `work`, which returns success or has emitted an error that this makes a Result of.
template <class Work>
Result<void> withDiagnostics(MLIRContext &context, const std::string &what, Work work) {
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error && message.empty())
      message = diagnostic.str();
    return success();
  });
  if (succeeded(work()))
    return {};
  return makeError(Status::Internal, what + ": " + (message.empty() ? "failed" : message));
}

} // namespace

struct Compiler::State {
  State() : context(registry(), MLIRContext::Threading::DISABLED) {
    context.loadAllAvailableDialects();
  }

  static DialectRegistry registry() {
    DialectRegistry registry;
    registry.insert<attn::AttnDialect, tile::TileDialect, func::FuncDialect>();
    registerNVVMConversionDependencies(registry);
    registerPtxEmission(registry);
    return registry;
  }

  MLIRContext context;

  Result<OwningOpRef<ModuleOp>> import(const spec::ModelSpec &spec,
                                       const spec::LayerClass &layerClass,
                                       const PipelineOptions &options, int64_t maxQueryTokens);
  Result<void> run(ModuleOp module, const std::string &stage,
                   llvm::function_ref<void(OpPassManager &)> add);
  Result<void> toAttn(ModuleOp module, const spec::ModelSpec &spec, const PipelineOptions &options,
                      const TargetInfo &target, int64_t queryTokens = 0);
  Result<void> toTile(ModuleOp module, const spec::ModelSpec &spec, const PipelineOptions &options,
                      const TargetInfo &target, int64_t queryTokens = 0);
  std::vector<OwningOpRef<ModuleOp>> kernelsOf(ModuleOp module);
  Result<CompiledKernel> finish(ModuleOp alone, const spec::ModelSpec &spec,
                                const spec::LayerClass &layerClass, const PipelineOptions &options,
                                const TargetInfo &target, package::Interval queryTokens);
  Result<void> compileFor(const TargetInfo &target, const spec::ModelSpec &spec,
                          const spec::LayerClass &layerClass, const PipelineOptions &options,
                          std::vector<CompiledKernel> &kernels);
};

Result<OwningOpRef<ModuleOp>> Compiler::State::import(const spec::ModelSpec &spec,
                                                      const spec::LayerClass &layerClass,
                                                      const PipelineOptions &options,
                                                      int64_t maxQueryTokens) {
  ImportOptions import;
  import.pageSize = options.package.pageSize;
  import.order =
      options.package.order == package::KvOrder::NHD ? attn::PageOrder::NHD : attn::PageOrder::HND;
  import.maxQuery = maxQueryTokens;
  import.fusedPrologue = options.package.compiles(package::Prologue::Fused);
  import.noPrologue = options.package.compiles(package::Prologue::None);
  OwningOpRef<ModuleOp> module;
  Result<void> imported = withDiagnostics(context, "import", [&] {
    module = importLayerClass(context, spec, layerClass, import);
    return success(static_cast<bool>(module));
  });
  if (!imported)
    return imported.error();
  return module;
}

Result<void> Compiler::State::run(ModuleOp module, const std::string &stage,
                                  llvm::function_ref<void(OpPassManager &)> add) {
  return withDiagnostics(context, stage, [&] {
    PassManager passes(&context);
    add(passes);
    return passes.run(module);
  });
}

/// A schedule of the user's own is the one thing here that the user can get wrong.
Result<void> Compiler::State::toAttn(ModuleOp module, const spec::ModelSpec &spec,
                                     const PipelineOptions &options, const TargetInfo &target,
                                     int64_t queryTokens) {
  Result<void> done =
      run(module, options.schedule.empty() ? "attn" : "--schedule", [&](OpPassManager &passes) {
        addAttnPasses(passes, spec, options, target, queryTokens);
      });
  if (done || options.schedule.empty())
    return done;
  Error error = done.error();
  error.status = Status::InvalidArgument;
  error.diagnostic.code = "schedule";
  return error;
}

Result<void> Compiler::State::toTile(ModuleOp module, const spec::ModelSpec &spec,
                                     const PipelineOptions &options, const TargetInfo &target,
                                     int64_t queryTokens) {
  if (Result<void> done = toAttn(module, spec, options, target, queryTokens); !done)
    return done;
  return run(module, "tile",
             [&](OpPassManager &passes) { passes.addPass(createConvertAttnToTilePass()); });
}

/// Each kernel in a module of its own.
std::vector<OwningOpRef<ModuleOp>> Compiler::State::kernelsOf(ModuleOp module) {
  std::vector<OwningOpRef<ModuleOp>> modules;
  for (auto kernel : module.getOps<tile::KernelOp>()) {
    OwningOpRef<ModuleOp> alone = ModuleOp::create(kernel.getLoc());
    OpBuilder(alone->getBodyRegion()).clone(*kernel);
    modules.push_back(std::move(alone));
  }
  return modules;
}

Compiler::Compiler() : state(std::make_unique<State>()) {}
Compiler::~Compiler() = default;

/// Tile kernel → PTX. `alone` holds nothing else; its kernel gets the entry's name.
Result<CompiledKernel> Compiler::State::finish(ModuleOp alone, const spec::ModelSpec &spec,
                                               const spec::LayerClass &layerClass,
                                               const PipelineOptions &options,
                                               const TargetInfo &target,
                                               package::Interval queryTokens) {
  auto kernel = *alone.getOps<tile::KernelOp>().begin();
  attn::Role role = kernel.getPhase().getRole();
  const attn::Schedule &schedule = kernel.getSchedule().getValue();
  CompiledKernel result;
  result.role = attn::stringifyEnum(role).str();
  result.layerClass = layerClass.name;
  result.target = std::string(target.name);
  result.schedule = textOf(kernel.getSchedule());
  result.summary = summaryOf(schedule, role);
  if (role == attn::Role::Append)
    result.prologue = prologueOf(kernel);
  result.entry = entryName(result, spec, layerClass, options.package);
  result.threads = schedule.threads();
  result.addsSplits = schedule.merge == attn::MergeForm::Item   ? package::AddsSplits::All
                      : schedule.merge == attn::MergeForm::Span ? package::AddsSplits::Span
                                                                : package::AddsSplits::None;
  result.dependentLaunch = schedule.dependentLaunch != attn::DependentLaunch::None;
  result.queryTokens = queryTokens;
  if (role == attn::Role::Decode || role == attn::Role::Merge)
    result.split = *schedule.split;
  if (role == attn::Role::Decode)
    result.rows = schedule.rows;
  if (role == attn::Role::Prefill)
    result.rows = schedule.units * schedule.rows;
  if (schedule.copy == attn::Copy::Tensor)
    for (Type argument : kernel.getArgumentTypes())
      if (auto kv = dyn_cast<attn::PagedKvType>(argument))
        result.tensorMaps = {
            {"k", tensorMapRule("k", kv.getKeyDim(), kv.getKeyType(), schedule.box,
                                attn::keysByPanel(schedule))},
            {"v", tensorMapRule("v", kv.getValueDim(), kv.getValueType(), schedule.box,
                                /*byPanel=*/false)}};
  kernel.setSymName(result.entry);
  if (Result<void> done =
          run(alone, "tile", [&](OpPassManager &passes) { addTilePasses(passes, target); });
      !done)
    return done.error();
  result.shared = (*alone.getOps<tile::KernelOp>().begin()).getSharedMemory().value_or(0);
  if (Result<void> done =
          run(alone, "nvvm",
              [&](OpPassManager &passes) { passes.addPass(createConvertTileToNVVMPass(target)); });
      !done)
    return done.error();
  Result<std::string> ptx = emitPtx(alone, target);
  if (!ptx)
    return ptx.error();
  result.ptx = std::move(*ptx);
  result.ptxVersion =
      std::to_string(target.ptxVersion / 10) + "." + std::to_string(target.ptxVersion % 10);
  return result;
}

/// The schedule of the module's kernel of a role, as text.
static std::string scheduleOf(ModuleOp module, attn::Role role) {
  for (auto kernel : module.getOps<tile::KernelOp>())
    if (kernel.getPhase().getRole() == role)
      return textOf(kernel.getSchedule());
  return "";
}

/// Appends the class's kernels for one target to `kernels`.
Result<void> Compiler::State::compileFor(const TargetInfo &target, const spec::ModelSpec &spec,
                                         const spec::LayerClass &layerClass,
                                         const PipelineOptions &options,
                                         std::vector<CompiledKernel> &kernels) {
  auto lower = [&](int64_t maxQueryTokens,
                   int64_t queryTokens = 0) -> Result<OwningOpRef<ModuleOp>> {
    Result<OwningOpRef<ModuleOp>> module = import(spec, layerClass, options, maxQueryTokens);
    if (module)
      if (Result<void> lowered = toTile(**module, spec, options, target, queryTokens); !lowered)
        return lowered.error();
    return module;
  };
  int64_t most = options.package.maxQueryTokens;
  Result<OwningOpRef<ModuleOp>> draft = lower(most);
  if (!draft)
    return draft.error();
  // `servedBy` says how many query tokens a role's kernel serves, nothing where it is not wanted.
  using ServedBy = llvm::function_ref<std::optional<package::Interval>(attn::Role)>;
  auto finishAll = [&](ModuleOp module, int64_t order, ServedBy servedBy) -> Result<void> {
    for (OwningOpRef<ModuleOp> &alone : kernelsOf(module)) {
      attn::Role role = (*alone->getOps<tile::KernelOp>().begin()).getPhase().getRole();
      std::optional<package::Interval> served = servedBy(role);
      if (!served)
        continue;
      Result<CompiledKernel> kernel = finish(*alone, spec, layerClass, options, target, *served);
      if (!kernel)
        return kernel.error();
      kernel->order = order;
      kernels.push_back(std::move(*kernel));
    }
    return {};
  };
  auto differs = [&](ModuleOp other, attn::Role role) {
    return scheduleOf(other, role) != scheduleOf(**draft, role);
  };
  auto onlyOf = [](attn::Role wanted, package::Interval served) {
    return [=](attn::Role role) { return role == wanted ? std::optional(served) : std::nullopt; };
  };
  // Decode of one query token, prefill of short queries.
  Result<OwningOpRef<ModuleOp>> few = lower(1, attn::kShortQueries);
  if (!few)
    return few.error();
  // One query token gets a decode kernel of its own where its tile has fewer rows. Rows never mix,
  // so both kernels add in one order.
  package::Interval ofDecode = {1, most};
  if (differs(**few, attn::Role::Decode)) {
    if (Result<void> done = finishAll(**few, 0, onlyOf(attn::Role::Decode, {1, 1})); !done)
      return done;
    ofDecode.least = 2;
  }
  Result<void> done =
      finishAll(**draft, 0, [&](attn::Role role) -> std::optional<package::Interval> {
        switch (role) {
        case attn::Role::Decode:
          return ofDecode;
        case attn::Role::Merge:
          return package::Interval{1, most};
        case attn::Role::Prefill:
          return package::Interval{most + 1, INT32_MAX};
        default:
          return package::Interval{};
        }
      });
  if (!done || !differs(**few, attn::Role::Prefill))
    return done;
  // Short queries have a prefill kernel of other tiles, which adds in another order.
  Result<OwningOpRef<ModuleOp>> brief = lower(most, attn::kShortQueries);
  if (!brief)
    return brief.error();
  return finishAll(**brief, 1, onlyOf(attn::Role::Prefill, {most + 1, attn::kShortQueries}));
}

Result<std::vector<CompiledKernel>> Compiler::compile(const spec::ModelSpec &spec,
                                                      const spec::LayerClass &layerClass,
                                                      const PipelineOptions &options) {
  std::vector<CompiledKernel> kernels;
  for (const std::string &name : options.package.targets)
    if (Result<void> done =
            state->compileFor(*findTarget(name), spec, layerClass, options, kernels);
        !done)
      return done.error();
  return kernels;
}

Result<std::string> Compiler::emit(const spec::ModelSpec &spec, const spec::LayerClass &layerClass,
                                   const PipelineOptions &options, Stage stage) {
  if (stage == Stage::Ptx) {
    Result<std::vector<CompiledKernel>> kernels = compile(spec, layerClass, options);
    if (!kernels)
      return kernels.error();
    std::string text;
    for (const CompiledKernel &kernel : *kernels)
      text += kernel.ptx;
    return text;
  }
  std::string text;
  for (const std::string &name : options.package.targets) {
    const TargetInfo &target = *findTarget(name);
    Result<OwningOpRef<ModuleOp>> module =
        state->import(spec, layerClass, options, options.package.maxQueryTokens);
    if (!module)
      return module.error();
    if (stage == Stage::Import)
      return textOf(**module); // the same for every target
    if (stage == Stage::Attn) {
      if (Result<void> done = state->toAttn(**module, spec, options, target); !done)
        return done.error();
      text += textOf(**module);
      continue;
    }
    if (Result<void> lowered = state->toTile(**module, spec, options, target); !lowered)
      return lowered.error();
    for (OwningOpRef<ModuleOp> &alone : state->kernelsOf(**module)) {
      Result<void> done = state->run(*alone, "tile", [&](OpPassManager &passes) {
        addTilePasses(passes, target);
        if (stage == Stage::Nvvm)
          passes.addPass(createConvertTileToNVVMPass(target));
      });
      if (!done)
        return done.error();
      text += textOf(*alone);
    }
  }
  return text;
}

} // namespace attncc
