//===- KernelBuilder.h - writes the instructions of one kernel -------------===//
//
// Internal to TileToNVVM. Everything that the patterns emit goes through this
// class: integer and f32 arithmetic with folding, memory, and the warp-wide and
// matrix instructions of PTX ISA 7.8. All inline asm is made here and nowhere
// else, because a malformed constraint string crashes LLVM instead of failing.
// The two large headers (LLVMDialect.h, NVVMDialect.h) are included by
// KernelBuilder.cpp only.
//
// Values are i1, i32, i64, f32 and pointers; a 32-bit word packs two 16-bit
// elements, the lower index in the lower half.
// Test: test/compiler/conversion/TileToNVVM
//
//===----------------------------------------------------------------------===//
#pragma once

#include "dialects/tile/layout/Layout.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"

#include <array>

namespace attncc::lowering {

using mlir::Type;
using mlir::Value;
using mlir::ValueRange;
using Values = llvm::SmallVector<Value>;
using Compare = mlir::arith::CmpIPredicate;

enum class AddressSpace : unsigned {
  Generic = 0,
  Global = 1,
  Shared = 3,
  Constant = 4,
  Cluster = 7
};

/// The extern symbol of the block's shared memory, sized at launch.
constexpr llvm::StringLiteral sharedMemorySymbol = "attncc_shared_memory";

/// Registers the nvvm dialect, whose header only KernelBuilder.cpp includes.
void insertNVVMDialect(mlir::DialectRegistry &registry);

class KernelBuilder {
public:
  KernelBuilder(mlir::OpBuilder &builder, mlir::Location location)
      : builder(builder), location(location) {}

  mlir::OpBuilder &getBuilder() { return builder; }
  mlir::Location getLocation() const { return location; }

  // Types.
  Type i1Type() { return builder.getI1Type(); }
  Type i32Type() { return builder.getI32Type(); }
  Type i64Type() { return builder.getI64Type(); }
  Type f32Type() { return builder.getF32Type(); }
  Type pointerType(AddressSpace space);

  // Constants.
  Value i1(bool value);
  Value i32(int64_t value);
  Value i64(int64_t value);
  Value f32(double value);
  /// Negative infinity, 0 and the start of a running maximum.
  Value minusInfinity();

  // Integers; both operands have one type, a constant takes the type of the other operand.
  Value add(Value a, Value b);
  Value add(Value a, int64_t b);
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value mul(Value a, int64_t b);
  Value divUnsigned(Value a, Value b);
  Value divUnsigned(Value a, int64_t b);
  Value remUnsigned(Value a, Value b);
  Value remUnsigned(Value a, int64_t b);
  /// ceil(a / b), a and b not negative.
  Value ceilDiv(Value a, Value b);
  Value ceilDiv(Value a, int64_t b);
  Value minSigned(Value a, Value b);
  Value maxSigned(Value a, Value b);
  Value shiftLeft(Value a, int64_t bits);
  Value shiftRight(Value a, int64_t bits);
  Value bitAnd(Value a, Value b);
  Value bitAnd(Value a, int64_t b);
  Value bitOr(Value a, Value b);
  Value bitXor(Value a, int64_t b);
  Value bitXor(Value a, Value b);
  Value compare(Compare predicate, Value a, Value b);
  Value compare(Compare predicate, Value a, int64_t b);
  Value select(Value condition, Value a, Value b);
  Value zeroExtend(Value a); // i32 -> i64
  Value signExtend(Value a); // i32 -> i64
  Value truncate(Value a);   // i64 -> i32

