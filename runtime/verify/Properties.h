//===- Properties.h - what holds between runs ------------------------------===//
//
// Internal. Laws that no single comparison with an oracle can show:
//
//   unused memory      NaN instead of zero in unused tails and free pages changes no bit
//   batch invariance   a sequence has the same bits alone, padded and in a batch of 64
//   repeatability      the same case a hundred times has the same bits
//   steps              append, attention and merge back to back on one stream have the bits of runs
//                      of their own, although the pages that append writes are NaN before; and in a
//                      captured graph that is launched twice
//   isolation          a NaN that one sequence sees does not reach another
//   far pages          a pool beyond 2^31 elements (4 GiB) is addressed right
//   bad page, length   a page number out of range or a length beyond its bound makes that
//                      sequence's rows NaN, sets the error word, and harms nobody else
//   bad position       a position outside of the table of angles makes what it turns NaN, sets the
//                      error word, and harms nobody else
//   traffic            of decode at 4,096 tokens and of append, against the least; no
//                      bank conflicts
//
// Test: test/verify/VerifyTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/RunCase.h"

namespace attncc::verify {

struct PropertyResult {
  std::string name, layerClass, target;
  Role role = Role::Decode;
  bool passed = false;
  std::string detail; // a figure, or why it does not hold
  double traffic = 0; // traffic properties only: moved over compulsory bytes
};

struct Property {
  std::string name;
  Role role;
  PropertyResult (*check)(const ClassShape &shape, Executor &executor, double trafficLimit);
  /// Where it applies; null: everywhere.
  bool (Executor::*applies)() const = nullptr;
};

/// All of them. A check never fails to give a result.
const std::vector<Property> &allProperties();

/// Page numbers out of range and lengths beyond their bound leave the same error words, and NaN in
/// the same places, with both executors.
PropertyResult checkSameErrors(const ClassShape &shape, Executor &executor, Executor &other);

} // namespace attncc::verify
