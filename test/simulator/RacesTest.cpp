//===- RacesTest.cpp - accesses that no barrier orders --------------------===//
//
// Tests runtime/simulator/Races.cpp: pairs of accesses by two warps, with and without each of the
// ways to order them. SeededBugsTest.cpp has the asynchronous ones.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

namespace attncc::simulator::test {
namespace {

const Conditions twoWarps{{1, 1, 1}, {64, 1, 1}, 0, {}};

/// %p1 holds in warp 0, %p2 in its first thread; %r4 is a word of each thread, %r5 one of its lane.
std::string kernel(const std::string &body) {
  return hopper("mov.b32 %r3, sh; setp.lt.u32 %p1, %r1, 32; setp.eq.u32 %p2, %r1, 0;\n"
                "mad.lo.s32 %r4, %r1, 4, %r3; and.b32 %r5, %r1, 31; mad.lo.s32 %r5, %r5, 4, %r3;\n"
                "@%p2 mbarrier.init.shared.b64 [%r3+1024], 32; bar.sync 0;\n" +
                body);
}
/// The finding's message, or nothing.
std::string found(const std::string &body, Order order = Order::Ascending) {
  Machine machine(512);
  Conditions conditions = twoWarps;
  conditions.options.order = order;
  Report report = machine.run(kernel(body), conditions);
  if (report.completed)
    return {};
  EXPECT_EQ(report.findings[0].kind, Finding::Kind::Race) << report.findings[0].text();
  return report.findings[0].message;
}

const std::string write = "@%p1 st.shared.b32 [%r5], %r1;\n",
                  read = "@!%p1 ld.shared.b32 %r6, [%r5];\n";

// In both orders: behind the barrier of the kernel the last warp has its turn first.
TEST(Races, TwoAccesses) {
  EXPECT_EQ(
      found(write + read),
      "write of shared address 0x400, which warp 1 has read, without a barrier between the two");
  EXPECT_EQ(found(write + read, Order::Descending),
            "read of shared address 0x400, which warp 0 has written at line 11, without a barrier "
            "between the two");
  EXPECT_EQ(found("st.shared.b32 [%r5], 0;"),
            "write of shared address 0x400, which warp 1 has written at line 11, without a barrier "
            "between the two");
  EXPECT_EQ(found("ld.shared.b32 %r6, [%r5];"), "");
  EXPECT_EQ(found("st.shared.b32 [%r4], 0; ld.shared.b32 %r6, [%r4];"), "");
}

TEST(Races, Barriers) {
  const std::string again = "@%p1 st.shared.b32 [%r5], 7;\n";
  for (Order order : {Order::Ascending, Order::Descending}) {
    EXPECT_EQ(found(write + "bar.sync 0;\n" + read + "bar.sync 0;\n" + again, order), "");
    EXPECT_NE(found(write + "bar.sync 0;\n" + read + again, order), "");
    // A barrier that one warp only arrives at orders what it did before it, not the reverse.
    EXPECT_EQ(
        found(write + "@%p1 bra A; bar.sync 1, 64; bra B; A: bar.arrive 1, 64; B:\n" + read, order),
        "");
    EXPECT_NE(found("@!%p1 bra A; bar.sync 1, 64;\n" + write + "bra B; A: bar.arrive 1, 64;\n" +
                        read + "B:",
                    order),
              "");
    EXPECT_EQ(found(write + "barrier.cluster.arrive; barrier.cluster.wait;\n" + read, order), "");
  }
}

// From the arrivals of a phase to those who wait for its end; not for one that ended before.
TEST(Races, Mbarriers) {
  const std::string arrive = "@%p1 mbarrier.arrive.shared.b64 _, [%r3+1024];\n";
  auto wait = [](const char *parity) {
    return std::string("@%p1 bra B; W: mbarrier.try_wait.parity.shared.b64 %p3, [%r3+1024], ") +
           parity + "; @!%p3 bra W; B:\n";
  };
  for (Order order : {Order::Ascending, Order::Descending}) {
    EXPECT_EQ(found(write + arrive + wait("0") + read, order), "");
    EXPECT_NE(found(arrive + write + wait("0") + read, order), "");
  }
  EXPECT_NE(found(write + arrive + wait("1") + read), "");
}

TEST(Races, OrderedAccesses) {
  const std::string flag = "@%p2 st.release.cta.shared.b32 [%r3+512], 1;\n",
                    spin = "@%p1 bra B; W: ld.acquire.cta.shared.b32 %r7, [%r3+512];\n"
                           "nanosleep.u32 20; setp.ne.s32 %p3, %r7, 1; @%p3 bra W; B:\n";
  for (Order order : {Order::Ascending, Order::Descending}) {
    EXPECT_EQ(found(write + flag + spin + read, order), "");
    EXPECT_EQ(found("atom.shared.add.u32 %r6, [%r3], 1;", order), "");
    EXPECT_NE(found("st.volatile.shared.b32 [%r5], 1;", order), ""); // orders nothing
  }
}

// Halves and bytes of one word belong to whoever writes them.
TEST(Races, PartsOfWords) {
  const std::string half = "shr.u32 %r6, %r1, 5; shl.b32 %r6, %r6, 1; add.s32 %r6, %r6, %r5;\n";
  EXPECT_EQ(found(half + "st.shared.b16 [%r6], %r1; ld.shared.b16 %r7, [%r6];"), "");
  EXPECT_EQ(
      found(half + "st.shared.b16 [%r6], %r1; ld.shared.b32 %r7, [%r5];"),
      "write of shared address 0x400, which warp 1 has read, without a barrier between the two");
}

// A block begins without the past of the one before it.
TEST(Races, Blocks) {
  Machine machine(512);
  Conditions conditions = twoWarps;
  conditions.grid = {8, 1, 1};
  conditions.options.threads = 1;
  machine.complete(
      kernel("rem.u32 %r6, %r1, 64; mov.u32 %r7, %ctaid.x; and.b32 %r7, %r7, 1;\n"
             "shl.b32 %r7, %r7, 5; xor.b32 %r6, %r6, %r7; mad.lo.s32 %r6, %r6, 4, %r3;\n"
             "st.shared.b32 [%r6], 1; ld.shared.b32 %r8, [%r6];"),
      conditions);
}

} // namespace
} // namespace attncc::simulator::test
