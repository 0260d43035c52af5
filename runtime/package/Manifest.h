//===- Manifest.h - what a kernel package says about itself -----------------===//
//
// Internal. The structs are manifest.json (docs/package.md) field by field: the
// compiler fills them in and writes them with toJson; the runtime, `verify` and
// foreign launchers read them. parseManifest checks everything that can be
// checked without opening another file, so whoever holds a Manifest from it may
// index groups, classes, interfaces and split rules by the names in it.
// Test: test/runtime/package/ManifestTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/package/Interface.h"
#include "runtime/support/Result.h"
#include "runtime/support/SplitRule.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::package {

/// The schema that this code writes. A reader takes its own major and every minor.
constexpr int kSchemaMajor = 1;
constexpr int kSchemaMinor = 0;
constexpr int64_t kMaxManifestBytes = 16 << 20;
constexpr int64_t kMaxFileBytes = 64 << 20;
constexpr int64_t kMaxFiles = 4096;
constexpr int kMaxJsonDepth = 64;

enum class DType { F16, BF16, F32 };
/// "f16", "bf16", "f32".
const char *dtypeName(DType type);
std::optional<DType> parseDType(std::string_view name);
inline int64_t dtypeBytes(DType type) { return type == DType::F32 ? 4 : 2; }

/// Layers first to last, both included.
struct LayerRange {
  int64_t first = 0, last = 0;
  bool operator==(const LayerRange &) const = default;
};

/// One side (K or V) of a page.
struct PageElement {
  DType dtype = DType::BF16;
  int64_t dim = 0;
  bool operator==(const PageElement &) const = default;
};

/// The order in which the compiler expects tokens (N) and heads (H) in a page: a performance hint,
/// since the strides of a launch decide.
enum class KvOrder { NHD, HND };

/// Layers that share a page format, and so one block table.
struct CacheGroup {
  std::string name;
  std::vector<LayerRange> layers;
  int64_t pageSize = 0, kvHeads = 0;
  PageElement k, v;
  KvOrder order = KvOrder::NHD;
  int64_t alignment = 16; ///< bytes: of bases, tokens and heads
  bool operator==(const CacheGroup &) const = default;

  int64_t numLayers() const;
  int64_t pageBytesPerLayer() const;
  int64_t tokenBytesAllLayers() const;
};

/// Rotary position embedding of queries and keys. The angle of pair i at position p is
/// p * inverseFrequencies[i] and the rotated pair is multiplied by attentionFactor; kind, theta and
/// parameters say where those numbers come from and are not needed to compute.
struct Rope {
  enum class Pairing { Half, Interleaved };
  Pairing pairing = Pairing::Half; ///< pair i is (i, i + dim/2), or (2i, 2i + 1)
  int64_t dim = 0;                 ///< the first `dim` components of a head rotate
  std::string kind = "default";
  double theta = 10000.0;
  std::map<std::string, double> parameters; ///< e.g. factor, low, high, original_positions
  std::vector<float> inverseFrequencies;    ///< dim/2 values, all factors applied
  float attentionFactor = 1.0f;
  bool operator==(const Rope &) const = default;
};

/// RMS norm over head_dim of each query and key head, before RoPE: x / sqrt(mean(x^2) + epsilon) *
/// weight.
struct QkNorm {
  double epsilon = 0;
  bool operator==(const QkNorm &) const = default;
};

/// Layers that are equal, and so share kernels.
struct LayerClass {
  std::string name;
  std::vector<LayerRange> layers;
  std::string cacheGroup;
  int64_t queryHeads = 0, group = 0, headDim = 0; ///< query head h reads kv head h / group
  DType dtype = DType::BF16;                      ///< of query, key, value and output
  double scale = 0;
  std::string mask = "causal"; ///< text of #attn.mask without its brackets
  std::optional<Rope> rope;
  std::optional<QkNorm> qkNorm;
  std::map<std::string, std::string> numerics; ///< e.g. accumulate: f32, probabilities: bf16
  int64_t maxQueryTokensDecode = 8, maxPosition = 0;
  bool operator==(const LayerClass &) const = default;
};

struct NamedSplitRule {
  SplitRule rule;
  std::string note;
  bool operator==(const NamedSplitRule &) const = default;
};

/// Host-known bounds (num_sequences, max_query_length, max_kv_length) that a variant serves, both
/// ends included.
struct Interval {
  int64_t least = 0, most = 0;
  bool holds(int64_t value) const { return least <= value && value <= most; }
  bool operator==(const Interval &) const = default;
};

