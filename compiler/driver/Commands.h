//===- Commands.h - the verbs that need the compiler -------------------------===//
//
// Internal. The other verbs, and what all have in common: runtime/commands/Commands.h.
// Tests: test/driver
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/commands/Commands.h"

namespace attncc {

Verb addCompile(CLI::App &app); ///< attncc FILE -o FOLDER
Verb addCheck(CLI::App &app);   ///< attncc check FILE

} // namespace attncc
