// See Bench.h.
#include "runtime/bench/Bench.h"

#include <algorithm>

namespace attncc::bench {

namespace {
constexpr int64_t kLeastReadBytes = int64_t(64) << 20;

Result<BenchReport> begin(const std::string &deviceName, const Machine &machine,
                          const BenchOptions &options, NoisePool &pool, verify::NumberType type) {
  BenchReport report;
  report.device = deviceName;
  report.description = machine.device->info().description;
  report.seed = options.run.seed;
  report.permuted = options.run.permuted;
  int64_t bytes = options.readBytes;
  Result<std::byte *> memory = pool.reserve(size_t(bytes), type);
  while (!memory && memory.error().status == Status::OutOfMemory && bytes / 2 >= kLeastReadBytes)
    memory = pool.reserve(size_t(bytes /= 2), type);
  if (!memory)
    return memory.error();
  Result<ReadBandwidth> read = measureRead(machine, *memory, bytes, options.run.samples);
  if (!read)
    return read.error();
  report.read = *read;
  return report;
}

/// Whether a step is left out for this; anything else ends the run.
bool isSkipped(const Error &error) {
  return error.status == Status::OutOfMemory || error.status == Status::Unsupported ||
         error.status == Status::LimitExceeded || error.status == Status::InvalidArgument;
}

class PackageBench {
public:
  PackageBench(const Machine &machine, std::shared_ptr<const package::Package> package,
               const BenchOptions &options, NoisePool &pool, BenchReport &report)
      : machine(machine), package(std::move(package)), options(options), pool(pool),
        report(report) {}

  Result<void> run(const std::vector<verify::ClassShape> &classes) {
    total = int64_t(classes.size() * options.shapes.size()) * (options.exact + options.bound);
    for (const verify::ClassShape &shape : classes)
      for (const Shape &step : options.shapes)
        if (Result<void> done = runShape(shape, step); !done)
          return done;
    // After all checks, since appends change the pages.
    for (const verify::ClassShape &shape : classes)
      if (options.host)
        if (Result<void> done = runHost(shape); !done)
          return done;
    return {};
  }

private:
  Result<void> runShape(const verify::ClassShape &shape, const Shape &step) {
    Result<std::unique_ptr<StepRun>> made =
        StepRun::make(machine, package, shape, step, options.run, pool);
    if (!made && !isSkipped(made.error()))
      return made.error();
    for (bool atBound : {false, true}) {
      if (!(atBound ? options.bound : options.exact))
        continue;
      if (options.progress)
        options.progress(int64_t(report.rows.size()), total);
      BenchRow row;
      row.layerClass = shape.name;
      row.shape = step;
      row.atBound = atBound;
      row.maxKvLength = atBound ? options.boundTokens : step.kvLength().most;
      Result<void> done = made ? runRow(**made, row) : Result<void>(made.error());
      if (!done && !isSkipped(done.error()))
        return done;
      if (!done)
        row.skipped = done.error().diagnostic.message;
      report.rows.push_back(std::move(row));
    }
    return {};
  }

  static Result<void> runRow(StepRun &run, BenchRow &row) {
    if (!row.atBound)
      row.maxKvLength = run.longest();
    if (row.maxKvLength < run.longest())
      return makeError(Status::LimitExceeded, "it has " + std::to_string(run.longest()) +
                                                  " tokens, the bound is " +
                                                  std::to_string(row.maxKvLength));
    row.bytes = run.bytes();
    row.flops = run.flops();
    row.layers = run.layers();
    row.cold = run.cold();
    if (Result<void> planned = run.plan(row.maxKvLength); !planned)
      return planned;
    row.kernel = run.kernel();
    Result<verify::Measure> checked = run.check();
    if (!checked)
      return checked.error();
    row.errorRatio = checked->ratio;
    if (!checked->accepted) {
      row.failure = checked->reason;
      return {};
    }
    if (row.shape.role() == Role::Prefill) {
      Result<PowerTimings> states = run.timeStates();
      if (!states)
        return states.error();
      row.timing = states->sustained;
      row.burst = states->burst;
      return {};
    }
    Result<Timing> timed = run.time();
    if (!timed)
      return timed.error();
    row.timing = *timed;
    return {};
  }

  /// With the first of the class's rows of decode that was timed.
  Result<void> runHost(const verify::ClassShape &shape) {
    for (const BenchRow &row : report.rows) {
      if (row.layerClass != shape.name || row.shape.role() != Role::Decode || !row.timed())
        continue;
      Result<std::unique_ptr<StepRun>> run =
          StepRun::make(machine, package, shape, row.shape, options.run, pool);
      if (!run)
        return run.error();
      if (Result<void> planned = (*run)->plan(row.maxKvLength); !planned)
        return planned;
      Result<HostTimes> times = (*run)->hostTimes();
      if (!times)
        return times.error();
      report.hosts.push_back({shape.name, row.shape, row.maxKvLength, *times});
      return {};
    }
    return {};
  }

  const Machine &machine;
  std::shared_ptr<const package::Package> package;
  const BenchOptions &options;
  NoisePool &pool;
  BenchReport &report;
  int64_t total = 0;
};

/// The classes that are asked for, each as its target has it.
Result<std::vector<verify::ClassShape>> classesOf(const package::Package &package,
                                                  const std::string &only) {
  std::vector<verify::ClassShape> classes;
  std::string known;
  for (const package::LayerClass &layerClass : package.manifest().layerClasses) {
    known += (known.empty() ? "" : ", ") + layerClass.name;
    if (!only.empty() && layerClass.name != only)
      continue;
    Result<std::vector<verify::ClassShape>> shapes =
        verify::classShapes(package.manifest(), package.kernelsOf(layerClass).target);
    if (!shapes)
      return shapes.error();
    classes.push_back(
        *std::find_if(shapes->begin(), shapes->end(), [&](const verify::ClassShape &shape) {
          return shape.name == layerClass.name;
        }));
  }
  if (classes.empty())
    return makeError(Status::InvalidArgument,
                     "there is no layer class \"" + only + "\", the package has " + known);
  return classes;
}
} // namespace

Result<BenchReport> benchRead(const std::string &deviceName, const Machine &machine,
                              const BenchOptions &options) {
  NoisePool pool(machine, options.run.seed, "pages");
  return begin(deviceName, machine, options, pool, verify::NumberType::BF16);
}

Result<BenchReport> benchPackage(const std::string &deviceName, const Machine &machine,
                                 std::shared_ptr<const package::Package> package,
                                 const BenchOptions &options) {
  Result<std::vector<verify::ClassShape>> classes = classesOf(*package, options.layerClass);
  if (!classes)
    return classes.error();
  NoisePool pool(machine, options.run.seed, "pages");
  Result<BenchReport> report = begin(deviceName, machine, options, pool, classes->front().type);
  if (!report)
    return report;
  report->packageId = package->id();
  PackageBench bench(machine, package, options, pool, *report);
  if (Result<void> done = bench.run(*classes); !done)
    return done.error();
  return report;
}

} // namespace attncc::bench
