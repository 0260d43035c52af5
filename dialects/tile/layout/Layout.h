//===- Layout.h - Where each element of a tile lives ------------------------===//
//
// A layout maps hardware indices to the coordinates of a tile:
//
//   registers of threads:   (register, lane, warp) -> (row, column)
//   shared memory:          offset in elements     -> (row, column)
//
// It has two parts.
//
// The *atom* covers a patch whose sides are powers of two and is linear over F2, the field of two
// elements: every bit of every hardware index owns one vector (row, column), and the coordinate of
// an index is the exclusive or of the vectors of its set bits. Everything the hardware does inside
// a patch is of this kind: mma fragments, ldmatrix, movmatrix and the xor swizzle of shared memory.
// So composition, inversion, "who else holds this element" and "which bank" are all Gaussian
// elimination on at most sixteen bits.
//
// The *repeats* lay copies of the atom along a dimension, any number of times, innermost first:
// the first repeat over `register` owns the fastest register digit above the atom's register bits
// (and the copies nearest to each other), and so on. The count need not be a power of two, so
// 80 keys, three warps or head_dim 96 cost nothing extra: inside the atom one value that depends
// on the lane, outside of it constants that become immediates.
//
// Example: the result of mma.sync m16n8k16 with the operands swapped, S as 8 query rows x 16 keys
// (lane l: g = l >> 2 picks the key, c = l & 3 the pair of rows):
//
//   register = [[1,0],[0,8]]   lane = [[2,0],[4,0],[0,1],[0,2],[0,4]]
//
//   register \ lane |    0       1       4       5
//   ----------------+--------------------------------
//        0          |  (0,0)   (2,0)   (0,1)   (2,1)
//        1          |  (1,0)   (3,0)   (1,1)   (3,1)
//        2          |  (0,8)   (2,8)   (0,9)   (2,9)
//        3          |  (1,8)   (3,8)   (1,9)   (3,9)
//
// Example: 80 rows of 128 bf16 in shared memory, in panels of 128 bytes with the 128-byte swizzle
// (the eight 16-byte chunks of row r are permuted by xor with r & 7). The row vectors carry the
// swizzle: row bit 0 also moves the column by one chunk, 8 elements.
//
//   offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]]
//   repeat = [row 10 offset, column 2 offset]
//
// A zero vector says that the bit moves nothing: the element is *replicated* over it. In a layout
// that is `partial` the copies are addends, and the value is their sum (the row sums of softmax
// stay per lane until the end).
//
// Well formed (C1) the nonzero vectors of the atom are linearly independent, (C2) they span a
// whole patch of 2^a rows and 2^b columns, (C3) repeat counts are positive and count an index of
// the layout's own kind, (C4) offset vectors are not mixed with register, lane and warp vectors
// and are never zero. Then every element of the tile is held once, up to zero vectors.
//
// Why the direction index -> coordinate: replication is a zero vector there, and needs no special
// case. Related: Triton's LinearLayout (pure linear, hence powers of two only) and CuTe's
// shape:stride (where swizzle is a foreign function). No MLIR here; `#tile.layout` carries the
// same fields. Test: test/layout, by brute force and against the address formulas of hand-written
// kernels.
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_DIALECTS_TILE_LAYOUT_LAYOUT_H
#define ATTNCC_DIALECTS_TILE_LAYOUT_LAYOUT_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace attncc::tile {

enum class Dimension { Row, Column };

/// The hardware index that a repeat counts.
enum class HardwareIndex { Register, Lane, Warp, Offset };

struct Coordinate {
  int64_t row = 0, column = 0;
  int64_t operator[](Dimension d) const { return d == Dimension::Row ? row : column; }
  bool isZero() const { return row == 0 && column == 0; }
  bool operator==(const Coordinate &) const = default;
};

/// `count` copies along `dimension`, counted by `index` (never by the lane).
struct Repeat {
  Dimension dimension = Dimension::Row;
  int64_t count = 1;
  HardwareIndex index = HardwareIndex::Register;
  bool operator==(const Repeat &) const = default;
};

/// One holder of an element.
struct Holder {
  int64_t reg = 0, lane = 0, warp = 0;
  bool operator==(const Holder &) const = default;
};

class Layout {
public:
  using Basis = std::vector<Coordinate>;

