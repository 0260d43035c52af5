//===- Executor.h - who computes a case -------------------------------------===//
//
// Internal. The one door between cases and kernels: given a case's memory, an executor
// fills the output in. A step is what an engine launches for one token: append, decode and
// merge, one after another. PackageExecutor launches a package's kernels through the runtime
// the way an engine does (bind, plan, update, append or attend); the tests of verify
// have one that computes on the host, rightly or wrongly.
// Test: test/verify/VerifyTest.cpp, test/verify/PackageExecutorTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/CaseMemory.h"
#include "runtime/verify/Step.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace attncc::package {
class Package;
}

namespace attncc::verify {

/// What decode left for merge, split by split or span by span of an item, at the first split of it:
/// normalised, with natural log-sum-exps.
struct Partials {
  int64_t splits = 0, maxQueryLength = 0, queryHeads = 0, dim = 0; // splits: the most of any
  std::vector<int64_t> splitsOfPartial; // by sequence; all where there is none
  std::vector<float> output;            // [sequences][splits][maxQueryLength][queryHeads][dim]
  std::vector<float> lse;               // [sequences][splits][maxQueryLength][queryHeads]
};

/// What is known of a run beside its results.
struct Execution {
  std::vector<std::string> findings; // of a simulator: one line each
  bool metered = false;
  uint64_t bytesMoved = 0;    // 32 x sectors requested, over all buffers and launches
  uint64_t bankConflicts = 0; // shared-memory wavefronts beyond the least
  uint32_t errors = 0;        // the plan's error word: 1 a length, 2 a page number, 4 a position
  std::optional<Partials> partials;
};

/// How the launches of a step follow one another.
enum class StepForm {
  Apart,    // the host waits between append and attention
  Together, // one after another on one stream
  Graph,    // captured once at the case's bounds, launched twice; the results are the second's
};

class Executor {
public:
  virtual ~Executor() = default;
  /// Runs append, decode and merge, or merge_states. An error is what prevents a case from running
  /// at all.
  virtual Result<Execution> run(const ClassShape &shape, const VerifyCase &verifyCase,
                                CaseData &data) = 0;
  /// Runs a step. An executor that cannot do better runs its two cases and carries the rows over.
  virtual Result<Execution> runStep(const ClassShape &shape, Step &step, StepForm form);
  virtual bool hasGraphs() const { return false; }
};

struct ExecutorOptions {
  std::string target;     // empty: the best that the device runs
  unsigned threads = 1;   // host threads of a simulator, 0: one per core
  std::string record;     // folder that keeps every launch; empty: none is kept
  bool hopper = false;    // a simulator's tensor cores add as Hopper's do, else as Ampere's
  bool ownMemory = false; // cases are copied to a simulator's memory, as to a GPU's
};

class PackageExecutor final : public Executor {
public:
  static Result<std::unique_ptr<PackageExecutor>>
  open(const std::string &device, const std::string &folder, const ExecutorOptions &options);

  /// Another one for another host thread: with a simulator of its own, or with the GPU's package
  /// and memory of its own.
  Result<std::unique_ptr<PackageExecutor>> another() const;

  Result<Execution> run(const ClassShape &shape, const VerifyCase &verifyCase,
                        CaseData &data) override;
  Result<Execution> runStep(const ClassShape &shape, Step &step, StepForm form) override;
  bool hasGraphs() const override;
  ~PackageExecutor() override;
  const package::Package &package() const { return *loaded; }

private:
  struct Launches; // a plan and a cache over a case's memory
  PackageExecutor() = default;
  static Result<std::unique_ptr<PackageExecutor>>
  over(std::shared_ptr<const package::Package> package, const ExecutorOptions &options);

  std::string deviceName, folder;
  ExecutorOptions options;
  std::shared_ptr<const package::Package> loaded;
  device::Stream stream = nullptr; // on a GPU one of its own
  std::unique_ptr<CaseMemory> memory;
};

} // namespace attncc::verify
