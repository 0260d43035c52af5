//===- CaseData.h - a case's values, and the memory that holds them --------===//
//
// Internal. From a case (CaseGrid.h) follow
//   values: what the oracle sees, per sequence and dense, rounded to the type, and
//   images: what a kernel sees, i.e. pages in a random order, block tables with garbage
//           behind their last entry, tensors by stride, NaN wherever nobody may look.
// Both are made here and nowhere else, so a kernel that misreads a page, a stride or a
// table differs from the oracle. Images are host memory, mapped sparsely: a pool may
// begin at page 2^26. Test: test/verify/VerifyTest.cpp,
// whose host executor computes from the images alone.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/verify/CaseGrid.h"

#include <cstddef>
#include <memory>
#include <span>

namespace attncc::verify {

/// Zeroed host memory that takes no space until it is touched. Moving keeps the address.
class Memory {
public:
  Memory() = default;
  /// OutOfMemory if the address space is not to be had.
  static Result<Memory> map(size_t bytes);
  Memory(Memory &&other) noexcept { *this = std::move(other); }
  Memory &operator=(Memory &&other) noexcept;
  ~Memory();

  template <class T> T *as() const { return static_cast<T *>(base); }
  size_t bytes() const { return size; }

private:
  void *base = nullptr;
  size_t size = 0;
};

/// A [tokens, heads, dim] view of 16-bit elements; strides in elements.
struct TensorImage {
  uint16_t *data = nullptr;
  int64_t tokens = 0, heads = 0, dim = 0, tokenStride = 0, headStride = 0;

  uint16_t *row(int64_t token, int64_t head) const {
    return data + token * tokenStride + head * headStride;
  }
};

/// [tokens, heads] log-sum-exps.
struct LseImage {
  float *data = nullptr; // null: not asked for
  int64_t tokenStride = 0, headStride = 1;

  float *at(int64_t token, int64_t head) const {
    return data + token * tokenStride + head * headStride;
  }
};

/// One part of a merge_states case.
struct StateImage {
  TensorImage output;
  LseImage lse;
};

/// K or V of one layer.
struct PageImage {
  uint16_t *data = nullptr; // page 0, token 0, head 0
  int64_t pageStride = 0, tokenStride = 0, headStride = 0;

  uint16_t *row(int64_t page, int64_t token, int64_t head) const {
    return data + page * pageStride + token * tokenStride + head * headStride;
  }
};

class CaseData {
public:
  /// `values`, if given, are taken in place of the seed's (of the same lengths and heads).
  static Result<std::unique_ptr<CaseData>> make(const ClassShape &shape,
                                                const VerifyCase &verifyCase,
                                                const AttentionProblem *values = nullptr);

  // Values. Of the problems, the one of the case's role.
  AttentionProblem attention;
  AppendProblem append;
  MergeProblem merge;                  // merge_states
  std::vector<uint16_t> appendedValue; // append: [tokens][kvHeads][valueDim]

  // Images.
  TensorImage query, key, value; // key, value: append only; query is null where it is not given
  TensorImage output;            // append: the rotated query; else the result
  LseImage lse;
  std::vector<StateImage> states; // merge_states: the parts
  PageImage k, v;
  int64_t numPages = 0;
  int32_t *queryStart = nullptr, *kvLength = nullptr, *blockTable = nullptr;
  int64_t blockTableStride = 0;
  int32_t *pageIndptr = nullptr;                         // null: dense
  int64_t *slots = nullptr, *positions = nullptr;        // null: not given
  uint16_t *queryWeight = nullptr, *keyWeight = nullptr; // null: no norm
  bool prologue = true;                                  // append: which kernel
  // Append: the table of angles, rows of the rotated dims; null: not given.
  void *cosSin = nullptr;
  int64_t cosSinPositions = 0, cosSinStride = 0, cosSinBytes = 0;
  int64_t numTokens = 0; // rows of the tensors; those past the last sequence's belong to nobody
  int64_t maxQueryLength = 0, maxKvLength = 0; // the host's bounds

  /// Where token `i` of sequence `s` lies: page * pageSize + offset.
  int64_t slotOf(int64_t sequence, int64_t token) const;
  /// Append: where the kernel must write token `t` of the batch, -1: nowhere.
  int64_t targetOf(int64_t token) const { return targets[size_t(token)]; }

  /// All mappings, to be made addressable, with a name each.
  struct Named {
    const char *label;
    Memory memory;
    size_t unbacked; // bytes at its beginning that have no content
  };
  std::span<const Named> mappings() const { return memories; }

  /// The rows of the case's tokens, converted: [tokens][heads][dim].
  std::vector<float> readOutput() const;
  std::vector<float> readLogSumExp() const;
  /// Append: K rows that were to be written, [written tokens][kvHeads][keyDim].
  std::vector<float> readKeys() const;

  /// What memory of the case was changed that no kernel may change: text, or empty. (Output rows
  /// that belong to no token, padding between rows, pages that are not a target of append; V rows
  /// of append that are not the value's bits.)
  std::string findTrespass() const;

private:
  CaseData(const ClassShape &shape, const VerifyCase &verifyCase)
      : prologue(verifyCase.prologue), shape(shape), verifyCase(verifyCase) {}
  Result<void> build(const AttentionProblem *values);
  Result<void *> map(const char *label, size_t bytes, size_t unbacked = 0);
  void makeAttentionValues(class Random &random);
  void makeAppendValues(class Random &random);
  void makeStates(class Random &random);
  /// The table's row of a position, as the kernel reads it.
  std::vector<float> anglesAt(int64_t position) const;
  Result<void> placeTensors(class Random &random);
  Result<void> placeAngles();
  Result<void> placeStates();
  /// A tensor of its own, tokens first or heads first, full of NaN; `gap` is behind each token.
  Result<void> placeTensor(TensorImage &tensor, const char *label, int64_t heads, int64_t headDim,
                           bool gap);
  Result<void> placeLse(LseImage &image, const char *label, bool gap);
  /// Keeps what the output's memory holds, for findTrespass.
  void rememberOutput();
  Result<void> placePages(class Random &random);
  Result<void> placeTables(class Random &random);

  ClassShape shape;
  VerifyCase verifyCase;
  std::vector<Named> memories;
  std::vector<std::vector<int64_t>> pages; // of each sequence
  std::vector<int64_t> targets;
  int64_t queryHeads = 0;
  uint16_t *pool = nullptr, *valuePool = nullptr; // of the first used page
  size_t poolElements = 0, valuePoolElements = 0;
  std::vector<uint16_t> poolBefore, valuePoolBefore; // append
  uint16_t *outputMemory = nullptr;                  // the mapping that holds the output
  std::vector<uint16_t> outputBefore;
};

} // namespace attncc::verify
