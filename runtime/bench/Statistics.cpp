// See Statistics.h.
#include "runtime/bench/Statistics.h"

#include <algorithm>
#include <cmath>

namespace attncc::bench {

double median(std::vector<double> values) {
  if (values.empty())
    return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double medianDeviation(const std::vector<double> &values) {
  const double middle = median(values);
  std::vector<double> distances;
  for (double value : values)
    distances.push_back(std::fabs(value - middle));
  return median(std::move(distances));
}

} // namespace attncc::bench
