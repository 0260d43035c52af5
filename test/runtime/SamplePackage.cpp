#include "test/runtime/SamplePackage.h"
#include "runtime/support/Sha256.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace attncc;
using namespace attncc::test;
using package::Interface;
using package::Param;
using package::ParamType;

/// The head of a PTX file with one kernel, whose parameters are named as the interface's, and one
/// register for each: %name.
static std::string kernelHead(const std::string &entry, const Interface &interface) {
  std::string text =
      ".version 7.8\n.target sm_80\n.address_size 64\n\n.visible .entry " + entry + "(\n";
  std::string registers, loads;
  for (size_t i = 0; i < interface.params.size(); ++i) {
    const Param &param = interface.params[i];
    bool wide = package::paramBytes(param.type) == 8;
    std::string type = param.type == ParamType::F32 ? ".f32" : wide ? ".b64" : ".b32";
    text +=
        "\t.param " + type + " " + param.name + (i + 1 < interface.params.size() ? ",\n" : "\n");
    registers += "\t.reg " + type + " %" + param.name + ";\n";
    loads += "\tld.param" + type + " %" + param.name + ", [" + param.name + "];\n";
  }
  return text + ")\n{\n" + registers + R"(	.reg .pred %p<9>;
	.reg .b16 %h<4>;
	.reg .b32 %r<40>;
	.reg .b64 %d<40>;
	.reg .f32 %f<40>;
)" + loads +
         R"(	mov.u32 %r0, %tid.x;
	mov.u32 %r1, %ctaid.x;
	mov.u32 %r2, %ctaid.y;
	mov.u32 %r3, %ctaid.z;
)";
}

/// %r4 and %r6: where the sequence's queries begin, and how many there are; %r7: its length.
static const char *const loadSequence = R"(
	mul.wide.s32 %d0, %r3, 4;
	add.s64 %d1, %query_start, %d0;
	ld.global.b32 %r4, [%d1];
	ld.global.b32 %r5, [%d1+4];
	sub.s32 %r6, %r5, %r4;
	add.s64 %d2, %kv_length, %d0;
	ld.global.b32 %r7, [%d2];
)";

/// %r9 = block-table entry of the token at position %r8; leaves the kernel with bit 1 set if it is
/// not a page.
static const char *const pageOfToken = R"(
	shr.s32 %r20, %r8, 2;
	cvt.s64.s32 %d20, %r20;
	cvt.s64.s32 %d21, %r3;
	mul.lo.s64 %d22, %d21, %block_table_stride;
	setp.eq.s64 %p7, %page_indptr, 0;
	@%p7 bra DENSE;
	add.s64 %d23, %page_indptr, %d0;
	ld.global.b32 %r21, [%d23];
	cvt.s64.s32 %d22, %r21;
DENSE:
	add.s64 %d24, %d22, %d20;
	shl.b64 %d25, %d24, 2;
	add.s64 %d26, %block_table, %d25;
	ld.global.b32 %r9, [%d26];
	cvt.s64.s32 %d27, %r9;
	setp.lt.s64 %p5, %d27, 0;
	setp.ge.s64 %p6, %d27, %num_pages;
	or.pred %p7, %p5, %p6;
	@%p7 bra BADPAGE;
)";

/// Leaves the kernel with bit 0 set if a length is above its bound.
static const char *const checkLengths = R"(
	setp.gt.s32 %p1, %r7, %max_kv_length;
	setp.gt.s32 %p2, %r6, %max_query_length;
	or.pred %p3, %p1, %p2;
	@%p3 bra BADLENGTH;
)";

static const char *const errorExits = R"(
BADLENGTH:
	atom.global.or.b32 %r30, [%workspace], 1;
	bra DONE;
BADPAGE:
	atom.global.or.b32 %r30, [%workspace], 2;
DONE:
	ret;
}
)";

