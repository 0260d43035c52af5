//===- KernelBuilder.cpp - writes the instructions of one kernel -----------===//
//
// See KernelBuilder.h. Source: PTX ISA 7.8, sections 9.7.1 to 9.7.14.
//
//===----------------------------------------------------------------------===//
#include "compiler/conversion/TileToNVVM/KernelBuilder.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/SymbolTable.h"

namespace attncc::lowering {

namespace arith = mlir::arith;
namespace LLVM = mlir::LLVM;
namespace NVVM = mlir::NVVM;
namespace scf = mlir::scf;
using mlir::FloatType;

void insertNVVMDialect(mlir::DialectRegistry &registry) { registry.insert<NVVM::NVVMDialect>(); }

//===----------------------------------------------------------------------===//
// Types and constants
//===----------------------------------------------------------------------===//

Type KernelBuilder::pointerType(AddressSpace space) {
  return LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(space));
}

Value KernelBuilder::i1(bool value) {
  return arith::ConstantOp::create(builder, location, builder.getBoolAttr(value));
}
Value KernelBuilder::i32(int64_t value) {
  return arith::ConstantOp::create(builder, location,
                                   builder.getI32IntegerAttr(static_cast<int32_t>(value)));
}
Value KernelBuilder::i64(int64_t value) {
  return arith::ConstantOp::create(builder, location, builder.getI64IntegerAttr(value));
}
Value KernelBuilder::f32(double value) {
  return arith::ConstantOp::create(builder, location,
                                   builder.getF32FloatAttr(static_cast<float>(value)));
}
Value KernelBuilder::minusInfinity() {
  return arith::ConstantOp::create(
      builder, location,
      builder.getFloatAttr(builder.getF32Type(),
                           llvm::APFloat::getInf(llvm::APFloat::IEEEsingle(), /*Negative=*/true)));
}
Value KernelBuilder::notANumber() {
  return arith::ConstantOp::create(
      builder, location,
      builder.getFloatAttr(builder.getF32Type(), llvm::APFloat(llvm::APFloat::IEEEsingle(),
                                                               llvm::APInt(32, 0x7fffffff))));
}
// 0x7fff is a NaN of both 16-bit types, the one that the hardware itself makes.
Value KernelBuilder::notANumberWord() { return i32(0x7fff7fff); }

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

namespace {
Value constantLike(KernelBuilder &b, Value other, int64_t value) {
  return other.getType().isInteger(64) ? b.i64(value) : b.i32(value);
}
bool isPowerOfTwo(int64_t value) { return value > 0 && (value & (value - 1)) == 0; }
} // namespace

