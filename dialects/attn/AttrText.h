//===- AttrText.h - reading and writing fields in angle brackets ----------===//
//
// Internal to dialects/attn. An attribute is a list of `keyword` and
// `keyword = value` fields in `<…>`: parseFields() reads them in any order, each
// at most once; the print functions write values that parse back exactly.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/attn/Attn.h"
#include "mlir/IR/DialectImplementation.h"

namespace attncc::attn {

/// `<` name …, name … `>`: calls parseField behind each name, which parses what follows it. Returns
/// failure with a diagnostic for a name given twice.
mlir::ParseResult
parseFields(mlir::AsmParser &parser,
            llvm::function_ref<mlir::ParseResult(llvm::StringRef name)> parseField);
mlir::ParseResult unknownField(mlir::AsmParser &parser, llvm::StringRef name,
                               llvm::StringRef known);

// `= value`
mlir::ParseResult parseInteger(mlir::AsmParser &parser, int64_t &value);
mlir::ParseResult parseInteger(mlir::AsmParser &parser, std::optional<int64_t> &value);
mlir::ParseResult parseDouble(mlir::AsmParser &parser, double &value);
mlir::ParseResult parseBool(mlir::AsmParser &parser, bool &value);
mlir::ParseResult parseIntegers(mlir::AsmParser &parser, std::vector<int64_t> &values);
/// `[[a, b], …]`
mlir::ParseResult parseSteps(mlir::AsmParser &parser, SplitRule &rule);

template <class Enum> mlir::ParseResult parseEnum(mlir::AsmParser &parser, Enum &value) {
  llvm::StringRef word;
  if (parser.parseEqual())
    return mlir::failure();
  llvm::SMLoc location = parser.getCurrentLocation();
  if (parser.parseKeyword(&word))
    return mlir::failure();
  if (std::optional<Enum> parsed = symbolizeEnum<Enum>(word)) {
    value = *parsed;
    return mlir::success();
  }
  std::string known;
  for (uint32_t i = 0; !stringifyEnum(static_cast<Enum>(i)).empty(); ++i)
    known += (i ? ", " : "") + stringifyEnum(static_cast<Enum>(i)).str();
  return parser.emitError(location) << "unknown value '" << word << "', expected one of " << known;
}

/// The shortest decimal text that MLIR reads back as the same value.
std::string decimal(double value);
std::string decimal(float value);
void printIntegers(llvm::raw_ostream &os, llvm::ArrayRef<int64_t> values);
/// `steps = …` or `length = …`.
void printRule(llvm::raw_ostream &os, const SplitRule &rule);

} // namespace attncc::attn
