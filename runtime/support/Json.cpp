//===- Json.cpp - JSON documents whose values know where they stand --------===//
//
// See Json.h. The parser sees the text through CountingIterator. Besides lines and
// columns the iterator follows just enough of the lexical grammar to remember where
// the current token began: the SAX callbacks come when a token has been read, and
// for numbers one byte later. Test: test/support/JsonTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/support/Json.h"
#include "runtime/support/JsonTree.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

using namespace attncc;
using namespace attncc::json;

namespace attncc::json {

namespace {

struct Place {
  int line = 1, column = 1;
};

/// Where the parser stands: fed each byte once, in order.
struct Cursor {
  Place next;         // of the byte that is read next
  Place last;         // of the byte that was read last
  Place scalar;       // first byte of the last string, number or literal
  Place bracket;      // of the last { or [
  Place token;        // first byte of the last token of any kind
  char firstByte = 0; // of that token
  char secondByte = 0;
  enum class State { Between, String, Escape, Word } state = State::Between;

  void feed(char c) {
    last = next;
    switch (state) {
    case State::String:
      state = c == '\\' ? State::Escape : c == '"' ? State::Between : State::String;
      break;
    case State::Escape:
      state = State::String;
      break;
    case State::Word:
      if (!std::strchr(" \t\r\n{}[],:\"", c)) {
        if (secondByte == 0)
          secondByte = c;
        break;
      }
      [[fallthrough]];
    case State::Between:
      state = State::Between;
      if (std::strchr(" \t\r\n", c) && c != 0)
        break;
      token = last;
      firstByte = c;
      secondByte = 0;
      if (c == '{' || c == '[') {
        bracket = last;
      } else if (c == 0 || !std::strchr("}],:", c)) {
        scalar = last;
        state = c == '"' ? State::String : State::Word;
      }
    }
    if (c == '\n') {
      ++next.line;
      next.column = 1;
    } else {
      ++next.column;
    }
  }
};

/// Input iterator over a text that tells its cursor about every byte it passes.
class CountingIterator {
public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char *;
  using reference = const char &;

  CountingIterator(const char *position, Cursor *cursor) : position(position), cursor(cursor) {}
  reference operator*() const { return *position; }
  CountingIterator &operator++() {
    cursor->feed(*position++);
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator &other) const { return position == other.position; }
  bool operator!=(const CountingIterator &other) const { return position != other.position; }

private:
  const char *position;
  Cursor *cursor;
};

const char *kindName(Kind kind) {
  switch (kind) {
  case Kind::Null:
    return "null";
  case Kind::Boolean:
    return "true or false";
  case Kind::Integer:
    return "an integer";
  case Kind::Real:
    return "a number";
  case Kind::String:
    return "a string";
  case Kind::Array:
    return "an array";
  case Kind::Object:
    return "an object";
  }
  return "";
}

} // namespace

/// Receives nlohmann's SAX events and builds the tree. A callback that returns false ends the
/// parse; `failure` then says why.
class TreeBuilder {
public:
  TreeBuilder(Document &document, const Cursor &cursor) : document(document), cursor(cursor) {}

  std::optional<Error> failure;

  bool null() { return scalar(Kind::Null) != nullptr; }
  bool boolean(bool content) {
    Value *value = scalar(Kind::Boolean);
    if (value)
      value->number.boolean = content;
    return value != nullptr;
  }
  bool number_integer(int64_t value) { return integer(value); }
  bool number_unsigned(uint64_t value) {
    if (value <= uint64_t(std::numeric_limits<int64_t>::max()))
      return integer(int64_t(value));
    return real(double(value));
  }
  bool number_float(double value, const std::string &) { return real(value); }
  bool string(std::string &value) {
    Value *made = scalar(Kind::String);
    if (made)
      made->text = &document.strings.emplace_back(std::move(value));
    return made != nullptr;
  }
  bool binary(nlohmann::json::binary_t &) { return false; } // never sent for text
  bool start_object(size_t) { return open(Kind::Object); }
  bool start_array(size_t) { return open(Kind::Array); }
  bool end_object() {
    keys.pop_back();
    stack.pop_back();
    return true;
  }
  bool end_array() {
    stack.pop_back();
    return true;
  }
  bool key(std::string &name) {
    Value *object = stack.back();
    if (!keys.back().insert(name).second)
      return duplicate(*object, name);
    object->objectMembers.push_back({name, nullptr, cursor.scalar.line, cursor.scalar.column});
    return true;
  }
  bool parse_error(size_t, const std::string &, const nlohmann::detail::exception &exception) {
    std::string what = exception.what();
    // "[json.exception…] parse error at line 1, column 2: syntax error while parsing value - …"
    size_t dash = what.find(" - ");
    std::string detail = dash == std::string::npos ? what : what.substr(dash + 3);
    Place place = cursor.last;
    if (what.find("number overflow") != std::string::npos) {
      place = cursor.scalar;
      detail = "number is beyond the range of a double";
    } else if (detail.starts_with("unexpected end of input")) {
      place = cursor.next;
    } else if (detail.starts_with("unexpected ")) {
      // A number is read with the byte after it, which may be a token of its own.
      place =
          detail.substr(0, detail.find(';')).ends_with("literal") ? cursor.scalar : cursor.token;
    } else if ((detail.starts_with("invalid literal") || detail.starts_with("invalid number")) &&
               (cursor.firstByte == 'N' || cursor.firstByte == 'I' ||
                (cursor.firstByte == '-' && cursor.secondByte == 'I'))) {
      place = cursor.token;
      detail = "NaN and Infinity are not JSON numbers";
    }
    if (size_t lastRead = detail.find("; last read: "); lastRead != std::string::npos)
      detail.resize(lastRead);
    return fail(place, "json-syntax", "not valid JSON: " + detail);
  }

private:
  bool fail(Place place, std::string code, std::string message) {
    failure = makeError(document.source->options.status, std::move(message));
    failure->diagnostic.code = std::move(code);
    failure->diagnostic.where = {document.source->file, place.line, place.column, {}};
    if (!stack.empty())
      failure->diagnostic.where.pointer = stack.back()->pointer();
    return false;
  }