Value KernelBuilder::add(Value a, Value b) {
  return builder.createOrFold<arith::AddIOp>(location, a, b);
}
Value KernelBuilder::add(Value a, int64_t b) {
  return b == 0 ? a : add(a, constantLike(*this, a, b));
}
Value KernelBuilder::sub(Value a, Value b) {
  return builder.createOrFold<arith::SubIOp>(location, a, b);
}
Value KernelBuilder::mul(Value a, Value b) {
  return builder.createOrFold<arith::MulIOp>(location, a, b);
}
Value KernelBuilder::mul(Value a, int64_t b) {
  if (b == 1)
    return a;
  if (isPowerOfTwo(b))
    return shiftLeft(a, llvm::Log2_64(b));
  return mul(a, constantLike(*this, a, b));
}
Value KernelBuilder::divUnsigned(Value a, Value b) {
  return builder.createOrFold<arith::DivUIOp>(location, a, b);
}
Value KernelBuilder::divUnsigned(Value a, int64_t b) {
  return isPowerOfTwo(b) ? shiftRight(a, llvm::Log2_64(b))
                         : divUnsigned(a, constantLike(*this, a, b));
}
Value KernelBuilder::remUnsigned(Value a, Value b) {
  return builder.createOrFold<arith::RemUIOp>(location, a, b);
}
Value KernelBuilder::remUnsigned(Value a, int64_t b) {
  return isPowerOfTwo(b) ? bitAnd(a, b - 1) : remUnsigned(a, constantLike(*this, a, b));
}
Value KernelBuilder::ceilDiv(Value a, Value b) { return divUnsigned(add(a, add(b, -1)), b); }
Value KernelBuilder::ceilDiv(Value a, int64_t b) { return divUnsigned(add(a, b - 1), b); }
Value KernelBuilder::minSigned(Value a, Value b) {
  return builder.createOrFold<arith::MinSIOp>(location, a, b);
}
Value KernelBuilder::maxSigned(Value a, Value b) {
  return builder.createOrFold<arith::MaxSIOp>(location, a, b);
}
Value KernelBuilder::shiftLeft(Value a, int64_t bits) {
  return bits == 0 ? a
                   : builder.createOrFold<arith::ShLIOp>(location, a, constantLike(*this, a, bits));
}
Value KernelBuilder::shiftRight(Value a, int64_t bits) {
  return bits == 0
             ? a
             : builder.createOrFold<arith::ShRUIOp>(location, a, constantLike(*this, a, bits));
}
Value KernelBuilder::bitAnd(Value a, Value b) {
  return builder.createOrFold<arith::AndIOp>(location, a, b);
}
Value KernelBuilder::bitAnd(Value a, int64_t b) { return bitAnd(a, constantLike(*this, a, b)); }
Value KernelBuilder::bitOr(Value a, Value b) {
  return builder.createOrFold<arith::OrIOp>(location, a, b);
}
Value KernelBuilder::bitXor(Value a, Value b) {
  return builder.createOrFold<arith::XOrIOp>(location, a, b);
}
Value KernelBuilder::bitXor(Value a, int64_t b) {
  return b == 0 ? a : bitXor(a, constantLike(*this, a, b));
}
Value KernelBuilder::compare(Compare predicate, Value a, Value b) {
  return builder.createOrFold<arith::CmpIOp>(location, predicate, a, b);
}
Value KernelBuilder::compare(Compare predicate, Value a, int64_t b) {
  return compare(predicate, a, constantLike(*this, a, b));
}
Value KernelBuilder::select(Value condition, Value a, Value b) {
  return builder.createOrFold<arith::SelectOp>(location, condition, a, b);
}
Value KernelBuilder::zeroExtend(Value a) {
  return builder.createOrFold<arith::ExtUIOp>(location, i64Type(), a);
}
Value KernelBuilder::signExtend(Value a) {
  return builder.createOrFold<arith::ExtSIOp>(location, i64Type(), a);
}
Value KernelBuilder::truncate(Value a) {
  return builder.createOrFold<arith::TruncIOp>(location, i32Type(), a);
}

//===----------------------------------------------------------------------===//
// f32
//===----------------------------------------------------------------------===//

Value KernelBuilder::fadd(Value a, Value b) {
  return arith::AddFOp::create(builder, location, a, b, arith::FastMathFlags::contract);
}
Value KernelBuilder::fsub(Value a, Value b) {
  return arith::SubFOp::create(builder, location, a, b, arith::FastMathFlags::contract);
}
Value KernelBuilder::fmul(Value a, Value b) {
  return arith::MulFOp::create(builder, location, a, b, arith::FastMathFlags::contract);
}
Value KernelBuilder::fmulExact(Value a, Value b) {
  return arith::MulFOp::create(builder, location, a, b);
}
Value KernelBuilder::fdiv(Value a, Value b) {
  return arith::DivFOp::create(builder, location, a, b);
}
Value KernelBuilder::fneg(Value a) { return arith::NegFOp::create(builder, location, a); }
Value KernelBuilder::fma(Value a, Value b, Value c) {
  return LLVM::FMAOp::create(builder, location, a, b, c);
}
Value KernelBuilder::fmax(Value a, Value b) {
  return arith::MaxNumFOp::create(builder, location, a, b);
}
Value KernelBuilder::fsqrt(Value a) {
  return LLVM::SqrtOp::create(builder, location, f32Type(), a);
}
Value KernelBuilder::fround(Value a) {
  return LLVM::RintOp::create(builder, location, f32Type(), a);
}

namespace {
Value callIntrinsic(mlir::OpBuilder &builder, mlir::Location location, llvm::StringRef name,
                    Type type, ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(builder, location, type, builder.getStringAttr(name),
                                       operands)
      .getResult(0);
}
} // namespace