static std::string appendText(const std::string &entry) {
  return kernelHead(entry, *package::standardInterface("append/1")) + loadSequence + R"(
	setp.ge.s32 %p0, %r0, 16;
	@%p0 bra DONE;
	setp.ge.s32 %p0, %r2, %r6;
	@%p0 bra DONE;
)" + checkLengths +
         R"(
	sub.s32 %r8, %r7, %r6;
	add.s32 %r8, %r8, %r2;
	add.s32 %r10, %r4, %r2;
	cvt.s64.s32 %d3, %r10;
	cvt.s64.s32 %d4, %r0;
	setp.eq.s64 %p0, %query, 0;
	@%p0 bra SLOT;
	// query heads 2*head and 2*head+1
	shl.b32 %r11, %r1, 1;
	cvt.s64.s32 %d5, %r11;
	mul.lo.s64 %d6, %d3, %query_token_stride;
	mad.lo.s64 %d6, %d5, %query_head_stride, %d6;
	add.s64 %d6, %d6, %d4;
	shl.b64 %d6, %d6, 1;
	add.s64 %d6, %query, %d6;
	mul.lo.s64 %d7, %d3, %query_out_token_stride;
	mad.lo.s64 %d7, %d5, %query_out_head_stride, %d7;
	add.s64 %d7, %d7, %d4;
	shl.b64 %d7, %d7, 1;
	add.s64 %d7, %query_out, %d7;
	ld.global.b16 %h0, [%d6];
	st.global.b16 [%d7], %h0;
	shl.b64 %d8, %query_head_stride, 1;
	add.s64 %d6, %d6, %d8;
	shl.b64 %d8, %query_out_head_stride, 1;
	add.s64 %d7, %d7, %d8;
	ld.global.b16 %h0, [%d6];
	st.global.b16 [%d7], %h0;
SLOT:
	setp.eq.s64 %p4, %slot_mapping, 0;
	@%p4 bra TABLE;
	shl.b64 %d9, %d3, 3;
	add.s64 %d9, %slot_mapping, %d9;
	ld.global.b64 %d10, [%d9];
	setp.lt.s64 %p4, %d10, 0;
	@%p4 bra DONE;
	shr.s64 %d27, %d10, 2;
	and.b64 %d11, %d10, 3;
	setp.ge.s64 %p4, %d27, %num_pages;
	@%p4 bra BADPAGE;
	bra WRITE;
TABLE:
)" + pageOfToken +
         R"(
	and.b32 %r12, %r8, 3;
	cvt.s64.s32 %d11, %r12;
WRITE:
	cvt.s64.s32 %d12, %r1;
	mul.lo.s64 %d13, %d3, %key_token_stride;
	mad.lo.s64 %d13, %d12, %key_head_stride, %d13;
	add.s64 %d13, %d13, %d4;
	shl.b64 %d13, %d13, 1;
	add.s64 %d13, %key, %d13;
	ld.global.b16 %h1, [%d13];
	mul.lo.s64 %d14, %d27, %k_page_stride;
	mad.lo.s64 %d14, %d11, %k_token_stride, %d14;
	mad.lo.s64 %d14, %d12, %k_head_stride, %d14;
	add.s64 %d14, %d14, %d4;
	shl.b64 %d14, %d14, 1;
	add.s64 %d14, %k, %d14;
	st.global.b16 [%d14], %h1;
	mul.lo.s64 %d13, %d3, %value_token_stride;
	mad.lo.s64 %d13, %d12, %value_head_stride, %d13;
	add.s64 %d13, %d13, %d4;
	shl.b64 %d13, %d13, 1;
	add.s64 %d13, %value, %d13;
	ld.global.b16 %h1, [%d13];
	mul.lo.s64 %d14, %d27, %v_page_stride;
	mad.lo.s64 %d14, %d11, %v_token_stride, %d14;
	mad.lo.s64 %d14, %d12, %v_head_stride, %d14;
	add.s64 %d14, %d14, %d4;
	shl.b64 %d14, %d14, 1;
	add.s64 %d14, %v, %d14;
	st.global.b16 [%d14], %h1;
	bra DONE;
)" + errorExits;
}

