//===- Program.h - decoded kernels ----------------------------------------===//
//
// Internal to the simulator. A kernel is a flat list of Ops in the order of the text.
// An Op names a handler and the slots of its operands. A slot is a byte offset into a
// warp's register file, which keeps every register as 32 values side by side, one per
// lane (a predicate: one bit per lane). Literals and special registers have slots too,
// filled when a warp starts, so a handler never asks what kind of operand it has.
//
// Pinned by test/simulator.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/simulator/Syntax.h"
#include "runtime/simulator/TensorCore.h"

#include <array>

namespace attncc::simulator {

class Warp;
struct Op;
/// Executes `op` for the lanes of `mask`, which is never empty.
using Handler = void (*)(Warp &warp, const Op &op, uint32_t mask);

/// What the executor has to do besides calling the handler.
enum class Flow : uint8_t {
  Next,          ///< straight on
  Branch,        ///< to `target` for the lanes whose guard holds
  IndexedBranch, ///< to targets[slot[0]]
  Exit,
  Collective,   ///< waits for the lanes of the member mask in slot[memberMask]
  Aligned,      ///< waits for the whole warp, which must have 32 live lanes
  Barrier,      ///< waits for the whole warp, then acts on a barrier of the block
  Blocking,     ///< may call Warp::suspend: its lanes try again when something has happened
  WarpBlocking, ///< the same, for the whole warp together
};

enum class Space : uint8_t { Generic, Global, Const, Shared, Local, Param };

/// A memory operand: `count` elements of `bytes` each, at register + offset.
struct Access {
  Space space = Space::Generic;
  uint8_t bytes = 0, count = 1;
  bool hasRegister = false, wideRegister = false;
  bool ordered = false; ///< relaxed, acquire, release
  uint32_t address = 0; ///< slot
  int64_t offset = 0;
  uint64_t usedBytes = ~uint64_t(0);
  uint32_t total() const { return uint32_t(bytes) * count; }
};

struct Op {
  Handler run = nullptr;
  Flow flow = Flow::Next;
  bool guarded = false, guardNegated = false;
  uint8_t flags = 0;  ///< of the handler
  uint32_t guard = 0; ///< slot
  uint32_t position = 0;
  uint32_t target = 0; ///< Branch: position; IndexedBranch: index into Kernel::branchTables
  std::array<uint32_t, 14> slot{};
  std::array<uint8_t, 14> width{}; ///< bytes per lane of the slot, where a handler needs it
  uint64_t immediate = 0;
  Access access;
  /// Operands that belong to products somewhere in the kernel: a part of Kernel::productUses.
  uint32_t firstProductUse = 0, productUses = 0;
  /// What a suspended op waits for, for the report of a deadlock.
  std::string (*waiting)(Warp &warp, const Op &op, uint32_t mask) = nullptr;
};

/// Operands of a bulk copy; Op::immediate is its index in Kernel::bulkForms.
struct BulkForm {
  bool load = false, tensor = false, prefetch = false;
  uint8_t dimensions = 0;
  Access shared, global, mbarrier;       ///< global: the tensor map of a tensor copy
  std::array<uint32_t, 5> coordinates{}; ///< slots
  uint32_t bytes = 0;                    ///< slot, not of tensor copies
};

/// Operands of wgmma.mma_async; Op::immediate is its index in Kernel::productForms.
struct ProductForm {
  MatrixType type = MatrixType::BF16;
  unsigned columns = 0;
  std::vector<uint32_t> d; ///< slots, columns / 2
  bool aInRegisters = false;
  std::array<uint32_t, 4> a{};               ///< slots
  uint32_t aDescriptor = 0, bDescriptor = 0; ///< slots
  uint32_t accumulates = 0;                  ///< slot of the predicate: d += a b instead of d = a b
  bool accumulatesNegated = false;
  bool negateA = false, negateB = false;
  bool transposeA = false, transposeB = false; ///< MN-major
  std::vector<uint16_t> dUses, aUses;          ///< product registers, as in Kernel::productUses
};

/// Registers that the hardware fills in.
enum class Special : uint8_t {
  TidX,
  TidY,
  TidZ,
  NtidX,
  NtidY,
  NtidZ,
  CtaidX,
  CtaidY,
  CtaidZ,
  NctaidX,
  NctaidY,
  NctaidZ,
  LaneId,
  WarpId,
  NWarpId,
  LaneMaskEq,
  LaneMaskLt,
  LaneMaskLe,
  LaneMaskGt,
  LaneMaskGe,
  DynamicShared,
  TotalShared,
  SmId,
  NSmId,
  GridId,
  Zero, ///< ranks inside a cluster of one block
  One,  ///< sizes of a cluster of one block
};

/// First address of a block's shared variables: the first kilobyte belongs to the system.
inline constexpr uint32_t sharedBase = 0x400;
inline constexpr uint32_t localBase = 0x10;
inline constexpr uint32_t constantFirst = 0x100;
/// Windows of the generic address space. Their low bits make a truncated generic address wrong.
inline constexpr uint64_t sharedWindow = 0x00C0'0001'0003'0000;
inline constexpr uint64_t localWindow = 0x00D0'0001'0005'0000;
inline constexpr uint64_t paramWindow = 0x00E0'0001'0007'0000;
inline constexpr uint64_t constantWindow = 0x00F0'0001'0009'0000;
inline constexpr uint64_t windowBytes = uint64_t(1) << 32;

/// Undefined registers and shared memory: NaN as f32, f16x2, bf16x2, f64 and in both 8-bit formats.
inline constexpr uint32_t poison = 0x7fff7fff;
/// Destination of a copy that has not completed.
inline constexpr uint8_t pendingByte = 0xff;

struct Kernel {
  EntryInfo info;
  std::vector<syntax::Instruction> text;
  std::vector<Op> ops; ///< as long as `text`, plus a closing exit
  std::vector<std::vector<uint32_t>> branchTables;
  std::vector<std::byte> registerImage; ///< what a warp's register file holds at its start
  std::vector<std::pair<uint32_t, Special>> specials; ///< slot, 32-bit
  uint32_t localBytes = 0;
  bool waitsForGrid = false;   ///< has griddepcontrol.wait
  bool usesAsyncProxy = false; ///< has mbarriers, bulk copies or wgmma
  std::vector<BulkForm> bulkForms;
  std::vector<ProductForm> productForms;
  /// Registers of products are numbered; the ones that other instructions name, op by op.
  std::vector<uint16_t> productUses;
  std::vector<std::string> productRegisters; ///< their names
  uint32_t launchRegisters = 0; ///< of each thread, as the directives imply; 0: they do not say
};

class Module {
public:
  std::string name;
  std::string target; ///< sm_80…
  std::vector<Kernel> kernels;
  /// .global and .const variables; they live as long as the module, as on a GPU.
  struct Variable {
    std::string name;
    uint64_t address = 0; ///< in host memory
    uint64_t bytes = 0;
    bool constant = false; ///< in .const space, where its address is a 32-bit offset
  };
  /// Host address of the .const space's address 0.
  uint64_t constantBase = 0;
  std::vector<Variable> variables;
  std::unique_ptr<std::byte[]> storage;

  const Kernel *find(std::string_view entry) const;
};

} // namespace attncc::simulator
