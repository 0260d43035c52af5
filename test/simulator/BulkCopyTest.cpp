//===- BulkCopyTest.cpp - cp.async.bulk, plain and of tensors -------------===//
//
// Tests runtime/simulator/{BulkCopies,BulkCopyOps,SharedShadow}.cpp: boxes against a brute force
// over elements (ranks, swizzles, borders, fills, strides), stores, groups, traffic, wrong use, and
// the hazards of copies that are under way.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/TensorMap.h"
#include "test/simulator/Harness.h"

#include <numeric>

namespace attncc::simulator::test {
namespace {

struct Box {
  TensorType type = TensorType::BF16;
  std::vector<uint64_t> dimensions, strides; ///< strides in bytes, of dimension 1 and up
  std::vector<uint32_t> box, elementStrides;
  TensorSwizzle swizzle = TensorSwizzle::None;
  TensorFill fill = TensorFill::Zero;
};

/// The map goes to the end of the buffer `in`, 512 bytes before its end.
uint64_t mapOf(const Box &box, void *tensor, void *to) {
  std::array<std::byte, 128> bytes;
  std::vector<uint32_t> strides = box.elementStrides;
  strides.resize(5, 1);
  Result<void> encoded =
      encodeTensorMap(bytes, box.type, uint32_t(box.box.size()), tensor, box.dimensions.data(),
                      box.strides.data(), box.box.data(), strides.data(), TensorInterleave::None,
                      box.swizzle, TensorPromotion::None, box.fill);
  EXPECT_TRUE(bool(encoded)) << encoded.error().diagnostic.message;
  std::memcpy(to, bytes.data(), 128);
  return reinterpret_cast<uint64_t>(to);
}

std::string list(const std::vector<int> &coordinates) {
  std::string text;
  for (int c : coordinates)
    text += (text.empty() ? "" : ", ") + std::to_string(c);
  return text;
}

/// Thread 0 loads a box to sh + 1024 and waits; all threads write the shared memory there to `out`.
std::string loadKernel(unsigned rank, const std::vector<int> &coordinates, unsigned bytes,
                       unsigned mapOffset, const std::string &space = "cluster") {
  std::string size = std::to_string(bytes);
  return hopper(
      "mov.b32 %r3, sh; setp.eq.u32 %p1, %r1, 0; add.s64 %rd9, %rd2, " + std::to_string(mapOffset) +
          ";\n@%p1 mbarrier.init.shared.b64 [%r3], 1; @!%p1 bra JOIN;\n"
          "mbarrier.arrive.expect_tx.shared.b64 _, [%r3], " +
          size + ";\ncp.async.bulk.tensor." + std::to_string(rank) + "d.shared::" + space +
          ".global.tile.mbarrier::complete_tx::bytes [%r3+1024], [%rd9, {" + list(coordinates) +
          "}], [%r3];\nW: mbarrier.try_wait.parity.shared.b64 %p3, [%r3], 0; @!%p3 bra W;\n"
          "JOIN: bar.sync 0;\nmov.b32 %r10, %r1;\n"
          "L: mad.lo.s32 %r4, %r10, 4, %r3; ld.shared.b32 %r5, [%r4+1024];\n"
          "mul.wide.u32 %rd3, %r10, 4; add.s64 %rd4, %rd1, %rd3; st.global.b32 [%rd4], %r5;\n"
          "add.s32 %r10, %r10, 32; setp.lt.u32 %p2, %r10, " +
          std::to_string(bytes / 4) + "; @%p2 bra L;",
      "", 1024 + bytes);
}

/// What must be in shared memory, which begins at a multiple of 1024: byte by byte.
std::vector<uint8_t> expected(const Box &box, const std::vector<int> &coordinates,
                              const uint8_t *tensor) {
  const unsigned element = bytesOf(box.type), rank = unsigned(box.box.size());
  std::vector<uint32_t> stride = box.elementStrides;
  stride.resize(5, 1);
  stride[0] = 1;
  std::vector<uint32_t> moved;
  uint64_t count = 1;
  for (unsigned i = 0; i < rank; ++i) {
    moved.push_back((box.box[i] + stride[i] - 1) / stride[i]);
    count *= moved[i];
  }
  const unsigned masks[] = {0, 1, 3, 7};
  std::vector<uint8_t> result(count * element);
  for (uint64_t n = 0; n < count; ++n) {
    uint64_t rest = n, offset = 0;
    bool inside = true;
    for (unsigned i = 0; i < rank; ++i) {
      int64_t index = coordinates[i] + int64_t(rest % moved[i]) * stride[i];
      rest /= moved[i];
      inside &= index >= 0 && index < int64_t(box.dimensions[i]);
      offset += uint64_t(index) * (i == 0 ? element : box.strides[i - 1]);
    }
    for (unsigned b = 0; b < element; ++b) {
      uint64_t linear = n * element + b;
      uint64_t physical = linear ^ ((linear >> 7 & masks[int(box.swizzle)]) << 4);
      result[physical] = inside                        ? tensor[offset + b]
                         : box.fill == TensorFill::NaN ? (b == element - 1 ? 0x7f : 0xff)
                                                       : 0;
    }
  }
  return result;
}

void check(const Box &box, const std::vector<int> &coordinates) {
  const uint32_t inBytes = 64 * 1024;
  Machine machine(32 * 1024, inBytes);
  uint8_t *tensor = machine.in<uint8_t>();
  for (uint32_t i = 0; i < inBytes; ++i)
    tensor[i] = uint8_t((i * 2654435761u) >> 13);
  mapOf(box, tensor, tensor + inBytes - 512);
  std::vector<uint8_t> wanted = expected(box, coordinates, tensor);
  machine.complete(
      loadKernel(unsigned(box.box.size()), coordinates, unsigned(wanted.size()), inBytes - 512));
  for (size_t i = 0; i < wanted.size(); ++i)
    ASSERT_EQ(machine.out<uint8_t>()[i], wanted[i]) << "byte " << i;
}

TEST(TensorCopy, BoxesOfEveryRank) {
  check({TensorType::BF16, {128}, {}, {64}, {}}, {32});
  check({TensorType::F32, {40, 20}, {256}, {20, 16}, {}}, {8, 3});
  check({TensorType::U8, {64, 10, 5}, {64, 1024}, {32, 4, 3}, {}}, {16, 5, 1});
  check({TensorType::F16, {64, 4, 3, 3}, {128, 512, 4096}, {64, 2, 3, 2}, {}}, {0, 1, 0, 1});
  check({TensorType::BF16, {64, 16, 2, 2, 4}, {256, 128, 4096, 8192}, {64, 16, 2, 1, 1}, {}},
        {0, 0, 0, 1, 3});
}

TEST(TensorCopy, Swizzles) {
  check({TensorType::BF16, {64, 40}, {128}, {64, 32}, {}, TensorSwizzle::Bytes128}, {0, 5});
  check({TensorType::BF16, {64, 40}, {128}, {32, 32}, {}, TensorSwizzle::Bytes64}, {32, 5});
  check({TensorType::BF16, {64, 40}, {128}, {16, 32}, {}, TensorSwizzle::Bytes32}, {16, 5});
  check({TensorType::F32, {64, 40}, {256}, {32, 24}, {}, TensorSwizzle::Bytes128}, {32, 1});
}

// Beyond every border, zeros or NaN; a box that lies outside altogether.
TEST(TensorCopy, OutsideTheTensor) {
  for (TensorFill fill : {TensorFill::Zero, TensorFill::NaN}) {
    Box box{TensorType::BF16, {60, 20}, {128}, {64, 16}, {}, TensorSwizzle::Bytes128, fill};
    check(box, {0, 10});
    check(box, {-5, -3});
    check(box, {13, 0});
    check(box, {0, 20});
    check(box, {100, 0});
    check({TensorType::F32, {30, 4, 3}, {128, 512}, {32, 2, 2}, {}, TensorSwizzle::None, fill},
          {-1, 3, 2});
  }
}

TEST(TensorCopy, ElementStrides) {
  check({TensorType::BF16, {64, 40}, {128}, {64, 16}, {1, 3}}, {0, 7});
  check({TensorType::BF16, {64, 40}, {128}, {64, 16}, {4, 2}, TensorSwizzle::Bytes128}, {0, 30});
}

// Bytes and sectors of the part inside the tensor.
TEST(TensorCopy, Traffic) {
  Machine machine(8192, 8192);
  Box box{TensorType::BF16, {64, 20}, {256}, {64, 16}, {}, TensorSwizzle::Bytes128};
  mapOf(box, machine.in<uint8_t>(), machine.in<uint8_t>() + 8192 - 512);
  Report report = machine.complete(loadKernel(2, {16, 10}, 2048, 8192 - 512, "cta"));
  const BufferTraffic *in = report.buffer("in");
  ASSERT_TRUE(in);
  EXPECT_EQ(in->read.requests, 1u);
  EXPECT_EQ(in->read.bytes, 10u * 96);
  EXPECT_EQ(in->read.sectors, 10u * 3);
  EXPECT_EQ(in->read.uniqueSectors, 10u * 3);
  EXPECT_EQ(report.bulkCopies, 1u);
}

/// Thread 0 fills sh + 1024 with 16-bit numbers, after which `body` runs in it alone.
std::string storeKernel(const std::string &body, unsigned mapOffset = 0) {
  return hopper("mov.b32 %r3, sh; setp.eq.u32 %p1, %r1, 0; add.s64 %rd9, %rd2, " +
                std::to_string(mapOffset) +
                "; @!%p1 bra DONE; mov.b32 %r10, 0;\n"
                "L: mad.lo.s32 %r4, %r10, 4, %r3; st.shared.b32 [%r4+1024], %r10;\n"
                "add.s32 %r10, %r10, 1; setp.lt.u32 %p2, %r10, 512; @%p2 bra L;\n" +
                body + "\nDONE:");
}

// The way out drops what lies outside and undoes the swizzle.
TEST(TensorCopy, Store) {
  Machine machine(8192, 8192);
  Box box{TensorType::BF16, {60, 20}, {128}, {64, 16}, {}, TensorSwizzle::Bytes128};
  mapOf(box, machine.out<uint8_t>(), machine.in<uint8_t>() + 8192 - 512);
  std::fill_n(machine.out<uint16_t>(), 4096, uint16_t(0xabcd));
  Report report = machine.complete(storeKernel(
      "fence.proxy.async.shared::cta;\n"
      "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%rd9, {0, 10}], [%r3+1024];\n"
      "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;",
      8192 - 512));
  for (uint32_t row = 0; row < 32; ++row)
    for (uint32_t column = 0; column < 64; ++column) {
      uint32_t linear = (row - 10) * 128 + column * 2;
      uint32_t physical = linear ^ ((linear >> 7 & 7) << 4);
      uint16_t wanted = row < 10 || row >= 20 || column >= 60
                            ? 0xabcd
                            : uint16_t(physical / 4 >> (physical & 2 ? 16 : 0));
      ASSERT_EQ(machine.out<uint16_t>()[row * 64 + column], wanted) << row << ", " << column;
    }
  EXPECT_EQ(report.buffer("out")->write.bytes, 10u * 120);
  EXPECT_EQ(report.buffer("out")->write.sectors, 10u * 4);
}

TEST(BulkCopy, BothWays) {
  Machine machine(4096, 4096);
  for (uint32_t i = 0; i < 1024; ++i)
    machine.in<uint32_t>()[i] = i * 7;
  machine.complete(hopper(R"(
    mov.b32 %r3, sh; setp.eq.u32 %p1, %r1, 0; @!%p1 bra DONE; mov.b32 %r5, 2048;
    mbarrier.init.shared.b64 [%r3], 1;
    createpolicy.fractional.L2::evict_first.b64 %rd8, 1.0;
    mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 2048;
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%r3+1024], [%rd2+256], %r5, [%r3], %rd8;
    cp.async.bulk.prefetch.L2.global [%rd2], 1024;
    W: mbarrier.try_wait.parity.shared.b64 %p3, [%r3], 0; @!%p3 bra W;
    cp.async.bulk.global.shared::cta.bulk_group [%rd1+16], [%r3+1024], 1024;
    cp.async.bulk.commit_group;
    cp.async.bulk.global.shared::cta.bulk_group [%rd1+2048], [%r3+2048], 16;
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group 1; ld.global.b32 %r6, [%rd1+16]; st.global.b32 [%rd1], %r6;
    cp.async.bulk.wait_group.read 0;
    DONE:)"));
  EXPECT_EQ(machine.out<uint32_t>()[0], 64u * 7);
  EXPECT_EQ(machine.out<uint32_t>()[4 + 255], (64u + 255) * 7);
  EXPECT_EQ(machine.out<uint32_t>()[512], (64u + 256) * 7);
}

// wait_group.read has read the source; the destination is written when the group is waited for.
TEST(BulkCopy, ReadIsNotWritten) {
  Machine machine(4096, 4096);
  machine.complete(storeKernel(R"(
    st.global.b32 [%rd1+2048], 99; fence.proxy.async;
    cp.async.bulk.global.shared::cta.bulk_group [%rd1+2048], [%r3+1040], 16;
    cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;
    st.shared.b32 [%r3+1040], 1000; ld.global.b32 %r6, [%rd1+2048]; st.global.b32 [%rd1], %r6;
    cp.async.bulk.wait_group 0; ld.global.b32 %r6, [%rd1+2048]; st.global.b32 [%rd1+4], %r6;)"));
  EXPECT_EQ(machine.out<uint32_t>()[0], 99u);
  EXPECT_EQ(machine.out<uint32_t>()[1], 4u);
}

//===----------------------------------------------------------------------===//
// Mistakes
//===----------------------------------------------------------------------===//

struct Mistakes : testing::Test {
  Machine machine{8192, 8192};
  Box box{TensorType::BF16, {64, 20}, {128}, {64, 8}, {}, TensorSwizzle::Bytes128};

  /// Lines of thread 0; %r3 = sh, an mbarrier for one arrival; %rd9 = a map for boxes of 1024
  /// bytes.
  std::string message(const std::string &body) {
    mapOf(box, machine.in<uint8_t>(), machine.in<uint8_t>() + 8192 - 512);
    return findingOf(machine, text(body)).message;
  }
  static std::string text(const std::string &body) {
    return hopper("mov.b32 %r3, sh; setp.eq.u32 %p1, %r1, 0; add.s64 %rd9, %rd2, 7680;\n"
                  "@!%p1 bra DONE; mbarrier.init.shared.b64 [%r3], 1;\n" +
                  body + "\nDONE:");
  }
};
const std::string expectAll = "mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 1024;\n";
const std::string load =
    "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::"
    "bytes [%r3+1024], [%rd9, {0, 0}], [%r3];\n";
const std::string wait = "W: mbarrier.try_wait.parity.shared.b64 %p3, [%r3], 0; @!%p3 bra W;\n";

TEST_F(Mistakes, ReadBeforeTheWait) {
  EXPECT_EQ(message(expectAll + load + "ld.shared.b32 %r5, [%r3+1028];\n" + wait),
            "read of shared address 0x804, which the copy of line 11 is still writing; "
            "wait for its mbarrier first");
  EXPECT_EQ(message(expectAll + load + "st.shared.b32 [%r3+2044], 0;\n" + wait),
            "write of shared address 0xbfc, which the copy of line 11 is still writing; "
            "wait for its mbarrier first");
  EXPECT_EQ(message(expectAll + load + load + wait),
            "asynchronous write of shared address 0x800, which the copy of line 11 is "
            "still writing; wait for its mbarrier first");
}

TEST_F(Mistakes, WrongNumberOfBytes) {
  EXPECT_EQ(message("mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 1040;\n" + load + wait),
            "no warp can continue; warp 0 waits at line 12 "
            "(mbarrier.try_wait.parity.shared.b64 %p3, [%r3], 0) for parity 0 of mbarrier 0x400 "
            "(phase 0, 0 of 1 arrivals pending, 16 bytes pending)");
  std::string second = load;
  second.replace(second.find("1024"), 4, "2048");
  EXPECT_EQ(message(expectAll + load + second + wait),
            "the copy's 1024 bytes arrive after phase 0 of its mbarrier has ended: now it is "
            "mbarrier 0x400 (phase 1, 1 of 1 arrivals pending, 0 bytes pending); expect_tx has "
            "announced too few");
  EXPECT_EQ(message(expectAll + load), // and no wait
            "the block ends while the copy still writes its shared memory; wait for mbarrier 0x400 "
            "(phase 0, 0 of 1 arrivals pending, 1024 bytes pending) first");
}

TEST_F(Mistakes, Operands) {
  EXPECT_EQ(message("add.s64 %rd9, %rd2, 0;" + expectAll + load),
            "the 128 bytes are not a tensor map of the simulated device");
  EXPECT_EQ(message("add.s64 %rd9, %rd9, 16;" + expectAll + load).substr(0, 18),
            "tensor map address");
  EXPECT_EQ(message("add.s64 %rd9, %rd2, 65536;" + expectAll + load)
                .find("is neither in the kernel's "
                      "parameters nor in a buffer"),
            std::string("tensor map address 0x").size() + 13);
  std::string other = load;
  EXPECT_EQ(message(expectAll + other.replace(other.find("1024"), 4, "1040")),
            "shared address 0x810 is not a multiple of 128");
  other = load;
  EXPECT_EQ(message(expectAll + other.replace(other.find("1024"), 4, "3200")),
            "shared address 0x1080 with 1024 bytes is outside the block's 4096 bytes at 0x400");
  other = load;
  EXPECT_EQ(message(expectAll + other.replace(other.find("[%r3];"), 6, "[%r3+8];")),
            "no mbarrier is initialised at shared address 0x408");
  box.dimensions[1] = 100; // rows 64 to 71 lie behind the buffer
  other = load;
  EXPECT_NE(message(expectAll + other.replace(other.find("{0, 0}"), 6, "{0, 60}"))
                .find(", 0 bytes past the end of 'in' of 8192 bytes"),
            std::string::npos);
  box = {TensorType::BF16, {64, 20, 1}, {128, 4096}, {64, 8, 1}, {}};
  EXPECT_EQ(message(expectAll + load), "the tensor map has 3 dimensions, the instruction 2");
}

TEST_F(Mistakes, Mbarrier) {
  EXPECT_EQ(message("ld.shared.b32 %r5, [%r3];"),
            "read of shared address 0x400, which is a valid mbarrier");
  EXPECT_EQ(message("st.shared.b32 [%r3+4], 0;"),
            "write of shared address 0x404, which is a valid mbarrier");
  machine.complete(text("st.shared.b32 [%r3+8], 0; mbarrier.inval.shared.b64 [%r3];\n"
                        "st.shared.b32 [%r3], 0;"));
}

const std::string store = "cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r3+1024], 64;\n"
                          "cp.async.bulk.commit_group;\n";

TEST_F(Mistakes, Stores) {
  const std::string fence = "fence.proxy.async.shared::cta;\n";
  auto finding = [&](const std::string &body) {
    return findingOf(machine, storeKernel(body)).message;
  };
  EXPECT_EQ(finding(store + "cp.async.bulk.wait_group 0;"),
            "asynchronous read of shared address 0x800, which thread (0,0,0) has written without a "
            "fence.proxy.async since");
  EXPECT_EQ(finding("fence.proxy.async.global;" + store + "cp.async.bulk.wait_group 0;"),
            "asynchronous read of shared address 0x800, which thread (0,0,0) has written without a "
            "fence.proxy.async since");
  EXPECT_EQ(finding(fence + store + "st.shared.b32 [%r3+1084], 5;\ncp.async.bulk.wait_group 0;"),
            "write of shared address 0x83c, which the copy of line 12 may still read; wait for it "
            "first");
  EXPECT_EQ(finding(fence + store), "the block ends while the copy still reads its shared memory; "
                                    "cp.async.bulk.wait_group.read comes first");
  EXPECT_EQ(finding(fence + "cp.async.bulk.global.shared::cta.bulk_group [%rd2], [%r3+1024], 64;"),
            "write to the read-only buffer 'in'");
  EXPECT_EQ(finding(fence + "cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r3+1024], 8;"),
            "the size is 8, expected a multiple of 16");
  // The fence may also stand with the thread that issues, behind the barrier.
  machine.complete(
      hopper("mov.b32 %r3, sh; mad.lo.s32 %r4, %r1, 4, %r3; st.shared.b32 [%r4+1024], %r1;\n"
             "bar.sync 0; setp.eq.u32 %p1, %r1, 40; @!%p1 bra DONE;\n" +
             fence + store + "cp.async.bulk.wait_group.read 0;\nDONE:"),
      {{1, 1, 1}, {64, 1, 1}, 0, {}});
}

} // namespace
} // namespace attncc::simulator::test
