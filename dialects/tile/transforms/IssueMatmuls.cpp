//===- IssueMatmuls.cpp - Products become issue and await ---------------------===//
//
//   %k = tile.wait %K[%pk]                 %k = tile.wait %K[%pk]
//   %s = tile.matmul %q, %k                tile.take_turn
//   tile.release %K[%pk]                   %ps = tile.matmul_issue %q, %k
//   %v = tile.wait %V[%pv]                 %v = tile.wait %V[%pv]
//   %o1 = tile.matmul %p, %v, %o           %po = tile.matmul_issue %p, %v, %o
//   tile.release %V[%pv]             →     tile.pass_turn
//   %f = softmax of %s                     %s = tile.await %ps {ahead = 1}
//   %p1 = tile.convert %f                  tile.release %K[%pk]
//   %o2 = tile.rescale %o1, …              %f = softmax of %s
//                                          %o1, %g = tile.await %po with %f
//                                          tile.release %V[%pv]
//                                          %p1 = tile.convert %g
//                                          %o2 = tile.rescale %o1, …
//
// Local to each block. A product is awaited in front of the first use of its result; one that reads
// registers also in front of the conversion that makes the next product's, whose registers might
// be the same. Products end in the order in which they start, so `ahead` counts those started
// between a product and its await.
//
// With `ping_pong` a unit takes a turn for every tile of keys, also for one that it only waits for
// and releases.
//
// Test: test/dialects/tile/issue-matmuls.mlir.
//===----------------------------------------------------------------------===//
#include "dialects/tile/Passes.h"
#include "dialects/tile/Tile.h"

#include "mlir/IR/Builders.h"

namespace attncc::tile {
#define GEN_PASS_DEF_ISSUEMATMULSPASS
#include "dialects/tile/Passes.h.inc"
} // namespace attncc::tile

using namespace mlir;

namespace attncc::tile {
namespace {

/// The ring that a shared operand lies in, or null.
Value ringOf(Value operand) {
  auto wait = operand.getDefiningOp<WaitOp>();
  return wait ? wait.getRing() : Value();
}

/// The first op of the block behind `op` that the predicate holds for, else the terminator.
template <class Predicate> Operation *firstBehind(Operation *op, Predicate predicate) {
  Block *block = op->getBlock();
  for (Operation *next = op->getNextNode(); next != block->getTerminator();
       next = next->getNextNode())
    if (predicate(next))
      return next;
  return block->getTerminator();
}

class BlockRewriter {
public:
  explicit BlockRewriter(bool pingPong) : pingPong(pingPong) {}

  void run(Block &block) {
    SmallVector<MatmulOp> products(block.getOps<MatmulOp>());
    if (products.empty())
      return;
    for (MatmulOp product : products)
      issues.push_back(start(product));
    AwaitOp first;
    for (MatmulIssueOp issue : issues) {
      AwaitOp await = awaitFor(issue);
      if (!first || await->isBeforeInBlock(first))
        first = await;
    }
    if (!pingPong)
      return;
    OpBuilder builder(issues.front());
    TakeTurnOp::create(builder, issues.front().getLoc());
    MatmulIssueOp last = issues.front();
    for (MatmulIssueOp issue : issues)
      if (issue->isBeforeInBlock(first))
        last = issue;
    builder.setInsertionPointAfter(last);
    PassTurnOp::create(builder, last.getLoc());
  }

private:
  bool pingPong;
  SmallVector<MatmulIssueOp> issues;

  /// In place of the product; its users have the result of no await yet.
  static MatmulIssueOp start(MatmulOp product) {
    OpBuilder builder(product);
    auto issue = MatmulIssueOp::create(
        builder, product.getLoc(),
        PendingType::get(product.getContext(), product.getResult().getType()), product.getLhs(),
        product.getRhs(), product.getAccumulator(), product.getTransposeB());
    // Users meet the pending value until its await is made.
    product.getResult().replaceUsesWithIf(issue.getResult(), [](OpOperand &) { return true; });
    product.erase();
    return issue;
  }

  AwaitOp awaitFor(MatmulIssueOp issue) {
    Block *block = issue->getBlock();
    Operation *use = firstBehind(issue, [&](Operation *op) {
      return llvm::any_of(issue.getResult().getUsers(), [&](Operation *user) {
        return block->findAncestorOpInBlock(*user) == op;
      });
    });
    SmallVector<Value> passed;
    ConvertOp conversion;
    if (!issue.getLhs().getType().isShared()) {
      Type operand = issue.getLhs().getType().getElementType();
      Operation *found = firstBehind(issue, [&](Operation *op) {
        auto convert = dyn_cast<ConvertOp>(op);
        return convert && convert.getResult().getType().getElementType() == operand;
      });
      conversion = dyn_cast<ConvertOp>(found);
      if (conversion) {
        passed.push_back(conversion.getValue());
        if (conversion->isBeforeInBlock(use))
          use = conversion;
      }
    }
    int64_t ahead = llvm::count_if(issues, [&](MatmulIssueOp other) {
      return issue->isBeforeInBlock(other) && other->isBeforeInBlock(use);
    });

    OpBuilder builder(use);
    SmallVector<Type> types = {issue.getResult().getType().getTile()};
    for (Value value : passed)
      types.push_back(value.getType());
    auto await = AwaitOp::create(builder, issue.getLoc(), types, issue.getResult(), passed,
                                 builder.getI64IntegerAttr(ahead));
    issue.getResult().replaceAllUsesExcept(await.getTile(), await);
    if (conversion)
      conversion.getValueMutable().assign(await.getPassed().front());
    for (Value operand : {issue.getLhs(), issue.getRhs()})
      if (Value ring = ringOf(operand))
        holdUntil(await, ring);
    return await;
  }

  /// Moves the block's releases of the ring that stand in front of the await behind it.
  static void holdUntil(AwaitOp await, Value ring) {
    for (auto release : llvm::make_early_inc_range(await->getBlock()->getOps<ReleaseOp>()))
      if (release.getRing() == ring && release->isBeforeInBlock(await))
        release->moveAfter(await);
  }
};

struct IssueMatmuls : public impl::IssueMatmulsPassBase<IssueMatmuls> {
  void runOnOperation() override {
    const attn::Schedule &schedule = getOperation().getSchedule().getValue();
    if (schedule.product != attn::Product::Wgmma)
      return;
    if (schedule.pingPong)
      takeTurnsWithoutProduct();
    getOperation().walk([&](Block *block) { BlockRewriter(schedule.pingPong).run(*block); });
  }

  /// Where a slot of keys is waited for and no product reads it.
  void takeTurnsWithoutProduct() {
    llvm::SmallDenseSet<Value> keys;
    getOperation().walk([&](MatmulOp product) {
      if (product.getTransposeB())
        keys.insert(ringOf(product.getRhs()));
    });
    getOperation().walk([&](Block *block) {
      auto waitsForKeys = [&](WaitOp wait) { return keys.contains(wait.getRing()); };
      auto releases = block->getOps<ReleaseOp>();
      if (!block->getOps<MatmulOp>().empty() || releases.empty() ||
          llvm::none_of(block->getOps<WaitOp>(), waitsForKeys))
        return;
      OpBuilder builder(*releases.begin());
      TakeTurnOp::create(builder, builder.getInsertionPoint()->getLoc());
      PassTurnOp::create(builder, builder.getInsertionPoint()->getLoc());
    });
  }
};

} // namespace
} // namespace attncc::tile
