#include "runtime/plan/Plan.h"
#include "runtime/plan/Launch.h"
#include "runtime/plan/Tensors.h"

#include <algorithm>
#include <cmath>
#include <ranges>

using namespace attncc;
using namespace attncc::plan;
using device::Buffer;
using package::ClassKernels;
using package::LayerClass;
using package::LoadedKernel;
using package::Name;
using package::NameValues;

/// The error word at 0; at 128 what blocks of a prefill count in, which leaves it at 0
/// (tile.draw_item).
static constexpr int64_t kWorkspaceHead = 256;

// Splits that the throughput policy asks for: what the kernels round to, less than which a block is
// not worth its start, and more than which the partial results of a long sequence cost nothing.
static constexpr int64_t kSplitGranule = 64, kShortestSplit = 128, kLongestSplit = 4096;
// Where uncut sequences have two blocks for each multiprocessor and may be longer than one split,
// their lengths may differ: shorter ones even that out.
static constexpr int64_t kLongestOfMany = 2048;
// Two blocks of decode share a multiprocessor of a GPU with its shared memory. The second one is
// worth its loads up to so many splits of a sequence.
static constexpr int64_t kBlocksTogether = 2, kFewSplits = 4;

/// How many splits of each sequence fill the multiprocessors, with so many blocks for one.
static int64_t fillingSplits(int64_t blocks, int64_t multiprocessors) {
  return std::max({int64_t(1), multiprocessors / blocks,
                   std::min(kBlocksTogether * multiprocessors / blocks, kFewSplits)});
}

static Error invalid(std::string message) {
  return makeError(Status::InvalidArgument, std::move(message));
}

/// "name is a: must be …".
static Error mustBe(const char *name, int64_t value, const std::string &what,
                    Status status = Status::InvalidArgument) {
  return makeError(status,
                   std::string(name) + " is " + std::to_string(value) + ": must be " + what);
}

Result<std::unique_ptr<Plan>> Plan::create(std::shared_ptr<const package::Package> package,
                                           const char *group, const attncc_limits &limits) {
  Result<const package::CacheGroup *> found = findGroup(*package, group);
  if (!found)
    return found.error();
  struct Bound {
    const char *name;
    int64_t value, most;
  };
  for (const Bound &bound : {Bound{"max_sequences", limits.max_sequences, kMaxGridYZ},
                             Bound{"max_tokens", limits.max_tokens, INT32_MAX},
                             Bound{"max_query_length", limits.max_query_length, kMaxGridYZ},
                             Bound{"max_kv_length", limits.max_kv_length, INT32_MAX}})
    if (bound.value < 1 || bound.value > bound.most)
      return mustBe(bound.name, bound.value, "from 1 to " + std::to_string(bound.most));
  if (limits.policy > ATTNCC_THROUGHPUT)
    return mustBe("policy", limits.policy, "ATTNCC_INVARIANT (0) or ATTNCC_THROUGHPUT (1)");

  std::unique_ptr<Plan> plan(new Plan());
  plan->owner = std::move(package);
  plan->cacheGroup = *found;
  plan->bounds = limits;
  if (Result<void> prepared = plan->prepare(); !prepared)
    return prepared.error();
  return plan;
}

