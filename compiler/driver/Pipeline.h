//===- Pipeline.h - the compiler's stages, in order -------------------------===//
//
// Internal. The table of contents of the compiler: what happens to one layer class
// from its spec to PTX.
//
//   import       compiler/import         unfused attn functions: append, with and without
//                                        prologue, decode, merge_states
//   attn         dialects/attn           fuse-attention, split-kv, schedule
//   tile         compiler/conversion     convert-attn-to-tile, then each kernel by itself:
//                dialects/tile           assign-layouts, pipeline, assign-roles, prefetch,
//                overlap, persist, peel-masks, issue-matmuls, pack-shared-memory
//   nvvm         compiler/conversion     convert-tile-to-nvvm
//   ptx          compiler/target         LLVM's NVPTX back end
//   cubin        compiler/target         the CUDA Toolkit's ptxas, where it is asked for
//
// Tests: test/driver/emit.test, test/driver/cubin.py
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/package/PackageBuilder.h"
#include "compiler/spec/ModelSpec.h"
#include "runtime/support/Result.h"

#include <memory>
#include <string>
#include <vector>

namespace attncc {

/// Where --emit stops.
enum class Stage { Import, Attn, Tile, Nvvm, Ptx };

struct PipelineOptions {
  PackageOptions package;
  std::string schedule; ///< text of #attn.schedule for decode; empty: the cost model's
};

/// One MLIR context with everything that the stages need, for any number of layer classes.
class Compiler {
public:
  Compiler();
  ~Compiler();

  /// The kernels of one class: append, decode, merge, merge_states.
  Result<std::vector<CompiledKernel>> compile(const spec::ModelSpec &spec,
                                              const spec::LayerClass &layerClass,
                                              const PipelineOptions &options);

  /// The text of the class's functions or kernels after a stage.
  Result<std::string> emit(const spec::ModelSpec &spec, const spec::LayerClass &layerClass,
                           const PipelineOptions &options, Stage stage);

private:
  struct State;
  std::unique_ptr<State> state;
};

/// Assembles every kernel for its target, several at a time.
Result<void> assembleKernels(std::vector<CompiledKernel> &kernels, const Ptxas &ptxas);

} // namespace attncc
