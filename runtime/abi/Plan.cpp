// Plans of the C interface. After the first step these calls allocate nothing unless they fail.
#include "runtime/abi/Abi.h"

using namespace attncc;
using namespace attncc::abi;

attncc_status attncc_plan_create(attncc_package *package, const char *group,
                                 const attncc_limits *limits, attncc_plan **plan) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"plan", plan}}); !given)
      return given.error();
    *plan = nullptr;
    if (Result<void> given = notNull({{"package", package}}); !given)
      return given.error();
    Result<attncc_limits> read = readStruct("limits", limits);
    if (!read)
      return read.error();
    Result<std::unique_ptr<plan::Plan>> made = plan::Plan::create(package->package, group, *read);
    if (!made)
      return made.error();
    *plan = new attncc_plan{std::move(*made)};
    return {};
  });
}

attncc_status attncc_plan_workspace(const attncc_plan *plan, size_t *bytes, size_t *alignment) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"plan", plan}}); !given)
      return given.error();
    if (bytes)
      *bytes = static_cast<size_t>(plan->plan->workspaceBytes());
    if (alignment)
      *alignment = plan::kWorkspaceAlignment;
    return {};
  });
}

attncc_status attncc_plan_set_workspace(attncc_plan *plan, void *device_memory, size_t bytes,
                                        attncc_stream stream) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"plan", plan}}); !given)
      return given.error();
    return plan->plan->setWorkspace(
        device_memory, static_cast<int64_t>(std::min<size_t>(bytes, INT64_MAX)), stream);
  });
}

attncc_status attncc_plan_update(attncc_plan *plan, const attncc_batch *batch,
                                 attncc_stream stream) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"plan", plan}}); !given)
      return given.error();
    Result<attncc_batch> read = readStruct("batch", batch);
    if (!read)
      return read.error();
    return plan->plan->update(*read, stream);
  });
}

attncc_status attncc_append(attncc_plan *plan, attncc_kv *kv, uint32_t layer,
                            const attncc_append_args *args, attncc_stream stream) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"plan", plan}, {"kv", kv}}); !given)
      return given.error();
    Result<attncc_append_args> read = readStruct("args", args);
    if (!read)
      return read.error();
    return plan->plan->append(*kv->cache, layer, *read, stream);
  });
}

attncc_status attncc_attend(attncc_plan *plan, attncc_kv *kv, uint32_t layer,
                            const attncc_attend_args *args, attncc_stream stream) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"plan", plan}, {"kv", kv}}); !given)
      return given.error();
    Result<attncc_attend_args> read = readStruct("args", args);
    if (!read)
      return read.error();
    return plan->plan->attend(*kv->cache, layer, *read, stream);
  });
}

attncc_status attncc_plan_check(attncc_plan *plan, attncc_stream stream) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"plan", plan}}); !given)
      return given.error();
    return plan->plan->check(stream);
  });
}

void attncc_plan_release(attncc_plan *plan) { delete plan; }