/// Kernels by layer, heads of this rank, and the workspace.
Result<void> Plan::prepare() {
  const package::Manifest &manifest = owner->manifest();
  for (int64_t layer : package::layersOf(cacheGroup->layers)) {
    const LayerClass *layerClass = manifest.classOfLayer(layer);
    if (!layerClass)
      return makeError(Status::Unsupported, "layer " + std::to_string(layer) + " of group " +
                                                cacheGroup->name +
                                                " has no kernels in this package");
    auto known = std::find_if(classes.begin(), classes.end(),
                              [&](const ClassPlan &one) { return one.layerClass == layerClass; });
    classOf.push_back(static_cast<uint32_t>(known - classes.begin()));
    if (known == classes.end())
      classes.push_back({layerClass, &owner->kernelsOf(*layerClass)});
  }
  asked.assign(classes.size(), SplitRule{{{INT64_MAX, 1}}});

  Result<int64_t> kvHeads = rankKvHeads(*cacheGroup, bounds.kv_heads);
  if (!kvHeads)
    return kvHeads.error();
  numKvHeads = *kvHeads;
  int64_t group = classes.front().layerClass->group;
  if (bounds.kv_heads == 0 && bounds.query_heads % group == 0 && bounds.query_heads != 0)
    numKvHeads = std::min(bounds.query_heads / group, cacheGroup->kvHeads);
  for (const ClassPlan &one : classes)
    if (bounds.query_heads != 0 && bounds.query_heads != one.layerClass->group * numKvHeads)
      return mustBe("query_heads", bounds.query_heads,
                    std::to_string(one.layerClass->group) +
                        " x kv_heads = " + std::to_string(one.layerClass->group * numKvHeads) +
                        " for class " + one.layerClass->name);

  bytesOfWorkspace = kWorkspaceHead;
  for (const ClassPlan &one : classes)
    for (const auto *kernels : {&one.kernels->append, &one.kernels->appendWithoutPrologue,
                                &one.kernels->decode, &one.kernels->prefill, &one.kernels->merge})
      for (const LoadedKernel *kernel : *kernels) {
        if (!kernel->workspaceBytes)
          continue;
        Result<int64_t> bytes = workspaceOf(*kernel);
        if (!bytes)
          return bytes.error();
        bytesOfWorkspace = std::max(bytesOfWorkspace, *bytes);
      }
  return {};
}

int64_t Plan::blocksOf(const LoadedKernel &decode, const attncc_batch &next) const {
  const int64_t rows = decode.layerClass->group * next.max_query_length,
                rowsOfBlock = std::max<int64_t>(1, decode.entry->rows);
  return std::max<int64_t>(1, numKvHeads * next.num_sequences *
                                  ((rows + rowsOfBlock - 1) / rowsOfBlock));
}

int64_t Plan::tokensThatFill(const LoadedKernel &decode, const attncc_batch &next) const {
  const int64_t blocks = blocksOf(decode, next);
  const int64_t multiprocessors = owner->device().info().multiprocessors;
  const int64_t splits = fillingSplits(blocks, multiprocessors);
  const int64_t tokens = (next.max_kv_length + splits - 1) / splits;
  const bool many =
      blocks >= kBlocksTogether * multiprocessors && next.max_kv_length > kLongestSplit;
  return std::clamp((tokens + kSplitGranule - 1) / kSplitGranule * kSplitGranule, kShortestSplit,
                    many ? kLongestOfMany : kLongestSplit);
}

Result<int64_t> Plan::workspaceOf(const LoadedKernel &kernel) const {
  NameValues values = names(kernel);
  values[Name::MaxKvLength] = bounds.max_kv_length;
  values[Name::MaxQueryLength] = queriesOf(kernel, bounds.max_query_length);
  values[Name::MaxSequences] = bounds.max_sequences;
  Result<int64_t> most = kernel.workspaceBytes->evaluate(values, kernel.splitRule);
  if (!most || bounds.policy != ATTNCC_THROUGHPUT || kernel.entry->role != "decode" ||
      kernel.entry->addsSplits != package::AddsSplits::None)
    return most;
  // Few sequences are cut into more splits than many.
  const int64_t multiprocessors = owner->device().info().multiprocessors;
  const int64_t fewest = (bounds.max_kv_length + kLongestOfMany - 1) / kLongestOfMany;
  for (int64_t n = 1; n <= bounds.max_sequences; ++n) {
    const int64_t fitting = fillingSplits(numKvHeads * n, multiprocessors);
    const int64_t splits = std::min<int64_t>(std::max(fitting, fewest), bounds.max_kv_length);
    const SplitRule rule{{{INT64_MAX, bounds.max_kv_length / splits}}};
    // More sequences than multiprocessors: the rest of the numbers only grow.
    if (fitting <= 1)
      n = bounds.max_sequences;
    values[Name::MaxSequences] = n;
    Result<int64_t> bytes = kernel.workspaceBytes->evaluate(values, &rule);
    if (!bytes)
      return bytes;
    most = std::max(*most, *bytes);
  }
  return most;
}

