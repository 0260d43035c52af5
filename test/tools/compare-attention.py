"""tools/compare-attention without a GPU and without PyTorch: shapes, packages, specs, reports, and its runtime calls.

usage: compare-attention.py SOURCE ATTNCC LIBRARY
The structs are compared with those of attncc.h; then packages that are compiled from the specs of --write-specs attend
on the simulator, over memory of this process, and each row is compared with a softmax in Python's doubles.
"""
import ctypes
import json
import math
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile

source, attncc, library = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
sys.dont_write_bytecode = True
sys.path.insert(0, str(source / "tools"))
from compare import packages, report, runtime, shapes  # noqa: E402

failures = []


def expect(what, found, expected):
    if found != expected:
        failures.append(f"{what}: {found}, expected {expected}")


def tool(*arguments):
    done = subprocess.run([sys.executable, "-B", source / "tools" / "compare-attention", *arguments], text=True,
                          capture_output=True)
    return done.returncode, done.stdout, done.stderr


def shape(table="decode", lengths=(40,), query_tokens=1, heads=(8, 2), head_dim=64, causal=True, page_size=16):
    return shapes.Shape(table, tuple(lengths), query_tokens, *heads, head_dim, causal, "bf16", page_size)


# Shapes: names tell them apart; what they cost by hand.
everything = shapes.select()
expect("shapes", len(everything), 37 + 13)
expect("names", len({(one.table, one.name) for one in everything}), len(everything))
expect("the same every time", shapes.select(), everything)
expect("16,384 tokens", {one.batch * one.query_tokens for one in everything if one.table == "prefill"}, {16384, 2048})
expect("filters", [one.name for one in shapes.select(["decode"], [256])], ["d256 16/8 32x4096"])
expect("part of a name", [one.name for one in shapes.select(only="2048 after")], ["d128 32/8 2048 after 30720 causal"])
expect("page size", {one.page_size for one in shapes.select(page_size=64)}, {64})
expect("KV bytes", shape(lengths=(3, 5)).kv_bytes, 8 * 2 * 64 * 2 * 2)
expect("pairs, causal", shape("prefill", (4,), 4, (1, 1), 16).flops, 4 * 16 * 10)
expect("pairs, full", shape("prefill", (4,), 4, (1, 1), 16, False).flops, 4 * 16 * 16)
expect("pairs, chunk", shape("prefill", (7,), 3, (1, 1), 16).flops, 4 * 16 * (5 + 6 + 7))

# Which target runs where.
for target, capability, usable in [("sm_80", (8, 0), True), ("sm_80", (9, 0), True), ("sm_80", (7, 5), False),
                                   ("sm_90a", (9, 0), True), ("sm_90a", (10, 0), False), ("sm_100a", (10, 0), True)]:
    expect(f"{target} on {capability}", packages.usable_on(target, capability), usable)


def manifest(**changes):
    """One layer class of 4 query heads a kv head in the second of three layers; prefill is for sm_80 alone."""
    layer_class = {"name": "full", "cache_group": "kv0", "layers": [[3, 3]], "head_dim": 64, "group": 4,
                   "dtype": "bf16", "scale": 0.125, "mask": "causal", "max_position": 4096,
                   "max_query_tokens_decode": 8}
    group = {"name": "kv0", "layers": [[1, 1], [3, 4]], "page_size": 16, "kv_heads": 8, "v": {"dim": 64}}
    kernels = [{"class": "full", "role": role, "target": target, "load_class": {"max_query_length": bounds}}
               for role, target, bounds in (("decode", "sm_80", [1, 8]), ("decode", "sm_90a", [1, 8]),
                                            ("prefill", "sm_80", [9, 2 ** 31 - 1]))]
    layer_class |= {name: value for name, value in changes.items() if name in layer_class}
    group |= {name: value for name, value in changes.items() if name in group}
    return {"layer_classes": [layer_class], "cache_groups": [group], "kernels": kernels}


