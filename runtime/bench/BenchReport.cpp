// BenchReport as a table and as JSON. Form: docs/commands.md, "attncc bench".
#include "runtime/bench/Bench.h"
#include "runtime/support/Table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace attncc::bench {

namespace {
/// "133.1", and of less than ten with another decimal: "7.43".
std::string microseconds(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f" : "%.1f", value);
  return text;
}

json::Tree contextTree(const LengthRange &context) {
  if (context.least == context.most)
    return context.least;
  return std::to_string(context.least) + ".." + std::to_string(context.most);
}

std::string boundText(bool atBound, int64_t maxKvLength) {
  return atBound ? "graph at bound " + std::to_string(maxKvLength) : "graph exact";
}
} // namespace

bool BenchReport::passed() const {
  return std::all_of(rows.begin(), rows.end(),
                     [](const BenchRow &row) { return row.failure.empty(); });
}

std::string BenchReport::text() const {
  char size[32];
  std::snprintf(size, sizeof size, "%.3g", double(read.bytes) / double(1 << 30));
  const std::string best = grouped(std::llround(read.best));
  std::vector<std::vector<std::string>> head = {
      {"device", description},
      {"read", best + " GB/s: best of " + std::to_string(read.samples) + " reads of " + size +
                   " GiB, median " + grouped(std::llround(read.median))}};
  if (!rows.empty())
    head.push_back({"pages", (permuted ? "permuted, seed " : "in order, seed ") +
                                 std::to_string(seed) + "; L2 cold"});
  const bool manyClasses = std::any_of(rows.begin(), rows.end(), [&](const BenchRow &row) {
    return row.layerClass != rows.front().layerClass;
  });
  std::vector<std::vector<std::string>> table;
  for (const BenchRow &row : rows) {
    std::vector<std::string> cells = {"decode " + row.shape.text()};
    if (manyClasses)
      cells.push_back(row.layerClass);
    cells.push_back(boundText(row.atBound, row.maxKvLength));
    if (!row.timed()) {
      // In the last column, where it makes no other one wider.
      cells.push_back(row.skipped.empty() ? "wrong" : "skipped");
      cells.push_back("");
      cells.push_back(row.skipped.empty() ? row.failure : row.skipped);
    } else {
      const double rate = row.gigabytesPerSecond();
      cells.push_back(microseconds(row.timing.median) + " us ±" +
                      microseconds(row.timing.deviation));
      cells.push_back(grouped(std::llround(rate)) + " GB/s");
      cells.push_back(std::to_string(std::llround(100 * rate / read.best)) + "% of " + best +
                      " read in this run" + (row.cold ? "" : ", L2 not cold"));
    }
    table.push_back(std::move(cells));
  }
  std::vector<std::vector<std::string>> host;
  for (const Host &one : hosts) {
    std::vector<std::string> cells = {"host " + one.shape.text()};
    if (manyClasses)
      cells.push_back(one.layerClass);
    cells.push_back("update " + microseconds(one.times.update) + " us");
    cells.push_back("append " + microseconds(one.times.append) + " us");
    cells.push_back("attend " + microseconds(one.times.attend) + " us");
    cells.push_back("step of " + std::to_string(HostTimes::kLayers) + " layers " +
                    microseconds(one.times.step) + " us");
    host.push_back(std::move(cells));
  }
  return tableText(head) + tableText(table) + tableText(host);
}

json::Tree BenchReport::json() const {
  json::Tree tree = json::Tree::object();
  tree["device"] = device;
  tree["description"] = description;
  tree["package_id"] = packageId.empty() ? json::Tree() : json::Tree(packageId);
  tree["seed"] = static_cast<int64_t>(seed);
  tree["page_order"] = permuted ? "permuted" : "ascending";
  tree["read_gbps"] = read.best;
  tree["read"]["bytes"] = read.bytes;
  tree["read"]["samples"] = read.samples;
  tree["read"]["median_gbps"] = read.median;
  tree["shapes"] = json::Tree::array();
  for (const BenchRow &row : rows) {
    json::Tree shape = json::Tree::object();
    shape["class"] = row.layerClass;
    shape["batch"] = row.shape.batch;
    shape["context"] = contextTree(row.shape.context);
    shape["query_length"] = row.shape.queryLength;
    shape["kv_heads"] = row.shape.kvHeads ? json::Tree(row.shape.kvHeads) : json::Tree();
    shape["graph"] = row.atBound ? "bound" : "exact";
    shape["max_kv_length"] = row.maxKvLength;
    shape["skipped"] = row.skipped;
    shape["failure"] = row.failure;
    if (row.skipped.empty()) {
      shape["kernel"] = row.kernel;
      shape["error_ratio"] =
          std::isfinite(row.errorRatio) ? json::Tree(row.errorRatio) : json::Tree();
    }
    if (row.timed()) {
      shape["median_us"] = row.timing.median;
      shape["mad_us"] = row.timing.deviation;
      shape["samples"] = row.timing.samples;
      shape["attends"] = row.timing.attends;
      shape["layers"] = row.layers;
      shape["cold"] = row.cold;
      shape["bytes"] = row.bytes;
      shape["gbps"] = row.gigabytesPerSecond();
      shape["share"] = row.gigabytesPerSecond() / read.best;
    }
    tree["shapes"].push(std::move(shape));
  }
  tree["host"] = json::Tree::array();
  for (const Host &one : hosts) {
    json::Tree host = json::Tree::object();
    host["class"] = one.layerClass;
    host["batch"] = one.shape.batch;
    host["context"] = contextTree(one.shape.context);
    host["max_kv_length"] = one.maxKvLength;
    host["update_us"] = one.times.update;
    host["append_us"] = one.times.append;
    host["attend_us"] = one.times.attend;
    host["step_us"] = one.times.step;
    host["step_layers"] = HostTimes::kLayers;
    tree["host"].push(std::move(host));
  }
  return tree;
}

} // namespace attncc::bench
