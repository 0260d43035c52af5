//===- ScalarTest.cpp - integer, float and conversion semantics -----------===//
//
// Tests runtime/simulator/{Moves,Integers,Floats,Halves,Comparisons,Conversions}.cpp. Values
// are written down from the PTX ISA or were folded by ptxas 13.0; conversions of 16-bit formats
// are compared with a decoder of their own for every code.
//
//===----------------------------------------------------------------------===//
#include "test/simulator/Harness.h"

#include <cmath>
#include <random>

namespace attncc::simulator::test {
namespace {

struct Case {
  const char *text; ///< leaves its result in %r2, %rd4, %rs2 or %p2
  uint64_t expected;
};

/// Runs each case in one kernel and compares what it leaves in the result register.
void check(const std::vector<Case> &cases) {
  std::string body;
  for (size_t i = 0; i < cases.size(); ++i) {
    std::string text = cases[i].text, at = "[%rd1+" + std::to_string(8 * i) + "]";
    body += text + "\n";
    if (text.find("%rd4") != std::string::npos)
      body += "st.global.b64 " + at + ", %rd4;\n";
    else if (text.find("%rs2") != std::string::npos)
      body += "cvt.u64.u16 %rd5, %rs2; st.global.b64 " + at + ", %rd5;\n";
    else if (text.find("%p2") != std::string::npos)
      body += "selp.b64 %rd5, 1, 0, %p2; st.global.b64 " + at + ", %rd5;\n";
    else
      body += "cvt.u64.u32 %rd5, %r2; st.global.b64 " + at + ", %rd5;\n";
  }
  Machine machine(8 * cases.size());
  machine.complete(module(body));
  for (size_t i = 0; i < cases.size(); ++i)
    EXPECT_EQ(machine.out<uint64_t>()[i], cases[i].expected) << cases[i].text;
}

TEST(Scalar, Integers) {
  check({
      {"add.s32 %r2, 0x7fffffff, 1;", 0x80000000},
      {"add.sat.s32 %r2, 0x7fffffff, 1;", 0x7fffffff},
      {"sub.s64 %rd4, 0, 1;", ~uint64_t(0)},
      {"add.s16 %rs2, 0xffff, 2;", 1},
      {"mul.lo.s32 %r2, 0x10001, 0x10001;", 0x20001},
      {"mul.hi.u32 %r2, 0x12345678, 0x9abcdef0;", 0x0b00ea4e},
      {"mul.hi.s32 %r2, -1, 5;", 0xffffffff},
      {"mul.hi.u64 %rd4, -1, -1;", 0xfffffffffffffffe},
      {"mul.wide.s32 %rd4, -2, 3;", uint64_t(-6)},
      {"mul.wide.u32 %rd4, -2, 3;", 0x2fffffffa},
      {"mul.wide.u16 %r2, 0xffff, 0xffff;", 0xfffe0001},
      {"mad.lo.s32 %r2, 7, 9, -1;", 62},
      {"mad.wide.u32 %rd4, 0x80000000, 4, 5;", 0x200000005},
      {"mad.hi.u32 %r2, 0x80000000, 4, 5;", 7},
      {"div.s32 %r2, -7, 2;", uint32_t(-3)},
      {"div.s32 %r2, 0x80000000, -1;", 0x80000000},
      {"div.u32 %r2, 77, 0;", 0xffffffff},
      {"rem.s32 %r2, -7, 2;", uint32_t(-1)},
      {"rem.u64 %rd4, 100, 7;", 2},
      {"abs.s32 %r2, 0x80000000;", 0x80000000},
      {"neg.s64 %rd4, 5;", uint64_t(-5)},
      {"min.s32 %r2, -1, 1;", 0xffffffff},
      {"min.u32 %r2, -1, 1;", 1},
      {"min.relu.s32 %r2, -1, 1;", 0},
      {"min.relu.s32 %r2, 3, 2;", 2},
      {"max.relu.s32 %r2, -2, -1;", 0},
      {"max.relu.s32 %r2, 3, 2;", 3},
      {"max.s16 %rs2, 0x8000, 1;", 1},
      {"and.b32 %r2, 0xff00, 0x0ff0;", 0x0f00},
      {"xor.b64 %rd4, -1, 1;", ~uint64_t(1)},
      {"not.b16 %rs2, 1;", 0xfffe},
      {"cnot.b32 %r2, 0;", 1},
      {"lop3.b32 %r2, 0xf0, 0xcc, 0xaa, 0x96;", 0xf0 ^ 0xcc ^ 0xaa},
      {"sad.u32 %r2, 3, 10, 100;", 107},
      {"dp4a.s32.u32 %r2, 0x01ff0203, 0x04030201, 10;", 10 + 3 + 4 - 3 + 4},
  });
}

TEST(Scalar, ShiftsAndFields) {
  check({
      {"shl.b32 %r2, 1, 31;", 0x80000000},
      {"shl.b32 %r2, 1, 32;", 0},
      {"shl.b32 %r2, 1, -1;", 0},
      {"shr.u32 %r2, 0x80000000, 40;", 0},
      {"shr.s32 %r2, 0x80000000, 40;", 0xffffffff},
      {"shr.s64 %rd4, -8, 1;", uint64_t(-4)},
      {"shl.b16 %rs2, 0xff, 12;", 0xf000},
      {"shf.l.wrap.b32 %r2, 0x12345678, 0x9abcdef0, 12;", 0xcdef0123},
      {"shf.r.wrap.b32 %r2, 0x12345678, 0x9abcdef0, 12;", 0xef012345},
      {"shf.l.wrap.b32 %r2, 0x12345678, 0x9abcdef0, 32;", 0x9abcdef0},
      {"shf.l.clamp.b32 %r2, 0x12345678, 0x9abcdef0, 40;", 0x12345678},
      {"shf.r.clamp.b32 %r2, 0x12345678, 0x9abcdef0, 40;", 0x9abcdef0},
      {"bfe.u32 %r2, 0x12345678, 4, 8;", 0x67},
      {"bfe.s32 %r2, 0x12345678, 24, 5;", 0xfffffff2},
      {"bfe.s32 %r2, 0x80000000, 28, 20;", 0xfffffff8},
      {"bfe.u32 %r2, 0xffffffff, 0, 0;", 0},
      {"bfe.s32 %r2, 0x80000000, 40, 3;", 0xffffffff},
      {"bfe.u64 %rd4, 0x123456789abcdef0, 32, 16;", 0x5678},
      {"bfe.u32 %r2, 0xdeadbeef, 0, 32;", 0xdeadbeef},
      {"bfi.b32 %r2, 0xf, 0, 28, 8;", 0xf0000000},
      {"bfi.b32 %r2, 0xff, 0x11111111, 8, 8;", 0x1111ff11},
      {"bfi.b32 %r2, 0xff, 7, 32, 8;", 7},
      {"bfi.b32 %r2, 0xff, 7, 0, 0;", 7},
      {"bfind.u32 %r2, 0x00f0;", 7},
      {"bfind.shiftamt.u32 %r2, 0x00f0;", 24},
      {"bfind.s32 %r2, -1;", 0xffffffff},
      {"bfind.s32 %r2, -256;", 7},
      {"bfind.u64 %r2, 0x100000000;", 32},
      {"popc.b32 %r2, 0xf0f0;", 8},
      {"clz.b32 %r2, 0;", 32},
      {"clz.b64 %r2, 1;", 63},
      {"brev.b32 %r2, 1;", 0x80000000},
      {"brev.b64 %rd4, 2;", uint64_t(1) << 62},
      {"prmt.b32 %r2, 0x33221100, 0x77665544, 0x7531;", 0x77553311},
      {"prmt.b32 %r2, 0x00008000, 0, 0x9998;", 0xffffff00},
  });
}

// Multi-word arithmetic through the carry flag.
TEST(Scalar, Carry) {
  check({
      {"add.cc.u32 %r3, -1, 1; addc.u32 %r2, 5, 6;", 12},
      {"add.cc.u32 %r3, 1, 1; addc.u32 %r2, 5, 6;", 11},
      {"add.cc.u32 %r3, -1, 1; addc.cc.u32 %r3, -1, 0; addc.u32 %r2, 0, 0;", 1},
      {"sub.cc.u32 %r3, 0, 1; subc.u32 %r2, 5, 1;", 3},
      {"sub.cc.u32 %r3, 1, 1; subc.u32 %r2, 5, 1;", 4},
      {"add.cc.s64 %rd5, -1, 1; addc.s64 %rd4, 0, 0;", 1},
      {"mad.lo.cc.u32 %r3, 0x10000, 0x10000, 0; madc.hi.u32 %r2, 0x10000, 0x10000, 3;", 4},
      {"mad.lo.cc.u32 %r3, -1, 1, 1; madc.hi.u32 %r2, -1, 1, 0;", 1},
  });
}

TEST(Scalar, Compare) {
  check({
      {"setp.lt.s32 %p2, -1, 1;", 1},
      {"setp.lt.u32 %p2, -1, 1;", 0},
      {"setp.lo.u32 %p2, 1, -1;", 1},
      {"setp.hs.u32 %p2, 1, 1;", 1},
      {"setp.ne.b64 %p2, 1, 1;", 0},
      {"setp.eq.f32 %p2, 0f7FC00000, 0f7FC00000;", 0},
      {"setp.ne.f32 %p2, 0f7FC00000, 0f00000000;", 0},
      {"setp.neu.f32 %p2, 0f7FC00000, 0f00000000;", 1},
      {"setp.nan.f32 %p2, 0f7FC00000, 0f00000000;", 1},
      {"setp.num.f32 %p2, 0f7FC00000, 0f00000000;", 0},
      {"setp.gtu.f32 %p2, 0f00000000, 0fFFC00000;", 1},
      {"setp.eq.f32 %p2, 0f80000000, 0f00000000;", 1},
      {"setp.gt.f32 %p2, 0f00000001, 0f00000000;", 1},
      {"setp.gt.ftz.f32 %p2, 0f00000001, 0f00000000;", 0},
      {"setp.lt.f64 %p2, 1.0, 2.0;", 1},
      {"mov.b16 %rs3, 0x3c00; mov.b16 %rs4, 0x4000; setp.lt.f16 %p2, %rs3, %rs4;", 1},
      {"setp.eq.u32 %p3, 1, 1; setp.eq.and.u32 %p2, 2, 2, %p3;", 1},
      {"setp.eq.u32 %p3, 1, 1; setp.eq.and.u32 %p2, 2, 2, !%p3;", 0},
      {"setp.eq.u32 %p3, 1, 1; setp.eq.xor.u32 %p2, 2, 2, %p3;", 0},
      {"setp.lt.u32 %p3|%p2, 2, 1;", 1},
      {"setp.eq.u32 %p3, 1, 1; and.pred %p2, %p3, !%p3;", 0},
      {"setp.eq.u32 %p3, 1, 1; not.pred %p2, %p3;", 0},
      {"setp.eq.u32 %p3, 1, 1; mov.pred %p2, %p3;", 1},
      {"set.eq.u32.u32 %r2, 1, 1;", 0xffffffff},
      {"set.lt.f32.s32 %r2, 1, 2;", 0x3f800000},
      {"slct.b32.s32 %r2, 1, 2, -5;", 2},
      {"setp.eq.u32 %p3, 1, 2; selp.b32 %r2, 0f3F800000, 7, %p3;", 7},
      {"testp.notanumber.f32 %p2, 0f7FC00000;", 1},
      {"testp.subnormal.f32 %p2, 0f00000001;", 1},
  });
}

TEST(Scalar, Floats) {
  check({
      {"add.f32 %r2, 0f3F800000, 0f33800000;", 0x3f800000}, // ties to even
      {"add.rz.f32 %r2, 0f3F800000, 0f33C00000;", 0x3f800000},
      {"add.rp.f32 %r2, 0f3F800000, 0f00000001;", 0x3f800001},
      {"add.rm.f32 %r2, 0f3F800000, 0f80000001;", 0x3f7fffff},
      {"sub.f32 %r2, 0f7F800000, 0f7F800000;", 0x7fffffff},
      {"mul.f32 %r2, 0fFF800000, 0f00000000;", 0x7fffffff},
      {"add.f32 %r2, 0f7FC12345, 0f3F800000;", 0x7fffffff},
      {"mul.f32 %r2, 0f00800000, 0f3F000000;", 0x00400000},
      {"mul.ftz.f32 %r2, 0f80800000, 0f3F000000;", 0x80000000},
      {"add.ftz.f32 %r2, 0f00000001, 0f00000001;", 0},
      {"add.sat.f32 %r2, 0f3F800000, 0f3F800000;", 0x3f800000},
      {"add.sat.f32 %r2, 0f7FC00000, 0f3F800000;", 0},
      {"fma.rn.f32 %r2, 0f3F800001, 0f3F800001, 0fBF800002;", 0x28800000}, // 2^-46: fused
      {"fma.rz.f32 %r2, 0f3F800001, 0f3F800001, 0f00000000;", 0x3f800002},
      {"fma.rp.f32 %r2, 0f3F800001, 0f3F800001, 0f00000000;", 0x3f800003},
      {"min.f32 %r2, 0f00000000, 0f80000000;", 0x80000000},
      {"max.f32 %r2, 0f80000000, 0f00000000;", 0},
      {"max.f32 %r2, 0f7FC00000, 0f3F800000;", 0x3f800000},
      {"max.NaN.f32 %r2, 0f7FC00000, 0f3F800000;", 0x7fffffff},
      {"min.f32 %r2, 0f7FC00000, 0fFFC00000;", 0x7fffffff},
      {"max.ftz.f32 %r2, 0f00000001, 0fBF800000;", 0},
      {"neg.f32 %r2, 0f7FC12345;", 0x7fffffff},
      {"abs.ftz.f32 %r2, 0f80000001;", 0},
      {"copysign.f32 %r2, 0f80000000, 0f3F800000;", 0xbf800000},
      {"div.rn.f32 %r2, 0f3F800000, 0f40400000;", 0x3eaaaaab},
      {"div.approx.f32 %r2, 0f7F000000, 0f7F000000;", 0},
      {"div.full.f32 %r2, 0f40C00000, 0f40000000;", 0x40400000},
      {"rcp.approx.ftz.f32 %r2, 0f3F8CCCCD;", 0x3f68ba2e},
      {"rcp.rn.f32 %r2, 0f80000000;", 0xff800000},
      {"sqrt.rn.f32 %r2, 0f40000000;", 0x3fb504f3},
      {"sqrt.approx.f32 %r2, 0fBF800000;", 0x7fffffff},
      {"rsqrt.approx.f32 %r2, 0f40800000;", 0x3f000000},
      {"rsqrt.approx.f32 %r2, 0f00000000;", 0x7f800000},
      {"ex2.approx.f32 %r2, 0f3F8CCCCD;", 0x40092fe0},
      {"ex2.approx.ftz.f32 %r2, 0fFF800000;", 0},
      {"ex2.approx.f32 %r2, 0f80000000;", 0x3f800000},
      {"ex2.approx.f32 %r2, 0fC3008000;", 0x0016a09e}, // 2^-128.5
      {"ex2.approx.ftz.f32 %r2, 0fC3008000;", 0},
      {"sub.f32 %r3, 0fFF800000, 0fFF800000; ex2.approx.ftz.f32 %r2, %r3;", 0x7fffffff},
      {"lg2.approx.f32 %r2, 0f41000000;", 0x40400000},
      {"lg2.approx.f32 %r2, 0f00000000;", 0xff800000},
      {"lg2.approx.f32 %r2, 0fBF800000;", 0x7fffffff},
      {"sin.approx.f32 %r2, 0f3F800000;", 0x3f576aa4},
      {"cos.approx.f32 %r2, 0f00000000;", 0x3f800000},
      {"tanh.approx.f32 %r2, 0f7F800000;", 0x3f800000},
      {"add.rn.f64 %rd4, 1.5, 2.25;", 0x400e000000000000},
      {"fma.rn.f64 %rd4, 2.0, 3.0, 0d3FF0000000000000;", 0x401c000000000000},
      {"mul.rn.f64 %rd4, 0d7FF0000000000000, 0d0000000000000000;", 0x7fffffffffffffff},
  });
}

TEST(Scalar, Halves) {
  check({
      {"mov.b16 %rs3, 0x3c00; add.rn.f16 %rs2, %rs3, %rs3;", 0x4000},
      {"mov.b16 %rs3, 0x7bff; add.f16 %rs2, %rs3, %rs3;", 0x7c00},
      {"mov.b16 %rs3, 0x0001; mov.b16 %rs4, 0x3800; mul.f16 %rs2, %rs3, %rs4;", 0},
      {"mov.b16 %rs3, 0x0003; mov.b16 %rs4, 0x3800; mul.f16 %rs2, %rs3, %rs4;", 2},
      {"add.rn.f16x2 %r2, 0x3c003c00, 0x4000c000;", 0x4200bc00},
      {"fma.rn.bf16x2 %r2, 0x3f804000, 0x40404000, 0x3f80bf80;", 0x40804040},
      {"fma.rn.relu.f16x2 %r2, 0x3c003c00, 0xbc003c00, 0x00007e00;", 0x00007fff},
      {"max.bf16x2 %r2, 0x7fc03f80, 0x3f80ff80;", 0x3f803f80},
      {"max.NaN.f16x2 %r2, 0x7e003c00, 0x3c004000;", 0x7fff4000},
      {"neg.f16x2 %r2, 0x3c00fe01;", 0xbc007fff},
      {"abs.bf16x2 %r2, 0xbf803f80;", 0x3f803f80},
      {"ex2.approx.f16x2 %r2, 0x3c00bc00;", 0x40003800},
      {"ex2.approx.ftz.bf16x2 %r2, 0x3f80c308;", 0x40000000}, // 2^-136 is subnormal
      {"mov.b16 %rs3, 0x3f80; sub.bf16 %rs2, %rs3, %rs3;", 0},
  });
}

TEST(Scalar, Conversions) {
  check({
      {"cvt.rn.f16x2.f32 %r2, 0f3F8CCCCD, 0f414E6666;", 0x3c664a73},
      {"cvt.rn.bf16x2.f32 %r2, 0f3ED00000, 0f414E6666;", 0x3ed0414e},
      {"cvt.rn.relu.bf16x2.f32 %r2, 0fBF800000, 0f7FC00000;", 0x00007fff},
      {"cvt.rn.satfinite.f16x2.f32 %r2, 0f7F800000, 0fC7C35000;", 0x7bfffbff},
      {"cvt.rz.f16x2.f32 %r2, 0f477FF000, 0f3F8CCCCD;", 0x7bff3c66},
      {"cvt.rn.bf16.f32 %rs2, 0f3F808000;", 0x3f80},
      {"cvt.rn.bf16.f32 %rs2, 0f3F818000;", 0x3f82},
      {"cvt.rn.bf16.f32 %rs2, 0f7F7FFFFF;", 0x7f80},
      {"cvt.rz.bf16.f32 %rs2, 0f7F7FFFFF;", 0x7f7f},
      {"cvt.rna.tf32.f32 %r2, 0f3F8CCCCD;", 0x3f8cc000},
      {"cvt.rzi.s32.f32 %r2, 0f4F800000;", 0x7fffffff},
      {"cvt.rzi.u32.f32 %r2, 0fBF800000;", 0},
      {"cvt.rzi.s32.f32 %r2, 0f7FC00000;", 0},
      {"cvt.rni.s32.f32 %r2, 0f40200000;", 2},
      {"cvt.rmi.s32.f32 %r2, 0fBFC00000;", uint32_t(-2)},
      {"cvt.rpi.s32.f32 %r2, 0fBFC00000;", uint32_t(-1)},
      {"cvt.rpi.ftz.s32.f32 %r2, 0f00000001;", 0},
      {"cvt.rpi.s32.f32 %r2, 0f00000001;", 1},
      {"cvt.rni.u16.f32 %rs2, 0f477FFF80;", 0xffff},
      {"cvt.rzi.s64.f32 %rd4, 0f5F000000;", 0x7fffffffffffffff},
      {"cvt.rzi.u64.f64 %rd4, 0d43F0000000000000;", ~uint64_t(0)},
      {"cvt.rn.f32.u32 %r2, 0xffffffff;", 0x4f800000},
      {"cvt.rn.f32.s32 %r2, -16777217;", 0xcb800000},
      {"cvt.rn.f32.u64 %r2, -1;", 0x5f800000},
      {"cvt.rn.f16.u32 %rs2, 65520;", 0x7c00},
      {"cvt.rn.f16.s32 %rs2, -2049;", 0xe800},
      {"cvt.rni.f32.f32 %r2, 0f40200000;", 0x40000000},
      {"cvt.rmi.f32.f32 %r2, 0fBE800000;", 0xbf800000},
      {"cvt.sat.f32.f32 %r2, 0f40000000;", 0x3f800000},
      {"cvt.f64.f32 %rd4, 0f3F800000;", 0x3ff0000000000000},
      {"cvt.rn.f32.f64 %r2, 0d3FF0000010000000;", 0x3f800000},
      {"cvt.u32.u16 %r2, 0xffff;", 0xffff},
      {"cvt.s32.s16 %r2, 0x8000;", 0xffff8000},
      {"cvt.s8.s32 %rs2, 0x1ff;", 0xffff},
      {"cvt.u8.u32 %r2, 0x1ff;", 0xff},
      {"mov.b16 %rs3, 0x8001; cvt.u32.u16 %rd4, %rs3;", 0x8001},
      {"cvt.s64.s32 %rd4, -1;", ~uint64_t(0)},
      {"cvt.u64.u32 %rd4, -1;", 0xffffffff},
      {"mov.b64 %rd6, 0x1234567890; cvt.u32.u64 %r2, %rd6;", 0x34567890},
      {"cvt.sat.u8.s32 %r2, -5;", 0},
      {"cvt.sat.s8.s32 %r2, 300;", 127},
      {"mov.b64 %rd4, {%r3, %r4}; mov.b64 %rd4, {1, 2};", 0x200000001},
      {"mov.b64 %rd6, 0x200000001; mov.b64 {_, %r2}, %rd6;", 2},
      {"mov.b32 %r3, 0x00050004; mov.b32 {%rs3, %rs2}, %r3;", 5},
      {"mov.b16 %rs3, 1; mov.b64 %rd4, {%rs3, %rs3, %rs3, %rs3};", 0x0001000100010001},
  });
}

// Values of all codes by the definition of the formats: (-1)^s 1.f 2^(e - bias).
double decodeByDefinition(uint32_t code, int exponentBits, int fractionBits) {
  int bias = (1 << (exponentBits - 1)) - 1;
  int field = code >> fractionBits & ((1 << exponentBits) - 1);
  double fraction = code & ((1 << fractionBits) - 1);
  double sign = code >> 15 ? -1 : 1;
  if (field == (1 << exponentBits) - 1)
    return fraction != 0 ? NAN : sign * INFINITY;
  if (field == 0)
    return sign * std::ldexp(fraction, 1 - bias - fractionBits);
  return sign * std::ldexp(fraction + (1 << fractionBits), field - bias - fractionBits);
}

void checkAllCodes(const std::string &type, int exponentBits, int fractionBits) {
  Machine machine(65536 * 8, 65536 * 2);
  for (uint32_t code = 0; code < 65536; ++code)
    machine.in<uint16_t>()[code] = uint16_t(code);
  // Widened, and back from the value and from its two neighbours half a step away.
  machine.complete(module("mov.u32 %r2, %ctaid.x; mad.lo.s32 %r3, %r2, 256, %r1;\n"
                          "mul.wide.u32 %rd3, %r3, 2; add.s64 %rd4, %rd2, %rd3;\n"
                          "ld.global.b16 %rs1, [%rd4]; cvt.f32." +
                          type +
                          " %r4, %rs1;\n"
                          "cvt.rn." +
                          type +
                          ".f32 %rs2, %r4; mul.wide.u32 %rd5, %r3, 8;\n"
                          "add.s64 %rd6, %rd1, %rd5; st.global.b32 [%rd6], %r4;\n"
                          "st.global.b16 [%rd6+4], %rs2;"),
                   {{256, 1, 1}, {256, 1, 1}, 0, {}});
  for (uint32_t code = 0; code < 65536; ++code) {
    double expected = decodeByDefinition(code, exponentBits, fractionBits);
    float got;
    uint16_t back;
    std::memcpy(&got, machine.out<char>() + 8 * code, 4);
    std::memcpy(&back, machine.out<char>() + 8 * code + 4, 2);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(got));
      EXPECT_EQ(back, 0x7fff);
    } else {
      ASSERT_EQ(double(got), expected) << code;
      ASSERT_EQ(std::signbit(got), code >> 15 != 0) << code;
      ASSERT_EQ(back, code);
    }
  }
}

