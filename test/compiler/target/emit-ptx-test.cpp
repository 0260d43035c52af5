//===- emit-ptx-test.cpp - PTX text from a gpu.module ----------------------===//
#include "compiler/target/EmitPtx.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

using namespace attncc;
using ::testing::HasSubstr;

namespace {

class EmitPtx : public ::testing::Test {
protected:
  EmitPtx() : context(makeRegistry(), mlir::MLIRContext::Threading::DISABLED) {}

  Result<std::string> emit(const std::string &text) {
    mlir::OwningOpRef<mlir::ModuleOp> module =
        mlir::parseSourceString<mlir::ModuleOp>(text, mlir::ParserConfig(&context));
    if (!module)
      return makeError(Status::InvalidArgument, "the test's module does not parse");
    return emitPtx(*module, *findTarget("sm_80"));
  }

  /// A kernel `k` with one pointer and one i32 argument around `body`.
  static std::string kernel(const std::string &body) {
    return "module { gpu.module @m {\n"
           "llvm.mlir.global external @shared() {addr_space = 3 : i32, alignment = 1024 : i64} : "
           "!llvm.array<0 x i8>\n"
           "llvm.func @k(%p: !llvm.ptr<1>, %n: i32) attributes {nvvm.kernel, nvvm.reqntid = "
           "array<i32: 128, 1, 1>, "
           "nvvm.minctasm = 1 : i32} {\n" +
           body + "\nllvm.return } } }";
  }

private:
  static mlir::DialectRegistry makeRegistry() {
    mlir::DialectRegistry registry;
    registerPtxEmission(registry);
    return registry;
  }
  mlir::MLIRContext context;
};

size_t occurrences(const std::string &text, const std::string &what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
    ++count;
  return count;
}

} // namespace

TEST_F(EmitPtx, HeaderNamesVersionTargetAndThreads) {
  Result<std::string> ptx = emit(kernel("llvm.store %n, %p : i32, !llvm.ptr<1>"));
  ASSERT_TRUE(bool(ptx)) << ptx.error().diagnostic.text();
  EXPECT_THAT(*ptx, HasSubstr(".version 7.8"));
  EXPECT_THAT(*ptx, HasSubstr(".target sm_80"));
  EXPECT_THAT(*ptx, HasSubstr(".visible .entry k("));
  EXPECT_THAT(*ptx, HasSubstr(".reqntid 128"));
}

// The address of shared memory is a 32-bit register.
TEST_F(EmitPtx, SharedPointersAreShort) {
  Result<std::string> ptx =
      emit(kernel("%s = llvm.mlir.addressof @shared : !llvm.ptr<3>\n"
                  "%a = llvm.getelementptr %s[%n] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8\n"
                  "llvm.store %n, %a : i32, !llvm.ptr<3>"));
  ASSERT_TRUE(bool(ptx)) << ptx.error().diagnostic.text();
  EXPECT_THAT(*ptx, HasSubstr(".extern .shared .align 1024 .b8 shared[]"));
  EXPECT_THAT(*ptx, HasSubstr("mov.b32 \t%r"));
  EXPECT_THAT(*ptx, ::testing::Not(HasSubstr("st.shared.b32 \t[%rd")));
}

// Both arms of a divergent branch lead to the same barrier; jump threading would make two copies of
// an instruction that is not convergent.
TEST_F(EmitPtx, InlineAsmIsConvergent) {
  Result<std::string> ptx = emit(kernel(
      "%c0 = arith.constant 0 : i32\n%c1 = arith.constant 1 : i32\n"
      "%t = nvvm.read.ptx.sreg.tid.x : i32\n"
      "%even = arith.cmpi slt, %t, %n : i32\n"
      "%x = scf.if %even -> i32 { llvm.store %t, %p : i32, !llvm.ptr<1>\n scf.yield %c0 : i32 } "
      "else { scf.yield %c1 : i32 }\n"
      "llvm.inline_asm has_side_effects asm_dialect = att \"bar.sync 1, 128;\", \"\" : () -> ()\n"
      "%z = arith.cmpi eq, %x, %c0 : i32\n"
      "scf.if %z { llvm.store %n, %p : i32, !llvm.ptr<1> }"));
  ASSERT_TRUE(bool(ptx)) << ptx.error().diagnostic.text();
  EXPECT_EQ(occurrences(*ptx, "bar.sync"), 1u);
}

