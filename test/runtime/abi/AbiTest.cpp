// The C interface as a program sees it: a decode step on the simulator with hand-written kernels,
// lifetimes, struct sizes of older and newer callers, and the messages.
#include "test/runtime/SamplePackage.h"

#include <attncc/attncc.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#define SIZE(type, bytes) static_assert(sizeof(type) == (bytes))
#define OFFSET(type, field, bytes) static_assert(offsetof(type, field) == (bytes))
#include "test/runtime/abi/Layout.inc"
// The structs of the C++ header have the same layout, field by field.
namespace in_cpp {
using attncc_load_options = attncc::runtime::LoadOptions;
using attncc_kv_layer = attncc::runtime::KvLayer;
using attncc_limits = attncc::runtime::Limits;
using attncc_batch = attncc::runtime::Batch;
using attncc_append_args = attncc::runtime::AppendArguments;
using attncc_attend_args = attncc::runtime::AttendArguments;
#include "test/runtime/abi/Layout.inc"
} // namespace in_cpp
#undef SIZE
#undef OFFSET

extern "C" int attncc_layout_in_c(void);

using namespace attncc::test;
namespace rt = attncc::runtime;

namespace {

TEST(Abi, HeaderIsC) { EXPECT_EQ(attncc_layout_in_c(), int(sizeof(attncc_append_args))); }

TEST(Abi, VersionAndFirstMessage) {
  EXPECT_EQ(attncc_version(), 1u);
  EXPECT_NE(attncc_message(), nullptr);
}

/// A step of three sequences through the pool, append, attend and check, on the simulator.
class Step : public testing::Test {
protected:
  static constexpr int64_t kPages = 32, kMaxKv = 48, kMaxTokens = 32, kSequences = 3;
  static constexpr int64_t kStride = kMaxKv / kPageSize;

  void SetUp() override {
    writePackage(samplePackage(), folder.path);
    device = must(rt::Device::open("sim"));
    package = must(rt::Package::open(device, folder.path.c_str()));
    pool = must(package.pool("kv0", kPages));
    size_t bytes = must(package.pool_bytes("kv0", kPages));
    std::vector<rt::KvLayer> layers(kLayers);
    pages = must(device.allocate(bytes));
    must(package.pool_layout("kv0", kPages, pages, layers));
    kv = must(package.bind("kv0", layers));
    firstLayer = layers[0];
    plan = must(package.plan("kv0", {.max_sequences = kSequences,
                                     .max_tokens = kMaxTokens,
                                     .max_query_length = 16,
                                     .max_kv_length = kMaxKv}));
    rt::Workspace size = plan.workspace();
    EXPECT_EQ(size.alignment, 256u);
    workspace = must(device.allocate(size.bytes));
    must(plan.set_workspace(workspace, size.bytes));
    for (auto *memory : {&query, &rotated, &key, &value, &output})
      *memory =
          static_cast<uint16_t *>(must(device.allocate(kMaxTokens * kQueryHeads * kHeadDim * 2)));
    lse = static_cast<float *>(must(device.allocate(kMaxTokens * kQueryHeads * 4)));
    queryStart = static_cast<int32_t *>(must(device.allocate((kSequences + 1) * 4)));
    kvLength = static_cast<int32_t *>(must(device.allocate(kSequences * 4)));
    table = static_cast<int32_t *>(must(device.allocate(kSequences * kStride * 4)));
    for (attncc_sequence &sequence : sequences)
      sequence = must(pool.add());
  }

  static void must(rt::Result<void> result) { ASSERT_TRUE(result) << result.error().message; }
  template <class T> static T must(rt::Result<T> result) {
    if (!result) {
      ADD_FAILURE() << result.error().message;
      std::abort();
    }
    return std::move(*result);
  }

  /// Value of key, value and query element d of a head of the token at a position.
  static uint16_t element(int64_t sequence, int64_t position, int64_t head, int64_t d,
                          int64_t kind) {
    return static_cast<uint16_t>(0x3c00 + kind * 4096 + sequence * 1024 + position * 16 + head * 7 +
                                 d);
  }