def chosen(one, capability=(9, 0), target=None, **changes):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "manifest.json").write_text(json.dumps(manifest(**changes)))
        choice = packages.choose(one, [folder], capability, target)
        return choice and (choice.target, choice.layer, choice.layers)


prompt = shape("prefill", (64,), 64)
expect("decode takes the later target", chosen(shape()), ("sm_90a", 1, 3))
expect("decode on another GPU", chosen(shape(), (8, 6)), ("sm_80", 1, 3))
expect("decode, a target by name", chosen(shape(), target="sm_80"), ("sm_80", 1, 3))
expect("prefill takes the target that has it", chosen(prompt), ("sm_80", 1, 3))
expect("no target", chosen(shape(), (7, 5)), None)
expect("fewer kv heads", chosen(shape(heads=(32, 8))), ("sm_90a", 1, 3))
expect("more kv heads", chosen(shape(heads=(64, 16))), None)
expect("the mask of one token does not matter", chosen(shape(), mask="none"), ("sm_90a", 1, 3))
expect("the mask of a prompt does", chosen(prompt, mask="none"), None)
expect("too many query tokens", chosen(shape(query_tokens=8), max_query_tokens_decode=4), None)
for name, value in [("head_dim", 128), ("group", 2), ("dtype", "f16"), ("scale", 0.1), ("max_position", 32),
                    ("page_size", 64), ("v", {"dim": 32})]:
    expect(f"another {name}", chosen(shape(), **{name: value}), None)

# The command line.
for arguments, code, text in [(["--list", "--tables=decode,encode"], 2, "encode is none of prefill, decode"),
                              (["--list", "--page-size=0"], 2, "--page-size is 0: must be 1 to 256"),
                              (["--list", "--samples=0"], 2, "--samples is 0: must be at least 1"),
                              (["--list", "--only=d77"], 1, "no shape is left"),
                              (["--packages", "/nowhere"], 1, "/nowhere is no package"),
                              ([], 3, "error: ")]:
    found, _, errors = tool(*arguments)
    expect(f"{arguments}: exit code", (found, text in errors), (code, True))
found, output, _ = tool("--list", "--tables=decode")
expect("--list", (found, len(output.splitlines())), (0, 13))

# A report: speeds by those of peers, means, and cells of peers that failed.
def row(name, kv, library, us, column=None):
    times = {"times": {"cold": {"us": us, "mad_us": 0.0, "samples": 1}}} if us else {"failed": "no\nreason"}
    return {"name": name, "column": column or name, "library": library, "kv": kv, **times}


def record(name, attncc_us, *rows):
    return {"shape": name, "table": "decode", "kv_bytes": 10 ** 6, "flops": 1,
            "rows": [row("attncc", "paged", "attncc", attncc_us), *rows]}


records = [record("a", 10, row("x-1", "paged", "x", 30, "x"), row("x-2", "paged", "x", 20, "x"),
                  row("y*", "dense", "cudnn", 5)),
           record("b", 10, row("x-1", "paged", "x", None, "x"), row("y*", "dense", "cudnn", 20)),
           record("c", None, row("x-1", "paged", "x", 10, "x"))]
expect("best", report.against(records[0], "cold", "best"), ("y*", 0.5))
expect("best paged", report.against(records[0], "cold", "best paged"), ("x-2", 2.0))
expect("without a time", [report.against(records[1], "cold", "best paged"), report.against(records[2], "cold", "best")],
       [None, None])
means = report.means(records)["decode"]["cold"]
expect("means", {rival: (round(mean["ratio"], 9), mean["shapes"]) for rival, mean in means.items()},
       {"best": (1.0, 2), "best paged": (2.0, 1), "cuDNN": (1.0, 2)})
