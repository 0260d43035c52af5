// BenchReport as a table and as JSON. Form: docs/commands.md, "attncc bench".
#include "runtime/bench/Bench.h"
#include "runtime/support/Table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

namespace attncc::bench {

namespace {
/// "133.1", and of less than ten with another decimal: "7.43".
std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f" : "%.1f", value);
  return text;
}

std::string timeText(const Timing &timing) {
  return figure(timing.median) + " us ±" + figure(timing.deviation);
}

json::Tree lengthTree(const LengthRange &range) {
  return range.least == range.most ? json::Tree(range.least) : json::Tree(range.text(".."));
}

void setTiming(json::Tree &of, const Timing &timing) {
  of["median_us"] = timing.median;
  of["mad_us"] = timing.deviation;
  of["samples"] = timing.samples;
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
  std::map<Role, std::vector<std::vector<std::string>>> tables;
  for (const BenchRow &row : rows) {
    const Role role = row.shape.role();
    std::vector<std::string> cells = {std::string(name(role)) + " " + row.shape.text()};
    if (manyClasses)
      cells.push_back(row.layerClass);
    cells.push_back(boundText(row.atBound, row.maxKvLength));
    const std::string cold = row.cold ? "" : ", L2 not cold";
    if (!row.timed()) {
      // In the last column, where it makes no other one wider.
      cells.push_back(row.skipped.empty() ? "wrong" : "skipped");
      cells.resize(cells.size() + (role == Role::Prefill ? 2 : 1));
      cells.push_back(row.skipped.empty() ? row.failure : row.skipped);
    } else if (role == Role::Prefill) {
      cells.push_back(timeText(row.timing));
      cells.push_back(figure(row.teraflopsPerSecond(row.timing)) + " TFLOP/s sustained");
      cells.push_back(timeText(row.burst));
      cells.push_back(figure(row.teraflopsPerSecond(row.burst)) + " TFLOP/s burst" + cold);
    } else {
      const double rate = row.gigabytesPerSecond();
      cells.push_back(timeText(row.timing));
      cells.push_back(grouped(std::llround(rate)) + " GB/s");
      cells.push_back(std::to_string(std::llround(100 * rate / read.best)) + "% of " + best +
                      " read in this run" + cold);
    }
    tables[role].push_back(std::move(cells));
  }
  std::vector<std::vector<std::string>> host;
  for (const Host &one : hosts) {
    std::vector<std::string> cells = {"host " + one.shape.text()};
    if (manyClasses)
      cells.push_back(one.layerClass);
    cells.push_back("update " + figure(one.times.update) + " us");
    cells.push_back("append " + figure(one.times.append) + " us");
    cells.push_back("attend " + figure(one.times.attend) + " us");
    cells.push_back("step of " + std::to_string(HostTimes::kLayers) + " layers " +
                    figure(one.times.step) + " us");
    host.push_back(std::move(cells));
  }
  return tableText(head) + tableText(tables[Role::Decode]) + tableText(tables[Role::Prefill]) +
         tableText(host);
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
    shape["role"] = name(row.shape.role());
    shape["class"] = row.layerClass;
    shape["batch"] = row.shape.batch;
    shape["context"] = lengthTree(row.shape.kvLength());
    shape["query_length"] = lengthTree(row.shape.queryLength);
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
      shape["attends"] = row.timing.attends;
      shape["layers"] = row.layers;
      shape["cold"] = row.cold;
    }
    if (row.timed() && row.shape.role() == Role::Prefill) {
      shape["flops"] = row.flops;
      for (auto [state, timing] :
           {std::pair("burst", &row.burst), std::pair("sustained", &row.timing)}) {
        setTiming(shape[state], *timing);
        shape[state]["tflops"] = row.teraflopsPerSecond(*timing);
      }
    } else if (row.timed()) {
      setTiming(shape, row.timing);
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
    host["context"] = lengthTree(one.shape.kvLength());
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