/// How the tensor map of a kernel's parameter is encoded for a layer. Dimensions run from the
/// innermost, whose elements are adjacent, to the outermost; the base is the layer's pointer of the
/// parameter's name.
struct TensorMapRule {
  enum class Fill { Zero, NaN }; ///< of elements out of bounds
  DType dtype = DType::BF16;
  std::vector<std::string> dims;    ///< formulas, elements
  std::vector<std::string> strides; ///< formulas, elements, of dimensions 1 and up
  std::vector<int64_t> box;         ///< elements
  int64_t swizzle = 0;              ///< bytes: 0, 32, 64 or 128
  int64_t l2Promotion = 0;          ///< bytes: 0, 64, 128 or 256
  Fill fill = Fill::Zero;
  bool operator==(const TensorMapRule &) const = default;
};

/// The word in "requires" of a package whose kernels take tensor maps.
constexpr std::string_view kTensorMapFeature = "tensor_map";

/// What an append kernel does to queries and keys: the class's QK norm and RoPE, or nothing.
enum class Prologue { Fused, None };
/// "fused", "none".
const char *prologueName(Prologue prologue);

/// A kernel's machine code, assembled from its PTX: one ELF file that a driver loads as it is.
struct Cubin {
  std::string file; ///< below the package folder
  int64_t bytes = 0;
  std::string sha256;
  std::string arch; ///< that it was assembled for: the kernel's target or, if plain, a later one
  int64_t registers = 0; ///< of a thread
  std::string ptxas;     ///< version of the assembler, e.g. "13.0.88"
  bool operator==(const Cubin &) const = default;
};

/// What items of decode may take, and a merge kernel knows of: one split, spans of them, all.
enum class AddsSplits { None, Span, All };
/// "none", "span", "all".
const char *addsSplitsName(AddsSplits adds);

struct KernelEntry {
  std::string entry, role, layerClass, target;
  std::string ptx;  ///< least PTX version of the driver, e.g. "7.8"
  std::string file; ///< below the package folder
  int64_t bytes = 0;
  std::string sha256;
  std::string interface;            ///< key of Manifest::interfaces, e.g. "decode/1"
  std::optional<Prologue> prologue; ///< of an append kernel
  std::array<int64_t, 3> block = {0, 1, 1};
  int64_t shared = 0;     ///< dynamic shared memory in bytes
  std::string splitRule;  ///< key of Manifest::splitRules; empty for kernels that know no splits
  std::string orderClass; ///< names the summation order; variants of one class give the same bits
  std::map<std::string, Interval> loadClass;
  int64_t rows = 0; ///< query rows of one block of decode and prefill; 0 for other roles
  AddsSplits addsSplits = AddsSplits::None;
  bool dependentLaunch = false; ///< waits by itself for the launch in front of it
  std::map<std::string, TensorMapRule> tensorMaps; ///< by parameter of type tensor_map
  std::string schedule;                            ///< text of #attn.schedule; may be empty
  std::optional<Cubin> cubin;
  bool operator==(const KernelEntry &) const = default;
};

struct RefusedLayers {
  std::vector<LayerRange> layers;
  std::string reason;
  bool operator==(const RefusedLayers &) const = default;
};

struct SpecReference {
  std::string file, sha256, sourceName, sourceSha256;
  int64_t bytes = 0;
  bool operator==(const SpecReference &) const = default;
};

struct CompilerVersion {
  std::string version, llvm;
  int64_t scheduleSpace = 1;
  bool operator==(const CompilerVersion &) const = default;
};

struct Manifest {
  int64_t schemaMinor = kSchemaMinor;
  std::vector<std::string> features; ///< JSON "requires": words that a reader must know
  CompilerVersion compiler;
  SpecReference spec;
  std::vector<CacheGroup> cacheGroups;
  std::vector<LayerClass> layerClasses;
  std::map<std::string, NamedSplitRule> splitRules;
  std::map<std::string, Interface> interfaces;
  std::vector<KernelEntry> kernels;
  std::vector<RefusedLayers> refused;
  bool operator==(const Manifest &) const = default;

  const CacheGroup *findGroup(std::string_view name) const;
  const LayerClass *findClass(std::string_view name) const;
  /// The class of a layer of the model, or null where it is refused.
  const LayerClass *classOfLayer(int64_t layer) const;
};

/// Reads and validates manifest.json; `file` is the name that diagnostics give. The error is
/// InvalidPackage with line and column, or Unsupported for a newer major and for a word in
/// "requires" that this code does not know.
Result<Manifest> parseManifest(std::string_view text, std::string_view file);

/// The text of manifest.json: keys sorted, two-space indents, LF, the same bytes for the same
/// value. parseManifest gives the same Manifest back.
std::string toJson(const Manifest &manifest);

/// Layers of the ranges in ascending order.
std::vector<int64_t> layersOf(const std::vector<LayerRange> &ranges);
/// The shortest ranges of ascending layers.
std::vector<LayerRange> rangesOf(const std::vector<int64_t> &layers);

} // namespace attncc::package
