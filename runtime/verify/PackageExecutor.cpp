//===- PackageExecutor.cpp - see Executor.h ---------------------------------===//

#include "runtime/device/RecordingDevice.h"
#include "runtime/device/SimulatorDevice.h"
#include "runtime/plan/Plan.h"
#include "runtime/verify/Executor.h"

#include <algorithm>
#include <cstring>

namespace attncc::verify {

namespace {
/// Memory that is addressable for the time of a run.
class Registration {
public:
  explicit Registration(device::Device &device) : device(device) {}
  ~Registration() {
    for (void *memory : registered)
      (void)device.free(memory);
  }
  Result<void> add(const Memory &memory, const char *label) {
    Result<void> result = device.registerMemory(memory.as<void>(), memory.bytes(), label);
    if (result)
      registered.push_back(memory.as<void>());
    return result;
  }

private:
  device::Device &device;
  std::vector<void *> registered;
};

attncc_tensor tensorOf(const TensorImage &image, NumberType type) {
  attncc_tensor tensor = {};
  tensor.data = image.data;
  tensor.rank = 3;
  int64_t shape[] = {image.tokens, image.heads, image.dim};
  int64_t stride[] = {image.tokenStride, image.headStride, 1};
  std::copy_n(shape, 3, tensor.shape);
  std::copy_n(stride, 3, tensor.stride);
  tensor.code = type == NumberType::BF16 ? 4 : 2;
  tensor.bits = 16;
  tensor.lanes = 1;
  return tensor;
}

/// The plan's workspace behind its head and counters (docs/package.md, "Workspace").
Partials readPartials(const ClassShape &shape, const VerifyCase &c, const CaseData &data,
                      const Memory &workspace) {
  Partials partials;
  const int64_t sequences = int64_t(c.sequences.size());
  partials.splits = shape.splits.maxSplits(data.maxKvLength);
  partials.maxQueryLength = data.maxQueryLength;
  partials.queryHeads = c.kvHeads * shape.group();
  partials.dim = shape.valueDim;
  const int64_t rows = sequences * partials.splits * partials.maxQueryLength * partials.queryHeads;
  const auto *output = reinterpret_cast<const float *>(
      workspace.as<std::byte>() + 256 + 256 * ((4 * sequences * c.kvHeads + 255) / 256));
  partials.output.assign(output, output + rows * partials.dim);
  partials.lse.assign(output + rows * partials.dim, output + rows * (partials.dim + 1));
  return partials;
}
} // namespace

Result<std::unique_ptr<PackageExecutor>> PackageExecutor::open(const std::string &deviceName,
                                                               const std::string &folder,
                                                               const ExecutorOptions &options) {
  Result<std::shared_ptr<device::Device>> device = device::Device::open(deviceName);
  if (!device)
    return device.error();
  if (device::SimulatorDevice *simulator = (*device)->asSimulator()) {
    simulator::Options running;
    running.threads = options.threads;
    running.tensorCore = options.hopper ? simulator::TensorCore::Sm90 : simulator::TensorCore::Sm80;
    simulator->setOptions(running);
    simulator->setRecording(true);
  }
  if (!options.record.empty())
    device = std::shared_ptr<device::Device>(
        std::make_shared<device::RecordingDevice>(*device, options.record));
  package::LoadOptions load;
  load.target = options.target;
  Result<std::shared_ptr<const package::Package>> package =
      package::Package::open(*device, folder, load);
  if (!package)
    return package.error();
  auto executor = std::make_unique<PackageExecutor>();
  executor->loaded = *package;
  return executor;
}

Result<Execution> PackageExecutor::run(const ClassShape &shape, const VerifyCase &c,
                                       CaseData &data) {
  device::Device &device = loaded->device();
  Registration registration(device);
  for (const CaseData::Named &named : data.mappings())
    if (Result<void> added = registration.add(named.memory, named.label); !added)
      return added.error();

  attncc_kv_layer layer = {};
  layer.size = sizeof layer;
  layer.kv_heads = uint32_t(c.kvHeads);
  layer.k = data.k.data;
  layer.v = data.v.data;
  layer.num_pages = data.numPages;
  layer.k_page_stride = data.k.pageStride;
  layer.k_token_stride = data.k.tokenStride;
  layer.k_head_stride = data.k.headStride;
  layer.v_page_stride = data.v.pageStride;
  layer.v_token_stride = data.v.tokenStride;
  layer.v_head_stride = data.v.headStride;
  std::vector<attncc_kv_layer> layers(size_t(shape.numLayers), layer);
  Result<std::shared_ptr<const plan::KvCache>> cache =
      plan::KvCache::bind(loaded, shape.cacheGroup, layers);
  if (!cache)
    return cache.error();

  attncc_limits limits = {};
  limits.size = sizeof limits;
  limits.max_sequences = uint32_t(c.sequences.size());
  limits.max_tokens = uint32_t(data.numTokens);
  limits.max_query_length = uint32_t(data.maxQueryLength);
  limits.max_kv_length = uint32_t(data.maxKvLength);
  limits.kv_heads = uint32_t(c.kvHeads);
  limits.query_heads = uint32_t(c.kvHeads * shape.group());
  Result<std::unique_ptr<plan::Plan>> plan =
      plan::Plan::create(loaded, shape.cacheGroup.c_str(), limits);
  if (!plan)
    return plan.error();
  Result<Memory> workspace = Memory::map(size_t((*plan)->workspaceBytes()));
  if (!workspace)
    return workspace.error();
  if (c.role != Role::Append)
    std::memset(workspace->as<void>(), 0xff, workspace->bytes());
  if (Result<void> added = registration.add(*workspace, "workspace"); !added)
    return added.error();
  if (Result<void> set =
          (*plan)->setWorkspace(workspace->as<void>(), int64_t(workspace->bytes()), nullptr);
      !set)
    return set.error();

  attncc_batch batch = {};
  batch.size = sizeof batch;
  batch.num_sequences = limits.max_sequences;
  batch.num_tokens = limits.max_tokens;
  batch.max_query_length = limits.max_query_length;
  batch.max_kv_length = limits.max_kv_length;
  batch.query_start = data.queryStart;
  batch.kv_length = data.kvLength;
  batch.block_table = data.blockTable;
  batch.block_table_stride = data.blockTableStride;
  batch.page_indptr = data.pageIndptr;
  batch.slot_mapping = data.slots;
  if (Result<void> updated = (*plan)->update(batch, nullptr); !updated)
    return updated.error();

  Result<void> launched;
  if (c.role == Role::Append) {
    attncc_append_args args = {};
    args.size = sizeof args;
    args.query = tensorOf(data.query, shape.type);
    args.key = tensorOf(data.key, shape.type);
    args.value = tensorOf(data.value, shape.type);
    args.query_out = tensorOf(data.output, shape.type);
    args.position = data.positions;
    args.q_norm = data.queryWeight;
    args.k_norm = data.keyWeight;
    launched = (*plan)->append(**cache, uint32_t(shape.layer), args, nullptr);
  } else {
    attncc_attend_args args = {};
    args.size = sizeof args;
    args.query = tensorOf(data.query, shape.type);
    args.output = tensorOf(data.output, shape.type);
    if (data.lse) {
      args.lse.data = data.lse;
      args.lse.rank = 2;
      args.lse.shape[0] = data.numTokens;
      args.lse.shape[1] = data.query.heads;
      args.lse.stride[0] = data.lseTokenStride;
      args.lse.stride[1] = data.lseHeadStride;
      args.lse.code = 2;
      args.lse.bits = 32;
      args.lse.lanes = 1;
    }
    launched = (*plan)->attend(**cache, uint32_t(shape.layer), args, nullptr);
  }

  Execution execution;
  if (device::SimulatorDevice *simulator = device.asSimulator()) {
    execution.metered = true;
    for (const device::LaunchReport &launch : simulator->takeReports()) {
      for (const simulator::Finding &finding : launch.report.findings)
        execution.findings.push_back(finding.text());
      execution.bytesMoved += 32 * launch.report.sectors();
      execution.bankConflicts += launch.report.shared.conflicts();
    }
  }
  if (!launched) {
    if (execution.findings.empty())
      return launched.error();
    return execution;
  }
  Result<uint32_t> errors = (*plan)->takeErrors(nullptr);
  if (!errors)
    return errors.error();
  execution.errors = *errors;
  if (c.role == Role::Merge)
    execution.partials = readPartials(shape, c, data, *workspace);
  return execution;
}

} // namespace attncc::verify
