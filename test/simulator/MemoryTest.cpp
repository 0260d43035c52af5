//===- MemoryTest.cpp - accesses, findings, atomics, address spaces -------===//
//
// Tests runtime/simulator/{MemoryMap,Addressing,Memory,Atomics}.cpp.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

#include <sys/mman.h>

namespace attncc::simulator::test {
namespace {

std::string hex(const void *pointer, int64_t offset) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx",
                static_cast<unsigned long long>(reinterpret_cast<uint64_t>(pointer) + offset));
  return text;
}

TEST(MemoryMap, RangesDoNotOverlap) {
  char bytes[64];
  MemoryMap map;
  EXPECT_TRUE(bool(map.add(bytes + 16, 16, "a")));
  EXPECT_TRUE(bool(map.add(bytes + 32, 16, "b")));
  EXPECT_EQ(map.add(bytes + 40, 16, "c").error().diagnostic.message, "range 'c' overlaps 'b'");
  EXPECT_EQ(map.add(bytes + 8, 9, "c").error().diagnostic.message, "range 'c' overlaps 'a'");
  EXPECT_EQ(map.add(bytes, 0, "c").error().diagnostic.message,
            "range 'c' of 0 bytes is empty or null");
  EXPECT_EQ(map.find(uint64_t(bytes + 31)), 0);
  EXPECT_EQ(map.find(uint64_t(bytes + 32)), 1);
  EXPECT_EQ(map.find(uint64_t(bytes + 48)), -1);
  EXPECT_EQ(map.nearest(uint64_t(bytes + 60)), 1);
  EXPECT_EQ(map.nearest(uint64_t(bytes)), 0);
  EXPECT_FALSE(map.remove(bytes + 17));
  EXPECT_TRUE(map.relabel(bytes + 17, "z"));
  EXPECT_EQ(map.ranges()[0].label, "z");
  EXPECT_TRUE(map.remove(bytes + 16));
  EXPECT_EQ(map.find(uint64_t(bytes + 31)), -1);
}

// The text of an access past the end of a buffer, with the line of the MLIR source.
TEST(Memory, OutOfBounds) {
  Machine machine(64);
  Finding finding = findingOf(machine,
                              module(".loc 1 10 3\n"
                                     "mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3;\n"
                                     "st.global.b32 [%rd4+4], %r1;",
                                     ".file 1 \"kernel.mlir\""),
                              {{2, 1, 1}, {32, 1, 1}, 0, {}});
  EXPECT_EQ(finding.text(), "k: line 10 (kernel.mlir:10:3): out of bounds: write of 4 bytes at " +
                                hex(machine.out<char>(), 64) +
                                ", 0 bytes past the end of 'out' of 64 bytes; thread (15,0,0) of "
                                "block (0,0,0): st.global.b32 [%rd4+4], %r1");
  EXPECT_EQ(finding.buffer, "out");
  EXPECT_EQ(finding.address, reinterpret_cast<uint64_t>(machine.out<char>()) + 64);
}

TEST(Memory, OutOfBoundsBeforeAndAcross) {
  Machine machine(24);
  EXPECT_EQ(findingOf(machine, module("ld.global.b32 %r2, [%rd1+-8];")).message,
            "read of 4 bytes at " + hex(machine.out<char>(), -8) +
                ", 8 bytes before 'out' of 24 bytes");
  EXPECT_EQ(findingOf(machine, module("ld.global.v4.b32 {%r2,%r3,%r4,%r5}, [%rd1+16];")).message,
            "read of 16 bytes at " + hex(machine.out<char>(), 16) +
                ", across the end of 'out' of 24 bytes");
  EXPECT_EQ(findingOf(machine, module("mov.b64 %rd3, 0; ld.b32 %r2, [%rd3];")).kind,
            Finding::Kind::OutOfBounds);
}

