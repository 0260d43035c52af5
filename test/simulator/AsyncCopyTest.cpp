//===- AsyncCopyTest.cpp - cp.async ---------------------------------------===//
//
// Tests runtime/simulator/{AsyncCopies,AsyncCopyOps}.cpp: a copy becomes visible at its wait and
// not before, source sizes, predicates, groups per thread.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

namespace attncc::simulator::test {
namespace {

const char *shared = ".shared .align 16 .b8 sh[1024];";

/// Thread t copies 16 bytes to sh + 16 t; `after` follows, then it stores its first word.
std::string copyThenRead(const std::string &after, const std::string &size = "") {
  return module("mul.wide.u32 %rd3, %r1, 16; add.s64 %rd4, %rd2, %rd3;\n"
                "shl.b32 %r2, %r1, 4; mov.b32 %r3, sh; add.s32 %r4, %r3, %r2;\n"
                "cp.async.cg.shared.global [%r4], [%rd4], 16" +
                    size + ";\n" + after +
                    "\nld.shared.v4.b32 {%r5, %r6, %r7, %r8}, [%r4]; add.s64 %rd5, %rd1, %rd3;\n"
                    "st.global.v4.b32 [%rd5], {%r5, %r6, %r7, %r8};",
                shared);
}

void fill(Machine &machine, unsigned words) {
  for (unsigned i = 0; i < words; ++i)
    machine.in<uint32_t>()[i] = 1000 + i;
}

TEST(AsyncCopy, VisibleAfterItsWait) {
  for (const char *after :
       {"cp.async.commit_group; cp.async.wait_group 0;", "cp.async.wait_all;"}) {
    Machine machine(512, 512);
    fill(machine, 128);
    machine.complete(copyThenRead(after));
    for (unsigned i = 0; i < 128; ++i)
      ASSERT_EQ(machine.out<uint32_t>()[i], 1000 + i) << after;
  }
}

TEST(AsyncCopy, NanUntilItsWait) {
  for (const char *after : {"", "cp.async.commit_group;", "cp.async.wait_group 0;",
                            "cp.async.commit_group; cp.async.wait_group 1;"}) {
    Machine machine(512, 512);
    fill(machine, 128);
    machine.complete(copyThenRead(after));
    for (unsigned i = 0; i < 128; ++i)
      ASSERT_EQ(machine.out<uint32_t>()[i], 0xffffffffu) << after;
  }
}

// Bytes past the source size are zero, and a size of 0 does not touch the source.
TEST(AsyncCopy, SourceSize) {
  Machine machine(512, 8);
  fill(machine, 2);
  std::string text = module("mov.b32 %r4, sh; setp.eq.u32 %p1, %r1, 0; selp.b32 %r3, 8, 0, %p1;\n"
                            "shl.b32 %r2, %r1, 4; add.s32 %r4, %r4, %r2;\n"
                            "mul.wide.u32 %rd3, %r1, 4096; add.s64 %rd4, %rd2, %rd3;\n"
                            "cp.async.ca.shared.global [%r4], [%rd4], 16, %r3; cp.async.wait_all;\n"
                            "ld.shared.v4.b32 {%r5, %r6, %r7, %r8}, [%r4];\n"
                            "mul.wide.u32 %rd3, %r1, 16; add.s64 %rd5, %rd1, %rd3;\n"
                            "st.global.v4.b32 [%rd5], {%r5, %r6, %r7, %r8};",
                            shared);
  Report report = machine.complete(text);
  const uint32_t *out = machine.out<uint32_t>();
  EXPECT_EQ(out[0], 1000u);
  EXPECT_EQ(out[1], 1001u);
  for (unsigned i = 2; i < 128; ++i)
    ASSERT_EQ(out[i], 0u);
  EXPECT_EQ(report.buffer("in")->read.sectors, 1u);
  EXPECT_EQ(report.asyncCopies, 1u);
}

TEST(AsyncCopy, PredicateIgnoresTheSource) {
  Machine machine(512, 512);
  fill(machine, 128);
  std::string text = copyThenRead("cp.async.wait_all;", ", %p1");
  text.insert(text.find("cp.async.cg"), "setp.lt.u32 %p1, %r1, 4;\n");
  machine.complete(text);
  for (unsigned i = 0; i < 128; ++i)
    ASSERT_EQ(machine.out<uint32_t>()[i], i < 16 ? 0 : 1000 + i);
}

TEST(AsyncCopy, Findings) {
  Machine machine(512, 512);
  EXPECT_EQ(findingOf(machine, copyThenRead("", ", 17")).message,
            "source size is 17, expected at most 16");
  std::string text = copyThenRead("");
  text.replace(text.find("[%rd4], 16"), 10, "[%rd4+8], 16");
  EXPECT_EQ(findingOf(machine, text).kind, Finding::Kind::Misaligned);
  Machine small(512, 256);
  EXPECT_EQ(findingOf(small, copyThenRead("")).kind, Finding::Kind::OutOfBounds);
}

// Two groups in flight: each wait completes the oldest, and sources are read at the wait.
TEST(AsyncCopy, GroupsInOrder) {
  Machine machine(64, 64);
  fill(machine, 16);
  machine.complete(module(R"(
    cp.async.ca.shared.global [sh], [%rd2], 4; cp.async.commit_group;
    cp.async.ca.shared.global [sh+4], [%rd2+4], 4; cp.async.commit_group;
    cp.async.ca.shared.global [sh+8], [%rd2+8], 8; cp.async.commit_group;
    cp.async.wait_group 2; ld.shared.v2.b32 {%r2, %r3}, [sh];
    st.global.v2.b32 [%rd1], {%r2, %r3};
    cp.async.wait_group 1; ld.shared.v4.b32 {%r2, %r3, %r4, %r5}, [sh];
    st.global.v4.b32 [%rd1+16], {%r2, %r3, %r4, %r5};
    cp.async.wait_group 0; ld.shared.v4.b32 {%r2, %r3, %r4, %r5}, [sh];
    st.global.v4.b32 [%rd1+32], {%r2, %r3, %r4, %r5};)",
                          shared),
                   {{1, 1, 1}, {1, 1, 1}, 0, {}});
  const uint32_t pending = 0xffffffff;
  const uint32_t expected[] = {1000,    pending, 0,    0,    1000, 1001,
                               pending, pending, 1000, 1001, 1002, 1003};
  for (int i : {0, 1, 4, 5, 6, 7, 8, 9, 10, 11})
    EXPECT_EQ(machine.out<uint32_t>()[i], expected[i]) << i;
}

// Lanes commit a different number of groups; each waits for its own.
TEST(AsyncCopy, GroupsArePerThread) {
  Machine machine(512, 512);
  fill(machine, 128);
  machine.complete(copyThenRead("setp.lt.u32 %p1, %r1, 16; @%p1 cp.async.commit_group;\n"
                                "cp.async.commit_group; @%p1 cp.async.commit_group;\n"
                                "cp.async.wait_group 1;"));
  // Lanes below 16 committed the copy, then two empty groups; the others only the copy.
  for (unsigned i = 0; i < 128; ++i)
    ASSERT_EQ(machine.out<uint32_t>()[i], i < 64 ? 1000 + i : 0xffffffffu);
}

} // namespace
} // namespace attncc::simulator::test