Value KernelBuilder::exp2(Value a) {
  return callIntrinsic(builder, location, "llvm.nvvm.ex2.approx.ftz.f32", f32Type(), a);
}
Value KernelBuilder::reciprocal(Value a) {
  return callIntrinsic(builder, location, "llvm.nvvm.rcp.approx.ftz.f", f32Type(), a);
}
// The back end has no lg2 for llvm.log2 without an option of the process.
Value KernelBuilder::log2(Value a) {
  return inlineAsm("lg2.approx.ftz.f32 $0, $1;", "=f,f", a, f32Type());
}
Value KernelBuilder::sine(Value a) {
  return LLVM::SinOp::create(builder, location, f32Type(), a, LLVM::FastmathFlags::afn);
}
Value KernelBuilder::cosine(Value a) {
  return LLVM::CosOp::create(builder, location, f32Type(), a, LLVM::FastmathFlags::afn);
}
Value KernelBuilder::isGreater(Value a, Value b) {
  return arith::CmpFOp::create(builder, location, arith::CmpFPredicate::OGT, a, b);
}
Value KernelBuilder::isDifferent(Value a, Value b) {
  return builder.createOrFold<arith::CmpFOp>(location, arith::CmpFPredicate::UNE, a, b);
}
Value KernelBuilder::isZero(Value a) {
  return arith::CmpFOp::create(builder, location, arith::CmpFPredicate::OEQ, a, f32(0));
}
Value KernelBuilder::isInfinite(Value a) {
  auto isPole = [&](Value pole) -> Value {
    return arith::CmpFOp::create(builder, location, arith::CmpFPredicate::OEQ, a, pole);
  };
  return bitOr(isPole(minusInfinity()), isPole(fneg(minusInfinity())));
}
Value KernelBuilder::toFloat(Value integer) {
  return arith::SIToFPOp::create(builder, location, f32Type(), integer);
}
Value KernelBuilder::toInteger64(Value a) {
  return arith::FPToSIOp::create(builder, location, i64Type(), a);
}

Value KernelBuilder::opaque(Value a) {
  bool wide = a.getType().isInteger(64);
  std::string constraint = a.getType().isF32() ? "f" : wide ? "l" : "r";
  return inlineAsm(wide ? "mov.b64 $0, $1;" : "mov.b32 $0, $1;",
                   "=" + constraint + "," + constraint, a, a.getType(), /*hasSideEffects=*/true);
}

//===----------------------------------------------------------------------===//
// 16-bit elements
//===----------------------------------------------------------------------===//

Value KernelBuilder::pack(Value low, Value high, Type element) {
  auto pair = mlir::VectorType::get({2}, element);
  Value word = callIntrinsic(builder, location,
                             element.isBF16() ? "llvm.nvvm.ff2bf16x2.rn" : "llvm.nvvm.ff2f16x2.rn",
                             pair, {high, low});
  return LLVM::BitcastOp::create(builder, location, i32Type(), word);
}

std::array<Value, 2> KernelBuilder::unpack(Value word, Type element) {
  if (element.isBF16()) { // the upper half of an f32
    auto bits = [&](Value v) -> Value {
      return arith::BitcastOp::create(builder, location, f32Type(), v);
    };
    return {bits(shiftLeft(word, 16)), bits(bitAnd(word, 0xffff0000))};
  }
  Value pair =
      LLVM::BitcastOp::create(builder, location, mlir::VectorType::get({2}, element), word);
  std::array<Value, 2> result;
  for (int i = 0; i < 2; ++i)
    result[i] = arith::ExtFOp::create(
        builder, location, f32Type(),
        LLVM::ExtractElementOp::create(builder, location, pair, i32(i)).getResult());
  return result;
}

//===----------------------------------------------------------------------===//
// Place of the thread
//===----------------------------------------------------------------------===//

