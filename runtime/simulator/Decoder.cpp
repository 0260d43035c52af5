//===- Decoder.cpp --------------------------------------------------------===//
//
// See Decoder.h. Lays out a warp's register file: scratch, registers, literals and
// special registers, each on its own 64-byte line, so that a vectorised handler never
// straddles one. Pinned by test/simulator/ParserTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Decoder.h"

#include <algorithm>
#include <limits>

namespace attncc::simulator {

namespace {

struct TypeFacts {
  const char *name;
  unsigned bytes;
};

const TypeFacts typeFacts[] = {
    {"pred", 0},  {"b8", 1},   {"u8", 1},     {"s8", 1},   {"b16", 2}, {"u16", 2}, {"s16", 2},
    {"b32", 4},   {"u32", 4},  {"s32", 4},    {"b64", 8},  {"u64", 8}, {"s64", 8}, {"f16", 2},
    {"f16x2", 4}, {"bf16", 2}, {"bf16x2", 4}, {"tf32", 4}, {"f32", 4}, {"f64", 8},
};

unsigned bytesOfWidth(syntax::Width width) {
  switch (width) {
  case syntax::Width::Predicate:
    return 0;
  case syntax::Width::B16:
    return 2;
  case syntax::Width::B32:
    return 4;
  case syntax::Width::B64:
    return 8;
  case syntax::Width::B128:
    return 16;
  }
  return 0;
}

const std::map<std::string_view, Special> specialNames = {
    {"%tid.x", Special::TidX},
    {"%tid.y", Special::TidY},
    {"%tid.z", Special::TidZ},
    {"%ntid.x", Special::NtidX},
    {"%ntid.y", Special::NtidY},
    {"%ntid.z", Special::NtidZ},
    {"%ctaid.x", Special::CtaidX},
    {"%ctaid.y", Special::CtaidY},
    {"%ctaid.z", Special::CtaidZ},
    {"%nctaid.x", Special::NctaidX},
    {"%nctaid.y", Special::NctaidY},
    {"%nctaid.z", Special::NctaidZ},
    {"%laneid", Special::LaneId},
    {"%warpid", Special::WarpId},
    {"%nwarpid", Special::NWarpId},
    {"%lanemask_eq", Special::LaneMaskEq},
    {"%lanemask_lt", Special::LaneMaskLt},
    {"%lanemask_le", Special::LaneMaskLe},
    {"%lanemask_gt", Special::LaneMaskGt},
    {"%lanemask_ge", Special::LaneMaskGe},
    {"%dynamic_smem_size", Special::DynamicShared},
    {"%total_smem_size", Special::TotalShared},
    {"%smid", Special::SmId},
    {"%nsmid", Special::NSmId},
    {"%gridid", Special::GridId},
    // Every cluster has one block.
    {"%cluster_ctarank", Special::Zero},
    {"%cluster_nctarank", Special::One},
    {"%cluster_ctaid.x", Special::Zero},
    {"%cluster_ctaid.y", Special::Zero},
    {"%cluster_ctaid.z", Special::Zero},
    {"%cluster_nctaid.x", Special::One},
    {"%cluster_nctaid.y", Special::One},
    {"%cluster_nctaid.z", Special::One},
    {"%clusterid.x", Special::CtaidX},
    {"%clusterid.y", Special::CtaidY},
    {"%clusterid.z", Special::CtaidZ},
    {"%nclusterid.x", Special::NctaidX},
    {"%nclusterid.y", Special::NctaidY},
    {"%nclusterid.z", Special::NctaidZ},
};

const DecodeTable &decodeTable() {
  static const DecodeTable table = [] {
    DecodeTable result;
    addMoves(result);
    addIntegers(result);
    addComparisons(result);
    addFloats(result);
    addConversions(result);
    addMemory(result);
    addAtomics(result);
    addAsyncCopies(result);
    addMatrices(result);
    addMbarriers(result);
    addWgmma(result);
    addCollectives(result);
    addControl(result);
    return result;
  }();
  return table;
}

uint64_t alignUp(uint64_t value, uint64_t align) { return (value + align - 1) / align * align; }

} // namespace

unsigned bytesOf(Type type) { return typeFacts[static_cast<size_t>(type)].bytes; }
const char *toString(Type type) { return typeFacts[static_cast<size_t>(type)].name; }
bool isInteger(Type type) { return type >= Type::B8 && type <= Type::S64; }
bool isSigned(Type type) {
  return type == Type::S8 || type == Type::S16 || type == Type::S32 || type == Type::S64;
}

const Kernel *Module::find(std::string_view entry) const {
  for (const Kernel &kernel : kernels)
    if (kernel.info.name == entry)
      return &kernel;
  return nullptr;
}

Decoder::Decoder(const Module &module, const syntax::Entry &entry, Kernel &kernel)
    : module(module), entry(entry), kernel(kernel) {}

void Decoder::run() {
  allocate(8); // scratch, slot 0
  declareRegisters();
  declareVariables();
  kernel.text = entry.instructions;
  kernel.ops.resize(entry.instructions.size() + 1);
  for (size_t i = 0; i < entry.instructions.size(); ++i) {
    kernel.ops[i].position = static_cast<uint32_t>(i);
    decode(entry.instructions[i], kernel.ops[i]);
  }
  Op &end = kernel.ops.back(); // falling off the end
  end.position = static_cast<uint32_t>(entry.instructions.size());
  end.flow = Flow::Exit;
  kernel.info.instructions = static_cast<uint32_t>(entry.instructions.size());
  if (!kernel.productForms.empty())
    numberProductRegisters();
}

namespace {

template <class F> void forEachRegister(const syntax::Operand &operand, F f) {
  if (operand.reg >= 0)
    f(operand.reg);
  if (operand.second >= 0)
    f(operand.second);
  for (const syntax::Operand &element : operand.elements)
    forEachRegister(element, f);
}

} // namespace

/// Numbers the accumulators and left operands of products, and notes for each other
/// instruction which of them it names.
void Decoder::numberProductRegisters() {
  std::map<uint32_t, uint16_t> numbers; // by slot
  auto number = [&](uint32_t slot) {
    return numbers.try_emplace(slot, static_cast<uint16_t>(numbers.size())).first->second;
  };
  for (ProductForm &form : kernel.productForms) {
    for (uint32_t slot : form.d)
      form.dUses.push_back(number(slot));
    if (form.aInRegisters)
      for (uint32_t slot : form.a)
        form.aUses.push_back(number(slot));
  }
  if (numbers.size() > std::numeric_limits<uint16_t>::max())
    throw DecodeError{entry.line, 1,
                      "kernel '" + entry.name + "' has " + std::to_string(numbers.size()) +
                          " registers in products, allowed are 65535"};
  kernel.productRegisters.resize(numbers.size());
  for (size_t i = 0; i < entry.registers.size(); ++i)
    if (auto found = numbers.find(registerSlots[i]); found != numbers.end())
      kernel.productRegisters[found->second] = entry.registers[i].name;
  for (size_t i = 0; i < entry.instructions.size(); ++i) {
    Op &op = kernel.ops[i];
    if (entry.instructions[i].opcode == "wgmma")
      continue; // looks after its registers itself
    op.firstProductUse = static_cast<uint32_t>(kernel.productUses.size());
    for (const syntax::Operand &operand : entry.instructions[i].operands)
      forEachRegister(operand, [&](int32_t reg) {
        if (auto found = numbers.find(registerSlots[reg]); found != numbers.end())
          kernel.productUses.push_back(found->second);
      });
    op.productUses = static_cast<uint32_t>(kernel.productUses.size()) - op.firstProductUse;
  }
}

void Decoder::declareRegisters() {
  constexpr size_t limit = 1 << 18;
  if (entry.registers.size() > limit)
    throw DecodeError{entry.line, 1,
                      "kernel '" + entry.name + "' has " + std::to_string(entry.registers.size()) +
                          " registers, allowed are " + std::to_string(limit)};
  registerSlots.reserve(entry.registers.size());
  for (const syntax::Register &reg : entry.registers) {
    if (reg.width == syntax::Width::Predicate) {
      // Undefined predicates: every other lane true, so that a use shows.
      uint32_t slot = static_cast<uint32_t>(kernel.registerImage.size());
      kernel.registerImage.resize(slot + 4, std::byte(0xaa));
      registerSlots.push_back(slot);
    } else {
      registerSlots.push_back(0);
    }
  }
  kernel.registerImage.resize(alignUp(kernel.registerImage.size(), 64));
  for (size_t i = 0; i < entry.registers.size(); ++i)
    if (unsigned bytes = bytesOfWidth(entry.registers[i].width)) {
      uint32_t slot = registerSlots[i] = allocate(bytes);
      for (unsigned at = 0; at < 32 * bytes; at += 4)
        std::memcpy(&kernel.registerImage[slot + at], &poison, 4);
    }
}

uint32_t Decoder::allocate(unsigned bytes) {
  uint32_t slot = static_cast<uint32_t>(alignUp(kernel.registerImage.size(), 64));
  kernel.registerImage.resize(slot + 32 * bytes);
  return slot;
}

void Decoder::declareVariables() {
  kernel.info.name = entry.name;
  kernel.info.requiredBlock = entry.requiredBlock;
  kernel.info.maxThreads = entry.maxThreads;
  // What setmaxnreg shares out: ptxas gives each thread what the bounds of a launch leave.
  uint64_t threads = entry.requiredBlock.x ? entry.requiredBlock.count() : entry.maxThreads;
  if (entry.maxRegisters)
    kernel.launchRegisters = (entry.maxRegisters + 7) / 8 * 8;
  else if (threads)
    kernel.launchRegisters = static_cast<uint32_t>(
        std::min<uint64_t>(256, 65536 / (threads * std::max(1u, entry.minBlocks)) / 8 * 8));
  for (const Module::Variable &variable : module.variables)
    symbols[variable.name] =
        variable.constant ? variable.address - module.constantBase : variable.address;

  // What no GPU has; beyond it the offsets below would not fit their types either.
  constexpr uint64_t limit = uint64_t(1) << 24;
  for (const auto *variables : {&entry.parameters, &entry.variables})
    for (const syntax::Variable &variable : *variables)
      if (variable.bytes > limit || variable.align > limit)
        throw DecodeError{entry.line, 1,
                          "variable '" + variable.name + "' has " + std::to_string(variable.bytes) +
                              " bytes, allowed are " + std::to_string(limit)};
  uint64_t offset = 0;
  for (const syntax::Variable &parameter : entry.parameters) {
    offset = alignUp(offset, parameter.align);
    kernel.info.parameters.push_back(
        {parameter.name, uint32_t(offset), uint32_t(parameter.bytes), parameter.pointer});
    symbols[parameter.name] = offset;
    offset += parameter.bytes;
  }
  kernel.info.parameterBytes = static_cast<uint32_t>(offset);
  uint64_t shared = sharedBase, local = localBase;
  uint32_t dynamicAlign = 1;
  std::vector<std::string> dynamic;
  for (const syntax::Variable &variable : entry.variables) {
    if (variable.space == "shared" && variable.unsized) {
      dynamic.push_back(variable.name);
      dynamicAlign = std::max(dynamicAlign, variable.align);
      continue;
    }
    uint64_t &end = variable.space == "shared" ? shared : local;
    end = alignUp(end, variable.align);
    symbols[variable.name] = end;
    end += variable.bytes;
  }
  kernel.info.dynamicShared = !dynamic.empty();
  if (!dynamic.empty())
    shared = alignUp(shared, dynamicAlign);
  for (const std::string &name : dynamic)
    symbols[name] = shared;
  if (std::max({offset, shared, local}) > limit)
    throw DecodeError{entry.line, 1,
                      "the variables of '" + entry.name + "' exceed " + std::to_string(limit) +
                          " bytes"};
  kernel.info.staticShared = static_cast<uint32_t>(shared - sharedBase);
  kernel.localBytes = static_cast<uint32_t>(alignUp(local - localBase, 16));
}

void Decoder::decode(const syntax::Instruction &instruction, Op &op) {
  current = &instruction;
  result = &op;
  consumed.assign(instruction.modifiers.size(), false);
  if (instruction.guard >= 0) {
    op.guarded = true;
    op.guardNegated = instruction.guardNegated;
    op.guard = registerSlots[instruction.guard];
  }
  auto found = decodeTable().find(instruction.opcode);
  if (found == decodeTable().end())
    fail("instruction '" + instruction.opcode + "' is not known");
  found->second(*this);
  for (size_t i = 0; i < consumed.size(); ++i)
    if (!consumed[i])
      fail("modifier '." + instruction.modifiers[i] + "' is not known here");
}

void Decoder::fail(const std::string &message) const {
  throw DecodeError{current->line, current->column, message + ": " + current->text};
}

void Decoder::unknown() const { fail("this form of '" + current->opcode + "' is not known"); }

uint64_t Decoder::addBulkForm(const BulkForm &form) {
  usesAsyncProxy();
  kernel.bulkForms.push_back(form);
  return kernel.bulkForms.size() - 1;
}

uint64_t Decoder::addProductForm(ProductForm form) {
  usesAsyncProxy();
  kernel.productForms.push_back(std::move(form));
  return kernel.productForms.size() - 1;
}

void Decoder::needsHopper() {
  // sm_80, sm_90a…: the number decides.
  if (module.target.size() < 5 || std::atoi(module.target.c_str() + 3) < 90)
    fail("needs .target sm_90, the file has " + module.target);
}

void Decoder::needsHopperOnly() {
  if (module.target != "sm_90a")
    fail("needs .target sm_90a, the file has " + module.target);
}

//===----------------------------------------------------------------------===//
// Modifiers
//===----------------------------------------------------------------------===//

bool Decoder::has(std::string_view modifier) {
  for (size_t i = 0; i < consumed.size(); ++i)
    if (!consumed[i] && current->modifiers[i] == modifier) {
      consumed[i] = true;
      return true;
    }
  return false;
}

int Decoder::oneOf(std::initializer_list<std::string_view> choices) {
  int index = 0;
  for (std::string_view choice : choices) {
    if (has(choice))
      return index;
    ++index;
  }
  return -1;
}

void Decoder::require(std::string_view modifier) {
  if (!has(modifier))
    fail("expected modifier '." + std::string(modifier) + "'");
}

std::optional<Type> Decoder::maybeType() {
  for (size_t i = 0; i < consumed.size(); ++i) {
    if (consumed[i])
      continue;
    for (size_t type = 0; type < std::size(typeFacts); ++type)
      if (current->modifiers[i] == typeFacts[type].name) {
        consumed[i] = true;
        return static_cast<Type>(type);
      }
  }
  return std::nullopt;
}

Type Decoder::type() {
  if (std::optional<Type> found = maybeType())
    return *found;
  fail("expected a type");
}

Space Decoder::space() {
  switch (oneOf({"global", "shared", "shared::cta", "shared::cluster", "local", "const", "param",
                 "param::entry"})) {
  case 0:
    return Space::Global;
  case 1:
  case 2:
  case 3: // a cluster has one block
    return Space::Shared;
  case 4:
    return Space::Local;
  case 5:
    return Space::Const;
  case 6:
  case 7:
    return Space::Param;
  default:
    return Space::Generic;
  }
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

const syntax::Operand &Decoder::operand(size_t index) const {
  if (index >= current->operands.size())
    fail("expected more than " + std::to_string(current->operands.size()) + " operands");
  return current->operands[index];
}

void Decoder::expectOperands(size_t least, size_t most) {
  if (operands() < least || operands() > most)
    fail("expected " + std::to_string(least) +
         (most > least ? " to " + std::to_string(most) : std::string()) + " operands, found " +
         std::to_string(operands()));
}

std::vector<const syntax::Operand *> Decoder::elements(size_t index) const {
  const syntax::Operand &whole = operand(index);
  std::vector<const syntax::Operand *> result;
  if (whole.kind == syntax::Operand::Kind::Vector)
    for (const syntax::Operand &element : whole.elements)
      result.push_back(&element);
  else
    result.push_back(&whole);
  return result;
}

unsigned Decoder::registerBytes(const syntax::Operand &operand) const {
  if (operand.kind != syntax::Operand::Kind::Register)
    return 0;
  return bytesOfWidth(entry.registers[operand.reg].width);
}

uint32_t Decoder::destination(const syntax::Operand &operand, unsigned bytes) {
  if (operand.kind == syntax::Operand::Kind::Sink)
    return scratch();
  if (operand.kind != syntax::Operand::Kind::Register || operand.negated || operand.second >= 0)
    fail("expected a destination register");
  if (registerBytes(operand) != bytes)
    fail("register '" + entry.registers[operand.reg].name + "' has " +
         std::to_string(8 * registerBytes(operand)) + " bits, expected " +
         std::to_string(8 * bytes));
  return registerSlots[operand.reg];
}

uint32_t Decoder::destinationPredicate(const syntax::Operand &operand) {
  if (operand.kind == syntax::Operand::Kind::Sink)
    return scratch();
  if (operand.kind != syntax::Operand::Kind::Register || operand.negated ||
      entry.registers[operand.reg].width != syntax::Width::Predicate)
    fail("expected a predicate register");
  return registerSlots[operand.reg];
}

uint32_t Decoder::sourcePredicate(const syntax::Operand &operand, bool &negated) {
  negated = operand.negated;
  if (operand.kind == syntax::Operand::Kind::Integer)
    // All lanes true or false: a 32-bit constant serves as a lane mask.
    return constant(operand.bits ? ~uint32_t(0) : 0, 4);
  if (operand.kind != syntax::Operand::Kind::Register || operand.second >= 0 ||
      entry.registers[operand.reg].width != syntax::Width::Predicate)
    fail("expected a predicate");
  return registerSlots[operand.reg];
}

std::optional<syntax::Operand> Decoder::takeSecond(syntax::Operand &pair) {
  if (pair.second < 0)
    return std::nullopt;
  syntax::Operand second;
  second.kind = syntax::Operand::Kind::Register;
  second.reg = pair.second;
  pair.second = -1;
  return second;
}

uint32_t Decoder::constant(uint64_t bits, unsigned bytes) {
  if (bytes < 8)
    bits &= (uint64_t(1) << (8 * bytes)) - 1;
  auto [entry, fresh] = constants.try_emplace({bits, bytes}, 0);
  if (fresh) {
    entry->second = allocate(bytes);
    for (unsigned lane = 0; lane < 32; ++lane)
      std::memcpy(&kernel.registerImage[entry->second + lane * bytes], &bits, bytes);
  }
  return entry->second;
}

std::optional<uint64_t> Decoder::symbolAddress(const std::string &name) const {
  auto found = symbols.find(name);
  if (found == symbols.end())
    return std::nullopt;
  return found->second;
}

std::optional<uint32_t> Decoder::specialSlot(const std::string &name) {
  if (auto found = specialSlots.find(name); found != specialSlots.end())
    return found->second;
  auto special = specialNames.find(name);
  if (special == specialNames.end())
    return std::nullopt;
  uint32_t slot = allocate(4);
  kernel.specials.push_back({slot, special->second});
  specialSlots[name] = slot;
  return slot;
}

uint32_t Decoder::source(const syntax::Operand &operand, unsigned bytes, bool floating) {
  using Kind = syntax::Operand::Kind;
  if (operand.negated)
    fail("only predicates can be negated with '!'");
  switch (operand.kind) {
  case Kind::Register:
    if (operand.second >= 0)
      fail("a pair of registers is not a source");
    if (registerBytes(operand) != bytes)
      fail("register '" + entry.registers[operand.reg].name + "' has " +
           std::to_string(8 * registerBytes(operand)) + " bits, expected " +
           std::to_string(8 * bytes));
    return registerSlots[operand.reg];
  case Kind::Integer:
    return constant(operand.bits, bytes);
  case Kind::Float32:
    if (bytes == 8 && floating)
      return constant(std::bit_cast<uint64_t>(
                          double(std::bit_cast<float>(static_cast<uint32_t>(operand.bits)))),
                      8);
    if (bytes != 4)
      fail("a 32-bit literal does not fit " + std::to_string(8 * bytes) + " bits");
    return constant(operand.bits, 4);
  case Kind::Float64:
    if (bytes == 4)
      return constant(std::bit_cast<uint32_t>(float(std::bit_cast<double>(operand.bits))), 4);
    if (bytes != 8)
      fail("a 64-bit literal does not fit " + std::to_string(8 * bytes) + " bits");
    return constant(operand.bits, 8);
  case Kind::Name:
  case Kind::Sum:
    if (operand.kind == Kind::Name)
      if (std::optional<uint32_t> slot = specialSlot(operand.name)) {
        if (bytes != 4)
          fail("special register '" + operand.name + "' has 32 bits, expected " +
               std::to_string(8 * bytes));
        return *slot;
      }
    if (std::optional<uint64_t> at = symbolAddress(operand.name)) {
      uint64_t value = *at + uint64_t(operand.offset);
      if (bytes < 4 || (bytes == 4 && value >> 32))
        fail("the address of '" + operand.name + "' does not fit " + std::to_string(8 * bytes) +
             " bits");
      return constant(value, bytes);
    }
    if (operand.name[0] == '%')
      fail("register '" + operand.name + "' is not known");
    fail("symbol '" + operand.name + "' is not known");
  default:
    fail("expected a register or a literal");
  }
}

uint64_t Decoder::integer(const syntax::Operand &operand) {
  if (operand.kind != syntax::Operand::Kind::Integer)
    fail("expected an integer literal");
  return operand.bits;
}

void Decoder::address(const syntax::Operand &operand, Space space, unsigned bytes, unsigned count) {
  if (operand.kind != syntax::Operand::Kind::Address || operand.elements.size() != 1)
    fail("expected an address in brackets");
  Access &access = op().access;
  access.space = space;
  access.bytes = static_cast<uint8_t>(bytes);
  access.count = static_cast<uint8_t>(count);
  access.offset = operand.offset;
  access.usedBytes = current->usedBytes;
  const syntax::Operand &base = operand.elements[0];
  switch (base.kind) {
  case syntax::Operand::Kind::Register:
    if (registerBytes(base) < 4 || registerBytes(base) > 8)
      fail("an address needs a register of 32 or 64 bits");
    access.hasRegister = true;
    access.wideRegister = registerBytes(base) == 8;
    access.address = registerSlots[base.reg];
    if (!access.wideRegister && (space == Space::Global || space == Space::Generic))
      fail("a global address needs 64 bits");
    return;
  case syntax::Operand::Kind::Integer:
    access.offset = static_cast<int64_t>(base.bits);
    return;
  case syntax::Operand::Kind::Name:
    if (std::optional<uint64_t> at = symbolAddress(base.name)) {
      access.offset += static_cast<int64_t>(*at);
      return;
    }
    fail("symbol '" + base.name + "' is not known");
  default:
    fail("this form of address is not known");
  }
}

uint32_t Decoder::branchTarget(const std::string &label) {
  int64_t position = entry.label(current->scope, label);
  if (position < 0)
    fail("label '" + label + "' is not known");
  return static_cast<uint32_t>(position);
}

void Decoder::branchTable(const std::string &name) {
  const std::vector<std::string> *labels = entry.branchTargets(current->scope, name);
  if (!labels)
    fail("branch targets '" + name + "' are not known");
  std::vector<uint32_t> table;
  for (const std::string &label : *labels)
    table.push_back(branchTarget(label));
  op().target = static_cast<uint32_t>(kernel.branchTables.size());
  kernel.branchTables.push_back(std::move(table));
}

} // namespace attncc::simulator
