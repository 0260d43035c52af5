//===- ProductPatterns.cpp - matrix products and changes of form -----------===//
//
// mma.sync m16n8k16, with the operands swapped, where the product computes the
// transpose of the result, so that the few query rows stand on the side of
// n = 8 and both accumulators hold the same rows in the same lanes.
//
//   S = Q·Kᵀ   Sᵀ[key][row] = K[key][d] · Qᵀ[d][row]     A = K by ldmatrix
//   O += P·V   Oᵀ[d][row]  += Vᵀ[d][key] · Pᵀ[key][row]  A = V by ldmatrix.trans
//
// or as it is, with the rows on the side of m = 16:
//
//   S = Q·Kᵀ   A = Q by ldmatrix, B = K by ldmatrix, two fragments of keys at once
//   O += P·V   A = P, whose registers are those of S, B = V by ldmatrix.trans
//
// or by a warpgroup, wgmma.m64nNk16, started in one place and awaited in another:
//
//   S = Q·Kᵀ   A = Q, B = K, both by matrix descriptors
//   O += P·V   A = P, whose registers are those of S, B = V, transposed by its descriptor
//
// Which registers hold what is asked of the layouts: accumulator value v of the
// fragment (m, n) has m = 8·(v >> 1), n = v & 1 at lane 0 (PTX ISA 9.7.14.5.8).
//
// Test: test/compiler/conversion/TileToNVVM/products.mlir, warpgroup-products.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

namespace attncc::lowering {
namespace {

using tile::Coordinate;
using tile::Layout;

struct MatmulPattern : TilePattern<tile::MatmulOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::MatmulOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto lhsType = llvm::cast<tile::TileType>(op.getLhs().getType());
    auto rhsType = llvm::cast<tile::TileType>(op.getRhs().getType());
    auto resultType = llvm::cast<tile::TileType>(op.getResult().getType());
    mlir::FailureOr<Layout> lhs = layoutOf(op, lhsType), rhs = layoutOf(op, rhsType),
                            result = layoutOf(op, resultType);
    if (mlir::failed(lhs) || mlir::failed(rhs) || mlir::failed(result))
      return mlir::failure();
    const MatrixProduct mma{MatrixProduct::Kind::Mma, 16, 8, 16, 1};
    if (llvm::find(kernel.target.products, mma) == kernel.target.products.end())
      return op.emitOpError() << "the target has no product m16n8k16 of one warp";

    KernelBuilder b(rewriter, op.getLoc());
    Product product{b, op, adaptor, *lhs, *rhs, *result};
    if (mlir::failed(product.emit()))
      return mlir::failure();
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{product.sums});
    return mlir::success();
  }

