//===- WgmmaUseTest.cpp - wrong use of products of warpgroups -------------===//
//
// Tests runtime/simulator/{Products,SharedMatrix,WgmmaOps}.cpp: registers and shared memory of
// products under way, missing fences, warps that do not agree, descriptors, syntax.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/WgmmaText.h"

namespace attncc::simulator::test {
namespace {

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

// A cp.async writes when it is waited for, so the fence has to come after that.
TEST(WgmmaHazard, CopiesOfThreads) {
  const std::string begin = "setp.eq.u32 %p1, %r1, 0; add.s32 %r4, %r3, 8192;\n"
                            "@%p1 cp.async.cg.shared.global [%r4], [%rd2], 16;\n",
                    proxy = "fence.proxy.async.shared::cta;\n", wait16 = "cp.async.wait_all;\n",
                    use = "bar.sync 0;\n" + fence + product() + commit + wait;
  accept(begin + wait16 + proxy + use);
  EXPECT_EQ(
      message(begin + proxy + wait16 + use),
      "asynchronous read of shared address 0x2400, which thread (0,0,0) has written without a "
      "fence.proxy.async since");
  // Other warps may see it when a barrier follows the wait.
  EXPECT_EQ(message("setp.eq.u32 %p2, %r1, 0; @%p2 mbarrier.init.shared.b64 [%r3+12288], 1;\n" +
                    begin + "bar.sync 0;\n" + wait16 + "ld.shared.b32 %r5, [%r3+8192];"),
            "write of shared address 0x2400, which warp 3 has read, without a barrier between the "
            "two");
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
