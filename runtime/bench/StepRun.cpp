// See StepRun.h: the step's memory, its plan and its launches.
#include "runtime/bench/StepRun.h"

#include "runtime/verify/Random.h"

#include <algorithm>
#include <tuple>

namespace attncc::bench {

namespace {
constexpr int64_t kLayerAlignment = 256;
constexpr int32_t kNoPage = INT32_MAX; // of table entries that nobody may use

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

Error unsupported(std::string message) {
  return makeError(Status::Unsupported, std::move(message));
}
} // namespace

StepRun::StepRun(const Machine &machine, std::shared_ptr<const package::Package> owner,
                 const verify::ClassShape &shape, const Shape &step, const RunOptions &options,
                 NoisePool &pool)
    : machine(machine), package(std::move(owner)),
      group(*package->manifest().findGroup(shape.cacheGroup)), shape(shape), step(step),
      options(options), pool(pool), sequences(step.sequences(options.seed)),
      kvHeads(step.kvHeads ? step.kvHeads : shape.kvHeads), queryHeads(kvHeads * shape.group()),
      queries(machine, options.seed + 1, "query") {}

Result<std::unique_ptr<StepRun>> StepRun::make(const Machine &machine,
                                               std::shared_ptr<const package::Package> package,
                                               const verify::ClassShape &shape, const Shape &step,
                                               const RunOptions &options, NoisePool &pool) {
  std::unique_ptr<StepRun> run(
      new StepRun(machine, std::move(package), shape, step, options, pool));
  for (auto part : {&StepRun::countWork, &StepRun::placePages, &StepRun::placeTensors})
    if (Result<void> done = (run.get()->*part)(); !done)
      return done.error();
  return run;
}

/// Query tokens and bytes, of steps that the package has kernels for.
Result<void> StepRun::countWork() {
  if (isPrefill() && shape.prefillRows == 0)
    return unsupported("the package has no prefill kernel");
  if (!isPrefill() && step.queryLength.most > shape.maxDraft)
    return unsupported("decode takes up to " + std::to_string(shape.maxDraft) +
                       " query tokens a sequence");
  if (step.kvHeads > shape.kvHeads)
    return unsupported("the package has " + std::to_string(shape.kvHeads) + " kv heads");
  for (auto [queryLength, kvLength] : sequences) {
    tokens += queryLength;
    longestQuery = std::max(longestQuery, queryLength);
    longestKv = std::max(longestKv, kvLength);
  }
  if (tokens > INT32_MAX)
    return unsupported("it has " + std::to_string(tokens) + " query tokens, a step has up to " +
                       std::to_string(INT32_MAX));
  if (isPrefill())
    return {};
  verify::VerifyCase traffic;
  traffic.role = verify::Role::Decode;
  traffic.kvHeads = kvHeads;
  traffic.sequences = sequences;
  Result<int64_t> bytes = verify::compulsoryBytes(traffic, shape);
  if (!bytes)
    return bytes.error();
  if (*bytes < 1)
    return unsupported("the package states no traffic of decode");
  compulsory = *bytes;
  return {};
}

int64_t StepRun::visibleKeys(const verify::SequenceShape &sequence, int64_t i) const {
  return shape.causal ? sequence.kvLength - sequence.queryLength + i + 1 : sequence.kvLength;
}

/// Two products of each pair of a query and a key, of key_dim and of value_dim elements.
double StepRun::flops() const {
  double pairs = 0;
  for (const verify::SequenceShape &sequence : sequences) {
    const int64_t last = sequence.queryLength - 1;
    pairs += 0.5 * double(sequence.queryLength) *
             double(visibleKeys(sequence, 0) + visibleKeys(sequence, last));
  }
  return 2 * double(shape.keyDim + shape.valueDim) * double(queryHeads) * pairs;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Result<Memory> StepRun::upload(const std::vector<int32_t> &numbers, const char *label) {
  Result<Memory> memory = Memory::allocate(machine.device, 4 * numbers.size(), label);
  if (!memory)
    return memory;
  if (Result<void> copied = machine.device->copy(memory->as<void>(), numbers.data(),
                                                 memory->bytes(), machine.stream());
      !copied)
    return copied.error();
  return memory;
}

/// Page numbers of the sequences, and memory for as many layers as it takes to be cold, or as there
/// is room for.
Result<void> StepRun::placePages() {
  for (const verify::SequenceShape &sequence : sequences)
    numPages += ceilDiv(sequence.kvLength, group.pageSize);
  Result<plan::PoolLayout> layout = plan::layoutPool(group, kvHeads, numPages, nullptr);
  if (!layout)
    return layout.error();
  const int64_t layerBytes =
      ceilDiv(layout->bytes / group.numLayers(), kLayerAlignment) * kLayerAlignment;
  bytesOfLayer = isPrefill() ? layerBytes + 2 * queryElements() : compulsory;
  numLayers = std::clamp<int64_t>(ceilDiv(coldBytes(), bytesOfLayer), 1,
                                  isPrefill() ? kMostSets : kMostLayers);
  Result<std::byte *> memory = pool.reserve(size_t(numLayers * layerBytes), shape.type);
  while (!memory && memory.error().status == Status::OutOfMemory && numLayers > 1) {
    numLayers = ceilDiv(numLayers, 2);
    memory = pool.reserve(size_t(numLayers * layerBytes), shape.type);
  }
  if (!memory)
    return memory.error();
  std::vector<int32_t> numbers;
  for (int64_t page = 0; page < numPages; ++page)
    numbers.push_back(static_cast<int32_t>(page));
  verify::Random random(options.seed);
  if (options.permuted)
    random.shuffle(numbers);
  auto next = numbers.begin();
  for (const verify::SequenceShape &sequence : sequences) {
    auto end = next + ceilDiv(sequence.kvLength, group.pageSize);
    pages.emplace_back(next, end);
    next = end;
  }

  layout = plan::layoutPool(group, kvHeads, numPages, *memory);
  if (!layout)
    return layout.error();
  return bindLayers(*layout, layerBytes);
}

/// The strides of `layout`; layer i's memory is at i * layerBytes.
Result<void> StepRun::bindLayers(const plan::PoolLayout &layout, int64_t layerBytes) {
  for (int64_t i = 0; i < numLayers; ++i) {
    attncc_kv_layer layer = layout.layers.front();
    layer.k = static_cast<std::byte *>(layer.k) + i * layerBytes;
    layer.v = static_cast<std::byte *>(layer.v) + i * layerBytes;
    layerMemory.push_back(layer);
  }
  const std::vector<int64_t> ofGroup = package::layersOf(group.layers);
  for (size_t i = 0; i < ofGroup.size(); ++i)
    if (package->manifest().classOfLayer(ofGroup[i])->name == shape.name)
      classLayers.push_back(static_cast<uint32_t>(i));
  // As many caches as it takes to bind every layer's memory to a layer of this class.
  const int64_t each = static_cast<int64_t>(classLayers.size());
  for (int64_t first = 0; first < numLayers; first += each) {
    std::vector<attncc_kv_layer> bound(ofGroup.size(), layerMemory.front());
    for (int64_t i = 0; i < each && first + i < numLayers; ++i)
      bound[classLayers[size_t(i)]] = layerMemory[size_t(first + i)];
    Result<std::shared_ptr<const plan::KvCache>> cache =
        plan::KvCache::bind(package, group.name, bound);
    if (!cache)
      return cache.error();
    caches.push_back(*cache);
  }
  return {};
}

Result<void> StepRun::placeTensors() {
  const int64_t sets = isPrefill() ? numLayers : 1;
  Result<std::byte *> drawn = queries.reserve(size_t(2 * sets * queryElements()), shape.type);
  if (!drawn)
    return drawn.error();
  query = reinterpret_cast<uint16_t *>(*drawn);
  std::vector<int32_t> kvLengths;
  starts = {0};
  for (const verify::SequenceShape &sequence : sequences) {
    starts.push_back(starts.back() + static_cast<int32_t>(sequence.queryLength));
    kvLengths.push_back(static_cast<int32_t>(sequence.kvLength));
  }
  for (auto [to, numbers, label] : {std::tuple(&queryStart, &starts, "query_start"),
                                    std::tuple(&kvLength, &kvLengths, "kv_length")}) {
    Result<Memory> uploaded = upload(*numbers, label);
    if (!uploaded)
      return uploaded.error();
    *to = std::move(*uploaded);
  }
  Result<Memory> allocated =
      Memory::allocate(machine.device, size_t(tokens * queryHeads * shape.valueDim) * 2, "output");
  if (!allocated)
    return allocated.error();
  output = std::move(*allocated);
  return {};
}

/// Rows as long as the bound has them.
Result<void> StepRun::placeTable(int64_t maxKvLength) {
  tableStride = ceilDiv(maxKvLength, group.pageSize);
  std::vector<int32_t> entries(size_t(step.batch * tableStride), kNoPage);
  for (size_t s = 0; s < pages.size(); ++s)
    std::copy(pages[s].begin(), pages[s].end(), entries.begin() + int64_t(s) * tableStride);
  Result<Memory> uploaded = upload(entries, "block_table");
  if (!uploaded)
    return uploaded.error();
  table = std::move(*uploaded);
  return {};
}

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

Result<void> StepRun::plan(int64_t bound) {
  maxKvLength = bound;
  attncc_limits limits = {};
  limits.size = sizeof limits;
  limits.max_sequences = static_cast<uint32_t>(step.batch);
  limits.max_tokens = static_cast<uint32_t>(tokens);
  limits.max_query_length = static_cast<uint32_t>(longestQuery);
  limits.max_kv_length = static_cast<uint32_t>(maxKvLength);
  limits.policy = options.policy;
  limits.kv_heads = static_cast<uint32_t>(kvHeads);
  limits.tables_are_ready = 1;
  Result<std::unique_ptr<plan::Plan>> made =
      plan::Plan::create(package, group.name.c_str(), limits);
  if (!made)
    return made.error();
  stepPlan = std::move(*made);
  workspace = Memory();
  Result<Memory> allocated =
      Memory::allocate(machine.device, size_t(stepPlan->workspaceBytes()), "workspace");
  if (!allocated)
    return allocated.error();
  workspace = std::move(*allocated);
  if (Result<void> placed = placeTable(maxKvLength); !placed)
    return placed;
  if (Result<void> set = stepPlan->setWorkspace(workspace.as<void>(), int64_t(workspace.bytes()),
                                                machine.stream());
      !set)
    return set;
  return update();
}

const std::string &StepRun::kernel() const {
  const uint32_t layer = classLayers.front();
  return (isPrefill() ? stepPlan->prefillKernel(layer) : stepPlan->decodeKernel(layer))
      ->entry->entry;
}

Result<void> StepRun::update() {
  attncc_batch batch = {};
  batch.size = sizeof batch;
  batch.num_sequences = static_cast<uint32_t>(step.batch);
  batch.num_tokens = static_cast<uint32_t>(tokens);
  batch.max_query_length = static_cast<uint32_t>(longestQuery);
  batch.max_kv_length = static_cast<uint32_t>(maxKvLength);
  batch.query_start = queryStart.as<int32_t>();
  batch.kv_length = kvLength.as<int32_t>();
  batch.block_table = table.as<int32_t>();
  batch.block_table_stride = tableStride;
  return stepPlan->update(batch, machine.stream());
}

attncc_tensor StepRun::tensorOf(void *data, int64_t heads, int64_t dim) const {
  attncc_tensor tensor = {};
  tensor.data = data;
  tensor.rank = 3;
  const int64_t extents[] = {tokens, heads, dim}, strides[] = {heads * dim, dim, 1};
  std::copy_n(extents, 3, tensor.shape);
  std::copy_n(strides, 3, tensor.stride);
  tensor.code = shape.type == verify::NumberType::BF16 ? 4 : 2;
  tensor.bits = 16;
  tensor.lanes = 1;
  return tensor;
}

Result<void> StepRun::attend(int64_t layer, device::Stream stream) {
  attncc_attend_args args = {};
  args.size = sizeof args;
  args.query = tensorOf(queryOf(layer), queryHeads, shape.keyDim);
  args.output = tensorOf(output.as<void>(), queryHeads, shape.valueDim);
  const size_t at = size_t(layer), each = classLayers.size();
  return stepPlan->attend(*caches[at / each], classLayers[at % each], args, stream);
}

Result<void> StepRun::append(int64_t layer, const attncc_append_args &args) {
  const size_t at = size_t(layer), each = classLayers.size();
  return stepPlan->append(*caches[at / each], classLayers[at % each], args, machine.stream());
}

} // namespace attncc::bench
