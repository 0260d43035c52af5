//===- TileToNVVM.cpp - the conversion of tile kernels to GPU functions ----===//
//
// --convert-tile-to-nvvm: a 1:N dialect conversion. Tiles become one SSA value
// for each register (Representation.h), loops and branches keep their form with
// the values of their tiles (upstream's structural patterns), and index becomes
// i32: tile numbers and counts are small.
//
//   tile.kernel @k(…) {…}  →  gpu.module @k {
//                               llvm.mlir.global external @attncc_shared_memory
//                               llvm.func @k(flattened launch parameters) attributes {nvvm.kernel,
//                               …} }
//
// Every question about where an element lives goes to the layout, every question
// about the hardware to the target table.
//
// Tests: test/compiler/conversion/TileToNVVM
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/TileToNVVM.h"

#include "compiler/conversion/TileToNVVM/Representation.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/Patterns.h"
#include "mlir/Pass/Pass.h"

namespace attncc {
namespace {

using namespace lowering;
namespace LLVM = mlir::LLVM;

struct KernelPattern : TilePattern<tile::KernelOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::KernelOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::Location location = op.getLoc();
    mlir::MLIRContext *context = op.getContext();
    mlir::Block &entry = op.getBody().front();
    mlir::TypeConverter::SignatureConversion signature(entry.getNumArguments());
    if (mlir::failed(typeConverter->convertSignatureArgs(entry.getArgumentTypes(), signature)))
      return op.emitOpError() << "has an argument of a type that is not lowered";

    auto gpuModule = mlir::gpu::GPUModuleOp::create(rewriter, location, op.getSymName());
    rewriter.setInsertionPointToStart(gpuModule.getBody());
    LLVM::GlobalOp::create(rewriter, location, LLVM::LLVMArrayType::get(rewriter.getI8Type(), 0),
                           /*isConstant=*/false, LLVM::Linkage::External, sharedMemorySymbol,
                           mlir::Attribute(), tileAlignment,
                           static_cast<unsigned>(AddressSpace::Shared));
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context),
                                            signature.getConvertedTypes());
    auto function = LLVM::LLVMFuncOp::create(rewriter, location, op.getSymName(), type);
    function->setAttr("nvvm.kernel", rewriter.getUnitAttr());
    function->setAttr("nvvm.reqntid", rewriter.getDenseI32ArrayAttr(
                                          {static_cast<int32_t>(kernel.threads()), 1, 1}));
    function->setAttr("nvvm.minctasm", rewriter.getI32IntegerAttr(kernel.schedule.blocksPerSm));

    rewriter.inlineRegionBefore(op.getBody(), function.getBody(), function.end());
    rewriter.applySignatureConversion(&function.getBody().front(), signature, typeConverter);
    for (auto [index, argument] : llvm::enumerate(op.getArgumentTypes()))
      if (llvm::isa<tile::WorkspaceType>(argument))
        kernel.workspace =
            function.getBody().front().getArgument(signature.getInputMapping(index)->inputNo);
    for (auto [index, argument] : llvm::enumerate(op.getArgumentTypes()))
      if (llvm::isa<attn::PagedKvType>(argument) && kernel.tensorCopies())
        markTensorMaps(function, *signature.getInputMapping(index));
    if (kernel.schedule.dependentLaunch == attn::DependentLaunch::WaitFirst) {
      rewriter.setInsertionPointToStart(&function.getBody().front());
      KernelBuilder(rewriter, location).followPriorGrid();
    }
    if (kernel.schedule.unit > 1) {
      rewriter.setInsertionPointToStart(&function.getBody().front());
      KernelBuilder b(rewriter, location);
      kernel.ownUnit = b.shuffleIndex(kernel.unit(b), b.i32(0));
    }
    rewriter.eraseOp(op);
    return mlir::success();
  }

private:
  /// A tensor map is a parameter by value, 128 bytes that only copies read (PTX ISA 9.7.9.27.1.2).
  static void markTensorMaps(LLVM::LLVMFuncOp function,
                             mlir::TypeConverter::SignatureConversion::InputMapping maps) {
    mlir::OpBuilder builder(function);
    for (unsigned i = 0; i < maps.size; ++i) {
      unsigned argument = static_cast<unsigned>(maps.inputNo) + i;
      function.setArgAttr(argument, LLVM::LLVMDialect::getByValAttrName(),
                          mlir::TypeAttr::get(LLVM::LLVMArrayType::get(builder.getI8Type(), 128)));
      function.setArgAttr(argument, LLVM::LLVMDialect::getAlignAttrName(),
                          builder.getI64IntegerAttr(64));
      function.setArgAttr(argument, "nvvm.grid_constant", builder.getUnitAttr());
    }
  }

  static constexpr unsigned tileAlignment = 1024; // eight rows of the widest swizzle
};