lines = [line.split() for line in report.table_lines(records, "decode", 1000.0)]
expect("table", lines, ["shape KV MB floor attncc x y* best ratio best paged ratio".split(),
                        "a 1 1.0 10.0 20.0 5.0 y* 0.500 x-2 2.000".split(),
                        "b 1 1.0 10.0 failed 20.0 y* 2.000 - -".split(),
                        "c 1 1.0 failed 10.0 - - - - -".split()])
prefill = {**record("p", None), "table": "prefill", "flops": 10 ** 9}
prefill["rows"][0] = {**row("attncc", "paged", "attncc", None), "times": {"sustained": {"us": 10}, "burst": {"us": 5}}}
expect("two states", report.table_lines([prefill], "prefill")[1].split(), "p 100/200 - - - -".split())
whole = {"shapes": records, "ceilings": {}, "means": report.means(records), "not_installed": {"z": "no z"},
         "skipped": [{"shape": "d", "reason": "late"}]}
for part in ["failed: x-1, b: no\n", "not installed: z: no z", "skipped: d: late",
             "attncc's speed is 1.000 of best (2 shapes)"]:
    expect(f"text has {part!r}", part in report.text(whole) + "\n", True)
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "report.json"
    report.write_json(path, {"old": 1})
    report.write_json(path, whole)
    expect("JSON", json.loads(path.read_text()), whole)
    expect("only the JSON is left", [one.name for one in path.parent.iterdir()], ["report.json"])

# The structs are the header's: names in order.
header = re.sub(r"/\*.*?\*/", "", (source / "runtime/include/attncc/attncc.h").read_text(), flags=re.S)
declared = {name: re.findall(r"(\w+)(?:\[\d+\])?\s*[,;]", body)
            for body, name in re.findall(r"typedef struct \{([^}]*)\} (\w+);", header)}
for kind in (runtime.Tensor, runtime.LoadOptions, runtime.KvLayer, runtime.Limits, runtime.Batch, runtime.AttendArgs):
    name = "attncc_tensor" if kind is runtime.Tensor else kind.__name__
    fields = [field[0] for base in reversed(kind.__mro__) for field in base.__dict__.get("_fields_", [])]
    expect(name, fields, declared[name])


# On the simulator: bf16 as its bits.
def bf16(value):
    return struct.unpack("<I", struct.pack("<f", value))[0] + 0x8000 >> 16


def value_of(bits):
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def start_of(memory):
    return ctypes.c_void_p(ctypes.addressof(memory))


def softmax_row(query, keys, values):
    scores = [sum(a * b for a, b in zip(query, key)) / math.sqrt(len(query)) for key in keys]
    weights = [math.exp(score - max(scores)) for score in scores]
    return [sum(w * v[i] for w, v in zip(weights, values)) / sum(weights) for i in range(len(query))]


