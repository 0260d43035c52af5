// Bound caches and plans without a device: every check with its exact text, the workspace, the
// variants, and what a launch is given.
#include "runtime/plan/Plan.h"
#include "runtime/plan/MergeStates.h"
#include "test/runtime/FakeDevice.h"
#include "test/runtime/SamplePackage.h"
#include "test/runtime/plan/Tensors.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

using namespace attncc;
using namespace attncc::plan;
using namespace attncc::test;

static std::atomic<int64_t> allocations{0};
void *operator new(size_t bytes) {
  ++allocations;
  if (void *memory = std::malloc(bytes ? bytes : 1))
    return memory;
  throw std::bad_alloc();
}
void *operator new(size_t bytes, const std::nothrow_t &) noexcept {
  ++allocations;
  return std::malloc(bytes ? bytes : 1);
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, size_t) noexcept { std::free(memory); }

namespace {

attncc_kv_layer nhdLayer() {
  attncc_kv_layer layer = {};
  layer.size = sizeof layer;
  layer.k = at<void>(0x10000);
  layer.v = at<void>(0x800000);
  layer.num_pages = 100;
  layer.k_page_stride = layer.v_page_stride = kPageSize * kKvHeads * kHeadDim;
  layer.k_token_stride = layer.v_token_stride = kKvHeads * kHeadDim;
  layer.k_head_stride = layer.v_head_stride = kHeadDim;
  return layer;
}

class WithPackage : public testing::Test {
protected:
  void SetUp() override { reopen(); }
  void reopen() {
    writePackage(sample, folder.path);
    device = std::make_shared<FakeDevice>();
    Result<std::shared_ptr<const package::Package>> opened =
        package::Package::open(device, folder.path);
    ASSERT_TRUE(opened) << opened.error().diagnostic.text();
    package = *opened;
  }
  Result<std::shared_ptr<const KvCache>> bind(const attncc_kv_layer &second) {
    attncc_kv_layer layers[] = {nhdLayer(), second};
    return KvCache::bind(package, "kv0", layers);
  }
  Result<std::unique_ptr<Plan>> create(attncc_limits limits) {
    return Plan::create(package, "kv0", limits);
  }
  attncc_limits limits() const {
    attncc_limits result = {};
    result.max_sequences = 4, result.max_tokens = 16, result.max_query_length = 4;
    result.max_kv_length = 64;
    return result;
  }
  attncc_batch batch() const {
    attncc_batch result = {};
    result.num_sequences = 3, result.num_tokens = 5, result.max_query_length = 2;
    result.max_kv_length = 40;
    result.query_start = at<const int32_t>(0x1000);
    result.kv_length = at<const int32_t>(0x2000);
    result.block_table = at<const int32_t>(0x3000);
    result.block_table_stride = 16;
    return result;
  }

