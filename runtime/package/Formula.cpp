#include "runtime/package/Formula.h"

#include <algorithm>
#include <charconv>
#include <iterator>

using namespace attncc;
using namespace attncc::package;

static const char *const nameTexts[kNumNames] = {
    "rows",           "units",         "group",           "query_heads",
    "kv_heads",       "k_dim",         "v_dim",           "k_bytes",
    "v_bytes",        "q_bytes",       "page_size",       "max_sequences",
    "num_sequences",  "num_tokens",    "num_pages",       "max_query_length",
    "max_kv_length",  "num_parts",     "multiprocessors", "k_page_stride",
    "k_token_stride", "k_head_stride", "v_page_stride",   "v_token_stride",
    "v_head_stride",  "total_kv",      "total_chunk_kv",  "total_visible_kv"};

const char *package::nameText(Name name) { return nameTexts[static_cast<size_t>(name)]; }

// Long or deep rules are refused, so that evaluation has a fixed stack.
static constexpr size_t kMaxText = 4096;
static constexpr int kMaxDepth = 32;

namespace attncc::package {

/// Recursive descent; emits postfix steps. After the first error every function returns false.
class FormulaParser {
public:
  FormulaParser(std::string_view text, Formula &formula) : text(text), formula(formula) {}

  Result<void> parse() {
    if (text.size() > kMaxText)
      fail("is " + std::to_string(text.size()) + " characters long, at most " +
           std::to_string(kMaxText) + " are allowed");
    else if (expression(0)) {
      skipSpace();
      if (at < text.size())
        fail("has an unexpected \"" + std::string(1, text[at]) + "\"");
    }
    if (failed)
      return failure;
    return {};
  }

private:
  using Op = Formula::Op;

  bool fail(std::string message) {
    if (!failed) {
      failed = true;
      failure = makeError(Status::InvalidPackage,
                          "rule \"" + std::string(text.substr(0, 80)) + "\" " + std::move(message));
      failure.diagnostic.code = "package-rule";
      failure.diagnostic.where.line = 1;
      failure.diagnostic.where.column = static_cast<int>(at) + 1;
    }
    return false;
  }
  void skipSpace() {
    while (at < text.size() && text[at] == ' ')
      ++at;
  }
  bool peek(char c) {
    skipSpace();
    return at < text.size() && text[at] == c;
  }
  bool take(char c) {
    if (!peek(c))
      return false;
    ++at;
    return true;
  }
  bool expect(char c) {
    return take(c) ||
           fail(std::string("needs a \"") + c + "\" at column " + std::to_string(at + 1));
  }
  bool emit(Op op, int64_t value = 0) {
    formula.steps.push_back({op, value});
    return true;
  }

  bool expression(int depth) {
    if (depth > kMaxDepth)
      return fail("is nested deeper than " + std::to_string(kMaxDepth));
    if (!term(depth))
      return false;
    while (true) {
      Op op = peek('+') ? Op::Add : Op::Subtract;
      if (!take('+') && !take('-'))
        return true;
      if (!term(depth))
        return false;
      emit(op);
    }
  }
  bool term(int depth) {
    if (!factor(depth))
      return false;
    while (true) {
      Op op = peek('*') ? Op::Multiply : Op::Divide;
      if (!take('*') && !take('/'))
        return true;
      if (!factor(depth))
        return false;
      emit(op);
    }
  }
  bool factor(int depth) {
    if (take('('))
      return expression(depth + 1) && expect(')');
    skipSpace();
    size_t begin = at;
    while (at < text.size() && (isWord(text[at])))
      ++at;
    std::string_view word = text.substr(begin, at - begin);
    if (word.empty())
      return fail(at < text.size() ? "has an unexpected \"" + std::string(1, text[at]) + "\""
                                   : std::string("ends where a value is needed"));
    if (word[0] >= '0' && word[0] <= '9') {
      int64_t value = 0;
      auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), value);
      if (status != std::errc() || end != word.data() + word.size()) {
        at = begin;
        return fail("has \"" + std::string(word) + "\", which is not an integer of 64 bits");
      }
      return emit(Op::Integer, value);
    }
    if (peek('('))
      return call(word, begin, depth);
    for (size_t i = 0; i < kNumNames; ++i)
      if (word == nameTexts[i])
        return emit(Op::Variable, static_cast<int64_t>(i));
    at = begin;
    return fail("uses the unknown name \"" + std::string(word) + "\"");
  }
  bool call(std::string_view function, size_t begin, int depth) {
    Op op;
    if (function == "min")
      op = Op::Min;
    else if (function == "max")
      op = Op::Max;
    else if (function == "ceil_div")
      op = Op::CeilDiv;
    else if (function == "max_splits")
      op = Op::MaxSplits;
    else {
      at = begin;
      return fail("uses the unknown function \"" + std::string(function) + "\"");
    }
    bool two = op != Op::MaxSplits;
    return expect('(') && expression(depth + 1) &&
           (!two || (expect(',') && expression(depth + 1))) && expect(')') && emit(op);
  }
  static bool isWord(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }

  std::string_view text;
  Formula &formula;
  size_t at = 0;
  bool failed = false;
  Error failure;
};

} // namespace attncc::package

