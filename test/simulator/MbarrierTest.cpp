//===- MbarrierTest.cpp - mbarrier, elect, setmaxnreg, cluster barriers ---===//
//
// Tests runtime/simulator/{Mbarriers,Control,Collectives,Block}.cpp: phases, counts, states and
// parities, waits that suspend, wrong use, and what a deadlock's report says.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

namespace attncc::simulator::test {
namespace {

Conditions threads(unsigned count) { return {{1, 1, 1}, {count, 1, 1}, 0, {}}; }
/// %r2 = warp, %rd4 = out + 4 * thread, %r3 = sh; thread 0 initialises mbarriers at sh and sh + 8.
std::string prologue(const std::string &counts0 = "1", const std::string &counts1 = "1") {
  return "shr.u32 %r2, %r1, 5; mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3;\n"
         "mov.b32 %r3, sh; setp.eq.u32 %p1, %r1, 0; setp.eq.u32 %p2, %r2, 0;\n"
         "@%p1 mbarrier.init.shared::cta.b64 [%r3], " +
         counts0 + "; @%p1 mbarrier.init.shared.b64 [%r3+8], " + counts1 +
         "; fence.mbarrier_init.release.cluster; bar.sync 0;\n";
}

// A ring of one slot: warp 0 fills it ten times, warp 1 empties it.
TEST(Mbarrier, Ring) {
  Machine machine(512);
  machine.complete(hopper(prologue("32", "32") + R"(
    mov.b32 %r10, 0; mov.b32 %r11, 0; mov.b32 %r12, 1; mov.b32 %r13, 0;
    @!%p2 bra CONSUMER;
    PRODUCE:
      WE: mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r3+8], %r12; @!%p3 bra WE;
      mad.lo.s32 %r4, %r1, 4, %r3; add.s32 %r5, %r10, %r1; st.shared.b32 [%r4+64], %r5;
      mbarrier.arrive.shared::cta.b64 _, [%r3];
      xor.b32 %r12, %r12, 1; add.s32 %r10, %r10, 1; setp.lt.u32 %p3, %r10, 10; @%p3 bra PRODUCE;
    bra DONE;
    CONSUMER:
      WF: mbarrier.try_wait.parity.shared.b64 %p3, [%r3], %r13, 1000; @!%p3 bra WF;
      mad.lo.s32 %r4, %r1, 4, %r3; ld.shared.b32 %r5, [%r4-64]; add.s32 %r11, %r11, %r5;
      mbarrier.arrive.release.cta.shared.b64 %rd5, [%r3+8];
      xor.b32 %r13, %r13, 1; add.s32 %r10, %r10, 1; setp.lt.u32 %p3, %r10, 10; @%p3 bra CONSUMER;
      st.global.b32 [%rd4], %r11;
    DONE:)"),
                   threads(64));
  for (uint32_t i = 0; i < 32; ++i)
    ASSERT_EQ(machine.out<uint32_t>()[32 + i], 45 + 10 * i);
}

// arrive's state is of the phase that it belongs to; waits with a state end with that phase.
TEST(Mbarrier, States) {
  Machine machine(512);
  machine.complete(hopper(prologue("2", "1") + R"(
    @!%p1 bra DONE;
    mbarrier.arrive.shared.b64 %rd5, [%r3];
    mbarrier.test_wait.shared.b64 %p3, [%r3], %rd5; selp.b32 %r5, 1, 0, %p3;
    mbarrier.arrive.shared.b64 %rd6, [%r3], 1;
    mbarrier.test_wait.shared.b64 %p3, [%r3], %rd5; selp.b32 %r6, 2, 0, %p3;
    mbarrier.try_wait.shared.b64 %p3, [%r3], %rd6; selp.b32 %r7, 4, 0, %p3;
    mbarrier.test_wait.parity.shared.b64 %p3, [%r3], 0; selp.b32 %r8, 8, 0, %p3;
    mbarrier.test_wait.parity.shared.b64 %p3, [%r3], 1; selp.b32 %r9, 16, 0, %p3;
    or.b32 %r5, %r5, %r6; or.b32 %r5, %r5, %r7; or.b32 %r5, %r5, %r8; or.b32 %r5, %r5, %r9;
    st.global.b32 [%rd4], %r5;
    DONE:)"));
  EXPECT_EQ(machine.out<uint32_t>()[0], 2u | 4 | 8);
}

// Bytes hold a phase open; drops shrink the phases that follow; generic addresses serve as well.
TEST(Mbarrier, TransactionsAndDrops) {
  Machine machine(512);
  machine.complete(hopper(prologue("1", "2") + R"(
    @!%p1 bra DONE;
    cvt.u64.u32 %rd9, %r3; cvta.shared.u64 %rd9, %rd9;
    mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 48;
    mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r3], 16;
    mbarrier.test_wait.parity.shared.b64 %p3, [%r3], 0; selp.b32 %r5, 1, 0, %p3;
    mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r3], 32;
    mbarrier.test_wait.parity.b64 %p3, [%rd9], 0; selp.b32 %r6, 2, 0, %p3;
    mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r3], 16;
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r3];
    mbarrier.test_wait.parity.shared.b64 %p3, [%r3], 1; selp.b32 %r7, 4, 0, %p3;
    mbarrier.arrive_drop.shared.b64 _, [%r3+8]; mbarrier.arrive.shared.b64 _, [%r3+8];
    mbarrier.arrive.shared.b64 _, [%r3+8];
    mbarrier.test_wait.parity.shared.b64 %p3, [%r3+8], 1; selp.b32 %r8, 8, 0, %p3;
    or.b32 %r5, %r5, %r6; or.b32 %r5, %r5, %r7; or.b32 %r5, %r5, %r8; st.global.b32 [%rd4], %r5;
    DONE:)"));
  EXPECT_EQ(machine.out<uint32_t>()[0], 2u | 8);
}

