// See Shapes.h.
#include "runtime/bench/Shapes.h"

#include "runtime/support/Json.h"
#include "runtime/verify/Random.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace attncc::bench {

namespace {
constexpr size_t kMostRows = 4096;

std::optional<int64_t> numberIn(std::string_view text, int64_t least, int64_t most) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    return std::nullopt;
  return value;
}

/// Why a step of these lengths makes no sense; empty if it does.
std::string objection(const Shape &shape) {
  if (roleOf(shape.queryLength.least) != shape.role())
    return "query_length is " + shape.queryLength.text("..") + ", must be up to " +
           std::to_string(kMostDecodeQueries) + ", decode, or above it, prefill, at both ends";
  const std::string queryLength = "query_length " + std::to_string(shape.queryLength.most);
  if (shape.context.most == 0)
    return shape.role() == Role::Prefill
               ? std::string()
               : queryLength + " has no context, which only more than " +
                     std::to_string(kMostDecodeQueries) + " query tokens may leave out";
  if (shape.context.least >= shape.queryLength.most)
    return {};
  return "context is " + std::to_string(shape.context.least) + ", must be at least " + queryLength +
         ", whose tokens it counts";
}

/// A cell of a line, with the 1-based column of its first character.
struct Cell {
  std::string_view text;
  int column = 1;
};

std::vector<Cell> cellsOf(std::string_view line) {
  std::vector<Cell> cells;
  for (size_t begin = 0;;) {
    const size_t end = std::min(line.find(',', begin), line.size());
    size_t first = begin, last = end;
    while (first < last && (line[first] == ' ' || line[first] == '\t'))
      ++first;
    while (last > first && (line[last - 1] == ' ' || line[last - 1] == '\t'))
      --last;
    cells.push_back({line.substr(first, last - first), int(first) + 1});
    if (end == line.size())
      return cells;
    begin = end + 1;
  }
}

constexpr std::string_view kColumns[] = {"batch", "context", "query_length", "kv_heads"};

class TableReader {
public:
  TableReader(std::string_view text, const std::string &file) : rest(text), file(file) {}

  Result<std::vector<Shape>> read() {
    while (nextLine())
      if (Result<void> taken = header.empty() ? takeHeader() : takeRow(); !taken)
        return taken.error();
    if (header.empty())
      return error(1, "has no header: the first line names the columns, e.g. batch,context");
    if (shapes.empty())
      return error(1, "has no shapes below its header");
    return std::move(shapes);
  }

private:
  Error error(int column, std::string message) const {
    Error error = makeError(Status::InvalidArgument, std::move(message));
    error.diagnostic.code = "bench-shapes";
    error.diagnostic.where = {file, std::max(lineNumber, 1), column, ""};
    return error;
  }

  /// The next line that says something.
  bool nextLine() {
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      ++lineNumber;
      if (line.ends_with('\r'))
        line.remove_suffix(1);
      const size_t first = line.find_first_not_of(" \t");
      if (first != line.npos && line[first] != '#')
        return true;
    }
    return false;
  }

  Result<void> takeHeader() {
    for (const Cell &cell : cellsOf(line)) {
      if (std::find(std::begin(kColumns), std::end(kColumns), cell.text) == std::end(kColumns))
        return error(cell.column,
                     "column " + json::inQuotes(cell.text) +
                         " is unknown: must be batch, context, query_length or kv_heads");
      if (std::find(header.begin(), header.end(), cell.text) != header.end())
        return error(cell.column, "column " + json::inQuotes(cell.text) + " is there twice");
      header.push_back(cell.text);
    }
    for (std::string_view needed : {kColumns[0], kColumns[1]})
      if (std::find(header.begin(), header.end(), needed) == header.end())
        return error(1, "there is no column " + json::inQuotes(needed));
    return {};
  }

  Result<void> takeRow() {
    const std::vector<Cell> cells = cellsOf(line);
    if (cells.size() != header.size())
      return error(1, "has " + std::to_string(cells.size()) + " values, the header has " +
                          std::to_string(header.size()));
    if (shapes.size() == kMostRows)
      return error(1, "there are more than " + std::to_string(kMostRows) + " shapes");
    Shape shape;
    for (size_t i = 0; i < cells.size(); ++i)
      if (Result<void> taken = takeCell(header[i], cells[i], shape); !taken)
        return taken;
    if (std::string why = objection(shape); !why.empty())
      return error(1, why);
    shapes.push_back(shape);
    return {};
  }

  Result<void> takeCell(std::string_view column, const Cell &cell, Shape &shape) const {
    if (cell.text.empty() && column != "batch")
      return {}; // as it is without the column
    if (column == "context" || column == "query_length") {
      Result<LengthRange> range = parseLengths(column, cell.text);
      if (!range)
        return error(cell.column, range.error().diagnostic.message);
      (column == "context" ? shape.context : shape.queryLength) = *range;
      return {};
    }
    std::optional<int64_t> number = numberIn(cell.text, 1, kMostSequences);
    if (!number)
      return error(cell.column, std::string(column) + " is " + json::inQuotes(cell.text) +
                                    ", must be a number from 1 to " +
                                    std::to_string(kMostSequences));
    (column == "batch" ? shape.batch : shape.kvHeads) = *number;
    return {};
  }

  std::string_view rest, line;
  const std::string &file;
  int lineNumber = 0;
  std::vector<std::string_view> header;
  std::vector<Shape> shapes;
};
} // namespace