Value KernelBuilder::ownRead(llvm::StringRef specialRegister) {
  return inlineAsm(("mov.u32 $0, " + specialRegister + ";").str(), "=r", {}, i32Type(),
                   /*hasSideEffects=*/true);
}
void KernelBuilder::rereadThread() { ownThread = ownRead("%tid.x"); }
void KernelBuilder::rereadBlock() {
  ownBlock = {ownRead("%ctaid.x"), ownRead("%ctaid.y"), ownRead("%ctaid.z")};
}
Value KernelBuilder::thread() {
  return ownThread ? ownThread : NVVM::ThreadIdXOp::create(builder, location, i32Type());
}
Value KernelBuilder::lane() { return bitAnd(thread(), 31); }
Value KernelBuilder::warp(int64_t units) { return units == 1 ? i32(0) : shiftRight(thread(), 5); }
void KernelBuilder::followPriorGrid() {
  NVVM::GriddepcontrolOp::create(builder, location, NVVM::GridDepActionKind::launch_dependents);
  NVVM::GriddepcontrolOp::create(builder, location, NVVM::GridDepActionKind::wait);
}
Value KernelBuilder::blockIndex(int dimension) {
  if (ownBlock[dimension])
    return ownBlock[dimension];
  switch (dimension) {
  case 0:
    return NVVM::BlockIdXOp::create(builder, location, i32Type());
  case 1:
    return NVVM::BlockIdYOp::create(builder, location, i32Type());
  default:
    return NVVM::BlockIdZOp::create(builder, location, i32Type());
  }
}
Value KernelBuilder::gridSize(int dimension) {
  switch (dimension) {
  case 0:
    return NVVM::GridDimXOp::create(builder, location, i32Type());
  case 1:
    return NVVM::GridDimYOp::create(builder, location, i32Type());
  default:
    return NVVM::GridDimZOp::create(builder, location, i32Type());
  }
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value KernelBuilder::offset(Value pointer, Value bytes) {
  return LLVM::GEPOp::create(builder, location, pointer.getType(), builder.getI8Type(), pointer,
                             ValueRange(bytes));
}
Value KernelBuilder::offset(Value pointer, int64_t bytes) {
  if (bytes == 0)
    return pointer;
  return LLVM::GEPOp::create(builder, location, pointer.getType(), builder.getI8Type(), pointer,
                             llvm::ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(bytes)});
}
Value KernelBuilder::flipAddress(Value pointer, int64_t bits) {
  if (bits == 0)
    return pointer;
  Value address = LLVM::PtrToIntOp::create(builder, location, i32Type(), pointer);
  return LLVM::IntToPtrOp::create(builder, location, pointer.getType(), bitXor(address, bits));
}
Value KernelBuilder::at(Value ofThread, const tile::SharedAccess::Access &access) {
  return offset(flipAddress(ofThread, access.flip), access.immediate);
}
Value KernelBuilder::toInteger(Value pointer) {
  return LLVM::PtrToIntOp::create(builder, location, i64Type(), pointer);
}
Value KernelBuilder::toPointer(Value address) {
  return LLVM::IntToPtrOp::create(builder, location, pointerType(AddressSpace::Global), address);
}
Value KernelBuilder::isNull(Value pointer) {
  return compare(Compare::eq, LLVM::PtrToIntOp::create(builder, location, i64Type(), pointer), 0);
}
Value KernelBuilder::isGiven(Value pointer) {
  return compare(Compare::ne, LLVM::PtrToIntOp::create(builder, location, i64Type(), pointer), 0);
}
Value KernelBuilder::load(Value pointer, Type type, int64_t alignment) {
  return LLVM::LoadOp::create(builder, location, type, pointer, alignment);
}
Value KernelBuilder::loadHalf(Value pointer, Type element) {
  Value bits = load(pointer, builder.getIntegerType(16), 2);
  return unpack(builder.createOrFold<arith::ExtUIOp>(location, i32Type(), bits), element)[0];
}
void KernelBuilder::store(Value value, Value pointer, int64_t alignment) {
  LLVM::StoreOp::create(builder, location, value, pointer, alignment);
}
Values KernelBuilder::loadVector(Value pointer, Type element, int64_t count) {
  if (count == 1)
    return {load(pointer, element, 4)};
  Value vector = load(pointer, mlir::VectorType::get({count}, element), 4 * count);
  Values result;
  for (int64_t i = 0; i < count; ++i)
    result.push_back(LLVM::ExtractElementOp::create(builder, location, vector, i32(i)));
  return result;
}
void KernelBuilder::storeVector(ValueRange values, Value pointer) {
  int64_t count = values.size();
  if (count == 1)
    return store(values[0], pointer, 4);
  Value vector = LLVM::PoisonOp::create(builder, location,
                                        mlir::VectorType::get({count}, values[0].getType()));
  for (int64_t i = 0; i < count; ++i)
    vector = LLVM::InsertElementOp::create(builder, location, vector, values[i], i32(i));
  store(vector, pointer, 4 * count);
}
void KernelBuilder::atomicOr(Value pointer, Value bits) {
  LLVM::AtomicRMWOp::create(builder, location, LLVM::AtomicBinOp::_or, pointer, bits,
                            LLVM::AtomicOrdering::monotonic, "device");
}
Value KernelBuilder::atomicIncrement(Value pointer, Value limit) {
  return LLVM::AtomicRMWOp::create(builder, location, LLVM::AtomicBinOp::uinc_wrap, pointer, limit,
                                   LLVM::AtomicOrdering::monotonic, "device");
}
Value KernelBuilder::sharedMemory(int64_t bytes) {
  return offset(LLVM::AddressOfOp::create(builder, location, pointerType(AddressSpace::Shared),
                                          sharedMemorySymbol),
                bytes);
}
Value KernelBuilder::constants(llvm::StringRef name, llvm::ArrayRef<float> values) {
  auto function = builder.getInsertionBlock()->getParent()->getParentOfType<LLVM::LLVMFuncOp>();
  if (!mlir::SymbolTable::lookupSymbolIn(function->getParentOp(), name)) {
    mlir::OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(function);
    auto type = mlir::RankedTensorType::get({static_cast<int64_t>(values.size())}, f32Type());
    LLVM::GlobalOp::create(builder, location, LLVM::LLVMArrayType::get(f32Type(), values.size()),
                           /*isConstant=*/true, LLVM::Linkage::Internal, name,
                           mlir::DenseElementsAttr::get(type, values), /*alignment=*/16,
                           static_cast<unsigned>(AddressSpace::Constant));
  }
  return LLVM::AddressOfOp::create(builder, location, pointerType(AddressSpace::Constant), name);
}