const SplitRule *Plan::ruleOf(const ClassPlan &one) const {
  return one.splitTokens ? &asked[static_cast<size_t>(&one - classes.data())]
                         : one.decode->splitRule;
}

/// Decode and merge have nothing to do for a sequence that is prefill's.
int64_t Plan::queriesOf(const LoadedKernel &kernel, int64_t maxQueryLength) {
  const std::string &role = kernel.entry->role;
  return role == "decode" || role == "merge"
             ? std::min(maxQueryLength, kernel.layerClass->maxQueryTokensDecode)
             : maxQueryLength;
}

NameValues Plan::names(const LoadedKernel &kernel) const {
  NameValues values = kernel.constants;
  values[Name::KvHeads] = numKvHeads;
  values[Name::QueryHeads] = queryHeads(*kernel.layerClass);
  values[Name::Multiprocessors] = owner->device().info().multiprocessors;
  if (updated) {
    values[Name::NumSequences] = batch.num_sequences;
    values[Name::NumTokens] = batch.num_tokens;
    values[Name::MaxQueryLength] = queriesOf(kernel, batch.max_query_length);
    values[Name::MaxKvLength] = batch.max_kv_length;
  }
  return values;
}

Result<void> Plan::setWorkspace(void *memory, int64_t bytes, device::Stream stream) {
  if (!memory)
    return invalid("device_memory is null");
  if (auto address = reinterpret_cast<uint64_t>(memory); address % kWorkspaceAlignment != 0)
    return invalid("device_memory is at address " + std::to_string(address) +
                   ": must be a multiple of " + std::to_string(kWorkspaceAlignment) + " bytes");
  if (bytes < bytesOfWorkspace)
    return mustBe("bytes", bytes,
                  "at least the plan's workspace " + std::to_string(bytesOfWorkspace));
  int64_t counters = (4 * int64_t(bounds.max_sequences) * numKvHeads + 255) / 256 * 256;
  int64_t head = std::min(kWorkspaceHead + counters, bytesOfWorkspace);
  if (Result<void> cleared = owner->device().clear(memory, static_cast<size_t>(head), stream);
      !cleared)
    return cleared.error();
  workspace = memory;
  return {};
}

Result<const LoadedKernel *> Plan::choose(const std::vector<const LoadedKernel *> &among,
                                          const char *role, const attncc_batch &next) const {
  // The first serves everything, or its part of it; those behind are for narrower bounds.
  for (const LoadedKernel *kernel : std::views::reverse(among)) {
    bool sameOrder = kernel->entry->orderClass == among.front()->entry->orderClass;
    if ((sameOrder || bounds.policy == ATTNCC_THROUGHPUT) &&
        kernel->serves(next.num_sequences, next.max_query_length, next.max_kv_length))
      return kernel;
  }
  return makeError(Status::Unsupported,
                   std::string("no ") + role + " kernel of group " + cacheGroup->name + " serves " +
                       std::to_string(next.num_sequences) + " sequences, max_query_length " +
                       std::to_string(next.max_query_length) + ", max_kv_length " +
                       std::to_string(next.max_kv_length));
}

