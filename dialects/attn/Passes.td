//===- Passes.td - passes of the attn dialect ----------------*- tablegen -*-===//
#ifndef ATTNCC_ATTN_PASSES_TD
#define ATTNCC_ATTN_PASSES_TD

include "mlir/Pass/PassBase.td"

def FuseAttentionPass : Pass<"attn-fuse-attention", "::mlir::ModuleOp"> {
  let summary = "joins an unfused attention chain into one attn.attention";
  let description = [{
    Starts at every `attn.weighted_sum` and walks up: softmax, then mask and bias in either order, softcap,
    scores, to one `attn.read_kv`, or to tensors, which become `attn.dense_kv`. Every value in between has
    one use. A chain that nearly matches gets a remark on the op in the way.

    The same chain in linalg on tensors is brought to this form first: products are known by their
    indexing maps, the softmax as `linalg.softmax` or as its parts, masks as selects of -inf by
    comparisons of positions. More than one sequence becomes an `scf.forall`.
  }];
  let dependentDialects = ["::attncc::attn::AttnDialect", "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
}

def SplitKvPass : Pass<"attn-split-kv", "::mlir::ModuleOp"> {
  let summary = "splits the keys of decode functions and adds the merge";
  let description = [{
    In every function of phase decode, `attn.attention` gets the split rule and yields partials; a function of
    phase merge, named after it, joins them. The rule is `steps` if given, else the default for
    `max-position`.
  }];
  let options = [
    Option<"maxPosition", "max-position", "int64_t", "131072", "longest sequence that the rule provides for">,
    Option<"split", "split", "std::string", "\"\"", "a rule in the syntax of #attn.split, instead of the default">];
  let dependentDialects = ["::attncc::attn::AttnDialect", "::mlir::func::FuncDialect"];
}

def SchedulePass : Pass<"attn-schedule", "::mlir::ModuleOp"> {
  let summary = "chooses the schedule of every attn.attention";
  let description = [{
    The cost model's schedule for the target, or the given one where its units divide what the phase divides
    (decode the keys, prefill the rows); either is refused where it breaks a limit of the
    target table. Append and merge functions get theirs as a function attribute, `attn.schedule`.
    `query-tokens` says for how many query tokens of a sequence at most the cost model chooses
    prefill's.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"sm_80\"", "name in the target table">,
    Option<"schedule", "schedule", "std::string", "\"\"", "a schedule in the syntax of #attn.schedule, instead of the cost model's">,
    Option<"queryTokens", "query-tokens", "int64_t", "0", "the most query tokens of a prefill sequence, 0: any number">];
  let dependentDialects = ["::attncc::attn::AttnDialect"];
}

#endif // ATTNCC_ATTN_PASSES_TD
