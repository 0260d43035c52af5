//===- AttnDialect.td - the attn dialect ---------------------*- tablegen -*-===//
//
// What attention computes, for one sequence: rectangular tensors of that
// sequence's rows, keys and heads. Batches, ragged lengths and grids appear only
// in the tile dialect.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_ATTN_DIALECT_TD
#define ATTNCC_ATTN_DIALECT_TD

include "mlir/IR/DialectBase.td"

def Attn_Dialect : Dialect {
  let name = "attn";
  let cppNamespace = "::attncc::attn";
  let summary = "attention of one sequence over paged keys and values";
  let description = [{
    The computation that a transformer layer asks for, from QK-norm to the merge of split keys,
    in readable form. Every tensor belongs to one sequence: queries are `[rows, heads, dim]`, scores
    `[heads, rows, keys]`, and row i stands at position len(kv) - rows + i. The dialect depends on no
    other; the tile dialect uses its KV types, masks and schedules.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let extraClassDeclaration = [{
    void registerAttributes();
    void registerTypes();
  }];
}

include "dialects/attn/AttnEnums.td"
include "dialects/attn/AttnAttrs.td"
include "dialects/attn/AttnTypes.td"
include "dialects/attn/AttnOps.td"

#endif // ATTNCC_ATTN_DIALECT_TD
