//===- EmitPtx.cpp - a gpu.module becomes PTX text -------------------------===//
//
// 1. MLIR passes take the gpu.module to the llvm dialect (scf to branches, then everything through
//    the ConvertToLLVM interfaces). convert-gpu-to-nvvm is not among them: it refuses the llvm
//    intrinsics that the conversion emits on purpose.
// 2. The module is translated to LLVM IR, and every inline asm call becomes convergent: MLIR's op
//    has no such flag, and without it LLVM duplicates or merges warp-wide instructions across
//    branches.
// 3. LLVM optimises at O3 without unrolling and vectorisation: the tile passes have chosen both.
// 4. The NVPTX back end prints the text. Shared pointers are 32 bits wide (nvptx-short-ptr), and
//    instructions stay where the conversion has put them (disable-machine-sink).
//
// A feature that the target lacks would abort in instruction selection; the conversion asks the
// target table before it emits, and here the module is verified before the back end sees it.
// Test: test/compiler/target/emit-ptx-test.cpp
//
//===----------------------------------------------------------------------===//
#include "compiler/target/EmitPtx.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/ConvertToLLVM/ToLLVMPass.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

#include <memory>
#include <mutex>

extern "C" {
void LLVMInitializeNVPTXTargetInfo();
void LLVMInitializeNVPTXTarget();
void LLVMInitializeNVPTXTargetMC();
void LLVMInitializeNVPTXAsmPrinter();
}

namespace attncc {
namespace {

/// The back end's options are process-wide command-line options; this sets those we need, once:
/// 32-bit shared pointers, and no sinking of instructions, which would move the last step of making
/// a fragment of Q behind the copies and so keep more values alive than there are registers.
void initializeBackEnd() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    auto &options = llvm::cl::getRegisteredOptions();
    for (const char *name : {"nvptx-short-ptr", "disable-machine-sink"})
      if (auto found = options.find(name); found != options.end())
        static_cast<llvm::cl::opt<bool> *>(found->second)->setValue(true);
  });
}

Error emissionError(std::string message) {
  return makeError(Status::Internal, "cannot emit ptx: " + std::move(message));
}

/// Runs step 1 and returns the gpu.module.
Result<mlir::Operation *> lowerToLLVMDialect(mlir::ModuleOp module) {
  std::string message;
  mlir::ScopedDiagnosticHandler handler(module.getContext(), [&](mlir::Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error && message.empty())
      message = diagnostic.str();
    return mlir::success();
  });
  mlir::Operation *gpuModule = nullptr;
  int count = 0;
  for (mlir::Operation &op : module.getBody()->getOperations())
    if (op.getName().getStringRef() == "gpu.module") {
      gpuModule = &op;
      ++count;
    }
  if (count != 1)
    return emissionError("expected one gpu.module, found " + std::to_string(count));
  mlir::PassManager passes(module.getContext());
  mlir::OpPassManager &nested = passes.nest("gpu.module");
  nested.addPass(mlir::createCanonicalizerPass());
  nested.addPass(mlir::createCSEPass());
  nested.addPass(mlir::createSCFToControlFlowPass());
  nested.addPass(mlir::createConvertNVVMToLLVMPass());
  nested.addPass(mlir::createConvertToLLVMPass());
  nested.addPass(mlir::createReconcileUnrealizedCastsPass());
  if (mlir::failed(passes.run(module)))
    return emissionError(message.empty() ? "the module does not lower to the llvm dialect"
                                         : message);
  return gpuModule;
}

/// True if the back end knows every constraint of `assembly`: a register class, an immediate, an
/// output's number, or a memory clobber; it crashes on others. They must also fit the operands.
bool hasKnownConstraints(const llvm::InlineAsm &assembly) {
  if (llvm::errorToBool(
          llvm::InlineAsm::verify(assembly.getFunctionType(), assembly.getConstraintString())))
    return false;
  for (const llvm::InlineAsm::ConstraintInfo &constraint : assembly.ParseConstraints())
    for (llvm::StringRef code : constraint.Codes)
      if (!llvm::StringSwitch<bool>(code)
               .Cases({"h", "r", "l", "f", "d", "b", "n", "{memory}"}, true)
               .Default(llvm::all_of(code, llvm::isDigit)))
        return false;
  return true;
}

