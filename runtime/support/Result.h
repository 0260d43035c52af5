//===- Result.h - errors as values ----------------------------------------===//
//
// Internal. Every fallible call below the C ABI returns Result<T>: a value, or
// an Error that carries the status of runtime/include/attncc/attncc.h and one
// diagnostic. Nothing here throws.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace attncc {

/// A place in a file: 1-based line and column, 0 where unknown, and the RFC 6901
/// JSON pointer of the value for JSON files.
struct Location {
  std::string file;
  int line = 0;
  int column = 0;
  std::string pointer;
};

/// One message for the user: lower case, no full stop, expected and actual value.
/// `notes` name each other place involved; a note without a file has no location.
struct Diagnostic {
  enum class Severity { Error, Warning, Note, Unsupported };
  Severity severity = Severity::Error;
  std::string code; // e.g. "spec-heads"; may be empty
  std::string message;
  Location where;
  std::vector<Diagnostic> notes;

  /// "file:line:column: error: message [code]" and one line for each note.
  std::string text() const;
};

/// Values of attncc_status.
enum class Status : int {
  Ok = 0,
  InvalidArgument = 1,
  InvalidPackage = 2,
  Unsupported = 3,
  DeviceError = 4,
  Exhausted = 5,
  OutOfMemory = 6,
  LimitExceeded = 7,
  Capturing = 8,
  Internal = 70,
};

struct Error {
  Status status = Status::Internal;
  Diagnostic diagnostic;
};

inline Error makeError(Status status, std::string message) {
  Error error{status, {}};
  error.diagnostic.message = std::move(message);
  return error;
}

/// For Diagnostic::notes; of no place.
inline Diagnostic makeNote(std::string message) {
  Diagnostic note;
  note.severity = Diagnostic::Severity::Note;
  note.message = std::move(message);
  return note;
}

/// A value of T or an Error. `Result<void>` holds nothing or an Error.
template <class T> class [[nodiscard]] Result {
public:
  Result(T value) : state(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state(std::in_place_index<1>, std::move(error)) {}
  explicit operator bool() const { return state.index() == 0; }
  T &operator*() { return std::get<0>(state); }
  const T &operator*() const { return std::get<0>(state); }
  T *operator->() { return &std::get<0>(state); }
  const T *operator->() const { return &std::get<0>(state); }
  const Error &error() const { return std::get<1>(state); }

private:
  std::variant<T, Error> state;
};

template <> class [[nodiscard]] Result<void> {
public:
  Result() = default;
  Result(Error error) : failure(std::move(error)) {}
  explicit operator bool() const { return !failure; }
  const Error &error() const { return *failure; }

private:
  std::optional<Error> failure;
};

} // namespace attncc
