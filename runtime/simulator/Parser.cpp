//===- Parser.cpp - PTX tokens to syntax ----------------------------------===//
//
// Recursive descent over the tokens of Lexer.h (PTX ISA §4, §5, §11). Statements end
// at ';', never at a line's end, except .loc and .file. Registers live in a chain of
// scopes, one per pair of braces; labels are kept per scope and looked up innermost
// first when the decoder meets a branch.
//
// A problem is one diagnostic: file:line and what was expected.
// Pinned by test/simulator/ParserTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Lexer.h"
#include "runtime/simulator/Syntax.h"

#include <bit>
#include <cstring>
#include <optional>

namespace attncc::simulator::syntax {

namespace {

/// Thrown inside this file only; parse() turns it into an Error.
struct SyntaxError {
  unsigned line, column;
  std::string message;
};

struct TypeName {
  const char *name;
  unsigned bytes;
  std::optional<Width> width;
};

const TypeName typeNames[] = {
    {".pred", 1, Width::Predicate}, {".b8", 1, std::nullopt},   {".u8", 1, std::nullopt},
    {".s8", 1, std::nullopt},       {".b16", 2, Width::B16},    {".u16", 2, Width::B16},
    {".s16", 2, Width::B16},        {".f16", 2, Width::B16},    {".bf16", 2, Width::B16},
    {".b32", 4, Width::B32},        {".u32", 4, Width::B32},    {".s32", 4, Width::B32},
    {".f32", 4, Width::B32},        {".f16x2", 4, Width::B32},  {".bf16x2", 4, Width::B32},
    {".b64", 8, Width::B64},        {".u64", 8, Width::B64},    {".s64", 8, Width::B64},
    {".f64", 8, Width::B64},        {".b128", 16, Width::B128},
};

const TypeName *findType(std::string_view name) {
  for (const TypeName &type : typeNames)
    if (name == type.name)
      return &type;
  return nullptr;
}

class Parser {
public:
  Parser(std::string_view text) : text(text), tokens(tokenize(text)) {}

  File run() {
    while (!atEnd())
      topLevel();
    return std::move(file);
  }

private:
  //===--- tokens ---------------------------------------------------------===//

  const Token &peek(size_t ahead = 0) const {
    return tokens[std::min(position + ahead, tokens.size() - 1)];
  }
  bool atEnd() const { return peek().kind == Token::Kind::End; }
  const Token &take() {
    const Token &token = peek();
    if (token.kind == Token::Kind::Bad)
      fail({});
    if (position + 1 < tokens.size())
      ++position;
    return token;
  }
  bool is(std::string_view text) const {
    return peek().text == text && peek().kind != Token::Kind::String && !atEnd();
  }
  bool accept(std::string_view text) {
    if (!is(text))
      return false;
    take();
    return true;
  }
  [[noreturn]] void fail(std::string message) const {
    if (peek().kind == Token::Kind::Bad)
      message = "'" + std::string(peek().text) + "' is not a PTX token";
    throw SyntaxError{peek().line, columnOf(peek()), message};
  }
  unsigned columnOf(const Token &token) const {
    size_t newline = text.substr(0, token.begin).rfind('\n');
    return static_cast<unsigned>(token.begin -
                                 (newline == std::string_view::npos ? 0 : newline + 1) + 1);
  }
  std::string found() const { return atEnd() ? "the end" : "'" + std::string(peek().text) + "'"; }
  void expect(std::string_view text) {
    if (!accept(text))
      fail("expected '" + std::string(text) + "', found " + found());
  }
  std::string word(const char *what) {
    if (peek().kind != Token::Kind::Word)
      fail(std::string("expected ") + what + ", found " + found());
    return std::string(take().text);
  }
  uint64_t integer(const char *what) {
    if (peek().kind != Token::Kind::Integer)
      fail(std::string("expected ") + what + ", found " + found());
    return take().bits;
  }