TEST(Scalar, AllCodesOfHalf) { checkAllCodes("f16", 5, 10); }
TEST(Scalar, AllCodesOfBfloat) { checkAllCodes("bf16", 8, 7); }

// Random f32 to both formats: the nearest code, found by comparing distances.
TEST(Scalar, RoundingToNearest) {
  const unsigned seed = 7;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const int count = 4096;
  Machine machine(count * 4, count * 4);
  for (int i = 0; i < count; ++i) {
    // Exponents from far below the least subnormal half to above its greatest value.
    uint32_t bits = (random() & 0x80000000) | (95 + random() % 52) << 23 | (random() & 0x7fffff);
    if (i % 4 == 0)
      bits &= ~uint32_t(0xfff); // exact ties of f16
    machine.in<uint32_t>()[i] = bits;
  }
  machine.complete(module("mov.u32 %r2, %ctaid.x; mad.lo.s32 %r3, %r2, 256, %r1;\n"
                          "mul.wide.u32 %rd3, %r3, 4; add.s64 %rd4, %rd2, %rd3;\n"
                          "add.s64 %rd5, %rd1, %rd3; ld.global.b32 %r4, [%rd4];\n"
                          "cvt.rn.f16.f32 %rs1, %r4; cvt.rn.bf16.f32 %rs2, %r4;\n"
                          "st.global.v2.b16 [%rd5], {%rs1, %rs2};"),
                   {{count / 256, 1, 1}, {256, 1, 1}, 0, {}});
  for (int i = 0; i < count; ++i)
    for (int format = 0; format < 2; ++format) {
      int exponentBits = format ? 8 : 5, fractionBits = format ? 7 : 10;
      uint16_t code = machine.out<uint16_t>()[2 * i + format];
      double x = machine.in<float>()[i];
      uint16_t infinity = uint16_t(((1 << exponentBits) - 1) << fractionBits);
      double largest = decodeByDefinition(infinity - 1, exponentBits, fractionBits);
      double step = largest - decodeByDefinition(infinity - 2, exponentBits, fractionBits);
      ASSERT_EQ(code >> 15, std::signbit(x));
      uint16_t magnitude = code & 0x7fff;
      if (magnitude == infinity) {
        ASSERT_GE(std::abs(x), largest + step / 2);
        continue;
      }
      double here = decodeByDefinition(magnitude, exponentBits, fractionBits);
      double error = std::abs(std::abs(x) - here);
      double above = magnitude + 1 == infinity
                         ? largest + step
                         : decodeByDefinition(magnitude + 1, exponentBits, fractionBits);
      ASSERT_LE(error, std::abs(above - std::abs(x)));
      if (error == std::abs(above - std::abs(x)))
        ASSERT_EQ(code & 1, 0);
      if (magnitude > 0) {
        double below = decodeByDefinition(magnitude - 1, exponentBits, fractionBits);
        ASSERT_LE(error, std::abs(std::abs(x) - below));
        if (error == std::abs(std::abs(x) - below))
          ASSERT_EQ(code & 1, 0);
      }
    }
}

