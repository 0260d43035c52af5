//===- Schedules.cpp - which schedules are legal, and which one is chosen --===//
#include "dialects/attn/Schedules.h"

#include "dialects/attn/Attn.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/MathExtras.h"

#include <numeric>

using namespace attncc;
using namespace attncc::attn;

Result<Schedule> attn::parseSchedule(mlir::MLIRContext &context, llvm::StringRef text) {
  std::string message = "it is another attribute";
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
    message = diagnostic.str();
    return mlir::success();
  });
  std::string full = text.starts_with("<") ? "#attn.schedule" + text.str() : text.str();
  auto parsed = llvm::dyn_cast_or_null<ScheduleAttr>(mlir::parseAttribute(full, &context));
  if (parsed)
    return parsed.getValue();
  return makeError(Status::InvalidArgument, "'" + text.str() + "' is no schedule: " + message);
}

int64_t attn::registerEstimate(const Schedule &schedule, const KernelShape &shape) {
  int64_t lanes = 32 * schedule.unit;
  int64_t scores = schedule.rows * schedule.keys / lanes;
  int64_t accumulator = schedule.rows * shape.valueDim / lanes;
  bool queryInRegisters = schedule.orientation == Orientation::Swapped;
  int64_t query = queryInRegisters ? schedule.rows * shape.keyDim / lanes / 2 : 0;
  // The swapped form has a pair for 8 rows in each lane; the direct one two pairs for 16.
  int64_t statistics =
      schedule.orientation == Orientation::Swapped ? schedule.rows / 2 : 8 * schedule.rows / lanes;
  // A token's page is a shift where pages are powers of two, else a product with a reciprocal; a
  // tile that spans many pages has as many addresses.
  bool shifts = shape.pageSize == 0 || llvm::isPowerOf2_64(shape.pageSize);
  int64_t pages = !shifts || shape.pageSize == 1               ? 12
                  : shape.pageSize == 2 || shape.pageSize == 4 ? 16
                                                               : 0;
  int64_t rest = 32;
  if (schedule.product == Product::Wgmma) // copies are another role's
    return scores + scores / 2 + accumulator + rest;
  if (schedule.orientation == Orientation::Direct) {
    rest = 56;
    // Of pages of one token an instruction meets as many as it has rows.
    pages = !shifts || (shape.pageSize != 0 && shape.pageSize <= 4) ? 16 : 0;
    // A row's token is a shift where groups are powers of two.
    if (!llvm::isPowerOf2_64(shape.group))
      rest += 16;
  }
  // Sums of splits, of a span and of all spans, and what the end of a split takes beside them.
  int64_t sums = 0;
  if (schedule.merge != MergeForm::Kernel)
    sums =
        (schedule.merge == MergeForm::Span ? 1 : 2) * (accumulator / schedule.units + statistics) +
        32;
  return scores + scores / 2 + accumulator + query + statistics + sums + pages + rest;
}

int64_t attn::sharedBytes(const Schedule &schedule, const KernelShape &shape) {
  int64_t tile = schedule.stages.key * schedule.keys * shape.keyDim +
                 schedule.stages.value * schedule.keys * shape.valueDim;
  int64_t sharers = schedule.divide == Divide::Keys ? schedule.units : 1;
  int64_t query = schedule.orientation == Orientation::Direct
                      ? schedule.stages.query * schedule.units * schedule.rows * shape.keyDim
                      : 0;
  int64_t slots = schedule.stages.key + (schedule.stages.joint ? 0 : schedule.stages.value);
  int64_t barriers = schedule.copy == Copy::Tensor ? sharers * slots : 0, items = 0;
  if (schedule.specialised()) { // three for keys and values, two for items
    barriers = 3 * slots + 2 * schedule.itemSlots();
    items = 1024; // their ring, rounded up
  }
  return (sharers * tile + query) * shape.elementBytes + items + 8 * barriers;
}

