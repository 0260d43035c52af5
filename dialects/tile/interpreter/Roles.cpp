//===- Roles.cpp - roles of an interpreted kernel, and turns ------------------===//
//
// Each loading role, which runs as unit 0 of its own values, and every unit are
// processes. What they leave behind is checked: each slot has been filled, read and
// released, and each unit has taken as many turns as the others.
// Test: test/dialects/tile/interpret-roles-errors.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Machine.h"

using namespace mlir;

namespace attncc::tile::interpreter {

LogicalResult Machine::runRoles(RolesOp op, Units active) {
  if (active != all || processes)
    return op.emitOpError() << "is not reached by every unit together";
  std::vector<Processes::Process> each;
  for (Region &load : op.getLoads())
    each.push_back(
        {"load " + std::to_string(each.size()), [&] { return runBlock(load.front(), 1); }});
  for (int64_t unit = 0; unit < units; ++unit)
    each.push_back({"unit " + std::to_string(unit),
                    [&, unit] { return runBlock(op.getCompute().front(), Units(1) << unit); }});
  Processes roles(op, std::move(each));
  processes = &roles;
  turn = 0;
  turnTaken = false;
  LogicalResult result = roles.run();
  processes = nullptr;
  return failed(result) ? result : checkRolesEnd(op);
}

LogicalResult Machine::checkRolesEnd(RolesOp op) {
  for (const std::weak_ptr<Ring> &weak : rings) {
    std::shared_ptr<Ring> ring = weak.lock();
    if (!ring || ring->released() == ring->acquired)
      continue;
    return op.emitOpError() << "ends before slot " << ring->released() << " of ring "
                            << ring->name() << " has been released" << ring->bySlowest();
  }
  if (turn != 0 || turnTaken)
    return op.emitOpError() << "ends in the turn of unit " << turn;
  return success();
}

LogicalResult Machine::takeTurn(TakeTurnOp op, int64_t unit) {
  if (!processes)
    return op.emitOpError() << "takes a turn outside of roles, where units run in lockstep";
  auto isMine = [this, unit] { return turn == unit; };
  auto text = [this] { return "its turn, which unit " + std::to_string(turn) + " has"; };
  if (failed(processes->wait({op, isMine, text})))
    return failure();
  if (turnTaken)
    return op.emitOpError() << "takes the turn that unit " << unit << " has";
  turnTaken = true;
  return success();
}

LogicalResult Machine::passTurn(PassTurnOp op, int64_t unit) {
  if (turn != unit || !turnTaken)
    return op.emitOpError() << "passes a turn that unit " << unit << " has not taken";
  turn = (turn + 1) % units;
  turnTaken = false;
  return success();
}

} // namespace attncc::tile::interpreter
