//===- Processes.h - the roles of an interpreted block, one at a time ----------===//
//
// Internal to the interpreter. Processes that meet in rings and in turns only: what
// they compute does not depend on who runs when. So one runs until it must wait,
// then the next that can go on. Where none can, the program is in a deadlock, and
// who waits for what is the error.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "mlir/IR/Operation.h"
#include "llvm/Support/LogicalResult.h"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace attncc::tile::interpreter {

class Processes {
public:
  struct Process {
    std::string name;
    std::function<llvm::LogicalResult()> body;
  };
  /// What a process waits for at an op. Both functions are called only while it does.
  struct Condition {
    mlir::Operation *op = nullptr;
    std::function<bool()> holds;
    std::function<std::string()> text; // behind "waits for", asked for in a deadlock only
  };

  Processes(mlir::Operation *roles, std::vector<Process> processes)
      : roles(roles), processes(std::move(processes)), states(this->processes.size()) {}

  /// Runs all to their ends, once. A deadlock is an error on `roles`; the errors of bodies are
  /// their own.
  llvm::LogicalResult run();

  /// Called by the running process: lets others run until the condition holds. Fails when that will
  /// not be, or when another process has failed.
  llvm::LogicalResult wait(Condition condition);

private:
  void runProcess(size_t process);
  bool canGoOn(size_t process) const;
  void handOver();
  void reportDeadlock() const;

  struct State {
    bool ended = false;
    std::optional<Condition> waitsFor;
  };
  mlir::Operation *roles;
  std::vector<Process> processes;
  std::vector<State> states;
  std::mutex mutex; // the running process holds it
  std::condition_variable handedOver;
  size_t running = 0;
  bool failed = false, deadlock = false;
};

} // namespace attncc::tile::interpreter