/// Block-table entries that a warp has at hand, one in each lane.
static constexpr int64_t kPageNumbers = 32;

/// Those of one tile of keys.
static int64_t pageNumbers(const Schedule &schedule, const KernelShape &shape) {
  return shape.pageSize == 0 ? 1 : schedule.keys / std::gcd(schedule.keys, shape.pageSize);
}

static Error refuse(const Schedule &schedule, const TargetInfo &target, const std::string &what,
                    int64_t actual, const std::string &limit, int64_t most) {
  return makeError(Status::Unsupported, what + " " + std::to_string(actual) + " exceeds " + limit +
                                            " of " + std::string(target.name) + ", " +
                                            std::to_string(most));
}

static Error lacks(const TargetInfo &target, const std::string &field, llvm::StringRef value,
                   const std::string &what) {
  return makeError(Status::Unsupported, field + " = " + value.str() + " needs " + what +
                                            ", which " + std::string(target.name) + " has not");
}

Result<void> attn::checkSchedule(const Schedule &schedule, const KernelShape &shape,
                                 const TargetInfo &target) {
  auto kind =
      schedule.product == Product::Mma ? MatrixProduct::Kind::Mma : MatrixProduct::Kind::Wgmma;
  if (!target.hasProduct(kind))
    return lacks(target, "product", stringifyEnum(schedule.product), "that instruction");
  if (schedule.copy == Copy::Tensor && !target.tensorCopies)
    return lacks(target, "copy", "tensor", "copies by a tensor map");
  if (schedule.dependentLaunch != DependentLaunch::None && !target.dependentLaunch)
    return lacks(target, "dependent_launch", stringifyEnum(schedule.dependentLaunch),
                 "programmatic dependent launch");
  if (schedule.copy == Copy::Tensor && shape.pageSize % schedule.box != 0)
    return makeError(Status::Unsupported, "box " + std::to_string(schedule.box) +
                                              " does not divide the page size " +
                                              std::to_string(shape.pageSize));
  // A matrix descriptor has one stride for the 16 keys of a step: these lie in one box or in two
  // of 8.
  if (schedule.product == Product::Wgmma && schedule.copy == Copy::Tensor && schedule.box != 8 &&
      schedule.box % 16 != 0)
    return makeError(Status::Unsupported, "box " + std::to_string(schedule.box) +
                                              " of product = wgmma must be 8 or a multiple of 16");
  for (const MatrixProduct &product : target.products)
    if (product.kind == kind && (shape.keyDim % product.k || shape.valueDim % product.k))
      return makeError(Status::Unsupported, "head dims " + std::to_string(shape.keyDim) + " and " +
                                                std::to_string(shape.valueDim) +
                                                " must be multiples of the product's " +
                                                std::to_string(product.k));

  if (int64_t numbers = pageNumbers(schedule, shape); numbers > kPageNumbers)
    return makeError(Status::Unsupported, "a tile of " + std::to_string(schedule.keys) +
                                              " keys has " + std::to_string(numbers) +
                                              " page numbers, at most " +
                                              std::to_string(kPageNumbers) + " are supported");

  int64_t threads = schedule.threads();
  if (threads > target.maxThreadsPerBlock)
    return refuse(schedule, target, "threads", threads, "the block size",
                  target.maxThreadsPerBlock);
  // Registers are handed out in eights.
  int64_t perThread = std::min<int64_t>(
      target.registersPerThread,
      llvm::alignDown(target.registersPerSm / (threads * schedule.blocksPerSm), 8));
  if (schedule.roles == Roles::One) {
    int64_t estimate = registerEstimate(schedule, shape);
    if (estimate > perThread)
      return refuse(schedule, target, "register estimate", estimate, "the registers per thread",
                    perThread);
  } else {
    // The loading warpgroup gives registers to the units: those that all threads get at launch must
    // do, else setmaxnreg waits for ever.
    int64_t asked = 128 * std::max(schedule.registers[0], schedule.registers[1]) +
                    schedule.computeThreads() * schedule.registers[2];
    if (asked > perThread * threads)
      return refuse(schedule, target, "registers of all roles", asked,
                    "what a block gets at launch", perThread * threads);
    for (int64_t registers : schedule.registers)
      if (registers < 24 || registers > 240 || registers % 8 != 0)
        return makeError(Status::Unsupported,
                         "registers of a role must be a multiple of 8 from 24 to 240, got " +
                             std::to_string(registers));
    if (int64_t estimate = registerEstimate(schedule, shape); estimate > schedule.registers[2])
      return refuse(schedule, target, "register estimate", estimate,
                    "the compute role's registers in the schedule", schedule.registers[2]);
  }
  int64_t shared = sharedBytes(schedule, shape);
  if (shared > target.maxSharedPerBlock - kSharedReserve)
    return refuse(schedule, target, "bytes of rings and queries", shared,
                  "the shared memory of a block less 1024",
                  target.maxSharedPerBlock - kSharedReserve);
  // The multiprocessor keeps 1 KiB of every block for itself (CUDA Programming Guide, 7.x to 9.x).
  if (schedule.blocksPerSm * (shared + kSharedReserve) > target.sharedPerSm())
    return refuse(schedule, target, "bytes of all blocks' rings and queries",
                  schedule.blocksPerSm * shared, "the shared memory of a multiprocessor",
                  target.maxSharedOptIn);
  int64_t barriers =
      1 + (schedule.unit > 1 ? schedule.units : 0) + (schedule.pingPong ? schedule.units : 0);
  if (barriers > target.maxNamedBarriers)
    return refuse(schedule, target, "named barriers", barriers, "the barriers",
                  target.maxNamedBarriers);
  return {};
}

