//===- Abi.h - from results and C++ objects to the C interface -------------===//
//
// Internal. What every function of attncc.h is made of: the handles, `call`, which turns a Result
// or an escaped exception into a status and this thread's message, and readStruct, which honours
// the size that a caller's struct begins with.
// Test: test/runtime/abi.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/include/attncc/attncc.h"
#include "runtime/plan/Plan.h"
#include "runtime/pool/PagePool.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <new>

struct attncc_device {
  std::shared_ptr<attncc::device::Device> device;
};
struct attncc_package {
  std::shared_ptr<const attncc::package::Package> package;
};
struct attncc_kv {
  std::shared_ptr<const attncc::plan::KvCache> cache;
};
struct attncc_plan {
  std::unique_ptr<attncc::plan::Plan> plan;
};
struct attncc_pool {
  std::unique_ptr<attncc::pool::PagePool> pool;
};

namespace attncc::abi {

/// Sets this thread's message and returns the error's status.
attncc_status report(const char *function, const Error &error);
attncc_status reportText(const char *function, Status status, const char *text) noexcept;

/// Hands `message` to the logger if there is one for this level. 0: information, 1: warning.
void log(int level, const std::string &message);

/// Runs `body`, which returns Result<void>.
template <class Body> attncc_status call(const char *function, Body &&body) noexcept {
  try {
    Result<void> result = body();
    return result ? ATTNCC_OK : report(function, result.error());
  } catch (const std::bad_alloc &) {
    return reportText(function, Status::OutOfMemory, "out of host memory");
  } catch (const std::exception &exception) {
    return reportText(function, Status::Internal, exception.what());
  } catch (...) {
    return reportText(function, Status::Internal, "unknown exception");
  }
}

inline Error invalid(std::string message) {
  return makeError(Status::InvalidArgument, std::move(message));
}

/// An error that names the first pointer argument that is null.
inline Result<void>
notNull(std::initializer_list<std::pair<const char *, const void *>> arguments) {
  for (const auto &[name, pointer] : arguments)
    if (!pointer)
      return invalid(std::string(name) + " is null");
  return {};
}

/// The caller's struct as this library knows it: missing fields of an older caller are zero,
/// unknown bytes of a newer one must be.
template <class T> Result<T> readStruct(const char *name, const T *given) {
  if (!given)
    return invalid(std::string(name) + " is null");
  uint32_t size = 0;
  std::memcpy(&size, given, sizeof size);
  if (size < sizeof size)
    return invalid(std::string(name) + ".size is " + std::to_string(size) +
                   ": must be the struct's size, " + std::to_string(sizeof(T)));
  T result = {};
  std::memcpy(&result, given, std::min<size_t>(size, sizeof(T)));
  const char *bytes = reinterpret_cast<const char *>(given);
  for (size_t i = sizeof(T); i < size; ++i)
    if (bytes[i] != 0)
      return invalid(std::string(name) + ".size is " + std::to_string(size) + ": byte " +
                     std::to_string(i) + " is set, but this library knows " +
                     std::to_string(sizeof(T)) + " bytes");
  result.size = sizeof(T);
  return result;
}

/// Writes as much of `value` as the caller's struct of `size` bytes holds; its size stays.
template <class T> void writeStruct(T *given, T value) {
  value.size = given->size;
  std::memcpy(given, &value, std::min<size_t>(given->size, sizeof(T)));
}

/// Element i of an array whose structs have the first one's size.
template <class T> T *elementAt(T *array, size_t index) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T *>(reinterpret_cast<Byte *>(array) + index * size_t(array->size));
}

} // namespace attncc::abi
