//===- Verify.h - a package against the oracle ------------------------------===//
//
// Internal; what `attncc verify` calls. Runs the grid of every layer class and the
// properties on as many host threads as asked, each with a package of its own, and
// gathers one report: a table for people, JSON for programs. The report's `passed`
// decides between exit codes 0 and 5. Test: test/verify/VerifyTest.cpp,
// test/verify/PackageExecutorTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/Properties.h"

#include <functional>

namespace attncc::verify {

struct VerifyOptions {
  int64_t cases = 300; // per layer class; fewer than its edges: evenly picked ones
  uint64_t seed = 1;
  std::optional<Role> role; // only these cases and properties
  std::string layerClass;   // only this class; empty: all
  std::string target; // only this one; empty: every target on "sim", the device's best elsewhere
  std::optional<VerifyCase> only; // this case (a repro) and nothing else
  bool properties = true;
  bool failFast = false; // stop at the first failure
  unsigned jobs = 0;     // host threads; 0: one per core. Results do not depend on it
  std::string record;    // folder that keeps every launch (RecordingDevice.h); one host thread then
  // A simulator's tensor cores add as Hopper's do, or as Ampere's; not given: as the target's.
  std::optional<bool> hopper;
  std::string against;               // a device on which every case runs as well; empty: none
  std::optional<bool> againstHopper; // of that one; not given: as `hopper` says
  // Of decode. Partial results and tables weigh more the fewer bytes a token of context has, so the
  // limit is generous: what it finds is K or V that is read more than once.
  double trafficLimit = 1.25;
  /// Called after each case and property, from any thread but never from two at once.
  std::function<void(int64_t done, int64_t total)> progress;
};

/// One line of the table.
struct RoleSummary {
  std::string target;
  Role role = Role::Decode;
  int64_t cases = 0, passed = 0, findings = 0;
  double medianRatio = 0, largestRatio = 0;
  double traffic = 0;                 // the largest of the classes' traffic properties; 0: none ran
  std::optional<Agreement> agreement; // of all cases together
};

struct VerifyReport {
  struct Target {
    std::string name, reason; // reason: why it was not run; empty: it was
  };
  std::string device, packageId, against;
  std::vector<Target> targets;
  uint64_t seed = 0;
  std::vector<CaseResult> cases; // target by target, in the order of the grid
  std::vector<PropertyResult> properties;
  bool stopped = false; // failFast left some out

  bool passed() const;
  std::vector<RoleSummary> roles() const;
  /// decode  sm_80  sim  300/300 within 2x  error ratio p50 0.98 max 1.41  traffic 1.004x  findings
  /// 0 and a line for each property and each failure; with another device a line for each role:
  /// decode  sm_80  cuda:0 against sim  113198 of 113200 equal  furthest 0.22 ulp  exceptions 0
  std::string text() const;
  /// {"schema": "attncc.verify/1", "ok", "diagnostics", "cases": [{"id", "ratio", "traffic",
  /// "findings", …}], …}; a failed case carries its "repro".
  json::Tree json() const;

private:
  json::Tree agreementTree() const;
};

/// An error (unknown class, unreadable package, device) means that nothing was verified.
Result<VerifyReport> runVerify(const std::string &folder, const std::string &device,
                               const VerifyOptions &options = {});

using OpenExecutor = std::function<Result<std::unique_ptr<Executor>>()>;

/// The same over any executors; `open` is called once for each host thread, and so is `openOther`,
/// unless it is empty, for the device to compare with.
Result<VerifyReport> runVerify(const std::vector<ClassShape> &shapes, const VerifyOptions &options,
                               const OpenExecutor &open, const OpenExecutor &openOther = {});

} // namespace attncc::verify
