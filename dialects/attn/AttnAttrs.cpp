//===- AttnAttrs.cpp - text and verification of attn's attributes ---------===//
//
// All but the schedule, which is in ScheduleAttr.cpp. Tests:
// test/dialects/attn/attributes.mlir and attributes-errors.mlir, whose labels
// (C1)… are those of AttnAttrs.td.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/AttrText.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;
using namespace attncc;
using namespace attncc::attn;

static uint64_t bits(double value) { return llvm::bit_cast<uint64_t>(value); }
static bool isPositive(double value) { return std::isfinite(value) && value > 0; }

//===----------------------------------------------------------------------===//
// #attn.mask
//===----------------------------------------------------------------------===//

Attribute MaskAttr::parse(AsmParser &parser, Type) {
  SMLoc location = parser.getCurrentLocation();
  Mask mask;
  bool none = false;
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "window")
      return parseInteger(parser, mask.window);
    if (name == "right_window")
      return parseInteger(parser, mask.rightWindow);
    if (name == "chunk")
      return parseInteger(parser, mask.chunk);
    bool *flag = llvm::StringSwitch<bool *>(name)
                     .Case("none", &none)
                     .Case("causal", &mask.causal)
                     .Case("prefix", &mask.prefix)
                     .Case("documents", &mask.documents)
                     .Case("tree", &mask.tree)
                     .Default(nullptr);
    if (!flag)
      return unknownField(parser, name,
                          "none, causal, window, right_window, chunk, prefix, documents, tree");
    *flag = true;
    return success();
  };
  if (parseFields(parser, parseField))
    return {};
  if (none == !mask.isNone()) {
    parser.emitError(location) << "a mask is either none or at least one term";
    return {};
  }
  return parser.getChecked<MaskAttr>(location, parser.getContext(), mask);
}

void MaskAttr::print(AsmPrinter &printer) const {
  const Mask &mask = getValue();
  SmallVector<std::string> terms;
  auto number = [&](const char *name, std::optional<int64_t> value) {
    if (value)
      terms.push_back(name + (" = " + std::to_string(*value)));
  };
  if (mask.isNone())
    terms.push_back("none");
  if (mask.causal)
    terms.push_back("causal");
  number("window", mask.window);
  number("right_window", mask.rightWindow);
  number("chunk", mask.chunk);
  if (mask.prefix)
    terms.push_back("prefix");
  if (mask.documents)
    terms.push_back("documents");
  if (mask.tree)
    terms.push_back("tree");
  printer << "<" << llvm::join(terms, ", ") << ">";
}

LogicalResult MaskAttr::verify(function_ref<InFlightDiagnostic()> emitError, Mask mask) {
  if (mask.window.value_or(1) < 1) // (C1)
    return emitError() << "window must be at least 1, got " << *mask.window;
  if (mask.rightWindow.value_or(0) < 0) // (C1)
    return emitError() << "right_window must not be negative, got " << *mask.rightWindow;
  if (mask.chunk.value_or(1) < 1) // (C1)
    return emitError() << "chunk must be at least 1, got " << *mask.chunk;
  if (mask.prefix && !mask.causal) // (C2)
    return emitError() << "prefix widens causal, which is missing";
  if (mask.causal && mask.rightWindow) // (C3)
    return emitError() << "causal is right_window = 0, but right_window is " << *mask.rightWindow;
  return success();
}

//===----------------------------------------------------------------------===//
// #attn.scores
//===----------------------------------------------------------------------===//

llvm::hash_code attn::hash_value(const Scores &scores) {
  return llvm::hash_combine(bits(scores.scale), scores.softcap.has_value(),
                            bits(scores.softcap.value_or(0)));
}

Attribute ScoresAttr::parse(AsmParser &parser, Type) {
  SMLoc location = parser.getCurrentLocation();
  Scores scores;
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "scale")
      return parseDouble(parser, scores.scale);
    if (name == "softcap")
      return parseDouble(parser, scores.softcap.emplace());
    return unknownField(parser, name, "scale, softcap");
  };
  if (parseFields(parser, parseField))
    return {};
  return parser.getChecked<ScoresAttr>(location, parser.getContext(), scores);
}

