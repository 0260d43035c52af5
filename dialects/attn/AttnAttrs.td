//===- AttnAttrs.td - attributes of the attn dialect ---------*- tablegen -*-===//
//
// The values are the structs of Values.h and Mask.h; parsing, printing and
// verification are in AttnAttrs.cpp. Tests: test/dialects/attn/attributes.mlir
// and attributes-errors.mlir.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_ATTN_ATTRS_TD
#define ATTNCC_ATTN_ATTRS_TD

include "mlir/IR/AttrTypeBase.td"

// The one enumeration that stands on an op by itself.
def Attn_BiasKindAttr : EnumAttr<Attn_Dialect, Attn_BiasKind, "bias_kind">;

// An attribute that holds one struct of Values.h.
class Attn_ValueAttr<string name, string attrMnemonic, string value> : AttrDef<Attn_Dialect, name> {
  let mnemonic = attrMnemonic;
  let parameters = (ins AttrParameter<value, "", "const " # value # " &">:$value);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Attn_MaskAttr : Attn_ValueAttr<"Mask", "mask", "::attncc::attn::Mask"> {
  let summary = "which keys a query sees";
  let description = [{
    A conjunction of terms; a key is seen when every term keeps it. With p the query's position:

    | term | keeps |
    |---|---|
    | `causal` | j <= p |
    | `window = w` | j > p - w |
    | `right_window = r` | j <= p + r |
    | `chunk = c` | j / c = p / c |
    | `prefix` | turns causal's bound into j <= max(p, n - 1), n the sequence's prefix length |
    | `documents` | p and j in one document of the sequence |
    | `tree` | among the last q_len keys, those whose bit is set |

    `none` keeps every key. (C1) `window` >= 1, `right_window` >= 0, `chunk` >= 1. (C2) `prefix` needs
    `causal`. (C3) `causal` excludes `right_window`, which it implies with r = 0.

    Example: `#attn.mask<causal, window = 4096>`
  }];
}

def Attn_ScoresAttr : Attn_ValueAttr<"Scores", "scores", "::attncc::attn::Scores"> {
  let summary = "scale and softcap of the scores";
  let description = [{
    s = scale * (q . k); then, where `softcap` is given, s = softcap * tanh(s / softcap).
    (C1) `scale` is finite and positive. (C2) `softcap` is finite and positive.

    Example: `#attn.scores<scale = 0.0883, softcap = 50.0>`
  }];
  let extraClassDeclaration = [{
    double getScale() const { return getValue().scale; }
    std::optional<double> getSoftcap() const { return getValue().softcap; }
  }];
}

def Attn_RopeAttr : Attn_ValueAttr<"Rope", "rope", "::attncc::attn::Rope"> {
  let summary = "rotary position embedding";
  let description = [{
    Pair d of a row at position p is turned by p * inverse_frequencies[d] and multiplied by
    `attention_factor`; dims from `dim` on are left alone. The inverse frequencies are the final f32
    values with every scaling factor applied; `theta` and `scaling` say where they come from.
    (C1) `dim` is even and positive. (C2) there are dim/2 inverse frequencies, finite and not
    negative. (C3) `theta` and `attention_factor` are finite and positive.

    Example: `#attn.rope<pairing = half, dim = 4, theta = 10000.0, inverse_frequencies = [1.0, 0.01]>`
  }];
  let extraClassDeclaration = [{
    ::attncc::attn::Pairing getPairing() const { return getValue().pairing; }
    int64_t getDim() const { return getValue().dim; }
    double getTheta() const { return getValue().theta; }
    ::attncc::attn::RopeScaling getScaling() const { return getValue().scaling; }
    double getAttentionFactor() const { return getValue().attentionFactor; }
    ::llvm::ArrayRef<float> getInverseFrequencies() const { return getValue().inverseFrequencies; }
  }];
}

def Attn_SplitAttr : Attn_ValueAttr<"Split", "split", "::attncc::SplitRule"> {
  let summary = "the split length as a step function of the sequence's own length";
  let description = [{
    `steps` lists [longest sequence, split length] pairs; longer sequences than the last take its
    split length. `length = n` is one step for every length. (C1) there is a step; lengths are
    positive and sequence lengths strictly increase.

    Example: `#attn.split<steps = [[2048, 256], [8192, 1024], [131072, 2048]]>`
  }];
  let extraClassDeclaration = [{
    ::attncc::SplitRule toRule() const { return getValue(); }
  }];
}

def Attn_PhaseAttr : AttrDef<Attn_Dialect, "Phase"> {
  let mnemonic = "phase";
  let summary = "the kernel role that a function is compiled to";
  let description = [{
    A call may mix sequences of both kinds: those of up to `max_query` query tokens are `decode`'s,
    longer ones are `prefill`'s, and each kernel leaves the other's alone; `merge` goes with its
    decode.

    (C1) `max_query` is positive for `decode`, may be given for `prefill` and `merge` (0, the default:
    merge has no limit) and not for `append`.

    Example: `#attn.phase<decode, max_query = 8>`
  }];
  let parameters = (ins EnumParameter<Attn_Role>:$role, AttrParameter<"int64_t", "">:$maxQuery);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Attn_ScheduleAttr : Attn_ValueAttr<"Schedule", "schedule", "::attncc::attn::Schedule"> {
  let summary = "every decision about how a kernel is laid out and overlapped";
  let description = [{
    Printed with all fields; in the text any may be left out and takes the default shown first.

    | field | values | meaning |
    |---|---|---|
    | `unit`, `units`, `rows` | 1; 4; 8 | warps per unit, units per block, query rows per unit |
    | `divide` | `keys`, `rows` | what the units divide |
    | `keys` | 16 | keys per tile |
    | `orientation`, `product` | `swapped`, `direct`; `mma`, `wgmma` | which operand the query is; the instruction |
    | `copy`, `box`, `cache` | `gather`, `tensor`; 0; `normal`, `evict_first` | how K and V are copied, tokens per tensor copy, L2 hint |
    | `stages`, `query_stages` | 3 (joint ring) or [key, value]; 1 | slots of the rings |
    | `roles`, `registers` | `one`, `specialised`; [] or [load, store, compute] | warp roles, registers per thread of each |
    | `overlap` | `none`, `tiles`, `items` | with what a product overlaps |
    | `ping_pong`, `rescale` | `false`; `always`, `lazy` | units take turns; when the accumulator is rescaled |
    | `work`, `order`, `head_group` | `grid`, `static`, `atomic`; `natural`, `longest_first`; 0 | how blocks get items |
    | `skip_tiles`, `output` | `false`; `direct`, `staged` | drain tiles masked for a unit; output through the query's slot |
    | `split`, `merge` | `none` or `#attn.split`; `kernel`, `span`, `item` | split-KV; an item takes one split and a kernel merges them, or as the launch says one or spans of four, which it adds by itself, or all, with the sum of spans |
    | `dependent_launch`, `blocks_per_sm` | `none`, `wait_first`, `wait_late`; 1 | programmatic dependent launch; blocks that share a multiprocessor, exactly so many if more than 1 |

    Constraints that need no target: (C1) counts are positive; `unit` is 1, 4 or 8. (C2) `keys` is a
    multiple of 16 and every split length a multiple of `keys`. (C3) `swapped` needs `mma`; its rows
    are a multiple of 8, at most 32. (C4) `wgmma` needs `direct` and a unit of 4 or 8 warps; direct rows are a
    multiple of the instruction's rows of all warps. (C5) `tensor` needs a box that divides
    `keys` and is a multiple of 8; `gather` has box 0 and no cache hint. (C6) `overlap = items` and
    `skip_tiles` need specialised roles, and `registers` is given for these only. (C7) `ping_pong` needs 2 or
    3 units. (C8) `staged` needs tensor copies and two query stages; `--attn-schedule` asks for specialised roles and an output of the
    query's type, too. (C9) `merge = span` and `item` need `divide = keys`, a joint ring and a `split` whose lengths are
    multiples of the keys of all units. Limits of a target are checked by `--attn-schedule` (Schedules.h).

    Example: `#attn.schedule<units = 2, rows = 16, stages = 2>`
  }];
  let extraClassDeclaration = [{
    int64_t getUnit() const { return getValue().unit; }
    int64_t getUnits() const { return getValue().units; }
    int64_t getRows() const { return getValue().rows; }
    ::attncc::attn::Divide getDivide() const { return getValue().divide; }
    int64_t getKeys() const { return getValue().keys; }
    ::attncc::attn::Orientation getOrientation() const { return getValue().orientation; }
    ::attncc::attn::Product getProduct() const { return getValue().product; }
    ::attncc::attn::Copy getCopy() const { return getValue().copy; }
    int64_t getBox() const { return getValue().box; }
    ::attncc::attn::Cache getCache() const { return getValue().cache; }
    ::attncc::attn::Stages getStages() const { return getValue().stages; }
    ::attncc::attn::Roles getRoles() const { return getValue().roles; }
    ::attncc::attn::Overlap getOverlap() const { return getValue().overlap; }
    ::attncc::attn::Rescale getRescale() const { return getValue().rescale; }
    ::attncc::attn::Order getOrder() const { return getValue().order; }
    ::attncc::attn::Work getWork() const { return getValue().work; }
    ::attncc::attn::MergeForm getMerge() const { return getValue().merge; }
    int64_t getThreads() const { return getValue().threads(); }
    /// Null without a split.
    ::attncc::attn::SplitAttr getSplit() const;
  }];
}

#endif // ATTNCC_ATTN_ATTRS_TD