  Sample sample = samplePackage();
  TemporaryFolder folder;
  std::shared_ptr<FakeDevice> device;
  std::shared_ptr<const package::Package> package;
};

using KvBind = WithPackage;

TEST_F(KvBind, TakesEveryLegalLayout) {
  EXPECT_TRUE(bind(nhdLayer()));
  attncc_kv_layer hnd = nhdLayer();
  hnd.k_token_stride = hnd.v_token_stride = kHeadDim;
  hnd.k_head_stride = hnd.v_head_stride = kPageSize * kHeadDim;
  EXPECT_TRUE(bind(hnd));
  attncc_kv_layer interleaved = nhdLayer(); // a page's V behind its K, padded to 1,024 elements
  interleaved.k_page_stride = interleaved.v_page_stride = 1024;
  interleaved.v = static_cast<char *>(interleaved.k) + 2 * kPageSize * kKvHeads * kHeadDim;
  EXPECT_TRUE(bind(interleaved));
  attncc_kv_layer huge = nhdLayer(); // beyond 2^31 elements
  huge.num_pages = 1 << 26;
  EXPECT_TRUE(bind(huge));
  attncc_kv_layer onePage = nhdLayer();
  onePage.num_pages = 1;
  onePage.k_page_stride = 0;
  EXPECT_TRUE(bind(onePage));
}

/// The sample, with a decode kernel that reads pages by tensor maps.
class WithTensorMaps : public WithPackage {
protected:
  void SetUp() override {
    useTensorMaps(sample.manifest);
    reopen();
  }
};

// Dimensions (16 columns, page, panels, heads, pages), strides in bytes, one map for each side and
// layer; a stride over one page moves nothing and is replaced.
TEST_F(WithTensorMaps, BindEncodesEachLayerOnce) {
  attncc_kv_layer second = nhdLayer();
  second.num_pages = 1;
  second.v_page_stride = -8;
  Result<std::shared_ptr<const KvCache>> cache = bind(second);
  ASSERT_TRUE(cache) << messageOf(cache);
  ASSERT_EQ(device->maps.size(), 4u);
  const device::TensorMapDescription &k = device->maps[0];
  EXPECT_EQ(k.begin, at<void>(0x10000));
  EXPECT_EQ(k.rank, 5u);
  EXPECT_EQ(k.dims, (std::array<uint64_t, 5>{16, kPageSize, 1, kKvHeads, 100}));
  EXPECT_EQ(k.strides, (std::array<uint64_t, 4>{kKvHeads * kHeadDim * 2, 32, kHeadDim * 2,
                                                kPageSize * kKvHeads * kHeadDim * 2}));
  EXPECT_EQ(k.box, (std::array<uint32_t, 5>{16, 4, 1, 1, 1}));
  EXPECT_EQ(k.element, device::TensorMapDescription::Element::BF16);
  EXPECT_EQ(std::tuple(k.swizzle, k.l2Promotion, k.fillNaN), std::tuple(32u, 128u, true));
  EXPECT_EQ(device->maps[1].begin, at<void>(0x800000));
  EXPECT_EQ(device->maps[3].dims[4], 1u);
  EXPECT_EQ(device->maps[3].strides[3], kHeadDim * 2u);
}

TEST_F(WithTensorMaps, BindRefusesStridesThatNoTensorMapHas) {
  attncc_kv_layer far = nhdLayer();
  far.num_pages = 2;
  far.v_page_stride = int64_t(1) << 39;
  EXPECT_EQ(messageOf(bind(far)),
            "layers[1].v_page_stride is 549755813888 elements (1099511627776 bytes): must be below "
            "1099511627776 bytes for a kernel that reads pages by tensor maps");
  far.v_page_stride -= 8;
  EXPECT_TRUE(bind(far));
}

// The maps of the layer stand where decode/1 has bases and strides; everything behind is the same.
TEST_F(WithTensorMaps, AttendPassesTheLayersMaps) {
  std::shared_ptr<const KvCache> cache = *bind(nhdLayer());
  std::unique_ptr<Plan> plan = std::move(*create(limits()));
  ASSERT_TRUE(plan->setWorkspace(std::aligned_alloc(256, plan->workspaceBytes()),
                                 plan->workspaceBytes(), nullptr));
  attncc_batch next = batch();
  next.max_kv_length = 8; // one split
  ASSERT_TRUE(plan->update(next, nullptr));
  attncc_attend_args args = {};
  args.query = tensorAt(0x50000, 5, kQueryHeads);
  args.output = tensorAt(0x60000, 5, kQueryHeads);
  ASSERT_TRUE(plan->attend(*cache, 1, args, nullptr));
  ASSERT_EQ(device->maps.size(), 4u);
  ASSERT_EQ(device->launches.size(), 1u);
  const FakeDevice::Launch &launch = device->launches.back();
  ASSERT_EQ(launch.params.size(), paramsBytes<DecodeTensorParams>());
  DecodeTensorParams params;
  std::memcpy(static_cast<void *>(&params), launch.params.data(), launch.params.size());
  auto numberOf = [](const device::TensorMap &map) {
    size_t number = 0;
    std::memcpy(&number, map.bytes.data(), sizeof number);
    return number;
  };
  EXPECT_EQ(numberOf(params.k), 2u);
  EXPECT_EQ(numberOf(params.v), 3u);
  EXPECT_EQ(params.query.data, at<void>(0x50000));
  EXPECT_EQ(params.batch.blockTable, at<const int32_t>(0x3000));
  EXPECT_EQ(params.output.data, at<void>(0x60000));
  EXPECT_EQ(params.scaleLog2, static_cast<float>(0.25 * M_LOG2E));
  ASSERT_TRUE(launch.buffer("k"));
  EXPECT_EQ(launch.buffer("k")->begin, at<void>(0x10000));
}

TEST_F(KvBind, StridesAndBasesHaveExactMessages) {
  struct Case {
    void (*change)(attncc_kv_layer &);
    const char *message;
  };
  const Case cases[] = {
      {[](attncc_kv_layer &l) { l.v_token_stride = 65; },
       "layers[1].v_token_stride is 65 elements (130 bytes): must be a multiple of 16 bytes"},
      {[](attncc_kv_layer &l) { l.k_page_stride = 132; },
       "layers[1].k_page_stride is 132 elements (264 bytes): must be a multiple of 16 bytes"},
      {[](attncc_kv_layer &l) { l.k_head_stride = 8; },
       "layers[1].k_head_stride is 8 elements: must be at least the row's 16"},
      {[](attncc_kv_layer &l) { l.v_page_stride = -128; },
       "layers[1].v_page_stride is -128 elements: must be at least the row's 16"},
      {[](attncc_kv_layer &l) { l.k = at<void>(0x10008); },
       "layers[1].k is at address 65544: must be a multiple of 16 bytes"},
      {[](attncc_kv_layer &l) { l.v = nullptr; }, "layers[1].v is null"},
      {[](attncc_kv_layer &l) { l.num_pages = 0; },
       "layers[1].num_pages is 0: must be from 1 to 2147483647"},
      {[](attncc_kv_layer &l) { l.num_pages = int64_t(1) << 31; },
       "layers[1].num_pages is 2147483648: must be from 1 to 2147483647"},
      {[](attncc_kv_layer &l) { l.v_page_stride = int64_t(1) << 60; },
       "layers[1].v with 100 pages of stride 1152921504606846976 elements leaves the address "
       "space"},
      {[](attncc_kv_layer &l) { l.v_page_stride = INT64_MAX; },
       "layers[1].v_page_stride is 9223372036854775807 elements: leaves 64 bits in bytes"},
      {[](attncc_kv_layer &l) { l.kv_heads = 1; },
       "layers[1].kv_heads is 1: must be that of layers[0], 0"},
  };
  for (const Case &c : cases) {
    attncc_kv_layer layer = nhdLayer();
    c.change(layer);
    Result<std::shared_ptr<const KvCache>> bound = bind(layer);
    EXPECT_EQ(messageOf(bound), c.message);
    if (!bound)
      EXPECT_EQ(bound.error().status, Status::InvalidArgument);
  }
}

TEST_F(KvBind, GroupsLayersAndScales) {
  attncc_kv_layer layers[] = {nhdLayer(), nhdLayer(), nhdLayer()};
  EXPECT_EQ(messageOf(KvCache::bind(package, "kv0", layers)),
            "num_layers is 3: must be the 2 of group kv0");
  EXPECT_EQ(messageOf(KvCache::bind(package, "kv1", std::span(layers).first(2))),
            "group is \"kv1\", must be one of kv0");
  float scale = 1;
  layers[0].k_scale = &scale;
  Result<std::shared_ptr<const KvCache>> scaled =
      KvCache::bind(package, "kv0", std::span(layers).first(2));
  ASSERT_FALSE(scaled);
  EXPECT_EQ(scaled.error().status, Status::Unsupported);
  layers[0] = nhdLayer();
  layers[0].kv_heads = 3;
  EXPECT_EQ(messageOf(KvCache::bind(package, "kv0", std::span(layers).first(2))),
            "kv_heads is 3: must be at most the 2 of group kv0");
}

TEST_F(KvBind, SpansFollowTheStrides) {
  auto cache = *bind(nhdLayer());
  EXPECT_EQ(cache->keyBytes(0), 100 * 128 * 2);
  attncc_kv_layer rank = nhdLayer();
  rank.kv_heads = 1;
  attncc_kv_layer layers[] = {rank, rank};
  auto ofRank = *KvCache::bind(package, "kv0", layers);
  EXPECT_EQ(ofRank->keyBytes(0), (100 * 128 - 16) * 2);
  EXPECT_EQ(ofRank->kvHeads(), 1);
}

TEST_F(KvBind, PoolLayoutBindsAndFillsItsBytes) {
  const package::CacheGroup &group = package->manifest().cacheGroups[0];
  PoolLayout sizeOnly = *layoutPool(group, kKvHeads, 10, nullptr);
  EXPECT_EQ(sizeOnly.bytes, 10 * group.pageBytesPerLayer() * kLayers);
  EXPECT_TRUE(sizeOnly.layers.empty());
  PoolLayout layout = *layoutPool(group, kKvHeads, 10, at<void>(0x100000));
  auto cache = KvCache::bind(package, "kv0", layout.layers);
  ASSERT_TRUE(cache) << messageOf(cache);
  // The last V row of the last layer ends where the allocation does.
  EXPECT_EQ(reinterpret_cast<uint64_t>(layout.layers[1].v) + (*cache)->valueBytes(1),
            0x100000 + static_cast<uint64_t>(layout.bytes));
  EXPECT_EQ(messageOf(layoutPool(group, kKvHeads, 10, at<void>(0x100010))),
            "base is at address 1048592: must be a multiple of 256 bytes");
}

TEST_F(KvBind, CopyPagesFollowsAnyLayout) {
  for (bool nhd : {true, false})
    for (int64_t padding : {0, 16}) {
      const int64_t row = kHeadDim + padding;
      attncc_kv_layer layer = nhdLayer();
      layer.num_pages = 3;
      layer.k_token_stride = layer.v_token_stride = nhd ? kKvHeads * row : row;
      layer.k_head_stride = layer.v_head_stride = nhd ? row : kPageSize * row;
      layer.k_page_stride = layer.v_page_stride = kPageSize * kKvHeads * row;
      std::vector<uint16_t> k(static_cast<size_t>(3 * layer.k_page_stride)), v(k.size());
      for (size_t i = 0; i < k.size(); ++i)
        k[i] = static_cast<uint16_t>(i), v[i] = static_cast<uint16_t>(~i);
      std::vector<uint16_t> kBefore = k, vBefore = v;
      auto align = [](std::vector<uint16_t> &from) { // 16-byte alignment
        return reinterpret_cast<uint64_t>(from.data()) % 16 == 0;
      };
      ASSERT_TRUE(align(k) && align(v));
      layer.k = k.data(), layer.v = v.data();
      attncc_kv_layer other = layer;
      std::vector<uint16_t> k2 = k, v2 = v;
      other.k = k2.data(), other.v = v2.data();
      attncc_kv_layer layers[] = {layer, other};
      auto cache = *KvCache::bind(package, "kv0", layers);
      pool::PageCopy copies[] = {{2, 0}, {0, 1}};
      ASSERT_TRUE(cache->copyPages(copies, nullptr));
      for (int64_t page : {0, 1, 2})
        for (int64_t token = 0; token < kPageSize; ++token)
          for (int64_t head = 0; head < kKvHeads; ++head)
            for (int64_t d = 0; d < row; ++d) {
              size_t inPage = static_cast<size_t>(token * layer.k_token_stride +
                                                  head * layer.k_head_stride + d);
              size_t here = static_cast<size_t>(page * layer.k_page_stride) + inPage;
              size_t source = static_cast<size_t>(2 * layer.k_page_stride) + inPage;
              if (d >= kHeadDim) // padding belongs to someone else
                source = here;
              EXPECT_EQ(k[here], kBefore[source]);
              EXPECT_EQ(v2[here], vBefore[source]);
            }
      pool::PageCopy bad[] = {{0, 3}};
      EXPECT_EQ(messageOf(cache->copyPages(bad, nullptr)),
                "copies[0] names page 3, layers[0] has 3");
    }
}

using PlanCreate = WithPackage;

TEST_F(PlanCreate, WorkspaceIsExact) {
  // 64 tokens: 4 splits of 8 up to 32 tokens, 4 of 16 at 64.
  EXPECT_EQ((*create(limits()))->workspaceBytes(), 256 + 256 + 4 * 4 * 4 * kQueryHeads * 17 * 4);
  attncc_limits rank = limits();
  rank.kv_heads = 1;
  EXPECT_EQ((*create(rank))->workspaceBytes(), 256 + 256 + 4 * 4 * 4 * 2 * 17 * 4);
  EXPECT_EQ((*create(rank))->kvHeads(), 1);
  rank.kv_heads = 0;
  rank.query_heads = 2;
  EXPECT_EQ((*create(rank))->kvHeads(), 1);
  // Prompts go through append alone: the workspace knows decode's 8 query tokens at most.
  attncc_limits prompts = limits();
  prompts.max_query_length = 1000, prompts.max_tokens = 4000;
  EXPECT_EQ((*create(prompts))->workspaceBytes(), 256 + 256 + 4 * 4 * 8 * kQueryHeads * 17 * 4);
}

TEST_F(PlanCreate, LimitsAreChecked) {
  attncc_limits bad = limits();
  bad.max_sequences = 0;
  EXPECT_EQ(messageOf(create(bad)), "max_sequences is 0: must be from 1 to 65535");
  bad = limits();
  bad.max_kv_length = 1u << 31;
  EXPECT_EQ(messageOf(create(bad)), "max_kv_length is 2147483648: must be from 1 to 2147483647");
  bad = limits();
  bad.query_heads = 3;
  EXPECT_EQ(messageOf(create(bad)), "query_heads is 3: must be 2 x kv_heads = 4 for class full");
  bad = limits();
  bad.query_heads = 64;
  EXPECT_EQ(messageOf(create(bad)), "query_heads is 64: must be 2 x kv_heads = 4 for class full");
  bad = limits();
  bad.kv_heads = 3;
  EXPECT_EQ(messageOf(create(bad)), "kv_heads is 3: must be at most the 2 of group kv0");
  bad = limits();
  bad.policy = 2;
  EXPECT_EQ(messageOf(create(bad)),
            "policy is 2: must be ATTNCC_INVARIANT (0) or ATTNCC_THROUGHPUT (1)");
  EXPECT_EQ(messageOf(Plan::create(package, "kv7", limits())),
            "group is \"kv7\", must be one of kv0");
  EXPECT_TRUE(Plan::create(package, nullptr, limits())); // the only group
}

class PlanCalls : public WithPackage {
protected:
  void SetUp() override {
    WithPackage::SetUp();
    plan = std::move(*create(limits()));
    cache = *bind(nhdLayer());
    memory.resize(static_cast<size_t>(plan->workspaceBytes()) + 256, 0xcc);
    workspace = memory.data() + (256 - reinterpret_cast<uint64_t>(memory.data()) % 256) % 256;
  }
  void ready() {
    ASSERT_TRUE(plan->setWorkspace(workspace, plan->workspaceBytes(), nullptr));
    ASSERT_TRUE(plan->update(batch(), nullptr));
  }
  attncc_attend_args attendArgs() const {
    attncc_attend_args args = {};
    args.query = tensorAt(0x4000, 5, kQueryHeads);
    args.output = tensorAt(0x5000, 5, kQueryHeads);
    return args;
  }
  attncc_append_args appendArgs() const {
    attncc_append_args args = {};
    args.query = tensorAt(0x4000, 5, kQueryHeads);
    args.query_out = tensorAt(0x4000, 5, kQueryHeads);
    args.key = tensorAt(0x6000, 5, kKvHeads);
    args.value = tensorAt(0x7000, 5, kKvHeads);
    return args;
  }
  /// Attends to `sequences` of one query each, by a plan for up to 16; bounds of the keys: of the
  /// plan, then of the batch. Only the launches of the attention are left.
  void attendBatch(uint32_t policy, uint32_t mostTokens, uint32_t sequences, uint32_t tokens) {
    attncc_limits bounds = limits();
    bounds.policy = policy;
    bounds.max_kv_length = mostTokens;
    bounds.max_sequences = 16;
    plan = std::move(*create(bounds));
    EXPECT_TRUE(plan->setWorkspace(workspace, plan->workspaceBytes(), nullptr));
    attncc_batch next = batch();
    next.num_sequences = sequences, next.max_query_length = 1, next.max_kv_length = tokens;
    next.block_table_stride = mostTokens;
    EXPECT_TRUE(plan->update(next, nullptr));
    device->launches.clear();
    EXPECT_TRUE(plan->attend(*cache, 0, attendArgs(), nullptr));
  }
  template <class T> T paramsOf(size_t launch) const {
    T params;
    EXPECT_EQ(device->launches.at(launch).params.size(), paramsBytes<T>());
    std::memcpy(static_cast<void *>(&params), device->launches[launch].params.data(),
                paramsBytes<T>());
    return params;
  }