static std::string decodeText(const std::string &entry) {
  // The grid has sequences before splits.
  return kernelHead(entry, *package::standardInterface("decode/1")) + R"(
	mov.u32 %r2, %ctaid.z;
	mov.u32 %r3, %ctaid.y;
)" + loadSequence +
         R"(
	setp.ge.s32 %p0, %r0, 16;
	@%p0 bra DONE;
	setp.ne.s32 %p0, %r2, 0;
	@%p0 bra DONE;
)" + checkLengths +
         R"(
	setp.gt.s32 %p0, %r6, 8;
	@%p0 bra DONE;
	setp.eq.s32 %p0, %r7, 0;
	@%p0 bra DONE;
	sub.s32 %r8, %r7, 1;
)" + pageOfToken +
         R"(
	// kv head = ctaid.x / chunks, chunk = ctaid.x % chunks, chunks = (2*max_query_length + 7) / 8
	shl.b32 %r10, %max_query_length, 1;
	add.s32 %r10, %r10, 7;
	shr.s32 %r10, %r10, 3;
	div.s32 %r11, %r1, %r10;
	rem.s32 %r12, %r1, %r10;
	and.b32 %r13, %r8, 3;
	cvt.s64.s32 %d3, %r13;
	cvt.s64.s32 %d4, %r11;
	cvt.s64.s32 %d5, %r0;
	mul.lo.s64 %d6, %d27, %v_page_stride;
	mad.lo.s64 %d6, %d3, %v_token_stride, %d6;
	mad.lo.s64 %d6, %d4, %v_head_stride, %d6;
	add.s64 %d6, %d6, %d5;
	shl.b64 %d6, %d6, 1;
	add.s64 %d6, %v, %d6;
	ld.global.b16 %h0, [%d6];
	cvt.rn.f32.s32 %f0, %r7;
	shl.b32 %r14, %r12, 3;
	add.s32 %r15, %r14, 8;
ROW:
	// row R: token R / 2, head 2 * kv head + R % 2
	shr.s32 %r16, %r14, 1;
	setp.ge.s32 %p0, %r16, %r6;
	@%p0 bra DONE;
	add.s32 %r17, %r4, %r16;
	shl.b32 %r18, %r11, 1;
	and.b32 %r19, %r14, 1;
	add.s32 %r18, %r18, %r19;
	cvt.s64.s32 %d7, %r17;
	cvt.s64.s32 %d8, %r18;
	mul.lo.s64 %d9, %d7, %output_token_stride;
	mad.lo.s64 %d9, %d8, %output_head_stride, %d9;
	add.s64 %d9, %d9, %d5;
	shl.b64 %d9, %d9, 1;
	add.s64 %d9, %output, %d9;
	st.global.b16 [%d9], %h0;
	setp.eq.s64 %p1, %lse, 0;
	@%p1 bra NEXT;
	setp.ne.s32 %p1, %r0, 0;
	@%p1 bra NEXT;
	mul.lo.s64 %d10, %d7, %lse_token_stride;
	mad.lo.s64 %d10, %d8, %lse_head_stride, %d10;
	shl.b64 %d10, %d10, 2;
	add.s64 %d10, %lse, %d10;
	st.global.f32 [%d10], %f0;
NEXT:
	add.s32 %r14, %r14, 1;
	setp.lt.s32 %p0, %r14, %r15;
	@%p0 bra ROW;
	bra DONE;
)" + errorExits;
}

/// %f{to} = the bf16 at [%d{address} + 2 * element].
static std::string loadNumber(int to, int address, int64_t element) {
  return "\tld.global.b16 %h0, [%d" + std::to_string(address) + "+" + std::to_string(2 * element) +
         "];\n\tcvt.u32.u16 %r22, %h0;\n\tshl.b32 %r22, %r22, 16;\n\tmov.b32 %f" +
         std::to_string(to) + ", %r22;\n";
}

/// %d8 = address of the row of %d27's page for token %r8 and head %d5.
static std::string rowOfPage(const std::string &side) {
  return "\tmul.lo.s64 %d8, %d27, %" + side + "_page_stride;\n\tmad.lo.s64 %d8, %d7, %" + side +
         "_token_stride, %d8;\n\tmad.lo.s64 %d8, %d5, %" + side +
         "_head_stride, %d8;\n\tshl.b64 %d8, %d8, 1;\n\tadd.s64 %d8, %" + side + ", %d8;\n";
}

