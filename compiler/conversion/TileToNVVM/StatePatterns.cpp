//===- StatePatterns.cpp - the merge of the caller's attention states ------===//
//
// merge_states: the launch has room for a fixed number of parts, of which the
// first `parts` are there. All log-sum-exps of a row are loaded first, then the
// rows of the parts that have keys:
//
//   e_i = −inf where part i is not there or its log-sum-exp is infinite
//   m = max e_i, or 0 if that is −inf      w_i = 2^((e_i − m)·scale·log2 e)
//   w = Σ w_i      row = Σ w_i r_i / w      lse = m·scale + ln w
//
// One part gives its own bits: w_0 = w = 1. A NaN among the e_i makes the row NaN.
//
// Test: test/compiler/conversion/TileToNVVM/states.mlir
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/Representation.h"

#include <numbers>

namespace attncc::lowering {
namespace {

using tile::Layout;

struct MergeStatesPattern : TilePattern<tile::MergeStatesOp> {
  using TilePattern::TilePattern;

  static constexpr int64_t elementBytes = 2;
  static constexpr int64_t maxWords = 64; // of rows whose loads are under way together

  mlir::LogicalResult matchAndRewrite(tile::MergeStatesOp op, Adaptor adaptor,
                                      mlir::ConversionPatternRewriter &rewriter) const override {
    mlir::FailureOr<Layout> layout = layoutOf(op, op.getResult().getType());
    if (mlir::failed(layout) || mlir::failed(layoutOf(op, op.getLse().getType())))
      return mlir::failure();
    int64_t run = columnRun(*layout, 16 / elementBytes);
    if (run < 2)
      return op.emitOpError() << "expected neighbouring columns in the registers of a row";
    KernelBuilder b(rewriter, op.getLoc());
    Item item = Item::unpack(adaptor.getItem());
    StatesArgument states = StatesArgument::unpack(adaptor.getStates());
    Type element = llvm::cast<attn::StatesType>(op.getStates().getType()).getType();
    RowPlace place = placeOfRow(b, kernel, item, tile::RowKind::Query, b.i32(0));
    ThreadCoordinates thread(b, *layout, kernel.warps());
    const int64_t parts = states.outputs.size();

    Values lses;
    for (int64_t part = 0; part < parts; ++part) {
      const TensorArgument &lse = states.lses[part];
      lses.push_back(b.ifElse(
          b.compare(Compare::sgt, states.parts, part), {b.f32Type()},
          [&]() -> Values {
            return {b.load(b.offset(lse.pointer, b.mul(place.element(b, lse), 4)), b.f32Type(), 4)};
          },
          [&]() -> Values { return {b.minusInfinity()}; })[0]);
    }
    Value maximum = b.minusInfinity();
    for (Value &lse : lses) {
      lse = b.select(b.isInfinite(lse), b.minusInfinity(), lse);
      maximum = b.fmax(maximum, lse);
    }
    maximum = b.select(b.isInfinite(maximum), b.f32(0), maximum);
    Value toLog2 = b.fmul(states.lseScale, b.f32(std::numbers::log2e));

    Value total = b.f32(0);
    Values sums(layout->registersPerThread(), b.f32(0));
    const int64_t words = layout->registersPerThread() * elementBytes / 4;
    const int64_t together = std::clamp<int64_t>(maxWords / words, 1, parts);
    for (int64_t begin = 0; begin < parts; begin += together) {
      const int64_t end = std::min(parts, begin + together);
      llvm::SmallVector<Values> rows;
      for (int64_t part = begin; part < end; ++part)
        rows.push_back(loadRow(b, thread, *layout, run, place, states.outputs[part],
                               b.isInfinite(lses[part])));
      for (int64_t part = begin; part < end; ++part) {
        Value weight = b.exp2(b.fmul(b.fsub(lses[part], maximum), toLog2));
        total = b.fadd(total, weight);
        for (auto [sum, x] : llvm::zip_equal(sums, toF32(b, element, rows[part - begin])))
          sum = b.fma(weight, x, sum);
      }
    }
    Value inverse = b.select(b.isZero(total), b.f32(0), b.fdiv(b.f32(1), total));
    for (Value &sum : sums)
      sum = b.fmul(sum, inverse);
    Value lse = b.fma(maximum, states.lseScale, b.fmul(b.log2(total), b.f32(std::numbers::ln2)));
    b.warpBarrier(); // the result may replace a part
    rewriter.replaceOpWithMultiple(op, llvm::SmallVector<Values>{sums, {lse}});
    return mlir::success();
  }

private:
  /// The words of a part's row, or zeros where it is empty.
  static Values loadRow(KernelBuilder &b, ThreadCoordinates &thread, const Layout &layout,
                        int64_t run, const RowPlace &place, const TensorArgument &output,
                        Value isEmpty) {
    const int64_t registers = layout.registersPerThread();
    llvm::SmallVector<Type> types(registers * elementBytes / 4, b.i32Type());
    return b.ifElse(
        isEmpty, types, [&] { return Values(types.size(), b.i32(0)); },
        [&] {
          Value row = b.offset(output.pointer, b.mul(place.element(b, output), elementBytes));
          Values loaded;
          for (int64_t reg = 0; reg < registers; reg += run)
            loaded.append(b.loadVector(thread.inRow(row, reg, elementBytes), b.i32Type(),
                                       run * elementBytes / 4));
          return loaded;
        });
  }
};

} // namespace

void populateStatePatterns(mlir::RewritePatternSet &patterns, const mlir::TypeConverter &converter,
                           KernelContext &kernel) {
  patterns.add<MergeStatesPattern>(converter, patterns.getContext(), kernel);
}

} // namespace attncc::lowering