  std::unique_ptr<Plan> plan;
  std::shared_ptr<const KvCache> cache;
  std::vector<unsigned char> memory;
  unsigned char *workspace = nullptr;
};

TEST_F(PlanCalls, WorkspaceIsCheckedAndItsHeadCleared) {
  EXPECT_EQ(messageOf(plan->setWorkspace(nullptr, 1 << 20, nullptr)), "device_memory is null");
  EXPECT_EQ(messageOf(plan->setWorkspace(at<void>(0x1010), 1 << 20, nullptr)),
            "device_memory is at address 4112: must be a multiple of 256 bytes");
  EXPECT_EQ(messageOf(plan->setWorkspace(workspace, plan->workspaceBytes() - 1, nullptr)),
            "bytes is " + std::to_string(plan->workspaceBytes() - 1) +
                ": must be at least the plan's workspace " +
                std::to_string(plan->workspaceBytes()));
  ASSERT_TRUE(plan->setWorkspace(workspace, plan->workspaceBytes(), nullptr));
  for (int i = 0; i < 512; ++i)
    EXPECT_EQ(workspace[i], 0);
  EXPECT_EQ(workspace[512], 0xcc);
}

TEST_F(PlanCalls, OrderOfCalls) {
  EXPECT_EQ(messageOf(plan->attend(*cache, 0, attendArgs(), nullptr)),
            "the plan has no workspace: call attncc_plan_set_workspace first");
  EXPECT_EQ(messageOf(plan->check(nullptr)),
            "the plan has no workspace: call attncc_plan_set_workspace first");
  ASSERT_TRUE(plan->setWorkspace(workspace, plan->workspaceBytes(), nullptr));
  EXPECT_EQ(messageOf(plan->append(*cache, 0, appendArgs(), nullptr)),
            "the plan has no batch: call attncc_plan_update first");
  EXPECT_TRUE(device->launches.empty());
}

TEST_F(PlanCalls, BoundsOfTheBatch) {
  attncc_batch bad = batch();
  bad.num_sequences = 5;
  Result<void> updated = plan->update(bad, nullptr);
  EXPECT_EQ(messageOf(updated), "num_sequences is 5: must be at most the plan's 4");
  EXPECT_EQ(updated.error().status, Status::LimitExceeded);
  bad = batch();
  bad.max_kv_length = 65;
  EXPECT_EQ(messageOf(plan->update(bad, nullptr)),
            "max_kv_length is 65: must be at most the plan's 64");
  bad = batch();
  bad.kv_length = nullptr;
  EXPECT_EQ(messageOf(plan->update(bad, nullptr)), "kv_length is null");
  bad = batch();
  bad.block_table_stride = 9;
  EXPECT_EQ(messageOf(plan->update(bad, nullptr)),
            "block_table_stride is 9: must be at least the 10 pages of max_kv_length 40");
  bad.page_indptr = at<const int32_t>(0x9000);
  EXPECT_TRUE(plan->update(bad, nullptr));
  bad = batch();
  bad.max_query_length = 0;
  EXPECT_EQ(messageOf(plan->update(bad, nullptr)),
            "max_query_length is 0: must be at least 1, as num_tokens is 5");
}

TEST_F(PlanCalls, DecodeAndMergeAreLaunchedWithTheBatch) {
  ready();
  attncc_attend_args args = attendArgs();
  args.lse.data = at<void>(0x8000);
  args.lse.rank = 2, args.lse.shape[0] = 5, args.lse.shape[1] = 4;
  args.lse.stride[0] = 8, args.lse.stride[1] = 2;
  args.lse.code = 2, args.lse.bits = 32, args.lse.lanes = 1;
  args.query.stride[0] = 96; // a view into packed q, k, v
  ASSERT_TRUE(plan->attend(*cache, 1, args, at<void>(7)));
  ASSERT_EQ(device->launches.size(), 2u);

  const FakeDevice::Launch &decode = device->launches[0];
  EXPECT_EQ(decode.entry, "sample_decode");
  // 2 kv heads x ceil(2 * 2 / 8) chunks; at most 4 splits up to 40 tokens; 3 sequences.
  EXPECT_EQ(decode.shape.grid, (std::array<uint32_t, 3>{2, 3, 4}));
  EXPECT_EQ(decode.shape.block, (std::array<uint32_t, 3>{32, 1, 1}));
  EXPECT_EQ(decode.stream, at<void>(7));
  DecodeParams params = paramsOf<DecodeParams>(0);
  EXPECT_EQ(params.query.data, at<void>(0x4000));
  EXPECT_EQ(params.query.tokenStride, 96);
  EXPECT_EQ(params.k.data, at<void>(0x10000));
  EXPECT_EQ(params.v.pageStride, 128);
  EXPECT_EQ(params.batch.queryStart, at<const int32_t>(0x1000));
  EXPECT_EQ(params.batch.blockTableStride, 16);
  EXPECT_EQ(params.batch.numPages, 100);
  EXPECT_EQ(params.batch.kvHeads, 2);
  EXPECT_EQ(params.batch.maxKvLength, 40);
  EXPECT_EQ(params.batch.maxQueryLength, 2);
  EXPECT_EQ(params.batch.splitTokens, 0);
  EXPECT_EQ(params.lse.headStride, 2);
  EXPECT_EQ(params.workspace, workspace);
  EXPECT_FLOAT_EQ(params.scaleLog2, 0.25f * std::log2(std::exp(1.0f)));

  // What each parameter covers.
  EXPECT_EQ(decode.buffer("query")->bytes, (4 * 96 + 3 * 16 + 16) * 2u);
  EXPECT_EQ(decode.buffer("output")->bytes, 5 * 4 * 16 * 2u);
  EXPECT_TRUE(decode.buffer("output")->writable);
  EXPECT_FALSE(decode.buffer("k")->writable);
  EXPECT_EQ(decode.buffer("k")->bytes, 100 * 128 * 2u);
  EXPECT_EQ(decode.buffer("lse")->bytes, (4 * 8 + 3 * 2 + 1) * 4u);
  EXPECT_EQ(decode.buffer("query_start")->bytes, 16u);
  EXPECT_EQ(decode.buffer("block_table")->bytes, (2 * 16 + 10) * 4u);
  EXPECT_EQ(decode.buffer("page_indptr")->bytes, 0u);

  EXPECT_EQ(device->launches[1].entry, "sample_merge");
  EXPECT_EQ(device->launches[1].shape.grid, (std::array<uint32_t, 3>{8, 1, 3}));
  EXPECT_EQ(paramsOf<MergeParams>(1).lse.data, at<void>(0x8000));
}

TEST_F(PlanCalls, OneSplitNeedsNoMerge) {
  ready();
  attncc_batch small = batch();
  small.max_kv_length = 8;
  ASSERT_TRUE(plan->update(small, nullptr));
  ASSERT_TRUE(plan->attend(*cache, 0, attendArgs(), nullptr));
  ASSERT_EQ(device->launches.size(), 1u);
  EXPECT_EQ(device->launches[0].shape.grid[2], 1u);
}

TEST_F(PlanCalls, AppendIsLaunchedWithTheBatch) {
  ready();
  attncc_batch next = batch();
  next.slot_mapping = at<const int64_t>(0xa000);
  ASSERT_TRUE(plan->update(next, nullptr));
  attncc_append_args args = appendArgs();
  args.query_out = tensorAt(0x5000, 5, kQueryHeads);
  args.position = at<const int64_t>(0xb000);
  ASSERT_TRUE(plan->append(*cache, 0, args, nullptr));
  ASSERT_EQ(device->launches.size(), 1u);
  EXPECT_EQ(device->launches[0].shape.grid, (std::array<uint32_t, 3>{2, 2, 3}));
  AppendParams params = paramsOf<AppendParams>(0);
  EXPECT_EQ(params.key.data, at<void>(0x6000));
  EXPECT_EQ(params.queryOut.data, at<void>(0x5000));
  EXPECT_EQ(params.cosSin.data, nullptr);
  EXPECT_EQ(params.slotMapping, at<const int64_t>(0xa000));
  EXPECT_EQ(params.position, at<const int64_t>(0xb000));
  EXPECT_EQ(device->launches[0].buffer("slot_mapping")->bytes, 40u);
  EXPECT_TRUE(device->launches[0].buffer("v")->writable);
}

TEST_F(PlanCalls, EmptyBatchesLaunchNothing) {
  ready();
  attncc_batch empty = {};
  ASSERT_TRUE(plan->update(empty, nullptr));
  ASSERT_TRUE(plan->append(*cache, 0, appendArgs(), nullptr));
  ASSERT_TRUE(plan->attend(*cache, 0, attendArgs(), nullptr));
  EXPECT_TRUE(device->launches.empty());
}

TEST_F(PlanCalls, LongQueriesAppendButDoNotAttend) {
  attncc_limits prompts = limits();
  prompts.max_query_length = 16;
  plan = std::move(*create(prompts));
  ready();
  attncc_batch next = batch();
  next.max_query_length = 9;
  ASSERT_TRUE(plan->update(next, nullptr));
  EXPECT_TRUE(plan->append(*cache, 0, appendArgs(), nullptr));
  Result<void> attended = plan->attend(*cache, 0, attendArgs(), nullptr);
  EXPECT_EQ(messageOf(attended),
            "max_query_length is 9: attend takes up to 8, as this package has no prefill kernel of "
            "class full");
  EXPECT_EQ(attended.error().status, Status::Unsupported);
}

class PlanWithPrefill : public PlanCalls {
protected:
  void SetUp() override {
    test::addPrefill(sample);
    if (tensorMaps)
      useTensorMaps(sample.manifest);
    PlanCalls::SetUp();
    attncc_limits prompts = limits();
    prompts.max_query_length = 100;
    plan = std::move(*create(prompts));
    memory.resize(static_cast<size_t>(plan->workspaceBytes()) + 256, 0xcc);
    workspace = memory.data() + (256 - reinterpret_cast<uint64_t>(memory.data()) % 256) % 256;
  }
  bool tensorMaps = false;
};

// Which kernel a sequence takes is known on the device only, so a bound above decode's limit
// launches both; decode and merge have blocks for up to 8 query tokens, and read the bound of all.
TEST_F(PlanWithPrefill, LongQueriesLaunchAllThree) {
  ready();
  attncc_batch next = batch();
  next.max_query_length = 20;
  ASSERT_TRUE(plan->update(next, nullptr));
  ASSERT_TRUE(plan->attend(*cache, 0, attendArgs(), nullptr));
  ASSERT_EQ(device->launches.size(), 3u);
  using Grid = std::array<uint32_t, 3>;
  EXPECT_EQ(device->launches[0].entry, "sample_prefill");
  EXPECT_EQ(device->launches[0].shape.grid, (Grid{2 * 3, 1, 3})); // ceil(2 · 20 / 16) chunks
  EXPECT_EQ(device->launches[1].entry, "sample_decode");
  EXPECT_EQ(device->launches[1].shape.grid[0], 2u * 2); // ceil(2 · 8 / 8)
  EXPECT_EQ(device->launches[2].entry, "sample_merge");
  EXPECT_EQ(device->launches[2].shape.grid[0], 2u * 2 * 8);
  for (size_t i : {0, 1})
    EXPECT_EQ(paramsOf<DecodeParams>(i).batch.maxQueryLength, 20);
  EXPECT_EQ(paramsOf<MergeParams>(2).batch.maxQueryLength, 20);
}

TEST_F(PlanWithPrefill, ShortQueriesLaunchNoPrefill) {
  ready();
  attncc_batch next = batch();
  next.max_query_length = 8;
  ASSERT_TRUE(plan->update(next, nullptr));
  ASSERT_TRUE(plan->attend(*cache, 0, attendArgs(), nullptr));
  ASSERT_EQ(device->launches.size(), 2u);
  EXPECT_EQ(device->launches[0].entry, "sample_decode");
}

// The partials of a plan for prompts are those of decode: longer queries have none.
TEST_F(PlanWithPrefill, WorkspaceIsDecodes) {
  attncc_limits decodes = limits();
  decodes.max_query_length = 8;
  EXPECT_EQ(plan->workspaceBytes(), (*create(decodes))->workspaceBytes());
}

class PrefillByTensorMaps : public PlanWithPrefill {
protected:
  PrefillByTensorMaps() { tensorMaps = true; }
};

// Blocks that stay are as many as the device runs at once, or as there are chunks of rows; they are
// told how many sequences there are. The kernel has maps of its own.
TEST_F(PrefillByTensorMaps, BlocksStayForAllSequences) {
  ready();
  EXPECT_EQ(device->maps.size(), 2u * 2 * 2); // kernels, layers, sides
  attncc_batch next = batch();
  for (auto [queries, blocks] : {std::pair(12, 2 * 2 * 3), std::pair(40, 16)}) {
    next.max_query_length = queries; // ceil(2 · 12 / 16) chunks of 2 kv heads of 3 sequences
    ASSERT_TRUE(plan->update(next, nullptr));
    device->launches.clear();
    ASSERT_TRUE(plan->attend(*cache, 0, attendArgs(), nullptr));
    ASSERT_FALSE(device->launches.empty());
    EXPECT_EQ(device->launches[0].entry, "sample_prefill");
    EXPECT_EQ(device->launches[0].shape.grid,
              (std::array<uint32_t, 3>{static_cast<uint32_t>(blocks), 1, 1}));
    auto params = paramsOf<PrefillTensorParams>(0);
    EXPECT_EQ(params.numSequences, 3);
    EXPECT_EQ(params.batch.maxQueryLength, queries);
    size_t number = 0;
    std::memcpy(&number, params.k.bytes.data(), sizeof number);
    EXPECT_EQ(number, 2u); // behind those of the layer's decode
  }
}

TEST_F(PlanCalls, TensorsHaveExactMessages) {
  ready();
  struct Case {
    void (*change)(attncc_attend_args &);
    const char *message;
  };
  const Case cases[] = {
      {[](attncc_attend_args &a) { a.query.data = nullptr; }, "query.data is null"},
      {[](attncc_attend_args &a) { a.query.code = 2; }, "query is f16: must be bf16"},
      {[](attncc_attend_args &a) { a.output.code = 2, a.output.bits = 32; },
       "output is f32: must be bf16"},
      {[](attncc_attend_args &a) { a.query.rank = 2; }, "query.rank is 2: must be 3"},
      {[](attncc_attend_args &a) { a.query.shape[0] = 4; },
       "query.shape[0] is 4: must be at least the batch's num_tokens 5"},
      {[](attncc_attend_args &a) { a.query.shape[1] = 8; },
       "query.shape[1] is 8: must be the 4 heads of this layer"},
      {[](attncc_attend_args &a) { a.output.shape[2] = 32; },
       "output.shape[2] is 32: must be the head's 16"},
      {[](attncc_attend_args &a) { a.query.stride[2] = 2; }, "query.stride[2] is 2: must be 1"},
      {[](attncc_attend_args &a) { a.query.stride[0] = 65; },
       "query.stride[0] is 65 elements (130 bytes): must be a multiple of 16 bytes"},
      {[](attncc_attend_args &a) { a.output.stride[1] = 8; },
       "output.stride[1] is 8 elements: must be at least the row's 16"},
      {[](attncc_attend_args &a) { a.output.stride[0] = INT64_MAX / 2; },
       "output.stride[0] is 4611686018427387903 elements: leaves the address space"},
      {[](attncc_attend_args &a) { a.query.data = at<void>(0x4002); },
       "query.data is at address 16386: must be a multiple of 16 bytes"},
      {[](attncc_attend_args &a) { a.lse = a.query; }, "lse is bf16: must be f32"},
  };
  for (const Case &c : cases) {
    attncc_attend_args args = attendArgs();
    c.change(args);
    EXPECT_EQ(messageOf(plan->attend(*cache, 0, args, nullptr)), c.message);
  }
  EXPECT_TRUE(device->launches.empty());
  EXPECT_EQ(messageOf(plan->attend(*cache, 2, attendArgs(), nullptr)),
            "layer is 2: must be below the group's 2");
}

TEST_F(PlanCalls, CacheMustBeThePlans) {
  ready();
  attncc_kv_layer rank = nhdLayer();
  rank.kv_heads = 1;
  attncc_kv_layer layers[] = {rank, rank};
  auto other = *KvCache::bind(package, "kv0", layers);
  EXPECT_EQ(messageOf(plan->attend(*other, 0, attendArgs(), nullptr)),
            "kv has 1 kv_heads: must be the plan's 2");
  auto previous = package;
  reopen();
  auto foreign = *bind(nhdLayer());
  EXPECT_EQ(messageOf(plan->attend(*foreign, 0, attendArgs(), nullptr)),
            "kv is bound to group kv0 of another package: must be the plan's group kv0");
}

/// A package whose class has a prologue, with the append kernels named.
class PlanPrologues : public PlanCalls {
protected:
  void give(std::vector<package::Prologue> prologues, bool rope, bool norm) {
    package::Manifest &manifest = sample.manifest;
    if (norm)
      manifest.layerClasses[0].qkNorm = package::QkNorm{1e-6};
    if (rope)
      manifest.layerClasses[0].rope =
          package::Rope{.dim = 8, .parameters = {}, .inverseFrequencies = {1, 0.5f, 0.25f, 0.125f}};
    package::KernelEntry append = manifest.kernels[0];
    manifest.kernels.erase(manifest.kernels.begin());
    for (package::Prologue prologue : prologues) {
      append.prologue = prologue;
      append.entry = std::string("sample_append_") + package::prologueName(prologue);
      manifest.kernels.push_back(append);
    }
    reopen();
    plan = std::move(*create(limits()));
    cache = *bind(nhdLayer());
    ready();
  }
  static constexpr auto kFused = package::Prologue::Fused, kNone = package::Prologue::None;
};

TEST_F(PlanPrologues, TheArgumentPicksTheKernel) {
  give({kFused, kNone}, /*rope=*/true, /*norm=*/false);
  attncc_append_args args = appendArgs();
  ASSERT_TRUE(plan->append(*cache, 0, args, nullptr));
  EXPECT_EQ(device->launches.back().entry, "sample_append_fused");
  args.prologue = ATTNCC_PROLOGUE_NONE;
  ASSERT_TRUE(plan->append(*cache, 0, args, nullptr));
  EXPECT_EQ(device->launches.back().entry, "sample_append_none");
}

TEST_F(PlanPrologues, AClassWithoutOneHasOneKernel) {
  for (uint32_t prologue : {ATTNCC_PROLOGUE_FUSED, ATTNCC_PROLOGUE_NONE}) {
    ready();
    attncc_append_args args = appendArgs();
    args.prologue = prologue;
    ASSERT_TRUE(plan->append(*cache, 0, args, nullptr));
    EXPECT_EQ(device->launches.back().entry, "sample_append");
  }
}

TEST_F(PlanPrologues, WithoutOneQueriesAreOptional) {
  give({kFused, kNone}, /*rope=*/true, /*norm=*/true);
  attncc_append_args args = appendArgs();
  args.prologue = ATTNCC_PROLOGUE_NONE;
  ASSERT_TRUE(plan->append(*cache, 0, args, nullptr)); // in place: nothing to copy
  EXPECT_EQ(paramsOf<AppendParams>(0).query.data, nullptr);
  EXPECT_EQ(paramsOf<AppendParams>(0).queryOut.data, nullptr);
  EXPECT_EQ(device->launches[0].buffer("query")->bytes, 0u);
  args.query_out = tensorAt(0x5000, 5, kQueryHeads);
  ASSERT_TRUE(plan->append(*cache, 0, args, nullptr));
  EXPECT_EQ(paramsOf<AppendParams>(1).query.data, at<void>(0x4000));
  EXPECT_EQ(paramsOf<AppendParams>(1).queryOut.data, at<void>(0x5000));
  args.query_out = {};
  EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)),
            "query_out.data is null, but query is given");
  args.query_out = args.query;
  args.query = {};
  EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)),
            "query.data is null, but query_out is given");
  args.query_out = {};
  ASSERT_TRUE(plan->append(*cache, 0, args, nullptr));
  EXPECT_EQ(paramsOf<AppendParams>(2).key.data, at<void>(0x6000));
  EXPECT_EQ(paramsOf<AppendParams>(2).query.data, nullptr);
  args.prologue = ATTNCC_PROLOGUE_FUSED;
  args.q_norm = args.k_norm = at<void>(0xc000);
  EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)), "query.data is null");
}

