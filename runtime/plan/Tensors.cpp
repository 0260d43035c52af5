#include "runtime/plan/Tensors.h"

#include <limits>

using namespace attncc;
using namespace attncc::plan;
using package::DType;

static Error invalid(std::string message) {
  return makeError(Status::InvalidArgument, std::move(message));
}

// DLPack's type codes: 2 float, 4 bfloat.
std::string plan::typeText(const attncc_tensor &tensor) {
  std::string name = tensor.code == 2   ? "f"
                     : tensor.code == 4 ? "bf"
                                        : "code " + std::to_string(tensor.code) + " x ";
  return name + std::to_string(tensor.bits) +
         (tensor.lanes > 1 ? "x" + std::to_string(tensor.lanes) : "");
}

static bool isOfType(const attncc_tensor &tensor, DType type) {
  return tensor.code == (type == DType::BF16 ? 4 : 2) &&
         tensor.bits == 8 * package::dtypeBytes(type) && tensor.lanes <= 1;
}

static Result<void> checkForm(const char *name, const attncc_tensor &tensor, DType type, int rank) {
  if (!isOfType(tensor, type))
    return invalid(std::string(name) + " is " + typeText(tensor) + ": must be " +
                   package::dtypeName(type));
  if (tensor.rank != rank)
    return invalid(std::string(name) + ".rank is " + std::to_string(tensor.rank) + ": must be " +
                   std::to_string(rank));
  return {};
}

static Result<void> checkShape(const char *name, const attncc_tensor &tensor, const Rows &rows) {
  if (tensor.shape[0] < rows.tokens)
    return invalid(std::string(name) + ".shape[0] is " + std::to_string(tensor.shape[0]) +
                   ": must be at least " + rows.tokensOf + " " + std::to_string(rows.tokens));
  if (tensor.shape[1] != rows.heads)
    return invalid(std::string(name) + ".shape[1] is " + std::to_string(tensor.shape[1]) +
                   ": must be the " + std::to_string(rows.heads) + " " + rows.headsOf);
  return {};
}

static Result<void> checkAlignment(const char *name, const attncc_tensor &tensor,
                                   int64_t alignment) {
  if (auto address = reinterpret_cast<uint64_t>(tensor.data); address % alignment != 0)
    return invalid(std::string(name) + ".data is at address " + std::to_string(address) +
                   ": must be a multiple of " + std::to_string(alignment) + " bytes");
  return {};
}

/// Strides of tokens and heads, in units of `element` bytes, multiples of `alignment` bytes. A
/// stride over a single token or head moves nothing. Text is made for errors only: launches
/// allocate nothing.
static Result<void> checkStrides(const char *name, const attncc_tensor &tensor, const Rows &rows,
                                 int64_t row, int64_t element, int64_t alignment) {
  int64_t end = row;
  for (auto [i, count] : {std::pair(0, rows.tokens), std::pair(1, rows.heads)}) {
    const int64_t value = tensor.stride[i];
    auto fail = [&](const std::string &what) {
      return invalid(std::string(name) + ".stride[" + std::to_string(i) + "] is " +
                     std::to_string(value) + " elements" + what);
    };
    int64_t bytes = 0, part = 0;
    if (__builtin_mul_overflow(value, element, &bytes) ||
        __builtin_mul_overflow(value, count > 0 ? count - 1 : 0, &part) ||
        __builtin_add_overflow(end, part, &end) ||
        end > std::numeric_limits<int64_t>::max() / element)
      return fail(": leaves the address space");
    if (count <= 1)
      continue;
    if (bytes % alignment != 0)
      return fail(" (" + std::to_string(bytes) + " bytes): must be a multiple of " +
                  std::to_string(alignment) + " bytes");
    if (value < row)
      return fail(": must be at least the row's " + std::to_string(row));
  }
  return {};
}