  Layout() = default;
  /// A layout of values in registers. Check `defect()` before asking anything else.
  static Layout registers(Basis registers, Basis lanes, Basis warps = {},
                          std::vector<Repeat> repeats = {}, bool partial = false);
  /// A layout of shared memory.
  static Layout shared(Basis offsets, std::vector<Repeat> repeats = {});

  // --- the fields, as `#tile.layout` prints them --------------------------------------------
  const Basis &registerBasis() const { return registerVectors; }
  const Basis &laneBasis() const { return laneVectors; }
  const Basis &warpBasis() const { return warpVectors; }
  const Basis &offsetBasis() const { return offsetVectors; }
  const std::vector<Repeat> &repeats() const { return repeatList; }
  bool isPartial() const { return partial; }
  bool isShared() const { return !offsetVectors.empty(); }
  bool operator==(const Layout &) const = default;
  /// The text of the attribute's body: `register = [[1,0]], lane = …, repeat = [row 2 register]`.
  std::string str() const;

  /// Which of (C1) to (C4) is violated, with the values; nothing if the layout is well formed.
  std::optional<std::string> defect() const;
  /// Why the layout is not one of a tile of this shape; nothing if it is.
  std::optional<std::string> defectFor(int64_t rows, int64_t columns) const;

  // --- extents ------------------------------------------------------------------------------
  int64_t rows() const { return extent(Dimension::Row); }
  int64_t columns() const { return extent(Dimension::Column); }
  int64_t extent(Dimension d) const;
  /// The atom's side along a dimension, a power of two.
  int64_t atomExtent(Dimension d) const;
  /// Elements that one thread holds (a 32-bit register packs two of 16 bits: elements 2w, 2w+1).
  int64_t registersPerThread() const;
  int64_t lanes() const { return int64_t(1) << laneVectors.size(); }
  int64_t warps() const;
  /// Elements of shared memory (offset layouts).
  int64_t offsets() const;

  // --- coordinates --------------------------------------------------------------------------
  Coordinate at(int64_t reg, int64_t lane, int64_t warp = 0) const;
  Coordinate at(const Holder &l) const { return at(l.reg, l.lane, l.warp); }
  /// `at` = registerPart + lanePart + warpPart if `isSeparable`; else the parts are joined by xor
  /// inside the atom. The register part is a constant of the generated code.
  Coordinate registerPart(int64_t reg) const { return at(reg, 0, 0); }
  Coordinate lanePart(int64_t lane) const { return at(0, lane, 0); }
  Coordinate warpPart(int64_t warp) const { return at(0, 0, warp); }
  /// No bit of a coordinate is moved by two of register, lane and warp: the parts may be added.
  bool isSeparable() const;
  /// The holder with all replicated bits zero.
  Holder holderOf(const Coordinate &c) const;

  Coordinate atOffset(int64_t offset) const;
  /// Offset in elements of a coordinate (offset layouts).
  int64_t offsetOf(const Coordinate &c) const;
  int64_t byteOffsetOf(const Coordinate &c, int64_t elementBytes) const {
    return offsetOf(c) * elementBytes;
  }

  // --- replication --------------------------------------------------------------------------
  /// Masks of the lane and warp bits that move nothing. A store is done by the copies in which
  /// all of them are zero.
  int64_t replicatedLanes() const;
  int64_t replicatedWarps() const;
  /// Every element of the tile has exactly one holder.
  bool isBijection() const;

  // --- derived layouts ----------------------------------------------------------------------
  /// Rows and columns exchanged.
  Layout transposed() const;
  /// The layout of one value per row (`d` = Column) or per column: what a reduction along `d`
  /// leaves, replicated over the lane and warp bits that moved only `d`. Nothing if a bit moves
  /// both dimensions or if a repeat over warps along `d` is not a power of two.
  std::optional<Layout> reduced(Dimension d, bool partial = false) const;

private:
  Basis registerVectors, laneVectors, warpVectors, offsetVectors;
  std::vector<Repeat> repeatList;
  bool partial = false;

  int64_t repeatCount(HardwareIndex index) const;
  Coordinate atomAt(int64_t reg, int64_t lane, int64_t warp, int64_t offset) const;
  friend struct LayoutSolver;
};

//===----------------------------------------------------------------------===//
// Questions that a lowering asks
//===----------------------------------------------------------------------===//