// A loop with a runtime trip count stays one loop with one body.
TEST_F(EmitPtx, LoopsAreNotUnrolled) {
  Result<std::string> ptx =
      emit(kernel("%c0 = arith.constant 0 : i32\n%c1 = arith.constant 1 : i32\n"
                  "scf.for %i = %c0 to %n step %c1 : i32 {\n"
                  "%v = llvm.load volatile %p : !llvm.ptr<1> -> i32\n"
                  "llvm.store volatile %v, %p : i32, !llvm.ptr<1> }"));
  ASSERT_TRUE(bool(ptx)) << ptx.error().diagnostic.text();
  EXPECT_EQ(occurrences(*ptx, "ld.volatile.global"), 1u);
}

TEST_F(EmitPtx, SameModuleGivesSameText) {
  std::string text = kernel("%e = arith.bitcast %n : i32 to f32\n%x = math.exp2 %e : "
                            "f32\nllvm.store %x, %p : f32, !llvm.ptr<1>");
  Result<std::string> first = emit(text), second = emit(text);
  ASSERT_TRUE(bool(first) && bool(second));
  EXPECT_EQ(*first, *second);
  EXPECT_THAT(*first, HasSubstr("ex2.approx"));
}

TEST_F(EmitPtx, ModuleWithoutGpuModuleIsAnError) {
  Result<std::string> ptx = emit("module {}");
  ASSERT_FALSE(bool(ptx));
  EXPECT_THAT(ptx.error().diagnostic.message, HasSubstr("expected one gpu.module, found 0"));
}

// A cast that nothing resolves is reported, not passed on to LLVM.
TEST_F(EmitPtx, LeftoverCastIsAnError) {
  Result<std::string> ptx =
      emit(kernel("%x = builtin.unrealized_conversion_cast %n : i32 to vector<2x2xi32>\n"
                  "%y = builtin.unrealized_conversion_cast %x : vector<2x2xi32> to i64\n"
                  "llvm.store %y, %p : i64, !llvm.ptr<1>"));
  ASSERT_FALSE(bool(ptx));
  EXPECT_THAT(ptx.error().diagnostic.message, HasSubstr("cannot emit ptx: "));
}

// A constraint that the back end does not know is an error message; LLVM itself would crash.
TEST_F(EmitPtx, BadConstraintsAreAnError) {
  Result<std::string> ptx = emit(kernel(
      "%x = llvm.inline_asm asm_dialect = att \"mov.b32 $0, $1;\", \"=r,bogus\" %n : (i32) -> i32\n"
      "llvm.store %x, %p : i32, !llvm.ptr<1>"));
  ASSERT_FALSE(bool(ptx));
  EXPECT_THAT(ptx.error().diagnostic.message, HasSubstr("constraints '=r,bogus' do not fit"));
}

// So are known constraints that are more than the operands.
TEST_F(EmitPtx, TooManyConstraintsAreAnError) {
  Result<std::string> ptx = emit(kernel(
      "%x = llvm.inline_asm asm_dialect = att \"mov.b32 $0, $1;\", \"=r,r,r\" %n : (i32) -> i32\n"
      "llvm.store %x, %p : i32, !llvm.ptr<1>"));
  ASSERT_FALSE(bool(ptx));
  EXPECT_THAT(ptx.error().diagnostic.message, HasSubstr("constraints '=r,r,r' do not fit"));
}
