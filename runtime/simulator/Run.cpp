//===- Run.cpp - one launch -----------------------------------------------===//
//
// Checks the launch, then lets host threads take blocks in ascending order. Every counter
// is a sum or a set union over blocks, so nothing depends on the number of threads; when
// blocks fail, the finding of the lowest one is kept (all lower ones have run to their end).
// Pinned by test/simulator/LaunchTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Machine.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

namespace attncc::simulator {

namespace {

std::string toString(const Dim3 &dim) {
  return std::to_string(dim.x) + "x" + std::to_string(dim.y) + "x" + std::to_string(dim.z);
}

Result<void> checkLaunch(const Kernel &kernel, const Launch &launch, const Options &options) {
  const EntryInfo &info = kernel.info;
  auto bad = [&](const std::string &message) {
    return makeError(Status::InvalidArgument, info.name + ": " + message);
  };
  const Dim3 &grid = launch.grid, &block = launch.block;
  if (grid.count() == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    return bad("grid is " + toString(grid) + ", allowed is 1x1x1 to 2147483647x65535x65535");
  if (block.count() == 0 || block.count() > 1024 || block.x > 1024 || block.y > 1024 ||
      block.z > 64)
    return bad("block is " + toString(block) + ", allowed are 1 to 1024 threads");
  if (info.requiredBlock.x && !(block == info.requiredBlock))
    return bad("block is " + toString(block) + ", the kernel requires " +
               toString(info.requiredBlock));
  if (info.maxThreads && block.count() > info.maxThreads)
    return bad("block has " + std::to_string(block.count()) + " threads, the kernel allows " +
               std::to_string(info.maxThreads));
  if (launch.parameters.size() != info.parameterBytes)
    return bad("parameters have " + std::to_string(launch.parameters.size()) + " bytes, expected " +
               std::to_string(info.parameterBytes));
  uint64_t shared = uint64_t(info.staticShared) + launch.dynamicShared;
  if (shared > options.maxDynamicShared)
    return bad("block needs " + std::to_string(shared) + " bytes of shared memory, allowed are " +
               std::to_string(options.maxDynamicShared));
  if (launch.dynamicShared && !info.dynamicShared)
    return bad("dynamic shared memory is " + std::to_string(launch.dynamicShared) +
               " bytes, the kernel declares none");
  return {};
}

Report summarise(const LaunchState &state, const Meter &meter) {
  Report report;
  report.completed = true;
  std::map<std::string, BufferTraffic> buffers;
  for (size_t i = 0; i < state.ranges.size(); ++i) {
    const auto &[read, write] = meter.traffic[i];
    if (read.requests == 0 && write.requests == 0)
      continue;
    BufferTraffic &buffer = buffers[state.ranges[i].label];
    buffer.label = state.ranges[i].label;
    auto add = [](Traffic &to, const Traffic &from, const UniqueBytes *unique) {
      to.requests += from.requests;
      to.bytes += from.bytes;
      to.sectors += from.sectors;
      if (unique && from.requests) {
        to.uniqueSectors += unique->sectors();
        to.uniqueBytes += unique->bytes();
      }
    };
    add(buffer.read, read, state.uniqueRead[i].get());
    add(buffer.write, write, state.uniqueWritten[i].get());
  }
  for (auto &[label, buffer] : buffers)
    report.buffers.push_back(std::move(buffer));

  const Kernel &kernel = *state.kernel;
  for (size_t i = 0; i < meter.executions.size(); ++i) {
    report.instructions += meter.executions[i];
    const SharedTraffic &shared = meter.sharedTraffic[i];
    if (shared.accesses == 0)
      continue;
    report.shared.accesses += shared.accesses;
    report.shared.wavefronts += shared.wavefronts;
    report.shared.ideal += shared.ideal;
    const syntax::Instruction &text = kernel.text[i];
    report.sharedInstructions.push_back({text.line, text.source, text.text, shared});
  }
  report.laneInstructions = meter.lanes;
  report.matrixProducts = meter.matrixProducts;
  report.asyncCopies = meter.asyncCopies;
  report.bulkCopies = meter.bulkCopies;
  report.barriers = meter.barriers;
  report.localBytes = meter.localBytes;
  return report;
}

/// Blocks in ascending order of x, then y, then z, handed out to threads.
class Grid {
public:
  Grid(LaunchState &state, Meter &total) : state(state), total(total) {}

  void run(unsigned threads) {
    std::vector<std::thread> pool;
    for (unsigned i = 1; i < threads; ++i)
      pool.emplace_back([this] { work(); });
    work();
    for (std::thread &thread : pool)
      thread.join();
  }

  bool failed() const { return failedBlock != ~uint64_t(0); }
  Finding finding;

private:
  void work() {
    Meter meter(state.kernel->ops.size(), state.ranges.size());
    Block block(state, meter);
    const Dim3 &grid = state.launch->grid;
    uint64_t count = grid.count();
    while (true) {
      uint64_t number = next.fetch_add(1);
      if (number >= count || number > failedBlock)
        break;
      try {
        block.run({uint32_t(number % grid.x), uint32_t(number / grid.x % grid.y),
                   uint32_t(number / grid.x / grid.y)});
      } catch (Stop &stop) {
        std::lock_guard guard(lock);
        if (number < failedBlock) {
          failedBlock = number;
          finding = std::move(stop.finding);
        }
      }
    }
    std::lock_guard guard(lock);
    total.add(meter);
  }

  LaunchState &state;
  Meter &total;
  std::atomic<uint64_t> next = 0;
  std::atomic<uint64_t> failedBlock = ~uint64_t(0);
  std::mutex lock;
};

} // namespace

Result<Report> run(const Module &module, std::string_view entry, const Launch &launch,
                   const MemoryMap &memory, const Options &options) {
  const Kernel *kernel = module.find(entry);
  if (!kernel)
    return makeError(Status::InvalidArgument,
                     "kernel '" + std::string(entry) + "' is not in " + module.name);
  if (Result<void> checked = checkLaunch(*kernel, launch, options); !checked)
    return checked.error();

  LaunchState state;
  state.module = &module;
  state.kernel = kernel;
  state.launch = &launch;
  state.options = &options;
  state.ranges = memory.ranges();
  for (const Module::Variable &variable : module.variables)
    state.ranges.push_back(
        {variable.address, variable.address + variable.bytes, variable.name, !variable.constant});
  std::sort(state.ranges.begin(), state.ranges.end(),
            [](const auto &a, const auto &b) { return a.begin < b.begin; });
  for (const MemoryMap::Range &range : state.ranges) {
    if (!options.meter)
      break;
    state.uniqueRead.push_back(std::make_unique<UniqueBytes>(range.begin, range.end));
    state.uniqueWritten.push_back(std::make_unique<UniqueBytes>(range.begin, range.end));
  }

  unsigned threads = options.threads ? options.threads : std::thread::hardware_concurrency();
  threads = static_cast<unsigned>(std::min<uint64_t>(std::max(1u, threads), launch.grid.count()));
  Meter total(kernel->ops.size(), state.ranges.size());
  Grid grid(state, total);
  grid.run(threads);
  if (!grid.failed()) {
    if (!options.meter)
      for (auto &range : total.traffic)
        range = {};
    state.uniqueRead.resize(state.ranges.size());
    state.uniqueWritten.resize(state.ranges.size());
    return summarise(state, total);
  }
  Report report;
  report.findings.push_back(std::move(grid.finding));
  return report;
}

} // namespace attncc::simulator