std::string_view name(Role role) { return role == Role::Prefill ? "prefill" : "decode"; }

std::string LengthRange::text(const char *between) const {
  return std::to_string(least) + (most == least ? "" : between + std::to_string(most));
}

std::string Shape::text() const {
  std::string text = std::to_string(batch) + " x ";
  if (role() == Role::Prefill) {
    text += queryLength.text("-");
    if (kvLength() != queryLength)
      text += " of " + context.text("-");
  } else {
    text += context.text("-");
    if (queryLength.most > 1)
      text += ", " + queryLength.text("-") + " queries";
  }
  if (kvHeads > 0)
    text += ", " + std::to_string(kvHeads) + (kvHeads == 1 ? " kv head" : " kv heads");
  return text;
}

std::vector<verify::SequenceShape> Shape::sequences(uint64_t seed) const {
  verify::Random random(seed);
  std::vector<verify::SequenceShape> result(static_cast<size_t>(batch));
  for (verify::SequenceShape &sequence : result)
    sequence.kvLength = random.integer(context.least, context.most);
  for (verify::SequenceShape &sequence : result) {
    sequence.queryLength = random.integer(queryLength.least, queryLength.most);
    if (context.most == 0)
      sequence.kvLength = sequence.queryLength;
  }
  return result;
}

Result<LengthRange> parseLengths(std::string_view name, std::string_view text) {
  const size_t dots = text.find("..");
  std::optional<int64_t> least = numberIn(text.substr(0, dots), 1, kMostContext), most = least;
  if (dots != text.npos)
    most = numberIn(text.substr(dots + 2), 1, kMostContext);
  const std::string is = std::string(name) + " is " + json::inQuotes(text);
  if (!least || !most)
    return makeError(Status::InvalidArgument, is + ", must be a number of tokens or LOW..HIGH");
  if (*least > *most)
    return makeError(Status::InvalidArgument, is + ", LOW must not be above HIGH");
  return LengthRange(*least, *most);
}

Result<std::vector<Shape>> parseShapes(std::string_view text, const std::string &file) {
  return TableReader(text, file).read();
}

Result<std::vector<Shape>> productOf(const std::vector<int64_t> &batches,
                                     const std::vector<LengthRange> &contexts,
                                     const std::vector<LengthRange> &queryLengths,
                                     const std::vector<int64_t> &kvHeads) {
  std::vector<Shape> shapes;
  for (int64_t batch : batches)
    for (const LengthRange &context : contexts)
      for (const LengthRange &queryLength : queryLengths)
        for (int64_t heads : kvHeads) {
          shapes.push_back({batch, context, queryLength, heads});
          if (std::string why = objection(shapes.back()); !why.empty())
            return makeError(Status::InvalidArgument, why);
        }
  return shapes;
}

std::vector<Shape> defaultShapes(Role role) {
  if (role == Role::Prefill)
    return {{16, {}, 1024}, {4, {}, 4096}, {1, {}, 16384}, {1, 32768, 2048}};
  return {{1, 4096},  {1, 32768}, {1, 131072}, {8, 4096},
          {32, 2048}, {64, 4096}, {128, 8192}, {64, {128, 8192}}};
}

} // namespace attncc::bench