void ScoresAttr::print(AsmPrinter &printer) const {
  printer << "<scale = " << decimal(getValue().scale);
  if (getValue().softcap)
    printer << ", softcap = " << decimal(*getValue().softcap);
  printer << ">";
}

LogicalResult ScoresAttr::verify(function_ref<InFlightDiagnostic()> emitError, Scores scores) {
  if (!isPositive(scores.scale)) // (C1)
    return emitError() << "scale must be positive and finite, got " << decimal(scores.scale);
  if (!isPositive(scores.softcap.value_or(1))) // (C2)
    return emitError() << "softcap must be positive and finite, got " << decimal(*scores.softcap);
  return success();
}

//===----------------------------------------------------------------------===//
// #attn.rope
//===----------------------------------------------------------------------===//

llvm::hash_code attn::hash_value(const Rope &rope) {
  llvm::hash_code hash = llvm::hash_combine(rope.pairing, rope.dim, bits(rope.theta), rope.scaling,
                                            bits(rope.attentionFactor));
  for (float frequency : rope.inverseFrequencies)
    hash = llvm::hash_combine(hash, llvm::bit_cast<uint32_t>(frequency));
  return hash;
}

Attribute RopeAttr::parse(AsmParser &parser, Type) {
  SMLoc location = parser.getCurrentLocation();
  Rope rope;
  auto parseFrequency = [&]() -> ParseResult {
    double frequency = 0;
    if (parser.parseFloat(frequency))
      return failure();
    rope.inverseFrequencies.push_back(static_cast<float>(frequency));
    return success();
  };
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "pairing")
      return parseEnum(parser, rope.pairing);
    if (name == "dim")
      return parseInteger(parser, rope.dim);
    if (name == "theta")
      return parseDouble(parser, rope.theta);
    if (name == "scaling")
      return parseEnum(parser, rope.scaling);
    if (name == "attention_factor")
      return parseDouble(parser, rope.attentionFactor);
    if (name == "inverse_frequencies")
      return failure(parser.parseEqual() ||
                     parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseFrequency));
    return unknownField(parser, name,
                        "pairing, dim, theta, scaling, attention_factor, inverse_frequencies");
  };
  if (parseFields(parser, parseField))
    return {};
  return parser.getChecked<RopeAttr>(location, parser.getContext(), rope);
}

void RopeAttr::print(AsmPrinter &printer) const {
  const Rope &rope = getValue();
  printer << "<pairing = " << stringifyEnum(rope.pairing) << ", dim = " << rope.dim
          << ", theta = " << decimal(rope.theta);
  if (rope.scaling != RopeScaling::None)
    printer << ", scaling = " << stringifyEnum(rope.scaling);
  if (rope.attentionFactor != 1.0)
    printer << ", attention_factor = " << decimal(rope.attentionFactor);
  printer << ", inverse_frequencies = [";
  llvm::interleaveComma(rope.inverseFrequencies, printer.getStream(),
                        [&](float frequency) { printer << decimal(frequency); });
  printer << "]>";
}

LogicalResult RopeAttr::verify(function_ref<InFlightDiagnostic()> emitError, Rope rope) {
  if (rope.dim <= 0 || rope.dim % 2 != 0) // (C1)
    return emitError() << "dim must be even and positive, got " << rope.dim;
  if (static_cast<int64_t>(rope.inverseFrequencies.size()) != rope.dim / 2) // (C2)
    return emitError() << "dim " << rope.dim << " needs " << rope.dim / 2
                       << " inverse frequencies, got " << rope.inverseFrequencies.size();
  for (auto [i, frequency] : llvm::enumerate(rope.inverseFrequencies))
    if (!std::isfinite(frequency) || frequency < 0) // (C2)
      return emitError() << "inverse frequency " << i << " must be finite and not negative, got "
                         << decimal(frequency);
  if (!isPositive(rope.theta)) // (C3)
    return emitError() << "theta must be positive and finite, got " << decimal(rope.theta);
  if (!isPositive(rope.attentionFactor)) // (C3)
    return emitError() << "attention_factor must be positive and finite, got "
                       << decimal(rope.attentionFactor);
  return success();
}

