#include "runtime/plan/Launch.h"

using namespace attncc;

Result<void> plan::launch(const package::Package &package, const package::LoadedKernel &kernel,
                          const package::NameValues &values, const SplitRule *rule,
                          std::span<const std::byte> params,
                          std::span<const device::Buffer> buffers, device::Stream stream) {
  device::LaunchShape shape;
  for (size_t i = 0; i < 3; ++i) {
    Result<int64_t> blocks = kernel.grid[i].evaluate(values, rule);
    if (!blocks)
      return blocks.error();
    if (*blocks == 0)
      return {};
    if (*blocks < 0 || *blocks > (i == 0 ? kMaxGridX : kMaxGridYZ))
      return makeError(Status::LimitExceeded,
                       kernel.entry->entry + " needs " + std::to_string(*blocks) +
                           " blocks in dimension " + std::to_string(i) + ", a grid has at most " +
                           std::to_string(i == 0 ? kMaxGridX : kMaxGridYZ));
    shape.grid[i] = static_cast<uint32_t>(*blocks);
    shape.block[i] = static_cast<uint32_t>(kernel.entry->block[i]);
  }
  return package.device().launch(*kernel.kernel, shape, params, buffers, stream);
}
