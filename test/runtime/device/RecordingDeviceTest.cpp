// What a recorded launch leaves on disk: the kernel, its parameters with pointers as offsets into
// buffers, and the buffers before and after.
#include "runtime/device/RecordingDevice.h"
#include "runtime/device/SimulatorDevice.h"
#include "runtime/support/Json.h"
#include "test/runtime/SamplePackage.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <sstream>

using namespace attncc;
using namespace attncc::device;
namespace fs = std::filesystem;

namespace {

/// out[lane] = in[lane] + added
const char *const kAdd = R"(.version 7.8
.target sm_80
.address_size 64

.visible .entry add(
	.param .b64 in,
	.param .b64 out,
	.param .b32 added
)
{
	.reg .b32 %r<4>;
	.reg .b64 %d<5>;
	ld.param.b64 %d0, [in];
	ld.param.b64 %d1, [out];
	ld.param.b32 %r0, [added];
	mov.u32 %r1, %tid.x;
	mul.wide.s32 %d2, %r1, 4;
	add.s64 %d3, %d0, %d2;
	add.s64 %d4, %d1, %d2;
	ld.global.b32 %r2, [%d3];
	add.s32 %r3, %r2, %r0;
	st.global.b32 [%d4], %r3;
	ret;
}
)";

struct AddParams {
  const void *in;
  void *out;
  int32_t added;
};

