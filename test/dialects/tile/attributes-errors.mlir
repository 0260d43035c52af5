// RUN: attncc-opt %s --split-input-file --verify-diagnostics

// @layout_c1
// expected-error@+1 {{offset vectors exclude register, lane and warp vectors}}
func.func private @f() attributes {a = #tile.layout<register = [[0,1]], offset = [[1,0]]>}

// -----

// expected-error@+1 {{a layout of offsets cannot be partial}}
func.func private @f() attributes {a = #tile.layout<offset = [[0,1]], partial>}

// -----

// @layout_c2
// expected-error@+1 {{layout vectors must not be negative, got [-1,0]}}
func.func private @f() attributes {a = #tile.layout<register = [[-1,0]]>}

// -----

// @layout_c2: a repeat of no copies
// expected-error@+1 {{repeat count 0 is not positive}}
func.func private @f() attributes {a = #tile.layout<register = [[1,0]], repeat = [row 0 register]>}

// -----

// @layout_c3
// expected-error@+1 {{repeat over offset in a layout of registers}}
func.func private @f() attributes {a = #tile.layout<register = [[1,0]], repeat = [row 2 offset]>}

// -----

// @layout_c4: one vector twice
// expected-error@+1 {{the nonzero vectors are linearly dependent}}
func.func private @f() attributes {a = #tile.layout<register = [[1,0]], lane = [[1,0]]>}

// -----

// @layout_c4: a hole
// expected-error@+1 {{the vectors span 4 elements of a patch of 8}}
func.func private @f() attributes {a = #tile.layout<register = [[1,0],[4,0]]>}

// -----

// expected-error@+1 {{expected register, lane, warp, offset, repeat or partial, got 'thread'}}
func.func private @f() attributes {a = #tile.layout<thread = [[1,0]]>}

// -----

// expected-error@+1 {{layout has two fields 'lane'}}
func.func private @f() attributes {a = #tile.layout<lane = [[1,0]], lane = [[2,0]]>}

// -----

// expected-error@+1 {{group must be at least 1, got 0}}
func.func private @f() attributes {a = #tile.items<decode, group = 0>}

// -----

// expected-error@+1 {{group of merge_states must be 1, got 4}}
func.func private @items() attributes {a = #tile.items<merge_states, group = 4>}
