//===- AppendPatterns.cpp - norm and rotation of rows ----------------------===//
//
// Cosines and sines come from the launch's table where it gives one; a position
// outside of it sets the error word and turns by NaN. Else they are computed.
//
// Angles: the product of position and inverse frequency is kept in two f32,
// high + low (low by fma, exact), whole turns are taken off by fma with 2π in
// three f32, then the approximate sine and cosine, whose argument is at most π:
//
//   high = p·f    low = fma(p, f, -high)    k = round(high / 2π)
//   r = fma(-k, c1, high)   r = fma(-k, c2, r)   r = fma(-k, c3, r)   r += low
//
// The inverse frequencies are an array of constants of the module.
//
// Test: test/compiler/conversion/TileToNVVM/append.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include <map>
#include <numbers>

namespace attncc::lowering {
namespace {

using tile::Coordinate;
using tile::Dimension;
using tile::Layout;

tile::TileType tileOf(Value value) { return llvm::cast<tile::TileType>(value.getType()); }

struct RmsNormPattern : TilePattern<tile::RmsNormOp> {
  using TilePattern::TilePattern;
  mlir::LogicalResult matchAndRewrite(tile::RmsNormOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> input = layoutOf(op, op.getInput().getType());
    mlir::FailureOr<Layout> weight = layoutOf(op, op.getWeight().getType());
    mlir::FailureOr<Layout> result = layoutOf(op, op.getResult().getType());
    if (mlir::failed(input) || mlir::failed(weight) || mlir::failed(result))
      return mlir::failure();
    std::optional<tile::ReductionPlan> plan = tile::planReduction(*input, Dimension::Column);
    auto weightOf = matchRegisters(*input, *weight, /*keepRow=*/false, /*keepColumn=*/true);
    if (!plan || !plan->warpMasks.empty() || !weightOf || *input != *result)
      return op.emitOpError() << "expected each thread to hold the weights of its columns";
    KernelBuilder b(rewriter, op.getLoc());
    Values x = toF32(b, tileOf(op.getInput()).getElementType(), adaptor.getInput());
    Values w = toF32(b, tileOf(op.getWeight()).getElementType(), adaptor.getWeight());
    std::map<int64_t, Value> squares;
    for (auto [reg, v] : llvm::enumerate(x)) {
      Value &sum = squares[plan->target[reg]];
      sum = sum ? b.fma(v, v, sum) : b.fmul(v, v);
    }
    double columns = tileOf(op.getInput()).getColumns();
    for (auto &[row, sum] : squares) {
      for (int64_t mask : plan->laneMasks)
        sum = b.fadd(sum, b.shuffleXor(sum, mask));
      Value mean = b.fma(sum, b.f32(1 / columns), b.f32(op.getEpsilon().convertToDouble()));
      sum = b.fdiv(b.f32(1), b.fsqrt(mean));
    }
    Values y;
    for (auto [reg, v] : llvm::enumerate(x))
      y.push_back(b.fmul(b.fmul(v, squares[plan->target[reg]]), w[(*weightOf)[reg]]));
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{y});
    return mlir::success();
  }
};

struct RopePattern : TilePattern<tile::RopeOp> {
  using TilePattern::TilePattern;

