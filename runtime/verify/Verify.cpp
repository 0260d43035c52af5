//===- Verify.cpp - see Verify.h: the work, spread over threads -------------===//

#include "runtime/verify/Verify.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace attncc::verify {

namespace {
/// A case or a property of one class. `cost` orders the work: long cases first, so that the
/// threads end together.
struct Task {
  const ClassShape *shape = nullptr;
  const VerifyCase *verifyCase = nullptr; // or
  const Property *property = nullptr;     // or neither: checkSameErrors
  size_t index = 0;                       // of the result
  int64_t cost = 0;
};

int64_t costOf(const VerifyCase &c) {
  int64_t cost = 0;
  for (auto [queryLength, kvLength] : c.sequences)
    cost += c.role == Role::Append        ? queryLength
            : c.role == Role::MergeStates ? queryLength * c.parts
            : c.role == Role::Prefill     ? (16 + queryLength) * (16 + kvLength) / 16
                                          : 16 + kvLength;
  return cost * c.kvHeads;
}

std::vector<VerifyCase> casesOf(const ClassShape &shape, const VerifyOptions &options) {
  std::vector<VerifyCase> grid = makeGrid(shape, options.seed, options.cases);
  if (options.role)
    std::erase_if(grid, [&](const VerifyCase &c) { return c.role != *options.role; });
  if (int64_t(grid.size()) <= options.cases)
    return grid;
  std::vector<VerifyCase> picked;
  for (int64_t i = 0; i < options.cases; ++i)
    picked.push_back(grid[size_t(i * int64_t(grid.size()) / options.cases)]);
  return picked;
}
} // namespace

Result<VerifyReport> runVerify(const std::vector<ClassShape> &shapes, const VerifyOptions &options,
                               const OpenExecutor &open, const OpenExecutor &openOther) {
  VerifyReport report;
  report.seed = options.seed;
  report.targets = {{options.target, ""}};
  std::vector<std::vector<VerifyCase>> grids;
  std::vector<Task> tasks;
  size_t numCases = 0, numProperties = 0;
  const std::string &wanted = options.only ? options.only->layerClass : options.layerClass;
  for (const ClassShape &shape : shapes) {
    if (!wanted.empty() && shape.name != wanted)
      continue;
    grids.push_back(options.only ? std::vector{*options.only} : casesOf(shape, options));
  }
  if (grids.empty()) {
    std::string known;
    for (const ClassShape &shape : shapes)
      known += (known.empty() ? "" : ", ") + shape.name;
    return makeError(Status::InvalidArgument,
                     "no layer class is called \"" + wanted + "\", known: " + known);
  }
  size_t grid = 0;
  for (const ClassShape &shape : shapes) {
    if (!wanted.empty() && shape.name != wanted)
      continue;
    for (const VerifyCase &c : grids[grid++]) {
      if (Result<void> suits = checkCase(c, shape); !suits)
        return suits.error();
      tasks.push_back({&shape, &c, nullptr, numCases++, costOf(c)});
    }
    if (!options.properties || options.only)
      continue;
    for (const Property &property : allProperties())
      if ((!options.role || property.role == *options.role) &&
          (property.role != Role::Prefill || shape.prefillRows != 0))
        tasks.push_back({&shape, nullptr, &property, numProperties++, int64_t(1) << 40});
    if (openOther && (!options.role || *options.role == Role::Decode))
      tasks.push_back({&shape, nullptr, nullptr, numProperties++, int64_t(1) << 40});
  }
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const Task &a, const Task &b) { return a.cost > b.cost; });

  std::vector<std::optional<CaseResult>> cases(numCases);
  std::vector<std::optional<PropertyResult>> properties(numProperties);
  std::atomic<size_t> next = 0;
  std::atomic<bool> stop = false;
  std::mutex lock; // guards progress and `failure`
  std::optional<Error> failure;
  int64_t done = 0;
  auto work = [&] {
    Result<std::unique_ptr<Executor>> executor = open();
    Result<std::unique_ptr<Executor>> other = std::unique_ptr<Executor>();
    if (executor && openOther)
      other = openOther();
    if (!executor || !other) {
      std::lock_guard guard(lock);
      failure = executor ? other.error() : executor.error();
      stop = true;
    }
    for (size_t i; !stop && (i = next++) < tasks.size();) {
      const Task &task = tasks[i];
      bool passed;
      if (task.verifyCase) {
        cases[task.index] = runCase(*task.shape, *task.verifyCase, **executor, other->get());
        passed = cases[task.index]->passed;
      } else if (!task.property) {
        properties[task.index] = checkSameErrors(*task.shape, **executor, **other);
        passed = properties[task.index]->passed;
      } else if (task.property->applies && !((**executor).*task.property->applies)()) {
        passed = true;
      } else {
        PropertyResult result = task.property->check(*task.shape, **executor, options.trafficLimit);
        result.name = task.property->name;
        result.role = task.property->role;
        passed = result.passed;
        properties[task.index] = std::move(result);
      }
      if (!passed && options.failFast)
        stop = true;
      std::lock_guard guard(lock);
      ++done;
      if (options.progress)
        options.progress(done, int64_t(tasks.size()));
    }
  };
  size_t jobs = options.jobs ? options.jobs : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(jobs, tasks.size()); ++i)
    threads.emplace_back(work);
  work();
  for (std::thread &thread : threads)
    thread.join();
  if (failure)
    return *failure;

  report.stopped = done < int64_t(tasks.size());
  for (std::optional<CaseResult> &result : cases)
    if (result)
      report.cases.push_back(std::move(*result));
  for (std::optional<PropertyResult> &result : properties)
    if (result)
      report.properties.push_back(std::move(*result));
  return report;
}

} // namespace attncc::verify
