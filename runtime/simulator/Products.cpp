//===- Products.cpp -------------------------------------------------------===//
//
// See Products.h. With thread t of the warpgroup, w = t / 32, g = (t % 32) / 4 and c = t % 4:
//
//   D, register r   row 16w + g + 8 (r / 2 % 2), column 8 (r / 4) + 2c + r % 2
//   A, register r   row 16w + g + 8 (r % 2), k 8 (r / 2) + 2c and the next
//
// Pinned by test/simulator/WgmmaTest.cpp and WgmmaUseTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Products.h"

#include "runtime/simulator/Lanes.h"

#include <algorithm>

namespace attncc::simulator {

namespace {

constexpr uint32_t allWarps = 0xf;

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string lineOf(const Warp &warp, const Op &op) {
  return "line " + std::to_string(warp.block->kernel.text[op.position].line);
}

/// "warps 1, 2" of those whose bit is not set.
std::string others(uint32_t firstWarp, uint32_t bits) {
  std::string list;
  int count = 0;
  for (uint32_t i = 0; i < 4; ++i)
    if (!(bits >> i & 1)) {
      list += (count++ ? ", " : " ") + std::to_string(firstWarp + i);
    }
  return (count == 1 ? "warp" : "warps") + list;
}

} // namespace

void Products::start(const Kernel &kernel, uint32_t count) {
  groups.assign((count + 3) / 4, {});
  warps.assign(count, {});
  for (WarpState &warp : warps)
    warp.registers.resize(kernel.productRegisters.size());
}

void Products::use(Warp &warp, const Op &op) {
  WarpState &state = warps[warp.index];
  const uint16_t *uses = warp.block->kernel.productUses.data() + op.firstProductUse;
  for (uint32_t i = 0; i < op.productUses; ++i) {
    Register &reg = state.registers[uses[i]];
    if (std::max(reg.accumulator, reg.operand) > state.waited)
      warp.fail(
          Finding::Kind::Hazard, op, 0,
          "register '" + warp.block->kernel.productRegisters[uses[i]] +
              "' belongs to the product of " +
              lineOf(warp, reg.accumulator > state.waited ? *reg.accumulatorOp : *reg.operandOp) +
              ", which is under way; commit it and wait for its group first");
    reg.named = state.fences + 1;
    reg.namedBy = &op;
  }
}

void Products::fence(Warp &warp) { ++warps[warp.index].fences; }

void Products::checkRegisters(Warp &warp, const Op &op, const ProductForm &form) {
  WarpState &state = warps[warp.index];
  const Kernel &kernel = warp.block->kernel;
  if (state.fences == 0)
    warp.fail(Finding::Kind::Hazard, op, 0,
              "the first product of warp " + std::to_string(warp.index) +
                  " needs a wgmma.fence before it");
  auto check = [&](uint16_t number, bool isOperand) {
    const Register &reg = state.registers[number];
    const bool asOperand = reg.operand > state.waited && !isOperand;
    const bool asAccumulator =
        reg.accumulator > state.waited && (isOperand || reg.shape->columns != form.columns);
    if (asOperand || asAccumulator)
      warp.fail(Finding::Kind::Hazard, op, 0,
                "register '" + kernel.productRegisters[number] + "' is " +
                    (asOperand ? "the left operand" : "an accumulator") + " of the product of " +
                    lineOf(warp, asOperand ? *reg.operandOp : *reg.accumulatorOp) +
                    ", which is under way; wait for its group first");
    if (reg.named == state.fences + 1)
      warp.fail(Finding::Kind::Hazard, op, 0,
                "register '" + kernel.productRegisters[number] + "' is used at " +
                    lineOf(warp, *reg.namedBy) + " without a wgmma.fence since");
  };
  for (uint16_t number : form.aUses)
    check(number, true);
  for (uint16_t number : form.dUses)
    check(number, false);
  for (uint16_t number : form.aUses) {
    state.registers[number].operand = state.issued + 1;
    state.registers[number].operandOp = &op;
  }
  for (uint16_t number : form.dUses) {
    Register &reg = state.registers[number];
    reg.accumulator = state.issued + 1;
    reg.accumulatorOp = &op;
    reg.shape = &form;
  }
}

void Products::together(Warp &warp, const Op &op, std::array<uint64_t, 2> operands) {
  Warpgroup &group = groups[warp.index / 4];
  WarpState &state = warps[warp.index];
  const uint32_t first = warp.index / 4 * 4;
  if (first + 4 > warps.size())
    warp.fail(Finding::Kind::Divergence, op, 0,
              "needs a warpgroup of four warps, the block ends with warp " +
                  std::to_string(warps.size() - 1));
  const size_t at = state.together++ - group.passed;
  if (at == group.sequence.size())
    group.sequence.push_back({&op, operands, 0});
  Together &entry = group.sequence[at];
  const uint32_t leader = first + uint32_t(std::countr_zero(entry.warps | 0x10));
  if (entry.op != &op)
    warp.fail(Finding::Kind::Divergence, op, 0,
              "warp " + std::to_string(leader) + " of its warpgroup executes " +
                  lineOf(warp, *entry.op) +
                  " at this point: " + warp.block->kernel.text[entry.op->position].text);
  if (entry.operands != operands) {
    const size_t which = entry.operands[0] == operands[0];
    warp.fail(Finding::Kind::Divergence, op, 0,
              "the operands differ inside the warpgroup: " + hex(operands[which]) + ", in warp " +
                  std::to_string(leader) + " " + hex(entry.operands[which]));
  }
  entry.warps |= 1u << warp.index % 4;
  while (!group.sequence.empty() && group.sequence.front().warps == allWarps) {
    group.sequence.pop_front();
    ++group.passed;
  }
}

void Products::begin(Warp &warp, const Op &op, const SharedMatrix &matrix, unsigned rows,
                     bool kMajor) {
  Block &block = *warp.block;
  const uint64_t end = sharedBase + block.shared.size();
  matrix.forEachChunk(rows, kMajor, [&](uint32_t at, unsigned r, unsigned k) {
    if (at < sharedBase || at + uint64_t(16) > end)
      warp.fail(Finding::Kind::OutOfBounds, op, 0,
                "the matrix that starts at shared address " + hex(matrix.start) + " has row " +
                    std::to_string(r) + ", k " + std::to_string(k) + " at " + hex(at) +
                    ", outside the block's " + std::to_string(block.shared.size()) + " bytes at " +
                    hex(sharedBase),
                at);
    block.shadow.beginRead(warp, op, 0, at);
  });
}

void Products::issue(Warp &warp, const Op &op) {
  Block &block = *warp.block;
  const ProductForm &form = block.kernel.productForms[op.immediate];
  auto uniform = [&](const auto *values, const char *what) {
    for (int lane = 1; lane < 32; ++lane)
      if (values[lane] != values[0])
        warp.fail(Finding::Kind::Operand, op, lane,
                  std::string("the ") + what + " differs between lanes: " + hex(values[0]) +
                      " and " + hex(values[lane]));
    return uint64_t(values[0]);
  };
  uint32_t predicate = warp.predicate(form.accumulates) ^ (form.accumulatesNegated ? allLanes : 0);
  if (predicate != 0 && predicate != allLanes)
    warp.fail(Finding::Kind::Operand, op, 0,
              "scale-d differs between lanes: it is true for " + hex(predicate));
  const uint64_t bBits = uniform(warp.values<uint64_t>(form.bDescriptor), "descriptor of B");
  const uint64_t aBits =
      form.aInRegisters ? 0 : uniform(warp.values<uint64_t>(form.aDescriptor), "descriptor of A");
  together(warp, op, {aBits, bBits});
  checkRegisters(warp, op, form);

  Warpgroup &group = groups[warp.index / 4];
  WarpState &state = warps[warp.index];
  const uint64_t number = state.issued++;
  if (number == group.first + group.products.size()) {
    Product product;
    product.op = &op;
    product.form = &form;
    product.accumulates = predicate != 0;
    if (block.races.active())
      product.moment = block.races.product(warp.index / 4, product.clock);
    auto decode = [&](uint64_t bits, bool kMajor, unsigned rows, SharedMatrix &matrix) {
      if (std::string wrong = SharedMatrix::decode(bits, kMajor, matrix); !wrong.empty())
        warp.fail(Finding::Kind::Operand, op, 0, wrong);
      begin(warp, op, matrix, rows, kMajor);
    };
    if (!form.aInRegisters)
      decode(aBits, !form.transposeA, 64, product.a);
    decode(bBits, !form.transposeB, form.columns, product.b);
    group.products.push_back(product);
  } else {
    const Product &product = group[number];
    auto check = [&](const SharedMatrix &matrix, unsigned rows, bool kMajor) {
      matrix.forEachChunk(rows, kMajor, [&](uint32_t address, unsigned, unsigned) {
        block.races.checkRead(warp, op, 0, address, 16, true);
      });
    };
    if (!form.aInRegisters)
      check(product.a, 64, !form.transposeA);
    check(product.b, form.columns, !form.transposeB);
  }
  Product &product = group[number];
  block.races.release(warp, product.clock);
  if (product.accumulates != (predicate != 0))
    warp.fail(Finding::Kind::Divergence, op, 0, "scale-d differs inside the warpgroup");
  product.issued |= 1u << warp.index % 4;
  if (product.issued == allWarps) {
    ++block.meter.matrixProducts;
    block.wake(); // somebody may wait for the last warp
  }
}

void Products::commit(Warp &warp) {
  WarpState &state = warps[warp.index];
  state.groups.push_back(state.issued);
}

/// Products that have to be over when `pending` groups may be left.
uint64_t Products::target(const WarpState &state, uint32_t pending) const {
  return state.groups.size() > pending ? state.groups[state.groups.size() - 1 - pending]
                                       : state.waited;
}

bool Products::wait(Warp &warp, uint32_t pending) {
  WarpState &state = warps[warp.index];
  Warpgroup &group = groups[warp.index / 4];
  const uint64_t needed = target(state, pending);
  for (uint64_t i = group.computed; i < needed; ++i)
    if (group[i].issued != allWarps)
      return false;
  const uint32_t firstWarp = warp.index / 4 * 4;
  for (; group.computed < needed; ++group.computed)
    compute(*warp.block, group[group.computed], firstWarp);
  for (; state.waited < needed; ++state.waited)
    warp.block->races.acquire(warp, group[state.waited].clock);
  uint64_t all = needed;
  for (uint32_t i = 0; i < 4; ++i)
    all = std::min(all, warps[firstWarp + i].waited);
  for (; group.first < all; ++group.first)
    group.products.pop_front();
  while (state.groups.size() > pending)
    state.groups.pop_front();
  return true;
}

std::string Products::describeWait(Warp &warp, uint32_t pending) {
  Warpgroup &group = groups[warp.index / 4];
  const uint64_t needed = target(warps[warp.index], pending);
  for (uint64_t i = group.computed; i < needed; ++i)
    if (const Product &product = group[i]; product.issued != allWarps)
      return "the product of " + lineOf(warp, *product.op) + ", which " +
             others(warp.index / 4 * 4, product.issued) + " of its warpgroup did not issue";
  return {};
}

void Products::compute(Block &block, const Product &product, uint32_t firstWarp) {
  const ProductForm &form = *product.form;
  const TensorCore requested = block.state.options->tensorCore;
  // No processor has wgmma with Ampere's sums.
  const TensorCore arithmetic = requested == TensorCore::Sm80 ? TensorCore::Sm90 : requested;

  auto read = [&](const SharedMatrix &matrix, unsigned rows, bool kMajor, bool negate, auto put) {
    const uint16_t sign = negate ? 0x8000 : 0;
    matrix.forEachChunk(rows, kMajor, [&](uint32_t at, unsigned r, unsigned k) {
      uint16_t codes[8];
      std::memcpy(codes, &block.shared[at - sharedBase], 16);
      for (unsigned i = 0; i < 8; ++i)
        put(kMajor ? r : r + i, kMajor ? k + i : k, uint16_t(codes[i] ^ sign));
      block.shadow.endRead(block.races, product.moment, at);
    });
  };

  uint16_t a[64][16];
  if (form.aInRegisters) {
    const uint32_t sign = form.negateA ? 0x80008000 : 0;
    for (unsigned w = 0; w < 4; ++w)
      for (unsigned r = 0; r < 4; ++r) {
        const uint32_t *from = block.warp(firstWarp + w).values<uint32_t>(form.a[r]);
        for (unsigned lane = 0; lane < 32; ++lane) {
          const uint32_t pair = from[lane] ^ sign;
          std::memcpy(&a[16 * w + (lane >> 2) + 8 * (r & 1)][2 * (lane & 3) + 8 * (r >> 1)], &pair,
                      4);
        }
      }
  } else {
    read(product.a, 64, !form.transposeA, form.negateA,
         [&](unsigned r, unsigned k, uint16_t code) { a[r][k] = code; });
  }
  LeftOperand left;
  decode(a, 64, 16, form.type, left);

  alignas(64) uint16_t b[32][16][8];
  read(product.b, form.columns, !form.transposeB, form.negateB,
       [&](unsigned n, unsigned k, uint16_t code) { b[n >> 3][k][n & 7] = code; });

  for (unsigned columns = 0; columns < form.columns; columns += 8) {
    alignas(64) float d[64][8] = {};
    auto forEachValue = [&](auto f) {
      for (unsigned w = 0; w < 4; ++w)
        for (unsigned r = 0; r < 4; ++r) {
          float *values = block.warp(firstWarp + w).values<float>(form.d[columns / 2 + r]);
          for (unsigned lane = 0; lane < 32; ++lane)
            f(values[lane], d[16 * w + (lane >> 2) + 8 * (r >> 1)][2 * (lane & 3) + (r & 1)]);
        }
    };
    if (product.accumulates)
      forEachValue([](float &value, float &element) { element = value; });
    multiply(left, b[columns / 8], d, arithmetic);
    forEachValue([](float &value, float &element) { value = element; });
  }
}

void Products::finish(Block &block) {
  for (uint32_t i = 0; i < warps.size(); ++i) {
    const Warpgroup &group = groups[i / 4];
    Warp &warp = block.warp(i);
    if (warps[i].together < group.passed + group.sequence.size()) {
      const Op &op = *group.sequence[warps[i].together - group.passed].op;
      warp.fail(Finding::Kind::Divergence, op, 0,
                "warp " + std::to_string(i) +
                    " has ended without an instruction that its warpgroup executes together");
    }
    if (warps[i].waited < warps[i].issued) {
      const Op *op = nullptr;
      for (const Register &reg : warps[i].registers)
        if (reg.accumulator == warps[i].waited + 1 || (!op && reg.accumulator > warps[i].waited))
          op = reg.accumulatorOp;
      warp.fail(Finding::Kind::Hazard, *op, 0,
                "the block ends while the product is under way; wgmma.commit_group and "
                "wgmma.wait_group come first");
    }
  }
}

} // namespace attncc::simulator
