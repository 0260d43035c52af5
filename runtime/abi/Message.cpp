// The message of a thread, the logger and the version.
#include "runtime/abi/Abi.h"

#include <mutex>

using namespace attncc;

static thread_local std::string message;

static std::mutex loggerLock;
static attncc_log_fn logger = nullptr;
static void *loggerUser = nullptr;
static int loggerLevel = 0;

attncc_status abi::reportText(const char *function, Status status, const char *text) noexcept {
  try {
    message = std::string(function) + ": " + text;
  } catch (...) {
    message.clear();
  }
  return static_cast<attncc_status>(status);
}

attncc_status abi::report(const char *function, const Error &error) {
  const Diagnostic &diagnostic = error.diagnostic;
  if (diagnostic.where.file.empty()) {
    message = std::string(function) + ": " + diagnostic.message;
    for (const Diagnostic &note : diagnostic.notes)
      message += "\n" + note.text();
  } else {
    message = diagnostic.text();
  }
  return static_cast<attncc_status>(error.status);
}

void abi::log(int level, const std::string &text) {
  std::lock_guard guard(loggerLock);
  if (logger && level >= loggerLevel)
    logger(loggerUser, level, text.c_str());
}

const char *attncc_message(void) { return message.c_str(); }

uint32_t attncc_version(void) { return ATTNCC_VERSION_MAJOR << 16 | ATTNCC_VERSION_MINOR; }

void attncc_set_logger(attncc_log_fn function, void *user, int level) {
  std::lock_guard guard(loggerLock);
  logger = function;
  loggerUser = user;
  loggerLevel = level;
}
