//===- PackageExecutor.cpp - see Executor.h ---------------------------------===//

#include "runtime/device/CudaDevice.h"
#include "runtime/device/RecordingDevice.h"
#include "runtime/device/SimulatorDevice.h"
#include "runtime/plan/MergeStates.h"
#include "runtime/plan/Plan.h"
#include "runtime/verify/Executor.h"

#include <algorithm>
#include <cstring>
#include <numbers>

namespace attncc::verify {

namespace {
attncc_tensor tensorOf(const CaseMemory &memory, const TensorImage &image, NumberType type) {
  attncc_tensor tensor = {};
  tensor.data = memory.at(image.data);
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

attncc_tensor tensorOf(const CaseMemory &memory, const LseImage &image, int64_t tokens,
                       int64_t heads) {
  attncc_tensor tensor = {};
  tensor.data = memory.at(image.data);
  tensor.rank = 2;
  tensor.shape[0] = tokens;
  tensor.shape[1] = heads;
  tensor.stride[0] = image.tokenStride;
  tensor.stride[1] = image.headStride;
  tensor.code = 2;
  tensor.bits = 32;
  tensor.lanes = 1;
  return tensor;
}

/// The plan's workspace behind its head and counters (docs/package.md, "Workspace").
Partials readPartials(const ClassShape &shape, const VerifyCase &c, const CaseData &data,
                      const Memory &workspace, const plan::Plan &plan) {
  Partials partials;
  const int64_t sequences = int64_t(c.sequences.size());
  partials.splits = shape.splits.maxSplits(data.maxKvLength);
  partials.maxQueryLength = std::min(data.maxQueryLength, shape.maxDraft);
  partials.queryHeads = c.kvHeads * shape.group();
  partials.dim = shape.valueDim;
  const auto layer = static_cast<uint32_t>(shape.layer);
  const bool addsSplits = plan.decodeKernel(layer)->entry->addsSplits != package::AddsSplits::None;
  for (const auto &sequence : c.sequences) {
    const int64_t splits = shape.splits.numSplits(sequence.kvLength);
    int64_t ofItem = 1;
    if (addsSplits)
      ofItem = splitsTaken(shape.splits, sequence.kvLength, -plan.splitTokens(layer));
    partials.splitsOfPartial.push_back(ofItem >= splits ? splits : std::min(ofItem, kSplitsOfSpan));
  }
  const int64_t rows = sequences * partials.splits * partials.maxQueryLength * partials.queryHeads;
  const auto *output = reinterpret_cast<const float *>(
      workspace.as<std::byte>() + 256 + 256 * ((4 * sequences * c.kvHeads + 255) / 256));
  partials.output.assign(output, output + rows * partials.dim);
  partials.lse.assign(output + rows * partials.dim, output + rows * (partials.dim + 1));
  for (float &lse : partials.lse) // in units of log2
    lse *= std::numbers::ln2_v<float>;
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
  Result<std::unique_ptr<PackageExecutor>> executor = over(*package, options);
  if (executor) {
    (*executor)->deviceName = deviceName;
    (*executor)->folder = folder;
  }
  return executor;
}

Result<std::unique_ptr<PackageExecutor>>
PackageExecutor::over(std::shared_ptr<const package::Package> package,
                      const ExecutorOptions &options) {
  std::unique_ptr<PackageExecutor> executor(new PackageExecutor);
  executor->options = options;
  executor->loaded = std::move(package);
  device::Device &device = executor->loaded->device();
  if (device::CudaDevice *gpu = device.asCuda()) {
    Result<device::Stream> stream = gpu->openStream();
    if (!stream)
      return stream.error();
    executor->stream = *stream;
  }
  executor->memory = device.asSimulator() && !options.ownMemory
                         ? CaseMemory::onHost(device)
                         : CaseMemory::onDevice(device, executor->stream);
  return executor;
}

PackageExecutor::~PackageExecutor() {
  memory.reset();
  if (stream)
    (void)loaded->device().asCuda()->closeStream(stream);
}

bool PackageExecutor::hasGraphs() const { return loaded->device().asCuda() != nullptr; }

Result<std::unique_ptr<PackageExecutor>> PackageExecutor::another() const {
  return loaded->device().asSimulator() ? open(deviceName, folder, options) : over(loaded, options);
}

/// What an engine sets up once: pages bound, a plan with its workspace. Then a batch.
struct PackageExecutor::Launches {
  PackageExecutor &executor;
  const ClassShape &shape;
  const VerifyCase &c;
  CaseData &data;
  std::shared_ptr<const plan::KvCache> cache = nullptr;
  std::unique_ptr<plan::Plan> plan = nullptr;
  static constexpr size_t kWorkspaceHead = 256, kWorkspaceAlignment = 256;
  Memory workspace = {};

  /// `other` is a second case whose memory is needed as well, or null.
  Result<void> prepare(const CaseData *other) {
    const std::shared_ptr<const package::Package> &package = executor.loaded;
    attncc_limits limits = {};
    limits.size = sizeof limits;
    limits.max_sequences = uint32_t(c.sequences.size());
    limits.max_tokens = uint32_t(data.numTokens);
    limits.max_query_length = uint32_t(data.maxQueryLength);
    limits.max_kv_length = uint32_t(data.maxKvLength);
    limits.policy = c.throughput ? ATTNCC_THROUGHPUT : ATTNCC_INVARIANT;
    limits.kv_heads = uint32_t(c.kvHeads);
    limits.query_heads = uint32_t(c.kvHeads * shape.group());
    Result<std::unique_ptr<plan::Plan>> made =
        plan::Plan::create(package, shape.cacheGroup.c_str(), limits);
    if (!made)
      return made.error();
    plan = std::move(*made);
    Result<Memory> mapped = Memory::map(size_t(plan->workspaceBytes()));
    if (!mapped)
      return mapped.error();
    workspace = std::move(*mapped);
    // Append uses the head alone, and the rest may be large.
    std::memset(workspace.as<void>(), 0xff,
                c.role == Role::Append ? kWorkspaceHead : workspace.bytes());

    if (Result<void> put = putMemory(other); !put)
      return put;

    const CaseMemory &memory = *executor.memory;
    attncc_kv_layer layer = {};
    layer.size = sizeof layer;
    layer.kv_heads = uint32_t(c.kvHeads);
    layer.k = memory.at(data.k.data);
    layer.v = memory.at(data.v.data);
    layer.num_pages = data.numPages;
    layer.k_page_stride = data.k.pageStride;
    layer.k_token_stride = data.k.tokenStride;
    layer.k_head_stride = data.k.headStride;
    layer.v_page_stride = data.v.pageStride;
    layer.v_token_stride = data.v.tokenStride;
    layer.v_head_stride = data.v.headStride;
    std::vector<attncc_kv_layer> layers(size_t(shape.numLayers), layer);
    Result<std::shared_ptr<const plan::KvCache>> bound =
        plan::KvCache::bind(package, shape.cacheGroup, layers);
    if (!bound)
      return bound.error();
    cache = *bound;
    if (Result<void> set = plan->setWorkspace(memory.at(workspace.as<void>()),
                                              int64_t(workspace.bytes()), executor.stream);
        !set)
      return set;

    attncc_batch batch = {};
    batch.size = sizeof batch;
    batch.num_sequences = limits.max_sequences;
    batch.num_tokens = limits.max_tokens;
    batch.max_query_length = limits.max_query_length;
    batch.max_kv_length = limits.max_kv_length;
    batch.query_start = memory.at(data.queryStart);
    batch.kv_length = memory.at(data.kvLength);
    batch.block_table = memory.at(data.blockTable);
    batch.block_table_stride = data.blockTableStride;
    batch.page_indptr = memory.at(data.pageIndptr);
    batch.slot_mapping = memory.at(data.slots);
    return plan->update(batch, executor.stream);
  }

  /// Makes the case's memory addressable, that of `other`, and the workspace.
  Result<void> putMemory(const CaseData *other) {
    std::vector<CaseMemory::Range> ranges;
    for (const CaseData *from : {static_cast<const CaseData *>(&data), other})
      if (from)
        for (const CaseData::Named &named : from->mappings())
          ranges.push_back({named.label, named.memory.as<std::byte>(), named.memory.bytes(),
                            named.unbacked, isWritten(named.memory, other != nullptr)});
    if (workspace.bytes())
      ranges.push_back({"workspace", workspace.as<std::byte>(), workspace.bytes(), 0, true, true,
                        kWorkspaceAlignment});
    return executor.memory->put(std::move(ranges));
  }

  /// Rows of `from`, whose rotated queries go to `queryOut`.
  Result<void> append(const CaseData &from, const TensorImage &queryOut) {
    const CaseMemory &memory = *executor.memory;
    attncc_append_args args = {};
    args.size = sizeof args;
    args.query = tensorOf(memory, from.query, shape.type);
    args.key = tensorOf(memory, from.key, shape.type);
    args.value = tensorOf(memory, from.value, shape.type);
    args.query_out = tensorOf(memory, queryOut, shape.type);
    args.prologue = from.prologue ? ATTNCC_PROLOGUE_FUSED : ATTNCC_PROLOGUE_NONE;
    if (from.cosSin) {
      args.cos_sin.data = memory.at(from.cosSin);
      args.cos_sin.rank = 2;
      args.cos_sin.shape[0] = from.cosSinPositions;
      args.cos_sin.shape[1] = 2 * int64_t(shape.rope->inverseFrequencies.size());
      args.cos_sin.stride[0] = from.cosSinStride;
      args.cos_sin.stride[1] = 1;
      args.cos_sin.code = from.cosSinBytes == 2 && shape.type == NumberType::BF16 ? 4 : 2;
      args.cos_sin.bits = uint8_t(8 * from.cosSinBytes);
      args.cos_sin.lanes = 1;
    }
    args.position = memory.at(from.positions);
    args.q_norm = memory.at(from.queryWeight);
    args.k_norm = memory.at(from.keyWeight);
    return plan->append(*cache, uint32_t(shape.layer), args, executor.stream);
  }

  Result<void> attend() {
    const CaseMemory &memory = *executor.memory;
    attncc_attend_args args = {};
    args.size = sizeof args;
    args.query = tensorOf(memory, data.query, shape.type);
    args.output = tensorOf(memory, data.output, shape.type);
    if (data.lse.data)
      args.lse = tensorOf(memory, data.lse, data.numTokens, data.query.heads);
    return plan->attend(*cache, uint32_t(shape.layer), args, executor.stream);
  }

  Result<void> mergeStates() {
    const CaseMemory &memory = *executor.memory;
    std::vector<attncc_tensor> outputs, lses;
    for (const StateImage &state : data.states) {
      outputs.push_back(tensorOf(memory, state.output, shape.type));
      lses.push_back(tensorOf(memory, state.lse, data.numTokens, data.output.heads));
    }
    attncc_attend_args args = {};
    args.size = sizeof args;
    args.output = tensorOf(memory, data.output, shape.type);
    if (data.lse.data)
      args.lse = tensorOf(memory, data.lse, data.numTokens, data.output.heads);
    return plan::mergeStates(*executor.loaded, outputs, lses, c.lseIsLog2, args, executor.stream);
  }

  /// What the launches left; `launched` is their result.
  Result<Execution> finish(const Result<void> &launched) {
    Execution execution;
    if (device::SimulatorDevice *simulator = executor.loaded->device().asSimulator()) {
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
    if (plan) {
      Result<uint32_t> errors = plan->takeErrors(executor.stream);
      if (!errors)
        return errors.error();
      execution.errors = *errors;
    }
    Result<std::vector<std::string>> trespasses = executor.memory->take();
    if (!trespasses)
      return trespasses.error();
    execution.findings.insert(execution.findings.end(), trespasses->begin(), trespasses->end());
    if (c.role == Role::Merge)
      execution.partials = readPartials(shape, c, data, workspace, *plan);
    return execution;
  }

private:
  bool isWritten(const Memory &memory, bool isStep) const {
    auto holds = [&](const void *pointer) {
      return pointer >= memory.as<std::byte>() && pointer < memory.as<std::byte>() + memory.bytes();
    };
    const bool appends = isStep || c.role == Role::Append;
    return holds(data.output.data) || holds(data.lse.data) ||
           (appends && (holds(data.k.data) || holds(data.v.data))) ||
           (isStep && holds(data.query.data));
  }
};

Result<Execution> PackageExecutor::run(const ClassShape &shape, const VerifyCase &c,
                                       CaseData &data) {
  Launches launches{*this, shape, c, data};
  if (c.role == Role::MergeStates) { // without a plan
    if (Result<void> put = launches.putMemory(nullptr); !put)
      return put.error();
    return launches.finish(launches.mergeStates());
  }
  if (Result<void> prepared = launches.prepare(nullptr); !prepared)
    return prepared.error();
  return launches.finish(c.role == Role::Append ? launches.append(data, data.output)
                                                : launches.attend());
}

Result<Execution> PackageExecutor::runStep(const ClassShape &shape, Step &step, StepForm form) {
  Launches launches{*this, shape, step.attendCase, *step.attend};
  if (Result<void> prepared = launches.prepare(step.append.get()); !prepared)
    return prepared.error();
  auto launchAll = [&]() -> Result<void> {
    Result<void> launched = launches.append(*step.append, step.attend->query);
    if (launched && form == StepForm::Apart)
      launched = loaded->device().synchronize(stream);
    return launched ? launches.attend() : launched;
  };
  if (form != StepForm::Graph)
    return launches.finish(launchAll());
  Result<std::unique_ptr<device::Graph>> graph =
      loaded->device().asCuda()->capture(stream, launchAll);
  if (!graph)
    return graph.error();
  Result<void> launched = (*graph)->launch(stream);
  if (launched)
    launched = memory->refresh();
  if (launched)
    launched = (*graph)->launch(stream);
  return launches.finish(launched);
}

} // namespace attncc::verify