// Fused multiply-add against the host's, over random bits and near cancellation.
TEST(Scalar, FusedMultiplyAdd) {
  const unsigned seed = 11;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const int count = 32768;
  Machine machine(count * 4, count * 12);
  for (int i = 0; i < count; ++i) {
    float a, b, c;
    uint32_t bits[3] = {uint32_t(random()), uint32_t(random()), uint32_t(random())};
    std::memcpy(&a, &bits[0], 4);
    std::memcpy(&b, &bits[1], 4);
    std::memcpy(&c, &bits[2], 4);
    if (i % 2)
      c = -(a * b) * (1 + std::ldexp(float(random() % 5) - 2, -23));
    machine.in<float>()[3 * i] = a;
    machine.in<float>()[3 * i + 1] = b;
    machine.in<float>()[3 * i + 2] = c;
  }
  machine.complete(module("mov.u32 %r2, %ctaid.x; mad.lo.s32 %r3, %r2, 256, %r1;\n"
                          "mul.wide.u32 %rd3, %r3, 12; add.s64 %rd4, %rd2, %rd3;\n"
                          "mul.wide.u32 %rd3, %r3, 4; add.s64 %rd5, %rd1, %rd3;\n"
                          "ld.global.b32 %r4, [%rd4]; ld.global.b32 %r5, [%rd4+4];\n"
                          "ld.global.b32 %r6, [%rd4+8]; fma.rn.f32 %r7, %r4, %r5, %r6;\n"
                          "st.global.b32 [%rd5], %r7;"),
                   {{count / 256, 1, 1}, {256, 1, 1}, 0, {}});
  for (int i = 0; i < count; ++i) {
    const float *in = machine.in<float>() + 3 * i;
    float expected = std::fma(in[0], in[1], in[2]);
    uint32_t got = machine.out<uint32_t>()[i], bits;
    std::memcpy(&bits, &expected, 4);
    ASSERT_EQ(got, std::isnan(expected) ? 0x7fffffff : bits) << i;
  }
}

} // namespace
} // namespace attncc::simulator::test
