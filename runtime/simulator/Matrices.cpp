//===- Matrices.cpp - ldmatrix, stmatrix, movmatrix, mma.sync -------------===//
//
// PTX ISA §9.7.14.5. With lane l, g = l / 4 and c = l % 4:
//   8x8 matrix of b16   row g, columns 2c (low half), 2c + 1; .trans: rows 2c, 2c + 1, column g
//   mma A, register r   row g + 8 (r & 1), k 2c + 8 (r >> 1) and the next
//   mma B, register r   k 2c + 8 r and the next, column g
//   mma C and D, r      row g + 8 (r >> 1), column 2c + (r & 1)
// All need 32 live lanes that are together.
// Pinned by test/simulator/MatrixTest.cpp (one-hot probes of every lane, register and half).
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Addressing.h"
#include "runtime/simulator/Decoder.h"
#include "runtime/simulator/TensorCore.h"

#include <algorithm>

namespace attncc::simulator {

namespace {

/// Host addresses of the rows: of matrix j in lanes 8j to 8j + 7.
void resolveRows(Warp &warp, const Op &op, Mode mode, HostLanes &host) {
  const unsigned count = op.access.count;
  const uint32_t lanes = count == 4 ? allLanes : (uint32_t(1) << (8 * count)) - 1;
  uint64_t address[32];
  formAddresses(warp, op.access, allLanes, address);
  if (op.access.space == Space::Generic)
    forEachLane(lanes, [&](int lane) {
      if (address[lane] - sharedWindow >= windowBytes)
        warp.fail(Finding::Kind::OutOfBounds, op, lane, "the address is not in shared memory",
                  address[lane]);
      address[lane] -= sharedWindow;
    });
  resolveShared(warp, op, lanes, address, 16, mode, host);
  if (warp.block->state.options->meter) {
    uint32_t offset[32];
    for (int lane = 0; lane < 32; ++lane)
      offset[lane] = static_cast<uint32_t>(address[lane]);
    warp.block->meter.matrices(op.position, offset, count);
  }
}

template <bool Transposed> void loadMatrices(Warp &warp, const Op &op, uint32_t) {
  HostLanes host;
  resolveRows(warp, op, Mode::Read, host);
  for (unsigned matrix = 0; matrix < op.access.count; ++matrix) {
    uint16_t rows[8][8];
    for (unsigned row = 0; row < 8; ++row)
      std::memcpy(rows[row], host.pointer[8 * matrix + row], 16);
    uint32_t *to = warp.values<uint32_t>(op.slot[matrix]);
    for (unsigned lane = 0; lane < 32; ++lane) {
      unsigned g = lane >> 2, c = lane & 3;
      if (Transposed)
        to[lane] = rows[2 * c][g] | uint32_t(rows[2 * c + 1][g]) << 16;
      else
        to[lane] = rows[g][2 * c] | uint32_t(rows[g][2 * c + 1]) << 16;
    }
  }
}

template <bool Transposed> void storeMatrices(Warp &warp, const Op &op, uint32_t) {
  HostLanes host;
  resolveRows(warp, op, Mode::Write, host);
  ++warp.block->events;
  for (unsigned matrix = 0; matrix < op.access.count; ++matrix) {
    uint16_t rows[8][8];
    const uint32_t *from = warp.values<uint32_t>(op.slot[matrix]);
    for (unsigned lane = 0; lane < 32; ++lane) {
      unsigned g = lane >> 2, c = lane & 3;
      uint16_t low = static_cast<uint16_t>(from[lane]), high = uint16_t(from[lane] >> 16);
      (Transposed ? rows[2 * c][g] : rows[g][2 * c]) = low;
      (Transposed ? rows[2 * c + 1][g] : rows[g][2 * c + 1]) = high;
    }
    for (unsigned row = 0; row < 8; ++row)
      std::memcpy(host.pointer[8 * matrix + row], rows[row], 16);
  }
}

/// Modifiers and registers of ldmatrix and stmatrix; true with .trans.
bool takeMatrices(Decoder &d, size_t registers, size_t address, bool load) {
  d.require("sync");
  d.require("aligned");
  d.require("m8n8");
  int number = d.oneOf({"x1", "x2", "x4"});
  bool transposed = d.has("trans");
  Space space = d.space();
  if (number < 0 || (space != Space::Shared && space != Space::Generic) || d.type() != Type::B16)
    d.unknown();
  unsigned count = 1u << number;
  d.expectOperands(2);
  auto elements = d.elements(registers);
  if (elements.size() != count)
    d.fail("expected " + std::to_string(count) + " registers, found " +
           std::to_string(elements.size()));
  for (unsigned i = 0; i < count; ++i)
    d.op().slot[i] = load ? d.destination(*elements[i], 4) : d.source(*elements[i], 4);
  d.address(d.operand(address), space, 16, count);
  d.op().flow = Flow::Aligned;
  return transposed;
}

void decodeLdmatrix(Decoder &d) {
  d.op().run = takeMatrices(d, 0, 1, true) ? &loadMatrices<true> : &loadMatrices<false>;
}

void decodeStmatrix(Decoder &d) {
  d.needsHopper();
  d.op().run = takeMatrices(d, 1, 0, false) ? &storeMatrices<true> : &storeMatrices<false>;
}

void transposeMatrix(Warp &warp, const Op &op, uint32_t) {
  const uint32_t *from = warp.values<uint32_t>(op.slot[1]);
  uint16_t rows[8][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    rows[lane >> 2][2 * (lane & 3)] = static_cast<uint16_t>(from[lane]);
    rows[lane >> 2][2 * (lane & 3) + 1] = static_cast<uint16_t>(from[lane] >> 16);
  }
  uint32_t *to = warp.values<uint32_t>(op.slot[0]);
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned g = lane >> 2, c = lane & 3;
    to[lane] = rows[2 * c][g] | uint32_t(rows[2 * c + 1][g]) << 16;
  }
}

void decodeMovmatrix(Decoder &d) {
  for (const char *modifier : {"sync", "aligned", "m8n8", "trans", "b16"})
    d.require(modifier);
  d.expectOperands(2);
  d.op().slot[0] = d.destination(d.operand(0), 4);
  d.op().slot[1] = d.source(d.operand(1), 4);
  d.op().flow = Flow::Aligned;
  d.op().run = &transposeMatrix;
}

// Slots: D 0..3, A 4..7, B 8..9, C 10..13.
template <unsigned K, MatrixType T> void multiplyMatrices(Warp &warp, const Op &op, uint32_t) {
  MatrixProduct product;
  for (unsigned r = 0; r < K / 4; ++r) {
    const uint32_t *a = warp.values<uint32_t>(op.slot[4 + r]);
    for (unsigned lane = 0; lane < 32; ++lane) {
      uint16_t *to = &product.a[(lane >> 2) + 8 * (r & 1)][2 * (lane & 3) + 8 * (r >> 1)];
      std::memcpy(to, &a[lane], 4);
    }
  }
  for (unsigned r = 0; r < K / 8; ++r) {
    const uint32_t *b = warp.values<uint32_t>(op.slot[8 + r]);
    for (unsigned lane = 0; lane < 32; ++lane) {
      unsigned k = 2 * (lane & 3) + 8 * r, n = lane >> 2;
      product.b[k][n] = static_cast<uint16_t>(b[lane]);
      product.b[k + 1][n] = static_cast<uint16_t>(b[lane] >> 16);
    }
  }
  for (unsigned r = 0; r < 4; ++r) {
    const float *c = warp.values<float>(op.slot[10 + r]);
    for (unsigned lane = 0; lane < 32; ++lane)
      product.c[(lane >> 2) + 8 * (r >> 1)][2 * (lane & 3) + (r & 1)] = c[lane];
  }
  multiply(product, K, T, warp.block->state.options->tensorCore);
  ++warp.block->meter.matrixProducts;
  for (unsigned r = 0; r < 4; ++r) {
    float *d = warp.values<float>(op.slot[r]);
    for (unsigned lane = 0; lane < 32; ++lane)
      d[lane] = product.d[(lane >> 2) + 8 * (r >> 1)][2 * (lane & 3) + (r & 1)];
  }
}

void takeFragment(Decoder &d, size_t operand, unsigned slot, unsigned count, bool destination) {
  auto elements = d.elements(operand);
  if (elements.size() != count)
    d.fail("expected " + std::to_string(count) + " registers in operand " +
           std::to_string(operand + 1) + ", found " + std::to_string(elements.size()));
  for (unsigned i = 0; i < count; ++i)
    d.op().slot[slot + i] =
        destination ? d.destination(*elements[i], 4) : d.source(*elements[i], 4, true);
}

void decodeMma(Decoder &d) {
  d.require("sync");
  d.require("aligned");
  int shape = d.oneOf({"m16n8k8", "m16n8k16"});
  d.require("row");
  d.require("col");
  Type result = d.type(), a = d.type(), b = d.type(), c = d.type();
  if (shape < 0 || result != Type::F32 || c != Type::F32 || a != b ||
      (a != Type::F16 && a != Type::BF16))
    d.unknown();
  unsigned k = shape == 0 ? 8 : 16;
  d.expectOperands(4);
  takeFragment(d, 0, 0, 4, true);
  takeFragment(d, 1, 4, k / 4, false);
  takeFragment(d, 2, 8, k / 8, false);
  takeFragment(d, 3, 10, 4, false);
  d.op().flow = Flow::Aligned;
  if (k == 8)
    d.op().run = a == Type::F16 ? &multiplyMatrices<8, MatrixType::F16>
                                : &multiplyMatrices<8, MatrixType::BF16>;
  else
    d.op().run = a == Type::F16 ? &multiplyMatrices<16, MatrixType::F16>
                                : &multiplyMatrices<16, MatrixType::BF16>;
}

} // namespace

void addMatrices(DecodeTable &table) {
  table["ldmatrix"] = &decodeLdmatrix;
  table["stmatrix"] = &decodeStmatrix;
  table["movmatrix"] = &decodeMovmatrix;
  table["mma"] = &decodeMma;
}

} // namespace attncc::simulator
