// RUN: attncc-opt %s --verify-diagnostics --split-input-file
// Labels as in #attn.schedule of dialects/attn/AttnAttrs.td.

// schedule (C1)
// expected-error @+1 {{units must be at least 1, got 0}}
func.func private @c1() attributes {a = #attn.schedule<units = 0>}

// -----
// schedule (C1)
// expected-error @+1 {{value stages must be at least 1, got 0}}
func.func private @c1() attributes {a = #attn.schedule<stages = [2, 0]>}

// -----
// schedule (C1)
// expected-error @+1 {{unit must be 1, 4 or 8 warps, got 2}}
func.func private @c1() attributes {a = #attn.schedule<unit = 2>}

// -----
// schedule (C2)
// expected-error @+1 {{keys must be a multiple of 16, got 24}}
func.func private @c2() attributes {a = #attn.schedule<keys = 24>}

// -----
// schedule (C2)
// expected-error @+1 {{split length 1024 is not a multiple of the 48 keys of a tile}}
func.func private @c2() attributes {a = #attn.schedule<keys = 48, split = #attn.split<steps = [[2048, 96], [8192, 1024]]>>}

// -----
// schedule (C3)
// expected-error @+1 {{orientation swapped needs product mma, got wgmma}}
func.func private @c3() attributes {a = #attn.schedule<unit = 4, product = wgmma>}

// -----
// schedule (C3)
// expected-error @+1 {{swapped rows must be a multiple of 8 and at most 32, got 40}}
func.func private @c3() attributes {a = #attn.schedule<rows = 40>}

// -----
// schedule (C4)
// expected-error @+1 {{product wgmma needs a unit of 4 or 8 warps, got 1}}
func.func private @c4() attributes {a = #attn.schedule<orientation = direct, product = wgmma, rows = 64>}

// -----
// schedule (C4)
// expected-error @+1 {{direct rows of a unit of 4 warps must be a multiple of 64, got 96}}
func.func private @c4() attributes {a = #attn.schedule<orientation = direct, unit = 4, rows = 96>}

// -----
// schedule (C5)
// expected-error @+1 {{copy tensor needs a box that is a multiple of 8 and divides the 48 keys of a tile, got 32}}
func.func private @c5() attributes {a = #attn.schedule<copy = tensor, keys = 48, box = 32>}

// -----
// schedule (C5)
// expected-error @+1 {{copy gather has no box, got 16}}
func.func private @c5() attributes {a = #attn.schedule<box = 16>}

// -----
// schedule (C5)
// expected-error @+1 {{cache evict_first is a hint of copy tensor, got gather}}
func.func private @c5() attributes {a = #attn.schedule<cache = evict_first>}

// -----
// schedule (C6)
// expected-error @+1 {{overlap items needs specialised roles}}
func.func private @c6() attributes {a = #attn.schedule<overlap = items>}

// -----
// schedule (C6)
// expected-error @+1 {{skip_tiles needs specialised roles}}
func.func private @c6() attributes {a = #attn.schedule<skip_tiles = true>}

// -----
// schedule (C6)
// expected-error @+1 {{roles specialised take 3 registers, got 2}}
func.func private @c6() attributes {a = #attn.schedule<roles = specialised, registers = [32, 160]>}

// -----
// schedule (C7)
// expected-error @+1 {{ping_pong needs 2 or 3 units, got 4}}
func.func private @c7() attributes {a = #attn.schedule<ping_pong = true>}

// -----
// schedule (C8)
// expected-error @+1 {{output staged needs copy tensor and 2 query stages, got gather and 2}}
func.func private @c8() attributes {a = #attn.schedule<output = staged, query_stages = 2>}

// -----
// schedule (C9)
// expected-error @+1 {{merge item needs divide keys, a joint ring and a split}}
func.func private @c9() attributes {a = #attn.schedule<merge = item>}

// -----
// expected-error @+1 {{merge span needs divide keys, a joint ring and a split}}
func.func private @c9() attributes {a = #attn.schedule<merge = span, stages = [2, 3], split = #attn.split<length = 128>>}

// -----
// expected-error @+1 {{split length 96 of merge span is not a multiple of the 64 keys of all units}}
func.func private @c9() attributes {a = #attn.schedule<merge = span, split = #attn.split<length = 96>>}

// -----
// expected-error @+1 {{unknown value 'yes', expected true or false}}
func.func private @syntax() attributes {a = #attn.schedule<ping_pong = yes>}

// -----
// expected-error @+1 {{unknown field 'warps', expected one of unit, units, rows, divide, keys,}}
func.func private @syntax() attributes {a = #attn.schedule<warps = 4>}
