#include "runtime/commands/Environment.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unistd.h>

using namespace attncc;

std::string attncc::withoutHome(std::string text) {
  const char *home = std::getenv("HOME");
  if (!home || std::strlen(home) < 2)
    return text;
  for (size_t at = 0; (at = text.find(home, at)) != text.npos; ++at) {
    char next = at + std::strlen(home) < text.size() ? text[at + std::strlen(home)] : '/';
    if (next == '/' || next == ':' || next == ',')
      text.replace(at, std::strlen(home), "~");
  }
  return text;
}

/// CUDA C++ Programming Guide, "Environment Variables".
JitCache attncc::jitCache() {
  const char *disabled = std::getenv("CUDA_CACHE_DISABLE"), *path = std::getenv("CUDA_CACHE_PATH"),
             *home = std::getenv("HOME");
  if (disabled && std::string_view(disabled) == "1")
    return {"off (CUDA_CACHE_DISABLE)", false};
  if (!path && !home)
    return {"unknown: neither CUDA_CACHE_PATH nor HOME is set", false};
  // The folder is made when it is needed: the nearest one that exists decides.
  std::string folder = path ? path : std::string(home) + "/.nv/ComputeCache", existing = folder;
  while (existing.size() > 1 && access(existing.c_str(), F_OK) != 0)
    existing.resize(std::max<size_t>(1, existing.find_last_of('/')));
  const bool writable = access(existing.c_str(), W_OK) == 0;
  return {withoutHome(folder) + (writable ? ", writable" : ", not writable"), writable};
}