Result<Plan::ClassPlan> Plan::withVariants(ClassPlan one, const attncc_batch &next) const {
  one.append = one.appendWithoutPrologue = one.decode = one.prefill = one.merge = nullptr;
  one.splitTokens = 0;
  for (auto [among, chosen] :
       {std::pair(&one.kernels->append, &one.append),
        std::pair(&one.kernels->appendWithoutPrologue, &one.appendWithoutPrologue)}) {
    if (among->empty()) // a package may have one of the two
      continue;
    Result<const LoadedKernel *> append = choose(*among, "append", next);
    if (!append)
      return append.error();
    *chosen = *append;
  }
  // Which kernel a sequence takes depends on its own length, which is on the device: where some may
  // be longer than decode takes them, both are launched. A package may have no prefill: then only
  // append serves such bounds.
  const auto most = static_cast<uint32_t>(one.layerClass->maxQueryTokensDecode);
  attncc_batch ofDecode = next;
  if (next.max_query_length > most) {
    if (one.kernels->prefill.empty())
      return one;
    Result<const LoadedKernel *> prefill = choose(one.kernels->prefill, "prefill", next);
    if (!prefill)
      return prefill.error();
    one.prefill = *prefill;
    ofDecode.max_query_length = most;
  }
  Result<const LoadedKernel *> decode = choose(one.kernels->decode, "decode", ofDecode);
  if (!decode)
    return decode.error();
  one.decode = *decode;
  one.splitTokens = splitTokensOf(one, ofDecode);
  for (const LoadedKernel *kernel : one.kernels->merge)
    if (*kernel->splitRule == *one.decode->splitRule &&
        (kernel->entry->addsSplits == package::AddsSplits::None) ==
            (one.decode->entry->addsSplits == package::AddsSplits::None) &&
        kernel->serves(next.num_sequences, ofDecode.max_query_length, next.max_kv_length)) {
      one.merge = kernel;
      return one;
    }
  return makeError(Status::Unsupported, "no merge kernel of class " + one.layerClass->name +
                                            " has the split rule of " + one.decode->entry->entry);
}

Result<void> Plan::update(const attncc_batch &next, device::Stream) {
  struct Bound {
    const char *name;
    int64_t value, most;
  };
  for (const Bound &bound :
       {Bound{"num_sequences", next.num_sequences, bounds.max_sequences},
        Bound{"num_tokens", next.num_tokens, bounds.max_tokens},
        Bound{"max_query_length", next.max_query_length, bounds.max_query_length},
        Bound{"max_kv_length", next.max_kv_length, bounds.max_kv_length}})
    if (bound.value > bound.most)
      return mustBe(bound.name, bound.value, "at most the plan's " + std::to_string(bound.most),
                    Status::LimitExceeded);
  if (next.num_sequences > 0) {
    if (!next.query_start || !next.kv_length || !next.block_table)
      return invalid(std::string(!next.query_start ? "query_start"
                                 : !next.kv_length ? "kv_length"
                                                   : "block_table") +
                     " is null");
    int64_t pages = (int64_t(next.max_kv_length) + cacheGroup->pageSize - 1) / cacheGroup->pageSize;
    if (!next.page_indptr && next.num_sequences > 1 && next.block_table_stride < pages)
      return mustBe("block_table_stride", next.block_table_stride,
                    "at least the " + std::to_string(pages) + " pages of max_kv_length " +
                        std::to_string(next.max_kv_length));
  }
  const bool empty = next.num_sequences == 0 || next.num_tokens == 0;
  if (!empty && next.max_query_length == 0)
    return mustBe("max_query_length", 0,
                  "at least 1, as num_tokens is " + std::to_string(next.num_tokens));
  // Every class is chosen for before anything changes. An empty batch launches nothing.
  for (const ClassPlan &one : classes)
    if (Result<ClassPlan> chosen = withVariants(one, next); !empty && !chosen)
      return chosen.error();
  batch = next;
  for (size_t i = 0; i < classes.size() && !empty; ++i) {
    classes[i] = *withVariants(classes[i], next);
    setAsked(i);
  }
  updated = true;
  return {};
}

int64_t Plan::splitTokensOf(const ClassPlan &one, const attncc_batch &next) const {
  const int64_t multiprocessors = owner->device().info().multiprocessors;
  const int64_t items = fillingSplits(blocksOf(*one.decode, next), multiprocessors);
  switch (one.decode->entry->addsSplits) {
  case package::AddsSplits::None: // another length gives other bits
    return bounds.policy == ATTNCC_THROUGHPUT ? tokensThatFill(*one.decode, next) : 0;
  case package::AddsSplits::Span:
    return -std::max<int64_t>(2, items); // with 1 an item may take all
  case package::AddsSplits::All:
    return -items;
  }
  return 0;
}