  bool duplicate(const Value &object, const std::string &name) {
    fail(cursor.scalar, "json-duplicate", "duplicate key " + inQuotes(name));
    for (const Member &member : object.objectMembers)
      if (member.key == name) {
        failure->diagnostic.where.pointer = member.value->pointer();
        Diagnostic note = makeNote("the first one is here");
        note.where = {document.source->file, member.line, member.column, member.value->pointer()};
        failure->diagnostic.notes.push_back(std::move(note));
      }
    return false;
  }

  Value *add(Kind kind, Place place) {
    if (document.values.size() >= document.source->options.maxValues) {
      fail(place, "json-size",
           "more than " + std::to_string(document.source->options.maxValues) + " values");
      return nullptr;
    }
    Value &value = document.values.emplace_back();
    value.valueKind = kind;
    value.valueLine = place.line;
    value.valueColumn = place.column;
    value.source = document.source.get();
    if (stack.empty()) {
      document.top = &value;
      return &value;
    }
    Value *parent = stack.back();
    value.parent = parent;
    if (parent->valueKind == Kind::Array) {
      value.indexInParent = parent->elements.size();
      parent->elements.push_back(&value);
    } else {
      value.indexInParent = parent->objectMembers.size() - 1;
      parent->objectMembers.back().value = &value;
    }
    return &value;
  }
  Value *scalar(Kind kind) { return add(kind, cursor.scalar); }
  bool integer(int64_t content) {
    Value *value = scalar(Kind::Integer);
    if (value)
      value->number.integer = content;
    return value != nullptr;
  }
  bool real(double content) {
    Value *value = scalar(Kind::Real);
    if (value)
      value->number.real = content;
    return value != nullptr;
  }
  bool open(Kind kind) {
    if (int(stack.size()) >= document.source->options.maxDepth)
      return fail(cursor.bracket, "json-depth",
                  "nested deeper than " + std::to_string(document.source->options.maxDepth) +
                      " levels");
    Value *value = add(kind, cursor.bracket);
    if (!value)
      return false;
    stack.push_back(value);
    if (kind == Kind::Object)
      keys.emplace_back();
    return true;
  }

  Document &document;
  const Cursor &cursor;
  std::vector<Value *> stack;                        // open arrays and objects
  std::vector<std::unordered_set<std::string>> keys; // of the open objects
};

} // namespace attncc::json

std::string json::inQuotes(std::string_view text, size_t most) {
  bool cut = text.size() > most;
  size_t length = cut ? most : text.size();
  while (cut && length > 0 && (uint8_t(text[length]) & 0xC0) == 0x80)
    --length; // not inside a UTF-8 sequence
  std::string out = stringText(text.substr(0, length));
  if (cut)
    out.insert(out.size() - 1, "…");
  return out;
}

std::string Value::pointer() const {
  std::vector<const Value *> path;
  for (const Value *value = this; value->parent; value = value->parent)
    path.push_back(value);
  std::string out;
  for (auto value = path.rbegin(); value != path.rend(); ++value) {
    out += '/';
    if ((*value)->parent->isArray()) {
      out += std::to_string((*value)->indexInParent);
      continue;
    }
    for (char c : (*value)->parent->objectMembers[(*value)->indexInParent].key) {
      if (c == '~')
        out += "~0";
      else if (c == '/')
        out += "~1";
      else
        out += c;
    }
  }
  return out;
}

Location Value::location() const { return {source->file, valueLine, valueColumn, pointer()}; }

std::string Value::name() const {
  if (!parent)
    return "the document";
  if (parent->isArray())
    return (parent->parent ? parent->name() : std::string()) + "[" + std::to_string(indexInParent) +
           "]";
  std::string shownKey = inQuotes(parent->objectMembers[indexInParent].key);
  return shownKey.substr(1, shownKey.size() - 2);
}