static Schedule scheduleFor(const TargetInfo &target) {
  Schedule schedule;
  if (target.dependentLaunch)
    schedule.dependentLaunch = DependentLaunch::WaitFirst;
  return schedule;
}

Schedule attn::decodeSchedule(const KernelShape &shape, const SplitRule &split,
                              const TargetInfo &target) {
  Schedule schedule = scheduleFor(target);
  schedule.split = split;
  int64_t box = std::gcd(shape.pageSize, schedule.keys);
  if (target.tensorCopies && shape.pageSize > 0 && box % 8 == 0) {
    schedule.copy = Copy::Tensor;
    schedule.box = box;
    schedule.cache = Cache::EvictFirst; // keys and values are read once
  }
  // What the mask hides from a query token must not reach a split in front of the last one.
  if (addsSplits(shape.valueDim) && shape.maxQuery <= schedule.keys)
    schedule.merge = MergeForm::Span;
  // 32 rows: beyond that the fragments of one warp no longer fit for any head dim of use.
  int64_t mostRows = 8;
  for (schedule.rows = 16; schedule.rows <= 32; schedule.rows += 8)
    if (registerEstimate(schedule, shape) <= target.registersPerThread)
      mostRows = schedule.rows;
  int64_t all = shape.group * shape.maxQuery;
  int64_t chunks = llvm::divideCeil(all, mostRows);
  schedule.rows = llvm::alignTo(llvm::divideCeil(all, chunks), 8);

  // Where a block may have more than any device of sm_80 offers, two of them share it: one's loads
  // cover the other's begin and end.
  const int64_t portable = findTarget("sm_80")->maxSharedPerBlock;
  int64_t shared = target.maxSharedPerBlock;
  if (shared / 2 >= portable) {
    shared /= 2;
    if (schedule.copy == Copy::Tensor)
      schedule.blocksPerSm = 2;
  }
  auto fits = [&](const Schedule &one) {
    return sharedBytes(one, shape) <= shared - kSharedReserve;
  };
  // Units divide the keys, so every unit has its own ring; a third stage is given up last.
  for (auto [units, stages] :
       {std::pair(4, 3), std::pair(2, 3), std::pair(2, 2), std::pair(1, 2)}) {
    schedule.units = units;
    schedule.stages.key = schedule.stages.value = stages;
    if (fits(schedule))
      break;
  }
  for (const SplitStep &step : split.steps)
    if (step.splitLength % (schedule.units * schedule.keys) != 0)
      schedule.merge = MergeForm::Kernel;
  // An item takes all splits of a sequence where the sum of its spans has room, too.
  if (Schedule all = schedule; schedule.merge == MergeForm::Span) {
    all.merge = MergeForm::Item;
    if (registerEstimate(all, shape) <= target.registersPerThread)
      schedule = all;
  }
  // A tensor copy costs no registers, so small head dims keep as many bytes in flight as large
  // ones. Stages do not enter the order of sums, units and keys do: those are what gathered copies
  // have.
  if (schedule.copy == Copy::Tensor)
    for (Schedule deeper = schedule; deeper.stages.key < 6; schedule = deeper) {
      deeper.stages.value = ++deeper.stages.key;
      if (!fits(deeper))
        break;
    }
  return schedule;
}