TEST(Memory, MisalignedAndReadOnly) {
  Machine machine(64);
  Finding finding = findingOf(machine, module("ld.global.v2.b32 {%r2,%r3}, [%rd1+4];"));
  EXPECT_EQ(finding.kind, Finding::Kind::Misaligned);
  EXPECT_EQ(finding.message,
            "global address " + hex(machine.out<char>(), 4) + " is not a multiple of 8");
  finding = findingOf(machine, module("st.global.b32 [%rd2], 1;"));
  EXPECT_EQ(finding.kind, Finding::Kind::ReadOnly);
  EXPECT_EQ(finding.message, "write to the read-only buffer 'in'");
  finding = findingOf(machine, module("atom.global.add.u32 %r2, [%rd2], 1;"));
  EXPECT_EQ(finding.message, "atomic to the read-only buffer 'in'");
  finding =
      findingOf(machine, module("mov.b64 %rd3, c; cvta.const.u64 %rd3, %rd3; st.b32 [%rd3], 1;",
                                ".const .b32 c = 4;"));
  EXPECT_EQ(finding.message, "write to the read-only buffer 'c'");
}

TEST(Memory, SharedBounds) {
  Machine machine(64);
  EXPECT_EQ(
      findingOf(machine, module("ld.shared.b32 %r2, [sh+32];", ".shared .b8 sh[32];")).message,
      "shared address 0x420 with 4 bytes is outside the block's 32 bytes at 0x400");
  EXPECT_EQ(
      findingOf(machine, module("mov.b32 %r2, 0; st.shared.b8 [%r2], 1;", ".shared .b8 sh[32];"))
          .message,
      "shared address 0x0 with 1 byte is outside the block's 0 bytes at 0x400");
  // A generic address that was cut to 32 bits instead of converted is not an address.
  Finding finding = findingOf(machine, module("mov.b64 %rd3, sh; cvta.shared.u64 %rd4, %rd3;\n"
                                              "cvt.u32.u64 %r2, %rd4; ld.shared.b32 %r3, [%r2];",
                                              ".shared .align 4 .b8 sh[32];"));
  EXPECT_EQ(finding.kind, Finding::Kind::OutOfBounds);
}

// Registers and shared memory begin as NaN in every format.
TEST(Memory, BeginsAsNan) {
  Machine machine(64);
  machine.complete(
      module("ld.shared.b32 %r2, [sh]; add.f32 %r3, %r2, 0f00000000;\n"
             "setp.nan.f32 %p1, %r9, %r9; selp.b32 %r4, 1, 0, %p1;\n"
             "mov.b32 {%rs1, %rs2}, %r2; setp.nan.f16 %p1, %rs1, %rs2; selp.b32 %r5, 1, 0, %p1;\n"
             "setp.nan.bf16 %p1, %rs1, %rs2; selp.b32 %r6, 1, 0, %p1;\n"
             "st.global.v4.b32 [%rd1], {%r3, %r4, %r5, %r6};",
             ".shared .align 4 .b8 sh[32];"));
  EXPECT_EQ(machine.out<uint32_t>()[0], 0x7fffffffu);
  for (int i = 1; i < 4; ++i)
    EXPECT_EQ(machine.out<uint32_t>()[i], 1u) << i;
}