  //===--- module ---------------------------------------------------------===//

  void topLevel() {
    if (accept(".version")) {
      take();
    } else if (accept(".target")) {
      file.target = word("a target");
      while (accept(","))
        word("a target option");
    } else if (accept(".address_size")) {
      if (integer("an address size") != 64)
        fail("expected .address_size 64");
    } else if (is(".file")) {
      fileDirective();
    } else if (accept(".section")) {
      while (!is("{"))
        word("a section name");
      skipBraces();
    } else if (accept(".pragma")) {
      take();
      expect(";");
    } else {
      while (accept(".visible") || accept(".extern") || accept(".weak") || accept(".common"))
        ;
      if (accept(".entry"))
        entry();
      else if (is(".func"))
        fail("functions are not supported: '.func'");
      else if (is(".global") || is(".const") || is(".shared"))
        file.variables.push_back(variable(false));
      else
        fail("expected a directive, found " + found());
    }
  }

  void fileDirective() {
    unsigned line = take().line;
    uint64_t number = integer("a file number");
    if (peek().kind != Token::Kind::String)
      fail("expected a file name, found " + found());
    files[number] = std::string(take().text);
    while (!atEnd() && peek().line == line)
      take();
  }

  void skipBraces() {
    expect("{");
    for (unsigned depth = 1; depth > 0;) {
      if (atEnd())
        fail("expected '}', found the end");
      depth += is("{");
      depth -= is("}");
      ++position;
    }
  }

  /// .space .align N .type name[size] = initialiser ;   (a parameter: no ';')
  Variable variable(bool parameter) {
    Variable result;
    result.space = std::string(take().text).substr(1);
    const TypeName *type = nullptr;
    unsigned vector = 1;
    bool aligned = false;
    while (!type) {
      if (accept(".align")) {
        result.align = static_cast<uint32_t>(integer("an alignment"));
        aligned = true;
      } else if (accept(".ptr")) {
        // .ptr .space .align N: the alignment speaks of what the pointer points to.
        result.pointer = true;
        while (is(".global") || is(".shared") || is(".const") || is(".local") || is(".param"))
          take();
        if (accept(".align"))
          integer("an alignment");
      } else if (accept(".v2")) {
        vector = 2;
      } else if (accept(".v4")) {
        vector = 4;
      } else if ((type = findType(peek().text))) {
        take();
      } else {
        fail("expected a type, found " + found());
      }
    }
    if (accept(".ptr")) {
      result.pointer = true;
      while (is(".global") || is(".shared") || is(".const") || is(".local") || is(".param"))
        take();
      if (accept(".align"))
        integer("an alignment");
    }
    uint64_t unit = type->bytes * vector;
    if (!aligned)
      result.align = static_cast<uint32_t>(unit);
    if (result.align == 0 || (result.align & (result.align - 1)))
      fail("alignment " + std::to_string(result.align) + " is not a power of two");
    result.name = word("a name");
    result.bytes = unit;
    while (accept("[")) {
      if (accept("]")) {
        result.unsized = true;
        result.bytes = 0;
        continue;
      }
      uint64_t count = static_cast<uint64_t>(expression());
      if (__builtin_mul_overflow(result.bytes, count, &result.bytes))
        fail("'" + result.name + "' has more than 2^64 bytes");
      expect("]");
    }
    if (accept("=")) {
      initialiser(result, type->bytes);
      if (result.initial.size() > result.bytes) {
        if (!result.unsized)
          fail("initialiser of '" + result.name + "' has " + std::to_string(result.initial.size()) +
               " bytes, expected at most " + std::to_string(result.bytes));
        result.bytes = result.initial.size();
        result.unsized = false;
      }
    }
    if (!parameter)
      expect(";");
    return result;
  }

