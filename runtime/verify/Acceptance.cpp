//===- Acceptance.cpp - see Acceptance.h -----------------------------------===//

#include "runtime/verify/Acceptance.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace attncc::verify {

namespace {
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string format(const char *pattern, double a, double b, double c, long index) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, index, a, b, c);
  return text;
}

/// Errors and the largest finite |oracle| of all elements that count.
Measure measure(std::span<const float> kernel, std::span<const double> oracle,
                std::span<const float> plain, std::span<const Demand> demand, double &largest) {
  Measure result;
  largest = 0;
  for (size_t i = 0; i < oracle.size(); ++i) {
    Demand wanted = demand.empty() ? Demand::Close : demand[i];
    if (wanted == Demand::Ignore)
      continue;
    double value = kernel[i];
    if (wanted == Demand::Exact || !std::isfinite(oracle[i])) {
      bool met = value == oracle[i] || (std::isnan(value) && std::isnan(oracle[i]));
      if (!met && result.accepted) {
        result.accepted = false;
        result.kernelError = kInfinity;
        result.worst = int64_t(i);
        result.reason =
            format("element %ld is %g, the oracle says exactly %g", value, oracle[i], 0, long(i));
      }
      continue;
    }
    largest = std::max(largest, std::fabs(oracle[i]));
    double error = std::fabs(value - oracle[i]);
    if (std::isnan(error))
      error = kInfinity;
    if (error > result.kernelError) {
      result.kernelError = error;
      result.worst = int64_t(i);
    }
    result.plainError = std::max(result.plainError, std::fabs(double(plain[i]) - oracle[i]));
  }
  return result;
}

Measure judge(Measure result, std::span<const float> kernel, std::span<const double> oracle) {
  result.ratio = result.kernelError / (result.plainError + result.unit / 2);
  double bound = 2 * result.plainError + result.unit;
  if (result.accepted && result.kernelError > bound) {
    result.accepted = false;
    result.reason = format("element %ld is %.9g, the oracle says %.9g: the error passes %.3g",
                           kernel[result.worst], oracle[result.worst], bound, long(result.worst));
  }
  return result;
}
} // namespace

Measure measureTensor(NumberType type, std::span<const float> kernel,
                      std::span<const double> oracle, std::span<const float> plain,
                      std::span<const Demand> demand) {
  double largest;
  Measure result = measure(kernel, oracle, plain, demand, largest);
  result.unit = ulp(type, largest);
  return judge(std::move(result), kernel, oracle);
}

Measure measureLogSumExp(std::span<const float> kernel, std::span<const double> oracle,
                         std::span<const float> plain, std::span<const Demand> demand) {
  double largest;
  Measure result = measure(kernel, oracle, plain, demand, largest);
  result.unit = 0x1p-20 * std::max(1.0, largest);
  return judge(std::move(result), kernel, oracle);
}

} // namespace attncc::verify
