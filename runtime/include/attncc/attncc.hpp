//===- attncc.hpp - the attncc runtime for C++20 ----------------------------===//
//
// Public. A thin layer over attncc.h: move-only owners, spans in, Result out, no exceptions. The C
// structs are used as they are; their `size` is set here, so designated initialisers leave it out:
//
//   auto device = *Device::open("sim");
//   auto package = *Package::open(device, "out");
//   auto plan = *package.plan("kv0", {.max_sequences = 64, .max_tokens = 64,
//                                     .max_query_length = 1, .max_kv_length = 8192});
//
// docs/runtime.md has the rest of the program. Test: test/runtime/install.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_ATTNCC_HPP
#define ATTNCC_ATTNCC_HPP

#include <attncc/attncc.h>

#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace attncc::runtime {

struct Error {
  attncc_status status = ATTNCC_INTERNAL;
  std::string message;
};

/// A value, or the Error of the call.
template <class T> class [[nodiscard]] Result {
public:
  Result(T value) : state(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state(std::in_place_index<1>, std::move(error)) {}
  explicit operator bool() const { return state.index() == 0; }
  T &operator*() & { return *std::get_if<0>(&state); }
  T &&operator*() && { return std::move(*std::get_if<0>(&state)); }
  T *operator->() { return std::get_if<0>(&state); }
  const Error &error() const { return *std::get_if<1>(&state); }

private:
  std::variant<T, Error> state;
};

template <> class [[nodiscard]] Result<void> {
public:
  Result() = default;
  Result(Error error) : failure(std::move(error)), failed(true) {}
  explicit operator bool() const { return !failed; }
  const Error &error() const { return failure; }

private:
  Error failure;
  bool failed = false;
};

namespace detail {
inline Error lastError(attncc_status status) { return {status, attncc_message()}; }
inline Result<void> done(attncc_status status) {
  if (status != ATTNCC_OK)
    return lastError(status);
  return {};
}
template <class T, void (*release)(T *)> struct Releaser {
  void operator()(T *handle) const { release(handle); }
};
/// Move-only owner of a handle.
template <class T, void (*release)(T *)> class Owner {
public:
  Owner() = default;
  explicit Owner(T *handle) : handle(handle) {}
  T *get() const { return handle.get(); }

protected:
  std::unique_ptr<T, Releaser<T, release>> handle;
};
} // namespace detail

using Limits = attncc_limits;
using Batch = attncc_batch;
using KvLayer = attncc_kv_layer;
using AppendArguments = attncc_append_args;
using AttendArguments = attncc_attend_args;
using LoadOptions = attncc_load_options;
using PageCopy = attncc_page_copy;
using Stream = attncc_stream;

/// DLPack's type codes.
struct DataType {
  uint8_t code, bits;
};
constexpr DataType kFloat16 = {2, 16}, kBFloat16 = {4, 16}, kFloat32 = {2, 32};

/// A contiguous tensor of up to four dimensions.
inline attncc_tensor tensor(void *data, DataType type, std::span<const int64_t> shape) {
  attncc_tensor result = {};
  result.data = data;
  result.rank = static_cast<int32_t>(shape.size() < 4 ? shape.size() : 4);
  result.code = type.code;
  result.bits = type.bits;
  result.lanes = 1;
  int64_t stride = 1;
  for (int32_t i = result.rank - 1; i >= 0; --i) {
    result.shape[i] = shape[static_cast<size_t>(i)];
    result.stride[i] = stride;
    stride *= result.shape[i];
  }
  return result;
}
inline attncc_tensor tensor(void *data, DataType type, std::initializer_list<int64_t> shape) {
  return tensor(data, type, std::span<const int64_t>(shape.begin(), shape.size()));
}

class Device : public detail::Owner<attncc_device, attncc_device_release> {
public:
  using Owner::Owner;
  static Result<Device> open(const char *name) {
    attncc_device *device = nullptr;
    if (attncc_status status = attncc_device_open(name, &device))
      return detail::lastError(status);
    return Device(device);
  }
  Result<void> registerMemory(void *memory, size_t bytes, const char *label) {
    return detail::done(attncc_device_register(get(), memory, bytes, label));
  }
  Result<void *> allocate(size_t bytes) {
    void *memory = nullptr;
    if (attncc_status status = attncc_device_allocate(get(), bytes, &memory))
      return detail::lastError(status);
    return memory;
  }
  Result<void> free(void *memory) { return detail::done(attncc_device_free(get(), memory)); }
  Result<void> copy(void *to, const void *from, size_t bytes, Stream stream = nullptr) {
    return detail::done(attncc_copy(get(), to, from, bytes, stream));
  }
};

class Kv : public detail::Owner<attncc_kv, attncc_kv_release> {
public:
  using Owner::Owner;
  Result<void> copyPages(std::span<const PageCopy> copies, Stream stream = nullptr) {
    return detail::done(
        attncc_copy_pages(get(), copies.data(), static_cast<uint32_t>(copies.size()), stream));
  }
};

struct Workspace {
  size_t bytes = 0, alignment = 0;
};

class Plan : public detail::Owner<attncc_plan, attncc_plan_release> {
public:
  using Owner::Owner;
  Workspace workspace() const {
    Workspace result;
    attncc_plan_workspace(get(), &result.bytes, &result.alignment);
    return result;
  }
  Result<void> set_workspace(void *memory, size_t bytes, Stream stream = nullptr) {
    return detail::done(attncc_plan_set_workspace(get(), memory, bytes, stream));
  }
  Result<void> update(Batch batch, Stream stream = nullptr) {
    batch.size = sizeof batch;
    return detail::done(attncc_plan_update(get(), &batch, stream));
  }
  Result<void> append(Kv &kv, uint32_t layer, AppendArguments arguments, Stream stream = nullptr) {
    arguments.size = sizeof arguments;
    return detail::done(attncc_append(get(), kv.get(), layer, &arguments, stream));
  }
  Result<void> attend(Kv &kv, uint32_t layer, AttendArguments arguments, Stream stream = nullptr) {
    arguments.size = sizeof arguments;
    return detail::done(attncc_attend(get(), kv.get(), layer, &arguments, stream));
  }
  Result<void> check(Stream stream = nullptr) {
    return detail::done(attncc_plan_check(get(), stream));
  }
};

/// Outcome of Pool::extend: room was made, or that many pages are missing and nothing has changed.
struct Extension {
  int64_t missing_pages = 0;
  uint32_t num_copies = 0;
  bool exhausted() const { return missing_pages > 0; }
};

class Pool : public detail::Owner<attncc_pool, attncc_pool_release> {
public:
  using Owner::Owner;
  Result<attncc_sequence> add() {
    attncc_sequence sequence = 0;
    if (attncc_status status = attncc_pool_add(get(), &sequence))
      return detail::lastError(status);
    return sequence;
  }
  Result<void> remove(attncc_sequence sequence) {
    return detail::done(attncc_pool_remove(get(), sequence));
  }
  /// `copies` has room for one pair a group.
  Result<Extension> extend(attncc_sequence sequence, int64_t tokens, std::span<PageCopy> copies) {
    Extension extension;
    extension.num_copies = static_cast<uint32_t>(copies.size());
    attncc_status status = attncc_pool_extend(get(), sequence, tokens, copies.data(),
                                              &extension.num_copies, &extension.missing_pages);
    if (status != ATTNCC_OK && status != ATTNCC_EXHAUSTED)
      return detail::lastError(status);
    return extension;
  }
  Result<attncc_sequence> fork(attncc_sequence sequence, int64_t prefix_tokens) {
    attncc_sequence child = 0;
    if (attncc_status status = attncc_pool_fork(get(), sequence, prefix_tokens, &child))
      return detail::lastError(status);
    return child;
  }
  Result<void> truncate(attncc_sequence sequence, int64_t tokens) {
    return detail::done(attncc_pool_truncate(get(), sequence, tokens));
  }
  Result<void> block_table(std::span<const attncc_sequence> sequences, int32_t *rows,
                           int64_t stride, uint32_t group = 0) const {
    return detail::done(attncc_pool_block_table(
        get(), group, sequences.data(), static_cast<uint32_t>(sequences.size()), rows, stride));
  }
  /// Returns the number of pages; page_indptr has one element more than sequences.
  Result<int64_t> page_list(std::span<const attncc_sequence> sequences, std::span<int32_t> pages,
                            std::span<int32_t> page_indptr, uint32_t group = 0) const {
    int64_t count = static_cast<int64_t>(pages.size());
    if (attncc_status status = attncc_pool_page_list(get(), group, sequences.data(),
                                                     static_cast<uint32_t>(sequences.size()),
                                                     pages.data(), &count, page_indptr.data()))
      return detail::lastError(status);
    return count;
  }
  Result<void> slots(attncc_sequence sequence, int64_t first, std::span<int64_t> slots,
                     uint32_t group = 0) const {
    return detail::done(attncc_pool_slots(get(), group, sequence, first,
                                          static_cast<int64_t>(slots.size()), slots.data()));
  }
  Result<int64_t> length(attncc_sequence sequence) const {
    int64_t tokens = 0;
    if (attncc_status status = attncc_pool_length(get(), sequence, &tokens))
      return detail::lastError(status);
    return tokens;
  }
  attncc_pool_stats stats() const {
    attncc_pool_stats result = {};
    result.size = sizeof result;
    attncc_pool_get_stats(get(), &result);
    return result;
  }
};

class Package : public detail::Owner<attncc_package, attncc_package_release> {
public:
  using Owner::Owner;
  static Result<Package> open(const Device &device, const char *folder, LoadOptions options = {}) {
    options.size = sizeof options;
    attncc_package *package = nullptr;
    if (attncc_status status = attncc_package_open(device.get(), folder, &options, &package))
      return detail::lastError(status);
    return Package(package);
  }
  const char *manifest() const { return attncc_package_manifest(get()); }
  const char *id() const { return attncc_package_id(get()); }
  /// Sets the size of each layer.
  Result<Kv> bind(const char *group, std::span<const KvLayer> layers) {
    std::vector<KvLayer> sized(layers.begin(), layers.end());
    for (KvLayer &layer : sized)
      layer.size = sizeof layer;
    attncc_kv *kv = nullptr;
    if (attncc_status status =
            attncc_kv_bind(get(), group, sized.data(), static_cast<uint32_t>(sized.size()), &kv))
      return detail::lastError(status);
    return Kv(kv);
  }
  Result<Plan> plan(const char *group, Limits limits) {
    limits.size = sizeof limits;
    attncc_plan *plan = nullptr;
    if (attncc_status status = attncc_plan_create(get(), group, &limits, &plan))
      return detail::lastError(status);
    return Plan(plan);
  }
  Result<size_t> pool_bytes(const char *group, int64_t num_pages) const {
    size_t bytes = 0;
    if (attncc_status status =
            attncc_pool_layout(get(), group, num_pages, nullptr, nullptr, &bytes))
      return detail::lastError(status);
    return bytes;
  }
  /// `layers`: one for each layer of the group.
  Result<void> pool_layout(const char *group, int64_t num_pages, void *base,
                           std::span<KvLayer> layers) const {
    for (KvLayer &layer : layers)
      layer.size = sizeof layer;
    size_t bytes = 0;
    return detail::done(attncc_pool_layout(get(), group, num_pages, base, layers.data(), &bytes));
  }
  Result<Pool> pool(const char *group, int64_t num_pages) const {
    attncc_pool *pool = nullptr;
    if (attncc_status status = attncc_pool_create(get(), group, num_pages, &pool))
      return detail::lastError(status);
    return Pool(pool);
  }
};

} // namespace attncc::runtime
#endif
