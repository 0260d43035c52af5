//===- LayoutPlans.cpp - Questions that a lowering asks ----------------------===//
//
// Reductions and broadcasts, conversions between register layouts, ldmatrix addresses, bank
// conflicts. Each answer is a table of constants. Test: test/layout/LayoutPlansTest.cpp.
//===----------------------------------------------------------------------===//
#include "dialects/tile/layout/Layout.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <set>

namespace attncc::tile {

std::optional<ReductionPlan> planReduction(const Layout &layout, Dimension d) {
  auto statistics = layout.reduced(d);
  if (!statistics)
    return std::nullopt;
  ReductionPlan plan;
  for (int64_t r = 0, n = layout.registersPerThread(); r < n; ++r) {
    Coordinate c = layout.registerPart(r);
    plan.target.push_back(
        statistics
            ->holderOf(d == Dimension::Column ? Coordinate{c.row, 0} : Coordinate{0, c.column})
            .reg);
  }
  for (size_t b = 0; b < layout.laneBasis().size(); ++b)
    if (layout.laneBasis()[b][d])
      plan.laneMasks.push_back(int64_t(1) << b);
  for (int64_t w = 1; w < layout.warps(); w *= 2)
    if (layout.warpPart(w)[d])
      plan.warpMasks.push_back(w);
  return plan;
}

namespace {

/// Word w of a thread's `to` is movmatrix.trans of word source[w] of `from`: the eight rows of an
/// 8 x 8 matrix go by lane bits 2 to 4 and its columns by the pair and lane bits 0 and 1, in `to`
/// with rows and columns exchanged.
std::optional<std::vector<int64_t>> movmatrixWords(const Layout &from, const Layout &to) {
  auto matrixOf = [](const Layout &l) -> std::optional<std::array<Coordinate, 6>> {
    if (l.registerBasis().empty() || l.laneBasis().size() != 5)
      return std::nullopt;
    const auto &lane = l.laneBasis();
    return std::array<Coordinate, 6>{
        l.registerBasis()[0], lane[0], lane[1], lane[2], lane[3], lane[4]};
  };
  auto a = matrixOf(from), b = matrixOf(to);
  if (!a || !b)
    return std::nullopt;
  for (int i = 0; i < 3; ++i)
    if ((*a)[i] != (*b)[i + 3] || (*a)[i + 3] != (*b)[i] || (*a)[i].isZero() ||
        (*a)[i + 3].isZero())
      return std::nullopt;
  if (from.warpBasis() != to.warpBasis())
    return std::nullopt;
  std::vector<int64_t> source;
  for (int64_t r = 0, n = to.registersPerThread(); r < n; r += 2) {
    Coordinate c = to.registerPart(r);
    Holder s = from.holderOf(c);
    if (s.lane != 0 || s.warp != 0 || s.reg % 2 != 0)
      return std::nullopt;
    source.push_back(s.reg / 2);
  }
  // Repeats over warps must agree; comparing one register is enough, as they are added on.
  for (int64_t w = 0; w < to.warps(); ++w)
    if (from.warpPart(w) != to.warpPart(w))
      return std::nullopt;
  return source;
}

} // namespace

std::optional<ConversionPlan> planConversion(const Layout &from, const Layout &to,
                                             int64_t elementBytes) {
  if (from.isShared() || to.isShared() || from.isPartial() || to.isPartial() ||
      from.rows() != to.rows() || from.columns() != to.columns())
    return std::nullopt;
  ConversionPlan plan;
  if (from.warps() != to.warps() || from.lanes() != to.lanes()) {
    plan.kind = ConversionPlan::Kind::Memory;
    return plan;
  }
  if (elementBytes == 2)
    if (auto words = movmatrixWords(from, to)) {
      plan.kind = ConversionPlan::Kind::Movmatrix;
      plan.source = std::move(*words);
      return plan;
    }
  // A holder in the receiver's own warp exists iff the canonical one agrees with the warp up to
  // replicated bits; the same for the lane.
  int64_t freeLanes = from.replicatedLanes(), freeWarps = from.replicatedWarps();
  bool rename = true;
  plan.from.resize(static_cast<size_t>(to.registersPerThread()));
  for (int64_t warp = 0; warp < to.warps(); ++warp)
    for (int64_t r = 0; r < to.registersPerThread(); ++r)
      for (int64_t lane = 0; lane < to.lanes(); ++lane) {
        Holder s = from.holderOf(to.at(r, lane, warp));
        if ((s.warp ^ warp) & ~freeWarps) {
          plan.kind = ConversionPlan::Kind::Memory;
          plan.from.clear();
          return plan;
        }
        s.lane |= lane & freeLanes;
        s.warp = 0;
        auto &row = plan.from[static_cast<size_t>(r)];
        if (warp == 0) {
          row.push_back(s);
          rename &= s.lane == lane && s.reg == row[0].reg;
        } else if (row[static_cast<size_t>(lane)] != s) {
          plan.kind = ConversionPlan::Kind::Memory; // different work in different warps
          plan.from.clear();
          return plan;
        }
      }
  if (!rename) {
    plan.kind = ConversionPlan::Kind::Shuffle;
    return plan;
  }
  for (auto &row : plan.from)
    plan.source.push_back(row[0].reg);
  plan.from.clear();
  return plan;
}

int64_t SharedAccess::offset(size_t access, int64_t lane) const {
  int64_t o = 0;
  for (size_t b = 0; b < basis.size(); ++b)
    if (lane >> b & 1)
      o ^= basis[b];
  return (o ^ accesses[access].flip) + accesses[access].immediate;
}

std::optional<SharedAccess> planSharedAccess(const Layout &shared, int64_t elementBytes,
                                             const Layout::Basis &laneVectors,
                                             const std::vector<Coordinate> &constants) {
  if (!shared.isShared())
    return std::nullopt;
  int64_t atomBytes = (int64_t(1) << shared.offsetBasis().size()) * elementBytes;
  SharedAccess plan;
  int64_t reach = 0, lanesBeyond = 0;
  Coordinate moved;
  for (const Coordinate &v : laneVectors) {
    if ((moved.row & v.row) || (moved.column & v.column))
      return std::nullopt;
    moved = {moved.row | v.row, moved.column | v.column};
    plan.basis.push_back(shared.byteOffsetOf(v, elementBytes));
    // Offsets beyond the atom add up; they may be joined by xor only if their bits are disjoint.
    int64_t beyond = plan.basis.back() & ~(atomBytes - 1);
    if (beyond & lanesBeyond)
      return std::nullopt;
    lanesBeyond |= beyond;
    reach |= plan.basis.back();
  }
  for (const Coordinate &c : constants) {
    if ((c.row & moved.row) || (c.column & moved.column))
      return std::nullopt;
    int64_t offset = shared.byteOffsetOf(c, elementBytes);
    int64_t inAtom = offset & (atomBytes - 1);
    plan.accesses.push_back({inAtom & reach, offset - (inAtom & reach)});
  }
  // Digits above the atom are linear in a coordinate's bits only where the strides are; so the
  // formula is compared with the layout at every lane.
  for (size_t i = 0; i < constants.size(); ++i)
    for (int64_t lane = 0; lane < int64_t(1) << laneVectors.size(); ++lane) {
      Coordinate c = constants[i];
      for (size_t b = 0; b < laneVectors.size(); ++b)
        if (lane >> b & 1)
          c = {c.row + laneVectors[b].row, c.column + laneVectors[b].column};
      if (c.row >= shared.rows() || c.column >= shared.columns() ||
          plan.offset(i, lane) != shared.byteOffsetOf(c, elementBytes))
        return std::nullopt;
    }
  return plan;
}

std::optional<LdmatrixPlan> planLdmatrix(const Layout &shared, const Layout &fragment) {
  if (!shared.isShared() || fragment.isShared() || fragment.laneBasis().size() != 5 ||
      fragment.registerBasis().empty() || shared.rows() != fragment.rows() ||
      shared.columns() != fragment.columns())
    return std::nullopt;
  // A row of an 8 x 8 matrix is eight neighbouring columns at neighbouring offsets, aligned.
  if (shared.offsetBasis().size() < 3)
    return std::nullopt;
  for (int b = 0; b < 3; ++b)
    if (shared.offsetBasis()[b] != Coordinate{0, int64_t(1) << b})
      return std::nullopt;
  const Layout::Basis &reg = fragment.registerBasis(), &lane = fragment.laneBasis();
  LdmatrixPlan plan;
  Layout::Basis expected;
  if (reg[0] == Coordinate{0, 1})
    expected = {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}};
  else if (reg[0] == Coordinate{1, 0}) {
    expected = {{2, 0}, {4, 0}, {0, 1}, {0, 2}, {0, 4}};
    plan.transposed = true;
  } else
    return std::nullopt;
  if (lane != expected)
    return std::nullopt;
  // Lanes 8j to 8j + 7 point at the rows of matrix j; matrices follow the register bits above the
  // pair.
  Layout::Basis vectors = {{1, 0}, {2, 0}, {4, 0}};
  plan.matrices = 1;
  for (size_t b = 1; b < reg.size() && plan.matrices < 4; ++b, plan.matrices *= 2)
    vectors.push_back(reg[b]);
  // Lanes whose addresses nothing reads are no part of a thread's number.
  if (fragment.warps() > 1 &&
      (plan.matrices < 4 || fragment.warps() != int64_t(1) << fragment.warpBasis().size()))
    return std::nullopt;
  vectors.insert(vectors.end(), fragment.warpBasis().begin(), fragment.warpBasis().end());
  std::vector<Coordinate> constants;
  for (int64_t r = 0; r < fragment.registersPerThread(); r += 2 * plan.matrices)
    constants.push_back(fragment.registerPart(r));
  auto addresses = planSharedAccess(shared, 2, vectors, constants);
  if (!addresses)
    return std::nullopt;
  plan.addresses = std::move(*addresses);
  return plan;
}