  // f32; mul and add may be contracted to one fma.
  Value fadd(Value a, Value b);
  Value fsub(Value a, Value b);
  Value fmul(Value a, Value b);
  Value fmulExact(Value a, Value b); // never part of an fma
  Value fdiv(Value a, Value b);      // rounded to nearest
  Value fneg(Value a);
  Value fma(Value a, Value b, Value c);
  /// The larger one; of a number and a NaN the number.
  Value fmax(Value a, Value b);
  Value fsqrt(Value a);      // rounded to nearest
  Value fround(Value a);     // to the nearest integer, ties to even
  Value exp2(Value a);       // approximate, subnormal results are 0
  Value reciprocal(Value a); // approximate, of a normal number or 0
  Value log2(Value a);       // approximate, -inf of 0
  Value sine(Value a);       // approximate, for |a| <= pi
  Value cosine(Value a);
  Value isGreater(Value a, Value b);   // ordered
  Value isDifferent(Value a, Value b); // or one is a NaN
  Value isZero(Value a);               // ordered
  Value isInfinite(Value a);
  Value toFloat(Value integer); // signed, nearest
  Value toInteger64(Value a);   // f32 of integer value -> i64
  /// The same f32, i32, i64 or address in shared memory, of which the back end knows nothing: what
  /// follows from it is computed anew.
  Value opaque(Value a);

  // 16-bit elements. `element` is bf16 or f16.
  /// One word of two f32, rounded to nearest even.
  Value pack(Value low, Value high, Type element);
  /// The two f32 of a word.
  std::array<Value, 2> unpack(Value word, Type element);
  /// One word with `element`'s NaN twice.
  Value notANumberWord();
  Value notANumber(); // f32

  // Place of the thread. Units are warps.
  /// From here on, this builder uses its own reading of the thread's number, or of the block's:
  /// what follows a long loop does not keep registers alive through it.
  void rereadThread();
  void rereadBlock();
  Value thread();
  Value lane();
  Value warp(int64_t units);
  Value blockIndex(int dimension);
  /// Lets the next kernel of the stream begin, and waits for what the kernels before have written
  /// (PTX ISA 9.7.13.13, griddepcontrol).
  void followPriorGrid();
  Value gridSize(int dimension);

  // Memory. Offsets are bytes and never negative; i32 for shared memory, i64 for global memory.
  Value offset(Value pointer, Value bytes);
  Value offset(Value pointer, int64_t bytes);
  /// A pointer to shared memory with some bits of its address inverted. What the pointer's lower
  /// bits are must be known: the tile begins at a multiple of more than `bits`.
  Value flipAddress(Value pointer, int64_t bits);
  /// The address of one access of a plan, behind the thread's part of it.
  Value at(Value ofThread, const tile::SharedAccess::Access &access);
  /// A pointer to global memory as i64, and back.
  Value toInteger(Value pointer);
  Value toPointer(Value address);
  Value isNull(Value pointer);
  Value isGiven(Value pointer); // not null
  Value load(Value pointer, Type type, int64_t alignment);
  /// The f32 of one bf16 or f16.
  Value loadHalf(Value pointer, Type element);
  void store(Value value, Value pointer, int64_t alignment);
  /// `count` (1, 2 or 4) neighbouring 32-bit values as one instruction.
  Values loadVector(Value pointer, Type element, int64_t count);
  void storeVector(ValueRange values, Value pointer);
  /// Relaxed or at device scope, no result.
  void atomicOr(Value pointer, Value bits);
  /// The old value; `limit` is followed by 0.
  Value atomicIncrement(Value pointer, Value limit);
  /// The address of a byte of the block's shared memory.
  Value sharedMemory(int64_t offset);
  /// The address of an array of constants. It is defined before the function that `builder` is in,
  /// unless the name is.
  Value constants(llvm::StringRef name, llvm::ArrayRef<float> values);

  // Warp-wide.
  Value shuffleXor(Value value, int64_t laneMask);
  Value shuffleIndex(Value value, Value fromLane);
  /// i1: one lane of the warp, whichever; all of them ask.
  Value electLane();
  /// i1, the same in all lanes: it holds in one of them.
  Value anyLane(Value condition);
  void warpBarrier();
  void blockBarrier();
  /// Named barriers (PTX ISA 9.7.13.1): waits for, or only counts among, `threads` of them.
  void namedBarrier(Value number, int64_t threads);
  void arriveAtNamedBarrier(Value number, int64_t threads);
  /// Registers that each thread of the warpgroup has from here on: more than before, or fewer.
  void setRegisters(int64_t count, bool more);