TEST_F(PlanPrologues, WhatAPrologueNeedsIsRefusedWithoutOne) {
  give({kFused, kNone}, /*rope=*/true, /*norm=*/true);
  attncc_append_args args = appendArgs();
  args.prologue = ATTNCC_PROLOGUE_NONE;
  args.k_norm = at<void>(0xc000);
  EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)),
            "k_norm is given, but prologue is ATTNCC_PROLOGUE_NONE");
  args.k_norm = nullptr;
  args.cos_sin.data = at<void>(0xd000);
  EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)),
            "cos_sin is given, but prologue is ATTNCC_PROLOGUE_NONE");
}

TEST_F(PlanPrologues, APackageMayLackEither) {
  give({kFused}, /*rope=*/true, /*norm=*/false);
  attncc_append_args args = appendArgs();
  EXPECT_TRUE(plan->append(*cache, 0, args, nullptr));
  args.prologue = ATTNCC_PROLOGUE_NONE;
  Result<void> appended = plan->append(*cache, 0, args, nullptr);
  EXPECT_EQ(messageOf(appended),
            "prologue is ATTNCC_PROLOGUE_NONE: this package has no append kernel "
            "without the prologue of class full");
  EXPECT_EQ(appended.error().status, Status::Unsupported);
  sample.manifest.kernels.back().prologue = kNone;
  reopen();
  plan = std::move(*create(limits()));
  cache = *bind(nhdLayer());
  ready();
  EXPECT_TRUE(plan->append(*cache, 0, args, nullptr));
  args.prologue = ATTNCC_PROLOGUE_FUSED;
  appended = plan->append(*cache, 0, args, nullptr);
  EXPECT_EQ(messageOf(appended),
            "prologue is ATTNCC_PROLOGUE_FUSED: this package has no append kernel "
            "with the prologue of class full");
  EXPECT_EQ(appended.error().status, Status::Unsupported);
}

