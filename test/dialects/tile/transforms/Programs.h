//===- Programs.h - tile kernels as conversions write them --------------------===//
//
// Internal to the tests of the passes. Text of the kernels in values, before any pass, for
// the shapes that models have.
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TEST_DIALECTS_TILE_TRANSFORMS_PROGRAMS_H
#define ATTNCC_TEST_DIALECTS_TILE_TRANSFORMS_PROGRAMS_H

#include <cstdint>
#include <ostream>
#include <string>

namespace attncc::tile {

struct DecodeShape {
  int64_t keyDim = 64, valueDim = 64, group = 4, rows = 8, pageSize = 16;
  int64_t keys = 16, units = 4, stages = 3;
  std::string type = "bf16";
  std::string split = ""; ///< `, split = …` of the schedule
  std::string merge = "kernel";
  std::string stagesText = ""; ///< replaces the number of stages: "[2, 3]"
  int64_t box = 0;             ///< tokens of a tensor copy; 0: gathered copies
  int64_t maxQuery = 8;        ///< query tokens of the longest sequence that is decode's
};
std::string decodeProgram(const DecodeShape &shape);
/// The same attention with units that divide the rows. `order` is the schedule's, `mask` the body
/// of an #attn.mask.
std::string prefillProgram(const DecodeShape &shape, const std::string &order = "longest_first",
                           const std::string &mask = "causal");

/// Prefill by units of a warpgroup each, beside roles that copy.
struct RolesForm {
  std::string overlap = "tiles", work = "static", order = "longest_first", mask = "causal";
  bool pingPong = true, lazy = true;
  int64_t queryStages = 1;
  bool staged = false; ///< results leave through the query's slot: 2 query stages or more, one dim
  bool skip = false;   ///< units leave out tiles that they do not see: overlap
};
/// Needs boxes.
std::string rolesProgram(const DecodeShape &shape, const RolesForm &form = {});

struct AppendShape {
  int64_t dim = 64, group = 4, rotary = 64, pageSize = 16;
  bool norm = true, interleaved = false;
};
std::string appendProgram(const AppendShape &shape);

/// The kernel without prologue.
std::string copyProgram(int64_t dim, int64_t group);

std::string mergeProgram(int64_t dim, int64_t units);
std::string mergeStatesProgram(int64_t dim, int64_t units);

} // namespace attncc::tile

#endif // ATTNCC_TEST_DIALECTS_TILE_TRANSFORMS_PROGRAMS_H
