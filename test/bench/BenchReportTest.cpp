#include "runtime/bench/Bench.h"

#include <gtest/gtest.h>

using namespace attncc;
using namespace attncc::bench;

namespace {
BenchReport sampleReport() {
  BenchReport report;
  report.device = "cuda:0";
  report.description = "NVIDIA H200 (sm_90, driver 580.159.04)";
  report.packageId = "41c0";
  report.read = {int64_t(8) << 30, 40, 4542, 4530.4};
  BenchRow row;
  row.layerClass = "full";
  row.shape = {64, {4096, 4096}};
  row.maxKvLength = 4096;
  row.kernel = "attncc_decode";
  row.errorRatio = 1.25;
  row.bytes = 537460000;
  row.layers = 2;
  row.timing = {133.1, 0.42, 40, 12};
  report.rows.push_back(row);
  row.atBound = true;
  row.maxKvLength = 131072;
  row.timing = {1234.56, 2, 40, 2};
  report.rows.push_back(row);
  return report;
}
} // namespace

TEST(BenchReport, IsATable) {
  BenchReport report = sampleReport();
  BenchRow row = report.rows.front();
  row.shape = {1, {128, 8192}, 4};
  row.timing = {7.426, 0.031, 40, 200};
  row.bytes = 16000000;
  row.cold = false;
  report.rows.push_back(row);
  row.skipped = "cannot allocate 5 bytes";
  report.rows.push_back(row);
  row.skipped.clear();
  row.failure = "element 3 is 1";
  report.rows.push_back(row);
  EXPECT_EQ(report.text(), R"(device  NVIDIA H200 (sm_90, driver 580.159.04)
read    4,542 GB/s: best of 40 reads of 8 GiB, median 4,530
pages   permuted, seed 1; L2 cold
decode 64 x 4096                graph exact            133.1 us ±0.42   4,038 GB/s  89% of 4,542 read in this run
decode 64 x 4096                graph at bound 131072  1234.6 us ±2.00  435 GB/s    10% of 4,542 read in this run
decode 1 x 128-8192, 4 queries  graph exact            7.43 us ±0.03    2,155 GB/s  47% of 4,542 read in this run, L2 not cold
decode 1 x 128-8192, 4 queries  graph exact            skipped                      cannot allocate 5 bytes
decode 1 x 128-8192, 4 queries  graph exact            wrong                        element 3 is 1
)");
  EXPECT_FALSE(report.passed());
}

TEST(BenchReport, PrefillHasATableOfItsOwn) {
  BenchReport report = sampleReport();
  report.rows.pop_back();
  BenchRow row = report.rows.front();
  row.shape = {4, {}, 4096};
  row.flops = 549822922752;
  row.timing = {918.4, 3.1, 80, 2};
  row.burst = {776.54, 1.2, 40, 2};
  report.rows.insert(report.rows.begin(), row);
  row.shape = {1, 32768, 2048};
  row.cold = false;
  report.rows.push_back(row);
  row.skipped = "cannot allocate 5 bytes";
  report.rows.push_back(row);
  EXPECT_EQ(report.text(), R"(device  NVIDIA H200 (sm_90, driver 580.159.04)
read    4,542 GB/s: best of 40 reads of 8 GiB, median 4,530
pages   permuted, seed 1; L2 cold
decode 64 x 4096  graph exact  133.1 us ±0.42  4,038 GB/s  89% of 4,542 read in this run
prefill 4 x 4096           graph exact  918.4 us ±3.10  598.7 TFLOP/s sustained  776.5 us ±1.20  708.0 TFLOP/s burst
prefill 1 x 2048 of 32768  graph exact  918.4 us ±3.10  598.7 TFLOP/s sustained  776.5 us ±1.20  708.0 TFLOP/s burst, L2 not cold
prefill 1 x 2048 of 32768  graph exact  skipped                                                  cannot allocate 5 bytes
)");
}

