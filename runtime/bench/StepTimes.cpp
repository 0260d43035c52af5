// How StepRun takes time, on the device and on the host. See StepRun.h.
#include "runtime/bench/StepRun.h"

#include "runtime/bench/Statistics.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <tuple>

namespace attncc::bench {

namespace {
constexpr int kWarmUps = 20; // about 30 ms: clocks have settled
constexpr int64_t kCallsInRow =
    128; // calls; fewer launches than a stream queues before the host waits
} // namespace

Result<StepRun::Turns> StepRun::recordTurns() {
  auto record = [&](int64_t attends) {
    return machine.stopwatch->record([&, attends](device::Stream stream) -> Result<void> {
      for (int64_t i = 0; i < attends; ++i)
        if (Result<void> launched = attend(i % numLayers, stream); !launched)
          return launched;
      return {};
    });
  };
  Result<std::unique_ptr<Recording>> recording = record(numLayers);
  if (!recording)
    return recording.error();
  Result<double> once = (*recording)->run();
  if (!once)
    return once.error();
  const int64_t turns = std::clamp<int64_t>(int64_t(std::ceil(options.sampleMicroseconds / *once)),
                                            1, std::max<int64_t>(1, kMostAttends / numLayers));
  if (recording = record(turns * numLayers); !recording)
    return recording.error();
  return Turns{std::move(*recording), turns * numLayers};
}

/// Of recordings of so many attends.
Timing StepRun::timingOf(std::vector<double> times, int64_t attends) {
  for (double &time : times)
    time /= double(attends);
  return {median(times), medianDeviation(times), int64_t(times.size()), attends};
}

Result<Timing> StepRun::time() {
  Result<Turns> turns = recordTurns();
  if (!turns)
    return turns.error();
  std::vector<double> times;
  for (int64_t i = -kWarmUps; i < options.samples; ++i) {
    Result<double> microseconds = turns->recording->run();
    if (!microseconds)
      return microseconds.error();
    if (i >= 0)
      times.push_back(*microseconds);
  }
  return timingOf(std::move(times), turns->attends);
}

Result<PowerTimings> StepRun::timeStates() {
  Result<Turns> turns = recordTurns();
  if (!turns)
    return turns.error();
  Result<double> once = turns->recording->run();
  if (!once)
    return once.error();
  auto runsIn = [&](double microseconds) {
    return std::max<int64_t>(1, std::llround(microseconds / *once));
  };
  std::vector<double> burst;
  while (int64_t(burst.size()) < options.samples) {
    machine.stopwatch->rest(options.restMicroseconds);
    Result<std::vector<double>> times = turns->recording->runs(runsIn(options.burstMicroseconds));
    if (!times)
      return times.error();
    burst.insert(burst.end(), times->begin(), times->end());
  }
  // As long a time is measured as went before, or longer.
  const int64_t heat = runsIn(options.heatMicroseconds);
  Result<std::vector<double>> times =
      turns->recording->runs(heat + std::max(heat, options.samples));
  if (!times)
    return times.error();
  times->erase(times->begin(), times->begin() + heat);
  return PowerTimings{timingOf(std::move(burst), turns->attends),
                      timingOf(std::move(*times), turns->attends)};
}

Result<HostTimes> StepRun::hostTimes() {
  attncc_append_args args = {};
  args.size = sizeof args;
  args.query = tensorOf(queryOf(0), queryHeads, shape.keyDim);
  NoisePool inputs(machine, options.seed + 3, "append's tensors");
  const int64_t elements =
      tokens * (kvHeads * (shape.keyDim + shape.valueDim) + queryHeads * shape.keyDim) +
      shape.keyDim;
  Result<std::byte *> drawn = inputs.reserve(size_t(2 * elements), shape.type);
  if (!drawn)
    return drawn.error();
  auto *next = reinterpret_cast<uint16_t *>(*drawn);
  for (auto [tensor, heads, dim] : {std::tuple(&args.key, kvHeads, shape.keyDim),
                                    std::tuple(&args.value, kvHeads, shape.valueDim),
                                    std::tuple(&args.query_out, queryHeads, shape.keyDim)}) {
    *tensor = tensorOf(next, heads, dim);
    next += tokens * heads * dim;
  }
  args.q_norm = args.k_norm = shape.normEpsilon ? next : nullptr;

  Result<void> state;
  using Clock = std::chrono::steady_clock;
  /// Median microseconds of one of `calls` calls, which the device has all finished in between.
  auto timed = [&](int64_t calls, auto &&call) {
    std::vector<double> times;
    for (int64_t sample = 0; state && sample < options.samples; ++sample) {
      const Clock::time_point begin = Clock::now();
      for (int64_t i = 0; state && i < calls; ++i)
        state = call(i);
      const std::chrono::duration<double, std::micro> passed = Clock::now() - begin;
      if (state)
        state = machine.device->synchronize(machine.stream());
      times.push_back(passed.count() / double(calls));
    }
    return median(std::move(times));
  };
  HostTimes times;
  times.update = timed(kCallsInRow, [&](int64_t) { return update(); });
  times.append = timed(kCallsInRow, [&](int64_t i) { return append(i % numLayers, args); });
  times.attend =
      timed(kCallsInRow, [&](int64_t i) { return attend(i % numLayers, machine.stream()); });
  times.step = timed(1, [&](int64_t) {
    Result<void> done = update();
    for (int64_t i = 0; done && i < HostTimes::kLayers; ++i)
      if (done = append(i % numLayers, args); done)
        done = attend(i % numLayers, machine.stream());
    return done;
  });
  if (!state)
    return state.error();
  return times;
}

} // namespace attncc::bench
