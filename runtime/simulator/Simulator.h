//===- Simulator.h - a functional PTX machine, sanitizer and meter --------===//
//
// Internal. Parses the PTX text that LLVM's NVPTX back end emits and executes it on
// the CPU, one warp instruction at a time:
//
//   text -> Lexer -> Parser (scopes, registers, labels) -> Decoder (flat ops with a
//   handler each, once per module) -> Block (warps, barriers, shared memory) on a
//   pool of threads -> Report (findings, bytes, sectors, bank conflicts)
//
// An instruction, modifier or special register that is not known is an error of
// parseModule, with its text and its line. A program's mistakes at run time are
// findings of the report: the launch stops, the process never does.
//
// Follows: NVIDIA's PTX ISA. Pinned by test/simulator.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/support/Result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attncc::simulator {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t(x) * y * z; }
  bool operator==(const Dim3 &) const = default;
};

/// A parsed and decoded PTX file. Immutable; any number of launches may share it.
class Module;

/// Parses and decodes PTX. The diagnostic's location holds `name` and the PTX line.
Result<std::shared_ptr<const Module>> parseModule(std::string_view ptx, std::string name = "ptx");

/// One kernel of a module, as its header and its shared variables say.
struct EntryInfo {
  struct Parameter {
    std::string name;
    uint32_t offset = 0, bytes = 0;
    bool pointer = false; ///< declared with `.ptr`
  };
  std::string name;
  std::vector<Parameter> parameters;
  uint32_t parameterBytes = 0;
  uint32_t staticShared = 0;   ///< bytes of shared variables with a size
  bool dynamicShared = false;  ///< uses an `.extern .shared` array
  Dim3 requiredBlock{0, 0, 0}; ///< .reqntid, zeros where absent
  uint32_t maxThreads = 0;     ///< product of .maxntid, 0 where absent
  uint32_t instructions = 0;   ///< static, after decoding
};
std::vector<EntryInfo> entries(const Module &module);

/// The memory that a launch may touch: host memory, in ranges. A device pointer is a host
/// pointer. Ranges may be huge and sparse (mmap with MAP_NORESERVE): the simulator touches
/// only what the kernel touches. An access that leaves its range is a finding, so
/// neighbouring ranges should have a gap between them.
class MemoryMap {
public:
  struct Range {
    uint64_t begin = 0, end = 0;
    std::string label; ///< names the buffer in findings and traffic figures
    bool writable = true;
  };
  /// Registers [pointer, pointer + bytes). Error if empty or overlapping another range.
  Result<void> add(const void *pointer, uint64_t bytes, std::string label, bool writable = true);
  /// Forgets the range that begins at `pointer`; false if there is none.
  bool remove(const void *pointer);
  /// Renames the range that contains `pointer`; false if there is none.
  bool relabel(const void *pointer, std::string label);
  /// Ranges in order of address.
  const std::vector<Range> &ranges() const { return sorted; }
  /// Index of the range that contains `address`, or -1.
  int find(uint64_t address) const;
  /// Index of the range nearest to `address` (containing it, else by distance), or -1.
  int nearest(uint64_t address) const;

private:
  std::vector<Range> sorted;
};

/// Arithmetic of the tensor core.
enum class TensorCore {
  Sm80,           ///< truncating model, 24 fraction bits, chunks of 8 along k
  Sm90,           ///< truncating model, 25 fraction bits, the whole k at once
  Exact,          ///< fp64 sum, rounded once to f32
  IeeeSequential, ///< f32 round-to-nearest in the order of k
};

/// In which the warps of a block have their turns. Results do not depend on it if the kernel
/// synchronises them.
enum class Order { Ascending, Descending };

struct Options {
  TensorCore tensorCore = TensorCore::Sm80;
  unsigned threads = 0; ///< host threads, 0: one per core; results do not depend on it
  Order order = Order::Ascending;
  bool meter = true;                                    ///< count traffic, wavefronts and conflicts
  uint64_t maxInstructionsPerBlock = uint64_t(1) << 32; ///< warp instructions; more is a finding
  uint32_t maxDynamicShared = 227 * 1024; ///< static and dynamic bytes a block may have
};

