//===- WgmmaText.h - pieces of kernels with products ----------------------===//
//
// Layouts of matrices in shared memory, spelled out atom by atom, their descriptors, and mnemonics.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/TensorCore.h"
#include "test/simulator/Harness.h"

namespace attncc::simulator::test {

inline const Conditions warpgroup{{1, 1, 1}, {128, 1, 1}, 0, {}};
inline constexpr uint32_t shared = 0x400; ///< address of sh

/// How a matrix of `rows` x 16 lies in shared memory: atoms of eight lines of `width` bytes.
struct Layout {
  unsigned width = 128; ///< bytes of a line: 128, 64, 32, or 16 without swizzle
  bool kMajor = true;
  unsigned gap = 0;    ///< atoms left free behind each atom
  unsigned column = 0; ///< first k, of a K-major swizzled line that holds more than 16

  unsigned atom() const { return 8 * width * (1 + gap); }
  /// Atoms are numbered along r first, or along k with MN-major.
  unsigned place(unsigned rows, unsigned r, unsigned k) const {
    const unsigned perLine = width / 2;
    unsigned line = kMajor ? r % 8 : k % 8, inLine = kMajor ? (k + column) % perLine : r % perLine;
    unsigned number =
        kMajor ? (k + column) / perLine * (rows / 8) + r / 8 : k / 8 + 2 * (r / perLine);
    unsigned chunk = inLine / 8;
    switch (width) {
    case 128:
      chunk ^= line;
      break;
    case 64:
      chunk ^= line / 2;
      break;
    case 32:
      chunk ^= line / 4;
      break;
    }
    return number * atom() + line * width + chunk * 16 + inLine % 8 * 2;
  }
  unsigned bytes(unsigned rows) const { return atom() * ((rows + 7) / 8) * 2; }

  uint64_t descriptor(uint32_t address, unsigned rows) const {
    const uint64_t swizzle = width == 128 ? 1 : width == 64 ? 2 : width == 32 ? 3 : 0;
    uint64_t leading = 1, stride = 1; // 16 bytes where they have no meaning
    if (kMajor) {
      stride = atom() / 16;
      if (width == 16)
        leading = rows / 8 * uint64_t(atom()) / 16;
    } else if (width == 16) {
      leading = atom() / 16;
      stride = 2 * atom() / 16;
    } else {
      stride = atom() / 16;
      leading = 2 * atom() / 16;
    }
    return (address + 2 * column) / 16 | leading << 16 | stride << 32 | swizzle << 62;
  }
  std::string text() const {
    return std::to_string(width) + (kMajor ? " K-major" : " MN-major") + " gap " +
           std::to_string(gap) + " column " + std::to_string(column);
  }
};

inline std::string list(const char *prefix, unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i)
    text += (i ? ", " : "") + std::string(prefix) + std::to_string(i);
  return "{" + text + "}";
}

inline std::string hexOf(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

inline std::string mnemonic(unsigned n, MatrixType type) {
  const std::string code = type == MatrixType::F16 ? ".f16" : ".bf16";
  return "wgmma.mma_async.sync.aligned.m64n" + std::to_string(n) + "k16.f32" + code + code;
}

} // namespace attncc::simulator::test