//===----------------------------------------------------------------------===//
// Warp-wide
//===----------------------------------------------------------------------===//

Value KernelBuilder::shuffleXor(Value value, int64_t laneMask) {
  return NVVM::ShflOp::create(builder, location, value.getType(), i32(-1), value, i32(laneMask),
                              i32(31), NVVM::ShflKind::bfly, mlir::UnitAttr());
}
Value KernelBuilder::shuffleIndex(Value value, Value fromLane) {
  return NVVM::ShflOp::create(builder, location, value.getType(), i32(-1), value, fromLane, i32(31),
                              NVVM::ShflKind::idx, mlir::UnitAttr());
}
Value KernelBuilder::electLane() {
  return NVVM::ElectSyncOp::create(builder, location, i1Type(), Value());
}
Value KernelBuilder::anyLane(Value condition) {
  return NVVM::VoteSyncOp::create(builder, location, i1Type(), i32(-1), condition,
                                  NVVM::VoteSyncKind::any);
}
void KernelBuilder::warpBarrier() { NVVM::SyncWarpOp::create(builder, location, i32(-1)); }
void KernelBuilder::blockBarrier() { NVVM::Barrier0Op::create(builder, location); }

void KernelBuilder::namedBarrier(Value number, int64_t threads) {
  inlineAsm("bar.sync $0, " + std::to_string(threads) + ";", "r,~{memory}", number, Type(),
            /*hasSideEffects=*/true);
}
void KernelBuilder::arriveAtNamedBarrier(Value number, int64_t threads) {
  inlineAsm("bar.arrive $0, " + std::to_string(threads) + ";", "r,~{memory}", number, Type(),
            /*hasSideEffects=*/true);
}
void KernelBuilder::setRegisters(int64_t count, bool more) {
  NVVM::SetMaxRegisterOp::create(builder, location, static_cast<uint32_t>(count),
                                 more ? NVVM::SetMaxRegisterAction::increase
                                      : NVVM::SetMaxRegisterAction::decrease);
}

void KernelBuilder::copyAsync(Value shared, Value global, Value sourceBytes) {
  NVVM::CpAsyncOp::create(builder, location, shared, global, 16, NVVM::LoadCacheModifierKind::CG,
                          sourceBytes);
}
void KernelBuilder::commitCopies() { NVVM::CpAsyncCommitGroupOp::create(builder, location); }
void KernelBuilder::waitForCopies(int64_t groupsInFlight) {
  NVVM::CpAsyncWaitGroupOp::create(builder, location, groupsInFlight);
}

//===----------------------------------------------------------------------===//
// Barriers and tensor copies
//===----------------------------------------------------------------------===//

void KernelBuilder::initBarriers(Value first, int64_t barriers, int64_t arrivals) {
  for (int64_t i = 0; i < barriers; ++i)
    NVVM::MBarrierInitOp::create(builder, location, offset(first, 8 * i), i32(arrivals), Value());
  NVVM::FenceMbarrierInitOp::create(builder, location);
}

void KernelBuilder::arriveExpecting(Value barrier, Value bytes) {
  inlineAsm("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "r,r,~{memory}",
            {barrier, bytes}, Type(), /*hasSideEffects=*/true);
}

