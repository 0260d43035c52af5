//===- JsonTree.h - JSON for writing ---------------------------------------===//
//
// Internal. A small tree that is printed with sorted keys and LF only, so that
// the same tree gives the same bytes on every machine: integers in decimal,
// reals as the shortest text that reads back to the same double, f32 values as
// the shortest text that reads back to the same float. Used for spec.json, the
// manifest and every --json output. Reading is Json.h.
// Test: test/support/JsonTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace attncc::json {

/// A value to be written: null, boolean, integer, double, float, string, array or object.
class Tree {
public:
  using Array = std::vector<Tree>;
  using Object = std::map<std::string, Tree, std::less<>>;

  Tree() = default;
  Tree(std::nullptr_t) {}
  Tree(bool value) : content(value) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) Tree(T value) : content(static_cast<int64_t>(value)) {}
  Tree(double value) : content(value) {}
  Tree(float value) : content(value) {}
  Tree(std::string value) : content(std::move(value)) {}
  Tree(std::string_view value) : content(std::string(value)) {}
  Tree(const char *value) : content(std::string(value)) {}
  Tree(Array value) : content(std::move(value)) {}
  Tree(Object value) : content(std::move(value)) {}
  template <class T>
  Tree(const std::vector<T> &values) : content(Array(values.begin(), values.end())) {}

  static Tree array() { return Tree(Array()); }
  static Tree object() { return Tree(Object()); }

  /// Member of an object; made where missing. A null tree becomes an object.
  Tree &operator[](std::string_view key);
  /// Appends to an array. A null tree becomes an array.
  void push(Tree value);

  /// `indent` spaces per level, one member or element a line; arrays of scalars stay on one
  /// line. A negative indent puts everything on one line. No LF at the end.
  std::string text(int indent = 2) const;

private:
  void print(std::string &out, int indent, int depth) const;
  bool isScalar() const;
  std::variant<std::monostate, bool, int64_t, double, float, std::string, Array, Object> content;
};

/// The shortest decimal text that reads back to the same value, always with a '.' or an
/// exponent: "500000.0", "0.125", "1e-05". Finite values only.
std::string numberText(double value);
std::string numberText(float value);

/// The text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string stringText(std::string_view text);

} // namespace attncc::json
