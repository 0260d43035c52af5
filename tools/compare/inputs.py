"""The inputs of a shape, the same for everyone, and the fp64 results that outputs are compared with."""
import dataclasses
import math

import torch

DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16}
MANTISSA = {"bf16": 7, "f16": 10}
COLD_FACTOR = 10        # input sets together hold this many times the L2
MOST_SETS = 64
MOST_PREFILL_SETS = 2   # products limit prefill: it need not be cold
PEER_TOLERANCE = 0.02   # relative error of a row, in the Euclidean norm


class WrongResult(Exception):
    """An output that is not what attention gives."""


@dataclasses.dataclass
class Verdict:
    """ratio: the largest error of a row by what attncc verify's rule allows; relative: the largest of a row's norm."""
    ratio: float
    relative: float


def sets_for(shape, l2_bytes):
    """How many input sets calls take turns over."""
    most = MOST_SETS if shape.table == "decode" else MOST_PREFILL_SETS
    return max(1, min(most, math.ceil(COLD_FACTOR * l2_bytes / shape.kv_bytes)))


class Inputs:
    """Queries, and keys and values twice: dense, one sequence after another, and in pages at random places.

    query[i]: [tokens, query_heads, head_dim]; key[i], value[i]: [sum of kv_lengths, kv_heads, head_dim];
    key_pages[i], value_pages[i]: [pages, page_size, kv_heads, head_dim], for i in range(sets). All are normal random
    numbers. block_table: i32 [batch, columns]; page_indptr, page_indices, last_page: the same pages as FlashInfer
    takes them; query_start, kv_start, kv_lengths: i32.
    """

    def __init__(self, shape, device, sets, seed=1):
        self.shape, self.device, self.sets = shape, torch.device(device), sets
        self.dtype = DTYPES[shape.dtype]
        generator = torch.Generator(device=self.device)
        generator.manual_seed(seed)

        def normal(*extents):
            return torch.randn(*extents, device=self.device, dtype=self.dtype, generator=generator)

        self._place_pages(seed)
        kv_row = (shape.kv_heads, shape.head_dim)
        total = sum(shape.kv_lengths)
        self.tokens = shape.batch * shape.query_tokens
        self.query = [normal(self.tokens, shape.query_heads, shape.head_dim) for _ in range(sets)]
        self.key, self.value, self.key_pages, self.value_pages = [], [], [], []
        for _ in range(sets):
            for dense, paged in ((self.key, self.key_pages), (self.value, self.value_pages)):
                dense.append(normal(total, *kv_row))
                pages = torch.zeros(self.num_pages * shape.page_size, *kv_row, device=self.device, dtype=self.dtype)
                paged.append(pages.index_copy_(0, self.slots, dense[-1]).view(self.num_pages, shape.page_size, *kv_row))
        self.output = torch.empty_like(self.query[0])
        self.samples = None

    def _place_pages(self, seed):
        shape, size = self.shape, self.shape.page_size
        counts = [-(-length // size) for length in shape.kv_lengths]
        self.num_pages = sum(counts)
        order = torch.randperm(self.num_pages, generator=torch.Generator().manual_seed(seed)).to(torch.int32)
        columns = -(-max(counts) // 8) * 8
        table, slots, first = torch.zeros(shape.batch, columns, dtype=torch.int32), [], 0
        for sequence, (count, length) in enumerate(zip(counts, shape.kv_lengths)):
            pages = order[first:first + count]
            table[sequence, :count] = pages
            slots.append((pages.long()[:, None] * size + torch.arange(size)).flatten()[:length])
            first += count

        def numbers(values):
            return torch.tensor(values, dtype=torch.int32, device=self.device)

        def starts(lengths):
            return numbers([0, *torch.tensor(lengths).cumsum(0).tolist()])

        self.block_table, self.slots = table.to(self.device), torch.cat(slots).to(self.device)
        self.page_indptr, self.page_indices = starts(counts), order.to(self.device)
        self.last_page = numbers([length - (count - 1) * size for length, count in zip(shape.kv_lengths, counts)])
        self.query_start, self.kv_start = starts([shape.query_tokens] * shape.batch), starts(shape.kv_lengths)
        self.kv_lengths = numbers(shape.kv_lengths)

    def sampled_rows(self):
        """(sequence, kv head, query tokens of the sequence): first, middle and last of each, and a tile's edges."""
        n, batch = self.shape.query_tokens, self.shape.batch
        rows = [row for row in sorted({0, 1, 2, 3, 63, 64, 127, 128, n // 2 + 3, n - 2, n - 1}) if 0 <= row < n]
        for sequence in sorted({0, batch // 2, batch - 1}):
            for head in sorted({0, self.shape.kv_heads - 1}):
                yield sequence, head, rows

    def attention(self, sequence, head, rows, dtype):
        """[rows, group, head_dim] of input set 0, by the definition, in dtype."""
        shape = self.shape
        start = sum(shape.kv_lengths[:sequence])
        length, group = shape.kv_lengths[sequence], shape.group
        key, value = (x[0][start:start + length, head].to(dtype) for x in (self.key, self.value))
        tokens = torch.tensor(rows, device=self.device)
        query = self.query[0][sequence * shape.query_tokens + tokens, head * group:(head + 1) * group].to(dtype)
        scores = torch.einsum("rgd,ld->rgl", query, key) / math.sqrt(shape.head_dim)
        if shape.causal:
            position = length - shape.query_tokens + tokens
            hidden = torch.arange(length, device=self.device) > position[:, None]
            scores = scores.masked_fill(hidden[:, None], -math.inf)
        return torch.einsum("rgl,ld->rgd", scores.softmax(-1), value)

    def check(self, output):
        """Compares set 0's output, [tokens, query_heads, head_dim]; raises WrongResult if it is far off anywhere.

        Each sampled row's largest error is measured by what the rule of attncc verify allows: twice the error of the
        plain evaluation in f32, rounded once, and one unit in the last place of the row's largest value.
        """
        if not torch.isfinite(output).all():
            raise WrongResult("an output is not a finite number")
        if self.samples is None:
            self.samples = [(sequence, head, rows, self.attention(sequence, head, rows, torch.float64),
                             self.attention(sequence, head, rows, torch.float32).to(self.dtype).double())
                            for sequence, head, rows in self.sampled_rows()]
        shape, verdict = self.shape, Verdict(0.0, 0.0)
        for sequence, head, rows, oracle, plain in self.samples:
            tokens = torch.tensor(rows, device=self.device) + sequence * shape.query_tokens
            got = output[tokens, head * shape.group:(head + 1) * shape.group].double()
            ulp = torch.exp2(torch.floor(torch.log2(oracle.abs().amax((1, 2)))) - MANTISSA[shape.dtype])
            allowed = 2 * (plain - oracle).abs().amax((1, 2)) + ulp
            ratio = ((got - oracle).abs().amax((1, 2)) / allowed).max().item()
            relative = ((got - oracle).flatten(1).norm(dim=1) / oracle.flatten(1).norm(dim=1)).max().item()
            verdict = Verdict(max(verdict.ratio, ratio), max(verdict.relative, relative))
        return verdict
