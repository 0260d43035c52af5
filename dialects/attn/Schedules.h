//===- Schedules.h - which schedules are legal, and which one is chosen ----===//
//
// Internal. A schedule breaks a limit of the target (checkSchedule), or it runs;
// without a tuning database the choice is a cost model (decodeSchedule). Both
// count registers and shared memory by the same formulas. For the swapped
// products of decode, with 32 lanes per unit, one thread holds, in 32-bit registers,
//
//   scores          S = rows/8 · keys/16 · 4      (f32, an m16n8 fragment per 16 keys and 8 rows)
//   probabilities   P = S / 2                     (16 bit)
//   accumulator     O = rows/8 · value_dim/16 · 4 (f32)
//   query           Q = rows/8 · key_dim/16 · 2   (16 bit)
//   row statistics  rows/8 · 4                    (maximum and sum, two rows a lane)
//
// and 32 for addresses and counters; 12 more where the page size is no power of two or 1, 16 more
// for pages of 2 or 4 tokens, of which a tile has many. The direct products of prefill have the
// rows on the instruction's side of 16: S = rows·keys/32, O = rows·value_dim/32, no query, which
// stays in shared memory, 4 of statistics for each 16 rows, and 56, since operands are read ahead;
// 16 more for all those page sizes and pages of one token, and 16 for groups that are no power of
// two. Test: test/dialects/attn/SchedulesTest.cpp
//
//===----------------------------------------------------------------------===//
#pragma once

#include "compiler/target/TargetTable.h"
#include "dialects/attn/Values.h"
#include "runtime/support/Result.h"

namespace mlir {
class MLIRContext;
} // namespace mlir

namespace attncc::attn {

/// Reads `#attn.schedule<…>`, or just `<…>`. InvalidArgument with the parser's or verifier's
/// message where it is none. Needs the attn dialect loaded.
Result<Schedule> parseSchedule(mlir::MLIRContext &context, llvm::StringRef text);

/// What a schedule must know of the attention that it is for.
struct KernelShape {
  int64_t keyDim = 0;
  int64_t valueDim = 0;
  int64_t group = 1;    // query heads per kv head
  int64_t maxQuery = 1; // query tokens of one sequence
  int64_t pageSize = 0; // 0: dense keys
  int64_t elementBytes = 2;
  bool causal = true;
  int64_t queryTokens = 0; // of prefill: the most that one sequence has; 0: any number
};

/// The registers of one thread, by the formulas above; the query counts only in the swapped form,
/// the direct form reads it from shared memory.
int64_t registerEstimate(const Schedule &schedule, const KernelShape &shape);
/// The bytes of the rings of keys and values of one block, with their mbarriers, and of the query
/// rows where these are in shared memory.
int64_t sharedBytes(const Schedule &schedule, const KernelShape &shape);

/// Tensor copies of keys have boxes of one panel: the matrix descriptors of a warpgroup's products
/// know one stride from each 8 rows to the next.
inline bool keysByPanel(const Schedule &schedule) {
  return schedule.product == Product::Wgmma && schedule.box != schedule.keys;
}

/// Shared memory that rings leave to everything else in a block: barriers, and the alignment of
/// swizzled tiles.
inline constexpr int64_t kSharedReserve = 1024;

/// An error that names the first limit which the schedule breaks and gives both numbers. What the
/// attribute's verifier checks (AttnAttrs.td) is taken for granted.
Result<void> checkSchedule(const Schedule &schedule, const KernelShape &shape,
                           const TargetInfo &target);

/// The cost model's schedule for decode: the fewest chunks of rows, in equal multiples of 8, that
/// registers allow, since every chunk reads the keys again; 4 units and 3 stages, fewer where
/// shared memory asks for it, which two blocks share if the target has enough. Where the target
/// has tensor copies and boxes of at least 8 tokens divide the pages, these copy, in up to 6
/// stages, and exactly two blocks share. Items take as many splits as they have registers to add.
/// Where the target has dependent launches every kernel is
/// one.
Schedule decodeSchedule(const KernelShape &shape, const SplitRule &split, const TargetInfo &target);

/// Sequences of up to so many query tokens may have a prefill schedule of their own: their items
/// are a few tiles long.
inline constexpr int64_t kShortQueries = 2048;

/// The cost model's schedule for prefill. With products of warpgroups and tensor copies: blocks
/// that stay for many items, 3 units (2 above a head dim of 128) that take turns (above 128 under a
/// mask they skip tiles instead), a role that loads up to 4 stages of as many keys as registers
/// allow. For short queries, under a mask or where each query head has its kv head, 4 units without
/// turns up to a head dim of 64; from there to 128, where both hold, 2 with tiles of 128 keys. Else
/// 4 units share the keys, each with 32 rows where registers allow, else 16; 64 keys a tile, fewer
/// where registers, shared memory or the page numbers of a tile ask for it; the longest items
/// first.
Schedule prefillSchedule(const KernelShape &shape, const TargetInfo &target);

/// append runs one warp for a token and kv head, the merges one warp for a row; none has a key
/// loop.
Schedule appendSchedule(const TargetInfo &target);
Schedule mergeStatesSchedule(const TargetInfo &target);
/// `decode`: the schedule of the kernel whose splits are merged.
Schedule mergeSchedule(const SplitRule &split, MergeForm merge, const TargetInfo &target);

/// Whether decode's items may take several splits and add them: the sums of their rows must have
/// room in registers, and what all warps hold at a time of the merged rows must be at most 8.
bool addsSplits(int64_t valueDim);

/// At most 64 splits up to maxPosition. Where items add them, 11 to 16 of a sequence of 1,281 to
/// 65,536 tokens, since they cost next to nothing and fill a GPU: [2048, 128], [4096, 256],
/// [6144, 384], [8192, 512], [12288, 768], [16384, 1024], [24576, 1536], [32768, 2048],
/// [49152, 3072], [131072, 4096]. Else [2048, 256], [8192, 1024], [131072, 2048]. One more step
/// beyond that.
SplitRule defaultSplitRule(int64_t maxPosition, int64_t valueDim);

} // namespace attncc::attn