TEST_F(PlanPrologues, TablesOfAnglesAreLaunchedAndChecked) {
  give({kFused}, /*rope=*/true, /*norm=*/false);
  attncc_append_args args = appendArgs();
  auto table = [](uint8_t code, uint8_t bits) {
    attncc_tensor tensor = {};
    tensor.data = at<void>(0xd000);
    tensor.rank = 2;
    tensor.shape[0] = 100, tensor.shape[1] = 8;
    tensor.stride[0] = 12, tensor.stride[1] = 1;
    tensor.code = code, tensor.bits = bits, tensor.lanes = 1;
    return tensor;
  };
  for (auto [code, bits] : {std::pair(4, 16), std::pair(2, 32)}) {
    args.cos_sin = table(static_cast<uint8_t>(code), static_cast<uint8_t>(bits));
    ASSERT_TRUE(plan->append(*cache, 0, args, nullptr));
    AppendParams params = paramsOf<AppendParams>(device->launches.size() - 1);
    EXPECT_EQ(params.cosSin.data, at<void>(0xd000));
    EXPECT_EQ(params.cosSin.stride, 12);
    EXPECT_EQ(params.cosSin.positions, 100);
    EXPECT_EQ(params.cosSin.bytes, bits / 8);
    EXPECT_EQ(device->launches.back().buffer("cos_sin")->bytes,
              static_cast<uint64_t>((99 * 12 + 8) * bits / 8));
  }
  struct Case {
    void (*change)(attncc_tensor &);
    const char *message;
  };
  const Case cases[] = {
      {[](attncc_tensor &t) { t.code = 2; }, "cos_sin is f16: must be bf16 or f32"},
      {[](attncc_tensor &t) { t.rank = 3; }, "cos_sin.rank is 3: must be 2"},
      {[](attncc_tensor &t) { t.data = at<void>(0xd001); },
       "cos_sin.data is at address 53249: must be a multiple of 2 bytes"},
      {[](attncc_tensor &t) { t.shape[0] = 0; },
       "cos_sin.shape[0] is 0: must be from 1 to 2147483647"},
      {[](attncc_tensor &t) { t.shape[1] = 16; },
       "cos_sin.shape[1] is 16: must be the 8 rotated dims"},
      {[](attncc_tensor &t) { t.stride[1] = 2; }, "cos_sin.stride[1] is 2: must be 1"},
      {[](attncc_tensor &t) { t.stride[0] = 7; },
       "cos_sin.stride[0] is 7 elements: must be at least the row's 8"},
  };
  for (const Case &c : cases) {
    args.cos_sin = table(4, 16);
    c.change(args.cos_sin);
    EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)), c.message);
  }
}

