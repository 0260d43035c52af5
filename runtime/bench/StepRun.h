//===- StepRun.h - one step of attention, checked and timed ------------------===//
//
// Internal. One shape of one layer class as an engine has it: sequences whose pages lie anywhere in
// their layer's memory, one block table for all layers, one plan. The method:
//
//   cold       attends take turns over layers with memory of their own. Decode reads kColdFactor
//              times the L2 in a turn, so that none finds its pages there (a cache of random
//              replacement keeps exp(-kColdFactor) of them, 5 in 100,000). Prefill, which matrices
//              bound, takes up to kMostSets of them with queries of their own
//   long       as many attends in one recording as fill sampleMicroseconds
//   checked    before that, some rows of some layers against fp64, all others for NaN; the error
//              word
//   two states prefill is timed on a GPU that has rested, and behind so much of the same work that
//              it draws all the power that it may, and so is slower
//
// Bytes of decode are the package's own formula of compulsory traffic at the real lengths; flops of
// prefill are those of the pairs of a query and a key that the mask lets through.
// Tests: test/bench/BenchTest.cpp, test/bench/PrefillTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/bench/NoisePool.h"
#include "runtime/bench/Shapes.h"
#include "runtime/plan/Plan.h"
#include "runtime/verify/Acceptance.h"

namespace attncc::bench {

struct RunOptions {
  uint64_t seed = 1;
  bool permuted = true; ///< pages in a random order; else each sequence's one after another
  uint32_t policy = ATTNCC_INVARIANT;
  int64_t samples = 40;
  double sampleMicroseconds = 1500;
  /// Of prefill: the pause before a burst, the burst, and the work before what is sustained.
  double restMicroseconds = 120e3, burstMicroseconds = 8e3, heatMicroseconds = 120e3;
};

/// One attend: median and median deviation over the samples, each the mean of `attends`.
struct Timing {
  double median = 0, deviation = 0; ///< microseconds
  int64_t samples = 0, attends = 0;
};

/// Prefill in the two states of a GPU's power.
struct PowerTimings {
  Timing burst, sustained;
};

/// What a call takes on the host, outside of a graph: medians in microseconds.
struct HostTimes {
  static constexpr int64_t kLayers = 16;
  double update = 0, append = 0, attend = 0;
  double step = 0; ///< update, then append and attend of kLayers layers
};

class StepRun {
public:
  static constexpr int64_t kColdFactor = 10, kMostLayers = 1024; // of decode
  static constexpr int64_t kSetsFactor = 4, kMostSets = 4;       // of prefill
  static constexpr int64_t kMostAttends = 4096;

  /// Unsupported where the class has no kernel for such a step, OutOfMemory where the device has no
  /// room for it.
  static Result<std::unique_ptr<StepRun>> make(const Machine &machine,
                                               std::shared_ptr<const package::Package> package,
                                               const verify::ClassShape &shape, const Shape &step,
                                               const RunOptions &options, NoisePool &pool);

  int64_t longest() const { return longestKv; } ///< of the sequences
  int64_t bytes() const { return compulsory; }
  double flops() const;
  /// Layers with memory of their own, and whether they are enough to be cold.
  int64_t layers() const { return numLayers; }
  bool cold() const { return bytesOfLayer * numLayers >= coldBytes(); }

  /// Makes the plan, for steps of up to so many tokens a sequence.
  Result<void> plan(int64_t maxKvLength);
  /// Of decode or prefill, as the plan chose it.
  const std::string &kernel() const;

  /// How rows of some layers compare with fp64; not accepted with a reason where anything is wrong.
  Result<verify::Measure> check();
  /// With a GPU that is always busy.
  Result<Timing> time();
  Result<PowerTimings> timeStates();
  /// Appends too, so the pages are noise of another kind afterwards.
  Result<HostTimes> hostTimes();

private:
  /// What the oracle says of query tokens of one sequence and kv head in one layer.
  struct Sample {
    int64_t kvHead = 0, layer = 0;
    std::vector<int64_t> tokens; // of the batch
    std::vector<double> oracle;  // [tokens][group][valueDim]
    std::vector<float> plain;
  };
  /// Whole turns over the layers, which fill a sample.
  struct Turns {
    std::unique_ptr<Recording> recording;
    int64_t attends = 0;
  };

  StepRun(const Machine &machine, std::shared_ptr<const package::Package> package,
          const verify::ClassShape &shape, const Shape &step, const RunOptions &options,
          NoisePool &pool);
  Result<void> countWork();
  Result<void> placePages();
  Result<void> placeTensors();
  Result<void> bindLayers(const plan::PoolLayout &layout, int64_t layerBytes);
  Result<void> placeTable(int64_t maxKvLength);
  Result<Memory> upload(const std::vector<int32_t> &numbers, const char *label);
  bool isPrefill() const { return step.role() == Role::Prefill; }
  int64_t coldBytes() const { return (isPrefill() ? kSetsFactor : kColdFactor) * machine.l2Bytes; }
  int64_t queryElements() const { return tokens * queryHeads * shape.keyDim; }
  /// Those of a layer: of decode the same for all.
  uint16_t *queryOf(int64_t layer) const {
    return query + (isPrefill() ? layer * queryElements() : 0);
  }
  /// [tokens, heads, dim]
  attncc_tensor tensorOf(void *data, int64_t heads, int64_t dim) const;
  /// Of the query heads of a kv head, among all heads of all tokens.
  int64_t firstRow(int64_t token, int64_t kvHead) const {
    return token * queryHeads + kvHead * shape.group();
  }
  /// Keys that query token `i` of a sequence sees.
  int64_t visibleKeys(const verify::SequenceShape &sequence, int64_t i) const;

  void prepareSamples();
  Sample sampleOf(int64_t sequence, int64_t kvHead, int64_t layer,
                  const std::vector<int64_t> &queryTokens) const;
  Result<std::vector<uint16_t>> outputsOf(int64_t layer);
  Result<Turns> recordTurns();
  static Timing timingOf(std::vector<double> times, int64_t attends);

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

  std::vector<verify::SequenceShape> sequences;
  std::vector<int32_t> starts;             // of each sequence's query tokens, and their end
  std::vector<std::vector<int32_t>> pages; // page numbers of each sequence
  int64_t kvHeads = 0, queryHeads = 0, tokens = 0, numPages = 0, longestQuery = 0, longestKv = 0;
  int64_t compulsory = 0;                   // bytes of decode
  int64_t bytesOfLayer = 0;                 // that an attend reads and no other layer's does
  int64_t numLayers = 0;                    // with memory of their own
  std::vector<attncc_kv_layer> layerMemory; // of each of them
  std::vector<uint32_t> classLayers;        // of the cache group: those of this class
  std::vector<std::shared_ptr<const plan::KvCache>> caches; // classLayers.size() layers each
  NoisePool queries;
  uint16_t *query = nullptr; // in `queries`
  Memory output, queryStart, kvLength, table, workspace;
  int64_t maxKvLength = 0, tableStride = 0;
  std::unique_ptr<plan::Plan> stepPlan;
  std::vector<Sample> samples;
};

} // namespace attncc::bench
