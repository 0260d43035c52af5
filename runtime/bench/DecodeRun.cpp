// See DecodeRun.h.
#include "runtime/bench/DecodeRun.h"

#include "runtime/bench/Statistics.h"
#include "runtime/verify/Oracle.h"
#include "runtime/verify/Plain.h"
#include "runtime/verify/Random.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace attncc::bench {

namespace {
constexpr int64_t kSamples = 3; // (sequence, kv head, layer) that the oracle computes
constexpr int kWarmUps = 20;    // about 30 ms: clocks have settled
constexpr int64_t kBurst = 128; // calls; fewer launches than a stream queues before the host waits
constexpr int64_t kLayerAlignment = 256;
constexpr int32_t kNoPage = INT32_MAX; // of table entries that nobody may use

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

attncc_tensor tensorOf(void *data, verify::NumberType type, int64_t tokens, int64_t heads,
                       int64_t dim) {
  attncc_tensor tensor = {};
  tensor.data = data;
  tensor.rank = 3;
  const int64_t extents[] = {tokens, heads, dim}, strides[] = {heads * dim, dim, 1};
  std::copy_n(extents, 3, tensor.shape);
  std::copy_n(strides, 3, tensor.stride);
  tensor.code = type == verify::NumberType::BF16 ? 4 : 2;
  tensor.bits = 16;
  tensor.lanes = 1;
  return tensor;
}

std::vector<uint16_t> drawBits(verify::Random &random, verify::NumberType type, int64_t count) {
  std::vector<uint16_t> bits(static_cast<size_t>(count));
  for (uint16_t &element : bits)
    element = verify::fromFloat(type, random.normal());
  return bits;
}

Error unsupported(std::string message) {
  return makeError(Status::Unsupported, std::move(message));
}
} // namespace

DecodeRun::DecodeRun(const Machine &machine, std::shared_ptr<const package::Package> owner,
                     const verify::ClassShape &shape, const Shape &step, const RunOptions &options,
                     NoisePool &pool)
    : machine(machine), package(std::move(owner)),
      group(*package->manifest().findGroup(shape.cacheGroup)), shape(shape), step(step),
      options(options), pool(pool) {}

Result<std::unique_ptr<DecodeRun>> DecodeRun::make(const Machine &machine,
                                                   std::shared_ptr<const package::Package> package,
                                                   const verify::ClassShape &shape,
                                                   const Shape &step, const RunOptions &options,
                                                   NoisePool &pool) {
  std::unique_ptr<DecodeRun> run(
      new DecodeRun(machine, std::move(package), shape, step, options, pool));
  if (step.queryLength > shape.maxDraft)
    return unsupported("decode takes up to " + std::to_string(shape.maxDraft) +
                       " query tokens a sequence");
  if (step.kvHeads > shape.kvHeads)
    return unsupported("the package has " + std::to_string(shape.kvHeads) + " kv heads");
  run->kvHeads = step.kvHeads ? step.kvHeads : shape.kvHeads;
  run->queryHeads = run->kvHeads * shape.group();
  run->tokens = step.batch * step.queryLength;
  run->lengths = step.lengths(options.seed);

  verify::VerifyCase traffic;
  traffic.role = verify::Role::Decode;
  traffic.kvHeads = run->kvHeads;
  for (int64_t length : run->lengths)
    traffic.sequences.push_back({step.queryLength, length});
  Result<int64_t> compulsory = verify::compulsoryBytes(traffic, shape);
  if (!compulsory)
    return compulsory.error();
  if (*compulsory < 1)
    return unsupported("the package states no traffic of decode");
  run->compulsory = *compulsory;
  for (auto place : {&DecodeRun::placePages, &DecodeRun::placeTensors})
    if (Result<void> placed = (run.get()->*place)(); !placed)
      return placed.error();
  return run;
}