std::string Value::shown() const {
  switch (valueKind) {
  case Kind::Null:
    return "null";
  case Kind::Boolean:
    return number.boolean ? "true" : "false";
  case Kind::Integer:
    return std::to_string(number.integer);
  case Kind::Real:
    return numberText(number.real);
  case Kind::String:
    return inQuotes(*text);
  case Kind::Array:
    return "an array of " + std::to_string(elements.size());
  case Kind::Object:
    return "an object";
  }
  return "";
}

size_t Value::size() const { return isArray() ? elements.size() : objectMembers.size(); }

const Value &Value::operator[](size_t index) const { return *elements[index]; }

const Value *Value::find(std::string_view name) const {
  for (const Member &member : objectMembers)
    if (member.key == name)
      return member.value;
  return nullptr;
}

Result<void> Value::requireKind(Kind wanted) const {
  if (valueKind == wanted || (wanted == Kind::Real && valueKind == Kind::Integer))
    return {};
  return error("json-type", name() + " is " + shown() + ", must be " + kindName(wanted));
}

Result<bool> Value::asBoolean() const {
  if (auto checked = requireKind(Kind::Boolean); !checked)
    return checked.error();
  return number.boolean;
}

Result<int64_t> Value::asInteger(int64_t least, int64_t most) const {
  bool whole = valueKind == Kind::Integer;
  if (whole && number.integer >= least && number.integer <= most)
    return number.integer;
  // An integer literal beyond int64 arrives as a Real of at least 2^63.
  bool beyond = valueKind == Kind::Real && std::abs(number.real) >= 0x1p63;
  if (!whole && !beyond)
    return requireKind(Kind::Integer).error();
  return error("json-range", name() + " is " + shown() + ", must be from " + std::to_string(least) +
                                 " to " + std::to_string(most));
}

Result<double> Value::asReal() const {
  if (auto checked = requireKind(Kind::Real); !checked)
    return checked.error();
  return real();
}

Result<std::string> Value::asString() const {
  if (auto checked = requireKind(Kind::String); !checked)
    return checked.error();
  return *text;
}

Result<const Value *> Value::require(std::string_view key) const {
  if (auto checked = requireKind(Kind::Object); !checked)
    return checked.error();
  if (const Value *found = find(key))
    return found;
  return error("json-missing", name() + " has no key " + inQuotes(key));
}

Error Value::error(std::string code, std::string message) const {
  Error made = makeError(source->options.status, std::move(message));
  made.diagnostic.code = std::move(code);
  made.diagnostic.where = location();
  return made;
}

Diagnostic Value::note() const {
  Diagnostic diagnostic = makeNote(name() + " is here (" + pointer() + ")");
  diagnostic.where = location();
  return diagnostic;
}

static Error sizeError(const ReadOptions &options, const std::string &file, size_t bytes) {
  Error error = makeError(options.status, "file has " + std::to_string(bytes) + " bytes, at most " +
                                              std::to_string(options.maxBytes) + " are read");
  error.diagnostic.code = "json-size";
  error.diagnostic.where.file = file;
  return error;
}

Result<Document> Document::parse(std::string_view text, std::string file, ReadOptions options) {
  if (text.size() > options.maxBytes)
    return sizeError(options, file, text.size());
  Document document;
  document.source = std::make_unique<Source>(Source{std::move(file), options});
  Cursor cursor;
  TreeBuilder builder(document, cursor);
  bool parsed =
      nlohmann::json::sax_parse(CountingIterator(text.data(), &cursor),
                                CountingIterator(text.data() + text.size(), &cursor), &builder);
  if (!parsed)
    return *builder.failure;
  // The parser takes a NUL behind the value for the end of its input.
  if (size_t nul = text.find('\0'); nul != std::string_view::npos) {
    std::string_view before = text.substr(0, nul);
    Error error = makeError(options.status, "a NUL byte behind the value is not JSON");
    error.diagnostic.code = "json-syntax";
    error.diagnostic.where.file = document.file();
    error.diagnostic.where.line =
        1 + static_cast<int>(std::count(before.begin(), before.end(), '\n'));
    error.diagnostic.where.column = static_cast<int>(nul - (before.rfind('\n') + 1)) + 1;
    return error;
  }
  return document;
}

Result<Document> Document::read(const std::string &path, ReadOptions options) {
  auto failure = [&](const std::string &message) {
    Error error = makeError(options.status, message);
    error.diagnostic.code = "file-read";
    error.diagnostic.where.file = path;
    return error;
  };
  std::unique_ptr<FILE, int (*)(FILE *)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file)
    return failure(std::string("cannot be opened: ") + std::strerror(errno));
  std::string text;
  char buffer[1 << 16];
  errno = 0;
  while (size_t count = std::fread(buffer, 1, sizeof buffer, file.get())) {
    text.append(buffer, count);
    if (text.size() > options.maxBytes)
      return failure("file has more than " + std::to_string(options.maxBytes) + " bytes");
  }
  if (std::ferror(file.get()))
    return failure(std::string("cannot be read: ") + std::strerror(errno));
  return parse(text, path, options);
}
