//===- LayoutBuilders.cpp - The layouts of the kernels -----------------------===//
//
// Fragments follow the PTX ISA ("Matrix fragments for mma.m16n8k16"): lane l has g = l >> 2,
// c = l & 3; the swizzles are those of the tensor copies, 16-byte chunk ^= line of 128 bytes.
// Test: test/layout/LayoutTest.cpp.
//===----------------------------------------------------------------------===//
#include "dialects/tile/layout/Layout.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <numeric>

namespace attncc::tile {

namespace {

constexpr int warpLanes = 5;

/// The largest power of two that divides n.
int64_t powerOfTwoIn(int64_t n) { return n & -n; }

void addRepeat(std::vector<Repeat> &repeats, Dimension d, int64_t count, HardwareIndex index) {
  if (count > 1)
    repeats.push_back({d, count, index});
}

} // namespace

Layout mmaAOperand(int64_t m, int64_t k) {
  assert(m % 16 == 0 && k % 16 == 0 && "A is made of 16 x 16 fragments");
  std::vector<Repeat> repeats;
  addRepeat(repeats, Dimension::Column, k / 16, HardwareIndex::Register);
  addRepeat(repeats, Dimension::Row, m / 16, HardwareIndex::Register);
  return Layout::registers({{0, 1}, {8, 0}, {0, 8}}, {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}}, {},
                           std::move(repeats));
}

Layout mmaBOperand(int64_t n, int64_t k) {
  assert(n % 8 == 0 && k % 16 == 0 && "B is made of 8 x 16 fragments");
  std::vector<Repeat> repeats;
  addRepeat(repeats, Dimension::Column, k / 16, HardwareIndex::Register);
  addRepeat(repeats, Dimension::Row, n / 8, HardwareIndex::Register);
  return Layout::registers({{0, 1}, {0, 8}}, {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}}, {},
                           std::move(repeats));
}

Layout mmaBOperandPair(int64_t n, int64_t k) {
  assert(n % 16 == 0 && k % 16 == 0 && "two fragments of B are 16 x 16");
  std::vector<Repeat> repeats;
  addRepeat(repeats, Dimension::Column, k / 16, HardwareIndex::Register);
  addRepeat(repeats, Dimension::Row, n / 16, HardwareIndex::Register);
  return Layout::registers({{0, 1}, {0, 8}, {8, 0}}, {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}}, {},
                           std::move(repeats));
}

Layout mmaAccumulator(int64_t m, int64_t n, bool rowsFirst) {
  assert(m % 16 == 0 && n % 8 == 0 && "the accumulator is made of 16 x 8 fragments");
  std::vector<Repeat> repeats;
  if (rowsFirst)
    addRepeat(repeats, Dimension::Row, m / 16, HardwareIndex::Register);
  addRepeat(repeats, Dimension::Column, n / 8, HardwareIndex::Register);
  if (!rowsFirst)
    addRepeat(repeats, Dimension::Row, m / 16, HardwareIndex::Register);
  return Layout::registers({{0, 1}, {8, 0}}, {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}}, {},
                           std::move(repeats));
}

std::optional<ProductLayouts> mmaProduct(bool swapped, int64_t m, int64_t n, int64_t k,
                                         bool transposeB) {
  if (m % (swapped ? 8 : 16) || n % 16 || k % 16)
    return std::nullopt;
  Layout rhs = swapped ? mmaAOperand(n, k) : mmaBOperandPair(n, k);
  return ProductLayouts{swapped ? mmaBOperand(m, k) : mmaAOperand(m, k),
                        transposeB ? rhs : rhs.transposed(),
                        swapped ? mmaAccumulator(n, m).transposed() : mmaAccumulator(m, n, false)};
}

std::optional<WarpgroupProduct> wgmmaProduct(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t rows = 64, mostColumns = 256;
  if (m != rows || n % 8 || n > mostColumns || k % 16)
    return std::nullopt;
  const Layout::Basis lanes = {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}}, warps = {{16, 0}, {32, 0}};
  std::vector<Repeat> ofLhs, ofResult;
  addRepeat(ofLhs, Dimension::Column, k / 16, HardwareIndex::Register);
  addRepeat(ofResult, Dimension::Column, n / 8, HardwareIndex::Register);
  return WarpgroupProduct{
      Layout::registers({{0, 1}, {8, 0}, {0, 8}}, lanes, warps, std::move(ofLhs)),
      Layout::registers({{0, 1}, {8, 0}}, lanes, warps, std::move(ofResult))};
}

int64_t panelBytes(int64_t columns, int64_t elementBytes) {
  return std::min<int64_t>(128, powerOfTwoIn(columns * elementBytes));
}

