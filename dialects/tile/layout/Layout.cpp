//===- Layout.cpp - The layout's own algebra ---------------------------------===//
//
// index -> coordinate: split the index into atom bits and repeat digits, xor the vectors of the
// set bits, add the digits times their strides. coordinate -> index: divide by the strides, then
// solve the atom by Gaussian elimination over F2 (LayoutSolver). Test: test/layout/LayoutTest.cpp.
//===----------------------------------------------------------------------===//
#include "dialects/tile/layout/Layout.h"

#include <bit>
#include <cassert>

namespace attncc::tile {

namespace {

Coordinate operator^(const Coordinate &a, const Coordinate &b) {
  return {a.row ^ b.row, a.column ^ b.column};
}

Coordinate combine(const Layout::Basis &basis, int64_t bits) {
  Coordinate c;
  for (size_t b = 0; b < basis.size(); ++b)
    if (bits >> b & 1)
      c = c ^ basis[b];
  return c;
}

std::string text(const Coordinate &c) {
  return "[" + std::to_string(c.row) + "," + std::to_string(c.column) + "]";
}

std::string text(const Layout::Basis &basis) {
  std::string s = "[";
  for (size_t i = 0; i < basis.size(); ++i)
    s += (i ? "," : "") + text(basis[i]);
  return s + "]";
}

const char *name(HardwareIndex index) {
  switch (index) {
  case HardwareIndex::Register:
    return "register";
  case HardwareIndex::Lane:
    return "lane";
  case HardwareIndex::Warp:
    return "warp";
  case HardwareIndex::Offset:
    return "offset";
  }
  return "";
}

const char *name(Dimension d) { return d == Dimension::Row ? "row" : "column"; }

int64_t &component(Coordinate &c, Dimension d) { return d == Dimension::Row ? c.row : c.column; }

} // namespace

/// The atom's vectors in echelon form: for each, which index bits produce it.
struct LayoutSolver {
  struct Row {
    uint64_t value;
    uint64_t source;
  };
  std::vector<Row> echelon;
  bool independent = true;
  size_t registerBits, laneBits;

  static uint64_t pack(const Coordinate &c) {
    return static_cast<uint64_t>(c.row) << 32 | static_cast<uint64_t>(c.column);
  }

  explicit LayoutSolver(const Layout &layout)
      : registerBits(layout.registerVectors.size()), laneBits(layout.laneVectors.size()) {
    size_t bit = 0;
    for (const Layout::Basis *basis :
         {&layout.registerVectors, &layout.laneVectors, &layout.warpVectors, &layout.offsetVectors})
      for (const Coordinate &c : *basis) {
        if (!c.isZero())
          insert({pack(c), uint64_t(1) << bit});
        ++bit;
      }
  }

  void insert(Row row) {
    for (const Row &r : echelon)
      if ((row.value ^ r.value) < row.value)
        row = {row.value ^ r.value, row.source ^ r.source};
    if (row.value == 0) {
      independent = false;
      return;
    }
    auto it = echelon.begin();
    while (it != echelon.end() && it->value > row.value)
      ++it;
    echelon.insert(it, row);
  }

