// RUN: attncc-opt %s --split-input-file --verify-diagnostics

// @tile_c1
// expected-error@+1 {{a tile has at least one row and one column, got 0x8}}
func.func private @f(!tile.tile<0x8xf32>)

// -----

// @tile_c1
// expected-error@+1 {{tile elements must be integers or floats, got 'index'}}
func.func private @f(!tile.tile<8x8xindex>)

// -----

// expected-error@+1 {{a tile has 2 dimensions, got 3}}
func.func private @f(!tile.tile<2x8x8xf32>)

// -----

// @tile_c2
// expected-error@+1 {{a shared tile needs a layout of offsets}}
func.func private @f(!tile.tile<2x1xf32, shared, #tile.layout<register = [[1,0]]>>)

// -----

// @tile_c3
// expected-error@+1 {{a register tile needs a layout of registers, lanes and warps}}
func.func private @f(!tile.tile<2x1xf32, registers, #tile.layout<offset = [[1,0]]>>)

// -----

// @tile_c3: the layout holds two rows
// expected-error@+1 {{the layout covers 2x1, the tile is 4x1}}
func.func private @f(!tile.tile<4x1xf32, registers, #tile.layout<register = [[1,0]]>>)

// -----

// @tile_c2: an offset layout holds more columns
// expected-error@+1 {{the layout covers 1x4, the tile is 1x2}}
func.func private @f(!tile.tile<1x2xf32, shared, #tile.layout<offset = [[0,1],[0,2]]>>)

// -----

// @ring_c1
// expected-error@+1 {{a ring has at least one slot, got 0}}
func.func private @f(!tile.ring<0 x (!tile.tile<2x1xf32, shared>), shared_by = unit>)

// -----

// @ring_c1
// expected-error@+1 {{a ring's slot holds at least one tile}}
func.func private @f(!tile.ring<2 x (), shared_by = unit>)

// -----

// @ring_c2
// expected-error@+1 {{a ring holds tiles in shared memory, got '!tile.tile<2x1xf32>'}}
func.func private @f(!tile.ring<2 x (!tile.tile<2x1xf32>), shared_by = unit>)
