//===- target-table-test.cpp - the target table is consistent --------------===//
#include "compiler/target/TargetTable.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <set>

using namespace attncc;

// Every target is found by its own name, and no name or rank occurs twice.
TEST(TargetTable, NamesAndRanksAreUnique) {
  std::set<std::string_view> names;
  int last = -1;
  for (const TargetInfo &target : allTargets()) {
    EXPECT_EQ(findTarget(target.name), &target);
    EXPECT_TRUE(names.insert(target.name).second) << target.name;
    EXPECT_GT(target.rank, last) << target.name;
    last = target.rank;
  }
}

TEST(TargetTable, UnknownNamesAreNotFound) {
  for (std::string_view name : {"", "sm_8", "sm_800", "SM_80", "80"})
    EXPECT_EQ(findTarget(name), nullptr) << name;
}

// What a kernel may ask for must exist on the chip, and LLVM's feature must say the same version
// as the number that the manifest carries.
TEST(TargetTable, LimitsAgree) {
  for (const TargetInfo &target : allTargets()) {
    EXPECT_LE(target.maxSharedPerBlock, target.maxSharedOptIn) << target.name;
    EXPECT_EQ(target.features, "+ptx" + std::to_string(target.ptxVersion)) << target.name;
    EXPECT_EQ(target.maxThreadsPerBlock % target.warpSize, 0) << target.name;
  }
}

TEST(TargetTable, Sm80HasWarpProductsOnly) {
  const TargetInfo *target = findTarget("sm_80");
  ASSERT_NE(target, nullptr);
  EXPECT_TRUE(target->hasProduct(MatrixProduct::Kind::Mma));
  EXPECT_FALSE(target->hasProduct(MatrixProduct::Kind::Wgmma));
  EXPECT_FALSE(target->tensorCopies);
  EXPECT_EQ(target->maxSharedPerBlock, 101376);
  EXPECT_EQ(target->registersPerThread, 255);
}

TEST(TargetTable, Sm90aHasTensorCopiesAndDependentLaunches) {
  const TargetInfo *target = findTarget("sm_90a");
  ASSERT_NE(target, nullptr);
  EXPECT_TRUE(target->exactCapability);
  EXPECT_TRUE(target->hasProduct(MatrixProduct::Kind::Mma));
  EXPECT_TRUE(target->hasProduct(MatrixProduct::Kind::Wgmma));
  EXPECT_TRUE(target->tensorCopies);
  EXPECT_TRUE(target->dependentLaunch);
  EXPECT_EQ(target->maxSharedPerBlock, 232448);
}
