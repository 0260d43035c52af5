//===- WgmmaTest.cpp - values of products of warpgroups -------------------===//
//
// Tests runtime/simulator/{Products,SharedMatrix,WgmmaOps}.cpp: every layout of both operands, all
// widths, signs and types against plain loops, and bits against mma and against an NVIDIA H200
// (driver 580.159.04, 2026-11-27), of whose results golden/wgmma-h200.txt has checksums.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/WgmmaText.h"

#include <cinttypes>
#include <fstream>
#include <random>

namespace attncc::simulator::test {
namespace {

struct Case {
  unsigned n = 64;
  MatrixType type = MatrixType::BF16;
  bool aInRegisters = false;
  Layout a, b;
  bool accumulates = true, negateA = false, negateB = false;
  bool random = false; ///< any values, compared with mma; else small integers, with loops
};

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

using Codes = std::vector<std::array<uint16_t, 16>>;

/// D for the codes of A and B and the addend, all by thread and register.
std::vector<float> multiplied(const Case &test, const Codes &a, const Codes &b,
                              const std::vector<float> &addend) {
  const unsigned aBytes = test.aInRegisters ? 0 : (test.a.bytes(64) + 1023) / 1024 * 1024;
  const unsigned image = aBytes + test.b.bytes(test.n), words = test.n / 2;
  Machine machine(128 * words * 4, image + 128 * (words + 4) * 4);
  std::memset(machine.in<uint8_t>(), 0x7f, image);
  auto place = [&](const Layout &layout, const Codes &codes, unsigned offset) {
    for (unsigned r = 0; r < codes.size(); ++r)
      for (unsigned k = 0; k < 16; ++k)
        std::memcpy(machine.in<uint8_t>() + offset + layout.place(unsigned(codes.size()), r, k),
                    &codes[r][k], 2);
  };
  if (!test.aInRegisters)
    place(test.a, a, 0);
  place(test.b, b, aBytes);
  float *c = reinterpret_cast<float *>(machine.in<uint8_t>() + image);
  std::copy(addend.begin(), addend.end(), c);
  uint32_t *fragments = reinterpret_cast<uint32_t *>(c + 128 * words);
  for (unsigned t = 0; t < 128; ++t)
    for (unsigned r = 0; r < 4; ++r) {
      unsigned row = 16 * (t / 32) + t % 32 / 4 + 8 * (r % 2), k = 2 * (t % 4) + 8 * (r / 2);
      fragments[t * 4 + r] = a[row][k] | uint32_t(a[row][k + 1]) << 16;
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

  return {machine.out<float>(), machine.out<float>() + 128 * words};
}

void check(const Case &test, unsigned seed = 1) {
  SCOPED_TRACE("n " + std::to_string(test.n) + ", A " +
               (test.aInRegisters ? "in registers" : test.a.text()) + ", B " + test.b.text());
  std::mt19937 random(seed);
  Codes a(64), b(test.n);
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

  const unsigned words = test.n / 2;
  std::vector<float> addend(64 * test.n), registers(128 * words);
  for (unsigned t = 0; t < 128; ++t)
    for (unsigned r = 0; r < words; ++r) {
      auto [row, column] = resultAt(t, r);
      addend[row * test.n + column] = registers[t * words + r] =
          test.random ? float(int(random() % 20001) - 10000) / 777 : float(int(random() % 999));
    }
  const std::vector<float> result = multiplied(test, a, b, registers);

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
      ASSERT_EQ(result[t * words + r], wanted[row * test.n + column])
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

// All layouts, widths and types as an H200 gives them. The inputs come from a congruential
// generator.
TEST(Wgmma, BitsOfH200) {
  std::ifstream file(ATTNCC_SOURCE_DIR "/test/simulator/golden/wgmma-h200.txt");
  uint64_t state = 7;
  auto random = [&] {
    state = state * 6364136223846793005 + 1442695040888963407;
    return uint32_t(state >> 33);
  };
  unsigned cases = 0;
  for (std::string line; std::getline(file, line);) {
    if (line[0] == '#')
      continue;
    unsigned n, half, inRegisters, aWidth, aMajor, bWidth, bMajor, gap;
    uint64_t checksum;
    ASSERT_EQ(std::sscanf(line.c_str(), "%u %u %u %u %u %u %u %u %" SCNx64, &n, &half, &inRegisters,
                          &aWidth, &aMajor, &bWidth, &bMajor, &gap, &checksum),
              9);
    auto code = [&]() -> uint16_t {
      uint32_t r = random();
      if (r % 8 == 0)
        return 0;
      return uint16_t(half ? (r >> 4 & 0x83ff) | (5 + (r >> 16) % 20) << 10
                           : (r >> 4 & 0x807f) | (117 + (r >> 16) % 20) << 7);
    };
    Codes a(64), b(n);
    for (Codes *codes : {&a, &b})
      for (auto &row : *codes)
        for (uint16_t &element : row)
          element = code();
    std::vector<float> addend(64 * n);
    for (float &value : addend) {
      double numerator = (int(random() % 200001) - 100000) / 777.0;
      value = float(numerator / (1 << random() % 12));
    }
    uint64_t sum = 0xcbf29ce484222325;
    for (float value : multiplied({n,
                                   half ? MatrixType::F16 : MatrixType::BF16,
                                   inRegisters != 0,
                                   {aWidth, aMajor != 0, gap},
                                   {bWidth, bMajor != 0, gap}},
                                  a, b, addend)) {
      uint8_t bytes[4];
      std::memcpy(bytes, &value, 4);
      for (uint8_t byte : bytes)
        sum = (sum ^ byte) * 0x100000001b3;
    }
    EXPECT_EQ(sum, checksum) << line;
    ++cases;
  }
  EXPECT_EQ(cases, 104u);
}

} // namespace
} // namespace attncc::simulator::test
