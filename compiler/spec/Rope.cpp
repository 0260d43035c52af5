//===- Rope.cpp - the inverse frequencies of rotary embeddings -------------===//
// See Rope.h. Test: test/spec/RopeTest.cpp.
#include "compiler/spec/Rope.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

using namespace attncc;
using namespace attncc::spec;

static constexpr std::array<std::pair<RopeKind, const char *>, 6> kKindNames = {{
    {RopeKind::Plain, "default"},
    {RopeKind::Linear, "linear"},
    {RopeKind::Dynamic, "dynamic"},
    {RopeKind::Llama3, "llama3"},
    {RopeKind::Yarn, "yarn"},
    {RopeKind::Longrope, "longrope"},
}};

const char *spec::pairingName(Pairing pairing) {
  return pairing == Pairing::Half ? "half" : "interleaved";
}

const char *spec::ropeKindName(RopeKind kind) {
  return kKindNames[static_cast<size_t>(kind)].second;
}

std::optional<RopeKind> spec::parseRopeKind(std::string_view name) {
  for (auto [kind, text] : kKindNames)
    if (name == text)
      return kind;
  return std::nullopt;
}

double spec::yarnMscale(double scale, double mscale) {
  return scale <= 1.0 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

double spec::defaultAttentionFactor(const Rope &rope) {
  if (rope.kind == RopeKind::Yarn) {
    if (rope.mscale != 0.0 && rope.mscaleAllDim != 0.0)
      return yarnMscale(rope.factor, rope.mscale) / yarnMscale(rope.factor, rope.mscaleAllDim);
    return yarnMscale(rope.factor, 1.0);
  }
  if (rope.kind == RopeKind::Longrope && rope.factor > 1.0 && rope.originalPositions > 1)
    return std::sqrt(1.0 + std::log(rope.factor) / std::log(double(rope.originalPositions)));
  return 1.0;
}

namespace {

double llama3(double frequency, const Rope &rope) {
  double original = double(rope.originalPositions);
  double wavelength = 2.0 * std::numbers::pi / frequency;
  if (wavelength < original / rope.highFrequencyFactor)
    return frequency;
  if (wavelength > original / rope.lowFrequencyFactor)
    return frequency / rope.factor;
  double kept = (original / wavelength - rope.lowFrequencyFactor) /
                (rope.highFrequencyFactor - rope.lowFrequencyFactor);
  return (1.0 - kept) * frequency / rope.factor + kept * frequency;
}

/// The ramp of YaRN between the pairs that turn beta_fast and beta_slow times.
struct YarnRamp {
  double low, high;

  explicit YarnRamp(const Rope &rope) {
    auto pairThatTurns = [&](double turns) {
      double positions = double(rope.originalPositions);
      return double(rope.dim) * std::log(positions / (turns * 2.0 * std::numbers::pi)) /
             (2.0 * std::log(rope.theta));
    };
    low = pairThatTurns(rope.betaFast);
    high = pairThatTurns(rope.betaSlow);
    if (rope.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, double(rope.dim - 1));
    if (low == high)
      high += 0.001; // as the reference does: a step instead of a division by zero
  }
  /// 0 below the ramp (frequency kept), 1 above it (frequency divided).
  double at(double pair) const { return std::clamp((pair - low) / (high - low), 0.0, 1.0); }
};

double yarn(double frequency, double ramp, const Rope &rope) {
  return frequency / rope.factor * ramp + frequency * (1.0 - ramp);
}

} // namespace

std::vector<float> spec::inverseFrequencies(const Rope &rope, int64_t maxPosition) {
  double base = rope.theta;
  if (rope.kind == RopeKind::Dynamic && maxPosition > rope.originalPositions && rope.dim > 2) {
    double stretch =
        rope.factor * double(maxPosition) / double(rope.originalPositions) - (rope.factor - 1.0);
    base *= std::pow(stretch, double(rope.dim) / double(rope.dim - 2));
  }
  YarnRamp ramp(rope);
  bool beyond = maxPosition > rope.originalPositions;
  std::vector<float> frequencies;
  for (int64_t i = 0; i < rope.dim / 2; ++i) {
    double frequency = std::pow(base, -2.0 * double(i) / double(rope.dim));
    switch (rope.kind) {
    case RopeKind::Plain:
    case RopeKind::Dynamic:
      break;
    case RopeKind::Linear:
      frequency /= rope.factor;
      break;
    case RopeKind::Llama3:
      frequency = llama3(frequency, rope);
      break;
    case RopeKind::Yarn:
      frequency = yarn(frequency, ramp.at(double(i)), rope);
      break;
    case RopeKind::Longrope:
      frequency /= (beyond ? rope.longFactor : rope.shortFactor)[static_cast<size_t>(i)];
      break;
    }
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}