// Registers wider than the type are extended as the type's sign says; stores take the low bits.
TEST(Memory, Widths) {
  Machine machine(128, 16);
  const uint8_t bytes[] = {0x80, 0xff, 0x34, 0x92, 1, 2, 3, 4};
  std::memcpy(machine.in<char>(), bytes, sizeof bytes);
  machine.complete(module(R"(
    ld.global.b8 %rs2, [%rd2];      st.global.b16 [%rd1], %rs2;
    ld.global.s8 %r2, [%rd2];       st.global.b32 [%rd1+4], %r2;
    ld.global.s16 %rd3, [%rd2+2];   st.global.b64 [%rd1+8], %rd3;
    ld.global.u16 %rd3, [%rd2+2];   st.global.b64 [%rd1+16], %rd3;
    ld.global.s32 %rd3, [%rd2];     st.global.b64 [%rd1+24], %rd3;
    mov.b64 %rd3, 0x1122334455667788; st.global.b32 [%rd1+32], %rd3; st.global.b8 [%rd1+36], %rd3;
    ld.global.v2.b8 {%rs2, %rs3}, [%rd2]; st.global.v2.b16 [%rd1+40], {%rs2, %rs3};)"));
  auto at = [&](size_t offset, auto expected) {
    decltype(expected) value;
    std::memcpy(&value, machine.out<char>() + offset, sizeof value);
    EXPECT_EQ(value, expected) << offset;
  };
  at(0, uint16_t(0x80));
  at(4, uint32_t(0xffffff80));
  at(8, uint64_t(0xffffffffffff9234));
  at(16, uint64_t(0x9234));
  at(24, uint64_t(0xffffffff9234ff80));
  at(32, uint32_t(0x55667788));
  at(36, uint8_t(0x88));
  at(40, uint32_t(0x00ff0080));
}

// Generic addresses reach every space; cvta goes there and back.
TEST(Memory, GenericAddresses) {
  Machine machine(64);
  machine.complete(module(R"(
    .local .align 8 .b8 depot[16];
    mov.b64 %rd3, sh; cvta.shared.u64 %rd4, %rd3; st.b32 [%rd4+4], 11;
    ld.shared.b32 %r2, [sh+4]; st.global.b32 [%rd1], %r2;
    mov.b64 %rd5, depot; cvta.local.u64 %rd6, %rd5; st.b32 [%rd6], %r1;
    ld.local.b32 %r3, [depot];
    cvta.to.local.u64 %rd7, %rd6; ld.local.b32 %r4, [%rd7];
    mov.b64 %rd8, out; cvta.param.u64 %rd9, %rd8; ld.b64 %rd10, [%rd9];
    setp.eq.b64 %p1, %rd10, %rd1; selp.b32 %r5, 1, 0, %p1;
    isspacep.shared %p2, %rd4; selp.b32 %r6, 1, 0, %p2;
    isspacep.global %p2, %rd4; selp.b32 %r7, 1, 0, %p2;
    isspacep.global %p2, %rd1; selp.b32 %r8, 1, 0, %p2;
    setp.ne.b32 %p3, %r1, 31; @%p3 ret;
    cvta.to.global.u64 %rd11, %rd1;
    st.global.v2.b32 [%rd11+8], {%r3, %r4}; st.global.v4.b32 [%rd11+16], {%r5, %r6, %r7, %r8};)",
                          ".shared .align 8 .b8 sh[8];"));
  const uint32_t expected[] = {11, 0, 31, 31, 1, 1, 0, 1};
  for (int i : {0, 2, 3, 4, 5, 6, 7})
    EXPECT_EQ(machine.out<uint32_t>()[i], expected[i]) << i;
}

// Only the marked bytes of a masked load need to exist; the others are undefined.
TEST(Memory, UsedBytes) {
  Machine machine(64, 12);
  for (int i = 0; i < 3; ++i)
    machine.in<uint32_t>()[i] = 100 + i;
  machine.complete(module(".pragma \"used_bytes_mask 0xfff\";\n"
                          "ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd2];\n"
                          "st.global.v4.b32 [%rd1], {%r2, %r3, %r4, %r5};"));
  const uint32_t *out = machine.out<uint32_t>();
  EXPECT_EQ(out[0], 100u);
  EXPECT_EQ(out[2], 102u);
  EXPECT_EQ(out[3], 0x7fff7fffu);
  EXPECT_EQ(findingOf(machine, module("ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd2];")).kind,
            Finding::Kind::OutOfBounds);
}

