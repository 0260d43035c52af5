//===- AttnTypes.td - types of the attn dialect --------------*- tablegen -*-===//
//
// Parsing, printing and verification are in AttnTypes.cpp. Tests:
// test/dialects/attn/types.mlir and types-errors.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_ATTN_TYPES_TD
#define ATTNCC_ATTN_TYPES_TD

include "mlir/IR/AttrTypeBase.td"

class Attn_Type<string name, string typeMnemonic> : TypeDef<Attn_Dialect, name> {
  let mnemonic = typeMnemonic;
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Attn_PagedKvType : Attn_Type<"PagedKv", "paged_kv"> {
  let summary = "one sequence's keys and values in pages";
  let description = [{
    The sequence's view of a paged cache: pages of `page_size` tokens, a block table and a length come
    with it at run time, so do the pointers and strides. `key` and `value` give a head's dims and
    element type; `kv_heads` and `order` are hints for schedules. `value = key[0:512]` says that a value is a
    part of its key (MLA). A quantised cache has `scales`; with `residual = n x type` its newest n tokens are
    not quantised.

    (C1) `page_size` is 1 to 256, `kv_heads` and dims are positive. (C2) elements are f16 or bf16,
    or, with scales, f8E4M3FN, f8E5M2, i8 or i4; a cache of f16 or bf16 has no scales and no residual.
    (C3) a value that is part of the key lies within it and has its type. (C4) a `per_channel` group divides
    the key's dims, and no other scales have a group.

    Example: `!attn.paged_kv<page_size = 16, kv_heads = 8, key = 128 x bf16, value = 128 x bf16, order = NHD>`
  }];
  let parameters = (ins "int64_t":$pageSize, "int64_t":$kvHeads, "int64_t":$keyDim, "::mlir::Type":$keyType,
    "int64_t":$valueDim, "::mlir::Type":$valueType, EnumParameter<Attn_PageOrder>:$order,
    AttrParameter<"std::optional<int64_t>", "first dim of the key that is the value">:$valueBegin,
    EnumParameter<Attn_KvScales>:$scales, "int64_t":$scaleGroup,
    "int64_t":$residualTokens, "::mlir::Type":$residualType);
  let builders = [
    // Unquantised, with values of their own.
    TypeBuilder<(ins "int64_t":$pageSize, "int64_t":$kvHeads, "int64_t":$keyDim, "::mlir::Type":$keyType,
      "int64_t":$valueDim, "::mlir::Type":$valueType, "::attncc::attn::PageOrder":$order), [{
      return $_get($_ctxt, pageSize, kvHeads, keyDim, keyType, valueDim, valueType, order, std::nullopt,
                   ::attncc::attn::KvScales::None, 0, 0, ::mlir::Type());
    }]>];
}

def Attn_ContiguousKvType : Attn_Type<"ContiguousKv", "contiguous_kv"> {
  let summary = "one sequence's keys and values as dense rows";
  let description = [{
    What `attn.dense_kv` makes of two tensors. (C1) `kv_heads` and dims are positive. (C2) elements are f16,
    bf16 or f32.

    Example: `!attn.contiguous_kv<kv_heads = 8, key = 128 x bf16, value = 128 x bf16>`
  }];
  let parameters = (ins "int64_t":$kvHeads, "int64_t":$keyDim, "::mlir::Type":$keyType,
    "int64_t":$valueDim, "::mlir::Type":$valueType);
}

def Attn_PartialsType : Attn_Type<"Partials", "partials"> {
  let summary = "results of the splits of one sequence";
  let description = [{
    Per split, query token and head: a normalised f32 output of `dim` values and an f32 natural
    log-sum-exp. `group` query heads share a kv head; a merge kernel learns the number of kv heads at run
    time and so needs it. (C1) `heads`, `group` and `dim` are positive and `group` divides `heads`.

    Example: `!attn.partials<heads = 32, group = 4, dim = 128>`
  }];
  let parameters = (ins "int64_t":$heads, "int64_t":$group, "int64_t":$dim);
}

def Attn_CosSinType : Attn_Type<"CosSin", "cos_sin"> {
  let summary = "a table of cosines and sines by position, which the caller may give";
  let description = [{
    Rows of `dim` elements, one for each position: the first dim/2 are the cosines of the rotation's pairs,
    the others their sines, every factor applied. The caller says at run time whether there is a table and
    whether its elements are of `type` or f32. (C1) `dim` is positive and even. (C2) `type` is f16 or bf16.

    Example: `!attn.cos_sin<dim = 64, type = bf16>`
  }];
  let parameters = (ins "int64_t":$dim, "::mlir::Type":$type);
}

def Attn_StatesType : Attn_Type<"States", "states"> {
  let summary = "attention states that the caller gives";
  let description = [{
    Up to `parts` results of the same query rows over disjoint sets of keys: of each an output
    [rows, heads, dim] of `type` and an f32 log-sum-exp [rows, heads], in base e or 2 as the caller says.
    A part without keys has the log-sum-exp -inf (or +inf, as some kernels mark it). (C1) `parts`, `heads` and
    `dim` are positive. (C2) `type` is f16 or bf16.

    Example: `!attn.states<parts = 16, heads = 32, dim = 128, type = bf16>`
  }];
  let parameters = (ins "int64_t":$parts, "int64_t":$heads, "int64_t":$dim, "::mlir::Type":$type);
}

#endif // ATTNCC_ATTN_TYPES_TD
