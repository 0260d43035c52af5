//===- Lexer.h - PTX text to tokens ---------------------------------------===//
//
// Internal to the simulator. A word keeps its dots ("ld.global.v4.b32", "%tid.x",
// ".shared::cta"), since the parser splits mnemonics itself. PTX ISA §4.3-4.5.
// Pinned by test/simulator/ParserTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace attncc::simulator {

struct Token {
  enum class Kind : uint8_t { Word, Integer, Float32, Float64, String, Punctuation, End, Bad };
  Kind kind = Kind::End;
  std::string_view text; ///< a string without its quotes
  uint64_t bits = 0;     ///< value of a literal
  unsigned line = 0;
  size_t begin = 0; ///< offset in the file
};

/// All tokens, closed by one End. A Bad token holds text that is no token.
std::vector<Token> tokenize(std::string_view text);

} // namespace attncc::simulator
