// RUN: attncc-opt %s --verify-diagnostics --split-input-file
// Labels as in dialects/attn/AttnTypes.td.

// paged_kv (C1)
// expected-error @+1 {{page_size must be 1 to 256, got 257}}
func.func private @c1(!attn.paged_kv<page_size = 257, kv_heads = 8, key = 64 x bf16, value = 64 x bf16>)

// -----
// paged_kv (C1)
// expected-error @+1 {{page_size must be 1 to 256, got 0}}
func.func private @c1(!attn.paged_kv<kv_heads = 8, key = 64 x bf16, value = 64 x bf16>)

// -----
// paged_kv (C1)
// expected-error @+1 {{kv_heads must be at least 1, got 0}}
func.func private @c1(!attn.paged_kv<page_size = 16, kv_heads = 0, key = 64 x bf16, value = 64 x bf16>)

// -----
// paged_kv (C2)
// expected-error @+1 {{value elements must be f16, bf16, f8E4M3FN, f8E5M2, i8 or i4, got 'f32'}}
func.func private @c2(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x f32>)

// -----
// paged_kv (C2)
// expected-error @+1 {{a cache of 'i8' needs scales}}
func.func private @c2(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x i8, value = 64 x i8>)

// -----
// paged_kv (C2)
// expected-error @+1 {{a cache of 'bf16' has no scales, got per_head}}
func.func private @c2(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, scales = per_head>)

// -----
// paged_kv (C2)
// expected-error @+1 {{a residual holds at least one token of f16 or bf16 beside a quantised cache, got 64 x 'bf16' beside 'bf16'}}
func.func private @c2(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, residual = 64 x bf16>)

// -----
// paged_kv (C3)
// expected-error @+1 {{value key[64:640] is not a part of a key of 576 dims}}
func.func private @c3(!attn.paged_kv<page_size = 16, kv_heads = 1, key = 576 x bf16, value = key[64:640]>)

// -----
// paged_kv (C4)
// expected-error @+1 {{scales per_channel of 128 dims do not take a group of 48}}
func.func private @c4(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 128 x i4, value = 128 x i4, scales = per_channel<group = 48>>)

// -----
// paged_kv (C4)
// expected-error @+1 {{scales per_head of 128 dims do not take a group of 32}}
func.func private @c4(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 128 x i8, value = 128 x i8, scales = per_head<group = 32>>)

// -----
// paged_kv: a field that is missing, unknown or given twice
// expected-error @+1 {{a KV type needs key and value}}
func.func private @syntax(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16>)

// -----
// expected-error @+1 {{unknown field 'pages', expected one of page_size, kv_heads, key, value, order, scales, residual}}
func.func private @syntax(!attn.paged_kv<pages = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16>)

// -----
// expected-error @+1 {{field 'kv_heads' is given twice}}
func.func private @syntax(!attn.paged_kv<page_size = 16, kv_heads = 8, kv_heads = 8, key = 64 x bf16, value = 64 x bf16>)

// -----
// expected-error @+1 {{unknown value 'DNH', expected one of NHD, HND}}
func.func private @syntax(!attn.paged_kv<page_size = 16, kv_heads = 8, key = 64 x bf16, value = 64 x bf16, order = DNH>)

// -----
// contiguous_kv (C1)
// expected-error @+1 {{value dim must be at least 1, got 0}}
func.func private @c1(!attn.contiguous_kv<kv_heads = 8, key = 64 x bf16, value = 0 x bf16>)

// -----
// contiguous_kv (C2)
// expected-error @+1 {{key elements must be f16, bf16 or f32, got 'i8'}}
func.func private @c2(!attn.contiguous_kv<kv_heads = 8, key = 64 x i8, value = 64 x bf16>)

// -----
// partials (C1)
// expected-error @+1 {{dim must be at least 1, got 0}}
func.func private @c1(!attn.partials<heads = 32, group = 4>)

// -----
// partials (C1)
// expected-error @+1 {{heads 30 must be a multiple of the group 4}}
func.func private @c1(!attn.partials<heads = 30, group = 4, dim = 64>)

// -----
// cos_sin (C1)
// expected-error @+1 {{dim must be at least 1, got 0}}
func.func private @c1(!attn.cos_sin<type = bf16>)

// -----
// cos_sin (C1)
// expected-error @+1 {{dim must be even, got 5}}
func.func private @c1(!attn.cos_sin<dim = 5, type = bf16>)

// -----
// cos_sin (C2)
// expected-error @+1 {{type must be f16 or bf16, got 'f32'}}
func.func private @c2(!attn.cos_sin<dim = 4, type = f32>)

// -----
// states (C1)
// expected-error @+1 {{parts must be at least 1, got 0}}
func.func private @c1(!attn.states<heads = 8, dim = 64, type = bf16>)

// -----
// states (C2)
// expected-error @+1 {{type must be f16 or bf16, got 'f32'}}
func.func private @c2(!attn.states<parts = 2, heads = 8, dim = 64, type = f32>)

// -----
// expected-error @+1 {{unknown field 'group', expected one of parts, heads, dim, type}}
func.func private @syntax(!attn.states<parts = 2, heads = 8, group = 4>)