private:
  /// The ldmatrix of the instructions of a fragment, and the lane's part of their addresses.
  struct Matrices {
    tile::LdmatrixPlan plan;
    Value tile;

    Values load(KernelBuilder &b, int64_t instruction) const {
      const tile::SharedAccess::Access &access = plan.addresses.accesses[instruction];
      return b.loadMatrices(b.at(tile, access), 4, plan.transposed);
    }
  };

  struct Product {
    KernelBuilder &b;
    tile::MatmulOp op;
    Adaptor &adaptor;
    const Layout &lhs, &rhs, &result;
    tile::TileType lhsType = llvm::cast<tile::TileType>(op.getLhs().getType()),
                   rhsType = llvm::cast<tile::TileType>(op.getRhs().getType()),
                   resultType = llvm::cast<tile::TileType>(op.getResult().getType());
    int64_t rows = resultType.getRows(), columns = resultType.getColumns(),
            depth = lhsType.getColumns();
    Values sums = op.getAccumulator() ? Values(adaptor.getAccumulator())
                                      : Values(result.registersPerThread(), b.f32(0));

    mlir::LogicalResult emit() {
      if (rows % 16 == 0 && columns % 16 == 0 && depth % 16 == 0 &&
          result == tile::mmaAccumulator(rows, columns, /*rowsFirst=*/false))
        return direct();
      if (rows % 8 == 0 && columns % 16 == 0 && depth % 16 == 0 &&
          lhs == tile::mmaBOperand(rows, depth) && isSwapped())
        return swapped();
      return op.emitOpError() << "expected the operands of a direct or a swapped product, got "
                              << lhsType << " and " << resultType;
    }

    mlir::FailureOr<Matrices> matricesOf(tile::TileType type, const Layout &shared, Value tile,
                                         const Layout &fragment) {
      std::optional<tile::LdmatrixPlan> plan;
      if (type.isShared())
        plan = tile::planLdmatrix(shared, fragment);
      if (!plan || plan->matrices != 4)
        return op.emitOpError() << "expected ldmatrix to read " << type;
      return Matrices{*plan, b.offset(tile, applyBasis(b, b.lane(), plan->addresses.basis))};
    }

    /// The right operand read as `fragment`, which is of (column of the result, contraction): the
    /// tile as it is, or transposed.
    mlir::FailureOr<Matrices> right(const Layout &fragment) {
      return matricesOf(rhsType, rhs, adaptor.getRhs().front(),
                        op.getTransposeB() ? fragment : fragment.transposed());
    }

    /// sums += first · second; value v of the accumulator is at `place(v)` of the result.
    void multiply(ValueRange first, ValueRange second,
                  llvm::function_ref<Coordinate(int64_t)> place) {
      std::array<int64_t, 4> registers;
      Values accumulator;
      for (int64_t v = 0; v < 4; ++v) {
        registers[v] = result.holderOf(place(v)).reg;
        accumulator.push_back(sums[registers[v]]);
      }
      Values product = b.product(first, second, accumulator, lhsType.getElementType());
      for (int64_t v = 0; v < 4; ++v)
        sums[registers[v]] = product[v];
    }

    mlir::LogicalResult swapped() {
      Layout fragment = tile::mmaAOperand(columns, depth);
      mlir::FailureOr<Matrices> matrices = right(fragment);
      if (mlir::failed(matrices))
        return mlir::failure();
      ValueRange query = adaptor.getLhs();
      for (int64_t k = 0; k < depth; k += 16)
        for (int64_t m = 0; m < columns; m += 16) {
          Values a = matrices->load(b, fragment.holderOf({m, k}).reg / 8);
          for (int64_t n = 0; n < rows; n += 8) {
            Values operand;
            for (int64_t half : {0, 8})
              operand.push_back(query[lhs.holderOf({n, k + half}).reg / 2]);
            multiply(a, operand, [&](int64_t v) {
              return Coordinate{n + (v & 1), m + 8 * (v >> 1)};
            });
          }
        }
      return mlir::success();
    }

    mlir::LogicalResult direct() {
      Layout left = tile::mmaAOperand(rows, depth);
      Layout fragment = tile::mmaBOperandPair(columns, depth);
      mlir::FailureOr<Matrices> matrices = right(fragment), query = mlir::failure();
      if (mlir::failed(matrices))
        return mlir::failure();
      if (lhsType.isShared()) {
        // Rows that are copied into shared memory have landed when a slot behind them has.
        if (!op.getRhs().getDefiningOp<tile::WaitOp>())
          return op.emitOpError() << "expected a product of shared rows with a tile of a slot";
        query = matricesOf(lhsType, lhs, adaptor.getLhs().front(), left);
        if (mlir::failed(query))
          return mlir::failure();
      } else if (lhs != left) {
        return op.emitOpError() << "expected the left operand of a direct product, got " << lhsType;
      }
      for (int64_t k = 0; k < depth; k += 16) {
        std::vector<Values> a; // for each 16 rows
        for (int64_t m = 0; m < rows; m += 16) {
          int64_t first = left.holderOf({m, k}).reg;
          a.push_back(lhsType.isShared() ? query->load(b, first / 8)
                                         : Values(adaptor.getLhs().slice(first / 2, 4)));
        }
        for (int64_t n = 0; n < columns; n += 16) {
          Values pair = matrices->load(b, fragment.holderOf({n, k}).reg / 8);
          for (int64_t half : {0, 1})
            for (int64_t m = 0; m < rows; m += 16)
              multiply(a[m / 16], ValueRange(pair).slice(2 * half, 2), [&](int64_t v) {
                return Coordinate{m + 8 * (v >> 1), n + 8 * half + (v & 1)};
              });
        }
      }
      return mlir::success();
    }

    /// The lanes hold the transpose of an accumulator fragment, whatever the order of its repeats.
    bool isSwapped() const {
      Layout atom = tile::mmaAccumulator(16, 8).transposed();
      return result.registerBasis() == atom.registerBasis() &&
             result.laneBasis() == atom.laneBasis() && result.warps() == 1;
    }
  };
};

