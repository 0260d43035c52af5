//===- Loader.cpp - parseModule -------------------------------------------===//
//
// Parses, lays out the module's .global and .const variables in host memory, gives every
// kernel the module's .shared variables that it names, and decodes it.
// Pinned by test/simulator/ParserTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"

#include <algorithm>

namespace attncc::simulator {

namespace {

Error located(const std::string &name, unsigned line, unsigned column, std::string message) {
  Error error = makeError(Status::InvalidPackage, std::move(message));
  error.diagnostic.where.file = name;
  error.diagnostic.where.line = static_cast<int>(line);
  error.diagnostic.where.column = static_cast<int>(column);
  return error;
}

bool names(const syntax::Operand &operand, const std::string &symbol) {
  return operand.name == symbol ||
         std::any_of(operand.elements.begin(), operand.elements.end(),
                     [&](const syntax::Operand &element) { return names(element, symbol); });
}

bool uses(const syntax::Entry &entry, const std::string &symbol) {
  for (const syntax::Instruction &instruction : entry.instructions)
    for (const syntax::Operand &operand : instruction.operands)
      if (names(operand, symbol))
        return true;
  return false;
}

/// Places .global and .const variables; their symbols may refer to each other.
Result<void> placeVariables(Module &module, const syntax::File &file) {
  uint64_t bytes = 0;
  constexpr uint64_t limit = uint64_t(1) << 30;
  std::vector<std::pair<const syntax::Variable *, uint64_t>> placed;
  for (const syntax::Variable &variable : file.variables) {
    if (variable.space == "shared")
      continue;
    if (variable.unsized || variable.bytes == 0)
      return makeError(Status::InvalidPackage, "variable '" + variable.name + "' has no size");
    bytes = (bytes + variable.align - 1) / variable.align * variable.align;
    placed.push_back({&variable, bytes});
    bytes += variable.bytes + 32; // neighbours keep a gap
    if (bytes > limit)
      return makeError(Status::InvalidPackage,
                       "variables exceed " + std::to_string(limit) + " bytes");
  }
  module.storage = std::make_unique<std::byte[]>(bytes + 256);
  uint64_t base = (reinterpret_cast<uint64_t>(module.storage.get()) + 255) / 256 * 256;
  module.constantBase = base - constantFirst;
  for (auto [variable, offset] : placed)
    module.variables.push_back(
        {variable->name, base + offset, variable->bytes, variable->space == "const"});
  for (auto [variable, offset] : placed) {
    std::byte *to = reinterpret_cast<std::byte *>(base + offset);
    std::copy(variable->initial.begin(), variable->initial.end(), to);
    for (const syntax::Variable::Reference &reference : variable->references) {
      auto target = std::find_if(
          module.variables.begin(), module.variables.end(),
          [&](const Module::Variable &candidate) { return candidate.name == reference.symbol; });
      if (target == module.variables.end())
        return makeError(Status::InvalidPackage,
                         "symbol '" + reference.symbol + "' in an initialiser is not known");
      uint64_t value = target->address + uint64_t(reference.addend);
      if (target->constant)
        value = value - module.constantBase + (reference.generic ? constantWindow : 0);
      std::memcpy(to + reference.offset, &value, std::min<uint64_t>(8, reference.bytes));
    }
  }
  return {};
}

} // namespace

Result<std::shared_ptr<const Module>> parseModule(std::string_view ptx, std::string name) {
  Result<syntax::File> file = syntax::parse(ptx, name);
  if (!file)
    return file.error();
  auto module = std::make_shared<Module>();
  module->name = name;
  module->target = file->target;
  if (Result<void> placed = placeVariables(*module, *file); !placed)
    return located(name, 1, 1, placed.error().diagnostic.message);
  for (syntax::Entry &entry : file->entries) {
    for (const syntax::Variable &variable : file->variables)
      if (variable.space == "shared" && uses(entry, variable.name))
        entry.variables.push_back(variable);
    Kernel kernel;
    try {
      Decoder(*module, entry, kernel).run();
    } catch (const DecodeError &problem) {
      return located(name, problem.line, problem.column, problem.message);
    }
    module->kernels.push_back(std::move(kernel));
  }
  if (module->kernels.empty())
    return located(name, 1, 1, "no kernel in the file");
  return std::shared_ptr<const Module>(std::move(module));
}

std::vector<EntryInfo> entries(const Module &module) {
  std::vector<EntryInfo> result;
  for (const Kernel &kernel : module.kernels)
    result.push_back(kernel.info);
  return result;
}

} // namespace attncc::simulator
