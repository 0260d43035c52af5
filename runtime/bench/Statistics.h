//===- Statistics.h - what is said of repeated measurements -----------------===//
//
// Internal. Test: test/bench/StatisticsTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <vector>

namespace attncc::bench {

/// The value in the middle, of an even number of values the mean of the two; 0 of none.
double median(std::vector<double> values);

/// The median of the distances from the median: a spread that a few disturbed samples leave alone.
double medianDeviation(const std::vector<double> &values);

} // namespace attncc::bench
