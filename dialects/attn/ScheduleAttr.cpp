//===- ScheduleAttr.cpp - text and verification of #attn.schedule ---------===//
//
// Fields are read in any order and printed in the order of dialects/attn's
// documentation, all of them: a manifest shows a complete schedule. Constraints
// (C1) to (C9) need no target; a target's limits are in ScheduleLegality.cpp.
// Tests: test/dialects/attn/schedule-attribute.mlir, schedule-attribute-errors.mlir.
//
//===----------------------------------------------------------------------===//
#include "dialects/attn/AttrText.h"

using namespace mlir;
using namespace attncc;
using namespace attncc::attn;

llvm::hash_code attn::hash_value(const Schedule &s) {
  llvm::hash_code shape = llvm::hash_combine(s.unit, s.units, s.rows, s.divide, s.keys,
                                             s.orientation, s.product, s.copy, s.box, s.cache);
  llvm::hash_code overlap =
      llvm::hash_combine(s.stages.key, s.stages.value, s.stages.joint, s.stages.query, s.roles,
                         llvm::hash_combine_range(s.registers), s.overlap, s.pingPong, s.rescale);
  return llvm::hash_combine(shape, overlap, s.work, s.order, s.headGroup, s.skipTiles, s.output,
                            s.split ? hash_value(*s.split) : llvm::hash_code(0), s.merge,
                            s.dependentLaunch, s.blocksPerSm);
}

/// `= n` for a joint ring, `= [key, value]` for two.
static ParseResult parseStages(AsmParser &parser, Stages &stages) {
  if (parser.parseEqual())
    return failure();
  stages.joint = failed(parser.parseOptionalLSquare());
  if (stages.joint) {
    if (parser.parseInteger(stages.key))
      return failure();
    stages.value = stages.key;
    return success();
  }
  return failure(parser.parseInteger(stages.key) || parser.parseComma() ||
                 parser.parseInteger(stages.value) || parser.parseRSquare());
}

/// `= none` or `= #attn.split<…>`.
static ParseResult parseSplit(AsmParser &parser, std::optional<SplitRule> &split) {
  if (parser.parseEqual())
    return failure();
  if (succeeded(parser.parseOptionalKeyword("none"))) {
    split.reset();
    return success();
  }
  SplitAttr attribute;
  if (parser.parseAttribute(attribute))
    return failure();
  split = attribute.toRule();
  return success();
}

static ParseResult parseField(AsmParser &parser, StringRef name, Schedule &s) {
  auto integer = [&](int64_t &field) { return [&] { return parseInteger(parser, field); }; };
  auto boolean = [&](bool &field) { return [&] { return parseBool(parser, field); }; };
  auto choice = [&](auto &field) { return [&] { return parseEnum(parser, field); }; };
  const std::pair<StringRef, std::function<ParseResult()>> fields[] = {
      {"unit", integer(s.unit)},
      {"units", integer(s.units)},
      {"rows", integer(s.rows)},
      {"divide", choice(s.divide)},
      {"keys", integer(s.keys)},
      {"orientation", choice(s.orientation)},
      {"product", choice(s.product)},
      {"copy", choice(s.copy)},
      {"box", integer(s.box)},
      {"cache", choice(s.cache)},
      {"stages", [&] { return parseStages(parser, s.stages); }},
      {"query_stages", integer(s.stages.query)},
      {"roles", choice(s.roles)},
      {"registers", [&] { return parseIntegers(parser, s.registers); }},
      {"overlap", choice(s.overlap)},
      {"ping_pong", boolean(s.pingPong)},
      {"rescale", choice(s.rescale)},
      {"work", choice(s.work)},
      {"order", choice(s.order)},
      {"head_group", integer(s.headGroup)},
      {"skip_tiles", boolean(s.skipTiles)},
      {"output", choice(s.output)},
      {"split", [&] { return parseSplit(parser, s.split); }},
      {"merge", choice(s.merge)},
      {"dependent_launch", choice(s.dependentLaunch)},
      {"blocks_per_sm", integer(s.blocksPerSm)},
  };
  for (const auto &[field, parse] : fields)
    if (field == name)
      return parse();
  std::string known;
  for (const auto &[field, parse] : fields)
    known += (known.empty() ? "" : ", ") + field.str();
  return unknownField(parser, name, known);
}

Attribute ScheduleAttr::parse(AsmParser &parser, Type) {
  SMLoc location = parser.getCurrentLocation();
  Schedule schedule;
  if (parseFields(parser, [&](StringRef name) { return parseField(parser, name, schedule); }))
    return {};
  return parser.getChecked<ScheduleAttr>(location, parser.getContext(), schedule);
}

