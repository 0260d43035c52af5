//===- CaseMemoryTest.cpp - cases in a device's own memory -------------------===//
//
// On the simulator, whose memory stands in for a GPU's.
//
//===----------------------------------------------------------------------===//

#include "runtime/verify/CaseMemory.h"

#include "runtime/verify/CaseData.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace attncc::verify {
namespace {

using testing::ElementsAre;

class OnDevice : public testing::Test {
protected:
  void SetUp() override {
    device = *device::Device::open("sim");
    memory = CaseMemory::onDevice(*device, nullptr);
  }
  /// A kernel's write.
  void write(std::byte *to, int value) {
    std::byte byte{static_cast<unsigned char>(value)};
    ASSERT_TRUE(device->copy(to, &byte, 1, nullptr));
  }
  int read(const std::byte *from) {
    std::byte byte{};
    EXPECT_TRUE(device->copy(&byte, from, 1, nullptr));
    return std::to_integer<int>(byte);
  }
  std::vector<std::string> take() {
    Result<std::vector<std::string>> trespasses = memory->take();
    EXPECT_TRUE(trespasses);
    return trespasses ? *trespasses : std::vector<std::string>();
  }

  std::shared_ptr<device::Device> device;
  std::unique_ptr<CaseMemory> memory;
  std::byte input[100] = {}, output[33] = {};
};

TEST_F(OnDevice, rangesAreCopiedThereAndBack) {
  input[7] = std::byte{42};
  ASSERT_TRUE(
      memory->put({{"input", input, sizeof input}, {"output", output, sizeof output, 0, true}}));
  EXPECT_EQ(memory->at(static_cast<void *>(nullptr)), nullptr);
  EXPECT_EQ(read(memory->at(input + 7)), 42);
  EXPECT_NE(memory->at(input), input);
  write(memory->at(output + 32), 9);
  EXPECT_THAT(take(), ElementsAre());
  EXPECT_EQ(output[32], std::byte{9});
}

// A kernel that assumes more than the 16 bytes that were promised must fail on a GPU.
TEST_F(OnDevice, addressesHaveTheAlignmentAskedForAndNoMore) {
  ASSERT_TRUE(memory->put(
      {{"input", input, sizeof input}, {"output", output, sizeof output, 0, true, true, 256}}));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory->at(input)) % 32, 16u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory->at(output)) % 512, 256u);
}

TEST_F(OnDevice, writesOutsideAreFound) {
  ASSERT_TRUE(
      memory->put({{"input", input, sizeof input}, {"output", output, sizeof output, 0, true}}));
  std::byte *in = memory->at(input), *out = memory->at(output);
  write(out + sizeof output + 3, 0);
  write(out - 2, 0);
  write(in + 50, 1);
  EXPECT_THAT(take(), ElementsAre("input: byte 50 was written, but may only be read",
                                  "output: the byte 2 in front of it was written",
                                  "output: the byte 4 behind its end was written"));
  ASSERT_TRUE(memory->put({{"input", input, sizeof input}}));
  write(memory->at(input) + sizeof input + CaseMemory::kGuardBytes - 1, 0);
  EXPECT_EQ(take().size(), 1u);
}

// What stands between ranges is NaN in every type.
TEST_F(OnDevice, guardsArePoison) {
  ASSERT_TRUE(memory->put({{"input", input, sizeof input}}));
  EXPECT_EQ(read(memory->at(input) - 1), 0xff);
  EXPECT_EQ(read(memory->at(input) + sizeof input), 0xff);
}

TEST_F(OnDevice, refreshLeavesWhatLasts) {
  ASSERT_TRUE(memory->put({{"input", input, sizeof input, 0, true},
                           {"output", output, sizeof output, 0, true, true, 256}}));
  write(memory->at(input + 1), 7);
  write(memory->at(output + 1), 8);
  ASSERT_TRUE(memory->refresh());
  EXPECT_EQ(read(memory->at(input + 1)), 0);
  EXPECT_EQ(read(memory->at(output + 1)), 8);
  EXPECT_THAT(take(), ElementsAre());
}

// A pool whose first page with content lies beyond 4 GiB.
TEST_F(OnDevice, farContentKeepsItsDistance) {
  const size_t far = (size_t(5) << 30) + 48;
  Memory host = std::move(*Memory::map(far + 64));
  host.as<std::byte>()[far + 5] = std::byte{3};
  ASSERT_TRUE(memory->put({{"k", host.as<std::byte>(), host.bytes(), far, true}}));
  std::byte *base = memory->at(host.as<std::byte>());
  EXPECT_EQ(memory->at(host.as<std::byte>() + far), base + far);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(base) % 16, 0u);
  EXPECT_EQ(read(base + far + 5), 3);
  EXPECT_EQ(read(base + far - 1), 0xff);
  write(base + far + 6, 4);
  EXPECT_THAT(take(), ElementsAre());
  EXPECT_EQ(host.as<std::byte>()[far + 6], std::byte{4});
  write(base + far + 64, 0);
  EXPECT_THAT(take(), ElementsAre("k: the byte 1 behind its end was written"));
}

} // namespace
} // namespace attncc::verify
