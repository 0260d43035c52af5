//===- JsonTest.cpp - places, caps and errors of JSON documents ------------===//
#include "runtime/support/Json.h"
#include "runtime/support/JsonTree.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <random>

using namespace attncc;
using namespace attncc::json;

namespace {

std::string parseError(std::string_view text, ReadOptions options = {}) {
  Result<Document> document = Document::parse(text, "f.json", options);
  return document ? "no error" : document.error().diagnostic.text();
}

Document parsed(std::string_view text) {
  Result<Document> document = Document::parse(text, "f.json");
  EXPECT_TRUE(document) << (document ? "" : document.error().diagnostic.text());
  return std::move(*document);
}

} // namespace

TEST(Json, ValuesKnowTheirPlaces) {
  Document document = parsed("{\n"
                             "  \"a\": [1, {\"b/c~\": \"x\\\"y\"}, null],\n"
                             "\t\"d\" : -2.5e3 }");
  const Value &root = document.root();
  EXPECT_EQ(root.line(), 1);
  EXPECT_EQ(root.column(), 1);
  EXPECT_EQ(root.pointer(), "");
  const Value &array = *root.find("a");
  EXPECT_EQ(array.line(), 2);
  EXPECT_EQ(array.column(), 8);
  EXPECT_EQ(array[0].column(), 9);
  EXPECT_EQ(array[0].pointer(), "/a/0");
  const Value &text = *array[1].find("b/c~");
  EXPECT_EQ(text.string(), "x\"y");
  EXPECT_EQ(text.column(), 21);
  EXPECT_EQ(text.pointer(), "/a/1/b~1c~0");
  EXPECT_TRUE(array[2].isNull());
  EXPECT_EQ(array[2].column(), 30);
  const Value &number = *root.find("d");
  EXPECT_EQ(number.line(), 3);
  EXPECT_EQ(number.column(), 8);
  EXPECT_EQ(number.real(), -2500.0);
  EXPECT_EQ(root.find("e"), nullptr);
}

TEST(Json, ValuesOutliveAMoveOfTheDocument) {
  Document first = parsed("{\"key\": [\"a long string that is surely not stored inline\", 7]}");
  const Value *value = first.root().find("key");
  Document second = std::move(first);
  EXPECT_EQ((*value)[0].string(), "a long string that is surely not stored inline");
  EXPECT_EQ((*value)[1].location().file, "f.json");
  EXPECT_EQ(second.root().find("key"), value);
}

TEST(Json, GrammarErrorsAreLocated) {
  EXPECT_EQ(parseError(""), "f.json:1:1: error: not valid JSON: unexpected end of input; expected "
                            "'[', '{', or a literal [json-syntax]");
  EXPECT_EQ(parseError("{\"a\": 1,\n \"b\": }"),
            "f.json:2:7: error: not valid JSON: unexpected '}'; expected '[', '{', or a literal "
            "[json-syntax]");
  EXPECT_EQ(parseError("[1 23]"),
            "f.json:1:4: error: not valid JSON: unexpected number literal; expected ']' "
            "[json-syntax]");
  EXPECT_EQ(parseError("[1]\n[2]"),
            "f.json:2:1: error: not valid JSON: unexpected '['; expected end of input "
            "[json-syntax]");
  EXPECT_EQ(parseError("[\"ab\xff\"]"),
            "f.json:1:5: error: not valid JSON: invalid string: ill-formed UTF-8 byte "
            "[json-syntax]");
  EXPECT_EQ(parseError("[1,\n 1e999]"),
            "f.json:2:2: error: not valid JSON: number is beyond the range of a double "
            "[json-syntax]");
}

TEST(Json, NulBehindTheValueIsNotItsEnd) {
  using namespace std::string_view_literals;
  Result<Document> document = Document::parse("{}\n \0garbage"sv, "f.json");
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().diagnostic.text(),
            "f.json:2:2: error: a NUL byte behind the value is not JSON [json-syntax]");
}

TEST(Json, NanAndInfinityAreRefusedByName) {
  const std::string tail =
      ": error: not valid JSON: NaN and Infinity are not JSON numbers [json-syntax]";
  EXPECT_EQ(parseError("[1, NaN]"), "f.json:1:5" + tail);
  EXPECT_EQ(parseError("{\"a\": Infinity}"), "f.json:1:7" + tail);
  EXPECT_EQ(parseError("{\"a\":\n-Infinity}"), "f.json:2:1" + tail);
}