  mlir::LogicalResult matchAndRewrite(tile::RopeOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> layout = layoutOf(op, op.getInput().getType());
    if (mlir::failed(layout))
      return mlir::failure();
    const attn::Rope &rope = op.getRope().getValue();
    if (mlir::failed(layoutOf(op, op.getResult().getType())) ||
        tileOf(op.getInput()).getLayout() != tileOf(op.getResult()).getLayout())
      return op.emitOpError() << "expected one layout";
    std::optional<llvm::SmallVector<int64_t>> partner = partners(*layout, rope);
    if (!partner)
      return op.emitOpError() << "expected both columns of a rotated pair in one thread";

    KernelBuilder b(rewriter, op.getLoc());
    Item item = Item::unpack(adaptor.getItem());
    ThreadCoordinates thread(b, *layout, kernel.warps());
    // One angle for each pair of columns, whatever the row.
    const int64_t perPair = rope.pairing == attn::Pairing::Interleaved ? 2 : 1;
    Pairs pairs{b.divUnsigned(thread.columnOfThread, perPair), {}};
    std::map<int64_t, size_t> turnOf; // by the register's column
    for (int64_t reg = 0; reg < layout->registersPerThread(); ++reg)
      if (int64_t column = layout->registerPart(reg).column;
          (*partner)[reg] >= 0 && turnOf.try_emplace(column, pairs.ofRegister.size()).second)
        pairs.ofRegister.push_back(column / perPair);
    Value position =
        positionOf(b, item, op.getPositions() ? adaptor.getPositions().front() : Value());
    // Where a lane has many columns their angles are not kept from one tile to the next.
    const bool kept = registersByRow(*layout).begin()->second.size() <= 32;
    auto compute = [&] { return computedTurns(b, op.getRope(), position, kept, pairs); };
    Values turns;
    if (op.getCosSin()) {
      auto table = CosSinArgument::unpack(adaptor.getCosSin());
      Type element = llvm::cast<attn::CosSinType>(op.getCosSin().getType()).getType();
      llvm::SmallVector<Type> types(2 * pairs.ofRegister.size(), b.f32Type());
      turns = b.ifElse(b.isNull(table.pointer), types, compute,
                       [&] { return tableTurns(b, table, element, rope.dim, position, pairs); });
    } else {
      turns = compute();
    }

    Values x = toF32(b, tileOf(op.getInput()).getElementType(), adaptor.getInput());
    Values y(x);
    for (int64_t reg = 0; reg < layout->registersPerThread(); ++reg) {
      int64_t other = (*partner)[reg];
      if (other < 0)
        continue;
      size_t number = turnOf[layout->registerPart(reg).column];
      Value cosine = turns[2 * number], sine = turns[2 * number + 1];
      y[reg] = b.fma(x[reg], cosine, b.fneg(b.fmulExact(x[other], sine)));
      y[other] = b.fma(x[reg], sine, b.fmulExact(x[other], cosine));
    }
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{y});
    return mlir::success();
  }

private:
  /// For the first register of each pair the second one's number, else -1. Nothing if a pair is
  /// split over threads.
  static std::optional<llvm::SmallVector<int64_t>> partners(const Layout &layout,
                                                            const attn::Rope &rope) {
    bool interleaved = rope.pairing == attn::Pairing::Interleaved;
    int64_t distance = interleaved ? 1 : rope.dim / 2;
    llvm::SmallVector<int64_t> result(layout.registersPerThread(), -1);
    for (int64_t reg = 0; reg < layout.registersPerThread(); ++reg) {
      auto isFirst = [&](int64_t column) {
        return column < rope.dim && (interleaved ? column % 2 == 0 : column < distance);
      };
      Coordinate here = layout.at(reg, 0);
      bool first = isFirst(here.column);
      int64_t other = first ? layout.holderOf({here.row, here.column + distance}).reg : -1;
      for (int64_t lane = 0; lane < layout.lanes(); ++lane) {
        Coordinate c = layout.at(reg, lane);
        if (isFirst(c.column) != first ||
            (first && layout.at(other, lane) != Coordinate{c.row, c.column + distance}))
          return std::nullopt;
        // What is neither the first nor the second of a pair must not be turned in any lane.
        if ((c.column < rope.dim) != (here.column < rope.dim))
          return std::nullopt;
      }
      result[reg] = other;
    }
    return result;
  }

  /// The rotation's pairs that a thread turns: numbers ofThread + ofRegister[i].
  struct Pairs {
    Value ofThread;
    llvm::SmallVector<int64_t> ofRegister;
  };

  /// The token's position, i64.
  Value positionOf(KernelBuilder &b, Item &item, Value positions) const {
    Value token = b.divUnsigned(item.rowBegin, kernel.group);
    auto derived = [&]() -> Values {
      return {b.signExtend(b.add(b.sub(item.kvLength, item.queryLength), token))};
    };
    if (!positions)
      return derived()[0];
    return b.ifElse(b.isNull(positions), {b.i64Type()}, derived, [&]() -> Values {
      Value bytes = b.mul(b.zeroExtend(b.add(item.queryBegin, token)), 8);
      return {b.load(b.offset(positions, bytes), b.i64Type(), 8)};
    })[0];
  }