/// How to reduce a tile along a dimension, or to broadcast the result back: register r of the tile
/// goes with register `target[r]` of `layout.reduced(d)`. Reduce in registers first, then
/// `shfl.bfly` with each of `laneMasks`, then over `warpMasks` through shared memory.
struct ReductionPlan {
  std::vector<int64_t> target;
  std::vector<int64_t> laneMasks, warpMasks;
};
std::optional<ReductionPlan> planReduction(const Layout &layout, Dimension d);

/// How a value gets from one register layout to another of the same tile.
struct ConversionPlan {
  enum class Kind {
    Rename,    ///< element r of the result is element `source[r]`, in the same thread
    Movmatrix, ///< 32-bit word w (elements 2w, 2w+1) is movmatrix.trans of word `source[w]`
    Shuffle,   ///< element r of lane l is element `from[r][l].reg` of lane `from[r][l].lane`
    Memory     ///< through shared memory: store by the first layout, barrier, load by the second
  };
  Kind kind = Kind::Rename;
  std::vector<int64_t> source;
  std::vector<std::vector<Holder>> from;
};
/// `elementBytes` = 2 permits movmatrix. Nothing if the tiles differ or the source is partial.
std::optional<ConversionPlan> planConversion(const Layout &from, const Layout &to,
                                             int64_t elementBytes);

/// Byte offsets into shared memory as a function of the lane, split so that little depends on the
/// lane: for access i,
///
///   offset(lane) = (xor of basis[b] over the set bits b of lane  xor  flip[i]) + immediate[i]
///
/// `flip` takes few values (one per 32-byte step inside a swizzled panel), so a kernel computes one
/// lane offset for each and folds the rest into the instruction.
struct SharedAccess {
  std::vector<int64_t> basis;
  struct Access {
    int64_t flip = 0, immediate = 0;
  };
  std::vector<Access> accesses;
  int64_t offset(size_t access, int64_t lane) const;
};
/// The addresses of coordinate `laneVectors` applied to the lane, plus `constants[i]`. A lane
/// vector and a constant must not move the same bit of a coordinate.
std::optional<SharedAccess> planSharedAccess(const Layout &shared, int64_t elementBytes,
                                             const Layout::Basis &laneVectors,
                                             const std::vector<Coordinate> &constants);

/// A fragment's ldmatrix or stmatrix instructions on a shared tile of 16-bit elements. Instruction
/// i is .x`matrices` at `addresses.offset(i, thread)`, the thread's number in the warps of the
/// fragment, and fills or stores the words
/// `matrices * i` … `matrices * i + matrices - 1` of the fragment (word = two elements).
struct LdmatrixPlan {
  bool transposed = false;
  int64_t matrices = 4;
  SharedAccess addresses;
};
/// Nothing if the 16-byte rows of the shared tile are not the rows of the fragment's 8x8 matrices.
/// Whether `.trans` is needed follows from the fragment: its element pairs run along columns (no)
/// or along rows (yes).
std::optional<LdmatrixPlan> planLdmatrix(const Layout &shared, const Layout &fragment);

/// A shared tile of 16-bit elements as an operand of wgmma.m64nNk16 (PTX ISA, "Shared Memory Matrix
/// Layout"): bytes between cores along the rows or columns, and where each 16 of the contraction
/// begin.
struct WgmmaOperand {
  bool transposed = false;  ///< contraction along rows: "MN-major"
  int64_t swizzleBytes = 0; ///< 128, 64 or 32
  int64_t leading = 0, stride = 0;
  std::vector<int64_t> offsets;
};
/// Nothing if the tile is not one of the hardware's swizzled layouts at one stride.
std::optional<WgmmaOperand> planWgmmaOperand(const Layout &shared, Dimension contraction);

/// Wavefronts of a warp's access beyond the least possible, by the rule of the hardware: 32 banks
/// of 4 bytes, 4-byte accesses in one phase, 8-byte in two, 16-byte (and ldmatrix, cp.async) in
/// four of 8 lanes. `offsets[l]` is lane l's byte offset; `bytes` per lane.
int64_t bankConflicts(const std::vector<int64_t> &offsets, int64_t bytes);
/// The same, summed over all accesses of a plan.
int64_t bankConflicts(const SharedAccess &plan, int64_t bytes);