void Plan::setAsked(size_t ofClass) {
  const ClassPlan &one = classes[ofClass];
  if (!one.decode || one.splitTokens == 0)
    return;
  const int64_t longest = std::max<int64_t>(1, batch.max_kv_length);
  const bool adds = one.decode->entry->addsSplits != package::AddsSplits::None;
  const int64_t length = adds
                             ? longest / maxItems(*one.decode->splitRule, longest, -one.splitTokens)
                             : one.splitTokens;
  asked[ofClass].steps.assign({{INT64_MAX, std::max<int64_t>(1, length)}});
}

Result<void> Plan::checkReady(const KvCache &cache, uint32_t layer) const {
  if (!workspace)
    return invalid("the plan has no workspace: call attncc_plan_set_workspace first");
  if (!updated)
    return invalid("the plan has no batch: call attncc_plan_update first");
  if (&cache.package() != owner.get() || &cache.group() != cacheGroup)
    return invalid("kv is bound to group " + cache.group().name +
                   (&cache.package() == owner.get() ? "" : " of another package") +
                   ": must be the plan's group " + cacheGroup->name);
  if (cache.kvHeads() != numKvHeads)
    return invalid("kv has " + std::to_string(cache.kvHeads()) + " kv_heads: must be the plan's " +
                   std::to_string(numKvHeads));
  if (layer >= cache.numLayers())
    return invalid("layer is " + std::to_string(layer) + ": must be below the group's " +
                   std::to_string(cache.numLayers()));
  return {};
}

BatchParam Plan::batchParam(int64_t numPages, int64_t splitTokens) const {
  BatchParam param;
  param.queryStart = batch.query_start;
  param.kvLength = batch.kv_length;
  param.blockTable = batch.block_table;
  param.blockTableStride = batch.block_table_stride;
  param.pageIndptr = batch.page_indptr;
  param.numPages = numPages;
  param.kvHeads = static_cast<int32_t>(numKvHeads);
  param.maxKvLength = static_cast<int32_t>(batch.max_kv_length);
  param.maxQueryLength = static_cast<int32_t>(batch.max_query_length);
  param.splitTokens = static_cast<int32_t>(splitTokens);
  return param;
}

template <class Params>
Result<void> Plan::launch(const LoadedKernel &kernel, const SplitRule *rule, const Params &params,
                          std::span<const Buffer> buffers, device::Stream stream) const {
  return plan::launch(*owner, kernel, names(kernel), rule, paramsOf(params), buffers, stream);
}

namespace {

/// What the pointers of a batch cover, given the bounds. Null pointers cover nothing.
struct BatchBuffers {
  Buffer queryStart, kvLength, blockTable, pageIndptr;

  BatchBuffers(const attncc_batch &batch, int64_t pageSize) {
    uint64_t n = batch.num_sequences;
    uint64_t pages = (uint64_t(batch.max_kv_length) + pageSize - 1) / pageSize;
    uint64_t entries = batch.page_indptr ? n * pages : (n - 1) * batch.block_table_stride + pages;
    queryStart = {"query_start", batch.query_start, (n + 1) * 4};
    kvLength = {"kv_length", batch.kv_length, n * 4};
    blockTable = {"block_table", batch.block_table, entries * 4};
    pageIndptr = {"page_indptr", batch.page_indptr, batch.page_indptr ? (n + 1) * 4 : 0};
  }
};

PagesParam keyPages(const attncc_kv_layer &layer) {
  return {layer.k, layer.k_page_stride, layer.k_token_stride, layer.k_head_stride};
}
PagesParam valuePages(const attncc_kv_layer &layer) {
  return {layer.v, layer.v_page_stride, layer.v_token_stride, layer.v_head_stride};
}

Result<void> checkPointer(const char *name, const void *pointer, uint64_t alignment) {
  if (auto address = reinterpret_cast<uint64_t>(pointer); address % alignment != 0)
    return invalid(std::string(name) + " is at address " + std::to_string(address) +
                   ": must be a multiple of " + std::to_string(alignment) + " bytes");
  return {};
}

} // namespace