static std::string prefillText(const std::string &entry) {
  // A row a thread: %f4 and on are its query, %f20 and on its output, %f0 the denominator. Scores
  // of normal numbers need no maximum.
  std::string query, product, sum, output;
  for (int64_t d = 0; d < kHeadDim; ++d) {
    const std::string q = "%f" + std::to_string(4 + d), o = "%f" + std::to_string(20 + d);
    query += loadNumber(int(4 + d), 6, d) + "\tmov.f32 " + o + ", 0f00000000;\n";
    product += loadNumber(2, 8, d) + "\tfma.rn.f32 %f1, " + q + ", %f2, %f1;\n";
    sum += loadNumber(2, 8, d) + "\tfma.rn.f32 " + o + ", %f1, %f2, " + o + ";\n";
    output += "\tdiv.rn.f32 %f1, " + o + ", %f0;\n\tcvt.rn.bf16.f32 %h0, %f1;\n" +
              "\tst.global.b16 [%d9+" + std::to_string(2 * d) + "], %h0;\n";
  }
  return kernelHead(entry, *package::standardInterface("prefill/1")) + loadSequence + R"(
	setp.ge.s32 %p0, %r0, 16;
	@%p0 bra DONE;
	setp.le.s32 %p0, %r6, 8;
	@%p0 bra DONE;
)" + checkLengths +
         R"(
	// kv head = ctaid.x / chunks, row = 16 * (ctaid.x % chunks) + thread, where
	// chunks = (2*max_query_length + 15) / 16; row R: token R / 2, head 2 * kv head + R % 2
	shl.b32 %r10, %max_query_length, 1;
	add.s32 %r10, %r10, 15;
	shr.s32 %r10, %r10, 4;
	div.s32 %r11, %r1, %r10;
	rem.s32 %r12, %r1, %r10;
	shl.b32 %r12, %r12, 4;
	add.s32 %r12, %r12, %r0;
	shr.s32 %r13, %r12, 1;
	setp.ge.s32 %p0, %r13, %r6;
	@%p0 bra DONE;
	and.b32 %r14, %r12, 1;
	shl.b32 %r15, %r11, 1;
	add.s32 %r14, %r14, %r15;
	// the last token that it sees
	sub.s32 %r16, %r7, %r6;
	add.s32 %r16, %r16, %r13;
	add.s32 %r13, %r4, %r13;
	cvt.s64.s32 %d3, %r13;
	cvt.s64.s32 %d4, %r14;
	cvt.s64.s32 %d5, %r11;
	mul.lo.s64 %d6, %d3, %query_token_stride;
	mad.lo.s64 %d6, %d4, %query_head_stride, %d6;
	shl.b64 %d6, %d6, 1;
	add.s64 %d6, %query, %d6;
)" + query +
         R"(
	mov.f32 %f0, 0f00000000;
	mov.b32 %r8, 0;
KEY:
)" + pageOfToken +
         R"(
	and.b32 %r17, %r8, 3;
	cvt.s64.s32 %d7, %r17;
	mov.f32 %f1, 0f00000000;
)" + rowOfPage("k") +
         product + R"(
	mul.rn.f32 %f1, %f1, %scale_log2;
	ex2.approx.f32 %f1, %f1;
	add.rn.f32 %f0, %f0, %f1;
)" + rowOfPage("v") +
         sum + R"(
	add.s32 %r8, %r8, 1;
	setp.le.s32 %p0, %r8, %r16;
	@%p0 bra KEY;
	mul.lo.s64 %d9, %d3, %output_token_stride;
	mad.lo.s64 %d9, %d4, %output_head_stride, %d9;
	shl.b64 %d9, %d9, 1;
	add.s64 %d9, %output, %d9;
)" + output +
         "\tbra DONE;\n" + errorExits;
}

static std::string mergeText(const std::string &entry) {
  return kernelHead(entry, *package::standardInterface("merge/1")) + loadSequence + R"(
	setp.ne.s32 %p0, %r0, 0;
	@%p0 bra DONE;
	setp.gt.s32 %p0, %r6, 8;
	@%p0 bra DONE;
	setp.le.s32 %p0, %r7, 8;
	@%p0 bra DONE;
	// splits of 8 tokens up to 32, of 16 beyond
	add.s32 %r8, %r7, 7;
	shr.s32 %r8, %r8, 3;
	setp.le.s32 %p0, %r7, 32;
	@%p0 bra COUNTED;
	add.s32 %r8, %r7, 15;
	shr.s32 %r8, %r8, 4;
COUNTED:
	neg.s32 %r8, %r8;
	cvt.rn.f32.s32 %f0, %r8;
	// one warp a block: row = ctaid.x, token = row / (2 * kv_heads), head = row % (2 * kv_heads)
	shl.b32 %r9, %kv_heads, 1;
	div.s32 %r10, %r1, %r9;
	rem.s32 %r11, %r1, %r9;
	setp.ge.s32 %p0, %r10, %r6;
	@%p0 bra DONE;
	add.s32 %r10, %r4, %r10;
	cvt.s64.s32 %d3, %r10;
	cvt.s64.s32 %d4, %r11;
	mul.lo.s64 %d5, %d3, %lse_token_stride;
	mad.lo.s64 %d5, %d4, %lse_head_stride, %d5;
	shl.b64 %d5, %d5, 2;
	add.s64 %d5, %lse, %d5;
	st.global.f32 [%d5], %f0;
	bra DONE;
DONE:
	ret;
}
)";
}