/// The units that compute come first in the block, then a warpgroup whose warps load, each for a
/// ring.
struct RolesPattern : TilePattern<tile::RolesOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::RolesOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    auto inlineHere = [&](mlir::Region &region) {
      rewriter.inlineBlockBefore(&region.front(), rewriter.getInsertionBlock(),
                                 rewriter.getInsertionPoint());
    };
    const std::vector<int64_t> &registers = kernel.schedule.registers; // load, store, compute
    b.blockBarrier();                                                  // rings are there
    Value computes = b.compare(Compare::ult, b.thread(), kernel.schedule.computeThreads());
    b.ifElse(
        computes, {},
        [&]() -> Values {
          b.setRegisters(registers[2], /*more=*/true);
          if (kernel.schedule.pingPong) // the first turn is unit 0's
            b.ifThen(b.compare(Compare::eq, kernel.unit(b), kernel.units() - 1), [&] {
              b.arriveAtNamedBarrier(b.i32(kernel.firstTurn()), 64 * kernel.schedule.unit);
            });
          inlineHere(op.getCompute());
          return {};
        },
        [&]() -> Values {
          b.setRegisters(registers[0], /*more=*/false);
          Value warp = b.shiftRight(b.sub(b.thread(), b.i32(kernel.schedule.computeThreads())), 5);
          for (auto [number, load] : llvm::enumerate(op.getLoads()))
            b.ifThen(b.compare(Compare::eq, warp, number), [&] { inlineHere(load); });
          return {};
        });
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct ReturnPattern : TilePattern<tile::ReturnOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::ReturnOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<LLVM::ReturnOp>(op, ValueRange());
    return mlir::success();
  }
};

/// Arithmetic on index becomes the same on i32.
struct IndexArithmeticPattern : mlir::ConversionPattern {
  IndexArithmeticPattern(const mlir::TypeConverter &converter, mlir::MLIRContext *context)
      : ConversionPattern(converter, MatchAnyOpTypeTag(), 1, context) {}

  mlir::LogicalResult matchAndRewrite(mlir::Operation *op, llvm::ArrayRef<Value> operands,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    if (!llvm::isa<mlir::arith::ArithDialect>(op->getDialect()))
      return mlir::failure();
    if (llvm::isa<mlir::arith::IndexCastOp, mlir::arith::IndexCastUIOp>(op))
      return op->emitOpError() << "expected no cast of an index";
    if (auto constant = llvm::dyn_cast<mlir::arith::ConstantOp>(op)) {
      auto value = llvm::cast<mlir::IntegerAttr>(constant.getValue());
      if (!value.getValue().isSignedIntN(32))
        return op->emitOpError() << "expected an index of 32 bits, got " << value;
      rewriter.replaceOpWithNewOp<mlir::arith::ConstantOp>(
          op, rewriter.getI32IntegerAttr(static_cast<int32_t>(value.getInt())));
      return mlir::success();
    }
    llvm::SmallVector<Type> types;
    if (mlir::failed(typeConverter->convertTypes(op->getResultTypes(), types)))
      return mlir::failure();
    mlir::OperationState state(op->getLoc(), op->getName(), operands, types, op->getAttrs());
    rewriter.replaceOp(op, rewriter.create(state));
    return mlir::success();
  }
};

/// What the kernel's pass over its items is: there is one kind in a kernel.
tile::ItemsAttr itemsOf(tile::KernelOp kernel) {
  tile::ItemsAttr items;
  kernel.walk([&](tile::GridItemOp op) { items = op.getItems(); });
  kernel.walk([&](tile::DrawItemOp op) { items = op.getItems(); });
  return items;
}

/// What patterns have to know of the place of an op, which they do not see any more when the ops
/// around it are converted.
void notePlaces(tile::KernelOp op, KernelContext &kernel) {
  op.walk([&](tile::KeyRangeOp range) { kernel.causal |= range.getMask().getValue().causal; });
  op.walk([&](tile::RolesOp roles) {
    kernel.loadRoles = static_cast<int64_t>(roles.getLoads().size());
    for (mlir::Region &load : roles.getLoads())
      load.walk([&](mlir::Operation *inner) { kernel.ofLoadRole.insert(inner); });
  });
  op.walk([&](tile::ReleaseOp release) {
    for (mlir::Operation *before = release->getPrevNode(); before; before = before->getPrevNode()) {
      bool waits = false;
      before->walk([&](tile::WaitOp wait) { waits |= wait.getRing() == release.getRing(); });
      if (waits)
        return;
      if (llvm::isa<tile::AwaitOp, tile::TakeTurnOp>(before) ||
          (llvm::isa<tile::ReleaseOp>(before) && !kernel.hasMet.contains(before))) {
        kernel.hasMet.insert(release);
        return;
      }
    }
  });
}

