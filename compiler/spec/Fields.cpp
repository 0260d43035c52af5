//===- Fields.cpp - reading the members of a JSON object -------------------===//
// See Fields.h.
#include "compiler/spec/Fields.h"

#include "runtime/support/JsonTree.h"

using namespace attncc;
using namespace attncc::spec;

std::string spec::shortNumber(double value) {
  std::string text = json::numberText(value);
  if (text.ends_with(".0"))
    text.resize(text.size() - 2);
  return text;
}

bool Fields::checkRange(const json::Value &value, double number, double more, double most) {
  if (number > more && number <= most)
    return true;
  fail(value, "json-range",
       value.name() + " is " + value.shown() + ", must be more than " + shortNumber(more) +
           " and at most " + shortNumber(most));
  return false;
}

std::vector<double> Fields::reals(std::string_view key, double more, double most) {
  std::vector<double> numbers;
  const json::Value *array = find(key);
  if (!array)
    return numbers;
  if (auto checked = array->requireKind(json::Kind::Array); !checked) {
    failure.add(checked.error());
    return numbers;
  }
  for (size_t i = 0; i < array->size() && !failure; ++i) {
    const json::Value &element = (*array)[i];
    numbers.push_back(keep(element.asReal(), 1.0));
    if (!failure)
      checkRange(element, numbers.back(), more, most);
  }
  return numbers;
}

void Fields::refuseOthers() {
  for (const json::Member &member : object.members()) {
    if (asked.contains(member.key))
      continue;
    std::string known;
    for (const std::string &key : asked)
      known += (known.empty() ? "" : ", ") + key;
    Error error = member.value->error("spec-key", "unknown key " + json::inQuotes(member.key));
    error.diagnostic.where.line = member.line;
    error.diagnostic.where.column = member.column;
    error.diagnostic.notes.push_back(makeNote("known here: " + known));
    failure.add(std::move(error));
    return;
  }
}