// Lanes act in ascending order; blocks on other threads never lose an update.
TEST(Memory, Atomics) {
  Machine machine(256);
  std::memset(machine.out<char>(), 0, 256);
  machine.out<uint32_t>()[3] = 0xffffffff;
  machine.complete(module(R"(
    atom.global.add.u32 %r2, [%rd1], 1;
    atom.acq_rel.gpu.global.add.s32 %r2, [%rd1+4], %r1;
    red.global.max.u32 [%rd1+8], %r1;
    red.global.min.u32 [%rd1+12], %r1;
    atom.global.add.f32 %r3, [%rd1+16], 0f3F800000;
    atom.global.inc.u32 %r3, [%rd1+20], 6;
    atom.global.add.u64 %rd3, [%rd1+24], -1;
    atom.relaxed.sys.global.cas.b32 %r4, [%rd1+32], 0, 77;
    atom.global.or.b32 %r5, [%rd1+36], 4;
    atom.global.add.noftz.bf16x2 %r6, [%rd1+40], 0x3f804000;
    red.global.add.f64 [%rd1+48], 0.5;
    atom.global.exch.b32 %r7, [%rd1+56], %r1;
    atom.global.dec.u32 %r7, [%rd1+60], 3;)"),
                   {{8, 1, 1}, {64, 1, 1}, 0, {}});
  const uint32_t *out = machine.out<uint32_t>();
  EXPECT_EQ(out[0], 512u);
  EXPECT_EQ(out[1], 8u * 63 * 32);
  EXPECT_EQ(out[2], 63u);
  EXPECT_EQ(out[3], 0u);
  EXPECT_EQ(machine.out<float>()[4], 512.0f);
  EXPECT_EQ(out[5], 512u % 7);
  EXPECT_EQ(machine.out<int64_t>()[3], -512);
  EXPECT_EQ(out[8], 77u);
  EXPECT_EQ(out[9], 4u);
  EXPECT_EQ(out[10], 0x43804400u); // sums of 1 and of 2 stop growing at 2^8 and 2^9
  EXPECT_EQ(machine.out<double>()[6], 256.0);
  EXPECT_EQ(out[15], (4u - 512 % 4) % 4);
}

// The old value of each lane in a shared atomic: 0, 1, … in lane order.
TEST(Memory, SharedAtomicReturnsOld) {
  Machine machine(128);
  machine.complete(module("setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.b32 [sh], 0; bar.sync 0;\n"
                          "atom.shared.add.u32 %r2, [sh], 2; mul.wide.u32 %rd3, %r1, 4;\n"
                          "add.s64 %rd4, %rd1, %rd3; st.global.b32 [%rd4], %r2;",
                          ".shared .align 4 .b8 sh[4];"));
  for (uint32_t lane = 0; lane < 32; ++lane)
    EXPECT_EQ(machine.out<uint32_t>()[lane], 2 * lane);
}

// A pool of 2^33 bytes, mapped sparsely: elements past 2^31 are where 64-bit arithmetic says.
TEST(Memory, SparsePool) {
  const uint64_t bytes = uint64_t(1) << 33;
  void *pool = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(pool, MAP_FAILED);
  const uint64_t element = (uint64_t(1) << 31) + 12345;
  static_cast<uint16_t *>(pool)[element] = 0x1234;
  MemoryMap memory;
  ASSERT_TRUE(bool(memory.add(pool, bytes, "pool")));
  auto parsed = parseModule(module("ld.param.b64 %rd3, [in]; shl.b64 %rd4, %rd3, 1;\n"
                                   "add.s64 %rd5, %rd1, %rd4; ld.global.b16 %rs1, [%rd5];\n"
                                   "st.global.b16 [%rd5+2], %rs1;"));
  ASSERT_TRUE(bool(parsed));
  uint64_t parameters[2] = {reinterpret_cast<uint64_t>(pool), element};
  auto report =
      run(**parsed, "k", {{1, 1, 1}, {1, 1, 1}, 0, std::as_bytes(std::span(parameters))}, memory);
  ASSERT_TRUE(report && report->completed);
  EXPECT_EQ(static_cast<uint16_t *>(pool)[element + 1], 0x1234);
  EXPECT_EQ(report->buffer("pool")->read.uniqueSectors, 1u);
  EXPECT_EQ(report->buffer("pool")->read.uniqueBytes, 2u);
  munmap(pool, bytes);
}

} // namespace
} // namespace attncc::simulator::test