Layout sharedSwizzled(int64_t rows, int64_t columns, int64_t elementBytes, int64_t box) {
  int64_t panel = panelBytes(columns, elementBytes);
  assert(rows % box == 0 && box % 8 == 0 && panel >= 32 &&
         "atoms are 8 rows of 32, 64 or 128 bytes");
  int64_t panelColumns = panel / elementBytes, chunk = 16 / elementBytes;
  Layout::Basis offsets;
  for (int64_t c = 1; c < panelColumns; c *= 2)
    offsets.push_back({0, c});
  // A line of 128 bytes holds 128 / panel rows; row bits below that do not swizzle.
  for (int64_t r = 1; r < 8; r *= 2)
    offsets.push_back({r, r * panel / 128 * chunk});
  std::vector<Repeat> repeats;
  addRepeat(repeats, Dimension::Row, box / 8, HardwareIndex::Offset);
  addRepeat(repeats, Dimension::Column, columns / panelColumns, HardwareIndex::Offset);
  addRepeat(repeats, Dimension::Row, rows / box, HardwareIndex::Offset);
  return Layout::shared(std::move(offsets), std::move(repeats));
}

Layout sharedSwizzled(int64_t rows, int64_t columns, int64_t elementBytes) {
  return sharedSwizzled(rows, columns, elementBytes, rows);
}

Layout rowStatistics(const Layout &accumulator, bool partial) {
  auto layout = accumulator.reduced(Dimension::Column, partial);
  assert(layout && "an accumulator moves rows and columns by separate bits");
  return *layout;
}

Layout rowVectors(int64_t rows, int64_t columns, int64_t vector, int64_t columnLanes,
                  int64_t warps) {
  assert(columns % vector == 0 && std::has_single_bit(static_cast<uint64_t>(vector)) &&
         std::has_single_bit(static_cast<uint64_t>(warps)));
  int64_t alongColumns =
      std::min({columnLanes, powerOfTwoIn(columns / vector), int64_t(1) << warpLanes});
  Layout::Basis registers, lanes, warpVectors;
  for (int64_t c = 1; c < vector; c *= 2)
    registers.push_back({0, c});
  for (int64_t c = 1; c < alongColumns; c *= 2)
    lanes.push_back({0, c * vector});
  int64_t rowSide = powerOfTwoIn(rows), row = 1;
  auto nextRow = [&]() -> Coordinate {
    if (row == rowSide)
      return {};
    row *= 2;
    return {row / 2, 0};
  };
  // Eight lanes make one phase of a 16-byte shared access. Where columns do not fill it, rows go
  // first: eight rows at one column meet different banks at any pitch of 4 (2n + 1) floats.
  if (alongColumns < 8 && rowSide >= 8) {
    Layout::Basis columnLanes = std::move(lanes);
    lanes.clear();
    for (int bit = 0; bit < 3; ++bit)
      lanes.push_back(nextRow());
    lanes.insert(lanes.end(), columnLanes.begin(), columnLanes.end());
  }
  while (lanes.size() < warpLanes)
    lanes.push_back(nextRow());
  for (int64_t w = 1; w < warps; w *= 2)
    warpVectors.push_back(nextRow());
  std::vector<Repeat> repeats;
  addRepeat(repeats, Dimension::Column, columns / (vector * alongColumns), HardwareIndex::Register);
  addRepeat(repeats, Dimension::Row, rows / row, HardwareIndex::Register);
  return Layout::registers(std::move(registers), std::move(lanes), std::move(warpVectors),
                           std::move(repeats));
}

namespace {

/// Lanes along columns and neighbouring columns of each, for rows of one warp: the widest vector of
/// at least `narrowest` and at most `widest` that leaves a lane few enough columns to stay in
/// registers. Lanes divide a `period` of the columns.
struct Chunks {
  int64_t vector, lanes;
};

Chunks chunksOf(int64_t columns, int64_t period, int64_t narrowest, int64_t widest) {
  constexpr int64_t columnsPerLane = 32;
  widest = std::min(widest, powerOfTwoIn(period));
  Chunks best{1, 1};
  for (int64_t v = std::min(narrowest, widest); v <= widest; v *= 2) {
    int64_t n = std::min(powerOfTwoIn(period / v), int64_t(1) << warpLanes);
    if (columns / n <= columnsPerLane || n >= best.lanes)
      best = {v, n};
  }
  return best;
}

} // namespace

Layout blockDistributed(int64_t rows, int64_t columns, int64_t units) {
  // A block of rows is read from shared memory four columns at a time, without bank conflicts.
  Chunks chunks = chunksOf(columns, columns, rows == 1 ? 1 : 4, 4);
  return rowVectors(rows, columns, chunks.vector, chunks.lanes, units);
}

Layout appendRows(int64_t rows, int64_t columns, int64_t rotary) {
  int64_t period = rotary ? std::gcd(rotary / 2, columns) : columns;
  Chunks chunks = chunksOf(columns, period, 2, 8); // 2: a register of 16-bit elements
  return rowVectors(rows, columns, chunks.vector, chunks.lanes);
}

Layout copyRows(int64_t rows, int64_t columns, int64_t elementBytes, int64_t warps) {
  return rowVectors(rows, columns, 16 / elementBytes, 32, warps);
}

} // namespace attncc::tile