/// Prefill by products of warpgroups whose keys and values a role of its own loads; nothing where
/// the target or the shape does not allow for it.
static std::optional<Schedule> warpgroupSchedule(const KernelShape &shape,
                                                 const TargetInfo &target) {
  if (!target.asynchronousProducts || !target.tensorCopies || shape.pageSize == 0)
    return std::nullopt;
  Schedule schedule = scheduleFor(target);
  schedule.unit = 4;
  schedule.rows = 64;
  schedule.divide = Divide::Rows;
  schedule.orientation = Orientation::Direct;
  schedule.product = Product::Wgmma;
  schedule.copy = Copy::Tensor;
  schedule.roles = Roles::Specialised;
  schedule.overlap = Overlap::Items;
  schedule.pingPong = true;
  schedule.rescale = Rescale::Lazy;
  schedule.work = Work::Atomic;
  schedule.order = Order::LongestFirst;
  // With a mask the chunks of as many pairs as their keys and values fit in the L2 cache at 4,096
  // tokens, the longest first; of more where a pair has few chunks. Without, all chunks of one pair
  // after the other.
  const int64_t cached = int64_t(32) << 20,
                pair = 4096 * (shape.keyDim + shape.valueDim) * shape.elementBytes;
  schedule.headGroup = !shape.causal      ? 1
                       : shape.group == 1 ? 32
                                          : std::clamp<int64_t>(cached / pair, 8, 32);
  schedule.stages.joint = false;
  // Three units share each tile where two do not need the registers for a wide output; the loading
  // role needs more of them with two, whose rest is larger.
  const int64_t dim = std::max(shape.keyDim, shape.valueDim);
  schedule.units = dim <= 128 ? 3 : 2;
  schedule.registers =
      schedule.units == 3 ? std::vector<int64_t>{32, 32, 160} : std::vector<int64_t>{40, 40, 232};
  int64_t mostKeys = dim > 128 ? 64 : dim > 64 ? 80 : shape.causal && shape.group > 1 ? 96 : 128;
  if (dim <= 112 && mostKeys <= 96) // a narrow output leaves registers for the loading role
    schedule.registers = {40, 40, 152};
  // The units of a block see different keys: each leaves out the tiles that it does not see, and
  // does not wait for the others' turns then.
  if (shape.causal && (dim > 64 || shape.group == 1)) {
    schedule.skipTiles = true;
    schedule.pingPong = false;
  }
  // Of a few tiles what is left over counts: rows past the last token, keys past the mask's edge.
  if (shape.queryTokens != 0 && shape.queryTokens <= kShortQueries &&
      (shape.causal || shape.group == 1)) {
    if (dim <= 64) {
      schedule.units = 4;
      schedule.registers = {32, 32, 112};
      schedule.pingPong = false;
      schedule.skipTiles = shape.causal && shape.group == 1;
      if (shape.causal) // as many bytes at 2,048 tokens
        schedule.headGroup *= 2;
      mostKeys = 64;
    } else if (dim <= 128 && shape.group == 1 && shape.causal) {
      schedule.units = 2;
      schedule.registers = {40, 40, 232};
      schedule.pingPong = true;
      schedule.skipTiles = false;
      mostKeys = 128;
    }
  }
  for (schedule.keys = mostKeys; schedule.keys >= 16; schedule.keys -= 16) {
    schedule.box = std::gcd(shape.pageSize, schedule.keys);
    if (schedule.box % 16 != 0)
      schedule.box = std::gcd(schedule.box, int64_t(8));
    // A second slot of the query lets the next item's rows come early.
    for (auto [key, value, queries] :
         {std::tuple(4, 4, 2), {3, 3, 2}, {2, 2, 2}, {3, 2, 1}, {2, 2, 1}}) {
      schedule.stages.key = key;
      schedule.stages.value = value;
      schedule.stages.query = queries;
      if (schedule.box % 8 == 0 && checkSchedule(schedule, shape, target))
        return schedule;
    }
  }
  return std::nullopt;
}

