// Prefix reuse through the C interface and its C++ header: the arguments and the messages. What the
// pool does is in test/runtime/pool.
#include "test/runtime/SamplePackage.h"

#include <attncc/attncc.hpp>

#include <gtest/gtest.h>

using namespace attncc::test;
namespace rt = attncc::runtime;

namespace {

class PoolAbi : public testing::Test {
protected:
  void SetUp() override {
    writePackage(samplePackage(), folder.path);
    rt::Result<rt::Device> device = rt::Device::open("sim");
    ASSERT_TRUE(device) << device.error().message;
    rt::Result<rt::Package> package = rt::Package::open(*device, folder.path.c_str());
    ASSERT_TRUE(package) << package.error().message;
    pool = *package->pool("kv0", 8);
    rt::PageCopy copies[1];
    ASSERT_TRUE(pool.extend(sequence = *pool.add(), 2 * kPageSize + 1, copies));
  }
  TemporaryFolder folder;
  rt::Pool pool;
  attncc_sequence sequence = 0;
};

TEST_F(PoolAbi, PublishAndMatch) {
  const rt::PageKey keys[] = {{1, 2}, {3, 4}, {5, 6}};
  ASSERT_TRUE(pool.publish(sequence, {keys, 2}));
  ASSERT_TRUE(pool.remove(sequence));
  EXPECT_EQ(pool.stats().cached, 2);
  rt::Result<attncc_sequence> matched = pool.match(keys);
  ASSERT_TRUE(matched);
  EXPECT_EQ(*pool.length(*matched), 2 * kPageSize);
  EXPECT_EQ(pool.stats().cached, 0);
  rt::Result<attncc_sequence> nothing = pool.match({});
  ASSERT_TRUE(nothing);
  EXPECT_EQ(*pool.length(*nothing), 0);
}

TEST_F(PoolAbi, ErrorsNameTheirArgument) {
  const rt::PageKey keys[] = {{1, 2}, {3, 4}, {5, 6}};
  rt::Result<void> published = pool.publish(sequence, keys);
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().status, ATTNCC_INVALID_ARGUMENT);
  EXPECT_EQ(published.error().message,
            "attncc_pool_publish: n is 3, must be at most the sequence's 2 full pages");
  EXPECT_EQ(attncc_pool_publish(nullptr, 1, keys, 1), ATTNCC_INVALID_ARGUMENT);
  EXPECT_STREQ(attncc_message(), "attncc_pool_publish: pool is null");
  EXPECT_EQ(attncc_pool_publish(pool.get(), sequence, nullptr, 1), ATTNCC_INVALID_ARGUMENT);
  EXPECT_STREQ(attncc_message(), "attncc_pool_publish: keys is null");
  EXPECT_EQ(attncc_pool_publish(pool.get(), sequence, nullptr, 0), ATTNCC_OK);
  attncc_sequence matched = 77;
  EXPECT_EQ(attncc_pool_match(pool.get(), nullptr, 1, &matched), ATTNCC_INVALID_ARGUMENT);
  EXPECT_STREQ(attncc_message(), "attncc_pool_match: keys is null");
  EXPECT_EQ(attncc_pool_match(pool.get(), keys, 1, nullptr), ATTNCC_INVALID_ARGUMENT);
  EXPECT_STREQ(attncc_message(), "attncc_pool_match: sequence is null");
  EXPECT_EQ(matched, 77u);
}

} // namespace