Value KernelBuilder::arriveExpectingState(Value barrier, Value bytes) {
  return inlineAsm("mbarrier.arrive.expect_tx.shared::cta.b64 $0, [$1], $2;", "=l,r,r,~{memory}",
                   {barrier, bytes}, i64Type(), /*hasSideEffects=*/true);
}

void KernelBuilder::arrive(Value barrier) {
  inlineAsm("mbarrier.arrive.shared::cta.b64 _, [$0];", "r,~{memory}", barrier, Type(),
            /*hasSideEffects=*/true);
}

// One asm: a branch would let the optimizer move what stands around it.
void KernelBuilder::arriveIf(Value barrier, Value condition) {
  Value word = arith::ExtUIOp::create(builder, location, i32Type(), condition);
  inlineAsm("{\n"
            ".reg .pred arrives;\n"
            "setp.ne.b32 arrives, $1, 0;\n"
            "@arrives mbarrier.arrive.shared::cta.b64 _, [$0];\n"
            "}",
            "r,r,~{memory}", {barrier, word}, Type(), /*hasSideEffects=*/true);
}

// One asm: a loop of blocks would let the optimizer duplicate or move what stands around it.
void KernelBuilder::waitForBarrier(Value barrier, Value phase) {
  bool parity = phase.getType() == i32Type();
  inlineAsm(std::string("{\n"
                        ".reg .pred landed;\n"
                        "again: mbarrier.try_wait") +
                (parity ? ".parity" : "") +
                ".shared::cta.b64 landed, [$0], $1;\n"
                "@!landed bra again;\n"
                "}",
            parity ? "r,r,~{memory}" : "r,l,~{memory}", {barrier, phase}, Type(),
            /*hasSideEffects=*/true);
}

void KernelBuilder::copyBox(Value shared, Value tensorMap, ValueRange coordinates, Value barrier,
                            Value policy) {
  Value cluster =
      LLVM::AddrSpaceCastOp::create(builder, location, pointerType(AddressSpace::Cluster), shared);
  NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
      builder, location, cluster, tensorMap, coordinates, barrier, /*im2colOffsets=*/ValueRange(),
      /*multicastMask=*/Value(), /*l2CacheHint=*/policy, NVVM::TMALoadMode::TILE,
      /*isCTAOnly=*/false, /*group=*/NVVM::CTAGroupKindAttr(), /*predicate=*/Value());
}

Value KernelBuilder::evictFirst() {
  return inlineAsm("createpolicy.fractional.L2::evict_first.b64 $0, 1.0;", "=l", {}, i64Type());
}

void KernelBuilder::fenceAsyncProxy() {
  NVVM::FenceProxyOp::create(
      builder, location, NVVM::ProxyKind::async_shared,
      NVVM::SharedSpaceAttr::get(builder.getContext(), NVVM::SharedSpace::shared_cta));
}

//===----------------------------------------------------------------------===//
// Matrices
//===----------------------------------------------------------------------===//

Values KernelBuilder::structFields(Value aggregate, int64_t count) {
  Values fields;
  for (int64_t i = 0; i < count; ++i)
    fields.push_back(LLVM::ExtractValueOp::create(builder, location, aggregate, i));
  return fields;
}

Values KernelBuilder::loadMatrices(Value address, int64_t count, bool transposed) {
  mlir::MLIRContext *context = builder.getContext();
  Type result = i32Type();
  if (count > 1)
    result = LLVM::LLVMStructType::getLiteral(context, llvm::SmallVector<Type>(count, i32Type()));
  Value words = NVVM::LdMatrixOp::create(
      builder, location, result, address, static_cast<uint32_t>(count),
      transposed ? NVVM::MMALayout::col : NVVM::MMALayout::row,
      NVVM::LdStMatrixShapeAttr::get(context, 8, 8), NVVM::LdStMatrixEltType::B16);
  return count > 1 ? structFields(words, count) : Values{words};
}

void KernelBuilder::storeMatrices(Value address, ValueRange words) {
  mlir::MLIRContext *context = builder.getContext();
  NVVM::StMatrixOp::create(builder, location, address, words, NVVM::MMALayout::row,
                           NVVM::LdStMatrixShapeAttr::get(context, 8, 8),
                           NVVM::LdStMatrixEltType::B16);
}

Value KernelBuilder::transposeMatrix(Value word) {
  return inlineAsm("movmatrix.sync.aligned.m8n8.trans.b16 $0, $1;", "=r,r", word, i32Type());
}

