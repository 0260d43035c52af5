//===- BarrierTest.cpp - barriers of a block ------------------------------===//
//
// Tests runtime/simulator/{Block,Control}.cpp: bar.sync with and without a count, arrive,
// reductions, exits, wrong use and deadlock.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

namespace attncc::simulator::test {
namespace {

Conditions threads(unsigned count) { return {{1, 1, 1}, {count, 1, 1}, 0, {}}; }
const char *shared = ".shared .align 16 .b8 sh[4096];";
/// %r2 = warp, %rd4 = out + 4 * thread, %r4 = sh + 4 * thread
const std::string prologue =
    "shr.u32 %r2, %r1, 5; mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3;\n"
    "mov.b32 %r3, sh; mad.lo.s32 %r4, %r1, 4, %r3;\n";

// Every thread reads what the thread opposite it has written.
TEST(Barrier, OrdersWarps) {
  Machine machine(4096);
  machine.complete(module(prologue + "st.shared.b32 [%r4], %r1; bar.sync 0;\n"
                                     "xor.b32 %r5, %r1, 1023; mad.lo.s32 %r6, %r5, 4, %r3;\n"
                                     "ld.shared.b32 %r7, [%r6]; st.global.b32 [%rd4], %r7;",
                          shared),
                   threads(1024));
  for (uint32_t i = 0; i < 1024; ++i)
    ASSERT_EQ(machine.out<uint32_t>()[i], i ^ 1023);
}

// A named barrier for two of four warps; its number and count are in registers.
TEST(Barrier, Named) {
  Machine machine(512);
  machine.complete(module(prologue + R"(
    shr.u32 %r8, %r2, 1; add.s32 %r8, %r8, 1; mov.b32 %r9, 64;
    st.shared.b32 [%r4], %r1; bar.sync %r8, %r9;
    xor.b32 %r5, %r1, 32; mad.lo.s32 %r6, %r5, 4, %r3; ld.shared.b32 %r7, [%r6];
    st.global.b32 [%rd4], %r7;)",
                          shared),
                   threads(128));
  for (uint32_t i = 0; i < 128; ++i)
    ASSERT_EQ(machine.out<uint32_t>()[i], i ^ 32);
}

// Producer arrives and goes on, consumer waits.
TEST(Barrier, ArriveDoesNotWait) {
  Machine machine(256);
  machine.complete(module(prologue + R"(
    setp.eq.u32 %p1, %r2, 0; @%p1 bra CONSUMER;
    st.shared.b32 [%r4], 5; bar.arrive 3, 64; bra.uni DONE;
    CONSUMER: bar.sync 3, 64; ld.shared.b32 %r7, [%r4+128]; st.global.b32 [%rd4], %r7;
    DONE:)",
                          shared),
                   threads(64));
  EXPECT_EQ(machine.out<uint32_t>()[0], 5u);
}

TEST(Barrier, Reductions) {
  Machine machine(1024);
  machine.complete(module(prologue + R"(
    setp.lt.u32 %p1, %r1, 40;
    bar.red.popc.u32 %r5, 0, %p1; bar.red.or.pred %p2, 0, !%p1; barrier.cta.red.aligned.and.pred %p3, 1, 64, %p1;
    selp.b32 %r6, 16, 0, %p2; selp.b32 %r7, 8, 0, %p3;
    shl.b32 %r5, %r5, 8; or.b32 %r5, %r5, %r6; or.b32 %r5, %r5, %r7; st.global.b32 [%rd4], %r5;)",
                          shared),
                   threads(64));
  for (uint32_t i = 0; i < 64; ++i)
    ASSERT_EQ(machine.out<uint32_t>()[i], 40u << 8 | 16);
}

// Warps that have exited are not waited for.
TEST(Barrier, ExitedWarps) {
  Machine machine(512);
  machine.complete(module(prologue +
                              "setp.gt.u32 %p1, %r2, 1; @%p1 exit; bar.sync 0; barrier.sync 0;\n"
                              "st.global.b32 [%rd4], 1;",
                          shared),
                   threads(128));
  EXPECT_EQ(machine.out<uint32_t>()[63], 1u);
}

TEST(Barrier, Deadlock) {
  Machine machine(512);
  Finding finding = findingOf(machine,
                              module("shr.u32 %r2, %r1, 5; setp.eq.u32 %p1, %r2, 0;\n"
                                     "@%p1 bra A; bar.sync 1, 64; bra B;\n"
                                     "A: bar.sync 2, 64;\nB:"),
                              threads(64));
  EXPECT_EQ(finding.kind, Finding::Kind::Deadlock);
  EXPECT_EQ(finding.message,
            "no warp can continue; warp 1 waits at line 9 (bar.sync 1, 64) for barrier 1: 32 of 64 "
            "threads arrived; warp 0 waits at line 10 (bar.sync 2, 64) for barrier 2: 32 of 64 "
            "threads arrived");
  EXPECT_EQ(findingOf(machine, module("setp.gt.u32 %p1, %r1, 31; @%p1 exit; bar.sync 1, 64;"),
                      threads(64))
                .message,
            "no warp can continue; warp 0 waits at line 8 (bar.sync 1, 64) for barrier 1: 32 of 64 "
            "threads arrived; warp 1 has exited");
}

TEST(Barrier, WrongUse) {
  Machine machine(512);
  auto message = [&](const std::string &body) {
    return findingOf(
               machine,
               module("shr.u32 %r2, %r1, 5; add.s32 %r3, %r2, 1; shl.b32 %r3, %r3, 5;\n" + body),
               threads(128))
        .message;
  };
  EXPECT_EQ(message("bar.sync 16;"), "barrier number is 16, expected 0 to 15");
  EXPECT_EQ(message("bar.sync %r1;"), "barrier number differs between lanes: 0 and 1");
  EXPECT_EQ(message("bar.sync 1, 40;"),
            "barrier 1 expects 40 threads, allowed is a multiple of 32 up to 128");
  EXPECT_EQ(message("setp.eq.u32 %p1, %r2, 0; @%p1 bra X; bar.sync 1, 128; bra Y;\n"
                    "X: bar.sync 1, 96; Y:"),
            "barrier 1 expects 128 threads here and 96 at line 10");
  EXPECT_EQ(message("bar.arrive 1, 128; bar.arrive 1, 128;"), "warp 0 arrives twice at barrier 1");
}

// bar.sync is aligned: half a warp must not execute it.
TEST(Barrier, HalfAWarp) {
  Machine machine(512);
  Finding finding = findingOf(machine, module("setp.lt.u32 %p1, %r1, 16; @%p1 bar.sync 0;"));
  EXPECT_EQ(finding.kind, Finding::Kind::Divergence);
  EXPECT_EQ(finding.message,
            "the guard of an aligned instruction holds for lanes 0x0000ffff of 0xffffffff");
  // Two barriers of the same warp, each reached by half of it.
  finding = findingOf(machine, module("setp.lt.u32 %p1, %r1, 16; @%p1 bra A;\n"
                                      "bar.sync 0; bra B;\nA: bar.sync 0;\nB:"));
  EXPECT_EQ(finding.message,
            "the lanes of warp 0 wait at different places; lanes 0xffff0000 at line "
            "9: bar.sync 0; lanes 0x0000ffff at line 10: bar.sync 0");
}

} // namespace
} // namespace attncc::simulator::test
