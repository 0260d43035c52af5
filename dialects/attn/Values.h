//===- Values.h - the values that attn's attributes hold ------------------===//
//
// Internal. Plain structs, one for each attribute that has more than a field or
// two: passes compute with them, the attributes only carry, parse and print
// them. Every field has the default that its absence in the text means. Meaning
// and legality of the schedule's fields: AttnAttrs.td and ScheduleLegality.h.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/attn/Mask.h"
#include "mlir/IR/DialectImplementation.h"
#include "runtime/support/SplitRule.h"
#include "llvm/ADT/Hashing.h"
#include "llvm/Support/raw_ostream.h"
#include <cstdint>
#include <optional>
#include <vector>

#include "dialects/attn/AttnEnums.h.inc"

namespace attncc::attn {

/// How raw scores become the softmax's input: s = scale·(q·k), then softcap·tanh(s / softcap).
struct Scores {
  double scale = 1.0;
  std::optional<double> softcap;
  bool operator==(const Scores &) const = default;
};
llvm::hash_code hash_value(const Scores &scores);

/// A rotary embedding with its final numbers. Pair d (of dim/2) of a row at position p is turned by
/// p·inverseFrequencies[d] and multiplied by attentionFactor.
struct Rope {
  Pairing pairing = Pairing::Half;
  int64_t dim = 0; // leading dims of a head that are rotated; even
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::None;
  double attentionFactor = 1.0;
  std::vector<float> inverseFrequencies; // dim/2 values, all scaling factors applied
  bool operator==(const Rope &) const = default;
};
llvm::hash_code hash_value(const Rope &rope);

/// Pipeline depths. A joint ring holds a tile of keys and its values in one slot.
struct Stages {
  int64_t key = 3;
  int64_t value = 3;
  bool joint = true; // then key == value
  int64_t query = 1;
  bool operator==(const Stages &) const = default;
};

struct Schedule {
  int64_t unit = 1;  // warps that own a set of query rows together
  int64_t units = 4; // per block
  int64_t rows = 8;  // query rows per unit
  Divide divide = Divide::Keys;
  int64_t keys = 16; // per tile
  Orientation orientation = Orientation::Swapped;
  Product product = Product::Mma;
  Copy copy = Copy::Gather;
  int64_t box = 0; // tokens per tensor copy; 0 with gather
  Cache cache = Cache::Normal;
  Stages stages;
  Roles roles = Roles::One;
  std::vector<int64_t>
      registers; // per thread of the load, store and compute role; empty with one role
  Overlap overlap = Overlap::None;
  bool pingPong = false;
  Rescale rescale = Rescale::Always;
  Work work = Work::Grid;
  Order order = Order::Natural;
  int64_t headGroup = 0; // heads drawn together by a persistent kernel; 0: all
  bool skipTiles = false;
  Output output = Output::Direct;
  std::optional<SplitRule> split;
  MergeForm merge = MergeForm::Kernel;
  DependentLaunch dependentLaunch = DependentLaunch::None;
  int64_t blocksPerSm = 1;

  bool specialised() const { return roles == Roles::Specialised; }
  /// Items on their way between roles: a unit's own, the next one where its rows are copied ahead,
  /// and one that is being drawn.
  int64_t itemSlots() const { return stages.query > 1 ? 3 : 2; }
  /// Threads of the units that compute.
  int64_t computeThreads() const { return 32 * unit * units; }
  /// Threads of a block: a warpgroup that loads stands behind those that compute.
  int64_t threads() const { return computeThreads() + (specialised() ? 128 : 0); }
  bool operator==(const Schedule &) const = default;
};
llvm::hash_code hash_value(const Schedule &schedule);

/// What every KV type says, paged or dense.
struct KvShape {
  int64_t kvHeads = 0;
  int64_t keyDim = 0;
  int64_t valueDim = 0;
};

} // namespace attncc::attn

namespace attncc {
llvm::hash_code hash_value(const SplitRule &rule);
} // namespace attncc