Result<bool> Plan::checkPrologue(const ClassPlan &one, const attncc_append_args &args) const {
  const LayerClass &layerClass = *one.layerClass;
  if (args.prologue > ATTNCC_PROLOGUE_NONE)
    return mustBe("prologue", args.prologue,
                  "ATTNCC_PROLOGUE_FUSED (0) or ATTNCC_PROLOGUE_NONE (1)");
  const bool asked = args.prologue == ATTNCC_PROLOGUE_FUSED;
  const bool fused = asked && (layerClass.rope || layerClass.qkNorm);
  if ((fused ? one.kernels->append : one.kernels->appendWithoutPrologue).empty())
    return makeError(Status::Unsupported,
                     std::string("prologue is ") +
                         (asked ? "ATTNCC_PROLOGUE_FUSED: this package has no append kernel with "
                                : "ATTNCC_PROLOGUE_NONE: this package has no append kernel "
                                  "without ") +
                         "the prologue of class " + layerClass.name);
  for (auto [name, pointer] :
       {std::pair("q_norm", args.q_norm), std::pair("k_norm", args.k_norm)}) {
    if (pointer && !asked)
      return invalid(std::string(name) + " is given, but prologue is ATTNCC_PROLOGUE_NONE");
    if (asked && (pointer != nullptr) != layerClass.qkNorm.has_value())
      return invalid(std::string(name) +
                     (pointer ? " is given, but class " : " is null, but class ") +
                     layerClass.name + (pointer ? " has no QK norm" : " has a QK norm"));
    if (Result<void> checked = checkPointer(name, pointer, 16); !checked)
      return checked.error();
  }
  if (args.cos_sin.data && !asked)
    return invalid("cos_sin is given, but prologue is ATTNCC_PROLOGUE_NONE");
  if (args.cos_sin.data && !layerClass.rope)
    return invalid("cos_sin is given, but class " + layerClass.name + " has no RoPE");
  if (!asked && (args.query.data == nullptr) != (args.query_out.data == nullptr))
    return invalid(args.query.data ? "query_out.data is null, but query is given"
                                   : "query.data is null, but query_out is given");
  return fused;
}

