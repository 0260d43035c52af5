//===- Table.h - columns and numbers for people -----------------------------===//
//
// Internal. Test: test/support/TableTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace attncc {

/// 1234567 as "1,234,567".
std::string grouped(int64_t number);

/// A line for each row, columns aligned and two spaces apart. A character takes one column however
/// many bytes of UTF-8 it has.
std::string tableText(const std::vector<std::vector<std::string>> &rows);

} // namespace attncc
