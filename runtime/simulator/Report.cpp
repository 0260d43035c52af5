//===- Report.cpp - findings and figures as text --------------------------===//
//
// See Simulator.h. Pinned by test/simulator/LaunchTest.cpp and MemoryTest.cpp.
//
//===----------------------------------------------------------------------===//
#include "runtime/simulator/Simulator.h"

#include <algorithm>
#include <cstdio>

namespace attncc::simulator {

namespace {

std::string triple(const Dim3 &dim) {
  return "(" + std::to_string(dim.x) + "," + std::to_string(dim.y) + "," + std::to_string(dim.z) +
         ")";
}

template <class... T> std::string format(const char *pattern, T... values) {
  char text[512];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

using Number = unsigned long long;

} // namespace

const char *toString(Finding::Kind kind) {
  switch (kind) {
  case Finding::Kind::OutOfBounds:
    return "out of bounds";
  case Finding::Kind::Misaligned:
    return "misaligned";
  case Finding::Kind::ReadOnly:
    return "read only";
  case Finding::Kind::Divergence:
    return "divergence";
  case Finding::Kind::Barrier:
    return "barrier";
  case Finding::Kind::Deadlock:
    return "deadlock";
  case Finding::Kind::DidNotFinish:
    return "did not finish";
  case Finding::Kind::Trap:
    return "trap";
  case Finding::Kind::Operand:
    return "operand";
  case Finding::Kind::Hazard:
    return "hazard";
  case Finding::Kind::Race:
    return "race";
  case Finding::Kind::Dependency:
    return "dependency";
  }
  return "unknown";
}

std::string Finding::text() const {
  std::string result = kernel + ": line " + std::to_string(line);
  if (!source.empty())
    result += " (" + source + ")";
  result += ": " + std::string(toString(kind)) + ": " + message + "; thread " + triple(thread) +
            " of block " + triple(block);
  if (!instruction.empty())
    result += ": " + instruction;
  return result;
}

uint64_t Report::sectors() const {
  uint64_t sum = 0;
  for (const BufferTraffic &buffer : buffers)
    sum += buffer.read.sectors + buffer.write.sectors;
  return sum;
}

const BufferTraffic *Report::buffer(std::string_view label) const {
  auto found = std::find_if(buffers.begin(), buffers.end(),
                            [&](const BufferTraffic &buffer) { return buffer.label == label; });
  return found == buffers.end() ? nullptr : &*found;
}

std::string Report::text() const {
  std::string result;
  for (const Finding &finding : findings)
    result += finding.text() + "\n";
  if (!completed)
    return result;
  result += format("instructions %llu, per lane %llu, matrix products %llu, async copies %llu, "
                   "barrier arrivals %llu\n",
                   Number(instructions), Number(laneInstructions), Number(matrixProducts),
                   Number(asyncCopies), Number(barriers));
  result += format("shared memory: %llu accesses, %llu wavefronts, %llu conflicts\n",
                   Number(shared.accesses), Number(shared.wavefronts), Number(shared.conflicts()));
  result += format("%-24s %-5s %14s %14s %14s %14s\n", "buffer", "", "bytes", "sectors",
                   "unique sectors", "unique bytes");
  for (const BufferTraffic &buffer : buffers)
    for (const auto &[name, traffic] :
         {std::pair{"read", &buffer.read}, std::pair{"write", &buffer.write}})
      if (traffic->requests)
        result += format("%-24s %-5s %14llu %14llu %14llu %14llu\n", buffer.label.c_str(), name,
                         Number(traffic->bytes), Number(traffic->sectors),
                         Number(traffic->uniqueSectors), Number(traffic->uniqueBytes));
  for (const SharedInstruction &instruction : sharedInstructions)
    if (instruction.traffic.conflicts())
      result +=
          format("line %u%s%s%s: %llu conflicts in %llu accesses: %s\n", instruction.line,
                 instruction.source.empty() ? "" : " (", instruction.source.c_str(),
                 instruction.source.empty() ? "" : ")", Number(instruction.traffic.conflicts()),
                 Number(instruction.traffic.accesses), instruction.text.c_str());
  return result;
}

} // namespace attncc::simulator
