//===- Harness.h - small kernels for the simulator's tests ----------------===//
//
// A test writes the body of a kernel; the harness adds the module around it, registers
// (%p, %rs, %r, %rd, 64 of each) and loads the addresses of `out` and `in` into %rd1 and
// %rd2 and the thread's number into %r1.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Simulator.h"

#include <cstring>
#include <gtest/gtest.h>

namespace attncc::simulator::test {

inline std::string module(const std::string &body, const std::string &declarations = "",
                          const std::string &directives = "", const std::string &target = "sm_80") {
  return ".version 8.7\n.target " + target + "\n.address_size 64\n" + declarations +
         "\n.visible .entry k(.param .u64 .ptr .global .align 16 out, .param .u64 in)\n" +
         directives +
         "{ .reg .pred %p<64>; .reg .b16 %rs<64>; .reg .b32 %r<64>; .reg .b64 %rd<64>;\n"
         "ld.param.b64 %rd1, [out]; ld.param.b64 %rd2, [in]; mov.u32 %r1, %tid.x;\n" +
         body + "\nret;\n}\n";
}

/// The same for sm_90a, with 4096 bytes of shared memory at `sh`, aligned to 1024.
inline std::string hopper(const std::string &body, const std::string &directives = "",
                          unsigned shared = 4096) {
  return module(body, ".shared .align 1024 .b8 sh[" + std::to_string(shared) + "];", directives,
                "sm_90a");
}

struct Conditions {
  Dim3 grid{1, 1, 1}, block{32, 1, 1};
  uint32_t dynamicShared = 0;
  Options options;
};

/// Buffers `out` and `in`, 256-byte aligned, with the same number of bytes on each side
/// that belong to neither.
class Machine {
public:
  Machine(uint64_t outBytes, uint64_t inBytes = 256)
      : storage(outBytes + inBytes + 4096), outBytes(outBytes), inBytes(inBytes) {
    uint64_t base = (reinterpret_cast<uint64_t>(storage.data()) + 511) / 256 * 256;
    outPointer = reinterpret_cast<std::byte *>(base);
    inPointer = reinterpret_cast<std::byte *>((base + outBytes + 511) / 256 * 256 + 256);
    EXPECT_TRUE(bool(memory.add(outPointer, outBytes, "out")));
    EXPECT_TRUE(bool(memory.add(inPointer, inBytes, "in", false)));
  }
  template <class T> T *out() { return reinterpret_cast<T *>(outPointer); }
  template <class T> T *in() { return reinterpret_cast<T *>(inPointer); }

  Report run(const std::string &text, const Conditions &setup = {}) {
    auto parsed = parseModule(text, "test.ptx");
    if (!parsed) {
      ADD_FAILURE() << parsed.error().diagnostic.text() << "\n" << text;
      return {};
    }
    uint64_t parameters[2] = {reinterpret_cast<uint64_t>(outPointer),
                              reinterpret_cast<uint64_t>(inPointer)};
    Launch launch{setup.grid, setup.block, setup.dynamicShared,
                  std::as_bytes(std::span(parameters))};
    auto report = simulator::run(**parsed, "k", launch, memory, setup.options);
    if (!report) {
      ADD_FAILURE() << report.error().diagnostic.message;
      return {};
    }
    return *report;
  }
  /// The same, which has to succeed.
  Report complete(const std::string &text, const Conditions &setup = {}) {
    Report report = run(text, setup);
    EXPECT_TRUE(report.completed) << report.text();
    return report;
  }

  MemoryMap memory;

private:
  std::vector<std::byte> storage;
  std::byte *outPointer, *inPointer;
  uint64_t outBytes, inBytes;
};

/// The only finding of a launch that has to stop.
inline Finding findingOf(Machine &machine, const std::string &text, const Conditions &setup = {}) {
  Report report = machine.run(text, setup);
  EXPECT_FALSE(report.completed);
  if (report.findings.size() != 1) {
    ADD_FAILURE() << report.findings.size() << " findings, expected 1";
    return {};
  }
  return report.findings[0];
}

/// The message of a module that must not load.
inline std::string parseError(const std::string &text) {
  auto parsed = parseModule(text, "test.ptx");
  if (parsed)
    return "no error";
  const Diagnostic &diagnostic = parsed.error().diagnostic;
  return std::to_string(diagnostic.where.line) + ": " + diagnostic.message;
}

} // namespace attncc::simulator::test
