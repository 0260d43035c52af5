//===- Lexer.cpp ----------------------------------------------------------===//
//
// See Lexer.h. Literals: decimal, 0x, 0b, octal, with an optional U; 0f + 8 and
// 0d + 16 hexadecimal digits; decimal with a point. PTX ISA §4.5.
// Pinned by test/simulator/ParserTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Lexer.h"

#include <bit>
#include <cctype>
#include <cstdlib>
#include <string>

namespace attncc::simulator {

namespace {

bool startsWord(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' ||
         c == '.';
}

bool continuesWord(char c) { return startsWord(c) || std::isdigit(static_cast<unsigned char>(c)); }

class Lexer {
public:
  explicit Lexer(std::string_view text) : text(text) {}

  std::vector<Token> run() {
    std::vector<Token> tokens;
    do
      tokens.push_back(next());
    while (tokens.back().kind != Token::Kind::End);
    return tokens;
  }

private:
  char at(size_t offset) const { return offset < text.size() ? text[offset] : '\0'; }

  void skipBlank() {
    while (position < text.size()) {
      char c = text[position];
      if (c == '\n') {
        ++line;
        ++position;
      } else if (std::isspace(static_cast<unsigned char>(c))) {
        ++position;
      } else if (c == '/' && at(position + 1) == '/') {
        while (position < text.size() && text[position] != '\n')
          ++position;
      } else if (c == '/' && at(position + 1) == '*') {
        position += 2;
        while (position < text.size() && !(text[position] == '*' && at(position + 1) == '/'))
          line += text[position++] == '\n';
        position = std::min(position + 2, text.size());
      } else {
        return;
      }
    }
  }

  Token finish(Token::Kind kind, size_t begin, uint64_t bits = 0) {
    return {kind, text.substr(begin, position - begin), bits, line, begin};
  }

  Token next() {
    skipBlank();
    size_t begin = position;
    if (position >= text.size())
      return finish(Token::Kind::End, begin);
    char c = text[position];
    if (c == '"') {
      ++position;
      while (position < text.size() && text[position] != '"' && text[position] != '\n')
        position += text[position] == '\\' ? 2 : 1;
      position = std::min(position, text.size());
      Token token = finish(at(position) == '"' ? Token::Kind::String : Token::Kind::Bad, begin + 1);
      token.begin = begin;
      ++position;
      return token;
    }
    if (std::isdigit(static_cast<unsigned char>(c)))
      return number();
    if (startsWord(c)) {
      while (position < text.size() &&
             (continuesWord(text[position]) ||
              (text[position] == ':' && at(position + 1) == ':' && startsWord(at(position + 2)))))
        position += text[position] == ':' ? 2 : 1;
      return finish(Token::Kind::Word, begin);
    }
    ++position;
    if ((c == '<' || c == '>') && at(position) == c)
      ++position;
    if (std::string_view("{}()[]<>,;:=+-*/%!~|&^@").find(c) != std::string_view::npos)
      return finish(Token::Kind::Punctuation, begin);
    return finish(Token::Kind::Bad, begin);
  }

  Token hexadecimalFloat(size_t begin, Token::Kind kind, unsigned digits) {
    position += 2;
    uint64_t bits = 0;
    unsigned count = 0;
    while (std::isxdigit(static_cast<unsigned char>(at(position))) && count < digits) {
      bits = bits * 16 + std::strtoul(std::string(1, text[position]).c_str(), nullptr, 16);
      ++position;
      ++count;
    }
    return finish(count == digits ? kind : Token::Kind::Bad, begin, bits);
  }

  Token number() {
    size_t begin = position;
    char second = at(position + 1);
    if (at(position) == '0' && (second == 'f' || second == 'F'))
      return hexadecimalFloat(begin, Token::Kind::Float32, 8);
    if (at(position) == '0' && (second == 'd' || second == 'D'))
      return hexadecimalFloat(begin, Token::Kind::Float64, 16);
    int base = 10;
    if (at(position) == '0' && (second == 'x' || second == 'X'))
      base = 16;
    else if (at(position) == '0' && (second == 'b' || second == 'B'))
      base = 2;
    else if (at(position) == '0' && std::isdigit(static_cast<unsigned char>(second)))
      base = 8;
    if (base == 2 || base == 16)
      position += 2;
    size_t digits = position;
    while (base == 16 ? std::isxdigit(static_cast<unsigned char>(at(position)))
                      : std::isdigit(static_cast<unsigned char>(at(position))))
      ++position;
    if (base == 10 && at(position) == '.') {
      while (std::isdigit(static_cast<unsigned char>(at(position))) || at(position) == '.')
        ++position;
      if (at(position) == 'e' || at(position) == 'E') {
        position += at(position + 1) == '-' || at(position + 1) == '+' ? 2 : 1;
        while (std::isdigit(static_cast<unsigned char>(at(position))))
          ++position;
      }
      double value =
          std::strtod(std::string(text.substr(begin, position - begin)).c_str(), nullptr);
      return finish(Token::Kind::Float64, begin, std::bit_cast<uint64_t>(value));
    }
    uint64_t value =
        std::strtoull(std::string(text.substr(digits, position - digits)).c_str(), nullptr, base);
    bool bad = position == digits;
    if (base == 8)
      bad |= text.substr(digits, position - digits).find_first_of("89") != std::string_view::npos;
    if (at(position) == 'U')
      ++position;
    bad |= continuesWord(at(position));
    return finish(bad ? Token::Kind::Bad : Token::Kind::Integer, begin, value);
  }

  std::string_view text;
  size_t position = 0;
  unsigned line = 1;
};

} // namespace

std::vector<Token> tokenize(std::string_view text) { return Lexer(text).run(); }

} // namespace attncc::simulator