struct MatmulIssuePattern : TilePattern<tile::MatmulIssueOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::MatmulIssueOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    using tile::Dimension;
    tile::TileType lhsType = op.getLhs().getType(), rhsType = op.getRhs().getType();
    tile::TileType type = op.getResult().getType().getTile();
    mlir::FailureOr<Layout> lhs = layoutOf(op, lhsType), rhs = layoutOf(op, rhsType),
                            result = layoutOf(op, type);
    if (mlir::failed(lhs) || mlir::failed(rhs) || mlir::failed(result))
      return mlir::failure();
    auto expected = tile::wgmmaProduct(type.getRows(), type.getColumns(), lhsType.getColumns());
    auto left = tile::planWgmmaOperand(*lhs, Dimension::Column);
    auto right =
        tile::planWgmmaOperand(*rhs, op.getTransposeB() ? Dimension::Column : Dimension::Row);
    if (!kernel.isWgmma() || !expected || *result != expected->result || !right ||
        !(left || *lhs == expected->lhs))
      return op.emitOpError() << "expected the operands of a warpgroup's product, got " << lhsType
                              << ", " << rhsType << " and " << type;

    KernelBuilder b(rewriter, op.getLoc());
    b.fenceProducts();
    Values ofRight = b.matrixDescriptors(adaptor.getRhs().front(), *right), ofLeft;
    if (left)
      ofLeft = b.matrixDescriptors(adaptor.getLhs().front(), *left);
    Values sums;
    if (op.getAccumulator())
      sums = Values(adaptor.getAccumulator());
    for (int64_t step = 0; step < lhsType.getColumns() / 16; ++step) {
      Values a = left ? Values{ofLeft[step]} : Values(adaptor.getLhs().slice(4 * step, 4));
      sums = b.warpgroupProduct(a, ofRight[step], sums, type.getColumns(), !op.getTransposeB(),
                                lhsType.getElementType());
    }
    b.commitProducts();
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{sums});
    return mlir::success();
  }
};

struct AwaitPattern : TilePattern<tile::AwaitOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::AwaitOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    Values values(adaptor.getPending());
    for (ValueRange passed : adaptor.getValues())
      llvm::append_range(values, passed);
    values = b.awaitProducts(op.getAhead(), values);
    llvm::SmallVector<Values> results;
    ValueRange rest = values;
    auto take = [&](size_t count) {
      results.push_back(Values(rest.take_front(count)));
      rest = rest.drop_front(count);
    };
    take(adaptor.getPending().size());
    for (ValueRange passed : adaptor.getValues())
      take(passed.size());
    rewriter.replaceOpWithMultiple(op, results);
    return mlir::success();
  }
};

/// Unit u has the turn when the barrier u is complete: unit u − 1 has arrived, and u waits.
struct TakeTurnPattern : TilePattern<tile::TakeTurnOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::TakeTurnOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    b.namedBarrier(b.add(kernel.unit(b), kernel.firstTurn()), 64 * kernel.schedule.unit);
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct PassTurnPattern : TilePattern<tile::PassTurnOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::PassTurnOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    KernelBuilder b(rewriter, op.getLoc());
    Value next = b.add(kernel.unit(b), 1);
    next = b.select(b.compare(Compare::eq, next, kernel.units()), b.i32(0), next);
    b.arriveAtNamedBarrier(b.add(next, kernel.firstTurn()), 64 * kernel.schedule.unit);
    rewriter.eraseOp(op);
    return mlir::success();
  }
};

struct ZeroPattern : TilePattern<tile::ZeroOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::ZeroOp op, Adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto type = llvm::cast<tile::TileType>(op.getResult().getType());
    if (mlir::failed(layoutOf(op, type)))
      return mlir::failure();
    KernelBuilder b(rewriter, op.getLoc());
    Value zero = type.getElementType().isF32() ? b.f32(0) : b.i32(0);
    rewriter.replaceOpWithMultiple(op,
                                   llvm::SmallVector<Values>{Values(registerValues(type), zero)});
    return mlir::success();
  }
};

