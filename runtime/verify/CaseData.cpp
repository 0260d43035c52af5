//===- CaseData.cpp - see CaseData.h ---------------------------------------===//

#include "runtime/verify/CaseData.h"

#include "runtime/verify/Random.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <sys/mman.h>

namespace attncc::verify {

namespace {
constexpr size_t kGuardBytes = 4096;  // behind each mapping, so that no two of them touch
constexpr int64_t kFreePages = 3;     // in the pool, in no table
constexpr int64_t kNobodysTokens = 3; // rows behind the last sequence's

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Marks the rows of `tokens` tokens in a copy of a mapping that begins at `base`.
void markRows(const TensorImage &tensor, int64_t tokens, const uint16_t *base,
              std::vector<uint16_t> &marks) {
  for (int64_t token = 0; token < tokens; ++token)
    for (int64_t head = 0; head < tensor.heads; ++head)
      std::fill_n(marks.begin() + (tensor.row(token, head) - base), tensor.dim, 1);
}
} // namespace

Result<Memory> Memory::map(size_t bytes) {
  Memory memory;
  memory.size = bytes;
  memory.base = mmap(nullptr, bytes + kGuardBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory.base == MAP_FAILED) {
    memory.base = nullptr;
    return makeError(Status::OutOfMemory,
                     "cannot map " + std::to_string(bytes) + " bytes for a case's memory");
  }
  return memory;
}

Memory &Memory::operator=(Memory &&other) noexcept {
  std::swap(base, other.base);
  std::swap(size, other.size);
  return *this;
}

Memory::~Memory() {
  if (base)
    munmap(base, size + kGuardBytes);
}

Result<std::unique_ptr<CaseData>> CaseData::make(const ClassShape &shape,
                                                 const VerifyCase &verifyCase,
                                                 const AttentionProblem *values) {
  if (Result<void> suits = checkCase(verifyCase, shape); !suits)
    return suits.error();
  std::unique_ptr<CaseData> data(new CaseData(shape, verifyCase));
  if (Result<void> built = data->build(values); !built)
    return built.error();
  return data;
}

Result<void *> CaseData::map(const char *label, size_t bytes, size_t unbacked) {
  Result<Memory> memory = Memory::map(std::max<size_t>(bytes, 16));
  if (!memory)
    return memory.error();
  memories.push_back({label, std::move(*memory), unbacked});
  return memories.back().memory.as<void>();
}

Result<void> CaseData::build(const AttentionProblem *values) {
  const VerifyCase &c = verifyCase;
  Random random(c.seed);
  queryHeads = c.kvHeads * shape.group();
  maxQueryLength = c.maxQueryLength() + c.extraQueryBound;
  maxKvLength = c.maxKvLength() + c.extraKvBound;
  numTokens = c.numTokens() + (c.extraQueryBound ? kNobodysTokens : 0);
  if (c.role == Role::MergeStates) {
    makeStates(random);
    return placeStates();
  }
  if (c.role == Role::Append)
    makeAppendValues(random);
  else if (values)
    attention = *values;
  else
    makeAttentionValues(random);
  if (Result<void> placed = placePages(random); !placed)
    return placed;
  if (Result<void> placed = placeTables(random); !placed)
    return placed;
  return placeTensors(random);
}

void CaseData::makeAttentionValues(Random &random) {
  auto draw = [&](int64_t count, double factor) {
    std::vector<float> result(static_cast<size_t>(count));
    for (float &value : result)
      value = roundTo(shape.type, float(random.normal() * factor));
    return result;
  };
  const int64_t kvHeads = verifyCase.kvHeads;
  attention = {queryHeads, kvHeads, shape.keyDim, shape.valueDim, shape.scale, {}, shape.causal};
  for (auto [queryLength, kvLength] : verifyCase.sequences)
    attention.sequences.push_back(
        {queryLength, kvLength,
         draw(queryLength * queryHeads * shape.keyDim, verifyCase.queryFactor),
         draw(kvLength * kvHeads * shape.keyDim, 1), draw(kvLength * kvHeads * shape.valueDim, 1)});
}

void CaseData::makeAppendValues(Random &random) {
  auto draw = [&](int64_t count, float mean, float deviation) {
    std::vector<float> result(static_cast<size_t>(count));
    for (float &value : result)
      value = roundTo(shape.type, mean + deviation * random.normal());
    return result;
  };
  const int64_t tokens = verifyCase.numTokens(), kvHeads = verifyCase.kvHeads;
  append.queryHeads = queryHeads;
  append.kvHeads = kvHeads;
  append.keyDim = shape.keyDim;
  if (prologue) {
    append.normEpsilon = shape.normEpsilon;
    append.rope = shape.rope;
  }
  append.query = draw(tokens * queryHeads * shape.keyDim, 0, 1);
  append.key = draw(tokens * kvHeads * shape.keyDim, 0, 1);
  for (float value : draw(tokens * kvHeads * shape.valueDim, 0, 1))
    appendedValue.push_back(fromFloat(shape.type, value));
  if (append.normEpsilon) {
    append.queryWeight = draw(shape.keyDim, 1, 0.25f);
    append.keyWeight = draw(shape.keyDim, 1, 0.25f);
  }
  for (auto [queryLength, kvLength] : verifyCase.sequences)
    for (int64_t i = 0; i < queryLength; ++i)
      append.position.push_back(verifyCase.positions ? random.integer(0, shape.maxPosition - 1)
                                                     : kvLength - queryLength + i);
  if (verifyCase.cosSinBytes)
    for (int64_t position : append.position) {
      std::vector<float> row = anglesAt(position);
      append.cosSin.insert(append.cosSin.end(), row.begin(), row.end());
    }
}

/// Angles of their own, and a factor: a kernel that computes any is found.
std::vector<float> CaseData::anglesAt(int64_t position) const {
  constexpr double factor = 1.25;
  Random random(verifyCase.seed + uint64_t(position) * 0x9e3779b97f4a7c15u);
  std::vector<double> angles;
  for (size_t i = 0; i < shape.rope->inverseFrequencies.size(); ++i)
    angles.push_back(3 * random.normal());
  std::vector<float> row;
  auto add = [&](double value) {
    row.push_back(verifyCase.cosSinBytes == 2 ? roundTo(shape.type, float(factor * value))
                                              : float(factor * value));
  };
  for (double angle : angles)
    add(std::cos(angle));
  for (double angle : angles)
    add(std::sin(angle));
  return row;
}

/// The rows of the case's positions; NaN right before and behind them, nothing elsewhere.
Result<void> CaseData::placeAngles() {
  const auto [least, most] = std::minmax_element(append.position.begin(), append.position.end());
  const int64_t dim = 2 * int64_t(shape.rope->inverseFrequencies.size());
  cosSinBytes = verifyCase.cosSinBytes;
  cosSinPositions = *most + 1;
  cosSinStride = dim + (verifyCase.packed ? 6 : 0);
  const size_t rowBytes = size_t(cosSinStride * cosSinBytes);
  const int64_t first = std::max<int64_t>(*least - 1, 0);
  Result<void *> memory =
      map("cos_sin", size_t(cosSinPositions) * rowBytes, size_t(first) * rowBytes);
  if (!memory)
    return memory.error();
  cosSin = *memory;
  auto rowAt = [&](int64_t position) {
    return static_cast<std::byte *>(cosSin) + size_t(position) * rowBytes;
  };
  for (int64_t position : append.position)
    for (int64_t near = std::max(position - 1, first);
         near <= std::min(position + 1, cosSinPositions - 1); ++near)
      std::memset(rowAt(near), 0xff, rowBytes);
  for (size_t token = 0; token < append.position.size(); ++token)
    for (int64_t i = 0; i < dim; ++i) {
      const float value = append.cosSin[token * size_t(dim) + size_t(i)];
      std::byte *to = rowAt(append.position[token]) + i * cosSinBytes;
      if (cosSinBytes == 4)
        std::memcpy(to, &value, sizeof value);
      else
        *reinterpret_cast<uint16_t *>(to) = fromFloat(shape.type, value);
    }
  return {};
}

Result<void> CaseData::placePages(Random &random) {
  const VerifyCase &c = verifyCase;
  // Page numbers in a random order. Append touches only the pages of its new tokens; what is
  // before them lies, as far as the table says, in a free page.
  int64_t used = 0;
  std::vector<std::pair<int64_t, int64_t>> ranges; // of pages with memory, per sequence
  for (auto [queryLength, kvLength] : c.sequences) {
    int64_t end = ceilDiv(kvLength, shape.pageSize);
    int64_t begin =
        c.role == Role::Append ? std::min(end, (kvLength - queryLength) / shape.pageSize) : 0;
    ranges.push_back({begin, end});
    used += end - begin;
  }
  std::vector<int64_t> numbers(static_cast<size_t>(used + kFreePages));
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = c.firstPage + int64_t(i);
  random.shuffle(numbers);
  numPages = c.firstPage + int64_t(numbers.size());
  size_t next = kFreePages;
  for (auto [begin, end] : ranges) {
    std::vector<int64_t> table(static_cast<size_t>(end), numbers[0]);
    for (int64_t page = begin; page < end; ++page)
      table[size_t(page)] = numbers[next++];
    pages.push_back(std::move(table));
  }

  const int64_t pageSize = shape.pageSize, keyRow = shape.keyDim, valueRow = shape.valueDim;
  auto place = [&](PageImage &image, int64_t dim, int64_t pageStride) {
    image.pageStride = pageStride;
    image.tokenStride = c.headsFirst ? dim : c.kvHeads * dim;
    image.headStride = c.headsFirst ? pageSize * dim : dim;
  };
  const int64_t keyPage = pageSize * c.kvHeads * keyRow,
                valuePage = pageSize * c.kvHeads * valueRow;
  const int64_t both = keyPage + valuePage + c.pagePadding;
  place(k, keyRow, c.interleaved ? both : keyPage + c.pagePadding);
  place(v, valueRow, c.interleaved ? both : valuePage + c.pagePadding);
  Result<void *> keys = map(c.interleaved ? "k+v" : "k", size_t(numPages * k.pageStride) * 2,
                            size_t(c.firstPage * k.pageStride) * 2);
  if (!keys)
    return keys.error();
  k.data = static_cast<uint16_t *>(*keys);
  v.data = k.data + keyPage;
  pool = k.data + c.firstPage * k.pageStride;
  poolElements = size_t((numPages - c.firstPage) * k.pageStride);
  if (!c.interleaved) {
    Result<void *> values =
        map("v", size_t(numPages * v.pageStride) * 2, size_t(c.firstPage * v.pageStride) * 2);
    if (!values)
      return values.error();
    v.data = static_cast<uint16_t *>(*values);
    valuePool = v.data + c.firstPage * v.pageStride;
    valuePoolElements = size_t((numPages - c.firstPage) * v.pageStride);
  }
  if (c.poisoned) {
    std::fill_n(pool, poolElements, kPoison);
    std::fill_n(valuePool, valuePoolElements, kPoison);
  }

  for (size_t s = 0; s < attention.sequences.size(); ++s)
    for (int64_t j = 0; j < attention.sequences[s].kvLength; ++j)
      for (int64_t h = 0; h < c.kvHeads; ++h) {
        int64_t slot = slotOf(int64_t(s), j);
        uint16_t *key = k.row(slot / pageSize, slot % pageSize, h);
        uint16_t *value = v.row(slot / pageSize, slot % pageSize, h);
        const float *keyFrom = &attention.sequences[s].key[(j * c.kvHeads + h) * keyRow];
        const float *valueFrom = &attention.sequences[s].value[(j * c.kvHeads + h) * valueRow];
        for (int64_t d = 0; d < keyRow; ++d)
          key[d] = fromFloat(shape.type, keyFrom[d]);
        for (int64_t d = 0; d < valueRow; ++d)
          value[d] = fromFloat(shape.type, valueFrom[d]);
      }

  if (c.role == Role::Append) {
    for (size_t s = 0; s < c.sequences.size(); ++s)
      for (int64_t i = 0; i < c.sequences[s].queryLength; ++i)
        targets.push_back(
            slotOf(int64_t(s), c.sequences[s].kvLength - c.sequences[s].queryLength + i));
    if (c.slots) {
      random.shuffle(targets);
      for (int64_t &target : targets)
        if (random.chance(5))
          target = -1;
    }
    poolBefore.assign(pool, pool + poolElements);
    valuePoolBefore.assign(valuePool, valuePool + valuePoolElements);
  }
  return {};
}

Result<void> CaseData::placeTables(Random &random) {
  const VerifyCase &c = verifyCase;
  const size_t count = c.sequences.size();
  auto garbage = [&]() -> int32_t {
    switch (random.integer(0, 4)) {
    case 0:
      return -1;
    case 1:
      return std::numeric_limits<int32_t>::min();
    case 2:
      return std::numeric_limits<int32_t>::max();
    case 3:
      return int32_t(numPages);
    default:
      return int32_t(random.next());
    }
  };
  auto store = [&]<class T>(const char *label, const std::vector<T> &values) -> Result<T *> {
    Result<void *> memory = map(label, values.size() * sizeof(T));
    if (!memory)
      return memory.error();
    std::copy(values.begin(), values.end(), static_cast<T *>(*memory));
    return static_cast<T *>(*memory);
  };

  std::vector<int32_t> starts{0}, lengths, table, indptr{0};
  for (auto [queryLength, kvLength] : c.sequences) {
    starts.push_back(starts.back() + int32_t(queryLength));
    lengths.push_back(int32_t(kvLength));
  }
  // Garbage: the rest of a dense row; some entries behind a sequence's own in CSR, but not more in
  // all than if each sequence had the bound's pages.
  const int64_t mostPages = ceilDiv(maxKvLength, shape.pageSize);
  blockTableStride = c.sparseTable ? 0 : mostPages + 2;
  int64_t room = int64_t(count) * mostPages;
  for (const std::vector<int64_t> &own : pages)
    room -= int64_t(own.size());
  for (size_t s = 0; s < count; ++s) {
    for (int64_t page : pages[s])
      table.push_back(int32_t(page));
    int64_t unused = blockTableStride - int64_t(pages[s].size());
    if (c.sparseTable)
      room -= unused = random.integer(0, std::clamp<int64_t>(room, 0, 2));
    for (int64_t i = 0; i < unused; ++i)
      table.push_back(garbage());
    indptr.push_back(int32_t(table.size()));
  }
  if (c.sparseTable) // to the length that the bounds allow
    while (int64_t(table.size()) < int64_t(count) * mostPages)
      table.push_back(garbage());
  std::vector<int64_t> slotValues(size_t(numTokens), -1), positionValues(size_t(numTokens), 0);
  std::copy(targets.begin(), targets.end(), slotValues.begin());
  std::copy(append.position.begin(), append.position.end(), positionValues.begin());

  auto into = [](auto &pointer, auto result) -> Result<void> {
    if (!result)
      return result.error();
    pointer = *result;
    return {};
  };
  Result<void> stored = into(queryStart, store("query_start", starts));
  if (stored)
    stored = into(kvLength, store("kv_length", lengths));
  if (stored)
    stored = into(blockTable, store("block_table", table));
  if (stored && c.sparseTable)
    stored = into(pageIndptr, store("page_indptr", indptr));
  if (stored && c.slots)
    stored = into(slots, store("slot_mapping", slotValues));
  if (stored && c.positions)
    stored = into(positions, store("position", positionValues));
  for (auto [pointer, label, values] : {std::tuple{&queryWeight, "q_norm", &append.queryWeight},
                                        {&keyWeight, "k_norm", &append.keyWeight}})
    if (stored && c.role == Role::Append && append.normEpsilon) {
      std::vector<uint16_t> bits;
      for (float value : *values)
        bits.push_back(fromFloat(shape.type, value));
      stored = into(*pointer, store(label, bits));
    }
  if (stored && c.cosSinBytes)
    stored = placeAngles();
  return stored;
}

Result<void> CaseData::placeTensors(Random &random) {
  const VerifyCase &c = verifyCase;
  const int64_t dim = shape.keyDim;
  const bool isAppend = c.role == Role::Append;
  // Packed: each token's query, key and value side by side, as a fused projection leaves them.
  // Otherwise tensors of their own.
  if (c.packed) {
    const int64_t row = (queryHeads + c.kvHeads) * dim + c.kvHeads * shape.valueDim;
    Result<void *> memory = map("qkv", size_t(numTokens * row) * 2);
    if (!memory)
      return memory.error();
    auto *base = static_cast<uint16_t *>(*memory);
    std::fill_n(base, numTokens * row, kPoison);
    query = {base, numTokens, queryHeads, dim, row, dim};
    key = {base + queryHeads * dim, numTokens, c.kvHeads, dim, row, dim};
    value = {key.data + c.kvHeads * dim, numTokens, c.kvHeads, shape.valueDim, row, shape.valueDim};
  } else {
    Result<void> placed = placeTensor(query, "query", queryHeads, dim, false);
    if (placed && isAppend)
      placed = placeTensor(key, "key", c.kvHeads, dim, false);
    if (placed && isAppend)
      placed = placeTensor(value, "value", c.kvHeads, shape.valueDim, false);
    if (!placed)
      return placed;
  }
  auto fill = [&](const TensorImage &tensor, int64_t firstToken, const std::vector<float> &values) {
    for (size_t i = 0; i < values.size(); ++i) {
      int64_t row = int64_t(i) / tensor.dim;
      tensor.row(firstToken + row / tensor.heads, row % tensor.heads)[int64_t(i) % tensor.dim] =
          fromFloat(shape.type, values[i]);
    }
  };
  if (isAppend) {
    fill(query, 0, append.query);
    fill(key, 0, append.key);
    for (size_t i = 0; i < appendedValue.size(); ++i) {
      int64_t row = int64_t(i) / value.dim;
      value.row(row / value.heads, row % value.heads)[int64_t(i) % value.dim] = appendedValue[i];
    }
  } else {
    int64_t token = 0;
    for (const SequenceInputs &sequence : attention.sequences) {
      fill(query, token, sequence.query);
      token += sequence.queryLength;
    }
  }

  if (isAppend && !c.queries)
    query = {};
  if (isAppend && (c.inPlace || !c.queries))
    output = query;
  else if (Result<void> placed = placeTensor(output, isAppend ? "query_out" : "output", queryHeads,
                                             isAppend ? dim : shape.valueDim, c.packed);
           !placed)
    return placed;
  rememberOutput();
  return isAppend || !c.logSumExp ? Result<void>() : placeLse(lse, "lse", c.packed);
}

Result<void> CaseData::placeTensor(TensorImage &tensor, const char *label, int64_t heads,
                                   int64_t headDim, bool gap) {
  const bool headsFirst = verifyCase.headsFirst && !gap;
  const int64_t gapElements = gap ? 24 : 0;
  tensor = {nullptr,
            numTokens,
            heads,
            headDim,
            headsFirst ? headDim : heads * headDim + gapElements,
            headsFirst ? numTokens * headDim : headDim};
  const size_t elements = size_t(numTokens * (heads * headDim + gapElements));
  Result<void *> memory = map(label, elements * 2);
  if (!memory)
    return memory.error();
  tensor.data = static_cast<uint16_t *>(*memory);
  std::fill_n(tensor.data, elements, kPoison);
  return {};
}

Result<void> CaseData::placeLse(LseImage &image, const char *label, bool gap) {
  constexpr int64_t most = 3; // floats behind each token's
  image.tokenStride = verifyCase.headsFirst ? 1 : queryHeads + (gap ? most : 0);
  image.headStride = verifyCase.headsFirst ? numTokens : 1;
  const size_t elements = size_t(numTokens * (queryHeads + most));
  Result<void *> memory = map(label, elements * sizeof(float));
  if (!memory)
    return memory.error();
  image.data = static_cast<float *>(*memory);
  std::fill_n(image.data, elements, std::numeric_limits<float>::quiet_NaN());
  return {};
}

void CaseData::rememberOutput() {
  for (const Named &named : memories) {
    auto *begin = named.memory.as<uint16_t>();
    if (output.data >= begin && output.data < begin + named.memory.bytes() / 2) {
      outputMemory = begin;
      outputBefore.assign(begin, begin + named.memory.bytes() / 2);
    }
  }
}

int64_t CaseData::slotOf(int64_t sequence, int64_t token) const {
  return pages[size_t(sequence)][size_t(token / shape.pageSize)] * shape.pageSize +
         token % shape.pageSize;
}

std::vector<float> CaseData::readOutput() const {
  std::vector<float> result;
  for (int64_t token = 0; token < verifyCase.numTokens(); ++token)
    for (int64_t head = 0; head < output.heads; ++head)
      for (int64_t d = 0; d < output.dim; ++d)
        result.push_back(toFloat(shape.type, output.row(token, head)[d]));
  return result;
}

std::vector<float> CaseData::readLogSumExp() const {
  std::vector<float> result;
  for (int64_t token = 0; token < verifyCase.numTokens(); ++token)
    for (int64_t head = 0; head < queryHeads; ++head)
      result.push_back(*lse.at(token, head));
  return result;
}

std::vector<float> CaseData::readKeys() const {
  std::vector<float> result;
  for (int64_t target : targets)
    for (int64_t head = 0; target >= 0 && head < verifyCase.kvHeads; ++head)
      for (int64_t d = 0; d < shape.keyDim; ++d)
        result.push_back(
            toFloat(shape.type, k.row(target / shape.pageSize, target % shape.pageSize, head)[d]));
  return result;
}

std::string CaseData::findTrespass() const {
  const VerifyCase &c = verifyCase;
  std::vector<uint16_t> marks(outputBefore.size(), 0);
  markRows(output, c.numTokens(), outputMemory, marks);
  for (size_t i = 0; i < marks.size(); ++i)
    if (!marks[i] && outputMemory[i] != outputBefore[i])
      return "output: element " + std::to_string(i) +
             " of its memory belongs to no row but was written";
  if (lse.data)
    for (int64_t token = c.numTokens(); token < numTokens; ++token)
      for (int64_t head = 0; head < queryHeads; ++head)
        if (float value = *lse.at(token, head); value == value)
          return "lse: token " + std::to_string(token) + " belongs to no sequence but was written";
  if (c.role != Role::Append)
    return {};

  std::vector<uint16_t> expected = poolBefore, expectedValues = valuePoolBefore;
  auto copyRow = [&](const uint16_t *row, int64_t dim, const uint16_t *content) {
    bool inPool = row >= pool && row < pool + poolElements;
    std::copy_n(content, dim,
                inPool ? expected.begin() + (row - pool)
                       : expectedValues.begin() + (row - valuePool));
  };
  for (size_t token = 0; token < targets.size(); ++token)
    for (int64_t head = 0; targets[token] >= 0 && head < c.kvHeads; ++head) {
      int64_t page = targets[token] / shape.pageSize, offset = targets[token] % shape.pageSize;
      const uint16_t *key = k.row(page, offset, head);
      copyRow(key, shape.keyDim, key);
      copyRow(v.row(page, offset, head), shape.valueDim,
              &appendedValue[(token * size_t(c.kvHeads) + size_t(head)) * size_t(shape.valueDim)]);
    }
  auto compare = [&](const char *label, const uint16_t *actual, const std::vector<uint16_t> &wanted,
                     int64_t pageStride) -> std::string {
    for (size_t i = 0; i < wanted.size(); ++i)
      if (actual[i] != wanted[i])
        return std::string(label) + ": element " + std::to_string(int64_t(i) % pageStride) +
               " of page " + std::to_string(c.firstPage + int64_t(i) / pageStride) + " is 0x" +
               [](uint16_t bits) {
                 char text[8];
                 std::snprintf(text, sizeof text, "%04x", bits);
                 return std::string(text);
               }(actual[i]) +
               ", but is neither a key to be written nor what it must be";
    return {};
  };
  std::string first = compare(c.interleaved ? "k+v" : "k", pool, expected, k.pageStride);
  return first.empty() ? compare("v", valuePool, expectedValues, v.pageStride) : first;
}

} // namespace attncc::verify