  /// Extends every sequence by its number of tokens and writes the step's inputs.
  rt::Batch step(const std::vector<int64_t> &tokens) {
    int64_t row = 0, longestQuery = 0;
    for (int64_t s = 0; s < kSequences; ++s) {
      rt::PageCopy copies[1];
      rt::Extension extension = must(pool.extend(sequences[s], tokens[s], copies));
      EXPECT_FALSE(extension.exhausted());
      int64_t length = must(pool.length(sequences[s]));
      queryStart[s] = static_cast<int32_t>(row);
      kvLength[s] = static_cast<int32_t>(length);
      for (int64_t i = 0; i < tokens[s]; ++i, ++row)
        for (int64_t h = 0; h < kQueryHeads; ++h)
          for (int64_t d = 0; d < kHeadDim; ++d) {
            int64_t position = length - tokens[s] + i;
            query[(row * kQueryHeads + h) * kHeadDim + d] = element(s, position, h, d, 0);
            if (h < kKvHeads) {
              key[(row * kKvHeads + h) * kHeadDim + d] = element(s, position, h, d, 1);
              value[(row * kKvHeads + h) * kHeadDim + d] = element(s, position, h, d, 2);
            }
          }
      longestQuery = std::max(longestQuery, tokens[s]);
    }
    queryStart[kSequences] = static_cast<int32_t>(row);
    must(pool.block_table(sequences, table, kStride));
    return {.num_sequences = kSequences,
            .num_tokens = static_cast<uint32_t>(row),
            .max_query_length = static_cast<uint32_t>(longestQuery),
            .max_kv_length = kMaxKv,
            .query_start = queryStart,
            .kv_length = kvLength,
            .block_table = table,
            .block_table_stride = kStride};
  }
  attncc_tensor rows(uint16_t *data, int64_t heads) const {
    return rt::tensor(data, rt::kBFloat16, {kMaxTokens, heads, kHeadDim});
  }
  rt::AppendArguments appendArguments() const {
    return {.query = rows(query, kQueryHeads),
            .key = rows(key, kKvHeads),
            .value = rows(value, kKvHeads),
            .query_out = rows(rotated, kQueryHeads)};
  }
  rt::AttendArguments attendArguments() const {
    return {.query = rows(rotated, kQueryHeads),
            .output = rows(output, kQueryHeads),
            .lse = rt::tensor(lse, rt::kFloat32, {kMaxTokens, kQueryHeads})};
  }

  TemporaryFolder folder;
  rt::Device device;
  rt::Package package;
  rt::Pool pool;
  rt::Kv kv;
  rt::Plan plan;
  rt::KvLayer firstLayer = {};
  void *pages = nullptr, *workspace = nullptr;
  uint16_t *query, *rotated, *key, *value, *output;
  float *lse;
  int32_t *queryStart, *kvLength, *table;
  attncc_sequence sequences[kSequences] = {};
};

TEST_F(Step, AppendsAndAttendsOnTheSimulator) {
  // A prompt longer than decode takes, then a step of 1, 3 and 2 tokens.
  must(plan.update(step({5, 16, 0})));
  for (uint32_t layer = 0; layer < kLayers; ++layer)
    must(plan.append(kv, layer, appendArguments()));
  must(plan.update(step({1, 3, 2})));
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    must(plan.append(kv, layer, appendArguments()));
    std::memset(output, 0xff, kMaxTokens * kQueryHeads * kHeadDim * 2);
    must(plan.attend(kv, layer, attendArguments()));
    must(plan.check());
    const int64_t lengths[] = {6, 19, 2}, counts[] = {1, 3, 2};
    int64_t row = 0;
    for (int64_t s = 0; s < kSequences; ++s)
      for (int64_t i = 0; i < counts[s]; ++i, ++row)
        for (int64_t h = 0; h < kQueryHeads; ++h) {
          // 19 tokens are 3 splits of 8; the others have one.
          EXPECT_EQ(lse[row * kQueryHeads + h], s == 1 ? -3.0f : static_cast<float>(lengths[s]));
          for (int64_t d = 0; d < kHeadDim; ++d) {
            EXPECT_EQ(rotated[(row * kQueryHeads + h) * kHeadDim + d],
                      element(s, lengths[s] - counts[s] + i, h, d, 0));
            EXPECT_EQ(output[(row * kQueryHeads + h) * kHeadDim + d],
                      element(s, lengths[s] - 1, h / kGroup, d, 2));
          }
        }
    EXPECT_EQ(output[row * kQueryHeads * kHeadDim], 0xffff); // past the batch's tokens
  }
  // The prompt's keys are where the table says.
  std::vector<int64_t> slots(16);
  must(pool.slots(sequences[1], 0, slots));
  for (int64_t i = 0; i < 16; ++i) {
    const uint16_t *row = static_cast<const uint16_t *>(firstLayer.k) +
                          slots[i] / kPageSize * firstLayer.k_page_stride +
                          slots[i] % kPageSize * firstLayer.k_token_stride +
                          firstLayer.k_head_stride;
    EXPECT_EQ(row[3], element(1, i, 1, 3, 1));
  }
}