Values KernelBuilder::product(ValueRange a, ValueRange b, ValueRange c, Type element) {
  Values lhs(a), rhs(b);
  auto multiplicand = NVVM::MMATypes::bf16;
  if (!element.isBF16()) { // f16 operands are pairs
    multiplicand = NVVM::MMATypes::f16;
    for (Values *operands : {&lhs, &rhs})
      for (Value &word : *operands)
        word =
            LLVM::BitcastOp::create(builder, location, mlir::VectorType::get({2}, element), word);
  }
  Type result =
      LLVM::LLVMStructType::getLiteral(builder.getContext(), llvm::SmallVector<Type>(4, f32Type()));
  Value sums = NVVM::MmaOp::create(
      builder, location, result, lhs, rhs, c, {16, 8, 16}, std::nullopt, std::nullopt,
      std::array<NVVM::MMATypes, 2>{multiplicand, multiplicand},
      std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row, NVVM::MMALayout::col});
  return structFields(sums, 4);
}

Value KernelBuilder::inlineAsm(llvm::StringRef text, llvm::StringRef constraints,
                               ValueRange operands, Type result, bool hasSideEffects) {
  auto op = LLVM::InlineAsmOp::create(
      builder, location, result ? mlir::TypeRange(result) : mlir::TypeRange(), operands, text,
      constraints, hasSideEffects,
      /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
      LLVM::AsmDialectAttr::get(builder.getContext(), LLVM::AsmDialect::AD_ATT), mlir::ArrayAttr());
  return result ? op->getResult(0) : Value();
}

//===----------------------------------------------------------------------===//
// Products of a warpgroup
//===----------------------------------------------------------------------===//

namespace {

char constraintOf(Type type) { return type.isF32() ? 'f' : type.isInteger(64) ? 'l' : 'r'; }

/// "$first, $first+1, …"
std::string operandList(int64_t first, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i)
    text += (i ? ", $" : "$") + std::to_string(first + i);
  return text;
}

/// Results of the types of `values`, each in the register of the operand of its place.
std::string tiedConstraints(ValueRange values) {
  std::string outputs, inputs;
  for (auto [i, value] : llvm::enumerate(values)) {
    outputs += std::string(i ? "," : "") + "=" + constraintOf(value.getType());
    inputs += "," + std::to_string(i);
  }
  return outputs + inputs;
}

} // namespace

void KernelBuilder::fenceProducts() { NVVM::WgmmaFenceAlignedOp::create(builder, location); }
void KernelBuilder::commitProducts() { NVVM::WgmmaGroupSyncAlignedOp::create(builder, location); }

Values KernelBuilder::awaitProducts(int64_t ahead, ValueRange values) {
  Type result =
      LLVM::LLVMStructType::getLiteral(builder.getContext(), llvm::to_vector(values.getTypes()));
  Value passed = inlineAsm("wgmma.wait_group.sync.aligned " + std::to_string(ahead) + ";",
                           tiedConstraints(values), values, result, /*hasSideEffects=*/true);
  return structFields(passed, values.size());
}

Value KernelBuilder::matrixDescriptor(Value shared, Value strides) {
  // PTX ISA, "Matrix Descriptor": addresses in 16 bytes, in the lowest 14 bits, which none leaves.
  constexpr int64_t addressBits = (1 << 18) - 1, unit = 16;
  auto address = shared.getDefiningOp<LLVM::GEPOp>();
  if (!address || address.getElemType() != builder.getI8Type()) {
    Value whole = LLVM::PtrToIntOp::create(builder, location, i32Type(), shared);
    return bitOr(zeroExtend(shiftRight(bitAnd(whole, addressBits), 4)), strides);
  }
  // What is added to a base is added to the base's descriptor, which is the same everywhere.
  Value base = matrixDescriptor(address.getBase(), strides);
  if (address.getDynamicIndices().empty()) {
    int64_t bytes = address.getRawConstantIndices()[0];
    assert(bytes >= 0 && bytes % unit == 0 && "not the address of a matrix");
    return add(base, bytes / unit);
  }
  return add(base, zeroExtend(shiftRight(address.getDynamicIndices()[0], 4)));
}

Values KernelBuilder::matrixDescriptors(Value shared, const tile::WgmmaOperand &operand) {
  int64_t swizzle = operand.swizzleBytes == 128 ? 1 : operand.swizzleBytes == 64 ? 2 : 3;
  Value first = matrixDescriptor(
      shared, i64((operand.stride / 16 | swizzle << 30) << 32 | operand.leading / 16 << 16));
  if (operand.offsets.size() > 8) // kept through a loop they would not fit the uniform registers
    first = opaque(first);
  Values descriptors;
  for (int64_t offset : operand.offsets)
    descriptors.push_back(add(first, offset / 16));
  return descriptors;
}

