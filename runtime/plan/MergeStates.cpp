#include "runtime/plan/MergeStates.h"

#include "runtime/plan/Launch.h"
#include "runtime/plan/Parameters.h"
#include "runtime/plan/Tensors.h"

#include <cmath>
#include <cstdio>

using namespace attncc;
using namespace attncc::plan;
using device::Buffer;
using package::DType;
using package::LoadedKernel;
using package::Name;

// Rows are counted in i32, and the last block's units may pass the end.
static constexpr int64_t kMostRows = INT32_MAX - 32;

static Error invalid(std::string message) {
  return makeError(Status::InvalidArgument, std::move(message));
}

/// The kernel for outputs of this type and head dim.
static Result<const LoadedKernel *> chooseKernel(const package::Package &package,
                                                 const attncc_tensor &output) {
  if (!output.data)
    return invalid("output.data is null");
  if (output.rank != 3)
    return invalid("output.rank is " + std::to_string(output.rank) + ": must be 3");
  const bool isHalf = output.bits == 16 && output.lanes <= 1;
  const package::Manifest &manifest = package.manifest();
  for (const package::LayerClass &layerClass : manifest.layerClasses) {
    const auto &kernels = package.kernelsOf(layerClass).mergeStates;
    if (isHalf && output.code == (layerClass.dtype == DType::BF16 ? 4 : 2) &&
        output.shape[2] == manifest.findGroup(layerClass.cacheGroup)->v.dim && !kernels.empty())
      return kernels.front();
  }
  return makeError(Status::Unsupported, "output is " + typeText(output) + " of head dim " +
                                            std::to_string(output.shape[2]) +
                                            ": this package has no merge_states kernel for it");
}

/// The names of a part's parameters in merge_states/1.
static const char *paramName(size_t part, bool lse) {
  constexpr size_t head = 4, perPart = 6; // num_tokens … lse_scale; two tensors
  static const package::Interface &known = *package::standardInterface("merge_states/1");
  return known.params[head + perPart * part + (lse ? perPart / 2 : 0)].name.c_str();
}

Result<void> plan::mergeStates(const package::Package &package,
                               std::span<const attncc_tensor> outputs,
                               std::span<const attncc_tensor> lses, bool lseIsLog2,
                               const attncc_attend_args &args, device::Stream stream) {
  if (outputs.empty() || outputs.size() > package::kMaxStates)
    return invalid("parts is " + std::to_string(outputs.size()) + ": must be from 1 to " +
                   std::to_string(package::kMaxStates));
  Result<const LoadedKernel *> kernel = chooseKernel(package, args.output);
  if (!kernel)
    return kernel.error();
  const DType type = (*kernel)->layerClass->dtype;
  const int64_t dim = (*kernel)->group->v.dim, element = package::dtypeBytes(type);
  const Rows rows{args.output.shape[0], args.output.shape[1], "the output's",
                  "heads of the output"};
  for (auto [i, count, least] : {std::tuple(0, rows.tokens, 0), std::tuple(1, rows.heads, 1)})
    if (count < least)
      return invalid("output.shape[" + std::to_string(i) + "] is " + std::to_string(count) +
                     ": must be at least " + std::to_string(least));
  if (rows.tokens > kMostRows / rows.heads)
    return makeError(Status::LimitExceeded, "output has " + std::to_string(rows.tokens) +
                                                " tokens of " + std::to_string(rows.heads) +
                                                " heads: must have at most " +
                                                std::to_string(kMostRows) + " rows");

  MergeStatesParams params;
  std::array<Buffer, 2 * package::kMaxStates + 2> buffers;
  size_t numBuffers = 0;
  auto addRows = [&](const char *name, const TensorParam &tensor, bool writable) {
    buffers[numBuffers++] =
        bufferOf(name, tensor, rows.tokens, rows.heads, dim * element, element, writable);
  };
  auto addLse = [&](const char *name, const TensorParam &tensor, bool writable) {
    buffers[numBuffers++] = bufferOf(name, tensor, rows.tokens, rows.heads, 4, 4, writable);
  };
  Result<TensorParam> output = checkTensor("output", args.output, type, rows, dim);
  if (!output)
    return output.error();
  Result<TensorParam> lse = checkLse("lse", args.lse, rows);
  if (!lse)
    return lse.error();
  params.output = *output;
  params.lse = *lse;
  addRows("output", params.output, true);
  addLse("lse", params.lse, true);
  for (size_t part = 0; part < outputs.size(); ++part) {
    char name[24];
    std::snprintf(name, sizeof name, "outputs[%zu]", part);
    Result<TensorParam> given = checkTensor(name, outputs[part], type, rows, dim);
    if (!given)
      return given.error();
    std::snprintf(name, sizeof name, "lses[%zu]", part);
    if (!lses[part].data)
      return invalid(std::string(name) + ".data is null");
    Result<TensorParam> givenLse = checkLse(name, lses[part], rows);
    if (!givenLse)
      return givenLse.error();
    params.part[part] = {*given, *givenLse};
    addRows(paramName(part, false), *given, false);
    addLse(paramName(part, true), *givenLse, false);
  }
  params.numTokens = static_cast<int32_t>(rows.tokens);
  params.queryHeads = static_cast<int32_t>(rows.heads);
  params.numParts = static_cast<int32_t>(outputs.size());
  params.lseScale = lseIsLog2 ? static_cast<float>(M_LN2) : 1.0f;

  package::NameValues values = (*kernel)->constants;
  values[Name::NumTokens] = rows.tokens;
  values[Name::QueryHeads] = rows.heads;
  values[Name::NumParts] = params.numParts;
  return launch(package, **kernel, values, nullptr, paramsOf(params),
                std::span(buffers).first(numBuffers), stream);
}
