#include "runtime/support/Parallel.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>

using namespace attncc;

Result<void> attncc::inParallel(size_t count, unsigned threads,
                                const std::function<Result<void>(size_t)> &task) {
  std::vector<Result<void>> results(count);
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  // Numbers are handed out in ascending order: what an error keeps from beginning comes after it.
  auto work = [&] {
    for (size_t i = 0; !failed && (i = next++) < count;) {
      try {
        results[i] = task(i);
      } catch (const std::exception &exception) {
        results[i] = makeError(Status::Internal, exception.what());
      }
      if (!results[i])
        failed = true;
    }
  };
  if (threads == 0)
    threads = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> helpers;
  try {
    while (helpers.size() + 1 < std::min<size_t>(threads, count))
      helpers.emplace_back(work);
  } catch (const std::system_error &) {
    // No more threads are to be had: fewer do.
  }
  work();
  for (std::thread &helper : helpers)
    helper.join();
  for (const Result<void> &result : results)
    if (!result)
      return result.error();
  return {};
}