TEST_F(PlanPrologues, Norms) {
  give({kFused, kNone}, /*rope=*/false, /*norm=*/true);
  attncc_append_args args = appendArgs();
  EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)),
            "q_norm is null, but class full has a QK norm");
  args.q_norm = at<void>(0xc000);
  args.k_norm = at<void>(0xc008);
  EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)),
            "k_norm is at address 49160: must be a multiple of 16 bytes");
  args.k_norm = at<void>(0xc010);
  EXPECT_TRUE(plan->append(*cache, 0, args, nullptr));
  args.cos_sin.data = at<void>(0xd000);
  EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)),
            "cos_sin is given, but class full has no RoPE");
  args.prologue = 2;
  EXPECT_EQ(messageOf(plan->append(*cache, 0, args, nullptr)),
            "prologue is 2: must be ATTNCC_PROLOGUE_FUSED (0) or ATTNCC_PROLOGUE_NONE (1)");
}

TEST_F(PlanCalls, ErrorWordIsReadAndCleared) {
  ready();
  EXPECT_TRUE(plan->check(nullptr));
  workspace[0] = kLengthError;
  Result<void> checked = plan->check(nullptr);
  EXPECT_EQ(messageOf(checked),
            "a sequence's kv_length or query length was above the batch's bound: "
            "the rows of such sequences are NaN");
  EXPECT_EQ(checked.error().status, Status::LimitExceeded);
  EXPECT_TRUE(plan->check(nullptr));
  workspace[0] = kLengthError | kPageError;
  EXPECT_EQ(messageOf(plan->check(nullptr)),
            "a sequence's kv_length or query length was above the batch's bound, and a page number "
            "was outside the cache's num_pages: the rows of such sequences are NaN");
  workspace[0] = kPageError;
  EXPECT_EQ(*plan->takeErrors(nullptr), kPageError);
  EXPECT_EQ(workspace[0], 0);
  workspace[0] = kPositionError;
  EXPECT_EQ(messageOf(plan->check(nullptr)),
            "a position was outside the cos_sin table: the rows of such sequences are NaN");
}

