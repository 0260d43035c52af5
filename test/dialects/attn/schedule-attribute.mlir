// RUN: attncc-opt %s | attncc-opt | FileCheck %s
// A schedule prints every field, whatever the text left out.

// CHECK-LABEL: @defaults
// CHECK-SAME: #attn.schedule<unit = 1, units = 4, rows = 8, divide = keys, keys = 16, orientation = swapped, product = mma, copy = gather, box = 0, cache = normal, stages = 3, query_stages = 1, roles = one, registers = [], overlap = none, ping_pong = false, rescale = always, work = grid, order = natural, head_group = 0, skip_tiles = false, output = direct, split = none, merge = kernel, dependent_launch = none, blocks_per_sm = 1>
func.func private @defaults() attributes {a = #attn.schedule<>}

// The prefill form of Hopper: every field away from its default.
// CHECK-LABEL: @hopper
// CHECK-SAME: #attn.schedule<unit = 4, units = 2, rows = 64, divide = rows, keys = 80, orientation = direct, product = wgmma, copy = tensor, box = 16, cache = evict_first, stages = [2, 3], query_stages = 2, roles = specialised, registers = [32, 32, 160], overlap = items, ping_pong = true, rescale = lazy, work = atomic, order = longest_first, head_group = 32, skip_tiles = true, output = staged, split = #attn.split<length = 4000>, merge = kernel, dependent_launch = wait_late, blocks_per_sm = 2>
func.func private @hopper() attributes {a = #attn.schedule<
  blocks_per_sm = 2, dependent_launch = wait_late, split = #attn.split<length = 4000>, output = staged,
  skip_tiles = true, head_group = 32, order = longest_first, work = atomic, rescale = lazy, ping_pong = true, overlap = items,
  registers = [32, 32, 160], roles = specialised, query_stages = 2, stages = [2, 3], cache = evict_first, box = 16, copy = tensor,
  product = wgmma, orientation = direct, keys = 80, divide = rows, rows = 64, units = 2, unit = 4>}

// Decode's items take several splits.
// CHECK-LABEL: @span
// CHECK-SAME: split = #attn.split<length = 128>, merge = span,
func.func private @span() attributes {a = #attn.schedule<merge = span, split = #attn.split<length = 128>>}
// CHECK-LABEL: @item
// CHECK-SAME: split = #attn.split<length = 128>, merge = item,
func.func private @item() attributes {a = #attn.schedule<merge = item, split = #attn.split<length = 128>>}
