//===- WgmmaOps.cpp - wgmma.* ---------------------------------------------===//
//
// PTX ISA §9.7.15, inputs of 16 bits with f32 accumulators. See Products.h.
// Pinned by test/simulator/WgmmaTest.cpp and WgmmaUseTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"

namespace attncc::simulator {

namespace {

void multiplyAsync(Warp &warp, const Op &op, uint32_t) { warp.block->products.issue(warp, op); }

void fence(Warp &warp, const Op &op, uint32_t) {
  warp.block->products.together(warp, op);
  warp.block->products.fence(warp);
}

void commitGroup(Warp &warp, const Op &op, uint32_t) {
  warp.block->products.together(warp, op);
  warp.block->products.commit(warp);
}

void waitGroup(Warp &warp, const Op &op, uint32_t) {
  if (!warp.block->products.wait(warp, static_cast<uint32_t>(op.immediate)))
    return warp.suspend();
  warp.block->products.together(warp, op);
}

std::string waiting(Warp &warp, const Op &op, uint32_t) {
  return warp.block->products.describeWait(warp, static_cast<uint32_t>(op.immediate));
}

/// mMnNkK: the columns.
unsigned takeShape(Decoder &d) {
  for (unsigned n = 8; n <= 256; n += 8)
    if (d.has("m64n" + std::to_string(n) + "k16"))
      return n;
  d.unknown();
}

/// An operand that must be one of two literals; true for the second.
bool takeEither(Decoder &d, size_t index, int64_t first, int64_t second, const char *what) {
  const int64_t value = static_cast<int64_t>(d.integer(d.operand(index)));
  if (value != first && value != second)
    d.fail(std::string(what) + " is " + std::to_string(value) + ", expected " +
           std::to_string(first) + " or " + std::to_string(second));
  return value == second;
}

void decodeProduct(Decoder &d) {
  ProductForm form;
  form.columns = takeShape(d);
  Type result = d.type(), a = d.type(), b = d.type();
  if (result != Type::F32 || a != b || (a != Type::F16 && a != Type::BF16))
    d.unknown();
  form.type = a == Type::F16 ? MatrixType::F16 : MatrixType::BF16;
  form.aInRegisters = d.operand(1).kind == syntax::Operand::Kind::Vector;
  // d, a, b, scale-d, imm-scale-a, imm-scale-b, imm-trans-a (of shared memory only), imm-trans-b
  d.expectOperands(form.aInRegisters ? 7 : 8);

  auto registers = d.elements(0);
  if (registers.size() != form.columns / 2)
    d.fail("expected " + std::to_string(form.columns / 2) + " accumulators, found " +
           std::to_string(registers.size()));
  for (const syntax::Operand *reg : registers) {
    if (reg->kind == syntax::Operand::Kind::Sink)
      d.fail("an accumulator cannot be '_'");
    form.d.push_back(d.destination(*reg, 4));
  }
  if (form.aInRegisters) {
    auto left = d.elements(1);
    if (left.size() != 4)
      d.fail("expected 4 registers of A, found " + std::to_string(left.size()));
    for (size_t i = 0; i < 4; ++i)
      form.a[i] = d.source(*left[i], 4);
  } else {
    form.aDescriptor = d.source(d.operand(1), 8);
  }
  form.bDescriptor = d.source(d.operand(2), 8);
  form.accumulates = d.sourcePredicate(d.operand(3), form.accumulatesNegated);
  form.negateA = takeEither(d, 4, 1, -1, "the scale of A");
  form.negateB = takeEither(d, 5, 1, -1, "the scale of B");
  size_t next = 6;
  if (!form.aInRegisters)
    form.transposeA = takeEither(d, next++, 0, 1, "the transpose of A");
  form.transposeB = takeEither(d, next, 0, 1, "the transpose of B");
  d.op().flow = Flow::Aligned;
  d.op().run = &multiplyAsync;
  d.op().immediate = d.addProductForm(std::move(form));
}

void decodeWgmma(Decoder &d) {
  d.needsHopperOnly();
  const int action = d.oneOf({"mma_async", "fence", "commit_group", "wait_group"});
  d.require("sync");
  d.require("aligned");
  d.op().flow = Flow::Aligned;
  switch (action) {
  case 0:
    return decodeProduct(d);
  case 1:
    d.expectOperands(0);
    d.op().run = &fence;
    return;
  case 2:
    d.expectOperands(0);
    d.op().run = &commitGroup;
    return;
  case 3:
    d.expectOperands(1);
    d.op().immediate = d.integer(d.operand(0));
    d.op().flow = Flow::WarpBlocking;
    d.op().waiting = &waiting;
    d.op().run = &waitGroup;
    return;
  default:
    d.unknown();
  }
}

} // namespace

void addWgmma(DecodeTable &table) { table["wgmma"] = &decodeWgmma; }

} // namespace attncc::simulator
