//===- WgmmaTest.cpp - products of warpgroups -----------------------------===//
//
// Tests runtime/simulator/{Products,SharedMatrix,WgmmaOps}.cpp: every layout of both operands, all
// widths, signs and types against plain loops, bits against mma, then wrong use: registers and
// shared memory of products under way, missing fences, warps that do not agree, descriptors.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/TensorCore.h"
#include "test/simulator/Harness.h"

#include <functional>
#include <random>

namespace attncc::simulator::test {
namespace {

const Conditions warpgroup{{1, 1, 1}, {128, 1, 1}, 0, {}};
constexpr uint32_t shared = 0x400; ///< address of sh

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

struct Case {
  unsigned n = 64;
  MatrixType type = MatrixType::BF16;
  bool aInRegisters = false;
  Layout a, b;
  bool accumulates = true, negateA = false, negateB = false;
  bool random = false; ///< any values, compared with mma; else small integers, with loops
};

std::string list(const char *prefix, unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i)
    text += (i ? ", " : "") + std::string(prefix) + std::to_string(i);
  return "{" + text + "}";
}

std::string hexOf(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

/// Copies `bytes` of `in` to shared memory and orders that before the async proxy.
std::string copyIn(unsigned bytes) {
  return "mov.b32 %r3, sh; mov.b32 %r10, %r1;\n"
         "L: shl.b32 %r4, %r10, 4; add.s32 %r5, %r3, %r4; cvt.u64.u32 %rd3, %r4;\n"
         "add.s64 %rd4, %rd2, %rd3; ld.global.v4.b32 {%r20, %r21, %r22, %r23}, [%rd4];\n"
         "st.shared.v4.b32 [%r5], {%r20, %r21, %r22, %r23};\n"
         "add.s32 %r10, %r10, 128; setp.lt.u32 %p2, %r10, " +
         std::to_string(bytes / 16) +
         "; @%p2 bra L;\n"
         "fence.proxy.async.shared::cta; bar.sync 0;\n";
}

std::string mnemonic(unsigned n, MatrixType type) {
  const std::string code = type == MatrixType::F16 ? ".f16" : ".bf16";
  return "wgmma.mma_async.sync.aligned.m64n" + std::to_string(n) + "k16.f32" + code + code;
}

/// Per thread, `count` words at in + offset to registers, or registers to out.
std::string loadWords(const char *prefix, unsigned count, unsigned offset) {
  std::string text = "mad.lo.s32 %r6, %r1, " + std::to_string(4 * count) + ", " +
                     std::to_string(offset) +
                     "; cvt.u64.u32 %rd5, %r6; add.s64 %rd6, %rd2, %rd5;\n";
  for (unsigned i = 0; i < count; ++i)
    text += "ld.global.b32 " + std::string(prefix) + std::to_string(i) + ", [%rd6+" +
            std::to_string(4 * i) + "];\n";
  return text;
}
std::string storeWords(const char *prefix, unsigned count) {
  std::string text = "mul.lo.s32 %r6, %r1, " + std::to_string(4 * count) +
                     "; cvt.u64.u32 %rd5, %r6; add.s64 %rd6, %rd1, %rd5;\n";
  for (unsigned i = 0; i < count; ++i)
    text += "st.global.b32 [%rd6+" + std::to_string(4 * i) + "], " + std::string(prefix) +
            std::to_string(i) + ";\n";
  return text;
}

/// Element (row, column) of D that register r of thread t holds.
std::pair<unsigned, unsigned> resultAt(unsigned t, unsigned r) {
  return {16 * (t / 32) + t % 32 / 4 + 8 * (r / 2 % 2), 8 * (r / 4) + 2 * (t % 4) + r % 2};
}

uint16_t encode(int value, MatrixType type) {
  float f = float(value);
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  if (type == MatrixType::BF16)
    return uint16_t(bits >> 16);
  return value == 0 ? 0
                    : uint16_t((bits >> 16 & 0x8000) | (((bits >> 23 & 0xff) - 112) << 10) |
                               (bits >> 13 & 0x3ff));
}

void check(const Case &test, unsigned seed = 1) {
  SCOPED_TRACE("n " + std::to_string(test.n) + ", A " +
               (test.aInRegisters ? "in registers" : test.a.text()) + ", B " + test.b.text());
  std::mt19937 random(seed);
  std::vector<std::array<uint16_t, 16>> a(64), b(test.n);
  std::vector<int> aValue(64 * 16), bValue(test.n * 16);
  auto fill = [&](auto &codes, auto &values) {
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = int(random() % 17) - 8;
      codes[i / 16][i % 16] = encode(values[i], test.type);
      if (test.random) // exponents within 2^-8 to 2^7, or a zero
        codes[i / 16][i % 16] =
            random() % 8 == 0 ? 0
            : test.type == MatrixType::BF16
                ? uint16_t((random() & 0x807f) | (0x3b80 + (random() % 16 << 7)))
                : uint16_t((random() & 0x83ff) | (7 + random() % 16) << 10);
    }
  };
  fill(a, aValue);
  fill(b, bValue);

  const unsigned aBytes = test.aInRegisters ? 0 : (test.a.bytes(64) + 1023) / 1024 * 1024;
  const unsigned image = aBytes + test.b.bytes(test.n), words = test.n / 2;
  Machine machine(128 * words * 4, image + 128 * (words + 4) * 4);
  std::memset(machine.in<uint8_t>(), 0x7f, image);
  auto place = [&](const Layout &layout, const auto &codes, unsigned offset) {
    for (unsigned r = 0; r < codes.size(); ++r)
      for (unsigned k = 0; k < 16; ++k)
        std::memcpy(machine.in<uint8_t>() + offset + layout.place(unsigned(codes.size()), r, k),
                    &codes[r][k], 2);
  };
  if (!test.aInRegisters)
    place(test.a, a, 0);
  place(test.b, b, aBytes);
  float *c = reinterpret_cast<float *>(machine.in<uint8_t>() + image);
  uint32_t *fragments = reinterpret_cast<uint32_t *>(c + 128 * words);
  std::vector<float> addend(64 * test.n);
  for (unsigned t = 0; t < 128; ++t) {
    for (unsigned r = 0; r < words; ++r) {
      auto [row, column] = resultAt(t, r);
      addend[row * test.n + column] = c[t * words + r] =
          test.random ? float(int(random() % 20001) - 10000) / 777 : float(int(random() % 999));
    }
    for (unsigned r = 0; r < 4; ++r) {
      unsigned row = 16 * (t / 32) + t % 32 / 4 + 8 * (r % 2), k = 2 * (t % 4) + 8 * (r / 2);
      fragments[t * 4 + r] = a[row][k] | uint32_t(a[row][k + 1]) << 16;
    }
  }

  std::string left = test.aInRegisters ? list("%a", 4) : "%rd10";
  std::string body = ".reg .b32 %d<" + std::to_string(words) + ">; .reg .b32 %a<4>;\n" +
                     copyIn(image) + loadWords("%d", words, image) +
                     loadWords("%a", 4, image + 128 * words * 4) + "mov.b64 %rd10, " +
                     hexOf(test.a.descriptor(shared, 64)) + ";\n" +
                     "setp.eq.u32 %p4, %r1, 1000000;\nwgmma.fence.sync.aligned;\n" +
                     mnemonic(test.n, test.type) + " " + list("%d", words) + ", " + left + ", " +
                     hexOf(test.b.descriptor(shared + aBytes, test.n)) + ", " +
                     (test.accumulates ? "!%p4" : "%p4") + ", " + (test.negateA ? "-1" : "1") +
                     ", " + (test.negateB ? "-1" : "1") +
                     (test.aInRegisters ? ""
                      : test.a.kMajor   ? ", 0"
                                        : ", 1") +
                     (test.b.kMajor ? ", 0" : ", 1") +
                     ";\nwgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n" +
                     storeWords("%d", words);
  Conditions conditions = warpgroup;
  conditions.options.tensorCore = TensorCore::Sm90;
  Report report = machine.complete(hopper(body, "", image), conditions);
  EXPECT_EQ(report.matrixProducts, 1u);

  std::vector<float> wanted(64 * test.n);
  const int sign = test.negateA == test.negateB ? 1 : -1;
  for (unsigned row = 0; row < 64; ++row)
    for (unsigned n = 0; n < test.n; ++n) {
      int sum = 0;
      for (unsigned k = 0; k < 16; ++k)
        sum += aValue[row * 16 + k] * bValue[n * 16 + k];
      wanted[row * test.n + n] =
          float(sign * sum) + (test.accumulates ? addend[row * test.n + n] : 0);
    }
  if (test.random)
    for (unsigned row = 0; row < 64; row += 16)
      for (unsigned column = 0; column < test.n; column += 8) {
        MatrixProduct product = {};
        for (unsigned i = 0; i < 16; ++i)
          for (unsigned k = 0; k < 16; ++k)
            product.a[i][k] = uint16_t(a[row + i][k] ^ (sign < 0 ? 0x8000 : 0));
        for (unsigned i = 0; i < 8; ++i)
          for (unsigned k = 0; k < 16; ++k)
            product.b[k][i] = b[column + i][k];
        for (unsigned i = 0; i < 16; ++i)
          for (unsigned j = 0; j < 8 && test.accumulates; ++j)
            product.c[i][j] = addend[(row + i) * test.n + column + j];
        multiply(product, 16, test.type, TensorCore::Sm90);
        for (unsigned i = 0; i < 16; ++i)
          for (unsigned j = 0; j < 8; ++j)
            wanted[(row + i) * test.n + column + j] = product.d[i][j];
      }
  for (unsigned t = 0; t < 128; ++t)
    for (unsigned r = 0; r < words; ++r) {
      auto [row, column] = resultAt(t, r);
      ASSERT_EQ(machine.out<float>()[t * words + r], wanted[row * test.n + column])
          << "row " << row << ", column " << column;
    }
}

// Both operands in each of the four swizzles, along k and along m or n.
TEST(Wgmma, Layouts) {
  for (unsigned aWidth : {128u, 64u, 32u, 16u})
    for (unsigned bWidth : {128u, 64u, 32u, 16u})
      for (bool aMajor : {true, false})
        for (bool bMajor : {true, false})
          check({64, MatrixType::BF16, false, {aWidth, aMajor}, {bWidth, bMajor}});
}

// Atoms that do not touch each other, and a product inside a wider line.
TEST(Wgmma, StridesAndColumns) {
  for (unsigned width : {128u, 64u, 32u, 16u})
    for (bool kMajor : {true, false})
      check({128, MatrixType::F16, false, {width, kMajor, 1}, {width, kMajor, 2}});
  for (unsigned column : {16u, 32u, 48u})
    check({64, MatrixType::BF16, false, {128, true, 0, column}, {128, true, 0, 48 - column}});
  check({64, MatrixType::BF16, false, {64, true, 0, 16}, {64, true, 0, 16}});
}

TEST(Wgmma, EveryWidth) {
  for (unsigned n = 8; n <= 256; n += 8)
    check({n, n % 16 ? MatrixType::F16 : MatrixType::BF16, n % 3 == 0, {}, {}}, n);
}

TEST(Wgmma, LeftOperandInRegisters) {
  for (unsigned width : {128u, 64u, 32u, 16u})
    for (bool kMajor : {true, false})
      check({192, MatrixType::BF16, true, {}, {width, kMajor}});
}

TEST(Wgmma, ScalesAndSigns) {
  for (bool accumulates : {true, false})
    for (bool negateA : {true, false})
      for (bool negateB : {true, false})
        for (bool inRegisters : {true, false})
          check({16, MatrixType::BF16, inRegisters, {}, {}, accumulates, negateA, negateB});
}

// The same bits as mma.sync on Hopper.
TEST(Wgmma, Rounding) {
  for (unsigned seed = 0; seed < 8; ++seed)
    check({40,
           seed % 2 ? MatrixType::F16 : MatrixType::BF16,
           seed % 4 == 0,
           {},
           {},
           seed % 3 != 0,
           false,
           seed % 5 == 0,
           true},
          seed);
}

//===----------------------------------------------------------------------===//
// Products under way
//===----------------------------------------------------------------------===//

/// m64n8k16 with A at sh and B at sh + 2048, 128-byte swizzle, K-major; lines as the tests need.
const std::string declare = ".reg .b32 %d<8>; .reg .b32 %a<4>; ";
const Layout plain;
std::string product(const std::string &d = "{%d0, %d1, %d2, %d3}", unsigned bOffset = 8192) {
  return mnemonic(8, MatrixType::BF16) + " " + d + ", " + hexOf(plain.descriptor(shared, 64)) +
         ", " + hexOf(plain.descriptor(shared + bOffset, 8)) + ", 0, 1, 1, 0, 0;\n";
}
std::string productOf(const std::string &a, const std::string &d = "{%d0, %d1, %d2, %d3}") {
  return mnemonic(8, MatrixType::BF16) + " " + d + ", " + a + ", " +
         hexOf(plain.descriptor(shared + 8192, 8)) + ", 1, 1, 1, 0;\n";
}
const std::string fence = "wgmma.fence.sync.aligned;\n",
                  commit = "wgmma.commit_group.sync.aligned;\n",
                  wait = "wgmma.wait_group.sync.aligned 0;\n";

std::string kernel(const std::string &body) {
  return hopper(declare + "mov.b32 %r3, sh;\n" + body, ".maxntid 256\n", 16384);
}
std::string message(const std::string &body, const Conditions &conditions = warpgroup) {
  Machine machine(512);
  return findingOf(machine, kernel(body), conditions).message;
}
void accept(const std::string &body) {
  Machine machine(512);
  machine.complete(kernel(body), warpgroup);
}

TEST(WgmmaHazard, Accumulators) {
  accept(fence + product() + commit + wait + "mov.b32 %r5, %d3;");
  EXPECT_EQ(message(fence + product() + commit + "mov.b32 %r5, %d3;\n" + wait),
            "register '%d3' belongs to the product of line 11, which is under way; commit it and "
            "wait for its group first");
  EXPECT_EQ(message(fence + product() + commit + "mov.b32 %d0, 0;\n" + wait),
            "register '%d0' belongs to the product of line 11, which is under way; commit it and "
            "wait for its group first");
  // A product that no group holds is not waited for.
  EXPECT_EQ(message(fence + product() + wait + "st.global.b32 [%rd1], %d0;"),
            "register '%d0' belongs to the product of line 11, which is under way; commit it and "
            "wait for its group first");
  // Nor one of the group that may be pending.
  const std::string two = product() + commit + product("{%d4, %d5, %d6, %d7}") + commit;
  accept(fence + two + "wgmma.wait_group.sync.aligned 1; mov.b32 %r5, %d0;\n" + wait);
  EXPECT_EQ(message(fence + two + "wgmma.wait_group.sync.aligned 1; mov.b32 %r5, %d4;\n" + wait),
            "register '%d4' belongs to the product of line 13, which is under way; commit it and "
            "wait for its group first");
  EXPECT_EQ(message(fence + product() + commit),
            "the block ends while the product is under way; wgmma.commit_group and "
            "wgmma.wait_group come first");
}

// Products of one shape may follow each other on the same accumulators; a left operand may be
// shared, but not overwritten.
TEST(WgmmaHazard, FurtherProducts) {
  accept(fence + product() + product() + commit + product() + commit + wait);
  EXPECT_EQ(message(fence + product() + mnemonic(16, MatrixType::BF16) + " " + list("%d", 8) +
                    ", " + hexOf(plain.descriptor(shared, 64)) + ", " +
                    hexOf(plain.descriptor(shared + 8192, 16)) + ", 0, 1, 1, 0, 0;\n" + commit +
                    wait),
            "register '%d0' is an accumulator of the product of line 11, which is under way; wait "
            "for its group first");
  accept(fence + productOf(list("%a", 4)) + productOf(list("%a", 4), "{%d4, %d5, %d6, %d7}") +
         commit + wait);
  EXPECT_EQ(message(fence + productOf(list("%a", 4)) + commit + "mov.b32 %a1, 0;\n" + wait),
            "register '%a1' belongs to the product of line 11, which is under way; commit it and "
            "wait for its group first");
  EXPECT_EQ(message(fence + productOf(list("%a", 4)) + productOf(list("%d", 4), list("%a", 4)) +
                    commit + wait),
            "register '%d0' is an accumulator of the product of line 11, which is under way; wait "
            "for its group first");
  EXPECT_EQ(message(fence + productOf(list("%a", 4)) + product(list("%a", 4)) + commit + wait),
            "register '%a0' is the left operand of the product of line 11, which is under way; "
            "wait for its group first");
}

TEST(WgmmaHazard, Fence) {
  EXPECT_EQ(message(product() + commit + wait),
            "the first product of warp 0 needs a wgmma.fence before it");
  EXPECT_EQ(message(fence + "mov.b32 %d1, 0;\n" + product() + commit + wait),
            "register '%d1' is used at line 11 without a wgmma.fence since");
  EXPECT_EQ(message(fence + product() + commit + wait + "mov.b32 %r5, %d2;\n" + product() + commit +
                    wait),
            "register '%d2' is used at line 14 without a wgmma.fence since");
  EXPECT_EQ(message(fence + "mov.b32 %a3, 0;\n" + productOf(list("%a", 4)) + commit + wait),
            "register '%a3' is used at line 11 without a wgmma.fence since");
  accept("mov.b32 %d1, 0;\n" + fence + product() + commit + wait + "mov.b32 %r5, %d2;\n" + fence +
         product() + commit + wait);
}

TEST(WgmmaHazard, SharedMemory) {
  EXPECT_EQ(message("setp.eq.u32 %p1, %r1, 9; @%p1 st.shared.b32 [%r3+1040], 5; bar.sync 0;\n" +
                    fence + product() + commit + wait),
            "asynchronous read of shared address 0x810, which thread (9,0,0) has written without "
            "a fence.proxy.async since");
  accept("setp.eq.u32 %p1, %r1, 9; @%p1 st.shared.b32 [%r3+1040], 5; fence.proxy.async; bar.sync "
         "0;\n" +
         fence + product() + commit + wait + "bar.sync 0; @%p1 st.shared.b32 [%r3+1040], 5;");
  EXPECT_EQ(message(fence + product() + commit + "st.shared.b32 [%r3+8192], 5;\n" + wait),
            "write of shared address 0x2400, which the product of line 11 may still read; wait for "
            "it first");
  // Reading is allowed; a warp that does not wait may not write what another product reads.
  accept(fence + product() + commit + "ld.shared.b32 %r5, [%r3+8192];\n" + wait);
  EXPECT_EQ(message("setp.gt.u32 %p1, %r1, 127; @%p1 bra OTHER;\n" + fence + product() + commit +
                        "bar.sync 0;\n" + wait +
                        "bra DONE; OTHER: bar.sync 0; st.shared.b32 [%r3], 5; DONE:",
                    {{1, 1, 1}, {256, 1, 1}, 0, {}}),
            "write of shared address 0x400, which the product of line 12 may still read; wait for "
            "it first");
}

// A bulk copy into memory that a product reads, and a product that reads what a copy still writes.
TEST(WgmmaHazard, Copies) {
  const std::string
      begin = "setp.eq.u32 %p1, %r1, 0; @%p1 mbarrier.init.shared.b64 [%r3+12288], 1;\n"
              "bar.sync 0;\n",
      load = "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r3+12288], 256;\n"
             "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
             "[%r3+8192], [%rd2], 256, [%r3+12288];\n",
      loaded = "W: mbarrier.try_wait.parity.shared.b64 %p3, [%r3+12288], 0; @!%p3 bra W;\n";
  accept(begin + load + loaded + fence + product() + commit + wait);
  EXPECT_EQ(message(begin + load + "bar.sync 0;\n" + fence + product() + commit + wait + loaded),
            "asynchronous read of shared address 0x2400, which the copy of line 13 is still "
            "writing; wait for its mbarrier first");
  EXPECT_EQ(message(begin + fence + product() + commit + load + loaded + wait),
            "asynchronous write of shared address 0x2400, which the product of line 13 may still "
            "read; wait for it first");
}

//===----------------------------------------------------------------------===//
// Warps of a warpgroup
//===----------------------------------------------------------------------===//

// A wait ends when all four warps have issued; the last ones may come later.
TEST(Warpgroup, WaitsForItsWarps) {
  const std::string later = "setp.lt.u32 %p1, %r1, 96;\n";
  accept(later + fence + product() + commit + "@%p1 bra W; bar.sync 1, 32; W:\n" + wait);
  Machine machine(512);
  Finding finding = findingOf(
      machine,
      kernel(later + fence + "@%p1 bra P; bar.sync 1, 64; P:\n" + product() + commit + wait),
      warpgroup);
  EXPECT_EQ(finding.kind, Finding::Kind::Deadlock);
  EXPECT_NE(
      finding.message.find("warp 0 waits at line 15 (wgmma.wait_group.sync.aligned 0) for the "
                           "product of line 13, which warp 3 of its warpgroup did not issue"),
      std::string::npos)
      << finding.message;
}

TEST(Warpgroup, ExecutesTheSame) {
  const std::string branch = "setp.lt.u32 %p1, %r1, 96;\n@%p1 bra P;\n";
  EXPECT_EQ(message(branch + fence + product() + commit + wait + "exit;\nP: " + fence + product() +
                    commit + wait),
            "warp 0 of its warpgroup executes line 17 at this point: wgmma.fence.sync.aligned");
  EXPECT_EQ(message(branch + "exit;\nP: " + fence),
            "warp 3 has ended without an instruction that its warpgroup executes together");
  EXPECT_EQ(message("shr.u32 %r4, %r1, 5; mul.lo.s32 %r4, %r4, 128; cvt.u64.u32 %rd3, %r4;\n"
                    "add.s64 %rd4, %rd3, " +
                    hexOf(plain.descriptor(shared, 64)) + ";\n" + fence +
                    mnemonic(8, MatrixType::BF16) + " " + list("%d", 4) + ", %rd4, " +
                    hexOf(plain.descriptor(shared + 8192, 8)) + ", 0, 1, 1, 0, 0;\n"),
            "the operands differ inside the warpgroup: 0x40000040000100c0, in warp 0 "
            "0x4000004000010040");
  EXPECT_EQ(message("setp.lt.u32 %p1, %r1, 64;\n" + fence + mnemonic(8, MatrixType::BF16) + " " +
                    list("%d", 4) + ", " + hexOf(plain.descriptor(shared, 64)) + ", " +
                    hexOf(plain.descriptor(shared + 8192, 8)) + ", %p1, 1, 1, 0, 0;\n"),
            "scale-d differs inside the warpgroup");
  EXPECT_EQ(message(fence, {{1, 1, 1}, {96, 1, 1}, 0, {}}),
            "needs a warpgroup of four warps, the block ends with warp 2");
  EXPECT_EQ(
      message("setp.lt.u32 %p1, %r1, 16;\n@%p1 bra P;\n" + fence + "bra Q;\nP: " + fence + "Q:")
          .substr(0, 45),
      "the lanes of warp 0 wait at different places;");
  EXPECT_EQ(message(branch + "setmaxnreg.dec.sync.aligned.u32 40;\nP:"),
            "warp 0 has ended without an instruction that its warpgroup executes together");
}

TEST(Warpgroup, Operands) {
  auto with = [](const std::string &before, uint64_t a, uint64_t b, const std::string &scale = "0",
                 bool transposed = false) {
    return before + "mov.b64 %rd4, " + hexOf(a) + "; mov.b64 %rd5, " + hexOf(b) +
           "; cvt.u64.u32 %rd6, %r1;\n" + fence + mnemonic(8, MatrixType::BF16) + " " +
           list("%d", 4) + ", %rd4, %rd5, " + scale + ", 1, 1, 0, " + (transposed ? "1" : "0") +
           ";\n";
  };
  const uint64_t a = plain.descriptor(shared, 64), b = plain.descriptor(shared + 8192, 8);
  EXPECT_EQ(message(with("setp.lt.u32 %p1, %r1, 1;", a, b, "%p1")),
            "scale-d differs between lanes: it is true for 0x1");
  EXPECT_EQ(message(with("", a, b | uint64_t(3) << 49)),
            "the descriptor has base offset 3, expected 0");
  EXPECT_EQ(message(with("", a | uint64_t(1) << 14, b)),
            "the descriptor 0x4000004000014040 has bits outside its fields: 0x4000");
  EXPECT_EQ(message(with("", a + 8, b)),
            "the matrix starts at 0x480, inside a pattern of the 128-byte swizzle; patterns begin "
            "at multiples of 1024");
  EXPECT_EQ(message(with("", a + 7, b)), "rows of 32 bytes at 0x470 leave their line of 128 bytes");
  EXPECT_EQ(
      message(with("", a + 576, b)),
      "the matrix that starts at shared address 0x2800 has row 56, k 0 at 0x4400, outside the "
      "block's 16384 bytes at 0x400");
  EXPECT_EQ(message(with("", 0, b)),
            "the matrix that starts at shared address 0x0 has row 0, k 0 at 0x0, outside the "
            "block's 16384 bytes at 0x400");
  Machine machine(512);
  EXPECT_EQ(findingOf(machine,
                      kernel("cvt.u64.u32 %rd6, %r1;\n" + fence + mnemonic(8, MatrixType::BF16) +
                             " " + list("%d", 4) + ", %rd6, " + hexOf(b) + ", 0, 1, 1, 0, 0;"),
                      warpgroup)
                .message,
            "the descriptor of A differs between lanes: 0x0 and 0x1");
}

TEST(Warpgroup, Syntax) {
  auto error = [](const std::string &line) {
    std::string text = parseError(hopper(declare + "\n" + line));
    return text.substr(0, text.rfind(": "));
  };
  const std::string name = "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 ";
  EXPECT_EQ(error(name + "{%d0, %d1}, %rd1, %rd2, 1, 1, 1, 0, 0;"),
            "9: expected 4 accumulators, found 2");
  EXPECT_EQ(error(name + "{%d0, %d1, %d2, _}, %rd1, %rd2, 1, 1, 1, 0, 0;"),
            "9: an accumulator cannot be '_'");
  EXPECT_EQ(error(name + "{%d0, %d1, %d2, %d3}, {%a0, %a1}, %rd2, 1, 1, 1, 0;"),
            "9: expected 4 registers of A, found 2");
  EXPECT_EQ(error(name + "{%d0, %d1, %d2, %d3}, %rd1, %rd2, 1, 2, 1, 0, 0;"),
            "9: the scale of A is 2, expected 1 or -1");
  EXPECT_EQ(error(name + "{%d0, %d1, %d2, %d3}, %rd1, %rd2, 1, 1, 1, 0, 2;"),
            "9: the transpose of B is 2, expected 0 or 1");
  EXPECT_EQ(error(name + "{%d0, %d1, %d2, %d3}, %rd1, %rd2, 1, 1, 1, 0;"),
            "9: expected 8 operands, found 7");
  EXPECT_EQ(error("wgmma.mma_async.sync.aligned.m64n12k16.f32.bf16.bf16 %d0;"),
            "9: this form of 'wgmma' is not known");
  EXPECT_EQ(error("wgmma.mma_async.sync.aligned.m64n8k16.f16.bf16.bf16 %d0;"),
            "9: this form of 'wgmma' is not known");
  EXPECT_EQ(parseError(module("wgmma.fence.sync.aligned;", "", "", "sm_90")),
            "8: needs .target sm_90a, the file has sm_90: wgmma.fence.sync.aligned");
}

} // namespace
} // namespace attncc::simulator::test
