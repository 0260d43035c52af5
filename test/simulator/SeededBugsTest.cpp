//===- SeededBugsTest.cpp - mistakes in a kernel of roles -----------------===//
//
// A kernel with a producer, a consumer warpgroup and a store warp: for each tile of 64 queries,
// sums of round(Q K^T) V over the key tiles, without a softmax. Its numbers are small integers, so
// the result is exact. Then one barrier, wait, fence, commit, arrival… is left out or changed at a
// time, and each change has to be found, in every order of the warps.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/TensorMap.h"
#include "test/simulator/Harness.h"

#include <random>

namespace attncc::simulator::test {
namespace {

constexpr unsigned items = 3, stages = 2; ///< query tiles; key tiles, each in a stage of its own
constexpr unsigned tileBytes = 64 * 64 * 2;
constexpr unsigned queryAt = 0, stageAt = tileBytes, outAt = stageAt + stages * 2 * tileBytes,
                   barriersAt = outAt + tileBytes;
constexpr unsigned mapsAt = (items + 2 * stages) * tileBytes; ///< in `in`: Q, K, V, maps

std::string number(unsigned value) { return std::to_string(value); }
std::string at(unsigned offset) { return "[%r3+" + number(barriersAt + offset) + "]"; }
// Offsets of the mbarriers.
constexpr unsigned queryFull = 0, queryEmpty = 8, outEmpty = 16;
unsigned full(unsigned stage) { return 32 + 16 * stage; }
unsigned empty(unsigned stage) { return 40 + 16 * stage; }
unsigned keyAt(unsigned stage) { return stageAt + 2 * stage * tileBytes; }
unsigned valueAt(unsigned stage) { return keyAt(stage) + tileBytes; }

std::string registers(const char *prefix, unsigned first, unsigned count) {
  std::string text;
  for (unsigned i = first; i < first + count; ++i)
    text += (i > first ? ", " : "") + std::string(prefix) + number(i);
  return "{" + text + "}";
}

/// Each line that a mutation names ends in "// its name".
class Text {
public:
  void line(const std::string &text, const std::string &name = {}) {
    lines += text + (name.empty() ? "" : " // " + name) + "\n";
  }
  void wait(unsigned barrier, const std::string &parity, const std::string &name) {
    std::string label = "W" + number(labels++);
    line("{ " + label + ": mbarrier.try_wait.parity.shared::cta.b64 %p9, " + at(barrier) + ", " +
             parity + "; @!%p9 bra " + label + "; }",
         name);
  }
  void init(unsigned barrier, const std::string &name) {
    line("@%p1 mbarrier.init.shared::cta.b64 " + at(barrier) + ", 1;", "init " + name);
  }
  void arrive(const std::string &guard, unsigned barrier, const std::string &name) {
    line(guard + "mbarrier.arrive.release.cta.shared::cta.b64 _, " + at(barrier) + ";",
         "arrive " + name);
  }
  /// Copies of tiles to shared memory that one mbarrier counts.
  void expect(unsigned barrier, unsigned bytes, const std::string &name) {
    line("mbarrier.arrive.expect_tx.shared::cta.b64 _, " + at(barrier) + ", " + number(bytes) + ";",
         "expect " + name);
  }
  void load(unsigned to, const char *map, const std::string &row, unsigned barrier,
            const std::string &name) {
    line("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r3+" +
             number(to) + "], [" + map + ", {0, " + row + "}], " + at(barrier) + ";",
         "load " + name);
  }
  std::string lines;

private:
  unsigned labels = 0;
};

/// A descriptor with 128-byte swizzle and 1024 bytes from one eight rows to the next.
std::string descriptor(unsigned offset) {
  return std::to_string((0x400 + offset) / 16 | uint64_t(1) << 16 | uint64_t(64) << 32 |
                        uint64_t(1) << 62);
}

std::string kernelText() {
  Text t;
  t.line(".reg .f32 %s<32>; .reg .f32 %o<32>; .reg .b32 %a<16>; .reg .b32 %w<4>;");
  t.line("mov.b32 %r3, sh; setp.eq.u32 %p1, %r1, 0; shr.u32 %r2, %r1, 5; and.b32 %r4, %r1, 31;");
  for (unsigned i = 0; i < 4; ++i) // maps of Q, K, V and the output
    t.line("add.s64 %rd1" + number(i) + ", %rd2, " + number(mapsAt + 128 * i) + ";");
  t.init(queryFull, "query full");
  t.init(queryEmpty, "query empty");
  t.init(outEmpty, "out empty");
  for (unsigned s = 0; s < stages; ++s) {
    t.init(full(s), "full " + number(s));
    t.init(empty(s), "empty " + number(s));
  }
  t.line("@%p1 fence.mbarrier_init.release.cluster;");
  t.line("bar.sync 0;", "sync after init");
  t.line("mov.b32 %r10, 0;\nsetp.lt.u32 %p2, %r2, 4; @%p2 bra CONSUMER;");

  t.line("setmaxnreg.dec.sync.aligned.u32 40;", "give registers");
  t.line("setp.eq.u32 %p3, %r2, 5; @%p3 bra STORE;\nsetp.ne.u32 %p3, %r1, 128; @%p3 bra DONE;");
  t.line("PRODUCER: and.b32 %r11, %r10, 1; xor.b32 %r12, %r11, 1; shl.b32 %r13, %r10, 6;");
  t.wait(queryEmpty, "%r12", "wait query empty");
  t.expect(queryFull, tileBytes, "query");
  t.load(queryAt, "%rd10", "%r13", queryFull, "query");
  for (unsigned s = 0; s < stages; ++s) {
    t.wait(empty(s), "%r12", "wait empty " + number(s));
    t.expect(full(s), 2 * tileBytes, "stage " + number(s));
    t.load(keyAt(s), "%rd11", number(64 * s), full(s), "key " + number(s));
    t.load(valueAt(s), "%rd12", number(64 * s), full(s), "value " + number(s));
  }
  t.line("add.s32 %r10, %r10, 1; setp.lt.u32 %p4, %r10, " + number(items) +
         "; @%p4 bra PRODUCER;\nbra DONE;");

  t.line("STORE: shl.b32 %r13, %r10, 6; elect.sync _|%p5, -1;");
  t.line("bar.sync 2, 160;", "sync store");
  t.line(
      "@%p5 cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%rd13, {0, %r13}], [%r3+" +
          number(outAt) + "];",
      "store");
  t.line("@%p5 cp.async.bulk.commit_group;", "commit store");
  t.line("@%p5 cp.async.bulk.wait_group.read 0;", "wait store");
  t.arrive("@%p5 ", outEmpty, "out empty");
  t.line("add.s32 %r10, %r10, 1; setp.lt.u32 %p4, %r10, " + number(items) +
         "; @%p4 bra STORE;\nbra DONE;");

  t.line("CONSUMER:");
  t.line("setmaxnreg.inc.sync.aligned.u32 216;", "take registers");
  t.line("ITEM: and.b32 %r11, %r10, 1; xor.b32 %r12, %r11, 1;");
  for (unsigned i = 0; i < 32; ++i)
    t.line("mov.b32 %o" + number(i) + ", 0f00000000;");
  t.wait(queryFull, "%r11", "wait query full");
  for (unsigned s = 0; s < stages; ++s) {
    const std::string stage = " " + number(s);
    t.wait(full(s), "%r11", "wait full" + stage);
    t.line("wgmma.fence.sync.aligned;", "fence scores" + stage);
    for (unsigned k = 0; k < 4; ++k)
      t.line("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " + registers("%s", 0, 32) +
             ", " + descriptor(queryAt + 32 * k) + ", " + descriptor(keyAt(s) + 32 * k) + ", " +
             (k ? "1" : "0") + ", 1, 1, 0, 0;");
    t.line("wgmma.commit_group.sync.aligned;", "commit scores" + stage);
    t.line("wgmma.wait_group.sync.aligned 0;", "wait scores" + stage);
    if (s > 0)
      t.arrive("@%p1 ", empty(s - 1), "empty " + number(s - 1));
    if (s == stages - 1)
      t.arrive("@%p1 ", queryEmpty, "query empty");
    for (unsigned i = 0; i < 16; ++i)
      t.line("cvt.rn.bf16x2.f32 %a" + number(i) + ", %s" + number(2 * i + 1) + ", %s" +
             number(2 * i) + ";");
    t.line("wgmma.fence.sync.aligned;", "fence output" + stage);
    for (unsigned k = 0; k < 4; ++k)
      t.line("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " + registers("%o", 0, 32) +
                 ", " + registers("%a", 4 * k, 4) + ", " + descriptor(valueAt(s) + 2048 * k) +
                 ", 1, 1, 1, 1;",
             k ? "" : "output" + stage);
    t.line("wgmma.commit_group.sync.aligned;", "commit output" + stage);
  }
  t.line("wgmma.wait_group.sync.aligned 0;", "wait output");
  t.arrive("@%p1 ", empty(stages - 1), "empty " + number(stages - 1));
  t.wait(outEmpty, "%r12", "wait out empty");
  // Row r, 16-byte chunk c at 128 r + 16 (c xor r % 8).
  t.line(
      "and.b32 %r20, %r4, 7; shr.u32 %r21, %r4, 3; and.b32 %r21, %r21, 1; shr.u32 %r22, %r4, 4;\n"
      "shl.b32 %r23, %r2, 4; mad.lo.s32 %r23, %r21, 8, %r23; add.s32 %r23, %r23, %r20;\n"
      "mad.lo.s32 %r23, %r23, 128, %r3;");
  for (unsigned k = 0; k < 4; ++k) {
    t.line("add.s32 %r24, %r22, " + number(2 * k) +
           "; xor.b32 %r24, %r24, %r20; mad.lo.s32 %r24, %r24, 16, %r23;");
    for (unsigned i = 0; i < 4; ++i)
      t.line("cvt.rn.bf16x2.f32 %w" + number(i) + ", %o" + number(8 * k + 2 * i + 1) + ", %o" +
             number(8 * k + 2 * i) + ";");
    t.line("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%r24+" + number(outAt) + "], " +
           registers("%w", 0, 4) + ";");
  }
  t.line("fence.proxy.async.shared::cta;", "fence store");
  t.line("bar.arrive 2, 160;", "arrive store");
  t.line("add.s32 %r10, %r10, 1; setp.lt.u32 %p4, %r10, " + number(items) +
         "; @%p4 bra ITEM;\nDONE:");
  return hopper(t.lines, ".maxntid 256\n.maxnreg 128\n", barriersAt + 128);
}

struct Roles {
  Roles() {
    std::mt19937 random(7);
    for (unsigned i = 0; i < mapsAt / 2; ++i) {
      values.push_back(int(random() % 3) - 1);
      machine.in<uint16_t>()[i] = values[i] == 0 ? 0 : values[i] == 1 ? 0x3f80 : 0xbf80;
    }
    map(0, machine.in<uint16_t>(), items);
    map(1, machine.in<uint16_t>() + items * 4096, stages);
    map(2, machine.in<uint16_t>() + (items + stages) * 4096, stages);
    map(3, machine.out<uint16_t>(), items);
  }
  void map(unsigned index, void *tensor, unsigned tiles) {
    std::array<std::byte, tensorMapBytes> bytes;
    uint64_t dimensions[] = {64, 64 * tiles}, strides[] = {128};
    uint32_t box[] = {64, 64}, ones[] = {1, 1};
    EXPECT_TRUE(bool(encodeTensorMap(bytes, TensorType::BF16, 2, tensor, dimensions, strides, box,
                                     ones, TensorInterleave::None, TensorSwizzle::Bytes128,
                                     TensorPromotion::None, TensorFill::Zero)));
    std::memcpy(machine.in<uint8_t>() + mapsAt + 128 * index, bytes.data(), bytes.size());
  }

