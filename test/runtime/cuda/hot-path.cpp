// A benchmark: host time of the calls of a decode step, on the CUDA driver of the tests, which does
// nothing but count. What it prints is what attncc itself costs; docs/performance.md has the
// figures.
#include "test/runtime/StepOnDevice.h"
#include "test/runtime/cuda/FakeCuda.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>

using namespace attncc::test;

/// Median of 50 samples of 2,000 calls each, in microseconds a call.
static double microseconds(const std::function<std::string()> &call) {
  constexpr int kSamples = 50, kCalls = 2000;
  std::vector<double> samples;
  for (int sample = 0; sample < kSamples; ++sample) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i)
      if (std::string failure = call(); !failure.empty()) {
        std::fprintf(stderr, "%s\n", failure.c_str());
        std::exit(1);
      }
    samples.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count() /
        kCalls);
  }
  std::nth_element(samples.begin(), samples.begin() + kSamples / 2, samples.end());
  return samples[kSamples / 2];
}

int main() {
  TemporaryFolder folder;
  writePackage(samplePackage(), folder.path);
  StepOnDevice step("cuda:0", folder.path);
  fake_cuda_idle();
  if (std::string failure = step.run(); !failure.empty()) {
    std::fprintf(stderr, "%s\n", failure.c_str());
    return 1;
  }
  const double update = microseconds([&] { return step.update(); }),
               append = microseconds([&] { return step.append(0); }),
               attend = microseconds([&] { return step.attend(0); });
  std::printf("update  %.2f us\nappend  %.2f us\nattend  %.2f us, decode and merge\n"
              "step    %.1f us, 16 layers\n",
              update, append, attend, update + 16 * (append + attend));
}
