#include "compiler/driver/Pipeline.h"
#include "compiler/target/Ptxas.h"
#include "runtime/support/Parallel.h"

using namespace attncc;

Result<void> attncc::assembleKernels(std::vector<CompiledKernel> &kernels, const Ptxas &ptxas) {
  return inParallel(kernels.size(), 0, [&](size_t i) -> Result<void> {
    CompiledKernel &kernel = kernels[i];
    Result<AssembledKernel> assembled =
        ptxas.assemble(kernel.ptx, kernel.target, kernel.entry, kernelFile(kernel, ".ptx"));
    if (!assembled)
      return assembled.error();
    kernel.assembled = std::move(*assembled);
    return {};
  });
}