static std::string mergeStatesText(const std::string &entry) {
  return kernelHead(entry, *package::standardInterface("merge_states/1")) + R"(
	// one warp a block: row = ctaid.x, token = row / query_heads, head = row % query_heads
	div.s32 %r4, %r1, %query_heads;
	rem.s32 %r5, %r1, %query_heads;
	setp.ge.s32 %p0, %r4, %num_tokens;
	@%p0 bra DONE;
	cvt.s64.s32 %d3, %r4;
	cvt.s64.s32 %d4, %r5;
	setp.eq.s64 %p1, %lse, 0;
	@%p1 bra ROW;
	mul.lo.s64 %d5, %d3, %lse_token_stride;
	mad.lo.s64 %d5, %d4, %lse_head_stride, %d5;
	shl.b64 %d5, %d5, 2;
	add.s64 %d5, %lse, %d5;
	cvt.rn.f32.s32 %f0, %num_parts;
	mul.rn.f32 %f0, %f0, %lse_scale;
	st.global.f32 [%d5], %f0;
ROW:
	setp.ge.s32 %p0, %r0, 16;
	@%p0 bra DONE;
	cvt.s64.s32 %d6, %r0;
	mul.lo.s64 %d7, %d3, %part0_output_token_stride;
	mad.lo.s64 %d7, %d4, %part0_output_head_stride, %d7;
	add.s64 %d7, %d7, %d6;
	shl.b64 %d7, %d7, 1;
	add.s64 %d7, %part0_output, %d7;
	ld.global.b16 %h0, [%d7];
	mul.lo.s64 %d8, %d3, %output_token_stride;
	mad.lo.s64 %d8, %d4, %output_head_stride, %d8;
	add.s64 %d8, %d8, %d6;
	shl.b64 %d8, %d8, 1;
	add.s64 %d8, %output, %d8;
	st.global.b16 [%d8], %h0;
DONE:
	ret;
}
)";
}

Sample test::samplePackage() {
  Sample sample;
  package::Manifest &manifest = sample.manifest;
  manifest.compiler = {"0.1.0", "22.1", 1};
  const std::string spec = "{}\n";
  manifest.spec = {"spec.json", sha256Hex(spec), "sample.json", sha256Hex("sample"),
                   static_cast<int64_t>(spec.size())};
  sample.files["spec.json"] = spec;
  package::CacheGroup group;
  group.name = "kv0";
  group.layers = {{0, kLayers - 1}};
  group.pageSize = kPageSize;
  group.kvHeads = kKvHeads;
  group.k = group.v = {package::DType::BF16, kHeadDim};
  manifest.cacheGroups = {group};
  package::LayerClass layerClass;
  layerClass.name = "full";
  layerClass.layers = {{0, kLayers - 1}};
  layerClass.cacheGroup = "kv0";
  layerClass.queryHeads = kQueryHeads;
  layerClass.group = kGroup;
  layerClass.headDim = kHeadDim;
  layerClass.scale = 0.25;
  layerClass.numerics = {{"accumulate", "f32"}};
  layerClass.maxPosition = 4096;
  manifest.layerClasses = {layerClass};
  manifest.splitRules["s0"] = {SplitRule{{{32, 8}, {4096, 16}}}, "a note"};
  struct Role {
    const char *name;
    std::string text;
  };
  for (const Role &role :
       {Role{"append", appendText("sample_append")}, Role{"decode", decodeText("sample_decode")},
        Role{"merge", mergeText("sample_merge")},
        Role{"merge_states", mergeStatesText("sample_merge_states")}}) {
    package::KernelEntry kernel;
    kernel.role = role.name;
    kernel.entry = "sample_" + kernel.role;
    kernel.layerClass = "full";
    kernel.target = "sm_80";
    kernel.ptx = "7.8";
    kernel.file = "sm_80/" + kernel.role + ".ptx";
    kernel.interface = kernel.role + "/1";
    kernel.block = {32, 1, 1};
    kernel.orderClass = "o1";
    if (kernel.role == "append")
      kernel.prologue = package::Prologue::None;
    if (kernel.role == "decode" || kernel.role == "merge") {
      kernel.splitRule = "s0";
      kernel.loadClass["max_query_length"] = {1, 8};
    }
    if (kernel.role == "decode") {
      kernel.rows = kRows;
      kernel.schedule = "#attn.schedule<keys = 16>";
    }
    manifest.interfaces[kernel.interface] = *package::standardInterface(kernel.interface);
    manifest.kernels.push_back(kernel);
    sample.files[kernel.file] = role.text;
  }
  refreshHashes(sample);
  return sample;
}

