//===- MatrixTest.cpp - fragments of ldmatrix, movmatrix, mma -------------===//
//
// Tests runtime/simulator/Matrices.cpp. The maps are written here as the ISA's tables have them,
// from element to (lane, register, half), the other way round than the simulator's.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

#include <random>

namespace attncc::simulator::test {
namespace {

uint16_t bfloat(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return uint16_t(bits >> 16); // exact values only
}
uint16_t half(int x) { // small integers
  if (x == 0)
    return 0;
  int exponent = 31 - __builtin_clz(x < 0 ? -x : x);
  return uint16_t((x < 0) << 15 | (exponent + 15) << 10 |
                  (((x < 0 ? -x : x) << (10 - exponent)) & 0x3ff));
}

/// Stores one 16-bit element in a lane's registers (4 registers per lane in memory).
void put(uint32_t *registers, int lane, int reg, int part, uint16_t code) {
  uint32_t &word = registers[4 * lane + reg];
  word = (word & ~(0xffffu << (16 * part))) | uint32_t(code) << (16 * part);
}

struct Fragment {
  int lane, reg, part;
};
/// Where A[m][k] of m16n8k16 and m16n8k8 lives.
Fragment ofA(int m, int k) { return {(m % 8) * 4 + (k % 8) / 2, (m / 8) + 2 * (k / 8), k % 2}; }
Fragment ofB(int k, int n) { return {n * 4 + (k % 8) / 2, k / 8, k % 2}; }
Fragment ofC(int m, int n) { return {(m % 8) * 4 + n / 2, (m / 8) * 2 + n % 2, 0}; }

std::string mma(int k, const std::string &type) {
  std::string a = k == 16 ? "{%r2,%r3,%r4,%r5}" : "{%r2,%r3}";
  std::string b = k == 16 ? "{%r6,%r7}" : "{%r6}";
  return module("mul.wide.u32 %rd3, %r1, 16; add.s64 %rd4, %rd2, %rd3; add.s64 %rd5, %rd1, %rd3;\n"
                "ld.global.v4.b32 {%r2,%r3,%r4,%r5}, [%rd4];\n"
                "ld.global.v4.b32 {%r6,%r7,_,_}, [%rd4+512];\n"
                "ld.global.v4.b32 {%r8,%r9,%r10,%r11}, [%rd4+1024];\n"
                "mma.sync.aligned.m16n8k" +
                std::to_string(k) + ".row.col.f32." + type + "." + type +
                ".f32\n\t{%r12,%r13,%r14,%r15},\n\t" + a + ",\n\t" + b +
                ",\n\t{%r8,%r9,%r10,%r11};\nst.global.v4.b32 [%rd5], {%r12,%r13,%r14,%r15};");
}

// A with a single 1 at (m, k), B[k][n] = 8 k + n + 1, C[m][n] = 1000 m + n: D shows B's row k in
// row m, C elsewhere. Proves the maps of A, B, C and D together.
void oneHot(int kCount, bool brain) {
  Machine machine(512, 1536);
  auto code = [&](int x) { return brain ? bfloat(float(x)) : half(x); };
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < kCount; ++k) {
      uint32_t *in = machine.in<uint32_t>();
      std::memset(in, 0, 1536);
      Fragment at = ofA(m, k);
      put(in, at.lane, at.reg, at.part, code(1));
      for (int i = 0; i < kCount; ++i)
        for (int n = 0; n < 8; ++n) {
          Fragment b = ofB(i, n);
          put(in + 128, b.lane, b.reg, b.part, code(8 * i + n + 1));
        }
      for (int row = 0; row < 16; ++row)
        for (int n = 0; n < 8; ++n) {
          Fragment c = ofC(row, n);
          float value = float(1000 * row + n);
          std::memcpy(&in[256 + 4 * c.lane + c.reg], &value, 4);
        }
      static const std::string texts[2][2] = {{mma(8, "f16"), mma(8, "bf16")},
                                              {mma(16, "f16"), mma(16, "bf16")}};
      Report report = machine.complete(texts[kCount == 16][brain]);
      ASSERT_EQ(report.matrixProducts, 1u);
      for (int row = 0; row < 16; ++row)
        for (int n = 0; n < 8; ++n) {
          Fragment d = ofC(row, n);
          float expected = float(1000 * row + n + (row == m ? 8 * k + n + 1 : 0));
          ASSERT_EQ(machine.out<float>()[4 * d.lane + d.reg], expected)
              << "A[" << m << "][" << k << "], D[" << row << "][" << n << "]";
        }
    }
}

TEST(Matrix, OneHotK16Half) { oneHot(16, false); }
TEST(Matrix, OneHotK16Bfloat) { oneHot(16, true); }
TEST(Matrix, OneHotK8Half) { oneHot(8, false); }
TEST(Matrix, OneHotK8Bfloat) { oneHot(8, true); }

/// Rows of 16 bytes in shared memory at the given addresses; what each lane loads.
std::string loadMatrices(int count, bool transposed) {
  const char *registers[] = {"{%r2}", "{%r2,%r3}", "", "{%r2,%r3,%r4,%r5}"};
  return module(
      "mul.wide.u32 %rd3, %r1, 16; add.s64 %rd4, %rd2, %rd3; add.s64 %rd5, %rd1, %rd3;\n"
      "ld.global.v4.b32 {%r6,%r7,%r8,%r9}, [%rd4]; mov.b32 %r10, sh;\n"
      // row i lies at (37 i mod 32) * 16: any permutation of rows will do
      "mul.lo.s32 %r11, %r1, 37; and.b32 %r11, %r11, 31; mad.lo.s32 %r11, %r11, 16, %r10;\n"
      "st.shared.v4.b32 [%r11], {%r6,%r7,%r8,%r9}; bar.warp.sync -1;\n"
      "mov.b32 %r3, 0; mov.b32 %r4, 0; mov.b32 %r5, 0;\n"
      "ldmatrix.sync.aligned.m8n8.x" +
          std::to_string(count) + (transposed ? ".trans" : "") + ".shared.b16 " +
          registers[count - 1] + ", [%r11];\nst.global.v4.b32 [%rd5], {%r2,%r3,%r4,%r5};",
      ".shared .align 128 .b8 sh[512];");
}

TEST(Matrix, LoadMatrices) {
  for (int count : {1, 2, 4})
    for (bool transposed : {false, true}) {
      Machine machine(512, 512);
      for (int i = 0; i < 256; ++i) // row i / 8, column i % 8
        machine.in<uint16_t>()[i] = uint16_t(i + 1);
      machine.complete(loadMatrices(count, transposed));
      for (int lane = 0; lane < 32; ++lane)
        for (int matrix = 0; matrix < count; ++matrix)
          for (int part = 0; part < 2; ++part) {
            int row = lane / 4, column = 2 * (lane % 4) + part;
            if (transposed)
              std::swap(row, column);
            uint16_t got = machine.out<uint16_t>()[8 * lane + 2 * matrix + part];
            ASSERT_EQ(got, 8 * (8 * matrix + row) + column + 1)
                << count << " " << transposed << " lane " << lane;
          }
    }
}

// Lanes beyond the matrices give no addresses: theirs may be anything.
TEST(Matrix, UnusedAddresses) {
  Machine machine(16);
  const std::string text = "mov.b32 %r10, sh; shl.b32 %r11, %r1, 4; add.s32 %r11, %r11, %r10;\n"
                           "ldmatrix.sync.aligned.m8n8.xN.shared.b16 RS, [%r11];";
  auto variant = [&](const char *number, const char *registers) {
    std::string body = text;
    body.replace(body.find("xN"), 2, number);
    body.replace(body.find("RS"), 2, registers);
    return module(body, ".shared .align 16 .b8 sh[128];");
  };
  machine.complete(variant("x1", "{%r2}"));
  Finding finding = findingOf(machine, variant("x2", "{%r2,%r3}"));
  EXPECT_EQ(finding.kind, Finding::Kind::OutOfBounds);
  EXPECT_EQ(finding.thread, (Dim3{8, 0, 0}));
  finding = findingOf(
      machine, module("mov.b32 %r10, sh; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r10+8];",
                      ".shared .align 16 .b8 sh[128];"));
  EXPECT_EQ(finding.kind, Finding::Kind::Misaligned);
}

TEST(Matrix, Transpose) {
  Machine machine(256, 256);
  for (int lane = 0; lane < 32; ++lane)
    for (int part = 0; part < 2; ++part)
      machine.in<uint16_t>()[2 * lane + part] = uint16_t(100 * (lane / 4) + 2 * (lane % 4) + part);
  machine.complete(
      module("mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd2, %rd3; add.s64 %rd5, %rd1, %rd3;\n"
             "ld.global.b32 %r2, [%rd4]; movmatrix.sync.aligned.m8n8.trans.b16 %r3, %r2;\n"
             "movmatrix.sync.aligned.m8n8.trans.b16 %r4, %r3;\n"
             "st.global.b32 [%rd5], %r3; st.global.b32 [%rd5+128], %r4;"));
  for (int lane = 0; lane < 32; ++lane)
    for (int part = 0; part < 2; ++part) {
      EXPECT_EQ(machine.out<uint16_t>()[2 * lane + part], 100 * (2 * (lane % 4) + part) + lane / 4);
      EXPECT_EQ(machine.out<uint16_t>()[64 + 2 * lane + part],
                machine.in<uint16_t>()[2 * lane + part]);
    }
}

// stmatrix undoes ldmatrix, with and without .trans, for one, two and four matrices.
TEST(Matrix, StoreUndoesLoad) {
  for (const char *transposed : {"", ".trans"})
    for (unsigned count : {1u, 2u, 4u}) {
      std::string registers = count == 1   ? "{%r10}"
                              : count == 2 ? "{%r10, %r11}"
                                           : "{%r10, %r11, %r12, %r13}";
      std::string form =
          ".sync.aligned.m8n8.x" + std::to_string(count) + transposed + ".shared.b16 ";
      Machine machine(1024);
      Report report = machine.complete(hopper(
          "mov.b32 %r3, sh; mad.lo.s32 %r4, %r1, 16, %r3; shl.b32 %r5, %r1, 3;\n"
          "mov.b32 %r6, 0; L: add.s32 %r7, %r5, %r6; mad.lo.s32 %r8, %r6, 2, %r4; cvt.u16.u32 "
          "%rs1, %r7;\n"
          "st.shared.b16 [%r8], %rs1; add.s32 %r6, %r6, 1; setp.lt.u32 %p1, %r6, 8; @%p1 bra L;\n"
          "ldmatrix" +
          form + registers +
          ", [%r4];\n"
          "stmatrix" +
          form + "[%r4+1024], " + registers +
          ";\n"
          "mul.wide.u32 %rd3, %r1, 16; add.s64 %rd4, %rd1, %rd3;\n"
          "ld.shared.v4.b32 {%r20, %r21, %r22, %r23}, [%r4+1024];\n"
          "st.global.v4.b32 [%rd4], {%r20, %r21, %r22, %r23};"));
      for (uint32_t i = 0; i < 64 * count; ++i)
        ASSERT_EQ(machine.out<uint16_t>()[i], i) << transposed << " x" << count;
      EXPECT_EQ(machine.out<uint16_t>()[64 * count],
                count == 4 ? machine.out<uint16_t>()[256] : 0x7fff);
      for (const SharedInstruction &instruction : report.sharedInstructions)
        if (instruction.text.starts_with("stmatrix")) {
          EXPECT_EQ(instruction.traffic.wavefronts, count);
        }
    }
}

TEST(Matrix, StoreNeedsHopper) {
  EXPECT_EQ(parseError(module("stmatrix.sync.aligned.m8n8.x1.shared.b16 [sh], {%r2};",
                              ".shared .align 16 .b8 sh[256];"))
                .substr(0, 44),
            "8: needs .target sm_90, the file has sm_80: ");
}

} // namespace
} // namespace attncc::simulator::test
