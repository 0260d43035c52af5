//===- attncc.hpp - the attncc runtime for C++20 ----------------------------===//
//
// Public. A thin layer over attncc.h: move-only owners, spans in, Result out, no exceptions. The
// structs are those of the C interface with their size and zeros filled in, so that designated
// initialisers name what matters only:
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

#include <bit>
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

using PageCopy = attncc_page_copy;
using PageKey = attncc_page_key;
using Stream = attncc_stream;

/// attncc_load_options
struct LoadOptions {
  uint32_t size = sizeof(attncc_load_options);
  const char *target = nullptr, *cache_dir = nullptr, *expected_id = nullptr;
  uint32_t jit_threads = 0, forbid_jit = 0;
};

/// attncc_kv_layer
struct KvLayer {
  uint32_t size = sizeof(attncc_kv_layer);
  uint32_t kv_heads = 0;
  void *k = nullptr, *v = nullptr;
  int64_t num_pages = 0;
  int64_t k_page_stride = 0, k_token_stride = 0, k_head_stride = 0;
  int64_t v_page_stride = 0, v_token_stride = 0, v_head_stride = 0;
  const float *k_scale = nullptr, *v_scale = nullptr;
};

/// attncc_limits
struct Limits {
  uint32_t size = sizeof(attncc_limits);
  uint32_t max_sequences = 0, max_tokens = 0, max_query_length = 0, max_kv_length = 0;
  uint32_t policy = ATTNCC_INVARIANT;
  uint32_t query_heads = 0, kv_heads = 0;
  uint32_t tables_are_ready = 0;
};

/// attncc_batch
struct Batch {
  uint32_t size = sizeof(attncc_batch);
  uint32_t num_sequences = 0, num_tokens = 0, max_query_length = 0, max_kv_length = 0;
  const int32_t *query_start = nullptr, *kv_length = nullptr, *block_table = nullptr;
  int64_t block_table_stride = 0;
  const int32_t *page_indptr = nullptr;
  const int64_t *slot_mapping = nullptr;
};

/// attncc_append_args
struct AppendArguments {
  uint32_t size = sizeof(attncc_append_args);
  uint32_t prologue = ATTNCC_PROLOGUE_FUSED;
  attncc_tensor query = {}, key = {}, value = {}, query_out = {}, cos_sin = {};
  const int64_t *position = nullptr;
  const void *q_norm = nullptr, *k_norm = nullptr;
};

/// attncc_attend_args
struct AttendArguments {
  uint32_t size = sizeof(attncc_attend_args);
  attncc_tensor query = {}, output = {}, lse = {};
};

namespace detail {
/// The C struct with the same fields.
template <class C, class T> C toC(const T &value) {
  static_assert(sizeof(C) == sizeof(T) && alignof(C) == alignof(T));
  return std::bit_cast<C>(value);
}
} // namespace detail

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
  Result<void> update(const Batch &batch, Stream stream = nullptr) {
    auto known = detail::toC<attncc_batch>(batch);
    return detail::done(attncc_plan_update(get(), &known, stream));
  }
  Result<void> append(Kv &kv, uint32_t layer, const AppendArguments &arguments,
                      Stream stream = nullptr) {
    auto known = detail::toC<attncc_append_args>(arguments);
    return detail::done(attncc_append(get(), kv.get(), layer, &known, stream));
  }
  Result<void> attend(Kv &kv, uint32_t layer, const AttendArguments &arguments,
                      Stream stream = nullptr) {
    auto known = detail::toC<attncc_attend_args>(arguments);
    return detail::done(attncc_attend(get(), kv.get(), layer, &known, stream));
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
  Result<void> publish(attncc_sequence sequence, std::span<const PageKey> keys) {
    return detail::done(
        attncc_pool_publish(get(), sequence, keys.data(), static_cast<uint32_t>(keys.size())));
  }
  /// A new sequence, as long as the published prefix.
  Result<attncc_sequence> match(std::span<const PageKey> keys) {
    attncc_sequence sequence = 0;
    if (attncc_status status =
            attncc_pool_match(get(), keys.data(), static_cast<uint32_t>(keys.size()), &sequence))
      return detail::lastError(status);
    return sequence;
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
  static Result<Package> open(const Device &device, const char *folder,
                              const LoadOptions &options = {}) {
    auto known = detail::toC<attncc_load_options>(options);
    attncc_package *package = nullptr;
    if (attncc_status status = attncc_package_open(device.get(), folder, &known, &package))
      return detail::lastError(status);
    return Package(package);
  }
  const char *manifest() const { return attncc_package_manifest(get()); }
  const char *id() const { return attncc_package_id(get()); }
  Result<Kv> bind(const char *group, std::span<const KvLayer> layers) {
    std::vector<attncc_kv_layer> known;
    for (const KvLayer &layer : layers)
      known.push_back(detail::toC<attncc_kv_layer>(layer));
    attncc_kv *kv = nullptr;
    if (attncc_status status =
            attncc_kv_bind(get(), group, known.data(), static_cast<uint32_t>(known.size()), &kv))
      return detail::lastError(status);
    return Kv(kv);
  }
  Result<Plan> plan(const char *group, const Limits &limits) {
    auto known = detail::toC<attncc_limits>(limits);
    attncc_plan *plan = nullptr;
    if (attncc_status status = attncc_plan_create(get(), group, &known, &plan))
      return detail::lastError(status);
    return Plan(plan);
  }
  /// Joins attention states: one of `lses` for each of `outputs`.
  Result<void> merge(std::span<const attncc_tensor> outputs, std::span<const attncc_tensor> lses,
                     const AttendArguments &arguments, bool lse_is_log2 = false,
                     Stream stream = nullptr) {
    if (lses.size() != outputs.size())
      return Error{ATTNCC_INVALID_ARGUMENT, "lses has " + std::to_string(lses.size()) +
                                                " elements: must have one for each of the " +
                                                std::to_string(outputs.size()) + " outputs"};
    auto known = detail::toC<attncc_attend_args>(arguments);
    return detail::done(attncc_merge(get(), outputs.data(), lses.data(),
                                     static_cast<uint32_t>(outputs.size()), lse_is_log2, &known,
                                     stream));
  }
  Result<size_t> pool_bytes(const char *group, int64_t num_pages) const {
    size_t bytes = 0;
    if (attncc_status status =
            attncc_pool_layout(get(), group, num_pages, nullptr, nullptr, &bytes))
      return detail::lastError(status);
    return bytes;
  }
  /// `layers`: one for each layer of the group; their kv_heads are read.
  Result<void> pool_layout(const char *group, int64_t num_pages, void *base,
                           std::span<KvLayer> layers) const {
    std::vector<attncc_kv_layer> known;
    for (const KvLayer &layer : layers)
      known.push_back(detail::toC<attncc_kv_layer>(layer));
    size_t bytes = 0;
    if (attncc_status status =
            attncc_pool_layout(get(), group, num_pages, base, known.data(), &bytes))
      return detail::lastError(status);
    for (size_t i = 0; i < known.size(); ++i)
      layers[i] = std::bit_cast<KvLayer>(known[i]);
    return {};
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
