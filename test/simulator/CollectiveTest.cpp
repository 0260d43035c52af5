//===- CollectiveTest.cpp - shfl, vote, match, redux ----------------------===//
//
// Tests runtime/simulator/Collectives.cpp and the waiting of Machine.cpp.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

#include <functional>

namespace attncc::simulator::test {
namespace {

const std::string where = "mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3;\n";

void check(const std::string &body, std::function<uint32_t(uint32_t)> expected) {
  Machine machine(128);
  machine.complete(module(where + body + "\nst.global.b32 [%rd4], %r2;"));
  for (uint32_t lane = 0; lane < 32; ++lane)
    EXPECT_EQ(machine.out<uint32_t>()[lane], expected(lane)) << body << " lane " << lane;
}

TEST(Collective, Shuffles) {
  check("shfl.sync.bfly.b32 %r2, %r1, 5, 31, -1;", [](uint32_t i) { return i ^ 5; });
  check("shfl.sync.idx.b32 %r2, %r1, 7, 31, -1;", [](uint32_t) { return 7; });
  check("shfl.sync.idx.b32 %r2, %r1, 3, 0x181f, -1;", [](uint32_t i) { return (i & 24) | 3; });
  check("shfl.sync.up.b32 %r2, %r1, 2, 0, -1;", [](uint32_t i) { return i < 2 ? i : i - 2; });
  check("shfl.sync.down.b32 %r2, %r1, 2, 31, -1;", [](uint32_t i) { return i > 29 ? i : i + 2; });
  // Segments of eight: nothing crosses.
  check("shfl.sync.down.b32 %r2, %r1, 3, 0x181f, -1;",
        [](uint32_t i) { return (i & 7) > 4 ? i : i + 3; });
  check("shfl.sync.up.b32 %r3|%p1, %r1, 2, 0, -1; selp.b32 %r2, 1, 0, %p1;",
        [](uint32_t i) { return i >= 2; });
  check("shfl.sync.bfly.b32 _|%p1, %r1, 16, 0x0f, -1; selp.b32 %r2, 1, 0, %p1;",
        [](uint32_t i) { return i >= 16; });
}

// A shuffle from a lane outside the step is undefined, not stale.
TEST(Collective, ShuffleFromAbsentLane) {
  check(
      "mov.b32 %r2, 0; setp.lt.u32 %p1, %r1, 16; @%p1 shfl.sync.bfly.b32 %r2, %r1, 16, 31, 0xffff;",
      [](uint32_t i) { return i < 16 ? 0x7fff7fff : 0; });
}

TEST(Collective, Votes) {
  check("setp.gt.u32 %p1, %r1, 20; vote.sync.ballot.b32 %r2, %p1, -1;",
        [](uint32_t) { return 0xffe00000; });
  check("setp.gt.u32 %p1, %r1, 20; vote.sync.any.pred %p2, %p1, -1; selp.b32 %r2, 1, 0, %p2;",
        [](uint32_t) { return 1; });
  check("setp.gt.u32 %p1, %r1, 20; vote.sync.all.pred %p2, !%p1, -1; selp.b32 %r2, 1, 0, %p2;",
        [](uint32_t) { return 0; });
  check("setp.gt.u32 %p1, %r1, 40; vote.sync.uni.pred %p2, %p1, -1; selp.b32 %r2, 1, 0, %p2;",
        [](uint32_t) { return 1; });
}

TEST(Collective, MatchAndRedux) {
  check("and.b32 %r3, %r1, 3; match.any.sync.b32 %r2, %r3, -1;",
        [](uint32_t i) { return 0x11111111u << (i & 3); });
  check("shr.u32 %r3, %r1, 5; match.all.sync.b32 %r2|%p1, %r3, -1;",
        [](uint32_t) { return 0xffffffff; });
  check("match.all.sync.b32 %r2|%p1, %r1, -1;", [](uint32_t) { return 0; });
  check("redux.sync.add.s32 %r2, %r1, -1;", [](uint32_t) { return 496; });
  check("sub.s32 %r3, %r1, 8; redux.sync.min.s32 %r2, %r3, -1;",
        [](uint32_t) { return uint32_t(-8); });
  check("sub.s32 %r3, %r1, 8; redux.sync.max.u32 %r2, %r3, -1;",
        [](uint32_t) { return uint32_t(-1); });
  check("redux.sync.xor.b32 %r2, %r1, -1;", [](uint32_t) { return 0; });
}

// Groups with masks of their own work side by side, also when the lanes arrive apart.
TEST(Collective, GroupsOfLanes) {
  check("and.b32 %r3, %r1, 16; shl.b32 %r4, 0xffff, %r3; redux.sync.add.s32 %r2, %r1, %r4;",
        [](uint32_t i) { return i < 16 ? 120 : 376; });
  check("setp.lt.u32 %p1, %r1, 16; @%p1 bra A;\n"
        "redux.sync.add.s32 %r2, %r1, 0xffff0000; bra B;\n"
        "A: redux.sync.add.s32 %r2, %r1, 0x0000ffff;\nB:",
        [](uint32_t i) { return i < 16 ? 120 : 376; });
  // Lanes reach one instruction on different ways and wait for each other there.
  check("setp.lt.u32 %p1, %r1, 16; @%p1 bra A; mov.b32 %r3, 1; bra B;\n"
        "A: mov.b32 %r3, 2;\nB: redux.sync.add.s32 %r2, %r3, -1;",
        [](uint32_t) { return 48; });
}

// A lane that has exited is not waited for.
TEST(Collective, ExitedLanes) {
  Machine machine(128);
  std::memset(machine.out<char>(), 0, 128);
  machine.complete(module(where +
                          "setp.ge.u32 %p1, %r1, 4; @%p1 bra OUT;\n"
                          "redux.sync.add.s32 %r2, %r1, -1; st.global.b32 [%rd4], %r2; OUT:"));
  EXPECT_EQ(machine.out<uint32_t>()[3], 6u);
}

TEST(Collective, Findings) {
  Machine machine(128);
  Finding finding = findingOf(machine, module("redux.sync.add.s32 %r2, %r1, 0xffff;"));
  EXPECT_EQ(finding.message, "member mask 0x0000ffff does not name lane 16");
  EXPECT_EQ(finding.thread, (Dim3{16, 0, 0}));
  finding = findingOf(machine, module("setp.lt.u32 %p1, %r1, 16; @%p1 bra A;\n"
                                      "redux.sync.add.s32 %r2, %r1, -1; bra B;\n"
                                      "A: bar.warp.sync -1;\nB:"));
  EXPECT_EQ(finding.kind, Finding::Kind::Divergence);
  EXPECT_EQ(finding.message,
            "the lanes of warp 0 wait at different places; lanes 0xffff0000 at line 9: "
            "redux.sync.add.s32 %r2, %r1, -1; lanes 0x0000ffff at line 10: bar.warp.sync -1");
}

} // namespace
} // namespace attncc::simulator::test