void ScheduleAttr::print(AsmPrinter &printer) const {
  const Schedule &s = getValue();
  auto flag = [](bool value) { return value ? "true" : "false"; };
  printer << "<unit = " << s.unit << ", units = " << s.units << ", rows = " << s.rows
          << ", divide = " << stringifyEnum(s.divide) << ", keys = " << s.keys
          << ", orientation = " << stringifyEnum(s.orientation)
          << ", product = " << stringifyEnum(s.product) << ", copy = " << stringifyEnum(s.copy)
          << ", box = " << s.box << ", cache = " << stringifyEnum(s.cache) << ", stages = ";
  if (s.stages.joint)
    printer << s.stages.key;
  else
    printIntegers(printer.getStream(), {s.stages.key, s.stages.value});
  printer << ", query_stages = " << s.stages.query << ", roles = " << stringifyEnum(s.roles)
          << ", registers = ";
  printIntegers(printer.getStream(), s.registers);
  printer << ", overlap = " << stringifyEnum(s.overlap) << ", ping_pong = " << flag(s.pingPong)
          << ", rescale = " << stringifyEnum(s.rescale) << ", work = " << stringifyEnum(s.work)
          << ", order = " << stringifyEnum(s.order) << ", head_group = " << s.headGroup
          << ", skip_tiles = " << flag(s.skipTiles) << ", output = " << stringifyEnum(s.output)
          << ", split = ";
  if (s.split) {
    printer << "#attn.split<";
    printRule(printer.getStream(), *s.split);
    printer << ">";
  } else {
    printer << "none";
  }
  printer << ", merge = " << stringifyEnum(s.merge)
          << ", dependent_launch = " << stringifyEnum(s.dependentLaunch)
          << ", blocks_per_sm = " << s.blocksPerSm << ">";
}

SplitAttr ScheduleAttr::getSplit() const {
  return getValue().split ? SplitAttr::get(getContext(), *getValue().split) : SplitAttr();
}

LogicalResult ScheduleAttr::verify(function_ref<InFlightDiagnostic()> emitError, Schedule s) {
  const std::pair<const char *, int64_t> counts[] = {{"units", s.units},
                                                     {"rows", s.rows},
                                                     {"keys", s.keys},
                                                     {"key stages", s.stages.key},
                                                     {"value stages", s.stages.value},
                                                     {"query_stages", s.stages.query},
                                                     {"blocks_per_sm", s.blocksPerSm}};
  for (auto [name, count] : counts)
    if (count < 1) // (C1)
      return emitError() << name << " must be at least 1, got " << count;
  if (s.unit != 1 && s.unit != 4 && s.unit != 8) // (C1)
    return emitError() << "unit must be 1, 4 or 8 warps, got " << s.unit;
  if (s.headGroup < 0) // (C1)
    return emitError() << "head_group must not be negative, got " << s.headGroup;
  if (s.keys % 16 != 0) // (C2)
    return emitError() << "keys must be a multiple of 16, got " << s.keys;
  if (s.split)
    for (const SplitStep &step : s.split->steps)
      if (step.splitLength % s.keys != 0) // (C2)
        return emitError() << "split length " << step.splitLength << " is not a multiple of the "
                           << s.keys << " keys of a tile";

  if (s.orientation == Orientation::Swapped) { // (C3)
    if (s.product != Product::Mma)
      return emitError() << "orientation swapped needs product mma, got "
                         << stringifyEnum(s.product);
    if (s.rows % 8 != 0 || s.rows > 32)
      return emitError() << "swapped rows must be a multiple of 8 and at most 32, got " << s.rows;
  }
  if (s.product == Product::Wgmma && s.unit == 1) // (C4)
    return emitError() << "product wgmma needs a unit of 4 or 8 warps, got " << s.unit;
  int64_t productRows = 16 * std::min<int64_t>(s.unit, 4);
  if (s.orientation == Orientation::Direct && s.rows % productRows != 0) // (C4)
    return emitError() << "direct rows of a unit of " << s.unit << " warps must be a multiple of "
                       << productRows << ", got " << s.rows;

  if (s.copy == Copy::Tensor) { // (C5)
    if (s.box < 1 || s.box % 8 != 0 || s.keys % s.box != 0)
      return emitError() << "copy tensor needs a box that is a multiple of 8 and divides the "
                         << s.keys << " keys of a tile, got " << s.box;
  } else if (s.box != 0) {
    return emitError() << "copy gather has no box, got " << s.box;
  } else if (s.cache != Cache::Normal) {
    return emitError() << "cache " << stringifyEnum(s.cache)
                       << " is a hint of copy tensor, got gather";
  }

  bool specialised = s.roles == Roles::Specialised;
  if (!specialised && s.overlap == Overlap::Items) // (C6)
    return emitError() << "overlap items needs specialised roles";
  if (!specialised && s.skipTiles) // (C6)
    return emitError() << "skip_tiles needs specialised roles";
  if (s.registers.size() != (specialised ? 3u : 0u)) // (C6)
    return emitError() << "roles " << stringifyEnum(s.roles) << " take " << (specialised ? 3 : 0)
                       << " registers, got " << s.registers.size();
  if (s.pingPong && s.units != 2 && s.units != 3) // (C7)
    return emitError() << "ping_pong needs 2 or 3 units, got " << s.units;
  if (s.output == Output::Staged && (s.copy != Copy::Tensor || s.stages.query < 2)) // (C8)
    return emitError() << "output staged needs copy tensor and 2 query stages, got "
                       << stringifyEnum(s.copy) << " and " << s.stages.query;
  if (s.merge != MergeForm::Kernel) { // (C9)
    if (s.divide != Divide::Keys || !s.stages.joint || !s.split)
      return emitError() << "merge " << stringifyEnum(s.merge)
                         << " needs divide keys, a joint ring and a split";
    for (const SplitStep &step : s.split->steps)
      if (step.splitLength % (s.units * s.keys) != 0)
        return emitError() << "split length " << step.splitLength << " of merge "
                           << stringifyEnum(s.merge) << " is not a multiple of the "
                           << s.units * s.keys << " keys of all units";
  }
  return success();
}
