//===- SplitForms.h - what decode programs do with splits ---------------------===//
//
// Internal to the tests. Parts of a decode program in the forms that
// --convert-attn-to-tile writes, one for each `merge` of the schedule. They use the
// types !m (statistics) and !o (values), %c0, %item, %workspace and the loop's %j.
//
//===----------------------------------------------------------------------===//
#ifndef ATTNCC_TEST_DIALECTS_TILE_SPLITFORMS_H
#define ATTNCC_TEST_DIALECTS_TILE_SPLITFORMS_H

#include <string>

namespace attncc::tile {

struct SplitForm {
  std::string before;                  // the loop
  std::string carried, types, results; // by the loop, behind %m, %l and %o
  std::string end, yielded;            // of an iteration that has %mj, %lj and %oj
  std::string after;                   // the loop: %r and %lse
};

inline SplitForm splitForm(const std::string &merge, long keys) {
  const std::string merged = " : (!m, !m, !o) -> (!m, !m, !o)\n",
                    normal = " {log2} : (!o, !m, !m) -> (!o, !m)\n", added = " : !o, !m\n";
  // A state before the first key.
  auto start = [](const std::string &name) {
    return "%m" + name + ", %l" + name + " = tile.softmax_init : !m, !m\n%o" + name +
           " = tile.zero : !o\n";
  };
  auto state = [](const std::string &name) {
    return ", %m" + name + ", %l" + name + ", %o" + name;
  };
  SplitForm form;
  form.yielded = "%mj, %lj, %oj : !m, !m, !o";
  form.after = "%mu, %lu, %ou = tile.merge_units %m, %l, %o" + merged +
               "%r0, %e0 = tile.normalize %ou, %mu, %lu" + normal;
  std::string own = "%r0, %e0", before = "%mb, %lb, %ob", place = "%c0";
  if (merge == "kernel") {
    form.after += start("b");
  } else {
    const bool all = merge == "item";
    form.before = "%count = tile.item_splits %item\n%tiles = tile.split_tiles %item {keys = " +
                  std::to_string(keys) + "}\n%c1s = arith.constant 1 : index\n" +
                  "%c3s = arith.constant 3 : index\n" + start("s0") + (all ? start("a0") : "");
    form.carried = ", %ms = %ms0, %ls = %ls0, %os = %os0" +
                   std::string(all ? ", %ma = %ma0, %la = %la0, %oa = %oa0" : "") +
                   ", %split = %c0";
    form.types = ", !m, !m, !o" + std::string(all ? ", !m, !m, !o" : "") + ", index";
    form.results = state("sn") + (all ? state("an") : "") + ", %splitn";
    const std::string types = "!m, !m, !o" + form.types;
    const std::string states = all ? "!m, !m, !o, !m, !m, !o" : "!m, !m, !o",
                      spans = all ? "%ms2, %ls2, %os2, %ma2, %la2, %oa2" : "%ms2, %ls2, %os2";
    form.end =
        "%next = arith.addi %split, %c1s : index\n"
        "%behind = arith.addi %j, %c1s : index\n"
        "%bound = arith.muli %next, %tiles : index\n"
        "%is_last = arith.cmpi eq, %behind, %bound : index\n"
        "%has_more = arith.cmpi ult, %next, %count : index\n"
        "%ends = arith.andi %is_last, %has_more : i1\n"
        "%me, %le, %oe" +
        state("se") + (all ? state("ae") : "") + ", %splite = scf.if %ends -> (" + types +
        ") {\n"
        "%m1, %l1, %o1 = tile.merge_units %mj, %lj, %oj" +
        merged + "%r1, %e1 = tile.normalize %o1, %m1, %l1" + normal +
        "%ms1, %ls1, %os1 = tile.add_split %r1, %e1 to %ms, %ls, %os" + added +
        "%place = arith.andi %next, %c3s : index\n"
        "%whole = arith.cmpi eq, %place, %c0 : index\n" +
        spans + " = scf.if %whole -> (" + states +
        ") {\n%r2, %e2 = tile.normalize %os1, %ms1, %ls1" + normal +
        "%first = arith.subi %split, %c3s : index\n"
        "tile.store_partial %r2, %e2, %workspace[%item, %first]" +
        added + (all ? "%ma1, %la1, %oa1 = tile.add_split %r2, %e2 to %ma, %la, %oa" + added : "") +
        start("s3") + "scf.yield %ms3, %ls3, %os3" + (all ? ", %ma1, %la1, %oa1" : "") + " : " +
        states + "\n} else {\nscf.yield %ms1, %ls1, %os1" + (all ? ", %ma, %la, %oa" : "") + " : " +
        states + "\n}\n" + start("f") + "scf.yield %mf, %lf, %of, " + spans + ", %next : " + types +
        "\n} else {\nscf.yield %mj, %lj, %oj, %ms, %ls, %os" + (all ? ", %ma, %la, %oa" : "") +
        ", %split : " + types + "\n}\n";
    form.yielded =
        "%me, %le, %oe" + state("se") + (all ? state("ae") : "") + ", %splite : " + types;
    form.after += "%mt, %lt, %ot = tile.add_split %r0, %e0 to %msn, %lsn, %osn" + added +
                  "%r3, %e3 = tile.normalize %ot, %mt, %lt" + normal;
    form.after += "%cm4 = arith.constant -4 : index\n"
                  "%last = arith.andi %splitn, %cm4 : index\n";
    own = "%r3, %e3";
    place = "%last";
    if (all)
      before = "%man, %lan, %oan";
    else
      form.after += start("b");
  }
  form.after += "tile.store_partial " + own + ", %workspace[%item, " + place + "]" + added +
                "%mz, %lz, %oz = tile.add_split " + own + " to " + before + added +
                "%r, %lse = tile.normalize %oz, %mz, %lz : (!o, !m, !m) -> (!o, !m)\n";
  return form;
}

} // namespace attncc::tile

#endif // ATTNCC_TEST_DIALECTS_TILE_SPLITFORMS_H
