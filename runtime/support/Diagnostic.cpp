#include "runtime/support/Result.h"

using namespace attncc;

std::string Diagnostic::text() const {
  static const char *const names[] = {"error", "warning", "note", "unsupported"};
  std::string line;
  if (!where.file.empty()) {
    line = where.file;
    if (where.line > 0)
      line += ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
    line += ": ";
  }
  line += std::string(names[static_cast<int>(severity)]) + ": " + message;
  if (!code.empty())
    line += " [" + code + "]";
  for (const Diagnostic &note : notes)
    line += "\n" + note.text();
  return line;
}
