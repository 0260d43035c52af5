//===- Plan.h - one cache group's work of one step --------------------------===//
//
// Internal. A plan is made once for limits, reports its workspace exactly, is updated once a step
// with the batch, and then appends and attends layer by layer:
//
//   create   kernels by layer; workspace = the largest that any of their rules asks for
//   update   checks the batch against the limits; picks each class's variants by the host-known
//            bounds: of append, decode and prefill the last that serves them
//   append   one launch, of the kernel with the class's prologue or of the one without
//   attend   prefill, if a sequence at the bound is too long for decode; decode; then merge, if one
//            would have more than one split
//   check    reads and clears the error word, the u32 at offset 0 of the workspace
//
// The plan asks decode for blocks that fill the GPU. Where a block may take several splits it says
// how many blocks a sequence should have, which gives the same bits. Else it is the length of a
// split, under the throughput policy only; under the invariant one the kernels' own rule holds. Of
// a role the invariant policy takes only the variants that add in the first one's order.
//
// The form is `direct`: the grid follows from the bounds and every block finds its own range from
// the lengths on the device; nothing on the host reads them. A plan is used by one thread and one
// stream at a time.
// Tests: test/runtime/plan/PlanTest.cpp; test/runtime/abi/AbiTest.cpp on the simulator.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/plan/KvCache.h"
#include "runtime/plan/Parameters.h"

namespace attncc::plan {

/// Bits of the error word.
constexpr uint32_t kLengthError = 1, kPageError = 2, kPositionError = 4;
constexpr int64_t kWorkspaceAlignment = 256;

class Plan {
public:
  static Result<std::unique_ptr<Plan>> create(std::shared_ptr<const package::Package> package,
                                              const char *group, const attncc_limits &limits);

  int64_t workspaceBytes() const { return bytesOfWorkspace; }
  /// Device memory of the caller, workspaceBytes() or more; clears the error word and the counters.
  Result<void> setWorkspace(void *memory, int64_t bytes, device::Stream stream);
  Result<void> update(const attncc_batch &batch, device::Stream stream);
  /// `layer` counts the group's layers.
  Result<void> append(const KvCache &cache, uint32_t layer, const attncc_append_args &args,
                      device::Stream stream);
  Result<void> attend(const KvCache &cache, uint32_t layer, const attncc_attend_args &args,
                      device::Stream stream);
  /// The error word, cleared by the call.
  Result<uint32_t> takeErrors(device::Stream stream);
  /// takeErrors, with a set bit as LimitExceeded.
  Result<void> check(device::Stream stream);

  const package::Package &package() const { return *owner; }
  const package::CacheGroup &group() const { return *cacheGroup; }
  const attncc_limits &limits() const { return bounds; }
  int64_t kvHeads() const { return numKvHeads; }
  int64_t queryHeads(const package::LayerClass &layerClass) const {
    return layerClass.group * numKvHeads;
  }
  const package::LayerClass &classOfLayer(uint32_t layer) const {
    return *classes[classOf[layer]].layerClass;
  }
  /// What attend launches for this layer at the current batch; null before update, prefill also
  /// where no sequence may be too long for decode.
  const package::LoadedKernel *decodeKernel(uint32_t layer) const {
    return classes[classOf[layer]].decode;
  }
  const package::LoadedKernel *prefillKernel(uint32_t layer) const {
    return classes[classOf[layer]].prefill;
  }
  /// split_tokens of decode's and merge's launches for this layer at the current batch.
  int64_t splitTokens(uint32_t layer) const { return classes[classOf[layer]].splitTokens; }
  /// Names that rules use, at the current batch.
  package::NameValues names(const package::LoadedKernel &kernel) const;

private:
  /// The most query tokens of a sequence that the kernel has to do with, given the bound of all.
  static int64_t queriesOf(const package::LoadedKernel &kernel, int64_t maxQueryLength);

  struct ClassPlan {
    const package::LayerClass *layerClass = nullptr;
    const package::ClassKernels *kernels = nullptr;
    // Chosen by update.
    const package::LoadedKernel *append = nullptr, *appendWithoutPrologue = nullptr;
    const package::LoadedKernel *decode = nullptr, *merge = nullptr;
    const package::LoadedKernel *prefill = nullptr; // null: no sequence may be that long
    int64_t splitTokens = 0;                        // of the launches (docs/package.md)
  };

  Plan() = default;
  Result<void> prepare();
  Result<const package::LoadedKernel *>
  choose(const std::vector<const package::LoadedKernel *> &among, const char *role,
         const attncc_batch &batch) const;
  /// The class with the kernels that serve the bounds of `next`.
  Result<ClassPlan> withVariants(ClassPlan one, const attncc_batch &next) const;
  /// Of decode, if no sequence is cut.
  int64_t blocksOf(const package::LoadedKernel &decode, const attncc_batch &batch) const;
  /// Tokens of a split that fill the GPU at these bounds.
  int64_t tokensThatFill(const package::LoadedKernel &decode, const attncc_batch &batch) const;
  /// Workspace of a kernel at the plan's limits.
  Result<int64_t> workspaceOf(const package::LoadedKernel &kernel) const;
  /// split_tokens for the class's decode at these bounds.
  int64_t splitTokensOf(const ClassPlan &one, const attncc_batch &batch) const;
  /// Sets what a launch of splitTokens cuts sequences into: items.
  void setAsked(size_t ofClass);
  /// What cuts sequences into items in a launch of the class's decode or merge.
  const SplitRule *ruleOf(const ClassPlan &one) const;
  Result<void> checkReady(const KvCache &cache, uint32_t layer) const;
  /// The arguments that say what is done to queries and keys agree, and the package has a kernel
  /// for it; whether that is the fused one.
  Result<bool> checkPrologue(const ClassPlan &one, const attncc_append_args &args) const;
  BatchParam batchParam(int64_t numPages, int64_t splitTokens = 0) const;
  template <class Params>
  Result<void> launch(const package::LoadedKernel &kernel, const SplitRule *rule,
                      const Params &params, std::span<const device::Buffer> buffers,
                      device::Stream stream) const;

  std::shared_ptr<const package::Package> owner;
  const package::CacheGroup *cacheGroup = nullptr;
  attncc_limits bounds = {};
  int64_t numKvHeads = 0;
  int64_t bytesOfWorkspace = 0;
  std::vector<ClassPlan> classes;
  std::vector<uint32_t> classOf; // by layer of the group: index into classes
  std::vector<SplitRule> asked;  // by class: what its splitTokens cut sequences into
  void *workspace = nullptr;
  bool updated = false;
  attncc_batch batch = {};
};

} // namespace attncc::plan