struct ConvertPattern : TilePattern<tile::ConvertOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::ConvertOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto from = llvm::cast<tile::TileType>(op.getValue().getType());
    auto to = llvm::cast<tile::TileType>(op.getResult().getType());
    if (from.getLayout() != to.getLayout())
      return op.emitOpError() << "expected one layout, got " << from << " and " << to;
    KernelBuilder b(rewriter, op.getLoc());
    Values values = toF32(b, from.getElementType(), adaptor.getValue());
    rewriter.replaceOpWithMultiple(
        op, llvm::SmallVector<Values>{fromF32(b, to.getElementType(), values)});
    return mlir::success();
  }
};

struct MovePattern : TilePattern<tile::MoveOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::MoveOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    auto from = llvm::cast<tile::TileType>(op.getValue().getType());
    auto to = llvm::cast<tile::TileType>(op.getResult().getType());
    mlir::FailureOr<Layout> fromLayout = layoutOf(op, from), toLayout = layoutOf(op, to);
    if (mlir::failed(fromLayout) || mlir::failed(toLayout))
      return mlir::failure();
    bool packed = !from.getElementType().isF32() && !from.getElementType().isInteger(32);
    std::optional<tile::ConversionPlan> plan =
        tile::planConversion(*fromLayout, *toLayout, packed ? 2 : 4);
    using Kind = tile::ConversionPlan::Kind;
    KernelBuilder b(rewriter, op.getLoc());
    Values result;
    if (plan && plan->kind == Kind::Movmatrix) {
      for (int64_t word : plan->source)
        result.push_back(b.transposeMatrix(adaptor.getValue()[word]));
    } else if (plan && plan->kind == Kind::Rename && !packed) {
      for (int64_t reg : plan->source)
        result.push_back(adaptor.getValue()[reg]);
    } else if (plan && plan->kind == Kind::Rename && isPairwise(plan->source)) {
      for (size_t w = 0; w < plan->source.size(); w += 2)
        result.push_back(adaptor.getValue()[plan->source[w] / 2]);
    } else {
      return op.emitOpError()
             << "a move from " << from << " to " << to
             << " is not lowered: expected a renaming or a transpose of 8 x 8 matrices";
    }
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{result});
    return mlir::success();
  }

private:
  static bool isPairwise(llvm::ArrayRef<int64_t> source) {
    for (size_t r = 0; r + 1 < source.size(); r += 2)
      if (source[r] % 2 != 0 || source[r + 1] != source[r] + 1)
        return false;
    return source.size() % 2 == 0;
  }
};

struct RescalePattern : TilePattern<tile::RescaleOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::RescaleOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> value = layoutOf(op, op.getValue().getType());
    mlir::FailureOr<Layout> factor = layoutOf(op, op.getFactor().getType());
    if (mlir::failed(value) || mlir::failed(factor))
      return mlir::failure();
    auto match = matchRegisters(*value, *factor, /*keepRow=*/true, /*keepColumn=*/false);
    if (!match)
      return op.emitOpError() << "expected each thread to hold the factors of its rows";
    KernelBuilder b(rewriter, op.getLoc());
    auto rescaled = [&] {
      Values result;
      for (auto [reg, v] : llvm::enumerate(adaptor.getValue()))
        result.push_back(b.fmul(v, adaptor.getFactor()[(*match)[reg]]));
      return result;
    };
    Values result;
    if (op.getVoted()) {
      Value any = b.i1(false);
      for (Value one : adaptor.getFactor())
        any = b.bitOr(any, b.isDifferent(one, b.f32(1)));
      result = b.ifElse(b.anyLane(any), llvm::to_vector(adaptor.getValue().getTypes()), rescaled,
                        [&] { return Values(adaptor.getValue()); });
    } else {
      result = rescaled();
    }
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{result});
    return mlir::success();
  }
};

} // namespace

void populateProductPatterns(mlir::RewritePatternSet &patterns,
                             const mlir::TypeConverter &converter, KernelContext &kernel) {
  patterns.add<MatmulPattern, MatmulIssuePattern, AwaitPattern, TakeTurnPattern, PassTurnPattern,
               ZeroPattern, ConvertPattern, MovePattern, RescalePattern>(
      converter, patterns.getContext(), kernel);
}

} // namespace attncc::lowering
