//===- StepOnDevice.h - a decode step of the sample package on any device ----===//
//
// One sequence through the C interface: append and attention of kTokens tokens. On "cuda:N"
// everything runs on a stream of its own, made as an engine makes one: by the driver. Calls give
// the message of what failed first, empty for nothing.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "test/runtime/SamplePackage.h"

#include <attncc/attncc.hpp>

#include <memory>
#include <string>
#include <vector>

extern "C" {
int cuStreamCreate(void **stream, unsigned flags);
int cuStreamDestroy_v2(void *stream);
int cuStreamBeginCapture_v2(void *stream, int mode);
int cuStreamEndCapture(void *stream, void **graph);
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags);
int cuGraphLaunch(void *executable, void *stream);
int cuGraphDestroy(void *graph);
int cuGraphExecDestroy(void *executable);
}

namespace attncc::test {

namespace rt = attncc::runtime;

/// What the steps of several threads may share.
struct LoadedSample {
  static constexpr int64_t kPages = 48;

  LoadedSample(const std::string &deviceName, const std::string &folder, uint32_t jitThreads)
      : onGpu(deviceName.starts_with("cuda")) {
    failure = prepare(deviceName, folder, jitThreads);
  }
  LoadedSample(const LoadedSample &) = delete;
  ~LoadedSample() {
    kv = {};
    (void)device.free(pages);
  }

  bool onGpu;
  rt::Device device;
  rt::Package package;
  rt::Kv kv;
  void *pages = nullptr;
  std::string failure;

private:
  std::string prepare(const std::string &deviceName, const std::string &folder,
                      uint32_t jitThreads) {
    rt::Result<rt::Device> opened = rt::Device::open(deviceName.c_str());
    if (!opened)
      return opened.error().message;
    device = *std::move(opened);
    rt::Result<rt::Package> loaded =
        rt::Package::open(device, folder.c_str(), {.jit_threads = jitThreads});
    if (!loaded)
      return loaded.error().message;
    package = *std::move(loaded);
    rt::Result<size_t> bytes = package.pool_bytes("kv0", kPages);
    if (!bytes)
      return bytes.error().message;
    rt::Result<void *> made = device.allocate(*bytes);
    if (!made)
      return made.error().message;
    pages = *made;
    std::vector<rt::KvLayer> layers(kLayers);
    if (rt::Result<void> laid = package.pool_layout("kv0", kPages, pages, layers); !laid)
      return laid.error().message;
    rt::Result<rt::Kv> bound = package.bind("kv0", layers);
    if (!bound)
      return bound.error().message;
    kv = *std::move(bound);
    return {};
  }
};

class StepOnDevice {
public:
  static constexpr int64_t kTokens = 3, kContext = 19, kMaxKv = 32;
  static constexpr int64_t kPagesOfStep = kMaxKv / kPageSize;

  StepOnDevice(const std::string &deviceName, const std::string &folder, uint32_t jitThreads = 0)
      : StepOnDevice(std::make_shared<LoadedSample>(deviceName, folder, jitThreads), 0) {}
  /// With a plan and a stream of its own, in the pages number `place` of what is shared.
  StepOnDevice(std::shared_ptr<LoadedSample> sample, int32_t place)
      : shared(std::move(sample)), device(shared->device) {
    failure = shared->failure.empty() ? prepare(place) : shared->failure;
  }
  StepOnDevice(const StepOnDevice &) = delete;
  ~StepOnDevice() {
    plan = {};
    for (void *memory : allocated)
      (void)device.free(memory);
    if (stream)
      cuStreamDestroy_v2(stream);
  }

  std::string run() {
    if (failure.empty())
      failure = update();
    if (failure.empty())
      failure = launch(0);
    if (failure.empty())
      failure = messageOf(plan.check(stream));
    return failure;
  }
  std::string update() { return messageOf(plan.update(batch, stream)); }
  /// Append, decode and merge of one layer, and its result merged with itself, in place.
  std::string launch(uint32_t layer) {
    std::string failed = append(layer);
    if (failed.empty())
      failed = attend(layer);
    return failed.empty() ? merge() : failed;
  }
  std::string append(uint32_t layer) {
    return messageOf(plan.append(shared->kv, layer,
                                 {.query = query, .key = key, .value = value, .query_out = rotated},
                                 stream));
  }
  std::string attend(uint32_t layer) {
    return messageOf(
        plan.attend(shared->kv, layer, {.query = rotated, .output = attended, .lse = lse}, stream));
  }
  std::string merge() {
    const attncc_tensor outputs[] = {attended, attended}, sums[] = {lse, lse};
    return messageOf(shared->package.merge(outputs, sums, {.output = attended, .lse = lse},
                                           /*lse_is_log2=*/false, stream));
  }
  std::string captureAndLaunch() {
    beginCapture();
    std::string failed = launch(0);
    endCaptureAndLaunch();
    return failed;
  }
  void beginCapture() { cuStreamBeginCapture_v2(stream, 1); }
  void endCaptureAndLaunch() {
    void *graph = nullptr, *executable = nullptr;
    cuStreamEndCapture(stream, &graph);
    cuGraphInstantiateWithFlags(&executable, graph, 0);
    cuGraphLaunch(executable, stream);
    cuGraphDestroy(graph);
    cuGraphExecDestroy(executable);
  }
  std::string copyPages() {
    rt::PageCopy copies[] = {{0, LoadedSample::kPages - 1}};
    return messageOf(shared->kv.copyPages(copies, stream));
  }

