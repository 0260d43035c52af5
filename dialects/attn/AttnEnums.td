//===- AttnEnums.td - enumerations of the attn dialect -------*- tablegen -*-===//
//
// Each case's string is the keyword that the attributes and types print. Tested
// through the attributes in test/dialects/attn/attributes.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_ATTN_ENUMS_TD
#define ATTNCC_ATTN_ENUMS_TD

include "mlir/IR/EnumAttr.td"

class Attn_Enum<string name, string summary, list<EnumCase> cases> : I32Enum<name, summary, cases> {
  let cppNamespace = "::attncc::attn";
}

def Attn_PageOrder : Attn_Enum<"PageOrder", "order of tokens (N), heads (H) and dims (D) inside a page", [
  I32EnumCase<"NHD", 0>, I32EnumCase<"HND", 1>]>;

def Attn_KvScales : Attn_Enum<"KvScales", "what one scale of a quantised cache covers", [
  I32EnumCase<"None", 0, "none">, I32EnumCase<"PerHead", 1, "per_head">,
  I32EnumCase<"PerTokenHead", 2, "per_token_head">, I32EnumCase<"PerChannel", 3, "per_channel">]>;

def Attn_Role : Attn_Enum<"Role", "role of a kernel", [
  I32EnumCase<"Prefill", 0, "prefill">, I32EnumCase<"Decode", 1, "decode">,
  I32EnumCase<"Append", 2, "append">, I32EnumCase<"Merge", 3, "merge">,
  I32EnumCase<"MergeStates", 4, "merge_states">]>;

def Attn_Pairing : Attn_Enum<"Pairing", "which two dims one rotation turns: (d, d + dim/2) or (2d, 2d + 1)", [
  I32EnumCase<"Half", 0, "half">, I32EnumCase<"Interleaved", 1, "interleaved">]>;

def Attn_RopeScaling : Attn_Enum<"RopeScaling", "rule by which the inverse frequencies were scaled", [
  I32EnumCase<"None", 0, "none">, I32EnumCase<"Linear", 1, "linear">, I32EnumCase<"Dynamic", 2, "dynamic">,
  I32EnumCase<"Llama3", 3, "llama3">, I32EnumCase<"Yarn", 4, "yarn">, I32EnumCase<"Longrope", 5, "longrope">]>;

def Attn_BiasKind : Attn_Enum<"BiasKind", "form of an additive bias", [
  I32EnumCase<"Alibi", 0, "alibi">, I32EnumCase<"Given", 1, "given">]>;

// Fields of #attn.schedule.
def Attn_Divide : Attn_Enum<"Divide", "what the units of a block divide among them", [
  I32EnumCase<"Rows", 0, "rows">, I32EnumCase<"Keys", 1, "keys">]>;

def Attn_Orientation : Attn_Enum<"Orientation", "which operand of a product is the query", [
  I32EnumCase<"Direct", 0, "direct">, I32EnumCase<"Swapped", 1, "swapped">]>;

def Attn_Product : Attn_Enum<"Product", "matrix instruction", [
  I32EnumCase<"Mma", 0, "mma">, I32EnumCase<"Wgmma", 1, "wgmma">]>;

def Attn_Copy : Attn_Enum<"Copy", "how keys and values reach shared memory", [
  I32EnumCase<"Gather", 0, "gather">, I32EnumCase<"Tensor", 1, "tensor">]>;

def Attn_Cache : Attn_Enum<"Cache", "L2 eviction hint of the copies of keys and values", [
  I32EnumCase<"Normal", 0, "normal">, I32EnumCase<"EvictFirst", 1, "evict_first">]>;

def Attn_Roles : Attn_Enum<"Roles", "whether warps have roles", [
  I32EnumCase<"One", 0, "one">, I32EnumCase<"Specialised", 1, "specialised">]>;

def Attn_Overlap : Attn_Enum<"Overlap", "what the products of one tile overlap with", [
  I32EnumCase<"None", 0, "none">, I32EnumCase<"Tiles", 1, "tiles">, I32EnumCase<"Items", 2, "items">]>;

def Attn_Rescale : Attn_Enum<"Rescale", "when the accumulator is rescaled", [
  I32EnumCase<"Always", 0, "always">, I32EnumCase<"Lazy", 1, "lazy">]>;

def Attn_Work : Attn_Enum<"Work", "how blocks get their items", [
  I32EnumCase<"Grid", 0, "grid">, I32EnumCase<"Static", 1, "static">, I32EnumCase<"Atomic", 2, "atomic">]>;

def Attn_Order : Attn_Enum<"Order", "order of the items", [
  I32EnumCase<"Natural", 0, "natural">, I32EnumCase<"LongestFirst", 1, "longest_first">]>;

def Attn_Output : Attn_Enum<"Output", "how results leave", [
  I32EnumCase<"Direct", 0, "direct">, I32EnumCase<"Staged", 1, "staged">]>;

def Attn_MergeForm : Attn_Enum<"MergeForm", "who merges the splits", [
  I32EnumCase<"Kernel", 0, "kernel">, I32EnumCase<"Span", 1, "span">, I32EnumCase<"Item", 2, "item">]>;

def Attn_DependentLaunch : Attn_Enum<"DependentLaunch", "where a dependent launch waits for the one before", [
  I32EnumCase<"None", 0, "none">, I32EnumCase<"WaitFirst", 1, "wait_first">, I32EnumCase<"WaitLate", 2, "wait_late">]>;

#endif // ATTNCC_ATTN_ENUMS_TD