  // Asynchronous copies of 16 bytes, PTX ISA 9.7.9.25.3: `sourceBytes` of them are read, the rest
  // is 0.
  void copyAsync(Value shared, Value global, Value sourceBytes);
  void commitCopies();
  void waitForCopies(int64_t groupsInFlight);

  // Barriers of shared memory that count arrivals and bytes, PTX ISA 9.7.13.15; 8 bytes each.
  /// One thread, before the others use them; a warpBarrier must follow.
  void initBarriers(Value first, int64_t barriers, int64_t arrivals);
  /// One arrival that announces `bytes` more of copies.
  void arriveExpecting(Value barrier, Value bytes);
  /// The same; the state by which `waitForBarrier` knows the phase.
  Value arriveExpectingState(Value barrier, Value bytes);
  void arrive(Value barrier);
  /// One arrival, of the threads where `condition` holds.
  void arriveIf(Value barrier, Value condition);
  /// Spins until the phase is complete: an i32 is its parity, an i64 the state of an arrival in it.
  /// Every thread that reads what was copied waits.
  void waitForBarrier(Value barrier, Value phase);

  // Tensor copies, PTX ISA 9.7.9.27.
  /// One box from global to shared memory, whose bytes the barrier counts; by one thread.
  void copyBox(Value shared, Value tensorMap, ValueRange coordinates, Value barrier, Value policy);
  /// The L2 policy of data that is read once.
  Value evictFirst();
  /// Orders what this thread has written to shared memory before later tensor copies into it and
  /// later products of a warpgroup that read it.
  void fenceAsyncProxy();

  // Matrices of 8 x 8 16-bit elements.
  /// One word for each of the `count` (1, 2 or 4) matrices.
  Values loadMatrices(Value address, int64_t count, bool transposed);
  /// The reverse, of 1, 2 or 4 words (PTX ISA, "stmatrix").
  void storeMatrices(Value address, ValueRange words);
  Value transposeMatrix(Value word);
  /// d[16, 8] = a[16, 16] · b[16, 8] + c.
  Values product(ValueRange a, ValueRange b, ValueRange c, Type element);

  // Products of a warpgroup, PTX ISA 9.7.15. Their results are there after `awaitProducts` only.
  /// The registers written so far may be read by products from here on.
  void fenceProducts();
  void commitProducts();
  /// What passes through is written after all but `ahead` of the committed products are done.
  Values awaitProducts(int64_t ahead, ValueRange values);
  /// The matrix descriptors of an operand, one for each 16 of the contraction.
  Values matrixDescriptors(Value shared, const tile::WgmmaOperand &operand);
  /// d[64, n] = a[64, 16] · b[16, n] + c: `a` is a descriptor or the four words of a fragment, `c`
  /// may be empty, which stands for zeros.
  Values warpgroupProduct(ValueRange a, Value b, ValueRange c, int64_t n, bool transposedB,
                          Type element);

  // Control.
  void ifThen(Value condition, llvm::function_ref<void()> then);
  Values ifElse(Value condition, llvm::ArrayRef<Type> types, llvm::function_ref<Values()> then,
                llvm::function_ref<Values()> otherwise);
  /// for (i = begin; i < end; i += step), i32.
  Values loop(Value begin, Value end, Value step, ValueRange initial,
              llvm::function_ref<Values(Value, ValueRange)> body);

  struct Round {
    Value again, state;
    Values results;
  };
  /// The results, of these types, of the first round without `again`; `state` is the argument of
  /// the next one.
  Values repeatWhile(Value initial, llvm::ArrayRef<Type> types,
                     llvm::function_ref<Round(Value)> body);

private:
  /// Null where `result` is.
  Value inlineAsm(llvm::StringRef text, llvm::StringRef constraints, ValueRange operands,
                  Type result, bool hasSideEffects = false);
  Values structFields(Value aggregate, int64_t count);
  /// Of an address that is a base and multiples of 16 bytes.
  Value matrixDescriptor(Value shared, Value strides);
  mlir::OpBuilder &builder;
  mlir::Location location;
  Value ownRead(llvm::StringRef specialRegister);
  Value ownThread;               // or null
  std::array<Value, 3> ownBlock; // likewise
};

} // namespace attncc::lowering