Result<Formula> Formula::parse(std::string_view text) {
  Formula formula;
  formula.source = std::string(text);
  FormulaParser parser(text, formula);
  if (Result<void> parsed = parser.parse(); !parsed)
    return parsed.error();
  return formula;
}

bool Formula::usesSplitRule() const {
  return std::any_of(steps.begin(), steps.end(),
                     [](const Step &step) { return step.op == Op::MaxSplits; });
}

/// Floor division; the divisor is not zero.
static bool floorDivide(int64_t a, int64_t b, int64_t &result) {
  if (a == INT64_MIN && b == -1)
    return false;
  result = a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
  return true;
}

Result<int64_t> Formula::evaluate(const NameValues &values, const SplitRule *rule) const {
  auto fail = [&](const std::string &what) {
    return makeError(Status::InvalidPackage, "rule \"" + source + "\" " + what);
  };
  // Each level of parentheses holds at most three pending values: of a sum, of a product, and the
  // first argument of a function.
  int64_t stack[3 * (kMaxDepth + 2)];
  size_t top = 0;
  for (const Step &step : steps) {
    if (step.op == Op::Integer) {
      stack[top++] = step.value;
      continue;
    }
    if (step.op == Op::Variable) {
      Name name = static_cast<Name>(step.value);
      if (values[name] == NameValues::kUnknown)
        return fail(std::string("uses ") + nameText(name) + ", which is not known here");
      stack[top++] = values[name];
      continue;
    }
    if (step.op == Op::MaxSplits) {
      if (!rule || rule->steps.empty())
        return fail("uses max_splits, but the kernel names no split rule");
      if (stack[top - 1] < 0 || stack[top - 1] > INT32_MAX)
        return fail("asks for max_splits(" + std::to_string(stack[top - 1]) +
                    "), must be from 0 to 2147483647");
      stack[top - 1] = rule->maxSplits(stack[top - 1]);
      continue;
    }
    int64_t b = stack[--top], a = stack[top - 1], result = 0;
    bool fits = true;
    switch (step.op) {
    case Op::Add:
      fits = !__builtin_add_overflow(a, b, &result);
      break;
    case Op::Subtract:
      fits = !__builtin_sub_overflow(a, b, &result);
      break;
    case Op::Multiply:
      fits = !__builtin_mul_overflow(a, b, &result);
      break;
    case Op::Divide:
    case Op::CeilDiv:
      if (b == 0)
        return fail("divides " + std::to_string(a) + " by zero");
      fits = floorDivide(a, b, result);
      if (fits && step.op == Op::CeilDiv && a % b != 0)
        ++result;
      break;
    case Op::Min:
      result = std::min(a, b);
      break;
    default:
      result = std::max(a, b);
      break;
    }
    if (!fits)
      return fail("leaves 64 bits at " + std::to_string(a) + " and " + std::to_string(b));
    stack[top - 1] = result;
  }
  return stack[0];
}