  void initialiser(Variable &variable, unsigned bytes) {
    Nested nested(*this, "an initialiser");
    if (accept("{")) {
      while (!is("}")) {
        initialiser(variable, bytes);
        if (!accept(","))
          break;
      }
      expect("}");
      return;
    }
    uint64_t bits = 0;
    bool generic = is("generic") && peek(1).text == "(";
    if (generic || peek().kind == Token::Kind::Word) {
      if (generic) {
        take();
        expect("(");
      }
      Variable::Reference reference{variable.initial.size(), bytes, word("a symbol"), 0, generic};
      if (generic)
        expect(")");
      if (is("+") || is("-"))
        reference.addend = expression();
      variable.references.push_back(reference);
    } else if (peek().kind == Token::Kind::Float32 || peek().kind == Token::Kind::Float64) {
      const Token &token = take();
      bits = token.bits;
      if (token.kind == Token::Kind::Float64 && bytes == 4)
        bits = std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(bits)));
      if (token.kind == Token::Kind::Float32 && bytes == 8)
        bits = std::bit_cast<uint64_t>(
            static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits))));
    } else {
      bits = static_cast<uint64_t>(expression());
    }
    size_t offset = variable.initial.size();
    variable.initial.resize(offset + bytes);
    std::memcpy(&variable.initial[offset], &bits, std::min<size_t>(bytes, 8));
  }

  //===--- functions ------------------------------------------------------===//

  void entry() {
    file.entries.emplace_back();
    current = &file.entries.back();
    current->line = peek().line;
    current->name = word("a kernel name");
    loc.clear();
    if (accept("(")) {
      while (!is(")")) {
        if (!is(".param"))
          fail("expected '.param', found " + found());
        current->parameters.push_back(variable(true));
        if (!accept(","))
          break;
      }
      expect(")");
    }
    while (!is("{"))
      launchDirective();
    registerScopes.clear();
    body();
    for (const Scope &scope : current->scopes)
      for (const auto &[name, target] : scope.labels)
        if (target > current->instructions.size())
          fail("label '" + name + "' has no position");
    current = nullptr;
  }

  Dim3 dimensions() {
    Dim3 result;
    result.x = static_cast<uint32_t>(integer("a block size"));
    if (accept(","))
      result.y = static_cast<uint32_t>(integer("a block size"));
    if (accept(","))
      result.z = static_cast<uint32_t>(integer("a block size"));
    return result;
  }

  void launchDirective() {
    if (accept(".reqntid"))
      current->requiredBlock = dimensions();
    else if (accept(".maxntid"))
      current->maxThreads = static_cast<uint32_t>(dimensions().count());
    else if (accept(".minnctapersm"))
      current->minBlocks = static_cast<uint32_t>(integer("a number"));
    else if (accept(".maxnreg"))
      current->maxRegisters = static_cast<uint32_t>(integer("a number"));
    else if (accept(".explicitcluster"))
      ;
    else if (accept(".maxclusterrank"))
      integer("a number");
    else if (accept(".reqnctapercluster")) {
      Dim3 cluster = dimensions();
      if (cluster.count() != 1)
        fail("clusters have " + std::to_string(cluster.count()) +
             " blocks, the simulator runs clusters of one");
    } else if (accept(".pragma")) {
      take();
      expect(";");
    } else
      fail("expected '{' or a kernel directive, found " + found());
  }

  struct RegisterScope {
    uint32_t scope;
    std::map<std::string, int32_t, std::less<>> names;
    struct Family {
      int32_t first;
      uint32_t count;
    };
    std::map<std::string, Family, std::less<>> families; ///< %r<145>
  };

  void body() {
    int32_t parent = registerScopes.empty() ? -1 : int32_t(registerScopes.back().scope);
    uint32_t scope = static_cast<uint32_t>(current->scopes.size());
    current->scopes.push_back({parent, {}, {}});
    registerScopes.push_back({scope, {}, {}});
    expect("{");
    if (registerScopes.size() > deepest)
      fail("braces are nested deeper than " + std::to_string(deepest));
    while (!accept("}")) {
      if (atEnd())
        fail("expected '}', found the end");
      statement();
    }
    registerScopes.pop_back();
  }

  void statement() {
    if (is("{"))
      return body();
    if (accept(";"))
      return;
    if (is(".reg"))
      return registerDeclaration();
    if (is(".shared") || is(".local")) {
      current->variables.push_back(variable(false));
      return;
    }
    if (accept(".loc"))
      return locDirective();
    if (is(".file"))
      return fileDirective();
    if (accept(".pragma")) {
      pragma();
      return;
    }
    if (peek().kind == Token::Kind::Word && peek(1).text == ":") {
      std::string name = word("a label");
      take();
      Scope &scope = current->scopes[registerScopes.back().scope];
      if (accept(".branchtargets")) {
        std::vector<std::string> targets;
        do
          targets.push_back(word("a label"));
        while (accept(","));
        expect(";");
        scope.branchTargets[name] = targets;
        return;
      }
      if (!scope.labels.emplace(name, uint32_t(current->instructions.size())).second)
        fail("label '" + name + "' is defined twice");
      return;
    }
    instruction();
  }

  void pragma() {
    if (peek().kind != Token::Kind::String)
      fail("expected a string, found " + found());
    std::string value(peek().text);
    const std::string mask = "used_bytes_mask ";
    if (value.compare(0, mask.size(), mask) == 0)
      usedBytes = std::strtoull(value.c_str() + mask.size(), nullptr, 0);
    else if (value != "nounroll")
      fail("pragma \"" + value + "\" is not known");
    take();
    expect(";");
  }

  void locDirective() {
    unsigned line = peek().line;
    uint64_t number = integer("a file number");
    uint64_t at = integer("a line");
    uint64_t column = integer("a column");
    while (!atEnd() && peek().line == line)
      take();
    auto name = files.find(number);
    loc = (name == files.end() ? "file " + std::to_string(number) : name->second) + ":" +
          std::to_string(at) + ":" + std::to_string(column);
  }

  int32_t newRegister(Width width, std::string name) {
    current->registers.push_back({width, std::move(name)});
    return static_cast<int32_t>(current->registers.size()) - 1;
  }

  void registerDeclaration() {
    take();
    const TypeName *type = findType(peek().text);
    if (!type || !type->width)
      fail("expected a register type, found " + found());
    take();
    RegisterScope &scope = registerScopes.back();
    do {
      std::string name = word("a register");
      if (accept("<")) {
        uint64_t count = integer("a number of registers");
        if (count > 1u << 18 || current->registers.size() > 1u << 18)
          fail("expected at most 262144 registers, found " + std::to_string(count));
        expect(">");
        scope.families[name] = {int32_t(current->registers.size()), uint32_t(count)};
        for (uint64_t i = 0; i < count; ++i)
          newRegister(*type->width, name + std::to_string(i));
      } else {
        scope.names[name] = newRegister(*type->width, name);
      }
    } while (accept(","));
    expect(";");
  }

  int32_t findRegister(std::string_view name) const {
    size_t digits = name.size();
    while (digits > 0 && std::isdigit(static_cast<unsigned char>(name[digits - 1])))
      --digits;
    bool numbered = digits < name.size() && (name[digits] != '0' || digits + 1 == name.size()) &&
                    name.size() - digits < 9;
    uint32_t number = numbered ? uint32_t(std::stoul(std::string(name.substr(digits)))) : 0;
    for (auto scope = registerScopes.rbegin(); scope != registerScopes.rend(); ++scope) {
      if (auto it = scope->names.find(name); it != scope->names.end())
        return it->second;
      if (numbered)
        if (auto it = scope->families.find(name.substr(0, digits));
            it != scope->families.end() && number < it->second.count)
          return it->second.first + int32_t(number);
    }
    return -1;
  }

  //===--- instructions ---------------------------------------------------===//

  void instruction() {
    Instruction result;
    size_t begin = peek().begin;
    result.line = peek().line;
    result.column = columnOf(peek());
    result.scope = registerScopes.back().scope;
    result.source = loc;
    result.usedBytes = std::exchange(usedBytes, ~uint64_t(0));
    if (accept("@")) {
      result.guardNegated = accept("!");
      std::string name = word("a predicate");
      result.guard = findRegister(name);
      if (result.guard < 0 || current->registers[result.guard].width != Width::Predicate)
        fail("'" + name + "' is not a predicate register");
    }
    std::string mnemonic = word("an instruction");
    if (mnemonic[0] == '.' || mnemonic[0] == '%')
      fail("expected an instruction, found '" + mnemonic + "'");
    size_t dot = mnemonic.find('.');
    result.opcode = mnemonic.substr(0, dot);
    while (dot != std::string::npos) {
      size_t end = mnemonic.find('.', dot + 1);
      result.modifiers.push_back(mnemonic.substr(dot + 1, end - dot - 1));
      dot = end;
    }
    while (!is(";")) {
      result.operands.push_back(operand());
      if (!accept(","))
        break;
    }
    size_t end = peek().begin;
    expect(";");
    for (char c : text.substr(begin, end - begin))
      if (!std::isspace(static_cast<unsigned char>(c)))
        result.text += c;
      else if (!result.text.empty() && result.text.back() != ' ')
        result.text += ' ';
    current->instructions.push_back(std::move(result));
  }

  /// Counts nesting while it lives: a file must not use up the stack.
  struct Nested {
    Nested(Parser &parser, const char *what) : parser(parser) {
      if (++parser.depth > deepest)
        parser.fail(std::string(what) + " is nested deeper than " + std::to_string(deepest));
    }
    ~Nested() { --parser.depth; }
    Parser &parser;
  };

  Operand operand() {
    Nested nested(*this, "an operand");
    Operand result;
    if (accept("{")) {
      result.kind = Operand::Kind::Vector;
      while (!is("}")) {
        result.elements.push_back(operand());
        if (!accept(","))
          break;
      }
      expect("}");
      return result;
    }
    if (accept("[")) {
      result.kind = Operand::Kind::Address;
      result.elements.push_back(operand());
      if (Operand &base = result.elements[0]; base.kind == Operand::Kind::Sum) {
        result.offset = base.offset;
        base.kind = Operand::Kind::Name;
      } else if (base.kind == Operand::Kind::Register && (is("+") || is("-"))) {
        result.offset = expression();
      }
      while (accept(","))
        result.elements.push_back(operand());
      expect("]");
      return result;
    }
    if (is("!") && peek(1).kind == Token::Kind::Word) {
      take();
      result = operand();
      result.negated = true;
      return result;
    }
    if (peek().kind == Token::Kind::Float32 || peek().kind == Token::Kind::Float64) {
      const Token &token = take();
      result.kind =
          token.kind == Token::Kind::Float32 ? Operand::Kind::Float32 : Operand::Kind::Float64;
      result.bits = token.bits;
      return result;
    }
    if (is("-") && peek(1).kind == Token::Kind::Float64) {
      take();
      result.kind = Operand::Kind::Float64;
      result.bits = take().bits ^ (uint64_t(1) << 63);
      return result;
    }
    if (peek().kind == Token::Kind::Word && !is("WARP_SZ")) {
      std::string name = word("an operand");
      if (name != "_")
        result.reg = findRegister(name);
      if (result.reg >= 0 || name == "_") {
        if (name != "_")
          result.kind = Operand::Kind::Register;
        if (accept("|")) {
          std::string second = word("a register");
          result.second = second == "_" ? -1 : findRegister(second);
          if (result.second < 0 && second != "_")
            fail("'" + second + "' is not a register");
        }
        return result;
      }
      result.kind = Operand::Kind::Name;
      result.name = name;
      if (is("+") || is("-")) {
        result.kind = Operand::Kind::Sum;
        result.offset = expression();
      }
      return result;
    }
    result.kind = Operand::Kind::Integer;
    result.bits = static_cast<uint64_t>(expression());
    return result;
  }

  //===--- constant expressions -------------------------------------------===//

  int64_t expression(int minimum = 0) {
    static const struct {
      const char *text;
      int precedence;
    } operators[] = {{"|", 1}, {"^", 2}, {"&", 3}, {"<<", 4}, {">>", 4},
                     {"+", 5}, {"-", 5}, {"*", 6}, {"/", 6}};
    int64_t left = is("+") || peek().kind == Token::Kind::Punctuation ? unary() : primary();
    while (true) {
      const char *found = nullptr;
      int precedence = 0;
      for (auto &candidate : operators)
        if (is(candidate.text) && candidate.precedence >= minimum) {
          found = candidate.text;
          precedence = candidate.precedence;
        }
      if (!found)
        return left;
      char kind = *found;
      take();
      int64_t right = expression(precedence + 1);
      uint64_t a = uint64_t(left), b = uint64_t(right);
      switch (kind) {
      case '|':
        a |= b;
        break;
      case '^':
        a ^= b;
        break;
      case '&':
        a &= b;
        break;
      case '<':
        a = b < 64 ? a << b : 0;
        break;
      case '>':
        a = b < 64 ? a >> b : 0;
        break;
      case '+':
        a += b;
        break;
      case '-':
        a -= b;
        break;
      case '*':
        a *= b;
        break;
      default:
        if (right == 0)
          fail("division by zero in a constant");
        a = right == -1 ? 0 - a : uint64_t(left / right);
      }
      left = int64_t(a);
    }
  }

  int64_t unary() {
    Nested nested(*this, "an expression");
    if (accept("-"))
      return int64_t(0 - uint64_t(unary()));
    if (accept("+"))
      return unary();
    if (accept("~"))
      return ~unary();
    if (accept("!"))
      return !unary();
    return primary();
  }

  int64_t primary() {
    Nested nested(*this, "an expression");
    if (accept("(")) {
      if (accept(".s64") || accept(".u64")) {
        expect(")");
        return unary();
      }
      int64_t value = expression();
      expect(")");
      return value;
    }
    if (accept("WARP_SZ"))
      return 32;
    if (peek().kind == Token::Kind::Integer)
      return int64_t(take().bits);
    fail("expected an operand, found " + found());
  }

  static constexpr unsigned deepest = 200;

  std::string_view text;
  std::vector<Token> tokens;
  size_t position = 0;
  unsigned depth = 0;
  File file;
  Entry *current = nullptr;
  std::vector<RegisterScope> registerScopes;
  std::map<uint64_t, std::string> files;
  std::string loc;
  uint64_t usedBytes = ~uint64_t(0);
};

} // namespace

int64_t Entry::label(uint32_t scope, const std::string &name) const {
  for (int32_t at = int32_t(scope); at >= 0; at = scopes[at].parent)
    if (auto it = scopes[at].labels.find(name); it != scopes[at].labels.end())
      return it->second;
  return -1;
}

const std::vector<std::string> *Entry::branchTargets(uint32_t scope,
                                                     const std::string &name) const {
  for (int32_t at = int32_t(scope); at >= 0; at = scopes[at].parent)
    if (auto it = scopes[at].branchTargets.find(name); it != scopes[at].branchTargets.end())
      return &it->second;
  return nullptr;
}

Result<File> parse(std::string_view text, const std::string &name) {
  try {
    return Parser(text).run();
  } catch (const SyntaxError &problem) {
    Error error = makeError(Status::InvalidPackage, problem.message);
    error.diagnostic.where.file = name;
    error.diagnostic.where.line = static_cast<int>(problem.line);
    error.diagnostic.where.column = static_cast<int>(problem.column);
    return error;
  }
}

} // namespace attncc::simulator::syntax
