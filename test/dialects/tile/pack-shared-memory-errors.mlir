// RUN: attncc-opt %s --tile-pack-shared-memory=limit=40960 --verify-diagnostics

#kv = #tile.layout<offset = [[0,1],[0,2],[0,4],[0,8],[0,16],[0,32],[1,8],[2,16],[4,32]], repeat = [row 2 offset]>
!ring = !tile.ring<3 x (!tile.tile<16x64xbf16, shared, #kv>, !tile.tile<16x64xbf16, shared, #kv>), shared_by = unit>

// expected-error @below {{needs 49152 bytes of shared memory, a block may use 40960}}
tile.kernel @large(%batch: !tile.batch)
    attributes {schedule = #attn.schedule<units = 4>, phase = #attn.phase<decode, max_query = 1>} {
  %ring = tile.ring : !ring
  tile.return
}