std::optional<WgmmaOperand> planWgmmaOperand(const Layout &shared, Dimension contraction) {
  constexpr int64_t elementBytes = 2;
  if (!shared.isShared())
    return std::nullopt;
  auto at = [&](int64_t row, int64_t column) {
    return shared.byteOffsetOf({row, column}, elementBytes);
  };
  WgmmaOperand operand;
  operand.transposed = contraction == Dimension::Row;
  operand.swizzleBytes = shared.atomExtent(Dimension::Column) * elementBytes;
  int64_t panel = operand.swizzleBytes / elementBytes;
  int64_t mask = operand.swizzleBytes / 16 - 1; // of the 16-byte chunks that a line's number flips
  if (operand.swizzleBytes < 32 || operand.swizzleBytes > 128 || shared.rows() % 8)
    return std::nullopt;
  operand.stride = shared.rows() > 8 ? at(8, 0) : 0;
  operand.leading = operand.transposed && shared.columns() > panel ? at(0, panel) : 0;

  int64_t depth = operand.transposed ? shared.rows() : shared.columns();
  if (depth % 16)
    return std::nullopt;
  for (int64_t k = 0; k < depth; k += 16)
    operand.offsets.push_back(operand.transposed ? at(k, 0) : at(0, k));
  // The hardware's formula, of every row at each step's first chunk, and of one core throughout.
  int64_t extent = operand.transposed ? shared.columns() : shared.rows();
  auto matches = [&](int64_t step, int64_t r, int64_t k) {
    int64_t linear = operand.offsets[step];
    if (operand.transposed)
      linear += r / panel * operand.leading + r % panel * elementBytes + k / 8 * operand.stride +
                k % 8 * operand.swizzleBytes;
    else
      linear += r / 8 * operand.stride + r % 8 * operand.swizzleBytes + k * elementBytes;
    int64_t physical = linear ^ (((linear >> 7) & mask) << 4);
    return physical == (operand.transposed ? at(16 * step + k, r) : at(r, 16 * step + k));
  };
  for (int64_t step = 0; step < depth / 16; ++step) {
    for (int64_t r = 0; r < extent; r += 8)
      if (!matches(step, r, 0) || !matches(step, r, 8))
        return std::nullopt;
    for (int64_t r = 0; r < 8; ++r)
      for (int64_t k = 0; k < 16; ++k)
        if (!matches(step, r, k))
          return std::nullopt;
  }
  return operand;
}