TEST_F(Step, PageListsInPlaceOfTables) {
  rt::Batch batch = step({5, 16, 9});
  must(plan.update(batch));
  must(plan.append(kv, 0, appendArguments()));
  batch = step({1, 1, 1});
  auto *list = static_cast<int32_t *>(must(device.allocate(kPages * 4)));
  auto *indptr = static_cast<int32_t *>(must(device.allocate((kSequences + 1) * 4)));
  int64_t count = must(pool.page_list(sequences, {list, kPages}, {indptr, kSequences + 1}));
  EXPECT_EQ(count, 2 + 5 + 3);
  std::memset(table, 0xff, kSequences * kStride * 4);
  batch.block_table = list;
  batch.block_table_stride = 0;
  batch.page_indptr = indptr;
  must(plan.update(batch));
  must(plan.append(kv, 0, appendArguments()));
  must(plan.attend(kv, 0, attendArguments()));
  must(plan.check());
  for (int64_t s = 0; s < kSequences; ++s)
    EXPECT_EQ(output[s * kQueryHeads * kHeadDim + 5], element(s, kvLength[s] - 1, 0, 5, 2));
}

TEST_F(Step, SlotsInPlaceOfTables) {
  rt::Batch batch = step({2, 1, 1});
  auto *slots = static_cast<int64_t *>(must(device.allocate(4 * 8)));
  slots[0] = -1; // not written
  slots[1] = 31 * kPageSize + 2;
  slots[2] = slots[3] = -1;
  batch.slot_mapping = slots;
  must(plan.update(batch));
  must(plan.append(kv, 0, appendArguments()));
  auto *k = static_cast<const uint16_t *>(firstLayer.k);
  EXPECT_EQ(k[0], 0xffff);
  EXPECT_EQ(k[31 * firstLayer.k_page_stride + 2 * firstLayer.k_token_stride + 1],
            element(0, 1, 0, 1, 1));
}

TEST_F(Step, ErrorsOfTheDataReachTheErrorWord) {
  must(plan.update(step({1, 1, 1})));
  kvLength[1] = kMaxKv + 1;
  must(plan.attend(kv, 0, attendArguments()));
  rt::Result<void> checked = plan.check();
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().status, ATTNCC_LIMIT_EXCEEDED);
  EXPECT_NE(checked.error().message.find("attncc_plan_check: a sequence's kv_length"),
            std::string::npos);
  must(plan.check());
  kvLength[1] = 1;
  for (int32_t page : {-1, static_cast<int>(kPages)}) {
    table[kStride] = page;
    must(plan.append(kv, 0, appendArguments()));
    checked = plan.check();
    ASSERT_FALSE(checked);
    EXPECT_NE(checked.error().message.find("a page number was outside"), std::string::npos);
  }
}

TEST_F(Step, PoolCopiesGoThroughCopyPages) {
  must(plan.update(step({6, 1, 1})));
  must(plan.append(kv, 1, appendArguments()));
  attncc_sequence child = must(pool.fork(sequences[0], 6));
  rt::PageCopy copies[1];
  rt::Extension extension = must(pool.extend(child, 1, copies));
  ASSERT_EQ(extension.num_copies, 1u);
  must(kv.copyPages(copies));
  std::vector<int64_t> slots(6);
  must(pool.slots(child, 0, slots));
  EXPECT_EQ(slots[5] / kPageSize, copies[0].target);
  std::vector<rt::KvLayer> layers(kLayers);
  must(package.pool_layout("kv0", kPages, pages, layers));
  auto *v = static_cast<const uint16_t *>(layers[1].v);
  EXPECT_EQ(v[slots[5] / kPageSize * layers[1].v_page_stride +
              slots[5] % kPageSize * layers[1].v_token_stride + layers[1].v_head_stride],
            element(0, 5, 1, 0, 2));
  // Exhausted: a result without a message.
  extension = must(pool.extend(child, 1000, copies));
  EXPECT_TRUE(extension.exhausted());
  attncc_pool_stats stats = pool.stats();
  EXPECT_EQ(stats.free + stats.used + stats.cached, stats.total);
}