// Lane 0 waits alone while the others wait for it at a barrier of the warp.
TEST(Mbarrier, OneLaneWaits) {
  Machine machine(512);
  machine.complete(hopper(prologue("1") + R"(
    @!%p2 bra OTHER; @!%p1 bra JOIN;
    W: mbarrier.try_wait.parity.shared.b64 %p3, [%r3], 0; @!%p3 bra W;
    JOIN: bar.warp.sync -1; ld.shared.b32 %r5, [%r3+64]; st.global.b32 [%rd4], %r5; bra DONE;
    OTHER: elect.sync %r6|%p4, -1; @%p4 st.shared.b32 [%r3+64], 77;
    @%p4 mbarrier.arrive.shared.b64 _, [%r3];
    DONE:)"),
                   threads(64));
  EXPECT_EQ(machine.out<uint32_t>()[31], 77u);
}

// A thread that asks again and again gives others their turn.
TEST(Mbarrier, SpinOnTestWait) {
  Machine machine(512);
  machine.complete(hopper(prologue("32") + R"(
    @!%p2 bra OTHER;
    W: mbarrier.test_wait.parity.shared.b64 %p3, [%r3], 0; @!%p3 bra W;
    st.global.b32 [%rd4], 5; bra DONE;
    OTHER: nanosleep.u32 100; mbarrier.arrive.shared.b64 _, [%r3];
    DONE:)"),
                   threads(64));
  EXPECT_EQ(machine.out<uint32_t>()[0], 5u);
}

// A try_wait that nothing can end returns false once, so that a program may do something else.
TEST(Mbarrier, TimeLimit) {
  Machine machine(512);
  machine.complete(hopper(prologue() + R"(
    mbarrier.try_wait.parity.shared.b64 %p3, [%r3], 0; selp.b32 %r5, 1, 2, %p3;
    st.global.b32 [%rd4], %r5;)"));
  EXPECT_EQ(machine.out<uint32_t>()[0], 2u);
}

// The arrival follows the thread's copies.
TEST(Mbarrier, AfterCopies) {
  Machine machine(512, 512);
  for (uint32_t i = 0; i < 128; ++i)
    machine.in<uint32_t>()[i] = 1000 + i;
  for (const char *form : {".noinc", ""}) {
    std::string count = *form ? "32" : "1";
    machine.complete(hopper(prologue(count) + R"(
      @!%p2 bra CONSUMER;
      mul.wide.u32 %rd5, %r1, 16; add.s64 %rd5, %rd2, %rd5; mad.lo.s32 %r4, %r1, 16, %r3;
      cp.async.cg.shared.global [%r4+64], [%rd5], 16;
      cp.async.mbarrier.arrive)" +
                            std::string(form) + R"(.shared::cta.b64 [%r3];)" +
                            (*form ? "" : "@%p1 mbarrier.arrive.shared.b64 _, [%r3];") +
                            R"( bra DONE;
      CONSUMER: W: mbarrier.try_wait.parity.shared.b64 %p3, [%r3], 0; @!%p3 bra W;
      mad.lo.s32 %r4, %r1, 4, %r3; ld.shared.b32 %r5, [%r4+64]; st.global.b32 [%rd4], %r5;
      DONE:)"),
                     threads(64));
    EXPECT_EQ(machine.out<uint32_t>()[32], 1032u);
    EXPECT_EQ(machine.out<uint32_t>()[63], 1063u);
  }
}