void test::addPrefill(Sample &sample) {
  package::Manifest &manifest = sample.manifest;
  package::KernelEntry kernel =
      *std::find_if(manifest.kernels.begin(), manifest.kernels.end(),
                    [](const package::KernelEntry &one) { return one.role == "decode"; });
  kernel.role = "prefill";
  kernel.entry = "sample_prefill";
  kernel.interface = "prefill/1";
  kernel.file = "sm_80/prefill.ptx";
  kernel.rows = kPrefillRows;
  kernel.splitRule.clear();
  kernel.loadClass["max_query_length"] = {9, INT32_MAX};
  manifest.interfaces["prefill/1"] = *package::standardInterface("prefill/1");
  manifest.kernels.push_back(kernel);
  sample.files[kernel.file] = prefillText(kernel.entry);
  refreshHashes(sample);
}

void test::refreshHashes(Sample &sample) {
  for (package::KernelEntry &kernel : sample.manifest.kernels) {
    kernel.bytes = static_cast<int64_t>(sample.files[kernel.file].size());
    kernel.sha256 = sha256Hex(sample.files[kernel.file]);
    if (std::optional<package::Cubin> &cubin = kernel.cubin) {
      cubin->bytes = static_cast<int64_t>(sample.files[cubin->file].size());
      cubin->sha256 = sha256Hex(sample.files[cubin->file]);
    }
  }
}

void test::addCubins(Sample &sample, const std::string &target, const std::string &arch) {
  for (package::KernelEntry &kernel : sample.manifest.kernels) {
    kernel.target = target;
    package::Cubin &cubin = kernel.cubin.emplace();
    cubin.file = "sm_80/" + kernel.role + ".cubin";
    cubin.arch = arch;
    cubin.registers = 40;
    cubin.ptxas = "13.0.88";
    sample.files[cubin.file] = "\177ELF" + arch + "\n" + sample.files[kernel.file];
  }
  refreshHashes(sample);
}

void test::useTensorMaps(package::Manifest &manifest) {
  manifest.features = {std::string(package::kTensorMapFeature)};
  for (package::KernelEntry &kernel : manifest.kernels) {
    if (kernel.role != "decode" && kernel.role != "prefill")
      continue;
    kernel.interface = kernel.role + ".tma/1";
    manifest.interfaces[kernel.interface] = *package::standardInterface(kernel.interface);
    for (const std::string side : {"k", "v"}) {
      package::TensorMapRule &rule = kernel.tensorMaps[side];
      rule.dims = {"16", "page_size", side + "_dim/16", "kv_heads", "num_pages"};
      rule.strides = {side + "_token_stride", "16", side + "_head_stride", side + "_page_stride"};
      rule.box = {16, 4, 1, 1, 1};
      rule.swizzle = 32;
      rule.l2Promotion = 128;
      rule.fill = package::TensorMapRule::Fill::NaN;
    }
  }
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "attncc-test-XXXXXX").string();
  path = mkdtemp(pattern.data());
}
TemporaryFolder::~TemporaryFolder() { std::filesystem::remove_all(path); }

void test::writeFile(const std::string &path, const std::string &content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

void test::writePackage(const Sample &sample, const std::string &folder,
                        const std::string &manifestText) {
  for (const auto &[path, content] : sample.files)
    writeFile(folder + "/" + path, content);
  writeFile(folder + "/manifest.json",
            manifestText.empty() ? package::toJson(sample.manifest) : manifestText);
}
