//===- SimulatedMachine.h - the simulator with a stopwatch of the test's ------===//
//
// Work is executed by the simulator, once, when it is recorded; its time is what the test says.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/bench/Machine.h"

#include <deque>

namespace attncc::test {

class ScriptedStopwatch final : public bench::Stopwatch {
public:
  /// Microseconds of the runs that follow, the last one for ever.
  std::deque<double> times = {100};
  int64_t recordings = 0, runs = 0;
  std::vector<int64_t> inRow; ///< runs that were asked for in a row
  std::vector<double> rests;  ///< microseconds

  device::Stream stream() const override { return nullptr; }
  Result<std::unique_ptr<bench::Recording>> record(const Work &work) override {
    struct Scripted final : bench::Recording {
      ScriptedStopwatch &of;
      explicit Scripted(ScriptedStopwatch &of) : of(of) {}
      Result<double> run() override {
        ++of.runs;
        const double time = of.times.front();
        if (of.times.size() > 1)
          of.times.pop_front();
        return time;
      }
      Result<std::vector<double>> runs(int64_t count) override {
        of.inRow.push_back(count);
        std::vector<double> times;
        while (int64_t(times.size()) < count)
          times.push_back(*run());
        return times;
      }
    };
    ++recordings;
    if (Result<void> worked = work(nullptr); !worked)
      return worked.error();
    return std::unique_ptr<bench::Recording>(std::make_unique<Scripted>(*this));
  }
  void rest(double microseconds) override { rests.push_back(microseconds); }
};

struct SimulatedMachine {
  std::shared_ptr<ScriptedStopwatch> stopwatch = std::make_shared<ScriptedStopwatch>();
  bench::Machine machine = {*device::Device::open("sim"), stopwatch, 4096};
};

} // namespace attncc::test
