//===- JsonTree.cpp - deterministic JSON text ------------------------------===//
// See JsonTree.h. Test: test/support/JsonTest.cpp.
#include "runtime/support/JsonTree.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <type_traits>

using namespace attncc;
using namespace attncc::json;

namespace {

/// Plain notation where it is short, else an exponent; a '.' marks whole numbers as reals.
template <class T> std::string shortest(T value) {
  char buffer[64];
  T magnitude = std::fabs(value);
  bool plain = magnitude == 0 || (magnitude >= T(1e-5) && magnitude < T(1e16));
  auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, format).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos)
    text += ".0";
  return text;
}

/// Length of the well-formed UTF-8 sequence at the start of text (Unicode 15, table 3-7), 0 if
/// none.
size_t utf8Length(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : 0u; };
  auto follows = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  unsigned first = byte(0);
  if (first < 0x80)
    return 1;
  if (first >= 0xC2 && first <= 0xDF)
    return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    bool second =
        follows(1) && !(first == 0xE0 && byte(1) < 0xA0) && !(first == 0xED && byte(1) > 0x9F);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    bool second =
        follows(1) && !(first == 0xF0 && byte(1) < 0x90) && !(first == 0xF4 && byte(1) > 0x8F);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

} // namespace

std::string json::numberText(double value) { return shortest(value); }

std::string json::numberText(float value) {
  // Readers go through double: the double nearest to the short text must round to the same float.
  std::string text = shortest(value);
  return static_cast<float>(std::strtod(text.c_str(), nullptr)) == value ? text
                                                                         : shortest(double(value));
}

std::string json::stringText(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    size_t length = utf8Length(text.substr(i));
    if (length == 0) {
      out += "\\ufffd";
      ++i;
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (uint8_t(c) < 0x20 || c == 0x7f) {
      static const char digits[] = "0123456789abcdef";
      out += std::string("\\u00") + digits[uint8_t(c) >> 4] + digits[c & 15];
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out + '"';
}

Tree &Tree::operator[](std::string_view key) {
  if (std::holds_alternative<std::monostate>(content))
    content = Object();
  auto &members = std::get<Object>(content);
  auto found = members.find(key);
  return found != members.end() ? found->second : members[std::string(key)];
}

void Tree::push(Tree value) {
  if (std::holds_alternative<std::monostate>(content))
    content = Array();
  std::get<Array>(content).push_back(std::move(value));
}

bool Tree::isScalar() const {
  return !std::holds_alternative<Array>(content) && !std::holds_alternative<Object>(content);
}

std::string Tree::text(int indent) const {
  std::string out;
  print(out, indent, 0);
  return out;
}

void Tree::print(std::string &out, int indent, int depth) const {
  auto newLine = [&](int level) {
    if (indent >= 0)
      out += "\n" + std::string(size_t(indent) * size_t(level), ' ');
  };
  if (auto *members = std::get_if<Object>(&content)) {
    out += '{';
    bool first = true;
    for (const auto &[key, value] : *members) {
      out += first ? "" : indent < 0 ? ", " : ",";
      first = false;
      newLine(depth + 1);
      out += stringText(key) + ": ";
      value.print(out, indent, depth + 1);
    }
    if (!members->empty())
      newLine(depth);
    out += '}';
    return;
  }
  if (auto *elements = std::get_if<Array>(&content)) {
    bool flat = indent < 0;
    if (!flat) {
      flat = true;
      for (const Tree &element : *elements)
        flat &= element.isScalar();
    }
    out += '[';
    for (size_t i = 0; i < elements->size(); ++i) {
      out += i == 0 ? "" : flat ? ", " : ",";
      if (!flat)
        newLine(depth + 1);
      (*elements)[i].print(out, indent, depth + 1);
    }
    if (!flat)
      newLine(depth);
    out += ']';
    return;
  }
  if (auto *boolean = std::get_if<bool>(&content))
    out += *boolean ? "true" : "false";
  else if (auto *integer = std::get_if<int64_t>(&content))
    out += std::to_string(*integer);
  else if (auto *real = std::get_if<double>(&content))
    out += numberText(*real);
  else if (auto *single = std::get_if<float>(&content))
    out += numberText(*single);
  else if (auto *string = std::get_if<std::string>(&content))
    out += stringText(*string);
  else
    out += "null";
}
