//===- CaseJson.cpp - a case as a file -----------------------------------------===//
//
// The JSON form of VerifyCase has one key for each field. Reading refuses unknown
// keys, so that a misspelt one cannot turn a repro into another case. Test:
// test/verify/CaseGridTest.cpp.
//
//===----------------------------------------------------------------------===//

#include "runtime/support/Json.h"
#include "runtime/verify/CaseGrid.h"

namespace attncc::verify {

namespace {
constexpr const char *kSchema = "attncc.verify-case/1";
constexpr int64_t kMost = int64_t(1) << 40;
constexpr int64_t kMostParts = 16; // of attncc_merge

/// Calls field(key, member) for every field of a case but id, class, role and sequences.
template <class Case, class Function> void forEachField(Case &c, Function field) {
  field("seed", c.seed);
  field("kv_heads", c.kvHeads);
  field("heads_first", c.headsFirst);
  field("interleaved", c.interleaved);
  field("page_padding", c.pagePadding);
  field("first_page", c.firstPage);
  field("poisoned", c.poisoned);
  field("sparse_table", c.sparseTable);
  field("packed", c.packed);
  field("in_place", c.inPlace);
  field("log_sum_exp", c.logSumExp);
  field("slots", c.slots);
  field("positions", c.positions);
  field("prologue", c.prologue);
  field("queries", c.queries);
  field("cos_sin_bytes", c.cosSinBytes);
  field("parts", c.parts);
  field("lse_is_log2", c.lseIsLog2);
  field("throughput", c.throughput);
  field("extra_query_bound", c.extraQueryBound);
  field("extra_kv_bound", c.extraKvBound);
  field("query_factor", c.queryFactor);
}

Result<void> read(const json::Value &value, bool &field) {
  Result<bool> result = value.asBoolean();
  if (!result)
    return result.error();
  field = *result;
  return {};
}
Result<void> read(const json::Value &value, int64_t &field) {
  Result<int64_t> result = value.asInteger(0, kMost);
  if (!result)
    return result.error();
  field = *result;
  return {};
}
Result<void> read(const json::Value &value, uint64_t &field) {
  Result<int64_t> result = value.asInteger(0);
  if (!result)
    return result.error();
  field = uint64_t(*result);
  return {};
}
Result<void> read(const json::Value &value, double &field) {
  Result<double> result = value.asReal();
  if (!result)
    return result.error();
  field = *result;
  return {};
}
Result<void> read(const json::Value &value, std::string &field) {
  Result<std::string> result = value.asString();
  if (!result)
    return result.error();
  field = *result;
  return {};
}
Result<void> read(const json::Value &value, Role &field) {
  std::string known;
  for (Role role : kRoles) {
    known += (known.empty() ? "" : ", ") + std::string(name(role));
    if (value.isString() && value.string() == name(role)) {
      field = role;
      return {};
    }
  }
  return value.error("json-value", "role is " + value.shown() + ", must be one of " + known);
}
Result<void> read(const json::Value &value, std::vector<SequenceShape> &field) {
  if (Result<void> isArray = value.requireKind(json::Kind::Array); !isArray)
    return isArray;
  for (size_t i = 0; i < value.size(); ++i) {
    const json::Value &pair = value[i];
    if (!pair.isArray() || pair.size() != 2)
      return pair.error("json-value", pair.name() + " is " + pair.shown() +
                                          ", must be [query_length, kv_length]");
    SequenceShape sequence;
    for (auto [index, length] : {std::pair{0, &sequence.queryLength}, {1, &sequence.kvLength}})
      if (Result<void> result = read(pair[size_t(index)], *length); !result)
        return result;
    field.push_back(sequence);
  }
  return {};
}
} // namespace

json::Tree toJson(const VerifyCase &c) {
  json::Tree tree = json::Tree::object();
  tree["schema"] = kSchema;
  tree["id"] = c.id;
  tree["class"] = c.layerClass;
  tree["role"] = name(c.role);
  json::Tree sequences = json::Tree::array();
  for (const SequenceShape &sequence : c.sequences)
    sequences.push(std::vector<int64_t>{sequence.queryLength, sequence.kvLength});
  tree["sequences"] = std::move(sequences);
  forEachField(c, [&](const char *key, const auto &member) { tree[key] = member; });
  return tree;
}

Result<VerifyCase> parseCase(std::string_view text, const std::string &file) {
  Result<json::Document> document = json::Document::parse(text, file);
  if (!document)
    return document.error();
  const json::Value &root = document->root();
  if (Result<void> isObject = root.requireKind(json::Kind::Object); !isObject)
    return isObject.error();
  Result<const json::Value *> schema = root.require("schema");
  if (!schema)
    return schema.error();
  if (!(*schema)->isString() || (*schema)->string() != kSchema)
    return (*schema)->error("verify-case",
                            "schema is " + (*schema)->shown() + ", must be \"" + kSchema + "\"");
  VerifyCase c;
  for (const char *key : {"id", "class", "role", "sequences"})
    if (Result<const json::Value *> value = root.require(key); !value)
      return value.error();
  for (const json::Member &member : root.members()) {
    Result<void> result;
    bool known = true;
    if (member.key == "id")
      result = read(*member.value, c.id);
    else if (member.key == "class")
      result = read(*member.value, c.layerClass);
    else if (member.key == "role")
      result = read(*member.value, c.role);
    else if (member.key == "sequences")
      result = read(*member.value, c.sequences);
    else if (member.key != "schema") {
      known = false;
      forEachField(c, [&](const char *key, auto &field) {
        if (member.key == key) {
          known = true;
          result = read(*member.value, field);
        }
      });
    }
    if (!known)
      return member.value->error("verify-case", "unknown key " + json::inQuotes(member.key));
    if (!result)
      return result.error();
  }
  return c;
}

Result<void> checkCase(const VerifyCase &c, const ClassShape &shape) {
  auto refuse = [&](const std::string &what, int64_t actual,
                    const std::string &expected) -> Result<void> {
    return makeError(Status::InvalidArgument, "case " + c.id + ": " + what + " is " +
                                                  std::to_string(actual) + ", must be " + expected);
  };
  if (c.kvHeads < 1 || c.kvHeads > shape.kvHeads)
    return refuse("kv_heads", c.kvHeads, "1 to " + std::to_string(shape.kvHeads));
  if (c.sequences.empty() || c.sequences.size() > 4096)
    return refuse("the number of sequences", int64_t(c.sequences.size()), "1 to 4096");
  if (c.numTokens() == 0)
    return refuse("the number of query tokens", 0, "1 or more");
  if (c.pagePadding % 8)
    return refuse("page_padding", c.pagePadding, "a multiple of 8");
  if (c.role == Role::MergeStates) {
    if (!shape.mergesStates)
      return makeError(Status::Unsupported,
                       "case " + c.id + ": class " + shape.name + " has no merge_states kernel");
    if (c.parts < 1 || c.parts > kMostParts)
      return refuse("parts", c.parts, "1 to " + std::to_string(kMostParts));
    return {};
  }
  if (c.role == Role::Append) {
    if (!(c.prologue ? shape.takesFused() : shape.plainAppend))
      return makeError(Status::Unsupported, "case " + c.id + ": class " + shape.name +
                                                " has no append kernel with" +
                                                (c.prologue ? "" : "out") + " its prologue");
    if (c.prologue && !c.queries)
      return refuse("queries", 0, "1 where there is a prologue");
    if (c.cosSinBytes && (!c.prologue || !shape.rope))
      return refuse("cos_sin_bytes", c.cosSinBytes, "0 where nothing is rotated");
    if (c.cosSinBytes != 0 && c.cosSinBytes != 2 && c.cosSinBytes != 4)
      return refuse("cos_sin_bytes", c.cosSinBytes, "0, 2 or 4");
  }
  if (c.throughput && c.role != Role::Prefill)
    return refuse("throughput", 1, "0 for this role");
  if (c.role == Role::Prefill && shape.prefillRows == 0)
    return makeError(Status::InvalidArgument,
                     "case " + c.id + ": class " + shape.name + " has no prefill kernel");
  if (c.role != Role::Prefill && c.maxQueryLength() + c.extraQueryBound > shape.maxDraft)
    return refuse("the bound of query lengths", c.maxQueryLength() + c.extraQueryBound,
                  "at most " + std::to_string(shape.maxDraft));
  if (c.maxKvLength() + c.extraKvBound > shape.maxPosition)
    return refuse("the bound of kv lengths", c.maxKvLength() + c.extraKvBound,
                  "at most " + std::to_string(shape.maxPosition));
  for (const SequenceShape &sequence : c.sequences)
    if (c.role == Role::Append && sequence.kvLength < sequence.queryLength)
      return refuse("a kv_length of append", sequence.kvLength,
                    "at least its query_length " + std::to_string(sequence.queryLength));
  return {};
}

} // namespace attncc::verify