def attend_on_simulator(device, folder, one, policy):
    """The largest distance of an output from a softmax in doubles; the second of two caches is attended to."""
    choice = packages.choose(one, [folder], (8, 0))
    package = device.open_package(folder, choice.target)
    drawn, memory = random.Random(7), []

    def place(kind, values):
        alignment = 256
        raw = (ctypes.c_ubyte * (ctypes.sizeof(kind) * len(values) + alignment))()
        address = -(-ctypes.addressof(raw) // alignment) * alignment
        device.call("device_register", device.device, start_of(raw), ctypes.c_size_t(len(raw)), b"memory")
        memory.append(raw)
        array = (kind * len(values)).from_address(address)
        array[:] = values
        return array

    def normal(count):
        return [bf16(drawn.gauss(0, 1)) for _ in range(count)]

    counts = [-(-length // one.page_size) for length in one.kv_lengths]
    order, columns = drawn.sample(range(sum(counts)), sum(counts)), max(counts)
    pages = [order[sum(counts[:i]):sum(counts[:i + 1])] for i in range(one.batch)]
    row_elements = one.kv_heads * one.head_dim
    tokens = one.batch * one.query_tokens
    cache_elements = sum(counts) * one.page_size * row_elements
    caches = [[place(ctypes.c_uint16, normal(cache_elements)) for _ in "kv"] for _ in range(2)]
    query = place(ctypes.c_uint16, normal(tokens * one.query_heads * one.head_dim))
    output = place(ctypes.c_uint16, [0x7FFF] * len(query))
    starts = place(ctypes.c_int32, [i * one.query_tokens for i in range(one.batch + 1)])
    lengths = place(ctypes.c_int32, one.kv_lengths)
    table = place(ctypes.c_int32, [page for row in pages for page in row + [2 ** 31 - 1] * (columns - len(row))])
    attention = runtime.Attention(device, package, choice, one, policy,
                                  *map(ctypes.addressof, (starts, lengths, table)), columns)
    workspace = place(ctypes.c_uint8, [0] * attention.workspace_bytes())
    attention.set_workspace(ctypes.addressof(workspace), len(workspace), None)
    for key, value in caches:
        attention.bind(ctypes.addressof(key), ctypes.addressof(value), sum(counts))
    attention.attend(1, ctypes.addressof(query), ctypes.addressof(output), None)
    attention.check(None)
    worst = 0.0
    for sequence, length in enumerate(one.kv_lengths):
        slots = [pages[sequence][i // one.page_size] * one.page_size + i % one.page_size for i in range(length)]
        for token in range(one.query_tokens):
            seen = slots[:length - one.query_tokens + token + 1] if one.causal else slots
            for head in range(one.query_heads):
                rows = [[[value_of(bits) for bits in x[at:at + one.head_dim]] for slot in seen
                         for at in [slot * row_elements + head // one.group * one.head_dim]] for x in caches[1]]
                first = ((sequence * one.query_tokens + token) * one.query_heads + head) * one.head_dim
                expected = softmax_row([value_of(bits) for bits in query[first:first + one.head_dim]], *rows)
                got = [value_of(bits) for bits in output[first:first + one.head_dim]]
                worst = max(worst, *(abs(a - b) if a == a else math.inf for a, b in zip(got, expected)))
    attention.close()
    for raw in memory:
        device.call("device_free", device.device, start_of(raw))
    device.release("package", package)
    return worst


with tempfile.TemporaryDirectory() as work:
    found, output, errors = tool("--write-specs", f"{work}/specs", "--head-dim=64")
    commands = [line.split() for line in output.splitlines()]
    expect("--write-specs", (found, len(commands), errors), (0, 4, ""))
    compiled = {}
    for command in commands:
        name = pathlib.Path(command[-1]).name
        command[0], command[-1] = str(attncc), f"{work}/{name}"
        done = subprocess.run(command, text=True, capture_output=True)
        expect(f"{' '.join(command)}: {done.stderr}", done.returncode, 0)
        compiled[name] = f"{work}/{name}"
    missing = [one.name for one in shapes.select(head_dims=[64]) if not packages.choose(one, compiled.values(), (9, 0))]
    expect("shapes without a package", missing, [])

    simulator = runtime.Runtime(library, "sim:sm_80")
    for one, name, policy in [(shape(lengths=(70, 33)), "bf16-d64-g4-causal-p16", "invariant"),
                              (shape(lengths=(40, 4), query_tokens=3, heads=(2, 2)), "bf16-d64-g1-causal-p16",
                               "throughput"),
                              (shape("prefill", (21,), 11, (4, 1)), "bf16-d64-g4-causal-p16", "invariant"),
                              (shape("prefill", (17,), 17, (4, 1), causal=False), "bf16-d64-g4-full-p16", "invariant")]:
        worst = attend_on_simulator(simulator, compiled[name], one, policy)
        expect(f"{one.name}: {worst} from a softmax", worst < 2 ** -6, True)
    try:
        simulator.open_package(work, "sm_80")
        failures.append("a folder without a manifest opens")
    except runtime.AttnccError as error:
        expect("an error has attncc's words", "manifest.json" in str(error), True)
    simulator.release("device", simulator.device)

print("\n".join(failures))
sys.exit(bool(failures))