std::string contentOf(const fs::path &path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Recording : public testing::Test {
protected:
  void SetUp() override {
    inner = *SimulatorDevice::open("");
    device = std::make_shared<RecordingDevice>(inner, folder.path);
    KernelSource source = {kAdd, "add", "add.ptx"};
    source.paramOffsets = {offsetof(AddParams, in), offsetof(AddParams, out),
                           offsetof(AddParams, added)};
    kernel = std::move(*device->loadKernel(source));
    memory = static_cast<int32_t *>(*device->allocate(256, "memory"));
    for (int32_t i = 0; i < 64; ++i)
      memory[i] = i;
  }
  Result<void> launch(const void *in, void *out, std::vector<Buffer> buffers) {
    AddParams params = {in, out, 100};
    return device->launch(*kernel, {{1, 1, 1}, {32, 1, 1}},
                          std::as_bytes(std::span(&params, 1)).first(20), buffers, nullptr);
  }
  std::string file(const std::string &name) const {
    return contentOf(fs::path(folder.path) / name);
  }

  test::TemporaryFolder folder;
  std::shared_ptr<SimulatorDevice> inner;
  std::shared_ptr<RecordingDevice> device;
  std::unique_ptr<Kernel> kernel;
  int32_t *memory = nullptr;
};

TEST_F(Recording, KeepsBuffersBeforeAndAfter) {
  const std::string before(reinterpret_cast<const char *>(memory), 256);
  ASSERT_TRUE(
      launch(memory, memory + 32, {{"in", memory, 128, false}, {"out", memory + 32, 128, true}}));
  EXPECT_EQ(file("0000-add/kernel.ptx"), kAdd);
  EXPECT_EQ(file("0000-add/in.before"), before.substr(0, 128));
  EXPECT_EQ(file("0000-add/out.before"), before.substr(128));
  EXPECT_EQ(file("0000-add/out.after"),
            std::string(reinterpret_cast<const char *>(memory + 32), 128));
  EXPECT_NE(file("0000-add/out.after"), file("0000-add/out.before"));
  EXPECT_FALSE(fs::exists(fs::path(folder.path) / "0000-add/in.after")); // cannot have changed

  Result<json::Document> document =
      json::Document::parse(file("0000-add/launch.json"), "launch.json");
  ASSERT_TRUE(document) << document.error().diagnostic.text();
  const json::Value &launch = document->root();
  EXPECT_EQ(launch.find("entry")->string(), "add");
  EXPECT_EQ((*launch.find("block"))[0].integer(), 32);
  const json::Value &params = *launch.find("params");
  ASSERT_EQ(params.size(), 3u);
  EXPECT_EQ(params[0].find("buffer")->string(), "in");
  EXPECT_EQ(params[1].find("buffer")->string(), "out");
  EXPECT_EQ(params[1].find("offset")->integer(), 0);
  EXPECT_EQ(params[2].find("bytes")->string(), "64000000");
}

TEST_F(Recording, OverlappingBuffersAreOneAndLaunchesAreCounted) {
  ASSERT_TRUE(
      launch(memory, memory + 8, {{"k", memory, 160, false}, {"v", memory + 8, 128, true}}));
  ASSERT_TRUE(
      launch(memory, memory + 8, {{"k", memory, 160, false}, {"v", memory + 8, 128, true}}));
  Result<json::Document> document =
      json::Document::parse(file("0001-add/launch.json"), "launch.json");
  ASSERT_TRUE(document);
  const json::Value &buffers = *document->root().find("buffers");
  ASSERT_EQ(buffers.size(), 1u);
  EXPECT_EQ(buffers[0].find("name")->string(), "k");
  EXPECT_EQ(buffers[0].find("bytes")->integer(), 160);
  EXPECT_TRUE(buffers[0].find("writable")->boolean());
  EXPECT_EQ((*document->root().find("params"))[1].find("offset")->integer(), 32);
  // The second launch began where the first ended.
  EXPECT_EQ(file("0001-add/k.before"), file("0000-add/k.after"));
}

// A tensor map is kept as what it was encoded from: another device encodes it in its own way.
TEST_F(Recording, TensorMapsAreKeptAsRules) {
  const char *const ptx = R"(.version 8.0
.target sm_90a
.address_size 64

.visible .entry take(
	.param .b64 in,
	.param .align 64 .b8 map[128]
)
{
	ret;
}
)";
  KernelSource source = {ptx, "take", "take.ptx"};
  source.paramOffsets = {0, 64};
  auto taking = std::move(*device->loadKernel(source));
  TensorMapDescription description;
  description.begin = memory + 4;
  description.rank = 2;
  description.dims = {16, 3};
  description.strides = {48};
  description.box = {16, 1};
  description.swizzle = 32;
  description.l2Promotion = 128;
  description.fillNaN = true;
  struct {
    const void *in;
    alignas(kTensorMapAlignment) TensorMap map;
  } params = {memory, *device->encodeTensorMap(description)};
  const Buffer buffers[] = {{"in", memory, 256, false}};
  ASSERT_TRUE(device->launch(*taking, {{1, 1, 1}, {32, 1, 1}}, std::as_bytes(std::span(&params, 1)),
                             buffers, nullptr));
  Result<json::Document> document =
      json::Document::parse(file("0000-take/launch.json"), "launch.json");
  ASSERT_TRUE(document) << document.error().diagnostic.text();
  const json::Value &list = *document->root().find("params");
  ASSERT_EQ(list.size(), 2u);
  const json::Value &kept = list[1];
  EXPECT_EQ(kept.find("buffer")->string(), "in");
  EXPECT_EQ(kept.find("offset")->integer(), 16);
  const json::Value &map = *kept.find("tensor_map");
  EXPECT_EQ(map.find("dtype")->string(), "bf16");
  EXPECT_EQ((*map.find("dims"))[1].integer(), 3);
  EXPECT_EQ(map.find("strides")->size(), 1u);
  EXPECT_EQ((*map.find("strides"))[0].integer(), 48);
  EXPECT_EQ((*map.find("box"))[0].integer(), 16);
  EXPECT_EQ(map.find("swizzle")->integer(), 32);
  EXPECT_EQ(map.find("l2_promotion")->integer(), 128);
  EXPECT_EQ(map.find("fill")->string(), "nan");
}

TEST_F(Recording, LaunchesThatAreTooLargeRunUnrecorded) {
  const size_t bytes = RecordingDevice::kLargestRecord + 1;
  auto *large = static_cast<int32_t *>(*device->allocate(bytes, "large"));
  ASSERT_TRUE(launch(memory, large, {{"in", memory, 128, false}, {"out", large, bytes, true}}));
  EXPECT_EQ(large[1], 101);
  EXPECT_TRUE(fs::is_empty(folder.path));
}

// The kernel runs all the same.
TEST_F(Recording, BoundsBeyondTheMemoryAreNotKept) {
  ASSERT_TRUE(
      launch(memory, memory + 32, {{"in", memory, 4096, false}, {"out", memory + 32, 128, true}}));
  EXPECT_EQ(memory[32], 100);
  EXPECT_TRUE(fs::is_empty(folder.path));
}

} // namespace
