"""The shapes that are compared: two tables, and what each shape costs at least."""
import dataclasses
import random

TABLES = ("prefill", "decode")


@dataclasses.dataclass(frozen=True)
class Shape:
    """One attention call over a batch of sequences that all have as many query tokens.

    kv_lengths: tokens of each sequence in the cache, the query tokens included. A causal mask is aligned bottom-right.
    """
    table: str
    kv_lengths: tuple
    query_tokens: int
    query_heads: int
    kv_heads: int
    head_dim: int
    causal: bool
    dtype: str
    page_size: int

    @property
    def batch(self):
        return len(self.kv_lengths)

    @property
    def group(self):
        return self.query_heads // self.kv_heads

    @property
    def longest(self):
        return max(self.kv_lengths)

    @property
    def uniform(self):
        return min(self.kv_lengths) == self.longest

    @property
    def name(self):
        lengths = str(self.longest) if self.uniform else "ragged"
        heads = f"d{self.head_dim} {self.query_heads}/{self.kv_heads}"
        if self.table == "decode":
            return f"{heads} {self.batch}x{lengths}" + (f" q{self.query_tokens}" if self.query_tokens > 1 else "")
        mask = "causal" if self.causal else "full"
        if self.query_tokens != self.longest:
            return f"{heads} {self.query_tokens} after {self.longest - self.query_tokens} {mask}"
        return f"{heads} {self.batch}x{lengths} {mask}"

    @property
    def kv_bytes(self):
        """Keys and values, each once, in bytes: what decode cannot avoid to read."""
        return sum(self.kv_lengths) * self.kv_heads * self.head_dim * 2 * 2

    @property
    def flops(self):
        """Two products for each pair of a query and a key that it sees."""
        n = self.query_tokens
        pairs = sum(n * (length - n) + n * (n + 1) // 2 if self.causal else n * length for length in self.kv_lengths)
        return 4 * self.query_heads * self.head_dim * pairs


def ragged_lengths(batch, low, high):
    """Uniform lengths, the same in every run."""
    drawn = random.Random(1)
    return tuple(drawn.randint(low, high) for _ in range(batch))


def prefill_table(dtype, page_size):
    """16,384 tokens in sequences of three lengths, and a chunk over a cached prefix."""
    for head_dim in (64, 128, 256):
        for heads in ((32, 8), (16, 16)):
            for causal in (True, False):
                for batch, length in ((1, 16384), (4, 4096), (16, 1024)):
                    yield Shape("prefill", (length,) * batch, length, *heads, head_dim, causal, dtype, page_size)
    yield Shape("prefill", (32768,), 2048, 32, 8, 128, True, dtype, page_size)


def decode_table(dtype, page_size):
    """From the latency of one short sequence to batches that only bandwidth limits."""
    def step(lengths, heads=(32, 8), head_dim=128, query_tokens=1):
        return Shape("decode", tuple(lengths), query_tokens, *heads, head_dim, True, dtype, page_size)

    for batch, length in ((1, 4096), (1, 32768), (1, 131072), (8, 4096), (32, 2048), (64, 4096), (128, 8192)):
        yield step([length] * batch)
    yield step(ragged_lengths(64, 128, 8192))
    yield step([8192], head_dim=64)
    yield step([4096] * 64, head_dim=64)
    yield step([4096] * 16, heads=(32, 32))
    yield step([4096] * 32, heads=(16, 8), head_dim=256)
    yield step([4096] * 32, query_tokens=4)


def select(tables=TABLES, head_dims=None, only=None, dtype="bf16", page_size=16):
    """Shapes of the named tables, in order; only: a part of the name."""
    makers = {"prefill": prefill_table, "decode": decode_table}
    shapes = [shape for table in tables for shape in makers[table](dtype, page_size)]
    return [shape for shape in shapes
            if (not head_dims or shape.head_dim in head_dims) and (not only or only in shape.name)]