Result<TensorParam> plan::checkTensor(const char *name, const attncc_tensor &tensor, DType type,
                                      const Rows &rows, int64_t dim) {
  constexpr int64_t alignment = 16;
  if (!tensor.data)
    return invalid(std::string(name) + ".data is null");
  if (Result<void> form = checkForm(name, tensor, type, 3); !form)
    return form.error();
  if (Result<void> aligned = checkAlignment(name, tensor, alignment); !aligned)
    return aligned.error();
  if (Result<void> shape = checkShape(name, tensor, rows); !shape)
    return shape.error();
  if (tensor.shape[2] != dim)
    return invalid(std::string(name) + ".shape[2] is " + std::to_string(tensor.shape[2]) +
                   ": must be the head's " + std::to_string(dim));
  if (tensor.stride[2] != 1)
    return invalid(std::string(name) + ".stride[2] is " + std::to_string(tensor.stride[2]) +
                   ": must be 1");
  if (Result<void> strides =
          checkStrides(name, tensor, rows, dim, package::dtypeBytes(type), alignment);
      !strides)
    return strides.error();
  return TensorParam{tensor.data, tensor.stride[0], tensor.stride[1]};
}

Result<TensorParam> plan::checkLse(const char *name, const attncc_tensor &tensor,
                                   const Rows &rows) {
  if (!tensor.data)
    return TensorParam{};
  if (Result<void> form = checkForm(name, tensor, DType::F32, 2); !form)
    return form.error();
  if (Result<void> aligned = checkAlignment(name, tensor, 4); !aligned)
    return aligned.error();
  if (Result<void> shape = checkShape(name, tensor, rows); !shape)
    return shape.error();
  if (Result<void> strides = checkStrides(name, tensor, rows, 1, 4, 4); !strides)
    return strides.error();
  return TensorParam{tensor.data, tensor.stride[0], tensor.stride[1]};
}

Result<CosSinParam> plan::checkCosSin(const char *name, const attncc_tensor &tensor, DType type,
                                      int64_t dim) {
  if (!isOfType(tensor, type) && !isOfType(tensor, DType::F32))
    return invalid(std::string(name) + " is " + typeText(tensor) + ": must be " +
                   package::dtypeName(type) + " or f32");
  if (tensor.rank != 2)
    return invalid(std::string(name) + ".rank is " + std::to_string(tensor.rank) + ": must be 2");
  const int64_t element = tensor.bits / 8;
  if (Result<void> aligned = checkAlignment(name, tensor, element); !aligned)
    return aligned.error();
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  if (tensor.shape[0] < 1 || tensor.shape[0] > most)
    return invalid(std::string(name) + ".shape[0] is " + std::to_string(tensor.shape[0]) +
                   ": must be from 1 to " + std::to_string(most));
  if (tensor.shape[1] != dim)
    return invalid(std::string(name) + ".shape[1] is " + std::to_string(tensor.shape[1]) +
                   ": must be the " + std::to_string(dim) + " rotated dims");
  if (tensor.stride[1] != 1)
    return invalid(std::string(name) + ".stride[1] is " + std::to_string(tensor.stride[1]) +
                   ": must be 1");
  if (Result<void> strides =
          checkStrides(name, tensor, {tensor.shape[0], 1}, dim, element, element);
      !strides)
    return strides.error();
  return CosSinParam{tensor.data, tensor.stride[0], static_cast<int32_t>(tensor.shape[0]),
                     static_cast<int32_t>(element)};
}

device::Buffer plan::bufferOf(const char *name, const TensorParam &tensor, int64_t tokens,
                              int64_t heads, int64_t rowBytes, int64_t elementBytes,
                              bool writable) {
  if (!tensor.data || tokens == 0)
    return {name, tensor.data, 0, writable};
  int64_t bytes = rowBytes + ((tokens - 1) * tensor.tokenStride + (heads - 1) * tensor.headStride) *
                                 elementBytes;
  return {name, tensor.data, static_cast<uint64_t>(bytes), writable};
}

device::Buffer plan::bufferOf(const char *name, const CosSinParam &table, int64_t dim) {
  const int64_t elements = table.data ? (table.positions - 1) * table.stride + dim : 0;
  return {name, table.data, static_cast<uint64_t>(elements * table.bytes)};
}