mlir::LogicalResult convertKernel(tile::KernelOp op, const TargetInfo &target) {
  mlir::MLIRContext *context = op.getContext();
  const attn::Schedule &schedule = op.getSchedule().getValue();
  tile::ItemsAttr items = itemsOf(op);
  if (!items)
    return op.emitOpError() << "expected a tile.grid_item: run --tile-persist first";
  if (schedule.unit != (schedule.product == attn::Product::Wgmma ? 4 : 1) ||
      schedule.dependentLaunch == attn::DependentLaunch::WaitLate)
    return op.emitOpError() << "expected a schedule of units of one warp, or of one warpgroup with "
                               "product = wgmma, and no late wait for the launch before, got "
                            << op.getSchedule();
  if (schedule.copy == attn::Copy::Tensor && !target.tensorCopies)
    return op.emitOpError() << "has tensor copies, the target " << std::string(target.name)
                            << " has none";
  if (schedule.threads() > target.maxThreadsPerBlock)
    return op.emitOpError() << "has " << schedule.threads() << " threads, the target runs at most "
                            << target.maxThreadsPerBlock;
  if (op.getSharedMemory().value_or(0) > target.maxSharedPerBlock)
    return op.emitOpError() << "needs " << *op.getSharedMemory()
                            << " bytes of shared memory, the target has "
                            << target.maxSharedPerBlock;

  KernelContext kernel{target, schedule, items.getKind(), items.getGroup(),
                       op.getPhase().getMaxQuery()};
  notePlaces(op, kernel);
  Representation converter(context, kernel);
  mlir::RewritePatternSet patterns(context);
  patterns.add<KernelPattern, RolesPattern, ReturnPattern>(converter, context, kernel);
  patterns.add<IndexArithmeticPattern>(converter, context);
  populateProgramPatterns(patterns, converter, kernel);
  populateRingPatterns(patterns, converter, kernel);
  populateLoadPatterns(patterns, converter, kernel);
  populateTensorCopyPatterns(patterns, converter, kernel);
  populateProductPatterns(patterns, converter, kernel);
  populateSoftmaxPatterns(patterns, converter, kernel);
  populateStorePatterns(patterns, converter, kernel);
  populateStatePatterns(patterns, converter, kernel);
  populateAppendPatterns(patterns, converter, kernel);

  mlir::ConversionTarget legal(*context);
  mlir::scf::populateSCFStructuralTypeConversionsAndLegality(converter, patterns, legal);
  legal.addIllegalDialect<tile::TileDialect>();
  legal.addDynamicallyLegalDialect<mlir::arith::ArithDialect>(
      [&](mlir::Operation *op) { return converter.isLegal(op); });
  legal.markUnknownOpDynamicallyLegal([](mlir::Operation *) { return true; });
  return mlir::applyPartialConversion(op, legal, std::move(patterns));
}

struct ConvertTileToNVVMPass
    : mlir::PassWrapper<ConvertTileToNVVMPass, mlir::OperationPass<mlir::ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertTileToNVVMPass)

  ConvertTileToNVVMPass() = default;
  ConvertTileToNVVMPass(const ConvertTileToNVVMPass &other) : PassWrapper(other) {}

  llvm::StringRef getArgument() const override { return "convert-tile-to-nvvm"; }
  llvm::StringRef getDescription() const override {
    return "tile kernels become GPU functions of llvm, nvvm, arith and scf ops";
  }
  void getDependentDialects(mlir::DialectRegistry &registry) const override {
    registerNVVMConversionDependencies(registry);
  }

  void runOnOperation() override {
    const TargetInfo *info = findTarget(std::string(targetName));
    if (!info) {
      getOperation().emitError() << "unknown target '" << targetName << "'";
      return signalPassFailure();
    }
    for (tile::KernelOp kernel :
         llvm::make_early_inc_range(getOperation().getOps<tile::KernelOp>()))
      if (mlir::failed(convertKernel(kernel, *info)))
        return signalPassFailure();
  }

  Option<std::string> targetName{*this, "target",
                                 llvm::cl::desc("name of a target of the target table"),
                                 llvm::cl::init("sm_80")};
};

} // namespace

std::unique_ptr<mlir::Pass> createConvertTileToNVVMPass(const TargetInfo &target) {
  auto pass = std::make_unique<ConvertTileToNVVMPass>();
  pass->targetName = std::string(target.name);
  return pass;
}

void registerConvertTileToNVVMPass() {
  mlir::registerPass(
      []() -> std::unique_ptr<mlir::Pass> { return std::make_unique<ConvertTileToNVVMPass>(); });
}

void registerNVVMConversionDependencies(mlir::DialectRegistry &registry) {
  registry.insert<mlir::arith::ArithDialect, mlir::gpu::GPUDialect, LLVM::LLVMDialect,
                  mlir::scf::SCFDialect>();
  lowering::insertNVVMDialect(registry);
}

} // namespace attncc