//===----------------------------------------------------------------------===//
// The layouts of the kernels
//===----------------------------------------------------------------------===//

/// mma.sync m16n8k16 fragments of 16-bit elements (PTX ISA, "Matrix fragments for mma.m16n8k16").
/// A[m][k], repeats k then m; B as [n][k], repeats k then n, or two neighbouring fragments along n
/// as one, which one ldmatrix reads; the accumulator [m][n], repeats m then n if `rowsFirst`, else
/// n then m.
Layout mmaAOperand(int64_t m, int64_t k);
Layout mmaBOperand(int64_t n, int64_t k);
Layout mmaBOperandPair(int64_t n, int64_t k);
Layout mmaAccumulator(int64_t m, int64_t n, bool rowsFirst = true);

/// The layouts of one product result[m][n] = lhs[m][k] · rhs[k][n], or · rhs[n][k]ᵀ with
/// `transposeB`, as mma.m16n8k16: `swapped` computes resultᵀ = rhsᵀ · lhsᵀ, so lhs is the B operand
/// and its few rows stand on the side of 8. `rhs` is the fragment in rhs's own coordinates, which
/// is read from shared memory by `planLdmatrix`. Nothing if the shape is not made of fragments.
struct ProductLayouts {
  Layout lhs, rhs, result;
};
std::optional<ProductLayouts> mmaProduct(bool swapped, int64_t m, int64_t n, int64_t k,
                                         bool transposeB);

/// The layouts of a product of one warpgroup, wgmma.m64nNk16 (PTX ISA, "Register Fragments for
/// wgmma.m64nNk16"): 64 rows, 16 in each warp. `rhs` is shared, whatever its layout: see
/// `planWgmmaOperand`. Nothing if the shape is not made of such products.
struct WarpgroupProduct {
  Layout lhs, result;
};
std::optional<WarpgroupProduct> wgmmaProduct(int64_t m, int64_t n, int64_t k);

/// Shared tiles: panels of 128, 64 or 32 bytes (the widest that divides a row), atoms of 8 rows
/// with the swizzle of that width (the hardware's tensor-copy swizzles), panels outermost.
/// Conflict free for ldmatrix and for 16-byte row-wise writes. Rows % 8 == 0, row bytes % 32 == 0.
Layout sharedSwizzled(int64_t rows, int64_t columns, int64_t elementBytes);
/// The same for every `box` rows, one box behind the other: what tensor copies of boxes (panel, box
/// rows, panels) write. A multiple of 8 that divides the rows.
Layout sharedSwizzled(int64_t rows, int64_t columns, int64_t elementBytes, int64_t box);
/// Bytes of a panel row of `sharedSwizzled`.
int64_t panelBytes(int64_t columns, int64_t elementBytes);

/// One f32 per row beside an accumulator: `accumulator.reduced(Column)`.
Layout rowStatistics(const Layout &accumulator, bool partial = false);

/// Row-wise vector access: each lane owns `vector` neighbouring columns (a power of two), lanes
/// run along columns as far as powers of two go (at most `columnLanes`), the rest along rows, then
/// warps along rows; what is left over are register repeats, columns inside rows. Bits that have
/// nothing to move are replicated.
Layout rowVectors(int64_t rows, int64_t columns, int64_t vector, int64_t columnLanes = 32,
                  int64_t warps = 1);
/// The block's share of the merged result of `units` one-warp units: float4 per lane; a single row,
/// which one warp adds up from several splits at once, in shorter vectors where these leave a lane
/// at most 32 columns.
Layout blockDistributed(int64_t rows, int64_t columns, int64_t units);
/// Rows of one warp in the append kernel, such that column j and j + rotary / 2 are in one lane
/// (`rotary` = 0: no rotation). Vectors of 8 columns, or shorter ones where only they leave a lane
/// at most 32 columns of a row: head_dim 80 has 5 chunks of 8 in half a row, but 20 of 2.
Layout appendRows(int64_t rows, int64_t columns, int64_t rotary);
/// Who copies what of a shared tile with 16-byte cp.async: one warp, or `warps` of a block
/// together.
Layout copyRows(int64_t rows, int64_t columns, int64_t elementBytes, int64_t warps = 1);

} // namespace attncc::tile

#endif // ATTNCC_DIALECTS_TILE_LAYOUT_LAYOUT_H