int64_t DecodeRun::longest() const { return *std::max_element(lengths.begin(), lengths.end()); }

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Result<Memory> DecodeRun::upload(const void *from, size_t bytes, const char *label) {
  Result<Memory> memory = Memory::allocate(machine.device, bytes, label);
  if (!memory)
    return memory;
  if (Result<void> copied = machine.device->copy(memory->as<void>(), from, bytes, machine.stream());
      !copied)
    return copied.error();
  return memory;
}

/// Page numbers of the sequences, and memory for as many layers as it takes to be cold, or as there
/// is room for.
Result<void> DecodeRun::placePages() {
  for (int64_t length : lengths)
    numPages += ceilDiv(length, group.pageSize);
  Result<plan::PoolLayout> layout = plan::layoutPool(group, kvHeads, numPages, nullptr);
  if (!layout)
    return layout.error();
  const int64_t layerBytes =
      ceilDiv(layout->bytes / group.numLayers(), kLayerAlignment) * kLayerAlignment;
  numLayers =
      std::clamp<int64_t>(ceilDiv(kColdFactor * machine.l2Bytes, compulsory), 1, kMostLayers);
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
  for (int64_t length : lengths) {
    auto end = next + ceilDiv(length, group.pageSize);
    pages.emplace_back(next, end);
    next = end;
  }

  layout = plan::layoutPool(group, kvHeads, numPages, *memory);
  if (!layout)
    return layout.error();
  return bindLayers(*layout, layerBytes);
}