  void *outputMemory() const { return attended.data; }
  std::vector<uint16_t> output() {
    std::vector<uint16_t> host(kTokens * kQueryHeads * kHeadDim);
    (void)device.copy(host.data(), attended.data, host.size() * 2, stream);
    return host;
  }
  /// The sample's decode gives the value of the last token.
  static uint16_t expectedFirstOutput() { return valueOf(kTokens - 1); }

  std::shared_ptr<LoadedSample> shared;
  rt::Device &device;
  rt::Plan plan;
  rt::Stream stream = nullptr;

private:
  static uint16_t valueOf(int64_t token) { return static_cast<uint16_t>(0x3f80 + token); }

  template <class T> static std::string messageOf(const rt::Result<T> &result) {
    return result ? std::string() : result.error().message;
  }
  /// Device memory with this content.
  template <class T> std::string upload(T *&memory, const std::vector<T> &content) {
    rt::Result<void *> made = device.allocate(content.size() * sizeof(T));
    if (!made)
      return messageOf(made);
    allocated.push_back(*made);
    memory = static_cast<T *>(*made);
    return messageOf(device.copy(memory, content.data(), content.size() * sizeof(T), stream));
  }

  std::string prepare(int32_t place) {
    if (shared->onGpu)
      cuStreamCreate(&stream, 1);
    rt::Result<rt::Plan> planned = shared->package.plan("kv0", {.max_sequences = 1,
                                                                .max_tokens = kTokens,
                                                                .max_query_length = kTokens,
                                                                .max_kv_length = kMaxKv});
    if (!planned)
      return messageOf(planned);
    plan = *std::move(planned);

    uint8_t *workspace = nullptr;
    uint16_t *rows[5] = {};
    float *sums = nullptr;
    int32_t *queryStart = nullptr, *kvLength = nullptr, *table = nullptr;
    std::vector<uint16_t> values(kTokens * kQueryHeads * kHeadDim);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = valueOf(static_cast<int64_t>(i) / (kKvHeads * kHeadDim));
    std::vector<int32_t> pageNumbers;
    for (int32_t page : {4, 2, 6, 0, 1, 3, 5, 7})
      pageNumbers.push_back(static_cast<int32_t>(kPagesOfStep) * place + page);
    std::string failed = upload(workspace, std::vector<uint8_t>(plan.workspace().bytes));
    for (uint16_t *&memory : rows)
      failed = failed.empty() ? upload(memory, values) : failed;
    failed = failed.empty() ? upload(sums, std::vector<float>(kTokens * kQueryHeads)) : failed;
    failed = failed.empty() ? upload(queryStart, {0, int32_t(kTokens)}) : failed;
    failed = failed.empty() ? upload(kvLength, {int32_t(kContext)}) : failed;
    failed = failed.empty() ? upload(table, pageNumbers) : failed;
    if (!failed.empty())
      return failed;
    auto tensor = [](uint16_t *data, int64_t heads) {
      return rt::tensor(data, rt::kBFloat16, {kTokens, heads, kHeadDim});
    };
    query = tensor(rows[0], kQueryHeads);
    key = tensor(rows[1], kKvHeads);
    value = tensor(rows[2], kKvHeads);
    rotated = tensor(rows[3], kQueryHeads);
    attended = tensor(rows[4], kQueryHeads);
    lse = rt::tensor(sums, rt::kFloat32, {kTokens, kQueryHeads});
    batch = {.num_sequences = 1,
             .num_tokens = kTokens,
             .max_query_length = kTokens,
             .max_kv_length = kMaxKv,
             .query_start = queryStart,
             .kv_length = kvLength,
             .block_table = table,
             .block_table_stride = kPagesOfStep};
    return messageOf(plan.set_workspace(workspace, plan.workspace().bytes, stream));
  }

  std::string failure;
  std::vector<void *> allocated;
  rt::Batch batch = {};
  attncc_tensor query = {}, key = {}, value = {}, rotated = {}, attended = {}, lse = {};
};

} // namespace attncc::test
