// RUN: attncc-opt %s --tile-interpret --split-input-file --verify-diagnostics

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = units>

// The units hold a slot while they wait for the next one: too few slots.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 2>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  %p1 = tile.advance %r[%p] : !ring
  // expected-error@+1 {{ends in a deadlock: load 0 waits for a free slot of ring %0: slot 0 has not been released by unit 0; unit 0 waits for slot 1 of ring %0, which has not been committed; unit 1 waits for slot 1 of ring %0, which has not been committed}}
  tile.roles load {
    %s = tile.acquire %r[%p] : !ring
    tile.commit %r[%p] : !ring
    // expected-note@+1 {{load 0 waits here}}
    %s1 = tile.acquire %r[%p1] : !ring
    tile.commit %r[%p1] : !ring
  } compute {
    %k = tile.wait %r[%p] : !ring
    // expected-note@+2 {{unit 0 waits here}}
    // expected-note@+1 {{unit 1 waits here}}
    %k1 = tile.wait %r[%p1] : !ring
    tile.release %r[%p] : !ring
    tile.release %r[%p1] : !ring
  }
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = units>

// One of the units does not release its slot.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 2, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %r = tile.ring : !ring
  %p = tile.position
  %p1 = tile.advance %r[%p] : !ring
  // expected-error@+1 {{ends in a deadlock: load 0 waits for a free slot of ring %0: slot 0 has not been released by unit 1}}
  tile.roles load {
    %s = tile.acquire %r[%p] : !ring
    tile.commit %r[%p] : !ring
    // expected-note@+1 {{load 0 waits here}}
    %s1 = tile.acquire %r[%p1] : !ring
  } compute {
    %k = tile.wait %r[%p] : !ring
    %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 1>)
    %first = arith.cmpi eq, %unit, %c0 : index
    scf.if %first {
      tile.release %r[%p] : !ring
    }
  }
  tile.return
}

// -----

!ring = !tile.ring<2 x (!tile.tile<16x8xbf16, shared>), shared_by = units>

// The same where nobody needs the slot again.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 2>, phase = #attn.phase<prefill>} {
  %r = tile.ring : !ring
  %p = tile.position
  // expected-error@+1 {{ends before slot 0 of ring %0 has been released by unit 0}}
  tile.roles load {
    %s = tile.acquire %r[%p] : !ring
    tile.commit %r[%p] : !ring
  } compute {
    %k = tile.wait %r[%p] : !ring
  }
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = units>

// A slot is not handed over.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  // expected-error@+1 {{ends in a deadlock: unit 0 waits for slot 0 of ring %0, which has not been committed}}
  tile.roles load {
    %s = tile.acquire %r[%p] : !ring
  } compute {
    // expected-note@+1 {{unit 0 waits here}}
    %k = tile.wait %r[%p] : !ring
    tile.release %r[%p] : !ring
  }
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = units>

// A unit reads what it has released, although another has not.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 2>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  tile.roles load {
    %s = tile.acquire %r[%p] : !ring
    tile.commit %r[%p] : !ring
  } compute {
    %k = tile.wait %r[%p] : !ring
    tile.release %r[%p] : !ring
    // expected-error@+1 {{reads slot 0 of a ring after its release}}
    %m = tile.move %k : !tile.tile<16x8xbf16, shared> -> !tile.tile<16x8xbf16>
  }
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<16x8xbf16, shared>), shared_by = units>

// A slot may be waited for again, but not when it has been released.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<merge>} {
  %r = tile.ring : !ring
  %p = tile.position
  tile.roles load {
    %s = tile.acquire %r[%p] : !ring
    tile.commit %r[%p] : !ring
  } compute {
    %k = tile.wait %r[%p] : !ring
    %again = tile.wait %r[%p] : !ring
    tile.release %r[%p] : !ring
    // expected-error@+1 {{waits for slot 0 of a ring after its release}}
    %late = tile.wait %r[%p] : !ring
  }
  tile.return
}

// -----

// A unit comes to its turn before the one that does not take it.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 2, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  %c1 = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  // expected-error@+1 {{ends in a deadlock: unit 1 waits for its turn, which unit 0 has}}
  tile.roles load {
  } compute {
    %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 1>)
    %second = arith.cmpi eq, %unit, %c1 : index
    scf.if %second {
      // expected-note@+1 {{unit 1 waits here}}
      tile.take_turn
      tile.pass_turn
    }
  }
  tile.return
}

