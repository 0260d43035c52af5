//===- Bench.h - a package's attention on a GPU, timed -----------------------===//
//
// Internal; what `attncc bench` calls. First the read bandwidth of the GPU, then shape after shape
// of each layer class: checked, then timed with the plan's bounds at the shape, or at a given
// length, or both. A shape that does not fit is skipped with the reason; one whose results are
// wrong is not timed, and the report has not passed.
// Tests: test/bench/BenchTest.cpp, test/bench/PrefillTest.cpp, test/bench/CudaBenchTest.cpp,
// test/bench/BenchReportTest.cpp;
// test/bench/compiled-package.cpp on kernels that attncc compiled.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/bench/ReadBandwidth.h"
#include "runtime/bench/StepRun.h"
#include "runtime/support/JsonTree.h"

namespace attncc::bench {

struct BenchOptions {
  std::vector<Shape> shapes;
  std::string layerClass;               ///< only this one; empty: all
  bool exact = true, bound = false;     ///< how graphs are captured
  int64_t boundTokens = 131072;         ///< max_kv_length of those at a bound
  bool host = false;                    ///< host times, too
  int64_t readBytes = int64_t(8) << 30; ///< less where memory is short
  RunOptions run;
  /// Called before each row.
  std::function<void(int64_t done, int64_t total)> progress;
};

struct BenchRow {
  std::string layerClass;
  Shape shape;
  bool atBound = false;
  int64_t maxKvLength = 0;
  std::string skipped; ///< why it was not run; empty: it was
  std::string failure; ///< what is wrong with its results
  std::string kernel;
  double errorRatio = 0;         ///< to the error of the plain evaluation
  int64_t bytes = 0, layers = 0; ///< bytes: of decode
  double flops = 0;
  bool cold = true;
  Timing timing; ///< of prefill: what is sustained
  Timing burst;  ///< of prefill

  double gigabytesPerSecond() const { return double(bytes) / timing.median / 1e3; }
  double teraflopsPerSecond(const Timing &of) const { return flops / of.median / 1e6; }
  bool timed() const { return skipped.empty() && failure.empty(); }
};

struct BenchReport {
  struct Host {
    std::string layerClass;
    Shape shape;
    int64_t maxKvLength = 0;
    HostTimes times;
  };
  std::string device, description, packageId;
  uint64_t seed = 1;
  bool permuted = true;
  ReadBandwidth read;
  std::vector<BenchRow> rows;
  std::vector<Host> hosts;

  bool passed() const;
  /// decode 64 x 4096  graph exact  133.1 us ±0.4  4,038 GB/s  89% of 4,542 read in this run
  /// prefill 4 x 4096  graph exact  918.4 us ±3.1  599 TFLOP/s sustained  776.5 us ±1.2  708
  /// TFLOP/s burst
  std::string text() const;
  /// {"device", "read_gbps", "shapes": [{"batch", "context", "median_us", …}], …}
  json::Tree json() const;
};

/// The device and its read bandwidth alone.
Result<BenchReport> benchRead(const std::string &deviceName, const Machine &machine,
                              const BenchOptions &options);

/// InvalidArgument for an unknown class; an error of the device ends it.
Result<BenchReport> benchPackage(const std::string &deviceName, const Machine &machine,
                                 std::shared_ptr<const package::Package> package,
                                 const BenchOptions &options);

} // namespace attncc::bench
