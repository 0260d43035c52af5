//===- Products.cpp - products in flight of an interpreted kernel -------------===//
//
// A product's result is there behind its await. What must not happen before is an
// error: the release of a slot that it reads, a use of its accumulator. Products
// end in the order in which they start, so that an await which lets `ahead` later
// ones be in flight is an error where fewer have been started.
// Test: test/dialects/tile/interpret-products-errors.mlir.
//
//===----------------------------------------------------------------------===//

#include "dialects/tile/interpreter/Machine.h"

using namespace mlir;

namespace attncc::tile::interpreter {

LogicalResult Machine::issue(MatmulIssueOp op, int64_t unit) {
  auto lhs = *tile(op, op.getLhs(), unit), rhs = *tile(op, op.getRhs(), unit);
  std::shared_ptr<const TileData> accumulator;
  if (op.getAccumulator())
    accumulator = *tile(op, op.getAccumulator(), unit);
  Flight &flight = flights[unit];
  Product product{op,
                  flight.started++,
                  {},
                  accumulator,
                  matmul(*lhs, *rhs, accumulator.get(), op.getTransposeB())};
  for (Value operand : {op.getLhs(), op.getRhs()})
    if (auto *slot = std::get_if<SlotTile>(&cell(operand, unit)))
      product.slots.push_back({slot->ring, slot->position});
  flight.products.push_back(std::make_shared<const Product>(std::move(product)));
  set(op, unit, Cell(flight.products.back()));
  return success();
}

LogicalResult Machine::await(AwaitOp op, int64_t unit) {
  auto product = std::get<std::shared_ptr<const Product>>(cell(op.getPending(), unit));
  Flight &flight = flights[unit];
  auto found = llvm::find(flight.products, product);
  if (found == flight.products.end())
    return op.emitOpError() << "awaits a product that has been awaited before";
  int64_t later = flight.started - product->number - 1, ahead = op.getAhead();
  if (later < ahead)
    return op.emitOpError() << "lets " << ahead << " later products be in flight, but only "
                            << later << " have been started";
  flight.products.erase(found);
  set(op.getTile(), unit, product->result);
  for (auto [passed, value] : llvm::zip_equal(op.getPassed(), op.getValues()))
    set(passed, unit, cell(value, unit));
  return success();
}

LogicalResult Machine::checkNoneInFlight() {
  for (const Flight &flight : flights)
    for (const auto &product : flight.products)
      return product->issue->emitOpError() << "starts a product that is not awaited";
  return success();
}

LogicalResult Machine::checkNotRead(Operation *op, StringRef does, const Ring &ring,
                                    int64_t position, int64_t unit) {
  for (int64_t reader = 0; reader < units; ++reader) {
    if (reader != unit && ring.readers.size() > 1) // releases for itself
      continue;
    for (const auto &product : flights[reader].products)
      for (const SlotReference &slot : product->slots)
        if (slot.ring.get() == &ring && slot.position == position) {
          InFlightDiagnostic error = op->emitOpError()
                                     << does << " slot " << position
                                     << " of a ring, which a product in flight reads";
          error.attachNote(product->issue->getLoc()) << "the product starts here";
          return error;
        }
  }
  return success();
}

} // namespace attncc::tile::interpreter
