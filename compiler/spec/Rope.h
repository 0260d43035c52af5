//===- Rope.h - the inverse frequencies of rotary embeddings ---------------===//
//
// Internal. A rotary embedding turns pair i of a head at position p by the angle
// p·f[i] and multiplies the pair by attention_factor. All kinds differ in f only:
//
//   plain     f[i] = theta^(-2i/dim)                                    (Su et al. 2021)
//   linear    f / factor
//   dynamic   NTK-aware base, which up to max_position is the plain one
//   llama3    by wavelength w = 2π/f: kept below original/high, divided by factor above
//             original/low, interpolated between (Llama 3.1)
//   yarn      interpolated between f / factor and f along a linear ramp over i, whose ends are
//             the pairs that turn beta_slow and beta_fast times in `original` positions;
//             attention_factor = 0.1·ln(factor) + 1, or a quotient of mscales (Peng et al. 2023)
//   longrope  f / long_factor[i] if positions exceed `original`, else f / short_factor[i];
//             attention_factor = sqrt(1 + ln(factor) / ln(original)) (Ding et al. 2024)
//
// The formulas are those of transformers' modeling_rope_utils. They are evaluated in
// double and rounded once to float: what the kernels, the oracle and the manifest
// share is the rounded value. Test: test/spec/RopeTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace attncc::spec {

enum class Pairing {
  Half,       // pair i is (i, i + dim/2)
  Interleaved // pair i is (2i, 2i + 1)
};
enum class RopeKind { Plain, Linear, Dynamic, Llama3, Yarn, Longrope };

/// "half", "interleaved".
const char *pairingName(Pairing pairing);
/// "default", "linear", "dynamic", "llama3", "yarn", "longrope": as transformers' rope_type.
const char *ropeKindName(RopeKind kind);
std::optional<RopeKind> parseRopeKind(std::string_view name);

/// Which parameters a kind has is listed beside them; the others keep their defaults.
struct Rope {
  Pairing pairing = Pairing::Half;
  int64_t dim = 0; // leading dims of a head that are rotated, even; MLA: the last ones
  double theta = 10000.0;
  RopeKind kind = RopeKind::Plain;

  double factor = 1.0; // linear, dynamic, llama3, yarn; longrope: max_position / original
  int64_t originalPositions =
      0; // llama3, yarn, longrope: the length before the context was extended
  double lowFrequencyFactor = 1.0, highFrequencyFactor = 4.0; // llama3
  double betaFast = 32.0, betaSlow = 1.0;                     // yarn
  bool truncate = true;                        // yarn: the ramp's ends are rounded to whole pairs
  double mscale = 0.0, mscaleAllDim = 0.0;     // yarn; 0: not given
  std::vector<double> shortFactor, longFactor; // longrope: dim/2 values each

  /// Multiplies the rotated pairs. Computed where the file does not give it.
  double attentionFactor = 1.0;
  /// dim/2 values, all factors applied.
  std::vector<float> inverseFrequencies;

  bool operator==(const Rope &) const = default;
};

/// The frequencies that `rope` has when positions up to maxPosition are used.
std::vector<float> inverseFrequencies(const Rope &rope, int64_t maxPosition);

/// The factor that the kind's paper recommends, from the kind's parameters.
double defaultAttentionFactor(const Rope &rope);

/// 0.1·mscale·ln(scale) + 1, or 1 where nothing is extended (YaRN, equation 22).
double yarnMscale(double scale, double mscale);

} // namespace attncc::spec
