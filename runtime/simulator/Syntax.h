//===- Syntax.h - what the parser hands to the decoder --------------------===//
//
// Internal to the simulator. A PTX file as text says it: names of registers are
// resolved through their scopes (PTX ISA §4, §5.4; inner scopes shadow outer ones),
// labels to instruction positions, everything else is still words.
//
// Pinned by test/simulator/ParserTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Simulator.h"

#include <map>
#include <utility>

namespace attncc::simulator::syntax {

enum class Width : uint8_t { Predicate, B16, B32, B64, B128 };

struct Operand {
  enum class Kind : uint8_t {
    Register, ///< reg; `second` is q of p|q; `negated` for !p
    Integer,  ///< bits
    Float32,  ///< bits (32)
    Float64,  ///< bits (64)
    Name,     ///< special register, symbol or label: name
    Sum,      ///< symbol + offset: name, offset
    Address,  ///< [elements[0] + offset, elements[1]…]
    Vector,   ///< {elements…}
    Sink,     ///< _, also with a `second`
  };
  Kind kind = Kind::Sink;
  bool negated = false;
  int32_t reg = -1, second = -1;
  uint64_t bits = 0;
  int64_t offset = 0;
  std::string name;
  std::vector<Operand> elements;
};

struct Instruction {
  int32_t guard = -1; ///< predicate register
  bool guardNegated = false;
  std::string opcode;
  std::vector<std::string> modifiers; ///< in the order of the text, without dots
  std::vector<Operand> operands;
  unsigned line = 0, column = 0; ///< 1-based
  uint32_t scope = 0;
  uint64_t usedBytes = ~uint64_t(0); ///< .pragma "used_bytes_mask"
  std::string text;
  std::string source; ///< .loc in force
};

struct Register {
  Width width = Width::B32;
  std::string name;
};

/// A variable in .global, .const, .shared, .local or .param space.
struct Variable {
  std::string name;
  std::string space;
  uint64_t bytes = 0; ///< 0 with `unsized`
  uint32_t align = 1;
  bool unsized = false;           ///< name[] without initialiser: dynamic shared memory
  bool pointer = false;           ///< a parameter declared with .ptr
  std::vector<std::byte> initial; ///< shorter than `bytes`: zeros follow
  struct Reference {
    uint64_t offset, bytes;
    std::string symbol;
    int64_t addend;
    bool generic; ///< generic(symbol): not the address inside the symbol's space
  };
  std::vector<Reference> references; ///< symbol addresses inside the initialiser
};

struct Scope {
  int32_t parent = -1;
  std::map<std::string, uint32_t> labels; ///< name -> position of an instruction
  std::map<std::string, std::vector<std::string>> branchTargets;
};

struct Entry {
  std::string name;
  unsigned line = 0;
  std::vector<Variable> parameters;
  std::vector<Variable> variables; ///< .shared and .local of the body
  std::vector<Register> registers;
  std::vector<Instruction> instructions;
  std::vector<Scope> scopes;
  Dim3 requiredBlock{0, 0, 0};
  uint32_t maxThreads = 0;
  uint32_t maxRegisters = 0; ///< .maxnreg, 0 where absent
  uint32_t minBlocks = 0;    ///< .minnctapersm, 0 where absent

  /// Position of a label as seen from `scope`, or -1.
  int64_t label(uint32_t scope, const std::string &name) const;
  const std::vector<std::string> *branchTargets(uint32_t scope, const std::string &name) const;
};

struct File {
  std::string target; ///< e.g. sm_80
  std::vector<Variable> variables;
  std::vector<Entry> entries;
};

/// Parses PTX text. `name` is the file name of diagnostics.
Result<File> parse(std::string_view text, const std::string &name);

} // namespace attncc::simulator::syntax
