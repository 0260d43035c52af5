//===- SharedMatrix.h - operands of wgmma in shared memory ----------------===//
//
// Internal to the simulator. A descriptor (PTX ISA §9.7.15.5.1) names a matrix of 16-bit elements
// with 16 along k and r along m or n. Its eight-element chunks of 16 bytes lie at
//
//   swizzled, K-major     start + (r / 8) stride + (r % 8) W + 2k
//   plain,    K-major     start + (r / 8) stride + (r % 8) 16 + (k / 8) leading + 2 (k % 8)
//   swizzled, MN-major    start + (r / U) leading + 2 (r % U) + (k / 8) stride + (k % 8) W
//   plain,    MN-major    start + (r / 8) stride + 2 (r % 8) + (k / 8) leading + (k % 8) 16
//
// with W = 128, 64 or 32 bytes, U = W / 2; the swizzle permutes chunks by bits of the absolute
// address, as in tensor copies.
//
// Pinned by test/simulator/WgmmaTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/TensorMap.h"

#include <string>

namespace attncc::simulator {

struct SharedMatrix {
  uint32_t start = 0, leading = 0, stride = 0; ///< bytes
  TensorSwizzle swizzle = TensorSwizzle::None;

  /// What is wrong with the descriptor, or nothing.
  static std::string decode(uint64_t descriptor, bool kMajor, SharedMatrix &out);

  /// Calls f(address, r, k) for each chunk: of elements k to k + 7 of row r, or if `kMajor` is
  /// false of rows r to r + 7 at k.
  template <class F> void forEachChunk(unsigned rows, bool kMajor, F f) const {
    const uint32_t mask = swizzleMask(swizzle);
    const uint32_t width = mask ? 16 * (mask + 1) : 16;
    if (kMajor) {
      const uint32_t half = mask ? 16 : leading;
      for (unsigned r = 0; r < rows; ++r)
        for (unsigned k = 0; k < 16; k += 8)
          f(swizzled(start + r / 8 * stride + r % 8 * width + k / 8 * half, mask), r, k);
      return;
    }
    const unsigned unit = width / 2;
    const uint32_t outer = mask ? leading : stride, inner = mask ? stride : leading;
    for (unsigned k = 0; k < 16; ++k)
      for (unsigned r = 0; r < rows; r += 8)
        f(swizzled(start + r / unit * outer + r % unit * 2 + k / 8 * inner + k % 8 * width, mask),
          r, k);
  }
};

} // namespace attncc::simulator
