//===- Processes.cpp - the roles of an interpreted block, one at a time --------===//
//
// Each process is a thread, for its stack; a mutex goes from one to the next in a
// fixed order, so that a run can be repeated. Tests:
// test/dialects/tile/interpret-roles-errors.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Processes.h"
#include "mlir/IR/Diagnostics.h"

#include <thread>

using namespace mlir;

namespace attncc::tile::interpreter {

LogicalResult Processes::run() {
  std::vector<std::thread> threads;
  for (size_t process = 0; process < processes.size(); ++process)
    threads.emplace_back([this, process] { runProcess(process); });
  for (std::thread &thread : threads)
    thread.join();
  return failure(failed || deadlock);
}

void Processes::runProcess(size_t process) {
  std::unique_lock lock(mutex);
  handedOver.wait(lock, [&] { return failed || deadlock || running == process; });
  if (failed || deadlock)
    return;
  if (succeeded(processes[process].body()))
    states[process].ended = true;
  else
    failed = !deadlock;
  handOver();
}

LogicalResult Processes::wait(Condition condition) {
  if (condition.holds())
    return success();
  std::unique_lock lock(mutex, std::adopt_lock);
  size_t self = running;
  states[self].waitsFor = std::move(condition);
  handOver();
  handedOver.wait(lock, [&] { return failed || deadlock || running == self; });
  lock.release(); // held until the process waits again or ends
  if (failed || deadlock)
    return failure();
  states[self].waitsFor.reset();
  return success();
}

bool Processes::canGoOn(size_t process) const {
  const State &state = states[process];
  return !state.ended && (!state.waitsFor || state.waitsFor->holds());
}

void Processes::handOver() {
  bool allEnded = true;
  for (size_t step = 1; step <= processes.size() && !failed && !deadlock; ++step) {
    size_t next = (running + step) % processes.size();
    allEnded &= states[next].ended;
    if (!canGoOn(next))
      continue;
    running = next;
    handedOver.notify_all();
    return;
  }
  if (!failed && !deadlock && !allEnded) {
    deadlock = true;
    reportDeadlock(); // while all of them are where they wait
  }
  handedOver.notify_all();
}

void Processes::reportDeadlock() const {
  InFlightDiagnostic error = roles->emitOpError() << "ends in a deadlock";
  const char *separator = ": ";
  for (const auto &[process, state] : llvm::zip_equal(processes, states)) {
    if (state.ended || !state.waitsFor)
      continue;
    error << separator << process.name << " waits for " << state.waitsFor->text();
    separator = "; ";
    error.attachNote(state.waitsFor->op->getLoc()) << process.name << " waits here";
  }
}

} // namespace attncc::tile::interpreter