TEST_F(PlanCalls, StepsAllocateNothing) {
  ready();
  device->remember = false;
  const attncc_append_args append = appendArgs();
  const attncc_attend_args attend = attendArgs();
  const attncc_tensor outputs[] = {attend.query, attend.output},
                      lses[] = {lseAt(0x8000, 5, kQueryHeads), lseAt(0x9000, 5, kQueryHeads)};
  const int64_t before = allocations;
  bool ok = true;
  for (uint32_t i = 0; i < 32; ++i)
    ok = plan->update(batch(), nullptr) && plan->append(*cache, i % 2, append, nullptr) &&
         plan->attend(*cache, i % 2, attend, nullptr) &&
         mergeStates(*package, outputs, lses, false, attend, nullptr) &&
         plan->takeErrors(nullptr) && ok;
  const int64_t after = allocations;
  EXPECT_TRUE(ok);
  EXPECT_EQ(after - before, 0);
  EXPECT_EQ(device->numLaunches, 4 * 32);
}

// Under the throughput policy splits have one length, by which the blocks fill the 16
// multiprocessors of the fake device once, or more than that, up to twice, with at most 4 splits;
// two kv heads are two blocks.
TEST_F(PlanCalls, ThroughputSplitsByTheBounds) {
  auto launched = [&](uint32_t policy, uint32_t sequences, uint32_t tokens) {
    attendBatch(policy, 100000, sequences, tokens);
    const DecodeParams params = paramsOf<DecodeParams>(0);
    // What the partial results of these splits take lies in the workspace.
    const int64_t splits = device->launches[0].shape.grid[2];
    EXPECT_LE(256 + 256 + 4 * sequences * splits * kQueryHeads * (kHeadDim + 1),
              plan->workspaceBytes());
    return std::tuple(params.batch.splitTokens, splits, device->launches.size());
  };
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 1, 4096), std::tuple(512, 8, 2u));
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 2, 4096), std::tuple(1024, 4, 2u));
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 3, 1000), std::tuple(256, 4, 2u)); // 250, in steps of 64
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 4, 2000), std::tuple(512, 4, 2u));
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 8, 2000), std::tuple(1024, 2, 2u));
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 1, 300), std::tuple(128, 3, 2u)); // none is shorter
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 1, 100), std::tuple(128, 1, 1u)); // and nothing to merge
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 1, 100000), std::tuple(4096, 25, 2u)); // none is longer
  // Blocks enough without splits: up to 4,096 tokens uncut, longer ones evenly.
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 16, 4096), std::tuple(4096, 1, 1u));
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 15, 8192), std::tuple(4096, 2, 2u));
  EXPECT_EQ(launched(ATTNCC_THROUGHPUT, 16, 8192), std::tuple(2048, 4, 2u));
  EXPECT_EQ(std::get<0>(launched(ATTNCC_INVARIANT, 1, 4096)), 0);
}

