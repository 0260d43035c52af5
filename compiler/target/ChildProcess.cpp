#include "compiler/target/ChildProcess.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace attncc;
using Clock = std::chrono::steady_clock;

namespace {

constexpr size_t kMostOutput = 1 << 20;

/// A program that is killed, if it still runs, at the end of the scope.
class Child {
public:
  explicit Child(pid_t id) : id(id) {}
  ~Child() {
    if (!id)
      return;
    kill(id, SIGKILL);
    waitpid(id, nullptr, 0);
  }
  Child(const Child &) = delete;

  /// Whether it has ended, `*status` then says how.
  bool hasEnded(int *status) {
    if (waitpid(id, status, WNOHANG) != id)
      return false;
    id = 0;
    return true;
  }

private:
  pid_t id;
};

/// Appends what the pipe holds until it ends, which is true, or the time does.
bool readAll(int pipe, Clock::time_point end, std::string &output) {
  char buffer[4096];
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd wanted = {pipe, POLLIN, 0};
    if (left <= 0 || (poll(&wanted, 1, static_cast<int>(left)) < 0 && errno != EINTR))
      return false;
    if (!wanted.revents)
      continue;
    ssize_t got = read(pipe, buffer, sizeof buffer);
    if (got == 0)
      return true;
    if (got > 0)
      output.append(buffer, std::min<size_t>(static_cast<size_t>(got),
                                             kMostOutput - std::min(kMostOutput, output.size())));
  }
}

/// Starts the program with both of its streams on `out`.
int start(const std::vector<std::string> &command, int out, pid_t *id) {
  std::vector<char *> words;
  for (const std::string &word : command)
    words.push_back(const_cast<char *>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t streams;
  posix_spawn_file_actions_init(&streams);
  posix_spawn_file_actions_addopen(&streams, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&streams, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&streams, out, STDERR_FILENO);
  const int failure = posix_spawn(id, words[0], &streams, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&streams);
  return failure;
}

} // namespace

Result<ChildResult> attncc::runChild(const std::vector<std::string> &command,
                                     std::chrono::milliseconds limit) {
  const Clock::time_point end = Clock::now() + limit;
  auto failed = [&](const std::string &how) {
    return makeError(Status::InvalidArgument, command[0] + " " + how);
  };
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return failed(std::string("cannot be started: ") + std::strerror(errno));
  pid_t id = 0;
  const int failure = start(command, ends[1], &id);
  close(ends[1]);
  if (failure) {
    close(ends[0]);
    return failed(std::string("cannot be started: ") + std::strerror(failure));
  }
  Child child(id);
  ChildResult result;
  bool ended = readAll(ends[0], end, result.output);
  close(ends[0]);
  int status = 0;
  while (ended && !child.hasEnded(&status)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ended = Clock::now() < end;
  }
  if (!ended)
    return failed("did not end within " + std::to_string(limit.count() / 1000) + " s");
  result.exitCode = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}
