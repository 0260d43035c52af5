//===- ControlTest.cpp - divergence, reconvergence, limits ----------------===//
//
// Tests runtime/simulator/Machine.cpp.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

namespace attncc::simulator::test {
namespace {

const std::string where = "mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3;\n";

// The two sides of a branch, and what follows both, with all lanes together again.
TEST(Control, Reconverges) {
  Machine machine(256);
  machine.complete(module(where + R"(
    and.b32 %r2, %r1, 1; setp.eq.u32 %p1, %r2, 0; @%p1 bra EVEN;
    mov.b32 %r3, 100; bra JOIN;
    EVEN: mov.b32 %r3, 200;
    JOIN: activemask.b32 %r4; add.s32 %r3, %r3, %r1; st.global.b32 [%rd4], %r3;
    st.global.b32 [%rd4+128], %r4;)"));
  for (uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(machine.out<uint32_t>()[i], (i % 2 ? 100 : 200) + i);
    EXPECT_EQ(machine.out<uint32_t>()[32 + i], 0xffffffffu);
  }
}

// A loop that each lane leaves at its own time, with a break in the middle.
TEST(Control, LoopsOfDifferentLength) {
  Machine machine(256);
  machine.complete(module(where + R"(
    mov.b32 %r2, 0; mov.b32 %r3, 0;
    LOOP: setp.ge.u32 %p1, %r2, %r1; @%p1 bra DONE;
    setp.gt.u32 %p2, %r3, 100; @%p2 bra DONE;
    add.s32 %r3, %r3, %r2; add.s32 %r2, %r2, 1; bra.uni LOOP;
    DONE: activemask.b32 %r4; st.global.b32 [%rd4], %r3; st.global.b32 [%rd4+128], %r4;)"));
  for (uint32_t i = 0; i < 32; ++i) {
    uint32_t sum = 0;
    for (uint32_t k = 0; k < i && sum <= 100; ++k)
      sum += k;
    EXPECT_EQ(machine.out<uint32_t>()[i], sum);
    EXPECT_EQ(machine.out<uint32_t>()[32 + i], 0xffffffffu);
  }
}

TEST(Control, IndexedBranch) {
  Machine machine(128);
  machine.complete(module(where + R"(
    and.b32 %r2, %r1, 3;
    T: .branchtargets A, B, C, A;
    brx.idx %r2, T;
    A: mov.b32 %r3, 10; bra E;
    B: mov.b32 %r3, 11; bra E;
    C: mov.b32 %r3, 12;
    E: st.global.b32 [%rd4], %r3;)"));
  const uint32_t expected[] = {10, 11, 12, 10};
  for (uint32_t i = 0; i < 32; ++i)
    EXPECT_EQ(machine.out<uint32_t>()[i], expected[i % 4]);
  EXPECT_EQ(findingOf(machine, module("T: .branchtargets A, A; brx.idx %r1, T; A:")).message,
            "branch index 2 of 2 targets");
}

// A lane spins until another lane of its warp, further down, sets a flag.
TEST(Control, LanesProgressIndependently) {
  Machine machine(128);
  machine.complete(module(where + R"(
    setp.eq.u32 %p1, %r1, 5; st.shared.b32 [sh], 0; bar.warp.sync -1;
    @!%p1 bra SET;
    SPIN: ld.volatile.shared.b32 %r2, [sh]; setp.eq.u32 %p2, %r2, 0; @%p2 bra SPIN; bra OUT;
    SET: st.volatile.shared.b32 [sh], 1;
    OUT: st.global.b32 [%rd4], 1;)",
                          ".shared .align 4 .b8 sh[4];"));
  EXPECT_EQ(machine.out<uint32_t>()[5], 1u);
}

// One warp spins on what another writes: warps take turns.
TEST(Control, WarpsProgressIndependently) {
  Machine machine(16);
  machine.out<uint32_t>()[0] = 0;
  machine.complete(module(R"(
    setp.lt.u32 %p1, %r1, 32; @!%p1 bra SET;
    SPIN: ld.acquire.gpu.global.b32 %r2, [%rd1]; setp.eq.u32 %p2, %r2, 0; @%p2 bra SPIN; ret;
    SET: st.release.gpu.global.b32 [%rd1], 1;)"),
                   {{1, 1, 1}, {64, 1, 1}, 0, {}});
}

TEST(Control, DoesNotFinish) {
  Machine machine(16);
  Conditions setup;
  setup.options.maxInstructionsPerBlock = 100000;
  Finding finding = findingOf(machine, module("L: bra L;"), setup);
  EXPECT_EQ(finding.kind, Finding::Kind::DidNotFinish);
  EXPECT_EQ(finding.message, "did not finish within 100000 warp instructions of a block");
}

TEST(Control, Trap) {
  Machine machine(16);
  Finding finding = findingOf(machine, module("setp.eq.u32 %p1, %r1, 7; @%p1 trap;"));
  EXPECT_EQ(finding.kind, Finding::Kind::Trap);
  EXPECT_EQ(finding.thread, (Dim3{7, 0, 0}));
}

// A kernel that waits for the launch in front reads nothing before, by any lane.
TEST(Control, GridDependency) {
  Machine machine(256);
  machine.complete(module(where + "griddepcontrol.launch_dependents; griddepcontrol.wait;\n"
                                  "st.global.b32 [%rd4], %r1;"));
  EXPECT_EQ(machine.out<uint32_t>()[31], 31u);
  machine.complete(module(where + "griddepcontrol.launch_dependents; st.global.b32 [%rd4], 5;"));
  EXPECT_EQ(machine.out<uint32_t>()[31], 5u);
  Finding early = findingOf(machine, module(where + "ld.global.b32 %r2, [%rd4];\n"
                                                    "griddepcontrol.wait;"));
  EXPECT_EQ(early.kind, Finding::Kind::Dependency);
  EXPECT_EQ(early.message, "read of 'out' before griddepcontrol.wait: the launch in front may "
                           "still write it");
  Finding some = findingOf(machine, module(where + "setp.ge.u32 %p1, %r1, 3;\n"
                                                   "@%p1 bra AFTER; griddepcontrol.wait; AFTER:\n"
                                                   "st.global.b32 [%rd4], %r1;"));
  EXPECT_EQ(some.kind, Finding::Kind::Dependency);
  EXPECT_EQ(some.thread, (Dim3{3, 0, 0}));
}

// Lanes that exit early do not take part in what follows; the end of the text is an exit.
TEST(Control, Exit) {
  Machine machine(256);
  std::memset(machine.out<char>(), 0, 256);
  machine.complete(module(where + "setp.ge.u32 %p1, %r1, 8; @%p1 exit; activemask.b32 %r2;\n"
                                  "st.global.b32 [%rd4], %r2; bar.sync 0; @!%p1 bra END; END:"));
  for (uint32_t i = 0; i < 32; ++i)
    EXPECT_EQ(machine.out<uint32_t>()[i], i < 8 ? 0xffu : 0u);
}

// An instruction of the tensor core needs 32 live lanes.
TEST(Control, AlignedAfterExit) {
  Machine machine(256);
  Finding finding = findingOf(machine, module("setp.eq.u32 %p1, %r1, 31; @%p1 exit;\n"
                                              "movmatrix.sync.aligned.m8n8.trans.b16 %r2, %r3;"));
  EXPECT_EQ(finding.message, "needs 32 live lanes, has 0x7fffffff");
}

// Special registers of a three-dimensional launch.
TEST(Control, SpecialRegisters) {
  Machine machine(2 * 3 * 2 * 40 * 4);
  machine.complete(module(R"(
    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ctaid.y; mov.u32 %r4, %ctaid.z;
    mov.u32 %r5, %nctaid.x; mov.u32 %r6, %nctaid.y; mov.u32 %r7, %ntid.x; mov.u32 %r8, %ntid.y;
    mov.u32 %r9, %tid.y; mad.lo.s32 %r10, %r9, %r7, %r1; mul.lo.s32 %r11, %r7, %r8;
    mad.lo.s32 %r12, %r4, %r6, %r3; mad.lo.s32 %r12, %r12, %r5, %r2; mad.lo.s32 %r12, %r12, %r11, %r10;
    mul.wide.u32 %rd3, %r12, 4; add.s64 %rd4, %rd1, %rd3;
    mov.u32 %r13, %laneid; mov.u32 %r14, %warpid; mov.u32 %r15, %lanemask_lt; popc.b32 %r15, %r15;
    sub.s32 %r15, %r15, %r13; mad.lo.s32 %r13, %r14, 32, %r13; add.s32 %r13, %r13, %r15;
    mad.lo.s32 %r13, %r12, 1000, %r13; st.global.b32 [%rd4], %r13;)"),
                   {{2, 3, 2}, {10, 4, 1}, 0, {}});
  for (uint32_t i = 0; i < 480; ++i)
    ASSERT_EQ(machine.out<uint32_t>()[i], i * 1000 + i % 40);
}

} // namespace
} // namespace attncc::simulator::test