TEST(Json, DuplicateKeysNameBothPlaces) {
  EXPECT_EQ(parseError("{\"x\": {\"a\": 1},\n \"x\": 2}"),
            "f.json:2:2: error: duplicate key \"x\" [json-duplicate]\n"
            "f.json:1:2: note: the first one is here");
  // The same key in two objects is none, nor is a key that only looks the same.
  EXPECT_EQ(parseError("{\"a\": {\"a\": [{\"a\": 1}, {\"a\": 2}]}, \"A\": 1}"), "no error");
  EXPECT_EQ(parseError("{\"\\u0061\": 1, \"a\": 2}").substr(0, 13), "f.json:1:15: ");
}

TEST(Json, CapsHoldAtTheirExactValue) {
  auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(parseError(nested(64)), "no error");
  EXPECT_EQ(parseError(nested(65)),
            "f.json:1:65: error: nested deeper than 64 levels [json-depth]");
  ReadOptions shallow;
  shallow.maxDepth = 1;
  EXPECT_EQ(parseError("{\"a\": {}}", shallow),
            "f.json:1:7: error: nested deeper than 1 levels [json-depth]");
  ReadOptions small;
  small.maxBytes = 4;
  EXPECT_EQ(parseError("[12]", small), "no error");
  EXPECT_EQ(parseError("[123]", small),
            "f.json: error: file has 5 bytes, at most 4 are read [json-size]");
  ReadOptions few;
  few.maxValues = 3;
  EXPECT_EQ(parseError("[1, 2]", few), "no error");
  EXPECT_EQ(parseError("[1, 2, 3]", few), "f.json:1:8: error: more than 3 values [json-size]");
}

// A key of half a megabyte over a hundred thousand elements must not be copied into each pointer.
TEST(Json, PointersAreNotStoredPerValue) {
  std::string text = "{\"" + std::string(500000, 'k') + "\": [0";
  for (int i = 0; i < 100000; ++i)
    text += ",0";
  Document document = parsed(text + "]}");
  EXPECT_EQ(document.root().members()[0].value->size(), 100001u);
}