  Report run(const std::string &text, Order order = Order::Ascending) {
    std::fill_n(machine.out<uint16_t>(), items * 4096, uint16_t(0x7fff));
    Conditions conditions{{1, 1, 1}, {256, 1, 1}, 0, {}};
    conditions.options.order = order;
    return machine.run(text, conditions);
  }
  /// The number of results that are not what loops give.
  unsigned wrong() {
    const int *query = values.data(), *key = query + items * 4096, *value = key + stages * 4096;
    unsigned count = 0;
    for (unsigned row = 0; row < items * 64; ++row)
      for (unsigned column = 0; column < 64; ++column) {
        int sum = 0;
        for (unsigned k = 0; k < stages * 64; ++k) {
          int score = 0;
          for (unsigned d = 0; d < 64; ++d)
            score += query[row * 64 + d] * key[k * 64 + d];
          sum += score * value[k * 64 + column];
        }
        float exact = float(sum);
        uint32_t bits;
        std::memcpy(&bits, &exact, 4);
        bits += 0x7fff + (bits >> 16 & 1);
        count += machine.out<uint16_t>()[row * 64 + column] != bits >> 16;
      }
    return count;
  }

  Machine machine{items * tileBytes, mapsAt + 512};
  std::vector<int> values;
};

constexpr Order orders[] = {Order::Ascending, Order::Descending};

TEST(SeededBugs, TheKernelIsRight) {
  Roles roles;
  for (Order order : orders) {
    Report report = roles.run(kernelText(), order);
    ASSERT_TRUE(report.completed) << report.text();
    EXPECT_EQ(roles.wrong(), 0u);
    EXPECT_EQ(report.matrixProducts, items * stages * 8u);
  }
}

/// Where the line with this name is.
std::pair<size_t, size_t> find(const std::string &text, const std::string &name) {
  const size_t end = text.find(" // " + name + "\n");
  EXPECT_NE(end, std::string::npos) << name;
  const size_t begin = text.rfind('\n', end) + 1;
  return {begin, end - begin};
}

/// What a changed kernel has to give, in both orders: a part of the finding's text, or `different`.
struct Change {
  std::string line, from, to; ///< `from` empty: the line is left out
  std::string ascending, descending = ascending;
};
const std::string different = "the results differ";
/// Of changes that no execution can tell from the kernel.
const std::string same = "the same results";

void check(const std::vector<Change> &changes) {
  const std::string text = kernelText();
  Roles roles;
  for (const Change &change : changes) {
    std::string changed = text;
    auto [begin, count] = find(text, change.line);
    size_t at = change.from.empty() ? begin : text.find(change.from, begin);
    ASSERT_LT(at, begin + count) << change.line;
    changed.replace(at, change.from.empty() ? count : change.from.size(), change.to);
    for (Order order : orders) {
      Report report = roles.run(changed, order);
      const std::string found = !report.completed ? report.findings[0].text()
                                : roles.wrong()   ? different
                                                  : same;
      const std::string &wanted = order == Order::Ascending ? change.ascending : change.descending;
      EXPECT_NE(found.find(wanted), std::string::npos)
          << change.line << ", " << change.from << " -> " << change.to << "\nfound: " << found
          << "\nwanted: " << wanted;
    }
  }
}

// Every named line, one at a time.
TEST(SeededBugs, LinesLeftOut) {
  std::vector<Change> changes;
  auto leftOut = [&](const std::string &line, const std::string &found,
                     const std::string &descending = {}) {
    changes.push_back({line, "", "", found, descending.empty() ? found : descending});
  };
  const std::string noBarrier = "barrier: no mbarrier is initialised at shared address";
  for (const char *barrier :
       {"query full", "query empty", "out empty", "full 0", "empty 0", "full 1", "empty 1"})
    leftOut("init " + std::string(barrier), noBarrier);
  leftOut("sync after init",
          "race: read of shared address 0xc408, which warp 0 has written at line 17", noBarrier);
  leftOut("give registers",
          "deadlock: no warp can continue; warp 5 waits at line 45 (bar.sync 2, "
          "160) for barrier 2: 32 of 160 threads arrived; warp 0 waits at line 53 "
          "(setmaxnreg.inc.sync.aligned.u32 216) for 2816 more registers");
  leftOut("take registers", same); // ptxas alone would notice

  leftOut("wait query empty", "barrier: 1 arrivals at mbarrier 0xc400 (phase 0, 0 of 1 arrivals "
                              "pending, ");
  leftOut("wait empty 0", same); // the query's buffer is free after the stage, and waited for first
  leftOut("wait empty 1",
          "race: asynchronous write of shared address 0x8400, which a product of warps 0 to 3 has "
          "read",
          "hazard: asynchronous write of shared address 0x8400, which the product of line");
  leftOut("expect query", "(phase 0, 1 of 1 arrivals pending, -8192 bytes pending)");
  leftOut("load query", "(phase 0, 0 of 1 arrivals pending, 8192 bytes pending)");
  for (const char *stage : {"0", "1"}) {
    const std::string number = stage;
    leftOut("expect stage " + number, "(phase 0, 1 of 1 arrivals pending, -16384 bytes pending)");
    leftOut("load key " + number, "(phase 0, 0 of 1 arrivals pending, 8192 bytes pending)");
    leftOut("load value " + number, "(phase 0, 0 of 1 arrivals pending, 8192 bytes pending)");
    leftOut("wait full " + number, "hazard: asynchronous read of shared address");
    leftOut("commit scores " + number, "hazard: register '%s1' belongs to the product of line");
    leftOut("fence output " + number, "hazard: register '%a0' is used at line");
    leftOut("output " + number, different);
    leftOut("arrive empty " + number, "deadlock: no warp can continue");
  }
  leftOut("wait query full",
          "hazard: asynchronous read of shared address 0x400, which the copy of");
  leftOut("fence scores 0", "hazard: the first product of warp ");
  leftOut("fence scores 1", same); // the one before the output is behind all uses of the scores
  leftOut("wait scores 0", "hazard: register '%s1' belongs to the product of line");
  leftOut("wait scores 1", "hazard: register '%a0' belongs to the product of line");
  leftOut("commit output 0", same); // the next commit takes its products too
  leftOut("commit output 1", "hazard: register '%o1' belongs to the product of line");
  leftOut("wait output", "hazard: register '%o1' belongs to the product of line");
  leftOut("arrive query empty", "deadlock: no warp can continue");

  leftOut("wait out empty", "race: write of shared address 0xb400, which warp 5 has read",
          "race: write of shared address 0xac00, which warp 5 has read");
  leftOut("fence store", "which thread (0,0,0) has written without a fence.proxy.async since");
  leftOut("arrive store", "for barrier 2: 32 of 160 threads arrived");
  leftOut("sync store", "for parity 1 of mbarrier 0xc410 (phase 3, 1 of 1 arrivals pending");
  leftOut("store", different);
  leftOut("commit store", "hazard: write of shared address");
  leftOut("wait store", "hazard: write of shared address");
  leftOut("arrive out empty", "for parity 0 of mbarrier 0xc410 (phase 0, 1 of 1 arrivals pending");

  const std::string text = kernelText();
  size_t names = 0;
  for (size_t at = text.find(" // "); at != std::string::npos; at = text.find(" // ", at + 1))
    ++names;
  EXPECT_EQ(changes.size(), names);
  check(changes);
}

// The other parity, other counts and sizes, the wrong proxy, the wrong stage.
TEST(SeededBugs, LinesChanged) {
  std::vector<Change> changes = {
      {"wait query full", "%r11", "%r12", "hazard: asynchronous read of shared address 0x400"},
      {"wait full 0", "%r11", "%r12", "hazard: asynchronous read of shared address 0x2400"},
      {"wait full 1", "%r11", "%r12", "hazard: asynchronous read of shared address 0x6400"},
      {"wait query empty", "%r12", "%r11", "deadlock: no warp can continue"},
      {"wait empty 0", "%r12", "%r11", "deadlock: no warp can continue"},
      {"wait empty 1", "%r12", "%r11", "deadlock: no warp can continue"},
      {"wait out empty", "%r12", "%r11", "deadlock: no warp can continue"},
      {"wait scores 0", " 0;", " 1;", "hazard: register '%s1' belongs to the product of line"},
      {"wait scores 1", " 0;", " 1;", "hazard: register '%s1' belongs to the product of line"},
      {"wait output", " 0;", " 1;", "hazard: register '%o1' belongs to the product of line"},
      {"wait store", " 0;", " 1;", "hazard: write of shared address"},
      {"sync store", "160", "192", "barrier 2 expects "},
      {"arrive store", "160", "128", "barrier 2 expects "},
      {"arrive store", " 2,", " 3,", "deadlock: no warp can continue"},
      {"fence store", "shared::cta", "global", "without a fence.proxy.async since"},
      {"load key 0", "8192", "24576", "hazard: asynchronous write of shared address"},
      {"give registers", "40", "48", "more registers: the block's pool has"},
      {"take registers", "216", "224", "more registers: the block's pool has"},
  };
  for (const char *barrier :
       {"query full", "query empty", "out empty", "full 0", "empty 0", "full 1", "empty 1"})
    changes.push_back({"init " + std::string(barrier), ", 1;", ", 2;", "of 2 arrivals pending"});
  for (const char *which : {"query", "stage 0", "stage 1"}) {
    const unsigned bytes = which[0] == 'q' ? tileBytes : 2 * tileBytes;
    for (int more : {16, -16})
      changes.push_back({"expect " + std::string(which), number(bytes), number(bytes + more),
                         "0 of 1 arrivals pending, " + std::to_string(more) + " bytes pending)"});
  }
  check(changes);
}

} // namespace
} // namespace attncc::simulator::test
