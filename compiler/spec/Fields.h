//===- Fields.h - reading the members of a JSON object ---------------------===//
//
// Internal to compiler/spec. A reader asks an object for members by key, type and
// range; a member that is absent or null has the default. The first error is kept
// and every later request returns its default, so that a reader is a list of
// requests with one check at the end. Test: test/spec/MalformedTest.cpp.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Json.h"

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace attncc::spec {

/// The first error of one reading.
struct Failure {
  std::optional<Error> error;
  void add(Error next) {
    if (!error)
      error = std::move(next);
  }
  explicit operator bool() const { return error.has_value(); }
};

class Fields {
public:
  /// `object` must be an object; if it is not, that is the failure and the fields are empty.
  Fields(const json::Value &object, Failure &failure) : object(object), failure(failure) {
    if (auto checked = object.requireKind(json::Kind::Object); !checked)
      failure.add(checked.error());
  }

  /// The member, null where it is absent or JSON's null.
  const json::Value *find(std::string_view key) {
    asked.insert(std::string(key));
    const json::Value *value = object.find(key);
    return value && !value->isNull() ? value : nullptr;
  }
  /// As find, but its absence is a failure.
  const json::Value *require(std::string_view key) {
    const json::Value *value = find(key);
    if (!value)
      failure.add(
          object.error("json-missing", object.name() + " has no key " + json::inQuotes(key)));
    return value;
  }
  int64_t integer(std::string_view key, int64_t fallback, int64_t least, int64_t most) {
    const json::Value *value = find(key);
    return value ? keep(value->asInteger(least, most), fallback) : fallback;
  }
  /// `more` < value <= most
  double real(std::string_view key, double fallback, double more, double most) {
    const json::Value *value = find(key);
    if (!value)
      return fallback;
    double number = keep(value->asReal(), fallback);
    return checkRange(*value, number, more, most) ? number : fallback;
  }
  bool boolean(std::string_view key, bool fallback) {
    const json::Value *value = find(key);
    return value ? keep(value->asBoolean(), fallback) : fallback;
  }
  std::string string(std::string_view key, std::string fallback) {
    const json::Value *value = find(key);
    return value ? keep(value->asString(), fallback) : fallback;
  }
  /// An array of numbers, each as real() checks it; empty where absent.
  std::vector<double> reals(std::string_view key, double more, double most);

  /// Every key must have been asked for: a misspelt key is an error, not a default.
  void refuseOthers();

  const json::Value &value() const { return object; }
  void fail(const json::Value &at, std::string code, std::string message) {
    failure.add(at.error(std::move(code), std::move(message)));
  }
  bool failed() const { return bool(failure); }

private:
  template <class T> T keep(Result<T> result, T fallback) {
    if (result)
      return *result;
    failure.add(result.error());
    return fallback;
  }
  bool checkRange(const json::Value &value, double number, double more, double most);

  const json::Value &object;
  Failure &failure;
  std::set<std::string> asked;
};

/// 50.0 as "50", 0.1 as "0.1": a number inside a message or a table.
std::string shortNumber(double value);

} // namespace attncc::spec
