//===- Readers.h - the two forms of a spec ---------------------------------===//
//
// Internal to compiler/spec. parseModelSpec looks at the root's keys and calls one
// of these; they fill in everything but file, sourceName, dtype and notes about it.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/spec/Fields.h"
#include "compiler/spec/ModelSpec.h"

namespace attncc::spec {

/// Bounds of what a spec may ask for: far above any model, and products of them fit in int64.
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 1 << 16;
constexpr int64_t kMaxDim = 1 << 12;
constexpr int64_t kMaxPositions = 1 << 30;
constexpr int64_t kMaxWidth = int64_t(1) << 32;
constexpr double kMaxReal = 1e30;

/// A spec and the value that says its type, null where it says none.
struct Reading {
  ModelSpec spec;
  const json::Value *dtype = nullptr;
};

Result<Reading> readHuggingFace(const json::Value &root, const SpecOptions &options);
Result<Reading> readModelJson(const json::Value &root, const SpecOptions &options);

/// Merges equal layers into classes and names the nameless ones. `layers` has one class for each
/// layer, or for each set of layers.
std::vector<LayerClass> groupLayers(std::vector<LayerClass> layers);

/// Checks what a kind's parameters must fulfil and fills in attentionFactor (unless given) and
/// inverseFrequencies. `at` is the object that has the parameters.
void finishRope(Rope &rope, bool attentionFactorGiven, int64_t maxPosition, const json::Value &at,
                Failure &failure);

} // namespace attncc::spec