/// Step 2's flag. The error names the first call whose constraints the back end does not know.
Result<void> markInlineAsmConvergent(llvm::Module &module) {
  for (llvm::Function &function : module)
    for (llvm::BasicBlock &block : function)
      for (llvm::Instruction &instruction : block) {
        auto *call = llvm::dyn_cast<llvm::CallBase>(&instruction);
        if (!call || !call->isInlineAsm())
          continue;
        auto *assembly = llvm::cast<llvm::InlineAsm>(call->getCalledOperand());
        if (!hasKnownConstraints(*assembly))
          return emissionError("constraints '" + assembly->getConstraintString().str() +
                               "' do not fit inline asm '" + assembly->getAsmString().str() + "'");
        call->setConvergent();
      }
  return {};
}

void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager callGraph;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopUnrolling = false;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  llvm::PassBuilder builder(&machine, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(callGraph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, callGraph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(module, modules);
}

} // namespace

void registerPtxEmission(mlir::DialectRegistry &registry) {
  registry.insert<mlir::arith::ArithDialect, mlir::cf::ControlFlowDialect, mlir::math::MathDialect,
                  mlir::scf::SCFDialect>();
  mlir::registerBuiltinDialectTranslation(registry);
  mlir::registerLLVMDialectTranslation(registry);
  mlir::registerNVVMDialectTranslation(registry);
  mlir::registerGPUDialectTranslation(registry);
  mlir::arith::registerConvertArithToLLVMInterface(registry);
  mlir::cf::registerConvertControlFlowToLLVMInterface(registry);
  mlir::registerConvertMathToLLVMInterface(registry);
  mlir::registerConvertNVVMToLLVMInterface(registry);
}

Result<std::string> emitPtx(mlir::ModuleOp module, const TargetInfo &target) {
  initializeBackEnd();
  Result<mlir::Operation *> gpuModule = lowerToLLVMDialect(module);
  if (!gpuModule)
    return gpuModule.error();

  llvm::LLVMContext context;
  std::string message;
  std::unique_ptr<llvm::Module> llvmModule;
  {
    mlir::ScopedDiagnosticHandler handler(module.getContext(), [&](mlir::Diagnostic &diagnostic) {
      if (message.empty())
        message = diagnostic.str();
      return mlir::success();
    });
    llvmModule = mlir::translateModuleToLLVMIR(*gpuModule, context, "attncc");
  }
  if (!llvmModule)
    return emissionError(message.empty() ? "the module does not translate to llvm ir" : message);
  if (Result<void> marked = markInlineAsmConvergent(*llvmModule); !marked)
    return marked.error();

  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string lookupMessage;
  const llvm::Target *backEnd = llvm::TargetRegistry::lookupTarget(triple, lookupMessage);
  if (!backEnd)
    return emissionError(lookupMessage);
  llvm::StringRef name(target.name.data(), target.name.size());
  llvm::StringRef features(target.features.data(), target.features.size());
  std::unique_ptr<llvm::TargetMachine> machine(backEnd->createTargetMachine(
      triple, name, features, {}, std::nullopt, std::nullopt, llvm::CodeGenOptLevel::Aggressive));
  llvmModule->setTargetTriple(triple);
  llvmModule->setDataLayout(machine->createDataLayout());
  {
    llvm::raw_string_ostream stream(message);
    if (llvm::verifyModule(*llvmModule, &stream))
      return emissionError(message);
  }
  std::string failure;
  context.setDiagnosticHandlerCallBack(
      [](const llvm::DiagnosticInfo *info, void *into) {
        if (info->getSeverity() != llvm::DS_Error)
          return;
        llvm::raw_string_ostream stream(*static_cast<std::string *>(into));
        llvm::DiagnosticPrinterRawOStream printer(stream);
        info->print(printer);
      },
      &failure);
  optimize(*llvmModule, *machine);

  llvm::SmallString<0> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager codegen;
  if (machine->addPassesToEmitFile(codegen, stream, nullptr, llvm::CodeGenFileType::AssemblyFile))
    return emissionError("the back end cannot print assembly");
  codegen.run(*llvmModule);
  if (!failure.empty())
    return emissionError(failure);
  return text.str().str();
}

} // namespace attncc