Result<void> Plan::append(const KvCache &cache, uint32_t layer, const attncc_append_args &args,
                          device::Stream stream) {
  if (Result<void> ready = checkReady(cache, layer); !ready)
    return ready.error();
  const ClassPlan &one = classes[classOf[layer]];
  const LayerClass &layerClass = *one.layerClass;
  Result<bool> fused = checkPrologue(one, args);
  if (!fused)
    return fused.error();
  const bool hasQuery = args.prologue == ATTNCC_PROLOGUE_FUSED || args.query.data;
  const int64_t tokens = batch.num_tokens, heads = queryHeads(layerClass);
  const int64_t kDim = cacheGroup->k.dim, vDim = cacheGroup->v.dim;
  const int64_t element = package::dtypeBytes(layerClass.dtype);

  AppendParams params;
  struct Argument {
    const char *name;
    const attncc_tensor &tensor;
    int64_t heads, dim;
    TensorParam &param;
  };
  for (const Argument &argument :
       {Argument{"query", args.query, heads, kDim, params.query},
        Argument{"key", args.key, numKvHeads, kDim, params.key},
        Argument{"value", args.value, numKvHeads, vDim, params.value},
        Argument{"query_out", args.query_out, heads, kDim, params.queryOut}}) {
    const bool isQuery = &argument.tensor == &args.query || &argument.tensor == &args.query_out;
    if (isQuery && !hasQuery)
      continue;
    Result<TensorParam> checked = checkTensor(argument.name, argument.tensor, layerClass.dtype,
                                              {tokens, argument.heads}, argument.dim);
    if (!checked)
      return checked.error();
    argument.param = *checked;
  }
  if (!*fused && params.query == params.queryOut) // nothing to copy
    params.query = params.queryOut = {};
  if (args.cos_sin.data) {
    Result<CosSinParam> table =
        checkCosSin("cos_sin", args.cos_sin, layerClass.dtype, layerClass.rope->dim);
    if (!table)
      return table.error();
    params.cosSin = *table;
  }
  if (batch.num_sequences == 0 || tokens == 0)
    return {};

  const attncc_kv_layer &pages = cache.layer(layer);
  params.k = keyPages(pages);
  params.v = valuePages(pages);
  params.batch = batchParam(pages.num_pages);
  params.slotMapping = batch.slot_mapping;
  params.position = args.position;
  params.qNorm = args.q_norm;
  params.kNorm = args.k_norm;
  params.workspace = workspace;
  BatchBuffers of(batch, cacheGroup->pageSize);
  const uint64_t perToken = static_cast<uint64_t>(tokens) * 8;
  const uint64_t normBytes = static_cast<uint64_t>(kDim * element);
  const Buffer buffers[] = {
      bufferOf("query", params.query, tokens, heads, kDim * element, element, false),
      bufferOf("key", params.key, tokens, numKvHeads, kDim * element, element, false),
      bufferOf("value", params.value, tokens, numKvHeads, vDim * element, element, false),
      bufferOf("query_out", params.queryOut, tokens, heads, kDim * element, element, true),
      {"k", pages.k, static_cast<uint64_t>(cache.keyBytes(layer)), true},
      {"v", pages.v, static_cast<uint64_t>(cache.valueBytes(layer)), true},
      of.queryStart,
      of.kvLength,
      of.blockTable,
      of.pageIndptr,
      {"slot_mapping", batch.slot_mapping, batch.slot_mapping ? perToken : 0},
      {"position", args.position, args.position ? perToken : 0},
      bufferOf("cos_sin", params.cosSin, layerClass.rope ? layerClass.rope->dim : 0),
      {"q_norm", args.q_norm, args.q_norm ? normBytes : 0},
      {"k_norm", args.k_norm, args.k_norm ? normBytes : 0},
      {"workspace", workspace, kWorkspaceHead, true}};
  return launch(*(*fused ? one.append : one.appendWithoutPrologue), nullptr, params, buffers,
                stream);
}

