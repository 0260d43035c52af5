//===- Json.h - JSON documents whose values know where they stand ----------===//
//
// Internal. Reads specs, package manifests and tuning files. nlohmann/json's SAX
// parser does the grammar (RFC 8259: UTF-8 is validated, NaN and Infinity are
// refused); an input iterator below it counts lines and columns, so that every
// value of the tree carries the place of its first byte. Trust no file: bytes,
// depth and number of values are capped, a duplicate key is an error, and the
// checked accessors turn a wrong type or range into a located error. Errors read
//
//   llama.json:19:26: error: num_hidden_layers is "x", must be an integer [json-type]
//
// The writing side is JsonTree.h. Test: test/support/JsonTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::json {

/// Caps, and the status that errors of this file carry.
struct ReadOptions {
  size_t maxBytes = 16u << 20;
  int maxDepth = 64;
  size_t maxValues = 1u << 20;
  Status status = Status::InvalidArgument;
};

enum class Kind : uint8_t { Null, Boolean, Integer, Real, String, Array, Object };

class Value;
struct Member;

/// What all values of one document share.
struct Source {
  std::string file;
  ReadOptions options;
};

/// One value of a Document, which owns it. Immutable.
class Value {
public:
  Kind kind() const { return valueKind; }
  bool isNull() const { return valueKind == Kind::Null; }
  bool isObject() const { return valueKind == Kind::Object; }
  bool isArray() const { return valueKind == Kind::Array; }
  bool isString() const { return valueKind == Kind::String; }
  bool isNumber() const { return valueKind == Kind::Integer || valueKind == Kind::Real; }

  /// 1-based line and column (in bytes) of the value's first byte.
  int line() const { return valueLine; }
  int column() const { return valueColumn; }
  /// RFC 6901 JSON pointer; "" for the root. Built on demand.
  std::string pointer() const;
  Location location() const;
  /// The member's key, "name[3]" for an element of an array, "the document" for the root.
  std::string name() const;
  /// The value as JSON on one line, shortened to at most 60 characters.
  std::string shown() const;

  /// Unchecked content: the kind must be the matching one.
  bool boolean() const { return number.boolean; }
  int64_t integer() const { return number.integer; }
  /// Of an Integer or a Real. An integer literal beyond int64 is a Real.
  double real() const { return valueKind == Kind::Integer ? double(number.integer) : number.real; }
  const std::string &string() const { return *text; }

  /// Number of elements or members; 0 for scalars.
  size_t size() const;
  /// Element of an array.
  const Value &operator[](size_t index) const;
  /// Members of an object in the order of the file; empty for other kinds.
  std::span<const Member> members() const { return objectMembers; }
  /// Member of an object by key, null where there is none (or this is no object).
  const Value *find(std::string_view key) const;

  /// Checked content. Each error names the value, what it is and what it must be.
  Result<bool> asBoolean() const;
  Result<int64_t> asInteger(int64_t least = std::numeric_limits<int64_t>::min(),
                            int64_t most = std::numeric_limits<int64_t>::max()) const;
  /// Finite; Integer or Real.
  Result<double> asReal() const;
  Result<std::string> asString() const;
  /// Member `key`, or the error that it is missing (located at this object).
  Result<const Value *> require(std::string_view key) const;
  Result<void> requireKind(Kind kind) const;

  /// A diagnostic located at this value.
  Error error(std::string code, std::string message) const;
  /// "<name> is here (<pointer>)", to be added to another value's error.
  Diagnostic note() const;

private:
  friend class TreeBuilder;
  Kind valueKind = Kind::Null;
  int valueLine = 0, valueColumn = 0;
  size_t indexInParent = 0;
  const Source *source = nullptr;
  const Value *parent = nullptr;
  union {
    bool boolean;
    int64_t integer = 0;
    double real;
  } number;
  const std::string *text = nullptr;
  std::vector<const Value *> elements;
  std::vector<Member> objectMembers;
};

/// A key and its value. The key's own place is kept for errors about the key.
struct Member {
  std::string key;
  const Value *value = nullptr;
  int line = 0, column = 0;
};

/// A parsed file. Values stay valid as long as the document lives, also when it is moved.
class Document {
public:
  /// `file` is the name that errors show.
  static Result<Document> parse(std::string_view text, std::string file, ReadOptions options = {});
  /// Reads the file; larger files than the cap are not read.
  static Result<Document> read(const std::string &path, ReadOptions options = {});

  const Value &root() const { return *top; }
  const std::string &file() const { return source->file; }

private:
  friend class TreeBuilder;
  std::unique_ptr<Source> source;
  std::deque<Value> values;
  std::deque<std::string> strings;
  const Value *top = nullptr;
};

/// "text" with quotes, control characters escaped, shortened to at most `most` bytes.
std::string inQuotes(std::string_view text, size_t most = 60);

} // namespace attncc::json
