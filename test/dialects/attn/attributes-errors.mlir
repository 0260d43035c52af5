// RUN: attncc-opt %s --verify-diagnostics --split-input-file
// Labels as in dialects/attn/AttnAttrs.td.

// mask (C1)
// expected-error @+1 {{window must be at least 1, got 0}}
func.func private @c1() attributes {a = #attn.mask<causal, window = 0>}

// -----
// mask (C1)
// expected-error @+1 {{right_window must not be negative, got -1}}
func.func private @c1() attributes {a = #attn.mask<right_window = -1>}

// -----
// mask (C1)
// expected-error @+1 {{chunk must be at least 1, got 0}}
func.func private @c1() attributes {a = #attn.mask<chunk = 0>}

// -----
// mask (C2)
// expected-error @+1 {{prefix widens causal, which is missing}}
func.func private @c2() attributes {a = #attn.mask<prefix>}

// -----
// mask (C3)
// expected-error @+1 {{causal is right_window = 0, but right_window is 4}}
func.func private @c3() attributes {a = #attn.mask<causal, right_window = 4>}

// -----
// expected-error @+1 {{a mask is either none or at least one term}}
func.func private @syntax() attributes {a = #attn.mask<none, causal>}

// -----
// expected-error @+1 {{a mask is either none or at least one term}}
func.func private @syntax() attributes {a = #attn.mask<>}

// -----
// expected-error @+1 {{unknown field 'sliding', expected one of none, causal, window, right_window, chunk, prefix, documents, tree}}
func.func private @syntax() attributes {a = #attn.mask<sliding = 4>}

// -----
// scores (C1)
// expected-error @+1 {{scale must be positive and finite, got -0.5}}
func.func private @c1() attributes {a = #attn.scores<scale = -0.5>}

// -----
// scores (C2)
// expected-error @+1 {{softcap must be positive and finite, got 0.0}}
func.func private @c2() attributes {a = #attn.scores<scale = 0.5, softcap = 0.0>}

// -----
// rope (C1)
// expected-error @+1 {{dim must be even and positive, got 3}}
func.func private @c1() attributes {a = #attn.rope<dim = 3, inverse_frequencies = [1.0]>}

// -----
// rope (C2)
// expected-error @+1 {{dim 4 needs 2 inverse frequencies, got 1}}
func.func private @c2() attributes {a = #attn.rope<dim = 4, inverse_frequencies = [1.0]>}

// -----
// rope (C2)
// expected-error @+1 {{inverse frequency 1 must be finite and not negative, got -1.0}}
func.func private @c2() attributes {a = #attn.rope<dim = 4, inverse_frequencies = [1.0, -1.0]>}

// -----
// rope (C3)
// expected-error @+1 {{theta must be positive and finite, got 0.0}}
func.func private @c3() attributes {a = #attn.rope<dim = 2, theta = 0.0, inverse_frequencies = [1.0]>}

// -----
// rope (C3)
// expected-error @+1 {{attention_factor must be positive and finite, got 0.0}}
func.func private @c3() attributes {a = #attn.rope<dim = 2, attention_factor = 0.0, inverse_frequencies = [1.0]>}

// -----
// split (C1)
// expected-error @+1 {{a split rule needs at least one step}}
func.func private @c1() attributes {a = #attn.split<steps = []>}

// -----
// split (C1)
// expected-error @+1 {{split length must be positive, got 0}}
func.func private @c1() attributes {a = #attn.split<steps = [[2048, 0]]>}

// -----
// split (C1)
// expected-error @+1 {{sequence lengths must be positive and increase, got 2048 after 2048}}
func.func private @c1() attributes {a = #attn.split<steps = [[2048, 256], [2048, 512]]>}

// -----
// phase (C1)
// expected-error @+1 {{decode needs a max_query of at least 1, got 0}}
func.func private @c1() attributes {a = #attn.phase<decode>}

// -----
// phase (C1)
// expected-error @+1 {{max_query belongs to decode, prefill and merge, not to append}}
func.func private @c1() attributes {a = #attn.phase<append, max_query = 2>}

// -----
// expected-error @+1 {{max_query must not be negative, got -1}}
func.func private @c1() attributes {a = #attn.phase<prefill, max_query = -1>}

// -----
// expected-error @+1 {{a phase needs one of prefill, decode, append, merge, merge_states}}
func.func private @syntax() attributes {a = #attn.phase<max_query = 2>}
