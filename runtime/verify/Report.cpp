//===- Report.cpp - VerifyReport as a table and as JSON ----------------------===//
//
// Form: docs/commands.md, `attncc verify`. Test: test/verify/VerifyTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "runtime/verify/Verify.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace attncc::verify {

namespace {
constexpr size_t kMostFailures = 10; // lines of the table; JSON has all

/// JSON has no infinity: an error without bound is null.
json::Tree number(double value) { return std::isfinite(value) ? json::Tree(value) : json::Tree(); }
} // namespace

bool VerifyReport::passed() const {
  for (const RoleSummary &role : roles())
    if (role.agreement && !role.agreement->holds())
      return false;
  return std::all_of(cases.begin(), cases.end(), [](const CaseResult &c) { return c.passed; }) &&
         std::all_of(properties.begin(), properties.end(),
                     [](const PropertyResult &p) { return p.passed; });
}

std::vector<RoleSummary> VerifyReport::roles() const {
  std::vector<RoleSummary> summaries;
  std::vector<std::pair<std::string, Role>> lines;
  for (const Target &target : targets)
    for (Role role : kRoles)
      lines.emplace_back(target.name, role);
  for (const auto &[target, role] : lines) {
    RoleSummary summary;
    summary.target = target;
    summary.role = role;
    std::vector<double> ratios;
    for (const CaseResult &result : cases) {
      if (result.verifyCase.role != role || result.target != target)
        continue;
      if (result.agreement) {
        if (!summary.agreement)
          summary.agreement.emplace();
        summary.agreement->add(*result.agreement);
      }
      ++summary.cases;
      summary.passed += result.passed;
      summary.findings += int64_t(result.findings.size());
      ratios.push_back(result.ratio);
    }
    for (const PropertyResult &property : properties)
      if (property.role == role && property.target == target)
        summary.traffic = std::max(summary.traffic, property.traffic);
    if (ratios.empty())
      continue;
    std::sort(ratios.begin(), ratios.end());
    summary.medianRatio = ratios[ratios.size() / 2];
    summary.largestRatio = ratios.back();
    summaries.push_back(summary);
  }
  return summaries;
}

std::string VerifyReport::text() const {
  std::string text;
  char line[256];
  int width = 0; // of the longest role
  for (const RoleSummary &role : roles())
    width = std::max(width, int(name(role.role).size()));
  for (const RoleSummary &role : roles()) {
    std::snprintf(line, sizeof line,
                  "%-*s  %s  %s  %lld/%lld within 2x  error ratio p50 %.2f max %.2f", width,
                  std::string(name(role.role)).c_str(), role.target.c_str(), device.c_str(),
                  static_cast<long long>(role.passed), static_cast<long long>(role.cases),
                  role.medianRatio, role.largestRatio);
    text += line;
    if (role.traffic > 0) {
      std::snprintf(line, sizeof line, "  traffic %.3fx", role.traffic);
      text += line;
    }
    text += "  findings " + std::to_string(role.findings) + "\n";
  }
  for (const RoleSummary &role : roles())
    if (role.agreement) {
      const Agreement &agreement = *role.agreement;
      std::snprintf(
          line, sizeof line,
          "%-*s  %s  %s against %s  %lld of %lld equal  furthest %.2g ulp  exceptions %lld\n",
          width, std::string(name(role.role)).c_str(), role.target.c_str(), device.c_str(),
          against.c_str(), static_cast<long long>(agreement.equal),
          static_cast<long long>(agreement.elements), agreement.furthestUlp,
          static_cast<long long>(agreement.outside));
      text += line;
      if (double(agreement.equal) < kLeastEqualShare * double(agreement.elements))
        text += "FAILED  " + std::string(name(role.role)) + ": less than 99% of the elements are " +
                "equal on " + device + " and " + against + "\n";
    }
  const bool several = std::count_if(targets.begin(), targets.end(), [](const Target &target) {
                         return target.reason.empty();
                       }) > 1;
  auto prefix = [&](const std::string &target) { return several ? target + " " : std::string(); };
  for (const Target &target : targets)
    if (!target.reason.empty())
      text += target.name + " was not run: " + target.reason + "\n";
  for (const PropertyResult &property : properties) {
    text += property.passed ? "ok      " : "FAILED  ";
    text += prefix(property.target) + property.layerClass + ": " + property.name;
    if (!property.detail.empty())
      text += ": " + property.detail;
    text += "\n";
  }
  size_t failures = 0;
  for (const CaseResult &result : cases)
    if (!result.passed && ++failures <= kMostFailures)
      text +=
          "FAILED  " + prefix(result.target) + result.verifyCase.id + ": " + result.failure + "\n";
  if (failures > kMostFailures)
    text += "FAILED  " + std::to_string(failures - kMostFailures) + " more cases\n";
  if (stopped)
    text += "stopped at the first failure\n";
  return text;
}