  /// The index bits of a coordinate inside the atom.
  std::optional<uint64_t> solve(const Coordinate &c) const {
    uint64_t value = pack(c), source = 0;
    for (const Row &r : echelon)
      if ((value ^ r.value) < value) {
        value ^= r.value;
        source ^= r.source;
      }
    if (value)
      return std::nullopt;
    return source;
  }
};

Layout Layout::registers(Basis registers, Basis lanes, Basis warps, std::vector<Repeat> repeats,
                         bool partial) {
  Layout l;
  l.registerVectors = std::move(registers);
  l.laneVectors = std::move(lanes);
  l.warpVectors = std::move(warps);
  l.repeatList = std::move(repeats);
  l.partial = partial;
  return l;
}

Layout Layout::shared(Basis offsets, std::vector<Repeat> repeats) {
  Layout l;
  l.offsetVectors = std::move(offsets);
  l.repeatList = std::move(repeats);
  return l;
}

std::string Layout::str() const {
  std::string s;
  auto field = [&](const char *key, const std::string &value) {
    s += (s.empty() ? "" : ", ") + std::string(key) + " = " + value;
  };
  if (!registerVectors.empty())
    field("register", text(registerVectors));
  if (!laneVectors.empty())
    field("lane", text(laneVectors));
  if (!warpVectors.empty())
    field("warp", text(warpVectors));
  if (!offsetVectors.empty())
    field("offset", text(offsetVectors));
  if (!repeatList.empty()) {
    std::string r = "[";
    for (const Repeat &repeat : repeatList)
      r += (r.size() > 1 ? ", " : "") + std::string(name(repeat.dimension)) + " " +
           std::to_string(repeat.count) + " " + name(repeat.index);
    field("repeat", r + "]");
  }
  if (partial)
    s += s.empty() ? "partial" : ", partial";
  return s;
}

std::optional<std::string> Layout::defect() const {
  bool inRegisters = !registerVectors.empty() || !laneVectors.empty() || !warpVectors.empty();
  if (isShared() && inRegisters)
    return "offset vectors beside register, lane or warp vectors";
  if (isShared() && partial)
    return "a layout of shared memory is never partial";
  if (registerVectors.size() + laneVectors.size() + warpVectors.size() > 16 ||
      offsetVectors.size() > 32)
    return "an atom of more than 16 index bits (32 in shared memory)";
  for (const Basis *basis : {&registerVectors, &laneVectors, &warpVectors, &offsetVectors})
    for (const Coordinate &c : *basis)
      if (c.row < 0 || c.column < 0 || c.row >> 20 || c.column >> 20)
        return "vector " + text(c) + " is outside of [0, 2^20)";
  for (const Coordinate &c : offsetVectors)
    if (c.isZero())
      return "a zero offset vector: two offsets hold one element";
  for (const Coordinate &c : registerVectors)
    if (c.isZero())
      return "a zero register vector: two registers of a thread hold one element";
  LayoutSolver solver(*this);
  if (!solver.independent)
    return "the nonzero vectors are linearly dependent";
  int64_t span = int64_t(1) << solver.echelon.size();
  int64_t patch = atomExtent(Dimension::Row) * atomExtent(Dimension::Column);
  if (span != patch)
    return "the vectors span " + std::to_string(span) + " elements of a patch of " +
           std::to_string(patch);
  for (const Repeat &r : repeatList) {
    if (r.count < 1)
      return "repeat count " + std::to_string(r.count) + " is not positive";
    if (r.index == HardwareIndex::Lane)
      return "a repeat cannot count lanes";
    if ((r.index == HardwareIndex::Offset) != isShared())
      return std::string("repeat over ") + name(r.index) + " in a layout of " +
             (isShared() ? "shared memory" : "registers");
  }
  return std::nullopt;
}

std::optional<std::string> Layout::defectFor(int64_t tileRows, int64_t tileColumns) const {
  if (auto d = defect())
    return d;
  if (rows() != tileRows || columns() != tileColumns)
    return "the layout covers " + std::to_string(rows()) + "x" + std::to_string(columns()) +
           ", the tile is " + std::to_string(tileRows) + "x" + std::to_string(tileColumns);
  return std::nullopt;
}

int64_t Layout::atomExtent(Dimension d) const {
  uint64_t bits = 0;
  for (const Basis *basis : {&registerVectors, &laneVectors, &warpVectors, &offsetVectors})
    for (const Coordinate &c : *basis)
      bits |= static_cast<uint64_t>(c[d]);
  return int64_t(1) << std::bit_width(bits);
}

int64_t Layout::extent(Dimension d) const {
  int64_t n = atomExtent(d);
  for (const Repeat &r : repeatList)
    if (r.dimension == d)
      n *= r.count;
  return n;
}

int64_t Layout::repeatCount(HardwareIndex index) const {
  int64_t n = 1;
  for (const Repeat &r : repeatList)
    if (r.index == index)
      n *= r.count;
  return n;
}

int64_t Layout::registersPerThread() const {
  return repeatCount(HardwareIndex::Register) << registerVectors.size();
}

int64_t Layout::warps() const { return repeatCount(HardwareIndex::Warp) << warpVectors.size(); }

int64_t Layout::offsets() const {
  return repeatCount(HardwareIndex::Offset) << offsetVectors.size();
}

/// Coordinate of the four indices; repeats take their digits above the atom's bits.
Coordinate Layout::atomAt(int64_t reg, int64_t lane, int64_t warp, int64_t offset) const {
  auto split = [](int64_t &index, size_t bits) {
    int64_t low = index & ((int64_t(1) << bits) - 1);
    index >>= bits;
    return low;
  };
  Coordinate c = combine(registerVectors, split(reg, registerVectors.size())) ^
                 combine(laneVectors, split(lane, laneVectors.size())) ^
                 combine(warpVectors, split(warp, warpVectors.size())) ^
                 combine(offsetVectors, split(offset, offsetVectors.size()));
  int64_t stride[2] = {atomExtent(Dimension::Row), atomExtent(Dimension::Column)};
  for (const Repeat &r : repeatList) {
    int64_t &digits = r.index == HardwareIndex::Register ? reg
                      : r.index == HardwareIndex::Warp   ? warp
                                                         : offset;
    int64_t &s = stride[r.dimension == Dimension::Column];
    component(c, r.dimension) += digits % r.count * s;
    digits /= r.count;
    s *= r.count;
  }
  return c;
}

Coordinate Layout::at(int64_t reg, int64_t lane, int64_t warp) const {
  return atomAt(reg, lane, warp, 0);
}

Coordinate Layout::atOffset(int64_t offset) const { return atomAt(0, 0, 0, offset); }

bool Layout::isSeparable() const {
  Coordinate used;
  for (const Basis *basis : {&registerVectors, &laneVectors, &warpVectors}) {
    Coordinate moved;
    for (const Coordinate &c : *basis)
      moved = {moved.row | c.row, moved.column | c.column};
    if ((used.row & moved.row) || (used.column & moved.column))
      return false;
    used = {used.row | moved.row, used.column | moved.column};
  }
  return true;
}

namespace {

/// Splits a coordinate into its place inside the atom and the digits of the repeats, the latter
/// joined per hardware index.
struct Digits {
  Coordinate inAtom;
  int64_t reg = 0, warp = 0, offset = 0;
};

Digits digitsOf(const Layout &layout, Coordinate c) {
  Digits d;
  int64_t scaleReg = 1, scaleWarp = 1, scaleOffset = 1;
  Coordinate quotient;
  for (Dimension dim : {Dimension::Row, Dimension::Column}) {
    int64_t side = layout.atomExtent(dim);
    component(d.inAtom, dim) = c[dim] % side;
    component(quotient, dim) = c[dim] / side;
  }
  for (const Repeat &r : layout.repeats()) {
    int64_t &q = component(quotient, r.dimension);
    int64_t &digits = r.index == HardwareIndex::Register ? d.reg
                      : r.index == HardwareIndex::Warp   ? d.warp
                                                         : d.offset;
    int64_t &scale = r.index == HardwareIndex::Register ? scaleReg
                     : r.index == HardwareIndex::Warp   ? scaleWarp
                                                        : scaleOffset;
    digits += q % r.count * scale;
    scale *= r.count;
    q /= r.count;
  }
  assert(quotient.isZero() && "coordinate outside of the layout");
  return d;
}

} // namespace

Holder Layout::holderOf(const Coordinate &c) const {
  Digits d = digitsOf(*this, c);
  LayoutSolver solver(*this);
  auto bits = solver.solve(d.inAtom);
  assert(bits && !isShared() && "no holder: the layout is not well formed");
  auto mask = [](size_t n) { return (uint64_t(1) << n) - 1; };
  Holder l;
  l.reg = static_cast<int64_t>(*bits & mask(solver.registerBits)) | d.reg << solver.registerBits;
  l.lane = static_cast<int64_t>(*bits >> solver.registerBits & mask(solver.laneBits));
  l.warp = static_cast<int64_t>(*bits >> (solver.registerBits + solver.laneBits)) |
           d.warp << warpVectors.size();
  return l;
}

int64_t Layout::offsetOf(const Coordinate &c) const {
  Digits d = digitsOf(*this, c);
  auto bits = LayoutSolver(*this).solve(d.inAtom);
  assert(bits && isShared() && "no offset: the layout is not well formed");
  return static_cast<int64_t>(*bits) | d.offset << offsetVectors.size();
}

int64_t Layout::replicatedLanes() const {
  int64_t mask = 0;
  for (size_t b = 0; b < laneVectors.size(); ++b)
    if (laneVectors[b].isZero())
      mask |= int64_t(1) << b;
  return mask;
}

int64_t Layout::replicatedWarps() const {
  int64_t mask = 0;
  for (size_t b = 0; b < warpVectors.size(); ++b)
    if (warpVectors[b].isZero())
      mask |= int64_t(1) << b;
  return mask;
}

bool Layout::isBijection() const { return replicatedLanes() == 0 && replicatedWarps() == 0; }

Layout Layout::transposed() const {
  Layout t = *this;
  for (Basis *basis : {&t.registerVectors, &t.laneVectors, &t.warpVectors, &t.offsetVectors})
    for (Coordinate &c : *basis)
      std::swap(c.row, c.column);
  for (Repeat &r : t.repeatList)
    r.dimension = r.dimension == Dimension::Row ? Dimension::Column : Dimension::Row;
  return t;
}

std::optional<Layout> Layout::reduced(Dimension d, bool isPartial) const {
  Layout out;
  out.partial = isPartial;
  if (isShared())
    return std::nullopt;
  // A vector that moves both dimensions would make the remaining coordinate depend on the reduced.
  auto keep = [&](const Coordinate &c) -> std::optional<Coordinate> {
    if (c.row != 0 && c.column != 0)
      return std::nullopt;
    return d == Dimension::Column ? Coordinate{c.row, 0} : Coordinate{0, c.column};
  };
  for (const Coordinate &c : registerVectors) {
    auto k = keep(c);
    if (!k)
      return std::nullopt;
    if (!k->isZero())
      out.registerVectors.push_back(*k);
  }
  for (auto [from, to] :
       {std::pair{&laneVectors, &out.laneVectors}, std::pair{&warpVectors, &out.warpVectors}})
    for (const Coordinate &c : *from) {
      auto k = keep(c);
      if (!k)
        return std::nullopt;
      to->push_back(*k);
    }
  for (const Repeat &r : repeatList) {
    if (r.dimension != d) {
      out.repeatList.push_back(r);
      continue;
    }
    if (r.index == HardwareIndex::Register)
      continue;
    // Warps repeated along the reduced dimension become replicated warps, which only zero vectors
    // can say; they stand below every later warp digit, so no kept warp repeat may come before.
    bool keptBefore = false;
    for (const Repeat &k : out.repeatList)
      keptBefore |= k.index == HardwareIndex::Warp;
    if (!std::has_single_bit(static_cast<uint64_t>(r.count)) || keptBefore)
      return std::nullopt;
    for (int64_t n = 1; n < r.count; n *= 2)
      out.warpVectors.push_back({});
  }
  return out;
}

} // namespace attncc::tile
