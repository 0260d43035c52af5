//===- TensorCore.h - numerics of mma and wgmma ---------------------------===//
//
// Internal to the simulator. The ISA leaves order and rounding of the sum open; hardware
// does the following, as published by MMA-Sim (Xie et al., arXiv 2511.10909):
//
//   1. k is cut into chunks; the result of one is the addend of the next.
//   2. E is the largest exponent among the products (unnormalised: ea + eb, subnormals have
//      their format's least exponent) and the addend, zero terms left out, and at least -133.
//   3. Every product and the addend is truncated towards zero to a multiple of 2^(E-F), and
//      all are added exactly.
//   4. The sum is truncated towards zero to 24 bits; a zero is +0.
//
//   sm_80: F = 24, chunks of 8. sm_90: F = 25, one chunk, in wgmma as in mma. Zero terms, the
//   least E and the sign of zero are as on an H200, which the sm_90 model matches in every bit of
//   1,048,576 results of mma and 630,784 of wgmma.
//
// Pinned by test/simulator/TensorCoreTest.cpp against an independent evaluation and by
// test/simulator/{Golden,Wgmma}Test.cpp against the H200.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Simulator.h"

namespace attncc::simulator {

enum class MatrixType : uint8_t { F16, BF16 };

/// The left operand, decoded once for all columns: `rows` x `k` codes, k of 8 or 16.
struct LeftOperand {
  static constexpr unsigned mostRows = 64;
  MatrixType type = MatrixType::BF16;
  unsigned rows = 0, k = 0;
  bool finite = true;
  alignas(64) float value[mostRows][16];
  alignas(64) int exponent[mostRows][16];
};
void decode(const uint16_t (*a)[16], unsigned rows, unsigned k, MatrixType type, LeftOperand &out);

/// d += a * b for eight columns: b[k][column] holds codes, d[row][column] f32.
void multiply(const LeftOperand &a, const uint16_t (*b)[8], float (*d)[8], TensorCore arithmetic);

/// d = a * b + c of mma: 16 x 8 results and `k` of 8 or 16.
struct MatrixProduct {
  alignas(64) uint16_t a[16][16];
  alignas(64) uint16_t b[16][8];
  alignas(64) float c[16][8];
  alignas(64) float d[16][8];
};
void multiply(MatrixProduct &product, unsigned k, MatrixType type, TensorCore arithmetic);

} // namespace attncc::simulator