//===----------------------------------------------------------------------===//
// #attn.split
//===----------------------------------------------------------------------===//

llvm::hash_code attncc::hash_value(const SplitRule &rule) {
  llvm::hash_code hash = llvm::hash_value(rule.steps.size());
  for (const SplitStep &step : rule.steps)
    hash = llvm::hash_combine(hash, step.maxLength, step.splitLength);
  return hash;
}

Attribute SplitAttr::parse(AsmParser &parser, Type) {
  SMLoc location = parser.getCurrentLocation();
  SplitRule rule;
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "steps")
      return parseSteps(parser, rule);
    if (name != "length")
      return unknownField(parser, name, "steps, length");
    int64_t length = 0;
    if (parseInteger(parser, length))
      return failure();
    rule.steps.push_back({length, length});
    return success();
  };
  if (parseFields(parser, parseField))
    return {};
  return parser.getChecked<SplitAttr>(location, parser.getContext(), rule);
}

void SplitAttr::print(AsmPrinter &printer) const {
  printer << "<";
  printRule(printer.getStream(), getValue());
  printer << ">";
}

LogicalResult SplitAttr::verify(function_ref<InFlightDiagnostic()> emitError, SplitRule rule) {
  if (rule.steps.empty()) // (C1)
    return emitError() << "a split rule needs at least one step";
  int64_t last = 0;
  for (const SplitStep &step : rule.steps) {
    if (step.splitLength <= 0) // (C1)
      return emitError() << "split length must be positive, got " << step.splitLength;
    if (step.maxLength <= last) // (C1)
      return emitError() << "sequence lengths must be positive and increase, got " << step.maxLength
                         << " after " << last;
    last = step.maxLength;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// #attn.phase
//===----------------------------------------------------------------------===//

Attribute PhaseAttr::parse(AsmParser &parser, Type) {
  SMLoc location = parser.getCurrentLocation();
  std::optional<Role> role;
  int64_t maxQuery = 0;
  auto parseField = [&](StringRef name) -> ParseResult {
    if (name == "max_query")
      return parseInteger(parser, maxQuery);
    std::optional<Role> named = symbolizeRole(name);
    if (!named)
      return unknownField(parser, name, "prefill, decode, append, merge, merge_states, max_query");
    role = named;
    return success();
  };
  if (parseFields(parser, parseField))
    return {};
  if (!role) {
    parser.emitError(location)
        << "a phase needs one of prefill, decode, append, merge, merge_states";
    return {};
  }
  return parser.getChecked<PhaseAttr>(location, parser.getContext(), *role, maxQuery);
}

void PhaseAttr::print(AsmPrinter &printer) const {
  printer << "<" << stringifyRole(getRole());
  if (getMaxQuery())
    printer << ", max_query = " << getMaxQuery();
  printer << ">";
}

LogicalResult PhaseAttr::verify(function_ref<InFlightDiagnostic()> emitError, Role role,
                                int64_t maxQuery) {
  if (role == Role::Decode && maxQuery < 1) // (C1)
    return emitError() << "decode needs a max_query of at least 1, got " << maxQuery;
  if (role == Role::Append && maxQuery != 0) // (C1)
    return emitError() << "max_query belongs to decode, prefill and merge, not to append";
  if (maxQuery < 0) // (C1)
    return emitError() << "max_query must not be negative, got " << maxQuery;
  return success();
}

//===----------------------------------------------------------------------===//

#define GET_ATTRDEF_CLASSES
#include "dialects/attn/AttnAttrs.cpp.inc"

void AttnDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/attn/AttnAttrs.cpp.inc"
      >();
}