Schedule attn::prefillSchedule(const KernelShape &shape, const TargetInfo &target) {
  if (std::optional<Schedule> schedule = warpgroupSchedule(shape, target))
    return *schedule;
  Schedule schedule = scheduleFor(target);
  schedule.divide = Divide::Rows;
  schedule.orientation = Orientation::Direct;
  schedule.order = Order::LongestFirst;
  schedule.stages.key = schedule.stages.value = 2;
  // The portable limit also where a block may have more: blocks that share a multiprocessor cover
  // each other's barriers.
  const int64_t shared = findTarget("sm_80")->maxSharedPerBlock - kSharedReserve;
  // More rows read the keys less often from shared memory, more keys rescale the sums less often.
  for (auto [rows, keys] : {std::pair(32, 64), std::pair(32, 32), std::pair(16, 64),
                            std::pair(16, 32), std::pair(16, 16)}) {
    schedule.rows = rows;
    schedule.keys = keys;
    if (registerEstimate(schedule, shape) <= target.registersPerThread &&
        sharedBytes(schedule, shape) <= shared && pageNumbers(schedule, shape) <= kPageNumbers)
      break;
  }
  return schedule;
}

Schedule attn::appendSchedule(const TargetInfo &target) {
  Schedule schedule = scheduleFor(target);
  schedule.units = 1;
  return schedule;
}

Schedule attn::mergeStatesSchedule(const TargetInfo &target) { return scheduleFor(target); }

Schedule attn::mergeSchedule(const SplitRule &split, MergeForm merge, const TargetInfo &target) {
  Schedule schedule = scheduleFor(target);
  schedule.split = split;
  schedule.merge = merge == MergeForm::Kernel ? merge : MergeForm::Item; // of whatever items took
  return schedule;
}

bool attn::addsSplits(int64_t valueDim) { return valueDim == 64 || valueDim == 128; }

SplitRule attn::defaultSplitRule(int64_t maxPosition, int64_t valueDim) {
  SplitRule rule{{{2048, 256}, {8192, 1024}, {131072, 2048}}};
  if (addsSplits(valueDim))
    rule.steps = {{2048, 128},   {4096, 256},   {6144, 384},   {8192, 512},   {12288, 768},
                  {16384, 1024}, {24576, 1536}, {32768, 2048}, {49152, 3072}, {131072, 4096}};
  if (maxPosition > rule.steps.back().maxLength)
    rule.steps.push_back(
        {maxPosition, static_cast<int64_t>(llvm::alignTo(llvm::divideCeil(maxPosition, 64), 256))});
  return rule;
}