TEST(BenchReport, PrefillIsJson) {
  BenchReport report = sampleReport();
  report.rows.pop_back();
  BenchRow &row = report.rows.front();
  row.shape = {4, {}, {9, 4096}};
  row.flops = 5e11;
  row.timing = {1000, 3.5, 80, 2};
  row.burst = {800, 1.5, 40, 2};
  const std::string text = report.json().text();
  EXPECT_EQ(text.substr(text.find("  \"shapes\"")), R"json(  "shapes": [
    {
      "attends": 2,
      "batch": 4,
      "burst": {
        "mad_us": 1.5,
        "median_us": 800.0,
        "samples": 40,
        "tflops": 625.0
      },
      "class": "full",
      "cold": true,
      "context": "9..4096",
      "error_ratio": 1.25,
      "failure": "",
      "flops": 500000000000.0,
      "graph": "exact",
      "kernel": "attncc_decode",
      "kv_heads": null,
      "layers": 2,
      "max_kv_length": 4096,
      "query_length": "9..4096",
      "role": "prefill",
      "skipped": "",
      "sustained": {
        "mad_us": 3.5,
        "median_us": 1000.0,
        "samples": 80,
        "tflops": 500.0
      }
    }
  ]
})json");
}

TEST(BenchReport, NamesClassesWhereThereAreSeveral) {
  BenchReport report = sampleReport();
  report.rows[1].layerClass = "sliding";
  report.hosts.push_back({"full", report.rows[0].shape, 4096, {0.051, 1.8, 2.94, 76.3}});
  EXPECT_EQ(report.text(), R"(device  NVIDIA H200 (sm_90, driver 580.159.04)
read    4,542 GB/s: best of 40 reads of 8 GiB, median 4,530
pages   permuted, seed 1; L2 cold
decode 64 x 4096  full     graph exact            133.1 us ±0.42   4,038 GB/s  89% of 4,542 read in this run
decode 64 x 4096  sliding  graph at bound 131072  1234.6 us ±2.00  435 GB/s    10% of 4,542 read in this run
host 64 x 4096  full  update 0.05 us  append 1.80 us  attend 2.94 us  step of 16 layers 76.3 us
)");
}

TEST(BenchReport, OfReadsAloneHasTwoLines) {
  BenchReport report = sampleReport();
  report.rows.clear();
  report.read.bytes = int64_t(1) << 29;
  EXPECT_EQ(report.text(), "device  NVIDIA H200 (sm_90, driver 580.159.04)\n"
                           "read    4,542 GB/s: best of 40 reads of 0.5 GiB, median 4,530\n");
}

TEST(BenchReport, IsJson) {
  BenchReport report = sampleReport();
  report.rows[0].shape.context = {128, 8192};
  report.rows.pop_back();
  report.hosts.push_back({"full", {64, {4096, 4096}}, 4096, {0.5, 1.5, 2.5, 76.5}});
  EXPECT_EQ(report.json().text(), R"json({
  "description": "NVIDIA H200 (sm_90, driver 580.159.04)",
  "device": "cuda:0",
  "host": [
    {
      "append_us": 1.5,
      "attend_us": 2.5,
      "batch": 64,
      "class": "full",
      "context": 4096,
      "max_kv_length": 4096,
      "step_layers": 16,
      "step_us": 76.5,
      "update_us": 0.5
    }
  ],
  "package_id": "41c0",
  "page_order": "permuted",
  "read": {
    "bytes": 8589934592,
    "median_gbps": 4530.4,
    "samples": 40
  },
  "read_gbps": 4542.0,
  "seed": 1,
  "shapes": [
    {
      "attends": 12,
      "batch": 64,
      "bytes": 537460000,
      "class": "full",
      "cold": true,
      "context": "128..8192",
      "error_ratio": 1.25,
      "failure": "",
      "gbps": 4038.01652892562,
      "graph": "exact",
      "kernel": "attncc_decode",
      "kv_heads": null,
      "layers": 2,
      "mad_us": 0.42,
      "max_kv_length": 4096,
      "median_us": 133.1,
      "query_length": 1,
      "role": "decode",
      "samples": 40,
      "share": 0.8890393062363761,
      "skipped": ""
    }
  ]
})json");
}
