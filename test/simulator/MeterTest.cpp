//===- MeterTest.cpp - traffic, wavefronts, conflicts ---------------------===//
//
// Tests runtime/simulator/Meter.cpp: closed forms of strided access, and random addresses
// against counters of their own that use sets of bytes and words.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Meter.h"
#include "test/simulator/Harness.h"

#include <map>
#include <random>
#include <set>

namespace attncc::simulator::test {
namespace {

// Threads read 4 bytes at a stride: 32-byte sectors per request, bytes, unique bytes.
TEST(Meter, StridedReads) {
  for (uint32_t stride : {4u, 8u, 16u, 32u, 64u, 128u}) {
    Machine machine(4, 32 * 128);
    Report report = machine.complete(module(
        "mul.wide.u32 %rd3, %r1, " + std::to_string(stride) +
        "; add.s64 %rd4, %rd2, %rd3; ld.global.b32 %r2, [%rd4]; ld.global.b32 %r2, [%rd4];"));
    const Traffic &read = report.buffer("in")->read;
    uint64_t sectors = std::min(32u, stride);
    EXPECT_EQ(read.requests, 2u);
    EXPECT_EQ(read.bytes, 2 * 128u);
    EXPECT_EQ(read.sectors, 2 * sectors) << stride;
    EXPECT_EQ(read.uniqueSectors, sectors);
    EXPECT_EQ(read.uniqueBytes, 128u);
    EXPECT_EQ(report.buffer("in")->write.sectors, 0u);
    EXPECT_EQ(report.buffer("out"), nullptr);
    EXPECT_EQ(report.sectors(), 2 * sectors);
  }
}

// 16 bytes a lane are 16 full sectors; an unaligned start costs one more.
TEST(Meter, FullRequests) {
  Machine machine(16, 1024);
  Report report = machine.complete(module("mul.wide.u32 %rd3, %r1, 16; add.s64 %rd4, %rd2, %rd3;\n"
                                          "ld.global.v4.b32 {%r2,%r3,%r4,%r5}, [%rd4];"));
  EXPECT_EQ(report.buffer("in")->read.sectors, 16u);
  report = machine.complete(module("mul.wide.u32 %rd3, %r1, 16; add.s64 %rd4, %rd2, %rd3;\n"
                                   "ld.global.v4.b32 {%r2,%r3,%r4,%r5}, [%rd4+16];"));
  EXPECT_EQ(report.buffer("in")->read.sectors, 17u);
}

// An atomic reads and writes.
TEST(Meter, Atomics) {
  Machine machine(64);
  Report report = machine.complete(module("red.global.add.u32 [%rd1], 1;"));
  EXPECT_EQ(report.buffer("out")->read.sectors, 1u);
  EXPECT_EQ(report.buffer("out")->write.sectors, 1u);
  EXPECT_EQ(report.buffer("out")->write.uniqueBytes, 4u);
}

SharedTraffic strided(uint32_t stride, uint32_t bytes) {
  uint32_t address[32];
  for (uint32_t lane = 0; lane < 32; ++lane)
    address[lane] = 1024 + lane * stride;
  return wavefronts(address, ~uint32_t(0), bytes);
}

TEST(Meter, StridedSharedAccess) {
  EXPECT_EQ(strided(4, 4).wavefronts, 1u);
  EXPECT_EQ(strided(4, 4).ideal, 1u);
  EXPECT_EQ(strided(0, 4).wavefronts, 1u); // broadcast
  EXPECT_EQ(strided(2, 2).wavefronts, 1u); // two lanes to a word
  EXPECT_EQ(strided(8, 4).wavefronts, 2u);
  EXPECT_EQ(strided(128, 4).wavefronts, 32u);
  EXPECT_EQ(strided(128, 4).conflicts(), 31u);
  EXPECT_EQ(strided(132, 4).wavefronts, 1u); // padded
  EXPECT_EQ(strided(8, 8).wavefronts, 2u);
  EXPECT_EQ(strided(8, 8).conflicts(), 0u);
  EXPECT_EQ(strided(16, 16).wavefronts, 4u);
  EXPECT_EQ(strided(128, 16).wavefronts, 32u);
  EXPECT_EQ(strided(128, 16).ideal, 4u);
  EXPECT_EQ(strided(144, 16).conflicts(), 0u);
}

/// The rule of Meter.h, in sets.
SharedTraffic slowWavefronts(const uint32_t *address, uint32_t mask, uint32_t bytes) {
  SharedTraffic result;
  uint32_t phases = std::max(1u, bytes / 4);
  for (uint32_t phase = 0; phase < phases; ++phase) {
    std::set<uint32_t> words;
    for (uint32_t lane = phase * 32 / phases; lane < (phase + 1) * 32 / phases; ++lane)
      if (mask >> lane & 1)
        for (uint32_t byte = 0; byte < bytes; ++byte)
          words.insert((address[lane] + byte) / 4);
    std::map<uint32_t, uint64_t> banks;
    uint64_t fullest = 0;
    for (uint32_t word : words)
      fullest = std::max(fullest, ++banks[word % 32]);
    result.wavefronts += fullest;
    result.ideal += (words.size() + 31) / 32;
  }
  return result;
}

TEST(Meter, RandomSharedAccess) {
  const unsigned seed = 3;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 2000; ++i) {
    uint32_t bytes = 1u << random() % 5, mask = i % 3 ? ~uint32_t(0) : uint32_t(random());
    uint32_t span = 64u << random() % 8;
    uint32_t address[32];
    for (uint32_t &a : address)
      a = random() % span / bytes * bytes;
    SharedTraffic fast = wavefronts(address, mask, bytes),
                  slow = slowWavefronts(address, mask, bytes);
    ASSERT_EQ(fast.wavefronts, slow.wavefronts);
    ASSERT_EQ(fast.ideal, slow.ideal);
  }
}

TEST(Meter, RandomGlobalAccess) {
  const unsigned seed = 4;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const uint64_t begin = 0x7f0000000010, end = begin + 200000;
  UniqueBytes unique(begin, end);
  Meter meter(1, 1);
  std::set<uint64_t> allBytes, allSectors;
  uint64_t sectors = 0, bytes = 0;
  for (int i = 0; i < 2000; ++i) {
    uint32_t width = 1u << random() % 6, mask = i % 3 ? ~uint32_t(0) : uint32_t(random());
    uint64_t span = 1024u << random() % 7, from = begin + random() % (200000 - span - 64);
    uint64_t address[32];
    for (uint64_t &a : address)
      a = (from + random() % span) / width * width + width;
    std::set<uint64_t> here;
    for (int lane = 0; lane < 32; ++lane)
      if (mask >> lane & 1) {
        bytes += width;
        for (uint32_t k = 0; k < width; ++k) {
          here.insert((address[lane] + k) / 32);
          allBytes.insert(address[lane] + k);
        }
      }
    sectors += here.size();
    allSectors.insert(here.begin(), here.end());
    if (mask)
      meter.global(0, false, address, mask, width, unique);
  }
  EXPECT_EQ(meter.traffic[0][0].sectors, sectors);
  EXPECT_EQ(meter.traffic[0][0].bytes, bytes);
  EXPECT_EQ(unique.sectors(), allSectors.size());
  EXPECT_EQ(unique.bytes(), allBytes.size());
}

/// ldmatrix.x4 of the tile whose rows have `pitch` bytes; row r's chunk is xor-ed with r % 8 if
/// `swizzled`.
Report loadTile(uint32_t pitch, bool swizzled) {
  Machine machine(16);
  return machine.complete(
      module("and.b32 %r2, %r1, 15; shr.u32 %r3, %r1, 4; and.b32 %r4, %r2, 7;\n" +
                 std::string(swizzled ? "xor.b32 %r3, %r3, %r4;\n" : "") +
                 "mov.b32 %r5, sh; mad.lo.s32 %r5, %r2, " + std::to_string(pitch) +
                 ", %r5; mad.lo.s32 %r5, %r3, 16, %r5;\n"
                 "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r6,%r7,%r8,%r9}, [%r5];",
             ".shared .align 1024 .b8 sh[4096];"));
}

TEST(Meter, MatricesAndSwizzle) {
  Report plain = loadTile(128, false);
  EXPECT_EQ(plain.shared.wavefronts, 32u); // eight-way in each of the four matrices
  EXPECT_EQ(plain.shared.ideal, 4u);
  EXPECT_EQ(plain.shared.conflicts(), 28u);
  ASSERT_EQ(plain.sharedInstructions.size(), 1u);
  EXPECT_EQ(plain.sharedInstructions[0].line, 10u);
  EXPECT_NE(plain.text().find("line 10: 28 conflicts in 1 accesses: ldmatrix"), std::string::npos)
      << plain.text();
  EXPECT_EQ(loadTile(128, true).shared.conflicts(), 0u);
  EXPECT_EQ(loadTile(144, false).shared.conflicts(), 0u);
}

// cp.async writes shared memory like a store of its width.
TEST(Meter, AsyncCopyWrites) {
  Machine machine(16, 512);
  Report report = machine.complete(module("mov.b32 %r2, sh; mad.lo.s32 %r3, %r1, 128, %r2;\n"
                                          "mul.wide.u32 %rd3, %r1, 16; add.s64 %rd4, %rd2, %rd3;\n"
                                          "cp.async.cg.shared.global [%r3], [%rd4], 16;\n"
                                          "cp.async.wait_all;",
                                          ".shared .align 128 .b8 sh[4096];"));
  EXPECT_EQ(report.shared.wavefronts, 32u);
  EXPECT_EQ(report.shared.conflicts(), 28u);
  EXPECT_EQ(report.buffer("in")->read.sectors, 16u);
}

} // namespace
} // namespace attncc::simulator::test