TEST_F(Step, AppendsWithoutPrologueAndQueries) {
  must(plan.update(step({2, 1, 1})));
  rt::AppendArguments arguments = {
      .prologue = ATTNCC_PROLOGUE_NONE, .key = rows(key, kKvHeads), .value = rows(value, kKvHeads)};
  must(plan.append(kv, 0, arguments));
  must(plan.check());
  std::vector<int64_t> slots(2);
  must(pool.slots(sequences[0], 0, slots));
  EXPECT_EQ(static_cast<const uint16_t *>(
                firstLayer.k)[slots[1] / kPageSize * firstLayer.k_page_stride +
                              slots[1] % kPageSize * firstLayer.k_token_stride + 3],
            element(0, 1, 0, 3, 1));
  EXPECT_EQ(rotated[0], 0xffff); // no query was copied
}

TEST_F(Step, MergesStates) {
  auto *partLse = static_cast<float *>(must(device.allocate(kMaxTokens * kQueryHeads * 4)));
  for (int64_t i = 0; i < kMaxTokens * kQueryHeads * kHeadDim; ++i)
    query[i] = static_cast<uint16_t>(i % 1000);
  const attncc_tensor outputs[] = {rows(query, kQueryHeads), rows(value, kQueryHeads)};
  const attncc_tensor lses[] = {rt::tensor(partLse, rt::kFloat32, {kMaxTokens, kQueryHeads}),
                                rt::tensor(partLse, rt::kFloat32, {kMaxTokens, kQueryHeads})};
  must(package.merge(outputs, lses, attendArguments(), /*lse_is_log2=*/true));
  for (int64_t i = 0; i < kMaxTokens * kQueryHeads; ++i) {
    EXPECT_FLOAT_EQ(lse[i], 2 * std::log(2.0f));
    EXPECT_EQ(output[i * kHeadDim + 3], query[i * kHeadDim + 3]);
  }
  rt::Result<void> merged = package.merge(outputs, std::span(lses).first(1), attendArguments());
  ASSERT_FALSE(merged);
  EXPECT_EQ(merged.error().message, "lses has 1 elements: must have one for each of the 2 outputs");
  merged = package.merge({}, {}, attendArguments());
  ASSERT_FALSE(merged);
  EXPECT_EQ(merged.error().status, ATTNCC_INVALID_ARGUMENT);
}

TEST_F(Step, ChildrenKeepTheirParentsAlive) {
  rt::Batch batch = step({1, 1, 1});
  package = {};
  must(plan.update(batch));
  must(plan.append(kv, 0, appendArguments()));
  device = {};
  must(plan.attend(kv, 0, attendArguments()));
  kv = {};
  plan = {};
  pool = {};
}

