//===- GoldenTest.cpp - results recorded on a GPU -------------------------===//
//
// Tests the simulator against an NVIDIA H200 (driver 13.0, 2026-11-24), bit for bit: mma.sync with
// exponents of every range, subnormals, infinities and NaN, and the instructions that have exactly
// one right result. Approximations (ex2, lg2, rcp, …) are modelled, not reproduced, and are absent.
//
// golden/mma-h200.bin: tiles; each a kind (0: m16n8k16 bf16, 1: the same f16, 2: m16n8k8 bf16,
// 3: the same f16), then for each lane 4 + 2 words of A and B, 4 of C and 4 of the GPU's D.
// golden/scalar-h200.bin: 256 triples of inputs, lane by lane, then 256 results for each
// instruction of the list below.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

#include <fstream>
#include <iterator>

namespace attncc::simulator::test {
namespace {

std::vector<uint32_t> readWords(const std::string &name) {
  std::ifstream file(ATTNCC_SOURCE_DIR "/test/simulator/golden/" + name, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<uint32_t> words(bytes.size() / 4);
  std::memcpy(words.data(), bytes.data(), words.size() * 4);
  return words;
}

std::string mma(uint32_t kind) {
  bool half = kind % 2, wide = kind < 2;
  std::string type = half ? "f16" : "bf16";
  return module("mul.wide.u32 %rd3, %r1, 56; add.s64 %rd4, %rd2, %rd3;\n"
                "mul.wide.u32 %rd3, %r1, 16; add.s64 %rd5, %rd1, %rd3;\n"
                "ld.global.v2.b32 {%r2,%r3}, [%rd4]; ld.global.v2.b32 {%r4,%r5}, [%rd4+8];\n"
                "ld.global.v2.b32 {%r6,%r7}, [%rd4+16]; ld.global.v2.b32 {%r8,%r9}, [%rd4+24];\n"
                "ld.global.v2.b32 {%r10,%r11}, [%rd4+32];\n"
                "mma.sync.aligned.m16n8k" +
                std::string(wide ? "16" : "8") + ".row.col.f32." + type + "." + type +
                ".f32 {%r12,%r13,%r14,%r15}, " +
                (wide ? "{%r2,%r3,%r4,%r5}, {%r6,%r7}" : "{%r2,%r3}, {%r6}") +
                ", {%r8,%r9,%r10,%r11};\nst.global.v4.b32 [%rd5], {%r12,%r13,%r14,%r15};");
}

TEST(Golden, TensorCoreOfH200) {
  std::vector<uint32_t> words = readWords("mma-h200.bin");
  const size_t tile = 1 + 32 * 14;
  ASSERT_EQ(words.size() % tile, 0u);
  ASSERT_GE(words.size() / tile, 50u);
  Conditions conditions;
  conditions.options.tensorCore = TensorCore::Sm90;
  const std::string texts[] = {mma(0), mma(1), mma(2), mma(3)};
  for (size_t at = 0; at < words.size(); at += tile) {
    Machine machine(512, 32 * 56);
    std::memcpy(machine.in<uint32_t>(), &words[at + 1], 32 * 56);
    machine.complete(texts[words[at]], conditions);
    for (size_t i = 0; i < 128; ++i)
      ASSERT_EQ(machine.out<uint32_t>()[i], words[at + 1 + i / 4 * 14 + 10 + i % 4])
          << "tile " << at / tile << ", lane " << i / 4 << ", register " << i % 4;
  }
}

// %r4, %r5 and %r6 to %r7.
const char *const instructions[] = {
    "div.rn.f32 %r7,%r4,%r5;",
    "sqrt.rn.f32 %r7,%r4;",
    "add.rn.f32 %r7,%r4,%r5;",
    "add.rn.ftz.f32 %r7,%r4,%r5;",
    "mul.rn.f32 %r7,%r4,%r5;",
    "mul.rn.ftz.f32 %r7,%r4,%r5;",
    "fma.rn.f32 %r7,%r4,%r5,%r6;",
    "fma.rn.ftz.f32 %r7,%r4,%r5,%r6;",
    "fma.rz.f32 %r7,%r4,%r5,%r6;",
    "add.rp.f32 %r7,%r4,%r5;",
    "min.f32 %r7,%r4,%r5;",
    "max.f32 %r7,%r4,%r5;",
    "max.NaN.f32 %r7,%r4,%r5;",
    "max.ftz.f32 %r7,%r4,%r5;",
    "neg.f32 %r7,%r4;",
    "neg.ftz.f32 %r7,%r4;",
    "abs.f32 %r7,%r4;",
    "cvt.rn.bf16x2.f32 %r7,%r4,%r5;",
    "cvt.rn.f16x2.f32 %r7,%r4,%r5;",
    "cvt.rn.relu.bf16x2.f32 %r7,%r4,%r5;",
    "cvt.rz.f16x2.f32 %r7,%r4,%r5;",
    "cvt.rna.tf32.f32 %r7,%r4;",
    "cvt.u16.u32 %rs1,%r4; cvt.f32.f16 %r7,%rs1;",
    "cvt.rn.bf16.f32 %rs1,%r4; mov.b32 %r7,{%rs1,%rs1};",
    "cvt.rzi.s32.f32 %r7,%r4;",
    "cvt.rni.u32.f32 %r7,%r4;",
    "cvt.rni.f32.f32 %r7,%r4;",
    "cvt.rmi.ftz.f32.f32 %r7,%r4;",
    "cvt.rn.f32.s32 %r7,%r4;",
    "cvt.sat.f32.f32 %r7,%r4;",
    "add.rn.f16x2 %r7,%r4,%r5;",
    "fma.rn.f16x2 %r7,%r4,%r5,%r6;",
    "fma.rn.bf16x2 %r7,%r4,%r5,%r6;",
    "mul.rn.f16x2 %r7,%r4,%r5;",
    "max.bf16x2 %r7,%r4,%r5;",
    "max.f16x2 %r7,%r4,%r5;",
    "min.NaN.f16x2 %r7,%r4,%r5;",
    "fma.rn.relu.f16x2 %r7,%r4,%r5,%r6;",
    "neg.bf16x2 %r7,%r4;",
    "prmt.b32 %r7,%r4,%r5,%r6;",
    "bfe.s32 %r7,%r4,%r5,%r6;",
    "bfi.b32 %r7,%r4,%r5,%r6,%r4;",
    "shf.l.wrap.b32 %r7,%r4,%r5,%r6;",
    "shf.r.clamp.b32 %r7,%r4,%r5,%r6;",
    "bfind.s32 %r7,%r4;",
    "shl.b32 %r7,%r4,%r5;",
    "shr.s32 %r7,%r4,%r5;",
    "and.b32 %r8,%r5,1; div.s32 %r7,%r4,%r8;",
    "and.b32 %r8,%r5,1; rem.u32 %r7,%r4,%r8;",
    "movmatrix.sync.aligned.m8n8.trans.b16 %r7,%r4;",
    "shfl.sync.up.b32 %r7,%r4,3,0x1800,-1;",
    "and.b32 %r5,%r5,31; shfl.sync.down.b32 %r7,%r4,%r5,0x101f,-1;",
    "shfl.sync.idx.b32 %r7,%r4,%r5,%r6,-1;",
    "shfl.sync.bfly.b32 %r7,%r4,%r5,%r6,-1;",
    "and.b32 %r8,%r4,7; match.any.sync.b32 %r7,%r8,-1;",
};

TEST(Golden, ScalarsOfH200) {
  std::vector<uint32_t> words = readWords("scalar-h200.bin");
  const size_t count = 256;
  ASSERT_EQ(words.size(), count * (3 + std::size(instructions)));
  for (size_t i = 0; i < std::size(instructions); ++i) {
    Machine machine(count * 4, count * 12);
    std::memcpy(machine.in<uint32_t>(), words.data(), count * 12);
    machine.complete(module("mov.u32 %r2, %ctaid.x; mad.lo.s32 %r3, %r2, 32, %r1;\n"
                            "mul.wide.u32 %rd3, %r3, 12; add.s64 %rd4, %rd2, %rd3;\n"
                            "mul.wide.u32 %rd3, %r3, 4; add.s64 %rd5, %rd1, %rd3;\n"
                            "ld.global.b32 %r4, [%rd4]; ld.global.b32 %r5, [%rd4+4];\n"
                            "ld.global.b32 %r6, [%rd4+8];\n" +
                            std::string(instructions[i]) + "\nst.global.b32 [%rd5], %r7;"),
                     {{count / 32, 1, 1}, {32, 1, 1}, 0, {}});
    for (size_t k = 0; k < count; ++k)
      EXPECT_EQ(machine.out<uint32_t>()[k], words[count * (3 + i) + k])
          << instructions[i] << std::hex << " of 0x" << words[3 * k] << " 0x" << words[3 * k + 1]
          << " 0x" << words[3 * k + 2];
  }
}

} // namespace
} // namespace attncc::simulator::test
