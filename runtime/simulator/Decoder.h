//===- Decoder.h - syntax to ops ------------------------------------------===//
//
// Internal to the simulator. One Decoder per kernel; for each instruction the function
// that is registered for its opcode consumes every modifier and resolves every operand.
// What is left over is an error, so nothing is ignored silently. The order of modifiers
// does not matter, except among types (ptxas accepts any).
//
// Each family of instructions has one file that defines its handlers and one table here.
// Pinned by test/simulator/ParserTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Lanes.h"

#include <initializer_list>
#include <map>
#include <optional>
#include <set>

namespace attncc::simulator {

enum class Type : uint8_t {
  Pred,
  B8,
  U8,
  S8,
  B16,
  U16,
  S16,
  B32,
  U32,
  S32,
  B64,
  U64,
  S64,
  F16,
  F16x2,
  BF16,
  BF16x2,
  TF32,
  F32,
  F64,
};

unsigned bytesOf(Type type);
bool isSigned(Type type);
bool isInteger(Type type); ///< untyped bits count as unsigned integers
const char *toString(Type type);

/// Thrown by decoding functions; parseModule turns it into an Error.
struct DecodeError {
  unsigned line, column;
  std::string message;
};

class Decoder {
public:
  Decoder(const Module &module, const syntax::Entry &entry, Kernel &kernel);
  void run();

  const syntax::Instruction &instruction() const { return *current; }
  Op &op() { return *result; }
  void waitsForGrid() { kernel.waitsForGrid = true; }
  void usesAsyncProxy() { kernel.usesAsyncProxy = true; }
  uint64_t addBulkForm(const BulkForm &form);
  uint64_t addProductForm(ProductForm form);
  uint32_t launchRegisters() const { return kernel.launchRegisters; }
  /// Fails unless the module's .target has the instruction: sm_90 and later, or sm_90a alone.
  void needsHopper();
  void needsHopperOnly();
  [[noreturn]] void fail(const std::string &message) const;
  [[noreturn]] void unknown() const; ///< no form of the opcode fits

  //===--- modifiers ------------------------------------------------------===//

  /// Consumes `modifier` if it is there.
  bool has(std::string_view modifier);
  /// Consumes the first of `choices` that is there; -1 if none is.
  int oneOf(std::initializer_list<std::string_view> choices);
  void require(std::string_view modifier);
  /// Consumes the next type modifier.
  Type type();
  std::optional<Type> maybeType();

  //===--- operands -------------------------------------------------------===//

  size_t operands() const { return current->operands.size(); }
  const syntax::Operand &operand(size_t index) const;
  void expectOperands(size_t least, size_t most);
  void expectOperands(size_t count) { expectOperands(count, count); }

  /// Slot of a register that holds exactly `bytes` per lane; a sink gets a scratch slot.
  uint32_t destination(const syntax::Operand &operand, unsigned bytes);
  uint32_t destinationPredicate(const syntax::Operand &operand);
  uint32_t scratch() const { return 0; }
  /// Slot of a register of exactly `bytes`, or of a literal, symbol or special register.
  uint32_t source(const syntax::Operand &operand, unsigned bytes, bool floating = false);
  /// Slot of a predicate, which the handler must invert if `negated`.
  uint32_t sourcePredicate(const syntax::Operand &operand, bool &negated);
  /// Takes q off the pair p|q, if it is one.
  static std::optional<syntax::Operand> takeSecond(syntax::Operand &pair);
  /// Slot of a literal.
  uint32_t constant(uint64_t bits, unsigned bytes);
  /// Bytes per lane of a register operand, 0 for other operands and predicates.
  unsigned registerBytes(const syntax::Operand &operand) const;
  uint64_t integer(const syntax::Operand &operand);
  /// Fills op().access from `[…]`.
  void address(const syntax::Operand &operand, Space space, unsigned bytes, unsigned count);
  /// .global, .shared…; Generic if none is written.
  Space space();
  uint32_t branchTarget(const std::string &label);
  void branchTable(const std::string &name);
  /// Elements of a vector operand, or the operand itself.
  std::vector<const syntax::Operand *> elements(size_t index) const;

  /// The common form: destination, then sources, all registers of exactly the widths of
  /// the function's result and parameters.
  template <auto Function> void elementwise() { elementwiseForm(Elementwise<Function>{}); }

private:
  template <class D, class... S, D (*Function)(S...)>
  void elementwiseForm(ElementwiseOf<D, Function, S...>) {
    expectOperands(1 + sizeof...(S));
    op().run = &ElementwiseOf<D, Function, S...>::run;
    op().slot[0] = destination(operand(0), sizeof(D));
    size_t index = 1;
    ((op().slot[index] = source(operand(index), sizeof(S), std::is_floating_point_v<S>), ++index),
     ...);
  }

  void declareRegisters();
  void declareVariables();
  void numberProductRegisters();
  void decode(const syntax::Instruction &instruction, Op &op);
  uint32_t allocate(unsigned bytes);
  std::optional<uint64_t> symbolAddress(const std::string &name) const;
  std::optional<uint32_t> specialSlot(const std::string &name);

  const Module &module;
  const syntax::Entry &entry;
  Kernel &kernel;
  const syntax::Instruction *current = nullptr;
  Op *result = nullptr;
  std::vector<bool> consumed;
  std::vector<uint32_t> registerSlots;
  std::map<std::pair<uint64_t, unsigned>, uint32_t> constants;
  std::map<std::string, uint32_t> specialSlots;
  std::map<std::string, uint64_t> symbols; ///< shared, local, param and module variables
};

using DecodeFunction = void (*)(Decoder &);
using DecodeTable = std::map<std::string_view, DecodeFunction>;

// One per family file.
void addMoves(DecodeTable &table);
void addIntegers(DecodeTable &table);
void addComparisons(DecodeTable &table);
void addFloats(DecodeTable &table);
void addConversions(DecodeTable &table);
void addMemory(DecodeTable &table);
void addAtomics(DecodeTable &table);
void addAsyncCopies(DecodeTable &table);
void addMatrices(DecodeTable &table);
void addMbarriers(DecodeTable &table);
void addWgmma(DecodeTable &table);
void addCollectives(DecodeTable &table);
void addControl(DecodeTable &table);

// Several families share an opcode ("add", "min"…): the integer form hands over.
// bar.warp.sync is a collective though its opcode is that of the barriers.
void decodeFloat(Decoder &decoder, Type type);
void decodeHalf(Decoder &decoder, Type type);
void decodeWarpBarrier(Decoder &decoder);
/// cp.async.bulk, of which cp, async and bulk have been taken.
void decodeBulkCopy(Decoder &decoder);

} // namespace attncc::simulator