int64_t bankConflicts(const std::vector<int64_t> &offsets, int64_t bytes) {
  size_t perPhase = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  int64_t conflicts = 0;
  for (size_t begin = 0; begin < offsets.size(); begin += perPhase) {
    std::map<int64_t, std::set<int64_t>> words;
    size_t distinct = 0;
    for (size_t l = begin; l < std::min(begin + perPhase, offsets.size()); ++l)
      for (int64_t w = offsets[l] / 4; w <= (offsets[l] + bytes - 1) / 4; ++w)
        distinct += words[w & 31].insert(w).second;
    size_t cost = 0;
    for (const auto &[bank, inBank] : words)
      cost = std::max(cost, inBank.size());
    conflicts += static_cast<int64_t>(cost - (distinct + 31) / 32);
  }
  return conflicts;
}

int64_t bankConflicts(const SharedAccess &plan, int64_t bytes) {
  int64_t conflicts = 0;
  for (size_t i = 0; i < plan.accesses.size(); ++i) {
    std::vector<int64_t> offsets;
    for (int64_t lane = 0; lane < int64_t(1) << plan.basis.size(); ++lane)
      offsets.push_back(plan.offset(i, lane));
    conflicts += bankConflicts(offsets, bytes);
  }
  return conflicts;
}

} // namespace attncc::tile
