//===- Random.h - the same numbers on every machine ------------------------===//
//
// Internal. SplitMix64 (Steele, Lea, Flood 2014) with what test data needs. The
// standard library's distributions differ between implementations; these do not,
// so a case's seed reproduces its data anywhere. Test: test/verify/CaseGridTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace attncc::verify {

class Random {
public:
  explicit Random(uint64_t seed) : state(seed) {}

  uint64_t next() {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// Uniform in [least, most].
  int64_t integer(int64_t least, int64_t most) {
    return least + int64_t(next() % uint64_t(most - least + 1));
  }
  bool chance(int64_t oneIn) { return integer(1, oneIn) == 1; }
  /// Mean 0, variance 1: the sum of four uniform numbers, so |value| < 3.47.
  float normal() {
    uint64_t bits = next();
    int64_t sum = int64_t(bits & 0xffff) + int64_t(bits >> 16 & 0xffff) +
                  int64_t(bits >> 32 & 0xffff) + int64_t(bits >> 48);
    return float(double(2 * sum - 4 * 0xffff) / (2 * 65536.0) * 1.7320508075688772);
  }
  template <class T> const T &choice(const std::vector<T> &values) {
    return values[size_t(integer(0, int64_t(values.size()) - 1))];
  }
  template <class T> void shuffle(std::vector<T> &values) {
    for (size_t i = values.size(); i > 1; --i)
      std::swap(values[i - 1], values[size_t(integer(0, int64_t(i) - 1))]);
  }

private:
  uint64_t state;
};

} // namespace attncc::verify
