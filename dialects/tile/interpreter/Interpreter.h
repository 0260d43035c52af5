//===- Interpreter.h - runs a tile kernel in double precision -----------------===//
//
// Internal. Executes a tile.kernel over its whole grid, block by block, with
// every tile an array of doubles. Layouts change nothing: every pass over tile
// programs is tested by "same result before and after". The units of a block
// run in lockstep, op by op, those that are active; rings are bounded FIFOs
// whose misuse is an error on the op: filling a slot that has not been
// released, waiting for one that has not been committed, reading one that has
// been released. In tile.roles each loading role and each unit are processes
// of their own, which wait for each other; a deadlock is an error that names them.
//
// Tests: test/dialects/tile/interpreter/InterpreterTest.cpp against a plain
// loop, test/dialects/tile/interpret-errors.mlir, interpret-roles-errors.mlir.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/tile/Tile.h"
#include "dialects/tile/interpreter/Values.h"

namespace attncc::tile::interpreter {

struct Options {
  /// Round to the element type where a program does: tile.convert, and every store.
  bool round = false;
  /// Every tile of the program must have a layout.
  bool requireLayouts = false;
  /// The grid of a kernel whose blocks stay for many items.
  int64_t blocks = 3;
};

/// Runs the kernel; results are in what the arguments point to. Emits an error on the op that
/// failed.
mlir::LogicalResult interpret(KernelOp kernel, llvm::ArrayRef<Argument> arguments,
                              const Options &options = {});

/// Length of the splits of a sequence, and their number: the schedule's rule, or with
/// merge = kernel the batch's override rounded up to a multiple of 64. Without a rule there is one
/// split.
int64_t splitLength(attn::ScheduleAttr schedule, const Batch &batch, int64_t kvLength);
int64_t numSplits(attn::ScheduleAttr schedule, const Batch &batch, int64_t kvLength);
/// The splits that an item takes, if the sequence has as many: with merge = item all, with
/// span or item whole spans or one, as a negative override says (splitsTaken).
int64_t splitsOfItem(attn::ScheduleAttr schedule, const Batch &batch, int64_t kvLength);

/// The nearest value of a float type, ties to even.
double roundTo(mlir::FloatType type, double value);

} // namespace attncc::tile::interpreter
