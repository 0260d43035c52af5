"""The inputs of tools/compare-attention, on PyTorch's CPU: pages hold what is dense, and check() finds what is wrong.

usage: compare-inputs.py SOURCE     Exit code 77: PyTorch is not installed.
"""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv[1]).resolve() / "tools"))
try:
    import torch
except ImportError as error:
    print(error)
    sys.exit(77)
from compare.inputs import Inputs, WrongResult, sets_for  # noqa: E402
from compare.shapes import Shape  # noqa: E402

failures = []


def expect(holds, what):
    if not holds:
        failures.append(what)


for name, shape in {"prefill": Shape("prefill", (150,) * 2, 150, 4, 2, 32, True, "bf16", 16),
                    "full": Shape("prefill", (150,) * 2, 150, 4, 2, 32, False, "f16", 16),
                    "chunk": Shape("prefill", (90,), 40, 4, 2, 32, True, "bf16", 8),
                    "decode": Shape("decode", (70, 3, 33), 1, 4, 2, 32, True, "bf16", 16)}.items():
    inputs = Inputs(shape, "cpu", 2)
    first = 0
    for sequence, length in enumerate(shape.kv_lengths):
        row = inputs.block_table[sequence, :-(-length // shape.page_size)].long()
        listed = inputs.page_indices[inputs.page_indptr[sequence]:inputs.page_indptr[sequence + 1]].long()
        expect(torch.equal(row, listed), f"{name}: the table's pages are the list's")
        for dense, paged in ((inputs.key, inputs.key_pages), (inputs.value, inputs.value_pages)):
            expect(torch.equal(paged[1][row].flatten(0, 1)[:length], dense[1][first:first + length]), f"{name}: pages")
        expect(inputs.last_page[sequence] == (length - 1) % shape.page_size + 1, f"{name}: last page")
        first += length
    expect(sorted(inputs.page_indices.tolist()) == list(range(inputs.num_pages)), f"{name}: each page once")

    # Every row by the definition, as a kernel would leave it.
    rows = list(range(shape.query_tokens))
    for sequence in range(shape.batch):
        for head in range(shape.kv_heads):
            tokens = slice(sequence * shape.query_tokens, (sequence + 1) * shape.query_tokens)
            inputs.output[tokens, head * shape.group:(head + 1) * shape.group] = \
                inputs.attention(sequence, head, rows, torch.float32).to(inputs.dtype)
    verdict = inputs.check(inputs.output)
    expect(verdict.ratio <= 1 and verdict.relative < 0.01, f"{name}: the definition is right: {verdict}")

    _, head, sampled = next(inputs.sampled_rows())
    wrong = inputs.output.clone()
    wrong[sampled[-1], head * shape.group] *= 1.1
    verdict = inputs.check(wrong)
    expect(verdict.ratio > 1 and verdict.relative > 0.02, f"{name}: a row is a tenth too large: {verdict}")
    wrong[-1, -1, -1] = float("nan")
    try:
        inputs.check(wrong)
        failures.append(f"{name}: NaN passes")
    except WrongResult:
        pass

for batch, sets in ((1, 38), (128, 1)):
    found = sets_for(Shape("decode", (4096,) * batch, 1, 32, 8, 128, True, "bf16", 16), 60 << 20)
    expect(found == sets, f"{found} sets of batch {batch}, expected {sets}")
print("\n".join(failures))
sys.exit(bool(failures))