TEST(Json, CheckedAccessSaysWhatIsWrong) {
  Document document =
      parsed("{\"n\": 12, \"big\": 9223372036854775808, \"r\": 1.5, \"s\": \"x\", "
             "\"list\": [[true]], \"least\": -9223372036854775808, \"whole\": 2.0}");
  const Value &root = document.root();
  EXPECT_EQ(*root.find("n")->asInteger(12, 12), 12);
  EXPECT_EQ(root.find("n")->asInteger(0, 11).error().diagnostic.text(),
            "f.json:1:7: error: n is 12, must be from 0 to 11 [json-range]");
  EXPECT_EQ(*root.find("least")->asInteger(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(root.find("big")->asInteger().error().diagnostic.code, "json-range");
  EXPECT_EQ(root.find("r")->asInteger().error().diagnostic.text(),
            "f.json:1:44: error: r is 1.5, must be an integer [json-type]");
  EXPECT_EQ(root.find("whole")->asInteger().error().diagnostic.code, "json-type");
  EXPECT_EQ(*root.find("n")->asReal(), 12.0);
  EXPECT_EQ(root.find("s")->asReal().error().diagnostic.message, "s is \"x\", must be a number");
  EXPECT_EQ((*root.find("list"))[0].asString().error().diagnostic.message,
            "list[0] is an array of 1, must be a string");
  EXPECT_EQ((*root.find("list"))[0][0].asInteger().error().diagnostic.message,
            "list[0][0] is true, must be an integer");
  EXPECT_EQ(root.require("none").error().diagnostic.text(),
            "f.json:1:1: error: the document has no key \"none\" [json-missing]");
  EXPECT_EQ(root.find("s")->note().text(), "f.json:1:54: note: s is here (/s)");
}

TEST(Json, ErrorsCarryTheStatusOfTheReader) {
  ReadOptions options;
  options.status = Status::InvalidPackage;
  EXPECT_EQ(Document::parse("{", "m", options).error().status, Status::InvalidPackage);
  Result<Document> document = Document::parse("[1]", "m", options);
  EXPECT_EQ(document->root().asString().error().status, Status::InvalidPackage);
}

TEST(Json, LongAndStrangeTextIsShortenedInMessages) {
  Document document = parsed("{\"s\": \"" + std::string(59, 'a') + "é" + std::string(100, 'b') +
                             "\", \"t\": \"line\\nbreak\"}");
  std::string message = document.root().find("s")->asInteger().error().diagnostic.message;
  EXPECT_EQ(message, "s is \"" + std::string(59, 'a') + "…\", must be an integer");
  message = document.root().find("t")->asInteger().error().diagnostic.message;
  EXPECT_EQ(message, "t is \"line\\u000abreak\", must be an integer");
}

TEST(Json, FilesThatCannotBeReadAreErrors) {
  EXPECT_EQ(Document::read("/nonexistent/x.json").error().diagnostic.text(),
            "/nonexistent/x.json: error: cannot be opened: No such file or directory [file-read]");
  EXPECT_FALSE(Document::read("/"));
  std::string path = testing::TempDir() + "attncc-json-test.json";
  std::ofstream(path) << "{\"a\": [1, 2]}";
  Result<Document> document = Document::read(path);
  ASSERT_TRUE(document);
  EXPECT_EQ(document->root().find("a")->size(), 2u);
  ReadOptions small;
  small.maxBytes = 12;
  EXPECT_EQ(Document::read(path, small).error().diagnostic.message, "file has more than 12 bytes");
}

// Whatever the bytes are, the parser ends with a document or with one located error.
TEST(Json, MutatedTextNeverCrashes) {
  const std::string good =
      "{\"a\": [1, -2.5e-3, true, null, {\"k\\u00e9y\": \"v\\n\"}], \"é\": 1e5}";
  const std::string alphabet = "{}[]\",:0123456789eE+-.truefalsnN \n\t\\\x01\x7f\xc3\xff";
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    for (unsigned edits = 1 + random() % 4; edits > 0; --edits) {
      size_t at = random() % (text.size() + 1);
      if (random() % 3 == 0 && at < text.size())
        text.erase(at, 1 + random() % 5);
      else
        text.insert(at, 1, alphabet[random() % alphabet.size()]);
    }
    Result<Document> document = Document::parse(text, "f.json");
    if (document)
      continue;
    const Diagnostic &diagnostic = document.error().diagnostic;
    ASSERT_GE(diagnostic.where.line, 1) << text;
    ASSERT_GE(diagnostic.where.column, 1) << text;
    ASSERT_EQ(diagnostic.message.find('\n'), std::string::npos) << text;
    ASSERT_FALSE(diagnostic.message.empty()) << text;
  }
}

TEST(JsonTree, SortsKeysAndKeepsArraysOfScalarsOnOneLine) {
  Tree tree;
  tree["b"] = 1;
  tree["a"]["y"] = std::vector<double>{1, 0.5};
  tree["a"]["x"] = Tree::object();
  tree["a"]["z"].push(Tree::array());
  tree["c"] = nullptr;
  EXPECT_EQ(tree.text(), "{\n"
                         "  \"a\": {\n"
                         "    \"x\": {},\n"
                         "    \"y\": [1.0, 0.5],\n"
                         "    \"z\": [\n"
                         "      []\n"
                         "    ]\n"
                         "  },\n"
                         "  \"b\": 1,\n"
                         "  \"c\": null\n"
                         "}");
  EXPECT_EQ(tree.text(-1),
            "{\"a\": {\"x\": {}, \"y\": [1.0, 0.5], \"z\": [[]]}, \"b\": 1, \"c\": null}");
}

TEST(JsonTree, TextIsReadBackAsItWas) {
  using namespace std::string_literals;
  const std::string text = "q\"b\\s/\n\t\0é𝄞\x7f"s;
  Tree tree;
  tree["t"] = text;
  EXPECT_EQ(parsed(tree.text()).root().find("t")->string(), text);
  tree["t"] = std::string("bad \xc3( \xed\xa0\x80 end");
  EXPECT_EQ(parsed(tree.text()).root().find("t")->string(), "bad \uFFFD( \uFFFD\uFFFD\uFFFD end");
}

TEST(JsonTree, NumbersHaveTheShortestText) {
  EXPECT_EQ(numberText(500000.0), "500000.0");
  EXPECT_EQ(numberText(0.125), "0.125");
  EXPECT_EQ(numberText(1e-6), "1e-06");
  EXPECT_EQ(numberText(1e300), "1e+300");
  EXPECT_EQ(numberText(-0.0), "-0.0");
  EXPECT_EQ(numberText(0.1f), "0.1");
  EXPECT_EQ(numberText(0.1), "0.1");
  EXPECT_EQ(numberText(static_cast<double>(0.1f)), "0.10000000149011612");
}

TEST(JsonTree, NumbersAreReadBackBitForBit) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20000; ++round) {
    uint64_t bits = random();
    double value;
    float single;
    std::memcpy(&value, &bits, sizeof value);
    std::memcpy(&single, &bits, sizeof single);
    if (!std::isfinite(value) || !std::isfinite(single))
      continue;
    Tree tree = Tree::array();
    tree.push(value);
    tree.push(single);
    Document document = parsed(tree.text());
    ASSERT_EQ(document.root()[0].real(), value);
    ASSERT_EQ(static_cast<float>(document.root()[1].real()), single);
  }
}
