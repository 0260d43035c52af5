// attncc_merge of the C interface. Allocates nothing unless it fails.
#include "runtime/abi/Abi.h"
#include "runtime/plan/MergeStates.h"

using namespace attncc;
using namespace attncc::abi;

attncc_status attncc_merge(attncc_package *package, const attncc_tensor *outputs,
                           const attncc_tensor *lses, uint32_t parts, int lse_is_log2,
                           const attncc_attend_args *args, attncc_stream stream) {
  return call(__func__, [&]() -> Result<void> {
    if (Result<void> given = notNull({{"package", package}, {"outputs", outputs}, {"lses", lses}});
        !given)
      return given.error();
    Result<attncc_attend_args> read = readStruct("args", args);
    if (!read)
      return read.error();
    return plan::mergeStates(*package->package, {outputs, parts}, {lses, parts}, lse_is_log2 != 0,
                             *read, stream);
  });
}