/// The strides of `layout`; layer i's memory is at i * layerBytes.
Result<void> DecodeRun::bindLayers(const plan::PoolLayout &layout, int64_t layerBytes) {
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

Result<void> DecodeRun::placeTensors() {
  verify::Random random(options.seed + 1);
  queryBits = drawBits(random, shape.type, tokens * queryHeads * shape.keyDim);
  std::vector<int32_t> starts = {0}, kvLengths;
  for (int64_t length : lengths) {
    starts.push_back(starts.back() + static_cast<int32_t>(step.queryLength));
    kvLengths.push_back(static_cast<int32_t>(length));
  }
  struct Upload {
    Memory &to;
    const void *from;
    size_t bytes;
    const char *label;
  };
  for (const Upload &one :
       {Upload{query, queryBits.data(), queryBits.size() * 2, "query"},
        Upload{queryStart, starts.data(), starts.size() * 4, "query_start"},
        Upload{kvLength, kvLengths.data(), kvLengths.size() * 4, "kv_length"}}) {
    Result<Memory> uploaded = upload(one.from, one.bytes, one.label);
    if (!uploaded)
      return uploaded.error();
    one.to = std::move(*uploaded);
  }
  Result<Memory> allocated =
      Memory::allocate(machine.device, size_t(tokens * queryHeads * shape.valueDim) * 2, "output");
  if (!allocated)
    return allocated.error();
  output = std::move(*allocated);
  return {};
}

/// Rows as long as the bound has them.
Result<void> DecodeRun::placeTable(int64_t maxKvLength) {
  tableStride = ceilDiv(maxKvLength, group.pageSize);
  std::vector<int32_t> entries(size_t(step.batch * tableStride), kNoPage);
  for (size_t s = 0; s < pages.size(); ++s)
    std::copy(pages[s].begin(), pages[s].end(), entries.begin() + int64_t(s) * tableStride);
  Result<Memory> uploaded = upload(entries.data(), entries.size() * 4, "block_table");
  if (!uploaded)
    return uploaded.error();
  table = std::move(*uploaded);
  return {};
}

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

Result<void> DecodeRun::plan(int64_t bound) {
  maxKvLength = bound;
  attncc_limits limits = {};
  limits.size = sizeof limits;
  limits.max_sequences = static_cast<uint32_t>(step.batch);
  limits.max_tokens = static_cast<uint32_t>(tokens);
  limits.max_query_length = static_cast<uint32_t>(step.queryLength);
  limits.max_kv_length = static_cast<uint32_t>(maxKvLength);
  limits.policy = options.policy;
  limits.kv_heads = static_cast<uint32_t>(kvHeads);
  limits.tables_are_ready = 1;
  Result<std::unique_ptr<plan::Plan>> made =
      plan::Plan::create(package, group.name.c_str(), limits);
  if (!made)
    return made.error();
  decodePlan = std::move(*made);
  workspace = Memory();
  Result<Memory> allocated =
      Memory::allocate(machine.device, size_t(decodePlan->workspaceBytes()), "workspace");
  if (!allocated)
    return allocated.error();
  workspace = std::move(*allocated);
  if (Result<void> placed = placeTable(maxKvLength); !placed)
    return placed;
  if (Result<void> set = decodePlan->setWorkspace(workspace.as<void>(), int64_t(workspace.bytes()),
                                                  machine.stream());
      !set)
    return set;
  return update();
}

const std::string &DecodeRun::kernel() const {
  return decodePlan->decodeKernel(classLayers.front())->entry->entry;
}

Result<void> DecodeRun::update() {
  attncc_batch batch = {};
  batch.size = sizeof batch;
  batch.num_sequences = static_cast<uint32_t>(step.batch);
  batch.num_tokens = static_cast<uint32_t>(tokens);
  batch.max_query_length = static_cast<uint32_t>(step.queryLength);
  batch.max_kv_length = static_cast<uint32_t>(maxKvLength);
  batch.query_start = queryStart.as<int32_t>();
  batch.kv_length = kvLength.as<int32_t>();
  batch.block_table = table.as<int32_t>();
  batch.block_table_stride = tableStride;
  return decodePlan->update(batch, machine.stream());
}

Result<void> DecodeRun::attend(int64_t layer, device::Stream stream) {
  attncc_attend_args args = {};
  args.size = sizeof args;
  args.query = tensorOf(query.as<void>(), shape.type, tokens, queryHeads, shape.keyDim);
  args.output = tensorOf(output.as<void>(), shape.type, tokens, queryHeads, shape.valueDim);
  const size_t at = size_t(layer), each = classLayers.size();
  return decodePlan->attend(*caches[at / each], classLayers[at % each], args, stream);
}

Result<void> DecodeRun::append(int64_t layer, const attncc_append_args &args) {
  const size_t at = size_t(layer), each = classLayers.size();
  return decodePlan->append(*caches[at / each], classLayers[at % each], args, machine.stream());
}

//===----------------------------------------------------------------------===//
// Check
//===----------------------------------------------------------------------===//

DecodeRun::Sample DecodeRun::sampleOf(int64_t sequence, int64_t kvHead, int64_t layer) const {
  const attncc_kv_layer &memory = layerMemory[size_t(layer)];
  verify::AttentionProblem problem;
  problem.queryHeads = shape.group();
  problem.kvHeads = 1;
  problem.keyDim = shape.keyDim;
  problem.valueDim = shape.valueDim;
  problem.scale = shape.scale;
  verify::SequenceInputs inputs;
  inputs.queryLength = step.queryLength;
  inputs.kvLength = lengths[size_t(sequence)];
  for (int64_t i = 0; i < step.queryLength; ++i) {
    const int64_t row = (sequence * step.queryLength + i) * queryHeads + kvHead * shape.group();
    for (int64_t e = 0; e < shape.group() * shape.keyDim; ++e)
      inputs.query.push_back(
          verify::toFloat(shape.type, queryBits[size_t(row * shape.keyDim + e)]));
  }
  auto take = [&](std::vector<float> &to, const void *base, int64_t offset, int64_t dim) {
    const uint16_t *row = static_cast<const uint16_t *>(base) + offset;
    for (int64_t d = 0; d < dim; ++d)
      to.push_back(verify::toFloat(shape.type, pool.bitsAt(row + d)));
  };
  for (int64_t token = 0; token < inputs.kvLength; ++token) {
    const int64_t page = pages[size_t(sequence)][size_t(token / group.pageSize)];
    const int64_t inPage = token % group.pageSize;
    take(inputs.key, memory.k,
         page * memory.k_page_stride + inPage * memory.k_token_stride +
             kvHead * memory.k_head_stride,
         shape.keyDim);
    take(inputs.value, memory.v,
         page * memory.v_page_stride + inPage * memory.v_token_stride +
             kvHead * memory.v_head_stride,
         shape.valueDim);
  }
  problem.sequences.push_back(std::move(inputs));
  Sample sample;
  sample.sequence = sequence;
  sample.kvHead = kvHead;
  sample.layer = layer;
  sample.oracle = evaluateOracle(problem).output;
  sample.plain = evaluatePlain(problem, shape.type).output;
  return sample;
}

/// The longest sequence and others, in layers over all of the memory.
void DecodeRun::prepareSamples() {
  verify::Random random(options.seed + 2);
  for (int64_t i = 0; i < kSamples; ++i) {
    const int64_t sequence =
        i == 0 ? std::max_element(lengths.begin(), lengths.end()) - lengths.begin()
               : random.integer(0, step.batch - 1);
    const int64_t layer = (numLayers - 1) * (kSamples - 1 - i) / (kSamples - 1);
    samples.push_back(sampleOf(sequence, random.integer(0, kvHeads - 1), layer));
  }
}

Result<verify::Measure> DecodeRun::check() {
  if (samples.empty())
    prepareSamples();
  auto wrong = [](std::string reason) {
    verify::Measure measure;
    measure.accepted = false;
    measure.reason = std::move(reason);
    return measure;
  };
  std::vector<float> kernel, plain;
  std::vector<double> oracle;
  std::vector<uint16_t> left(output.bytes() / 2);
  for (const Sample &sample : samples) {
    std::fill(left.begin(), left.end(), verify::kPoison);
    if (Result<void> copied =
            machine.device->copy(output.as<void>(), left.data(), output.bytes(), machine.stream());
        !copied)
      return copied.error();
    if (Result<void> attended = attend(sample.layer, machine.stream()); !attended)
      return attended.error();
    if (Result<void> checked = decodePlan->check(machine.stream()); !checked) {
      if (checked.error().status != Status::LimitExceeded)
        return checked.error();
      return wrong(checked.error().diagnostic.message);
    }
    if (Result<void> copied =
            machine.device->copy(left.data(), output.as<void>(), output.bytes(), machine.stream());
        !copied)
      return copied.error();
    const int64_t rowElements = queryHeads * shape.valueDim;
    for (size_t e = 0; e < left.size(); ++e)
      if (!std::isfinite(verify::toFloat(shape.type, left[e])))
        return wrong("output of token " + std::to_string(int64_t(e) / rowElements) + ", head " +
                     std::to_string(int64_t(e) % rowElements / shape.valueDim) +
                     " is not a finite number");
    for (int64_t i = 0; i < step.queryLength; ++i) {
      const int64_t row =
          (sample.sequence * step.queryLength + i) * queryHeads + sample.kvHead * shape.group();
      for (int64_t e = 0; e < shape.group() * shape.valueDim; ++e)
        kernel.push_back(verify::toFloat(shape.type, left[size_t(row * shape.valueDim + e)]));
    }
    oracle.insert(oracle.end(), sample.oracle.begin(), sample.oracle.end());
    plain.insert(plain.end(), sample.plain.begin(), sample.plain.end());
  }
  return verify::measureTensor(shape.type, kernel, oracle, plain);
}

//===----------------------------------------------------------------------===//
// Time
//===----------------------------------------------------------------------===//

Result<Timing> DecodeRun::time() {
  auto record = [&](int64_t attends) {
    return machine.stopwatch->record([&, attends](device::Stream stream) -> Result<void> {
      for (int64_t i = 0; i < attends; ++i)
        if (Result<void> launched = attend(i % numLayers, stream); !launched)
          return launched;
      return {};
    });
  };
  Result<std::unique_ptr<Recording>> recording = record(numLayers);
  if (!recording)
    return recording.error();
  Result<double> once = (*recording)->run();
  if (!once)
    return once.error();
  // Whole turns over the layers.
  const double turns = std::ceil(options.sampleMicroseconds / *once);
  Timing timing;
  timing.attends = numLayers * std::clamp<int64_t>(int64_t(turns), 1,
                                                   std::max<int64_t>(1, kMostAttends / numLayers));
  if (recording = record(timing.attends); !recording)
    return recording.error();
  std::vector<double> times;
  for (int64_t i = -kWarmUps; i < options.samples; ++i) {
    Result<double> microseconds = (*recording)->run();
    if (!microseconds)
      return microseconds.error();
    if (i >= 0)
      times.push_back(*microseconds / double(timing.attends));
  }
  timing.median = median(times);
  timing.deviation = medianDeviation(times);
  timing.samples = options.samples;
  return timing;
}

Result<HostTimes> DecodeRun::hostTimes() {
  verify::Random random(options.seed + 3);
  Memory key, value, rotated, norm;
  struct Upload {
    Memory &to;
    int64_t elements;
    const char *label;
  };
  for (const Upload &one : {Upload{key, tokens * kvHeads * shape.keyDim, "key"},
                            Upload{value, tokens * kvHeads * shape.valueDim, "value"},
                            Upload{rotated, tokens * queryHeads * shape.keyDim, "query_out"},
                            Upload{norm, shape.keyDim, "norm"}}) {
    const std::vector<uint16_t> bits = drawBits(random, shape.type, one.elements);
    Result<Memory> uploaded = upload(bits.data(), bits.size() * 2, one.label);
    if (!uploaded)
      return uploaded.error();
    one.to = std::move(*uploaded);
  }
  attncc_append_args args = {};
  args.size = sizeof args;
  args.query = tensorOf(query.as<void>(), shape.type, tokens, queryHeads, shape.keyDim);
  args.key = tensorOf(key.as<void>(), shape.type, tokens, kvHeads, shape.keyDim);
  args.value = tensorOf(value.as<void>(), shape.type, tokens, kvHeads, shape.valueDim);
  args.query_out = tensorOf(rotated.as<void>(), shape.type, tokens, queryHeads, shape.keyDim);
  args.q_norm = args.k_norm = shape.normEpsilon ? norm.as<void>() : nullptr;

  Result<void> state;
  using Clock = std::chrono::steady_clock;
  /// Median microseconds of one of `calls` calls, which the device has all finished in between.
  auto timed = [&](int64_t calls, auto &&call) {
    std::vector<double> times;
    for (int64_t sample = 0; state && sample < options.samples; ++sample) {
      const Clock::time_point begin = Clock::now();
      for (int64_t i = 0; state && i < calls; ++i)
        state = call(i);
      const std::chrono::duration<double, std::micro> passed = Clock::now() - begin;
      if (state)
        state = machine.device->synchronize(machine.stream());
      times.push_back(passed.count() / double(calls));
    }
    return median(std::move(times));
  };
  HostTimes times;
  times.update = timed(kBurst, [&](int64_t) { return update(); });
  times.append = timed(kBurst, [&](int64_t i) { return append(i % numLayers, args); });
  times.attend = timed(kBurst, [&](int64_t i) { return attend(i % numLayers, machine.stream()); });
  times.step = timed(1, [&](int64_t) {
    Result<void> done = update();
    for (int64_t i = 0; done && i < HostTimes::kLayers; ++i)
      if (done = append(i % numLayers, args); done)
        done = attend(i % numLayers, machine.stream());
    return done;
  });
  if (!state)
    return state.error();
  return times;
}

} // namespace attncc::bench