Result<void> Plan::attend(const KvCache &cache, uint32_t layer, const attncc_attend_args &args,
                          device::Stream stream) {
  if (Result<void> ready = checkReady(cache, layer); !ready)
    return ready.error();
  const ClassPlan &one = classes[classOf[layer]];
  const LayerClass &layerClass = *one.layerClass;
  const int64_t tokens = batch.num_tokens, heads = queryHeads(layerClass);
  const int64_t kDim = cacheGroup->k.dim, vDim = cacheGroup->v.dim;
  const int64_t element = package::dtypeBytes(layerClass.dtype);
  if (batch.max_query_length > layerClass.maxQueryTokensDecode && one.kernels->prefill.empty())
    return makeError(Status::Unsupported,
                     "max_query_length is " + std::to_string(batch.max_query_length) +
                         ": attend takes up to " + std::to_string(layerClass.maxQueryTokensDecode) +
                         ", as this package has no prefill kernel of class " + layerClass.name);

  Result<TensorParam> query =
      checkTensor("query", args.query, layerClass.dtype, {tokens, heads}, kDim);
  if (!query)
    return query.error();
  Result<TensorParam> output =
      checkTensor("output", args.output, layerClass.dtype, {tokens, heads}, vDim);
  if (!output)
    return output.error();
  Result<TensorParam> lse = checkLse("lse", args.lse, {tokens, heads});
  if (!lse)
    return lse.error();
  if (batch.num_sequences == 0 || tokens == 0)
    return {};

  const attncc_kv_layer &pages = cache.layer(layer);
  BatchBuffers of(batch, cacheGroup->pageSize);
  const Buffer outputBuffer =
      bufferOf("output", *output, tokens, heads, vDim * element, element, true);
  const Buffer lseBuffer = bufferOf("lse", *lse, tokens, heads, 4, 4, true);
  const Buffer workspaceBuffer = {"workspace", workspace, static_cast<uint64_t>(bytesOfWorkspace),
                                  true};
  const Buffer decodeBuffers[] = {
      bufferOf("query", *query, tokens, heads, kDim * element, element, false),
      {"k", pages.k, static_cast<uint64_t>(cache.keyBytes(layer)), false},
      {"v", pages.v, static_cast<uint64_t>(cache.valueBytes(layer)), false},
      of.queryStart,
      of.kvLength,
      of.blockTable,
      of.pageIndptr,
      outputBuffer,
      lseBuffer,
      workspaceBuffer};
  auto launchAttention = [&](const LoadedKernel &kernel, const SplitRule *rule,
                             int64_t splitTokens) -> Result<void> {
    auto fill = [&](auto &&params, const auto &k, const auto &v) {
      params.query = *query;
      params.k = k;
      params.v = v;
      params.batch = batchParam(pages.num_pages, splitTokens);
      params.output = *output;
      params.lse = *lse;
      params.workspace = workspace;
      params.scaleLog2 = static_cast<float>(layerClass.scale * M_LOG2E);
      return launch(kernel, rule, params, decodeBuffers, stream);
    };
    if (const KvCache::TensorMaps *maps = cache.tensorMaps(layer, kernel)) {
      if (&kernel != one.prefill)
        return fill(DecodeTensorParams(), maps->k, maps->v);
      PrefillTensorParams params;
      params.numSequences = static_cast<int32_t>(batch.num_sequences);
      return fill(params, maps->k, maps->v);
    }
    return fill(DecodeParams(), keyPages(pages), valuePages(pages));
  };
  // The longer ones first: decode's blocks then fill the end of its launch.
  if (one.prefill)
    if (Result<void> launched = launchAttention(*one.prefill, nullptr, 0); !launched)
      return launched.error();
  if (Result<void> launched = launchAttention(*one.decode, ruleOf(one), one.splitTokens); !launched)
    return launched.error();
  if (ruleOf(one)->maxSplits(batch.max_kv_length) <= 1)
    return {};

  MergeParams merge;
  merge.workspace = workspace;
  merge.batch = batchParam(pages.num_pages, one.splitTokens);
  merge.output = *output;
  merge.lse = *lse;
  const Buffer mergeBuffers[] = {workspaceBuffer, of.queryStart, of.kvLength, of.blockTable,
                                 of.pageIndptr,   outputBuffer,  lseBuffer};
  return launch(*one.merge, ruleOf(one), merge, mergeBuffers, stream);
}

Result<uint32_t> Plan::takeErrors(device::Stream stream) {
  if (!workspace)
    return invalid("the plan has no workspace: call attncc_plan_set_workspace first");
  device::Device &device = owner->device();
  uint32_t word = 0;
  if (Result<void> copied = device.copy(&word, workspace, sizeof word, stream); !copied)
    return copied.error();
  if (Result<void> done = device.synchronize(stream); !done)
    return done.error();
  if (word != 0)
    if (Result<void> cleared = device.clear(workspace, sizeof word, stream); !cleared)
      return cleared.error();
  return word;
}

Result<void> Plan::check(device::Stream stream) {
  Result<uint32_t> word = takeErrors(stream);
  if (!word)
    return word.error();
  if (*word == 0)
    return {};
  std::string what;
  if (*word & kLengthError)
    what = "a sequence's kv_length or query length was above the batch's bound";
  if (*word & kPageError)
    what += std::string(what.empty() ? "" : ", and ") +
            "a page number was outside the cache's num_pages";
  if (*word & kPositionError)
    what += std::string(what.empty() ? "" : ", and ") + "a position was outside the cos_sin table";
  if (what.empty())
    what = "the error word is " + std::to_string(*word);
  return makeError(Status::LimitExceeded, what + ": the rows of such sequences are NaN");
}