  /// Cosine and sine of each pair from the row of the table at `position`.
  Values tableTurns(KernelBuilder &b, const CosSinArgument &table, Type element, int64_t dim,
                    Value position, const Pairs &pairs) const {
    constexpr int64_t errorPosition = 4; // bit 2 of the error word
    constexpr int64_t wide = 4;          // bytes of an f32
    llvm::SmallVector<Type> types(2 * pairs.ofRegister.size(), b.f32Type());
    auto read = [&](int64_t bytes) {
      Value row = b.offset(table.pointer, b.mul(b.mul(position, table.stride), bytes));
      Value ofThread = b.offset(row, b.zeroExtend(b.mul(pairs.ofThread, bytes)));
      Values turns;
      for (int64_t pair : pairs.ofRegister)
        for (int64_t half : {int64_t(0), dim / 2}) {
          Value from = b.offset(ofThread, (half + pair) * bytes);
          turns.push_back(bytes == wide ? b.load(from, b.f32Type(), wide)
                                        : b.loadHalf(from, element));
        }
      return turns;
    };
    Value inside = b.compare(Compare::ult, position, b.zeroExtend(table.positions));
    return b.ifElse(
        inside, types,
        [&] {
          return b.ifElse(
              b.compare(Compare::eq, table.bytes, wide), types, [&] { return read(wide); },
              [&] { return read(element.getIntOrFloatBitWidth() / 8); });
        },
        [&] {
          if (kernel.workspace)
            b.ifThen(b.compare(Compare::eq, b.thread(), 0),
                     [&] { b.atomicOr(kernel.workspace, b.i32(errorPosition)); });
          return Values(types.size(), b.notANumber());
        });
  }

  /// A position as the sum of two f32: whole numbers above 2^24 have no single one.
  struct Position {
    Value high, low;
  };

  Values computedTurns(KernelBuilder &b, attn::RopeAttr rope, Value number, bool kept,
                       const Pairs &pairs) const {
    Position position;
    position.high = b.toFloat(number);
    position.low = b.toFloat(b.sub(number, b.toInteger64(position.high)));
    if (!kept)
      position.high = b.opaque(position.high);
    Value ofThread = b.offset(frequencies(b, rope), b.mul(pairs.ofThread, 4));
    Values turns;
    for (int64_t pair : pairs.ofRegister) {
      Value frequency = b.load(b.offset(ofThread, pair * 4), b.f32Type(), 4);
      turns.append(turn(b, position, frequency, rope.getAttentionFactor()));
    }
    return turns;
  }

  /// Cosine and sine of the angle, times the attention factor.
  static Values turn(KernelBuilder &b, const Position &position, Value frequency, double factor) {
    constexpr double twoPi = 2 * std::numbers::pi;
    const float c1 = static_cast<float>(twoPi);
    const float c2 = static_cast<float>(twoPi - c1);
    const float c3 = static_cast<float>(twoPi - c1 - c2);
    Value high = b.fmulExact(position.high, frequency);
    Value low = b.fma(position.high, frequency, b.fneg(high));
    low = b.fma(position.low, frequency, low);
    Value turns = b.fround(b.fmulExact(high, b.f32(1 / twoPi)));
    Value rest = high;
    for (float c : {c1, c2, c3})
      rest = b.fma(turns, b.f32(-c), rest);
    rest = b.fadd(rest, low);
    return {b.fmulExact(b.cosine(rest), b.f32(factor)), b.fmulExact(b.sine(rest), b.f32(factor))};
  }

  /// The address of the rotation's inverse frequencies; equal rotations share one array.
  Value frequencies(KernelBuilder &b, attn::RopeAttr rope) const {
    auto *known = llvm::find(kernel.rotations, rope);
    size_t number = known - kernel.rotations.begin();
    if (known == kernel.rotations.end())
      kernel.rotations.push_back(rope);
    return b.constants("inverse_frequencies_" + std::to_string(number),
                       rope.getInverseFrequencies());
  }
};

} // namespace

void populateAppendPatterns(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter,
                            KernelContext &kernel) {
  patterns.add<RmsNormPattern, RopePattern>(converter, patterns.getContext(), kernel);
}

} // namespace attncc::lowering
