//===- AttrText.cpp - reading and writing fields in angle brackets --------===//
#include "dialects/attn/AttrText.h"

#include "llvm/ADT/StringSet.h"
#include <charconv>
#include <cmath>

using namespace mlir;
using namespace attncc;

ParseResult attn::parseFields(AsmParser &parser,
                              llvm::function_ref<ParseResult(StringRef)> parseField) {
  llvm::StringSet<> seen;
  return parser.parseCommaSeparatedList(AsmParser::Delimiter::LessGreater, [&]() -> ParseResult {
    SMLoc location = parser.getCurrentLocation();
    StringRef name;
    if (parser.parseKeyword(&name))
      return failure();
    if (!seen.insert(name).second)
      return parser.emitError(location) << "field '" << name << "' is given twice";
    return parseField(name);
  });
}

ParseResult attn::unknownField(AsmParser &parser, StringRef name, StringRef known) {
  return parser.emitError(parser.getCurrentLocation())
         << "unknown field '" << name << "', expected one of " << known;
}

ParseResult attn::parseInteger(AsmParser &parser, int64_t &value) {
  return failure(parser.parseEqual() || parser.parseInteger(value));
}

ParseResult attn::parseInteger(AsmParser &parser, std::optional<int64_t> &value) {
  return parseInteger(parser, value.emplace());
}

ParseResult attn::parseDouble(AsmParser &parser, double &value) {
  return failure(parser.parseEqual() || parser.parseFloat(value));
}

ParseResult attn::parseBool(AsmParser &parser, bool &value) {
  StringRef word;
  if (parser.parseEqual())
    return failure();
  SMLoc location = parser.getCurrentLocation();
  if (parser.parseKeyword(&word))
    return failure();
  if (word != "true" && word != "false")
    return parser.emitError(location) << "unknown value '" << word << "', expected true or false";
  value = word == "true";
  return success();
}

ParseResult attn::parseIntegers(AsmParser &parser, std::vector<int64_t> &values) {
  return failure(parser.parseEqual() ||
                 parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() -> ParseResult {
                   return parser.parseInteger(values.emplace_back());
                 }));
}

ParseResult attn::parseSteps(AsmParser &parser, SplitRule &rule) {
  return failure(parser.parseEqual() ||
                 parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() -> ParseResult {
                   SplitStep step;
                   if (parser.parseLSquare() || parser.parseInteger(step.maxLength) ||
                       parser.parseComma() || parser.parseInteger(step.splitLength) ||
                       parser.parseRSquare())
                     return failure();
                   rule.steps.push_back(step);
                   return success();
                 }));
}

/// MLIR's float literals need a point: 1e-06 becomes 1.0e-06.
template <class Float> static std::string shortest(Float value) {
  bool moderate = value == 0 || (std::abs(value) >= Float(1e-4) && std::abs(value) < Float(1e9));
  char buffer[32];
  auto format = moderate ? std::chars_format::fixed : std::chars_format::scientific;
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, value, format).ptr);
  if (std::isfinite(value) && text.find('.') == std::string::npos)
    text.insert(std::min(text.find('e'), text.size()), ".0");
  return text;
}

std::string attn::decimal(double value) { return shortest(value); }
std::string attn::decimal(float value) { return shortest(value); }

void attn::printIntegers(raw_ostream &os, ArrayRef<int64_t> values) {
  os << "[";
  llvm::interleaveComma(values, os);
  os << "]";
}

void attn::printRule(raw_ostream &os, const SplitRule &rule) {
  if (rule.steps.size() == 1 && rule.steps[0].maxLength == rule.steps[0].splitLength) {
    os << "length = " << rule.steps[0].splitLength;
    return;
  }
  os << "steps = [";
  llvm::interleaveComma(rule.steps, os, [&](const SplitStep &step) {
    os << "[" << step.maxLength << ", " << step.splitLength << "]";
  });
  os << "]";
}