TEST(Mbarrier, Deadlock) {
  Machine machine(512);
  Finding finding = findingOf(machine, hopper(prologue("2") + R"(
    @%p2 bra A; bar.sync 1, 64; bra B;
    A: @!%p1 bra C; mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 64;
    W: mbarrier.try_wait.parity.shared.b64 %p3, [%r3], 0;
    @!%p3 bra W;
    C: bar.warp.sync -1; B:)"),
                              threads(64));
  EXPECT_EQ(finding.kind, Finding::Kind::Deadlock);
  EXPECT_EQ(
      finding.message,
      "no warp can continue; warp 1 waits at line 12 (bar.sync 1, 64) for barrier 1: 32 of 64 "
      "threads arrived; warp 0 lanes 0x00000001 waits at line 14 "
      "(mbarrier.try_wait.parity.shared.b64 %p3, [%r3], 0) for parity 0 of mbarrier 0x400 "
      "(phase 0, 1 of 2 arrivals pending, 64 bytes pending); warp 0 lanes 0xfffffffe waits at "
      "line 16 (bar.warp.sync -1) for the other lanes of its warp");
  finding = findingOf(machine, hopper(prologue() + R"(
    W: mbarrier.test_wait.parity.shared.b64 %p3, [%r3], 0; @!%p3 bra W;)"));
  EXPECT_EQ(finding.kind, Finding::Kind::Deadlock);
  EXPECT_EQ(finding.message,
            "no warp can continue; warp 0 waits at line 12 (mbarrier.test_wait.parity.shared.b64 "
            "%p3, [%r3], 0) for parity 0 of mbarrier 0x400 (phase 0, 1 of 1 arrivals pending, 0 "
            "bytes pending)");
}

TEST(Mbarrier, WrongUse) {
  Machine machine(512);
  auto message = [&](const std::string &body) {
    return findingOf(machine, hopper(prologue("2") + body)).message;
  };
  EXPECT_EQ(message("@%p1 mbarrier.arrive.shared.b64 _, [%r3+16];"),
            "no mbarrier is initialised at shared address 0x410");
  EXPECT_EQ(message("@%p1 mbarrier.init.shared.b64 [%r3], 1;"),
            "mbarrier 0x400 (phase 0, 2 of 2 arrivals pending, 0 bytes pending) is in use since "
            "line 10; mbarrier.inval ends that");
  EXPECT_EQ(message("@%p1 mbarrier.arrive.shared.b64 _, [%r3], 3;"),
            "3 arrivals at mbarrier 0x400 (phase 0, 2 of 2 arrivals pending, 0 bytes pending), "
            "allowed are 1 to the pending ones");
  EXPECT_EQ(message("@%p1 mbarrier.init.shared.b64 [%r3+16], 0;"),
            "arrival count is 0, expected 1 to 1048575");
  EXPECT_EQ(message("@%p1 mbarrier.init.shared.b64 [%r3+20], 1;"),
            "shared address 0x414 is not a multiple of 8");
  EXPECT_EQ(message("@%p1 mbarrier.arrive.noComplete.release.cta.shared.b64 %rd5, [%r3], 2;"),
            "arrive.noComplete completes the phase of mbarrier 0x400");
  EXPECT_EQ(message("@%p1 mbarrier.arrive_drop.shared.b64 %rd5, [%r3], 2;"),
            "arrive_drop takes 2 of the 2 arrivals of a phase; at least 1 must stay");
  EXPECT_EQ(message("mbarrier.test_wait.shared.b64 %p3, [%r3], 5;"),
            "the state is of phase 5, allowed are the current one and the one before it of "
            "mbarrier 0x400 (phase 0, 2 of 2 arrivals pending, 0 bytes pending)");
  EXPECT_EQ(message("@%p1 mbarrier.expect_tx.relaxed.cta.shared.b64 [%r3], 1048576;"),
            "the bytes pending at mbarrier 0x400 (phase 0, 2 of 2 arrivals pending, 1048576 bytes "
            "pending) exceed 1048575");
  EXPECT_EQ(
      message("@%p1 mbarrier.inval.shared.b64 [%r3]; @%p1 mbarrier.arrive.shared.b64 _, [%r3];"),
      "no mbarrier is initialised at shared address 0x400");
}

TEST(Mbarrier, Elect) {
  Machine machine(512);
  machine.complete(hopper("mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3;\n"
                          "setp.gt.u32 %p1, %r1, 4; mov.b32 %r5, 99; @!%p1 bra DONE;\n"
                          "elect.sync %r5|%p2, 0xffffffe0; @%p2 add.s32 %r5, %r5, 100;\n"
                          "DONE: elect.sync _|%p3, -1; @%p3 add.s32 %r5, %r5, 1000;\n"
                          "st.global.b32 [%rd4], %r5;"));
  EXPECT_EQ(machine.out<uint32_t>()[0], 1099u);
  EXPECT_EQ(machine.out<uint32_t>()[4], 99u);
  EXPECT_EQ(machine.out<uint32_t>()[5], 105u);
  EXPECT_EQ(machine.out<uint32_t>()[6], 5u);
}

// Two consumers take what the producer gives back: 3 x 168 = 24 + 240 + 240.
TEST(Registers, MoveBetweenWarpgroups) {
  const std::string body =
      "shr.u32 %r2, %r1, 7; setp.eq.u32 %p1, %r2, 2; @%p1 bra PRODUCER;\n"
      "setmaxnreg.inc.sync.aligned.u32 240; st.global.b32 [%rd1], %r2; bra DONE;\n"
      "PRODUCER: setmaxnreg.dec.sync.aligned.u32 ";
  Machine machine(512);
  machine.complete(hopper(body + "24; DONE:", ".reqntid 384, 1, 1\n.minnctapersm 1\n"),
                   threads(384));
  Finding finding = findingOf(
      machine, hopper(body + "32; DONE:", ".reqntid 384, 1, 1\n.minnctapersm 1\n"), threads(384));
  EXPECT_EQ(finding.kind, Finding::Kind::Deadlock);
  EXPECT_NE(
      finding.message.find("warp 7 waits at line 11 (setmaxnreg.inc.sync.aligned.u32 240) for "
                           "2304 more registers: the block's pool has 1280, each thread was "
                           "launched with 168"),
      std::string::npos)
      << finding.message;
  EXPECT_EQ(
      findingOf(machine,
                hopper("setmaxnreg.dec.sync.aligned.u32 208;", ".maxntid 128\n.maxnreg 200\n"),
                threads(128))
          .message,
      "warp 0 has 200 registers a thread, it cannot shrink to 208");
}

TEST(Cluster, OfOneBlock) {
  Machine machine(1024);
  machine.complete(hopper(R"(
    shr.u32 %r2, %r1, 5; mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3; mov.b32 %r3, sh;
    setp.gt.u32 %p1, %r2, 2; @%p1 exit;
    mad.lo.s32 %r4, %r1, 4, %r3; st.shared::cluster.b32 [%r4], %r1;
    barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;
    mapa.shared::cluster.u32 %r5, %r3, 0; xor.b32 %r6, %r1, 31; mad.lo.s32 %r5, %r6, 4, %r5;
    ld.shared::cluster.b32 %r7, [%r5]; mov.u32 %r8, %cluster_ctarank; mov.u32 %r9, %cluster_nctarank;
    mad.lo.s32 %r7, %r8, 1000, %r7; mad.lo.s32 %r7, %r9, 100, %r7; st.global.b32 [%rd4], %r7;
    barrier.cluster.arrive.relaxed; barrier.cluster.wait;)",
                          ".reqntid 128, 1, 1\n.explicitcluster\n.reqnctapercluster 1, 1, 1\n"),
                   threads(128));
  EXPECT_EQ(machine.out<uint32_t>()[95], 64u + 100);
  EXPECT_EQ(findingOf(machine, hopper("mov.b32 %r2, 1; mov.b32 %r3, sh;\n"
                                      "mapa.shared::cluster.u32 %r5, %r3, %r2;"))
                .message,
            "block rank is 1, the cluster has one block");
  EXPECT_EQ(findingOf(machine, hopper("barrier.cluster.wait;")).message,
            "warp 0 waits at the cluster barrier before it arrives");
  EXPECT_EQ(findingOf(machine, hopper("barrier.cluster.arrive; barrier.cluster.arrive;")).message,
            "warp 0 arrives twice at the cluster barrier without a wait");
  EXPECT_EQ(parseError(hopper("", ".reqnctapercluster 2, 1, 1\n")),
            "7: clusters have 2 blocks, the simulator runs clusters of one");
}

TEST(Hopper, NeedsItsTarget) {
  const char *shared = ".shared .align 16 .b8 sh[64];";
  EXPECT_EQ(parseError(module("mbarrier.try_wait.parity.shared.b64 %p1, [sh], 0;", shared)),
            "8: needs .target sm_90, the file has sm_80: mbarrier.try_wait.parity.shared.b64 %p1, "
            "[sh], 0");
  EXPECT_EQ(
      parseError(module("setmaxnreg.inc.sync.aligned.u32 64;", shared, ".maxntid 128\n", "sm_90")),
      "9: needs .target sm_90a, the file has sm_90: setmaxnreg.inc.sync.aligned.u32 64");
  EXPECT_EQ(parseError(hopper("setmaxnreg.inc.sync.aligned.u32 60;", ".maxntid 128\n")),
            "9: register count is 60, expected a multiple of 8 from 24 to 256: "
            "setmaxnreg.inc.sync.aligned.u32 60");
  EXPECT_EQ(parseError(hopper("setmaxnreg.inc.sync.aligned.u32 64;")),
            "8: needs the kernel's .reqntid, .maxntid or .maxnreg: "
            "setmaxnreg.inc.sync.aligned.u32 64");
}

} // namespace
} // namespace attncc::simulator::test