Values KernelBuilder::warpgroupProduct(ValueRange a, Value b, ValueRange c, int64_t n,
                                       bool transposedB, Type element) {
  int64_t sums = n / 2, firstOperand = c.empty() ? sums : 2 * sums;
  const std::string type = element.isBF16() ? "bf16" : "f16";
  std::string text = "wgmma.mma_async.sync.aligned.m64n" + std::to_string(n) + "k16.f32." + type +
                     "." + type + " {" + operandList(0, sums) + "}, ";
  text += a.size() == 1 ? operandList(firstOperand, 1) : "{" + operandList(firstOperand, 4) + "}";
  text += ", $" + std::to_string(firstOperand + a.size());
  // Scale of d (0: it is only written), of a, of b, then which operands are transposed.
  text += std::string(", ") + (c.empty() ? "0" : "1") + ", 1, 1";
  if (a.size() == 1)
    text += ", 0";
  text += transposedB ? ", 1;" : ", 0;";

  Values operands(c);
  std::string constraints;
  if (c.empty()) {
    for (int64_t i = 0; i < sums; ++i)
      constraints += i ? ",=f" : "=f";
  } else {
    constraints = tiedConstraints(c);
  }
  for (Value operand : a) {
    operands.push_back(operand);
    constraints += std::string(",") + constraintOf(operand.getType());
  }
  operands.push_back(b);
  constraints += ",l";
  Type result = LLVM::LLVMStructType::getLiteral(builder.getContext(),
                                                 llvm::SmallVector<Type>(sums, f32Type()));
  return structFields(inlineAsm(text, constraints, operands, result, /*hasSideEffects=*/true),
                      sums);
}

//===----------------------------------------------------------------------===//
// Control
//===----------------------------------------------------------------------===//

void KernelBuilder::ifThen(Value condition, llvm::function_ref<void()> then) {
  auto op = scf::IfOp::create(builder, location, mlir::TypeRange(), condition, /*withElse=*/false);
  mlir::OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(op.thenBlock());
  then();
}

Values KernelBuilder::ifElse(Value condition, llvm::ArrayRef<Type> types,
                             llvm::function_ref<Values()> then,
                             llvm::function_ref<Values()> otherwise) {
  auto op =
      scf::IfOp::create(builder, location, mlir::TypeRange(types), condition, /*withElse=*/true);
  mlir::OpBuilder::InsertionGuard guard(builder);
  for (auto [block, body] :
       {std::pair(op.thenBlock(), then), std::pair(op.elseBlock(), otherwise)}) {
    // Without results the blocks come with their terminators.
    builder.setInsertionPointToStart(block);
    Values values = body();
    if (!types.empty())
      scf::YieldOp::create(builder, location, values);
  }
  return Values(op.getResults());
}

Values KernelBuilder::loop(Value begin, Value end, Value step, ValueRange initial,
                           llvm::function_ref<Values(Value, ValueRange)> body) {
  auto op = scf::ForOp::create(
      builder, location, begin, end, step, initial,
      [&](mlir::OpBuilder &nested, mlir::Location, Value index, ValueRange carried) {
        mlir::OpBuilder::InsertionGuard guard(builder);
        builder.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
        Values values = body(index, carried);
        scf::YieldOp::create(builder, location, values);
      });
  return Values(op.getResults());
}

Values KernelBuilder::repeatWhile(Value initial, llvm::ArrayRef<Type> types,
                                  llvm::function_ref<Round(Value)> body) {
  llvm::SmallVector<Type> passed = {initial.getType()};
  llvm::append_range(passed, types);
  auto op = scf::WhileOp::create(
      builder, location, passed, initial,
      [&](mlir::OpBuilder &nested, mlir::Location, ValueRange carried) {
        mlir::OpBuilder::InsertionGuard guard(builder);
        builder.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
        Round round = body(carried.front());
        Values values = {round.state};
        values.append(round.results);
        scf::ConditionOp::create(builder, location, round.again, values);
      },
      [&](mlir::OpBuilder &nested, mlir::Location loc, ValueRange carried) {
        scf::YieldOp::create(nested, loc, carried.front());
      });
  return Values(op.getResults().drop_front());
}

} // namespace attncc::lowering