struct Launch {
  Dim3 grid, block;
  uint32_t dynamicShared = 0;
  std::span<const std::byte> parameters; ///< laid out as EntryInfo says
};

/// A mistake of the program, found while it ran.
struct Finding {
  enum class Kind {
    OutOfBounds,
    Misaligned,
    ReadOnly,
    Divergence, ///< a warp-wide instruction reached by part of its warp
    Barrier,    ///< wrong use of a barrier
    Deadlock,
    DidNotFinish, ///< instruction limit reached
    Trap,
    Operand,    ///< an operand value that the instruction forbids
    Hazard,     ///< registers or shared memory that an asynchronous operation still uses
    Race,       ///< shared memory of two warps without a barrier between them
    Dependency, ///< memory of the launch in front, before griddepcontrol.wait
  };
  Kind kind = Kind::OutOfBounds;
  std::string message; ///< what, with actual and expected values, or the whole deadlock picture
  std::string kernel;
  std::string instruction; ///< PTX text
  unsigned line = 0;       ///< of the PTX text
  std::string source;      ///< "file:line:column" of the .loc in force, may be empty
  Dim3 block{0, 0, 0}, thread{0, 0, 0};
  uint64_t address = 0; ///< memory findings only
  std::string buffer;   ///< label of the nearest range, memory findings only

  /// "kernel: line 12 (x.mlir:4:2): out of bounds: … thread (1,0,0) of block (0,0,0): instruction"
  std::string text() const;
};
const char *toString(Finding::Kind kind);

/// Traffic of one direction on one buffer. Sectors are 32 bytes, aligned.
struct Traffic {
  uint64_t requests = 0;      ///< warp instructions that touched the buffer
  uint64_t bytes = 0;         ///< sum over lanes
  uint64_t sectors = 0;       ///< distinct sectors of each warp instruction, summed
  uint64_t uniqueSectors = 0; ///< distinct in the whole launch
  uint64_t uniqueBytes = 0;   ///< distinct in the whole launch
};

struct BufferTraffic {
  std::string label;
  Traffic read, write; ///< an atomic counts in both
};

/// Shared-memory accesses: ld, st, ldmatrix, cp.async (writes), atomics.
struct SharedTraffic {
  uint64_t accesses = 0; ///< warp instructions
  uint64_t wavefronts = 0;
  uint64_t ideal = 0; ///< wavefronts without conflicts
  uint64_t conflicts() const { return wavefronts - ideal; }
};

/// One static instruction that touched shared memory.
struct SharedInstruction {
  unsigned line = 0;
  std::string source; ///< .loc, may be empty
  std::string text;
  SharedTraffic traffic;
};

struct Report {
  bool completed = false; ///< false: see findings; the counters then are zero
  std::vector<Finding> findings;
  std::vector<BufferTraffic> buffers; ///< buffers that were touched, in order of label
  SharedTraffic shared;
  std::vector<SharedInstruction> sharedInstructions; ///< in order of line
  uint64_t instructions = 0;                         ///< warp instructions executed
  uint64_t laneInstructions = 0;                     ///< the same, counted per active lane
  uint64_t matrixProducts = 0;                       ///< mma.sync of warps, wgmma of warpgroups
  uint64_t asyncCopies = 0;                          ///< cp.async warp instructions
  uint64_t bulkCopies = 0;                           ///< cp.async.bulk, plain and of tensors
  uint64_t barriers = 0;                             ///< barrier arrivals of warps
  uint64_t localBytes = 0;                           ///< local memory traffic, sum over lanes

  uint64_t sectors() const; ///< requested sectors of all buffers, reads and writes
  const BufferTraffic *buffer(std::string_view label) const;
  /// A table of the figures and every finding, for people.
  std::string text() const;
};

/// Executes one kernel to its end. An Error is a launch that cannot start (no such entry,
/// wrong parameter bytes, block or shared memory beyond the limits).
Result<Report> run(const Module &module, std::string_view entry, const Launch &launch,
                   const MemoryMap &memory, const Options &options = {});

} // namespace attncc::simulator
