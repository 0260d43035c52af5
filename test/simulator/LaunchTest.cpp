//===- LaunchTest.cpp - launches as a whole -------------------------------===//
//
// Tests runtime/simulator/{Run,Report,Loader}.cpp: launch checks, dynamic shared memory, results
// and counters that do not depend on host threads, which finding is kept.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

namespace attncc::simulator::test {
namespace {

std::string launchError(const std::string &text, Launch launch, size_t parameterBytes = 16,
                        const std::string &entry = "k") {
  auto parsed = parseModule(text, "m.ptx");
  if (!parsed)
    return parsed.error().diagnostic.text();
  std::vector<std::byte> parameters(parameterBytes);
  launch.parameters = parameters;
  auto report = run(**parsed, entry, launch, MemoryMap());
  return report ? "no error" : report.error().diagnostic.message;
}

TEST(Launch, Checks) {
  Launch launch;
  launch.block = {64, 1, 1};
  std::string text = module("", ".extern .shared .align 16 .b8 dynamic[];", ".reqntid 64, 1, 1");
  EXPECT_EQ(launchError(text, launch), "no error");
  EXPECT_EQ(launchError(text, launch, 16, "other"), "kernel 'other' is not in m.ptx");
  EXPECT_EQ(launchError(text, launch, 8), "k: parameters have 8 bytes, expected 16");
  launch.block = {32, 2, 1};
  EXPECT_EQ(launchError(text, launch), "k: block is 32x2x1, the kernel requires 64x1x1");
  EXPECT_EQ(launchError(module("", "", ".maxntid 32"), launch),
            "k: block has 64 threads, the kernel allows 32");
  launch.block = {1025, 1, 1};
  EXPECT_EQ(launchError(text, launch), "k: block is 1025x1x1, allowed are 1 to 1024 threads");
  launch.block = {64, 1, 1};
  launch.grid = {1, 0, 1};
  EXPECT_EQ(launchError(text, launch),
            "k: grid is 1x0x1, allowed is 1x1x1 to 2147483647x65535x65535");
  launch.grid = {1, 1, 1};
  launch.dynamicShared = 64;
  EXPECT_EQ(
      launchError(text, launch),
      "k: dynamic shared memory is 64 bytes, the kernel declares none"); // not used: not declared
  std::string uses = module("mov.b32 %r2, dynamic;", ".extern .shared .align 16 .b8 dynamic[];");
  EXPECT_EQ(launchError(uses, launch), "no error");
  launch.dynamicShared = 227 * 1024 + 1;
  EXPECT_EQ(launchError(uses, launch),
            "k: block needs 232449 bytes of shared memory, allowed are 232448");
}

// Dynamic shared memory begins after the static variables and has the size of the launch.
TEST(Launch, DynamicShared) {
  Machine machine(16);
  const std::string declarations =
      ".extern .shared .align 128 .b8 dynamic[];\n.shared .align 4 .b8 fixed[20];";
  const std::string body =
      "mov.b32 %r2, dynamic; mov.b32 %r3, fixed; mov.u32 %r4, %dynamic_smem_size;\n"
      "st.global.v2.b32 [%rd1], {%r2, %r3}; st.global.b32 [%rd1+8], %r4;\n";
  Conditions setup{{1, 1, 1}, {1, 1, 1}, 256, {}};
  machine.complete(module(body + "st.shared.b32 [dynamic+252], 1;", declarations), setup);
  EXPECT_EQ(machine.out<uint32_t>()[0], 0x480u);
  EXPECT_EQ(machine.out<uint32_t>()[1], 0x400u);
  EXPECT_EQ(machine.out<uint32_t>()[2], 256u);
  EXPECT_EQ(
      findingOf(machine, module(body + "st.shared.b32 [dynamic+256], 1;", declarations), setup)
          .message,
      "shared address 0x580 with 4 bytes is outside the block's 384 bytes at 0x400");
}

// Counters and results are the same for any number of host threads.
TEST(Launch, ThreadsDoNotMatter) {
  const std::string text = module(R"(
    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mad.lo.s32 %r4, %r2, %r3, %r1;
    and.b32 %r5, %r2, 15; mov.b32 %r6, 0;
    LOOP: setp.ge.u32 %p1, %r6, %r5; @%p1 bra DONE; add.s32 %r6, %r6, 1;
    mul.wide.u32 %rd3, %r6, 64; add.s64 %rd4, %rd2, %rd3; ld.global.b32 %r7, [%rd4];
    red.global.add.u32 [%rd1], %r7; bra LOOP;
    DONE: mul.wide.u32 %rd3, %r4, 4; add.s64 %rd4, %rd1, %rd3; st.global.b32 [%rd4+16], %r4;)");
  std::string expected;
  std::vector<uint32_t> values;
  for (unsigned threads : {1u, 2u, 5u}) {
    Machine machine(16 + 64 * 200 * 4, 16 * 64);
    std::memset(machine.out<char>(), 0, 16);
    for (int i = 0; i < 256; ++i)
      machine.in<uint32_t>()[i] = i;
    Conditions setup{{200, 1, 1}, {64, 1, 1}, 0, {}};
    setup.options.threads = threads;
    std::string got = machine.complete(text, setup).text();
    std::vector<uint32_t> bits(machine.out<uint32_t>(), machine.out<uint32_t>() + 4 + 64 * 200);
    if (threads == 1) {
      expected = got;
      values = bits;
    }
    EXPECT_EQ(got, expected);
    EXPECT_EQ(bits, values);
  }
}

// Of several failing blocks the lowest is reported, whichever thread meets it first.
TEST(Launch, LowestFailingBlock) {
  for (unsigned threads : {1u, 4u}) {
    Machine machine(16);
    Conditions setup{{10, 10, 1}, {32, 1, 1}, 0, {}};
    setup.options.threads = threads;
    Finding finding = findingOf(machine,
                                module("mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ctaid.y;\n"
                                       "mad.lo.s32 %r4, %r3, 10, %r2; setp.ge.u32 %p1, %r4, 47;\n"
                                       "@%p1 trap;"),
                                setup);
    EXPECT_EQ(finding.block, (Dim3{7, 4, 0}));
  }
}

// Counting off: the same results, no figures of traffic.
TEST(Launch, WithoutMeter) {
  Machine machine(128);
  Conditions setup;
  setup.options.meter = false;
  Report report = machine.complete(
      module("mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3; st.global.b32 [%rd4], %r1;"),
      setup);
  EXPECT_EQ(machine.out<uint32_t>()[31], 31u);
  EXPECT_TRUE(report.buffers.empty());
}

// Instructions are counted per warp and per lane.
TEST(Launch, InstructionCounts) {
  Machine machine(16);
  Report report = machine.complete(module("setp.lt.u32 %p1, %r1, 8; @%p1 add.s32 %r2, %r1, 1;"),
                                   {{3, 1, 1}, {40, 1, 1}, 0, {}});
  // Six instructions: two loads of parameters, mov, setp, add, ret; two warps in three blocks.
  EXPECT_EQ(report.instructions, 6u * 2 * 3);
  EXPECT_EQ(report.laneInstructions, (5u * 40 + 8) * 3);
}

} // namespace
} // namespace attncc::simulator::test