TEST_F(Step, OlderAndNewerStructs) {
  struct Newer {
    attncc_batch known;
    uint64_t added;
  } newer = {std::bit_cast<attncc_batch>(step({1, 1, 1})), 0};
  newer.known.size = sizeof newer;
  EXPECT_EQ(attncc_plan_update(plan.get(), &newer.known, nullptr), ATTNCC_OK);
  newer.added = 1;
  EXPECT_EQ(attncc_plan_update(plan.get(), &newer.known, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_STREQ(
      attncc_message(),
      "attncc_plan_update: batch.size is 80: byte 72 is set, but this library knows 72 bytes");
  // An older caller's struct ends before slot_mapping, and what follows it is not ours to read.
  newer.known.size = offsetof(attncc_batch, slot_mapping);
  newer.known.slot_mapping = reinterpret_cast<const int64_t *>(1);
  EXPECT_EQ(attncc_plan_update(plan.get(), &newer.known, nullptr), ATTNCC_OK);
  EXPECT_EQ(attncc_append(plan.get(), kv.get(), 0, nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_STREQ(attncc_message(), "attncc_append: args is null");
  newer.known.size = 0;
  EXPECT_EQ(attncc_plan_update(plan.get(), &newer.known, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_STREQ(attncc_message(),
               "attncc_plan_update: batch.size is 0: must be the struct's size, 72");
  attncc_pool_stats older = {};
  older.size = offsetof(attncc_pool_stats, shared);
  older.shared = -5;
  EXPECT_EQ(attncc_pool_get_stats(pool.get(), &older), ATTNCC_OK);
  EXPECT_EQ(older.total, kPages);
  EXPECT_EQ(older.shared, -5);
}

TEST_F(Step, BindNamesTheCallAndTheStride) {
  std::vector<rt::KvLayer> layers(kLayers, firstLayer);
  layers[1].v_token_stride = 65;
  rt::Result<rt::Kv> bound = package.bind("kv0", layers);
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().status, ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(bound.error().message, "attncc_kv_bind: layers[1].v_token_stride is 65 elements (130 "
                                   "bytes): must be a multiple of 16 bytes");
}

TEST_F(Step, PackagesHaveAnIdAndOptions) {
  const std::string id = package.id();
  EXPECT_EQ(id.size(), 64u);
  EXPECT_NE(std::string(package.manifest()).find("attncc.package/1.0"), std::string::npos);
  EXPECT_TRUE(rt::Package::open(device, folder.path.c_str(), {.expected_id = id.c_str()}));
  rt::Result<rt::Package> other =
      rt::Package::open(device, folder.path.c_str(), {.expected_id = "00"});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().status, ATTNCC_INVALID_PACKAGE);
  rt::Result<rt::Package> hopper =
      rt::Package::open(device, folder.path.c_str(), {.target = "sm_90a"});
  ASSERT_FALSE(hopper);
  EXPECT_EQ(hopper.error().status, ATTNCC_UNSUPPORTED);
  EXPECT_EQ(hopper.error().message,
            "sim: error: no kernel of this package runs on simulator: sm_80 is not the target "
            "asked for, sm_90a");
  rt::Result<rt::Package> cached =
      rt::Package::open(device, folder.path.c_str(), {.cache_dir = "/tmp"});
  ASSERT_FALSE(cached);
  EXPECT_EQ(cached.error().status, ATTNCC_UNSUPPORTED);
  rt::Result<rt::Package> assembled =
      rt::Package::open(device, folder.path.c_str(), {.forbid_jit = 1});
  ASSERT_FALSE(assembled);
  EXPECT_EQ(assembled.error().status, ATTNCC_UNSUPPORTED);
  EXPECT_EQ(assembled.error().message,
            "sim: error: forbid_jit is set, and kernel sample_append would have to be compiled for "
            "simulator: no cubin\n"
            "note: attncc … --cubin assembles kernels for a package's targets; without forbid_jit "
            "the driver compiles the PTX");
}

TEST_F(Step, TheLoggerHearsOneLineALoad) {
  static std::vector<std::string> lines;
  attncc_set_logger([](void *, int, const char *line) { lines.push_back(line); }, nullptr, 0);
  ASSERT_TRUE(rt::Package::open(device, folder.path.c_str()));
  attncc_set_logger(nullptr, nullptr, 0);
  ASSERT_TRUE(rt::Package::open(device, folder.path.c_str()));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("sm_80 selected for simulator; 4 kernels loaded, 0 from cubins"),
            std::string::npos)
      << lines[0];
}

TEST(Abi, NullArgumentsAreErrorsNotCrashes) {
  EXPECT_EQ(attncc_device_open(nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  attncc_device *device = reinterpret_cast<attncc_device *>(1);
  EXPECT_EQ(attncc_device_open(nullptr, &device), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(device, nullptr);
  EXPECT_STREQ(attncc_message(), "attncc_device_open: name is null");
  EXPECT_EQ(attncc_device_open("sim:sm_100a", &device), ATTNCC_UNSUPPORTED);
  EXPECT_EQ(attncc_device_allocate(nullptr, 1, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_package_open(nullptr, nullptr, nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_kv_bind(nullptr, nullptr, nullptr, 0, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_plan_create(nullptr, nullptr, nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_plan_workspace(nullptr, nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_plan_update(nullptr, nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_append(nullptr, nullptr, 0, nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_attend(nullptr, nullptr, 0, nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_merge(nullptr, nullptr, nullptr, 0, 0, nullptr, nullptr),
            ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_plan_check(nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_pool_create(nullptr, nullptr, 1, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_pool_add(nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_pool_extend(nullptr, 1, 1, nullptr, nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(attncc_pool_get_stats(nullptr, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_STREQ(attncc_package_manifest(nullptr), "");
  attncc_device_release(nullptr);
  attncc_package_release(nullptr);
  attncc_kv_release(nullptr);
  attncc_plan_release(nullptr);
  attncc_pool_release(nullptr);
}

} // namespace