// -----

// A turn is taken and kept.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<prefill>} {
  // expected-error@+1 {{ends in the turn of unit 0}}
  tile.roles load {
  } compute {
    tile.take_turn
  }
  tile.return
}

// -----

// A turn is taken twice.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<prefill>} {
  tile.roles load {
  } compute {
    tile.take_turn
    // expected-error@+1 {{takes the turn that unit 0 has}}
    tile.take_turn
  }
  tile.return
}

// -----

// A turn is passed that was not taken.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<prefill>} {
  tile.roles load {
  } compute {
    // expected-error@+1 {{passes a turn that unit 0 has not taken}}
    tile.pass_turn
  }
  tile.return
}

// -----

// Units that run in lockstep cannot take turns.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1>, phase = #attn.phase<prefill>} {
  // expected-error@+1 {{takes a turn outside of roles, where units run in lockstep}}
  tile.take_turn
  tile.return
}

// -----

// What units do together they cannot do in roles.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 2>, phase = #attn.phase<prefill>} {
  tile.roles load {
  } compute {
    %m, %l = tile.softmax_init : !tile.tile<8x1xf32>, !tile.tile<8x1xf32>
    %o = tile.zero : !tile.tile<8x64xf32>
    // expected-error@+1 {{is not reached by every unit: 1 of 2}}
    %m1, %l1, %o1 = tile.merge_units %m, %l, %o
        : (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>) -> (!tile.tile<8x1xf32>, !tile.tile<8x1xf32>, !tile.tile<8x64xf32>)
  }
  tile.return
}

// -----

// Behind the last item of a block there is none.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 2, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  %many = arith.constant 1000 : index
  %item, %unit, %valid, %next = tile.draw_item %batch[%many] items(<prefill, group = 1>)
  // expected-error@+1 {{takes an item that is not valid}}
  %range = tile.key_range %item, %unit mask(#attn.mask<causal>) {keys = 16 : i64}
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<1x32xi32, shared>), shared_by = roles>

// Each role but the first releases every item.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 2, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %r = tile.ring : !ring
  %p = tile.position
  %p1 = tile.advance %r[%p] : !ring
  // expected-error@+1 {{ends in a deadlock: load 0 waits for a free slot of ring %0: slot 0 has not been released by load 1}}
  tile.roles load {
    %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 1>)
    %s = tile.acquire %r[%p] : !ring
    tile.put_item %item, %valid into %s
    tile.commit %r[%p] : !ring
    // expected-note@+1 {{load 0 waits here}}
    %s1 = tile.acquire %r[%p1] : !ring
  }, {
    %record = tile.wait %r[%p] : !ring
  } compute {
    %record = tile.wait %r[%p] : !ring
    tile.release %r[%p] : !ring
  }
  tile.return
}

// -----

!ring = !tile.ring<1 x (!tile.tile<1x32xi32, shared>), shared_by = roles>

// An item is not read when its slot may have the next one.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  %c0 = arith.constant 0 : index
  %r = tile.ring : !ring
  %p = tile.position
  tile.roles load {
    %item, %unit, %valid, %next = tile.draw_item %batch[%c0] items(<prefill, group = 1>)
    %s = tile.acquire %r[%p] : !ring
    tile.put_item %item, %valid into %s
    tile.commit %r[%p] : !ring
  } compute {
    %record = tile.wait %r[%p] : !ring
    tile.release %r[%p] : !ring
    // expected-error@+1 {{reads slot 0 of a ring after its release}}
    %item, %unit, %valid = tile.take_item %record items(<prefill, group = 1>) : !tile.tile<1x32xi32, shared>
  }
  tile.return
}

// -----

// What lies in no slot has no item.
tile.kernel @f(%batch: !tile.batch) attributes {schedule = #attn.schedule<units = 1, rows = 16, divide = rows, orientation = direct>, phase = #attn.phase<prefill>} {
  %z = tile.zero : !tile.tile<1x32xi32, shared>
  // expected-error@+1 {{takes an item from a tile that is not a slot's}}
  %item, %unit, %valid = tile.take_item %z items(<prefill, group = 1>) : !tile.tile<1x32xi32, shared>
  tile.return
}