json::Tree VerifyReport::agreementTree() const {
  json::Tree tree = json::Tree::object(), exceptions = json::Tree::array();
  Agreement all;
  for (const CaseResult &result : cases) {
    if (!result.agreement)
      continue;
    all.add(*result.agreement);
    for (const Agreement::Exception &exception : result.agreement->exceptions) {
      json::Tree entry = json::Tree::object();
      entry["case"] = result.verifyCase.id;
      entry["target"] = result.target;
      entry["tensor"] = exception.tensor;
      entry["element"] = exception.element;
      entry["value"] = number(exception.value);
      entry["expected"] = number(exception.expected);
      entry["ulp"] = exception.ulp;
      exceptions.push(std::move(entry));
    }
  }
  tree["device"] = against;
  tree["elements"] = all.elements;
  tree["equal_bits"] = all.equal;
  tree["furthest_ulp"] = all.furthestUlp;
  tree["outside"] = all.outside;
  tree["exceptions"] = std::move(exceptions);
  return tree;
}

json::Tree VerifyReport::json() const {
  json::Tree tree = json::Tree::object();
  tree["schema"] = "attncc.verify/1";
  tree["ok"] = passed();
  tree["device"] = device;
  tree["targets"] = json::Tree::array();
  for (const Target &target : targets) {
    json::Tree entry = json::Tree::object();
    entry["name"] = target.name;
    entry["ran"] = target.reason.empty();
    entry["reason"] = target.reason;
    tree["targets"].push(std::move(entry));
  }
  tree["package_id"] = packageId;
  tree["seed"] = seed;
  tree["stopped"] = stopped;
  json::Tree diagnostics = json::Tree::array();
  auto diagnose = [&](const std::string &message) {
    json::Tree diagnostic = json::Tree::object();
    diagnostic["severity"] = "error";
    diagnostic["code"] = "verify";
    diagnostic["message"] = message;
    diagnostics.push(std::move(diagnostic));
  };
  json::Tree roleTrees = json::Tree::array(), caseTrees = json::Tree::array(),
             propertyTrees = json::Tree::array();
  for (const RoleSummary &summary : roles()) {
    json::Tree role = json::Tree::object();
    role["role"] = name(summary.role);
    role["target"] = summary.target;
    role["cases"] = summary.cases;
    role["passed"] = summary.passed;
    role["findings"] = summary.findings;
    role["ratio_p50"] = number(summary.medianRatio);
    role["ratio_max"] = number(summary.largestRatio);
    role["traffic"] = summary.traffic > 0 ? json::Tree(summary.traffic) : json::Tree();
    roleTrees.push(std::move(role));
  }
  for (const CaseResult &result : cases) {
    json::Tree c = json::Tree::object();
    c["id"] = result.verifyCase.id;
    c["target"] = result.target;
    c["passed"] = result.passed;
    c["ratio"] = number(result.ratio);
    c["traffic"] = result.compulsory ? json::Tree(result.traffic()) : json::Tree();
    c["bank_conflicts"] = result.bankConflicts;
    json::Tree findings = json::Tree::array(), tensors = json::Tree::object();
    for (const std::string &finding : result.findings)
      findings.push(finding);
    c["findings"] = std::move(findings);
    for (const TensorResult &tensor : result.tensors) {
      json::Tree &entry = tensors[tensor.tensor];
      entry["error"] = number(tensor.measure.kernelError);
      entry["plain_error"] = tensor.measure.plainError;
      entry["ratio"] = number(tensor.measure.ratio);
    }
    c["tensors"] = std::move(tensors);
    if (!result.passed) {
      c["failure"] = result.failure;
      c["repro"] = toJson(result.verifyCase);
      diagnose(result.verifyCase.id + ": " + result.failure);
    }
    caseTrees.push(std::move(c));
  }
  for (const PropertyResult &result : properties) {
    json::Tree property = json::Tree::object();
    property["name"] = result.name;
    property["class"] = result.layerClass;
    property["target"] = result.target;
    property["passed"] = result.passed;
    property["detail"] = result.detail;
    propertyTrees.push(std::move(property));
    if (!result.passed)
      diagnose(result.layerClass + ": " + result.name + ": " + result.detail);
  }
  if (!against.empty())
    tree["against"] = agreementTree();
  tree["roles"] = std::move(roleTrees);
  tree["cases"] = std::move(caseTrees);
  tree["properties"] = std::move(propertyTrees);
  tree["diagnostics"] = std::move(diagnostics);
  return tree;
}

} // namespace attncc::verify
