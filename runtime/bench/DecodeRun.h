//===- DecodeRun.h - one decode step, checked and timed ----------------------===//
//
// Internal. One shape of one layer class as an engine has it: sequences whose pages lie anywhere in
// their layer's memory, one block table for all layers, one plan. The method:
//
//   cold       attends take turns over layers with memory of their own, kColdFactor times the L2 in
//              all, so that none finds its pages there (a cache of random replacement keeps
//              exp(-kColdFactor) of them, 5 in 100,000)
//   long       as many attends in one recording as fill sampleMicroseconds
//   checked    before that, some rows of some layers against fp64, all others for NaN; the error
//              word
//
// Bytes are the package's own formula of compulsory traffic at the real lengths.
// Test: test/bench/BenchTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/bench/NoisePool.h"
#include "runtime/bench/Shapes.h"
#include "runtime/plan/Plan.h"
#include "runtime/verify/Acceptance.h"
#include "runtime/verify/CaseGrid.h"

#include <optional>

namespace attncc::bench {

struct RunOptions {
  uint64_t seed = 1;
  bool permuted = true; ///< pages in a random order; else each sequence's one after another
  uint32_t policy = ATTNCC_INVARIANT;
  int64_t samples = 40;
  double sampleMicroseconds = 1500;
};

/// One attend: median and median deviation over the samples, each the mean of `attends`.
struct Timing {
  double median = 0, deviation = 0; ///< microseconds
  int64_t samples = 0, attends = 0;
};

/// What a call takes on the host, outside of a graph: medians in microseconds.
struct HostTimes {
  static constexpr int64_t kLayers = 16;
  double update = 0, append = 0, attend = 0;
  double step = 0; ///< update, then append and attend of kLayers layers
};

class DecodeRun {
public:
  static constexpr int64_t kColdFactor = 10, kMostLayers = 1024, kMostAttends = 4096;

  /// Unsupported where the class has no kernel for such a step, OutOfMemory where the device has no
  /// room for it.
  static Result<std::unique_ptr<DecodeRun>> make(const Machine &machine,
                                                 std::shared_ptr<const package::Package> package,
                                                 const verify::ClassShape &shape, const Shape &step,
                                                 const RunOptions &options, NoisePool &pool);

  int64_t longest() const; ///< of the sequences
  int64_t bytes() const { return compulsory; }
  /// Layers with memory of their own, and whether they are enough to be cold.
  int64_t layers() const { return numLayers; }
  bool cold() const { return compulsory * numLayers >= kColdFactor * machine.l2Bytes; }

  /// Makes the plan, for steps of up to so many tokens a sequence.
  Result<void> plan(int64_t maxKvLength);
  /// Of decode, as the plan chose it.
  const std::string &kernel() const;

  /// How rows of some layers compare with fp64; not accepted with a reason where anything is wrong.
  Result<verify::Measure> check();
  Result<Timing> time();
  /// Appends too, so the pages are noise of another kind afterwards.
  Result<HostTimes> hostTimes();

private:
  /// What the oracle says of one sequence and kv head in one layer.
  struct Sample {
    int64_t sequence = 0, kvHead = 0, layer = 0;
    std::vector<double> oracle;
    std::vector<float> plain;
  };

  DecodeRun(const Machine &machine, std::shared_ptr<const package::Package> package,
            const verify::ClassShape &shape, const Shape &step, const RunOptions &options,
            NoisePool &pool);
  Result<void> placePages();
  Result<void> placeTensors();
  Result<void> bindLayers(const plan::PoolLayout &layout, int64_t layerBytes);
  Result<void> placeTable(int64_t maxKvLength);
  Result<Memory> upload(const void *from, size_t bytes, const char *label);
  void prepareSamples();
  Sample sampleOf(int64_t sequence, int64_t kvHead, int64_t layer) const;
  Result<void> update();
  Result<void> attend(int64_t layer, device::Stream stream);
  Result<void> append(int64_t layer, const attncc_append_args &args);

  const Machine &machine;
  std::shared_ptr<const package::Package> package;
  const package::CacheGroup &group;
  verify::ClassShape shape;
  Shape step;
  RunOptions options;
  NoisePool &pool;

  std::vector<int64_t> lengths;            // kv_length of each sequence
  std::vector<std::vector<int32_t>> pages; // page numbers of each sequence
  int64_t kvHeads = 0, queryHeads = 0, tokens = 0, numPages = 0, compulsory = 0;
  int64_t numLayers = 0;                    // with memory of their own
  std::vector<attncc_kv_layer> layerMemory; // of each of them
  std::vector<uint32_t> classLayers;        // of the cache group: those of this class
  std::vector<std::shared_ptr<const plan::KvCache>> caches; // classLayers.size() layers each
  std::vector<uint16_t> queryBits;
  Memory query, output, queryStart, kvLength, table, workspace;
  int64_t maxKvLength = 0, tableStride = 0;
  std::unique_ptr<plan::Plan> decodePlan;
  std::vector<Sample> samples;
};

} // namespace attncc::bench
