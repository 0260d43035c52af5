// usage: compiled-package PACKAGE
// The checks of bench pass on kernels that attncc compiled: ragged batches, query tokens, prefill
// with and without a prefix, ranks with fewer heads, plans at the shape and at a bound. On the
// simulator, whose times are the test's.
#include "runtime/bench/Bench.h"
#include "test/bench/SimulatedMachine.h"

#include <cstdio>

using namespace attncc;
using namespace attncc::bench;

static int fail(const Error &error) {
  std::fprintf(stderr, "%s\n", error.diagnostic.text().c_str());
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 2)
    return 2;
  test::SimulatedMachine simulated;
  Result<std::shared_ptr<const package::Package>> package =
      package::Package::open(simulated.machine.device, argv[1]);
  if (!package)
    return fail(package.error());
  BenchOptions options;
  options.shapes = {{1, {100, 100}},     {3, {5, 300}},     {2, {70, 90}, 4},
                    {2, {64, 64}, 1, 1}, {2, {}, {9, 150}}, {1, 200, 70}};
  options.bound = true;
  options.boundTokens = 4096;
  options.readBytes = 1 << 16;
  options.run.samples = 3;
  options.run.sampleMicroseconds = 0; // one turn over the layers
  Result<BenchReport> report = benchPackage("sim", simulated.machine, *package, options);
  if (!report)
    return fail(report.error());
  std::fputs(report->text().c_str(), stdout);
  size_t timed = 0;
  for (const BenchRow &row : report->rows)
    timed += row.timed() && row.errorRatio > 0;
  return timed == 2 * options.shapes.size() ? 0 : 1;
}