// Where items add splits, plans of either policy say how many items of a sequence fill the 16
// multiprocessors, whatever the bound of its length: each takes all of it, spans of four splits or
// one split.
TEST_F(PlanCalls, ItemsThatAddSplitsFollowTheBounds) {
  using package::AddsSplits;
  auto launched = [&](AddsSplits adds, uint32_t policy, uint32_t sequences, uint32_t tokens) {
    for (auto &[name, rule] : sample.manifest.splitRules)
      rule.rule = {{{4096, 256}, {8192, 512}}};
    for (package::KernelEntry &kernel : sample.manifest.kernels)
      if (kernel.role == "decode" || kernel.role == "merge")
        kernel.addsSplits = kernel.role == "decode" ? adds : AddsSplits::All;
    reopen();
    cache = *bind(nhdLayer());
    attendBatch(policy, 8192, sequences, tokens);
    const int32_t asked = paramsOf<DecodeParams>(0).batch.splitTokens;
    EXPECT_EQ(plan->splitTokens(0), asked);
    if (device->launches.size() > 1) {
      EXPECT_EQ(paramsOf<MergeParams>(1).batch.splitTokens, asked);
    }
    return std::tuple(asked, int64_t(device->launches[0].shape.grid[2]), device->launches.size());
  };
  for (uint32_t policy : {ATTNCC_INVARIANT, ATTNCC_THROUGHPUT}) {
    EXPECT_EQ(launched(AddsSplits::All, policy, 1, 4096), std::tuple(-8, 16, 2u));
    EXPECT_EQ(launched(AddsSplits::All, policy, 1, 8192), std::tuple(-8, 16, 2u));
    EXPECT_EQ(launched(AddsSplits::All, policy, 16, 4096), std::tuple(-1, 1, 1u));
    EXPECT_EQ(launched(AddsSplits::All, policy, 16, 8192), std::tuple(-1, 4, 2u));
    EXPECT_EQ(launched(AddsSplits::All, policy, 1, 100), std::tuple(-8, 1, 1u));
    // Of up to 2 · 4 · 256 tokens an item takes one split, of more a span.
    EXPECT_EQ(launched(AddsSplits::All, policy, 2, 1500), std::tuple(-4, 6, 2u));
    EXPECT_EQ(launched(AddsSplits::All, policy, 2, 4096), std::tuple(-4, 8, 2u));
    EXPECT_EQ(launched(AddsSplits::Span, policy, 1, 4096), std::tuple(-8, 16, 2u));
    EXPECT_EQ(launched(AddsSplits::Span, policy, 16, 1000), std::tuple(-2, 4, 2u));
    EXPECT_EQ(launched(AddsSplits::Span, policy, 16, 4096), std::tuple(-2, 4, 2u));
  }
}

// Variants: the last whose load class holds the host's bounds; under the invariant policy only
// those with the summation order of the first.
TEST_F(PlanCalls, VariantsFollowTheBounds) {
  package::KernelEntry decode = sample.manifest.kernels[1];
  sample.manifest.kernels[1].loadClass = {{"max_query_length", {1, 2}}};
  package::KernelEntry wide = decode;
  wide.entry = "sample_decode_wide";
  wide.loadClass = {{"max_query_length", {1, 8}}, {"num_sequences", {0, 2}}};
  package::KernelEntry other = decode;
  other.entry = "sample_decode_other";
  other.orderClass = "o2";
  sample.manifest.kernels.push_back(wide);
  sample.manifest.kernels.push_back(other);
  reopen();
  cache = *bind(nhdLayer());
  auto entryFor = [&](uint32_t policy, uint32_t sequences, uint32_t queryLength) -> std::string {
    attncc_limits bounds = limits();
    bounds.policy = policy;
    plan = std::move(*create(bounds));
    EXPECT_TRUE(plan->setWorkspace(workspace, plan->workspaceBytes(), nullptr));
    attncc_batch next = batch();
    next.num_sequences = sequences, next.max_query_length = queryLength;
    if (Result<void> updated = plan->update(next, nullptr); !updated)
      return messageOf(updated);
    device->launches.clear();
    EXPECT_TRUE(plan->attend(*cache, 0, attendArgs(), nullptr));
    return device->launches[0].entry;
  };
  EXPECT_EQ(entryFor(ATTNCC_INVARIANT, 3, 2), "sample_decode");
  EXPECT_EQ(entryFor(ATTNCC_INVARIANT, 2, 3), "sample_decode_wide");
  EXPECT_EQ(entryFor(ATTNCC_THROUGHPUT, 3, 3), "sample_decode_other");
  EXPECT_EQ(entryFor(ATTNCC_THROUGHPUT, 3, 2), "sample_decode_other");
  EXPECT_EQ(entryFor(ATTNCC_INVARIANT, 2, 2), "sample_decode_wide");
  EXPECT_EQ(
      entryFor(ATTNCC_INVARIANT, 3, 3),
      "no decode kernel of group kv0 serves 3 sequences, max_query_length 3, max_kv_length 40");
}

} // namespace
